/* Safetensors headers, good and hostile: the status and a message that names the culprit. Every file is parsed from a block of exactly
 * its size, so that the address sanitizer sees a byte read beyond it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/safetensors.h"
#include "failing_allocator.h"
#include "formats_test.h"

#include <time.h>

/* Length, header and n_data bytes of data in a fresh block. */
static uint8_t *make_file(const char *header, size_t n_header, size_t n_data, size_t *n)
{
    *n = 8 + n_header + n_data;
    uint8_t *bytes = malloc(*n);
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)((uint64_t)n_header >> (8 * i));
    memcpy(bytes + 8, header, n_header);
    for (size_t i = 0; i < n_data; i++) bytes[8 + n_header + i] = (uint8_t)i;
    return bytes;
}

static mica_status parse_header(mica__safetensors *s, const char *header, size_t n_data, uint8_t **bytes,
                                mica_error *err)
{
    size_t n;
    *bytes = make_file(header, strlen(header), n_data, &n);
    return mica__safetensors_parse(s, *bytes, n, "f.safetensors", err);
}

static void check(const char *header, size_t n_data, mica_status expected, const char *part)
{
    mica__safetensors s;
    mica_error err;
    uint8_t *bytes;
    mica_status status = parse_header(&s, header, n_data, &bytes, &err);
    assert_failure(header, status, expected, &err, part);
    if (status != MICA_OK) assert_memory_equal(err.message, "f.safetensors: ", 15);
    if (status == MICA_OK) mica__safetensors_release(&s);
    free(bytes);
}

#define BAD(header, n_data, part) check(header, n_data, MICA_DATA, part)
#define GOOD(header, n_data) check(header, n_data, MICA_OK, "")

static void raw(const char *what, const void *bytes, size_t n, const char *part)
{
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, bytes, n);
    mica__safetensors s;
    mica_error err;
    mica_status status = mica__safetensors_parse(&s, copy, n, "f.safetensors", &err);
    assert_failure(what, status, MICA_DATA, &err, part);
    free(copy);
}

/* Rows 1 to 3 and 19: what is no safetensors file at all. */
static void lengths(void **state)
{
    (void)state;
    raw("empty", "", 0, "shorter than 8 bytes");
    raw("7 bytes", "\x02\0\0\0\0\0\0", 7, "shorter than 8 bytes");
    raw("2^64 - 1", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "18446744073709551615");
    raw("2^63", "\0\0\0\0\0\0\0\x80{}", 10, "9223372036854775808");
    raw("100000001", "\x01\xe1\xf5\x05\0\0\0\0{}", 10, "limit is 100000000");
    raw("one too long", "\x03\0\0\0\0\0\0\0{}", 10, "only 2 follow");
    raw("lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", 64, "Git LFS pointer");
    raw("html", "<!DOCTYPE html><html><body>Not found</body></html>", 50, "HTML page");
    raw("html after space", "\n <html><body>Not found</body></html>", 36, "HTML page");
    raw("gzip", "\x1f\x8b\x08\0\0\0\0\0\0\x03 and so on and on", 26, "gzip");
    raw("zip", "PK\x03\x04\x14\0\0\0\0\0\0\0 and so on", 22, "zip");
}

