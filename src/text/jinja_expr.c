/* text/jinja_expr.c: the parser's half for expressions.
 *
 * Precedence, loosest first: inline if, or, and, not, comparisons (chained; in, not in), + -, ~, * / // %, ** (to the left),
 * signs, then what follows a value: attributes, items, calls, filters, tests. Names are never reserved. */
#include "jinja_builtin.h"
#include "base/json.h"
#include "jinja_parser.h"

static mica__jast *parse_primary(mica__jparser *p, bool with_namespace);
static mica__jast *parse_or(mica__jparser *p);
static mica__jast *parse_unary(mica__jparser *p, bool with_filter);

static bool enter(mica__jparser *p)
{
    if (p->status) return false;
    if (p->depth < MICA__JINJA_MAX_DEPTH) return p->depth++, true;
    mica__jparser_too_deep(p);
    return false;
}

static mica__jast *binary(mica__jparser *p, mica__jast_kind kind, uint8_t op, uint32_t line, mica__jast *left,
                          mica__jast *right)
{
    if (!left || !right) return NULL;
    mica__jast *node = mica__jast_new(p, kind, line);
    if (!node) return NULL;
    node->op = op;
    node->a = left;
    node->b = right;
    return mica__jast_done(p, node);
}

static mica__jast *sequence(mica__jparser *p, mica__jast_kind kind, uint32_t line, mica__jnodes list)
{
    mica__jast *node = mica__jast_new(p, kind, line);
    if (!node) return NULL;
    node->body = (mica__jbody){list.items, list.n};
    return mica__jast_done(p, node);
}

mica__jast *mica__jparse_expression(mica__jparser *p)
{
    if (!enter(p)) return NULL;
    uint32_t line = p->token.line;
    mica__jast *value = parse_or(p);
    while (value && mica__jparser_skip_name(p, "if")) {
        mica__jast *node = mica__jast_new(p, JA_COND, line), *test = parse_or(p), *other = NULL;
        if (!node || !test) {
            value = NULL;
            break;
        }
        if (mica__jparser_skip_name(p, "else") && !(other = mica__jparse_expression(p))) {
            value = NULL;
            break;
        }
        node->a = value;
        node->b = test;
        node->c = other;
        value = mica__jast_done(p, node);
        line = p->token.line;
    }
    p->depth--;
    return value;
}

static mica__jast *parse_compare(mica__jparser *p);

static mica__jast *parse_not(mica__jparser *p)
{
    if (!mica__jparser_is_name(p, "not")) return parse_compare(p);
    if (!enter(p)) return NULL;
    uint32_t line = p->token.line;
    mica__jparser_advance(p);
    mica__jast *operand = parse_not(p), *node = operand ? mica__jast_new(p, JA_NOT, line) : NULL;
    p->depth--;
    if (!node) return NULL;
    node->a = operand;
    return mica__jast_done(p, node);
}

static mica__jast *parse_and(mica__jparser *p)
{
    mica__jast *left = parse_not(p);
    while (left && mica__jparser_is_name(p, "and")) {
        uint32_t line = p->token.line;
        mica__jparser_advance(p);
        left = binary(p, JA_AND, 0, line, left, parse_not(p));
    }
    return left;
}

static mica__jast *parse_or(mica__jparser *p)
{
    mica__jast *left = parse_and(p);
    while (left && mica__jparser_is_name(p, "or")) {
        uint32_t line = p->token.line;
        mica__jparser_advance(p);
        left = binary(p, JA_OR, 0, line, left, parse_and(p));
    }
    return left;
}

/* The operator at the current token if it is one of `ops` (pairs of operator text and mica__jop, ended by 0). */
static int operator_at(const mica__jparser *p, const uint16_t (*ops)[2])
{
    if (p->token.kind != JT_OPERATOR) return -1;
    for (; (*ops)[0]; ops++)
        if (p->token.op == (*ops)[0]) return (*ops)[1];
    return -1;
}

static mica__jast *parse_pow(mica__jparser *p)
{
    mica__jast *left = parse_unary(p, true);
    while (left && mica__jparser_is_op(p, JT_OP2('*', '*'))) {
        uint32_t line = p->token.line;
        mica__jparser_advance(p);
        left = binary(p, JA_BINARY, JO_POW, line, left, parse_unary(p, true));
    }
    return left;
}

