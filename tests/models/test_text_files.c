/* Tokenizers and chat templates from files: which file wins, older companions, GGUF files with every pre-tokenizer, and a real model's
 * reference rows when both are on this machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "failing_allocator.h"
#include "formats/formats_test.h"
#include "formats/gguf_build.h"
#include <mica/chat_template.h>
#include <mica/checkpoint.h>

#include <sys/stat.h>

static const char TOKENIZER[] = "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"special\":true,"
                                "\"normalized\":false}],\"model\":{\"type\":\"BPE\","
                                "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"<s>\":3},\"merges\":[\"a b\"]}}";

#define META "\xe2\x96\x81"

static void write_text(const char *dir, const char *name, const char *text)
{
    write_file(dir, name, text, strlen(text));
}

static mica_tokenizer *load_tokenizer(const char *path, mica_status expected, const char *part)
{
    mica_error err;
    mica_tokenizer *t = NULL;
    assert_failure(path, mica_tokenizer_load(&t, path, &err), expected, &err, part);
    return t;
}

static void assert_ids(const mica_tokenizer *t, const char *text, unsigned flags, const int32_t *expected, size_t n)
{
    mica_ids ids = {0};
    mica_error err;
    assert_int_equal(mica_tokenizer_encode(t, text, strlen(text), flags, &ids, &err), MICA_OK);
    if (ids.n != n || (n && memcmp(ids.data, expected, n * sizeof *expected) != 0)) {
        printf("%.60s:", text);
        for (size_t i = 0; i < ids.n; i++) printf(" %d", ids.data[i]);
        fail_msg("expected %zu other ids", n);
    }
    mica_ids_release(&ids);
}

static void checkpoint_texts(void **state)
{
    (void)state;
    char *dir = temp_dir();
    mica_error err;
    mica_text text = {0};
    write_text(dir, "config.json", "{\"model_type\": \"llama\"}");
    assert_int_equal(mica_checkpoint_text(dir, "config.json", &text, &err), MICA_OK);
    assert_string_equal(text.data, "{\"model_type\": \"llama\"}");
    /* Nothing found: what was there stays. */
    assert_int_equal(mica_checkpoint_text(dir, "generation_config.json", &text, &err), MICA_NOT_FOUND);
    assert_int_equal(mica_checkpoint_text(dir, "tokenizer_config.json", &text, &err), MICA_NOT_FOUND);
    assert_string_equal(text.data, "{\"model_type\": \"llama\"}");
    mica_text_release(&text);
    write_text(dir, "tokenizer_config.json", "{}");
    write_text(dir, "special_tokens_map.json", "{\"bos_token\": \"<s>\"}");
    assert_int_equal(mica_checkpoint_text(dir, "tokenizer_config.json", &text, &err), MICA_OK);
    assert_non_null(strstr(text.data, "<s>"));
    mica_text_release(&text);
    temp_dir_remove(dir);
}

static void tokenizer_folder(void **state)
{
    (void)state;
    char *dir = temp_dir(), *file = mica__path_join(dir, "tokenizer.json");
    load_tokenizer(dir, MICA_NOT_FOUND, "tokenizer.json");
    load_tokenizer(file, MICA_NOT_FOUND, "tokenizer.json");
    write_text(dir, "tokenizer.json", TOKENIZER);
    write_text(dir, "model.safetensors", "broken, but of no interest here");
    mica_tokenizer *t = load_tokenizer(dir, MICA_OK, "");
    assert_ids(t, "ab<s>a", 0, (int32_t[]){2, 3, 0}, 3);
    assert_null(mica_tokenizer_special(t, "bos_token", NULL));
    mica_tokenizer_free(t);

    write_text(dir, "tokenizer_config.json", "{\"bos_token\":\"<s>\",\"eos_token\":null}");
    write_text(dir, "special_tokens_map.json", "{\"eos_token\":{\"content\":\"<e>\"},\"bos_token\":\"<s>\"}");
    write_text(dir, "added_tokens.json", "{\"<e>\":4,\"<extra>\":5}");
    t = load_tokenizer(dir, MICA_OK, "");
    int32_t id;
    assert_string_equal(mica_tokenizer_special(t, "bos_token", &id), "<s>");
    assert_int_equal(id, 3);
    assert_string_equal(mica_tokenizer_special(t, "eos_token", &id), "<e>");
    assert_int_equal(id, 4);
    assert_ids(t, "a<extra><e>", 0, (int32_t[]){0, 5, 4}, 3);
    assert_false(mica_tokenizer_is_special(t, 5));
    assert_true(mica_tokenizer_is_special(t, 4));
    mica_tokenizer_free(t);
    t = load_tokenizer(file, MICA_OK, ""); /* the file alone */
    assert_null(mica_tokenizer_special(t, "bos_token", NULL));
    mica_tokenizer_free(t);

    /* A config that lists the added tokens makes the older files mute. */
    write_text(dir, "tokenizer_config.json",
               "{\"bos_token\":\"<s>\",\"added_tokens_decoder\":{\"3\":{\"content\":\"<s>\",\"special\":true}}}");
    t = load_tokenizer(dir, MICA_OK, "");
    assert_null(mica_tokenizer_special(t, "eos_token", NULL));
    assert_int_equal(mica_tokenizer_size(t), 4);
    mica_tokenizer_free(t);
    write_text(dir, "tokenizer_config.json", "{\"bos_token\":");
    load_tokenizer(dir, MICA_DATA, "tokenizer_config.json");
    write_text(dir, "tokenizer_config.json", "[]");
    load_tokenizer(dir, MICA_DATA, "tokenizer_config.json: expected an object");
    write_text(dir, "tokenizer_config.json", "{}");
    write_text(dir, "tokenizer.json", "{\"version\":");
    load_tokenizer(dir, MICA_DATA, dir);
    mica__free(file);
    temp_dir_remove(dir);
}

