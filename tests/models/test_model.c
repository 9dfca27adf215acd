/* Whole models against Transformers: logits of every position, greedy continuations through the cache, however the prompt is cut and on any
 * number of threads; information; and loading without memory. */
#include <mica/mica.h>

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "models/reference.h"

static const char *const names[] = {
    "llama",  "llama-3.2-tied-rope3", "llama-bias-linear",        "mistral", "ministral3", "qwen2", "qwen3", "gemma",
    "gemma2", "gemma3_text",          "gemma3-in-vision-wrapper",
};
enum { N_NAMES = sizeof names / sizeof *names };

static void greedy_config(mica_generation_config **out, const mica_model *model, size_t n_new)
{
    char text[32];
    mica_error err;
    reference_check(mica_generation_config_create(out, model, &err), &err, "settings");
    snprintf(text, sizeof text, "%zu", n_new);
    reference_check(mica_generation_config_set(*out, "max_new_tokens", text, &err), &err, "settings");
    reference_check(mica_generation_config_set(*out, "eos_token_id", "null", &err), &err, "settings");
}

/* Continues the prompt; the result must be `expected`. */
static void check_greedy(mica_model *model, const int32_t *prompt, size_t n_prompt, const int32_t *expected, size_t n,
                         const char *what)
{
    mica_session *session;
    mica_generation_config *config;
    mica_generate_result result;
    mica_error err;
    reference_check(mica_session_create(&session, model, NULL, &err), &err, what);
    greedy_config(&config, model, n);
    reference_check(mica_generate(session, prompt, n_prompt, config, NULL, NULL, &result, &err), &err, what);
    assert_int_equal(result.ids.n, n);
    assert_int_equal(result.reason, MICA_STOP_LENGTH);
    assert_int_equal(result.n_prompt, n_prompt);
    for (size_t i = 0; i < n; i++) {
        if (result.ids.data[i] != expected[i])
            fail_msg("%s: token %zu is %d, expected %d", what, i, result.ids.data[i], expected[i]);
    }
    mica_ids_release(&result.ids);
    mica_generation_config_free(config);
    mica_session_free(session);
}

static double check_logits(mica_model *model, const reference_file *f)
{
    size_t n_ids, n_logits;
    mica_session *session;
    mica_error err;
    const int32_t *ids = reference_tensor(f, "input_ids", &n_ids);
    const float *expected = reference_tensor(f, "logits", &n_logits);
    float *logits = mica__alloc(n_logits, sizeof *logits);
    const size_t vocab = n_logits / n_ids;
    reference_check(mica_session_create(&session, model, NULL, &err), &err, "session");
    reference_check(mica_session_forward(session, ids, n_ids, true, logits, &err), &err, "forward");
    double worst = reference_difference(logits, expected, n_logits);
    /* The last position alone, from the other program. */
    reference_check(mica_session_truncate(session, 0, &err), &err, "truncate");
    reference_check(mica_session_forward(session, ids, n_ids, false, logits, &err), &err, "forward");
    worst = fmax(worst, reference_difference(logits, expected + (n_ids - 1) * vocab, vocab));
    mica__free(logits);
    mica_session_free(session);
    return worst;
}

static void check_model(const char *name)
{
    char path[512];
    if (!reference_path(path, "models", name)) return;
    reference_file f;
    size_t n_prompt, n_greedy;
    reference_open_tensors(&f, path, "reference.safetensors");
    const int32_t *prompt = reference_tensor(&f, "prompt_ids", &n_prompt);
    const int32_t *greedy = reference_tensor(&f, "greedy_ids", &n_greedy);

    mica_model *model = reference_model(path, 1, 0);
    double worst = check_logits(model, &f);
    printf("%-26s largest difference of logits %.2g\n", name, worst);
    if (!(worst <= 1e-4)) fail_msg("%s: logits differ by %g", name, worst);
    check_greedy(model, prompt, n_prompt, greedy, n_greedy, name);
    mica_model_free(model);

    model = reference_model(path, 2, 5); /* the prompt in pieces of five, two threads */
    check_greedy(model, prompt, n_prompt, greedy, n_greedy, "pieces of five");
    assert_true(check_logits(model, &f) <= 1e-4);
    mica_model_free(model);
    reference_close(&f);
}

