/* models/save_plan.h: what a saved checkpoint will hold, decided before anything is written.
 *
 * One entry for each tensor of the model: where it comes from, what becomes of it, which tensors of which shapes that makes, and in
 * which shard they go. Every size is known from here on, so pieces can be written in any order. */
#ifndef MICA_MODELS_SAVE_PLAN_H
#define MICA_MODELS_SAVE_PLAN_H

#include "formats/quantize.h"
#include "weight_list.h"
#include <mica/save.h>

typedef enum mica__save_action {
    MICA__SAVE_PLAIN,    /* elements of `dtype` */
    MICA__SAVE_QUANTIZE, /* quantized by us */
    MICA__SAVE_REPACK,   /* GGUF blocks, put into affine groups without loss */
    MICA__SAVE_COPY,     /* MLX's codes as they are */
} mica__save_action;

/* One tensor of the target. */
typedef struct mica__save_tensor {
    const char *name;
    mica_dtype dtype;
    int ndim;
    int64_t shape[2];
    size_t row_bytes, n_bytes;
    size_t at; /* offset in the shard's file */
} mica__save_tensor;

typedef struct mica__save_entry {
    const mica__wanted *wanted;
    const char *path; /* of the module: "model.layers.0.mlp.up_proj" */
    mica__save_action action;
    mica_dtype dtype; /* of plain elements, or of scales */
    mica__quantization q;
    bool named; /* config.json names the module */
    int64_t n_rows, n_columns;
    mica__save_tensor tensors[3]; /* weight, scales, biases */
    int n_tensors;
    size_t n_bytes;
    int shard, kind; /* kind -1: not a matrix */
} mica__save_entry;

typedef struct mica__save_plan {
    mica__save_entry *entries; /* [n], in the order of shards */
    size_t n;
    int n_shards;
    mica__quantization general; /* of config.json; bits 0: nothing is quantized */
    uint64_t source_bytes, n_bytes, n_parameters;
    mica_save_kind *kinds; /* [n_kinds] */
    int n_kinds;
    mica__arena names;
} mica__save_plan;

/* What the plan is made from. */
typedef struct mica__save_source {
    const mica__checkpoint *checkpoint;
    const mica__config *config;
    const mica__weight_list *list;
    int n_layers;
    const char *prefix; /* of the body's tensors in the target: "model." */
    const char *head;   /* what stands before "lm_head.weight" there */
} mica__save_source;

mica_status mica__save_plan_make(mica__save_plan *out, const mica__save_source *source,
                                 const mica_save_options *options, mica_error *err);
void mica__save_plan_release(mica__save_plan *plan); /* {0} allowed */

/* "model-00001-of-00003.safetensors", or "model.safetensors" if it is the only one. */
void mica__save_shard_name(const mica__save_plan *plan, int shard, char out[48]);

#endif
