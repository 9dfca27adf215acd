/* generate/search.c: see the header.
 *
 * Everything that a step needs is made before the first one; only wanted scores grow. */
#include "search.h"

#include "base/memory.h"
#include <math.h>
#include <time.h>

double mica__seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

mica_status mica__fail_cancelled(mica_error *err) { return mica__fail(err, MICA_CANCELLED, "cancelled"); }

/* ---- before ---------------------------------------------------------------------------------------------------------------- */

static size_t prompt_length(const mica_batch_request *q, size_t prompt)
{
    return q->lengths ? q->lengths[prompt] : q->width;
}

/* What the model sees of a prompt before its padding is left out: [seen_width]. */
static size_t seen_width(const mica_batch_request *q) { return q->embeddings ? q->embeddings_width : q->width; }

static bool is_visible(const mica_batch_request *q, size_t prompt, size_t i)
{
    return !q->mask || q->mask[prompt * seen_width(q) + i];
}

/* Positions in the caches beside those of the row's ids; negative if the prompt has more ids than embeddings. */
static int64_t positions_beside_ids(const mica_batch_request *q, size_t prompt)
{
    return q->embeddings ? (int64_t)q->embeddings_width - (int64_t)prompt_length(q, prompt) : 0;
}

static mica_status check_request(const mica_batch_request *q, size_t vocab, mica_error *err)
{
    const size_t width = seen_width(q), longest = width > q->width ? width : q->width;
    if (q->n_prompts < 1 || width < 1 || q->n_prompts > MICA__MAX_ROWS || longest > MICA__MAX_CONTEXT)
        return mica__fail(err, MICA_INVALID, "%zu prompts of %zu tokens", q->n_prompts, longest);
    for (size_t p = 0; p < q->n_prompts; p++) {
        size_t n = prompt_length(q, p), seen = 0;
        if ((n < 1 && !q->embeddings) || n > q->width)
            return mica__fail(err, MICA_INVALID, "prompt %zu has %zu tokens, expected 1 to %zu", p, n, q->width);
        for (size_t i = 0; i < n; i++) {
            int32_t id = q->ids[p * q->width + i];
            if (id >= 0 && (size_t)id < vocab) continue;
            return mica__fail(err, MICA_INVALID, "token id %d is not in the vocabulary of %zu", (int)id, vocab);
        }
        for (size_t i = 0; i < (q->embeddings ? width : n); i++) seen += is_visible(q, p, i);
        if (!seen) return mica__fail(err, MICA_INVALID, "prompt %zu is nothing but padding", p);
    }
    for (size_t i = 0; q->negative_ids && i < q->n_prompts * q->negative_width; i++) {
        int32_t id = q->negative_ids[i];
        if (id >= 0 && (size_t)id < vocab) continue;
        return mica__fail(err, MICA_INVALID, "negative token id %d is not in the vocabulary of %zu", (int)id, vocab);
    }
    return MICA_OK;
}

static mica_status resolve_settings(mica__search *d, const mica_generation_config *config, mica_error *err)
{
    const mica__decoder_spec *spec = &d->b->model->spec;
    d->settings = mica__calloc(d->n_prompts, sizeof *d->settings);
    if (!d->settings) return mica__fail_memory(err, d->n_prompts * sizeof *d->settings, "generation settings");
    for (size_t p = 0; p < d->n_prompts; p++) {
        MICA_TRY(mica__settings_resolve(&d->settings[p], config, (int64_t)prompt_length(d->q, p), spec->context,
                                        spec->vocab, err));
    }
    if (d->settings->by_default)
        mica__model_notice(d->b->model, "neither max_new_tokens nor max_length is set; generating at most 20 tokens");
    d->per_prompt = d->settings->n_beams > 1 ? d->settings->n_beams : d->settings->n_sequences;
    d->n_rows = d->n_prompts * d->per_prompt;
    if (d->n_rows <= MICA__MAX_ROWS) return MICA_OK;
    return mica__fail(err, MICA_LIMIT, "%zu rows (%zu for each of %zu prompts), the limit is %d", d->n_rows,
                      d->per_prompt, d->n_prompts, MICA__MAX_ROWS);
}

/* How long rows may become. The last token needs no place in the cache. */
static mica_status limit_lengths(mica__search *d, mica_error *err)
{
    int64_t limit;
    MICA_TRY(mica__batch_limit(d->b, &limit, err));
    for (size_t p = 0; p < d->n_prompts; p++) {
        mica__settings *s = &d->settings[p];
        const int64_t beside = positions_beside_ids(d->q, p);
        if (s->n_prompt + beside >= limit) {
            return mica__fail(err, MICA_LIMIT, "the prompt has %lld tokens, the context holds %lld",
                              (long long)(s->n_prompt + beside), (long long)limit);
        }
        s->limit = s->max_length <= limit - beside ? s->max_length : limit + 1 - beside;
        if ((size_t)s->limit > d->stride) d->stride = (size_t)s->limit;
    }
    return MICA_OK;
}

