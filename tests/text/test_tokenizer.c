/* tests/text/test_tokenizer.c: small tokenizers for every kind of component, with what the reference library makes of hard
 * texts (tests/data/tokenizers/zoo.json, written by tests/oracle/make_tokenizer_data.py); and the public functions. */
#include "text_helpers.h"

static size_t differences;

static void differ(const char *name, const char *what, mica__str text)
{
    if (differences++ < 20) fprintf(stderr, "%s: %s differ for '%.*s'\n", name, what, (int)text.n, text.p);
}

static void check_ids(const char *name, const char *what, mica__str text, mica__jval expected, const mica_ids *got)
{
    mica_ids want = json_ids(expected);
    if (!same_ids(&want, got)) {
        differ(name, what, text);
        if (differences < 20) {
            print_ids("want", want.data, want.n);
            print_ids("got ", got->data, got->n);
        }
    }
    free(want.data);
}

static void check_text(const char *name, const mica_tokenizer *t, const mica_ids *ids, bool skip, mica__str text,
                       mica__jval expected)
{
    mica__str want = text;
    mica__json_string(expected, &want); /* true: the text itself */
    size_t n;
    char *got = decode_both(t, ids->data, ids->n, skip, &n);
    if (!mica__str_eq(want, (mica__str){got, n})) {
        differ(name, skip ? "texts without special tokens" : "texts", want);
        if (differences < 20) fprintf(stderr, "  got '%s'\n", got);
    }
    free(got);
}

static mica_ids encode(const mica_tokenizer *t, mica__str text, unsigned flags)
{
    mica_ids ids = {0};
    mica_error err;
    if (mica_tokenizer_encode(t, text.p, text.n, flags, &ids, &err) != MICA_OK) fail_msg("%s", err.message);
    return ids;
}

static mica__str text_at(mica__jval texts, size_t i)
{
    mica__str s = {NULL, 0};
    mica__json_string(mica__json_at(texts, i % mica__json_count(texts)), &s);
    return s;
}

static void check_row(const char *name, const mica_tokenizer *t, mica__jval texts, mica__jval row)
{
    int64_t index = 0;
    mica__json_int(mica__json_at(row, 0), &index);
    mica__str text = text_at(texts, (size_t)index), next = text_at(texts, (size_t)index + 1);
    mica__jval with = mica__json_at(row, 2), pair = mica__json_at(row, 3);
    mica_ids ids = encode(t, text, 0), special = encode(t, text, MICA_ADD_SPECIAL_TOKENS);
    check_ids(name, "ids", text, mica__json_at(row, 1), &ids);
    check_ids(name, "ids with special tokens", text,
              mica__json_is(with, MICA__JSON_NULL) ? mica__json_at(row, 1) : with, &special);
    check_text(name, t, &ids, false, text, mica__json_at(row, 5));
    check_text(name, t, &special, true, text, mica__json_at(row, 6));
    if (!mica__json_is(pair, MICA__JSON_NULL)) {
        mica_ids both = {0}, types = {0};
        mica_error err;
        if (mica_tokenizer_encode_pair(t, text.p, text.n, next.p, next.n, MICA_ADD_SPECIAL_TOKENS, &both, &types,
                                       &err) != MICA_OK)
            fail_msg("%s", err.message);
        check_ids(name, "ids of a pair", text, pair, &both);
        check_ids(name, "types of a pair", text, mica__json_at(row, 4), &types);
        mica_ids_release(&both);
        mica_ids_release(&types);
    }
    mica_ids_release(&ids);
    mica_ids_release(&special);
}

static void check_random(const char *name, const mica_tokenizer *t, mica__jval row)
{
    mica_ids ids = json_ids(mica__json_at(row, 0));
    mica__str none = {"", 0};
    check_text(name, t, &ids, false, none, mica__json_at(row, 1));
    check_text(name, t, &ids, true, none, mica__json_at(row, 2));
    free(ids.data);
}

/* The tokenizer.json of an entry; its model may be a name for the shared one. */
static mica__buf spec_of(mica__jval entry, mica__jval glass)
{
    mica__buf out = {0};
    mica__jval spec = mica__json_get(entry, "tokenizer");
    for (mica__jval m = mica__json_first(spec); m; m = mica__json_next(spec, m)) {
        mica__jval v = mica__json_value(m);
        bool shared = mica__str_is(mica__json_key(m), "model") && mica__json_is(v, MICA__JSON_STRING);
        mica__buf_append_z(&out, out.n ? "," : "{");
        mica__json_write_string(&out, mica__json_key(m), false);
        mica__buf_append_z(&out, ":");
        mica__json_write(&out, shared ? glass : v);
    }
    mica__buf_append_z(&out, "}");
    return out;
}

static void test_zoo(void **state)
{
    (void)state;
    size_t n, count = 0, rows = 0;
    char *text = read_file(MICA_TEST_DATA "/tokenizers/zoo.json", &n);
    mica__json doc = parse_json(text, n);
    mica__jval list = mica__json_get(mica__json_root(&doc), "tokenizers");
    mica__jval texts = mica__json_get(mica__json_root(&doc), "texts");
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e), count++) {
        mica__str name;
        mica__buf spec = spec_of(e, mica__json_get(mica__json_root(&doc), "glass"));
        assert_true(mica__json_string(mica__json_get(e, "name"), &name));
        char title[64];
        snprintf(title, sizeof title, "%.*s", (int)name.n, name.p);
        mica_tokenizer *t = make_tokenizer(spec.p, spec.n, NULL, 0);
        mica__jval part = mica__json_get(e, "rows");
        for (mica__jval r = mica__json_first(part); r; r = mica__json_next(part, r), rows++)
            check_row(title, t, texts, r);
        part = mica__json_get(e, "random");
        for (mica__jval r = mica__json_first(part); r; r = mica__json_next(part, r), rows++) check_random(title, t, r);
        mica_tokenizer_free(t);
        mica__buf_release(&spec);
    }
    printf("%zu tokenizers, %zu rows, %zu differences\n", count, rows, differences);
    mica__json_release(&doc);
    free(text);
    assert_true(count > 150);
    assert_true(rows > 2000);
    assert_int_equal(differences, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zoo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
