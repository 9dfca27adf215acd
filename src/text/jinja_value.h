/* text/jinja_value.h: the values of the template language, and the state of one rendering.
 *
 * A value is 16 bytes: a kind and a number or a pointer. Everything a pointer leads to lives in the heap of the rendering (an
 * arena with a budget) or in the parsed template, is freed as a whole, and, but for namespaces, cyclers and iterators, never
 * changes. That is what the immutable sandbox allows a template to do, and it makes sharing free: `a + b` may grow a's own
 * memory in place as long as nobody sees further than its own length.
 *
 * Functions that can fail return a value of kind JV_ERROR (or false, or -1), after the reason was written once into the
 * rendering's error. The text and number rules are Python's, for that is what templates are written against. */
#ifndef MICA_TEXT_JINJA_VALUE_H
#define MICA_TEXT_JINJA_VALUE_H

#include <mica/tokenizer.h>
#include "base/error.h"
#include "base/memory.h"
#include "base/str.h"

typedef enum mica__jv_kind {
    JV_ERROR,     /* an error was recorded; only ever a return value */
    JV_MISSING,   /* an argument or variable that has no value yet; never seen by templates */
    JV_UNDEFINED, /* u.undefined */
    JV_NONE,
    JV_BOOL,      /* u.i is 0 or 1 */
    JV_INT,       /* u.i */
    JV_BIG,       /* an integer beyond 64 bits: u.str holds its decimal digits; can be copied, compared and printed */
    JV_FLOAT,     /* u.f */
    JV_STR,       /* u.str; sub 1: Markup */
    JV_BYTES,     /* u.str */
    JV_LIST,      /* u.list */
    JV_TUPLE,     /* u.list; sub 1: a group of groupby with the names grouper and list */
    JV_DICT,      /* u.dict */
    JV_VIEW,      /* u.dict; sub: mica__jv_view */
    JV_RANGE,     /* u.range */
    JV_NAMESPACE, /* u.dict, the only dictionary that changes */
    JV_ITER,      /* u.iter: a generator or iterator */
    JV_MACRO,     /* u.macro */
    JV_LOOP,      /* u.loop */
    JV_CYCLER,    /* u.cycler */
    JV_JOINER,    /* u.joiner */
    JV_BUILTIN,   /* u.builtin: a global function or class */
    JV_METHOD,    /* u.method: a method together with its object */
} mica__jv_kind;

typedef enum mica__jv_view { JV_KEYS, JV_VALUES, JV_ITEMS } mica__jv_view;

typedef struct mica__jv {
    uint8_t kind, sub;
    union {
        int64_t i;
        double f;
        struct mica__jundefined *undefined;
        struct mica__jstr *str;
        struct mica__jlist *list;
        struct mica__jdict *dict;
        struct mica__jrange *range;
        struct mica__jiter *iter;
        struct mica__jmacro *macro;
        struct mica__jloop *loop;
        struct mica__jcycler *cycler;
        struct mica__jjoiner *joiner;
        const struct mica__jbuiltin *builtin;
        struct mica__jmethod *method;
    } u;
} mica__jv;

/* Memory that a string or list grew into: [0, used) is taken, by whoever appended last. */
typedef struct mica__jroom {
    size_t used, cap;
} mica__jroom;

typedef struct mica__jstr {
    const char *p; /* UTF-8 */
    size_t n;      /* bytes */
    size_t chars;  /* code points; SIZE_MAX: not counted yet */
    uint64_t
        hash; /* 0: not computed yet. Both are computed at once for strings of a parsed template, which threads share. */
    mica__jroom *room; /* NULL: p has no room behind it */
} mica__jstr;

typedef struct mica__jlist {
    mica__jv *items; /* [n] */
    size_t n;
    mica__jroom *room;
} mica__jlist;

typedef struct mica__jentry {
    mica__jv key, value;
    uint64_t hash;
} mica__jentry;

typedef struct mica__jdict {
    mica__jentry *entries; /* [n], in order of insertion */
    size_t n, cap;
    uint32_t *index; /* open addressing: entry number + 1; NULL while the dictionary is small */
    size_t n_index;  /* a power of two */
} mica__jdict;

typedef struct mica__jrange {
    int64_t start, stop, step, n;
} mica__jrange;

