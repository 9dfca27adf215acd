/* cli/options.c: parsing against a table, --help from the same table, and the suggestion for a mistyped name. */
#include "options.h"
#include "output.h"
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names --------------------------------------------------------------------------------------------------------------- */

static const option *option_at(const command_line *line, size_t i)
{
    for (size_t g = 0; g < line->n_groups; i -= line->groups[g].n, g++)
        if (i < line->groups[g].n) return &line->groups[g].options[i];
    return NULL;
}

static const option *find(const command_line *line, const char *name, size_t n)
{
    const option *o;
    for (size_t i = 0; (o = option_at(line, i)); i++)
        if (strlen(o->name) == n && memcmp(o->name, name, n) == 0) return o;
    return NULL;
}

static const option *find_letter(const command_line *line, char letter)
{
    const option *o;
    for (size_t i = 0; (o = option_at(line, i)); i++)
        if (o->letter == letter) return o;
    return NULL;
}

enum { LONGEST_NAME = 48 };

/* Edits (insert, delete, replace) that turn a into b; both at most LONGEST_NAME long. */
static size_t distance(const char *a, const char *b)
{
    size_t row[LONGEST_NAME + 1];
    const size_t n = strlen(b);
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;
            if (replaced < row[j]) row[j] = replaced;
        }
    }
    return row[n];
}

const char *nearest_name(const char *word, const void *names, size_t n, name_at at)
{
    const char *best = NULL;
    size_t best_distance = strlen(word) / 3 + 2; /* more edits than this are another word */
    if (strlen(word) > LONGEST_NAME) return NULL;
    for (size_t i = 0; i < n; i++) {
        const char *name = at(names, i);
        if (strlen(name) > LONGEST_NAME) continue;
        const size_t d = distance(word, name);
        if (d < best_distance) {
            best = name;
            best_distance = d;
        }
    }
    return best;
}

static const char *name_of_option(const void *line, size_t i) { return option_at(line, i)->name; }

/* ---- messages ------------------------------------------------------------------------------------------------------------ */

int options_usage(const command_line *line, const char *fmt, ...)
{
    char message[600];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    fprintf(stderr, "mica %s: %s\nusage: mica %s [options] %s (mica %s --help lists the options)\n", line->verb,
            message, line->verb, line->synopsis, line->verb);
    return EX_USAGE;
}

static bool unknown(const command_line *line, const char *word, const char *name)
{
    size_t n = 0;
    while (option_at(line, n)) n++;
    const char *plain = strncmp(name, "no-", 3) == 0 ? name + 3 : name;
    const char *prefix = plain == name ? "" : "no-";
    const char *meant = nearest_name(plain, line, n, name_of_option);
    if (!meant && plain != name) {
        prefix = "";
        meant = nearest_name(name, line, n, name_of_option);
    }
    if (meant)
        options_usage(line, "unknown option '%s', did you mean --%s%s?", QUOTED(word), prefix, meant);
    else
        options_usage(line, "unknown option '%s'", QUOTED(word));
    return false;
}

enum { HELP_COLUMN = 34, HELP_WIDTH = 118 };

/* Folds text at spaces between HELP_COLUMN and HELP_WIDTH. */
static void print_folded(const char *text)
{
    const size_t room = HELP_WIDTH - HELP_COLUMN;
    while (strlen(text) > room) {
        size_t cut = room;
        while (cut > 0 && text[cut] != ' ') cut--;
        if (cut == 0) break;
        out_printf("%.*s\n%*s", (int)cut, text, HELP_COLUMN, "");
        text += cut + 1;
    }
    out_printf("%s\n", text);
}

static void print_option(const option *o)
{
    char left[96], letter[8] = "    ";
    if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    if (o->argument)
        snprintf(left, sizeof left, "  %s--%s %s", letter, o->name, o->argument);
    else if (o->kind == OPTION_FLAG && *(bool *)o->value)
        snprintf(left, sizeof left, "  %s--no-%s", letter, o->name);
    else
        snprintf(left, sizeof left, "  %s--%s%s", letter, o->kind == OPTION_FLAG ? "" : "[no-]", o->name);
    out_printf("%-*s", HELP_COLUMN - 1, left);
    if (strlen(left) < HELP_COLUMN)
        out_printf(" ");
    else
        out_printf("\n%*s", HELP_COLUMN, "");
    print_folded(o->help);
}

static int print_help(const command_line *line)
{
    out_printf("usage: mica %s [options] %s\n\n%s\n", line->verb, line->synopsis, line->about);
    for (size_t g = 0; g < line->n_groups; g++) {
        out_printf("\n%s:\n", line->groups[g].title);
        for (size_t i = 0; i < line->groups[g].n; i++) {
            const option *o = &line->groups[g].options[i];
            if (find(line, o->name, strlen(o->name)) == o) print_option(o);
        }
        if (g == 0) out_printf("  -h, --help%*sthis text\n", HELP_COLUMN - 12, "");
    }
    return out_finish();
}

