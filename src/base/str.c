/* base/str.c: string buffers, UTF-8, the string map. */
#include "str.h"
#include "memory.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>

bool mica__str_starts(mica__str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

bool mica__str_ends(mica__str s, const char *suffix)
{
    size_t n = strlen(suffix);
    return s.n >= n && memcmp(s.p + s.n - n, suffix, n) == 0;
}

/* ---- buffers ---- */

enum { DEFAULT_MAX = 1 << 30 };

char *mica__buf_reserve(mica__buf *b, size_t n)
{
    size_t max = b->max ? b->max : DEFAULT_MAX, need;
    if (b->failed || !mica__add(b->n, n, &need) || need > max) {
        b->failed = true;
        return NULL;
    }
    if (need + 1 > b->cap) {
        size_t cap = b->cap < 64 ? 64 : b->cap + b->cap / 2;
        if (cap < need + 1) cap = need + 1;
        char *p = mica__realloc(b->p, cap, 1);
        if (!p) {
            b->failed = true;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->n;
}

void mica__buf_append(mica__buf *b, const void *bytes, size_t n)
{
    char *at = mica__buf_reserve(b, n);
    if (!at) return;
    if (n) memcpy(at, bytes, n);
    at[n] = 0;
    b->n += n;
}

void mica__buf_append_z(mica__buf *b, const char *z)
{
    mica__buf_append(b, z, strlen(z));
}
void mica__buf_append_str(mica__buf *b, mica__str s)
{
    mica__buf_append(b, s.p, s.n);
}
void mica__buf_append_char(mica__buf *b, char c)
{
    mica__buf_append(b, &c, 1);
}

void mica__buf_append_utf8(mica__buf *b, uint32_t codepoint)
{
    char bytes[4];
    mica__buf_append(b, bytes, (size_t)mica__utf8_encode(codepoint, bytes));
}

void mica__buf_printf(mica__buf *b, const char *fmt, ...)
{
    char small[256];
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    if (n < 0) {
        b->failed = true;
    } else if ((size_t)n < sizeof small) {
        mica__buf_append(b, small, (size_t)n);
    } else if (mica__buf_reserve(b, (size_t)n)) {
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void mica__buf_clear(mica__buf *b)
{
    b->n = 0;
    b->failed = false;
    if (b->p) b->p[0] = 0;
}

void mica__buf_release(mica__buf *b)
{
    mica__free(b->p);
    *b = (mica__buf){.max = b->max};
}

char *mica__buf_take(mica__buf *b)
{
    if (!b->p) mica__buf_append(b, "", 0);
    char *p = b->failed ? NULL : b->p;
    if (p) b->p = NULL;
    mica__buf_release(b);
    return p;
}

mica_status mica__buf_status(const mica__buf *b, mica_error *err, const char *what)
{
    if (!b->failed) return MICA_OK;
    size_t max = b->max ? b->max : DEFAULT_MAX;
    if (b->cap >= max || b->n >= max)
        return mica__fail(err, MICA_LIMIT, "%s is larger than %zu bytes", what, max);
    return mica__fail_memory(err, b->cap * 2, what);
}

/* ---- UTF-8 (Unicode 15, table 3-7: well-formed byte sequences) ---- */

/* Bytes of a well-formed sequence from its first byte, 0 if it starts none, and the range of the second byte.
 */
static int utf8_shape(unsigned char first, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (first < 0x80) return 1;
    if (first < 0xc2) return 0;
    if (first < 0xe0) return 2;
    if (first < 0xf0) {
        if (first == 0xe0) *low = 0xa0;
        if (first == 0xed) *high = 0x9f;
        return 3;
    }
    if (first < 0xf5) {
        if (first == 0xf0) *low = 0x90;
        if (first == 0xf4) *high = 0x8f;
        return 4;
    }
    return 0;
}

int mica__utf8_decode(const char *p, size_t n, uint32_t *codepoint)
{
    const unsigned char *b = (const unsigned char *)p;
    unsigned char low, high;
    int length = utf8_shape(b[0], &low, &high);
    if (length == 1) *codepoint = b[0];
    if (length <= 1) return length;
    if ((size_t)length > n || b[1] < low || b[1] > high) return 0;
    uint32_t cp = b[0] & (0x7fu >> length);
    for (int i = 1; i < length; i++) {
        if ((b[i] & 0xc0) != 0x80) return 0;
        cp = cp << 6 | (b[i] & 0x3f);
    }
    *codepoint = cp;
    return length;
}

size_t mica__utf8_invalid_length(const char *p, size_t n)
{
    const unsigned char *b = (const unsigned char *)p;
    unsigned char low, high;
    int length = utf8_shape(b[0], &low, &high);
    if (length <= 1 || n < 2 || b[1] < low || b[1] > high) return 1;
    size_t i = 2;
    while (i < (size_t)length && i < n && (b[i] & 0xc0) == 0x80) i++;
    return i;
}

int mica__utf8_encode(uint32_t cp, char out[4])
{
    if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000)) cp = 0xfffd;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xc0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
        out[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
    out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}

bool mica__utf8_valid(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        if (n - i >= 8) { /* runs of ASCII */
            memcpy(&eight, p + i, 8);
            if (!(eight & 0x8080808080808080u)) {
                i += 8;
                continue;
            }
        }
        uint32_t cp;
        int length = mica__utf8_decode(p + i, n - i, &cp);
        if (!length) return false;
        i += (size_t)length;
    }
    return true;
}

/* ---- hash map ---- */

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

/* A seed of this process, so that a file cannot be made whose keys all collide. */
static uint64_t hash_seed(void)
{
    static _Atomic uint64_t seed;
    uint64_t value = atomic_load_explicit(&seed, memory_order_relaxed);
    if (value) return value;
    uint64_t fresh = 0, none = 0;
    if (getrandom(&fresh, sizeof fresh, GRND_NONBLOCK) != sizeof fresh)
        fresh = mix((uint64_t)(uintptr_t)&seed);
    fresh |= 1;
    return atomic_compare_exchange_strong(&seed, &none, fresh) ? fresh : none;
}

/* Multiply-and-fold over 8-byte words. */
uint64_t mica__hash(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t h = hash_seed() ^ n, word;
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&word, p, 8);
        h = mix(h ^ word);
    }
    if (n) {
        word = 0;
        memcpy(&word, p, n);
        h = mix(h ^ word);
    }
    return mix(h);
}

struct mica__map_slot {
    const char *key; /* NULL: free */
    uint32_t n, value, hash;
};

static struct mica__map_slot *map_find(const mica__map *m, mica__str key, uint32_t hash)
{
    size_t mask = m->cap - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct mica__map_slot *s = &m->slots[i];
        if (!s->key ||
            (s->hash == hash && s->n == key.n && (key.n == 0 || memcmp(s->key, key.p, key.n) == 0)))
            return s;
    }
}

