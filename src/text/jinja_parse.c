/* text/jinja_parse.c: the parser's half for statements, and the tools both halves use.
 *
 * Errors latch: the first one is recorded with line and column, every function then returns NULL until the parser is out. */
#include "jinja.h"
#include "jinja_builtin.h"
#include "jinja_parser.h"
#include "jinja_scope.h"
#include <stdio.h>

/* ---- tools ---- */

void *mica__jparser_fail(mica__jparser *p, const char *fmt, ...)
{
    if (p->status) return NULL;
    char text[300];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    p->status =
        mica__fail(p->err, MICA_DATA, "chat template, line %u, column %u: %s", p->token.line, p->token.column, text);
    return NULL;
}

void *mica__jparser_too_deep(mica__jparser *p)
{
    if (!p->status)
        p->status = mica__fail(p->err, MICA_LIMIT, "chat template, line %u, column %u: nested deeper than %d",
                               p->token.line, p->token.column, MICA__JINJA_MAX_DEPTH);
    return NULL;
}

void *mica__jparser_alloc(mica__jparser *p, size_t n, size_t size)
{
    if (p->status) return NULL;
    void *block = mica__arena_calloc(p->arena, n, size);
    if (!block) p->status = mica__fail_memory(p->err, n * size, "a chat template");
    return block;
}

void mica__jparser_advance(mica__jparser *p)
{
    if (p->status) return;
    if (p->has_ahead) {
        p->token = p->ahead;
        p->has_ahead = false;
        return;
    }
    p->status = mica__jlex_next(&p->lex, &p->token);
    if (p->status) p->token.kind = JT_END;
}

const mica__jtoken *mica__jparser_look(mica__jparser *p)
{
    if (!p->has_ahead && !p->status) {
        p->status = mica__jlex_next(&p->lex, &p->ahead);
        if (p->status) p->ahead.kind = JT_END;
        p->has_ahead = true;
    }
    return &p->ahead;
}

bool mica__jparser_skip_op(mica__jparser *p, uint16_t op)
{
    if (p->status || !mica__jparser_is_op(p, op)) return false;
    mica__jparser_advance(p);
    return true;
}

bool mica__jparser_skip_name(mica__jparser *p, const char *name)
{
    if (p->status || !mica__jparser_is_name(p, name)) return false;
    mica__jparser_advance(p);
    return true;
}

static bool expected(mica__jparser *p, const char *what)
{
    char buf[64];
    mica__jparser_fail(p, "expected %s, got '%s'", what, mica__jtoken_describe(&p->token, buf));
    return false;
}

bool mica__jparser_expect_op(mica__jparser *p, uint16_t op)
{
    char what[8] = {'\'', (char)(op & 255), '\''};
    if (mica__jparser_skip_op(p, op)) return true;
    return expected(p, what);
}

bool mica__jparser_expect_name(mica__jparser *p, const char *name)
{
    char what[64];
    if (mica__jparser_skip_name(p, name)) return true;
    snprintf(what, sizeof what, "'%s'", name);
    return expected(p, what);
}

bool mica__jparser_expect(mica__jparser *p, mica__jtoken_kind kind, const char *what)
{
    if (p->status) return false;
    if (p->token.kind != kind) return expected(p, what);
    mica__jparser_advance(p);
    return true;
}

mica__jast *mica__jast_new(mica__jparser *p, mica__jast_kind kind, uint32_t line)
{
    mica__jast *node = mica__jparser_alloc(p, 1, sizeof *node);
    if (!node) return NULL;
    node->kind = (uint8_t)kind;
    node->line = line;
    node->value = JV_NULL;
    return node;
}

static void deepen(mica__jast *node, const mica__jast *child)
{
    if (child && child->depth >= node->depth) node->depth = (uint16_t)(child->depth + 1);
}

static void deepen_all(mica__jast *node, mica__jast *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++) deepen(node, items[i]);
}

