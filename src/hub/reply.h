/* hub/reply.h: the headers of a reply, read as untrusted text. */
#ifndef MICA_HUB_REPLY_H
#define MICA_HUB_REPLY_H

#include "base/str.h"

/* What we want to know of a reply. Texts that do not fit are dropped, not cut: half a name is another name. */
typedef struct mica__reply {
    int status;
    bool has_length, has_range;
    uint64_t length;      /* Content-Length */
    uint64_t range_begin; /* Content-Range: bytes BEGIN-END/TOTAL */
    uint64_t range_end, range_total;
    double retry_after;  /* seconds, by Retry-After or RateLimit; 0: not said */
    char etag[72];       /* without W/ and quotes; "" if it is not a hash (mica__hub_is_hash) */
    char part_etag[160]; /* as it came, for the parts of an upload */
    /* X-Repo-Commit, X-Linked-Size and X-Linked-Etag: said by the Hub itself, often in a redirect; kept from the first that said them. */
    char commit[44];
    char linked_etag[72];
    bool has_linked_size;
    uint64_t linked_size;
    char error_code[64];
    char error_message[256];
    char location[4096];
    char next[2048]; /* Link: <...>; rel="next" */
} mica__reply;

/* One header line, with or without its line end. A status line begins a new reply: what belongs to one reply is forgotten, what the
 * Hub said once is kept. */
void mica__reply_header(mica__reply *r, const char *line, size_t n);

#endif
