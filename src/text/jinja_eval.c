/* text/jinja_eval.c: walking the tree: expressions to values, statements to text.
 *
 * Every node costs a step; nesting is counted, so that neither a loop nor a recursion outlives its budget. Text goes to one
 * buffer: a block whose text is wanted as a value notes where it began and takes its end off again. */
#include "jinja_eval.h"
#include "text/model.h"

mica__jact *mica__jact_new(mica__jin *j, mica__jact *outer, uint32_t n_slots)
{
    mica__jact *act = mica__jin_alloc(j, 1, sizeof *act);
    if (!act) return NULL;
    *act = (mica__jact){outer, mica__jin_alloc(j, n_slots ? n_slots : 1, sizeof(mica__jv))};
    if (!act->slots) return NULL;
    for (uint32_t i = 0; i < n_slots; i++) act->slots[i] = JV_NO_VALUE;
    return act;
}

/* A variable by name: given to the rendering, or a global function. */
static mica__jv resolve(const mica__jin *j, mica__jv name)
{
    const mica__jv *given = mica__jdict_get(j->vars, mica__jv_text(name));
    if (given) return *given;
    const mica__jbuiltin *global = mica__jglobal_find(mica__jv_text(name));
    return global ? (mica__jv){.kind = JV_BUILTIN, .u.builtin = global} : JV_NO_VALUE;
}

void mica__jin_enter_scope(mica__jin *j, mica__jact *act, const mica__jscope *scope)
{
    for (size_t i = 0; i < scope->n; i++) {
        const mica__jload *l = &scope->loads[i];
        switch (l->kind) {
        case JL_PARAMETER:
            break;
        case JL_RESOLVE:
            act->slots[l->slot] = resolve(j, l->name);
            break;
        case JL_ALIAS:
            act->slots[l->slot] = *mica__jact_slot(act, l->from);
            break;
        case JL_UNDEFINED:
            act->slots[l->slot] = JV_NO_VALUE;
            break;
        }
    }
}

void mica__jin_leave_scope(mica__jact *act, const mica__jscope *scope)
{
    for (size_t i = 0; i < scope->n; i++) act->slots[scope->loads[i].slot] = JV_NO_VALUE;
}

size_t mica__jin_capture(mica__jin *j)
{
    if (j->captures++ == 0) j->shown = j->out.n;
    return j->out.n;
}

mica__jv mica__jin_captured(mica__jin *j, size_t from)
{
    j->captures--;
    if (j->status || j->out.failed) return JV_ERR;
    mica__jv v = mica__jv_str(j, j->out.p ? j->out.p + from : "", j->out.n - from);
    j->out.n = from;
    return v;
}

/* ---- expressions ---- */

static mica__jv eval_items(mica__jin *j, mica__jact *act, mica__jbody body, mica__jv_kind kind)
{
    mica__jv *items = mica__jin_alloc(j, body.n ? body.n : 1, sizeof *items);
    if (!items) return JV_ERR;
    for (size_t i = 0; i < body.n; i++) {
        items[i] = mica__jin_eval(j, act, body.items[i]);
        JV_TRY(items[i]);
    }
    return mica__jv_list(j, kind, items, body.n);
}

static mica__jv eval_dict(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jdict *d;
    mica__jv v = mica__jv_dict(j, &d);
    JV_TRY(v);
    for (size_t i = 0; i < n->body.n; i += 2) {
        mica__jv key = mica__jin_eval(j, act, n->body.items[i]);
        JV_TRY(key);
        mica__jv value = mica__jin_eval(j, act, n->body.items[i + 1]);
        JV_TRY(value);
        if (!mica__jdict_set(j, d, key, value)) return JV_ERR;
    }
    return v;
}

