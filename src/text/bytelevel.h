/* text/bytelevel.h: the byte alphabet of GPT-2: every byte as one visible character, so that any text can be written with a
 * vocabulary of strings. Printable Latin-1 bytes stand for themselves, the other 68 for U+0100 onwards. */
#ifndef MICA_TEXT_BYTELEVEL_H
#define MICA_TEXT_BYTELEVEL_H

#include "text/work.h"

typedef struct mica__byte_char {
    char utf8[2];
    uint8_t n;
} mica__byte_char;

extern const mica__byte_char mica__byte_chars[256];

void mica__bytes_to_chars(mica__buf *out, mica__str bytes);
/* The same for bytes [start, end) of a text that is rewritten. */
void mica__rewrite_to_chars(mica__rewrite *r, size_t start, size_t end);
/* The byte that a character stands for; -1 if it is not of the alphabet. */
int mica__byte_of_char(uint32_t c);
/* Appends the bytes of a token written in the alphabet; one with any other character is appended as it is. */
void mica__chars_to_bytes(mica__buf *out, mica__str token);

#endif
