/* cli/bandwidth.c: a read probe.
 *
 * Every thread adds up its own slice of one large block of huge pages, as one, two, four or eight streams side by side, with and without
 * prefetches: which of them keeps the memory busiest differs from machine to machine. All threads start together at a barrier, the
 * slowest one's time counts, and the best pass of all is the answer. */
#include "bandwidth.h"
#include "timing.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum { MAX_STREAMS = 8, N_KINDS = 8, N_PASSES = 4 * N_KINDS, MAX_THREADS = 256, AHEAD = 32 };
static const size_t block_bytes = (size_t)512 << 20;

typedef uint64_t lane
    __attribute__((vector_size(32), may_alias)); /* split by the compiler where there are no such registers */

typedef struct probe {
    pthread_barrier_t barrier;
    char *block;
    size_t slice_bytes; /* a multiple of MAX_STREAMS lanes */
} probe;

typedef struct worker {
    probe *p;
    int index;
    uint64_t sum; /* kept, so that the reads are */
} worker;

/* The compiler makes a loop of its own for each number of streams. */
static inline __attribute__((always_inline)) uint64_t read_streams(const char *slice, size_t n_bytes, size_t n_streams,
                                                                   bool prefetch)
{
    const size_t n = n_bytes / n_streams / sizeof(lane);
    const lane *stream[MAX_STREAMS];
    lane sums[MAX_STREAMS], total;
    memset(sums, 0, sizeof sums);
    memset(&total, 0, sizeof total);
    for (size_t s = 0; s < n_streams; s++) stream[s] = (const lane *)(slice + s * n * sizeof(lane));
    for (size_t i = 0; i < n; i++) {
        for (size_t s = 0; s < n_streams; s++) {
            if (prefetch) __builtin_prefetch(stream[s] + (i + AHEAD < n ? i + AHEAD : i));
            sums[s] += stream[s][i];
        }
    }
    for (size_t s = 0; s < n_streams; s++) total += sums[s];
    uint64_t result = 0;
    for (size_t i = 0; i < sizeof(lane) / sizeof(uint64_t); i++) result += total[i];
    return result;
}

static inline __attribute__((always_inline)) uint64_t read_kind(const char *slice, size_t n_bytes, int kind)
{
    switch (kind) {
    case 0:
        return read_streams(slice, n_bytes, 1, false);
    case 1:
        return read_streams(slice, n_bytes, 1, true);
    case 2:
        return read_streams(slice, n_bytes, 2, false);
    case 3:
        return read_streams(slice, n_bytes, 2, true);
    case 4:
        return read_streams(slice, n_bytes, 4, false);
    case 5:
        return read_streams(slice, n_bytes, 4, true);
    case 6:
        return read_streams(slice, n_bytes, 8, false);
    default:
        return read_streams(slice, n_bytes, 8, true);
    }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t read_wide(const char *slice, size_t n_bytes, int kind)
{
    return read_kind(slice, n_bytes, kind);
}

static uint64_t read_slice(const char *slice, size_t n_bytes, int pass)
{
    if (__builtin_cpu_supports("avx2")) return read_wide(slice, n_bytes, pass % N_KINDS);
    return read_kind(slice, n_bytes, pass % N_KINDS);
}
#else
static uint64_t read_slice(const char *slice, size_t n_bytes, int pass)
{
    return read_kind(slice, n_bytes, pass % N_KINDS);
}
#endif

static void *work(void *argument)
{
    worker *w = argument;
    char *slice = w->p->block + (size_t)w->index * w->p->slice_bytes;
    memset(slice, w->index + 1, w->p->slice_bytes); /* untouched pages would all be one page of zeros */
    for (int pass = 0; pass < N_PASSES; pass++) {
        pthread_barrier_wait(&w->p->barrier);
        w->sum += read_slice(slice, w->p->slice_bytes, pass);
        pthread_barrier_wait(&w->p->barrier);
    }
    return NULL;
}

/* The calling thread works as number 0 and holds the watch. */
static double best_pass(worker *self)
{
    double best = 0;
    memset(self->p->block, 1, self->p->slice_bytes);
    for (int pass = 0; pass < N_PASSES; pass++) {
        pthread_barrier_wait(&self->p->barrier);
        const double start = seconds_now();
        self->sum += read_slice(self->p->block, self->p->slice_bytes, pass);
        pthread_barrier_wait(&self->p->barrier);
        const double seconds = seconds_now() - start;
        if (pass == 0 || seconds < best) best = seconds;
    }
    return best;
}

double measure_bandwidth(int n_threads)
{
    static worker workers[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    const int n = n_threads < 1 ? 1 : n_threads > MAX_THREADS ? MAX_THREADS : n_threads;
    probe p = {.slice_bytes = block_bytes / (size_t)n / (MAX_STREAMS * sizeof(lane)) * (MAX_STREAMS * sizeof(lane))};
    p.block = mmap(NULL, block_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p.block == MAP_FAILED) return 0;
    madvise(p.block, block_bytes, MADV_HUGEPAGE);
    pthread_barrier_init(&p.barrier, NULL, (unsigned)n);
    for (int i = 0; i < n; i++) workers[i] = (worker){&p, i, 0};
    for (int i = 1; i < n; i++)
        if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0)
            return 0; /* those that wait end with the program */
    const double seconds = best_pass(&workers[0]);
    for (int i = 1; i < n; i++) pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&p.barrier);
    munmap(p.block, block_bytes);
    return (double)p.slice_bytes * n / seconds;
}
