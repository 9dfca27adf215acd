/* text/normalize.c: parsing and running normalizers.
 *
 * Every step is a function from text to text. A step that finds nothing to do leaves r->text where it is, so plain text
 * passes a long list of steps without being copied. */
#include "text/normalize.h"
#include "text/bytelevel.h"
#include "text/charsmap.h"
#include "text/form_changes.h"
#include "text/pattern.h"
#include "text/unicode.h"

typedef struct mica__normal_step step;
typedef mica_status (*step_fn)(const step *s, mica__rewrite *r, mica__matcher *m, mica_error *err);

struct mica__normal_step {
    step_fn run;
    mica__form form;
    mica__pattern pattern;
    mica__str content; /* Replace, Prepend; in the arena */
    mica__charsmap map;
    bool left, right;
};

/* ---- steps that look at one character at a time ---- */

/* Rewrites with fn, which returns how many characters c becomes (0..3), in to[]. Nothing is written up to the first change. */
typedef int (*char_fn)(uint32_t c, uint32_t to[3]);

static mica_status map_chars(mica__rewrite *r, char_fn fn, mica_error *err)
{
    const char *text = r->text.p, *end = text + r->text.n;
    size_t copied = 0, at = 0;
    bool changed = false;
    for (int length; at < r->text.n; at += (size_t)length) {
        uint32_t c = mica__char_at(text + at, end, &length), to[3] = {c};
        int n = fn(c, to);
        if (n == 1 && to[0] == c) continue;
        if (n == 0 && at == 0) r->at_zero = false;
        changed = true;
        mica__rewrite_keep(r, copied, at);
        for (int i = 0; i < n; i++) {
            char utf8[4];
            mica__rewrite_put(r, utf8, (size_t)mica__utf8_encode(to[i], utf8), at);
        }
        copied = at + (size_t)length;
    }
    if (!changed) return MICA_OK;
    mica__rewrite_keep(r, copied, r->text.n);
    return mica__rewrite_take(r, err);
}

static int lower_char(uint32_t c, uint32_t to[3]) { return mica__to_lower(c, to); }

static int clean_char(uint32_t c, uint32_t to[3])
{
    if (c == '\t' || c == '\n' || c == '\r') {
        to[0] = ' ';
        return 1;
    }
    if (c == 0 || c == 0xfffd || mica__is_other(c)) return 0;
    if (mica__is_space(c)) to[0] = ' ';
    return 1;
}

