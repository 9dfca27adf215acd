/* formats/gguf_config.c: config.json and generation_config.json from the metadata of a GGUF file.
 *
 * The keys are those of Transformers; a value that GGUF does not store is written only where it is a constant of the architecture in
 * this format (soft caps, window pattern), else it is left to the model class's default. */
#include "gguf_model.h"

#include <math.h>
#include <stdio.h>

enum { MAX_LAYERS = 1024, MAX_HEADS = 65536 };

static const mica__gguf_arch archs[] = {
    {"llama", "llama", "LlamaForCausalLM", true, false, false},
    {"mistral3", "ministral3", "Ministral3ForCausalLM", true, false, false},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", false, false, false},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", false, false, false},
    {"gemma", "gemma", "GemmaForCausalLM", false, true, false},
    {"gemma2", "gemma2", "Gemma2ForCausalLM", false, true, true},
    {"gemma3", "gemma3_text", "Gemma3ForCausalLM", false, true, true},
};

mica_status mica__gguf_arch_of(const mica__gguf *g, const mica__gguf_arch **out, mica_error *err)
{
    mica__str name;
    if (!mica__gguf_string(mica__gguf_get(g, "general.architecture"), &name))
        return mica__fail(err, MICA_DATA, "general.architecture is missing or not a string");
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        if (!mica__str_is(name, archs[i].name)) continue;
        *out = &archs[i];
        return MICA_OK;
    }
    return mica__fail(err, MICA_UNSUPPORTED, "architecture '%s' is not supported in GGUF files", MICA_QUOTED_STR(name));
}

const mica__gguf_value *mica__gguf_arch_get(const mica__gguf *g, const mica__gguf_arch *a, const char *name)
{
    char key[128];
    snprintf(key, sizeof key, "%s.%s", a->name, name);
    return mica__gguf_get(g, key);
}

/* ---- dimensions ---------------------------------------------------------------------------------------------------------- */

/* A number, or an array of equal ones; `missing` if the key is absent, which is an error if that is 0. */
static mica_status dimension(const mica__gguf *g, const mica__gguf_arch *a, const char *name, int64_t missing,
                             int64_t max, int64_t *out, mica_error *err)
{
    const mica__gguf_value *v = mica__gguf_arch_get(g, a, name);
    int64_t value = missing, other;
    if (!v && missing <= 0) return mica__fail(err, MICA_DATA, "key %s.%s is missing", a->name, name);
    if (v && !mica__gguf_int_at(v, 0, &value))
        return mica__fail(err, MICA_DATA, "key %s.%s is not a whole number", a->name, name);
    if (value < 1 || value > max)
        return mica__fail(err, MICA_DATA, "key %s.%s is %lld, expected 1 to %lld", a->name, name, (long long)value,
                          (long long)max);
    for (size_t i = 1; v && i < v->count; i++)
        if (!mica__gguf_int_at(v, i, &other) || other != value)
            return mica__fail(err, MICA_UNSUPPORTED, "key %s.%s differs between layers", a->name, name);
    *out = value;
    return MICA_OK;
}

mica_status mica__gguf_dims_of(const mica__gguf *g, const mica__gguf_arch *a, mica__gguf_dims *out, mica_error *err)
{
    mica__gguf_dims d = {0};
    int64_t n_blocks, n_nextn = 0, value_length, dims_turned;
    MICA_TRY(dimension(g, a, "block_count", 0, MAX_LAYERS, &n_blocks, err));
    mica__gguf_int(mica__gguf_arch_get(g, a, "nextn_predict_layers"), &n_nextn);
    if (n_nextn < 0 || n_nextn >= n_blocks)
        return mica__fail(err, MICA_DATA, "key %s.nextn_predict_layers is %lld of %lld layers", a->name,
                          (long long)n_nextn, (long long)n_blocks);
    d.n_layers = n_blocks - n_nextn;
    MICA_TRY(dimension(g, a, "embedding_length", 0, INT32_MAX, &d.hidden, err));
    MICA_TRY(dimension(g, a, "feed_forward_length", 0, INT32_MAX, &d.intermediate, err));
    MICA_TRY(dimension(g, a, "context_length", 0, INT32_MAX, &d.context, err));
    MICA_TRY(dimension(g, a, "attention.head_count", 0, MAX_HEADS, &d.n_heads, err));
    MICA_TRY(dimension(g, a, "attention.head_count_kv", d.n_heads, MAX_HEADS, &d.n_kv_heads, err));
    MICA_TRY(dimension(g, a, "attention.key_length", d.hidden / d.n_heads, MAX_HEADS, &d.head_dim, err));
    MICA_TRY(dimension(g, a, "attention.value_length", d.head_dim, MAX_HEADS, &value_length, err));
    MICA_TRY(dimension(g, a, "rope.dimension_count", d.head_dim, MAX_HEADS, &dims_turned, err));
    if (d.n_heads % d.n_kv_heads)
        return mica__fail(err, MICA_DATA, "%lld attention heads do not share %lld key-value heads",
                          (long long)d.n_heads, (long long)d.n_kv_heads);
    if (value_length != d.head_dim)
        return mica__fail(err, MICA_UNSUPPORTED, "keys of %lld and values of %lld elements", (long long)d.head_dim,
                          (long long)value_length);
    if (dims_turned != d.head_dim)
        return mica__fail(err, MICA_UNSUPPORTED, "rope turns %lld of %lld elements of a head", (long long)dims_turned,
                          (long long)d.head_dim);
    *out = d;
    return MICA_OK;
}