mica__jast *mica__jast_done(mica__jparser *p, mica__jast *node)
{
    if (p->status || !node) return NULL;
    node->depth = 1;
    deepen(node, node->a);
    if (node->kind != JA_IF) deepen(node, node->b); /* elif is a chain, walked without recursion */
    deepen(node, node->c);
    deepen(node, node->d);
    deepen_all(node, node->body.items, node->body.n);
    deepen_all(node, node->other.items, node->other.n);
    if (node->call) {
        deepen_all(node, node->call->pos, node->call->n_pos);
        deepen_all(node, node->call->named, node->call->n_named);
        deepen(node, node->call->star);
        deepen(node, node->call->star_star);
    }
    if (node->loop) {
        deepen(node, node->loop->iterable);
        deepen(node, node->loop->test);
        deepen_all(node, node->loop->body.items, node->loop->body.n);
        deepen_all(node, node->loop->other.items, node->loop->other.n);
    }
    if (node->function) {
        deepen_all(node, node->function->defaults, node->function->n_defaults);
        deepen_all(node, node->function->body.items, node->function->body.n);
    }
    if (node->depth > MICA__JINJA_MAX_TREE) {
        p->status = mica__fail(p->err, MICA_LIMIT, "chat template, line %u: expression of more than %d parts",
                               node->line, MICA__JINJA_MAX_TREE);
        return NULL;
    }
    return node;
}

mica__jv mica__jparser_str(mica__jparser *p, mica__str s)
{
    mica__jstr *str = mica__jparser_alloc(p, 1, sizeof *str);
    char *copy = str ? mica__jparser_alloc(p, s.n + 1, 1) : NULL;
    if (!copy) return JV_ERR;
    if (s.n) memcpy(copy, s.p, s.n);
    *str = (mica__jstr){.p = copy, .n = s.n, .chars = SIZE_MAX, .hash = mica__hash(copy, s.n) | 1};
    mica__jv v = {.kind = JV_STR, .u.str = str};
    mica__jv_chars(v);
    return v;
}

bool mica__jnodes_add(mica__jparser *p, mica__jnodes *l, mica__jast *node)
{
    if (p->status || !node) return false;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 4;
        mica__jast **grown = mica__jparser_alloc(p, cap, sizeof(mica__jast *));
        if (!grown) return false;
        if (l->n) memcpy(grown, l->items, l->n * sizeof(mica__jast *));
        l->items = grown;
        l->cap = cap;
    }
    l->items[l->n++] = node;
    return true;
}

/* ---- statements ---- */

static mica__jast *parse_statement(mica__jparser *p);

/* The tag that opened what is being parsed, for messages about what is missing. */
typedef struct open_tag {
    const char *name;
    uint32_t line;
} open_tag;

static bool at_end(const mica__jparser *p, const char *const *ends)
{
    for (; *ends; ends++)
        if (mica__jparser_is_name(p, *ends)) return true;
    return false;
}

/* Statements and text up to a tag that starts with one of `ends` (the tag's name is the current token), or to the end of the
 * template if `ends` is NULL. */
static bool parse_body(mica__jparser *p, const char *const *ends, open_tag open, mica__jbody *out)
{
    mica__jnodes list = {0};
    while (!p->status) {
        mica__jast *node = NULL;
        if (p->token.kind == JT_END) {
            if (ends)
                mica__jparser_fail(p, "the template ends inside of '%s' of line %u, expected '%s'", open.name,
                                   open.line, ends[0]);
            break;
        }
        uint32_t line = p->token.line;
        if (p->token.kind == JT_DATA) {
            if ((node = mica__jast_new(p, JA_DATA, line))) node->value = mica__jparser_str(p, p->token.text);
            node = mica__jast_done(p, node);
            mica__jparser_advance(p);
        } else if (p->token.kind == JT_PRINT_BEGIN) {
            mica__jparser_advance(p);
            mica__jnodes one = {0};
            if (mica__jnodes_add(p, &one, mica__jparse_tuple(p, true)) && (node = mica__jast_new(p, JA_PRINT, line))) {
                node->body = (mica__jbody){one.items, 1};
                node = mica__jast_done(p, node);
            }
            mica__jparser_expect(p, JT_PRINT_END, "end of print statement");
        } else {
            mica__jparser_advance(p);
            if (ends && at_end(p, ends)) break;
            node = parse_statement(p);
            mica__jparser_expect(p, JT_BLOCK_END, "end of statement block");
        }
        if (!mica__jnodes_add(p, &list, node)) return false;
    }
    *out = (mica__jbody){list.items, list.n};
    return !p->status;
}

/* The rest of an opening tag, then the body. */
static bool parse_block(mica__jparser *p, const char *const *ends, open_tag open, mica__jbody *out)
{
    mica__jparser_skip_op(p, ':');
    return mica__jparser_expect(p, JT_BLOCK_END, "end of statement block") && parse_body(p, ends, open, out);
}

/* A body that only `end` ends; the end tag's name is consumed. */
static bool parse_whole_block(mica__jparser *p, const char *end, open_tag open, mica__jbody *out)
{
    const char *const ends[] = {end, NULL};
    if (!parse_block(p, ends, open, out)) return false;
    mica__jparser_advance(p);
    return !p->status;
}

