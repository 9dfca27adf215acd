/* Tests of chat templates: the reference renderings, choosing a template, continuing a message, threads, lack of memory.
 *
 * The renderings of real templates were made by Transformers with the real Jinja; those in tests/data/templates are always
 * compared, the whole set where MICA_SHARED leads to it. */
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "failing_allocator.h"
#include "text/template_helpers.h"

/* ---- reference renderings ---- */

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
        char where[700]; /* a path and a name */
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

static void test_committed_references(void **state)
{
    size_t rows = 0;
    (void)state;
    assert_true(check_folder(MICA_TEST_DATA "/templates", &rows));
    assert_int_equal(rows, 6 * 19);
}

/* ---- choosing and continuing ---- */

static void test_named_templates(void **state)
{
    const mica__template_source sources[] = {{MICA_STR("default"), MICA_STR("D{{ bos_token }}")},
                                             {MICA_STR("tool_use"), MICA_STR("T")},
                                             {MICA_STR("rag"), MICA_STR("{% if %}")}};
    mica_chat_template *t = NULL;
    mica_text out = {0};
    mica_error err = {0};
    (void)state;
    assert_int_equal(mica__chat_template_create_named(&t, sources, 3, "{\"bos_token\": \"<s>\"}", &err), MICA_OK);
    assert_int_equal(render(t, "{\"messages\": []}", NULL, &out, &err), MICA_OK);
    assert_int_equal(render(t, "{\"messages\": [], \"tools\": []}", NULL, &out, &err), MICA_OK);
    assert_int_equal(render(t, "{\"messages\": [], \"tools\": null}", NULL, &out, &err), MICA_OK);
    assert_int_equal(
        render(t, "{\"messages\": [], \"tools\": []}", &(mica_chat_template_options){.name = "default"}, &out, &err),
        MICA_OK);
    assert_string_equal(out.data, "D<s>TD<s>D<s>");
    assert_int_equal(render(t, "{\"messages\": []}", &(mica_chat_template_options){.name = "rag"}, &out, &err),
                     MICA_DATA);
    assert_non_null(strstr(err.message, "line 1"));
    assert_int_equal(render(t, "{\"messages\": []}", &(mica_chat_template_options){.name = "nope"}, &out, &err),
                     MICA_NOT_FOUND);
    mica_chat_template_free(t);
    assert_int_equal(mica__chat_template_create_named(&t, sources + 1, 2, NULL, &err), MICA_OK);
    assert_int_equal(render(t, "{\"messages\": []}", NULL, &out, &err), MICA_INVALID);
    mica_chat_template_free(t);
    assert_int_equal(mica__chat_template_create_named(&t, sources, 0, NULL, &err), MICA_NOT_FOUND);
    mica_text_release(&out);
}

static void test_continue_final_message(void **state)
{
    static const char source[] = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}";
    static const char trimmed[] = "{% for m in messages %}<{{ m.content | trim }}> {% endfor %}";
    static const char parts[] = "{% for m in messages %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endfor %}";
    (void)state;
    check_text(source, "{\"messages\": [{\"role\": \"a\", \"content\": \"Hi \"}], \"continue_final_message\": true}",
               "<a>Hi ");
    check_text(trimmed, "{\"messages\": [{\"role\": \"a\", \"content\": \"Hi \"}], \"continue_final_message\": true}",
               "<Hi");
    check_text(parts,
               "{\"messages\": [{\"content\": [{\"text\": \"one\"}, {\"text\": \"two\"}, {\"image\": 1}]}], "
               "\"continue_final_message\": \"content\"}",
               "[one][two");
    check_text("{{ messages[0].thinking }}!",
               "{\"messages\": [{\"thinking\": \"so\"}], \"continue_final_message\": \"thinking\"}", "so");
    check_text(source, "{\"messages\": [{\"role\": \"a\", \"content\": \"Hi\"}], \"continue_final_message\": false}",
               "<a>Hi</>");
    check_error(source, "{\"messages\": [{\"role\": \"a\", \"content\": null}], \"continue_final_message\": true}",
                MICA_INVALID, "no \"content\"");
    check_error(source, "{\"messages\": [{\"role\": \"a\", \"other\": \"x\"}], \"continue_final_message\": \"other\"}",
                MICA_INVALID, "does not use");
    check_error(source, "{\"messages\": [], \"continue_final_message\": true}", MICA_INVALID, "no \"content\"");
    check_error("content", "{\"messages\": [{\"content\": \"Hi\"}], \"continue_final_message\": true}", MICA_INVALID,
                "does not appear");
    check_error(
        source,
        "{\"messages\": [{\"content\": \"Hi\"}], \"continue_final_message\": true, \"add_generation_prompt\": true}",
        MICA_INVALID, "together");
}