static bool is_cjk(uint32_t c)
{
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
           (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

static int space_cjk_char(uint32_t c, uint32_t to[3])
{
    if (!is_cjk(c)) return 1;
    to[0] = to[2] = ' ';
    to[1] = c;
    return 3;
}

static int drop_nonspacing_char(uint32_t c, uint32_t to[3])
{
    (void)to;
    return !mica__is_nonspacing(c);
}

static int drop_mark_char(uint32_t c, uint32_t to[3])
{
    (void)to;
    return !mica__is_mark(c);
}

static int nmt_char(uint32_t c, uint32_t to[3])
{
    if ((c >= 1 && c <= 8) || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f) return 0;
    if (c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == 0x1680 || (c >= 0x200b && c <= 0x200f) ||
        c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd)
        to[0] = ' ';
    return 1;
}

#define CHAR_STEP(name, fn)                                                                                            \
    static mica_status name(const step *s, mica__rewrite *r, mica__matcher *m, mica_error *err)                        \
    {                                                                                                                  \
        (void)s;                                                                                                       \
        (void)m;                                                                                                       \
        return map_chars(r, fn, err);                                                                                  \
    }
CHAR_STEP(run_lowercase, lower_char)
CHAR_STEP(run_clean, clean_char)
CHAR_STEP(run_space_cjk, space_cjk_char)
CHAR_STEP(run_drop_nonspacing, drop_nonspacing_char)
CHAR_STEP(run_strip_accents, drop_mark_char)
CHAR_STEP(run_nmt, nmt_char)

/* ---- the others ---- */

static mica_status run_form(const step *s, mica__rewrite *r, mica__matcher *m, mica_error *err)
{
    (void)m;
    size_t i = 0;
    while (i < r->text.n && !((unsigned char)r->text.p[i] & 0x80)) i++;
    if (i == r->text.n) return MICA_OK; /* ASCII is in every form */
    MICA_TRY(mica__to_form(&r->target->text, r->text, s->form, err));
    if (r->spans) {
        mica__changes changes = {0};
        mica__form_changes(r->text, s->form, &changes);
        mica__rewrite_trace(r, &changes);
        mica__free(changes.v);
    }
    return mica__rewrite_take(r, err);
}

static mica_status run_strip(const step *s, mica__rewrite *r, mica__matcher *m, mica_error *err)
{
    (void)m;
    (void)err;
    const char *p = r->text.p, *end = p + r->text.n;
    int length;
    if (s->left)
        while (p < end && mica__is_space(mica__char_at(p, end, &length))) p += length;
    if (p > r->text.p) r->at_zero = false;
    if (r->spans) r->spans += p - r->text.p;
    while (s->right && p < end) {
        const char *last = end - 1;
        while (last > p && ((unsigned char)*last & 0xc0) == 0x80) last--;
        if (!mica__is_space(mica__char_at(last, end, &length))) break;
        end = last;
    }
    r->text = (mica__str){p, (size_t)(end - p)};
    return MICA_OK;
}

static mica_status run_replace(const step *s, mica__rewrite *r, mica__matcher *m, mica_error *err)
{
    mica__match_iter it = mica__pattern_iter(&s->pattern, r->text);
    size_t copied = 0;
    bool any = false;
    for (;;) {
        MICA_TRY(mica__pattern_next(&it, m, err));
        if (it.start == SIZE_MAX) break;
        any = true;
        if (it.start == 0 && s->content.n == 0) r->at_zero = false;
        mica__rewrite_keep(r, copied, it.start);
        mica__rewrite_put(r, s->content.p, s->content.n, it.end - 1);
        copied = it.end;
    }
    if (!any) return MICA_OK;
    mica__rewrite_keep(r, copied, r->text.n);
    return mica__rewrite_take(r, err);
}

static mica_status run_prepend(const step *s, mica__rewrite *r, mica__matcher *m, mica_error *err)
{
    (void)m;
    if (!r->text.n) return MICA_OK;
    mica__rewrite_put(r, s->content.p, s->content.n, 0);
    mica__rewrite_keep(r, 0, r->text.n);
    return mica__rewrite_take(r, err);
}

static mica_status run_byte_level(const step *s, mica__rewrite *r, mica__matcher *m, mica_error *err)
{
    (void)s;
    (void)m;
    mica__rewrite_to_chars(r, 0, r->text.n);
    return mica__rewrite_take(r, err);
}

static mica_status run_precompiled(const step *s, mica__rewrite *r, mica__matcher *m, mica_error *err)
{
    (void)m;
    mica__changes changes = {0};
    mica__charsmap_apply(&s->map, r->text, &r->target->text, r->spans ? &changes : NULL);
    mica__rewrite_trace(r, &changes);
    mica__free(changes.v);
    return mica__rewrite_take(r, err);
}

mica_status mica__normalizer_run(const mica__normalizer *n, mica__rewrite *r, mica__matcher *m, mica_error *err)
{
    for (size_t i = 0; i < n->n && r->text.n; i++) MICA_TRY(n->steps[i].run(&n->steps[i], r, m, err));
    return MICA_OK;
}

/* ---- parsing ---- */

enum { MAX_STEPS = 256 };

typedef struct context {
    mica__normalizer *out;
    mica__arena *arena;
    mica_error *err;
} context;

static mica_status add_step(context *c, step_fn run, step **added)
{
    mica__normalizer *n = c->out;
    if (n->n == MAX_STEPS) return mica__fail(c->err, MICA_DATA, "normalizer: more than %d steps", MAX_STEPS);
    if (n->n == n->cap) {
        size_t cap = n->cap ? n->cap * 2 : 8;
        step *steps = mica__realloc(n->steps, cap, sizeof *steps);
        if (!steps) return mica__fail_memory(c->err, cap * sizeof *steps, "normalizers");
        n->steps = steps;
        n->cap = cap;
    }
    *added = &n->steps[n->n++];
    **added = (step){.run = run};
    return MICA_OK;
}

/* A step without settings. */
static mica_status add_plain(context *c, step_fn run)
{
    step *s = NULL;
    return add_step(c, run, &s);
}

static mica_status parse(context *c, const mica__at *at, mica__jval v);

static mica_status parse_bert(context *c, const mica__at *at, mica__jval v)
{
    bool clean = true, cjk = true, lowercase = true, accents;
    MICA_TRY(mica__field_bool(at, v, "clean_text", &clean, c->err));
    MICA_TRY(mica__field_bool(at, v, "handle_chinese_chars", &cjk, c->err));
    MICA_TRY(mica__field_bool(at, v, "lowercase", &lowercase, c->err));
    accents = lowercase;
    MICA_TRY(mica__field_bool(at, v, "strip_accents", &accents, c->err));
    if (clean) MICA_TRY(add_plain(c, run_clean));
    if (cjk) MICA_TRY(add_plain(c, run_space_cjk));
    if (accents) {
        step *form = NULL;
        MICA_TRY(add_step(c, run_form, &form));
        form->form = MICA__NFD;
        MICA_TRY(add_plain(c, run_drop_nonspacing));
    }
    if (lowercase) MICA_TRY(add_plain(c, run_lowercase));
    return MICA_OK;
}

static mica_status copy_string(context *c, const mica__at *at, mica__jval v, const char *key, mica__str *out)
{
    mica__str s;
    MICA_TRY(mica__need_string(at, v, key, &s, c->err));
    char *copy = mica__arena_strndup(c->arena, s.p, s.n);
    if (!copy) return mica__fail_memory(c->err, s.n, "a normalizer");
    *out = (mica__str){copy, s.n};
    return MICA_OK;
}

static mica_status parse_strip(context *c, const mica__at *at, mica__jval v)
{
    step *s = NULL;
    MICA_TRY(add_step(c, run_strip, &s));
    s->left = s->right = true;
    MICA_TRY(mica__field_bool(at, v, "strip_left", &s->left, c->err));
    return mica__field_bool(at, v, "strip_right", &s->right, c->err);
}

static mica_status parse_replace(context *c, const mica__at *at, mica__jval v)
{
    step *s = NULL;
    MICA_TRY(add_step(c, run_replace, &s));
    MICA_TRY(copy_string(c, at, v, "content", &s->content));
    return mica__pattern_parse(&s->pattern, c->arena, at, v, "pattern", c->err);
}

static mica_status parse_prepend(context *c, const mica__at *at, mica__jval v)
{
    step *s = NULL;
    MICA_TRY(add_step(c, run_prepend, &s));
    return copy_string(c, at, v, "prepend", &s->content);
}

static mica_status parse_precompiled(context *c, const mica__at *at, mica__jval v)
{
    mica__str map;
    step *s = NULL;
    MICA_TRY(add_step(c, run_precompiled, &s));
    MICA_TRY(mica__need_string(at, v, "precompiled_charsmap", &map, c->err));
    mica_status status = mica__charsmap_create(&s->map, c->arena, map, c->err);
    return status == MICA_OK ? status : mica__fail_prefix(c->err, status, "%s.precompiled_charsmap", "normalizer");
}

static mica_status parse_sequence(context *c, const mica__at *at, mica__jval v)
{
    mica__jval list;
    MICA_TRY(mica__need_array(at, v, "normalizers", &list, c->err));
    mica__at array = {at, "normalizers", 0}, element = {&array, NULL, 0};
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e), element.index++)
        MICA_TRY(parse(c, &element, e));
    return MICA_OK;
}

