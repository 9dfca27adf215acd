/* text/jinja_scope.c: gives every name of a parsed template its slot.
 *
 * What a name means in Jinja is decided before anything runs, from where the scope loads and stores it:
 * - loaded, not known outside: taken from the variables of the rendering when the scope is entered;
 * - stored, not known outside: undefined until then;
 * - stored, known outside: starts as a copy of the outer one, which it never changes;
 * - stored in some branch of an `if` only: as if it were loaded.
 * Each scope is read twice: first `note` collects its names (not looking into scopes inside it), then `bind` gives them to the
 * nodes and goes on to the inner scopes. */
#include "jinja_scope.h"
#include "jinja_builtin.h"
#include <stdio.h>

/* Hostile templates could make this quadratic; a real one needs less than a hundredth. */
#define MAX_WORK 100000000u

typedef struct function {
    struct function *parent;
    uint32_t n_slots;
} function;

typedef struct symbol {
    uint32_t name; /* number of the name */
    uint32_t slot;
    mica__jload_kind load;
    mica__jref from;
    bool is_stored;
    mica__jv text;
} symbol;

/* The slots a scope has given out, shared by the copies that branches of an `if` are read with. */
typedef struct slot_list {
    struct slot {
        uint32_t name, slot;
    } * items;
    size_t n, cap;
} slot_list;

typedef struct symbols {
    const struct symbols *parent;
    function *fn;
    slot_list *slots;
    symbol *items;
    size_t n, cap;
} symbols;

typedef struct resolver {
    mica__arena *arena;
    mica__arena scratch;
    mica__map names;
    symbols *root;
    uint64_t work;
    uint32_t line;
    mica_status status;
    mica_error *err;
} resolver;

static void fail(resolver *r, mica_status status, const char *what)
{
    if (!r->status) r->status = mica__fail(r->err, status, "chat template, line %u: %s", r->line, what);
}

static void *get(resolver *r, mica__arena *arena, size_t n, size_t size)
{
    if (r->status) return NULL;
    void *p = mica__arena_calloc(arena, n, size);
    if (!p) r->status = mica__fail_memory(r->err, n * size, "a chat template");
    return p;
}

static bool spend(resolver *r, size_t n)
{
    r->work += n + 1;
    if (r->work > MAX_WORK) fail(r, MICA_LIMIT, "too many names");
    return !r->status;
}

static uint32_t number_of(resolver *r, mica__jv name)
{
    uint32_t id = (uint32_t)r->names.n;
    bool existed = false;
    if (!mica__map_add(&r->names, mica__jv_text(name), id, &existed) && !r->status)
        r->status = mica__fail_memory(r->err, 16, "a chat template");
    if (existed) mica__map_get(&r->names, mica__jv_text(name), &id);
    return id;
}

/* ---- symbols of a scope ---- */

static void init_symbols(resolver *r, symbols *s, const symbols *parent, function *fn)
{
    *s = (symbols){.parent = parent, .fn = fn, .slots = get(r, &r->scratch, 1, sizeof(slot_list))};
}

static symbol *find_here(resolver *r, const symbols *s, uint32_t name)
{
    if (!spend(r, s->n)) return NULL;
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i].name == name) return &s->items[i];
    return NULL;
}

/* The scope outwards from s (s included) that knows the name. */
static const symbols *find_scope(resolver *r, const symbols *s, uint32_t name, symbol **found)
{
    for (; s; s = s->parent)
        if ((*found = find_here(r, s, name))) return s;
    return NULL;
}

static uint32_t slot_for(resolver *r, symbols *s, uint32_t name)
{
    slot_list *l = s->slots;
    if (!l || !spend(r, l->n)) return 0;
    for (size_t i = 0; i < l->n; i++)
        if (l->items[i].name == name) return l->items[i].slot;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        struct slot *grown = get(r, &r->scratch, cap, sizeof *grown);
        if (!grown) return 0;
        if (l->n) memcpy(grown, l->items, l->n * sizeof *grown);
        l->items = grown;
        l->cap = cap;
    }
    l->items[l->n++] = (struct slot){name, s->fn->n_slots};
    return s->fn->n_slots++;
}

