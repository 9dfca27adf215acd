/* cli/interrupt.h: Ctrl-C and termination.
 *
 * SIGINT and SIGTERM end the program at once with 130 or 143, unless something is being watched: then that is cancelled, and
 * the call that was running returns MICA_CANCELLED. A second signal ends the program in any case, except in a conversation. */
#ifndef MICA_CLI_INTERRUPT_H
#define MICA_CLI_INTERRUPT_H

#include <mica/chat.h>

void interrupt_install(void); /* also ignores SIGPIPE: a closed pipe is seen by the write that fails */

/* What a signal cancels from now on; NULL: nothing. */
void interrupt_watch_session(mica_session *session);
void interrupt_watch_batch(mica_batch *batch);
void interrupt_watch_chat(mica_chat *chat);
/* Signals are only noted (loading polls interrupt_pending; a prompt is interrupted by them). `many`: a second one does not end the program. */
void interrupt_defer(bool on, bool many);

int interrupt_pending(void); /* number of the signal that came, 0: none */
void interrupt_clear(void);
int interrupt_exit_code(void); /* 143 after SIGTERM, else 130 */

#endif
