/* Which files of a folder are its weights, and what is refused: missing, unsafe, mixed and contradictory shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/checkpoint.h"
#include "formats/safetensors.h"
#include "failing_allocator.h"
#include "formats_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#define INDEX "model.safetensors.index.json"

/* A shard with one tensor of n floats under each name. */
static void write_shard(const char *dir, const char *file, int64_t n, const char *name, const char *second)
{
    static const float data[64];
    const mica__safetensors_item items[] = {{name, MICA_DTYPE_F32, 1, &n, data}, {second, MICA_DTYPE_F32, 1, &n, data}};
    char *path = mica__path_join(dir, file);
    assert_int_equal(mica__safetensors_write(path, items, second ? 2 : 1, NULL), MICA_OK);
    mica__free(path);
}

static char notice[600];
static void keep_notice(void *context, const char *message)
{
    (void)context;
    snprintf(notice, sizeof notice, "%s", message);
}

/* Opens the folder; the status and message must be as said. */
static mica__checkpoint *open_as(const char *dir, mica_status expected, const char *part)
{
    mica_error err;
    mica__checkpoint *c = NULL;
    const mica_notices notices = {keep_notice, NULL};
    notice[0] = 0;
    assert_failure(dir, mica__checkpoint_open(&c, dir, &notices, &err), expected, &err, part);
    if (expected != MICA_OK) assert_null(c);
    return c;
}

static void with_index(const char *dir, const char *index, mica_status expected, const char *part)
{
    write_file(dir, INDEX, index, strlen(index));
    mica__checkpoint_free(open_as(dir, expected, part));
}

static void single_file_wins(void **state)
{
    (void)state;
    char *dir = temp_dir();
    write_shard(dir, "model.safetensors", 4, "a", "b");
    write_shard(dir, "model-00001-of-00001.safetensors", 4, "stale", NULL);
    write_file(dir, INDEX, "{", 1);
    write_file(dir, "config.json", "{}", 2);
    mica__checkpoint *c = open_as(dir, MICA_OK, "");
    assert_int_equal(mica__checkpoint_n_tensors(c), 2);
    assert_int_equal(mica__checkpoint_tensor_bytes(c), 32);
    assert_string_equal(mica__checkpoint_format(c), "safetensors");
    assert_null(mica__checkpoint_tensor(c, MICA_STR("stale")));
    assert_null(mica__checkpoint_tensor_at(c, 2));
    mica__str text, again;
    mica_error err;
    assert_int_equal(mica__checkpoint_text(c, "config.json", &text, &err), MICA_OK);
    assert_int_equal(mica__checkpoint_text(c, "config.json", &again, &err), MICA_OK);
    assert_ptr_equal(text.p, again.p);
    mica__checkpoint_forget_text(c, "config.json");
    assert_int_equal(mica__checkpoint_text(c, "config.json", &text, &err), MICA_OK);
    assert_true(mica__str_is(text, "{}"));
    assert_failure("text", mica__checkpoint_text(c, "tokenizer.json", &text, &err), MICA_NOT_FOUND, &err,
                   "tokenizer.json");
    assert_failure("text", mica__checkpoint_text(c, "tokenizer.json", &text, &err), MICA_NOT_FOUND, &err,
                   "tokenizer.json");
    mica__checkpoint_forget_tensor(c, mica__checkpoint_tensor_at(c, 0));
    mica__checkpoint_free(c);
    temp_dir_remove(dir);
}

static void without_weights(void **state)
{
    (void)state;
    char *dir = temp_dir();
    mica__checkpoint *c = open_as(dir, MICA_OK, "");
    assert_string_equal(mica__checkpoint_format(c), "none");
    assert_int_equal(mica__checkpoint_n_tensors(c), 0);
    mica__checkpoint_free(c);
    temp_dir_remove(dir);
    open_as(dir, MICA_NOT_FOUND, dir);
}

