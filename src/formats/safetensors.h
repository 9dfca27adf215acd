/* formats/safetensors.h: the safetensors file format.
 *
 *     [ header length N: u64 little-endian ][ N bytes of JSON ][ data of all tensors, back to back ]
 *
 * The header names each tensor's dtype, shape and byte range in the data. Readers must accept any alignment (the header's length is
 * arbitrary) and any order of ranges. A file is refused unless its ranges fit their shapes and cover the data exactly, without holes or
 * overlaps: then no byte of the file is unaccounted for, and none outside is ever read. */
#ifndef MICA_FORMATS_SAFETENSORS_H
#define MICA_FORMATS_SAFETENSORS_H

#include "checkpoint.h"

typedef struct mica__safetensors {
    mica__tensor_view *tensors; /* [n_tensors], in the order of their data; views into the bytes that were parsed */
    size_t n_tensors;
    size_t data_start; /* offset of the data in the file */
    mica__arena names;
} mica__safetensors;

/* Reads the header of a file that lies at bytes[0..n), which must outlive *out. `path` is for messages only. DATA, LIMIT, MEMORY. */
mica_status mica__safetensors_parse(mica__safetensors *out, const uint8_t *bytes, size_t n, const char *path,
                                    mica_error *err);
void mica__safetensors_release(mica__safetensors *s); /* {0} allowed */

/* What a file that is not what its name says often is instead ("an HTML page ..."); NULL if it is none of these. For messages. */
const char *mica__file_kind(const uint8_t *bytes, size_t n);

/* One tensor to write: row-major data. */
typedef struct mica__safetensors_item {
    const char *name;
    mica_dtype dtype;
    int ndim;
    const int64_t *shape;
    const void *data;
} mica__safetensors_item;

/* Writes the tensors to `path`, which holds either its old content or all of the new. The data starts at a multiple of 64, and tensors
 * whose size is a multiple of 64 come first, so that those are aligned, too. INVALID for a name given twice or a shape that
 * overflows; CANNOT_CREATE, ACCESS, IO. */
mica_status mica__safetensors_write(const char *path, const mica__safetensors_item *items, size_t n, mica_error *err);

/* The same file for a writer that has its tensors piece by piece: where everything goes, before there is any data. */
typedef struct mica__safetensors_layout {
    mica__buf header; /* what the file starts with: length, JSON, padding */
    size_t *at;       /* [n] where item i's data starts in the file */
    size_t n_file;    /* bytes of the whole file */
} mica__safetensors_layout;
/* `data` of the items is not looked at. format: value of the metadata's "format"; NULL: no metadata. */
mica_status mica__safetensors_lay_out(mica__safetensors_layout *out, const mica__safetensors_item *items, size_t n,
                                      const char *format, mica_error *err);
void mica__safetensors_layout_release(mica__safetensors_layout *layout); /* {0} allowed */

#endif