static mica__jast *parse_product(mica__jparser *p)
{
    static const uint16_t ops[][2] = {
        {'*', JO_MUL}, {'/', JO_DIV}, {JT_OP2('/', '/'), JO_FLOORDIV}, {'%', JO_MOD}, {0, 0}};
    mica__jast *left = parse_pow(p);
    for (int op; left && (op = operator_at(p, ops)) >= 0;) {
        uint32_t line = p->token.line;
        mica__jparser_advance(p);
        left = binary(p, JA_BINARY, (uint8_t)op, line, left, parse_pow(p));
    }
    return left;
}

static mica__jast *parse_concat(mica__jparser *p)
{
    uint32_t line = p->token.line;
    mica__jast *first = parse_product(p);
    if (!first || !mica__jparser_is_op(p, '~')) return first;
    mica__jnodes list = {0};
    if (!mica__jnodes_add(p, &list, first)) return NULL;
    while (mica__jparser_skip_op(p, '~'))
        if (!mica__jnodes_add(p, &list, parse_product(p))) return NULL;
    return sequence(p, JA_CONCAT, line, list);
}

static mica__jast *parse_sum(mica__jparser *p)
{
    static const uint16_t ops[][2] = {{'+', JO_ADD}, {'-', JO_SUB}, {0, 0}};
    mica__jast *left = parse_concat(p);
    for (int op; left && (op = operator_at(p, ops)) >= 0;) {
        uint32_t line = p->token.line;
        mica__jparser_advance(p);
        left = binary(p, JA_BINARY, (uint8_t)op, line, left, parse_concat(p));
    }
    return left;
}

static int compare_operator(mica__jparser *p)
{
    static const uint16_t ops[][2] = {{JT_OP2('=', '='), JO_EQ},
                                      {JT_OP2('!', '='), JO_NE},
                                      {'<', JO_LT},
                                      {JT_OP2('<', '='), JO_LE},
                                      {'>', JO_GT},
                                      {JT_OP2('>', '='), JO_GE},
                                      {0, 0}};
    int op = operator_at(p, ops);
    if (op >= 0) {
        mica__jparser_advance(p);
        return op;
    }
    if (mica__jparser_skip_name(p, "in")) return JO_IN;
    if (mica__jparser_is_name(p, "not")) {
        const mica__jtoken *next = mica__jparser_look(p);
        if (next->kind == JT_NAME && mica__str_is(next->text, "in")) {
            mica__jparser_advance(p);
            mica__jparser_advance(p);
            return JO_NOT_IN;
        }
    }
    return -1;
}

static mica__jast *parse_compare(mica__jparser *p)
{
    uint32_t line = p->token.line;
    mica__jast *first = parse_sum(p);
    mica__jnodes list = {0};
    uint8_t *ops = NULL;
    size_t cap = 0;
    for (int op; first && (op = compare_operator(p)) >= 0;) {
        if (!list.n && !mica__jnodes_add(p, &list, first)) return NULL;
        if (list.n > cap) {
            uint8_t *grown = mica__jparser_alloc(p, cap * 2 + 2, 1);
            if (!grown) return NULL;
            if (cap) memcpy(grown, ops, cap);
            ops = grown;
            cap = cap * 2 + 2;
        }
        ops[list.n - 1] = (uint8_t)op;
        if (!mica__jnodes_add(p, &list, parse_sum(p))) return NULL;
    }
    if (p->status) return NULL;
    if (!list.n) return first;
    mica__jast *node = sequence(p, JA_COMPARE, line, list);
    if (node) node->ops = ops;
    return node;
}

/* ---- what follows a value ---- */

/* One index of a subscript: an expression or a slice. */
static mica__jast *parse_index(mica__jparser *p)
{
    uint32_t line = p->token.line;
    mica__jast *parts[3] = {0};
    if (!mica__jparser_is_op(p, ':')) {
        parts[0] = mica__jparse_expression(p);
        if (!parts[0] || !mica__jparser_is_op(p, ':')) return parts[0];
    }
    for (int i = 1; i < 3 && mica__jparser_skip_op(p, ':'); i++) {
        if (mica__jparser_is_op(p, ':') || mica__jparser_is_op(p, ']') || mica__jparser_is_op(p, ',')) continue;
        if (!(parts[i] = mica__jparse_expression(p))) return NULL;
    }
    mica__jast *node = mica__jast_new(p, JA_SLICE, line);
    if (!node) return NULL;
    node->b = parts[0];
    node->c = parts[1];
    node->d = parts[2];
    return mica__jast_done(p, node);
}

