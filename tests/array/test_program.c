/* Programs: replay with other inputs and row counts, outputs of every kind, memory planning that never mixes values up (random graphs against
 * step-by-step evaluation), caches, no allocation while running, the same result at any thread count. */
#include "array/program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static mica_graph *new_graph(mica_device *device)
{
    mica_graph *g = NULL;
    mica_error err;
    if (mica_graph_create(&g, device, &err) != MICA_OK) fail_msg("%s", err.message);
    return g;
}

static mica_device *new_device(int n_threads)
{
    mica_device *d = NULL;
    mica_error err;
    if (mica_device_create(&d, &(mica_device_options){.n_threads = n_threads}, &err) != MICA_OK)
        fail_msg("%s", err.message);
    return d;
}

static uint64_t seed = 88172645463325252u;
static uint64_t random_number(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}
static float random_float(void) { return (float)((double)random_number(2001) / 1000 - 1); }

/* ---- eval ---- */

static void test_eval(void **state)
{
    (void)state;
    mica_graph *g = new_graph(NULL);
    mica_error err;
    const float data[] = {1, 2, 3, 4, 5, 6};
    mica_array *x = mica_from_data(g, data, MICA_DTYPE_F32, (int64_t[]){2, 3}, 2);
    mica_array *t = mica_transpose(g, x, NULL), *both[2];
    both[0] = mica_sum(g, mica_multiply(g, t, mica_scalar(g, 2)), -1, false); /* [3]: 2 * column sums */
    both[1] = mica_matmul(g, x, t);
    assert_null(mica_array_data(both[0]));
    assert_int_equal(mica_eval(g, both, 2, &err), MICA_OK);
    const float *sums = mica_array_data(both[0]), *product = mica_array_data(both[1]);
    assert_true(sums[0] == 10 && sums[1] == 14 && sums[2] == 18);
    assert_true(product[0] == 14 && product[1] == 32 && product[2] == 32 && product[3] == 77);
    mica_array *more = mica_subtract(g, both[1], mica_scalar(g, 1)); /* builds on evaluated arrays */
    mica_array *view = mica_slice(g, more, 0, 1, 2, 1);
    assert_int_equal(mica_eval(g, &view, 1, &err), MICA_OK);
    const float *row = mica_array_data(view);
    assert_true(row[0] == 31 && row[1] == 76);
    assert_int_equal(mica_eval(g, &view, 1, &err), MICA_OK); /* again: nothing to do */
    assert_ptr_equal(mica_array_data(view), row);
    mica_array *input = mica_exp(g, mica_input(g, 0, MICA_DTYPE_F32, (int64_t[]){2}, 1, false));
    assert_int_equal(mica_eval(g, &input, 1, &err), MICA_INVALID);
    mica_graph_free(g);
}

/* ---- random graphs ---- */

enum { ROWS = 5, COLUMNS = 16, MAX_NODES = 60 };

/* Node i of a random graph of [ROWS, COLUMNS] matrices, from its predecessors. */
static mica_array *random_node(mica_graph *g, mica_array **nodes, int n, mica_array *weight, uint64_t kind, uint64_t a,
                               uint64_t b)
{
    mica_array *x = nodes[a % (uint64_t)n], *y = nodes[b % (uint64_t)n];
    switch (kind % 9) {
    case 0:
        return mica_add(g, x, y);
    case 1:
        return mica_multiply(g, x, y);
    case 2:
        return mica_tanh(g, x);
    case 3:
        return mica_rms_norm(g, x, NULL, 1e-6f, 0);
    case 4:
        return mica_tanh(g, mica_linear(g, x, weight, NULL));
    case 5:
        return mica_softmax(g, x, -1);
    case 6:
        return mica_reshape(g, mica_transpose(g, mica_reshape(g, x, (int64_t[]){ROWS, 4, 4}, 3), (int[]){0, 2, 1}),
                            (int64_t[]){ROWS, COLUMNS}, 2);
    case 7:
        return mica_gated(g, x, y, MICA_ACTIVATION_SILU);
    default:
        return mica_concatenate(g, (mica_array *[]){mica_slice(g, x, 1, 4, COLUMNS, 1), mica_slice(g, y, 1, 0, 4, 1)},
                                2, 1);
    }
}

