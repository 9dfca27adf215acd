/* tests/formats/test_torch.c: PyTorch files: those that torch wrote, compared with safetensors files bit for bit; and hostile ones made by
 * hand.
 *
 * MICA_TORCH_FILES names another folder of NAME.bin beside NAME.safetensors, which tests/oracle/compare_torch_files.py fills. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "failing_allocator.h"
#include "formats/checkpoint.h"
#include "formats/safetensors.h"
#include "formats/torch.h"
#include "formats_test.h"
#include "zip_builder.h"

/* ---- comparing ----------------------------------------------------------------------------------------------------------- */

static const mica__tensor_view *find(const mica__tensor_view *views, size_t n, mica__str name)
{
    for (size_t i = 0; i < n; i++)
        if (mica__str_eq(views[i].name, name)) return &views[i];
    return NULL;
}

static void assert_same_tensor(const mica__tensor_view *got, const mica__tensor_view *expected)
{
    bool same = got->storage == expected->storage && strcmp(got->type_name, expected->type_name) == 0 &&
                got->ndim == expected->ndim && got->n_bytes == expected->n_bytes;
    for (int i = 0; same && i < got->ndim; i++) same = got->shape[i] == expected->shape[i];
    uint8_t *bytes = mica__alloc(got->n_bytes, 1);
    if (same && got->storage == MICA__STORAGE_PLAIN) {
        same = mica__tensor_read_plain(got, bytes, NULL) == MICA_OK && memcmp(bytes, expected->data, got->n_bytes) == 0;
        size_t n = got->n_bytes / mica_dtype_size(got->dtype);
        float *a = mica__alloc(n, sizeof *a), *b = mica__alloc(n, sizeof *b);
        assert_int_equal(mica__tensor_read_f32(got, a, NULL), MICA_OK);
        assert_int_equal(mica__tensor_read_f32(expected, b, NULL), MICA_OK);
        same = same && memcmp(a, b, n * sizeof *a) == 0;
        mica__free(a);
        mica__free(b);
    } else if (same) {
        same = memcmp(got->data, expected->data, got->n_bytes) == 0;
    }
    mica__free(bytes);
    if (!same) printf("tensor '%.*s' differs\n", (int)expected->name.n, expected->name.p);
    assert_true(same);
}

/* NAME.bin has the tensors of NAME.safetensors and no other. */
static void compare_files(const char *folder, const char *bin, const char *safetensors)
{
    char *paths[] = {mica__path_join(folder, bin), mica__path_join(folder, safetensors)};
    mica__mapping m[2];
    mica_error err;
    mica__torch t;
    mica__safetensors s;
    for (int i = 0; i < 2; i++)
        if (mica__mapping_open(&m[i], paths[i], &err) != MICA_OK) fail_msg("%s", err.message);
    if (mica__torch_parse(&t, m[0].data, m[0].n, paths[0], &err) != MICA_OK) fail_msg("%s", err.message);
    if (mica__safetensors_parse(&s, m[1].data, m[1].n, paths[1], &err) != MICA_OK) fail_msg("%s", err.message);
    if (t.n_tensors != s.n_tensors) printf("%s: %zu tensors instead of %zu\n", bin, t.n_tensors, s.n_tensors);
    assert_int_equal(t.n_tensors, s.n_tensors);
    for (size_t i = 0; i < t.n_tensors; i++) {
        const mica__tensor_view *expected = find(s.tensors, s.n_tensors, t.tensors[i].name);
        assert_non_null(expected);
        assert_same_tensor(&t.tensors[i], expected);
    }
    mica__torch_release(&t);
    mica__safetensors_release(&s);
    for (int i = 0; i < 2; i++) {
        mica__mapping_release(&m[i]);
        mica__free(paths[i]);
    }
}

static void reads_what_torch_wrote(void **state)
{
    (void)state;
    const char *folder = getenv("MICA_TORCH_FILES") ? getenv("MICA_TORCH_FILES") : MICA_TEST_DATA "/formats/torch";
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    size_t n = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        mica__str name = mica__str_from(e->d_name);
        if (!mica__str_ends(name, ".bin")) continue;
        char other[300];
        snprintf(other, sizeof other, "%.*s.safetensors", (int)name.n - 4, name.p);
        compare_files(folder, e->d_name, other);
        n++;
    }
    closedir(dir);
    printf("%zu files of %s\n", n, folder);
    assert_true(n >= 4);
}

static mica__checkpoint *open_shared(const char *name)
{
    char *path = shared_path(name);
    if (!path) return NULL;
    mica__checkpoint *c = NULL;
    mica_error err;
    if (mica__checkpoint_open(&c, path, NULL, &err) != MICA_OK) fail_msg("%s", err.message);
    mica__free(path);
    return c;
}

