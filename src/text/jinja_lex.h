/* text/jinja_lex.h: template source to tokens, one at a time.
 *
 * The source is normalized first: every line ends with \n and one final line end is dropped. White-space control is done
 * here, so the parser sees only the text that is really there. */
#ifndef MICA_TEXT_JINJA_LEX_H
#define MICA_TEXT_JINJA_LEX_H

#include "jinja_value.h"

typedef enum mica__jtoken_kind {
    JT_END,
    JT_DATA,
    JT_BLOCK_BEGIN,
    JT_BLOCK_END,
    JT_PRINT_BEGIN,
    JT_PRINT_END,
    JT_NAME,
    JT_STRING,
    JT_INT,
    JT_FLOAT,
    JT_OPERATOR, /* op: its one or two characters */
} mica__jtoken_kind;

#define JT_OP2(a, b) ((uint16_t)((a) | (b) << 8))

typedef struct mica__jtoken {
    mica__jtoken_kind kind;
    uint16_t op;
    uint32_t line, column;
    mica__str text; /* data, name, string after escapes, digits without underscores */
} mica__jtoken;

typedef enum mica__jlex_state { JX_DATA, JX_BLOCK, JX_PRINT } mica__jlex_state;

typedef struct mica__jlex {
    mica__arena *arena; /* of strings with escapes */
    const char *p;      /* normalized source, [n] */
    size_t n, at;
    uint32_t line;
    size_t line_start;
    mica__jlex_state state, next_state;
    mica__jtoken_kind pending; /* the tag that ended the data just returned; JT_END: none */
    uint32_t pending_line, pending_column;
    bool at_line_start; /* the last tag ended with a line end */
    char brackets[MICA__JINJA_MAX_DEPTH + 8];
    size_t n_brackets;
    mica_error *err;
} mica__jlex;

mica_status mica__jlex_init(mica__jlex *x, mica__arena *arena, const char *source, size_t n, mica_error *err);
mica_status mica__jlex_next(mica__jlex *x, mica__jtoken *token);

/* The token as an error message names it. */
const char *mica__jtoken_describe(const mica__jtoken *t, char buf[64]);

#endif
