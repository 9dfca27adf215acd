/* hub/transfer.c: requests for a chunk until it is whole. */
#include "transfer.h"
#include "base/memory.h"

#include <time.h>

enum { MAX_ATTEMPTS = 5, MAX_WRONG = 2, BLOCK = 256 * 1024 };
/* Less than this does not count as progress: a server that sends a byte now and then is given up. */
static const uint64_t progress_bytes = 64 * 1024;

/* libcurl hands out 16 KiB at a time. From a fast connection they are gathered into whole blocks of the file, since a large write at a
 * round place costs a fraction of many small ones at odd places; the block stays small enough for the processor's own cache. A slow
 * connection's go to the file at once, so that nothing that arrived is lost with the program. */
typedef struct gathering {
    char *block; /* [BLOCK] */
    size_t n;    /* in it, the next bytes of `chunk` */
    size_t chunk;
    bool fast;
    double since; /* when `arrived` was last 0 */
    uint64_t arrived;
} gathering;
static const double fast_rate = 16e6, measured_seconds = 0.02; /* or measured_bytes, what comes first */
static const uint64_t measured_bytes = 1 << 20;

/* One attempt. */
typedef struct attempt {
    mica__transfer *t;
    gathering *g;
    uint64_t begin, end; /* asked for, end exclusive */
    uint64_t n_new;      /* received that was not there */
    uint64_t at;         /* where the next byte of the reply belongs */
    bool ranged;         /* a range was asked for */
    bool started, whole; /* the reply has begun; it is the whole file */
    bool wrong;          /* it is not what was asked for */
    bool disk;           /* writing failed */
} attempt;

static const char *name_of(const mica__transfer *t) { return t->subject->file; }

static bool say_wrong(attempt *a, mica_error *err, const char *what, uint64_t found, uint64_t expected)
{
    a->wrong = true;
    mica__fail(err, MICA_UNAVAILABLE, "%s: '%s': the server %s %llu bytes, expected %llu", a->t->subject->id,
               MICA_QUOTED(name_of(a->t), strlen(name_of(a->t))), what, (unsigned long long)found,
               (unsigned long long)expected);
    return false;
}

/* The reply has begun: is it what was asked for, and where does it go? */
static bool start(attempt *a, const mica__reply *reply, mica_error *err)
{
    mica__transfer *t = a->t;
    const uint64_t size = t->partial->size;
    a->started = true;
    if (reply->has_linked_size && reply->linked_size != size)
        return say_wrong(a, err, "has a file of", reply->linked_size, size);
    if (reply->status == 206 && a->ranged) {
        if (!reply->has_range) return say_wrong(a, err, "does not say where it begins; asked for", a->begin, a->begin);
        if (reply->range_total != size) return say_wrong(a, err, "has a file of", reply->range_total, size);
        if (reply->range_begin != a->begin)
            return say_wrong(a, err, "begins at a wrong place after", reply->range_begin, a->begin);
        a->at = a->begin;
        if (t->partial->n_chunks > 1) t->alone = false; /* others may join in from now on */
    } else if (reply->status == 200) {
        if (reply->has_length && reply->length != size) return say_wrong(a, err, "offers", reply->length, size);
        a->whole = true;
        a->at = 0;
        a->end = t->chunk * t->partial->chunk_bytes + mica__partial_chunk_bytes(t->partial, t->chunk);
        if (!t->alone) {
            t->refused = true;
            mica__fail(err, MICA_UNAVAILABLE, "the server does not give ranges any more");
            return false;
        }
    } else {
        return say_wrong(a, err, "answers with an unexpected status after", 0, size);
    }
    t->opened(t->context, !a->whole, mica__http_final_url(t->http));
    return true;
}

static mica_status put_down(attempt *a, mica_error *err)
{
    gathering *g = a->g;
    const size_t n = g->n;
    g->n = 0;
    return n ? mica__partial_write(a->t->partial, g->chunk, g->block, n, err) : MICA_OK;
}

