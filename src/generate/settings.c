/* generate/settings.c: from texts to numbers. The texts were checked for their shape when they were set, so reading cannot fail here; what is
 * checked here is what needs the model: ids against the vocabulary, lengths against the prompt. */
#include "settings.h"

typedef struct reader {
    const mica_generation_config *c;
    mica__settings *s;
    int64_t vocab;
    mica__json doc; /* of the setting being read */
    mica_error *err;
    mica_status status;
} reader;

/* The value of a setting, NULL if it is null. Valid until the next call. */
static mica__jval value(reader *r, mica__setting_id id)
{
    const char *text = mica__setting_text(r->c, id);
    mica__json_release(&r->doc);
    mica_status status = mica__json_parse(&r->doc, text, strlen(text), NULL, r->err);
    if (status && !r->status) r->status = status;
    mica__jval v = mica__json_root(&r->doc);
    return mica__json_is(v, MICA__JSON_NULL) ? NULL : v;
}

static double number(reader *r, mica__setting_id id, double missing)
{
    mica__json_double(value(r, id), &missing);
    return missing;
}

static int64_t whole(reader *r, mica__setting_id id, int64_t missing)
{
    mica__json_int(value(r, id), &missing);
    return missing;
}

static bool flag(reader *r, mica__setting_id id)
{
    bool set = false;
    mica__json_bool(value(r, id), &set);
    return set;
}

static void *room(reader *r, size_t n, size_t size)
{
    void *p = mica__arena_calloc(&r->s->arena, n ? n : 1, size);
    if (!p && !r->status) r->status = mica__fail_memory(r->err, n * size, "generation settings");
    return p;
}

/* An id, or a list of them. */
static mica__id_list id_list(reader *r, mica__jval v, const char *name)
{
    bool is_list = mica__json_is(v, MICA__JSON_ARRAY);
    size_t n = is_list ? mica__json_count(v) : v != NULL;
    int32_t *ids = v ? room(r, n, sizeof *ids) : NULL;
    if (!ids) return (mica__id_list){NULL, 0};
    size_t i = 0;
    for (mica__jval e = is_list ? mica__json_first(v) : v; e; e = is_list ? mica__json_next(v, e) : NULL) {
        int64_t id = 0;
        mica__json_int(e, &id);
        if (id >= r->vocab && name && !r->status) {
            r->status = mica__fail(r->err, MICA_INVALID, "%s: token id %lld is not in the vocabulary of %lld", name,
                                   (long long)id, (long long)r->vocab);
        }
        ids[i++] = (int32_t)id;
    }
    return (mica__id_list){ids, n};
}

static mica__id_list ids_of(reader *r, mica__setting_id id) { return id_list(r, value(r, id), NULL); }

static void read_biases(reader *r)
{
    mica__jval list = value(r, MICA__SET_sequence_bias);
    size_t n = mica__json_count(list), i = 0;
    mica__biased *out = n ? room(r, n, sizeof *out) : NULL;
    if (!out) return;
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e), i++) {
        double bias = 0;
        mica__json_double(mica__json_at(e, 1), &bias);
        out[i] = (mica__biased){id_list(r, mica__json_at(e, 0), "sequence_bias"), (float)bias};
    }
    r->s->biases = out;
    r->s->n_biases = n;
}

/* Bad words are sequences with a bias of minus infinity. An end token alone is not taken as a bad word. */
static void read_bad_words(reader *r)
{
    mica__jval list = value(r, MICA__SET_bad_words_ids);
    size_t n = mica__json_count(list), kept = 0;
    mica__biased *out = n ? room(r, n, sizeof *out) : NULL;
    if (!out) return;
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e)) {
        mica__id_list word = id_list(r, e, "bad_words_ids");
        bool is_end = false;
        for (size_t i = 0; i < r->s->eos.n && word.n == 1; i++) is_end = is_end || word.ids[0] == r->s->eos.ids[i];
        if (word.n && !is_end) out[kept++] = (mica__biased){word, -__builtin_inff()};
    }
    r->s->bad_words = out;
    r->s->n_bad_words = kept;
}

