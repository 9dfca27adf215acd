/* text/jinja_parser.h: what the two halves of the parser (statements, expressions) share. */
#ifndef MICA_TEXT_JINJA_PARSER_H
#define MICA_TEXT_JINJA_PARSER_H

#include "jinja_ast.h"
#include "jinja_lex.h"

/* Deepest tree that is built: long chains such as a + b + c + ... count, too. */
#define MICA__JINJA_MAX_TREE 600

typedef struct mica__jparser {
    mica__jlex lex;
    mica__jtoken token, ahead;
    bool has_ahead;
    mica__arena *arena;
    unsigned depth;
    unsigned loops; /* enclosing loops of the function being parsed, for break and continue */
    mica_status status;
    mica_error *err;
} mica__jparser;

/* Records an error at the current token; the first one stays. Returns NULL. */
void *mica__jparser_fail(mica__jparser *p, const char *fmt, ...) MICA_PRINTF(2, 3);
void *mica__jparser_too_deep(mica__jparser *p);
void *mica__jparser_alloc(mica__jparser *p, size_t n, size_t size); /* zeroed; NULL: recorded */
void mica__jparser_advance(mica__jparser *p);
const mica__jtoken *mica__jparser_look(mica__jparser *p); /* the token after the current one */

static inline bool mica__jparser_is_op(const mica__jparser *p, uint16_t op)
{
    return p->token.kind == JT_OPERATOR && p->token.op == op;
}
static inline bool mica__jparser_is_name(const mica__jparser *p, const char *name)
{
    return p->token.kind == JT_NAME && mica__str_is(p->token.text, name);
}
bool mica__jparser_skip_op(mica__jparser *p, uint16_t op);
bool mica__jparser_skip_name(mica__jparser *p, const char *name);
bool mica__jparser_expect_op(mica__jparser *p, uint16_t op);
bool mica__jparser_expect_name(mica__jparser *p, const char *name);
bool mica__jparser_expect(mica__jparser *p, mica__jtoken_kind kind, const char *what);

mica__jast *mica__jast_new(mica__jparser *p, mica__jast_kind kind, uint32_t line);
/* Sets the depth of a node from its children; NULL if it is too deep (recorded) or one of them failed. */
mica__jast *mica__jast_done(mica__jparser *p, mica__jast *node);
mica__jv mica__jparser_str(mica__jparser *p, mica__str s); /* a constant string; JV_ERROR without memory */

typedef struct mica__jnodes {
    mica__jast **items;
    size_t n, cap;
} mica__jnodes;
bool mica__jnodes_add(mica__jparser *p, mica__jnodes *l, mica__jast *node); /* false for a NULL node */

/* Expressions. */
mica__jast *mica__jparse_expression(mica__jparser *p);
mica__jast *mica__jparse_tuple(mica__jparser *p, bool with_condition);
mica__jast *mica__jparse_filters(mica__jparser *p, mica__jast *node, bool starts_inline);
mica__jast *mica__jparse_target(mica__jparser *p, bool with_namespace);
mica__jast *mica__jparse_name_target(mica__jparser *p);

#endif