static void test_random_graphs(void **state)
{
    (void)state;
    float data[ROWS * COLUMNS], w[COLUMNS * COLUMNS];
    for (int i = 0; i < COLUMNS * COLUMNS; i++) w[i] = random_float();
    mica_device *devices[] = {new_device(1), new_device(2), new_device(3)};
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < ROWS * COLUMNS; i++) data[i] = random_float();
        uint64_t script[MAX_NODES][3];
        int n = 2 + (int)random_number(MAX_NODES - 2), n_outputs = 1 + (int)random_number(6), picks[6];
        for (int i = 0; i < n; i++)
            for (int k = 0; k < 3; k++) script[i][k] = random_number(1000);
        for (int k = 0; k < n_outputs; k++) picks[k] = (int)random_number((uint64_t)n);
        static float want[MAX_NODES][ROWS * COLUMNS], got[6][ROWS * COLUMNS];
        for (int d = -1; d < 3; d++) { /* -1: step by step */
            mica_graph *g = new_graph(d < 0 ? devices[0] : devices[d]);
            mica_error err;
            mica_array *nodes[MAX_NODES], *outputs[6];
            mica_array *weight = mica_from_data(g, w, MICA_DTYPE_F32, (int64_t[]){COLUMNS, COLUMNS}, 2);
            nodes[0] = d < 0 ? mica_from_data(g, data, MICA_DTYPE_F32, (int64_t[]){ROWS, COLUMNS}, 2)
                             : mica_input(g, 0, MICA_DTYPE_F32, (int64_t[]){ROWS, COLUMNS}, 2, true);
            for (int i = 1; i < n; i++) {
                nodes[i] = random_node(g, nodes, i, weight, script[i][0], script[i][1], script[i][2]);
                if (d >= 0) continue;
                mica_array *dense = mica_contiguous(g, nodes[i]);
                if (mica_eval(g, &dense, 1, &err) != MICA_OK) fail_msg("%s", err.message);
                nodes[i] = dense;
            }
            if (d < 0) {
                for (int i = 0; i < n; i++) memcpy(want[i], mica_array_data(nodes[i]), sizeof want[i]);
                mica_graph_free(g);
                continue;
            }
            void *pointers[6];
            for (int k = 0; k < n_outputs; k++) {
                outputs[k] = nodes[picks[k]];
                pointers[k] = got[k];
            }
            mica_program *p;
            if (mica_program_compile(&p, g, outputs, n_outputs, &(mica_program_options){.exact = true}, &err) !=
                MICA_OK)
                fail_msg("%s", err.message);
            mica_graph_free(g);
            for (int rows = ROWS; rows >= 1; rows -= 2) { /* a row does not depend on how many there are */
                const void *inputs[] = {data};
                mica_bindings b = {
                    .inputs = inputs, .n_inputs = 1, .outputs = pointers, .n_outputs = n_outputs, .rows = rows};
                memset(got, 0, sizeof got);
                if (mica_program_run(p, &b, &err) != MICA_OK) fail_msg("%s", err.message);
                for (int k = 0; k < n_outputs; k++)
                    if (memcmp(got[k], want[picks[k]], (size_t)rows * COLUMNS * sizeof(float)) != 0)
                        fail_msg("round %d, %d threads, %d rows: node %d differs", round, d + 1, rows, picks[k]);
            }
            mica_program_free(p);
        }
    }
    for (int d = 0; d < 3; d++) mica_device_free(devices[d]);
}

/* ---- outputs and bindings ---- */

static void test_outputs_of_every_kind(void **state)
{
    (void)state;
    mica_graph *g = new_graph(NULL);
    mica_error err;
    mica_array *x = mica_input(g, 1, MICA_DTYPE_F32, (int64_t[]){2, 2}, 2, false);
    mica_array *y = mica_add(g, x, x),
               *constant = mica_from_data(g, (float[]){7, 8}, MICA_DTYPE_F32, (int64_t[]){2}, 1);
    /* the input itself, an operation twice, its transpose, a slice of it, a constant, and what depends on an output */
    mica_array *outputs[] = {
        x, y, y, mica_transpose(g, y, NULL), mica_slice(g, y, 0, 1, 2, 1), constant, mica_multiply(g, y, y)};
    enum { N = sizeof outputs / sizeof *outputs };
    mica_program *p;
    assert_int_equal(mica_program_compile(&p, g, outputs, N, NULL, &err), MICA_OK);
    mica_graph_free(g);
    for (float scale = 1; scale < 4; scale++) {
        float data[4] = {1 * scale, 2 * scale, 3 * scale, 4 * scale}, out[N][4];
        const void *inputs[] = {NULL, data};
        void *pointers[N];
        for (int i = 0; i < N; i++) pointers[i] = out[i];
        mica_bindings b = {.inputs = inputs, .outputs = pointers, .n_inputs = 2, .n_outputs = N};
        assert_int_equal(mica_program_run(p, &b, &err), MICA_OK);
        for (int i = 0; i < 4; i++) {
            assert_true(out[0][i] == data[i] && out[1][i] == 2 * data[i] && out[2][i] == 2 * data[i]);
            assert_true(out[3][i] == 2 * data[(i % 2) * 2 + i / 2] && out[6][i] == 4 * data[i] * data[i]);
        }
        assert_true(out[4][0] == 6 * scale && out[4][1] == 8 * scale && out[5][0] == 7 && out[5][1] == 8);
        b.n_outputs = N - 1;
        assert_int_equal(mica_program_run(p, &b, &err), MICA_INVALID);
        assert_string_equal(err.message, "output 6 is not bound");
        b.n_outputs = N;
        b.n_inputs = 1;
        assert_int_equal(mica_program_run(p, &b, &err), MICA_INVALID);
    }
    mica_program_free(p);
}

