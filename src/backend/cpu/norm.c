/* backend/cpu/norm.c: rms_norm and layer_norm over the last axis.
 *
 * A row is done by one member, its sums in eight lanes that are added in a fixed order, so that a row's result does not depend
 * on its neighbours. Layer norm takes the variance from the differences to the mean, not from E[x^2] - E[x]^2. */
#include "convert.h"
#include "dot.h"
#include "kernels.h"
#include "walk.h"

#include <math.h>

/* Rows of the input, weight and bias, and the length of a row. */
typedef struct rows {
    const mica__tensor *x, *weight, *bias, *out;
    int64_t length;
} rows;

static void load_part(const mica__tensor *t, int64_t offset, int64_t begin, int64_t count, mica__chunk *c)
{
    int64_t step = t->strides[t->ndim - 1];
    mica__load(MICA__CLASS_F32, c, mica__at(t, offset + begin * step), t->dtype, step, count);
}

/* Sum over the row of (x - shift), squared if `squared`. */
static float row_sum(const rows *r, int64_t offset, float shift, bool squared)
{
    float lane[MICA__LANES] = {0};
    for (int64_t i = 0; i < r->length; i += MICA__CHUNK) {
        mica__chunk c;
        int64_t count = mica__min(r->length - i, MICA__CHUNK);
        load_part(r->x, offset, i, count, &c);
        for (int64_t j = 0; j < count; j++) {
            float v = c.f32[j] - shift;
            lane[j % MICA__LANES] += squared ? v * v : v;
        }
    }
    return mica__sum_lanes(lane);
}

/* out = (x - shift) * factor * (weight + weight_offset) + bias */
static void write_row(const rows *r, int64_t offset, int64_t row, float shift, float factor, float weight_offset)
{
    for (int64_t i = 0; i < r->length; i += MICA__CHUNK) {
        mica__chunk c, w;
        int64_t count = mica__min(r->length - i, MICA__CHUNK);
        load_part(r->x, offset, i, count, &c);
        for (int64_t j = 0; j < count; j++) c.f32[j] = (c.f32[j] - shift) * factor;
        if (r->weight) {
            load_part(r->weight, 0, i, count, &w);
            for (int64_t j = 0; j < count; j++) c.f32[j] *= w.f32[j] + weight_offset;
        }
        if (r->bias) {
            load_part(r->bias, 0, i, count, &w);
            for (int64_t j = 0; j < count; j++) c.f32[j] += w.f32[j];
        }
        mica__store(MICA__CLASS_F32, &c, mica__at(r->out, row * r->length + i), r->out->dtype, 1, count);
    }
}

static void norm(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0];
    bool rms = instr->op == MICA__OP_RMS_NORM;
    bool weight = rms ? instr->n_in > 1 : instr->attrs.axis & 1, bias = !rms && instr->attrs.axis & 2;
    const rows r = {x, weight ? &instr->in[1] : NULL, bias ? &instr->in[weight ? 2 : 1] : NULL, &instr->out,
                    x->shape[x->ndim - 1]};
    const mica__tensor *operands[] = {x};
    mica__walk walk;
    mica__walk_init(&walk, operands, 1, 1, mica__rows(x, run));
    int64_t begin, end, at[MICA__WALK_MAX];
    mica__share(walk.total, 1, id, n, &begin, &end);
    mica__walk_range(&walk, begin, end);
    for (int64_t row = begin; mica__walk_next(&walk, 1, at) > 0; row++) {
        float length = (float)r.length;
        float mean = rms ? 0 : row_sum(&r, at[0], 0, false) / length;
        float square = row_sum(&r, at[0], mean, true) / length;
        float factor = 1.0f / sqrtf(square + (float)instr->attrs.value);
        write_row(&r, at[0], row, mean, factor, rms ? (float)instr->attrs.value2 : 0);
    }
}

bool mica__cpu_norm(mica__instr *instr, bool plain)
{
    (void)plain;
    return instr->in[0].ndim > 0 && mica__set_kernel(instr, norm);
}
