/* text/decode.c: the stages of decoders. decode_parse.c reads them.
 *
 * A stage holds back only what a later token can still change: an incomplete character, a run of byte tokens (it becomes text
 * only if all of it is valid), a possible start of a text to replace, the last token where the last one is special. */
#include "text/decode_stages.h"
#include "text/bytelevel.h"
#include "text/unicode.h"

#define STAGE(d, i) (&(d)->decoder->stages[i])
#define STATE(d, i) (&(d)->states[i])

/* Gives a part of a token to stage i. */
static void pass(mica__decoding *d, size_t i, mica__str part, bool last)
{
    if (!part.n) part.p = ""; /* an unused buffer has no text, not even an empty one */
    if (i == d->decoder->n) {
        mica__buf_append_str(d->out, part);
        return;
    }
    const mica__stage_kind *kind = STAGE(d, i)->kind;
    mica__buf *parts = &STATE(d, i)->parts;
    if (!kind->whole_tokens || (last && !parts->n)) {
        kind->feed(d, i, part, last);
        return;
    }
    mica__buf_append_str(parts, part);
    if (!last) return;
    kind->feed(d, i, mica__buf_str(parts), true);
    bool failed = parts->failed;
    mica__buf_clear(parts);
    parts->failed = failed;
}

/* ---- no decoder: spaces between tokens ---- */

static void feed_join(mica__decoding *d, size_t i, mica__str part, bool last)
{
    if (STATE(d, i)->started) pass(d, i + 1, MICA_STR(" "), false);
    STATE(d, i)->started = true;
    pass(d, i + 1, part, last);
}

const mica__stage_kind mica__stage_join = {feed_join, NULL, true};

/* ---- ByteLevel: all tokens are one string of bytes, read as UTF-8 ---- */

/* Passes on the characters of held; an unfinished one at the end stays unless `all`. */
static void pass_characters(mica__decoding *d, size_t i, bool all)
{
    mica__buf *held = &STATE(d, i)->held, *text = &STATE(d, i)->scratch;
    if (!held->n) return;
    mica__buf_clear(text);
    size_t at = 0, good = 0;
    while (at < held->n) {
        uint32_t c;
        int length = (unsigned char)held->p[at] < 0x80 ? 1 : mica__utf8_decode(held->p + at, held->n - at, &c);
        if (length) {
            at += (size_t)length;
            continue;
        }
        size_t bad = mica__utf8_invalid_length(held->p + at, held->n - at);
        unsigned char lead = (unsigned char)held->p[at];
        if (!all && at + bad == held->n && lead >= 0xc2 && lead <= 0xf4 && bad < 4) break;
        mica__buf_append(text, held->p + good, at - good);
        mica__buf_append_utf8(text, 0xfffd);
        at = good = at + bad;
    }
    mica__buf_append(text, held->p + good, at - good);
    size_t rest = held->n - at;
    if (rest) memmove(held->p, held->p + at, rest);
    held->n = rest;
    if (text->n) pass(d, i + 1, mica__buf_str(text), false);
}

static void feed_byte_level(mica__decoding *d, size_t i, mica__str part, bool last)
{
    (void)last;
    mica__chars_to_bytes(&STATE(d, i)->held, part);
    pass_characters(d, i, false);
}

static void finish_byte_level(mica__decoding *d, size_t i)
{
    pass_characters(d, i, true);
    pass(d, i + 1, MICA_STR(""), true);
}

const mica__stage_kind mica__stage_byte_level = {feed_byte_level, finish_byte_level, true};

/* ---- Fuse: all tokens are one ---- */

static void feed_fuse(mica__decoding *d, size_t i, mica__str part, bool last)
{
    (void)last;
    pass(d, i + 1, part, false);
}

static void finish_fuse(mica__decoding *d, size_t i) { pass(d, i + 1, MICA_STR(""), true); }

const mica__stage_kind mica__stage_fuse = {feed_fuse, finish_fuse, false};

/* ---- Replace ---- */