static void every_file_without_index(void **state)
{
    (void)state;
    char *dir = temp_dir();
    write_shard(dir, "model-2.safetensors", 4, "b", NULL);
    write_shard(dir, "model-1.safetensors", 4, "a", NULL);
    write_shard(dir, "consolidated.safetensors", 4, "other", NULL);
    mica__checkpoint *c = open_as(dir, MICA_OK, "");
    assert_int_equal(mica__checkpoint_n_tensors(c), 2);
    assert_true(mica__str_is(mica__checkpoint_tensor_at(c, 0)->name, "a"));
    mica__checkpoint_free(c);
    write_shard(dir, "model-3.safetensors", 4, "a", NULL);
    open_as(dir, MICA_DATA, "tensor 'a' is both in ");
    open_as(dir, MICA_DATA, "model-3.safetensors");
    temp_dir_remove(dir);
}

/* Rows 23 to 27. */
static void indexes(void **state)
{
    (void)state;
    char *dir = temp_dir();
    with_index(dir, "{\"weight_map\":{\"a\":\"m1.safetensors\",\"b\":\"m2.safetensors\",\"c\":\"m3.safetensors\"}}",
               MICA_NOT_FOUND, "3 of 3 shards missing: m1.safetensors, m2.safetensors, m3.safetensors");
    write_shard(dir, "m1.safetensors", 4, "a", NULL);
    write_shard(dir, "m2.safetensors", 4, "b", "extra");
    with_index(dir, "{\"weight_map\":{\"a\":\"m1.safetensors\",\"b\":\"m2.safetensors\",\"c\":\"m3.safetensors\"}}",
               MICA_NOT_FOUND, "1 of 3 shards missing: m3.safetensors");
    with_index(dir, "{\"weight_map\":{\"a\":\"m1.safetensors\",\"b\":\"m2.safetensors\"}}", MICA_OK, "");
    assert_non_null(strstr(notice, "tensor 'extra'"));

    static const char *const unsafe[] = {"../../etc/passwd",
                                         "/abs.safetensors",
                                         "C:\\\\x.safetensors",
                                         "a/b.safetensors",
                                         "..",
                                         ".hidden.safetensors",
                                         "",
                                         "x",
                                         "a\\u0000.safetensors",
                                         "a\\n.safetensors"};
    for (size_t i = 0; i < sizeof unsafe / sizeof *unsafe; i++) {
        char index[200];
        snprintf(index, sizeof index, "{\"weight_map\":{\"a\":\"m1.safetensors\",\"b\":\"%s\"}}", unsafe[i]);
        with_index(dir, index, MICA_DATA, "unsafe shard name");
    }
    with_index(dir, "{\"weight_map\":{\"a\":3}}", MICA_DATA, "shard of 'a'");
    with_index(dir, "{\"weight_map\":{\"a\":\"m1.safetensors\",\"b\":\"m1.safetensors\"}}", MICA_DATA, "tensor 'b'");
    with_index(dir, "{\"weight_map\":{\"a\":\"m2.safetensors\",\"b\":\"m1.safetensors\"}}", MICA_DATA,
               "tensor 'a' is not in m2.safetensors but in m1");
    write_shard(dir, "m3.safetensors", 4, "a", "c");
    with_index(dir, "{\"weight_map\":{\"a\":\"m1.safetensors\",\"c\":\"m3.safetensors\"}}", MICA_DATA,
               "m1.safetensors and in ");

    /* The sum of the tensors, or of whole files, but nothing else. */
    with_index(dir,
               "{\"metadata\":{\"total_size\":48},\"weight_map\":{\"a\":\"m1.safetensors\",\"b\":\"m2.safetensors\"}}",
               MICA_OK, "");
    with_index(dir,
               "{\"metadata\":{\"total_size\":47},\"weight_map\":{\"a\":\"m1.safetensors\",\"b\":\"m2.safetensors\"}}",
               MICA_DATA, "total_size is 47");
    with_index(
        dir, "{\"metadata\":{\"total_size\":4800},\"weight_map\":{\"a\":\"m1.safetensors\",\"b\":\"m2.safetensors\"}}",
        MICA_DATA, "m1.safetensors ... m2.safetensors take 48 bytes");

    with_index(dir, "{\"weight_map\":{\"a\":\"m1.safetensors\"", MICA_DATA, INDEX);
    with_index(dir, "[]", MICA_DATA, "weight_map");
    with_index(dir, "{}", MICA_DATA, "weight_map");
    with_index(dir, "{\"weight_map\":{\"a\":\"m1.safetensors\",\"a\":\"m2.safetensors\"}}", MICA_DATA, "duplicate");
    char deep[1000];
    memset(deep, '[', sizeof deep);
    deep[sizeof deep - 1] = 0;
    with_index(dir, deep, MICA_LIMIT, "deep");
    temp_dir_remove(dir);
}

