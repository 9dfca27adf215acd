/* models/weights.c: placing tensors in memory.
 *
 * Two passes over the list: the first decides for each tensor whether it stays in the file or how many bytes of the pool it takes, the second
 * fills the pool. Between them stands the check that the machine has that much memory. */
#include "weights.h"

#include "machine_memory.h"
#include "quantize_load.h"
#include "weight_list.h"
#include "weight_rows.h"
#include <stdio.h>

enum { ALIGN = 64 };

typedef enum place {
    IN_FILE,
    IN_FILE_QUANTIZED, /* MLX: codes, scales and biases in the file */
    MADE_F32,
    MADE_SAME,     /* copied: rows put back in order, strides undone, element type kept */
    MADE_EXPANDED, /* what has no exact form in groups, to the type that holds it well */
    MADE_AFFINE,   /* repacked from blocks */
    MADE_FLOATS,   /* the same in a mode of floats */
    MADE_QUANTIZED /* by us */
} place;

static place place_of(const mica__wanted *w)
{
    const mica__tensor_view *v = w->view;
    if (w->made.bits) return MADE_QUANTIZED;
    if (w->scales) return IN_FILE_QUANTIZED;
    if (w->q.bits) return w->q.mode == MICA_QUANT_AFFINE ? MADE_AFFINE : MADE_FLOATS;
    if (v->storage == MICA__STORAGE_PACKED) return MADE_EXPANDED;
    if (w->ndim == 1 || v->storage != MICA__STORAGE_PLAIN || v->dtype == MICA_DTYPE_F64) return MADE_F32;
    if (v->add != 0) return MADE_F32;
    return v->permuted_heads || v->strides ? MADE_SAME : IN_FILE;
}

static size_t elements_of(const mica__wanted *w)
{
    return (size_t)w->shape[0] * (w->ndim == 2 ? (size_t)w->shape[1] : 1);
}

