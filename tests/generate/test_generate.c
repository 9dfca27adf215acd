/* Generation against Transformers: every setting of the reference, texts of trained models, stop strings; and the rules about lengths, ends,
 * streaming, cancelling and memory. */
#include <mica/mica.h>

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "failing_allocator.h"
#include "models/reference.h"

static mica_model *chat_model(const char *name, int n_threads)
{
    char path[512];
    return reference_path(path, "chat-models", name) ? reference_model(path, n_threads, 0) : NULL;
}

/* Settings from "NAME": VALUE pairs of a JSON object, unknown ones included (they fail the test). */
static mica_generation_config *make_config(const mica_model *model, mica__jval settings)
{
    mica_generation_config *config;
    mica_error err;
    mica__buf text = {0};
    reference_check(mica_generation_config_create(&config, model, &err), &err, "settings");
    if (settings) {
        mica__json_write(&text, settings);
        reference_check(mica_generation_config_update(config, text.p, text.n, &err), &err, text.p);
    }
    mica__buf_release(&text);
    return config;
}

static void set(mica_generation_config *config, const char *name, const char *value)
{
    mica_error err;
    reference_check(mica_generation_config_set(config, name, value, &err), &err, name);
}

static mica_session *new_session(mica_model *model)
{
    mica_session *session;
    mica_error err;
    reference_check(mica_session_create(&session, model, NULL, &err), &err, "session");
    return session;
}

static const char *key_text(mica__jval member, char out[64])
{
    mica__str key = mica__json_key(member);
    snprintf(out, 64, "%.*s", (int)key.n, key.p);
    return out;
}

/* ---- settings ------------------------------------------------------------------------------------------------------------------ */

static void check_sequences(mica_model *model, mica__jval prompt, mica__jval row, const char *name)
{
    mica__jval settings = mica__json_get(row, "settings"), sequences = mica__json_get(row, "sequences");
    size_t n_prompt, i = 0;
    int32_t *ids = reference_ids(prompt, &n_prompt);
    mica_generation_config *config = make_config(model, settings);
    mica_batch *batch;
    mica_batch_result r;
    mica_error err;
    if (!mica__json_get(settings, "max_length")) set(config, "max_new_tokens", "24");
    reference_check(mica_batch_create(&batch, model, NULL, &err), &err, name);
    const mica_batch_request q = {.ids = ids, .n_prompts = 1, .width = n_prompt, .config = config};
    reference_check(mica_batch_generate(batch, &q, &r, &err), &err, name);
    assert_int_equal(r.n_sequences, mica__json_count(sequences));
    for (mica__jval s = mica__json_first(sequences); s; s = mica__json_next(sequences, s), i++) {
        size_t n;
        int32_t *expected = reference_ids(s, &n);
        if (n_prompt + r.n_new != n ||
            memcmp(expected + n_prompt, r.ids + i * r.n_new, r.n_new * sizeof *expected) != 0)
            fail_msg("%s: another sequence %zu (%zu tokens, expected %zu)", name, i, r.n_new, n - n_prompt);
        double score;
        if (mica__json_double(mica__json_at(mica__json_get(row, "sequences_scores"), i), &score)) {
            printf("%-20s score %zu differs by %.2g\n", name, i, fabs(score - (double)r.sequences_scores[i]));
            assert_true(fabs(score - (double)r.sequences_scores[i]) <= 1e-4);
        }
        mica__free(expected);
    }
    mica_batch_result_release(&r);
    mica_batch_free(batch);
    mica_generation_config_free(config);
    mica__free(ids);
}

static int keep_scores(void *context, int32_t id, const char *text, size_t n, const float *scores)
{
    (void)id, (void)text, (void)n;
    memcpy(context, scores, 512 * sizeof *scores);
    return 1;
}

/* Largest difference of two score vectors; a token that only one of them removed counts as infinite. */
static double score_difference(const float *a, const float *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        if (a[i] == b[i]) continue;
        worst = fmax(worst, isinf(a[i]) || isinf(b[i]) ? INFINITY : fabs((double)a[i] - (double)b[i]));
    }
    return worst;
}

static double check_scores(mica_model *model, mica__jval prompt, mica__jval settings, const float *expected,
                           const char *name)
{
    float scores[512];
    size_t n_prompt;
    int32_t *ids = reference_ids(prompt, &n_prompt);
    mica_session *session = new_session(model);
    mica_generation_config *config = make_config(model, settings);
    mica_error err;
    set(config, "do_sample", "true");
    set(config, "max_new_tokens", "1");
    reference_check(mica_generate(session, ids, n_prompt, config, keep_scores, scores, NULL, &err), &err, name);
    mica_generation_config_free(config);
    mica_session_free(session);
    mica__free(ids);
    return score_difference(scores, expected, 512);
}

