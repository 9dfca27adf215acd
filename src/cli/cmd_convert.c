/* cli/cmd_convert.c: the verb convert: any checkpoint in, a new one out, and a report of what became of it. */
#include "files.h"
#include "interrupt.h"
#include "model_options.h"
#include "output.h"
#include "progress.h"
#include "report.h"
#include "resolve.h"
#include "score.h"
#include "verbs.h"

#include <inttypes.h>
#include <math.h>
#include <mica/save.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct choices {
    const char *model, *output, *format, *quantize, *quantizer, *rules, *dtype, *shard, *base_model;
    int64_t threads;
    bool dequantize, overwrite, card, json;
    int evaluate; /* -1: where it takes seconds */
} choices;

/* Parameters up to which predictions are compared unasked: two models of that size read the short text in a few seconds. */
static const uint64_t MAX_UNASKED = 300000000;

/* What converting did to predictions on a short text. */
typedef struct evaluation {
    bool done;
    const char *why; /* not */
    mica_perplexity_result figures;
} evaluation;

/* ---- options -------------------------------------------------------------------------------------------------------------- */

/* "5GB", "5GiB", "500MB", "1000000"; 0 if it is none of these. */
static uint64_t size_of(const char *text)
{
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {{"", 1},
                 {"KB", 1000},
                 {"MB", 1000000},
                 {"GB", 1000000000},
                 {"KiB", 1ull << 10},
                 {"MiB", 1ull << 20},
                 {"GiB", 1ull << 30}};
    char *end;
    if (text[0] < '0' || text[0] > '9') return 0;
    const double n = strtod(text, &end);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].unit) == 0 && n < 1e15) return (uint64_t)(n * (double)units[i].bytes);
    return 0;
}

static void take_evaluate(void *value, const option *o, const char *text)
{
    (void)o;
    *(int *)value = strcmp(text, "true") == 0;
}

static int read_rules(const char *path, buffer *text)
{
    mica_error err;
    if (!path) return 0;
    if (!file_read(text, path, 1 << 20, &err)) return fail(&err);
    return 0;
}

/* ---- the report ----------------------------------------------------------------------------------------------------------- */

static void print_evaluation(const evaluation *e)
{
    const mica_perplexity_result *f = &e->figures;
    if (!e->done) {
        if (e->why) out_printf("perplexity       not compared: %s\n", e->why);
        return;
    }
    out_printf(
        "perplexity       %.3f, was %.3f (%+.2f%% +- %.2f%%), KL divergence %.3g, same first choice %.1f%%, on a short "
        "text of %" PRId64 " tokens\n",
        f->perplexity, f->reference_perplexity, expm1(f->nll_change) * 100, f->nll_change_error * 100, f->kl,
        f->top1_agreement * 100, f->n_scored);
}

static void print_table(const mica_save_report *r, const evaluation *e)
{
    out_printf("%s: %.1f MB in %d file%s, %.3f bits per weight, %.1f s\n", r->path, (double)r->tensor_bytes / 1e6,
               r->n_shards, r->n_shards == 1 ? "" : "s", r->bits_per_weight, r->seconds);
    if (r->resumed_bytes)
        out_printf("%.0f%% of it had been converted before\n",
                   100 * (double)r->resumed_bytes / (double)r->source_bytes);
    bool any = false;
    for (int i = 0; i < r->n_kinds; i++) any |= r->kinds[i].largest_error > 0;
    if (any)
        out_printf("%-16s %-16s %10s %14s %12s %10s\n", "layers", "as", "MB", "largest error", "mean error",
                   "relative");
    for (int i = 0; i < r->n_kinds && any; i++) {
        const mica_save_kind *k = &r->kinds[i];
        out_printf("%-16s %-16s %10.1f %14.3g %12.3g %9.2f%%\n", k->name, k->form, (double)k->n_bytes / 1e6,
                   k->largest_error, k->mean_error, k->relative_error * 100);
    }
    print_evaluation(e);
}

