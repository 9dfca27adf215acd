/* Scoring a text through the library: windows, prefixes, cancelling, and what is refused. The figures themselves are compared with
 * independent ones in tests/cli/test_perplexity.py. */
#include <math.h>
#include <mica/mica.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/reference.h"

enum { N = 40 };

static mica_model *model;
static int32_t ids[N];
static mica_error err;

static int setup(void **state)
{
    (void)state;
    char path[512];
    const mica_model_options exact = {.precision = MICA_PRECISION_EXACT};
    if (!reference_path(path, "models", "llama") || mica_model_load(&model, path, &exact, &err)) return -1;
    for (int i = 0; i < N; i++) ids[i] = (7 * i + 3) % 200;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mica_model_free(model);
    return 0;
}

/* -ln p of every token after the first, in one window, from the logits. */
static double expected(void)
{
    const int64_t vocab = mica_model_get_info(model)->vocab_size;
    float *logits = malloc((size_t)(N * vocab) * sizeof *logits);
    mica_session *s = NULL;
    double sum = 0;
    assert_int_equal(mica_session_create(&s, model, NULL, &err), MICA_OK);
    assert_int_equal(mica_session_forward(s, ids, N, true, logits, &err), MICA_OK);
    for (int i = 1; i < N; i++) {
        const float *row = logits + (i - 1) * vocab;
        double total = 0;
        for (int64_t v = 0; v < vocab; v++) total += exp((double)row[v]);
        sum += log(total) - (double)row[ids[i]];
    }
    mica_session_free(s);
    free(logits);
    return sum / (N - 1);
}

static void test_one_window(void **state)
{
    (void)state;
    mica_perplexity_result r, with_prefix;
    assert_int_equal(mica_perplexity(model, NULL, ids, N, NULL, &r, &err), MICA_OK);
    assert_int_equal(r.n_scored, N - 1);
    assert_true(fabs(r.nll - expected()) < 1e-5);
    assert_true(fabs(r.perplexity / exp(r.nll) - 1) < 1e-12);
    assert_true(r.reference_nll == 0 && r.kl == 0);
    /* the first token as the prefix of the others is the same text */
    const mica_perplexity_options options = {.prefix = ids, .n_prefix = 1};
    assert_int_equal(mica_perplexity(model, NULL, ids + 1, N - 1, &options, &with_prefix, &err), MICA_OK);
    assert_int_equal(with_prefix.n_scored, N - 1);
    assert_true(with_prefix.nll == r.nll);
}

static void test_windows(void **state)
{
    (void)state;
    mica_perplexity_result r;
    for (int64_t window = 2; window <= N + 5; window += 6) {
        for (int64_t stride = 1; stride <= window; stride += 1 + window / 3) {
            const mica_perplexity_options options = {.window = window, .stride = stride};
            assert_int_equal(mica_perplexity(model, model, ids, N, &options, &r, &err), MICA_OK);
            /* every token but the first; without overlap the first of every window has nothing before it */
            int64_t n = stride < window ? N - 1 : N - (N + window - 1) / window;
            assert_int_equal(r.n_scored, n);
            assert_true(r.kl == 0 && r.top1_agreement == 1 && r.nll_change == 0);
        }
    }
}

static bool stop(void *context, const char *stage, uint64_t done, uint64_t total)
{
    assert_string_equal(stage, "score");
    assert_true(done <= total);
    return ++*(int *)context < 2;
}

static void test_refused(void **state)
{
    (void)state;
    mica_perplexity_result r;
    const mica_perplexity_options bad[] = {{.window = 1},
                                           {.window = -5},
                                           {.window = 8, .stride = 9},
                                           {.stride = -1},
                                           {.window = 4, .prefix = ids, .n_prefix = 4}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(mica_perplexity(model, NULL, ids, N, &bad[i], &r, &err), MICA_INVALID);
    assert_int_equal(mica_perplexity(model, NULL, ids, 1, NULL, &r, &err), MICA_INVALID);
    const int32_t outside[] = {1, 100000};
    assert_int_equal(mica_perplexity(model, NULL, outside, 2, NULL, &r, &err), MICA_INVALID);
    int n = 0;
    const mica_perplexity_options cancelled = {.window = 8, .progress = {stop, &n}};
    assert_int_equal(mica_perplexity(model, NULL, ids, N, &cancelled, &r, &err), MICA_CANCELLED);
    assert_int_equal(n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_window), cmocka_unit_test(test_windows),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
