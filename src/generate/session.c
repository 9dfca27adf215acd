/* generate/session.c: a sequence in the cache and its growth.
 *
 * A prompt runs in pieces of at most the program's rows; a piece of one row is a step of decoding. Everything a run needs is
 * made when the session is, so that growing allocates nothing. */
#include "session.h"

#include "array/cache_layout.h"
#include "base/memory.h"
#include "models/machine_memory.h"

enum { LEAST_CONTEXT = 4096 }; /* room for positions past a short context, as Transformers lets one go there */

/* ---- making -------------------------------------------------------------------------------------------------------------------------- */

static uint64_t cache_bytes(const mica_model *m, const mica_session_options *o, int64_t context)
{
    const mica_cache_options cache = mica__model_cache(m, o->kv_bits, o->kv_group_size);
    uint64_t positions = 0;
    for (int i = 0; i < m->spec.n_layers; i++)
        positions += (uint64_t)mica__kv_capacity(m->spec.layers[i].window, context, m->max_rows);
    return positions * (uint64_t)mica__cache_position_bytes(&cache);
}

/* The model's context, less if the caches of all of it would not fit beside the weights; a context that was asked for must fit. */
mica_status mica__session_capacity(const mica_model *m, const mica_session_options *options, int64_t *out,
                                   mica_error *err)
{
    const mica_session_options none = {0}, *o = options ? options : &none;
    if (o->max_context < 0 || o->max_context > MICA__MAX_CONTEXT) {
        return mica__fail(err, MICA_INVALID, "max_context is %lld, expected 0 to %d", (long long)o->max_context,
                          MICA__MAX_CONTEXT);
    }
    MICA_TRY(mica__check_kv(o->kv_bits == -1 ? 0 : o->kv_bits, o->kv_group_size, err));
    uint64_t have = mica__machine_memory();
    uint64_t room = have > m->weights.held_bytes ? have - m->weights.held_bytes : 0;
    int64_t capacity = o->max_context ? o->max_context : m->spec.context;
    if (!o->max_context && capacity < LEAST_CONTEXT) capacity = LEAST_CONTEXT;
    *out = capacity;
    if (!have || cache_bytes(m, o, capacity) <= room) return MICA_OK;
    if (o->max_context) {
        return mica__fail(err, MICA_MEMORY, "a context of %lld positions needs %llu MiB of cache, %llu MiB are left",
                          (long long)capacity, (unsigned long long)(cache_bytes(m, o, capacity) >> 20),
                          (unsigned long long)(room >> 20));
    }
    while (capacity > LEAST_CONTEXT && cache_bytes(m, o, capacity) > room) capacity /= 2;
    mica__model_notice(m, "the context is limited to %lld positions by the memory of this machine",
                       (long long)capacity);
    *out = capacity;
    return MICA_OK;
}

static mica_status make_cache(mica_session *s, mica_error *err)
{
    const mica_model *m = s->model;
    int n = m->spec.n_layers;
    mica_cache_options *options = mica__alloc((size_t)n, sizeof *options);
    int64_t *windows = mica__alloc((size_t)n, sizeof *windows);
    mica_status status = MICA_OK;
    if (!options || !windows) status = mica__fail_memory(err, (size_t)n * sizeof *options, "cache options");
    for (int i = 0; i < n && !status; i++) {
        windows[i] = m->spec.layers[i].window;
        options[i] = mica__model_cache(m, s->kv_bits, s->kv_group_size);
        options[i].capacity = mica__kv_capacity(windows[i], s->capacity, m->max_rows);
    }
    if (!status) status = mica__kv_cache_create(&s->cache, options, windows, n, err);
    mica__free(options);
    mica__free(windows);
    return status;
}

static mica_status make_buffers(mica_session *s, mica_error *err)
{
    const mica_model *m = s->model;
    s->ids = mica__alloc((size_t)s->capacity, sizeof *s->ids);
    s->positions = mica__alloc((size_t)m->max_rows, sizeof *s->positions);
    s->logits = mica__alloc((size_t)m->spec.vocab, sizeof *s->logits);
    bool made = s->ids && s->positions && s->logits;
    for (int i = 0; i < m->spec.n_ropes && made; i++) {
        if (!mica__rope_is_dynamic(&m->spec.ropes[i])) continue;
        s->made_for[s->n_frequencies] = -1;
        s->frequencies[s->n_frequencies] = mica__alloc((size_t)m->spec.ropes[i].dims / 2, sizeof(float));
        made = s->frequencies[s->n_frequencies++] != NULL;
    }
    return made ? MICA_OK : mica__fail_memory(err, (size_t)s->capacity * sizeof *s->ids, "session");
}

