/* models/quantize_policy.c: recipes and rules. */
#include "quantize_policy.h"

/* ---- patterns ------------------------------------------------------------------------------------------------------------- */

bool mica__pattern_matches(mica__str pattern, mica__str text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, resume = 0;
    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            resume = t;
        } else if (p < pattern.n && pattern.p[p] == text.p[t]) {
            p++, t++;
        } else if (star != SIZE_MAX) { /* let the last star take one more */
            p = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*') p++;
    return p == pattern.n;
}

static bool contains(mica__str text, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= text.n; i++) {
        if (memcmp(text.p + i, part, n) == 0) return true;
    }
    return false;
}

/* ---- rules ---------------------------------------------------------------------------------------------------------------- */

static bool take_int(mica__jval object, const char *field, int *out)
{
    mica__jval v = mica__json_get(object, field);
    int64_t n;
    if (!v || mica__json_is(v, MICA__JSON_NULL)) return true;
    if (!mica__json_int(v, &n) || n < 1 || n > 1024) return false;
    *out = (int)n;
    return true;
}

/* {"bits": 6, "group_size": 64, "mode": "affine"}, each of which may be missing. */
static bool take_object(mica__jval v, mica__quantization *out)
{
    mica__str mode;
    *out = (mica__quantization){0};
    mica__jval m = mica__json_get(v, "mode");
    if (m && (!mica__json_string(m, &mode) || !mica__quant_mode_parse(&out->mode, mode))) return false;
    if (!take_int(v, "bits", &out->bits) || !take_int(v, "group_size", &out->group_size)) return false;
    mica__quantization_defaults(out);
    return mica__quantization_valid(out);
}

/* What a rule's value says: *quantize false for "left plain". */
static mica_status read_value(mica__str pattern, mica__jval v, const mica__quantization *general, bool *quantize,
                              mica__quantization *out, mica_error *err)
{
    mica__str text;
    *quantize = true;
    *out = *general;
    if (mica__json_bool(v, quantize)) return MICA_OK;
    if (mica__json_is(v, MICA__JSON_OBJECT) && take_object(v, out)) return MICA_OK;
    if (mica__json_is(v, MICA__JSON_NUMBER)) {
        mica_status status = mica__quantization_parse(out, mica__json_number_text(v), err);
        return status ? mica__fail_prefix(err, status, "rule '%s'", MICA_QUOTED_STR(pattern)) : MICA_OK;
    }
    if (mica__json_string(v, &text)) {
        mica_status status = mica__quantization_parse(out, text, err);
        return status ? mica__fail_prefix(err, status, "rule '%s'", MICA_QUOTED_STR(pattern)) : MICA_OK;
    }
    return mica__fail(err, MICA_INVALID,
                      "rule '%s': expected false, true, \"MODE-BITS-GROUP\" or {\"bits\": ..., \"group_size\": ..., "
                      "\"mode\": ...} that go together",
                      MICA_QUOTED_STR(pattern));
}

static mica_status take_rules(mica__quantize_policy *p, const char *text, mica_error *err)
{
    p->rules_text = mica__strndup(text, strlen(text));
    if (!p->rules_text) return mica__fail_memory(err, strlen(text), "rules");
    mica_status status = mica__json_parse(&p->rules, p->rules_text, strlen(p->rules_text), NULL, err);
    if (status == MICA_DATA) return mica__fail_prefix(err, MICA_INVALID, "rules");
    MICA_TRY(status);
    mica__jval root = mica__json_root(&p->rules);
    if (!mica__json_is(root, MICA__JSON_OBJECT))
        return mica__fail(err, MICA_INVALID, "rules: expected an object from patterns to quantizations");
    for (mica__jval m = mica__json_first(root); m; m = mica__json_next(root, m)) {
        bool quantize;
        mica__quantization q;
        MICA_TRY(read_value(mica__json_key(m), mica__json_value(m), &p->general, &quantize, &q, err));
    }
    return MICA_OK;
}

