/* hub/snapshot.c: from an id and a revision to a folder: first what is on this machine, then the Hub.
 *
 * A revision is turned into a commit once, and everything else speaks of that commit, so that files of two commits never mix. What is
 * there and complete costs no request if the revision is itself a commit, and one otherwise. */
#include "base/file.h"
#include "fetch.h"
#include "names.h"
#include "select.h"
#include "select_gguf.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static const double offline_seconds = 2;
enum { MAX_PAGES = 1000 };

typedef struct resolving {
    const char *id, *revision;
    const mica_hub_options *o;
    mica__hub_settings settings;
    mica__store store;
    bool offline;
    char commit[41];
    mica__listing listing;
    bool listed;
    mica__arena arena;
    mica__selection chosen; /* what is asked for, once the listing is known */
    mica__listing local;    /* of GGUF files, where there is no other */
    mica__net net;
    mica__http *http;
    mica__buf text;
    uint64_t fetched_bytes;
} resolving;

/* What the cache has of a commit. */
typedef struct local_state {
    bool complete;      /* surely */
    bool usable;        /* nothing is known to be missing */
    char missing[1100]; /* the first file that is */
} local_state;

static void notice(const resolving *r, const char *fmt, ...) MICA_PRINTF(2, 3);
static void notice(const resolving *r, const char *fmt, ...)
{
    char line[512];
    va_list args;
    if (!r->o->notices.notice) return;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    r->o->notices.notice(r->o->notices.context, line);
}

/* ---- what is on this machine ----------------------------------------------------------------------------------------------- */

static mica_status read_file(resolving *r, const char *path, mica_error *err)
{
    char *folder;
    MICA_TRY(mica__store_snapshot(&r->store, r->commit, &folder, err));
    char *file = mica__path_join(folder, path);
    mica__free(folder);
    mica__buf_clear(&r->text);
    const mica_status status =
        file ? mica__file_read(&r->text, file, (size_t)64 << 20, err) : mica__fail_memory(err, 256, "a path");
    mica__free(file);
    return status;
}

/* Chooses r->files from the listing. *missing: the index that has to be there first, if it is not. */
static mica_status choose(resolving *r, const char **missing, mica_error *err)
{
    const char *index = mica__select_index(&r->listing, r->o);
    *missing = NULL;
    mica__buf_clear(&r->text);
    if (index) {
        bool there;
        const mica__hub_file *f = mica__listing_find(&r->listing, index);
        MICA_TRY(mica__store_has(&r->store, r->commit, index, f->size, &there, err));
        if (!there) {
            *missing = index;
            return MICA_OK;
        }
        MICA_TRY(read_file(r, index, err));
    }
    return mica__select_files(&r->chosen, &r->listing, r->o, r->id, mica__buf_str(&r->text), &r->arena, err);
}

static mica_status look_with_listing(resolving *r, local_state *state, mica_error *err)
{
    const char *index;
    bool there = true;
    MICA_TRY(choose(r, &index, err));
    if (index) {
        snprintf(state->missing, sizeof state->missing, "%s", index);
        return MICA_OK;
    }
    for (size_t i = 0; i < r->chosen.n && there; i++) {
        const mica__hub_file *f = r->chosen.files[i];
        MICA_TRY(mica__store_has(&r->store, r->commit, f->path, f->size, &there, err));
        if (!there) snprintf(state->missing, sizeof state->missing, "%s", f->path);
    }
    state->complete = state->usable = there;
    return MICA_OK;
}

static void forget_listing(resolving *r)
{
    mica__listing_release(&r->listing);
    r->listed = false;
    r->chosen = (mica__selection){0};
}

