/* models/quantize_load.h: matrices quantized while they are loaded.
 *
 * The result is that of converting with the same options and loading what that made: the same policy, the same type of the elements before
 * they are quantized, the same quantizer. A matrix goes from the file to its place in pieces of some rows, which the threads share, so that
 * memory holds no second copy. */
#ifndef MICA_MODELS_QUANTIZE_LOAD_H
#define MICA_MODELS_QUANTIZE_LOAD_H

#include "quantize_policy.h"
#include "weight_list.h"
#include <mica/model.h>

typedef struct mica__quantize_load {
    mica__quantize_policy policy; /* {0}: only what blocks_to_8_bits says */
    bool blocks_to_8_bits;        /* GGUF's blocks without an exact form in groups, if the policy leaves them alone */
    mica__quantizer quantizer;
    bool has_dtype;
    mica_dtype dtype;   /* that elements are rounded to before, if has_dtype; else their own */
    const char *prefix; /* of paths: "" or "language_model." */
    int n_threads;
    mica__team *team; /* made with the first matrix */
} mica__quantize_load;

/* options: quantize, which may be NULL, quantize_rules, quantizer, precision, as in mica/model.h. n_threads 0: as many as useful here. INVALID for what they do not allow. */
mica_status mica__quantize_load_make(mica__quantize_load *out, const mica_model_options *options,
                                     const mica__config *config, int n_layers, int n_threads, mica_error *err);
void mica__quantize_load_release(mica__quantize_load *q); /* {0} allowed */

/* Fills w->made: bits 0 if the tensor stays as it is. */
void mica__quantize_load_decide(const mica__quantize_load *q, mica__wanted *w);
/* Makes the matrix, with sizes as mica__quantized_row_sizes says for w->made. DATA if an element is not finite. */
mica_status mica__quantize_load_fill(mica__quantize_load *q, const mica__wanted *w, void *codes, void *scales,
                                     void *biases, mica_error *err);

#endif
