/* base/cpu.h: which instructions this processor has, asked once. */
#ifndef MICA_BASE_CPU_H
#define MICA_BASE_CPU_H

#include <stdbool.h>

typedef struct mica__cpu {
    bool avx2, fma, f16c, avx_vnni;                     /* x86-64; avx2 implies that the OS saves the registers */
    bool avx512, avx512_vnni, avx512_bf16, avx512_fp16; /* avx512: F, BW, DQ, VL */
    bool amx;                       /* tiles of bytes (amx_tile, amx_int8), which this process may use */
    bool neon, dotprod, i8mm, bf16; /* AArch64 */
} mica__cpu;

/* The environment variable MICA_CPU lowers what is reported, for tests: "plain" (nothing), "avx2" (with fma, f16c), "avx512"
 * (without its extensions and AMX), "neon" (without its), "dotprod" (neon and that). It never raises. Thread-safe; the variable is read once. */
const mica__cpu *mica__cpu_features(void);

/* Processors' worth of time that control groups grant this process, rounded up; 0: no limit known. `membership` is a file like
 * /proc/self/cgroup, `root` the folder where the groups are mounted. The tightest of the group and its parents (version 2), or
 * the quota of the group of the version 1 controller, or of that controller's root. */
int mica__cgroup_quota(const char *membership, const char *root);

#endif