static symbol *define(resolver *r, symbols *s, mica__jv text, mica__jload_kind load)
{
    uint32_t name = number_of(r, text);
    symbol *sym = find_here(r, s, name);
    if (!sym) {
        if (r->status) return NULL;
        if (s->n == s->cap) {
            size_t cap = s->cap ? s->cap * 2 : 8;
            symbol *grown = get(r, &r->scratch, cap, sizeof *grown);
            if (!grown) return NULL;
            if (s->n) memcpy(grown, s->items, s->n * sizeof *grown);
            s->items = grown;
            s->cap = cap;
        }
        sym = &s->items[s->n++];
        *sym = (symbol){.name = name, .text = text, .slot = slot_for(r, s, name)};
    }
    sym->load = load;
    return sym;
}

static mica__jref reference(const symbols *from, const symbols *to, uint32_t slot)
{
    mica__jref ref = {0, slot};
    for (const function *f = from->fn; f && f != to->fn; f = f->parent) ref.up++;
    return ref;
}

static void note_load(resolver *r, symbols *s, mica__jv name)
{
    symbol *sym;
    if (!find_scope(r, s, number_of(r, name), &sym)) define(r, s, name, JL_RESOLVE);
}

static void note_store(resolver *r, symbols *s, mica__jv name)
{
    uint32_t id = number_of(r, name);
    symbol *sym = find_here(r, s, id), *outer;
    if (!sym) {
        const symbols *scope = s->parent ? find_scope(r, s->parent, id, &outer) : NULL;
        sym = define(r, s, name, scope ? JL_ALIAS : JL_UNDEFINED);
        if (sym && scope) sym->from = reference(s, scope, outer->slot);
    }
    if (sym) sym->is_stored = true;
}

static mica__jref note_parameter(resolver *r, symbols *s, mica__jv name)
{
    symbol *sym = define(r, s, name, JL_PARAMETER);
    if (!sym) return (mica__jref){0};
    sym->is_stored = true;
    return (mica__jref){0, sym->slot};
}

/* ---- walking expressions ---- */

typedef void visit_name(resolver *r, void *context, mica__jast *name);

/* Calls `visit` for every name that the expression loads. */
static void each_name(resolver *r, mica__jast *n, visit_name *visit, void *context)
{
    if (!n || r->status) return;
    if (n->kind == JA_NAME || n->kind == JA_NSREF) {
        visit(r, context, n);
        return;
    }
    each_name(r, n->a, visit, context);
    each_name(r, n->b, visit, context);
    each_name(r, n->c, visit, context);
    each_name(r, n->d, visit, context);
    for (size_t i = 0; i < n->body.n; i++) each_name(r, n->body.items[i], visit, context);
    if (!n->call) return;
    for (size_t i = 0; i < n->call->n_pos; i++) each_name(r, n->call->pos[i], visit, context);
    for (size_t i = 0; i < n->call->n_named; i++) each_name(r, n->call->named[i], visit, context);
    each_name(r, n->call->star, visit, context);
    each_name(r, n->call->star_star, visit, context);
}

static void note_name(resolver *r, void *s, mica__jast *n) { note_load(r, s, n->value); }
static void note_expr(resolver *r, symbols *s, mica__jast *n) { each_name(r, n, note_name, s); }

static void note_target(resolver *r, symbols *s, mica__jast *n, bool as_parameter)
{
    if (!n || r->status) return;
    if (n->kind == JA_NSREF) {
        note_load(r, s, n->value);
    } else if (n->kind == JA_NAME && as_parameter) {
        note_parameter(r, s, n->value);
    } else if (n->kind == JA_NAME) {
        note_store(r, s, n->value);
    }
    for (size_t i = 0; i < n->body.n; i++) note_target(r, s, n->body.items[i], as_parameter);
}

/* ---- first reading: the names of one scope ---- */

static void note(resolver *r, symbols *s, mica__jast *n);

static void note_body(resolver *r, symbols *s, mica__jbody body)
{
    for (size_t i = 0; i < body.n && !r->status; i++) note(r, s, body.items[i]);
}

static symbols branch_of(resolver *r, const symbols *s)
{
    symbols copy = *s;
    copy.items = get(r, &r->scratch, s->cap ? s->cap : 1, sizeof *copy.items);
    if (!copy.items) {
        copy.n = copy.cap = 0;
    } else if (s->n) {
        spend(r, s->n);
        memcpy(copy.items, s->items, s->n * sizeof *copy.items);
    }
    return copy;
}

/* Takes over what the branches of an `if` noted. What only a branch stores may be unset behind the `if`: then the outer or
 * given variable of that name shows. */
