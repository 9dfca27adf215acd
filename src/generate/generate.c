/* generate/generate.c: the loop. Score, process, choose, report, look for a reason to stop, feed the token back.
 *
 * Everything is made before the first token; the loop allocates nothing. */
#include "base/memory.h"
#include "processors.h"
#include "session.h"
#include "stop_strings.h"
#include <math.h>
#include <stdlib.h>
#include <time.h>

typedef struct loop {
    mica_session *s;
    mica__settings settings;
    mica__processors processors;
    mica__stop_strings stops;
    mica_decode_stream *stream; /* NULL: no tokenizer */
    mica__buf text;             /* of the token being reported */
    int32_t *ids;               /* [n] prompt and new tokens, room for all */
    size_t n, cap;
    mica_on_token on_token;
    void *context;
    double started, first; /* seconds */
    mica_stop_reason reason;
} loop;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- before ----------------------------------------------------------------------------------------------------------------------------- */

static mica_status make_text(loop *l, size_t n_prompt, mica_error *err)
{
    const mica_tokenizer *tokenizer = NULL;
    mica_model *m = l->s->model;
    bool wants_text = l->on_token || l->settings.n_stop_strings;
    if (wants_text && m->info.has_tokenizer) MICA_TRY(mica_model_tokenizer(m, &tokenizer, err));
    if (tokenizer && l->on_token) MICA_TRY(mica_decode_stream_create(&l->stream, tokenizer, true, err));
    return mica__stop_strings_create(&l->stops, l->settings.stop_strings, l->settings.n_stop_strings, tokenizer, l->ids,
                                     n_prompt, err);
}

static mica_status start(loop *l, const int32_t *ids, size_t n, const mica_generation_config *config, mica_error *err)
{
    mica_session *s = l->s;
    const mica__decoder_spec *spec = &s->model->spec;
    if ((int64_t)n >= s->capacity) {
        return mica__fail(err, MICA_LIMIT, "the prompt has %zu tokens, the context holds %lld", n,
                          (long long)s->capacity);
    }
    MICA_TRY(mica__settings_resolve(&l->settings, config, (int64_t)n, spec->context, spec->vocab, err));
    if (l->settings.by_default) {
        mica__model_notice(s->model, "neither max_new_tokens nor max_length is set; generating at most 20 tokens");
    }
    if (l->settings.has_seed) s->random = (mica__random){.seed = l->settings.seed};
    /* The last token needs no place in the cache. */
    int64_t most = l->settings.max_length <= s->capacity ? l->settings.max_length : s->capacity + 1;
    l->cap = (size_t)most;
    l->ids = mica__alloc(l->cap, sizeof *l->ids);
    if (!l->ids) return mica__fail_memory(err, l->cap * sizeof *l->ids, "token ids");
    memcpy(l->ids, ids, n * sizeof *ids);
    l->n = n;
    MICA_TRY(mica__processors_create(&l->processors, &l->settings, (size_t)spec->vocab, err));
    if (!mica__buf_reserve(&l->text, 4096)) return mica__buf_status(&l->text, err, "text");
    return make_text(l, n, err);
}

static void finish(loop *l)
{
    mica__settings_release(&l->settings);
    mica__processors_release(&l->processors);
    mica__stop_strings_release(&l->stops);
    mica_decode_stream_free(l->stream);
    mica__buf_release(&l->text);
    mica__free(l->ids);
}

/* ---- one token ---------------------------------------------------------------------------------------------------------------------------- */

static mica_status choose(loop *l, int32_t *id, mica_error *err)
{
    float *scores = l->s->logits;
    size_t vocab = l->processors.vocab;
    for (size_t i = 0; i < vocab && !l->settings.remove_invalid; i++) {
        if (isnan(scores[i])) return mica__fail(err, MICA_DATA, "nan_logits: the model's scores are not numbers");
    }
    mica__processors_apply(&l->processors, l->ids, l->n, scores);
    *id = l->settings.do_sample ? mica__choose_random(scores, vocab, &l->s->random) : mica__choose_best(scores, vocab);
    if (*id >= 0) return MICA_OK;
    return mica__fail(err, MICA_INVALID, "the generation settings leave no token to choose from");
}

static bool is_end(const mica__settings *s, int32_t id)
{
    for (size_t i = 0; i < s->eos.n; i++) {
        if (s->eos.ids[i] == id) return true;
    }
    return false;
}

