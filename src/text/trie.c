/* text/trie.c: building the trie from the sorted vocabulary, level by level. */
#include "text/trie.h"

#include <stdlib.h>

typedef struct range { /* tokens [low, high) of the sorted list share the path to a node of this depth */
    uint32_t low, high, depth;
} range;

typedef struct entry {
    mica__str text;
    int32_t id;
} entry;

static int by_text(const void *x, const void *y)
{
    const entry *a = x, *b = y;
    int order = memcmp(a->text.p, b->text.p, a->text.n < b->text.n ? a->text.n : b->text.n);
    if (order) return order;
    return a->text.n < b->text.n ? -1 : a->text.n > b->text.n;
}

/* The vocabulary in byte order, each text once. */
static entry *sorted_tokens(const mica__vocab *v, size_t *n, size_t *n_bytes)
{
    entry *list = mica__alloc((size_t)v->n_tokens, sizeof *list);
    if (!list) return NULL;
    *n = *n_bytes = 0;
    for (int32_t id = 0; id < v->n_ids; id++) {
        if (!mica__vocab_has(v, id)) continue;
        mica__str text = mica__vocab_token(v, id);
        if (text.n == 0 || mica__vocab_id(v, text) != id) continue;
        list[(*n)++] = (entry){text, id};
        *n_bytes += text.n;
    }
    qsort(list, *n, sizeof *list, by_text);
    return list;
}

/* Adds the children of nodes[i] and their ranges. */
static void expand(mica__trie *t, range *ranges, size_t i, const entry *list)
{
    range r = ranges[i];
    uint32_t k = r.low;
    if (k < r.high && list[k].text.n == r.depth) t->nodes[i].id = list[k++].id;
    t->nodes[i].first = (uint32_t)t->n;
    while (k < r.high) {
        uint8_t byte = (uint8_t)list[k].text.p[r.depth];
        uint32_t start = k;
        while (k < r.high && (uint8_t)list[k].text.p[r.depth] == byte) k++;
        t->nodes[t->n] = (mica__trie_node){0, MICA__NO_ID, 0, byte};
        ranges[t->n++] = (range){start, k, r.depth + 1};
        t->nodes[i].n++;
    }
}

mica_status mica__trie_create(mica__trie *out, const mica__vocab *v, mica_error *err)
{
    *out = (mica__trie){0};
    size_t n = 0, n_bytes = 0;
    entry *list = sorted_tokens(v, &n, &n_bytes);
    range *ranges = mica__alloc(n_bytes + 1, sizeof *ranges);
    out->nodes = mica__alloc(n_bytes + 1, sizeof *out->nodes);
    if (list && ranges && out->nodes) {
        out->nodes[0] = (mica__trie_node){0, MICA__NO_ID, 0, 0};
        ranges[0] = (range){0, (uint32_t)n, 0};
        out->n = 1;
        for (size_t i = 0; i < out->n; i++) expand(out, ranges, i, list);
        mica__trie_node *fitted = mica__realloc(out->nodes, out->n, sizeof *fitted);
        if (fitted) out->nodes = fitted;
    }
    mica__free(list);
    mica__free(ranges);
    if (out->n) return MICA_OK;
    mica__trie_release(out);
    return mica__fail_memory(err, (n_bytes + 1) * sizeof *ranges, "a vocabulary trie");
}

void mica__trie_release(mica__trie *t)
{
    mica__free(t->nodes);
    *t = (mica__trie){0};
}
