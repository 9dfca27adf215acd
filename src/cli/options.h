/* cli/options.h: command lines as tables.
 *
 *     const char *output = NULL;
 *     bool all = false;
 *     const option own[] = {
 *         {.name = "output", .letter = 'o', .kind = OPTION_TEXT, .value = &output, .argument = "FILE", .help = "where to write"},
 *         {.name = "all", .kind = OPTION_FLAG, .value = &all, .help = "every position"},
 *     };
 *     command_line line = {.verb = "logits", .synopsis = "--output FILE", .about = "...", .n_groups = 1,
 *                          .groups = {{"Options", own, 2}}};
 *     if (!options_parse(&line, argc, argv)) return line.exit_code;
 *
 * Accepted are --name value, --name=value, --no-name for flags, -o value for the letters, and -- before words that are no
 * options. `--help` is answered from the same table. An unknown option, one given twice that is not `many`, a missing or a bad value end with 64 and a
 * usage line. */
#ifndef MICA_CLI_OPTIONS_H
#define MICA_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum option_kind {
    OPTION_FLAG,    /* value: bool * */
    OPTION_NUMBER,  /* value: int64_t *, from min to max */
    OPTION_TEXT,    /* value: const char **, one of `choices` if there are any */
    OPTION_COLLECT, /* value: void *, handed to collect() with "true" and "false" for a flag (argument NULL) */
} option_kind;

typedef struct option {
    const char *name; /* "max-new-tokens" */
    char letter;      /* 'm'; 0: none */
    option_kind kind;
    void *value;
    const char *argument; /* what --help calls the value: "N", "FILE"; NULL: a flag */
    const char *help;
    int64_t min, max;
    const char *choices; /* "fast exact" */
    bool many;           /* may be given several times */
    void (*collect)(void *value, const struct option *o, const char *text);
} option;

typedef struct option_group {
    const char *title;
    const option *options; /* [n]; of two options with one name the first counts */
    size_t n;
} option_group;

enum { MAX_GROUPS = 4, MAX_WORDS = 2 };

typedef struct command_line {
    const char *verb;
    const char *synopsis; /* what follows "mica VERB [options]" */
    const char *about;    /* a few lines for --help */
    option_group groups[MAX_GROUPS];
    size_t n_groups;
    size_t max_words;
    const char *words[MAX_WORDS]; /* what is no option, in order */
    size_t n_words;
    int exit_code; /* when parsing says stop */
} command_line;

/* False: stop here with line->exit_code (64 after a message, 0 after --help). argv[0] is the verb. */
bool options_parse(command_line *line, int argc, char **argv);
/* A usage error found later: message, usage line, 64. */
int options_usage(const command_line *line, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The nearest of n names (by edits) if it is near enough to be meant, else NULL. */
typedef const char *(*name_at)(const void *names, size_t i);
const char *nearest_name(const char *word, const void *names, size_t n, name_at at);

#endif
