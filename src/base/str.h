/* base/str.h: borrowed strings, growing buffers with a maximum, a string-keyed hash map. */
#ifndef MICA_BASE_STR_H
#define MICA_BASE_STR_H

#include "error.h"
#include <stdarg.h>
#include <string.h>

/* Borrowed bytes, not NUL-terminated, usually UTF-8. {NULL, 0} is the empty string. */
typedef struct mica__str {
    const char *p;
    size_t n;
} mica__str;

#define MICA_STR(literal) ((mica__str){("" literal), sizeof(literal) - 1})
static inline mica__str mica__str_from(const char *z) { return (mica__str){z, z ? strlen(z) : 0}; }
static inline bool mica__str_eq(mica__str a, mica__str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool mica__str_is(mica__str a, const char *z) { return mica__str_eq(a, mica__str_from(z)); }
bool mica__str_starts(mica__str s, const char *prefix);
bool mica__str_ends(mica__str s, const char *suffix);

/* A growing byte buffer that never passes `max` bytes (0: 1 GiB). Appends latch: after the first failure nothing more is
 * added and `failed` stays true until _clear, so a sequence of appends needs one check at its end. `p` is always
 * NUL-terminated once something was appended; the NUL is not counted in n. {0} is a valid empty buffer. What is appended must
 * not lie in the buffer itself. */
typedef struct mica__buf {
    char *p;
    size_t n, cap, max;
    bool failed, too_large; /* too_large: failed because of max */
} mica__buf;

void mica__buf_append(mica__buf *b, const void *bytes, size_t n);
void mica__buf_append_z(mica__buf *b, const char *z);
void mica__buf_append_str(mica__buf *b, mica__str s);
void mica__buf_append_char(mica__buf *b, char c);
void mica__buf_append_utf8(mica__buf *b, uint32_t codepoint); /* invalid code points become U+FFFD */
void mica__buf_printf(mica__buf *b, const char *fmt, ...) MICA_PRINTF(2, 3);
/* Room for n more bytes; NULL (and latched) on failure; then raise b->n. */
char *mica__buf_reserve(mica__buf *b, size_t n);
void mica__buf_clear(mica__buf *b); /* empties, keeps memory */
void mica__buf_release(mica__buf *b);
char *mica__buf_take(mica__buf *b); /* gives the NUL-terminated memory away (free with mica__free); NULL if failed */
mica_status mica__buf_status(const mica__buf *b, mica_error *err, const char *what); /* OK, MEMORY or LIMIT */
static inline mica__str mica__buf_str(const mica__buf *b) { return (mica__str){b->p, b->n}; }

/* UTF-8. _decode reads one code point at p[0..n), n > 0: returns its length 1..4, or 0 if the bytes there are not valid UTF-8
 * (overlong forms, surrogates and values above U+10FFFF are invalid). _encode writes up to 4 bytes and returns how many. */
int mica__utf8_decode(const char *p, size_t n, uint32_t *codepoint);
int mica__utf8_encode(uint32_t codepoint, char out[4]);
bool mica__utf8_valid(const char *p, size_t n);
/* Length (1..3) of the maximal invalid subpart at p[0..n), as Unicode recommends replacing it by one U+FFFD. */
size_t mica__utf8_invalid_length(const char *p, size_t n);

/* Different in every process, and keys that collide cannot be made without knowing this one's secret. Not cryptographic. */
uint64_t mica__hash(const void *bytes, size_t n);

/* Map from byte strings to uint32 values; open addressing; keys are borrowed and must outlive the map. {0} is empty. */
typedef struct mica__map {
    struct mica__map_slot *slots;
    size_t n, cap;
} mica__map;

bool mica__map_reserve(mica__map *m, size_t n);
/* Adds key. If it was there already, *existing (may be NULL) is set to true and the stored value is kept. False: no memory. */
bool mica__map_add(mica__map *m, mica__str key, uint32_t value, bool *existing);
bool mica__map_set(mica__map *m, mica__str key, uint32_t value); /* adds or replaces */
bool mica__map_get(const mica__map *m, mica__str key, uint32_t *value);
void mica__map_release(mica__map *m);

#endif
