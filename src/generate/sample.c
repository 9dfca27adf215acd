/* generate/sample.c: score, process, choose, report, look for reasons to stop, feed the tokens back. */
#include "sample.h"

#include "base/memory.h"

/* ---- before ------------------------------------------------------------------------------------------------------------------ */

/* The first row draws as it would alone; the others from streams of their own, which the first one's seed decides. */
static void seed_rows(mica__sampler *s)
{
    const mica__random base = s->d->b->random;
    for (size_t r = 0; r < s->d->n_rows; r++) {
        mica__random mixer = {.seed = base.seed ^ 0xd1b54a32d192ed03u * r};
        s->randoms[r] = base;
        if (r) s->randoms[r].seed = (uint64_t)(mica__random_next(&mixer) * 0x1p53);
    }
}

mica_status mica__sampler_start(mica__sampler *s, mica__search *d, mica_error *err)
{
    const size_t n = d->n_rows;
    *s = (mica__sampler){.d = d, .fills = d->settings->eos.n > 0};
    s->randoms = mica__alloc(n, sizeof *s->randoms);
    s->stops = mica__calloc(n, sizeof *s->stops);
    s->done = mica__calloc(n, sizeof *s->done);
    s->stopped = mica__calloc(n, sizeof *s->stopped);
    s->reasons = mica__calloc(n, sizeof *s->reasons);
    s->n_new = mica__calloc(n, sizeof *s->n_new);
    s->chosen = mica__calloc(n, sizeof *s->chosen);
    if (!s->randoms || !s->stops || !s->done || !s->stopped || !s->reasons || !s->n_new || !s->chosen ||
        !mica__buf_reserve(&s->text, 4096))
        return mica__fail_memory(err, n * sizeof *s->stops, "rows");
    seed_rows(s);
    for (size_t r = 0; r < n; r++) {
        const mica__settings *settings = mica__row_settings(d, r);
        MICA_TRY(mica__stop_strings_create(&s->stops[r], settings->stop_strings, settings->n_stop_strings, d->tokenizer,
                                           mica__row_ids(d, r), d->lengths[r], err));
    }
    if (!d->tokenizer || !d->q->callbacks.token) return MICA_OK;
    return mica_decode_stream_create(&s->stream, d->tokenizer, true, err);
}

void mica__sampler_release(mica__sampler *s)
{
    for (size_t r = 0; s->stops && r < s->d->n_rows; r++) mica__stop_strings_release(&s->stops[r]);
    if (s->randoms) s->d->b->random = s->randoms[0];
    mica_decode_stream_free(s->stream);
    mica__buf_release(&s->text);
    mica__free(s->randoms);
    mica__free(s->stops);
    mica__free(s->done);
    mica__free(s->stopped);
    mica__free(s->reasons);
    mica__free(s->n_new);
    mica__free(s->chosen);
    *s = (mica__sampler){0};
}

/* ---- a step -------------------------------------------------------------------------------------------------------------------- */

static mica_status choose(mica__sampler *s, size_t row, mica_error *err)
{
    mica__search *d = s->d;
    const mica__settings *settings = mica__row_settings(d, row);
    const float *scores = mica__row_scores(d, row);
    int32_t id = settings->pad;
    if (!s->done[row] || !s->fills) {
        id = settings->do_sample ? mica__choose_random(scores, d->vocab, &s->randoms[row])
                                 : mica__choose_best(scores, d->vocab);
        if (id < 0) return mica__fail(err, MICA_INVALID, "the generation settings leave no token to choose from");
    }
    s->chosen[row] = id;
    mica__row_ids(d, row)[d->lengths[row]++] = id;
    return MICA_OK;
}

static void finish_row(mica__sampler *s, size_t row, mica_stop_reason reason)
{
    if (s->done[row]) return;
    s->done[row] = true;
    s->reasons[row] = reason;
}

/* Is the token just appended the row's last, and why? */
static mica_status look_for_end(mica__sampler *s, size_t row, double elapsed, mica_error *err)
{
    const mica__settings *settings = mica__row_settings(s->d, row);
    bool stop_string;
    MICA_TRY(mica__stop_strings_push(&s->stops[row], s->chosen[row], &stop_string, err));
    if (mica__settings_is_end(settings, s->chosen[row])) {
        finish_row(s, row, MICA_STOP_EOS);
    } else if (stop_string) {
        finish_row(s, row, MICA_STOP_STRING);
    } else if (s->d->lengths[row] >= mica__row_limit(s->d, row)) {
        finish_row(s, row, MICA_STOP_LENGTH);
    } else if (settings->max_time > 0 && elapsed > settings->max_time) {
        finish_row(s, row, MICA_STOP_TIME);
    }
    return MICA_OK;
}

