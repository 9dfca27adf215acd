/* Passes: positions of several sessions together give each what it gets alone, to the bit: prompts of all lengths, in pieces, from ids
 * and embeddings, over rings and ropes that depend on the length. */
#include <mica/mica.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "failing_allocator.h"
#include "generate/pass.h"
#include "models/reference.h"

enum { VOCAB = 256, N = 5 };

static const size_t lengths[N] = {13, 1, 40, 0, 22};

typedef struct fixture {
    reference_file f;
    mica_model *model;
    const int32_t *ids; /* 40 */
    mica_session *sessions[N];
} fixture;

static bool open_fixture(fixture *x, const char *name, int rows)
{
    char path[512];
    size_t n;
    mica_error err;
    if (!reference_path(path, "models", name)) return false;
    reference_open_tensors(&x->f, path, "reference.safetensors");
    x->model = reference_model(path, 2, rows);
    x->ids = reference_tensor(&x->f, "input_ids", &n);
    for (size_t i = 0; i < N; i++)
        reference_check(mica_session_create(&x->sessions[i], x->model, NULL, &err), &err, "session");
    return true;
}

static void close_fixture(fixture *x)
{
    for (size_t i = 0; i < N; i++) mica_session_free(x->sessions[i]);
    mica_model_free(x->model);
    reference_close(&x->f);
}

/* Logits of all 40 positions, by a session alone. */
static void alone(const fixture *x, float *out)
{
    mica_session *s;
    mica_error err;
    reference_check(mica_session_create(&s, x->model, NULL, &err), &err, "session");
    reference_check(mica_session_forward(s, x->ids, 40, true, out, &err), &err, "forward");
    mica_session_free(s);
}

/* Row i is the first lengths[i] ids: a first pass over some of them, a second one over the rest. */
static void test_as_alone(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "gemma3_text", "mistral"};
    float *expected = test_malloc(40 * VOCAB * sizeof *expected),
          *logits = test_malloc(N * 40 * VOCAB * sizeof *logits);
    for (size_t m = 0; m < 3; m++) {
        fixture x;
        mica_error err;
        if (!open_fixture(&x, names[m], 7)) continue;
        alone(&x, expected);
        for (size_t cut = 0; cut <= 40; cut += 8) {
            mica_forward parts[N];
            for (size_t half = 0; half < 2; half++) {
                for (size_t i = 0; i < N; i++) {
                    const size_t first = lengths[i] < cut ? lengths[i] : cut;
                    if (!half) reference_check(mica_session_truncate(x.sessions[i], 0, &err), &err, "truncate");
                    parts[i] = (mica_forward){.session = x.sessions[i], .ids = x.ids + (half ? first : 0)};
                    parts[i].n = half ? lengths[i] - first : first;
                    parts[i].logits = logits + (i * 40 + (half ? first : 0)) * VOCAB;
                }
                reference_check(mica_sessions_forward(parts, N, &err), &err, "pass");
            }
            for (size_t i = 0; i < N; i++) {
                assert_int_equal(mica_session_length(x.sessions[i]), lengths[i]);
                assert_memory_equal(mica_session_ids(x.sessions[i]), x.ids, lengths[i] * sizeof *x.ids);
                assert_memory_equal(logits + i * 40 * VOCAB, expected, lengths[i] * VOCAB * sizeof *logits);
            }
        }
        close_fixture(&x);
    }
    test_free(expected), test_free(logits);
}

/* Ids beside embeddings, last logits beside all and none, and a look into one of them only. */
static void test_mixed(void **state)
{
    (void)state;
    fixture x;
    mica_error err;
    if (!open_fixture(&x, "gemma3_text", 9)) skip();
    const size_t width = (size_t)mica_model_get_info(x.model)->hidden_size;
    const size_t layers = (size_t)mica_model_get_info(x.model)->n_layers;
    float *expected = test_malloc(40 * VOCAB * sizeof *expected), *all = test_malloc(40 * VOCAB * sizeof *all);
    float *in = test_malloc(40 * width * sizeof *in), *hidden = test_malloc((layers + 1) * 13 * width * sizeof *in);
    float last[VOCAB];
    alone(&x, expected);
    reference_check(mica_model_embed(x.model, x.ids, 40, in, &err), &err, "embed");
    for (size_t look = 0; look < 2; look++) {
        const mica_forward parts[] = {
            {x.sessions[0], .ids = x.ids, .n = 13, .hidden_states = look ? hidden : NULL},
            {x.sessions[1], .embeddings = in, .n = 22, .last_only = true, .logits = last},
            {x.sessions[2], .ids = x.ids, .n = 40, .logits = all},
        };
        for (size_t i = 0; i < 3; i++) reference_check(mica_session_truncate(x.sessions[i], 0, &err), &err, "cut");
        memset(all, 0, 40 * VOCAB * sizeof *all);
        memset(last, 0, sizeof last);
        reference_check(mica_sessions_forward(parts, 3, &err), &err, "pass");
        assert_memory_equal(last, expected + 21 * VOCAB, sizeof last);
        assert_memory_equal(all, expected, 40 * VOCAB * sizeof *all);
        assert_int_equal(mica_session_ids(x.sessions[1])[21], -1);
        if (look) assert_memory_equal(hidden, in, 13 * width * sizeof *in);
        reference_check(mica_session_forward(x.sessions[0], x.ids + 13, 27, false, last, &err), &err, "go on");
        assert_memory_equal(last, expected + 39 * VOCAB, sizeof last);
    }
    test_free(expected), test_free(all), test_free(in), test_free(hidden);
    close_fixture(&x);
}

