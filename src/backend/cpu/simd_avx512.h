/* backend/cpu/simd_avx512.h: what the kernels of 512 bits share. They are compiled for these instructions whatever the compiler's options, and
 * chosen when the processor and the operating system have them (base/cpu.c). */
#ifndef MICA_BACKEND_CPU_SIMD_AVX512_H
#define MICA_BACKEND_CPU_SIMD_AVX512_H

#include "simd_avx2.h"

#if MICA__X86

#define MICA__AVX512                                                                                                   \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"))) MICA__UNCHECKED
#define MICA__INLINE512 static inline __attribute__((always_inline, unused)) MICA__AVX512

/* Keeps v in one register of the 32, at this place (see MICA__KEEP). */
#define MICA__KEEP512(v) __asm__ volatile("" : "+v"(v))

/* Lanes of 128 bits 0 and 2 of a, then of b; 1 and 3. */
MICA__INLINE512 __m512i mica__even_quarters(__m512i a, __m512i b) { return _mm512_shuffle_i32x4(a, b, 0x88); }
MICA__INLINE512 __m512i mica__odd_quarters(__m512i a, __m512i b) { return _mm512_shuffle_i32x4(a, b, 0xdd); }

#endif
#endif
