/* formats/quantize.c: names of quantizations, sizes, rows of groups, packing. The arithmetic of a group is in quantize_affine.c and
 * quantize_float.c. */
#include "quantize.h"

#include "../base/memory.h"
#include "quantize_private.h"
#include <math.h>
#include <stdio.h>

static const struct mode {
    const char *name;
    int bits, group_size; /* the default; the only one if not affine */
} modes[] = {
    [MICA_QUANT_AFFINE] = {"affine", 4, 64},
    [MICA_QUANT_MXFP4] = {"mxfp4", 4, 32},
    [MICA_QUANT_MXFP8] = {"mxfp8", 8, 32},
    [MICA_QUANT_NVFP4] = {"nvfp4", 4, 16},
};
enum { N_MODES = sizeof modes / sizeof *modes };

/* ---- names ------------------------------------------------------------------------------------------------------------------ */

const char *mica__quant_mode_name(mica_quant_mode mode) { return modes[mode].name; }

bool mica__quant_mode_parse(mica_quant_mode *out, mica__str name)
{
    for (int i = 0; i < N_MODES; i++) {
        if (!mica__str_is(name, modes[i].name)) continue;
        *out = (mica_quant_mode)i;
        return true;
    }
    return false;
}

bool mica__quantization_valid(const mica__quantization *q)
{
    int bits = q->bits, group = q->group_size;
    if (q->mode != MICA_QUANT_AFFINE) return bits == modes[q->mode].bits && group == modes[q->mode].group_size;
    return bits >= 2 && bits <= 8 && bits != 7 && (group == 32 || group == 64 || group == 128);
}

void mica__quantization_defaults(mica__quantization *q)
{
    if (!q->bits) q->bits = modes[q->mode].bits;
    if (!q->group_size) q->group_size = modes[q->mode].group_size;
}

/* Cuts the text before the next '-' off; false if what follows is not a number of one to three digits. */
static bool next_number(mica__str *text, int *out)
{
    size_t n = 0;
    int value = 0;
    for (; n < text->n && text->p[n] >= '0' && text->p[n] <= '9' && n < 4; n++) value = 10 * value + (text->p[n] - '0');
    if (!n || n > 3 || !value || (n < text->n && (text->p[n] != '-' || n + 1 == text->n))) return false;
    size_t cut = n < text->n ? n + 1 : n;
    *text = (mica__str){text->p + cut, text->n - cut};
    *out = value;
    return true;
}

mica_status mica__quantization_parse(mica__quantization *out, mica__str text, mica_error *err)
{
    mica__str rest = text;
    mica__quantization q = {.mode = MICA_QUANT_AFFINE};
    size_t n = 0;
    while (n < text.n && text.p[n] != '-') n++;
    bool ok = true;
    if (mica__quant_mode_parse(&q.mode, (mica__str){text.p, n})) {
        ok = n + 1 != text.n;
        rest = n < text.n ? (mica__str){text.p + n + 1, text.n - n - 1} : (mica__str){NULL, 0};
    } else {
        ok = text.n > 0;
    }
    if (ok && rest.n) ok = next_number(&rest, &q.bits);
    if (ok && rest.n) ok = next_number(&rest, &q.group_size) && !rest.n;
    mica__quantization_defaults(&q);
    if (!ok || !mica__quantization_valid(&q))
        return mica__fail(
            err, MICA_INVALID,
            "quantization '%s' is not one of affine-BITS-GROUP with 2, 3, 4, 5, 6, 8 bits and groups of 32, "
            "64, 128 (4 means affine-4-64), mxfp4, mxfp8, nvfp4",
            MICA_QUOTED_STR(text));
    *out = q;
    return MICA_OK;
}

const char *mica__quantization_format(mica__quantization_text *out, const mica__quantization *q)
{
    if (q->mode == MICA_QUANT_AFFINE)
        snprintf(out->text, sizeof out->text, "affine-%d-%d", q->bits, q->group_size);
    else
        snprintf(out->text, sizeof out->text, "%s", modes[q->mode].name);
    return out->text;
}

/* ---- sizes ------------------------------------------------------------------------------------------------------------------- */

bool mica__quantization_fits(const mica__quantization *q, int64_t n_columns)
{
    return n_columns > 0 && n_columns % q->group_size == 0 && (n_columns * q->bits) % 32 == 0;
}

mica_dtype mica__quantized_scale_dtype(const mica__quantization *q, mica_dtype dtype)
{
    return q->mode == MICA_QUANT_AFFINE ? dtype : MICA_DTYPE_U8;
}

