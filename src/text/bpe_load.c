/* text/bpe_load.c: reading a BPE model.
 *
 * A merge is two tokens, as ["a", "b"] or, in older files, "a b". Every merge is looked up three times (left, right, joined),
 * half a million times for the largest vocabularies: this is most of the time that loading a tokenizer takes. */
#include "text/bpe.h"
#include "text/bytelevel.h"
#include "text/unicode.h"

typedef struct loader {
    mica__model *m;
    mica__bpe *b;
    const mica__at *at; /* model.merges[i] */
    mica_error *err;
    bool pairs; /* the newer form */
    char joined[2 * MICA__TOKEN_MAX_BYTES];
} loader;

static mica_status split_line(loader *l, mica__str line, mica__str *left, mica__str *right)
{
    const char *space = memchr(line.p, ' ', line.n);
    size_t n = space ? (size_t)(space - line.p) : 0;
    if (!space || memchr(space + 1, ' ', line.n - n - 1))
        return mica__fail_at(l->err, l->at, "'%s' is not two tokens with a space between", MICA_QUOTED_STR(line));
    *left = (mica__str){line.p, n};
    *right = (mica__str){space + 1, line.n - n - 1};
    return MICA_OK;
}

static mica_status read_parts(loader *l, mica__jval v, mica__str *left, mica__str *right)
{
    if (!l->pairs) {
        mica__str line;
        if (!mica__json_string(v, &line))
            return mica__fail_at(l->err, l->at, "expected a string like the first, found %s", mica__json_kind(v));
        return split_line(l, line, left, right);
    }
    if (!mica__json_is(v, MICA__JSON_ARRAY))
        return mica__fail_at(l->err, l->at, "expected an array like the first, found %s", mica__json_kind(v));
    mica__jval first = mica__json_first(v), second = first ? mica__json_next(v, first) : NULL;
    if (mica__json_count(v) != 2 || !mica__json_string(first, left) || !mica__json_string(second, right))
        return mica__fail_at(l->err, l->at, "expected two strings");
    return MICA_OK;
}

static mica_status find_token(const loader *l, mica__str token, int32_t *id)
{
    *id = mica__vocab_id(&l->m->vocab, token);
    if (*id != MICA__NO_ID) return MICA_OK;
    return mica__fail_at(l->err, l->at, "token '%s' is not in the vocabulary", MICA_QUOTED_STR(token));
}

/* Remembers that a merge joins what ends with x and what starts with y. */
static void mark_seam(mica__bpe *b, mica__str left, mica__str right)
{
    if (!b->seams || !left.n || !right.n) return;
    size_t i = left.n - 1;
    while (i > 0 && ((unsigned char)left.p[i] & 0xc0) == 0x80) i--;
    int length;
    uint32_t x = mica__char_at(left.p + i, left.p + left.n, &length);
    uint32_t y = mica__char_at(right.p, right.p + right.n, &length);
    uint32_t bit = mica__seam_bit(x, y);
    b->seams[bit / 64] |= (uint64_t)1 << bit % 64;
}

static mica_status add_merge(loader *l, mica__jval v, uint32_t rank)
{
    mica__str left, right;
    mica__merge m = {.rank = rank};
    MICA_TRY(read_parts(l, v, &left, &right));
    MICA_TRY(find_token(l, left, &m.left));
    MICA_TRY(find_token(l, right, &m.right));
    mica__str tail = right;
    if (right.n < l->b->prefix.n)
        return mica__fail_at(l->err, l->at, "token '%s' is shorter than the prefix", MICA_QUOTED_STR(right));
    tail.p += l->b->prefix.n;
    tail.n -= l->b->prefix.n;
    memcpy(l->joined, left.p, left.n); /* both are in the vocabulary, so within the limit */
    memcpy(l->joined + left.n, tail.p, tail.n);
    MICA_TRY(find_token(l, (mica__str){l->joined, left.n + tail.n}, &m.id));
    *mica__bpe_slot(l->b, m.left, m.right) = m; /* of a repeated pair the last one counts, as in the reference */
    mark_seam(l->b, left, right);
    return MICA_OK;
}

