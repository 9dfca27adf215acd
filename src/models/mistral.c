/* models/mistral.c: Mistral 7B, Nemo, Small, Devstral (all layers slide, or none), and Ministral 8B, which mixes both. A "mistral" with
 * a layer schedule is a Ministral. */
#include "registry.h"

static const mica__decoder_defaults defaults = {
    .vocab = 32000,
    .hidden = 4096,
    .intermediate = 14336,
    .context = 131072,
    .n_layers = 32,
    .n_heads = 32,
    .n_kv_heads = 8,
    .norm_eps = 1e-6,
    .bos = 1,
    .eos = 2,
    .pad = -1,
};

static void describe(mica__config *c, mica__decoder_spec *s)
{
    mica__decoder_common(s, c, &defaults);
    int64_t window = mica__config_optional_int(c, "sliding_window", 4096, 1, INT32_MAX);
    mica__decoder_windows(s, c, mica__config_sliding_layers(c, s->n_layers), window);
}

const mica__arch mica__arch_mistral = {
    .model_types = (const char *const[]){"mistral", "ministral", NULL},
    .wrapper_types = (const char *const[]){"mistral3", NULL},
    .describe = describe,
};
