/* formats/pickle.c: the stack machine that reads pickles.
 *
 * A table says for each opcode how long its argument is and what it does; an opcode that is not in the table ends the reading. Values
 * are 16 bytes and live on the stack, in the memo and in the items of objects; objects and their items live in an arena that dies with
 * the result. Texts point into the pickle. */
#include "pickle.h"

#include <math.h>

enum {
    MAX_OPCODES = 1000000,
    MAX_STACK = 10000,
    MAX_MEMO = 100000,
    MAX_DEPTH = 256,
    MAX_BYTES = 32 << 20,
    MAX_GLOBAL_NAME = 255,
};

typedef mica__pickle_value value;
typedef mica__pickle_object object;

typedef struct machine {
    mica__pickle *out;
    const mica__pickle_global *globals;
    size_t n_globals;
    const uint8_t *start, *p, *end; /* p: behind the opcode and its argument */
    size_t at;                      /* offset of the opcode */
    value *stack;                   /* [n_stack] */
    size_t n_stack, cap_stack;
    value *memo; /* [n_memo]; entries never put are MARK */
    size_t n_memo, cap_memo;
    mica_error *err;
} machine;

/* An opcode's argument. */
typedef struct argument {
    uint64_t number; /* little-endian, not extended */
    mica__str text;
} argument;

/* ---- failures ------------------------------------------------------------------------------------------------------------ */

static mica_status bad(machine *m, const char *what)
{
    return mica__fail(m->err, MICA_DATA, "pickle: %s (offset %zu)", what, m->at);
}

static mica_status too_many(machine *m, const char *what, size_t limit)
{
    return mica__fail(m->err, MICA_LIMIT, "pickle: more than %zu %s (offset %zu)", limit, what, m->at);
}

/* Arena memory; a NULL is either our limit or the machine's. */
static void *allocate(machine *m, size_t n, size_t size, mica_status *status)
{
    void *block = mica__arena_alloc(&m->out->arena, n, size);
    if (block) return block;
    bool is_full = m->out->arena.used_bytes + n * size + 15 > MAX_BYTES;
    *status =
        is_full ? too_many(m, "bytes of values", MAX_BYTES) : mica__fail_memory(m->err, n * size, "pickle values");
    return NULL;
}

/* ---- stack --------------------------------------------------------------------------------------------------------------- */

static mica_status grow(machine *m, value **values, size_t *cap, size_t n, size_t max)
{
    if (n <= *cap) return MICA_OK;
    size_t larger = *cap ? 2 * *cap : 64;
    if (larger < n) larger = n;
    if (larger > max) larger = max;
    value *fresh = mica__realloc(*values, larger, sizeof *fresh);
    if (!fresh) return mica__fail_memory(m->err, larger * sizeof *fresh, "pickle values");
    *values = fresh;
    *cap = larger;
    return MICA_OK;
}

static mica_status push(machine *m, value v)
{
    if (m->n_stack == MAX_STACK) return too_many(m, "values on the stack", MAX_STACK);
    MICA_TRY(grow(m, &m->stack, &m->cap_stack, m->n_stack + 1, MAX_STACK));
    m->stack[m->n_stack++] = v;
    return MICA_OK;
}

/* The topmost n values, none of them a mark; NULL: there are fewer. */
static value *top(machine *m, size_t n)
{
    if (n > m->n_stack) return NULL;
    value *first = m->stack + (m->n_stack - n);
    for (size_t i = 0; i < n; i++)
        if (first[i].type == MICA__PICKLE_MARK) return NULL;
    return first;
}

static mica_status underflow(machine *m) { return bad(m, "too few values on the stack"); }

/* Where the values above the last mark begin: the mark is at index *first - 1. */
static mica_status find_mark(machine *m, size_t *first)
{
    for (size_t i = m->n_stack; i > 0; i--)
        if (m->stack[i - 1].type == MICA__PICKLE_MARK) {
            *first = i;
            return MICA_OK;
        }
    return bad(m, "no mark on the stack");
}

/* ---- objects ------------------------------------------------------------------------------------------------------------- */

