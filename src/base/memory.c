/* base/memory.c: the replaceable allocator, page memory and arenas. */
#include "memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *default_resize(void *context, void *block, size_t n_bytes)
{
    (void)context;
    if (n_bytes == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, n_bytes);
}

static mica_allocator current = {default_resize, NULL};

void mica_set_allocator(const mica_allocator *allocator)
{
    current = allocator ? *allocator : (mica_allocator){default_resize, NULL};
}

void *mica__realloc(void *block, size_t n, size_t size)
{
    size_t n_bytes;
    if (!mica__mul(n, size, &n_bytes)) return NULL;
    return current.resize(current.context, block, n_bytes ? n_bytes : 1);
}

void *mica__alloc(size_t n, size_t size) { return mica__realloc(NULL, n, size); }

void *mica__calloc(size_t n, size_t size)
{
    void *block = mica__alloc(n, size);
    if (block) memset(block, 0, n * size);
    return block;
}

void mica__free(void *block)
{
    if (block) current.resize(current.context, block, 0);
}

char *mica__strndup(const char *s, size_t n)
{
    size_t n_bytes;
    char *copy = mica__add(n, 1, &n_bytes) ? mica__alloc(n_bytes, 1) : NULL;
    if (!copy) return NULL;
    if (n) memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

void *mica__pages_alloc(size_t n_bytes)
{
    /* MAP_NORESERVE: caches reserve their whole context and touch what they use. */
    void *pages =
        mmap(NULL, n_bytes ? n_bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

void mica__pages_free(void *pages, size_t n_bytes)
{
    if (pages) munmap(pages, n_bytes ? n_bytes : 1);
}

void mica__pages_make_huge(void *pages, size_t n_bytes)
{
#ifdef MADV_HUGEPAGE
    if (pages && n_bytes >= (size_t)4 << 20) (void)madvise(pages, n_bytes, MADV_HUGEPAGE);
#else
    (void)pages;
    (void)n_bytes;
#endif
}

/* ---- arenas ---- */

struct mica__arena_block {
    struct mica__arena_block *next;
    size_t n_bytes, used; /* of data */
    _Alignas(16) unsigned char data[];
};

enum { FIRST_BLOCK = 4096, LARGEST_BLOCK = 1 << 20 };

static bool arena_add_block(mica__arena *a, size_t at_least)
{
    size_t n_bytes = a->head ? a->head->n_bytes * 2 : FIRST_BLOCK, total;
    if (n_bytes > LARGEST_BLOCK) n_bytes = LARGEST_BLOCK;
    if (n_bytes < at_least) n_bytes = at_least;
    if (!mica__add(sizeof(struct mica__arena_block), n_bytes, &total)) return false;
    struct mica__arena_block *block = mica__alloc(total, 1);
    if (!block) return false;
    block->next = a->head;
    block->n_bytes = n_bytes;
    block->used = 0;
    a->head = block;
    return true;
}

void *mica__arena_alloc(mica__arena *a, size_t n, size_t size)
{
    size_t n_bytes, used;
    if (!mica__mul(n, size, &n_bytes) || !mica__add(n_bytes, 15, &n_bytes)) return NULL;
    n_bytes &= ~(size_t)15;
    if (!mica__add(a->used_bytes, n_bytes, &used) || (a->max_bytes && used > a->max_bytes)) return NULL;
    if (!a->head || a->head->n_bytes - a->head->used < n_bytes)
        if (!arena_add_block(a, n_bytes)) return NULL;
    void *p = a->head->data + a->head->used;
    a->head->used += n_bytes;
    a->used_bytes = used;
    return p;
}

void *mica__arena_calloc(mica__arena *a, size_t n, size_t size)
{
    void *p = mica__arena_alloc(a, n, size);
    if (p) memset(p, 0, n * size);
    return p;
}

char *mica__arena_strndup(mica__arena *a, const char *s, size_t n)
{
    size_t n_bytes;
    char *copy = mica__add(n, 1, &n_bytes) ? mica__arena_alloc(a, n_bytes, 1) : NULL;
    if (!copy) return NULL;
    if (n) memcpy(copy, s, n);
    copy[n] = 0;
    return copy;
}

void mica__arena_release(mica__arena *a)
{
    for (struct mica__arena_block *b = a->head, *next; b; b = next) {
        next = b->next;
        mica__free(b);
    }
    a->head = NULL;
    a->used_bytes = 0;
}
