/* models/config.c: fields of config.json with defaults, checks and a latched failure. */
#include "config.h"

#include <math.h>
#include <stdio.h>

static mica__str text_of(mica__jval object, const char *field)
{
    mica__str s = MICA_STR("");
    mica__json_string(mica__json_get(object, field), &s);
    return s;
}

/* Fields that ask for code from the repository: never run, one notice for all of them. */
static void notice_remote_code(const mica__config *c)
{
    static const char *const fields[] = {"auto_map", "trust_remote_code", "_attn_implementation_internal"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!mica__json_get(c->root, fields[i])) continue;
        mica__config_notice(c, "config.json asks for code from the checkpoint (%s); it is ignored", fields[i]);
        return;
    }
}

mica_status mica__config_parse(mica__config *out, mica__str json, const mica_notices *notices, mica_error *err)
{
    *out = (mica__config){0};
    if (notices) out->notices = *notices;
    const mica__json_limits limits = {.allow_nonfinite = true};
    mica_status status = mica__json_parse(&out->doc, json.p, json.n, &limits, err);
    if (status) return mica__fail_prefix(err, status, "config.json");
    out->root = mica__json_root(&out->doc);
    if (!mica__json_is(out->root, MICA__JSON_OBJECT)) {
        mica__config_release(out);
        return mica__fail(err, MICA_DATA, "config.json: expected an object");
    }
    out->text = out->root;
    static const char *const nested[] = {"text_config", "llm_config"};
    for (size_t i = 0; i < sizeof nested / sizeof *nested; i++) {
        mica__jval part = mica__json_get(out->root, nested[i]);
        if (!mica__json_is(part, MICA__JSON_OBJECT)) continue;
        out->text = part;
        out->wrapper_type = text_of(out->root, "model_type");
        break;
    }
    out->model_type = text_of(out->text, "model_type");
    mica__json_string(mica__json_at(mica__json_get(out->root, "architectures"), 0), &out->architecture);
    notice_remote_code(out);
    return MICA_OK;
}

void mica__config_release(mica__config *c)
{
    mica__json_release(&c->doc);
    mica__arena_release(&c->arena);
    *c = (mica__config){0};
}

mica_status mica__config_status(const mica__config *c, mica_error *err)
{
    if (c->failure.status != MICA_OK && err) *err = c->failure;
    return c->failure.status;
}

