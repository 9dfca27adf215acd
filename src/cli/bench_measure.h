/* cli/bench_measure.h: what bench measures: one combination of lengths and rows, and the start of a process. */
#ifndef MICA_CLI_BENCH_MEASURE_H
#define MICA_CLI_BENCH_MEASURE_H

#include "model_options.h"
#include "timing.h"
#include <mica/generate.h>

/* One combination: `rows` prompts of `n_prompt` tokens after `depth` tokens that are not measured, `n_tokens` new ones each. */
typedef struct bench_case {
    int64_t depth, n_prompt, rows, n_tokens, n_runs;
    spread prefill, decode; /* tokens per second of all rows together */
} bench_case;

/* Measures and fills the spreads. CANCELLED after a signal. */
mica_status bench_measure(mica_model *model, bench_case *c, mica_error *err);
/* Bytes that one step of decoding reads: the weights once and each row's cache, half of the new tokens in it. */
double bench_step_bytes(const mica_model *model, const bench_case *c);

/* Seconds from starting `mica generate` in a process of its own to its first token, n_runs times; all of it: program, tokenizer,
 * weights, one token. n_threads 0: as many as are useful. False: it failed, or a signal came. */
bool bench_start(const model_choice *choice, int n_threads, bool with_text, int64_t n_runs, spread *seconds);

/* The largest resident size of this process so far. */
double bench_peak_bytes(void);

#endif