/* True if the token just appended is the last; says why. */
static mica_status look_for_end(loop *l, bool *end, mica_error *err)
{
    int32_t id = l->ids[l->n - 1];
    bool stop_string;
    MICA_TRY(mica__stop_strings_push(&l->stops, id, &stop_string, err));
    *end = true;
    if (is_end(&l->settings, id)) {
        l->reason = MICA_STOP_EOS;
    } else if (stop_string) {
        l->reason = MICA_STOP_STRING;
    } else if (l->n == l->cap) {
        l->reason = MICA_STOP_LENGTH;
    } else if (l->settings.max_time > 0 && seconds() - l->started > l->settings.max_time) {
        l->reason = MICA_STOP_TIME;
    } else {
        *end = false;
    }
    return MICA_OK;
}

/* Tells the caller about the newest token; with the last one comes what is left of its text. */
static mica_status report(loop *l, bool *end, mica_error *err)
{
    const char *text = "";
    size_t n = 0;
    if (!l->on_token) return MICA_OK;
    mica__buf_clear(&l->text);
    if (l->stream) {
        MICA_TRY(mica_decode_stream_push(l->stream, l->ids[l->n - 1], &text, &n, err));
        mica__buf_append(&l->text, text, n);
        if (*end) {
            MICA_TRY(mica_decode_stream_flush(l->stream, &text, &n, err));
            mica__buf_append(&l->text, text, n);
        }
        MICA_TRY(mica__buf_status(&l->text, err, "text"));
    }
    if (l->on_token(l->context, l->ids[l->n - 1], l->text.n ? l->text.p : "", l->text.n, l->s->logits) && !*end) {
        *end = true;
        l->reason = MICA_STOP_CALLBACK;
    }
    return MICA_OK;
}

static mica_status run(loop *l, mica_error *err)
{
    const size_t kept = (size_t)l->s->length;
    MICA_TRY(mica__session_run(l->s, l->ids + kept, l->n - kept, err));
    for (bool end = false;;) {
        MICA_TRY(choose(l, &l->ids[l->n], err));
        l->n++;
        if (l->first == 0) l->first = seconds();
        MICA_TRY(look_for_end(l, &end, err));
        MICA_TRY(report(l, &end, err));
        if (end) return MICA_OK;
        MICA_TRY(mica__session_run(l->s, &l->ids[l->n - 1], 1, err));
    }
}

/* ---- around it ------------------------------------------------------------------------------------------------------------------------------ */

static mica_status give_result(loop *l, size_t n_prompt, int64_t computed, mica_generate_result *result,
                               mica_error *err)
{
    double now = seconds();
    size_t n = l->n - n_prompt;
    *result = (mica_generate_result){
        .reason = l->reason,
        .n_prompt = computed,
        .prompt_seconds = (l->first > 0 ? l->first : now) - l->started,
        .decode_seconds = l->first > 0 ? now - l->first : 0,
    };
    result->ids.data = mica__alloc(n, sizeof *result->ids.data);
    if (!result->ids.data) return mica__fail_memory(err, n * sizeof *l->ids, "token ids");
    memcpy(result->ids.data, l->ids + n_prompt, n * sizeof *l->ids);
    result->ids.n = result->ids.capacity = n;
    return MICA_OK;
}

static mica_status generate(mica_session *s, const int32_t *ids, size_t n, const mica_generation_config *config,
                            mica_on_token on_token, void *context, mica_generate_result *result, mica_error *err)
{
    loop l = {.s = s, .on_token = on_token, .context = context, .started = seconds()};
    mica_status status = start(&l, ids, n, config, err);
    int64_t computed = 0;
    if (!status) {
        mica__session_keep_prefix(s, ids, n);
        computed = (int64_t)n - s->length;
        status = run(&l, err);
    }
    if (result && (status == MICA_OK || (status == MICA_CANCELLED && l.ids))) {
        mica_status given = give_result(&l, n, computed, result, status ? NULL : err);
        if (!status) status = given;
    }
    finish(&l);
    return status;
}

mica_status mica_generate(mica_session *s, const int32_t *ids, size_t n, const mica_generation_config *config,
                          mica_on_token on_token, void *context, mica_generate_result *result, mica_error *err)
{
    if (result) *result = (mica_generate_result){0};
    atomic_store(&s->cancelled, false);
    mica_generation_config *own = NULL;
    if (!config) {
        MICA_TRY(mica_generation_config_create(&own, s->model, err));
        config = own;
    }
    /* Nothing to start from: the token a text begins with. */
    int32_t bos = -1;
    mica_status status = MICA_OK;
    if (n == 0) {
        const char *text = mica__setting_text(config, MICA__SET_bos_token_id);
        bos = strcmp(text, "null") ? (int32_t)strtol(text, NULL, 10) : -1;
        ids = &bos;
        n = 1;
        if (bos < 0) status = mica__fail(err, MICA_INVALID, "the prompt is empty and the model has no bos_token_id");
    }
    if (!status) status = generate(s, ids, n, config, on_token, context, result, err);
    mica_generation_config_free(own);
    return status;
}
