/* text/bytelevel.c: the byte alphabet. */
#include "text/bytelevel.h"
#include "text/unicode.h"

/* Two-byte UTF-8 of code point c, for the table. */
#define TWO(c)                                                                                                         \
    {                                                                                                                  \
        {(char)(0xc0 | (c) >> 6), (char)(0x80 | ((c)&0x3f))}, 2                                                        \
    }
#define ONE(c)                                                                                                         \
    {                                                                                                                  \
        {(char)(c), 0}, 1                                                                                              \
    }

const mica__byte_char mica__byte_chars[256] = {
    TWO(0x100), TWO(0x101), TWO(0x102), TWO(0x103), TWO(0x104), TWO(0x105), TWO(0x106), TWO(0x107), TWO(0x108),
    TWO(0x109), TWO(0x10a), TWO(0x10b), TWO(0x10c), TWO(0x10d), TWO(0x10e), TWO(0x10f), TWO(0x110), TWO(0x111),
    TWO(0x112), TWO(0x113), TWO(0x114), TWO(0x115), TWO(0x116), TWO(0x117), TWO(0x118), TWO(0x119), TWO(0x11a),
    TWO(0x11b), TWO(0x11c), TWO(0x11d), TWO(0x11e), TWO(0x11f), TWO(0x120), ONE(0x21),  ONE(0x22),  ONE(0x23),
    ONE(0x24),  ONE(0x25),  ONE(0x26),  ONE(0x27),  ONE(0x28),  ONE(0x29),  ONE(0x2a),  ONE(0x2b),  ONE(0x2c),
    ONE(0x2d),  ONE(0x2e),  ONE(0x2f),  ONE(0x30),  ONE(0x31),  ONE(0x32),  ONE(0x33),  ONE(0x34),  ONE(0x35),
    ONE(0x36),  ONE(0x37),  ONE(0x38),  ONE(0x39),  ONE(0x3a),  ONE(0x3b),  ONE(0x3c),  ONE(0x3d),  ONE(0x3e),
    ONE(0x3f),  ONE(0x40),  ONE(0x41),  ONE(0x42),  ONE(0x43),  ONE(0x44),  ONE(0x45),  ONE(0x46),  ONE(0x47),
    ONE(0x48),  ONE(0x49),  ONE(0x4a),  ONE(0x4b),  ONE(0x4c),  ONE(0x4d),  ONE(0x4e),  ONE(0x4f),  ONE(0x50),
    ONE(0x51),  ONE(0x52),  ONE(0x53),  ONE(0x54),  ONE(0x55),  ONE(0x56),  ONE(0x57),  ONE(0x58),  ONE(0x59),
    ONE(0x5a),  ONE(0x5b),  ONE(0x5c),  ONE(0x5d),  ONE(0x5e),  ONE(0x5f),  ONE(0x60),  ONE(0x61),  ONE(0x62),
    ONE(0x63),  ONE(0x64),  ONE(0x65),  ONE(0x66),  ONE(0x67),  ONE(0x68),  ONE(0x69),  ONE(0x6a),  ONE(0x6b),
    ONE(0x6c),  ONE(0x6d),  ONE(0x6e),  ONE(0x6f),  ONE(0x70),  ONE(0x71),  ONE(0x72),  ONE(0x73),  ONE(0x74),
    ONE(0x75),  ONE(0x76),  ONE(0x77),  ONE(0x78),  ONE(0x79),  ONE(0x7a),  ONE(0x7b),  ONE(0x7c),  ONE(0x7d),
    ONE(0x7e),  TWO(0x121), TWO(0x122), TWO(0x123), TWO(0x124), TWO(0x125), TWO(0x126), TWO(0x127), TWO(0x128),
    TWO(0x129), TWO(0x12a), TWO(0x12b), TWO(0x12c), TWO(0x12d), TWO(0x12e), TWO(0x12f), TWO(0x130), TWO(0x131),
    TWO(0x132), TWO(0x133), TWO(0x134), TWO(0x135), TWO(0x136), TWO(0x137), TWO(0x138), TWO(0x139), TWO(0x13a),
    TWO(0x13b), TWO(0x13c), TWO(0x13d), TWO(0x13e), TWO(0x13f), TWO(0x140), TWO(0x141), TWO(0x142), TWO(0x0a1),
    TWO(0x0a2), TWO(0x0a3), TWO(0x0a4), TWO(0x0a5), TWO(0x0a6), TWO(0x0a7), TWO(0x0a8), TWO(0x0a9), TWO(0x0aa),
    TWO(0x0ab), TWO(0x0ac), TWO(0x143), TWO(0x0ae), TWO(0x0af), TWO(0x0b0), TWO(0x0b1), TWO(0x0b2), TWO(0x0b3),
    TWO(0x0b4), TWO(0x0b5), TWO(0x0b6), TWO(0x0b7), TWO(0x0b8), TWO(0x0b9), TWO(0x0ba), TWO(0x0bb), TWO(0x0bc),
    TWO(0x0bd), TWO(0x0be), TWO(0x0bf), TWO(0x0c0), TWO(0x0c1), TWO(0x0c2), TWO(0x0c3), TWO(0x0c4), TWO(0x0c5),
    TWO(0x0c6), TWO(0x0c7), TWO(0x0c8), TWO(0x0c9), TWO(0x0ca), TWO(0x0cb), TWO(0x0cc), TWO(0x0cd), TWO(0x0ce),
    TWO(0x0cf), TWO(0x0d0), TWO(0x0d1), TWO(0x0d2), TWO(0x0d3), TWO(0x0d4), TWO(0x0d5), TWO(0x0d6), TWO(0x0d7),
    TWO(0x0d8), TWO(0x0d9), TWO(0x0da), TWO(0x0db), TWO(0x0dc), TWO(0x0dd), TWO(0x0de), TWO(0x0df), TWO(0x0e0),
    TWO(0x0e1), TWO(0x0e2), TWO(0x0e3), TWO(0x0e4), TWO(0x0e5), TWO(0x0e6), TWO(0x0e7), TWO(0x0e8), TWO(0x0e9),
    TWO(0x0ea), TWO(0x0eb), TWO(0x0ec), TWO(0x0ed), TWO(0x0ee), TWO(0x0ef), TWO(0x0f0), TWO(0x0f1), TWO(0x0f2),
    TWO(0x0f3), TWO(0x0f4), TWO(0x0f5), TWO(0x0f6), TWO(0x0f7), TWO(0x0f8), TWO(0x0f9), TWO(0x0fa), TWO(0x0fb),
    TWO(0x0fc), TWO(0x0fd), TWO(0x0fe), TWO(0x0ff),
};

