/* text/jinja_time.c: the clock of strftime_now, and strftime with the C locale's names.
 *
 * Written out here because the C library's function follows the process's locale, which templates must not depend on and which
 * no thread may change. */
#include "jinja_eval.h"
#include <stdio.h>
#include <time.h>

static bool is_leap(int y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }

static int day_of_year(const mica__jclock *c) /* 0 is the first of January */
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    return before[c->month - 1] + c->day - 1 + (c->month > 2 && is_leap(c->year));
}

/* Days since 1970-01-01. */
static int64_t day_number(const mica__jclock *c)
{
    int64_t y = c->year - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 + day_of_year(c) - 719162;
}

static int week_day(const mica__jclock *c) /* 0 is Sunday */
{
    int64_t d = (day_number(c) + 4) % 7;
    return (int)(d < 0 ? d + 7 : d);
}

static int days_in_year(int y) { return is_leap(y) ? 366 : 365; }

/* ISO 8601 week: 1..53; *year is the year it belongs to. */
static int iso_week(const mica__jclock *c, int *year)
{
    int monday_based = (week_day(c) + 6) % 7, yday = day_of_year(c);
    int week = (yday - monday_based + 10) / 7;
    *year = c->year;
    if (week < 1) {
        *year = c->year - 1;
        return (yday + days_in_year(*year) - monday_based + 10) / 7;
    }
    if (week == 53 && yday - monday_based + 3 >= days_in_year(c->year)) {
        *year = c->year + 1;
        return 1;
    }
    return week;
}

/* Reads `digits` digits at *p into *out. */
static bool number(const char **p, int digits, int low, int high, int *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++, (*p)++) {
        if (**p < '0' || **p > '9') return false;
        *out = *out * 10 + (**p - '0');
    }
    return *out >= low && *out <= high;
}

static bool skip(const char **p, char c)
{
    if (**p != c) return false;
    (*p)++;
    return true;
}

bool mica__jclock_parse(const char *text, mica__jclock *out)
{
    static const int lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    mica__jclock c = {0};
    const char *p = text;
    if (!number(&p, 4, 1, 9999, &c.year) || !skip(&p, '-') || !number(&p, 2, 1, 12, &c.month) || !skip(&p, '-') ||
        !number(&p, 2, 1, lengths[c.month - 1], &c.day) || (c.month == 2 && c.day == 29 && !is_leap(c.year)))
        return false;
    if (*p) {
        if (!skip(&p, *p == ' ' ? ' ' : 'T') || !number(&p, 2, 0, 23, &c.hour) || !skip(&p, ':') ||
            !number(&p, 2, 0, 59, &c.minute))
            return false;
        if (*p && (!skip(&p, ':') || !number(&p, 2, 0, 59, &c.second))) return false;
        if (*p && (!skip(&p, '.') || !number(&p, 6, 0, 999999, &c.microsecond))) return false;
    }
    if (*p) return false;
    *out = c;
    return true;
}

bool mica__jclock_now(mica__jclock *out)
{
    struct timespec now;
    struct tm local;
    if (clock_gettime(CLOCK_REALTIME, &now) || !localtime_r(&now.tv_sec, &local)) return false;
    *out = (mica__jclock){local.tm_year + 1900,
                          local.tm_mon + 1,
                          local.tm_mday,
                          local.tm_hour,
                          local.tm_min,
                          local.tm_sec < 60 ? local.tm_sec : 59,
                          (int)(now.tv_nsec / 1000)};
    return true;
}

/* One conversion: flag (0, -, _, ^, # or none), width (-1: the conversion's own). */
typedef struct conversion {
    mica__jtext *t;
    const mica__jclock *c;
    char flag;
    int width;
} conversion;

static void add_number(const conversion *k, int64_t v, int width, char pad)
{
    char digits[24];
    if (k->flag == '-') width = 0;
    if (k->flag == '_') pad = ' ';
    if (k->flag == '0') pad = '0';
    if (k->width >= 0 && k->flag != '-') width = k->width;
    int n = snprintf(digits, sizeof digits, "%lld", (long long)v);
    if (width > n) mica__jtext_pad(k->t, (uint32_t)pad, (size_t)(width - n));
    mica__jtext_add(k->t, digits, (size_t)n);
}

static void add_name(const conversion *k, const char *name, size_t n, bool swap_for_hash)
{
    if (k->width > (int)n) mica__jtext_pad(k->t, k->flag == '0' ? '0' : ' ', (size_t)k->width - n);
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool is_lower = c >= 'a' && c <= 'z', is_upper = c >= 'A' && c <= 'Z';
        if ((k->flag == '^' || (k->flag == '#' && !swap_for_hash)) && is_lower) c = (char)(c - 32);
        if (k->flag == '#' && swap_for_hash && is_upper) c = (char)(c + 32);
        mica__jtext_add(k->t, &c, 1);
    }
}

static void format_clock(mica__jtext *t, const mica__jclock *c, mica__str format);

static void compound(const conversion *k, const char *format)
{
    mica__jtext inner = {.j = k->t->j};
    format_clock(&inner, k->c, mica__str_from(format));
    if (inner.failed) k->t->failed = true;
    add_name(&(conversion){k->t, k->c, k->flag == '#' ? 0 : k->flag, k->width}, inner.p, inner.n, false);
}

