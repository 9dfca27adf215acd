/* models/gemma3.c: Gemma 3, text only or the text part of its vision wrapper: Gemma 2's four norms with normed queries and keys instead
 * of soft caps; five sliding layers to one full layer, each kind with its own rope. */
#include "gemma.h"

#include <math.h>

enum { ROPE_FULL, ROPE_SLIDING, N_ROPES };

static const mica__decoder_defaults defaults = {
    .vocab = 262208,
    .hidden = 2304,
    .intermediate = 9216,
    .context = 131072,
    .n_layers = 26,
    .n_heads = 8,
    .n_kv_heads = 4,
    .head_dim = 256,
    .norm_eps = 1e-6,
    .activation_field = "hidden_activation",
    .activation = "gelu_pytorch_tanh",
    .tied = true,
    .heads_divide_hidden = true,
    .bos = 2,
    .eos = 1,
    .pad = 0,
};

/* Newer files hold one dictionary per kind of layer under rope_parameters. Older ones have rope_scaling and rope_theta for the full
 * layers and rope_local_base_freq for the sliding ones, which are never scaled. */
static void read_ropes(mica__config *c, mica__decoder_spec *s)
{
    mica__jval nested = mica__config_get(c, "rope_parameters");
    mica__jval scaling = mica__config_get(c, "rope_scaling");
    mica__jval full = mica__json_get(nested, "full_attention"), local = mica__json_get(nested, "sliding_attention");
    double theta = mica__config_positive(c, "rope_theta", 1e6);
    double local_theta = mica__config_positive(c, "rope_local_base_freq", 1e4);
    /* Scaling is added to a dictionary that already has a rope_type, so that only the newer name of that key counts. The theta of the
     * dictionary stays. */
    if (mica__json_get(scaling, "rope_type")) {
        mica__json_double(mica__json_get(full, "rope_theta"), &theta);
        full = scaling;
    }
    s->ropes[ROPE_FULL] = mica__config_rope_from(c, full, "rope_parameters", s->head_dim, s->context, theta);
    s->ropes[ROPE_SLIDING] = mica__config_rope_from(c, local, "rope_parameters", s->head_dim, s->context, local_theta);
    s->n_ropes = N_ROPES;
}

static void describe(mica__config *c, mica__decoder_spec *s)
{
    mica__gemma_common(s, c, &defaults);
    mica__gemma_four_norms(s);
    s->qk_norm = true;
    s->attention_scale = (float)(1 / sqrt(mica__config_positive(c, "query_pre_attn_scalar", 256)));
    /* attn_logit_softcapping is a field of the class that its attention does not use. */
    s->logits_softcap = (float)mica__config_optional_positive(c, "final_logit_softcapping", 0);
    read_ropes(c, s);

    int pattern = (int)mica__config_int(c, "sliding_window_pattern", 6, 1, MICA__MAX_LAYERS);
    const bool *sliding = mica__config_sliding_layers(c, s->n_layers);
    if (!sliding) sliding = mica__config_sliding_pattern(c, s->n_layers, pattern);
    mica__decoder_windows(s, c, sliding, mica__config_optional_int(c, "sliding_window", 4096, 1, INT32_MAX));
    mica__decoder_layer_ropes(s, c, sliding, ROPE_SLIDING);
}

const mica__arch mica__arch_gemma3 = {
    .model_types = (const char *const[]){"gemma3_text", NULL},
    .wrapper_types = (const char *const[]){"gemma3", NULL},
    .describe = describe,
};