void mica__config_fail(mica__config *c, mica_status status, const char *field, const char *fmt, ...)
{
    if (c->failure.status != MICA_OK) return;
    char text[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    mica__fail(&c->failure, status, "config.json: %s: %s", field, text);
}

void mica__config_notice(const mica__config *c, const char *fmt, ...)
{
    if (!c->notices.notice) return;
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    c->notices.notice(c->notices.context, text);
}

/* ---- single fields ----------------------------------------------------------------------------------------------------- */

mica__jval mica__config_get(const mica__config *c, const char *field)
{
    mica__jval v = mica__json_get(c->text, field);
    return mica__json_is(v, MICA__JSON_NULL) ? NULL : v;
}

bool mica__config_has(const mica__config *c, const char *field) { return mica__json_get(c->text, field) != NULL; }

/* The value as it stands in the file, fit for a message. */
static const char *shown(mica__jval v, char out[64])
{
    static const char *const kinds[] = {"null", "false", "true", "", "a string", "a list", "an object"};
    if (!mica__json_is(v, MICA__JSON_NUMBER)) return kinds[mica__json_type(v)];
    mica__str s = mica__json_number_text(v);
    snprintf(out, 64, "%.*s", (int)(s.n < 40 ? s.n : 40), s.p);
    return out;
}

static int64_t int_of(mica__config *c, mica__jval v, const char *field, int64_t missing, int64_t min, int64_t max)
{
    if (!v) return missing;
    char text[64];
    int64_t value;
    if (!mica__json_int(v, &value)) {
        mica__config_fail(c, MICA_DATA, field, "expected a whole number, found %s", shown(v, text));
        return missing;
    }
    if (value < min || value > max) {
        mica__config_fail(c, MICA_DATA, field, "expected %lld to %lld, found %lld", (long long)min, (long long)max,
                          (long long)value);
        return missing;
    }
    return value;
}

int64_t mica__config_int(mica__config *c, const char *field, int64_t missing, int64_t min, int64_t max)
{
    return int_of(c, mica__config_get(c, field), field, missing, min, max);
}

int64_t mica__config_optional_int(mica__config *c, const char *field, int64_t missing, int64_t min, int64_t max)
{
    if (mica__json_is(mica__json_get(c->text, field), MICA__JSON_NULL)) return 0;
    return mica__config_int(c, field, missing, min, max);
}

static double double_of(mica__config *c, mica__jval v, const char *field, double missing)
{
    if (!v) return missing;
    char text[64];
    double value;
    if (mica__json_double(v, &value) && isfinite(value)) return value;
    mica__config_fail(c, MICA_DATA, field, "expected a finite number, found %s", shown(v, text));
    return missing;
}

static double positive_of(mica__config *c, mica__jval v, const char *field, double missing)
{
    double value = double_of(c, v, field, missing);
    if (!v || value > 0) return value;
    mica__config_fail(c, MICA_DATA, field, "expected a number above 0, found %g", value);
    return missing;
}

double mica__config_double(mica__config *c, const char *field, double missing)
{
    return double_of(c, mica__config_get(c, field), field, missing);
}

double mica__config_positive(mica__config *c, const char *field, double missing)
{
    return positive_of(c, mica__config_get(c, field), field, missing);
}

double mica__config_optional_positive(mica__config *c, const char *field, double missing)
{
    if (mica__json_is(mica__json_get(c->text, field), MICA__JSON_NULL)) return 0;
    return mica__config_positive(c, field, missing);
}

static bool bool_of(mica__config *c, mica__jval v, const char *field, bool missing)
{
    if (!v) return missing;
    char text[64];
    bool value;
    if (mica__json_bool(v, &value)) return value;
    mica__config_fail(c, MICA_DATA, field, "expected true or false, found %s", shown(v, text));
    return missing;
}

bool mica__config_bool(mica__config *c, const char *field, bool missing)
{
    return bool_of(c, mica__config_get(c, field), field, missing);
}

mica__str mica__config_string(mica__config *c, const char *field, const char *missing)
{
    mica__jval v = mica__config_get(c, field);
    mica__str s = mica__str_from(missing);
    char text[64];
    if (v && !mica__json_string(v, &s)) {
        mica__config_fail(c, MICA_DATA, field, "expected a string, found %s", shown(v, text));
    }
    return s;
}

int mica__json_token_ids(mica__jval object, const char *field, int32_t *out, int max)
{
    mica__jval v = mica__json_get(object, field);
    if (!v || mica__json_is(v, MICA__JSON_NULL)) return -1;
    int n = 0;
    int64_t id;
    bool is_list = mica__json_is(v, MICA__JSON_ARRAY);
    for (mica__jval e = is_list ? mica__json_first(v) : v; e; e = is_list ? mica__json_next(v, e) : NULL) {
        if (n < max && mica__json_int(e, &id) && id >= 0 && id <= INT32_MAX) out[n++] = (int32_t)id;
    }
    return n;
}

/* ---- layer schedule ----------------------------------------------------------------------------------------------------- */

const bool *mica__config_sliding_layers(mica__config *c, int n_layers)
{
    mica__jval list = mica__config_get(c, "layer_types");
    if (!list) return NULL;
    bool *sliding = mica__arena_calloc(&c->arena, (size_t)n_layers, sizeof *sliding);
    if (!sliding) {
        mica__fail_memory(&c->failure, (size_t)n_layers, "layer_types");
        return NULL;
    }
    if (!mica__json_is(list, MICA__JSON_ARRAY) || mica__json_count(list) != (size_t)n_layers) {
        mica__config_fail(c, MICA_DATA, "layer_types", "expected a list of %d names, found %zu", n_layers,
                          mica__json_count(list));
        return sliding;
    }
    int i = 0;
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e), i++) {
        mica__str name = MICA_STR("");
        mica__json_string(e, &name);
        sliding[i] = mica__str_is(name, "sliding_attention");
        if (sliding[i] || mica__str_is(name, "full_attention") || mica__str_is(name, "attention")) continue;
        mica__config_fail(c, MICA_UNSUPPORTED, "layer_types",
                          "layer %d is '%s'; full_attention and sliding_attention are known", i, MICA_QUOTED_STR(name));
    }
    return sliding;
}

