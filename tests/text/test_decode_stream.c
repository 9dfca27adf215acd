/* tests/text/test_decode_stream.c: when text comes out of a stream: as soon as it is certain, and never half a character. That
 * the parts together are the whole is checked for all tokenizers in test_tokenizer.c and test_tokenizer_reference.c. */
#include "text_helpers.h"

#define WORDS(decoder)                                                                                                 \
    "{\"decoder\":" decoder ",\"added_tokens\":[{\"id\":0,\"content\":\"<s>\",\"special\":true}],\"model\":{\"type\":" \
    "\"WordLevel\",\"vocab\":{\"<s>\":0,\"\\u00c3\":1,\"\\u00a9\":2,\"a\":3,\"\\u0120b\":4,\"\\u2581hi\":5,\"<0xE4>"   \
    "\":6,"                                                                                                            \
    "\"<0xBD>\":7,\"<0xA0>\":8,\"##c\":9,\"d</w>\":10,\"\\u2581\":11,\"\\u00f0\":12,\"\\u0141\":13,\"a\\u2581\":14},"  \
    "\"unk_token\":\"<s>\"}}"

enum { END = -1 };

/* Pushes ids until END, then flushes; parts are what comes out each time. */
static void check(const char *json, bool skip, const int32_t *ids, const char *const *parts)
{
    mica_tokenizer *t = make_tokenizer(json, strlen(json), NULL, 0);
    mica_decode_stream *s = NULL;
    const char *text;
    size_t n;
    assert_int_equal(mica_decode_stream_create(&s, t, skip, NULL), MICA_OK);
    for (int round = 0; round < 2; round++) { /* a flushed stream is as new */
        size_t i = 0;
        for (; ids[i] != END; i++) {
            assert_int_equal(mica_decode_stream_push(s, ids[i], &text, &n, NULL), MICA_OK);
            assert_string_equal(text, parts[i]);
            assert_int_equal(n, strlen(parts[i]));
        }
        assert_int_equal(mica_decode_stream_flush(s, &text, &n, NULL), MICA_OK);
        assert_string_equal(text, parts[i]);
    }
    mica_decode_stream_free(s);
    mica_tokenizer_free(t);
}

#define CHECK(json, skip, ids, ...)                                                                                    \
    check(json, skip, (const int32_t[]){UNPACK ids, END}, (const char *const[]){__VA_ARGS__})
#define UNPACK(...) __VA_ARGS__

static void test_byte_level(void **state)
{
    (void)state;
    static const char json[] = WORDS("{\"type\":\"ByteLevel\"}");
    CHECK(json, false, (3, 4, 3), "a", " b", "a", "");
    CHECK(json, false, (1, 2, 3), "", "\u00e9", "a", "");
    CHECK(json, false, (1, 3), "", "\ufffda", ""); /* the character cannot be completed any more */
    CHECK(json, false, (1), "", "\ufffd");
    CHECK(json, false, (12, 13, 13), "", "", "", "\ufffd"); /* three bytes of four: one replacement, as decode gives */
    CHECK(json, true, (0, 3, 0), "", "a", "", "");
    CHECK(json, false, (0, 3), "<s>", "a", "");
}

static void test_byte_fallback(void **state)
{
    (void)state;
    static const char json[] = WORDS("{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{"
                                     "\"String\":\"\\u2581\"},\"content\":\" \"},"
                                     "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":"
                                     "\" \",\"start\":1,\"stop\":0}]}");
    CHECK(json, false, (5, 5, 3), "hi", " hi", "a", "");         /* only the first space vanishes */
    CHECK(json, false, (6, 7, 8, 3), "", "", "", "\u4f60a", ""); /* a run of bytes counts as a whole */
    CHECK(json, false, (6, 7, 3), "", "", "\ufffd\ufffda", "");
    CHECK(json, false, (11, 11, 3), "", " ", "a", "");
}

static void test_others(void **state)
{
    (void)state;
    CHECK(WORDS("{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}"), false, (3, 9, 3), "a", "c", " a", "");
    CHECK(WORDS("{\"type\":\"BPEDecoder\",\"suffix\":\"</w>\"}"), false, (3, 10, 10), "", "a", "d ",
          "d"); /* the last token differs */
    CHECK(WORDS("{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"always\"}"), false, (5, 5),
          "hi", " hi", "");
    CHECK(WORDS("null"), false, (3, 3), "a", " a", "");
    /* What could be the start of a text to replace waits for the next token. */
    CHECK(WORDS("{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"Replace\",\"pattern\":{"
                "\"String\":\"a\\u2581\"},\"content\":\"-\"}]}"),
          false, (3, 3, 11, 14, 9, 3), "", "a", "-", "-", "##c", "", "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_byte_level),
        cmocka_unit_test(test_byte_fallback),
        cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
