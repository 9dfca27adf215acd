/* formats/packed.c: rows of packed matrices as numbers, and as the groups that they exactly are.
 *
 * Codes of a row are unpacked to a byte each, whatever way they lie; scales and zero points are looked up by row and group. Everything that
 * can lead out of memory was checked when the set of tensors was found. */
#include "packed.h"

#include "../base/half.h"
#include "../base/memory.h"
#include <math.h>

static uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static float load_f32(const uint8_t *p) { return mica__float_of(load32(p)); }

static float load_scale(const mica__packed *p, int64_t i)
{
    uint16_t half;
    if (!p->scales) return 1;
    switch (p->scale_dtype) {
    case MICA_DTYPE_U8:
        return p->scales[i] == 0xff ? NAN : mica__from_e8m0(p->scales[i]);
    case MICA_DTYPE_I8:
        return mica__from_e4m3(p->scales[i]);
    case MICA_DTYPE_F16:
    case MICA_DTYPE_BF16:
        memcpy(&half, p->scales + 2 * i, sizeof half);
        return p->scale_dtype == MICA_DTYPE_F16 ? mica__from_f16(half) : mica__from_bf16(half);
    default:
        return load_f32(p->scales + 4 * i);
    }
}

/* Of a row's group. */
static float scale_of(const mica__packed *p, int64_t row, int64_t group)
{
    float scale = load_scale(p, row / p->row_block * p->row_stride + group * p->group_stride);
    return p->inverse ? p->factor / scale : p->factor * scale;
}

static int64_t group_of(const mica__packed *p, int64_t column)
{
    return p->index ? (int32_t)load32(p->index + 4 * column) : column / p->group;
}

/* ---- codes ---------------------------------------------------------------------------------------------------------------- */

/* Field `i` of `bits` in a little-endian stream of words that lie `stride` words apart. */
static unsigned field(const uint8_t *words, int64_t stride, int bits, int64_t i)
{
    const int64_t bit = i * bits, word = bit / 32;
    const int shift = (int)(bit % 32);
    uint64_t window = load32(words + 4 * word * stride);
    if (shift + bits > 32) window |= (uint64_t)load32(words + 4 * (word + 1) * stride) << 32;
    return (unsigned)(window >> shift) & ((1u << bits) - 1);
}