const bool *mica__config_sliding_pattern(mica__config *c, int n_layers, int period)
{
    bool *sliding = mica__arena_calloc(&c->arena, (size_t)n_layers, sizeof *sliding);
    if (!sliding) {
        mica__fail_memory(&c->failure, (size_t)n_layers, "layer schedule");
        return NULL;
    }
    for (int i = 0; i < n_layers; i++) sliding[i] = (i + 1) % period != 0;
    return sliding;
}

/* ---- rope ------------------------------------------------------------------------------------------------------------------ */

static mica__jval field_of(mica__jval dict, const char *field)
{
    mica__jval v = mica__json_get(dict, field);
    return mica__json_is(v, MICA__JSON_NULL) ? NULL : v;
}

mica__jval mica__config_rope_dict(const mica__config *c)
{
    mica__jval dict = mica__config_get(c, "rope_scaling");
    if (mica__json_count(dict) == 0) dict = mica__config_get(c, "rope_parameters");
    return mica__json_count(dict) ? dict : NULL;
}

static mica__rope_type rope_type_of(mica__config *c, mica__jval dict, const char *where)
{
    mica__str name = MICA_STR("default");
    mica__jval v = field_of(dict, "rope_type");
    mica__json_string(v ? v : field_of(dict, "type"), &name);
    /* Equal positions on all three axes of the multimodal kind are plain positions. */
    if (mica__str_is(name, "mrope")) return MICA__ROPE_DEFAULT;
    if (mica__str_is(name, "su")) return MICA__ROPE_LONGROPE;
    for (int t = 0; t < MICA__ROPE_N_TYPES; t++) {
        if (mica__str_is(name, mica__rope_type_name((mica__rope_type)t))) return (mica__rope_type)t;
    }
    mica__config_fail(c, MICA_UNSUPPORTED, where, "rope type '%s' is not known", MICA_QUOTED_STR(name));
    return MICA__ROPE_DEFAULT;
}

/* A list of dims / 2 positive divisors. */
static const float *rope_factors(mica__config *c, mica__jval dict, const char *field, int n)
{
    mica__jval list = field_of(dict, field);
    float *out = mica__arena_calloc(&c->arena, (size_t)n, sizeof *out);
    if (!out) {
        mica__fail_memory(&c->failure, (size_t)n * sizeof *out, field);
        return NULL;
    }
    if (!mica__json_is(list, MICA__JSON_ARRAY) || mica__json_count(list) != (size_t)n) {
        mica__config_fail(c, MICA_DATA, field, "expected a list of %d numbers, found %zu", n, mica__json_count(list));
    }
    int i = 0;
    for (mica__jval e = mica__json_first(list); e && i < n; e = mica__json_next(list, e), i++) {
        out[i] = (float)positive_of(c, e, field, 1);
    }
    for (; i < n; i++) out[i] = 1;
    return out;
}

/* The factor is required by most kinds. Yarn and longrope derive it from the two context lengths if it is null or absent. */
static double rope_factor(mica__config *c, mica__jval dict, const char *where, mica__rope_type type)
{
    mica__jval v = field_of(dict, "factor");
    bool needed = type == MICA__ROPE_LINEAR || type == MICA__ROPE_DYNAMIC || type == MICA__ROPE_LLAMA3;
    if (!v && needed) mica__config_fail(c, MICA_DATA, where, "factor is missing");
    return positive_of(c, v, "factor", needed ? 1 : 0);
}

