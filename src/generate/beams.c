/* generate/beams.c: beam search and beam sampling, as Transformers does them.
 *
 * Each prompt has n beams. A step scores n * vocab continuations and keeps the best few of them as candidates:
 *
 *     n beams -> candidates, best first -> those that go on: the next n beams
 *                                       -> those that end, among the first n: they compete for the pool of n finished sequences
 *
 * A finished sequence's score is the sum of its log probabilities divided by a power of its length. The search ends when no beam can
 * get better than the worst of the pool, or (early_stopping) when the pool is full. Everything is float32 and in the order of
 * Transformers' own sums, because scores are compared with those. */
#include "base/memory.h"
#include "sample.h"
#include <math.h>

#define NOTHING (-1e9f) /* the score of what is not there */

typedef struct candidate {
    float score; /* sum of log probabilities */
    size_t row;  /* the beam it continues */
    int32_t id;
    bool ends;
    mica_stop_reason reason;
} candidate;

/* A sequence of the pool. */
typedef struct finished {
    float score;
    bool is_there;
    size_t n_new;
    mica_stop_reason reason;
    int32_t *ids, *from; /* [max_new]: new tokens, and the rows their scores stood in */
} finished;

typedef struct beams {
    mica__search *d;
    size_t n, n_candidates, max_new; /* of each prompt */
    float *sums;                     /* [n_rows] */
    int32_t *from;                   /* [n_rows, max_new] */
    candidate *candidates;           /* [n_prompts, n_candidates] */
    finished *pool;                  /* [n_prompts, n], best first */
    bool *open;                      /* [n_prompts]: its pool can still get better */
    int32_t *memory;                 /* of the pool's sequences */

    mica__candidate *best; /* scratch [n_candidates] */
    size_t *order;         /* scratch [n + n_candidates] */
    finished *merged;      /* scratch [n + n_candidates] */
    int32_t *next;         /* scratch [n, max_new] */
    mica_session **forked; /* scratch [n] */
    float *keys;           /* scratch [n * vocab], for sampling; else NULL */

    /* For the stop callback, else NULL: all candidates' ids [n_prompts * n_candidates, stride]. */
    int32_t *told;
    size_t *told_lengths;
    bool *told_done;
} beams;

/* ---- before ------------------------------------------------------------------------------------------------------------------- */

static mica_status make_told(beams *b, mica_error *err)
{
    mica__search *d = b->d;
    size_t n = d->n_prompts * b->n_candidates, bytes;
    if (!d->q->callbacks.stop) return MICA_OK;
    if (!mica__mul(n, d->stride, &bytes)) return mica__fail_memory(err, n, "candidates");
    b->told = mica__alloc(bytes, sizeof *b->told);
    b->told_lengths = mica__alloc(n, sizeof *b->told_lengths);
    b->told_done = mica__alloc(n, sizeof *b->told_done);
    if (b->told && b->told_lengths && b->told_done) return MICA_OK;
    return mica__fail_memory(err, bytes * sizeof *b->told, "candidates");
}

static mica_status make(beams *b, mica_error *err)
{
    mica__search *d = b->d;
    const size_t rows = d->n_rows, n = b->n, k = b->n_candidates;
    size_t n_ids;
    if (!mica__mul(rows, 2 * b->max_new, &n_ids)) return mica__fail_memory(err, rows, "beams");
    b->sums = mica__alloc(rows, sizeof *b->sums);
    b->from = mica__alloc(rows * b->max_new, sizeof *b->from);
    b->candidates = mica__calloc(d->n_prompts * k, sizeof *b->candidates);
    b->pool = mica__calloc(rows, sizeof *b->pool);
    b->open = mica__alloc(d->n_prompts, sizeof *b->open);
    b->memory = mica__calloc(n_ids, sizeof *b->memory);
    b->best = mica__alloc(k, sizeof *b->best);
    b->order = mica__alloc(n + k, sizeof *b->order);
    b->merged = mica__alloc(n + k, sizeof *b->merged);
    b->next = mica__alloc(n * b->max_new, sizeof *b->next);
    b->forked = mica__alloc(n, sizeof(mica_session *));
    if (d->settings->do_sample) b->keys = mica__alloc(n * d->vocab, sizeof *b->keys);
    if (!b->sums || !b->from || !b->candidates || !b->pool || !b->open || !b->memory || !b->best || !b->order ||
        !b->merged || !b->next || !b->forked || (d->settings->do_sample && !b->keys))
        return mica__fail_memory(err, n_ids * sizeof *b->memory, "beams");
    return make_told(b, err);
}

