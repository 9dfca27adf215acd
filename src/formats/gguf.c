/* formats/gguf.c: reading a GGUF file's keys and tensor infos. */
#include "gguf.h"

#include <stdlib.h>

enum {
    MAX_KEY = 65535,
    MAX_NAME = 255,
    MAX_DIMS = 4,
    MAX_ARRAY = 64 << 20,
    DEFAULT_ALIGNMENT = 32,
    MIN_ALIGNMENT = 8,
    MAX_ALIGNMENT = 65536,
    MIN_VALUE_BYTES = 14,  /* a key of one byte and a value of one */
    MIN_TENSOR_BYTES = 33, /* a name of one byte and one dimension */
};

static const unsigned type_bytes[MICA__GGUF_N_TYPES] = {
    [MICA__GGUF_U8] = 1,     [MICA__GGUF_I8] = 1,  [MICA__GGUF_U16] = 2, [MICA__GGUF_I16] = 2,
    [MICA__GGUF_U32] = 4,    [MICA__GGUF_I32] = 4, [MICA__GGUF_F32] = 4, [MICA__GGUF_BOOL] = 1,
    [MICA__GGUF_STRING] = 8, [MICA__GGUF_U64] = 8, [MICA__GGUF_I64] = 8, [MICA__GGUF_F64] = 8,
};

/* Tensor types by their number. Those without a storage are known by name and size only. */
static const struct tensor_type {
    uint32_t id;
    const char *name;
    unsigned n_elements, n_bytes; /* of a block */
    mica__storage storage;
    mica_dtype dtype;
} tensor_types[] = {
    {0, "F32", 1, 4, MICA__STORAGE_PLAIN, MICA_DTYPE_F32},
    {1, "F16", 1, 2, MICA__STORAGE_PLAIN, MICA_DTYPE_F16},
    {30, "BF16", 1, 2, MICA__STORAGE_PLAIN, MICA_DTYPE_BF16},
    {28, "F64", 1, 8, MICA__STORAGE_PLAIN, MICA_DTYPE_F64},
    {24, "I8", 1, 1, MICA__STORAGE_PLAIN, MICA_DTYPE_I8},
    {25, "I16", 1, 2, MICA__STORAGE_PLAIN, MICA_DTYPE_I16},
    {26, "I32", 1, 4, MICA__STORAGE_PLAIN, MICA_DTYPE_I32},
    {27, "I64", 1, 8, MICA__STORAGE_PLAIN, MICA_DTYPE_I64},
    {2, "Q4_0", 32, 18, MICA__STORAGE_Q4_0, 0},
    {3, "Q4_1", 32, 20, MICA__STORAGE_Q4_1, 0},
    {6, "Q5_0", 32, 22, MICA__STORAGE_Q5_0, 0},
    {7, "Q5_1", 32, 24, MICA__STORAGE_Q5_1, 0},
    {8, "Q8_0", 32, 34, MICA__STORAGE_Q8_0, 0},
    {9, "Q8_1", 32, 36, MICA__STORAGE_OTHER, 0},
    {10, "Q2_K", 256, 84, MICA__STORAGE_Q2_K, 0},
    {11, "Q3_K", 256, 110, MICA__STORAGE_Q3_K, 0},
    {12, "Q4_K", 256, 144, MICA__STORAGE_Q4_K, 0},
    {13, "Q5_K", 256, 176, MICA__STORAGE_Q5_K, 0},
    {14, "Q6_K", 256, 210, MICA__STORAGE_Q6_K, 0},
    {15, "Q8_K", 256, 292, MICA__STORAGE_Q8_K, 0},
    {16, "IQ2_XXS", 256, 66, MICA__STORAGE_IQ2_XXS, 0},
    {17, "IQ2_XS", 256, 74, MICA__STORAGE_IQ2_XS, 0},
    {18, "IQ3_XXS", 256, 98, MICA__STORAGE_IQ3_XXS, 0},
    {19, "IQ1_S", 256, 50, MICA__STORAGE_IQ1_S, 0},
    {20, "IQ4_NL", 32, 18, MICA__STORAGE_IQ4_NL, 0},
    {21, "IQ3_S", 256, 110, MICA__STORAGE_IQ3_S, 0},
    {22, "IQ2_S", 256, 82, MICA__STORAGE_IQ2_S, 0},
    {23, "IQ4_XS", 256, 136, MICA__STORAGE_IQ4_XS, 0},
    {29, "IQ1_M", 256, 56, MICA__STORAGE_IQ1_M, 0},
    {34, "TQ1_0", 256, 54, MICA__STORAGE_TQ1_0, 0},
    {35, "TQ2_0", 256, 66, MICA__STORAGE_TQ2_0, 0},
    {39, "MXFP4", 32, 17, MICA__STORAGE_MXFP4, 0},
    {40, "NVFP4", 64, 36, MICA__STORAGE_NVFP4, 0},
    {41, "Q1_0", 128, 18, MICA__STORAGE_Q1_0, 0},
    {42, "Q2_0", 64, 18, MICA__STORAGE_Q2_0, 0},
};

