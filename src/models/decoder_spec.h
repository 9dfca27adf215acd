/* models/decoder_spec.h: a decoder-only transformer, described.
 *
 * An architecture fills this in from its config (see registry.h); the weight loader reads from it which tensors of which
 * shapes must exist, and the shared decoder builds the graph from it. It says what the families differ in, one field each:
 *
 *     h = embed[ids] * embedding_scale
 *     each layer:
 *         a = attention(norm(h, before_attention));   h = h + norm(a, after_attention)
 *         m = mlp(norm(h, before_mlp));                h = h + norm(m, after_mlp)
 *     logits = softcap(head(norm(h, final)), logits_softcap)
 *
 * A norm whose name is NULL is not there. */
#ifndef MICA_MODELS_DECODER_SPEC_H
#define MICA_MODELS_DECODER_SPEC_H

#include "config.h"
#include <mica/array.h>

#define MICA__MAX_ROPES 4

typedef struct mica__layer_spec {
    int64_t window; /* of attention; 0: everything before */
    int rope;       /* index into ropes; -1: no position embedding */
} mica__layer_spec;

/* Tensor names below "layers.N.", without ".weight". */
typedef struct mica__norm_names {
    const char *before_attention, *after_attention, *before_mlp, *after_mlp;
} mica__norm_names;

typedef struct mica__decoder_spec {
    int64_t vocab, hidden, intermediate, context;
    int n_layers, n_heads, n_kv_heads, head_dim;
    mica__layer_spec *layers; /* [n_layers], in the config's arena */

    mica__norm_names norms;
    float norm_eps;
    float norm_offset; /* norms multiply by weight + offset: 1 for families that store weights around zero */

    bool qkv_bias, out_bias, mlp_bias;
    bool qk_norm;            /* rms norm of every query and key head before the rope */
    float attention_scale;   /* of q.k */
    float attention_softcap; /* 0: none */
    double temperature;      /* queries times 1 + temperature * ln(1 + floor(position / temperature_length)); 0: none */
    int64_t temperature_length;
    mica__rope ropes[MICA__MAX_ROPES];
    int n_ropes;

    mica_activation activation; /* down(activation(gate(x)) * up(x)) */
    float embedding_scale;
    float logits_softcap; /* 0: none */
    bool tied;            /* the head is the embedding, says the config; weights may say otherwise */

    int32_t bos, pad; /* -1: none */
    int32_t eos[16];
    int n_eos;
} mica__decoder_spec;

/* What a config class assumes for missing fields. 0 or NULL: see beside. */
typedef struct mica__decoder_defaults {
    int64_t vocab, hidden, intermediate, context;
    int n_layers, n_heads;
    int n_kv_heads; /* 0: as many as heads */
    int head_dim;   /* 0: hidden / heads */
    double norm_eps;
    const char *activation_field; /* NULL: "hidden_act" */
    const char *activation;       /* NULL: "silu" */
    bool tied;
    bool heads_divide_hidden; /* the class insists on it even if head_dim is given */
    int bos, eos, pad;        /* -1: none */
} mica__decoder_defaults;

/* Fills the fields that nearly all architectures share, and sets the rest to a plain Llama: full attention in every layer, one rope
 * (ropes[0], theta 10000 if the config says nothing), scale 1/sqrt(head_dim), norms before both halves, no biases. Failures latch in c. */
void mica__decoder_common(mica__decoder_spec *s, mica__config *c, const mica__decoder_defaults *d);

/* Makes layer i a window layer where sliding[i] (NULL: all of them); window 0 changes nothing. */
void mica__decoder_windows(mica__decoder_spec *s, mica__config *c, const bool *sliding, int64_t window);

/* Sliding layers use another rope than ropes[0]. */
void mica__decoder_layer_ropes(mica__decoder_spec *s, mica__config *c, const bool *sliding, int rope);

/* The Qwen 2 and 3 rule: layer_types if given, else layers from max_window_layers on; only if use_sliding_window is true. */
void mica__decoder_qwen_windows(mica__decoder_spec *s, mica__config *c);

/* Last checks, after the architecture is done. */
void mica__decoder_finish(mica__decoder_spec *s, mica__config *c);

#endif
