/* hub/turns.c: the arithmetic of what may be lost. */
#include "turns.h"

static const uint64_t floor_bytes = 64 * 1024, smallest_request = 64 * 1024;

static uint64_t limit(const mica__turns *t)
{
    uint64_t most = floor_bytes;
    const uint64_t allowed = t->size / 16;
    if (allowed > t->lost && (allowed - t->lost) / 2 > most) most = (allowed - t->lost) / 2;
    return t->received / 32 > most ? t->received / 32 : most;
}

uint64_t mica__turns_take(mica__turns *t, uint64_t most, int n_connections)
{
    const uint64_t all = limit(t);
    uint64_t n = all / (uint64_t)n_connections;
    if (n < smallest_request) n = smallest_request;
    if (n > most) n = most;
    if (t->out && t->out + n > all) return 0;
    t->out += n;
    return n;
}

void mica__turns_settle(mica__turns *t, uint64_t asked, uint64_t received, bool none_sent)
{
    t->out -= asked;
    t->received += received;
    if (!none_sent && received < asked) t->lost += asked - received;
}