static mica_status ask_to_stop(mica__sampler *s, mica_error *err)
{
    const mica__search *d = s->d;
    const mica_batch_callbacks *c = &d->q->callbacks;
    if (!c->stop) return MICA_OK;
    const mica_batch_step step = {.step = d->step,
                                  .n_rows = d->n_rows,
                                  .vocab = d->vocab,
                                  .stride = d->stride,
                                  .ids = d->ids,
                                  .lengths = d->lengths,
                                  .scores = d->scores};
    for (size_t r = 0; r < d->n_rows; r++) s->stopped[r] = false;
    if (c->stop(c->context, &step, s->stopped)) return mica__fail_cancelled(err);
    for (size_t r = 0; r < d->n_rows; r++) {
        if (s->stopped[r]) finish_row(s, r, MICA_STOP_CALLBACK);
    }
    return MICA_OK;
}

mica_status mica__report_token(const mica_batch_callbacks *c, mica_decode_stream *stream, mica__buf *text, int32_t id,
                               bool last, const float *scores, bool *stop, mica_error *err)
{
    const char *piece = "";
    size_t n = 0;
    *stop = false;
    mica__buf_clear(text);
    if (stream) {
        MICA_TRY(mica_decode_stream_push(stream, id, &piece, &n, err));
        mica__buf_append(text, piece, n);
        if (last) {
            MICA_TRY(mica_decode_stream_flush(stream, &piece, &n, err));
            mica__buf_append(text, piece, n);
        }
        MICA_TRY(mica__buf_status(text, err, "text"));
    }
    *stop = c->token(c->token_context, id, text->n ? text->p : "", text->n, scores) != 0;
    return MICA_OK;
}

/* A callback about the text is told of one row only, the first. */
static mica_status report(mica__sampler *s, mica_error *err)
{
    const mica_batch_callbacks *c = &s->d->q->callbacks;
    bool stop;
    if (c->tokens && c->tokens(c->context, s->chosen, s->d->n_rows)) return mica__fail_cancelled(err);
    if (!c->token) return MICA_OK;
    MICA_TRY(mica__report_token(c, s->stream, &s->text, s->chosen[0], s->done[0], s->d->scores, &stop, err));
    if (stop) finish_row(s, 0, MICA_STOP_CALLBACK);
    return MICA_OK;
}

mica_status mica__sampler_step(mica__sampler *s, bool *end, mica_error *err)
{
    mica__search *d = s->d;
    MICA_TRY(mica__search_process(d, err));
    for (size_t r = 0; r < d->n_rows; r++) {
        bool was_done = s->done[r];
        MICA_TRY(choose(s, r, err));
        if (!was_done) s->n_new[r]++;
    }
    if (d->first == 0) d->first = mica__seconds();
    const double elapsed = d->settings->max_time > 0 ? mica__seconds() - d->started : 0;
    for (size_t r = 0; r < d->n_rows; r++) MICA_TRY(look_for_end(s, r, elapsed, err));
    MICA_TRY(ask_to_stop(s, err));
    MICA_TRY(report(s, err));
    d->step++;
    *end = true;
    for (size_t r = 0; r < d->n_rows; r++) {
        *end = *end && s->done[r];
        d->idle[r] = s->done[r] && s->fills && !d->all_rows;
    }
    return MICA_OK;
}

/* ---- results -------------------------------------------------------------------------------------------------------------------- */

static mica_status give_result(const mica__sampler *s, mica_batch_result *result, mica_error *err)
{
    const mica__search *d = s->d;
    const size_t n = d->step;
    MICA_TRY(mica__result_reserve(result, d->n_rows, n, false, err));
    for (size_t r = 0; r < d->n_rows; r++) {
        const size_t prompt = (size_t)mica__row_settings(d, r)->n_prompt;
        memcpy(result->ids + r * n, mica__row_ids(d, r) + prompt, n * sizeof *result->ids);
        result->lengths[r] = s->fills && s->n_new[r] < n ? s->n_new[r] : n;
        result->reasons[r] = s->reasons[r];
    }
    return MICA_OK;
}

mica_status mica__sampler_finish(const mica__sampler *s, mica_status status, mica_batch_result *result, mica_error *err)
{
    if (status && (status != MICA_CANCELLED || !s->chosen)) return status;
    mica_status given = give_result(s, result, status ? NULL : err);
    return status ? status : given;
}

static mica_status run(mica__sampler *s, mica_error *err)
{
    MICA_TRY(mica__search_prefill(s->d, err));
    for (bool end = false;;) {
        MICA_TRY(mica__sampler_step(s, &end, err));
        if (end) return MICA_OK;
        MICA_TRY(mica__search_advance(s->d, err));
    }
}

mica_status mica__sample(mica__search *d, mica_batch_result *result, mica_error *err)
{
    mica__sampler s = {.d = d};
    mica_status status = mica__sampler_start(&s, d, err);
    if (!status) status = run(&s, err);
    status = mica__sampler_finish(&s, status, result, err);
    mica__sampler_release(&s);
    return status;
}
