/* tests/text/test_tokenizer_errors.c: bad files and bad texts are refused with a message that says where; failing memory is
 * reported at every allocation. */
#include "text_helpers.h"
#include <mica/memory.h>

#define BPE(vocab, merges, more) "{\"model\":{\"type\":\"BPE\",\"vocab\":" vocab ",\"merges\":" merges more "}}"
#define PLAIN "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}"
#define UNIGRAM(vocab, more) "{\"model\":{\"type\":\"Unigram\",\"vocab\":" vocab more "}}"
#define WITH(part) "{" part "," PLAIN "}"

typedef struct bad_file {
    const char *json, *message; /* message: a part of it */
} bad_file;

static const bad_file bad_files[] = {
    /* the JSON itself */
    {"", "tokenizer.json: "},
    {"{\"model\":", "tokenizer.json: "},
    {"[]", "tokenizer.json: expected an object"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\\ud800\":0},\"merges\":[]}}", "tokenizer.json: "},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\xff\":0},\"merges\":[]}}", "tokenizer.json: "},
    {"{}", "model: expected an object, found nothing"},
    {"{\"version\":\"2.0\"," PLAIN "}", "version '2.0'"},
    /* vocabularies */
    {BPE("{\"a\":0,\"a\":1}", "[]", ""), "model.vocab: token 'a' is there twice"},
    {BPE("{\"a\":0,\"b\":0}", "[]", ""), "model.vocab: tokens 'a' and 'b' have the same id 0"},
    {BPE("{\"a\":-1}", "[]", ""), "id of 'a' is -1"},
    {BPE("{\"a\":2147483648}", "[]", ""), "id of 'a' is 2147483648"},
    {BPE("{\"a\":1.5}", "[]", ""), "id of 'a': expected an integer"},
    {BPE("{\"a\":\"0\"}", "[]", ""), "id of 'a': expected an integer, found a string"},
    {BPE("{\"a\":2000000000}", "[]", ""), "highest id is 2000000000, but there are only 1 tokens"},
    {BPE("{}", "[]", ""), "model.vocab: empty vocabulary"},
    {BPE("[]", "[]", ""), "model.vocab: expected an object, found an array"},
    /* merges */
    {BPE("{\"a\":0,\"b\":1,\"ab\":2}", "[\"a b\",\"a c\"]", ""), "model.merges[1]: token 'c' is not in the vocabulary"},
    {BPE("{\"a\":0,\"b\":1}", "[[\"a\",\"b\"]]", ""), "model.merges[0]: token 'ab' is not in the vocabulary"},
    {BPE("{\"a\":0}", "[\"a\"]", ""), "model.merges[0]: 'a' is not two tokens"},
    {BPE("{\"a\":0}", "[\"a a a\"]", ""), "model.merges[0]: 'a a a' is not two tokens"},
    {BPE("{\"a\":0}", "[[\"a\"]]", ""), "model.merges[0]: expected two strings"},
    {BPE("{\"a\":0}", "[[\"a\",\"a\",\"a\"]]", ""), "model.merges[0]: expected two strings"},
    {BPE("{\"a\":0,\"aa\":1}", "[\"a a\",[\"a\",\"a\"]]", ""), "model.merges[1]: expected a string like the first"},
    {BPE("{\"a\":0,\"aa\":1}", "[[\"a\",\"a\"],\"a a\"]", ""), "model.merges[1]: expected an array like the first"},
    {BPE("{\"a\":0}", "[7]", ""), "model.merges[0]: expected a string"},
    {BPE("{\"a\":0}", "{}", ""), "model.merges: expected an array"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}", "model.merges: expected an array, found nothing"},
    /* unknown and byte tokens */
    {BPE("{\"a\":0}", "[]", ",\"unk_token\":\"<unk>\""), "model.unk_token: '<unk>' is not in the vocabulary"},
    {BPE("{\"a\":0}", "[]", ",\"byte_fallback\":true"), "model.byte_fallback: the vocabulary has no token '<0x00>'"},
    {BPE("{\"a\":0}", "[]", ",\"fuse_unk\":1"), "model.fuse_unk: expected true or false"},
    /* unknown types */
    {"{\"model\":{\"type\":\"Magic\",\"vocab\":{}}}", "model: unknown model type 'Magic'"},
    {WITH("\"normalizer\":{\"type\":\"Magic\"}"), "normalizer: unknown normalizer type 'Magic'"},
    {WITH("\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Magic\"}]}"),
     "normalizer.normalizers[1]: unknown normalizer type"},
    {WITH("\"normalizer\":{}"), "normalizer.type: expected a string, found nothing"},
    {WITH("\"normalizer\":7"), "normalizer.type: expected a string"},
    {WITH("\"pre_tokenizer\":{\"type\":\"Magic\"}"), "pre_tokenizer: unknown pre-tokenizer type 'Magic'"},
    {WITH("\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\"}]}"),
     "pre_tokenizer.pretokenizers[0].behavior: expected a string"},
    {WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Magic\",\"pattern\":{\"String\":\"a\"}}"),
     "pre_tokenizer.behavior: unknown behavior 'Magic'"},
    {WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Removed\",\"pattern\":{\"Regex\":\"(a\"}}"),
     "pre_tokenizer.pattern: regular expression, byte 2: group without )"},
    {WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Removed\",\"pattern\":{\"Regex\":\"a{1000000}\"}}"),
     "repeat count above 65535"},
    {WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Removed\",\"pattern\":{}}"),
     "pre_tokenizer.pattern.String: expected a string"},
    {WITH("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}"),
     "pre_tokenizer.replacement: expected one character"},
    {WITH("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"magic\"}"),
     "unknown scheme 'magic'"},
    {WITH("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"always\",\"add_prefix_"
          "space\":false}"),
     "contradicts"},
    {WITH("\"pre_tokenizer\":{\"type\":\"FixedLength\",\"length\":0}"), "pre_tokenizer.length: 0 is not in 1.."},
    {WITH("\"post_processor\":{\"type\":\"Magic\"}"), "post_processor: unknown post-processor type 'Magic'"},
    {WITH("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}],\"pair\":"
          "[],\"special_tokens\":{}}"),
     "post_processor.single[0]: special token 'x' is not in special_tokens"},
    {WITH(
         "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"C\"}}],\"pair\":[]}"),
     "post_processor.single[0]: sequence 'C'"},
    {WITH("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}],\"pair\":"
          "[],\"special_tokens\":{\"x\":{\"ids\":[-1]}}}"),
     "expected a token id"},
    {WITH("\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"a\",0]}"),
     "post_processor.cls: expected an array"},
    {WITH("\"decoder\":{\"type\":\"Magic\"}"), "decoder: unknown decoder type 'Magic'"},
    {WITH("\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":-1}"), "decoder.start: -1 is not in 0.."},
    /* added tokens */
    {WITH("\"added_tokens\":[{\"id\":1,\"content\":\"\"}]"), "tokenizer.json.added_tokens[0]: empty content"},
    {WITH("\"added_tokens\":[{\"id\":1}]"), "added_tokens[0].content: expected a string, found nothing"},
    {WITH("\"added_tokens\":[{\"id\":-1,\"content\":\"x\"}]"), "added_tokens[0].id: -1 is not in"},
    {WITH("\"added_tokens\":[{\"id\":2147483648,\"content\":\"x\"}]"), "added_tokens[0].id: 2147483648 is not in"},
    {WITH("\"added_tokens\":[{\"id\":1,\"content\":\"x\",\"special\":\"yes\"}]"),
     "added_tokens[0].special: expected true or false"},
    {WITH("\"added_tokens\":{}"), "added_tokens: expected an array"},
    /* Unigram and character maps */
    {UNIGRAM("[]", ""), "model.vocab: empty vocabulary"},
    {UNIGRAM("[[\"a\",1e999]]", ""), "model.vocab[0]: score of 'a' is not finite"},
    {UNIGRAM("[[\"a\",NaN]]", ""), "tokenizer.json: "},
    {UNIGRAM("[[\"a\"]]", ""), "model.vocab[0]: expected [token, score]"},
    {UNIGRAM("[[\"a\",0]]", ",\"unk_id\":1"), "model.unk_id: 1 is not in 0..0"},
    {WITH("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}"),
     "character map: trie of 0 bytes"},
    {WITH("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"@@@@\"}"), "character map: not base64"},
    {WITH("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAP////8=\"}"),
     "character map: "}, /* a leaf to nowhere */
    {WITH("\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAAABAEA=\"}"),
     "character map: "}, /* an offset outside */
};

