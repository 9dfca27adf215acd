/* generate/generation_config.c: settings by name.
 *
 * Values are kept as text and checked for their shape when they are set, so that an error names the setting and nothing is half set. */
#include "generation_config.h"

#include "models/model.h"
#include <math.h>
#include <stdio.h>

typedef struct row {
    mica_setting setting;
    mica__setting_shape shape;
    mica__setting_effect effect;
} row;

static const row rows[MICA__N_SETTINGS] = {
#define MICA__SETTING_ROW(name, kind, fallback, shape, effect, help)                                                   \
    {{#name, MICA_SETTING_##kind, fallback, help, MICA__EFFECT_##effect != MICA__EFFECT_NONE,                          \
      MICA__EFFECT_##effect == MICA__EFFECT_REFUSED},                                                                  \
     MICA__SHAPE_##shape,                                                                                              \
     MICA__EFFECT_##effect},
#include "setting_list.h"
};

const mica_setting *mica_setting_at(size_t i) { return i < MICA__N_SETTINGS ? &rows[i].setting : NULL; }
const mica_setting *mica__setting(mica__setting_id id) { return &rows[id].setting; }
mica__setting_shape mica__setting_shape_of(mica__setting_id id) { return rows[id].shape; }
mica__setting_effect mica__setting_effect_of(mica__setting_id id) { return rows[id].effect; }

const char *mica__setting_text(const mica_generation_config *c, mica__setting_id id)
{
    return c->values[id] ? c->values[id] : rows[id].setting.library_default;
}

/* ---- shapes ---------------------------------------------------------------------------------------------------------------------- */

static bool is_id(mica__jval v)
{
    int64_t id;
    return mica__json_int(v, &id) && id >= 0 && id <= INT32_MAX;
}

static bool is_number(mica__jval v)
{
    double x;
    return mica__json_double(v, &x) && isfinite(x);
}

static bool every(mica__jval list, bool (*fits)(mica__jval))
{
    if (!mica__json_is(list, MICA__JSON_ARRAY)) return false;
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e)) {
        if (!fits(e)) return false;
    }
    return true;
}

static bool is_string(mica__jval v) { return mica__json_is(v, MICA__JSON_STRING); }
static bool is_never(mica__jval v)
{
    mica__str s;
    return mica__json_string(v, &s) && mica__str_is(s, "never");
}
static bool is_id_list(mica__jval v) { return mica__json_count(v) > 0 && every(v, is_id); }

/* [[ids], bias] */
static bool is_bias(mica__jval v)
{
    return mica__json_is(v, MICA__JSON_ARRAY) && mica__json_count(v) == 2 && is_id_list(mica__json_at(v, 0)) &&
           is_number(mica__json_at(v, 1));
}

static bool in_range(mica__jval v, double min, double max)
{
    double x;
    return mica__json_double(v, &x) && x >= min && x <= max;
}

static bool is_whole(mica__jval v, int64_t min)
{
    int64_t i;
    return mica__json_int(v, &i) && i >= min;
}

/* NULL if the value fits, else what is expected. */
static const char *misfit(mica__setting_shape shape, mica__jval v)
{
    double x;
    switch (shape) {
    case MICA__SHAPE_BOOL:
        return mica__json_is(v, MICA__JSON_TRUE) || mica__json_is(v, MICA__JSON_FALSE) ? NULL : "true or false";
    case MICA__SHAPE_COUNT:
        return is_whole(v, 0) ? NULL : "a whole number, 0 or more";
    case MICA__SHAPE_POSITIVE:
        return is_whole(v, 1) ? NULL : "a whole number, 1 or more";
    case MICA__SHAPE_INT:
        return is_whole(v, INT64_MIN) ? NULL : "a whole number";
    case MICA__SHAPE_ABOVE_ZERO:
        return mica__json_double(v, &x) && x > 0 && isfinite(x) ? NULL : "a number above 0";
    case MICA__SHAPE_SHARE:
        return in_range(v, 0, 1) ? NULL : "a number from 0 to 1";
    case MICA__SHAPE_NUMBER:
        return is_number(v) ? NULL : "a number";
    case MICA__SHAPE_ID:
        return is_id(v) ? NULL : "a token id";
    case MICA__SHAPE_IDS:
        return is_id(v) || every(v, is_id) ? NULL : "a token id or a list of token ids";
    case MICA__SHAPE_ID_LISTS:
        return every(v, is_id_list) ? NULL : "a list of lists of token ids";
    case MICA__SHAPE_BIASES:
        return every(v, is_bias) ? NULL : "a list of [[token ids], bias]";
    case MICA__SHAPE_DECAY:
        return mica__json_count(v) == 2 && is_whole(mica__json_at(v, 0), 0) && is_number(mica__json_at(v, 1))
                   ? NULL
                   : "[start, factor]";
    case MICA__SHAPE_STRINGS:
        return is_string(v) || every(v, is_string) ? NULL : "a string or a list of strings";
    case MICA__SHAPE_EARLY:
        return mica__json_is(v, MICA__JSON_TRUE) || mica__json_is(v, MICA__JSON_FALSE) || is_never(v)
                   ? NULL
                   : "true, false or \"never\"";
    case MICA__SHAPE_OBJECT:
        return mica__json_is(v, MICA__JSON_OBJECT) ? NULL : "an object";
    default:
        return NULL;
    }
}

