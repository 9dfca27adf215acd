/* formats/safetensors_write.c: writing a safetensors file, aligned where the format allows it. */
#include "safetensors.h"

enum { ALIGNMENT = 64 };

static const char *type_name(mica_dtype dtype)
{
    static const char *const names[MICA_DTYPE_COUNT] = {
        [MICA_DTYPE_F32] = "F32",   [MICA_DTYPE_F16] = "F16", [MICA_DTYPE_BF16] = "BF16", [MICA_DTYPE_F64] = "F64",
        [MICA_DTYPE_I8] = "I8",     [MICA_DTYPE_I16] = "I16", [MICA_DTYPE_I32] = "I32",   [MICA_DTYPE_I64] = "I64",
        [MICA_DTYPE_U8] = "U8",     [MICA_DTYPE_U16] = "U16", [MICA_DTYPE_U32] = "U32",   [MICA_DTYPE_U64] = "U64",
        [MICA_DTYPE_BOOL] = "BOOL",
    };
    return names[dtype];
}

static mica_status item_bytes(const mica__safetensors_item *item, size_t *out, mica_error *err)
{
    *out = mica_dtype_size(item->dtype);
    for (int i = 0; i < item->ndim; i++)
        if (item->shape[i] < 0 || !mica__mul(*out, (size_t)item->shape[i], out))
            return mica__fail(err, MICA_INVALID, "tensor '%s': shape overflows", item->name);
    return MICA_OK;
}

static void write_entry(mica__buf *header, const mica__safetensors_item *item, size_t start, size_t end)
{
    mica__json_write_string(header, mica__str_from(item->name), false);
    mica__buf_printf(header, ":{\"dtype\":\"%s\",\"shape\":[", type_name(item->dtype));
    for (int i = 0; i < item->ndim; i++) mica__buf_printf(header, "%s%lld", i ? "," : "", (long long)item->shape[i]);
    mica__buf_printf(header, "],\"data_offsets\":[%zu,%zu]}", start, end);
}

static mica_status check_names(const mica__safetensors_item *items, size_t n, mica_error *err)
{
    mica__map names = {0};
    mica_status status = MICA_OK;
    for (size_t i = 0; i < n && status == MICA_OK; i++) {
        bool existing = false;
        if (!mica__map_add(&names, mica__str_from(items[i].name), 0, &existing))
            status = mica__fail_memory(err, n, "tensor names");
        else if (existing)
            status = mica__fail(err, MICA_INVALID, "tensor '%s' is given twice", items[i].name);
    }
    mica__map_release(&names);
    return status;
}

/* Whole groups of ALIGNMENT first: 0, then the rest: 1. */
static int turn_of(size_t n_bytes) { return n_bytes % ALIGNMENT != 0; }

static mica_status lay_out(mica__safetensors_layout *out, const mica__safetensors_item *items, size_t n,
                           const char *format, mica_error *err)
{
    mica__buf *header = &out->header;
    size_t at = 0, n_bytes;
    mica__buf_append(header, "\0\0\0\0\0\0\0\0{", 9);
    if (format) mica__buf_printf(header, "\"__metadata__\":{\"format\":\"%s\"}", format);
    for (int turn = 0; turn <= 1; turn++) {
        for (size_t i = 0; i < n; i++) {
            MICA_TRY(item_bytes(&items[i], &n_bytes, err));
            if (turn_of(n_bytes) != turn) continue;
            out->at[i] = at;
            if (!mica__add(at, n_bytes, &at))
                return mica__fail(err, MICA_INVALID, "tensor '%s': shape overflows", items[i].name);
            if (header->n > 9) mica__buf_append_char(header, ',');
            write_entry(header, &items[i], out->at[i], at);
        }
    }
    mica__buf_append_char(header, '}');
    while (header->n % ALIGNMENT && !header->failed) mica__buf_append_char(header, ' ');
    MICA_TRY(mica__buf_status(header, err, "the header of a safetensors file"));
    uint64_t n_text = header->n - 8;
    for (int i = 0; i < 8; i++) header->p[i] = (char)(n_text >> (8 * i));
    for (size_t i = 0; i < n; i++) out->at[i] += header->n;
    if (!mica__add(at, header->n, &out->n_file))
        return mica__fail(err, MICA_INVALID, "the tensors of a safetensors file are too large");
    return MICA_OK;
}

mica_status mica__safetensors_lay_out(mica__safetensors_layout *out, const mica__safetensors_item *items, size_t n,
                                      const char *format, mica_error *err)
{
    *out = (mica__safetensors_layout){0};
    MICA_TRY(check_names(items, n, err));
    out->at = mica__alloc(n, sizeof *out->at);
    mica_status status =
        out->at ? lay_out(out, items, n, format, err) : mica__fail_memory(err, n * sizeof *out->at, "the tensor list");
    if (status != MICA_OK) mica__safetensors_layout_release(out);
    return status;
}

void mica__safetensors_layout_release(mica__safetensors_layout *layout)
{
    mica__buf_release(&layout->header);
    mica__free(layout->at);
    *layout = (mica__safetensors_layout){0};
}

/* The parts of the file in their order. parts: [1 + n]. */
static mica_status list_parts(const mica__safetensors_layout *layout, const mica__safetensors_item *items, size_t n,
                              mica__str *parts, mica_error *err)
{
    size_t n_parts = 1, n_bytes;
    parts[0] = mica__buf_str(&layout->header);
    for (int turn = 0; turn <= 1; turn++) {
        for (size_t i = 0; i < n; i++) {
            MICA_TRY(item_bytes(&items[i], &n_bytes, err));
            if (turn_of(n_bytes) == turn) parts[n_parts++] = (mica__str){items[i].data, n_bytes};
        }
    }
    return MICA_OK;
}

mica_status mica__safetensors_write(const char *path, const mica__safetensors_item *items, size_t n, mica_error *err)
{
    mica__safetensors_layout layout;
    MICA_TRY(mica__safetensors_lay_out(&layout, items, n, NULL, err));
    mica__str *parts = mica__alloc(n + 1, sizeof *parts);
    mica_status status = parts ? MICA_OK : mica__fail_memory(err, n, "the tensor list");
    if (status == MICA_OK) status = list_parts(&layout, items, n, parts, err);
    if (status == MICA_OK) status = mica__file_write_parts(path, parts, n + 1, err);
    mica__free(parts);
    mica__safetensors_layout_release(&layout);
    return status;
}
