/* models/weight_list.c: from a description to tensor views.
 *
 * The same text model is stored under many prefixes ("model.layers.", "language_model.model.layers.", ...); the prefix is found once and
 * names are looked up below it. What is missing or misshapen is collected, so that one message names the first ten. */
#include "weight_list.h"

#include <stdio.h>

static const char *const prefixes[] = {"model.language_model.", "language_model.model.", "language_model.", "model.",
                                       ""};

/* Where a layer's tensors are: the name below "layers.N.", and which sides they have. */
typedef enum side { SIDE_NONE, SIDE_HIDDEN, SIDE_QUERY, SIDE_KEY, SIDE_HEAD, SIDE_INNER } side;

typedef struct slot {
    const char *name;
    side rows, columns; /* columns SIDE_NONE: a vector */
} slot;

static const slot slots[MICA__LAYER_N_WEIGHTS] = {
    [MICA__LAYER_NORM_BEFORE_ATTENTION] = {NULL, SIDE_HIDDEN, SIDE_NONE},
    [MICA__LAYER_NORM_AFTER_ATTENTION] = {NULL, SIDE_HIDDEN, SIDE_NONE},
    [MICA__LAYER_NORM_BEFORE_MLP] = {NULL, SIDE_HIDDEN, SIDE_NONE},
    [MICA__LAYER_NORM_AFTER_MLP] = {NULL, SIDE_HIDDEN, SIDE_NONE},
    [MICA__LAYER_Q_NORM] = {"self_attn.q_norm.weight", SIDE_HEAD, SIDE_NONE},
    [MICA__LAYER_K_NORM] = {"self_attn.k_norm.weight", SIDE_HEAD, SIDE_NONE},
    [MICA__LAYER_Q] = {"self_attn.q_proj.weight", SIDE_QUERY, SIDE_HIDDEN},
    [MICA__LAYER_K] = {"self_attn.k_proj.weight", SIDE_KEY, SIDE_HIDDEN},
    [MICA__LAYER_V] = {"self_attn.v_proj.weight", SIDE_KEY, SIDE_HIDDEN},
    [MICA__LAYER_O] = {"self_attn.o_proj.weight", SIDE_HIDDEN, SIDE_QUERY},
    [MICA__LAYER_Q_BIAS] = {"self_attn.q_proj.bias", SIDE_QUERY, SIDE_NONE},
    [MICA__LAYER_K_BIAS] = {"self_attn.k_proj.bias", SIDE_KEY, SIDE_NONE},
    [MICA__LAYER_V_BIAS] = {"self_attn.v_proj.bias", SIDE_KEY, SIDE_NONE},
    [MICA__LAYER_O_BIAS] = {"self_attn.o_proj.bias", SIDE_HIDDEN, SIDE_NONE},
    [MICA__LAYER_GATE] = {"mlp.gate_proj.weight", SIDE_INNER, SIDE_HIDDEN},
    [MICA__LAYER_UP] = {"mlp.up_proj.weight", SIDE_INNER, SIDE_HIDDEN},
    [MICA__LAYER_DOWN] = {"mlp.down_proj.weight", SIDE_HIDDEN, SIDE_INNER},
    [MICA__LAYER_GATE_BIAS] = {"mlp.gate_proj.bias", SIDE_INNER, SIDE_NONE},
    [MICA__LAYER_UP_BIAS] = {"mlp.up_proj.bias", SIDE_INNER, SIDE_NONE},
    [MICA__LAYER_DOWN_BIAS] = {"mlp.down_proj.bias", SIDE_HIDDEN, SIDE_NONE},
};

static int64_t length_of(const mica__decoder_spec *s, side which)
{
    switch (which) {
    case SIDE_HIDDEN:
        return s->hidden;
    case SIDE_QUERY:
        return (int64_t)s->n_heads * s->head_dim;
    case SIDE_KEY:
        return (int64_t)s->n_kv_heads * s->head_dim;
    case SIDE_HEAD:
        return s->head_dim;
    case SIDE_INNER:
        return s->intermediate;
    default:
        return 0;
    }
}

