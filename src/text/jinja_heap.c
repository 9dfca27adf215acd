/* text/jinja_heap.c: memory, budget and errors of one rendering.
 *
 * The heap is a list of blocks filled from the front. Nothing is freed singly, but an expression whose value was only printed
 * gives its memory back through a mark. Blocks come from the library's allocator; the budget counts what was handed out, and
 * the text written so far counts against the same budget. */
#include "jinja_value.h"
#include <stdio.h>

typedef struct mica__jblock {
    struct mica__jblock *next;
    size_t fill, cap;
    _Alignas(16) unsigned char bytes[];
} mica__jblock;

#define BLOCK_BYTES (32u << 10)

mica__jv mica__jin_fail(mica__jin *j, mica_status status, const char *fmt, ...)
{
    if (j->status) return JV_ERR;
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    j->status = mica__fail(j->err, status, "chat template, line %u: %s", j->line, text);
    return JV_ERR;
}

mica__jv mica__jin_raise(mica__jin *j, const char *fmt, ...)
{
    if (j->status) return JV_ERR;
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return mica__jin_fail(j, MICA_DATA, "%s", text);
}

bool mica__jin_spend(mica__jin *j, uint64_t cost)
{
    if (j->status) return false;
    if (cost <= j->steps_left) {
        j->steps_left -= cost;
        return true;
    }
    j->steps_left = 0;
    mica__jin_fail(j, MICA_LIMIT, "more than %llu steps", (unsigned long long)j->max_steps);
    return false;
}

bool mica__jin_enter(mica__jin *j)
{
    if (j->depth < MICA__JINJA_MAX_EVAL_DEPTH) {
        j->depth++;
        return true;
    }
    mica__jin_fail(j, MICA_LIMIT, "evaluation is nested deeper than %d", MICA__JINJA_MAX_EVAL_DEPTH);
    return false;
}

static bool reserve(mica__jin *j, size_t bytes)
{
    size_t total;
    if (mica__add(j->heap.used, bytes, &total) && mica__add(total, j->out.n, &total) && total <= j->heap.max)
        return true;
    mica__jin_fail(j, MICA_LIMIT, "more than %zu bytes of working memory", j->heap.max);
    return false;
}

void *mica__jin_alloc(mica__jin *j, size_t n, size_t size)
{
    mica__jheap *h = &j->heap;
    size_t bytes;
    if (j->status) return NULL;
    if (!mica__mul(n, size, &bytes) || bytes > SIZE_MAX / 2) bytes = SIZE_MAX / 2;
    bytes = (bytes + 15) & ~(size_t)15;
    if (!reserve(j, bytes)) return NULL;
    mica__jblock *b = h->head;
    if (!b || b->cap - b->fill < bytes) {
        size_t cap = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        b = mica__alloc(1, sizeof *b + cap);
        if (!b) {
            j->status = mica__fail_memory(j->err, sizeof *b + cap, "rendering a chat template");
            return NULL;
        }
        *b = (mica__jblock){.next = h->head, .cap = cap};
        h->head = b;
    }
    void *p = b->bytes + b->fill;
    b->fill += bytes;
    h->used += bytes;
    return p;
}

void *mica__jin_grow(mica__jin *j, void *block, size_t old, size_t grown)
{
    mica__jblock *b = j->heap.head;
    size_t old_bytes = (old + 15) & ~(size_t)15;
    if (block && b && (unsigned char *)block + old_bytes == b->bytes + b->fill && grown >= old &&
        grown - old < b->cap) {
        size_t more = ((grown + 15) & ~(size_t)15) - old_bytes;
        if (more <= b->cap - b->fill) {
            if (!reserve(j, more)) return NULL;
            b->fill += more;
            j->heap.used += more;
            return block;
        }
    }
    void *p = mica__jin_alloc(j, grown, 1);
    if (p && old) memcpy(p, block, old);
    return p;
}

mica__jmark mica__jheap_mark(const mica__jheap *h)
{
    return (mica__jmark){h->head, h->head ? h->head->fill : 0, h->used};
}

void mica__jheap_reset(mica__jheap *h, mica__jmark mark)
{
    while (h->head != mark.head) {
        mica__jblock *b = h->head;
        h->head = b->next;
        mica__free(b);
    }
    if (h->head) h->head->fill = mark.fill;
    h->used = mark.used;
}

void mica__jheap_release(mica__jheap *h)
{
    while (h->head) {
        mica__jblock *b = h->head;
        h->head = b->next;
        mica__free(b);
    }
    h->used = 0;
}
