/* base/str.c: string buffers, UTF-8, the string map. */
#include "str.h"
#include "memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>

bool mica__str_starts(mica__str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && (n == 0 || memcmp(s.p, prefix, n) == 0);
}

bool mica__str_ends(mica__str s, const char *suffix)
{
    size_t n = strlen(suffix);
    return s.n >= n && (n == 0 || memcmp(s.p + s.n - n, suffix, n) == 0);
}

/* ---- buffers ---- */

enum { DEFAULT_MAX = 1 << 30 };

char *mica__buf_reserve(mica__buf *b, size_t n)
{
    size_t max = b->max ? b->max : DEFAULT_MAX, need;
    if (b->failed) return NULL;
    if (!mica__add(b->n, n, &need) || need > max || need == SIZE_MAX) {
        b->failed = b->too_large = true;
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

void mica__buf_append_z(mica__buf *b, const char *z) { mica__buf_append(b, z, strlen(z)); }
void mica__buf_append_str(mica__buf *b, mica__str s) { mica__buf_append(b, s.p, s.n); }
void mica__buf_append_char(mica__buf *b, char c) { mica__buf_append(b, &c, 1); }

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
    b->failed = b->too_large = false;
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
    if (p) {
        p[b->n] = 0; /* bytes written into reserved room bring no NUL */
        b->p = NULL;
    }
    mica__buf_release(b);
    return p;
}

mica_status mica__buf_status(const mica__buf *b, mica_error *err, const char *what)
{
    if (!b->failed) return MICA_OK;
    if (b->too_large)
        return mica__fail(err, MICA_LIMIT, "%s: larger than %zu bytes", what, b->max ? b->max : DEFAULT_MAX);
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

/* The hash folds 16 bytes at a time: both halves are hidden by secret numbers and multiplied to 128 bits, whose halves are
 * added without carry. Every step multiplies by something secret, so no difference between two keys has an effect that can be
 * foretold. (An earlier version only started from a secret; differences in the top bits passed through its steps unchanged,
 * and colliding keys could be written down that worked in every process.) */
__extension__ typedef unsigned __int128 uint128;

static uint64_t fold(uint64_t a, uint64_t b)
{
    uint128 product = (uint128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t secret[2];

static void make_secret(void)
{
    if (getrandom(secret, sizeof secret, GRND_NONBLOCK) != sizeof secret) { /* an early boot: addresses must do */
        secret[0] = fold((uint64_t)(uintptr_t)&secret, 0x9e3779b97f4a7c15u);
        secret[1] = fold((uint64_t)(uintptr_t)&errno, 0xd1b54a32d192ed03u);
    }
    secret[0] |= 1; /* neither is zero */
    secret[1] |= 1;
}

uint64_t mica__hash(const void *bytes, size_t n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_secret);
    const unsigned char *p = bytes;
    uint64_t h = secret[1], word[2];
    size_t left = n;
    for (; left > 16; left -= 16, p += 16) {
        memcpy(word, p, 16);
        h = fold(word[0] ^ secret[0], word[1] ^ h);
    }
    word[0] = word[1] = 0;
    if (left) memcpy(word, p, left);
    h = fold(word[0] ^ secret[0], word[1] ^ h);
    return fold(h ^ n, secret[0]);
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
        if (!s->key || (s->hash == hash && s->n == key.n && (key.n == 0 || memcmp(s->key, key.p, key.n) == 0)))
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
