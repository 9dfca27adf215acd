/* tests/text/test_tokenizer.c: small tokenizers for every kind of component, with what the reference library makes of hard
 * texts (tests/data/tokenizers/zoo.json, written by tests/oracle/make_tokenizer_data.py); and the public functions. */
#include "text_helpers.h"
#include <pthread.h>

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
        mica__buf spec = zoo_spec(e, mica__json_get(mica__json_root(&doc), "glass"));
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

/* ---- threads ---- */

typedef struct job {
    const mica_tokenizer *t;
    mica__str text;
    mica_ids ids;
} job;

static void *encode_often(void *argument)
{
    job *j = argument;
    for (int i = 0; i < 20; i++) {
        j->ids.n = 0;
        if (mica_tokenizer_encode(j->t, j->text.p, j->text.n, 0, &j->ids, NULL) != MICA_OK) j->ids.n = 0;
        mica_text out = {0};
        if (mica_tokenizer_decode(j->t, j->ids.data, j->ids.n, false, &out, NULL) != MICA_OK || out.n != j->text.n)
            j->ids.n = 0;
        mica_text_release(&out);
    }
    return NULL;
}

/* Several threads share a tokenizer and get what one gets. */
static void test_threads(void **state)
{
    (void)state;
    static const char text[] = "the lower, the lowest: newest banana ananas mississippi  don't 123 caf\u00e9\n\n";
    mica__buf json = zoo_find("bpe-byte-level");
    mica_tokenizer *t = make_tokenizer(json.p, json.n, NULL, 0);
    job jobs[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        jobs[i] = (job){t, {text, sizeof text - 1}, {0}};
        assert_int_equal(pthread_create(&threads[i], NULL, encode_often, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++) {
        assert_true(jobs[i].ids.n > 10);
        assert_true(same_ids(&jobs[0].ids, &jobs[i].ids));
    }
    for (int i = 0; i < 4; i++) mica_ids_release(&jobs[i].ids);
    mica_tokenizer_free(t);
    mica__buf_release(&json);
}

/* ---- hostile texts ---- */

/* A text of n bytes that repeats `unit`. With a quadratic step anywhere this test would not end. */
static void check_long(const mica_tokenizer *t, const char *name, const char *unit)
{
    enum { BYTES = 1 << 20 };
    size_t length = strlen(unit), n = BYTES / length * length;
    char *text = malloc(n);
    for (size_t i = 0; i < n; i += length) memcpy(text + i, unit, length);
    mica_ids ids = encode(t, (mica__str){text, n}, 0);
    if (ids.n > 8 * n) fail_msg("%s: %zu ids", name, ids.n);
    mica_ids_release(&ids);
    free(text);
}

static void test_long_texts(void **state)
{
    (void)state;
    static const char *const names[] = {
        "bpe-byte-level", "bpe-ignore-merges", "bpe-whole-text",         "bpe-unk-fused",
        "bpe-suffix",     "unigram",           "unigram-bytes",          "wordpiece",
        "added-lower",    "normalizer-nfkc",   "normalizer-precompiled", "split-metaspace-always",
        "regex-4"};
    static const char *const units[] = {" ", "a", "ab", "\n", " \n", "\u0301", "\u4f60", "'", "<s", "the "};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        mica__buf json = zoo_find(names[i]);
        mica_tokenizer *t = make_tokenizer(json.p, json.n, NULL, 0);
        for (size_t k = 0; k < sizeof units / sizeof units[0]; k++) check_long(t, names[i], units[k]);
        mica_tokenizer_free(t);
        mica__buf_release(&json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zoo),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_long_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