static mica_status start(beams *b, mica_error *err)
{
    mica__search *d = b->d;
    b->n = d->per_prompt;
    b->n_candidates = (d->settings->eos.n ? 1 + d->settings->eos.n : 2) * b->n;
    for (size_t p = 0; p < d->n_prompts; p++) {
        size_t room = (size_t)(d->settings[p].limit - d->settings[p].n_prompt);
        if (room > b->max_new) b->max_new = room;
    }
    if (b->n > INT32_MAX / d->vocab || b->n_candidates > b->n * d->vocab) {
        return mica__fail(err, MICA_LIMIT, "%zu beams and %zu end tokens in a vocabulary of %zu", b->n,
                          d->settings->eos.n, d->vocab);
    }
    MICA_TRY(make(b, err));
    for (size_t r = 0; r < d->n_rows; r++) {
        b->sums[r] = r % b->n ? NOTHING : 0; /* the beams of a prompt begin equal: only the first counts */
        b->pool[r] = (finished){
            .score = NOTHING, .ids = b->memory + 2 * r * b->max_new, .from = b->memory + (2 * r + 1) * b->max_new};
    }
    for (size_t p = 0; p < d->n_prompts; p++) b->open[p] = true;
    d->log_probs = true;
    return MICA_OK;
}

static void release(beams *b)
{
    mica__free(b->sums);
    mica__free(b->from);
    mica__free(b->candidates);
    mica__free(b->pool);
    mica__free(b->open);
    mica__free(b->memory);
    mica__free(b->best);
    mica__free(b->order);
    mica__free(b->merged);
    mica__free(b->next);
    mica__free(b->forked);
    mica__free(b->keys);
    mica__free(b->told);
    mica__free(b->told_lengths);
    mica__free(b->told_done);
}

/* ---- candidates --------------------------------------------------------------------------------------------------------------- */

/* Drawing several without replacement is taking the largest of log probability + Gumbel noise (Vieira 2014; Kool and others,
 * arXiv 1903.06059). */
static void add_noise(float *keys, const float *sums, size_t n, mica__random *random)
{
    for (size_t i = 0; i < n; i++) {
        keys[i] = sums[i];
        if (sums[i] > -INFINITY) keys[i] -= (float)log(-log(mica__random_next(random) + 0x1p-54));
    }
}

/* The best continuations of a prompt's beams; where too few are possible, impossible ones fill up. */
static void choose_candidates(beams *b, size_t prompt)
{
    mica__search *d = b->d;
    const size_t first = prompt * b->n, n = b->n * d->vocab, k = b->n_candidates;
    float *sums = mica__row_scores(d, first); /* [n_beams * vocab] */
    for (size_t i = 0; i < b->n; i++) {
        for (size_t t = 0; t < d->vocab; t++) sums[i * d->vocab + t] += b->sums[first + i];
    }
    if (b->keys) add_noise(b->keys, sums, n, &d->b->random);
    size_t kept = mica__select_first(b->keys ? b->keys : sums, n, b->best, k);
    for (size_t i = 0; i < n && kept < k; i++) {
        if (!(sums[i] > -INFINITY)) b->best[kept++] = (mica__candidate){-INFINITY, (int32_t)i};
    }
    for (size_t i = 0; i < k; i++) {
        const size_t at = (size_t)b->best[i].id;
        b->candidates[prompt * k + i] =
            (candidate){.score = sums[at], .row = first + at / d->vocab, .id = (int32_t)(at % d->vocab)};
    }
}

static mica_status ends_with_string(const beams *b, const candidate *c, bool *stop, mica_error *err)
{
    const mica__search *d = b->d;
    const mica__settings *s = mica__row_settings(d, c->row);
    mica__stop_strings strings;
    *stop = false;
    if (!s->n_stop_strings) return MICA_OK;
    MICA_TRY(mica__stop_strings_create(&strings, s->stop_strings, s->n_stop_strings, d->tokenizer,
                                       mica__row_ids(d, c->row), d->lengths[c->row], err));
    mica_status status = mica__stop_strings_push(&strings, c->id, stop, err);
    mica__stop_strings_release(&strings);
    return status;
}

static mica_status look_for_end(const beams *b, candidate *c, double elapsed, mica_error *err)
{
    const mica__settings *s = mica__row_settings(b->d, c->row);
    bool stop_string;
    MICA_TRY(ends_with_string(b, c, &stop_string, err));
    c->ends = true;
    if (mica__settings_is_end(s, c->id)) {
        c->reason = MICA_STOP_EOS;
    } else if (stop_string) {
        c->reason = MICA_STOP_STRING;
    } else if (b->d->lengths[c->row] + 1 >= (size_t)s->limit) {
        c->reason = MICA_STOP_LENGTH;
    } else if (s->max_time > 0 && elapsed > s->max_time) {
        c->reason = MICA_STOP_TIME;
    } else {
        c->ends = false;
    }
    return MICA_OK;
}

