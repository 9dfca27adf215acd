/* backend/cpu/attention_kinds.h: from the type of a cache to the loops for it. For the end of a file that defines, for one instruction set (TARGET: what its functions
 * are declared with), rows_at_once, WITH_ROWS, which calls a macro with that many rows, score_floats, and such macros: CODES_8, CODES_4 for scores,
 * VALUES_F32 .. VALUES_4 for values. */
#define FLOATS_F32(R, B) score_floats(MICA_DTYPE_F32, R, B, s, stride, q->q + r * q->dim, keys)
#define FLOATS_F16(R, B) score_floats(MICA_DTYPE_F16, R, B, s, stride, q->q + r * q->dim, keys)
#define FLOATS_BF16(R, B) score_floats(MICA_DTYPE_BF16, R, B, s, stride, q->q + r * q->dim, keys)

#define SCORES_OF(name, CALL)                                                                                          \
    TARGET static void name(float *s, int64_t stride, const mica__queries *q, const mica__kv *keys)                    \
    {                                                                                                                  \
        for (int64_t r = 0, left = q->rows; left > 0;) {                                                               \
            const int64_t done = rows_at_once(left);                                                                   \
            WITH_ROWS(CALL)                                                                                            \
            r += done;                                                                                                 \
            s += done * stride;                                                                                        \
            left -= done;                                                                                              \
        }                                                                                                              \
    }
SCORES_OF(scores_f32, FLOATS_F32)
SCORES_OF(scores_f16, FLOATS_F16)
SCORES_OF(scores_bf16, FLOATS_BF16)
SCORES_OF(scores_8, CODES_8)
SCORES_OF(scores_4, CODES_4)

static void scores(float *s, int64_t stride, const mica__queries *q, const mica__kv *keys, float *row)
{
    (void)row;
    if (keys->layout.bits) {
        (keys->layout.bits == 8 ? scores_8 : scores_4)(s, stride, q, keys);
    } else if (keys->layout.dtype == MICA_DTYPE_F32) {
        scores_f32(s, stride, q, keys);
    } else {
        (keys->layout.dtype == MICA_DTYPE_F16 ? scores_f16 : scores_bf16)(s, stride, q, keys);
    }
}

#define ACCUMULATE_OF(name, CALL)                                                                                      \
    TARGET static void name(float *o, const float *w, int64_t stride, int64_t rows, const mica__kv *values,            \
                            int64_t first, int64_t end)                                                                \
    {                                                                                                                  \
        const int64_t step = rows * values->layout.dim;                                                                \
        for (int64_t left = rows; left > 0;) {                                                                         \
            const int64_t done = rows_at_once(left);                                                                   \
            WITH_ROWS(CALL)                                                                                            \
            o += done * values->layout.dim;                                                                            \
            w += done * stride;                                                                                        \
            left -= done;                                                                                              \
        }                                                                                                              \
    }
ACCUMULATE_OF(accumulate_f32, VALUES_F32)
ACCUMULATE_OF(accumulate_f16, VALUES_F16)
ACCUMULATE_OF(accumulate_bf16, VALUES_BF16)
ACCUMULATE_OF(accumulate_8, VALUES_8)
ACCUMULATE_OF(accumulate_4, VALUES_4)

static void accumulate(float *o, const float *w, int64_t stride, int64_t rows, const mica__kv *values, int64_t first,
                       int64_t end, float *row)
{
    (void)row;
    const mica__cache_layout *l = &values->layout;
    if (l->bits) {
        (l->bits == 8 ? accumulate_8 : accumulate_4)(o, w, stride, rows, values, first, end);
    } else if (l->dtype == MICA_DTYPE_F32) {
        accumulate_f32(o, w, stride, rows, values, first, end);
    } else {
        (l->dtype == MICA_DTYPE_F16 ? accumulate_f16 : accumulate_bf16)(o, w, stride, rows, values, first, end);
    }
}