static mica__jast *parse_attribute(mica__jparser *p, mica__jast *object, uint32_t line)
{
    mica__jast *node = mica__jast_new(p, JA_ATTR, line);
    if (!node) return NULL;
    node->a = object;
    if (p->token.kind == JT_NAME) {
        node->value = mica__jparser_str(p, p->token.text);
        mica__jparser_advance(p);
        return mica__jast_done(p, node);
    }
    if (p->token.kind != JT_INT) return mica__jparser_fail(p, "expected a name or number after the dot");
    node->kind = JA_ITEM;
    node->b = parse_primary(p, false);
    return mica__jast_done(p, node);
}

static mica__jast *parse_subscript(mica__jparser *p, mica__jast *object)
{
    uint32_t line = p->token.line;
    bool is_dot = mica__jparser_is_op(p, '.');
    mica__jparser_advance(p);
    if (is_dot) return parse_attribute(p, object, line);
    mica__jnodes list = {0};
    while (!mica__jparser_is_op(p, ']')) {
        if (list.n && !mica__jparser_expect_op(p, ',')) return NULL;
        if (!mica__jnodes_add(p, &list, parse_index(p))) return NULL;
    }
    mica__jparser_advance(p);
    mica__jast *index = list.n == 1 ? list.items[0] : NULL;
    if (index && index->kind == JA_SLICE) {
        index->a = object;
        return mica__jast_done(p, index);
    }
    for (size_t i = 0; i < list.n && !index; i++)
        if (list.items[i]->kind == JA_SLICE) return mica__jparser_fail(p, "a slice cannot stand beside other indices");
    if (!index) index = sequence(p, JA_TUPLE, line, list);
    return binary(p, JA_ITEM, 0, line, object, index);
}

/* f(a, b, name=c, *d, **e) with the rules of Python for their order. */
static mica__jcall *parse_arguments(mica__jparser *p)
{
    mica__jcall *call = mica__jparser_alloc(p, 1, sizeof *call);
    mica__jnodes pos = {0}, named = {0};
    if (!call || !mica__jparser_expect_op(p, '(')) return NULL;
    size_t cap = 0;
    for (bool comma = false; !mica__jparser_is_op(p, ')'); comma = true) {
        if (comma && !mica__jparser_expect_op(p, ',')) return NULL;
        if (comma && mica__jparser_is_op(p, ')')) break;
        bool bad = false;
        if (mica__jparser_skip_op(p, '*')) {
            bad = call->star || call->star_star;
            if (!bad && !(call->star = mica__jparse_expression(p))) return NULL;
        } else if (mica__jparser_skip_op(p, JT_OP2('*', '*'))) {
            bad = call->star_star;
            if (!bad && !(call->star_star = mica__jparse_expression(p))) return NULL;
        } else if (p->token.kind == JT_NAME && mica__jparser_look(p)->kind == JT_OPERATOR &&
                   mica__jparser_look(p)->op == '=') {
            bad = call->star_star;
            mica__str name = p->token.text;
            for (size_t i = 0; i < named.n; i++)
                if (mica__str_eq(mica__jv_text(call->names[i]), name))
                    return mica__jparser_fail(p, "argument '%s' is given twice", MICA_QUOTED_STR(name));
            if (named.n == cap) {
                cap = cap ? cap * 2 : 4;
                mica__jv *grown = mica__jparser_alloc(p, cap, sizeof *grown);
                if (!grown) return NULL;
                if (named.n) memcpy(grown, call->names, named.n * sizeof *grown);
                call->names = grown;
            }
            call->names[named.n] = mica__jparser_str(p, name);
            mica__jparser_advance(p);
            mica__jparser_advance(p);
            if (!bad && !mica__jnodes_add(p, &named, mica__jparse_expression(p))) return NULL;
        } else {
            bad = call->star || call->star_star || named.n;
            if (!bad && !mica__jnodes_add(p, &pos, mica__jparse_expression(p))) return NULL;
        }
        if (bad) return mica__jparser_fail(p, "invalid order of arguments in this call");
    }
    mica__jparser_advance(p);
    if (named.n > 200) return mica__jparser_fail(p, "more than 200 named arguments in this call");
    call->pos = pos.items;
    call->n_pos = pos.n;
    call->named = named.items;
    call->n_named = named.n;
    return p->status ? NULL : call;
}

static mica__jast *parse_call(mica__jparser *p, mica__jast *callee)
{
    mica__jast *node = mica__jast_new(p, JA_CALL, p->token.line);
    if (!node) return NULL;
    node->a = callee;
    node->call = parse_arguments(p);
    return mica__jast_done(p, node);
}

