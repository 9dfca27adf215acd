/* tests/formats/test_zip.c: archives as torch.save writes them, and every way in which one can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "failing_allocator.h"
#include "formats_test.h"
#include "zip_builder.h"

static const char HELLO[] = "hello", DIGITS[] = "0123456789abcdef";

static void add_two(zip_builder *z)
{
    zip_add(z, (zip_item){.name = "a/data.pkl", .data = HELLO, .n = 5, .n_padding = 17});
    zip_add(z, (zip_item){.name = "a/data/0", .data = DIGITS, .n = 16});
}

static mica_status parse(zip_builder *z, mica_error *err)
{
    mica__zip zip;
    mica_status status = mica__zip_parse(&zip, (const uint8_t *)z->bytes.p, z->bytes.n, err);
    for (size_t i = 0; status == MICA_OK && i < zip.n_entries; i++)
        status = mica__zip_check(&zip, &zip.entries[i], err);
    mica__zip_release(&zip);
    return status;
}

static void expect(zip_builder *z, const char *what, mica_status status, const char *message)
{
    mica_error err = {0};
    assert_failure(what, parse(z, &err), status, &err, message);
    zip_release(z);
}

/* An archive of one entry with these options. */
static void expect_item(zip_item e, mica_status status, const char *message)
{
    zip_builder z = {0};
    if (!e.data) {
        e.data = HELLO;
        e.n = 5;
    }
    zip_add(&z, e);
    zip_finish(&z);
    expect(&z, e.name, status, message);
}

/* The archive of two entries with n_bytes of it replaced, counted from the end if `at` is negative. */
static void expect_patched(const char *what, long at, uint64_t number, int n_bytes, const char *message)
{
    zip_builder z = {0};
    add_two(&z);
    zip_finish(&z);
    size_t offset = at < 0 ? z.bytes.n - (size_t)-at : (size_t)at;
    for (int i = 0; i < n_bytes; i++) z.bytes.p[offset + (size_t)i] = (char)(number >> (8 * i));
    expect(&z, what, MICA_DATA, message);
}

static void finds_entries(void **state)
{
    (void)state;
    for (int form = 0; form < 8; form++) {
        bool no_end64 = form & 1, in_front = form & 2, wide = form & 4;
        zip_builder z = {.no_end64 = no_end64};
        zip_add(&z, (zip_item){.name = "a/data.pkl",
                               .data = HELLO,
                               .n = 5,
                               .sizes_in_front = in_front,
                               .wide = wide,
                               .n_padding = 30});
        zip_add(&z, (zip_item){.name = "a/empty", .data = "", .n = 0, .sizes_in_front = in_front, .wide = wide});
        zip_add(&z, (zip_item){.name = "a/data/0", .data = DIGITS, .n = 16, .sizes_in_front = in_front, .wide = wide});
        zip_finish(&z);
        mica__zip zip;
        mica_error err;
        assert_int_equal(mica__zip_parse(&zip, (const uint8_t *)z.bytes.p, z.bytes.n, &err), MICA_OK);
        assert_int_equal(zip.n_entries, 3);
        const mica__zip_entry *e = mica__zip_find(&zip, MICA_STR("a/data/0"));
        assert_non_null(e);
        assert_int_equal(e->n_bytes, 16);
        assert_memory_equal(e->data, DIGITS, 16);
        assert_int_equal(mica__zip_check(&zip, e, &err), MICA_OK);
        e = mica__zip_find(&zip, MICA_STR("a/empty"));
        assert_int_equal(e->n_bytes, 0);
        assert_int_equal(mica__zip_check(&zip, e, &err), MICA_OK);
        assert_null(mica__zip_find(&zip, MICA_STR("data.pkl")));
        mica__zip_release(&zip);
        zip_release(&z);
    }
}

