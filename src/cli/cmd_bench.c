/* cli/cmd_bench.c: the verb bench: how fast a model runs here, beside what this machine's memory allows.
 *
 * Measured in one run: loading, reading a prompt (prefill), writing tokens one by one (decode), the peak of memory, and the
 * bandwidth of a plain read. Decoding reads every weight once per token, so tokens/s times bytes per token over the bandwidth is the share
 * of the possible that was reached. */
#include "bandwidth.h"
#include "interrupt.h"
#include "model_options.h"
#include "output.h"
#include "report.h"
#include "timing.h"
#include "verbs.h"

#include <inttypes.h>
#include <mica/generate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

typedef struct figures {
    int threads;
    const char *isa;
    int64_t depth; /* tokens in the session before the prompt */
    int64_t n_prompt, n_tokens, n_runs;
    double load_seconds;
    spread prefill, decode; /* tokens per second */
    double peak_bytes;      /* resident, before the bandwidth was measured */
    double bandwidth;       /* bytes per second; 0: not measured */
    double fraction;        /* of it that decoding reached */
} figures;

static double peak_bytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    return (double)usage.ru_maxrss;
#else
    return (double)usage.ru_maxrss * 1024;
#endif
}

/* Transformers' defaults rather than the model's settings: greedy and without end tokens, so exactly n new tokens come. */
static mica_status make_config(mica_generation_config **config, int64_t n, mica_error *err)
{
    char number[24];
    snprintf(number, sizeof number, "%" PRId64, n);
    mica_status status = mica_generation_config_create(config, NULL, err);
    if (status == MICA_OK) status = mica_generation_config_set(*config, "max_new_tokens", number, err);
    return status;
}

/* Runs number -1 (not counted: it warms up, and leaves the `depth` tokens that come before the prompt) to n_runs - 1. */
static mica_status measure(mica_session *s, const int32_t *prompt, const mica_generation_config *config, figures *f,
                           double *prefill, double *decode, mica_error *err)
{
    mica_status status = MICA_OK;
    for (int64_t run = -1; run < f->n_runs && status == MICA_OK; run++) {
        mica_generate_result result = {0};
        status = mica_session_truncate(s, run < 0 ? 0 : f->depth, err);
        if (status == MICA_OK)
            status = mica_generate(s, prompt, (size_t)(f->depth + f->n_prompt), config, NULL, NULL, &result, err);
        if (status == MICA_OK && run >= 0) {
            prefill[run] = (double)result.n_prompt / result.prompt_seconds;
            decode[run] = (double)(result.ids.n - 1) / result.decode_seconds;
        }
        mica_ids_release(&result.ids);
    }
    return status;
}

static mica_status run(const loaded_model *m, figures *f, mica_error *err)
{
    mica_session *session = NULL;
    mica_generation_config *config = NULL;
    const int64_t vocab = mica_model_get_info(m->model)->vocab_size;
    int32_t *prompt = take_memory((size_t)(f->depth + f->n_prompt), sizeof *prompt);
    double *prefill = take_memory((size_t)f->n_runs, sizeof *prefill);
    double *decode = take_memory((size_t)f->n_runs, sizeof *decode);
    uint32_t random = 1;
    for (int64_t i = 0; i < f->depth + f->n_prompt; i++) {
        random = random * 1664525u + 1013904223u;
        prompt[i] = (int32_t)((random >> 8) % (uint64_t)vocab);
    }
    const mica_session_options options = {.max_context = f->depth + f->n_prompt + f->n_tokens};
    mica_status status = make_config(&config, f->n_tokens, err);
    if (status == MICA_OK) status = mica_session_create(&session, m->model, &options, err);
    if (status == MICA_OK) {
        interrupt_watch_session(session);
        status = measure(session, prompt, config, f, prefill, decode, err);
        interrupt_watch_session(NULL);
    }
    if (status == MICA_OK) {
        f->prefill = spread_of(prefill, (size_t)f->n_runs);
        f->decode = spread_of(decode, (size_t)f->n_runs);
    }
    mica_session_free(session);
    mica_generation_config_free(config);
    free(prompt);
    free(prefill);
    free(decode);
    return status;
}

static void print_table(const loaded_model *m, const figures *f)
{
    const mica_model_info *info = mica_model_get_info(m->model);
    out_printf("model       %s, %s, %.1f MB of weights\n", info->model_type, info->weights,
               (double)info->weight_bytes / 1e6);
    out_printf("machine     %d threads, %s\n", f->threads, f->isa);
    if (f->depth) out_printf("depth       %" PRId64 " tokens before the prompt\n", f->depth);
    out_printf("load        %.3f s\n", f->load_seconds);
    out_printf("prefill     %.1f tokens/s (%.1f to %.1f; %" PRId64 " tokens, %" PRId64 " runs)\n", f->prefill.median,
               f->prefill.low, f->prefill.high, f->n_prompt, f->n_runs);
    out_printf("decode      %.1f tokens/s (%.1f to %.1f; %" PRId64 " tokens)\n", f->decode.median, f->decode.low,
               f->decode.high, f->n_tokens);
    out_printf("memory      %.1f MB at the peak\n", f->peak_bytes / 1e6);
    if (f->bandwidth > 0)
        out_printf("bandwidth   %.1f GB/s read here; decoding uses %.0f %% of it (%.1f MB per token)\n",
                   f->bandwidth / 1e9, f->fraction * 100, (double)info->read_bytes / 1e6);
}

