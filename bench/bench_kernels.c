/* bench/bench_kernels.c: speed of the kernels by themselves: GB/s of weights or cache read, and billions of multiply-adds per second.
 *
 *     bench_kernels [THREADS [PART-OF-A-NAME [M]]]
 *
 * Weights are larger than the caches and every repetition reads other ones. The yardsticks come first: what the same threads read at
 * most (the probe of `mica bench`), and a loop of multiply-adds in registers. Prints CSV: name, median and best of the repetitions. */
#include "array/ops.h"
#include "base/memory.h"
#include "base/thread.h"
#include "cli/bandwidth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REPEATS = 15 };

typedef struct work {
    const mica__instr *instr;
    mica__run run;
    mica__team *team;
} work;

static void phases(void *context, int id, int n)
{
    const work *w = context;
    for (int p = 0; p < w->instr->n_phases; p++) {
        if (p) mica__team_barrier(w->team);
        mica__phase(w->instr, &w->run, p)(w->instr, &w->run, id, n);
    }
}

/* One thread is timed by its processor time, so that other work on the machine disturbs less. */
static clockid_t clock_in_use = CLOCK_MONOTONIC;

static double now(void)
{
    struct timespec t;
    clock_gettime(clock_in_use, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void *pages(size_t n_bytes)
{
    uint8_t *p = mica__pages_alloc(n_bytes);
    if (!p) exit(71);
    uint64_t s = 88172645463325252u;
    for (size_t i = 0; i + 8 <= n_bytes; i += 8) {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        memcpy(p + i, &s, 8);
    }
    return p;
}

static void report(const char *name, const double *seconds, double bytes, double madds)
{
    double sorted[REPEATS];
    memcpy(sorted, seconds, sizeof sorted);
    qsort(sorted, REPEATS, sizeof *sorted, by_value);
    printf("%s,%.1f,%.1f,%.1f,%.1f\n", name, bytes / sorted[REPEATS / 2] * 1e-9, bytes / sorted[0] * 1e-9,
           madds / sorted[REPEATS / 2] * 1e-9, madds / sorted[0] * 1e-9);
    fflush(stdout);
}

/* ---- limits ---- */

/* Twelve chains of eight-lane multiply-adds in registers: what products with floats can reach at most. */
#if defined(__x86_64__)
#include <immintrin.h>
enum { ROUNDS = 4000000, CHAINS = 12 };

__attribute__((target("avx2,fma"))) static void multiply_add(void *context, int id, int n)
{
    (void)context, (void)id, (void)n;
    __m256 sums[CHAINS], a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(1);
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) sums[c] = b;
    for (int i = 0; i < ROUNDS; i++) {
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) {
            sums[c] = _mm256_fmadd_ps(sums[c], a, b);
            __asm__ volatile("" : "+x"(sums[c]));
        }
    }
}

static void bench_peak(mica__team *team)
{
    double seconds[REPEATS];
    if (strcmp(mica__backend_cpu.isa(), "plain") == 0) return;
    for (int i = 0; i < REPEATS; i++) {
        const double start = now();
        mica__team_run(team, multiply_add, NULL);
        seconds[i] = now() - start;
    }
    report("peak, 8-lane FMA", seconds, 0, (double)ROUNDS * CHAINS * 8 * mica__team_size(team));
}
#else
static void bench_peak(mica__team *team) { (void)team; }
#endif

/* ---- linear ---- */

typedef struct weights {
    const char *name;
    mica_dtype dtype;
    int bits, group; /* 0: not quantized */
    bool exact, int8;
    mica_quant_mode mode;
} weights;