static void computes_crc(void **state)
{
    (void)state;
    const uint8_t check[] = "123456789";
    assert_int_equal(mica__crc32(0, check, 9), 0xcbf43926); /* the check value of the catalogues */
    assert_int_equal(mica__crc32(0, check, 0), 0);
    uint8_t bytes[1000];
    uint32_t whole = 0xffffffff; /* bit by bit, as the polynomial says */
    for (int i = 0; i < 1000; i++) {
        bytes[i] = (uint8_t)(37 * i * i + 11 * i + (i >> 3));
        whole ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) whole = whole >> 1 ^ (whole & 1 ? 0xedb88320u : 0);
        assert_int_equal(mica__crc32(0, bytes, (size_t)i + 1), ~whole);
    }
    for (size_t cut = 0; cut <= 1000; cut++) /* at every alignment */
        assert_int_equal(mica__crc32(mica__crc32(0, bytes, cut), bytes + cut, 1000 - cut), ~whole);
}

static void refuses_kinds(void **state)
{
    (void)state;
    expect_item((zip_item){.name = "a/x", .method = 8}, MICA_UNSUPPORTED, "entry 'a/x' is compressed (method 8)");
    expect_item((zip_item){.name = "a/x", .flags = 1}, MICA_UNSUPPORTED, "encrypted");
    expect_item((zip_item){.name = "a/x", .flags = 0x2000}, MICA_UNSUPPORTED, "flags 0x2808");
    expect_item((zip_item){.name = "a/x", .attributes = 0xa1ff0000}, MICA_DATA, "symbolic link");
    expect_item((zip_item){.name = "a/x", .attributes = 0x81a40000}, MICA_OK, "");
    expect_item((zip_item){.name = "a/x", .local_name = "a/y"}, MICA_DATA, "differs");
    expect_item((zip_item){.name = "a/x", .local_name = "a/xy"}, MICA_DATA, "differs");
}

