/* text/pattern.c: literal and regular patterns behind one iterator. */
#include "text/pattern.h"
#include "text/unicode.h"

mica_status mica__pattern_from_regex(mica__pattern *out, mica__str regex, mica_error *err)
{
    *out = (mica__pattern){.scan = mica__scanner_find(regex)};
    return out->scan ? MICA_OK : mica__regex_create(&out->regex, regex, err);
}

mica_status mica__pattern_parse(mica__pattern *out, mica__arena *arena, const mica__at *at, mica__jval object,
                                const char *key, mica_error *err)
{
    *out = (mica__pattern){0};
    mica__at here = {at, key, 0};
    mica__jval v;
    mica__str text;
    MICA_TRY(mica__need_object(at, object, key, &v, err));
    if (mica__json_get(v, "Regex")) {
        MICA_TRY(mica__need_string(&here, v, "Regex", &text, err));
        mica_error why;
        mica_status status = mica__pattern_from_regex(out, text, &why);
        if (status == MICA_OK) return MICA_OK;
        if (status == MICA_MEMORY) return mica__fail(err, status, "%s", why.message);
        return mica__fail_at(err, &here, "%s", why.message);
    }
    MICA_TRY(mica__need_string(&here, v, "String", &text, err));
    char *copy = mica__arena_strndup(arena, text.p, text.n);
    if (!copy) return mica__fail_memory(err, text.n, "a pattern");
    out->literal = (mica__str){copy, text.n};
    return MICA_OK;
}

void mica__pattern_release(mica__pattern *p)
{
    mica__regex_free(p->regex);
    *p = (mica__pattern){0};
}

static void find_literal(const mica__match_iter *it, size_t *start, size_t *end)
{
    mica__str literal = it->pattern->literal;
    const char *found = it->from > it->text.n ? NULL
                        : literal.n == 0      ? it->text.p + it->from
                        : literal.n == 1      ? memchr(it->text.p + it->from, literal.p[0], it->text.n - it->from)
                                         : memmem(it->text.p + it->from, it->text.n - it->from, literal.p, literal.n);
    *start = found ? (size_t)(found - it->text.p) : SIZE_MAX;
    *end = found ? *start + literal.n : SIZE_MAX;
}

mica_status mica__pattern_next(mica__match_iter *it, mica__matcher *m, mica_error *err)
{
    for (;;) {
        it->start = SIZE_MAX;
        if (it->from > it->text.n || !it->text.n) return MICA_OK;
        size_t start, end;
        if (it->pattern->scan) {
            if (it->from == it->text.n) return MICA_OK;
            start = it->from;
            end = start + it->pattern->scan(it->text.p + start, it->text.p + it->text.n);
        } else if (it->pattern->regex) {
            MICA_TRY(mica__regex_find(it->pattern->regex, m, it->text, it->from, &start, &end, err));
        } else {
            find_literal(it, &start, &end);
        }
        if (start == SIZE_MAX) return MICA_OK;
        if (start == end && it->last_end == end) { /* an empty match behind the last one: try a character later */
            int length = 1;
            if (it->from < it->text.n) mica__char_at(it->text.p + it->from, it->text.p + it->text.n, &length);
            it->from += (size_t)length;
            continue;
        }
        it->from = it->last_end = end;
        it->start = start;
        it->end = end;
        return MICA_OK;
    }
}