/* Nested ones, ones in loops, macros and captured text, and characters of several bytes. */
static void test_generated(void **state)
{
    (void)state;
    static const char source[] =
        "{% macro m(x) %}({% generation %}{{ x }}{% endgeneration %}){% endmacro %}"
        "{% for x in messages %}\u00e9:{% generation %}{{ x.content }}{% endgeneration %};{% endfor %}{{ m('ab') }}"
        "{% set y %}{% generation %}c{% endgeneration %}{% endset %}";
    static const char input[] = "{\"messages\": [{\"content\": \"\u00f6\u4f60!\"}, {\"content\": \"\"}]}";
    /* In a macro or a set block it begins where the text outside had come to. */
    static const int32_t want[] = {2, 5, 8, 8, 9, 11, 13, 14};
    mica_chat_template *t = make(source, NULL);
    mica_ids spans = {0};
    mica_text out = {0};
    mica_error err;
    mica_chat_template_options options = {.generated = &spans};
    if (mica_chat_template_render(t, input, sizeof input - 1, &options, &out, &err)) fail_msg("%s", err.message);
    assert_int_equal(spans.n, 8);
    for (size_t i = 0; i < 8; i++) assert_int_equal(spans.data[i], want[i]);
    static const char open[] = "{\"messages\": [{\"content\": \"Hi\"}], \"continue_final_message\": true}";
    assert_int_equal(mica_chat_template_render(t, open, sizeof open - 1, &options, &out, &err), MICA_INVALID);
    assert_int_equal(spans.n, 8);
    mica_ids_release(&spans);
    mica_text_release(&out);
    mica_chat_template_free(t);
}

static void test_wrong_input(void **state)
{
    static const char *const inputs[] = {"",
                                         "[]",
                                         "{}",
                                         "{\"messages\": 5}",
                                         "{\"messages\": [], \"tools\": [1]}",
                                         "{\"messages\": [], \"tools\": {}}",
                                         "{\"messages\": [], \"documents\": [\"x\"]}",
                                         "{\"messages\": []",
                                         "\"x\""};
    mica_chat_template *t = make("x", NULL);
    mica_text out = {0};
    mica_error err;
    (void)state;
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        mica_status status = render(t, inputs[i], NULL, &out, &err);
        assert_true(status == MICA_INVALID || status == MICA_DATA);
        assert_null(out.data);
    }
    assert_int_equal(render(t, "{\"messages\": []}", &(mica_chat_template_options){.now = "yesterday"}, &out, &err),
                     MICA_INVALID);
    assert_int_equal(mica_chat_template_render(t, "{\"messages\": []}", 16, NULL, &out, NULL), MICA_OK);
    mica_text_release(&out);
    mica_chat_template_free(t);
    assert_int_equal(mica_chat_template_create(&t, "x", 1, "[]", &err), MICA_INVALID);
    assert_int_equal(mica_chat_template_create(&t, "x", 1, "{", &err), MICA_DATA);
    assert_int_equal(mica_chat_template_create(&t, "\xff", 1, NULL, &err), MICA_DATA);
    mica_chat_template_free(NULL);
}

/* ---- threads, memory ---- */

typedef struct render_job {
    const mica_chat_template *t;
    const char *input, *expected;
    bool ok;
} render_job;

