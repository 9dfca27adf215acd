/* text/jinja_unicode.c: characters as Python's str knows them.
 *
 * utf8proc knows categories and one-to-one case mappings; what is added here are the mappings to several characters and the
 * numeric characters that are not numbers by category. The tables were made from Unicode 14. */
#include "jinja_unicode.h"
#include <utf8proc.h>

typedef struct range {
    uint32_t first, last;
} range;

/* Characters whose upper case is several characters, and their title case where that is several, too. */
static const struct {
    uint32_t from;
    uint32_t upper[3], title[3];
} special_cases[] = {
    {0xDF, {0x53, 0x53}, {0x53, 0x73}},
    {0x149, {0x2BC, 0x4E}, {0x2BC, 0x4E}},
    {0x1F0, {0x4A, 0x30C}, {0x4A, 0x30C}},
    {0x390, {0x399, 0x308, 0x301}, {0x399, 0x308, 0x301}},
    {0x3B0, {0x3A5, 0x308, 0x301}, {0x3A5, 0x308, 0x301}},
    {0x587, {0x535, 0x552}, {0x535, 0x582}},
    {0x1E96, {0x48, 0x331}, {0x48, 0x331}},
    {0x1E97, {0x54, 0x308}, {0x54, 0x308}},
    {0x1E98, {0x57, 0x30A}, {0x57, 0x30A}},
    {0x1E99, {0x59, 0x30A}, {0x59, 0x30A}},
    {0x1E9A, {0x41, 0x2BE}, {0x41, 0x2BE}},
    {0x1F50, {0x3A5, 0x313}, {0x3A5, 0x313}},
    {0x1F52, {0x3A5, 0x313, 0x300}, {0x3A5, 0x313, 0x300}},
    {0x1F54, {0x3A5, 0x313, 0x301}, {0x3A5, 0x313, 0x301}},
    {0x1F56, {0x3A5, 0x313, 0x342}, {0x3A5, 0x313, 0x342}},
    {0x1F80, {0x1F08, 0x399}, {0}},
    {0x1F81, {0x1F09, 0x399}, {0}},
    {0x1F82, {0x1F0A, 0x399}, {0}},
    {0x1F83, {0x1F0B, 0x399}, {0}},
    {0x1F84, {0x1F0C, 0x399}, {0}},
    {0x1F85, {0x1F0D, 0x399}, {0}},
    {0x1F86, {0x1F0E, 0x399}, {0}},
    {0x1F87, {0x1F0F, 0x399}, {0}},
    {0x1F88, {0x1F08, 0x399}, {0}},
    {0x1F89, {0x1F09, 0x399}, {0}},
    {0x1F8A, {0x1F0A, 0x399}, {0}},
    {0x1F8B, {0x1F0B, 0x399}, {0}},
    {0x1F8C, {0x1F0C, 0x399}, {0}},
    {0x1F8D, {0x1F0D, 0x399}, {0}},
    {0x1F8E, {0x1F0E, 0x399}, {0}},
    {0x1F8F, {0x1F0F, 0x399}, {0}},
    {0x1F90, {0x1F28, 0x399}, {0}},
    {0x1F91, {0x1F29, 0x399}, {0}},
    {0x1F92, {0x1F2A, 0x399}, {0}},
    {0x1F93, {0x1F2B, 0x399}, {0}},
    {0x1F94, {0x1F2C, 0x399}, {0}},
    {0x1F95, {0x1F2D, 0x399}, {0}},
    {0x1F96, {0x1F2E, 0x399}, {0}},
    {0x1F97, {0x1F2F, 0x399}, {0}},
    {0x1F98, {0x1F28, 0x399}, {0}},
    {0x1F99, {0x1F29, 0x399}, {0}},
    {0x1F9A, {0x1F2A, 0x399}, {0}},
    {0x1F9B, {0x1F2B, 0x399}, {0}},
    {0x1F9C, {0x1F2C, 0x399}, {0}},
    {0x1F9D, {0x1F2D, 0x399}, {0}},
    {0x1F9E, {0x1F2E, 0x399}, {0}},
    {0x1F9F, {0x1F2F, 0x399}, {0}},
    {0x1FA0, {0x1F68, 0x399}, {0}},
    {0x1FA1, {0x1F69, 0x399}, {0}},
    {0x1FA2, {0x1F6A, 0x399}, {0}},
    {0x1FA3, {0x1F6B, 0x399}, {0}},
    {0x1FA4, {0x1F6C, 0x399}, {0}},
    {0x1FA5, {0x1F6D, 0x399}, {0}},
    {0x1FA6, {0x1F6E, 0x399}, {0}},
    {0x1FA7, {0x1F6F, 0x399}, {0}},
    {0x1FA8, {0x1F68, 0x399}, {0}},
    {0x1FA9, {0x1F69, 0x399}, {0}},
    {0x1FAA, {0x1F6A, 0x399}, {0}},
    {0x1FAB, {0x1F6B, 0x399}, {0}},
    {0x1FAC, {0x1F6C, 0x399}, {0}},
    {0x1FAD, {0x1F6D, 0x399}, {0}},
    {0x1FAE, {0x1F6E, 0x399}, {0}},
    {0x1FAF, {0x1F6F, 0x399}, {0}},
    {0x1FB2, {0x1FBA, 0x399}, {0x1FBA, 0x345}},
    {0x1FB3, {0x391, 0x399}, {0}},
    {0x1FB4, {0x386, 0x399}, {0x386, 0x345}},
    {0x1FB6, {0x391, 0x342}, {0x391, 0x342}},
    {0x1FB7, {0x391, 0x342, 0x399}, {0x391, 0x342, 0x345}},
    {0x1FBC, {0x391, 0x399}, {0}},
    {0x1FC2, {0x1FCA, 0x399}, {0x1FCA, 0x345}},
    {0x1FC3, {0x397, 0x399}, {0}},
    {0x1FC4, {0x389, 0x399}, {0x389, 0x345}},
    {0x1FC6, {0x397, 0x342}, {0x397, 0x342}},
    {0x1FC7, {0x397, 0x342, 0x399}, {0x397, 0x342, 0x345}},
    {0x1FCC, {0x397, 0x399}, {0}},
    {0x1FD2, {0x399, 0x308, 0x300}, {0x399, 0x308, 0x300}},
    {0x1FD3, {0x399, 0x308, 0x301}, {0x399, 0x308, 0x301}},
    {0x1FD6, {0x399, 0x342}, {0x399, 0x342}},
    {0x1FD7, {0x399, 0x308, 0x342}, {0x399, 0x308, 0x342}},
    {0x1FE2, {0x3A5, 0x308, 0x300}, {0x3A5, 0x308, 0x300}},
    {0x1FE3, {0x3A5, 0x308, 0x301}, {0x3A5, 0x308, 0x301}},
    {0x1FE4, {0x3A1, 0x313}, {0x3A1, 0x313}},
    {0x1FE6, {0x3A5, 0x342}, {0x3A5, 0x342}},
    {0x1FE7, {0x3A5, 0x308, 0x342}, {0x3A5, 0x308, 0x342}},
    {0x1FF2, {0x1FFA, 0x399}, {0x1FFA, 0x345}},
    {0x1FF3, {0x3A9, 0x399}, {0}},
    {0x1FF4, {0x38F, 0x399}, {0x38F, 0x345}},
    {0x1FF6, {0x3A9, 0x342}, {0x3A9, 0x342}},
    {0x1FF7, {0x3A9, 0x342, 0x399}, {0x3A9, 0x342, 0x345}},
    {0x1FFC, {0x3A9, 0x399}, {0}},
    {0xFB00, {0x46, 0x46}, {0x46, 0x66}},
    {0xFB01, {0x46, 0x49}, {0x46, 0x69}},
    {0xFB02, {0x46, 0x4C}, {0x46, 0x6C}},
    {0xFB03, {0x46, 0x46, 0x49}, {0x46, 0x66, 0x69}},
    {0xFB04, {0x46, 0x46, 0x4C}, {0x46, 0x66, 0x6C}},
    {0xFB05, {0x53, 0x54}, {0x53, 0x74}},
    {0xFB06, {0x53, 0x54}, {0x53, 0x74}},
    {0xFB13, {0x544, 0x546}, {0x544, 0x576}},
    {0xFB14, {0x544, 0x535}, {0x544, 0x565}},
    {0xFB15, {0x544, 0x53B}, {0x544, 0x56B}},
    {0xFB16, {0x54E, 0x546}, {0x54E, 0x576}},
    {0xFB17, {0x544, 0x53D}, {0x544, 0x56D}},
};

