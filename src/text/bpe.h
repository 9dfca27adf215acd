/* text/bpe.h: the tables of a BPE model, which bpe_load.c fills and bpe.c reads. */
#ifndef MICA_TEXT_BPE_H
#define MICA_TEXT_BPE_H

#include "text/model.h"

enum { MICA__AFFIX_MAX = 64, MICA__SEAM_BITS = 20 };

typedef struct mica__merge {
    int32_t left, right; /* left NO_ID: free slot */
    uint32_t rank;
    int32_t id; /* of the joined token */
} mica__merge;

typedef struct mica__bpe {
    mica__merge *slots; /* [n_slots], open addressing */
    uint32_t n_slots;
    bool fuse_unk, ignore_merges, all_bytes; /* all_bytes: every byte's character has an id, and there are no affixes */
    mica__str prefix, suffix;                /* of characters after the first, of the last one; at most AFFIX_MAX */
    int32_t char_ids[256];                   /* of the byte alphabet */
    int32_t ascii_ids[128];
    uint64_t *seams; /* bit set over hashed pairs (x, y): some merge joins ..x with y..; NULL: there are affixes */
    uint8_t byte_seams[256][32]; /* the same over bytes of the byte alphabet, exactly: bit y of row x */
} mica__bpe;

static inline uint64_t mica__pair_hash(uint32_t a, uint32_t b)
{
    uint64_t h = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15u;
    return (h ^ h >> 29) * 0xbf58476d1ce4e5b9u;
}

/* Where the search for a pair starts. */
static inline mica__merge *mica__bpe_home(const mica__bpe *b, int32_t left, int32_t right)
{
    uint64_t hash = mica__pair_hash((uint32_t)left, (uint32_t)right);
    return &b->slots[(hash >> 32) * b->n_slots >> 32];
}

/* The slot of a pair, or the free one where it would go. */
static inline mica__merge *mica__bpe_slot(const mica__bpe *b, int32_t left, int32_t right)
{
    mica__merge *m = mica__bpe_home(b, left, right), *end = b->slots + b->n_slots;
    while (!(m->left == left && m->right == right) && m->left != MICA__NO_ID)
        if (++m == end) m = b->slots;
    return m;
}

/* NULL: the two do not merge. */
static inline const mica__merge *mica__bpe_merge(const mica__bpe *b, int32_t left, int32_t right)
{
    const mica__merge *m = mica__bpe_slot(b, left, right);
    return m->left == MICA__NO_ID ? NULL : m;
}

static inline uint32_t mica__seam_bit(uint32_t x, uint32_t y)
{
    return (uint32_t)(mica__pair_hash(x, y) >> (64 - MICA__SEAM_BITS));
}

mica_status mica__bpe_parse(mica__model *m, const mica__at *at, mica__jval v, mica_error *err);
void mica__bpe_release(mica__model *m);
mica_status mica__bpe_prepare(mica__model_work *w, size_t text_bytes, mica_error *err);

#endif
