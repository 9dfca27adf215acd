/* tests/text/test_tokenizer_config.c: roles and tokens of tokenizer_config.json. The expected ids are Transformers' own. */
#include "text_helpers.h"

static const char tokenizer[] =
    "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":2,\"content\":\"<s>\",\"special\":true},"
    "{\"id\":3,\"content\":\"<t>\",\"special\":true}],\"normalizer\":null,\"pre_tokenizer\":null,\"post_processor\":"
    "null,"
    "\"decoder\":{\"type\":\"Fuse\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]}}";

static mica_tokenizer *with(const char *config)
{
    return make_tokenizer(tokenizer, strlen(tokenizer), config, strlen(config));
}

static void check_role(const mica_tokenizer *t, const char *role, const char *token, int32_t id)
{
    int32_t found = 77;
    const char *text = mica_tokenizer_special(t, role, &found);
    if (token)
        assert_string_equal(text, token);
    else
        assert_null(text);
    assert_int_equal(found, id);
}

static void test_roles(void **state)
{
    (void)state;
    mica_tokenizer *t = with(
        "{\"image_token\":\"<image>\",\"eos_token\":{\"__type\":\"AddedToken\",\"content\":\"<e>\",\"lstrip\":true},"
        "\"bos_token\":\"<s>\",\"pad_token\":\"b\",\"unk_token\":null,\"add_bos_token\":true,\"sep_token\":7,"
        "\"additional_special_tokens\":[\"<x>\",{\"content\":\"<y>\"}]}");
    check_role(t, "bos_token", "<s>", 2);
    check_role(t, "eos_token", "<e>", 4); /* the usual roles come first, then the others */
    check_role(t, "pad_token", "b", 1);
    check_role(t, "image_token", "<image>", 5);
    check_role(t, "unk_token", NULL, -1);
    check_role(t, "sep_token", NULL, -1);
    check_role(t, "add_bos_token", NULL, -1);
    assert_int_equal(mica_tokenizer_id(t, "<x>", 3), 6);
    assert_int_equal(mica_tokenizer_id(t, "<y>", 3), 7);
    assert_int_equal(mica_tokenizer_size(t), 8);
    assert_true(mica_tokenizer_is_special(t, 6));
    assert_false(mica_tokenizer_is_special(t, 7));
    assert_true(mica_tokenizer_is_special(t, 1)); /* a token of the vocabulary that got a role */
    assert_false(mica_tokenizer_is_special(t, 0));
    size_t n = 0;
    const char *token;
    for (const char *name; (name = mica_tokenizer_special_at(t, n, &token)); n++)
        check_role(t, name, token, mica_tokenizer_id(t, token, strlen(token)));
    assert_int_equal(n, 4);
    assert_null(mica_tokenizer_special_at(t, 4, NULL));
    mica_ids ids = {0};
    static const int32_t expected[] = {0, 4, 6, 1};
    assert_int_equal(mica_tokenizer_encode(t, "a  <e><x>b", 10, 0, &ids, NULL), MICA_OK); /* lstrip takes the spaces */
    assert_int_equal(ids.n, 4);
    assert_memory_equal(ids.data, expected, sizeof expected);
    mica_ids_release(&ids);
    mica_tokenizer_free(t);
}

static void test_added_tokens_decoder(void **state)
{
    (void)state;
    /* Added in order of id, whatever their place in the file; the ids are the next free ones. What was special stays so. */
    mica_tokenizer *t = with(
        "{\"added_tokens_decoder\":{\"90\":{\"content\":\"<q>\",\"special\":false},"
        "\"9\":{\"content\":\"<p>\",\"special\":true},\"2\":{\"content\":\"<s>\",\"rstrip\":true,\"special\":false}},"
        "\"eos_token\":\"<q>\"}");
    assert_int_equal(mica_tokenizer_id(t, "<p>", 3), 4);
    assert_int_equal(mica_tokenizer_id(t, "<q>", 3), 5);
    assert_true(mica_tokenizer_is_special(t, 5)); /* by its role */
    assert_true(mica_tokenizer_is_special(t, 2));
    mica_ids ids = {0};
    assert_int_equal(mica_tokenizer_encode(t, "<s>   a", 7, 0, &ids, NULL), MICA_OK);
    assert_int_equal(ids.n, 2);
    mica_ids_release(&ids);
    mica_tokenizer_free(t);
}