/* ---- writing JSON -------------------------------------------------------------------------------------------------------- */

typedef struct writer {
    const mica__gguf *g;
    const mica__gguf_arch *a;
    mica__gguf_dims d;
    mica__buf *out;
    mica_status status; /* the first failure */
    mica_error *err;
} writer;

static void key(writer *w, const char *name)
{
    char last = w->out->n ? w->out->p[w->out->n - 1] : '{';
    mica__buf_printf(w->out, "%s\"%s\": ", last == '{' ? "" : ", ", name);
}

static void put_int(writer *w, const char *name, int64_t value)
{
    key(w, name);
    mica__buf_printf(w->out, "%lld", (long long)value);
}

static void put_number(mica__buf *out, double value)
{
    char text[32];
    mica__format_double(value, text);
    mica__buf_append_z(out, text);
}

static void put_double(writer *w, const char *name, double value)
{
    key(w, name);
    put_number(w->out, value);
}

static void put_bool(writer *w, const char *name, bool value)
{
    key(w, name);
    mica__buf_append_z(w->out, value ? "true" : "false");
}

static void put_string(writer *w, const char *name, const char *value)
{
    key(w, name);
    mica__json_write_string(w->out, mica__str_from(value), false);
}

/* The shortest decimal number that is this float: a file's float of 9.99999975e-06 was made from 1e-05. */
static double decimal_of(float f)
{
    char text[32];
    for (int digits = 6; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)f);
        double shorter;
        if (mica__parse_double(text, strlen(text), &shorter) && (float)shorter == f) return shorter;
    }
    return (double)f;
}

/* The number under "ARCH.name", `missing` if absent. A value that is not finite fails. */
static double number(writer *w, const char *name, double missing)
{
    const mica__gguf_value *v = mica__gguf_arch_get(w->g, w->a, name);
    if (!v) return missing;
    double value;
    if (mica__gguf_double(v, &value) && isfinite(value))
        return v->type == MICA__GGUF_F32 ? decimal_of((float)value) : value;
    if (w->status == MICA_OK)
        w->status = mica__fail(w->err, MICA_DATA, "key %s.%s is not a finite number", w->a->name, name);
    return missing;
}

/* ---- rope ---------------------------------------------------------------------------------------------------------------- */

static bool scaling_is(const writer *w, const char *type)
{
    mica__str s;
    return mica__gguf_string(mica__gguf_arch_get(w->g, w->a, "rope.scaling.type"), &s) && mica__str_is(s, type);
}

/* The magnitude that yarn's cos and sin are multiplied by, as GGUF says it. */
static double yarn_magnitude(writer *w, double factor)
{
    double attention = number(w, "rope.scaling.attn_factor", 1), m = number(w, "rope.scaling.yarn_log_multiplier", 0);
    double grown = factor <= 1 ? 1 : 0.1 * log(factor) + 1;
    return attention * grown / (m == 0 || factor <= 1 ? 1 : 0.1 * m * log(factor) + 1);
}

static void put_yarn(writer *w, double factor, int64_t original)
{
    put_double(w, "factor", factor);
    put_int(w, "original_max_position_embeddings", original);
    put_double(w, "beta_fast", number(w, "rope.scaling.yarn_beta_fast", 32));
    put_double(w, "beta_slow", number(w, "rope.scaling.yarn_beta_slow", 1));
    put_double(w, "attention_factor", yarn_magnitude(w, factor));
}

