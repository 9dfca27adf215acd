/* array/cache_layout.c: single rows of a cache, in and out. The kernels of backends do the same, many elements at a time. */
#include "cache_layout.h"

#include "base/half.h"

#include <math.h>
#include <string.h>

/* ---- floats ---- */

static size_t float_at(const mica__cache_layout *l, int lane, int64_t e)
{
    return (size_t)(l->keys ? e * MICA__CACHE_LANES + lane : lane * l->dim + e) * mica_dtype_size(l->dtype);
}

static float load_float(const uint8_t *at, mica_dtype dtype)
{
    float f;
    uint16_t h;
    if (dtype == MICA_DTYPE_F32) {
        memcpy(&f, at, 4);
        return f;
    }
    memcpy(&h, at, 2);
    return dtype == MICA_DTYPE_F16 ? mica__from_f16(h) : mica__from_bf16(h);
}

static void store_float(uint8_t *at, mica_dtype dtype, float f)
{
    if (dtype == MICA_DTYPE_F32) {
        memcpy(at, &f, 4);
        return;
    }
    uint16_t h = dtype == MICA_DTYPE_F16 ? mica__to_f16(f) : mica__to_bf16(f);
    memcpy(at, &h, 2);
}

/* ---- codes ---- */

/* The byte of element e's code; *high: its upper half. */
static int64_t code_at(const mica__cache_layout *l, int lane, int64_t e, bool *high)
{
    *high = false;
    if (l->bits == 8)
        return l->codes + (l->keys ? (e / 2 * MICA__CACHE_LANES + lane) * 2 + e % 2 : lane * l->row_bytes + e);
    *high = l->keys ? e % 4 >= 2 : e % 16 >= 8;
    if (l->keys) return l->codes + (e / 4 * MICA__CACHE_LANES + lane) * 2 + e % 2;
    return l->codes + lane * l->row_bytes + e / 16 * 8 + e % 8;
}

static size_t scale_at(const mica__cache_layout *l, int64_t group, int lane, bool bias)
{
    return (size_t)((bias ? l->n_groups : 0) + group) * MICA__CACHE_LANES * 2 + (size_t)lane * 2;
}

/* Of the floats that are not above f, the largest that f16 has (saturating); a step is a unit in the last place. */
static float f16_below(float f)
{
    if (f < -65504) return -65504;
    uint16_t h = mica__to_f16(f > 65504 ? 65504 : f);
    if (mica__from_f16(h) > f) h = h & 0x8000 ? (uint16_t)(h + 1) : h ? (uint16_t)(h - 1) : 0x8001;
    return mica__from_f16(h);
}

void mica__cache_range(float low, float high, int bits, float *scale, float *bias)
{
    *bias = f16_below(low + 0.0f); /* no negative zero */
    *scale = -f16_below(-(high - *bias) / (float)((1 << bits) - 1));
    if (!(high - low <= 3.0e38f)) *scale = NAN; /* infinities and NaN are seen in what is read */
}

void mica__cache_store(const mica__cache_layout *l, uint8_t *block, int lane, const float *row)
{
    for (int64_t e = 0; e < l->dim && !l->bits; e++) store_float(block + float_at(l, lane, e), l->dtype, row[e]);
    for (int64_t g = 0; g < l->n_groups; g++) {
        const int64_t first = g * l->group_size, end = first + l->group_size < l->dim ? first + l->group_size : l->dim;
        float low = row[first], high = row[first], scale, bias;
        for (int64_t e = first; e < end; e++) {
            low = row[e] < low ? row[e] : low;
            high = row[e] > high ? row[e] : high;
            if (row[e] != row[e]) low = high = NAN;
        }
        mica__cache_range(low, high, l->bits, &scale, &bias);
        store_float(block + scale_at(l, g, lane, false), MICA_DTYPE_F16, scale);
        store_float(block + scale_at(l, g, lane, true), MICA_DTYPE_F16, bias);
        const float most = (float)((1 << l->bits) - 1), inverse = scale > 0 ? 1 / scale : 0;
        for (int64_t e = first; e < end; e++) {
            bool upper;
            float code = rintf((row[e] - bias) * inverse);
            uint8_t c = (uint8_t)(code >= most ? most : code > 0 ? code : 0), *at = block + code_at(l, lane, e, &upper);
            if (l->bits == 8) {
                *at = c;
            } else {
                const int kept = *at & (upper ? 15 : 0xf0);
                *at = (uint8_t)(kept | (upper ? c << 4 : c));
            }
        }
    }
}

void mica__cache_load(const mica__cache_layout *l, const uint8_t *block, int lane, float *row)
{
    for (int64_t e = 0; e < l->dim; e++) {
        if (!l->bits) {
            row[e] = load_float(block + float_at(l, lane, e), l->dtype);
            continue;
        }
        const int64_t g = e / l->group_size;
        bool upper;
        unsigned c = block[code_at(l, lane, e, &upper)];
        if (l->bits == 4) c = upper ? c >> 4 : c & 15;
        float scale = load_float(block + scale_at(l, g, lane, false), MICA_DTYPE_F16);
        row[e] = (float)c * scale + load_float(block + scale_at(l, g, lane, true), MICA_DTYPE_F16);
    }
}

/* ---- rotation ---- */

void mica__cache_rotate(float *row, int64_t dim)
{
    const int64_t size = dim & -dim;
    const float norm = 1 / sqrtf((float)size);
    for (float *piece = row; piece < row + dim; piece += size) {
        for (int64_t half = 1; half < size; half *= 2) {
            for (int64_t i = 0; i < size; i += 2 * half) {
                for (int64_t k = i; k < i + half; k++) {
                    const float a = piece[k], b = piece[k + half];
                    piece[k] = a + b;
                    piece[k + half] = a - b;
                }
            }
        }
        for (int64_t i = 0; i < size; i++) piece[i] *= norm;
    }
}

/* ---- copies ---- */

static void copy_bytes(uint8_t *to, const uint8_t *from, int64_t n, int64_t step, int64_t size)
{
    for (int64_t i = 0; i < n; i++) memcpy(to + i * step, from + i * step, (size_t)size);
}

void mica__cache_copy_lane(const mica__cache_layout *l, uint8_t *to, const uint8_t *from, int lane)
{
    if (l->bits) copy_bytes(to + 2 * lane, from + 2 * lane, 2 * l->n_groups, 2 * MICA__CACHE_LANES, 2);
    const int64_t size = l->bits ? 2 : (int64_t)mica_dtype_size(l->dtype), at = l->codes + lane * size;
    if (l->keys) {
        copy_bytes(to + at, from + at, l->row_bytes / size, MICA__CACHE_LANES * size, size);
    } else {
        copy_bytes(to + l->codes + lane * l->row_bytes, from + l->codes + lane * l->row_bytes, 1, 0, l->row_bytes);
    }
}
