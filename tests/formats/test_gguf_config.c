/* config.json and generation_config.json made from GGUF metadata: Transformers' keys, the constants of architectures, refusals by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/gguf_model.h"
#include "failing_allocator.h"
#include "formats_test.h"
#include "gguf_build.h"

typedef mica_status maker(const mica__gguf *g, mica__buf *out, mica_error *err);

/* Ends the file, makes the text, and parses it into *doc when that works. */
static mica_status make_text(gguf_file *f, maker *make, mica__buf *text, mica__json *doc, mica_error *err)
{
    size_t n;
    uint8_t *bytes = gguf_end(f, f->n_tensors ? 16384 : 0, &n);
    mica__gguf g;
    mica_status status = mica__gguf_parse(&g, bytes, n, "f.gguf", err);
    if (status == MICA_OK) {
        status = make(&g, text, err);
        mica__gguf_release(&g);
    }
    free(bytes);
    if (status == MICA_OK)
        assert_int_equal(mica__json_parse(doc, text->p, text->n, &(mica__json_limits){.unique_keys = true}, err),
                         MICA_OK);
    return status;
}

static void assert_json(mica__jval v, const char *field, const char *expected)
{
    mica__buf b = {0};
    if (v) mica__json_write(&b, v);
    if (strcmp(v ? b.p : "absent", expected) != 0)
        fail_msg("%s is %s, expected %s", field, v ? b.p : "absent", expected);
    mica__buf_release(&b);
}

/* Pairs of a field and its compact JSON ("absent": must not be there), ended by NULL. */
static void check(gguf_file *f, maker *make, const char *const *fields)
{
    mica__buf text = {0};
    mica__json doc;
    mica_error err;
    if (make_text(f, make, &text, &doc, &err) != MICA_OK) fail_msg("%s", err.message);
    for (; *fields; fields += 2) assert_json(mica__json_get(mica__json_root(&doc), fields[0]), fields[0], fields[1]);
    mica__json_release(&doc);
    mica__buf_release(&text);
}

#define CHECK(f, make, ...) check(f, make, (const char *const[]){__VA_ARGS__, NULL})

static void refuse(const char *what, gguf_file *f, maker *make, mica_status expected, const char *part)
{
    mica__buf text = {0};
    mica__json doc;
    mica_error err;
    assert_failure(what, make_text(f, make, &text, &doc, &err), expected, &err, part);
    mica__buf_release(&text);
}

static void common_fields(void **state)
{
    (void)state;
    gguf_file f = gguf_begin_model("llama");
    gguf_put_tensor(&f, "token_embd.weight", 2, (uint64_t[]){64, 7}, 0, 0);
    gguf_put_f32(&f, "llama.rope.freq_base", 500000);
    gguf_put_u32(&f, "tokenizer.ggml.bos_token_id", 1);
    CHECK(&f, mica__gguf_config, "model_type", "\"llama\"", "architectures", "[\"LlamaForCausalLM\"]", "vocab_size",
          "7", "hidden_size", "64", "intermediate_size", "96", "num_hidden_layers", "2", "num_attention_heads", "4",
          "num_key_value_heads", "2", "head_dim", "16", "max_position_embeddings", "128", "rms_norm_eps", "1e-05",
          "tie_word_embeddings", "true", "hidden_act", "\"silu\"", "attention_bias", "false", "mlp_bias", "false",
          "rope_parameters", "{\"rope_type\":\"default\",\"rope_theta\":500000.0}", "bos_token_id", "1", "eos_token_id",
          "absent");
    f = gguf_begin_model("llama");
    gguf_put_tensor(&f, "output.weight", 2, (uint64_t[]){64, 7}, 0, 0);
    gguf_put_tensor(&f, "blk.0.attn_q.bias", 1, (uint64_t[]){64}, 0, 4096);
    gguf_put_tensor(&f, "blk.0.ffn_gate.bias", 1, (uint64_t[]){64}, 0, 8192);
    gguf_put_u32(&f, "llama.attention.key_length", 32);
    gguf_put_u32(&f, "llama.attention.value_length", 32);
    gguf_put_u32(&f, "llama.rope.dimension_count", 32);
    gguf_put_u32(&f, "llama.nextn_predict_layers", 1);
    CHECK(&f, mica__gguf_config, "tie_word_embeddings", "false", "attention_bias", "true", "mlp_bias", "true",
          "head_dim", "32", "num_hidden_layers", "1", "rope_parameters",
          "{\"rope_type\":\"default\",\"rope_theta\":10000.0}");
}

