/* cli/cmd_convert.c: the verb convert: any checkpoint in, a new one out, and a report of what became of it. */
#include "files.h"
#include "interrupt.h"
#include "model_options.h"
#include "output.h"
#include "progress.h"
#include "report.h"
#include "resolve.h"
#include "verbs.h"

#include <inttypes.h>
#include <mica/save.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct choices {
    const char *model, *output, *format, *quantize, *quantizer, *rules, *dtype, *shard, *base_model;
    int64_t threads;
    bool dequantize, overwrite, card, json;
} choices;

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

static int read_rules(const char *path, buffer *text)
{
    mica_error err;
    if (!path) return 0;
    if (!file_read(text, path, 1 << 20, &err)) return fail(&err);
    return 0;
}

/* ---- the report ----------------------------------------------------------------------------------------------------------- */

static void print_table(const mica_save_report *r)
{
    out_printf("%s: %.1f MB in %d file%s, %.3f bits per weight, %.1f s\n", r->path, (double)r->tensor_bytes / 1e6,
               r->n_shards, r->n_shards == 1 ? "" : "s", r->bits_per_weight, r->seconds);
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
}

static void print_json(const mica_save_report *r)
{
    out_printf("{\"path\": ");
    out_json(r->path);
    out_printf(", \"shards\": %d, \"parameters\": %" PRIu64 ", \"source_bytes\": %" PRIu64 ", \"bytes\": %" PRIu64
               ", \"bits_per_weight\": %.6f, \"seconds\": %.3f, \"layers\": [",
               r->n_shards, r->n_parameters, r->source_bytes, r->tensor_bytes, r->bits_per_weight, r->seconds);
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
    out_printf("]}\n");
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
    interrupt_defer(false, false);
    progress_end(&bar);
    if (status != MICA_OK) return fail(&err);
    (c->json ? print_json : print_table)(report);
    mica_save_report_free(report);
    return out_finish();
}

int cmd_convert(int argc, char **argv)
{
    choices c = {.card = true};
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
                         .about = "Writes a checkpoint into a new folder: in MLX's format, quantized or not, or in the "
                                  "plain one of Transformers.\nMODEL is anything that mica reads. FOLDER appears when "
                                  "it is complete.",
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
    if (code == 0) code = resolve_model(c.model, &source);
    if (code == 0) code = convert(&c, source, shard, c.rules ? (rules.p ? rules.p : "") : NULL);
    free(source);
    buffer_release(&rules);
    return code;
}
