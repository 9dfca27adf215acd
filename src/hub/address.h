/* hub/address.h: web addresses: who is whose origin, what is on this machine or its private network, where a redirect may lead. */
#ifndef MICA_HUB_ADDRESS_H
#define MICA_HUB_ADDRESS_H

#include "base/error.h"
#include <sys/socket.h>

/* True if both are http(s) with the same scheme, host and port. */
bool mica__url_same_origin(const char *a, const char *b);
/* True for localhost and for numbers of the loopback network. */
bool mica__url_is_loopback(const char *url);
/* Scheme, host and port for a message; never the path or query, which may be a secret. */
const char *mica__url_origin(const char *url, char out[300]);

typedef enum mica__address_kind {
    MICA__ADDRESS_PUBLIC,
    MICA__ADDRESS_PRIVATE,
    MICA__ADDRESS_LOOPBACK
} mica__address_kind;
mica__address_kind mica__address_kind_of(const struct sockaddr *address);

/* The whole address that `location`, found in a reply from `from`, means: in fresh memory. UNAVAILABLE if `endpoint` may not lead there. */
mica_status mica__url_follow(char **out, const char *from, const char *location, const char *endpoint, mica_error *err);

#endif
