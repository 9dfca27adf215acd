/* models/config.h: config.json, read the way Transformers reads it.
 *
 *     s->hidden = mica__config_int(c, "hidden_size", 4096, 1, MICA__MAX_WIDTH);
 *     s->window = mica__config_optional_int(c, "sliding_window", 4096, 1, MICA__MAX_CONTEXT);
 *     ...
 *     return mica__config_status(c, err);
 *
 * Architectures ask for fields with that architecture's own default. What is wrong with the file latches: the first failure is
 * kept with the field's name, later reads give defaults, so a description reads like a table and is checked once at its end.
 *
 * Both spellings are understood: rope_theta and rope_scaling, or rope_parameters; torch_dtype, or dtype; and the text part of a
 * multimodal wrapper under text_config. */
#ifndef MICA_MODELS_CONFIG_H
#define MICA_MODELS_CONFIG_H

#include "base/json.h"
#include "nn/rope_frequencies.h"
#include <mica/progress.h>

#define MICA__MAX_LAYERS 4096
#define MICA__MAX_HEADS 65536
#define MICA__MAX_WIDTH (1 << 24) /* of any matrix side but the vocabulary */
#define MICA__MAX_VOCAB (1 << 26)
#define MICA__MAX_CONTEXT (1 << 24) /* larger claims are capped with a notice */

typedef struct mica__config {
    mica__json doc;
    mica__jval root;        /* the whole file */
    mica__jval text;        /* the decoder's part: text_config, or root */
    mica__str model_type;   /* of the decoder's part, "" if it does not say */
    mica__str wrapper_type; /* of the whole, "" if not nested */
    mica__str architecture; /* architectures[0], "" if none */
    mica__arena arena;      /* lists that descriptions keep (layer schedules, rope factors) */
    mica_notices notices;
    mica_error failure; /* the first; status MICA_OK if none */
} mica__config;

/* `json` must outlive the config. DATA if it is not an object. On failure *out is released. */
mica_status mica__config_parse(mica__config *out, mica__str json, const mica_notices *notices, mica_error *err);
void mica__config_release(mica__config *c); /* {0} allowed */
mica_status mica__config_status(const mica__config *c, mica_error *err);

/* Latches "config.json: FIELD: ...". */
void mica__config_fail(mica__config *c, mica_status status, const char *field, const char *fmt, ...) MICA_PRINTF(4, 5);
void mica__config_notice(const mica__config *c, const char *fmt, ...) MICA_PRINTF(2, 3);

/* The field of the decoder's part; NULL if it is missing or null. */
mica__jval mica__config_get(const mica__config *c, const char *field);
bool mica__config_has(const mica__config *c, const char *field); /* present, be it null */

/* Value of a field, `missing` if it is absent or null. A value of another type or outside [min, max] fails. */
int64_t mica__config_int(mica__config *c, const char *field, int64_t missing, int64_t min, int64_t max);
double mica__config_double(mica__config *c, const char *field, double missing);
double mica__config_positive(mica__config *c, const char *field, double missing); /* finite and above 0 */
bool mica__config_bool(mica__config *c, const char *field, bool missing);
mica__str mica__config_string(mica__config *c, const char *field, const char *missing);
/* As above, but a field that is null has the value 0 ("none"), where an absent one has `missing`. */
int64_t mica__config_optional_int(mica__config *c, const char *field, int64_t missing, int64_t min, int64_t max);
double mica__config_optional_positive(mica__config *c, const char *field, double missing);

/* layer_types: true at [i] if layer i is a sliding-window layer. NULL if the field is absent. `n_layers` entries are required, each
 * "full_attention" or "sliding_attention". The list lives as long as c. */
const bool *mica__config_sliding_layers(mica__config *c, int n_layers);
/* The schedule of older files: every period-th layer is full, the others slide. */
const bool *mica__config_sliding_pattern(mica__config *c, int n_layers, int period);

/* The rope of the decoder's part, all spellings folded together: parameters from mica__config_rope_dict, else from the top level, else `theta`. */
mica__rope mica__config_rope(mica__config *c, int head_dim, int64_t context, double theta);
/* The rope of one dictionary (NULL: no parameters); `where` names it in messages. */
mica__rope mica__config_rope_from(mica__config *c, mica__jval dict, const char *where, int head_dim, int64_t context,
                                  double theta);
/* rope_scaling if it says anything, else rope_parameters; NULL if neither does. */
mica__jval mica__config_rope_dict(const mica__config *c);

/* Ids under `field` of an object, which may be a number or a list; at most max are written. Returns how many, -1 if the field is absent
 * or null. Negative ids and other values are skipped. */
int mica__json_token_ids(mica__jval object, const char *field, int32_t *out, int max);

#endif
