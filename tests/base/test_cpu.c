/* Processor features, MICA_CPU, and how many threads a team should have. What is asked once per process is asked in children. */
#include "base/cpu.h"
#include "base/thread.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The features that a fresh process sees with MICA_CPU set to `limit` (NULL: not set). */
static mica__cpu features_with(const char *limit)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (limit)
            setenv("MICA_CPU", limit, 1);
        else
            unsetenv("MICA_CPU");
        const mica__cpu *c = mica__cpu_features();
        bool stable = mica__cpu_features() == c;
        _exit(stable && write(ends[1], c, sizeof *c) == sizeof *c ? 0 : 1);
    }
    mica__cpu c;
    int status = -1;
    assert_int_equal(read(ends[0], &c, sizeof c), sizeof c);
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    close(ends[0]);
    close(ends[1]);
    return c;
}

/* b has nothing that a has not. */
static void assert_subset(mica__cpu b, mica__cpu a)
{
    const bool *whole = (const bool *)&a, *part = (const bool *)&b;
    for (size_t i = 0; i < sizeof a; i++) assert_true(!part[i] || whole[i]);
}

static void test_features(void **state)
{
    (void)state;
    mica__cpu c = features_with(NULL), plain = {0};
#if defined(__x86_64__)
    assert_int_equal(c.avx2, !!__builtin_cpu_supports("avx2"));
    assert_int_equal(c.fma, c.avx2 && __builtin_cpu_supports("fma"));
    assert_int_equal(c.avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
    assert_int_equal(c.avx512_vnni, c.avx512 && __builtin_cpu_supports("avx512vnni"));
    assert_false(c.neon);
#elif defined(__aarch64__)
    assert_true(c.neon);
    assert_false(c.avx2);
#endif
    assert_true((!c.avx512 || (c.avx2 && c.fma)) && (!c.amx || c.avx512));
    mica__cpu limited = features_with("plain");
    assert_memory_equal(&limited, &plain, sizeof plain);
    limited = features_with("avx2");
    assert_subset(limited, c);
    assert_int_equal(limited.avx2, c.avx2);
    assert_int_equal(limited.fma, c.fma);
    assert_false(limited.avx512 || limited.avx512_vnni || limited.avx512_bf16 || limited.avx512_fp16 ||
                 limited.avx_vnni || limited.amx);
    limited = features_with("avx512");
    assert_subset(limited, c);
    assert_int_equal(limited.avx512, c.avx512);
    assert_false(limited.avx512_vnni || limited.avx512_bf16 || limited.avx512_fp16 || limited.amx);
    limited = features_with("neon");
    assert_subset(limited, c);
    assert_false(limited.dotprod || limited.i8mm || limited.bf16);
    limited = features_with("");
    assert_memory_equal(&limited, &c, sizeof c);
    limited = features_with("no such set");
    assert_memory_equal(&limited, &c, sizeof c);
}

static void test_affinity(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    int all = mica__cpu_threads();
    assert_in_range(all, 1, CPU_COUNT(&before));
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &before)) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (sched_setaffinity(0, sizeof one, &one) != 0) {
            print_message("the affinity mask cannot be changed here\n");
            skip();
        }
        assert_int_equal(mica__cpu_threads(), 1);
    }
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(mica__cpu_threads(), all);
}

/* ---- control groups, as files under a folder of our own ---- */

static char folder[] = "/tmp/mica-test-cpu-XXXXXX";