static mica__jast *parse_postfix(mica__jparser *p, mica__jast *node)
{
    while (node) {
        if (mica__jparser_is_op(p, '.') || mica__jparser_is_op(p, '[')) {
            node = parse_subscript(p, node);
        } else if (mica__jparser_is_op(p, '(')) {
            node = parse_call(p, node);
        } else {
            break;
        }
    }
    return node;
}

/* A name with dots, as filters and tests may have. */
static mica__jv parse_dotted_name(mica__jparser *p)
{
    if (p->token.kind != JT_NAME) {
        mica__jparser_expect(p, JT_NAME, "a name");
        return JV_ERR;
    }
    mica__buf name = {.max = 256};
    mica__buf_append_str(&name, p->token.text);
    mica__jparser_advance(p);
    while (mica__jparser_skip_op(p, '.')) {
        if (p->token.kind != JT_NAME) {
            mica__jparser_expect(p, JT_NAME, "a name");
            break;
        }
        mica__buf_append_char(&name, '.');
        mica__buf_append_str(&name, p->token.text);
        mica__jparser_advance(p);
    }
    if (name.failed && !p->status) p->status = mica__buf_status(&name, p->err, "the name of a filter or test");
    mica__jv v = p->status ? JV_ERR : mica__jparser_str(p, mica__buf_str(&name));
    mica__buf_release(&name);
    return v;
}

mica__jast *mica__jparse_filters(mica__jparser *p, mica__jast *node, bool starts_inline)
{
    while (mica__jparser_is_op(p, '|') || starts_inline) {
        if (!starts_inline) mica__jparser_advance(p);
        starts_inline = false;
        mica__jast *filter = mica__jast_new(p, JA_FILTER, p->token.line);
        if (!filter) return NULL;
        filter->value = parse_dotted_name(p);
        if (filter->value.kind == JV_ERROR) return NULL;
        filter->builtin = mica__jfilter_find(mica__jv_text(filter->value));
        filter->a = node;
        filter->call =
            mica__jparser_is_op(p, '(') ? parse_arguments(p) : mica__jparser_alloc(p, 1, sizeof *filter->call);
        if (!(node = mica__jast_done(p, filter))) return NULL;
    }
    return node;
}

static mica__jcall *one_argument(mica__jparser *p)
{
    mica__jcall *call = mica__jparser_alloc(p, 1, sizeof *call);
    mica__jnodes list = {0};
    if (!call || !mica__jnodes_add(p, &list, parse_postfix(p, parse_primary(p, false)))) return NULL;
    call->pos = list.items;
    call->n_pos = 1;
    return call;
}

static mica__jast *parse_test(mica__jparser *p, mica__jast *value)
{
    mica__jast *test = mica__jast_new(p, JA_TEST, p->token.line);
    if (!test) return NULL;
    mica__jparser_advance(p);
    bool negated = mica__jparser_skip_name(p, "not");
    test->value = parse_dotted_name(p);
    if (test->value.kind == JV_ERROR) return NULL;
    test->builtin = mica__jtest_find(mica__jv_text(test->value));
    test->a = value;
    bool starts_value = p->token.kind == JT_NAME || p->token.kind == JT_STRING || p->token.kind == JT_INT ||
                        p->token.kind == JT_FLOAT || mica__jparser_is_op(p, '[') || mica__jparser_is_op(p, '{');
    if (mica__jparser_is_op(p, '(')) {
        test->call = parse_arguments(p);
    } else if (starts_value && !mica__jparser_is_name(p, "else") && !mica__jparser_is_name(p, "or") &&
               !mica__jparser_is_name(p, "and")) {
        if (mica__jparser_is_name(p, "is")) return mica__jparser_fail(p, "tests cannot be chained with 'is'");
        test->call = one_argument(p);
    } else {
        test->call = mica__jparser_alloc(p, 1, sizeof *test->call);
    }
    test = mica__jast_done(p, test);
    if (!test || !negated) return test;
    mica__jast *node = mica__jast_new(p, JA_NOT, test->line);
    if (!node) return NULL;
    node->a = test;
    return mica__jast_done(p, node);
}

