/* hub/fetch.c: which connection does what next.
 *
 * Workers, one for each connection, take work under one lock: a free chunk of a file whose server is known to give ranges, else the next file
 * that nobody has begun. Whoever begins a file takes its lock; if another process holds it, the file is tried again later and then is there.
 * The beginner asks for the first chunk, and its reply says whether others may join in. Files of several chunks are hashed by one more
 * thread behind the writers, and a third kind of thread has the disk take them meanwhile, so that neither is left to the end; small ones are
 * hashed and written out by their worker. */
#include "fetch.h"
#include "base/memory.h"
#include "base/thread.h"
#include "names.h"
#include "transfer.h"
#include "turns.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 64, BUSY_LIMIT = 600 };
#define MIB ((uint64_t)1 << 20)
static const uint64_t flush_bytes = 16 * MIB; /* the disk is told after so much */

typedef enum item_state {
    WAITING, /* nobody is at it; not before `retry` */
    BEGUN,   /* a worker opens it, or waits for the first reply */
    RANGES,  /* chunks are free for any worker */
    STREAM,  /* one worker receives it whole */
    REFUSED, /* a range was answered with the whole: when all have left, one receives it whole */
    AGAIN,   /* what came was wrong; open, and to be fetched once more */
    DONE,
} item_state;

typedef struct item {
    struct fetch *fetch;
    const mica__hub_file *file;
    item_state state;
    bool open, restarted, told;
    int n_active;              /* workers at it */
    bool flushing;             /* the flusher is at it */
    uint64_t flushed;          /* of its bytes, then */
    uint64_t hashed, unhashed; /* of its bytes, when the hasher last came by; unhashed: there, and next */
    mica__turns turns;
    double retry, changed; /* when to try its lock; when the other process was last seen to do something */
    struct timespec seen;  /* the other process's file, then */
    mica__partial partial;
    unsigned char *taken;     /* [n_chunks] a worker has it, or had it */
    char *url;                /* that the Hub leads to */
    _Atomic uint64_t counted; /* of its bytes in `have` */
} item;

