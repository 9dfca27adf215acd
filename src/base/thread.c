/* base/thread.c: the thread team.
 *
 * Everything waits for a counter to change: workers for the job counter, members at a barrier for the barrier
 * counter, members of a walk for the number of the step. A wait spins for a while, watching the counter, and then sleeps on the team's condition variable.
 * Whoever changes a counter looks whether anyone sleeps and only then pays for waking them. The order "raise
 * n_asleep, read the counter" against "change the counter, read n_asleep" (both sequentially consistent)
 * makes a lost wake-up impossible.
 *
 * A walk is made for cores that are taken away. Items are claimed, not assigned: each member first takes its own, then those of its
 * neighbours. A step is over when its items are done, whoever did them, so a member that holds no item is never waited for: when it
 * comes back it goes on where the others are, and if they have finished, it leaves. Steps are numbered through the life of the team,
 * a claim carries the number of its step, and so a late member cannot take anything of a step that is over. Since a claimed item holds the step
 * up, everything that a member looks at between claiming and finishing stays as it is; it looks at nothing else of the job.
 *
 * A member that loses its core in the middle of an item does hold up the others until it is back, so items are kept short. */
#include "thread.h"
#include "cpu.h"
#include "memory.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

enum { MAX_THREADS = 256, SPIN_JOB = 8000, SPIN_BARRIER = 4000, NEIGHBOURS = 8, CLAIM_BITS = 24 };

typedef _Atomic(uint64_t) counter;

typedef struct member {
    /* step << CLAIM_BITS | items of this member that were claimed in it */
    _Alignas(64) counter claims;
    struct mica__team *team;
    int id;
    pthread_t thread;
} member;

/* What a worker needs to know of a job, copied under the lock. */
typedef struct job {
    void (*fn)(void *context, int id, int n); /* NULL: a walk */
    void *context;
    mica__walk walk;
    uint64_t first, end; /* steps of the walk */
    bool quit;
} job;

struct mica__team {
    int n, n_started; /* members; workers that exist */
    bool spin;        /* false when there are more members than processors: spinning would only hold up the others */
    pthread_mutex_t turn; /* held by the caller of mica__team_run */

    job job; /* written and copied under the lock */

