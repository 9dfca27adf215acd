/* cli/setting_options.c: the options made from the library's table of generation settings, and their way into a config. */
#include "setting_options.h"
#include "files.h"
#include "report.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 16 << 20 };

static void collect(void *value, const option *o, const char *text)
{
    settings *s = value;
    s->given[s->n_given++] = (struct given){settings_find(o->name), text};
}

static void add_option(settings *s, const mica_setting *setting)
{
    static const char *const arguments[] = {
        [MICA_SETTING_BOOL] = NULL, [MICA_SETTING_INT] = "N", [MICA_SETTING_FLOAT] = "X", [MICA_SETTING_JSON] = "JSON"};
    char *name = s->names[s->n] = take_memory(strlen(setting->name) + 1, 1);
    strcpy(name, setting->name);
    for (char *c = name; *c; c++)
        if (*c == '_') *c = '-';
    s->options[s->n++] = (option){.name = name,
                                  .kind = OPTION_COLLECT,
                                  .value = s,
                                  .argument = arguments[setting->kind],
                                  .help = setting->help,
                                  .collect = collect};
}

static bool works(const mica_setting *setting) { return setting->has_effect && !setting->refused; }

void settings_init(settings *s)
{
    size_t n = 0;
    while (mica_setting_at(n)) n++;
    *s = (settings){0};
    s->options = take_memory(n + 1, sizeof *s->options);
    s->names = take_memory(n + 1, sizeof *s->names);
    s->given = take_memory(n + 1, sizeof *s->given); /* none can be given twice */
    for (size_t i = 0; i < n; i++)
        if (works(mica_setting_at(i))) add_option(s, mica_setting_at(i));
    s->n_working = s->n;
    for (size_t i = 0; i < n; i++)
        if (!works(mica_setting_at(i))) add_option(s, mica_setting_at(i));
}

void settings_release(settings *s)
{
    for (size_t i = 0; i < s->n; i++) free(s->names[i]);
    free(s->names);
    free(s->options);
    free(s->given);
    *s = (settings){0};
}

option_group settings_group(const settings *s)
{
    return (option_group){"Generation settings (Transformers' names and meaning)", s->options, s->n_working};
}

option_group settings_idle_group(const settings *s)
{
    return (option_group){
        "Settings of Transformers that mica does not act on: it warns, or refuses what would change the result",
        s->options + s->n_working, s->n - s->n_working};
}

/* A value that is no JSON on its face is meant as a string: --stop-strings User: */
static bool looks_like_json(const char *text)
{
    static const char *const words[] = {"null", "true", "false"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(text, words[i]) == 0) return true;
    return text[0] && strchr("[{\"-0123456789", text[0]);
}

mica_status settings_set(mica_generation_config *config, const mica_setting *setting, const char *text, mica_error *err)
{
    if (setting->kind != MICA_SETTING_JSON || looks_like_json(text))
        return mica_generation_config_set(config, setting->name, text, err);
    buffer json = {0};
    buffer_add_json(&json, text, strlen(text));
    const mica_status status = mica_generation_config_set(config, setting->name, json.p, err);
    buffer_release(&json);
    return status;
}

static mica_status apply_file(const char *path, mica_generation_config *config, mica_error *err)
{
    buffer text = {0};
    err->status = MICA_NOT_FOUND;
    if (!file_read(&text, path, MAX_CONFIG_BYTES, err)) return err->status;
    const mica_status status = mica_generation_config_update(config, text.p, text.n, err);
    if (status != MICA_OK) {
        char message[sizeof err->message];
        snprintf(message, sizeof message, "%s: %.400s", QUOTED(path), err->message);
        memcpy(err->message, message, sizeof message);
    }
    buffer_release(&text);
    return status;
}

mica_status settings_apply(const settings *s, mica_generation_config *config, bool quiet, mica_error *err)
{
    mica_status status = s->file ? apply_file(s->file, config, err) : MICA_OK;
    for (size_t i = 0; i < s->n_given && status == MICA_OK; i++) {
        const mica_setting *setting = s->given[i].setting;
        if (!setting->has_effect && !quiet) warn("%s has no effect here", setting->name);
        status = settings_set(config, setting, s->given[i].text, err);
    }
    return status;
}

int settings_check(const settings *s)
{
    mica_error err;
    mica_generation_config *config = NULL;
    mica_status status = mica_generation_config_create(&config, NULL, &err);
    if (status == MICA_OK) status = settings_apply(s, config, true, &err);
    mica_generation_config_free(config);
    return status == MICA_OK ? 0 : fail(&err);
}

const mica_setting *settings_find(const char *name)
{
    const mica_setting *setting;
    for (size_t i = 0; (setting = mica_setting_at(i)); i++) {
        const char *a = setting->name, *b = name;
        while (*a && (*a == *b || (*a == '_' && *b == '-'))) a++, b++;
        if (!*a && !*b) return setting;
    }
    return NULL;
}

bool settings_unset(const mica_generation_config *config, const char *name)
{
    mica_text value = {0};
    mica_error err;
    const bool unset = mica_generation_config_get(config, name, &value, &err) == MICA_OK && value.data &&
                       strcmp(value.data, "null") == 0;
    mica_text_release(&value);
    return unset;
}