/* The tensor's name below "layers.N.", NULL if this description has no such tensor. `text` holds composed names. */
static const char *layer_name(const mica__decoder_spec *s, mica__layer_weight id, char text[64])
{
    const char *norm = NULL;
    switch (id) {
    case MICA__LAYER_NORM_BEFORE_ATTENTION:
        norm = s->norms.before_attention;
        break;
    case MICA__LAYER_NORM_AFTER_ATTENTION:
        norm = s->norms.after_attention;
        break;
    case MICA__LAYER_NORM_BEFORE_MLP:
        norm = s->norms.before_mlp;
        break;
    case MICA__LAYER_NORM_AFTER_MLP:
        norm = s->norms.after_mlp;
        break;
    case MICA__LAYER_Q_NORM:
    case MICA__LAYER_K_NORM:
        return s->qk_norm ? slots[id].name : NULL;
    case MICA__LAYER_Q_BIAS:
    case MICA__LAYER_K_BIAS:
    case MICA__LAYER_V_BIAS:
        return s->qkv_bias ? slots[id].name : NULL;
    case MICA__LAYER_O_BIAS:
        return s->out_bias ? slots[id].name : NULL;
    case MICA__LAYER_GATE_BIAS:
    case MICA__LAYER_UP_BIAS:
    case MICA__LAYER_DOWN_BIAS:
        return s->mlp_bias ? slots[id].name : NULL;
    default:
        return slots[id].name;
    }
    if (!norm) return NULL;
    snprintf(text, 64, "%s.weight", norm);
    return text;
}

static void want(mica__weight_list *list, mica__weight *target, int64_t rows, int64_t columns, const char *fmt, ...)
    MICA_PRINTF(5, 6);
/* columns 0: a vector. */
static void want(mica__weight_list *list, mica__weight *target, int64_t rows, int64_t columns, const char *fmt, ...)
{
    mica__wanted *w = &list->items[list->n++];
    *w = (mica__wanted){.ndim = columns ? 2 : 1, .shape = {rows, columns}, .target = target};
    va_list args;
    va_start(args, fmt);
    vsnprintf(w->name, sizeof w->name, fmt, args);
    va_end(args);
}

static void want_layers(mica__weight_list *list, const mica__decoder_spec *s, mica__weights *w)
{
    char text[64];
    for (int layer = 0; layer < s->n_layers; layer++) {
        for (int id = 0; id < MICA__LAYER_N_WEIGHTS; id++) {
            const char *name = layer_name(s, (mica__layer_weight)id, text);
            if (!name) continue;
            want(list, &w->layers[layer][id], length_of(s, slots[id].rows), length_of(s, slots[id].columns),
                 "layers.%d.%s", layer, name);
        }
    }
}

/* ---- finding -------------------------------------------------------------------------------------------------------------- */

static const char *find_prefix(const mica__checkpoint *c)
{
    char start[64];
    for (size_t p = 0; p < sizeof prefixes / sizeof *prefixes; p++) {
        snprintf(start, sizeof start, "%slayers.", prefixes[p]);
        for (size_t i = 0; i < mica__checkpoint_n_tensors(c); i++) {
            if (mica__str_starts(mica__checkpoint_tensor_at(c, i)->name, start)) return prefixes[p];
        }
    }
    return "model.";
}

static const mica__tensor_view *find(const mica__checkpoint *c, const char *prefix, const char *name)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return mica__checkpoint_tensor(c, mica__str_from(full));
}

/* `name` with its last part (".weight") replaced. */
static const mica__tensor_view *find_beside(const mica__checkpoint *c, const char *prefix, const char *name,
                                            const char *last)
{
    char other[128];
    size_t n = strlen(name);
    if (n < 7 || strcmp(name + n - 6, "weight")) return NULL;
    snprintf(other, sizeof other, "%.*s%s", (int)(n - 6), name, last);
    return find(c, prefix, other);
}

