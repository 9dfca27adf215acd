/* mica/error.h: status codes and error details.
 *
 *     mica_error err;
 *     if (mica_model_load(&model, path, NULL, &err) != MICA_OK)
 *         fprintf(stderr, "%s\n", err.message);
 *
 * Every function that can fail returns a mica_status: 0 is success, a negative value is one of the codes below. The
 * detail (which file, which tensor, what was expected, what was found) goes into the caller's mica_error, written once by the
 * layer that knows it. NULL may be passed for an error that nobody will read. There is no global "last error". */
#ifndef MICA_ERROR_H
#define MICA_ERROR_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define MICA_API
#elif defined(__GNUC__)
#define MICA_API __attribute__((visibility("default")))
#else
#define MICA_API
#endif

#if defined(__GNUC__)
#define MICA_NODISCARD __attribute__((warn_unused_result))
#define MICA_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define MICA_NODISCARD
#define MICA_PRINTF(fmt, args)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* name, value, exit code of the command-line program (sysexits), text */
#define MICA_STATUS_MAP(X)                                                                                             \
    X(OK, 0, 0, "success")                                                                                             \
    X(INVALID, -1, 64, "invalid argument")                                                                             \
    X(DATA, -2, 65, "bad data in a file")                                                                              \
    X(UNSUPPORTED, -3, 65, "not supported")                                                                            \
    X(NOT_FOUND, -4, 66, "not found")                                                                                  \
    X(UNAVAILABLE, -5, 69, "network or hub unavailable")                                                               \
    X(INTERNAL, -6, 70, "internal error")                                                                              \
    X(MEMORY, -7, 71, "out of memory")                                                                                 \
    X(SYSTEM, -8, 71, "operating system limit")                                                                        \
    X(CANNOT_CREATE, -9, 73, "cannot create")                                                                          \
    X(IO, -10, 74, "input or output error")                                                                            \
    X(BUSY, -11, 75, "busy, try again later")                                                                          \
    X(ACCESS, -12, 77, "permission denied")                                                                            \
    X(CANCELLED, -13, 130, "cancelled")                                                                                \
    X(LIMIT, -14, 65, "limit exceeded")

typedef enum mica_status {
#define MICA_STATUS_ENUM(name, value, exit_code, text) MICA_##name = value,
    MICA_STATUS_MAP(MICA_STATUS_ENUM)
#undef MICA_STATUS_ENUM
} mica_status;

/* Where details of a failure are written. `message` is one line of UTF-8, always terminated; text that came from a file is
 * escaped and cut. After MICA_OK its content is unspecified. */
typedef struct mica_error {
    mica_status status;
    char message[508];
} mica_error;

/* The constant's name ("DATA"), its short text ("bad data in a file"), and the exit code that the command-line program ends
 * with. Unknown values give "UNKNOWN", "unknown error", 70. */
MICA_API const char *mica_status_name(mica_status status);
MICA_API const char *mica_status_text(mica_status status);
MICA_API int mica_status_exit_code(mica_status status);

#ifdef __cplusplus
}
#endif
#endif
