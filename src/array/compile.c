/* array/compile.c: from a graph to a program.
 *
 *   1. collect the operations that the outputs need, inputs before users
 *   2. give each its stage: one after the latest of its inputs, or the same stage if that input is private there
 *   3. write the instructions, stage by stage, private ones first; the backend chooses kernels
 *   4. place values and scratch memory in the arena
 *   5. list the steps
 *
 * Everything temporary lives in one arena of the compiler. */
#include "program.h"

#include <string.h>

typedef struct operand_ref {
    int instr, operand; /* -1: out */
    int value;          /* whose memory it is in */
    bool is_private;
    size_t offset; /* bytes */
} operand_ref;

typedef struct compiler {
    mica_graph *g;
    mica_program *p;
    mica_error *err;
    mica__arena memory;
    mica_array **ops; /* [n_ops], inputs before users; array->index is the place here */
    int n_ops, cap_ops;
    int *stage;            /* [n_ops] */
    mica__value *values;   /* [n_ops]: the memory of ops[i] */
    mica__value *privates; /* [n_ops]: of each member's own copy of it */
    bool *is_private;      /* [n_ops]: ops[i] is computed by each member, */
    bool *is_shared;       /* [n_ops]: and by all of them together for later stages */
    int64_t bound;         /* of the rows; 0: the graph's. Then values are private where that helps */
    int now;               /* stage of the instruction that is being written, */
    bool now_private;      /* and whether it is private */
    operand_ref *refs;
    int *private_instrs; /* [n_private] */
    int n_private, cap_private;
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

enum { PRIVATE_MAX = 16384 }; /* elements of a private value for each row: more are worth being shared */

static size_t elements(const compiler *c, const mica_array *a)
{
    const size_t all = (size_t)mica_array_size(a);
    if (!c->bound || !a->rows_factor) return all;
    return all / (size_t)a->shape[0] * (size_t)(a->rows_factor * c->bound);
}

static bool is_quick(const compiler *c, const mica_array *a)
{
    switch (a->op) {
#define QUICK(code, name) case MICA__OP_##code:
        MICA_UNARY_MAP(QUICK)
        MICA_BINARY_MAP(QUICK)
#undef QUICK
    case MICA__OP_RMS_NORM:
    case MICA__OP_LAYER_NORM:
    case MICA__OP_GATED:
    case MICA__OP_ASTYPE:
    case MICA__OP_COPY:
    case MICA__OP_TAKE:
        return c->bound && elements(c, a) <= (size_t)(PRIVATE_MAX * c->bound);
    default:
        return false;
    }
}

/* May an instruction read what its own member has just computed? Each of its steps begins with the private instructions, so this costs
 * attention, which has several, more than a step of their own. */
static bool reads_privates(const mica_array *a) { return a->op != MICA__OP_CACHED_ATTENTION; }

static void set_stage(compiler *c, int i)
{
    const mica_array *a = c->ops[i];
    int stage = 0;
    for (int k = 0; k < a->n_in; k++) {
        const mica_array *in = mica__root(a->in[k]);
        if (in->kind != MICA__OPERATION) continue;
        const int earliest = c->stage[in->index] + (reads_privates(a) && is_quick(c, in) ? 0 : 1);
        if (earliest > stage) stage = earliest;
    }
    c->stage[i] = stage;
    const mica__value value = {
        .n_bytes = elements(c, a) * mica_dtype_size(a->dtype), .first_stage = stage, .last_stage = stage, .output = -1};
    c->values[i] = c->privates[i] = value;
    for (int k = 0; k < a->n_in; k++) {
        const mica_array *in = mica__root(a->in[k]);
        if (in->kind != MICA__OPERATION) continue;
        if (c->stage[in->index] == stage) {
            c->is_private[in->index] = true;
        } else {
            c->is_shared[in->index] = true;
            if (c->values[in->index].last_stage < stage) c->values[in->index].last_stage = stage;
        }
    }
}

static mica_status find_stages(compiler *c)
{
    const size_t n = (size_t)c->n_ops + 1;
    c->stage = mica__arena_calloc(&c->memory, n, sizeof *c->stage);
    c->values = mica__arena_calloc(&c->memory, n, sizeof *c->values);
    c->privates = mica__arena_calloc(&c->memory, n, sizeof *c->privates);
    c->is_private = mica__arena_calloc(&c->memory, n, sizeof *c->is_private);
    c->is_shared = mica__arena_calloc(&c->memory, n, sizeof *c->is_shared);
    if (!c->stage || !c->values || !c->privates || !c->is_private || !c->is_shared) return no_memory(c);
    for (int i = 0; i < c->n_ops; i++) set_stage(c, i);
    for (int i = 0; i < c->n_ops; i++) {
        if (!c->is_private[i]) c->is_shared[i] = true;
        if (!c->is_private[i]) c->privates[i].n_bytes = 0;
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
    if (a->rows_factor && c->bound) t->shape[0] = a->rows_factor * c->bound;
    if (a->rows_factor && t->shape[0] / a->rows_factor > c->p->max_rows) c->p->max_rows = t->shape[0] / a->rows_factor;
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
        const bool same_stage = operand < 0 ? c->now_private : c->stage[root->index] == c->now;
        c->refs[c->n_refs++] = (operand_ref){instr, operand, (int)root->index, same_stage, offset};
        return MICA_OK;
    }
}

static mica_status new_instr(compiler *c, mica__op op, const mica__attrs *attrs, mica__instr **out)
{
    mica_program *p = c->p;
    if (!grow(&p->instrs, p->n, &c->cap_instrs, sizeof *p->instrs)) return no_memory(c);
    *out = &p->instrs[p->n];
    **out = (mica__instr){.op = op, .attrs = *attrs, .exact = c->exact};
    (*out)->int8 = c->int8 && !(op == MICA__OP_LINEAR && attrs->flag);
    return MICA_OK;
}

static mica_status note_cache(compiler *c, const mica__attrs *attrs)
{
    mica_program *p = c->p;
    if (!grow(&p->caches, p->n_caches, &c->cap_caches, sizeof *p->caches)) return no_memory(c);
    p->caches[p->n_caches++] = (mica__cache_use){attrs->cache_slot, attrs->attention.window, attrs->cache};
    return MICA_OK;
}

/* Instruction k is private. (The list grows with the instructions.) */
static mica_status note_private(compiler *c, int k)
{
    if (!grow(&c->private_instrs, c->n_private, &c->cap_private, sizeof *c->private_instrs)) return no_memory(c);
    c->private_instrs[c->n_private++] = k;
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

/* The operations of one stage, inputs before users: private ones, then shared ones. */
static mica_status write_stage(compiler *c, const int *ops, int n)
{
    for (int shared = 0; shared < 2; shared++) {
        c->now_private = !shared;
        for (int i = 0; i < n; i++) {
            const int first = c->p->n;
            if (!(shared ? c->is_shared : c->is_private)[ops[i]]) continue;
            MICA_TRY(write_operation(c, c->ops[ops[i]]));
            for (int k = first; !shared && k < c->p->n; k++) MICA_TRY(note_private(c, k));
        }
    }
    return MICA_OK;
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
    for (int i = 0; i < n_outputs; i++)
        if (mica__root(outputs[i])->kind == MICA__OPERATION) c->is_shared[mica__root(outputs[i])->index] = true;
    for (int i = 0, end; i < c->n_ops; i = end) {
        c->now = c->stage[order[i]];
        while (p->n_stages <= c->now) p->stages[p->n_stages++] = p->n;
        for (end = i; end < c->n_ops && c->stage[order[end]] == c->now;) end++;
        MICA_TRY(write_stage(c, order + i, end - i));
    }
    for (int i = 0; i < c->n_ops; i++)
        if (!c->is_shared[i]) c->values[i].n_bytes = 0;
    c->now = p->n_stages;
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

/* Scratch of the instructions of one stage side by side; returns the bytes of the hungriest stage, in the shared area and in each member's. */
static mica_status place_scratch(compiler *c, size_t *n_bytes, size_t *n_own_bytes)
{
    mica_program *p = c->p;
    const size_t n_members = (size_t)mica__team_size(p->device->team);
    p->placements = mica__calloc((size_t)p->n + 1, sizeof *p->placements);
    if (!p->placements) return no_memory(c);
    for (int i = 0; i < c->n_private; i++) p->placements[c->private_instrs[i]].is_private = true;
    *n_bytes = *n_own_bytes = 0;
    for (int s = 0; s < p->n_stages; s++) {
        size_t used = 0, own = 0;
        for (int i = p->stages[s]; i < p->stages[s + 1]; i++) {
            mica__placement *place = &p->placements[i];
            const int same = same_first_phase(p, p->stages[s], i);
            place->private_first = c->bound && p->instrs[i].first_phase_key && p->instrs[i].n_phases > 1;
            if (same >= 0) {
                place->scratch = p->placements[same].scratch;
                place->skip_first = true;
            } else {
                size_t *area = place->private_first ? &own : &used;
                place->scratch = *area;
                *area += mica__align64(p->instrs[i].scratch_bytes);
            }
            place->member_scratch = used;
            used += mica__align64(p->instrs[i].member_scratch_bytes) * n_members;
        }
        if (used > *n_bytes) *n_bytes = used;
        if (own > *n_own_bytes) *n_own_bytes = own;
    }
    return MICA_OK;
}

static mica__tensor *tensor_of(mica_program *p, int instr, int operand)
{
    return operand < 0 ? &p->instrs[instr].out : &p->instrs[instr].in[operand];
}

/* | shared values | scratch | member 0: values, scratch | member 1 ... | */
static mica_status make_arena(compiler *c, size_t value_bytes, size_t own_value_bytes)
{
    mica_program *p = c->p;
    size_t scratch_bytes = 0, own_scratch_bytes = 0, own_bytes;
    MICA_TRY(place_scratch(c, &scratch_bytes, &own_scratch_bytes));
    p->scratch_offset = value_bytes;
    if (!mica__add(value_bytes, scratch_bytes, &p->members_offset)) return no_memory(c);
    p->member_scratch_offset = own_value_bytes;
    if (!mica__add(own_value_bytes, own_scratch_bytes, &p->member_bytes)) return no_memory(c);
    if (!mica__mul(p->member_bytes, (size_t)mica__team_size(p->device->team), &own_bytes)) return no_memory(c);
    if (!mica__add(p->members_offset, own_bytes, &p->arena_bytes)) return no_memory(c);
    p->arena = mica__pages_alloc(p->arena_bytes);
    return p->arena ? MICA_OK : mica__fail_memory(c->err, p->arena_bytes, "the arena of a program");
}

/* Instructions of the other members: the same with their own memory as private operands. */
static mica_status copy_instructions(compiler *c)
{
    mica_program *p = c->p;
    const int n = mica__team_size(p->device->team);
    p->copies = mica__calloc((size_t)n, sizeof *p->copies);
    if (!p->copies) return no_memory(c);
    p->copies[0] = p->instrs;
    for (int m = 1; m < n; m++) {
        mica__instr *copy = mica__alloc((size_t)p->n, sizeof *copy);
        p->copies[m] = copy;
        if (!copy) return no_memory(c);
        memcpy(copy, p->instrs, (size_t)p->n * sizeof *copy);
        for (int i = 0; i < c->n_refs; i++) {
            const operand_ref *r = &c->refs[i];
            if (!r->is_private) continue;
            mica__tensor *t = r->operand < 0 ? &copy[r->instr].out : &copy[r->instr].in[r->operand];
            t->data = (uint8_t *)t->data + (size_t)m * p->member_bytes;
        }
    }
    return MICA_OK;
}

static mica_status place_values(compiler *c)
{
    mica_program *p = c->p;
    size_t value_bytes = 0, own_value_bytes = 0;
    MICA_TRY(mica__plan(c->values, c->n_ops, &value_bytes, c->err));
    MICA_TRY(mica__plan(c->privates, c->n_ops, &own_value_bytes, c->err));
    /* Operands are told apart by their place in the arena before it exists: the first-phase test compares them. */
    for (int i = 0; i < c->n_refs; i++) {
        const operand_ref *r = &c->refs[i];
        const mica__value *v = &(r->is_private ? c->privates : c->values)[r->value];
        const size_t place = v->offset + r->offset + 64 + (r->is_private ? SIZE_MAX / 2 : 0);
        if (r->is_private || v->output < 0) tensor_of(p, r->instr, r->operand)->data = (void *)place;
    }
    MICA_TRY(make_arena(c, value_bytes, own_value_bytes));
    for (int i = 0; i < c->n_refs; i++) {
        const operand_ref *r = &c->refs[i];
        const mica__value *v = &(r->is_private ? c->privates : c->values)[r->value];
        uint8_t *area = r->is_private ? p->arena + p->members_offset : p->arena;
        if (r->is_private || v->output < 0) {
            tensor_of(p, r->instr, r->operand)->data = area + v->offset + r->offset;
            continue;
        }
        MICA_TRY(add_patch(
            c,
            (mica__patch){
                .instr = r->instr, .operand = r->operand, .slot = v->output, .is_output = true, .offset = r->offset}));
    }
    return c->bound ? copy_instructions(c) : MICA_OK;
}

/* ---- 5. steps ---- */

/* A product is cut into a few shares for each member even if they are small, and into more if they are of some size. */
enum { FEW_SHARES = 4, FEW_SHARE_BYTES = 48 << 10, SHARES_MAX = 64, SHARE_BYTES = 256 << 10 };

/* More than one share, so that who is early helps who is late; not so many that beginning costs. At the end of a step all wait for whoever
 * holds the last share: half of one, on average, and if it is long they fall asleep over it. */
static int shares_of(const mica_program *p, const mica__instr *instr, int phase)
{
    if (instr->op != MICA__OP_LINEAR || phase != instr->n_phases - 1) return 1;
    const mica__tensor *w = &instr->in[1];
    const int64_t bits = w->quantized ? w->affine.bits : 8 * (int64_t)mica_dtype_size(w->dtype);
    const int64_t n = mica__team_size(p->device->team), bytes = w->shape[0] * w->shape[1] / 8 * bits / n;
    int64_t shares = bytes / FEW_SHARE_BYTES;
    if (shares > FEW_SHARES) shares = FEW_SHARES;
    if (shares < bytes / SHARE_BYTES) shares = bytes / SHARE_BYTES;
    if (shares > w->shape[0] / 64 / n) shares = w->shape[0] / 64 / n;
    return shares < 1 ? 1 : shares > SHARES_MAX ? SHARES_MAX : (int)shares;
}

static void add_call(mica_program *p, int instr, int phase, bool is_private)
{
    const int shares = is_private ? 0 : shares_of(p, &p->instrs[instr], phase);
    p->calls[p->steps[p->n_steps]++] = (mica__call){instr, (uint8_t)phase, is_private, (uint16_t)shares};
    p->own_items[p->n_steps - 1] = p->own_items[p->n_steps - 1] + (uint32_t)shares;
}

/* The calls of phase `k` of each shared instruction (not counting first phases that are private), after the private ones. */
static bool add_step(mica_program *p, int stage, int k)
{
    p->n_steps++;
    p->steps[p->n_steps] = p->steps[p->n_steps - 1];
    for (int i = p->stages[stage]; i < p->stages[stage + 1]; i++) {
        const mica__placement *place = &p->placements[i];
        for (int phase = 0; place->is_private && phase < p->instrs[i].n_phases; phase++) add_call(p, i, phase, true);
    }
    for (int i = p->stages[stage]; i < p->stages[stage + 1]; i++)
        if (p->placements[i].private_first && !p->placements[i].skip_first && !p->placements[i].is_private)
            add_call(p, i, 0, true);
    for (int i = p->stages[stage]; i < p->stages[stage + 1]; i++) {
        const mica__placement *place = &p->placements[i];
        const int phase = k + (place->private_first ? 1 : 0);
        if (place->is_private || phase >= p->instrs[i].n_phases || (phase == 0 && place->skip_first)) continue;
        add_call(p, i, phase, false);
    }
    if (p->own_items[p->n_steps - 1]) return true;
    p->n_steps--; /* nothing was left to do */
    return false;
}

static mica_status list_steps(compiler *c)
{
    mica_program *p = c->p;
    const size_t most = (size_t)p->n_stages * MICA__MAX_PHASES;
    p->calls = mica__alloc((size_t)p->n * MICA__MAX_PHASES * (MICA__MAX_PHASES + 1) + 1, sizeof *p->calls);
    p->steps = mica__calloc(most + 1, sizeof *p->steps);
    p->own_items = mica__calloc(most + 1, sizeof *p->own_items);
    if (!p->calls || !p->steps || !p->own_items) return no_memory(c);
    for (int s = 0; s < p->n_stages; s++)
        for (int k = 0; k < MICA__MAX_PHASES; k++) add_step(p, s, k);
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
    return list_steps(c);
}

/* With rows bound by `bound`, or as the graph says if it is 0. */
static mica_status compile_bound(mica_program **out, mica_graph *g, mica_array *const *outputs, int n_outputs,
                                 const mica_program_options *options, int64_t bound, mica_error *err)
{
    *out = NULL;
    mica_program *p = mica__calloc(1, sizeof *p);
    if (!p) return mica__fail_memory(err, sizeof *p, "a program");
    p->device = g->device;
    pthread_mutex_init(&p->turn, NULL);
    g->last_mark++;
    compiler c = {.g = g,
                  .p = p,
                  .err = err,
                  .exact = options && options->exact,
                  .int8 = options && options->int8,
                  .bound = bound};
    mica_status status = compile(&c, outputs, n_outputs);
    mica__free(c.ops);
    mica__free(c.refs);
    mica__free(c.private_instrs);
    mica__arena_release(&c.memory);
    if (status != MICA_OK) {
        mica_program_free(p);
        return status;
    }
    *out = p;
    return MICA_OK;
}

mica_status mica_program_compile(mica_program **out, mica_graph *g, mica_array *const *outputs, int n_outputs,
                                 const mica_program_options *options, mica_error *err)
{
    *out = NULL;
    MICA_TRY(mica_graph_status(g, err));
    if (n_outputs < 1 || n_outputs > 65536) return mica__fail(err, MICA_INVALID, "a program of %d outputs", n_outputs);
    mica_program *p;
    MICA_TRY(compile_bound(&p, g, outputs, n_outputs, options, 0, err));
    if (p->max_rows > MICA__SMALL_ROWS) {
        const mica_status status = compile_bound(&p->small, g, outputs, n_outputs, options, MICA__SMALL_ROWS, err);
        if (status != MICA_OK) {
            mica_program_free(p);
            return status;
        }
    }
    *out = p;
    return MICA_OK;
}
