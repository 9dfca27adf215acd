/* formats/checkpoint.h: a checkpoint, whatever it is stored as.
 *
 * A folder of safetensors or PyTorch files and a GGUF file look the same from here: texts by the names they have in a Transformers
 * checkpoint ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"), and tensors
 * by their Hub names with Transformers' shapes ("model.layers.0.self_attn.q_proj.weight", [out, in]). For GGUF the texts are made from the
 * metadata, and what the conversion to GGUF did to a tensor is noted in its view, to be undone by mica__tensor_read.
 *
 * Tensor data stays in the mapped files; a checkpoint must outlive the views taken from it. */
#ifndef MICA_FORMATS_CHECKPOINT_H
#define MICA_FORMATS_CHECKPOINT_H

#include "../base/file.h"
#include "../base/json.h"
#include "quantize.h"
#include <mica/array.h>
#include <mica/progress.h>

typedef struct mica__checkpoint mica__checkpoint;

/* How the bytes of a tensor are stored. The first ones are plain arrays of a mica_dtype. */
typedef enum mica__storage {
    MICA__STORAGE_PLAIN,
    MICA__STORAGE_Q4_0, /* GGUF blocks of 32 along the last axis */
    MICA__STORAGE_Q4_1,
    MICA__STORAGE_Q5_0,
    MICA__STORAGE_Q5_1,
    MICA__STORAGE_Q8_0,
    MICA__STORAGE_Q2_K, /* GGUF blocks of 256, of IQ4_NL and MXFP4 of 32 */
    MICA__STORAGE_Q3_K,
    MICA__STORAGE_Q4_K,
    MICA__STORAGE_Q5_K,
    MICA__STORAGE_Q6_K,
    MICA__STORAGE_Q8_K,
    MICA__STORAGE_TQ1_0,
    MICA__STORAGE_TQ2_0,
    MICA__STORAGE_IQ4_NL,
    MICA__STORAGE_IQ4_XS,
    MICA__STORAGE_MXFP4,
    MICA__STORAGE_NVFP4,
    MICA__STORAGE_Q1_0,
    MICA__STORAGE_Q2_0,
    MICA__STORAGE_IQ2_XXS,
    MICA__STORAGE_IQ2_XS,
    MICA__STORAGE_IQ2_S,
    MICA__STORAGE_IQ3_XXS,
    MICA__STORAGE_IQ3_S,
    MICA__STORAGE_IQ1_S,
    MICA__STORAGE_IQ1_M,
    MICA__STORAGE_PACKED, /* quantized Hugging Face formats, of several tensors: see packed.h */
    MICA__STORAGE_OTHER,  /* known to the format, not readable as numbers here; type_name says what */
} mica__storage;

typedef struct mica__tensor_view {
    mica__str name;      /* Hub name */
    mica__str file_name; /* name in the file, for messages */
    mica__storage storage;
    const char *type_name; /* "BF16", "Q4_1": for messages */
    mica_dtype dtype;      /* if plain */
    int ndim;
    int64_t shape[MICA_MAX_DIMS];
    const uint8_t *data;    /* in the mapped file, any alignment */
    size_t n_bytes;         /* of the elements, in row-major order */
    const int64_t *strides; /* [ndim] in elements, at least 0; NULL: row-major. Only if plain */
    int permuted_heads;     /* > 0: rows of q or k in GGUF order of this many heads, see facts of the format */
    float factor;           /* of every element, before that; 0: 1 */
    float add;              /* to be added to every element: -1 for norms that GGUF stores plus one */
    const struct mica__packed *packed; /* if packed; then data is NULL */
    int64_t first_row;                 /* if packed: of what it holds */
    int file;                          /* private */
} mica__tensor_view;

/* path: a folder or a .gguf file. A folder without weights is fine (tokenizer only): it has no tensors. */
mica_status mica__checkpoint_open(mica__checkpoint **out, const char *path, const mica_notices *notices,
                                  mica_error *err);
void mica__checkpoint_free(mica__checkpoint *c); /* NULL allowed */
const char *mica__checkpoint_path(const mica__checkpoint *c);
const char *mica__checkpoint_format(const mica__checkpoint *c); /* "safetensors", "pytorch", "gguf", "none" */