static const struct tensor_type *find_tensor_type(uint32_t id)
{
    for (size_t i = 0; i < sizeof tensor_types / sizeof *tensor_types; i++)
        if (tensor_types[i].id == id) return &tensor_types[i];
    return NULL;
}

/* ---- reading forwards ---------------------------------------------------------------------------------------------------- */

typedef struct cursor {
    const uint8_t *start, *p, *end;
} cursor;

static size_t left(const cursor *c) { return (size_t)(c->end - c->p); }
static size_t position(const cursor *c) { return (size_t)(c->p - c->start); }

static bool take(cursor *c, void *out, size_t n)
{
    if (left(c) < n) return false;
    memcpy(out, c->p, n);
    c->p += n;
    return true;
}

/* A string's length and bytes, at least min_bytes of it and at most max_bytes. */
static bool take_string(cursor *c, size_t min_bytes, size_t max_bytes, mica__str *out)
{
    uint64_t n;
    if (!take(c, &n, sizeof n) || n > left(c) || n < min_bytes || n > max_bytes) return false;
    *out = (mica__str){(const char *)c->p, (size_t)n};
    c->p += n;
    return true;
}

/* ---- keys ---------------------------------------------------------------------------------------------------------------- */

static mica_status skip_strings(cursor *c, size_t count, const char *key, mica_error *err)
{
    mica__str unused;
    for (size_t i = 0; i < count; i++)
        if (!take_string(c, 0, SIZE_MAX, &unused))
            return mica__fail(err, MICA_DATA, "key '%s': string %zu of %zu ends beyond the file", key, i, count);
    return MICA_OK;
}

static mica_status read_array_head(cursor *c, mica__gguf_value *v, const char *key, mica_error *err)
{
    uint32_t type;
    uint64_t count;
    if (!take(c, &type, sizeof type) || !take(c, &count, sizeof count))
        return mica__fail(err, MICA_DATA, "key '%s': file ends inside the value", key);
    if (type == MICA__GGUF_ARRAY)
        return mica__fail(err, MICA_DATA, "key '%s': arrays of arrays are not supported", key);
    if (type >= MICA__GGUF_N_TYPES) return mica__fail(err, MICA_DATA, "key '%s': unknown element type %u", key, type);
    if (count > MAX_ARRAY || count > left(c) / type_bytes[type])
        return mica__fail(err, MICA_DATA, "key '%s': array of %llu elements in a file with %zu bytes left", key,
                          (unsigned long long)count, left(c));
    v->type = (mica__gguf_type)type;
    v->is_array = true;
    v->count = (size_t)count;
    return MICA_OK;
}

