/* cli/patterns.c: collecting the values of an option. */
#include "patterns.h"
#include "report.h"

#include <stdlib.h>

static void collect(void *value, const option *o, const char *text)
{
    patterns *p = value;
    (void)o;
    p->texts = grow_memory(p->texts, p->n + 1, sizeof *p->texts);
    p->texts[p->n++] = text;
}

option patterns_option(patterns *p, const char *name, const char *help)
{
    return (option){.name = name,
                    .kind = OPTION_COLLECT,
                    .value = p,
                    .argument = "PATTERN",
                    .help = help,
                    .collect = collect,
                    .many = true};
}

void patterns_release(patterns *p)
{
    free(p->texts);
    *p = (patterns){0};
}
