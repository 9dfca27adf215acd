/* generate/search.h: what all ways of searching share: rows of ids, their sessions, and the way from logits to processed scores.
 *
 * A strategy (sample.c, beams.c, assist.c) starts with _start and _prefill, which leave the logits after the prompts in `scores`;
 * then it repeats _process, its choice of tokens, and _advance. */
#ifndef MICA_GENERATE_SEARCH_H
#define MICA_GENERATE_SEARCH_H

#include "batch.h"
#include "processors.h"
#include "stop_strings.h"

/* Vectors of `vocab` floats that were wanted, one after another. */
typedef struct mica__kept_scores {
    float *data;
    size_t n, cap; /* floats */
} mica__kept_scores;

typedef struct mica__search {
    mica_batch *b;
    const mica_batch_request *q;
    const mica_tokenizer *tokenizer; /* NULL: not needed, or there is none */
    mica__settings *settings;        /* [n_prompts] */
    mica__processors processors;
    size_t n_prompts, per_prompt, n_rows, vocab, stride;
    int32_t *ids;          /* [n_rows, stride] */
    size_t *lengths;       /* [n_rows] */
    mica_session **rows;   /* [n_rows], borrowed from the pool */
    float *scores;         /* [n_rows, vocab] */
    float *guides;         /* [n_rows, vocab] of the guides' logits, behind scores; NULL: no guidance */
    mica_session **active; /* scratch [2 * n_rows]: the sessions of a step, */
    int32_t *newest;       /* [2 * n_rows] and their tokens */
    bool *idle;            /* [n_rows]: done, and nobody looks at the row any more */
    bool log_probs;        /* scores are made log probabilities first */
    bool all_rows;         /* finished rows go on, because somebody looks at them */
    bool inside;           /* the request wants a look inside */
    size_t step;
    mica__kept_scores kept_scores, kept_logits;
    double started, first; /* seconds */
    int64_t n_prompt;      /* prompt tokens computed */
    int64_t n_guessed, n_accepted;
} mica__search;

double mica__seconds(void);
/* What the model sees of ids[0..n): those that are not padding (mask NULL: all), to out. Returns their number. */
size_t mica__compact(const int32_t *ids, const uint8_t *mask, size_t n, int32_t *out);

/* Rows for the request's prompts, per_prompt of each. Nothing has been computed yet. {0} may be released. */
mica_status mica__search_start(mica__search *d, mica_batch *b, const mica_batch_request *q, mica_error *err);
void mica__search_release(mica__search *d);
/* mica__pass that shows what was inside to the caller, if wanted: part i is that of the rows from i * per_part on; n_looked of them. */
mica_status mica__search_pass(mica__search *d, mica_forward *parts, size_t n, size_t n_looked, mica_error *err);
/* Runs the prompts; the logits of their last tokens go to scores. */
mica_status mica__search_prefill(mica__search *d, mica_error *err);
/* Runs the last id of each row that is not idle; its logits go to scores. */
mica_status mica__search_advance(mica__search *d, mica_error *err);
/* scores: from logits to what a token is chosen by; keeps what the request wants. */
mica_status mica__search_process(mica__search *d, mica_error *err);

/* Sets the processors up for a row. encoder_repetition_penalty counts prompts as Transformers does: row i has prompt i, and where a prompt has
 * several rows, those from n_prompts on have none. */
void mica__search_look_at(mica__search *d, size_t row);

static inline int32_t *mica__row_ids(const mica__search *d, size_t row) { return d->ids + row * d->stride; }
static inline float *mica__row_scores(const mica__search *d, size_t row) { return d->scores + row * d->vocab; }
static inline mica__settings *mica__row_settings(const mica__search *d, size_t row)
{
    return &d->settings[row / d->per_prompt];
}
/* Length at which the row is full. */
size_t mica__row_limit(const mica__search *d, size_t row);

/* Results, zeroed, with room for n_sequences of n_new tokens. */
mica_status mica__result_reserve(mica_batch_result *r, size_t n_sequences, size_t n_new, bool beams, mica_error *err);
/* Times, and the kept scores, which the result takes over. */
void mica__result_finish(mica_batch_result *r, mica__search *d);
mica_status mica__fail_cancelled(mica_error *err);

/* The strategies. They fill result as far as they got, also when they fail. */
mica_status mica__sample(mica__search *d, mica_batch_result *result, mica_error *err);
mica_status mica__beam_search(mica__search *d, mica_batch_result *result, mica_error *err); /* all or nothing */
mica_status mica__assisted_search(mica__search *d, mica_batch_result *result, mica_error *err);

#endif