/* Without a listing: a GGUF file that is there, with its parts, is what is asked for if nothing else is there. */
static mica_status look_for_gguf(resolving *r, local_state *state, mica_error *err)
{
    mica_error why;
    mica__listing_release(&r->local);
    if (!r->o->gguf && strcmp(state->missing, "config.json") != 0 && strcmp(state->missing, "tokenizer.json") != 0)
        return MICA_OK;
    MICA_TRY(mica__list_local_gguf(&r->local, &r->store, r->commit, err));
    if (!mica__wants_gguf(&r->local, r->o)) return MICA_OK;
    const mica_status status = mica__select_files(&r->chosen, &r->local, r->o, r->id, (mica__str){0}, &r->arena, &why);
    if (status == MICA_MEMORY) return mica__fail_memory(err, 1, "a list of files");
    *state = (local_state){.usable = status == MICA_OK, .complete = status == MICA_OK && r->o->gguf && r->o->gguf[0]};
    if (status == MICA_OK) return MICA_OK;
    r->chosen = (mica__selection){0};
    snprintf(state->missing, sizeof state->missing, "%s", r->o->gguf && r->o->gguf[0] ? r->o->gguf : "*.gguf");
    return MICA_OK;
}

/* Looks at r->commit in the cache. */
static mica_status look(resolving *r, local_state *state, mica_error *err)
{
    char *folder;
    *state = (local_state){0};
    forget_listing(r);
    MICA_TRY(mica__store_snapshot(&r->store, r->commit, &folder, err));
    const bool there = mica__path_is_dir(folder);
    mica__free(folder);
    MICA_TRY(mica__store_read_listing(&r->store, r->commit, &r->listing, &r->listed, err));
    if (!there) return MICA_OK;
    if (r->listed) return look_with_listing(r, state, err);
    MICA_TRY(mica__select_local(&r->store, r->commit, r->o, &state->complete, state->missing, err));
    state->usable = !state->missing[0];
    return r->o->gguf || !state->usable ? look_for_gguf(r, state, err) : MICA_OK;
}

static mica_status say_offline(const resolving *r, const local_state *state, mica_error *err)
{
    const char *why = r->settings.offline ? "HF_HUB_OFFLINE is set" : "no request is allowed";
    if (state->missing[0])
        return mica__fail(err, MICA_NOT_FOUND, "%s: '%s' is not on this machine, and %s", r->id,
                          MICA_QUOTED(state->missing, strlen(state->missing)), why);
    return mica__fail(err, MICA_NOT_FOUND, "%s: revision '%s' is not in the cache on this machine (%s), and %s", r->id,
                      MICA_QUOTED(r->revision, strlen(r->revision)), r->settings.cache_dir, why);
}

/* ---- asking the Hub ------------------------------------------------------------------------------------------------------------- */

static mica_status need_connection(resolving *r, mica_error *err)
{
    r->net = (mica__net){.settings = &r->settings, .progress = &r->o->progress};
    return r->http ? MICA_OK : mica__http_create(&r->http, &r->net, err);
}

/* The commit that the revision stands for now. hurried: give up soon, there is something to fall back to. */
static mica_status ask_commit(resolving *r, bool hurried, char commit[41], mica_error *err)
{
    mica__buf url = {0};
    mica__reply reply;
    mica__failure failure;
    MICA_TRY(need_connection(r, err));
    mica__buf_printf(&url, "/api/models/%s/revision/", r->id);
    mica__hub_append_encoded(&url, mica__str_from(r->revision), false);
    MICA_TRY(mica__buf_status(&url, err, "an address"));
    const mica__request request = {.method = "GET", .url = url.p, .seconds = hurried ? offline_seconds : 0};
    mica__buf_clear(&r->text);
    mica_status status = hurried ? mica__http_send(r->http, &request, &reply, &r->text, &failure, err)
                                 : mica__http_send_patiently(r->http, &request, &reply, &r->text, err);
    mica__buf_release(&url);
    if (status != MICA_OK) return status;
    const mica__subject subject = {.id = r->id, .revision = r->revision};
    if (reply.status != 200) return mica__hub_explain(&r->net, &subject, &reply, &r->text, err);
    status = mica__listing_commit(commit, r->text.p, r->text.n, err);
    return status == MICA_OK ? status : mica__fail_prefix(err, status, "%s", r->id);
}

