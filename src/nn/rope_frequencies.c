/* nn/rope_frequencies.c: formulas of the rotary kinds.
 *
 * Exponents and plain frequencies are rounded to float as the reference framework rounds them: at position 100,000 a
 * difference in the last bit of a frequency is visible in the angle. */
#include "rope_frequencies.h"

#include "base/memory.h"
#include <math.h>

#define PI 3.14159265358979323846

static const char *const type_names[MICA__ROPE_N_TYPES] = {"default",  "linear", "dynamic",     "yarn",
                                                           "longrope", "llama3", "proportional"};

const char *mica__rope_type_name(mica__rope_type type) { return type < MICA__ROPE_N_TYPES ? type_names[type] : NULL; }

bool mica__rope_is_dynamic(const mica__rope *r)
{
    return r->type == MICA__ROPE_DYNAMIC || r->type == MICA__ROPE_LONGROPE;
}

int64_t mica__rope_short_length(const mica__rope *r)
{
    return r->type == MICA__ROPE_LONGROPE ? r->original_length : r->max_length;
}

int64_t mica__rope_effective_length(const mica__rope *r, int64_t length, int64_t *longest)
{
    if (r->type != MICA__ROPE_DYNAMIC) return length;
    if (*longest < r->max_length || length < r->max_length) *longest = r->max_length;
    if (length > *longest) *longest = length;
    return *longest;
}

/* theta^(2i / width) */
static float power(double theta, int i, int width)
{
    float exponent = (float)(2 * i) / (float)width;
    return (float)pow((double)(float)theta, (double)exponent);
}

static double factor_of(const mica__rope *r)
{
    if (r->factor > 0) return r->factor;
    return (double)r->max_length / (double)r->original_length;
}

static void plain(double theta, int dims, double divisor, float *out)
{
    for (int i = 0; i < dims / 2; i++) out[i] = 1.0f / power(theta, i, dims) / (float)divisor;
}

static void dynamic_ntk(const mica__rope *r, int64_t length, float *out)
{
    double base = r->theta;
    double longer = (double)length / (double)r->max_length;
    if (longer > 1 && r->dims > 2) {
        base *= pow(r->factor * longer - (r->factor - 1), (double)r->dims / (double)(r->dims - 2));
    }
    plain(base, r->dims, 1, out);
}

/* The (fractional) pair that turns `rotations` times within the original length. */
static double yarn_pair(const mica__rope *r, double rotations)
{
    return r->dims * log((double)r->original_length / (rotations * 2 * PI)) / (2 * log(r->theta));
}

static void yarn(const mica__rope *r, float *out)
{
    double low = yarn_pair(r, r->beta_fast), high = yarn_pair(r, r->beta_slow);
    if (r->truncate) low = floor(low), high = ceil(high);
    low = fmax(low, 0), high = fmin(high, r->dims - 1);
    if (low == high) high += 0.001;
    double factor = factor_of(r);
    for (int i = 0; i < r->dims / 2; i++) {
        float p = power(r->theta, i, r->dims);
        float ramp = (float)fmin(fmax((i - low) / (high - low), 0), 1);
        out[i] = 1.0f / ((float)factor * p) * ramp + 1.0f / p * (1 - ramp);
    }
}

static double yarn_magnitude(double factor, double m) { return factor <= 1 ? 1 : 0.1 * m * log(factor) + 1; }

static void llama3(const mica__rope *r, float *out)
{
    float original = (float)r->original_length;
    float low = (float)r->low_freq_factor, high = (float)r->high_freq_factor, factor = (float)r->factor;
    for (int i = 0; i < r->dims / 2; i++) {
        float f = 1.0f / power(r->theta, i, r->dims);
        float wavelength = (float)(2 * PI) / f;
        if (wavelength > original / low) {
            f /= factor;
        } else if (wavelength >= original / high) {
            float smooth = (original / wavelength - low) / (high - low);
            f = (1 - smooth) * f / factor + smooth * f;
        }
        out[i] = f;
    }
}

static void proportional(const mica__rope *r, float *out)
{
    int turning = (int)(r->share * r->dims / 2);
    for (int i = 0; i < r->dims / 2; i++) {
        out[i] = i < turning ? 1.0f / power(r->theta, i, r->dims) / (float)(r->factor > 0 ? r->factor : 1) : 0.0f;
    }
}

void mica__rope_frequencies(const mica__rope *r, int64_t length, float *out)
{
    switch (r->type) {
    case MICA__ROPE_LINEAR:
        plain(r->theta, r->dims, r->factor, out);
        return;
    case MICA__ROPE_DYNAMIC:
        dynamic_ntk(r, length, out);
        return;
    case MICA__ROPE_YARN:
        yarn(r, out);
        return;
    case MICA__ROPE_LLAMA3:
        llama3(r, out);
        return;
    case MICA__ROPE_PROPORTIONAL:
        proportional(r, out);
        return;
    case MICA__ROPE_LONGROPE: {
        const float *ext = length > r->original_length ? r->long_factors : r->short_factors;
        for (int i = 0; i < r->dims / 2; i++) out[i] = 1.0f / (ext[i] * power(r->theta, i, r->dims));
        return;
    }
    default:
        plain(r->theta, r->dims, 1, out);
        return;
    }
}

float mica__rope_scale(const mica__rope *r)
{
    if (r->type != MICA__ROPE_YARN && r->type != MICA__ROPE_LONGROPE) return 1;
    if (r->attention_factor >= 0) return (float)r->attention_factor;
    double factor = factor_of(r);
    if (r->type == MICA__ROPE_LONGROPE) {
        return factor <= 1 ? 1 : (float)sqrt(1 + log(factor) / log((double)r->original_length));
    }
    if (r->mscale != 0 && r->mscale_all_dim != 0) {
        return (float)(yarn_magnitude(factor, r->mscale) / yarn_magnitude(factor, r->mscale_all_dim));
    }
    return (float)yarn_magnitude(factor, 1);
}

mica_status mica__rope_check(const mica__rope *r, const char *where, mica_error *err)
{
    float *f = mica__alloc((size_t)r->dims / 2, sizeof *f);
    if (!f) return mica__fail_memory(err, (size_t)r->dims * 2, "rope frequencies");
    bool good = isfinite(mica__rope_scale(r));
    if (r->type == MICA__ROPE_YARN)
        good = good && isfinite(yarn_pair(r, r->beta_fast)) && isfinite(yarn_pair(r, r->beta_slow));
    const int64_t lengths[] = {0, r->max_length, r->max_length * 2};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        mica__rope_frequencies(r, lengths[k], f);
        for (int i = 0; i < r->dims / 2; i++) good = good && isfinite(f[i]);
    }
    mica__free(f);
    if (good) return MICA_OK;
    return mica__fail(err, MICA_DATA,
                      "config.json: %s: its numbers give frequencies that are not finite (type %s, rope_theta %g)",
                      where, mica__rope_type_name(r->type), r->theta);
}