static void test_row_limits(void **state)
{
    (void)state;
    mica_graph *g = new_graph(NULL);
    mica_error err;
    mica_array *x = mica_exp(g, mica_input(g, 0, MICA_DTYPE_F32, (int64_t[]){4, 3}, 2, true));
    mica_program *p;
    assert_int_equal(mica_program_compile(&p, g, &x, 1, NULL, &err), MICA_OK);
    mica_graph_free(g);
    float in[12] = {0}, out[12];
    mica_bindings b = {.inputs = (const void *[]){in}, .outputs = (void *[]){out}, .n_inputs = 1, .n_outputs = 1};
    for (b.rows = 0; b.rows < 7; b.rows += 5) {
        assert_int_equal(mica_program_run(p, &b, &err), MICA_INVALID);
        assert_non_null(strstr(err.message, "1 to 4"));
    }
    mica_program_free(p);
}

/* ---- caches ---- */

static mica_program *attention_program(const mica_cache_options *o, int max_rows, int window)
{
    mica_graph *g = new_graph(NULL);
    mica_error err;
    mica_array *qkv[3];
    for (int i = 0; i < 3; i++)
        qkv[i] = mica_input(g, i, MICA_DTYPE_F32,
                            (int64_t[]){max_rows, i ? o->n_kv_heads : 2 * o->n_kv_heads, o->head_dim}, 3, true);
    mica_array *out =
        mica_cached_attention(g, 0, o, qkv[0], qkv[1], qkv[2], NULL, &(mica_attention_options){.window = window});
    mica_program *p;
    if (mica_program_compile(&p, g, &out, 1, &(mica_program_options){.exact = true}, &err) != MICA_OK)
        fail_msg("%s", err.message);
    mica_graph_free(g);
    return p;
}

/* Fed in pieces of any size, through a ring that only just holds the window, the result is that of plain attention over everything. */
static void test_cached_attention(void **state)
{
    (void)state;
    enum { T = 40, HK = 2, H = 4, D = 8, MAX_ROWS = 8 };
    static float q[T * H * D], k[T * HK * D], v[T * HK * D], out[T * H * D];
    for (int i = 0; i < T * H * D; i++) q[i] = random_float();
    for (int i = 0; i < T * HK * D; i++) {
        k[i] = random_float();
        v[i] = random_float();
    }
    for (int window = 0; window <= 6; window += 6) {
        mica_error err;
        mica_graph *g = new_graph(NULL);
        mica_array *qa = mica_from_data(g, q, MICA_DTYPE_F32, (int64_t[]){T, H, D}, 3);
        mica_array *ka = mica_from_data(g, k, MICA_DTYPE_F32, (int64_t[]){T, HK, D}, 3);
        mica_array *va = mica_from_data(g, v, MICA_DTYPE_F32, (int64_t[]){T, HK, D}, 3);
        mica_array *plain = mica_attention(g, qa, ka, va, NULL, &(mica_attention_options){.window = window});
        if (mica_eval(g, &plain, 1, &err) != MICA_OK) fail_msg("%s", err.message);
        const float *want = mica_array_data(plain);
        mica_cache_options o = {HK, D, D, window ? window + MAX_ROWS - 1 : T, MICA_DTYPE_F32, 0, 0};
        mica_program *p = attention_program(&o, MAX_ROWS, window);
        static float first[T * H * D];
        for (int piece = 1; piece <= MAX_ROWS; piece++) {
            mica_cache *cache;
            assert_int_equal(mica_cache_create(&cache, &o, &err), MICA_OK);
            for (int past = 0, rows; past < T; past += rows) {
                rows = past + piece > T ? T - past : piece;
                const void *inputs[] = {q + past * H * D, k + past * HK * D, v + past * HK * D};
                void *outputs[] = {out + past * H * D};
                mica_bindings b = {inputs, outputs, &cache, 3, 1, 1, rows, past, NULL, 0, false};
                if (mica_program_run(p, &b, &err) != MICA_OK) fail_msg("%s", err.message);
            }
            for (int i = 0; i < T * H * D; i++) assert_float_equal(out[i], want[i], 1e-5);
            if (piece == 1) memcpy(first, out, sizeof first);
            assert_memory_equal(first, out, sizeof first); /* to the bit */
            mica_cache_free(cache);
        }
        mica_program_free(p);
        mica_graph_free(g);
    }
}