static mica_status ask_page(resolving *r, const char *url, mica__reply *reply, mica_error *err)
{
    const mica__request request = {.method = "GET", .url = url};
    mica__buf_clear(&r->text);
    MICA_TRY(mica__http_send_patiently(r->http, &request, reply, &r->text, err));
    const mica__subject subject = {.id = r->id, .revision = r->revision};
    if (reply->status != 200) return mica__hub_explain(&r->net, &subject, reply, &r->text, err);
    const mica_status status = mica__listing_add_page(&r->listing, r->text.p, r->text.n, err);
    return status == MICA_OK ? status : mica__fail_prefix(err, status, "%s", r->id);
}

/* Fills r->listing, page after page. */
static mica_status ask_listing(resolving *r, mica_error *err)
{
    mica__buf first = {0};
    mica__reply reply;
    MICA_TRY(need_connection(r, err));
    mica__buf_printf(&first, "/api/models/%s/tree/%s?recursive=true&expand=false", r->id, r->commit);
    char *url = mica__buf_take(&first);
    mica_status status = url ? MICA_OK : mica__fail_memory(err, 256, "an address");
    for (int page = 0; url && status == MICA_OK; page++) {
        char *next = NULL;
        status = ask_page(r, url, &reply, err);
        if (status == MICA_OK && reply.next[0])
            status = mica__url_follow(&next, mica__http_final_url(r->http), reply.next, r->settings.endpoint, err);
        if (next && (page == MAX_PAGES || !mica__url_same_origin(next, r->settings.endpoint)))
            status = mica__fail(err, MICA_DATA, "%s: the listing of the repository does not end, or goes on elsewhere",
                                r->id);
        mica__free(url);
        url = next;
    }
    mica__free(url);
    if (status == MICA_OK) status = mica__listing_finish(&r->listing, err);
    r->listed = status == MICA_OK;
    return status;
}

/* ---- fetching ------------------------------------------------------------------------------------------------------------------ */

static const char *size_text(char out[32], uint64_t n)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    double value = (double)n;
    int unit = 0;
    while (value >= 1000 && unit < 4) value /= 1000, unit++;
    snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return out;
}

/* Is there room for what is still to come? */
static mica_status check_space(const resolving *r, const mica__hub_file *const *files, size_t n, mica_error *err)
{
    struct statvfs fs;
    uint64_t needed = 0;
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        bool there = false;
        MICA_TRY(mica__store_has_blob(&r->store, files[i]->hash, files[i]->size, &there, err));
        if (there && !r->o->force && !r->store.no_symlinks) continue;
        char *partial = mica__store_blob(&r->store, files[i]->hash, ".mica.incomplete");
        const uint64_t have = partial && stat(partial, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
        mica__free(partial);
        const uint64_t more = have < files[i]->size ? files[i]->size - have : 0;
        if (__builtin_add_overflow(needed, more, &needed)) needed = UINT64_MAX;
    }
    if (statvfs(r->store.folder, &fs) != 0) return MICA_OK; /* then writing will tell */
    uint64_t room;
    if (__builtin_mul_overflow((uint64_t)fs.f_bavail, (uint64_t)fs.f_frsize, &room) || needed <= room) return MICA_OK;
    char a[32], b[32];
    return mica__fail(err, MICA_IO, "%s: not enough space in %s: %s are needed, %s are free", r->id,
                      r->settings.cache_dir, size_text(a, needed), size_text(b, room));
}