static mica__jast *parse_set(mica__jparser *p, uint32_t line)
{
    mica__jast *node = mica__jast_new(p, JA_SET, line);
    if (!node || !(node->a = mica__jparse_target(p, true))) return NULL;
    if (mica__jparser_skip_op(p, '=')) {
        if (!(node->b = mica__jparse_tuple(p, true))) return NULL;
        return mica__jast_done(p, node);
    }
    node->kind = JA_SET_BLOCK;
    node->b = mica__jparse_filters(p, NULL, false);
    if (!parse_whole_block(p, "endset", (open_tag){"set", line}, &node->body)) return NULL;
    return mica__jast_done(p, node);
}

static mica__jast *parse_if(mica__jparser *p, uint32_t line)
{
    static const char *const ends[] = {"endif", "elif", "else", NULL};
    open_tag open = {"if", line};
    mica__jast *first = mica__jast_new(p, JA_IF, line), *node = first;
    if (!first) return NULL;
    for (;;) {
        if (!(node->a = mica__jparse_tuple(p, false)) || !parse_block(p, ends, open, &node->body)) return NULL;
        uint32_t next_line = p->token.line;
        if (mica__jparser_skip_name(p, "elif")) {
            mica__jast *next = mica__jast_new(p, JA_IF, next_line);
            if (!next || !mica__jast_done(p, node)) return NULL;
            if (node != first && node->depth > first->depth) first->depth = node->depth;
            node->b = next;
            node = next;
            continue;
        }
        if (mica__jparser_skip_name(p, "else")) {
            if (!parse_whole_block(p, "endif", open, &node->other)) return NULL;
        } else {
            mica__jparser_advance(p);
        }
        break;
    }
    if (!mica__jast_done(p, node)) return NULL;
    uint16_t depth = first->depth;
    for (mica__jast *n = first; n; n = n->b)
        if (n->depth > depth) depth = n->depth;
    first->depth = depth;
    return p->status ? NULL : first;
}

static mica__jast *parse_for(mica__jparser *p, uint32_t line)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    open_tag open = {"for", line};
    mica__jast *node = mica__jast_new(p, JA_FOR, line);
    mica__jfor *loop = mica__jparser_alloc(p, 1, sizeof *loop);
    if (!node || !loop) return NULL;
    node->loop = loop;
    if (!(loop->target = mica__jparse_target(p, false)) || !mica__jparser_expect_name(p, "in")) return NULL;
    if (!(loop->iterable = mica__jparse_tuple(p, false))) return NULL;
    if (mica__jparser_skip_name(p, "if") && !(loop->test = mica__jparse_expression(p))) return NULL;
    loop->is_recursive = mica__jparser_skip_name(p, "recursive");
    unsigned outside = p->loops;
    p->loops = loop->is_recursive ? 1 : outside + 1;
    bool ok = parse_block(p, ends, open, &loop->body);
    p->loops = loop->is_recursive ? 0 : outside;
    if (!ok) return NULL;
    if (mica__jparser_skip_name(p, "else")) {
        ok = parse_whole_block(p, "endfor", open, &loop->other);
    } else {
        mica__jparser_advance(p);
    }
    p->loops = outside;
    return ok ? mica__jast_done(p, node) : NULL;
}

/* (a, b=1): into `f`. */
static bool parse_signature(mica__jparser *p, mica__jfunction *f)
{
    mica__jnodes args = {0}, defaults = {0};
    if (!mica__jparser_expect_op(p, '(')) return false;
    while (!mica__jparser_is_op(p, ')')) {
        if (args.n && !mica__jparser_expect_op(p, ',')) return false;
        mica__jast *arg = mica__jparse_name_target(p);
        if (!arg) return false;
        for (size_t i = 0; i < args.n; i++)
            if (mica__str_eq(mica__jv_text(args.items[i]->value), mica__jv_text(arg->value)))
                return mica__jparser_fail(p, "argument '%s' is there twice",
                                          MICA_QUOTED_STR(mica__jv_text(arg->value))),
                       false;
        if (mica__jparser_skip_op(p, '=')) {
            if (!mica__jnodes_add(p, &defaults, mica__jparse_expression(p))) return false;
        } else if (defaults.n) {
            return mica__jparser_fail(p, "an argument without default follows one with a default"), false;
        }
        if (!mica__jnodes_add(p, &args, arg)) return false;
        if (args.n > 200) return mica__jparser_fail(p, "more than 200 arguments"), false;
    }
    mica__jparser_advance(p);
    f->args = args.items;
    f->n_args = args.n;
    f->defaults = defaults.items;
    f->n_defaults = defaults.n;
    return !p->status;
}

