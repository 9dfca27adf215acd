/* models/quantize_plan.c: recipes and rules. */
#include "quantize_plan.h"

#include "base/file.h"

enum { MAX_RULES = 1 << 20 };

/* ---- reading ------------------------------------------------------------------------------------------------------------------ */

/* "mixed_3_6" or "mixed_3_6-32"; false if it is neither. */
static bool parse_recipe(mica__quantize_plan *p, mica__str text)
{
    static const struct {
        const char *name;
        int low, high;
    } recipes[] = {{"mixed_2_6", 2, 6}, {"mixed_3_4", 3, 4}, {"mixed_3_6", 3, 6}, {"mixed_4_6", 4, 6}};
    static const struct {
        const char *text;
        int group_size;
    } groups[] = {{"", 64}, {"-32", 32}, {"-64", 64}, {"-128", 128}};
    const size_t n = sizeof "mixed_2_6" - 1;
    if (text.n < n) return false;
    for (size_t r = 0; r < sizeof recipes / sizeof *recipes; r++) {
        if (memcmp(text.p, recipes[r].name, n)) continue;
        for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
            if (!mica__str_is((mica__str){text.p + n, text.n - n}, groups[g].text)) continue;
            p->base = (mica__quantization){MICA_QUANT_AFFINE, 4, groups[g].group_size};
            p->low_bits = recipes[r].low;
            p->high_bits = recipes[r].high;
            return true;
        }
    }
    return false;
}

static mica_status parse_base(mica__quantize_plan *p, mica__str text, mica_error *err)
{
    if (parse_recipe(p, text)) return MICA_OK;
    if (!mica__quantization_parse(&p->base, text, NULL)) return MICA_OK;
    return mica__fail(
        err, MICA_INVALID,
        "quantization '%s' is not one of affine-BITS-GROUP with 2, 3, 4, 5, 6, 8 bits and groups of 32, 64, 128 "
        "(4 means affine-4-64), mxfp4, mxfp8, nvfp4, mixed_2_6, mixed_3_4, mixed_3_6, mixed_4_6",
        MICA_QUOTED_STR(text));
}

/* {"bits": 8}: what is missing is the mode's default, and a missing mode is affine. */
static bool value_of_object(mica__jval object, mica__quantization *out)
{
    *out = (mica__quantization){MICA_QUANT_AFFINE, 0, 0};
    for (mica__jval m = mica__json_first(object); m; m = mica__json_next(object, m)) {
        mica__str key = mica__json_key(m), mode;
        mica__jval v = mica__json_value(m);
        int64_t number = 0;
        if (mica__json_is(v, MICA__JSON_NULL)) continue;
        if (mica__str_is(key, "mode")) {
            if (!mica__json_string(v, &mode) || !mica__quant_mode_parse(&out->mode, mode)) return false;
            continue;
        }
        if (!mica__json_int(v, &number) || number < 1 || number > 128) return false;
        if (mica__str_is(key, "bits"))
            out->bits = (int)number;
        else if (mica__str_is(key, "group_size"))
            out->group_size = (int)number;
        else
            return false;
    }
    mica__quantization_defaults(out);
    return mica__quantization_valid(out);
}

/* False if it is not a value of a rule. bits 0: not quantized. */
static bool value_of(mica__jval v, const mica__quantization *base, mica__quantization *out)
{
    mica__str text;
    int64_t bits;
    bool yes;
    if (mica__json_bool(v, &yes)) {
        *out = yes ? *base : (mica__quantization){MICA_QUANT_AFFINE, 0, 0};
        return true;
    }
    if (mica__json_string(v, &text)) return mica__quantization_parse(out, text, NULL) == MICA_OK;
    if (mica__json_int(v, &bits)) {
        *out = (mica__quantization){MICA_QUANT_AFFINE, (int)(bits > 0 && bits < 9 ? bits : 9), 64};
        return mica__quantization_valid(out);
    }
    return mica__json_is(v, MICA__JSON_OBJECT) && value_of_object(v, out);
}

static mica_status parse_rules(mica__quantize_plan *p, const char *rules, mica_error *err)
{
    mica__str text = mica__str_from(rules);
    p->text.max = MAX_RULES;
    if (mica__str_ends(text, ".json")) {
        MICA_TRY(mica__file_read(&p->text, rules, MAX_RULES, err));
    } else {
        mica__buf_append_str(&p->text, text);
        MICA_TRY(mica__buf_status(&p->text, err, "rules of quantization"));
    }
    mica_status status = mica__json_parse(&p->rules, p->text.p, p->text.n, NULL, err);
    if (status) return mica__fail_prefix(err, MICA_INVALID, "rules of quantization: ");
    mica__jval root = mica__json_root(&p->rules);
    if (!mica__json_is(root, MICA__JSON_OBJECT))
        return mica__fail(err, MICA_INVALID,
                          "rules of quantization: expected an object from patterns to quantizations");
    for (mica__jval m = mica__json_first(root); m; m = mica__json_next(root, m)) {
        mica__quantization q;
        if (value_of(mica__json_value(m), &p->base, &q)) continue;
        return mica__fail(
            err, MICA_INVALID,
            "rules of quantization: '%s' has no value like \"6\", \"mxfp8\", {\"bits\": 8}, true or false",
            MICA_QUOTED_STR(mica__json_key(m)));
    }
    return MICA_OK;
}