static void refuses_names(void **state)
{
    (void)state;
    static const char *const names[] = {"../../x", "/x", "a\\..\\b", "a/../b", "a/..", "..",       ".", "a/./b",
                                        "a//b",    "a/", "",         "a\nb",   "\x7f", "a/\xff/b", "//"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        expect_item((zip_item){.name = names[i]}, MICA_DATA, "unsafe entry name");
    expect_item((zip_item){.name = "a/.data/serialization_id"}, MICA_OK, "");
    expect_item((zip_item){.name = "a/..b"}, MICA_OK, "");
    zip_builder z = {0};
    add_two(&z);
    add_two(&z);
    zip_finish(&z);
    expect(&z, "twice", MICA_DATA, "entry 'a/data.pkl' is there twice");
}

static void checks_checksums(void **state)
{
    (void)state;
    expect_item((zip_item){.name = "a/x", .crc_error = 1}, MICA_DATA, "entry 'a/x' is damaged");
    expect_item((zip_item){.name = "a/x", .sizes_in_front = true, .crc_error = 0x80}, MICA_DATA,
                "entry 'a/x' is damaged");
    /* torch.serialization.set_crc32_options(False) writes zeros; one checksum that is not zero means that all are meant. */
    uint32_t crc = mica__crc32(0, (const uint8_t *)HELLO, 5);
    expect_item((zip_item){.name = "a/x", .crc_error = crc}, MICA_OK, "");
    zip_builder z = {0};
    zip_add(&z, (zip_item){.name = "a/x", .data = HELLO, .n = 5, .crc_error = crc});
    zip_add(&z, (zip_item){.name = "a/y", .data = HELLO, .n = 5});
    zip_finish(&z);
    expect(&z, "mixed", MICA_DATA, "entry 'a/x' is damaged");
}

/* Every byte of the headers, the directory and the end means something: changing it must be noticed, or make no difference. */
static void notices_changes(void **state)
{
    (void)state;
    zip_builder z = {0};
    add_two(&z);
    size_t start = zip_finish(&z);
    size_t n_quiet = 0;
    for (size_t i = 0; i < z.bytes.n; i++) {
        z.bytes.p[i] ^= 0x55;
        n_quiet += parse(&z, NULL) == MICA_OK;
        z.bytes.p[i] ^= 0x55;
    }
    /* Quiet are: dates (4 bytes in each of 4 headers), versions of the writer and attributes (2 + 2 + 4 bytes less the symbolic link, in each
     * of 2), 17 bytes of padding and the 2 of its id, versions in the zip64 end. */
    assert_in_range(n_quiet, 16 + 19, 64);
    assert_true(start > 0);
    zip_release(&z);
}

static void refuses_damage(void **state)
{
    (void)state;
    zip_builder z = {0};
    add_two(&z);
    size_t local = z.last_local, central = z.last_central, start = zip_finish(&z);
    long c = (long)(start + central), l = (long)local;
    zip_release(&z);
    expect_patched("local method", l + 8, 8, 2, "differs");
    expect_patched("local flags", l + 6, 0x800, 2, "differs");
    expect_patched("local checksum", l + 14, 7, 4, "differs");
    expect_patched("local size", l + 22, 15, 4, "differs");
    expect_patched("local name length", l + 26, 7, 2, "differs");
    expect_patched("local name too long", l + 26, 0xffff, 2, "damaged header");
    expect_patched("local extra too long", l + 28, 0xffff, 2, "damaged header");
    expect_patched("local signature", l, 0, 4, "no header");
    expect_patched("checksum", c + 16, 7, 4, "do not belong to it");
    expect_patched("sizes", c + 20, UINT64_MAX, 8, "overlaps"); /* no extra field holds others */
    expect_patched("size", c + 24, 15, 4, "two sizes");
    expect_patched("both sizes", c + 20, 17 | 17ull << 32, 8, "do not belong to it");
    expect_patched("larger than the file", c + 20, 0x7fffffff7fffffff, 8, "overlaps");
    expect_patched("place", c + 42, 0, 4, "overlaps");
    expect_patched("place in the other", c + 42, 40, 4, "a/data.pkl");
    expect_patched("place in the directory", c + 42, (uint64_t)c, 4, "do not belong");
    expect_patched("place behind the file", c + 42, 0x7fffffff, 4, "do not belong");
    expect_patched("first place", (long)start + 42, 1, 4, "not at the start of the file");
    expect_patched("name length", c + 28, 0xffff, 2, "damaged directory");
    expect_patched("extra length", c + 30, 0xffff, 2, "damaged directory");
    expect_patched("central signature", c, 0, 4, "damaged directory");
    expect_patched("number of entries", -98 + 24, 1 | 1ull << 32, 5, "damaged zip64");
    expect_patched("end signature", -22, 0, 4, "download incomplete");
    expect_patched("locator", -34, 5, 8, "damaged zip64");
    expect_patched("locator hidden", -42, 0, 4, "does not end at byte");
    expect_patched("end differs", -6, 1, 4, "differ");
}

/* The extra field of 64-bit numbers is too short, or there twice. */
static void refuses_extra_fields(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        char value;
        const char *message;
    } cases[] = {{46 + 3 + 2, 8, "damaged extra field"},
                 {46 + 3 + 2, 25, "damaged extra field"},
                 {46 + 3 + 2, 0, "damaged extra field"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        zip_builder z = {0};
        zip_add(&z, (zip_item){.name = "a/x", .data = HELLO, .n = 5, .wide = true});
        size_t start = zip_finish(&z);
        z.bytes.p[start + cases[i].at] = cases[i].value;
        expect(&z, "extra", MICA_DATA, cases[i].message);
    }
}

static void refuses_ends(void **state)
{
    (void)state;
    mica_error err = {0};
    mica__zip zip;
    for (size_t n = 0; n < 22; n++) {
        char *bytes = malloc(n + 1); /* exact, for the address sanitizer */
        memcpy(bytes, "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", n);
        assert_int_equal(mica__zip_parse(&zip, (uint8_t *)bytes, n, &err), MICA_DATA);
        free(bytes);
    }
    zip_builder z = {0};
    zip_finish(&z);
    expect(&z, "empty", MICA_OK, "");

    add_two(&z); /* a comment, which could hide a second end */
    zip_finish(&z);
    z.bytes.p[z.bytes.n - 2] = 2;
    mica__buf_append(&z.bytes, "xx", 2);
    expect(&z, "comment", MICA_DATA, "does not end with an end record");

    add_two(&z);
    zip_finish(&z);
    mica__buf_append(&z.bytes, "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22);
    expect(&z, "second end", MICA_DATA, "does not end at byte");

    mica__buf_append(&z.bytes, "#!/bin/sh\n",
                     10); /* a prefix: offsets in the directory are right, the entries do not start at 0 */
    add_two(&z);
    zip_finish(&z);
    expect(&z, "prefix", MICA_DATA, "not at the start of the file");

    zip_add(&z, (zip_item){.name = "a/x", .data = HELLO, .n = 5});
    mica__buf_append(&z.bytes, "hidden", 6);
    zip_add(&z, (zip_item){.name = "a/y", .data = HELLO, .n = 5});
    zip_finish(&z);
    expect(&z, "hole", MICA_DATA, "followed by 22 that do not belong to it");

    zip_add(&z, (zip_item){.name = "a/x", .data = HELLO, .n = 5, .sizes_in_front = true});
    mica__buf_append(&z.bytes, "hidden", 6);
    zip_finish(&z);
    expect(&z, "hole at the end", MICA_DATA, "followed by 6 that do not belong to it");

    add_two(&z);
    mica__buf_append(&z.directory, "xyz", 3);
    zip_finish(&z);
    expect(&z, "more in the directory", MICA_DATA, "3 bytes follow the last entry");
}

static void limits_entries(void **state)
{
    (void)state;
    for (int over = 0; over <= 1; over++) {
        zip_builder z = {0};
        for (int i = 0; i < 100000 + over; i++) {
            char name[32];
            snprintf(name, sizeof name, "a/%d", i);
            zip_add(&z, (zip_item){.name = name, .data = HELLO, .n = 5});
        }
        zip_finish(&z);
        expect(&z, "many", over ? MICA_LIMIT : MICA_OK, "has 100001 entries, limit is 100000");
    }
    zip_builder z = {0}; /* a number of entries that the directory cannot hold */
    add_two(&z);
    zip_finish(&z);
    size_t end64 = z.bytes.n - 98;
    for (size_t at = end64 + 24; at < end64 + 40; at += 8) memcpy(z.bytes.p + at, "\x50\xc3\0\0\0\0\0\0", 8);
    for (size_t at = z.bytes.n - 14; at < z.bytes.n - 10; at += 2) memcpy(z.bytes.p + at, "\x50\xc3", 2);
    expect(&z, "more entries than bytes", MICA_DATA, "50000 entries do not fit");
}

static mica_status attempt(void *context) { return parse(context, NULL); }

static void survives_lack_of_memory(void **state)
{
    (void)state;
    zip_builder z = {0};
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof name, "a/%d", i);
        zip_add(&z, (zip_item){.name = name, .data = HELLO, .n = 5});
    }
    zip_finish(&z);
    assert_true(failing_allocator_sweep(attempt, &z) >= 3);
    zip_release(&z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_entries),           cmocka_unit_test(computes_crc),
        cmocka_unit_test(refuses_kinds),           cmocka_unit_test(refuses_names),
        cmocka_unit_test(checks_checksums),        cmocka_unit_test(notices_changes),
        cmocka_unit_test(refuses_damage),          cmocka_unit_test(refuses_ends),
        cmocka_unit_test(limits_entries),          cmocka_unit_test(refuses_extra_fields),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests_name("formats/zip", tests, NULL, NULL);
}