/* ---- chat templates -------------------------------------------------------------------------------------------------------- */

/* What the template of `path` makes of one message, with tools or without; "absent" if there is none. */
static void assert_renders(const char *path, bool tools, const char *name, const char *expected)
{
    mica_chat_template *t = NULL;
    mica_error err;
    mica_text out = {0};
    mica_status status = mica_chat_template_load(&t, path, &err);
    if (status == MICA_NOT_FOUND) {
        assert_string_equal(expected, "absent");
        return;
    }
    if (status != MICA_OK) fail_msg("%s", err.message);
    const char *input =
        tools ? "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"function\"}]}"
              : "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
    status =
        mica_chat_template_render(t, input, strlen(input), &(mica_chat_template_options){.name = name}, &out, &err);
    if (status != MICA_OK) fail_msg("%s", err.message);
    assert_string_equal(out.data, expected);
    mica_text_release(&out);
    mica_chat_template_free(t);
}

/* From the last resort to the first. */
static void template_order(void **state)
{
    (void)state;
    char *dir = temp_dir(), folder[600];
    assert_renders(dir, false, NULL, "absent");
    write_text(dir, "tokenizer_config.json",
               "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"</s>\",\"add_bos_token\":true}");
    assert_renders(dir, false, NULL, "absent");
    write_text(dir, "chat_template.json", "{\"chat_template\":\"old {{ bos_token }}\"}");
    assert_renders(dir, false, NULL, "old <s>");
    write_text(
        dir, "tokenizer_config.json",
        "{\"bos_token\":{\"content\":\"<s>\"},\"chat_template\":\"config {{ messages[0].content }}{{ bos_token }}\"}");
    assert_renders(dir, false, NULL, "config hi<s>");
    write_text(
        dir, "tokenizer_config.json",
        "{\"chat_template\":[{\"name\":\"default\",\"template\":\"D\"},{\"name\":\"tool_use\",\"template\":\"T\"}]}");
    assert_renders(dir, false, NULL, "D");
    assert_renders(dir, true, NULL, "T");
    assert_renders(dir, false, "tool_use", "T");
    write_text(dir, "chat_template.jinja", "file {{ messages[0].role }}");
    assert_renders(dir, true, NULL, "file user");
    snprintf(folder, sizeof folder, "%s/additional_chat_templates", dir);
    assert_int_equal(mkdir(folder, 0700), 0);
    write_text(folder, "tool_use.jinja", "tool file");
    write_text(folder, "rag.jinja", "rag file");
    write_text(folder, "notes.txt", "{% broken");
    assert_renders(dir, true, NULL, "tool file");
    assert_renders(dir, false, NULL, "file user");
    assert_renders(dir, false, "rag", "rag file");
    temp_dir_remove(dir);
}