static size_t rounded(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

/* Parts of an affine matrix in the pool. */
static size_t code_bytes(const mica__wanted *w) { return elements_of(w) * (size_t)w->q.bits / 8; }
static size_t scale_bytes(const mica__wanted *w)
{
    return elements_of(w) / (size_t)w->q.group_size * mica_dtype_size(mica__tensor_affine_dtype(w->view));
}

/* Sizes of all rows of what is quantized here. */
static mica__quantized_sizes made_sizes(const mica__wanted *w)
{
    mica__quantized_sizes sizes = mica__quantized_row_sizes(&w->made, w->shape[1], w->made_dtype);
    sizes.codes *= (size_t)w->shape[0];
    sizes.scales *= (size_t)w->shape[0];
    sizes.biases *= (size_t)w->shape[0];
    return sizes;
}

static size_t pool_share(const mica__wanted *w)
{
    mica__quantized_sizes made;
    switch (place_of(w)) {
    case MADE_QUANTIZED:
        made = made_sizes(w);
        return rounded(made.codes) + rounded(made.scales) + rounded(made.biases);
    case MADE_F32:
        return rounded(elements_of(w) * 4);
    case MADE_SAME:
        return rounded(elements_of(w) * mica_dtype_size(w->view->dtype));
    case MADE_EXPANDED:
        return rounded(elements_of(w) * mica_dtype_size(mica__tensor_plain_dtype(w->view)));
    case MADE_FLOATS:
        return rounded(code_bytes(w)) + rounded(elements_of(w) / (size_t)w->q.group_size);
    case MADE_AFFINE:
        return rounded(code_bytes(w)) + (mica__tensor_affine_symmetric(w->view) ? 1 : 2) * rounded(scale_bytes(w));
    default:
        return 0;
    }
}

static size_t file_bytes_of(const mica__wanted *w)
{
    return w->view->n_bytes + (w->scales ? w->scales->n_bytes : 0) + (w->biases ? w->biases->n_bytes : 0);
}

/* ---- figures --------------------------------------------------------------------------------------------------------------------- */

typedef struct tally {
    char name[48];
    uint64_t bytes;
} tally;

static void count_type(tally *types, size_t n, const mica__wanted *w, uint64_t bytes)
{
    char name[48];
    const mica__quantization *q = w->made.bits ? &w->made : &w->q;
    if (q->bits && q->mode != MICA_QUANT_AFFINE) {
        snprintf(name, sizeof name, "%s", mica__quant_mode_name(q->mode));
    } else if (q->bits) {
        snprintf(name, sizeof name, "affine %d-bit group %d", q->bits, q->group_size);
    } else {
        place p = place_of(w);
        mica_dtype dtype = p == MADE_F32 ? MICA_DTYPE_F32 : mica__tensor_plain_dtype(w->view);
        snprintf(name, sizeof name, "%s", mica_dtype_name(dtype));
    }
    for (size_t i = 0; i < n; i++) {
        if (types[i].bytes && strcmp(types[i].name, name)) continue;
        memcpy(types[i].name, name, sizeof name);
        types[i].bytes += bytes;
        return;
    }
}

static void count(mica__weights *out, const mica__weight_list *list)
{
    tally types[8] = {{{0}, 0}};
    for (size_t i = 0; i < list->n; i++) {
        const mica__wanted *w = &list->items[i];
        uint64_t held = pool_share(w) ? pool_share(w) : file_bytes_of(w);
        out->n_parameters += elements_of(w);
        out->held_bytes += held;
        out->file_bytes += file_bytes_of(w);
        out->pool_bytes += pool_share(w);
        /* Of an embedding that is not the head as well, a token reads one row. */
        out->read_bytes += w->target == &out->embedding && !out->tied ? held / (uint64_t)w->shape[0] : held;
        if (w->ndim == 2) count_type(types, 8, w, held);
    }
    size_t n = 0;
    for (;;) {
        tally *most = &types[0];
        for (size_t i = 1; i < 8; i++) {
            if (types[i].bytes > most->bytes) most = &types[i];
        }
        if (!most->bytes || n >= sizeof out->types) return;
        n += (size_t)snprintf(out->types + n, sizeof out->types - n, "%s%s", n ? " + " : "", most->name);
        most->bytes = 0;
    }
}

static mica_status check_memory(const mica__weights *w, const char *path, mica_error *err)
{
    uint64_t have = mica__machine_memory();
    if (!have || w->held_bytes <= have) return MICA_OK;
    return mica__fail(err, MICA_MEMORY, "%s: the weights need %llu MiB, this machine has %llu MiB", path,
                      (unsigned long long)(w->held_bytes >> 20), (unsigned long long)(have >> 20));
}

/* ---- filling ------------------------------------------------------------------------------------------------------------------------ */

/* Index of the first number that is not finite, n if all are. */
static size_t first_bad(const uint8_t *data, mica_dtype dtype, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t wide;
        uint16_t half;
        bool bad;
        if (dtype == MICA_DTYPE_U8) { /* NaN, as a power of two and as an 8-bit float */
            bad = data[i] == 0xff;
        } else if (dtype == MICA_DTYPE_F32) {
            memcpy(&wide, data + 4 * i, 4);
            bad = (wide & 0x7f800000u) == 0x7f800000u;
        } else {
            memcpy(&half, data + 2 * i, 2);
            uint16_t exponent = dtype == MICA_DTYPE_F16 ? 0x7c00 : 0x7f80;
            bad = (half & exponent) == exponent;
        }
        if (bad) return i;
    }
    return n;
}

static mica_status check_finite(const mica__wanted *w, const void *data, mica_dtype dtype, const char *what,
                                mica_error *err)
{
    size_t n = elements_of(w) / (size_t)w->q.group_size;
    size_t i = first_bad(data, dtype, n);
    if (i == n) return MICA_OK;
    return mica__fail(err, MICA_DATA, "tensor '%s': %s %zu is not finite", MICA_QUOTED_STR(w->view->name), what, i);
}

static mica_status use_quantized(const mica__wanted *w, mica__weight *out, mica_error *err)
{
    mica_dtype dtype = w->scales->dtype;
    bool known = dtype == MICA_DTYPE_F32 || dtype == MICA_DTYPE_F16 || dtype == MICA_DTYPE_BF16 ||
                 (w->q.mode != MICA_QUANT_AFFINE && dtype == MICA_DTYPE_U8);
    if (!known || w->scales->storage != MICA__STORAGE_PLAIN) {
        return mica__fail(err, MICA_UNSUPPORTED, "tensor '%s': scales of type %s are not supported",
                          MICA_QUOTED_STR(w->view->name), w->scales->type_name);
    }
    if (w->view->strides || w->scales->strides || (w->biases && w->biases->strides)) {
        return mica__fail(err, MICA_UNSUPPORTED,
                          "tensor '%s': a quantized matrix that is not row-major is not supported",
                          MICA_QUOTED_STR(w->view->name));
    }
    MICA_TRY(check_finite(w, w->scales->data, dtype, "scale", err));
    if (w->biases) MICA_TRY(check_finite(w, w->biases->data, dtype, "bias", err));
    out->dtype = dtype;
    out->data = w->view->data;
    out->scales = w->scales->data;
    out->biases = w->biases ? w->biases->data : NULL;
    return MICA_OK;
}