static void check_refused(const char *json, size_t n, const char *message)
{
    mica_tokenizer *t = (mica_tokenizer *)8;
    mica_error err;
    mica_status status = mica_tokenizer_create(&t, json, n, NULL, 0, &err);
    if (status == MICA_OK || t) fail_msg("accepted: %.200s", json);
    if (mica_status_exit_code(status) != 65) fail_msg("%s for %.200s", mica_status_name(status), json);
    if (!strstr(err.message, message)) fail_msg("'%s' does not say '%s'", err.message, message);
    assert_int_equal(mica_tokenizer_create(&t, json, n, NULL, 0, NULL), status);
}

static void test_bad_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_files / sizeof bad_files[0]; i++)
        check_refused(bad_files[i].json, strlen(bad_files[i].json), bad_files[i].message);
}

/* "prefix", `middle` n times, "suffix" */
static char *repeat(const char *prefix, const char *middle, size_t n, const char *suffix, size_t *n_out)
{
    size_t length = strlen(middle), at = strlen(prefix);
    char *p = malloc(at + n * length + strlen(suffix) + 1);
    memcpy(p, prefix, at);
    for (size_t i = 0; i < n; i++, at += length) memcpy(p + at, middle, length);
    strcpy(p + at, suffix);
    *n_out = at + strlen(suffix);
    return p;
}