/* How many bytes at the end of text could be the start of the literal. */
static size_t possible_start(mica__str text, mica__str literal)
{
    enum { LONG_LITERAL = 64 }; /* not worth a search */
    size_t n = literal.n - 1 < text.n ? literal.n - 1 : text.n;
    if (literal.n > LONG_LITERAL) return n;
    while (n && memcmp(text.p + text.n - n, literal.p, n) != 0) n--;
    return n;
}

/* Passes on text with its matches replaced. A literal's possible start at the end of a token that goes on is left; returns how
 * many bytes are done. */
static size_t replace(mica__decoding *d, size_t i, mica__str text, bool last)
{
    const mica__pattern *pattern = &STAGE(d, i)->pattern;
    mica__match_iter it = mica__pattern_iter(pattern, text);
    mica__buf *out = &STATE(d, i)->scratch;
    mica__buf_clear(out);
    size_t done = 0;
    for (;;) {
        mica_status status = mica__pattern_next(&it, &d->matcher, d->err);
        if (status != MICA_OK) {
            d->status = status;
            return text.n;
        }
        if (it.start == SIZE_MAX) break;
        mica__buf_append(out, text.p + done, it.start - done);
        mica__buf_append_str(out, STAGE(d, i)->text);
        done = it.end;
    }
    mica__str rest = {text.p + done, text.n - done};
    if (!last) rest.n -= possible_start(rest, pattern->literal);
    while (rest.n && done + rest.n < text.n && ((unsigned char)rest.p[rest.n] & 0xc0) == 0x80) rest.n--;
    mica__buf_append_str(out, rest);
    pass(d, i + 1, mica__buf_str(out), last);
    return done + rest.n;
}

static void feed_replace_regex(mica__decoding *d, size_t i, mica__str part, bool last) { replace(d, i, part, last); }

const mica__stage_kind mica__stage_replace_regex = {feed_replace_regex, NULL, true};

/* A literal: what could be the start of one is held back while the token goes on. */
static void feed_replace(mica__decoding *d, size_t i, mica__str part, bool last)
{
    mica__buf *held = &STATE(d, i)->held;
    mica__str text = part;
    if (held->n) {
        mica__buf_append_str(held, part);
        text = mica__buf_str(held);
    }
    size_t done = replace(d, i, text, last), rest = text.n - done;
    if (held->n) {
        memmove(held->p, held->p + done, rest);
        held->n = rest;
    } else {
        mica__buf_append(held, text.p + done, rest);
    }
}

const mica__stage_kind mica__stage_replace = {feed_replace, NULL, false};

/* ---- ByteFallback: runs of <0xHH> ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int byte_token(mica__str t)
{
    if (t.n != 6 || memcmp(t.p, "<0x", 3) != 0 || t.p[5] != '>') return -1;
    int high = t.p[3] == '+' ? 0 : hex_digit(t.p[3]),
        low = hex_digit(t.p[4]); /* "+f" is what the reference takes, too */
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static void finish_byte_fallback(mica__decoding *d, size_t i)
{
    mica__buf *held = &STATE(d, i)->held;
    if (!held->n) return;
    if (mica__utf8_valid(held->p, held->n)) {
        pass(d, i + 1, mica__buf_str(held), true);
    } else {
        for (size_t k = 0; k < held->n; k++) pass(d, i + 1, MICA_STR("\xef\xbf\xbd"), true);
    }
    mica__buf_clear(held);
}

static void feed_byte_fallback(mica__decoding *d, size_t i, mica__str part, bool last)
{
    int byte = byte_token(part);
    if (byte >= 0) {
        mica__buf_append_char(&STATE(d, i)->held, (char)byte);
        return;
    }
    finish_byte_fallback(d, i);
    pass(d, i + 1, part, last);
}

const mica__stage_kind mica__stage_byte_fallback = {feed_byte_fallback, finish_byte_fallback, true};

/* ---- Strip: up to `start` and `stop` characters from the ends of each token ---- */

static void release_trailing(mica__decoding *d, size_t i, size_t n)
{
    char utf8[4];
    size_t length = (size_t)mica__utf8_encode(STAGE(d, i)->character, utf8);
    for (; n; n--) pass(d, i + 1, (mica__str){utf8, length}, false);
}

