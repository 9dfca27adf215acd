/* hub/lfs.c: large files to the storage: the Hub says which it lacks and where they go, in one piece or in parts.
 *
 * Pieces are sent over several connections; what a server has confirmed is never sent again, also not by a later call, since the Hub
 * then no longer asks for it. */
#include "base/file.h"
#include "base/memory.h"
#include "base/thread.h"
#include "upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <stdio.h>
#include <unistd.h>

enum { BATCH = 256, MAX_PARTS = 10000, MAX_CONNECTIONS = 16 };
static const char lfs_json[] = "application/vnd.git-lfs+json";

/* One PUT: a file, or a part of one. */
typedef struct piece {
    const mica__upload_file *file;
    const char *url;
    uint64_t offset, n;
    int number; /* of the part, from 1; 0: the whole file */
    _Atomic uint64_t sent;
    char etag[160];
} piece;

/* A file that the storage lacks. */
typedef struct object {
    const mica__upload_file *file;
    size_t first, n;      /* its pieces */
    const char *complete; /* where to say that all parts are there; NULL: one piece */
    const char *verify;   /* NULL: nothing to be verified */
} object;

typedef struct sending {
    mica__upload *u;
    mica__net net;
    piece *pieces;
    size_t n_pieces, cap_pieces, next;
    object *objects;
    size_t n_objects, cap_objects;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int n_running;
    bool failed;
    atomic_bool cancel;
    mica_error err;
} sending;

static mica_status no_memory(mica_error *err) { return mica__fail_memory(err, sizeof(piece), "a list of uploads"); }

static mica_status bad_answer(const sending *s, const char *what, mica_error *err)
{
    return mica__fail(err, MICA_UNAVAILABLE, "%s: %s answers the upload request with %s", s->u->id,
                      s->u->settings.endpoint, what);
}

/* ---- what the Hub asks for -------------------------------------------------------------------------------------------------- */

static mica_status add_piece(sending *s, const piece *p, mica_error *err)
{
    if (s->n_pieces == s->cap_pieces) {
        const size_t cap = s->cap_pieces ? s->cap_pieces * 2 : 16;
        piece *longer = mica__realloc(s->pieces, cap, sizeof *longer);
        if (!longer) return no_memory(err);
        s->pieces = longer;
        s->cap_pieces = cap;
    }
    s->pieces[s->n_pieces++] = *p;
    return MICA_OK;
}

static const char *text_of(sending *s, mica__jval v)
{
    mica__str text;
    return mica__json_string(v, &text) ? mica__arena_strndup(&s->u->arena, text.p, text.n) : NULL;
}

/* "chunk_size": a number, or a number as text. */
static bool chunk_size_of(mica__jval v, uint64_t *out)
{
    int64_t n = 0;
    mica__str text;
    if (mica__json_string(v, &text)) {
        for (size_t i = 0; i < text.n; i++) {
            if (text.p[i] < '0' || text.p[i] > '9' || n > INT64_MAX / 100) return false;
            n = n * 10 + (text.p[i] - '0');
        }
    } else if (!mica__json_int(v, &n)) {
        return false;
    }
    *out = (uint64_t)n;
    return n > 0;
}

static mica_status add_parts(sending *s, const object *o, mica__jval header, uint64_t chunk, mica_error *err)
{
    const uint64_t n = (o->file->size - 1) / chunk + 1;
    if (n > MAX_PARTS) return bad_answer(s, "too many parts", err);
    for (uint64_t i = 0; i < n; i++) {
        char key[24];
        snprintf(key, sizeof key, "%llu", (unsigned long long)i + 1);
        const uint64_t offset = i * chunk, left = o->file->size - offset;
        const piece p = {.file = o->file,
                         .url = text_of(s, mica__json_get(header, key)),
                         .offset = offset,
                         .n = left < chunk ? left : chunk,
                         .number = (int)i + 1};
        if (!p.url) return bad_answer(s, "too few parts", err);
        MICA_TRY(add_piece(s, &p, err));
    }
    return MICA_OK;
}