static mica_status make_rows(mica__search *d, mica_error *err)
{
    size_t n_ids;
    if (!mica__mul(d->n_rows, d->stride, &n_ids)) return mica__fail_memory(err, d->stride, "token ids");
    d->ids = mica__alloc(n_ids, sizeof *d->ids);
    d->lengths = mica__alloc(d->n_rows, sizeof *d->lengths);
    d->rows = mica__alloc(d->n_rows, sizeof(mica_session *));
    d->idle = mica__calloc(d->n_rows, sizeof *d->idle);
    const bool guided = d->settings->guidance != 1;
    d->scores = mica__alloc(d->n_rows * (guided ? 2 : 1), d->vocab * sizeof *d->scores);
    d->active = mica__alloc(2 * d->n_rows, sizeof(mica_session *));
    d->newest = mica__alloc(2 * d->n_rows, sizeof *d->newest);
    if (!d->ids || !d->lengths || !d->rows || !d->idle || !d->scores || !d->active || !d->newest)
        return mica__fail_memory(err, n_ids * sizeof *d->ids + d->n_rows * d->vocab * sizeof *d->scores, "rows");
    int64_t beside = 0;
    for (size_t r = 0; r < d->n_rows; r++) {
        size_t prompt = r / d->per_prompt;
        d->lengths[r] = prompt_length(d->q, prompt);
        if (positions_beside_ids(d->q, prompt) > beside) beside = positions_beside_ids(d->q, prompt);
        if (d->lengths[r])
            memcpy(mica__row_ids(d, r), d->q->ids + prompt * d->q->width, d->lengths[r] * sizeof *d->ids);
    }
    mica__session_pool *pool = &d->b->rows;
    MICA_TRY(mica__pool_reserve(d->b, pool, d->n_rows, (int64_t)d->stride - 1 + beside, err));
    memcpy(d->rows, pool->sessions, d->n_rows * sizeof *d->rows);
    if (!guided) return MICA_OK;
    d->guides = d->scores + d->n_rows * d->vocab;
    int64_t positions = (int64_t)(d->stride + d->q->negative_width);
    MICA_TRY(mica__pool_reserve(d->b, &d->b->guides, d->n_rows, positions, err));
    for (size_t r = 0; r < d->n_rows; r++) MICA_TRY(mica_session_truncate(d->b->guides.sessions[r], 0, err));
    return MICA_OK;
}

mica_status mica__search_start(mica__search *d, mica_batch *b, const mica_batch_request *q, mica_error *err)
{
    const mica_batch_callbacks *c = &q->callbacks;
    *d = (mica__search){.b = b,
                        .q = q,
                        .n_prompts = q->n_prompts,
                        .vocab = (size_t)b->model->spec.vocab,
                        .inside = q->want_hidden_states || q->want_attentions,
                        .all_rows = q->want_scores || q->want_logits || c->process || c->stop || c->allow ||
                                    q->want_hidden_states || q->want_attentions,
                        .started = mica__seconds()};
    if (d->inside && !c->inside) return mica__fail(err, MICA_INVALID, "a look inside needs a callback for it");
    MICA_TRY(check_request(q, d->vocab, err));
    MICA_TRY(resolve_settings(d, q->config, err));
    MICA_TRY(limit_lengths(d, err));
    if (d->settings->has_seed) b->random = (mica__random){.seed = d->settings->seed};
    bool wants_text = c->token || d->settings->n_stop_strings;
    if (wants_text && b->model->info.has_tokenizer) MICA_TRY(mica_model_tokenizer(b->model, &d->tokenizer, err));
    MICA_TRY(mica__processors_create(&d->processors, d->settings, d->vocab, err));
    return make_rows(d, err);
}

void mica__search_release(mica__search *d)
{
    for (size_t p = 0; d->settings && p < d->n_prompts; p++) mica__settings_release(&d->settings[p]);
    mica__free(d->settings);
    mica__processors_release(&d->processors);
    mica__free(d->ids);
    mica__free(d->lengths);
    mica__free(d->rows);
    mica__free(d->idle);
    mica__free(d->scores);
    mica__free(d->active);
    mica__free(d->newest);
    mica__free(d->kept_scores.data);
    mica__free(d->kept_logits.data);
    *d = (mica__search){0};
}

