/* Real models in GGUF, SmolLM2-135M-Instruct (Q4_1, Q8_0) and Gemma-3-270M (Q4_K, Q5_0, Q6_K, Q8_0), against Transformers in float32 from the
 * dequantized files. Needs the larger reference set, and the model files in the folder MICA_TEST_MODELS or in the user's cache folder (`make demo` puts
 * the first one there); skipped without them. */
#include <mica/mica.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "models/reference.h"

/* The model file in MICA_TEST_MODELS, MICA_CACHE, XDG_CACHE_HOME or ~/.cache. */
static bool find_file(char out[512], const char *file)
{
    const char *models = getenv("MICA_TEST_MODELS"), *cache = getenv("MICA_CACHE"), *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    if (models) {
        snprintf(out, 512, "%s/%s", models, file);
        if (mica__path_is_file(out)) return true;
    }
    if (cache) {
        snprintf(out, 512, "%s/models/%s", cache, file);
        if (mica__path_is_file(out)) return true;
    }
    if (xdg) {
        snprintf(out, 512, "%s/mica/models/%s", xdg, file);
        if (mica__path_is_file(out)) return true;
    }
    snprintf(out, 512, "%s/.cache/mica/models/%s", home ? home : "", file);
    return mica__path_is_file(out);
}

/* The prompt as text: given, or rendered from messages. */
static void prompt_of(mica_model *model, mica__jval row, mica_text *out)
{
    mica_error err;
    mica__jval input = mica__json_get(row, "input");
    mica__str text;
    if (mica__json_string(input, &text)) {
        out->data = mica__strndup(text.p, text.n);
        out->n = text.n;
        return;
    }
    const mica_chat_template *template;
    mica__buf json = {0};
    reference_check(mica_model_chat_template(model, &template, &err), &err, "template");
    mica__buf_append_z(&json, "{\"add_generation_prompt\": true, \"messages\": ");
    mica__json_write(&json, input);
    mica__buf_append_char(&json, '}');
    reference_check(mica_chat_template_render(template, json.p, json.n, NULL, out, &err), &err, "render");
    mica__buf_release(&json);
}

static void check_prompt(mica_model *model, mica__jval row, const int32_t *ids, size_t n)
{
    mica_text prompt = {0};
    mica_ids got = {0};
    mica_error err;
    const mica_tokenizer *tokenizer;
    mica__str expected;
    prompt_of(model, row, &prompt);
    assert_true(mica__json_string(mica__json_get(row, "text"), &expected));
    assert_true(mica__str_eq(expected, (mica__str){prompt.data, prompt.n}));
    reference_check(mica_model_tokenizer(model, &tokenizer, &err), &err, "tokenizer");
    reference_check(mica_tokenizer_encode(tokenizer, prompt.data, prompt.n, MICA_ADD_SPECIAL_TOKENS, &got, &err), &err,
                    "encode");
    assert_int_equal(got.n, n);
    assert_memory_equal(got.data, ids, n * sizeof *ids);
    mica_ids_release(&got);
    mica_text_release(&prompt);
}

static void check_greedy(mica_model *model, mica_session *session, mica__jval row, const int32_t *ids, size_t n)
{
    size_t n_expected;
    int32_t *expected = reference_ids(mica__json_get(row, "greedy_ids"), &n_expected);
    mica_generation_config *config;
    mica_generate_result result;
    mica_error err;
    char limit[32];
    reference_check(mica_generation_config_create(&config, model, &err), &err, "settings");
    snprintf(limit, sizeof limit, "%zu", n_expected);
    reference_check(mica_generation_config_set(config, "max_new_tokens", limit, &err), &err, "settings");
    reference_check(mica_generate(session, ids, n, config, NULL, NULL, &result, &err), &err, "generate");
    assert_int_equal(result.ids.n, n_expected);
    assert_memory_equal(result.ids.data, expected, n_expected * sizeof *expected);
    mica_ids_release(&result.ids);
    mica_generation_config_free(config);
    mica__free(expected);
}

static void check_file(const char *name, const char *model_file, int n_rows)
{
    char folder[512], file[512], json_name[64], tensors_name[64];
    reference_file json, tensors;
    snprintf(json_name, sizeof json_name, "%s.json", name);
    snprintf(tensors_name, sizeof tensors_name, "%s.safetensors", name);
    if (!reference_path(folder, "real", json_name)) skip();
    if (!find_file(file, model_file)) {
        printf("skipped: %s is neither in MICA_TEST_MODELS nor in the cache folder\n", model_file);
        skip();
    }
    *strrchr(folder, '/') = 0;
    reference_open_json(&json, folder, json_name);
    reference_open_tensors(&tensors, folder, tensors_name);
    mica_model *model = reference_model(file, 0, 0);
    const size_t vocab = (size_t)mica_model_get_info(model)->vocab_size;
    float *logits = mica__alloc(vocab, sizeof *logits);
    mica_session *session;
    mica_error err;
    reference_check(mica_session_create(&session, model, NULL, &err), &err, "session");
    mica__jval rows = mica__json_get(mica__json_root(&json.json), "rows");
    double worst = 0;
    int i = 0;
    for (mica__jval row = mica__json_first(rows); row; row = mica__json_next(rows, row), i++) {
        char tensor[32];
        size_t n, n_logits;
        int32_t *ids = reference_ids(mica__json_get(row, "ids"), &n);
        check_prompt(model, row, ids, n);
        reference_check(mica_session_truncate(session, 0, &err), &err, "truncate");
        reference_check(mica_session_forward(session, ids, n, false, logits, &err), &err, "forward");
        snprintf(tensor, sizeof tensor, "%d.last_logits", i);
        const float *expected = reference_tensor(&tensors, tensor, &n_logits);
        double difference = reference_difference(logits, expected, vocab);
        if (difference > worst) worst = difference;
        check_greedy(model, session, row, ids, n);
        mica__free(ids);
    }
    printf("%s: %d rows, largest difference of last logits %.2g\n", name, i, worst);
    assert_true(i >= n_rows);
    assert_true(worst <= 2e-3);
    mica__free(logits);
    mica_session_free(session);
    mica_model_free(model);
    reference_close(&json);
    reference_close(&tensors);
}

static void test_smollm2(void **state)
{
    (void)state;
    check_file("smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", 9);
}

static void test_gemma(void **state)
{
    (void)state;
    check_file("gemma3-270m", "gemma-3-270m-q4_k_m.gguf", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_smollm2), cmocka_unit_test(test_gemma)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