/* a ~ b ~ c: Markup only where autoescape is on. */
static mica__jv eval_concat(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jv *parts = mica__jin_alloc(j, n->body.n, sizeof *parts);
    if (!parts) return JV_ERR;
    bool is_markup = false;
    for (size_t i = 0; i < n->body.n; i++) {
        parts[i] = mica__jin_eval(j, act, n->body.items[i]);
        JV_TRY(parts[i]);
        is_markup |= j->autoescape && mica__jv_is_markup(parts[i]);
    }
    mica__jv sum = JV_NO_VALUE;
    for (size_t i = 0; i < n->body.n; i++) {
        mica__jv s = is_markup ? mica__jv_escape(j, parts[i]) : mica__jv_to_str(j, parts[i]);
        JV_TRY(s);
        sum = i == 0 ? s : mica__jv_concat(j, sum, mica__jv_text(s));
        JV_TRY(sum);
    }
    return mica__jv_markup(sum, is_markup);
}

/* One comparison: 1, 0 or -1. */
static int compare(mica__jin *j, mica__jop op, mica__jv a, mica__jv b)
{
    int eq;
    switch (op) {
    case JO_EQ:
        return mica__jv_equal(j, a, b);
    case JO_NE:
        eq = mica__jv_equal(j, a, b);
        return eq < 0 ? eq : !eq;
    case JO_LT:
        return mica__jv_order(j, '<', a, b);
    case JO_LE:
        return mica__jv_order(j, 'l', a, b);
    case JO_GT:
        return mica__jv_order(j, '>', a, b);
    case JO_GE:
        return mica__jv_order(j, 'g', a, b);
    case JO_IN:
        return mica__jv_contains(j, b, a);
    default:
        eq = mica__jv_contains(j, b, a);
        return eq < 0 ? eq : !eq;
    }
}

static mica__jv eval_compare(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jv left = mica__jin_eval(j, act, n->body.items[0]);
    JV_TRY(left);
    for (size_t i = 1; i < n->body.n; i++) {
        mica__jv right = mica__jin_eval(j, act, n->body.items[i]);
        JV_TRY(right);
        j->line = n->line;
        int holds = compare(j, (mica__jop)n->ops[i - 1], left, right);
        if (holds < 0) return JV_ERR;
        if (!holds) return mica__jv_bool(false);
        left = right;
    }
    return mica__jv_bool(true);
}

static mica__jv eval_and_or(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jv left = mica__jin_eval(j, act, n->a);
    int truth = mica__jv_truth(j, left);
    if (truth < 0) return JV_ERR;
    if (truth == (n->kind == JA_OR)) return left;
    return mica__jin_eval(j, act, n->b);
}

static mica__jv eval_slice(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jv object = mica__jin_eval(j, act, n->a), bounds[3] = {JV_NULL, JV_NULL, JV_NULL};
    JV_TRY(object);
    const mica__jast *parts[3] = {n->b, n->c, n->d};
    for (int i = 0; i < 3; i++) {
        if (parts[i]) bounds[i] = mica__jin_eval(j, act, parts[i]);
        JV_TRY(bounds[i]);
    }
    j->line = n->line;
    return mica__jv_slice(j, object, bounds[0], bounds[1], bounds[2]);
}

static mica__jv eval_cond(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    int truth = mica__jv_truth(j, mica__jin_eval(j, act, n->b));
    if (truth < 0) return JV_ERR;
    if (truth) return mica__jin_eval(j, act, n->a);
    if (n->c) return mica__jin_eval(j, act, n->c);
    return mica__jv_undefined_hint(j, "the inline if-expression evaluated to false and no else section was defined.");
}

static mica__jv eval_call(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jv callee = mica__jin_eval(j, act, n->a);
    JV_TRY(callee);
    mica__jargs args;
    if (!mica__jin_args(j, act, n->call, &args)) return JV_ERR;
    j->line = n->line;
    return mica__jin_call(j, callee, &args);
}

