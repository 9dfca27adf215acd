/* Tests of chat templates: the reference renderings, choosing a template, continuing a message, limits, threads, lack of memory.
 *
 * The renderings of real templates were made by Transformers with the real Jinja; those in tests/data/templates are always
 * compared, the whole set where MICA_SHARED leads to it. */
#include "text/chat_template.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define NOW "2026-01-02T03:04:05"

static const mica_chat_template_options fixed_clock = {.now = NOW};

static mica_chat_template *make(const char *source, const char *special)
{
    mica_chat_template *t = NULL;
    mica_error err = {0};
    if (mica_chat_template_create(&t, source, strlen(source), special, &err)) fail_msg("%s: %s", source, err.message);
    return t;
}

static mica_status render(const mica_chat_template *t, const char *input, const mica_chat_template_options *o,
                          mica_text *out, mica_error *err)
{
    return mica_chat_template_render(t, input, strlen(input), o ? o : &fixed_clock, out, err);
}

static void check_text(const char *source, const char *input, const char *expected)
{
    mica_chat_template *t = make(source, NULL);
    mica_text out = {0};
    mica_error err = {0};
    if (render(t, input, NULL, &out, &err)) fail_msg("%s: %s", source, err.message);
    assert_string_equal(out.data, expected);
    mica_text_release(&out);
    mica_chat_template_free(t);
}

/* Parses or renders `source` to a failure with this status, and a message that contains `part`. */
static void check_error(const char *source, const char *input, mica_status status, const char *part)
{
    mica_chat_template *t = NULL;
    mica_text out = {0};
    mica_error err = {0};
    mica_status got = mica_chat_template_create(&t, source, strlen(source), NULL, &err);
    if (!got) got = render(t, input, NULL, &out, &err);
    if (got != status || !strstr(err.message, part))
        fail_msg("%.80s: %s '%s', expected %s '%s'", source, mica_status_name(got), err.message,
                 mica_status_name(status), part);
    assert_null(out.data);
    mica_chat_template_free(t);
}

/* ---- reference renderings ---- */

typedef struct document {
    mica__buf text;
    mica__json json;
} document;

static bool read_document(document *d, const char *path)
{
    mica_error err = {0};
    *d = (document){0};
    if (!mica__path_is_file(path)) return false;
    if (mica__file_read(&d->text, path, 256u << 20, &err) ||
        mica__json_parse(&d->json, d->text.p, d->text.n, NULL, &err))
        fail_msg("%s: %s", path, err.message);
    return true;
}

static void release_document(document *d)
{
    mica__json_release(&d->json);
    mica__buf_release(&d->text);
}

static char *to_json(mica__jval v)
{
    mica__buf b = {0};
    mica__json_write(&b, v);
    return mica__buf_take(&b);
}

/* One row: {"text": ...} or {"error": "TemplateError: message"}. The template's own messages must be equal. */
static void check_row(const mica_chat_template *t, const char *name, mica__jval input, mica__jval row)
{
    static const char own[] = "TemplateError: ";
    mica__str text = {0}, error = {0};
    char *json = to_json(input);
    mica_text out = {0};
    mica_error err = {0};
    mica_status status = render(t, json, NULL, &out, &err);
    if (mica__json_string(mica__json_get(row, "text"), &text)) {
        if (status) fail_msg("%s: %s", name, err.message);
        if (!mica__str_eq(text, (mica__str){out.data, out.n}))
            fail_msg("%s:\n--- expected\n%.*s\n--- got\n%s", name, (int)text.n, text.p, out.data);
    } else {
        assert_true(mica__json_string(mica__json_get(row, "error"), &error));
        if (!status) fail_msg("%s: expected the error %.*s, got\n%s", name, (int)error.n, error.p, out.data);
        if (mica__str_starts(error, own) &&
            (status != MICA_INVALID ||
             !mica__str_is((mica__str){error.p + strlen(own), error.n - strlen(own)}, err.message)))
            fail_msg("%s: expected the error %.*s, got %s", name, (int)error.n, error.p, err.message);
    }
    mica_text_release(&out);
    mica__free(json);
}

static size_t check_file(const char *path, mica__jval cases, const char *special)
{
    document d;
    mica__str source = {0};
    mica_chat_template *t = NULL;
    mica_error err = {0};
    size_t rows = 0;
    assert_true(read_document(&d, path));
    mica__jval root = mica__json_root(&d.json), all = mica__json_get(root, "rows");
    assert_true(mica__json_string(mica__json_get(root, "template"), &source));
    if (mica_chat_template_create(&t, source.p, source.n, special, &err)) fail_msg("%s: %s", path, err.message);
    for (mica__jval m = mica__json_first(all); m; m = mica__json_next(all, m), rows++) {
        mica__str name = mica__json_key(m);
        char where[600];
        snprintf(where, sizeof where, "%s, case %.*s", path, (int)name.n, name.p);
        check_row(t, where, mica__json_get_str(cases, name), mica__json_value(m));
    }
    mica_chat_template_free(t);
    release_document(&d);
    return rows;
}

