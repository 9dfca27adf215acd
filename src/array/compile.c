/* array/compile.c: from a graph to a program.
 *
 *   1. collect the operations that the outputs need, inputs before users
 *   2. give each its stage: one after the latest of its inputs
 *   3. write the instructions, stage by stage; the backend chooses kernels
 *   4. place values and scratch memory in the arena
 *
 * Everything temporary lives in one arena of the compiler. */
#include "program.h"

#include <string.h>

typedef struct operand_ref {
    int instr, operand; /* -1: out */
    int value;          /* whose memory it is in */
    size_t offset;      /* bytes */
} operand_ref;

typedef struct compiler {
    mica_graph *g;
    mica_program *p;
    mica_error *err;
    mica__arena memory;
    mica_array **ops; /* [n_ops], inputs before users; array->index is the place here */
    int n_ops, cap_ops;
    int *stage;          /* [n_ops] */
    mica__value *values; /* [n_ops]: the memory of ops[i] */
    operand_ref *refs;
    int n_refs, cap_instrs, cap_patches, cap_buffers, cap_caches, cap_refs;
    bool exact, int8;
} compiler;

static mica_status no_memory(compiler *c) { return mica__fail_memory(c->err, 0, "a program"); }

/* Makes room for one more element; heap memory, since it stays with the program. */
static bool grow(void *list, int n, int *cap, size_t size)
{
    if (n < *cap) return true;
    int more = *cap ? *cap * 2 : 32;
    void *bigger = mica__realloc(*(void **)list, (size_t)more, size);
    if (!bigger) return false;
    *(void **)list = bigger;
    *cap = more;
    return true;
}

/* ---- 1. collect ---- */

typedef struct visit {
    mica_array *array;
    int next_input;
} visit;

static mica_status add_op(compiler *c, mica_array *a)
{
    if (!grow(&c->ops, c->n_ops, &c->cap_ops, sizeof *c->ops)) return no_memory(c);
    a->index = (uint32_t)c->n_ops;
    c->ops[c->n_ops++] = a;
    return MICA_OK;
}

/* Depth first without recursion; an array is marked when it is entered. */
static mica_status collect(compiler *c, mica_array *output)
{
    visit *stack = NULL;
    int depth = 0, cap = 0;
    mica_status status = MICA_OK;
    mica_array *next = mica__root(output);
    for (;;) {
        if (next && next->kind == MICA__OPERATION && next->mark != c->g->last_mark) {
            if (next->graph != c->g)
                status = mica__fail(c->err, MICA_INVALID, "an array of another graph is not evaluated");
            if (status == MICA_OK && !grow(&stack, depth, &cap, sizeof *stack)) status = no_memory(c);
            if (status != MICA_OK) break;
            next->mark = c->g->last_mark;
            stack[depth++] = (visit){next, 0};
        }
        if (depth == 0) break;
        visit *top = &stack[depth - 1];
        if (top->next_input < top->array->n_in) {
            next = mica__root(top->array->in[top->next_input++]);
            continue;
        }
        if ((status = add_op(c, top->array)) != MICA_OK) break;
        depth--;
        next = NULL;
    }
    mica__free(stack);
    return status;
}

/* ---- 2. stages ---- */

static mica_status find_stages(compiler *c)
{
    c->stage = mica__arena_calloc(&c->memory, (size_t)c->n_ops + 1, sizeof *c->stage);
    c->values = mica__arena_calloc(&c->memory, (size_t)c->n_ops + 1, sizeof *c->values);
    if (!c->stage || !c->values) return no_memory(c);
    for (int i = 0; i < c->n_ops; i++) {
        const mica_array *a = c->ops[i];
        int stage = 0;
        for (int k = 0; k < a->n_in; k++) {
            const mica_array *in = mica__root(a->in[k]);
            if (in->kind != MICA__OPERATION) continue;
            if (c->stage[in->index] + 1 > stage) stage = c->stage[in->index] + 1;
        }
        c->stage[i] = stage;
        c->values[i] = (mica__value){.n_bytes = (size_t)mica_array_size(a) * mica_dtype_size(a->dtype),
                                     .first_stage = stage,
                                     .last_stage = stage,
                                     .output = -1};
        for (int k = 0; k < a->n_in; k++) {
            const mica_array *in = mica__root(a->in[k]);
            if (in->kind == MICA__OPERATION && c->values[in->index].last_stage < stage)
                c->values[in->index].last_stage = stage;
        }
    }
    return MICA_OK;
}

/* ---- 3. instructions ---- */

static mica_status keep_buffer(compiler *c, mica__buffer *b)
{
    mica_program *p = c->p;
    for (int i = p->n_buffers - 1; i >= 0 && i >= p->n_buffers - 8; i--)
        if (p->buffers[i] == b) return MICA_OK;
    if (!grow(&p->buffers, p->n_buffers, &c->cap_buffers, sizeof(mica__buffer *))) return no_memory(c);
    p->buffers[p->n_buffers++] = mica__buffer_retain(b);
    return MICA_OK;
}

