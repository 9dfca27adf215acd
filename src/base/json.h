/* base/json.h: reading JSON (RFC 8259) from memory, writing JSON strings.
 *
 *     mica__json doc;
 *     MICA_TRY(mica__json_parse(&doc, text, n, NULL, err));
 *     mica__jval heads = mica__json_get(mica__json_root(&doc), "num_attention_heads");
 *     int64_t n_heads;
 *     if (!mica__json_int(heads, &n_heads)) ...
 *     mica__json_release(&doc);
 *
 * The document is a flat list of 16-byte nodes in the order of the text: a container is followed by its children and knows
 * where it ends, an object's children alternate key, value. Strings without escapes point into the text, which must outlive
 * the document. One pass, no recursion, no allocation per value: a 33 MB tokenizer.json takes about a tenth of a second. */
#ifndef MICA_BASE_JSON_H
#define MICA_BASE_JSON_H

#include "memory.h"
#include "str.h"

typedef enum mica__jtype {
    MICA__JSON_NULL,
    MICA__JSON_FALSE,
    MICA__JSON_TRUE,
    MICA__JSON_NUMBER,
    MICA__JSON_STRING,
    MICA__JSON_ARRAY,
    MICA__JSON_OBJECT,
} mica__jtype;

/* Private layout; use the functions. */
typedef struct mica__jnode {
    uint32_t type : 8, is_fraction : 1;
    uint32_t n; /* bytes of a string or number, members of a container */
    union {
        const char *text; /* string (unescaped) or number */
        size_t span;      /* containers: nodes in this value, itself included */
    } u;
} mica__jnode;

typedef const mica__jnode *mica__jval; /* NULL: absent. Every accessor takes NULL. */

typedef struct mica__json {
    mica__jnode *nodes;
    size_t n_nodes, cap;
    mica__arena strings; /* strings that had escapes */
} mica__json;

/* Zero means the default. */
typedef struct mica__json_limits {
    unsigned max_depth;   /* 64 */
    size_t max_nodes;     /* 64 Mi */
    bool unique_keys;     /* refuse an object with the same key twice */
    bool allow_nonfinite; /* accept NaN, Infinity, -Infinity as numbers (Python writes them) */
} mica__json_limits;

/* DATA with line, column (in bytes) and reason; LIMIT; MEMORY. Invalid UTF-8, lone surrogates, a BOM, and anything but white space after the
 * value are refused. On failure *out is released. */
mica_status mica__json_parse(mica__json *out, const char *text, size_t n, const mica__json_limits *limits,
                             mica_error *err);
void mica__json_release(mica__json *doc); /* {0} allowed */

static inline mica__jval mica__json_root(const mica__json *doc) { return doc->n_nodes ? doc->nodes : NULL; }
static inline bool mica__json_is(mica__jval v, mica__jtype t) { return v && v->type == t; }
static inline mica__jtype mica__json_type(mica__jval v) { return v ? (mica__jtype)v->type : MICA__JSON_NULL; }
static inline size_t mica__json_count(mica__jval v) /* elements or members; 0 for anything else */
{
    return v && (v->type == MICA__JSON_ARRAY || v->type == MICA__JSON_OBJECT) ? v->n : 0;
}

/* Iteration over an array's elements; over an object's members with _key/_value. A member is the key's node.
 *     for (mica__jval e = mica__json_first(arr); e; e = mica__json_next(arr, e))
 *     for (mica__jval m = mica__json_first(obj); m; m = mica__json_next(obj, m))  key = _key(m), value = _value(m) */
mica__jval mica__json_first(mica__jval container);
mica__jval mica__json_next(mica__jval container, mica__jval child);
mica__str mica__json_key(mica__jval member);
static inline mica__jval mica__json_value(mica__jval member) { return member + 1; }

/* The last member of that name; NULL: none, or not an object. */
mica__jval mica__json_get(mica__jval object, const char *key);
mica__jval mica__json_get_str(mica__jval object, mica__str key);
mica__jval mica__json_at(mica__jval array, size_t i);

/* Conversions: false (and *out untouched) unless v has that type and the value fits. A number with a fraction or exponent is
 * an int only if it was written as an integer. _double takes any number (locale does not matter). */
bool mica__json_string(mica__jval v, mica__str *out);
bool mica__json_int(mica__jval v, int64_t *out);
bool mica__json_double(mica__jval v, double *out);
bool mica__json_bool(mica__jval v, bool *out);
static inline bool mica__json_is_int(mica__jval v) { return v && v->type == MICA__JSON_NUMBER && !v->is_fraction; }
/* The number as written ("1e-06"). */
mica__str mica__json_number_text(mica__jval v);

/* Decimal text to double, correctly rounded, "." always the point; also inf, infinity and nan in any case. False if it is not
 * a number or not all of it was used. */
bool mica__parse_double(const char *p, size_t n, double *out);
/* Shortest text that reads back as the same double, in Python's repr form (1.0, 1e-06, 1e+16). */
void mica__format_double(double v, char out[32]);

/* Appends s as a JSON string with quotes; ascii: everything above U+007E as \uXXXX. Invalid UTF-8 becomes U+FFFD. */
void mica__json_write_string(mica__buf *out, mica__str s, bool ascii);
/* Appends v as compact JSON. */
void mica__json_write(mica__buf *out, mica__jval v);

#endif
