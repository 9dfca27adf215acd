/* hub/settings.h: what the environment and the caller say about the Hub: where the cache is, which server, which token. */
#ifndef MICA_HUB_SETTINGS_H
#define MICA_HUB_SETTINGS_H

#include "base/str.h"

typedef struct mica__hub_settings {
    char *cache_dir;
    char *endpoint; /* without a slash at its end; scheme http or https, a host, no user */
    char *token;    /* NULL: none; printable ASCII without spaces */
    bool offline, no_symlinks;
    double api_seconds, data_seconds; /* of silence after which a request has failed */
} mica__hub_settings;

/* NULL arguments: as the environment says. `writing`: a token from the environment is used even where HF_HUB_DISABLE_IMPLICIT_TOKEN is set.
 * INVALID: an endpoint that is no address, a token that is none; NOT_FOUND: no home for the cache. */
mica_status mica__hub_settings_init(mica__hub_settings *s, const char *cache_dir, const char *endpoint,
                                    const char *token, bool writing, mica_error *err);
void mica__hub_settings_release(mica__hub_settings *s);
/* The cache's folder alone, in fresh memory. */
mica_status mica__hub_cache_folder(char **out, const char *cache_dir, mica_error *err);

#endif
