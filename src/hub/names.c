/* hub/names.c: the rules for ids, revisions, file names, hashes and patterns. */
#include "names.h"

#include <ctype.h>
#include <fnmatch.h>
#include <strings.h>

/* Letters of ASCII, whatever the locale says. */
static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* One half of an id. */
static bool is_id_part(mica__str s)
{
    if (s.n == 0 || s.n > 96 || !is_word(s.p[0]) || !is_word(s.p[s.n - 1])) return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!is_word(s.p[i]) && s.p[i] != '-' && s.p[i] != '.') return false;
        if (i && (s.p[i] == '-' || s.p[i] == '.') && s.p[i] == s.p[i - 1]) return false;
    }
    return !mica__str_ends(s, ".git");
}

bool mica_hub_is_id(const char *name)
{
    if (!name) return false;
    const char *slash = strchr(name, '/');
    if (!slash) return is_id_part(mica__str_from(name));
    return is_id_part((mica__str){name, (size_t)(slash - name)}) && is_id_part(mica__str_from(slash + 1));
}

static bool is_hex(mica__str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f'))) return false;
    return true;
}

bool mica__hub_is_commit(mica__str s) { return s.n == 40 && is_hex(s); }
bool mica__hub_is_hash(mica__str s) { return (s.n == 40 || s.n == 64) && is_hex(s); }

/* CON, NUL.txt, com1: devices on Windows, with any extension. */
static bool is_device(mica__str part)
{
    static const char *const devices[] = {"con", "prn", "aux", "nul", "conin$", "conout$"};
    size_t n = 0;
    while (n < part.n && part.p[n] != '.') n++;
    while (n && part.p[n - 1] == ' ') n--;
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
        if (strlen(devices[i]) == n && strncasecmp(part.p, devices[i], n) == 0) return true;
    return n == 4 && part.p[3] >= '1' && part.p[3] <= '9' &&
           (strncasecmp(part.p, "com", 3) == 0 || strncasecmp(part.p, "lpt", 3) == 0);
}

static bool is_safe_part(mica__str part)
{
    if (part.n == 0 || part.n > 255 || is_device(part)) return false;
    size_t n_dots = 0;
    while (n_dots < part.n && (part.p[n_dots] == '.' || part.p[n_dots] == ' ')) n_dots++;
    return n_dots < part.n; /* ".", "..", and what some systems make of "..." and ".. " */
}

bool mica__hub_path_is_safe(mica__str path)
{
    if (path.n == 0 || path.n > 1024 || !mica__utf8_valid(path.p, path.n)) return false;
    for (size_t i = 0; i < path.n; i++)
        if ((unsigned char)path.p[i] < 0x20 || path.p[i] == 0x7f || path.p[i] == '\\' || path.p[i] == ':') return false;
    for (size_t begin = 0, i = 0; i <= path.n; i++) {
        if (i < path.n && path.p[i] != '/') continue;
        if (!is_safe_part((mica__str){path.p + begin, i - begin})) return false;
        begin = i + 1;
    }
    return true;
}

bool mica__hub_revision_is_safe(const char *revision)
{
    mica__str s = mica__str_from(revision);
    return s.n <= 255 && mica__hub_path_is_safe(s) && s.p[0] != '-' && !strstr(s.p, "..") &&
           !mica__str_ends(s, ".lock");
}

bool mica__hub_matches(const char *pattern, const char *path)
{
    const size_t n = strlen(pattern);
    if (n == 0 || pattern[n - 1] != '/') return fnmatch(pattern, path, FNM_NOESCAPE) == 0;
    char longer[1100];
    if (n + 2 > sizeof longer) return false;
    memcpy(longer, pattern, n);
    memcpy(longer + n, "*", 2);
    return fnmatch(longer, path, FNM_NOESCAPE) == 0;
}

static bool matches_any(const char *path, const char *const *patterns, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (mica__hub_matches(patterns[i], path)) return true;
    return false;
}

bool mica__hub_wanted(const char *path, const char *const *include, size_t n_include, const char *const *exclude,
                      size_t n_exclude)
{
    return (n_include == 0 || matches_any(path, include, n_include)) && !matches_any(path, exclude, n_exclude);
}

void mica__hub_append_encoded(mica__buf *out, mica__str s, bool path)
{
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        if (is_word(c) || c == '-' || c == '.' || c == '~' || (path && c == '/'))
            mica__buf_append_char(out, c);
        else
            mica__buf_printf(out, "%%%02X", (unsigned)(unsigned char)c);
    }
}
