/* generate/assist.c: guess several tokens, check them in one pass, keep those that are right.
 *
 *     prompt lookup   what followed the last time the text's newest tokens stood in it
 *     a draft model   what a smaller model with the same tokens would say
 *
 * A pass over the guesses gives the logits that stepping through them would have given, to the bit, and every token is chosen
 * from them as always: by the same processors, callbacks and random numbers. So guesses change how fast tokens come, and nothing else.
 * A draft model draws with the random number that the choice it guesses will use, which makes it guess right more often. */
#include "assist.h"

#include "base/memory.h"
#include <math.h>

enum { MOST_GUESSES = 63 };

typedef struct assist {
    mica__search *d;
    mica__sampler sampler;
    int32_t *tokens; /* [most + 1]: the newest token, then guesses */
    float *ahead;    /* [most + 1, vocab] */
    size_t most;     /* guesses at a time */

    mica_session *draft;        /* NULL: prompt lookup */
    float *draft_scores;        /* [larger vocabulary] */
    mica__draft_settings guess; /* how the draft model guesses */
} assist;

/* ---- before ------------------------------------------------------------------------------------------------------------------ */

static mica_status make_draft(assist *a, mica_error *err)
{
    const mica__search *d = a->d;
    mica_model *model = d->q->assistant;
    mica_generation_config *own;
    int64_t limit;
    MICA_TRY(mica_generation_config_create(&own, model, err));
    mica_status status = mica__draft_settings_resolve(&a->guess, d->q->config, own, err);
    mica_generation_config_free(own);
    if (!status) status = mica__session_capacity(model, NULL, &limit, err);
    if (status) return status;
    const mica_session_options options = {.max_context = (int64_t)d->stride < limit ? (int64_t)d->stride : limit};
    MICA_TRY(mica_session_create(&a->draft, model, &options, err));
    a->draft->cancelled = d->b->cancelled;
    size_t vocab = (size_t)model->spec.vocab > d->vocab ? (size_t)model->spec.vocab : d->vocab;
    a->draft_scores = mica__alloc(vocab, sizeof *a->draft_scores);
    return a->draft_scores ? MICA_OK : mica__fail_memory(err, vocab * sizeof *a->draft_scores, "scores");
}

static mica_status start(assist *a, mica_error *err)
{
    mica__search *d = a->d;
    MICA_TRY(mica__sampler_start(&a->sampler, d, err));
    if (d->q->assistant) MICA_TRY(make_draft(a, err));
    /* What a sliding window must be able to take back. */
    a->most = (size_t)d->b->model->max_rows - 1;
    if (a->most > MOST_GUESSES) a->most = MOST_GUESSES;
    if (!a->draft && a->most > d->settings->lookup) a->most = d->settings->lookup;
    a->tokens = mica__alloc(a->most + 1, sizeof *a->tokens);
    a->ahead = mica__alloc(a->most + 1, d->vocab * sizeof *a->ahead);
    return a->tokens && a->ahead ? MICA_OK : mica__fail_memory(err, a->most * d->vocab * sizeof *a->ahead, "logits");
}

static void release(assist *a)
{
    mica_session_free(a->draft);
    mica__free(a->draft_scores);
    mica__free(a->tokens);
    mica__free(a->ahead);
    mica__sampler_release(&a->sampler);
}

/* ---- guessing ------------------------------------------------------------------------------------------------------------------ */

size_t mica__look_up(const int32_t *ids, size_t n, size_t longest, size_t most, int32_t *out)
{
    for (size_t size = longest < n - 1 ? longest : n - 1; size > 0; size--) {
        const int32_t *end = ids + n - size;
        for (size_t i = 0; i + size < n; i++) {
            if (memcmp(ids + i, end, size * sizeof *ids) != 0) continue;
            size_t found = n - i - size < most ? n - i - size : most;
            memcpy(out, ids + i + size, found * sizeof *out);
            return found;
        }
    }
    return 0;
}

/* The draft model's choice after the row's ids and the guesses behind them; -1: none. *sure: how probable it is. */
static int32_t draft_token(assist *a, const int32_t *ids, size_t n, mica__random *random, double *sure)
{
    mica__search *d = a->d;
    float *scores = a->draft_scores;
    for (size_t i = (size_t)a->draft->model->spec.vocab; i < d->vocab; i++) scores[i] = -INFINITY;
    mica__search_look_at(d, 0);
    mica__processors_apply(&d->processors, ids, n, scores);
    int32_t id =
        d->settings->do_sample ? mica__choose_random(scores, d->vocab, random) : mica__choose_best(scores, d->vocab);
    if (id < 0) return -1;
    mica__log_softmax(scores, d->vocab);
    *sure = exp((double)scores[id]);
    return id;
}