static void bench_linear(mica__team *team, const weights *kind, int64_t m, int64_t n, int64_t k)
{
    size_t row_bytes = kind->bits ? (size_t)(k * kind->bits / 8) : (size_t)k * mica_dtype_size(kind->dtype);
    size_t scale_bytes = kind->bits ? (size_t)(k / kind->group) * (kind->mode ? 1 : 4) : 0,
           all = (size_t)n * (row_bytes + scale_bytes);
    int copies = (int)(((size_t)192 << 20) / all) + 1;
    uint8_t *memory = pages(all * (size_t)copies);
    float *x = pages((size_t)(m * k) * sizeof(float)), *y = pages((size_t)(m * n) * sizeof(float));
    for (int64_t i = 0; i < m * k; i++) x[i] = (float)((i * 7919) % 1013) / 1013 - 0.5f;
    /* Random bytes are good codes, but as numbers they would overflow. */
    if (!kind->bits) memset(memory, 0x3c, all * (size_t)copies);
    for (int i = 0; i < copies; i++)
        memset(memory + (size_t)i * all + (size_t)n * row_bytes, 0x3c, (size_t)n * scale_bytes);
    mica__instr instr = {.op = MICA__OP_LINEAR, .n_in = 2, .exact = kind->exact, .int8 = kind->int8};
    instr.in[0] = (mica__tensor){.data = x, .dtype = MICA_DTYPE_F32, .ndim = 2, .shape = {m, k}, .strides = {k, 1}};
    instr.in[1] = (mica__tensor){.data = memory,
                                 .dtype = kind->dtype,
                                 .ndim = 2,
                                 .shape = {n, k},
                                 .strides = {k, 1},
                                 .quantized = kind->bits > 0};
    instr.out = (mica__tensor){.data = y, .dtype = MICA_DTYPE_F32, .ndim = 2, .shape = {m, n}, .strides = {n, 1}};
    mica__affine *a = &instr.in[1].affine;
    *a = (mica__affine){.bits = kind->bits, .group_size = kind->group, .scale_dtype = kind->dtype, .mode = kind->mode};
    if (mica__backend_cpu.prepare_instr(&instr, false, NULL) != MICA_OK) return;
    size_t scratch = instr.scratch_bytes + (size_t)mica__team_size(team) * instr.member_scratch_bytes + 64;
    work w = {&instr, {.scratch = pages(scratch), .int8 = kind->int8}, team};
    double seconds[REPEATS];
    for (int i = -1; i < REPEATS; i++) {
        uint8_t *data = memory + (size_t)((i + 1) % copies) * all;
        instr.in[1].data = data;
        a->scales = data + (size_t)n * row_bytes;
        if (!kind->mode) a->biases = data + (size_t)n * (row_bytes + scale_bytes / 2);
        double start = now();
        mica__team_run(team, phases, &w);
        if (i >= 0) seconds[i] = now() - start;
    }
    char name[96];
    snprintf(name, sizeof name, "linear %s M=%lld N=%lld K=%lld", kind->name, (long long)m, (long long)n, (long long)k);
    report(name, seconds, (double)all, (double)m * (double)n * (double)k);
    mica__pages_free(memory, all * (size_t)copies);
    mica__pages_free(x, (size_t)(m * k) * sizeof(float));
    mica__pages_free(y, (size_t)(m * n) * sizeof(float));
    mica__pages_free(w.run.scratch, scratch);
}

/* ---- attention ---- */

static void bench_attention(mica__team *team, const char *only, mica_dtype dtype, int bits, int64_t t, int64_t past)
{
    enum { HEADS = 32, KV = 8, DIM = 64 };
    char name[96];
    char form[16];
    snprintf(form, sizeof form, "%d bits", bits);
    snprintf(name, sizeof name, "attention %s T=%lld past=%lld", bits ? form : mica_dtype_name(dtype), (long long)t,
             (long long)past);
    if (!strstr(name, only)) return;
    const mica_cache_options options = {KV, DIM, DIM, past + t, dtype, bits, 64};
    /* Like a model's layers: by the time that the first comes again, it has left the processor's caches. */
    enum { MAX_COPIES = 16 };
    mica_cache *caches[MAX_COPIES];
    size_t bytes = 0;
    int copies = 0;
    for (; copies < MAX_COPIES && (size_t)copies * bytes < (size_t)192 << 20; copies++) {
        if (mica_cache_create(&caches[copies], &options, NULL) != MICA_OK) exit(71);
        bytes = caches[copies]->key_bytes + caches[copies]->value_bytes;
        memset(caches[copies]->keys, 0x3c, caches[copies]->key_bytes); /* also good scales */
        memset(caches[copies]->values, 0x3c, caches[copies]->value_bytes);
    }
    size_t q_bytes = (size_t)(t * HEADS * DIM) * sizeof(float);
    float *q = pages(q_bytes), *out = pages(q_bytes);
    for (size_t i = 0; i < q_bytes / 4; i++) q[i] = (float)(i % 17) / 17 - 0.5f;
    mica__instr instr = {.op = MICA__OP_CACHED_ATTENTION, .n_in = 3};
    for (int i = 0; i < 3; i++)
        instr.in[i] = (mica__tensor){.data = q,
                                     .dtype = MICA_DTYPE_F32,
                                     .ndim = 3,
                                     .shape = {t, i ? KV : HEADS, DIM},
                                     .strides = {(i ? KV : HEADS) * DIM, DIM, 1}};
    instr.out = instr.in[0];
    instr.out.data = out;
    instr.attrs.cache = options;
    if (mica__backend_cpu.prepare_instr(&instr, false, NULL) != MICA_OK) return;
    size_t scratch = instr.scratch_bytes + (size_t)mica__team_size(team) * instr.member_scratch_bytes + 64;
    mica_sequence sequence = {.rows = t, .n_past = past};
    work w = {&instr, {.rows = t, .sequences = &sequence, .n_sequences = 1, .scratch = pages(scratch)}, team};
    double seconds[REPEATS];
    for (int i = -1; i < REPEATS; i++) {
        sequence.caches = &caches[(i + 1) % copies];
        double start = now();
        mica__team_run(team, phases, &w);
        if (i >= 0) seconds[i] = now() - start;
    }
    double pairs = (double)t * ((double)past + 0.5 * (double)(t + 1));
    report(name, seconds, (double)bytes, 2 * pairs * HEADS * DIM);
    for (int i = 0; i < copies; i++) mica_cache_free(caches[i]);
    mica__pages_free(q, q_bytes);
    mica__pages_free(out, q_bytes);
    mica__pages_free(w.run.scratch, scratch);
}

