/* hub/listing.h: which files a commit has: the Hub's JSON, and the copy of it that the cache keeps in trees/COMMIT.json.
 *
 * A listing is sorted by path. Everything in it was checked: safe paths, hashes that are hashes, sizes that fit. */
#ifndef MICA_HUB_LISTING_H
#define MICA_HUB_LISTING_H

#include "base/json.h"

typedef struct mica__hub_file {
    const char *path;
    uint64_t size;
    const char *hash;     /* SHA-256 of a large file, git's SHA-1 of a small one: the name of its blob */
    const char *git_hash; /* of the small file that git keeps */
    uint64_t lfs_size;    /* as the listing says it; meaningful if hash != git_hash */
    const char *xet_hash; /* NULL: none */
} mica__hub_file;

typedef struct mica__listing {
    mica__hub_file *files; /* [n] */
    size_t n, cap;
    mica__arena arena;
    bool cacheable; /* false: something in it that huggingface_hub would not keep */
} mica__listing;

enum { MICA__MAX_LISTED = 100000 };

/* Adds one page of GET /api/models/ID/tree/COMMIT?recursive=true. DATA: an unsafe name, a bad hash or size, not a listing; LIMIT: more
 * than MICA__MAX_LISTED files. */
mica_status mica__listing_add_page(mica__listing *l, const char *text, size_t n, mica_error *err);
/* Sorts; DATA if two files have one path, or one is a folder of the other. */
mica_status mica__listing_finish(mica__listing *l, mica_error *err);
void mica__listing_release(mica__listing *l);
const mica__hub_file *mica__listing_find(const mica__listing *l, const char *path); /* NULL: none */

/* trees/COMMIT.json, as huggingface_hub writes it. Reading what is not one gives DATA. */
mica_status mica__listing_read(mica__listing *l, const char *text, size_t n, mica_error *err);
void mica__listing_write(const mica__listing *l, mica__buf *out);

/* "sha" of GET /api/models/ID/revision/REV. */
mica_status mica__listing_commit(char out[41], const char *text, size_t n, mica_error *err);
/* The different file names in "weight_map" of model.safetensors.index.json, in the arena, sorted: *names [*n]. */
mica_status mica__listing_shards(mica__arena *arena, const char ***names, size_t *n_names, const char *text, size_t n,
                                 mica_error *err);

#endif
