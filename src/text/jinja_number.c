/* text/jinja_number.c: numbers from text and to text, as Python reads and prints them. */
#include "jinja_eval.h"
#include "jinja_unicode.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

bool mica__jint_literal(mica__str text, mica__jv *v)
{
    int base = 10;
    if (text.n > 2 && text.p[0] == '0') {
        char c = (char)(text.p[1] | 32);
        base = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 10;
    }
    int64_t value = 0;
    for (size_t i = base == 10 ? 0 : 2; i < text.n; i++) {
        int digit = mica__py_digit((unsigned char)text.p[i]);
        if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value)) {
            v->kind = JV_BIG;
            return base == 10;
        }
    }
    *v = mica__jv_int(value);
    return true;
}

/* Digits (of any script) without the underscores that may stand between them, ASCII, into out; false if it is no such number. */
static bool clean_digits(mica__str s, int base, mica__jtext *out)
{
    bool after_digit = false, any = false;
    for (uint32_t c; mica__py_next(&s, &c);) {
        if (c == '_') {
            if (!after_digit || !s.n) return false;
            after_digit = false;
            continue;
        }
        int value = mica__py_digit(c);
        if (value == 99) value = mica__py_decimal_value(c);
        if (value < 0 || value >= base) return false;
        mica__jtext_add_char(out, (uint32_t)(value < 10 ? '0' + value : 'a' + value - 10));
        after_digit = any = true;
    }
    return any;
}

bool mica__py_parse_int(mica__jin *j, mica__jv text, int base, mica__jv *out)
{
    mica__str s = mica__py_trim_start(mica__py_trim_end(mica__jv_text(text)));
    bool negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) s.p++, s.n--;
    if (s.n > 2 && s.p[0] == '0' && (base == 0 || base == 2 || base == 8 || base == 16)) {
        int c = s.p[1] | 32, prefix = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
        if (prefix && (base == 0 || base == prefix)) {
            base = prefix;
            s.p += 2, s.n -= 2;
            if (s.n > 1 && s.p[0] == '_') s.p++, s.n--;
        }
    }
    bool guessed = base == 0;
    if (guessed) base = 10;
    if (s.n > 5000) return false; /* Python's limit is 4300 digits */
    mica__jtext digits = {.j = j};
    if (!clean_digits(s, base, &digits) || digits.failed) return false;
    if (guessed && digits.p[0] == '0' && strspn(digits.p, "0") < digits.n) return false;
    size_t zeros = 0;
    while (zeros + 1 < digits.n && digits.p[zeros] == '0') zeros++;
    int64_t value = 0;
    for (size_t i = zeros; i < digits.n; i++) {
        int d = mica__py_digit((unsigned char)digits.p[i]);
        if (!__builtin_mul_overflow(value, base, &value) &&
            !(negative ? __builtin_sub_overflow(value, d, &value) : __builtin_add_overflow(value, d, &value)))
            continue;
        if (base != 10) {
            mica__jin_fail(j, MICA_LIMIT, "integer beyond 64 bits");
            return false;
        }
        mica__jtext big = {.j = j};
        if (negative) mica__jtext_add(&big, "-", 1);
        mica__jtext_add(&big, digits.p + zeros, digits.n - zeros);
        *out = mica__jtext_value(&big);
        if (out->kind == JV_ERROR) return false;
        out->kind = JV_BIG;
        return true;
    }
    *out = mica__jv_int(value);
    return true;
}

/* True if s is one of the words Python's float() knows, in any case. */
static bool float_word(mica__str s, double *out)
{
    static const char *const words[] = {"inf", "infinity", "nan"};
    for (int i = 0; i < 3; i++) {
        if (s.n != strlen(words[i])) continue;
        size_t k = 0;
        while (k < s.n && tolower((unsigned char)s.p[k]) == words[i][k]) k++;
        if (k < s.n) continue;
        *out = i == 2 ? (double)NAN : (double)INFINITY;
        return true;
    }
    return false;
}

