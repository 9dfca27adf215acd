/* text/added.c: the table of added tokens and the search for them. */
#include "text/added.h"
#include "text/unicode.h"

#include <stdlib.h>

typedef struct mica__added_pattern {
    mica__str text;
    uint32_t token; /* index */
} pattern;

const mica__added_token *mica__added_by_content(const mica__added *a, mica__str content)
{
    uint32_t index;
    return mica__map_get(&a->by_content, content, &index) ? &a->tokens[index] : NULL;
}

const mica__added_token *mica__added_by_id(const mica__added *a, int32_t id)
{
    uint32_t index;
    return a->n && mica__map_get(&a->by_id, (mica__str){(const char *)&id, sizeof id}, &index) ? &a->tokens[index]
                                                                                               : NULL;
}

/* The id that a new content gets. */
static int32_t next_id(const mica__added *a, const mica__vocab *vocab)
{
    return a->n_ids > vocab->n_tokens ? a->n_ids : vocab->n_tokens;
}

mica_status mica__added_add(mica__added *a, mica__arena *arena, const mica__vocab *vocab,
                            const mica__added_token *token, mica_error *err)
{
    if (token->content.n == 0 || token->content.n > MICA__TOKEN_MAX_BYTES)
        return mica__fail(err, MICA_DATA, "added token of %zu bytes, expected 1..%d", token->content.n,
                          MICA__TOKEN_MAX_BYTES);
    uint32_t index;
    if (mica__map_get(&a->by_content, token->content, &index)) {
        mica__added_token *old = &a->tokens[index];
        mica__added_token changed = *token;
        changed.content = changed.shown = old->content;
        changed.id = old->id;
        changed.special |= old->special;
        *old = changed;
        return MICA_OK;
    }
    int32_t id = mica__vocab_id(vocab, token->content);
    if (id == MICA__NO_ID) id = next_id(a, vocab);
    if (a->n == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 64;
        mica__added_token *tokens = mica__realloc(a->tokens, cap, sizeof *tokens);
        if (!tokens) return mica__fail_memory(err, cap * sizeof *tokens, "added tokens");
        a->tokens = tokens;
        a->cap = cap;
    }
    mica__added_token *t = &a->tokens[a->n];
    *t = *token;
    char *copy = mica__arena_strndup(arena, token->content.p, token->content.n);
    int32_t *key = mica__arena_alloc(arena, 1, sizeof *key);
    if (!copy || !key) return mica__fail_memory(err, token->content.n, "an added token");
    *key = id;
    t->content = t->shown = (mica__str){copy, token->content.n};
    t->id = id;
    if (!mica__map_set(&a->by_content, t->content, (uint32_t)a->n) ||
        !mica__map_set(&a->by_id, (mica__str){(const char *)key, sizeof *key}, (uint32_t)a->n))
        return mica__fail_memory(err, a->n * 32, "added tokens");
    a->n++;
    if (id >= a->n_ids) a->n_ids = id + 1;
    return MICA_OK;
}

static int by_text(const void *x, const void *y)
{
    const pattern *a = x, *b = y;
    int order = memcmp(a->text.p, b->text.p, a->text.n < b->text.n ? a->text.n : b->text.n);
    if (order) return order;
    if (a->text.n != b->text.n) return a->text.n < b->text.n ? -1 : 1;
    return a->token < b->token ? -1 : a->token > b->token;
}

static mica_status build_set(mica__added *a, mica__added_set *set, bool normalized, mica_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n; i++) n += a->tokens[i].normalized == normalized;
    set->patterns = mica__alloc(n, sizeof *set->patterns);
    if (!set->patterns) return mica__fail_memory(err, n * sizeof *set->patterns, "added tokens");
    for (size_t i = 0; i < a->n; i++) {
        const mica__added_token *t = &a->tokens[i];
        if (t->normalized != normalized || t->shown.n == 0) continue;
        set->patterns[set->n++] = (pattern){t->shown, (uint32_t)i};
        set->first[(unsigned char)t->shown.p[0]] = true;
    }
    qsort(set->patterns, set->n, sizeof *set->patterns, by_text);
    size_t kept = 0; /* of equal texts the first token stays */
    for (size_t i = 0; i < set->n; i++)
        if (!kept || !mica__str_eq(set->patterns[kept - 1].text, set->patterns[i].text))
            set->patterns[kept++] = set->patterns[i];
    set->n = kept;
    return MICA_OK;
}