/* The text of one of the files above, made or read on first use and kept. NOT_FOUND if the checkpoint has none. */
mica_status mica__checkpoint_text(mica__checkpoint *c, const char *name, mica__str *out, mica_error *err);
/* Lets go of a kept text (tokenizer.json can be large). */
void mica__checkpoint_forget_text(mica__checkpoint *c, const char *name);

/* The state of file i when it was mapped; false if there are no more. */
bool mica__checkpoint_file_state(const mica__checkpoint *c, size_t i, mica__file_state *out);

/* True if what `path` leads to lies in the folder, or in blobs/ when the folder is REPOSITORY/snapshots/REVISION. */
bool mica__checkpoint_leads_inside(const char *folder, const char *path);

size_t mica__checkpoint_n_tensors(const mica__checkpoint *c);
const mica__tensor_view *mica__checkpoint_tensor_at(const mica__checkpoint *c, size_t i);
const mica__tensor_view *mica__checkpoint_tensor(const mica__checkpoint *c, mica__str name); /* NULL: none */
/* Sum over all tensors. */
size_t mica__checkpoint_tensor_bytes(const mica__checkpoint *c);

/* Elements as float32, row-major, the conversion undone: n = product of the shape. Any storage but OTHER. */
mica_status mica__tensor_read_f32(const mica__tensor_view *v, float *out, mica_error *err);
/* Elements in their own type, row-major, rows put back in order: n_bytes. Storage PLAIN without anything to add. */
mica_status mica__tensor_read_plain(const mica__tensor_view *v, void *out, mica_error *err);

/* A matrix (or a stack of them) by rows, for reading it in pieces: rows are everything but the last axis; a vector is one row. Pieces start and end
 * at multiples of the step: the rows of a head if those are permuted, else 1. */
int64_t mica__tensor_n_rows(const mica__tensor_view *v);
int64_t mica__tensor_row_step(const mica__tensor_view *v);
/* The view of rows first .. first + n - 1 as a matrix [n, columns]; of all rows the tensor as it is. */
mica__tensor_view mica__tensor_rows(const mica__tensor_view *v, int64_t first, int64_t n);

/* True if the tensor is a 2-D matrix that has an exact affine form; *bits and *group_size say which. */
bool mica__tensor_affine_form(const mica__tensor_view *v, int *bits, int *group_size);
/* The type of the scales and biases of that form: F16, or F32 where half floats would round. */
mica_dtype mica__tensor_affine_dtype(const mica__tensor_view *v);
/* True if every bias is -2^(bits - 1) times its scale, so that none need be kept: `biases` below may then be NULL. */
bool mica__tensor_affine_symmetric(const mica__tensor_view *v);
/* Writes that form: codes u32 [N, K * bits / 32], scales and biases [N, K / group_size]; rows put back in order. */
mica_status mica__tensor_read_affine(const mica__tensor_view *v, uint32_t *codes, void *scales, void *biases,
                                     mica_error *err);

/* The same for the modes of floats: true if the matrix has an exact form in one of them; codes, and scales u8 [N, K / group size]. */
bool mica__tensor_float_form(const mica__tensor_view *v, mica__quantization *out);
mica_status mica__tensor_read_float_form(const mica__tensor_view *v, uint32_t *codes, uint8_t *scales, mica_error *err);
/* What the elements are expanded to where there is no exact form: f32, f16 or bf16. */
mica_dtype mica__tensor_plain_dtype(const mica__tensor_view *v);

/* The tensor (or the rows that a view of it holds) was copied elsewhere: its pages need not stay in memory. */
void mica__checkpoint_forget_tensor(const mica__checkpoint *c, const mica__tensor_view *v);
/* The same for everything read so far: headers, megabytes of tokens and merges, the pages at the edges of copied tensors. What is
 * used in place comes back from the system's page cache as it is touched. */
void mica__checkpoint_forget(const mica__checkpoint *c);
/* IO if a mapped file was truncated meanwhile. NULL allowed. */
mica_status mica__checkpoint_check(const mica__checkpoint *c, mica_error *err);

#endif
