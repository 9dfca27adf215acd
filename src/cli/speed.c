/* cli/speed.c: one line about an answer's speed. */
#include "speed.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

void print_speed(const mica_generate_result *r, int64_t n_new)
{
    const bool colour = isatty(STDERR_FILENO);
    fprintf(stderr, "%s[%" PRId64 " prompt tokens in %.2f s, %" PRId64 " new", colour ? "\033[2m" : "", r->n_prompt,
            r->prompt_seconds, n_new);
    if (r->prompt_seconds > 0) fprintf(stderr, "; prompt %.0f tokens/s", (double)r->n_prompt / r->prompt_seconds);
    if (n_new > 1 && r->decode_seconds > 0)
        fprintf(stderr, "; answer %.1f tokens/s", (double)(n_new - 1) / r->decode_seconds);
    fprintf(stderr, "]%s\n", colour ? "\033[0m" : "");
}
