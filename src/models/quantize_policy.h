/* models/quantize_policy.h: which matrix gets which quantization.
 *
 * The rule is mlx-lm's: all matrices whose columns are whole groups of the general quantization, unless a recipe or a rule says otherwise. */
#ifndef MICA_MODELS_QUANTIZE_POLICY_H
#define MICA_MODELS_QUANTIZE_POLICY_H

#include "base/json.h"
#include "formats/quantize.h"

typedef struct mica__quantize_policy {
    mica__quantization general; /* what config.json says for everything that it does not name */
    bool is_recipe;
    int low_bits, high_bits; /* of a recipe */
    int n_layers;
    char *rules_text;
    mica__json rules; /* an object; {0}: none */
} mica__quantize_policy;

/* quantize: see mica/save.h; rules may be NULL. INVALID with what is wrong. */
mica_status mica__quantize_policy_make(mica__quantize_policy *out, const char *quantize, const char *rules,
                                       int n_layers, mica_error *err);
void mica__quantize_policy_release(mica__quantize_policy *p); /* {0} allowed */

/* True if the matrix at module path `path` ("model.layers.3.mlp.down_proj") is quantized, then *out says how. `layer` is -1 outside of layers.
 * *named: config.json has to name it even if it is quantized like the rest. */
bool mica__quantize_policy_choose(const mica__quantize_policy *p, mica__str path, int layer, int64_t n_columns,
                                  mica__quantization *out, bool *named);

/* "*" stands for any text. */
bool mica__pattern_matches(mica__str pattern, mica__str text);

#endif