void mica__bytes_to_chars(mica__buf *out, mica__str bytes)
{
    char *at = mica__buf_reserve(out, 2 * bytes.n);
    if (!at) return;
    for (size_t i = 0; i < bytes.n; i++) {
        const mica__byte_char *c = &mica__byte_chars[(unsigned char)bytes.p[i]];
        at[0] = c->utf8[0];
        if (c->n == 2) at[1] = c->utf8[1];
        at += c->n;
    }
    out->n = (size_t)(at - out->p);
    *at = 0;
}

void mica__rewrite_to_chars(mica__rewrite *r, size_t start, size_t end)
{
    if (!r->spans) {
        mica__bytes_to_chars(&r->target->text, (mica__str){r->text.p + start, end - start});
        return;
    }
    for (size_t i = start; i < end; i++) {
        const mica__byte_char *c = &mica__byte_chars[(unsigned char)r->text.p[i]];
        mica__rewrite_put(r, c->utf8, c->n, i);
    }
}

int mica__byte_of_char(uint32_t c)
{
    if (c < 0x100) {
        bool itself = (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xac) || c >= 0xae;
        return itself ? (int)c : -1;
    }
    if (c <= 0x120) return (int)c - 0x100;        /* 00..20 */
    if (c <= 0x142) return (int)c - 0x121 + 0x7f; /* 7f..a0 */
    return c == 0x143 ? 0xad : -1;
}

void mica__chars_to_bytes(mica__buf *out, mica__str token)
{
    size_t before = out->n;
    char *at = mica__buf_reserve(out, token.n);
    if (!at) return;
    for (const char *p = token.p, *end = token.p + token.n; p < end;) {
        int length, byte = mica__byte_of_char(mica__char_at(p, end, &length));
        if (byte < 0) {
            out->n = before;
            mica__buf_append_str(out, token);
            return;
        }
        *at++ = (char)byte;
        p += length;
    }
    *at = 0;
    out->n = (size_t)(at - out->p);
}
