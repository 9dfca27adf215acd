/* Tests of the template language: what the real Jinja makes of several hundred snippets (tests/data/templates/snippets.json, made
 * by tests/oracle/make_template_data.py), and what hostile templates are stopped by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "text/template_helpers.h"

/* ---- the snippets ---- */

static void test_snippets(void **state)
{
    document d;
    size_t rows = 0;
    (void)state;
    assert_true(read_document(&d, MICA_TEST_DATA "/templates/snippets.json"));
    mica__jval root = mica__json_root(&d.json), all = mica__json_get(root, "rows");
    mica__buf input = {0};
    mica__buf_append_z(&input, "{\"messages\": [],");
    char *values = to_json(mica__json_get(root, "values"));
    mica__buf_append_z(&input, values + 1);
    mica__free(values);
    for (mica__jval row = mica__json_first(all); row; row = mica__json_next(all, row), rows++) {
        static const char own[] = "TemplateError: ";
        mica__str source = {0}, text = {0}, error = {0};
        mica_chat_template *t = NULL;
        mica_text out = {0};
        mica_error err = {0};
        mica__json_string(mica__json_get(row, "template"), &source);
        mica_status status = mica_chat_template_create(&t, source.p, source.n, NULL, &err);
        if (!status) status = mica_chat_template_render(t, input.p, input.n, &fixed_clock, &out, &err);
        if (mica__json_string(mica__json_get(row, "text"), &text)) {
            if (status) fail_msg("%.*s: %s", (int)source.n, source.p, err.message);
            if (!mica__str_eq(text, (mica__str){out.data, out.n}))
                fail_msg("%.*s:\n--- expected\n%.*s\n--- got\n%s", (int)source.n, source.p, (int)text.n, text.p,
                         out.data);
        } else {
            assert_true(mica__json_string(mica__json_get(row, "error"), &error));
            if (!status)
                fail_msg("%.*s: expected %.*s, got\n%s", (int)source.n, source.p, (int)error.n, error.p, out.data);
            if (mica__str_starts(error, own)) assert_int_equal(status, MICA_INVALID);
        }
        mica_text_release(&out);
        mica_chat_template_free(t);
    }
    assert_true(rows > 800);
    mica__buf_release(&input);
    release_document(&d);
}

/* ---- hostile templates ---- */

static char *repeated(const char *before, const char *part, size_t times, const char *after)
{
    mica__buf b = {0};
    mica__buf_append_z(&b, before);
    for (size_t i = 0; i < times; i++) mica__buf_append_z(&b, part);
    mica__buf_append_z(&b, after);
    assert_false(b.failed);
    return mica__buf_take(&b);
}

static void check_repeated(const char *before, const char *part, size_t times, const char *after, mica_status status,
                           const char *message)
{
    char *source = repeated(before, part, times, after);
    check_error(source, "{\"messages\": []}", status, message);
    mica__free(source);
}

