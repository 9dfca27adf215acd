/* hub/upload.h: the files of a folder on their way to the Hub. */
#ifndef MICA_HUB_UPLOAD_H
#define MICA_HUB_UPLOAD_H

#include "explain.h"
#include "listing.h"
#include <mica/hub.h>

typedef struct mica__upload_file {
    const char *path; /* in the repository */
    const char *full; /* on disk */
    const char *text; /* its content, of size bytes, instead of one on disk; NULL */
    uint64_t size;
    bool large;      /* goes to the storage for large files; else into the commit itself */
    bool skip;       /* the server does not want it, or has it as it is */
    bool asked;      /* the server said what it has at this path */
    char hash[65];   /* SHA-256 if large, else git's SHA-1; "" before it is known */
    char remote[65]; /* of what the server has at this path; "" if nothing */
} mica__upload_file;

typedef struct mica__upload {
    const mica_hub_upload_options *o;
    const char *id, *revision;
    mica__net net;
    mica__hub_settings settings;
    mica__http *http;
    mica__buf text; /* the last answer */
    mica__arena arena;
    mica__upload_file *files; /* [n], sorted by path */
    size_t n, cap;
    uint64_t sent_bytes;
} mica__upload;

/* Collects what is in the folder; links to files count as files, links to folders are left out. */
mica_status mica__upload_collect(mica__upload *u, const char *folder, mica_error *err);
/* Adds a model card if the folder holds a model without one. */
mica_status mica__upload_add_card(mica__upload *u, const char *folder, mica_error *err);
/* Hashes what is not skipped. */
mica_status mica__upload_hash(mica__upload *u, mica_error *err);
/* Sends the large files that the storage does not have. */
mica_status mica__upload_large(mica__upload *u, mica_error *err);

/* POSTs JSON (or what content_type says) to a path of the endpoint; the answer is in u->text. Statuses from 400 on are explained, but
 * those in `allowed` (0-terminated; NULL: none), which the caller looks at in *reply. */
mica_status mica__upload_post(mica__upload *u, const char *url, const char *content_type, const mica__buf *body,
                              bool patiently, const int *allowed, mica__reply *reply, mica_error *err);

#endif
