/* text/tokenizer.c: the public functions: encode, decode, look-ups.
 *
 * Encoding: added tokens that want raw text are cut out first; each stretch between them is normalized, added tokens that want
 * normalized text are cut out of it, and what is left is split and given to the model piece by piece. */
#include "text/tokenizer_parts.h"
#include "text/tracer.h"

void mica_ids_release(mica_ids *ids)
{
    mica__free(ids->data);
    *ids = (mica_ids){0};
}

void mica_text_release(mica_text *text)
{
    mica__free(text->data);
    *text = (mica_text){0};
}

/* ---- encode ---- */

typedef struct encoder {
    const mica_tokenizer *t;
    bool split_special;
    mica__work work;
    mica__model_work model;
    mica_ids *out;
    mica__tracer *tracer; /* NULL: nobody asks where ids stand */
    mica_error *err;
} encoder;

static mica_status encode_plain(encoder *e, const mica__rewrite *text)
{
    const mica__pieces *pieces;
    mica__rewrite result;
    if (!text->text.n) return MICA_OK;
    const mica__splitter *s = &e->t->splitter;
    MICA_TRY(mica__splitter_run(s, &e->work, text, &result, &pieces, e->err));
    const mica__model *m = &e->t->model;
    for (size_t i = 0; i < pieces->n; i++) {
        mica__str piece = {result.text.p + pieces->v[i].start, pieces->v[i].n};
        size_t before = e->out->n;
        MICA_TRY(m->kind->encode(m, &e->model, piece, s->byte_level, e->out, e->err));
        if (e->tracer)
            MICA_TRY(mica__tracer_piece(e->tracer, piece, result.spans + pieces->v[i].start, e->out->data + before,
                                        e->out->n - before, e->err));
    }
    return MICA_OK;
}

/* Bytes [start, end) of a text that is on its way. */
static mica__rewrite part(const mica__rewrite *r, size_t start, size_t end)
{
    mica__rewrite p = *r;
    if (end < start) end = start; /* white space that the token before took */
    p.text = (mica__str){r->text.p + start, end - start};
    if (p.spans) p.spans += start;
    p.at_zero = r->at_zero && start == 0;
    return p;
}

static mica_status push_added(encoder *e, const mica__added_token *token, mica__rewrite at)
{
    MICA_TRY(mica__ids_push(e->out, token->id, e->err));
    return e->tracer ? mica__tracer_token(e->tracer, at.text, at.spans, e->err) : MICA_OK;
}

static mica_status encode_normalized(encoder *e, const mica__rewrite *text)
{
    const mica__added *added = &e->t->added;
    const mica__added_token *token;
    size_t from = 0, taken = 0, start, end;
    while ((token = mica__added_next(added, &added->normalized, text->text, e->split_special, &from, taken, &start,
                                     &end))) {
        mica__rewrite before = part(text, taken, start);
        MICA_TRY(encode_plain(e, &before));
        MICA_TRY(push_added(e, token, part(text, start, end)));
        taken = end;
    }
    mica__rewrite rest = part(text, taken, text->text.n);
    return encode_plain(e, &rest);
}

static mica_status encode_stretch(encoder *e, mica__rewrite text)
{
    if (!text.text.n) return MICA_OK;
    mica__rewrite r = mica__rewrite_start(text.text, text.spans, e->work.normalized, text.at_zero);
    MICA_TRY(mica__normalizer_run(&e->t->normalizer, &r, &e->work.matcher, e->err));
    return encode_normalized(e, &r);
}

static mica_status encode_raw(encoder *e, mica__str input)
{
    const mica__added *added = &e->t->added;
    const mica__added_token *token;
    const mica__rewrite text = {.text = input, .spans = e->work.input, .at_zero = true};
    size_t from = 0, taken = 0, start, end;
    while ((token = mica__added_next(added, &added->raw, input, e->split_special, &from, taken, &start, &end))) {
        MICA_TRY(encode_stretch(e, part(&text, taken, start)));
        MICA_TRY(push_added(e, token, part(&text, start, end)));
        taken = end;
    }
    return encode_stretch(e, part(&text, taken, input.n));
}

static size_t first_invalid(mica__str text)
{
    size_t i = 0;
    uint32_t c;
    for (int length; i < text.n; i += (size_t)length)
        if (!(length = mica__utf8_decode(text.p + i, text.n - i, &c))) break;
    return i;
}

static mica_status encode_text(const mica_tokenizer *t, mica__str text, unsigned flags, mica_ids *out,
                               mica__tracer *tracer, mica_error *err)
{
    if (text.n > MICA__TEXT_MAX_BYTES)
        return mica__fail(err, MICA_INVALID, "text of %zu bytes, limit is %d", text.n, MICA__TEXT_MAX_BYTES);
    if (!mica__utf8_valid(text.p, text.n))
        return mica__fail(err, MICA_INVALID, "text is not UTF-8 at byte %zu", first_invalid(text));
    encoder e = {.t = t, .split_special = flags & MICA_SPLIT_SPECIAL_TOKENS, .out = out, .tracer = tracer, .err = err};
    mica_status status = mica__model_prepare(&t->model, &e.model, text.n, err);
    if (status == MICA_OK && tracer) status = mica__work_trace(&e.work, text, err);
    if (status == MICA_OK) status = encode_raw(&e, text);
    mica__work_release(&e.work);
    mica__model_work_release(&e.model);
    return status;
}

