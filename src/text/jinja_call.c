/* text/jinja_call.c: calls: arguments, builtins, macros, loops as functions. */
#include "jinja_eval.h"

/* ---- arguments of a call, evaluated ---- */

static bool add_named(mica__jin *j, mica__jargs *a, size_t cap, mica__jv name, mica__jv value)
{
    for (size_t i = 0; i < a->n_named; i++) {
        if (!mica__str_eq(mica__jv_text(a->names[i]), mica__jv_text(name))) continue;
        mica__jin_raise(j, "got multiple values for keyword argument '%s'", MICA_QUOTED_STR(mica__jv_text(name)));
        return false;
    }
    if (a->n_named == cap) return mica__jin_fail(j, MICA_LIMIT, "too many named arguments"), false;
    a->names[a->n_named] = name;
    a->named[a->n_named++] = value;
    return true;
}

static bool expand_dict(mica__jin *j, mica__jargs *a, size_t cap, mica__jv mapping)
{
    const mica__jdict *d = mapping.u.dict;
    for (size_t i = 0; i < d->n; i++) {
        if (d->entries[i].key.kind != JV_STR) return mica__jin_raise(j, "keywords must be strings"), false;
        if (!mica__jin_spend(j, a->n_named / 8) || !add_named(j, a, cap, d->entries[i].key, d->entries[i].value))
            return false;
    }
    return true;
}

bool mica__jin_args(mica__jin *j, mica__jact *act, const mica__jcall *c, mica__jargs *out)
{
    *out = (mica__jargs){0};
    if (!c->n_pos && !c->n_named && !c->star && !c->star_star) return true;
    mica__jitems pos = {0};
    if (c->n_pos) {
        pos.items = mica__jin_alloc(j, c->n_pos, sizeof *pos.items);
        if (!pos.items) return false;
        pos.cap = c->n_pos;
    }
    for (size_t i = 0; i < c->n_pos; i++) {
        mica__jv v = mica__jin_eval(j, act, c->pos[i]);
        if (v.kind == JV_ERROR) return false;
        pos.items[pos.n++] = v;
    }
    mica__jv named[8], *values = named;
    if (c->n_named > 8 && !(values = mica__jin_alloc(j, c->n_named, sizeof *values))) return false;
    for (size_t i = 0; i < c->n_named; i++) {
        values[i] = mica__jin_eval(j, act, c->named[i]);
        if (values[i].kind == JV_ERROR) return false;
    }
    if (c->star) {
        mica__jv more = mica__jin_eval(j, act, c->star);
        if (more.kind == JV_ERROR) return false;
        mica__jitems copy = {0};
        if (!mica__jv_collect(j, more, &copy)) return false;
        for (size_t i = 0; i < copy.n; i++)
            if (!mica__jitems_add(j, &pos, copy.items[i])) return false;
    }
    mica__jv mapping = JV_NO_VALUE;
    if (c->star_star) {
        mapping = mica__jin_eval(j, act, c->star_star);
        if (mapping.kind == JV_ERROR) return false;
        if (mapping.kind != JV_DICT)
            return mica__jin_raise(j, "argument after ** must be a mapping, not %s", mica__jv_type_name(mapping)),
                   false;
    }
    size_t cap = c->n_named + (mapping.kind == JV_DICT ? mapping.u.dict->n : 0);
    if (cap) {
        out->names = mica__jin_alloc(j, cap, sizeof *out->names);
        out->named = mica__jin_alloc(j, cap, sizeof *out->named);
        if (!out->names || !out->named) return false;
    }
    for (size_t i = 0; i < c->n_named; i++)
        if (!add_named(j, out, cap, c->names[i], values[i])) return false;
    if (mapping.kind == JV_DICT && !expand_dict(j, out, cap, mapping)) return false;
    out->pos = pos.items;
    out->n_pos = pos.n;
    return true;
}

/* ---- builtins ---- */

typedef struct param {
    const char *name;
    size_t n;
    bool is_optional;
} param;

/* Reads the parameter string; returns how many there are. */
static size_t read_params(const char *p, param params[MICA__JINJA_MAX_PARAMS], bool *no_names, bool *takes_any)
{
    size_t n = 0;
    *no_names = *p == '/';
    *takes_any = false;
    if (*p == '/') p++;
    while (*p && n < MICA__JINJA_MAX_PARAMS) {
        size_t length = strcspn(p, ",");
        if (*p == '*') {
            *takes_any = true;
        } else {
            bool is_optional = p[length - 1] == '=';
            params[n++] = (param){p, length - is_optional, is_optional};
        }
        p += length;
        if (*p) p++;
    }
    return n;
}

