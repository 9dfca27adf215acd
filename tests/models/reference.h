/* tests/models/reference.h: finding and reading what a reference program computed.
 *
 * Three folders are looked at: MICA_SHARED in the environment, ../shared beside the sources (a larger set), and tests/data/models (always there).
 * Include after cmocka.h. */
#ifndef MICA_TESTS_REFERENCE_H
#define MICA_TESTS_REFERENCE_H

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include <mica/mica.h>
#include <stdio.h>
#include <stdlib.h>

/* "FOLDER/reference/NAME" in the larger set, else tests/data/models/NAME; false (and a line about it) if there is neither. */
static inline bool reference_path(char out[512], const char *group, const char *name)
{
    const char *shared = getenv("MICA_SHARED");
    const char *roots[] = {shared, MICA_TEST_DATA "/../../../shared"};
    for (size_t i = 0; i < 2; i++) {
        if (!roots[i]) continue;
        snprintf(out, 512, "%s/reference/%s/%s", roots[i], group, name);
        if (mica__path_is_dir(out) || mica__path_is_file(out)) return true;
    }
    snprintf(out, 512, MICA_TEST_DATA "/models/%s", name);
    if (mica__path_is_dir(out) || mica__path_is_file(out)) return true;
    printf("skipped: %s/%s is not here\n", group, name);
    return false;
}

/* A parsed JSON file, or a safetensors file whose header is `json`. */
typedef struct reference_file {
    mica__buf bytes;
    mica__json json;
    mica__buf tensors; /* what follows the header, at an address that numbers may have */
} reference_file;

static inline void reference_open_json(reference_file *f, const char *folder, const char *name)
{
    char path[600];
    mica_error err;
    *f = (reference_file){.bytes = {.max = (size_t)1 << 30}};
    snprintf(path, sizeof path, "%s%s%s", folder, *name ? "/" : "", name);
    if (mica__file_read(&f->bytes, path, (size_t)1 << 30, &err) ||
        mica__json_parse(&f->json, f->bytes.p, f->bytes.n, NULL, &err)) {
        fail_msg("%s: %s", path, err.message);
    }
}

static inline void reference_open_tensors(reference_file *f, const char *folder, const char *name)
{
    char path[600];
    uint64_t n = 0;
    mica_error err;
    *f = (reference_file){.bytes = {.max = (size_t)1 << 30}};
    snprintf(path, sizeof path, "%s%s%s", folder, *name ? "/" : "", name);
    if (mica__file_read(&f->bytes, path, (size_t)1 << 30, &err)) fail_msg("%s: %s", path, err.message);
    memcpy(&n, f->bytes.p, 8);
    f->tensors.max = (size_t)1 << 30;
    mica__buf_append(&f->tensors, f->bytes.p + 8 + n, f->bytes.n - 8 - (size_t)n);
    if (mica__json_parse(&f->json, f->bytes.p + 8, (size_t)n, NULL, &err)) fail_msg("%s: %s", path, err.message);
}

static inline void reference_close(reference_file *f)
{
    mica__json_release(&f->json);
    mica__buf_release(&f->bytes);
    mica__buf_release(&f->tensors);
}

/* Elements of a float32 or int32 tensor; *n of them. */
static inline const void *reference_tensor(const reference_file *f, const char *name, size_t *n)
{
    mica__jval range = mica__json_get(mica__json_get(mica__json_root(&f->json), name), "data_offsets");
    int64_t begin = -1, end = -1;
    mica__json_int(mica__json_at(range, 0), &begin);
    mica__json_int(mica__json_at(range, 1), &end);
    if (begin < 0) fail_msg("no tensor %s", name);
    *n = (size_t)(end - begin) / 4;
    return f->tensors.p + begin;
}

/* The numbers of a JSON list; free with mica__free. */
static inline int32_t *reference_ids(mica__jval list, size_t *n)
{
    *n = mica__json_count(list);
    int32_t *out = mica__alloc(*n + 1, sizeof *out);
    size_t i = 0;
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e)) {
        int64_t id = -1;
        mica__json_int(e, &id);
        out[i++] = (int32_t)id;
    }
    return out;
}

static inline void reference_check(mica_status status, const mica_error *err, const char *what)
{
    if (status) fail_msg("%s: %s: %s", what, mica_status_name(status), err->message);
}

/* Loads in exact mode. rows 0: the default. */
static inline mica_model *reference_model(const char *path, int n_threads, int rows)
{
    mica_model *model = NULL;
    mica_error err;
    const mica_model_options options = {
        .n_threads = n_threads, .dtype = "float32", .precision = MICA_PRECISION_EXACT, .max_rows = rows};
    reference_check(mica_model_load(&model, path, &options, &err), &err, path);
    return model;
}

/* Copies a model into a new folder, changing `from` into `to` in its config (NULL: nothing) and, if poison is true, making one weight of the
 * final norm NaN. Remove it with reference_remove. */
static inline void reference_copy(char folder[64], const char *path, const char *from, const char *to, bool poison)
{
    char name[600];
    size_t n;
    reference_file tensors;
    mica__buf config = {0}, changed = {0};
    strcpy(folder, "/tmp/mica-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    reference_open_tensors(&tensors, path, "model.safetensors");
    if (poison) ((uint16_t *)reference_tensor(&tensors, "model.norm.weight", &n))[5] = 0x7fc0;
    snprintf(name, sizeof name, "%s/model.safetensors", folder);
    memcpy(tensors.bytes.p + tensors.bytes.n - tensors.tensors.n, tensors.tensors.p, tensors.tensors.n);
    assert_int_equal(mica__file_write(name, tensors.bytes.p, tensors.bytes.n, NULL), MICA_OK);
    reference_close(&tensors);
    snprintf(name, sizeof name, "%s/config.json", path);
    assert_int_equal(mica__file_read(&config, name, 1 << 20, NULL), MICA_OK);
    const char *at = from ? strstr(config.p, from) : config.p;
    assert_non_null(at);
    mica__buf_append(&changed, config.p, (size_t)(at - config.p));
    mica__buf_append_z(&changed, from ? to : "");
    mica__buf_append_z(&changed, at + (from ? strlen(from) : 0));
    snprintf(name, sizeof name, "%s/config.json", folder);
    assert_int_equal(mica__file_write(name, changed.p, changed.n, NULL), MICA_OK);
    mica__buf_release(&config);
    mica__buf_release(&changed);
}

static inline void reference_remove(const char *folder)
{
    char name[128];
    snprintf(name, sizeof name, "%s/model.safetensors", folder);
    remove(name);
    snprintf(name, sizeof name, "%s/config.json", folder);
    remove(name);
    remove(folder);
}

static inline double reference_difference(const float *a, const float *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        if (d < 0) d = -d;
        if (!(d <= worst)) worst = d; /* NaN counts as the worst */
    }
    return worst;
}

#endif