/* rope_freqs.weight holds a divisor for the frequency of every pair: what Transformers' longrope does with its two lists. Llama 3's
 * scaling is stored like that, since GGUF has no keys for it. */
static void put_divisors(writer *w, const mica__tensor_view *divisors, double factor)
{
    int64_t n = w->d.head_dim / 2;
    bool fits = divisors->n_bytes == (size_t)n * sizeof(float) && divisors->storage == MICA__STORAGE_PLAIN &&
                divisors->dtype == MICA_DTYPE_F32;
    float *values = mica__alloc(fits ? (size_t)n : 0, sizeof *values);
    if (!values) {
        w->status = mica__fail_memory(w->err, (size_t)n * sizeof *values, "rope_freqs.weight");
        return;
    }
    if (fits) w->status = mica__tensor_read_f32(divisors, values, w->err);
    for (int64_t i = 0; fits && i < n; i++) fits = isfinite(values[i]) && values[i] > 0;
    if (!fits)
        w->status = mica__fail(w->err, MICA_DATA,
                               "tensor 'rope_freqs.weight': expected %lld positive numbers of type F32", (long long)n);
    for (int list = 0; list < 2 && w->status == MICA_OK; list++) {
        key(w, list ? "long_factor" : "short_factor");
        for (int64_t i = 0; i < n; i++) {
            mica__buf_append_z(w->out, i ? ", " : "[");
            put_number(w->out, (double)values[i] * factor);
        }
        mica__buf_append_char(w->out, ']');
    }
    put_double(w, "attention_factor", 1);
    put_int(w, "original_max_position_embeddings", w->d.context);
    mica__free(values);
}

/* The dictionary without rope_theta, which stands beside it: the keys of the type and its numbers. */
static void put_scaling(writer *w)
{
    const mica__tensor_view *divisors = mica__gguf_tensor(w->g, "rope_freqs.weight");
    double factor = number(w, "rope.scaling.factor", number(w, "rope.scale_linear", 1));
    bool yarn = scaling_is(w, "yarn"), none = scaling_is(w, "none");
    if (factor <= 0 && w->status == MICA_OK)
        w->status =
            mica__fail(w->err, MICA_DATA, "key %s.rope.scaling.factor is %g, expected more than 0", w->a->name, factor);
    if ((scaling_is(w, "longrope") || (yarn && divisors)) && w->status == MICA_OK)
        w->status = mica__fail(w->err, MICA_UNSUPPORTED, "rope scaling %s is not supported for architecture %s",
                               yarn ? "yarn with rope_freqs.weight" : "longrope", w->a->name);
    if (w->status != MICA_OK) return;
    if (divisors) {
        put_string(w, "rope_type", "longrope");
        put_divisors(w, divisors, none ? 1 : factor);
    } else if (yarn) {
        int64_t original = w->d.context;
        mica__gguf_int(mica__gguf_arch_get(w->g, w->a, "rope.scaling.original_context_length"), &original);
        put_string(w, "rope_type", "yarn");
        put_yarn(w, factor, original);
    } else if (!none && factor != 1) {
        put_string(w, "rope_type", "linear");
        put_double(w, "factor", factor);
    } else {
        put_string(w, "rope_type", "default");
    }
}

static void put_rope(writer *w, double default_theta)
{
    double theta = number(w, "rope.freq_base", default_theta);
    key(w, "rope_parameters");
    mica__buf_append_char(w->out, '{');
    put_scaling(w);
    put_double(w, "rope_theta", theta);
    const char *temperature = "attention.temperature_scale";
    if (mica__gguf_arch_get(w->g, w->a, temperature)) {
        put_double(w, "llama_4_scaling_beta", number(w, temperature, 0));
        int64_t length;
        if (!scaling_is(w, "yarn") &&
            mica__gguf_int(mica__gguf_arch_get(w->g, w->a, "attention.temperature_length"), &length))
            put_int(w, "original_max_position_embeddings", length);
    }
    mica__buf_append_char(w->out, '}');
}

/* Gemma 3: scaling for the full layers only, another base for the sliding ones. */
static void put_gemma3_rope(writer *w)
{
    put_double(w, "rope_theta", number(w, "rope.freq_base", 1e6));
    put_double(w, "rope_local_base_freq", number(w, "rope.freq_base_swa", 1e4));
    key(w, "rope_scaling");
    mica__buf_append_char(w->out, '{');
    put_scaling(w);
    mica__buf_append_char(w->out, '}');
}