/* Attention adds up to one over what a position may see and gives nothing to the rest, whether a prompt comes at once, in pieces over a ring, or
 * beside others. */
static void test_attentions(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "gemma3_text", "mistral"};
    for (size_t m = 0; m < 3; m++) {
        fixture x;
        mica_error err;
        if (!open_fixture(&x, names[m], 7)) continue;
        const mica_model_info *info = mica_model_get_info(x.model);
        const size_t rows = (size_t)info->n_layers * (size_t)info->n_heads;
        float *whole = test_malloc(rows * 40 * 40 * sizeof *whole),
              *piece = test_malloc(rows * 40 * 40 * sizeof *piece);
        const mica_forward parts[] = {{x.sessions[0], .ids = x.ids, .n = 11},
                                      {x.sessions[1], .ids = x.ids, .n = 40, .attentions = whole},
                                      {x.sessions[2], .ids = x.ids, .n = 25, .attentions = piece}};
        reference_check(mica_sessions_forward(parts, 3, &err), &err, "pass");
        for (size_t half = 0; half < 2; half++) {
            const size_t first = half ? 25 : 0, n = half ? 15 : 25, length = first + n;
            const mica_forward rest = {x.sessions[2], .ids = x.ids + 25, .n = 15, .attentions = piece};
            if (half) reference_check(mica_sessions_forward(&rest, 1, &err), &err, "the rest");
            for (size_t r = 0; r < rows; r++) {
                const int64_t window = mica_model_window(x.model, (int)(r / (size_t)info->n_heads));
                for (size_t i = 0; i < n; i++) {
                    const float *a = piece + (r * n + i) * length, *b = whole + (r * 40 + first + i) * 40;
                    double sum = 0;
                    for (size_t k = 0; k < 40; k++) {
                        const int64_t back = (int64_t)(first + i) - (int64_t)k;
                        const bool seen = back >= 0 && (window == 0 || back < window);
                        assert_true(seen || b[k] == 0);
                        if (k < length) assert_true(a[k] - b[k] < 1e-6f && b[k] - a[k] < 1e-6f);
                        sum += (double)b[k];
                    }
                    assert_true(sum > 1 - 1e-5 && sum < 1 + 1e-5);
                }
            }
        }
        test_free(whole), test_free(piece);
        close_fixture(&x);
    }
}

static void test_refused(void **state)
{
    (void)state;
    fixture x, y;
    mica_error err;
    if (!open_fixture(&x, "llama", 4) || !open_fixture(&y, "gemma3_text", 4)) skip();
    const float none[1] = {0};
    const int32_t outside = VOCAB;
    const mica_forward good = {x.sessions[0], .ids = x.ids, .n = 3};
    const mica_forward bad[] = {{x.sessions[0], .ids = x.ids, .n = 1},
                                {y.sessions[0], .ids = x.ids, .n = 1},
                                {x.sessions[1], .n = 1},
                                {x.sessions[1], .ids = x.ids, .embeddings = none, .n = 1},
                                {x.sessions[1], .ids = &outside, .n = 1},
                                {x.sessions[1], .ids = x.ids, .n = (size_t)1 << 40}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const mica_forward parts[] = {good, bad[i]};
        assert_int_equal(mica_sessions_forward(parts, 2, &err), i < 5 ? MICA_INVALID : MICA_LIMIT);
        assert_int_equal(mica_session_length(x.sessions[0]), 0);
        assert_null(strchr(err.message, '\n'));
    }
    assert_int_equal(mica_sessions_forward(NULL, 0, &err), MICA_OK);
    atomic_store(x.sessions[1]->cancelled, true);
    const mica_forward parts[] = {good, {x.sessions[1], .ids = x.ids, .n = 9}};
    assert_int_equal(mica__pass(parts, 2, &err), MICA_CANCELLED);
    assert_int_equal(mica_sessions_forward(parts, 2, &err), MICA_OK); /* clears it */
    close_fixture(&x);
    close_fixture(&y);
}

typedef struct attempt_context {
    fixture x;
    float logits[3 * VOCAB], *hidden, *attentions;
} attempt_context;

static mica_status attempt(void *context)
{
    attempt_context *a = context;
    const mica_forward parts[] = {
        {a->x.sessions[0], .ids = a->x.ids, .n = 9, .last_only = true, .logits = a->logits, .hidden_states = a->hidden,
         .attentions = a->attentions},
        {a->x.sessions[1], .ids = a->x.ids, .n = 5, .last_only = true, .logits = a->logits + 2 * VOCAB},
    };
    for (size_t i = 0; i < 2; i++)
        if (mica_session_truncate(a->x.sessions[i], 0, NULL)) return MICA_INVALID;
    return mica_sessions_forward(parts, 2, NULL);
}

static void test_no_memory(void **state)
{
    (void)state;
    attempt_context a = {.hidden = NULL};
    if (!open_fixture(&a.x, "llama", 4)) skip();
    const mica_model_info *info = mica_model_get_info(a.x.model);
    a.hidden = test_malloc(((size_t)info->n_layers + 1) * 9 * (size_t)info->hidden_size * sizeof *a.hidden);
    a.attentions = test_malloc((size_t)info->n_layers * (size_t)info->n_heads * 81 * sizeof *a.attentions);
    assert_int_equal(attempt(&a), MICA_OK); /* the model keeps the programs that are made on first use */
    printf("a pass takes %zu allocations\n", failing_allocator_sweep(attempt, &a));
    test_free(a.hidden), test_free(a.attentions);
    close_fixture(&a.x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_alone), cmocka_unit_test(test_mixed),     cmocka_unit_test(test_attentions),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
