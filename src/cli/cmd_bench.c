/* cli/cmd_bench.c: the verb bench: how fast a model runs here, beside what this machine's memory allows.
 *
 * Measured in one run: starting, loading, reading a prompt (prefill), writing tokens one by one (decode), the peak of memory, and the
 * bandwidth of a plain read. A step of decoding reads every weight once and each row's cache, so its bytes times steps per second over
 * the bandwidth is the share of the possible that was reached. Lengths, rows and threads may be lists: every combination is measured. */
#include "bandwidth.h"
#include "bench_measure.h"
#include "interrupt.h"
#include "output.h"
#include "report.h"
#include "verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LIST = 16, MAX_CASES = 256 };

/* What one thread count gave. */
typedef struct machine {
    int threads;
    double load_seconds;
    double bandwidth;      /* bytes per second; 0: not measured */
    size_t first, n_cases; /* of figures.cases */
} machine;

typedef struct figures {
    const char *isa;
    bool started;      /* the next one is there */
    spread start;      /* seconds from a new process to its first token */
    double peak_bytes; /* resident, before a bandwidth was measured */
    machine machines[MAX_LIST];
    size_t n_machines;
    bench_case cases[MAX_CASES];
    double fractions[MAX_CASES]; /* of the bandwidth that decoding reached */
    size_t n_cases;
} figures;

typedef struct list {
    int64_t values[MAX_LIST];
    size_t n;
} list;

typedef struct lists {
    list threads, depths, prompts, rows;
    int64_t n_tokens, n_runs;
    bool bandwidth, start;
} lists;

/* ---- measuring ----------------------------------------------------------------------------------------------------------------- */

static mica_status measure_all(const loaded_model *m, const lists *l, figures *f, mica_error *err)
{
    for (size_t d = 0; d < l->depths.n; d++) {
        for (size_t p = 0; p < l->prompts.n; p++) {
            for (size_t r = 0; r < l->rows.n; r++) {
                bench_case *c = &f->cases[f->n_cases];
                *c = (bench_case){.depth = l->depths.values[d],
                                  .n_prompt = l->prompts.values[p],
                                  .rows = l->rows.values[r],
                                  .n_tokens = l->n_tokens,
                                  .n_runs = l->n_runs};
                const mica_status status = bench_measure(m->model, c, err);
                if (status != MICA_OK) return status;
                f->n_cases++;
            }
        }
    }
    return MICA_OK;
}

/* Measures with one thread count; the model stays loaded in *m. */
static int measure_machine(loaded_model *m, model_choice *choice, const lists *l, int64_t threads, figures *f)
{
    mica_error err;
    machine *here = &f->machines[f->n_machines];
    choice->threads = threads;
    const int code = model_open(m, choice, MODEL_WEIGHTS);
    if (code) return code;
    *here = (machine){.threads = mica_device_threads(m->device), .load_seconds = m->seconds, .first = f->n_cases};
    f->isa = mica_device_isa(m->device);
    if (measure_all(m, l, f, &err) != MICA_OK) return fail(&err);
    here->n_cases = f->n_cases - here->first;
    if (f->n_machines == 0) f->peak_bytes = bench_peak_bytes();
    if (l->bandwidth) here->bandwidth = measure_bandwidth(here->threads);
    for (size_t i = here->first; i < f->n_cases && here->bandwidth > 0; i++) {
        const bench_case *c = &f->cases[i];
        const double steps = c->decode.median / (double)c->rows;
        f->fractions[i] = steps * bench_step_bytes(m->model, c) / here->bandwidth;
    }
    f->n_machines++;
    return 0;
}

/* The last model stays loaded: the printed texts are its. */
static int measure(loaded_model *m, model_choice *choice, const lists *l, figures *f)
{
    if (l->start && !choice->random_weights) {
        loaded_model config;
        const int code = model_open(&config, choice, MODEL_CONFIG);
        if (code) return code;
        const bool with_text = mica_model_get_info(config.model)->has_tokenizer;
        model_close(&config);
        f->started = bench_start(choice, (int)l->threads.values[0], with_text, l->n_runs, &f->start);
        if (interrupt_pending()) return interrupt_exit_code();
        if (!f->started) warn("the time to the first token was not measured: a process of its own failed");
    }
    for (size_t t = 0; t < l->threads.n; t++) {
        if (t) model_close(m);
        const int code = measure_machine(m, choice, l, l->threads.values[t], f);
        if (code) return code;
    }
    return 0;
}

/* ---- printing ------------------------------------------------------------------------------------------------------------------ */

static void print_cell(const spread *s, int width)
{
    char text[64];
    snprintf(text, sizeof text, "%.1f (%.1f to %.1f)", s->median, s->low, s->high);
    out_printf("  %*s", width, text);
}

