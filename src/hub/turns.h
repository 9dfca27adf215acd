/* hub/turns.h: how much of a blob may be asked for at once, so that a program that is killed again and again still loses little.
 *
 * What was asked for and has not arrived when the program dies is lost: the server sent it, or part of it, and will have to send it again.
 * So the requests that are out at one time never ask for more than a share of what may still be lost. Whatever happens, all runs
 * together then lose at most a tenth of the blob, and without accidents requests are large:
 *
 *     limit = max(FLOOR, (size / 16 - lost) / 2, received in this run / 32)
 *
 * A sixteenth of the size may be lost at worst, half of what is left of that at one time; beyond it a thirty-second of what each run
 * received. The caller locks. */
#ifndef MICA_HUB_TURNS_H
#define MICA_HUB_TURNS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct mica__turns {
    uint64_t size;     /* of the blob */
    uint64_t lost;     /* asked for and never received: in earlier runs, and by requests that broke */
    uint64_t out;      /* asked for by the requests under way */
    uint64_t received; /* in this run */
} mica__turns;

/* For a request over one of n_connections: how many bytes, at most `most`; 0: not now, others have to end first. */
uint64_t mica__turns_take(mica__turns *t, uint64_t most, int n_connections);
/* A request for `asked` bytes is over, `received` of them came. none_sent: the server never began to send. */
void mica__turns_settle(mica__turns *t, uint64_t asked, uint64_t received, bool none_sent);

#endif