static mica_status append(machine *m, object *o, const value *items, size_t n)
{
    if (n > o->capacity - o->n_items) {
        size_t capacity = o->n_items + n,
               twice = 2 * (size_t)o->capacity; /* both far below 2^32: every item took an opcode */
        if (capacity < twice) capacity = twice;
        mica_status status = MICA_OK;
        value *fresh = allocate(m, capacity, sizeof *fresh, &status);
        if (!fresh) return status;
        if (o->n_items) memcpy(fresh, o->items, o->n_items * sizeof *fresh);
        o->items = fresh;
        o->capacity = (uint32_t)capacity;
    }
    if (n) memcpy(o->items + o->n_items, items, n * sizeof *items);
    o->n_items += (uint32_t)n;
    return MICA_OK;
}

static mica_status make(machine *m, value *out, mica__pickle_type type, const value *items, size_t n)
{
    mica_status status = MICA_OK;
    object *o = allocate(m, 1, sizeof *o, &status);
    if (!o) return status;
    *o = (object){0};
    *out = (value){.type = (uint8_t)type, .u.object = o};
    return append(m, o, items, n);
}

/* Replaces the topmost n values by an object of them. */
static mica_status gather(machine *m, mica__pickle_type type, size_t n)
{
    value *items = top(m, n), v;
    if (!items) return underflow(m);
    MICA_TRY(make(m, &v, type, items, n));
    m->n_stack -= n;
    return push(m, v);
}

static mica_status push_empty(machine *m, mica__pickle_type type)
{
    value v;
    MICA_TRY(make(m, &v, type, NULL, 0));
    return push(m, v);
}

static mica_status tuple_from_mark(machine *m)
{
    size_t first;
    value v;
    MICA_TRY(find_mark(m, &first));
    MICA_TRY(make(m, &v, MICA__PICKLE_TUPLE, m->stack + first, m->n_stack - first));
    m->n_stack = first - 1;
    return push(m, v);
}

/* Adds the values from index first on to the object below them, which must be of the given type. n_below: 1 if a mark lies between. */
static mica_status extend(machine *m, mica__pickle_type type, size_t first, size_t n_below)
{
    size_t n = m->n_stack - first;
    if (first <= n_below) return underflow(m);
    const value *target = &m->stack[first - n_below - 1];
    if (target->type != type)
        return mica__fail(m->err, MICA_DATA, "pickle: cannot add items to %s (offset %zu)", mica__pickle_kind(target),
                          m->at);
    if (type == MICA__PICKLE_DICT && n % 2) return bad(m, "a key without a value");
    MICA_TRY(append(m, target->u.object, m->stack + first, n));
    m->n_stack = first - n_below;
    return MICA_OK;
}

static mica_status extend_from_mark(machine *m, mica__pickle_type type)
{
    size_t first;
    MICA_TRY(find_mark(m, &first));
    return extend(m, type, first, 1);
}

static mica_status extend_by(machine *m, mica__pickle_type type, size_t n)
{
    if (!top(m, n)) return underflow(m);
    return extend(m, type, m->n_stack - n, 0);
}

/* ---- numbers and texts --------------------------------------------------------------------------------------------------- */

static mica_status push_int(machine *m, int64_t v)
{
    return push(m, (value){.type = MICA__PICKLE_INT, .u.integer = v});
}

static mica_status push_bool(machine *m, bool v) { return push(m, (value){.type = MICA__PICKLE_BOOL, .u.integer = v}); }

static mica_status push_long(machine *m, mica__str bytes)
{
    if (bytes.n > 8) return push(m, (value){.type = MICA__PICKLE_LONG, .n = (uint32_t)bytes.n, .u.bytes = bytes.p});
    uint64_t v = bytes.n && bytes.p[bytes.n - 1] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = bytes.n; i > 0; i--) v = v << 8 | (uint8_t)bytes.p[i - 1];
    return push_int(m, (int64_t)v);
}

/* Big-endian, alone among the opcodes. */
static mica_status push_float(machine *m, uint64_t number)
{
    uint64_t bits = __builtin_bswap64(number);
    value v = {.type = MICA__PICKLE_FLOAT};
    memcpy(&v.u.real, &bits, sizeof bits);
    return push(m, v);
}

static mica_status push_text(machine *m, mica__str text, mica__pickle_type type)
{
    if (text.n > UINT32_MAX) return bad(m, "a text of more than 4 GiB");
    if (type == MICA__PICKLE_TEXT && !mica__utf8_valid(text.p, text.n)) return bad(m, "a text that is not UTF-8");
    return push(m, (value){.type = (uint8_t)type, .n = (uint32_t)text.n, .u.bytes = text.p});
}