static void rope_scaling(void **state)
{
    (void)state;
    gguf_file f = gguf_begin_model("llama");
    gguf_put_f32(&f, "llama.rope.scale_linear", 2);
    CHECK(&f, mica__gguf_config, "rope_parameters", "{\"rope_type\":\"linear\",\"factor\":2.0,\"rope_theta\":10000.0}");
    f = gguf_begin_model("qwen2");
    gguf_put_string(&f, "qwen2.rope.scaling.type", "yarn");
    gguf_put_f32(&f, "qwen2.rope.scaling.factor", 4);
    gguf_put_u32(&f, "qwen2.rope.scaling.original_context_length", 32);
    CHECK(&f, mica__gguf_config, "rope_parameters",
          "{\"rope_type\":\"yarn\",\"factor\":4.0,\"original_max_position_embeddings\":32,\"beta_fast\":32.0,\"beta_"
          "slow\":1.0,"
          "\"attention_factor\":1.138629436111989,\"rope_theta\":10000.0}");
    f = gguf_begin_model("llama");
    gguf_put_tensor(&f, "rope_freqs.weight", 1, (uint64_t[]){8}, 0, 0);
    size_t n;
    uint8_t *bytes = gguf_end(&f, 32, &n);
    const float divisors[8] = {1, 1, 1, 1.5f, 2, 4, 8, 8};
    memcpy(bytes + n - 32, divisors, 32);
    mica__gguf g;
    mica_error err;
    mica__buf text = {0};
    assert_int_equal(mica__gguf_parse(&g, bytes, n, "f.gguf", &err), MICA_OK);
    assert_int_equal(mica__gguf_config(&g, &text, &err), MICA_OK);
    assert_non_null(strstr(
        text.p,
        "\"rope_type\": \"longrope\", \"short_factor\": [1.0, 1.0, 1.0, 1.5, 2.0, 4.0, 8.0, 8.0], \"long_factor\": "
        "[1.0, 1.0, 1.0, 1.5, 2.0, 4.0, 8.0, 8.0], \"attention_factor\": 1.0"));
    mica__gguf_release(&g);
    mica__buf_release(&text);
    memset(bytes + n - 32, 0, 32); /* nothing can be divided by that */
    assert_int_equal(mica__gguf_parse(&g, bytes, n, "f.gguf", &err), MICA_OK);
    assert_failure("zero", mica__gguf_config(&g, &text, &err), MICA_DATA, &err, "'rope_freqs.weight'");
    mica__gguf_release(&g);
    mica__buf_release(&text);
    free(bytes);
    f = gguf_begin_model("llama");
    gguf_put_tensor(&f, "rope_freqs.weight", 1, (uint64_t[]){7}, 0, 0);
    refuse("7 of 8", &f, mica__gguf_config, MICA_DATA, "'rope_freqs.weight': expected 8");
    f = gguf_begin_model("llama");
    gguf_put_string(&f, "llama.rope.scaling.type", "longrope");
    refuse("longrope", &f, mica__gguf_config, MICA_UNSUPPORTED, "longrope");
    f = gguf_begin_model("llama");
    gguf_put_f32(&f, "llama.rope.scaling.factor", 0);
    refuse("factor", &f, mica__gguf_config, MICA_DATA, "llama.rope.scaling.factor");
}