    _Alignas(64) counter job_count;
    _Alignas(64) counter barrier_count;
    _Alignas(64) atomic_int n_arrived;
    _Alignas(64) counter step;
    _Alignas(64) counter n_finished; /* items of the step */
    _Alignas(64) atomic_int n_asleep;
    atomic_int n_walking; /* workers that know of a walk */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    member members[MAX_THREADS];
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Returns when *watched differs from `old`. */
static void wait_change(mica__team *t, counter *watched, uint64_t old, int spins)
{
    for (int i = 0; t->spin && i < spins; i++) {
        if (atomic_load_explicit(watched, memory_order_acquire) != old) return;
        relax();
    }
    pthread_mutex_lock(&t->lock);
    atomic_fetch_add(&t->n_asleep, 1);
    while (atomic_load(watched) == old) pthread_cond_wait(&t->wake, &t->lock);
    atomic_fetch_sub(&t->n_asleep, 1);
    pthread_mutex_unlock(&t->lock);
}

static void change(mica__team *t, counter *watched)
{
    atomic_fetch_add(watched, 1);
    if (atomic_load(&t->n_asleep) == 0) return;
    pthread_mutex_lock(&t->lock);
    pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

void mica__team_barrier(mica__team *t)
{
    if (t->n == 1) return;
    const uint64_t old = atomic_load_explicit(&t->barrier_count, memory_order_relaxed);
    if (atomic_fetch_add(&t->n_arrived, 1) == t->n - 1) {
        atomic_store(&t->n_arrived, 0);
        change(t, &t->barrier_count);
    } else {
        wait_change(t, &t->barrier_count, old, SPIN_BARRIER);
    }
}

/* ---- walks --------------------------------------------------------------------------------------------------------------------- */

/* The next item of step `now`, of which each member has `m`: own ones first. */
static bool claim(mica__team *t, int id, uint64_t now, unsigned m, int *owner, int *item)
{
    for (int v = 0; v < t->n && v < NEIGHBOURS; v++) {
        const int from = id + v < t->n ? id + v : id + v - t->n;
        counter *claims = &t->members[from].claims;
        uint64_t seen = atomic_load_explicit(claims, memory_order_relaxed);
        for (;;) {
            const uint64_t step = seen >> CLAIM_BITS;
            const unsigned taken = step == now ? (unsigned)(seen & (((uint64_t)1 << CLAIM_BITS) - 1)) : 0;
            if (step > now) return false; /* the others are further */
            if (taken >= m) break;
            if (!atomic_compare_exchange_weak_explicit(claims, &seen, (now << CLAIM_BITS) | (taken + 1),
                                                       memory_order_relaxed, memory_order_relaxed))
                continue;
            *owner = from;
            *item = (int)taken;
            return true;
        }
    }
    return false;
}

static void walk(mica__team *t, const job *j, int id)
{
    const mica__walk *w = &j->walk;
    bool first_of_walk = true;
    for (uint64_t now; (now = atomic_load_explicit(&t->step, memory_order_acquire)) < j->end;) {
        const int step = (int)(now - j->first);
        mica__walk_item item = {.member = id, .n = t->n, .step = step, .first_of_step = true};
        uint64_t done = 0;
        while (claim(t, id, now, w->own_items[step], &item.owner, &item.index)) {
            item.first_of_walk = first_of_walk;
            w->fn(w->context, &item);
            item.first_of_step = first_of_walk = false;
            done++;
        }
        if (done) {
            const uint64_t all = (uint64_t)w->own_items[step] * (uint64_t)t->n;
            if (atomic_fetch_add(&t->n_finished, done) + done == all) {
                atomic_store_explicit(&t->n_finished, 0, memory_order_relaxed);
                change(t, &t->step);
                continue;
            }
        }
        wait_change(t, &t->step, now, SPIN_BARRIER);
    }
}

/* Hands the job to the workers. */
static void publish(mica__team *t, const job *j)
{
    pthread_mutex_lock(&t->lock);
    t->job = *j;
    atomic_fetch_add(&t->job_count, 1);
    if (atomic_load(&t->n_asleep)) pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

void mica__team_walk(mica__team *t, const mica__walk *w)
{
    pthread_mutex_lock(&t->turn);
    const uint64_t first = atomic_load(&t->step);
    const job j = {.walk = *w, .first = first, .end = first + (uint64_t)w->n_steps};
    if (t->n > 1) publish(t, &j);
    walk(t, &j, 0);
    pthread_mutex_unlock(&t->turn);
}

void mica__team_settle(mica__team *t)
{
    while (atomic_load(&t->n_walking)) usleep(50);
}

/* ---- workers ------------------------------------------------------------------------------------------------------------------- */

static void *work(void *argument)
{
    const member *self = argument;
    mica__team *t = self->team;
    uint64_t seen = 0;
    for (;;) {
        wait_change(t, &t->job_count, seen, SPIN_JOB);
        pthread_mutex_lock(&t->lock);
        seen = atomic_load(&t->job_count); /* walks may have been missed */
        const job j = t->job;
        if (!j.fn && !j.quit) atomic_fetch_add(&t->n_walking, 1);
        pthread_mutex_unlock(&t->lock);
        if (j.quit) return NULL;
        if (j.fn) {
            j.fn(j.context, self->id, t->n);
            mica__team_barrier(t);
        } else {
            walk(t, &j, self->id);
            atomic_fetch_sub(&t->n_walking, 1);
        }
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
    publish(t, &(job){.quit = true});
    for (int id = 1; id <= t->n_started; id++) pthread_join(t->members[id].thread, NULL);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->turn);
    mica__pages_free(t, sizeof *t);
}

int mica__team_size(const mica__team *t) { return t->n; }

void mica__team_run(mica__team *t, void (*fn)(void *context, int id, int n), void *context)
{
    pthread_mutex_lock(&t->turn);
    if (t->n > 1) publish(t, &(struct job){.fn = fn, .context = context});
    fn(context, 0, t->n);
    mica__team_barrier(t);
    pthread_mutex_unlock(&t->turn);
}
