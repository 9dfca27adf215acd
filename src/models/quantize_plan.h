/* models/quantize_plan.h: which matrix of a model is quantized how, when a person asks for it.
 *
 *     mica__quantize_plan plan;
 *     MICA_TRY(mica__quantize_plan_init(&plan, "mixed_3_6", "{\"lm_head\": \"8\"}", NULL, err));
 *     if (mica__quantize_plan_find(&plan, MICA_STR("model.layers.0.mlp.down_proj"), n_layers, n_columns, &q)) ...
 *     mica__quantize_plan_release(&plan);
 *
 * What mlx-lm does: every linear layer and embedding, the output head included, whose rows are whole groups; never norms, biases
 * or convolutions. Its mixed recipes give more bits to the value and down projections of some layers and to the head. */
#ifndef MICA_MODELS_QUANTIZE_PLAN_H
#define MICA_MODELS_QUANTIZE_PLAN_H

#include "formats/checkpoint.h"
#include "formats/quantize.h"

typedef struct mica__quantize_plan {
    mica__quantization base; /* what no rule names gets; bits 0: it stays as it is */
    mica__quantizer quantizer;
    int low_bits, high_bits; /* of a mixed recipe; 0: none */
    mica__json rules;        /* an object of patterns */
    mica__buf text;          /* of the rules */
} mica__quantize_plan;

/* quantize: "4", "affine-6-32", "mxfp4", "mixed_3_6", "mixed_4_6-32"; NULL: only what the rules name.
 * rules: a JSON object from patterns of module paths ("*": any text) to "6", 6, "mxfp8", {"bits": 8, "group_size": 32}, true (the
 * default) or false (not quantized); the first that matches counts. A text that ends in ".json" is the name of a file with that. NULL: none.
 * quantizer: "mlx" (NULL) or "search". INVALID; NOT_FOUND and the like for the file. */
mica_status mica__quantize_plan_init(mica__quantize_plan *out, const char *quantize, const char *rules,
                                     const char *quantizer, mica_error *err);
void mica__quantize_plan_release(mica__quantize_plan *p); /* {0} allowed */
/* True if anything is to be quantized. */
static inline bool mica__quantize_plan_any(const mica__quantize_plan *p) { return p->base.bits || p->rules.n_nodes; }

/* path: of the module, "model.layers.0.mlp.down_proj". False: the matrix stays as it is, which is also the case if its rows are not whole
 * groups. */
bool mica__quantize_plan_find(const mica__quantize_plan *p, mica__str path, int n_layers, int64_t n_columns,
                              mica__quantization *out);

/* The dtype that mlx-lm's convert casts floating-point tensors to: "torch_dtype" of config.json, else "dtype" of its text_config. False if
 * neither says one; then tensors keep their own. */
bool mica__conversion_dtype(mica__jval config, mica_dtype *out);
/* A tensor's own dtype for that purpose: f32, f16 or bf16. Blocks of GGUF files give f16. */
mica_dtype mica__own_dtype(const mica__tensor_view *v);

#endif
