/* Sessions: growing in pieces, cutting back, sliding windows, length-dependent ropes, limits, and lack of memory. */
#include <mica/mica.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "failing_allocator.h"
#include "generate/session.h"
#include "models/reference.h"

enum { VOCAB = 256 };

typedef struct fixture {
    reference_file f;
    mica_model *model;
    const int32_t *ids;  /* 40 */
    const float *logits; /* [40, VOCAB] */
} fixture;

static bool open_fixture(fixture *x, const char *name, int rows)
{
    char path[512];
    size_t n;
    if (!reference_path(path, "models", name)) return false;
    reference_open_tensors(&x->f, path, "reference.safetensors");
    x->model = reference_model(path, 1, rows);
    x->ids = reference_tensor(&x->f, "input_ids", &n);
    assert_int_equal(n, 40);
    x->logits = reference_tensor(&x->f, "logits", &n);
    return true;
}

static void close_fixture(fixture *x)
{
    mica_model_free(x->model);
    reference_close(&x->f);
}

static mica_session *new_session(mica_model *model, int64_t max_context)
{
    mica_session *s;
    mica_error err;
    const mica_session_options options = {.max_context = max_context};
    reference_check(mica_session_create(&s, model, &options, &err), &err, "session");
    return s;
}

/* Appends ids[from..to) and compares the last position's logits. */
static void grow(const fixture *x, mica_session *s, size_t from, size_t to)
{
    float logits[VOCAB];
    mica_error err;
    reference_check(mica_session_forward(s, x->ids + from, to - from, false, logits, &err), &err, "forward");
    double difference = reference_difference(logits, x->logits + (to - 1) * VOCAB, VOCAB);
    if (difference > 1e-4) fail_msg("positions %zu to %zu: logits differ by %g", from, to, difference);
    assert_int_equal(mica_session_length(s), to);
    assert_memory_equal(mica_session_ids(s), x->ids, to * sizeof *x->ids);
}

/* However a sequence is cut into pieces, the last logits are the same: full attention, and rings that go round many times. */
static void test_pieces(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "gemma3_text", "mistral"};
    for (size_t m = 0; m < 3; m++) {
        fixture x;
        if (!open_fixture(&x, names[m], 4)) continue;
        for (size_t piece = 1; piece <= 13; piece += 3) {
            mica_session *s = new_session(x.model, 0);
            for (size_t at = 0; at < 40; at += piece) grow(&x, s, at, at + piece < 40 ? at + piece : 40);
            mica_session_free(s);
        }
        close_fixture(&x);
    }
}

/* A copy of a sequence goes on as the original does, whatever the session held before: less, more, the same beginning, or a ring that had
 * gone further. */
static void test_fork(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "gemma3_text", "mistral"};
    static const struct {
        size_t length, common, before; /* of the original; what the copy's session has of it; that session's length */
    } cases[] = {{30, 0, 0}, {30, 12, 12}, {12, 5, 33}, {25, 20, 25}, {9, 9, 9}, {36, 9, 10}};
    for (size_t m = 0; m < 3; m++) {
        fixture x;
        mica_error err;
        if (!open_fixture(&x, names[m], 4)) continue;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            mica_session *a = new_session(x.model, 0), *b = new_session(x.model, 0);
            grow(&x, a, 0, cases[i].length);
            if (cases[i].common) grow(&x, b, 0, cases[i].common);
            for (size_t k = cases[i].common; k < cases[i].before; k++) {
                const int32_t other = 7;
                reference_check(mica_session_forward(b, &other, 1, false, NULL, &err), &err, "forward");
            }
            reference_check(mica__session_fork(b, a, &err), &err, "fork");
            assert_int_equal(mica_session_length(b), cases[i].length);
            if (cases[i].length > 30)
                reference_check(mica_session_truncate(b, (int64_t)cases[i].length - 2, &err), &err, "cut");
            grow(&x, b, (size_t)mica_session_length(b), 40);
            grow(&x, a, cases[i].length, 40);
            mica_session_free(a);
            mica_session_free(b);
        }
        close_fixture(&x);
    }
}

