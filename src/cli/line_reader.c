/* cli/line_reader.c: libedit behind a small door.
 *
 * libedit swallows an interrupted read, so characters are read here: a signal ends the line, and the caller decides. */
#include "line_reader.h"
#include "files.h"
#include "interrupt.h"
#include "report.h"

#include <locale.h>
#include <errno.h>
#include <histedit.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

struct line_reader {
    EditLine *edit; /* NULL: not a terminal */
    History *history;
    char *history_path;
    bool continued; /* the prompt says so */
    buffer line;
};

static char *prompt(EditLine *edit)
{
    line_reader *r;
    el_get(edit, EL_CLIENTDATA, &r);
    return r->continued ? "... " : ">>> ";
}

/* Waits until there is something to read; false if a signal came first, even just before the wait: signals stay blocked outside of it. */
static bool wait_for_input(void)
{
    sigset_t ours, before;
    fd_set input;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigprocmask(SIG_BLOCK, &ours, &before);
    bool ready = false;
    while (!ready && !interrupt_pending()) {
        FD_ZERO(&input);
        FD_SET(STDIN_FILENO, &input);
        ready = pselect(STDIN_FILENO + 1, &input, NULL, NULL, NULL, &before) != -1 || errno != EINTR;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return ready;
}

/* One character, whole: 1, 0 at the end of input, -1 on a signal or failure. */
static int read_character(EditLine *edit, wchar_t *out)
{
    mbstate_t state = {0};
    (void)edit;
    for (;;) {
        char byte;
        if (!wait_for_input()) return -1;
        const ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n <= 0) return (int)n;
        if (byte == 0) return 0; /* Ctrl-D typed ahead, before the terminal left its line mode, arrives as a NUL */
        const size_t used = mbrtowc(out, &byte, 1, &state);
        if (used == (size_t)-1) {
            *out = L'\xfffd';
            return 1;
        }
        if (used != (size_t)-2) return 1;
    }
}

static void open_history(line_reader *r, const char *path)
{
    HistEvent event;
    if (!(r->history = history_init())) return;
    history(r->history, &event, H_SETSIZE, 1000);
    history(r->history, &event, H_SETUNIQUE, 1);
    el_set(r->edit, EL_HIST, history, r->history);
    if (!path) return;
    r->history_path = path_join(path, NULL);
    history(r->history, &event, H_LOAD, path);
}

line_reader *line_reader_create(const char *history_path)
{
    line_reader *r = take_memory(1, sizeof *r);
    *r = (line_reader){0};
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) return r;
    setlocale(LC_CTYPE, ""); /* the terminal's characters; numbers keep their point */
    if (!(r->edit = el_init("mica", stdin, stdout, stderr))) return r;
    el_set(r->edit, EL_CLIENTDATA, r);
    el_set(r->edit, EL_PROMPT, prompt);
    el_set(r->edit, EL_EDITOR, "emacs");
    el_set(r->edit, EL_SIGNAL, 0);
    open_history(r, history_path);
    el_source(r->edit, NULL); /* ~/.editrc */
    el_set(r->edit, EL_GETCFN, read_character);
    return r;
}

void line_reader_free(line_reader *r)
{
    if (!r) return;
    if (r->history) {
        HistEvent event;
        const mode_t mask = umask(077); /* what was said is the user's own */
        if (r->history_path) history(r->history, &event, H_SAVE, r->history_path);
        umask(mask);
        history_end(r->history);
    }
    if (r->edit) el_end(r->edit);
    free(r->history_path);
    buffer_release(&r->line);
    free(r);
}

bool line_reader_interactive(const line_reader *r) { return r->edit != NULL; }

static read_result edited_line(line_reader *r)
{
    int n = 0;
    const char *text = el_gets(r->edit, &n);
    if (interrupt_pending()) return READ_INTERRUPTED;
    if (!text || n <= 0) return READ_END;
    if (text[n - 1] == '\n') n--;
    buffer_clear(&r->line);
    buffer_add(&r->line, text, (size_t)n);
    HistEvent event;
    if (r->history && n > 0) history(r->history, &event, H_ENTER, r->line.p);
    return READ_MESSAGE;
}

static read_result next_line(line_reader *r)
{
    if (r->edit) return edited_line(r);
    interrupt_defer(false, false); /* nothing to stop but the program */
    const bool interrupted = interrupt_pending();
    const bool read = !interrupted && read_line(&r->line, stdin);
    interrupt_defer(true, true);
    return interrupted ? READ_INTERRUPTED : read ? READ_MESSAGE : READ_END;
}

static bool ends_with(const buffer *b, const char *end)
{
    const size_t n = strlen(end);
    return b->n >= n && memcmp(b->p + b->n - n, end, n) == 0;
}

/* What follows opening quotes, up to the closing ones. */
static read_result quoted_message(line_reader *r, buffer *message)
{
    buffer_add(message, r->line.p + 3, r->line.n - 3);
    while (!ends_with(message, "\"\"\"")) {
        const read_result result = next_line(r);
        if (result != READ_MESSAGE) return result;
        if (message->n) buffer_add_z(message, "\n");
        buffer_add(message, r->line.p, r->line.n);
    }
    message->n -= 3;
    if (message->n && message->p[message->n - 1] == '\n') message->n--;
    message->p[message->n] = 0;
    return READ_MESSAGE;
}

static read_result continued_message(line_reader *r, buffer *message)
{
    buffer_add(message, r->line.p, r->line.n);
    while (ends_with(message, "\\")) {
        message->p[message->n - 1] = '\n';
        const read_result result = next_line(r);
        if (result == READ_END) break;
        if (result != READ_MESSAGE) return result;
        buffer_add(message, r->line.p, r->line.n);
    }
    return READ_MESSAGE;
}

read_result line_reader_next(line_reader *r, buffer *message)
{
    buffer_clear(message);
    r->continued = false;
    const read_result result = next_line(r);
    if (result != READ_MESSAGE) return result;
    r->continued = true;
    const bool quotes = r->line.n >= 3 && memcmp(r->line.p, "\"\"\"", 3) == 0;
    return quotes ? quoted_message(r, message) : continued_message(r, message);
}