static mica__jast *parse_filters_and_tests(mica__jparser *p, mica__jast *node)
{
    while (node) {
        if (mica__jparser_is_op(p, '|')) {
            node = mica__jparse_filters(p, node, false);
        } else if (mica__jparser_is_name(p, "is")) {
            node = parse_test(p, node);
        } else if (mica__jparser_is_op(p, '(')) {
            node = parse_call(p, node);
        } else {
            break;
        }
    }
    return node;
}

static mica__jast *parse_unary(mica__jparser *p, bool with_filter)
{
    mica__jast *node;
    if (mica__jparser_is_op(p, '-') || mica__jparser_is_op(p, '+')) {
        if (!enter(p)) return NULL;
        node = mica__jast_new(p, mica__jparser_is_op(p, '-') ? JA_NEGATE : JA_PLUS, p->token.line);
        mica__jparser_advance(p);
        if (node) node->a = parse_unary(p, false);
        node = node && node->a ? mica__jast_done(p, node) : NULL;
        p->depth--;
    } else {
        node = parse_primary(p, false);
    }
    node = parse_postfix(p, node);
    return with_filter ? parse_filters_and_tests(p, node) : node;
}

/* ---- values ---- */

static mica__jast *constant(mica__jparser *p, mica__jv value, uint32_t line)
{
    mica__jast *node = value.kind == JV_ERROR ? NULL : mica__jast_new(p, JA_CONST, line);
    if (!node) return NULL;
    node->value = value;
    return mica__jast_done(p, node);
}

static mica__jast *parse_name(mica__jparser *p, bool with_namespace)
{
    mica__jtoken t = p->token;
    mica__jparser_advance(p);
    bool is_true = mica__str_is(t.text, "true") || mica__str_is(t.text, "True");
    if (is_true || mica__str_is(t.text, "false") || mica__str_is(t.text, "False"))
        return constant(p, mica__jv_bool(is_true), t.line);
    if (mica__str_is(t.text, "none") || mica__str_is(t.text, "None")) return constant(p, JV_NULL, t.line);
    mica__jast *node = mica__jast_new(p, JA_NAME, t.line);
    if (!node) return NULL;
    node->value = mica__jparser_str(p, t.text);
    if (with_namespace && mica__jparser_skip_op(p, '.')) {
        node->kind = JA_NSREF;
        if (p->token.kind != JT_NAME) return mica__jparser_fail(p, "expected a name after the dot");
        node->a = mica__jast_new(p, JA_CONST, t.line);
        if (!node->a) return NULL;
        node->a->value = mica__jparser_str(p, p->token.text);
        mica__jparser_advance(p);
    }
    return mica__jast_done(p, node);
}

static mica__jast *parse_string(mica__jparser *p)
{
    uint32_t line = p->token.line;
    mica__str first = p->token.text;
    mica__jparser_advance(p);
    if (p->token.kind != JT_STRING) return constant(p, mica__jparser_str(p, first), line);
    mica__buf joined = {0};
    mica__buf_append_str(&joined, first);
    for (; p->token.kind == JT_STRING && !p->status; mica__jparser_advance(p))
        mica__buf_append_str(&joined, p->token.text);
    if (joined.failed) p->status = mica__buf_status(&joined, p->err, "a chat template");
    mica__jv v = p->status ? JV_ERR : mica__jparser_str(p, mica__buf_str(&joined));
    mica__buf_release(&joined);
    return constant(p, v, line);
}

static mica__jast *parse_number(mica__jparser *p)
{
    mica__jtoken t = p->token;
    mica__jv v;
    mica__jparser_advance(p);
    if (t.kind == JT_FLOAT) {
        v = mica__jv_float(0);
        mica__parse_double(t.text.p, t.text.n, &v.u.f);
    } else {
        v = mica__jparser_str(p, t.text);
        if (v.kind != JV_ERROR && !mica__jint_literal(t.text, &v))
            return mica__jparser_fail(p, "integer is beyond 64 bits");
    }
    return constant(p, v, t.line);
}

static mica__jast *parse_list(mica__jparser *p)
{
    uint32_t line = p->token.line;
    mica__jnodes list = {0};
    mica__jparser_advance(p);
    while (!mica__jparser_is_op(p, ']')) {
        if (list.n && !mica__jparser_expect_op(p, ',')) return NULL;
        if (mica__jparser_is_op(p, ']')) break;
        if (!mica__jnodes_add(p, &list, mica__jparse_expression(p))) return NULL;
    }
    mica__jparser_advance(p);
    return sequence(p, JA_LIST, line, list);
}