static void bad_templates(void **state)
{
    (void)state;
    char *dir = temp_dir();
    mica_chat_template *t;
    mica_error err;
    assert_failure("absent", mica_chat_template_load(&t, dir, &err), MICA_NOT_FOUND, &err, dir);
    write_text(dir, "tokenizer_config.json", "{\"chat_template\":[{\"name\":\"default\"}]}");
    assert_failure("entry", mica_chat_template_load(&t, dir, &err), MICA_DATA, &err,
                   "tokenizer_config.json: chat_template");
    write_text(dir, "tokenizer_config.json", "{\"chat_template\":7}");
    assert_failure("number", mica_chat_template_load(&t, dir, &err), MICA_DATA, &err,
                   "tokenizer_config.json: chat_template");
    write_text(dir, "tokenizer_config.json", "{");
    assert_failure("config", mica_chat_template_load(&t, dir, &err), MICA_DATA, &err, "tokenizer_config.json");
    write_text(dir, "tokenizer_config.json", "{\"chat_template\":\"{% for %}\"}");
    assert_failure("template", mica_chat_template_load(&t, dir, &err), MICA_DATA, &err, dir);
    assert_null(t);
    temp_dir_remove(dir);
    assert_failure("gone", mica_chat_template_load(&t, dir, &err), MICA_NOT_FOUND, &err, dir);
}

/* ---- GGUF files ------------------------------------------------------------------------------------------------------------ */

/* Every name of gguf_pretokenizers.c. */
static const char PRETOKENIZERS[] = "default falcon gpt-2 phi-2 jina-es jina-de jina-v2-es jina-v2-de gigachat a.x-4.0 "
                                    "mellum modern-bert exaone4 mpt olmo jais trillion "
                                    "granite-docling jina-v1-en jina-v2-code roberta-bpe smollm starcoder refact "
                                    "command-r codeshell exaone minerva-7b mellum2 llama-bpe llama3 "
                                    "llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano dbrx smaug-bpe glm4 "
                                    "chatglm-bpe minicpm5 ufakzeka qwen2 deepseek-r1-qwen "
                                    "kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2 laguna qwen35 tekken "
                                    "gpt-4o llama4 kanana2 talkie minimax-m2 "
                                    "granite-embed-multi-97m tiny_aya cohere2moe youtu deepseek-v3 hunyuan-dense "
                                    "joyai-llm hy_v4 spark2_5 afmoe deepseek-coder deepseek-llm "
                                    "bloom gpt3-finnish poro-chat viking superbpe gemma4 granite-embed-multi-311m "
                                    "sarvam-moe whitespace jais-2 bailingmoe bailingmoe2 llada-moe "
                                    "seed-coder exaone-moe chameleon kimi-k2";

/* The 256 letters of the byte-level alphabet and, for vocabularies without it, the 256 byte tokens. */
static void put_alphabet(gguf_file *f)
{
    static char letters[514][8];
    const char *tokens[514];
    int32_t types[514];
    uint32_t next = 0x100;
    for (int b = 0; b < 256; b++) {
        bool plain = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        letters[b][mica__utf8_encode(plain ? (uint32_t)b : next++, letters[b])] = 0;
        snprintf(letters[256 + b], sizeof letters[0], "<0x%02X>", b);
        types[b] = 1;
        types[256 + b] = 6;
    }
    strcpy(letters[512], "<end>");
    types[512] = 3;
    strcpy(letters[513], META);
    types[513] = 1;
    for (int i = 0; i < 514; i++) tokens[i] = letters[i];
    gguf_put_strings(f, "tokenizer.ggml.tokens", tokens, 514);
    gguf_put_ints(f, "tokenizer.ggml.token_type", types, 514);
    gguf_put_strings(f, "tokenizer.ggml.merges", (const char *[]){"a b"}, 0);
}

/* Each recipe is understood by our own pattern engine, loses nothing of a text, and finds the special token. */
static void every_pretokenizer(void **state)
{
    (void)state;
    static const char text[] =
        "Hello, it's  1234 \xc3\xa9t\xc3\xa9\r\n\n\tfoo_bar \xe4\xbd\xa0\xe5\xa5\xbd<end>~ \xf0\x9f\x98\x80 x";
    char *dir = temp_dir(), *path = mica__path_join(dir, "m.gguf"), names[sizeof PRETOKENIZERS], *rest = names;
    memcpy(names, PRETOKENIZERS, sizeof names);
    int n_names = 0;
    for (char *name; (name = strsep(&rest, " ")); n_names++) {
        gguf_file f = gguf_begin(3);
        gguf_put_string(&f, "tokenizer.ggml.model", "gpt2");
        gguf_put_string(&f, "tokenizer.ggml.pre", name);
        put_alphabet(&f);
        size_t n;
        uint8_t *bytes = gguf_end(&f, 0, &n);
        write_file(dir, "m.gguf", bytes, n);
        free(bytes);
        mica_tokenizer *t = load_tokenizer(path, MICA_OK, "");
        mica_ids ids = {0};
        mica_text back = {0};
        mica_error err;
        if (mica_tokenizer_encode(t, text, strlen(text), 0, &ids, &err) != MICA_OK)
            fail_msg("%s: %s", name, err.message);
        assert_int_equal(mica_tokenizer_decode(t, ids.data, ids.n, false, &back, &err), MICA_OK);
        if (strcmp(back.data, text) != 0) fail_msg("%s: '%s' came back as '%s'", name, text, back.data);
        int n_ends = 0;
        for (size_t i = 0; i < ids.n; i++) n_ends += ids.data[i] == 512;
        assert_int_equal(n_ends, 1);
        mica_ids_release(&ids);
        mica_text_release(&back);
        mica_tokenizer_free(t);
    }
    printf("%d pre-tokenizers\n", n_names);
    mica__free(path);
    temp_dir_remove(dir);
}

