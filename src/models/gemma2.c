/* models/gemma2.c: Gemma 2: four norms a layer, soft caps on attention scores and logits, every other layer slides. */
#include "gemma.h"

#include <math.h>

static const mica__decoder_defaults defaults = {
    .vocab = 256000,
    .hidden = 2304,
    .intermediate = 9216,
    .context = 8192,
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

static void describe(mica__config *c, mica__decoder_spec *s)
{
    mica__gemma_common(s, c, &defaults);
    mica__gemma_four_norms(s);
    s->attention_scale = (float)(1 / sqrt(mica__config_positive(c, "query_pre_attn_scalar", 256)));
    s->attention_softcap = (float)mica__config_optional_positive(c, "attn_logit_softcapping", 50);
    s->logits_softcap = (float)mica__config_optional_positive(c, "final_logit_softcapping", 30);

    const bool *sliding = mica__config_sliding_layers(c, s->n_layers);
    if (!sliding) sliding = mica__config_sliding_pattern(c, s->n_layers, 2);
    mica__decoder_windows(s, c, sliding, mica__config_optional_int(c, "sliding_window", 4096, 1, INT32_MAX));
}

const mica__arch mica__arch_gemma2 = {
    .model_types = (const char *const[]){"gemma2", NULL},
    .describe = describe,
};
