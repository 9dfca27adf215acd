/* hub/select.h: which files of a repository a caller needs. */
#ifndef MICA_HUB_SELECT_H
#define MICA_HUB_SELECT_H

#include "listing.h"
#include "store.h"
#include <mica/hub.h>

/* The name of the index of shards that has to be read before weights can be chosen; NULL if none has to. */
const char *mica__select_index(const mica__listing *l, const mica_hub_options *o);
typedef struct mica__selection {
    const mica__hub_file **files; /* [n] of the listing */
    size_t n;
    bool gguf;    /* files[0] is the model itself, further ones its parts */
    bool guessed; /* it was one of several */
} mica__selection;

/* The files, in the arena. index: the text of mica__select_index's file. DATA: it names unsafe files; NOT_FOUND: no config.json, no weights, a
 * shard that the listing lacks, nothing that matches; INVALID: several GGUF files. */
mica_status mica__select_files(mica__selection *out, const mica__listing *l, const mica_hub_options *o, const char *id,
                               mica__str index, mica__arena *arena, mica_error *err);

/* Marks as absent, for programs that know no listings, what a model may have and this commit has not. */
void mica__select_mark_absent(const mica__listing *l, const mica_hub_options *o, const mica__store *s,
                              const char *commit);

/* Without a listing: is what lies in the snapshot enough? *missing: "" or the name of a file that is known to be needed and not there; *sure: nothing else can be missing. */
mica_status mica__select_local(const mica__store *s, const char *commit, const mica_hub_options *o, bool *sure,
                               char missing[1100], mica_error *err);

#endif
