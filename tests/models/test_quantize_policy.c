/* Recipes as mlx-lm has them, rules, and what is refused. */
#include "models/quantize_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/formats_test.h"

static void expect(const mica__quantize_policy *p, const char *path, int64_t n_columns, const char *text)
{
    mica__quantization q;
    bool named;
    int layer = -1;
    if (sscanf(path, "model.layers.%d.", &layer) != 1) layer = -1;
    bool yes = mica__quantize_policy_choose(p, mica__str_from(path), layer, n_columns, &q, &named);
    const char *got = yes ? MICA_QUANTIZATION(&q) : "no";
    if (strcmp(got, text)) fail_msg("%s: %s, expected %s", path, got, text);
}

static mica__quantize_policy made(const char *quantize, const char *rules, int n_layers)
{
    mica__quantize_policy p;
    mica_error err;
    if (mica__quantize_policy_make(&p, quantize, rules, n_layers, &err)) fail_msg("%s", err.message);
    return p;
}

static void test_plain(void **state)
{
    (void)state;
    mica__quantize_policy p = made("4", NULL, 8);
    expect(&p, "model.layers.0.mlp.down_proj", 128, "affine-4-64");
    expect(&p, "model.embed_tokens", 64, "affine-4-64");
    expect(&p, "lm_head", 96, "no");
    mica__quantize_policy_release(&p);
    p = made("nvfp4", NULL, 8);
    expect(&p, "lm_head", 48, "nvfp4");
    expect(&p, "lm_head", 40, "no");
    mica__quantize_policy_release(&p);
}

/* mlx-lm's predicate: which of sixteen layers get the higher width. */
static void test_recipes(void **state)
{
    (void)state;
    mica__quantize_policy p = made("mixed_3_6", NULL, 16);
    static const char high[16] = {1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 1, 1};
    for (int layer = 0; layer < 16; layer++) {
        char path[64];
        snprintf(path, sizeof path, "model.layers.%d.self_attn.v_proj", layer);
        expect(&p, path, 128, high[layer] ? "affine-6-64" : "affine-3-64");
        snprintf(path, sizeof path, "model.layers.%d.mlp.down_proj", layer);
        expect(&p, path, 128, high[layer] ? "affine-6-64" : "affine-3-64");
        snprintf(path, sizeof path, "model.layers.%d.mlp.up_proj", layer);
        expect(&p, path, 128, "affine-3-64");
    }
    expect(&p, "lm_head", 128, "affine-6-64");
    expect(&p, "model.embed_tokens", 128, "affine-3-64");
    mica__quantize_policy_release(&p);
    p = made("mixed_3_4-32", NULL, 16);
    expect(&p, "lm_head", 96, "affine-4-32");
    mica__quantize_policy_release(&p);
}

static void test_rules(void **state)
{
    (void)state;
    mica__quantize_policy p = made(
        "affine-4-32",
        "{\"lm_head\": 8, \"*.0.*\": false, \"*.mlp.*\": {\"bits\": 6, \"group_size\": 32}, \"*v_proj\": \"mxfp8\", "
        "\"model.embed_tokens\": true, \"*\": {\"mode\": \"mxfp4\", \"bits\": null}}",
        4);
    expect(&p, "lm_head", 64, "affine-8-64");
    expect(&p, "model.layers.0.mlp.up_proj", 64, "no");
    expect(&p, "model.layers.10.mlp.up_proj", 64, "affine-6-32");
    expect(&p, "model.layers.1.self_attn.v_proj", 64, "mxfp8");
    expect(&p, "model.layers.1.self_attn.q_proj", 64, "mxfp4");
    expect(&p, "model.embed_tokens", 64, "affine-4-32");
    mica__quantize_policy_release(&p);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *quantize, *rules, *part;
    } wrong[] = {
        {"mixed_5_6", NULL, "mixed_4_6"},
        {"mixed_3_6-16", NULL, "mixed_4_6"},
        {"", NULL, "affine-BITS-GROUP"},
        {"4", "[]", "an object"},
        {"4", "{", "rules"},
        {"4", "{\"a\": 7}", "'a'"},
        {"4", "{\"a\": {\"mode\": \"mxfp4\", \"bits\": 8}}", "'a'"},
        {"4", "{\"a\": null}", "'a'"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mica__quantize_policy p;
        mica_error err;
        assert_failure(wrong[i].rules ? wrong[i].rules : wrong[i].quantize,
                       mica__quantize_policy_make(&p, wrong[i].quantize, wrong[i].rules, 4, &err), MICA_INVALID, &err,
                       wrong[i].part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_recipes),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
