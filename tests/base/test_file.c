/* Reading, mapping and replacing files; what happens to a mapping whose file shrinks. */
#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "failing_allocator.h"

static char folder[] = "/tmp/mica-test-file-XXXXXX";

/* The path of `name` in the folder of this test; good until four more were asked for. */
static const char *in(const char *name)
{
    static char paths[4][512];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void put(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static int count_entries(void)
{
    DIR *d = opendir(folder);
    assert_non_null(d);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));) n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) remove(in(e->d_name));
    if (d) closedir(d);
    return rmdir(folder);
}

static void test_read(void **state)
{
    (void)state;
    mica_error err;
    put(in("a"), "hello\0there", 11);
    mica__buf b = {0};
    assert_int_equal(mica__file_read(&b, in("a"), 11, &err), MICA_OK); /* exactly the limit */
    assert_int_equal(b.n, 11);
    assert_memory_equal(b.p, "hello\0there", 12);
    assert_int_equal(mica__file_read(&b, in("a"), 100, &err), MICA_OK); /* appended */
    assert_int_equal(b.n, 22);
    assert_int_equal(mica__file_read(&b, in("a"), 10, &err), MICA_LIMIT);
    assert_non_null(strstr(err.message, "/a: is 11 bytes, limit is 10"));
    assert_int_equal(b.n, 22);
    mica__buf_release(&b);

    put(in("empty"), "", 0);
    assert_int_equal(mica__file_read(&b, in("empty"), 0, &err), MICA_OK);
    assert_int_equal(b.n, 0);
    assert_string_equal(b.p, "");
    mica__buf_release(&b);

    mica__buf small = {.max = 5};
    assert_int_equal(mica__file_read(&small, in("a"), 100, &err), MICA_LIMIT);
    mica__buf_release(&small);
    failing_allocator a;
    failing_allocator_begin(&a, 1, true);
    assert_int_equal(mica__file_read(&b, in("a"), 100, &err), MICA_MEMORY);
    mica__buf_release(&b);
    assert_int_equal(failing_allocator_end(&a), 0);
}

