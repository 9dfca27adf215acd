/* cli/cmd_chat.c: the verb chat: a conversation in the terminal, or with a pipe.
 *
 * Lines that start with a slash are commands, the table is below. Ctrl-C stops an answer, never the program; what came of it stays in the
 * conversation. */
#include "files.h"
#include "interrupt.h"
#include "line_reader.h"
#include "model_options.h"
#include "output.h"
#include "report.h"
#include "setting_options.h"
#include "speed.h"
#include "verbs.h"

#include <mica/chat.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_CONVERSATION_BYTES = 64 << 20, DEFAULT_NEW_TOKENS = 2048 };

typedef struct conversation {
    mica_chat *chat;
    line_reader *reader;
    const char *system; /* NULL: none */
    bool stats;
    bool over;
} conversation;

/* ---- commands --------------------------------------------------------------------------------------------------------------------- */

static void say(const char *fmt, ...) MICA_PRINTF(1, 2);
static void say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

static mica_status begin(conversation *c, mica_error *err)
{
    mica_chat_reset(c->chat);
    return c->system ? mica_chat_add(c->chat, "system", c->system, err) : MICA_OK;
}

static void do_reset(conversation *c, char *rest)
{
    mica_error err;
    (void)rest;
    if (begin(c, &err) != MICA_OK)
        fail(&err);
    else
        say("the conversation starts anew");
}

static void do_save(conversation *c, char *rest)
{
    mica_text text = {0};
    mica_error err;
    new_file file = {0};
    if (!*rest) {
        say("/save FILE");
    } else if (mica_chat_save(c->chat, &text, &err) != MICA_OK) {
        fail(&err);
    } else if (new_file_open(&file, rest) == 0) {
        fwrite(text.data, 1, text.n, file.f);
        fputc('\n', file.f);
        if (new_file_commit(&file) == 0) say("saved to %s", rest);
    }
    mica_text_release(&text);
}

static bool load(conversation *c, const char *path)
{
    buffer text = {0};
    mica_error err;
    const bool good = file_read(&text, path, MAX_CONVERSATION_BYTES, &err) &&
                      mica_chat_load(c->chat, text.p, text.n, &err) == MICA_OK;
    if (!good) fail(&err);
    buffer_release(&text);
    return good;
}

static void do_load(conversation *c, char *rest)
{
    if (!*rest)
        say("/load FILE");
    else if (load(c, rest))
        say("loaded %s", rest);
}

static void show_setting(const mica_generation_config *config, const mica_setting *setting)
{
    mica_text value = {0};
    mica_error err;
    if (mica_generation_config_get(config, setting->name, &value, &err) == MICA_OK && value.data)
        say("  %-28s %s", setting->name, value.data);
    mica_text_release(&value);
}

static void show_settings(const mica_generation_config *config)
{
    const mica_setting *setting;
    for (size_t i = 0; (setting = mica_setting_at(i)); i++)
        if (!settings_unset(config, setting->name)) show_setting(config, setting);
}

static const char *setting_name(const void *unused, size_t i)
{
    (void)unused;
    return mica_setting_at(i)->name;
}

static void do_set(conversation *c, char *rest)
{
    mica_generation_config *config = mica_chat_config(c->chat);
    mica_error err;
    if (!*rest) {
        show_settings(config);
        return;
    }
    char *value = rest + strcspn(rest, " =");
    if (*value) *value++ = 0;
    value += strspn(value, " =");
    const mica_setting *setting = settings_find(rest);
    size_t n = 0;
    while (mica_setting_at(n)) n++;
    if (!setting) {
        const char *meant = nearest_name(rest, NULL, n, setting_name);
        say("no setting '%s'%s%s%s", QUOTED(rest), meant ? ", did you mean " : "", meant ? meant : "",
            meant ? "?" : "");
        return;
    }
    if (*value && settings_set(config, setting, value, &err) != MICA_OK)
        fail(&err);
    else
        show_setting(config, setting);
}

static void do_exit(conversation *c, char *rest)
{
    (void)rest;
    c->over = true;
}

static void do_help(conversation *c, char *rest);

