/* mica/perplexity.h: how well a model predicts a text, and how far it is from another one.
 *
 *     mica_perplexity_result r;
 *     if (mica_perplexity(model, reference, ids, n, NULL, &r, &err)) ...
 *     printf("%.3f +- %.3f\n", r.perplexity, r.perplexity_error);
 *
 * A text is read in windows that overlap: each begins `stride` tokens after the one before, and in each only the tokens that no earlier window has scored
 * are scored, so that all but the first have at least window - stride tokens before them. */
#ifndef MICA_PERPLEXITY_H
#define MICA_PERPLEXITY_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zero means the default. */
typedef struct mica_perplexity_options {
    int64_t window;        /* tokens, the prefix included; 0: 1024, or the model's context if that is shorter */
    int64_t stride;        /* 0: half of the window */
    const int32_t *prefix; /* [n_prefix] what every window begins with (a begin-of-text token), not scored */
    size_t n_prefix;
    int n_threads; /* of comparing; 0: as many as useful here */
    mica_progress progress;
} mica_perplexity_options;

/* Errors are standard errors of means over positions (taken as independent). */
typedef struct mica_perplexity_result {
    int64_t n_scored;                      /* positions */
    double nll, nll_error;                 /* mean of -ln p(token) */
    double perplexity, perplexity_error;   /* exp(nll) */
    double reference_nll, reference_error; /* of the reference, from here on; 0 without one */
    double reference_perplexity;           /* exp(reference_nll) */
    double nll_change, nll_change_error;   /* mean of the differences, position by position: nll - reference_nll */
    double kl, kl_error, kl_max;           /* of the distributions: sum of q ln(q / p), q the reference's */
    double top1_agreement, top1_error;     /* share of positions where both find the same token most likely */
} mica_perplexity_result;

/* reference may be NULL. ids: the text without special tokens. INVALID for windows and strides that do not go together, a text of fewer than two tokens,
 * or models whose vocabularies differ in size; CANCELLED. */
MICA_API mica_status mica_perplexity(mica_model *model, mica_model *reference, const int32_t *ids, size_t n,
                                     const mica_perplexity_options *options, mica_perplexity_result *result,
                                     mica_error *err) MICA_NODISCARD;

#ifdef __cplusplus
}
#endif
#endif