size_t mica__row_limit(const mica__search *d, size_t row) { return (size_t)mica__row_settings(d, row)->limit; }

/* ---- running the model -------------------------------------------------------------------------------------------------------- */

size_t mica__compact(const int32_t *ids, const uint8_t *mask, size_t n, int32_t *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (!mask || mask[i]) out[kept++] = ids[i];
    }
    return kept;
}

/* The embeddings of a prompt without those of padding, copied to seen. */
static mica_forward embeddings_part(mica__search *d, size_t prompt, float *seen)
{
    const size_t hidden = (size_t)d->b->model->spec.hidden, width = d->q->embeddings_width,
                 first = prompt * d->per_prompt;
    const float *from = d->q->embeddings + prompt * width * hidden;
    size_t n = 0;
    for (size_t i = 0; i < width; i++)
        if (is_visible(d->q, prompt, i)) memcpy(seen + n++ * hidden, from + i * hidden, hidden * sizeof *seen);
    mica__session_keep_prefix(d->rows[first], NULL, 0);
    d->n_prompt += (int64_t)n;
    return (mica_forward){d->rows[first], .embeddings = seen, .n = n, .last_only = true,
                          .logits = mica__row_scores(d, first)};
}

/* What the first row of a prompt has to run; its ids go to seen [width]. */
static mica_forward prompt_part(mica__search *d, size_t prompt, int32_t *seen)
{
    const size_t first = prompt * d->per_prompt, at = prompt * d->q->width;
    const uint8_t *mask = d->q->mask ? d->q->mask + at : NULL;
    const size_t n = mica__compact(d->q->ids + at, mask, prompt_length(d->q, prompt), seen);
    mica_session *s = d->rows[first];
    mica__session_keep_prefix(s, seen, d->inside ? 0 : n);
    const size_t kept = (size_t)s->length;
    d->n_prompt += (int64_t)(n - kept);
    return (mica_forward){s, .ids = seen + kept, .n = n - kept, .last_only = true,
                          .logits = mica__row_scores(d, first)};
}

/* A guide sees the negative prompt, or the prompt's last token, and then every token of its row. */
static mica_forward guide_part(mica__search *d, size_t row, int32_t *seen)
{
    const mica_batch_request *q = d->q;
    size_t at = row / d->per_prompt * q->negative_width, n = 1;
    if (q->negative_ids && q->negative_width) {
        n = mica__compact(q->negative_ids + at, q->negative_mask ? q->negative_mask + at : NULL, q->negative_width,
                          seen);
    } else {
        n = d->lengths[row] > 0;
        if (n) seen[0] = mica__row_ids(d, row)[d->lengths[row] - 1];
    }
    return (mica_forward){d->b->guides.sessions[row], .ids = seen, .n = n, .last_only = true,
                          .logits = d->guides + row * d->vocab};
}

/* parts: room for all prompts and, if there are guides, all rows; seen: [parts, width]; embeddings: as the request's, if it has any. */
static mica_status prefill(mica__search *d, mica_forward *parts, int32_t *seen, size_t width, float *embeddings,
                           mica_error *err)
{
    size_t n = 0;
    const size_t stride = d->q->embeddings_width * (size_t)d->b->model->spec.hidden;
    for (size_t p = 0; p < d->n_prompts; p++, n++)
        parts[n] = embeddings ? embeddings_part(d, p, embeddings + p * stride) : prompt_part(d, p, seen + n * width);
    for (size_t r = 0; d->guides && r < d->n_rows; r++, n++) {
        parts[n] = guide_part(d, r, seen + n * width);
        if (!parts[n].n)
            return mica__fail(err, MICA_INVALID, "there is no negative prompt, or nothing but padding in it");
    }
    MICA_TRY(mica__search_pass(d, parts, n, d->n_prompts, err));
    for (size_t r = 0; r < d->n_rows; r++) {
        const size_t first = r / d->per_prompt * d->per_prompt;
        if (r == first) continue;
        MICA_TRY(mica__session_fork(d->rows[r], d->rows[first], err));
        memcpy(mica__row_scores(d, r), mica__row_scores(d, first), d->vocab * sizeof *d->scores);
    }
    return MICA_OK;
}

