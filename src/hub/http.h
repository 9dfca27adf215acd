/* hub/http.h: one HTTP request at a time over a kept connection, with the rules that hold for all of ours.
 *
 * The token goes to the endpoint's origin (scheme, host, port) and nowhere else. Redirects are followed here, not by libcurl: at most
 * five, never from https to http, never to an address of this machine or its private network, unless the endpoint is itself plain http
 * on this machine and the target is, too. Nothing a server sends is printed unquoted, and the token is cut out of it. */
#ifndef MICA_HUB_HTTP_H
#define MICA_HUB_HTTP_H

#include "address.h"
#include "reply.h"
#include "settings.h"
#include <mica/progress.h>
#include <stdatomic.h>

/* What all connections of one call share. */
typedef struct mica__net {
    const mica__hub_settings *settings;
    const atomic_bool *cancel;     /* polled while waiting; NULL: never */
    const mica_progress *progress; /* the same by asking the caller ("connect"), in the calling thread; NULL: not */
} mica__net;

typedef struct mica__http mica__http; /* for one thread at a time */

mica_status mica__http_create(mica__http **out, const mica__net *net, mica_error *err);
void mica__http_free(mica__http *h); /* NULL allowed */

/* Takes the body of a 2xx reply; false: stop, the request fails with *err, which it filled. */
typedef bool (*mica__sink)(void *context, const mica__reply *reply, const char *bytes, size_t n, mica_error *err);

typedef struct mica__request {
    const char *method; /* "GET", "HEAD", "POST", "PUT" */
    const char *url;    /* whole; or a path of the endpoint if it begins with "/" */
    const char *accept, *content_type;
    const char *const *headers; /* [n_headers] further ones, "Name: value" */
    size_t n_headers;
    mica__str body; /* of POST and PUT */
    int body_fd;    /* with body_bytes > 0: PUT these bytes of a file from body_offset instead */
    uint64_t body_offset, body_bytes;
    _Atomic uint64_t *sent; /* set to how much of the file was sent; NULL: nobody asks */
    bool ranged;            /* ask for [range_begin, range_end] */
    uint64_t range_begin, range_end;
    bool no_token;    /* not even to the endpoint: the address itself is the permission */
    bool no_redirect; /* report a redirect instead of following it */
    mica__sink sink;  /* NULL: the body is appended to `text` */
    void *context;
    double seconds; /* the whole request may take; 0: no limit */
    double silence; /* nothing came or went for so long: failed; 0: the settings' api_seconds */
} mica__request;

/* How a request failed before there was a whole reply. */
typedef enum mica__failure {
    MICA__FAILURE_NONE,
    MICA__FAILURE_PASSING, /* timeout, refused, reset, cut: the same again may work */
    MICA__FAILURE_FINAL,   /* certificate, redirect, sink, memory */
} mica__failure;

/* MICA_OK: there was a reply, of whatever status; its body, cut at 16 MiB for a listing and 64 kB for an error, is in `text`
 * unless the sink took it. */
mica_status mica__http_send(mica__http *h, const mica__request *request, mica__reply *reply, mica__buf *text,
                            mica__failure *failure, mica_error *err);
/* The same, up to five times: after passing failures and 408, 429, 500, 502, 503, 504, waiting as the server asks. */
mica_status mica__http_send_patiently(mica__http *h, const mica__request *request, mica__reply *reply, mica__buf *text,
                                      mica_error *err);
/* The address that the last request ended at, after redirects. */
const char *mica__http_final_url(const mica__http *h);

bool mica__http_is_passing(int status);
/* Waits before attempt number `attempt` (1, 2, ...), or as long as the server asked. CANCELLED; UNAVAILABLE if it asks for more than five minutes. */
mica_status mica__http_pause(const mica__net *net, int attempt, double retry_after, mica_error *err);

/* The server's own words about a failure (X-Error-Message, or "error" of a JSON body), quoted, without the token; "" if there are none. */
const char *mica__http_words(const mica__net *net, const mica__reply *reply, const mica__buf *text, mica__quoted *out);

#endif