/* A filter or test applied to a value. */
static mica__jv apply(mica__jin *j, mica__jact *act, const mica__jast *n, mica__jv value)
{
    mica__jargs args;
    if (!mica__jin_args(j, act, n->call, &args)) return JV_ERR;
    j->line = n->line;
    if (!n->builtin)
        return mica__jin_raise(j, "No %s named '%s' found.", n->kind == JA_TEST ? "test" : "filter",
                               MICA_QUOTED_STR(mica__jv_text(n->value)));
    return mica__jbuiltin_call(j, n->builtin, value, &args);
}

static mica__jv eval_filter(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jv value = mica__jin_eval(j, act, n->a);
    JV_TRY(value);
    return apply(j, act, n, value);
}

static mica__jv eval_name(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jv v = *mica__jact_slot(act, n->ref);
    return v.kind == JV_MISSING ? mica__jv_undefined_name(j, n->value) : v;
}

static mica__jv eval_binary(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jv a = mica__jin_eval(j, act, n->a);
    JV_TRY(a);
    mica__jv b = mica__jin_eval(j, act, n->b);
    JV_TRY(b);
    j->line = n->line;
    return mica__jv_binary(j, (mica__jop)n->op, a, b);
}

static mica__jv eval_unary(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jv v = mica__jin_eval(j, act, n->a);
    JV_TRY(v);
    if (n->kind != JA_NOT) return mica__jv_negate(j, v, n->kind == JA_NEGATE);
    int truth = mica__jv_truth(j, v);
    return truth < 0 ? JV_ERR : mica__jv_bool(!truth);
}

static mica__jv eval_member(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jv object = mica__jin_eval(j, act, n->a);
    JV_TRY(object);
    mica__jv key = n->kind == JA_ATTR ? n->value : mica__jin_eval(j, act, n->b);
    JV_TRY(key);
    j->line = n->line;
    return n->kind == JA_ATTR ? mica__jv_attr(j, object, key) : mica__jv_item(j, object, key);
}

static mica__jv eval(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    switch ((mica__jast_kind)n->kind) {
    case JA_CONST:
        return n->value;
    case JA_NAME:
        return eval_name(j, act, n);
    case JA_TUPLE:
        return eval_items(j, act, n->body, JV_TUPLE);
    case JA_LIST:
        return eval_items(j, act, n->body, JV_LIST);
    case JA_DICT:
        return eval_dict(j, act, n);
    case JA_CONCAT:
        return eval_concat(j, act, n);
    case JA_BINARY:
        return eval_binary(j, act, n);
    case JA_AND:
    case JA_OR:
        return eval_and_or(j, act, n);
    case JA_NOT:
    case JA_NEGATE:
    case JA_PLUS:
        return eval_unary(j, act, n);
    case JA_COMPARE:
        return eval_compare(j, act, n);
    case JA_ATTR:
    case JA_ITEM:
        return eval_member(j, act, n);
    case JA_SLICE:
        return eval_slice(j, act, n);
    case JA_COND:
        return eval_cond(j, act, n);
    case JA_CALL:
        return eval_call(j, act, n);
    case JA_FILTER:
    case JA_TEST:
        return eval_filter(j, act, n);
    default:
        return mica__jin_raise(j, "this is no expression");
    }
}

mica__jv mica__jin_eval(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    if (!mica__jin_spend(j, 1) || !mica__jin_enter(j)) return JV_ERR;
    j->line = n->line;
    mica__jv v = eval(j, act, n);
    mica__jin_leave(j);
    return v;
}

/* ---- statements ---- */

static bool write_text(mica__jin *j, mica__str s)
{
    if (j->status || !mica__jin_spend(j, s.n / 64)) return false;
    if (s.n > j->heap.max - j->heap.used || j->out.n > j->heap.max - j->heap.used - s.n) {
        mica__jin_fail(j, MICA_LIMIT, "more than %zu bytes of working memory", j->heap.max);
        return false;
    }
    mica__buf_append_str(&j->out, s);
    if (j->out.failed) j->status = mica__buf_status(&j->out, j->err, "a chat template's text");
    return !j->out.failed;
}