/* Row 27: a million entries in linear time. */
static void large_index(void **state)
{
    (void)state;
    enum { N = 1000000 };
    char *dir = temp_dir();
    write_shard(dir, "m1.safetensors", 4, "t0", NULL);
    mica__buf b = {0};
    mica__buf_append_z(&b, "{\"weight_map\":{");
    for (int i = 0; i < N; i++) mica__buf_printf(&b, "%s\"t%d\":\"m1.safetensors\"", i ? "," : "", i);
    mica__buf_append_z(&b, "}}");
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    with_index(dir, b.p, MICA_DATA, "tensor 't1'");
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%d entries: %.2f s\n", N,
           (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) * 1e-9);
    mica__buf_release(&b);
    temp_dir_remove(dir);
}

static void link_to(const char *target, const char *dir, const char *name)
{
    char *path = mica__path_join(dir, name);
    assert_int_equal(symlink(target, path), 0);
    mica__free(path);
}

/* A snapshot of the Hugging Face cache is links into blobs/; links elsewhere are refused for shards that an index names. */
static void links(void **state)
{
    (void)state;
    char *root = temp_dir();
    char blobs[600], snapshot[600], outside[600];
    snprintf(blobs, sizeof blobs, "%s/blobs", root);
    snprintf(outside, sizeof outside, "%s/outside", root);
    snprintf(snapshot, sizeof snapshot, "%s/snapshots", root);
    assert_int_equal(mkdir(blobs, 0700) | mkdir(outside, 0700) | mkdir(snapshot, 0700), 0);
    strcat(snapshot, "/0123abc");
    assert_int_equal(mkdir(snapshot, 0700), 0);
    write_shard(blobs, "e3b0", 4, "a", NULL);
    write_shard(outside, "e3b0", 4, "a", NULL);
    const char *index = "{\"weight_map\":{\"a\":\"m1.safetensors\"}}";
    link_to("../../blobs/e3b0", snapshot, "m1.safetensors");
    with_index(snapshot, index, MICA_OK, "");
    link_to("../../blobs/e3b0", snapshot, "model.safetensors");
    mica__checkpoint_free(open_as(snapshot, MICA_OK, ""));

    char path[700];
    snprintf(path, sizeof path, "%s/model.safetensors", snapshot);
    unlink(path);
    snprintf(path, sizeof path, "%s/m1.safetensors", snapshot);
    unlink(path);
    link_to("../../outside/e3b0", snapshot, "m1.safetensors");
    with_index(snapshot, index, MICA_DATA, "unsafe shard name 'm1.safetensors'");
    unlink(path);
    link_to("missing", snapshot, "m1.safetensors");
    with_index(snapshot, index, MICA_NOT_FOUND, "m1.safetensors");
    unlink(path);
    write_shard(snapshot, "m2.safetensors", 4, "a", NULL);
    link_to("m2.safetensors", snapshot, "m1.safetensors");
    with_index(snapshot, index, MICA_OK, "");
    temp_dir_remove(root);
}

