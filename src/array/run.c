/* array/run.c: running programs, and evaluating arrays by way of a program used once. */
#include "program.h"

/* ---- one run ---- */

typedef struct job {
    mica_program *p;
    mica__run run;
    const mica_bindings *bindings;
} job;

static void apply_patches(const mica_program *p, mica__instr *instrs, const mica_bindings *b)
{
    for (int i = 0; i < p->n_patches; i++) {
        const mica__patch *patch = &p->patches[i];
        mica__instr *instr = &instrs[patch->instr];
        mica__tensor *t = patch->operand < 0 ? &instr->out : &instr->in[patch->operand];
        uint8_t *base = patch->is_output ? b->outputs[patch->slot] : (uint8_t *)b->inputs[patch->slot];
        t->data = base + patch->offset;
    }
}

/* Share `id` of `n` of a call, done by `member`. */
static void run_call(const job *j, const mica__instr *instrs, const mica__call *call, int member, int id, int n)
{
    const mica_program *p = j->p;
    const mica__instr *instr = &instrs[call->instr];
    const mica__placement *place = &p->placements[call->instr];
    uint8_t *scratch = p->arena + p->scratch_offset;
    uint8_t *own = p->arena + p->members_offset + (size_t)member * p->member_bytes + p->member_scratch_offset;
    mica__run run = j->run;
    run.scratch = (place->private_first ? own : scratch) + place->scratch;
    run.member_scratch = scratch + place->member_scratch + (size_t)member * instr->member_scratch_bytes;
    mica__phase(instr, &run, call->phase)(instr, &run, id, n);
}

static void run_item(void *context, const mica__walk_item *item)
{
    const job *j = context;
    const mica_program *p = j->p;
    mica__instr *instrs = p->copies ? p->copies[item->member] : p->instrs;
    if (item->first_of_walk && p->copies) apply_patches(p, instrs, j->bindings);
    const mica__call *call = &p->calls[p->steps[item->step]];
    for (; call->is_private; call++)
        if (item->first_of_step) run_call(j, instrs, call, item->member, 0, 1);
    int index = item->index;
    for (; index >= call->shares; call++) index -= call->shares;
    run_call(j, instrs, call, item->member, item->owner * call->shares + index, item->n * call->shares);
}

static mica_status check_caches(const mica_program *p, const mica_sequence *s, int n_caches, mica_error *err)
{
    for (int i = 0; i < p->n_caches; i++) {
        const mica__cache_use *use = &p->caches[i];
        const mica_cache *cache = use->slot < n_caches ? s->caches[use->slot] : NULL;
        if (!cache) return mica__fail(err, MICA_INVALID, "cache %d is not bound", use->slot);
        const mica_cache_options *have = &cache->options, *want = &use->options;
        if (have->n_kv_heads != want->n_kv_heads || have->head_dim != want->head_dim ||
            have->value_dim != want->value_dim)
            return mica__fail(
                err, MICA_INVALID, "cache %d has %d heads of %d and %d, the program wants %d of %d and %d", use->slot,
                have->n_kv_heads, have->head_dim, have->value_dim, want->n_kv_heads, want->head_dim, want->value_dim);
        int64_t end = s->n_past + s->rows, kept = use->window ? s->rows + use->window - 1 : end;
        if (end < kept) kept = end;
        if (have->capacity < kept)
            return mica__fail(err, MICA_INVALID, "cache %d keeps %lld positions, %lld are needed", use->slot,
                              (long long)have->capacity, (long long)kept);
    }
    return MICA_OK;
}

static mica_status check_sequences(const mica_program *p, const mica__run *run, int n_caches, mica_error *err)
{
    int64_t rows = 0;
    for (int i = 0; i < run->n_sequences; i++) {
        const mica_sequence *s = &run->sequences[i];
        if (s->n_past < 0 || s->n_past > INT64_MAX / 4)
            return mica__fail(err, MICA_INVALID, "%lld past positions", (long long)s->n_past);
        if (run->n_sequences > 1 && (s->rows < 1 || s->rows > run->rows - rows))
            return mica__fail(err, MICA_INVALID, "sequence %d has %lld rows of %lld", i, (long long)s->rows,
                              (long long)run->rows);
        rows += s->rows;
        MICA_TRY(check_caches(p, s, n_caches, err));
    }
    if (rows == run->rows) return MICA_OK;
    return mica__fail(err, MICA_INVALID, "the sequences have %lld rows of %lld", (long long)rows, (long long)run->rows);
}

static mica_status check_bindings(const mica_program *p, const mica_bindings *b, const mica__run *run, mica_error *err)
{
    if (p->max_rows && (b->rows < 1 || b->rows > p->max_rows))
        return mica__fail(err, MICA_INVALID, "%lld rows, the program takes 1 to %lld", (long long)b->rows,
                          (long long)p->max_rows);
    for (int i = 0; i < p->n_patches; i++) {
        const mica__patch *patch = &p->patches[i];
        bool bound = patch->is_output ? patch->slot < b->n_outputs && b->outputs[patch->slot]
                                      : patch->slot < b->n_inputs && b->inputs[patch->slot];
        if (!bound)
            return mica__fail(err, MICA_INVALID, "%s %d is not bound", patch->is_output ? "output" : "input",
                              patch->slot);
    }
    return check_sequences(p, run, b->n_caches, err);
}

static void note_written(const mica_program *p, const mica_sequence *s)
{
    for (int i = 0; i < p->n_caches; i++) {
        mica_cache *cache = s->caches[p->caches[i].slot];
        int64_t end = s->n_past + s->rows;
        if (end > cache->options.capacity) end = cache->options.capacity;
        if (end > cache->n_written) cache->n_written = end;
    }
}

