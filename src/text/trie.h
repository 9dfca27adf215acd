/* text/trie.h: a compact byte trie over a vocabulary, for "every token that starts here" and "the longest one".
 *
 *     mica__trie_node *node = mica__trie_root(&trie);
 *     while (p < end && (node = mica__trie_step(&trie, node, *p++)))
 *         if (node->id >= 0) ... the bytes so far are this token ...
 *
 * Nodes are in breadth-first order; the children of a node are neighbours, in byte order. */
#ifndef MICA_TEXT_TRIE_H
#define MICA_TEXT_TRIE_H

#include "text/vocab.h"

typedef struct mica__trie_node {
    uint32_t first; /* child */
    int32_t id;     /* token that ends here, NO_ID */
    uint16_t n;     /* children */
    uint8_t byte;   /* that led here */
} mica__trie_node;

typedef struct mica__trie {
    mica__trie_node *nodes;
    size_t n;
} mica__trie;

/* All tokens of v; a text that several ids have stands for the id that mica__vocab_id gives. */
mica_status mica__trie_create(mica__trie *out, const mica__vocab *v, mica_error *err);
void mica__trie_release(mica__trie *t);

static inline const mica__trie_node *mica__trie_root(const mica__trie *t) { return t->nodes; }

/* NULL if no token goes on with this byte. */
static inline const mica__trie_node *mica__trie_step(const mica__trie *t, const mica__trie_node *node, uint8_t byte)
{
    const mica__trie_node *low = t->nodes + node->first;
    size_t n = node->n;
    while (n > 4) { /* the first child that is not below byte is in [low, low + n] */
        size_t half = n / 2;
        if (low[half - 1].byte < byte) {
            low += half;
            n -= half;
        } else {
            n = half;
        }
    }
    for (; n; n--, low++)
        if (low->byte == byte) return low;
    return NULL;
}

#endif
