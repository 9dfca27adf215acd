/* generate/batch.c: the life of a batch and its sessions, and the plain forward pass over several rows. */
#include "batch.h"

#include "base/memory.h"
#include "pass.h"
#include "search.h"
#include <stdlib.h>

enum { LEAST_POSITIONS = 256 };

/* ---- sessions -------------------------------------------------------------------------------------------------------------- */

static void pool_release(mica__session_pool *p)
{
    for (size_t i = p->borrowed ? 1 : 0; i < p->n; i++) mica_session_free(p->sessions[i]);
    mica__free(p->sessions);
    *p = (mica__session_pool){0};
}

mica_status mica__batch_limit(const mica_batch *b, int64_t *out, mica_error *err)
{
    *out = b->rows.borrowed ? b->rows.borrowed->capacity : 0;
    return *out ? MICA_OK : mica__session_capacity(b->model, &b->options, out, err);
}

/* Powers of two, so that a conversation that grows does not lose its caches with every turn. */
static mica_status choose_capacity(const mica_batch *b, int64_t positions, int64_t *out, mica_error *err)
{
    int64_t limit, capacity = LEAST_POSITIONS;
    MICA_TRY(mica__batch_limit(b, &limit, err));
    while (capacity < positions) capacity *= 2;
    if (b->rows.borrowed || capacity > limit) capacity = limit;
    *out = capacity > positions ? capacity : positions;
    return MICA_OK;
}

static mica_status add_session(mica_batch *b, mica__session_pool *pool, mica_error *err)
{
    const mica_session_options options = {.max_context = pool->capacity,
                                          .seed = 1,
                                          .kv_bits = b->options.kv_bits,
                                          .kv_group_size = b->options.kv_group_size};
    mica_session *s;
    MICA_TRY(mica_session_create(&s, b->model, &options, err));
    s->cancelled = b->cancelled;
    pool->sessions[pool->n++] = s;
    return MICA_OK;
}

mica_status mica__pool_reserve(mica_batch *b, mica__session_pool *pool, size_t n, int64_t positions, mica_error *err)
{
    if (pool->capacity < positions) {
        if (pool->borrowed)
            return mica__fail(err, MICA_LIMIT, "%lld positions do not fit the session", (long long)positions);
        pool_release(pool);
        MICA_TRY(choose_capacity(b, positions, &pool->capacity, err));
    }
    if (n > pool->n) {
        mica_session **more = mica__realloc(pool->sessions, n, sizeof *more);
        if (!more) return mica__fail_memory(err, n * sizeof *more, "rows");
        pool->sessions = more;
        if (pool->borrowed && pool->n == 0) pool->sessions[pool->n++] = pool->borrowed;
    }
    while (pool->n < n) MICA_TRY(add_session(b, pool, err));
    return MICA_OK;
}

/* ---- batches ---------------------------------------------------------------------------------------------------------------- */

mica_status mica_batch_create(mica_batch **out, mica_model *model, const mica_session_options *options, mica_error *err)
{
    const mica_session_options none = {0};
    int64_t limit;
    *out = NULL;
    MICA_TRY(mica__session_capacity(model, options, &limit, err));
    mica_batch *b = mica__calloc(1, sizeof *b);
    if (!b) return mica__fail_memory(err, sizeof *b, "batch");
    b->model = model;
    b->options = options ? *options : none;
    b->options.max_context = limit;
    b->random.seed = b->options.seed ? b->options.seed : mica__random_seed();
    b->cancelled = &b->own_cancelled;
    *out = b;
    return MICA_OK;
}

void mica__batch_borrow(mica_batch *b, mica_session *s)
{
    *b = (mica_batch){.model = s->model, .random = s->random, .cancelled = s->cancelled};
    b->options.kv_bits = s->kv_bits;
    b->options.kv_group_size = s->kv_group_size;
    b->rows = (mica__session_pool){.capacity = s->capacity, .borrowed = s};
}

void mica__batch_release(mica_batch *b)
{
    if (b->rows.borrowed) b->rows.borrowed->random = b->random;
    pool_release(&b->rows);
    pool_release(&b->guides);
}

void mica_batch_free(mica_batch *b)
{
    if (!b) return;
    mica__batch_release(b);
    mica__free(b);
}

void mica_batch_cancel(mica_batch *b) { atomic_store(b->cancelled, true); }

/* ---- generating --------------------------------------------------------------------------------------------------------------- */

static mica_status check_callbacks(const mica__search *d, mica_error *err)
{
    const mica_batch_callbacks *c = &d->q->callbacks;
    const mica__settings *s = d->settings;
    if ((d->q->assistant || s->lookup) && d->n_rows > 1) {
        return mica__fail(err, MICA_INVALID, "an assistant or prompt lookup works on one sequence, not on %zu",
                          d->n_rows);
    }
    if (c->tokens && s->n_beams > 1) return mica__fail(err, MICA_INVALID, "a beam search has no tokens to stream");
    if (c->token && d->n_prompts * s->n_sequences > 1)
        return mica__fail(err, MICA_INVALID, "the text of one sequence can be followed, not of %zu",
                          d->n_prompts * s->n_sequences);
    return MICA_OK;
}

