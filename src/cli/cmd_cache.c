/* cli/cmd_cache.c: the verb cache: what of the Hub is on this machine; removing and verifying it. */
#include "interrupt.h"
#include "options.h"
#include "output.h"
#include "progress.h"
#include "report.h"
#include "verbs.h"

#include <inttypes.h>
#include <mica/hub.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct request {
    const char *folder;  /* of the cache; NULL: as the environment says */
    const char *pattern; /* NULL: none */
    bool json, dry_run, remove_bad;
} request;

static const char *day_text(char out[32], double seconds)
{
    const time_t t = (time_t)seconds;
    struct tm local;
    if (seconds <= 0 || !localtime_r(&t, &local) || !strftime(out, 32, "%Y-%m-%d", &local)) strcpy(out, "-");
    return out;
}

/* ---- list ------------------------------------------------------------------------------------------------------------------- */

static void print_refs(const mica_hub_revision *v, const char *separator)
{
    for (size_t i = 0; i < v->n_refs; i++) out_printf("%s%s", i ? separator : "", v->refs[i]);
}

static void print_table(const mica_hub_cache *cache)
{
    char a[32], b[32];
    size_t width = 10;
    for (size_t i = 0; i < cache->n_repositories; i++) {
        const size_t n = strlen(cache->repositories[i].id);
        if (n > width) width = n < 70 ? n : 70;
    }
    for (size_t i = 0; i < cache->n_repositories; i++) {
        const mica_hub_repository *r = &cache->repositories[i];
        out_printf("%-*s  %10s  %4" PRIu64 " files  %s", (int)width, r->id, bytes_text(a, "B", r->bytes), r->n_files,
                   day_text(b, r->modified));
        if (strcmp(r->kind, "model") != 0) out_printf("  %s", r->kind);
        if (r->partial_bytes) out_printf("  and %s of interrupted downloads", bytes_text(a, "B", r->partial_bytes));
        out_printf("\n");
        for (size_t k = 0; k < r->n_revisions; k++) {
            const mica_hub_revision *v = &r->revisions[k];
            out_printf("  %.12s%*s  %10s  %4" PRIu64 " files  ", v->commit, (int)width - 14 > 0 ? (int)width - 14 : 0,
                       "", bytes_text(a, "B", v->bytes), v->n_files);
            print_refs(v, ", ");
            out_printf("\n");
        }
    }
    out_printf("%zu repositories, %s in %s\n", cache->n_repositories, bytes_text(a, "B", cache->bytes), cache->path);
}

static void print_revision_json(const mica_hub_revision *v)
{
    out_printf("{\"commit\": \"%s\", \"refs\": [", v->commit);
    for (size_t i = 0; i < v->n_refs; i++) {
        if (i) out_printf(", ");
        out_json(v->refs[i]);
    }
    out_printf("], \"files\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"modified\": %.3f, \"path\": ", v->n_files,
               v->bytes, v->modified);
    out_json(v->path);
    out_printf("}");
}

static void print_json(const mica_hub_cache *cache)
{
    out_printf("{\"path\": ");
    out_json(cache->path);
    out_printf(", \"bytes\": %" PRIu64 ", \"partial_bytes\": %" PRIu64 ", \"repositories\": [", cache->bytes,
               cache->partial_bytes);
    for (size_t i = 0; i < cache->n_repositories; i++) {
        const mica_hub_repository *r = &cache->repositories[i];
        out_printf("%s{\"id\": ", i ? ", " : "");
        out_json(r->id);
        out_printf(", \"kind\": \"%s\", \"bytes\": %" PRIu64 ", \"partial_bytes\": %" PRIu64 ", \"files\": %" PRIu64
                   ", \"accessed\": %.3f, \"modified\": %.3f, \"path\": ",
                   r->kind, r->bytes, r->partial_bytes, r->n_files, r->accessed, r->modified);
        out_json(r->path);
        out_printf(", \"revisions\": [");
        for (size_t k = 0; k < r->n_revisions; k++) {
            if (k) out_printf(", ");
            print_revision_json(&r->revisions[k]);
        }
        out_printf("]}");
    }
    out_printf("]}\n");
}

static int run_list(const request *q)
{
    mica_error err;
    mica_hub_cache *cache;
    if (mica_hub_cache_scan(&cache, q->folder, &err) != MICA_OK) return fail(&err);
    (q->json ? print_json : print_table)(cache);
    mica_hub_cache_free(cache);
    return out_finish();
}

/* ---- delete, prune ------------------------------------------------------------------------------------------------------------ */