static void test_settings(void **state)
{
    (void)state;
    char path[512], name[64];
    mica_model *model = chat_model("llama-chat", 0);
    if (!model || !reference_path(path, ".", "settings")) skip();
    reference_file json, tensors;
    reference_open_json(&json, path, "reference.json");
    reference_open_tensors(&tensors, path, "first_step_scores.safetensors");
    mica__jval root = mica__json_root(&json.json), prompt = mica__json_get(root, "prompt_ids");

    size_t n = 0;
    mica__jval rows = mica__json_get(root, "deterministic");
    for (mica__jval m = mica__json_first(rows); m; m = mica__json_next(rows, m), n++) {
        check_sequences(model, prompt, mica__json_value(m), key_text(m, name));
    }
    printf("settings: %zu sequences\n", n);
    rows = mica__json_get(root, "first_step_scores");
    for (mica__jval m = mica__json_first(rows); m; m = mica__json_next(rows, m)) {
        size_t n_scores;
        const float *expected = reference_tensor(&tensors, key_text(m, name), &n_scores);
        double difference = check_scores(model, prompt, mica__json_value(m), expected, name);
        printf("scores %-10s differ by %.2g\n", name, difference);
        assert_int_equal(n_scores, 512);
        assert_true(difference <= 1e-4);
    }
    reference_close(&json);
    reference_close(&tensors);
    mica_model_free(model);
}

/* ---- texts of trained models ------------------------------------------------------------------------------------------------------ */

typedef struct collected {
    mica__buf text;
    int32_t ids[256];
    size_t n, stop_after; /* stop_after 0: never */
} collected;

static int collect(void *context, int32_t id, const char *text, size_t n, const float *scores)
{
    collected *c = context;
    (void)scores;
    assert_true(mica__utf8_valid(text, n));
    mica__buf_append(&c->text, text, n);
    c->ids[c->n++] = id;
    return c->stop_after && c->n == c->stop_after;
}

static void check_text(mica_model *model, mica__jval row, const char *name)
{
    size_t n_input, n_output;
    int32_t *input = reference_ids(mica__json_get(row, "input_ids"), &n_input);
    int32_t *output = reference_ids(mica__json_get(row, "output_ids"), &n_output);
    mica_session *session = new_session(model);
    mica_generation_config *config = make_config(model, NULL);
    collected got = {.n = 0};
    mica_error err;
    char limit[32];
    snprintf(limit, sizeof limit, "%zu", n_output - n_input);
    set(config, "max_new_tokens", limit);
    reference_check(mica_generate(session, input, n_input, config, collect, &got, NULL, &err), &err, name);
    assert_int_equal(got.n, n_output - n_input);
    assert_memory_equal(got.ids, output + n_input, got.n * sizeof *input);
    mica__str expected;
    assert_true(mica__json_string(mica__json_get(row, "text"), &expected));
    if (!mica__str_eq(expected, mica__buf_str(&got.text))) {
        fail_msg("%s: text '%s', expected '%.*s'", name, got.text.p, (int)expected.n, expected.p);
    }
    mica__buf_release(&got.text);
    mica_generation_config_free(config);
    mica_session_free(session);
    mica__free(input);
    mica__free(output);
}

static void test_texts(void **state)
{
    (void)state;
    static const char *const names[] = {"llama-chat", "gemma-chat", "qwen3-chat"};
    for (size_t i = 0; i < 3; i++) {
        mica_model *model = chat_model(names[i], 0);
        if (!model) continue;
        char path[512];
        reference_file f;
        reference_path(path, "chat-models", names[i]);
        reference_open_json(&f, path, "reference.json");
        static const char *const groups[] = {"generate", "chat"};
        size_t n = 0;
        for (size_t k = 0; k < 2; k++) {
            mica__jval rows = mica__json_get(mica__json_root(&f.json), groups[k]);
            for (mica__jval row = mica__json_first(rows); row; row = mica__json_next(rows, row), n++)
                check_text(model, row, names[i]);
        }
        printf("%s: %zu texts\n", names[i], n);
        assert_true(n > 5);
        reference_close(&f);
        mica_model_free(model);
    }
}

/* ---- how a generation ends ------------------------------------------------------------------------------------------------------------ */

/* "<bos>When the" and what the model makes of it: the ids of the settings reference. */
static const int32_t prompt[] = {0, 59, 330, 263, 492, 339, 16, 263};
enum { N_PROMPT = sizeof prompt / sizeof *prompt };