static const struct {
    const char *type;
    mica_status (*parse)(context *c, const mica__at *at, mica__jval v); /* NULL: one step `run`, no settings */
    step_fn run;
    mica__form form;
} types[] = {
    {"Sequence", parse_sequence, NULL, 0},
    {"BertNormalizer", parse_bert, NULL, 0},
    {"Strip", parse_strip, NULL, 0},
    {"StripAccents", NULL, run_strip_accents, 0},
    {"NFC", NULL, run_form, MICA__NFC},
    {"NFD", NULL, run_form, MICA__NFD},
    {"NFKC", NULL, run_form, MICA__NFKC},
    {"NFKD", NULL, run_form, MICA__NFKD},
    {"Lowercase", NULL, run_lowercase, 0},
    {"Nmt", NULL, run_nmt, 0},
    {"Precompiled", parse_precompiled, NULL, 0},
    {"Replace", parse_replace, NULL, 0},
    {"Prepend", parse_prepend, NULL, 0},
    {"ByteLevel", NULL, run_byte_level, 0},
};

static mica_status parse(context *c, const mica__at *at, mica__jval v)
{
    mica__str type;
    MICA_TRY(mica__need_string(at, v, "type", &type, c->err));
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (!mica__str_is(type, types[i].type)) continue;
        if (types[i].parse) return types[i].parse(c, at, v);
        step *s = NULL;
        MICA_TRY(add_step(c, types[i].run, &s));
        s->form = types[i].form;
        return MICA_OK;
    }
    return mica__fail_at(c->err, at, "unknown normalizer type '%s'", MICA_QUOTED_STR(type));
}

mica_status mica__normalizer_parse(mica__normalizer *out, mica__arena *arena, const mica__at *at, mica__jval v,
                                   mica_error *err)
{
    *out = (mica__normalizer){0};
    context c = {out, arena, err};
    return mica__json_type(v) == MICA__JSON_NULL ? MICA_OK : parse(&c, at, v);
}

void mica__normalizer_release(mica__normalizer *n)
{
    for (size_t i = 0; i < n->n; i++) mica__pattern_release(&n->steps[i].pattern);
    mica__free(n->steps);
    *n = (mica__normalizer){0};
}