mica_status mica__quantize_plan_init(mica__quantize_plan *out, const char *quantize, const char *rules,
                                     const char *quantizer, mica_error *err)
{
    *out = (mica__quantize_plan){.quantizer = MICA__QUANTIZER_MLX};
    if (quantizer && strcmp(quantizer, "search") == 0)
        out->quantizer = MICA__QUANTIZER_SEARCH;
    else if (quantizer && strcmp(quantizer, "mlx") != 0)
        return mica__fail(err, MICA_INVALID, "quantizer '%s' is not one of mlx, search",
                          MICA_QUOTED(quantizer, strlen(quantizer)));
    mica_status status = quantize ? parse_base(out, mica__str_from(quantize), err) : MICA_OK;
    if (!status && rules) status = parse_rules(out, rules, err);
    if (status) mica__quantize_plan_release(out);
    return status;
}

void mica__quantize_plan_release(mica__quantize_plan *p)
{
    mica__json_release(&p->rules);
    mica__buf_release(&p->text);
    *p = (mica__quantize_plan){.low_bits = 0};
}

/* ---- asking ------------------------------------------------------------------------------------------------------------------- */

/* The last star that was passed is the only one worth going back to. */
static bool matches(mica__str pattern, mica__str text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, retry = 0;
    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            retry = t;
        } else if (p < pattern.n && pattern.p[p] == text.p[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++retry;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*') p++;
    return p == pattern.n;
}

static bool contains(mica__str text, const char *part)
{
    const size_t n = strlen(part);
    for (size_t i = 0; i + n <= text.n; i++)
        if (!memcmp(text.p + i, part, n)) return true;
    return false;
}

/* The first part of the path that is a number; 0 if none is. */
static int layer_of(mica__str path)
{
    for (size_t i = 0; i < path.n; i++) {
        int number = 0;
        size_t at = i;
        if (i && path.p[i - 1] != '.') continue;
        for (; at < path.n && path.p[at] >= '0' && path.p[at] <= '9' && number < 1000000; at++)
            number = 10 * number + (path.p[at] - '0');
        if (at > i && (at == path.n || path.p[at] == '.')) return number;
    }
    return 0;
}

/* mlx-lm's choice: the first and last eighth of the layers, and every third between. */
static int recipe_bits(const mica__quantize_plan *p, mica__str path, int n_layers)
{
    const int layer = layer_of(path), first = n_layers / 8;
    const bool more = layer < first || layer >= 7 * n_layers / 8 || (layer - first) % 3 == 2;
    const bool value = contains(path, "v_proj") || contains(path, "v_a_proj") || contains(path, "v_b_proj");
    if (more && (value || contains(path, "down_proj"))) return p->high_bits;
    return contains(path, "lm_head") ? p->high_bits : p->low_bits;
}

bool mica__quantize_plan_find(const mica__quantize_plan *p, mica__str path, int n_layers, int64_t n_columns,
                              mica__quantization *out)
{
    mica__jval rules = mica__json_root(&p->rules);
    *out = p->base;
    if (p->low_bits) out->bits = recipe_bits(p, path, n_layers);
    for (mica__jval m = mica__json_first(rules); m; m = mica__json_next(rules, m)) {
        if (!matches(mica__json_key(m), path)) continue;
        mica__quantization usual = *out;
        value_of(mica__json_value(m), &usual, out);
        break;
    }
    return out->bits && mica__quantization_fits(out, n_columns);
}

bool mica__conversion_dtype(mica__jval config, mica_dtype *out)
{
    static const mica_dtype floats[] = {MICA_DTYPE_F32, MICA_DTYPE_F16, MICA_DTYPE_BF16};
    mica__jval given = mica__json_get(config, "torch_dtype");
    if (!given || mica__json_is(given, MICA__JSON_NULL))
        given = mica__json_get(mica__json_get(config, "text_config"), "dtype");
    mica__str name;
    if (!mica__json_string(given, &name)) return false;
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        if (!mica__str_is(name, mica_dtype_name(floats[i]))) continue;
        *out = floats[i];
        return true;
    }
    return false;
}

mica_dtype mica__own_dtype(const mica__tensor_view *v)
{
    if (v->storage != MICA__STORAGE_PLAIN) return MICA_DTYPE_F16;
    return v->dtype == MICA_DTYPE_F16 || v->dtype == MICA_DTYPE_BF16 ? v->dtype : MICA_DTYPE_F32;
}
