/* text/tracer.c: from bytes of pieces to characters of the input. */
#include "text/tracer.h"
#include "text/unicode.h"

void mica__tracer_release(mica__tracer *c)
{
    mica__free(c->at);
    mica__model_work_release(&c->work);
}

/* White space, or the byte alphabet's space. */
static bool is_blank(uint32_t c) { return c == 0x120 || mica__is_space(c); }

static uint32_t blanks_before(mica__str token)
{
    uint32_t n = 0;
    int length;
    for (size_t i = 0; i < token.n && is_blank(mica__char_at(token.p + i, token.p + token.n, &length)); n++)
        i += (size_t)length;
    return n;
}

static uint32_t blanks_after(mica__str token)
{
    uint32_t n = 0;
    int length;
    for (size_t end = token.n, i; end; end = i, n++) {
        for (i = end - 1; i && ((unsigned char)token.p[i] & 0xc0) == 0x80; i--) {}
        if (!is_blank(mica__char_at(token.p + i, token.p + end, &length))) break;
    }
    return n;
}

/* What a ByteLevel post-processor does to offsets: blanks at the ends of the token as the vocabulary writes it do not count. */
static mica__span trimmed(const mica__tracer *c, mica__str token, mica__span s)
{
    uint32_t before = blanks_before(token), after = blanks_after(token);
    if (before == 1 && c->t->post.prefix_space && (c->n_ids == 0 || s.start == 0)) before = 0;
    if (before) s.start = s.end - s.start > before ? s.start + before : s.end;
    if (after && s.end >= after) s.end = s.end - s.start > after ? s.end - after : s.start;
    return s;
}

static mica_status note(mica__tracer *c, mica__str token, mica__span s, mica_error *err)
{
    if (s.end < s.start) s.end = s.start;
    if (c->t->post.trims) s = trimmed(c, token, s);
    c->n_ids++;
    MICA_TRY(mica__ids_push(c->out, (int32_t)s.start, err));
    MICA_TRY(mica__ids_push(c->out, (int32_t)s.end, err));
    return mica__ids_push(c->out, c->word, err);
}

static mica__span over(const mica__span *spans, size_t start, size_t n)
{
    return n ? (mica__span){spans[start].start, spans[start + n - 1].end} : (mica__span){0, 0};
}

/* From bytes of the byte alphabet's text to the bytes that its characters stand for. Places come in order. */
static void to_raw(mica__str spelled, mica__piece *at, size_t n)
{
    size_t byte = 0, chars = 0;
    for (size_t i = 0; i < n; i++) {
        size_t start = at[i].start, end = start + at[i].n;
        for (; byte < start; byte++) chars += ((unsigned char)spelled.p[byte] & 0xc0) != 0x80;
        bool inside = start < spelled.n && ((unsigned char)spelled.p[start] & 0xc0) == 0x80;
        size_t first = chars - inside, last = first + inside;
        for (size_t k = start; k < end; k++) last += ((unsigned char)spelled.p[k] & 0xc0) != 0x80;
        at[i] = (mica__piece){(uint32_t)first, (uint32_t)(last - first)};
    }
}

mica_status mica__tracer_piece(mica__tracer *c, mica__str piece, const mica__span *spans, const int32_t *ids, size_t n,
                               mica_error *err)
{
    const mica__model *m = &c->t->model;
    if (n > c->cap) {
        mica__piece *at = mica__realloc(c->at, n * 2, sizeof *at);
        if (!at) return mica__fail_memory(err, n * 2 * sizeof *at, "offsets");
        c->at = at;
        c->cap = n * 2;
    }
    const bool is_bytes = c->t->splitter.byte_level;
    MICA_TRY(mica__model_spell(&c->work, &piece, is_bytes, err));
    if (n) m->kind->locate(m, piece, ids, n, c->at);
    if (is_bytes) to_raw(piece, c->at, n);
    for (size_t i = 0; i < n; i++)
        MICA_TRY(note(c, mica__vocab_token(&m->vocab, ids[i]), over(spans, c->at[i].start, c->at[i].n), err));
    c->word++;
    return MICA_OK;
}

mica_status mica__tracer_token(mica__tracer *c, mica__str text, const mica__span *spans, mica_error *err)
{
    MICA_TRY(note(c, text, over(spans, 0, text.n), err));
    c->word++;
    return MICA_OK;
}
