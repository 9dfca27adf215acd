/* hub/settings.c: reading the environment as huggingface_hub does. */
#include "settings.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "late.h"

#include <pwd.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum { MAX_TOKEN = 4000 };

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

static bool is_true(const char *name)
{
    const char *value = variable(name);
    return value && (strcmp(value, "1") == 0 || strcasecmp(value, "on") == 0 || strcasecmp(value, "yes") == 0 ||
                     strcasecmp(value, "true") == 0);
}

static double seconds(const char *name, double otherwise)
{
    const char *value = variable(name);
    double out;
    if (!value || !mica__parse_double(value, strlen(value), &out) || !(out > 0 && out < 86400)) return otherwise;
    return out;
}

/* ---- folders ------------------------------------------------------------------------------------------------------------- */

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* $HOME, else what the system knows of the user; false if there is neither. */
static bool append_user_home(mica__buf *out)
{
    const char *home = variable("HOME");
    char text[4096];
    struct passwd user, *found = NULL;
    if (!home && getpwuid_r(getuid(), &user, text, sizeof text, &found) == 0 && found && found->pw_dir[0] == '/')
        home = found->pw_dir;
    if (home) mica__buf_append_z(out, home);
    return home;
}

/* Appends path with a leading ~ and $NAME or ${NAME} replaced; a variable that is not set stays as it is written. */
static void append_expanded(mica__buf *out, const char *path)
{
    if (path[0] == '~' && (path[1] == '/' || !path[1]) && append_user_home(out)) path++;
    while (*path) {
        const bool braces = path[0] == '$' && path[1] == '{';
        const char *name = path + 1 + braces, *end = name;
        while (*end && is_name(*end)) end++;
        char key[64];
        const size_t n = (size_t)(end - name);
        const char *value = NULL;
        if (path[0] == '$' && n && n < sizeof key && (!braces || *end == '}')) {
            memcpy(key, name, n);
            key[n] = 0;
            value = getenv(key);
        }
        if (value) {
            mica__buf_append_z(out, value);
            path = end + braces;
        } else {
            mica__buf_append_char(out, *path++);
        }
    }
}

/* $HF_HOME, expanded; false if there is no home for it. */
static bool append_home(mica__buf *out)
{
    if (variable("HF_HOME")) {
        append_expanded(out, variable("HF_HOME"));
    } else if (variable("XDG_CACHE_HOME")) {
        append_expanded(out, variable("XDG_CACHE_HOME"));
        mica__buf_append_z(out, "/huggingface");
    } else {
        if (!append_user_home(out)) return false;
        mica__buf_append_z(out, "/.cache/huggingface");
    }
    return true;
}

mica_status mica__hub_cache_folder(char **out, const char *cache_dir, mica_error *err)
{
    mica__buf path = {0};
    *out = NULL;
    const char *named = variable("HF_HUB_CACHE");
    if (!named) named = variable("HUGGINGFACE_HUB_CACHE");
    if (cache_dir && cache_dir[0]) {
        mica__buf_append_z(&path, cache_dir);
    } else if (named) {
        append_expanded(&path, named);
    } else {
        if (!append_home(&path))
            return mica__fail(err, MICA_NOT_FOUND, "no folder for the Hugging Face cache: set HF_HOME or HOME");
        mica__buf_append_z(&path, "/hub");
    }
    while (path.n > 1 && path.p[path.n - 1] == '/') path.p[--path.n] = 0;
    *out = mica__buf_take(&path);
    return *out ? MICA_OK : mica__fail_memory(err, 256, "a path");
}

/* ---- the token ------------------------------------------------------------------------------------------------------------- */

/* The token in fresh memory; NULL if the text is blank. What is no token is refused, and never shown. */
static mica_status clean_token(char **out, mica__str text, const char *from, mica_error *err)
{
    while (text.n && (unsigned char)text.p[0] <= ' ') text.p++, text.n--;
    while (text.n && (unsigned char)text.p[text.n - 1] <= ' ') text.n--;
    *out = NULL;
    if (text.n == 0) return MICA_OK;
    if (text.n > MAX_TOKEN)
        return mica__fail(err, MICA_INVALID, "%s holds no token: it is longer than %d characters", from, MAX_TOKEN);
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= ' ' || text.p[i] > '~')
            return mica__fail(err, MICA_INVALID, "%s holds no token: there are spaces or special characters in it",
                              from);
    *out = mica__strndup(text.p, text.n);
    return *out ? MICA_OK : mica__fail_memory(err, text.n, "the token");
}

