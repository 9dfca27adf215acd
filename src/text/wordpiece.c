/* text/wordpiece.c: WordPiece (greedy longest match, continuations written with a prefix) and WordLevel (whole words). */
#include "text/model.h"
#include "text/trie.h"
#include "text/unicode.h"

typedef struct wordpiece {
    mica__trie trie;
    uint32_t inner; /* node that the prefix leads to; UINT32_MAX: no token starts with it */
    size_t max_chars, prefix_bytes;
} wordpiece;

static mica_status parse(mica__model *m, const mica__at *at, mica__jval v, mica_error *err)
{
    wordpiece *w = m->own = mica__calloc(1, sizeof *w);
    if (!w) return mica__fail_memory(err, sizeof *w, "a WordPiece model");
    mica__str prefix = MICA_STR("##");
    int64_t max_chars = 100;
    MICA_TRY(mica__model_read_vocab(m, at, v, err));
    MICA_TRY(mica__model_read_unk(m, at, v, err));
    MICA_TRY(mica__field_string(at, v, "continuing_subword_prefix", &prefix, err));
    MICA_TRY(mica__field_int(at, v, "max_input_chars_per_word", 0, INT32_MAX, &max_chars, err));
    w->max_chars = (size_t)max_chars;
    w->prefix_bytes = prefix.n;
    MICA_TRY(mica__trie_create(&w->trie, &m->vocab, err));
    const mica__trie_node *node = mica__trie_root(&w->trie);
    for (size_t i = 0; i < prefix.n && node; i++) node = mica__trie_step(&w->trie, node, (uint8_t)prefix.p[i]);
    w->inner = node ? (uint32_t)(node - w->trie.nodes) : UINT32_MAX;
    return MICA_OK;
}

static void release(mica__model *m)
{
    wordpiece *w = m->own;
    mica__trie_release(&w->trie);
    mica__free(w);
}

static mica_status push_unk(const mica__model *m, mica_ids *out, mica_error *err)
{
    MICA_TRY(mica__model_need_unk(m, err));
    return mica__ids_push(out, m->unk_id, err);
}

static bool too_long(mica__str piece, size_t max_chars)
{
    size_t n = 0;
    for (size_t i = 0; i < piece.n; i++) n += ((unsigned char)piece.p[i] & 0xc0) != 0x80;
    return n > max_chars;
}

/* The longest token at p, below `node`; returns where it ends, NULL if there is none. Tokens are valid UTF-8, so the end is a
 * character boundary. */
static const char *longest(const wordpiece *w, const mica__trie_node *node, const char *p, const char *end, int32_t *id)
{
    const char *best = NULL;
    while (p < end && (node = mica__trie_step(&w->trie, node, (uint8_t)*p))) {
        p++;
        if (node->id == MICA__NO_ID) continue;
        best = p;
        *id = node->id;
    }
    return best;
}

static mica_status encode(const mica__model *m, mica__model_work *work, mica__str piece, bool is_bytes, mica_ids *out,
                          mica_error *err)
{
    const wordpiece *w = m->own;
    MICA_TRY(mica__model_spell(work, &piece, is_bytes, err));
    if (too_long(piece, w->max_chars)) return push_unk(m, out, err);
    size_t before = out->n;
    const char *p = piece.p, *end = p + piece.n;
    while (p < end) {
        int32_t id = MICA__NO_ID;
        if (p > piece.p && w->inner == UINT32_MAX)
            p = NULL;
        else
            p = longest(w, p == piece.p ? mica__trie_root(&w->trie) : &w->trie.nodes[w->inner], p, end, &id);
        if (!p) { /* one part unknown: all of it is */
            out->n = before;
            return push_unk(m, out, err);
        }
        MICA_TRY(mica__ids_push(out, id, err));
    }
    return MICA_OK;
}

/* Tokens follow one another; the unknown one stands for the whole piece. */
static void locate(const mica__model *m, mica__str piece, const int32_t *ids, size_t n, mica__piece *at)
{
    const wordpiece *w = m->own;
    size_t start = 0;
    for (size_t i = 0; i < n; i++) {
        mica__str token = mica__vocab_token(&m->vocab, ids[i]);
        if (i > 0 && token.n >= w->prefix_bytes)
            token = (mica__str){token.p + w->prefix_bytes, token.n - w->prefix_bytes};
        size_t bytes = n == 1 ? piece.n : token.n;
        if (bytes > piece.n - start) bytes = piece.n - start;
        at[i] = (mica__piece){(uint32_t)start, (uint32_t)bytes};
        start += bytes;
    }
}

const mica__model_kind mica__model_wordpiece = {"WordPiece", parse, encode, locate, release};

/* ---- WordLevel ---- */

static mica_status parse_wordlevel(mica__model *m, const mica__at *at, mica__jval v, mica_error *err)
{
    MICA_TRY(mica__model_read_vocab(m, at, v, err));
    return mica__model_read_unk(m, at, v, err);
}

static mica_status encode_wordlevel(const mica__model *m, mica__model_work *work, mica__str piece, bool is_bytes,
                                    mica_ids *out, mica_error *err)
{
    MICA_TRY(mica__model_spell(work, &piece, is_bytes, err));
    int32_t id = mica__vocab_id(&m->vocab, piece);
    return id == MICA__NO_ID ? push_unk(m, out, err) : mica__ids_push(out, id, err);
}

static void locate_wordlevel(const mica__model *m, mica__str piece, const int32_t *ids, size_t n, mica__piece *at)
{
    (void)m;
    (void)ids;
    for (size_t i = 0; i < n; i++) at[i] = (mica__piece){0, (uint32_t)piece.n};
}

const mica__model_kind mica__model_wordlevel = {"WordLevel", parse_wordlevel, encode_wordlevel, locate_wordlevel, NULL};
