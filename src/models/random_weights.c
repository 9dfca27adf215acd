/* models/random_weights.c: weights that are random numbers.
 *
 * Elements of a matrix have magnitudes near 1 / sqrt(columns), so that activations keep their size from layer to layer as in a trained
 * model; norms are 1, biases 0. Floats take their sign and mantissa from random bits under one exponent; codes are random bits. */
#include "random_weights.h"

#include "base/memory.h"
#include "machine_memory.h"
#include "weight_list.h"
#include <math.h>
#include <stdio.h>

enum { ALIGN = 64 };

typedef struct type {
    mica_dtype dtype; /* of elements, or of scales */
    int bits, group_size;
} type;

static mica_status parse_type(type *out, const char *text, mica_error *err)
{
    static const mica_dtype floats[] = {MICA_DTYPE_F32, MICA_DTYPE_F16, MICA_DTYPE_BF16};
    for (int i = 0; i < 3; i++) {
        *out = (type){floats[i], 0, 0};
        if (strcmp(text, mica_dtype_name(floats[i])) == 0) return MICA_OK;
    }
    char again[32];
    *out = (type){.dtype = MICA_DTYPE_BF16};
    if (sscanf(text, "affine-%2d-%3d", &out->bits, &out->group_size) == 2) {
        const int b = out->bits, g = out->group_size;
        snprintf(again, sizeof again, "affine-%d-%d", b, g);
        if (strcmp(text, again) == 0 && b >= 2 && b <= 8 && b != 7 && (g == 32 || g == 64 || g == 128)) return MICA_OK;
    }
    return mica__fail(err, MICA_INVALID,
                      "random weights of type '%s': known are float32, float16, bfloat16 and affine-BITS-GROUP",
                      MICA_QUOTED(text, strlen(text)));
}