static void feed_strip(mica__decoding *d, size_t i, mica__str part, bool last)
{
    const mica__decode_stage *s = STAGE(d, i);
    mica__decode_state *state = STATE(d, i);
    const char *p = part.p, *end = p + part.n, *copied = p;
    for (int length; p < end; p += length) {
        uint32_t c = mica__char_at(p, end, &length);
        bool is_content = c == s->character;
        if (is_content && !state->inside && state->stripped < s->start) {
            state->stripped++;
            copied = p + length;
            continue;
        }
        state->inside = true;
        if (is_content && s->stop) { /* may be at the end: only `stop` of them are held */
            pass(d, i + 1, (mica__str){copied, (size_t)(p - copied)}, false);
            copied = p + length;
            if (state->trailing == s->stop)
                release_trailing(d, i, 1);
            else
                state->trailing++;
        } else if (state->trailing) {
            release_trailing(d, i, state->trailing);
            state->trailing = 0;
        }
    }
    pass(d, i + 1, (mica__str){copied, (size_t)(end - copied)}, last);
    if (!last) return;
    state->inside = false;
    state->stripped = state->trailing = 0;
}

const mica__stage_kind mica__stage_strip = {feed_strip, NULL, false};

/* ---- Metaspace ---- */

static void feed_metaspace(mica__decoding *d, size_t i, mica__str part, bool last)
{
    const mica__decode_stage *s = STAGE(d, i);
    mica__decode_state *state = STATE(d, i);
    bool drop = !state->started && s->flag;
    mica__buf_clear(&state->scratch);
    const char *p = part.p, *end = p + part.n, *copied = p;
    for (int length; p < end; p += length) {
        if (mica__char_at(p, end, &length) != s->character) continue;
        mica__buf_append(&state->scratch, copied, (size_t)(p - copied));
        if (!drop) mica__buf_append_char(&state->scratch, ' ');
        copied = p + length;
    }
    mica__buf_append(&state->scratch, copied, (size_t)(end - copied));
    state->started |= last;
    pass(d, i + 1, mica__buf_str(&state->scratch), last);
}

const mica__stage_kind mica__stage_metaspace = {feed_metaspace, NULL, false};

/* ---- WordPiece ---- */

/* Appends text with every `from` replaced. */
static void replace_all(mica__buf *out, mica__str text, const char *from, const char *to)
{
    size_t n = strlen(from);
    while (n && text.n) {
        const char *found = memmem(text.p, text.n, from, n);
        if (!found) break;
        size_t before = (size_t)(found - text.p);
        mica__buf_append(out, text.p, before);
        mica__buf_append_z(out, to);
        text = (mica__str){found + n, text.n - before - n};
    }
    mica__buf_append_str(out, text);
}