static bool print_value(mica__jin *j, mica__jv v)
{
    v = j->autoescape ? mica__jv_escape(j, v) : mica__jv_to_str(j, v);
    return v.kind != JV_ERROR && write_text(j, mica__jv_text(v));
}

/* The memory of an expression that is only printed is given back, unless something was called that may have kept a value. */
static mica__jflow exec_print(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    for (size_t i = 0; i < n->body.n; i++) {
        mica__jmark mark = mica__jheap_mark(&j->heap);
        uint64_t effects = j->effects;
        mica__jv v = mica__jin_eval(j, act, n->body.items[i]);
        if (v.kind == JV_ERROR || !print_value(j, v)) return JF_ERROR;
        if (effects == j->effects) mica__jheap_reset(&j->heap, mark);
    }
    return JF_NEXT;
}

/* The truth of a condition, whose memory is given back like that of a printed expression. */
static int condition(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jmark mark = mica__jheap_mark(&j->heap);
    uint64_t effects = j->effects;
    int truth = mica__jv_truth(j, mica__jin_eval(j, act, n));
    if (effects == j->effects) mica__jheap_reset(&j->heap, mark);
    return truth;
}

static mica__jflow exec_if(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    for (;; n = n->b) {
        j->line = n->line;
        int truth = condition(j, act, n->a);
        if (truth < 0) return JF_ERROR;
        if (truth) return mica__jin_exec(j, act, n->body);
        if (!n->b) return mica__jin_exec(j, act, n->other);
    }
}

static bool set_on_namespace(mica__jin *j, mica__jact *act, const mica__jast *target, mica__jv value)
{
    mica__jv ns = *mica__jact_slot(act, target->ref);
    if (ns.kind != JV_NAMESPACE) {
        mica__jin_raise(j, "cannot assign attribute on non-namespace object");
        return false;
    }
    j->effects++;
    return mica__jdict_set(j, ns.u.dict, target->a->value, value);
}

bool mica__jin_assign(mica__jin *j, mica__jact *act, const mica__jast *target, mica__jv value)
{
    if (target->kind == JA_NSREF) return set_on_namespace(j, act, target, value);
    if (target->kind == JA_NAME) {
        *mica__jact_slot(act, target->ref) = value;
        return true;
    }
    size_t want = target->body.n, i = 0;
    if (!mica__jv_is_iterable(value)) {
        mica__jin_raise(j, "cannot unpack non-iterable %s object", mica__jv_type_name(value));
        return false;
    }
    mica__jiter *it = mica__jiter_new(j, value);
    if (!it) return false;
    mica__jv *parts = mica__jin_alloc(j, want ? want : 1, sizeof *parts);
    if (!parts) return false;
    for (mica__jv part;; i++) {
        int got = mica__jiter_next(j, it, &part);
        if (got < 0) return false;
        if (!got) break;
        if (i == want) {
            mica__jin_raise(j, "too many values to unpack (expected %zu)", want);
            return false;
        }
        parts[i] = part;
    }
    if (i < want) {
        mica__jin_raise(j, "not enough values to unpack (expected %zu, got %zu)", want, i);
        return false;
    }
    for (i = 0; i < want; i++)
        if (!mica__jin_assign(j, act, target->body.items[i], parts[i])) return false;
    return true;
}

static mica__jflow exec_set_block(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    size_t from = mica__jin_capture(j);
    mica__jin_enter_scope(j, act, &n->scope);
    mica__jflow flow = mica__jin_exec(j, act, n->body);
    if (flow == JF_ERROR) return flow;
    mica__jv text = mica__jin_captured(j, from);
    if (flow != JF_NEXT) return flow; /* left by break or continue: nothing is set */
    text = mica__jv_markup(text, j->autoescape);
    if (n->b && text.kind != JV_ERROR) text = mica__jin_eval_block_filter(j, act, n->b, text);
    if (text.kind == JV_ERROR) return JF_ERROR;
    mica__jin_leave_scope(act, &n->scope);
    return mica__jin_assign(j, act, n->a, mica__jv_markup(text, text.sub || j->autoescape)) ? JF_NEXT : JF_ERROR;
}

