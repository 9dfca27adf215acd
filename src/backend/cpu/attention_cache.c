/* backend/cpu/attention_cache.c: new keys and values go into the cache, rounded or quantized on the way.
 *
 * A member takes whole blocks of eight positions, so that no two write into one. The fast way computes what mica__cache_store does, to
 * the bit. */
#include "attention.h"
#include "kernels.h"

#if MICA__X86
#include "simd_avx2.h"

/* Codes of n elements, a byte each; n is a multiple of 8. */
MICA__AVX2 static void codes_of(uint8_t *codes, const float *row, int64_t n, int bits, float scale, float bias)
{
    const float most = (float)((1 << bits) - 1);
    const __m256 shift = _mm256_set1_ps(bias), inverse = _mm256_set1_ps(scale > 0 ? 1 / scale : 0);
    for (int64_t e = 0; e < n; e += 8) {
        __m256 c = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(row + e), shift), inverse);
        c = _mm256_min_ps(_mm256_max_ps(c, _mm256_setzero_ps()), _mm256_set1_ps(most)); /* NaN gives 0 */
        __m256i i = _mm256_cvtps_epi32(c);
        __m128i half = _mm_packus_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
        _mm_storel_epi64((__m128i *)(codes + e), _mm_packus_epi16(half, half));
    }
}

