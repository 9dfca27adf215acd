/* cli/cmd_generate.c: the verb generate: new text after a prompt, or new ids after ids.
 *
 * Standard output gets the new text (or the arrays of new ids) and nothing else. */
#include "files.h"
#include "interrupt.h"
#include "model_options.h"
#include "output.h"
#include "report.h"
#include "setting_options.h"
#include "speed.h"
#include "tensor_file.h"
#include "verbs.h"

#include <mica/generate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PROMPT_BYTES = 1 << 30, DEFAULT_NEW_TOKENS = 256 };

typedef struct request {
    const char *prompt, *prompt_file, *system, *variables; /* NULL: not given */
    const char *ids_text, *scores_path;
    bool chat_template, stats;
    settings settings;
    model_choice model;
} request;

/* ---- the prompt ------------------------------------------------------------------------------------------------------------- */

static void add_message(buffer *out, const char *role, const char *text, size_t n)
{
    buffer_add_z(out, "{\"role\": ");
    buffer_add_json(out, role, strlen(role));
    buffer_add_z(out, ", \"content\": ");
    buffer_add_json(out, text, n);
    buffer_add_z(out, "}");
}

static const char white[] = " \t\r\n";

/* {"messages": [...], "add_generation_prompt": true, ...the members of `variables`, an object} */
static void add_conversation(buffer *out, const request *r, const buffer *text)
{
    buffer_add_z(out, "{\"messages\": [");
    if (r->system) {
        add_message(out, "system", r->system, strlen(r->system));
        buffer_add_z(out, ", ");
    }
    add_message(out, "user", text->p, text->n);
    buffer_add_z(out, "], \"add_generation_prompt\": true");
    const char *brace = r->variables ? strchr(r->variables, '{') : NULL;
    if (brace && brace[1 + strspn(brace + 1, white)] != '}') {
        buffer_add_z(out, ", ");
        buffer_add_z(out, brace + 1); /* brings the closing brace */
    } else {
        buffer_add_z(out, "}");
    }
}

/* --chat-template-kwargs is looked at before the model is loaded: an empty template must render with it. */
static int check_variables(const command_line *line, const request *r)
{
    static const buffer nothing = {.p = ""};
    mica_chat_template *empty = NULL;
    mica_text text = {0};
    mica_error err;
    buffer input = {0};
    if (!r->variables) return 0;
    if (r->variables[strspn(r->variables, white)] != '{')
        return options_usage(line, "--chat-template-kwargs: expected a JSON object");
    add_conversation(&input, r, &nothing);
    mica_status status = mica_chat_template_create(&empty, "", 0, NULL, &err);
    if (status == MICA_OK) status = mica_chat_template_render(empty, input.p, input.n, NULL, &text, &err);
    mica_chat_template_free(empty);
    mica_text_release(&text);
    buffer_release(&input);
    return status == MICA_OK ? 0 : options_usage(line, "--chat-template-kwargs: %s", err.message);
}

static mica_status encode_chat(mica_model *model, const request *r, const buffer *text, mica_ids *ids, mica_error *err)
{
    const mica_tokenizer *tokenizer;
    const mica_chat_template *template;
    buffer input = {0};
    mica_text prompt = {0};
    mica_status status = mica_model_tokenizer(model, &tokenizer, err);
    if (status == MICA_OK) status = mica_model_chat_template(model, &template, err);
    if (status == MICA_OK) {
        add_conversation(&input, r, text);
        status = mica_chat_template_render(template, input.p, input.n, NULL, &prompt, err);
    }
    if (status == MICA_OK) status = mica_tokenizer_encode(tokenizer, prompt.data, prompt.n, 0, ids, err);
    mica_text_release(&prompt);
    buffer_release(&input);
    return status;
}

static mica_status encode_plain(mica_model *model, const buffer *text, mica_ids *ids, mica_error *err)
{
    const mica_tokenizer *tokenizer;
    const mica_status status = mica_model_tokenizer(model, &tokenizer, err);
    if (status != MICA_OK) return status;
    return mica_tokenizer_encode(tokenizer, text->p, text->n, MICA_ADD_SPECIAL_TOKENS, ids, err);
}

