/* backend/cpu/linear.h: variants of the product with weights. Each fills the instruction's phases and scratch sizes, or returns
 * false if it does not take these tensors. x is f32 [M, K] with rows that are contiguous. */
#ifndef MICA_BACKEND_CPU_LINEAR_H
#define MICA_BACKEND_CPU_LINEAR_H

#include "kernels.h"
#include <string.h>

bool mica__linear_avx2(mica__instr *instr);         /* float arithmetic; float or affine weights */
bool mica__linear_int16_avx2(mica__instr *instr);   /* activations rounded to int16; affine weights of 4 and 8 bits */
bool mica__linear_int16_avx512(mica__instr *instr); /* the same; needs mica__has_avx512_vnni */
bool mica__linear_int8_avx2(mica__instr *instr);    /* activations rounded to int8; affine weights */
bool mica__linear_floats_avx2(mica__instr *instr);  /* float arithmetic; mxfp4, mxfp8, nvfp4 */
bool mica__linear_neon(mica__instr *instr);         /* float arithmetic; float or affine weights */
bool mica__linear_int16_neon(
    mica__instr *instr); /* activations rounded to 16 bits; affine weights of 4 and 8 bits; needs dotprod */

/* What is added to output `row`: 0 if the instruction has no bias. */
static inline float mica__linear_bias(const mica__instr *instr, int64_t row)
{
    float bias = 0;
    if (instr->n_in < 3) return 0;
    const mica__tensor *t = &instr->in[2];
    memcpy(&bias, (const uint8_t *)t->data + row * t->strides[0] * (int64_t)sizeof bias, sizeof bias);
    return bias;
}

#endif
