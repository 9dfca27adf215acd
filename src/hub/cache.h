/* hub/cache.h: a cache folder, looked at as a whole; what mica_hub_cache shows, and the files behind it. */
#ifndef MICA_HUB_CACHE_H
#define MICA_HUB_CACHE_H

#include "base/memory.h"
#include "base/str.h"
#include <mica/hub.h>

/* A file of a revision: a link to a blob, or itself. */
typedef struct mica__cached_file {
    const char *path; /* in the snapshot */
    const char *blob; /* the blob's name; NULL: no link to a blob */
    uint64_t size;
    bool missing; /* the link leads nowhere */
    bool stray;   /* it is a link, and not to a blob */
} mica__cached_file;

typedef struct mica__cached_revision {
    mica_hub_revision shown;
    mica__cached_file *files; /* [n_files] */
    size_t n_files;
} mica__cached_revision;

typedef struct mica__cached_repository {
    mica_hub_repository *shown;
    const char *folder_name;          /* models--ORG--NAME */
    mica__cached_revision *revisions; /* [shown->n_revisions], in the order shown */
} mica__cached_repository;

typedef struct mica__cache {
    mica_hub_cache shown; /* first: what callers hold a pointer to */
    mica__arena arena;
    mica__cached_repository *repositories; /* [shown.n_repositories] */
} mica__cache;

/* Removes a file or a folder with everything in it; links are removed, not followed. */
mica_status mica__remove_tree(const char *path, mica_error *err);

#endif
