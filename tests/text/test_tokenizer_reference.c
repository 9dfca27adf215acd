/* tests/text/test_tokenizer_reference.c: every row of the shared references of six real tokenizers: ids with and without
 * special tokens, decodings with and without them, decodings of random ids; each decoding also as a stream. */
#include "text_helpers.h"

typedef struct counts {
    size_t rows, wrong;
} counts;

static void report(counts *c, const char *what, size_t row, mica__str text)
{
    if (c->wrong++ < 10)
        fprintf(stderr, "row %zu: %s differ for '%.*s'\n", row, what, (int)(text.n < 200 ? text.n : 200), text.p);
}

static mica_ids check_encode(counts *c, const mica_tokenizer *t, size_t row, mica__str text, mica__jval expected,
                             unsigned flags)
{
    mica_ids want = json_ids(expected), got = {0};
    mica_error err;
    if (mica_tokenizer_encode(t, text.p, text.n, flags, &got, &err) != MICA_OK) {
        fprintf(stderr, "%s\n", err.message);
        c->wrong++;
    } else if (!same_ids(&want, &got)) {
        report(c, flags ? "ids with special tokens" : "ids", row, text);
        if (c->wrong < 10) {
            print_ids("want", want.data, want.n);
            print_ids("got ", got.data, got.n);
        }
    }
    mica_ids_release(&got);
    return want;
}

static void check_decode(counts *c, const mica_tokenizer *t, size_t row, const mica_ids *ids, bool skip, mica__str text,
                         mica__jval expected)
{
    mica__str want = text;
    mica__json_string(expected, &want); /* true: the text itself */
    size_t n;
    char *got = decode_both(t, ids->data, ids->n, skip, &n);
    if (!mica__str_eq(want, (mica__str){got, n})) {
        report(c, skip ? "texts without special tokens" : "texts", row, want);
        if (c->wrong < 10) fprintf(stderr, "  got '%s'\n", got);
    }
    free(got);
}

static void check_row(counts *c, const mica_tokenizer *t, size_t i, mica__str text, mica__jval row)
{
    mica__jval with = mica__json_get(row, "with_special");
    if (mica__json_type(with) == MICA__JSON_NULL) with = mica__json_get(row, "ids");
    mica_ids plain = check_encode(c, t, i, text, mica__json_get(row, "ids"), 0);
    mica_ids special = check_encode(c, t, i, text, with, MICA_ADD_SPECIAL_TOKENS);
    check_decode(c, t, i, &plain, false, text, mica__json_get(row, "decoded"));
    check_decode(c, t, i, &special, true, text, mica__json_get(row, "decoded_skip"));
    free(plain.data);
    free(special.data);
    c->rows++;
}

static void check_random(counts *c, const mica_tokenizer *t, size_t i, mica__jval row)
{
    mica_ids ids = json_ids(mica__json_at(row, 0));
    mica__str none = {NULL, 0};
    check_decode(c, t, i, &ids, false, none, mica__json_at(row, 1));
    check_decode(c, t, i, &ids, true, none, mica__json_at(row, 2));
    free(ids.data);
    c->rows++;
}

static void check_tokenizer(const char *folder, const char *name)
{
    size_t n, n_texts, n_ref;
    char *json = read_filef(&n, "%s/tokenizers/%s/tokenizer.json.xz", folder, name);
    mica_tokenizer *t = make_tokenizer(json, n, NULL, 0);
    free(json);
    char *texts_json = read_filef(&n_texts, "%s/reference/tokenizers/texts.json%s", folder, "");
    char *ref_json = read_filef(&n_ref, "%s/reference/tokenizers/%s.json", folder, name);
    mica__json texts = parse_json(texts_json, n_texts), ref = parse_json(ref_json, n_ref);
    mica__jval rows = mica__json_get(mica__json_root(&ref), "rows"), row = mica__json_first(rows);
    mica__jval list = mica__json_root(&texts);
    counts c = {0, 0};
    size_t i = 0;
    for (mica__jval e = mica__json_first(list); e && row;
         e = mica__json_next(list, e), row = mica__json_next(rows, row)) {
        mica__str text = {NULL, 0};
        mica__json_string(e, &text);
        check_row(&c, t, i++, text, row);
    }
    assert_int_equal(i, mica__json_count(rows));
    mica__jval random = mica__json_get(mica__json_root(&ref), "random_ids");
    for (mica__jval e = mica__json_first(random); e; e = mica__json_next(random, e)) check_random(&c, t, i++, e);
    printf("%s: %zu rows, %zu differences\n", name, c.rows, c.wrong);
    mica__json_release(&texts);
    mica__json_release(&ref);
    free(texts_json);
    free(ref_json);
    mica_tokenizer_free(t);
    assert_int_equal(c.wrong, 0);
    assert_true(c.rows > 600);
}

static void test_reference(void **state)
{
    const char *folder = shared_folder();
    if (!folder) skip();
    check_tokenizer(folder, *state);
}

#define REFERENCE(name)                                                                                                \
    {                                                                                                                  \
        name, test_reference, NULL, NULL, (void *)(uintptr_t)name                                                      \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        REFERENCE("llama3_1"), REFERENCE("qwen2_5"),     REFERENCE("gemma3"),
        REFERENCE("llama2"),   REFERENCE("deepseek_v3"), REFERENCE("mistral_nemo"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