static void print_table(const loaded_model *m, const figures *f)
{
    const mica_model_info *info = mica_model_get_info(m->model);
    out_printf("model       %s, %s, %.1f MB of weights\n", info->model_type, info->weights,
               (double)info->weight_bytes / 1e6);
    out_printf("reads       %.1f MB of weights per token, %.1f kB of cache per token of context\n",
               (double)info->read_bytes / 1e6, (double)info->cache_bytes_per_token / 1e3);
    out_printf("processor   %s\n", f->isa);
    if (f->started)
        out_printf("start       %.3f s (%.3f to %.3f) from a new process to its first token\n", f->start.median,
                   f->start.low, f->start.high);
    out_printf("memory      %.1f MB at the peak\n", f->peak_bytes / 1e6);
    for (size_t i = 0; i < f->n_machines; i++) {
        const machine *h = &f->machines[i];
        out_printf("\n%d thread%s: load %.3f s", h->threads, h->threads > 1 ? "s" : "", h->load_seconds);
        if (h->bandwidth > 0) out_printf(", read bandwidth %.1f GB/s", h->bandwidth / 1e9);
        out_printf("\n%7s %7s %5s  %27s  %27s  %8s%s\n", "depth", "prompt", "batch", "prefill tokens/s",
                   "decode tokens/s", "per row", h->bandwidth > 0 ? "  bandwidth" : "");
        for (size_t k = h->first; k < h->first + h->n_cases; k++) {
            const bench_case *c = &f->cases[k];
            out_printf("%7" PRId64 " %7" PRId64 " %5" PRId64, c->depth, c->n_prompt, c->rows);
            print_cell(&c->prefill, 27);
            print_cell(&c->decode, 27);
            out_printf("  %8.1f", c->decode.median / (double)c->rows);
            if (h->bandwidth > 0) out_printf("  %7.0f %%", f->fractions[k] * 100);
            out_printf("\n");
        }
    }
}

static void print_spread(const char *name, const spread *s)
{
    out_printf(", \"%s\": {\"median\": %.4f, \"low\": %.4f, \"high\": %.4f}", name, s->median, s->low, s->high);
}

/* The members that belong to one combination, without braces. */
static void print_case(const figures *f, const machine *h, size_t k)
{
    const bench_case *c = &f->cases[k];
    out_printf("\"threads\": %d, \"load_seconds\": %.4f, \"depth\": %" PRId64 ", \"prompt_tokens\": %" PRId64
               ", \"batch\": %" PRId64 ", \"new_tokens\": %" PRId64 ", \"runs\": %" PRId64,
               h->threads, h->load_seconds, c->depth, c->n_prompt, c->rows, c->n_tokens, c->n_runs);
    print_spread("prefill_tokens_per_second", &c->prefill);
    print_spread("decode_tokens_per_second", &c->decode);
    out_printf(", \"decode_tokens_per_second_per_row\": %.4f", c->decode.median / (double)c->rows);
    out_printf(", \"bandwidth_bytes_per_second\": %.0f, \"bandwidth_fraction\": %.4f", h->bandwidth, f->fractions[k]);
}

/* The first combination's members stand at the top, too. */
static void print_json(const loaded_model *m, const figures *f)
{
    const mica_model_info *info = mica_model_get_info(m->model);
    out_printf("{\"model\": ");
    out_json(mica_model_path(m->model));
    out_printf(", \"model_type\": ");
    out_json(info->model_type);
    out_printf(", \"weights\": ");
    out_json(info->weights);
    out_printf(", \"isa\": ");
    out_json(f->isa);
    out_printf(", \"weight_bytes\": %" PRIu64 ", \"read_bytes_per_token\": %" PRIu64
               ", \"cache_bytes_per_token\": %" PRIu64 ", \"peak_bytes\": %.0f",
               info->weight_bytes, info->read_bytes, info->cache_bytes_per_token, f->peak_bytes);
    if (f->started) print_spread("start_seconds", &f->start);
    out_printf(", ");
    print_case(f, &f->machines[0], 0);
    out_printf(", \"results\": [");
    for (size_t i = 0; i < f->n_machines; i++) {
        for (size_t k = f->machines[i].first; k < f->machines[i].first + f->machines[i].n_cases; k++) {
            out_printf("%s{", k ? ", " : "");
            print_case(f, &f->machines[i], k);
            out_printf("}");
        }
    }
    out_printf("]}\n");
}

/* ---- the command line ---------------------------------------------------------------------------------------------------------- */

/* "1,4,8"; false: not whole numbers from least to most, or more than MAX_LIST of them. */
static bool parse_list(list *out, const char *text, int64_t least, int64_t most)
{
    for (out->n = 0; out->n < MAX_LIST;) {
        char *end;
        if (*text < '0' || *text > '9') return false;
        const long long value = strtoll(text, &end, 10);
        if (value < least || value > most) return false;
        out->values[out->n++] = value;
        if (*end == 0) return true;
        if (*end != ',') return false;
        text = end + 1;
    }
    return false;
}

typedef struct list_option {
    const char *name, *text;
    list *list;
    int64_t least, most;
} list_option;