mica_status mica__search_prefill(mica__search *d, mica_error *err)
{
    const size_t width = d->q->width > d->q->negative_width ? d->q->width : d->q->negative_width;
    const size_t n = d->n_prompts + (d->guides ? d->n_rows : 0);
    mica__arena memory = {0};
    mica_forward *parts = mica__arena_alloc(&memory, n, sizeof *parts);
    int32_t *seen = mica__arena_alloc(&memory, n, width * sizeof *seen);
    const size_t row = d->q->embeddings_width * (size_t)d->b->model->spec.hidden * sizeof(float);
    float *embeddings = d->q->embeddings ? mica__arena_alloc(&memory, d->n_prompts, row) : NULL;
    const bool made = parts && seen && (embeddings || !d->q->embeddings);
    mica_status status = made ? prefill(d, parts, seen, width, embeddings, err)
                              : mica__fail_memory(err, n * width * sizeof *seen, "prompts");
    mica__arena_release(&memory);
    return status;
}

/* The active sessions' newest tokens by a pass that shows what was inside. */
static mica_status step_inside(mica__search *d, size_t n, mica_error *err)
{
    mica_forward *parts = mica__alloc(n, sizeof *parts);
    if (!parts) return mica__fail_memory(err, n * sizeof *parts, "a look inside");
    for (size_t i = 0; i < n; i++)
        parts[i] = (mica_forward){d->active[i], .ids = &d->newest[i], .n = 1, .logits = d->scores + i * d->vocab};
    mica_status status = mica__search_pass(d, parts, n, d->n_rows, err);
    mica__free(parts);
    return status;
}

mica_status mica__search_advance(mica__search *d, mica_error *err)
{
    /* The rows that go on, then their guides. Their logits come one after another and are moved to their places from behind. */
    size_t n = 0, places = d->n_rows * (d->guides ? 2 : 1);
    for (size_t i = 0; i < places; i++) {
        size_t row = i % d->n_rows;
        if (d->idle[row]) continue;
        d->active[n] = i < d->n_rows ? d->rows[row] : d->b->guides.sessions[row];
        d->newest[n++] = mica__row_ids(d, row)[d->lengths[row] - 1];
    }
    MICA_TRY(d->inside ? step_inside(d, n, err) : mica__sessions_step(d->active, d->newest, n, d->scores, err));
    for (size_t i = places; n > 0 && n < i; i--) {
        if (d->idle[(i - 1) % d->n_rows]) continue;
        n--;
        memmove(d->scores + (i - 1) * d->vocab, d->scores + n * d->vocab, d->vocab * sizeof *d->scores);
    }
    return MICA_OK;
}

/* ---- scores -------------------------------------------------------------------------------------------------------------------- */

static mica_status keep_scores(mica__kept_scores *k, const mica__search *d, mica_error *err)
{
    size_t n = d->n_rows * d->vocab, need;
    if (!mica__add(k->n, n, &need)) return mica__fail_memory(err, n, "scores");
    if (need > k->cap) {
        size_t cap = k->cap + k->cap / 2 > need ? k->cap + k->cap / 2 : need;
        float *data = mica__realloc(k->data, cap, sizeof *data);
        if (!data) return mica__fail_memory(err, cap * sizeof *data, "scores of all steps");
        k->data = data;
        k->cap = cap;
    }
    memcpy(k->data + k->n, d->scores, n * sizeof *k->data);
    k->n = need;
    return MICA_OK;
}

/* Away from what the guide would say: g * (score - guide) + guide, of log probabilities. */
static void guide_row(mica__search *d, size_t row)
{
    float *scores = mica__row_scores(d, row), *guide = d->guides + row * d->vocab, g = (float)d->settings->guidance;
    mica__log_softmax(scores, d->vocab);
    mica__log_softmax(guide, d->vocab);
    for (size_t i = 0; i < d->vocab; i++) scores[i] = g * (scores[i] - guide[i]) + guide[i];
}

static mica_status keep_allowed(mica__search *d, size_t row, mica_error *err)
{
    const mica_batch_callbacks *c = &d->q->callbacks;
    const size_t prompt = row / d->per_prompt;
    float *scores = mica__row_scores(d, row), *kept = d->processors.keys;
    const int32_t *allowed = NULL;
    size_t n = 0;
    if (!c->allow) return MICA_OK;
    if (c->allow(c->context, prompt, mica__row_ids(d, row), d->lengths[row], &allowed, &n))
        return mica__fail_cancelled(err);
    if (!n) return mica__fail(err, MICA_INVALID, "no token is allowed to follow in prompt %zu", prompt);
    for (size_t i = 0; i < d->vocab; i++) kept[i] = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (allowed[i] < 0 || (size_t)allowed[i] >= d->vocab) {
            return mica__fail(err, MICA_INVALID, "allowed token id %d is not in the vocabulary of %zu", (int)allowed[i],
                              d->vocab);
        }
        kept[allowed[i]] = scores[allowed[i]];
    }
    memcpy(scores, kept, d->vocab * sizeof *scores);
    return MICA_OK;
}

