/* tests/hub/test_partial.c: a blob that arrives in pieces, in any order, over several runs; without memory, too. */
#include "base/file.h"
#include "hub/partial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "failing_allocator.h"
#include "hub/cache.h"
#include "hub/hash.h"

enum { MIB = 1 << 20, SIZE = 5 * MIB + 17 };
static char folder[] = "/tmp/mica-partial-XXXXXX";
static char bytes[SIZE], hash[65];

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZE; i++) bytes[i] = (char)(i * 7 + i / 251);
    void *h = mica__hash_create(false, SIZE);
    if (!h || !mica__hash_add(h, bytes, SIZE) || !mkdtemp(folder)) return 1;
    mica__hash_finish(h, hash);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return mica__remove_tree(folder, NULL) == MICA_OK ? 0 : 1;
}

static mica_status open_it(mica__partial *p, mica__store *s)
{
    bool busy;
    int lock;
    MICA_TRY(mica__store_init(s, folder, "org/name", false, NULL));
    mica_status status = mica__store_prepare(s, NULL);
    if (status == MICA_OK) status = mica__store_lock(s, hash, &lock, NULL);
    if (status == MICA_OK) status = mica__partial_open(p, s, hash, SIZE, 2 * MIB, lock, &busy, NULL);
    if (status == MICA_OK && busy) status = MICA_BUSY;
    if (status != MICA_OK) mica__store_release(s);
    return status;
}

static const char commit[] = "0123456789abcdef0123456789abcdef01234567";

static void test_in_any_order_over_two_runs(void **state)
{
    (void)state;
    mica__partial p;
    mica__store s;
    char found[65];
    assert_int_equal(open_it(&p, &s), MICA_OK);
    assert_int_equal(p.n_chunks, 3);
    assert_false(p.resumed);
    assert_int_equal(mica__partial_write(&p, 2, bytes + 4 * MIB, MIB + 17, NULL), MICA_OK);
    assert_int_equal(mica__partial_write(&p, 0, bytes, 1000, NULL), MICA_OK);
    assert_int_equal(mica__partial_contiguous(&p), 1000);
    mica__partial_close(&p);
    mica__store_release(&s);

    assert_int_equal(open_it(&p, &s), MICA_OK);
    assert_true(p.resumed);
    assert_int_equal(mica__partial_done(&p), MIB + 17 + 1000);
    assert_false(mica__partial_is_right(&p, found));
    assert_int_equal(mica__partial_write(&p, 0, bytes + 1000, 2 * MIB - 1000, NULL), MICA_OK);
    assert_int_equal(mica__partial_hash(&p, UINT64_MAX, NULL), MICA_OK);
    assert_int_equal(p.hashed, 2 * MIB);
    assert_int_equal(mica__partial_write(&p, 1, bytes + 2 * MIB, 2 * MIB, NULL), MICA_OK);
    assert_int_equal(mica__partial_hash(&p, UINT64_MAX, NULL), MICA_OK);
    assert_int_equal(mica__partial_publish(&p, &s, commit, "a/b", NULL), MICA_INTERNAL); /* not before it was checked */
    assert_true(mica__partial_is_right(&p, found));
    assert_int_equal(mica__partial_publish(&p, &s, commit, "a/b", NULL), MICA_OK);
    mica__partial_close(&p);
    bool there;
    assert_int_equal(mica__store_has(&s, commit, "a/b", SIZE, &there, NULL), MICA_OK);
    assert_true(there);
    mica__store_release(&s);
}

static void test_two_at_once(void **state)
{
    (void)state;
    mica__partial p;
    mica__store s;
    int lock;
    assert_int_equal(open_it(&p, &s), MICA_OK);
    assert_int_equal(mica__store_lock(&s, hash, &lock, NULL), MICA_OK);
    assert_int_equal(lock, -1);
    mica__partial_remove(&p);
    mica__partial_close(&p);
    assert_int_equal(mica__store_lock(&s, hash, &lock, NULL), MICA_OK);
    assert_true(lock >= 0);
    close(lock);
    mica__store_release(&s);
}

static mica_status attempt(void *context)
{
    (void)context;
    mica__partial p;
    mica__store s;
    char found[65];
    MICA_TRY(open_it(&p, &s));
    mica_status status = mica__partial_restart(&p, NULL);
    for (size_t c = 0; c < 3 && status == MICA_OK; c++)
        status = mica__partial_write(&p, c, bytes + c * 2 * MIB, c < 2 ? 2 * MIB : MIB + 17, NULL);
    if (status == MICA_OK) status = mica__partial_hash(&p, UINT64_MAX, NULL);
    if (status == MICA_OK && !mica__partial_is_right(&p, found)) status = MICA_INTERNAL;
    if (status == MICA_OK) status = mica__partial_publish(&p, &s, commit, "c", NULL);
    mica__partial_close(&p);
    mica__store_release(&s);
    return status;
}

static void test_without_memory(void **state)
{
    (void)state;
    assert_true(failing_allocator_sweep(attempt, NULL) > 10);
}

static mica_status look(void *context)
{
    (void)context;
    mica_hub_cache *cache;
    mica_hub_snapshot snapshot;
    const mica_hub_options options = {
        .revision = commit, .cache_dir = folder, .local_only = true, .files = MICA_HUB_FILES_ALL};
    MICA_TRY(mica_hub_cache_scan(&cache, folder, NULL));
    const bool good = cache->n_repositories == 1 && cache->repositories[0].bytes == SIZE;
    mica_hub_cache_free(cache);
    if (!good) return MICA_INTERNAL;
    const mica_status status = mica_hub_resolve(&snapshot, "org/name", &options, NULL);
    mica_hub_snapshot_release(&snapshot);
    return status;
}

static void test_looking_without_memory(void **state)
{
    (void)state;
    assert_true(failing_allocator_sweep(look, NULL) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_in_any_order_over_two_runs),
                                       cmocka_unit_test(test_two_at_once), cmocka_unit_test(test_without_memory),
                                       cmocka_unit_test(test_looking_without_memory)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