static void test_steps_are_bounded(void **state)
{
    static const char *const sources[] = {
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(300) %}{% for b in range(300) %}{% for c in range(300) %}{% for d in range(300) %}x{% "
        "endfor %}{% endfor %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
        "{% for a in range(99999) %}{% if range(99999)|list|sort|length %}{% endif %}{% endfor %}",
        "{% set s = 'a' * 1000000 %}{% for a in range(99999) %}{% if s|replace('b', 'c') == s %}{% endif %}{% endfor "
        "%}",
        "{% set s = 'a' * 1000000 %}{% for a in range(99999) %}{% if s.rfind('a' * 1000 ~ 'b') %}{% endif %}{% endfor "
        "%}",
        "{% set l = range(9999)|list %}{% for a in l %}{% if a in l and l == l %}{% endif %}{% endfor %}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        check_error(sources[i], "{\"messages\": []}", MICA_LIMIT, "line 1: more than");
    check_error("{{ range(10**9) }}", "{\"messages\": []}", MICA_LIMIT, "Range too big");
    check_error("{{ range(-9223372036854775807, 9223372036854775807) }}", "{\"messages\": []}", MICA_LIMIT,
                "Range too big");
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    check_error("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{\"messages\": []}", MICA_LIMIT, "deeper than 128");
    check_error("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
                "{\"messages\": []}", MICA_LIMIT, "deeper than 128");
    check_error("{% set n = namespace() %}{% macro a() %}{{ n.b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro "
                "%}{% set n.b = b %}{{ a() }}",
                "{\"messages\": []}", MICA_LIMIT, "deeper than 128");
    check_error("{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}", "{\"messages\": []}", MICA_LIMIT,
                "deeper than 128");
    check_error("{% set n = namespace(l=[]) %}{% for i in range(9999) %}{% set n.l = [n.l] %}{% endfor %}{{ n.l }}",
                "{\"messages\": []}", MICA_LIMIT, "deeper than");
    check_error("{% set n = namespace() %}{% set n.self = [n] %}{{ n }}", "{\"messages\": []}", MICA_LIMIT,
                "deeper than");
    check_error("{% set n = namespace(g=[1]) %}{% for i in range(9999) %}{% set n.g = n.g|map('string') %}{% endfor "
                "%}{{ n.g|list }}",
                "{\"messages\": []}", MICA_LIMIT, "deeper than");
    check_repeated("{{ ", "(", 100000, "", MICA_LIMIT, "deeper than 128");
    check_repeated("{{ ", "[", 100000, "", MICA_LIMIT, "deeper than 128");
    check_repeated("{{ ", "{1:", 100000, "", MICA_LIMIT, "deeper than 128");
    check_repeated("{{ ", "-", 100000, "1 }}", MICA_LIMIT, "deeper than 128");
    check_repeated("{{ ", "not ", 100000, "1 }}", MICA_LIMIT, "deeper than 128");
    check_repeated("{{ ", "1 if 1 else ", 100000, "1 }}", MICA_LIMIT, "deeper than 128");
    check_repeated("", "{% if 1 %}", 100000, "", MICA_LIMIT, "deeper than 128");
    check_repeated("", "{% for x in y %}", 100000, "", MICA_LIMIT, "deeper than 128");
    check_repeated("{{ 1", "|abs", 100000, " }}", MICA_LIMIT, "more than 600 parts");
    check_repeated("{{ 1", " + 1", 100000, " }}", MICA_LIMIT, "more than 600 parts");
    check_repeated("{{ x", ".a", 100000, " }}", MICA_LIMIT, "more than 600 parts");
    check_repeated("{{ x", "()", 100000, " }}", MICA_LIMIT, "more than 600 parts");
    check_repeated("", "{{{{", 250000, "", MICA_LIMIT, "deeper than 128");
}

static void test_memory_is_bounded(void **state)
{
    static const char *const sources[] = {
        "{% set n = namespace(s='x') %}{% for i in range(40) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
        "{{ 'x' * 10**9 }}",
        "{{ [1] * 10**9 }}",
        "{{ 'x' * 9223372036854775807 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '%.1000000000f' % 1 }}",
        "{{ 'x'.center(10**9) }}",
        "{{ 'x'|center(10**9) }}",
        "{{ 'x'.zfill(10**12) }}",
        "{{ 'x'.ljust(10**18) }}",
        "{{ 'a\\nb'|indent(10**9) }}",
        "{{ ('x' * 10**6).replace('', 'y' * 10**6) }}",
        "{{ ('x' * 10**6)|list|join('y' * 10**6) }}",
        "{{ '\\t'.expandtabs(10**9) }}",
        "{{ [1]|tojson(indent=10**9) }}",
        "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
        "{% for i in range(99999) %}{% set x %}{{ 'x' * 1000 }}{% endset %}{% endfor %}",
        "{{ [1]|batch(10**9, 'x')|list }}",
        "{{ 'x'|wordwrap(1, wrapstring='y' * 10**6) ~ ('x y ' * 1000)|wordwrap(1, wrapstring='y' * 10**6) }}",
        "{{ 10**1000 }}",
        "{{ 9223372036854775807 + 1 }}",
        "{{ -9223372036854775807 - 2 }}",
        "{{ (-9223372036854775807 - 1) // -1 }}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        check_error(sources[i], "{\"messages\": []}", MICA_LIMIT, "line 1: ");
    mica_chat_template *t = make("{{ 'x' * 2000 }}", NULL);
    mica_text out = {0};
    mica_error err;
    assert_int_equal(render(t, "{\"messages\": []}", &(mica_chat_template_options){.max_bytes = 1000}, &out, &err),
                     MICA_LIMIT);
    assert_int_equal(render(t, "{\"messages\": []}", &(mica_chat_template_options){.max_bytes = 10000}, &out, &err),
                     MICA_OK);
    assert_int_equal(out.n, 2000);
    mica_text_release(&out);
    mica_chat_template_free(t);
    t = make("{% for i in range(100) %}{% endfor %}", NULL);
    assert_int_equal(render(t, "{\"messages\": []}", &(mica_chat_template_options){.max_steps = 50}, &out, &err),
                     MICA_LIMIT);
    mica_chat_template_free(t);
}

static void test_nothing_lies_behind_values(void **state)
{
    static const char *const sources[] = {
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ '{0.__class__.__init__.__globals__}'.format('') }}",
        "{{ (''|attr('__class__')).x }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ joiner()|attr('__init__')|attr('__globals__') + 1 }}",
        "{{ raise_exception.__globals__.x }}",
        "{{ self.__init__.__globals__.x }}",
        "{{ messages.append(1) }}",
        "{{ messages.pop() }}",
        "{{ messages.__setitem__(0, 1) }}",
        "{{ {}.update({}) }}",
        "{{ [].clear() }}",
        "{% do 1 %}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% from 'os' import system %}",
        "{% extends '/etc/passwd' %}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        check_error(sources[i], "{\"messages\": [1]}", MICA_DATA, "line 1");
    check_text("{{ ''.__class__ }}|{{ messages.append }}|{{ (x.y is defined) if x else 1 }}", "{\"messages\": []}",
               "||1");
    check_text("{% if false %}{% include 'x' %}{% endif %}ok", "{\"messages\": []}", "ok");
}

static void test_errors_say_where(void **state)
{
    (void)state;
    check_error("a\nb {{ x +\n }}", "{\"messages\": []}", MICA_DATA, "line 3, column 2");
    check_error("a\n  {% nope %}", "{\"messages\": []}", MICA_DATA, "line 2, column 6: unknown tag 'nope'");
    check_error("{% for x in y %}\n\n{% if x %}", "{\"messages\": []}", MICA_DATA,
                "the template ends inside of 'if' of line 3");
    check_error("\n\n{{ messages.x.y }}", "{\"messages\": []}", MICA_DATA,
                "line 3: 'list object' has no attribute 'x'");
    check_error("\n{% macro m(a) %}\n{{ a.b }}{% endmacro %}{{ m(1 + 1) }}{{ m(none) }}{{ m(none).x + 1 }}",
                "{\"messages\": []}", MICA_DATA, "line 3");
    check_error("{{ 'a' }}\n{{ 'b }}", "{\"messages\": []}", MICA_DATA, "line 2, column 4: the string is never closed");
    check_error("x\n{# y", "{\"messages\": []}", MICA_DATA, "line 2, column 1: the comment is never closed");
    check_error("{% raw %}", "{\"messages\": []}", MICA_DATA, "the raw block is never closed");
    check_error("{{ '\\x4' }}", "{\"messages\": []}", MICA_DATA, "escape");
    check_error("{{ '\\ud800' }}", "{\"messages\": []}", MICA_DATA, "escape");
    check_error("{{ 1|nope }}", "{\"messages\": []}", MICA_DATA, "No filter named 'nope'");
    check_error("{{ 1 is nope }}", "{\"messages\": []}", MICA_DATA, "No test named 'nope'");
    check_error("{{ 1 \001 }}", "{\"messages\": []}", MICA_DATA, "unexpected character '\\x01'");
    check_error("{{ raise_exception('a\nb\001' ~ 'x' * 1000) }}", "{\"messages\": []}", MICA_INVALID, "a\\nb\\x01xxx");
    mica_chat_template *t = NULL;
    mica_error err;
    assert_int_equal(mica_chat_template_create(&t, "{{ 'a\0b' }}{{ \0 }}", 19, NULL, &err), MICA_DATA);
    char *long_source = repeated("", "0123456789abcdef", 300000, "");
    assert_int_equal(mica_chat_template_create(&t, long_source, strlen(long_source), NULL, &err), MICA_LIMIT);
    mica__free(long_source);
}

/* Accumulating a long text piece by piece stays within the budget: pieces grow in place. */
static void test_accumulation_is_linear(void **state)
{
    (void)state;
    check_text("{% set n = namespace(s='', l=[]) %}{% for i in range(20000) %}{% set n.s = n.s + 'abcdefghij' %}{% set "
               "n.l = n.l + [i] %}{% endfor %}"
               "{{ n.s|length }} {{ n.l|length }}",
               "{\"messages\": []}", "200000 20000");
    check_text(
        "{% set a = 'x' + 'y' %}{% set b = a + '1' %}{% set c = a + '2' %}{% set d = b + '3' %}{% set e = b + '4' %}{{ "
        "a }} {{ b }} {{ c }} {{ d }} {{ e }}"
        "{% set a = [1] + [2] %}{% set b = a + [3] %}{% set c = b + [4] %}{% set d = b + [5] %}{{ b }}{{ c }}{{ d }}",
        "{\"messages\": []}", "xy xy1 xy2 xy13 xy14[1, 2, 3][1, 2, 3, 4][1, 2, 3, 5]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snippets),
        cmocka_unit_test(test_steps_are_bounded),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_nothing_lies_behind_values),
        cmocka_unit_test(test_errors_say_where),
        cmocka_unit_test(test_accumulation_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
