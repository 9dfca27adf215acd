/* base/thread.h: the thread team that runs programs.
 *
 * A team of n threads, the caller being number 0, runs one function at a time. Inside it the members meet at barriers. Waiting
 * spins for a bounded time and then sleeps, so that a busy core or a CPU quota slows the team down but never stalls it.
 *
 *     mica__team_run(team, work, &job);       // work(&job, id, n) on every member, returns when all are done
 */
#ifndef MICA_BASE_THREAD_H
#define MICA_BASE_THREAD_H

#include "error.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct mica__team mica__team;

/* How many threads a team should have here: processors in the affinity mask, at most the cgroup CPU quota (rounded up), at
 * most the physical cores. At least 1. */
int mica__cpu_threads(void);

/* n_threads 0: mica__cpu_threads(). At most 256. */
mica_status mica__team_create(mica__team **out, int n_threads, mica_error *err);
void mica__team_free(mica__team *team); /* NULL allowed; must be idle */
int mica__team_size(const mica__team *team);

/* Runs fn on all members. Calls from several threads at once wait for each other: a team does one job at a
 * time. Not from inside a job of the same team. */
void mica__team_run(mica__team *team, void (*fn)(void *job, int id, int n), void *job);
/* Only inside a running job; every member must call it the same number of times. Memory written before it is seen after it. */
void mica__team_barrier(mica__team *team);

/* ---- walks ---------------------------------------------------------------------------------------------------------------------
 *
 * A walk is a job in steps: every item of a step is done before the first one of the next. Who does an item is open, so
 * its result must not depend on that. No member is waited for that does not hold an item: a core that is taken away costs its
 * share of the work and not more. */

typedef struct mica__walk_item {
    int member;                        /* who does it, below n */
    int n, step;                       /* members of the team */
    int owner, index;                  /* item `index` of those that member `owner` does when nobody is late */
    bool first_of_walk, first_of_step; /* for this member: what it has to prepare, it does now */
} mica__walk_item;

typedef struct mica__walk {
    void (*fn)(void *context, const mica__walk_item *item);
    void *context; /* not looked at after mica__team_walk has returned */
    int n_steps;
    const uint32_t *
        own_items; /* [n_steps] items of each member in a step, at least 1. Must stay as it is until mica__team_settle */
} mica__walk;

/* Returns when all items of all steps are done. As mica__team_run in all else. */
void mica__team_walk(mica__team *team, const mica__walk *walk);
/* Returns when no member knows any longer of a walk that is over. */
void mica__team_settle(mica__team *team);

/* A thread for work that waits (network, disk). Signals for the process stay with the program's own threads. SYSTEM. */
mica_status mica__thread_start(pthread_t *out, void *(*fn)(void *context), void *context, mica_error *err);

#endif