/* Every tensor that `expected` has is in `got`, with the same numbers. */
static void assert_same_numbers(const mica__checkpoint *got, const mica__checkpoint *expected)
{
    for (size_t i = 0; i < mica__checkpoint_n_tensors(expected); i++) {
        const mica__tensor_view *e = mica__checkpoint_tensor_at(expected, i),
                                *g = mica__checkpoint_tensor(got, e->name);
        assert_non_null(g);
        assert_int_equal(g->ndim, e->ndim);
        size_t n = 1;
        for (int k = 0; k < e->ndim; k++) {
            assert_int_equal(g->shape[k], e->shape[k]);
            n *= (size_t)e->shape[k];
        }
        float *a = mica__alloc(n, sizeof *a), *b = mica__alloc(n, sizeof *b);
        assert_int_equal(mica__tensor_read_f32(g, a, NULL), MICA_OK);
        assert_int_equal(mica__tensor_read_f32(e, b, NULL), MICA_OK);
        assert_memory_equal(a, b, n * sizeof *a);
        mica__free(a);
        mica__free(b);
    }
}

static void reads_reference_folders(void **state)
{
    (void)state;
    mica__checkpoint *expected = open_shared("reference/formats/safetensors-sharded");
    if (!expected) skip();
    static const char *const folders[] = {"bin-zip", "bin-legacy", "bin-sharded", "bin-views-f32"};
    for (int i = 0; i < 4; i++) {
        char name[100];
        snprintf(name, sizeof name, "reference/formats/%s", folders[i]);
        mica__checkpoint *c = open_shared(name);
        assert_non_null(c);
        assert_string_equal(mica__checkpoint_format(c), "pytorch");
        assert_same_numbers(c, expected);
        assert_int_equal(mica__checkpoint_n_tensors(c),
                         mica__checkpoint_n_tensors(expected) + (i == 3 ? 7 : 0)); /* extra.* */
        mica__checkpoint_free(c);
    }
    mica__checkpoint_free(expected);
}

static void runs_nothing(void **state)
{
    (void)state;
    static const char EVIDENCE[] = "/tmp/mica-pickle-was-executed"; /* what the call in the file would make */
    char *path = shared_path("reference/formats/bin-malicious");
    if (!path) skip();
    unlink(EVIDENCE);
    mica__checkpoint *c;
    mica_error err = {0};
    assert_failure("malicious", mica__checkpoint_open(&c, path, NULL, &err), MICA_DATA, &err,
                   "pytorch_model.bin: pickle: global posix.system is not allowed");
    assert_int_not_equal(access(EVIDENCE, F_OK), 0);
    mica__free(path);
}

/* ---- pickles by hand ----------------------------------------------------------------------------------------------------- */

static void text(mica__buf *b, const char *s)
{
    mica__buf_append_char(b, 'X');
    zip_number(b, strlen(s), 4);
    mica__buf_append_z(b, s);
}

static void number(mica__buf *b, int64_t v)
{
    mica__buf_append(b, "\x8a\x08", 2);
    zip_number(b, (uint64_t)v, 8);
}

typedef struct tensor {
    const char *name, *type, *key;
    int64_t n, offset, sizes[10], strides[10];
    int ndim;
    const char *rebuild; /* NULL: _rebuild_tensor_v2 */
    const char *end;     /* NULL: what follows strides in v2 */
    const char *part;    /* NULL: no sixth field of the storage */
} tensor;

/* The pickle of one tensor. */
static void put_tensor(mica__buf *b, const tensor *t)
{
    mica__buf_printf(b, "ctorch._utils\n%s\n((", t->rebuild ? t->rebuild : "_rebuild_tensor_v2");
    text(b, "storage");
    mica__buf_printf(b, "ctorch%s\n%s\n", strstr(t->type, "Untyped") ? ".storage" : "", t->type);
    text(b, t->key);
    text(b, "cpu");
    number(b, t->n);
    mica__buf_append_z(b, t->part ? t->part : "");
    mica__buf_append_z(b, "tQ");
    number(b, t->offset);
    mica__buf_append_char(b, '(');
    for (int i = 0; i < t->ndim; i++) number(b, t->sizes[i]);
    mica__buf_append_z(b, "t(");
    for (int i = 0; i < t->ndim; i++) number(b, t->strides[i]);
    mica__buf_append_char(b, 't');
    mica__buf_append_z(b, t->end ? t->end
                                 : "\x89"
                                   "ccollections\nOrderedDict\n)R");
    mica__buf_append_z(b, "tR");
}

/* The pickle of a dictionary of tensors. */
static void put_dict(mica__buf *b, const tensor *tensors, size_t n)
{
    mica__buf_append_z(b, "}(");
    for (size_t i = 0; i < n; i++) {
        text(b, tensors[i].name);
        put_tensor(b, &tensors[i]);
    }
    mica__buf_append_char(b, 'u');
}

static const uint8_t DATA[64] = "\0\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17";

/* An archive with that pickle, storage 0 of 24 bytes, storage 1 of 64 bytes and an empty storage 2. */
static void put_archive(zip_builder *z, const mica__buf *pickle)
{
    zip_add(z, (zip_item){.name = "a/data.pkl", .data = pickle->p, .n = pickle->n, .n_padding = 9});
    zip_add(z, (zip_item){.name = "a/byteorder", .data = "little", .n = 6});
    zip_add(z, (zip_item){.name = "a/data/0", .data = DATA, .n = 24});
    zip_add(z, (zip_item){.name = "a/data/1", .data = DATA, .n = 64});
    zip_add(z, (zip_item){.name = "a/data/2", .data = "", .n = 0});
    zip_finish(z);
}