mica__quantized_sizes mica__quantized_row_sizes(const mica__quantization *q, int64_t n_columns, mica_dtype dtype)
{
    size_t n_groups = (size_t)(n_columns / q->group_size);
    size_t scales = n_groups * mica_dtype_size(mica__quantized_scale_dtype(q, dtype));
    return (mica__quantized_sizes){
        .codes = (size_t)n_columns / 8 * (size_t)q->bits,
        .scales = scales,
        .biases = q->mode == MICA_QUANT_AFFINE ? scales : 0,
    };
}

/* ---- quantizing ---------------------------------------------------------------------------------------------------------------- */

/* Eight codes in bytes, moved together: neighbours, then pairs, then fours. */
static MICA__INLINE uint64_t join_eight(uint64_t codes, int bits)
{
    const uint64_t one = 0x00ff00ff00ff00ff, two = 0x0000ffff0000ffff, four = 0x00000000ffffffff;
    codes = (codes & one) | (codes & ~one) >> (8 - bits);
    codes = (codes & two) | (codes & ~two) >> (16 - 2 * bits);
    return (codes & four) | (codes & ~four) >> (32 - 4 * bits);
}

static MICA__INLINE void pack(const uint8_t *codes, int n, int bits, uint8_t *out)
{
    for (int i = 0; i < n; i += 8, out += bits) {
        uint64_t word;
        memcpy(&word, codes + i, sizeof word);
        word = join_eight(word, bits);
        memcpy(out, &word, (size_t)bits);
    }
}

void mica__pack_codes(const uint8_t *codes, int n, int bits, uint8_t *out)
{
    switch (bits) { /* constants make better loops */
    case 2:
        pack(codes, n, 2, out);
        break;
    case 3:
        pack(codes, n, 3, out);
        break;
    case 4:
        pack(codes, n, 4, out);
        break;
    case 5:
        pack(codes, n, 5, out);
        break;
    case 6:
        pack(codes, n, 6, out);
        break;
    default:
        memcpy(out, codes, (size_t)n);
    }
}

static void unpack(const uint8_t *in, int n, int bits, uint8_t *codes)
{
    if (bits == 8) {
        memcpy(codes, in, (size_t)n);
        return;
    }
    for (int i = 0; i < n; i += 8, in += bits) {
        uint64_t word = 0;
        memcpy(&word, in, (size_t)bits);
        for (int j = 0; j < 8; j++) codes[i + j] = (uint8_t)(word >> (bits * j) & ((1u << bits) - 1));
    }
}

static void load_group(const uint8_t *at, mica_dtype dtype, int n, float *out)
{
    if (dtype == MICA_DTYPE_F32) {
        memcpy(out, at, (size_t)n * sizeof *out);
        return;
    }
    if (dtype == MICA_DTYPE_BF16)
        for (int i = 0; i < n; i++) out[i] = mica__load_float(at + 2 * i, MICA_DTYPE_BF16);
    else
        for (int i = 0; i < n; i++) out[i] = mica__load_float(at + 2 * i, MICA_DTYPE_F16);
}

/* Elements of group g of row r; every step is rounded to `dtype`. */
static void expand_group(const mica__quantized *w, int64_t r, int64_t g, mica_dtype dtype, float *out)
{
    const mica__quantization *q = &w->q;
    const int n = q->group_size;
    const size_t at = (size_t)(r * (w->n_columns / n) + g), scale_size = mica_dtype_size(w->dtype);
    uint8_t codes[MICA__MAX_GROUP];
    unpack((const uint8_t *)w->codes + at * ((size_t)n / 8 * (size_t)q->bits), n, q->bits, codes);
    if (q->mode != MICA_QUANT_AFFINE) {
        float scale = mica__round_to(dtype, mica__quantized_scale(q->mode, ((const uint8_t *)w->scales)[at]));
        for (int i = 0; i < n; i++) out[i] = mica__round_to(dtype, mica__quantized_element(q->mode, codes[i]) * scale);
        return;
    }
    float scale = mica__load_float((const uint8_t *)w->scales + at * scale_size, w->dtype);
    float bias = w->biases ? mica__load_float((const uint8_t *)w->biases + at * scale_size, w->dtype)
                           : -(float)(1 << (q->bits - 1)) * scale;
    for (int i = 0; i < n; i++) {
        float product = mica__round_to(dtype, (float)codes[i] * scale);
        out[i] = mica__round_to(dtype, product + bias);
    }
}

