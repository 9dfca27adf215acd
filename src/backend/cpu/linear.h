/* backend/cpu/linear.h: variants of the product with weights. Each fills the instruction's phases and scratch sizes, or returns
 * false if it does not take these tensors. x is f32 [M, K] with rows that are contiguous. */
#ifndef MICA_BACKEND_CPU_LINEAR_H
#define MICA_BACKEND_CPU_LINEAR_H

#include "kernels.h"

bool mica__linear_avx2(mica__instr *instr);         /* float arithmetic; float or affine weights */
bool mica__linear_int16_avx2(mica__instr *instr);   /* activations rounded to int16; affine weights of 4 and 8 bits */
bool mica__linear_int16_avx512(mica__instr *instr); /* the same; needs mica__has_avx512_vnni */
bool mica__linear_int8_avx2(mica__instr *instr);    /* activations rounded to int8; affine weights */

#endif