/* Position i of a sequence: 4 heads over 2, of 8. */
static void run_row(mica_program *p, mica_cache *cache, const float *q, const float *k, const float *v, float *out,
                    int i)
{
    mica_error err;
    const void *inputs[] = {q + i * 32, k + i * 16, v + i * 16};
    void *outputs[] = {out + i * 32};
    const mica_bindings b = {.inputs = inputs,
                             .outputs = outputs,
                             .caches = &cache,
                             .n_inputs = 3,
                             .n_outputs = 1,
                             .n_caches = 1,
                             .rows = 1,
                             .n_past = i};
    if (mica_program_run(p, &b, &err) != MICA_OK) fail_msg("%s", err.message);
}

/* Three sequences of other lengths in each run: every row as if its sequence were alone, to the bit. */
static void test_sequences(void **state)
{
    (void)state;
    enum { T = 150, HK = 2, H = 4, D = 8, MAX_ROWS = 9, S = 3 };
    static float q[S][T * H * D], k[S][T * HK * D], v[S][T * HK * D], alone[S][T * H * D], together[S][T * H * D];
    static const int rows[S] = {1, 5, 3}, begin[S] = {140, 0, 17};
    for (int window = 0; window <= 6; window += 6) {
        mica_error err;
        mica_cache_options o = {HK, D, D, window ? window + MAX_ROWS - 1 : T, MICA_DTYPE_F16, 0, 0};
        mica_program *p = attention_program(&o, MAX_ROWS, window);
        mica_cache *caches[S];
        for (int s = 0; s < S; s++) {
            for (int i = 0; i < T * H * D; i++) q[s][i] = random_float();
            for (int i = 0; i < T * HK * D; i++) k[s][i] = random_float(), v[s][i] = random_float();
            assert_int_equal(mica_cache_create(&caches[s], &o, &err), MICA_OK);
            for (int i = 0; i < begin[s]; i++) run_row(p, caches[s], q[s], k[s], v[s], alone[s], i);
        }
        static float qs[MAX_ROWS * H * D], ks[MAX_ROWS * HK * D], vs[MAX_ROWS * HK * D], out[MAX_ROWS * H * D];
        int past[S] = {140, 0, 17};
        for (int turn = 0; turn < 9; turn++) {
            mica_sequence sequences[S];
            int at = 0;
            for (int s = 0; s < S; at += rows[s++]) {
                sequences[s] = (mica_sequence){&caches[s], rows[s], past[s]};
                memcpy(qs + at * H * D, q[s] + past[s] * H * D, (size_t)(rows[s] * H * D) * sizeof *qs);
                memcpy(ks + at * HK * D, k[s] + past[s] * HK * D, (size_t)(rows[s] * HK * D) * sizeof *ks);
                memcpy(vs + at * HK * D, v[s] + past[s] * HK * D, (size_t)(rows[s] * HK * D) * sizeof *vs);
            }
            const void *inputs[] = {qs, ks, vs};
            void *outputs[] = {out};
            mica_bindings b = {.inputs = inputs,
                               .outputs = outputs,
                               .n_inputs = 3,
                               .n_outputs = 1,
                               .n_caches = 1,
                               .rows = at,
                               .sequences = sequences,
                               .n_sequences = S};
            if (mica_program_run(p, &b, &err) != MICA_OK) fail_msg("%s", err.message);
            at = 0;
            for (int s = 0; s < S; at += rows[s++]) {
                memcpy(together[s] + past[s] * H * D, out + at * H * D, (size_t)(rows[s] * H * D) * sizeof *out);
                past[s] += rows[s];
            }
            b.rows++; /* a row that no sequence has */
            if (turn == 8) assert_int_equal(mica_program_run(p, &b, &err), MICA_INVALID);
        }
        for (int s = 0; s < S; s++) {
            /* Alone again, to the same length. */
            mica_cache *cache;
            assert_int_equal(mica_cache_create(&cache, &o, &err), MICA_OK);
            for (int i = 0; i < past[s]; i++) run_row(p, cache, q[s], k[s], v[s], alone[s], i);
            int from = begin[s] * H * D, to = past[s] * H * D;
            assert_memory_equal(alone[s] + from, together[s] + from, (size_t)(to - from) * sizeof(float));
            mica_cache_free(cache);
            mica_cache_free(caches[s]);
        }
        mica_program_free(p);
    }
}

