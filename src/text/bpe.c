/* text/bpe.c: byte-pair encoding.
 *
 * A piece becomes a row of symbols, and the pair of neighbours with the lowest rank is joined until no pair has a merge; among
 * equal ranks the leftmost goes first. Short pieces keep the ranks in an array and look for the minimum; long ones use a heap,
 * so that a megabyte of one letter costs n log n. Two things make ordinary text cheap: short pieces are remembered for the
 * length of the call, and a long piece is cut where no merge can ever join the characters on both sides ("seams"), which
 * changes nothing in the result. */
#include "text/bpe.h"
#include "text/bytelevel.h"
#include "text/unicode.h"

enum {
    SHORT_PIECE = 40, /* symbols that are merged without a heap */
    SEAM_PIECE = 32,  /* bytes from which a piece is cut at seams */
};
#define NO_RANK UINT32_MAX

typedef mica__bpe bpe;

/* ---- merging ---- */

typedef struct mica__symbol {
    int32_t id, merged;  /* merged: what it and its right neighbour become, at `rank` */
    uint32_t rank;       /* NO_RANK: no merge, or the symbol is gone */
    uint32_t prev, next; /* UINT32_MAX: none; only in long pieces */
} symbol;

static bool reserve_symbols(mica__model_work *w, size_t n)
{
    if (n <= w->n_symbols) return true;
    size_t cap = w->n_symbols * 2 > n ? w->n_symbols * 2 : n;
    symbol *symbols = mica__realloc(w->symbols, cap, sizeof *symbols);
    if (!symbols) return false;
    w->symbols = symbols;
    w->n_symbols = cap;
    return true;
}

static void look_up(const bpe *b, symbol *left, const symbol *right)
{
    const mica__merge *m = mica__bpe_merge(b, left->id, right->id);
    left->rank = m ? m->rank : NO_RANK;
    if (m) left->merged = m->id;
}

/* Returns how many symbols are left, in s[0 .. n). */
static size_t merge_short(const bpe *b, symbol *s, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++) look_up(b, &s[i], &s[i + 1]);
    s[n - 1].rank = NO_RANK;
    for (;;) {
        size_t best = 0;
        for (size_t i = 1; i < n; i++)
            if (s[i].rank < s[best].rank) best = i;
        if (s[best].rank == NO_RANK) return n;
        s[best].id = s[best].merged;
        n--;
        memmove(&s[best + 1], &s[best + 2], (n - best - 1) * sizeof *s);
        if (best + 1 < n)
            look_up(b, &s[best], &s[best + 1]);
        else
            s[best].rank = NO_RANK;
        if (best > 0) look_up(b, &s[best - 1], &s[best]);
    }
}

typedef struct heap {
    uint64_t *v; /* rank << 32 | position of the left symbol */
    size_t n, cap;
} heap;

static bool heap_push(heap *h, uint64_t key)
{
    if (h->n == h->cap) {
        size_t cap = h->cap ? h->cap + h->cap / 2 : 256;
        uint64_t *v = mica__realloc(h->v, cap, sizeof *v);
        if (!v) return false;
        h->v = v;
        h->cap = cap;
    }
    size_t i = h->n++;
    for (; i > 0 && h->v[(i - 1) / 4] > key; i = (i - 1) / 4) h->v[i] = h->v[(i - 1) / 4];
    h->v[i] = key;
    return true;
}

static void heap_sink(heap *h, size_t i, uint64_t key)
{
    for (;;) {
        size_t child = 4 * i + 1, last = child + 4 < h->n ? child + 4 : h->n, least = child;
        if (child >= h->n) break;
        for (size_t k = child + 1; k < last; k++)
            if (h->v[k] < h->v[least]) least = k;
        if (h->v[least] >= key) break;
        h->v[i] = h->v[least];
        i = least;
    }
    h->v[i] = key;
}

static uint64_t heap_pop(heap *h)
{
    uint64_t top = h->v[0], last = h->v[--h->n];
    if (h->n) heap_sink(h, 0, last);
    return top;
}

