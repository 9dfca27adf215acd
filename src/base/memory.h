/* base/memory.h: checked arithmetic, the allocator, arenas.
 *
 * Sizes that come from outside are added and multiplied through mica__add / mica__mul, which refuse to wrap. An arena holds
 * things that die together (a parsed file, a graph). */
#ifndef MICA_BASE_MEMORY_H
#define MICA_BASE_MEMORY_H

#include <mica/memory.h>
#include <stdbool.h>

/* *out = a + b, or a * b; false (and *out unspecified) if the result does not fit. */
static inline bool mica__add(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool mica__mul(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }

/* Heap. `n` elements of `size` bytes; NULL if the product wraps or memory is short. Zero bytes give a unique pointer. */
void *mica__alloc(size_t n, size_t size);                /* contents unspecified */
void *mica__calloc(size_t n, size_t size);               /* zeroed */
void *mica__realloc(void *block, size_t n, size_t size); /* block stays valid on failure */
void mica__free(void *block);                            /* NULL allowed */
char *mica__strndup(const char *s, size_t n);            /* NUL-terminated copy */

/* Pages from the operating system: zeroed, page-aligned, committed when touched.
 * NULL on failure. Not through the allocator. n_bytes must be the same in both calls. */
void *mica__pages_alloc(size_t n_bytes);
void mica__pages_free(void *pages, size_t n_bytes);
/* Asks for huge pages, before pages that will all be touched are. Fewer walks through the page tables; no effect where there are none. */
void mica__pages_make_huge(void *pages, size_t n_bytes);

/* An arena. {0} is a valid empty arena. Everything is freed by _release; nothing is freed singly. `max_bytes` 0: no limit. */
typedef struct mica__arena {
    struct mica__arena_block *head;
    size_t used_bytes, max_bytes;
} mica__arena;

/* Aligned to 16, contents unspecified; NULL on failure. */
void *mica__arena_alloc(mica__arena *a, size_t n, size_t size);
void *mica__arena_calloc(mica__arena *a, size_t n, size_t size); /* zeroed */
char *mica__arena_strndup(mica__arena *a, const char *s, size_t n);
void mica__arena_release(mica__arena *a);

#endif
