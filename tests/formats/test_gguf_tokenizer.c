/* tokenizer.json and tokenizer_config.json made from GGUF metadata: merges derived from scores, recipes by name, special tokens,
 * templates, and what is refused. That real vocabularies tokenize as they should is tested in tests/models/test_text_files.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/gguf_model.h"
#include "formats/gguf_pretokenizers.h"
#include "failing_allocator.h"
#include "formats_test.h"
#include "gguf_build.h"

#include <math.h>

typedef mica_status maker(const mica__gguf *g, mica__buf *out, mica_error *err);

static mica_status make_text(gguf_file *f, maker *make, mica__buf *text, mica_error *err)
{
    size_t n;
    uint8_t *bytes = gguf_end(f, 0, &n);
    mica__gguf g;
    mica_status status = mica__gguf_parse(&g, bytes, n, "f.gguf", err);
    if (status == MICA_OK) {
        status = make(&g, text, err);
        mica__gguf_release(&g);
    }
    free(bytes);
    return status;
}

/* The text made from f, which must be JSON and hold every given part as compact JSON under the path "a.b". */
static void check(gguf_file *f, maker *make, const char *const *parts)
{
    mica__buf text = {0}, part = {0};
    mica__json doc;
    mica_error err;
    if (make_text(f, make, &text, &err) != MICA_OK) fail_msg("%s", err.message);
    const mica__json_limits limits = {.unique_keys = true};
    if (mica__json_parse(&doc, text.p, text.n, &limits, &err) != MICA_OK) fail_msg("%s", err.message);
    for (; *parts; parts += 2) {
        mica__jval v = mica__json_root(&doc);
        char path[100], *rest = path;
        snprintf(path, sizeof path, "%s", parts[0]);
        for (char *name; (name = strsep(&rest, "."));) v = mica__json_get(v, name);
        mica__buf_clear(&part);
        if (v)
            mica__json_write(&part, v);
        else
            mica__buf_append_z(&part, "absent");
        if (strcmp(part.p, parts[1]) != 0) fail_msg("%s is %s, expected %s", parts[0], part.p, parts[1]);
    }
    mica__json_release(&doc);
    mica__buf_release(&text);
    mica__buf_release(&part);
}

#define CHECK(f, make, ...) check(f, make, (const char *const[]){__VA_ARGS__, NULL})

static void refuse(const char *what, gguf_file *f, maker *make, mica_status expected, const char *part)
{
    mica__buf text = {0};
    mica_error err;
    assert_failure(what, make_text(f, make, &text, &err), expected, &err, part);
    mica__buf_release(&text);
}

#define META "\xe2\x96\x81"

static const char *const pieces[] = {"<unk>", "<s>", "</s>",    "<0x0A>", META, "a",
                                     "b",     "ab",  META "ab", "aab",    "  ", "<x>"};
static const int32_t piece_types[] = {2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 4, 4};
static const float piece_scores[] = {0, 0, 0, 0, -7, -8, -9, -2, -3, -2, -1000, -1000};
enum { N_PIECES = 12 };

static gguf_file piece_file(void)
{
    gguf_file f = gguf_begin(3);
    gguf_put_string(&f, "tokenizer.ggml.model", "llama");
    gguf_put_strings(&f, "tokenizer.ggml.tokens", pieces, N_PIECES);
    gguf_put_ints(&f, "tokenizer.ggml.token_type", piece_types, N_PIECES);
    gguf_put_floats(&f, "tokenizer.ggml.scores", piece_scores, N_PIECES);
    return f;
}

