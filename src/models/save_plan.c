/* models/save_plan.c: from the tensors that a model needs to the tensors that are written. */
#include "save_plan.h"

#include "quantize_policy.h"
#include "weight_rows.h"
#include <stdio.h>

static const uint64_t MLX_SHARD = 5ull << 30, TRANSFORMERS_SHARD = 50000000000ull;

typedef struct planner {
    mica__save_plan *plan;
    const mica__save_source *source;
    const mica_save_options *options;
    mica__quantize_policy policy; /* if options->quantize */
    bool has_dtype;               /* asked for, or named by the config */
    mica_dtype dtype;
    bool scales_too; /* asked for: also of scales that would be kept */
} planner;

/* ---- types ---------------------------------------------------------------------------------------------------------------- */

static bool float_type(mica__str name, mica_dtype *out)
{
    static const struct {
        const char *name;
        mica_dtype dtype;
    } known[] = {{"float32", MICA_DTYPE_F32}, {"bfloat16", MICA_DTYPE_BF16}, {"float16", MICA_DTYPE_F16}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!mica__str_is(name, known[i].name)) continue;
        *out = known[i].dtype;
        return true;
    }
    return false;
}

/* As mlx-lm decides: what is asked for, torch_dtype, the dtype of the text part; the top level's "dtype" is not consulted. */
static mica_status choose_dtype(planner *p, mica_error *err)
{
    const char *asked = p->options->dtype;
    if (asked && strcmp(asked, "auto") != 0) {
        p->has_dtype = p->scales_too = float_type(mica__str_from(asked), &p->dtype);
        if (p->has_dtype) return MICA_OK;
        return mica__fail(err, MICA_INVALID, "dtype '%s' is not one of auto, float32, bfloat16, float16",
                          MICA_QUOTED(asked, strlen(asked)));
    }
    p->has_dtype = mica__conversion_dtype(p->source->config, &p->dtype);
    return MICA_OK;
}

/* ---- entries -------------------------------------------------------------------------------------------------------------- */

static int layer_of(const char *name)
{
    int layer = -1;
    if (sscanf(name, "layers.%d.", &layer) != 1) return -1;
    return layer;
}

static bool name_entry(planner *p, mica__save_entry *e)
{
    const mica__wanted *w = e->wanted;
    bool is_head = strcmp(w->name, "lm_head.weight") == 0;
    mica__buf name = {0};
    mica__buf_append_z(&name, is_head ? p->source->head : p->source->prefix);
    mica__buf_append_z(&name, w->name);
    size_t n = name.n;
    if (!name.failed) e->tensors[0].name = mica__arena_strndup(&p->plan->names, name.p, n);
    while (n > 0 && name.p[n - 1] != '.') n--; /* "weight" or "bias" */
    if (!name.failed) e->path = mica__arena_strndup(&p->plan->names, name.p, n ? n - 1 : 0);
    static const char *const lasts[] = {"scales", "biases"};
    for (int i = 0; i < 2; i++) {
        name.n = n;
        mica__buf_append_z(&name, lasts[i]);
        e->tensors[1 + i].name = name.failed ? NULL : mica__arena_strndup(&p->plan->names, name.p, name.n);
    }
    mica__buf_release(&name);
    return e->path && e->tensors[0].name && e->tensors[1].name && e->tensors[2].name;
}

/* What becomes of the tensor. */
static void decide(planner *p, mica__save_entry *e)
{
    const mica__wanted *w = e->wanted;
    const mica_save_options *o = p->options;
    mica__quantized source;
    bool is_mlx = mica__wanted_quantized(w, &source);
    e->dtype = p->has_dtype ? p->dtype : mica__wanted_dtype(w);
    e->action = MICA__SAVE_PLAIN;
    if (w->ndim != 2 || o->format == MICA_SAVE_TRANSFORMERS || o->dequantize) return;
    if (o->quantize) {
        if (mica__quantize_policy_choose(&p->policy, mica__str_from(e->path), layer_of(w->name), e->n_columns, &e->q,
                                         &e->named))
            e->action = MICA__SAVE_QUANTIZE;
    } else if (is_mlx) {
        e->action = MICA__SAVE_COPY;
        e->q = source.q;
        if (!p->scales_too) e->dtype = source.dtype;
    } else if (w->q.bits) {
        e->action = MICA__SAVE_REPACK;
        e->q = w->q;
        if (!p->scales_too) e->dtype = mica__tensor_affine_dtype(w->view);
    }
}

static bool set_tensor(mica__save_tensor *t, mica_dtype dtype, int ndim, int64_t rows, int64_t columns)
{
    *t = (mica__save_tensor){.name = t->name, .dtype = dtype, .ndim = ndim, .shape = {rows, columns}};
    if (ndim == 1) t->shape[0] = columns;
    return mica__mul((size_t)columns, mica_dtype_size(dtype), &t->row_bytes) &&
           mica__mul(t->row_bytes, (size_t)rows, &t->n_bytes);
}

