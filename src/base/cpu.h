/* base/cpu.h: which instructions this processor has, asked once. */
#ifndef MICA_BASE_CPU_H
#define MICA_BASE_CPU_H

#include <stdbool.h>

typedef struct mica__cpu {
    bool avx2, fma, f16c, avx_vnni;                     /* x86-64; avx2 implies that the OS saves the registers */
    bool avx512, avx512_vnni, avx512_bf16, avx512_fp16; /* avx512: F, BW, DQ, VL */
    bool neon, dotprod, i8mm, bf16;                     /* AArch64 */
} mica__cpu;

/* The environment variable MICA_CPU ("plain", "avx2", "avx512", ...) lowers what is reported, for tests. Thread-safe. */
const mica__cpu *mica__cpu_features(void);

#endif
