/* models/llama.c: Llama 2 to 3.3 and the many models trained in its shape (SmolLM2, TinyLlama, Yi, ...). It is what
 * mica__decoder_common describes, with optional biases. */
#include "registry.h"

static const mica__decoder_defaults defaults = {
    .vocab = 32000,
    .hidden = 4096,
    .intermediate = 11008,
    .context = 2048,
    .n_layers = 32,
    .n_heads = 32,
    .norm_eps = 1e-6,
    .heads_divide_hidden = true,
    .bos = 1,
    .eos = 2,
    .pad = -1,
};

static void describe(mica__config *c, mica__decoder_spec *s)
{
    mica__decoder_common(s, c, &defaults);
    s->qkv_bias = s->out_bias = mica__config_bool(c, "attention_bias", false);
    s->mlp_bias = mica__config_bool(c, "mlp_bias", false);
}

const mica__arch mica__arch_llama = {
    .model_types = (const char *const[]){"llama", NULL},
    .wrapper_types = (const char *const[]){"llava", NULL},
    .describe = describe,
};
