/* GGUF files, good and hostile: the status and a message that names the culprit. Every file is parsed from a block of exactly its size, so
 * that the address sanitizer sees a byte read beyond it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/gguf.h"
#include "failing_allocator.h"
#include "formats_test.h"
#include "gguf_build.h"

#include <time.h>

static void check_bytes(const char *what, uint8_t *bytes, size_t n, mica_status expected, const char *part)
{
    mica__gguf g;
    mica_error err;
    mica_status status = mica__gguf_parse(&g, bytes, n, "f.gguf", &err);
    assert_failure(what, status, expected, &err, part);
    if (status == MICA_OK)
        mica__gguf_release(&g);
    else
        assert_memory_equal(err.message, "f.gguf: ", 8);
    free(bytes);
}

/* Ends the file with n_data bytes of data and parses it. */
static void check(const char *what, gguf_file *f, size_t n_data, mica_status expected, const char *part)
{
    size_t n;
    uint8_t *bytes = gguf_end(f, n_data, &n);
    check_bytes(what, bytes, n, expected, part);
}

static void raw(const char *what, const void *bytes, size_t n, const char *part)
{
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, bytes, n);
    check_bytes(what, copy, n, MICA_DATA, part);
}

/* Row 35. */
static void versions(void **state)
{
    (void)state;
    raw("empty", "", 0, "not a GGUF file");
    raw("magic", "GGUg\3\0\0\0", 8, "not a GGUF file");
    raw("ggml", "lmgg\1\0\0\0", 8, "not a GGUF file");
    raw("short", "GGUF\3\0", 6, "ends");
    raw("short", "GGUF\3\0\0\0\0\0\0\0\0\0\0\0", 16, "ends");
    for (uint32_t version = 0; version < 6; version++) {
        gguf_file f = gguf_begin(version);
        char part[40];
        snprintf(part, sizeof part, "version %u", version);
        check("version", &f, 0, version == 2 || version == 3 ? MICA_OK : MICA_DATA, part);
    }
    gguf_file f = gguf_begin(0x03000000);
    check("big-endian", &f, 0, MICA_DATA, "version 3 in a big-endian file");
}

/* Row 36. */
static void counts(void **state)
{
    (void)state;
    static const uint64_t large[] = {UINT64_MAX, (uint64_t)1 << 63, 1000000000};
    for (int i = 0; i < 3; i++) {
        gguf_file f = gguf_begin(3);
        gguf_put_u32(&f, "a", 1);
        f.n_keys = large[i];
        check("keys", &f, 1000, MICA_DATA, "keys in a file");
        f = gguf_begin(3);
        gguf_put_u32(&f, "a", 1);
        f.n_tensors = large[i];
        check("tensors", &f, 1000, MICA_DATA, "tensors in a file");
    }
    gguf_file f = gguf_begin(3);
    gguf_put_u32(&f, "a", 1);
    f.n_keys = 2;
    check("one key", &f, 0, MICA_DATA, "");
}

/* Row 37. */
static void strings(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {UINT64_MAX, (uint64_t)1 << 63, 1 << 30, 6};
    for (int i = 0; i < 4; i++) {
        gguf_file f = gguf_begin(3);
        gguf_key(&f, "general.name", 8);
        GGUF_PUT(&f.keys, uint64_t, lengths[i]);
        mica__buf_append(&f.keys, "12345", 5);
        check("string", &f, 0, MICA_DATA, "key 'general.name'");
        f = gguf_begin(3);
        GGUF_PUT(&f.keys, uint64_t, lengths[i] == 6 ? 10 : lengths[i]);
        mica__buf_append(&f.keys, "a\4\0\0\0\1\0\0\0", 9);
        f.n_keys = 1;
        check("key", &f, 0, MICA_DATA, "key 0");
    }
    gguf_file f = gguf_begin(3);
    gguf_put_u32(&f, "", 1);
    mica__buf_append(&f.keys, "pad", 3);
    check("empty key", &f, 0, MICA_DATA, "key 0 (at byte 24)");
    f = gguf_begin(3);
    gguf_text(&f.keys, "a\0b", 3);
    mica__buf_append(&f.keys, "\4\0\0\0\1\0\0\0", 8);
    f.n_keys = 1;
    check("NUL", &f, 0, MICA_DATA, "key 0");
    f = gguf_begin(3);
    gguf_put_string(&f, "a", "");
    check("empty value", &f, 0, MICA_OK, "");
    f = gguf_begin(3);
    gguf_key(&f, "flag", 7);
    GGUF_PUT(&f.keys, uint8_t, 2);
    check("bool", &f, 0, MICA_DATA, "key 'flag'");
    f = gguf_begin(3);
    gguf_key(&f, "odd", 13);
    GGUF_PUT(&f.keys, uint8_t, 2);
    check("type", &f, 0, MICA_DATA, "key 'odd': unknown value type 13");
    f = gguf_begin(3);
    gguf_key(&f, "cut", 12);
    GGUF_PUT(&f.keys, uint32_t, 2);
    check("cut", &f, 0, MICA_DATA, "key 'cut'");
}

