/* models/decoder_spec.c: what nearly all descriptions share, and the checks that keep later arithmetic safe: no count is zero, no
 * product of two sides overflows, heads divide where they are divided. */
#include "decoder_spec.h"

#include <math.h>

static mica_activation activation_of(mica__config *c, const mica__decoder_defaults *d)
{
    static const struct {
        const char *name;
        mica_activation activation;
    } known[] = {
        {"silu", MICA_ACTIVATION_SILU},        {"swish", MICA_ACTIVATION_SILU},
        {"gelu", MICA_ACTIVATION_GELU},        {"gelu_pytorch_tanh", MICA_ACTIVATION_GELU_TANH},
        {"relu", MICA_ACTIVATION_RELU},        {"gelu_new", MICA_ACTIVATION_GELU_TANH},
        {"gelu_python", MICA_ACTIVATION_GELU}, {"gelu_fast", MICA_ACTIVATION_GELU_TANH},
    };
    const char *field = d->activation_field ? d->activation_field : "hidden_act";
    mica__str name = mica__config_string(c, field, d->activation ? d->activation : "silu");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (mica__str_is(name, known[i].name)) return known[i].activation;
    }
    mica__config_fail(c, MICA_UNSUPPORTED, field, "activation '%s' is not known", MICA_QUOTED_STR(name));
    return MICA_ACTIVATION_SILU;
}

/* Counts of heads and their width. */
static void read_heads(mica__decoder_spec *s, mica__config *c, const mica__decoder_defaults *d)
{
    s->n_heads = (int)mica__config_int(c, "num_attention_heads", d->n_heads, 1, MICA__MAX_HEADS);
    int kv = d->n_kv_heads && !mica__config_has(c, "num_key_value_heads") ? d->n_kv_heads : s->n_heads;
    s->n_kv_heads = (int)mica__config_int(c, "num_key_value_heads", kv, 1, MICA__MAX_HEADS);
    if (s->n_heads % s->n_kv_heads) {
        mica__config_fail(c, MICA_DATA, "num_key_value_heads", "%d does not divide num_attention_heads, which is %d",
                          s->n_kv_heads, s->n_heads);
    }
    bool null_head_dim = mica__config_has(c, "head_dim") && !mica__config_get(c, "head_dim");
    bool derived = !mica__config_get(c, "head_dim") && (d->head_dim == 0 || null_head_dim);
    if ((derived || d->heads_divide_hidden) && s->hidden % s->n_heads) {
        mica__config_fail(c, MICA_DATA, "num_attention_heads", "%d does not divide hidden_size, which is %lld",
                          s->n_heads, (long long)s->hidden);
    }
    int64_t missing = derived ? s->hidden / s->n_heads : d->head_dim;
    s->head_dim = (int)mica__config_int(c, "head_dim", missing, 1, MICA__MAX_HEADS);
    if (s->head_dim < 1) {
        mica__config_fail(c, MICA_DATA, "hidden_size", "%lld is less than num_attention_heads, which is %d",
                          (long long)s->hidden, s->n_heads);
        s->head_dim = 1;
    }
}

static void read_tokens(mica__decoder_spec *s, mica__config *c, const mica__decoder_defaults *d)
{
    s->bos = s->pad = -1;
    if (mica__json_token_ids(c->text, "bos_token_id", &s->bos, 1) < 0 && !mica__config_has(c, "bos_token_id"))
        s->bos = d->bos;
    if (mica__json_token_ids(c->text, "pad_token_id", &s->pad, 1) < 0 && !mica__config_has(c, "pad_token_id"))
        s->pad = d->pad;
    s->n_eos = mica__json_token_ids(c->text, "eos_token_id", s->eos, (int)(sizeof s->eos / sizeof *s->eos));
    if (s->n_eos >= 0) return;
    s->eos[0] = d->eos;
    s->n_eos = !mica__config_has(c, "eos_token_id") && d->eos >= 0;
}

/* A wrapper's own word on tying goes before its text part's. */
static bool read_tied(mica__config *c, bool missing)
{
    bool tied;
    if (mica__json_bool(mica__json_get(c->root, "tie_word_embeddings"), &tied)) return tied;
    return mica__config_bool(c, "tie_word_embeddings", missing);
}

