/* mica/save.h: writing checkpoints, in MLX's format or in the plain one of Transformers.
 *
 *     mica_save_options options = {.quantize = "4"};
 *     mica_save_report *report = NULL;
 *     if (mica_convert("Qwen3-0.6B", "Qwen3-0.6B-4bit", &options, &report, &err)) ...
 *     mica_save_report_free(report);
 *
 * The target folder appears under its name when it is complete, never before: it is written beside its place and renamed at the end. What a process
 * that was killed, or a call that was cancelled, had written by then waits there in ".NAME.mica-partial": the same call takes it over, checks it, and goes on.
 * Another call for the same target removes it. Tensors
 * go from the mapped source to the target piece by piece, so memory does not grow with the model. The bytes written depend
 * neither on the machine nor on the number of threads. */
#ifndef MICA_SAVE_H
#define MICA_SAVE_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mica_save_format {
    MICA_SAVE_MLX,          /* as mlx-lm writes it, quantized or not */
    MICA_SAVE_TRANSFORMERS, /* Hub names and plain elements; quantized sources are expanded */
} mica_save_format;

/* Zero means the default. */
typedef struct mica_save_options {
    mica_save_format format;
    /* MODE-BITS-GROUP ("4", "affine-6-32", "mxfp4", "mxfp8", "nvfp4") or a recipe of mlx-lm, with its group if not 64 ("mixed_3_6",
     * "mixed_4_6-32"). NULL: as the source is. Only for MLX. */
    const char *quantize;
    /* Exceptions to `quantize`, a JSON object from patterns of module paths ("*": any text) to "6", "mxfp8", {"bits": 8} or false (left plain);
     * the first that matches counts: {"lm_head": "8", "*.mlp.down_proj": "6"}. NULL: none. */
    const char *rules;
    const char
        *quantizer;  /* "mlx" (NULL: the bytes that MLX gives) or "search" (slower, smaller errors, the same format) */
    bool dequantize; /* expand what the source has quantized */
    /* "float32", "bfloat16", "float16": of what is not quantized, and of scales. NULL: what torch_dtype in config.json says, else each
     * tensor's own; float16 for blocks of GGUF files. */
    const char *dtype;
    uint64_t max_shard_bytes; /* 0: 5 GiB for MLX, 50 GB for Transformers */
    bool overwrite; /* an existing folder's checkpoint is replaced when the new one is complete; its other files stay */
    bool no_model_card; /* no README.md */
    const char *
        base_model; /* Hub id for the model card; NULL: what the source's path in the Hub's cache says, if it lies there */
    int n_threads; /* 0: as many as useful here */
    mica_progress progress;
    mica_notices notices;
} mica_save_options;

/* Matrices of one kind ("q_proj", "embed_tokens"), over all layers. Errors are differences between the stored and the source's elements. */
typedef struct mica_save_kind {
    const char *name;
    const char *form; /* "affine-4-64", "bfloat16"; "mixed" if they differ */
    uint64_t n_tensors, n_parameters, n_bytes;
    double largest_error;  /* absolute */
    double mean_error;     /* root of the mean square */
    double relative_error; /* mean_error over the root of the mean square of the elements */
} mica_save_kind;

typedef struct mica_save_report {
    const char *path; /* the target */
    int n_shards;
    uint64_t n_parameters;
    uint64_t source_bytes, tensor_bytes; /* of all tensors before and after */
    uint64_t resumed_bytes;              /* of source_bytes, what an earlier call had converted already */
    double bits_per_weight;              /* tensor_bytes * 8 / n_parameters */
    double seconds;
    const mica_save_kind *kinds; /* [n_kinds] in the order of the model */
    int n_kinds;
} mica_save_report;
MICA_API void mica_save_report_free(mica_save_report *report); /* NULL allowed */

/* source: a checkpoint folder or a .gguf file. report may be NULL, else *report is NULL after a failure. INVALID for options that do not go together or a
 * folder that cannot be named so; CANNOT_CREATE if the folder exists (and is not empty) and overwrite is false, or if nothing can be made there;
 * BUSY if another process writes the same folder; IO (disk full); CANCELLED. After a failure there is no trace of the target, but for what a cancelled call
 * leaves beside it. */
MICA_API mica_status mica_convert(const char *source, const char *folder, const mica_save_options *options,
                                  mica_save_report **report, mica_error *err) MICA_NODISCARD;
/* The same from the checkpoint of a loaded model. Weights that were quantized while they were loaded are saved so in MLX's format, unless the options say
 * something else; Transformers' format, and dequantize, give what the checkpoint has. */
MICA_API mica_status mica_save_pretrained(const mica_model *model, const char *folder, const mica_save_options *options,
                                          mica_save_report **report, mica_error *err) MICA_NODISCARD;

#ifdef __cplusplus
}
#endif
#endif