/* Row 20: what is no regular file is refused at once. */
static void special_files(void **state)
{
    (void)state;
    char *dir = temp_dir();
    char path[600];
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    open_as(dir, MICA_DATA, "regular file");
    unlink(path);
    assert_int_equal(symlink("/dev/zero", path), 0);
    open_as(dir, MICA_DATA, "regular file");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    open_as(dir, MICA_DATA, "regular file");
    rmdir(path);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    if (ftruncate(fd, (off_t)10 << 40) == 0) open_as(dir, MICA_DATA, "model.safetensors");
    close(fd);
    if (geteuid() != 0) {
        chmod(path, 0);
        open_as(dir, MICA_ACCESS, "model.safetensors");
    }
    temp_dir_remove(dir);
    open_as("/dev/zero", MICA_DATA, "regular file");
}

/* cmocka catches SIGBUS for itself during every test; main() saved what the library had installed before. */
static struct sigaction library_handler;

/* Row 21: the file becomes shorter while it is mapped. */
static void truncated_meanwhile(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    char *dir = temp_dir(), *path = mica__path_join(dir, "model.safetensors");
    float *data = calloc(N, sizeof *data);
    const mica__safetensors_item item = {"a", MICA_DTYPE_F32, 1, (int64_t[]){N}, data};
    mica_error err;
    assert_int_equal(mica__safetensors_write(path, &item, 1, &err), MICA_OK);
    mica__checkpoint *c = open_as(dir, MICA_OK, "");
    assert_int_equal(mica__checkpoint_check(c, &err), MICA_OK);
    assert_int_equal(truncate(path, 8192), 0);
    assert_int_equal(sigaction(SIGBUS, &library_handler, NULL), 0);
    assert_int_equal(mica__tensor_read_f32(mica__checkpoint_tensor_at(c, 0), data, &err), MICA_OK);
    assert_failure("check", mica__checkpoint_check(c, &err), MICA_IO, &err, "model.safetensors");
    mica__checkpoint_free(c);
    free(data);
    mica__free(path);
    temp_dir_remove(dir);
}

static mica_status attempt(void *context)
{
    mica__checkpoint *c;
    mica__str text;
    MICA_TRY(mica__checkpoint_open(&c, context, NULL, NULL));
    mica_status status = mica__checkpoint_text(c, "config.json", &text, NULL);
    if (status == MICA_OK && mica__checkpoint_text(c, "absent.json", &text, NULL) == MICA_MEMORY) status = MICA_MEMORY;
    mica__checkpoint_free(c);
    return status;
}

static void short_of_memory(void **state)
{
    (void)state;
    char *dir = temp_dir();
    write_file(dir, "config.json", "{}", 2);
    write_shard(dir, "model-1.safetensors", 4, "a", NULL);
    write_shard(dir, "model-2.safetensors", 4, "b", "c");
    assert_true(failing_allocator_sweep(attempt, dir) > 10);
    const char *index = "{\"weight_map\":{\"a\":\"model-1.safetensors\",\"b\":\"model-2.safetensors\"}}";
    write_file(dir, INDEX, index, strlen(index));
    assert_true(failing_allocator_sweep(attempt, dir) > 10);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_file_wins),
        cmocka_unit_test(without_weights),
        cmocka_unit_test(every_file_without_index),
        cmocka_unit_test(indexes),
        cmocka_unit_test(large_index),
        cmocka_unit_test(links),
        cmocka_unit_test(special_files),
        cmocka_unit_test(truncated_meanwhile),
        cmocka_unit_test(short_of_memory),
    };
    mica__mapping m;
    if (mica__mapping_open(&m, "/proc/self/exe", NULL) != MICA_OK) return 1;
    sigaction(SIGBUS, NULL, &library_handler);
    mica__mapping_release(&m);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
