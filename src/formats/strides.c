/* formats/strides.c: gathering the elements of a strided view.
 *
 * The output is written in order, one run along the last axis at a time. A transposed matrix is thereby read down its columns, whose cache
 * lines the next few rows of the output find again. */
#include "strides.h"

#define GATHER(bytes)                                                                                                  \
    for (size_t i = 0; i < n; i++) memcpy(out + i * (bytes), in + i * step, bytes);                                    \
    break

/* n elements of `size` bytes that lie `step` bytes apart; the constant sizes become single moves. */
static void copy_run(uint8_t *out, const uint8_t *in, size_t n, size_t step, size_t size)
{
    if (step == size) {
        memcpy(out, in, n * size);
        return;
    }
    switch (size) {
    case 1:
        GATHER(1);
    case 2:
        GATHER(2);
    case 4:
        GATHER(4);
    default:
        GATHER(8);
    }
}

#undef GATHER

void mica__tensor_gather(const mica__tensor_view *v, size_t first, size_t n, void *out)
{
    size_t size = mica_dtype_size(v->dtype), at[MICA_MAX_DIMS] = {0};
    int last = v->ndim - 1;
    uint8_t *p = out;
    for (int i = last; i >= 0 && first; i--) {
        at[i] = first % (size_t)v->shape[i];
        first /= (size_t)v->shape[i];
    }
    while (n) {
        size_t offset = 0, run = (size_t)v->shape[last] - at[last];
        for (int i = 0; i <= last; i++) offset += at[i] * (size_t)v->strides[i];
        if (run > n) run = n;
        copy_run(p, v->data + offset * size, run, (size_t)v->strides[last] * size, size);
        p += run * size;
        n -= run;
        at[last] += run;
        for (int i = last; i > 0 && at[i] == (size_t)v->shape[i]; i--) {
            at[i] = 0;
            at[i - 1]++;
        }
    }
}