/* What is not a regular file is refused at once: neither call may wait for a writer of the FIFO. */
static void test_not_regular(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(in("fifo"), 0600), 0);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", in("socket"));
    assert_int_equal(bind(s, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(symlink("loop", in("loop")), 0);
    struct {
        const char *path;
        mica_status status;
    } cases[] = {
        {folder, MICA_DATA},
        {"/dev/zero", MICA_DATA},
        {"/dev/tty", MICA_OK}, /* any failure: there may be no terminal */
        {in("fifo"), MICA_DATA},
        {in("socket"), MICA_IO},
        {in("loop"), MICA_INVALID},
        {"", MICA_NOT_FOUND},
        {"/nowhere/at/all", MICA_NOT_FOUND},
        {"/dev/null/x", MICA_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mica_error err = {.message = ""};
        mica__buf b = {0};
        mica__mapping m;
        mica_status status = mica__file_read(&b, cases[i].path, 1000, &err);
        assert_int_not_equal(status, MICA_OK);
        if (cases[i].status) assert_int_equal(status, cases[i].status);
        assert_int_equal(err.status, status);
        assert_memory_equal(err.message, cases[i].path, strlen(cases[i].path)); /* says which file */
        assert_int_equal(b.n, 0);
        assert_int_equal(mica__mapping_open(&m, cases[i].path, &err), status);
        assert_null(m.data);
        mica__mapping_release(&m);
        mica__buf_release(&b);
    }
    close(s);
}

static void test_access(void **state)
{
    (void)state;
    put(in("secret"), "x", 1);
    assert_int_equal(chmod(in("secret"), 0), 0);
    if (geteuid() == 0) {
        assert_int_equal(chmod(folder, 0755), 0);
        assert_int_equal(seteuid(65534), 0); /* nothing is refused to root */
    }
    mica__mapping m;
    mica_status status = mica__mapping_open(&m, in("secret"), NULL);
    mica__mapping_release(&m);
    if (getuid() == 0) assert_int_equal(seteuid(0), 0);
    assert_int_equal(status, MICA_ACCESS);
}

static void test_mapping(void **state)
{
    (void)state;
    mica_error err;
    put(in("map"), "0123456789", 10);
    mica__mapping m;
    assert_int_equal(mica__mapping_open(&m, in("map"), &err), MICA_OK);
    assert_int_equal(m.n, 10);
    assert_memory_equal(m.data, "0123456789", 10);
    assert_string_equal(m.path, in("map"));
    assert_int_equal(mica__mapping_check(&m, &err), MICA_OK);
    mica__mapping_release(&m);
    assert_null(m.data);
    mica__mapping_release(&m);
    m = (mica__mapping){0};
    mica__mapping_release(&m);

    put(in("empty"), "", 0);
    assert_int_equal(mica__mapping_open(&m, in("empty"), &err), MICA_OK);
    assert_int_equal(m.n, 0);
    assert_null(m.data);
    assert_int_equal(mica__mapping_check(&m, &err), MICA_OK);
    mica__mapping_forget(&m, 0, 100);
    mica__mapping_release(&m);
    failing_allocator a;
    failing_allocator_begin(&a, 1, true);
    assert_int_equal(mica__mapping_open(&m, in("map"), &err), MICA_MEMORY);
    assert_null(m.data);
    assert_int_equal(failing_allocator_end(&a), 0);
}

static void test_forget(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 5 * page + 100;
    char *text = malloc(n);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) text[i] = (char)(i * 7 + i / page);
    put(in("pages"), text, n);
    mica__mapping m;
    assert_int_equal(mica__mapping_open(&m, in("pages"), NULL), MICA_OK);
    const size_t ranges[][2] = {{0, n},
                                {1, page},
                                {page, page},
                                {0, SIZE_MAX},
                                {n, 10},
                                {SIZE_MAX, SIZE_MAX},
                                {5, SIZE_MAX - 2},
                                {page - 1, 2 * page}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        mica__mapping_forget(&m, ranges[i][0], ranges[i][1]);
        assert_memory_equal(m.data, text, n); /* read again */
    }
    mica__mapping_release(&m);
    free(text);
}

/* cmocka catches SIGBUS for itself during every test; main() saved what the library had installed before. */
static struct sigaction library_handler;

static void catch_as_outside_tests(void) { assert_int_equal(sigaction(SIGBUS, &library_handler, NULL), 0); }

/* Another process shortens the file: the missing pages read as zeros, and the mapping says so. */
static void test_truncated(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 4 * page;
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, 'x', n);
    catch_as_outside_tests();
    put(in("short"), text, n);
    put(in("whole"), text, n);
    mica_error err;
    mica__mapping m, other;
    assert_int_equal(mica__mapping_open(&m, in("short"), &err), MICA_OK);
    assert_int_equal(mica__mapping_open(&other, in("whole"), &err), MICA_OK);
    assert_int_equal(truncate(in("short"), (off_t)page + 10), 0);
    volatile const uint8_t *data = m.data;
    assert_int_equal(data[page], 'x');
    assert_int_equal(mica__mapping_check(&m, &err), MICA_OK); /* nothing was missed so far */
    assert_int_equal(data[3 * page + 5], 0);
    assert_int_equal(data[2 * page], 0);
    assert_int_equal(data[n - 1], 0);
    assert_int_equal(mica__mapping_check(&m, &err), MICA_IO);
    assert_non_null(strstr(err.message, "/short: the file became shorter"));
    assert_int_equal(mica__mapping_check(&other, &err), MICA_OK);
    assert_memory_equal(other.data, text, n);
    mica__mapping_release(&m);
    /* The next mapping starts unbroken, in the same slot. */
    assert_int_equal(mica__mapping_open(&m, in("whole"), &err), MICA_OK);
    assert_int_equal(mica__mapping_check(&m, &err), MICA_OK);
    mica__mapping_release(&m);
    mica__mapping_release(&other);
    free(text);
}

/* ---- the signal handler's manners, each in a process of its own ---- */

static int in_child(void (*body)(void))
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        body();
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

static void map_something(void)
{
    mica__mapping m;
    if (mica__mapping_open(&m, in("whole"), NULL) != MICA_OK) _exit(1);
    mica__mapping_release(&m);
}

/* A file that is mapped without us and then shortened. */
static volatile char *foreign_fault(void)
{
    int fd = open(in("foreign"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (ftruncate(fd, 100) != 0) _exit(2);
    volatile char *p = mmap(NULL, 100, PROT_READ, MAP_SHARED, fd, 0);
    if (ftruncate(fd, 0) != 0) _exit(3);
    return p;
}

static void body_default_fault(void)
{
    signal(SIGBUS, SIG_DFL);
    map_something();
    (void)*foreign_fault();
}

static void body_default_sent(void)
{
    signal(SIGBUS, SIG_DFL);
    map_something();
    kill(getpid(), SIGBUS);
    _exit(0);
}

static void handler_simple(int sig) { _exit(sig == SIGBUS ? 40 : 1); }

static void handler_info(int sig, siginfo_t *info, void *context)
{
    _exit(sig == SIGBUS && info->si_addr && context ? 41 : 1);
}

static void body_simple(void)
{
    signal(SIGBUS, handler_simple);
    map_something();
    (void)*foreign_fault();
}

static void body_info(void)
{
    struct sigaction action = {.sa_sigaction = handler_info, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, NULL);
    map_something();
    (void)*foreign_fault();
}

/* The first mapping of a process installs the handler, so this runs while this process has none. */
static void test_other_handlers(void **state)
{
    (void)state;
    put(in("whole"), "x", 1);
    int status = in_child(body_default_fault);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    status = in_child(body_default_sent);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    status = in_child(body_simple);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 40);
    status = in_child(body_info);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 41);
}

