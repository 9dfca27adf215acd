/* nn/kv_cache.h: the keys and values of all layers of one sequence.
 *
 * A full-attention layer keeps every position. A sliding-window layer is a ring of window + rows - 1 positions: just enough for a
 * run of `rows` new ones, whose first still sees a whole window. What the ring has dropped decides how far a sequence can be cut back. */
#ifndef MICA_NN_KV_CACHE_H
#define MICA_NN_KV_CACHE_H

#include "base/error.h"
#include <mica/array.h>

typedef struct mica__kv_cache {
    mica_cache **layers; /* [n_layers] */
    int64_t *windows;    /* [n_layers]; 0: full attention */
    int n_layers;
    int64_t longest; /* highest length since the last reset */
} mica__kv_cache;

/* Positions that a layer must hold. window 0: full attention. */
int64_t mica__kv_capacity(int64_t window, int64_t context, int64_t max_rows);

/* options, windows: [n_layers]. */
mica_status mica__kv_cache_create(mica__kv_cache *out, const mica_cache_options *options, const int64_t *windows,
                                  int n_layers, mica_error *err);
void mica__kv_cache_release(mica__kv_cache *c); /* {0} allowed */

/* The sequence has grown to `length`. */
void mica__kv_cache_grew(mica__kv_cache *c, int64_t length);
/* True if the sequence can be cut to its first n positions and continued: no layer has dropped what position n would see. */
bool mica__kv_cache_can_cut(const mica__kv_cache *c, int64_t n);
void mica__kv_cache_reset(mica__kv_cache *c);
/* Makes `to` hold the first `length` positions as `from` does. The first `same` of them are known to be equal already. Both have the
 * same layers and capacities. */
mica_status mica__kv_cache_copy(mica__kv_cache *to, const mica__kv_cache *from, int64_t same, int64_t length,
                                mica_error *err);
/* Written so far. */
int64_t mica__kv_cache_bytes(const mica__kv_cache *c);

#endif
