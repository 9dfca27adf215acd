/* hub/http.c: requests through libcurl's easy interface, one handle for each thread, connections kept between requests. */
#include "http.h"
#include "late.h"
#include "base/json.h"
#include "base/memory.h"

#include <errno.h>
#include <mica/version.h>
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { MAX_REDIRECTS = 5, MAX_ATTEMPTS = 5 };
/* A server that sends or takes less than this in the time that silence may last counts as silent. */
static const curl_off_t least_moved = 1024;
static const size_t max_text = (size_t)48 << 20, max_error_text = (size_t)64 << 10;

struct mica__http {
    const mica__net *net;
    CURL *curl;
    char *final_url;

    /* of the request under way */
    const mica__request *request;
    mica__reply *reply;
    mica__buf *text;
    uint64_t n_sent; /* of the body */
    double last_moved;
    curl_off_t moved;
    bool silent, local, refused; /* stopped because of silence; by the guard; by the sink, which filled *err */
    bool guarded, allow_loopback;
    mica_error *err;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

mica_status mica__http_create(mica__http **out, const mica__net *net, mica_error *err)
{
    *out = NULL;
    MICA_TRY(mica__late_load(err));
    *out = mica__calloc(1, sizeof **out);
    if (!*out) return mica__fail_memory(err, sizeof **out, "a connection");
    (*out)->net = net;
    (*out)->curl = curl_easy_init();
    if ((*out)->curl) return MICA_OK;
    mica__http_free(*out);
    *out = NULL;
    return mica__fail_memory(err, 1, "a connection");
}

void mica__http_free(mica__http *h)
{
    if (!h) return;
    if (h->curl) curl_easy_cleanup(h->curl);
    mica__free(h->final_url);
    mica__free(h);
}

const char *mica__http_final_url(const mica__http *h) { return h->final_url; }

static bool is_cancelled(const mica__net *net)
{
    const mica_progress *p = net->progress;
    return (net->cancel && atomic_load(net->cancel)) || (p && p->report && !p->report(p->context, "connect", 0, 0));
}

/* ---- libcurl's callbacks ---------------------------------------------------------------------------------------------- */

static size_t on_header(char *line, size_t size, size_t n, void *context)
{
    mica__http *h = context;
    mica__reply_header(h->reply, line, size * n);
    return size * n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *context)
{
    mica__http *h = context;
    n *= size;
    const bool good = h->reply->status >= 200 && h->reply->status < 300;
    if (good && h->request->sink) {
        if (h->request->sink(h->request->context, h->reply, bytes, n, h->err)) return n;
        h->refused = true;
        return 0;
    }
    if (!h->text) return n;
    if (good && h->text->n + n > max_text) {
        char origin[300];
        mica__fail(h->err, MICA_LIMIT, "%s: the answer is longer than %zu MiB", mica__url_origin(h->final_url, origin),
                   max_text >> 20);
        h->refused = true;
        return 0;
    }
    if (good || h->text->n + n <= max_error_text) mica__buf_append(h->text, bytes, n);
    return n;
}

static size_t on_send(char *out, size_t size, size_t n, void *context)
{
    mica__http *h = context;
    const mica__request *r = h->request;
    const uint64_t whole = r->body_bytes ? r->body_bytes : r->body.n;
    if (n * size > whole - h->n_sent)
        n = (size_t)(whole - h->n_sent);
    else
        n *= size;
    if (r->body_bytes) {
        const ssize_t got = n ? pread(r->body_fd, out, n, (off_t)(r->body_offset + h->n_sent)) : 0;
        if (got < 0 || (got == 0 && n)) return CURL_READFUNC_ABORT;
        n = (size_t)got;
    } else if (n) {
        memcpy(out, r->body.p + h->n_sent, n);
    }
    h->n_sent += n;
    if (r->sent) atomic_store(r->sent, h->n_sent);
    return n;
}

static int on_rewind(void *context, curl_off_t offset, int origin)
{
    mica__http *h = context;
    if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_FAIL;
    h->n_sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static int on_progress(void *context, curl_off_t total_down, curl_off_t down, curl_off_t total_up, curl_off_t up)
{
    (void)total_down, (void)total_up;
    mica__http *h = context;
    if (is_cancelled(h->net)) return 1;
    const double limit = h->request->silence > 0 ? h->request->silence : h->net->settings->api_seconds;
    const double t = now();
    if (down + up - h->moved >= least_moved) {
        h->moved = down + up;
        h->last_moved = t;
    }
    h->silent = t - h->last_moved > limit;
    return h->silent;
}

static curl_socket_t on_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    mica__http *h = context;
    (void)purpose;
    if (h->guarded) {
        const mica__address_kind kind = mica__address_kind_of(&address->addr);
        h->local = kind == MICA__ADDRESS_PRIVATE || (kind == MICA__ADDRESS_LOOPBACK && !h->allow_loopback);
        if (h->local) return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- one request ---------------------------------------------------------------------------------------------------------- */

static bool behind_proxy(void)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value && value[0]) return true;
    }
    return false;
}

