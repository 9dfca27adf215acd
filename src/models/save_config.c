/* models/save_config.c: config.json and the index of shards.
 *
 * The source's config.json is kept but for what the target contradicts: its quantization, its types, whether the head is tied (readers disagree about what
 * a missing field means), and the vision part of a wrapper. */
#include "save_texts.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- pretty JSON ---------------------------------------------------------------------------------------------------------- */

static void new_line(mica__buf *out, int indent, int depth)
{
    mica__buf_append_char(out, '\n');
    for (int i = 0; i < indent * depth; i++) mica__buf_append_char(out, ' ');
}

/* As Python's json.dump(indent=...) writes it; recursion is bounded by the parser's depth. */
static void write_pretty(mica__buf *out, mica__jval v, int indent, int depth)
{
    bool is_object = mica__json_is(v, MICA__JSON_OBJECT);
    if (!mica__json_count(v)) {
        mica__str text;
        if (mica__json_string(v, &text))
            mica__json_write_string(out, text, true);
        else
            mica__json_write(out, v);
        return;
    }
    mica__buf_append_char(out, is_object ? '{' : '[');
    for (mica__jval m = mica__json_first(v); m; m = mica__json_next(v, m)) {
        if (m != mica__json_first(v)) mica__buf_append_char(out, ',');
        new_line(out, indent, depth + 1);
        if (is_object) {
            mica__json_write_string(out, mica__json_key(m), true);
            mica__buf_append_z(out, ": ");
        }
        write_pretty(out, is_object ? mica__json_value(m) : m, indent, depth + 1);
    }
    new_line(out, indent, depth);
    mica__buf_append_char(out, is_object ? '}' : ']');
}

/* ---- an object with changes ----------------------------------------------------------------------------------------------- */

typedef struct member {
    mica__str key;
    mica__jval value; /* NULL: `text` is written as it is */
    const char *text;
} member;

typedef struct object {
    member *members; /* [n] */
    size_t n, cap;
    bool failed;
} object;

static member *find_member(object *o, mica__str key)
{
    for (size_t i = 0; i < o->n; i++) {
        if (mica__str_eq(o->members[i].key, key)) return &o->members[i];
    }
    return NULL;
}

static void set_member(object *o, mica__str key, mica__jval value, const char *text)
{
    member *m = find_member(o, key);
    if (!m && o->n == o->cap) {
        size_t cap = o->cap ? 2 * o->cap : 64;
        member *members = mica__realloc(o->members, cap, sizeof *members);
        if (!members) {
            o->failed = true;
            return;
        }
        o->members = members;
        o->cap = cap;
    }
    if (!m) m = &o->members[o->n++];
    *m = (member){key, value, text};
}

static void set_text(object *o, const char *key, const char *text) { set_member(o, mica__str_from(key), NULL, text); }

static void drop_member(object *o, const char *key)
{
    member *m = find_member(o, mica__str_from(key));
    if (!m) return;
    size_t after = (size_t)(o->members + o->n - m) - 1;
    memmove(m, m + 1, after * sizeof *m);
    o->n--;
}

static int by_key(const void *a, const void *b)
{
    mica__str x = ((const member *)a)->key, y = ((const member *)b)->key;
    int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    return order ? order : (x.n > y.n) - (x.n < y.n);
}

static void write_object(mica__buf *out, object *o, int indent)
{
    if (o->n) qsort(o->members, o->n, sizeof *o->members, by_key);
    mica__buf_append_char(out, '{');
    for (size_t i = 0; i < o->n; i++) {
        const member *m = &o->members[i];
        if (i) mica__buf_append_char(out, ',');
        new_line(out, indent, 1);
        mica__json_write_string(out, m->key, true);
        mica__buf_append_z(out, ": ");
        if (m->value)
            write_pretty(out, m->value, indent, 1);
        else
            mica__buf_append_z(out, m->text);
    }
    new_line(out, indent, 0);
    mica__buf_append_char(out, '}');
}

