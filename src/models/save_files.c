/* models/save_files.c: the files that go along with a checkpoint. */
#include "save_texts.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static const size_t MAX_FILE = (size_t)256 << 20;
static const char TEMPLATES[] = "additional_chat_templates";

/* Names that are copied as they are. */
static bool is_companion(mica__str name)
{
    static const char *const names[] = {"generation_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "vocab.txt",
                                        "spiece.model",
                                        "sentencepiece.bpe.model",
                                        "chat_template.json"};
    static const char *const starts[] = {"tokenizer", "LICENSE", "LICENCE", "NOTICE", "USE_POLICY"};
    static const char *const ends[] = {".jinja", ".tiktoken", ".py"};
    if (name.n == 0 || name.p[0] == '.') return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (mica__str_is(name, names[i])) return true;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (mica__str_starts(name, starts[i])) return true;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (mica__str_ends(name, ends[i])) return true;
    return false;
}

bool mica__save_belongs(mica__str name)
{
    bool weights =
        (mica__str_starts(name, "model") || mica__str_starts(name, "pytorch_model")) &&
        (mica__str_ends(name, ".safetensors") || mica__str_ends(name, ".bin") || mica__str_ends(name, ".index.json"));
    return weights || mica__str_is(name, "config.json") || mica__str_is(name, "README.md") || is_companion(name);
}

static bool is_template(mica__str name) { return name.p[0] != '.' && mica__str_ends(name, ".jinja"); }

/* Links out of the folder are left alone: what is saved may be published. */
static mica_status copy_file(const char *root, const char *from, const char *name, const char *to, mica_error *err)
{
    char *source = mica__path_join(from, name), *target = mica__path_join(to, name);
    mica__buf text = {.max = MAX_FILE};
    mica_status status = source && target ? MICA_OK : mica__fail_memory(err, strlen(name), "a path");
    if (status == MICA_OK && mica__path_is_file(source) && mica__checkpoint_leads_inside(root, source)) {
        status = mica__file_read(&text, source, MAX_FILE, err);
        if (status == MICA_OK) status = mica__file_write(target, text.n ? text.p : "", text.n, err);
    }
    mica__buf_release(&text);
    mica__free(source);
    mica__free(target);
    return status;
}

static mica_status copy_matching(const char *root, const char *from, const char *to, bool (*matches)(mica__str),
                                 mica_error *err)
{
    DIR *dir = opendir(from);
    if (!dir) return mica__fail_errno(err, errno, "list", from);
    mica_status status = MICA_OK;
    for (struct dirent *e; status == MICA_OK && (e = readdir(dir));)
        if (matches(mica__str_from(e->d_name))) status = copy_file(root, from, e->d_name, to, err);
    closedir(dir);
    return status;
}

static mica_status copy_templates(const char *root, const char *work, mica_error *err)
{
    char *from = mica__path_join(root, TEMPLATES), *to = mica__path_join(work, TEMPLATES);
    mica_status status = from && to ? MICA_OK : mica__fail_memory(err, sizeof TEMPLATES, "a path");
    if (status == MICA_OK && mica__path_is_dir(from)) {
        if (mkdir(to, 0777) != 0)
            status = mica__fail_errno(err, errno, "create", to);
        else
            status = copy_matching(root, from, to, is_template, err);
    }
    mica__free(from);
    mica__free(to);
    return status;
}

/* The texts that are made for a GGUF file. */
static mica_status write_made(mica__checkpoint *source, const char *work, mica_error *err)
{
    static const char *const names[] = {"generation_config.json", "tokenizer.json", "tokenizer_config.json",
                                        "chat_template.jinja"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        mica__str text;
        mica_error why;
        mica_status status = mica__checkpoint_text(source, names[i], &text, &why);
        if (status == MICA_NOT_FOUND) continue;
        if (status != MICA_OK) {
            if (err) *err = why;
            return status;
        }
        char *path = mica__path_join(work, names[i]);
        status = path ? mica__file_write(path, text.p, text.n, err) : mica__fail_memory(err, 32, "a path");
        mica__free(path);
        mica__checkpoint_forget_text(source, names[i]);
        MICA_TRY(status);
    }
    return MICA_OK;
}

mica_status mica__save_copy_texts(mica__checkpoint *source, const char *work, mica_error *err)
{
    const char *root = mica__checkpoint_path(source);
    if (!mica__path_is_dir(root)) return write_made(source, work, err);
    MICA_TRY(copy_matching(root, root, work, is_companion, err));
    return copy_templates(root, work, err);
}
