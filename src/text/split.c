/* text/split.c: running pre-tokenizers. split_parse.c reads them.
 *
 * All cutting goes through a cutter, which is fed the matches and the stretches between them in order and applies the
 * behavior (which side a match joins, or that it vanishes). Empty pieces never come out. */
#include "text/split_steps.h"
#include "text/bytelevel.h"
#include "text/unicode.h"

/* ---- lists of pieces ---- */

static bool push(mica__pieces *list, size_t start, size_t end)
{
    if (start == end) return true;
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 256;
        mica__piece *v = mica__realloc(list->v, cap, sizeof *v);
        if (!v) return false;
        list->v = v;
        list->cap = cap;
    }
    list->v[list->n++] = (mica__piece){(uint32_t)start, (uint32_t)(end - start)};
    return true;
}

typedef struct cutter {
    mica__pieces *out;
    mica__behavior behavior;
    bool invert, previous_match, open; /* open: [start, end) is not pushed yet */
    size_t start, end;
    bool ok;
} cutter;

static void cutter_flush(cutter *c)
{
    if (c->open) c->ok &= push(c->out, c->start, c->end);
    c->open = false;
}

/* A match or a stretch between matches; they come in order and without gaps. */
static void feed(cutter *c, size_t start, size_t end, bool is_match)
{
    is_match ^= c->invert;
    bool joins = false;
    switch (c->behavior) {
    case MICA__ISOLATED:
        break;
    case MICA__REMOVED:
        if (is_match) return;
        break;
    case MICA__MERGED_WITH_PREVIOUS:
        joins = is_match && !c->previous_match;
        break;
    case MICA__MERGED_WITH_NEXT:
        joins = !is_match && c->previous_match;
        break;
    case MICA__CONTIGUOUS:
        joins = is_match == c->previous_match;
        break;
    }
    if (!joins || !c->open) {
        cutter_flush(c);
        c->start = start;
        c->open = true;
    }
    c->end = end;
    c->previous_match = is_match;
}

/* ---- cutting steps: one piece of text at a time ---- */

static mica_status cut_pattern(const mica__split_step *s, cutter *c, mica__str text, mica__piece piece,
                               mica__matcher *m, mica_error *err)
{
    mica__str inside = {text.p + piece.start, piece.n};
    mica__match_iter it = mica__pattern_iter(&s->pattern, inside);
    size_t previous = 0;
    for (;;) {
        MICA_TRY(mica__pattern_next(&it, m, err));
        if (it.start == SIZE_MAX) break;
        if (previous != it.start) feed(c, piece.start + previous, piece.start + it.start, false);
        feed(c, piece.start + it.start, piece.start + it.end, true);
        previous = it.end;
    }
    if (previous != piece.n) feed(c, piece.start + previous, piece.start + piece.n, false);
    return MICA_OK;
}

static mica_status cut_chars(const mica__split_step *s, cutter *c, mica__str text, mica__piece piece, mica__matcher *m,
                             mica_error *err)
{
    (void)m;
    (void)err;
    const char *p = text.p + piece.start, *end = p + piece.n, *previous = p;
    for (int length; p < end; p += length) {
        uint32_t ch = mica__char_at(p, end, &length);
        if (s->is_match ? !s->is_match(ch) : ch != s->character) continue;
        if (previous < p) feed(c, (size_t)(previous - text.p), (size_t)(p - text.p), false);
        previous = p + length;
        feed(c, (size_t)(p - text.p), (size_t)(previous - text.p), true);
    }
    if (previous < end) feed(c, (size_t)(previous - text.p), (size_t)(end - text.p), false);
    return MICA_OK;
}

/* Runs of word characters and runs of others; white space vanishes. */
static mica_status cut_words(const mica__split_step *s, cutter *c, mica__str text, mica__piece piece, mica__matcher *m,
                             mica_error *err)
{
    (void)s;
    (void)m;
    (void)err;
    enum { SPACE, WORD, OTHER } kind, previous = SPACE;
    const char *p = text.p + piece.start, *end = p + piece.n, *start = p;
    for (int length; p < end; p += length, previous = kind) {
        uint32_t ch = mica__char_at(p, end, &length);
        kind = mica__is_word(ch) || ch == 0x200c || ch == 0x200d ? WORD : mica__is_space(ch) ? SPACE : OTHER;
        if (kind == previous) continue;
        if (previous != SPACE) feed(c, (size_t)(start - text.p), (size_t)(p - text.p), false);
        start = p;
    }
    if (previous != SPACE) feed(c, (size_t)(start - text.p), (size_t)(end - text.p), false);
    return MICA_OK;
}

static mica_status cut_fixed(const mica__split_step *s, cutter *c, mica__str text, mica__piece piece, mica__matcher *m,
                             mica_error *err)
{
    (void)m;
    (void)err;
    const char *p = text.p + piece.start, *end = p + piece.n, *start = p;
    size_t n = 0;
    for (int length; p < end; p += length) {
        mica__char_at(p, end, &length);
        if (n == s->length) {
            feed(c, (size_t)(start - text.p), (size_t)(p - text.p), false);
            start = p;
            n = 0;
        }
        n++;
    }
    feed(c, (size_t)(start - text.p), (size_t)(end - text.p), false);
    return MICA_OK;
}