/* Fetches those of the files that the snapshot lacks. */
static mica_status fetch(resolving *r, const mica__hub_file *const *files, size_t n, mica_error *err)
{
    const mica__hub_file **missing = mica__alloc(n + 1, sizeof *missing);
    if (!missing) return mica__fail_memory(err, n * sizeof *missing, "a list of files");
    mica__fetch job = {.settings = &r->settings,
                       .store = &r->store,
                       .id = r->id,
                       .commit = r->commit,
                       .files = missing,
                       .force = r->o->force,
                       .n_connections = r->o->n_connections,
                       .progress = r->o->progress,
                       .notices = r->o->notices};
    mica_status status = MICA_OK;
    for (size_t i = 0; i < n && status == MICA_OK; i++) {
        bool there = false;
        if (!r->o->force) status = mica__store_has(&r->store, r->commit, files[i]->path, files[i]->size, &there, err);
        if (there)
            job.present_bytes += files[i]->size;
        else
            missing[job.n_files++] = files[i];
    }
    if (status == MICA_OK) status = check_space(r, missing, job.n_files, err);
    if (status == MICA_OK) status = mica__fetch_run(&job, err);
    r->fetched_bytes += job.fetched_bytes;
    mica__free(missing);
    return status;
}

/* The listing is known and r->commit is not complete. */
static mica_status complete(resolving *r, mica_error *err)
{
    const char *index;
    if (strcmp(r->revision, r->commit) != 0) MICA_TRY(mica__store_write_ref(&r->store, r->revision, r->commit, err));
    MICA_TRY(mica__store_prepare(&r->store, err));
    if (r->listing.cacheable) MICA_TRY(mica__store_write_listing(&r->store, r->commit, &r->listing, err));
    MICA_TRY(choose(r, &index, err));
    if (index) {
        const mica__hub_file *f = mica__listing_find(&r->listing, index);
        MICA_TRY(fetch(r, &f, 1, err));
        MICA_TRY(choose(r, &index, err));
        if (index) return mica__fail(err, MICA_IO, "%s: '%s' vanished from the cache", r->id, index);
    }
    mica__select_mark_absent(&r->listing, r->o, &r->store, r->commit);
    return fetch(r, r->chosen.files, r->chosen.n, err);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------- */

/* The network failed, or the server: what is here is used if it can be. */
static mica_status fall_back(resolving *r, const char *commit, const local_state *state, mica_status status,
                             mica_error *err)
{
    const bool network = status == MICA_UNAVAILABLE;
    if (!state->usable || r->o->force || (!network && status != MICA_ACCESS && status != MICA_NOT_FOUND)) {
        if (network && state->missing[0])
            return mica__fail_prefix(err, status, "%s: '%s' is not on this machine", r->id, state->missing);
        return network ? mica__fail_prefix(err, status, "%s is not on this machine", r->id) : status;
    }
    notice(r, "%s; using %s as it was fetched before (commit %.8s)", err->message, r->id, commit);
    return MICA_OK;
}

static mica_status resolve(resolving *r, mica_error *err)
{
    local_state state = {0};
    const bool is_commit = mica__hub_is_commit(mica__str_from(r->revision));
    mica_error bad_ref = {0};
    mica_status ref = MICA_OK;
    if (is_commit)
        memcpy(r->commit, r->revision, sizeof r->commit);
    else
        ref = mica__store_read_ref(&r->store, r->revision, r->commit, &bad_ref);
    if (ref != MICA_OK && r->offline) {
        if (err) *err = bad_ref;
        return ref;
    }
    if (r->commit[0]) MICA_TRY(look(r, &state, err));
    if (r->offline) return state.usable ? MICA_OK : say_offline(r, &state, err);
    if (is_commit && state.complete && !r->o->force) return MICA_OK;
    if (!is_commit) {
        char commit[41];
        const mica_status asked = ask_commit(r, state.usable && !r->o->force, commit, err);
        if (asked != MICA_OK) return fall_back(r, r->commit, &state, asked, err);
        if (strcmp(commit, r->commit) != 0) {
            memcpy(r->commit, commit, sizeof commit);
            MICA_TRY(look(r, &state, err));
        }
        if (state.complete && !r->o->force) return mica__store_write_ref(&r->store, r->revision, r->commit, err);
    }
    if (!r->listed) {
        const mica_status asked = ask_listing(r, err);
        if (asked != MICA_OK) {
            forget_listing(r);
            return fall_back(r, r->commit, &state, asked, err);
        }
    }
    return complete(r, err);
}

static mica_status fill(mica_hub_snapshot *out, const resolving *r, mica_error *err)
{
    char *folder;
    const mica__selection *c = &r->chosen;
    MICA_TRY(mica__store_snapshot(&r->store, r->commit, &folder, err));
    const bool below = r->o->subfolder && r->o->subfolder[0];
    out->path = below ? mica__path_join(folder, r->o->subfolder) : mica__strndup(folder, strlen(folder));
    if (c->gguf && c->n)
        out->model = mica__path_join(folder, c->files[0]->path);
    else if (out->path)
        out->model = mica__strndup(out->path, strlen(out->path));
    mica__free(folder);
    if (!out->path || !out->model) return mica__fail_memory(err, 256, "a path");
    if (c->guessed) notice(r, "%s has several GGUF files: using %s", r->id, c->files[0]->path);
    memcpy(out->commit, r->commit, sizeof out->commit);
    if (c->files == NULL || r->local.n) return MICA_OK; /* their sizes are not known */
    out->n_files = c->n;
    for (size_t i = 0; i < c->n; i++) out->bytes += c->files[i]->size;
    out->fetched_bytes = r->fetched_bytes;
    return MICA_OK;
}

static mica_status check_names(const char *id, const mica_hub_options *o, mica_error *err)
{
    if (!mica_hub_is_id(id))
        return mica__fail(err, MICA_INVALID, "'%s' is not an id of the Hub (NAME or ORG/NAME)",
                          MICA_QUOTED(id ? id : "", id ? strlen(id) : 0));
    if (o->revision && !mica__hub_revision_is_safe(o->revision))
        return mica__fail(err, MICA_INVALID, "'%s' is not a revision (a branch, tag or commit)",
                          MICA_QUOTED(o->revision, strlen(o->revision)));
    if (o->subfolder && o->subfolder[0] && !mica__hub_path_is_safe(mica__str_from(o->subfolder)))
        return mica__fail(err, MICA_INVALID, "'%s' is not a folder of a repository",
                          MICA_QUOTED(o->subfolder, strlen(o->subfolder)));
    return MICA_OK;
}

mica_status mica_hub_resolve(mica_hub_snapshot *out, const char *id, const mica_hub_options *options, mica_error *err)
{
    static const mica_hub_options defaults;
    mica_error dropped;
    *out = (mica_hub_snapshot){0};
    if (!err) err = &dropped;
    resolving r = {.id = id, .o = options ? options : &defaults, .text = {.max = (size_t)64 << 20}};
    r.revision = r.o->revision ? r.o->revision : "main";
    MICA_TRY(check_names(id, r.o, err));
    MICA_TRY(mica__hub_settings_init(&r.settings, r.o->cache_dir, r.o->endpoint, r.o->token, false, err));
    r.offline = r.settings.offline || r.o->local_only;
    mica_status status = mica__store_init(&r.store, r.settings.cache_dir, id, r.settings.no_symlinks, err);
    if (status == MICA_OK) status = resolve(&r, err);
    if (status == MICA_OK) status = fill(out, &r, err);
    if (status != MICA_OK) mica_hub_snapshot_release(out);
    mica__http_free(r.http);
    mica__buf_release(&r.text);
    mica__listing_release(&r.listing);
    mica__listing_release(&r.local);
    mica__arena_release(&r.arena);
    mica__store_release(&r.store);
    mica__hub_settings_release(&r.settings);
    return status;
}

void mica_hub_snapshot_release(mica_hub_snapshot *snapshot)
{
    mica__free(snapshot->path);
    mica__free(snapshot->model);
    *snapshot = (mica_hub_snapshot){0};
}
