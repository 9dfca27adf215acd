/* text/decode_stream.c: ids to text, at once or one by one. Both are the same row of decoder stages. */
#include "text/tokenizer_parts.h"

struct mica_decode_stream {
    const mica_tokenizer *t;
    bool skip_special;
    mica__decoding decoding;
    mica__buf text;
};

static mica_status push_id(const mica_tokenizer *t, mica__decoding *d, int32_t id, bool skip_special, mica__buf *out,
                           mica_error *err)
{
    const mica__added_token *added = mica__added_by_id(&t->added, id);
    if (added) return skip_special && added->skipped ? MICA_OK : mica__decoding_push(d, added->shown, out, err);
    if (!mica__vocab_has(&t->model.vocab, id)) return MICA_OK;
    return mica__decoding_push(d, mica__vocab_token(&t->model.vocab, id), out, err);
}

mica_status mica_tokenizer_decode(const mica_tokenizer *t, const int32_t *ids, size_t n, bool skip_special_tokens,
                                  mica_text *out, mica_error *err)
{
    mica__decoding d;
    MICA_TRY(mica__decoding_init(&d, &t->decoder, err));
    mica__buf text = {.p = out->data, .n = out->n, .cap = out->capacity, .max = SIZE_MAX / 2};
    mica_status status = MICA_OK;
    for (size_t i = 0; i < n && status == MICA_OK; i++)
        status = push_id(t, &d, ids[i], skip_special_tokens, &text, err);
    if (status == MICA_OK) status = mica__decoding_finish(&d, &text, err);
    mica__buf_append(&text, "", 0); /* NUL-terminated, also when it is empty */
    if (status == MICA_OK) status = mica__buf_status(&text, err, "decoded text");
    mica__decoding_release(&d);
    if (status != MICA_OK && text.p) text.p[text.n = out->n] = 0;
    *out = (mica_text){text.p, text.n, text.cap};
    return status;
}

mica_status mica_decode_stream_create(mica_decode_stream **out, const mica_tokenizer *t, bool skip_special_tokens,
                                      mica_error *err)
{
    *out = NULL;
    mica_decode_stream *s = mica__calloc(1, sizeof *s);
    if (!s) return mica__fail_memory(err, sizeof *s, "a stream");
    s->t = t;
    s->skip_special = skip_special_tokens;
    mica_status status = mica__decoding_init(&s->decoding, &t->decoder, err);
    if (status == MICA_OK)
        *out = s;
    else
        mica_decode_stream_free(s);
    return status;
}

void mica_decode_stream_free(mica_decode_stream *s)
{
    if (!s) return;
    mica__decoding_release(&s->decoding);
    mica__buf_release(&s->text);
    mica__free(s);
}

static mica_status give(mica_decode_stream *s, mica_status status, const char **text, size_t *n, mica_error *err)
{
    if (status == MICA_OK) status = mica__buf_status(&s->text, err, "decoded text");
    *text = s->text.p && status == MICA_OK ? s->text.p : "";
    if (n) *n = status == MICA_OK ? s->text.n : 0;
    return status;
}

mica_status mica_decode_stream_push(mica_decode_stream *s, int32_t id, const char **text, size_t *n, mica_error *err)
{
    mica__buf_clear(&s->text);
    return give(s, push_id(s->t, &s->decoding, id, s->skip_special, &s->text, err), text, n, err);
}

mica_status mica_decode_stream_flush(mica_decode_stream *s, const char **text, size_t *n, mica_error *err)
{
    mica__buf_clear(&s->text);
    return give(s, mica__decoding_finish(&s->decoding, &s->text, err), text, n, err);
}