static mica_status ask_to_stop(beams *b, mica_error *err)
{
    const mica__search *d = b->d;
    const mica_batch_callbacks *callbacks = &d->q->callbacks;
    const size_t n = d->n_prompts * b->n_candidates;
    if (!b->told) return MICA_OK;
    for (size_t i = 0; i < n; i++) {
        const candidate *c = &b->candidates[i];
        const size_t length = d->lengths[c->row];
        memcpy(b->told + i * d->stride, mica__row_ids(d, c->row), length * sizeof *b->told);
        b->told[i * d->stride + length] = c->id;
        b->told_lengths[i] = length + 1;
        b->told_done[i] = false;
    }
    const mica_batch_step step = {.step = d->step,
                                  .n_rows = n,
                                  .vocab = d->vocab,
                                  .stride = d->stride,
                                  .ids = b->told,
                                  .lengths = b->told_lengths};
    if (callbacks->stop(callbacks->context, &step, b->told_done)) return mica__fail_cancelled(err);
    for (size_t i = 0; i < n; i++) {
        candidate *c = &b->candidates[i];
        if (!b->told_done[i] || c->ends) continue;
        c->ends = true;
        c->reason = MICA_STOP_CALLBACK;
    }
    return MICA_OK;
}

/* ---- the pool ------------------------------------------------------------------------------------------------------------------ */

static bool pool_is_full(const beams *b, size_t prompt)
{
    for (size_t i = 0; i < b->n; i++) {
        if (!b->pool[prompt * b->n + i].is_there) return false;
    }
    return true;
}

/* Fills order with the `keep` largest of score(0..n), the first of equals first. */
static void order_best(size_t *order, size_t n, size_t keep, float (*score)(const void *context, size_t i),
                       const void *context)
{
    for (size_t i = 0, kept = 0; i < n; i++) {
        float s = score(context, i);
        size_t at = kept < keep ? kept++ : keep;
        for (; at > 0 && score(context, order[at - 1]) < s; at--) {
            if (at < keep) order[at] = order[at - 1];
        }
        if (at < keep) order[at] = i;
    }
}

static float score_of_merged(const void *context, size_t i) { return ((const finished *)context)[i].score; }

/* Candidate i of a prompt as a member of the pool; the score is NOTHING, more or less, if it must not become one. */
static finished as_finished(const beams *b, size_t prompt, size_t i, float divisor, bool closed)
{
    const candidate *c = &b->candidates[prompt * b->n_candidates + i];
    finished f = {.score = c->score / divisor, .is_there = c->ends && i < b->n, .n_new = b->d->step + 1};
    f.reason = c->reason;
    if (closed) f.score += NOTHING;
    if (!b->open[prompt]) f.score += NOTHING;
    if (!f.is_there) f.score += NOTHING;
    return f;
}

static void copy_to_pool(const beams *b, const candidate *c, finished *f)
{
    const mica__search *d = b->d;
    const size_t n = d->step, n_prompt = (size_t)mica__row_settings(d, c->row)->n_prompt;
    memcpy(f->ids, mica__row_ids(d, c->row) + n_prompt, n * sizeof *f->ids);
    memcpy(f->from, b->from + c->row * b->max_new, n * sizeof *f->from);
    f->ids[n] = c->id;
    f->from[n] = (int32_t)c->row;
}

/* The best of the pool and the candidates become the pool. */
static void update_pool(beams *b, size_t prompt)
{
    const mica__settings *s = &b->d->settings[prompt];
    finished *pool = b->pool + prompt * b->n;
    const float divisor = (float)pow((double)(b->d->step + 1), (double)s->length_penalty);
    const bool closed = s->early_stopping == MICA__EARLY_TRUE && pool_is_full(b, prompt);
    memcpy(b->merged, pool, b->n * sizeof *pool);
    for (size_t i = 0; i < b->n_candidates; i++) b->merged[b->n + i] = as_finished(b, prompt, i, divisor, closed);
    order_best(b->order, b->n + b->n_candidates, b->n, score_of_merged, b->merged);

    /* Those that leave give their memory to those that come. */
    size_t n_stay = 0, free_at = 0;
    for (size_t i = 0; i < b->n; i++) pool[i].n_new = SIZE_MAX;
    for (size_t i = 0; i < b->n; i++) {
        if (b->order[i] < b->n) pool[b->order[i]].n_new = 0, n_stay++;
    }
    for (size_t i = 0; i < b->n && n_stay < b->n; i++) {
        if (b->order[i] < b->n) continue;
        while (pool[free_at].n_new != SIZE_MAX) free_at++;
        finished *f = &b->merged[b->order[i]];
        f->ids = pool[free_at].ids;
        f->from = pool[free_at++].from;
        copy_to_pool(b, &b->candidates[prompt * b->n_candidates + b->order[i] - b->n], f);
    }
    for (size_t i = 0; i < b->n; i++) pool[i] = b->merged[b->order[i]];
}

