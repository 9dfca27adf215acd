/* backend/cpu/sort.c: sort and argsort over the last axis: stable, ascending, NaN last.
 *
 * Each element becomes an unsigned key in the same order, beside its index; a bottom-up merge sort orders the pairs in
 * the member's scratch memory. */
#include "convert.h"
#include "kernels.h"
#include "walk.h"

typedef struct pair {
    uint64_t key;
    int64_t index;
} pair;

/* Order of the bits of a double as an unsigned number; -0 equals 0 and NaN is the largest. */
static uint64_t key_of_double(double d)
{
    if (d != d) return UINT64_MAX;
    if (d == 0) d = 0;
    uint64_t u;
    memcpy(&u, &d, sizeof u);
    return u >> 63 ? ~u : u | (uint64_t)1 << 63;
}

static void load_pairs(pair *p, const mica__tensor *x, int64_t offset, int64_t length)
{
    mica__class class = mica__class_of(x->dtype) == MICA__CLASS_F32 ? MICA__CLASS_F64 : mica__class_of(x->dtype);
    int64_t step = x->strides[x->ndim - 1];
    for (int64_t i = 0; i < length; i += MICA__CHUNK) {
        mica__chunk c;
        int64_t count = mica__min(length - i, MICA__CHUNK);
        mica__load(class, &c, mica__at(x, offset + i * step), x->dtype, step, count);
        for (int64_t j = 0; j < count; j++) {
            uint64_t key = c.u64[j];
            if (class == MICA__CLASS_I64) key ^= (uint64_t)1 << 63;
            if (class == MICA__CLASS_F64) key = key_of_double(c.f64[j]);
            p[i + j] = (pair){key, i + j};
        }
    }
}

/* Sorts p [n] with the help of other [n]; returns which of the two holds the result. */
static pair *merge_sort(pair *p, pair *other, int64_t n)
{
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t from = 0; from < n; from += 2 * width) {
            int64_t middle = mica__min(from + width, n), end = mica__min(from + 2 * width, n), a = from, b = middle;
            for (int64_t i = from; i < end; i++)
                other[i] = a < middle && (b >= end || p[a].key <= p[b].key) ? p[a++] : p[b++];
        }
        pair *swap = p;
        p = other;
        other = swap;
    }
    return p;
}

static void sort(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *out = &instr->out, *operands[] = {x};
    int64_t rows = mica__rows(x, run), length = x->ndim == 1 ? rows : x->shape[x->ndim - 1];
    int64_t step = x->strides[x->ndim - 1], begin, end, at[MICA__WALK_MAX];
    size_t size = mica_dtype_size(x->dtype);
    pair *pairs = (pair *)(void *)mica__member_scratch(instr, run, id);
    mica__walk walk;
    mica__walk_init(&walk, operands, 1, 1, rows);
    mica__share(walk.total, length < 64 ? 64 : 1, id, n, &begin, &end);
    mica__walk_range(&walk, begin, end);
    for (int64_t row = begin; mica__walk_next(&walk, 1, at) > 0; row++) {
        load_pairs(pairs, x, at[0], length);
        const pair *sorted = merge_sort(pairs, pairs + length, length);
        for (int64_t i = 0; i < length; i++) {
            int32_t index = (int32_t)sorted[i].index;
            void *dst = mica__at(out, row * length + i);
            if (instr->op == MICA__OP_ARGSORT) {
                memcpy(dst, &index, sizeof index);
            } else {
                memcpy(dst, mica__at(x, at[0] + sorted[i].index * step), size);
            }
        }
    }
}

bool mica__cpu_sort(mica__instr *instr, bool plain)
{
    (void)plain;
    const mica__tensor *x = &instr->in[0];
    if (x->ndim == 0 || x->shape[x->ndim - 1] > INT32_MAX) return false;
    instr->member_scratch_bytes = mica__round64((size_t)x->shape[x->ndim - 1] * 2 * sizeof(pair));
    return mica__set_kernel(instr, sort);
}
