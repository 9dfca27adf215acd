/* tests/backend/test_attention.c: attention over arrays and over caches: against double precision; one row at a time, in
 * chunks and all at once; rings that wrap; windows, soft caps, sinks, shared key heads. */
#include "op_table.h"
#include "array/cache_layout.h"

typedef struct setup {
    int64_t t, heads, kv_heads, dim, value_dim;
    mica_attention_options options;
    bool sinks;
} setup;

/* q [T, h, d], k, v [S, hk, d]: the last T of S positions ask. */
static double *attend(const setup *s, const mica__tensor *q, const mica__tensor *k, const mica__tensor *v,
                      const mica__tensor *sinks)
{
    int64_t n_keys = k->shape[0], past = n_keys - s->t, group = s->heads / s->kv_heads;
    double *out = calloc((size_t)(s->t * s->heads * s->value_dim), sizeof *out), *p = calloc((size_t)n_keys, sizeof *p);
    double scale = s->options.scale != 0 ? (double)s->options.scale : 1 / sqrt((double)s->dim),
           cap = (double)s->options.softcap;
    for (int64_t t = 0; t < s->t; t++) {
        for (int64_t h = 0; h < s->heads; h++) {
            int64_t hk = h / group, i = past + t;
            double top = sinks ? get(sinks, h) : -INFINITY, sum = 0;
            for (int64_t j = 0; j < n_keys; j++) {
                int64_t distance = i - j, w = s->options.window;
                bool seen = s->options.bidirectional ? (w == 0 || llabs(distance) < w)
                                                     : distance >= 0 && (w == 0 || distance < w);
                p[j] = -INFINITY;
                if (!seen) continue;
                double dot = 0;
                for (int64_t e = 0; e < s->dim; e++)
                    dot += get(q, (t * s->heads + h) * s->dim + e) * get(k, (j * s->kv_heads + hk) * s->dim + e);
                p[j] = dot * scale;
                if (cap > 0) p[j] = cap * tanh(p[j] / cap);
                if (p[j] > top) top = p[j];
            }
            for (int64_t j = 0; j < n_keys; j++) sum += p[j] = exp(p[j] - top);
            if (sinks) sum += exp(get(sinks, h) - top);
            for (int64_t j = 0; j < n_keys; j++)
                for (int64_t e = 0; e < s->value_dim && p[j] > 0; e++)
                    out[(t * s->heads + h) * s->value_dim + e] +=
                        p[j] / sum * get(v, (j * s->kv_heads + hk) * s->value_dim + e);
        }
    }
    free(p);
    return out;
}

static mica__instr attention_instr(const setup *s, mica__op op, mica__tensor q, mica__tensor k, mica__tensor v,
                                   const mica__tensor *sinks)
{
    mica__instr instr = {.op = op, .n_in = sinks ? 4 : 3, .in = {q, k, v}};
    if (sinks) instr.in[3] = *sinks;
    instr.attrs.attention = s->options;
    instr.out = (mica__tensor){.dtype = MICA_DTYPE_F32, .ndim = 3, .shape = {q.shape[0], s->heads, s->value_dim}};
    return instr;
}

static void over_arrays(void **state)
{
    (void)state;
    static const setup setups[] = {
        {1, 1, 1, 8, 8, {.window = 0}, false},
        {5, 4, 2, 64, 64, {.window = 0}, false},
        {9, 6, 1, 80, 48, {.scale = 0.3f, .softcap = 5}, true},
        {20, 2, 2, 96, 96, {.window = 7}, false},
        {17, 3, 3, 20, 12, {.bidirectional = true}, false},
        {40, 8, 2, 128, 128, {.bidirectional = true, .window = 9}, true},
        {3, 14, 2, 64, 64, {.window = 0}, true},
    };
    for (size_t i = 0; i < sizeof setups / sizeof *setups; i++) {
        for (int extra = 0; extra < 700; extra += 340) {
            for (layout how = DENSE; how < N_LAYOUTS; how++) {
                if (extra && how != (layout)(i % N_LAYOUTS)) continue;
                const setup *s = &setups[i];
                int64_t keys = s->t + extra;
                mica__tensor q = make(MICA_DTYPE_F32, (int64_t[]){s->t, s->heads, s->dim}, 3, how, 1, 1);
                mica__tensor k = make(MICA_DTYPE_F32, (int64_t[]){keys, s->kv_heads, s->dim}, 3, how, 1, 1);
                mica__tensor v = make(MICA_DTYPE_F32, (int64_t[]){keys, s->kv_heads, s->value_dim}, 3, how, 1, 1);
                mica__tensor sinks = make_dense(MICA_DTYPE_F32, &s->heads, 1, -1, 3);
                op_case c = {.name = "attention",
                             .instr = attention_instr(s, MICA__OP_ATTENTION, q, k, v, s->sinks ? &sinks : NULL)};
                c.expected = attend(s, &q, &k, &v, s->sinks ? &sinks : NULL);
                c.bound = 3e-6;
                c.scale = 1;
                check_case(&c);
                drop_all();
            }
        }
    }
}

