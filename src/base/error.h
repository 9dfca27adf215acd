/* base/error.h: filling a mica_error, and passing failures on. */
#ifndef MICA_BASE_ERROR_H
#define MICA_BASE_ERROR_H

#include <mica/error.h>
#include <stdbool.h>

/* A failure is never MICA_OK. Saying so lets the compiler see that what a failed function did not set is not used either. */
static inline mica_status mica__failed(mica_status status)
{
    if (status == MICA_OK) __builtin_unreachable();
    return status;
}

/* Writes `status` and the formatted message into *err (if err is not NULL) and returns `status`:
 *     return mica__fail(err, MICA_DATA, "%s: header is %zu bytes, limit is %zu", path, n, limit); */
#define mica__fail(err, ...) mica__failed((mica__fail)(err, __VA_ARGS__))
mica_status(mica__fail)(mica_error *err, mica_status status, const char *fmt, ...) MICA_PRINTF(3, 4);

/* MICA_MEMORY with "out of memory (N bytes for WHAT)". */
#define mica__fail_memory(err, ...) mica__failed((mica__fail_memory)(err, __VA_ARGS__))
mica_status(mica__fail_memory)(mica_error *err, size_t n_bytes, const char *what);

/* Status and message for an errno value of a system call on `path`: ENOENT NOT_FOUND, EACCES ACCESS, ENOSPC IO, ENOMEM MEMORY,
 * ... "`path`: cannot `what`: strerror". */
#define mica__fail_errno(err, ...) mica__failed((mica__fail_errno)(err, __VA_ARGS__))
mica_status(mica__fail_errno)(mica_error *err, int errno_value, const char *what, const char *path);

/* Puts "prefix: " before the message already in *err; returns status. For a layer that adds where it happened. */
mica_status mica__fail_prefix(mica_error *err, mica_status status, const char *fmt, ...) MICA_PRINTF(3, 4);

/* Untrusted bytes made fit for one line of a message: control characters, quotes, backslashes and invalid UTF-8 are
 * escaped (\n, \x1b), and more than 80 source bytes are cut with "...". Lives in the caller's frame:
 *     mica__fail(err, MICA_DATA, "tensor '%s'", MICA_QUOTED(name, n)) */
typedef struct mica__quoted {
    char text[256];
} mica__quoted;
const char *mica__quote(mica__quoted *out, const char *bytes, size_t n);
#define MICA_QUOTED(bytes, n) mica__quote(&(mica__quoted){{0}}, (bytes), (n))
#define MICA_QUOTED_STR(s) MICA_QUOTED((s).p, (s).n)

/* Returns from the calling function when `expr` is not MICA_OK. */
#define MICA_TRY(expr)                                                                                                 \
    do {                                                                                                               \
        mica_status mica_try_status_ = (expr);                                                                         \
        if (mica_try_status_ != MICA_OK) return mica_try_status_;                                                      \
    } while (0)

#endif
