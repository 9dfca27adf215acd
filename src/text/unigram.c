/* text/unigram.c: the unigram language model: the segmentation with the highest sum of log probabilities (Viterbi).
 *
 * paths[i] is the best way to reach byte i of the piece. Scores are doubles and compared strictly, so that among equal sums
 * the way found first stays, as in the reference. */
#include "text/model.h"
#include "text/trie.h"
#include "text/unicode.h"

#include <math.h>

typedef struct unigram {
    double *scores; /* [n_ids] */
    double unk_score;
    mica__trie trie;
} unigram;

typedef struct mica__path {
    double score;
    uint32_t start; /* where the last token of the best way starts; UINT32_MAX: not reached */
    int32_t id;
} path;

static const double UNK_PENALTY = 10.0;

static mica_status read_piece(const mica__at *at, mica__jval e, mica__str *text, double *score, mica_error *err)
{
    mica__jval first = mica__json_first(e), second = first ? mica__json_next(e, first) : NULL;
    if (!mica__json_is(e, MICA__JSON_ARRAY) || mica__json_count(e) != 2 || !mica__json_string(first, text) ||
        !mica__json_double(second, score))
        return mica__fail_at(err, at, "expected [token, score], found %s", mica__json_kind(e));
    if (!isfinite(*score)) return mica__fail_at(err, at, "score of '%s' is not finite", MICA_QUOTED_STR(*text));
    if (text->n > MICA__TOKEN_MAX_BYTES)
        return mica__fail_at(err, at, "token of %zu bytes, limit is %d", text->n, MICA__TOKEN_MAX_BYTES);
    return MICA_OK;
}

static mica_status read_pieces(mica__model *m, const mica__at *at, mica__jval list, mica_error *err)
{
    unigram *u = m->own;
    size_t n = mica__json_count(list), n_bytes = 0;
    mica__at here = {at, NULL, 0};
    mica__str text;
    double score, lowest = INFINITY;
    if (n == 0) return mica__fail_at(err, at, "empty vocabulary");
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e), here.index++) {
        MICA_TRY(read_piece(&here, e, &text, &score, err));
        n_bytes += text.n;
        if (score < lowest) lowest = score;
    }
    u->unk_score = lowest - UNK_PENALTY;
    MICA_TRY(mica__vocab_init(&m->vocab, n, n, n_bytes, err));
    u->scores = mica__alloc(n, sizeof *u->scores);
    if (!u->scores) return mica__fail_memory(err, n * sizeof *u->scores, "scores");
    int32_t id = 0;
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e), id++) {
        MICA_TRY(read_piece(&here, e, &text, &u->scores[id], err));
        mica__vocab_add(&m->vocab, text, id, true);
    }
    return MICA_OK;
}

static mica_status parse(mica__model *m, const mica__at *at, mica__jval v, mica_error *err)
{
    unigram *u = m->own = mica__calloc(1, sizeof *u);
    if (!u) return mica__fail_memory(err, sizeof *u, "a Unigram model");
    mica__jval list;
    mica__at here = {at, "vocab", 0};
    MICA_TRY(mica__need_array(at, v, "vocab", &list, err));
    MICA_TRY(read_pieces(m, &here, list, err));
    int64_t unk = -1;
    MICA_TRY(mica__field_int(at, v, "unk_id", 0, m->vocab.n_ids - 1, &unk, err));
    m->unk_id = (int32_t)unk;
    m->has_unk = unk >= 0;
    MICA_TRY(mica__model_read_byte_fallback(m, at, v, err));
    return mica__trie_create(&u->trie, &m->vocab, err);
}

static void release(mica__model *m)
{
    unigram *u = m->own;
    mica__free(u->scores);
    mica__trie_release(&u->trie);
    mica__free(u);
}

static inline void offer(path *to, double score, uint32_t start, int32_t id)
{
    if (to->start == UINT32_MAX || score > to->score) *to = (path){score, start, id};
}

/* Fills paths[0 .. n]. */
static mica_status find_paths(const mica__model *m, path *paths, mica__str piece, mica_error *err)
{
    const unigram *u = m->own;
    const char *end = piece.p + piece.n;
    for (size_t i = 0; i <= piece.n; i++) paths[i] = (path){0, UINT32_MAX, MICA__NO_ID};
    for (size_t i = 0; i < piece.n;) {
        int length;
        mica__char_at(piece.p + i, end, &length);
        double so_far = paths[i].score;
        bool has_single = false;
        const mica__trie_node *node = mica__trie_root(&u->trie);
        for (size_t k = i; k < piece.n && (node = mica__trie_step(&u->trie, node, (uint8_t)piece.p[k])); k++) {
            if (node->id == MICA__NO_ID) continue;
            offer(&paths[k + 1], u->scores[node->id] + so_far, (uint32_t)i, node->id);
            has_single |= k + 1 - i == (size_t)length;
        }
        if (!has_single) {
            if (!m->has_unk) return mica__model_need_unk(m, err);
            offer(&paths[i + (size_t)length], u->unk_score + so_far, (uint32_t)i, m->unk_id);
        }
        i += (size_t)length;
    }
    return MICA_OK;
}

