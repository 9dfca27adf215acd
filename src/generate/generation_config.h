/* generate/generation_config.h: inside a generation config, for generate/.
 *
 * A config holds each setting as the JSON text it was given; settings.h turns them into numbers when generation starts. */
#ifndef MICA_GENERATE_GENERATION_CONFIG_H
#define MICA_GENERATE_GENERATION_CONFIG_H

#include "base/json.h"
#include <mica/generate.h>

typedef enum mica__setting_id {
#define MICA__SETTING_ENUM(name, kind, fallback, shape, effect, help) MICA__SET_##name,
#include "setting_list.h"
    MICA__N_SETTINGS
} mica__setting_id;

/* What a value must look like, and what a setting does here. */
typedef enum mica__setting_shape {
    MICA__SHAPE_BOOL,
    MICA__SHAPE_COUNT,      /* whole, 0 or more */
    MICA__SHAPE_POSITIVE,   /* whole, 1 or more */
    MICA__SHAPE_INT,        /* whole */
    MICA__SHAPE_ABOVE_ZERO, /* number above 0 */
    MICA__SHAPE_SHARE,      /* number in [0, 1] */
    MICA__SHAPE_NUMBER,
    MICA__SHAPE_ID,       /* a token id */
    MICA__SHAPE_IDS,      /* a token id or a list of them */
    MICA__SHAPE_ID_LISTS, /* [[1, 2], [3]] */
    MICA__SHAPE_BIASES,   /* [[[1, 2], 0.5]] */
    MICA__SHAPE_DECAY,    /* [start, factor] */
    MICA__SHAPE_STRINGS,  /* a string or a list of them */
    MICA__SHAPE_EARLY,    /* true, false or "never" */
    MICA__SHAPE_OBJECT,
    MICA__SHAPE_ANY,
} mica__setting_shape;

typedef enum mica__setting_effect {
    MICA__EFFECT_YES,
    MICA__EFFECT_NONE,    /* known to Transformers, changes nothing here: setting it gives a notice */
    MICA__EFFECT_REFUSED, /* would change the result, is not there yet: generation refuses any value but the default */
} mica__setting_effect;

struct mica_generation_config {
    char *values[MICA__N_SETTINGS]; /* JSON text; NULL: unset */
    mica_notices notices;
};

const mica_setting *mica__setting(mica__setting_id id);
mica__setting_shape mica__setting_shape_of(mica__setting_id id);
mica__setting_effect mica__setting_effect_of(mica__setting_id id);

/* The value as text, unset ones by the library's default ("null" if there is none). */
const char *mica__setting_text(const mica_generation_config *c, mica__setting_id id);

mica_status mica__generation_config_copy(mica_generation_config **out, const mica_generation_config *c,
                                         mica_error *err);

#endif
