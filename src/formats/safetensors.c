/* formats/safetensors.c: reading the header of a safetensors file.
 *
 * Nothing in the header is believed: lengths are compared with the file before anything is allocated, each tensor's byte range with
 * its shape in checked arithmetic, and the sorted ranges with each other and with the end of the file. */
#include "safetensors.h"

#include <stdlib.h>

enum { MAX_HEADER = 100000000, LENGTH_BYTES = 8 };

/* Storage OTHER: the size is known, so that the file can be checked, but the elements are no numbers to us. */
static const struct dtype_row {
    const char *name;
    unsigned bits;
    mica__storage storage;
    mica_dtype dtype;
} dtypes[] = {
    {"F32", 32, MICA__STORAGE_PLAIN, MICA_DTYPE_F32},
    {"F16", 16, MICA__STORAGE_PLAIN, MICA_DTYPE_F16},
    {"BF16", 16, MICA__STORAGE_PLAIN, MICA_DTYPE_BF16},
    {"F64", 64, MICA__STORAGE_PLAIN, MICA_DTYPE_F64},
    {"I8", 8, MICA__STORAGE_PLAIN, MICA_DTYPE_I8},
    {"I16", 16, MICA__STORAGE_PLAIN, MICA_DTYPE_I16},
    {"I32", 32, MICA__STORAGE_PLAIN, MICA_DTYPE_I32},
    {"I64", 64, MICA__STORAGE_PLAIN, MICA_DTYPE_I64},
    {"U8", 8, MICA__STORAGE_PLAIN, MICA_DTYPE_U8},
    {"U16", 16, MICA__STORAGE_PLAIN, MICA_DTYPE_U16},
    {"U32", 32, MICA__STORAGE_PLAIN, MICA_DTYPE_U32},
    {"U64", 64, MICA__STORAGE_PLAIN, MICA_DTYPE_U64},
    {"BOOL", 8, MICA__STORAGE_PLAIN, MICA_DTYPE_BOOL},
    {"C64", 64, MICA__STORAGE_OTHER, 0},
    {"F8_E4M3", 8, MICA__STORAGE_OTHER, 0},
    {"F8_E5M2", 8, MICA__STORAGE_OTHER, 0},
    {"F8_E8M0", 8, MICA__STORAGE_OTHER, 0},
    {"F8_E4M3FNUZ", 8, MICA__STORAGE_OTHER, 0},
    {"F8_E5M2FNUZ", 8, MICA__STORAGE_OTHER, 0},
    {"F6_E2M3", 6, MICA__STORAGE_OTHER, 0},
    {"F6_E3M2", 6, MICA__STORAGE_OTHER, 0},
    {"F4", 4, MICA__STORAGE_OTHER, 0},
};

static const struct dtype_row *find_dtype(mica__str name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (mica__str_is(name, dtypes[i].name)) return &dtypes[i];
    return NULL;
}

const char *mica__file_kind(const uint8_t *bytes, size_t n)
{
    mica__str head = {(const char *)bytes, n < 512 ? n : 512};
    if (mica__str_starts(head, "version https://git-lfs")) return "a Git LFS pointer; the file itself was not fetched";
    if (mica__str_starts(head, "\x1f\x8b")) return "gzip-compressed data";
    if (mica__str_starts(head, "PK\x03\x04")) return "a zip archive (a PyTorch checkpoint?)";
    if (mica__str_starts(head, "GGUF")) return "a GGUF file";
    while (head.n &&
           (*head.p == ' ' || *head.p == '\n' || *head.p == '\r' || *head.p == '\t' || (uint8_t)*head.p >= 0x80)) {
        head.p++; /* white space or a byte order mark */
        head.n--;
    }
    if (mica__str_starts(head, "<!") || mica__str_starts(head, "<html") || mica__str_starts(head, "<HTML"))
        return "an HTML page (an error page saved as a file?)";
    return NULL;
}

/* ---- one tensor ---------------------------------------------------------------------------------------------------------- */

static mica_status read_shape(mica__tensor_view *v, mica__jval shape, size_t *n_elements, mica_error *err)
{
    const char *name = MICA_QUOTED_STR(v->name);
    if (!mica__json_is(shape, MICA__JSON_ARRAY))
        return mica__fail(err, MICA_DATA, "tensor '%s': shape is not a list", name);
    if (mica__json_count(shape) > MICA_MAX_DIMS)
        return mica__fail(err, MICA_DATA, "tensor '%s': shape has %zu dimensions, limit is %d", name,
                          mica__json_count(shape), MICA_MAX_DIMS);
    *n_elements = 1;
    for (mica__jval e = mica__json_first(shape); e; e = mica__json_next(shape, e)) {
        int64_t dim;
        if (!mica__json_int(e, &dim) || dim < 0)
            return mica__fail(
                err, MICA_DATA,
                "tensor '%s': dimension %d of its shape is not a whole number of at least 0 that fits 63 bits", name,
                v->ndim);
        if (!mica__mul(*n_elements, (size_t)dim, n_elements) || *n_elements > INT64_MAX)
            return mica__fail(err, MICA_DATA, "tensor '%s': shape overflows", name);
        v->shape[v->ndim++] = dim;
    }
    return MICA_OK;
}

