/* mica/memory.h: where the library's memory comes from.
 *
 * All heap memory of the library is taken through one allocator. Large buffers (weights, caches, program arenas) are mapped
 * from the operating system directly and do not pass through it. */
#ifndef MICA_MEMORY_H
#define MICA_MEMORY_H

#include "error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `resize(context, NULL, n)` allocates, `resize(context, p, n)` reallocates, `resize(context, p, 0)` frees and returns NULL.
 * Results are aligned for any fundamental type. It may return NULL for "no memory". It must be callable from any thread. */
typedef struct mica_allocator {
    void *(*resize)(void *context, void *block, size_t n_bytes);
    void *context;
} mica_allocator;

/* Replaces the allocator; NULL restores the C library's. Call it before any other function of the library: blocks must be
 * freed by the allocator that gave them. Not thread-safe. */
MICA_API void mica_set_allocator(const mica_allocator *allocator);

#ifdef __cplusplus
}
#endif
#endif
