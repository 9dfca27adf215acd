/* formats/blocks.c: tensors as numbers: plain types and GGUF's blocks of 32 to float32, and those blocks, exactly, to affine groups.
 *
 * A block holds 32 elements of a row: a half-float scale d, for some types an offset m, and 32 codes of 4, 5 or 8 bits. That is the
 * affine form value = scale * code + bias with the scale d and the bias m, or, where the codes are signed, d times the lowest code. The
 * codes only need another order: a GGUF block of 4-bit codes pairs elements i and i + 16 in a byte, the affine form is a stream with
 * element i at bits [i * bits, (i + 1) * bits) of the row.
 *
 *     Q4_0  d qs[16]        Q4_1  d m qs[16]        Q5_0  d qh[4] qs[16]        Q5_1  d m qh[4] qs[16]        Q8_0  d q[32]
 *
 * Conversion to GGUF reorders the rows of q and k for some architectures: HF row h*d + s*(d/2) + p became row h*d + 2p + s. Both readers
 * put them back, row by row, so that there is never a second copy of a tensor. */
#include "packed.h"
#include "strides.h"
#include "superblocks.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 32 }; /* elements */

static const struct layout {
    int bits, n_bytes, offset_at, high_at, codes_at; /* -1: the type has no such part */
    float lowest;                                    /* of the signed codes; 0: the type has an offset instead */
} layouts[] = {
    [MICA__STORAGE_Q4_0] = {4, 18, -1, -1, 2, -8},   [MICA__STORAGE_Q4_1] = {4, 20, 2, -1, 4, 0},
    [MICA__STORAGE_Q5_0] = {5, 22, -1, 2, 6, -16},   [MICA__STORAGE_Q5_1] = {5, 24, 2, 4, 8, 0},
    [MICA__STORAGE_Q8_0] = {8, 34, -1, -1, 2, -128},
};

static const struct layout *layout_of(const mica__tensor_view *v)
{
    return v->storage >= MICA__STORAGE_Q4_0 && v->storage <= MICA__STORAGE_Q8_0 ? &layouts[v->storage] : NULL;
}

/* ---- numbers ------------------------------------------------------------------------------------------------------------- */

/* The data has any alignment: all loads go through memcpy, which is one instruction. */
static uint16_t load16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static float float_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static bool half_is_finite(uint16_t h) { return (h & 0x7c00) != 0x7c00; }

static float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = (uint32_t)(h & 0x7fff) << 13;
    if (!half_is_finite(h)) return float_of(sign | 0x7f800000 | magnitude);
    /* The exponent's bias grows by 112; as a product this is right for subnormal halves, too. */
    return float_of(sign | magnitude) * 0x1p112f;
}