/* How far a chunk is, from its beginning, with what was gathered. */
static uint64_t done_of(const attempt *a, size_t chunk)
{
    return atomic_load(&a->t->partial->done[chunk]) + (a->g->n && a->g->chunk == chunk ? a->g->n : 0);
}

/* The next bytes of a chunk, no more than it lacks. */
static mica_status put(attempt *a, size_t chunk, const char *bytes, size_t n, mica_error *err)
{
    gathering *g = a->g;
    const mica__partial *p = a->t->partial;
    if (g->n && g->chunk != chunk) MICA_TRY(put_down(a, err));
    if (g->fast && !g->block) g->block = mica__alloc(BLOCK, 1);
    if (!g->fast || !g->block) {
        MICA_TRY(put_down(a, err));
        return mica__partial_write(a->t->partial, chunk, bytes, n, err);
    }
    g->chunk = chunk;
    while (n) {
        const uint64_t at = done_of(a, chunk), left = BLOCK - (chunk * p->chunk_bytes + at) % BLOCK;
        const size_t piece = n < left ? n : (size_t)left;
        memcpy(g->block + g->n, bytes, piece);
        g->n += piece;
        bytes += piece;
        n -= piece;
        if (piece == left || at + piece == mica__partial_chunk_bytes(p, chunk)) MICA_TRY(put_down(a, err));
    }
    return MICA_OK;
}

static void measure(gathering *g, size_t n)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    const double now = (double)t.tv_sec + (double)t.tv_nsec * 1e-9, elapsed = now - g->since;
    g->arrived += n;
    if (elapsed < measured_seconds && g->arrived < measured_bytes) return;
    g->fast = (double)g->arrived > fast_rate * elapsed;
    g->arrived = 0;
    g->since = now;
}

/* Takes bytes for chunk after chunk; what is there is skipped. */
static bool take(attempt *a, const char *bytes, size_t n, mica_error *err)
{
    mica__partial *p = a->t->partial;
    size_t n_new = 0;
    const size_t n_all = n;
    measure(a->g, n);
    while (n) {
        const size_t chunk = (size_t)(a->at / p->chunk_bytes);
        const uint64_t begin = chunk * p->chunk_bytes, done = begin + done_of(a, chunk);
        const uint64_t end = begin + mica__partial_chunk_bytes(p, chunk);
        size_t piece = end - a->at < n ? (size_t)(end - a->at) : n;
        if (a->at < done) {
            if (done - a->at < piece) piece = (size_t)(done - a->at);
        } else if (put(a, chunk, bytes, piece, err) != MICA_OK) {
            a->disk = true;
            return false;
        } else {
            n_new += piece;
        }
        bytes += piece;
        n -= piece;
        a->at += piece;
    }
    a->n_new += n_new;
    a->t->arrived(a->t->context, n_all, n_new);
    return true;
}

static bool sink(void *context, const mica__reply *reply, const char *bytes, size_t n, mica_error *err)
{
    attempt *a = context;
    if (!a->started && !start(a, reply, err)) return false;
    const uint64_t end = a->whole ? a->t->partial->size : a->end;
    if (n > end - a->at) return say_wrong(a, err, "sends more than", end, end);
    return take(a, bytes, n, err);
}

static bool is_whole(const mica__transfer *t)
{
    return atomic_load(&t->partial->done[t->chunk]) == mica__partial_chunk_bytes(t->partial, t->chunk);
}

/* Has all come that was asked for, and is in the file? */
static bool is_served(const attempt *a)
{
    const mica__partial *p = a->t->partial;
    return a->started && a->t->chunk * p->chunk_bytes + atomic_load(&p->done[a->t->chunk]) >= a->end;
}

static mica_status say_short(const attempt *a, const mica__reply *reply, const mica__buf *text, bool *again,
                             mica_error *err)
{
    const mica__transfer *t = a->t;
    *again = true;
    if (reply->status == 200 || reply->status == 206)
        return mica__fail(err, MICA_UNAVAILABLE, "%s: '%s': the server sent %llu of %llu bytes", t->subject->id,
                          MICA_QUOTED(name_of(t), strlen(name_of(t))),
                          (unsigned long long)mica__partial_done(t->partial), (unsigned long long)t->partial->size);
    *again = mica__http_is_passing(reply->status) || reply->status == 416 || (t->url && reply->status >= 400);
    return mica__hub_explain(t->net, t->subject, reply, text, err);
}

