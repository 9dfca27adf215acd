/* models/text_files.c: tokenizers and chat templates from the files of a checkpoint.
 *
 * Which file says what, in the order of Transformers: tokenizer.json is the tokenizer, tokenizer_config.json names its special tokens;
 * special_tokens_map.json and added_tokens.json of older checkpoints count only where tokenizer_config.json does not list the added
 * tokens itself. Templates: chat_template.jinja and additional_chat_templates/, else those in tokenizer_config.json, else
 * chat_template.json. The weights of a folder are not looked at. */
#include "formats/checkpoint.h"
#include "text/chat_template.h"
#include <mica/checkpoint.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static const size_t MAX_TEXT = (size_t)256 << 20;

/* ---- where texts come from ----------------------------------------------------------------------------------------------- */

typedef struct text_source {
    const char *path;       /* a folder */
    mica__checkpoint *file; /* or a GGUF file */
} text_source;

static bool is_gguf(const char *path)
{
    char magic[4] = "";
    FILE *f = mica__path_is_file(path) ? fopen(path, "rbe") : NULL;
    bool yes = f && fread(magic, 1, sizeof magic, f) == sizeof magic && memcmp(magic, "GGUF", sizeof magic) == 0;
    if (f) fclose(f);
    return yes || mica__str_ends(mica__str_from(path), ".gguf");
}

static mica_status source_open(text_source *s, const char *path, mica_error *err)
{
    *s = (text_source){.path = path};
    if (mica__path_is_dir(path)) return MICA_OK;
    return mica__checkpoint_open(&s->file, path, NULL, err);
}

static void source_close(text_source *s) { mica__checkpoint_free(s->file); }

/* Appends a text. NOT_FOUND if there is none. */
static mica_status source_read(const text_source *s, const char *name, mica__buf *out, mica_error *err)
{
    if (s->file) {
        mica__str text;
        MICA_TRY(mica__checkpoint_text(s->file, name, &text, err));
        mica__buf_append_str(out, text);
        mica__checkpoint_forget_text(s->file, name);
        return mica__buf_status(out, err, name);
    }
    char *path = mica__path_join(s->path, name);
    if (!path) return mica__fail_memory(err, strlen(name), "a path");
    mica_status status = mica__file_read(out, path, MAX_TEXT, err);
    mica__free(path);
    return status;
}

/* The same for a text that may be absent: *out then stays empty. */
static mica_status source_read_optional(const text_source *s, const char *name, mica__buf *out, mica_error *err)
{
    mica_error ignored;
    mica_status status = source_read(s, name, out, err ? err : &ignored);
    return status == MICA_NOT_FOUND ? MICA_OK : status;
}

/* A JSON object in a file that may be absent; {0} if it is. The document borrows from *text. */
static mica_status source_parse(const text_source *s, const char *name, mica__buf *text, mica__json *doc,
                                mica_error *err)
{
    *doc = (mica__json){0};
    MICA_TRY(source_read_optional(s, name, text, err));
    if (!text->n) return MICA_OK;
    mica_status status = mica__json_parse(doc, text->p, text->n, &(mica__json_limits){.allow_nonfinite = true}, err);
    if (status == MICA_OK && !mica__json_is(mica__json_root(doc), MICA__JSON_OBJECT)) {
        mica__json_release(doc);
        status = mica__fail(err, MICA_DATA, "expected an object");
    }
    return status == MICA_OK ? MICA_OK : mica__fail_prefix(err, status, "%s/%s", s->path, name);
}

/* ---- tokenizer_config.json and its older companions ---------------------------------------------------------------------- */

static void put_key(mica__buf *out, mica__str key)
{
    if (out->p[out->n - 1] != '{') mica__buf_append_char(out, ',');
    mica__json_write_string(out, key, false);
    mica__buf_append_char(out, ':');
}

static bool has_content(mica__jval map, mica__str token)
{
    mica__str text;
    for (mica__jval m = mica__json_first(map); m; m = mica__json_next(map, m)) {
        mica__jval v = mica__json_value(m);
        if ((mica__json_string(v, &text) || mica__json_string(mica__json_get(v, "content"), &text)) &&
            mica__str_eq(text, token))
            return true;
    }
    return false;
}