static mica_status add_patch(compiler *c, mica__patch patch)
{
    mica_program *p = c->p;
    if (!grow(&p->patches, p->n_patches, &c->cap_patches, sizeof *p->patches)) return no_memory(c);
    p->patches[p->n_patches++] = patch;
    int *n_slots = patch.is_output ? &p->n_outputs : &p->n_inputs;
    if (*n_slots <= patch.slot) *n_slots = patch.slot + 1;
    return MICA_OK;
}

static mica_status describe_quantized(compiler *c, const mica_array *a, mica__tensor *t)
{
    const mica_array *codes = a->in[0], *scales = a->in[1], *biases = a->n_in > 2 ? a->in[2] : NULL;
    t->quantized = true;
    t->data = codes->buffer->data;
    t->affine = (mica__affine){.bits = a->bits,
                               .group_size = a->group_size,
                               .scale_dtype = scales->dtype,
                               .scales = scales->buffer->data,
                               .biases = biases ? biases->buffer->data : NULL,
                               .mode = a->mode};
    for (int i = 0; i < a->n_in; i++) MICA_TRY(keep_buffer(c, a->in[i]->buffer));
    return MICA_OK;
}

/* Fills *t for operand `operand` of the instruction being written. */
static mica_status describe(compiler *c, const mica_array *a, int operand, mica__tensor *t)
{
    *t = (mica__tensor){.dtype = a->dtype, .ndim = a->ndim, .rows = a->rows_factor != 0, .rows_factor = a->rows_factor};
    memcpy(t->shape, a->shape, sizeof t->shape);
    memcpy(t->strides, a->strides, sizeof t->strides);
    if (a->rows_factor && a->shape[0] / a->rows_factor > c->p->max_rows) c->p->max_rows = a->shape[0] / a->rows_factor;
    if (a->quantized) return describe_quantized(c, a, t);
    const mica_array *root = mica__root((mica_array *)a);
    size_t offset = (size_t)a->offset * mica_dtype_size(a->dtype);
    int instr = c->p->n;
    switch (root->kind) {
    case MICA__SOURCE:
        t->data = root->buffer->data ? root->buffer->data + offset : NULL;
        return keep_buffer(c, root->buffer);
    case MICA__INPUT:
        return add_patch(c, (mica__patch){.instr = instr, .operand = operand, .slot = root->slot, .offset = offset});
    default:
        if (!grow(&c->refs, c->n_refs, &c->cap_refs, sizeof *c->refs)) return no_memory(c);
        c->refs[c->n_refs++] = (operand_ref){instr, operand, (int)root->index, offset};
        return MICA_OK;
    }
}

static mica_status new_instr(compiler *c, mica__op op, const mica__attrs *attrs, mica__instr **out)
{
    mica_program *p = c->p;
    if (!grow(&p->instrs, p->n, &c->cap_instrs, sizeof *p->instrs)) return no_memory(c);
    *out = &p->instrs[p->n];
    **out = (mica__instr){.op = op, .attrs = *attrs, .exact = c->exact, .int8 = c->int8};
    return MICA_OK;
}

static mica_status note_cache(compiler *c, const mica__attrs *attrs)
{
    mica_program *p = c->p;
    if (!grow(&p->caches, p->n_caches, &c->cap_caches, sizeof *p->caches)) return no_memory(c);
    p->caches[p->n_caches++] = (mica__cache_use){attrs->cache_slot, attrs->attention.window, attrs->cache};
    return MICA_OK;
}

/* Completed instruction: the backend chooses its kernel. */
static mica_status finish_instr(compiler *c)
{
    mica__instr *instr = &c->p->instrs[c->p->n];
    if (instr->op == MICA__OP_CACHED_ATTENTION) MICA_TRY(note_cache(c, &instr->attrs));
    MICA_TRY(c->p->device->backend->prepare_instr(instr, false, c->err));
    c->p->n++;
    return MICA_OK;
}

/* One instruction for each part, which writes a view of the whole. */
static mica_status write_concatenate(compiler *c, mica_array *a)
{
    int64_t start = 0;
    for (int i = 0; i < a->n_in; i++) {
        mica__instr *instr;
        MICA_TRY(new_instr(c, a->op, &a->attrs, &instr));
        instr->n_in = 1;
        MICA_TRY(describe(c, a->in[i], 0, &instr->in[0]));
        MICA_TRY(describe(c, a, -1, &instr->out));
        int axis = a->attrs.axis;
        c->refs[c->n_refs - 1].offset = (size_t)(start * a->strides[axis]) * mica_dtype_size(a->dtype);
        instr->out.shape[axis] = a->in[i]->shape[axis];
        start += a->in[i]->shape[axis];
        MICA_TRY(finish_instr(c));
    }
    return MICA_OK;
}