static gguf_file small_model(void)
{
    static const char *const tokens[] = {"<unk>",  "<s>",     "</s>", META,     "h",     "i",
                                         META "h", META "hi", "hi",   "<0x21>", "<tool>"};
    gguf_file f = gguf_begin(3);
    gguf_put_string(&f, "tokenizer.ggml.model", "llama");
    gguf_put_strings(&f, "tokenizer.ggml.tokens", tokens, 11);
    gguf_put_floats(&f, "tokenizer.ggml.scores", (float[]){0, 0, 0, -9, -8, -7, -3, -1, -2, 0, -1000}, 11);
    gguf_put_ints(&f, "tokenizer.ggml.token_type", (int32_t[]){2, 3, 3, 1, 1, 1, 1, 1, 1, 6, 4}, 11);
    gguf_put_string(&f, "tokenizer.chat_template", "{{ bos_token }}{{ messages[0].content }}");
    return f;
}

static void sentencepiece(void **state)
{
    (void)state;
    char *dir = temp_dir(), *path = mica__path_join(dir, "m.gguf");
    gguf_file f = small_model();
    size_t n;
    uint8_t *bytes = gguf_end(&f, 0, &n);
    write_file(dir, "m.gguf", bytes, n);
    free(bytes);
    mica_tokenizer *t = load_tokenizer(path, MICA_OK, "");
    /* "hi" joins first, since its score is better than that of the space with h. */
    assert_ids(t, "hi!", MICA_ADD_SPECIAL_TOKENS, (int32_t[]){1, 7, 0}, 3);
    assert_ids(t, "h<tool>i", 0, (int32_t[]){6, 10, 3, 5}, 4);
    assert_string_equal(mica_tokenizer_special(t, "eos_token", NULL), "</s>");
    mica_text text = {0};
    mica_error err;
    assert_int_equal(mica_tokenizer_decode(t, (int32_t[]){1, 7, 7}, 3, true, &text, &err), MICA_OK);
    assert_string_equal(text.data, "hi hi");
    mica_text_release(&text);
    mica_tokenizer_free(t);
    assert_renders(path, false, NULL, "<s>hi");
    mica__free(path);
    temp_dir_remove(dir);
}

/* Row 45: a merge of what is no token. */
static void absent_merges(void **state)
{
    (void)state;
    static const char *const merges[] = {"a z", "z a", "a b"};
    char *dir = temp_dir(), *path = mica__path_join(dir, "m.gguf");
    for (int i = 0; i < 3; i++) {
        gguf_file f = gguf_begin(3);
        gguf_put_string(&f, "tokenizer.ggml.model", "gpt2");
        gguf_put_string(&f, "tokenizer.ggml.pre", "smollm");
        gguf_put_strings(&f, "tokenizer.ggml.tokens", (const char *[]){"a", "b", "c"}, 3);
        gguf_put_strings(&f, "tokenizer.ggml.merges", merges + i, 1);
        size_t n;
        uint8_t *bytes = gguf_end(&f, 0, &n);
        write_file(dir, "m.gguf", bytes, n);
        free(bytes);
        load_tokenizer(path, MICA_DATA, i < 2 ? "'z'" : "'ab'");
    }
    mica__free(path);
    temp_dir_remove(dir);
}

static mica_status attempt(void *context)
{
    mica_tokenizer *t;
    mica_chat_template *c;
    MICA_TRY(mica_tokenizer_load(&t, context, NULL));
    mica_tokenizer_free(t);
    MICA_TRY(mica_chat_template_load(&c, context, NULL));
    mica_chat_template_free(c);
    return MICA_OK;
}