/* ---- the next beams -------------------------------------------------------------------------------------------------------------- */

static float score_to_go_on(const void *context, size_t i)
{
    const candidate *c = (const candidate *)context + i;
    return c->ends ? c->score + NOTHING : c->score;
}

/* A row's session goes to the first beam that continues it; others get a copy in a session that nobody continues. */
static mica_status move_sessions(beams *b, size_t prompt, const candidate *candidates, mica_error *err)
{
    mica__search *d = b->d;
    const size_t first = prompt * b->n;
    size_t unused = 0;
    for (size_t i = 0; i < b->n; i++) b->forked[i] = NULL;
    for (size_t i = 0; i < b->n; i++) {
        size_t parent = candidates[b->order[i]].row;
        bool taken = false;
        for (size_t k = 0; k < i; k++) taken = taken || candidates[b->order[k]].row == parent;
        if (!taken) b->forked[i] = d->rows[parent];
    }
    for (size_t i = 0; i < b->n; i++) {
        if (b->forked[i]) continue;
        for (;; unused++) { /* a row that no beam continues */
            bool used = false;
            for (size_t k = 0; k < b->n; k++) used = used || candidates[b->order[k]].row == first + unused;
            if (!used) break;
        }
        b->forked[i] = d->rows[first + unused++];
        MICA_TRY(mica__session_fork(b->forked[i], d->rows[candidates[b->order[i]].row], err));
    }
    memcpy(d->rows + first, b->forked, b->n * sizeof *d->rows);
    return MICA_OK;
}

/* Rows' ids (or where they came from), of which the first n change: row i becomes its parent's with one more. */
static void move_ids(beams *b, size_t prompt, const candidate *candidates, int32_t *rows, size_t stride, bool from)
{
    const size_t n = b->d->step, first = prompt * b->n;
    for (size_t i = 0; i < b->n; i++) {
        const candidate *c = &candidates[b->order[i]];
        memcpy(b->next + i * b->max_new, rows + c->row * stride, n * sizeof *rows);
        b->next[i * b->max_new + n] = from ? (int32_t)c->row : c->id;
    }
    for (size_t i = 0; i < b->n; i++)
        memcpy(rows + (first + i) * stride, b->next + i * b->max_new, (n + 1) * sizeof *rows);
}

static mica_status go_on(beams *b, size_t prompt, mica_error *err)
{
    mica__search *d = b->d;
    const candidate *candidates = b->candidates + prompt * b->n_candidates;
    const size_t first = prompt * b->n;
    order_best(b->order, b->n_candidates, b->n, score_to_go_on, candidates);
    MICA_TRY(move_sessions(b, prompt, candidates, err));
    move_ids(b, prompt, candidates, d->ids + d->settings[prompt].n_prompt, d->stride, false);
    move_ids(b, prompt, candidates, b->from, b->max_new, true);
    for (size_t i = 0; i < b->n; i++) {
        b->sums[first + i] = score_to_go_on(candidates, b->order[i]);
        d->lengths[first + i]++;
    }
    return MICA_OK;
}

/* Can a beam still get better than the worst of the pool? What is guessed is the length that it will have. */
static bool can_improve(const beams *b, size_t prompt)
{
    const mica__settings *s = &b->d->settings[prompt];
    const finished *pool = b->pool + prompt * b->n;
    size_t length = b->d->step + 1;
    if (s->early_stopping == MICA__EARLY_NEVER && s->length_penalty > 0) length = (size_t)(s->max_length - s->n_prompt);
    float best = b->sums[prompt * b->n] / (float)pow((double)length, (double)s->length_penalty), worst = pool[0].score;
    for (size_t i = 1; i < b->n; i++) worst = fminf(worst, pool[i].score);
    for (size_t i = 0; i < b->n; i++) {
        if (best > (pool[i].is_there ? worst : NOTHING)) return true;
    }
    return false;
}

/* ---- a step ------------------------------------------------------------------------------------------------------------------------ */

static bool is_idle(const beams *b, size_t prompt) { return b->d->idle[prompt * b->n]; }

