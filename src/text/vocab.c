/* text/vocab.c: the flat vocabulary table. */
#include "text/vocab.h"

#define FREE UINT32_MAX

mica_status mica__vocab_init(mica__vocab *v, size_t n_tokens, size_t n_ids, size_t n_bytes, mica_error *err)
{
    *v = (mica__vocab){0};
    size_t cap = 16, max_bytes;
    if (n_ids > INT32_MAX || !mica__add(n_bytes, n_tokens, &max_bytes) || max_bytes >= UINT32_MAX)
        return mica__fail(err, MICA_LIMIT, "vocabulary of %zu tokens, %zu bytes is too large", n_tokens, n_bytes);
    while (cap / 4 * 3 < n_tokens) cap *= 2;
    v->id_mask = 1;
    while (v->id_mask <= n_ids)
        v->id_mask = v->id_mask * 2 + 1; /* n_ids itself stays unused: no slot in use is UINT32_MAX */
    v->bytes = mica__alloc(max_bytes + 1, 1);
    v->at = mica__alloc(n_ids, sizeof *v->at);
    v->lengths = mica__calloc(n_ids, sizeof *v->lengths);
    v->slots = mica__alloc(cap, sizeof *v->slots);
    if (!v->bytes || !v->at || !v->lengths || !v->slots) {
        mica__vocab_release(v);
        return mica__fail_memory(err, max_bytes + n_ids * 6 + cap * sizeof *v->slots, "the vocabulary");
    }
    memset(v->at, 0xff, n_ids * sizeof *v->at);
    memset(v->slots, 0xff, cap * sizeof *v->slots);
    v->mask = cap - 1;
    v->n_ids = (int32_t)n_ids;
    v->max_bytes = max_bytes;
    return MICA_OK;
}

void mica__vocab_release(mica__vocab *v)
{
    mica__free(v->bytes);
    mica__free(v->at);
    mica__free(v->lengths);
    mica__free(v->slots);
    *v = (mica__vocab){0};
}

static int32_t id_in(const mica__vocab *v, uint32_t slot)
{
    return slot == FREE ? MICA__NO_ID : (int32_t)(slot & v->id_mask);
}

/* The slot that holds the token, or the free one where it would go. */
static uint32_t *find(const mica__vocab *v, mica__str token, uint64_t hash)
{
    uint32_t tag = (uint32_t)(hash >> 32) & ~v->id_mask;
    for (size_t i = hash & v->mask;; i = (i + 1) & v->mask) {
        uint32_t *s = &v->slots[i];
        if (*s == FREE) return s;
        if ((*s & ~v->id_mask) == tag && mica__str_eq(mica__vocab_token(v, id_in(v, *s)), token)) return s;
    }
}

mica__vocab_result mica__vocab_add(mica__vocab *v, mica__str token, int32_t id, bool again)
{
    if (v->at[id] != UINT32_MAX) return MICA__VOCAB_SAME_ID;
    uint64_t hash = mica__vocab_hash(token);
    uint32_t *s = find(v, token, hash);
    if (*s != FREE && !again) return MICA__VOCAB_SAME_TOKEN;
    v->at[id] = (uint32_t)v->n_bytes;
    v->lengths[id] = (uint16_t)token.n;
    if (token.n) memcpy(v->bytes + v->n_bytes, token.p, token.n);
    v->n_bytes += token.n;
    v->bytes[v->n_bytes++] = 0;
    *s = ((uint32_t)(hash >> 32) & ~v->id_mask) | (uint32_t)id;
    v->n_tokens++;
    return MICA__VOCAB_ADDED;
}

int32_t mica__vocab_id_hashed(const mica__vocab *v, mica__str token, uint64_t hash)
{
    return v->slots ? id_in(v, *find(v, token, hash)) : MICA__NO_ID;
}

int32_t mica__vocab_id(const mica__vocab *v, mica__str token)
{
    return mica__vocab_id_hashed(v, token, mica__vocab_hash(token));
}

void mica__vocab_prefetch(const mica__vocab *v, uint64_t hash, int step)
{
    const uint32_t *s = &v->slots[hash & v->mask];
    if (step == 0) {
        __builtin_prefetch(s);
        return;
    }
    int32_t id = id_in(v, *s);
    if (id == MICA__NO_ID) return;
    if (step == 1) {
        __builtin_prefetch(&v->at[id]);
        __builtin_prefetch(&v->lengths[id]);
    } else {
        __builtin_prefetch(v->bytes + v->at[id]);
    }
}
