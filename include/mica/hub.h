/* mica/hub.h: models by their id on the Hugging Face Hub: fetching, the cache on this machine, uploading.
 *
 *     mica_hub_snapshot snapshot;
 *     if (mica_hub_resolve(&snapshot, "Qwen/Qwen3-0.6B", NULL, &err) == MICA_OK) {
 *         mica_model_load(&model, snapshot.model, NULL, &err);
 *         mica_hub_snapshot_release(&snapshot);
 *     }
 *
 * The cache is the one of Python's huggingface_hub, folder by folder: either program uses what the other fetched. Several
 * threads and processes may call these functions at once; every byte is still fetched once. What was fetched before an interruption is
 * used by the next call. No file appears under its final name before its SHA-256 (or git SHA-1) was checked.
 *
 * Environment, as huggingface_hub reads it: HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME (where the cache is), HF_ENDPOINT, HF_TOKEN
 * and HF_TOKEN_PATH, HF_HUB_OFFLINE, HF_HUB_DISABLE_SYMLINKS, HF_HUB_ETAG_TIMEOUT, HF_HUB_DOWNLOAD_TIMEOUT; and libcurl's proxy
 * variables, CURL_CA_BUNDLE and SSL_CERT_FILE. A token is sent to the endpoint's own scheme, host and port only, and is never part of a message. */
#ifndef MICA_HUB_H
#define MICA_HUB_H

#include "progress.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- from an id to a folder ----------------------------------------------------------------------------------------- */

typedef enum mica_hub_files {
    MICA_HUB_FILES_MODEL, /* what a causal language model needs: configuration, tokenizer, templates, one set of weights */
    MICA_HUB_FILES_TOKENIZER, /* the same without weights; a repository without config.json will do */
    MICA_HUB_FILES_ALL,       /* the whole repository */
} mica_hub_files;

/* Zero means the default. */
typedef struct mica_hub_options {
    const char *revision;  /* branch, tag, commit of 40 hex digits, or "refs/pr/3"; NULL: "main" */
    const char *subfolder; /* take the files below this folder of the repository; snapshot.path then is that folder */
    mica_hub_files files;
    /* Shell patterns over paths in the repository ("*.safetensors", "original/" for all below). With any include, exactly the files
     * that match one are taken and `files` does not count. */
    const char *const *include; /* [n_include] */
    size_t n_include;
    const char *const *exclude; /* [n_exclude] */
    size_t n_exclude;
    /* Exactly one GGUF file, with all its parts if it is split: its path, or its quantization ("Q4_K_M"). NULL: none, unless MODEL or
     * TOKENIZER is asked of a repository that has nothing else: then its only one, or its Q4_K_M. */
    const char *gguf;
    bool local_only; /* no request at all: what is on this machine, or NOT_FOUND. HF_HUB_OFFLINE=1 does the same */
    bool force;      /* fetch again what is there already */
    const char *cache_dir;  /* NULL: as the environment says */
    const char *endpoint;   /* NULL: HF_ENDPOINT, or https://huggingface.co */
    const char *token;      /* NULL: HF_TOKEN or the token file; "": none */
    int n_connections;      /* at most this many at once; 0: 8 */
    mica_progress progress; /* stage "download", bytes; called from the calling thread, ten times a second */
    mica_notices notices;
} mica_hub_options;

typedef struct mica_hub_snapshot {
    char *path;             /* the folder that holds the files */
    char *model;            /* what mica_model_load takes: `path`, or the GGUF file in it that was chosen */
    char commit[41];        /* that all of them belong to */
    uint64_t n_files;       /* that were asked for and are there */
    uint64_t bytes;         /* their size */
    uint64_t fetched_bytes; /* that came over the network in this call */
} mica_hub_snapshot;

/* Makes sure that the files of one commit are on this machine and says where. Without a network, or when the server does not answer
 * within two seconds, a revision that was fetched before is used as it is (with a notice); a complete commit
 * costs no request. INVALID: not an id or revision, or several GGUF files that it could be. ACCESS: gated, or a token is wrong; the message says where to ask for access or how
 * to set a token. NOT_FOUND: no such repository, revision or file, or not on this machine. DATA: unsafe
 * names. UNAVAILABLE: no server, or wrong bytes. IO, CANNOT_CREATE: the disk. CANCELLED: progress said so. */
MICA_API mica_status mica_hub_resolve(mica_hub_snapshot *out, const char *id, const mica_hub_options *options,
                                      mica_error *err) MICA_NODISCARD;
MICA_API void mica_hub_snapshot_release(mica_hub_snapshot *snapshot); /* {0} and failed ones allowed */

/* True for NAME or ORG/NAME as the Hub allows them; whether it exists is another question. */
MICA_API bool mica_hub_is_id(const char *name);

/* ---- the cache --------------------------------------------------------------------------------------------------------- */

typedef struct mica_hub_revision {
    char commit[41];
    const char *path;        /* snapshot folder */
    const char *const *refs; /* [n_refs] branches and tags that stand for it: "main" */
    size_t n_refs;
    uint64_t n_files, bytes;
    double modified; /* seconds since 1970 */
} mica_hub_revision;

