/* text/charsmap.c: SentencePiece's character map. Offsets are checked when they are followed, so that a broken trie can at
 * worst find nothing; replacements are checked at load. */
#include "text/charsmap.h"
#include "text/unicode.h"

#include <utf8proc.h>

static int base64_digit(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes into out (room for n / 4 * 3 bytes); returns bytes, SIZE_MAX if it is not base64. */
static size_t base64_decode(mica__str in, unsigned char *out)
{
    size_t n = 0, padding = 0;
    if (in.n % 4) return SIZE_MAX;
    while (padding < 2 && padding < in.n && in.p[in.n - 1 - padding] == '=') padding++;
    for (size_t i = 0; i < in.n; i += 4) {
        uint32_t bits = 0;
        for (size_t j = i; j < i + 4; j++) {
            int digit = j < in.n - padding ? base64_digit((unsigned char)in.p[j]) : 0;
            if (digit < 0) return SIZE_MAX;
            bits = bits << 6 | (uint32_t)digit;
        }
        out[n++] = (unsigned char)(bits >> 16);
        out[n++] = (unsigned char)(bits >> 8);
        out[n++] = (unsigned char)bits;
    }
    return n - padding;
}

static uint32_t read_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static size_t unit_offset(uint32_t unit) { return (size_t)(unit >> 10) << ((unit & 0x200) >> 6); }
static bool is_leaf(uint32_t unit) { return unit >> 31; }

static mica_status check(const mica__charsmap *map, mica_error *err)
{
    if (!mica__utf8_valid(map->replacements.p, map->replacements.n))
        return mica__fail(err, MICA_DATA, "character map: a replacement is not UTF-8");
    for (size_t i = 0; i < map->n_units; i++) {
        uint32_t unit = map->units[i];
        size_t value = unit & 0x7fffffff;
        bool inside = value < map->replacements.n && (value == 0 || map->replacements.p[value - 1] == 0 ||
                                                      ((unsigned char)map->replacements.p[value] & 0xc0) != 0x80);
        if (is_leaf(unit) && !inside)
            return mica__fail(err, MICA_DATA, "character map: unit %zu points to byte %zu of %zu", i, value,
                              map->replacements.n);
        if (!is_leaf(unit) && (unit & 0x100) && (i ^ unit_offset(unit)) >= map->n_units)
            return mica__fail(err, MICA_DATA, "character map: unit %zu points to unit %zu of %zu", i,
                              i ^ unit_offset(unit), map->n_units);
    }
    return MICA_OK;
}

mica_status mica__charsmap_create(mica__charsmap *out, mica__arena *arena, mica__str base64, mica_error *err)
{
    size_t room = base64.n / 4 * 3 + 4;
    unsigned char *bytes = mica__arena_alloc(arena, room, 1);
    if (!bytes) return mica__fail_memory(err, room, "a character map");
    size_t n = base64_decode(base64, bytes);
    if (n == SIZE_MAX) return mica__fail(err, MICA_DATA, "character map: not base64");
    size_t trie_bytes = n >= 4 ? read_u32(bytes) : 0;
    if (n < 8 || trie_bytes < 4 || trie_bytes % 4 || trie_bytes > n - 4)
        return mica__fail(err, MICA_DATA, "character map: trie of %zu bytes in %zu bytes", trie_bytes, n);
    uint32_t *units = mica__arena_alloc(arena, trie_bytes / 4, sizeof *units);
    if (!units) return mica__fail_memory(err, trie_bytes, "a character map");
    for (size_t i = 0; i < trie_bytes / 4; i++) units[i] = read_u32(bytes + 4 + 4 * i);
    bytes[n] = 0; /* ends the last replacement */
    *out = (mica__charsmap){units, trie_bytes / 4, {(const char *)bytes + 4 + trie_bytes, n - 4 - trie_bytes}};
    return check(out, err);
}

bool mica__charsmap_find(const mica__charsmap *map, mica__str key, mica__str *replacement)
{
    size_t node = unit_offset(map->units[0]);
    for (size_t i = 0; i < key.n; i++) {
        unsigned char c = (unsigned char)key.p[i];
        node ^= c;
        if (c == 0 || node >= map->n_units) return false;
        uint32_t unit = map->units[node];
        if ((unit & 0x800000ff) != c) return false;
        node ^= unit_offset(unit);
        if (node >= map->n_units) return false;
        if (unit & 0x100) {
            const char *p = map->replacements.p + (map->units[node] & 0x7fffffff);
            if ((size_t)(p - map->replacements.p) >= map->replacements.n) return false;
            *replacement = (mica__str){p, strlen(p)};
            return true;
        }
    }
    return false;
}

/* End of the extended grapheme cluster that starts at p. */
static const char *cluster_end(const char *p, const char *end)
{
    int length;
    utf8proc_int32_t state = 0;
    uint32_t c = mica__char_at(p, end, &length);
    while ((p += length) < end) {
        uint32_t next = mica__char_at(p, end, &length);
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)c, (utf8proc_int32_t)next, &state)) break;
        c = next;
    }
    return p;
}

static int32_t count_chars(mica__str s)
{
    int32_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

/* Characters are replaced one by one; those that are over are new or, the other way round, vanish behind the last one written. */
static void replace(mica__str old, mica__str replacement, mica__buf *out, mica__changes *changes)
{
    mica__buf_append_str(out, replacement);
    if (!changes) return;
    int32_t n_old = count_chars(old), n_new = count_chars(replacement);
    for (int32_t i = 0; i < n_new; i++) mica__changes_add(changes, i >= n_old);
    if (n_new < n_old && changes->n) changes->v[changes->n - 1] += n_new - n_old;
}

void mica__charsmap_apply(const mica__charsmap *map, mica__str s, mica__buf *out, mica__changes *changes)
{
    const char *p = s.p, *end = s.p + s.n;
    mica__str replacement;
    while (p < end) {
        const char *cluster = cluster_end(p, end);
        mica__str whole = {p, (size_t)(cluster - p)};
        if (whole.n < 6 && mica__charsmap_find(map, whole, &replacement)) {
            replace(whole, replacement, out, changes);
            p = cluster;
            continue;
        }
        while (p < cluster) {
            int length;
            mica__char_at(p, cluster, &length);
            mica__str character = {p, (size_t)length};
            bool known = mica__charsmap_find(map, character, &replacement);
            replace(character, known ? replacement : character, out, changes);
            p += length;
        }
    }
}