typedef struct ended {
    mica_stop_reason reason;
    size_t n;
    collected got;
} ended;

/* Greedy after `prompt` with one more setting. */
static ended end_with(mica_model *model, const char *name, const char *value, size_t stop_after)
{
    ended e = {.got = {.stop_after = stop_after}};
    mica_session *session = new_session(model);
    mica_generation_config *config = make_config(model, NULL);
    mica_generate_result result;
    mica_error err;
    set(config, "max_new_tokens", "24");
    if (name) set(config, name, value);
    reference_check(mica_generate(session, prompt, N_PROMPT, config, collect, &e.got, &result, &err), &err,
                    name ? name : "generate");
    e.reason = result.reason;
    e.n = result.ids.n;
    mica_ids_release(&result.ids);
    mica_generation_config_free(config);
    mica_session_free(session);
    mica__buf_release(&e.got.text);
    return e;
}

static void test_ends(void **state)
{
    (void)state;
    mica_model *model = chat_model("llama-chat", 0);
    if (!model) skip();
    ended e = end_with(model, NULL, NULL, 0);
    assert_int_equal(e.reason, MICA_STOP_LENGTH);
    assert_int_equal(e.n, 24);
    e = end_with(model, NULL, NULL, 7);
    assert_int_equal(e.reason, MICA_STOP_CALLBACK);
    assert_int_equal(e.n, 7);
    e = end_with(model, "eos_token_id", "[9999, 402]", 0); /* the fifth new token */
    assert_int_equal(e.reason, MICA_STOP_EOS);
    assert_int_equal(e.n, 5);
    assert_int_equal(e.got.ids[4], 402);
    e = end_with(model, "max_time", "1e-9", 0);
    assert_int_equal(e.reason, MICA_STOP_TIME);
    assert_int_equal(e.n, 1);
    e = end_with(model, "max_length", "9", 0); /* max_new_tokens goes before it */
    assert_int_equal(e.n, 24);
    mica_model_free(model);
}

/* Stop strings that lie across tokens, or begin in the prompt; the whole text is given, not trimmed. */
static void test_stop_strings(void **state)
{
    (void)state;
    mica_model *model = chat_model("llama-chat", 0);
    if (!model) skip();
    const mica_tokenizer *tokenizer;
    mica_error err;
    reference_check(mica_model_tokenizer(model, &tokenizer, &err), &err, "tokenizer");
    ended all = end_with(model, NULL, NULL, 0);
    mica_text text = {0};
    reference_check(mica_tokenizer_decode(tokenizer, prompt, N_PROMPT, false, &text, &err), &err, "decode");
    const size_t n_prompt_text = text.n;
    reference_check(mica_tokenizer_decode(tokenizer, all.got.ids, 24, false, &text, &err), &err, "decode");

    /* Every piece of up to nine bytes of the text stops at the token that completes its first occurrence after the prompt. */
    for (size_t length = 1; length <= 9; length += 4) {
        for (size_t at = n_prompt_text - 3; at + length <= text.n && at < n_prompt_text + 30; at += 5) {
            if (at + length <= n_prompt_text || !mica__utf8_valid(text.data + at, length)) continue;
            mica__buf json = {0};
            mica__json_write_string(&json, (mica__str){text.data + at, length}, true);
            ended e = end_with(model, "stop_strings", json.p, 0);
            /* Tokens needed until the text so far contains the piece beyond the prompt. */
            size_t needed = 0, end = 0;
            for (size_t i = 0; i + length <= text.n && !end; i++) {
                if (i + length > n_prompt_text && !memcmp(text.data + i, text.data + at, length)) end = i + length;
            }
            mica_text part = {0};
            while (n_prompt_text + part.n < end) {
                part.n = 0;
                reference_check(mica_tokenizer_decode(tokenizer, all.got.ids, ++needed, false, &part, &err), &err,
                                "decode");
            }
            if (e.reason != MICA_STOP_STRING || e.n != needed) {
                fail_msg("stop string %s: %zu tokens, expected %zu", json.p, e.n, needed);
            }
            mica_text_release(&part);
            mica__buf_release(&json);
        }
    }
    assert_int_equal(end_with(model, "stop_strings", "[\"never in this text\"]", 0).reason, MICA_STOP_LENGTH);
    mica_text_release(&text);
    mica_model_free(model);
}

static size_t n_notices;
static void count_notice(void *context, const char *message)
{
    (void)context;
    (void)message;
    n_notices++;
}