static mica_status make_affine(const mica__wanted *w, mica__weight *out, uint8_t *pool, mica_error *err)
{
    uint8_t *scales = pool + rounded(code_bytes(w));
    uint8_t *biases = mica__tensor_affine_symmetric(w->view) ? NULL : scales + rounded(scale_bytes(w));
    mica_dtype dtype = mica__tensor_affine_dtype(w->view);
    MICA_TRY(mica__tensor_read_affine(w->view, (uint32_t *)pool, scales, biases, err));
    MICA_TRY(check_finite(w, scales, dtype, "scale", err));
    if (biases) MICA_TRY(check_finite(w, biases, dtype, "bias", err));
    out->dtype = dtype;
    out->data = pool;
    out->scales = scales;
    out->biases = biases;
    return MICA_OK;
}

/* A few rows at a time. */
static mica_status expand(const mica__wanted *w, mica_dtype dtype, uint8_t *pool, mica_error *err)
{
    const size_t row_bytes = (size_t)w->shape[1] * mica_dtype_size(dtype);
    const int64_t rows = w->shape[1] < (1 << 18) ? (1 << 18) / w->shape[1] : 1;
    const size_t n = (size_t)(rows * w->shape[1]);
    const mica__row_scratch s = {mica__alloc(n, sizeof(float)), mica__alloc(n, sizeof(float))};
    mica_status status =
        s.floats && s.elements ? MICA_OK : mica__fail_memory(err, n * sizeof(float), "rows of a tensor");
    for (int64_t first = 0; first < w->shape[0] && !status; first += rows) {
        const int64_t count = w->shape[0] - first < rows ? w->shape[0] - first : rows;
        const void *elements;
        status = mica__wanted_rows(w, first, count, dtype, &s, &elements, err);
        if (!status) memcpy(pool + (size_t)first * row_bytes, elements, (size_t)count * row_bytes);
    }
    mica__free(s.floats);
    mica__free(s.elements);
    return status;
}

static mica_status make_quantized(mica__quantize_load *quantize, const mica__wanted *w, mica__weight *out,
                                  uint8_t *pool, mica_error *err)
{
    const mica__quantized_sizes sizes = made_sizes(w);
    uint8_t *scales = pool + rounded(sizes.codes), *biases = sizes.biases ? scales + rounded(sizes.scales) : NULL;
    out->q = w->made;
    out->dtype = mica__quantized_scale_dtype(&w->made, w->made_dtype);
    out->data = pool;
    out->scales = scales;
    out->biases = biases;
    return mica__quantize_load_fill(quantize, w, pool, scales, biases, err);
}

static mica_status fill(const mica__wanted *w, mica__quantize_load *quantize, uint8_t *pool, mica_error *err)
{
    mica__weight *out = w->target;
    *out = (mica__weight){.ndim = w->ndim, .shape = {w->shape[0], w->shape[1]}, .q = w->q};
    switch (place_of(w)) {
    case IN_FILE_QUANTIZED:
        return use_quantized(w, out, err);
    case MADE_AFFINE:
        return make_affine(w, out, pool, err);
    case MADE_QUANTIZED:
        return make_quantized(quantize, w, out, pool, err);
    case MADE_FLOATS:
        out->dtype = MICA_DTYPE_U8;
        out->data = pool;
        out->scales = pool + rounded(code_bytes(w));
        return mica__tensor_read_float_form(w->view, (uint32_t *)pool, pool + rounded(code_bytes(w)), err);
    case MADE_EXPANDED:
        out->dtype = mica__tensor_plain_dtype(w->view);
        out->data = pool;
        return expand(w, out->dtype, pool, err);
    case MADE_SAME:
        out->dtype = w->view->dtype;
        out->data = pool;
        return mica__tensor_read_plain(w->view, pool, err);
    case MADE_F32:
        out->dtype = MICA_DTYPE_F32;
        out->data = pool;
        return mica__tensor_read_f32(w->view, (float *)pool, err);
    default:
        out->dtype = w->view->dtype;
        out->data = w->view->data;
        return MICA_OK;
    }
}