static mica_status read_merges(mica__model *m, const mica__at *at, mica__jval list, mica_error *err)
{
    mica__bpe *b = m->own;
    size_t n = mica__json_count(list), n_slots = n + n / 3 + 8;
    if (n_slots > INT32_MAX) return mica__fail_at(err, at, "%zu merges are too many", n);
    b->slots = mica__alloc(n_slots, sizeof *b->slots);
    if (!b->slots) return mica__fail_memory(err, n_slots * sizeof *b->slots, "merges");
    memset(b->slots, 0xff, n_slots * sizeof *b->slots);
    b->n_slots = (uint32_t)n_slots;
    mica__at here = {at, NULL, 0};
    loader *l = mica__alloc(1, sizeof *l);
    if (!l) return mica__fail_memory(err, sizeof *l, "merges");
    l->m = m;
    l->b = b;
    l->at = &here;
    l->err = err;
    mica__jval v = mica__json_first(list);
    l->pairs = mica__json_is(v, MICA__JSON_ARRAY);
    mica_status status = MICA_OK;
    uint32_t rank = 0;
    for (; v && status == MICA_OK; v = mica__json_next(list, v), here.index++) {
        mica__str line;
        if (!l->pairs && mica__json_string(v, &line) && mica__str_starts(line, "#version")) continue;
        status = add_merge(l, v, rank++);
    }
    mica__free(l);
    return status;
}

/* The affix, kept in the model. */
static mica_status read_affix(const mica__at *at, mica__jval v, const char *key, mica__str *out, mica_error *err)
{
    mica__str s = {0};
    MICA_TRY(mica__field_string(at, v, key, &s, err));
    if (!s.n) return MICA_OK;
    mica__at here = {at, key, 0};
    if (s.n > MICA__AFFIX_MAX) return mica__fail_at(err, &here, "%zu bytes, limit is %d", s.n, MICA__AFFIX_MAX);
    char *copy = mica__strndup(s.p, s.n);
    if (!copy) return mica__fail_memory(err, s.n, key);
    *out = (mica__str){copy, s.n};
    return MICA_OK;
}

static void find_char_ids(const mica__model *m, mica__bpe *b)
{
    b->all_bytes = !b->prefix.n && !b->suffix.n;
    for (int i = 0; i < 256; i++) {
        const mica__byte_char *c = &mica__byte_chars[i];
        b->char_ids[i] = mica__vocab_id(&m->vocab, (mica__str){c->utf8, c->n});
        b->all_bytes &= b->char_ids[i] != MICA__NO_ID;
    }
    for (int i = 0; i < 128; i++) {
        char c = (char)i;
        b->ascii_ids[i] = mica__vocab_id(&m->vocab, (mica__str){&c, 1});
    }
}

mica_status mica__bpe_parse(mica__model *m, const mica__at *at, mica__jval v, mica_error *err)
{
    mica__jval merges;
    mica__bpe *b = m->own = mica__calloc(1, sizeof *b);
    if (!b) return mica__fail_memory(err, sizeof *b, "a BPE model");
    MICA_TRY(mica__model_read_vocab(m, at, v, err));
    MICA_TRY(mica__model_read_unk(m, at, v, err));
    MICA_TRY(mica__model_read_byte_fallback(m, at, v, err));
    MICA_TRY(mica__field_bool(at, v, "fuse_unk", &b->fuse_unk, err));
    MICA_TRY(mica__field_bool(at, v, "ignore_merges", &b->ignore_merges, err));
    MICA_TRY(read_affix(at, v, "continuing_subword_prefix", &b->prefix, err));
    MICA_TRY(read_affix(at, v, "end_of_word_suffix", &b->suffix, err));
    find_char_ids(m, b);
    if (!b->prefix.n && !b->suffix.n && !b->ignore_merges) { /* pieces of a cut piece must not be looked up whole */
        b->seams = mica__calloc((size_t)1 << (MICA__SEAM_BITS - 6), sizeof *b->seams);
        if (!b->seams) return mica__fail_memory(err, (size_t)1 << (MICA__SEAM_BITS - 3), "a BPE model");
    }
    MICA_TRY(mica__need_array(at, v, "merges", &merges, err));
    mica__at here = {at, "merges", 0};
    return read_merges(m, &here, merges, err);
}

void mica__bpe_release(mica__model *m)
{
    mica__bpe *b = m->own;
    mica__free(b->slots);
    mica__free(b->seams);
    mica__free((void *)(uintptr_t)b->prefix.p);
    mica__free((void *)(uintptr_t)b->suffix.p);
    mica__free(b);
}
