/* models/quantize_load.c: pieces of rows, read, quantized and put into place by a team. */
#include "quantize_load.h"

#include "base/memory.h"
#include "weight_rows.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { PIECE = 256 * 1024 }; /* elements */

mica_status mica__quantize_load_make(mica__quantize_load *out, const mica_model_options *options,
                                     const mica__config *config, int n_layers, int n_threads, mica_error *err)
{
    const char *quantizer = options->quantizer;
    *out = (mica__quantize_load){
        .quantizer = MICA__QUANTIZER_MLX, .prefix = mica__mlx_prefix(config), .n_threads = n_threads};
    if (quantizer && strcmp(quantizer, "search") == 0) {
        out->quantizer = MICA__QUANTIZER_SEARCH;
    } else if (quantizer && strcmp(quantizer, "mlx") != 0) {
        return mica__fail(err, MICA_INVALID, "quantizer '%s' is not one of mlx, search",
                          MICA_QUOTED(quantizer, strlen(quantizer)));
    }
    out->blocks_to_8_bits = options->precision != MICA_PRECISION_EXACT;
    if (options->quantize)
        MICA_TRY(mica__quantize_policy_make(&out->policy, options->quantize, options->quantize_rules, n_layers, err));
    out->has_dtype = mica__conversion_dtype(config, &out->dtype);
    return MICA_OK;
}

void mica__quantize_load_release(mica__quantize_load *q)
{
    mica__quantize_policy_release(&q->policy);
    mica__team_free(q->team);
    *q = (mica__quantize_load){.team = NULL};
}

static bool is_block(const mica__tensor_view *v)
{
    return v->storage != MICA__STORAGE_PLAIN && v->storage != MICA__STORAGE_PACKED && v->storage != MICA__STORAGE_OTHER;
}

void mica__quantize_load_decide(const mica__quantize_load *q, mica__wanted *w)
{
    char path[160];
    int layer = -1;
    bool named;
    w->made = (mica__quantization){.bits = 0};
    if (w->ndim != 2) return;
    const bool is_head = strcmp(w->name, "lm_head.weight") == 0;
    const char *last = strrchr(w->name, '.');
    int n = snprintf(path, sizeof path, "%s%s%.*s", q->prefix, is_head ? "" : "model.", (int)(last - w->name), w->name);
    if (sscanf(w->name, "layers.%d.", &layer) != 1) layer = -1;
    w->made_dtype = q->has_dtype ? q->dtype : mica__wanted_dtype(w);
    if (q->policy.general.bits &&
        mica__quantize_policy_choose(&q->policy, (mica__str){path, (size_t)n}, layer, w->shape[1], &w->made, &named))
        return;
    w->made.bits = 0;
    if (!q->blocks_to_8_bits || w->q.bits || !is_block(w->view)) return;
    w->made = (mica__quantization){MICA_QUANT_AFFINE, 8, 32};
    w->made_dtype = MICA_DTYPE_F16;
}

/* ---- one matrix ------------------------------------------------------------------------------------------------------------ */

typedef struct job {
    const mica__quantize_load *q;
    const mica__wanted *w;
    mica__quantized_sizes sizes; /* of a row */
    uint8_t *codes, *scales, *biases;
    int64_t rows; /* of a piece */
    atomic_llong next;
    atomic_bool stop;
    pthread_mutex_t lock; /* guards the first failure */
    mica_status status;
    mica_error *err;
} job;

static void fail_job(job *j, mica_status status, const mica_error *err)
{
    pthread_mutex_lock(&j->lock);
    if (!j->status) {
        j->status = status;
        if (j->err) *j->err = *err;
    }
    pthread_mutex_unlock(&j->lock);
    atomic_store(&j->stop, true);
}

static mica_status make_piece(job *j, int64_t first, const mica__row_scratch *s, mica_error *err)
{
    const mica__wanted *w = j->w;
    const int64_t n = w->shape[0] - first < j->rows ? w->shape[0] - first : j->rows;
    const size_t r = (size_t)first;
    const void *elements;
    MICA_TRY(mica__wanted_rows(w, first, n, w->made_dtype, s, &elements, err));
    if (!mica__floats_finite(elements, (size_t)(n * w->shape[1]), w->made_dtype))
        return mica__fail(err, MICA_DATA, "tensor '%s': an element of rows %lld to %lld is not finite",
                          MICA_QUOTED_STR(w->view->name), (long long)first, (long long)(first + n - 1));
    const mica__matrix in = {elements, w->made_dtype, n, w->shape[1]};
    mica__quantize(&w->made, j->q->quantizer, &in, j->codes + r * j->sizes.codes, j->scales + r * j->sizes.scales,
                   j->sizes.biases ? j->biases + r * j->sizes.biases : NULL);
    return MICA_OK;
}

static void work(void *context, int id, int n_members)
{
    job *j = context;
    mica_error err;
    (void)id;
    (void)n_members;
    const size_t n = (size_t)(j->rows * j->w->shape[1]);
    const mica__row_scratch s = {mica__alloc(n, sizeof(float)), mica__alloc(n, sizeof(float))};
    if (!s.floats || !s.elements) fail_job(j, mica__fail_memory(&err, n * sizeof(float), "rows of a tensor"), &err);
    while (!atomic_load(&j->stop)) {
        int64_t first = atomic_fetch_add(&j->next, j->rows);
        if (first >= j->w->shape[0]) break;
        mica_status status = make_piece(j, first, &s, &err);
        if (status) fail_job(j, status, &err);
    }
    mica__free(s.floats);
    mica__free(s.elements);
}

mica_status mica__quantize_load_fill(mica__quantize_load *q, const mica__wanted *w, void *codes, void *scales,
                                     void *biases, mica_error *err)
{
    if (!q->team) MICA_TRY(mica__team_create(&q->team, q->n_threads, err));
    int64_t step = mica__tensor_row_step(w->view), rows = PIECE / w->shape[1] / step * step;
    job j = {.q = q,
             .w = w,
             .sizes = mica__quantized_row_sizes(&w->made, w->shape[1], w->made_dtype),
             .codes = codes,
             .scales = scales,
             .biases = biases,
             .rows = rows > step ? rows : step,
             .lock = PTHREAD_MUTEX_INITIALIZER,
             .err = err};
    mica__team_run(q->team, work, &j);
    pthread_mutex_destroy(&j.lock);
    return j.status;
}
