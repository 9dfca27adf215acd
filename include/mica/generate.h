/* mica/generate.h: generation settings and sessions.
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

/* ---- sessions ------------------------------------------------------------------------------------------------------------- */

typedef struct mica_session mica_session;

/* Zero means the default. */
typedef struct mica_session_options {
    /* Positions; 0: the model's context, but at least 4096, and at most what fits this machine's memory. */
    int64_t max_context;
    uint64_t seed; /* of sampling; 0: a random one. A generation setting "seed" overrides it at each mica_generate */
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
 * holds what came before. UNSUPPORTED for settings that are not there yet (beams, guidance, speculation): they are never ignored. */
MICA_API mica_status mica_generate(mica_session *s, const int32_t *ids, size_t n, const mica_generation_config *config,
                                   mica_on_token on_token, void *context, mica_generate_result *result,
                                   mica_error *err) MICA_NODISCARD;

#ifdef __cplusplus
}
#endif
#endif