/* Parses the archive of that pickle; the tensors point into z. */
static mica_status parse_pickle(mica__torch *t, zip_builder *z, const mica__buf *pickle, mica_error *err)
{
    put_archive(z, pickle);
    return mica__torch_parse(t, (const uint8_t *)z->bytes.p, z->bytes.n, "f.bin", err);
}

static void expect_pickle(const char *what, const mica__buf *pickle, mica_status status, const char *message)
{
    zip_builder z = {0};
    mica__torch t;
    mica_error err = {0};
    assert_failure(what, parse_pickle(&t, &z, pickle, &err), status, &err, message);
    mica__torch_release(&t);
    zip_release(&z);
}

static void expect_tensors(const tensor *tensors, size_t n, mica_status status, const char *message)
{
    mica__buf b = {0};
    mica__buf_append(&b, "\x80\2", 2);
    put_dict(&b, tensors, n);
    mica__buf_append_char(&b, '.');
    expect_pickle(message, &b, status, message);
    mica__buf_release(&b);
}

static void expect_tensor(tensor t, mica_status status, const char *message)
{
    if (!t.name) t.name = "w";
    if (!t.type) t.type = "ByteStorage";
    if (!t.key) t.key = "0";
    if (!t.n) t.n = 24;
    expect_tensors(&t, 1, status, message);
}

static void checks_views(void **state)
{
    (void)state;
    const int64_t most = INT64_MAX;
    expect_tensor((tensor){.ndim = 2, .sizes = {4, 6}, .strides = {6, 1}}, MICA_OK, "");
    expect_tensor((tensor){.ndim = 2, .sizes = {6, 4}, .strides = {1, 6}}, MICA_OK, "");
    expect_tensor((tensor){.ndim = 0}, MICA_OK, "");
    expect_tensor((tensor){.ndim = 0, .offset = 23}, MICA_OK, "");
    expect_tensor((tensor){.ndim = 1, .sizes = {1}, .strides = {most}}, MICA_OK, "");
    expect_tensor((tensor){.ndim = 2, .sizes = {0, most}, .strides = {most, most}, .offset = most}, MICA_OK, "");
    expect_tensor((tensor){.ndim = 1, .sizes = {1000000}, .strides = {0}}, MICA_OK, "");
    expect_tensor((tensor){.ndim = 8, .sizes = {1, 1, 1, 1, 1, 1, 1, 1}}, MICA_OK, "");

    expect_tensor((tensor){.ndim = 0, .offset = 24}, MICA_DATA,
                  "tensor 'w': reaches outside storage '0' of 24 elements");
    expect_tensor((tensor){.ndim = 1, .sizes = {25}, .strides = {1}}, MICA_DATA, "tensor 'w': reaches outside");
    expect_tensor((tensor){.ndim = 1, .sizes = {24}, .strides = {1}, .offset = 1}, MICA_DATA, "reaches outside");
    expect_tensor((tensor){.ndim = 2, .sizes = {4, 6}, .strides = {7, 1}}, MICA_DATA, "reaches outside");
    expect_tensor((tensor){.ndim = 1, .sizes = {2}, .strides = {most}}, MICA_DATA, "reaches outside");
    expect_tensor((tensor){.ndim = 1, .sizes = {1}, .strides = {1}, .offset = most}, MICA_DATA, "reaches outside");
    expect_tensor((tensor){.ndim = 1, .sizes = {0}, .strides = {1}, .offset = 25}, MICA_OK, "");
    expect_tensor((tensor){.ndim = 1, .sizes = {1}, .strides = {1}, .offset = -1}, MICA_DATA, "tensor 'w': offset");
    expect_tensor((tensor){.ndim = 1, .sizes = {-1}, .strides = {1}}, MICA_DATA, "tensor 'w': size or stride 0");
    expect_tensor((tensor){.ndim = 1, .sizes = {4}, .strides = {-1}, .offset = 3}, MICA_DATA, "size or stride 0");
    expect_tensor((tensor){.ndim = 2, .sizes = {most, 3}, .strides = {1, 1}}, MICA_DATA, "shape overflows");
    expect_tensor((tensor){.ndim = 2, .sizes = {1ll << 32, 1ll << 32}}, MICA_DATA, "shape overflows");
    expect_tensor((tensor){.ndim = 2, .sizes = {most / 8, 1}}, MICA_DATA, "shape overflows");
    expect_tensor((tensor){.ndim = 2, .sizes = {3, 3}, .strides = {most, most}}, MICA_DATA, "shape overflows");
    expect_tensor((tensor){.ndim = 9, .sizes = {1, 1, 1, 1, 1, 1, 1, 1, 1}}, MICA_DATA, "9 dimensions, limit is 8");
}