/* What the group stands for, in float32, its scale and bias as they are stored. */
static MICA__INLINE void expand_made(const mica__quantization *q, mica_dtype dtype, const mica__group *g, float *x)
{
    if (q->mode == MICA_QUANT_AFFINE) {
        const float scale = mica__round_to(dtype, g->scale), bias = mica__round_to(dtype, g->bias);
        for (int i = 0; i < q->group_size; i++) x[i] = (float)g->codes[i] * scale + bias;
    } else {
        const float scale = mica__quantized_scale(q->mode, g->scale_byte);
        for (int i = 0; i < q->group_size; i++) x[i] = mica__quantized_element(q->mode, g->codes[i]) * scale;
    }
}

/* Adds the differences between a group's elements and what it stands for. */
static MICA__INLINE void measure(const mica__quantization *q, mica_dtype dtype, const float *w, const mica__group *g,
                                 mica__row_sums *sums)
{
    float x[MICA__MAX_GROUP];
    mica__float8 errors = sums->errors, weights = sums->weights, most = sums->most;
    expand_made(q, dtype, g, x);
    for (int i = 0; i < q->group_size; i++) x[i] = fabsf(w[i] - x[i]);
    for (int i = 0; i < q->group_size; i += 8) {
        const mica__float8 d = *(const mica__float8 *)(x + i), e = *(const mica__float8 *)(w + i);
        errors += d * d;
        weights += e * e;
        most = MICA__LARGER8(d, most);
    }
    *sums = (mica__row_sums){errors, weights, most};
}

#if MICA__QUANTIZE_AVX2
MICA__QUANTIZE_TARGET static void measure_avx2(const mica__quantization *q, mica_dtype dtype, const float *w,
                                               const mica__group *g, mica__row_sums *sums)
{
    measure(q, dtype, w, g, sums);
}
#endif

static void measure_here(const mica__quantization *q, mica_dtype dtype, const float *w, const mica__group *g,
                         mica__row_sums *sums)
{
#if MICA__QUANTIZE_AVX2
    if (mica__cpu_features()->avx2) {
        measure_avx2(q, dtype, w, g, sums);
        return;
    }
#endif
    measure(q, dtype, w, g, sums);
}

/* Squares of huge numbers do not fit the sums above. */
static void add_row_slowly(mica__quantization_error *sum, const uint8_t *in, mica_dtype dtype,
                           const mica__quantized *row)
{
    const int n = row->q.group_size;
    float w[MICA__MAX_GROUP], x[MICA__MAX_GROUP];
    for (int64_t g = 0; g < row->n_columns / n; g++) {
        load_group(in + (size_t)(g * n) * mica_dtype_size(dtype), dtype, n, w);
        expand_group(row, 0, g, MICA_DTYPE_F32, x);
        for (int i = 0; i < n; i++) {
            const double d = (double)w[i] - (double)x[i];
            sum->squared_error += d * d;
            sum->squared_weight += (double)w[i] * (double)w[i];
        }
    }
}

static void add_row(mica__quantization_error *sum, const mica__row_sums *sums, const uint8_t *in, mica_dtype dtype,
                    const mica__quantized *row)
{
    double errors = 0, weights = 0;
    for (int j = 0; j < 8; j++) {
        const double largest = (double)sums->most[j];
        errors += (double)sums->errors[j];
        weights += (double)sums->weights[j];
        sum->largest = largest > sum->largest ? largest : sum->largest;
    }
    if (isfinite(errors) && isfinite(weights)) {
        sum->squared_error += errors;
        sum->squared_weight += weights;
    } else {
        add_row_slowly(sum, in, dtype, row);
    }
    sum->n += (uint64_t)row->n_columns;
}

static void quantize_row(const mica__quantization *q, mica__quantizer quantizer, const uint8_t *in, mica_dtype dtype,
                         int64_t n_columns, uint8_t *codes, uint8_t *scales, uint8_t *biases,
                         mica__affine_row_function *whole_row, mica__quantization_error *sum)
{
    const int n = q->group_size;
    const size_t element = mica_dtype_size(dtype);
    float w[MICA__MAX_GROUP];
    mica__group g;
    mica__row_sums sums = {{0}, {0}, {0}};
    const uint8_t *row_in = in;
    const mica__quantized row = {*q, dtype, 1, n_columns, codes, scales, biases};
    if (whole_row) {
        whole_row(&(mica__affine_row){q->bits, n_columns, in, codes, scales, biases, sum ? &sums : NULL});
        n_columns = 0;
    }
    for (int64_t at = 0; at < n_columns; at += n, codes += n / 8 * q->bits, in += (size_t)n * element) {
        load_group(in, dtype, n, w);
        if (q->mode == MICA_QUANT_AFFINE) {
            mica__quantize_affine_group(q, quantizer, dtype, w, &g);
            mica__store_float(scales, dtype, g.scale);
            mica__store_float(biases, dtype, g.bias);
            scales += element;
            biases += element;
        } else {
            mica__quantize_float_group(q, quantizer, dtype, w, &g);
            *scales++ = g.scale_byte;
        }
        mica__pack_codes(g.codes, n, q->bits, codes);
        if (sum) measure_here(q, dtype, w, &g, &sums);
    }
    if (sum) add_row(sum, &sums, row_in, dtype, &row);
}

