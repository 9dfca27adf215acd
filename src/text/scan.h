/* text/scan.h: hand-written scanners for the split expressions that most models use.
 *
 * These expressions match any text piece by piece: at every place there is a match, and it is not empty. A scanner returns the
 * length of the one that starts at p. tests/text/test_scan.c compares each with PCRE2 running the expression itself. */
#ifndef MICA_TEXT_SCAN_H
#define MICA_TEXT_SCAN_H

#include "base/str.h"

/* p < end, valid UTF-8 */
typedef size_t (*mica__scanner)(const char *p, const char *end);

mica__scanner mica__scanner_find(mica__str regex); /* NULL: not a well-known one */

/* Walks the expressions that have a scanner: i = 0, 1, ... until NULL. */
const char *mica__scanner_regex(size_t i);

#endif