/* User-defined pieces first, then by score; of one score the longer left part first. */
static void sentencepiece(void **state)
{
    (void)state;
    gguf_file f = piece_file();
    CHECK(&f, mica__gguf_tokenizer, "model.merges",
          "[[\"" META "\",\"" META "\"],[\"a\",\"ab\"],[\"a\",\"b\"],[\"" META "\",\"ab\"]]", "model.type", "\"BPE\"",
          "model.unk_token", "\"<unk>\"", "model.byte_fallback", "false", "model.fuse_unk", "true",
          "model.vocab." META META, "10", "model.vocab.<0x0A>", "3", "pre_tokenizer", "null", "normalizer",
          "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"" META
          "\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" META "\"}]}",
          "post_processor.single",
          "[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]",
          "post_processor.special_tokens", "{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],\"tokens\":[\"<s>\"]}}");
    f = piece_file();
    gguf_put_bool(&f, "tokenizer.ggml.add_space_prefix", false);
    gguf_put_bool(&f, "tokenizer.ggml.add_bos_token", false);
    gguf_put_bool(&f, "tokenizer.ggml.add_eos_token", true);
    CHECK(&f, mica__gguf_tokenizer, "normalizer.type", "\"Replace\"", "decoder.decoders",
          "[{\"type\":\"Replace\",\"pattern\":{\"String\":\"" META
          "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]",
          "post_processor.pair",
          "[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"</s>\",\"type_id\":0}},"
          "{\"Sequence\":{\"id\":\"B\",\"type_id\":1}},{\"SpecialToken\":{\"id\":\"</s>\",\"type_id\":1}}]");
    f = piece_file();
    CHECK(&f, mica__gguf_tokenizer_config, "bos_token", "\"<s>\"", "eos_token", "\"</s>\"", "unk_token", "\"<unk>\"",
          "pad_token", "absent", "chat_template", "absent");
}

static const char *const byte_tokens[] = {"a",
                                          "b",
                                          "ab",
                                          "\xc4\xa0",
                                          ("\xc4\xa0"
                                           "a"),
                                          "<|end|>",
                                          "<tool>",
                                          "",
                                          "\xff",
                                          "b a"};
static const int32_t byte_types[] = {1, 1, 1, 1, 1, 3, 4, 1, 1, 1};
enum { N_BYTES = 10 };

static gguf_file byte_file(const char *pre, const char *const *merges, size_t n_merges)
{
    gguf_file f = gguf_begin(3);
    gguf_put_string(&f, "tokenizer.ggml.model", "gpt2");
    if (pre) gguf_put_string(&f, "tokenizer.ggml.pre", pre);
    gguf_put_strings(&f, "tokenizer.ggml.tokens", byte_tokens, N_BYTES);
    gguf_put_ints(&f, "tokenizer.ggml.token_type", byte_types, N_BYTES);
    gguf_put_strings(&f, "tokenizer.ggml.merges", merges, n_merges);
    return f;
}

static const char *const merges[] = {"a b", "\xc4\xa0 a", " \xc4\xa0 a"};

static void byte_level(void **state)
{
    (void)state;
    gguf_file f = byte_file("smollm", merges, 2);
    CHECK(&f, mica__gguf_tokenizer, "model.merges", "[[\"a\",\"b\"],[\"\xc4\xa0\",\"a\"]]", "model.ignore_merges",
          "false", "normalizer", "null", "post_processor", "null", "model.unk_token", "null", "model.vocab.[EMPTY_7]",
          "7", "model.vocab.[INVALID_8]", "8", "added_tokens",
          "[{\"id\":5,\"content\":\"<|end|>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":"
          "false,\"special\":true},"
          "{\"id\":6,\"content\":\"<tool>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":"
          "false,\"special\":false}]",
          "pre_tokenizer.pretokenizers",
          "[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{N}\"},\"behavior\":\"Isolated\",\"invert\":false},{"
          "\"type\":\"Split\","
          "\"pattern\":{\"Regex\":\"'s|'t|'re|'ve|'m|'ll|'d| ?\\\\p{L}+| ?\\\\p{N}+| "
          "?[^\\\\s\\\\p{L}\\\\p{N}]+|\\\\s+(?!\\\\S)|\\\\s+\"},"
          "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_"
          "offsets\":true,"
          "\"use_regex\":false}]");
    f = byte_file("smollm", merges + 2, 1); /* cut at the first space that is not the first byte */
    CHECK(&f, mica__gguf_tokenizer, "model.merges", "[[\" \xc4\xa0\",\"a\"]]");
    f = byte_file("qwen2", merges, 2);
    CHECK(&f, mica__gguf_tokenizer, "normalizer", "{\"type\":\"NFC\"}");
    f = byte_file("llama-bpe", merges, 2);
    gguf_put_u32(&f, "tokenizer.ggml.bos_token_id", 5);
    CHECK(&f, mica__gguf_tokenizer, "model.ignore_merges", "true", "post_processor.single",
          "[{\"SpecialToken\":{\"id\":\"<|end|>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]");
    f = byte_file("llama-bpe", merges, 2);
    gguf_put_u32(&f, "tokenizer.ggml.bos_token_id", 5);
    gguf_put_bool(&f, "tokenizer.ggml.add_bos_token", false);
    CHECK(&f, mica__gguf_tokenizer, "post_processor", "null");
    f = byte_file(NULL, merges, 2);
    CHECK(&f, mica__gguf_tokenizer, "model.type", "\"BPE\"");
    f = byte_file("whitespace", merges, 2);
    CHECK(&f, mica__gguf_tokenizer, "model.byte_fallback", "false", "normalizer", "null", "decoder.decoders",
          "[{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]");
}