/* ---- memo ---------------------------------------------------------------------------------------------------------------- */

static mica_status put(machine *m, uint64_t index)
{
    const value *v = top(m, 1);
    if (!v) return underflow(m);
    if (index >= MAX_MEMO) return too_many(m, "entries in the memo", MAX_MEMO);
    MICA_TRY(grow(m, &m->memo, &m->cap_memo, (size_t)index + 1, MAX_MEMO));
    while (m->n_memo <= index) m->memo[m->n_memo++] = (value){.type = MICA__PICKLE_MARK};
    m->memo[index] = *v;
    return MICA_OK;
}

static mica_status get(machine *m, uint64_t index)
{
    if (index >= m->n_memo || m->memo[index].type == MICA__PICKLE_MARK)
        return mica__fail(m->err, MICA_DATA, "pickle: memo entry %llu was never put (offset %zu)",
                          (unsigned long long)index, m->at);
    return push(m, m->memo[index]);
}

/* ---- names, calls, persistent ids ---------------------------------------------------------------------------------------- */

static mica_status push_global(machine *m, mica__str module, mica__str name)
{
    for (size_t i = 0; i < m->n_globals; i++)
        if (mica__str_is(module, m->globals[i].module) && mica__str_is(name, m->globals[i].name))
            return push(m, (value){.type = MICA__PICKLE_GLOBAL, .global = (uint8_t)i});
    return mica__fail(m->err, MICA_DATA, "pickle: global %s.%s is not allowed (offset %zu)", MICA_QUOTED_STR(module),
                      MICA_QUOTED_STR(name), m->at);
}

/* A line of the pickle, without its end. */
static mica_status read_line(machine *m, mica__str *out)
{
    size_t n = (size_t)(m->end - m->p);
    if (n > MAX_GLOBAL_NAME + 1) n = MAX_GLOBAL_NAME + 1;
    const uint8_t *end = n ? memchr(m->p, '\n', n) : NULL;
    if (!end) return bad(m, "a global's name does not end");
    *out = (mica__str){(const char *)m->p, (size_t)(end - m->p)};
    m->p = end + 1;
    return MICA_OK;
}

static mica_status global_from_lines(machine *m)
{
    mica__str module, name;
    MICA_TRY(read_line(m, &module));
    MICA_TRY(read_line(m, &name));
    return push_global(m, module, name);
}

static mica_status global_from_stack(machine *m)
{
    const value *v = top(m, 2);
    if (!v) return underflow(m);
    if (v[0].type != MICA__PICKLE_TEXT || v[1].type != MICA__PICKLE_TEXT) return bad(m, "a global's name is no text");
    m->n_stack -= 2;
    return push_global(m, mica__pickle_str(&v[0]), mica__pickle_str(&v[1]));
}

/* OrderedDict() or, as Python 2 wrote it, OrderedDict([[key, value], ...]). */
static mica_status make_dict(machine *m, value *out, const object *arguments)
{
    MICA_TRY(make(m, out, MICA__PICKLE_DICT, NULL, 0));
    out->u.object->may_build = true;
    if (arguments->n_items == 0) return MICA_OK;
    const value *pairs = &arguments->items[0];
    if (arguments->n_items > 1 || pairs->type != MICA__PICKLE_LIST) return bad(m, "a dictionary made of no list");
    for (uint32_t i = 0; i < pairs->u.object->n_items; i++) {
        const value *pair = &pairs->u.object->items[i];
        if ((pair->type != MICA__PICKLE_LIST && pair->type != MICA__PICKLE_TUPLE) || pair->u.object->n_items != 2)
            return bad(m, "a dictionary made of no pairs");
        MICA_TRY(append(m, out->u.object, pair->u.object->items, 2));
    }
    return MICA_OK;
}