/* One more token for several sessions at once: the bits of each alone. */
static void test_step_together(void **state)
{
    (void)state;
    enum { N = 5 };
    static const char *const names[] = {"llama", "gemma3_text"};
    static const size_t lengths[N] = {0, 3, 17, 30, 8};
    for (size_t m = 0; m < 2; m++) {
        fixture x;
        mica_error err;
        mica_session *s[N];
        int32_t ids[N];
        static float together[N * VOCAB], alone[VOCAB];
        if (!open_fixture(&x, names[m], 4)) continue; /* at most four rows in a run */
        for (size_t i = 0; i < N; i++) {
            s[i] = new_session(x.model, 0);
            if (lengths[i]) grow(&x, s[i], 0, lengths[i]);
        }
        for (size_t step = 0; step < 9; step++) {
            for (size_t i = 0; i < N; i++) ids[i] = x.ids[lengths[i] + step];
            reference_check(mica__sessions_step(s, ids, N, together, &err), &err, "step");
        }
        for (size_t i = 0; i < N; i++) {
            mica_session *one = new_session(x.model, 0);
            reference_check(mica_session_forward(one, x.ids, lengths[i] + 9, false, alone, &err), &err, "forward");
            assert_memory_equal(alone, together + i * VOCAB, sizeof alone);
            assert_int_equal(mica_session_length(s[i]), lengths[i] + 9);
            mica_session_free(one);
        }
        mica_session_cancel(s[0]);
        assert_int_equal(mica__sessions_step(s, ids, N, together, &err), MICA_CANCELLED);
        for (size_t i = 0; i < N; i++) mica_session_free(s[i]);
        close_fixture(&x);
    }
}

static void test_cut_back(void **state)
{
    (void)state;
    fixture x;
    mica_error err;
    if (!open_fixture(&x, "llama", 4)) skip();
    mica_session *s = new_session(x.model, 0);
    grow(&x, s, 0, 30);
    reference_check(mica_session_truncate(s, 11, &err), &err, "truncate");
    grow(&x, s, 11, 40);
    assert_int_equal(mica_session_truncate(s, 41, &err), MICA_INVALID);
    assert_int_equal(mica_session_truncate(s, -1, &err), MICA_INVALID);
    reference_check(mica_session_truncate(s, 0, &err), &err, "truncate");
    grow(&x, s, 0, 40);
    mica_session_free(s);
    close_fixture(&x);
}

/* A window of 8 in rings of 8 + 4 - 1, rounded up to 16: a few positions can be taken back, more cannot. */
static void test_cut_back_window(void **state)
{
    (void)state;
    fixture x;
    mica_error err;
    if (!open_fixture(&x, "gemma3_text", 4)) skip();
    mica_session *s = new_session(x.model, 0);
    grow(&x, s, 0, 30);
    reference_check(mica_session_truncate(s, 27, &err), &err, "truncate");
    grow(&x, s, 27, 29);
    assert_int_equal(mica_session_truncate(s, 20, &err), MICA_UNSUPPORTED);
    assert_int_equal(mica_session_length(s), 29); /* nothing has happened */
    grow(&x, s, 29, 40);
    mica_session_free(s);

    /* As long as nothing has been dropped, every cut is possible. */
    s = new_session(x.model, 0);
    grow(&x, s, 0, 11);
    reference_check(mica_session_truncate(s, 3, &err), &err, "truncate");
    grow(&x, s, 3, 40);
    mica_session_free(s);
    close_fixture(&x);
}