bool mica__py_parse_float(mica__str text, double *out)
{
    char clean[400];
    size_t n = 0;
    mica__str s = mica__py_trim_start(mica__py_trim_end(text));
    bool negative = s.n && s.p[0] == '-';
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) s.p++, s.n--;
    if (float_word(s, out)) {
        if (negative) *out = -*out;
        return true;
    }
    uint32_t last = 0;
    for (uint32_t c; mica__py_next(&s, &c); last = c) {
        int digit = mica__py_decimal_value(c);
        if (c == '_') {
            mica__str ahead = s;
            uint32_t next = 0;
            mica__py_next(&ahead, &next);
            if (mica__py_decimal_value(last) < 0 || mica__py_decimal_value(next) < 0) return false;
            continue;
        }
        if (digit < 0 && (c >= 0x80 || !c || !strchr(".eE+-", (int)c))) return false;
        if (n + 1 >= sizeof clean) return false;
        clean[n++] = digit >= 0 ? (char)('0' + digit) : (char)c;
    }
    /* What mica__parse_double reads is JSON's and C's common ground: give it digits on both sides of the point. */
    char full[410];
    size_t m = 0, i = 0, whole = 0, fraction = 0;
    while (i < n && clean[i] >= '0' && clean[i] <= '9') full[m++] = clean[i++], whole++;
    if (!whole) full[m++] = '0';
    if (i < n && clean[i] == '.') {
        full[m++] = clean[i++];
        while (i < n && clean[i] >= '0' && clean[i] <= '9') full[m++] = clean[i++], fraction++;
        if (!fraction) full[m++] = '0';
    }
    if (!whole && !fraction) return false;
    memcpy(full + m, clean + i, n - i);
    m += n - i;
    if (i < n && clean[i] != 'e' && clean[i] != 'E') return false;
    size_t lead = 0;
    while (lead + 1 < m && full[lead] == '0' && full[lead + 1] >= '0' && full[lead + 1] <= '9') lead++;
    if (!mica__parse_double(full + lead, m - lead, out)) return false;
    if (negative) *out = -*out;
    return true;
}

/* printf with whatever decimal point the process's locale has, put right. */
static int print_double(char *out, size_t cap, double v, char type, int precision, bool alternate)
{
    char format[8] = {'%'};
    int k = 1;
    if (alternate) format[k++] = '#';
    format[k++] = '.';
    format[k++] = '*';
    format[k] = type;
    int n = snprintf(out, cap, format, precision, v);
    int m = 0;
    bool pointed = false;
    for (int i = 0; i < n && (size_t)i < cap; i++) {
        unsigned char c = (unsigned char)out[i];
        if (isalnum(c) || c == '-' || c == '+') {
            out[m++] = (char)c;
        } else if (!pointed) {
            out[m++] = '.';
            pointed = true;
        }
    }
    return m;
}

void mica__jtext_double(mica__jtext *t, double v, char type, int precision, bool alternate)
{
    if (precision > 5000) {
        mica__jin_fail(t->j, MICA_LIMIT, "precision of %d digits", precision);
        t->failed = true;
        return;
    }
    bool is_upper = type == 'E' || type == 'F' || type == 'G';
    if (isnan(v) || isinf(v)) {
        const char *word = isnan(v) ? (is_upper ? "NAN" : "nan") : (is_upper ? "INF" : "inf");
        if (v < 0) mica__jtext_add(t, "-", 1);
        return mica__jtext_add_z(t, word);
    }
    size_t cap = 400 + (size_t)precision;
    char *buf = mica__jin_alloc(t->j, cap, 1);
    if (!buf || !mica__jin_spend(t->j, 1 + (uint64_t)precision / 8)) {
        t->failed = true;
        return;
    }
    int n = print_double(buf, cap, v, type, precision, alternate);
    mica__jtext_add(t, buf, (size_t)n);
}