/* {"<extra>": 32000} as an added_tokens_decoder. */
static void put_added_tokens(mica__buf *out, mica__jval added, mica__jval special)
{
    put_key(out, MICA_STR("added_tokens_decoder"));
    mica__buf_append_char(out, '{');
    for (mica__jval m = mica__json_first(added); m; m = mica__json_next(added, m)) {
        int64_t id;
        mica__str token = mica__json_key(m);
        if (!mica__json_int(mica__json_value(m), &id) || id < 0) continue;
        if (out->p[out->n - 1] != '{') mica__buf_append_char(out, ',');
        mica__buf_printf(out, "\"%lld\":{\"content\":", (long long)id);
        mica__json_write_string(out, token, false);
        mica__buf_printf(out, ",\"special\":%s}", has_content(special, token) ? "true" : "false");
    }
    mica__buf_append_char(out, '}');
}

static mica_status merge_config(mica__buf *out, mica__jval config, mica__jval special, mica__jval added,
                                mica_error *err)
{
    mica__buf_append_char(out, '{');
    for (mica__jval m = mica__json_first(config); m && !out->failed; m = mica__json_next(config, m)) {
        if (mica__json_get_str(special, mica__json_key(m))) continue;
        put_key(out, mica__json_key(m));
        mica__json_write(out, mica__json_value(m));
    }
    for (mica__jval m = mica__json_first(special); m && !out->failed; m = mica__json_next(special, m)) {
        put_key(out, mica__json_key(m));
        mica__json_write(out, mica__json_value(m));
    }
    if (added && !out->failed) put_added_tokens(out, added, special);
    mica__buf_append_char(out, '}');
    return mica__buf_status(out, err, "tokenizer_config.json");
}

/* Appends tokenizer_config.json, completed from older files where it lists no added tokens. Empty if there is nothing. */
static mica_status read_config(const text_source *s, mica__buf *out, mica_error *err)
{
    mica__buf config_text = {0}, special_text = {0}, added_text = {0};
    mica__json config = {0}, special = {0}, added = {0};
    mica_status status = source_parse(s, "tokenizer_config.json", &config_text, &config, err);
    if (status == MICA_OK && !mica__json_get(mica__json_root(&config), "added_tokens_decoder")) {
        status = source_parse(s, "special_tokens_map.json", &special_text, &special, err);
        if (status == MICA_OK) status = source_parse(s, "added_tokens.json", &added_text, &added, err);
    }
    if (status == MICA_OK) {
        if (special_text.n || added_text.n)
            status =
                merge_config(out, mica__json_root(&config), mica__json_root(&special), mica__json_root(&added), err);
        else if (config_text.n)
            mica__buf_append(out, config_text.p, config_text.n);
    }
    mica__json_release(&config);
    mica__json_release(&special);
    mica__json_release(&added);
    mica__buf_release(&config_text);
    mica__buf_release(&special_text);
    mica__buf_release(&added_text);
    return status == MICA_OK ? mica__buf_status(out, err, "tokenizer_config.json") : status;
}

/* ---- texts as they are ------------------------------------------------------------------------------------------------- */

mica_status mica_checkpoint_text(const char *path, const char *name, mica_text *out, mica_error *err)
{
    text_source s;
    MICA_TRY(source_open(&s, path, err));
    const size_t before = out->n;
    mica__buf text = {.p = out->data, .n = before, .cap = out->capacity, .max = SIZE_MAX / 2};
    bool config = strcmp(name, "tokenizer_config.json") == 0;
    mica_status status = config ? read_config(&s, &text, err) : source_read(&s, name, &text, err);
    if (status == MICA_OK && config && text.n == before) {
        status = mica__fail(err, MICA_NOT_FOUND, "%s has no tokenizer_config.json", path);
    }
    source_close(&s);
    mica__buf_append(&text, "", 0); /* NUL-terminated, also when it is empty */
    if (status == MICA_OK) status = mica__buf_status(&text, err, name);
    if (status != MICA_OK && text.p) text.p[text.n = before] = 0;
    *out = (mica_text){text.p, text.n, text.cap};
    return status;
}