static void print_json(const mica_save_report *r, const evaluation *e)
{
    out_printf("{\"path\": ");
    out_json(r->path);
    out_printf(", \"shards\": %d, \"parameters\": %" PRIu64 ", \"source_bytes\": %" PRIu64 ", \"bytes\": %" PRIu64
               ", \"resumed_bytes\": %" PRIu64 ", \"bits_per_weight\": %.6f, \"seconds\": %.3f, \"layers\": [",
               r->n_shards, r->n_parameters, r->source_bytes, r->tensor_bytes, r->resumed_bytes, r->bits_per_weight,
               r->seconds);
    for (int i = 0; i < r->n_kinds; i++) {
        const mica_save_kind *k = &r->kinds[i];
        out_printf("%s{\"name\": ", i ? ", " : "");
        out_json(k->name);
        out_printf(", \"as\": ");
        out_json(k->form);
        out_printf(", \"tensors\": %" PRIu64 ", \"parameters\": %" PRIu64 ", \"bytes\": %" PRIu64
                   ", \"largest_error\": %.9g, \"mean_error\": %.9g, \"relative_error\": %.9g}",
                   k->n_tensors, k->n_parameters, k->n_bytes, k->largest_error, k->mean_error, k->relative_error);
    }
    const mica_perplexity_result *f = &e->figures;
    if (e->done)
        out_printf("], \"evaluation\": {\"positions\": %" PRId64
                   ", \"perplexity\": %.9g, \"source_perplexity\": %.9g, \"nll_change\": %.9g, \"nll_change_error\": "
                   "%.9g, \"kl\": %.9g, \"kl_error\": %.9g, \"top1_agreement\": %.9g}}\n",
                   f->n_scored, f->perplexity, f->reference_perplexity, f->nll_change, f->nll_change_error, f->kl,
                   f->kl_error, f->top1_agreement);
    else
        out_printf("], \"evaluation\": null}\n");
}

/* ---- evaluation ----------------------------------------------------------------------------------------------------------- */

static mica_status compare(const choices *c, const char *source, const char *target, mica_perplexity_result *out,
                           mica_error *err)
{
    progress_bar bar;
    mica_device *device = NULL;
    mica_model *before = NULL, *after = NULL;
    const mica_device_options on = {.n_threads = (int)c->threads};
    mica_status status = mica_device_create(&device, &on, err);
    const mica_model_options load = {.device = device, .progress = progress_start(&bar)};
    if (status == MICA_OK) status = mica_model_load(&after, target, &load, err);
    if (status == MICA_OK) status = mica_model_load(&before, source, &load, err);
    if (status == MICA_OK) {
        const mica_perplexity_options options = {.n_threads = (int)c->threads, .progress = load.progress};
        const char *text = sample_text();
        status = score_text(after, before, text, strlen(text), 0, &options, out, err);
    }
    progress_end(&bar);
    mica_model_free(after);
    mica_model_free(before);
    mica_device_free(device);
    return status;
}

/* The folder is complete by now: what goes wrong here is no reason to fail. */
static void evaluate(const choices *c, const char *source, const mica_save_report *r, evaluation *e)
{
    mica_error err;
    bool changed = false;
    for (int i = 0; i < r->n_kinds; i++) changed |= r->kinds[i].largest_error > 0;
    if (c->evaluate == 0 || (c->evaluate < 0 && !changed)) return;
    if (c->evaluate < 0 && r->n_parameters > MAX_UNASKED) {
        e->why = "that takes a while for a model of this size, --evaluate does it";
        return;
    }
    const mica_status status = compare(c, source, r->path, &e->figures, &err);
    e->done = status == MICA_OK;
    if (status == MICA_NOT_FOUND)
        e->why = "there is no tokenizer";
    else if (status == MICA_CANCELLED)
        e->why = "interrupted";
    else if (status != MICA_OK)
        warn("predictions were not compared: %s", err.message);
}

/* ---- converting ----------------------------------------------------------------------------------------------------------- */

static int convert(const choices *c, const char *source, uint64_t shard, const char *rules)
{
    mica_error err;
    mica_save_report *report = NULL;
    progress_bar bar;
    const mica_save_options options = {
        .format = c->format && strcmp(c->format, "transformers") == 0 ? MICA_SAVE_TRANSFORMERS : MICA_SAVE_MLX,
        .quantize = c->quantize,
        .quantizer = c->quantizer,
        .rules = rules,
        .dequantize = c->dequantize,
        .dtype = c->dtype,
        .max_shard_bytes = shard,
        .overwrite = c->overwrite,
        .no_model_card = !c->card,
        .base_model = c->base_model,
        .n_threads = (int)c->threads,
        .progress = progress_start(&bar),
        .notices = progress_notices(),
    };
    interrupt_defer(true, false);
    const mica_status status = mica_convert(source, c->output, &options, &report, &err);
    progress_end(&bar);
    evaluation e = {0};
    if (status == MICA_OK) evaluate(c, source, report, &e);
    interrupt_defer(false, false);
    if (status == MICA_CANCELLED) warn("interrupted; the same command goes on from there");
    if (status != MICA_OK) return fail(&err);
    (c->json ? print_json : print_table)(report, &e);
    mica_save_report_free(report);
    return out_finish();
}