/* The tensors that the entry makes. */
static mica_status size_entry(mica__save_entry *e, mica_error *err)
{
    const mica__wanted *w = e->wanted;
    bool ok;
    e->n_tensors = 1;
    if (e->action == MICA__SAVE_PLAIN) {
        ok = set_tensor(&e->tensors[0], e->dtype, w->ndim, e->n_rows, e->n_columns);
    } else {
        mica_dtype scales = mica__quantized_scale_dtype(&e->q, e->dtype);
        int64_t groups = e->n_columns / e->q.group_size;
        ok = set_tensor(&e->tensors[0], MICA_DTYPE_U32, 2, e->n_rows, e->n_columns * e->q.bits / 32) &&
             set_tensor(&e->tensors[1], scales, 2, e->n_rows, groups) &&
             set_tensor(&e->tensors[2], scales, 2, e->n_rows, groups);
        e->n_tensors = e->q.mode == MICA_QUANT_AFFINE ? 3 : 2;
    }
    for (int i = 0; i < e->n_tensors && ok; i++) ok = mica__add(e->n_bytes, e->tensors[i].n_bytes, &e->n_bytes);
    return ok ? MICA_OK : mica__fail(err, MICA_DATA, "tensor '%s': shape overflows", e->tensors[0].name);
}

/* ---- kinds ---------------------------------------------------------------------------------------------------------------- */