static void architectures(void **state)
{
    (void)state;
    gguf_file f = gguf_begin_model("qwen3");
    CHECK(&f, mica__gguf_config, "model_type", "\"qwen3\"", "attention_bias", "absent", "hidden_act", "\"silu\"");
    f = gguf_begin_model("mistral3");
    gguf_put_string(&f, "mistral3.rope.scaling.type", "yarn");
    gguf_put_f32(&f, "mistral3.rope.scaling.factor", 16);
    gguf_put_f32(&f, "mistral3.rope.scaling.yarn_log_multiplier", 1);
    gguf_put_f32(&f, "mistral3.attention.temperature_scale", 0.1f);
    CHECK(&f, mica__gguf_config, "model_type", "\"ministral3\"", "rope_parameters",
          "{\"rope_type\":\"yarn\",\"factor\":16.0,\"original_max_position_embeddings\":128,\"beta_fast\":32.0,\"beta_"
          "slow\":1.0,"
          "\"attention_factor\":1.0,\"rope_theta\":10000.0,\"llama_4_scaling_beta\":0.1}");
    f = gguf_begin_model("gemma");
    CHECK(&f, mica__gguf_config, "model_type", "\"gemma\"", "hidden_activation", "\"gelu_pytorch_tanh\"", "layer_types",
          "absent");
    f = gguf_begin_model("gemma2");
    CHECK(&f, mica__gguf_config, "model_type", "\"gemma2\"", "attn_logit_softcapping", "50.0",
          "final_logit_softcapping", "30.0", "sliding_window", "4096", "layer_types",
          "[\"sliding_attention\",\"full_attention\"]", "query_pre_attn_scalar", "16");
    f = gguf_begin_model("gemma2");
    memcpy(memmem(f.keys.p, f.keys.n, "block_count", 11) + 15, &(uint32_t){46}, 4);
    gguf_put_u32(&f, "gemma2.attention.key_length", 32);
    gguf_put_u32(&f, "gemma2.attention.value_length", 32);
    gguf_put_f32(&f, "gemma2.attn_logit_softcapping", 0);
    gguf_put_u32(&f, "gemma2.attention.sliding_window_pattern", 0);
    CHECK(&f, mica__gguf_config, "query_pre_attn_scalar", "16", "attn_logit_softcapping", "null", "head_dim", "32");
    f = gguf_begin_model("gemma3");
    memcpy(memmem(f.keys.p, f.keys.n, "block_count", 11) + 15, &(uint32_t){7}, 4);
    gguf_put_string(&f, "gemma3.rope.scaling.type", "linear");
    gguf_put_f32(&f, "gemma3.rope.scaling.factor", 8);
    gguf_put_u32(&f, "gemma3.attention.sliding_window", 512);
    CHECK(&f, mica__gguf_config, "model_type", "\"gemma3_text\"", "sliding_window", "512", "rope_theta", "1000000.0",
          "rope_local_base_freq", "10000.0", "rope_scaling", "{\"rope_type\":\"linear\",\"factor\":8.0}",
          "final_logit_softcapping", "null", "layer_types",
          "[\"sliding_attention\",\"sliding_attention\",\"sliding_attention\",\"sliding_attention\",\"sliding_"
          "attention\","
          "\"full_attention\",\"sliding_attention\"]");
    f = gguf_begin_model("gemma3");
    gguf_array(&f, "gemma3.attention.sliding_window_pattern", 7, 2);
    mica__buf_append(&f.keys, "\0\1", 2);
    CHECK(&f, mica__gguf_config, "layer_types", "[\"full_attention\",\"sliding_attention\"]");
}