static void not_an_object(void **state)
{
    (void)state;
    BAD("", 0, "header");
    BAD("{", 0, "header");
    BAD("\xff", 0, "header");
    BAD("[]", 0, "not an object");
    BAD("null", 0, "not an object");
    BAD("\"x\"", 0, "not an object");
    BAD("{}x", 0, "header");
    BAD("\xef\xbb\xbf{}", 0, "header");
    GOOD("{}", 0);
    GOOD(" \n\t{} \r\n  ", 0);
    uint8_t nul[] = {3, 0, 0, 0, 0, 0, 0, 0, '{', '}', 0};
    raw("NUL", nul, sizeof nul, "header");
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Row 4: deep, wide and long headers are refused or read in linear time and memory. */
static void large_headers(void **state)
{
    (void)state;
    enum { DEPTH = 100000, LONG = 99000000 };
    char *deep = malloc(2 * DEPTH + 16);
    sprintf(deep, "{\"a\":");
    memset(deep + 5, '[', DEPTH);
    memset(deep + 5 + DEPTH, ']', DEPTH);
    strcpy(deep + 5 + 2 * DEPTH, "}");
    check(deep, 0, MICA_LIMIT, "deep");
    free(deep);

    char *wide = malloc(LONG + 16);
    memset(wide, ' ', LONG);
    strcpy(wide + LONG, "{}");
    double start = seconds();
    GOOD(wide, 0);
    memset(wide, 'a', LONG);
    memcpy(wide, "{\"", 2);
    strcpy(wide + LONG, "\":1}");
    failing_allocator a;
    failing_allocator_begin(&a, 0, false);
    BAD(wide, 0, "tensor 'aaaa");
    assert_int_equal(failing_allocator_end(&a), 0);
    assert_true(a.peak_bytes < 2 * (size_t)LONG);
    printf("99 MB of header: %.2f s\n", seconds() - start);
    free(wide);
}

/* Row 5. */
static void many_tensors(void **state)
{
    (void)state;
    enum { N = 100000 };
    mica__buf b = {0};
    mica__buf_append_char(&b, '{');
    for (int i = 0; i < N; i++)
        mica__buf_printf(&b, "%s\"t%d\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}", i ? "," : "", i);
    mica__buf_append_char(&b, '}');
    double start = seconds();
    mica__safetensors s;
    mica_error err;
    uint8_t *bytes;
    assert_int_equal(parse_header(&s, b.p, 0, &bytes, &err), MICA_OK);
    assert_int_equal(s.n_tensors, N);
    printf("%d tensors: %.2f s\n", N, seconds() - start);
    mica__safetensors_release(&s);
    free(bytes);
    mica__buf_clear(&b);
    mica__buf_append_char(&b, '{');
    for (int i = 0; i < N; i++)
        mica__buf_printf(&b, "%s\"t%d\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}", i ? "," : "", i);
    mica__buf_append_char(&b, '}');
    BAD(b.p, 16, "tensor 't1'");
    mica__buf_release(&b);
}

#define ENTRY(name, dtype, shape, offsets)                                                                             \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

/* Row 6. */
static void duplicates(void **state)
{
    (void)state;
    BAD("{" ENTRY("a", "U8", "[2]", "[0,2]") "," ENTRY("a", "U8", "[2]", "[2,4]") "}", 4, "duplicate");
    BAD("{" ENTRY("a", "U8", "[2]", "[0,2]") "," ENTRY("\\u0061", "U8", "[2]", "[2,4]") "}", 4, "duplicate");
    BAD("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2, "duplicate");
    BAD("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "duplicate");
}

/* Rows 7 to 9: ranges that are no ranges, leave holes, overlap, or do not end with the file. */
static void ranges(void **state)
{
    (void)state;
    static const char *const offsets[] = {"[8,0]",   "[0]",       "[0,4,8]", "[-8,0]",   "[0.0,8.0]",
                                          "[0,1e3]", "[\"0\",8]", "null",    "[null,8]", "[0,18446744073709551616]",
                                          "8",       "{}"};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        char header[200];
        sprintf(header, "{\"weight\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":%s}}", offsets[i]);
        BAD(header, 8, "tensor 'weight'");
    }
    BAD("{" ENTRY("a", "U8", "[4]", "[4,8]") "}", 8, "tensor 'a'");
    BAD("{" ENTRY("a", "U8", "[4]", "[0,4]") "," ENTRY("b", "U8", "[4]", "[8,12]") "}", 12, "tensor 'b'");
    BAD("{" ENTRY("a", "U8", "[4]", "[0,4]") "," ENTRY("b", "U8", "[4]", "[3,7]") "}", 7, "tensor 'b'");
    BAD("{" ENTRY("a", "U8", "[4]", "[0,4]") "," ENTRY("b", "U8", "[4]", "[0,4]") "}", 4, "tensor 'b'");
    BAD("{" ENTRY("a", "U8", "[4]", "[0,4]") "}", 5, "1 bytes follow");
    BAD("{" ENTRY("a", "U8", "[4]", "[0,4]") "}", 3, "download incomplete?");
    BAD("{" ENTRY("a", "U8", "[4]", "[0,4]") "}", 2, "file has 63 of 65 bytes");
    BAD("{}", 1, "1 bytes follow");
    GOOD("{" ENTRY("b", "U8", "[4]", "[4,8]") "," ENTRY("a", "U8", "[4]", "[0,4]") "}", 8);
}

/* Rows 10 to 14. */
static void shapes(void **state)
{
    (void)state;
    BAD("{" ENTRY("w", "F32", "[3,6148914691236517206]", "[0,8]") "}", 8, "tensor 'w': shape overflows");
    BAD("{" ENTRY("w", "F32", "[4611686018427387905]", "[0,4]") "}", 4, "tensor 'w': shape overflows");
    BAD("{" ENTRY("w", "F32", "[4294967296,4294967296]", "[0,0]") "}", 0, "tensor 'w': shape overflows");
    BAD("{" ENTRY("w", "F32", "[4294967296,4294967296,0]", "[0,0]") "}", 0, "tensor 'w': shape overflows");
    GOOD("{" ENTRY("w", "F32", "[2,0]", "[0,0]") "," ENTRY("x", "F32", "[]", "[0,4]") "}", 4);
    mica__buf b = {0};
    for (int i = 0; i < 8; i++)
        mica__buf_printf(&b,
                         "%s\"t%d\":{\"dtype\":\"BOOL\",\"shape\":[2305843009213693951],\"data_offsets\":[%llu,%llu]}",
                         i ? "," : "{", i, i * 2305843009213693951ull, (i + 1) * 2305843009213693951ull);
    mica__buf_append_char(&b, '}');
    BAD(b.p, 0, "tensor 't");
    mica__buf_clear(&b);
    mica__buf_printf(&b, "{\"w\":{\"dtype\":\"U8\",\"shape\":[1");
    for (int i = 1; i < 10000; i++) mica__buf_append_z(&b, ",1");
    mica__buf_append_z(&b, "],\"data_offsets\":[0,1]}}");
    BAD(b.p, 1, "10000 dimensions");
    mica__buf_release(&b);
    BAD("{" ENTRY("w", "U8", "[-1]", "[0,1]") "}", 1, "tensor 'w'");
    BAD("{" ENTRY("w", "U8", "[1.0]", "[0,1]") "}", 1, "tensor 'w'");
    BAD("{" ENTRY("w", "U8", "[\"1\"]", "[0,1]") "}", 1, "tensor 'w'");
    BAD("{" ENTRY("w", "U8", "1", "[0,1]") "}", 1, "tensor 'w'");
    BAD("{" ENTRY("w", "U8", "[2]", "[0,1]") "}", 1, "tensor 'w': its shape in U8 needs 2 bytes, data_offsets give 1");
    BAD("{\"w\":[]}", 0, "tensor 'w'");
    BAD("{\"w\":{\"dtype\":\"U8\",\"shape\":[0]}}", 0, "tensor 'w'");
}

/* Row 15. */
static void dtypes(void **state)
{
    (void)state;
    BAD("{" ENTRY("w", "F33", "[1]", "[0,4]") "}", 4, "tensor 'w': unknown dtype 'F33'");
    BAD("{" ENTRY("w", "f32", "[1]", "[0,4]") "}", 4, "unknown dtype 'f32'");
    BAD("{\"w\":{\"dtype\":7,\"shape\":[],\"data_offsets\":[0,1]}}", 1, "tensor 'w'");
    BAD("{" ENTRY("w", "F4", "[3]", "[0,2]") "}", 2, "tensor 'w': 3 elements of F4 are no whole bytes");
    GOOD("{" ENTRY("w", "F4", "[4]", "[0,2]") "," ENTRY("x", "F8_E4M3", "[2]", "[2,4]") "}", 4);
    static const char *const names[] = {"BOOL", "U8",  "I8",  "I16", "U16", "F16", "BF16",
                                        "I32",  "U32", "F32", "F64", "I64", "U64", "C64"};
    static const int sizes[] = {1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 8, 8, 8, 8};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char header[200];
        sprintf(header, "{\"w\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%d]}}", names[i], 3 * sizes[i]);
        GOOD(header, (size_t)(3 * sizes[i]));
    }
}