static void merge(resolver *r, symbols *s, symbols branches[3])
{
    symbols before = branch_of(r, s);
    for (int b = 0; b < 3; b++) {
        for (size_t i = 0; i < branches[b].n && !r->status; i++) {
            const symbol *sym = &branches[b].items[i];
            bool stored = sym->is_stored;
            symbol *mine = define(r, s, sym->text, sym->load);
            if (!mine) return;
            mine->from = sym->from;
            mine->is_stored |= stored;
        }
    }
    for (size_t i = 0; i < s->n && !r->status; i++) {
        symbol *sym = &s->items[i], *old = find_here(r, &before, sym->name), *outer;
        if (!sym->is_stored || (old && old->is_stored)) continue;
        const symbols *scope = s->parent ? find_scope(r, s->parent, sym->name, &outer) : NULL;
        sym->load = scope ? JL_ALIAS : JL_RESOLVE;
        if (scope) sym->from = reference(s, scope, outer->slot);
    }
}

static void note_if(resolver *r, symbols *s, mica__jast *n)
{
    note_expr(r, s, n->a);
    symbols branches[3] = {branch_of(r, s), branch_of(r, s), branch_of(r, s)};
    note_body(r, &branches[0], n->body);
    mica__jast *last = n;
    for (mica__jast *e = n->b; e && !r->status; e = e->b) {
        note_expr(r, &branches[1], e->a);
        symbols inner[3] = {branch_of(r, &branches[1]), branch_of(r, &branches[1]), branch_of(r, &branches[1])};
        note_body(r, &inner[0], e->body);
        if (!r->status) merge(r, &branches[1], inner);
        last = e;
    }
    note_body(r, &branches[2], last->other);
    if (!r->status) merge(r, s, branches);
}

static void note(resolver *r, symbols *s, mica__jast *n)
{
    r->line = n->line;
    switch ((mica__jast_kind)n->kind) {
    case JA_PRINT:
        note_expr(r, s, n);
        break;
    case JA_IF:
        note_if(r, s, n);
        break;
    case JA_FOR:
        note_expr(r, s, n->loop->iterable);
        break;
    case JA_SET:
        note_expr(r, s, n->b);
        note_target(r, s, n->a, false);
        break;
    case JA_SET_BLOCK:
        note_target(r, s, n->a, false);
        break;
    case JA_MACRO:
        note_store(r, s, n->a->value);
        break;
    case JA_CALL_BLOCK:
        note_expr(r, s, n->a);
        break;
    case JA_FILTER_BLOCK:
        note_expr(r, s, n->b);
        break;
    case JA_WITH:
        for (size_t i = 1; i < n->other.n; i += 2) note_expr(r, s, n->other.items[i]);
        break;
    default:
        break;
    }
}

/* ---- which special names does a body mention? ---- */

typedef struct mention {
    const char *name;
    bool is_open, is_found; /* open: not yet seen as anything else than a load */
} mention;

typedef struct mentions {
    mention *items;
    size_t n;
} mentions;

static void saw(const mentions *m, const mica__jast *name, bool is_load)
{
    for (size_t i = 0; i < m->n; i++) {
        if (!m->items[i].is_open || !mica__jv_is_text(name->value, m->items[i].name)) continue;
        m->items[i].is_open = false;
        m->items[i].is_found = is_load;
    }
}

static void saw_load(resolver *r, void *m, mica__jast *n)
{
    spend(r, 1);
    if (n->kind == JA_NAME) saw(m, n, true);
}

static void saw_target(const mentions *m, const mica__jast *n)
{
    if (n->kind == JA_NAME) saw(m, n, false);
    for (size_t i = 0; i < n->body.n; i++) saw_target(m, n->body.items[i]);
}

static void search(resolver *r, mica__jbody body, mentions *m);

static void search_function(resolver *r, const mica__jfunction *f, mentions *m)
{
    for (size_t i = 0; i < f->n_args; i++) saw(m, f->args[i], false);
    for (size_t i = 0; i < f->n_defaults; i++) each_name(r, f->defaults[i], saw_load, m);
    search(r, f->body, m);
}