mica_status mica_session_create(mica_session **out, mica_model *model, const mica_session_options *options,
                                mica_error *err)
{
    const mica_session_options none = {0};
    if (!options) options = &none;
    *out = NULL;
    int64_t capacity;
    MICA_TRY(mica__session_capacity(model, options, &capacity, err));
    mica_session *s = mica__calloc(1, sizeof *s);
    if (!s) return mica__fail_memory(err, sizeof *s, "session");
    s->model = model;
    s->capacity = capacity;
    s->kv_bits = options->kv_bits;
    s->kv_group_size = options->kv_group_size;
    s->cancelled = &s->own_cancelled;
    s->random.seed = options->seed ? options->seed : mica__random_seed();
    mica_status status = make_cache(s, err);
    if (!status) status = make_buffers(s, err);
    if (status) {
        mica_session_free(s);
    } else {
        *out = s;
    }
    return status;
}

void mica_session_free(mica_session *s)
{
    if (!s) return;
    mica__kv_cache_release(&s->cache);
    for (int i = 0; i < s->n_frequencies; i++) mica__free(s->frequencies[i]);
    mica__free(s->ids);
    mica__free(s->positions);
    mica__free(s->logits);
    mica__free(s);
}

int64_t mica_session_length(const mica_session *s) { return s->length; }
const int32_t *mica_session_ids(const mica_session *s) { return s->ids; }
void mica_session_cancel(mica_session *s) { atomic_store(s->cancelled, true); }

/* ---- cutting back -------------------------------------------------------------------------------------------------------------------------- */

static void reset(mica_session *s)
{
    s->length = 0;
    mica__kv_cache_reset(&s->cache);
    memset(s->longest, 0, sizeof s->longest);
}

mica_status mica_session_truncate(mica_session *s, int64_t n, mica_error *err)
{
    if (n < 0 || n > s->length) {
        return mica__fail(err, MICA_INVALID, "cannot cut a session of %lld tokens to %lld", (long long)s->length,
                          (long long)n);
    }
    if (n == 0) reset(s);
    if (n < s->length && !mica__kv_cache_can_cut(&s->cache, n)) {
        return mica__fail(err, MICA_UNSUPPORTED, "a sliding window has dropped what position %lld would see",
                          (long long)n);
    }
    s->length = n;
    return MICA_OK;
}

bool mica__session_length_matters(const mica_session *s, int64_t length)
{
    const mica__decoder_spec *spec = &s->model->spec;
    for (int i = 0; i < spec->n_ropes; i++) {
        const mica__rope *r = &spec->ropes[i];
        if (mica__rope_is_dynamic(r) && length > mica__rope_short_length(r)) return true;
    }
    return false;
}

/* Keys that were rotated for another length than `length` would ask for cannot be shared. */
static bool rotations_fit(const mica_session *s, int64_t length)
{
    return !mica__session_length_matters(s, s->cache.longest > length ? s->cache.longest : length);
}

void mica__session_keep_prefix(mica_session *s, const int32_t *ids, size_t n)
{
    int64_t same = 0;
    while (same < s->length && same + 1 < (int64_t)n && s->ids[same] == ids[same]) same++;
    if (!rotations_fit(s, (int64_t)n)) same = 0;
    if (mica_session_truncate(s, same, NULL)) reset(s);
}

mica_status mica__session_fork(mica_session *to, const mica_session *from, mica_error *err)
{
    int64_t same = 0, least = to->length < from->length ? to->length : from->length;
    if (to == from) return MICA_OK;
    while (same < least && to->ids[same] == from->ids[same] && from->ids[same] >= 0) same++; /* -1: nobody knows */
    if (from->n_frequencies) same = 0; /* the same ids may have been rotated for another length */
    MICA_TRY(mica__kv_cache_copy(&to->cache, &from->cache, same, from->length, err));
    memcpy(to->ids + same, from->ids + same, (size_t)(from->length - same) * sizeof *to->ids);
    memcpy(to->longest, from->longest, sizeof to->longest);
    to->length = from->length;
    return MICA_OK;
}

