/* backend/cpu/elementwise.h: runs of floats, shared by the plain and the fast elementwise kernels and by gated activations. */
#ifndef MICA_BACKEND_CPU_ELEMENTWISE_H
#define MICA_BACKEND_CPU_ELEMENTWISE_H

#include "convert.h"

/* out[i] = op(a[i], b[i]); b is not read by unary ops. out may be a or b. */
typedef void (*mica__f32_run)(const float *a, const float *b, float *out, int64_t n);

/* The op on a run of floats; NULL if there is none. The fast one needs mica__has_vectors. */
mica__f32_run mica__f32_op(mica__op op);
mica__f32_run mica__f32_op_fast(mica__op op);

#endif