static void search_statement(resolver *r, mica__jast *n, mentions *m)
{
    switch ((mica__jast_kind)n->kind) {
    case JA_PRINT:
        each_name(r, n, saw_load, m);
        break;
    case JA_IF:
        for (; n; n = n->b) {
            each_name(r, n->a, saw_load, m);
            search(r, n->body, m);
            search(r, n->other, m);
        }
        break;
    case JA_FOR:
        saw_target(m, n->loop->target);
        each_name(r, n->loop->iterable, saw_load, m);
        search(r, n->loop->body, m);
        search(r, n->loop->other, m);
        each_name(r, n->loop->test, saw_load, m);
        break;
    case JA_SET:
        saw_target(m, n->a);
        each_name(r, n->b, saw_load, m);
        break;
    case JA_SET_BLOCK:
        saw_target(m, n->a);
        each_name(r, n->b, saw_load, m);
        search(r, n->body, m);
        break;
    case JA_MACRO:
        search_function(r, n->function, m);
        break;
    case JA_CALL_BLOCK:
        each_name(r, n->a, saw_load, m);
        search_function(r, n->function, m);
        break;
    case JA_FILTER_BLOCK:
        search(r, n->body, m);
        each_name(r, n->b, saw_load, m);
        break;
    case JA_WITH:
        for (size_t i = 0; i < n->other.n; i += 2) saw_target(m, n->other.items[i]);
        for (size_t i = 1; i < n->other.n; i += 2) each_name(r, n->other.items[i], saw_load, m);
        search(r, n->body, m);
        break;
    case JA_AUTOESCAPE:
        each_name(r, n->a, saw_load, m);
        search(r, n->body, m);
        break;
    default:
        break;
    }
}

static void search(resolver *r, mica__jbody body, mentions *m)
{
    for (size_t i = 0; i < body.n && !r->status; i++) search_statement(r, body.items[i], m);
}

/* ---- second reading: names get their slots ---- */

typedef struct frame {
    symbols *s;
    bool is_soft; /* below a condition: unknown filters and tests are found when reached */
} frame;

static void bind_body(resolver *r, frame f, mica__jbody body);

static void bind_name(resolver *r, void *s, mica__jast *n)
{
    symbol *sym;
    uint32_t id = number_of(r, n->value);
    const symbols *scope = find_scope(r, s, id, &sym);
    if (!scope && !r->status) { /* only names in the filter of a set block can be new here */
        note_load(r, s, n->value);
        scope = find_scope(r, s, id, &sym);
    }
    if (scope) n->ref = reference(s, scope, sym->slot);
}

/* Unknown filters and tests below n. */
static void check_known(resolver *r, const mica__jast *n, bool is_soft)
{
    if (!n || r->status) return;
    if ((n->kind == JA_FILTER || n->kind == JA_TEST) && !n->builtin && !is_soft) {
        char what[160];
        r->line = n->line;
        snprintf(what, sizeof what, "No %s named '%.60s'.", n->kind == JA_FILTER ? "filter" : "test",
                 MICA_QUOTED(n->value.u.str->p, n->value.u.str->n < 50 ? n->value.u.str->n : 50));
        fail(r, MICA_DATA, what);
    }
    if (n->kind == JA_COND) is_soft = true;
    check_known(r, n->a, is_soft);
    check_known(r, n->b, is_soft);
    check_known(r, n->c, is_soft);
    check_known(r, n->d, is_soft);
    for (size_t i = 0; i < n->body.n; i++) check_known(r, n->body.items[i], is_soft);
    if (!n->call) return;
    for (size_t i = 0; i < n->call->n_pos; i++) check_known(r, n->call->pos[i], is_soft);
    for (size_t i = 0; i < n->call->n_named; i++) check_known(r, n->call->named[i], is_soft);
    check_known(r, n->call->star, is_soft);
    check_known(r, n->call->star_star, is_soft);
}

static void bind_expr(resolver *r, frame f, mica__jast *n)
{
    check_known(r, n, f.is_soft);
    each_name(r, n, bind_name, f.s);
}

/* What the scope does when it is entered. */
static mica__jscope loads_of(resolver *r, const symbols *s)
{
    mica__jscope scope = {.loads = get(r, r->arena, s->n ? s->n : 1, sizeof *scope.loads)};
    for (size_t i = 0; scope.loads && i < s->n; i++)
        scope.loads[scope.n++] = (mica__jload){s->items[i].load, s->items[i].slot, s->items[i].from, s->items[i].text};
    return scope;
}