static void find_one(const mica__checkpoint *c, const char *prefix, mica__wanted *w)
{
    w->view = find(c, prefix, w->name);
    if (!w->view || w->view->dtype != MICA_DTYPE_U32 || w->view->storage != MICA__STORAGE_PLAIN) return;
    w->scales = find_beside(c, prefix, w->name, "scales");
    w->biases = find_beside(c, prefix, w->name, "biases");
    if (!w->biases) w->biases = find_beside(c, prefix, w->name, "qbiases");
}

/* The head stands beside the body, below one of these. */
static void find_head(const mica__checkpoint *c, const char *prefix, mica__wanted *w)
{
    const char *const places[] = {"", "language_model.", "model.", prefix};
    for (size_t i = 0; i < sizeof places / sizeof *places && !w->view; i++) find_one(c, places[i], w);
}

static bool same_bytes(const mica__tensor_view *a, const mica__tensor_view *b)
{
    return a->n_bytes == b->n_bytes && a->storage == b->storage && memcmp(a->data, b->data, a->n_bytes) == 0;
}

/* What a config says about tying, the tensors may overrule: a head that differs from the embedding is used, and a head alone serves as both. */
static bool decide_tied(const mica__decoder_spec *s, mica__wanted *embedding, mica__wanted *head,
                        const mica_notices *notices)
{
    if (!s->tied) return false;
    if (!embedding->view && head->view) {
        embedding->view = head->view;
        embedding->scales = head->scales;
        embedding->biases = head->biases;
        return true;
    }
    if (!head->view || !embedding->view || same_bytes(embedding->view, head->view)) return true;
    if (notices && notices->notice) {
        notices->notice(notices->context,
                        "config.json ties the output head to the embedding, but the checkpoint has a head that "
                        "differs; it is used");
    }
    return false;
}

/* ---- checking ---------------------------------------------------------------------------------------------------------------- */

/* Mode, bits and group size of an MLX matrix follow from its shapes and the type of its scales, so that what config.json says about single
 * layers need not be believed. */
static bool quantized_shape(mica__wanted *w)
{
    const mica__tensor_view *v = w->view, *s = w->scales, *b = w->biases;
    if (w->ndim != 2 || v->ndim != 2 || s->ndim != 2 || (b && b->ndim != 2)) return false;
    int64_t k = w->shape[1];
    if (v->shape[0] != w->shape[0] || v->shape[1] <= 0 || v->shape[1] > k || v->shape[1] * 32 % k) return false;
    if (s->shape[0] != w->shape[0] || s->shape[1] <= 0 || k % s->shape[1]) return false;
    mica__quantization q = {.bits = (int)(v->shape[1] * 32 / k), .group_size = (int)(k / s->shape[1])};
    if (!b) q.mode = q.bits == 8 ? MICA_QUANT_MXFP8 : q.group_size == 16 ? MICA_QUANT_NVFP4 : MICA_QUANT_MXFP4;
    if (!mica__quantization_valid(&q) || (b == NULL) != (s->dtype == MICA_DTYPE_U8)) return false;
    w->q = q;
    return !b || (b->shape[0] == s->shape[0] && b->shape[1] == s->shape[1] && s->dtype == b->dtype);
}

static bool right_shape(mica__wanted *w)
{
    if (w->scales) return quantized_shape(w);
    if (w->view->ndim != w->ndim) return false;
    for (int i = 0; i < w->ndim; i++) {
        if (w->view->shape[i] != w->shape[i]) return false;
    }
    if (w->ndim == 2 && !mica__tensor_affine_form(w->view, &w->q.bits, &w->q.group_size) &&
        !mica__tensor_float_form(w->view, &w->q))
        w->q = (mica__quantization){.bits = 0};
    return true;
}

static void print_shape(mica__buf *out, const int64_t *shape, int ndim)
{
    for (int i = 0; i < ndim; i++) mica__buf_printf(out, "%s%lld", i ? ", " : "[", (long long)shape[i]);
    mica__buf_append_z(out, ndim ? "]" : "[]");
}