static void checks_storages(void **state)
{
    (void)state;
    expect_tensor((tensor){.type = "FloatStorage", .n = 6, .offset = 5}, MICA_OK, "");
    expect_tensor((tensor){.type = "FloatStorage", .n = 6, .offset = 6}, MICA_DATA, "reaches outside");
    expect_tensor((tensor){.n = 23}, MICA_DATA, "storage '0' needs 23 bytes, its record in the zip archive has 24");
    expect_tensor((tensor){.type = "FloatStorage", .n = 24}, MICA_DATA, "storage '0' needs 96 bytes");
    expect_tensor((tensor){.type = "DoubleStorage", .n = INT64_MAX}, MICA_DATA, "storage '0': its size overflows");
    expect_tensor((tensor){.n = -1}, MICA_DATA, "a storage has no type, key or size");
    expect_tensor((tensor){.key = "3"}, MICA_DATA, "storage '3' has no record");
    expect_tensor((tensor){.key = "../byteorder", .n = 6}, MICA_DATA, "storage '../byteorder' has no record");
    expect_tensor((tensor){.type = "float32", .n = 6}, MICA_DATA, "its type is no storage type");
    expect_tensor((tensor){.type = "QInt8Storage"}, MICA_DATA, "global torch.QInt8Storage is not allowed");
    char key[1000];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = 0;
    expect_tensor((tensor){.key = key}, MICA_DATA, "has no record");

    const tensor shared[] = {
        {.name = "a", .type = "ByteStorage", .key = "0", .n = 24, .ndim = 1, .sizes = {24}, .strides = {1}},
        {.name = "b", .type = "ByteStorage", .key = "0", .n = 24, .ndim = 1, .sizes = {24}, .strides = {1}}};
    expect_tensors(shared, 2, MICA_OK, "");
    tensor differing[] = {shared[0], shared[1]};
    differing[1].type = "CharStorage";
    expect_tensors(differing, 2, MICA_DATA, "storage '0' is used with two types or sizes");
    differing[1] = shared[1];
    differing[1].n = 23;
    expect_tensors(differing, 2, MICA_DATA, "storage '0' is used with two types or sizes");
}

#define V3(dtype)                                                                                                      \
    "\x89"                                                                                                             \
    "ccollections\nOrderedDict\n)Rctorch\n" dtype "\n"

static void reads_untyped_storages(void **state)
{
    (void)state;
    tensor t = {.name = "w",
                .type = "UntypedStorage",
                .key = "0",
                .n = 24,
                .rebuild = "_rebuild_tensor_v3",
                .ndim = 1,
                .sizes = {12},
                .strides = {1},
                .end = V3("uint16")};
    expect_tensors(&t, 1, MICA_OK, "");
    t.offset = 1;
    expect_tensors(&t, 1, MICA_DATA, "reaches outside storage '0' of 12 elements");
    t.offset = 0;
    t.end = V3("FloatStorage");
    expect_tensors(&t, 1, MICA_DATA, "its type is no element type");
    t.end = V3("float8_e4m3fn");
    expect_tensors(&t, 1, MICA_OK, "");
    t.sizes[0] = 6;
    t.strides[0] = 2;
    expect_tensors(&t, 1, MICA_UNSUPPORTED, "a strided view of type F8_E4M3 is not supported");
    tensor two[] = {t, t};
    two[0].end = V3("uint32");
    two[0].strides[0] = 1;
    two[1].name = "v";
    two[1].end = V3("uint16");
    expect_tensors(two, 2, MICA_DATA, "tensor 'v': storage '0' is used with two types, U32 and U16");
    two[1].rebuild = NULL;
    two[1].end = NULL;
    expect_tensors(two, 2, MICA_DATA, "used with two types, U32 and U8");
    t.type = "FloatStorage";
    t.n = 6;
    t.sizes[0] = 3;
    t.end = V3("float32");
    expect_tensors(&t, 1, MICA_OK, "");
    t.end = V3("float16");
    expect_tensors(&t, 1, MICA_DATA, "used with two types, F32 and F16");
}