/* Row 38. */
static void arrays(void **state)
{
    (void)state;
    gguf_file f = gguf_begin(3);
    gguf_key(&f, "nest", 9);
    for (int i = 0; i < 1000; i++) {
        GGUF_PUT(&f.keys, uint32_t, 9);
        GGUF_PUT(&f.keys, uint64_t, 1);
    }
    check("nested", &f, 0, MICA_DATA, "key 'nest': arrays of arrays");
    static const uint64_t large[] = {UINT64_MAX, ((uint64_t)1 << 61) + 1, (uint64_t)1 << 62, 1 << 30, 3};
    for (int i = 0; i < 5; i++) {
        for (uint32_t type = 0; type < 13; type++) {
            if (type == 9 || (large[i] == 3 && type != 10 && type != 8)) continue;
            f = gguf_begin(3);
            gguf_array(&f, "list", type, large[i]);
            mica__buf_append(&f.keys, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
            check("array", &f, 0, MICA_DATA, "key 'list'");
        }
    }
    f = gguf_begin(3);
    gguf_array(&f, "list", 13, 1);
    mica__buf_append(&f.keys, "\0\0\0\0\0\0\0\0", 8);
    check("element type", &f, 0, MICA_DATA, "key 'list': unknown element type 13");
    f = gguf_begin(3);
    gguf_array(&f, "list", 8, 0);
    check("empty", &f, 0, MICA_OK, "");
}

/* Row 39. */
static void duplicates(void **state)
{
    (void)state;
    gguf_file f = gguf_begin(3);
    gguf_put_u32(&f, "general.a", 1);
    gguf_put_u32(&f, "general.b", 1);
    gguf_put_u32(&f, "general.a", 1);
    check("key", &f, 0, MICA_DATA, "duplicate key 'general.a'");
    f = gguf_begin(3);
    gguf_put_tensor(&f, "w", 1, (uint64_t[]){8}, 0, 0);
    gguf_put_tensor(&f, "w", 1, (uint64_t[]){8}, 0, 32);
    check("tensor", &f, 64, MICA_DATA, "duplicate tensor 'w'");

    enum { N = 1000000 };
    f = gguf_begin(3);
    char key[20];
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof key, "k%d", i);
        gguf_put_u32(&f, key, 1);
    }
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    check("many", &f, 0, MICA_OK, "");
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%d keys: %.2f s\n", N, (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) * 1e-9);
}

/* Row 40. */
static void alignments(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0, 1, 3, 4, 24, 1u << 31, UINT32_MAX, 1 << 17};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gguf_file f = gguf_begin(3);
        gguf_put_u32(&f, "general.alignment", bad[i]);
        check("alignment", &f, 0, MICA_DATA, "general.alignment");
    }
    gguf_file f = gguf_begin(3);
    gguf_key(&f, "general.alignment", 5);
    GGUF_PUT(&f.keys, int32_t, 32);
    check("i32", &f, 0, MICA_DATA, "general.alignment is not a u32");
    f = gguf_begin(3);
    gguf_put_string(&f, "general.alignment", "32");
    check("string", &f, 0, MICA_DATA, "general.alignment is not a u32");
    f = gguf_begin(3);
    gguf_put_u32(&f, "general.alignment", 256);
    gguf_put_tensor(&f, "a", 1, (uint64_t[]){8}, 0, 256);
    gguf_put_tensor(&f, "b", 1, (uint64_t[]){8}, 0, 0);
    f.alignment = 256;
    check("256", &f, 288, MICA_OK, "");
}