/* What an undefined value says when it is used: `hint`, or that `name` is undefined, or that `object` lacks `name`. */
typedef struct mica__jundefined {
    const char *hint;
    mica__jv object, name; /* JV_MISSING: none */
    bool is_security;
} mica__jundefined;

typedef struct mica__jcycler {
    mica__jlist *items;
    size_t pos;
} mica__jcycler;

typedef struct mica__jjoiner {
    mica__jv sep;
    bool used;
} mica__jjoiner;

/* ---- the heap of one rendering ---- */

typedef struct mica__jheap {
    struct mica__jblock *head;
    size_t used, max; /* bytes handed out, and how many may be */
} mica__jheap;

typedef struct mica__jmark {
    struct mica__jblock *head;
    size_t fill, used;
} mica__jmark;

typedef struct mica__jclock {
    int year, month, day, hour, minute, second, microsecond; /* month 1..12 */
} mica__jclock;

/* The state of one rendering; `j` everywhere. */
typedef struct mica__jin {
    mica__jheap heap;
    mica__buf out; /* text so far; captured blocks (macros, set, call) lie at its end until they are taken off */
    uint64_t steps_left, max_steps;
    unsigned depth;      /* of nested evaluation: statements, expressions, iterators, comparisons of nested values */
    unsigned call_depth; /* of macros and recursive loops */
    unsigned captures;   /* of text that is being captured; `shown` bytes of out were there before the outermost */
    size_t shown;
    mica_ids *generated; /* of generation blocks: see jinja.h; NULL: not asked for */
    uint32_t line;       /* of the node being evaluated */
    bool autoescape;
    uint64_t effects;        /* counts what may let a new value outlive its expression */
    const mica__jdict *vars; /* variables given to the rendering, special tokens included */
    mica__jclock now;
    uint64_t random;
    mica_status status; /* of the first error */
    mica_error *err;
} mica__jin;

/* Nesting of source, and of macro calls. */
#define MICA__JINJA_MAX_DEPTH 128
/* Nesting of evaluation in all: less than half a megabyte of stack. */
#define MICA__JINJA_MAX_EVAL_DEPTH 1200

/* Both record the error (the first one stays) and return JV_ERROR. _raise: the template did what the language forbids. */
mica__jv mica__jin_raise(mica__jin *j, const char *fmt, ...) MICA_PRINTF(2, 3);
mica__jv mica__jin_fail(mica__jin *j, mica_status status, const char *fmt, ...) MICA_PRINTF(3, 4);
/* Pays for `cost` units of work; false (error recorded) when the budget is spent. One step is about one node or 64 bytes. */
bool mica__jin_spend(mica__jin *j, uint64_t cost);
bool mica__jin_enter(mica__jin *j); /* false if nested too deeply; else pair with _leave */
static inline void mica__jin_leave(mica__jin *j) { j->depth--; }

void *mica__jin_alloc(mica__jin *j, size_t n, size_t size); /* NULL: error recorded */
/* Makes a block of `old` bytes `grown` bytes long, in place if it is the last one. NULL: error recorded. */
void *mica__jin_grow(mica__jin *j, void *block, size_t old, size_t grown);
mica__jmark mica__jheap_mark(const mica__jheap *h);
void mica__jheap_reset(mica__jheap *h, mica__jmark mark);
void mica__jheap_release(mica__jheap *h);

/* ---- making values ---- */

#define JV_ERR ((mica__jv){.kind = JV_ERROR})
#define JV_NO_VALUE ((mica__jv){.kind = JV_MISSING})
#define JV_NULL ((mica__jv){.kind = JV_NONE})
static inline mica__jv mica__jv_bool(bool b) { return (mica__jv){.kind = JV_BOOL, .u.i = b}; }
static inline mica__jv mica__jv_int(int64_t i) { return (mica__jv){.kind = JV_INT, .u.i = i}; }
static inline mica__jv mica__jv_float(double f) { return (mica__jv){.kind = JV_FLOAT, .u.f = f}; }