static void test_large_files(void **state)
{
    (void)state;
    size_t n;
    char *deep = repeat("{\"normalizer\":", "[", 100000, "", &n);
    check_refused(deep, n, "tokenizer.json: ");
    free(deep);
    char *piece = repeat("{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"", "x", 1000000, "\",0]]}}", &n);
    check_refused(piece, n, "token of 1000000 bytes");
    free(piece);
    char *decoders = repeat("{\"decoder\":{\"type\":\"Sequence\",\"decoders\":[", "{\"type\":\"Fuse\"},", 1000,
                            "{\"type\":\"Fuse\"}]}," PLAIN "}", &n);
    check_refused(decoders, n, "more than 64 decoders");
    free(decoders);
    char *steps = repeat("{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[", "{\"type\":\"NFC\"},", 1000,
                         "{\"type\":\"NFC\"}]}," PLAIN "}", &n);
    check_refused(steps, n, "more than 256 steps");
    free(steps);
    char *splits = repeat("{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[", "{\"type\":\"Whitespace\"},",
                          1000, "{\"type\":\"Whitespace\"}]}," PLAIN "}", &n);
    check_refused(splits, n, "more than 256 steps");
    free(splits);
    check_refused("{}", (size_t)501 << 20, "limit is");
}

static void test_bad_texts(void **state)
{
    (void)state;
    static const char json[] = WITH("\"version\":\"1.0\"");
    static const struct {
        const char *text;
        size_t n, at;
    } texts[] = {
        {"\xff", 1, 0}, {"ab\xc3", 3, 2}, {"\xc0\x80", 2, 0}, {"\xed\xa0\x80", 3, 0}, {"a\xf4\x90\x80\x80", 5, 1}};
    mica_tokenizer *t = make_tokenizer(json, strlen(json), NULL, 0);
    mica_ids ids = {0};
    mica_error err;
    char expected[64];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(mica_tokenizer_encode(t, texts[i].text, texts[i].n, 0, &ids, &err), MICA_INVALID);
        snprintf(expected, sizeof expected, "text is not UTF-8 at byte %zu", texts[i].at);
        assert_string_equal(err.message, expected);
        assert_int_equal(mica_tokenizer_encode_pair(t, "a", 1, texts[i].text, texts[i].n, 0, &ids, NULL, &err),
                         MICA_INVALID);
    }
    assert_int_equal(mica_tokenizer_encode(t, "", (size_t)1 << 31, 0, &ids, &err), MICA_INVALID);
    assert_int_equal(ids.n, 0);
    mica_ids_release(&ids);
    mica_tokenizer_free(t);
    mica_tokenizer_free(NULL);
}

/* A model that knows no unknown token, or only by name, says so when it needs it. */
static void test_unknown(void **state)
{
    (void)state;
    static const char *const files[] = {
        UNIGRAM("[[\"a\",-1]]", ""),
        "{\"added_tokens\":[{\"id\":1,\"content\":\"<unk>\"}],\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},"
        "\"unk_token\":\"<unk>\"}}",
    };
    for (size_t i = 0; i < 2; i++) {
        mica_tokenizer *t = make_tokenizer(files[i], strlen(files[i]), NULL, 0);
        mica_ids ids = {0};
        mica_error err;
        assert_int_equal(mica_tokenizer_encode(t, "a", 1, 0, &ids, &err), MICA_OK);
        assert_int_equal(mica_tokenizer_encode(t, "b", 1, 0, &ids, &err), MICA_INVALID);
        assert_non_null(strstr(err.message, "not in the vocabulary"));
        assert_int_equal(ids.n, 1);
        mica_ids_release(&ids);
        mica_tokenizer_free(t);
    }
}

