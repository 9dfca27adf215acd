/* A folder that gets its name when it is complete: every way in which that can go wrong, and what is left then. */
#include "base/folder.h"

#include "base/memory.h"
#include <mica/memory.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "failing_allocator.h"

static char root[64];
static mica_error err;

static const char *in_root(const char *name)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, 512, "%s/%s", root, name);
    return path;
}

static void put(const char *path, const char *text)
{
    assert_int_equal(mica__file_write(path, text, strlen(text), &err), MICA_OK);
}

static bool holds(const char *path, const char *text)
{
    mica__buf b = {0};
    bool same = mica__file_read(&b, path, 1000, NULL) == MICA_OK && mica__str_is(mica__buf_str(&b), text);
    mica__buf_release(&b);
    return same;
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static bool is_ours(mica__str name) { return mica__str_ends(name, ".bin"); }

static int setup(void **state)
{
    (void)state;
    strcpy(root, "/tmp/mica-folder-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void write_one(const mica__new_folder *f, const char *name, const char *text)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", f->work, name);
    put(path, text);
}

static void test_new(void **state)
{
    (void)state;
    mica__new_folder f;
    assert_int_equal(mica__new_folder_open(&f, in_root("a/b/c//"), false, NULL, &err), MICA_OK); /* parents are made */
    assert_string_equal(f.path, in_root("a/b/c"));
    assert_string_equal(f.work, in_root("a/b/.c.mica-partial"));
    write_one(&f, "w.bin", "1");
    assert_false(exists(in_root("a/b/c")));
    assert_int_equal(mica__new_folder_commit(&f, is_ours, &err), MICA_OK);
    mica__new_folder_release(&f);
    assert_true(holds(in_root("a/b/c/w.bin"), "1"));
    assert_false(exists(in_root("a/b/.c.mica-partial")));
}

static void test_given_up(void **state)
{
    (void)state;
    mica__new_folder f;
    assert_int_equal(mica__new_folder_open(&f, in_root("x"), false, NULL, &err), MICA_OK);
    write_one(&f, "w.bin", "1");
    char sub[600];
    snprintf(sub, sizeof sub, "%s/additional_chat_templates", f.work);
    assert_int_equal(mkdir(sub, 0777), 0);
    snprintf(sub, sizeof sub, "%s/additional_chat_templates/t.jinja", f.work);
    put(sub, "t");
    mica__new_folder_release(&f);
    assert_false(exists(in_root("x")));
    assert_false(exists(in_root(".x.mica-partial")));
}

static void test_names(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "/", ".", "..", "a/..", "///"};
    mica__new_folder f;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(mica__new_folder_open(&f, bad[i], true, NULL, &err), MICA_INVALID);
    put(in_root("file"), "");
    assert_int_equal(mica__new_folder_open(&f, in_root("file"), true, NULL, &err), MICA_CANNOT_CREATE);
    assert_int_equal(mica__new_folder_open(&f, in_root("file/x"), true, NULL, &err), MICA_CANNOT_CREATE);
    assert_int_equal(symlink("nowhere", in_root("dangling")), 0);
    assert_int_not_equal(mica__new_folder_open(&f, in_root("dangling"), true, NULL, &err), MICA_OK);
    char name[400];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    assert_int_equal(mica__new_folder_open(&f, in_root(name), true, NULL, &err), MICA_INVALID);
}

static void test_existing(void **state)
{
    (void)state;
    mica__new_folder f;
    assert_int_equal(mkdir(in_root("x"), 0777), 0);
    assert_int_equal(mica__new_folder_open(&f, in_root("x"), false, NULL, &err), MICA_OK); /* empty */
    write_one(&f, "new.bin", "1");
    put(in_root("x/sudden"), "meanwhile somebody else wrote here");
    assert_int_equal(mica__new_folder_commit(&f, is_ours, &err), MICA_CANNOT_CREATE);
    mica__new_folder_release(&f);
    assert_false(exists(in_root(".x.mica-partial")));
    assert_int_equal(mica__new_folder_open(&f, in_root("x"), false, NULL, &err), MICA_CANNOT_CREATE);
    assert_non_null(strstr(err.message, "exists already"));
    assert_true(holds(in_root("x/sudden"), "meanwhile somebody else wrote here"));
}