static const struct command {
    const char *name, *argument, *help;
    void (*run)(conversation *c, char *rest);
} commands[] = {
    {"help", "", "this list", do_help},
    {"reset", "", "forget the conversation", do_reset},
    {"save", "FILE", "write the conversation as JSON messages", do_save},
    {"load", "FILE", "go on with a saved conversation", do_load},
    {"set", "[NAME [VALUE]]", "show or change generation settings, such as /set temperature 0.7", do_set},
    {"exit", "", "leave; Ctrl-D does so, too", do_exit},
    {"quit", "", "the same", do_exit},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static const char *command_name(const void *table, size_t i) { return ((const struct command *)table)[i].name; }

static void do_help(conversation *c, char *rest)
{
    (void)c;
    (void)rest;
    for (size_t i = 0; i < N_COMMANDS; i++) {
        char left[40];
        snprintf(left, sizeof left, "/%s %s", commands[i].name, commands[i].argument);
        say("  %-22s %s", left, commands[i].help);
    }
    say("A line that ends in \\ goes on in the next one; \"\"\" opens and closes a message of several lines; // starts "
        "a message\n"
        "with a slash. Ctrl-C stops an answer.");
}

/* line: after the slash */
static void run_command(conversation *c, char *line)
{
    char *rest = line + strcspn(line, " \t");
    if (*rest) *rest++ = 0;
    rest += strspn(rest, " \t");
    for (char *end = rest + strlen(rest); end > rest && (end[-1] == ' ' || end[-1] == '\t');) *--end = 0;
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i].name, line) == 0) {
            commands[i].run(c, rest);
            return;
        }
    }
    const char *meant = nearest_name(line, commands, N_COMMANDS, command_name);
    say("no command /%s%s%s%s (/help lists them)", QUOTED(line), meant ? ", did you mean /" : "", meant ? meant : "",
        meant ? "?" : "");
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------------ */

static int on_text(void *context, const char *text, size_t n)
{
    int64_t *n_pieces = context;
    interrupt_watch_chat(NULL); /* from here on a signal ends the answer between two tokens, which keeps what came */
    ++*n_pieces;
    out_write(text, n);
    return !out_flush() || interrupt_pending();
}

static void answer(conversation *c, const char *message)
{
    mica_error err;
    int64_t n_pieces = 0;
    interrupt_watch_chat(c->chat);
    const mica_status status = mica_chat_send(c->chat, message, on_text, &n_pieces, &err);
    interrupt_watch_chat(NULL);
    if (n_pieces) out_printf("\n");
    out_flush();
    if (status != MICA_OK && status != MICA_CANCELLED) fail(&err);
    if (interrupt_pending() == SIGTERM) {
        c->over = true;
        return;
    }
    if (interrupt_pending()) say(n_pieces ? "(stopped)" : "(stopped before the answer began)");
    interrupt_clear();
    if (status == MICA_OK && c->stats) print_speed(mica_chat_last_result(c->chat), n_pieces);
}

static void take_message(conversation *c, buffer *message)
{
    if (message->p[0] == '/' && message->p[1] != '/')
        run_command(c, message->p + 1);
    else if (message->p[strspn(message->p, " \t\n")])
        answer(c, message->p + (message->p[0] == '/'));
}

static void talk(conversation *c)
{
    buffer message = {0};
    const bool interactive = line_reader_interactive(c->reader);
    if (interactive) say("/help lists the commands, Ctrl-D leaves");
    while (!c->over && out_ok()) {
        const read_result result = line_reader_next(c->reader, &message);
        if (result == READ_END || interrupt_pending() == SIGTERM) break;
        if (result == READ_INTERRUPTED) {
            if (!interactive) break;
            say("\n(Ctrl-D or /exit leaves)");
            interrupt_clear();
            continue;
        }
        take_message(c, &message);
    }
    if (interactive && !c->over) out_printf("\n");
    buffer_release(&message);
}

/* ---- the verb -------------------------------------------------------------------------------------------------------------------------- */

