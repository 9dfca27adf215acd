/* generate/stop_strings.c: see the header. */
#include "stop_strings.h"

#include "base/memory.h"

/* Decodes the token and appends its text to the tail; *n_new bytes are new. */
static mica_status push(mica__stop_strings *s, int32_t id, size_t *n_new, mica_error *err)
{
    const char *text;
    MICA_TRY(mica_decode_stream_push(s->stream, id, &text, n_new, err));
    if (s->tail.n > s->longest) {
        size_t drop = s->tail.n - s->longest;
        memmove(s->tail.p, s->tail.p + drop, s->longest);
        s->tail.n = s->longest;
    }
    mica__buf_append(&s->tail, text, *n_new);
    return mica__buf_status(&s->tail, err, "stop strings");
}

mica_status mica__stop_strings_create(mica__stop_strings *out, const mica__str *strings, size_t n,
                                      const mica_tokenizer *tokenizer, const int32_t *ids, size_t n_ids,
                                      mica_error *err)
{
    *out = (mica__stop_strings){.strings = strings, .n = n};
    if (!n) return MICA_OK;
    if (!tokenizer) return mica__fail(err, MICA_INVALID, "stop_strings need a tokenizer, and the model has none");
    for (size_t i = 0; i < n; i++) {
        if (strings[i].n > out->longest) out->longest = strings[i].n;
    }
    mica_status status = mica_decode_stream_create(&out->stream, tokenizer, false, err);
    /* A token has at least one byte but for a few; some more of the prompt do no harm. */
    size_t from = n_ids > out->longest + 8 ? n_ids - out->longest - 8 : 0, n_new;
    for (size_t i = from; i < n_ids && !status; i++) status = push(out, ids[i], &n_new, err);
    if (!status && !mica__buf_reserve(&out->tail, out->longest + 1024))
        status = mica__buf_status(&out->tail, err, "stop strings");
    if (status) mica__stop_strings_release(out);
    return status;
}

void mica__stop_strings_release(mica__stop_strings *s)
{
    mica_decode_stream_free(s->stream);
    mica__buf_release(&s->tail);
    *s = (mica__stop_strings){0};
}

/* True if `needle` ends in the last n_new bytes of text. */
static bool ends_in(mica__str text, size_t n_new, mica__str needle)
{
    if (!needle.n || needle.n > text.n) return false;
    size_t old = text.n - n_new;
    size_t from = old + 1 > needle.n ? old + 1 - needle.n : 0;
    for (size_t i = from; i + needle.n <= text.n; i++) {
        if (memcmp(text.p + i, needle.p, needle.n) == 0) return true;
    }
    return false;
}

mica_status mica__stop_strings_push(mica__stop_strings *s, int32_t id, bool *stop, mica_error *err)
{
    *stop = false;
    if (!s->n) return MICA_OK;
    size_t n_new;
    MICA_TRY(push(s, id, &n_new, err));
    for (size_t i = 0; i < s->n && !*stop; i++) *stop = ends_in(mica__buf_str(&s->tail), n_new, s->strings[i]);
    return MICA_OK;
}