static mica_status fill_all(mica__weights *out, const mica__weight_list *list, const mica__checkpoint *checkpoint,
                            mica__quantize_load *quantize, const mica_progress *progress, mica_error *err)
{
    uint8_t *pool = out->pool;
    uint64_t done = 0;
    for (size_t i = 0; i < list->n; i++) {
        const mica__wanted *w = &list->items[i];
        MICA_TRY(fill(w, quantize, pool, err));
        size_t share = pool_share(w);
        if (share && w->ndim == 2) mica__checkpoint_forget_tensor(checkpoint, w->view);
        pool += share;
        done += file_bytes_of(w);
        if (progress && progress->report &&
            !progress->report(progress->context, "load weights", done, out->file_bytes)) {
            return mica__fail(err, MICA_CANCELLED, "loading was cancelled");
        }
    }
    return mica__checkpoint_check(checkpoint, err);
}

static void notice_blocks(size_t n, const mica__wanted *first, const mica_notices *notices)
{
    char text[300];
    if (!n || !notices || !notices->notice) return;
    snprintf(text, sizeof text,
             "%zu matrices (%s) are held in 8-bit groups, which is not exact; with exact precision they are float32", n,
             first->view->type_name);
    notices->notice(notices->context, text);
}

static mica_status decide_all(const mica__quantize_load *quantize, mica__weight_list *list, const mica_notices *notices,
                              mica_error *err)
{
    const bool asked = quantize->policy.general.bits != 0;
    const mica__wanted *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        mica__quantize_load_decide(quantize, &list->items[i]);
        if (!list->items[i].made.bits) continue;
        if (!n++) first = &list->items[i];
    }
    if (!asked) notice_blocks(n, first, notices);
    if (n || !asked) return MICA_OK;
    return mica__fail(err, MICA_UNSUPPORTED, "no matrix of this model has columns in whole groups of %d",
                      quantize->policy.general.group_size);
}

/* Fills the pool from a list that was made. */
static mica_status load_list(mica__weights *out, mica__weight_list *list, const mica__checkpoint *checkpoint,
                             bool list_only, mica__quantize_load *quantize, const mica_progress *progress,
                             const mica_notices *notices, mica_error *err)
{
    if (quantize) MICA_TRY(decide_all(quantize, list, notices, err));
    count(out, list);
    if (list_only) return MICA_OK;
    MICA_TRY(check_memory(out, mica__checkpoint_path(checkpoint), err));
    if (out->pool_bytes) {
        out->pool = mica__pages_alloc(out->pool_bytes);
        if (!out->pool) return mica__fail_memory(err, out->pool_bytes, "weights");
        mica__pages_make_huge(out->pool, out->pool_bytes);
    }
    MICA_TRY(fill_all(out, list, checkpoint, quantize, progress, err));
    if (out->tied) out->head = out->embedding;
    return MICA_OK;
}

mica_status mica__weights_load(mica__weights *out, const mica__decoder_spec *s, const mica__checkpoint *checkpoint,
                               bool list_only, mica__quantize_load *quantize, const mica_progress *progress,
                               const mica_notices *notices, mica_error *err)
{
    *out = (mica__weights){0};
    out->layers = mica__calloc((size_t)s->n_layers, sizeof *out->layers);
    if (!out->layers) return mica__fail_memory(err, (size_t)s->n_layers * sizeof *out->layers, "table of weights");
    mica__weight_list list;
    mica_status status = mica__weight_list_make(&list, s, out, checkpoint, notices, err);
    if (!status) {
        status = load_list(out, &list, checkpoint, list_only, quantize, progress, notices, err);
        mica__weight_list_release(&list);
    }
    if (status) mica__weights_release(out);
    return status;
}

void mica__weights_release(mica__weights *w)
{
    if (w->pool) mica__pages_free(w->pool, w->pool_bytes);
    mica__free(w->layers);
    *w = (mica__weights){0};
}

mica_array *mica__weight_array(mica_graph *g, const mica__weight *w)
{
    if (!w->ndim) return NULL;
    if (!w->q.bits) return mica_from_memory(g, w->data, w->dtype, w->shape, w->ndim, NULL, NULL);
    const int64_t code_shape[] = {w->shape[0], w->shape[1] * w->q.bits / 32},
                  groups[] = {w->shape[0], w->shape[1] / w->q.group_size};
    mica_array *codes = mica_from_memory(g, w->data, MICA_DTYPE_U32, code_shape, 2, NULL, NULL),
               *scales = mica_from_memory(g, w->scales, w->dtype, groups, 2, NULL, NULL);
    if (w->q.mode != MICA_QUANT_AFFINE) return mica_quantized_float(g, w->q.mode, codes, scales);
    mica_array *biases = w->biases ? mica_from_memory(g, w->biases, w->dtype, groups, 2, NULL, NULL) : NULL;
    return mica_quantized(g, codes, scales, biases, w->q.group_size, w->q.bits);
}
