/* generate/pass.c: see the header.
 *
 * A run takes the next positions of the parts in their order, the rest of one and the beginning of the next side by side. What needs logits is
 * collected over the runs and goes through the head together. Memory for one run is all that a pass needs beside what it gives. */
#include "pass.h"

#include "attentions.h"
#include "base/memory.h"

/* Positions [done, done + n) of a part, in one run: those from n_past on of its session. */
typedef struct piece {
    const mica_forward *part;
    size_t done, n;
    int64_t n_past;
} piece;

typedef struct pass {
    mica_model *model;
    size_t hidden, vocab, n_layers, query_size; /* query_size: of all heads of a position */
    mica__decoder_part part;
    mica_program *body, *head;
    mica__arena memory; /* of everything below */
    size_t most;        /* rows of a run, */
    piece *pieces;      /* [most] */
    mica_sequence *sequences;
    int32_t *ids, *positions; /* [most] */
    float *embeddings;        /* [most, hidden] */
    float *normed;            /* [most, hidden]: the last layer's, after the final norm */
    float *layers;            /* [n_layers - 1, most, hidden]: the others'; of a look inside only */
    float *queries;           /* [n_layers, most, query_size]; likewise */
    void **outputs;
    size_t most_ends, n_ends; /* rows of a run of the head, */
    float *ends;              /* [most_ends, hidden]: rows that wait for their logits, */
    float **ends_to;          /* [most_ends]: which go here */
    float *ends_logits;       /* [most_ends, vocab]; NULL: not needed yet */
} pass;

/* ---- before ------------------------------------------------------------------------------------------------------------------- */

static bool looks_inside(const mica_forward *f) { return f->hidden_states || f->attentions; }

static mica_status make_memory(pass *p, mica_error *err)
{
    const bool open = p->part == MICA__DECODER_OPEN;
    mica__arena *m = &p->memory;
    p->pieces = mica__arena_alloc(m, p->most, sizeof *p->pieces);
    p->sequences = mica__arena_alloc(m, p->most, sizeof *p->sequences);
    p->ids = mica__arena_alloc(m, p->most, sizeof *p->ids);
    p->positions = mica__arena_alloc(m, p->most, sizeof *p->positions);
    p->embeddings = mica__arena_alloc(m, p->most, p->hidden * sizeof(float));
    p->normed = mica__arena_alloc(m, p->most, p->hidden * sizeof(float));
    p->outputs = mica__arena_alloc(m, 2 * p->n_layers, sizeof *p->outputs);
    p->ends = mica__arena_alloc(m, p->most_ends, p->hidden * sizeof(float));
    p->ends_to = mica__arena_alloc(m, p->most_ends, sizeof *p->ends_to);
    bool made = p->pieces && p->sequences && p->ids && p->positions && p->embeddings && p->normed && p->outputs &&
                p->ends && p->ends_to;
    if (open && made) {
        p->layers = mica__arena_alloc(m, p->n_layers, p->most * p->hidden * sizeof(float));
        p->queries = mica__arena_alloc(m, p->n_layers, p->most * p->query_size * sizeof(float));
        made = p->layers && p->queries;
    }
    if (!made) return mica__fail_memory(err, p->most * p->hidden * sizeof(float), "a pass");
    p->outputs[0] = p->normed;
    for (size_t i = 0; i < p->n_layers && open; i++) {
        if (i + 1 < p->n_layers) p->outputs[1 + i] = p->layers + i * p->most * p->hidden;
        p->outputs[p->n_layers + i] = p->queries + i * p->most * p->query_size;
    }
    return MICA_OK;
}

static mica_status check_part(const mica_forward *parts, size_t i, mica_error *err)
{
    const mica_forward *f = &parts[i];
    if (f->session->model != parts->session->model)
        return mica__fail(err, MICA_INVALID, "session %zu of a pass is of another model than the first", i);
    if (f->n && !f->ids == !f->embeddings)
        return mica__fail(err, MICA_INVALID, "session %zu of a pass needs either ids or embeddings", i);
    for (size_t k = 0; k < i; k++)
        if (parts[k].session == f->session)
            return mica__fail(err, MICA_INVALID, "session %zu of a pass is session %zu, too", i, k);
    return MICA_OK;
}

static mica_status start(pass *p, const mica_forward *parts, size_t n, mica_error *err)
{
    const mica__decoder_spec *spec = &parts->session->model->spec;
    *p = (pass){.model = parts->session->model,
                .hidden = (size_t)spec->hidden,
                .vocab = (size_t)spec->vocab,
                .n_layers = (size_t)spec->n_layers,
                .query_size = (size_t)spec->n_heads * (size_t)spec->head_dim,
                .part = MICA__DECODER_BODY};
    for (size_t i = 0; i < n; i++) {
        MICA_TRY(check_part(parts, i, err));
        if (looks_inside(&parts[i])) p->part = MICA__DECODER_OPEN;
        MICA_TRY(mica__session_prepare(parts[i].session, parts[i].ids, parts[i].n, err));
    }
    MICA_TRY(mica__model_program(p->model, p->part, &p->body, err));
    MICA_TRY(mica__model_program(p->model, MICA__DECODER_HEAD, &p->head, err));
    p->most = (size_t)mica__model_rows(p->model, p->part);
    p->most_ends = (size_t)mica__model_rows(p->model, MICA__DECODER_HEAD);
    return make_memory(p, err);
}