static mica_status add_object(sending *s, const mica__upload_file *file, mica__jval actions, mica_error *err)
{
    const mica__jval upload = mica__json_get(actions, "upload"), header = mica__json_get(upload, "header");
    object o = {.file = file, .first = s->n_pieces};
    o.verify = text_of(s, mica__json_get(mica__json_get(actions, "verify"), "href"));
    const char *href = text_of(s, mica__json_get(upload, "href"));
    const mica__jval chunk = mica__json_get(header, "chunk_size");
    if (!upload) return MICA_OK; /* the storage has it */
    if (!href) return bad_answer(s, "no address", err);
    if (chunk) {
        uint64_t bytes;
        if (!chunk_size_of(chunk, &bytes)) return bad_answer(s, "a bad chunk_size", err);
        o.complete = href;
        MICA_TRY(add_parts(s, &o, header, bytes, err));
    } else {
        MICA_TRY(add_piece(s, &(piece){.file = file, .url = href, .n = file->size}, err));
    }
    o.n = s->n_pieces - o.first;
    if (s->n_objects == s->cap_objects) {
        const size_t cap = s->cap_objects ? s->cap_objects * 2 : 16;
        object *longer = mica__realloc(s->objects, cap, sizeof *longer);
        if (!longer) return no_memory(err);
        s->objects = longer;
        s->cap_objects = cap;
    }
    s->objects[s->n_objects++] = o;
    return MICA_OK;
}

static mica_status read_batch(sending *s, const mica__upload_file *const *files, size_t n, mica_error *err)
{
    mica__json doc;
    const mica_status parsed = mica__json_parse(&doc, s->u->text.p, s->u->text.n, NULL, err);
    if (parsed != MICA_OK) return bad_answer(s, "no JSON", err);
    mica_status status = MICA_OK;
    const mica__jval objects = mica__json_get(mica__json_root(&doc), "objects");
    if (mica__json_count(objects) < n) status = bad_answer(s, "too few objects", err);
    for (mica__jval o = mica__json_first(objects); o && status == MICA_OK; o = mica__json_next(objects, o)) {
        mica__str oid = {0}, words = {0};
        const mica__upload_file *file = NULL;
        mica__json_string(mica__json_get(o, "oid"), &oid);
        for (size_t i = 0; i < n; i++)
            if (mica__str_is(oid, files[i]->hash)) file = files[i];
        const mica__jval error = mica__json_get(o, "error");
        mica__json_string(mica__json_get(error, "message"), &words);
        if (!file)
            status = bad_answer(s, "an object that was not named", err);
        else if (mica__json_is(error, MICA__JSON_OBJECT))
            status =
                mica__fail(err, MICA_ACCESS, "%s: '%s' is refused: %s", s->u->id, file->path, MICA_QUOTED_STR(words));
        else
            status = add_object(s, file, mica__json_get(o, "actions"), err);
    }
    mica__json_release(&doc);
    return status;
}

static mica_status ask_batch(sending *s, const mica__upload_file *const *files, size_t n, mica_error *err)
{
    mica__buf url = {0}, body = {0};
    mica__reply reply;
    mica__buf_printf(&url, "/%s.git/info/lfs/objects/batch", s->u->id);
    mica__buf_append_z(&body,
                       "{\"operation\":\"upload\",\"transfers\":[\"basic\",\"multipart\"],\"hash_algo\":\"sha256\"");
    if (!s->u->o->pull_request) {
        mica__buf_append_z(&body, ",\"ref\":{\"name\":");
        mica__json_write_string(&body, mica__str_from(s->u->revision), true);
        mica__buf_append_z(&body, "}");
    }
    mica__buf_append_z(&body, ",\"objects\":[");
    for (size_t i = 0; i < n; i++)
        mica__buf_printf(&body, "%s{\"oid\":\"%s\",\"size\":%llu}", i ? "," : "", files[i]->hash,
                         (unsigned long long)files[i]->size);
    mica__buf_append_z(&body, "]}");
    mica_status status = mica__buf_status(&url, err, "an address");
    if (status == MICA_OK) status = mica__upload_post(s->u, url.p, lfs_json, &body, true, NULL, &reply, err);
    if (status == MICA_OK) status = read_batch(s, files, n, err);
    mica__buf_release(&url);
    mica__buf_release(&body);
    return status;
}

