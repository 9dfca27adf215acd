/* The record of a conversion: what is read back, what is not believed. */
#include "models/save_record.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 5 };
static const mica__fingerprint PLAN = {{1, 2}};
static char work[64], path[96];
static mica_error err;

static int setup(void **state)
{
    (void)state;
    strcpy(work, "/tmp/mica-record-XXXXXX");
    if (!mkdtemp(work)) return -1;
    snprintf(path, sizeof path, "%s/%s", work, MICA__SAVE_RECORD);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(work);
}

/* A record with pieces 1 and 3. */
static void make(void)
{
    mica__save_record r;
    unlink(path);
    assert_int_equal(mica__save_record_create(&r, work, PLAN, N, &err), MICA_OK);
    assert_false(mica__save_record_has(&r, 1));
    const mica__quantization_error error = {.squared_error = 0.5, .n = 7};
    assert_int_equal(mica__save_record_add(&r, 1, (mica__fingerprint){{10, 11}}, &error, &err), MICA_OK);
    assert_int_equal(mica__save_record_add(&r, 3, (mica__fingerprint){{30, 31}}, &error, &err), MICA_OK);
    mica__save_record_release(&r);
}

static size_t size_of_file(void)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

static void change(size_t at, uint8_t by)
{
    uint8_t byte;
    const int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= by;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static void test_read_back(void **state)
{
    (void)state;
    mica__save_record r;
    make();
    assert_true(mica__save_record_open(&r, work, PLAN, N));
    assert_int_equal(r.n_found, 2);
    for (size_t i = 0; i < N; i++) assert_int_equal(mica__save_record_has(&r, i), i == 1 || i == 3);
    assert_int_equal(r.lines[3].bytes.word[1], 31);
    assert_int_equal(r.lines[1].error.n, 7);
    /* Again, for other bytes: the later line counts. */
    assert_int_equal(mica__save_record_add(&r, 1, (mica__fingerprint){{12, 13}}, &r.lines[1].error, &err), MICA_OK);
    mica__save_record_release(&r);
    assert_true(mica__save_record_open(&r, work, PLAN, N));
    assert_int_equal(r.n_found, 2);
    assert_int_equal(r.lines[1].bytes.word[0], 12);
    assert_int_equal(mica__save_record_finish(&r, work, &err), MICA_OK);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_false(mica__save_record_open(&r, work, PLAN, N));
}

static void test_not_ours(void **state)
{
    (void)state;
    mica__save_record r;
    make();
    const mica__fingerprint other = {{1, 3}};
    assert_false(mica__save_record_open(&r, work, other, N));
    assert_int_equal(mica__save_record_create(&r, work, PLAN, N, &err), MICA_CANNOT_CREATE); /* there is one */
    change(0, 1);
    assert_false(mica__save_record_open(&r, work, PLAN, N));
    for (size_t n = 0; n < 24; n += 8) {
        make();
        assert_int_equal(truncate(path, (off_t)n), 0);
        assert_false(mica__save_record_open(&r, work, PLAN, N));
    }
    unlink(path);
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_false(mica__save_record_open(&r, work, PLAN, N));
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(mica__save_record_open(&r, work, PLAN, N));
}

/* Whatever byte of a line is another one, the piece counts as not written. A line that was only begun is cut off. */
static void test_damaged(void **state)
{
    (void)state;
    mica__save_record r;
    make();
    const size_t whole = size_of_file(), line = sizeof(mica__save_line);
    for (size_t at = whole - line; at < whole; at++) {
        change(at, 0x40);
        assert_true(mica__save_record_open(&r, work, PLAN, N));
        assert_int_equal(r.n_found, 1);
        assert_false(mica__save_record_has(&r, 3));
        mica__save_record_release(&r);
        change(at, 0x40);
    }
    assert_int_equal(truncate(path, (off_t)(whole - 1)), 0);
    assert_true(mica__save_record_open(&r, work, PLAN, N));
    assert_int_equal(r.n_found, 1);
    assert_int_equal(size_of_file(), whole - line);
    assert_int_equal(mica__save_record_add(&r, 4, PLAN, &(mica__quantization_error){0}, &err), MICA_OK);
    mica__save_record_release(&r);
    assert_true(mica__save_record_open(&r, work, PLAN, N));
    assert_true(mica__save_record_has(&r, 1) && mica__save_record_has(&r, 4));
    mica__save_record_release(&r);
    assert_true(mica__save_record_open(&r, work, PLAN, 4)); /* a piece that does not exist is none */
    assert_int_equal(r.n_found, 1);
    mica__save_record_release(&r);
}

/* One bit, one more byte, or another order: another fingerprint. */
static void test_fingerprint(void **state)
{
    (void)state;
    uint8_t bytes[200] = {0};
    const mica__fingerprint zero = {{0}};
    for (size_t n = 0; n < sizeof bytes; n++) {
        const mica__fingerprint all = mica__fingerprint_add(zero, bytes, n);
        const mica__fingerprint longer = mica__fingerprint_add(zero, bytes, n + 1);
        assert_true(all.word[0] != longer.word[0] && all.word[1] != longer.word[1]);
        for (size_t bit = 0; bit < n * 8; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            const mica__fingerprint f = mica__fingerprint_add(zero, bytes, n);
            assert_true(f.word[0] != all.word[0] && f.word[1] != all.word[1]);
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    const mica__fingerprint ab = mica__fingerprint_add(mica__fingerprint_add(zero, "a", 1), "b", 1);
    const mica__fingerprint ba = mica__fingerprint_add(mica__fingerprint_add(zero, "b", 1), "a", 1);
    assert_true(ab.word[0] != ba.word[0] && ab.word[1] != ba.word[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fingerprint),
        cmocka_unit_test_setup_teardown(test_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_ours, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
