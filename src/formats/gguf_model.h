/* formats/gguf_model.h: a GGUF file as a Transformers checkpoint: what its architecture is, and the texts and tensor names made from it.
 *
 * gguf_config.c makes config.json and generation_config.json, gguf_tokenizer.c tokenizer.json, gguf_template.c tokenizer_config.json and the chat template, gguf_names.c
 * the tensors' Hub names. docs/FORMATS.md says what is derived from what. */
#ifndef MICA_FORMATS_GGUF_MODEL_H
#define MICA_FORMATS_GGUF_MODEL_H

#include "gguf.h"

/* How an architecture of GGUF relates to the one of Transformers. */
typedef struct mica__gguf_arch {
    const char *name;       /* general.architecture, the prefix of its keys */
    const char *model_type; /* of config.json */
    const char *class_name; /* its first "architectures" */
    bool permuted;          /* rows of q and k are reordered */
    bool plus_one;          /* norms are stored plus one */
    bool four_norms;        /* ffn_norm is pre_feedforward_layernorm, and there are norms behind both sub-blocks */
} mica__gguf_arch;

typedef struct mica__gguf_dims {
    int64_t n_layers, hidden, intermediate, context, n_heads, n_kv_heads, head_dim;
} mica__gguf_dims;

/* DATA without general.architecture, UNSUPPORTED for one that is not in the table; both name it. */
mica_status mica__gguf_arch_of(const mica__gguf *g, const mica__gguf_arch **out, mica_error *err);
/* DATA naming the key that is missing or out of range. */
mica_status mica__gguf_dims_of(const mica__gguf *g, const mica__gguf_arch *a, mica__gguf_dims *out, mica_error *err);
/* The value of key "ARCH.name"; NULL: none. */
const mica__gguf_value *mica__gguf_arch_get(const mica__gguf *g, const mica__gguf_arch *a, const char *name);

/* Names a GGUF tensor as on the Hub and calls add for it, for each of its parts if it is fused. Tensors without a place in the
 * model are passed to extra. */
typedef struct mica__gguf_name_sink {
    mica_status (*add)(void *context, const mica__tensor_view *v, mica_error *err);
    void (*extra)(void *context, const mica__tensor_view *v);
    void *context;
} mica__gguf_name_sink;
/* names: holds the Hub names. */
mica_status mica__gguf_name_tensor(const mica__tensor_view *v, const mica__gguf_arch *a, const mica__gguf_dims *d,
                                   mica__arena *names, const mica__gguf_name_sink *sink, mica_error *err);

/* The texts of a Transformers checkpoint, appended to *out. NOT_FOUND if the file has no tokenizer or no template. */
mica_status mica__gguf_config(const mica__gguf *g, mica__buf *out, mica_error *err);
mica_status mica__gguf_generation_config(const mica__gguf *g, mica__buf *out, mica_error *err);
mica_status mica__gguf_tokenizer(const mica__gguf *g, mica__buf *out, mica_error *err);
mica_status mica__gguf_tokenizer_config(const mica__gguf *g, mica__buf *out, mica_error *err);
mica_status mica__gguf_chat_template(const mica__gguf *g, mica__buf *out, mica_error *err);

/* Number of tokens; 0 if the file has no tokenizer. */
size_t mica__gguf_n_tokens(const mica__gguf *g);
/* The id under "tokenizer.ggml.NAME_token_id". *id -1 if there is none; DATA if it is not the id of a token. */
mica_status mica__gguf_token_id(const mica__gguf *g, const char *name, int64_t *id, mica_error *err);

#endif