static void *render_many(void *p)
{
    render_job *job = p;
    job->ok = true;
    for (int i = 0; i < 300 && job->ok; i++) {
        mica_text out = {0};
        mica_error err;
        job->ok = render(job->t, job->input, NULL, &out, &err) == MICA_OK && strcmp(out.data, job->expected) == 0;
        mica_text_release(&out);
    }
    return NULL;
}

#define BUSY_TEMPLATE                                                                                                  \
    "{% macro m(x, y='é') %}{{ x ~ y }}{{ 'ßa'|upper }}{{ caller() if caller else '' }}{% endmacro %}{% set n = "    \
    "namespace(s='', d={}) %}"                                                                                         \
    "{% for m_ in messages if m_.role != 'x' %}{{ loop.index }}{{ m(m_.content) }}{% set n.s = n.s + "                 \
    "m_.content[::-1] %}"                                                                                              \
    "{% set n.d = dict(n.d, **{m_.role: m_}) %}{% endfor %}{{ n.s|trim }}{{ n.d|tojson(indent=1) }}{{ '%5.1f|%s' % "   \
    "(2.5, [1]) }}"                                                                                                    \
    "{% call m('c') %}{{ messages|map(attribute='role')|unique|sort|join(',') }}{% endcall %}{{ strftime_now('%Y "     \
    "%B') }}"                                                                                                          \
    "{{ messages|groupby('role')|list|length }}{{ '{:>4}'.format('é') }}{{ 'a b'|wordwrap(1) }}{{ {'b': 1}|pprint "   \
    "}}{% set q %}z{% endset %}{{ q }}"

#define BUSY_INPUT                                                                                                       \
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Grüße\"}, {\"role\": \"x\"}, {\"role\": \"a\", \"content\": " \
    "\"\\u4e2d \"}]}"

static void test_threads_share_a_template(void **state)
{
    (void)state;
    mica_chat_template *t = make(BUSY_TEMPLATE, NULL);
    mica_text expected = {0};
    mica_error err;
    pthread_t threads[2];
    render_job jobs[2];
    if (render(t, BUSY_INPUT, NULL, &expected, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < 2; i++) {
        jobs[i] = (render_job){t, BUSY_INPUT, expected.data, false};
        assert_int_equal(pthread_create(&threads[i], NULL, render_many, &jobs[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_true(jobs[i].ok);
    }
    mica_text_release(&expected);
    mica_chat_template_free(t);
}

typedef struct one_run {
    const char *template, *special, *input;
} one_run;

static mica_status run_once(void *context)
{
    const one_run *run = context;
    mica_chat_template *t = NULL;
    mica_text out = {0};
    mica_status status = mica_chat_template_create(&t, run->template, strlen(run->template), run->special, NULL);
    if (!status) status = render(t, run->input, NULL, &out, NULL);
    mica_text_release(&out);
    mica_chat_template_free(t);
    return status;
}

/* Every allocation in turn fails: the result is MEMORY, and nothing leaks. */
static void test_lack_of_memory(void **state)
{
    one_run run = {BUSY_TEMPLATE, "{\"bos_token\": {\"content\": \"<s>\"}}", BUSY_INPUT};
    (void)state;
    assert_true(failing_allocator_sweep(run_once, &run) > 20);
    run = (one_run){"{% for m in messages %}{{ m.content }}{% endfor %}", NULL,
                    "{\"messages\": [{\"content\": \"Hi\"}], \"continue_final_message\": true}"};
    assert_true(failing_allocator_sweep(run_once, &run) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_committed_references),
        cmocka_unit_test(test_all_references),
        cmocka_unit_test(test_chats_of_models),
        cmocka_unit_test(test_special_tokens_are_defaults),
        cmocka_unit_test(test_variables_that_are_always_there),
        cmocka_unit_test(test_named_templates),
        cmocka_unit_test(test_continue_final_message),
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_wrong_input),
        cmocka_unit_test(test_threads_share_a_template),
        cmocka_unit_test(test_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