/* Row 28's part of a GGUF file, and architectures that are not known. */
static void refusals(void **state)
{
    (void)state;
    gguf_file f = gguf_begin(3);
    refuse("nothing", &f, mica__gguf_config, MICA_DATA, "general.architecture is missing");
    f = gguf_begin_model("deepseek2");
    refuse("unknown", &f, mica__gguf_config, MICA_UNSUPPORTED, "architecture 'deepseek2'");
    f = gguf_begin_model("llama");
    gguf_put_u32(&f, "llama.expert_count", 8);
    refuse("experts", &f, mica__gguf_config, MICA_UNSUPPORTED, "with 8 experts");
    static const struct {
        const char *name;
        uint32_t value;
        mica_status status;
        const char *part;
    } bad[] = {
        {"block_count", 0, MICA_DATA, "llama.block_count is 0"},
        {"block_count", 1u << 31, MICA_DATA, "llama.block_count is 2147483648"},
        {"embedding_length", 0, MICA_DATA, "llama.embedding_length"},
        {"embedding_length", 3, MICA_DATA, "llama.attention.key_length is missing"},
        {"embedding_length", INT32_MAX, MICA_DATA, "llama.attention.key_length is 536870911, expected 1 to 65536"},
        {"attention.head_count", 0, MICA_DATA, "llama.attention.head_count"},
        {"attention.head_count_kv", 0, MICA_DATA, "llama.attention.head_count_kv"},
        {"attention.head_count_kv", 3, MICA_DATA, "4 attention heads do not share 3"},
        {"context_length", UINT32_MAX, MICA_DATA, "llama.context_length"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        f = gguf_begin_model("llama");
        char *key = memmem(f.keys.p, f.keys.n, bad[i].name, strlen(bad[i].name));
        while (key[strlen(bad[i].name)] != 4) key = memmem(key + 1, f.keys.n, bad[i].name, strlen(bad[i].name));
        memcpy(key + strlen(bad[i].name) + 4, &bad[i].value, 4);
        refuse(bad[i].name, &f, mica__gguf_config, bad[i].status, bad[i].part);
    }
    static const struct {
        const char *name;
        uint32_t value;
        mica_status status;
    } odd[] = {{"attention.value_length", 8, MICA_UNSUPPORTED},
               {"rope.dimension_count", 8, MICA_UNSUPPORTED},
               {"nextn_predict_layers", 2, MICA_DATA},
               {"attention.key_length", 1u << 30, MICA_DATA}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        char key[100];
        snprintf(key, sizeof key, "llama.%s", odd[i].name);
        f = gguf_begin_model("llama");
        gguf_put_u32(&f, key, odd[i].value);
        refuse(key, &f, mica__gguf_config, odd[i].status, "");
    }
    f = gguf_begin_model("gemma3");
    gguf_put_u32(&f, "gemma3.attention.sliding_window", 0);
    refuse("window", &f, mica__gguf_config, MICA_DATA, "gemma3.attention.sliding_window");
    f = gguf_begin_model("llama");
    gguf_put_f32(&f, "llama.rope.freq_base", __builtin_nanf(""));
    refuse("NaN", &f, mica__gguf_config, MICA_DATA, "llama.rope.freq_base");
    f = gguf_begin(3);
    gguf_put_string(&f, "general.architecture", "llama");
    refuse("dims", &f, mica__gguf_config, MICA_DATA, "key llama.block_count is missing");
    f = gguf_begin_model("llama");
    memcpy(memmem(f.keys.p, f.keys.n, "feed_forward_length", 19), "feed_forward_lengtx", 19);
    gguf_put_ints(&f, "llama.feed_forward_length", (int32_t[]){96, 48}, 2);
    refuse("per layer", &f, mica__gguf_config, MICA_UNSUPPORTED, "llama.feed_forward_length differs between layers");
}

/* Row 45 and what ends a text. */
static void generation(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "<s>", "</s>", "<|eot_id|>", "<|im_end|>"};
    gguf_file f = gguf_begin(3);
    CHECK(&f, mica__gguf_generation_config, "eos_token_id", "absent", "bos_token_id", "absent");
    f = gguf_begin(3);
    gguf_put_strings(&f, "tokenizer.ggml.tokens", tokens, 5);
    gguf_put_u32(&f, "tokenizer.ggml.bos_token_id", 1);
    gguf_put_u32(&f, "tokenizer.ggml.eos_token_id", 2);
    gguf_put_u32(&f, "tokenizer.ggml.padding_token_id", 0);
    CHECK(&f, mica__gguf_generation_config, "eos_token_id", "[2]", "bos_token_id", "1", "pad_token_id", "0");
    f = gguf_begin(3);
    gguf_put_strings(&f, "tokenizer.ggml.tokens", tokens, 5);
    gguf_put_u32(&f, "tokenizer.ggml.eos_token_id", 2);
    gguf_put_u32(&f, "tokenizer.ggml.eot_token_id", 4);
    gguf_put_u32(&f, "tokenizer.ggml.eom_token_id", 2);
    CHECK(&f, mica__gguf_generation_config, "eos_token_id", "[2,4]");
    f = gguf_begin(3); /* a model that chats without a key for the end of a turn */
    gguf_put_strings(&f, "tokenizer.ggml.tokens", tokens, 5);
    gguf_put_u32(&f, "tokenizer.ggml.eos_token_id", 2);
    gguf_put_string(&f, "tokenizer.chat_template", "x");
    CHECK(&f, mica__gguf_generation_config, "eos_token_id", "[2,3]");
    f = gguf_begin(3); /* SentencePiece's usual ids */
    gguf_put_strings(&f, "tokenizer.ggml.tokens", tokens, 5);
    gguf_put_string(&f, "tokenizer.ggml.model", "llama");
    CHECK(&f, mica__gguf_generation_config, "eos_token_id", "[2]", "bos_token_id", "1");
    static const char *const names[] = {"bos", "eos", "eot", "eom", "padding"};
    for (int i = 0; i < 5; i++) {
        char key[60];
        snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", names[i]);
        f = gguf_begin(3);
        gguf_put_strings(&f, "tokenizer.ggml.tokens", tokens, 5);
        gguf_put_u32(&f, key, 5);
        refuse(key, &f, mica__gguf_generation_config, MICA_DATA, "is 5, but there are 5 tokens");
        f = gguf_begin(3);
        gguf_put_strings(&f, "tokenizer.ggml.tokens", tokens, 5);
        gguf_key(&f, key, 5);
        GGUF_PUT(&f.keys, int32_t, -1);
        refuse(key, &f, mica__gguf_generation_config, MICA_DATA, key);
    }
}