static void test_lengths(void **state)
{
    (void)state;
    char path[512];
    mica_model *model;
    mica_error err;
    if (!reference_path(path, "models", "llama")) skip();
    const mica_model_options options = {.precision = MICA_PRECISION_EXACT, .notices = {count_notice, NULL}};
    reference_check(mica_model_load(&model, path, &options, &err), &err, path);
    mica_session *session = new_session(model);
    mica_generation_config *config = make_config(model, NULL);
    mica_generate_result result;
    set(config, "eos_token_id", "null");
    n_notices = 0;
    reference_check(mica_generate(session, prompt, 1, config, NULL, NULL, &result, &err), &err, "no length");
    assert_int_equal(result.ids.n, 20);
    assert_int_equal(n_notices, 1);
    mica_ids_release(&result.ids);
    /* An empty prompt starts with bos. */
    reference_check(mica_generate(session, NULL, 0, config, NULL, NULL, &result, &err), &err, "empty");
    assert_int_equal(mica_session_ids(session)[0], 1);
    mica_ids_release(&result.ids);
    set(config, "max_length", "3");
    assert_int_equal(mica_generate(session, (int32_t[]){5, 6, 7}, 3, config, NULL, NULL, &result, &err), MICA_INVALID);
    assert_int_equal(mica_generate(session, (int32_t[]){5, 256}, 2, config, NULL, NULL, &result, &err), MICA_INVALID);
    assert_int_equal(mica_generate(session, (int32_t[]){5, -1}, 2, config, NULL, NULL, &result, &err), MICA_INVALID);
    set(config, "stop_strings", "\"x\"");
    assert_int_equal(mica_generate(session, (int32_t[]){5}, 1, config, NULL, NULL, &result, &err), MICA_INVALID);
    set(config, "stop_strings", "null");
    set(config, "bad_words_ids", "[[300]]");
    assert_int_equal(mica_generate(session, (int32_t[]){5}, 1, config, NULL, NULL, &result, &err), MICA_INVALID);
    mica_session_free(session);

    /* A full context ends the generation; a prompt that does not fit is refused. */
    const mica_session_options small = {.max_context = 10};
    set(config, "bad_words_ids", "null");
    set(config, "max_length", "1000");
    reference_check(mica_session_create(&session, model, &small, &err), &err, "session");
    reference_check(mica_generate(session, (int32_t[]){5, 6, 7}, 3, config, NULL, NULL, &result, &err), &err, "full");
    assert_int_equal(result.ids.n, 8); /* ten in the cache, and one more that nothing has to follow */
    assert_int_equal(result.reason, MICA_STOP_LENGTH);
    mica_ids_release(&result.ids);
    int32_t many[11] = {0};
    assert_int_equal(mica_generate(session, many, 11, config, NULL, NULL, &result, &err), MICA_LIMIT);
    mica_session_free(session);
    mica_generation_config_free(config);
    mica_model_free(model);
}

/* ---- sampling ---------------------------------------------------------------------------------------------------------------------------- */

static void sample(mica_model *model, const char *seed, int32_t out[24])
{
    mica_session *session = new_session(model);
    mica_generation_config *config = make_config(model, NULL);
    mica_generate_result result;
    mica_error err;
    set(config, "max_new_tokens", "24");
    set(config, "do_sample", "true");
    set(config, "temperature", "1.5");
    set(config, "eos_token_id", "null");
    if (seed) set(config, "seed", seed);
    reference_check(mica_generate(session, prompt, N_PROMPT, config, NULL, NULL, &result, &err), &err, "sample");
    memcpy(out, result.ids.data, 24 * sizeof *out);
    mica_ids_release(&result.ids);
    mica_generation_config_free(config);
    mica_session_free(session);
}

static void test_seeds(void **state)
{
    (void)state;
    int32_t a[24], b[24];
    mica_model *one = chat_model("llama-chat", 1), *two = chat_model("llama-chat", 2);
    if (!one || !two) skip();
    sample(one, "11", a);
    sample(two, "11", b); /* whatever the number of threads */
    assert_memory_equal(a, b, sizeof a);
    sample(one, "12", b);
    assert_memory_not_equal(a, b, sizeof a);
    sample(one, NULL, a);
    sample(one, NULL, b);
    assert_memory_not_equal(a, b, sizeof a);
    mica_model_free(one);
    mica_model_free(two);
}

/* ---- cancelling, broken weights, memory ------------------------------------------------------------------------------------------------------ */

static int cancel_third(void *context, int32_t id, const char *text, size_t n, const float *scores)
{
    static int calls;
    (void)id, (void)text, (void)n, (void)scores;
    if (++calls == 3) mica_session_cancel(context);
    return 0;
}

