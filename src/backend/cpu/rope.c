/* backend/cpu/rope.c: rotary position embedding.
 *
 * Angles are position * inverse frequency in float, as Transformers computes them; cosines and sines are made once per
 * position and member and used for all of its heads. Elements past the rotated ones are copied. */
#include "convert.h"
#include "kernels.h"
#include "walk.h"

#include <math.h>

enum { HALF_MAX = 512 }; /* rotated pairs of a head */

static float load_float(const mica__tensor *t, int64_t offset)
{
    float f;
    memcpy(&f, mica__at(t, offset), sizeof f);
    return f;
}

/* cosine[half], sine[half] for position number t */
static void angles(const mica__instr *instr, int64_t t, float *cosine, float *sine, int64_t half)
{
    const mica__tensor *positions = &instr->in[1], *frequencies = &instr->in[2];
    int32_t position;
    memcpy(&position, mica__at(positions, t * positions->strides[0]), sizeof position);
    for (int64_t i = 0; i < half; i++) {
        float angle = (float)position * load_float(frequencies, i * frequencies->strides[0]);
        cosine[i] = cosf(angle) * (float)instr->attrs.value;
        sine[i] = sinf(angle) * (float)instr->attrs.value;
    }
}

static void rope(const mica__instr *instr, const mica__run *run, int id, int n)
{
    const mica__tensor *x = &instr->in[0], *out = &instr->out;
    int64_t heads = x->shape[1], dim = x->shape[2], half = instr->in[2].shape[0], begin, end, current = -1;
    bool interleaved = instr->attrs.flag;
    float cosine[HALF_MAX], sine[HALF_MAX];
    mica__share(mica__rows(x, run) * heads, 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        int64_t t = item / heads, head = item % heads, step = x->strides[2];
        if (t != current) angles(instr, t, cosine, sine, half);
        current = t;
        int64_t from = t * x->strides[0] + head * x->strides[1];
        uint8_t *dst = mica__at(out, item * dim);
        for (int64_t i = 0; i < half; i++) {
            int64_t first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + half;
            float a = load_float(x, from + first * step), b = load_float(x, from + second * step);
            float ra = a * cosine[i] - b * sine[i], rb = b * cosine[i] + a * sine[i];
            memcpy(dst + 4 * first, &ra, 4);
            memcpy(dst + 4 * second, &rb, 4);
        }
        for (int64_t i = 2 * half; i < dim; i++) memcpy(dst + 4 * i, mica__at(x, from + i * step), 4);
    }
}

bool mica__cpu_rope(mica__instr *instr, bool plain)
{
    (void)plain;
    const mica__tensor *x = &instr->in[0];
    int64_t half = instr->in[2].shape[0];
    bool fits = x->ndim == 3 && x->dtype == MICA_DTYPE_F32 && half <= HALF_MAX && 2 * half <= x->shape[2];
    return fits && instr->in[1].dtype == MICA_DTYPE_I32 && mica__set_kernel(instr, rope);
}
