/* cli/resolve.c: folders, files, ids of the Hub, and the default model. */
#include "resolve.h"
#include "files.h"
#include "interrupt.h"
#include "progress.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>

static const char default_file[] = "SmolLM2-135M-Instruct.Q4_1.gguf";
static const char default_id[] = "HuggingFaceTB/SmolLM2-135M-Instruct";

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

static mica_status from_hub(const char *id, const char *revision, const char *gguf, mica_hub_files files,
                            bool local_only, char **path, mica_error *err)
{
    progress_bar bar;
    mica_hub_snapshot snapshot;
    const mica_hub_options options = {.revision = revision,
                                      .files = files,
                                      .gguf = gguf,
                                      .local_only = local_only,
                                      .progress = progress_start(&bar),
                                      .notices = progress_notices()};
    interrupt_defer(true, false);
    const mica_status status = mica_hub_resolve(&snapshot, id, &options, err);
    interrupt_defer(false, false);
    progress_end(&bar);
    if (status == MICA_OK) *path = path_join(snapshot.model, NULL);
    mica_hub_snapshot_release(&snapshot);
    return status;
}

static int missing_default(void)
{
    return fail_with(
        EX_NOINPUT,
        "no model named (-m FOLDER, FILE.gguf or ORG/NAME), and the default one, %s, is not on this machine: "
        "`make demo`, scripts/fetch-model.sh or `mica download %s` fetches it",
        default_id, default_id);
}

char *resolve_split(const char *name, const char **gguf)
{
    const char *colon = strchr(name, ':'), *slash = strchr(name, '/'); /* C:\\x is a path */
    char *id = slash && colon > slash && colon[1] ? path_join(name, NULL) : NULL;
    if (!id) return NULL;
    id[colon - name] = 0;
    if (mica_hub_is_id(id)) {
        *gguf = colon + 1;
        return id;
    }
    free(id);
    return NULL;
}

static int on_this_machine(const char *name, const char *revision, const char *gguf, char **path)
{
    if (revision) warn("%s is a file or folder: --revision has no effect", QUOTED(name));
    *path = path_join(name, gguf, NULL);
    if (!gguf || file_exists(*path)) return 0;
    const int code = fail_with(EX_NOINPUT, "%s: no such file", QUOTED(*path));
    free(*path);
    *path = NULL;
    return code;
}

int resolve_model(const char *name, const char *revision, const char *gguf, mica_hub_files files, char **path)
{
    mica_error err;
    *path = NULL;
    if (name && !name[0]) return fail_with(EX_USAGE, "the name of the model is empty");
    if (name && file_exists(name)) return on_this_machine(name, revision, gguf, path);
    if (name && !mica_hub_is_id(name)) {
        const char *tag;
        char *id = resolve_split(name, &tag);
        if (!id) return fail_with(EX_NOINPUT, "%s: no such file or folder", QUOTED(name));
        if (gguf) warn("--gguf-file names a file: '%s' has no effect", QUOTED(tag));
        const mica_status status = from_hub(id, revision, gguf ? gguf : tag, files, false, path, &err);
        free(id);
        return status == MICA_OK ? 0 : fail(&err);
    }
    if (!name || (strcmp(name, default_id) == 0 && !revision && !gguf)) *path = default_model();
    if (*path) return 0;
    if (!name) return from_hub(default_id, NULL, gguf, files, true, path, &err) == MICA_OK ? 0 : missing_default();
    return from_hub(name, revision, gguf, files, false, path, &err) == MICA_OK ? 0 : fail(&err);
}
