/* text/model.c: what all models share: reading the vocabulary, the unknown token and the byte tokens; lists of ids. */
#include "text/model.h"
#include "text/bpe.h"
#include "text/bytelevel.h"

#include <stdio.h>

/* ---- ids ---- */

mica_status mica__ids_grow(mica_ids *ids, size_t more, mica_error *err)
{
    if (ids->n + more > INT32_MAX) return mica__fail(err, MICA_LIMIT, "more than 2147483647 tokens");
    size_t capacity = ids->capacity < 16 ? 16 : ids->capacity + ids->capacity / 2;
    if (capacity < ids->n + more) capacity = ids->n + more;
    int32_t *data = mica__realloc(ids->data, capacity, sizeof *data);
    if (!data) return mica__fail_memory(err, capacity * sizeof *data, "token ids");
    ids->data = data;
    ids->capacity = capacity;
    return MICA_OK;
}

/* ---- vocabulary ---- */

static mica_status read_id(const mica__at *at, mica__jval member, int32_t *id, mica_error *err)
{
    int64_t value;
    mica__str token = mica__json_key(member);
    if (!mica__json_int(mica__json_value(member), &value))
        return mica__fail_at(err, at, "id of '%s': expected an integer, found %s", MICA_QUOTED_STR(token),
                             mica__json_kind(mica__json_value(member)));
    if (value < 0 || value >= INT32_MAX)
        return mica__fail_at(err, at, "id of '%s' is %lld, expected 0..%d", MICA_QUOTED_STR(token), (long long)value,
                             INT32_MAX - 1);
    if (token.n > MICA__TOKEN_MAX_BYTES)
        return mica__fail_at(err, at, "token '%s' has %zu bytes, limit is %d", MICA_QUOTED_STR(token), token.n,
                             MICA__TOKEN_MAX_BYTES);
    *id = (int32_t)value;
    return MICA_OK;
}

mica_status mica__model_read_vocab(mica__model *m, const mica__at *at, mica__jval v, mica_error *err)
{
    mica__jval object;
    MICA_TRY(mica__need_object(at, v, "vocab", &object, err));
    mica__at here = {at, "vocab", 0};
    size_t n = mica__json_count(object), n_bytes = 0;
    int32_t id, highest = -1;
    if (n == 0) return mica__fail_at(err, &here, "empty vocabulary");
    for (mica__jval e = mica__json_first(object); e; e = mica__json_next(object, e)) {
        MICA_TRY(read_id(&here, e, &id, err));
        n_bytes += mica__json_key(e).n;
        if (id > highest) highest = id;
    }
    if ((size_t)highest >= n + MICA__ID_GAP)
        return mica__fail_at(err, &here, "highest id is %d, but there are only %zu tokens", (int)highest, n);
    MICA_TRY(mica__vocab_init(&m->vocab, n, (size_t)highest + 1, n_bytes, err));
    for (mica__jval e = mica__json_first(object); e; e = mica__json_next(object, e)) {
        mica__str token = mica__json_key(e);
        MICA_TRY(read_id(&here, e, &id, err));
        mica__vocab_result result = mica__vocab_add(&m->vocab, token, id, false);
        if (result == MICA__VOCAB_SAME_TOKEN)
            return mica__fail_at(err, &here, "token '%s' is there twice", MICA_QUOTED_STR(token));
        if (result == MICA__VOCAB_SAME_ID)
            return mica__fail_at(err, &here, "tokens '%s' and '%s' have the same id %d",
                                 MICA_QUOTED_STR(mica__vocab_token(&m->vocab, id)), MICA_QUOTED_STR(token), (int)id);
    }
    return MICA_OK;
}

mica_status mica__model_read_unk(mica__model *m, const mica__at *at, mica__jval v, mica_error *err)
{
    mica__str unk = {0};
    MICA_TRY(mica__field_string(at, v, "unk_token", &unk, err));
    if (!unk.p) return MICA_OK;
    m->unk_token = mica__strndup(unk.p, unk.n);
    if (!m->unk_token) return mica__fail_memory(err, unk.n, "the unknown token");
    m->has_unk = true;
    m->unk_id = mica__vocab_id(&m->vocab, unk);
    return MICA_OK;
}

mica_status mica__model_read_byte_fallback(mica__model *m, const mica__at *at, mica__jval v, mica_error *err)
{
    MICA_TRY(mica__field_bool(at, v, "byte_fallback", &m->byte_fallback, err));
    for (int i = 0; i < 256 && m->byte_fallback; i++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", i);
        m->byte_ids[i] = mica__vocab_id(&m->vocab, mica__str_from(name));
        if (m->byte_ids[i] != MICA__NO_ID) continue;
        mica__at here = {at, "byte_fallback", 0};
        return mica__fail_at(err, &here, "the vocabulary has no token '%s'", name);
    }
    return MICA_OK;
}

mica_status mica__model_need_unk(const mica__model *m, mica_error *err)
{
    if (m->unk_id != MICA__NO_ID) return MICA_OK;
    return mica__fail(err, MICA_INVALID,
                      "the text has characters that are not in the vocabulary, which has no token '%s'",
                      m->unk_token ? MICA_QUOTED(m->unk_token, strlen(m->unk_token)) : "unk");
}

mica_status mica__model_spell(mica__model_work *w, mica__str *piece, bool is_bytes, mica_error *err)
{
    if (!is_bytes) return MICA_OK;
    mica__buf_clear(&w->text);
    w->text.max = SIZE_MAX / 2;
    mica__bytes_to_chars(&w->text, *piece);
    *piece = mica__buf_str(&w->text);
    return mica__buf_status(&w->text, err, "text in the byte alphabet");
}

/* ---- the model ---- */

static const mica__model_kind *const kinds[] = {&mica__model_bpe, &mica__model_unigram, &mica__model_wordpiece,
                                                &mica__model_wordlevel};

/* Very old files do not name the type. */
static const mica__model_kind *guess(mica__jval v)
{
    if (mica__json_get(v, "merges")) return &mica__model_bpe;
    if (mica__json_is(mica__json_get(v, "vocab"), MICA__JSON_ARRAY)) return &mica__model_unigram;
    return mica__json_get(v, "max_input_chars_per_word") ? &mica__model_wordpiece : &mica__model_wordlevel;
}

mica_status mica__model_parse(mica__model *m, const mica__at *at, mica__jval v, mica_error *err)
{
    *m = (mica__model){.unk_id = MICA__NO_ID};
    mica__str type = {0};
    MICA_TRY(mica__field_string(at, v, "type", &type, err));
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (mica__str_is(type, kinds[i]->type)) m->kind = kinds[i];
    if (!type.p) m->kind = guess(v);
    if (!m->kind) return mica__fail_at(err, at, "unknown model type '%s'", MICA_QUOTED_STR(type));
    return m->kind->parse(m, at, v, err);
}

void mica__model_release(mica__model *m)
{
    if (m->kind && m->own) m->kind->release(m);
    mica__vocab_release(&m->vocab);
    mica__free(m->unk_token);
    *m = (mica__model){0};
}

void mica__model_work_release(mica__model_work *w)
{
    mica__buf_release(&w->text);
    mica__free(w->symbols);
    mica__free(w->heap);
    mica__free(w->cache);
    mica__free(w->paths);
}

mica_status mica__model_prepare(const mica__model *m, mica__model_work *w, size_t text_bytes, mica_error *err)
{
    return m->kind == &mica__model_bpe ? mica__bpe_prepare(w, text_bytes, err) : MICA_OK;
}