mica_status mica_tokenizer_encode(const mica_tokenizer *t, const char *text, size_t n, unsigned flags, mica_ids *out,
                                  mica_error *err)
{
    size_t before = out->n;
    mica__str s = {text ? text : "", n};
    mica_status status;
    if (!t->post.present) {
        status = encode_text(t, s, flags, out, NULL, err);
    } else {
        mica_ids ids = {0};
        status = encode_text(t, s, flags, &ids, NULL, err);
        if (status == MICA_OK)
            status = mica__postprocess_run(&t->post, &ids, NULL, flags & MICA_ADD_SPECIAL_TOKENS, out, NULL, NULL, err);
        mica_ids_release(&ids);
    }
    if (status != MICA_OK) out->n = before;
    return status;
}

mica_status mica_tokenizer_encode_offsets(const mica_tokenizer *t, const char *text, size_t n, unsigned flags,
                                          mica_ids *out, mica_ids *offsets, mica_error *err)
{
    const size_t before = out->n, before_offsets = offsets->n;
    mica__tracer tracer = {.t = t, .out = offsets};
    mica_status status = encode_text(t, (mica__str){text ? text : "", n}, flags, out, &tracer, err);
    mica__tracer_release(&tracer);
    if (status == MICA_OK) return status;
    out->n = before;
    offsets->n = before_offsets;
    return status;
}

mica_status mica_tokenizer_encode_pair(const mica_tokenizer *t, const char *a, size_t n_a, const char *b, size_t n_b,
                                       unsigned flags, mica_ids *out, mica_ids *type_ids, mica_error *err)
{
    mica_ids ids_a = {0}, ids_b = {0};
    size_t before = out->n, before_types = type_ids ? type_ids->n : 0;
    mica_status status = encode_text(t, (mica__str){a ? a : "", n_a}, flags, &ids_a, NULL, err);
    if (status == MICA_OK) status = encode_text(t, (mica__str){b ? b : "", n_b}, flags, &ids_b, NULL, err);
    if (status == MICA_OK)
        status =
            mica__postprocess_run(&t->post, &ids_a, &ids_b, flags & MICA_ADD_SPECIAL_TOKENS, out, type_ids, NULL, err);
    mica_ids_release(&ids_a);
    mica_ids_release(&ids_b);
    if (status != MICA_OK) {
        out->n = before;
        if (type_ids) type_ids->n = before_types;
    }
    return status;
}

mica_status mica_tokenizer_wrap(const mica_tokenizer *t, const int32_t *a, size_t n_a, const int32_t *b, size_t n_b,
                                mica_ids *out, mica_ids *type_ids, mica_ids *sources, mica_error *err)
{
    /* Only read: the lists stand for memory of the caller. */
    const mica_ids first = {(int32_t *)(uintptr_t)a, n_a, n_a}, second = {(int32_t *)(uintptr_t)b, n_b, n_b};
    return mica__postprocess_run(&t->post, &first, b ? &second : NULL, true, out, type_ids, sources, err);
}

/* ---- look-ups ---- */

int32_t mica_tokenizer_size(const mica_tokenizer *t) { return t->n_ids; }

int32_t mica_tokenizer_id(const mica_tokenizer *t, const char *token, size_t n)
{
    mica__str s = {token, n};
    const mica__added_token *added = mica__added_by_content(&t->added, s);
    return added ? added->id : mica__vocab_id(&t->model.vocab, s);
}

const char *mica_tokenizer_token(const mica_tokenizer *t, int32_t id, size_t *n)
{
    mica__str s = {NULL, 0};
    const mica__added_token *added = mica__added_by_id(&t->added, id);
    if (added)
        s = added->content;
    else if (mica__vocab_has(&t->model.vocab, id))
        s = mica__vocab_token(&t->model.vocab, id);
    if (n) *n = s.n;
    return s.p;
}

bool mica_tokenizer_is_special(const mica_tokenizer *t, int32_t id)
{
    const mica__added_token *added = mica__added_by_id(&t->added, id);
    return added && added->special;
}

int32_t mica_tokenizer_vocab_size(const mica_tokenizer *t) { return t->model.vocab.n_tokens; }
const char *mica_tokenizer_model_type(const mica_tokenizer *t) { return t->model.kind->type; }

bool mica_tokenizer_added_at(const mica_tokenizer *t, size_t i, mica_added_token *out)
{
    if (i >= t->added.n) return false;
    const mica__added_token *a = &t->added.tokens[i];
    *out = (mica_added_token){
        .content = a->content.p,
        .n = a->content.n,
        .id = a->id,
        .single_word = a->single_word,
        .lstrip = a->lstrip,
        .rstrip = a->rstrip,
        .normalized = a->normalized,
        .special = a->special,
    };
    return true;
}

const char *mica_tokenizer_special(const mica_tokenizer *t, const char *role, int32_t *id)
{
    if (id) *id = -1;
    for (size_t i = 0; i < t->n_roles; i++) {
        if (strcmp(t->roles[i].name, role) != 0) continue;
        if (id) *id = mica_tokenizer_id(t, t->roles[i].token, t->roles[i].n);
        return t->roles[i].token;
    }
    return NULL;
}

const char *mica_tokenizer_special_at(const mica_tokenizer *t, size_t i, const char **token)
{
    bool there = i < t->n_roles;
    if (token) *token = there ? t->roles[i].token : NULL;
    return there ? t->roles[i].name : NULL;
}