int cmd_convert(int argc, char **argv)
{
    choices c = {.card = true, .evaluate = -1};
    const option own[] = {
        {.name = "model",
         .letter = 'm',
         .kind = OPTION_TEXT,
         .value = &c.model,
         .argument = "MODEL",
         .help = "the source instead of MODEL: a folder, a .gguf file, or an id in the cache of the Hugging Face Hub"},
        {.name = "output",
         .letter = 'o',
         .kind = OPTION_TEXT,
         .value = &c.output,
         .argument = "FOLDER",
         .help = "the target instead of FOLDER"},
        {.name = "format",
         .kind = OPTION_TEXT,
         .value = &c.format,
         .argument = "NAME",
         .choices = "mlx transformers",
         .help = "mlx (default) or transformers (plain weights under the Hub's names)"},
        {.name = "quantize",
         .letter = 'q',
         .kind = OPTION_TEXT,
         .value = &c.quantize,
         .argument = "MODE",
         .help = "MODE-BITS-GROUP: 4 (affine-4-64), affine-6-32, mxfp4, mxfp8, nvfp4 ...; or one of mlx-lm's recipes: "
                 "mixed_2_6, mixed_3_4, mixed_3_6, mixed_4_6 (-32 or -128 for other groups than 64)"},
        {.name = "quantizer",
         .kind = OPTION_TEXT,
         .value = &c.quantizer,
         .argument = "NAME",
         .choices = "mlx search",
         .help = "mlx (default: the bytes that MLX gives) or search (slower, smaller errors, the same format)"},
        {.name = "rules",
         .kind = OPTION_TEXT,
         .value = &c.rules,
         .argument = "FILE",
         .help = "exceptions by layer, a JSON object: {\"lm_head\": \"8\", \"*.down_proj\": {\"bits\": 6}, "
                 "\"model.layers.0.*\": false}"},
        {.name = "dequantize",
         .letter = 'd',
         .kind = OPTION_FLAG,
         .value = &c.dequantize,
         .help = "expand what is quantized in the source"},
        {.name = "dtype",
         .kind = OPTION_TEXT,
         .value = &c.dtype,
         .argument = "TYPE",
         .choices = "auto float32 bfloat16 float16",
         .help = "auto, float32, bfloat16 or float16: of what is not quantized, and of scales"},
        {.name = "max-shard-size",
         .kind = OPTION_TEXT,
         .value = &c.shard,
         .argument = "SIZE",
         .help = "5GB, 500MB, 2GiB ...; default: 5GiB for mlx, 50GB for transformers"},
        {.name = "overwrite",
         .kind = OPTION_FLAG,
         .value = &c.overwrite,
         .help = "replace the checkpoint in FOLDER when the new one is complete; other files there stay"},
        {.name = "model-card", .kind = OPTION_FLAG, .value = &c.card, .help = "write README.md; default: yes"},
        {.name = "base-model",
         .kind = OPTION_TEXT,
         .value = &c.base_model,
         .argument = "ID",
         .help = "what the model card names as the source"},
        {.name = "evaluate",
         .kind = OPTION_COLLECT,
         .value = &c.evaluate,
         .collect = take_evaluate,
         .help =
             "compare predictions before and after on a short text; default: for models up to 300 million parameters"},
        {.name = "threads",
         .kind = OPTION_NUMBER,
         .value = &c.threads,
         .argument = "N",
         .min = 1,
         .max = 256,
         .help = "threads of the CPU; default: as many as are useful here"},
        {.name = "json", .kind = OPTION_FLAG, .value = &c.json, .help = "the report as one JSON object"},
    };
    command_line line = {.verb = "convert",
                         .synopsis = "MODEL FOLDER",
                         .about =
                             "Writes a checkpoint into a new folder: in MLX's format, quantized or not, or in the "
                             "plain one of Transformers.\nMODEL is anything that mica reads. FOLDER appears when it "
                             "is complete.\nAfter an interruption the same command goes on from there.",
                         .groups = {{"Options", own, sizeof own / sizeof own[0]}},
                         .n_groups = 1,
                         .max_words = 2};
    if (!options_parse(&line, argc, argv)) return line.exit_code;
    size_t word = 0;
    if (!c.model && word < line.n_words) c.model = line.words[word++];
    if (!c.output && word < line.n_words) c.output = line.words[word++];
    if (word < line.n_words) return options_usage(&line, "'%s' is one word too many", line.words[word]);
    if (!c.output) return options_usage(&line, "%s is missing", c.model ? "FOLDER" : "MODEL");
    if (c.quantize && c.dequantize) return options_usage(&line, "both --quantize and --dequantize are given");
    if (!c.quantize && c.rules) return options_usage(&line, "--rules needs --quantize");
    if (!c.quantize && c.quantizer) return options_usage(&line, "--quantizer needs --quantize");
    const uint64_t shard = c.shard ? size_of(c.shard) : 0;
    if (c.shard && !shard) return options_usage(&line, "--max-shard-size: '%s' is not a size", QUOTED(c.shard));

    buffer rules = {0};
    char *source = NULL;
    int code = read_rules(c.rules, &rules);
    if (code == 0) code = resolve_model(c.model, NULL, NULL, MICA_HUB_FILES_MODEL, &source);
    if (code == 0) code = convert(&c, source, shard, c.rules ? (rules.p ? rules.p : "") : NULL);
    free(source);
    buffer_release(&rules);
    return code;
}
