/* models/gemma.c: the first Gemma: embeddings times sqrt(hidden), norm weights stored around zero, a gelu gate, tied head. */
#include "gemma.h"

#include <math.h>

static const mica__decoder_defaults defaults = {
    .vocab = 256000,
    .hidden = 3072,
    .intermediate = 24576,
    .context = 8192,
    .n_layers = 28,
    .n_heads = 16,
    .n_kv_heads = 16,
    .head_dim = 256,
    .norm_eps = 1e-6,
    .activation = "gelu_pytorch_tanh",
    .tied = true,
    .bos = 2,
    .eos = 1,
    .pad = 0,
};

void mica__gemma_common(mica__decoder_spec *s, mica__config *c, const mica__decoder_defaults *d)
{
    mica__decoder_common(s, c, d);
    s->qkv_bias = s->out_bias = mica__config_bool(c, "attention_bias", false);
    s->norm_offset = 1;
    s->embedding_scale = (float)sqrt((double)s->hidden);
    if (mica__config_bool(c, "use_bidirectional_attention", false)) {
        mica__config_fail(c, MICA_UNSUPPORTED, "use_bidirectional_attention",
                          "such a model embeds text, it cannot continue it");
    }
}

void mica__gemma_four_norms(mica__decoder_spec *s)
{
    s->norms = (mica__norm_names){
        .before_attention = "input_layernorm",
        .after_attention = "post_attention_layernorm",
        .before_mlp = "pre_feedforward_layernorm",
        .after_mlp = "post_feedforward_layernorm",
    };
}

static void describe(mica__config *c, mica__decoder_spec *s) { mica__gemma_common(s, c, &defaults); }

const mica__arch mica__arch_gemma = {
    .model_types = (const char *const[]){"gemma", NULL},
    .describe = describe,
};