int main(int argc, char **argv)
{
    static const weights kinds[] = {
        {"f32", MICA_DTYPE_F32, 0, 0, true, false, 0},
        {"f16", MICA_DTYPE_F16, 0, 0, true, false, 0},
        {"bf16", MICA_DTYPE_BF16, 0, 0, true, false, 0},
        {"affine-4-64 exact", MICA_DTYPE_BF16, 4, 64, true, false, 0},
        {"affine-8-64 exact", MICA_DTYPE_BF16, 8, 64, true, false, 0},
        {"affine-4-64", MICA_DTYPE_BF16, 4, 64, false, false, 0},
        {"affine-4-64 int8", MICA_DTYPE_BF16, 4, 64, false, true, 0},
        {"affine-4-32", MICA_DTYPE_F16, 4, 32, false, false, 0},
        {"affine-8-64", MICA_DTYPE_BF16, 8, 64, false, false, 0},
        {"affine-8-32", MICA_DTYPE_F16, 8, 32, false, false, 0},
        {"affine-6-64", MICA_DTYPE_BF16, 6, 64, false, false, 0},
        {"affine-5-64", MICA_DTYPE_BF16, 5, 64, false, false, 0},
        {"affine-2-64", MICA_DTYPE_BF16, 2, 64, false, false, 0},
        {"affine-3-64", MICA_DTYPE_BF16, 3, 64, false, false, 0},
        {"affine-3-64 exact", MICA_DTYPE_BF16, 3, 64, true, false, 0},
        {"affine-5-64 exact", MICA_DTYPE_BF16, 5, 64, true, false, 0},
        {"mxfp4", MICA_DTYPE_BF16, 4, 32, false, false, MICA_QUANT_MXFP4},
        {"mxfp4 exact", MICA_DTYPE_BF16, 4, 32, true, false, MICA_QUANT_MXFP4},
        {"nvfp4", MICA_DTYPE_BF16, 4, 16, false, false, MICA_QUANT_NVFP4},
    };
    static const int64_t rows[] = {1, 2, 4, 8, 12, 16, 32, 128, 512};
    const int n_rows = sizeof rows / sizeof *rows;
    mica__team *team = NULL;
    mica_error err;
    if (mica__team_create(&team, argc > 1 ? atoi(argv[1]) : 0, &err) != MICA_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 71;
    }
    if (mica__team_size(team) == 1) clock_in_use = CLOCK_PROCESS_CPUTIME_ID;
    const char *only = argc > 2 ? argv[2] : "";
    const int64_t only_rows = argc > 3 ? atoi(argv[3]) : 0;
    printf("# %s, %d threads\nname,median GB/s,best GB/s,median GMAC/s,best GMAC/s\n", mica__backend_cpu.isa(),
           mica__team_size(team));
    const double bandwidth = measure_bandwidth(mica__team_size(team)) * 1e-9;
    printf("read,%.1f,%.1f,0.0,0.0\n", bandwidth, bandwidth);
    bench_peak(team);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int m = 0; m < n_rows && strstr(kinds[i].name, only); m++)
            if (only_rows ? rows[m] == only_rows : rows[m] <= 128) bench_linear(team, &kinds[i], rows[m], 8192, 2048);
    static const struct attention {
        int64_t t, past;
    } sizes[] = {{1, 512}, {1, 8192}, {4, 8192}, {512, 0}, {512, 4096}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bench_attention(team, only, MICA_DTYPE_F32, 0, sizes[i].t, sizes[i].past);
        bench_attention(team, only, MICA_DTYPE_F16, 0, sizes[i].t, sizes[i].past);
        bench_attention(team, only, MICA_DTYPE_F16, 8, sizes[i].t, sizes[i].past);
        bench_attention(team, only, MICA_DTYPE_F16, 4, sizes[i].t, sizes[i].past);
    }
    mica__team_free(team);
    return 0;
}