static mica_status read_value(cursor *c, mica__gguf_value *v, mica_error *err)
{
    const char *key = MICA_QUOTED_STR(v->key);
    uint32_t type;
    if (!take(c, &type, sizeof type)) return mica__fail(err, MICA_DATA, "key '%s': file ends before the value", key);
    if (type >= MICA__GGUF_N_TYPES) return mica__fail(err, MICA_DATA, "key '%s': unknown value type %u", key, type);
    v->type = (mica__gguf_type)type;
    v->count = 1;
    if (type == MICA__GGUF_ARRAY) MICA_TRY(read_array_head(c, v, key, err));
    v->data = c->p;
    if (v->type == MICA__GGUF_STRING) {
        MICA_TRY(skip_strings(c, v->count, key, err));
    } else {
        v->n_bytes = v->count * type_bytes[v->type]; /* an array's was compared with the bytes left */
        if (v->n_bytes > left(c)) return mica__fail(err, MICA_DATA, "key '%s': file ends inside the value", key);
        c->p += v->n_bytes;
    }
    v->n_bytes = (size_t)(c->p - v->data);
    if (v->type == MICA__GGUF_BOOL && !v->is_array && *v->data > 1)
        return mica__fail(err, MICA_DATA, "key '%s': true or false is stored as %u", key, *v->data);
    return MICA_OK;
}

static mica_status read_values(mica__gguf *g, cursor *c, uint64_t count, mica_error *err)
{
    if (count > left(c) / MIN_VALUE_BYTES)
        return mica__fail(err, MICA_DATA, "%llu keys in a file of %zu bytes", (unsigned long long)count,
                          (size_t)(c->end - c->start));
    g->values = mica__alloc((size_t)count, sizeof *g->values);
    if (!g->values || !mica__map_reserve(&g->by_key, (size_t)count))
        return mica__fail_memory(err, (size_t)count * sizeof *g->values, "the keys of a GGUF file");
    for (size_t i = 0; i < count; i++) {
        mica__gguf_value *v = &g->values[i];
        *v = (mica__gguf_value){0};
        size_t at = position(c);
        if (!take_string(c, 1, MAX_KEY, &v->key) || memchr(v->key.p, 0, v->key.n))
            return mica__fail(err, MICA_DATA, "key %zu (at byte %zu): its name is empty, too long or not text", i, at);
        MICA_TRY(read_value(c, v, err));
        bool existing = false;
        if (!mica__map_add(&g->by_key, v->key, (uint32_t)i, &existing))
            return mica__fail_memory(err, v->key.n, "a GGUF key");
        if (existing) return mica__fail(err, MICA_DATA, "duplicate key '%s'", MICA_QUOTED_STR(v->key));
        g->n_values++;
    }
    return MICA_OK;
}

static mica_status read_alignment(const mica__gguf *g, size_t *out, mica_error *err)
{
    *out = DEFAULT_ALIGNMENT;
    const mica__gguf_value *v = mica__gguf_get(g, "general.alignment");
    if (!v) return MICA_OK;
    int64_t value = 0;
    if (v->is_array || v->type != MICA__GGUF_U32 || !mica__gguf_int(v, &value))
        return mica__fail(err, MICA_DATA, "general.alignment is not a u32");
    if (value < MIN_ALIGNMENT || value > MAX_ALIGNMENT || (value & (value - 1)) != 0)
        return mica__fail(err, MICA_DATA, "general.alignment is %lld, expected a power of two from %d to %d",
                          (long long)value, MIN_ALIGNMENT, MAX_ALIGNMENT);
    *out = (size_t)value;
    return MICA_OK;
}

/* ---- tensors ------------------------------------------------------------------------------------------------------------- */

/* Dims are stored fastest first. */
static mica_status read_dims(cursor *c, mica__tensor_view *v, size_t *n_elements, mica_error *err)
{
    const char *name = MICA_QUOTED_STR(v->name);
    uint32_t ndim;
    if (!take(c, &ndim, sizeof ndim)) return mica__fail(err, MICA_DATA, "tensor '%s': file ends inside its info", name);
    if (ndim < 1 || ndim > MAX_DIMS)
        return mica__fail(err, MICA_DATA, "tensor '%s': has %u dimensions, expected 1 to %d", name, ndim, MAX_DIMS);
    v->ndim = (int)ndim;
    *n_elements = 1;
    for (int i = v->ndim - 1; i >= 0; i--) {
        uint64_t dim;
        if (!take(c, &dim, sizeof dim))
            return mica__fail(err, MICA_DATA, "tensor '%s': file ends inside its info", name);
        if (dim == 0 || dim > INT64_MAX)
            return mica__fail(err, MICA_DATA, "tensor '%s': a dimension is %llu", name, (unsigned long long)dim);
        if (!mica__mul(*n_elements, (size_t)dim, n_elements) || *n_elements > (size_t)1 << 62)
            return mica__fail(err, MICA_DATA, "tensor '%s': shape overflows", name);
        v->shape[i] = (int64_t)dim;
    }
    return MICA_OK;
}