/* ---- growing --------------------------------------------------------------------------------------------------------------------------------- */

static void update_frequencies(mica_session *s, int64_t length)
{
    const mica__decoder_spec *spec = &s->model->spec;
    for (int i = 0, k = 0; i < spec->n_ropes; i++) {
        const mica__rope *r = &spec->ropes[i];
        if (!mica__rope_is_dynamic(r)) continue;
        int64_t effective = mica__rope_effective_length(r, length, &s->longest[k]);
        if (effective != s->made_for[k]) mica__rope_frequencies(r, effective, s->frequencies[k]);
        s->made_for[k++] = effective;
    }
}

/* int8: the rows are of a text, not single tokens; with --precision int8 such rows may be rounded to 8 bits. */
static mica_status run_program(mica_session *s, mica_program *program, const int32_t *ids, int64_t rows, bool all,
                               bool int8, float *logits, mica_error *err)
{
    for (int64_t i = 0; i < rows; i++) s->positions[i] = (int32_t)(s->length + i);
    const int32_t last = (int32_t)(rows - 1);
    const void *inputs[MICA__IN_FREQUENCIES + MICA__MAX_ROPES] = {
        [MICA__IN_ROWS] = ids, [MICA__IN_POSITIONS] = s->positions, [MICA__IN_LAST] = all ? NULL : &last};
    for (int i = 0; i < s->n_frequencies; i++) inputs[MICA__IN_FREQUENCIES + i] = s->frequencies[i];
    void *outputs[] = {logits};
    const mica_bindings bindings = {
        .inputs = inputs,
        .outputs = outputs,
        .caches = s->cache.layers,
        .n_inputs = MICA__IN_FREQUENCIES + s->n_frequencies,
        .n_outputs = 1,
        .n_caches = s->cache.n_layers,
        .rows = rows,
        .n_past = s->length,
        .int8 = int8,
    };
    return mica_program_run(program, &bindings, err);
}

void mica__session_grew(mica_session *s, const int32_t *ids, int64_t rows)
{
    for (int64_t i = 0; i < rows; i++) s->ids[s->length + i] = ids ? ids[i] : -1;
    s->length += rows;
    mica__kv_cache_grew(&s->cache, s->length);
}

static mica_status check_growth(mica_session *s, const int32_t *ids, size_t n, mica_error *err)
{
    int64_t vocab = s->model->spec.vocab;
    if (n > (size_t)(s->capacity - s->length)) {
        return mica__fail(err, MICA_LIMIT, "%zu tokens after %lld do not fit the context of %lld", n,
                          (long long)s->length, (long long)s->capacity);
    }
    for (size_t i = 0; ids && i < n; i++) {
        if (ids[i] >= 0 && ids[i] < vocab) continue;
        return mica__fail(err, MICA_INVALID, "token id %d is not in the vocabulary of %lld", (int)ids[i],
                          (long long)vocab);
    }
    if (s->length + (int64_t)n > s->model->spec.context && !s->past_context) {
        mica__model_notice(s->model, "the text is longer than the model's context of %lld tokens",
                           (long long)s->model->spec.context);
        s->past_context = true;
    }
    return MICA_OK;
}

mica_status mica__session_prepare(mica_session *s, const int32_t *ids, size_t n, mica_error *err)
{
    MICA_TRY(check_growth(s, ids, n, err));
    update_frequencies(s, s->length + (int64_t)n);
    return MICA_OK;
}

bool mica__sessions_agree(const mica_session *a, const mica_session *b)
{
    return memcmp(a->made_for, b->made_for, (size_t)a->n_frequencies * sizeof *a->made_for) == 0;
}

