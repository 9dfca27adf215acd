/* text/scan.c: the split expressions of GPT-2, of Llama 3 (and GPT-4), and of Qwen 2 as loops over kinds of characters. */
#include "text/scan.h"
#include "text/unicode.h"

typedef enum kind { OTHER, LETTER, NUMBER, SPACE, NEWLINE } kind; /* NEWLINE: \r \n; SPACE: the rest of \s */

static const uint8_t ascii_kinds[128] = {
    ['\t'] = SPACE, ['\n'] = NEWLINE, [0x0b] = SPACE, [0x0c] = SPACE, ['\r'] = NEWLINE, [' '] = SPACE,  ['0'] = NUMBER,
    ['1'] = NUMBER, ['2'] = NUMBER,   ['3'] = NUMBER, ['4'] = NUMBER, ['5'] = NUMBER,   ['6'] = NUMBER, ['7'] = NUMBER,
    ['8'] = NUMBER, ['9'] = NUMBER,   ['a'] = LETTER, ['b'] = LETTER, ['c'] = LETTER,   ['d'] = LETTER, ['e'] = LETTER,
    ['f'] = LETTER, ['g'] = LETTER,   ['h'] = LETTER, ['i'] = LETTER, ['j'] = LETTER,   ['k'] = LETTER, ['l'] = LETTER,
    ['m'] = LETTER, ['n'] = LETTER,   ['o'] = LETTER, ['p'] = LETTER, ['q'] = LETTER,   ['r'] = LETTER, ['s'] = LETTER,
    ['t'] = LETTER, ['u'] = LETTER,   ['v'] = LETTER, ['w'] = LETTER, ['x'] = LETTER,   ['y'] = LETTER, ['z'] = LETTER,
    ['A'] = LETTER, ['B'] = LETTER,   ['C'] = LETTER, ['D'] = LETTER, ['E'] = LETTER,   ['F'] = LETTER, ['G'] = LETTER,
    ['H'] = LETTER, ['I'] = LETTER,   ['J'] = LETTER, ['K'] = LETTER, ['L'] = LETTER,   ['M'] = LETTER, ['N'] = LETTER,
    ['O'] = LETTER, ['P'] = LETTER,   ['Q'] = LETTER, ['R'] = LETTER, ['S'] = LETTER,   ['T'] = LETTER, ['U'] = LETTER,
    ['V'] = LETTER, ['W'] = LETTER,   ['X'] = LETTER, ['Y'] = LETTER, ['Z'] = LETTER,
};

static kind wide_kind(const char *p, const char *end, int *length)
{
    uint32_t c = mica__char_at(p, end, length);
    return mica__is_letter(c) ? LETTER : mica__is_numeric(c) ? NUMBER : mica__is_space(c) ? SPACE : OTHER;
}

static inline kind kind_at(const char *p, const char *end, int *length)
{
    unsigned char c = (unsigned char)*p;
    if (c >= 0x80) return wide_kind(p, end, length);
    *length = 1;
    return (kind)ascii_kinds[c];
}

/* The end of the run of one kind at p, of at most `most` characters. */
static inline const char *run(const char *p, const char *end, kind k, size_t most)
{
    for (int length; most && p < end && kind_at(p, end, &length) == k; most--) p += length;
    return p;
}

static const char *newlines(const char *p, const char *end)
{
    while (p < end && (*p == '\r' || *p == '\n')) p++;
    return p;
}

/* The end of 's 't 're 've 'm 'll 'd at p, which is an apostrophe; p if none is there. */
static const char *contraction(const char *p, const char *end, bool any_case)
{
    size_t n = (size_t)(end - p);
    if (n < 2) return p;
    char a = any_case && p[1] >= 'A' && p[1] <= 'Z' ? (char)(p[1] + 32) : p[1];
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return p + 2;
    if (n < 3) return p;
    if (any_case && memcmp(p + 1, "\xc5\xbf", 2) == 0) return p + 3; /* U+017F, another lower case of S */
    char b = any_case && p[2] >= 'A' && p[2] <= 'Z' ? (char)(p[2] + 32) : p[2];
    bool found = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
    return found ? p + 3 : p;
}

/* \s*[\r\n]+ (if with_newline), else \s+(?!\S), else \s+ ; p is white space. */
static const char *white_space(const char *p, const char *end, bool with_newline)
{
    const char *q = p, *last = p, *after_newline = NULL; /* last: start of the run's last character */
    for (int length; q < end; q += length) {
        kind k = kind_at(q, end, &length);
        if (k != SPACE && k != NEWLINE) break;
        last = q;
        if (k == NEWLINE) after_newline = q + 1;
    }
    if (with_newline && after_newline) return after_newline;
    return q == end || last == p ? q : last;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static inline const char *llama(const char *p, const char *end, size_t digits)
{
    int length, next_length;
    kind k = kind_at(p, end, &length);
    if (k == LETTER) return run(p + length, end, LETTER, SIZE_MAX);
    if (k == NUMBER) return run(p + length, end, NUMBER, digits - 1);
    if (*p == '\'') {
        const char *q = contraction(p, end, true);
        if (q > p) return q;
    }
    const char *next = p + length;
    kind k_next = next < end ? kind_at(next, end, &next_length) : SPACE;
    if (k != NEWLINE && k_next == LETTER) return run(next, end, LETTER, SIZE_MAX);
    if (k == OTHER || (*p == ' ' && k_next == OTHER)) return newlines(run(next, end, OTHER, SIZE_MAX), end);
    return white_space(p, end, true);
}

static size_t scan_llama3(const char *p, const char *end) { return (size_t)(llama(p, end, 3) - p); }
static size_t scan_qwen2(const char *p, const char *end) { return (size_t)(llama(p, end, 1) - p); }

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t scan_gpt2(const char *p, const char *end)
{
    int length;
    if (*p == '\'') {
        const char *q = contraction(p, end, false);
        if (q > p) return (size_t)(q - p);
    }
    const char *start = *p == ' ' && p + 1 < end ? p + 1 : p;
    kind k = kind_at(start, end, &length);
    const char *q = k == SPACE || k == NEWLINE ? white_space(p, end, false) : run(start, end, k, SIZE_MAX);
    return (size_t)(q - p);
}

#define CONTRACTIONS "'s|'t|'re|'ve|'m|'ll|'d"
#define LLAMA_START "(?i:" CONTRACTIONS ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define LLAMA_END "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct {
    const char *regex;
    mica__scanner scan;
} scanners[] = {
    {LLAMA_START "\\p{N}{1,3}" LLAMA_END, scan_llama3},
    {LLAMA_START "\\p{N}" LLAMA_END, scan_qwen2},
    {CONTRACTIONS "| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", scan_gpt2},
};

enum { N_SCANNERS = sizeof scanners / sizeof scanners[0] };

mica__scanner mica__scanner_find(mica__str regex)
{
    for (size_t i = 0; i < N_SCANNERS; i++)
        if (mica__str_is(regex, scanners[i].regex)) return scanners[i].scan;
    return NULL;
}

const char *mica__scanner_regex(size_t i) { return i < N_SCANNERS ? scanners[i].regex : NULL; }