/* Filters of a block: the innermost has no value of its own and takes the text. */
mica__jv mica__jin_eval_block_filter(mica__jin *j, mica__jact *act, const mica__jast *filter, mica__jv text)
{
    if (filter->a) {
        if (!mica__jin_enter(j)) return JV_ERR;
        text = mica__jin_eval_block_filter(j, act, filter->a, text);
        mica__jin_leave(j);
        JV_TRY(text);
    }
    return apply(j, act, filter, text);
}

static mica__jflow exec_filter_block(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    size_t from = mica__jin_capture(j);
    mica__jin_enter_scope(j, act, &n->scope);
    mica__jflow flow = mica__jin_exec(j, act, n->body);
    if (flow == JF_ERROR) return flow;
    mica__jv text = mica__jin_captured(j, from);
    if (flow != JF_NEXT) return flow;
    text = mica__jin_eval_block_filter(j, act, n->b, mica__jv_markup(text, j->autoescape));
    if (text.kind == JV_ERROR || !print_value(j, text)) return JF_ERROR;
    mica__jin_leave_scope(act, &n->scope);
    return JF_NEXT;
}

static mica__jflow exec_with(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jin_enter_scope(j, act, &n->scope);
    for (size_t i = 0; i < n->other.n; i += 2) {
        mica__jv v = mica__jin_eval(j, act, n->other.items[i + 1]);
        if (v.kind == JV_ERROR || !mica__jin_assign(j, act, n->other.items[i], v)) return JF_ERROR;
    }
    mica__jflow flow = mica__jin_exec(j, act, n->body);
    mica__jin_leave_scope(act, &n->scope);
    return flow;
}

static mica__jflow exec_autoescape(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jin_enter_scope(j, act, &n->scope);
    int on = mica__jv_truth(j, mica__jin_eval(j, act, n->a));
    if (on < 0) return JF_ERROR;
    bool before = j->autoescape;
    j->autoescape = on;
    mica__jflow flow = mica__jin_exec(j, act, n->body);
    j->autoescape = before;
    mica__jin_leave_scope(act, &n->scope);
    return flow;
}

static mica__jv new_macro(mica__jin *j, mica__jact *act, const mica__jfunction *f)
{
    mica__jmacro *m = mica__jin_alloc(j, 1, sizeof *m);
    if (!m) return JV_ERR;
    *m = (mica__jmacro){f, act};
    return (mica__jv){.kind = JV_MACRO, .u.macro = m};
}

/* A block sees the template's own variables only, unless it is scoped. */
static mica__jflow exec_block(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    while (!n->op && act->outer) act = act->outer;
    mica__jv block = new_macro(j, act, n->function);
    if (block.kind == JV_ERROR) return JF_ERROR;
    mica__jv text = mica__jin_call(j, block, &(mica__jargs){0});
    return text.kind != JV_ERROR && write_text(j, mica__jv_text(text)) ? JF_NEXT : JF_ERROR;
}

/* Where the text of a generation block begins in what has been written for good, and its characters. */
static bool note_generated(mica__jin *j, mica__str text)
{
    if (!j->generated) return true;
    size_t start = j->captures ? j->shown : j->out.n, n = 0;
    for (size_t i = 0; i < text.n; i++) n += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    j->status = mica__ids_push(j->generated, (int32_t)start, j->err);
    if (!j->status) j->status = mica__ids_push(j->generated, (int32_t)n, j->err);
    return !j->status;
}