static void test_cancel(void **state)
{
    (void)state;
    mica_model *model = chat_model("llama-chat", 0);
    if (!model) skip();
    mica_session *session = new_session(model);
    mica_generation_config *config = make_config(model, NULL);
    mica_generate_result result;
    mica_error err;
    set(config, "max_new_tokens", "24");
    assert_int_equal(mica_generate(session, prompt, N_PROMPT, config, cancel_third, session, &result, &err),
                     MICA_CANCELLED);
    assert_int_equal(result.ids.n, 3); /* what came before is kept */
    mica_ids_release(&result.ids);
    reference_check(mica_generate(session, prompt, N_PROMPT, config, NULL, NULL, &result, &err), &err,
                    "after cancelling");
    assert_int_equal(result.ids.n, 24);
    assert_int_equal(result.n_prompt, 1); /* the prompt was still in the cache */
    mica_ids_release(&result.ids);
    mica_generation_config_free(config);
    mica_session_free(session);
    mica_model_free(model);
}

static void test_not_a_number(void **state)
{
    (void)state;
    char path[512], folder[64];
    mica_error err;
    if (!reference_path(path, "models", "llama")) skip();
    reference_copy(folder, path, NULL, NULL, true);
    mica_model *model = reference_model(folder, 0, 0);
    mica_session *session = new_session(model);
    assert_int_equal(mica_generate(session, (int32_t[]){5}, 1, NULL, NULL, NULL, NULL, &err), MICA_DATA);
    assert_non_null(strstr(err.message, "nan_logits"));
    mica_session_free(session);
    mica_model_free(model);
    reference_remove(folder);
}

typedef struct counting {
    failing_allocator *allocator;
    size_t at[64], n;
} counting;

static int count_allocations(void *context, int32_t id, const char *text, size_t n, const float *scores)
{
    counting *c = context;
    (void)id, (void)text, (void)n, (void)scores;
    c->at[c->n++] = c->allocator->n_calls;
    return 0;
}

/* From the first token on, generating allocates nothing: with and without a tokenizer, greedy and with every processor. */
static void no_allocation(const char *group, const char *name, mica__jval settings)
{
    char path[512];
    if (!reference_path(path, group, name)) return;
    failing_allocator a;
    failing_allocator_begin(&a, 0, false);
    counting c = {.allocator = &a};
    mica_error err;
    mica_model *model = reference_model(path, 1, 0);
    mica_session *session = new_session(model);
    mica_generation_config *config = make_config(model, settings);
    set(config, "max_new_tokens", "60");
    set(config, "eos_token_id", "null");
    reference_check(mica_generate(session, (int32_t[]){59, 16}, 2, config, count_allocations, &c, NULL, &err), &err,
                    name);
    assert_int_equal(c.n, 60);
    for (size_t i = 1; i < c.n; i++) {
        if (c.at[i] != c.at[0]) fail_msg("%s: token %zu took %zu allocations", name, i, c.at[i] - c.at[i - 1]);
    }
    mica_generation_config_free(config);
    mica_session_free(session);
    mica_model_free(model);
    assert_int_equal(failing_allocator_end(&a), 0);
}

static void test_no_allocation(void **state)
{
    (void)state;
    mica__json doc;
    const char *all =
        "{\"do_sample\": true, \"top_k\": 40, \"top_p\": 0.9, \"min_p\": 0.01, \"typical_p\": 0.9, \"temperature\": "
        "0.8,"
        "\"repetition_penalty\": 1.2, \"no_repeat_ngram_size\": 3, \"eta_cutoff\": 0.001, \"epsilon_cutoff\": 0.001,"
        "\"top_h\": 0.9, \"bad_words_ids\": [[5, 6]], \"min_new_tokens\": 10, \"renormalize_logits\": true}";
    mica_device *device = NULL; /* the process's device is made outside the counting */
    assert_int_equal(mica_device_create(&device, NULL, NULL), MICA_OK);
    mica_device_free(device);
    no_allocation("models", "llama", NULL);
    no_allocation("models", "gemma3_text", NULL);
    no_allocation("chat-models", "llama-chat", NULL);
    assert_int_equal(mica__json_parse(&doc, all, strlen(all), NULL, NULL), MICA_OK);
    no_allocation("models", "llama", mica__json_root(&doc));
    mica__json_release(&doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings),     cmocka_unit_test(test_texts),        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_stop_strings), cmocka_unit_test(test_lengths),      cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_cancel),       cmocka_unit_test(test_not_a_number), cmocka_unit_test(test_no_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
