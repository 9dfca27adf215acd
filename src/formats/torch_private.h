/* formats/torch_private.h: between the parts of the PyTorch reader. torch.c finds the pickle and the storages in a file; torch_tensor.c knows
 * the names that the pickle may hold and makes tensor views of its values. */
#ifndef MICA_FORMATS_TORCH_PRIVATE_H
#define MICA_FORMATS_TORCH_PRIVATE_H

#include "pickle.h"
#include "torch.h"

/* An element type. */
typedef struct mica__torch_dtype {
    const char *type_name; /* as in safetensors: "F32" */
    unsigned n_bytes;
    mica__storage storage;
    mica_dtype dtype;
} mica__torch_dtype;

/* One storage that the pickle mentions. */
typedef struct mica__torch_storage {
    mica__str key;                  /* in the pickle */
    const mica__torch_dtype *dtype; /* NULL: bytes, to which the first tensor gives a type */
    size_t n_elements;              /* as the pickle says; of bytes if there is no type yet */
    size_t n_bytes;
    const uint8_t *data; /* NULL until it was found in the file */
} mica__torch_storage;

typedef struct mica__torch_storages {
    mica__torch_storage *items; /* [n], in the order of their first mention */
    size_t n, cap;
    mica__map by_key;
} mica__torch_storages;

/* The names that a PyTorch pickle may hold. */
extern const mica__pickle_global mica__torch_globals[];
extern const size_t mica__torch_n_globals;

/* Lists all storages that p mentions. DATA if one is mentioned with two types or sizes. */
mica_status mica__torch_storages_list(mica__torch_storages *out, const mica__pickle *p, mica_error *err);
mica__torch_storage *mica__torch_storages_find(const mica__torch_storages *s, mica__str key); /* NULL: none */
void mica__torch_storages_release(mica__torch_storages *s);                                   /* {0} allowed */

/* Fills out->tensors from the dictionary of tensors that is root or lies in it. Every storage must have its data. */
mica_status mica__torch_read_tensors(mica__torch *out, const mica__pickle_value *root, mica__torch_storages *storages,
                                     mica_error *err);

#endif