static void print_json(const loaded_model *m, const figures *f)
{
    const mica_model_info *info = mica_model_get_info(m->model);
    out_printf("{\"model\": ");
    out_json(mica_model_path(m->model));
    out_printf(", \"model_type\": ");
    out_json(info->model_type);
    out_printf(", \"weights\": ");
    out_json(info->weights);
    out_printf(", \"threads\": %d, \"isa\": ", f->threads);
    out_json(f->isa);
    out_printf(", \"load_seconds\": %.4f, \"depth\": %" PRId64 ", \"prompt_tokens\": %" PRId64
               ", \"new_tokens\": %" PRId64 ", \"runs\": %" PRId64,
               f->load_seconds, f->depth, f->n_prompt, f->n_tokens, f->n_runs);
    out_printf(", \"prefill_tokens_per_second\": {\"median\": %.2f, \"low\": %.2f, \"high\": %.2f}", f->prefill.median,
               f->prefill.low, f->prefill.high);
    out_printf(", \"decode_tokens_per_second\": {\"median\": %.2f, \"low\": %.2f, \"high\": %.2f}", f->decode.median,
               f->decode.low, f->decode.high);
    out_printf(", \"peak_bytes\": %.0f, \"read_bytes_per_token\": %" PRIu64, f->peak_bytes, info->read_bytes);
    out_printf(", \"bandwidth_bytes_per_second\": %.0f, \"bandwidth_fraction\": %.4f}\n", f->bandwidth, f->fraction);
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
    model_choice choice = {0};
    const char *config = NULL;
    figures f = {.n_prompt = 512, .n_tokens = 128, .n_runs = 3};
    bool json = false, bandwidth = true;
    const option own[] = {
        {.name = "config",
         .kind = OPTION_TEXT,
         .value = &config,
         .argument = "FILE",
         .help = "a config.json instead of a model: its shape with random weights, of the type that --quantize names "
                 "(affine-BITS-GROUP, bf16, f16 or f32; default: bf16)"},
        {.name = "depth",
         .kind = OPTION_NUMBER,
         .value = &f.depth,
         .argument = "N",
         .min = 0,
         .max = 1 << 20,
         .help = "tokens that are in the context before the prompt, not measured; default: 0"},
        {.name = "prompt",
         .kind = OPTION_NUMBER,
         .value = &f.n_prompt,
         .argument = "N",
         .min = 1,
         .max = 1 << 20,
         .help = "tokens of the prompt; default: 512"},
        {.name = "tokens",
         .kind = OPTION_NUMBER,
         .value = &f.n_tokens,
         .argument = "N",
         .min = 2,
         .max = 1 << 20,
         .help = "tokens written after it; default: 128"},
        {.name = "runs",
         .kind = OPTION_NUMBER,
         .value = &f.n_runs,
         .argument = "N",
         .min = 1,
         .max = 1000,
         .help = "measurements, of which the median is shown, after one that is not counted; default: 3"},
        {.name = "bandwidth",
         .kind = OPTION_FLAG,
         .value = &bandwidth,
         .help = "do not measure this machine's bandwidth"},
        {.name = "json", .kind = OPTION_FLAG, .value = &json, .help = "one JSON object"},
    };
    option model[N_MODEL_OPTIONS];
    model_options_table(&choice, model);
    command_line line = {
        .verb = "bench",
        .synopsis = "",
        .about = "Measures how fast a model reads a prompt and writes tokens, its load time and its memory, beside\n"
                 "the bandwidth of this machine's memory.",
        .groups = {{"Options", own, sizeof own / sizeof own[0]}, model_options_group(model, true)},
        .n_groups = 2};
    if (!options_parse(&line, argc, argv)) return line.exit_code;

    if (config && choice.name) return options_usage(&line, "a model and --config were both given");
    if (config) {
        choice.name = config;
        choice.random_weights = weights_type(choice.quantize);
    }
    loaded_model m;
    mica_error err;
    int code = model_open(&m, &choice, MODEL_WEIGHTS);
    if (code) return code;
    f.threads = mica_device_threads(m.device);
    f.isa = mica_device_isa(m.device);
    f.load_seconds = m.seconds;
    if (run(&m, &f, &err) != MICA_OK) {
        code = fail(&err);
    } else {
        f.peak_bytes = peak_bytes();
        f.bandwidth = bandwidth ? measure_bandwidth(f.threads) : 0;
        if (f.bandwidth > 0)
            f.fraction = f.decode.median * (double)mica_model_get_info(m.model)->read_bytes / f.bandwidth;
        (json ? print_json : print_table)(&m, &f);
        code = out_finish();
    }
    model_close(&m);
    return code;
}