/* The body of a function: loops outside cannot be left from in here. */
static bool parse_function_body(mica__jparser *p, const char *end, open_tag open, mica__jfunction *f)
{
    unsigned outside = p->loops;
    p->loops = 0;
    bool ok = parse_whole_block(p, end, open, &f->body);
    p->loops = outside;
    return ok;
}

static mica__jast *parse_macro(mica__jparser *p, uint32_t line)
{
    mica__jast *node = mica__jast_new(p, JA_MACRO, line);
    mica__jfunction *f = mica__jparser_alloc(p, 1, sizeof *f);
    if (!node || !f || !(node->a = mica__jparse_name_target(p))) return NULL;
    node->function = f;
    f->name = node->a->value;
    if (!parse_signature(p, f) || !parse_function_body(p, "endmacro", (open_tag){"macro", line}, f)) return NULL;
    return mica__jast_done(p, node);
}

static mica__jast *parse_call_block(mica__jparser *p, uint32_t line)
{
    mica__jast *node = mica__jast_new(p, JA_CALL_BLOCK, line);
    mica__jfunction *f = mica__jparser_alloc(p, 1, sizeof *f);
    if (!node || !f) return NULL;
    node->function = f;
    f->name = JV_NULL;
    if (mica__jparser_is_op(p, '(') && !parse_signature(p, f)) return NULL;
    if (!(node->a = mica__jparse_expression(p))) return NULL;
    if (node->a->kind != JA_CALL) return mica__jparser_fail(p, "a call block needs a call");
    if (!parse_function_body(p, "endcall", (open_tag){"call", line}, f)) return NULL;
    return mica__jast_done(p, node);
}

static mica__jast *parse_generation(mica__jparser *p, uint32_t line)
{
    mica__jast *node = mica__jast_new(p, JA_CALL_BLOCK, line);
    mica__jfunction *f = mica__jparser_alloc(p, 1, sizeof *f);
    if (!node || !f) return NULL;
    node->function = f;
    f->name = JV_NULL;
    if (!parse_function_body(p, "endgeneration", (open_tag){"generation", line}, f)) return NULL;
    return mica__jast_done(p, node);
}

static mica__jast *parse_filter_block(mica__jparser *p, uint32_t line)
{
    mica__jast *node = mica__jast_new(p, JA_FILTER_BLOCK, line);
    if (!node || !(node->b = mica__jparse_filters(p, NULL, true))) return NULL;
    if (!parse_whole_block(p, "endfilter", (open_tag){"filter", line}, &node->body)) return NULL;
    return mica__jast_done(p, node);
}

static mica__jast *parse_with(mica__jparser *p, uint32_t line)
{
    mica__jast *node = mica__jast_new(p, JA_WITH, line);
    mica__jnodes list = {0};
    if (!node) return NULL;
    while (p->token.kind != JT_BLOCK_END) {
        if (list.n && !mica__jparser_expect_op(p, ',')) return NULL;
        if (!mica__jnodes_add(p, &list, mica__jparse_target(p, false)) || !mica__jparser_expect_op(p, '=') ||
            !mica__jnodes_add(p, &list, mica__jparse_expression(p)))
            return NULL;
    }
    node->other = (mica__jbody){list.items, list.n};
    if (!parse_whole_block(p, "endwith", (open_tag){"with", line}, &node->body)) return NULL;
    return mica__jast_done(p, node);
}

static mica__jast *parse_autoescape(mica__jparser *p, uint32_t line)
{
    mica__jast *node = mica__jast_new(p, JA_AUTOESCAPE, line);
    if (!node || !(node->a = mica__jparse_expression(p))) return NULL;
    if (!parse_whole_block(p, "endautoescape", (open_tag){"autoescape", line}, &node->body)) return NULL;
    return mica__jast_done(p, node);
}

static mica__jast *parse_print(mica__jparser *p, uint32_t line)
{
    mica__jast *node = mica__jast_new(p, JA_PRINT, line);
    mica__jnodes list = {0};
    if (!node) return NULL;
    while (p->token.kind != JT_BLOCK_END) {
        if (list.n && !mica__jparser_expect_op(p, ',')) return NULL;
        if (!mica__jnodes_add(p, &list, mica__jparse_expression(p))) return NULL;
    }
    node->body = (mica__jbody){list.items, list.n};
    return mica__jast_done(p, node);
}

