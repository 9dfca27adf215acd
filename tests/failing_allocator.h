/* tests/failing_allocator.h: an allocator for tests that fails when told to, counts its calls and finds leaks.
 *
 * The usual test of code that allocates is a sweep: run it with the 1st allocation failing, then with the 2nd, and so on until
 * it runs through. The attempt cleans up after itself and returns its status:
 *
 *     static mica_status attempt(void *context)
 *     {
 *         mica__json doc;
 *         MICA_TRY(mica__json_parse(&doc, TEXT, strlen(TEXT), NULL, NULL));
 *         mica__json_release(&doc);
 *         return MICA_OK;
 *     }
 *     ...
 *     size_t n = failing_allocator_sweep(attempt, NULL);     // how many allocations a run without failures makes
 *
 * The sweep fails the test when an attempt leaks, frees a block twice, ends in another status than OK or MEMORY, says MEMORY
 * though no allocation failed, or does not end in OK once nothing fails. (OK although an allocation failed is allowed: some
 * memory is a wish.) Every position is tried twice: this one call fails, and this call and all later ones fail.
 *
 * By hand, for instance to count calls or to look for leaks only:
 *
 *     failing_allocator a;
 *     failing_allocator_begin(&a, 0, false);                 // 0: nothing fails
 *     ...
 *     assert_int_equal(failing_allocator_end(&a), 0);        // blocks that were never freed; prints them
 *
 * Blocks that were allocated before _begin must not be freed between _begin and _end, and the other way round: start a pool or
 * a cache that outlives the attempt inside _begin, or do not start one. Usable from several threads at once; the count of
 * calls is then the count over all of them. A resized block always moves, so that stale pointers show (under the address
 * sanitizer). Include after cmocka.h. */
#ifndef MICA_TESTS_FAILING_ALLOCATOR_H
#define MICA_TESTS_FAILING_ALLOCATOR_H

#include <mica/memory.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lies before every block. The list of all of them is what leak detection reads. */
typedef struct failing_allocator_block {
    _Alignas(16) struct failing_allocator_block *next;
    struct failing_allocator_block *previous;
    size_t n_bytes, call; /* call: the number of the allocation, from 1 */
    unsigned magic;
} failing_allocator_block;

typedef struct failing_allocator {
    size_t fail_at;     /* the call that fails, from 1; 0: none */
    bool and_later;     /* the calls after it fail as well */
    size_t n_calls;     /* allocations and resizes asked for, failed ones included; not frees */
    size_t n_failed;    /* those answered with NULL */
    size_t live_bytes;  /* allocated now */
    size_t peak_bytes;  /* the most that was allocated at once */
    size_t n_bad_frees; /* blocks freed or resized that were not ours or already freed */
    failing_allocator_block list;
    pthread_mutex_t lock;
} failing_allocator;

enum { FAILING_ALLOCATOR_LIVE = 0x6d696361, FAILING_ALLOCATOR_FREED = 0x64656164 };

static inline void failing_allocator_drop_(failing_allocator *a, failing_allocator_block *b)
{
    b->previous->next = b->next;
    b->next->previous = b->previous;
    b->magic = FAILING_ALLOCATOR_FREED;
    a->live_bytes -= b->n_bytes;
    free(b);
}

static inline void *failing_allocator_resize_locked_(failing_allocator *a, void *block, size_t n_bytes)
{
    failing_allocator_block *old = block ? (failing_allocator_block *)block - 1 : NULL, *fresh;
    if (old && old->magic != FAILING_ALLOCATOR_LIVE) {
        a->n_bad_frees++;
        return NULL;
    }
    if (n_bytes == 0) {
        if (old) failing_allocator_drop_(a, old);
        return NULL;
    }
    a->n_calls++;
    bool fail = a->fail_at && (a->n_calls == a->fail_at || (a->and_later && a->n_calls > a->fail_at));
    if (fail || n_bytes > SIZE_MAX / 2 || !(fresh = malloc(sizeof *fresh + n_bytes))) {
        a->n_failed++;
        return NULL;
    }
    *fresh = (failing_allocator_block){a->list.next, &a->list, n_bytes, a->n_calls, FAILING_ALLOCATOR_LIVE};
    fresh->next->previous = a->list.next = fresh;
    memset(fresh + 1, 0xa5, n_bytes); /* nobody may rely on zeroed memory */
    a->live_bytes += n_bytes;
    if (a->live_bytes > a->peak_bytes) a->peak_bytes = a->live_bytes;
    if (old) {
        memcpy(fresh + 1, block, old->n_bytes < n_bytes ? old->n_bytes : n_bytes);
        failing_allocator_drop_(a, old);
    }
    return fresh + 1;
}

static inline void *failing_allocator_resize_(void *context, void *block, size_t n_bytes)
{
    failing_allocator *a = context;
    pthread_mutex_lock(&a->lock);
    void *result = failing_allocator_resize_locked_(a, block, n_bytes);
    pthread_mutex_unlock(&a->lock);
    return result;
}

/* Becomes the library's allocator. *a must stay where it is until _end. */
static inline void failing_allocator_begin(failing_allocator *a, size_t fail_at, bool and_later)
{
    *a = (failing_allocator){.fail_at = fail_at, .and_later = and_later};
    a->list.next = a->list.previous = &a->list;
    pthread_mutex_init(&a->lock, NULL);
    mica_set_allocator(&(mica_allocator){failing_allocator_resize_, a});
}

/* Gives the C library's allocator back. Returns how many blocks were leaked, plus how many frees were bad; prints the first
 * few. The counters stay readable. */
static inline size_t failing_allocator_end(failing_allocator *a)
{
    enum { SHOWN = 8 };
    size_t n = 0;
    mica_set_allocator(NULL);
    while (a->list.next != &a->list) {
        failing_allocator_block *b = a->list.next;
        if (n++ < SHOWN) printf("leaked: %zu bytes of allocation %zu\n", b->n_bytes, b->call);
        failing_allocator_drop_(a, b);
    }
    if (a->n_bad_frees) printf("%zu blocks freed that were not allocated\n", a->n_bad_frees);
    pthread_mutex_destroy(&a->lock);
    return n + a->n_bad_frees;
}

/* See the top. Returns the number of allocations of a run in which none fails. */
static inline size_t failing_allocator_sweep(mica_status (*attempt)(void *context), void *context)
{
    enum { MOST = 1000000 };
    for (size_t n = 1; n < MOST; n++) {
        for (int and_later = 0; and_later <= 1; and_later++) {
            failing_allocator a;
            failing_allocator_begin(&a, n, and_later);
            mica_status status = attempt(context);
            size_t n_leaked = failing_allocator_end(&a);
            bool fair = a.n_failed ? status == MICA_OK || status == MICA_MEMORY : status == MICA_OK;
            if (!fair || n_leaked)
                printf("with allocation %zu%s failing: status %d, %zu allocations failed, %zu leaked\n", n,
                       and_later ? " and all later ones" : "", status, a.n_failed, n_leaked);
            assert_true(fair);
            assert_int_equal(n_leaked, 0);
            if (!a.n_failed) return a.n_calls;
        }
    }
    fail_msg("%d allocations and still not done", MOST);
    return 0;
}

#endif