/* isdigit() but not a decimal: superscripts, circled digits ... */
static const range other_digits[] = {{0xB2, 0xB3},       {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},
                                     {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
                                     {0x2474, 0x247C},   {0x2488, 0x2490},   {0x24EA, 0x24EA},   {0x24F5, 0x24FD},
                                     {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},   {0x278A, 0x2792},
                                     {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A}};
/* isnumeric() though letters by category: ideographs for numbers. */
static const range numeric_letters[] = {
    {0x3405, 0x3405},   {0x3483, 0x3483},   {0x382A, 0x382A},   {0x3B4D, 0x3B4D},   {0x4E00, 0x4E00},
    {0x4E03, 0x4E03},   {0x4E07, 0x4E07},   {0x4E09, 0x4E09},   {0x4E5D, 0x4E5D},   {0x4E8C, 0x4E8C},
    {0x4E94, 0x4E94},   {0x4E96, 0x4E96},   {0x4EBF, 0x4EC0},   {0x4EDF, 0x4EDF},   {0x4EE8, 0x4EE8},
    {0x4F0D, 0x4F0D},   {0x4F70, 0x4F70},   {0x5104, 0x5104},   {0x5146, 0x5146},   {0x5169, 0x5169},
    {0x516B, 0x516B},   {0x516D, 0x516D},   {0x5341, 0x5341},   {0x5343, 0x5345},   {0x534C, 0x534C},
    {0x53C1, 0x53C4},   {0x56DB, 0x56DB},   {0x58F1, 0x58F1},   {0x58F9, 0x58F9},   {0x5E7A, 0x5E7A},
    {0x5EFE, 0x5EFF},   {0x5F0C, 0x5F0E},   {0x5F10, 0x5F10},   {0x62FE, 0x62FE},   {0x634C, 0x634C},
    {0x67D2, 0x67D2},   {0x6F06, 0x6F06},   {0x7396, 0x7396},   {0x767E, 0x767E},   {0x8086, 0x8086},
    {0x842C, 0x842C},   {0x8CAE, 0x8CAE},   {0x8CB3, 0x8CB3},   {0x8D30, 0x8D30},   {0x9621, 0x9621},
    {0x9646, 0x9646},   {0x964C, 0x964C},   {0x9678, 0x9678},   {0x96F6, 0x96F6},   {0xF96B, 0xF96B},
    {0xF973, 0xF973},   {0xF978, 0xF978},   {0xF9B2, 0xF9B2},   {0xF9D1, 0xF9D1},   {0xF9D3, 0xF9D3},
    {0xF9FD, 0xF9FD},   {0x20001, 0x20001}, {0x20064, 0x20064}, {0x200E2, 0x200E2}, {0x20121, 0x20121},
    {0x2092A, 0x2092A}, {0x20983, 0x20983}, {0x2098C, 0x2098C}, {0x2099C, 0x2099C}, {0x20AEA, 0x20AEA},
    {0x20AFD, 0x20AFD}, {0x20B19, 0x20B19}, {0x22390, 0x22390}, {0x22998, 0x22998}, {0x23B1B, 0x23B1B},
    {0x2626D, 0x2626D}, {0x2F890, 0x2F890}};

#define COUNT(a) (sizeof(a) / sizeof *(a))

static bool in_ranges(uint32_t c, const range *r, size_t n)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (c > r[mid].last) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < n && c >= r[lo].first;
}

