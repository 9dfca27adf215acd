/* models/model.h: inside a loaded model, for generate/. */
#ifndef MICA_MODELS_MODEL_H
#define MICA_MODELS_MODEL_H

#include "decoder.h"
#include <mica/model.h>
#include <pthread.h>

struct mica_model {
    mica__checkpoint *checkpoint; /* NULL: random weights */
    char *config_path;            /* of a model with random weights */
    mica__buf config_text;
    mica__config config;
    mica__decoder_spec spec;
    mica__weights weights;
    mica__str generation_json; /* generation_config.json, {NULL, 0} if there is none; kept by the checkpoint */
    char *architecture;
    char *quantize, *quantize_rules,
        *quantizer; /* what was done to the checkpoint's weights while loading; NULL: nothing */

    mica_device *device, *own_device; /* device NULL: the process's */
    mica_dtype cache_dtype;
    int kv_bits, kv_group_size; /* of caches, unless their session says otherwise; 0: not quantized */
    bool exact, int8;
    int max_rows;     /* of one run */
    int max_all_rows; /* of one run whose every row gives much: logits, or what all layers leave */
    mica_notices notices;
    mica_model_info info;
    char *model_type;

    pthread_mutex_t lock; /* guards what is made on first use, below */
    mica_program *programs[MICA__DECODER_PARTS];
    mica_tokenizer *tokenizer;
    mica_chat_template *chat_template;
};

/* Rows of one run of a part. */
int mica__model_rows(const mica_model *m, mica__decoder_part part);
/* Compiled on first use. */
mica_status mica__model_program(mica_model *m, mica__decoder_part part, mica_program **out, mica_error *err);
/* INVALID if there is no such cache. */
mica_status mica__check_kv(int kv_bits, int kv_group_size, mica_error *err);
/* Cache of one layer; kv_bits and kv_group_size as in mica_session_options. The capacity is left to the caller. */
mica_cache_options mica__model_cache(const mica_model *m, int kv_bits, int kv_group_size);
void mica__model_notice(const mica_model *m, const char *fmt, ...) MICA_PRINTF(2, 3);

#endif
