/* models/qwen2.c: Qwen 2 and 2.5, QwQ, and distillations into that shape: biases on q, k and v. */
#include "registry.h"

static const mica__decoder_defaults defaults = {
    .vocab = 151936,
    .hidden = 4096,
    .intermediate = 22016,
    .context = 32768,
    .n_layers = 32,
    .n_heads = 32,
    .n_kv_heads = 32,
    .norm_eps = 1e-6,
    .bos = -1,
    .eos = -1,
    .pad = -1,
};

static void describe(mica__config *c, mica__decoder_spec *s)
{
    mica__decoder_common(s, c, &defaults);
    s->qkv_bias = true;
    mica__decoder_qwen_windows(s, c);
}

const mica__arch mica__arch_qwen2 = {
    .model_types = (const char *const[]){"qwen2", NULL},
    .describe = describe,
};