/* ---- names --------------------------------------------------------------------------------------------------------------------------- */

static int find(mica__str name)
{
    for (int i = 0; i < MICA__N_SETTINGS; i++) {
        if (mica__str_is(name, rows[i].setting.name)) return i;
    }
    return -1;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Edits that turn one name into the other. Names are cut at 47 bytes. */
static size_t distance(mica__str a, mica__str b)
{
    size_t costs[48], na = least(a.n, 47), nb = least(b.n, 47);
    for (size_t j = 0; j <= nb; j++) costs[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = costs[0];
        costs[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t replace = diagonal + (a.p[i - 1] != b.p[j - 1]);
            diagonal = costs[j];
            costs[j] = least(replace, least(costs[j], costs[j - 1]) + 1);
        }
    }
    return costs[nb];
}

static mica_status fail_unknown(mica__str name, mica_error *err)
{
    size_t best = SIZE_MAX;
    const char *nearest = "";
    for (int i = 0; i < MICA__N_SETTINGS; i++) {
        size_t d = distance(name, mica__str_from(rows[i].setting.name));
        if (d < best) best = d, nearest = rows[i].setting.name;
    }
    if (best > 1 + name.n / 3) {
        return mica__fail(err, MICA_INVALID, "there is no generation setting '%s'", MICA_QUOTED_STR(name));
    }
    return mica__fail(err, MICA_INVALID, "there is no generation setting '%s'; did you mean '%s'?",
                      MICA_QUOTED_STR(name), nearest);
}

/* ---- setting ------------------------------------------------------------------------------------------------------------------------------ */

static mica_status set_value(mica_generation_config *c, int id, mica__jval v, mica_error *err)
{
    const char *expected = mica__json_is(v, MICA__JSON_NULL) ? NULL : misfit(rows[id].shape, v);
    mica__buf text = {.max = 1 << 24};
    if (mica__json_is(v, MICA__JSON_NULL)) {
        mica__free(c->values[id]);
        c->values[id] = NULL;
        return MICA_OK;
    }
    mica__json_write(&text, v);
    if (expected) {
        mica_status status = mica__fail(err, MICA_INVALID, "%s: expected %s, found %s", rows[id].setting.name, expected,
                                        MICA_QUOTED(text.p, text.n));
        mica__buf_release(&text);
        return status;
    }
    char *taken = mica__buf_take(&text);
    if (!taken) return mica__fail_memory(err, text.n, rows[id].setting.name);
    mica__free(c->values[id]);
    c->values[id] = taken;
    return MICA_OK;
}

static void notice_no_effect(const mica_generation_config *c, int id)
{
    if (rows[id].effect != MICA__EFFECT_NONE || !c->notices.notice) return;
    char text[160];
    snprintf(text, sizeof text, "%s has no effect here", rows[id].setting.name);
    c->notices.notice(c->notices.context, text);
}

mica_status mica_generation_config_set(mica_generation_config *c, const char *name, const char *json, mica_error *err)
{
    int id = find(mica__str_from(name));
    if (id < 0) return fail_unknown(mica__str_from(name), err);
    mica__json doc;
    mica_status status = mica__json_parse(&doc, json, strlen(json), NULL, err);
    if (status == MICA_DATA && err) err->status = MICA_INVALID;
    if (status) return mica__fail_prefix(err, status == MICA_DATA ? MICA_INVALID : status, "%s", name);
    status = set_value(c, id, mica__json_root(&doc), err);
    if (!status) notice_no_effect(c, id);
    mica__json_release(&doc);
    return status;
}

static mica_status update_from(mica_generation_config *c, mica__jval object, mica_error *err)
{
    if (!mica__json_is(object, MICA__JSON_OBJECT))
        return mica__fail(err, MICA_INVALID, "expected an object of generation settings");
    for (mica__jval m = mica__json_first(object); m; m = mica__json_next(object, m)) {
        if (find(mica__json_key(m)) < 0) return fail_unknown(mica__json_key(m), err);
    }
    for (mica__jval m = mica__json_first(object); m; m = mica__json_next(object, m)) {
        int id = find(mica__json_key(m));
        MICA_TRY(set_value(c, id, mica__json_value(m), err));
        notice_no_effect(c, id);
    }
    return MICA_OK;
}

mica_status mica_generation_config_update(mica_generation_config *c, const char *json, size_t n, mica_error *err)
{
    mica__json doc;
    MICA_TRY(mica__json_parse(&doc, json, n, NULL, err));
    mica_status status = update_from(c, mica__json_root(&doc), err);
    mica__json_release(&doc);
    return status;
}

mica_status mica_generation_config_get(const mica_generation_config *c, const char *name, mica_text *out,
                                       mica_error *err)
{
    int id = find(mica__str_from(name));
    if (id < 0) return fail_unknown(mica__str_from(name), err);
    const char *value = c->values[id] ? c->values[id] : "null";
    size_t n = strlen(value), need;
    if (!mica__add(out->n, n + 1, &need)) return mica__fail_memory(err, n, "text");
    if (need > out->capacity) {
        char *data = mica__realloc(out->data, need, 1);
        if (!data) return mica__fail_memory(err, need, "text");
        out->data = data;
        out->capacity = need;
    }
    memcpy(out->data + out->n, value, n + 1);
    out->n += n;
    return MICA_OK;
}

/* ---- a model's own ------------------------------------------------------------------------------------------------------------------------- */

/* A value that does not fit is left out with a notice: a checkpoint's advice must not make it unusable. */
static void take_members(mica_generation_config *c, mica__jval object, const char *file)
{
    for (mica__jval m = mica__json_first(object); m; m = mica__json_next(object, m)) {
        int id = find(mica__json_key(m));
        mica_error problem;
        if (id < 0 || !set_value(c, id, mica__json_value(m), &problem) || !c->notices.notice) continue;
        char text[600];
        snprintf(text, sizeof text, "%s: %s; ignored", file, problem.message);
        c->notices.notice(c->notices.context, text);
    }
}

static mica_status set_ids(mica_generation_config *c, int id, const int32_t *ids, int n, mica_error *err)
{
    if (c->values[id] || n == 0) return MICA_OK;
    mica__buf text = {0};
    if (n > 1) mica__buf_append_char(&text, '[');
    for (int i = 0; i < n; i++) mica__buf_printf(&text, "%s%d", i ? ", " : "", (int)ids[i]);
    if (n > 1) mica__buf_append_char(&text, ']');
    c->values[id] = mica__buf_take(&text);
    return c->values[id] ? MICA_OK : mica__fail_memory(err, 16, "token ids");
}

static mica_status take_model(mica_generation_config *c, const mica_model *m, mica_error *err)
{
    c->notices = m->notices;
    mica__json doc;
    if (m->generation_json.n) {
        mica_status status = mica__json_parse(&doc, m->generation_json.p, m->generation_json.n, NULL, err);
        if (status) return mica__fail_prefix(err, status, "generation_config.json");
        take_members(c, mica__json_root(&doc), "generation_config.json");
        mica__json_release(&doc);
    } else {
        take_members(c, m->config.text, "config.json");
    }
    MICA_TRY(set_ids(c, MICA__SET_eos_token_id, m->spec.eos, m->spec.n_eos, err));
    MICA_TRY(set_ids(c, MICA__SET_bos_token_id, &m->spec.bos, m->spec.bos >= 0, err));
    return set_ids(c, MICA__SET_pad_token_id, &m->spec.pad, m->spec.pad >= 0, err);
}

mica_status mica_generation_config_create(mica_generation_config **out, const mica_model *model, mica_error *err)
{
    *out = mica__calloc(1, sizeof **out);
    if (!*out) return mica__fail_memory(err, sizeof **out, "generation settings");
    mica_status status = model ? take_model(*out, model, err) : MICA_OK;
    if (!status) return MICA_OK;
    mica_generation_config_free(*out);
    *out = NULL;
    return status;
}

mica_status mica__generation_config_copy(mica_generation_config **out, const mica_generation_config *c, mica_error *err)
{
    *out = mica__calloc(1, sizeof **out);
    if (!*out) return mica__fail_memory(err, sizeof **out, "generation settings");
    (*out)->notices = c->notices;
    for (int i = 0; i < MICA__N_SETTINGS; i++) {
        if (!c->values[i]) continue;
        (*out)->values[i] = mica__strndup(c->values[i], strlen(c->values[i]));
        if ((*out)->values[i]) continue;
        mica_generation_config_free(*out);
        *out = NULL;
        return mica__fail_memory(err, strlen(c->values[i]), "generation settings");
    }
    return MICA_OK;
}

void mica_generation_config_free(mica_generation_config *c)
{
    if (!c) return;
    for (int i = 0; i < MICA__N_SETTINGS; i++) mica__free(c->values[i]);
    mica__free(c);
}
