/* cli/cmd_tokenize.c: the verbs tokenize and detokenize. They need a tokenizer only, no weights.
 *
 * With --jsonl they are filters: one JSON value per line in, one out, flushed line by line. A line that fails gives {"error": "..."} and
 * the stream goes on. */
#include "files.h"
#include "model_options.h"
#include "output.h"
#include "report.h"
#include "resolve.h"
#include "verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT_BYTES = 1 << 30 };

static int open_tokenizer(const model_choice *choice, mica_tokenizer **out)
{
    char *path;
    mica_error err;
    int code = resolve_model(choice->name, choice->revision, choice->gguf, MICA_HUB_FILES_TOKENIZER, &path);
    if (code) return code;
    if (mica_tokenizer_load(out, path, &err) != MICA_OK) code = fail(&err);
    free(path);
    return code;
}

/* The text of the verb: its word, a file, or standard input. */
static int take_input(const command_line *line, const char *file, buffer *out)
{
    mica_error err;
    if (file && line->n_words) return options_usage(line, "both a text and --file are given");
    if (line->n_words && strcmp(line->words[0], "-") != 0) {
        buffer_add_z(out, line->words[0]);
        return 0;
    }
    if (!file_read(out, file ? file : "-", MAX_TEXT_BYTES, &err)) return fail(&err);
    return 0;
}

typedef struct stream {
    const mica_tokenizer *tokenizer;
    unsigned flags;           /* of encode */
    bool skip_special_tokens; /* of decode */
    void (*convert)(struct stream *s, const buffer *line, buffer *out);
    buffer text; /* reused */
    mica_ids ids;
} stream;

static void string_to_ids(stream *s, const buffer *line, buffer *out)
{
    const char *why;
    mica_error err;
    mica_ids ids = {0};
    if (!json_read_string(line->p, line->n, &s->text, &why))
        buffer_set_error(out, why);
    else if (mica_tokenizer_encode(s->tokenizer, s->text.p, s->text.n, s->flags, &ids, &err) != MICA_OK)
        buffer_set_error(out, err.message);
    else
        buffer_add_ids(out, ids.data, ids.n);
    mica_ids_release(&ids);
}

static void ids_to_string(stream *s, const buffer *line, buffer *out)
{
    const char *why;
    mica_error err;
    mica_text text = {0};
    if (!json_read_ids(line->p, line->n, &s->ids, &why))
        buffer_set_error(out, why);
    else if (mica_tokenizer_decode(s->tokenizer, s->ids.data, s->ids.n, s->skip_special_tokens, &text, &err) != MICA_OK)
        buffer_set_error(out, err.message);
    else
        buffer_add_json(out, text.data, text.n);
    mica_text_release(&text);
}

static int run_stream(stream *s)
{
    buffer line = {0}, out = {0};
    buffer_add_z(&s->text, "");
    errno = 0;
    while (out_ok() && read_line(&line, stdin)) {
        buffer_clear(&out);
        s->convert(s, &line, &out);
        out_line(&out);
    }
    int code = out_finish();
    if (ferror(stdin)) code = fail_errno(EX_IOERR, "read", "standard input");
    buffer_release(&line);
    buffer_release(&out);
    buffer_release(&s->text);
    free(s->ids.data);
    return code;
}

/* id, token and a mark for special ones, a line each */
static void print_tokens(const mica_tokenizer *t, const mica_ids *ids)
{
    for (size_t i = 0; i < ids->n; i++) {
        size_t n = 0;
        const char *token = mica_tokenizer_token(t, ids->data[i], &n);
        buffer shown = {0};
        if (token) buffer_add_json(&shown, token, n);
        out_printf("%8d  %s%s\n", ids->data[i], token ? shown.p : "(no such token)",
                   mica_tokenizer_is_special(t, ids->data[i]) ? "  special" : "");
        buffer_release(&shown);
    }
}

