/* cli/model_options.c: -m, --quantize, --device, --threads, --dtype, --precision; loading, with a progress bar if standard error is a terminal. */
#include "model_options.h"
#include "files.h"
#include "interrupt.h"
#include "progress.h"
#include "report.h"
#include "resolve.h"
#include "timing.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RULES = 1 << 20 };

void model_options_table(model_choice *choice, option *options)
{
    const option table[N_MODEL_OPTIONS] = {
        {.name = "model",
         .letter = 'm',
         .kind = OPTION_TEXT,
         .value = &choice->name,
         .argument = "MODEL",
         .help = "a folder, a .gguf file, or an id of the Hugging Face Hub (ORG/NAME, or ORG/NAME:Q4_K_M for one of "
                 "its GGUF files), fetched once; default: SmolLM2-135M-Instruct"},
        {.name = "revision",
         .kind = OPTION_TEXT,
         .value = &choice->revision,
         .argument = "REV",
         .help = "of an id: branch, tag, commit or refs/pr/N; default: main"},
        {.name = "gguf-file",
         .kind = OPTION_TEXT,
         .value = &choice->gguf,
         .argument = "FILE",
         .help = "of an id or folder: this GGUF file; default: the only one, or Q4_K_M, where there is nothing else"},
        {.name = "quantize",
         .letter = 'q',
         .kind = OPTION_TEXT,
         .value = &choice->quantize,
         .argument = "MODE",
         .help = "quantize weights while loading, as convert would: affine-BITS-GROUP with 2, 3, 4, 5, 6, 8 bits and "
                 "groups of 32, 64, 128 (4 means affine-4-64), mxfp4, mxfp8, nvfp4, or a recipe: mixed_2_6, mixed_3_4, "
                 "mixed_3_6, mixed_4_6"},
        {.name = "quantizer",
         .kind = OPTION_TEXT,
         .value = &choice->quantizer,
         .argument = "NAME",
         .choices = "mlx search",
         .help = "mlx (the bytes that MLX gives; default) or search (slower, smaller errors)"},
        {.name = "quantize-rules",
         .kind = OPTION_TEXT,
         .value = &choice->rules,
         .argument = "FILE",
         .help = "exceptions to --quantize: a JSON object from patterns of module paths to \"6\", \"mxfp8\" or false"},
        {.name = "kv-bits",
         .kind = OPTION_NUMBER,
         .value = &choice->kv_bits,
         .argument = "N",
         .help = "quantize the key-value cache: 8 (half the memory, near lossless) or 4 (a quarter, seen in the "
                 "results); default: it is not quantized",
         .min = 4,
         .max = 8},
        {.name = "kv-group-size",
         .kind = OPTION_NUMBER,
         .value = &choice->kv_group_size,
         .argument = "N",
         .help = "elements that share a scale in a quantized cache: 32, 64 or 128; default: 64",
         .min = 32,
         .max = 128},
        {.name = "device",
         .kind = OPTION_TEXT,
         .value = &choice->device,
         .argument = "NAME",
         .help = "auto (the best of this machine), cpu, cuda or metal"},
        {.name = "threads",
         .kind = OPTION_NUMBER,
         .value = &choice->threads,
         .argument = "N",
         .help = "threads of the CPU; default: as many as are useful here",
         .min = 1,
         .max = 256},
        {.name = "dtype",
         .kind = OPTION_TEXT,
         .value = &choice->dtype,
         .argument = "TYPE",
         .choices = "auto float32 bfloat16 float16",
         .help = "auto, float32, bfloat16 or float16: of the key-value cache; weights keep their stored type"},
        {.name = "precision",
         .kind = OPTION_TEXT,
         .value = &choice->precision,
         .argument = "MODE",
         .choices = "fast exact int8",
         .help = "fast (quantized weights meet activations rounded to 16 bits; default), exact (float32 throughout) or "
                 "int8 (as fast, but prompts meet 4-bit weights rounded to 8 bits: faster with AVX2)"},
    };
    memcpy(options, table, sizeof table);
}

option_group model_options_group(const option *options, bool weights)
{
    return (option_group){"Model", options, weights ? N_MODEL_OPTIONS : N_NAME_OPTIONS};
}

/* ---- loading ------------------------------------------------------------------------------------------------------------------- */

static mica_precision precision_of(const char *name)
{
    if (name && strcmp(name, "exact") == 0) return MICA_PRECISION_EXACT;
    return name && strcmp(name, "int8") == 0 ? MICA_PRECISION_INT8 : MICA_PRECISION_FAST;
}

static mica_status load(loaded_model *out, const char *path, const model_choice *choice, model_parts parts,
                        const char *rules, mica_error *err)
{
    const bool best = !choice->device || strcmp(choice->device, "auto") == 0 || strcmp(choice->device, "mlx") == 0;
    const mica_device_options device = {.name = best ? NULL : choice->device, .n_threads = (int)choice->threads};
    if (parts != MODEL_CONFIG) {
        const mica_status status = mica_device_create(&out->device, &device, err);
        if (status != MICA_OK) return status;
    }
    progress_bar bar;
    const mica_model_options options = {
        .device = out->device,
        .dtype = choice->dtype,
        .precision = precision_of(choice->precision),
        .config_only = parts == MODEL_CONFIG,
        .with_tokenizer = parts == MODEL_WEIGHTS_AND_TOKENIZER,
        .progress = progress_start(&bar),
        .notices = progress_notices(),
        .quantize = choice->random_weights ? NULL : choice->quantize,
        .quantize_rules = rules,
        .quantizer = choice->quantizer,
        .random_weights = choice->random_weights,
        .kv_bits = (int)choice->kv_bits,
        .kv_group_size = (int)choice->kv_group_size,
    };
    const mica_status status = mica_model_load(&out->model, path, &options, err);
    progress_end(&bar);
    return status;
}

int model_open(loaded_model *out, const model_choice *choice, model_parts parts)
{
    char *path = NULL;
    mica_error err;
    *out = (loaded_model){0};
    buffer rules = {0};
    if (choice->rules && !file_read(&rules, choice->rules, MAX_RULES, &err)) return fail(&err);
    int code = choice->random_weights
                   ? 0
                   : resolve_model(choice->name, choice->revision, choice->gguf, MICA_HUB_FILES_MODEL, &path);
    if (code) {
        buffer_release(&rules);
        return code;
    }
    interrupt_defer(true, false);
    const double start = seconds_now();
    if (load(out, path ? path : choice->name, choice, parts, choice->rules ? (rules.p ? rules.p : "") : NULL, &err) !=
        MICA_OK)
        code = fail(&err);
    out->seconds = seconds_now() - start;
    interrupt_defer(false, false);
    free(path);
    buffer_release(&rules);
    if (code) model_close(out);
    return code;
}

void model_close(loaded_model *m)
{
    mica_model_free(m->model);
    mica_device_free(m->device);
    *m = (loaded_model){0};
}
