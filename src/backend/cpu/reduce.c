/* backend/cpu/reduce.c: reductions over the last axis.
 *
 * One output is made by one member. Sums go by blocks of 256 elements, in eight lanes within a block, so that they do not depend on the
 * share and round less than one long chain. */
#include "convert.h"
#include "dot.h"
#include "kernels.h"
#include "walk.h"

#include <math.h>

/* Where a reduction of one row stands. */
typedef struct state {
    union {
        float f32;
        double f64;
        int64_t i64;
        uint64_t u64;
    } value;
    float scale; /* logsumexp: sum of exp(x - value) */
    int64_t index;
} state;

static float sum_f32(const float *x, int64_t n)
{
    float lane[MICA__LANES] = {0};
    int64_t i = 0;
    for (; i + MICA__LANES <= n; i += MICA__LANES)
        for (int j = 0; j < MICA__LANES; j++) lane[j] += x[i + j];
    for (; i < n; i++) lane[i % MICA__LANES] += x[i];
    return mica__sum_lanes(lane);
}

static void start(state *s, mica__op op, mica__class class)
{
    *s = (state){0};
    bool one = op == MICA__OP_PROD || op == MICA__OP_ALL;
    if (class == MICA__CLASS_F32) s->value.f32 = one ? 1 : 0;
    if (class == MICA__CLASS_F64) s->value.f64 = one ? 1 : 0;
    if (class == MICA__CLASS_I64) s->value.i64 = one;
    if (class == MICA__CLASS_U64) s->value.u64 = one;
    if (op == MICA__OP_LOGSUMEXP) s->value.f32 = -INFINITY;
    s->index = -1;
}

/* The first element, or one that beats the best so far; NaN beats all, as in NumPy. */
#define EXTREME(member, better)                                                                                        \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
        __typeof__(x->member[0]) v = x->member[i], best = s->value.member;                                             \
        if (s->index < 0 || (best == best && (v better best || v != v))) {                                             \
            s->value.member = v;                                                                                       \
            s->index = at + i;                                                                                         \
        }                                                                                                              \
    }
#define EACH(member, statement)                                                                                        \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
        __typeof__(x->member[0]) v = x->member[i];                                                                     \
        statement;                                                                                                     \
    }
#define BY_OP(member, SUM)                                                                                             \
    switch (op) {                                                                                                      \
    case MICA__OP_SUM:                                                                                                 \
    case MICA__OP_MEAN:                                                                                                \
        SUM;                                                                                                           \
        break;                                                                                                         \
    case MICA__OP_PROD:                                                                                                \
        EACH(member, s->value.member *= v) break;                                                                      \
    case MICA__OP_ALL:                                                                                                 \
        EACH(member, s->value.member = s->value.member != 0 && v != 0) break;                                          \
    case MICA__OP_ANY:                                                                                                 \
        EACH(member, s->value.member = s->value.member != 0 || v != 0) break;                                          \
    case MICA__OP_MIN:                                                                                                 \
    case MICA__OP_ARGMIN:                                                                                              \
        EXTREME(member, <) break;                                                                                      \
    default:                                                                                                           \
        EXTREME(member, >) break;                                                                                      \
    }

/* Elements [at, at + n) of the row. Signed integers wrap through the unsigned type. */
static void advance(state *s, mica__op op, mica__class class, const mica__chunk *x, int64_t at, int64_t n)
{
    switch (class) {
    case MICA__CLASS_F32:
        BY_OP(f32, s->value.f32 += sum_f32(x->f32, n)) break;
    case MICA__CLASS_F64:
        BY_OP(f64, EACH(f64, s->value.f64 += v)) break;
    case MICA__CLASS_I64:
        if (op == MICA__OP_SUM || op == MICA__OP_MEAN || op == MICA__OP_PROD) {
            BY_OP(u64, EACH(u64, s->value.u64 += v))
        } else {
            BY_OP(i64, (void)0)
        }
        break;
    case MICA__CLASS_U64:
        BY_OP(u64, EACH(u64, s->value.u64 += v)) break;
    }
}

static void advance_logsumexp(state *s, const mica__chunk *x, int64_t n)
{
    float top = s->value.f32, e[MICA__CHUNK];
    for (int64_t i = 0; i < n; i++)
        if (x->f32[i] > top || x->f32[i] != x->f32[i]) top = x->f32[i];
    if (top == -INFINITY) return;
    for (int64_t i = 0; i < n; i++) e[i] = top == INFINITY && x->f32[i] == INFINITY ? 1 : expf(x->f32[i] - top);
    float carried = s->value.f32 == top ? s->scale : s->scale * expf(s->value.f32 - top);
    s->scale = carried + sum_f32(e, n);
    s->value.f32 = top;
}

/* The result as a one-element run and its class. */
static mica__class finish(const state *s, mica__op op, mica__class class, int64_t length, mica__chunk *result)
{
    if (op == MICA__OP_ARGMAX || op == MICA__OP_ARGMIN) {
        result->i64[0] = s->index;
        return MICA__CLASS_I64;
    }
    if (op == MICA__OP_LOGSUMEXP) {
        result->f32[0] = s->value.f32 == -INFINITY ? -INFINITY : s->value.f32 + logf(s->scale);
        return MICA__CLASS_F32;
    }
    result->u64[0] = s->value.u64;
    if (class == MICA__CLASS_F32) result->f32[0] = op == MICA__OP_MEAN ? s->value.f32 / (float)length : s->value.f32;
    if (class == MICA__CLASS_F64 && op == MICA__OP_MEAN) result->f64[0] = s->value.f64 / (double)length;
    if (class >= MICA__CLASS_I64 && op == MICA__OP_MEAN) {
        double sum = class == MICA__CLASS_I64 ? (double)s->value.i64 : (double)s->value.u64;
        result->f64[0] = sum / (double)length;
        return MICA__CLASS_F64;
    }
    return class;
}

static void reduce(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *out = &instr->out, *operands[] = {x};
    mica__op op = instr->op;
    mica__class class = op == MICA__OP_LOGSUMEXP ? MICA__CLASS_F32 : mica__class_of(x->dtype);
    int64_t rows = mica__rows(x, run), length = x->ndim == 1 ? rows : x->shape[x->ndim - 1];
    int64_t step = x->strides[x->ndim - 1], begin, end, at[MICA__WALK_MAX];
    mica__walk walk;
    mica__walk_init(&walk, operands, 1, 1, rows);
    mica__share(walk.total, walk.total < 64 * n ? 1 : 64, id, n, &begin, &end);
    mica__walk_range(&walk, begin, end);
    for (int64_t row = begin; mica__walk_next(&walk, 1, at) > 0; row++) {
        mica__chunk part;
        state s;
        start(&s, op, class);
        for (int64_t i = 0; i < length; i += MICA__CHUNK) {
            int64_t count = mica__min(length - i, MICA__CHUNK);
            mica__load(class, &part, mica__at(x, at[0] + i * step), x->dtype, step, count);
            if (op == MICA__OP_LOGSUMEXP) {
                advance_logsumexp(&s, &part, count);
            } else {
                advance(&s, op, class, &part, i, count);
            }
        }
        mica__store(finish(&s, op, class, length, &part), &part, mica__at(out, row), out->dtype, 1, 1);
    }
}

bool mica__cpu_reduce(mica__instr *instr, bool plain)
{
    (void)plain;
    return instr->in[0].ndim > 0 && mica__set_kernel(instr, reduce);
}