static void templates(void **state)
{
    (void)state;
    gguf_file f = byte_file("smollm", merges, 2);
    gguf_put_string(&f, "tokenizer.chat_template", "{{ \"x\" }}\n");
    CHECK(&f, mica__gguf_tokenizer_config, "chat_template", "\"{{ \\\"x\\\" }}\\n\"", "bos_token", "absent");
    f = byte_file("smollm", merges, 2);
    gguf_put_string(&f, "tokenizer.chat_template.tool_use", "t");
    gguf_put_string(&f, "tokenizer.chat_template", "d");
    gguf_put_strings(&f, "tokenizer.chat_templates", (const char *[]){"tool_use"}, 1);
    CHECK(&f, mica__gguf_tokenizer_config, "chat_template",
          "[{\"name\":\"default\",\"template\":\"d\"},{\"name\":\"tool_use\",\"template\":\"t\"}]");
    mica__buf text = {0};
    mica_error err;
    f = byte_file("smollm", merges, 2);
    gguf_put_string(&f, "tokenizer.chat_template", "d");
    assert_int_equal(make_text(&f, mica__gguf_chat_template, &text, &err), MICA_OK);
    assert_string_equal(text.p, "d");
    mica__buf_release(&text);
    f = byte_file("smollm", merges, 2);
    refuse("none", &f, mica__gguf_chat_template, MICA_NOT_FOUND, "chat template");
}

static void embedded(void **state)
{
    (void)state;
    gguf_file f = byte_file("smollm", merges, 2);
    gguf_put_string(&f, "tokenizer.huggingface.json", "{\"model\": {\"type\": \"Unigram\"}}");
    CHECK(&f, mica__gguf_tokenizer, "model.type", "\"Unigram\"", "added_tokens", "absent");
    f = byte_file("smollm", merges, 2);
    gguf_put_string(&f, "tokenizer.huggingface.json", "{\"model\": ");
    CHECK(&f, mica__gguf_tokenizer, "model.type", "\"BPE\"");
}