/* ---- architectures ------------------------------------------------------------------------------------------------------- */

/* Layer l slides if l mod period < period - 1; a period of 0 is "all", of 1 "none". A stored pattern is the period, or one flag for
 * each layer. */
static void put_layer_types(writer *w, int64_t period)
{
    const mica__gguf_value *pattern = mica__gguf_arch_get(w->g, w->a, "attention.sliding_window_pattern");
    bool flags =
        pattern && pattern->is_array && pattern->type == MICA__GGUF_BOOL && pattern->count >= (size_t)w->d.n_layers;
    if (pattern && !flags && (!mica__gguf_int(pattern, &period) || period < 0) && w->status == MICA_OK)
        w->status =
            mica__fail(w->err, MICA_DATA,
                       "key %s.attention.sliding_window_pattern is neither a period nor a flag per layer", w->a->name);
    key(w, "layer_types");
    for (int64_t l = 0; l < w->d.n_layers; l++) {
        bool slides = flags ? pattern->data[l] != 0 : period == 0 || l % period < period - 1;
        mica__buf_printf(w->out, "%s\"%s\"", l ? ", " : "[", slides ? "sliding_attention" : "full_attention");
    }
    mica__buf_append_char(w->out, ']');
}

static void put_window(writer *w, int64_t missing)
{
    int64_t window = missing;
    const mica__gguf_value *v = mica__gguf_arch_get(w->g, w->a, "attention.sliding_window");
    if (v && (!mica__gguf_int(v, &window) || window < 1) && w->status == MICA_OK)
        w->status =
            mica__fail(w->err, MICA_DATA, "key %s.attention.sliding_window is not a positive number", w->a->name);
    put_int(w, "sliding_window", window);
}

static void put_softcap(writer *w, const char *name, double missing)
{
    double cap = number(w, name, missing);
    key(w, name);
    if (cap > 0)
        put_number(w->out, cap);
    else
        mica__buf_append_z(w->out, "null");
}

static void put_gemma(writer *w)
{
    put_string(w, "hidden_act", "gelu_pytorch_tanh");
    put_string(w, "hidden_activation", "gelu_pytorch_tanh");
    if (!w->a->four_norms) {
        put_rope(w, 1e4);
        return;
    }
    /* Queries are scaled by head size; by the heads' share of the hidden size in the largest model of each generation. */
    bool is_third = strcmp(w->a->name, "gemma3") == 0;
    bool largest = w->d.n_layers == (is_third ? 62 : 46);
    put_int(w, "query_pre_attn_scalar", largest ? w->d.hidden / w->d.n_heads : w->d.head_dim);
    put_softcap(w, "attn_logit_softcapping", is_third ? 0 : 50);
    put_softcap(w, "final_logit_softcapping", is_third ? 0 : 30);
    put_window(w, 4096);
    put_layer_types(w, is_third ? 6 : 2);
    if (is_third)
        put_gemma3_rope(w);
    else
        put_rope(w, 1e4);
}

static void put_llama(writer *w)
{
    bool is_qwen = mica__str_starts(mica__str_from(w->a->name), "qwen");
    put_string(w, "hidden_act", "silu");
    if (!is_qwen) {
        put_bool(w, "attention_bias",
                 mica__gguf_tensor(w->g, "blk.0.attn_q.bias") || mica__gguf_tensor(w->g, "blk.0.attn_qkv.bias"));
        put_bool(w, "mlp_bias", mica__gguf_tensor(w->g, "blk.0.ffn_gate.bias") != NULL);
    }
    put_rope(w, 1e4);
    int64_t n_experts = 0;
    mica__gguf_int(mica__gguf_arch_get(w->g, w->a, "expert_count"), &n_experts);
    if (n_experts && w->status == MICA_OK)
        w->status =
            mica__fail(w->err, MICA_UNSUPPORTED, "architecture '%s' with %lld experts is not supported in GGUF files",
                       w->a->name, (long long)n_experts);
}