/* Quantized caches: bits of one step over many sessions and of chunks are those of one row at a time; a fork goes on as its origin; cuts. */
static void test_quantized(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "gemma3_text"};
    enum { TURNS = 30 };
    for (size_t m = 0; m < 4; m++) {
        fixture x;
        mica_error err;
        if (!open_fixture(&x, names[m % 2], m < 2 ? 4 : 1)) skip();
        const mica_session_options options = {.kv_bits = m % 2 ? 4 : 8, .kv_group_size = 32}, wrong = {.kv_bits = 5};
        float first[VOCAB], second[VOCAB], together[2 * VOCAB];
        mica_session *s[3];
        assert_int_equal(mica_session_create(&s[0], x.model, &wrong, &err), MICA_INVALID);
        for (int i = 0; i < 3; i++)
            reference_check(mica_session_create(&s[i], x.model, &options, &err), &err, "session");
        reference_check(mica_session_forward(s[0], x.ids, TURNS, false, first, &err), &err, "forward");
        for (int i = 0; i < TURNS; i++)
            reference_check(mica_session_forward(s[1], x.ids + i, 1, false, second, &err), &err, "forward");
        assert_memory_equal(first, second, sizeof first);

        reference_check(mica_session_truncate(s[1], TURNS - 1, &err), &err, "truncate");
        reference_check(mica_session_forward(s[1], x.ids + TURNS - 1, 1, false, second, &err), &err, "forward");
        assert_memory_equal(first, second, sizeof first);

        reference_check(mica__session_fork(s[2], s[0], &err), &err, "fork");
        reference_check(mica__sessions_step(s + 1, (int32_t[]){x.ids[TURNS], x.ids[TURNS]}, 2, together, &err), &err,
                        "step");
        reference_check(mica_session_forward(s[0], x.ids + TURNS, 1, false, first, &err), &err, "forward");
        assert_memory_equal(first, together, sizeof first);
        assert_memory_equal(first, together + VOCAB, sizeof first);
        mica_session *whole = new_session(x.model, 0);
        reference_check(mica_session_forward(whole, x.ids, TURNS + 1, false, second, &err), &err, "forward");
        double far = 0;
        for (int i = 0; i < VOCAB; i++) far = fmax(far, fabs((double)first[i] - (double)second[i]));
        printf("%s, %d bits: logits differ by %.3g\n", names[m % 2], options.kv_bits, far);
        assert_true(far > 0 && far < (options.kv_bits == 8 ? 0.05 : 1));
        assert_true(mica__kv_cache_bytes(&s[0]->cache) < mica__kv_cache_bytes(&whole->cache) * 3 / 4);
        mica_session_free(whole);
        for (int i = 0; i < 3; i++) mica_session_free(s[i]);
        close_fixture(&x);
    }
}

/* A prompt that shares a beginning with the cache runs only the rest, and gives what it gives alone. */
static void test_common_prefix(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "gemma3_text"};
    for (size_t m = 0; m < 2; m++) {
        fixture x;
        mica_error err;
        mica_generation_config *config;
        mica_generate_result alone, shared;
        if (!open_fixture(&x, names[m], 4)) continue;
        reference_check(mica_generation_config_create(&config, x.model, &err), &err, "settings");
        reference_check(mica_generation_config_set(config, "max_new_tokens", "6", &err), &err, "settings");
        reference_check(mica_generation_config_set(config, "eos_token_id", "null", &err), &err, "settings");
        mica_session *a = new_session(x.model, 0), *b = new_session(x.model, 0);
        grow(&x, a, 0, 9);
        reference_check(mica_generate(a, x.ids, 9, config, NULL, NULL, &alone, &err), &err, "generate");
        assert_int_equal(alone.n_prompt, 1); /* the last token's logits are needed */
        mica_ids_release(&alone.ids);
        reference_check(mica_generate(a, x.ids, 20, config, NULL, NULL, &shared, &err), &err, "generate");
        reference_check(mica_generate(b, x.ids, 20, config, NULL, NULL, &alone, &err), &err, "generate");
        assert_int_equal(alone.n_prompt, 20);
        assert_true(m == 1 || shared.n_prompt == 11);
        assert_int_equal(shared.ids.n, alone.ids.n);
        assert_memory_equal(shared.ids.data, alone.ids.data, alone.ids.n * sizeof(int32_t));
        mica_ids_release(&alone.ids);
        mica_ids_release(&shared.ids);
        mica_session_free(a);
        mica_session_free(b);
        mica_generation_config_free(config);
        close_fixture(&x);
    }
}

