/* text/pattern.h: the patterns of Split and Replace: {"String": "..."} or {"Regex": "..."}, and walking over their matches.
 *
 *     mica__match_iter it = mica__pattern_iter(pattern, text);
 *     while (true) {
 *         MICA_TRY(mica__pattern_next(&it, matcher, err));
 *         if (it.start == SIZE_MAX) break;
 *         ... text[it.start .. it.end) ...
 *
 * Matches do not overlap; an empty match right behind the last match is passed over. Well-known split
 * expressions are recognised by their text and run by the scanners of scan.h. */
#ifndef MICA_TEXT_PATTERN_H
#define MICA_TEXT_PATTERN_H

#include "text/field.h"
#include "text/regex.h"
#include "text/scan.h"

typedef struct mica__pattern {
    mica__scanner scan; /* of a well-known expression; then there is nothing else */
    mica__regex *regex; /* NULL: the literal */
    mica__str literal;  /* in the arena */
} mica__pattern;

/* From the member `key` of `object`. */
mica_status mica__pattern_parse(mica__pattern *out, mica__arena *arena, const mica__at *at, mica__jval object,
                                const char *key, mica_error *err);
mica_status mica__pattern_from_regex(mica__pattern *out, mica__str regex, mica_error *err);
void mica__pattern_release(mica__pattern *p);

typedef struct mica__match_iter {
    const mica__pattern *pattern;
    mica__str text;
    size_t from, last_end; /* last_end SIZE_MAX: no match yet */
    size_t start, end;     /* the match; start SIZE_MAX: none */
} mica__match_iter;

static inline mica__match_iter mica__pattern_iter(const mica__pattern *p, mica__str text)
{
    return (mica__match_iter){p, text, 0, SIZE_MAX, 0, 0};
}
mica_status mica__pattern_next(mica__match_iter *it, mica__matcher *m, mica_error *err);

#endif