typedef struct fetch {
    mica__fetch *job;
    mica__net net;
    item *items;
    size_t n, n_done;
    uint64_t total;
    int n_connections;
    pthread_mutex_t lock;
    pthread_cond_t changed, hash_more;
    atomic_bool cancel;
    bool failed;
    mica_error err;
    _Atomic uint64_t fetched, have;
} fetch;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void wait_for(pthread_cond_t *c, fetch *f, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(seconds * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(c, &f->lock, &until);
}

/* The first failure is the one that is told; the others stop. With the lock held. */
static void stop(fetch *f, const mica_error *err)
{
    if (!f->failed) f->err = *err;
    f->failed = true;
    atomic_store(&f->cancel, true);
    pthread_cond_broadcast(&f->changed);
    pthread_cond_broadcast(&f->hash_more);
}

static bool over(const fetch *f) { return f->failed || f->n_done == f->n; }

static void set_done(fetch *f, item *i)
{
    mica__partial_close(&i->partial);
    i->open = false;
    i->state = DONE;
    f->n_done++;
    pthread_cond_broadcast(&f->changed);
    pthread_cond_broadcast(&f->hash_more);
}

/* ---- the end of a file ------------------------------------------------------------------------------------------------------ */

static mica_status say_wrong(const fetch *f, const item *i, const char *found, mica_error *err)
{
    return mica__fail(err, MICA_UNAVAILABLE,
                      "%s: '%s': what %s sent is not the file: its %s is %.12s..., expected %.12s...; try again later",
                      f->job->id, MICA_QUOTED(i->file->path, strlen(i->file->path)), f->net.settings->endpoint,
                      strlen(i->file->hash) == 64 ? "SHA-256" : "git SHA-1", found, i->file->hash);
}

/* All bytes are there and nobody writes: hashes the rest, publishes, or lets it be fetched once more. Without the lock. */
static mica_status finish(fetch *f, item *i, bool *again, mica_error *err)
{
    char found[65];
    *again = false;
    MICA_TRY(mica__partial_hash(&i->partial, UINT64_MAX, err));
    if (mica__partial_is_right(&i->partial, found))
        return mica__partial_publish(&i->partial, f->job->store, f->job->commit, i->file->path, err);
    if (i->restarted) {
        mica__partial_remove(&i->partial);
        return say_wrong(f, i, found, err);
    }
    *again = i->restarted = true;
    return mica__partial_restart(&i->partial, err);
}

static void finish_and_note(fetch *f, item *i)
{
    mica_error err;
    bool again;
    const mica_status status = finish(f, i, &again, &err);
    pthread_mutex_lock(&f->lock);
    if (status != MICA_OK) {
        stop(f, &err);
    } else if (again) {
        atomic_fetch_sub(&f->have, i->counted);
        i->counted = 0;
        i->flushed = 0;
        i->hashed = i->unhashed = 0;
        i->turns = (mica__turns){.size = i->partial.size};
        memset(i->taken, 0, i->partial.n_chunks);
        i->state = AGAIN;
        pthread_cond_broadcast(&f->changed);
    } else {
        set_done(f, i);
    }
    pthread_mutex_unlock(&f->lock);
}

static bool is_complete(const item *i) { return mica__partial_done(&i->partial) == i->partial.size; }

/* ---- receiving ---------------------------------------------------------------------------------------------------------------- */

static void opened(void *context, bool ranges, const char *url)
{
    item *i = context;
    fetch *f = i->fetch;
    pthread_mutex_lock(&f->lock);
    if (i->state == BEGUN || i->state == STREAM) i->state = ranges && i->partial.n_chunks > 1 ? RANGES : STREAM;
    if (ranges && !i->url && url) i->url = mica__strndup(url, strlen(url)); /* without memory: one more redirect */
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void arrived(void *context, size_t n, size_t n_new)
{
    item *i = context;
    fetch *f = i->fetch;
    const uint64_t before = atomic_fetch_add(&f->fetched, n);
    atomic_fetch_add(&f->have, n_new);
    atomic_fetch_add(&i->counted, n_new);
    if (i->partial.n_chunks > 1 && before / MIB != (before + n) / MIB) pthread_cond_signal(&f->hash_more);
}

/* More comes than is being hashed: further requests would only take the hasher's processor from it, and leave it working alone at the end.
 * What an earlier run left does not count, and neither does what waits for a gap to close: those say nothing about speed. */
static bool hash_is_behind(const item *i)
{
    const uint64_t share = i->partial.size / 32, slack = share > 16 * MIB ? share : 16 * MIB;
    const bool is_hashed = i->state == RANGES || i->state == STREAM; /* else the hasher would never come by */
    return is_hashed && i->unhashed > slack && i->turns.received > i->hashed + slack;
}

/* Waits until the item's requests under way leave room for another one. */
static uint64_t turn(void *context, uint64_t most)
{
    item *i = context;
    fetch *f = i->fetch;
    uint64_t n = 0;
    pthread_mutex_lock(&f->lock);
    while (!f->failed && (hash_is_behind(i) || !(n = mica__turns_take(&i->turns, most, f->n_connections))))
        wait_for(&f->changed, f, 0.05);
    if (n) mica__partial_set_asked(&i->partial, i->partial.asked + n);
    pthread_mutex_unlock(&f->lock);
    return n;
}

static void turn_over(void *context, uint64_t asked, uint64_t received, bool none_sent)
{
    item *i = context;
    fetch *f = i->fetch;
    pthread_mutex_lock(&f->lock);
    mica__turns_settle(&i->turns, asked, received, none_sent);
    if (none_sent) mica__partial_set_asked(&i->partial, i->partial.asked - asked);
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static mica_status receive(fetch *f, item *i, size_t chunk, bool alone, mica__http *http, mica_error *err)
{
    mica__buf resolve = {0};
    mica__buf_printf(&resolve, "/%s/resolve/%s/", f->job->id, f->job->commit);
    mica__hub_append_encoded(&resolve, mica__str_from(i->file->path), true);
    MICA_TRY(mica__buf_status(&resolve, err, "an address"));
    const mica__subject subject = {.id = f->job->id, .revision = f->job->commit, .file = i->file->path};
    mica__transfer t = {.http = http,
                        .net = &f->net,
                        .subject = &subject,
                        .resolve = resolve.p,
                        .partial = &i->partial,
                        .chunk = chunk,
                        .alone = alone,
                        .turn = turn,
                        .over = turn_over,
                        .opened = opened,
                        .arrived = arrived,
                        .context = i};
    pthread_mutex_lock(&f->lock);
    if (i->url) t.url = mica__strndup(i->url, strlen(i->url));
    const bool had_url = i->url;
    pthread_mutex_unlock(&f->lock);
    const mica_status status = mica__transfer_run(&t, err);
    if (had_url && !t.url) { /* it was of no use any more */
        pthread_mutex_lock(&f->lock);
        mica__free(i->url);
        i->url = NULL;
        pthread_mutex_unlock(&f->lock);
    }
    if (t.refused) {
        pthread_mutex_lock(&f->lock);
        i->state = REFUSED;
        pthread_mutex_unlock(&f->lock);
    }
    mica__free(t.url);
    mica__buf_release(&resolve);
    return status;
}

/* ---- beginning a file ------------------------------------------------------------------------------------------------------------ */

/* Is a file with the same content on its way here, or was? With the lock held. */
static bool have_its_twin(const fetch *f, const item *i)
{
    for (size_t k = 0; k < f->n; k++) {
        const item *other = &f->items[k];
        if (other != i && other->state != WAITING && strcmp(other->file->hash, i->file->hash) == 0) return true;
    }
    return false;
}

static void come_back_soon(fetch *f, item *i, double t)
{
    i->retry = t + 0.1;
    i->state = WAITING;
    pthread_cond_broadcast(&f->changed);
}

/* Another process is at the file: come back soon, but not for ever if it does nothing. */
static mica_status wait_for_other(fetch *f, item *i, mica_error *err)
{
    pthread_mutex_lock(&f->lock);
    const bool twin = have_its_twin(f, i);
    if (twin) come_back_soon(f, i, now());
    pthread_mutex_unlock(&f->lock);
    if (twin) return MICA_OK;
    struct stat st = {0};
    char *path = mica__store_blob(f->job->store, i->file->hash, ".mica.incomplete");
    if (!path) return mica__fail_memory(err, 256, "a path");
    const double t = now();
    if (stat(path, &st) != 0) st.st_mtim = (struct timespec){0};
    mica__free(path);
    if (!i->told || st.st_mtim.tv_sec != i->seen.tv_sec || st.st_mtim.tv_nsec != i->seen.tv_nsec) {
        i->seen = st.st_mtim;
        i->changed = t;
    }
    if (t - i->changed > BUSY_LIMIT)
        return mica__fail(err, MICA_BUSY,
                          "%s: '%s': another process has held its lock for %d seconds and fetched nothing", f->job->id,
                          MICA_QUOTED(i->file->path, strlen(i->file->path)), BUSY_LIMIT);
    pthread_mutex_lock(&f->lock);
    i->told = true;
    come_back_soon(f, i, t);
    pthread_mutex_unlock(&f->lock);
    return MICA_OK;
}

/* *there: the file needs no fetching any more. With the blob's lock held. */
static mica_status find(fetch *f, item *i, bool *there, mica_error *err)
{
    const mica__fetch *job = f->job;
    *there = false;
    if (job->force) return MICA_OK;
    if (job->store->no_symlinks)
        MICA_TRY(mica__store_has(job->store, job->commit, i->file->path, i->file->size, there, err));
    if (*there) return MICA_OK;
    MICA_TRY(mica__store_has_blob(job->store, i->file->hash, i->file->size, there, err));
    return *there ? mica__store_link(job->store, job->commit, i->file->path, i->file->hash, err) : MICA_OK;
}

/* A chunk is what one request is allowed to ask for (turns.h). Larger ones would leave more to be hashed when the last byte has come, and
 * all connections would end further apart. What is smaller than two of the smallest is fetched in one piece. */
static uint64_t chunk_bytes_for(uint64_t size, int n_connections)
{
    const uint64_t even = size / 32 / (uint64_t)n_connections / MIB * MIB;
    if (size <= 2 * MIB) return size;
    if (size <= 8 * MIB) return size - size / 2;
    return even < 4 * MIB ? 4 * MIB : even > 64 * MIB ? 64 * MIB : even;
}

/* Opens the file: it is then open, DONE, or WAITING for another process. Its state is BEGUN, so that nobody else touches it. */
static mica_status begin(fetch *f, item *i, mica_error *err)
{
    int lock;
    bool there, busy = true;
    MICA_TRY(mica__store_lock(f->job->store, i->file->hash, &lock, err));
    if (lock >= 0) {
        const mica_status status = find(f, i, &there, err);
        if (status != MICA_OK || there) {
            close(lock);
            if (status != MICA_OK) return status;
            atomic_fetch_add(&f->have, i->file->size);
            pthread_mutex_lock(&f->lock);
            set_done(f, i);
            pthread_mutex_unlock(&f->lock);
            return MICA_OK;
        }
        MICA_TRY(mica__partial_open(&i->partial, f->job->store, i->file->hash, i->file->size,
                                    chunk_bytes_for(i->file->size, f->n_connections), lock, &busy, err));
    }
    if (busy) return wait_for_other(f, i, err);
    if (f->job->force && !i->restarted) MICA_TRY(mica__partial_restart(&i->partial, err));
    i->taken = mica__calloc(i->partial.n_chunks, 1);
    if (!i->taken) return mica__fail_memory(err, i->partial.n_chunks, "a list of chunks");
    i->counted = mica__partial_done(&i->partial);
    i->flushed = i->counted;
    i->turns = (mica__turns){.size = i->partial.size,
                             .lost = i->partial.asked > i->counted ? i->partial.asked - i->counted : 0};
    atomic_fetch_add(&f->have, i->counted);
    pthread_mutex_lock(&f->lock);
    i->open = true;
    pthread_mutex_unlock(&f->lock);
    return MICA_OK;
}

static bool take_chunk(item *i, size_t *chunk)
{
    for (size_t c = 0; c < i->partial.n_chunks; c++) {
        if (i->taken[c]) continue;
        i->taken[c] = 1;
        if (atomic_load(&i->partial.done[c]) == mica__partial_chunk_bytes(&i->partial, c)) continue;
        *chunk = c;
        return true;
    }
    return false;
}

/* ---- workers ------------------------------------------------------------------------------------------------------------------ */

/* With the lock held: the next piece of work, NULL if there is none now. *chunk is SIZE_MAX for a file to begin. */
static item *pick(fetch *f, size_t *chunk)
{
    for (size_t k = 0; k < f->n; k++)
        if (f->items[k].state == RANGES && take_chunk(&f->items[k], chunk)) return &f->items[k];
    const double t = now();
    for (size_t k = 0; k < f->n; k++) {
        item *i = &f->items[k];
        if (i->state != AGAIN && (i->state != WAITING || i->retry > t)) continue;
        i->state = BEGUN;
        *chunk = SIZE_MAX;
        return i;
    }
    return NULL;
}

static mica_status work_on(fetch *f, item *i, size_t chunk, mica__http *http, mica_error *err)
{
    const bool first = chunk == SIZE_MAX;
    if (first) {
        if (!i->open) MICA_TRY(begin(f, i, err));
        if (!i->open) return MICA_OK;
        pthread_mutex_lock(&f->lock);
        const bool some = take_chunk(i, &chunk);
        if (!some) i->state = STREAM; /* it is all there: only to be hashed */
        pthread_mutex_unlock(&f->lock);
        if (!some) return MICA_OK;
    }
    MICA_TRY(receive(f, i, chunk, first, http, err));
    pthread_mutex_lock(&f->lock);
    if (i->state == REFUSED && i->n_active == 1) i->state = STREAM;
    if (i->state == STREAM && i->n_active == 1 && !is_complete(i)) { /* cut after this chunk was whole, or refused */
        memset(i->taken, 0, i->partial.n_chunks);
        i->state = AGAIN;
    }
    pthread_mutex_unlock(&f->lock);
    return MICA_OK;
}

static void *worker(void *context)
{
    fetch *f = context;
    mica_error err;
    mica__http *http;
    const mica_status created = mica__http_create(&http, &f->net, &err);
    pthread_mutex_lock(&f->lock);
    if (created != MICA_OK) stop(f, &err);
    while (!over(f)) {
        size_t chunk;
        item *i = pick(f, &chunk);
        if (!i) {
            wait_for(&f->changed, f, 0.05);
            continue;
        }
        i->n_active++;
        pthread_mutex_unlock(&f->lock);
        const mica_status status = work_on(f, i, chunk, http, &err);
        pthread_mutex_lock(&f->lock);
        i->n_active--;
        if (status != MICA_OK) {
            stop(f, &err);
        } else if (i->open && i->partial.n_chunks == 1) {
            pthread_mutex_unlock(&f->lock);
            finish_and_note(f, i);
            pthread_mutex_lock(&f->lock);
        } else {
            pthread_cond_broadcast(&f->hash_more);
        }
    }
    pthread_mutex_unlock(&f->lock);
    mica__http_free(http);
    return NULL;
}

/* With the lock held: a file of several chunks that has bytes to hash, or is ready for its end. */
static item *pick_hash(fetch *f)
{
    for (size_t k = 0; k < f->n; k++) {
        item *i = &f->items[k];
        if (!i->open || (i->state != RANGES && i->state != STREAM) || i->partial.n_chunks == 1) continue;
        if (mica__partial_contiguous(&i->partial) > i->partial.hashed) return i;
        if (i->partial.hashed == i->partial.size && i->n_active == 0 && !i->flushing && is_complete(i)) return i;
    }
    return NULL;
}

static void *hasher(void *context)
{
    fetch *f = context;
    pthread_mutex_lock(&f->lock);
    while (!over(f)) {
        item *i = pick_hash(f);
        if (!i) {
            wait_for(&f->hash_more, f, 0.1);
            continue;
        }
        const bool last = i->partial.hashed == i->partial.size;
        pthread_mutex_unlock(&f->lock);
        if (last) {
            finish_and_note(f, i);
            pthread_mutex_lock(&f->lock);
            continue;
        }
        mica_error err;
        const mica_status status = mica__partial_hash(&i->partial, 8 * MIB, &err);
        pthread_mutex_lock(&f->lock);
        if (status != MICA_OK) stop(f, &err);
        const bool was_behind = hash_is_behind(i);
        i->hashed = i->partial.hashed;
        i->unhashed = mica__partial_contiguous(&i->partial) - i->hashed;
        if (was_behind && !hash_is_behind(i)) pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* With the lock held: a file of which the disk has yet to take much. */
static item *pick_flush(fetch *f)
{
    for (size_t k = 0; k < f->n; k++) {
        item *i = &f->items[k];
        if (!i->open || (i->state != RANGES && i->state != STREAM)) continue;
        const uint64_t least = i->counted == i->partial.size && i->partial.n_chunks > 1 ? 1 : flush_bytes;
        if (i->counted >= i->flushed + least) return i;
    }
    return NULL;
}

static void *flusher(void *context)
{
    fetch *f = context;
    pthread_mutex_lock(&f->lock);
    while (!over(f)) {
        item *i = pick_flush(f);
        if (!i) {
            wait_for(&f->changed, f, 0.05);
            continue;
        }
        i->flushing = true;
        i->flushed = i->counted;
        pthread_mutex_unlock(&f->lock);
        mica__partial_flush(&i->partial);
        pthread_mutex_lock(&f->lock);
        i->flushing = false;
        pthread_cond_broadcast(&f->hash_more);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------------------- */

/* Tells the caller how far it is, ten times a second, until all is over. */
static void watch(fetch *f)
{
    const mica_progress *p = &f->job->progress;
    bool told = false;
    pthread_mutex_lock(&f->lock);
    while (!over(f)) {
        wait_for(&f->changed, f, 0.1);
        bool waiting = false;
        for (size_t k = 0; k < f->n && !told; k++) waiting = waiting || f->items[k].told;
        pthread_mutex_unlock(&f->lock);
        if (waiting && f->job->notices.notice) {
            f->job->notices.notice(f->job->notices.context,
                                   "another process is fetching the same files: waiting for it");
            told = true;
        }
        const bool go_on = !p->report || p->report(p->context, "download", f->job->present_bytes + f->have, f->total);
        pthread_mutex_lock(&f->lock);
        if (!go_on) {
            mica_error err;
            mica__fail(&err, MICA_CANCELLED, "cancelled");
            stop(f, &err);
        }
    }
    pthread_mutex_unlock(&f->lock);
    if (!f->failed && p->report) p->report(p->context, "download", f->total, f->total);
}

static mica_status run(fetch *f, mica_error *err)
{
    pthread_t threads[MAX_CONNECTIONS + 2];
    int n_threads = 0, n_workers = f->n_connections, n_behind = 0;
    uint64_t useful = 0;
    mica_error reason;
    for (size_t k = 0; k < f->n; k++) {
        const uint64_t size = f->items[k].file->size;
        useful += size / MIB + 1;
        /* An earlier run may have cut a file into smaller chunks than this one would. */
        if (size > MIB && n_behind == 0) n_behind = 1;
        if (size > flush_bytes) n_behind = 2;
    }
    if ((uint64_t)n_workers > useful) n_workers = (int)useful;
    mica_status status = MICA_OK;
    for (int k = 0; k < n_workers + n_behind && status == MICA_OK; k++) {
        status = mica__thread_start(&threads[k],
                                    k < n_workers    ? worker
                                    : k == n_workers ? hasher
                                                     : flusher,
                                    f, &reason);
        if (status == MICA_OK) n_threads++;
    }
    if (status != MICA_OK) {
        pthread_mutex_lock(&f->lock);
        stop(f, &reason);
        pthread_mutex_unlock(&f->lock);
    } else {
        watch(f);
    }
    for (int k = 0; k < n_threads; k++) pthread_join(threads[k], NULL);
    if (!f->failed) return MICA_OK;
    if (err) *err = f->err;
    return f->err.status;
}

mica_status mica__fetch_run(mica__fetch *job, mica_error *err)
{
    job->fetched_bytes = 0;
    if (job->n_files == 0) return MICA_OK;
    fetch f = {.job = job, .n = job->n_files, .total = job->present_bytes};
    f.n_connections = job->n_connections > 0 ? job->n_connections : 8;
    if (f.n_connections > MAX_CONNECTIONS) f.n_connections = MAX_CONNECTIONS;
    f.net = (mica__net){.settings = job->settings, .cancel = &f.cancel};
    f.items = mica__calloc(f.n, sizeof *f.items);
    if (!f.items) return mica__fail_memory(err, f.n * sizeof *f.items, "a list of files");
    for (size_t k = 0; k < f.n; k++) {
        f.items[k] = (item){.fetch = &f, .file = job->files[k], .partial = {.fd = -1, .map_fd = -1, .lock_fd = -1}};
        f.total += job->files[k]->size;
    }
    pthread_mutex_init(&f.lock, NULL);
    pthread_cond_init(&f.changed, NULL);
    pthread_cond_init(&f.hash_more, NULL);
    const mica_status status = run(&f, err);
    for (size_t k = 0; k < f.n; k++) {
        mica__partial_close(&f.items[k].partial);
        mica__free(f.items[k].taken);
        mica__free(f.items[k].url);
    }
    pthread_cond_destroy(&f.hash_more);
    pthread_cond_destroy(&f.changed);
    pthread_mutex_destroy(&f.lock);
    mica__free(f.items);
    job->fetched_bytes = f.fetched;
    return status;
}
