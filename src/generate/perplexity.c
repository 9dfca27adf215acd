/* generate/perplexity.c: scoring a text, window by window.
 *
 * Logits of a few rows at a time, of the model and of the reference, are turned into figures by a team, a row each; sums are in double and in
 * the order of positions. */
#include <mica/perplexity.h>

#include "base/memory.h"
#include "base/thread.h"
#include "models/model.h"
#include <math.h>
#include <mica/generate.h>

enum { ROWS = 32, DEFAULT_WINDOW = 1024 };

/* What one position gives. */
typedef struct figures {
    double nll, reference_nll, kl;
    bool same_top;
} figures;

/* Sum and sum of squares, for a mean and its error. */
typedef struct moments {
    double sum, squares;
} moments;

typedef struct run {
    mica_session *session, *reference; /* reference NULL: none */
    mica__team *team;
    int64_t vocab;
    float *logits, *reference_logits; /* [ROWS, vocab] */
    const int32_t *targets;           /* [n_rows] of the rows at hand */
    int n_rows;
    figures rows[ROWS];
    moments nll, reference_nll, change, kl;
    double kl_max;
    int64_t n_same, n_scored;
} run;

/* ---- a row ---------------------------------------------------------------------------------------------------------------- */

static double log_sum_exp(const float *x, int64_t n, int64_t *top)
{
    *top = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[*top]) *top = i;
    const double most = x[*top];
    double sum = 1; /* of the largest itself */
    for (int64_t i = 0; i < n; i++)
        if (i != *top) sum += exp((double)x[i] - most);
    return most + log(sum);
}

/* Sum of q ln(q / p) with ln q = y - y_norm, ln p = x - x_norm. */
static double divergence(const float *x, double x_norm, const float *y, double y_norm, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double log_q = (double)y[i] - y_norm, log_p = (double)x[i] - x_norm, q = exp(log_q);
        if (q > 0) sum += q * (log_q - log_p); /* a token that cannot come adds nothing */
    }
    return sum > 0 ? sum : 0;
}

static void score_row(run *r, int row)
{
    const float *x = r->logits + row * r->vocab, *y = r->reference_logits + row * r->vocab;
    figures *f = &r->rows[row];
    int64_t top, reference_top;
    const double norm = log_sum_exp(x, r->vocab, &top);
    *f = (figures){.nll = norm - (double)x[r->targets[row]]};
    if (!r->reference) return;
    const double reference_norm = log_sum_exp(y, r->vocab, &reference_top);
    f->reference_nll = reference_norm - (double)y[r->targets[row]];
    f->kl = divergence(x, norm, y, reference_norm, r->vocab);
    f->same_top = top == reference_top;
}

static void score_share(void *context, int id, int n)
{
    run *r = context;
    for (int row = id; row < r->n_rows; row += n) score_row(r, row);
}

static void add(moments *m, double value)
{
    m->sum += value;
    m->squares += value * value;
}

static void add_rows(run *r)
{
    for (int row = 0; row < r->n_rows; row++) {
        const figures *f = &r->rows[row];
        add(&r->nll, f->nll);
        add(&r->reference_nll, f->reference_nll);
        add(&r->change, f->nll - f->reference_nll);
        add(&r->kl, f->kl);
        if (f->kl > r->kl_max) r->kl_max = f->kl;
        r->n_same += f->same_top;
    }
    r->n_scored += r->n_rows;
}

/* ---- a window ------------------------------------------------------------------------------------------------------------- */

static mica_status forward(run *r, const int32_t *ids, size_t n, bool all, mica_error *err)
{
    MICA_TRY(mica_session_forward(r->session, ids, n, all, all ? r->logits : NULL, err));
    if (!r->reference) return MICA_OK;
    return mica_session_forward(r->reference, ids, n, all, all ? r->reference_logits : NULL, err);
}

static mica_status rewind_both(run *r, mica_error *err)
{
    MICA_TRY(mica_session_truncate(r->session, 0, err));
    return r->reference ? mica_session_truncate(r->reference, 0, err) : MICA_OK;
}

/* Scores ids[first .. n) of the window ids[0 .. n), first > 0. */
static mica_status score_window(run *r, const int32_t *ids, size_t first, size_t n, mica_error *err)
{
    MICA_TRY(rewind_both(r, err));
    MICA_TRY(forward(r, ids, first - 1, false, err));
    for (size_t at = first; at < n; at += (size_t)r->n_rows) {
        r->n_rows = n - at < ROWS ? (int)(n - at) : ROWS;
        MICA_TRY(forward(r, ids + at - 1, (size_t)r->n_rows, true, err));
        r->targets = ids + at;
        mica__team_run(r->team, score_share, r);
        add_rows(r);
    }
    return MICA_OK;
}

