/* cli/cmd_perplexity.c: the verb perplexity: how well a model predicts a text, and how far it is from another one. */
#include "files.h"
#include "interrupt.h"
#include "model_options.h"
#include "output.h"
#include "progress.h"
#include "report.h"
#include "score.h"
#include "timing.h"
#include "verbs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT_BYTES = 1 << 30 };

typedef struct choices {
    model_choice model;
    const char *file, *text, *reference, *reference_precision;
    int64_t window, stride, max_tokens;
    bool json;
} choices;

static void print_table(const mica_perplexity_result *r, bool compared, double seconds)
{
    out_printf("perplexity        %.4f +- %.4f\n", r->perplexity, r->perplexity_error);
    out_printf("mean -ln p        %.6f +- %.6f\n", r->nll, r->nll_error);
    out_printf("positions         %" PRId64 " (%.1f/s)\n", r->n_scored, (double)r->n_scored / seconds);
    if (!compared) return;
    out_printf("reference         perplexity %.4f, mean -ln p %.6f +- %.6f\n", r->reference_perplexity,
               r->reference_nll, r->reference_error);
    out_printf("change            %+.6f +- %.6f of mean -ln p\n", r->nll_change, r->nll_change_error);
    out_printf("KL divergence     %.4g +- %.2g, at most %.4g\n", r->kl, r->kl_error, r->kl_max);
    out_printf("same first choice %.3f%% +- %.3f%%\n", r->top1_agreement * 100, r->top1_error * 100);
}

static void print_json(const mica_perplexity_result *r, bool compared, double seconds)
{
    out_printf("{\"positions\": %" PRId64 ", \"nll\": %.9g, \"nll_error\": %.9g, \"perplexity\": %.9g, "
               "\"perplexity_error\": %.9g, \"seconds\": %.3f",
               r->n_scored, r->nll, r->nll_error, r->perplexity, r->perplexity_error, seconds);
    if (compared)
        out_printf(", \"reference_nll\": %.9g, \"reference_nll_error\": %.9g, \"reference_perplexity\": %.9g, "
                   "\"nll_change\": %.9g, \"nll_change_error\": %.9g, \"kl\": %.9g, \"kl_error\": %.9g, \"kl_max\": "
                   "%.9g, \"top1_agreement\": %.9g, \"top1_agreement_error\": %.9g",
                   r->reference_nll, r->reference_error, r->reference_perplexity, r->nll_change, r->nll_change_error,
                   r->kl, r->kl_error, r->kl_max, r->top1_agreement, r->top1_error);
    out_printf("}\n");
}

static int score_models(const choices *c, mica_model *model, mica_model *reference, const buffer *text)
{
    mica_error err;
    mica_perplexity_result result;
    progress_bar bar;
    const mica_perplexity_options options = {
        .window = c->window, .stride = c->stride, .n_threads = (int)c->model.threads, .progress = progress_start(&bar)};
    interrupt_defer(true, false);
    const double start = seconds_now();
    const mica_status status =
        score_text(model, reference, text->p ? text->p : "", text->n, (size_t)c->max_tokens, &options, &result, &err);
    const double seconds = seconds_now() - start;
    interrupt_defer(false, false);
    progress_end(&bar);
    if (status != MICA_OK) return fail(&err);
    (c->json ? print_json : print_table)(&result, reference != NULL, seconds);
    return out_finish();
}

static int run(const choices *c, const buffer *text)
{
    loaded_model model = {0}, reference = {0};
    int code = model_open(&model, &c->model, MODEL_WEIGHTS_AND_TOKENIZER);
    if (code == 0 && (c->reference || c->reference_precision)) {
        model_choice other = c->model;
        other.kv_bits = 0; /* what a quantized cache changes is seen against one that is not */
        if (c->reference) other.name = c->reference;
        if (c->reference_precision) other.precision = c->reference_precision;
        code = model_open(&reference, &other, MODEL_WEIGHTS);
    }
    if (code == 0) code = score_models(c, model.model, reference.model, text);
    model_close(&reference);
    model_close(&model);
    return code;
}

int cmd_perplexity(int argc, char **argv)
{
    choices c = {0};
    const option own[] = {
        {.name = "file",
         .letter = 'f',
         .kind = OPTION_TEXT,
         .value = &c.file,
         .argument = "FILE",
         .help = "the text instead of FILE; - is standard input"},
        {.name = "text", .kind = OPTION_TEXT, .value = &c.text, .argument = "TEXT", .help = "the text itself"},
        {.name = "window",
         .kind = OPTION_NUMBER,
         .value = &c.window,
         .argument = "N",
         .min = 2,
         .max = 1 << 24,
         .help = "tokens that the model sees at once; default: 1024, or its context if that is shorter"},
        {.name = "stride",
         .kind = OPTION_NUMBER,
         .value = &c.stride,
         .argument = "N",
         .min = 1,
         .max = 1 << 24,
         .help = "tokens by which a window begins after the one before; default: half a window"},
        {.name = "max-tokens",
         .kind = OPTION_NUMBER,
         .value = &c.max_tokens,
         .argument = "N",
         .min = 2,
         .max = INT32_MAX,
         .help = "take only the first N tokens of the text"},
        {.name = "reference",
         .kind = OPTION_TEXT,
         .value = &c.reference,
         .argument = "MODEL",
         .help = "compare with the predictions of another checkpoint, its cache not quantized"},
        {.name = "reference-precision",
         .kind = OPTION_TEXT,
         .value = &c.reference_precision,
         .argument = "MODE",
         .choices = "fast exact int8",
         .help = "precision of the reference; without --reference the same checkpoint is compared with itself"},
        {.name = "json", .kind = OPTION_FLAG, .value = &c.json, .help = "one JSON object"},
    };
    option model[N_MODEL_OPTIONS];
    model_options_table(&c.model, model);
    command_line line = {.verb = "perplexity",
                         .synopsis = "[FILE]",
                         .about =
                             "Says how well a model predicts a text, and how its predictions differ from those of a "
                             "reference.\nWithout FILE and --text a short text that is part of the program is taken.",
                         .groups = {{"Options", own, sizeof own / sizeof own[0]}, model_options_group(model, true)},
                         .n_groups = 2,
                         .max_words = 1};
    if (!options_parse(&line, argc, argv)) return line.exit_code;
    if (line.n_words && c.file) return options_usage(&line, "both FILE and --file are given");
    if (line.n_words) c.file = line.words[0];
    if (c.file && c.text) return options_usage(&line, "both a file and --text are given");
    if (c.window && c.stride > c.window) return options_usage(&line, "--stride is larger than --window");

    buffer text = {0};
    mica_error err;
    int code = 0;
    if (c.file && !file_read(&text, c.file, MAX_TEXT_BYTES, &err)) code = fail(&err);
    if (c.text) buffer_add_z(&text, c.text);
    if (!c.file && !c.text) buffer_add_z(&text, sample_text());
    if (code == 0) code = run(&c, &text);
    buffer_release(&text);
    return code;
}
