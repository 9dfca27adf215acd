/* formats/torch.h: PyTorch checkpoints, what torch.save writes.
 *
 * Since PyTorch 1.6 that is a zip archive: NAME/data.pkl is a pickle of the saved object, in which each tensor names its storage,
 * and NAME/data/KEY are the bytes of the storages. Before, it was a plain sequence:
 *
 *     [ pickle: magic number ][ pickle: 1001 ][ pickle: byte order ][ pickle: the object ][ pickle: list of keys ]
 *     [ number of elements: i64 ][ bytes of the first storage ][ number ][ bytes of the second ] ...
 *
 * The tensors are views into the bytes: a part of a storage, with strides if it is not row-major. Several may share one storage. The
 * object is a dictionary of tensors by name, or holds one: {"state_dict": {...}, "epoch": 3}.
 *
 * A pickle that names anything but what tensors are rebuilt from is refused, see pickle.h. Refused with advice as well: TorchScript
 * archives, big-endian files, the tar format of 2016. */
#ifndef MICA_FORMATS_TORCH_H
#define MICA_FORMATS_TORCH_H

#include "checkpoint.h"

typedef struct mica__torch {
    mica__tensor_view *tensors; /* [n_tensors], in the order of the dictionary; views into the bytes that were parsed */
    size_t n_tensors;
    mica__arena arena; /* names and strides */
} mica__torch;

/* Reads a file that lies at bytes[0..n), which must outlive *out. `path` is for messages only. DATA, UNSUPPORTED, LIMIT, MEMORY. */
mica_status mica__torch_parse(mica__torch *out, const uint8_t *bytes, size_t n, const char *path, mica_error *err);
void mica__torch_release(mica__torch *t); /* {0} allowed */

#endif