static mica__jflow exec_call_block(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jv caller = new_macro(j, act, n->function), result;
    if (caller.kind == JV_ERROR) return JF_ERROR;
    mica__jargs args = {0};
    if (!n->a) { /* a generation block: its text as it is */
        result = mica__jin_call(j, caller, &args);
        if (result.kind != JV_ERROR && !note_generated(j, mica__jv_text(result))) return JF_ERROR;
    } else {
        mica__jv callee = mica__jin_eval(j, act, n->a->a);
        if (callee.kind == JV_ERROR || !mica__jin_args(j, act, n->a->call, &args)) return JF_ERROR;
        size_t k = args.n_named;
        mica__jv *names = mica__jin_alloc(j, 2 * (k + 1), sizeof *names);
        if (!names) return JF_ERROR;
        if (k) memcpy(names, args.names, k * sizeof *names), memcpy(names + k + 1, args.named, k * sizeof *names);
        names[k] = mica__jv_borrow(j, "caller", 6);
        names[2 * k + 1] = caller;
        if (names[k].kind == JV_ERROR) return JF_ERROR;
        for (size_t i = 0; i < k; i++)
            if (mica__jv_is_text(names[i], "caller")) return mica__jin_raise(j, "caller is given twice"), JF_ERROR;
        args.names = names;
        args.named = names + k + 1;
        args.n_named = k + 1;
        j->line = n->a->line;
        result = mica__jin_call(j, callee, &args);
    }
    return result.kind != JV_ERROR && print_value(j, result) ? JF_NEXT : JF_ERROR;
}

static mica__jflow exec_for(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jv iterable = mica__jin_eval(j, act, n->loop->iterable);
    if (iterable.kind == JV_ERROR) return JF_ERROR;
    if (n->loop->is_recursive) {
        mica__jv text = mica__jin_run_loop(j, act, n, iterable, 0);
        return text.kind != JV_ERROR && print_value(j, text) ? JF_NEXT : JF_ERROR;
    }
    return mica__jin_loop_body(j, act, act, n, iterable, 0);
}

static mica__jflow exec_one(mica__jin *j, mica__jact *act, const mica__jast *n)
{
    mica__jv v;
    switch ((mica__jast_kind)n->kind) {
    case JA_DATA:
        return write_text(j, mica__jv_text(n->value)) ? JF_NEXT : JF_ERROR;
    case JA_PRINT:
        return exec_print(j, act, n);
    case JA_IF:
        return exec_if(j, act, n);
    case JA_FOR:
        return exec_for(j, act, n);
    case JA_SET:
        v = mica__jin_eval(j, act, n->b);
        j->line = n->line;
        return v.kind != JV_ERROR && mica__jin_assign(j, act, n->a, v) ? JF_NEXT : JF_ERROR;
    case JA_SET_BLOCK:
        return exec_set_block(j, act, n);
    case JA_MACRO:
        v = new_macro(j, act, n->function);
        return v.kind != JV_ERROR && mica__jin_assign(j, act, n->a, v) ? JF_NEXT : JF_ERROR;
    case JA_CALL_BLOCK:
        return exec_call_block(j, act, n);
    case JA_BLOCK:
        return exec_block(j, act, n);
    case JA_FILTER_BLOCK:
        return exec_filter_block(j, act, n);
    case JA_WITH:
        return exec_with(j, act, n);
    case JA_AUTOESCAPE:
        return exec_autoescape(j, act, n);
    case JA_BREAK:
        return JF_BREAK;
    case JA_CONTINUE:
        return JF_CONTINUE;
    default:
        mica__jin_raise(j, "'%s' needs other templates, and there are none", n->value.u.str->p);
        return JF_ERROR;
    }
}

mica__jflow mica__jin_exec(mica__jin *j, mica__jact *act, mica__jbody body)
{
    mica__jflow flow = JF_NEXT;
    if (!mica__jin_enter(j)) return JF_ERROR;
    for (size_t i = 0; i < body.n && flow == JF_NEXT; i++) {
        j->line = body.items[i]->line;
        flow = mica__jin_spend(j, 1) ? exec_one(j, act, body.items[i]) : JF_ERROR;
    }
    mica__jin_leave(j);
    return flow;
}