mica__jv mica__jbuiltin_call(mica__jin *j, const mica__jbuiltin *b, mica__jv self, const mica__jargs *args)
{
    param params[MICA__JINJA_MAX_PARAMS];
    bool no_names, takes_any;
    size_t n = read_params(b->params, params, &no_names, &takes_any);
    mica__jv bound[MICA__JINJA_MAX_PARAMS];
    for (size_t i = 0; i < MICA__JINJA_MAX_PARAMS; i++)
        bound[i] = i < n && i < args->n_pos ? args->pos[i] : JV_NO_VALUE;
    if (!takes_any) {
        if (args->n_pos > n)
            return mica__jin_raise(j, "%s() takes at most %zu arguments (%zu given)", b->name, n, args->n_pos);
        if (no_names && args->n_named) return mica__jin_raise(j, "%s() takes no keyword arguments", b->name);
        for (size_t i = 0; i < args->n_named; i++) {
            mica__str name = mica__jv_text(args->names[i]);
            size_t k = 0;
            while (k < n && !mica__str_eq(name, (mica__str){params[k].name, params[k].n})) k++;
            if (k == n)
                return mica__jin_raise(j, "%s() got an unexpected keyword argument '%s'", b->name,
                                       MICA_QUOTED_STR(name));
            if (bound[k].kind != JV_MISSING)
                return mica__jin_raise(j, "%s() got multiple values for argument '%s'", b->name, MICA_QUOTED_STR(name));
            bound[k] = args->named[i];
        }
        for (size_t i = 0; i < n; i++)
            if (!params[i].is_optional && bound[i].kind == JV_MISSING)
                return mica__jin_raise(j, "%s() missing required argument: '%.*s'", b->name, (int)params[i].n,
                                       params[i].name);
    }
    if (!mica__jin_enter(j)) return JV_ERR;
    mica__jv v = b->call(j, self, args, bound);
    mica__jin_leave(j);
    return v;
}

mica__jv mica__jmethod_bind(mica__jin *j, mica__jv self, const mica__jbuiltin *fn)
{
    mica__jmethod *m = mica__jin_alloc(j, 1, sizeof *m);
    if (!m) return JV_ERR;
    *m = (mica__jmethod){self, fn};
    return (mica__jv){.kind = JV_METHOD, .u.method = m};
}

const mica__jbuiltin *mica__jbuiltin_in(const mica__jbuiltin *table, mica__str name)
{
    for (; table->name; table++)
        if (mica__str_is(name, table->name)) return table;
    return NULL;
}

bool mica__jarg_int(mica__jin *j, mica__jv v, int64_t *out)
{
    if (v.kind == JV_MISSING) return true;
    if (v.kind == JV_UNDEFINED) return mica__jv_use_undefined(j, v), false;
    if (v.kind == JV_BIG) return mica__jin_raise(j, "Python int too large to convert to C ssize_t"), false;
    if (!mica__jv_is_int(v))
        return mica__jin_raise(j, "'%s' object cannot be interpreted as an integer", mica__jv_type_name(v)), false;
    *out = v.u.i;
    return true;
}

bool mica__jarg_bool(mica__jin *j, mica__jv v, bool *out)
{
    if (v.kind == JV_MISSING) return true;
    int truth = mica__jv_truth(j, v);
    *out = truth > 0;
    return truth >= 0;
}

bool mica__jarg_text(mica__jin *j, mica__jv v, mica__str *out)
{
    if (v.kind == JV_MISSING) return true;
    if (v.kind != JV_STR) return mica__jin_raise(j, "expected str, got %s", mica__jv_type_name(v)), false;
    *out = mica__jv_text(v);
    return true;
}

/* ---- macros ---- */

static bool enter_call(mica__jin *j)
{
    if (j->call_depth >= MICA__JINJA_MAX_DEPTH) {
        mica__jin_fail(j, MICA_LIMIT, "macros call each other deeper than %d", MICA__JINJA_MAX_DEPTH);
        return false;
    }
    j->call_depth++;
    j->effects++;
    return true;
}

/* Takes a named argument out of args (marking it used). */
static mica__jv take_named(const mica__jargs *args, bool *used, mica__jv name)
{
    for (size_t i = 0; i < args->n_named; i++) {
        if (used[i] || !mica__str_eq(mica__jv_text(args->names[i]), mica__jv_text(name))) continue;
        used[i] = true;
        return args->named[i];
    }
    return JV_NO_VALUE;
}