static int64_t read_context(mica__config *c, int64_t missing)
{
    int64_t context = mica__config_int(c, "max_position_embeddings", missing, 1, INT64_MAX);
    if (context <= MICA__MAX_CONTEXT) return context;
    mica__config_notice(c, "max_position_embeddings %lld is capped to %d", (long long)context, MICA__MAX_CONTEXT);
    return MICA__MAX_CONTEXT;
}

void mica__decoder_common(mica__decoder_spec *s, mica__config *c, const mica__decoder_defaults *d)
{
    *s = (mica__decoder_spec){.embedding_scale = 1};
    s->vocab = mica__config_int(c, "vocab_size", d->vocab, 1, MICA__MAX_VOCAB);
    s->hidden = mica__config_int(c, "hidden_size", d->hidden, 1, MICA__MAX_WIDTH);
    s->intermediate = mica__config_int(c, "intermediate_size", d->intermediate, 1, MICA__MAX_WIDTH);
    s->n_layers = (int)mica__config_int(c, "num_hidden_layers", d->n_layers, 1, MICA__MAX_LAYERS);
    s->context = read_context(c, d->context);
    read_heads(s, c, d);
    read_tokens(s, c, d);
    s->norms = (mica__norm_names){.before_attention = "input_layernorm", .before_mlp = "post_attention_layernorm"};
    s->norm_eps = (float)mica__config_positive(c, "rms_norm_eps", d->norm_eps);
    s->activation = activation_of(c, d);
    s->attention_scale = (float)(1 / sqrt(s->head_dim));
    s->tied = read_tied(c, d->tied);
    s->ropes[0] = mica__config_rope(c, s->head_dim, s->context, 10000);
    s->n_ropes = 1;
    s->layers = mica__arena_calloc(&c->arena, (size_t)s->n_layers, sizeof *s->layers);
    if (!s->layers) mica__fail_memory(&c->failure, (size_t)s->n_layers * sizeof *s->layers, "layer descriptions");
}

void mica__decoder_windows(mica__decoder_spec *s, mica__config *c, const bool *sliding, int64_t window)
{
    if (c->failure.status) return;
    for (int i = 0; i < s->n_layers; i++) {
        if (!sliding || sliding[i]) s->layers[i].window = window;
    }
}

void mica__decoder_layer_ropes(mica__decoder_spec *s, mica__config *c, const bool *sliding, int rope)
{
    if (c->failure.status) return;
    for (int i = 0; i < s->n_layers; i++) {
        if (sliding[i]) s->layers[i].rope = rope;
    }
}

void mica__decoder_qwen_windows(mica__decoder_spec *s, mica__config *c)
{
    bool use = mica__config_bool(c, "use_sliding_window", false);
    int64_t window = mica__config_optional_int(c, "sliding_window", 4096, 1, INT32_MAX);
    int64_t first = mica__config_int(c, "max_window_layers", 28, 0, INT32_MAX);
    const bool *listed = mica__config_sliding_layers(c, s->n_layers);
    if (c->failure.status || !use) return;
    for (int i = 0; i < s->n_layers; i++) {
        if (listed ? listed[i] : i >= first) s->layers[i].window = window;
    }
}

void mica__decoder_finish(mica__decoder_spec *s, mica__config *c)
{
    size_t q, elements;
    if (!mica__mul((size_t)s->n_heads, (size_t)s->head_dim, &q) || q > MICA__MAX_WIDTH) {
        mica__config_fail(c, MICA_DATA, "head_dim", "%d heads of %d elements are too wide", s->n_heads, s->head_dim);
    }
    if (!mica__mul((size_t)s->vocab, (size_t)s->hidden, &elements) || elements > (size_t)1 << 40) {
        mica__config_fail(c, MICA_DATA, "vocab_size", "%lld rows of %lld elements are too many", (long long)s->vocab,
                          (long long)s->hidden);
    }
    if (!isfinite(s->temperature)) mica__config_fail(c, MICA_DATA, "llama_4_scaling_beta", "expected a finite number");
    /* Reading layer_types here reports a list of the wrong length for every architecture. */
    mica__config_sliding_layers(c, s->n_layers);
}
