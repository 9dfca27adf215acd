/* models/weight_rows.c: reading rows in a type of the caller's. */
#include "weight_rows.h"

#include "base/half.h"

void mica__floats_store(const float *in, size_t n, mica_dtype dtype, void *out)
{
    uint16_t *half = out;
    switch (dtype) {
    case MICA_DTYPE_BF16:
        for (size_t i = 0; i < n; i++) half[i] = mica__to_bf16(in[i]);
        break;
    case MICA_DTYPE_F16:
        for (size_t i = 0; i < n; i++) half[i] = mica__to_f16(in[i]);
        break;
    default:
        memcpy(out, in, n * sizeof *in);
    }
}

void mica__floats_load(const void *in, size_t n, mica_dtype dtype, float *out)
{
    const uint8_t *bytes = in;
    uint16_t half;
    switch (dtype) {
    case MICA_DTYPE_BF16:
    case MICA_DTYPE_F16:
        for (size_t i = 0; i < n; i++) {
            memcpy(&half, bytes + 2 * i, sizeof half);
            out[i] = dtype == MICA_DTYPE_BF16 ? mica__from_bf16(half) : mica__from_f16(half);
        }
        break;
    default:
        memcpy(out, in, n * sizeof *out);
    }
}

bool mica__floats_finite(const void *in, size_t n, mica_dtype dtype)
{
    const uint8_t *bytes = in;
    unsigned bad = 0;
    if (dtype == MICA_DTYPE_F32) {
        for (size_t i = 0; i < n; i++) {
            uint32_t word;
            memcpy(&word, bytes + 4 * i, sizeof word);
            bad |= (word & 0x7f800000u) == 0x7f800000u;
        }
        return !bad;
    }
    const unsigned exponent = dtype == MICA_DTYPE_F16 ? 0x7c00 : 0x7f80;
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, bytes + 2 * i, sizeof half);
        bad |= (half & exponent) == exponent;
    }
    return !bad;
}

bool mica__wanted_quantized(const mica__wanted *w, mica__quantized *out)
{
    if (!w->scales) return false;
    *out = (mica__quantized){
        .q = w->q,
        .dtype = w->scales->dtype,
        .n_rows = w->shape[0],
        .n_columns = w->shape[1],
        .codes = w->view->data,
        .scales = w->scales->data,
        .biases = w->biases ? w->biases->data : NULL,
    };
    return true;
}

mica_dtype mica__wanted_dtype(const mica__wanted *w)
{
    mica__quantized q;
    if (mica__wanted_quantized(w, &q)) return q.q.mode == MICA_QUANT_AFFINE ? q.dtype : MICA_DTYPE_BF16;
    if (w->view->storage == MICA__STORAGE_PACKED) return mica__tensor_plain_dtype(w->view);
    if (w->view->storage != MICA__STORAGE_PLAIN) return MICA_DTYPE_F16;
    mica_dtype dtype = w->view->dtype;
    return dtype == MICA_DTYPE_F16 || dtype == MICA_DTYPE_BF16 ? dtype : MICA_DTYPE_F32;
}

bool mica__conversion_dtype(const mica__config *c, mica_dtype *out)
{
    static const mica_dtype floats[] = {MICA_DTYPE_F32, MICA_DTYPE_F16, MICA_DTYPE_BF16};
    mica__str name;
    if (!mica__json_string(mica__json_get(c->root, "torch_dtype"), &name) &&
        !mica__json_string(mica__json_get(mica__json_get(c->root, "text_config"), "dtype"), &name))
        return false;
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        if (!mica__str_is(name, mica_dtype_name(floats[i]))) continue;
        *out = floats[i];
        return true;
    }
    return false;
}

/* True if the rows lie in the file just as they are wanted. */
static bool lies_ready(const mica__tensor_view *v, mica_dtype dtype)
{
    return v->storage == MICA__STORAGE_PLAIN && v->dtype == dtype && v->add == 0 && !v->permuted_heads && !v->strides;
}

mica_status mica__wanted_rows(const mica__wanted *w, int64_t first, int64_t n, mica_dtype dtype,
                              const mica__row_scratch *s, const void **out, mica_error *err)
{
    const size_t n_elements = (size_t)n * (size_t)(w->ndim == 2 ? w->shape[1] : w->shape[0]);
    mica__quantized packed;
    *out = s->elements;
    if (mica__wanted_quantized(w, &packed)) {
        mica_dtype made = packed.q.mode == MICA_QUANT_AFFINE ? packed.dtype : dtype;
        mica__dequantize_rows(&packed, first, n, s->elements, made);
        if (made == dtype) return MICA_OK;
        mica__floats_load(s->elements, n_elements, made, s->floats);
        mica__floats_store(s->floats, n_elements, dtype, s->elements);
        return MICA_OK;
    }
    mica__tensor_view rows = mica__tensor_rows(w->view, first, n);
    if (lies_ready(w->view, dtype)) {
        *out = rows.data;
        return MICA_OK;
    }
    MICA_TRY(mica__tensor_read_f32(&rows, s->floats, err));
    mica__floats_store(s->floats, n_elements, dtype, s->elements);
    return MICA_OK;
}