static uint8_t *sample(size_t *n)
{
    gguf_file f = gguf_begin_model("gemma3");
    gguf_put_tensor(&f, "rope_freqs.weight", 1, (uint64_t[]){8}, 0, 0);
    uint8_t *bytes = gguf_end(&f, 32, n);
    for (int i = 0; i < 8; i++) memcpy(bytes + *n - 32 + 4 * i, &(float){2}, 4);
    return bytes;
}

static mica_status attempt(void *context)
{
    mica__buf text = {0};
    mica_status status = mica__gguf_config(context, &text, NULL);
    if (status == MICA_OK) status = mica__buf_status(&text, NULL, "config.json");
    mica__buf_release(&text);
    return status;
}

static void short_of_memory(void **state)
{
    (void)state;
    size_t n;
    uint8_t *bytes = sample(&n);
    mica__gguf g;
    mica_error err;
    assert_int_equal(mica__gguf_parse(&g, bytes, n, "f.gguf", &err), MICA_OK);
    assert_true(failing_allocator_sweep(attempt, &g) > 2);
    mica__gguf_release(&g);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(common_fields), cmocka_unit_test(rope_scaling), cmocka_unit_test(architectures),
        cmocka_unit_test(refusals),      cmocka_unit_test(generation),   cmocka_unit_test(short_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