typedef struct report {
    mica__buf text;
    size_t n;
} report;

static void add(report *r, const char *prefix, const char *name)
{
    if (r->n++ < 10) mica__buf_printf(&r->text, "%s%s%s", r->text.n ? ", " : "", prefix, name);
}

static mica_status fail_list(report *r, const char *path, const char *what, mica_error *err)
{
    mica_status status = mica__fail(err, MICA_DATA, "%s: %zu %s: %.380s%s", path, r->n, what,
                                    r->text.p ? r->text.p : "", r->n > 10 || r->text.n > 380 ? " ..." : "");
    mica__buf_release(&r->text);
    return status;
}

static mica_status check_present(const mica__weight_list *list, const mica__checkpoint *c, mica_error *err)
{
    report missing = {.text = {.max = 4096}};
    for (size_t i = 0; i < list->n; i++) {
        if (!list->items[i].view)
            add(&missing, strcmp(list->items[i].name, "lm_head.weight") ? list->prefix : "", list->items[i].name);
    }
    if (!missing.n) return MICA_OK;
    return fail_list(&missing, mica__checkpoint_path(c), "tensors are missing", err);
}

static mica_status check_kind(const mica__wanted *w, mica_error *err)
{
    const mica__tensor_view *v = w->view;
    const char *name = MICA_QUOTED_STR(v->name);
    if (v->storage == MICA__STORAGE_OTHER) {
        return mica__fail(err, MICA_UNSUPPORTED, "tensor '%s': type %s is not supported", name, v->type_name);
    }
    bool is_float = v->storage != MICA__STORAGE_PLAIN || v->dtype == MICA_DTYPE_F32 || v->dtype == MICA_DTYPE_F16 ||
                    v->dtype == MICA_DTYPE_BF16 || v->dtype == MICA_DTYPE_F64;
    if (is_float || w->scales) return MICA_OK;
    return mica__fail(err, MICA_DATA, "tensor '%s': expected floating-point numbers, found %s", name, v->type_name);
}

static mica_status check_shapes(mica__weight_list *list, const mica__checkpoint *c, mica_error *err)
{
    report wrong = {.text = {.max = 8192}};
    for (size_t i = 0; i < list->n; i++) {
        mica__wanted *w = &list->items[i];
        mica_status status = check_kind(w, err);
        if (status) {
            mica__buf_release(&wrong.text);
            return status;
        }
        if (right_shape(w)) continue;
        add(&wrong, "", MICA_QUOTED_STR(w->view->name));
        if (wrong.n > 10) continue;
        mica__buf_append_z(&wrong.text, " is ");
        print_shape(&wrong.text, w->view->shape, w->view->ndim);
        mica__buf_append_z(&wrong.text, w->scales ? " quantized, not " : ", not ");
        print_shape(&wrong.text, w->shape, w->ndim);
        if (i == 0) mica__buf_append_z(&wrong.text, " (vocab_size, hidden_size)");
    }
    if (!wrong.n) return MICA_OK;
    return fail_list(&wrong, mica__checkpoint_path(c), "tensors have the wrong shape", err);
}

/* ---- what else is there ---------------------------------------------------------------------------------------------------------- */

/* Buffers and extra heads that every loader skips. */
static bool is_harmless(const mica__decoder_spec *s, mica__str below)
{
    static const char *const endings[] = {
        "rotary_emb.inv_freq", ".attn.bias", ".masked_bias", ".scales", ".biases", ".qbiases"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        if (mica__str_ends(below, endings[i])) return true;
    }
    static const char *const starts[] = {"lm_head.",     "mtp.", "visual.", "vision", "audio", "multi_modal_projector.",
                                         "mm_projector."};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        if (mica__str_starts(below, starts[i])) return true;
    }
    if (!mica__str_starts(below, "layers.")) return false;
    int64_t layer = 0;
    for (size_t i = 7; i < below.n && below.p[i] >= '0' && below.p[i] <= '9' && layer < INT32_MAX; i++) {
        layer = layer * 10 + (below.p[i] - '0');
    }
    return layer >= s->n_layers;
}