static mica_status read_offsets(const mica__tensor_view *v, mica__jval offsets, size_t *start, size_t *end,
                                mica_error *err)
{
    int64_t a, b;
    if (!mica__json_is(offsets, MICA__JSON_ARRAY) || mica__json_count(offsets) != 2 ||
        !mica__json_int(mica__json_at(offsets, 0), &a) || !mica__json_int(mica__json_at(offsets, 1), &b) || a < 0 ||
        b < a)
        return mica__fail(err, MICA_DATA, "tensor '%s': data_offsets are not two rising whole numbers",
                          MICA_QUOTED_STR(v->name));
    *start = (size_t)a;
    *end = (size_t)b;
    return MICA_OK;
}

/* The view of one member of the header, its byte range still relative to the data and not yet compared with the file. */
static mica_status read_tensor(mica__tensor_view *v, mica__jval entry, size_t *start, size_t *end, mica_error *err)
{
    const char *name = MICA_QUOTED_STR(v->name);
    if (!mica__json_is(entry, MICA__JSON_OBJECT))
        return mica__fail(err, MICA_DATA, "tensor '%s': entry is not an object", name);
    mica__str dtype;
    if (!mica__json_string(mica__json_get(entry, "dtype"), &dtype))
        return mica__fail(err, MICA_DATA, "tensor '%s': dtype is not a string", name);
    const struct dtype_row *row = find_dtype(dtype);
    if (!row) return mica__fail(err, MICA_DATA, "tensor '%s': unknown dtype '%s'", name, MICA_QUOTED_STR(dtype));
    v->storage = row->storage;
    v->dtype = row->dtype;
    v->type_name = row->name;

    size_t n_elements, n_bits;
    MICA_TRY(read_shape(v, mica__json_get(entry, "shape"), &n_elements, err));
    MICA_TRY(read_offsets(v, mica__json_get(entry, "data_offsets"), start, end, err));
    if (!mica__mul(n_elements, row->bits, &n_bits))
        return mica__fail(err, MICA_DATA, "tensor '%s': shape overflows", name);
    if (n_bits % 8)
        return mica__fail(err, MICA_DATA, "tensor '%s': %zu elements of %s are no whole bytes", name, n_elements,
                          row->name);
    v->n_bytes = n_bits / 8;
    if (*end - *start != v->n_bytes)
        return mica__fail(err, MICA_DATA, "tensor '%s': its shape in %s needs %zu bytes, data_offsets give %zu", name,
                          row->name, v->n_bytes, *end - *start);
    return MICA_OK;
}

/* ---- the header ---------------------------------------------------------------------------------------------------------- */

typedef struct range {
    size_t start, end;
    size_t tensor; /* index in the order of the header */
} range;

static int by_offset(const void *a, const void *b)
{
    const range *x = a, *y = b;
    if (x->start != y->start) return x->start < y->start ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return x->tensor < y->tensor ? -1 : x->tensor > y->tensor;
}

/* The sorted ranges must follow each other without hole or overlap and end where the file ends. */
static mica_status check_cover(const range *ranges, size_t n, const mica__tensor_view *views, size_t data_start,
                               size_t n_data, mica_error *err)
{
    size_t end = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = MICA_QUOTED_STR(views[ranges[i].tensor].name);
        if (ranges[i].start > end)
            return mica__fail(
                err, MICA_DATA,
                "tensor '%s': starts at byte %zu of the data, %zu bytes after the end of what precedes it", name,
                ranges[i].start, ranges[i].start - end);
        if (ranges[i].start < end)
            return mica__fail(err, MICA_DATA,
                              "tensor '%s': its first byte is %zu of the data, inside tensor '%s' that ends at %zu",
                              name, ranges[i].start, MICA_QUOTED_STR(views[ranges[i - 1].tensor].name), end);
        end = ranges[i].end;
    }
    if (end > n_data) {
        const char *name = n ? MICA_QUOTED_STR(views[ranges[n - 1].tensor].name) : "";
        size_t whole;
        if (!mica__add(end, data_start, &whole)) whole = SIZE_MAX;
        return mica__fail(err, MICA_DATA,
                          "file has %zu of %zu bytes (tensor '%s' ends beyond it), download incomplete?",
                          data_start + n_data, whole, name);
    }
    if (end < n_data)
        return mica__fail(err, MICA_DATA, "%zu bytes follow the last tensor, which ends at byte %zu", n_data - end,
                          data_start + end);
    return MICA_OK;
}