static void test_cache_checks(void **state)
{
    (void)state;
    mica_error err;
    mica_cache_options o = {1, 4, 4, 4, MICA_DTYPE_F32, 0, 0}, other = {2, 4, 4, 4, MICA_DTYPE_F32, 0, 0};
    mica_program *p = attention_program(&o, 4, 0);
    mica_cache *cache, *wrong;
    assert_int_equal(mica_cache_create(&cache, &o, &err), MICA_OK);
    assert_int_equal(mica_cache_create(&wrong, &other, &err), MICA_OK);
    float in[16] = {0}, out[16];
    const void *inputs[] = {in, in, in};
    void *outputs[] = {out};
    mica_bindings b = {inputs, outputs, &wrong, 3, 1, 1, 2, 0, NULL, 0, false};
    assert_int_equal(mica_program_run(p, &b, &err), MICA_INVALID);
    b.caches = &cache;
    assert_int_equal(mica_program_run(p, &b, &err), MICA_OK);
    assert_int_equal(mica_cache_bytes(cache), 2 * (4 + 4) * 4);
    b.n_past = 7; /* two rows at 7 and 8, but only 8 positions (4, rounded up) */
    assert_int_equal(mica_program_run(p, &b, &err), MICA_INVALID);
    b.n_caches = 0;
    assert_int_equal(mica_program_run(p, &b, &err), MICA_INVALID);
    mica_program_free(p);
    mica_cache_free(cache);
    mica_cache_free(wrong);
    other.dtype = MICA_DTYPE_I8;
    assert_int_equal(mica_cache_create(&cache, &other, &err), MICA_UNSUPPORTED);
    other.dtype = MICA_DTYPE_F16;
    other.capacity = INT64_MAX / 2;
    assert_int_equal(mica_cache_create(&cache, &other, &err), MICA_LIMIT);
}

/* ---- no allocation ---- */

static int n_calls;
static void *counting_resize(void *context, void *block, size_t n_bytes)
{
    (void)context;
    n_calls++;
    if (n_bytes) return realloc(block, n_bytes);
    free(block);
    return NULL;
}

static void test_running_allocates_nothing(void **state)
{
    (void)state;
    mica_error err;
    mica_set_allocator(&(mica_allocator){counting_resize, NULL});
    mica_device *device = new_device(2);
    mica_graph *g = new_graph(device);
    mica_array *x = mica_input(g, 0, MICA_DTYPE_F32, (int64_t[]){4, 32}, 2, true), *y = x;
    mica_array *w = mica_full(g, (int64_t[]){32, 32}, 2, 0.01, MICA_DTYPE_BF16);
    for (int i = 0; i < 10; i++) y = mica_add(g, y, mica_linear(g, mica_rms_norm(g, y, NULL, 1e-5f, 0), w, NULL));
    mica_program *p;
    assert_int_equal(mica_program_compile(&p, g, &y, 1, NULL, &err), MICA_OK);
    float in[128] = {1}, out[128];
    mica_bindings b = {
        .inputs = (const void *[]){in}, .outputs = (void *[]){out}, .n_inputs = 1, .n_outputs = 1, .rows = 4};
    assert_true(n_calls > 0);
    n_calls = 0;
    for (int i = 0; i < 20; i++) assert_int_equal(mica_program_run(p, &b, &err), MICA_OK);
    assert_int_equal(n_calls, 0);
    mica_program_free(p);
    mica_graph_free(g);
    mica_device_free(device);
    mica_set_allocator(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eval),
        cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_outputs_of_every_kind),
        cmocka_unit_test(test_row_limits),
        cmocka_unit_test(test_cached_attention),
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_cache_checks),
        cmocka_unit_test(test_running_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