/* ---- memory ---- */

static size_t allocations, fail_at = SIZE_MAX, live;

static void *counting(void *context, void *block, size_t n)
{
    (void)context;
    if (n == 0) {
        live -= block != NULL;
        free(block);
        return NULL;
    }
    if (allocations++ == fail_at) return NULL;
    live += block == NULL;
    return realloc(block, n);
}

/* Everything once: create, encode, encode a pair, decode, stream. */
static mica_status run_all(const char *json, size_t n, const char *config)
{
    static const char text[] = "Hello, w\xc3\xb6rld! [X]e\xcc\x81  the lowest 123 "
                               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    mica_tokenizer *t = NULL;
    mica_ids ids = {0}, pair = {0}, types = {0}, offsets = {0};
    mica_text out = {0};
    mica_decode_stream *s = NULL;
    mica_error err;
    const char *part;
    mica_status status = mica_tokenizer_create(&t, json, n, config, strlen(config), &err);
    if (status == MICA_OK)
        status = mica_tokenizer_encode(t, text, sizeof text - 1, MICA_ADD_SPECIAL_TOKENS, &ids, &err);
    if (status == MICA_OK) status = mica_tokenizer_encode_pair(t, text, 5, text, 7, 1, &pair, &types, &err);
    if (status == MICA_OK) status = mica_tokenizer_encode_offsets(t, text, sizeof text - 1, 0, &pair, &offsets, &err);
    if (status == MICA_OK) status = mica_tokenizer_decode(t, ids.data, ids.n, false, &out, &err);
    if (status == MICA_OK) status = mica_decode_stream_create(&s, t, true, &err);
    for (size_t i = 0; i < ids.n && status == MICA_OK; i++)
        status = mica_decode_stream_push(s, ids.data[i], &part, NULL, &err);
    if (status == MICA_OK) status = mica_decode_stream_flush(s, &part, NULL, &err);
    mica_decode_stream_free(s);
    mica_text_release(&out);
    mica_ids_release(&ids);
    mica_ids_release(&pair);
    mica_ids_release(&types);
    mica_ids_release(&offsets);
    mica_tokenizer_free(t);
    return status;
}

static void fail_each(const char *name, const char *json, size_t n)
{
    static const char config[] = "{\"bos_token\":\"<bos>\",\"added_tokens_decoder\":{\"900\":{\"content\":\"[X]\"}},"
                                 "\"additional_special_tokens\":[\"<y>\"]}";
    allocations = 0;
    fail_at = SIZE_MAX;
    mica_status status = run_all(json, n, config);
    if (status != MICA_OK) fail_msg("%s: %s", name, mica_status_name(status));
    size_t total = allocations, step = total > 400 ? total / 400 : 1;
    for (size_t i = 0; i < total; i += i < 150 ? 1 : step) {
        allocations = 0;
        fail_at = i;
        status = run_all(json, n, config);
        if (status != MICA_MEMORY && status != MICA_OK)
            fail_msg("%s: allocation %zu gives %s", name, i, mica_status_name(status));
        if (live) fail_msg("%s: allocation %zu leaks %zu blocks", name, i, live);
    }
    fail_at = SIZE_MAX;
}

static void test_memory(void **state)
{
    (void)state;
    static const char *const names[] = {"normalizer-precompiled",
                                        "normalizer-bert",
                                        "normalizer-nfkc",
                                        "split-metaspace-first",
                                        "regex-1",
                                        "split-scripts",
                                        "bpe-byte-level",
                                        "bpe-whole-text",
                                        "bpe-suffix",
                                        "unigram-bytes",
                                        "wordpiece",
                                        "post-template",
                                        "added-lower",
                                        "decoder-ctc",
                                        "decoder-bpe",
                                        "decoder-fuse-regex"};
    static const mica_allocator allocator = {counting, NULL};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        mica__buf json = zoo_find(names[i]);
        mica_set_allocator(&allocator);
        fail_each(names[i], json.p, json.n);
        mica_set_allocator(NULL);
        mica__buf_release(&json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_files), cmocka_unit_test(test_large_files), cmocka_unit_test(test_bad_texts),
        cmocka_unit_test(test_unknown),   cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
