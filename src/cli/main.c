/* cli/main.c: the verbs and which one runs. */
#include "interrupt.h"
#include "options.h"
#include "output.h"
#include "report.h"
#include "verbs.h"

#include <mica/version.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <string.h>

static const struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} verbs[] = {
    {"generate", cmd_generate, "text from a prompt"},
    {"chat", cmd_chat, "a conversation in the terminal"},
    {"convert", cmd_convert, "a checkpoint into another: MLX or Transformers, quantized or not"},
    {"info", cmd_info, "what a model is and what it needs"},
    {"logits", cmd_logits, "scores of every next token, into a file"},
    {"perplexity", cmd_perplexity, "how well a model predicts a text, and how far it is from another"},
    {"tokenize", cmd_tokenize, "text to token ids"},
    {"detokenize", cmd_detokenize, "token ids to text"},
    {"template", cmd_template, "a conversation to the prompt that its model expects"},
    {"download", cmd_download, "fetches a repository of the Hugging Face Hub"},
    {"upload", cmd_upload, "a folder into a repository of the Hugging Face Hub"},
    {"cache", cmd_cache, "what of the Hub is on this machine: list, delete, prune, verify"},
    {"bench", cmd_bench, "speed, memory, and the share of this machine's bandwidth"},
};
enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < N_VERBS; i++)
        if (strcmp(verbs[i].name, name) == 0) return &verbs[i];
    return NULL;
}

static const char *verb_name(const void *table, size_t i) { return ((const struct verb *)table)[i].name; }

static int help(void)
{
    out_printf("mica runs Hugging Face models on this machine.\n\nusage: mica VERB [options] ...\n\n");
    for (size_t i = 0; i < N_VERBS; i++) out_printf("  %-12s%s\n", verbs[i].name, verbs[i].summary);
    out_printf("\nmica VERB --help lists a verb's options; mica --version says which version this is.\n");
    return out_finish();
}

int main(int argc, char **argv)
{
#ifdef __GLIBC__
    /* All but small blocks go back to the system when they are freed. (By itself the C library stops doing so once it has freed one, and
     * megabytes of a parsed tokenizer.json would stay beside the weights.) */
    mallopt(M_MMAP_THRESHOLD, 16 * 1024);
#endif
    interrupt_install();
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "--version") == 0) {
        out_printf("mica %s\n", mica_version());
        return out_finish();
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) return help();
    if (strcmp(word, "help") == 0) {
        if (argc < 3) return help();
        const struct verb *asked = find_verb(argv[2]);
        if (asked) return asked->run(2, (char *[]){argv[2], "--help", NULL});
        word = argv[2];
    }
    const struct verb *v = find_verb(word);
    if (v) return v->run(argc - 1, argv + 1);
    const char *near = nearest_name(word, verbs, N_VERBS, verb_name);
    if (!word[0])
        fputs("mica: no verb given\n", stderr);
    else
        fprintf(stderr, "mica: unknown verb '%s'%s%s%s\n", QUOTED(word), near ? ", did you mean " : "",
                near ? near : "", near ? "?" : "");
    fputs("usage: mica VERB [options] ... (mica --help lists the verbs)\n", stderr);
    return EX_USAGE;
}
