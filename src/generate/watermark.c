/* generate/watermark.c: see the header. The generator is MT19937 (Matsumoto and Nishimura 1998). */
#include "watermark.h"

#include "base/memory.h"

/* ---- random permutations ------------------------------------------------------------------------------------------------------ */

enum { STATE = 624, SHIFT = 397 };

typedef struct twister {
    uint32_t state[STATE];
    int at;
} twister;

static void twister_seed(twister *t, uint32_t seed)
{
    t->state[0] = seed;
    for (uint32_t i = 1; i < STATE; i++) {
        uint32_t before = t->state[i - 1];
        t->state[i] = 1812433253u * (before ^ (before >> 30)) + i;
    }
    t->at = STATE;
}

static void twister_turn(twister *t)
{
    for (int i = 0; i < STATE; i++) {
        uint32_t y = (t->state[i] & 0x80000000u) | (t->state[(i + 1) % STATE] & 0x7fffffffu);
        t->state[i] = t->state[(i + SHIFT) % STATE] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    t->at = 0;
}

static uint32_t twister_next(twister *t)
{
    if (t->at == STATE) twister_turn(t);
    uint32_t y = t->state[t->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

/* The first `wanted` of a permutation of 0..n, as torch.randperm gives them. */
static void permute(int32_t *order, size_t n, size_t wanted, uint32_t seed)
{
    twister t;
    twister_seed(&t, seed);
    for (size_t i = 0; i < n; i++) order[i] = (int32_t)i;
    for (size_t i = 0; i < wanted && i + 1 < n; i++) {
        size_t other = i + twister_next(&t) % (n - i);
        int32_t moved = order[i];
        order[i] = order[other];
        order[other] = moved;
    }
}

/* ---- lists ------------------------------------------------------------------------------------------------------------------------ */

bool mica__watermark_create(mica__watermark *out, const mica__watermark_settings *s, size_t vocab)
{
    *out = (mica__watermark){.s = s, .vocab = vocab};
    if (!s->on) return true;
    out->order = mica__alloc(vocab, sizeof *out->order);
    if (!s->self) return out->order != NULL;
    out->table = mica__alloc(MICA__WATERMARK_TABLE, sizeof *out->table);
    out->best = mica__alloc(MICA__WATERMARK_CANDIDATES, sizeof *out->best);
    if (!out->order || !out->table || !out->best) return false;
    permute(out->table, MICA__WATERMARK_TABLE, MICA__WATERMARK_TABLE, (uint32_t)s->key);
    return true;
}

void mica__watermark_release(mica__watermark *w)
{
    mica__free(w->order);
    mica__free(w->table);
    mica__free(w->best);
    *w = (mica__watermark){0};
}

static size_t list_length(const mica__watermark *w) { return (size_t)((double)w->vocab * w->s->ratio); }

/* Seeds are taken modulo 2^64 - 1, and the generator looks at their low half. */
static uint32_t seed_of(__int128 seed)
{
    const __int128 modulus = ((__int128)1 << 64) - 1;
    seed %= modulus;
    return (uint32_t)(seed < 0 ? seed + modulus : seed);
}

/* "selfhash": of the last `width` tokens, of which the candidate is one. 64-bit products wrap, and the smallest counts. */
static uint32_t self_seed(const mica__watermark *w, const int32_t *ids, size_t n, int32_t candidate)
{
    const uint64_t last = (uint64_t)w->table[candidate % MICA__WATERMARK_TABLE] + 1;
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < w->s->width && i <= n; i++) {
        int32_t id = i ? ids[n - i] : candidate;
        uint64_t one = (uint64_t)w->table[id % MICA__WATERMARK_TABLE] + 1;
        int64_t product = (int64_t)((uint64_t)w->s->key * one * last);
        if (product < least) least = product;
    }
    return seed_of(least);
}

static bool is_listed(const mica__watermark *w, int32_t id)
{
    for (size_t i = 0; i < list_length(w); i++) {
        if (w->order[i] == id) return true;
    }
    return false;
}

/* The best candidates, each if it is on the list that it itself would make. */
static void mark_self(mica__watermark *w, const int32_t *ids, size_t n, float *scores)
{
    size_t found = mica__select_first(scores, w->vocab, w->best, MICA__WATERMARK_CANDIDATES);
    for (size_t i = 0; i < found; i++) {
        int32_t id = w->best[i].id;
        permute(w->order, w->vocab, list_length(w), self_seed(w, ids, n, id));
        if (is_listed(w, id)) scores[id] += w->s->bias;
    }
}

void mica__watermark_apply(mica__watermark *w, const int32_t *ids, size_t n, float *scores)
{
    if (!w->s->on || n < w->s->width) return;
    if (w->s->self) {
        mark_self(w, ids, n, scores);
        return;
    }
    permute(w->order, w->vocab, list_length(w), seed_of((__int128)w->s->key * ids[n - 1]));
    for (size_t i = 0; i < list_length(w); i++) scores[w->order[i]] += w->s->bias;
}