static void *map_and_touch(void *argument)
{
    const char *path = argument;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < 200; i++) {
        mica__mapping m;
        if (mica__mapping_open(&m, path, NULL) != MICA_OK) return "open";
        bool is_short = strstr(path, "cut") != NULL;
        volatile const uint8_t *data = m.data;
        if (is_short && truncate(path, 1) != 0) return "truncate";
        if (data[3 * page] != (is_short ? 0 : 'x')) return "content";
        if ((mica__mapping_check(&m, NULL) == MICA_IO) != is_short) return "check";
        mica__mapping_release(&m);
        if (is_short && truncate(path, 4 * (off_t)page) != 0) return "truncate";
    }
    return NULL;
}

static void test_mappings_in_threads(void **state)
{
    (void)state;
    size_t n = 4 * (size_t)sysconf(_SC_PAGESIZE);
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, 'x', n);
    catch_as_outside_tests();
    static const char *const names[] = {"cut1", "full1", "cut2", "full2"};
    static char paths[4][512];
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        snprintf(paths[i], sizeof paths[i], "%s", in(names[i]));
        put(paths[i], text, n);
    }
    free(text);
    for (size_t i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, map_and_touch, paths[i]), 0);
    for (size_t i = 0; i < 4; i++) {
        void *problem;
        pthread_join(threads[i], &problem);
        assert_null(problem);
    }
}

/* More mappings than the handler can watch: all of them work. */
static void test_many_mappings(void **state)
{
    (void)state;
    enum { N = 1100 };
    static mica__mapping m[N];
    put(in("many"), "many", 4);
    for (size_t i = 0; i < N; i++) assert_int_equal(mica__mapping_open(&m[i], in("many"), NULL), MICA_OK);
    for (size_t i = 0; i < N; i++) {
        assert_memory_equal(m[i].data, "many", 4);
        assert_int_equal(mica__mapping_check(&m[i], NULL), MICA_OK);
        mica__mapping_release(&m[i]);
    }
}

/* ---- writing ---- */

static void assert_holds(const char *path, const char *text)
{
    mica__buf b = {0};
    assert_int_equal(mica__file_read(&b, path, 1 << 20, NULL), MICA_OK);
    assert_string_equal(b.p, text);
    mica__buf_release(&b);
}