/* ---- caches -------------------------------------------------------------------------------------------------------------- */

/* How a cache holds numbers. */
typedef struct number_form {
    mica_dtype dtype;
    int bits, group_size;
} number_form;

static mica_cache cache_of(const setup *s, int64_t capacity, number_form form)
{
    mica_cache c = {.options = {(int)s->kv_heads, (int)s->dim, (int)s->value_dim, mica__cache_positions(capacity),
                                form.dtype, form.bits, form.group_size}};
    const mica__cache_layout keys = mica__cache_layout_of(&c.options, false),
                             values = mica__cache_layout_of(&c.options, true);
    c.key_bytes = (size_t)(s->kv_heads * c.options.capacity / MICA__CACHE_LANES * keys.block_bytes);
    c.value_bytes = (size_t)(s->kv_heads * c.options.capacity / MICA__CACHE_LANES * values.block_bytes);
    c.keys = guarded(c.key_bytes);
    c.values = guarded(c.value_bytes);
    memset(c.keys, 0xff, c.key_bytes); /* NaN where nothing was written */
    memset(c.values, 0xff, c.value_bytes);
    return c;
}

static mica__tensor rows_of(const mica__tensor *t, int64_t first, int64_t count)
{
    mica__tensor part = *t;
    part.data = (uint8_t *)t->data + first * t->strides[0] * (int64_t)mica_dtype_size(t->dtype);
    part.shape[0] = count;
    return part;
}

/* Feeds `total` rows in chunks into a fresh cache; out [total, h, dv]. */
static float *feed(const setup *s, const mica__tensor *q, const mica__tensor *k, const mica__tensor *v,
                   const mica__tensor *sinks, int64_t chunk, int64_t capacity, number_form form, int team, bool plain)
{
    int64_t total = k->shape[0], width = s->heads * s->value_dim;
    float *out = guarded((size_t)(total * width) * sizeof(float));
    mica_cache cache = cache_of(s, capacity, form), *caches[] = {&cache};
    for (int64_t first = 0; first < total; first += chunk) {
        int64_t count = chunk < total - first ? chunk : total - first;
        mica__instr instr = attention_instr(s, MICA__OP_CACHED_ATTENTION, rows_of(q, first, count),
                                            rows_of(k, first, count), rows_of(v, first, count), sinks);
        instr.attrs.cache = cache.options;
        instr.out.data = out + first * width;
        choose(&instr, plain);
        const mica_sequence sequence = {caches, count, first};
        run_team(&instr, &(mica__run){.sequences = &sequence, .n_sequences = 1}, team);
    }
    return out;
}

/* The numbers as the cache rounds them. */
static mica__tensor rounded(const mica__tensor *t, number_form form, bool values)
{
    const int dim = (int)t->shape[2];
    const mica_cache_options o = {1, dim, dim, MICA__CACHE_LANES, form.dtype, form.bits, form.group_size};
    const mica__cache_layout l = mica__cache_layout_of(&o, values);
    mica__tensor r = make_dense(MICA_DTYPE_F32, t->shape, t->ndim, 0, 1);
    uint8_t *block = calloc(1, (size_t)l.block_bytes);
    float *row = calloc((size_t)dim, sizeof *row);
    for (int64_t i = 0; i < size_of(t); i += dim) {
        for (int e = 0; e < dim; e++) row[e] = (float)get(t, i + e);
        if (l.rotated) mica__cache_rotate(row, dim);
        mica__cache_store(&l, block, (int)(i / dim % 8), row);
        mica__cache_load(&l, block, (int)(i / dim % 8), row);
        if (l.rotated) mica__cache_rotate(row, dim);
        for (int e = 0; e < dim; e++) set(&r, i + e, (double)row[e]);
    }
    free(block);
    free(row);
    return r;
}

static double worst_cached[4]; /* fast, plain; the same of quantized caches */

static void check_cached(const setup *s, int64_t total, int64_t capacity, number_form form)
{
    mica__tensor q = make(MICA_DTYPE_F32, (int64_t[]){total, s->heads, s->dim}, 3, MISALIGNED, 1, 1);
    mica__tensor k = make(MICA_DTYPE_F32, (int64_t[]){total, s->kv_heads, s->dim}, 3, SLICED, 1, 1);
    mica__tensor v = make(MICA_DTYPE_F32, (int64_t[]){total, s->kv_heads, s->value_dim}, 3, DENSE, 1, 1);
    mica__tensor sinks = make_dense(MICA_DTYPE_F32, &s->heads, 1, -1, 3), *with = s->sinks ? &sinks : NULL;
    mica__tensor rk = rounded(&k, form, false), rv = rounded(&v, form, true);
    setup all = *s;
    all.t = total;
    double *expected = attend(&all, &q, &rk, &rv, with);
    static const int64_t chunks[] = {1, 5, 64};
    int64_t n = total * s->heads * s->value_dim;
    for (int plain = 0; plain < 2; plain++) {
        const float *first = NULL;
        for (int i = 0; i < 3; i++) {
            /* A ring needs room for the window and the rows of a chunk. */
            int64_t chunk = chunks[i];
            if (s->options.window && chunk + s->options.window - 1 > capacity) chunk = capacity - s->options.window + 1;
            float *out = feed(s, &q, &k, &v, with, chunk, capacity, form, i + 1, plain);
            if (!first) {
                first = out;
                for (int64_t e = 0; e < n; e++) {
                    double error = fabs((double)out[e] - expected[e]) / (fabs(expected[e]) + 1);
                    if (!(error < (form.bits && !plain ? 3e-4 : 4e-6)))
                        fail_msg("element %lld is %g, expected %g", (long long)e, (double)out[e], expected[e]);
                    if (error > worst_cached[plain + 2 * (form.bits > 0)])
                        worst_cached[plain + 2 * (form.bits > 0)] = error;
                }
            } else if (memcmp(first, out, (size_t)n * sizeof(float)) != 0) {
                fail_msg("chunks of %lld give other bits than one row at a time", (long long)chunk);
            }
        }
    }
    free(expected);
    drop_all();
}

