/* text/vocab.h: the model's vocabulary: token text to id and back, in three flat blocks.
 *
 *     bytes   t o k 0 a n o t h e r 0 ...       every token, NUL-terminated
 *     at      [n_ids] where token i starts      lengths [n_ids]
 *     slots   [power of two] id, and in the bits above it as much of the token's hash as there is room for; open addressing
 *
 * It is filled once (_init, _add for every token) and read by many threads afterwards. */
#ifndef MICA_TEXT_VOCAB_H
#define MICA_TEXT_VOCAB_H

#include "base/memory.h"
#include "base/str.h"

enum { MICA__TOKEN_MAX_BYTES = 65535, MICA__ID_GAP = 1 << 20, MICA__NO_ID = -1 };

typedef struct mica__vocab {
    char *bytes;
    uint32_t *at; /* [n_ids], UINT32_MAX: no such token */
    uint16_t *lengths;
    uint32_t *slots; /* UINT32_MAX: free */
    size_t mask;
    uint32_t id_mask; /* one less than a power of two, above every id */
    size_t n_bytes, max_bytes;
    int32_t n_ids, n_tokens; /* one more than the highest id; tokens */
} mica__vocab;

/* Makes room for n_tokens tokens of n_bytes bytes together, with ids below n_ids. */
mica_status mica__vocab_init(mica__vocab *v, size_t n_tokens, size_t n_ids, size_t n_bytes, mica_error *err);
void mica__vocab_release(mica__vocab *v); /* {0} allowed */

typedef enum mica__vocab_result { MICA__VOCAB_ADDED, MICA__VOCAB_SAME_TOKEN, MICA__VOCAB_SAME_ID } mica__vocab_result;

/* The room must be there. SAME_TOKEN, SAME_ID: nothing was added because the token or the id is taken. With `again`, a token
 * that is there already gets the new id in lookups by text, and both ids keep the text (Unigram lists). */
mica__vocab_result mica__vocab_add(mica__vocab *v, mica__str token, int32_t id, bool again);

int32_t mica__vocab_id(const mica__vocab *v, mica__str token); /* NO_ID if there is none */

/* Looking up many tokens: a table of hundreds of thousands is out of the cache, so a batch hashes all its tokens, lets the
 * three memory accesses of each look-up run ahead (step 0, 1, 2 for all), and only then looks. */
static inline uint64_t mica__vocab_hash(mica__str token) { return mica__hash(token.p, token.n); }
void mica__vocab_prefetch(const mica__vocab *v, uint64_t hash, int step);
int32_t mica__vocab_id_hashed(const mica__vocab *v, mica__str token, uint64_t hash);

static inline bool mica__vocab_has(const mica__vocab *v, int32_t id)
{
    return id >= 0 && id < v->n_ids && v->at[id] != UINT32_MAX;
}
/* The id must be there. */
static inline mica__str mica__vocab_token(const mica__vocab *v, int32_t id)
{
    return (mica__str){v->bytes + v->at[id], v->lengths[id]};
}

#endif
