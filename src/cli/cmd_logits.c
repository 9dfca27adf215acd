/* cli/cmd_logits.c: the verb logits: the model's raw scores after every position of a prompt, as a safetensors file with
 * `logits` [T, V] float32. For comparing with other implementations, so nothing is added to the ids that were given. */
#include "interrupt.h"
#include "model_options.h"
#include "report.h"
#include "tensor_file.h"
#include "verbs.h"

#include <mica/generate.h>
#include <stdlib.h>
#include <string.h>

/* Scores of a piece of the prompt at a time, so that memory does not grow with its length. */
static mica_status write_logits(mica_session *s, const mica_ids *ids, int64_t vocab, int64_t piece, tensor_file *file,
                                mica_error *err)
{
    float *scores = take_memory((size_t)(piece * vocab), sizeof *scores); /* [piece, vocab] */
    mica_status status = MICA_OK;
    for (size_t i = 0; i < ids->n && status == MICA_OK;) {
        const size_t n = ids->n - i < (size_t)piece ? ids->n - i : (size_t)piece;
        status = mica_session_forward(s, ids->data + i, n, true, scores, err);
        if (status == MICA_OK) tensor_file_add(file, scores, (int64_t)n);
        i += n;
    }
    free(scores);
    return status;
}

/* The ids of --ids, or of --prompt with the special tokens that the tokenizer adds. */
static int take_ids(mica_model *model, const char *text, mica_ids *ids)
{
    const mica_tokenizer *t;
    mica_error err;
    if (!text) return 0;
    if (mica_model_tokenizer(model, &t, &err) != MICA_OK ||
        mica_tokenizer_encode(t, text, strlen(text), MICA_ADD_SPECIAL_TOKENS, ids, &err) != MICA_OK)
        return fail(&err);
    return ids->n ? 0 : fail_with(EX_USAGE, "the prompt has no tokens");
}

static int run(mica_model *model, const mica_ids *ids, int64_t piece, const char *output)
{
    mica_session *session = NULL;
    mica_error err;
    tensor_file file = {0};
    const int64_t vocab = mica_model_get_info(model)->vocab_size;
    const mica_session_options options = {.max_context = (int64_t)ids->n};
    if (mica_session_create(&session, model, &options, &err) != MICA_OK) return fail(&err);
    interrupt_watch_session(session);
    int code = tensor_file_open(&file, output, "logits", vocab);
    if (code == 0 && write_logits(session, ids, vocab, piece, &file, &err) != MICA_OK) code = fail(&err);
    if (code == 0) code = tensor_file_commit(&file);
    tensor_file_discard(&file);
    interrupt_watch_session(NULL);
    mica_session_free(session);
    return code;
}

int cmd_logits(int argc, char **argv)
{
    model_choice choice = {0};
    const char *ids_text = NULL, *prompt = NULL, *output = NULL;
    int64_t piece = 64;
    const option own[] = {
        {.name = "ids",
         .kind = OPTION_TEXT,
         .value = &ids_text,
         .argument = "IDS",
         .help = "the prompt as token ids: 1,2,3"},
        {.name = "prompt",
         .kind = OPTION_TEXT,
         .value = &prompt,
         .argument = "TEXT",
         .help = "the prompt as text instead"},
        {.name = "output",
         .letter = 'o',
         .kind = OPTION_TEXT,
         .value = &output,
         .argument = "FILE",
         .help = "safetensors file for tensor logits [T, V] float32"},
        {.name = "chunk",
         .kind = OPTION_NUMBER,
         .value = &piece,
         .argument = "N",
         .min = 1,
         .max = 4096,
         .help = "tokens given to the model at a time; default: 64"},
    };
    option model[N_MODEL_OPTIONS];
    model_options_table(&choice, model);
    command_line line = {.verb = "logits",
                         .synopsis = "--ids IDS --output FILE",
                         .about = "Writes the model's scores after every position of a prompt into a safetensors file.",
                         .groups = {{"Options", own, sizeof own / sizeof own[0]}, model_options_group(model, true)},
                         .n_groups = 2};
    mica_ids ids = {0};
    const char *why;
    if (!options_parse(&line, argc, argv)) return line.exit_code;
    if (!output) return options_usage(&line, "--output is missing");
    if (!ids_text == !prompt) return options_usage(&line, "one of --ids and --prompt is needed");
    int code = 0;
    if (ids_text && !read_ids(ids_text, &ids, &why)) code = options_usage(&line, "--ids: %s", why);
    if (code == 0 && ids_text && ids.n == 0) code = options_usage(&line, "--ids is empty");

    loaded_model m = {0};
    mica_ids encoded = {0};
    if (code == 0) code = model_open(&m, &choice, MODEL_WEIGHTS);
    if (code == 0) code = take_ids(m.model, prompt, &encoded);
    if (code == 0) code = run(m.model, prompt ? &encoded : &ids, piece, output);
    mica_ids_release(&encoded);
    free(ids.data);
    model_close(&m);
    return code;
}