static void refusals(void **state)
{
    (void)state;
    gguf_file f = gguf_begin(3);
    refuse("nothing", &f, mica__gguf_tokenizer, MICA_NOT_FOUND, "no tokenizer");
    f = gguf_begin(3);
    refuse("nothing", &f, mica__gguf_tokenizer_config, MICA_NOT_FOUND, "no tokenizer");
    f = gguf_begin(3);
    gguf_put_string(&f, "tokenizer.ggml.model", "no_vocab");
    refuse("none", &f, mica__gguf_tokenizer, MICA_NOT_FOUND, "no tokenizer");
    f = gguf_begin(3);
    gguf_put_string(&f, "tokenizer.ggml.model", "gpt2");
    refuse("no tokens", &f, mica__gguf_tokenizer, MICA_NOT_FOUND, "no tokens");
    static const char *const models[] = {"bert", "t5", "rwkv", "plamo2", "x\n"};
    for (int i = 0; i < 5; i++) {
        f = gguf_begin(3);
        gguf_put_string(&f, "tokenizer.ggml.model", models[i]);
        refuse(models[i], &f, mica__gguf_tokenizer, MICA_UNSUPPORTED, i < 4 ? models[i] : "'x\\n'");
    }
    f = byte_file("my-tokenizer", merges, 2);
    refuse("pre", &f, mica__gguf_tokenizer, MICA_UNSUPPORTED, "pre-tokenizer 'my-tokenizer' is not known");
    f = byte_file("", merges, 2);
    refuse("pre", &f, mica__gguf_tokenizer, MICA_UNSUPPORTED, "pre-tokenizer ''");
    f = byte_file("smollm refact", merges, 2);
    refuse("pre", &f, mica__gguf_tokenizer, MICA_UNSUPPORTED, "pre-tokenizer 'smollm refact'");
    f = byte_file("smollm", (const char *[]){"ab"}, 1);
    refuse("merge", &f, mica__gguf_tokenizer, MICA_DATA, "merge 0 ('ab')");
    f = byte_file("smollm", (const char *[]){"a b", " "}, 2);
    refuse("merge", &f, mica__gguf_tokenizer, MICA_DATA, "merge 1");

    f = gguf_begin(3);
    gguf_put_string(&f, "tokenizer.ggml.model", "llama");
    gguf_put_strings(&f, "tokenizer.ggml.tokens", pieces, N_PIECES);
    refuse("no scores", &f, mica__gguf_tokenizer, MICA_DATA, "12 tokens, but 0 scores");
    f = gguf_begin(3);
    gguf_put_string(&f, "tokenizer.ggml.model", "llama");
    gguf_put_strings(&f, "tokenizer.ggml.tokens", pieces, N_PIECES);
    gguf_put_floats(&f, "tokenizer.ggml.scores", piece_scores, 11);
    refuse("few scores", &f, mica__gguf_tokenizer, MICA_DATA, "12 tokens, but 11 scores");
    f = gguf_begin(3);
    gguf_put_string(&f, "tokenizer.ggml.model", "llama");
    gguf_put_strings(&f, "tokenizer.ggml.tokens", pieces, N_PIECES);
    gguf_put_ints(&f, "tokenizer.ggml.token_type", piece_types, 11);
    refuse("few types", &f, mica__gguf_tokenizer, MICA_DATA, "12 tokens, but 11 entries in tokenizer.ggml.token_type");
    f = gguf_begin(3);
    gguf_put_string(&f, "tokenizer.ggml.model", "llama");
    gguf_put_strings(&f, "tokenizer.ggml.tokens", pieces, 2);
    gguf_put_floats(&f, "tokenizer.ggml.scores", (float[]){0, NAN}, 2);
    refuse("NaN", &f, mica__gguf_tokenizer, MICA_DATA, "score of token 1");
    f = gguf_begin(3);
    gguf_put_string(&f, "tokenizer.ggml.model", "llama");
    gguf_put_strings(&f, "tokenizer.ggml.tokens", (const char *[]){"a", "b", "a"}, 3);
    gguf_put_floats(&f, "tokenizer.ggml.scores", piece_scores, 3);
    refuse("twice", &f, mica__gguf_tokenizer, MICA_DATA, "token 'a' occurs twice (again as 2)");
    f = piece_file();
    gguf_put_u32(&f, "tokenizer.ggml.bos_token_id", 12);
    refuse("bos", &f, mica__gguf_tokenizer, MICA_DATA, "tokenizer.ggml.bos_token_id is 12, but there are 12 tokens");
    f = piece_file();
    gguf_put_u32(&f, "tokenizer.ggml.unknown_token_id", UINT32_MAX);
    refuse("unknown", &f, mica__gguf_tokenizer, MICA_DATA, "tokenizer.ggml.unknown_token_id");
    f = piece_file();
    gguf_put_u32(&f, "tokenizer.ggml.mask_token_id", 99);
    refuse("mask", &f, mica__gguf_tokenizer_config, MICA_DATA, "tokenizer.ggml.mask_token_id");
}

static mica_status attempt(void *context)
{
    mica__buf text = {0};
    mica_status status = mica__gguf_tokenizer(context, &text, NULL);
    if (status == MICA_OK) status = mica__gguf_tokenizer_config(context, &text, NULL);
    if (status == MICA_OK) status = mica__buf_status(&text, NULL, "tokenizer.json");
    mica__buf_release(&text);
    return status;
}

static void sweep(gguf_file f)
{
    size_t n;
    gguf_put_string(&f, "tokenizer.chat_template.tool_use", "t");
    uint8_t *bytes = gguf_end(&f, 0, &n);
    mica__gguf g;
    mica_error err;
    assert_int_equal(mica__gguf_parse(&g, bytes, n, "f.gguf", &err), MICA_OK);
    assert_true(failing_allocator_sweep(attempt, &g) > 5);
    mica__gguf_release(&g);
    free(bytes);
}

static void short_of_memory(void **state)
{
    (void)state;
    sweep(piece_file());
    sweep(byte_file("tekken", merges, 2));
    sweep(byte_file("gemma4", merges, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentencepiece), cmocka_unit_test(byte_level), cmocka_unit_test(templates),
        cmocka_unit_test(embedded),      cmocka_unit_test(refusals),   cmocka_unit_test(short_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