static void over_caches(void **state)
{
    (void)state;
    static const number_form forms[] = {
        {MICA_DTYPE_F32, 0, 0},  {MICA_DTYPE_F16, 0, 0},  {MICA_DTYPE_BF16, 0, 0},  {MICA_DTYPE_F16, 8, 64},
        {MICA_DTYPE_F16, 4, 64}, {MICA_DTYPE_F16, 8, 32}, {MICA_DTYPE_F16, 4, 128},
    };
    static const int64_t dims[] = {64, 80, 96, 128, 256, 24, 12}; /* the last is no multiple of 8 */
    for (int d = 0; d < 7; d++) {
        for (int i = d < 4 ? 0 : d % 2; i < 7; i += d < 4 ? 1 : 2) {
            int64_t dim = dims[i], value_dim = i % 3 == 1 ? 64 : dim;
            check_cached(&(setup){0, 4, 2, dim, value_dim, {.window = 0}, false}, 37, 50, forms[d]);
            check_cached(&(setup){0, 3, 1, dim, value_dim, {.window = 16, .softcap = 8}, i % 2}, 150, 16 + 9, forms[d]);
        }
        check_cached(&(setup){0, 9, 1, 64, 64, {.scale = 0.2f}, true}, 530, 530, forms[d]);
        check_cached(&(setup){0, 2, 2, 16, 16, {.window = 300}, false}, 700, 400, forms[d]);
    }
    printf("cached attention: worst error fast %.2e, plain %.2e; quantized fast %.2e, plain %.2e\n", worst_cached[0],
           worst_cached[1], worst_cached[2], worst_cached[3]);
}

/* So long a context that a part has several blocks: the last rows alone and together. */
static void long_context(void **state)
{
    (void)state;
    const setup s = {3, 2, 1, 8, 8, {.window = 0}, false};
    int64_t past = 64 * 256 * 2 - 1, total = past + s.t;
    mica__tensor q = make_dense(MICA_DTYPE_F32, (int64_t[]){s.t, 2, 8}, 3, 1, 1);
    mica__tensor k = make_dense(MICA_DTYPE_F32, (int64_t[]){total, 1, 8}, 3, 1, 1);
    mica__tensor v = make_dense(MICA_DTYPE_F32, (int64_t[]){total, 1, 8}, 3, 1, 1);
    mica_cache cache = cache_of(&s, total, (number_form){MICA_DTYPE_F32, 0, 0}), *caches[] = {&cache};
    for (int64_t p = 0; p < past; p++) {
        mica_cache_set_row(&cache, false, 0, p, (float *)k.data + p * 8);
        mica_cache_set_row(&cache, true, 0, p, (float *)v.data + p * 8);
    }
    double *expected = attend(&s, &q, &k, &v, NULL);
    float *out[2];
    for (int alone = 0; alone < 2; alone++) {
        out[alone] = guarded(3 * 2 * 8 * sizeof(float));
        for (int64_t t = 0; t < s.t; t += alone ? 1 : s.t) {
            int64_t count = alone ? 1 : s.t;
            mica__instr instr = attention_instr(&s, MICA__OP_CACHED_ATTENTION, rows_of(&q, t, count),
                                                rows_of(&k, past + t, count), rows_of(&v, past + t, count), NULL);
            instr.attrs.cache = cache.options;
            instr.out.data = out[alone] + t * 16;
            choose(&instr, false);
            const mica_sequence sequence = {caches, 1, past + t};
            run_team(&instr, &(mica__run){.sequences = &sequence, .n_sequences = 1}, 3);
        }
    }
    assert_memory_equal(out[0], out[1], 3 * 2 * 8 * sizeof(float));
    for (int i = 0; i < 48; i++) assert_true(fabs((double)out[0][i] - expected[i]) < 3e-6);
    free(expected);
    drop_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(over_arrays),
        cmocka_unit_test(over_caches),
        cmocka_unit_test(long_context),
    };
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    print_worst();
    return failures;
}