bool mica__map_reserve(mica__map *m, size_t n)
{
    size_t cap = m->cap ? m->cap : 16;
    while (cap / 3 * 2 < n) {
        if (cap > SIZE_MAX / 4) return false;
        cap *= 2;
    }
    if (cap == m->cap) return true;
    mica__map bigger = {mica__calloc(cap, sizeof *bigger.slots), m->n, cap};
    if (!bigger.slots) return false;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].key)
            *map_find(&bigger, (mica__str){m->slots[i].key, m->slots[i].n}, m->slots[i].hash) = m->slots[i];
    mica__free(m->slots);
    *m = bigger;
    return true;
}

/* The slot of the key, added if new; NULL without memory. */
static struct mica__map_slot *map_slot(mica__map *m, mica__str key, bool *existing)
{
    if (key.n > UINT32_MAX || !mica__map_reserve(m, m->n + 1)) return NULL;
    uint32_t hash = (uint32_t)mica__hash(key.p, key.n);
    struct mica__map_slot *s = map_find(m, key, hash);
    *existing = s->key != NULL;
    if (!*existing) {
        *s = (struct mica__map_slot){key.p ? key.p : "", (uint32_t)key.n, 0, hash};
        m->n++;
    }
    return s;
}

bool mica__map_add(mica__map *m, mica__str key, uint32_t value, bool *existing)
{
    bool was_there;
    struct mica__map_slot *s = map_slot(m, key, &was_there);
    if (!s) return false;
    if (!was_there) s->value = value;
    if (existing) *existing = was_there;
    return true;
}

bool mica__map_set(mica__map *m, mica__str key, uint32_t value)
{
    bool was_there;
    struct mica__map_slot *s = map_slot(m, key, &was_there);
    if (s) s->value = value;
    return s != NULL;
}

bool mica__map_get(const mica__map *m, mica__str key, uint32_t *value)
{
    if (!m->n) return false;
    const struct mica__map_slot *s = map_find(m, key, (uint32_t)mica__hash(key.p, key.n));
    if (!s->key) return false;
    if (value) *value = s->value;
    return true;
}

void mica__map_release(mica__map *m)
{
    mica__free(m->slots);
    *m = (mica__map){0};
}