/* A function of a macro or call block. */
static void bind_function(resolver *r, frame outer, mica__jfunction *f)
{
    function fn = {.parent = outer.s->fn};
    symbols s;
    init_symbols(r, &s, outer.s, &fn);
    mention special[] = {{"caller", true, false}, {"kwargs", true, false}, {"varargs", true, false}};
    mentions m = {special, 3};
    search(r, f->body, &m);
    for (size_t i = 0; i < f->n_args; i++) {
        f->args[i]->ref = note_parameter(r, &s, f->args[i]->value);
        for (int k = 0; k < 3; k++) {
            if (!mica__jv_is_text(f->args[i]->value, special[k].name)) continue;
            if (k == 0 && special[0].is_found && i < f->n_args - f->n_defaults)
                fail(r, MICA_DATA, "the special argument 'caller' of a macro needs a default");
            special[k].is_found = false;
        }
    }
    mica__jref *refs[] = {&f->caller, &f->kwargs, &f->varargs};
    bool *takes[] = {&f->takes_caller, &f->takes_kwargs, &f->takes_varargs};
    for (int k = 0; k < 3 && !r->status; k++) {
        if (!(*takes[k] = special[k].is_found)) continue;
        mica__jstr *text = get(r, r->arena, 1, sizeof *text);
        if (!text) return;
        size_t n = strlen(special[k].name);
        *text = (mica__jstr){.p = special[k].name, .n = n, .chars = n, .hash = mica__hash(special[k].name, n) | 1};
        *refs[k] = note_parameter(r, &s, (mica__jv){.kind = JV_STR, .u.str = text});
    }
    for (size_t i = 0; i < f->n_defaults; i++) note_expr(r, &s, f->defaults[i]);
    note_body(r, &s, f->body);
    frame inner = {&s, false};
    for (size_t i = 0; i < f->n_defaults; i++) bind_expr(r, inner, f->defaults[i]);
    bind_body(r, inner, f->body);
    f->scope = loads_of(r, &s);
    f->n_slots = fn.n_slots;
}

static mica__jast *copy_target(resolver *r, const mica__jast *n)
{
    mica__jast *copy = get(r, r->arena, 1, sizeof *copy);
    if (!copy) return NULL;
    *copy = *n;
    if (n->body.n) copy->body.items = get(r, r->arena, n->body.n, sizeof(mica__jast *));
    for (size_t i = 0; copy->body.items && i < n->body.n; i++)
        if (!(copy->body.items[i] = copy_target(r, n->body.items[i]))) return NULL;
    return copy;
}

/* `for ... if test`: the test is a function of its own, with the targets as its variables. */
static void bind_loop_test(resolver *r, frame outer, mica__jfor *l)
{
    function fn = {.parent = outer.s->fn};
    symbols s;
    init_symbols(r, &s, outer.s, &fn);
    if (!(l->test_target = copy_target(r, l->target))) return;
    note_target(r, &s, l->test_target, true);
    note_expr(r, &s, l->test);
    bind_expr(r, (frame){&s, false}, l->test);
    each_name(r, l->test_target, bind_name, &s);
    l->test_scope = loads_of(r, &s);
    l->n_test_slots = fn.n_slots;
}

static bool stores_loop(const mica__jast *target)
{
    if (target->kind == JA_NAME && mica__jv_is_text(target->value, "loop")) return true;
    for (size_t i = 0; i < target->body.n; i++)
        if (stores_loop(target->body.items[i])) return true;
    return false;
}

static bool body_stores_loop(resolver *r, mica__jbody body)
{
    for (size_t i = 0; i < body.n; i++) {
        const mica__jast *n = body.items[i];
        spend(r, 1);
        if ((n->kind == JA_SET || n->kind == JA_SET_BLOCK) && stores_loop(n->a)) return true;
        if (n->kind == JA_FOR && stores_loop(n->loop->target)) return true;
        if (n->kind == JA_FOR && (body_stores_loop(r, n->loop->body) || body_stores_loop(r, n->loop->other)))
            return true;
        for (const mica__jast *e = n; e; e = e->kind == JA_IF ? e->b : NULL)
            if (body_stores_loop(r, e->body) || body_stores_loop(r, e->other)) return true;
        if (n->function && body_stores_loop(r, n->function->body)) return true;
    }
    return false;
}

