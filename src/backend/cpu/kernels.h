/* backend/cpu/kernels.h: what the op families give to the selection table.
 *
 * One function per family fills the phases of an instruction: the plain kernel, which takes every dtype and stride, or a
 * faster one for what this processor and these tensors allow. Returns false if no kernel takes the instruction. */
#ifndef MICA_BACKEND_CPU_KERNELS_H
#define MICA_BACKEND_CPU_KERNELS_H

#include "array/ops.h"
#include "base/cpu.h"

/* Checks of undefined behaviour at every step of an unrolled loop take clang minutes to compile. The address sanitizer and the guard
 * pages of the tests watch these loops; the plain kernels are checked in full. */
#if defined(__clang__)
#if __has_feature(undefined_behavior_sanitizer)
#define MICA__UNCHECKED __attribute__((no_sanitize("undefined")))
#endif
#endif
#if !defined(MICA__UNCHECKED)
#define MICA__UNCHECKED
#endif

#if defined(__x86_64__)
#define MICA__X86 1
#define MICA__AVX2 __attribute__((target("avx2,fma,f16c"))) MICA__UNCHECKED
#else
#define MICA__X86 0
#endif
#if defined(__aarch64__)
#define MICA__ARM64 1
#else
#define MICA__ARM64 0
#endif
#define MICA__VECTORS (MICA__X86 || MICA__ARM64) /* may have them: mica__has_vectors */

/* MICA__UNROLL before a loop with a small constant bound over an array of vectors, which shall live in registers; MICA__UNROLL_4 before
 * an inner loop, whose body gcc otherwise pads with copies between registers. Sanitizers keep the arrays in memory anyway, and take minutes
 * over unrolled loops. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MICA__UNROLL
#define MICA__UNROLL_4
#elif !defined(__clang__)
#define MICA__UNROLL _Pragma("GCC unroll 8")
#define MICA__UNROLL_4 _Pragma("GCC unroll 4")
#elif __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MICA__UNROLL _Pragma("nounroll")
#define MICA__UNROLL_4 _Pragma("nounroll")
#else
#define MICA__UNROLL _Pragma("unroll")
#define MICA__UNROLL_4 _Pragma("unroll 4")
#endif

typedef bool (*mica__chooser)(mica__instr *instr, bool plain);

bool mica__cpu_unary(mica__instr *instr, bool plain);
bool mica__cpu_binary(mica__instr *instr, bool plain);
bool mica__cpu_where(mica__instr *instr, bool plain);
bool mica__cpu_softcap(mica__instr *instr, bool plain);
bool mica__cpu_gated(mica__instr *instr, bool plain);
bool mica__cpu_fill(mica__instr *instr, bool plain);
bool mica__cpu_copy(mica__instr *instr, bool plain);
bool mica__cpu_reduce(mica__instr *instr, bool plain);
bool mica__cpu_softmax(mica__instr *instr, bool plain);
bool mica__cpu_cumsum(mica__instr *instr, bool plain);
bool mica__cpu_sort(mica__instr *instr, bool plain);
bool mica__cpu_take(mica__instr *instr, bool plain);
bool mica__cpu_take_along(mica__instr *instr, bool plain);
bool mica__cpu_matmul(mica__instr *instr, bool plain);
bool mica__cpu_linear(mica__instr *instr, bool plain);
bool mica__cpu_dequantize(mica__instr *instr, bool plain);
bool mica__cpu_norm(mica__instr *instr, bool plain);
bool mica__cpu_rope(mica__instr *instr, bool plain);
bool mica__cpu_attention(mica__instr *instr, bool plain);

/* AVX2, FMA and F16C. */
static inline bool mica__has_avx2(void)
{
    const mica__cpu *c = mica__cpu_features();
    return c->avx2 && c->fma && c->f16c;
}

/* Vectors of floats, and half types to and from them: AVX2 as above, or NEON. */
static inline bool mica__has_vectors(void) { return mica__has_avx2() || mica__cpu_features()->neon; }

/* AVX-512 F, BW, DQ, VL and VNNI, and all that AVX2 kernels need. */
static inline bool mica__has_avx512_vnni(void) { return mica__has_avx2() && mica__cpu_features()->avx512_vnni; }

/* That, and tiles of bytes. */
static inline bool mica__has_amx(void) { return mica__has_avx512_vnni() && mica__cpu_features()->amx; }

/* One phase, no scratch memory. */
static inline bool mica__set_kernel(mica__instr *instr, mica__kernel kernel)
{
    instr->phase[0] = kernel;
    instr->n_phases = 1;
    return true;
}

static inline int64_t mica__min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t mica__max(int64_t a, int64_t b) { return a > b ? a : b; }

/* Rounds scratch sizes up. */
static inline size_t mica__round64(size_t n) { return (n + 63) & ~(size_t)63; }

#endif
