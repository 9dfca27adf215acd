/* fuzz/fuzz_hub_reply.c: any bytes as the header lines of replies; where the redirects in them may lead; what is kept is safe. */
#include "base/memory.h"
#include "hub/address.h"
#include "hub/names.h"
#include "hub/reply.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(const mica__reply *r)
{
    if (r->etag[0] && !mica__hub_is_hash(mica__str_from(r->etag))) abort();
    if (r->linked_etag[0] && !mica__hub_is_hash(mica__str_from(r->linked_etag))) abort();
    if (r->commit[0] && !mica__hub_is_commit(mica__str_from(r->commit))) abort();
    if (r->has_range && (r->range_begin > r->range_end || r->range_end >= r->range_total)) abort();
    if (r->retry_after < 0) abort();
}

/* A redirect that is allowed leads to http or https, and from a server out there never to this machine. */
static void follow(const char *from, const char *to, const char *endpoint)
{
    mica_error err;
    char *url;
    if (mica__url_follow(&url, from, to, endpoint, &err) != MICA_OK) return;
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) abort();
    const bool own = mica__url_same_origin(url, endpoint);
    if (!own && endpoint[4] == 's' && (url[4] != 's' || mica__url_is_loopback(url))) abort();
    mica__free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    mica__reply r = {0};
    const char *p = (const char *)bytes, *end = p + n;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *next = newline ? newline + 1 : end;
        mica__reply_header(&r, p, (size_t)(next - p));
        check(&r);
        p = next;
    }
    follow("https://hub.example/a/b", r.location, "https://hub.example");
    follow("http://127.0.0.1:8000/a/b", r.location, "http://127.0.0.1:8000");
    follow("https://hub.example/api", r.next, "https://hub.example");
    return 0;
}
