/* cli/setting_options.h: generation settings as options.
 *
 * The table comes from the library (mica_setting_at): --top-p is Transformers' top_p, and so on for all of them. What the command
 * line gave is kept and applied over the model's own settings and over --generation-config FILE. */
#ifndef MICA_CLI_SETTING_OPTIONS_H
#define MICA_CLI_SETTING_OPTIONS_H

#include "options.h"
#include <mica/generate.h>

typedef struct settings {
    option *options; /* [n], names with dashes; those that mica acts on come first */
    size_t n, n_working;
    char **names; /* [n] */
    struct given {
        const mica_setting *setting;
        const char *text; /* as on the command line */
    } * given;            /* [n_given], in order */
    size_t n_given;
    const char *file; /* --generation-config */
} settings;

void settings_init(settings *s);
void settings_release(settings *s);
option_group settings_group(const settings *s);
option_group settings_idle_group(const settings *s);

/* Checks names and values before a model is loaded: applies them to the library's defaults. The exit code. */
int settings_check(const settings *s);
/* Applies file and flags to config, which holds the model's settings. Without `quiet` a setting that has no effect warns. */
mica_status settings_apply(const settings *s, mica_generation_config *config, bool quiet, mica_error *err);
/* One value as a person types it: JSON, or for settings that take JSON also a bare string ("User:"). */
mica_status settings_set(mica_generation_config *config, const mica_setting *setting, const char *text,
                         mica_error *err);

/* By Transformers' name or with dashes; NULL: none. */
const mica_setting *settings_find(const char *name);
/* True if the setting is unset ("null") in config. */
bool settings_unset(const mica_generation_config *config, const char *name);

#endif
