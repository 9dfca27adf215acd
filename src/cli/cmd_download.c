/* cli/cmd_download.c: the verb download: a repository of the Hub into the cache; its folder goes to standard output. */
#include "interrupt.h"
#include "output.h"
#include "patterns.h"
#include "progress.h"
#include "report.h"
#include "resolve.h"
#include "timing.h"
#include "verbs.h"

#include <inttypes.h>
#include <mica/hub.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_json(const char *id, const mica_hub_snapshot *s, double seconds)
{
    out_printf("{\"id\": ");
    out_json(id);
    out_printf(", \"commit\": \"%s\", \"path\": ", s->commit);
    out_json(s->path);
    out_printf(", \"model\": ");
    out_json(s->model);
    out_printf(", \"files\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"fetched_bytes\": %" PRIu64 ", \"seconds\": %.3f}\n",
               s->n_files, s->bytes, s->fetched_bytes, seconds);
}

static mica_hub_files files_of(const char *name)
{
    if (name && strcmp(name, "model") == 0) return MICA_HUB_FILES_MODEL;
    return name && strcmp(name, "tokenizer") == 0 ? MICA_HUB_FILES_TOKENIZER : MICA_HUB_FILES_ALL;
}

static int download(const char *id, const mica_hub_options *asked, bool json, bool verbose)
{
    progress_bar bar;
    mica_error err;
    mica_hub_snapshot snapshot;
    mica_hub_options options = *asked;
    options.progress = progress_start(&bar);
    options.notices = progress_notices();
    const double start = seconds_now();
    interrupt_defer(true, false);
    const mica_status status = mica_hub_resolve(&snapshot, id, &options, &err);
    interrupt_defer(false, false);
    progress_end(&bar);
    int code = 0;
    if (status != MICA_OK) {
        code = fail(&err);
    } else {
        const double seconds = seconds_now() - start;
        if (verbose)
            fprintf(stderr,
                    "%s at commit %s: %" PRIu64
                    " files, %.1f MB, of which %.1f MB were fetched in %.1f s (%.1f MB/s)\n",
                    id, snapshot.commit, snapshot.n_files, (double)snapshot.bytes / 1e6,
                    (double)snapshot.fetched_bytes / 1e6, seconds,
                    (double)snapshot.fetched_bytes / 1e6 / (seconds > 0 ? seconds : 1));
        if (json)
            print_json(id, &snapshot, seconds);
        else
            out_printf("%s\n", snapshot.model);
        code = out_finish();
    }
    mica_hub_snapshot_release(&snapshot);
    return code;
}

int cmd_download(int argc, char **argv)
{
    mica_hub_options options = {.files = MICA_HUB_FILES_ALL};
    patterns include = {0}, exclude = {0};
    const char *files = NULL;
    int64_t connections = 0;
    bool json = false, verbose = false;
    const option own[] = {
        {.name = "revision",
         .kind = OPTION_TEXT,
         .value = &options.revision,
         .argument = "REV",
         .help = "branch, tag, commit or refs/pr/N; default: main"},
        {.name = "files",
         .kind = OPTION_TEXT,
         .value = &files,
         .argument = "WHICH",
         .choices = "all model tokenizer",
         .help = "all (default), model (what a causal language model needs) or tokenizer"},
        {.name = "gguf-file",
         .kind = OPTION_TEXT,
         .value = &options.gguf,
         .argument = "FILE",
         .help = "exactly this GGUF file, or the one that is quantized like this: Q4_K_M"},
        patterns_option(&include, "include", "only files that match this shell pattern; may be given several times"),
        patterns_option(&exclude, "exclude", "no files that match this shell pattern; may be given several times"),
        {.name = "cache-dir",
         .kind = OPTION_TEXT,
         .value = &options.cache_dir,
         .argument = "FOLDER",
         .help = "the cache; default: HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub"},
        {.name = "connections",
         .kind = OPTION_NUMBER,
         .value = &connections,
         .argument = "N",
         .help = "at most so many at once; default: 8",
         .min = 1,
         .max = 64},
        {.name = "force", .kind = OPTION_FLAG, .value = &options.force, .help = "fetch also what is there already"},
        {.name = "local-only",
         .kind = OPTION_FLAG,
         .value = &options.local_only,
         .help = "no request: only look whether it is in the cache"},
        {.name = "json", .kind = OPTION_FLAG, .value = &json, .help = "one JSON object instead of the folder's path"},
        {.name = "verbose",
         .kind = OPTION_FLAG,
         .value = &verbose,
         .help = "say at the end what was fetched and how fast"},
    };
    command_line line = {.verb = "download",
                         .synopsis = "ORG/NAME[:QUANTIZATION]",
                         .about = "Fetches a repository of the Hugging Face Hub into the cache that it shares with "
                                  "Python's huggingface_hub,\nand prints the folder that holds its files, or the GGUF "
                                  "file that was asked for.",
                         .groups = {{"Options", own, sizeof own / sizeof own[0]}},
                         .n_groups = 1,
                         .max_words = 1};
    int code = line.exit_code;
    if (!options_parse(&line, argc, argv)) {
        code = line.exit_code;
    } else if (line.n_words == 0) {
        code = options_usage(&line, "ORG/NAME is missing");
    } else {
        options.files = files_of(files);
        options.include = include.texts;
        options.n_include = include.n;
        options.exclude = exclude.texts;
        options.n_exclude = exclude.n;
        options.n_connections = (int)connections;
        const char *tag = NULL;
        char *id = mica_hub_is_id(line.words[0]) ? NULL : resolve_split(line.words[0], &tag);
        if (!options.gguf) options.gguf = tag;
        code = download(id ? id : line.words[0], &options, json, verbose);
        free(id);
    }
    patterns_release(&include);
    patterns_release(&exclude);
    return code;
}