int cmd_tokenize(int argc, char **argv)
{
    model_choice choice = {0};
    const char *file = NULL;
    bool special_tokens = true, split = false, jsonl = false, tokens = false, count = false;
    const option own[] = {
        {.name = "jsonl",
         .kind = OPTION_FLAG,
         .value = &jsonl,
         .help = "filter: a JSON string per line of standard input in, an array of ids out; a line that fails gives "
                 "{\"error\": ...}"},
        {.name = "special-tokens",
         .kind = OPTION_FLAG,
         .value = &special_tokens,
         .help = "without the tokens that the tokenizer puts around a text"},
        {.name = "split-special-tokens",
         .kind = OPTION_FLAG,
         .value = &split,
         .help = "special tokens in the text are plain text"},
        {.name = "file",
         .kind = OPTION_TEXT,
         .value = &file,
         .argument = "FILE",
         .help = "the text; - for standard input"},
        {.name = "tokens", .kind = OPTION_FLAG, .value = &tokens, .help = "a line per token: id and token"},
        {.name = "count", .kind = OPTION_FLAG, .value = &count, .help = "only how many ids there are"},
    };
    option model[N_MODEL_OPTIONS];
    model_options_table(&choice, model);
    command_line line = {.verb = "tokenize",
                         .synopsis = "[TEXT]",
                         .about =
                             "Prints the token ids of a text as one JSON array. Without TEXT it reads standard input.",
                         .groups = {{"Options", own, sizeof own / sizeof own[0]}, model_options_group(model, false)},
                         .n_groups = 2,
                         .max_words = 1};
    if (!options_parse(&line, argc, argv)) return line.exit_code;
    if (jsonl && (line.n_words || file || tokens || count))
        return options_usage(&line, "--jsonl reads standard input and takes no text, --file, --tokens or --count");

    mica_tokenizer *t = NULL;
    int code = open_tokenizer(&choice, &t);
    if (code) return code;
    const unsigned flags = (special_tokens ? MICA_ADD_SPECIAL_TOKENS : 0) | (split ? MICA_SPLIT_SPECIAL_TOKENS : 0);
    if (jsonl) {
        stream s = {.tokenizer = t, .flags = flags, .convert = string_to_ids};
        code = run_stream(&s);
        mica_tokenizer_free(t);
        return code;
    }
    buffer text = {0};
    mica_ids ids = {0};
    mica_error err;
    if ((code = take_input(&line, file, &text)) == 0) {
        if (mica_tokenizer_encode(t, text.p ? text.p : "", text.n, flags, &ids, &err) != MICA_OK) {
            code = fail(&err);
        } else {
            if (tokens)
                print_tokens(t, &ids);
            else if (count)
                out_printf("%zu\n", ids.n);
            else
                out_ids(ids.data, ids.n), out_printf("\n");
            code = out_finish();
        }
    }
    mica_ids_release(&ids);
    buffer_release(&text);
    mica_tokenizer_free(t);
    return code;
}

int cmd_detokenize(int argc, char **argv)
{
    model_choice choice = {0};
    const char *file = NULL;
    bool skip = false, jsonl = false;
    const option own[] = {
        {.name = "jsonl",
         .kind = OPTION_FLAG,
         .value = &jsonl,
         .help = "filter: an array of ids per line of standard input in, a JSON string out; a line that fails gives "
                 "{\"error\": ...}"},
        {.name = "skip-special-tokens",
         .kind = OPTION_FLAG,
         .value = &skip,
         .help = "leave special tokens out of the text"},
        {.name = "file",
         .kind = OPTION_TEXT,
         .value = &file,
         .argument = "FILE",
         .help = "the ids; - for standard input"},
    };
    option model[N_MODEL_OPTIONS];
    model_options_table(&choice, model);
    command_line line = {
        .verb = "detokenize",
        .synopsis = "[IDS]",
        .about =
            "Prints the text of token ids, given as 1,2,3 or as a JSON array. Without IDS it reads standard input.",
        .groups = {{"Options", own, sizeof own / sizeof own[0]}, model_options_group(model, false)},
        .n_groups = 2,
        .max_words = 1};
    if (!options_parse(&line, argc, argv)) return line.exit_code;
    if (jsonl && (line.n_words || file))
        return options_usage(&line, "--jsonl reads standard input and takes no ids or --file");

    mica_tokenizer *t = NULL;
    int code = open_tokenizer(&choice, &t);
    if (code) return code;
    if (jsonl) {
        stream s = {.tokenizer = t, .skip_special_tokens = skip, .convert = ids_to_string};
        code = run_stream(&s);
        mica_tokenizer_free(t);
        return code;
    }
    buffer input = {0};
    mica_ids ids = {0};
    mica_text text = {0};
    mica_error err;
    const char *why;
    if ((code = take_input(&line, file, &input)) == 0) {
        if (!read_ids(input.p, &ids, &why)) {
            code = options_usage(&line, "%s", why);
        } else if (mica_tokenizer_decode(t, ids.data, ids.n, skip, &text, &err) != MICA_OK) {
            code = fail(&err);
        } else {
            out_write(text.data, text.n);
            if (out_is_terminal()) out_printf("\n");
            code = out_finish();
        }
    }
    mica_text_release(&text);
    free(ids.data);
    buffer_release(&input);
    mica_tokenizer_free(t);
    return code;
}