static mica_status run_ids(mica_session *s, const int32_t *ids, size_t n, bool all, bool int8, float *logits,
                           mica_error *err)
{
    const mica__decoder_part part = all ? MICA__DECODER_ALL : MICA__DECODER_LAST;
    mica_program *program;
    MICA_TRY(mica__session_prepare(s, ids, n, err));
    MICA_TRY(mica__model_program(s->model, part, &program, err));
    const size_t most = (size_t)mica__model_rows(s->model, part);
    for (size_t done = 0; done < n;) {
        if (atomic_load(s->cancelled)) return mica__fail(err, MICA_CANCELLED, "cancelled");
        size_t rows = n - done < most ? n - done : most;
        float *out = all ? logits + done * (size_t)s->model->spec.vocab : logits;
        MICA_TRY(run_program(s, program, ids + done, (int64_t)rows, all, int8, out, err));
        mica__session_grew(s, ids + done, (int64_t)rows);
        done += rows;
    }
    return mica__checkpoint_check(s->model->checkpoint, err);
}

mica_status mica__session_run(mica_session *s, const int32_t *ids, size_t n, bool all, float *logits, mica_error *err)
{
    return run_ids(s, ids, n, all, n > 1, logits, err);
}

mica_status mica__session_verify(mica_session *s, const int32_t *ids, size_t n, float *logits, mica_error *err)
{
    return run_ids(s, ids, n, true, false, logits, err);
}

enum { STEP_ROWS = 32 }; /* sessions of one run */

static mica_status run_together(mica_session *const *sessions, const int32_t *ids, size_t n, float *logits,
                                mica_error *err)
{
    const mica_session *first = sessions[0];
    mica_program *program;
    mica_sequence sequences[STEP_ROWS];
    int32_t positions[STEP_ROWS];
    MICA_TRY(mica__model_program(first->model, MICA__DECODER_ALL, &program, err));
    for (size_t i = 0; i < n; i++) {
        sequences[i] = (mica_sequence){sessions[i]->cache.layers, 1, sessions[i]->length};
        positions[i] = (int32_t)sessions[i]->length;
    }
    const void *inputs[MICA__IN_FREQUENCIES + MICA__MAX_ROPES] = {
        [MICA__IN_ROWS] = ids, [MICA__IN_POSITIONS] = positions};
    for (int i = 0; i < first->n_frequencies; i++) inputs[MICA__IN_FREQUENCIES + i] = first->frequencies[i];
    void *outputs[] = {logits};
    const mica_bindings bindings = {
        .inputs = inputs,
        .outputs = outputs,
        .n_inputs = MICA__IN_FREQUENCIES + first->n_frequencies,
        .n_outputs = 1,
        .n_caches = first->cache.n_layers,
        .rows = (int64_t)n,
        .sequences = sequences,
        .n_sequences = (int)n,
    };
    MICA_TRY(mica_program_run(program, &bindings, err));
    for (size_t i = 0; i < n; i++) {
        mica__session_grew(sessions[i], &ids[i], 1);
    }
    return mica__checkpoint_check(first->model->checkpoint, err);
}

mica_status mica__sessions_step(mica_session *const *sessions, const int32_t *ids, size_t n, float *logits,
                                mica_error *err)
{
    if (n == 1) return mica__session_run(sessions[0], ids, 1, false, logits, err);
    for (size_t i = 0; i < n; i++) {
        MICA_TRY(mica__session_prepare(sessions[i], &ids[i], 1, err));
    }
    for (size_t done = 0, end; done < n; done = end) {
        const mica_session *s = sessions[done];
        const size_t most = s->model->max_all_rows < STEP_ROWS ? (size_t)s->model->max_all_rows : STEP_ROWS;
        if (atomic_load(s->cancelled)) return mica__fail(err, MICA_CANCELLED, "cancelled");
        for (end = done + 1; end < n && end - done < most && mica__sessions_agree(s, sessions[end]);) end++;
        MICA_TRY(
            run_together(sessions + done, ids + done, end - done, logits + done * (size_t)s->model->spec.vocab, err));
    }
    return MICA_OK;
}

mica_status mica_session_forward(mica_session *s, const int32_t *ids, size_t n, bool all, float *logits,
                                 mica_error *err)
{
    atomic_store(s->cancelled, false);
    if (n == 0) return MICA_OK;
    return mica__session_run(s, ids, n, all && logits, logits ? logits : s->logits, err);
}