/* Name, shape, type and size; the offset from the start of the data goes to *offset. */
static mica_status read_tensor(cursor *c, mica__tensor_view *v, size_t i, uint64_t *offset, mica_error *err)
{
    size_t at = position(c), n_elements = 0;
    if (!take_string(c, 1, MAX_NAME, &v->name) || memchr(v->name.p, 0, v->name.n))
        return mica__fail(err, MICA_DATA, "tensor %zu (at byte %zu): its name is empty, too long or not text", i, at);
    v->file_name = v->name;
    const char *name = MICA_QUOTED_STR(v->name);
    MICA_TRY(read_dims(c, v, &n_elements, err));
    uint32_t id;
    if (!take(c, &id, sizeof id) || !take(c, offset, sizeof *offset))
        return mica__fail(err, MICA_DATA, "tensor '%s': file ends inside its info", name);
    const struct tensor_type *type = find_tensor_type(id);
    if (!type) return mica__fail(err, MICA_DATA, "tensor '%s': unknown type number %d", name, (int)id);
    v->storage = type->storage;
    v->dtype = type->dtype;
    v->type_name = type->name;
    size_t row = (size_t)v->shape[v->ndim - 1];
    if (row % type->n_elements)
        return mica__fail(err, MICA_DATA, "tensor '%s': rows of %zu elements are no whole blocks of %s (%u)", name, row,
                          type->name, type->n_elements);
    if (!mica__mul(n_elements / type->n_elements, type->n_bytes, &v->n_bytes))
        return mica__fail(err, MICA_DATA, "tensor '%s': shape overflows", name);
    return MICA_OK;
}

static int by_data(const void *a, const void *b)
{
    const mica__tensor_view *x = *(const mica__tensor_view *const *)a, *y = *(const mica__tensor_view *const *)b;
    return x->data < y->data ? -1 : x->data > y->data;
}

static mica_status check_overlap(const mica__gguf *g, mica_error *err)
{
    const mica__tensor_view **sorted = mica__alloc(g->n_tensors, sizeof *sorted);
    if (!sorted) return mica__fail_memory(err, g->n_tensors * sizeof *sorted, "the tensor list");
    for (size_t i = 0; i < g->n_tensors; i++) sorted[i] = &g->tensors[i];
    qsort(sorted, g->n_tensors, sizeof *sorted, by_data);
    mica_status status = MICA_OK;
    for (size_t i = 1; i < g->n_tensors && status == MICA_OK; i++)
        if (sorted[i]->data < sorted[i - 1]->data + sorted[i - 1]->n_bytes)
            status = mica__fail(err, MICA_DATA, "tensors '%s' and '%s' overlap", MICA_QUOTED_STR(sorted[i - 1]->name),
                                MICA_QUOTED_STR(sorted[i]->name));
    mica__free(sorted);
    return status;
}