/* Settings of the chat: the model's, the flags' over them, and a length that does not cut answers short. */
static mica_status configure(mica_chat *chat, const settings *s, mica_error *err)
{
    char length[16];
    mica_generation_config *config = mica_chat_config(chat);
    const mica_status status = settings_apply(s, config, false, err);
    if (status != MICA_OK || !settings_unset(config, "max_new_tokens") || !settings_unset(config, "max_length"))
        return status;
    snprintf(length, sizeof length, "%d", DEFAULT_NEW_TOKENS);
    return mica_generation_config_set(config, "max_new_tokens", length, err);
}

typedef struct request {
    const char *system, *variables, *load;
    bool history, stats;
    settings settings;
    model_choice model;
} request;

static int converse(conversation *c, const request *r)
{
    char *folder = r->history ? user_folder("XDG_STATE_HOME", ".local/state") : NULL;
    char *path = folder ? path_join(folder, "history", NULL) : NULL;
    if (folder && isatty(STDIN_FILENO)) make_folders(folder);
    interrupt_defer(true, true);
    c->reader = line_reader_create(path);
    c->stats = r->stats || isatty(STDERR_FILENO);
    talk(c);
    line_reader_free(c->reader);
    const int number = interrupt_pending();
    interrupt_defer(false, false);
    free(path);
    free(folder);
    return number ? 128 + number : out_finish();
}

static int run_request(const request *r)
{
    loaded_model m;
    conversation c = {.system = r->system};
    mica_error err;
    int code = settings_check(&r->settings);
    if (code == 0) code = model_open(&m, &r->model, MODEL_WEIGHTS_AND_TOKENIZER);
    if (code) return code;
    mica_status status = mica_chat_create(&c.chat, m.model, NULL, &err);
    if (status == MICA_OK) status = configure(c.chat, &r->settings, &err);
    if (status == MICA_OK && r->variables && mica_chat_set_variables(c.chat, r->variables, &err) != MICA_OK) {
        char message[sizeof err.message];
        memcpy(message, err.message, sizeof message);
        snprintf(err.message, sizeof err.message, "--chat-template-kwargs: %.400s", message);
        status = err.status = MICA_INVALID;
    }
    if (status == MICA_OK) status = begin(&c, &err);
    if (status != MICA_OK)
        code = fail(&err);
    else if (r->load && !load(&c, r->load))
        code = EX_NOINPUT;
    else
        code = converse(&c, r);
    mica_chat_free(c.chat);
    model_close(&m);
    return code;
}

int cmd_chat(int argc, char **argv)
{
    request r = {.history = true};
    settings_init(&r.settings);
    const option own[] = {
        {.name = "system",
         .kind = OPTION_TEXT,
         .value = &r.system,
         .argument = "TEXT",
         .help = "what the model is told first"},
        {.name = "load",
         .kind = OPTION_TEXT,
         .value = &r.load,
         .argument = "FILE",
         .help = "go on with a conversation that /save wrote"},
        {.name = "chat-template-kwargs",
         .kind = OPTION_TEXT,
         .value = &r.variables,
         .argument = "JSON",
         .help = "variables for the chat template, such as {\"enable_thinking\": false}"},
        {.name = "history",
         .kind = OPTION_FLAG,
         .value = &r.history,
         .help = "do not keep typed lines for the next time"},
        {.name = "generation-config",
         .kind = OPTION_TEXT,
         .value = &r.settings.file,
         .argument = "FILE",
         .help = "JSON object of generation settings, over the model's own and under the flags"},
        {.name = "stats",
         .kind = OPTION_FLAG,
         .value = &r.stats,
         .help = "tokens per second on standard error after each answer (always if that is a terminal)"},
    };
    option model[N_MODEL_OPTIONS];
    model_options_table(&r.model, model);
    command_line line = {
        .verb = "chat",
        .synopsis = "",
        .about =
            "A conversation with a model. Type a message and Enter; /help lists the commands, Ctrl-C stops an answer,\n"
            "Ctrl-D leaves. With a pipe as standard input every line is a message.",
        .groups = {{"Options", own, sizeof own / sizeof own[0]},
                   model_options_group(model, true),
                   settings_group(&r.settings),
                   settings_idle_group(&r.settings)},
        .n_groups = 4};
    const int code = options_parse(&line, argc, argv) ? run_request(&r) : line.exit_code;
    settings_release(&r.settings);
    return code;
}
