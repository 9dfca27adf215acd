/* cli/score.h: scoring a text with models, tokens and begin-of-text marks included; and a text to score when there is none. */
#ifndef MICA_CLI_SCORE_H
#define MICA_CLI_SCORE_H

#include <mica/perplexity.h>

/* Encodes with the model's tokenizer, at most max_tokens (0: all), and scores. Windows begin with what the tokenizer begins texts with. */
mica_status score_text(mica_model *model, mica_model *reference, const char *text, size_t n, size_t max_tokens,
                       const mica_perplexity_options *options, mica_perplexity_result *result, mica_error *err);

/* A few paragraphs of ordinary English, about 400 tokens. */
const char *sample_text(void);

#endif