/* Where each tensor lies, once the start of the data is known. offsets: [n_tensors] */
static mica_status place_tensors(mica__gguf *g, const uint64_t *offsets, const cursor *c, size_t alignment,
                                 mica_error *err)
{
    size_t n_file = (size_t)(c->end - c->start), data_start;
    if (!mica__add(position(c), alignment - 1, &data_start)) return mica__fail(err, MICA_DATA, "file is too large");
    data_start &= ~(alignment - 1);
    for (size_t i = 0; i < g->n_tensors; i++) {
        mica__tensor_view *v = &g->tensors[i];
        const char *name = MICA_QUOTED_STR(v->name);
        size_t end;
        if (offsets[i] % alignment)
            return mica__fail(err, MICA_DATA, "tensor '%s': offset %llu is not a multiple of the alignment %zu", name,
                              (unsigned long long)offsets[i], alignment);
        if (!mica__add(data_start, (size_t)offsets[i], &end) || !mica__add(end, v->n_bytes, &end))
            return mica__fail(err, MICA_DATA, "tensor '%s': offset %llu overflows", name,
                              (unsigned long long)offsets[i]);
        if (end > n_file)
            return mica__fail(err, MICA_DATA,
                              "tensor '%s' ends at byte %zu, but the file has %zu, download incomplete?", name, end,
                              n_file);
        v->data = c->start + data_start + offsets[i];
    }
    return check_overlap(g, err);
}

static mica_status read_tensors(mica__gguf *g, cursor *c, uint64_t count, mica_error *err)
{
    if (count > left(c) / MIN_TENSOR_BYTES)
        return mica__fail(err, MICA_DATA, "%llu tensors in a file with %zu bytes left", (unsigned long long)count,
                          left(c));
    size_t alignment;
    MICA_TRY(read_alignment(g, &alignment, err));
    g->tensors = mica__calloc((size_t)count, sizeof *g->tensors);
    uint64_t *offsets = mica__alloc((size_t)count, sizeof *offsets);
    mica_status status = MICA_OK;
    if (!g->tensors || !offsets || !mica__map_reserve(&g->by_name, (size_t)count))
        status = mica__fail_memory(err, (size_t)count * sizeof *g->tensors, "the tensor list");
    for (size_t i = 0; i < count && status == MICA_OK; i++) {
        mica__tensor_view *v = &g->tensors[i];
        status = read_tensor(c, v, i, &offsets[i], err);
        bool existing = false;
        if (status == MICA_OK && !mica__map_add(&g->by_name, v->name, (uint32_t)i, &existing))
            status = mica__fail_memory(err, v->name.n, "a tensor name");
        if (existing) status = mica__fail(err, MICA_DATA, "duplicate tensor '%s'", MICA_QUOTED_STR(v->name));
        g->n_tensors++;
    }
    if (status == MICA_OK) status = place_tensors(g, offsets, c, alignment, err);
    mica__free(offsets);
    return status;
}

/* ---- the file ------------------------------------------------------------------------------------------------------------ */

static mica_status check_start(mica__gguf *g, cursor *c, mica_error *err)
{
    char magic[4];
    uint32_t version;
    if (!take(c, magic, sizeof magic) || memcmp(magic, "GGUF", sizeof magic) != 0)
        return mica__fail(err, MICA_DATA, "is not a GGUF file (it does not start with GGUF)");
    if (!take(c, &version, sizeof version)) return mica__fail(err, MICA_DATA, "file ends after the magic number");
    if (version && (version & 0xffff) == 0)
        return mica__fail(err, MICA_DATA, "GGUF version %u in a big-endian file; only little-endian ones are read",
                          __builtin_bswap32(version));
    if (version != 2 && version != 3)
        return mica__fail(err, MICA_DATA, "GGUF version %u; versions 2 and 3 are read", version);
    g->version = version;
    return MICA_OK;
}

static mica_status parse(mica__gguf *g, cursor *c, mica_error *err)
{
    MICA_TRY(check_start(g, c, err));
    uint64_t n_tensors, n_values;
    if (!take(c, &n_tensors, sizeof n_tensors) || !take(c, &n_values, sizeof n_values))
        return mica__fail(err, MICA_DATA, "file ends inside the header");
    if (n_tensors > left(c) / MIN_TENSOR_BYTES) /* before the keys are read: they may be many, too */
        return mica__fail(err, MICA_DATA, "%llu tensors in a file with %zu bytes left", (unsigned long long)n_tensors,
                          left(c));
    MICA_TRY(read_values(g, c, n_values, err));
    return read_tensors(g, c, n_tensors, err);
}

