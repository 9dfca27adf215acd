/* The reference checkpoints open and list their tensors; texts are read once and kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/checkpoint.h"
#include "formats_test.h"
#include "failing_allocator.h"

#include <math.h>

static mica__checkpoint *open_ok(const char *path)
{
    mica_error err;
    mica__checkpoint *c = NULL;
    mica_status status = mica__checkpoint_open(&c, path, NULL, &err);
    if (status != MICA_OK) fail_msg("%s", err.message);
    return c;
}

static void open_references(void **state)
{
    (void)state;
    char *root = shared_path("reference/models");
    if (!root) skip();
    DIR *dir = opendir(root);
    int n = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.') continue;
        char *path = mica__path_join(root, e->d_name);
        mica__checkpoint *c = open_ok(path);
        assert_string_equal(mica__checkpoint_format(c), "safetensors");
        assert_true(mica__checkpoint_n_tensors(c) > 2);
        for (size_t i = 0; i < mica__checkpoint_n_tensors(c); i++) {
            const mica__tensor_view *v = mica__checkpoint_tensor_at(c, i);
            assert_ptr_equal(mica__checkpoint_tensor(c, v->name), v);
            assert_int_equal(v->storage, MICA__STORAGE_PLAIN);
        }
        mica_error err;
        mica__str text;
        assert_int_equal(mica__checkpoint_text(c, "config.json", &text, &err), MICA_OK);
        assert_true(text.n > 10);
        mica__checkpoint_free(c);
        mica__free(path);
        n++;
    }
    closedir(dir);
    mica__free(root);
    printf("%d checkpoints opened\n", n);
    assert_true(n > 80);
}

/* The same weights as one file of float32, one of float16, and in four shards of bfloat16. */
static void compare_formats(void **state)
{
    (void)state;
    static const char *const names[] = {"reference/formats/safetensors-f32", "reference/formats/safetensors-f16",
                                        "reference/formats/safetensors-sharded"};
    mica__checkpoint *c[3];
    for (int i = 0; i < 3; i++) {
        char *path = shared_path(names[i]);
        if (!path) skip();
        c[i] = open_ok(path);
        mica__free(path);
    }
    size_t n = mica__checkpoint_n_tensors(c[0]);
    assert_true(n > 10);
    mica_error err;
    for (size_t t = 0; t < n; t++) {
        const mica__tensor_view *v = mica__checkpoint_tensor_at(c[0], t);
        size_t n_elements = v->n_bytes / 4;
        float *a = malloc(v->n_bytes), *b = malloc(v->n_bytes);
        assert_int_equal(mica__tensor_read_f32(v, a, &err), MICA_OK);
        for (int i = 1; i < 3; i++) {
            const mica__tensor_view *other = mica__checkpoint_tensor(c[i], v->name);
            assert_non_null(other);
            assert_int_equal(mica__tensor_read_f32(other, b, &err), MICA_OK);
            for (size_t k = 0; k < n_elements; k++)
                if (!(fabsf(a[k] - b[k]) <= fabsf(a[k]) / 256 + 1e-6f))
                    fail_msg("%s[%zu]: %g and %g", v->file_name.p, k, (double)a[k], (double)b[k]);
        }
        free(a);
        free(b);
    }
    for (int i = 0; i < 3; i++) mica__checkpoint_free(c[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_references),
        cmocka_unit_test(compare_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