/* ---- tokenizers ---------------------------------------------------------------------------------------------------------- */

mica_status mica_tokenizer_load(mica_tokenizer **out, const char *path, mica_error *err)
{
    *out = NULL;
    mica__buf text = {0}, config = {0};
    mica_status status;
    if (mica__path_is_dir(path) || is_gguf(path)) {
        text_source s;
        MICA_TRY(source_open(&s, path, err));
        status = source_read(&s, "tokenizer.json", &text, err);
        if (status == MICA_OK) status = read_config(&s, &config, err);
        source_close(&s);
    } else {
        status = mica__file_read(&text, path, MAX_TEXT, err);
    }
    if (status == MICA_OK) {
        status = mica_tokenizer_create(out, text.n ? text.p : "", text.n, config.n ? config.p : NULL, config.n, err);
        if (status != MICA_OK) mica__fail_prefix(err, status, "%s", path);
    }
    mica__buf_release(&text);
    mica__buf_release(&config);
    return status;
}

/* ---- chat templates ------------------------------------------------------------------------------------------------------ */

/* Templates found so far. Texts of files are kept in `texts`; others borrow from the parsed config. */
typedef struct template_list {
    mica__template_source *items;
    size_t n, cap;
    mica__arena texts;
} template_list;

static void template_list_release(template_list *l)
{
    mica__free(l->items);
    mica__arena_release(&l->texts);
}

static mica_status add_template(template_list *l, mica__str name, mica__str text, mica_error *err)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 4;
        mica__template_source *items = mica__realloc(l->items, cap, sizeof *items);
        if (!items) return mica__fail_memory(err, cap * sizeof *items, "chat templates");
        l->items = items;
        l->cap = cap;
    }
    l->items[l->n++] = (mica__template_source){name, text};
    return MICA_OK;
}

/* A template in a file of its own, if it is there. */
static mica_status add_file(template_list *l, const text_source *s, const char *file, mica__str name, mica_error *err)
{
    mica__buf text = {0};
    mica_error ignored;
    mica_status status = source_read(s, file, &text, err ? err : &ignored);
    if (status == MICA_OK) {
        char *kept_name = mica__arena_strndup(&l->texts, name.n ? name.p : "", name.n);
        char *kept = mica__arena_strndup(&l->texts, text.n ? text.p : "", text.n);
        status = kept && kept_name ? add_template(l, (mica__str){kept_name, name.n}, (mica__str){kept, text.n}, err)
                                   : mica__fail_memory(err, text.n, "a chat template");
    }
    mica__buf_release(&text);
    return status == MICA_NOT_FOUND ? MICA_OK : status;
}

