/* hub/transfer.c: requests for a chunk until it is whole. */
#include "transfer.h"
#include "base/memory.h"

enum { MAX_ATTEMPTS = 5, MAX_WRONG = 2 };
/* Less than this does not count as progress: a server that sends a byte now and then is given up. */
static const uint64_t progress_bytes = 64 * 1024;

/* One attempt. */
typedef struct attempt {
    mica__transfer *t;
    uint64_t begin, end; /* asked for, end exclusive */
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
        if (!t->alone) return true; /* others are at the other chunks: of this only what is ours */
    } else {
        return say_wrong(a, err, "answers with an unexpected status after", 0, size);
    }
    t->opened(t->context, !a->whole, mica__http_final_url(t->http));
    return true;
}

/* Takes bytes for chunk after chunk; what is there is skipped. */
static bool take(attempt *a, const char *bytes, size_t n, mica_error *err)
{
    mica__partial *p = a->t->partial;
    size_t n_new = 0;
    const size_t n_all = n;
    while (n) {
        const size_t chunk = (size_t)(a->at / p->chunk_bytes);
        const uint64_t begin = chunk * p->chunk_bytes, done = begin + atomic_load(&p->done[chunk]);
        const uint64_t end = begin + mica__partial_chunk_bytes(p, chunk);
        size_t piece = end - a->at < n ? (size_t)(end - a->at) : n;
        if (a->at < done) {
            if (done - a->at < piece) piece = (size_t)(done - a->at);
        } else if (mica__partial_write(p, chunk, bytes, piece, err) != MICA_OK) {
            a->disk = true;
            return false;
        } else {
            n_new += piece;
        }
        bytes += piece;
        n -= piece;
        a->at += piece;
    }
    a->t->arrived(a->t->context, n_all, n_new);
    return true;
}

static bool sink(void *context, const mica__reply *reply, const char *bytes, size_t n, mica_error *err)
{
    attempt *a = context;
    if (!a->started && !start(a, reply, err)) return false;
    const uint64_t end = a->whole ? a->t->partial->size : a->end;
    if (n > end - a->at) return say_wrong(a, err, "sends more than", end, end);
    if (!a->whole || a->t->alone) return take(a, bytes, n, err);
    const uint64_t skipped = a->at < a->begin ? (a->begin - a->at < n ? a->begin - a->at : n) : 0;
    a->at += skipped;
    a->t->arrived(a->t->context, (size_t)skipped, 0);
    n -= (size_t)skipped;
    if (n > a->end - a->at) n = (size_t)(a->end - a->at);
    if (n && !take(a, bytes + skipped, n, err)) return false;
    return a->at < a->end; /* then that is enough of it */
}

static bool is_whole(const mica__transfer *t)
{
    return atomic_load(&t->partial->done[t->chunk]) == mica__partial_chunk_bytes(t->partial, t->chunk);
}

/* One request. *again: it failed in a way that another one may not. */
static mica_status try_once(mica__transfer *t, bool avoid_range, mica__reply *reply, attempt *a, bool *again,
                            mica_error *err)
{
    mica__partial *p = t->partial;
    const uint64_t begin = t->chunk * p->chunk_bytes;
    *a = (attempt){.t = t,
                   .begin = begin + atomic_load(&p->done[t->chunk]),
                   .end = begin + mica__partial_chunk_bytes(p, t->chunk)};
    a->ranged = !avoid_range && (p->n_chunks > 1 || a->begin > 0);
    const mica__request request = {.method = "GET",
                                   .url = t->url ? t->url : t->resolve,
                                   .ranged = a->ranged,
                                   .range_begin = a->begin,
                                   .range_end = a->end - 1,
                                   .sink = sink,
                                   .context = a,
                                   .silence = t->net->settings->data_seconds};
    mica__buf text = {0};
    mica__failure failure;
    mica_status status = mica__http_send(t->http, &request, reply, &text, &failure, err);
    if (is_whole(t) && !a->disk && !a->wrong) status = MICA_OK;
    *again = status != MICA_OK && (failure == MICA__FAILURE_PASSING || a->wrong) && !a->disk;
    if (status == MICA_OK && !is_whole(t)) {
        *again = true;
        const bool good = reply->status == 200 || reply->status == 206;
        if (good) {
            status = mica__fail(err, MICA_UNAVAILABLE, "%s: '%s': the server sent %llu of %llu bytes", t->subject->id,
                                MICA_QUOTED(name_of(t), strlen(name_of(t))), (unsigned long long)mica__partial_done(p),
                                (unsigned long long)p->size);
        } else {
            status = mica__hub_explain(t->net, t->subject, reply, &text, err);
            *again = mica__http_is_passing(reply->status) || reply->status == 416 || (t->url && reply->status >= 400);
        }
    }
    mica__buf_release(&text);
    return status;
}

mica_status mica__transfer_run(mica__transfer *t, mica_error *err)
{
    int n_failed = 0, n_wrong = 0;
    bool avoid_range = false;
    while (!is_whole(t)) {
        mica__reply reply;
        attempt a;
        bool again;
        const uint64_t before = mica__partial_done(t->partial);
        const mica_status status = try_once(t, avoid_range, &reply, &a, &again, err);
        if (status == MICA_OK) continue;
        if (!again) return status;
        if (a.wrong && (++n_wrong == MAX_WRONG || is_whole(t)))
            return status; /* whole: what came after the end, in a piece of its own */
        if (mica__partial_done(t->partial) - before >= progress_bytes) n_failed = 0;
        if (++n_failed > MAX_ATTEMPTS) return status;
        avoid_range = t->alone && (reply.status == 416 || a.wrong);
        const bool expired = t->url && reply.status >= 400 && !mica__http_is_passing(reply.status);
        mica__free(t->url); /* a signed address may have expired, or its server be the one that is down */
        t->url = NULL;
        if (!expired) MICA_TRY(mica__http_pause(t->net, n_failed, reply.retry_after, err));
    }
    return MICA_OK;
}