static int by_hash(const void *a, const void *b)
{
    return strcmp((*(const mica__upload_file *const *)a)->hash, (*(const mica__upload_file *const *)b)->hash);
}

/* Asks for all large files, each content once, 256 at a time. */
static mica_status ask(sending *s, mica_error *err)
{
    const mica__upload_file **files = mica__alloc(s->u->n + 1, sizeof *files);
    if (!files) return no_memory(err);
    size_t n = 0, n_once = 0;
    for (size_t i = 0; i < s->u->n; i++)
        if (s->u->files[i].large && !s->u->files[i].skip) files[n++] = &s->u->files[i];
    qsort(files, n, sizeof *files, by_hash);
    for (size_t i = 0; i < n; i++)
        if (n_once == 0 || strcmp(files[n_once - 1]->hash, files[i]->hash) != 0) files[n_once++] = files[i];
    mica_status status = MICA_OK;
    for (size_t i = 0; i < n_once && status == MICA_OK; i += BATCH)
        status = ask_batch(s, files + i, n_once - i < BATCH ? n_once - i : BATCH, err);
    mica__free(files);
    return status;
}

/* ---- sending ------------------------------------------------------------------------------------------------------------------ */

static mica_status put(sending *s, piece *p, mica__http *http, mica_error *err)
{
    mica__reply reply;
    mica__buf text = {0};
    const int fd = open(p->file->full, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return mica__fail_errno(err, errno, "open", p->file->full);
    const mica__request request = {.method = "PUT",
                                   .url = p->url,
                                   .body_fd = fd,
                                   .body_offset = p->offset,
                                   .body_bytes = p->n,
                                   .sent = &p->sent,
                                   .no_token = true,
                                   .silence = s->u->settings.data_seconds};
    mica_status status = mica__http_send_patiently(http, &request, &reply, &text, err);
    if (status == MICA_OK && (reply.status < 200 || reply.status > 299)) {
        const mica__subject subject = {
            .id = s->u->id, .revision = s->u->revision, .file = p->file->path, .writing = true};
        status = mica__hub_explain(&s->net, &subject, &reply, &text, err);
    }
    memcpy(p->etag, reply.part_etag, sizeof p->etag);
    mica__buf_release(&text);
    close(fd);
    return status;
}

static void *worker(void *context)
{
    sending *s = context;
    mica_error err;
    mica__http *http;
    const mica_status created = mica__http_create(&http, &s->net, &err);
    pthread_mutex_lock(&s->lock);
    bool good = created == MICA_OK;
    while (good && !s->failed && s->next < s->n_pieces) {
        piece *p = &s->pieces[s->next++];
        pthread_mutex_unlock(&s->lock);
        good = put(s, p, http, &err) == MICA_OK;
        pthread_mutex_lock(&s->lock);
    }
    if (!good && !s->failed) {
        s->failed = true;
        s->err = err;
        atomic_store(&s->cancel, true);
    }
    s->n_running--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    mica__http_free(http);
    return NULL;
}

/* Reports until all workers have ended. */
static void watch(sending *s)
{
    const mica_progress *progress = &s->u->o->progress;
    uint64_t total = 0;
    for (size_t i = 0; i < s->n_pieces; i++) total += s->pieces[i].n;
    pthread_mutex_lock(&s->lock);
    while (s->n_running) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&s->changed, &s->lock, &until);
        uint64_t sent = 0;
        for (size_t i = 0; i < s->n_pieces; i++) sent += atomic_load(&s->pieces[i].sent);
        s->u->sent_bytes = sent;
        pthread_mutex_unlock(&s->lock);
        const bool go_on = !progress->report || progress->report(progress->context, "upload", sent, total);
        pthread_mutex_lock(&s->lock);
        if (!go_on && !s->failed) {
            s->failed = true;
            mica__fail(&s->err, MICA_CANCELLED, "cancelled");
            atomic_store(&s->cancel, true);
        }
    }
    pthread_mutex_unlock(&s->lock);
}

