/* tests/text/test_tracer.c: where tokens stand, against what the reference library says (tests/data/tokenizers/offsets.json, written by
 * tests/oracle/make_offset_data.py). */
#include "text_helpers.h"

static size_t differences;

static void check(const char *name, const mica_tokenizer *t, mica__str text, mica__jval expected)
{
    mica_ids ids = {0}, offsets = {0}, plain = {0}, want = json_ids(expected);
    mica_error err;
    if (mica_tokenizer_encode_offsets(t, text.p, text.n, 0, &ids, &offsets, &err) != MICA_OK)
        fail_msg("%s", err.message);
    /* Post-processors that only add tokens leave these alone. */
    if (!same_ids(&want, &offsets) && differences++ < 20) {
        fprintf(stderr, "%s: '%.*s'\n", name, (int)text.n, text.p);
        print_ids("want", want.data, want.n);
        print_ids("got ", offsets.data, offsets.n);
    }
    assert_int_equal(mica_tokenizer_encode(t, text.p, text.n, 0, &plain, &err), MICA_OK);
    if (!same_ids(&plain, &ids)) fail_msg("%s: other ids with offsets", name);
    mica_ids_release(&ids);
    mica_ids_release(&offsets);
    mica_ids_release(&plain);
    free(want.data);
}

static void test_offsets(void **state)
{
    (void)state;
    size_t n, n_zoo, rows = 0;
    char *data = read_file(MICA_TEST_DATA "/tokenizers/offsets.json", &n);
    char *zoo = read_file(MICA_TEST_DATA "/tokenizers/zoo.json", &n_zoo);
    mica__json doc = parse_json(data, n), zoo_doc = parse_json(zoo, n_zoo);
    mica__jval texts = mica__json_get(mica__json_root(&zoo_doc), "texts");
    mica__jval list = mica__json_get(mica__json_root(&doc), "tokenizers");
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e)) {
        mica__str name;
        char title[64];
        assert_true(mica__json_string(mica__json_get(e, "name"), &name));
        snprintf(title, sizeof title, "%.*s", (int)name.n, name.p);
        mica__buf spec = zoo_find_with(title, mica__json_get(mica__json_root(&doc), "glass"));
        mica_tokenizer *t = make_tokenizer(spec.p, spec.n, NULL, 0);
        mica__jval part = mica__json_get(e, "rows");
        for (mica__jval r = mica__json_first(part); r; r = mica__json_next(part, r), rows++) {
            int64_t index = 0;
            mica__str text;
            assert_true(mica__json_int(mica__json_at(r, 0), &index));
            assert_true(mica__json_string(mica__json_at(texts, (size_t)index), &text));
            check(title, t, text, mica__json_at(r, 1));
        }
        mica_tokenizer_free(t);
        mica__buf_release(&spec);
    }
    mica__json_release(&doc);
    mica__json_release(&zoo_doc);
    free(data);
    free(zoo);
    printf("%zu rows, %zu differences\n", rows, differences);
    assert_true(rows > 500);
    assert_int_equal(differences, 0);
}

/* Appended to what is there, and nothing is left of a text that cannot be encoded. */
static void test_lists(void **state)
{
    (void)state;
    mica__buf spec = zoo_find("bpe-byte-level");
    mica_tokenizer *t = make_tokenizer(spec.p, spec.n, NULL, 0);
    mica_ids ids = {0}, offsets = {0};
    mica_error err;
    assert_int_equal(mica_tokenizer_encode_offsets(t, "a", 1, 0, &ids, &offsets, &err), MICA_OK);
    size_t before = ids.n, before_offsets = offsets.n;
    assert_int_equal(before_offsets, 3 * before);
    assert_int_equal(mica_tokenizer_encode_offsets(t, "a\xff", 2, 0, &ids, &offsets, &err), MICA_INVALID);
    assert_int_equal(ids.n, before);
    assert_int_equal(offsets.n, before_offsets);
    assert_int_equal(mica_tokenizer_encode_offsets(t, NULL, 0, 0, &ids, &offsets, &err), MICA_OK);
    assert_int_equal(ids.n, before);
    mica_ids_release(&ids);
    mica_ids_release(&offsets);
    mica_tokenizer_free(t);
    mica__buf_release(&spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_offsets), cmocka_unit_test(test_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