static mica__jast *parse_break(mica__jparser *p, uint32_t line, mica__jast_kind kind)
{
    if (!p->loops) return mica__jparser_fail(p, "'%s' outside of a loop", kind == JA_BREAK ? "break" : "continue");
    mica__jparser_advance(p);
    return mica__jast_done(p, mica__jast_new(p, kind, line));
}

static mica__jast *parse_named_block(mica__jparser *p, uint32_t line)
{
    mica__jast *node = mica__jast_new(p, JA_BLOCK, line);
    mica__jfunction *f = mica__jparser_alloc(p, 1, sizeof *f);
    if (!node || !f || !(node->a = mica__jparse_name_target(p))) return NULL;
    node->function = f;
    f->name = JV_NULL;
    node->op = mica__jparser_skip_name(p, "scoped");
    if (mica__jparser_is_name(p, "required")) return mica__jparser_fail(p, "a required block needs other templates");
    if (!parse_function_body(p, "endblock", (open_tag){"block", line}, f)) return NULL;
    if (p->token.kind == JT_NAME && mica__str_eq(p->token.text, mica__jv_text(node->a->value)))
        mica__jparser_advance(p);
    return mica__jast_done(p, node);
}

/* Tags that need other templates. There are none, so they fail, but only when they are reached. */
static mica__jast *parse_forbidden(mica__jparser *p, uint32_t line, const char *name)
{
    mica__jast *node = mica__jast_new(p, JA_FORBIDDEN, line);
    if (!node) return NULL;
    node->value = mica__jparser_str(p, mica__str_from(name));
    while (p->token.kind != JT_BLOCK_END && p->token.kind != JT_END && !p->status) mica__jparser_advance(p);
    return mica__jast_done(p, node);
}

static mica__jast *statement_of(mica__jparser *p, mica__str tag, uint32_t line)
{
    static const struct {
        const char *tag;
        mica__jast *(*parse)(mica__jparser *p, uint32_t line);
    } tags[] = {{"set", parse_set},
                {"if", parse_if},
                {"for", parse_for},
                {"macro", parse_macro},
                {"call", parse_call_block},
                {"with", parse_with},
                {"filter", parse_filter_block},
                {"print", parse_print},
                {"generation", parse_generation},
                {"autoescape", parse_autoescape},
                {"block", parse_named_block}};
    static const char *const forbidden[] = {"include", "import", "from", "extends"};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        if (!mica__jparser_skip_name(p, tags[i].tag)) continue;
        return tags[i].parse(p, line);
    }
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
        if (!mica__jparser_skip_name(p, forbidden[i])) continue;
        return parse_forbidden(p, line, forbidden[i]);
    }
    if (mica__str_is(tag, "break") || mica__str_is(tag, "continue"))
        return parse_break(p, line, mica__str_is(tag, "break") ? JA_BREAK : JA_CONTINUE);
    return mica__jparser_fail(p, "unknown tag '%s'", MICA_QUOTED_STR(tag));
}

static mica__jast *parse_statement(mica__jparser *p)
{
    if (p->status) return NULL;
    if (p->token.kind != JT_NAME) {
        expected(p, "the name of a tag");
        return NULL;
    }
    if (p->depth >= MICA__JINJA_MAX_DEPTH) return mica__jparser_too_deep(p);
    p->depth++;
    mica__jtoken tag = p->token;
    mica__jast *node = statement_of(p, tag.text, tag.line);
    p->depth--;
    return node;
}

mica_status mica__jinja_parse(mica__jinja *out, const char *source, size_t n, mica_error *err)
{
    *out = (mica__jinja){0};
    if (n > MICA__JINJA_MAX_SOURCE)
        return mica__fail(err, MICA_LIMIT, "chat template: %zu bytes, limit is %u", n, MICA__JINJA_MAX_SOURCE);
    mica__jparser p = {.arena = &out->arena, .err = err};
    p.status = mica__jlex_init(&p.lex, &out->arena, source, n, err);
    mica__jparser_advance(&p);
    parse_body(&p, NULL, (open_tag){0}, &out->body);
    if (!p.status) p.status = mica__jscope_resolve(out, err);
    if (p.status) mica__jinja_release(out);
    return p.status;
}

void mica__jinja_release(mica__jinja *t)
{
    mica__arena_release(&t->arena);
    *t = (mica__jinja){0};
}
