/* text/jinja_builtin.h: filters, tests, global functions and methods, found by name.
 *
 * A builtin says its parameters in one string, so that binding arguments is done once for all: "chars=" is optional (it is
 * JV_MISSING when not given), "width" is required, "/" at the start forbids naming them, "*" at the end takes anything, which
 * the function then finds in `raw`. */
#ifndef MICA_TEXT_JINJA_BUILTIN_H
#define MICA_TEXT_JINJA_BUILTIN_H

#include "jinja_value.h"

/* Evaluated call arguments. */
typedef struct mica__jargs {
    mica__jv *pos;
    size_t n_pos;
    mica__jv *names, *named; /* [n_named] */
    size_t n_named;
} mica__jargs;

#define MICA__JINJA_MAX_PARAMS 8

/* self: the value that is filtered, tested, or whose method it is. a: the parameters in order. */
typedef mica__jv mica__jbuiltin_fn(mica__jin *j, mica__jv self, const mica__jargs *raw, mica__jv *a);

typedef struct mica__jbuiltin {
    const char *name, *params;
    mica__jbuiltin_fn *call;
    bool is_class;
} mica__jbuiltin;

const mica__jbuiltin *mica__jfilter_find(mica__str name);
const mica__jbuiltin *mica__jtest_find(mica__str name);
const mica__jbuiltin *mica__jglobal_find(mica__str name);
/* The method of this value's type, NULL if it has none of that name. */
const mica__jbuiltin *mica__jmethod_find(mica__jv self, mica__str name);

/* Tables of the two filter files; each ends with a NULL name. */
extern const mica__jbuiltin mica__jfilters_text[], mica__jfilters_seq[];
const mica__jbuiltin *mica__jbuiltin_in(const mica__jbuiltin *table, mica__str name);

mica__jv mica__jbuiltin_call(mica__jin *j, const mica__jbuiltin *b, mica__jv self, const mica__jargs *args);
mica__jv mica__jmethod_bind(mica__jin *j, mica__jv self, const mica__jbuiltin *fn);

/* Argument conversions; false: error recorded. A missing argument leaves *out as it is. */
bool mica__jarg_int(mica__jin *j, mica__jv v, int64_t *out);
bool mica__jarg_bool(mica__jin *j, mica__jv v, bool *out);
bool mica__jarg_text(mica__jin *j, mica__jv v, mica__str *out); /* only a str */

/* An integer as written in a template: decimal, 0x, 0o, 0b. *v holds the text as a string and becomes JV_INT, or JV_BIG for
 * decimals beyond 64 bits; false for other forms beyond 64 bits. */
bool mica__jint_literal(mica__str text, mica__jv *v);

#endif