/* The reference's clean-up of English, in b; `spare` is scratch. */
static void clean_up(mica__buf *b, mica__buf *spare)
{
    static const char *const pairs[][2] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                                           {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                                           {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (!b->n || !memmem(b->p, b->n, pairs[i][0], strlen(pairs[i][0]))) continue;
        mica__buf_clear(spare);
        replace_all(spare, mica__buf_str(b), pairs[i][0], pairs[i][1]);
        mica__buf swap = *b;
        *b = *spare;
        *spare = swap;
    }
}

static void feed_wordpiece(mica__decoding *d, size_t i, mica__str part, bool last)
{
    const mica__decode_stage *s = STAGE(d, i);
    mica__decode_state *state = STATE(d, i);
    mica__buf_clear(&state->scratch);
    if (state->started) {
        bool inner = part.n >= s->text.n && memcmp(part.p, s->text.p, s->text.n) == 0;
        if (inner)
            part = (mica__str){part.p + s->text.n, part.n - s->text.n};
        else
            mica__buf_append_char(&state->scratch, ' ');
    }
    mica__buf_append_str(&state->scratch, part);
    if (s->flag) clean_up(&state->scratch, &state->held);
    state->started = true;
    pass(d, i + 1, mica__buf_str(&state->scratch), last);
}

const mica__stage_kind mica__stage_wordpiece = {feed_wordpiece, NULL, true};

/* ---- BPEDecoder: the suffix is a space, but not in the last token ---- */

static void pass_held(mica__decoding *d, size_t i, const char *suffix_becomes)
{
    mica__decode_state *state = STATE(d, i);
    if (!state->holding) return;
    mica__buf_clear(&state->scratch);
    replace_all(&state->scratch, mica__buf_str(&state->held), STAGE(d, i)->text.p, suffix_becomes);
    pass(d, i + 1, mica__buf_str(&state->scratch), true);
    mica__buf_clear(&state->held);
    state->holding = false;
}

static void feed_bpe(mica__decoding *d, size_t i, mica__str part, bool last)
{
    (void)last;
    pass_held(d, i, " ");
    mica__buf_append_str(&STATE(d, i)->held, part);
    STATE(d, i)->holding = true;
}

static void finish_bpe(mica__decoding *d, size_t i) { pass_held(d, i, ""); }

const mica__stage_kind mica__stage_bpe = {feed_bpe, finish_bpe, true};

/* ---- CTC: repeated tokens count once, padding vanishes ---- */

static void feed_ctc(mica__decoding *d, size_t i, mica__str part, bool last)
{
    const mica__decode_stage *s = STAGE(d, i);
    mica__decode_state *state = STATE(d, i);
    mica__buf *text = &state->scratch, spare = {0};
    if (state->started && mica__str_eq(mica__buf_str(&state->held), part)) return;
    state->started = true;
    mica__buf_clear(&state->held);
    mica__buf_append_str(&state->held, part);
    mica__buf_clear(text);
    replace_all(text, part, s->text.p, "");
    if (s->flag) {
        clean_up(text, &spare);
        mica__buf_clear(&spare);
        replace_all(&spare, mica__buf_str(text), s->text2.p, " ");
        mica__buf swap = *text;
        *text = spare;
        spare = swap;
    }
    mica__buf_release(&spare);
    if (text->n) pass(d, i + 1, mica__buf_str(text), last);
}

const mica__stage_kind mica__stage_ctc = {feed_ctc, NULL, true};

/* ---- running ---- */

mica_status mica__decoding_init(mica__decoding *d, const mica__decoder *decoder, mica_error *err)
{
    *d = (mica__decoding){.decoder = decoder};
    d->states = mica__calloc(decoder->n, sizeof *d->states);
    return d->states ? MICA_OK : mica__fail_memory(err, decoder->n * sizeof *d->states, "a decoder");
}

/* Memory failures latch in the buffers; they are looked for once per token. */
static mica_status check(mica__decoding *d)
{
    mica_status status = d->status;
    if (status == MICA_OK) status = mica__buf_status(d->out, d->err, "decoded text");
    for (size_t i = 0; i < d->decoder->n && status == MICA_OK; i++) {
        mica__decode_state *s = &d->states[i];
        if (s->parts.failed || s->held.failed || s->scratch.failed)
            status = mica__fail_memory(d->err, 0, "decoded text");
    }
    return status;
}

mica_status mica__decoding_push(mica__decoding *d, mica__str token, mica__buf *out, mica_error *err)
{
    d->out = out;
    d->err = err;
    pass(d, 0, token, true);
    return check(d);
}

mica_status mica__decoding_finish(mica__decoding *d, mica__buf *out, mica_error *err)
{
    d->out = out;
    d->err = err;
    for (size_t i = 0; i < d->decoder->n; i++)
        if (STAGE(d, i)->kind->finish) STAGE(d, i)->kind->finish(d, i);
    mica_status status = check(d);
    for (size_t i = 0; i < d->decoder->n; i++) {
        mica__decode_state *s = &d->states[i];
        mica__buf_clear(&s->parts);
        mica__buf_clear(&s->held);
        *s = (mica__decode_state){.parts = s->parts, .held = s->held, .scratch = s->scratch};
    }
    d->status = MICA_OK;
    return status;
}

void mica__decoding_release(mica__decoding *d)
{
    for (size_t i = 0; d->states && i < d->decoder->n; i++) {
        mica__buf_release(&d->states[i].parts);
        mica__buf_release(&d->states[i].held);
        mica__buf_release(&d->states[i].scratch);
    }
    mica__free(d->states);
    mica__matcher_release(&d->matcher);
    *d = (mica__decoding){0};
}
