/* text/unicode.h: properties of characters and normal forms, as the tokenizers need them. utf8proc has the tables. */
#ifndef MICA_TEXT_UNICODE_H
#define MICA_TEXT_UNICODE_H

#include "base/str.h"

bool mica__is_space(uint32_t c);       /* White_Space */
bool mica__is_word(uint32_t c);        /* \w: Alphabetic, marks, decimal digits, connector punctuation */
bool mica__is_letter(uint32_t c);      /* L* */
bool mica__is_numeric(uint32_t c);     /* N* */
bool mica__is_punctuation(uint32_t c); /* P* and every ASCII punctuation character */
bool mica__is_mark(uint32_t c);        /* M* */
bool mica__is_nonspacing(uint32_t c);  /* Mn */
bool mica__is_other(uint32_t c);       /* Cc, Cf, Co, Cs; unassigned ones are not counted */

/* Full lower case of one character: writes 1 or 2 code points, returns how many. */
int mica__to_lower(uint32_t c, uint32_t out[2]);

typedef enum mica__form { MICA__NFC, MICA__NFD, MICA__NFKC, MICA__NFKD } mica__form;

/* Appends s in the normal form. Linear in the size of s, also for a megabyte of combining marks; stretches that no form
 * changes are copied. s is valid UTF-8. */
mica_status mica__to_form(mica__buf *out, mica__str s, mica__form form, mica_error *err);

/* The character at p (valid UTF-8, p < end); *length receives its bytes. */
static inline uint32_t mica__char_at(const char *p, const char *end, int *length)
{
    if (!((unsigned char)*p & 0x80)) {
        *length = 1;
        return (unsigned char)*p;
    }
    uint32_t c = 0xfffd;
    *length = mica__utf8_decode(p, (size_t)(end - p), &c);
    if (*length == 0) *length = 1; /* never in valid text; keeps loops moving */
    return c;
}

#endif