static bool enqueue(const bpe *b, heap *h, symbol *s, uint32_t i)
{
    if (s[i].next == UINT32_MAX) {
        s[i].rank = NO_RANK;
        return true;
    }
    look_up(b, &s[i], &s[s[i].next]);
    return s[i].rank == NO_RANK || heap_push(h, (uint64_t)s[i].rank << 32 | i);
}

/* As merge_short; *n becomes the number of symbols left. False: no memory. */
static bool merge_long(const bpe *b, heap *h, symbol *s, size_t *n)
{
    uint32_t count = (uint32_t)*n;
    for (uint32_t i = 0; i < count; i++) {
        s[i].prev = i ? i - 1 : UINT32_MAX;
        s[i].next = i + 1 < count ? i + 1 : UINT32_MAX;
    }
    h->n = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!enqueue(b, h, s, i)) return false;
    while (h->n) {
        uint64_t top = heap_pop(h);
        uint32_t i = (uint32_t)top;
        if (s[i].rank != top >> 32) continue; /* the pair has changed since */
        uint32_t gone = s[i].next;
        s[i].id = s[i].merged;
        s[i].next = s[gone].next;
        if (s[i].next != UINT32_MAX) s[s[i].next].prev = i;
        s[gone].rank = NO_RANK;
        if (s[i].prev != UINT32_MAX && !enqueue(b, h, s, s[i].prev)) return false;
        if (!enqueue(b, h, s, i)) return false;
    }
    *n = 0;
    for (uint32_t i = 0; i != UINT32_MAX; i = s[i].next) s[(*n)++].id = s[i].id;
    return true;
}

/* ---- pieces to symbols ---- */

static int32_t char_id(const mica__model *m, const bpe *b, mica__str c)
{
    return c.n == 1 ? b->ascii_ids[(unsigned char)c.p[0]] : mica__vocab_id(&m->vocab, c);
}

/* Id of a character with the prefix and suffix that its place in the piece gives it; *spelled is that text, in room. */
static int32_t spelled_id(const mica__model *m, const bpe *b, mica__str c, bool first, bool last, char *room,
                          mica__str *spelled)
{
    *spelled = c;
    if ((first || !b->prefix.n) && (!last || !b->suffix.n)) return char_id(m, b, c);
    size_t n = 0;
    if (!first) n = b->prefix.n;
    if (n) memcpy(room, b->prefix.p, n);
    memcpy(room + n, c.p, c.n);
    n += c.n;
    if (last && b->suffix.n) {
        memcpy(room + n, b->suffix.p, b->suffix.n);
        n += b->suffix.n;
    }
    *spelled = (mica__str){room, n};
    return mica__vocab_id(&m->vocab, *spelled);
}

/* Writes the symbols of a piece to w->symbols. */
static mica_status to_symbols(const mica__model *m, mica__model_work *w, mica__str piece, size_t *n_out,
                              mica_error *err)
{
    const bpe *b = m->own;
    char room[2 * MICA__AFFIX_MAX + 4];
    size_t n = 0, per_char = m->byte_fallback ? sizeof room : 1; /* the most symbols that one character gives */
    bool unk_pending = false;
    const char *p = piece.p, *end = p + piece.n;
    for (int length; p < end; p += length) {
        mica__char_at(p, end, &length);
        if (!reserve_symbols(w, n + per_char + 1))
            return mica__fail_memory(err, (n + per_char) * 2 * sizeof(symbol), "symbols");
        mica__str c = {p, (size_t)length}, spelled;
        int32_t id = spelled_id(m, b, c, p == piece.p, p + length == end, room, &spelled);
        if (id != MICA__NO_ID) {
            if (unk_pending) w->symbols[n++].id = m->unk_id;
            unk_pending = false;
            w->symbols[n++].id = id;
        } else if (m->byte_fallback) {
            for (size_t i = 0; i < spelled.n; i++) w->symbols[n++].id = m->byte_ids[(unsigned char)spelled.p[i]];
        } else if (m->has_unk) {
            MICA_TRY(mica__model_need_unk(m, err));
            if (unk_pending && !b->fuse_unk) w->symbols[n++].id = m->unk_id;
            unk_pending = true;
        }
    }
    if (unk_pending) w->symbols[n++].id = m->unk_id;
    *n_out = n;
    return MICA_OK;
}