/* Rows 17 and 18. */
static void metadata_and_names(void **state)
{
    (void)state;
    BAD("{\"__metadata__\":{\"format\":1}}", 0, "__metadata__: value of 'format' is not a string");
    BAD("{\"__metadata__\":{\"format\":{}}}", 0, "'format'");
    BAD("{\"__metadata__\":[]}", 0, "__metadata__");
    GOOD("{\"__metadata__\":{}}", 0);
    GOOD("{\"__metadata__\":null}", 0);
    GOOD("{\"__metadata__\":{\"format\":\"pt\"}," ENTRY("w", "U8", "[]", "[0,1]") "}", 1);
    BAD("{" ENTRY("\xc0\xaf", "U8", "[]", "[0,1]") "}", 1, "header");
    BAD("{" ENTRY("\\ud800", "U8", "[]", "[0,1]") "}", 1, "header");
    GOOD("{" ENTRY("a\\u0000b\\n\\u001b[31m../../x", "U8", "[]", "[0,1]") "}", 1);
    BAD("{" ENTRY("a\\u0000b\\n\\u001b[31m", "X", "[]", "[0,1]") "}", 1, "tensor 'a\\x00b\\n\\x1b[31m'");
}

/* Views are in the order of the data and see the right bytes; data at an odd address is fine. */
static void views(void **state)
{
    (void)state;
    const char *header = " {" ENTRY("b", "F32", "[2,1]", "[2,10]") "," ENTRY("a", "BF16", "[]", "[0,2]") "}";
    mica__safetensors s;
    mica_error err;
    uint8_t *bytes;
    assert_int_equal(parse_header(&s, header, 10, &bytes, &err), MICA_OK);
    assert_int_equal(s.n_tensors, 2);
    assert_true(mica__str_is(s.tensors[0].name, "a"));
    assert_int_equal(s.tensors[0].dtype, MICA_DTYPE_BF16);
    assert_int_equal(s.tensors[0].ndim, 0);
    assert_int_equal(s.tensors[1].shape[0], 2);
    assert_int_equal(s.tensors[1].shape[1], 1);
    assert_int_equal(s.tensors[1].n_bytes, 8);
    assert_ptr_equal(s.tensors[1].data, bytes + s.data_start + 2);
    mica__safetensors_release(&s);
    free(bytes);
}