/* What libcurl's own program reads, and OpenSSL's names for the same. */
static void set_certificates(CURL *c)
{
    static const char *const files[] = {"CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *value = getenv(files[i]);
        if (!value || !value[0]) continue;
        curl_easy_setopt(c, CURLOPT_CAINFO, value);
        break;
    }
    const char *folder = getenv("SSL_CERT_DIR");
    if (folder && folder[0]) curl_easy_setopt(c, CURLOPT_CAPATH, folder);
}

static void set_common(mica__http *h, const char *url)
{
    CURL *c = h->curl;
    const mica__request *r = h->request;
    const double silence = r->silence > 0 ? r->silence : h->net->settings->api_seconds;
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(c, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "mica/" MICA_VERSION);
    curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 128L * 1024);
    curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)(silence * 1000));
    if (r->seconds > 0) curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(r->seconds * 1000));
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, h);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, h);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, h);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, h);
    set_certificates(c);
}

static void set_body(mica__http *h)
{
    CURL *c = h->curl;
    const mica__request *r = h->request;
    h->n_sent = 0;
    if (r->sent) atomic_store(r->sent, 0);
    if (strcmp(r->method, "HEAD") == 0) curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    if (strcmp(r->method, "POST") == 0) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->body.p ? r->body.p : "");
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
    }
    if (strcmp(r->method, "PUT") == 0) {
        curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)(r->body_bytes ? r->body_bytes : r->body.n));
        curl_easy_setopt(c, CURLOPT_READFUNCTION, on_send);
        curl_easy_setopt(c, CURLOPT_READDATA, h);
        curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_rewind);
        curl_easy_setopt(c, CURLOPT_SEEKDATA, h);
    }
}

/* Appends "name: value"; false without memory. */
static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    mica__buf line = {0};
    mica__buf_printf(&line, "%s: %s", name, value);
    struct curl_slist *longer = line.failed ? NULL : curl_slist_append(*list, line.p);
    if (line.p) explicit_bzero(line.p, line.n);
    mica__buf_release(&line);
    if (longer) *list = longer;
    return longer;
}

static bool set_headers(mica__http *h, const char *url, struct curl_slist **list)
{
    const mica__request *r = h->request;
    const mica__hub_settings *s = h->net->settings;
    bool good = add_header(list, "Accept-Encoding", "identity");
    struct curl_slist *longer = good ? curl_slist_append(*list, "Expect:") : NULL; /* no waiting for 100 Continue */
    if (longer) *list = longer;
    good = longer;
    if (r->accept) good = good && add_header(list, "Accept", r->accept);
    if (r->content_type) good = good && add_header(list, "Content-Type", r->content_type);
    for (size_t i = 0; i < r->n_headers && good; i++) {
        longer = curl_slist_append(*list, r->headers[i]);
        if (longer) *list = longer;
        good = longer;
    }
    if (good && s->token && !r->no_token && mica__url_same_origin(url, s->endpoint)) {
        char value[4096];
        good = snprintf(value, sizeof value, "Bearer %s", s->token) < (int)sizeof value;
        good = good && add_header(list, "Authorization", value);
        explicit_bzero(value, sizeof value);
    }
    if (good && r->ranged) {
        char value[64];
        snprintf(value, sizeof value, "bytes=%llu-%llu", (unsigned long long)r->range_begin,
                 (unsigned long long)r->range_end);
        good = add_header(list, "Range", value);
    }
    return good;
}

