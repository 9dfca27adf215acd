/* cli/cmd_generate.c: the verb generate: new text after a prompt, or new ids after ids.
 *
 * Standard output gets the new text (or the arrays of new ids) and nothing else. One text is written as it comes, several when all are there. */
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
    const char *negative, *negative_ids_text;              /* NULL: not given */
    const char *ids_text, *scores_path;
    bool chat_template, stats;
    settings settings;
    model_choice model, assistant;
} request;

/* What a request is about once models are loaded. */
typedef struct work {
    mica_model *model, *assistant; /* assistant NULL: none */
    mica_ids prompt, negative;
    mica_generation_config *config;
} work;

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

static mica_status print_text(mica_model *model, const int32_t *ids, size_t n, mica_error *err)
{
    const mica_tokenizer *tokenizer;
    mica_text text = {0};
    mica_status status = mica_model_tokenizer(model, &tokenizer, err);
    if (status == MICA_OK) status = mica_tokenizer_decode(tokenizer, ids, n, true, &text, err);
    if (status == MICA_OK) out_write(text.data, text.n);
    mica_text_release(&text);
    return status;
}

/* What did not come token by token. */
static mica_status print_rest(const work *w, const request *r, const mica_batch_result *result, mica_error *err)
{
    mica_status status = MICA_OK;
    for (size_t i = 0; i < result->n_sequences && status == MICA_OK; i++) {
        const int32_t *ids = result->ids + i * result->n_new;
        if (r->ids_text) {
            out_ids(ids, result->lengths[i]);
            out_printf("\n");
        } else if (result->n_sequences > 1) {
            if (i) out_printf("---\n");
            status = print_text(w->model, ids, result->lengths[i], err);
            out_printf("\n");
        }
    }
    if (!r->ids_text && result->n_sequences <= 1 && out_is_terminal()) out_printf("\n");
    return status;
}

static void say_speed(const mica_batch_result *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_sequences; i++) n += r->lengths[i];
    print_speed(&(mica_generate_result){.n_prompt = r->n_prompt,
                                        .prompt_seconds = r->prompt_seconds,
                                        .decode_seconds = r->decode_seconds},
                (int64_t)n);
    if (r->n_guessed)
        fprintf(stderr, "[%lld of %lld guesses were right]\n", (long long)r->n_accepted, (long long)r->n_guessed);
}

static size_t setting_of(const mica_generation_config *config, const char *name)
{
    mica_text value = {0};
    mica_error err;
    size_t n = 1;
    if (mica_generation_config_get(config, name, &value, &err) == MICA_OK && strcmp(value.data, "null") != 0)
        n = (size_t)strtoul(value.data, NULL, 10);
    mica_text_release(&value);
    return n;
}

static int run(mica_batch *batch, const work *w, const request *r, tensor_file *scores)
{
    mica_error err;
    mica_batch_result result;
    const bool several = setting_of(w->config, "num_return_sequences") > 1;
    const bool rows = several || setting_of(w->config, "num_beams") > 1;
    sink s = {.text = !r->ids_text, .scores = scores->file.f && !rows ? scores : NULL};
    mica_batch_request q = {.ids = w->prompt.data,
                            .n_prompts = 1,
                            .width = w->prompt.n,
                            .config = w->config,
                            .negative_ids = w->negative.data,
                            .negative_width = w->negative.n,
                            .assistant = w->assistant,
                            .want_scores = scores->file.f && rows};
    if (!several && (s.text || s.scores)) { /* ids alone need no tokenizer */
        q.callbacks.token = on_token;
        q.callbacks.token_context = &s;
    }
    mica_status status = mica_batch_generate(batch, &q, &result, &err);
    if (status == MICA_OK && q.want_scores)
        tensor_file_add(scores, result.scores, (int64_t)(result.n_steps * result.n_rows));
    if (status == MICA_OK) {
        status = print_rest(w, r, &result, &err);
    } else if (out_is_terminal()) {
        out_printf("\n");
    }
    out_flush();
    if (status == MICA_OK && (r->stats || isatty(STDERR_FILENO))) say_speed(&result);
    mica_batch_result_release(&result);
    return status == MICA_OK ? 0 : fail(&err);
}