/* The same for raw bytes that all have an id. */
static mica_status bytes_to_symbols(const bpe *b, mica__model_work *w, mica__str piece, mica_error *err)
{
    if (!reserve_symbols(w, piece.n)) return mica__fail_memory(err, piece.n * sizeof(symbol), "symbols");
    for (size_t i = 0; i < piece.n; i++) w->symbols[i].id = b->char_ids[(unsigned char)piece.p[i]];
    return MICA_OK;
}

static mica_status merge_and_output(const bpe *b, mica__model_work *w, size_t n, mica_ids *out, mica_error *err)
{
    if (n <= SHORT_PIECE) {
        n = n ? merge_short(b, w->symbols, n) : 0;
    } else {
        heap h = {w->heap, 0, w->n_heap};
        bool ok = merge_long(b, &h, w->symbols, &n);
        w->heap = h.v;
        w->n_heap = h.cap;
        if (!ok) return mica__fail_memory(err, h.cap * 2 * sizeof *h.v, "merges");
    }
    if (out->capacity - out->n < n) MICA_TRY(mica__ids_grow(out, n, err));
    for (size_t i = 0; i < n; i++) out->data[out->n++] = w->symbols[i].id;
    return MICA_OK;
}

/* whole: the piece is what the pre-tokenizer made, not a part of it, so ignore_merges may look it up. */
static mica_status encode_plain(const mica__model *m, mica__model_work *w, mica__str piece, bool is_bytes, bool whole,
                                mica_ids *out, mica_error *err)
{
    const bpe *b = m->own;
    mica__str spelled = piece;
    bool look_up_whole = whole && b->ignore_merges, plain_bytes = is_bytes && b->all_bytes;
    if (look_up_whole || !plain_bytes) MICA_TRY(mica__model_spell(w, &spelled, is_bytes, err));
    if (look_up_whole) {
        int32_t id = mica__vocab_id(&m->vocab, spelled);
        if (id != MICA__NO_ID) return mica__ids_push(out, id, err);
    }
    size_t n = piece.n;
    if (plain_bytes)
        MICA_TRY(bytes_to_symbols(b, w, piece, err));
    else
        MICA_TRY(to_symbols(m, w, spelled, &n, err));
    return merge_and_output(b, w, n, out, err);
}

/* ---- the memory of short pieces ---- */

enum { KEY_BYTES = 16, CACHED_IDS = 3, MOST_CACHED_WORDS = 16384 };

typedef struct mica__cached_word {
    uint64_t key[2]; /* the bytes of the piece, the last eight of them once more if there are more than eight */
    int32_t ids[CACHED_IDS];
    uint16_t n_bytes, n_ids; /* n_bytes 0: free */
} cached_word;

static uint64_t load(const char *p, size_t n)
{
    uint64_t word = 0;
    memcpy(&word, p, n);
    return word;
}

/* Loads of fixed size, overlapping where the piece is shorter than two of them: a copy of n bytes would be a call. */
static inline void make_key(mica__str piece, uint64_t key[2])
{
    const char *p = piece.p;
    size_t n = piece.n;
    key[1] = 0;
    if (n >= 8) {
        key[0] = load(p, 8);
        key[1] = load(p + n - 8, 8);
    } else if (n >= 4) {
        key[0] = load(p, 4) | load(p + n - 4, 4) << 32;
    } else {
        key[0] = (uint64_t)(unsigned char)p[0] | (uint64_t)(unsigned char)p[n / 2] << 8 |
                 (uint64_t)(unsigned char)p[n - 1] << 16;
    }
}