static mica_status token_from_file(char **out, mica_error *err)
{
    mica__buf path = {0}, text = {0};
    *out = NULL;
    if (variable("HF_TOKEN_PATH"))
        append_expanded(&path, variable("HF_TOKEN_PATH"));
    else if (append_home(&path))
        mica__buf_append_z(&path, "/token");
    mica_status status = MICA_OK;
    if (path.n && !path.failed && mica__file_read(&text, path.p, 64 * 1024, NULL) == MICA_OK)
        status = clean_token(out, mica__buf_str(&text), path.p, err);
    mica__buf_release(&path);
    mica__buf_release(&text);
    return status;
}

static mica_status find_token(char **out, const char *given, bool writing, mica_error *err)
{
    *out = NULL;
    if (given) return clean_token(out, mica__str_from(given), "the option for it", err);
    if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") && !writing) return MICA_OK;
    static const char *const names[] = {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"};
    for (size_t i = 0; i < 2; i++) {
        if (!variable(names[i])) continue;
        MICA_TRY(clean_token(out, mica__str_from(variable(names[i])), names[i], err));
        if (*out) return MICA_OK;
    }
    return token_from_file(out, err);
}

/* ---- the server ------------------------------------------------------------------------------------------------------------ */

static mica_status find_endpoint(char **out, const char *given, mica_error *err)
{
    const char *text = given && given[0] ? given : variable("HF_ENDPOINT");
    const bool usual = !text; /* needs no check, and so no libcurl */
    if (usual) text = "https://huggingface.co";
    size_t n = strlen(text);
    while (n && text[n - 1] == '/') n--;
    *out = mica__strndup(text, n);
    if (!*out) return mica__fail_memory(err, n, "an address");
    if (usual) return MICA_OK;
    MICA_TRY(mica__late_load(err));
    CURLU *url = curl_url();
    char *part = NULL;
    bool good = url && curl_url_set(url, CURLUPART_URL, *out, 0) == CURLUE_OK;
    good = good && curl_url_get(url, CURLUPART_SCHEME, &part, 0) == CURLUE_OK &&
           (strcmp(part, "http") == 0 || strcmp(part, "https") == 0);
    curl_free(part);
    part = NULL;
    good = good && curl_url_get(url, CURLUPART_USER, &part, 0) != CURLUE_OK;
    curl_free(part);
    part = NULL;
    good = good && curl_url_get(url, CURLUPART_QUERY, &part, 0) != CURLUE_OK;
    curl_free(part);
    curl_url_cleanup(url);
    if (good) return MICA_OK;
    return mica__fail(err, MICA_INVALID, "'%s' (HF_ENDPOINT) is not an address like https://huggingface.co",
                      MICA_QUOTED(text, n));
}

mica_status mica__hub_settings_init(mica__hub_settings *s, const char *cache_dir, const char *endpoint,
                                    const char *token, bool writing, mica_error *err)
{
    *s = (mica__hub_settings){
        .offline = is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE"),
        .no_symlinks = is_true("HF_HUB_DISABLE_SYMLINKS"),
        .api_seconds = seconds("HF_HUB_ETAG_TIMEOUT", 10),
        .data_seconds = seconds("HF_HUB_DOWNLOAD_TIMEOUT", 30),
    };
    mica_status status = mica__hub_cache_folder(&s->cache_dir, cache_dir, err);
    if (status == MICA_OK) status = find_endpoint(&s->endpoint, endpoint, err);
    if (status == MICA_OK) status = find_token(&s->token, token, writing, err);
    if (status != MICA_OK) mica__hub_settings_release(s);
    return status;
}

void mica__hub_settings_release(mica__hub_settings *s)
{
    if (s->token) explicit_bzero(s->token, strlen(s->token));
    mica__free(s->token);
    mica__free(s->cache_dir);
    mica__free(s->endpoint);
    *s = (mica__hub_settings){0};
}
