/* cli/cmd_info.c: the verb info: what a model is, read from its configuration and tensor list without loading weights. */
#include "model_options.h"
#include "output.h"
#include "report.h"
#include "verbs.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *count_text(char out[32], uint64_t n)
{
    if (n >= 1000000000)
        snprintf(out, 32, "%.2f billion", (double)n / 1e9);
    else if (n >= 1000000)
        snprintf(out, 32, "%.1f million", (double)n / 1e6);
    else
        snprintf(out, 32, "%" PRIu64, n);
    return out;
}

/* What the checkpoint lacks for text in and text out; "" if nothing. */
static const char *missing_text(const mica_model_info *info)
{
    if (!info->has_tokenizer) return info->has_chat_template ? "tokenizer" : "tokenizer, chat template";
    return info->has_chat_template ? "" : "chat template";
}

static void row(const char *label, const char *fmt, ...) MICA_PRINTF(2, 3);
static void row(const char *label, const char *fmt, ...)
{
    char value[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(value, sizeof value, fmt, args);
    va_end(args);
    out_printf("%-18s %s\n", label, value);
}

static void print_table(const char *path, const mica_model_info *i)
{
    char a[32], b[32], c[32];
    const uint64_t cache = i->cache_bytes_per_token * (uint64_t)(i->context > 0 ? i->context : 0);
    row("model", "%s", path);
    row("architecture", "%s%s%s%s", i->model_type, i->architecture[0] ? " (" : "", i->architecture,
        i->architecture[0] ? ")" : "");
    row("format", "%s", i->format);
    row("parameters", "%s%s", count_text(a, i->n_parameters), i->tied ? ", input and output embeddings tied" : "");
    row("weights", "%s, %s in files, %s in memory", i->weights, bytes_text(a, "bytes", i->file_bytes),
        bytes_text(b, "bytes", i->weight_bytes));
    row("read per token", "%s", bytes_text(a, "bytes", i->read_bytes));
    row("layers", "%d of width %" PRId64 ", inner width %" PRId64, i->n_layers, i->hidden_size, i->intermediate_size);
    row("heads", "%d for queries, %d for keys and values, of %d", i->n_heads, i->n_kv_heads, i->head_dim);
    row("vocabulary", "%" PRId64, i->vocab_size);
    row("context", "%" PRId64 " tokens", i->context);
    row("cache", "%s per token, %s for the whole context", bytes_text(a, "bytes", i->cache_bytes_per_token),
        bytes_text(b, "bytes", cache));
    row("memory needed", "%s and the cache (%s for 4096 tokens)", bytes_text(a, "bytes", i->weight_bytes),
        bytes_text(c, "bytes",
                   i->cache_bytes_per_token * (uint64_t)(i->context > 0 && i->context < 4096 ? i->context : 4096)));
    row("tokenizer", "%s", i->has_tokenizer ? "yes" : "no");
    row("chat template", "%s", i->has_chat_template ? "yes" : "no");
    if (missing_text(i)[0]) row("missing", "%s", missing_text(i));
}

static void print_json(const char *path, const mica_model_info *i)
{
    out_printf("{\"model\": ");
    out_json(path);
    const struct {
        const char *name, *value;
    } texts[] = {{"model_type", i->model_type},
                 {"architecture", i->architecture},
                 {"format", i->format},
                 {"weights", i->weights}};
    for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
        out_printf(", \"%s\": ", texts[k].name);
        out_json(texts[k].value);
    }
    const struct {
        const char *name;
        uint64_t value;
    } sizes[] = {{"parameters", i->n_parameters},
                 {"file_bytes", i->file_bytes},
                 {"weight_bytes", i->weight_bytes},
                 {"read_bytes_per_token", i->read_bytes},
                 {"cache_bytes_per_token", i->cache_bytes_per_token}};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
        out_printf(", \"%s\": %" PRIu64, sizes[k].name, sizes[k].value);
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"context", i->context},
                   {"layers", i->n_layers},
                   {"heads", i->n_heads},
                   {"kv_heads", i->n_kv_heads},
                   {"head_dim", i->head_dim},
                   {"hidden_size", i->hidden_size},
                   {"vocab_size", i->vocab_size},
                   {"intermediate_size", i->intermediate_size},
                   {"bos_token_id", i->bos_token_id},
                   {"pad_token_id", i->pad_token_id}};
    for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
        out_printf(", \"%s\": %" PRId64, numbers[k].name, numbers[k].value);
    out_printf(", \"eos_token_ids\": ");
    out_ids(i->eos_token_ids, (size_t)i->n_eos_token_ids);
    out_printf(", \"tied\": %s, \"tokenizer\": %s, \"chat_template\": %s}\n", i->tied ? "true" : "false",
               i->has_tokenizer ? "true" : "false", i->has_chat_template ? "true" : "false");
}

int cmd_info(int argc, char **argv)
{
    model_choice choice = {0};
    bool json = false;
    const option own[] = {{.name = "json", .kind = OPTION_FLAG, .value = &json, .help = "one JSON object"}};
    option model[N_MODEL_OPTIONS];
    model_options_table(&choice, model);
    command_line line = {.verb = "info",
                         .synopsis = "[MODEL]",
                         .about = "Says what a model is and what it needs. No weights are loaded.",
                         .groups = {{"Options", own, sizeof own / sizeof own[0]}, {"Model", model, N_QUANTIZE_OPTIONS}},
                         .n_groups = 2,
                         .max_words = 1};
    if (!options_parse(&line, argc, argv)) return line.exit_code;
    if (line.n_words && choice.name) return options_usage(&line, "both MODEL and --model are given");
    if (line.n_words) choice.name = line.words[0];

    loaded_model m;
    int code = model_open(&m, &choice, MODEL_CONFIG);
    if (code) return code;
    (json ? print_json : print_table)(mica_model_path(m.model), mica_model_get_info(m.model));
    code = out_finish();
    model_close(&m);
    return code;
}
