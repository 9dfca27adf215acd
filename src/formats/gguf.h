/* formats/gguf.h: the GGUF file format, versions 2 and 3, little-endian.
 *
 *     "GGUF" version u32 | tensor count u64 | key count u64 | keys with typed values | tensor infos | padding | data
 *
 * Everything parsed borrows from the bytes of the file. Lengths and counts are compared with the bytes that are left before anything
 * is allocated; a tensor's shape, type, offset and size must fit each other and the file; tensors may be in any order, with gaps, but
 * must not overlap. */
#ifndef MICA_FORMATS_GGUF_H
#define MICA_FORMATS_GGUF_H

#include "checkpoint.h"

typedef enum mica__gguf_type {
    MICA__GGUF_U8,
    MICA__GGUF_I8,
    MICA__GGUF_U16,
    MICA__GGUF_I16,
    MICA__GGUF_U32,
    MICA__GGUF_I32,
    MICA__GGUF_F32,
    MICA__GGUF_BOOL,
    MICA__GGUF_STRING,
    MICA__GGUF_ARRAY,
    MICA__GGUF_U64,
    MICA__GGUF_I64,
    MICA__GGUF_F64,
    MICA__GGUF_N_TYPES
} mica__gguf_type;

typedef struct mica__gguf_value {
    mica__str key;
    mica__gguf_type type; /* of the elements, if it is an array */
    bool is_array;
    size_t count;        /* elements; 1 if it is no array */
    const uint8_t *data; /* the elements, back to back, any alignment */
    size_t n_bytes;
} mica__gguf_value;

typedef struct mica__gguf {
    const char *path; /* borrowed; for messages */
    unsigned version;
    mica__gguf_value *values; /* [n_values] */
    size_t n_values;
    mica__map by_key;
    mica__tensor_view *tensors; /* [n_tensors]; name is the name in the file; shapes in row-major order */
    size_t n_tensors;
    mica__map by_name;
} mica__gguf;

/* Reads what precedes the data of a file that lies at bytes[0..n), which must outlive *out, as must path. */
mica_status mica__gguf_parse(mica__gguf *out, const uint8_t *bytes, size_t n, const char *path, mica_error *err);
void mica__gguf_release(mica__gguf *g); /* {0} allowed */

const mica__gguf_value *mica__gguf_get(const mica__gguf *g, const char *key); /* NULL: none */
const mica__tensor_view *mica__gguf_tensor(const mica__gguf *g, const char *name);

/* Conversions: false (and *out untouched) unless v is there, has a fitting type, and the value fits. Any integer type will do for
 * an integer, any number for a double. _at takes an element of an array, or 0 of a single value. */
bool mica__gguf_int(const mica__gguf_value *v, int64_t *out);
bool mica__gguf_double(const mica__gguf_value *v, double *out);
bool mica__gguf_bool(const mica__gguf_value *v, bool *out);
bool mica__gguf_string(const mica__gguf_value *v, mica__str *out);
bool mica__gguf_int_at(const mica__gguf_value *v, size_t i, int64_t *out);
bool mica__gguf_double_at(const mica__gguf_value *v, size_t i, double *out);
/* Walks the strings of an array: *at starts as 0. False at the end. */
bool mica__gguf_next_string(const mica__gguf_value *v, size_t *at, mica__str *out);

#endif