static void read_stop_strings(reader *r)
{
    mica__jval v = value(r, MICA__SET_stop_strings);
    bool is_list = mica__json_is(v, MICA__JSON_ARRAY);
    size_t n = is_list ? mica__json_count(v) : v != NULL, kept = 0;
    mica__str *out = n ? room(r, n, sizeof *out) : NULL;
    if (!out) return;
    for (mica__jval e = is_list ? mica__json_first(v) : v; e; e = is_list ? mica__json_next(v, e) : NULL) {
        mica__str s = MICA_STR("");
        mica__json_string(e, &s);
        char *copy = s.n ? mica__arena_strndup(&r->s->arena, s.p, s.n) : NULL;
        if (copy) out[kept++] = (mica__str){copy, s.n};
    }
    r->s->stop_strings = out;
    r->s->n_stop_strings = kept;
}

/* n_prompt + n, as much as fits. */
static int64_t after(int64_t n_prompt, int64_t n) { return n < INT64_MAX - n_prompt ? n_prompt + n : INT64_MAX; }

static void read_lengths(reader *r, int64_t n_prompt, int64_t context)
{
    mica__settings *s = r->s;
    int64_t new_tokens = whole(r, MICA__SET_max_new_tokens, -1);
    s->n_prompt = n_prompt;
    s->by_default = new_tokens < 0 && !r->c->values[MICA__SET_max_length];
    s->max_length = whole(r, MICA__SET_max_length, 20);
    if (new_tokens >= 0) {
        s->max_length = after(n_prompt, new_tokens);
    } else if (s->by_default) {
        s->max_length += n_prompt;
        if (s->max_length > context) s->max_length = context;
    }
    if (s->max_length <= n_prompt && !r->status) {
        r->status = mica__fail(r->err, MICA_INVALID, "the prompt has %lld tokens, max_length is %lld",
                               (long long)n_prompt, (long long)s->max_length);
    }
    s->min_new_tokens = whole(r, MICA__SET_min_new_tokens, 0);
    s->min_length = s->min_new_tokens ? after(n_prompt, s->min_new_tokens) : whole(r, MICA__SET_min_length, 0);
}

static void read_sampling(reader *r)
{
    mica__settings *s = r->s;
    s->do_sample = flag(r, MICA__SET_do_sample);
    s->temperature = (float)number(r, MICA__SET_temperature, 1);
    s->top_k = whole(r, MICA__SET_top_k, 0);
    s->top_p = number(r, MICA__SET_top_p, 1);
    s->min_p = number(r, MICA__SET_min_p, -1);
    s->top_h = number(r, MICA__SET_top_h, -1);
    s->typical_p = number(r, MICA__SET_typical_p, 1);
    s->epsilon_cutoff = number(r, MICA__SET_epsilon_cutoff, 0);
    s->eta_cutoff = number(r, MICA__SET_eta_cutoff, 0);
    int64_t seed = whole(r, MICA__SET_seed, -1);
    s->has_seed = seed >= 0;
    s->seed = (uint64_t)seed;
}

static void read_penalties(reader *r)
{
    mica__settings *s = r->s;
    s->repetition_penalty = (float)number(r, MICA__SET_repetition_penalty, 1);
    s->encoder_repetition_penalty = (float)number(r, MICA__SET_encoder_repetition_penalty, 1);
    s->unseen = whole(r, MICA__SET_prompt_ignore_length, 0);
    s->no_repeat_ngram = whole(r, MICA__SET_no_repeat_ngram_size, 0);
    s->encoder_no_repeat_ngram = whole(r, MICA__SET_encoder_no_repeat_ngram_size, 0);
    s->remove_invalid = flag(r, MICA__SET_remove_invalid_values);
    s->renormalize = flag(r, MICA__SET_renormalize_logits);
    mica__jval decay = value(r, MICA__SET_exponential_decay_length_penalty);
    s->decay_start = -1;
    if (decay && mica__json_int(mica__json_at(decay, 0), &s->decay_start)) {
        s->decay_start = after(s->n_prompt, s->decay_start);
        mica__json_double(mica__json_at(decay, 1), &s->decay_factor);
    }
    s->forced_bos = -1;
    mica__id_list forced = id_list(r, value(r, MICA__SET_forced_bos_token_id), "forced_bos_token_id");
    if (forced.n) s->forced_bos = forced.ids[0];
    s->forced_eos = id_list(r, value(r, MICA__SET_forced_eos_token_id), "forced_eos_token_id");
}

