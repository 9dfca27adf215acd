/* hub/address.c: web addresses, taken apart by libcurl's own parser, so that we and it never read one differently. */
#include "address.h"
#include "base/memory.h"
#include "base/str.h"
#include "late.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <strings.h>

typedef struct parts {
    char *scheme, *host, *port;
} parts;

static void parts_release(parts *p)
{
    curl_free(p->scheme);
    curl_free(p->host);
    curl_free(p->port);
    *p = (parts){0};
}

static bool parts_of(parts *out, const char *url)
{
    *out = (parts){0};
    if (mica__late_load(NULL)) return false;
    CURLU *u = curl_url();
    const bool good = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
                      curl_url_get(u, CURLUPART_SCHEME, &out->scheme, 0) == CURLUE_OK &&
                      curl_url_get(u, CURLUPART_HOST, &out->host, 0) == CURLUE_OK &&
                      curl_url_get(u, CURLUPART_PORT, &out->port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                      (strcmp(out->scheme, "http") == 0 || strcmp(out->scheme, "https") == 0);
    curl_url_cleanup(u);
    if (!good) parts_release(out);
    return good;
}

bool mica__url_same_origin(const char *a, const char *b)
{
    parts x, y;
    if (!parts_of(&x, a)) return false;
    bool same = parts_of(&y, b);
    if (same) {
        same = strcmp(x.scheme, y.scheme) == 0 && strcasecmp(x.host, y.host) == 0 && strcmp(x.port, y.port) == 0;
        parts_release(&y);
    }
    parts_release(&x);
    return same;
}

const char *mica__url_origin(const char *url, char out[300])
{
    parts p;
    if (!parts_of(&p, url)) return strcpy(out, "an address that is none");
    const bool usual = strcmp(p.port, strcmp(p.scheme, "https") == 0 ? "443" : "80") == 0;
    snprintf(out, 300, "%s://%.200s%s%s", p.scheme, p.host, usual ? "" : ":", usual ? "" : p.port);
    parts_release(&p);
    return out;
}

/* ---- what is local -------------------------------------------------------------------------------------------------------- */

static mica__address_kind kind_of_v4(uint32_t a) /* host byte order */
{
    if (a >> 24 == 127) return MICA__ADDRESS_LOOPBACK;
    if (a >> 24 == 0 || a >> 24 == 10 || a >> 20 == (172 << 4 | 1) || a >> 16 == (192 << 8 | 168) ||
        a >> 16 == (169 << 8 | 254) || a >> 22 == (100 << 2 | 1) || a >> 28 >= 14)
        return MICA__ADDRESS_PRIVATE;
    return MICA__ADDRESS_PUBLIC;
}

static mica__address_kind kind_of_v6(const uint8_t a[16])
{
    static const uint8_t zeros[15];
    if (memcmp(a, zeros, 15) == 0) return a[15] == 1 ? MICA__ADDRESS_LOOPBACK : MICA__ADDRESS_PRIVATE;
    const bool mapped = memcmp(a, zeros, 10) == 0 && a[10] == 0xff && a[11] == 0xff;
    const bool translated = a[0] == 0 && a[1] == 0x64 && a[2] == 0xff && a[3] == 0x9b;
    if (mapped || translated || memcmp(a, zeros, 12) == 0)
        return kind_of_v4((uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 | a[15]);
    if ((a[0] & 0xfe) == 0xfc || (a[0] == 0xfe && (a[1] & 0x80)) || a[0] == 0xff) return MICA__ADDRESS_PRIVATE;
    return MICA__ADDRESS_PUBLIC;
}

mica__address_kind mica__address_kind_of(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) return kind_of_v4(ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr));
    if (address->sa_family == AF_INET6) return kind_of_v6(((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr);
    return MICA__ADDRESS_PRIVATE;
}

static mica__address_kind kind_of_host(const char *host)
{
    const size_t n = strlen(host);
    const mica__str name = {host, n && host[n - 1] == '.' ? n - 1 : n};
    if ((name.n == 9 && strncasecmp(name.p, "localhost", 9) == 0) ||
        (name.n > 10 && strncasecmp(name.p + name.n - 10, ".localhost", 10) == 0))
        return MICA__ADDRESS_LOOPBACK;
    char bare[64];
    if (n >= sizeof bare) return MICA__ADDRESS_PUBLIC;
    const bool brackets = n > 2 && host[0] == '[';
    memcpy(bare, host + brackets, n - 2 * brackets);
    bare[n - 2 * brackets] = 0;
    char *zone = strchr(bare, '%');
    if (zone) *zone = 0;
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, bare, &v4) == 1) return kind_of_v4(ntohl(v4.s_addr));
    if (inet_pton(AF_INET6, bare, &v6) == 1) return kind_of_v6(v6.s6_addr);
    return MICA__ADDRESS_PUBLIC; /* a name: looked at again when it is connected to */
}

bool mica__url_is_loopback(const char *url)
{
    parts p;
    if (!parts_of(&p, url)) return false;
    const bool is = kind_of_host(p.host) == MICA__ADDRESS_LOOPBACK;
    parts_release(&p);
    return is;
}

/* ---- redirects -------------------------------------------------------------------------------------------------------------- */

/* NULL: allowed; else what is wrong with it. */
static const char *objection(const char *from, const char *to, const char *endpoint)
{
    parts p;
    if (!parts_of(&p, to)) return "which is no web address";
    const mica__address_kind kind = kind_of_host(p.host);
    const bool plain = strcmp(p.scheme, "http") == 0;
    parts_release(&p);
    if (mica__url_same_origin(to, endpoint)) return NULL;
    if (plain && strncasecmp(from, "https:", 6) == 0) return "which is not encrypted";
    const bool local_server = strncasecmp(endpoint, "http:", 5) == 0 && mica__url_is_loopback(endpoint);
    if (local_server && plain && kind == MICA__ADDRESS_LOOPBACK) return NULL;
    if (kind != MICA__ADDRESS_PUBLIC) return "which is an address of this machine or its private network";
    return NULL;
}

mica_status mica__url_follow(char **out, const char *from, const char *location, const char *endpoint, mica_error *err)
{
    *out = NULL;
    char *whole = NULL, a[300], b[300];
    MICA_TRY(mica__late_load(err));
    CURLU *u = curl_url();
    const bool good = u && curl_url_set(u, CURLUPART_URL, from, 0) == CURLUE_OK &&
                      curl_url_set(u, CURLUPART_URL, location, CURLU_URLENCODE) == CURLUE_OK &&
                      curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
                      curl_url_get(u, CURLUPART_URL, &whole, 0) == CURLUE_OK;
    const char *why = good ? objection(from, whole, endpoint) : "which is no web address";
    mica_status status = MICA_OK;
    if (why)
        status = mica__fail(err, MICA_UNAVAILABLE, "%s redirects to %s, %s: refused", mica__url_origin(from, a),
                            good ? mica__url_origin(whole, b) : MICA_QUOTED(location, strlen(location)), why);
    else if (!(*out = mica__strndup(whole, strlen(whole))))
        status = mica__fail_memory(err, strlen(whole), "an address");
    curl_free(whole);
    curl_url_cleanup(u);
    return status;
}