static utf8proc_category_t category(uint32_t c) { return utf8proc_category((utf8proc_int32_t)c); }

bool mica__py_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool mica__py_is_line_end(uint32_t c)
{
    return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool mica__py_is_printable(uint32_t c)
{
    if (c < 0x7F) return c >= 0x20;
    switch (category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return false;
    default:
        return true;
    }
}

bool mica__py_is_alpha(uint32_t c)
{
    if (c < 0x80) return (c | 32) >= 'a' && (c | 32) <= 'z';
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool mica__py_is_decimal(uint32_t c) { return c < 0x80 ? c >= '0' && c <= '9' : category(c) == UTF8PROC_CATEGORY_ND; }

bool mica__py_is_digit(uint32_t c) { return mica__py_is_decimal(c) || in_ranges(c, other_digits, COUNT(other_digits)); }

bool mica__py_is_numeric(uint32_t c)
{
    utf8proc_category_t k = category(c);
    return (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO) ||
           in_ranges(c, numeric_letters, COUNT(numeric_letters));
}

bool mica__py_is_alnum(uint32_t c) { return mica__py_is_alpha(c) || mica__py_is_numeric(c); }
bool mica__py_is_lower(uint32_t c) { return utf8proc_islower((utf8proc_int32_t)c) != 0; }
bool mica__py_is_upper(uint32_t c) { return utf8proc_isupper((utf8proc_int32_t)c) != 0; }
bool mica__py_is_title(uint32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }

bool mica__py_is_case_ignorable(uint32_t c)
{
    static const uint32_t marks[] = {0x27,   0x2E,   0x3A,   0xB7,   0x387,  0x55F,  0x5F4,  0x2018, 0x2019,
                                     0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
    for (size_t i = 0; i < COUNT(marks); i++)
        if (marks[i] == c) return true;
    utf8proc_category_t k = category(c);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
           k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK;
}

static int copy3(const uint32_t from[3], uint32_t out[3])
{
    int n = 0;
    while (n < 3 && from[n]) out[n] = from[n], n++;
    return n;
}

/* Index into special_cases, or -1. */
static int special(uint32_t c)
{
    size_t lo = 0, hi = COUNT(special_cases);
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (c > special_cases[mid].from) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < COUNT(special_cases) && special_cases[lo].from == c ? (int)lo : -1;
}

int mica__py_upper(uint32_t c, uint32_t out[3])
{
    int k = c < 0x80 ? -1 : special(c);
    if (k >= 0) return copy3(special_cases[k].upper, out);
    out[0] = (uint32_t)utf8proc_toupper((utf8proc_int32_t)c);
    return 1;
}

int mica__py_title(uint32_t c, uint32_t out[3])
{
    int k = c < 0x80 ? -1 : special(c);
    if (k >= 0 && special_cases[k].title[0]) return copy3(special_cases[k].title, out);
    out[0] = (uint32_t)utf8proc_totitle((utf8proc_int32_t)c);
    return 1;
}

int mica__py_lower(uint32_t c, uint32_t out[3])
{
    if (c == 0x130) return out[0] = 'i', out[1] = 0x307, 2;
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    return 1;
}

int mica__py_casefold(uint32_t c, uint32_t out[3])
{
    utf8proc_int32_t folded[8];
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, folded, 8, UTF8PROC_CASEFOLD, &boundary);
    if (n < 1 || n > 3) return out[0] = c, 1;
    for (int i = 0; i < n; i++) out[i] = (uint32_t)folded[i];
    return (int)n;
}

int mica__py_digit(uint32_t c)
{
    if (c >= '0' && c <= '9') return (int)(c - '0');
    uint32_t lower = c | 32;
    return c < 0x80 && lower >= 'a' && lower <= 'z' ? (int)(lower - 'a') + 10 : 99;
}

int mica__py_decimal_value(uint32_t c)
{
    if (c < 0x80) return c >= '0' && c <= '9' ? (int)(c - '0') : -1;
    if (!mica__py_is_decimal(c)) return -1;
    uint32_t zero = c; /* decimals come in runs of ten */
    while (zero > 0 && mica__py_is_decimal(zero - 1)) zero--;
    return (int)((c - zero) % 10);
}

size_t mica__py_identifier(const char *p, size_t n)
{
    mica__str rest = {p, n}, before = rest;
    uint32_t c;
    while (mica__py_next(&rest, &c)) {
        bool starts = c == '_' || mica__py_is_alpha(c) || (c >= 0x80 && category(c) == UTF8PROC_CATEGORY_NL);
        bool goes_on = before.p != p && c >= 0x30 &&
                       (mica__py_is_decimal(c) ||
                        (c >= 0x80 && (category(c) == UTF8PROC_CATEGORY_MN || category(c) == UTF8PROC_CATEGORY_MC ||
                                       category(c) == UTF8PROC_CATEGORY_PC)));
        if (!starts && !goes_on) break;
        before = rest;
    }
    return n - before.n;
}

bool mica__py_next(mica__str *s, uint32_t *c)
{
    if (!s->n) return false;
    unsigned char b = (unsigned char)s->p[0];
    size_t n = 1;
    if (b < 0x80) {
        *c = b;
    } else {
        int k = mica__utf8_decode(s->p, s->n, c);
        if (k > 0) {
            n = (size_t)k;
        } else {
            *c = 0xFFFD;
        }
    }
    s->p += n;
    s->n -= n;
    return true;
}

bool mica__py_prev(mica__str *s, uint32_t *c)
{
    if (!s->n) return false;
    size_t n = 1;
    while (n < s->n && n < 4 && ((unsigned char)s->p[s->n - n] & 0xC0) == 0x80) n++;
    mica__str last = {s->p + s->n - n, n};
    mica__py_next(&last, c);
    s->n -= n;
    return true;
}

mica__str mica__py_trim_start(mica__str s)
{
    uint32_t c;
    for (mica__str rest = s; mica__py_next(&rest, &c) && mica__py_is_space(c);) s = rest;
    return s;
}

mica__str mica__py_trim_end(mica__str s)
{
    uint32_t c;
    for (mica__str rest = s; mica__py_prev(&rest, &c) && mica__py_is_space(c);) s = rest;
    return s;
}
