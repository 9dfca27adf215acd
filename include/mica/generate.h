/* mica/generate.h: generation settings, sessions and batches.
 *
 *     mica_session *s = NULL;
 *     mica_generation_config *config = NULL;
 *     if (mica_session_create(&s, model, NULL, &err)) ...
 *     if (mica_generation_config_create(&config, model, &err)) ...      // the model's own settings
 *     if (mica_generation_config_set(config, "max_new_tokens", "64", &err)) ...
 *     if (mica_generate(s, ids, n_ids, config, on_token, context, &result, &err)) ...
 *
 * Settings have Transformers' names, defaults and meaning. A session owns a key-value cache and a position; it is used by one
 * thread at a time, many sessions of one model may run in different threads. */
#ifndef MICA_GENERATE_H
#define MICA_GENERATE_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mica_generation_config mica_generation_config;

/* The settings of a model: generation_config.json, else what config.json says, else Transformers' defaults. model NULL: defaults. */
MICA_API mica_status mica_generation_config_create(mica_generation_config **out, const mica_model *model,
                                                   mica_error *err) MICA_NODISCARD;
MICA_API void mica_generation_config_free(mica_generation_config *config); /* NULL allowed */
/* Sets one by its Transformers name; value is JSON ("0.7", "true", "[1, 2]", "\"stop\"", "null" unsets). INVALID for an unknown
 * name (with a suggestion), a value of the wrong type or out of range. */
MICA_API mica_status mica_generation_config_set(mica_generation_config *config, const char *name, const char *json,
                                                mica_error *err) MICA_NODISCARD;
/* Sets several from a JSON object. Unknown names are errors. */
MICA_API mica_status mica_generation_config_update(mica_generation_config *config, const char *json, size_t n,
                                                   mica_error *err) MICA_NODISCARD;
/* The value as JSON text, appended to *out: "null" if unset. */
MICA_API mica_status mica_generation_config_get(const mica_generation_config *config, const char *name, mica_text *out,
                                                mica_error *err) MICA_NODISCARD;

/* All settings, for --help and option tables. */
typedef enum mica_setting_kind {
    MICA_SETTING_BOOL,
    MICA_SETTING_INT,
    MICA_SETTING_FLOAT,
    MICA_SETTING_JSON, /* a list, a dictionary, a string, or several of these */
} mica_setting_kind;
typedef struct mica_setting {
    const char *name;
    mica_setting_kind kind;
    const char *library_default; /* JSON text, "null" if none */
    const char *help;            /* one line */
    bool has_effect;             /* false: known to Transformers, without effect here (setting it warns) */
    bool refused;                /* true: not supported yet; any value but the default fails when generation starts */
} mica_setting;
MICA_API const mica_setting *mica_setting_at(size_t i); /* NULL at the end */

/* What settings do to scores [n_rows, vocab] before a token is chosen, in place, for programs that choose for themselves: penalties, bans,
 * temperature, top_k and the like, in Transformers' order. ids [n_rows, width]: the sequences so far, the first n_prompt of each the prompt.
 * Guidance and the settings of stopping and searching have no part in it. INVALID for ids outside the vocabulary. */
MICA_API mica_status mica_process_scores(const mica_generation_config *config, const int32_t *ids, size_t n_rows,
                                         size_t width, size_t n_prompt, size_t vocab, float *scores,
                                         mica_error *err) MICA_NODISCARD;

/* ---- sessions ------------------------------------------------------------------------------------------------------------- */

typedef struct mica_session mica_session;

/* Zero means the default. */
typedef struct mica_session_options {
    /* Positions; 0: the model's context, but at least 4096, and at most what fits this machine's memory. */
    int64_t max_context;
    uint64_t seed; /* of sampling; 0: a random one. A generation setting "seed" overrides it at each mica_generate */
    /* As in mica_model_options; kv_bits 0: what the model was loaded with, -1: not quantized. */
    int kv_bits, kv_group_size;
} mica_session_options;
MICA_API mica_status mica_session_create(mica_session **out, mica_model *model, const mica_session_options *options,
                                         mica_error *err) MICA_NODISCARD;