/* A rope that depends on the length: what was rotated for one length is not taken for another. */
static void test_dynamic_rope(void **state)
{
    (void)state;
    char path[512], folder[64];
    fixture x;
    mica_error err;
    mica_generation_config *config;
    if (!reference_path(path, "models", "llama") || !open_fixture(&x, "llama", 0)) skip();
    reference_copy(folder, path, "\"max_position_embeddings\": 256",
                   "\"max_position_embeddings\": 20, \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 4.0}",
                   false);
    mica_model *model = reference_model(folder, 1, 0);
    reference_check(mica_generation_config_create(&config, model, &err), &err, "settings");
    reference_check(mica_generation_config_set(config, "max_new_tokens", "4", &err), &err, "settings");
    reference_check(mica_generation_config_set(config, "eos_token_id", "null", &err), &err, "settings");
    mica_session *shared = new_session(model, 0);
    const size_t lengths[] = {6, 10, 18, 30, 38, 12};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        mica_generate_result a, b;
        mica_session *alone = new_session(model, 0);
        reference_check(mica_generate(shared, x.ids, lengths[i], config, NULL, NULL, &a, &err), &err, "shared");
        reference_check(mica_generate(alone, x.ids, lengths[i], config, NULL, NULL, &b, &err), &err, "alone");
        assert_memory_equal(a.ids.data, b.ids.data, 4 * sizeof(int32_t));
        assert_int_equal(a.n_prompt,
                         i == 1 || i == 2 ? lengths[i] - lengths[i - 1] : lengths[i]); /* only short ones share */
        mica_ids_release(&a.ids);
        mica_ids_release(&b.ids);
        mica_session_free(alone);
    }
    mica_session_free(shared);
    mica_generation_config_free(config);
    mica_model_free(model);
    reference_remove(folder);
    close_fixture(&x);
}

static void test_limits(void **state)
{
    (void)state;
    fixture x;
    mica_error err;
    float logits[VOCAB];
    mica_session *s = NULL;
    if (!open_fixture(&x, "llama", 4)) skip();
    s = new_session(x.model, 12);
    grow(&x, s, 0, 12);
    assert_int_equal(mica_session_forward(s, x.ids, 1, false, logits, &err), MICA_LIMIT);
    mica_session_free(s);
    s = new_session(x.model, 0);
    assert_int_equal(mica_session_forward(s, (int32_t[]){256}, 1, false, logits, &err), MICA_INVALID);
    assert_int_equal(mica_session_forward(s, (int32_t[]){-5}, 1, false, logits, &err), MICA_INVALID);
    assert_int_equal(mica_session_forward(s, NULL, 0, false, logits, &err), MICA_OK);
    assert_int_equal(mica_session_length(s), 0);
    mica_session_free(s);
    const mica_session_options negative = {.max_context = -1}, huge = {.max_context = INT64_MAX};
    assert_int_equal(mica_session_create(&s, x.model, &negative, &err), MICA_INVALID);
    assert_int_equal(mica_session_create(&s, x.model, &huge, &err), MICA_INVALID);
    assert_null(s);
    mica_session_free(NULL);
    close_fixture(&x);
}

typedef struct attempt_context {
    mica_model *model;
    const int32_t *ids;
} attempt_context;

static mica_status attempt(void *context)
{
    const attempt_context *a = context;
    mica_session *s = NULL;
    mica_generation_config *config = NULL;
    mica_generate_result result = {0};
    mica_status status = mica_generation_config_create(&config, NULL, NULL);
    if (!status) status = mica_generation_config_set(config, "max_new_tokens", "2", NULL);
    if (!status) status = mica_generation_config_set(config, "suppress_tokens", "[1, 2]", NULL);
    if (!status) status = mica_session_create(&s, a->model, NULL, NULL);
    if (!status) status = mica_generate(s, a->ids, 3, config, NULL, NULL, &result, NULL);
    mica_ids_release(&result.ids);
    mica_session_free(s);
    mica_generation_config_free(config);
    return status;
}

