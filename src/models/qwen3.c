/* models/qwen3.c: dense Qwen 3: query and key heads are normed, heads have their own width. */
#include "registry.h"

static const mica__decoder_defaults defaults = {
    .vocab = 151936,
    .hidden = 4096,
    .intermediate = 22016,
    .context = 32768,
    .n_layers = 32,
    .n_heads = 32,
    .n_kv_heads = 32,
    .head_dim = 128,
    .norm_eps = 1e-6,
    .bos = -1,
    .eos = -1,
    .pad = -1,
};

static void describe(mica__config *c, mica__decoder_spec *s)
{
    mica__decoder_common(s, c, &defaults);
    s->qk_norm = true;
    s->qkv_bias = s->out_bias = mica__config_bool(c, "attention_bias", false);
    mica__decoder_qwen_windows(s, c);
}

const mica__arch mica__arch_qwen3 = {
    .model_types = (const char *const[]){"qwen3", NULL},
    .describe = describe,
};