MICA_API void mica_session_free(mica_session *s); /* NULL allowed */
/* Tokens in the cache: what a following call builds on. */
MICA_API int64_t mica_session_length(const mica_session *s);
MICA_API const int32_t *mica_session_ids(const mica_session *s); /* [length] */
/* Forgets everything after the first n tokens. UNSUPPORTED if a sliding window has already dropped what would be needed. */
MICA_API mica_status mica_session_truncate(mica_session *s, int64_t n, mica_error *err) MICA_NODISCARD;

/* Runs the model over ids at the end of the session. logits: [n, vocab] float32 for every position (all true) or [vocab] for the last;
 * NULL: none wanted. */
MICA_API mica_status mica_session_forward(mica_session *s, const int32_t *ids, size_t n, bool all, float *logits,
                                          mica_error *err) MICA_NODISCARD;

/* New positions of one session, for mica_sessions_forward. NULL: not given, or not wanted. */
typedef struct mica_forward {
    mica_session *session;
    const int32_t *ids;      /* [n]; NULL: there are embeddings, and mica_session_ids has -1 for these positions */
    const float *embeddings; /* [n, hidden_size]: mica_model_embed, or any */
    size_t n;
    bool last_only; /* logits of the last position only */
    float *logits;  /* [n, vocab], or [vocab] */
    /* A look inside: [n_layers + 1, n, hidden_size], the embeddings and what each layer leaves, the last one after the final norm. */
    float *hidden_states;
    /* Likewise: [n_layers, n_heads, n, length], length with the new positions: what each of them gives to each position, by a plain softmax over
     * those that the layer lets it see; 0 for the others. Computed beside the model's own attention, in n * length floats of memory a head. */
    float *attentions;
} mica_forward;

/* Runs the model over new positions of different sessions of one model, from ids or embeddings. The weights are read once for many positions,
 * whoever they belong to, and each position gets, to the bit, what it gets when its session runs alone. */
MICA_API mica_status mica_sessions_forward(const mica_forward *parts, size_t n, mica_error *err) MICA_NODISCARD;

/* Makes any running call of the session end with MICA_CANCELLED at the next token; may be called from any thread or signal handler. */
MICA_API void mica_session_cancel(mica_session *s);

typedef enum mica_stop_reason {
    MICA_STOP_LENGTH,
    MICA_STOP_EOS,
    MICA_STOP_STRING,
    MICA_STOP_CALLBACK,
    MICA_STOP_TIME,
} mica_stop_reason;

typedef struct mica_generate_result {
    mica_ids ids; /* new ids, without the prompt; release with mica_ids_release */
    mica_stop_reason reason;
    int64_t n_prompt;      /* prompt tokens computed (those not already in the session's cache) */
    double prompt_seconds; /* until the first token */
    double decode_seconds; /* the rest */
} mica_generate_result;

/* Called for every new token, in order: its id and the text that became complete with it (may be ""; always "" if the model has no tokenizer).
 * scores: [vocab] what the processors left before the choice. Returning non-zero stops (MICA_STOP_CALLBACK). */
typedef int (*mica_on_token)(void *context, int32_t id, const char *text, size_t n, const float *scores);

/* Generates after prompt `ids`, which replaces the session's content as far as it differs (a common prefix is kept in the cache).
 * config NULL: the model's settings. on_token and result may be NULL. Stop strings need the model's tokenizer; they end the
 * generation and stay in the text, as in Transformers. An empty prompt starts with the model's bos token. After MICA_CANCELLED, *result
 * holds what came before. A beam search gives its best sequence, and calls on_token when it has ended. INVALID for num_return_sequences above
 * 1 (mica_batch_generate has them); UNSUPPORTED for settings that are not there (mica_setting.refused): they are never ignored. */
