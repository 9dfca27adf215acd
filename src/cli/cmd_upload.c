/* cli/cmd_upload.c: the verb upload: a folder into a repository of the Hub, in one commit. */
#include "interrupt.h"
#include "output.h"
#include "patterns.h"
#include "progress.h"
#include "report.h"
#include "verbs.h"

#include <inttypes.h>
#include <mica/hub.h>
#include <stdio.h>

static void print_json(const mica_hub_commit *c)
{
    out_printf("{\"url\": ");
    out_json(c->url);
    out_printf(", \"commit\": ");
    out_json(c->commit[0] ? c->commit : NULL);
    out_printf(", \"pull_request_url\": ");
    out_json(c->pull_request_url);
    out_printf(", \"files\": %" PRIu64 ", \"sent_bytes\": %" PRIu64 "}\n", c->n_files, c->sent_bytes);
}

static int upload(const char *folder, const char *id, const mica_hub_upload_options *asked, bool json)
{
    progress_bar bar;
    mica_error err;
    mica_hub_commit commit;
    mica_hub_upload_options options = *asked;
    options.progress = progress_start(&bar);
    options.notices = progress_notices();
    interrupt_defer(true, false);
    const mica_status status = mica_hub_upload(&commit, folder, id, &options, &err);
    interrupt_defer(false, false);
    progress_end(&bar);
    if (status != MICA_OK) return fail(&err);
    if (json)
        print_json(&commit);
    else
        out_printf("%s\n", commit.pull_request_url ? commit.pull_request_url : commit.url);
    if (!commit.n_files && !json) fprintf(stderr, "nothing to do: the repository has all of it\n");
    mica_hub_commit_release(&commit);
    return out_finish();
}

int cmd_upload(int argc, char **argv)
{
    mica_hub_upload_options options = {0};
    patterns include = {0}, exclude = {0};
    int64_t connections = 0;
    bool json = false, card = true;
    const option own[] = {
        {.name = "private",
         .kind = OPTION_FLAG,
         .value = &options.is_private,
         .help = "if the repository is new: only you and those you name may see it"},
        {.name = "create-pr", .kind = OPTION_FLAG, .value = &options.pull_request, .help = "as a pull request"},
        {.name = "pull-request", .kind = OPTION_FLAG, .value = &options.pull_request, .help = "the same"},
        {.name = "base-model",
         .kind = OPTION_TEXT,
         .value = &options.base_model,
         .argument = "ORG/NAME",
         .help = "for the model card; default: what config.json says"},
        {.name = "model-card",
         .kind = OPTION_FLAG,
         .value = &card,
         .help = "README.md for a model without one; default: yes"},
        {.name = "revision",
         .kind = OPTION_TEXT,
         .value = &options.revision,
         .argument = "BRANCH",
         .help = "where to commit to, made if it is new; default: main"},
        {.name = "message",
         .kind = OPTION_TEXT,
         .value = &options.message,
         .argument = "TEXT",
         .help = "of the commit, one line"},
        {.name = "description",
         .kind = OPTION_TEXT,
         .value = &options.description,
         .argument = "TEXT",
         .help = "of the commit"},
        patterns_option(&include, "include", "only files that match this shell pattern; may be given several times"),
        patterns_option(&exclude, "exclude", "no files that match this shell pattern; may be given several times"),
        {.name = "connections",
         .kind = OPTION_NUMBER,
         .value = &connections,
         .argument = "N",
         .help = "at most so many at once; default: 4",
         .min = 1,
         .max = 16},
        {.name = "json", .kind = OPTION_FLAG, .value = &json, .help = "one JSON object instead of the address"},
    };
    command_line line = {
        .verb = "upload",
        .synopsis = "FOLDER ORG/NAME",
        .about = "Makes a repository of the Hugging Face Hub hold the files of a folder, in one commit, and "
                 "prints its address.\nThe repository is made if it is new. What it has already is not sent "
                 "again.",
        .groups = {{"Options", own, sizeof own / sizeof own[0]}},
        .n_groups = 1,
        .max_words = 2};
    int code;
    if (!options_parse(&line, argc, argv)) {
        code = line.exit_code;
    } else if (line.n_words < 2) {
        code = options_usage(&line, "%s is missing", line.n_words ? "ORG/NAME" : "FOLDER");
    } else {
        options.no_model_card = !card;
        options.include = include.texts;
        options.n_include = include.n;
        options.exclude = exclude.texts;
        options.n_exclude = exclude.n;
        options.n_connections = (int)connections;
        code = upload(line.words[0], line.words[1], &options, json);
    }
    patterns_release(&include);
    patterns_release(&exclude);
    return code;
}
