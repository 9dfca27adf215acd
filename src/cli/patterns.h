/* cli/patterns.h: options that may be given several times: --include '*.json' --include '*.safetensors' */
#ifndef MICA_CLI_PATTERNS_H
#define MICA_CLI_PATTERNS_H

#include "options.h"

typedef struct patterns {
    const char **texts; /* [n] */
    size_t n;
} patterns;

/* An option that adds to p. */
option patterns_option(patterns *p, const char *name, const char *help);
void patterns_release(patterns *p);

#endif
