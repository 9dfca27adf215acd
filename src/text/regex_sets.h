/* text/regex_sets.h: sets of characters by name, for the translation of regular expressions. */
#ifndef MICA_TEXT_REGEX_SETS_H
#define MICA_TEXT_REGEX_SETS_H

#include "base/str.h"

/* Insides of brackets. Outside of brackets Oniguruma's \w has six more characters of Latin-1. */
#define MICA__SPACE_SET                                                                                                \
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define MICA__WORD_SET "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define MICA__WORD_ALONE MICA__WORD_SET "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

/* A set being built, in PCRE2's syntax: `inside` goes into brackets, `others` are alternatives of their own ("|[^..]"). */
typedef struct mica__set {
    mica__buf inside, others;
} mica__set;

void mica__set_release(mica__set *s);
/* Adds the set that is written `inside` of brackets, or all characters but those. */
void mica__set_add(mica__set *s, const char *inside, bool negated);
/* Adds the property `name` as \p{name} has it (case, spaces, _ and - do not count). False: unknown. */
bool mica__set_add_property(mica__set *s, mica__str name, bool negated);
/* Adds [:name:]. False: unknown. */
bool mica__set_add_posix(mica__set *s, mica__str name, bool negated);
/* Writes an expression that matches one character of the set. */
void mica__set_write(mica__buf *out, const mica__set *s);

#endif