/* ---- the head ------------------------------------------------------------------------------------------------------------------ */

static bool ends_are_neighbours(const pass *p)
{
    for (size_t i = 1; i < p->n_ends; i++)
        if (p->ends_to[i] != p->ends_to[i - 1] + p->vocab) return false;
    return true;
}

/* Gives the rows that wait their logits. */
static mica_status flush(pass *p, mica_error *err)
{
    if (!p->n_ends) return MICA_OK;
    const bool direct = ends_are_neighbours(p);
    if (!direct && !p->ends_logits) {
        p->ends_logits = mica__arena_alloc(&p->memory, p->most_ends, p->vocab * sizeof(float));
        if (!p->ends_logits) return mica__fail_memory(err, p->most_ends * p->vocab * sizeof(float), "logits");
    }
    const void *inputs[] = {[MICA__IN_ROWS] = p->ends};
    void *outputs[] = {direct ? p->ends_to[0] : p->ends_logits};
    const mica_bindings bindings = {
        .inputs = inputs, .outputs = outputs, .n_inputs = 1, .n_outputs = 1, .rows = (int64_t)p->n_ends};
    MICA_TRY(mica_program_run(p->head, &bindings, err));
    for (size_t i = 0; i < p->n_ends && !direct; i++)
        memcpy(p->ends_to[i], p->ends_logits + i * p->vocab, p->vocab * sizeof(float));
    p->n_ends = 0;
    return MICA_OK;
}

/* The piece's rows that want logits; `row` is its first one in the run. */
static mica_status collect(pass *p, const piece *it, size_t row, mica_error *err)
{
    const mica_forward *f = it->part;
    size_t first = 0;
    if (!f->logits) return MICA_OK;
    if (f->last_only) first = it->done + it->n == f->n ? it->n - 1 : it->n;
    for (size_t i = first; i < it->n; i++) {
        if (p->n_ends == p->most_ends) MICA_TRY(flush(p, err));
        memcpy(p->ends + p->n_ends * p->hidden, p->normed + (row + i) * p->hidden, p->hidden * sizeof(float));
        p->ends_to[p->n_ends++] = f->logits + (f->last_only ? 0 : (it->done + i) * p->vocab);
    }
    return MICA_OK;
}

/* ---- a run --------------------------------------------------------------------------------------------------------------------- */

/* Texts and single tokens are rounded differently with --precision int8 (run_program in session.c), and a run rounds all its rows alike. */
static bool is_text(const mica_forward *f) { return f->n > 1; }

static bool may_join(const pass *p, const mica_forward *f)
{
    const mica_forward *first = p->pieces->part;
    return mica__sessions_agree(first->session, f->session) && (!p->model->int8 || is_text(first) == is_text(f));
}

/* What comes next from position `done` of part `at` on; returns the number of pieces and moves on. */
static size_t choose(pass *p, const mica_forward *parts, size_t n, size_t *at, size_t *done)
{
    size_t n_pieces = 0, rows = 0;
    while (*at < n && rows < p->most) {
        const mica_forward *f = &parts[*at];
        if (n_pieces && f->n && !may_join(p, f)) break;
        size_t left = f->n - *done, room = p->most - rows, take = left < room ? left : room;
        if (take) p->pieces[n_pieces++] = (piece){f, *done, take, 0};
        rows += take;
        *done += take;
        if (*done < f->n) break;
        *done = 0;
        ++*at;
    }
    return n_pieces;
}

/* Embeddings, positions and sequences of the pieces. */
static mica_status load_rows(pass *p, size_t n_pieces, size_t *n_rows, mica_error *err)
{
    size_t rows = 0;
    bool any_ids = false;
    for (size_t i = 0; i < n_pieces; i++) {
        piece *it = &p->pieces[i];
        mica_session *s = it->part->session;
        it->n_past = s->length;
        if (atomic_load(s->cancelled)) return mica__fail(err, MICA_CANCELLED, "cancelled");
        p->sequences[i] = (mica_sequence){s->cache.layers, (int64_t)it->n, s->length};
        for (size_t k = 0; k < it->n; k++) {
            p->positions[rows + k] = (int32_t)(s->length + (int64_t)k);
            p->ids[rows + k] = it->part->ids ? it->part->ids[it->done + k] : 0;
        }
        any_ids = any_ids || it->part->ids;
        rows += it->n;
    }
    *n_rows = rows;
    if (any_ids) {
        mica_model *m = p->model;
        MICA_TRY(mica__decoder_embed(&m->spec, &m->weights, m->device, p->ids, rows, p->embeddings, err));
    }
    for (size_t i = 0, row = 0; i < n_pieces; row += p->pieces[i++].n) {
        const float *given = p->pieces[i].part->embeddings;
        if (!given) continue;
        memcpy(p->embeddings + row * p->hidden, given + p->pieces[i].done * p->hidden,
               p->pieces[i].n * p->hidden * sizeof(float));
    }
    return MICA_OK;
}