static int parse_lists(const command_line *line, const list_option *o, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (parse_list(o[i].list, o[i].text, o[i].least, o[i].most)) continue;
        return options_usage(line,
                             "option --%s takes up to %d whole numbers from %" PRId64 " to %" PRId64
                             " with commas between them, not '%s'",
                             o[i].name, MAX_LIST, o[i].least, o[i].most, QUOTED(o[i].text));
    }
    return 0;
}

/* "4" and "8" mean groups of 64, "bf16" and its like the types' short names; anything else goes to the library as it is. */
static const char *weights_type(const char *name)
{
    static const char *const known[][2] = {{"2", "affine-2-64"}, {"3", "affine-3-64"}, {"4", "affine-4-64"},
                                           {"5", "affine-5-64"}, {"6", "affine-6-64"}, {"8", "affine-8-64"},
                                           {"bf16", "bfloat16"}, {"f16", "float16"},   {"f32", "float32"}};
    if (!name) return "bfloat16";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i][0]) == 0) return known[i][1];
    return name;
}

int cmd_bench(int argc, char **argv)
{
    static figures f; /* too large for the stack */
    model_choice choice = {0};
    const char *config = NULL, *threads = NULL, *depths = "0", *prompts = "512", *rows = "1";
    lists l = {.n_tokens = 128, .n_runs = 3, .bandwidth = true, .start = true};
    bool json = false;
    const option own[] = {
        {.name = "config",
         .kind = OPTION_TEXT,
         .value = &config,
         .argument = "FILE",
         .help = "a config.json instead of a model: its shape with random weights, of the type that --quantize names "
                 "(affine-BITS-GROUP, bf16, f16 or f32; default: bf16)"},
        {.name = "prompt",
         .kind = OPTION_TEXT,
         .value = &prompts,
         .argument = "LIST",
         .help = "tokens of the prompt; default: 512"},
        {.name = "tokens",
         .kind = OPTION_NUMBER,
         .value = &l.n_tokens,
         .argument = "N",
         .min = 2,
         .max = 1 << 20,
         .help = "tokens written after it; default: 128"},
        {.name = "batch",
         .kind = OPTION_TEXT,
         .value = &rows,
         .argument = "LIST",
         .help = "prompts that are answered side by side, each step of all of them at once; default: 1"},
        {.name = "depth",
         .kind = OPTION_TEXT,
         .value = &depths,
         .argument = "LIST",
         .help = "tokens that are in the context before the prompt, not measured; default: 0"},
        {.name = "threads",
         .kind = OPTION_TEXT,
         .value = &threads,
         .argument = "LIST",
         .help = "threads of the CPU; default: as many as are useful here"},
        {.name = "runs",
         .kind = OPTION_NUMBER,
         .value = &l.n_runs,
         .argument = "N",
         .min = 1,
         .max = 1000,
         .help = "measurements, of which the median is shown; default: 3"},
        {.name = "bandwidth",
         .kind = OPTION_FLAG,
         .value = &l.bandwidth,
         .help = "do not measure this machine's bandwidth"},
        {.name = "start",
         .kind = OPTION_FLAG,
         .value = &l.start,
         .help = "do not measure the time from a new process to its first token"},
        {.name = "json", .kind = OPTION_FLAG, .value = &json, .help = "one JSON object"},
    };
    option model[N_MODEL_OPTIONS];
    model_options_table(&choice, model);
    command_line line = {
        .verb = "bench",
        .synopsis = "",
        .about =
            "Measures how fast a model reads a prompt and writes tokens, its start and its memory, beside the\n"
            "bandwidth of this machine's memory. A LIST is a number or several (1,4,8): every combination is\n"
            "measured. The share of the bandwidth (bandwidth_fraction in JSON) is that of the weights and of each\n"
            "row's cache, which grows with the depth; sliding windows are not counted.",
        .groups = {{"Options", own, sizeof own / sizeof own[0]}, model_options_group(model, true)},
        .n_groups = 2};
    if (!options_parse(&line, argc, argv)) return line.exit_code;
    const list_option given[] = {{"prompt", prompts, &l.prompts, 1, 1 << 20},
                                 {"batch", rows, &l.rows, 1, 1024},
                                 {"depth", depths, &l.depths, 0, 1 << 20},
                                 {"threads", threads ? threads : "0", &l.threads, threads ? 1 : 0, 256}};
    int code = parse_lists(&line, given, sizeof given / sizeof given[0]);
    if (code) return code;
    if (l.prompts.n * l.rows.n * l.depths.n * l.threads.n > MAX_CASES)
        return options_usage(&line, "more than %d combinations", MAX_CASES);
    if (config && choice.name) return options_usage(&line, "a model and --config were both given");
    if (config) {
        choice.name = config;
        choice.random_weights = weights_type(choice.quantize);
    }
    loaded_model m = {0};
    code = measure(&m, &choice, &l, &f);
    if (!code) {
        (json ? print_json : print_table)(&m, &f);
        code = out_finish();
    }
    model_close(&m);
    return code;
}