static void short_of_memory(void **state)
{
    (void)state;
    char *dir = temp_dir(), folder[600], path[600];
    write_text(dir, "tokenizer.json", TOKENIZER);
    write_text(dir, "tokenizer_config.json", "{\"bos_token\":\"<s>\"}");
    write_text(dir, "special_tokens_map.json", "{\"eos_token\":{\"content\":\"<e>\"}}");
    write_text(dir, "added_tokens.json", "{\"<e>\":4}");
    write_text(dir, "chat_template.jinja", "x");
    snprintf(folder, sizeof folder, "%s/additional_chat_templates", dir);
    assert_int_equal(mkdir(folder, 0700), 0);
    write_text(folder, "tool_use.jinja", "y");
    assert_true(failing_allocator_sweep(attempt, dir) > 20);
    gguf_file f = small_model();
    size_t n;
    uint8_t *bytes = gguf_end(&f, 0, &n);
    write_file(dir, "m.gguf", bytes, n);
    free(bytes);
    snprintf(path, sizeof path, "%s/m.gguf", dir);
    assert_true(failing_allocator_sweep(attempt, path) > 20);
    temp_dir_remove(dir);
}

/* ---- a real model ---------------------------------------------------------------------------------------------------------- */

static char *model_path(void)
{
    static char path[600];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    bool has_cache = cache && *cache;
    snprintf(path, sizeof path, "%s%s/mica/models/SmolLM2-135M-Instruct.Q4_1.gguf",
             has_cache ? cache
             : home    ? home
                       : "",
             has_cache ? "" : "/.cache");
    if (mica__path_is_file(path)) return path;
    printf("skipped: no %s\n", path);
    return NULL;
}

static void check_row(const mica_tokenizer *t, const mica_chat_template *c, mica__jval row)
{
    mica__str text;
    int32_t ids[512];
    size_t n = 0;
    int64_t id;
    mica_error err;
    assert_true(mica__json_string(mica__json_get(row, "text"), &text));
    mica__jval list = mica__json_get(row, "ids"), messages = mica__json_get(row, "input");
    for (mica__jval e = mica__json_first(list); e && n < 512; e = mica__json_next(list, e))
        if (mica__json_int(e, &id)) ids[n++] = (int32_t)id;
    char *copy = mica__strndup(text.p, text.n);
    assert_ids(t, copy, 0, ids, n);
    if (mica__json_is(messages, MICA__JSON_ARRAY)) {
        mica__buf input = {0};
        mica_text out = {0};
        mica__buf_append_z(&input, "{\"add_generation_prompt\":true,\"messages\":");
        mica__json_write(&input, messages);
        mica__buf_append_char(&input, '}');
        if (mica_chat_template_render(c, input.p, input.n, NULL, &out, &err) != MICA_OK) fail_msg("%s", err.message);
        assert_string_equal(out.data, copy);
        mica__buf_release(&input);
        mica_text_release(&out);
    }
    mica__free(copy);
}

static void reference_rows(void **state)
{
    (void)state;
    char *model = model_path(), *path = shared_path("reference/real/smollm2.json");
    if (!model || !path) skip();
    mica__buf text = {0};
    mica__json doc;
    mica_error err;
    mica_tokenizer *t;
    mica_chat_template *c;
    assert_int_equal(mica__file_read(&text, path, 1 << 20, &err), MICA_OK);
    assert_int_equal(mica__json_parse(&doc, text.p, text.n, NULL, &err), MICA_OK);
    assert_int_equal(mica_tokenizer_load(&t, model, &err), MICA_OK);
    assert_int_equal(mica_chat_template_load(&c, model, &err), MICA_OK);
    mica__jval rows = mica__json_get(mica__json_root(&doc), "rows");
    for (mica__jval row = mica__json_first(rows); row; row = mica__json_next(rows, row)) check_row(t, c, row);
    printf("%zu rows\n", mica__json_count(rows));
    assert_ids(t, "  12", 0, (int32_t[]){256, 33, 34},
               3); /* as the original; without its rule for digits the spaces would part */
    mica_tokenizer_free(t);
    mica_chat_template_free(c);
    mica__json_release(&doc);
    mica__buf_release(&text);
    mica__free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoint_texts), cmocka_unit_test(tokenizer_folder),   cmocka_unit_test(template_order),
        cmocka_unit_test(bad_templates),    cmocka_unit_test(every_pretokenizer), cmocka_unit_test(sentencepiece),
        cmocka_unit_test(short_of_memory),  cmocka_unit_test(reference_rows),     cmocka_unit_test(absent_merges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
