/* models/ministral3.c: Ministral 3 and Devstral Small 2: yarn, and queries that grow slowly with their position so that attention stays
 * sharp in long contexts. */
#include "registry.h"

static const mica__decoder_defaults defaults = {
    .vocab = 131072,
    .hidden = 4096,
    .intermediate = 14336,
    .context = 262144,
    .n_layers = 34,
    .n_heads = 32,
    .n_kv_heads = 8,
    .head_dim = 128,
    .norm_eps = 1e-5,
    .bos = 1,
    .eos = 2,
    .pad = 11,
};

/* The class's own rope if the config has none. */
static void default_rope(mica__decoder_spec *s)
{
    s->ropes[0] = (mica__rope){
        .type = MICA__ROPE_YARN,
        .dims = s->head_dim,
        .theta = 1e6,
        .factor = 16,
        .attention_factor = -1,
        .max_length = s->context,
        .original_length = 16384,
        .beta_fast = 32,
        .beta_slow = 1,
        .mscale = 1,
        .mscale_all_dim = 1,
        .truncate = true,
    };
    s->temperature = 0.1;
    s->temperature_length = 16384;
}

static void read_temperature(mica__decoder_spec *s, mica__jval rope)
{
    s->temperature_length = s->ropes[0].original_length;
    mica__json_double(mica__json_get(rope, "llama_4_scaling_beta"), &s->temperature);
    int64_t length;
    if (mica__json_int(mica__json_get(rope, "original_max_position_embeddings"), &length) && length > 0) {
        s->temperature_length = length;
    }
}

static void describe(mica__config *c, mica__decoder_spec *s)
{
    mica__decoder_common(s, c, &defaults);
    mica__jval rope = mica__config_rope_dict(c);
    if (rope) {
        read_temperature(s, rope);
    } else {
        default_rope(s);
    }
    mica__decoder_windows(s, c, NULL, mica__config_optional_int(c, "sliding_window", 0, 1, INT32_MAX));
}

const mica__arch mica__arch_ministral3 = {
    .model_types = (const char *const[]){"ministral3", NULL},
    .describe = describe,
};