/* Where AWQ puts output j of eight. */
static int awq_shift(int64_t j)
{
    static const int places[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    return 4 * places[j % 8];
}

static void codes_of(const mica__packed *p, int64_t row, uint8_t *out)
{
    const int64_t n = p->n_columns, quarter = p->n_rows / 4;
    switch (p->packing) {
    case MICA__PACKING_GPTQ:
        for (int64_t i = 0; i < n; i++) out[i] = (uint8_t)field(p->codes + 4 * row, p->n_rows, p->bits, i);
        break;
    case MICA__PACKING_AWQ:
        for (int64_t i = 0; i < n; i++)
            out[i] = load32(p->codes + 4 * (i * (p->n_rows / 8) + row / 8)) >> awq_shift(row) & 15;
        break;
    case MICA__PACKING_ROWS:
        for (int64_t i = 0; i < n; i++) out[i] = (uint8_t)field(p->codes + row * n * p->bits / 8, 1, p->bits, i);
        break;
    case MICA__PACKING_INT8:
        for (int64_t i = 0; i < n; i++) out[i] = p->codes[row * n + i] ^ 0x80;
        break;
    case MICA__PACKING_TERNARY:
        for (int64_t i = 0; i < n; i++) out[i] = p->codes[row % quarter * n + i] >> 2 * (row / quarter) & 3;
        break;
    case MICA__PACKING_FP8:
        memcpy(out, p->codes + row * n, (size_t)n);
        break;
    case MICA__PACKING_FP4:
        for (int64_t i = 0; i < n; i++) out[i] = p->codes[(row * n + i) / 2] >> 4 * (i % 2) & 15;
        break;
    case MICA__PACKING_BNB4:
        for (int64_t i = 0; i < n; i++) {
            int64_t at = row * n + i;
            out[i] = p->codes[at / 2] >> (at % 2 ? 0 : 4) & 15;
        }
        break;
    }
}

static int zero_of(const mica__packed *p, int64_t row, int64_t group)
{
    if (!p->zeros) return p->zero;
    unsigned zero;
    if (p->packing == MICA__PACKING_GPTQ)
        zero = field(p->zeros + 4 * group * (p->n_rows * p->bits / 32), 1, p->bits, row);
    else if (p->packing == MICA__PACKING_AWQ)
        zero = load32(p->zeros + 4 * (group * (p->n_rows / 8) + row / 8)) >> awq_shift(row) & 15;
    else if (p->packing == MICA__PACKING_ROWS)
        zero = field(p->zeros + 4 * group, p->n_groups, p->bits, row);
    else /* int8, signed like the codes */
        zero = p->zeros[row * p->n_groups + group] ^ 0x80;
    return (int)(zero + (unsigned)p->zero_add) & ((1 << p->bits) - 1);
}

/* ---- to float32 ------------------------------------------------------------------------------------------------------------- */

static float absmax_of(const mica__packed *p, int64_t block)
{
    if (!p->nested_absmax) return load_f32(p->absmax + 4 * block);
    return p->nested_table[p->absmax[block]] * load_f32(p->nested_absmax + 4 * (block / p->nested_block)) + p->offset;
}

static bool integer_row(const mica__packed *p, int64_t row, const uint8_t *codes, float *out, int64_t *bad)
{
    int64_t last = -1;
    float scale = 0;
    int zero = 0;
    for (int64_t i = 0; i < p->n_columns; i++) {
        int64_t group = group_of(p, i);
        if (group != last) {
            scale = scale_of(p, row, group);
            zero = zero_of(p, row, group);
            last = group;
            *bad = i;
            if (!isfinite(scale)) return false;
        }
        out[i] = scale * (float)((int)codes[i] - zero);
    }
    return true;
}

static bool float_row(const mica__packed *p, int64_t row, const uint8_t *codes, float *out, int64_t *bad)
{
    for (int64_t i = 0; i < p->n_columns; i++) {
        const int64_t at = row * p->n_columns + i;
        float scale = p->packing == MICA__PACKING_BNB4 ? absmax_of(p, at / p->block) : scale_of(p, row, i / p->group);
        float x = p->packing == MICA__PACKING_BNB4  ? p->table[codes[i]]
                  : p->packing == MICA__PACKING_FP8 ? mica__from_e4m3(codes[i])
                                                    : mica__from_e2m1(codes[i]);
        *bad = i;
        if (!isfinite(scale) || (p->packing == MICA__PACKING_FP8 && (codes[i] & 0x7f) == 0x7f)) return false;
        out[i] = x * scale;
    }
    return true;
}

static mica_status fail_row(const mica__tensor_view *v, int64_t row, int64_t column, mica_error *err)
{
    return mica__fail(err, MICA_DATA, "tensor '%s': scale or element at row %lld, column %lld is not finite",
                      MICA_QUOTED_STR(v->file_name), (long long)row, (long long)column);
}

static uint8_t *new_codes(const mica__packed *p, mica_error *err)
{
    uint8_t *codes = mica__alloc((size_t)p->n_columns, 1);
    if (!codes) mica__fail_memory(err, (size_t)p->n_columns, "a row of codes");
    return codes;
}

mica_status mica__packed_read_f32(const mica__tensor_view *v, float *out, mica_error *err)
{
    const mica__packed *p = v->packed;
    const int64_t n_rows = mica__tensor_n_rows(v);
    uint8_t *codes = new_codes(p, err);
    if (!codes) return MICA_MEMORY;
    mica_status status = MICA_OK;
    for (int64_t r = 0; r < n_rows && !status; r++, out += p->n_columns) {
        int64_t row = v->first_row + r, bad = 0;
        codes_of(p, row, codes);
        const bool floats = p->packing >= MICA__PACKING_FP8;
        if (!(floats ? float_row : integer_row)(p, row, codes, out, &bad)) status = fail_row(v, row, bad, err);
    }
    mica__free(codes);
    return status;
}

/* ---- exact forms -------------------------------------------------------------------------------------------------------------- */

static bool is_symmetric(const mica__packed *p)
{
    const int middle = 1 << (p->bits - 1);
    if (!p->zeros) return p->zero == middle;
    for (int64_t r = 0; r < p->n_rows; r++)
        for (int64_t g = 0; g < p->n_groups; g++)
            if (zero_of(p, r, g) != middle) return false;
    return true;
}

mica_status mica__packed_finish(mica__packed *p, mica__str name, mica_error *err)
{
    bool in_order = true;
    for (int64_t i = 0; p->index && i < p->n_columns; i++) {
        int64_t group = group_of(p, i);
        if (group < 0 || group >= p->n_groups)
            return mica__fail(err, MICA_DATA, "tensor '%s': group %lld of column %lld is not in 0..%lld",
                              MICA_QUOTED_STR(name), (long long)group, (long long)i, (long long)(p->n_groups - 1));
        in_order &= group == i / p->group;
    }
    if (in_order) p->index = NULL;
    if (p->index || p->packing >= MICA__PACKING_FP8) return MICA_OK;
    for (int size = 128; size >= 32 && !p->form_group; size /= 2)
        if (p->group % size == 0 && p->n_columns % size == 0) p->form_group = size;
    if (p->group >= p->n_columns) /* one scale for a row */
        for (int size = 128; size >= 32 && !p->form_group; size /= 2)
            if (p->n_columns % size == 0) p->form_group = size;
    if (p->form_group) p->symmetric = is_symmetric(p);
    return MICA_OK;
}

/* Codes of fewer than 8 bits to a stream, eight at a time. */
static void pack(const uint8_t *codes, int64_t n, int bits, uint8_t *out)
{
    if (bits == 8) {
        memcpy(out, codes, (size_t)n);
        return;
    }
    for (int64_t i = 0; i < n; i += 8, out += bits) {
        uint64_t word = 0;
        for (int j = 0; j < 8; j++) word |= (uint64_t)codes[i + j] << (bits * j);
        memcpy(out, &word, (size_t)bits);
    }
}

static void store_scale(void *out, mica_dtype dtype, size_t i, float x)
{
    uint16_t half = dtype == MICA_DTYPE_BF16 ? mica__to_bf16(x) : mica__to_f16(x);
    if (dtype == MICA_DTYPE_F32)
        memcpy((uint8_t *)out + 4 * i, &x, sizeof x);
    else
        memcpy((uint8_t *)out + 2 * i, &half, sizeof half);
}

mica_status mica__packed_read_affine(const mica__tensor_view *v, uint32_t *codes_out, void *scales, void *biases,
                                     mica_error *err)
{
    const mica__packed *p = v->packed;
    const mica_dtype dtype = mica__tensor_affine_dtype(v);
    const int64_t n_rows = mica__tensor_n_rows(v);
    uint8_t *codes = new_codes(p, err), *to = (uint8_t *)codes_out;
    size_t at = 0;
    if (!codes) return MICA_MEMORY;
    for (int64_t r = 0; r < n_rows; r++, to += p->n_columns * p->bits / 8) {
        const int64_t row = v->first_row + r;
        codes_of(p, row, codes);
        pack(codes, p->n_columns, p->bits, to);
        for (int64_t i = 0; i < p->n_columns; i += p->form_group, at++) {
            float scale = scale_of(p, row, i / p->group);
            if (!isfinite(scale)) {
                mica__free(codes);
                return fail_row(v, row, i, err);
            }
            store_scale(scales, dtype, at, scale);
            if (biases) store_scale(biases, dtype, at, -scale * (float)zero_of(p, row, i / p->group));
        }
    }
    mica__free(codes);
    return MICA_OK;
}

mica_status mica__packed_read_floats(const mica__tensor_view *v, uint32_t *codes, uint8_t *scales, mica_error *err)
{
    const mica__packed *p = v->packed;
    const size_t n_rows = (size_t)mica__tensor_n_rows(v), row = (size_t)p->n_columns;
    memcpy(codes, p->codes + (size_t)v->first_row * row / 2, n_rows * row / 2);
    memcpy(scales, p->scales + (size_t)v->first_row * row / 32, n_rows * row / 32);
    for (size_t i = 0; i < n_rows * row / 32; i++)
        if (scales[i] == 0xff)
            return fail_row(v, v->first_row + (int64_t)(i / (row / 32)), (int64_t)(i % (row / 32)) * 32, err);
    return MICA_OK;
}
