/* text/form_changes.c: normal forms, once more, with an account of every character.
 *
 * mica__to_form makes the text; this runs only where offsets are asked for. A decomposition's first part replaces its character and the rest is
 * new; marks carry that with them when they are put in order; a composition adds up what its parts have, less one for each mark
 * that vanishes in it. */
#include "text/form_changes.h"
#include "base/memory.h"

#include <utf8proc.h>

typedef struct unit {
    int32_t code, change;
    unsigned class;
} unit;

typedef struct units {
    unit *v;
    size_t n, cap;
} units;

static bool push(units *u, int32_t code, int32_t change)
{
    if (u->n == u->cap) {
        size_t cap = u->cap ? u->cap * 2 : 256;
        unit *v = mica__realloc(u->v, cap, sizeof *v);
        if (!v) return false;
        u->v = v;
        u->cap = cap;
    }
    u->v[u->n++] = (unit){code, change, (unsigned)utf8proc_get_property(code)->combining_class};
    return true;
}

static bool decompose(mica__str s, bool compat, units *out)
{
    enum { LONGEST = 32 };
    const utf8proc_option_t options =
        (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compat ? UTF8PROC_COMPAT : 0));
    for (size_t i = 0; i < s.n;) {
        int length, boundary = 0;
        int32_t parts[LONGEST], c = (int32_t)mica__char_at(s.p + i, s.p + s.n, &length);
        utf8proc_ssize_t n = utf8proc_decompose_char(c, parts, LONGEST, options, &boundary);
        if (n < 0 || n > LONGEST) {
            parts[0] = c;
            n = 1;
        }
        for (utf8proc_ssize_t k = 0; k < n; k++)
            if (!push(out, parts[k], k > 0)) return false;
        i += (size_t)length;
    }
    return true;
}

/* Marks by class, stable; counting, so that a megabyte of them costs no more than its length. */
static bool sort_run(unit *v, size_t n)
{
    size_t start[257] = {0};
    unit *sorted = mica__alloc(n, sizeof *sorted);
    if (!sorted) return false;
    for (size_t i = 0; i < n; i++) start[v[i].class + 1]++;
    for (int k = 0; k < 256; k++) start[k + 1] += start[k];
    for (size_t i = 0; i < n; i++) sorted[start[v[i].class]++] = v[i];
    memcpy(v, sorted, n * sizeof *v);
    mica__free(sorted);
    return true;
}

static bool order_marks(units *u)
{
    for (size_t i = 0; i < u->n; i++) {
        size_t first = i;
        while (i < u->n && u->v[i].class) i++;
        if (i - first > 1 && !sort_run(u->v + first, i - first)) return false;
    }
    return true;
}

/* What two characters become; 0: they stay two. */
static int32_t composed(int32_t a, int32_t b)
{
    int32_t pair[2] = {a, b};
    utf8proc_option_t options = (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    return utf8proc_normalize_utf32(pair, 2, options) == 1 ? pair[0] : 0;
}

/* In place: what is written never overtakes what is read. */
static void compose(units *u)
{
    size_t starter = SIZE_MAX, n = 0;
    unsigned last = 0; /* class of the last unit kept behind the starter */
    bool kept = false; /* there is one */
    for (size_t i = 0; i < u->n; i++) {
        unit next = u->v[i];
        bool blocked = kept && last >= next.class;
        int32_t code = starter == SIZE_MAX || blocked ? 0 : composed(u->v[starter].code, next.code);
        if (code) {
            u->v[starter].code = code;
            u->v[starter].change += next.change - 1;
            continue;
        }
        if (next.class == 0) {
            starter = n;
            kept = false;
        } else {
            last = next.class;
            kept = true;
        }
        u->v[n++] = next;
    }
    u->n = n;
}

void mica__form_changes(mica__str s, mica__form form, mica__changes *changes)
{
    units u = {0};
    bool ok = decompose(s, form == MICA__NFKC || form == MICA__NFKD, &u) && order_marks(&u);
    if (ok && (form == MICA__NFC || form == MICA__NFKC)) compose(&u);
    for (size_t i = 0; ok && i < u.n; i++) mica__changes_add(changes, u.v[i].change);
    changes->failed |= !ok;
    mica__free(u.v);
}