MICA__AVX2 static void range_of(const float *row, int64_t n, float *low, float *high)
{
    __m256 least = _mm256_loadu_ps(row), most = least, odd = _mm256_setzero_ps();
    for (int64_t e = 0; e < n; e += 8) {
        __m256 x = _mm256_loadu_ps(row + e);
        least = _mm256_min_ps(least, x);
        most = _mm256_max_ps(most, x);
        odd = _mm256_or_ps(odd, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    }
    *high = mica__hmax(most);
    *low = -mica__hmax(_mm256_sub_ps(_mm256_setzero_ps(), least));
    if (_mm256_movemask_ps(odd)) *low = *high = __builtin_nanf("");
}

#elif MICA__ARM64
#include "simd_neon.h"

/* Codes of n elements, a byte each; n is a multiple of 8. */
static void codes_of(uint8_t *codes, const float *row, int64_t n, int bits, float scale, float bias)
{
    const float32x4_t most = vdupq_n_f32((float)((1 << bits) - 1)), shift = vdupq_n_f32(bias);
    const float inverse = scale > 0 ? 1 / scale : 0;
    for (int64_t e = 0; e < n; e += 8) {
        uint16x4_t half[2];
        for (int v = 0; v < 2; v++) {
            const float32x4_t c = vmulq_n_f32(vsubq_f32(vld1q_f32(row + e + 4 * v), shift), inverse);
            /* NaN gives 0 */
            half[v] = vmovn_u32(vcvtnq_u32_f32(vminq_f32(vmaxq_f32(c, vdupq_n_f32(0)), most)));
        }
        vst1_u8(codes + e, vmovn_u16(vcombine_u16(half[0], half[1])));
    }
}

static void range_of(const float *row, int64_t n, float *low, float *high)
{
    float32x4_t least = vld1q_f32(row), most = least; /* NaN stays */
    for (int64_t e = 0; e < n; e += 4) {
        least = vminq_f32(least, vld1q_f32(row + e));
        most = vmaxq_f32(most, vld1q_f32(row + e));
    }
    *low = vminvq_f32(least);
    *high = vmaxvq_f32(most);
    if (*low != *low) *low = *high = __builtin_nanf("");
}
#endif

#if MICA__VECTORS

/* Half floats of a row to its lane. */
static void spread(const mica__cache_layout *l, uint8_t *block, int lane, const uint8_t *row)
{
    const int64_t size = (int64_t)mica_dtype_size(l->dtype);
    if (!l->keys) {
        memcpy(block + lane * l->row_bytes, row, (size_t)l->row_bytes);
    } else if (size == 2) {
        for (int64_t e = 0; e < l->dim; e++) memcpy(block + (e * MICA__CACHE_LANES + lane) * 2, row + e * 2, 2);
    } else {
        for (int64_t e = 0; e < l->dim; e++) memcpy(block + (e * MICA__CACHE_LANES + lane) * 4, row + e * 4, 4);
    }
}

/* Codes of elements [first, first + n) to the lane; first is a multiple of 32. */
static void spread_codes(const mica__cache_layout *l, uint8_t *block, int lane, const uint8_t *codes, int64_t first,
                         int64_t n)
{
    uint8_t *at = block + l->codes;
    if (l->keys && l->bits == 8) {
        at += (first / 2 * MICA__CACHE_LANES + lane) * 2;
        for (int64_t e = 0; e < n; e += 2) memcpy(at + e * MICA__CACHE_LANES, codes + e, 2);
    } else if (l->keys) {
        at += (first / 4 * MICA__CACHE_LANES + lane) * 2;
        for (int64_t e = 0; e < n; e += 4) {
            at[e / 2 * MICA__CACHE_LANES] = (uint8_t)(codes[e] | codes[e + 2] << 4);
            at[e / 2 * MICA__CACHE_LANES + 1] = (uint8_t)(codes[e + 1] | codes[e + 3] << 4);
        }
    } else if (l->bits == 8) {
        memcpy(at + lane * l->row_bytes + first, codes, (size_t)n);
    } else {
        at += lane * l->row_bytes + first / 2;
        for (int64_t e = 0; e < n; e += 16)
            for (int64_t i = 0; i < 8; i++)
                at[e / 2 + i] = (uint8_t)(codes[e + i] | (e + 8 < n ? codes[e + 8 + i] << 4 : 0));
    }
}

static void quantize_row(const mica__cache_layout *l, uint8_t *block, int lane, const float *row)
{
    uint8_t codes[128];
    for (int64_t g = 0; g < l->n_groups; g++) {
        const int64_t first = g * l->group_size, n = mica__min(l->group_size, l->dim - first);
        float low, high, scale, bias;
        range_of(row + first, n, &low, &high);
        mica__cache_range(low, high, l->bits, &scale, &bias);
        const uint16_t halves[] = {mica__to_f16(scale), mica__to_f16(bias)};
        for (int64_t i = 0; i < 2; i++)
            memcpy(block + (i * l->n_groups + g) * MICA__CACHE_LANES * 2 + 2 * lane, &halves[i], 2);
        codes_of(codes, row + first, n, l->bits, scale, bias);
        spread_codes(l, block, lane, codes, first, n);
    }
}

static void store_fast(const mica__cache_layout *l, uint8_t *block, int lane, const float *row)
{
    uint8_t rounded[MICA__CHUNK * 4];
    if (l->dim % 8 || l->dim > MICA__CHUNK) {
        mica__cache_store(l, block, lane, row);
    } else if (l->bits) {
        quantize_row(l, block, lane, row);
    } else {
        mica__store_f32_fast(row, rounded, l->dtype, l->dim);
        spread(l, block, lane, rounded);
    }
}
#else
static void store_fast(const mica__cache_layout *l, uint8_t *block, int lane, const float *row)
{
    mica__cache_store(l, block, lane, row);
}
#endif

/* Row `row` of head `head` of t, as floats. */
static float *load_row(const mica__tensor *t, int64_t row, int64_t head, float *buffer)
{
    const int64_t size = (int64_t)mica_dtype_size(t->dtype), dim = t->shape[2], step = t->strides[2];
    const uint8_t *from = (const uint8_t *)t->data + (row * t->strides[0] + head * t->strides[1]) * size;
    for (int64_t e = 0; e < dim; e += MICA__CHUNK) {
        mica__chunk c;
        const int64_t count = mica__min(dim - e, MICA__CHUNK);
        mica__load(MICA__CLASS_F32, &c, from + e * step * size, t->dtype, step, count);
        memcpy(buffer + e, c.f32, (size_t)count * sizeof *buffer);
    }
    return buffer;
}

static void write_rows(const mica__tensor *t, mica_cache *cache, bool values, int64_t first_row, int64_t rows,
                       int64_t n_past, bool fast, float *buffer, int id, int n)
{
    const mica__cache_layout l = mica__cache_layout_of(&cache->options, values);
    const int64_t first_block = n_past / MICA__CACHE_LANES, heads = cache->options.n_kv_heads;
    const int64_t blocks = (n_past + rows - 1) / MICA__CACHE_LANES - first_block + 1;
    int64_t begin, end;
    mica__share(blocks * heads, 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        const int64_t head = item % heads, at = (first_block + item / heads) * MICA__CACHE_LANES;
        uint8_t *block = mica__cache_block(cache, &l, head, at % cache->options.capacity);
        const int64_t last = mica__min(at + MICA__CACHE_LANES, n_past + rows);
        for (int64_t p = mica__max(at, n_past); p < last; p++) {
            float *row = load_row(t, first_row + p - n_past, head, buffer);
            if (l.rotated) mica__cache_rotate(row, l.dim);
            (fast ? store_fast : mica__cache_store)(&l, block, (int)(p % MICA__CACHE_LANES), row);
        }
    }
}

void mica__cache_write(const mica__instr *instr, const mica__run *run, bool fast, int id, int n)
{
    float *buffer = (float *)(void *)mica__member_scratch(instr, run, id);
    int64_t first_row = 0;
    for (int i = 0; i < run->n_sequences; first_row += run->sequences[i++].rows) {
        const mica_sequence *s = &run->sequences[i];
        mica_cache *cache = s->caches[instr->attrs.cache_slot];
        const int64_t rows = mica__rows_of(&instr->in[1], run, s);
        write_rows(&instr->in[1], cache, false, first_row, rows, s->n_past, fast, buffer, id, n);
        write_rows(&instr->in[2], cache, true, first_row, rows, s->n_past, fast, buffer, id, n);
    }
}