static mica_status run_body(pass *p, size_t n_pieces, size_t rows, mica_error *err)
{
    const mica_session *first = p->pieces->part->session;
    const void *inputs[MICA__IN_FREQUENCIES + MICA__MAX_ROPES] = {
        [MICA__IN_ROWS] = p->embeddings, [MICA__IN_POSITIONS] = p->positions};
    for (int i = 0; i < first->n_frequencies; i++) inputs[MICA__IN_FREQUENCIES + i] = first->frequencies[i];
    const mica_bindings bindings = {
        .inputs = inputs,
        .outputs = p->outputs,
        .n_inputs = MICA__IN_FREQUENCIES + first->n_frequencies,
        .n_outputs = p->part == MICA__DECODER_OPEN ? (int)(2 * p->n_layers) : 1,
        .n_caches = first->cache.n_layers,
        .rows = (int64_t)rows,
        .sequences = p->sequences,
        .n_sequences = (int)n_pieces,
        .int8 = is_text(p->pieces->part),
    };
    return mica_program_run(p->body, &bindings, err);
}

/* A piece's part of [n_layers + 1, n, hidden]. */
static void give_states(const pass *p, const piece *it, size_t row)
{
    float *to = it->part->hidden_states;
    for (size_t i = 0; to && i <= p->n_layers; i++) {
        const float *from = i == 0            ? p->embeddings
                            : i < p->n_layers ? p->layers + (i - 1) * p->most * p->hidden
                                              : p->normed;
        memcpy(to + (i * it->part->n + it->done) * p->hidden, from + row * p->hidden,
               it->n * p->hidden * sizeof(float));
    }
}

/* A piece's part of [n_layers, n_heads, n, length]. */
static mica_status give_attentions(const pass *p, const piece *it, size_t row, mica_error *err)
{
    const mica_forward *f = it->part;
    const size_t n_heads = (size_t)p->model->spec.n_heads, length = (size_t)it->n_past - it->done + f->n;
    for (size_t i = 0; f->attentions && i < p->n_layers; i++) {
        const float *queries = p->queries + (i * p->most + row) * p->query_size;
        const mica__attention_rows out = {f->attentions + i * n_heads * f->n * length, f->n, length, it->done};
        MICA_TRY(mica__attentions(f->session, (int)i, queries, it->n_past, it->n, &out, err));
    }
    return MICA_OK;
}

static mica_status run_pieces(pass *p, size_t n_pieces, mica_error *err)
{
    size_t rows;
    MICA_TRY(load_rows(p, n_pieces, &rows, err));
    MICA_TRY(run_body(p, n_pieces, rows, err));
    for (size_t i = 0, row = 0; i < n_pieces; row += p->pieces[i++].n) {
        const piece *it = &p->pieces[i];
        const int32_t *ids = it->part->ids;
        mica__session_grew(it->part->session, ids ? ids + it->done : NULL, (int64_t)it->n);
        give_states(p, it, row);
        MICA_TRY(give_attentions(p, it, row, err));
        MICA_TRY(collect(p, it, row, err));
    }
    return MICA_OK;
}

static mica_status run(pass *p, const mica_forward *parts, size_t n, mica_error *err)
{
    for (size_t at = 0, done = 0, n_pieces; (n_pieces = choose(p, parts, n, &at, &done));)
        MICA_TRY(run_pieces(p, n_pieces, err));
    MICA_TRY(flush(p, err));
    return mica__checkpoint_check(p->model->checkpoint, err);
}

mica_status mica__pass(const mica_forward *parts, size_t n, mica_error *err)
{
    if (!n) return MICA_OK;
    if (n == 1 && parts->n && parts->ids && !parts->embeddings && !looks_inside(parts)) { /* programs for just that */
        mica_session *s = parts->session;
        const bool all = parts->logits && !parts->last_only;
        return mica__session_run(s, parts->ids, parts->n, all, parts->logits ? parts->logits : s->logits, err);
    }
    pass p;
    mica_status status = start(&p, parts, n, err);
    if (!status) status = run(&p, parts, n, err);
    mica__arena_release(&p.memory);
    return status;
}

mica_status mica_sessions_forward(const mica_forward *parts, size_t n, mica_error *err)
{
    for (size_t i = 0; i < n; i++) atomic_store(parts[i].session->cancelled, false);
    return mica__pass(parts, n, err);
}
