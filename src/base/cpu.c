/* base/cpu.c: instruction sets and processor counts of this machine. */
#include "cpu.h"
#include "file.h"
#include "memory.h"
#include "thread.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

/* ---- instruction sets ---- */

#if defined(__x86_64__)
static void detect(mica__cpu *c)
{
    unsigned a, b, cx, d, b7, c7, d7, a71;
    if (!__get_cpuid(1, &a, &b, &cx, &d) || !(cx & bit_OSXSAVE)) return;
    bool f16c = cx & bit_F16C, fma = cx & bit_FMA;
    unsigned xcr_low, xcr_high;
    __asm__("xgetbv" : "=a"(xcr_low), "=d"(xcr_high) : "c"(0));
    if ((xcr_low & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return;
    c->avx2 = b7 & bit_AVX2;
    c->fma = c->avx2 && fma;
    c->f16c = c->avx2 && f16c;
    if (!__get_cpuid_count(7, 1, &a71, &b, &cx, &d)) a71 = 0;
    c->avx_vnni = c->avx2 && (a71 & (1u << 4));
    const unsigned all512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    c->avx512 = c->fma && (xcr_low & 0xe6) == 0xe6 && (b7 & all512) == all512;
    c->avx512_vnni = c->avx512 && (c7 & bit_AVX512VNNI);
    c->avx512_bf16 = c->avx512 && (a71 & (1u << 5));
    c->avx512_fp16 = c->avx512 && (d7 & (1u << 23));
}
#elif defined(__aarch64__)
static void detect(mica__cpu *c)
{
    unsigned long caps = getauxval(AT_HWCAP), caps2 = getauxval(AT_HWCAP2);
    c->neon = caps & (1ul << 1);
    c->dotprod = caps & (1ul << 20);
    c->i8mm = caps2 & (1ul << 13);
    c->bf16 = caps2 & (1ul << 14);
}
#else
static void detect(mica__cpu *c)
{
    (void)c;
}
#endif

static mica__cpu features;

/* MICA_CPU names the highest set to use. */
static void detect_once(void)
{
    detect(&features);
    const char *limit = getenv("MICA_CPU");
    if (!limit || !*limit) return;
    if (strcmp(limit, "plain") == 0) features = (mica__cpu){0};
    if (strcmp(limit, "avx2") == 0)
        features = (mica__cpu){.avx2 = features.avx2, .fma = features.fma, .f16c = features.f16c};
    if (strcmp(limit, "avx512") == 0)
        features.avx512_vnni = features.avx512_bf16 = features.avx512_fp16 = features.avx_vnni = false;
    if (strcmp(limit, "neon") == 0) features.dotprod = features.i8mm = features.bf16 = false;
}

const mica__cpu *mica__cpu_features(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, detect_once);
    return &features;
}

/* ---- processors ---- */

/* A small file under /sys or /proc, which have no size; false if it is not there. */
static bool read_small(const char *path, char *text, size_t cap)
{
    FILE *f = fopen(path, "re");
    if (!f) return false;
    size_t n = fread(text, 1, cap - 1, f);
    text[n] = 0;
    fclose(f);
    return n > 0;
}

/* Distinct physical cores among the processors we may run on. */
static int physical_cores(const cpu_set_t *mine)
{
    cpu_set_t counted;
    CPU_ZERO(&counted);
    int n = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, mine) || CPU_ISSET(cpu, &counted)) continue;
        n++;
        char path[96], text[256];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
        if (!read_small(path, text, sizeof text)) continue;
        for (char *p = text; *p;) { /* "0,64" or "0-1" */
            long first = strtol(p, &p, 10), last = *p == '-' ? strtol(p + 1, &p, 10) : first;
            for (long s = first; s <= last && s >= 0 && s < CPU_SETSIZE; s++) CPU_SET((size_t)s, &counted);
            if (*p != ',') break;
            p++;
        }
    }
    return n;
}

/* Processors' worth of time that "quota period" of cgroup v2 grants, rounded up; 0: no limit. */
static int quota_of(const char *text)
{
    char *end;
    long quota = strtol(text, &end, 10);
    if (end == text || quota <= 0) return 0; /* "max", or -1 */
    long period = strtol(end, NULL, 10);
    return period > 0 ? (int)((quota + period - 1) / period) : 0;
}

/* The tightest quota of our control group and its parents (version 2), or of the version 1 controller. */
static int cgroup_quota(void)
{
    char groups[2048], path[2400], text[64];
    int tightest = 0;
    if (read_small("/proc/self/cgroup", groups, sizeof groups)) {
        char *group = strstr(groups, "0::");
        if (group) {
            group += 3;
            group[strcspn(group, "\n")] = 0;
            for (;;) {
                snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", strcmp(group, "/") == 0 ? "" : group);
                int quota = read_small(path, text, sizeof text) ? quota_of(text) : 0;
                if (quota && (!tightest || quota < tightest)) tightest = quota;
                char *slash = strrchr(group, '/');
                if (!slash || !*group) break;
                *slash = 0;
            }
        }
    }
    char quota_text[32], period_text[32];
    if (!tightest && read_small("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota_text, sizeof quota_text) &&
        read_small("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period_text, sizeof period_text)) {
        snprintf(text, sizeof text, "%ld %ld", strtol(quota_text, NULL, 10), strtol(period_text, NULL, 10));
        tightest = quota_of(text);
    }
    return tightest;
}

int mica__cpu_threads(void)
{
    cpu_set_t mine;
    CPU_ZERO(&mine);
    if (sched_getaffinity(0, sizeof mine, &mine) != 0) return 1;
    int n = CPU_COUNT(&mine), cores = physical_cores(&mine), quota = cgroup_quota();
    if (cores && cores < n) n = cores;
    if (quota && quota < n) n = quota;
    return n > 0 ? n : 1;
}
