/* backend/cpu/softmax.c: softmax and cumulative sums over the last axis, a row by one member. */
#include "convert.h"
#include "dot.h"
#include "kernels.h"
#include "walk.h"

#include <math.h>

/* A row of the input and the place of its output. */
typedef struct row {
    const mica__tensor *x, *out;
    int64_t offset, number, length, step;
} row;

static int64_t load_part(const row *r, mica__class class, int64_t i, mica__chunk *c)
{
    int64_t count = mica__min(r->length - i, MICA__CHUNK);
    mica__load(class, c, mica__at(r->x, r->offset + i * r->step), r->x->dtype, r->step, count);
    return count;
}

static void store_part(const row *r, mica__class class, int64_t i, const mica__chunk *c, int64_t count)
{
    mica__store(class, c, mica__at(r->out, r->number * r->length + i), r->out->dtype, 1, count);
}

/* Three passes: the largest, the sum of exponentials, the quotients. */
static void softmax_row(const row *r)
{
    mica__chunk c;
    float top = -INFINITY, lane[MICA__LANES] = {0};
    for (int64_t i = 0; i < r->length; i += MICA__CHUNK) {
        int64_t count = load_part(r, MICA__CLASS_F32, i, &c);
        for (int64_t j = 0; j < count; j++)
            if (c.f32[j] > top || c.f32[j] != c.f32[j]) top = c.f32[j];
    }
    for (int64_t i = 0; i < r->length; i += MICA__CHUNK) {
        int64_t count = load_part(r, MICA__CLASS_F32, i, &c);
        for (int64_t j = 0; j < count; j++) lane[j % MICA__LANES] += expf(c.f32[j] - top);
    }
    float sum = mica__sum_lanes(lane);
    for (int64_t i = 0; i < r->length; i += MICA__CHUNK) {
        int64_t count = load_part(r, MICA__CLASS_F32, i, &c);
        for (int64_t j = 0; j < count; j++) c.f32[j] = expf(c.f32[j] - top) / sum;
        store_part(r, MICA__CLASS_F32, i, &c, count);
    }
}

#define RUNNING(member, type)                                                                                          \
    for (int64_t j = 0; j < count; j++) c.member[j] = (sum_##member += (type)c.member[j]);

static void cumsum_row(const row *r)
{
    mica__class class = mica__class_of(r->x->dtype);
    mica__chunk c;
    float sum_f32 = 0;
    double sum_f64 = 0;
    uint64_t sum_u64 = 0;
    for (int64_t i = 0; i < r->length; i += MICA__CHUNK) {
        int64_t count = load_part(r, class, i, &c);
        if (class == MICA__CLASS_F32) {
            RUNNING(f32, float)
        } else if (class == MICA__CLASS_F64) {
            RUNNING(f64, double)
        } else {
            RUNNING(u64, uint64_t)
        }
        store_part(r, class, i, &c, count);
    }
}

static void rows(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *operands[] = {x};
    int64_t count = mica__rows(x, run), begin, end, at[MICA__WALK_MAX];
    row r = {x, &instr->out, 0, 0, x->ndim == 1 ? count : x->shape[x->ndim - 1], x->strides[x->ndim - 1]};
    mica__walk walk;
    mica__walk_init(&walk, operands, 1, 1, count);
    mica__share(walk.total, r.length < 64 ? 64 : 1, id, n, &begin, &end);
    mica__walk_range(&walk, begin, end);
    for (r.number = begin; mica__walk_next(&walk, 1, at) > 0; r.number++) {
        r.offset = at[0];
        if (instr->op == MICA__OP_SOFTMAX) {
            softmax_row(&r);
        } else {
            cumsum_row(&r);
        }
    }
}

bool mica__cpu_softmax(mica__instr *instr, bool plain)
{
    (void)plain;
    return instr->in[0].ndim > 0 && mica__set_kernel(instr, rows);
}

bool mica__cpu_cumsum(mica__instr *instr, bool plain) { return mica__cpu_softmax(instr, plain); }