/* ---- config.json ---------------------------------------------------------------------------------------------------------- */

/* Classes of text parts that stand in wrappers, where config.json names the wrapper's class. */
static const char *class_of(mica__str model_type)
{
    static const struct {
        const char *type, *json;
    } known[] = {
        {"llama", "LlamaForCausalLM"},   {"mistral", "MistralForCausalLM"},    {"ministral3", "Ministral3ForCausalLM"},
        {"qwen2", "Qwen2ForCausalLM"},   {"qwen3", "Qwen3ForCausalLM"},        {"gemma", "GemmaForCausalLM"},
        {"gemma2", "Gemma2ForCausalLM"}, {"gemma3_text", "Gemma3ForCausalLM"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (mica__str_is(model_type, known[i].type)) return known[i].json;
    }
    return NULL;
}

static void take_members(object *o, mica__jval from)
{
    for (mica__jval m = mica__json_first(from); m; m = mica__json_next(from, m))
        set_member(o, mica__json_key(m), mica__json_value(m), NULL);
}

/* The text part alone, with what a wrapper says once for all of its parts. */
static void take_text_part(object *o, const mica__config *c, mica__buf *architectures)
{
    static const char *const shared[] = {"bos_token_id", "eos_token_id", "pad_token_id",
                                         "torch_dtype",  "dtype",        "transformers_version"};
    take_members(o, c->text);
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) {
        mica__jval v = mica__json_get(c->root, shared[i]);
        mica__str key = mica__str_from(shared[i]);
        if (v && !find_member(o, key)) set_member(o, key, v, NULL);
    }
    const char *class = class_of(c->model_type);
    if (!class) return;
    mica__buf_printf(architectures, "[\"%s\"]", class);
    if (!architectures->failed) set_text(o, "architectures", architectures->p);
}

static void write_quantization(mica__buf *out, const mica__quantization *q, int indent, int depth)
{
    mica__buf_append_char(out, '{');
    new_line(out, indent, depth + 1);
    mica__buf_printf(out, "\"group_size\": %d,", q->group_size);
    new_line(out, indent, depth + 1);
    mica__buf_printf(out, "\"bits\": %d,", q->bits);
    new_line(out, indent, depth + 1);
    mica__buf_printf(out, "\"mode\": \"%s\"", mica__quant_mode_name(q->mode));
}

static void write_quantizations(mica__buf *out, const mica__save_plan *plan, int indent)
{
    write_quantization(out, &plan->general, indent, 1);
    for (size_t i = 0; i < plan->n; i++) {
        const mica__save_entry *e = &plan->entries[i];
        if (e->action == MICA__SAVE_PLAIN || !e->named) continue;
        mica__buf_append_char(out, ',');
        new_line(out, indent, 2);
        mica__json_write_string(out, mica__str_from(e->path), true);
        mica__buf_append_z(out, ": ");
        write_quantization(out, &e->q, indent, 2);
        new_line(out, indent, 2);
        mica__buf_append_char(out, '}');
    }
    new_line(out, indent, 1);
    mica__buf_append_char(out, '}');
}

/* The type that most plain matrices, or else the scales, have now. */
static const char *dtype_of(const mica__save_plan *plan)
{
    uint64_t bytes[MICA_DTYPE_COUNT] = {0};
    int best = MICA_DTYPE_F32;
    for (size_t i = 0; i < plan->n; i++) {
        const mica__save_entry *e = &plan->entries[i];
        if (e->action == MICA__SAVE_PLAIN || e->q.mode == MICA_QUANT_AFFINE) bytes[e->dtype] += e->n_bytes;
    }
    for (int t = 0; t < MICA_DTYPE_COUNT; t++)
        if (bytes[t] > bytes[best]) best = t;
    return mica_dtype_name((mica_dtype)best);
}

