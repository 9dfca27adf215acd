/* backend/cpu/linear.h: variants of the product with weights. Each fills the instruction's phases and scratch sizes, or returns
 * false if it does not take these tensors. x is f32 [M, K] with rows that are contiguous. */
#ifndef MICA_BACKEND_CPU_LINEAR_H
#define MICA_BACKEND_CPU_LINEAR_H

#include "kernels.h"
#include <string.h>

bool mica__linear_avx2(mica__instr *instr);           /* float arithmetic; affine weights */
bool mica__linear_dense_avx2(mica__instr *instr);     /* float arithmetic; weights of f32, f16 or bf16 */
bool mica__linear_int16_avx2(mica__instr *instr);     /* activations rounded to int16; affine weights of 4 and 8 bits */
bool mica__linear_int16_odd_avx2(mica__instr *instr); /* the same; 2, 3, 5 and 6 bits, mxfp4, nvfp4 */
/* Gives an instruction that has its phases those for runs with 8-bit activations; affine weights of 4 bits. */
bool mica__add_int8_avx2(mica__instr *instr);
bool mica__linear_floats_avx2(mica__instr *instr); /* float arithmetic; mxfp4, mxfp8, nvfp4 */
bool mica__linear_dense_neon(mica__instr *instr);  /* float arithmetic; weights of f32, f16, bf16 or mxfp8 */
bool mica__linear_neon(mica__instr *instr);        /* float arithmetic; quantized weights */
bool mica__linear_int16_neon(mica__instr *instr);  /* activations rounded to 16 bits; all quantized ones but mxfp8 */

/* The weights that kernels with 16-bit activations take: affine groups of 4 or 8 bits. */
static inline bool mica__takes_int16(const mica__tensor *w)
{
    return w->quantized && (w->affine.bits == 4 || w->affine.bits == 8);
}

/* Phase 0 rounds the rows of x to row_bytes of scratch memory each; phase 1 is the kernel for the width (4, 8) and the group (32, 64, 128). */
static inline bool mica__set_int16(mica__instr *instr, mica__kernel round, const mica__kernel kernels[2][3],
                                   int64_t row_bytes)
{
    const mica__affine *a = &instr->in[1].affine;
    instr->phase[0] = round;
    instr->phase[1] = kernels[a->bits / 8][a->group_size / 64];
    instr->n_phases = 2;
    instr->first_phase_key = (uint64_t)a->group_size << 1 | (a->bits == 4); /* what `round` looks at */
    instr->scratch_bytes = (size_t)instr->in[0].shape[0] * (size_t)row_bytes;
    return true;
}

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