static void test_write(void **state)
{
    (void)state;
    mica_error err;
    mode_t before = umask(027);
    int n = count_entries();
    assert_int_equal(mica__file_write(in("new"), "first", 5, &err), MICA_OK);
    struct stat st;
    assert_int_equal(stat(in("new"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(umask(before), 027); /* untouched */
    assert_holds(in("new"), "first");
    assert_int_equal(mica__file_write(in("new"), "second text", 11, &err), MICA_OK);
    assert_holds(in("new"), "second text");
    assert_int_equal(mica__file_write(in("new"), NULL, 0, &err), MICA_OK);
    assert_holds(in("new"), "");
    assert_int_equal(count_entries(), n + 1); /* no temporary file stays */

    char name[256]; /* as long as names can be */
    memset(name, 'n', 255);
    name[255] = 0;
    assert_int_equal(mica__file_write(in(name), "x", 1, &err), MICA_OK);
    assert_holds(in(name), "x");
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(mica__file_write("bare name", "y", 1, &err), MICA_OK); /* no folder in the path */
    assert_holds(in("bare name"), "y");
    assert_int_equal(chdir("/"), 0);
}

static void test_write_refused(void **state)
{
    (void)state;
    mica_error err;
    int n = count_entries();
    assert_int_equal(mica__file_write(in("no/such/folder"), "x", 1, &err), MICA_CANNOT_CREATE);
    assert_non_null(strstr(err.message, "no/such/folder: cannot create: no such folder"));
    assert_int_equal(mica__file_write("", "x", 1, &err) == MICA_OK, false);
    assert_int_equal(mkdir(in("dir"), 0700), 0);
    assert_int_not_equal(mica__file_write(in("dir"), "x", 1, &err), MICA_OK);
    assert_true(mica__path_is_dir(in("dir")));
    assert_int_equal(rmdir(in("dir")), 0);
    assert_int_equal(count_entries(), n);
    failing_allocator a;
    failing_allocator_begin(&a, 1, true);
    assert_int_equal(mica__file_write(in("x"), "x", 1, &err), MICA_MEMORY);
    assert_int_equal(failing_allocator_end(&a), 0);
    assert_int_equal(count_entries(), n);
}

static void test_write_to_read_only_folder(void **state)
{
    (void)state;
    assert_int_equal(mkdir(in("locked"), 0700), 0);
    put(in("locked/old"), "old", 3);
    assert_int_equal(chmod(in("locked"), 0555), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    bool root = geteuid() == 0;
    if (root) assert_int_equal(seteuid(65534), 0);
    mica_error err;
    mica_status status = mica__file_write(in("locked/old"), "new", 3, &err);
    if (root) assert_int_equal(seteuid(0), 0);
    assert_int_equal(status, MICA_ACCESS);
    assert_holds(in("locked/old"), "old");
    assert_int_equal(chmod(in("locked"), 0700), 0);
    assert_int_equal(unlink(in("locked/old")), 0);
    assert_int_equal(rmdir(in("locked")), 0); /* nothing else was in it */
}

/* The disk is "full": the old content stays, the temporary file goes. */
static void test_write_beyond_limit(void **state)
{
    (void)state;
    assert_int_equal(mica__file_write(in("kept"), "old", 3, NULL), MICA_OK);
    int n = count_entries();
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 4096;
    void (*old_handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    static char big[10000];
    mica_error err;
    mica_status status = mica__file_write(in("kept"), big, sizeof big, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, old_handler);
    assert_int_equal(status, MICA_IO);
    assert_non_null(strstr(err.message, "/kept: cannot write: "));
    assert_holds(in("kept"), "old");
    assert_int_equal(count_entries(), n);
}

/* A temporary file that a dead process of the same number left is stepped over, not used. */
static void test_write_beside_leftovers(void **state)
{
    (void)state;
    char name[64];
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, ".mica-%ld-%d.tmp", (long)getpid(), i);
        put(in(name), "left", 4);
    }
    assert_int_equal(mica__file_write(in("beside"), "new", 3, NULL), MICA_OK);
    assert_holds(in("beside"), "new");
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, ".mica-%ld-%d.tmp", (long)getpid(), i);
        assert_holds(in(name), "left");
    }
}

static char in_place[512];

static void *write_many(void *argument)
{
    char text[2] = {*(char *)argument, 0};
    for (int i = 0; i < 50; i++)
        if (mica__file_write(in_place, text, 1, NULL) != MICA_OK) return "write";
    return NULL;
}

static void test_write_from_threads(void **state)
{
    (void)state;
    snprintf(in_place, sizeof in_place, "%s", in("contested"));
    int n = count_entries();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, write_many, &"abcd"[i]), 0);
    for (int i = 0; i < 4; i++) {
        void *problem;
        pthread_join(threads[i], &problem);
        assert_null(problem);
    }
    mica__buf b = {0};
    assert_int_equal(mica__file_read(&b, in_place, 10, NULL), MICA_OK);
    assert_int_equal(b.n, 1);
    mica__buf_release(&b);
    assert_int_equal(count_entries(), n + 1);
}

static void test_paths(void **state)
{
    (void)state;
    put(in("file"), "", 0);
    assert_true(mica__path_is_dir(folder));
    assert_false(mica__path_is_file(folder));
    assert_true(mica__path_is_file(in("file")));
    assert_false(mica__path_is_dir(in("file")));
    assert_false(mica__path_is_file(in("nothing")));
    assert_false(mica__path_is_dir(in("nothing")));
    static const char *const cases[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"},
                                           {"/", "b", "/b"},  {"a", "", "a/"},    {"a/b", "c/d", "a/b/c/d"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *path = mica__path_join(cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        mica__free(path);
    }
}

int main(void)
{
    const struct CMUnitTest before_the_first_mapping[] = {cmocka_unit_test(test_other_handlers)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_not_regular),
        cmocka_unit_test(test_access),
        cmocka_unit_test(test_mapping),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_mappings_in_threads),
        cmocka_unit_test(test_many_mappings),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_refused),
        cmocka_unit_test(test_write_to_read_only_folder),
        cmocka_unit_test(test_write_beyond_limit),
        cmocka_unit_test(test_write_beside_leftovers),
        cmocka_unit_test(test_write_from_threads),
        cmocka_unit_test(test_paths),
    };
    int n_failed = cmocka_run_group_tests(before_the_first_mapping, make_folder, NULL);
    map_something();
    sigaction(SIGBUS, NULL, &library_handler);
    return n_failed + cmocka_run_group_tests(tests, NULL, remove_folder);
}