mica_status mica__added_finish(mica__added *a, mica__normalize_fn normalize, void *context, mica_error *err)
{
    for (size_t i = 0; i < a->n; i++) {
        mica__added_token *t = &a->tokens[i];
        a->any_special |= t->special;
        t->shown = t->content;
        if (t->normalized && normalize) MICA_TRY(normalize(context, t->content, &t->shown, err));
        const mica__added_token *same = mica__added_by_content(a, t->shown);
        t->skipped = same && same->special;
    }
    MICA_TRY(build_set(a, &a->raw, false, err));
    return build_set(a, &a->normalized, true, err);
}

void mica__added_release(mica__added *a)
{
    mica__free(a->tokens);
    mica__map_release(&a->by_content);
    mica__map_release(&a->by_id);
    mica__free(a->raw.patterns);
    mica__free(a->normalized.patterns);
    *a = (mica__added){0};
}

/* The first of patterns [low, high), which agree before byte `depth`, whose byte there is at least `byte`. */
static size_t lower(const pattern *patterns, size_t low, size_t high, size_t depth, unsigned byte)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        mica__str s = patterns[middle].text;
        if (s.n <= depth || (unsigned char)s.p[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Longest pattern at p; NULL if none starts there. */
static const pattern *longest_at(const mica__added_set *set, const char *p, const char *end)
{
    const pattern *best = NULL;
    size_t low = 0, high = set->n;
    for (size_t depth = 0; p + depth < end; depth++) {
        unsigned byte = (unsigned char)p[depth];
        low = lower(set->patterns, low, high, depth, byte);
        high = lower(set->patterns, low, high, depth, byte + 1);
        if (low == high) break;
        if (high - low == 1) { /* one candidate: compare the rest at once */
            mica__str rest = set->patterns[low].text;
            if (rest.n <= (size_t)(end - p) && memcmp(rest.p, p, rest.n) == 0) best = &set->patterns[low];
            break;
        }
        if (set->patterns[low].text.n == depth + 1) best = &set->patterns[low];
    }
    return best;
}

/* The last character of text[0, n). */
static uint32_t char_before(mica__str text, size_t n, int *length)
{
    size_t i = n - 1;
    while (i > 0 && ((unsigned char)text.p[i] & 0xc0) == 0x80) i--;
    uint32_t c = mica__char_at(text.p + i, text.p + n, length);
    *length = (int)(n - i);
    return c;
}

static bool word_before(mica__str text, size_t at)
{
    int length;
    return at > 0 && mica__is_word(char_before(text, at, &length));
}

static bool word_after(mica__str text, size_t at)
{
    int length;
    return at < text.n && mica__is_word(mica__char_at(text.p + at, text.p + text.n, &length));
}

static void strip_sides(const mica__added_token *t, mica__str text, size_t taken, size_t *start, size_t *end)
{
    int length;
    if (t->lstrip) {
        size_t at = *start;
        while (at > taken && mica__is_space(char_before(text, at, &length))) at -= (size_t)length;
        *start = at;
    }
    if (t->rstrip)
        while (*end < text.n && mica__is_space(mica__char_at(text.p + *end, text.p + text.n, &length)))
            *end += (size_t)length;
}

const mica__added_token *mica__added_next(const mica__added *a, const mica__added_set *set, mica__str text,
                                          bool split_special, size_t *from, size_t taken, size_t *start, size_t *end)
{
    if (!set->n) return NULL;
    for (size_t i = *from; i < text.n; i++) {
        if (!set->first[(unsigned char)text.p[i]]) continue;
        const pattern *found = longest_at(set, text.p + i, text.p + text.n);
        if (!found) continue;
        const mica__added_token *t = &a->tokens[found->token];
        *from = i + found->text.n;
        if (!(split_special && t->special) && !(t->single_word && (word_before(text, i) || word_after(text, *from)))) {
            *start = i;
            *end = *from;
            strip_sides(t, text, taken, start, end);
            return t;
        }
        i = *from - 1; /* not taken, and not looked into either */
    }
    *from = text.n;
    return NULL;
}