static mica__failure failure_of(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_ABORTED_BY_CALLBACK: /* silence */
        return MICA__FAILURE_PASSING;
    default:
        return MICA__FAILURE_FINAL;
    }
}

static mica_status explain(mica__http *h, CURLcode code, mica__failure *failure)
{
    char origin[300];
    const char *where = mica__url_origin(h->final_url, origin);
    *failure = MICA__FAILURE_FINAL;
    if (h->refused) return h->err && h->err->status != MICA_OK ? h->err->status : MICA_UNAVAILABLE;
    if (code == CURLE_ABORTED_BY_CALLBACK && !h->silent) return mica__fail(h->err, MICA_CANCELLED, "cancelled");
    if (h->local)
        return mica__fail(h->err, MICA_UNAVAILABLE,
                          "%s is an address of this machine or its private network: redirect refused", where);
    if (code == CURLE_OUT_OF_MEMORY) return mica__fail_memory(h->err, 1, "a request");
    *failure = failure_of(code);
    const char *why = h->silent || code == CURLE_OPERATION_TIMEDOUT ? "it does not answer" : curl_easy_strerror(code);
    return mica__fail(h->err, MICA_UNAVAILABLE, "cannot reach %s: %s", where, why);
}

/* One exchange without redirects. */
static mica_status exchange(mica__http *h, const char *url, mica__failure *failure)
{
    struct curl_slist *headers = NULL;
    set_common(h, url);
    set_body(h);
    mica_status status = MICA_OK;
    *failure = MICA__FAILURE_FINAL;
    if (!set_headers(h, url, &headers)) {
        status = mica__fail_memory(h->err, 1, "a request");
    } else {
        curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
        h->silent = h->local = h->refused = false;
        h->moved = 0;
        h->last_moved = now();
        h->reply->status = 0;
        const CURLcode code = curl_easy_perform(h->curl);
        *failure = MICA__FAILURE_NONE;
        if (code != CURLE_OK) status = explain(h, code, failure);
    }
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
    for (struct curl_slist *one = headers; one; one = one->next) explicit_bzero(one->data, strlen(one->data));
    curl_slist_free_all(headers);
    return status;
}

