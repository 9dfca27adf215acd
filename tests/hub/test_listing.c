/* tests/hub/test_listing.c: listings of the Hub and of the cache, indexes of shards; what happens when memory is short. */
#include "hub/listing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "failing_allocator.h"

#define SHA1 "0123456789abcdef0123456789abcdef01234567"
#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char tree[] =
    "[{\"type\":\"directory\",\"path\":\"a\",\"oid\":\"\",\"size\":0},"
    "{\"type\":\"file\",\"path\":\"b.bin\",\"size\":7,\"oid\":\"" SHA1 "\",\"lfs\":{\"oid\":\"" SHA256
    "\",\"size\":7,\"pointerSize\":130},\"xetHash\":\"" SHA256 "\"},"
    "{\"type\":\"file\",\"path\":\"a/\\u00fc.txt\",\"size\":5,\"oid\":\"" SHA1 "\"}]";

static void test_what_huggingface_hub_would_write(void **state)
{
    (void)state;
    mica__listing l = {0}, again = {0};
    mica__buf text = {0};
    mica_error err;
    assert_int_equal(mica__listing_add_page(&l, tree, strlen(tree), &err), MICA_OK);
    assert_int_equal(mica__listing_finish(&l, &err), MICA_OK);
    assert_int_equal(l.n, 2);
    assert_true(l.cacheable);
    assert_string_equal(mica__listing_find(&l, "b.bin")->hash, SHA256);
    assert_null(mica__listing_find(&l, "b"));
    mica__listing_write(&l, &text);
    assert_string_equal(
        text.p,
        "{\n \"format_version\": 1,\n \"files\": {\n  \"a/\\u00fc.txt\": {\n   \"size\": 5,\n   \"blob_id\": \"" SHA1
        "\"\n  },\n  \"b.bin\": {\n   \"size\": 7,\n   \"blob_id\": \"" SHA1 "\",\n   \"lfs_sha256\": \"" SHA256
        "\",\n   \"lfs_size\": 7,\n   \"xet_hash\": \"" SHA256 "\"\n  }\n }\n}");
    assert_int_equal(mica__listing_read(&again, text.p, text.n, &err), MICA_OK);
    assert_int_equal(again.n, 2);
    assert_string_equal(again.files[1].xet_hash, SHA256);
    mica__listing_release(&again);
    mica__listing_release(&l);
    mica__buf_release(&text);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{}",
        "[1]",
        "[{}]",
        "[{\"type\":\"file\",\"path\":\"../x\",\"size\":1,\"oid\":\"" SHA1 "\"}]",
        "[{\"type\":\"directory\",\"path\":\"/x\"}]",
        "[{\"type\":\"file\",\"path\":\"x\",\"size\":-1,\"oid\":\"" SHA1 "\"}]",
        "[{\"type\":\"file\",\"path\":\"x\",\"size\":1,\"oid\":\"../../x\"}]",
        "[{\"type\":\"file\",\"path\":\"x\",\"size\":9223372036854775808,\"oid\":\"" SHA1 "\"}]",
        "[{\"type\":\"file\",\"path\":\"x\",\"size\":1,\"oid\":\"" SHA1 "\",\"lfs\":{\"oid\":\"x\"}}]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        mica__listing l = {0};
        mica_error err;
        if (mica__listing_add_page(&l, bad[i], strlen(bad[i]), &err) != MICA_DATA) fail_msg("accepted: %s", bad[i]);
        mica__listing_release(&l);
    }
}

static mica_status read_all(void *context)
{
    (void)context;
    static const char index[] = "{\"weight_map\":{\"x\":\"b-2\",\"y\":\"a-1\",\"z\":\"b-2\"}}";
    mica__listing l = {0};
    mica__arena arena = {0};
    const char **names;
    size_t n;
    mica_status status = mica__listing_add_page(&l, tree, strlen(tree), NULL);
    if (status == MICA_OK) status = mica__listing_finish(&l, NULL);
    if (status == MICA_OK) status = mica__listing_shards(&arena, &names, &n, index, strlen(index), NULL);
    if (status == MICA_OK && (n != 2 || strcmp(names[0], "a-1") != 0 || strcmp(names[1], "b-2") != 0))
        status = MICA_INTERNAL;
    mica__listing_release(&l);
    mica__arena_release(&arena);
    return status;
}

static void test_without_memory(void **state)
{
    (void)state;
    assert_true(failing_allocator_sweep(read_all, NULL) > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_huggingface_hub_would_write),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
