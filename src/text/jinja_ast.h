/* text/jinja_ast.h: a parsed template.
 *
 * The tree is made once, by the parser; the scope pass then gives every name its place. Names work as in Jinja: each function
 * (the template, a macro, a call block, a recursive loop) has numbered slots; a scope inside it (a loop body, a `with`, a set
 * block) owns some of them and says in `loads` what they hold when the scope is entered. A name node knows how many functions
 * outwards its slot lies. After that the tree never changes and any number of threads may evaluate it. */
#ifndef MICA_TEXT_JINJA_AST_H
#define MICA_TEXT_JINJA_AST_H

#include "jinja_value.h"

typedef enum mica__jast_kind {
    /* expressions */
    JA_CONST,
    JA_NAME,
    JA_NSREF, /* target only: name.attr */
    JA_TUPLE,
    JA_LIST,
    JA_DICT, /* items: key, value, key, value ... */
    JA_CONCAT,
    JA_BINARY, /* op: one of mica__jop */
    JA_AND,
    JA_OR,
    JA_NOT,
    JA_NEGATE,
    JA_PLUS,
    JA_COMPARE, /* items: operands; ops[i] between items[i] and items[i + 1] */
    JA_ATTR,    /* a.name */
    JA_ITEM,    /* a[b] */
    JA_SLICE,   /* a[b:c:d] */
    JA_COND,    /* a if b else c (c may be NULL) */
    JA_CALL,    /* a(args) */
    JA_FILTER,  /* a|name(args); a NULL: the text of the enclosing block */
    JA_TEST,    /* a is name(args) */
    /* statements */
    JA_DATA,
    JA_PRINT, /* items */
    JA_IF,    /* a: test, body; b: the next elif (a JA_IF) or NULL; other: else */
    JA_FOR,
    JA_SET,       /* a: target, b: value */
    JA_SET_BLOCK, /* a: target, b: filter or NULL, body */
    JA_MACRO,
    JA_CALL_BLOCK, /* a: the call, or NULL for a generation block */
    JA_BLOCK,      /* a named block; there is no inheritance, so it stands for its body; op 1: scoped */
    JA_FILTER_BLOCK,
    JA_WITH, /* items: target, value, target, value ... */
    JA_AUTOESCAPE,
    JA_BREAK,
    JA_CONTINUE,
    JA_FORBIDDEN, /* include, extends ...: an error when it is reached */
} mica__jast_kind;

typedef enum mica__jop {
    JO_ADD,
    JO_SUB,
    JO_MUL,
    JO_DIV,
    JO_FLOORDIV,
    JO_MOD,
    JO_POW,
    JO_EQ,
    JO_NE,
    JO_LT,
    JO_LE,
    JO_GT,
    JO_GE,
    JO_IN,
    JO_NOT_IN,
} mica__jop;

typedef struct mica__jast mica__jast;

typedef struct mica__jbody {
    mica__jast **items;
    size_t n;
} mica__jbody;

/* Call arguments as written: positions, then names; *list and **dict may be NULL. */
typedef struct mica__jcall {
    mica__jast **pos;
    size_t n_pos;
    mica__jv *names; /* strings, [n_named] */
    mica__jast **named;
    size_t n_named;
    mica__jast *star, *star_star;
} mica__jcall;

typedef struct mica__jref {
    uint32_t up, slot; /* `up` functions outwards */
} mica__jref;

typedef enum mica__jload_kind { JL_PARAMETER, JL_RESOLVE, JL_ALIAS, JL_UNDEFINED } mica__jload_kind;
typedef struct mica__jload {
    mica__jload_kind kind;
    uint32_t slot;
    mica__jref from; /* JL_ALIAS */
    mica__jv name;   /* JL_RESOLVE */
} mica__jload;

typedef struct mica__jscope {
    mica__jload *loads;
    size_t n;
} mica__jscope;

/* What a macro, a call block or a recursive loop is when it is called. */
typedef struct mica__jfunction {
    uint32_t n_slots;
    mica__jscope scope;
    mica__jv name;         /* JV_NONE: anonymous */
    mica__jast **args;     /* JA_NAME, [n_args] */
    mica__jast **defaults; /* of the last n_defaults arguments */
    size_t n_args, n_defaults;
    bool takes_caller, takes_kwargs, takes_varargs; /* beyond the arguments, because the body mentions them */
    mica__jref caller, kwargs, varargs;
    mica__jbody body;
} mica__jfunction;

typedef struct mica__jfor {
    mica__jast *target, *iterable, *test; /* test may be NULL */
    mica__jbody body, other;
    bool is_recursive, uses_loop;
    mica__jref loop; /* slot of the variable `loop` */
    mica__jscope scope, other_scope, test_scope;
    mica__jast *test_target;        /* the target's names in the test's own function */
    uint32_t n_slots, n_test_slots; /* of the function of a recursive loop, and of the test's */
} mica__jfor;

struct mica__jast {
    uint8_t kind, op;
    uint16_t depth; /* of the tree below, itself included */
    uint32_t line;
    mica__jv value; /* constant, name, attribute, data, name of filter or test */
    mica__jref ref; /* of a name */
    mica__jast *a, *b, *c, *d;
    mica__jbody body, other;              /* items of expressions are `body` */
    const uint8_t *ops;                   /* JA_COMPARE */
    mica__jcall *call;                    /* JA_CALL, JA_FILTER, JA_TEST */
    const struct mica__jbuiltin *builtin; /* filter or test; NULL: unknown */
    mica__jfor *loop;
    mica__jfunction *function; /* macro, call block */
    mica__jscope scope;        /* of set, filter and with blocks, autoescape */
};

/* A parsed template. Everything lives in the arena. */
typedef struct mica__jinja {
    mica__arena arena;
    mica__jbody body;
    mica__jscope scope;
    uint32_t n_slots;
} mica__jinja;

#endif