static void read_strategy(reader *r)
{
    mica__settings *s = r->s;
    s->n_beams = (size_t)whole(r, MICA__SET_num_beams, 1);
    s->n_sequences = (size_t)whole(r, MICA__SET_num_return_sequences, 1);
    s->length_penalty = (float)number(r, MICA__SET_length_penalty, 1);
    mica__jval early = value(r, MICA__SET_early_stopping);
    bool is_true = false;
    mica__json_bool(early, &is_true);
    s->early_stopping = mica__json_is(early, MICA__JSON_STRING) ? MICA__EARLY_NEVER
                        : is_true                               ? MICA__EARLY_TRUE
                                                                : MICA__EARLY_FALSE;
    s->guidance = number(r, MICA__SET_guidance_scale, 1);
    s->lookup = (size_t)whole(r, MICA__SET_prompt_lookup_num_tokens, 0);
    s->longest_match = (size_t)whole(r, MICA__SET_max_matching_ngram_size, 2);
    s->pad = (int32_t)whole(r, MICA__SET_pad_token_id, s->eos.n ? s->eos.ids[0] : -1);
    /* A beam must be left something to go on with. */
    const size_t least = s->n_beams > 1 ? (s->eos.n ? s->eos.n + 1 : 2) : 1;
    s->least_kept = (size_t)whole(r, MICA__SET_min_tokens_to_keep, (int64_t)least);
    if ((s->n_beams > MICA__MAX_ROWS || s->n_sequences > MICA__MAX_ROWS) && !r->status) {
        r->status = mica__fail(r->err, MICA_LIMIT, "num_beams is %zu and num_return_sequences %zu, the limit is %d",
                               s->n_beams, s->n_sequences, MICA__MAX_ROWS);
    }
    if (s->n_sequences > 1 && s->n_beams == 1 && !s->do_sample && !r->status) {
        r->status = mica__fail(r->err, MICA_INVALID,
                               "num_return_sequences is %zu, but without sampling and beams there is one answer only",
                               s->n_sequences);
    }
    if (s->n_beams > 1 && s->n_sequences > s->n_beams && !r->status) {
        r->status = mica__fail(r->err, MICA_INVALID, "num_return_sequences is %zu, more than num_beams (%zu)",
                               s->n_sequences, s->n_beams);
    }
}

/* Only the older of Transformers' two ways to mark a text is here. */
static void read_watermark(reader *r)
{
    static const char *const known[] = {"greenlist_ratio", "bias", "hashing_key", "seeding_scheme", "context_width"};
    mica__watermark_settings *w = &r->s->watermark;
    mica__jval v = value(r, MICA__SET_watermarking_config);
    double bias = 2;
    int64_t width = 1;
    mica__str scheme = MICA_STR("lefthash");
    if (!v) return;
    *w = (mica__watermark_settings){.on = true, .ratio = 0.25, .key = 15485863};
    for (mica__jval m = mica__json_first(v); m; m = mica__json_next(v, m)) {
        bool is_known = false;
        for (size_t i = 0; i < 5; i++) is_known = is_known || mica__str_is(mica__json_key(m), known[i]);
        if (is_known || r->status) continue;
        r->status = mica__fail(r->err, MICA_UNSUPPORTED, "watermarking_config: '%s' is not supported",
                               MICA_QUOTED_STR(mica__json_key(m)));
    }
    mica__json_double(mica__json_get(v, known[0]), &w->ratio);
    mica__json_double(mica__json_get(v, known[1]), &bias);
    mica__json_int(mica__json_get(v, known[2]), &w->key);
    mica__json_string(mica__json_get(v, known[3]), &scheme);
    mica__json_int(mica__json_get(v, known[4]), &width);
    w->bias = (float)bias;
    w->self = mica__str_is(scheme, "selfhash");
    w->width = (size_t)width;
    bool fits = w->ratio > 0 && w->ratio < 1 && width >= 1 && (w->self || mica__str_is(scheme, "lefthash"));
    if (fits || r->status) return;
    r->status = mica__fail(r->err, MICA_INVALID,
                           "watermarking_config: expected greenlist_ratio between 0 and 1, context_width of 1 or more "
                           "and seeding_scheme lefthash or selfhash");
}

