/* text/unicode.c: character classes and normal forms on top of utf8proc's tables.
 *
 * The normal forms are built here from utf8proc's decomposition and composition of single stretches: the library's own
 * whole-string function sorts marks by insertion, which is quadratic on hostile text. Most text is "calm" (characters that
 * the form leaves alone and that no neighbour changes); only the stretches between calm characters are worked on. */
#include "text/unicode.h"
#include "base/memory.h"

#include <utf8proc.h>

bool mica__is_space(uint32_t c)
{
    return c == ' ' || (c >= 9 && c <= 13) || c == 0x85 || c == 0xa0 ||
           (c >= 0x1680 && (c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
                            c == 0x205f || c == 0x3000));
}

static utf8proc_category_t category(uint32_t c) { return utf8proc_category((utf8proc_int32_t)c); }

static bool is_other_alphabetic_symbol(uint32_t c)
{
    return (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
           (c >= 0x1f170 && c <= 0x1f189);
}

bool mica__is_word(uint32_t c)
{
    if (c < 0x80) return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_';
    utf8proc_category_t k = category(c);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NL) || k == UTF8PROC_CATEGORY_PC ||
           is_other_alphabetic_symbol(c);
}

bool mica__is_letter(uint32_t c)
{
    if (c < 0x80) return (c | 32) >= 'a' && (c | 32) <= 'z';
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool mica__is_numeric(uint32_t c)
{
    if (c < 0x80) return c >= '0' && c <= '9';
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO;
}

bool mica__is_punctuation(uint32_t c)
{
    if (c < 0x80)
        return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

bool mica__is_mark(uint32_t c)
{
    if (c < 0x300) return false;
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME;
}

bool mica__is_nonspacing(uint32_t c) { return c >= 0x300 && category(c) == UTF8PROC_CATEGORY_MN; }

bool mica__is_other(uint32_t c)
{
    utf8proc_category_t k = category(c);
    return k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_CS ||
           k == UTF8PROC_CATEGORY_CO;
}

int mica__to_lower(uint32_t c, uint32_t out[2])
{
    out[0] = c;
    if (c < 0x80) {
        if (c >= 'A' && c <= 'Z') out[0] = c + 32;
        return 1;
    }
    if (c == 0x130) { /* the only character whose lower case is two */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    return 1;
}

/* ---- normal forms ---- */

/* Has no decomposition in any form, is no mark, and composes with nothing before it. */
static bool is_calm_everywhere(uint32_t c)
{
    if (c < 0xa0) return true;
    if (c < 0x2010)
        return c >= 0x0400 && c <= 0x0482 && c != 0x400 && c != 0x401 && c != 0x403 && c != 0x407 && c != 0x40c &&
               c != 0x40d && c != 0x40e && c != 0x419 && c != 0x439 && c != 0x450 && c != 0x451 && c != 0x453 &&
               c != 0x457 && c != 0x45c && c != 0x45d && c != 0x45e && c != 0x476 && c != 0x477;
    return (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x1f300 && c <= 0x1f64f) ||
           c == 0x2013 || c == 0x2014 || (c >= 0x2018 && c <= 0x201e) || c == 0x3001 || c == 0x3002;
}

static bool is_calm(uint32_t c, mica__form form)
{
    if (is_calm_everywhere(c)) return true;
    if (form != MICA__NFC) return false;
    return c < 0x300 || (c >= 0x370 && c <= 0x482 && c != 0x374 && c != 0x37e && c != 0x387) ||
           (c >= 0xac00 && c <= 0xd7a3) || (c >= 0x3041 && c <= 0x3096) || (c >= 0x30a1 && c <= 0x30fe);
}

typedef struct codes {
    int32_t *v, *scratch;
    size_t n, cap;
} codes;

static int32_t *codes_reserve(codes *c, size_t n)
{
    if (c->cap - c->n < n) {
        size_t cap = c->cap * 2 + n + 64;
        int32_t *v = mica__realloc(c->v, cap, sizeof *v);
        if (!v) return NULL;
        c->v = v;
        mica__free(c->scratch);
        c->scratch = mica__alloc(cap, sizeof *v);
        c->cap = c->scratch ? cap : 0;
        if (!c->scratch) return NULL;
    }
    return c->v + c->n;
}

static unsigned combining_class(int32_t c) { return (unsigned)utf8proc_get_property(c)->combining_class; }

/* Stable sort of a run of marks by combining class. */
static void sort_marks(int32_t *v, size_t n, int32_t *scratch)
{
    if (n <= 16) {
        for (size_t i = 1; i < n; i++) {
            int32_t c = v[i];
            unsigned k = combining_class(c);
            size_t j = i;
            for (; j > 0 && combining_class(v[j - 1]) > k; j--) v[j] = v[j - 1];
            v[j] = c;
        }
        return;
    }
    size_t start[257] = {0};
    for (size_t i = 0; i < n; i++) start[combining_class(v[i]) + 1]++;
    for (int k = 0; k < 256; k++) start[k + 1] += start[k];
    for (size_t i = 0; i < n; i++) scratch[start[combining_class(v[i])]++] = v[i];
    memcpy(v, scratch, n * sizeof *v);
}

static void order_marks(codes *c)
{
    for (size_t i = 0; i < c->n;) {
        if (c->v[i] < 0x300 || combining_class(c->v[i]) == 0) {
            i++;
            continue;
        }
        size_t start = i;
        while (i < c->n && combining_class(c->v[i]) != 0) i++;
        if (i - start > 1) sort_marks(c->v + start, i - start, c->scratch);
    }
}

/* Appends one stretch in the form. */
static mica_status stretch(mica__buf *out, codes *c, const char *p, const char *end, mica__form form)
{
    bool compat = form == MICA__NFKC || form == MICA__NFKD, compose = form == MICA__NFC || form == MICA__NFKC;
    utf8proc_option_t options =
        (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compat ? UTF8PROC_COMPAT : 0));
    enum { LONGEST = 32 }; /* code points that one decomposes to: at most 18 */
    c->n = 0;
    while (p < end) {
        int length, boundary = 0;
        uint32_t cp = mica__char_at(p, end, &length);
        p += length;
        int32_t *at = codes_reserve(c, LONGEST);
        if (!at) return MICA_MEMORY;
        utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, at, LONGEST, options, &boundary);
        if (n < 0 || n > LONGEST) { /* cannot happen for a valid code point */
            at[0] = (int32_t)cp;
            n = 1;
        }
        c->n += (size_t)n;
    }
    order_marks(c);
    if (compose) {
        utf8proc_ssize_t n = utf8proc_normalize_utf32(c->v, (utf8proc_ssize_t)c->n,
                                                      (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
        if (n >= 0) c->n = (size_t)n;
    }
    for (size_t i = 0; i < c->n; i++) mica__buf_append_utf8(out, (uint32_t)c->v[i]);
    return MICA_OK;
}

mica_status mica__to_form(mica__buf *out, mica__str s, mica__form form, mica_error *err)
{
    codes c = {0};
    const char *end = s.p + s.n, *copied = s.p, *p = s.p;
    mica_status status = MICA_OK;
    while (p < end && status == MICA_OK) {
        const char *last = p; /* the calm character before the first restless one: a mark may change it */
        int length = 0;
        while (p < end && is_calm(mica__char_at(p, end, &length), form)) {
            last = p;
            p += length;
        }
        if (p >= end) break;
        mica__buf_append(out, copied, (size_t)(last - copied));
        while (p < end && !is_calm(mica__char_at(p, end, &length), form)) p += length;
        status = stretch(out, &c, last, p, form);
        copied = p;
    }
    mica__buf_append(out, copied, (size_t)(end - copied));
    mica__free(c.v);
    mica__free(c.scratch);
    if (status == MICA_MEMORY) return mica__fail_memory(err, c.cap * 4, "a normal form");
    return mica__buf_status(out, err, "normalized text");
}
