/* backend/cpu/copy.c: copy, astype and concatenate: the same elements in another place, order or dtype.
 *
 * Between equal dtypes bits are moved, so NaN payloads survive; else an element goes through the computing type of its source.
 * The output of concatenate is a strided view of the whole, so both sides may have strides. */
#include "convert.h"
#include "kernels.h"
#include "walk.h"

/* Runs between shares: long enough that two members never write one cache line of a dense output. */
enum { UNIT = 64, RUN_MAX = 1 << 16 };

static void move(uint8_t *dst, int64_t dst_step, const uint8_t *src, int64_t src_step, size_t size, int64_t n)
{
#define MOVE_CASE(bytes)                                                                                               \
    case bytes:                                                                                                        \
        for (int64_t i = 0; i < n; i++) memcpy(dst + i * dst_step * bytes, src + i * src_step * bytes, bytes);         \
        break;
    if (dst_step == 1 && src_step == 1) {
        memcpy(dst, src, (size_t)n * size);
        return;
    }
    switch (size) {
        MOVE_CASE(1)
        MOVE_CASE(2)
        MOVE_CASE(4)
        MOVE_CASE(8)
    }
#undef MOVE_CASE
}

static void convert(void *dst, mica_dtype to, int64_t dst_step, const void *src, mica_dtype from, int64_t src_step,
                    int64_t n, bool fast)
{
    mica__class class = mica__class_of(from);
    for (int64_t i = 0; i < n; i += MICA__CHUNK) {
        mica__chunk x;
        int64_t count = mica__min(n - i, MICA__CHUNK);
        const uint8_t *s = (const uint8_t *)src + i * src_step * (int64_t)mica_dtype_size(from);
        uint8_t *d = (uint8_t *)dst + i * dst_step * (int64_t)mica_dtype_size(to);
#if MICA__VECTORS
        bool half_in = from == MICA_DTYPE_F16 || from == MICA_DTYPE_BF16,
             half_out = to == MICA_DTYPE_F16 || to == MICA_DTYPE_BF16;
        if (fast && half_in && src_step == 1) {
            mica__load_f32_fast(x.f32, s, from, count);
        } else {
            mica__load(class, &x, s, from, src_step, count);
        }
        if (fast && half_out && dst_step == 1 && class == MICA__CLASS_F32) {
            mica__store_f32_fast(x.f32, d, to, count);
            continue;
        }
#else
        (void)fast;
        mica__load(class, &x, s, from, src_step, count);
#endif
        mica__store(class, &x, d, to, dst_step, count);
    }
}

static void copy(const mica__instr *instr, const mica__run *run, int id, int n, bool fast)
{
    const mica__tensor *x = &instr->in[0], *out = &instr->out;
    const mica__tensor *operands[] = {x, out};
    mica__walk walk;
    mica__walk_init(&walk, operands, 2, 0, mica__rows(x, run));
    int64_t begin, end, at[MICA__WALK_MAX], count;
    mica__share(walk.total, UNIT, id, n, &begin, &end);
    mica__walk_range(&walk, begin, end);
    int64_t from = mica__walk_step(&walk, 0), to = mica__walk_step(&walk, 1);
    while ((count = mica__walk_next(&walk, RUN_MAX, at)) > 0) {
        const void *src = mica__at(x, at[0]);
        void *dst = mica__at(out, at[1]);
        if (x->dtype == out->dtype) {
            move(dst, to, src, from, mica_dtype_size(x->dtype), count);
        } else {
            convert(dst, out->dtype, to, src, x->dtype, from, count, fast);
        }
    }
}

static void copy_plain(const mica__instr *instr, const mica__run *run, int id, int n)
{
    copy(instr, run, id, n, false);
}
static void copy_fast(const mica__instr *instr, const mica__run *run, int id, int n) { copy(instr, run, id, n, true); }

bool mica__cpu_copy(mica__instr *instr, bool plain)
{
    return mica__set_kernel(instr, plain || !mica__has_vectors() ? copy_plain : copy_fast);
}
