/* text/bpe_load.c: reading a BPE model.
 *
 * A merge is two tokens, as ["a", "b"] or, in older files, "a b". The largest vocabularies have half a million of them, each
 * with three look-ups (left, right, joined): they are done in batches, so that memory accesses overlap. */
#include "text/bpe.h"
#include "text/bytelevel.h"
#include "text/unicode.h"

enum { BATCH = 32 };

typedef struct pending {
    size_t index; /* in the list */
    uint32_t rank;
    mica__str left, right, joined;
    uint64_t hashes[3];
    int32_t ids[3];
} pending;

typedef struct loader {
    mica__model *m;
    mica__bpe *b;
    mica__at at; /* model.merges[i] */
    mica_error *err;
    bool pairs;     /* the newer form */
    mica__buf text; /* the joined tokens of a batch */
    pending batch[BATCH];
    size_t n;
} loader;

static mica_status split_line(loader *l, mica__str line, mica__str *left, mica__str *right)
{
    const char *space = memchr(line.p, ' ', line.n);
    size_t n = space ? (size_t)(space - line.p) : 0;
    if (!space || memchr(space + 1, ' ', line.n - n - 1))
        return mica__fail_at(l->err, &l->at, "'%s' is not two tokens with a space between", MICA_QUOTED_STR(line));
    *left = (mica__str){line.p, n};
    *right = (mica__str){space + 1, line.n - n - 1};
    return MICA_OK;
}

static mica_status read_parts(loader *l, mica__jval v, mica__str *left, mica__str *right)
{
    if (!l->pairs) {
        mica__str line;
        if (!mica__json_string(v, &line))
            return mica__fail_at(l->err, &l->at, "expected a string like the first, found %s", mica__json_kind(v));
        return split_line(l, line, left, right);
    }
    if (!mica__json_is(v, MICA__JSON_ARRAY))
        return mica__fail_at(l->err, &l->at, "expected an array like the first, found %s", mica__json_kind(v));
    mica__jval first = mica__json_first(v), second = first ? mica__json_next(v, first) : NULL;
    if (mica__json_count(v) != 2 || !mica__json_string(first, left) || !mica__json_string(second, right))
        return mica__fail_at(l->err, &l->at, "expected two strings");
    return MICA_OK;
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
    int byte_x = mica__byte_of_char(x), byte_y = mica__byte_of_char(y);
    if (byte_x >= 0 && byte_y >= 0) b->byte_seams[byte_x][byte_y / 8] |= (uint8_t)(1 << byte_y % 8);
}

/* Adds a merge to the batch. */
static mica_status take_merge(loader *l, mica__jval v, uint32_t rank)
{
    pending *p = &l->batch[l->n];
    *p = (pending){.index = l->at.index, .rank = rank};
    MICA_TRY(read_parts(l, v, &p->left, &p->right));
    size_t prefix = l->b->prefix.n, start = l->text.n;
    if (p->right.n < prefix)
        return mica__fail_at(l->err, &l->at, "token '%s' is shorter than the prefix", MICA_QUOTED_STR(p->right));
    mica__buf_append_str(&l->text, p->left);
    mica__buf_append(&l->text, p->right.p + prefix, p->right.n - prefix);
    p->joined = (mica__str){NULL, l->text.n - start};
    l->n++;
    return MICA_OK;
}

static mica_status check_ids(loader *l, const pending *p)
{
    const mica__str *texts[3] = {&p->left, &p->right, &p->joined};
    for (int k = 0; k < 3; k++) {
        if (p->ids[k] != MICA__NO_ID) continue;
        l->at.index = p->index;
        return mica__fail_at(l->err, &l->at, "token '%s' is not in the vocabulary", MICA_QUOTED_STR(*texts[k]));
    }
    return MICA_OK;
}

/* Looks the batch up and puts its merges into the table, in order: of a repeated pair the last one counts, as in the
 * reference. */
static mica_status flush(loader *l)
{
    const mica__vocab *v = &l->m->vocab;
    MICA_TRY(mica__buf_status(&l->text, l->err, "merges"));
    const char *joined = l->text.p;
    for (pending *p = l->batch; p < l->batch + l->n; p++) {
        p->joined.p = joined;
        joined += p->joined.n;
        p->hashes[0] = mica__vocab_hash(p->left);
        p->hashes[1] = mica__vocab_hash(p->right);
        p->hashes[2] = mica__vocab_hash(p->joined);
    }
    for (int step = 0; step < 3; step++)
        for (pending *p = l->batch; p < l->batch + l->n; p++)
            for (int k = 0; k < 3; k++) mica__vocab_prefetch(v, p->hashes[k], step);
    for (pending *p = l->batch; p < l->batch + l->n; p++) {
        p->ids[0] = mica__vocab_id_hashed(v, p->left, p->hashes[0]);
        p->ids[1] = mica__vocab_id_hashed(v, p->right, p->hashes[1]);
        p->ids[2] = mica__vocab_id_hashed(v, p->joined, p->hashes[2]);
        MICA_TRY(check_ids(l, p));
        __builtin_prefetch(mica__bpe_home(l->b, p->ids[0], p->ids[1]));
    }
    for (const pending *p = l->batch; p < l->batch + l->n; p++) {
        *mica__bpe_slot(l->b, p->ids[0], p->ids[1]) = (mica__merge){p->ids[0], p->ids[1], p->rank, p->ids[2]};
        mark_seam(l->b, p->left, p->right);
    }
    l->n = 0;
    mica__buf_clear(&l->text);
    return MICA_OK;
}

static mica_status read_all(loader *l, mica__jval list)
{
    uint32_t rank = 0;
    mica__jval v = mica__json_first(list);
    l->pairs = mica__json_is(v, MICA__JSON_ARRAY);
    for (; v; v = mica__json_next(list, v), l->at.index++) {
        mica__str line;
        if (!l->pairs && mica__json_string(v, &line) && mica__str_starts(line, "#version")) continue;
        MICA_TRY(take_merge(l, v, rank++));
        if (l->n == BATCH) MICA_TRY(flush(l));
    }
    return flush(l);
}

static mica_status read_merges(mica__model *m, const mica__at *at, mica__jval list, mica_error *err)
{
    mica__bpe *b = m->own;
    size_t n = mica__json_count(list), n_slots = n + n / 3 + 8;
    if (n_slots > INT32_MAX) return mica__fail_at(err, at, "%zu merges are too many", n);
    b->slots = mica__alloc(n_slots, sizeof *b->slots);
    loader *l = mica__calloc(1, sizeof *l);
    mica_status status;
    if (b->slots && l) {
        memset(b->slots, 0xff, n_slots * sizeof *b->slots);
        b->n_slots = (uint32_t)n_slots;
        l->m = m;
        l->b = b;
        l->at = (mica__at){at, NULL, 0};
        l->err = err;
        status = read_all(l, list);
        mica__buf_release(&l->text);
    } else {
        status = mica__fail_memory(err, n_slots * sizeof *b->slots, "merges");
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
    if (!b->prefix.n && !b->suffix.n) {
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