static bool set_final_url(mica__http *h, const char *base, const char *url)
{
    mica__buf whole = {0};
    mica__buf_append_z(&whole, base);
    mica__buf_append_z(&whole, url);
    mica__free(h->final_url);
    h->final_url = mica__buf_take(&whole);
    return h->final_url;
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

mica_status mica__http_send(mica__http *h, const mica__request *request, mica__reply *reply, mica__buf *text,
                            mica__failure *failure, mica_error *err)
{
    mica_error dropped;
    const char *endpoint = h->net->settings->endpoint;
    *failure = MICA__FAILURE_FINAL;
    *reply = (mica__reply){0};
    h->request = request;
    h->reply = reply;
    h->text = text;
    h->err = err ? err : &dropped;
    h->err->status = MICA_OK;
    const bool below = request->url[0] == '/';
    if (!set_final_url(h, below ? endpoint : "", request->url))
        return mica__fail_memory(err, strlen(request->url), "an address");
    /* Addresses that a server gave us in a body (parts of an upload) are held to the same rules as redirects. */
    h->guarded = false;
    char *next = NULL;
    if (!below && !mica__url_same_origin(h->final_url, endpoint)) {
        MICA_TRY(mica__url_follow(&next, endpoint, h->final_url, endpoint, err));
        mica__free(next);
        h->guarded = !behind_proxy();
    }
    h->allow_loopback = strncasecmp(endpoint, "http:", 5) == 0 && mica__url_is_loopback(endpoint);
    for (int hop = 0;; hop++) {
        if (text) mica__buf_clear(text);
        MICA_TRY(exchange(h, h->final_url, failure));
        if (!is_redirect(reply->status) || !reply->location[0] || request->no_redirect) return MICA_OK;
        *failure = MICA__FAILURE_FINAL;
        char origin[300];
        if (hop == MAX_REDIRECTS)
            return mica__fail(err, MICA_UNAVAILABLE, "%s: redirected more than %d times",
                              mica__url_origin(h->final_url, origin), MAX_REDIRECTS);
        MICA_TRY(mica__url_follow(&next, h->final_url, reply->location, endpoint, err));
        if (strcmp(request->method, "POST") == 0 && !mica__url_same_origin(next, h->final_url)) {
            mica__free(next); /* what is written to a private repository is for nobody else */
            return mica__fail(err, MICA_UNAVAILABLE, "%s redirects what is sent to it to another server: refused",
                              mica__url_origin(h->final_url, origin));
        }
        mica__free(h->final_url);
        h->final_url = next;
        h->guarded = !mica__url_same_origin(next, endpoint) && !behind_proxy();
    }
}

/* ---- patience ---------------------------------------------------------------------------------------------------------------- */

bool mica__http_is_passing(int status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

mica_status mica__http_pause(const mica__net *net, int attempt, double retry_after, mica_error *err)
{
    if (retry_after > 300)
        return mica__fail(err, MICA_UNAVAILABLE, "%s asks to wait %.0f seconds: try again then",
                          net->settings->endpoint, retry_after);
    double wait = attempt <= 1 ? 0.2 : (double)(1 << (attempt < 6 ? attempt - 2 : 4)) * 0.5;
    if (retry_after > wait) wait = retry_after;
    const double end = now() + wait;
    for (double left; (left = end - now()) > 0;) {
        if (is_cancelled(net)) return mica__fail(err, MICA_CANCELLED, "cancelled");
        if (left > 0.05) left = 0.05;
        nanosleep(&(struct timespec){.tv_nsec = (long)(left * 1e9)}, NULL);
    }
    return MICA_OK;
}

mica_status mica__http_send_patiently(mica__http *h, const mica__request *request, mica__reply *reply, mica__buf *text,
                                      mica_error *err)
{
    int n_silent = 0; /* a server that never answers is not asked as often as one that is busy */
    for (int attempt = 1;; attempt++) {
        mica__failure failure;
        const mica_status status = mica__http_send(h, request, reply, text, &failure, err);
        n_silent += h->silent;
        if (status != MICA_OK && failure != MICA__FAILURE_PASSING) return status;
        if (status == MICA_OK && !mica__http_is_passing(reply->status)) return MICA_OK;
        if (attempt == MAX_ATTEMPTS || n_silent == 2) return status;
        MICA_TRY(mica__http_pause(h->net, attempt, reply->retry_after, err));
    }
}

/* ---- the server's words ---------------------------------------------------------------------------------------------------- */

const char *mica__http_words(const mica__net *net, const mica__reply *reply, const mica__buf *text, mica__quoted *out)
{
    mica__str words = mica__str_from(reply->error_message);
    mica__json doc = {0};
    if (words.n == 0 && text && text->n && mica__json_parse(&doc, text->p, text->n, NULL, NULL) == MICA_OK)
        mica__json_string(mica__json_get(mica__json_root(&doc), "error"), &words);
    const char *token = net->settings->token;
    if (token && words.n && memmem(words.p, words.n, token, strlen(token)))
        words = MICA_STR("(words with the token in them)");
    mica__quote(out, words.p ? words.p : "", words.n);
    mica__json_release(&doc);
    return out->text;
}