static const char *in(const char *name)
{
    static char paths[2][512];
    static int turn;
    char *path = paths[turn++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(in(name), "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int quota(const char *membership)
{
    put("membership", membership);
    return mica__cgroup_quota(in("membership"), folder);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    return mkdir(in("a"), 0700) || mkdir(in("a/b"), 0700) || mkdir(in("cpu"), 0700) || mkdir(in("cpu/g"), 0700) ? -1
                                                                                                                : 0;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"membership",
                                        "cpu.max",
                                        "a/cpu.max",
                                        "a/b/cpu.max",
                                        "cpu/cpu.cfs_quota_us",
                                        "cpu/cpu.cfs_period_us",
                                        "cpu/g/cpu.cfs_quota_us",
                                        "cpu/g/cpu.cfs_period_us",
                                        "cpu/g",
                                        "a/b",
                                        "a",
                                        "cpu"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) remove(in(names[i]));
    return rmdir(folder);
}

static void test_quota_values(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int quota;
    } cases[] = {
        {"max 100000\n", 0},
        {"100000 100000\n", 1},
        {"150000 100000\n", 2},
        {"200000 100000\n", 2},
        {"200001 100000\n", 3},
        {"1000 100000\n", 1},
        {"50000 10000", 5},
        {"-1 100000\n", 0},
        {"0 100000\n", 0},
        {"100000 0\n", 0},
        {"100000\n", 0},
        {"", 0},
        {"nonsense", 0},
        {"100000 -5", 0},
        {"9223372036854775807 1", INT32_MAX},
        {"9223372036854775807 9223372036854775807", 1},
        {"99999999999999999999999 1000", INT32_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put("cpu.max", cases[i].text);
        int found = quota("0::/\n");
        if (found != cases[i].quota) fail_msg("'%s' grants %d, not %d", cases[i].text, found, cases[i].quota);
    }
    remove(in("cpu.max"));
    assert_int_equal(quota("0::/\n"), 0);
}

static void test_quota_of_parents(void **state)
{
    (void)state;
    put("a/b/cpu.max", "400000 100000\n");
    assert_int_equal(quota("0::/a/b\n"), 4);
    put("a/cpu.max", "300000 100000\n");
    assert_int_equal(quota("0::/a/b\n"), 3); /* the parent is tighter */
    put("cpu.max", "900000 100000\n");
    assert_int_equal(quota("0::/a/b\n"), 3);
    put("cpu.max", "100000 100000\n");
    assert_int_equal(quota("0::/a/b\n"), 1);
    put("cpu.max", "max 100000\n");
    assert_int_equal(quota("0::/a\n"), 3);
    assert_int_equal(quota("0::/a/b/gone\n"), 3); /* a group that is not mounted here: its parents count */
    assert_int_equal(quota("0::/a/b/\n"), 3);
    assert_int_equal(quota("12:cpuset:/x\n1:name=systemd:/a\n0::/a/b\n"), 3);
    assert_int_equal(quota("0::/a/b"), 3);
    assert_int_equal(quota("10::/a/b\n"), 0);        /* only hierarchy 0 is version 2 */
    assert_int_equal(quota("3:cpu:/x0::/a/b\n"), 0); /* and only at the start of a line */
    assert_int_equal(quota("0::\n"), 0);
    assert_int_equal(quota(""), 0);
    assert_int_equal(quota("\n\n\n"), 0);
    char longest[6000];
    memset(longest, '/', sizeof longest);
    memcpy(longest, "0::", 3);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(quota(longest), 0);
    assert_int_equal(mica__cgroup_quota(in("no such file"), folder), 0);
}

static void test_quota_version_1(void **state)
{
    (void)state;
    put("cpu/cpu.cfs_quota_us", "250000\n");
    assert_int_equal(quota("4:cpu,cpuacct:/\n"), 0); /* no period */
    put("cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota("4:cpu,cpuacct:/\n"), 3);
    put("cpu/g/cpu.cfs_quota_us", "100000\n");
    put("cpu/g/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota("9:name=systemd:/g\n4:cpu,cpuacct:/g\n"), 1); /* the group's own */
    assert_int_equal(quota("1:cpu:/g\n0::/\n"), 1);
    assert_int_equal(quota("1:cpuset:/g\n"), 3);
    assert_int_equal(quota("1:cpu:/not/there\n"), 3); /* a container sees its group as the root */
    put("cpu/cpu.cfs_quota_us", "-1\n");
    put("cpu/g/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(quota("4:cpu,cpuacct:/\n"), 0);
    assert_int_equal(quota("4:cpu,cpuacct:/g\n"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features),        cmocka_unit_test(test_affinity),
        cmocka_unit_test(test_quota_values),    cmocka_unit_test(test_quota_of_parents),
        cmocka_unit_test(test_quota_version_1),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