/* Rows 41 and 42. */
static void shapes(void **state)
{
    (void)state;
    static const struct {
        uint32_t n_dims;
        uint64_t dims[5];
        uint32_t type;
        const char *part;
    } bad[] = {
        {5, {1, 1, 1, 1, 1}, 0, "tensor 'w': has 5 dimensions"},
        {0, {0}, 0, "tensor 'w': has 0 dimensions"},
        {UINT32_MAX, {1}, 0, "tensor 'w': has 4294967295 dimensions"},
        {1, {0}, 0, "tensor 'w': a dimension is 0"},
        {2, {8, 0}, 0, "tensor 'w': a dimension is 0"},
        {1, {(uint64_t)-8}, 0, "tensor 'w': a dimension is"},
        {2, {(uint64_t)1 << 22, ((uint64_t)1 << 42) + 1}, 0, "tensor 'w': shape overflows"},
        {4, {1 << 16, 1 << 16, 1 << 16, 1 << 16}, 24, "tensor 'w': shape overflows"},
        {1, {(uint64_t)1 << 62}, 0, "tensor 'w': shape overflows"},
        {1, {(uint64_t)1 << 61}, 28, "tensor 'w': shape overflows"},
        {1, {((uint64_t)1 << 62) - 31}, 24, "tensor 'w' ends at byte"},
        {1, {((uint64_t)1 << 62) + 1}, 24, "tensor 'w': shape overflows"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gguf_file f = gguf_begin(3);
        gguf_put_tensor(&f, "w", bad[i].n_dims > 5 ? 1 : bad[i].n_dims, bad[i].dims, bad[i].type, 0);
        if (bad[i].n_dims > 5) memcpy(f.tensors.p + 9, &bad[i].n_dims, 4);
        check("shape", &f, 128, MICA_DATA, bad[i].part);
    }
    /* The sizes of two tensors, summed with padding, wrap to a small number. */
    gguf_file f = gguf_begin(3);
    gguf_put_tensor(&f, "a", 1, (uint64_t[]){((uint64_t)1 << 63) - 64}, 24, 0);
    gguf_put_tensor(&f, "b", 1, (uint64_t[]){((uint64_t)1 << 63) - 64}, 24, ((uint64_t)1 << 63) - 64);
    check("sum", &f, 128, MICA_DATA, "tensor 'a': shape overflows");
    f = gguf_begin(3);
    gguf_put_tensor(&f, "a", 1, (uint64_t[]){8}, 0, UINT64_MAX - 31);
    check("offset", &f, 128, MICA_DATA, "tensor 'a': offset 18446744073709551584 overflows");
}

/* Row 43. */
static void offsets(void **state)
{
    (void)state;
    static const struct {
        uint64_t n, a, b;
        size_t n_data;
        const char *part;
    } bad[] = {
        {8, 4, 32, 64, "tensor 'a': offset 4 is not a multiple"},
        {8, 0, 64, 64, "tensor 'b' ends at byte"},
        {8, 0, 32, 63, "download incomplete?"},
        {1000, 0, 0, 64, "tensor 'a' ends at byte"},
        {8, 0, 0, 64, "tensors 'a' and 'b' overlap"},
        {9, 0, 32, 128, "overlap"},
        {8, 0, (uint64_t)1 << 40, 64, "tensor 'b' ends at byte"},
        {8, 0, 32, 0, "tensor 'a' ends at byte"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gguf_file f = gguf_begin(3);
        gguf_put_tensor(&f, "a", 1, &bad[i].n, 0, bad[i].a);
        gguf_put_tensor(&f, "b", 1, &bad[i].n, 0, bad[i].b);
        check("offset", &f, bad[i].n_data, MICA_DATA, bad[i].part);
    }
    gguf_file f = gguf_begin(3);
    gguf_put_tensor(&f, "b", 2, (uint64_t[]){2, 4}, 0, 96);
    gguf_put_tensor(&f, "a", 1, (uint64_t[]){8}, 0, 0);
    size_t n;
    uint8_t *bytes = gguf_end(&f, 128, &n);
    mica__gguf g;
    mica_error err;
    assert_int_equal(mica__gguf_parse(&g, bytes, n, "f.gguf", &err), MICA_OK);
    const mica__tensor_view *b = mica__gguf_tensor(&g, "b");
    assert_int_equal(b->ndim, 2);
    assert_int_equal(b->shape[0], 4); /* rows first */
    assert_int_equal(b->shape[1], 2);
    assert_int_equal(b->data[0], 96 & 0x3f);
    assert_null(mica__gguf_tensor(&g, "c"));
    mica__gguf_release(&g);
    free(bytes);
}

/* Row 44. */
static void types(void **state)
{
    (void)state;
    static const uint32_t unknown[] = {(uint32_t)-1, 4, 5, 31, 32, 33, 36, 37, 38, 43, 97, 1000};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        gguf_file f = gguf_begin(3);
        gguf_put_tensor(&f, "w", 1, (uint64_t[]){256}, unknown[i], 0);
        char part[60];
        snprintf(part, sizeof part, "tensor 'w': unknown type number %d", (int)unknown[i]);
        check("type", &f, 4096, MICA_DATA, part);
    }
    gguf_file f = gguf_begin(3);
    gguf_put_tensor(&f, "w", 2, (uint64_t[]){33, 32}, 2, 0);
    check("row", &f, 4096, MICA_DATA, "tensor 'w': rows of 33 elements are no whole blocks of Q4_0 (32)");
    f = gguf_begin(3);
    gguf_put_tensor(&f, "w", 2, (uint64_t[]){128, 2}, 12, 0);
    check("row", &f, 4096, MICA_DATA, "Q4_K (256)");
    f = gguf_begin(3);
    gguf_put_tensor(&f, "w", 2, (uint64_t[]){256, 2}, 12, 0);
    size_t n;
    uint8_t *bytes = gguf_end(&f, 288, &n);
    mica__gguf g;
    mica_error err;
    assert_int_equal(mica__gguf_parse(&g, bytes, n, "f.gguf", &err), MICA_OK);
    assert_int_equal(g.tensors[0].storage, MICA__STORAGE_Q4_K);
    assert_string_equal(g.tensors[0].type_name, "Q4_K");
    mica__gguf_release(&g);
    free(bytes);
    f = gguf_begin(3);
    gguf_put_tensor(&f, "", 1, (uint64_t[]){8}, 0, 0);
    check("name", &f, 4096, MICA_DATA, "tensor 0");
    char name[300];
    memset(name, 'x', sizeof name);
    name[299] = 0;
    f = gguf_begin(3);
    gguf_put_tensor(&f, name, 1, (uint64_t[]){8}, 0, 0);
    check("name", &f, 4096, MICA_DATA, "tensor 0");
}

/* Any integer type does for an integer, any number for a double; nothing else. */
static void values(void **state)
{
    (void)state;
    gguf_file f = gguf_begin(3);
    gguf_key(&f, "u8", 0), GGUF_PUT(&f.keys, uint8_t, 200);
    gguf_key(&f, "i8", 1), GGUF_PUT(&f.keys, int8_t, -3);
    gguf_key(&f, "u16", 2), GGUF_PUT(&f.keys, uint16_t, 60000);
    gguf_key(&f, "i16", 3), GGUF_PUT(&f.keys, int16_t, -300);
    gguf_key(&f, "i32", 5), GGUF_PUT(&f.keys, int32_t, -70000);
    gguf_key(&f, "u64", 10), GGUF_PUT(&f.keys, uint64_t, UINT64_MAX);
    gguf_key(&f, "i64", 11), GGUF_PUT(&f.keys, int64_t, INT64_MIN);
    gguf_key(&f, "f64", 12), GGUF_PUT(&f.keys, double, 0.1);
    gguf_put_f32(&f, "f32", 0.5f);
    gguf_put_bool(&f, "bool", true);
    gguf_put_string(&f, "string", "x");
    gguf_put_ints(&f, "ints", (int32_t[]){1, -2, 3}, 3);
    gguf_put_strings(&f, "strings", (const char *[]){"a", "", "bc"}, 3);
    size_t n, at = 0;
    uint8_t *bytes = gguf_end(&f, 0, &n);
    mica__gguf g;
    mica_error err;
    assert_int_equal(mica__gguf_parse(&g, bytes, n, "f.gguf", &err), MICA_OK);
    static const struct {
        const char *key;
        int64_t value;
    } ints[] = {{"u8", 200}, {"i8", -3}, {"u16", 60000}, {"i16", -300}, {"i32", -70000}, {"i64", INT64_MIN}};
    int64_t i;
    double d;
    bool b;
    mica__str s;
    for (size_t k = 0; k < sizeof ints / sizeof *ints; k++) {
        assert_true(mica__gguf_int(mica__gguf_get(&g, ints[k].key), &i));
        assert_true(i == ints[k].value);
        assert_true(mica__gguf_double(mica__gguf_get(&g, ints[k].key), &d) && d == (double)i);
    }
    static const char *const no_ints[] = {"u64", "f64", "f32", "bool", "string", "ints", "strings", "absent"};
    for (size_t k = 0; k < sizeof no_ints / sizeof *no_ints; k++)
        assert_false(mica__gguf_int(mica__gguf_get(&g, no_ints[k]), &i));
    assert_true(mica__gguf_double(mica__gguf_get(&g, "f64"), &d) && d == 0.1);
    assert_true(mica__gguf_double(mica__gguf_get(&g, "f32"), &d) && d == 0.5);
    assert_false(mica__gguf_double(mica__gguf_get(&g, "string"), &d));
    assert_true(mica__gguf_bool(mica__gguf_get(&g, "bool"), &b) && b);
    assert_false(mica__gguf_bool(mica__gguf_get(&g, "u8"), &b));
    assert_true(mica__gguf_string(mica__gguf_get(&g, "string"), &s) && mica__str_is(s, "x"));
    assert_false(mica__gguf_string(mica__gguf_get(&g, "strings"), &s));
    assert_true(mica__gguf_int_at(mica__gguf_get(&g, "ints"), 1, &i) && i == -2);
    assert_false(mica__gguf_int_at(mica__gguf_get(&g, "ints"), 3, &i));
    const mica__gguf_value *list = mica__gguf_get(&g, "strings");
    assert_true(mica__gguf_next_string(list, &at, &s) && mica__str_is(s, "a"));
    assert_true(mica__gguf_next_string(list, &at, &s) && mica__str_is(s, ""));
    assert_true(mica__gguf_next_string(list, &at, &s) && mica__str_is(s, "bc"));
    assert_false(mica__gguf_next_string(list, &at, &s));
    mica__gguf_release(&g);
    free(bytes);
}

static uint8_t *sample(size_t *n)
{
    gguf_file f = gguf_begin(2);
    gguf_put_string(&f, "general.name", "x");
    gguf_put_strings(&f, "list", (const char *[]){"a", "bc"}, 2);
    gguf_put_tensor(&f, "w", 2, (uint64_t[]){32, 2}, 8, 0);
    gguf_put_tensor(&f, "v", 1, (uint64_t[]){5}, 0, 96);
    return gguf_end(&f, 128, n);
}

/* Cut anywhere, the file is refused or read, never read beyond its end. */
static void cut(void **state)
{
    (void)state;
    size_t n;
    uint8_t *bytes = sample(&n);
    for (size_t keep = 0; keep <= n; keep++) {
        uint8_t *part = malloc(keep ? keep : 1);
        memcpy(part, bytes, keep);
        check_bytes("cut", part, keep, keep >= n - 12 ? MICA_OK : MICA_DATA, "");
    }
    free(bytes);
}

static mica_status attempt(void *context)
{
    size_t n;
    uint8_t *bytes = context;
    memcpy(&n, bytes, sizeof n);
    mica__gguf g;
    mica_status status = mica__gguf_parse(&g, bytes + sizeof n, n, "f.gguf", NULL);
    if (status == MICA_OK) mica__gguf_release(&g);
    return status;
}

static void short_of_memory(void **state)
{
    (void)state;
    size_t n;
    uint8_t *bytes = sample(&n), *with_size = malloc(n + sizeof n);
    memcpy(with_size, &n, sizeof n);
    memcpy(with_size + sizeof n, bytes, n);
    assert_true(failing_allocator_sweep(attempt, with_size) > 4);
    free(bytes);
    free(with_size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions), cmocka_unit_test(counts),     cmocka_unit_test(strings),
        cmocka_unit_test(arrays),   cmocka_unit_test(duplicates), cmocka_unit_test(alignments),
        cmocka_unit_test(shapes),   cmocka_unit_test(offsets),    cmocka_unit_test(types),
        cmocka_unit_test(values),   cmocka_unit_test(cut),        cmocka_unit_test(short_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