static void notice_extra(const mica__weight_list *list, const mica__decoder_spec *s, const mica__checkpoint *c,
                         const mica_notices *notices)
{
    if (!notices || !notices->notice) return;
    mica__map used = {0};
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].view) mica__map_set(&used, list->items[i].view->name, 1);
    }
    report extra = {.text = {.max = 4096}};
    size_t skip = strlen(list->prefix);
    for (size_t i = 0; i < mica__checkpoint_n_tensors(c); i++) {
        mica__str name = mica__checkpoint_tensor_at(c, i)->name;
        if (!mica__str_starts(name, list->prefix) || mica__map_get(&used, name, NULL)) continue;
        if (is_harmless(s, (mica__str){name.p + skip, name.n - skip})) continue;
        add(&extra, "", MICA_QUOTED_STR(name));
    }
    if (extra.n) {
        char text[600];
        snprintf(text, sizeof text, "%s: %zu tensors are not used: %.400s%s", mica__checkpoint_path(c), extra.n,
                 extra.text.p ? extra.text.p : "", extra.n > 10 ? " ..." : "");
        notices->notice(notices->context, text);
    }
    mica__buf_release(&extra.text);
    mica__map_release(&used);
}

/* Everything but the head. */
static mica_status want_body(mica__weight_list *out, const mica__decoder_spec *s, mica__weights *w, mica_error *err)
{
    *out = (mica__weight_list){.cap = (size_t)s->n_layers * MICA__LAYER_N_WEIGHTS + 3};
    out->items = mica__calloc(out->cap, sizeof *out->items);
    if (!out->items) return mica__fail_memory(err, out->cap * sizeof *out->items, "list of tensors");
    want(out, &w->embedding, s->vocab, s->hidden, "embed_tokens.weight");
    want(out, &w->final_norm, s->hidden, 0, "norm.weight");
    want_layers(out, s, w);
    return MICA_OK;
}

mica_status mica__weight_list_describe(mica__weight_list *out, const mica__decoder_spec *s, mica__weights *w,
                                       mica_error *err)
{
    MICA_TRY(want_body(out, s, w, err));
    w->tied = s->tied;
    if (!w->tied) want(out, &w->head, s->vocab, s->hidden, "lm_head.weight");
    return MICA_OK;
}

mica_status mica__weight_list_make(mica__weight_list *out, const mica__decoder_spec *s, mica__weights *w,
                                   const mica__checkpoint *checkpoint, const mica_notices *notices, mica_error *err)
{
    MICA_TRY(want_body(out, s, w, err));
    out->prefix = find_prefix(checkpoint);
    for (size_t i = 0; i < out->n; i++) find_one(checkpoint, out->prefix, &out->items[i]);

    mica__wanted head = {.name = "lm_head.weight", .ndim = 2, .shape = {s->vocab, s->hidden}, .target = &w->head};
    find_head(checkpoint, out->prefix, &head);
    w->tied = decide_tied(s, &out->items[0], &head, notices);
    if (!w->tied) out->items[out->n++] = head;

    mica_status status = check_present(out, checkpoint, err);
    if (!status) status = check_shapes(out, checkpoint, err);
    if (status) {
        mica__weight_list_release(out);
        return status;
    }
    notice_extra(out, s, checkpoint, notices);
    return MICA_OK;
}

const char *mica__mlx_prefix(const mica__config *c)
{
    const bool known = mica__str_is(c->wrapper_type, "gemma3") || mica__str_is(c->wrapper_type, "mistral3");
    return known && c->text != c->root ? "language_model." : "";
}

void mica__weight_list_release(mica__weight_list *list)
{
    mica__free(list->items);
    *list = (mica__weight_list){0};
}