static mica_status write_operation(compiler *c, mica_array *a)
{
    if (a->op == MICA__OP_CONCATENATE) return write_concatenate(c, a);
    mica__instr *instr;
    MICA_TRY(new_instr(c, a->op, &a->attrs, &instr));
    instr->n_in = a->n_in;
    int operand = 0;
    for (int k = 0; k < a->n_in; k++, operand++) {
        /* A layer norm without weight leaves its place empty before the bias. */
        if (a->op == MICA__OP_LAYER_NORM && k == 1 && a->attrs.axis == 2) instr->in[operand++] = (mica__tensor){0};
        MICA_TRY(describe(c, a->in[k], operand, &instr->in[operand]));
    }
    instr->n_in = operand;
    MICA_TRY(describe(c, a, -1, &instr->out));
    return finish_instr(c);
}

/* An output that is not simply the memory of one operation: copied at the end. */
static mica_status write_output_copy(compiler *c, mica_array *a, int slot)
{
    mica__instr *instr;
    MICA_TRY(new_instr(c, MICA__OP_COPY, &(mica__attrs){0}, &instr));
    instr->n_in = 1;
    MICA_TRY(describe(c, a, 0, &instr->in[0]));
    instr->out = instr->in[0];
    instr->out.data = NULL;
    mica__row_major(a->shape, a->ndim, instr->out.strides);
    MICA_TRY(add_patch(c, (mica__patch){.instr = c->p->n, .operand = -1, .slot = slot, .is_output = true}));
    return finish_instr(c);
}

/* Outputs that are one whole operation are computed in place; returns whether this one is. */
static bool claim_output(compiler *c, mica_array *a, int slot)
{
    mica_array *root = mica__root(a);
    if (root->kind != MICA__OPERATION || a->offset != 0 || !mica__is_dense(a) ||
        mica_array_size(a) != mica_array_size(root))
        return false;
    mica__value *v = &c->values[root->index];
    if (v->output >= 0) return false;
    v->output = slot;
    return true;
}

static mica_status write_instructions(compiler *c, mica_array *const *outputs, int n_outputs)
{
    mica_program *p = c->p;
    int last_stage = -1;
    for (int i = 0; i < c->n_ops; i++)
        if (c->stage[i] > last_stage) last_stage = c->stage[i];
    p->stages = mica__alloc((size_t)last_stage + 3, sizeof *p->stages);
    bool *claimed = mica__arena_calloc(&c->memory, (size_t)n_outputs + 1, sizeof *claimed);
    int *order = mica__arena_alloc(&c->memory, (size_t)c->n_ops + 1, sizeof *order);
    int *first = mica__arena_calloc(&c->memory, (size_t)last_stage + 3, sizeof *first);
    if (!p->stages || !claimed || !order || !first) return no_memory(c);
    for (int i = 0; i < n_outputs; i++) claimed[i] = claim_output(c, outputs[i], i);
    for (int i = 0; i < c->n_ops; i++) first[c->stage[i] + 1]++; /* counting sort by stage, stable */
    for (int s = 0; s <= last_stage; s++) first[s + 1] += first[s];
    for (int i = 0; i < c->n_ops; i++) order[first[c->stage[i]]++] = i;
    for (int i = 0; i < c->n_ops; i++) {
        while (p->n_stages <= c->stage[order[i]]) p->stages[p->n_stages++] = p->n;
        MICA_TRY(write_operation(c, c->ops[order[i]]));
    }
    bool any_copy = false;
    for (int i = 0; i < n_outputs; i++) {
        if (claimed[i]) continue;
        if (!any_copy) p->stages[p->n_stages++] = p->n;
        any_copy = true;
        const mica_array *root = mica__root(outputs[i]);
        if (root->kind == MICA__OPERATION) c->values[root->index].last_stage = p->n_stages - 1;
        MICA_TRY(write_output_copy(c, outputs[i], i));
    }
    p->stages[p->n_stages] = p->n;
    return MICA_OK;
}

/* ---- 4. memory ---- */

/* The earlier instruction of the same stage whose first phase leaves what this one's would; -1: none. */
static int same_first_phase(const mica_program *p, int stage_begin, int i)
{
    const mica__instr *a = &p->instrs[i];
    if (!a->first_phase_key || a->n_phases < 2 || !a->in[0].data) return -1; /* no data yet: an input of the program */
    for (int k = stage_begin; k < i; k++) {
        const mica__instr *b = &p->instrs[k];
        if (b->first_phase_key == a->first_phase_key && b->phase[0] == a->phase[0] &&
            b->scratch_bytes == a->scratch_bytes && memcmp(&a->in[0], &b->in[0], sizeof a->in[0]) == 0)
            return k;
    }
    return -1;
}