/* Runs of one script. The pattern matches a run; what precedes the first run (neutral characters) vanishes. */
static mica_status cut_scripts(const mica__split_step *s, cutter *c, mica__str text, mica__piece piece,
                               mica__matcher *m, mica_error *err)
{
    mica__match_iter it = mica__pattern_iter(&s->pattern, (mica__str){text.p + piece.start, piece.n});
    size_t previous = SIZE_MAX;
    for (;;) {
        MICA_TRY(mica__pattern_next(&it, m, err));
        if (it.start == SIZE_MAX) break;
        if (previous != SIZE_MAX && previous != it.start)
            feed(c, piece.start + previous, piece.start + it.start, false);
        feed(c, piece.start + it.start, piece.start + it.end, false);
        previous = it.end;
    }
    if (previous != SIZE_MAX && previous != piece.n) feed(c, piece.start + previous, piece.start + piece.n, false);
    return MICA_OK;
}

/* ---- rewriting steps: append the new text of one piece ---- */

static void write_prefix_space(const mica__split_step *s, mica__rewrite *r, mica__piece piece, bool at_zero)
{
    (void)s;
    (void)at_zero;
    if (r->text.p[piece.start] != ' ') mica__rewrite_put(r, " ", 1, piece.start);
    mica__rewrite_keep(r, piece.start, piece.start + piece.n);
}

static void write_byte_level(const mica__split_step *s, mica__rewrite *r, mica__piece piece, bool at_zero)
{
    (void)s;
    (void)at_zero;
    mica__rewrite_to_chars(r, piece.start, piece.start + piece.n);
}

static void write_metaspace(const mica__split_step *s, mica__rewrite *r, mica__piece piece, bool at_zero)
{
    char mark[4];
    const size_t n = (size_t)mica__utf8_encode(s->character, mark), end = piece.start + (size_t)piece.n;
    const char *text = r->text.p, *first = text + piece.start;
    bool starts = *first == ' ' || (piece.n >= n && memcmp(first, mark, n) == 0);
    if (!starts && (s->prepend == MICA__PREPEND_ALWAYS || (s->prepend == MICA__PREPEND_FIRST && at_zero)))
        mica__rewrite_put(r, mark, n, piece.start);
    for (size_t i = piece.start; i < end;) {
        const char *space = memchr(text + i, ' ', end - i);
        size_t at = space ? (size_t)(space - text) : end;
        mica__rewrite_keep(r, i, at);
        if (space) mica__rewrite_put(r, mark, n, at);
        i = at + 1;
    }
}

/* ---- the list of steps ---- */

const mica__split_kind mica__split_pattern = {cut_pattern, NULL}, mica__split_chars = {cut_chars, NULL},
                       mica__split_words = {cut_words, NULL}, mica__split_fixed = {cut_fixed, NULL},
                       mica__split_scripts = {cut_scripts, NULL}, mica__split_prefix_space = {NULL, write_prefix_space},
                       mica__split_byte_level = {NULL, write_byte_level},
                       mica__split_metaspace = {NULL, write_metaspace};

static mica_status no_memory(const mica__pieces *pieces, mica_error *err)
{
    return mica__fail_memory(err, pieces->cap * 2 * sizeof *pieces->v, "pieces of text");
}

static mica_status run_cut(const mica__split_step *s, const mica__pieces *in, mica__pieces *out, mica__str text,
                           mica__matcher *m, mica_error *err)
{
    out->n = 0;
    for (size_t i = 0; i < in->n; i++) {
        cutter c = {.out = out, .behavior = s->behavior, .invert = s->invert, .ok = true};
        MICA_TRY(s->kind->cut(s, &c, text, in->v[i], m, err));
        cutter_flush(&c);
        if (!c.ok) return no_memory(out, err);
    }
    return MICA_OK;
}

static mica_status run_write(const mica__split_step *s, const mica__pieces *in, mica__pieces *out, mica__rewrite *r,
                             mica_error *err)
{
    out->n = 0;
    if (in->n) r->at_zero &= in->v[0].start == 0;
    for (size_t i = 0; i < in->n; i++) {
        const mica__buf *made = &r->target->text;
        size_t start = made->n;
        s->kind->write(s, r, in->v[i], r->at_zero && i == 0);
        if (made->failed) break;
        if (!push(out, start, made->n)) return no_memory(out, err);
    }
    return mica__rewrite_take(r, err);
}

mica_status mica__splitter_run(const mica__splitter *s, mica__work *w, const mica__rewrite *text, mica__rewrite *result,
                               const mica__pieces **pieces, mica_error *err)
{
    mica__rewrite r = mica__rewrite_start(text->text, text->spans, w->split, text->at_zero);
    mica__pieces *in = &w->pieces[0], *out = &w->pieces[1];
    in->n = 0;
    if (!push(in, 0, text->text.n)) return no_memory(in, err);
    for (size_t i = 0; i < s->n; i++) {
        const mica__split_step *step = &s->steps[i];
        MICA_TRY(step->kind->cut ? run_cut(step, in, out, r.text, &w->matcher, err)
                                 : run_write(step, in, out, &r, err));
        mica__pieces *swap = in;
        in = out;
        out = swap;
    }
    *result = r;
    *pieces = in;
    return MICA_OK;
}