static mica__jast *parse_dict(mica__jparser *p)
{
    uint32_t line = p->token.line;
    mica__jnodes list = {0};
    mica__jparser_advance(p);
    while (!mica__jparser_is_op(p, '}')) {
        if (list.n && !mica__jparser_expect_op(p, ',')) return NULL;
        if (mica__jparser_is_op(p, '}')) break;
        if (!mica__jnodes_add(p, &list, mica__jparse_expression(p)) || !mica__jparser_expect_op(p, ':') ||
            !mica__jnodes_add(p, &list, mica__jparse_expression(p)))
            return NULL;
    }
    mica__jparser_advance(p);
    return sequence(p, JA_DICT, line, list);
}

static bool tuple_ends(const mica__jparser *p)
{
    return p->token.kind == JT_PRINT_END || p->token.kind == JT_BLOCK_END || mica__jparser_is_op(p, ')');
}

typedef struct tuple_mode {
    bool is_target, with_namespace, with_condition, in_parentheses;
} tuple_mode;

static mica__jast *parse_element(mica__jparser *p, tuple_mode mode)
{
    if (mode.is_target) return parse_primary(p, mode.with_namespace);
    if (mode.with_condition) return mica__jparse_expression(p);
    if (!enter(p)) return NULL;
    mica__jast *node = parse_or(p);
    p->depth--;
    return node;
}

/* One element, or a tuple if there is a comma. */
static mica__jast *tuple(mica__jparser *p, tuple_mode mode)
{
    uint32_t line = p->token.line;
    mica__jnodes list = {0};
    bool is_tuple = false;
    for (;;) {
        if (list.n && !mica__jparser_expect_op(p, ',')) return NULL;
        if (tuple_ends(p)) break;
        if (!mica__jnodes_add(p, &list, parse_element(p, mode))) return NULL;
        if (!mica__jparser_is_op(p, ',')) break;
        is_tuple = true;
    }
    if (!is_tuple && list.n) return list.items[0];
    if (!is_tuple && !mode.in_parentheses) {
        char buf[64];
        return mica__jparser_fail(p, "expected an expression, got '%s'", mica__jtoken_describe(&p->token, buf));
    }
    return sequence(p, JA_TUPLE, line, list);
}

mica__jast *mica__jparse_tuple(mica__jparser *p, bool with_condition)
{
    return tuple(p, (tuple_mode){.with_condition = with_condition});
}

static mica__jast *parse_primary(mica__jparser *p, bool with_namespace)
{
    char buf[64];
    mica__jast *node = NULL;
    if (!enter(p)) return NULL;
    if (p->token.kind == JT_NAME) {
        node = parse_name(p, with_namespace);
    } else if (p->token.kind == JT_STRING) {
        node = parse_string(p);
    } else if (p->token.kind == JT_INT || p->token.kind == JT_FLOAT) {
        node = parse_number(p);
    } else if (mica__jparser_skip_op(p, '(')) {
        node = tuple(p, (tuple_mode){.with_condition = true, .in_parentheses = true});
        if (node && !mica__jparser_expect_op(p, ')')) node = NULL;
    } else if (mica__jparser_is_op(p, '[')) {
        node = parse_list(p);
    } else if (mica__jparser_is_op(p, '{')) {
        node = parse_dict(p);
    } else {
        mica__jparser_fail(p, "unexpected '%s'", mica__jtoken_describe(&p->token, buf));
    }
    p->depth--;
    return node;
}

/* ---- targets ---- */

static bool can_assign(mica__jparser *p, const mica__jast *node)
{
    if (node->kind == JA_NAME || node->kind == JA_NSREF) return true;
    if (node->kind != JA_TUPLE) {
        mica__jparser_fail(p, "this cannot be assigned to");
        return false;
    }
    for (size_t i = 0; i < node->body.n; i++)
        if (!can_assign(p, node->body.items[i])) return false;
    return true;
}

mica__jast *mica__jparse_target(mica__jparser *p, bool with_namespace)
{
    mica__jast *node =
        tuple(p, (tuple_mode){.is_target = true, .with_namespace = with_namespace, .with_condition = true});
    return node && can_assign(p, node) ? node : NULL;
}

mica__jast *mica__jparse_name_target(mica__jparser *p)
{
    if (p->token.kind != JT_NAME) {
        mica__jparser_expect(p, JT_NAME, "a name");
        return NULL;
    }
    mica__jast *node = parse_name(p, false);
    if (node && node->kind != JA_NAME) return mica__jparser_fail(p, "a constant cannot be assigned to");
    return node;
}