static int by_name(const void *a, const void *b)
{
    const mica__template_source *x = a, *y = b;
    int order = memcmp(x->name.p, y->name.p, x->name.n < y->name.n ? x->name.n : y->name.n);
    return order ? order : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

/* additional_chat_templates/NAME.jinja */
static mica_status add_folder(template_list *l, const text_source *s, mica_error *err)
{
    static const char folder[] = "additional_chat_templates", suffix[] = ".jinja";
    char *path = mica__path_join(s->path, folder);
    if (!path) return mica__fail_memory(err, sizeof folder, "a path");
    DIR *dir = opendir(path);
    mica__free(path);
    if (!dir) return MICA_OK;
    mica_status status = MICA_OK;
    size_t first = l->n;
    for (struct dirent *e; status == MICA_OK && (e = readdir(dir));) {
        mica__str name = mica__str_from(e->d_name);
        if (name.p[0] == '.' || !mica__str_ends(name, suffix)) continue;
        char *file = mica__path_join(folder, e->d_name);
        name.n -= sizeof suffix - 1;
        status = file ? add_file(l, s, file, name, err) : mica__fail_memory(err, name.n, "a path");
        mica__free(file);
    }
    closedir(dir);
    if (l->n > first) qsort(l->items + first, l->n - first, sizeof *l->items, by_name);
    return status;
}

/* The value of "chat_template": a string, or a list of {"name", "template"}. */
static mica_status add_value(template_list *l, mica__jval v, const char *file, mica_error *err)
{
    mica__str text, name;
    if (mica__json_string(v, &text)) return add_template(l, MICA_STR(""), text, err);
    if (!v || mica__json_is(v, MICA__JSON_NULL)) return MICA_OK;
    for (mica__jval e = mica__json_first(v); e && mica__json_is(v, MICA__JSON_ARRAY); e = mica__json_next(v, e)) {
        if (!mica__json_string(mica__json_get(e, "name"), &name) ||
            !mica__json_string(mica__json_get(e, "template"), &text))
            return mica__fail(err, MICA_DATA, "%s: chat_template: an entry has no name or no template", file);
        MICA_TRY(add_template(l, name, text, err));
    }
    return l->n ? MICA_OK
                : mica__fail(err, MICA_DATA, "%s: chat_template is neither a template nor a list of them", file);
}

static mica_status find_in_files(template_list *l, const text_source *s, mica_error *err)
{
    if (s->file) return MICA_OK; /* the config made for a GGUF file holds all of its templates */
    MICA_TRY(add_file(l, s, "chat_template.jinja", MICA_STR(""), err));
    size_t n_main = l->n;
    MICA_TRY(add_folder(l, s, err));
    if (n_main && l->n > n_main) l->items[0].name = MICA_STR("default");
    return MICA_OK;
}

/* The object of special tokens that a template sees as variables. */
static void put_special_tokens(mica__buf *out, mica__jval config)
{
    mica__buf_append_char(out, '{');
    for (mica__jval m = mica__json_first(config); m && !out->failed; m = mica__json_next(config, m)) {
        mica__jval v = mica__json_value(m);
        if (!mica__str_ends(mica__json_key(m), "_token")) continue;
        if (!mica__json_is(v, MICA__JSON_STRING) && !mica__json_is(mica__json_get(v, "content"), MICA__JSON_STRING))
            continue;
        put_key(out, mica__json_key(m));
        mica__json_write(out, v);
    }
    mica__buf_append_char(out, '}');
}

static mica_status load_template(mica_chat_template **out, const text_source *s, mica__jval config, mica_error *err)
{
    template_list list = {0};
    mica__buf older_text = {0}, special = {0};
    mica__json older = {0};
    mica_status status = find_in_files(&list, s, err);
    if (status == MICA_OK && !list.n)
        status = add_value(&list, mica__json_get(config, "chat_template"), "tokenizer_config.json", err);
    if (status == MICA_OK && !list.n) {
        status = source_parse(s, "chat_template.json", &older_text, &older, err);
        if (status == MICA_OK)
            status =
                add_value(&list, mica__json_get(mica__json_root(&older), "chat_template"), "chat_template.json", err);
    }
    if (status == MICA_OK && !list.n) status = mica__fail(err, MICA_NOT_FOUND, "has no chat template");
    if (status == MICA_OK) {
        put_special_tokens(&special, config);
        status = mica__buf_status(&special, err, "special tokens");
    }
    if (status == MICA_OK) status = mica__chat_template_create_named(out, list.items, list.n, special.p, err);
    if (status != MICA_OK) mica__fail_prefix(err, status, "%s", s->path);
    template_list_release(&list);
    mica__json_release(&older);
    mica__buf_release(&older_text);
    mica__buf_release(&special);
    return status;
}

mica_status mica_chat_template_load(mica_chat_template **out, const char *path, mica_error *err)
{
    *out = NULL;
    text_source s;
    MICA_TRY(source_open(&s, path, err));
    mica__buf text = {0};
    mica__json config = {0};
    mica_status status = read_config(&s, &text, err);
    if (status == MICA_OK && text.n) {
        status = mica__json_parse(&config, text.p, text.n, &(mica__json_limits){.allow_nonfinite = true}, err);
        if (status != MICA_OK) mica__fail_prefix(err, status, "%s", path);
    }
    if (status == MICA_OK) status = load_template(out, &s, mica__json_root(&config), err);
    mica__json_release(&config);
    mica__buf_release(&text);
    source_close(&s);
    return status;
}