/* The token that a text begins with, for a prompt of nothing. */
static mica_status first_token(const mica_generation_config *config, int32_t *out, mica_error *err)
{
    const char *text = mica__setting_text(config, MICA__SET_bos_token_id);
    if (!strcmp(text, "null"))
        return mica__fail(err, MICA_INVALID, "the prompt is empty and the model has no bos_token_id");
    *out = (int32_t)strtol(text, NULL, 10);
    return MICA_OK;
}

static mica_status generate(mica_batch *b, const mica_batch_request *q, mica_batch_result *result, mica_error *err)
{
    mica__search d = {0};
    mica_status status = mica__search_start(&d, b, q, err);
    if (!status) status = check_callbacks(&d, err);
    if (!status) {
        bool guesses = (q->assistant || d.settings->lookup) && !d.inside && !q->embeddings;
        status = guesses                   ? mica__assisted_search(&d, result, err)
                 : d.settings->n_beams > 1 ? mica__beam_search(&d, result, err)
                                           : mica__sample(&d, result, err);
    }
    if (!status || status == MICA_CANCELLED) mica__result_finish(result, &d);
    mica__search_release(&d);
    return status;
}

mica_status mica_batch_generate(mica_batch *b, const mica_batch_request *request, mica_batch_result *result,
                                mica_error *err)
{
    mica_batch_request q = *request;
    mica_generation_config *own = NULL;
    *result = (mica_batch_result){0};
    atomic_store(b->cancelled, false);
    mica_status status = q.config ? MICA_OK : mica_generation_config_create(&own, b->model, err);
    if (own) q.config = own;
    int32_t first;
    if (!status && q.width == 0 && q.n_prompts == 1 && !q.embeddings) {
        status = first_token(q.config, &first, err);
        q.ids = &first, q.mask = NULL, q.lengths = NULL, q.width = 1;
    }
    if (!status) status = generate(b, &q, result, err);
    if (status && status != MICA_CANCELLED) mica_batch_result_release(result);
    mica_generation_config_free(own);
    return status;
}

/* ---- forward ------------------------------------------------------------------------------------------------------------------- */

enum { GROUP_ROWS = 32 }; /* whose caches are there at a time */

/* Logits of the n tokens that were seen, one after another, go to their places; those of padding become 0. */
static void spread(float *logits, const uint8_t *mask, size_t n, size_t width, size_t vocab)
{
    for (size_t i = width; i-- > 0;) {
        if (mask && !mask[i]) {
            memset(logits + i * vocab, 0, vocab * sizeof *logits);
        } else if (--n != i) {
            memcpy(logits + i * vocab, logits + n * vocab, vocab * sizeof *logits);
        }
    }
}

/* Rows whose padding is left out, in seen [n_rows, width]. */
static mica_status forward_group(mica_batch *b, const int32_t *ids, const uint8_t *mask, size_t n_rows, size_t width,
                                 int32_t *seen, float *logits, mica_error *err)
{
    const size_t vocab = (size_t)b->model->spec.vocab;
    mica_forward parts[GROUP_ROWS];
    MICA_TRY(mica__pool_reserve(b, &b->rows, n_rows, (int64_t)width, err));
    for (size_t r = 0; r < n_rows; r++) {
        mica_session *s = b->rows.sessions[r];
        MICA_TRY(mica_session_truncate(s, 0, err));
        const size_t n = mica__compact(ids + r * width, mask ? mask + r * width : NULL, width, seen + r * width);
        parts[r] = (mica_forward){s, .ids = seen + r * width, .n = n, .logits = logits + r * width * vocab};
    }
    MICA_TRY(mica__pass(parts, n_rows, err));
    for (size_t r = 0; r < n_rows; r++)
        spread(parts[r].logits, mask ? mask + r * width : NULL, parts[r].n, width, vocab);
    return MICA_OK;
}

mica_status mica_batch_forward(mica_batch *b, const int32_t *ids, const uint8_t *mask, size_t n_rows, size_t width,
                               float *logits, mica_error *err)
{
    const size_t vocab = (size_t)b->model->spec.vocab;
    int64_t limit;
    atomic_store(b->cancelled, false);
    MICA_TRY(mica__batch_limit(b, &limit, err));
    if ((uint64_t)width > (uint64_t)limit)
        return mica__fail(err, MICA_LIMIT, "rows of %zu tokens, the context holds %lld", width, (long long)limit);
    if (!n_rows || !width) return MICA_OK;
    /* Enough rows to fill some runs; more of them would only hold more caches. */
    size_t most = 4 * (size_t)b->model->max_rows / width;
    most = most < 1 ? 1 : most < GROUP_ROWS ? most : GROUP_ROWS;
    int32_t *seen = mica__alloc(most, width * sizeof *seen);
    if (!seen) return mica__fail_memory(err, most * width * sizeof *seen, "token ids");
    mica_status status = MICA_OK;
    for (size_t r = 0, n; r < n_rows && !status; r += n) {
        n = n_rows - r < most ? n_rows - r : most;
        status = forward_group(b, ids + r * width, mask ? mask + r * width : NULL, n, width, seen,
                               logits + r * width * vocab, err);
    }
    mica__free(seen);
    return status;
}
