/* formats/quantize.h: matrices in MLX's quantized layouts: made, measured and expanded again.
 *
 *     mica__quantization q;
 *     MICA_TRY(mica__quantization_parse(&q, MICA_STR("4"), err));              // affine, 4 bits, groups of 64
 *     if (!mica__quantization_fits(&q, n_columns)) ...                         // columns are not whole groups
 *     mica__quantized_sizes sizes = mica__quantized_row_sizes(&q, n_columns, MICA_DTYPE_BF16);
 *     mica__quantize(&q, MICA__QUANTIZER_MLX, &(mica__matrix){data, MICA_DTYPE_BF16, n_rows, n_columns}, codes, scales, biases);
 *
 * A row of K columns is K/G groups of G elements:
 *
 *     mode     bits              group          a group's scale     element
 *     affine   2, 3, 4, 5, 6, 8  32, 64, 128    dtype of the source  scale * code + bias
 *     mxfp4    4                 32             e8m0 byte            2^(byte - 127) * e2m1
 *     mxfp8    8                 32             e8m0 byte            2^(byte - 127) * e4m3
 *     nvfp4    4                 16             e4m3 byte            e4m3(byte) * e2m1
 *
 * Codes are a little-endian bit stream per row, the lowest bits first. The default quantizer gives the bytes that MLX gives on the CPU, edge
 * cases included; MICA__QUANTIZER_SEARCH tries several scales for each group and keeps the one with the smallest squared error, in the
 * same layout. Both are plain arithmetic in a fixed order: a row's bytes depend on nothing but the row. */
#ifndef MICA_FORMATS_QUANTIZE_H
#define MICA_FORMATS_QUANTIZE_H

#include "../base/error.h"
#include "../base/str.h"
#include "../base/thread.h"
#include <mica/array.h>

typedef struct mica__quantization {
    mica_quant_mode mode;
    int bits, group_size;
} mica__quantization;

typedef enum mica__quantizer { MICA__QUANTIZER_MLX, MICA__QUANTIZER_SEARCH } mica__quantizer;

/* "4" or "affine-4" (groups of 64), "affine-4-32", "mxfp4", "mxfp8", "nvfp4" (also as "mxfp4-4-32"). INVALID naming what is possible. */
mica_status mica__quantization_parse(mica__quantization *out, mica__str text, mica_error *err);
/* False unless the three fields go together as in the table above. */
bool mica__quantization_valid(const mica__quantization *q);
/* Fills the fields that are 0 with the mode's defaults: affine 4 bits and groups of 64. */
void mica__quantization_defaults(mica__quantization *q);
/* "affine-4-64", "mxfp4" */
typedef struct mica__quantization_text {
    char text[24];
} mica__quantization_text;
const char *mica__quantization_format(mica__quantization_text *out, const mica__quantization *q);
#define MICA_QUANTIZATION(q) mica__quantization_format(&(mica__quantization_text){{0}}, (q))
/* "affine", "mxfp4", ...; and back: false if there is no such mode. */
const char *mica__quant_mode_name(mica_quant_mode mode);
bool mica__quant_mode_parse(mica_quant_mode *out, mica__str name);
/* Whole groups, and at least one. */
bool mica__quantization_fits(const mica__quantization *q, int64_t n_columns);

/* Bytes of one row. `dtype` is that of the source: f32, f16 or bf16; other modes than affine have scales of one byte and no biases. */
typedef struct mica__quantized_sizes {
    size_t codes, scales, biases;
} mica__quantized_sizes;
mica__quantized_sizes mica__quantized_row_sizes(const mica__quantization *q, int64_t n_columns, mica_dtype dtype);
/* Of the scales: `dtype` for affine, else U8. */
mica_dtype mica__quantized_scale_dtype(const mica__quantization *q, mica_dtype dtype);

/* A row-major matrix of floats: f32, f16 or bf16, any alignment. */
typedef struct mica__matrix {
    const void *data;
    mica_dtype dtype;
    int64_t n_rows, n_columns;
} mica__matrix;

/* All rows, in the calling thread. codes, scales, biases: n_rows times the sizes above, any alignment; biases is not touched unless the mode is
 * affine. The columns must fit. Infinite or NaN elements give unspecified codes in their group. */
void mica__quantize(const mica__quantization *q, mica__quantizer quantizer, const mica__matrix *in, void *codes,
                    void *scales, void *biases);
/* How well a quantized matrix stands for the one it was made from: sums over all elements. */
typedef struct mica__quantization_error {
    double squared_error, squared_weight; /* sums */
    double largest;                       /* absolute difference */
    uint64_t n;
} mica__quantization_error;
/* As mica__quantize, and adds how well it went to *sum: cheaper than measuring afterwards. */
void mica__quantize_measured(const mica__quantization *q, mica__quantizer quantizer, const mica__matrix *in,
                             void *codes, void *scales, void *biases, mica__quantization_error *sum);
/* As mica__quantize, with the rows shared out to a team. */
void mica__quantize_team(mica__team *team, const mica__quantization *q, mica__quantizer quantizer,
                         const mica__matrix *in, void *codes, void *scales, void *biases);

/* A quantized matrix as it is stored. `dtype` is that of the scales and biases of affine groups; the other modes ignore it. */
typedef struct mica__quantized {
    mica__quantization q;
    mica_dtype dtype;
    int64_t n_rows, n_columns;
    const void *codes, *scales, *biases; /* biases NULL: -2^(bits - 1) times the scales, if affine */
} mica__quantized;

/* Rows [first, first + n) as MLX expands them on the CPU: affine elements in `dtype`, product and sum rounded to it one after the other; other
 * modes in out_dtype (MLX takes bf16). out_dtype is ignored for affine. */
void mica__dequantize_rows(const mica__quantized *w, int64_t first, int64_t n, void *out, mica_dtype out_dtype);
/* The same values without rounding them to 16 bits: float32, each product and sum rounded once to it. */
void mica__dequantize_rows_f32(const mica__quantized *w, int64_t first, int64_t n, float *out);

/* Adds the figures of all rows to *sum. Shapes must agree. MEMORY for a row. */
mica_status mica__quantization_error_add(mica__quantization_error *sum, const mica__matrix *in,
                                         const mica__quantized *w, mica_error *err);

#endif