/* Every template file of a folder against its cases.json; false if there is no such folder. */
static bool check_folder(const char *folder, size_t *rows)
{
    char path[600];
    document cases;
    snprintf(path, sizeof path, "%s/cases.json", folder);
    if (!read_document(&cases, path)) return false;
    char *special = to_json(mica__json_get(mica__json_root(&cases.json), "special_tokens"));
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (!mica__str_ends(mica__str_from(e->d_name), ".json") || strcmp(e->d_name, "cases.json") == 0 ||
            strcmp(e->d_name, "snippets.json") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        *rows += check_file(path, mica__json_get(mica__json_root(&cases.json), "cases"), special);
    }
    closedir(dir);
    mica__free(special);
    release_document(&cases);
    return true;
}

static const char *shared(void)
{
    return getenv("MICA_SHARED") ? getenv("MICA_SHARED") : MICA_TEST_DATA "/../../../shared";
}

static void test_all_references(void **state)
{
    char folder[500];
    size_t rows = 0;
    (void)state;
    snprintf(folder, sizeof folder, "%s/reference/templates", shared());
    if (!check_folder(folder, &rows)) {
        print_message("skipped: no %s\n", folder);
        skip();
    }
    print_message("%zu renderings equal\n", rows);
    assert_true(rows > 1000);
}

static void test_chats_of_models(void **state)
{
    static const char *const models[] = {"llama-chat", "qwen3-chat", "gemma-chat"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char path[600];
        document d, config;
        mica__buf source = {0};
        mica_error err = {0};
        mica_chat_template *t = NULL;
        snprintf(path, sizeof path, "%s/reference/chat-models/%s/reference.json", shared(), models[i]);
        if (!read_document(&d, path)) {
            print_message("skipped: no %s\n", path);
            skip();
        }
        snprintf(path, sizeof path, "%s/reference/chat-models/%s/tokenizer_config.json", shared(), models[i]);
        assert_true(read_document(&config, path));
        snprintf(path, sizeof path, "%s/reference/chat-models/%s/chat_template.jinja", shared(), models[i]);
        assert_int_equal(mica__file_read(&source, path, 1 << 20, &err), MICA_OK);
        char *special = to_json(mica__json_root(&config.json));
        assert_int_equal(mica_chat_template_create(&t, source.p, source.n, special, &err), MICA_OK);
        mica__jval chats = mica__json_get(mica__json_root(&d.json), "chat");
        assert_true(mica__json_count(chats) > 0);
        for (mica__jval c = mica__json_first(chats); c; c = mica__json_next(chats, c)) {
            mica__buf input = {0};
            mica__str prompt = {0};
            mica_text out = {0};
            mica__buf_append_z(&input, "{\"add_generation_prompt\": true, \"messages\": ");
            mica__json_write(&input, mica__json_get(c, "messages"));
            mica__buf_append_z(&input, "}");
            assert_true(mica__json_string(mica__json_get(c, "prompt"), &prompt));
            if (render(t, input.p, NULL, &out, &err)) fail_msg("%s: %s", models[i], err.message);
            assert_int_equal(out.n, prompt.n);
            assert_memory_equal(out.data, prompt.p, prompt.n);
            mica_text_release(&out);
            mica__buf_release(&input);
        }
        mica_chat_template_free(t);
        mica__free(special);
        mica__buf_release(&source);
        release_document(&d);
        release_document(&config);
    }
}

static void test_special_tokens_are_defaults(void **state)
{
    (void)state;
    mica_chat_template *t = make(
        "{{ bos_token }}|{{ eos_token }}|{{ pad_token is defined }}",
        "{\"bos_token\": {\"content\": \"<s>\", \"lstrip\": false}, \"eos_token\": \"</s>\", \"pad_token\": null}");
    mica_text out = {0};
    mica_error err;
    assert_int_equal(render(t, "{\"messages\": [], \"eos_token\": \"!\"}", NULL, &out, &err), MICA_OK);
    assert_string_equal(out.data, "<s>|!|False");
    assert_int_equal(render(t, "{\"messages\": []}", NULL, &out, &err), MICA_OK);
    assert_string_equal(out.data, "<s>|!|False<s>|</s>|False"); /* appended */
    mica_text_release(&out);
    mica_chat_template_free(t);
}

static void test_variables_that_are_always_there(void **state)
{
    (void)state;
    check_text("{{ tools }} {{ documents }} {{ add_generation_prompt }} {{ other is defined }} {{ "
               "continue_final_message is defined }}",
               "{\"messages\": []}", "None None False False False");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_references),
        cmocka_unit_test(test_chats_of_models),
        cmocka_unit_test(test_special_tokens_are_defaults),
        cmocka_unit_test(test_variables_that_are_always_there),
    };
    (void)check_error;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
