/* array/buffer.c: reference-counted memory behind arrays. On the CPU one allocation or one mapped file, never a copy. */
#include "array.h"

static mica__buffer *new_buffer(mica__buffer init)
{
    mica__buffer *b = mica__alloc(1, sizeof *b);
    if (!b) return NULL;
    *b = init;
    atomic_init(&b->refs, 1);
    return b;
}

mica__buffer *mica__buffer_create(size_t n_bytes)
{
    void *data = mica__pages_alloc(n_bytes);
    mica__buffer *b = data ? new_buffer((mica__buffer){.data = data, .n_bytes = n_bytes}) : NULL;
    if (!b) mica__pages_free(data, n_bytes);
    return b;
}

mica__buffer *mica__buffer_borrow(const void *data, size_t n_bytes, void (*release)(void *), void *context)
{
    return new_buffer((mica__buffer){
        .data = (uint8_t *)data, .n_bytes = n_bytes, .release = release, .context = context, .borrowed = true});
}

mica__buffer *mica__buffer_retain(mica__buffer *b)
{
    if (b) atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void mica__buffer_drop(mica__buffer *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1) return;
    if (!b->borrowed) mica__pages_free(b->data, b->n_bytes);
    if (b->release) b->release(b->context);
    mica__free(b);
}
