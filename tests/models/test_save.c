/* Saving through the library: reports, cancelling, notices, a model's own checkpoint, and memory that runs out. The files themselves are
 * compared in tests/cli/test_convert.py. */
#include <mica/mica.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "failing_allocator.h"
#include "models/reference.h"

static char root[64], target[128], source[512];
static mica_error err;

static int setup(void **state)
{
    (void)state;
    strcpy(root, "/tmp/mica-save-XXXXXX");
    if (!mkdtemp(root)) return -1;
    snprintf(target, sizeof target, "%s/saved", root);
    return reference_path(source, "chat-models", "llama-chat") ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

/* True if the folder that all of this happens in holds nothing but, perhaps, the target. */
static bool is_clean(bool has_target)
{
    char path[300];
    struct stat st;
    snprintf(path, sizeof path, "%s/.saved.mica-partial", root);
    return lstat(path, &st) != 0 && (lstat(target, &st) == 0) == has_target;
}

static void test_report(void **state)
{
    (void)state;
    mica_save_report *r = NULL;
    const mica_save_options options = {.quantize = "affine-4-32", .rules = "{\"*.v_proj\": false}"};
    assert_int_equal(mica_convert(source, target, &options, &r, &err), MICA_OK);
    assert_string_equal(r->path, target);
    assert_int_equal(r->n_shards, 1);
    assert_true(r->bits_per_weight > 4.5 && r->bits_per_weight < 8);
    uint64_t n = 0, bytes = 0;
    bool has_v = false;
    for (int i = 0; i < r->n_kinds; i++) {
        const mica_save_kind *k = &r->kinds[i];
        n += k->n_parameters;
        bytes += k->n_bytes;
        if (!strcmp(k->name, "v_proj")) {
            has_v = true;
            assert_true(k->largest_error == 0 && k->relative_error == 0);
        } else {
            assert_string_equal(k->form, "affine-4-32");
            assert_true(k->largest_error >= k->mean_error && k->mean_error > 0);
            assert_true(k->relative_error > 0.01 && k->relative_error < 0.3);
        }
    }
    assert_true(has_v && n < r->n_parameters && bytes < r->tensor_bytes);
    mica_save_report_free(r);
    mica_save_report_free(NULL);
    assert_true(is_clean(true));

    mica_model *model = NULL;
    const mica_model_options load = {.config_only = true};
    assert_int_equal(mica_model_load(&model, target, &load, &err), MICA_OK);
    assert_true(mica_model_get_info(model)->has_tokenizer);
    assert_int_equal(mica_save_pretrained(model, target, NULL, NULL, &err), MICA_CANNOT_CREATE);
    const mica_save_options again = {.overwrite = true};
    assert_int_equal(mica_save_pretrained(model, target, &again, NULL, &err), MICA_OK); /* its own folder */
    mica_model_free(model);
}

/* A model that was quantized while it was loaded is saved as converting its checkpoint would. */
static void test_quantized_on_load(void **state)
{
    (void)state;
    mica_model *model = NULL;
    mica__buf first = {0}, second = {0};
    char path[200];
    const mica_model_options load = {.quantize = "affine-4-32", .quantize_rules = "{\"*.v_proj\": \"affine-8-32\"}"};
    assert_int_equal(mica_model_load(&model, source, &load, &err), MICA_OK);
    assert_int_equal(mica_save_pretrained(model, target, NULL, NULL, &err), MICA_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", target);
    assert_int_equal(mica__file_read(&first, path, 1 << 30, &err), MICA_OK);
    mica_save_options options = {.quantize = load.quantize, .rules = load.quantize_rules, .overwrite = true};
    assert_int_equal(mica_convert(source, target, &options, NULL, &err), MICA_OK);
    assert_int_equal(mica__file_read(&second, path, 1 << 30, &err), MICA_OK);
    assert_int_equal(first.n, second.n);
    assert_memory_equal(first.p, second.p, first.n);
    options = (mica_save_options){.format = MICA_SAVE_TRANSFORMERS, .overwrite = true};
    assert_int_equal(mica_save_pretrained(model, target, &options, NULL, &err), MICA_OK);
    mica__buf_release(&first);
    mica__buf_release(&second);
    mica_model_free(model);
}

typedef struct watcher {
    int n, stop_at;
    uint64_t last, total;
} watcher;

static bool watch(void *context, const char *stage, uint64_t done, uint64_t total)
{
    watcher *w = context;
    assert_string_equal(stage, "convert");
    assert_true(done >= w->last && done <= total);
    w->last = done;
    w->total = total;
    return ++w->n != w->stop_at;
}

static void test_progress(void **state)
{
    (void)state;
    watcher w = {0};
    mica_save_options options = {.n_threads = 1, .progress = {watch, &w}};
    assert_int_equal(mica_convert(source, target, &options, NULL, &err), MICA_OK);
    assert_true(w.n > 1 && w.last == w.total);
    options.overwrite = true;
    w = (watcher){.stop_at = 2};
    assert_int_equal(mica_convert(source, target, &options, NULL, &err), MICA_CANCELLED);
    assert_int_equal(err.status, MICA_CANCELLED);
    assert_false(is_clean(true));
}

/* ---- going on after a call that did not finish ---------------------------------------------------------------------------- */

static void copy_source(void)
{
    char command[1200];
    snprintf(command, sizeof command, "cp -r '%s' '%s/copy' && chmod -R u+w '%s/copy'", source, root, root);
    assert_int_equal(system(command), 0);
    snprintf(source, sizeof source, "%s/copy", root);
}

static void read_weights(mica__buf *out)
{
    char path[200];
    mica__buf_clear(out);
    snprintf(path, sizeof path, "%s/model.safetensors", target);
    assert_int_equal(mica__file_read(out, path, 1 << 30, &err), MICA_OK);
}

/* Converts anew into *out. */
static void whole(mica_save_options options, mica__buf *out)
{
    options.overwrite = true;
    assert_int_equal(mica_convert(source, target, &options, NULL, &err), MICA_OK);
    read_weights(out);
    char command[200];
    snprintf(command, sizeof command, "rm -rf '%s'", target);
    assert_int_equal(system(command), 0);
}

/* Stops after some pieces. */
static void begin(mica_save_options options)
{
    watcher w = {.stop_at = 12};
    options.n_threads = 1;
    options.progress = (mica_progress){watch, &w};
    assert_int_equal(mica_convert(source, target, &options, NULL, &err), MICA_CANCELLED);
    assert_false(is_clean(false));
}

/* How much of the source was taken over; the weights are `right` in any case, and nothing is left over. */
static uint64_t finish(const mica_save_options *options, const mica__buf *right)
{
    mica_save_report *r = NULL;
    mica__buf found = {0};
    assert_int_equal(mica_convert(source, target, options, &r, &err), MICA_OK);
    const uint64_t resumed = r->resumed_bytes;
    assert_true(resumed < r->source_bytes);
    mica_save_report_free(r);
    read_weights(&found);
    assert_int_equal(found.n, right->n);
    assert_memory_equal(found.p, right->p, right->n);
    mica__buf_release(&found);
    assert_true(is_clean(true));
    char command[300], path[200];
    snprintf(path, sizeof path, "%s/.mica-record", target);
    assert_int_not_equal(access(path, F_OK), 0);
    snprintf(command, sizeof command, "rm -rf '%s'", target);
    assert_int_equal(system(command), 0);
    return resumed;
}

static void change_byte(const char *name, size_t back, bool keep_time)
{
    char path[600], command[1400];
    uint8_t byte;
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", root, name);
    snprintf(command, sizeof command, "touch -r '%s' '%s/time'", path, root);
    if (keep_time) assert_int_equal(system(command), 0);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &st), 0);
    fseek(f, (long)st.st_size - (long)back, SEEK_SET);
    assert_int_equal(fread(&byte, 1, 1, f), 1);
    byte ^= 0x15;
    fseek(f, (long)st.st_size - (long)back, SEEK_SET);
    assert_int_equal(fwrite(&byte, 1, 1, f), 1);
    fclose(f);
    snprintf(command, sizeof command, "touch -r '%s/time' '%s'; rm '%s/time'", root, path, root);
    if (keep_time) assert_int_equal(system(command), 0);
}