/* `original` is the length that the model was trained with, NULL if nobody says. */
static mica__rope rope_of(mica__config *c, mica__jval dict, mica__jval original, const char *where, int head_dim,
                          int64_t context, double theta)
{
    mica__rope r = {.type = rope_type_of(c, dict, where), .dims = head_dim, .max_length = context};
    mica__jval v = field_of(dict, "rope_theta");
    r.theta = positive_of(c, v, "rope_theta", theta);
    v = field_of(dict, "partial_rotary_factor");
    r.share = positive_of(c, v ? v : mica__config_get(c, "partial_rotary_factor"), "partial_rotary_factor", 1);
    if (r.share > 1) mica__config_fail(c, MICA_DATA, "partial_rotary_factor", "expected at most 1, found %g", r.share);
    /* The plain kind turns whole heads, whatever the partial factor: architectures that want it say so themselves. */
    if (r.type != MICA__ROPE_PROPORTIONAL && r.type != MICA__ROPE_DEFAULT) r.dims = (int)(head_dim * r.share);
    if (r.dims < 2 || r.dims % 2) {
        mica__config_fail(c, MICA_DATA, where, "%d elements of a head cannot turn in pairs", r.dims);
        r.dims = 2;
    }
    r.factor = rope_factor(c, dict, where, r.type);
    r.attention_factor = double_of(c, field_of(dict, "attention_factor"), "attention_factor", -1);
    bool has_original = r.type == MICA__ROPE_YARN || r.type == MICA__ROPE_LONGROPE || r.type == MICA__ROPE_LLAMA3;
    r.original_length = context;
    if (has_original) {
        r.original_length = int_of(c, original, "original_max_position_embeddings", context, 1, INT32_MAX);
    }
    if (r.type == MICA__ROPE_YARN) {
        r.beta_fast = double_of(c, field_of(dict, "beta_fast"), "beta_fast", 32);
        r.beta_slow = double_of(c, field_of(dict, "beta_slow"), "beta_slow", 1);
        if (r.beta_fast == 0) r.beta_fast = 32;
        if (r.beta_slow == 0) r.beta_slow = 1;
        r.mscale = double_of(c, field_of(dict, "mscale"), "mscale", 0);
        r.mscale_all_dim = double_of(c, field_of(dict, "mscale_all_dim"), "mscale_all_dim", 0);
        r.truncate = bool_of(c, field_of(dict, "truncate"), "truncate", true);
    } else if (r.type == MICA__ROPE_LLAMA3) {
        r.low_freq_factor = positive_of(c, field_of(dict, "low_freq_factor"), "low_freq_factor", 1);
        r.high_freq_factor = positive_of(c, field_of(dict, "high_freq_factor"), "high_freq_factor", 4);
    } else if (r.type == MICA__ROPE_LONGROPE) {
        r.short_factors = rope_factors(c, dict, "short_factor", r.dims / 2);
        r.long_factors = rope_factors(c, dict, "long_factor", r.dims / 2);
    }
    if (c->failure.status == MICA_OK) {
        mica_error bad;
        mica_status status = mica__rope_check(&r, where, &bad);
        if (status) c->failure = bad;
    }
    return r;
}

mica__rope mica__config_rope_from(mica__config *c, mica__jval dict, const char *where, int head_dim, int64_t context,
                                  double theta)
{
    mica__jval original = field_of(dict, "original_max_position_embeddings");
    return rope_of(c, dict, original, where, head_dim, context, theta);
}

mica__rope mica__config_rope(mica__config *c, int head_dim, int64_t context, double theta)
{
    mica__jval dict = mica__config_rope_dict(c);
    const char *where = mica__config_get(c, "rope_scaling") ? "rope_scaling" : "rope_parameters";
    mica__jval original = mica__config_get(c, "original_max_position_embeddings"); /* goes before the dictionary's */
    if (!original) original = field_of(dict, "original_max_position_embeddings");
    return rope_of(c, dict, original, where, head_dim, context, mica__config_positive(c, "rope_theta", theta));
}
