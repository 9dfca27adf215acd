/* cli/model_options.h: the options about the model, and loading it with progress on the terminal. */
#ifndef MICA_CLI_MODEL_OPTIONS_H
#define MICA_CLI_MODEL_OPTIONS_H

#include "options.h"
#include <mica/model.h>

typedef struct model_choice {
    const char *name;                         /* -m */
    const char *revision;                     /* of an id of the Hub; NULL: main */
    const char *gguf;                         /* one of its GGUF files; NULL: as the name says */
    const char *quantize, *quantizer, *rules; /* rules: a file */
    const char *device;                       /* NULL: best */
    const char *dtype;                        /* NULL: auto */
    const char *precision;                    /* NULL: fast */
    int64_t threads;                          /* 0: as many as useful */
    int64_t kv_bits, kv_group_size;           /* 0: not quantized; 64 */
    /* Not NULL: `name` is a config.json and the weights are random numbers of this type (mica_model_options). */
    const char *random_weights;
} model_choice;

/* Verbs without weights take the first three, which say which model; those about quantization follow, of weights and of caches. */
enum { N_NAME_OPTIONS = 3, N_QUANTIZE_OPTIONS = 8, N_MODEL_OPTIONS = 12 };
/* Fills options[N_MODEL_OPTIONS]. */
void model_options_table(model_choice *choice, option *options);
option_group model_options_group(const option *options, bool weights);

typedef struct loaded_model {
    mica_device *device;
    mica_model *model;
    double seconds; /* loading took */
} loaded_model;
/* What of a model a verb needs. */
typedef enum model_parts { MODEL_CONFIG, MODEL_WEIGHTS, MODEL_WEIGHTS_AND_TOKENIZER } model_parts;
/* The exit code; failures were said. */
int model_open(loaded_model *out, const model_choice *choice, model_parts parts);
void model_close(loaded_model *m); /* {0} allowed */

#endif