static void bind_for(resolver *r, frame outer, mica__jast *n)
{
    mica__jfor *l = n->loop;
    bind_expr(r, outer, l->iterable);
    if (stores_loop(l->target) || body_stores_loop(r, l->body) || body_stores_loop(r, l->other))
        fail(r, MICA_DATA, "the special variable 'loop' cannot be assigned in a for loop");
    function own = {.parent = outer.s->fn};
    function *fn = l->is_recursive ? &own : outer.s->fn;
    symbols s, other;
    init_symbols(r, &s, outer.s, fn);
    init_symbols(r, &other, outer.s, fn);
    mention special[] = {{"loop", true, false}};
    mentions m = {special, 1};
    search(r, l->body, &m);
    l->uses_loop = l->is_recursive || special[0].is_found;
    if (l->uses_loop) {
        static mica__jstr text = {.p = "loop", .n = 4, .chars = 4};
        l->loop = note_parameter(r, &s, (mica__jv){.kind = JV_STR, .u.str = &text});
    }
    note_target(r, &s, l->target, true);
    note_body(r, &s, l->body);
    each_name(r, l->target, bind_name, &s);
    bind_body(r, (frame){&s, false}, l->body);
    l->scope = loads_of(r, &s);
    if (l->test) bind_loop_test(r, outer, l);
    note_body(r, &other, l->other);
    bind_body(r, (frame){&other, false}, l->other);
    l->other_scope = loads_of(r, &other);
    l->n_slots = own.n_slots;
}

/* A scope within the same function: set, filter, with and autoescape blocks. `param_targets`: of `with`. */
static void bind_inner(resolver *r, frame outer, mica__jast *n)
{
    symbols s;
    init_symbols(r, &s, outer.s, outer.s->fn);
    frame inner = {&s, false};
    if (n->kind == JA_WITH) {
        for (size_t i = 0; i < n->other.n; i += 2) note_target(r, &s, n->other.items[i], true);
        for (size_t i = 1; i < n->other.n; i += 2) bind_expr(r, outer, n->other.items[i]);
    }
    if (n->kind == JA_AUTOESCAPE) note_expr(r, &s, n->a);
    if (n->kind == JA_FILTER_BLOCK || n->kind == JA_SET_BLOCK) note_expr(r, &s, n->b);
    note_body(r, &s, n->body);
    if (n->kind == JA_WITH)
        for (size_t i = 0; i < n->other.n; i += 2) each_name(r, n->other.items[i], bind_name, &s);
    if (n->kind == JA_AUTOESCAPE) bind_expr(r, inner, n->a);
    if (n->kind == JA_FILTER_BLOCK || n->kind == JA_SET_BLOCK) bind_expr(r, inner, n->b);
    bind_body(r, inner, n->body);
    n->scope = loads_of(r, &s);
}

static void bind(resolver *r, frame f, mica__jast *n)
{
    r->line = n->line;
    frame soft = {f.s, true};
    switch ((mica__jast_kind)n->kind) {
    case JA_PRINT:
        bind_expr(r, f, n);
        break;
    case JA_IF:
        for (; n && !r->status; n = n->b) {
            bind_expr(r, soft, n->a);
            bind_body(r, soft, n->body);
            bind_body(r, soft, n->other);
        }
        break;
    case JA_FOR:
        bind_for(r, f, n);
        break;
    case JA_SET:
        bind_expr(r, f, n->b);
        each_name(r, n->a, bind_name, f.s);
        break;
    case JA_SET_BLOCK:
        each_name(r, n->a, bind_name, f.s);
        bind_inner(r, f, n);
        break;
    case JA_MACRO:
        each_name(r, n->a, bind_name, f.s);
        bind_function(r, f, n->function);
        break;
    case JA_CALL_BLOCK:
        bind_expr(r, f, n->a);
        bind_function(r, f, n->function);
        break;
    case JA_BLOCK:
        bind_function(r, n->op ? f : (frame){r->root, false}, n->function);
        break;
    case JA_FILTER_BLOCK:
    case JA_WITH:
    case JA_AUTOESCAPE:
        bind_inner(r, f, n);
        break;
    default:
        break;
    }
}

static void bind_body(resolver *r, frame f, mica__jbody body)
{
    for (size_t i = 0; i < body.n && !r->status; i++) bind(r, f, body.items[i]);
}

mica_status mica__jscope_resolve(mica__jinja *t, mica_error *err)
{
    resolver r = {.arena = &t->arena, .err = err, .line = 1};
    function fn = {0};
    symbols s;
    init_symbols(&r, &s, NULL, &fn);
    r.root = &s;
    note_body(&r, &s, t->body);
    bind_body(&r, (frame){&s, false}, t->body);
    t->scope = loads_of(&r, &s);
    t->n_slots = fn.n_slots;
    mica__map_release(&r.names);
    mica__arena_release(&r.scratch);
    return r.status;
}
