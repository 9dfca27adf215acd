/* Checkpoints as mlx-lm's convert writes them: every mode and width, single layers that differ, stacked experts. Logits of every position as
 * MLX computes them in float32 from the quantized weights, and greedy continuations. A few are kept in tests/data; the larger set is looked at
 * as a whole, and a folder of an architecture that is not there yet is named. */
#include <mica/mica.h>

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "models/reference.h"

static const char *const kept[] = {"llama-mixed_3_6", "llama-mxfp4-4-32", "llama-mxfp8-8-32", "llama-nvfp4-4-16"};

/* Of these families every folder must load. */
static const char *const families[] = {"llama-", "qwen2-", "qwen3-", "gemma3_text-"};

static void check_greedy(mica_model *model, const reference_file *f, const char *name)
{
    mica_session *session;
    mica_generation_config *config;
    mica_generate_result result;
    mica_error err;
    size_t n_prompt, n;
    char text[32];
    const int32_t *prompt = reference_tensor(f, "prompt_ids", &n_prompt);
    const int32_t *expected = reference_tensor(f, "greedy_ids", &n);
    snprintf(text, sizeof text, "%zu", n);
    reference_check(mica_session_create(&session, model, NULL, &err), &err, name);
    reference_check(mica_generation_config_create(&config, model, &err), &err, name);
    reference_check(mica_generation_config_set(config, "max_new_tokens", text, &err), &err, name);
    reference_check(mica_generation_config_set(config, "eos_token_id", "null", &err), &err, name);
    reference_check(mica_generate(session, prompt, n_prompt, config, NULL, NULL, &result, &err), &err, name);
    assert_int_equal(result.ids.n, n);
    for (size_t i = 0; i < n; i++)
        if (result.ids.data[i] != expected[i])
            fail_msg("%s: token %zu is %d, expected %d", name, i, result.ids.data[i], expected[i]);
    mica_ids_release(&result.ids);
    mica_generation_config_free(config);
    mica_session_free(session);
}

static void check_logits(mica_model *model, const reference_file *f, const char *name)
{
    mica_session *session;
    mica_error err;
    size_t n_ids, n_logits;
    const int32_t *ids = reference_tensor(f, "input_ids", &n_ids);
    const float *expected = reference_tensor(f, "logits", &n_logits);
    float *logits = mica__alloc(n_logits, sizeof *logits);
    reference_check(mica_session_create(&session, model, NULL, &err), &err, name);
    reference_check(mica_session_forward(session, ids, n_ids, true, logits, &err), &err, name);
    double worst = reference_difference(logits, expected, n_logits);
    printf("%-32s %-60.60s largest difference of logits %.2g\n", name, mica_model_get_info(model)->weights, worst);
    fflush(stdout);
    if (!(worst <= 1e-4)) fail_msg("%s: logits differ by %g", name, worst);
    mica__free(logits);
    mica_session_free(session);
}

/* False: the architecture is not there. */
static bool check_model(const char *path, const char *name, bool must_load)
{
    mica_model *model = NULL;
    mica_error err;
    const mica_model_options options = {.n_threads = 2, .dtype = "float32", .precision = MICA_PRECISION_EXACT};
    mica_status status = mica_model_load(&model, path, &options, &err);
    if (status == MICA_UNSUPPORTED && !must_load) {
        printf("skipped: %s: %s\n", name, err.message);
        return false;
    }
    reference_check(status, &err, name);
    reference_file f;
    reference_open_tensors(&f, path, "reference.safetensors");
    check_logits(model, &f, name);
    check_greedy(model, &f, name);
    reference_close(&f);
    mica_model_free(model);
    return true;
}

static void test_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        char path[512];
        snprintf(path, sizeof path, MICA_TEST_DATA "/models/mlx/%s", kept[i]);
        check_model(path, kept[i], true);
    }
}

static void test_all(void **state)
{
    (void)state;
    char folder[512];
    if (!reference_path(folder, "mlx", "models")) return;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    size_t n = 0, n_checked = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        char path[800];
        bool must_load = false;
        if (e->d_name[0] == '.') continue;
        for (size_t i = 0; i < sizeof families / sizeof *families; i++)
            if (!strncmp(e->d_name, families[i], strlen(families[i]))) must_load = true;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        n_checked += check_model(path, e->d_name, must_load);
        n++;
    }
    closedir(dir);
    printf("%zu of %zu folders\n", n_checked, n);
    assert_true(n_checked >= 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
