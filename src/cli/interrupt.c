/* cli/interrupt.c: the two signal handlers' one function and what it may touch: lock-free atomics, cancel calls, _exit. */
#include "interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static _Atomic(mica_session *) watched_session;
static _Atomic(mica_batch *) watched_batch;
static _Atomic(mica_chat *) watched_chat;
static atomic_bool deferred, survives_many;
static atomic_int pending;

static void on_signal(int number)
{
    const bool first = atomic_exchange(&pending, number) == 0;
    if (!first && !survives_many) _exit(128 + number);
    mica_session *session = watched_session;
    mica_batch *batch = watched_batch;
    mica_chat *chat = watched_chat;
    if (session) mica_session_cancel(session);
    if (batch) mica_batch_cancel(batch);
    if (chat) mica_chat_cancel(chat);
    if (!session && !batch && !chat && !deferred) _exit(128 + number);
}

void interrupt_install(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: a waiting read returns */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

void interrupt_watch_session(mica_session *session) { watched_session = session; }
void interrupt_watch_batch(mica_batch *batch) { watched_batch = batch; }
void interrupt_watch_chat(mica_chat *chat) { watched_chat = chat; }

void interrupt_defer(bool on, bool many)
{
    deferred = on;
    survives_many = many;
}

int interrupt_pending(void) { return pending; }
void interrupt_clear(void) { pending = 0; }
int interrupt_exit_code(void) { return pending == SIGTERM ? 128 + SIGTERM : 128 + SIGINT; }