/* -h * 2^k in half floats, exact while the result does not overflow. */
static uint16_t half_scale_negate(uint16_t h, int k)
{
    unsigned magnitude = h & 0x7fff;
    if (magnitude >= 0x400) {
        magnitude += (unsigned)k << 10;
    } else {
        for (; k > 0; k--) magnitude = magnitude < 0x400 ? magnitude << 1 : magnitude + 0x400;
    }
    return (uint16_t)((h & 0x8000) ^ 0x8000 ^ magnitude);
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

typedef struct rows {
    size_t n_rows, n_elements, n_bytes; /* of each row */
    size_t head_rows; /* rows of a head whose rows are to be put back in order; 0: they are in order */
} rows;

static rows rows_of(const mica__tensor_view *v)
{
    rows r = {.n_rows = 1, .n_elements = v->ndim ? (size_t)v->shape[v->ndim - 1] : 1};
    if (v->ndim == 1 && v->permuted_heads) r = (rows){.n_rows = (size_t)v->shape[0], .n_elements = 1}; /* a bias */
    for (int i = 0; i + 1 < v->ndim; i++) r.n_rows *= (size_t)v->shape[i];
    if (r.n_rows) r.n_bytes = v->n_bytes / r.n_rows;
    if (v->permuted_heads) r.head_rows = r.n_rows / (size_t)v->permuted_heads;
    return r;
}

static const uint8_t *row_data(const mica__tensor_view *v, const rows *r, size_t row)
{
    if (r->head_rows) {
        size_t head = row / r->head_rows, within = row % r->head_rows, half = r->head_rows / 2;
        row = head * r->head_rows + 2 * (within % half) + within / half;
    }
    return v->data + row * r->n_bytes;
}

static mica_status fail_scale(const mica__tensor_view *v, size_t row, size_t block, mica_error *err)
{
    return mica__fail(err, MICA_DATA, "tensor '%s': scale of block %zu of row %zu is not a finite number",
                      MICA_QUOTED_STR(v->file_name), block, row);
}

int64_t mica__tensor_n_rows(const mica__tensor_view *v)
{
    int64_t n = 1;
    for (int i = 0; i + 1 < v->ndim; i++) n *= v->shape[i];
    return n;
}

int64_t mica__tensor_row_step(const mica__tensor_view *v)
{
    if (v->strides && v->ndim > 2) return mica__tensor_n_rows(v);
    return v->permuted_heads && v->ndim > 1 ? mica__tensor_n_rows(v) / v->permuted_heads : 1;
}

mica__tensor_view mica__tensor_rows(const mica__tensor_view *v, int64_t first, int64_t n)
{
    mica__tensor_view part = *v;
    int64_t n_rows = mica__tensor_n_rows(v);
    if (v->ndim < 2 || n == n_rows) return part;
    if (v->storage == MICA__STORAGE_PACKED) {
        part.first_row += first;
    } else if (v->strides) {
        part.data += (size_t)first * (size_t)v->strides[0] * mica_dtype_size(v->dtype);
    } else {
        part.data += (size_t)first * (v->n_bytes / (size_t)n_rows);
    }
    part.n_bytes = v->n_bytes / (size_t)n_rows * (size_t)n;
    part.ndim = 2;
    part.shape[0] = n;
    part.shape[1] = v->shape[v->ndim - 1];
    if (v->permuted_heads) part.permuted_heads = (int)(n / mica__tensor_row_step(v));
    return part;
}

/* ---- to float32 ---------------------------------------------------------------------------------------------------------- */

#define CONVERT(type, bytes)                                                                                           \
    for (size_t i = 0; i < n; i++) {                                                                                   \
        type x;                                                                                                        \
        memcpy(&x, in + i * (bytes), sizeof x);                                                                        \
        out[i] = (float)x;                                                                                             \
    }                                                                                                                  \
    break

static void plain_to_float(mica_dtype dtype, const uint8_t *in, size_t n, float *out)
{
    switch (dtype) {
    case MICA_DTYPE_F32:
        memcpy(out, in, n * sizeof *out);
        break;
    case MICA_DTYPE_F16:
        for (size_t i = 0; i < n; i++) out[i] = half_to_float(load16(in + 2 * i));
        break;
    case MICA_DTYPE_BF16:
        for (size_t i = 0; i < n; i++) out[i] = float_of((uint32_t)load16(in + 2 * i) << 16);
        break;
    case MICA_DTYPE_BOOL:
        for (size_t i = 0; i < n; i++) out[i] = in[i] != 0;
        break;
    case MICA_DTYPE_F64:
        CONVERT(double, 8);
    case MICA_DTYPE_I8:
        CONVERT(int8_t, 1);
    case MICA_DTYPE_I16:
        CONVERT(int16_t, 2);
    case MICA_DTYPE_I32:
        CONVERT(int32_t, 4);
    case MICA_DTYPE_I64:
        CONVERT(int64_t, 8);
    case MICA_DTYPE_U8:
        CONVERT(uint8_t, 1);
    case MICA_DTYPE_U16:
        CONVERT(uint16_t, 2);
    case MICA_DTYPE_U32:
        CONVERT(uint32_t, 4);
    case MICA_DTYPE_U64:
        CONVERT(uint64_t, 8);
    case MICA_DTYPE_COUNT:
        break;
    }
}

#undef CONVERT

/* The 32 codes of a block as unsigned numbers. */
static void block_codes(const struct layout *l, const uint8_t *block, uint8_t codes[BLOCK])
{
    const uint8_t *packed = block + l->codes_at;
    if (l->bits == 8) {
        for (int i = 0; i < BLOCK; i++) codes[i] = packed[i] ^ 0x80;
        return;
    }
    for (int i = 0; i < BLOCK / 2; i++) {
        codes[i] = packed[i] & 15;
        codes[i + BLOCK / 2] = packed[i] >> 4;
    }
    if (l->bits == 4) return;
    uint32_t high = load32(block + l->high_at);
    for (int i = 0; i < BLOCK; i++) codes[i] |= (uint8_t)((high >> i & 1) << 4);
}

/* False: a scale is not finite; *bad is its block. */
static bool blocks_to_float(const struct layout *l, const uint8_t *in, size_t n_blocks, float *out, size_t *bad)
{
    uint8_t codes[BLOCK];
    for (size_t b = 0; b < n_blocks; b++, in += l->n_bytes, out += BLOCK) {
        uint16_t scale = load16(in), offset = l->offset_at >= 0 ? load16(in + l->offset_at) : 0;
        *bad = b;
        if (!half_is_finite(scale) || !half_is_finite(offset)) return false;
        float d = half_to_float(scale), m = half_to_float(offset);
        block_codes(l, in, codes);
        for (int i = 0; i < BLOCK; i++) out[i] = d * ((float)codes[i] + l->lowest) + m;
    }
    return true;
}

static void strided_to_float(const mica__tensor_view *v, float *out)
{
    enum { CHUNK = 512 };
    uint64_t chunk[CHUNK];
    size_t n_elements = v->n_bytes / mica_dtype_size(v->dtype);
    for (size_t i = 0; i < n_elements; i += CHUNK) {
        size_t n = n_elements - i < CHUNK ? n_elements - i : CHUNK;
        mica__tensor_gather(v, i, n, chunk);
        plain_to_float(v->dtype, (const uint8_t *)chunk, n, out + i);
    }
}

static bool superblocks_to_float(const mica__superblock *s, const uint8_t *in, size_t n_blocks, float *out, size_t *bad)
{
    for (size_t b = 0; b < n_blocks; b++, in += s->n_bytes, out += s->n_elements) {
        *bad = b;
        if (!s->to_float(in, out)) return false;
    }
    return true;
}

mica_status mica__tensor_read_f32(const mica__tensor_view *v, float *out, mica_error *err)
{
    const struct layout *l = layout_of(v);
    const mica__superblock *s = mica__superblock_of(v->storage);
    if (v->storage == MICA__STORAGE_PACKED) return mica__packed_read_f32(v, out, err);
    if (v->strides) {
        strided_to_float(v, out);
        return MICA_OK;
    }
    if (!l && !s && v->storage != MICA__STORAGE_PLAIN)
        return mica__fail(err, MICA_UNSUPPORTED, "tensor '%s': type %s is not supported yet",
                          MICA_QUOTED_STR(v->file_name), v->type_name);
    rows r = rows_of(v);
    for (size_t row = 0; row < r.n_rows; row++, out += r.n_elements) {
        const uint8_t *in = row_data(v, &r, row);
        size_t bad = 0;
        bool ok = true;
        if (s)
            ok = superblocks_to_float(s, in, r.n_elements / (size_t)s->n_elements, out, &bad);
        else if (l)
            ok = blocks_to_float(l, in, r.n_elements / BLOCK, out, &bad);
        else
            plain_to_float(v->dtype, in, r.n_elements, out);
        if (!ok) return fail_scale(v, row, bad, err);
        for (size_t i = 0; v->factor != 0 && i < r.n_elements; i++) out[i] *= v->factor;
        for (size_t i = 0; v->add != 0 && i < r.n_elements; i++) out[i] += v->add;
    }
    return MICA_OK;
}

mica_status mica__tensor_read_plain(const mica__tensor_view *v, void *out, mica_error *err)
{
    if (v->storage != MICA__STORAGE_PLAIN || v->add != 0)
        return mica__fail(err, MICA_INVALID, "tensor '%s': type %s cannot be copied as it is",
                          MICA_QUOTED_STR(v->file_name), v->type_name);
    if (v->strides) {
        mica__tensor_gather(v, 0, v->n_bytes / mica_dtype_size(v->dtype), out);
        return MICA_OK;
    }
    rows r = rows_of(v);
    for (size_t row = 0; row < r.n_rows; row++)
        if (r.n_bytes) memcpy((uint8_t *)out + row * r.n_bytes, row_data(v, &r, row), r.n_bytes);
    return MICA_OK;
}

/* ---- to affine groups ---------------------------------------------------------------------------------------------------- */

/* The lowest signed code is -2^shift. */
static int lowest_shift(const struct layout *l) { return l->bits - 1; }

/* Scales of at least this magnitude, as half bits, have a bias beyond the half floats. */
static unsigned scale_limit(const struct layout *l) { return (31u - (unsigned)lowest_shift(l)) << 10; }

bool mica__tensor_affine_form(const mica__tensor_view *v, int *bits, int *group_size)
{
    const struct layout *l = layout_of(v);
    const mica__superblock *s = mica__superblock_of(v->storage);
    if (v->storage == MICA__STORAGE_PACKED) {
        *bits = v->packed->bits;
        *group_size = v->packed->form_group;
        return v->packed->form_group && v->ndim == 2;
    }
    if (s && s->bits && v->ndim == 2 && v->add == 0) {
        *bits = s->bits;
        *group_size = BLOCK;
        return true;
    }
    if (!l || v->ndim != 2 || v->add != 0) return false;
    if (l->offset_at < 0) {
        unsigned limit = scale_limit(l), largest = 0;
        size_t n = v->n_bytes / (size_t)l->n_bytes;
        for (size_t b = 0; b < n; b++) {
            unsigned magnitude = load16(v->data + b * (size_t)l->n_bytes) & 0x7fffu;
            if (magnitude > largest) largest = magnitude;
        }
        if (largest >= limit) return false;
    }
    *bits = l->bits;
    *group_size = BLOCK;
    return true;
}

/* 8 bytes, two 4-bit codes in each, give two words of eight codes: first of the low nibbles, then of the high ones. */
static void pack_nibbles(uint64_t x, uint32_t *low, uint32_t *high)
{
    const uint64_t bytes = 0x00ff00ff00ff00ff, words = 0x0000ffff0000ffff;
    uint64_t even = x & bytes, odd = x >> 8 & bytes;
    uint64_t a = (even & 0x000f000f000f000f) | (odd & 0x000f000f000f000f) << 4;
    uint64_t b = (even & 0x00f000f000f000f0) >> 4 | (odd & 0x00f000f000f000f0);
    a = (a | a >> 8) & words;
    b = (b | b >> 8) & words;
    *low = (uint32_t)(a | a >> 16);
    *high = (uint32_t)(b | b >> 16);
}

static void pack_4_bits(const uint8_t *packed, uint32_t *out)
{
    pack_nibbles(load64(packed), &out[0], &out[2]);
    pack_nibbles(load64(packed + 8), &out[1], &out[3]);
}

static void pack_5_bits(const struct layout *l, const uint8_t *block, uint32_t *out)
{
    uint8_t codes[BLOCK];
    block_codes(l, block, codes);
    for (int octet = 0; octet < BLOCK / 8; octet++) {
        uint64_t bits = 0;
        for (int i = 0; i < 8; i++) bits |= (uint64_t)codes[8 * octet + i] << (5 * i);
        memcpy((uint8_t *)out + 5 * octet, &bits, 5);
    }
}

static void pack_8_bits(const uint8_t *packed, uint32_t *out)
{
    for (int i = 0; i < BLOCK / 4; i++) out[i] = load32(packed + 4 * i) ^ 0x80808080u;
}

/* One row; false: the scale of block *bad is not finite or too large. */
static bool row_to_affine(const struct layout *l, const uint8_t *in, size_t n_blocks, uint32_t *codes, uint16_t *scales,
                          uint16_t *biases, size_t *bad)
{
    unsigned limit = l->offset_at < 0 ? scale_limit(l) : 0x7c00;
    for (size_t b = 0; b < n_blocks; b++, in += l->n_bytes, codes += l->bits) {
        scales[b] = load16(in);
        uint16_t bias = l->offset_at < 0 ? half_scale_negate(scales[b], lowest_shift(l)) : load16(in + l->offset_at);
        if (biases) biases[b] = bias;
        *bad = b;
        if ((scales[b] & 0x7fffu) >= limit || !half_is_finite(bias)) return false;
        if (l->bits == 4)
            pack_4_bits(in + l->codes_at, codes);
        else if (l->bits == 5)
            pack_5_bits(l, in, codes);
        else
            pack_8_bits(in + l->codes_at, codes);
    }
    return true;
}

/* One row of superblocks, with scales and biases in float32. */
static bool super_row_to_affine(const mica__superblock *s, const uint8_t *in, size_t n_blocks, uint32_t *codes,
                                float *scales, float *biases, size_t *bad)
{
    uint8_t bytes[256], *out = (uint8_t *)codes;
    for (size_t b = 0; b < n_blocks; b++, in += s->n_bytes) {
        *bad = b;
        if (!s->to_affine(in, bytes, scales, biases)) return false;
        for (int octet = 0; octet < s->n_elements / 8; octet++, out += s->bits) {
            uint64_t bits = 0;
            for (int i = 0; i < 8; i++) bits |= (uint64_t)bytes[8 * octet + i] << (s->bits * i);
            memcpy(out, &bits, (size_t)s->bits);
        }
        scales += s->n_elements / BLOCK;
        biases += s->n_elements / BLOCK;
    }
    return true;
}

static mica_status read_super_affine(const mica__superblock *s, const mica__tensor_view *v, uint32_t *codes,
                                     float *scales, float *biases, mica_error *err)
{
    rows r = rows_of(v);
    size_t n_blocks = r.n_elements / (size_t)s->n_elements, n_groups = r.n_elements / BLOCK, bad = 0;
    for (size_t row = 0; row < r.n_rows; row++) {
        if (!super_row_to_affine(s, row_data(v, &r, row), n_blocks, codes, scales, biases, &bad))
            return fail_scale(v, row, bad, err);
        codes += n_groups * (size_t)s->bits;
        scales += n_groups;
        biases += n_groups;
    }
    return MICA_OK;
}

mica_dtype mica__tensor_affine_dtype(const mica__tensor_view *v)
{
    const mica__packed *p = v->packed;
    if (v->storage == MICA__STORAGE_PACKED) {
        /* A bias is a product that half floats would round, and so is a scale with a factor. */
        const bool kept = p->symmetric && p->factor == 1 && !p->inverse && p->scale_dtype != MICA_DTYPE_U8;
        return kept ? p->scale_dtype : MICA_DTYPE_F32;
    }
    return mica__superblock_of(v->storage) ? MICA_DTYPE_F32 : MICA_DTYPE_F16;
}

bool mica__tensor_affine_symmetric(const mica__tensor_view *v)
{
    const struct layout *l = layout_of(v);
    if (v->storage == MICA__STORAGE_PACKED) return v->packed->symmetric;
    return l && l->offset_at < 0;
}

mica_status mica__tensor_read_affine(const mica__tensor_view *v, uint32_t *codes, void *scales_out, void *biases_out,
                                     mica_error *err)
{
    const mica__superblock *s = mica__superblock_of(v->storage);
    if (v->storage == MICA__STORAGE_PACKED && v->packed->form_group)
        return mica__packed_read_affine(v, codes, scales_out, biases_out, err);
    if (s && s->bits && v->ndim == 2 && v->add == 0) return read_super_affine(s, v, codes, scales_out, biases_out, err);
    uint16_t *scales = scales_out, *biases = biases_out;
    const struct layout *l = layout_of(v);
    if (!l || v->ndim != 2 || v->add != 0)
        return mica__fail(err, MICA_INVALID, "tensor '%s': type %s has no affine form", MICA_QUOTED_STR(v->file_name),
                          v->type_name);
    rows r = rows_of(v);
    size_t n_blocks = r.n_elements / BLOCK, bad = 0;
    for (size_t row = 0; row < r.n_rows; row++) {
        if (!row_to_affine(l, row_data(v, &r, row), n_blocks, codes, scales, biases, &bad))
            return fail_scale(v, row, bad, err);
        codes += n_blocks * (size_t)l->bits;
        scales += n_blocks;
        if (biases) biases += n_blocks;
    }
    return MICA_OK;
}

/* ---- to groups of floats ------------------------------------------------------------------------------------------------------- */

static bool packed_float_form(const mica__packed *p)
{
    return p->packing == MICA__PACKING_FP4 && p->group == 32 && p->scale_dtype == MICA_DTYPE_U8 && p->factor == 1;
}

bool mica__tensor_float_form(const mica__tensor_view *v, mica__quantization *out)
{
    const mica__superblock *s = mica__superblock_of(v->storage);
    mica__quantization q = {.mode = s ? s->floats : MICA_QUANT_MXFP4};
    if (v->storage == MICA__STORAGE_PACKED ? !packed_float_form(v->packed)
                                           : !s || !s->to_floats || v->ndim != 2 || v->factor != 0 || v->add != 0)
        return false;
    mica__quantization_defaults(&q);
    *out = q;
    return true;
}

/* One row of blocks. */
static bool row_to_floats(const mica__superblock *s, const uint8_t *in, size_t n_blocks, uint8_t *codes,
                          uint8_t *scales, size_t n_scales, size_t *bad)
{
    uint8_t bytes[256];
    for (size_t b = 0; b < n_blocks; b++, in += s->n_bytes, scales += n_scales) {
        *bad = b;
        if (!s->to_floats(in, bytes, scales)) return false;
        for (int i = 0; i < s->n_elements; i += 2) *codes++ = (uint8_t)(bytes[i] | bytes[i + 1] << 4);
    }
    return true;
}

mica_status mica__tensor_read_float_form(const mica__tensor_view *v, uint32_t *codes, uint8_t *scales, mica_error *err)
{
    mica__quantization q;
    if (!mica__tensor_float_form(v, &q))
        return mica__fail(err, MICA_INVALID, "tensor '%s': type %s has no form of floats",
                          MICA_QUOTED_STR(v->file_name), v->type_name);
    if (v->storage == MICA__STORAGE_PACKED) return mica__packed_read_floats(v, codes, scales, err);
    const mica__superblock *s = mica__superblock_of(v->storage);
    rows r = rows_of(v);
    size_t n_blocks = r.n_elements / (size_t)s->n_elements, n_scales = (size_t)(s->n_elements / q.group_size), bad = 0;
    for (size_t row = 0; row < r.n_rows; row++) {
        if (!row_to_floats(s, row_data(v, &r, row), n_blocks, (uint8_t *)codes + row * r.n_elements / 2,
                           scales + row * n_blocks * n_scales, n_scales, &bad))
            return fail_scale(v, row, bad, err);
    }
    return MICA_OK;
}

mica_dtype mica__tensor_plain_dtype(const mica__tensor_view *v)
{
    if (v->storage == MICA__STORAGE_PACKED) return v->packed->plain;
    if (v->storage != MICA__STORAGE_PLAIN) return MICA_DTYPE_F32;
    return v->dtype == MICA_DTYPE_F16 || v->dtype == MICA_DTYPE_BF16 ? v->dtype : MICA_DTYPE_F32;
}