static void set_dtype(object *o, const mica__save_plan *plan, char text[24])
{
    snprintf(text, 24, "\"%s\"", dtype_of(plan));
    bool has_old = find_member(o, MICA_STR("torch_dtype")), has_new = find_member(o, MICA_STR("dtype"));
    if (has_old) set_text(o, "torch_dtype", text);
    if (has_new || !has_old) set_text(o, "dtype", text);
}

mica_status mica__save_config(mica__buf *out, const mica__config *config, const mica__save_plan *plan,
                              const mica_save_options *options, bool keep_wrapper, bool tied, mica_error *err)
{
    static const char *const stale[] = {"_name_or_path", "vision_config", "quantization", "quantization_config"};
    const int indent = options->format == MICA_SAVE_MLX ? 4 : 2;
    object o = {0};
    mica__buf architectures = {0}, quantizations = {0};
    char dtype[24];
    if (config->text != config->root && !keep_wrapper)
        take_text_part(&o, config, &architectures);
    else
        take_members(&o, config->root);
    mica__jval vocab = mica__json_get(config->text, "vocab_size");
    if (keep_wrapper && vocab) set_member(&o, MICA_STR("vocab_size"), vocab, NULL); /* mlx-lm looks for it there */
    for (size_t i = 0; i < sizeof stale / sizeof *stale; i++) drop_member(&o, stale[i]);
    set_dtype(&o, plan, dtype);
    set_text(&o, "tie_word_embeddings", tied ? "true" : "false");
    if (plan->general.bits) {
        write_quantizations(&quantizations, plan, indent);
        const char *text = quantizations.failed ? "null" : quantizations.p;
        set_text(&o, "quantization", text);
        set_text(&o, "quantization_config", text);
    }
    write_object(out, &o, indent);
    mica__buf_append_char(out, '\n');
    mica_status status = mica__buf_status(&quantizations, err, "config.json");
    if (status == MICA_OK) status = mica__buf_status(out, err, "config.json");
    if (status == MICA_OK && (o.failed || architectures.failed)) status = mica__fail_memory(err, 64, "config.json");
    mica__free(o.members);
    mica__buf_release(&architectures);
    mica__buf_release(&quantizations);
    return status;
}

/* ---- the index ------------------------------------------------------------------------------------------------------------ */

typedef struct place {
    const char *name;
    int shard;
} place;

static int by_name(const void *a, const void *b) { return strcmp(((const place *)a)->name, ((const place *)b)->name); }

mica_status mica__save_index(mica__buf *out, const mica__save_plan *plan, mica_save_format format, mica_error *err)
{
    const int indent = format == MICA_SAVE_MLX ? 4 : 2;
    size_t n = 0;
    place *places = mica__alloc(3 * plan->n, sizeof *places);
    if (!places) return mica__fail_memory(err, 3 * plan->n * sizeof *places, "the index of shards");
    for (size_t i = 0; i < plan->n; i++) {
        const mica__save_entry *e = &plan->entries[i];
        for (int k = 0; k < e->n_tensors; k++) places[n++] = (place){e->tensors[k].name, e->shard};
    }
    qsort(places, n, sizeof *places, by_name);
    mica__buf_printf(out, "{\n%*s\"metadata\": {\n%*s\"total_parameters\": %llu,\n%*s\"total_size\": %llu\n%*s},\n",
                     indent, "", 2 * indent, "", (unsigned long long)plan->n_parameters, 2 * indent, "",
                     (unsigned long long)plan->n_bytes, indent, "");
    mica__buf_printf(out, "%*s\"weight_map\": {", indent, "");
    for (size_t i = 0; i < n; i++) {
        char shard[48];
        mica__save_shard_name(plan, places[i].shard, shard);
        if (i) mica__buf_append_char(out, ',');
        new_line(out, indent, 2);
        mica__json_write_string(out, mica__str_from(places[i].name), true);
        mica__buf_printf(out, ": \"%s\"", shard);
    }
    mica__buf_printf(out, "\n%*s}\n}\n", indent, "");
    mica__free(places);
    return mica__buf_status(out, err, "the index of shards");
}
