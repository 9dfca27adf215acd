/* Quantizing while loading: the same model as converting and loading what that made, with any number of threads. */
#include <mica/mica.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/reference.h"

enum { N_IDS = 7, VOCAB_MAX = 1024 };

static const char *source(void)
{
    static char path[512];
    snprintf(path, sizeof path, MICA_TEST_DATA "/models/llama");
    return path;
}

/* Logits of the last position, and what the matrices are. */
static void run(const char *path, const mica_model_options *options, float logits[VOCAB_MAX], char types[128])
{
    static const int32_t ids[N_IDS] = {1, 5, 9, 200, 31, 77, 2};
    mica_model *model;
    mica_session *session;
    mica_error err;
    reference_check(mica_model_load(&model, path, options, &err), &err, path);
    assert_in_range(mica_model_get_info(model)->vocab_size, 1, VOCAB_MAX);
    snprintf(types, 128, "%s", mica_model_get_info(model)->weights);
    memset(logits, 0, VOCAB_MAX * sizeof *logits);
    reference_check(mica_session_create(&session, model, NULL, &err), &err, path);
    reference_check(mica_session_forward(session, ids, N_IDS, false, logits, &err), &err, path);
    mica_session_free(session);
    mica_model_free(model);
}

static void remove_folder(const char *folder)
{
    char command[600];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

static void check(const char *quantize, const char *rules, const char *quantizer, const char *expected)
{
    float converted[VOCAB_MAX], loaded[VOCAB_MAX];
    char folder[] = "/tmp/mica-test-XXXXXX", target[64], types[128], again[128];
    mica_error err;
    assert_non_null(mkdtemp(folder));
    snprintf(target, sizeof target, "%s/made", folder);
    const mica_save_options save = {.quantize = quantize, .rules = rules, .quantizer = quantizer, .n_threads = 1};
    reference_check(mica_convert(source(), target, &save, NULL, &err), &err, quantize);
    run(target, &(mica_model_options){.n_threads = 1}, converted, types);
    assert_string_equal(types, expected);
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        const mica_model_options load = {
            .n_threads = n_threads, .quantize = quantize, .quantize_rules = rules, .quantizer = quantizer};
        run(source(), &load, loaded, again);
        assert_string_equal(again, types);
        assert_memory_equal(loaded, converted, sizeof loaded);
    }
    remove_folder(folder);
}

static void test_same_as_convert(void **state)
{
    (void)state;
    check("affine-4-32", NULL, NULL, "affine 4-bit group 32");
    check("4", NULL, NULL, "affine 4-bit group 64 + bfloat16"); /* rows of 96 are not whole groups */
    check("affine-3-32", NULL, "search", "affine 3-bit group 32");
    check("mxfp4", NULL, NULL, "mxfp4");
    check("mxfp8", NULL, NULL, "mxfp8");
    check("nvfp4", NULL, "search", "nvfp4");
    check("mixed_3_6-32", NULL, NULL, "affine 3-bit group 32 + affine 6-bit group 32");
    check("affine-4-32", "{\"*_proj\": \"mxfp4\", \"lm_head\": false}", NULL,
          "mxfp4 + bfloat16 + affine 4-bit group 32");
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        mica_model_options options;
        mica_status status;
        const char *part;
    } wrong[] = {
        {{.quantize = "7"}, MICA_INVALID, "'7'"},
        {{.quantize = "4", .quantizer = "best"}, MICA_INVALID, "'best'"},
        {{.quantize = "4", .quantize_rules = "[]"}, MICA_INVALID, "object"},
        {{.quantizer = "search"}, MICA_INVALID, "need"},
        {{.quantize = "affine-4-128"}, MICA_UNSUPPORTED, "whole groups of 128"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        mica_model *model;
        mica_error err;
        assert_int_equal(mica_model_load(&model, source(), &wrong[i].options, &err), wrong[i].status);
        if (!strstr(err.message, wrong[i].part)) fail_msg("'%s' is not in '%s'", wrong[i].part, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_convert),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