/* Runs the draft model over what it has not seen of the text, which is the target's cache and the newest token. */
static mica_status catch_up(assist *a, size_t most, bool *ready, mica_error *err)
{
    const mica_session *target = a->d->rows[0];
    const int64_t n = target->length + 1, vocab = a->draft->model->spec.vocab;
    *ready = false;
    if (n + (int64_t)most > a->draft->capacity) return MICA_OK;
    int32_t *text = mica__alloc((size_t)n, sizeof *text);
    if (!text) return mica__fail_memory(err, (size_t)n * sizeof *text, "token ids");
    memcpy(text, target->ids, (size_t)(n - 1) * sizeof *text);
    text[n - 1] = a->tokens[0];
    mica__session_keep_prefix(a->draft, text, (size_t)n);
    bool known = true; /* the other vocabulary may have more tokens */
    for (int64_t i = a->draft->length; i < n; i++) known = known && text[i] < vocab;
    mica_status status = MICA_OK;
    if (known) {
        status = mica__session_run(a->draft, text + a->draft->length, (size_t)(n - a->draft->length), false,
                                   a->draft_scores, err);
    }
    mica__free(text);
    *ready = known;
    return status;
}

static mica_status draft(assist *a, size_t most, size_t *n_guesses, mica_error *err)
{
    mica__search *d = a->d;
    int32_t *ids = mica__row_ids(d, 0);
    mica__random random = a->sampler.randoms[0];
    bool ready;
    *n_guesses = 0;
    if (most > a->guess.n_tokens) most = a->guess.n_tokens;
    MICA_TRY(catch_up(a, most, &ready, err));
    while (ready && *n_guesses < most) {
        double sure;
        int32_t id = draft_token(a, ids, d->lengths[0] + *n_guesses, &random, &sure);
        if (id < 0 || mica__settings_is_end(d->settings, id) || id >= a->draft->model->spec.vocab) break;
        a->tokens[++*n_guesses] = id;
        ids[d->lengths[0] + *n_guesses - 1] = id; /* behind the row's end, for the processors */
        if (sure < a->guess.threshold || *n_guesses == most) break;
        MICA_TRY(mica__session_run(a->draft, &id, 1, false, a->draft_scores, err));
    }
    return MICA_OK;
}

static mica_status guess(assist *a, size_t *n_guesses, mica_error *err)
{
    const mica__search *d = a->d;
    const mica_session *s = d->rows[0];
    size_t n = d->lengths[0], most = mica__row_limit(d, 0) - n - 1; /* one token comes of itself */
    *n_guesses = 0;
    if (most > a->most) most = a->most;
    if (s->length + 1 + (int64_t)most > s->capacity) most = (size_t)(s->capacity - s->length - 1);
    if (!most || d->guides || mica__session_length_matters(s, s->length + 1 + (int64_t)most)) return MICA_OK;
    if (a->draft) return draft(a, most, n_guesses, err);
    if (most > d->settings->lookup) most = d->settings->lookup;
    *n_guesses = mica__look_up(mica__row_ids(d, 0), n, d->settings->longest_match, most, a->tokens + 1);
    for (size_t i = 0; i < *n_guesses; i++) {
        if (mica__settings_is_end(d->settings, a->tokens[i + 1])) *n_guesses = i;
    }
    return MICA_OK;
}

/* ---- checking -------------------------------------------------------------------------------------------------------------------- */

/* Transformers' "heuristic": two more after a round that was all right, one less after another. */
static void adapt(assist *a, size_t n_guesses, size_t n_right)
{
    if (!a->guess.adapts) return;
    if (n_right == n_guesses) {
        a->guess.n_tokens += 2;
    } else if (a->guess.n_tokens > 1) {
        a->guess.n_tokens--;
    }
}

static mica_status round_of(assist *a, bool *end, mica_error *err)
{
    mica__search *d = a->d;
    mica_session *s = d->rows[0];
    size_t n_guesses, n_right = 0;
    a->tokens[0] = a->sampler.chosen[0];
    MICA_TRY(guess(a, &n_guesses, err));
    const int64_t before = s->length;
    MICA_TRY(mica__session_verify(s, a->tokens, n_guesses + 1, a->ahead, err));
    for (;; n_right++) {
        memcpy(d->scores, a->ahead + n_right * d->vocab, d->vocab * sizeof *d->scores);
        MICA_TRY(mica__sampler_step(&a->sampler, end, err));
        if (*end || n_right == n_guesses || a->sampler.chosen[0] != a->tokens[n_right + 1]) break;
    }
    d->n_guessed += (int64_t)n_guesses;
    d->n_accepted += (int64_t)n_right;
    adapt(a, n_guesses, n_right);
    return mica_session_truncate(s, before + 1 + (int64_t)n_right, err);
}

static mica_status run(assist *a, mica_error *err)
{
    bool end;
    MICA_TRY(mica__search_prefill(a->d, err));
    MICA_TRY(mica__sampler_step(&a->sampler, &end, err));
    while (!end) MICA_TRY(round_of(a, &end, err));
    return MICA_OK;
}

mica_status mica__assisted_search(mica__search *d, mica_batch_result *result, mica_error *err)
{
    assist a = {.d = d, .sampler = {.d = d}};
    mica_status status = start(&a, err);
    if (!status) status = run(&a, err);
    status = mica__sampler_finish(&a.sampler, status, result, err);
    release(&a);
    return status;
}