static mica_status send_pieces(sending *s, mica_error *err)
{
    pthread_t threads[MAX_CONNECTIONS];
    int wanted = s->u->o->n_connections > 0 ? s->u->o->n_connections : 4, n = 0;
    if (wanted > MAX_CONNECTIONS) wanted = MAX_CONNECTIONS;
    if ((size_t)wanted > s->n_pieces) wanted = (int)s->n_pieces;
    mica_status status = MICA_OK;
    while (n < wanted && status == MICA_OK) {
        pthread_mutex_lock(&s->lock);
        s->n_running++;
        pthread_mutex_unlock(&s->lock);
        status = mica__thread_start(&threads[n], worker, s, err);
        if (status == MICA_OK) n++;
    }
    if (status != MICA_OK) {
        pthread_mutex_lock(&s->lock);
        s->n_running--;
        if (n == 0) s->failed = true; /* otherwise fewer do it */
        pthread_mutex_unlock(&s->lock);
        if (n == 0) return status;
    }
    watch(s);
    for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
    if (!s->failed) return MICA_OK;
    if (err) *err = s->err;
    return s->err.status;
}

/* ---- confirming ----------------------------------------------------------------------------------------------------------------- */

static mica_status complete(sending *s, const object *o, mica_error *err)
{
    mica__buf body = {0};
    mica__reply reply;
    mica__buf_printf(&body, "{\"oid\":\"%s\",\"parts\":[", o->file->hash);
    for (size_t i = 0; i < o->n; i++) {
        const piece *p = &s->pieces[o->first + i];
        mica__buf_printf(&body, "%s{\"partNumber\":%d,\"etag\":", i ? "," : "", p->number);
        mica__json_write_string(&body, mica__str_from(p->etag), true);
        mica__buf_append_z(&body, "}");
    }
    mica__buf_append_z(&body, "]}");
    const mica_status status = mica__upload_post(s->u, o->complete, lfs_json, &body, true, NULL, &reply, err);
    mica__buf_release(&body);
    return status;
}

static mica_status verify(sending *s, const object *o, mica_error *err)
{
    mica__buf body = {0};
    mica__reply reply;
    mica__buf_printf(&body, "{\"oid\":\"%s\",\"size\":%llu}", o->file->hash, (unsigned long long)o->file->size);
    const mica_status status = mica__upload_post(s->u, o->verify, lfs_json, &body, true, NULL, &reply, err);
    mica__buf_release(&body);
    return status;
}

mica_status mica__upload_large(mica__upload *u, mica_error *err)
{
    sending s = {.u = u};
    s.net = (mica__net){.settings = &u->settings, .cancel = &s.cancel};
    pthread_mutex_init(&s.lock, NULL);
    pthread_cond_init(&s.changed, NULL);
    mica_status status = ask(&s, err);
    if (status == MICA_OK && s.n_pieces) status = send_pieces(&s, err);
    for (size_t i = 0; i < s.n_objects && status == MICA_OK; i++) {
        if (s.objects[i].complete) status = complete(&s, &s.objects[i], err);
        if (status == MICA_OK && s.objects[i].verify) status = verify(&s, &s.objects[i], err);
    }
    pthread_cond_destroy(&s.changed);
    pthread_mutex_destroy(&s.lock);
    mica__free(s.pieces);
    mica__free(s.objects);
    return status;
}