/* ---- parsing ------------------------------------------------------------------------------------------------------------- */

static bool is_choice(const char *choices, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = choices; n && (at = strstr(at, word)); at += n)
        if ((at == choices || at[-1] == ' ') && (at[n] == 0 || at[n] == ' ') && !strchr(word, ' ')) return true;
    return false;
}

static bool set_number(const command_line *line, const option *o, const char *text)
{
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    const bool is_number = end != text && *end == 0 && (text[0] == '-' || (text[0] >= '0' && text[0] <= '9'));
    if (!is_number || errno == ERANGE || value < o->min || value > o->max) {
        options_usage(line, "--%s is '%s', expected an integer from %" PRId64 " to %" PRId64, o->name, QUOTED(text),
                      o->min, o->max);
        return false;
    }
    *(int64_t *)o->value = value;
    return true;
}

static bool set(const command_line *line, const option *o, const char *text, bool yes)
{
    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)o->value = yes;
        return true;
    case OPTION_NUMBER:
        return set_number(line, o, text);
    case OPTION_COLLECT:
        o->collect(o->value, o, o->argument ? text : yes ? "true" : "false");
        return true;
    case OPTION_TEXT:
        break;
    }
    if (o->choices && !is_choice(o->choices, text)) {
        options_usage(line, "--%s is '%s', expected one of: %s", o->name, QUOTED(text), o->choices);
        return false;
    }
    *(const char **)o->value = text;
    return true;
}

/* One option, whose value is `attached` or else the next word. */
static bool take_option(const command_line *line, const option *o, bool yes, const char *attached, char ***rest,
                        bool *seen)
{
    const char *text = attached;
    if (*seen && !o->many) {
        options_usage(line, "--%s is given twice", o->name);
        return false;
    }
    *seen = true;
    if (!o->argument && attached) {
        options_usage(line, "--%s takes no value", o->name);
        return false;
    }
    if (o->argument && !text && !(text = *(*rest)++)) {
        options_usage(line, "--%s needs a value (%s)", o->name, o->argument);
        return false;
    }
    return set(line, o, text, yes);
}

static size_t index_of(const command_line *line, const option *o)
{
    size_t i = 0;
    while (option_at(line, i) != o) i++;
    return i;
}

static bool parse_long(const command_line *line, const char *word, char ***rest, bool *seen)
{
    const char *name = word + 2;
    const size_t n = strcspn(name, "=");
    const char *attached = name[n] ? name + n + 1 : NULL;
    const option *o = find(line, name, n);
    bool yes = true;
    if (!o && strncmp(name, "no-", 3) == 0) {
        o = find(line, name + 3, n - 3);
        if (o && o->argument) o = NULL;
        yes = false;
    }
    if (o) return take_option(line, o, yes, attached, rest, &seen[index_of(line, o)]);
    char bare[2 + LONGEST_NAME + 2]; /* the name without its value, which may be long or secret */
    snprintf(bare, sizeof bare, "%.*s", (int)(n > LONGEST_NAME ? LONGEST_NAME + 1 : n) + 2, word);
    return unknown(line, bare, bare + 2);
}

static bool parse_letter(const command_line *line, const char *word, char ***rest, bool *seen)
{
    const option *o = find_letter(line, word[1]);
    if (!o || (!o->argument && word[2])) return unknown(line, word, word + 1);
    return take_option(line, o, true, word[2] ? word + 2 : NULL, rest, &seen[index_of(line, o)]);
}

static bool take_word(command_line *line, const char *word)
{
    if (line->n_words == line->max_words) {
        options_usage(line, line->max_words ? "unexpected '%s' (quote texts with spaces)" : "unexpected '%s'",
                      QUOTED(word));
        return false;
    }
    line->words[line->n_words++] = word;
    return true;
}

static bool parse_words(command_line *line, char **rest, bool *seen)
{
    while (*rest) {
        const char *word = *rest++;
        bool good;
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            line->exit_code = print_help(line);
            return false;
        }
        if (strcmp(word, "--") == 0) {
            for (good = true; *rest && good; rest++) good = take_word(line, *rest);
        } else if (strncmp(word, "--", 2) == 0) {
            good = parse_long(line, word, &rest, seen);
        } else if (word[0] == '-' && word[1]) {
            good = parse_letter(line, word, &rest, seen);
        } else {
            good = take_word(line, word);
        }
        if (!good) return false;
    }
    return true;
}

bool options_parse(command_line *line, int argc, char **argv)
{
    size_t n = 0;
    while (option_at(line, n)) n++;
    bool *seen = take_memory(n + 1, sizeof *seen);
    memset(seen, 0, (n + 1) * sizeof *seen);
    line->exit_code = EX_USAGE;
    const bool good = parse_words(line, argv + (argc > 0), seen);
    free(seen);
    return good;
}
