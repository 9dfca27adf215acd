/* Recipes as mlx-lm has them, rules, and what is refused. */
#include "models/quantize_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/formats_test.h"

static void expect(const mica__quantize_plan *p, const char *path, int n_layers, int64_t n_columns, const char *text)
{
    mica__quantization q;
    bool yes = mica__quantize_plan_find(p, mica__str_from(path), n_layers, n_columns, &q);
    const char *got = yes ? MICA_QUANTIZATION(&q) : "no";
    if (strcmp(got, text)) fail_msg("%s: %s, expected %s", path, got, text);
}

static mica__quantize_plan made(const char *quantize, const char *rules)
{
    mica__quantize_plan p;
    mica_error err;
    if (mica__quantize_plan_init(&p, quantize, rules, NULL, &err)) fail_msg("%s", err.message);
    return p;
}

static void test_plain(void **state)
{
    (void)state;
    mica__quantize_plan p = made("4", NULL);
    assert_true(mica__quantize_plan_any(&p));
    expect(&p, "model.layers.0.mlp.down_proj", 8, 128, "affine-4-64");
    expect(&p, "model.embed_tokens", 8, 64, "affine-4-64");
    expect(&p, "lm_head", 8, 96, "no");
    mica__quantize_plan_release(&p);
    p = made("nvfp4", NULL);
    expect(&p, "lm_head", 8, 48, "nvfp4");
    expect(&p, "lm_head", 8, 40, "no");
    mica__quantize_plan_release(&p);
    p = made(NULL, NULL);
    assert_false(mica__quantize_plan_any(&p));
    expect(&p, "lm_head", 8, 64, "no");
    mica__quantize_plan_release(&p);
}

/* mlx-lm's predicate in this many layers: which get the higher width. */
static void test_recipes(void **state)
{
    (void)state;
    mica__quantize_plan p = made("mixed_3_6", NULL);
    static const char high[16] = {1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 1, 1};
    for (int layer = 0; layer < 16; layer++) {
        char path[64];
        snprintf(path, sizeof path, "model.layers.%d.self_attn.v_proj", layer);
        expect(&p, path, 16, 128, high[layer] ? "affine-6-64" : "affine-3-64");
        snprintf(path, sizeof path, "model.layers.%d.mlp.down_proj", layer);
        expect(&p, path, 16, 128, high[layer] ? "affine-6-64" : "affine-3-64");
        snprintf(path, sizeof path, "model.layers.%d.mlp.up_proj", layer);
        expect(&p, path, 16, 128, "affine-3-64");
    }
    expect(&p, "lm_head", 16, 128, "affine-6-64");
    expect(&p, "model.embed_tokens", 16, 128, "affine-3-64");
    mica__quantize_plan_release(&p);
    p = made("mixed_3_4-32", NULL);
    expect(&p, "lm_head", 16, 96, "affine-4-32");
    mica__quantize_plan_release(&p);
}

static void test_rules(void **state)
{
    (void)state;
    mica__quantize_plan p = made(
        "4-32",
        "{\"lm_head\": 8, \"*.0.*\": false, \"*.mlp.*\": {\"bits\": 6, \"group_size\": 32}, \"*v_proj\": \"mxfp8\", "
        "\"model.embed_tokens\": true, \"*\": {\"mode\": \"mxfp4\", \"bits\": null}}");
    expect(&p, "lm_head", 4, 64, "affine-8-64");
    expect(&p, "model.layers.0.mlp.up_proj", 4, 64, "no");
    expect(&p, "model.layers.10.mlp.up_proj", 4, 64, "affine-6-32");
    expect(&p, "model.layers.1.self_attn.v_proj", 4, 64, "mxfp8");
    expect(&p, "model.layers.1.self_attn.q_proj", 4, 64, "mxfp4");
    expect(&p, "model.embed_tokens", 4, 64, "affine-4-32");
    mica__quantize_plan_release(&p);
    p = made(NULL, "{\"lm_head\": \"6\"}");
    assert_true(mica__quantize_plan_any(&p));
    expect(&p, "lm_head", 4, 64, "affine-6-64");
    expect(&p, "model.embed_tokens", 4, 64, "no");
    mica__quantize_plan_release(&p);

    const char *dir = temp_dir();
    write_file(dir, "rules.json", "{\"a*c\": 3}", 10);
    char *path = mica__path_join(dir, "rules.json");
    p = made("4", path);
    expect(&p, "abc", 4, 64, "affine-3-64");
    mica__quantize_plan_release(&p);
    mica__free(path);
    temp_dir_remove(dir);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *quantize, *rules, *quantizer, *part;
        mica_status status;
    } wrong[] = {
        {"mixed_5_6", NULL, NULL, "mixed_4_6", MICA_INVALID},
        {"mixed_3_6-16", NULL, NULL, "mixed_4_6", MICA_INVALID},
        {"", NULL, NULL, "mixed_4_6", MICA_INVALID},
        {"4", "[]", NULL, "an object", MICA_INVALID},
        {"4", "{", NULL, "rules of quantization: ", MICA_INVALID},
        {"4", "{\"a\": 7}", NULL, "'a'", MICA_INVALID},
        {"4", "{\"a\": {\"bits\": 4, \"width\": 3}}", NULL, "'a'", MICA_INVALID},
        {"4", "{\"a\": {\"mode\": \"mxfp4\", \"bits\": 8}}", NULL, "'a'", MICA_INVALID},
        {"4", "{\"a\": null}", NULL, "'a'", MICA_INVALID},
        {"4", "/no/such/file.json", NULL, "/no/such/file.json", MICA_NOT_FOUND},
        {"4", NULL, "best", "'best'", MICA_INVALID},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mica__quantize_plan p;
        mica_error err;
        assert_failure(wrong[i].rules ? wrong[i].rules : wrong[i].quantize,
                       mica__quantize_plan_init(&p, wrong[i].quantize, wrong[i].rules, wrong[i].quantizer, &err),
                       wrong[i].status, &err, wrong[i].part);
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
