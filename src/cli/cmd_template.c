/* cli/cmd_template.c: the verb template: a conversation to the prompt that its model expects. No weights are needed.
 *
 * The input object goes to the library as it is: {"messages": [...], "tools": ..., "add_generation_prompt": true, ...}. */
#include "files.h"
#include "model_options.h"
#include "output.h"
#include "report.h"
#include "resolve.h"
#include "verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEMPLATE_BYTES = 16 << 20, MAX_INPUT_BYTES = 256 << 20 };

/* {"bos_token": "<s>", ...}: what variables of a template file are by default when a model is named, too. */
static int special_tokens_of(const char *path, buffer *json)
{
    mica_tokenizer *t = NULL;
    mica_error err;
    const char *role, *token;
    if (mica_tokenizer_load(&t, path, &err) != MICA_OK) return fail(&err);
    buffer_add_z(json, "{");
    for (size_t i = 0; (role = mica_tokenizer_special_at(t, i, &token)); i++) {
        if (i) buffer_add_z(json, ", ");
        buffer_add_json(json, role, strlen(role));
        buffer_add_z(json, ": ");
        buffer_add_json(json, token, strlen(token));
    }
    buffer_add_z(json, "}");
    mica_tokenizer_free(t);
    return 0;
}

static int open_template(const char *file, const model_choice *choice, mica_chat_template **out)
{
    mica_error err;
    char *path = NULL;
    buffer source = {0}, tokens = {0};
    int code = file && !choice->name
                   ? 0
                   : resolve_model(choice->name, choice->revision, choice->gguf, MICA_HUB_FILES_TOKENIZER, &path);
    if (code) return code;
    mica_status status = MICA_OK;
    if (!file)
        status = mica_chat_template_load(out, path, &err);
    else if (!file_read(&source, file, MAX_TEMPLATE_BYTES, &err))
        status = err.status;
    else if (path && (code = special_tokens_of(path, &tokens)) != 0)
        ; /* said */
    else
        status = mica_chat_template_create(out, source.p, source.n, tokens.p, &err);
    if (status != MICA_OK) code = fail(&err);
    buffer_release(&source);
    buffer_release(&tokens);
    free(path);
    return code;
}

static int run_stream(const mica_chat_template *t, const mica_chat_template_options *options)
{
    buffer line = {0}, out = {0};
    errno = 0;
    while (out_ok() && read_line(&line, stdin)) {
        mica_text text = {0};
        mica_error err;
        if (mica_chat_template_render(t, line.p, line.n, options, &text, &err) != MICA_OK) {
            buffer_set_error(&out, err.message);
        } else {
            buffer_clear(&out);
            buffer_add_z(&out, "{\"text\": ");
            buffer_add_json(&out, text.data, text.n);
            buffer_add_z(&out, "}");
        }
        out_line(&out);
        mica_text_release(&text);
    }
    int code = out_finish();
    if (ferror(stdin)) code = fail_errno(EX_IOERR, "read", "standard input");
    buffer_release(&line);
    buffer_release(&out);
    return code;
}

/* The input object: a file's, standard input's, or one user message. */
static int take_input(const command_line *line, const char *file, const char *system, buffer *out)
{
    mica_error err;
    if (!line->n_words) {
        if (system) return options_usage(line, "--system needs a TEXT; in an input object it is a message");
        return file_read(out, file ? file : "-", MAX_INPUT_BYTES, &err) ? 0 : fail(&err);
    }
    if (file) return options_usage(line, "both a text and --input are given");
    buffer_add_z(out, "{\"messages\": [");
    if (system) {
        buffer_add_z(out, "{\"role\": \"system\", \"content\": ");
        buffer_add_json(out, system, strlen(system));
        buffer_add_z(out, "}, ");
    }
    buffer_add_z(out, "{\"role\": \"user\", \"content\": ");
    buffer_add_json(out, line->words[0], strlen(line->words[0]));
    buffer_add_z(out, "}], \"add_generation_prompt\": true}");
    return 0;
}

int cmd_template(int argc, char **argv)
{
    model_choice choice = {0};
    mica_chat_template_options options = {0};
    const char *file = NULL, *input = NULL, *system = NULL;
    bool jsonl = false;
    const option own[] = {
        {.name = "jsonl",
         .kind = OPTION_FLAG,
         .value = &jsonl,
         .help = "filter: an input object per line of standard input in, {\"text\": ...} or {\"error\": ...} out"},
        {.name = "input",
         .kind = OPTION_TEXT,
         .value = &input,
         .argument = "FILE",
         .help = "the input object: messages, tools, documents, add_generation_prompt and any other variable; - for "
                 "standard input"},
        {.name = "system",
         .kind = OPTION_TEXT,
         .value = &system,
         .argument = "TEXT",
         .help = "a system message before TEXT"},
        {.name = "template",
         .kind = OPTION_TEXT,
         .value = &file,
         .argument = "FILE",
         .help = "a Jinja file instead of the model's template; with -m the model's special tokens are its variables"},
        {.name = "name",
         .kind = OPTION_TEXT,
         .value = &options.name,
         .argument = "NAME",
         .help = "which of several templates of the model (default, tool_use, rag ...)"},
        {.name = "now",
         .kind = OPTION_TEXT,
         .value = &options.now,
         .argument = "TIME",
         .help = "the clock of strftime_now, such as 2026-01-02T03:04:05; default: local time"},
    };
    option model[N_MODEL_OPTIONS];
    model_options_table(&choice, model);
    command_line line = {
        .verb = "template",
        .synopsis = "[TEXT]",
        .about = "Prints the prompt that the model's chat template makes of a conversation: of one user message TEXT,\n"
                 "or of an input object (see --input), read from standard input if nothing else is given.",
        .groups = {{"Options", own, sizeof own / sizeof own[0]}, model_options_group(model, false)},
        .n_groups = 2,
        .max_words = 1};
    if (!options_parse(&line, argc, argv)) return line.exit_code;
    if (jsonl && (line.n_words || input || system))
        return options_usage(&line, "--jsonl reads standard input and takes no text, --input or --system");

    mica_chat_template *t = NULL;
    int code = open_template(file, &choice, &t);
    if (code) return code;
    if (jsonl) {
        code = run_stream(t, &options);
        mica_chat_template_free(t);
        return code;
    }
    buffer object = {0};
    mica_text text = {0};
    mica_error err;
    if ((code = take_input(&line, input, system, &object)) == 0) {
        if (mica_chat_template_render(t, object.p, object.n, &options, &text, &err) != MICA_OK) {
            code = fail(&err);
        } else {
            out_write(text.data, text.n);
            if (out_is_terminal()) out_printf("\n");
            code = out_finish();
        }
    }
    mica_text_release(&text);
    buffer_release(&object);
    mica_chat_template_free(t);
    return code;
}
