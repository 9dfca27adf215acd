/* text/jinja_eval.h: what evaluation is made of: calls, attributes, operators, iteration, text forms. */
#ifndef MICA_TEXT_JINJA_EVAL_H
#define MICA_TEXT_JINJA_EVAL_H

#include "jinja.h"
#include "jinja_builtin.h"

/* The variables of one running function. A macro keeps those of the function that made it. */
typedef struct mica__jact {
    struct mica__jact *outer;
    mica__jv *slots;
} mica__jact;

typedef struct mica__jmacro {
    const mica__jfunction *f;
    mica__jact *outer;
} mica__jmacro;

typedef struct mica__jiter {
    /* 1: *out set; 0: at the end; -1: error recorded. */
    int (*next)(mica__jin *j, struct mica__jiter *it, mica__jv *out);
    const char *type_name;
    mica__jv source;
    size_t at;
    struct mica__jiter *inner; /* what it draws from, if that is an iterator, too */
    void *state;
    bool makes_values; /* keeps or makes values in the heap when it moves */
    bool is_done;
} mica__jiter;

typedef struct mica__jloop {
    mica__jv iterable;
    mica__jiter *iter;
    mica__jv current, before, after; /* after: looked at, not yet reached */
    mica__jv changed;                /* arguments of the last changed(), as a tuple */
    int64_t index0, length;          /* -1: before the first; not known */
    int64_t depth0;
    const mica__jast *node; /* of a recursive loop */
    mica__jact *outer;
} mica__jloop;

typedef struct mica__jmethod {
    mica__jv self;
    const mica__jbuiltin *fn;
} mica__jmethod;

/* ---- evaluation (jinja_eval.c, jinja_call.c) ---- */

typedef enum mica__jflow { JF_NEXT, JF_BREAK, JF_CONTINUE, JF_ERROR } mica__jflow;

mica__jv mica__jin_eval(mica__jin *j, mica__jact *act, const mica__jast *node);
mica__jflow mica__jin_exec(mica__jin *j, mica__jact *act, mica__jbody body);
void mica__jin_enter_scope(mica__jin *j, mica__jact *act, const mica__jscope *scope);
void mica__jin_leave_scope(mica__jact *act, const mica__jscope *scope);
mica__jact *mica__jact_new(mica__jin *j, mica__jact *outer, uint32_t n_slots);
static inline mica__jv *mica__jact_slot(mica__jact *act, mica__jref ref)
{
    for (uint32_t i = 0; i < ref.up; i++) act = act->outer;
    return &act->slots[ref.slot];
}

bool mica__jin_args(mica__jin *j, mica__jact *act, const mica__jcall *call, mica__jargs *out);
mica__jv mica__jin_call(mica__jin *j, mica__jv callee, const mica__jargs *args);
mica__jv mica__jin_run_loop(mica__jin *j, mica__jact *outer, const mica__jast *node, mica__jv iterable, int64_t depth0);
mica__jflow mica__jin_loop_body(mica__jin *j, mica__jact *act, mica__jact *outer, const mica__jast *node,
                                mica__jv iterable, int64_t depth0);
mica__jv mica__jin_eval_block_filter(mica__jin *j, mica__jact *act, const mica__jast *filter, mica__jv text);
bool mica__jin_assign(mica__jin *j, mica__jact *act, const mica__jast *target, mica__jv value);
/* Text captured since the output was `from` bytes long, taken off. */
size_t mica__jin_capture(mica__jin *j);
mica__jv mica__jin_captured(mica__jin *j, size_t from);

/* ---- loops (jinja_loop.c) ---- */

mica__jloop *mica__jloop_new(mica__jin *j, mica__jv iterable, mica__jiter *iter, int64_t depth0);
int mica__jloop_next(mica__jin *j, mica__jloop *l, mica__jv *out);
int64_t mica__jloop_length(mica__jin *j, mica__jloop *l); /* -1: error */
/* Attributes of loop, macro, cycler, joiner ...; JV_MISSING if there is none of that name. */
mica__jv mica__jloop_attr(mica__jin *j, mica__jloop *l, mica__str name);

