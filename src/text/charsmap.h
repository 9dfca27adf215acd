/* text/charsmap.h: the precompiled character map of SentencePiece: a double-array trie from byte strings to replacements.
 *
 *     u32 trie bytes | u32 units ... | replacement 0 replacement 0 ...      (little-endian)
 *
 * A unit: bits 0-7 label (bit 31 set in a leaf, whose low 31 bits are the value), bit 8 "has a leaf", bits 10-30 offset,
 * shifted left by 8 more if bit 9 is set. */
#ifndef MICA_TEXT_CHARSMAP_H
#define MICA_TEXT_CHARSMAP_H

#include "text/work.h"

typedef struct mica__charsmap {
    const uint32_t *units; /* in the arena */
    size_t n_units;
    mica__str replacements;
} mica__charsmap;

/* From base64. DATA if a reachable offset points outside. */
mica_status mica__charsmap_create(mica__charsmap *out, mica__arena *arena, mica__str base64, mica_error *err);

/* The replacement of the shortest prefix of key that has one; false if none has. */
bool mica__charsmap_find(const mica__charsmap *map, mica__str key, mica__str *replacement);

/* Appends s with every grapheme or character replaced that the map knows; notes how the new characters came about (changes may be NULL). */
void mica__charsmap_apply(const mica__charsmap *map, mica__str s, mica__buf *out, mica__changes *changes);

#endif
