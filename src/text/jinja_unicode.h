/* text/jinja_unicode.h: characters as Python's str knows them. */
#ifndef MICA_TEXT_JINJA_UNICODE_H
#define MICA_TEXT_JINJA_UNICODE_H

#include "base/str.h"

bool mica__py_is_space(uint32_t c);     /* what strip() and split() take for white space */
bool mica__py_is_line_end(uint32_t c);  /* where splitlines() splits */
bool mica__py_is_printable(uint32_t c); /* what repr() shows as it is */
bool mica__py_is_alpha(uint32_t c);
bool mica__py_is_decimal(uint32_t c);
bool mica__py_is_digit(uint32_t c);
bool mica__py_is_numeric(uint32_t c);
bool mica__py_is_alnum(uint32_t c);
bool mica__py_is_lower(uint32_t c);
bool mica__py_is_upper(uint32_t c);
bool mica__py_is_title(uint32_t c);
static inline bool mica__py_is_cased(uint32_t c)
{
    return mica__py_is_lower(c) || mica__py_is_upper(c) || mica__py_is_title(c);
}
bool mica__py_is_case_ignorable(uint32_t c);

/* Full mappings, up to three characters; return how many. Lower case of a final sigma is the caller's affair. */
int mica__py_upper(uint32_t c, uint32_t out[3]);
int mica__py_lower(uint32_t c, uint32_t out[3]);
int mica__py_title(uint32_t c, uint32_t out[3]);
int mica__py_casefold(uint32_t c, uint32_t out[3]);

int mica__py_digit(uint32_t c);                      /* value of 0-9, a-z, A-Z as a digit (0..35), else 99 */
int mica__py_decimal_value(uint32_t c);              /* of a decimal digit in any script, else -1 */
size_t mica__py_identifier(const char *p, size_t n); /* bytes of the identifier at p, 0 if there is none */

mica__str mica__py_trim_start(mica__str s);
mica__str mica__py_trim_end(mica__str s);

/* Steps: decodes the character at s->p and moves behind it; false at the end. A byte that is not UTF-8 counts as U+FFFD. */
bool mica__py_next(mica__str *s, uint32_t *c);
/* The same from the back. */
bool mica__py_prev(mica__str *s, uint32_t *c);

#endif
