/* text/model.h: the `model` of tokenizer.json: one piece of text to ids.
 *
 * Four kinds share this interface: bpe.c, unigram.c, wordpiece.c (WordPiece and WordLevel). model.c reads the common parts. */
#ifndef MICA_TEXT_MODEL_H
#define MICA_TEXT_MODEL_H

#include "text/field.h"
#include "text/vocab.h"
#include "text/work.h"
#include <mica/tokenizer.h>

typedef struct mica__model mica__model;

/* Scratch memory of one call of encode, made as needed. */
typedef struct mica__model_work {
    mica__buf text;               /* a piece in the byte alphabet */
    struct mica__symbol *symbols; /* bpe */
    uint64_t *heap;
    struct mica__cached_word *cache;
    size_t n_symbols, n_heap, cache_mask;
    struct mica__path *paths; /* unigram */
    size_t n_paths;
} mica__model_work;
void mica__model_work_release(mica__model_work *w);

typedef struct mica__model_kind {
    const char *type;
    mica_status (*parse)(mica__model *m, const mica__at *at, mica__jval v, mica_error *err);
    /* piece: not empty, valid UTF-8; with is_bytes it is raw bytes that stand for their byte alphabet form. */
    mica_status (*encode)(const mica__model *m, mica__model_work *w, mica__str piece, bool is_bytes, mica_ids *out,
                          mica_error *err);
    /* Which bytes of the piece, as the vocabulary spells it, each of the ids that encode made of it stands for. */
    void (*locate)(const mica__model *m, mica__str piece, const int32_t *ids, size_t n, mica__piece *at);
    void (*release)(mica__model *m);
} mica__model_kind;

extern const mica__model_kind mica__model_bpe, mica__model_unigram, mica__model_wordpiece, mica__model_wordlevel;

struct mica__model {
    const mica__model_kind *kind;
    mica__vocab vocab;
    bool has_unk; /* an unknown token is named; unk_id NO_ID: the vocabulary lacks it */
    int32_t unk_id;
    char *unk_token; /* NULL: none named */
    bool byte_fallback;
    int32_t byte_ids[256]; /* of <0x00> ..., if byte_fallback */
    void *own;             /* the kind's tables */
};

/* v: the `model` object. On failure what was made is left for _release. */
mica_status mica__model_parse(mica__model *m, const mica__at *at, mica__jval v, mica_error *err);
void mica__model_release(mica__model *m);

/* text_bytes: of the whole text that is going to be encoded, as a measure for caches. */
mica_status mica__model_prepare(const mica__model *m, mica__model_work *w, size_t text_bytes, mica_error *err);

/* ---- for the kinds ---- */

/* {"token": id, ...} into m->vocab. */
mica_status mica__model_read_vocab(mica__model *m, const mica__at *at, mica__jval v, mica_error *err);
/* unk_token, if it is given. */
mica_status mica__model_read_unk(mica__model *m, const mica__at *at, mica__jval v, mica_error *err);
/* byte_fallback, and the ids of its 256 tokens, which all must be there. */
mica_status mica__model_read_byte_fallback(mica__model *m, const mica__at *at, mica__jval v, mica_error *err);
/* What the unknown token is; INVALID if the model has none. */
mica_status mica__model_need_unk(const mica__model *m, mica_error *err);
/* The piece as the vocabulary writes it: with is_bytes in the byte alphabet, in w->text. */
mica_status mica__model_spell(mica__model_work *w, mica__str *piece, bool is_bytes, mica_error *err);

mica_status mica__ids_grow(mica_ids *ids, size_t more, mica_error *err);
static inline mica_status mica__ids_push(mica_ids *ids, int32_t id, mica_error *err)
{
    if (ids->n == ids->capacity) MICA_TRY(mica__ids_grow(ids, 1, err));
    ids->data[ids->n++] = id;
    return MICA_OK;
}

#endif