/* Scratch of the instructions of one stage side by side; returns the bytes of the hungriest stage. */
static mica_status place_scratch(compiler *c, size_t *n_bytes)
{
    mica_program *p = c->p;
    size_t n_members = (size_t)mica__team_size(p->device->team);
    p->placements = mica__calloc((size_t)p->n + 1, sizeof *p->placements);
    if (!p->placements) return no_memory(c);
    *n_bytes = 0;
    for (int s = 0; s < p->n_stages; s++) {
        size_t used = 0;
        for (int i = p->stages[s]; i < p->stages[s + 1]; i++) {
            int same = same_first_phase(p, p->stages[s], i);
            if (same >= 0) {
                p->placements[i] = (mica__placement){.scratch = p->placements[same].scratch, .skip_first = true};
            } else {
                p->placements[i].scratch = used;
                used += mica__align64(p->instrs[i].scratch_bytes);
            }
            p->placements[i].member_scratch = used;
            used += mica__align64(p->instrs[i].member_scratch_bytes) * n_members;
        }
        if (used > *n_bytes) *n_bytes = used;
    }
    return MICA_OK;
}

static mica__tensor *tensor_of(mica_program *p, int instr, int operand)
{
    return operand < 0 ? &p->instrs[instr].out : &p->instrs[instr].in[operand];
}

static mica_status place_values(compiler *c)
{
    mica_program *p = c->p;
    size_t value_bytes = 0, scratch_bytes = 0;
    MICA_TRY(mica__plan(c->values, c->n_ops, &value_bytes, c->err));
    p->scratch_offset = value_bytes;
    /* Operands are told apart by their place in the arena before it exists: the first-phase test compares them. */
    for (int i = 0; i < c->n_refs; i++) {
        const mica__value *v = &c->values[c->refs[i].value];
        if (v->output < 0)
            tensor_of(p, c->refs[i].instr, c->refs[i].operand)->data = (void *)(v->offset + c->refs[i].offset + 64);
    }
    MICA_TRY(place_scratch(c, &scratch_bytes));
    if (!mica__add(value_bytes, scratch_bytes, &p->arena_bytes)) return no_memory(c);
    p->arena = mica__pages_alloc(p->arena_bytes);
    if (!p->arena) return mica__fail_memory(c->err, p->arena_bytes, "the arena of a program");
    for (int i = 0; i < c->n_refs; i++) {
        const operand_ref *r = &c->refs[i];
        const mica__value *v = &c->values[r->value];
        if (v->output < 0) {
            tensor_of(p, r->instr, r->operand)->data = p->arena + v->offset + r->offset;
            continue;
        }
        MICA_TRY(add_patch(
            c,
            (mica__patch){
                .instr = r->instr, .operand = r->operand, .slot = v->output, .is_output = true, .offset = r->offset}));
    }
    return MICA_OK;
}

/* ---- the whole ---- */

static mica_status compile(compiler *c, mica_array *const *outputs, int n_outputs)
{
    for (int i = 0; i < n_outputs; i++) {
        if (!outputs[i]) return mica__fail(c->err, MICA_INVALID, "output %d is NULL", i);
        if (outputs[i]->quantized) return mica__fail(c->err, MICA_INVALID, "output %d is a quantized matrix", i);
        MICA_TRY(collect(c, outputs[i]));
    }
    MICA_TRY(find_stages(c));
    MICA_TRY(write_instructions(c, outputs, n_outputs));
    MICA_TRY(place_values(c));
    c->p->n_outputs = n_outputs;
    return MICA_OK;
}

mica_status mica_program_compile(mica_program **out, mica_graph *g, mica_array *const *outputs, int n_outputs,
                                 const mica_program_options *options, mica_error *err)
{
    *out = NULL;
    MICA_TRY(mica_graph_status(g, err));
    if (n_outputs < 1 || n_outputs > 65536) return mica__fail(err, MICA_INVALID, "a program of %d outputs", n_outputs);
    mica_program *p = mica__calloc(1, sizeof *p);
    if (!p) return mica__fail_memory(err, sizeof *p, "a program");
    p->device = g->device;
    pthread_mutex_init(&p->turn, NULL);
    g->last_mark++;
    compiler c = {.g = g, .p = p, .err = err, .exact = options && options->exact, .int8 = options && options->int8};
    mica_status status = compile(&c, outputs, n_outputs);
    mica__free(c.ops);
    mica__free(c.refs);
    mica__arena_release(&c.memory);
    if (status != MICA_OK) {
        mica_program_free(p);
        return status;
    }
    *out = p;
    return MICA_OK;
}
