/* text/jinja.h: the template language as Transformers sets it up: parse once, render often.
 *
 *     mica__jinja t;
 *     MICA_TRY(mica__jinja_parse(&t, source, n, err));
 *     MICA_TRY(mica__jinja_render(&t, &job, &text, err));
 *     mica__jinja_release(&t);
 *
 * This is Jinja 3.1 in its immutable sandbox with trim_blocks and lstrip_blocks, the extensions for loop controls and
 * generation blocks, no autoescape, and the globals raise_exception and strftime_now. There is nothing behind the values: no
 * objects of the host, no files, no other templates.
 *
 * Where it differs: integers beyond 64 bits can be carried, compared and printed but not computed with (LIMIT); other
 * templates cannot be included, imported or extended, and a named block stands for its body; characters by name ("\N{...}"),
 * lone surrogates and lipsum() are errors; of HTML's named entities only the usual ones are known to striptags. */
#ifndef MICA_TEXT_JINJA_H
#define MICA_TEXT_JINJA_H

#include "jinja_ast.h"
#include "base/json.h"
#include <mica/tokenizer.h>

#define MICA__JINJA_MAX_SOURCE (4u << 20)

/* DATA with line and column, LIMIT (nesting, size), MEMORY. On failure *out is released. */
mica_status mica__jinja_parse(mica__jinja *out, const char *source, size_t n, mica_error *err);
void mica__jinja_release(mica__jinja *t); /* {0} allowed */

/* One rendering. Variables come from JSON objects, later ones over earlier ones. */
typedef struct mica__jinja_job {
    mica__jval variables[2];    /* objects; NULL: none */
    const char *null_names[3];  /* variables that are none when they are absent; ends with NULL */
    const char *false_name;     /* and one that is false */
    const char *skip_name;      /* a key of the objects that is no variable */
    const char *append_to_last; /* text put behind a field of the last message; NULL: none */
    const char *append_field;
    mica__jclock now;
    mica_ids *
        generated; /* receives of each generation block where it begins (bytes of the text) and its characters; NULL: not asked for */
    uint64_t max_steps;
    size_t max_bytes; /* working memory and output, beside the input */
} mica__jinja_job;

/* Appends to *out, which is unchanged on failure. */
mica_status mica__jinja_render(const mica__jinja *t, const mica__jinja_job *job, mica__buf *out, mica_error *err);

#endif