static void test_going_on(void **state)
{
    (void)state;
    mica__buf right = {0}, other = {0};
    const mica_save_options options = {.quantize = "affine-4-32"},
                            threads = {.quantize = "affine-4-32", .n_threads = 2};
    copy_source();
    whole(options, &right);
    begin(options);
    const uint64_t resumed = finish(&threads, &right);
    assert_true(resumed > 0);
    begin(options);
    begin(options); /* takes the first twelve over, and stops again */
    assert_true(finish(&options, &right) >= resumed);
    /* Another conversion, and then again the first. */
    const mica_save_options others[] = {{.quantize = "affine-8-32"},
                                        {.quantize = "affine-4-32", .quantizer = "search"},
                                        {.quantize = "affine-4-32", .rules = "{\"*.v_proj\": \"8\"}"},
                                        {.quantize = "affine-4-32", .dtype = "float32"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        whole(others[i], &other);
        begin(options);
        assert_int_equal(finish(&others[i], &other), 0);
    }
    mica__buf_release(&right);
    mica__buf_release(&other);
}

static void test_going_on_from_what_is_not_right(void **state)
{
    (void)state;
    mica__buf right = {0};
    const mica_save_options options = {.quantize = "affine-4-32"};
    copy_source();
    whole(options, &right);
    begin(options);
    const uint64_t resumed = finish(&options, &right);
    /* Written pieces that are not what was written. */
    begin(options);
    char command[300];
    snprintf(command, sizeof command, "head -c %zu /dev/zero > '%s/.saved.mica-partial/model.safetensors'", right.n + 5,
             root);
    assert_int_equal(system(command), 0);
    assert_int_equal(finish(&options, &right), 0);
    /* A damaged record costs what it cannot say. */
    begin(options);
    change_byte(".saved.mica-partial/.mica-record", 30, false);
    const uint64_t less = finish(&options, &right);
    assert_true(less < resumed);
    /* The source is another one, though its time says it is not. */
    begin(options);
    change_byte("copy/model.safetensors", 30, true);
    whole(options, &right); /* removes what was begun, too */
    change_byte("copy/model.safetensors", 30, false);
    begin(options);
    change_byte("copy/model.safetensors", 30, true);
    assert_int_equal(finish(&options, &right), 0);
    mica__buf_release(&right);
}

/* What lies beside the weights is as it is at the end, not as it was. */
static void test_going_on_with_other_texts(void **state)
{
    (void)state;
    char path[600], command[1400];
    mica__buf right = {0};
    const mica_save_options options = {.quantize = "affine-4-32"};
    copy_source();
    whole(options, &right);
    begin(options);
    snprintf(command, sizeof command,
             "echo old > '%s/.saved.mica-partial/LICENSE'; mkdir '%s/.saved.mica-partial/additional_chat_templates'",
             root, root);
    assert_int_equal(system(command), 0);
    mica_save_report *r = NULL;
    assert_int_equal(mica_convert(source, target, &options, &r, &err), MICA_OK);
    assert_true(r->resumed_bytes > 0);
    mica_save_report_free(r);
    snprintf(path, sizeof path, "%s/LICENSE", target);
    assert_int_not_equal(access(path, F_OK), 0);
    mica__buf_release(&right);
}

static void test_refused(void **state)
{
    (void)state;
    const mica_save_options bad[] = {
        {.quantize = "9"},
        {.quantize = "4", .dequantize = true},
        {.quantize = "4", .format = MICA_SAVE_TRANSFORMERS},
        {.format = (mica_save_format)7},
        {.quantizer = "search"},
        {.quantize = "4", .quantizer = "magic"},
        {.rules = "{}"},
        {.quantize = "4", .rules = "{"},
        {.dtype = "int4"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mica_save_report *r = NULL;
        assert_int_equal(mica_convert(source, target, &bad[i], &r, &err), MICA_INVALID);
        assert_null(r);
        assert_true(is_clean(false));
    }
    assert_int_equal(mica_convert(root, target, NULL, NULL, &err), MICA_NOT_FOUND);
    assert_int_equal(mica_convert(source, "", NULL, NULL, &err), MICA_INVALID);
}

/* A file that is no longer what it was when it was mapped. */
static void test_elements_that_are_not_finite(void **state)
{
    (void)state;
    char command[1200], path[200];
    snprintf(command, sizeof command, "cp -r '%s' '%s/copy' && chmod -R u+w '%s/copy'", source, root, root);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/copy/model.safetensors", root);
    mica__buf text = {0};
    assert_int_equal(mica__file_read(&text, path, 1 << 30, &err), MICA_OK);
    uint64_t header;
    memcpy(&header, text.p, 8);
    memset(text.p + 8 + header, 0xff, text.n - 8 - header); /* NaN in every type */
    assert_int_equal(mica__file_write(path, text.p, text.n, &err), MICA_OK);
    mica__buf_release(&text);
    snprintf(path, sizeof path, "%s/copy", root);
    const mica_save_options options = {.quantize = "affine-4-32"};
    assert_int_equal(mica_convert(path, target, &options, NULL, &err), MICA_DATA);
    assert_non_null(strstr(err.message, "not finite"));
    assert_true(is_clean(false));
}

static mica_status attempt(void *context)
{
    mica_save_options options = {.quantize = "affine-4-32",
                                 .rules = "{\"*.v_proj\": false}",
                                 .overwrite = true,
                                 .n_threads = 1,
                                 .base_model = "a/b"};
    if (context) options = (mica_save_options){.format = MICA_SAVE_TRANSFORMERS, .overwrite = true, .n_threads = 1};
    mica_error ignored;
    mica_save_report *r = NULL;
    mica_status status = mica_convert(source, target, &options, &r, &ignored);
    mica_save_report_free(r);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    char format[] = "transformers";
    assert_true(reference_path(source, "models", "llama")); /* without a tokenizer: fewer allocations */
    failing_allocator_sweep(attempt, NULL);
    failing_allocator_sweep(attempt, format);
    assert_true(is_clean(true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_report, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quantized_on_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_progress, setup, teardown),
        cmocka_unit_test_setup_teardown(test_going_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_going_on_from_what_is_not_right, setup, teardown),
        cmocka_unit_test_setup_teardown(test_going_on_with_other_texts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_elements_that_are_not_finite, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