/* Same value, whatever the spelling ("1" and "1.0"). */
static bool is_default(reader *r, mica__setting_id id)
{
    const char *text = r->c->values[id], *fallback = mica__setting(id)->library_default;
    if (!text || !strcmp(text, fallback)) return true;
    double a, b;
    return mica__parse_double(text, strlen(text), &a) && mica__parse_double(fallback, strlen(fallback), &b) && a == b;
}

static void refuse(reader *r)
{
    for (int i = 0; i < MICA__N_SETTINGS && !r->status; i++) {
        mica__setting_id id = (mica__setting_id)i;
        if (mica__setting_effect_of(id) != MICA__EFFECT_REFUSED || is_default(r, id)) continue;
        const mica_setting *s = mica__setting(id);
        r->status = mica__fail(r->err, MICA_UNSUPPORTED, "%s = %s is not supported yet (%s); leave it at %s", s->name,
                               MICA_QUOTED(r->c->values[id], strlen(r->c->values[id])), s->help, s->library_default);
    }
}

mica_status mica__settings_resolve(mica__settings *out, const mica_generation_config *c, int64_t n_prompt,
                                   int64_t context, int64_t vocab, mica_error *err)
{
    *out = (mica__settings){0};
    reader r = {.c = c, .s = out, .vocab = vocab, .err = err};
    refuse(&r);
    read_lengths(&r, n_prompt, context);
    out->max_time = number(&r, MICA__SET_max_time, 0);
    out->eos = ids_of(&r, MICA__SET_eos_token_id);
    out->suppress = ids_of(&r, MICA__SET_suppress_tokens);
    out->begin_suppress = ids_of(&r, MICA__SET_begin_suppress_tokens);
    read_stop_strings(&r);
    read_biases(&r);
    read_bad_words(&r);
    read_penalties(&r);
    read_sampling(&r);
    read_strategy(&r);
    read_watermark(&r);
    mica__json_release(&r.doc);
    if (r.status) mica__settings_release(out);
    return r.status;
}

mica_status mica__draft_settings_resolve(mica__draft_settings *out, const mica_generation_config *c,
                                         const mica_generation_config *assistant, mica_error *err)
{
    static const mica__setting_id ids[] = {MICA__SET_num_assistant_tokens, MICA__SET_num_assistant_tokens_schedule,
                                           MICA__SET_assistant_confidence_threshold};
    const mica_generation_config *from[3];
    for (int i = 0; i < 3; i++) from[i] = c->values[ids[i]] ? c : assistant;
    reader r = {.c = from[0], .err = err};
    out->n_tokens = (size_t)whole(&r, ids[0], 20);
    r.c = from[1];
    mica__str schedule = MICA_STR("");
    mica__json_string(value(&r, ids[1]), &schedule);
    out->adapts = mica__str_starts(schedule, "heuristic");
    r.c = from[2];
    out->threshold = number(&r, ids[2], 0);
    mica__json_release(&r.doc);
    return r.status;
}

bool mica__settings_is_end(const mica__settings *s, int32_t id)
{
    for (size_t i = 0; i < s->eos.n; i++) {
        if (s->eos.ids[i] == id) return true;
    }
    return false;
}

void mica__settings_release(mica__settings *s)
{
    mica__arena_release(&s->arena);
    *s = (mica__settings){0};
}
