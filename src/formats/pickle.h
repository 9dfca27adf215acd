/* formats/pickle.h: reading the values of a Python pickle, running nothing.
 *
 * A pickle is a program for a small stack machine, and Python's own reader lets it call any function of any module. This one cannot call
 * anything: it has a list of global names that may occur, given by its user, and refuses the file at the first other one. "Call this
 * function" becomes a value that says which name of the list was to be called with which arguments; what it means is for the user of the
 * value to decide.
 *
 *     static const mica__pickle_global globals[] = {{"collections", "OrderedDict", MICA__PICKLE_MAKES_DICT, 0}, ...};
 *     mica__pickle p;
 *     MICA_TRY(mica__pickle_parse(&p, bytes, n, globals, sizeof globals / sizeof *globals, err));
 *     const mica__pickle_value *v = mica__pickle_get(p.root, MICA_STR("epoch"));
 *     mica__pickle_release(&p);
 *
 * Read are the opcodes that protocols 2 to 5 use for numbers, texts, tuples, lists, dictionaries, names, calls, references and persistent
 * ids; any other is refused with its place. The whole is bounded: 1 million opcodes, a stack of 10,000, a memo of 100,000, 32 MiB; and the
 * result is a tree or shares its branches, never cyclic, at most 256 levels deep, so that walking it needs no care. */
#ifndef MICA_FORMATS_PICKLE_H
#define MICA_FORMATS_PICKLE_H

#include "../base/memory.h"
#include "../base/str.h"

typedef enum mica__pickle_type {
    MICA__PICKLE_NONE,
    MICA__PICKLE_BOOL,
    MICA__PICKLE_INT,
    MICA__PICKLE_LONG, /* an integer of more than 64 bits: its bytes, two's complement, little-endian */
    MICA__PICKLE_FLOAT,
    MICA__PICKLE_TEXT, /* UTF-8 */
    MICA__PICKLE_BYTES,
    MICA__PICKLE_GLOBAL,
    MICA__PICKLE_TUPLE,
    MICA__PICKLE_LIST,
    MICA__PICKLE_DICT,       /* items: key, value, key, value, ... as they were set, a key possibly more than once */
    MICA__PICKLE_CALL,       /* items: the arguments */
    MICA__PICKLE_PERSISTENT, /* items: the id */
    MICA__PICKLE_MARK,       /* private: only on the stack */
} mica__pickle_type;

typedef struct mica__pickle_value mica__pickle_value;

/* What composite values point to; two values that point to the same one are one object in Python. */
typedef struct mica__pickle_object {
    mica__pickle_value *items; /* [n_items] */
    uint32_t n_items, capacity;
    uint16_t height;  /* levels below it; private while it is being visited */
    bool may_build;   /* private: an attribute dictionary may be given to it */
    bool is_visiting; /* private */
} mica__pickle_object;

struct mica__pickle_value {
    uint8_t type;
    uint8_t global; /* GLOBAL, CALL: index in the list of names */
    uint32_t n;     /* TEXT, BYTES, LONG: bytes */
    union {
        int64_t integer; /* INT; BOOL: 0 or 1 */
        double real;
        const char *bytes; /* in the pickle itself */
        mica__pickle_object *object;
    } u;
};

typedef enum mica__pickle_use {
    MICA__PICKLE_NAME,       /* only a value */
    MICA__PICKLE_CALLABLE,   /* a call becomes a CALL */
    MICA__PICKLE_MAKES_DICT, /* a call becomes a DICT: of nothing, or of a list of pairs */
} mica__pickle_use;

typedef struct mica__pickle_global {
    const char *module, *name;
    mica__pickle_use use;
    int tag; /* for the user of the values */
} mica__pickle_global;

typedef struct mica__pickle {
    mica__pickle_value root;
    size_t n_bytes;                  /* length of the pickle; more may follow it */
    mica__pickle_value *persistents; /* [n_persistents], all PERSISTENT values in the order of the file */
    size_t n_persistents, cap_persistents;
    mica__arena arena;
} mica__pickle;

/* Reads the one pickle that starts at bytes[0]. n_globals at most 256. The bytes and the names must outlive *out.
 * DATA or UNSUPPORTED with the offset, LIMIT, MEMORY. */
mica_status mica__pickle_parse(mica__pickle *out, const uint8_t *bytes, size_t n, const mica__pickle_global *globals,
                               size_t n_globals, mica_error *err);
void mica__pickle_release(mica__pickle *p); /* {0} allowed */

static inline mica__str mica__pickle_str(const mica__pickle_value *v) { return (mica__str){v->u.bytes, v->n}; }
/* The value last set for a text key; NULL: none, or `dict` is no DICT. */
const mica__pickle_value *mica__pickle_get(const mica__pickle_value *dict, mica__str key);
/* "a list", "a number": for messages. */
const char *mica__pickle_kind(const mica__pickle_value *v);

#endif
