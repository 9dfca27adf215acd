/* models/weight_rows.h: rows of a checkpoint's matrices as floating-point numbers, whatever they are stored as. What is quantized from them
 * while loading and while converting is therefore the same. */
#ifndef MICA_MODELS_WEIGHT_ROWS_H
#define MICA_MODELS_WEIGHT_ROWS_H

#include "weight_list.h"

/* float32, float16 or bfloat16, to and from float32. */
void mica__floats_store(const float *in, size_t n, mica_dtype dtype, void *out);
void mica__floats_load(const void *in, size_t n, mica_dtype dtype, float *out);
/* True if all elements of a row-major run are finite. */
bool mica__floats_finite(const void *in, size_t n, mica_dtype dtype);

/* The source's matrix in MLX's layout; false if it is none. */
bool mica__wanted_quantized(const mica__wanted *w, mica__quantized *out);
/* The type of a tensor's elements when nobody says another: float32, float16 or bfloat16. */
mica_dtype mica__wanted_dtype(const mica__wanted *w);
/* The type that mlx-lm's convert casts to: torch_dtype, else the dtype of the text part; the top level's "dtype" is not consulted.
 * False if neither says one. */
bool mica__conversion_dtype(const mica__config *c, mica_dtype *out);

/* Memory for rows: [n elements] each. */
typedef struct mica__row_scratch {
    float *floats;
    void *elements; /* of at most four bytes */
} mica__row_scratch;

/* Rows first .. first + n - 1 in `dtype`: *out points into the file or at s->elements. Pieces start and end as mica__tensor_row_step of the
 * view says. */
mica_status mica__wanted_rows(const mica__wanted *w, int64_t first, int64_t n, mica_dtype dtype,
                              const mica__row_scratch *s, const void **out, mica_error *err);

#endif