static size_t rounded(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

/* What the tensor is made as, and its bytes in the pool. */
static type type_of(const mica__wanted *w, const type *wish)
{
    if (w->ndim == 1) return (type){MICA_DTYPE_F32, 0, 0};
    if (wish->bits && w->shape[1] % wish->group_size) return (type){MICA_DTYPE_BF16, 0, 0};
    return *wish;
}

static size_t elements_of(const mica__wanted *w)
{
    return (size_t)w->shape[0] * (w->ndim == 2 ? (size_t)w->shape[1] : 1);
}

static size_t scale_bytes(const mica__wanted *w, const type *t)
{
    return elements_of(w) / (size_t)t->group_size * mica_dtype_size(t->dtype);
}

static size_t bytes_of(const mica__wanted *w, const type *t)
{
    if (!t->bits) return rounded(elements_of(w) * mica_dtype_size(t->dtype));
    return rounded(elements_of(w) * (size_t)t->bits / 8) + 2 * rounded(scale_bytes(w, t));
}

/* ---- filling --------------------------------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* Random bits where the mask has ones, the pattern elsewhere. n_bytes is a multiple of 8. */
static void fill_bits(void *to, size_t n_bytes, uint64_t mask, uint64_t pattern, uint64_t *state)
{
    uint64_t *words = to;
    for (size_t i = 0; i < n_bytes / 8; i++) words[i] = (next_random(state) & mask) | pattern;
}

/* Signs and mantissas at random, magnitudes from 2^exponent to twice that. */
static void fill_floats(void *to, size_t n_bytes, mica_dtype dtype, int exponent, uint64_t *state)
{
    if (dtype == MICA_DTYPE_F32)
        fill_bits(to, n_bytes, 0x807fffff807fffffu, (uint64_t)(exponent + 127) << 23 | (uint64_t)(exponent + 127) << 55,
                  state);
    else if (dtype == MICA_DTYPE_BF16)
        fill_bits(to, n_bytes, 0x807f807f807f807fu,
                  (uint64_t)(exponent + 127) << 7 | (uint64_t)(exponent + 127) << 23 |
                      (uint64_t)(exponent + 127) << 39 | (uint64_t)(exponent + 127) << 55,
                  state);
    else
        fill_bits(to, n_bytes, 0x83ff83ff83ff83ffu,
                  (uint64_t)(exponent + 15) << 10 | (uint64_t)(exponent + 15) << 26 | (uint64_t)(exponent + 15) << 42 |
                      (uint64_t)(exponent + 15) << 58,
                  state);
}

static void fill(const mica__wanted *w, const type *t, uint8_t *pool, uint64_t *state)
{
    mica__weight *out = w->target;
    *out = (mica__weight){.ndim = w->ndim,
                          .shape = {w->shape[0], w->shape[1]},
                          .dtype = t->dtype,
                          .q = {.bits = t->bits, .group_size = t->group_size},
                          .data = pool};
    if (w->ndim == 1) {
        const size_t n = strlen(w->name);
        const bool is_bias = n > 5 && strcmp(w->name + n - 5, ".bias") == 0;
        for (int64_t i = 0; i < w->shape[0]; i++) ((float *)(void *)pool)[i] = is_bias ? 0 : 1;
        return;
    }
    const int exponent = -(int)ceil(log2((double)w->shape[1]) / 2);
    if (!t->bits) {
        fill_floats(pool, bytes_of(w, t), t->dtype, exponent, state);
        return;
    }
    /* The scale 2^(exponent + 2 - bits), which spreads the codes over [-2, 2) times 2^exponent, and the bias in the middle. */
    const size_t codes = rounded(elements_of(w) * (size_t)t->bits / 8), factors = rounded(scale_bytes(w, t));
    const uint64_t scale = (uint64_t)(exponent + 2 - t->bits + 127) << 7,
                   bias = 0x8000u | (uint64_t)(exponent + 1 + 127) << 7;
    fill_bits(pool, codes, ~(uint64_t)0, 0, state);
    fill_bits(pool + codes, factors, 0, scale * 0x0001000100010001u, state);
    fill_bits(pool + codes + factors, factors, 0, bias * 0x0001000100010001u, state);
    out->scales = pool + codes;
    out->biases = pool + codes + factors;
}

/* ---- the whole --------------------------------------------------------------------------------------------------------------- */

static void count(mica__weights *out, const mica__weight_list *list, const type *wish)
{
    for (size_t i = 0; i < list->n; i++) {
        const mica__wanted *w = &list->items[i];
        const type t = type_of(w, wish);
        const uint64_t bytes = bytes_of(w, &t);
        out->n_parameters += elements_of(w);
        out->pool_bytes += bytes;
        out->read_bytes += w->target == &out->embedding && !out->tied ? bytes / (uint64_t)w->shape[0] : bytes;
    }
    out->held_bytes = out->pool_bytes;
    if (wish->bits)
        snprintf(out->types, sizeof out->types, "random affine %d-bit group %d", wish->bits, wish->group_size);
    else
        snprintf(out->types, sizeof out->types, "random %s", mica_dtype_name(wish->dtype));
}

static mica_status make(mica__weights *out, const mica__weight_list *list, const type *wish, mica_error *err)
{
    const uint64_t have = mica__machine_memory();
    count(out, list, wish);
    if (have && out->held_bytes > have)
        return mica__fail(err, MICA_MEMORY, "the weights need %llu MiB, this machine has %llu MiB",
                          (unsigned long long)(out->held_bytes >> 20), (unsigned long long)(have >> 20));
    out->pool = mica__pages_alloc(out->pool_bytes);
    if (!out->pool) return mica__fail_memory(err, out->pool_bytes, "weights");
    mica__pages_make_huge(out->pool, out->pool_bytes);
    uint8_t *pool = out->pool;
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < list->n; i++) {
        const type t = type_of(&list->items[i], wish);
        fill(&list->items[i], &t, pool, &state);
        pool += bytes_of(&list->items[i], &t);
    }
    if (out->tied) out->head = out->embedding;
    return MICA_OK;
}

mica_status mica__weights_random(mica__weights *out, const mica__decoder_spec *s, const char *name, mica_error *err)
{
    type wish;
    mica__weight_list list;
    *out = (mica__weights){0};
    MICA_TRY(parse_type(&wish, name, err));
    out->layers = mica__calloc((size_t)s->n_layers, sizeof *out->layers);
    if (!out->layers) return mica__fail_memory(err, (size_t)s->n_layers * sizeof *out->layers, "table of weights");
    mica_status status = mica__weight_list_describe(&list, s, out, err);
    if (!status) {
        status = make(out, &list, &wish, err);
        mica__weight_list_release(&list);
    }
    if (status) mica__weights_release(out);
    return status;
}