static int run_with_scores(mica_batch *batch, const work *w, const request *r)
{
    tensor_file scores = {0};
    int code = 0;
    if (r->scores_path)
        code = tensor_file_open(&scores, r->scores_path, "scores", mica_model_get_info(w->model)->vocab_size);
    if (code == 0) code = run(batch, w, r, &scores);
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

static int generate(work *w, const request *r)
{
    mica_batch *batch = NULL;
    mica_error err;
    int code = 0;
    mica_status status = make_config(r, w->model, &w->config, &err);
    if (status == MICA_OK) status = mica_batch_create(&batch, w->model, NULL, &err);
    if (status != MICA_OK) {
        code = fail(&err);
    } else {
        interrupt_watch_batch(batch);
        code = run_with_scores(batch, w, r);
        interrupt_watch_batch(NULL);
    }
    mica_batch_free(batch);
    mica_generation_config_free(w->config);
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

static int take_ids(const command_line *line, const char *text, const char *name, mica_ids *ids)
{
    const char *why;
    if (!read_ids(text, ids, &why)) return options_usage(line, "--%s: %s", name, why);
    return 0; /* none: the model's own first token */
}

static int encode_negative(const request *r, work *w)
{
    mica_error err;
    const buffer text = {.p = (char *)r->negative, .n = strlen(r->negative)};
    return encode_plain(w->model, &text, &w->negative, &err) == MICA_OK ? 0 : fail(&err);
}

static int run_models(const request *r, work *w, const buffer *text, const mica_ids *ids, const mica_ids *negative)
{
    mica_ids encoded = {0};
    int code = 0;
    w->prompt = *ids;
    w->negative = *negative;
    if (!r->ids_text) {
        code = encode_prompt(w->model, r, text, &encoded);
        w->prompt = encoded;
    }
    if (code == 0 && r->negative) code = encode_negative(r, w);
    if (code == 0) code = generate(w, r);
    mica_ids_release(&encoded);
    if (r->negative) mica_ids_release(&w->negative);
    return code;
}

static int run_request(const command_line *line, const request *r)
{
    buffer text = {0};
    mica_ids ids = {0}, negative = {0};
    loaded_model m = {0}, assistant = {0};
    work w = {0};
    const bool with_text = !r->ids_text || r->negative;
    int code = take_text(line, r, &text);
    if (code == 0 && r->ids_text) code = take_ids(line, r->ids_text, "ids", &ids);
    if (code == 0 && r->negative && r->negative_ids_text)
        code = options_usage(line, "more than one negative prompt is given");
    if (code == 0 && r->negative_ids_text) code = take_ids(line, r->negative_ids_text, "negative-ids", &negative);
    if (code == 0) code = check_variables(line, r);
    if (code == 0) code = settings_check(&r->settings);
    if (code == 0) code = model_open(&m, &r->model, with_text ? MODEL_WEIGHTS_AND_TOKENIZER : MODEL_WEIGHTS);
    if (code == 0 && r->assistant.name) code = model_open(&assistant, &r->assistant, MODEL_WEIGHTS);
    w.model = m.model;
    w.assistant = assistant.model;
    if (code == 0) code = run_models(r, &w, &text, &ids, &negative);
    model_close(&assistant);
    model_close(&m);
    free(ids.data);
    free(negative.data);
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
        {.name = "negative-prompt",
         .kind = OPTION_TEXT,
         .value = &r.negative,
         .argument = "TEXT",
         .help = "with --guidance-scale: what the text should move away from, instead of the prompt's last token"},
        {.name = "negative-ids",
         .kind = OPTION_TEXT,
         .value = &r.negative_ids_text,
         .argument = "IDS",
         .help = "the same as token ids"},
        {.name = "assistant-model",
         .kind = OPTION_TEXT,
         .value = &r.assistant.name,
         .argument = "MODEL",
         .help = "a smaller model with the same tokens that guesses ahead: the same text, sooner if it guesses well"},
        {.name = "output-scores",
         .kind = OPTION_TEXT,
         .value = &r.scores_path,
         .argument = "FILE",
         .help = "safetensors file for tensor scores [steps, V] float32: what the processors left before each choice "
                 "(several rows, such as beams, one after another: [steps * rows, V])"},
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
    const bool parsed = options_parse(&line, argc, argv);
    r.assistant.device = r.model.device, r.assistant.dtype = r.model.dtype;
    r.assistant.precision = r.model.precision, r.assistant.threads = r.model.threads;
    const int code = parsed ? run_request(&line, &r) : line.exit_code;
    settings_release(&r.settings);
    return code;
}
