/* Quantized Hugging Face checkpoints, one small matrix in each layout (the fuzzer's corpus): they are found and read, also when memory runs out at
 * any allocation. What the elements are is compared in tests/cli/test_quantized_formats.py. */
#include "formats/checkpoint.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "failing_allocator.h"

static char root[64];
static size_t n_packed;

/* Opens the checkpoint in `root` and reads all of it. */
static mica_status attempt(void *context)
{
    static float out[1 << 16];
    mica__checkpoint *c = NULL;
    mica_error err;
    mica_status status = mica__checkpoint_open(&c, context, NULL, &err);
    n_packed = 0;
    for (size_t i = 0; status == MICA_OK && i < mica__checkpoint_n_tensors(c); i++) {
        const mica__tensor_view *v = mica__checkpoint_tensor_at(c, i);
        n_packed += v->storage == MICA__STORAGE_PACKED;
        if (v->storage == MICA__STORAGE_PACKED) status = mica__tensor_read_f32(v, out, &err);
    }
    if (status == MICA_DATA) print_error("%s: %s\n", (const char *)context, err.message);
    mica__checkpoint_free(c);
    return status;
}

static void put(const char *name, const char *p, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(mica__file_write(path, p, n, NULL), MICA_OK);
}

/* Seeds are config.json, a zero byte, and a safetensors file; those named bad-* are refused. */
static void test_out_of_memory(void **state)
{
    (void)state;
    static const char folder[] = MICA_TEST_DATA "/../../fuzz/corpus/packed";
    DIR *dir = opendir(folder);
    int n = 0;
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.') continue;
        mica__buf seed = {0};
        char path[600], command[100];
        snprintf(path, sizeof path, "%s/%.200s", folder, e->d_name);
        assert_int_equal(mica__file_read(&seed, path, 1 << 20, NULL), MICA_OK);
        strcpy(root, "/tmp/mica-packed-XXXXXX");
        assert_non_null(mkdtemp(root));
        const char *end = memchr(seed.p, 0, seed.n);
        assert_non_null(end);
        put("config.json", seed.p, (size_t)(end - seed.p));
        put("model.safetensors", end + 1, seed.n - (size_t)(end - seed.p) - 1);
        const bool bad = strncmp(e->d_name, "bad-", 4) == 0;
        if (bad)
            assert_int_equal(attempt(root), MICA_DATA);
        else
            failing_allocator_sweep(attempt, root);
        if (!bad && n_packed != 1) fail_msg("%s: %zu quantized matrices found", e->d_name, n_packed);
        mica__buf_release(&seed);
        snprintf(command, sizeof command, "rm -rf '%s'", root);
        assert_int_equal(system(command), 0);
        n++;
    }
    closedir(dir);
    assert_true(n >= 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