mica__jv mica__jv_str(mica__jin *j, const char *p, size_t n);    /* copies */
mica__jv mica__jv_borrow(mica__jin *j, const char *p, size_t n); /* p outlives the rendering or is in its heap */
mica__jv mica__jv_char(mica__jin *j, uint32_t codepoint);
mica__jv mica__jv_list(mica__jin *j, mica__jv_kind kind, mica__jv *items, size_t n); /* takes items, in the heap */
mica__jv mica__jv_pair(mica__jin *j, mica__jv a, mica__jv b);                        /* a tuple */
mica__jv mica__jv_dict(mica__jin *j, mica__jdict **d);
mica__jv mica__jv_undefined_name(mica__jin *j, mica__jv name);
mica__jv mica__jv_undefined_attr(mica__jin *j, mica__jv object, mica__jv name);
mica__jv mica__jv_undefined_hint(mica__jin *j, const char *hint); /* borrowed */
mica__jv mica__jv_unsafe(mica__jin *j, mica__jv object, mica__jv name);
mica__jv mica__jv_markup(mica__jv str, bool is_markup);

static inline bool mica__jv_is_markup(mica__jv v) { return v.kind == JV_STR && v.sub; }
static inline mica__str mica__jv_text(mica__jv v) { return (mica__str){v.u.str->p, v.u.str->n}; }
static inline bool mica__jv_is_text(mica__jv v, const char *z)
{
    return v.kind == JV_STR && mica__str_is(mica__jv_text(v), z);
}
size_t mica__jv_chars(mica__jv str); /* code points */
static inline bool mica__jv_is_seq(mica__jv v) { return v.kind == JV_LIST || v.kind == JV_TUPLE; }

/* A list being built in the heap. */
typedef struct mica__jitems {
    mica__jv *items;
    size_t n, cap;
} mica__jitems;
bool mica__jitems_add(mica__jin *j, mica__jitems *b, mica__jv v);

/* A string being built in the heap. Appends latch; the value at the end is JV_ERROR if one failed. */
typedef struct mica__jtext {
    mica__jin *j;
    char *p;
    size_t n, cap;
    bool failed;
} mica__jtext;
void mica__jtext_add(mica__jtext *t, const char *p, size_t n);
static inline void mica__jtext_add_z(mica__jtext *t, const char *z) { mica__jtext_add(t, z, strlen(z)); }
static inline void mica__jtext_add_str(mica__jtext *t, mica__str s) { mica__jtext_add(t, s.p, s.n); }
void mica__jtext_add_char(mica__jtext *t, uint32_t codepoint);
void mica__jtext_pad(mica__jtext *t, uint32_t codepoint, size_t times);
mica__jv mica__jtext_value(mica__jtext *t);

/* left + right for two strings, in left's own room if it has any. */
mica__jv mica__jv_concat(mica__jin *j, mica__jv left, mica__str right);
mica__jv mica__jv_list_concat(mica__jin *j, mica__jv left, mica__jv right);

/* ---- dictionaries ---- */

bool mica__jdict_set(mica__jin *j, mica__jdict *d, mica__jv key, mica__jv value);
int mica__jdict_find(mica__jin *j, const mica__jdict *d, mica__jv key, mica__jv *value); /* 1, 0 or -1 */
const mica__jv *mica__jdict_get(const mica__jdict *d, mica__str key);
bool mica__jdict_set_z(mica__jin *j, mica__jdict *d, const char *key, mica__jv value);

/* ---- asking values ---- */

const char *mica__jv_type_name(mica__jv v);   /* "str", "NoneType" */
int mica__jv_truth(mica__jin *j, mica__jv v); /* 1, 0 or -1 */
int mica__jv_equal(mica__jin *j, mica__jv a, mica__jv b);
/* Python's < <= > >= (op '<', 'l', '>', 'g'): 1, 0 or -1. */
int mica__jv_order(mica__jin *j, char op, mica__jv a, mica__jv b);
bool mica__jv_same(mica__jv a, mica__jv b);                  /* `is` */
int mica__jv_hash(mica__jin *j, mica__jv v, uint64_t *hash); /* 0, or -1 for what cannot be a key */
static inline bool mica__jv_is_int(mica__jv v) { return v.kind == JV_INT || v.kind == JV_BOOL; }
static inline bool mica__jv_is_number(mica__jv v) { return mica__jv_is_int(v) || v.kind == JV_FLOAT; }
static inline double mica__jv_double(mica__jv v) { return v.kind == JV_FLOAT ? v.u.f : (double)v.u.i; }
/* Records the error of using an undefined value, returns JV_ERROR. */
mica__jv mica__jv_use_undefined(mica__jin *j, mica__jv undefined);

#define JV_TRY(v)                                                                                                      \
    do {                                                                                                               \
        if ((v).kind == JV_ERROR) return JV_ERR;                                                                       \
    } while (0)

#endif