typedef struct job {
    const mica__quantization *q;
    mica__quantizer quantizer;
    const mica__matrix *in;
    uint8_t *codes, *scales, *biases;
    mica__quantization_error *sum; /* NULL: not measured */
} job;

/* Share `id` of `n` of the rows. */
static void quantize_share(void *context, int id, int n)
{
    const job *j = context;
    const mica__matrix *in = j->in;
    const mica__quantized_sizes sizes = mica__quantized_row_sizes(j->q, in->n_columns, in->dtype);
    const size_t row_bytes = (size_t)in->n_columns * mica_dtype_size(in->dtype);
    mica__affine_row_function *whole_row =
        j->quantizer == MICA__QUANTIZER_MLX ? mica__affine_row_here(j->q, in->dtype) : NULL;
    for (int64_t r = in->n_rows * id / n; r < in->n_rows * (id + 1) / n; r++) {
        quantize_row(j->q, j->quantizer, (const uint8_t *)in->data + (size_t)r * row_bytes, in->dtype, in->n_columns,
                     j->codes + (size_t)r * sizes.codes, j->scales + (size_t)r * sizes.scales,
                     sizes.biases ? j->biases + (size_t)r * sizes.biases : NULL, whole_row, j->sum);
    }
}

void mica__quantize(const mica__quantization *q, mica__quantizer quantizer, const mica__matrix *in, void *codes,
                    void *scales, void *biases)
{
    quantize_share(&(job){q, quantizer, in, codes, scales, biases, NULL}, 0, 1);
}

void mica__quantize_measured(const mica__quantization *q, mica__quantizer quantizer, const mica__matrix *in,
                             void *codes, void *scales, void *biases, mica__quantization_error *sum)
{
    quantize_share(&(job){q, quantizer, in, codes, scales, biases, sum}, 0, 1);
}

void mica__quantize_team(mica__team *team, const mica__quantization *q, mica__quantizer quantizer,
                         const mica__matrix *in, void *codes, void *scales, void *biases)
{
    mica__team_run(team, quantize_share, &(job){q, quantizer, in, codes, scales, biases, NULL});
}

/* ---- expanding ------------------------------------------------------------------------------------------------------------------- */

void mica__dequantize_rows(const mica__quantized *w, int64_t first, int64_t n, void *out, mica_dtype out_dtype)
{
    const mica_dtype dtype = w->q.mode == MICA_QUANT_AFFINE ? w->dtype : out_dtype;
    const int group_size = w->q.group_size;
    uint8_t *to = out;
    float x[MICA__MAX_GROUP];
    for (int64_t r = first; r < first + n; r++) {
        for (int64_t g = 0; g < w->n_columns / group_size; g++) {
            expand_group(w, r, g, dtype, x);
            for (int i = 0; i < group_size; i++, to += mica_dtype_size(dtype)) mica__store_float(to, dtype, x[i]);
        }
    }
}

void mica__dequantize_rows_f32(const mica__quantized *w, int64_t first, int64_t n, float *out)
{
    const int group_size = w->q.group_size;
    for (int64_t r = first; r < first + n; r++)
        for (int64_t g = 0; g < w->n_columns / group_size; g++, out += group_size)
            expand_group(w, r, g, MICA_DTYPE_F32, out);
}

mica_status mica__quantization_error_add(mica__quantization_error *sum, const mica__matrix *in,
                                         const mica__quantized *w, mica_error *err)
{
    const size_t size = mica_dtype_size(in->dtype), n = (size_t)in->n_columns;
    float *row = mica__alloc(n, sizeof *row);
    if (!row) return mica__fail_memory(err, n * sizeof *row, "a row of a matrix");
    const uint8_t *at = in->data;
    for (int64_t r = 0; r < in->n_rows; r++) {
        mica__dequantize_rows_f32(w, r, 1, row);
        for (size_t i = 0; i < n; i++, at += size) {
            double x = (double)mica__load_float(at, in->dtype), d = fabs(x - (double)row[i]);
            sum->squared_error += d * d;
            sum->squared_weight += x * x;
            sum->largest = d > sum->largest ? d : sum->largest;
        }
    }
    sum->n += (uint64_t)in->n_rows * n;
    mica__free(row);
    return MICA_OK;
}