mica_status mica__gguf_parse(mica__gguf *out, const uint8_t *bytes, size_t n, const char *path, mica_error *err)
{
    *out = (mica__gguf){.path = path};
    cursor c = {bytes, bytes, bytes + n};
    mica_status status = parse(out, &c, err);
    if (status == MICA_OK) return MICA_OK;
    mica__gguf_release(out);
    return mica__fail_prefix(err, status, "%s", path);
}

void mica__gguf_release(mica__gguf *g)
{
    mica__free(g->values);
    mica__free(g->tensors);
    mica__map_release(&g->by_key);
    mica__map_release(&g->by_name);
    *g = (mica__gguf){0};
}

const mica__gguf_value *mica__gguf_get(const mica__gguf *g, const char *key)
{
    uint32_t i;
    return mica__map_get(&g->by_key, mica__str_from(key), &i) ? &g->values[i] : NULL;
}

const mica__tensor_view *mica__gguf_tensor(const mica__gguf *g, const char *name)
{
    uint32_t i;
    return mica__map_get(&g->by_name, mica__str_from(name), &i) ? &g->tensors[i] : NULL;
}

/* ---- values -------------------------------------------------------------------------------------------------------------- */

bool mica__gguf_int_at(const mica__gguf_value *v, size_t i, int64_t *out)
{
    if (!v || i >= v->count) return false;
    const uint8_t *p = v->data + i * type_bytes[v->type];
    uint64_t u = 0;
    switch (v->type) {
    case MICA__GGUF_U8:
    case MICA__GGUF_U16:
    case MICA__GGUF_U32:
    case MICA__GGUF_U64:
        memcpy(&u, p, type_bytes[v->type]);
        if (u > INT64_MAX) return false;
        *out = (int64_t)u;
        return true;
    case MICA__GGUF_I8:
        *out = (int8_t)*p;
        return true;
    case MICA__GGUF_I16: {
        int16_t x;
        memcpy(&x, p, sizeof x);
        *out = x;
        return true;
    }
    case MICA__GGUF_I32: {
        int32_t x;
        memcpy(&x, p, sizeof x);
        *out = x;
        return true;
    }
    case MICA__GGUF_I64:
        memcpy(out, p, sizeof *out);
        return true;
    default:
        return false;
    }
}

bool mica__gguf_double_at(const mica__gguf_value *v, size_t i, double *out)
{
    if (!v || i >= v->count) return false;
    int64_t whole;
    if (v->type == MICA__GGUF_F32) {
        float f;
        memcpy(&f, v->data + i * sizeof f, sizeof f);
        *out = (double)f;
    } else if (v->type == MICA__GGUF_F64) {
        memcpy(out, v->data + i * sizeof *out, sizeof *out);
    } else if (mica__gguf_int_at(v, i, &whole)) {
        *out = (double)whole;
    } else {
        return false;
    }
    return true;
}

bool mica__gguf_int(const mica__gguf_value *v, int64_t *out)
{
    return v && !v->is_array && mica__gguf_int_at(v, 0, out);
}

bool mica__gguf_double(const mica__gguf_value *v, double *out)
{
    return v && !v->is_array && mica__gguf_double_at(v, 0, out);
}

bool mica__gguf_bool(const mica__gguf_value *v, bool *out)
{
    if (!v || v->is_array || v->type != MICA__GGUF_BOOL) return false;
    *out = *v->data != 0;
    return true;
}

/* The lengths are checked again: the file may have changed since it was parsed. */
bool mica__gguf_next_string(const mica__gguf_value *v, size_t *at, mica__str *out)
{
    if (!v || v->type != MICA__GGUF_STRING || *at >= v->n_bytes) return false;
    cursor c = {v->data, v->data + *at, v->data + v->n_bytes};
    if (!take_string(&c, 0, SIZE_MAX, out)) return false;
    *at = position(&c);
    return true;
}

bool mica__gguf_string(const mica__gguf_value *v, mica__str *out)
{
    size_t at = 0;
    return v && !v->is_array && mica__gguf_next_string(v, &at, out);
}