static mica_status encode_cached(const mica__model *m, mica__model_work *w, mica__str piece, bool is_bytes,
                                 mica_ids *out, mica_error *err)
{
    if (piece.n > KEY_BYTES || !w->cache) return encode_plain(m, w, piece, is_bytes, true, out, err);
    uint64_t key[2];
    make_key(piece, key);
    uint64_t hash = (key[0] ^ (key[1] + piece.n) * 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
    cached_word *c = &w->cache[hash >> 40 & w->cache_mask];
    if (c->key[0] == key[0] && c->key[1] == key[1] && c->n_bytes == piece.n) {
        if (out->capacity - out->n < CACHED_IDS) MICA_TRY(mica__ids_grow(out, CACHED_IDS, err));
        memcpy(out->data + out->n, c->ids, sizeof c->ids);
        out->n += c->n_ids;
        return MICA_OK;
    }
    size_t before = out->n;
    MICA_TRY(encode_plain(m, w, piece, is_bytes, true, out, err));
    size_t n = out->n - before;
    if (n > CACHED_IDS) return MICA_OK;
    *c = (cached_word){{key[0], key[1]}, {0}, (uint16_t)piece.n, (uint16_t)n};
    for (size_t i = 0; i < n; i++) c->ids[i] = out->data[before + i];
    return MICA_OK;
}

mica_status mica__bpe_prepare(mica__model_work *w, size_t text_bytes, mica_error *err)
{
    size_t n = 64;
    while (n < MOST_CACHED_WORDS && n < text_bytes / 16) n *= 2;
    if (w->cache && w->cache_mask + 1 >= n) return MICA_OK;
    mica__free(w->cache);
    w->cache = mica__calloc(n, sizeof *w->cache);
    w->cache_mask = n - 1;
    return w->cache ? MICA_OK : mica__fail_memory(err, n * sizeof *w->cache, "a cache of words");
}

/* ---- seams ---- */

static bool is_known(const mica__model *m, const bpe *b, const char *p, int length)
{
    return char_id(m, b, (mica__str){p, (size_t)length}) != MICA__NO_ID;
}

/* Where the part that starts at `start` may end: at the first place where no merge joins the characters on both sides and
 * both are symbols themselves. Then neither merging nor the fusing of unknown characters looks across. */
static const char *next_seam(const mica__model *m, const bpe *b, const char *start, const char *end)
{
    int n_x, n_y;
    uint32_t x = mica__char_at(start, end, &n_x), y;
    for (const char *p = start, *q; (q = p + n_x) < end; p = q, x = y, n_x = n_y) {
        y = mica__char_at(q, end, &n_y);
        uint32_t bit = mica__seam_bit(x, y);
        if (!(b->seams[bit / 64] >> bit % 64 & 1) && is_known(m, b, p, n_x) && is_known(m, b, q, n_y)) return q;
    }
    return end;
}

static const char *next_byte_seam(const bpe *b, const char *start, const char *end)
{
    for (const char *p = start + 1; p < end; p++) {
        unsigned char x = (unsigned char)p[-1], y = (unsigned char)*p;
        if (!(b->byte_seams[x][y / 8] >> y % 8 & 1)) return p;
    }
    return end;
}

static mica_status encode(const mica__model *m, mica__model_work *w, mica__str piece, bool is_bytes, mica_ids *out,
                          mica_error *err)
{
    const bpe *b = m->own;
    if (piece.n < SEAM_PIECE || !b->seams || (is_bytes && !b->all_bytes))
        return encode_cached(m, w, piece, is_bytes, out, err);
    if (b->ignore_merges) {
        mica__str spelled = piece;
        MICA_TRY(mica__model_spell(w, &spelled, is_bytes, err));
        int32_t id = mica__vocab_id(&m->vocab, spelled);
        if (id != MICA__NO_ID) return mica__ids_push(out, id, err);
    }
    const char *end = piece.p + piece.n, *next;
    for (const char *start = piece.p; start < end; start = next) {
        next = is_bytes ? next_byte_seam(b, start, end) : next_seam(m, b, start, end);
        mica__str part = {start, (size_t)(next - start)};
        if (b->ignore_merges)
            MICA_TRY(encode_plain(m, w, part, is_bytes, false, out, err)); /* the cache has whole pieces */
        else
            MICA_TRY(encode_cached(m, w, part, is_bytes, out, err));
    }
    return MICA_OK;
}

/* ---- where tokens stand ---- */

typedef struct locator {
    const mica__model *m;
    mica__str piece;
    size_t read, start; /* bytes of the piece that are accounted for; of those, the ones that left a token */
} locator;

/* The character that is next: its bytes, its id, and how many bytes it has as the vocabulary would spell it. */
static size_t next_char(const locator *l, size_t at, int32_t *id, size_t *spelled_bytes)
{
    const bpe *b = l->m->own;
    int length;
    mica__char_at(l->piece.p + at, l->piece.p + l->piece.n, &length);
    char room[2 * MICA__AFFIX_MAX + 4];
    mica__str c = {l->piece.p + at, (size_t)length}, spelled;
    const bool last = at + c.n == l->piece.n;
    *id = spelled_id(l->m, b, c, at == 0, last, room, &spelled);
    *spelled_bytes = spelled.n;
    return (size_t)length;
}

/* The bytes of the unknown characters that one unknown token stands for. */
static size_t unknown_bytes(const locator *l)
{
    const bpe *b = l->m->own;
    size_t end = l->read, n, spelled;
    int32_t id;
    do {
        n = next_char(l, end, &id, &spelled);
        end += id == MICA__NO_ID ? n : 0;
    } while (b->fuse_unk && id == MICA__NO_ID && end < l->piece.n);
    return end - l->read;
}

static size_t known_bytes(const locator *l, int32_t id, bool last)
{
    const bpe *b = l->m->own;
    mica__str token = mica__vocab_token(&l->m->vocab, id);
    if (l->read > 0 && b->prefix.n && token.n > b->prefix.n && memcmp(token.p, b->prefix.p, b->prefix.n) == 0)
        token = (mica__str){token.p + b->prefix.n, token.n - b->prefix.n};
    if (last && b->suffix.n && token.n > b->suffix.n &&
        memcmp(token.p + token.n - b->suffix.n, b->suffix.p, b->suffix.n) == 0)
        token.n -= b->suffix.n;
    return token.n;
}

static mica__piece take(locator *l, size_t n)
{
    size_t start = l->start < l->piece.n ? l->start : l->piece.n;
    if (n > l->piece.n - start) n = l->piece.n - start;
    l->start += n;
    return (mica__piece){(uint32_t)start, (uint32_t)n};
}

/* Lengths follow from the tokens; only where a character is unknown the piece says more. One that left no token (there is no unknown one)
 * is not accounted for, as in the reference. */
static void locate(const mica__model *m, mica__str piece, const int32_t *ids, size_t n, mica__piece *at)
{
    locator l = {m, piece, 0, 0};
    for (size_t i = 0; i < n;) {
        int32_t id = ids[i];
        size_t spelled = 0, bytes = l.read < piece.n ? next_char(&l, l.read, &id, &spelled) : 0;
        if (l.read >= piece.n || id != MICA__NO_ID || (n == 1 && mica__vocab_id(&m->vocab, piece) == ids[0])) {
            bytes = known_bytes(&l, ids[i], i + 1 == n);
            at[i++] = take(&l, bytes);
        } else if (m->byte_fallback) {
            for (size_t k = 0; k < spelled && i < n; k++) at[i++] = take(&l, 1);
        } else if (m->has_unk) {
            bytes = unknown_bytes(&l);
            at[i++] = take(&l, bytes);
        }
        l.read += bytes;
    }
}

const mica__model_kind mica__model_bpe = {"BPE", mica__bpe_parse, encode, locate, mica__bpe_release};
