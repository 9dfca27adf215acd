/* tests/formats/formats_test.h: temporary folders, files and error checks for the tests of formats/. Include after cmocka.h. */
#ifndef MICA_TESTS_FORMATS_TEST_H
#define MICA_TESTS_FORMATS_TEST_H

#include "base/file.h"
#include "base/memory.h"
#include "base/str.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A folder of this test's own, removed with everything in it by temp_dir_remove. */
static inline char *temp_dir(void)
{
    const char *base = getenv("TMPDIR");
    static char path[512];
    snprintf(path, sizeof path, "%s/mica-formats-XXXXXX", base && *base ? base : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void temp_dir_remove(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        char *child = mica__path_join(path, e->d_name);
        if (unlink(child) != 0) temp_dir_remove(child);
        mica__free(child);
    }
    closedir(dir);
    rmdir(path);
}

static inline void write_file(const char *dir, const char *name, const void *bytes, size_t n)
{
    char *path = mica__path_join(dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
    mica__free(path);
}

/* The status must be as expected and the message one line that names the culprit; prints both when not. */
static inline void assert_failure(const char *what, mica_status got, mica_status expected, const mica_error *err,
                                  const char *part)
{
    bool ok = got == expected && (got == MICA_OK || (strstr(err->message, part) && !strchr(err->message, '\n')));
    if (!ok)
        printf("%.100s: expected %s '%s', got %s '%s'\n", what, mica_status_name(expected), part, mica_status_name(got),
               got == MICA_OK ? "" : err->message);
    fflush(stdout);
    assert_true(ok);
}

/* "$MICA_SHARED/name", or NULL if it is not there. */
static inline char *shared_path(const char *name)
{
    const char *shared = getenv("MICA_SHARED");
    char *path = mica__path_join(shared ? shared : MICA_TEST_DATA "/../../../shared", name);
    if (path && access(path, R_OK) == 0) return path;
    printf("skipped: no %s\n", path);
    mica__free(path);
    return NULL;
}

#endif