/* Later requests for the chunk need no redirect. */
static void keep_url(mica__transfer *t)
{
    const char *url = mica__http_final_url(t->http);
    if (!t->url && url) t->url = mica__strndup(url, strlen(url)); /* without memory: redirected once more */
}

/* One request. *again: it failed in a way that another one may not. */
static mica_status try_once(mica__transfer *t, gathering *g, bool avoid_range, mica__reply *reply, attempt *a,
                            bool *again, mica_error *err)
{
    mica__partial *p = t->partial;
    const uint64_t begin = t->chunk * p->chunk_bytes + atomic_load(&p->done[t->chunk]);
    const uint64_t end = t->chunk * p->chunk_bytes + mica__partial_chunk_bytes(p, t->chunk);
    *again = false;
    *a = (attempt){.t = t, .g = g, .begin = begin, .end = end};
    a->ranged = !avoid_range && (p->n_chunks > 1 || begin > 0);
    const uint64_t asked = a->ranged ? t->turn(t->context, end - begin) : 0;
    if (a->ranged && !asked) return mica__fail(err, MICA_CANCELLED, "cancelled");
    if (asked) a->end = begin + asked;
    const mica__request request = {.method = "GET",
                                   .url = t->url ? t->url : t->resolve,
                                   .ranged = a->ranged,
                                   .range_begin = begin,
                                   .range_end = a->end - 1,
                                   .sink = sink,
                                   .context = a,
                                   .silence = t->net->settings->data_seconds};
    mica__buf text = {0};
    mica__failure failure;
    mica_status status = mica__http_send(t->http, &request, reply, &text, &failure, err);
    const mica_status rest = put_down(a, a->disk ? NULL : err);
    if (rest != MICA_OK && !a->disk) {
        a->disk = true;
        status = rest;
    }
    if (is_served(a) && !a->disk && !a->wrong) status = MICA_OK;
    *again = status != MICA_OK && (failure == MICA__FAILURE_PASSING || a->wrong) && !a->disk;
    if (status == MICA_OK && !is_served(a)) status = say_short(a, reply, &text, again, err);
    if (asked) t->over(t->context, asked, a->n_new < asked ? a->n_new : asked, !a->started || a->whole);
    if (status == MICA_OK && !a->whole) keep_url(t);
    mica__buf_release(&text);
    return status;
}

static mica_status run(mica__transfer *t, gathering *g, mica_error *err)
{
    int n_failed = 0, n_wrong = 0;
    bool avoid_range = false;
    while (!is_whole(t)) {
        mica__reply reply = {0};
        attempt a;
        bool again;
        const uint64_t before = mica__partial_done(t->partial);
        const mica_status status = try_once(t, g, avoid_range, &reply, &a, &again, err);
        if (mica__partial_done(t->partial) - before >= progress_bytes) n_failed = 0;
        if (status == MICA_OK) continue;
        if (t->refused) return MICA_OK;
        if (!again) return status;
        if (a.wrong && (++n_wrong == MAX_WRONG || is_whole(t)))
            return status; /* whole: what came after the end, in a piece of its own */
        if (++n_failed > MAX_ATTEMPTS) return status;
        avoid_range = t->alone && (reply.status == 416 || a.wrong);
        const bool expired = t->url && reply.status >= 400 && !mica__http_is_passing(reply.status);
        mica__free(t->url); /* a signed address may have expired, or its server be the one that is down */
        t->url = NULL;
        if (!expired) MICA_TRY(mica__http_pause(t->net, n_failed, reply.retry_after, err));
    }
    return MICA_OK;
}

mica_status mica__transfer_run(mica__transfer *t, mica_error *err)
{
    gathering g = {0};
    const mica_status status = run(t, &g, err);
    mica__free(g.block);
    return status;
}