MICA_API mica_status mica_generate(mica_session *s, const int32_t *ids, size_t n, const mica_generation_config *config,
                                   mica_on_token on_token, void *context, mica_generate_result *result,
                                   mica_error *err) MICA_NODISCARD;

/* ---- several sequences at once --------------------------------------------------------------------------------------------
 *
 *     mica_batch *b = NULL;
 *     mica_batch_request request = {.ids = ids, .mask = mask, .n_prompts = 2, .width = 12, .config = config};
 *     mica_batch_result result;
 *     if (mica_batch_create(&b, model, NULL, &err)) ...
 *     if (mica_batch_generate(b, &request, &result, &err)) ...          // result.ids [n_sequences, n_new]
 *     mica_batch_result_release(&result);
 *
 * Rows are sequences that run side by side: prompts, answers to one prompt (num_return_sequences), or beams (num_beams), in that order
 * of nesting: row r belongs to prompt r / (n_rows / n_prompts). A row's result is the same, to the bit, as that of the same row alone.
 * A batch keeps the caches of its rows from call to call, so that a prompt which begins like the one before costs only its end. It
 * is used by one thread at a time. */

typedef struct mica_batch mica_batch;

/* options: of each row's session. */
MICA_API mica_status mica_batch_create(mica_batch **out, mica_model *model, const mica_session_options *options,
                                       mica_error *err) MICA_NODISCARD;
MICA_API void mica_batch_free(mica_batch *b); /* NULL allowed */
/* As mica_session_cancel. */
MICA_API void mica_batch_cancel(mica_batch *b);

/* What callbacks see of a step. All rows are there, finished ones too (they go on with padding, as in Transformers). */
typedef struct mica_batch_step {
    size_t step; /* 0: the first new token */
    size_t n_rows, vocab, stride;
    const int32_t *ids;    /* [n_rows, stride]: prompt (its padding as it was given) and new tokens */
    const size_t *lengths; /* [n_rows]: ids of each row; all the same unless the prompts' lengths differ */
    float *scores;         /* [n_rows, vocab]; NULL for `stop` of a beam search */
} mica_batch_step;

/* What the model computed inside for one row, see mica_forward: for its prompt (without padding), then for each token that it was given. */
typedef struct mica_batch_inside {
    size_t step, row, n_rows;
    size_t n, length;           /* new positions; positions in all */
    const float *hidden_states; /* [n_layers + 1, n, hidden_size]; NULL unless wanted */
    const float *attentions;    /* [n_layers, n_heads, n, length]; NULL unless wanted */
} mica_batch_inside;

/* Callbacks; any may be NULL. One that returns non-zero ends the call with MICA_CANCELLED; the result then holds what came before. */
typedef struct mica_batch_callbacks {
    void *context;
    /* May change step->scores. Called after the settings' penalties and before temperature, top_k and their like, as Transformers calls
     * logits_processor. In a beam search the scores are log probabilities. */
    int (*process)(void *context, const mica_batch_step *step);
    /* May set done[r] (all false before); called after each token, with it in ids. In a beam search the rows are the candidates:
     * n_rows / n_prompts of each prompt, more than there are beams. As stopping_criteria. */
    int (*stop)(void *context, const mica_batch_step *step, bool *done);
    /* The tokens that may come next after ids[0..n) of a row of prompt `prompt`: sets *allowed, which must live until the next call, and
     * *n_allowed. None is an error, as in Transformers. As prefix_allowed_tokens_fn. */
    int (*allow)(void *context, size_t prompt, const int32_t *ids, size_t n, const int32_t **allowed,
                 size_t *n_allowed);
    /* New tokens, one of each row; not in a beam search (INVALID). As a streamer's put, without the prompts. */
    int (*tokens)(void *context, const int32_t *ids, size_t n_rows);
    /* A look inside, which request.want_hidden_states and want_attentions ask for: called for each row of each step, before its scores are processed. Prompts are
     * then computed whole, finished rows go on, and nothing is guessed ahead. */
    int (*inside)(void *context, const mica_batch_inside *inside);
    /* Text of a single sequence as it comes (see mica_on_token; non-zero stops with MICA_STOP_CALLBACK); of a beam search when it has ended,
     * with scores NULL. INVALID if there is more than one sequence. */
    mica_on_token token;
    void *token_context;
} mica_batch_callbacks;