static void test_extra_roles(void **state)
{
    (void)state;
    mica_tokenizer *t = with("{\"extra_special_tokens\":{\"foo_token\":\"<foo>\",\"bar\":\"<t>\"}}");
    check_role(t, "foo_token", "<foo>", 4);
    check_role(t, "bar", "<t>", 3);
    mica_tokenizer_free(t);
    t = with("{\"extra_special_tokens\":[\"<foo>\"]}");
    assert_int_equal(mica_tokenizer_id(t, "<foo>", 5), 4);
    mica_tokenizer_free(t);
}

static void test_bad_configs(void **state)
{
    (void)state;
    static const char *const configs[][2] = {
        {"[]", "tokenizer_config.json: expected an object"},
        {"{", "tokenizer_config.json: "},
        {"{\"added_tokens_decoder\":{\"x\":{\"content\":\"a\"}}}", "key 'x' is not a token id"},
        {"{\"added_tokens_decoder\":{\"99999999999\":{\"content\":\"a\"}}}", "is not a token id"},
        {"{\"added_tokens_decoder\":{\"5\":{}}}",
         "tokenizer_config.json.added_tokens_decoder[5].content: expected a string"},
        {"{\"added_tokens_decoder\":{\"5\":{\"content\":\"\"}}}", "empty content"},
    };
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        mica_tokenizer *t;
        mica_error err;
        assert_int_equal(
            mica_tokenizer_create(&t, tokenizer, strlen(tokenizer), configs[i][0], strlen(configs[i][0]), &err),
            MICA_DATA);
        assert_null(t);
        if (!strstr(err.message, configs[i][1])) fail_msg("'%s' does not say '%s'", err.message, configs[i][1]);
    }
}

static void test_lookups(void **state)
{
    (void)state;
    mica_tokenizer *t = make_tokenizer(tokenizer, strlen(tokenizer), NULL, 0);
    size_t n = 0;
    assert_string_equal(mica_tokenizer_token(t, 2, &n), "<s>");
    assert_int_equal(n, 3);
    assert_string_equal(mica_tokenizer_token(t, 1, NULL), "b");
    assert_null(mica_tokenizer_token(t, 4, &n));
    assert_int_equal(n, 0);
    assert_null(mica_tokenizer_token(t, -1, NULL));
    assert_int_equal(mica_tokenizer_id(t, "c", 1), -1);
    assert_null(mica_tokenizer_special(t, "bos_token", NULL));
    /* Special tokens in a text are tokens, unless the caller wants them as text. */
    mica_ids ids = {0};
    assert_int_equal(mica_tokenizer_encode(t, "a<s>b", 5, 0, &ids, NULL), MICA_OK);
    assert_int_equal(ids.n, 3);
    assert_int_equal(mica_tokenizer_encode(t, "a<s>b", 5, MICA_SPLIT_SPECIAL_TOKENS, &ids, NULL), MICA_OK);
    assert_int_equal(ids.n, 5); /* appended: a and b, the rest is not in this vocabulary */
    /* Appending decode, ids that are not there, and no ids at all. */
    mica_text text = {0};
    static const int32_t some[] = {0, -5, 1 << 30, 2, 1};
    assert_int_equal(mica_tokenizer_decode(t, some, 0, false, &text, NULL), MICA_OK);
    assert_string_equal(text.data, "");
    assert_int_equal(mica_tokenizer_decode(t, some, 5, false, &text, NULL), MICA_OK);
    assert_int_equal(mica_tokenizer_decode(t, some, 5, true, &text, NULL), MICA_OK);
    assert_string_equal(text.data, "a<s>bab");
    mica_text_release(&text);
    mica_ids_release(&ids);
    mica_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roles),       cmocka_unit_test(test_added_tokens_decoder),
        cmocka_unit_test(test_extra_roles), cmocka_unit_test(test_bad_configs),
        cmocka_unit_test(test_lookups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