/* "q_proj" of "model.layers.0.self_attn.q_proj" */
static const char *kind_name(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

static const char *form_name(planner *p, const mica__save_entry *e)
{
    const char *text = e->action == MICA__SAVE_PLAIN ? mica_dtype_name(e->dtype) : MICA_QUANTIZATION(&e->q);
    return mica__arena_strndup(&p->plan->names, text, strlen(text));
}

static mica_status count_kind(planner *p, mica__save_entry *e, mica_error *err)
{
    mica__save_plan *plan = p->plan;
    e->kind = -1;
    if (e->wanted->ndim < 2) return MICA_OK;
    const char *name = kind_name(e->path);
    int k = 0;
    while (k < plan->n_kinds && strcmp(plan->kinds[k].name, name) != 0) k++;
    if (k == plan->n_kinds) {
        mica_save_kind *kinds = mica__realloc(plan->kinds, (size_t)k + 1, sizeof *kinds);
        if (!kinds) return mica__fail_memory(err, sizeof *kinds, "kinds of layers");
        plan->kinds = kinds;
        plan->n_kinds++;
        kinds[k] = (mica_save_kind){.name = name};
    }
    mica_save_kind *kind = &plan->kinds[k];
    const char *form = form_name(p, e);
    if (!form) return mica__fail_memory(err, 16, "kinds of layers");
    if (!kind->form)
        kind->form = form;
    else if (strcmp(kind->form, form) != 0)
        kind->form = "mixed";
    kind->n_tensors++;
    kind->n_parameters += (uint64_t)(e->n_rows * e->n_columns);
    kind->n_bytes += e->n_bytes;
    e->kind = k;
    return MICA_OK;
}

/* ---- shards and the general quantization ---------------------------------------------------------------------------------- */

/* In order; a new one starts when the limit would be passed. What belongs to one matrix stays together. */
static void assign_shards(mica__save_plan *plan, uint64_t limit)
{
    uint64_t used = 0;
    plan->n_shards = plan->n ? 1 : 0;
    for (size_t i = 0; i < plan->n; i++) {
        mica__save_entry *e = &plan->entries[i];
        if (used && used + e->n_bytes > limit) {
            plan->n_shards++;
            used = 0;
        }
        used += e->n_bytes;
        e->shard = plan->n_shards - 1;
    }
}

static bool same_quantization(const mica__quantization *a, const mica__quantization *b)
{
    return a->mode == b->mode && a->bits == b->bits && a->group_size == b->group_size;
}

/* The one that most bytes have. */
static mica__quantization most_common(const mica__save_plan *plan)
{
    struct {
        mica__quantization q;
        size_t n_bytes;
    } forms[24] = {{{0}, 0}}; /* more than there are */
    size_t n = 0, best = 0;
    for (size_t i = 0; i < plan->n; i++) {
        const mica__save_entry *e = &plan->entries[i];
        if (e->action == MICA__SAVE_PLAIN) continue;
        size_t k = 0;
        while (k < n && !same_quantization(&forms[k].q, &e->q)) k++;
        if (k == sizeof forms / sizeof *forms) continue;
        if (k == n) forms[n++].q = e->q;
        forms[k].n_bytes += e->n_bytes;
        if (forms[k].n_bytes > forms[best].n_bytes) best = k;
    }
    return forms[best].q;
}

static void choose_general(planner *p)
{
    mica__save_plan *plan = p->plan;
    bool any = false;
    for (size_t i = 0; i < plan->n; i++) any |= plan->entries[i].action != MICA__SAVE_PLAIN;
    if (!any) return;
    plan->general = p->options->quantize ? p->policy.general : most_common(plan);
    for (size_t i = 0; i < plan->n; i++) {
        mica__save_entry *e = &plan->entries[i];
        if (e->action != MICA__SAVE_PLAIN && !same_quantization(&e->q, &plan->general)) e->named = true;
    }
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------ */

static uint64_t bytes_in_source(const mica__wanted *w)
{
    return w->view->n_bytes + (w->scales ? w->scales->n_bytes : 0) + (w->biases ? w->biases->n_bytes : 0);
}

static mica_status add_entry(planner *p, const mica__wanted *w, mica_error *err)
{
    mica__save_plan *plan = p->plan;
    mica__save_entry *e = &plan->entries[plan->n++];
    *e = (mica__save_entry){
        .wanted = w, .n_rows = w->ndim == 2 ? w->shape[0] : 1, .n_columns = w->shape[w->ndim == 2 ? 1 : 0]};
    if (!name_entry(p, e)) return mica__fail_memory(err, strlen(w->name), "tensor names");
    decide(p, e);
    MICA_TRY(size_entry(e, err));
    MICA_TRY(count_kind(p, e, err));
    plan->n_parameters += (uint64_t)(e->n_rows * e->n_columns);
    plan->source_bytes += bytes_in_source(w);
    plan->n_bytes += e->n_bytes;
    return MICA_OK;
}

static mica_status check_options(const mica_save_options *o, mica_error *err)
{
    if (o->format != MICA_SAVE_MLX && o->format != MICA_SAVE_TRANSFORMERS)
        return mica__fail(err, MICA_INVALID, "format %d is unknown", (int)o->format);
    if (o->quantize && o->dequantize)
        return mica__fail(err, MICA_INVALID, "quantize and dequantize exclude each other");
    if (o->quantize && o->format == MICA_SAVE_TRANSFORMERS)
        return mica__fail(err, MICA_INVALID, "quantize needs the MLX format; Transformers' holds plain weights");
    if (!o->quantize && o->rules) return mica__fail(err, MICA_INVALID, "rules need a quantization to be exceptions to");
    const char *quantizer = o->quantizer;
    if (quantizer && strcmp(quantizer, "mlx") != 0 && strcmp(quantizer, "search") != 0)
        return mica__fail(err, MICA_INVALID, "quantizer '%s' is not one of mlx, search",
                          MICA_QUOTED(quantizer, strlen(quantizer)));
    if (quantizer && !o->quantize) return mica__fail(err, MICA_INVALID, "quantizer needs a quantization");
    return MICA_OK;
}

mica_status mica__save_plan_make(mica__save_plan *out, const mica__save_source *source,
                                 const mica_save_options *options, mica_error *err)
{
    *out = (mica__save_plan){0};
    planner p = {.plan = out, .source = source, .options = options};
    MICA_TRY(check_options(options, err));
    MICA_TRY(choose_dtype(&p, err));
    if (options->quantize)
        MICA_TRY(mica__quantize_policy_make(&p.policy, options->quantize, options->rules, source->n_layers, err));
    out->entries = mica__calloc(source->list->n, sizeof *out->entries);
    mica_status status =
        out->entries ? MICA_OK : mica__fail_memory(err, source->list->n * sizeof *out->entries, "the plan");
    for (size_t i = 0; i < source->list->n && status == MICA_OK; i++)
        status = add_entry(&p, &source->list->items[i], err);
    if (status == MICA_OK) {
        uint64_t limit = options->format == MICA_SAVE_MLX ? MLX_SHARD : TRANSFORMERS_SHARD;
        choose_general(&p);
        assign_shards(out, options->max_shard_bytes ? options->max_shard_bytes : limit);
        if (options->quantize && !out->general.bits)
            status = mica__fail(err, MICA_UNSUPPORTED, "no matrix of this model has columns in whole groups of %d",
                                p.policy.general.group_size);
    }
    mica__quantize_policy_release(&p.policy);
    if (status != MICA_OK) mica__save_plan_release(out);
    return status;
}

void mica__save_plan_release(mica__save_plan *plan)
{
    mica__free(plan->entries);
    mica__free(plan->kinds);
    mica__arena_release(&plan->names);
    *plan = (mica__save_plan){0};
}

void mica__save_shard_name(const mica__save_plan *plan, int shard, char out[48])
{
    if (plan->n_shards == 1)
        snprintf(out, 48, "model.safetensors");
    else
        snprintf(out, 48, "model-%05d-of-%05d.safetensors", shard + 1, plan->n_shards);
}