/* ---- operators (jinja_ops.c, jinja_attr.c) ---- */

mica__jv mica__jv_attr(mica__jin *j, mica__jv object, mica__jv name); /* object.name */
mica__jv mica__jv_item(mica__jin *j, mica__jv object, mica__jv key);  /* object[key] */
mica__jv mica__jv_slice(mica__jin *j, mica__jv object, mica__jv start, mica__jv stop, mica__jv step);
mica__jv mica__jv_binary(mica__jin *j, mica__jop op, mica__jv a, mica__jv b);
mica__jv mica__jv_negate(mica__jin *j, mica__jv v, bool negate);
int mica__jv_contains(mica__jin *j, mica__jv container, mica__jv item); /* 1, 0 or -1 */
int64_t mica__jv_length(mica__jin *j, mica__jv v);                      /* -1: error recorded */
bool mica__jv_has_length(mica__jv v);

/* ---- iteration (jinja_iter.c) ---- */

mica__jiter *mica__jiter_new(mica__jin *j, mica__jv v); /* NULL: error recorded */
mica__jiter *mica__jiter_make(mica__jin *j, const char *type_name, int (*next)(mica__jin *, mica__jiter *, mica__jv *),
                              mica__jv source, void *state);
mica__jv mica__jiter_value(mica__jiter *it);
int mica__jiter_next(mica__jin *j, mica__jiter *it, mica__jv *out);
const char *mica__jiter_type_name(const mica__jiter *it);
bool mica__jv_is_iterable(mica__jv v);
bool mica__jv_collect(mica__jin *j, mica__jv v, mica__jitems *out); /* list(v) */
mica__jv mica__jv_reversed(mica__jin *j, mica__jv v);               /* JV_MISSING if it has no order to reverse */

/* ---- text forms (jinja_repr.c, jinja_pprint.c, jinja_json.c, jinja_format.c, jinja_number.c) ---- */

mica__jv mica__jv_to_str(mica__jin *j, mica__jv v);   /* str(v): a plain str */
mica__jv mica__jv_soft_str(mica__jin *j, mica__jv v); /* the same, but Markup stays Markup */
mica__jv mica__jv_pprint(mica__jin *j, mica__jv v);
mica__jv mica__jv_repr(mica__jin *j, mica__jv v);
void mica__jtext_repr(mica__jtext *t, mica__jv v);
void mica__jtext_repr_string(mica__jtext *t, mica__str s);
mica__jv mica__jv_escape(mica__jin *j, mica__jv v); /* Markup, & < > " ' replaced unless it is Markup already */

typedef struct mica__jdump {
    bool ascii, sort_keys, has_indent;
    mica__str indent, item_separator, key_separator;
} mica__jdump;
mica__jv mica__jv_dump(mica__jin *j, mica__jv v, const mica__jdump *how);

mica__jv mica__jv_percent(mica__jin *j, mica__jv format, mica__jv values); /* format % values */
/* format.format(*pos, **named), or format_map if mapping is a dict. */
mica__jv mica__jv_format(mica__jin *j, mica__jv format, const mica__jargs *args, mica__jv mapping);
mica__jv mica__jv_format_spec(mica__jin *j, mica__jv v, mica__str spec); /* format(v, spec) */
/* Numbers in fixed, exponent or general notation as Python prints them; type one of e E f F g G %. */
void mica__jtext_double(mica__jtext *t, double v, char type, int precision, bool alternate);

/* int(text, base) and float(text): false if the text is no number. */
bool mica__py_parse_int(mica__jin *j, mica__jv text, int base, mica__jv *out);
bool mica__py_parse_float(mica__str text, double *out);

/* ---- the clock (jinja_time.c) ---- */

bool mica__jclock_parse(const char *text, mica__jclock *out);
bool mica__jclock_now(mica__jclock *out);
mica__jv mica__jin_strftime(mica__jin *j, mica__str format);

#endif