void mica__search_look_at(mica__search *d, size_t row)
{
    const size_t prompt = row;
    d->processors.s = mica__row_settings(d, row);
    d->processors.prompt = (mica__id_list){NULL, 0};
    if (prompt >= d->n_prompts || d->q->embeddings)
        return; /* settings about the prompt are about what the model sees of it */
    d->processors.prompt = (mica__id_list){d->q->ids + prompt * d->q->width, prompt_length(d->q, prompt)};
}

/* All that comes before the caller's own processor. */
static mica_status process_row(mica__search *d, size_t row, mica_error *err)
{
    float *scores = mica__row_scores(d, row);
    mica__search_look_at(d, row);
    for (size_t i = 0; i < d->vocab && !d->processors.s->remove_invalid; i++) {
        if (isnan(scores[i])) return mica__fail(err, MICA_DATA, "nan_logits: the model's scores are not numbers");
    }
    if (d->log_probs) mica__log_softmax(scores, d->vocab);
    if (d->guides) guide_row(d, row);
    mica__processors_penalize(&d->processors, mica__row_ids(d, row), d->lengths[row], scores);
    MICA_TRY(keep_allowed(d, row, err));
    mica__processors_force(&d->processors, d->lengths[row], scores);
    return MICA_OK;
}

mica_status mica__search_process(mica__search *d, mica_error *err)
{
    const mica_batch_callbacks *c = &d->q->callbacks;
    const mica_batch_step step = {.step = d->step,
                                  .n_rows = d->n_rows,
                                  .vocab = d->vocab,
                                  .stride = d->stride,
                                  .ids = d->ids,
                                  .lengths = d->lengths,
                                  .scores = d->scores};
    if (atomic_load(d->b->cancelled)) return mica__fail_cancelled(err);
    if (d->q->want_logits) MICA_TRY(keep_scores(&d->kept_logits, d, err));
    for (size_t r = 0; r < d->n_rows; r++) {
        if (!d->idle[r]) MICA_TRY(process_row(d, r, err));
    }
    if (c->process && c->process(c->context, &step)) return mica__fail_cancelled(err);
    for (size_t r = 0; r < d->n_rows; r++) {
        mica__search_look_at(d, r);
        if (!d->idle[r]) {
            mica__processors_warp(&d->processors, mica__row_ids(d, r), d->lengths[r], mica__row_scores(d, r));
        }
    }
    return d->q->want_scores ? keep_scores(&d->kept_scores, d, err) : MICA_OK;
}

/* ---- results ------------------------------------------------------------------------------------------------------------------- */

mica_status mica__result_reserve(mica_batch_result *r, size_t n_sequences, size_t n_new, bool beams, mica_error *err)
{
    size_t n;
    if (!mica__mul(n_sequences, n_new, &n)) return mica__fail_memory(err, n_new, "results");
    r->ids = mica__calloc(n ? n : 1, sizeof *r->ids);
    r->lengths = mica__calloc(n_sequences, sizeof *r->lengths);
    r->reasons = mica__calloc(n_sequences, sizeof *r->reasons);
    bool made = r->ids && r->lengths && r->reasons;
    if (beams && made) {
        r->sequences_scores = mica__calloc(n_sequences, sizeof *r->sequences_scores);
        r->beam_indices = mica__calloc(n ? n : 1, sizeof *r->beam_indices);
        made = r->sequences_scores && r->beam_indices;
    }
    if (!made) return mica__fail_memory(err, n * sizeof *r->ids, "results");
    r->n_sequences = n_sequences;
    r->n_new = n_new;
    return MICA_OK;
}

void mica__result_finish(mica_batch_result *r, mica__search *d)
{
    double now = mica__seconds();
    r->n_steps = d->step;
    r->n_rows = d->n_rows;
    r->vocab = d->vocab;
    r->n_prompt = d->n_prompt;
    r->n_guessed = d->n_guessed;
    r->n_accepted = d->n_accepted;
    r->prompt_seconds = (d->first > 0 ? d->first : now) - d->started;
    r->decode_seconds = d->first > 0 ? now - d->first : 0;
    r->scores = d->kept_scores.data;
    r->logits = d->kept_logits.data;
    d->kept_scores.data = d->kept_logits.data = NULL;
}

void mica_batch_result_release(mica_batch_result *r)
{
    mica__free(r->ids);
    mica__free(r->lengths);
    mica__free(r->reasons);
    mica__free(r->sequences_scores);
    mica__free(r->beam_indices);
    mica__free(r->scores);
    mica__free(r->logits);
    *r = (mica_batch_result){0};
}