static int encode_prompt(mica_model *model, const request *r, const buffer *text, mica_ids *ids)
{
    mica_error err;
    const bool chat = r->chat_template && mica_model_get_info(model)->has_chat_template;
    if (!chat && (r->system || r->variables))
        return fail_with(EX_USAGE, "--system and --chat-template-kwargs need a chat template");
    const mica_status status = chat ? encode_chat(model, r, text, ids, &err) : encode_plain(model, text, ids, &err);
    return status == MICA_OK ? 0 : fail(&err);
}

/* ---- running ------------------------------------------------------------------------------------------------------------------ */

typedef struct sink {
    bool text; /* goes to standard output as it comes */
    tensor_file *scores;
} sink;

static int on_token(void *context, int32_t id, const char *text, size_t n, const float *scores)
{
    sink *s = context;
    (void)id;
    if (s->scores && scores) tensor_file_add(s->scores, scores, 1);
    if (!s->text) return 0;
    out_write(text, n);
    return !out_flush();
}

static int run(mica_session *session, const mica_ids *prompt, const mica_generation_config *config, const request *r,
               tensor_file *scores)
{
    mica_error err;
    mica_generate_result result = {0};
    sink s = {.text = !r->ids_text, .scores = scores->file.f ? scores : NULL};
    const mica_on_token watch = s.text || s.scores ? on_token : NULL; /* ids alone need no tokenizer */
    const mica_status status = mica_generate(session, prompt->data, prompt->n, config, watch, &s, &result, &err);
    if (status == MICA_OK && r->ids_text) out_ids(result.ids.data, result.ids.n);
    if (r->ids_text || out_is_terminal()) out_printf("\n");
    out_flush();
    if (status == MICA_OK && (r->stats || isatty(STDERR_FILENO))) print_speed(&result, (int64_t)result.ids.n);
    mica_ids_release(&result.ids);
    return status == MICA_OK ? 0 : fail(&err);
}

static int run_with_scores(mica_model *model, mica_session *session, const mica_ids *prompt,
                           const mica_generation_config *config, const request *r)
{
    tensor_file scores = {0};
    int code = 0;
    if (r->scores_path)
        code = tensor_file_open(&scores, r->scores_path, "scores", mica_model_get_info(model)->vocab_size);
    if (code == 0) code = run(session, prompt, config, r, &scores);
    if (code == 0 && r->scores_path) code = tensor_file_commit(&scores);
    tensor_file_discard(&scores);
    return code ? code : out_finish();
}

/* The model's settings, the file's and the flags' over them, and a length if nobody gave one. */
static mica_status make_config(const request *r, mica_model *model, mica_generation_config **config, mica_error *err)
{
    char length[16];
    mica_status status = mica_generation_config_create(config, model, err);
    if (status == MICA_OK) status = settings_apply(&r->settings, *config, false, err);
    if (status != MICA_OK || r->ids_text) return status;
    if (!settings_unset(*config, "max_new_tokens") || !settings_unset(*config, "max_length")) return MICA_OK;
    snprintf(length, sizeof length, "%d", DEFAULT_NEW_TOKENS);
    return mica_generation_config_set(*config, "max_new_tokens", length, err);
}

static int generate(mica_model *model, const mica_ids *prompt, const request *r)
{
    mica_session *session = NULL;
    mica_generation_config *config = NULL;
    mica_error err;
    int code = 0;
    mica_status status = make_config(r, model, &config, &err);
    if (status == MICA_OK) status = mica_session_create(&session, model, NULL, &err);
    if (status != MICA_OK) {
        code = fail(&err);
    } else {
        interrupt_watch_session(session);
        code = run_with_scores(model, session, prompt, config, r);
        interrupt_watch_session(NULL);
    }
    mica_session_free(session);
    mica_generation_config_free(config);
    return code;
}

/* ---- the command line ------------------------------------------------------------------------------------------------------------ */

static int take_text(const command_line *line, const request *r, buffer *text)
{
    mica_error err;
    const char *word = line->n_words ? line->words[0] : NULL;
    const int given = (word != NULL) + (r->prompt != NULL) + (r->prompt_file != NULL) + (r->ids_text != NULL);
    if (given != 1)
        return options_usage(line,
                             given ? "more than one prompt is given" : "a prompt is missing (- reads standard input)");
    if (r->ids_text) return 0;
    const char *file = r->prompt_file ? r->prompt_file : word && strcmp(word, "-") == 0 ? "-" : NULL;
    if (file) return file_read(text, file, MAX_PROMPT_BYTES, &err) ? 0 : fail(&err);
    buffer_add_z(text, word ? word : r->prompt);
    return 0;
}

