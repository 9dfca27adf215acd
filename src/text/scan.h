/* text/scan.h: hand-written scanners for the split expressions that nearly all models use.
 *
 * A scanner returns the length of the match that starts at p, which is always there and not empty (these expressions match any
 * text piece by piece). tests/text/test_scan.c compares each with PCRE2 running the expression itself. */
#ifndef MICA_TEXT_SCAN_H
#define MICA_TEXT_SCAN_H

#include "base/str.h"

typedef size_t (*mica__scanner)(const char *p, const char *end);

mica__scanner mica__scanner_find(mica__str regex); /* NULL: not a well-known one */

/* Walks the table: i = 0, 1, ... until NULL. */
const char *mica__scanner_regex_at(size_t i);

#endif