/* Where Python would call: the function and its arguments become a value. */
static mica_status call(machine *m)
{
    const value *v = top(m, 2);
    if (!v) return underflow(m);
    if (v[0].type != MICA__PICKLE_GLOBAL)
        return mica__fail(m->err, MICA_DATA, "pickle: calls %s (offset %zu)", mica__pickle_kind(&v[0]), m->at);
    if (v[1].type != MICA__PICKLE_TUPLE) return bad(m, "arguments of a call are no tuple");
    const mica__pickle_global *g = &m->globals[v[0].global];
    value result;
    if (g->use == MICA__PICKLE_NAME)
        return mica__fail(m->err, MICA_DATA, "pickle: call of %s.%s is not allowed (offset %zu)", g->module, g->name,
                          m->at);
    if (g->use == MICA__PICKLE_MAKES_DICT) {
        MICA_TRY(make_dict(m, &result, v[1].u.object));
    } else {
        const object *arguments = v[1].u.object;
        MICA_TRY(make(m, &result, MICA__PICKLE_CALL, arguments->items, arguments->n_items));
        result.global = v[0].global;
        result.u.object->may_build = true;
    }
    m->n_stack -= 2;
    return push(m, result);
}

/* Attributes for an object that was made by a call: dropped, they hold nothing that we use. */
static mica_status build(machine *m)
{
    const value *v = top(m, 2);
    if (!v) return underflow(m);
    bool is_object = v[0].type == MICA__PICKLE_DICT || v[0].type == MICA__PICKLE_CALL;
    if (!is_object || !v[0].u.object->may_build || v[1].type != MICA__PICKLE_DICT)
        return mica__fail(m->err, MICA_DATA, "pickle: opcode 0x62 sets the state of %s (offset %zu)",
                          mica__pickle_kind(&v[0]), m->at);
    m->n_stack--;
    return MICA_OK;
}

static mica_status make_persistent(machine *m)
{
    MICA_TRY(gather(m, MICA__PICKLE_PERSISTENT, 1));
    mica__pickle *out = m->out;
    MICA_TRY(grow(m, &out->persistents, &out->cap_persistents, out->n_persistents + 1, MAX_OPCODES));
    out->persistents[out->n_persistents++] = m->stack[m->n_stack - 1];
    return MICA_OK;
}

/* ---- opcodes ------------------------------------------------------------------------------------------------------------- */

/* The argument that follows an opcode: that many bytes, or a length of that many bytes and the text itself. */
typedef enum argument_kind {
    REFUSED, /* the opcode is not on our list */
    BYTES_0,
    BYTES_1,
    BYTES_2,
    BYTES_4,
    BYTES_8,
    TEXT_1,
    TEXT_4,
    TEXT_8,
} argument_kind;

static const uint8_t arguments[256] = {
    ['('] = BYTES_0,  [')'] = BYTES_0,  ['.'] = BYTES_0,  ['B'] = TEXT_4,   ['C'] = TEXT_1,   ['G'] = BYTES_8,
    ['J'] = BYTES_4,  ['K'] = BYTES_1,  ['M'] = BYTES_2,  ['N'] = BYTES_0,  ['Q'] = BYTES_0,  ['R'] = BYTES_0,
    ['T'] = TEXT_4,   ['U'] = TEXT_1,   ['X'] = TEXT_4,   [']'] = BYTES_0,  ['a'] = BYTES_0,  ['b'] = BYTES_0,
    ['c'] = BYTES_0,  ['e'] = BYTES_0,  ['h'] = BYTES_1,  ['j'] = BYTES_4,  ['q'] = BYTES_1,  ['r'] = BYTES_4,
    ['s'] = BYTES_0,  ['t'] = BYTES_0,  ['u'] = BYTES_0,  ['}'] = BYTES_0,  [0x80] = BYTES_1, [0x85] = BYTES_0,
    [0x86] = BYTES_0, [0x87] = BYTES_0, [0x88] = BYTES_0, [0x89] = BYTES_0, [0x8a] = TEXT_1,  [0x8c] = TEXT_1,
    [0x8d] = TEXT_8,  [0x8e] = TEXT_8,  [0x93] = BYTES_0, [0x94] = BYTES_0, [0x95] = BYTES_8,
};