mica_status mica_program_run(mica_program *p, const mica_bindings *bindings, mica_error *err)
{
    static const mica_bindings none;
    const mica_bindings *b = bindings ? bindings : &none;
    const mica_sequence single = {b->caches, b->rows, b->n_past};
    const mica__run run = {.rows = b->rows,
                           .int8 = b->int8,
                           .sequences = b->sequences ? b->sequences : &single,
                           .n_sequences = b->sequences ? b->n_sequences : 1};
    MICA_TRY(check_bindings(p, b, &run, err));
    pthread_mutex_lock(&p->turn);
    mica_program *fitting = p->small && b->rows <= p->small->max_rows ? p->small : p;
    if (!fitting->copies) apply_patches(fitting, fitting->instrs, b);
    job j = {fitting, run, b};
    mica__team_walk(p->device->team, &(mica__walk){run_item, &j, fitting->n_steps, fitting->own_items});
    for (int i = 0; i < run.n_sequences; i++) note_written(p, &run.sequences[i]);
    pthread_mutex_unlock(&p->turn);
    return MICA_OK;
}

size_t mica_program_arena_bytes(const mica_program *p)
{
    return p->arena_bytes + (p->small ? p->small->arena_bytes : 0);
}
int mica_program_size(const mica_program *p) { return p->n; }

void mica_program_free(mica_program *p)
{
    if (!p) return;
    mica__team_settle(p->device->team);
    mica_program_free(p->small);
    for (int i = 0; i < p->n_buffers; i++) mica__buffer_drop(p->buffers[i]);
    for (int i = 1; p->copies && i < mica__team_size(p->device->team); i++) mica__free(p->copies[i]);
    mica__free(p->copies);
    mica__free(p->calls);
    mica__free(p->steps);
    mica__free(p->own_items);
    mica__free(p->buffers);
    mica__free(p->instrs);
    mica__free(p->placements);
    mica__free(p->stages);
    mica__free(p->patches);
    mica__free(p->caches);
    mica__pages_free(p->arena, p->arena_bytes);
    pthread_mutex_destroy(&p->turn);
    mica__free(p);
}

/* ---- eval ---- */

/* The root has its values now: it becomes a source and lets its inputs go. */
static void become_source(mica_array *root, mica__buffer *buffer)
{
    root->buffer = buffer;
    root->kind = MICA__SOURCE;
    for (int i = 0; i < root->n_in; i++) mica_array_drop(root->in[i]);
    root->n_in = 0;
}

/* The distinct roots of the arrays that are still to be computed. */
static int pending_roots(mica_graph *g, mica_array *const *arrays, size_t n, mica_array **roots)
{
    int n_roots = 0;
    g->last_mark++;
    for (size_t i = 0; i < n; i++) {
        mica_array *root = mica__root(arrays[i]);
        if (root->kind == MICA__SOURCE || root->mark == g->last_mark) continue;
        root->mark = g->last_mark;
        roots[n_roots++] = root;
    }
    return n_roots;
}

static mica_status run_once(mica_graph *g, mica_array **roots, int n, void **data, mica_error *err)
{
    mica_program *p;
    MICA_TRY(mica_program_compile(&p, g, roots, n, &(mica_program_options){.exact = true}, err));
    mica_status status = p->n_inputs || p->n_caches || p->max_rows
                             ? mica__fail(err, MICA_INVALID, "eval: the graph has inputs; compile a program")
                             : mica_program_run(p, &(mica_bindings){.outputs = data, .n_outputs = n}, err);
    mica_program_free(p);
    return status;
}

static mica_status eval_roots(mica_graph *g, mica_array **roots, int n, mica__buffer **buffers, void **data,
                              mica_error *err)
{
    for (int i = 0; i < n; i++) {
        size_t n_bytes = (size_t)mica_array_size(roots[i]) * mica_dtype_size(roots[i]->dtype);
        buffers[i] = mica__buffer_create(n_bytes);
        if (!buffers[i]) return mica__fail_memory(err, n_bytes, "the result of eval");
        data[i] = buffers[i]->data;
    }
    MICA_TRY(run_once(g, roots, n, data, err));
    for (int i = 0; i < n; i++) {
        become_source(roots[i], buffers[i]);
        buffers[i] = NULL;
    }
    return MICA_OK;
}

mica_status mica_eval(mica_graph *g, mica_array *const *arrays, size_t n, mica_error *err)
{
    MICA_TRY(mica_graph_status(g, err));
    for (size_t i = 0; i < n; i++)
        if (!arrays[i]) return mica__fail(err, MICA_INVALID, "eval: array %zu is NULL", i);
    mica__arena memory = {0};
    mica_array **roots = mica__arena_alloc(&memory, n + 1, sizeof *roots);
    mica__buffer **buffers = mica__arena_calloc(&memory, n + 1, sizeof *buffers);
    void **data = mica__arena_alloc(&memory, n + 1, sizeof *data);
    mica_status status = MICA_OK;
    if (!roots || !buffers || !data) {
        status = mica__fail_memory(err, n * sizeof *roots, "eval");
    } else {
        int n_roots = pending_roots(g, arrays, n, roots);
        if (n_roots) status = eval_roots(g, roots, n_roots, buffers, data, err);
        for (int i = 0; i < n_roots; i++) mica__buffer_drop(buffers[i]);
    }
    mica__arena_release(&memory);
    return status;
}
