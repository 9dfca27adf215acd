/* base/cpu.c: instruction sets and processor counts of this machine. */
#include "cpu.h"
#include "file.h"
#include "memory.h"
#include "thread.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

/* ---- instruction sets ---- */

#if defined(__x86_64__)
/* Linux gives the tiles' registers, 8 KB for every thread, to processes that ask for them. */
static bool may_use_tiles(void)
{
#if defined(__linux__)
    enum { REQUEST = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
#else
    return false;
#endif
}

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
    const unsigned tiles_of_bytes = 1u << 24 | 1u << 25;
    c->amx = c->avx512 && (xcr_low & 0x60000) == 0x60000 && (d7 & tiles_of_bytes) == tiles_of_bytes && may_use_tiles();
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
static void detect(mica__cpu *c) { (void)c; }
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
        features.avx512_vnni = features.avx512_bf16 = features.avx512_fp16 = features.avx_vnni = features.amx = false;
    if (strcmp(limit, "neon") == 0) features.dotprod = features.i8mm = features.bf16 = false;
    if (strcmp(limit, "dotprod") == 0) features.i8mm = features.bf16 = false;
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
    if (period <= 0) return 0;
    long n = quota / period + (quota % period != 0);
    return n < INT_MAX ? (int)n : INT_MAX;
}

/* The path in the line "0::PATH" of /proc/self/cgroup, ended in place; NULL without version 2. */
static char *unified_group(char *groups)
{
    for (char *line = groups; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "0::/", 4) != 0) continue;
        line[strcspn(line, "\n")] = 0;
        return line + 3;
    }
    return NULL;
}

/* The group's path in the line "N:cpu:PATH" or "N:cpu,cpuacct:PATH" of /proc/self/cgroup, copied to `out`; "" without one. */
static void group_v1(const char *groups, char *out, size_t size)
{
    *out = 0;
    for (const char *line = groups; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *names = strchr(line, ':');
        if (!names) return;
        const char *path = strchr(names + 1, ':');
        if (!path) return;
        const size_t n = strcspn(path + 1, "\n");
        if (strncmp(names, ":cpu:", 5) != 0 && strncmp(names, ":cpu,", 5) != 0) continue;
        if (path[1] == '/' && n > 1 && n < size) {
            memcpy(out, path + 1, n);
            out[n] = 0;
        }
        return;
    }
}

/* Version 1: the group's folder below the controller's, or, in a container, the controller's itself, which is mounted where the group is. */
static int quota_v1(const char *root, const char *group)
{
    char path[5120], quota[32], period[32], text[80];
    snprintf(path, sizeof path, "%s/cpu%s/cpu.cfs_quota_us", root, group);
    if (!read_small(path, quota, sizeof quota)) return 0;
    snprintf(path, sizeof path, "%s/cpu%s/cpu.cfs_period_us", root, group);
    if (!read_small(path, period, sizeof period)) return 0;
    snprintf(text, sizeof text, "%ld %ld", strtol(quota, NULL, 10), strtol(period, NULL, 10));
    return quota_of(text);
}

int mica__cgroup_quota(const char *membership, const char *root)
{
    char groups[4096], path[4608], text[64];
    int tightest = 0;
    char old[4096] = "";
    char *group = NULL;
    if (read_small(membership, groups, sizeof groups)) {
        group_v1(groups, old, sizeof old);
        group = unified_group(groups);
    }
    while (group) { /* the group, its parent, ..., the root as "" */
        size_t n = strlen(group);
        if (n && group[n - 1] == '/') group[n - 1] = 0;
        snprintf(path, sizeof path, "%s%s/cpu.max", root, group);
        int quota = read_small(path, text, sizeof text) ? quota_of(text) : 0;
        if (quota && (!tightest || quota < tightest)) tightest = quota;
        char *slash = strrchr(group, '/');
        if (!slash) break;
        *slash = 0;
    }
    if (tightest) return tightest;
    const int own = *old ? quota_v1(root, old) : 0;
    return own ? own : quota_v1(root, "");
}

int mica__cpu_threads(void)
{
    cpu_set_t mine;
    CPU_ZERO(&mine);
    if (sched_getaffinity(0, sizeof mine, &mine) !=
        0) /* more processors than the set has bits: more than a team needs */
        for (size_t i = 0; i < CPU_SETSIZE; i++) CPU_SET(i, &mine);
    int n = CPU_COUNT(&mine), cores = physical_cores(&mine),
        quota = mica__cgroup_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    if (cores && cores < n) n = cores;
    if (quota && quota < n) n = quota;
    return n > 0 ? n : 1;
}