static mica_status read_argument(machine *m, uint8_t opcode, argument *out)
{
    argument_kind kind = (argument_kind)arguments[opcode];
    if (kind == REFUSED)
        return mica__fail(m->err, MICA_DATA, "pickle: opcode 0x%02x at offset %zu is not allowed", opcode, m->at);
    static const uint8_t sizes[] = {
        [BYTES_1] = 1, [BYTES_2] = 2, [BYTES_4] = 4, [BYTES_8] = 8, [TEXT_1] = 1, [TEXT_4] = 4, [TEXT_8] = 8};
    *out = (argument){0};
    size_t n = sizes[kind], left = (size_t)(m->end - m->p);
    if (n > left) return bad(m, "ends inside an opcode");
    for (size_t i = n; i > 0; i--) out->number = out->number << 8 | m->p[i - 1];
    m->p += n;
    if (kind < TEXT_1) return MICA_OK;
    if (out->number > left - n)
        return mica__fail(m->err, MICA_DATA, "pickle: a text of %llu bytes, but only %zu follow (offset %zu)",
                          (unsigned long long)out->number, left - n, m->at);
    out->text = (mica__str){(const char *)m->p, (size_t)out->number};
    m->p += out->number;
    return MICA_OK;
}

static mica_status run(machine *m, uint8_t opcode, const argument *a)
{
    switch (opcode) {
    case 0x80:
        if (m->at != 0 || a->number < 2 || a->number > 5)
            return mica__fail(m->err, MICA_UNSUPPORTED, "pickle: protocol %llu at offset %zu is not supported",
                              (unsigned long long)a->number, m->at);
        return MICA_OK;
    case 0x95: /* a frame only says how much may be read at once */
        return a->number <= (size_t)(m->end - m->p) ? MICA_OK : bad(m, "a frame is longer than the pickle");
    case '(':
        return push(m, (value){.type = MICA__PICKLE_MARK});
    case 'N':
        return push(m, (value){.type = MICA__PICKLE_NONE});
    case 0x88:
    case 0x89:
        return push_bool(m, opcode == 0x88);
    case 'J':
        return push_int(m, (int32_t)a->number);
    case 'K':
    case 'M':
        return push_int(m, (int64_t)a->number);
    case 0x8a:
        return push_long(m, a->text);
    case 'G':
        return push_float(m, a->number);
    case 'X':
    case 0x8c:
    case 0x8d:
    case 'T': /* what Python 2 wrote for its texts */
    case 'U':
        return push_text(m, a->text, MICA__PICKLE_TEXT);
    case 'B':
    case 'C':
    case 0x8e:
        return push_text(m, a->text, MICA__PICKLE_BYTES);
    case ')':
        return push_empty(m, MICA__PICKLE_TUPLE);
    case 0x85:
    case 0x86:
    case 0x87:
        return gather(m, MICA__PICKLE_TUPLE, opcode - 0x84u);
    case 't':
        return tuple_from_mark(m);
    case ']':
        return push_empty(m, MICA__PICKLE_LIST);
    case '}':
        return push_empty(m, MICA__PICKLE_DICT);
    case 'a':
        return extend_by(m, MICA__PICKLE_LIST, 1);
    case 'e':
        return extend_from_mark(m, MICA__PICKLE_LIST);
    case 's':
        return extend_by(m, MICA__PICKLE_DICT, 2);
    case 'u':
        return extend_from_mark(m, MICA__PICKLE_DICT);
    case 'q':
    case 'r':
        return put(m, a->number);
    case 0x94:
        return put(m, m->n_memo);
    case 'h':
    case 'j':
        return get(m, a->number);
    case 'c':
        return global_from_lines(m);
    case 0x93:
        return global_from_stack(m);
    case 'R':
        return call(m);
    case 'b':
        return build(m);
    case 'Q':
        return make_persistent(m);
    default:
        return mica__fail(m->err, MICA_INTERNAL, "pickle: opcode 0x%02x has no meaning", opcode);
    }
}

static mica_status run_all(machine *m)
{
    for (size_t count = 0;; count++) {
        m->at = (size_t)(m->p - m->start);
        if (m->p == m->end) return bad(m, "ends without a stop");
        if (count == MAX_OPCODES) return too_many(m, "opcodes", MAX_OPCODES);
        uint8_t opcode = *m->p++;
        if (count == 0 && opcode != 0x80)
            return mica__fail(m->err, MICA_DATA, "pickle: opcode 0x%02x at offset 0, where a protocol should be",
                              opcode);
        argument a;
        MICA_TRY(read_argument(m, opcode, &a));
        if (opcode == '.') break;
        MICA_TRY(run(m, opcode, &a));
    }
    if (m->n_stack != 1 || m->stack[0].type == MICA__PICKLE_MARK) return bad(m, "stops without exactly one value");
    m->out->root = m->stack[0];
    m->out->n_bytes = (size_t)(m->p - m->start);
    return MICA_OK;
}