static mica_status push_text(const mica__model *m, mica__str text, mica_ids *out, mica_error *err)
{
    int32_t id = mica__vocab_id(&m->vocab, text);
    if (id != MICA__NO_ID) return mica__ids_push(out, id, err);
    if (!m->byte_fallback) return mica__ids_push(out, m->unk_id, err);
    for (size_t i = 0; i < text.n; i++) MICA_TRY(mica__ids_push(out, m->byte_ids[(unsigned char)text.p[i]], err));
    return MICA_OK;
}

/* Turns the best way round: afterwards paths[start].start is where the token that starts there ends, and .id is that token. */
static void reverse(path *paths, size_t n)
{
    uint32_t end = (uint32_t)n;
    path last = paths[end];
    while (end > 0) {
        uint32_t start = last.start;
        int32_t id = last.id;
        last = paths[start];
        paths[start].start = end;
        paths[start].id = id;
        end = start;
    }
}

static mica_status encode(const mica__model *m, mica__model_work *w, mica__str piece, bool is_bytes, mica_ids *out,
                          mica_error *err)
{
    MICA_TRY(mica__model_spell(w, &piece, is_bytes, err));
    if (piece.n >= w->n_paths) {
        path *paths = mica__realloc(w->paths, piece.n + 1, sizeof *paths);
        if (!paths) return mica__fail_memory(err, (piece.n + 1) * sizeof *paths, "a lattice");
        w->paths = paths;
        w->n_paths = piece.n + 1;
    }
    MICA_TRY(find_paths(m, w->paths, piece, err));
    reverse(w->paths, piece.n);
    for (size_t i = 0; i < piece.n;) {
        size_t end = w->paths[i].start;
        if (m->has_unk && w->paths[i].id == m->unk_id) /* neighbours that are unknown are one */
            while (end < piece.n && w->paths[end].id == m->unk_id) end = w->paths[end].start;
        MICA_TRY(push_text(m, (mica__str){piece.p + i, end - i}, out, err));
        i = end;
    }
    return MICA_OK;
}

/* Whether the text of a token stands in the piece at `at`. */
static bool stands_at(mica__str piece, size_t at, mica__str token)
{
    return token.n <= piece.n - at && memcmp(piece.p + at, token.p, token.n) == 0;
}

static size_t unknown_bytes(const mica__model *m, mica__str piece, size_t at, int32_t next)
{
    const char *end = piece.p + piece.n;
    mica__str token = next == MICA__NO_ID ? (mica__str){NULL, 0} : mica__vocab_token(&m->vocab, next);
    size_t n = 0;
    for (int length; at + n < piece.n; n += (size_t)length) {
        if (n && token.n && stands_at(piece, at + n, token)) break;
        mica__char_at(piece.p + at + n, end, &length);
    }
    return n;
}

/* Neighbours that are unknown are one stretch, for which one unknown token stands, or a token for each of its bytes. */
static void locate(const mica__model *m, mica__str piece, const int32_t *ids, size_t n, mica__piece *at)
{
    size_t start = 0;
    for (size_t i = 0; i < n;) {
        mica__str token = mica__vocab_token(&m->vocab, ids[i]);
        size_t bytes = token.n, ids_of_it = 1;
        if (!stands_at(piece, start, token)) {
            size_t k = i;
            if (m->byte_fallback && ids[i] != m->unk_id)
                while (k < n && start + (k - i) < piece.n &&
                       ids[k] == m->byte_ids[(unsigned char)piece.p[start + (k - i)]])
                    k++;
            ids_of_it = k > i ? k - i : 1;
            bytes = k > i ? k - i : unknown_bytes(m, piece, start, i + 1 < n ? ids[i + 1] : MICA__NO_ID);
        }
        if (bytes > piece.n - start) bytes = piece.n - start;
        for (size_t k = 0; k < ids_of_it; k++) at[i++] = (mica__piece){(uint32_t)start, (uint32_t)bytes};
        start += bytes;
    }
}

const mica__model_kind mica__model_unigram = {"Unigram", parse, encode, locate, release};