static mica_status score_text(run *r, const int32_t *ids, size_t n, const mica_perplexity_options *o, int32_t *window,
                              mica_error *err)
{
    const size_t n_prefix = o->n_prefix, room = (size_t)o->window - n_prefix;
    if (n_prefix) memcpy(window, o->prefix, n_prefix * sizeof *window);
    for (size_t begin = 0, scored = 0; scored < n; begin += (size_t)o->stride) {
        const size_t end = n - begin < room ? n : begin + room;
        memcpy(window + n_prefix, ids + begin, (end - begin) * sizeof *window);
        size_t first = n_prefix + (scored - begin);
        if (first == 0) first = 1; /* nothing stands before it */
        MICA_TRY(score_window(r, window, first, n_prefix + end - begin, err));
        scored = end;
        if (o->progress.report && !o->progress.report(o->progress.context, "score", scored, n))
            return mica__fail(err, MICA_CANCELLED, "scoring was cancelled");
    }
    return MICA_OK;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------ */

static mica_status take_options(mica_perplexity_options *o, const mica_perplexity_options *given,
                                const mica_model *model, size_t n, mica_error *err)
{
    if (given) *o = *given;
    const int64_t context = mica_model_get_info(model)->context;
    if (!o->window) o->window = context > 0 && context < DEFAULT_WINDOW ? context : DEFAULT_WINDOW;
    if (o->window < 2 || o->window > MICA__MAX_CONTEXT)
        return mica__fail(err, MICA_INVALID, "a window of %lld tokens; expected 2 to %d", (long long)o->window,
                          MICA__MAX_CONTEXT);
    if (o->n_prefix >= (size_t)o->window)
        return mica__fail(err, MICA_INVALID, "a prefix of %zu tokens fills the window of %lld", o->n_prefix,
                          (long long)o->window);
    const int64_t room = o->window - (int64_t)o->n_prefix;
    if (!o->stride) o->stride = o->window / 2 < room ? o->window / 2 : room;
    if (o->stride < 1 || o->stride > room)
        return mica__fail(err, MICA_INVALID, "a stride of %lld tokens; expected 1 to %lld with a window of %lld",
                          (long long)o->stride, (long long)room, (long long)o->window);
    if (n + o->n_prefix < 2) return mica__fail(err, MICA_INVALID, "the text has %zu tokens; at least 2 are needed", n);
    return MICA_OK;
}

static double mean_of(const moments *m, int64_t n) { return m->sum / (double)n; }

static double error_of(const moments *m, int64_t n)
{
    const double mean = mean_of(m, n), variance = m->squares / (double)n - mean * mean;
    return n > 1 && variance > 0 ? sqrt(variance / (double)(n - 1)) : 0;
}

static void conclude(const run *r, mica_perplexity_result *out)
{
    const int64_t n = r->n_scored;
    *out = (mica_perplexity_result){.n_scored = n, .nll = mean_of(&r->nll, n), .nll_error = error_of(&r->nll, n)};
    out->perplexity = exp(out->nll);
    out->perplexity_error = out->perplexity * out->nll_error;
    if (!r->reference) return;
    out->reference_nll = mean_of(&r->reference_nll, n);
    out->reference_error = error_of(&r->reference_nll, n);
    out->reference_perplexity = exp(out->reference_nll);
    out->nll_change = mean_of(&r->change, n);
    out->nll_change_error = error_of(&r->change, n);
    out->kl = mean_of(&r->kl, n);
    out->kl_error = error_of(&r->kl, n);
    out->kl_max = r->kl_max;
    out->top1_agreement = (double)r->n_same / (double)n;
    out->top1_error = sqrt(out->top1_agreement * (1 - out->top1_agreement) / (double)n);
}

static mica_status prepare(run *r, mica_model *model, mica_model *reference, const mica_perplexity_options *o,
                           mica_error *err)
{
    const mica_session_options session = {.max_context = o->window};
    r->vocab = mica_model_get_info(model)->vocab_size;
    MICA_TRY(mica_session_create(&r->session, model, &session, err));
    if (reference) MICA_TRY(mica_session_create(&r->reference, reference, &session, err));
    MICA_TRY(mica__team_create(&r->team, o->n_threads, err));
    const size_t n = (size_t)r->vocab * ROWS;
    r->logits = mica__alloc(n, sizeof *r->logits);
    r->reference_logits = reference ? mica__alloc(n, sizeof *r->reference_logits) : r->logits;
    return r->logits && r->reference_logits ? MICA_OK : mica__fail_memory(err, n * sizeof *r->logits, "logits");
}

mica_status mica_perplexity(mica_model *model, mica_model *reference, const int32_t *ids, size_t n,
                            const mica_perplexity_options *options, mica_perplexity_result *result, mica_error *err)
{
    mica_perplexity_options o = {0};
    MICA_TRY(take_options(&o, options, model, n, err));
    const int64_t vocab = mica_model_get_info(model)->vocab_size;
    const int64_t other = reference ? mica_model_get_info(reference)->vocab_size : vocab;
    if (vocab != other)
        return mica__fail(err, MICA_INVALID, "the model has a vocabulary of %lld, the reference of %lld",
                          (long long)vocab, (long long)other);
    for (size_t i = 0; i < n; i++) /* the last token of a window is only looked up */
        if (ids[i] < 0 || ids[i] >= vocab)
            return mica__fail(err, MICA_INVALID, "token id %d is not in the vocabulary of %lld", (int)ids[i],
                              (long long)vocab);
    run r = {0};
    int32_t *window = mica__alloc((size_t)o.window, sizeof *window);
    mica_status status = window ? MICA_OK : mica__fail_memory(err, (size_t)o.window * sizeof *window, "a window");
    if (status == MICA_OK) status = prepare(&r, model, reference, &o, err);
    if (status == MICA_OK) status = score_text(&r, ids, n, &o, window, err);
    if (status == MICA_OK) conclude(&r, result);
    if (r.reference_logits != r.logits) mica__free(r.reference_logits);
    mica__free(r.logits);
    mica__free(window);
    mica__team_free(r.team);
    mica_session_free(r.session);
    mica_session_free(r.reference);
    return status;
}
