/* hub/transfer.h: one chunk of a blob over one connection, however often the connection breaks.
 *
 * A chunk is asked for in as many requests as its turns say (hub/turns.h). What was received is in the partial file at once, or after
 * a few milliseconds where it comes fast, and a broken transfer goes on where it was. A server that ignores ranges sends the whole file
 * instead: then what is there already is skipped as it comes by, and the transfer fills all chunks. */
#ifndef MICA_HUB_TRANSFER_H
#define MICA_HUB_TRANSFER_H

#include "explain.h"
#include "partial.h"

typedef struct mica__transfer {
    mica__http *http;
    const mica__net *net;
    const mica__subject *subject;
    const char *resolve; /* "/ID/resolve/COMMIT/PATH" */
    char *url; /* where an earlier reply led to; NULL: ask the Hub. Owned by the caller, replaced and freed here */
    mica__partial *partial;
    size_t chunk;
    bool alone;   /* no other transfer is at this file: the whole file may come */
    bool refused; /* out: it came although others are; the chunk is not whole, and nothing failed */
    /* Waits until more may be asked for, and says how much, at most `most`; 0: all is over. After that request `over` is called: how
     * much of it came; none_sent: the server sent nothing of what was asked for. */
    uint64_t (*turn)(void *context, uint64_t most);
    void (*over)(void *context, uint64_t asked, uint64_t received, bool none_sent);
    /* Called when a reply begins: `ranges` if it is what was asked for, else the whole file comes; url: where it comes from. */
    void (*opened)(void *context, bool ranges, const char *url);
    /* Called for what arrives: n bytes, of which n_new were not there yet. */
    void (*arrived)(void *context, size_t n, size_t n_new);
    void *context;
} mica__transfer;

mica_status mica__transfer_run(mica__transfer *t, mica_error *err);

#endif