typedef struct mica_batch_request {
    const int32_t *ids; /* [n_prompts, width] */
    const uint8_t *
        mask; /* [n_prompts, width]; 0: padding, which the model does not see and the settings do, as in Transformers. NULL: none */
    const size_t *lengths;   /* [n_prompts], 1 to width: what follows in ids is not looked at. NULL: all are width */
    size_t n_prompts, width; /* one prompt of width 0 without embeddings: the model's bos token */
    /* What the model sees of the prompts in the place of ids: [n_prompts, embeddings_width, hidden_size]; mask is then about these: [n_prompts,
     * embeddings_width]. Settings and callbacks see only ids, of which there may be none (width 0), and max_length counts ids. NULL: none */
    const float *embeddings;
    size_t embeddings_width;
    const mica_generation_config *config; /* NULL: the model's settings */
    /* For guidance_scale: negative prompts, [n_prompts, negative_width]; NULL: each prompt's last token. */
    const int32_t *negative_ids;
    const uint8_t *negative_mask;
    size_t negative_width;
    /* A smaller model with the same tokens that guesses ahead; the tokens are the same as without it. For a single sequence. NULL: none */
    mica_model *assistant;
    bool want_scores, want_logits;
    bool want_hidden_states, want_attentions; /* callbacks.inside gets them */
    mica_batch_callbacks callbacks;
} mica_batch_request;

/* Everything is owned by the result. Sequence i answers prompt i / (n_sequences / n_prompts). */
typedef struct mica_batch_result {
    size_t n_sequences, n_new; /* n_prompts * num_return_sequences; the longest one's new tokens */
    int32_t *ids;              /* [n_sequences, n_new]: new tokens, then padding */
    size_t *lengths;           /* [n_sequences]: new tokens, without the padding */
    mica_stop_reason *reasons; /* [n_sequences] */
    float *sequences_scores;   /* [n_sequences]; beams only, else NULL */
    int32_t *
        beam_indices; /* [n_sequences, n_new]: the row in which a token's scores stood, -1 after the end; beams only, else NULL */
    size_t n_steps, n_rows, vocab;
    float *scores;         /* [n_steps, n_rows, vocab] what the processors left; NULL unless wanted */
    float *logits;         /* [n_steps, n_rows, vocab] of the model; NULL unless wanted */
    int64_t n_prompt;      /* prompt tokens computed (those not already in the rows' caches) */
    int64_t n_guessed;     /* tokens that an assistant or the prompt proposed, */
    int64_t n_accepted;    /* and those of them that were right */
    double prompt_seconds; /* until the first tokens */
    double decode_seconds; /* the rest */
} mica_batch_result;

/* result is filled with zeros on failure, but for MICA_CANCELLED. INVALID, LIMIT, MEMORY, UNSUPPORTED as mica_generate. */
MICA_API mica_status mica_batch_generate(mica_batch *b, const mica_batch_request *request, mica_batch_result *result,
                                         mica_error *err) MICA_NODISCARD;
MICA_API void mica_batch_result_release(mica_batch_result *result); /* zeros allowed */

/* Logits of every position. ids, mask: [n_rows, width], padding on either side or anywhere (mask NULL: none), rows all of padding too.
 * logits: [n_rows, width, vocab]; those of padding are 0. */
MICA_API mica_status mica_batch_forward(mica_batch *b, const int32_t *ids, const uint8_t *mask, size_t n_rows,
                                        size_t width, float *logits, mica_error *err) MICA_NODISCARD;

#ifdef __cplusplus
}
#endif
#endif