static int take_ids(const command_line *line, const request *r, mica_ids *ids)
{
    const char *why;
    if (!read_ids(r->ids_text, ids, &why)) return options_usage(line, "--ids: %s", why);
    return 0; /* none: the model's own first token */
}

static int run_request(const command_line *line, const request *r)
{
    buffer text = {0};
    mica_ids given = {0}, encoded = {0};
    loaded_model m = {0};
    int code = take_text(line, r, &text);
    if (code == 0 && r->ids_text) code = take_ids(line, r, &given);
    if (code == 0) code = check_variables(line, r);
    if (code == 0) code = settings_check(&r->settings);
    if (code == 0) code = model_open(&m, &r->model, r->ids_text ? MODEL_WEIGHTS : MODEL_WEIGHTS_AND_TOKENIZER);
    if (code == 0 && !r->ids_text) code = encode_prompt(m.model, r, &text, &encoded);
    if (code == 0) code = generate(m.model, r->ids_text ? &given : &encoded, r);
    model_close(&m);
    mica_ids_release(&encoded);
    free(given.data);
    buffer_release(&text);
    return code;
}

int cmd_generate(int argc, char **argv)
{
    request r = {.chat_template = true};
    settings_init(&r.settings);
    const option own[] = {
        {.name = "prompt",
         .letter = 'p',
         .kind = OPTION_TEXT,
         .value = &r.prompt,
         .argument = "TEXT",
         .help = "the prompt, instead of the word PROMPT"},
        {.name = "prompt-file",
         .kind = OPTION_TEXT,
         .value = &r.prompt_file,
         .argument = "FILE",
         .help = "a file with the prompt; - for standard input"},
        {.name = "ids",
         .kind = OPTION_TEXT,
         .value = &r.ids_text,
         .argument = "IDS",
         .help = "the prompt as token ids, 1,2,3; prints the new ids as one JSON array (no tokenizer needed)"},
        {.name = "system",
         .kind = OPTION_TEXT,
         .value = &r.system,
         .argument = "TEXT",
         .help = "a system message before the prompt"},
        {.name = "chat-template",
         .kind = OPTION_FLAG,
         .value = &r.chat_template,
         .help = "the prompt as it stands, although the model has a chat template"},
        {.name = "chat-template-kwargs",
         .kind = OPTION_TEXT,
         .value = &r.variables,
         .argument = "JSON",
         .help = "variables for the chat template, such as {\"enable_thinking\": false}"},
        {.name = "output-scores",
         .kind = OPTION_TEXT,
         .value = &r.scores_path,
         .argument = "FILE",
         .help = "safetensors file for tensor scores [steps, V] float32: what the processors left before each choice"},
        {.name = "generation-config",
         .kind = OPTION_TEXT,
         .value = &r.settings.file,
         .argument = "FILE",
         .help = "JSON object of generation settings, over the model's own and under the flags"},
        {.name = "stats",
         .kind = OPTION_FLAG,
         .value = &r.stats,
         .help = "tokens per second on standard error (always if that is a terminal)"},
    };
    option model[N_MODEL_OPTIONS];
    model_options_table(&r.model, model);
    command_line line = {
        .verb = "generate",
        .synopsis = "[PROMPT | -]",
        .about =
            "Prints the text that the model writes after a prompt, as it comes. If the model has a chat template, the\n"
            "prompt is the user's message. Where neither the model nor a flag gives a length it is 256 new tokens\n"
            "(with --ids 20, as in Transformers).",
        .groups = {{"Options", own, sizeof own / sizeof own[0]},
                   model_options_group(model, true),
                   settings_group(&r.settings),
                   settings_idle_group(&r.settings)},
        .n_groups = 4,
        .max_words = 1};
    const int code = options_parse(&line, argc, argv) ? run_request(&line, &r) : line.exit_code;
    settings_release(&r.settings);
    return code;
}
