/* cli/resolve.c: folders, files, ids in the Hugging Face cache, and the default model. Nothing is downloaded here.
 *
 * The cache of huggingface_hub holds each model as
 *     models--ORG--NAME/refs/main                the commit that "main" stood for, as text
 *     models--ORG--NAME/snapshots/COMMIT/...     the files of that commit */
#include "resolve.h"
#include "files.h"
#include "report.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char default_file[] = "SmolLM2-135M-Instruct.Q4_1.gguf";
static const char default_id[] = "HuggingFaceTB/SmolLM2-135M-Instruct";

/* NAME or ORG/NAME of the characters the Hub allows; never a path that leads elsewhere. */
static bool is_hub_id(const char *name)
{
    int slashes = 0;
    if (!isalnum((unsigned char)name[0]) || strlen(name) > 96 || strstr(name, "..") || strstr(name, "--")) return false;
    for (const char *c = name; *c; c++) {
        if (*c == '/')
            slashes++;
        else if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
            return false;
    }
    return slashes <= 1 && name[strlen(name) - 1] != '/';
}

/* The folder of huggingface_hub's cache, as its environment variables say; NULL if there is no home. */
static char *hub_cache(void)
{
    const char *value;
    if (((value = getenv("HF_HUB_CACHE")) && value[0]) || ((value = getenv("HUGGINGFACE_HUB_CACHE")) && value[0]))
        return path_join(value, NULL);
    if ((value = getenv("HF_HOME")) && value[0]) return path_join(value, "hub", NULL);
    if ((value = getenv("XDG_CACHE_HOME")) && value[0]) return path_join(value, "huggingface", "hub", NULL);
    if ((value = getenv("HOME")) && value[0]) return path_join(value, ".cache", "huggingface", "hub", NULL);
    return NULL;
}

/* The commit in a refs file: hexadecimal digits, nothing that could be a path. */
static bool read_commit(const char *path, char out[65])
{
    FILE *f = fopen(path, "re");
    if (!f) return false;
    size_t n = fread(out, 1, 64, f);
    fclose(f);
    while (n && isspace((unsigned char)out[n - 1])) n--;
    out[n] = 0;
    for (size_t i = 0; i < n; i++)
        if (!isxdigit((unsigned char)out[i])) return false;
    return n >= 7;
}

/* The snapshot folder of an id, NULL if it is not in the cache. */
static char *cached_snapshot(const char *cache, const char *id)
{
    buffer folder = {0};
    char commit[65];
    buffer_add_z(&folder, "models--");
    for (const char *c = id; *c; c++) buffer_add(&folder, *c == '/' ? "--" : c, *c == '/' ? 2 : 1);
    char *ref = path_join(cache, folder.p, "refs", "main", NULL);
    char *snapshot = read_commit(ref, commit) ? path_join(cache, folder.p, "snapshots", commit, NULL) : NULL;
    free(ref);
    buffer_release(&folder);
    if (snapshot && !folder_exists(snapshot)) {
        free(snapshot);
        snapshot = NULL;
    }
    return snapshot;
}

/* The default model as `make demo` keeps it, NULL if it is not there. */
static char *default_model(void)
{
    char *cache = user_folder("XDG_CACHE_HOME", ".cache");
    char *path = cache ? path_join(cache, "models", default_file, NULL) : NULL;
    free(cache);
    if (path && !file_exists(path)) {
        free(path);
        path = NULL;
    }
    return path;
}

static int missing(const char *name, const char *cache)
{
    if (!name)
        return fail_with(EX_NOINPUT,
                         "no model named (-m FOLDER, FILE.gguf or ORG/NAME), and the default one, %s, is not on "
                         "this machine: `make demo` or scripts/fetch-model.sh fetches it",
                         default_id);
    if (!is_hub_id(name)) return fail_with(EX_NOINPUT, "%s: no such file or folder", QUOTED(name));
    return fail_with(
        EX_NOINPUT,
        "%s: no such folder, and no model of this name in %s (mica does not download yet: `hf download %s` does)", name,
        cache ? QUOTED(cache) : "the Hugging Face cache (no HOME)", name);
}

int resolve_model(const char *name, char **path)
{
    *path = NULL;
    if (name && !name[0]) return fail_with(EX_USAGE, "the name of the model is empty");
    if (name && file_exists(name)) {
        *path = path_join(name, NULL);
        return 0;
    }
    char *cache = hub_cache();
    if (name && cache && is_hub_id(name)) *path = cached_snapshot(cache, name);
    if (!*path && (!name || strcmp(name, default_id) == 0)) *path = default_model();
    if (!*path && !name && cache) *path = cached_snapshot(cache, default_id);
    const int code = *path ? 0 : missing(name, cache);
    free(cache);
    return code;
}
