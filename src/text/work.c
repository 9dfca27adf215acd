/* text/work.c: text that is rewritten step by step, and where its bytes come from.
 *
 * Spans are kept only for who asks for offsets. The rules for what a new character stands for are those of the tokenizers library, whose
 * offsets programs rely on: a replacement stands for what it replaces, an insertion for the character before it. */
#include "text/work.h"
#include "text/unicode.h"

static void release_draft(mica__draft *d)
{
    mica__buf_release(&d->text);
    mica__free(d->spans);
}

void mica__work_release(mica__work *w)
{
    for (int i = 0; i < 2; i++) {
        release_draft(&w->normalized[i]);
        release_draft(&w->split[i]);
        mica__free(w->pieces[i].v);
    }
    mica__free(w->input);
    mica__matcher_release(&w->matcher);
}

mica_status mica__work_trace(mica__work *w, mica__str input, mica_error *err)
{
    w->input = mica__alloc(input.n ? input.n : 1, sizeof *w->input);
    if (!w->input) return mica__fail_memory(err, input.n * sizeof *w->input, "offsets");
    uint32_t at = UINT32_MAX;
    for (size_t i = 0; i < input.n; i++) {
        if (((unsigned char)input.p[i] & 0xc0) != 0x80) at++;
        w->input[i] = (mica__span){at, at + 1};
    }
    return MICA_OK;
}

mica__rewrite mica__rewrite_start(mica__str text, const mica__span *spans, mica__draft drafts[2], bool at_zero)
{
    drafts[0].text.max = drafts[1].text.max = MICA__TEXT_MAX_BYTES;
    mica__buf_clear(&drafts[0].text);
    drafts[0].n_spans = 0;
    return (mica__rewrite){text, spans, &drafts[0], &drafts[1], at_zero};
}

/* Room for the spans of n more bytes; NULL without memory, which the text's buffer then says. */
static mica__span *reserve(mica__draft *d, size_t n)
{
    if (d->span_cap - d->n_spans < n) {
        size_t cap = d->span_cap + d->span_cap / 2 + n + 64;
        mica__span *spans = mica__realloc(d->spans, cap, sizeof *spans);
        if (!spans) {
            d->text.failed = true;
            return NULL;
        }
        d->spans = spans;
        d->span_cap = cap;
    }
    mica__span *at = d->spans + d->n_spans;
    d->n_spans += n;
    return at;
}

void mica__rewrite_keep(mica__rewrite *r, size_t start, size_t end)
{
    mica__buf_append(&r->target->text, r->text.p + start, end - start);
    if (!r->spans || start == end) return;
    mica__span *to = reserve(r->target, end - start);
    if (to) memcpy(to, r->spans + start, (end - start) * sizeof *to);
}

static void repeat(mica__draft *d, mica__span span, size_t n)
{
    mica__span *to = reserve(d, n);
    for (size_t i = 0; to && i < n; i++) to[i] = span;
}

void mica__rewrite_put(mica__rewrite *r, const char *p, size_t n, size_t source)
{
    mica__buf_append(&r->target->text, p, n);
    if (r->spans) repeat(r->target, source < r->text.n ? r->spans[source] : (mica__span){0, 0}, n);
}

static size_t char_bytes(mica__str text, size_t at)
{
    int length;
    if (at >= text.n) return 0;
    mica__char_at(text.p + at, text.p + text.n, &length);
    return (size_t)length;
}

void mica__rewrite_trace(mica__rewrite *r, const mica__changes *changes)
{
    if (!r->spans) return;
    const mica__str made = mica__buf_str(&r->target->text);
    size_t old = 0, at = 0;
    for (size_t i = 0; i < changes->n && at < made.n; i++) {
        int32_t change = changes->v[i];
        size_t source = change > 0 ? old - 1 : old, n = char_bytes(made, at);
        repeat(r->target, source < r->text.n ? r->spans[source] : (mica__span){0, 0}, n);
        at += n;
        for (; change <= 0; change++) old += char_bytes(r->text, old);
    }
    if (changes->failed) r->target->text.failed = true;
    if (at < made.n) repeat(r->target, (mica__span){0, 0}, made.n - at);
}

mica_status mica__rewrite_take(mica__rewrite *r, mica_error *err)
{
    mica__draft *written = r->target;
    MICA_TRY(mica__buf_status(&written->text, err, "text on its way to tokens"));
    r->text = mica__buf_str(&written->text);
    if (r->spans) r->spans = written->spans;
    r->target = r->other;
    r->other = written;
    mica__buf_clear(&r->target->text);
    r->target->n_spans = 0;
    return MICA_OK;
}

void mica__changes_add(mica__changes *c, int32_t change)
{
    if (!c) return;
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 256;
        int32_t *v = mica__realloc(c->v, cap, sizeof *v);
        if (!v) {
            c->failed = true;
            return;
        }
        c->v = v;
        c->cap = cap;
    }
    c->v[c->n++] = change;
}