typedef struct mica_hub_repository {
    const char *id;   /* "Qwen/Qwen3-0.6B" */
    const char *kind; /* "model", "dataset", "space" */
    const char *path;
    uint64_t bytes;         /* on disk, shared files once */
    uint64_t partial_bytes; /* of interrupted downloads, not in bytes */
    uint64_t n_files;       /* different ones */
    double accessed, modified;
    const mica_hub_revision *revisions; /* [n_revisions] */
    size_t n_revisions;
} mica_hub_repository;

/* What is in a cache folder, sorted by id. Everything lives until _free. */
typedef struct mica_hub_cache {
    const char *path;
    uint64_t bytes, partial_bytes;
    const mica_hub_repository *repositories; /* [n_repositories] */
    size_t n_repositories;
} mica_hub_cache;

/* cache_dir NULL: as the environment says. A cache that does not exist is an empty one. */
MICA_API mica_status mica_hub_cache_scan(mica_hub_cache **out, const char *cache_dir, mica_error *err) MICA_NODISCARD;
MICA_API void mica_hub_cache_free(mica_hub_cache *cache); /* NULL allowed */

typedef struct mica_hub_removed {
    uint64_t n_repositories, n_revisions, n_files, bytes;
} mica_hub_removed;

/* Removes the revisions that match a shell pattern over ids, or two as ID@REVISION: "Qwen/Q*", "gpt2@main", "*@3f1c*" (a commit or
 * a ref). Blobs that no remaining revision uses go, too, and repositories without revisions. dry_run: only counts. NOT_FOUND if nothing
 * matches, BUSY if a file is being downloaded. */
MICA_API mica_status mica_hub_cache_delete(mica_hub_removed *out, const char *cache_dir, const char *pattern,
                                           bool dry_run, mica_error *err) MICA_NODISCARD;
/* Removes what nothing refers to: revisions without a ref, blobs without a revision, interrupted downloads that nobody is at. */
MICA_API mica_status mica_hub_cache_prune(mica_hub_removed *out, const char *cache_dir, bool dry_run,
                                          mica_error *err) MICA_NODISCARD;

/* Called for every file that is not what its name says: `problem` is "content differs", "missing", ... */
typedef struct mica_hub_faults {
    void (*fault)(void *context, const char *path, const char *problem);
    void *context;
} mica_hub_faults;

typedef struct mica_hub_verified {
    uint64_t n_files, bytes, n_faults;
} mica_hub_verified;

/* Reads every blob of the repositories that match (NULL: all) and compares it with the hash that is its name. Faults are
 * results, not failures. */
MICA_API mica_status mica_hub_cache_verify(mica_hub_verified *out, const char *cache_dir, const char *pattern,
                                           const mica_hub_faults *faults, const mica_progress *progress,
                                           mica_error *err) MICA_NODISCARD;

/* ---- uploading ---------------------------------------------------------------------------------------------------------- */

/* Zero means the default. */
typedef struct mica_hub_upload_options {
    const char *revision;       /* branch to commit to; NULL: "main" */
    const char *message;        /* of the commit; NULL: "Upload NAME with mica" */
    const char *description;    /* NULL: none */
    bool is_private;            /* if the repository is created */
    bool pull_request;          /* commit to a new pull request */
    bool no_model_card;         /* no README.md where a model has none, neither in the folder nor in the repository */
    const char *base_model;     /* id, for that card; NULL: what config.json says */
    const char *const *include; /* [n_include] shell patterns over paths in the folder; none: everything */
    size_t n_include;
    const char *const *exclude; /* [n_exclude] */
    size_t n_exclude;
    const char *endpoint, *token; /* as in mica_hub_options; a token is required */
    int n_connections;            /* 0: 4 */
    mica_progress progress;       /* stages "hash" and "upload" */
    mica_notices notices;
} mica_hub_upload_options;

typedef struct mica_hub_commit {
    char *url;              /* of the commit; of the repository if there was nothing to commit */
    char *pull_request_url; /* NULL: none */
    char commit[41];        /* "" if there was nothing to commit */
    uint64_t n_files;       /* in the commit */
    uint64_t sent_bytes;    /* of large files, over the network in this call */
} mica_hub_commit;

/* Makes the repository hold the folder's files, in one commit; files that are not in the folder stay. What the server has already is not
 * sent again, so an interrupted upload goes on where it was, and the same again does nothing. .git and .cache/huggingface are skipped. A model
 * that has no README.md, here or there, gets one, by which the Hub knows it as MLX's.
 * ACCESS: no token, or it may not write there. */
MICA_API mica_status mica_hub_upload(mica_hub_commit *out, const char *folder, const char *id,
                                     const mica_hub_upload_options *options, mica_error *err) MICA_NODISCARD;
MICA_API void mica_hub_commit_release(mica_hub_commit *commit); /* {0} and failed ones allowed */

#ifdef __cplusplus
}
#endif
#endif