static mica_status find_candidates(beams *b, mica_error *err)
{
    mica__search *d = b->d;
    MICA_TRY(mica__search_process(d, err));
    if (d->first == 0) d->first = mica__seconds();
    const double elapsed = d->settings->max_time > 0 ? mica__seconds() - d->started : 0;
    for (size_t p = 0; p < d->n_prompts; p++) {
        if (is_idle(b, p)) continue;
        choose_candidates(b, p);
        for (size_t i = 0; i < b->n_candidates; i++)
            MICA_TRY(look_for_end(b, &b->candidates[p * b->n_candidates + i], elapsed, err));
    }
    return ask_to_stop(b, err);
}

static mica_status step(beams *b, bool *end, mica_error *err)
{
    mica__search *d = b->d;
    bool improves = false, full = true, continues = false;
    MICA_TRY(find_candidates(b, err));
    for (size_t p = 0; p < d->n_prompts; p++) {
        if (is_idle(b, p)) continue;
        for (size_t i = 0; i < b->n_candidates; i++)
            continues = continues || !b->candidates[p * b->n_candidates + i].ends;
        update_pool(b, p);
        MICA_TRY(go_on(b, p, err));
        b->open[p] = b->open[p] && can_improve(b, p);
    }
    for (size_t p = 0; p < d->n_prompts; p++) {
        const bool done = d->settings->early_stopping == MICA__EARLY_TRUE && pool_is_full(b, p);
        improves = improves || b->open[p];
        full = full && done;
        for (size_t i = 0; i < b->n; i++) d->idle[p * b->n + i] = !d->all_rows && (done || !b->open[p]);
    }
    d->step++;
    *end = !improves || full || !continues;
    return MICA_OK;
}

static mica_status search(beams *b, mica_error *err)
{
    MICA_TRY(mica__search_prefill(b->d, err));
    for (bool end = false;;) {
        MICA_TRY(step(b, &end, err));
        if (end) return MICA_OK;
        MICA_TRY(mica__search_advance(b->d, err));
    }
}

/* ---- results ------------------------------------------------------------------------------------------------------------------------- */

/* What Transformers fills up with; a pad token 0 counts as none there. */
static int32_t filler(const mica__settings *s)
{
    if (!s->eos.n) return -1;
    return s->pad > 0 ? s->pad : s->eos.ids[0];
}

static mica_status give_result(const beams *b, mica_batch_result *result, mica_error *err)
{
    const mica__search *d = b->d;
    const size_t n_sequences = d->settings->n_sequences;
    size_t n_new = 0;
    for (size_t r = 0; r < d->n_rows; r++) {
        if (r % b->n < n_sequences && b->pool[r].n_new > n_new) n_new = b->pool[r].n_new;
    }
    MICA_TRY(mica__result_reserve(result, d->n_prompts * n_sequences, n_new, true, err));
    for (size_t i = 0; i < result->n_sequences; i++) {
        const finished *f = &b->pool[i / n_sequences * b->n + i % n_sequences];
        int32_t *ids = result->ids + i * n_new, *from = result->beam_indices + i * n_new;
        for (size_t k = 0; k < n_new; k++) {
            ids[k] = k < f->n_new ? f->ids[k] : filler(d->settings);
            from[k] = k < f->n_new ? f->from[k] : -1;
        }
        result->lengths[i] = f->n_new;
        result->reasons[i] = f->reason;
        result->sequences_scores[i] = f->score;
    }
    return MICA_OK;
}

/* Text comes when it is certain. */
static mica_status report(const beams *b, const mica_batch_result *r, mica_error *err)
{
    const mica_batch_callbacks *c = &b->d->q->callbacks;
    mica_decode_stream *stream = NULL;
    mica__buf text = {0};
    mica_status status = MICA_OK;
    bool stop = false;
    if (!c->token) return MICA_OK;
    if (b->d->tokenizer) status = mica_decode_stream_create(&stream, b->d->tokenizer, true, err);
    for (size_t i = 0; i < r->lengths[0] && !status && !stop; i++)
        status = mica__report_token(c, stream, &text, r->ids[i], i + 1 == r->lengths[0], NULL, &stop, err);
    mica_decode_stream_free(stream);
    mica__buf_release(&text);
    return status;
}

mica_status mica__beam_search(mica__search *d, mica_batch_result *result, mica_error *err)
{
    beams b = {.d = d};
    mica_status status = start(&b, err);
    if (!status) status = search(&b, err);
    if (!status) status = give_result(&b, result, err);
    if (!status) status = report(&b, result, err);
    release(&b);
    return status;
}