/* ---- recipes -------------------------------------------------------------------------------------------------------------- */

/* "mixed_3_6" or "mixed_3_6-32"; false if it is no recipe. */
static bool take_recipe(mica__quantize_policy *p, mica__str text, mica_status *status, mica_error *err)
{
    static const struct {
        const char *name;
        int low, high;
    } recipes[] = {{"mixed_2_6", 2, 6}, {"mixed_3_4", 3, 4}, {"mixed_3_6", 3, 6}, {"mixed_4_6", 4, 6}};
    *status = MICA_OK;
    if (!mica__str_starts(text, "mixed_")) return false;
    mica__str name = text, group = {0};
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '-') continue;
        name.n = i;
        group = (mica__str){text.p + i + 1, text.n - i - 1};
        break;
    }
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        if (!mica__str_is(name, recipes[i].name)) continue;
        p->general = (mica__quantization){.mode = MICA_QUANT_AFFINE, .bits = 4, .group_size = 64};
        if (mica__str_is(group, "32")) p->general.group_size = 32;
        if (mica__str_is(group, "128")) p->general.group_size = 128;
        if (group.n && p->general.group_size == 64 && !mica__str_is(group, "64")) break;
        p->is_recipe = true;
        p->low_bits = recipes[i].low;
        p->high_bits = recipes[i].high;
        return true;
    }
    *status = mica__fail(err, MICA_INVALID,
                         "quantization '%s' is not one of mixed_2_6, mixed_3_4, mixed_3_6, mixed_4_6, with -32, -64 or "
                         "-128 behind it for other groups than 64",
                         MICA_QUOTED_STR(text));
    return true;
}

/* Layers that keep more: the first and the last eighth, and every third between. */
static bool is_special_layer(int layer, int n_layers)
{
    int i = layer < 0 ? 0 : layer, eighth = n_layers / 8;
    return i < eighth || i >= 7 * n_layers / 8 || (i - eighth) % 3 == 2;
}

static int recipe_bits(const mica__quantize_policy *p, mica__str path, int layer)
{
    bool sensitive = contains(path, "v_proj") || contains(path, "v_a_proj") || contains(path, "v_b_proj") ||
                     contains(path, "down_proj");
    bool more = (sensitive && is_special_layer(layer, p->n_layers)) || contains(path, "lm_head");
    return more ? p->high_bits : p->low_bits;
}

/* ---- both ----------------------------------------------------------------------------------------------------------------- */

mica_status mica__quantize_policy_make(mica__quantize_policy *out, const char *quantize, const char *rules,
                                       int n_layers, mica_error *err)
{
    *out = (mica__quantize_policy){.n_layers = n_layers};
    mica_status status;
    if (!take_recipe(out, mica__str_from(quantize), &status, err))
        status = mica__quantization_parse(&out->general, mica__str_from(quantize), err);
    if (status == MICA_OK && rules) status = take_rules(out, rules, err);
    if (status != MICA_OK) mica__quantize_policy_release(out);
    return status;
}

void mica__quantize_policy_release(mica__quantize_policy *p)
{
    mica__json_release(&p->rules);
    mica__free(p->rules_text);
    *p = (mica__quantize_policy){0};
}

bool mica__quantize_policy_choose(const mica__quantize_policy *p, mica__str path, int layer, int64_t n_columns,
                                  mica__quantization *out, bool *named)
{
    mica__jval root = mica__json_root(&p->rules);
    *out = p->general;
    *named = p->is_recipe;
    for (mica__jval m = mica__json_first(root); m; m = mica__json_next(root, m)) {
        bool quantize;
        if (!mica__pattern_matches(mica__json_key(m), path)) continue;
        if (read_value(mica__json_key(m), mica__json_value(m), &p->general, &quantize, out, NULL) || !quantize)
            return false;
        return mica__quantization_fits(out, n_columns);
    }
    if (p->is_recipe) out->bits = recipe_bits(p, path, layer);
    return mica__quantization_fits(&p->general, n_columns);
}