static void put_dims(writer *w)
{
    const mica__tensor_view *table = mica__gguf_tensor(w->g, "token_embd.weight");
    int64_t vocab = table ? table->shape[0] : (int64_t)mica__gguf_n_tokens(w->g);
    put_int(w, "vocab_size", vocab);
    put_int(w, "hidden_size", w->d.hidden);
    put_int(w, "intermediate_size", w->d.intermediate);
    put_int(w, "num_hidden_layers", w->d.n_layers);
    put_int(w, "num_attention_heads", w->d.n_heads);
    put_int(w, "num_key_value_heads", w->d.n_kv_heads);
    put_int(w, "head_dim", w->d.head_dim);
    put_int(w, "max_position_embeddings", w->d.context);
    put_bool(w, "tie_word_embeddings", !mica__gguf_tensor(w->g, "output.weight"));
    const char *eps = "attention.layer_norm_rms_epsilon";
    if (!mica__gguf_arch_get(w->g, w->a, eps) && w->status == MICA_OK)
        w->status = mica__fail(w->err, MICA_DATA, "key %s.%s is missing", w->a->name, eps);
    put_double(w, "rms_norm_eps", number(w, eps, 1e-6));
}

static void put_token_id(writer *w, const char *name)
{
    int64_t id = -1;
    if (w->status == MICA_OK) w->status = mica__gguf_token_id(w->g, name, &id, w->err);
    if (id < 0) return;
    char field[32];
    snprintf(field, sizeof field, "%s_token_id", strcmp(name, "padding") == 0 ? "pad" : name);
    put_int(w, field, id);
}

mica_status mica__gguf_config(const mica__gguf *g, mica__buf *out, mica_error *err)
{
    writer w = {.g = g, .out = out, .err = err};
    MICA_TRY(mica__gguf_arch_of(g, &w.a, err));
    MICA_TRY(mica__gguf_dims_of(g, w.a, &w.d, err));
    mica__buf_printf(out, "{\"architectures\": [\"%s\"]", w.a->class_name);
    put_string(&w, "model_type", w.a->model_type);
    put_dims(&w);
    if (w.a->plus_one)
        put_gemma(&w);
    else
        put_llama(&w);
    put_token_id(&w, "bos");
    put_token_id(&w, "eos");
    put_token_id(&w, "padding");
    mica__buf_append_z(out, "}\n");
    return w.status;
}

/* ---- generation ---------------------------------------------------------------------------------------------------------- */

/* Files without a key for the end of a turn: the first of these tokens that the vocabulary has. */
static int64_t find_end_of_turn(const mica__gguf *g)
{
    static const char *const names[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>"};
    enum { N_NAMES = sizeof names / sizeof *names };
    int64_t ids[N_NAMES] = {-1, -1, -1, -1, -1};
    const mica__gguf_value *tokens = mica__gguf_get(g, "tokenizer.ggml.tokens");
    size_t at = 0;
    mica__str token;
    for (int64_t id = 0; mica__gguf_next_string(tokens, &at, &token); id++) {
        if (token.n < 2 || token.p[0] != '<') continue;
        for (int i = 0; i < N_NAMES; i++)
            if (mica__str_is(token, names[i])) ids[i] = id;
    }
    for (int i = 0; i < N_NAMES; i++)
        if (ids[i] >= 0) return ids[i];
    return -1;
}

mica_status mica__gguf_generation_config(const mica__gguf *g, mica__buf *out, mica_error *err)
{
    writer w = {.g = g, .out = out, .err = err};
    int64_t ends[3];
    MICA_TRY(mica__gguf_token_id(g, "eos", &ends[0], err));
    MICA_TRY(mica__gguf_token_id(g, "eot", &ends[1], err));
    MICA_TRY(mica__gguf_token_id(g, "eom", &ends[2], err));
    /* Only a model that is meant to chat has turns. */
    if (ends[1] < 0 && mica__gguf_get(g, "tokenizer.chat_template")) ends[1] = find_end_of_turn(g);
    mica__buf_append_char(out, '{');
    put_token_id(&w, "bos");
    if (ends[0] >= 0 || ends[1] >= 0 || ends[2] >= 0) {
        key(&w, "eos_token_id");
        int n = 0;
        for (int i = 0; i < 3; i++) {
            bool known = ends[i] < 0 || (i > 0 && ends[i] == ends[0]) || (i > 1 && ends[i] == ends[1]);
            if (!known) mica__buf_printf(out, "%s%lld", n++ ? ", " : "[", (long long)ends[i]);
        }
        mica__buf_append_char(out, ']');
    }
    put_token_id(&w, "padding");
    mica__buf_append_z(out, "}\n");
    return w.status;
}