/* What a macro takes beyond its declared arguments: caller, kwargs, varargs. */
static bool bind_extra(mica__jin *j, const mica__jfunction *f, mica__jact *act, const mica__jargs *args, bool *used,
                       bool has_caller)
{
    if (f->takes_caller && !has_caller) {
        mica__jstr text = {.p = "caller", .n = 6};
        mica__jv caller = take_named(args, used, (mica__jv){.kind = JV_STR, .u.str = &text});
        if (caller.kind == JV_MISSING || caller.kind == JV_NONE)
            caller = mica__jv_undefined_hint(j, "No caller defined");
        *mica__jact_slot(act, f->caller) = caller;
    }
    mica__jdict *rest = NULL;
    if (f->takes_kwargs) *mica__jact_slot(act, f->kwargs) = mica__jv_dict(j, &rest);
    if (j->status) return false;
    for (size_t i = 0; i < args->n_named; i++) {
        if (used[i]) continue;
        if (!rest)
            return mica__jin_raise(j, "macro '%s' takes no keyword argument '%s'",
                                   f->name.kind == JV_STR ? f->name.u.str->p : "None",
                                   MICA_QUOTED_STR(mica__jv_text(args->names[i]))),
                   false;
        if (!mica__jdict_set(j, rest, args->names[i], args->named[i])) return false;
    }
    size_t extra = args->n_pos > f->n_args ? args->n_pos - f->n_args : 0;
    if (f->takes_varargs) {
        mica__jv *copy = mica__jin_alloc(j, extra ? extra : 1, sizeof *copy);
        if (!copy) return false;
        for (size_t i = 0; i < extra; i++) copy[i] = args->pos[f->n_args + i];
        *mica__jact_slot(act, f->varargs) = mica__jv_list(j, JV_TUPLE, copy, extra);
    } else if (extra) {
        mica__jin_raise(j, "macro '%s' takes not more than %zu argument(s)",
                        f->name.kind == JV_STR ? f->name.u.str->p : "None", f->n_args);
    }
    return !j->status;
}

static mica__jv run_macro(mica__jin *j, mica__jact *act, const mica__jfunction *f)
{
    mica__jin_enter_scope(j, act, &f->scope);
    for (size_t i = 0; i < f->n_args; i++) {
        mica__jv *slot = mica__jact_slot(act, f->args[i]->ref);
        if (slot->kind != JV_MISSING) continue;
        if (i + f->n_defaults >= f->n_args) {
            mica__jv v = mica__jin_eval(j, act, f->defaults[i + f->n_defaults - f->n_args]);
            JV_TRY(v);
            *slot = v;
        } else {
            mica__jtext hint = {.j = j};
            mica__jtext_add_z(&hint, "parameter '");
            mica__jtext_add_str(&hint, mica__jv_text(f->args[i]->value));
            mica__jtext_add(&hint, "' was not provided", 19);
            mica__jv text = mica__jtext_value(&hint);
            JV_TRY(text);
            *slot = mica__jv_undefined_hint(j, text.u.str->p);
        }
    }
    size_t from = mica__jin_capture(j);
    if (mica__jin_exec(j, act, f->body) == JF_ERROR) return JV_ERR;
    return mica__jv_markup(mica__jin_captured(j, from), j->autoescape);
}

static mica__jv call_macro(mica__jin *j, const mica__jmacro *m, const mica__jargs *args)
{
    const mica__jfunction *f = m->f;
    mica__jact *act = mica__jact_new(j, m->outer, f->n_slots);
    bool *used = mica__jin_alloc(j, args->n_named + 1, sizeof *used);
    if (!act || !used) return JV_ERR;
    memset(used, 0, args->n_named + 1);
    bool has_caller = false;
    for (size_t i = 0; i < f->n_args; i++) {
        mica__jv *slot = mica__jact_slot(act, f->args[i]->ref);
        if (i < args->n_pos) {
            *slot = args->pos[i];
        } else {
            *slot = take_named(args, used, f->args[i]->value);
        }
        has_caller |= mica__jv_is_text(f->args[i]->value, "caller");
    }
    if (!bind_extra(j, f, act, args, used, has_caller) || !enter_call(j)) return JV_ERR;
    uint32_t line = j->line;
    mica__jv v = run_macro(j, act, f);
    if (!j->status) j->line = line;
    j->call_depth--;
    return v;
}

/* ---- loops ---- */

typedef struct loop_test {
    mica__jact *act;
    const mica__jfor *loop;
} loop_test;

/* Items of a loop for which its `if` holds, tested when they are drawn. */
static int next_that_passes(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    const loop_test *t = it->state;
    for (;;) {
        int got = mica__jiter_next(j, it->inner, out);
        if (got <= 0) return got;
        if (!mica__jin_assign(j, t->act, t->loop->test_target, *out)) return -1;
        int truth = mica__jv_truth(j, mica__jin_eval(j, t->act, t->loop->test));
        if (truth) return truth;
    }
}