static void test_replace(void **state)
{
    (void)state;
    mica__new_folder f;
    assert_int_equal(mkdir(in_root("x"), 0777), 0);
    put(in_root("x/old.bin"), "old");
    put(in_root("x/both.bin"), "old");
    put(in_root("x/notes"), "mine");
    assert_int_equal(symlink("notes", in_root("x/link")), 0);
    assert_int_equal(symlink("x", in_root("to-x")), 0);
    assert_int_equal(mica__new_folder_open(&f, in_root("to-x"), true, NULL, &err), MICA_OK); /* through a link */
    assert_string_equal(f.path, in_root("x"));
    write_one(&f, "both.bin", "new");
    assert_true(holds(in_root("x/both.bin"), "old"));
    assert_int_equal(mica__new_folder_commit(&f, is_ours, &err), MICA_OK);
    mica__new_folder_release(&f);
    assert_true(holds(in_root("x/both.bin"), "new"));
    assert_true(holds(in_root("x/notes"), "mine"));
    assert_true(holds(in_root("x/link"), "mine"));
    assert_false(exists(in_root("x/old.bin")));
    assert_false(exists(in_root(".x.mica-partial")));
    assert_int_equal(mkdir(in_root("x/folder"), 0777), 0);
    assert_int_equal(mica__new_folder_open(&f, in_root("x"), true, NULL, &err), MICA_CANNOT_CREATE);
    assert_non_null(strstr(err.message, "'folder'"));
}

/* What a killed process leaves is taken over; what a living one has is not touched. */
static void test_left_over(void **state)
{
    (void)state;
    mica__new_folder f, second;
    assert_int_equal(mkdir(in_root(".x.mica-partial"), 0777), 0);
    put(in_root(".x.mica-partial/stale.bin"), "half");
    assert_int_equal(mica__new_folder_open(&f, in_root("x"), false, NULL, &err), MICA_OK);
    write_one(&f, "w.bin", "1");
    assert_int_equal(mica__new_folder_open(&second, in_root("x"), false, NULL, &err), MICA_BUSY);
    assert_true(exists(in_root(".x.mica-partial/w.bin")));
    assert_int_equal(mica__new_folder_commit(&f, is_ours, &err), MICA_OK);
    mica__new_folder_release(&f);
    assert_true(holds(in_root("x/w.bin"), "1"));
    assert_false(exists(in_root("x/stale.bin")));
    assert_int_equal(mkdir(in_root(".y.mica-partial"), 0777), 0); /* something that no run of ours leaves */
    assert_int_equal(mkdir(in_root(".y.mica-partial/deep"), 0777), 0);
    assert_int_not_equal(mica__new_folder_open(&f, in_root("y"), false, NULL, &err), MICA_OK);
    assert_true(exists(in_root(".y.mica-partial/deep")));
}

static bool is_kept(mica__str name) { return mica__str_is(name, "done.bin"); }

/* What was done stays for the next one that asks for it, and for nobody else. */
static void test_going_on(void **state)
{
    (void)state;
    mica__new_folder f;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mica__new_folder_open(&f, in_root("x"), false, i == 2 ? NULL : is_kept, &err), MICA_OK);
        assert_int_equal(exists(in_root(".x.mica-partial/done.bin")), i == 1);
        assert_false(exists(in_root(".x.mica-partial/other.bin")));
        write_one(&f, "done.bin", "1");
        write_one(&f, "other.bin", "2");
        mica__new_folder_leave(&f);
        assert_true(exists(in_root(".x.mica-partial/other.bin")) && !exists(in_root("x")));
    }
    assert_int_equal(mica__new_folder_open(&f, in_root("x"), false, is_kept, &err), MICA_OK);
    assert_int_equal(mica__new_folder_empty(&f, &err), MICA_OK);
    assert_false(exists(in_root(".x.mica-partial/done.bin")));
    mica__new_folder_release(&f);
    assert_false(exists(in_root(".x.mica-partial")));
}

static mica_status attempt(void *context)
{
    (void)context;
    mica__new_folder f;
    mica_error ignored;
    MICA_TRY(mica__new_folder_open(&f, in_root("x"), true, NULL, &ignored));
    mica_status status = mica__new_folder_commit(&f, is_ours, &ignored);
    mica__new_folder_release(&f);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    failing_allocator_sweep(attempt, NULL);
    assert_true(exists(in_root("x")));
    assert_false(exists(in_root(".x.mica-partial")));
}

static void test_free_space(void **state)
{
    (void)state;
    assert_true(mica__free_space(root) > 0);
    assert_int_equal(mica__free_space("/no/such/folder"), UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new, setup, teardown),
        cmocka_unit_test_setup_teardown(test_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_existing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_left_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_going_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_of_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_space, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
