/* hub/fetch.h: files of one commit over the network into the cache: several at once, large ones in ranges, each checked. */
#ifndef MICA_HUB_FETCH_H
#define MICA_HUB_FETCH_H

#include "explain.h"
#include "store.h"

typedef struct mica__fetch {
    const mica__hub_settings *settings;
    const mica__store *store; /* prepared */
    const char *id, *commit;
    const mica__hub_file *const *files; /* [n_files] that are wanted and not in the snapshot */
    size_t n_files;
    bool force;             /* also blobs that are there */
    int n_connections;      /* 0: 8 */
    uint64_t present_bytes; /* for progress: what is there already */
    mica_progress progress;
    mica_notices notices;
    uint64_t fetched_bytes; /* out: what came over the network */
} mica__fetch;

/* OK when all files are in the snapshot. What arrived before a failure stays for the next call. */
mica_status mica__fetch_run(mica__fetch *f, mica_error *err);

#endif