static mica__jiter *filtered(mica__jin *j, mica__jact *outer, const mica__jfor *l, mica__jv iterable)
{
    loop_test *t = mica__jin_alloc(j, 1, sizeof *t);
    mica__jact *act = t ? mica__jact_new(j, outer, l->n_test_slots) : NULL;
    mica__jiter *inner = act ? mica__jiter_new(j, iterable) : NULL;
    if (!inner) return NULL;
    mica__jin_enter_scope(j, act, &l->test_scope);
    *t = (loop_test){act, l};
    mica__jiter *it = mica__jiter_make(j, "generator", next_that_passes, iterable, t);
    if (it) it->inner = inner, it->makes_values = true;
    return it;
}

/* Runs a loop's body for each item, then its else. `act` holds the loop's variables, `outer` is where its `if` looks outwards:
 * the same, but for recursive loops. */
mica__jflow mica__jin_loop_body(mica__jin *j, mica__jact *act, mica__jact *outer, const mica__jast *n,
                                mica__jv iterable, int64_t depth0)
{
    const mica__jfor *l = n->loop;
    mica__jiter *it = l->test ? filtered(j, outer, l, iterable) : mica__jiter_new(j, iterable);
    if (!it) return JF_ERROR;
    mica__jloop *loop = NULL;
    if (l->uses_loop) {
        loop = mica__jloop_new(j, l->test ? mica__jiter_value(it) : iterable, it, depth0);
        if (!loop) return JF_ERROR;
        loop->node = l->is_recursive ? n : NULL;
        loop->outer = outer;
    }
    bool completed_one = false;
    mica__jflow flow = JF_NEXT;
    while (flow != JF_BREAK) {
        mica__jv item;
        int got = loop ? mica__jloop_next(j, loop, &item) : mica__jiter_next(j, it, &item);
        if (got < 0) return JF_ERROR;
        if (!got) break;
        mica__jin_enter_scope(j, act, &l->scope);
        if (loop) *mica__jact_slot(act, l->loop) = (mica__jv){.kind = JV_LOOP, .u.loop = loop};
        j->line = n->line;
        if (!mica__jin_assign(j, act, l->target, item)) return JF_ERROR;
        flow = mica__jin_exec(j, act, l->body);
        if (flow == JF_ERROR) return flow;
        if (flow == JF_NEXT) completed_one = true;
    }
    mica__jin_leave_scope(act, &l->scope);
    if (completed_one || !l->other.n) return JF_NEXT;
    mica__jin_enter_scope(j, act, &l->other_scope);
    flow = mica__jin_exec(j, act, l->other);
    mica__jin_leave_scope(act, &l->other_scope);
    return flow;
}

mica__jv mica__jin_run_loop(mica__jin *j, mica__jact *outer, const mica__jast *node, mica__jv iterable, int64_t depth0)
{
    if (!enter_call(j)) return JV_ERR;
    mica__jact *act = mica__jact_new(j, outer, node->loop->n_slots);
    size_t from = mica__jin_capture(j);
    if (!act || mica__jin_loop_body(j, act, outer, node, iterable, depth0) == JF_ERROR) return JV_ERR;
    j->call_depth--;
    return mica__jv_markup(mica__jin_captured(j, from), j->autoescape);
}

static mica__jv call_loop(mica__jin *j, mica__jloop *l, const mica__jargs *args)
{
    if (!l->node) return mica__jin_raise(j, "The loop must have the 'recursive' marker to be called recursively.");
    bool is_named = !args->n_pos && args->n_named == 1 && mica__jv_is_text(args->names[0], "iterable");
    if (!is_named && (args->n_pos != 1 || args->n_named)) return mica__jin_raise(j, "loop() takes one iterable");
    return mica__jin_run_loop(j, l->outer, l->node, is_named ? args->named[0] : args->pos[0], l->depth0 + 1);
}

static mica__jv call_joiner(mica__jjoiner *joiner)
{
    if (joiner->used) return joiner->sep;
    joiner->used = true;
    return JV_NO_VALUE;
}

mica__jv mica__jin_call(mica__jin *j, mica__jv callee, const mica__jargs *args)
{
    mica__jv v;
    switch ((mica__jv_kind)callee.kind) {
    case JV_BUILTIN:
        return mica__jbuiltin_call(j, callee.u.builtin, JV_NO_VALUE, args);
    case JV_METHOD:
        return mica__jbuiltin_call(j, callee.u.method->fn, callee.u.method->self, args);
    case JV_MACRO:
        return call_macro(j, callee.u.macro, args);
    case JV_LOOP:
        return call_loop(j, callee.u.loop, args);
    case JV_JOINER:
        if (args->n_pos || args->n_named) return mica__jin_raise(j, "a joiner takes no arguments");
        v = call_joiner(callee.u.joiner);
        return v.kind == JV_MISSING ? mica__jv_borrow(j, "", 0) : v;
    case JV_UNDEFINED:
        return mica__jv_use_undefined(j, callee);
    default:
        return mica__jin_raise(j, "'%s' object is not callable", mica__jv_type_name(callee));
    }
}