static void test_references(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_NAMES; i++) check_model(names[i]);
}

/* ---- several at once -------------------------------------------------------------------------------------------------------------- */

typedef struct worker {
    mica_model *model;
    const int32_t *prompt, *greedy;
    size_t n_prompt, n_greedy;
} worker;

static void *work(void *context)
{
    const worker *w = context;
    for (int i = 0; i < 3; i++)
        check_greedy(w->model, w->prompt, w->n_prompt, w->greedy, w->n_greedy, "beside another session");
    return NULL;
}

/* Two sessions of one model in two threads give what each gives alone. */
static void test_two_threads(void **state)
{
    (void)state;
    char path[512];
    if (!reference_path(path, "models", "llama")) skip();
    reference_file f;
    reference_open_tensors(&f, path, "reference.safetensors");
    worker w = {.model = reference_model(path, 2, 0)};
    w.prompt = reference_tensor(&f, "prompt_ids", &w.n_prompt);
    w.greedy = reference_tensor(&f, "greedy_ids", &w.n_greedy);
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, work, &w), 0);
    work(&w);
    pthread_join(other, NULL);
    mica_model_free(w.model);
    reference_close(&f);
}

/* ---- one model, closely ------------------------------------------------------------------------------------------------------------ */

static void test_info(void **state)
{
    (void)state;
    char path[512];
    mica_model *model;
    mica_error err;
    if (!reference_path(path, "models", "gemma3_text")) skip();
    const mica_model_options options = {.config_only = true};
    reference_check(mica_model_load(&model, path, &options, &err), &err, path);
    const mica_model_info *info = mica_model_get_info(model);
    assert_string_equal(info->model_type, "gemma3_text");
    assert_string_equal(info->architecture, "Gemma3ForCausalLM");
    assert_string_equal(info->format, "safetensors");
    assert_string_equal(info->weights, "bfloat16");
    assert_int_equal(info->n_parameters, 233504);
    assert_int_equal(info->n_layers, 7);
    assert_int_equal(info->n_heads, 4);
    assert_int_equal(info->n_kv_heads, 2);
    assert_int_equal(info->head_dim, 16);
    assert_int_equal(info->hidden_size, 64);
    assert_int_equal(info->intermediate_size, 96);
    assert_int_equal(info->vocab_size, 256);
    assert_int_equal(info->context, 256);
    assert_true(info->tied);
    assert_false(info->has_tokenizer);
    assert_int_equal(info->n_eos_token_ids, 1);
    assert_int_equal(info->eos_token_ids[0], 2);
    assert_int_equal(info->bos_token_id, 1);
    assert_int_equal(info->pad_token_id, 0);
    assert_int_equal(info->cache_bytes_per_token, 2 * 2 * 16 * 2); /* one full layer of seven */

    mica_session *session;
    float logits[256];
    reference_check(mica_session_create(&session, model, NULL, &err), &err, "session");
    assert_int_equal(mica_session_forward(session, (int32_t[]){1}, 1, false, logits, &err), MICA_INVALID);
    mica_session_free(session);
    mica_model_free(model);
}

static bool stop_at_once(void *context, const char *stage, uint64_t done, uint64_t total)
{
    (void)context;
    return strcmp(stage, "load weights") != 0 || done < total / 2;
}

static void test_options(void **state)
{
    (void)state;
    char path[512];
    mica_model *model;
    mica_error err;
    if (!reference_path(path, "models", "llama")) skip();
    mica_model_options options = {.dtype = "float64"};
    assert_int_equal(mica_model_load(&model, path, &options, &err), MICA_INVALID);
    assert_null(model);
    options = (mica_model_options){.max_rows = 1 << 30};
    assert_int_equal(mica_model_load(&model, path, &options, &err), MICA_INVALID);
    options = (mica_model_options){.progress = {stop_at_once, NULL}};
    assert_int_equal(mica_model_load(&model, path, &options, &err), MICA_CANCELLED);
    assert_int_equal(mica_model_load(&model, "/nowhere", NULL, &err), MICA_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