/* ---- the shape of the result --------------------------------------------------------------------------------------------- */

static object *object_of(const value *v) { return v->type >= MICA__PICKLE_TUPLE ? v->u.object : NULL; }

typedef struct visit {
    object *o;
    uint32_t next; /* item */
} visit;

/* Visits every object below v once, depth first; DATA if one contains itself, LIMIT if the nesting is deeper than MAX_DEPTH. */
static mica_status check_nesting(machine *m, const value *v)
{
    visit path[MAX_DEPTH];
    size_t n = 0;
    object *o = object_of(v);
    for (;;) {
        if (o && o->is_visiting) return bad(m, "a value that contains itself");
        size_t height = o ? o->height : 0; /* 0 as well: not visited */
        if (o && (n == MAX_DEPTH || n + height > MAX_DEPTH)) return too_many(m, "levels of nesting", MAX_DEPTH);
        if (o && !height) {
            o->is_visiting = true;
            path[n++] = (visit){o, 0};
        } else if (o && n && path[n - 1].o->height <= height) {
            path[n - 1].o->height = (uint16_t)(height + 1);
        }
        o = NULL;
        while (n && !o) {
            visit *last = &path[n - 1];
            if (last->next < last->o->n_items) {
                o = object_of(&last->o->items[last->next++]);
                continue;
            }
            last->o->is_visiting = false;
            if (!last->o->height) last->o->height = 1;
            n--;
            if (n && path[n - 1].o->height <= last->o->height) path[n - 1].o->height = (uint16_t)(last->o->height + 1);
        }
        if (!n) return MICA_OK;
    }
}

mica_status mica__pickle_parse(mica__pickle *out, const uint8_t *bytes, size_t n, const mica__pickle_global *globals,
                               size_t n_globals, mica_error *err)
{
    *out = (mica__pickle){.arena = {.max_bytes = MAX_BYTES}};
    machine m = {.out = out, .globals = globals, .n_globals = n_globals, .start = bytes, .p = bytes, .err = err};
    m.end = n ? bytes + n : bytes;
    mica_status status = run_all(&m);
    for (size_t i = 0; status == MICA_OK && i < out->n_persistents; i++)
        status = check_nesting(&m, &out->persistents[i]);
    if (status == MICA_OK) status = check_nesting(&m, &out->root);
    mica__free(m.stack);
    mica__free(m.memo);
    if (status != MICA_OK) mica__pickle_release(out);
    return status;
}

void mica__pickle_release(mica__pickle *p)
{
    mica__free(p->persistents);
    mica__arena_release(&p->arena);
    *p = (mica__pickle){0};
}

const mica__pickle_value *mica__pickle_get(const mica__pickle_value *dict, mica__str key)
{
    if (dict->type != MICA__PICKLE_DICT) return NULL;
    const object *o = dict->u.object;
    for (uint32_t i = o->n_items; i >= 2; i -= 2) {
        const value *k = &o->items[i - 2];
        if (k->type == MICA__PICKLE_TEXT && mica__str_eq(mica__pickle_str(k), key)) return k + 1;
    }
    return NULL;
}

const char *mica__pickle_kind(const mica__pickle_value *v)
{
    static const char *const kinds[] = {
        [MICA__PICKLE_NONE] = "None",
        [MICA__PICKLE_BOOL] = "a truth value",
        [MICA__PICKLE_INT] = "a number",
        [MICA__PICKLE_LONG] = "a number",
        [MICA__PICKLE_FLOAT] = "a number",
        [MICA__PICKLE_TEXT] = "a text",
        [MICA__PICKLE_BYTES] = "bytes",
        [MICA__PICKLE_GLOBAL] = "a name",
        [MICA__PICKLE_TUPLE] = "a tuple",
        [MICA__PICKLE_LIST] = "a list",
        [MICA__PICKLE_DICT] = "a dictionary",
        [MICA__PICKLE_CALL] = "the result of a call",
        [MICA__PICKLE_PERSISTENT] = "a storage",
        [MICA__PICKLE_MARK] = "a mark",
    };
    return kinds[v->type];
}
