/* The thread team: every member takes part in every job and barrier, callers take turns, nothing gets lost when members sleep. */
#include "base/thread.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "failing_allocator.h"

enum { MOST = 64 };

typedef struct tally {
    int seen[MOST]; /* not atomic: the end of the job must make it visible */
    int n[MOST];
} tally;

static void count_member(void *job, int id, int n)
{
    tally *t = job;
    t->seen[id]++;
    t->n[id] = n;
}

static void test_members(void **state)
{
    (void)state;
    for (int n = 1; n <= 8; n++) {
        mica__team *team;
        assert_int_equal(mica__team_create(&team, n, NULL), MICA_OK);
        assert_int_equal(mica__team_size(team), n);
        tally t = {0};
        for (int job = 1; job <= 50; job++) {
            mica__team_run(team, count_member, &t);
            for (int id = 0; id < n; id++) {
                assert_int_equal(t.seen[id], job);
                assert_int_equal(t.n[id], n);
            }
        }
        mica__team_free(team);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    mica_error err;
    static const int bad[] = {-1, -1000, 257, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        mica__team *team = (mica__team *)&err;
        assert_int_equal(mica__team_create(&team, bad[i], &err), MICA_INVALID);
        assert_null(team);
        assert_non_null(strstr(err.message, "threads: must be between 1 and 256"));
    }
    mica__team *team;
    assert_int_equal(mica__team_create(&team, 0, &err), MICA_OK);
    assert_int_equal(mica__team_size(team), mica__cpu_threads());
    mica__team_free(team);
    mica__team_free(NULL);
    assert_int_equal(mica__team_create(&team, 256, &err), MICA_OK); /* a team that never works ends as well */
    mica__team_free(team);
}

/* ---- barriers ---- */

typedef struct phases {
    mica__team *team;
    int value[MOST]; /* member id's value of the phase */
    atomic_int n_wrong;
    int n_phases;
} phases;

/* In every phase each member writes its own value, and after the barrier reads its neighbours'. */
static void run_phases(void *job, int id, int n)
{
    phases *p = job;
    for (int phase = 0; phase < p->n_phases; phase++) {
        p->value[id] = phase * 1000 + id;
        mica__team_barrier(p->team);
        for (int other = 0; other < n; other++)
            if (p->value[other] != phase * 1000 + other) atomic_fetch_add(&p->n_wrong, 1);
        mica__team_barrier(p->team);
    }
}

static void test_barriers(void **state)
{
    (void)state;
    for (int n = 1; n <= 8; n++) {
        phases p = {.n_phases = 300};
        assert_int_equal(mica__team_create(&p.team, n, NULL), MICA_OK);
        for (int job = 0; job < 3; job++) mica__team_run(p.team, run_phases, &p);
        assert_int_equal(p.n_wrong, 0);
        for (int id = 0; id < n; id++) assert_int_equal(p.value[id], (p.n_phases - 1) * 1000 + id);
        mica__team_free(p.team);
    }
}

/* Members that arrive late, so that the others have gone to sleep. */
static void run_late(void *job, int id, int n)
{
    phases *p = job;
    for (int phase = 0; phase < p->n_phases; phase++) {
        if (id == phase % n) usleep(3000);
        p->value[id] = phase;
        mica__team_barrier(p->team);
        for (int other = 0; other < n; other++)
            if (p->value[other] != phase) atomic_fetch_add(&p->n_wrong, 1);
        mica__team_barrier(p->team);
    }
}

static void test_sleepers(void **state)
{
    (void)state;
    for (int n = 2; n <= 4; n++) {
        phases p = {.n_phases = 10};
        assert_int_equal(mica__team_create(&p.team, n, NULL), MICA_OK);
        for (int job = 0; job < 3; job++) {
            usleep(5000); /* the workers sleep between jobs as well */
            mica__team_run(p.team, run_late, &p);
        }
        assert_int_equal(p.n_wrong, 0);
        mica__team_free(p.team);
    }
}

static void test_more_members_than_processors(void **state)
{
    (void)state;
    phases p = {.n_phases = 20};
    assert_int_equal(mica__team_create(&p.team, MOST, NULL), MICA_OK);
    mica__team_run(p.team, run_phases, &p);
    assert_int_equal(p.n_wrong, 0);
    mica__team_free(p.team);
}

static void test_many_short_jobs(void **state)
{
    (void)state;
    mica__team *team;
    tally t = {0};
    int n = mica__cpu_threads() < 4 ? 2 : 4;
    assert_int_equal(mica__team_create(&team, n, NULL), MICA_OK);
    for (int job = 0; job < 10000; job++) mica__team_run(team, count_member, &t);
    for (int id = 0; id < n; id++) assert_int_equal(t.seen[id], 10000);
    mica__team_free(team);
}

/* ---- callers ---- */

typedef struct caller {
    mica__team *team;
    atomic_int *inside; /* members inside a job of another caller are counted here */
    int *shared;        /* written by every job without a lock: turns protect it */
    int n_wrong;
} caller;

static void one_turn(void *job, int id, int n)
{
    caller *c = job;
    if (id == 0 && atomic_fetch_add(c->inside, 1) != 0) c->n_wrong++;
    mica__team_barrier(c->team);
    if (id == n - 1) ++*c->shared;
    mica__team_barrier(c->team);
    if (id == 0 && atomic_fetch_sub(c->inside, 1) != 1) c->n_wrong++;
}

static void *call_often(void *argument)
{
    caller *c = argument;
    for (int i = 0; i < 200; i++) mica__team_run(c->team, one_turn, c);
    return NULL;
}

static void test_callers_take_turns(void **state)
{
    (void)state;
    for (int n = 1; n <= 3; n++) {
        mica__team *team;
        atomic_int inside = 0;
        int shared = 0;
        assert_int_equal(mica__team_create(&team, n, NULL), MICA_OK);
        pthread_t threads[4];
        caller callers[4];
        for (int i = 0; i < 4; i++) {
            callers[i] = (caller){team, &inside, &shared, 0};
            assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
        }
        for (int i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(callers[i].n_wrong, 0);
        }
        assert_int_equal(shared, 800);
        mica__team_free(team);
    }
}

/* ---- surroundings ---- */

static void see_signals(void *job, int id, int n)
{
    sigset_t *masks = job;
    (void)n;
    pthread_sigmask(SIG_SETMASK, NULL, &masks[id]);
}

/* The program's signals reach the program's threads; faults of a worker's own stay deadly or handled. */
static void test_signals(void **state)
{
    (void)state;
    mica__team *team;
    sigset_t before, after, masks[3];
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(mica__team_create(&team, 3, NULL), MICA_OK);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    mica__team_run(team, see_signals, masks);
    mica__team_free(team);
    static const int program[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGALRM, SIGUSR1, SIGWINCH};
    static const int own[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL};
    for (int i = 0; i < 7; i++) {
        assert_int_equal(sigismember(&after, program[i]), sigismember(&before, program[i]));
        for (int id = 1; id < 3; id++) assert_true(sigismember(&masks[id], program[i]));
    }
    for (int i = 0; i < 4; i++)
        for (int id = 1; id < 3; id++) assert_false(sigismember(&masks[id], own[i]));
}

static mica_status create_and_free(void *context)
{
    (void)context;
    mica__team *team;
    MICA_TRY(mica__team_create(&team, 4, NULL));
    tally t = {0};
    mica__team_run(team, count_member, &t);
    mica__team_free(team);
    return t.seen[3] == 1 ? MICA_OK : MICA_INTERNAL;
}

static void test_without_memory(void **state)
{
    (void)state;
    assert_int_equal(failing_allocator_sweep(create_and_free, NULL), 0); /* its pages come from the system */
}

/* When the system gives no more threads, those that were started end again. Root is not limited, so a user is. */
static void test_without_threads(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* the sanitizers end the process when a thread cannot start */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    skip();
#endif
#endif
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        if (geteuid() == 0 && setuid(65533) != 0) _exit(3);
        if (setrlimit(RLIMIT_NPROC, &none) != 0) _exit(4);
        mica__team *team;
        mica_error err;
        mica_status status = mica__team_create(&team, 4, &err);
        if (status != MICA_SYSTEM || team || !strstr(err.message, "cannot start thread 2 of 4")) _exit(5);
        if (mica__team_create(&team, 1, &err) != MICA_OK) _exit(6); /* alone it works */
        tally t = {0};
        mica__team_run(team, count_member, &t);
        mica__team_free(team);
        _exit(t.seen[0] == 1 ? 0 : 7);
    }
    int status = -1;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- walks ---- */

enum { STEPS = 40 };

typedef struct visit {
    _Atomic(uint32_t) done[STEPS][MOST * 5]; /* of each step's items: how often */
    _Atomic(uint32_t) n_done[STEPS];
    uint32_t own[STEPS];
    int n;
    int firsts[MOST]; /* first items of the walk, for each member */
    bool wrong;       /* an item came before the step before was over */
    pthread_t threads[MOST];
} visit;

static void visit_item(void *context, const mica__walk_item *item)
{
    visit *v = context;
    const int s = item->step;
    if (s > 0 && v->n_done[s - 1] != v->own[s - 1] * (uint32_t)v->n) v->wrong = true;
    if (item->n != v->n || item->member >= v->n || item->owner >= v->n || item->index >= (int)v->own[s])
        v->wrong = true;
    if (item->first_of_walk) v->firsts[item->member]++;
    if (item->first_of_walk && !item->first_of_step) v->wrong = true;
    v->threads[item->member] = pthread_self();
    v->done[s][(uint32_t)item->owner * v->own[s] + (uint32_t)item->index]++;
    v->n_done[s]++;
}

static void walk_once(mica__team *team, visit *v)
{
    memset(v->done, 0, sizeof v->done);
    memset(v->n_done, 0, sizeof v->n_done);
    memset(v->firsts, 0, sizeof v->firsts);
    v->n = mica__team_size(team);
    mica__team_walk(team, &(mica__walk){visit_item, v, STEPS, v->own});
    assert_false(v->wrong);
    for (int s = 0; s < STEPS; s++)
        for (uint32_t i = 0; i < v->own[s] * (uint32_t)v->n; i++) assert_int_equal(v->done[s][i], 1);
    for (int m = 0; m < v->n; m++) assert_true(v->firsts[m] <= 1);
}

static void fill_own(visit *v) /* stays as it is while a team knows of it */
{
    for (int s = 0; s < STEPS; s++) v->own[s] = 1 + (uint32_t)s % 5;
}

static void test_walks(void **state)
{
    (void)state;
    static visit v;
    fill_own(&v);
    for (int n = 1; n <= 17; n += n < 8 ? 1 : 9) {
        mica__team *team;
        assert_int_equal(mica__team_create(&team, n, NULL), MICA_OK);
        tally t = {0};
        for (int i = 1; i <= 30; i++) { /* other jobs in between need every member */
            walk_once(team, &v);
            mica__team_run(team, count_member, &t);
            walk_once(team, &v);
            for (int id = 0; id < n; id++) assert_int_equal(t.seen[id], i);
        }
        mica__team_settle(team);
        mica__team_free(team);
    }
}

static void doze(int number)
{
    (void)number;
    usleep(1500000);
}

/* A member whose core was taken away while it held no item is not waited for. */
static void test_walk_without_a_member(void **state)
{
    (void)state;
    static visit v;
    struct sigaction action = {.sa_handler = doze}, before;
    mica__team *team;
    fill_own(&v);
    assert_int_equal(mica__team_create(&team, 2, NULL), MICA_OK);
    memset(v.threads, 0, sizeof v.threads);
    for (int i = 0; i < 10000 && !v.threads[1]; i++) walk_once(team, &v);
    if (!v.threads[1]) skip(); /* it never got to run */
    mica__team_settle(team);
    sigaction(SIGPROF, &action, &before);
    pthread_kill(v.threads[1], SIGPROF);
    usleep(100000);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 50; i++) walk_once(team, &v);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true((double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec) < 1.2);
    mica__team_free(team);
    sigaction(SIGPROF, &before, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walks),
        cmocka_unit_test(test_walk_without_a_member),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_barriers),
        cmocka_unit_test(test_sleepers),
        cmocka_unit_test(test_more_members_than_processors),
        cmocka_unit_test(test_many_short_jobs),
        cmocka_unit_test(test_callers_take_turns),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_without_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