static int print_removed(const request *q, const mica_hub_removed *r)
{
    char size[32];
    if (q->json)
        out_printf("{\"repositories\": %" PRIu64 ", \"revisions\": %" PRIu64 ", \"files\": %" PRIu64
                   ", \"bytes\": %" PRIu64 ", \"dry_run\": %s}\n",
                   r->n_repositories, r->n_revisions, r->n_files, r->bytes, q->dry_run ? "true" : "false");
    else
        out_printf("%s %" PRIu64 " repositories, %" PRIu64 " revisions, %" PRIu64 " files: %s\n",
                   q->dry_run ? "would remove" : "removed", r->n_repositories, r->n_revisions, r->n_files,
                   bytes_text(size, "B", r->bytes));
    return out_finish();
}

static int run_delete(const request *q)
{
    mica_error err;
    mica_hub_removed removed;
    if (mica_hub_cache_delete(&removed, q->folder, q->pattern, q->dry_run, &err) != MICA_OK) return fail(&err);
    return print_removed(q, &removed);
}

static int run_prune(const request *q)
{
    mica_error err;
    mica_hub_removed removed;
    if (mica_hub_cache_prune(&removed, q->folder, q->dry_run, &err) != MICA_OK) return fail(&err);
    return print_removed(q, &removed);
}

/* ---- verify -------------------------------------------------------------------------------------------------------------------- */

static void on_fault(void *context, const char *path, const char *problem)
{
    const request *q = context;
    const bool remove_it = q->remove_bad && !q->dry_run;
    const bool gone = remove_it && unlink(path) == 0;
    if (!q->json) out_printf("%s: %s%s\n", path, problem, gone ? " (removed)" : "");
}

static int run_verify(const request *q)
{
    mica_error err;
    progress_bar bar;
    mica_hub_verified v;
    const mica_progress progress = progress_start(&bar);
    const mica_hub_faults faults = {on_fault, (void *)q};
    interrupt_defer(true, false);
    const mica_status status = mica_hub_cache_verify(&v, q->folder, q->pattern, &faults, &progress, &err);
    interrupt_defer(false, false);
    progress_end(&bar);
    if (status != MICA_OK) return fail(&err);
    char size[32];
    if (q->json)
        out_printf("{\"files\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"faults\": %" PRIu64 "}\n", v.n_files, v.bytes,
                   v.n_faults);
    else
        out_printf("%" PRIu64 " files, %s: %s\n", v.n_files, bytes_text(size, "B", v.bytes),
                   v.n_faults ? "not all are right" : "all are what their hashes say");
    const int code = out_finish();
    if (code || v.n_faults == 0) return code;
    return fail_with(EX_DATAERR, "%" PRIu64 " files of the cache are not what they should be%s", v.n_faults,
                     q->remove_bad ? "" : ": --remove-bad removes them, so that they are fetched again");
}

int cmd_cache(int argc, char **argv)
{
    request q = {0};
    const option own[] = {
        {.name = "json", .kind = OPTION_FLAG, .value = &q.json, .help = "one JSON object"},
        {.name = "dry-run", .kind = OPTION_FLAG, .value = &q.dry_run, .help = "only say what would be removed"},
        {.name = "remove-bad", .kind = OPTION_FLAG, .value = &q.remove_bad, .help = "verify: remove what is not right"},
        {.name = "cache-dir",
         .kind = OPTION_TEXT,
         .value = &q.folder,
         .argument = "FOLDER",
         .help = "the cache; default: HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub"},
    };
    command_line line = {.verb = "cache",
                         .synopsis = "[list | delete PATTERN | prune | verify [PATTERN]]",
                         .about =
                             "Shows what of the Hugging Face Hub is on this machine (list), removes models (delete) "
                             "or what nothing refers\nto any more (prune), and compares files with their hashes "
                             "(verify). PATTERN is ORG/NAME or ORG/NAME@REVISION,\nwith * and ? as in a shell.",
                         .groups = {{"Options", own, sizeof own / sizeof own[0]}},
                         .n_groups = 1,
                         .max_words = 2};
    static const struct {
        const char *name;
        int (*run)(const request *q);
        size_t least, most; /* patterns */
    } actions[] = {{"list", run_list, 0, 0},
                   {"delete", run_delete, 1, 1},
                   {"prune", run_prune, 0, 0},
                   {"verify", run_verify, 0, 1}};
    if (!options_parse(&line, argc, argv)) return line.exit_code;
    const char *name = line.n_words ? line.words[0] : "list";
    const size_t n = line.n_words ? line.n_words - 1 : 0;
    q.pattern = n ? line.words[1] : NULL;
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(actions[i].name, name) != 0) continue;
        if (n < actions[i].least) return options_usage(&line, "%s needs a PATTERN", name);
        if (n > actions[i].most) return options_usage(&line, "%s takes no PATTERN", name);
        return actions[i].run(&q);
    }
    return options_usage(&line, "'%s' is none of list, delete, prune, verify", QUOTED(name));
}
