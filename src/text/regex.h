/* text/regex.h: the regular expressions of tokenizer.json: Oniguruma's Ruby dialect, run by PCRE2 with its JIT.
 *
 *     mica__regex *re;
 *     MICA_TRY(mica__regex_create(&re, MICA_STR("\\p{N}{1,3}"), err));
 *     mica__matcher m = {0};                                     // one per thread
 *     mica__regex_find(re, &m, text, from, &start, &end, err);   // start == SIZE_MAX: no more
 *     mica__matcher_release(&m);
 *
 * The pattern is translated: what both dialects write differently is rewritten, what PCRE2 cannot do is refused at load (DATA
 * with the reason), never matched differently. A search that backtracks without end stops at a step limit with LIMIT. */
#ifndef MICA_TEXT_REGEX_H
#define MICA_TEXT_REGEX_H

#include "base/str.h"

typedef struct mica__regex mica__regex;

mica_status mica__regex_create(mica__regex **out, mica__str pattern, mica_error *err);
void mica__regex_free(mica__regex *re); /* NULL allowed */

/* Scratch state of searches. {0} is ready; may be used with several expressions. */
typedef struct mica__matcher {
    void *data, *context, *stack;
} mica__matcher;
void mica__matcher_release(mica__matcher *m);

/* First match at or after `from` (a character boundary of valid UTF-8 text). */
mica_status mica__regex_find(const mica__regex *re, mica__matcher *m, mica__str text, size_t from, size_t *start,
                             size_t *end, mica_error *err);

/* Appends the PCRE2 form of an Oniguruma pattern. */
mica_status mica__regex_translate(mica__buf *out, mica__str pattern, mica_error *err);

#endif