static void test_no_memory(void **state)
{
    (void)state;
    fixture x;
    if (!open_fixture(&x, "llama", 4)) skip();
    attempt_context a = {x.model, x.ids};
    printf("a session and a generation take %zu allocations\n", failing_allocator_sweep(attempt, &a));
    close_fixture(&x);
}

static mica_status from_embeddings(mica_session *s, const float *in, size_t n, float *logits, float *hidden,
                                   mica_error *err)
{
    const mica_forward part = {s, .embeddings = in, .n = n, .logits = logits, .hidden_states = hidden};
    return mica_sessions_forward(&part, 1, err);
}

/* From embeddings as from ids, in pieces of more rows than a run has; the hidden states lead from the embeddings to the logits. */
static void test_embeddings(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "gemma3_text", "mistral"};
    for (size_t m = 0; m < 3; m++) {
        fixture x;
        mica_error err;
        if (!open_fixture(&x, names[m], 7)) continue;
        const mica_model_info *info = mica_model_get_info(x.model);
        const size_t width = (size_t)info->hidden_size, layers = (size_t)info->n_layers + 1;
        float *in = test_malloc(40 * width * sizeof *in), *hidden = test_malloc(layers * 40 * width * sizeof *in);
        float *logits = test_malloc(40 * VOCAB * sizeof *in), *plain = test_malloc(40 * VOCAB * sizeof *in);
        mica_session *a = new_session(x.model, 0), *b = new_session(x.model, 0);
        reference_check(mica_model_embed(x.model, x.ids, 40, in, &err), &err, "embed");
        reference_check(mica_session_forward(a, x.ids, 40, true, plain, &err), &err, "forward");
        reference_check(from_embeddings(b, in, 25, logits, hidden, &err), &err, "embeddings");
        assert_memory_equal(hidden, in, 25 * width * sizeof *in);
        assert_memory_equal(logits, plain, 25 * VOCAB * sizeof *in);
        assert_int_equal(mica_session_ids(b)[24], -1);
        reference_check(from_embeddings(b, in + 25 * width, 15, logits + 25 * VOCAB, NULL, &err), &err, "embeddings");
        assert_memory_equal(logits, plain, 40 * VOCAB * sizeof *in);
        assert_int_equal(mica_session_length(b), 40);
        /* A layer's output does not depend on how many rows ran with it. */
        float *again = test_malloc(layers * width * sizeof *in);
        reference_check(mica_session_truncate(a, 0, &err), &err, "cut");
        reference_check(from_embeddings(a, in, 1, logits, again, &err), &err, "embeddings");
        for (size_t l = 0; l < layers; l++)
            assert_memory_equal(again + l * width, hidden + l * 25 * width, width * sizeof *in);
        const int32_t outside = VOCAB;
        assert_int_equal(mica_model_embed(x.model, &outside, 1, in, &err), MICA_INVALID);
        assert_int_equal(from_embeddings(a, in, (size_t)1 << 40, logits, NULL, &err), MICA_LIMIT);
        test_free(in), test_free(hidden), test_free(logits), test_free(plain), test_free(again);
        mica_session_free(a);
        mica_session_free(b);
        close_fixture(&x);
    }
}

static mica_status attempt_load(void *context)
{
    mica_model *model = NULL;
    const mica_model_options options = {.n_threads = 1};
    mica_status status = mica_model_load(&model, context, &options, NULL);
    mica_model_free(model);
    return status;
}

static void test_no_memory_to_load(void **state)
{
    (void)state;
    char path[512];
    if (!reference_path(path, "models", "llama")) skip();
    printf("loading takes %zu allocations\n", failing_allocator_sweep(attempt_load, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),          cmocka_unit_test(test_fork),
        cmocka_unit_test(test_step_together),   cmocka_unit_test(test_cut_back),
        cmocka_unit_test(test_cut_back_window), cmocka_unit_test(test_quantized),
        cmocka_unit_test(test_common_prefix),   cmocka_unit_test(test_dynamic_rope),
        cmocka_unit_test(test_limits),          cmocka_unit_test(test_embeddings),
        cmocka_unit_test(test_no_memory),       cmocka_unit_test(test_no_memory_to_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