static void checks_arguments(void **state)
{
    (void)state;
    const tensor good = {
        .name = "w", .type = "ByteStorage", .key = "0", .n = 24, .ndim = 1, .sizes = {2}, .strides = {1}};
    tensor t = good;
    t.end = "";
    expect_tensors(&t, 1, MICA_DATA, "tensor 'w': rebuilt from 4 arguments");
    t.end = "NNNN";
    expect_tensors(&t, 1, MICA_DATA, "tensor 'w': rebuilt from 8 arguments");
    t.end = "\x89N}";
    expect_tensors(&t, 1, MICA_OK, "");
    t.end = "\x89NN";
    expect_tensors(&t, 1, MICA_OK, "");
    t.end = "\x89N}U\3neg\x88s";
    expect_tensors(&t, 1, MICA_UNSUPPORTED, "tensor 'w': is negated");
    t.end = "";
    t.rebuild = "_rebuild_tensor";
    expect_tensors(&t, 1, MICA_OK, "");
    t.end = "N";
    expect_tensors(&t, 1, MICA_DATA, "rebuilt from 5 arguments");
    t = good;
    t.rebuild = "_rebuild_qtensor";
    expect_tensors(&t, 1, MICA_DATA, "global torch._utils._rebuild_qtensor is not allowed");
    t.rebuild = "_rebuild_parameter"; /* of what is no tensor */
    expect_tensors(&t, 1, MICA_DATA, "tensor 'w': a parameter is made of no tensor");

    static const struct {
        const char *pickle, *message;
    } cases[] = {
        {"\x80\2}U\1wctorch._utils\n_rebuild_tensor\n(NK\0))tRs.", "tensor 'w': has no storage"},
        {"\x80\2}U\1wctorch._utils\n_rebuild_tensor\n(K\1Qtbs.", "sets the state"},
        {"\x80\2}U\1wctorch._utils\n_rebuild_parameter\n)Rs.", "a parameter is made of no tensor"},
        {"\x80\2}U\1wctorch._tensor\n_rebuild_from_type_v2\n)Rs.", "a typed tensor is made of no call"},
        {"\x80\2}U\1wctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nSize\nctorch\nTensor\n)NtRs.",
         "is made by no function that makes tensors"},
        {"\x80\2}U\1wctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor\nctorch\nTensor\n)NtRs.",
         "rebuilt from 0 arguments"},
        {"\x80\2}K\1ctorch._utils\n_rebuild_tensor\n)Rs.", "the name of a tensor is a number"},
        {"\x80\2NQ.", "a persistent id is no storage"},
        {"\x80\2(U\6moduleNNNNtQ.", "a persistent id is no storage"},
        {"\x80\2(U\7storageNNNNtQ.", "a storage has no type, key or size"},
        {"\x80\2N.", "holds None, not a dictionary of tensors"},
        {"\x80\2].", "holds a list, not a dictionary"},
        {"\x80\2}.", "holds no tensors"},
        {"\x80\2}U\1aK\1s.", "holds no tensors"},
        {"\x80\2}.x", "pickle: 1 bytes follow its end"},
        {"\x80\2}.\x80\2}.", "pickle: 4 bytes follow its end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mica__buf b = {0};
        /* The texts hold zeros: their length is up to the last character. */
        mica__buf_append(&b, cases[i].pickle, strlen(cases[i].pickle));
        if (strstr(cases[i].message, "has no storage")) mica__buf_append(&b, "\0))tRs.", 7);
        expect_pickle(cases[i].message, &b, MICA_DATA, cases[i].message);
        mica__buf_release(&b);
    }
}

/* ---- containers ---------------------------------------------------------------------------------------------------------- */

static void finds_the_state(void **state)
{
    (void)state;
    const tensor weight = {
        .name = "w", .type = "ByteStorage", .key = "0", .n = 24, .ndim = 1, .sizes = {2}, .strides = {1}};
    static const char *const paths[] = {"state_dict", "model_state_dict", "model",
                                        "module",     "model/state_dict", "model/module/state_dict/model",
                                        "optimizer",  "model/optimizer",  "model/model/model/model/model"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        mica__buf b = {0};
        mica__buf_append(&b, "\x80\2", 2);
        char path[100], *rest = path;
        snprintf(path, sizeof path, "%s", paths[i]);
        int depth = 0;
        for (char *part; (part = strsep(&rest, "/")); depth++) {
            mica__buf_append_char(&b, '}');
            text(&b, "epoch");
            mica__buf_append_z(&b, "K\3s");
            text(&b, part);
        }
        put_dict(&b, &weight, 1);
        while (depth--) mica__buf_append_char(&b, 's');
        mica__buf_append_char(&b, '.');
        expect_pickle(paths[i], &b, i < 6 ? MICA_OK : MICA_DATA, "holds no tensors under names");
        mica__buf_release(&b);
    }
}

/* One tensor under hundreds of thousands of names takes little in the file and much in memory. */
static void limits_tensors(void **state)
{
    (void)state;
    const tensor t = {.type = "ByteStorage", .key = "0", .n = 24, .ndim = 1, .sizes = {2}, .strides = {1}};
    for (int over = 0; over <= 1; over++) {
        mica__buf b = {0};
        mica__buf_append(&b, "\x80\2}U\1wq", 7);
        mica__buf_append_char(&b, 0);
        put_tensor(&b, &t);
        mica__buf_append(&b, "q\1s", 3);
        for (int i = 1; i < 100000 + over; i++) mica__buf_append(&b, "h\0h\1s", 5);
        mica__buf_append_char(&b, '.');
        expect_pickle("names", &b, over ? MICA_LIMIT : MICA_OK, "holds 100001 tensors, limit is 100000");
        mica__buf_release(&b);
    }
}

/* ---- around the pickle --------------------------------------------------------------------------------------------------- */

static const char EMPTY[] = "\x80\2}U\1wctorch._utils\n_rebuild_tensor\n)Rs.";

static void expect_archive(zip_builder *z, mica_status status, const char *message)
{
    mica__torch t;
    mica_error err = {0};
    zip_finish(z);
    assert_failure(message, mica__torch_parse(&t, (uint8_t *)z->bytes.p, z->bytes.n, "f.bin", &err), status, &err,
                   message);
    mica__torch_release(&t);
    zip_release(z);
}

static void add_record(zip_builder *z, const char *name, const char *content)
{
    zip_add(z, (zip_item){.name = name, .data = content, .n = strlen(content)});
}

static void checks_archives(void **state)
{
    (void)state;
    zip_builder z = {0};
    expect_archive(&z, MICA_DATA, "f.bin: an empty zip archive");
    add_record(&z, "data.pkl", EMPTY);
    expect_archive(&z, MICA_DATA, "not one of torch.save");
    add_record(&z, "a/version", "3\n");
    expect_archive(&z, MICA_DATA, "has no a/data.pkl");
    add_record(&z, "a/data.pkl", EMPTY);
    expect_archive(&z, MICA_DATA, "tensor 'w': rebuilt from 0 arguments"); /* as far as this one comes */
    add_record(&z, "a/data.pkl", EMPTY);
    add_record(&z, "b/data.pkl", EMPTY);
    expect_archive(&z, MICA_DATA, "entry 'b/data.pkl' is not in the folder of the others, 'a'");
    add_record(&z, "a/data.pkl", EMPTY);
    add_record(&z, "a/b/data.pkl", EMPTY);
    expect_archive(&z, MICA_DATA, "'a/b/data.pkl' is a second data.pkl");
    add_record(&z, "a/data.pkl", EMPTY);
    add_record(&z, "ab", "");
    expect_archive(&z, MICA_DATA, "entry 'ab' is not in the folder");
    add_record(&z, "a/data.pkl", EMPTY);
    add_record(&z, "a/byteorder", "big");
    expect_archive(&z, MICA_UNSUPPORTED, "has byte order 'big', only little is supported; load it in PyTorch and save");
    add_record(&z, "a/data.pkl", EMPTY);
    add_record(&z, "a/constants.pkl", EMPTY);
    expect_archive(&z, MICA_UNSUPPORTED, "is a TorchScript archive, a program; load it in PyTorch");
    add_record(&z, "a/data.pkl", EMPTY);
    add_record(&z, "a/code/__torch__.py", "class");
    expect_archive(&z, MICA_UNSUPPORTED, "is a TorchScript archive");
    zip_add(&z, (zip_item){.name = "a/data.pkl", .data = EMPTY, .n = sizeof EMPTY - 1, .crc_error = 1});
    expect_archive(&z, MICA_DATA, "entry 'a/data.pkl' is damaged");
}

static void recognizes_other_files(void **state)
{
    (void)state;
    char tar[512] = "storages";
    memcpy(tar + 257, "ustar", 5);
    static const struct {
        const char *bytes;
        size_t n;
        mica_status status;
        const char *message;
    } cases[] = {
        {"", 0, MICA_DATA, "f.bin: is not a PyTorch checkpoint"},
        {"version https://git-lfs.github.com/spec/v1\n", 43, MICA_DATA, "Git LFS pointer"},
        {"<!DOCTYPE html>", 15, MICA_DATA, "HTML page"},
        {"hello", 5, MICA_DATA, "is not a PyTorch checkpoint"},
        {"\x80\2N.", 4, MICA_DATA, "is a pickle, but not one of torch.save"},
        {"\x80\2cos\nsystem\n", 13, MICA_DATA, "global os.system is not allowed"},
        {"PK\3\4", 4, MICA_DATA, "download incomplete?"},
        {"PK\5\6", 4, MICA_DATA, "download incomplete?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mica__torch t;
        mica_error err = {0};
        mica_status got = mica__torch_parse(&t, (const uint8_t *)cases[i].bytes, cases[i].n, "f.bin", &err);
        assert_failure(cases[i].message, got, cases[i].status, &err, cases[i].message);
    }
    mica__torch t;
    mica_error err = {0};
    assert_failure("tar", mica__torch_parse(&t, (uint8_t *)tar, sizeof tar, "f.bin", &err), MICA_UNSUPPORTED, &err,
                   "is a tar archive, as PyTorch wrote until 2016; load it in PyTorch");
}

/* ---- plain form ---------------------------------------------------------------------------------------------------------- */

typedef struct plain {
    const char *magic, *version, *system, *keys;
    size_t n_tail; /* bytes behind the last storage */
    int64_t count; /* number of elements before the data; 0: the right one */
} plain;

#define MAGIC "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."

/* One tensor of a storage '7' of 24 bytes. */
static void put_plain(mica__buf *b, const plain *p, const tensor *t)
{
    mica__buf_append_z(b, p->magic ? p->magic : MAGIC);
    mica__buf_append_z(b, p->version ? p->version : "\x80\2M\xe9\3.");
    mica__buf_append_z(b, p->system ? p->system : "\x80\2}U\x0dlittle_endian\x88s.");
    mica__buf_append(b, "\x80\2", 2);
    put_dict(b, t, 1);
    mica__buf_append_char(b, '.');
    mica__buf_append_z(b, p->keys ? p->keys
                                  : "\x80\2]U\1"
                                    "7a.");
    zip_number(b, (uint64_t)(p->count ? p->count : t->n), 8);
    mica__buf_append(b, DATA, 24 + p->n_tail);
}

static void expect_plain(plain p, tensor t, mica_status status, const char *message)
{
    mica__buf b = {0};
    put_plain(&b, &p, &t);
    uint8_t *copy = malloc(b.n);
    memcpy(copy, b.p, b.n);
    mica__torch parsed;
    mica_error err = {0};
    assert_failure(message, mica__torch_parse(&parsed, copy, b.n, "f.bin", &err), status, &err, message);
    if (status == MICA_OK) assert_int_equal(parsed.tensors[0].data[0], t.sizes[9]);
    mica__torch_release(&parsed);
    free(copy);
    mica__buf_release(&b);
}

static void reads_plain_form(void **state)
{
    (void)state;
    /* sizes[9] is the first byte to expect: no tensor has ten dimensions. */
    const tensor t = {.name = "w",
                      .type = "ShortStorage",
                      .key = "7",
                      .n = 12,
                      .offset = 2,
                      .ndim = 1,
                      .sizes = {2, [9] = 4},
                      .strides = {1},
                      .part = "N"};
    expect_plain((plain){0}, t, MICA_OK, "");
    tensor part = t;
    part.part = "U\1pK\4K\3\x87";
    part.sizes[0] = 1;
    part.sizes[9] = 12;
    expect_plain((plain){0}, part, MICA_OK, "");
    part.sizes[0] = 2;
    expect_plain((plain){0}, part, MICA_DATA, "reaches outside storage '7' of 3 elements");
    part.part = "U\1pK\4K\x09\x87";
    expect_plain((plain){0}, part, MICA_DATA, "storage '7': a part of it lies outside");
    part.part = "U\1pK\4\x86";
    expect_plain((plain){0}, part, MICA_DATA, "storage '7': a part of it lies outside");
    part.part = "NN";
    expect_plain((plain){0}, part, MICA_DATA, "a persistent id is no storage");

    expect_plain((plain){.magic = "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x18."}, t, MICA_DATA,
                 "is a pickle, but not one of torch.save");
    expect_plain((plain){.version = "\x80\2M\xea\3."}, t, MICA_UNSUPPORTED, "another version than 1001");
    expect_plain((plain){.system = "\x80\2}U\x0dlittle_endian\x89s."}, t, MICA_UNSUPPORTED,
                 "has big-endian data; load");
    expect_plain((plain){.system = "\x80\2}."}, t, MICA_DATA, "does not say its byte order");
    expect_plain((plain){.system = "\x80\2cos\nsystem\n."}, t, MICA_DATA, "at byte 21: pickle: global os.system");
    expect_plain((plain){.keys = "\x80\2]."}, t, MICA_DATA, "lists 0 of 1 storages");
    expect_plain((plain){.keys = "\x80\2)."}, t, MICA_DATA, "has no list of storages");
    expect_plain((plain){.keys = "\x80\2]U\1"
                                 "8a."},
                 t, MICA_DATA, "storage 0 of the list is unknown or there twice");
    expect_plain((plain){.keys = "\x80\2](U\1"
                                 "7U\1"
                                 "7e."},
                 t, MICA_DATA, "storage 1 of the list is unknown or there twice");
    expect_plain((plain){.keys = "\x80\2]K\7a."}, t, MICA_DATA, "storage 0 of the list is unknown");
    expect_plain((plain){.count = 11}, t, MICA_DATA, "storage '7' has 12 elements, its data says 11");
    expect_plain((plain){.count = -1}, t, MICA_DATA, "its data says 18446744073709551615");
    expect_plain((plain){.n_tail = 3}, t, MICA_DATA, "3 bytes follow the last storage");
    tensor large = t;
    large.n = 13;
    expect_plain((plain){0}, large, MICA_DATA, "storage '7' needs 26 bytes, but only 32 follow, download incomplete?");

    mica__buf b = {0}; /* cut anywhere */
    put_plain(&b, &(plain){0}, &t);
    for (size_t n = 0; n < b.n; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        memcpy(copy, b.p, n);
        mica__torch parsed;
        assert_int_equal(mica__torch_parse(&parsed, copy, n, "f.bin", NULL), MICA_DATA);
        free(copy);
    }
    mica__buf_release(&b);
}

/* ---- folders ------------------------------------------------------------------------------------------------------------- */

static void put_file(const char *dir, const char *file, const char *name, uint8_t offset)
{
    const tensor t = {.name = name,
                      .type = "ByteStorage",
                      .key = "0",
                      .n = 24,
                      .offset = offset,
                      .ndim = 1,
                      .sizes = {2},
                      .strides = {1}};
    mica__buf b = {0};
    zip_builder z = {0};
    mica__buf_append(&b, "\x80\2", 2);
    put_dict(&b, &t, 1);
    mica__buf_append_char(&b, '.');
    put_archive(&z, &b);
    write_file(dir, file, z.bytes.p, z.bytes.n);
    mica__buf_release(&b);
    zip_release(&z);
}

static void expect_folder(const char *dir, mica_status status, const char *message, const char *name, uint8_t first)
{
    mica__checkpoint *c = NULL;
    mica_error err = {0};
    assert_failure(message, mica__checkpoint_open(&c, dir, NULL, &err), status, &err, message);
    if (status == MICA_OK) {
        const mica__tensor_view *v = mica__checkpoint_tensor(c, mica__str_from(name));
        assert_non_null(v);
        assert_int_equal(v->data[0], first);
    }
    mica__checkpoint_free(c);
}

static void write_text(const char *dir, const char *name, const char *content)
{
    write_file(dir, name, content, strlen(content));
}

static void chooses_files(void **state)
{
    (void)state;
    static const char INDEX[] = "pytorch_model.bin.index.json",
                      MAP[] = "{\"metadata\":{\"total_size\":1},\"weight_map\":{\"a\":\"x-1.bin\",\"b\":\"x-2.bin\"}}";
    char *dir = temp_dir();
    write_text(dir, INDEX, MAP);
    expect_folder(dir, MICA_NOT_FOUND, "2 of 2 shards missing: x-1.bin, x-2.bin", NULL, 0);
    put_file(dir, "x-1.bin", "a", 3);
    put_file(dir, "x-2.bin", "b", 4);
    expect_folder(dir, MICA_OK, "", "a", 3);
    expect_folder(dir, MICA_OK, "", "b", 4);
    write_text(dir, INDEX, "{\"weight_map\":{\"a\":\"x-2.bin\"}}");
    expect_folder(dir, MICA_DATA, "tensor 'a' is not in x-2.bin", NULL, 0);
    write_text(dir, INDEX, "{\"weight_map\":{\"a\":\"../x-1.bin\"}}");
    expect_folder(dir, MICA_DATA, "unsafe shard name '../x-1.bin'", NULL, 0);
    write_text(dir, INDEX, "{\"weight_map\":{\"a\":\"x-1.safetensors\"}}");
    expect_folder(dir, MICA_DATA, "unsafe shard name 'x-1.safetensors'", NULL, 0);
    put_file(dir, "x-2.bin", "a", 4);
    write_text(dir, INDEX, MAP);
    expect_folder(dir, MICA_DATA, "tensor 'a' is both in", NULL, 0);

    put_file(dir, "pytorch_model.bin", "c", 5); /* comes before the index */
    expect_folder(dir, MICA_OK, "", "c", 5);
    const mica__safetensors_item item = {"d", MICA_DTYPE_U8, 1, (int64_t[]){1}, "\x06"};
    char *path = mica__path_join(dir, "model-00001-of-00001.safetensors");
    assert_int_equal(mica__safetensors_write(path, &item, 1, NULL), MICA_OK); /* and safetensors before both */
    mica__free(path);
    expect_folder(dir, MICA_OK, "", "d", 6);
    temp_dir_remove(dir);
}

/* ---- memory -------------------------------------------------------------------------------------------------------------- */

static mica_status attempt(void *context)
{
    const mica__buf *b = context;
    mica__torch t;
    MICA_TRY(mica__torch_parse(&t, (const uint8_t *)b->p, b->n, "f.bin", NULL));
    mica__torch_release(&t);
    return MICA_OK;
}

static void survives_lack_of_memory(void **state)
{
    (void)state;
    tensor t[80];
    char names[80][8];
    for (int i = 0; i < 80; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        t[i] = (tensor){.name = names[i],
                        .type = "ByteStorage",
                        .key = i % 2 ? "0" : "1",
                        .n = i % 2 ? 24 : 64,
                        .ndim = 2,
                        .sizes = {2, 3},
                        .strides = {1, 2 + i % 3},
                        .part = "N"};
    }
    mica__buf b = {0};
    zip_builder z = {0};
    mica__buf_append(&b, "\x80\2", 2);
    put_dict(&b, t, 80);
    mica__buf_append_char(&b, '.');
    put_archive(&z, &b);
    assert_true(failing_allocator_sweep(attempt, &z.bytes) >= 8);
    mica__buf_clear(&b);
    t[0].key = "7";
    t[0].n = 24;
    put_plain(&b, &(plain){0}, t);
    assert_true(failing_allocator_sweep(attempt, &b) >= 8);
    mica__buf_release(&b);
    zip_release(&z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_torch_wrote), cmocka_unit_test(reads_reference_folders),
        cmocka_unit_test(runs_nothing),           cmocka_unit_test(checks_views),
        cmocka_unit_test(checks_storages),        cmocka_unit_test(reads_untyped_storages),
        cmocka_unit_test(checks_arguments),       cmocka_unit_test(finds_the_state),
        cmocka_unit_test(limits_tensors),         cmocka_unit_test(checks_archives),
        cmocka_unit_test(recognizes_other_files), cmocka_unit_test(reads_plain_form),
        cmocka_unit_test(chooses_files),          cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests_name("formats/torch", tests, NULL, NULL);
}