/* ---- writing --------------------------------------------------------------------------------------------------------------- */

static void write_and_read(void **state)
{
    (void)state;
    float logits[32];
    uint8_t odd[3] = {1, 2, 3};
    for (int i = 0; i < 32; i++) logits[i] = (float)i;
    const mica__safetensors_item items[] = {
        {"odd \"name\"\n", MICA_DTYPE_U8, 1, (int64_t[]){3}, odd},
        {"logits", MICA_DTYPE_F32, 2, (int64_t[]){2, 16}, logits},
        {"none", MICA_DTYPE_F16, 2, (int64_t[]){0, 5}, NULL},
        {"scalar", MICA_DTYPE_F32, 0, NULL, &logits[7]},
    };
    char *dir = temp_dir(), *path = mica__path_join(dir, "out.safetensors");
    write_file(dir, "out.safetensors", "old", 3);
    mica_error err;
    mica__mapping m;
    mica__safetensors s;
    assert_int_equal(mica__safetensors_write(path, items, 4, &err), MICA_OK);
    assert_int_equal(mica__mapping_open(&m, path, &err), MICA_OK);
    assert_int_equal(mica__safetensors_parse(&s, m.data, m.n, path, &err), MICA_OK);
    assert_int_equal(s.n_tensors, 4);
    assert_int_equal(s.data_start % 64, 0);
    for (size_t i = 0; i < 4; i++) {
        const mica__tensor_view *v = &s.tensors[i];
        for (int k = 0; k < 4; k++) {
            if (!mica__str_is(v->name, items[k].name)) continue;
            assert_int_equal(v->dtype, items[k].dtype);
            assert_int_equal(v->ndim, items[k].ndim);
            if (v->n_bytes) assert_memory_equal(v->data, items[k].data, v->n_bytes);
            if (k == 1) assert_int_equal((uintptr_t)v->data % 64, 0);
        }
    }
    mica__safetensors_release(&s);
    mica__mapping_release(&m);
    mica__free(path);
    temp_dir_remove(dir);
}

