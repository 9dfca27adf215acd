/* base/thread.c: the thread team.
 *
 * Everything waits for a counter to change: workers for the job counter, members at a barrier for the barrier
 * counter. A wait spins for a while, watching the counter, and then sleeps on the team's condition variable.
 * Whoever changes a counter looks whether anyone sleeps and only then pays for waking them. The order "raise
 * n_asleep, read the counter" against "change the counter, read n_asleep" (both sequentially consistent)
 * makes a lost wake-up impossible. */
#include "thread.h"
#include "cpu.h"
#include "memory.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { MAX_THREADS = 256, SPIN_JOB = 8000, SPIN_BARRIER = 4000 };

typedef struct member {
    struct mica__team *team;
    int id;
    pthread_t thread;
} member;

struct mica__team {
    int n, n_started; /* members; workers that exist */
    bool spin;        /* false when there are more members than processors: spinning would only hold up the others */
    pthread_mutex_t turn; /* held by the caller of mica__team_run */

    void (*fn)(void *job, int id, int n);
    void *job;
    bool quit;

    _Alignas(64) atomic_uint job_count;
    _Alignas(64) atomic_uint barrier_count;
    _Alignas(64) atomic_int n_arrived;
    _Alignas(64) atomic_int n_asleep;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    member members[MAX_THREADS]; /* from 1 */
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Returns when *counter differs from `old`. */
static void wait_change(mica__team *t, atomic_uint *counter, unsigned old, int spins)
{
    for (int i = 0; t->spin && i < spins; i++) {
        if (atomic_load_explicit(counter, memory_order_acquire) != old) return;
        relax();
    }
    pthread_mutex_lock(&t->lock);
    atomic_fetch_add(&t->n_asleep, 1);
    while (atomic_load(counter) == old) pthread_cond_wait(&t->wake, &t->lock);
    atomic_fetch_sub(&t->n_asleep, 1);
    pthread_mutex_unlock(&t->lock);
}

static void change(mica__team *t, atomic_uint *counter)
{
    atomic_fetch_add(counter, 1);
    if (atomic_load(&t->n_asleep) == 0) return;
    pthread_mutex_lock(&t->lock);
    pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

void mica__team_barrier(mica__team *t)
{
    if (t->n == 1) return;
    unsigned old = atomic_load_explicit(&t->barrier_count, memory_order_relaxed);
    if (atomic_fetch_add(&t->n_arrived, 1) == t->n - 1) {
        atomic_store(&t->n_arrived, 0);
        change(t, &t->barrier_count);
    } else {
        wait_change(t, &t->barrier_count, old, SPIN_BARRIER);
    }
}

static void *work(void *argument)
{
    const member *self = argument;
    mica__team *t = self->team;
    unsigned seen = 0;
    for (;;) {
        wait_change(t, &t->job_count, seen, SPIN_JOB);
        seen++;
        if (t->quit) return NULL;
        t->fn(t->job, self->id, t->n);
        mica__team_barrier(t);
    }
}

/* Signals for the process go to the program's own threads: workers take only those that their own instructions raise (a
 * blocked one of these would be deadly) and the profiler's. */
static void block_signals(sigset_t *before)
{
    static const int own[] = {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT, SIGPROF};
    sigset_t blocked;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) sigdelset(&blocked, own[i]);
    pthread_sigmask(SIG_BLOCK, &blocked, before);
}

mica_status mica__thread_start(pthread_t *out, void *(*fn)(void *context), void *context, mica_error *err)
{
    sigset_t before;
    block_signals(&before);
    const int failure = pthread_create(out, NULL, fn, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure ? mica__fail(err, MICA_SYSTEM, "the system gives no more threads (error %d)", failure) : MICA_OK;
}

static mica_status start_workers(mica__team *t, mica_error *err)
{
    for (int id = 1; id < t->n; id++) {
        t->members[id].team = t;
        t->members[id].id = id;
        const mica_status status = mica__thread_start(&t->members[id].thread, work, &t->members[id], err);
        if (status != MICA_OK) return mica__fail_prefix(err, status, "cannot start thread %d of %d", id + 1, t->n);
        t->n_started = id;
    }
    return MICA_OK;
}

mica_status mica__team_create(mica__team **out, int n_threads, mica_error *err)
{
    *out = NULL;
    int useful = mica__cpu_threads();
    if (n_threads == 0) n_threads = useful < MAX_THREADS ? useful : MAX_THREADS;
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return mica__fail(err, MICA_INVALID, "%d threads: must be between 1 and %d", n_threads, MAX_THREADS);
    /* Page memory: the counters want cache lines of their own. */
    mica__team *t = mica__pages_alloc(sizeof *t);
    if (!t) return mica__fail_memory(err, sizeof *t, "the thread team");
    t->n = n_threads;
    t->spin = n_threads <= useful;
    pthread_mutex_init(&t->turn, NULL);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->wake, NULL);
    mica_status status = start_workers(t, err);
    if (status != MICA_OK) {
        mica__team_free(t);
        return status;
    }
    *out = t;
    return MICA_OK;
}

void mica__team_free(mica__team *t)
{
    if (!t) return;
    t->quit = true;
    change(t, &t->job_count);
    for (int id = 1; id <= t->n_started; id++) pthread_join(t->members[id].thread, NULL);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->turn);
    mica__pages_free(t, sizeof *t);
}

int mica__team_size(const mica__team *t) { return t->n; }

void mica__team_run(mica__team *t, void (*fn)(void *job, int id, int n), void *job)
{
    pthread_mutex_lock(&t->turn);
    t->fn = fn;
    t->job = job;
    if (t->n > 1) change(t, &t->job_count);
    fn(job, 0, t->n);
    mica__team_barrier(t);
    pthread_mutex_unlock(&t->turn);
}