static mica_status check_metadata(mica__jval metadata, mica_error *err)
{
    if (mica__json_is(metadata, MICA__JSON_NULL)) return MICA_OK; /* MLX writes this for adapters */
    if (!mica__json_is(metadata, MICA__JSON_OBJECT)) return mica__fail(err, MICA_DATA, "__metadata__ is not an object");
    for (mica__jval m = mica__json_first(metadata); m; m = mica__json_next(metadata, m))
        if (!mica__json_is(mica__json_value(m), MICA__JSON_STRING))
            return mica__fail(err, MICA_DATA, "__metadata__: value of '%s' is not a string",
                              MICA_QUOTED_STR(mica__json_key(m)));
    return MICA_OK;
}

/* Fills views (in the order of the header) and ranges. The names are copied: the JSON text may be let go. */
static mica_status read_entries(mica__safetensors *out, mica__jval root, mica__tensor_view *views, range *ranges,
                                mica_error *err)
{
    for (mica__jval m = mica__json_first(root); m; m = mica__json_next(root, m)) {
        mica__str key = mica__json_key(m);
        if (mica__str_is(key, "__metadata__")) {
            MICA_TRY(check_metadata(mica__json_value(m), err));
            continue;
        }
        size_t i = out->n_tensors++;
        char *name = mica__arena_strndup(&out->names, key.p, key.n);
        if (!name) return mica__fail_memory(err, key.n, "a tensor name");
        views[i] = (mica__tensor_view){.name = {name, key.n}, .file_name = {name, key.n}};
        ranges[i].tensor = i;
        MICA_TRY(read_tensor(&views[i], mica__json_value(m), &ranges[i].start, &ranges[i].end, err));
    }
    return MICA_OK;
}

static mica_status read_header(mica__safetensors *out, mica__jval root, const uint8_t *data, size_t n_data,
                               mica_error *err)
{
    if (!mica__json_is(root, MICA__JSON_OBJECT)) return mica__fail(err, MICA_DATA, "header is not an object");
    size_t n = mica__json_count(root);
    mica__tensor_view *views = mica__alloc(n, sizeof *views);
    range *ranges = mica__alloc(n, sizeof *ranges);
    out->tensors = mica__alloc(n, sizeof *out->tensors);
    mica_status status = MICA_OK;
    if (!views || !ranges || !out->tensors) status = mica__fail_memory(err, n * sizeof *views, "the tensor list");
    if (status == MICA_OK) status = read_entries(out, root, views, ranges, err);
    if (status == MICA_OK) {
        qsort(ranges, out->n_tensors, sizeof *ranges, by_offset);
        status = check_cover(ranges, out->n_tensors, views, out->data_start, n_data, err);
    }
    for (size_t i = 0; status == MICA_OK && i < out->n_tensors; i++) {
        out->tensors[i] = views[ranges[i].tensor];
        out->tensors[i].data = data + ranges[i].start;
    }
    mica__free(views);
    mica__free(ranges);
    return status;
}

static mica_status parse(mica__safetensors *out, const uint8_t *bytes, size_t n, mica_error *err)
{
    if (n < LENGTH_BYTES) return mica__fail(err, MICA_DATA, "file is %zu bytes, shorter than 8 bytes", n);
    uint64_t n_header = 0;
    for (int i = 0; i < LENGTH_BYTES; i++) n_header |= (uint64_t)bytes[i] << (8 * i);
    if (n_header > MAX_HEADER)
        return mica__fail(err, MICA_DATA, "header length is %llu bytes, limit is %d", (unsigned long long)n_header,
                          MAX_HEADER);
    if (n_header > n - LENGTH_BYTES)
        return mica__fail(err, MICA_DATA, "header length is %llu bytes, but only %zu follow, download incomplete?",
                          (unsigned long long)n_header, n - LENGTH_BYTES);
    out->data_start = LENGTH_BYTES + (size_t)n_header;

    /* A tensor's entry takes at least 4 bytes for each of its values, so this refuses nothing real; it bounds the memory. */
    mica__json_limits limits = {.max_nodes = (size_t)n_header / 4 + 65536, .unique_keys = true};
    mica__json doc;
    mica_status status = mica__json_parse(&doc, (const char *)bytes + LENGTH_BYTES, (size_t)n_header, &limits, err);
    if (status != MICA_OK) return mica__fail_prefix(err, status, "header");
    status = read_header(out, mica__json_root(&doc), bytes + out->data_start, n - out->data_start, err);
    mica__json_release(&doc);
    return status;
}

mica_status mica__safetensors_parse(mica__safetensors *out, const uint8_t *bytes, size_t n, const char *path,
                                    mica_error *err)
{
    *out = (mica__safetensors){0};
    mica_status status = parse(out, bytes, n, err);
    if (status == MICA_OK) return MICA_OK;
    mica__safetensors_release(out);
    const char *kind = status == MICA_MEMORY ? NULL : mica__file_kind(bytes, n);
    if (kind) return mica__fail(err, MICA_DATA, "%s: is not a safetensors file but looks like %s", path, kind);
    return mica__fail_prefix(err, status, "%s", path);
}

void mica__safetensors_release(mica__safetensors *s)
{
    mica__free(s->tensors);
    mica__arena_release(&s->names);
    *s = (mica__safetensors){0};
}
