/* mica/model.h: loading a checkpoint.
 *
 *     mica_model *model = NULL;
 *     if (mica_model_load(&model, "path/to/checkpoint", NULL, &err)) ...
 *     mica_model_free(model);
 *
 * A loaded model is immutable and may be used by many threads and sessions at once. */
#ifndef MICA_MODEL_H
#define MICA_MODEL_H

#include "array.h"
#include "chat_template.h"
#include "progress.h"
#include "tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mica_model mica_model;

typedef enum mica_precision {
    MICA_PRECISION_FAST,  /* quantized weights meet activations rounded to 16-bit integers; 16-bit key-value cache */
    MICA_PRECISION_EXACT, /* float32 arithmetic and cache throughout */
    /* As FAST; where texts of more than one token are read (not their last position's scores), 4-bit weights meet activations rounded to 8 bits
     * for every 32 elements: faster, and seen in the logits (a KL divergence of 3e-4). With AVX2; elsewhere, and where AVX-512 has
     * VNNI, it is FAST. */
    MICA_PRECISION_INT8,
} mica_precision;

/* Zero means the default. */
typedef struct mica_model_options {
    mica_device *device; /* NULL: the process's CPU device with n_threads */
    int n_threads;       /* 0: as many as useful here; only if device is NULL */
    /* "auto", "float32", "bfloat16", "float16": of the key-value cache; weights keep their stored type. */
    const char *dtype;
    mica_precision precision;
    /* Matrices are quantized while they are loaded, as mica_convert would: MODE-BITS-GROUP ("4", "affine-6-32", "mxfp4", "mxfp8", "nvfp4") or a
     * recipe of mlx-lm ("mixed_3_6"). NULL: they stay as they are stored. */
    const char *quantize;
    const char *quantize_rules; /* exceptions to it, as `rules` of mica/save.h; NULL: none */
    const char *quantizer;      /* "mlx" (NULL: the bytes that MLX gives) or "search" (slower, smaller errors) */
    int max_rows;               /* prompt tokens computed at a time; 0: 128 (INT8: 256) */
    bool with_tokenizer; /* read it at once, before the weights: the peak of memory stays lower than on first use */
    bool config_only;    /* read the configuration and the tensor list, no weights (mica_model_info works) */
    mica_progress progress;
    mica_notices notices;
    /* Not NULL: no checkpoint is read. The path is a config.json, or a folder with one, and the weights are random numbers of this type,
     * to measure speeds: "float32", "float16", "bfloat16", or "affine-BITS-GROUP" for quantized matrices. */
    const char *random_weights;
    /* 8 or 4: key-value caches are quantized in groups of kv_group_size (32, 64, 128; 0: 64), see mica_cache_options, and then `dtype` has no
     * meaning. Sessions may choose otherwise. 8 bits are near lossless at half the bytes of float16. */
    int kv_bits, kv_group_size;
} mica_model_options;

/* path: a checkpoint folder or a .gguf file. */
MICA_API mica_status mica_model_load(mica_model **out, const char *path, const mica_model_options *options,
                                     mica_error *err) MICA_NODISCARD;
MICA_API void mica_model_free(mica_model *model); /* NULL allowed; its sessions must be freed before */

/* Read on first use, then kept; owned by the model. NOT_FOUND if the checkpoint has none. */
MICA_API mica_status mica_model_tokenizer(mica_model *model, const mica_tokenizer **out,
                                          mica_error *err) MICA_NODISCARD;
MICA_API mica_status mica_model_chat_template(mica_model *model, const mica_chat_template **out,
                                              mica_error *err) MICA_NODISCARD;

typedef struct mica_model_info {
    const char *model_type;   /* "llama" */
    const char *architecture; /* "LlamaForCausalLM", "" if the config does not say */
    const char *format;       /* "safetensors", "gguf" */
    const char *weights;   /* "bfloat16", "affine 4-bit group 32 + ...": the types of the matrices, most bytes first */
    uint64_t n_parameters; /* elements, tied ones once */
    uint64_t weight_bytes; /* as held in memory */
    uint64_t file_bytes;   /* tensors in the files */
    uint64_t read_bytes;   /* weights read for one token of decoding */
    uint64_t cache_bytes_per_token; /* of full-attention layers */
    int64_t context;                /* max_position_embeddings */
    int n_layers, n_heads, n_kv_heads, head_dim;
    int64_t hidden_size, intermediate_size, vocab_size;
    bool tied;
    bool has_tokenizer, has_chat_template;
    const int32_t *eos_token_ids; /* [n_eos_token_ids] */
    int n_eos_token_ids;
    int32_t bos_token_id, pad_token_id; /* -1: none */
} mica_model_info;
/* Pointers live as long as the model. */
MICA_API const mica_model_info *mica_model_get_info(const mica_model *model);
/* Positions that a layer's attention sees, the query's own included; 0: all before it. */
MICA_API int64_t mica_model_window(const mica_model *model, int layer);
/* The embeddings of ids, as the first layer sees them: out [n, hidden_size]. INVALID for an id that is not in the vocabulary. */
MICA_API mica_status mica_model_embed(mica_model *model, const int32_t *ids, size_t n, float *out,
                                      mica_error *err) MICA_NODISCARD;
MICA_API const char *mica_model_path(const mica_model *model);

#ifdef __cplusplus
}
#endif
#endif