static bool convert(const conversion *k, char code)
{
    static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    const mica__jclock *c = k->c;
    int wday = week_day(c), yday = day_of_year(c), hour12 = c->hour % 12 ? c->hour % 12 : 12, iso_year;
    int week = iso_week(c, &iso_year);
    char micro[8];
    switch (code) {
    case 'a':
        add_name(k, days[wday], 3, false);
        break;
    case 'A':
        add_name(k, days[wday], strlen(days[wday]), false);
        break;
    case 'b':
    case 'h':
        add_name(k, months[c->month - 1], 3, false);
        break;
    case 'B':
        add_name(k, months[c->month - 1], strlen(months[c->month - 1]), false);
        break;
    case 'c':
        compound(k, "%a %b %e %H:%M:%S %Y");
        break;
    case 'C':
        add_number(k, c->year / 100, 2, '0');
        break;
    case 'd':
        add_number(k, c->day, 2, '0');
        break;
    case 'D':
    case 'x':
        compound(k, "%m/%d/%y");
        break;
    case 'e':
        add_number(k, c->day, 2, ' ');
        break;
    case 'f':
        snprintf(micro, sizeof micro, "%06d", c->microsecond);
        mica__jtext_add(k->t, micro, 6);
        break;
    case 'F':
        compound(k, "%Y-%m-%d");
        break;
    case 'g':
        add_number(k, iso_year % 100, 2, '0');
        break;
    case 'G':
        add_number(k, iso_year, 1, '0');
        break;
    case 'H':
        add_number(k, c->hour, 2, '0');
        break;
    case 'I':
        add_number(k, hour12, 2, '0');
        break;
    case 'j':
        add_number(k, yday + 1, 3, '0');
        break;
    case 'k':
        add_number(k, c->hour, 2, ' ');
        break;
    case 'l':
        add_number(k, hour12, 2, ' ');
        break;
    case 'm':
        add_number(k, c->month, 2, '0');
        break;
    case 'M':
        add_number(k, c->minute, 2, '0');
        break;
    case 'n':
        mica__jtext_add(k->t, "\n", 1);
        break;
    case 'p':
        add_name(k, c->hour < 12 ? "AM" : "PM", 2, true);
        break;
    case 'P':
        add_name(k, c->hour < 12 ? "am" : "pm", 2, true);
        break;
    case 'r':
        compound(k, "%I:%M:%S %p");
        break;
    case 'R':
        compound(k, "%H:%M");
        break;
    case 's':
        add_number(k, day_number(c) * 86400 + c->hour * 3600 + c->minute * 60 + c->second, 1, '0');
        break;
    case 'S':
        add_number(k, c->second, 2, '0');
        break;
    case 't':
        mica__jtext_add(k->t, "\t", 1);
        break;
    case 'T':
    case 'X':
        compound(k, "%H:%M:%S");
        break;
    case 'u':
        add_number(k, wday ? wday : 7, 1, '0');
        break;
    case 'U':
        add_number(k, (yday + 7 - wday) / 7, 2, '0');
        break;
    case 'V':
        add_number(k, week, 2, '0');
        break;
    case 'w':
        add_number(k, wday, 1, '0');
        break;
    case 'W':
        add_number(k, (yday + 7 - (wday + 6) % 7) / 7, 2, '0');
        break;
    case 'y':
        add_number(k, c->year % 100, 2, '0');
        break;
    case 'Y':
        add_number(k, c->year, 1, '0');
        break;
    case 'z': /* a time without a zone has neither offset nor name */
    case 'Z':
        break;
    case '%':
        mica__jtext_add(k->t, "%", 1);
        break;
    default:
        return false;
    }
    return true;
}

static void format_clock(mica__jtext *t, const mica__jclock *c, mica__str f)
{
    for (size_t i = 0; i < f.n && !t->failed;) {
        if (f.p[i] != '%' || i + 1 >= f.n) {
            mica__jtext_add(t, f.p + i++, 1);
            continue;
        }
        size_t k = i + 1;
        conversion how = {t, c, 0, -1};
        for (; k < f.n && memchr("0-_^#", f.p[k], 5); k++) how.flag = f.p[k];
        for (; k < f.n && f.p[k] >= '0' && f.p[k] <= '9'; k++)
            how.width = how.width > 1000 ? 1000 : (how.width < 0 ? 0 : how.width * 10) + (f.p[k] - '0');
        if (k < f.n && (f.p[k] == 'E' || f.p[k] == 'O')) k++;
        if (k < f.n && convert(&how, f.p[k])) {
            i = k + 1;
            continue;
        }
        size_t n = k < f.n ? k + 1 - i : f.n - i; /* unknown: as it stands */
        mica__jtext_add(t, f.p + i, n);
        i += n;
    }
}

mica__jv mica__jin_strftime(mica__jin *j, mica__str format)
{
    mica__jtext t = {.j = j};
    if (!mica__jin_spend(j, format.n)) return JV_ERR;
    format_clock(&t, &j->now, format);
    return mica__jtext_value(&t);
}