/* Row 22: a file that is mapped for reading keeps its content; what cannot be written leaves the old file. */
static void write_failures(void **state)
{
    (void)state;
    char *dir = temp_dir(), *path = mica__path_join(dir, "out.safetensors");
    mica_error err;
    float one = 1, two = 2;
    mica__safetensors_item item = {"w", MICA_DTYPE_F32, 0, NULL, &one};
    assert_int_equal(mica__safetensors_write(path, &item, 1, &err), MICA_OK);
    mica__mapping m;
    assert_int_equal(mica__mapping_open(&m, path, &err), MICA_OK);
    item.data = &two;
    assert_int_equal(mica__safetensors_write(path, &item, 1, &err), MICA_OK);
    assert_memory_equal(m.data + m.n - 4, &one, 4);
    assert_int_equal(mica__mapping_check(&m, &err), MICA_OK);
    mica__mapping_release(&m);

    const mica__safetensors_item twice[] = {item, item};
    assert_failure("twice", mica__safetensors_write(path, twice, 2, &err), MICA_INVALID, &err, "'w' is given twice");
    item.shape = (int64_t[]){INT64_MAX, 8};
    item.ndim = 2;
    assert_failure("overflow", mica__safetensors_write(path, &item, 1, &err), MICA_INVALID, &err, "shape overflows");
    item.ndim = 0;
    char *missing = mica__path_join(dir, "no/such/out.safetensors");
    assert_int_equal(mica__safetensors_write(missing, &item, 1, &err), MICA_CANNOT_CREATE);
    mica__free(missing);
    assert_int_equal(mica__mapping_open(&m, path, &err), MICA_OK);
    assert_memory_equal(m.data + m.n - 4, &two, 4);
    mica__mapping_release(&m);
    mica__free(path);
    temp_dir_remove(dir);
}

/* ---- memory ---------------------------------------------------------------------------------------------------------------- */

static mica_status attempt_parse(void *context)
{
    const char *header = "{\"__metadata__\":{\"a\":\"\\n\"}," ENTRY("b\\n", "F32", "[2,1]",
                                                                    "[2,10]") "," ENTRY("a", "BF16", "[]", "[0,2]") "}";
    uint8_t *bytes;
    mica__safetensors s;
    (void)context;
    mica_status status = parse_header(&s, header, 10, &bytes, NULL);
    if (status == MICA_OK) mica__safetensors_release(&s);
    free(bytes);
    return status;
}

static mica_status attempt_write(void *context)
{
    float one = 1;
    const mica__safetensors_item items[] = {{"w", MICA_DTYPE_F32, 0, NULL, &one}, {"x", MICA_DTYPE_F32, 0, NULL, &one}};
    return mica__safetensors_write(context, items, 2, NULL);
}

static void short_of_memory(void **state)
{
    (void)state;
    assert_true(failing_allocator_sweep(attempt_parse, NULL) > 3);
    char *dir = temp_dir();
    char path[600];
    snprintf(path, sizeof path, "%s/out.safetensors", dir);
    assert_true(failing_allocator_sweep(attempt_write, path) > 3);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths),         cmocka_unit_test(not_an_object),  cmocka_unit_test(large_headers),
        cmocka_unit_test(many_tensors),    cmocka_unit_test(duplicates),     cmocka_unit_test(ranges),
        cmocka_unit_test(shapes),          cmocka_unit_test(dtypes),         cmocka_unit_test(metadata_and_names),
        cmocka_unit_test(views),           cmocka_unit_test(write_and_read), cmocka_unit_test(write_failures),
        cmocka_unit_test(short_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
