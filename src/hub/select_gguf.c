/* hub/select_gguf.c: GGUF files by path or quantization. */
#include "select_gguf.h"
#include "base/memory.h"
#include "names.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

enum { PART_TAIL = 15 /* "-00001-of-00004" */, MAX_DEPTH = 4 };
static const char usual[] = "Q4_K_M";

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_digits(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] < '0' || p[i] > '9') return false;
    return true;
}

/* A name without ".gguf" and without "-00001-of-00004"; part: 0, or which one it is. */
static mica__str stem_of(const char *base, unsigned *part, unsigned *n_parts)
{
    mica__str s = {base, strlen(base) - 5};
    *part = *n_parts = 0;
    if (s.n <= PART_TAIL) return s;
    const char *tail = s.p + s.n - PART_TAIL;
    if (tail[0] != '-' || !is_digits(tail + 1, 5) || strncmp(tail + 6, "-of-", 4) != 0 || !is_digits(tail + 10, 5))
        return s;
    for (size_t i = 0; i < 5; i++) {
        *part = *part * 10 + (unsigned)(tail[1 + i] - '0');
        *n_parts = *n_parts * 10 + (unsigned)(tail[10 + i] - '0');
    }
    s.n -= PART_TAIL;
    return s;
}

static bool contains(const char *text, const char *word)
{
    for (const size_t n = strlen(word); *text; text++)
        if (strncasecmp(text, word, n) == 0) return true;
    return false;
}

/* A model in one file, or the first part of one; below the subfolder, if there is one. */
static bool is_candidate(const mica_hub_options *o, const char *path)
{
    unsigned part, n_parts;
    const size_t n = strlen(path), m = o->subfolder ? strlen(o->subfolder) : 0;
    const char *base = base_of(path);
    if (m && (strncmp(path, o->subfolder, m) != 0 || path[m] != '/')) return false;
    if (strlen(base) <= 5 || strcasecmp(path + n - 5, ".gguf") != 0) return false;
    if (contains(base, "mmproj") || contains(base, "imatrix")) return false; /* parts of vision models; statistics */
    stem_of(base, &part, &n_parts);
    return n_parts == 0 || part == 1;
}

/* Does it end in the tag, as a word of its own? "K_M" is none: it is the end of "Q4_K_M". */
static bool ends_in(mica__str s, const char *tag)
{
    const size_t n = strlen(tag);
    if (!n || s.n < n || strncasecmp(s.p + s.n - n, tag, n) != 0) return false;
    const char before = s.n > n ? s.p[s.n - n - 1] : '-';
    return strchr("-./", before) || (before == '_' && strchr("QIBFTM", toupper((unsigned char)tag[0])));
}

static bool is_quantized_as(const char *path, const char *tag)
{
    unsigned part, n_parts;
    const char *base = base_of(path);
    if (ends_in(stem_of(base, &part, &n_parts), tag)) return true;
    return base > path &&
           ends_in((mica__str){path, (size_t)(base - path) - 1}, tag); /* Q8_0/model-00001-of-00002.gguf */
}

typedef bool (*match)(const char *path, const char *what);
static bool is_path(const char *path, const char *what) { return strcmp(path, what) == 0; }
static bool is_named(const char *path, const char *what) { return strcmp(base_of(path), what) == 0; }
static bool is_any(const char *path, const char *what) { return path && !what; }

/* How many candidates match; *first: the first of them. */
static size_t count(const mica__listing *l, const mica_hub_options *o, match matches, const char *what,
                    const mica__hub_file **first)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (!is_candidate(o, l->files[i].path) || !matches(l->files[i].path, what)) continue;
        if (n++ == 0) *first = &l->files[i];
    }
    return n;
}

bool mica__wants_gguf(const mica__listing *l, const mica_hub_options *o)
{
    static const char *const others[] = {"config.json", "tokenizer.json", "tokenizer.model", "tekken.json",
                                         "vocab.json"};
    const mica__hub_file *first;
    char path[1300];
    if (o->gguf) return true;
    if (o->n_include || o->files == MICA_HUB_FILES_ALL) return false;
    const size_t n_others = o->files == MICA_HUB_FILES_MODEL ? 1 : sizeof others / sizeof others[0];
    for (size_t i = 0; i < n_others; i++) {
        const bool below = o->subfolder && o->subfolder[0];
        snprintf(path, sizeof path, "%s%s%s", below ? o->subfolder : "", below ? "/" : "", others[i]);
        if (mica__listing_find(l, path)) return false;
    }
    return count(l, o, is_any, NULL, &first) > 0;
}

/* "a.gguf, b.gguf and 7 more" of the n candidates that match. */
static const char *names_of(const mica__listing *l, const mica_hub_options *o, match matches, const char *what,
                            size_t n, char out[180])
{
    size_t used = 0, shown = 0;
    out[0] = 0;
    for (size_t i = 0; i < l->n; i++) {
        const char *path = l->files[i].path;
        if (!is_candidate(o, path) || !matches(path, what)) continue;
        if (used + strlen(path) + 3 >= 150) break;
        used += (size_t)snprintf(out + used, 180 - used, "%s%s", shown++ ? ", " : "", path);
    }
    if (shown < n) snprintf(out + used, 180 - used, "%s%zu more", shown ? " and " : "", n - shown);
    return out;
}

static mica_status find(const mica__listing *l, const mica_hub_options *o, const char *id, const mica__hub_file **out,
                        bool *guessed, mica_error *err)
{
    char names[180];
    const bool named = o->gguf && o->gguf[0];
    const size_t n = count(l, o, is_any, NULL, out);
    *guessed = false;
    if (n == 0) return mica__fail(err, MICA_NOT_FOUND, "%s has no GGUF file at this revision", id);
    if (!named && n == 1) return MICA_OK;
    if (named && (count(l, o, is_path, o->gguf, out) == 1 || count(l, o, is_named, o->gguf, out) == 1)) return MICA_OK;
    const char *tag = named ? o->gguf : usual;
    const size_t n_like = count(l, o, is_quantized_as, tag, out);
    *guessed = !named;
    if (n_like == 1) return MICA_OK;
    if (named && n_like == 0)
        return mica__fail(err, MICA_NOT_FOUND, "%.90s has no GGUF file '%.40s', but %s", id,
                          MICA_QUOTED(tag, strlen(tag)), names_of(l, o, is_any, NULL, n, names));
    return mica__fail(err, MICA_INVALID, "%.90s has several GGUF files, name one (ID:Q8_0, or --gguf-file): %s", id,
                      n_like ? names_of(l, o, is_quantized_as, tag, n_like, names)
                             : names_of(l, o, is_any, NULL, n, names));
}

mica_status mica__select_gguf(const mica__listing *l, const mica_hub_options *o, const char *id,
                              const mica__hub_file **files, size_t *n, bool *guessed, mica_error *err)
{
    const mica__hub_file *f = NULL; /* found: of the listing's own */
    unsigned part, n_parts;
    MICA_TRY(find(l, o, id, &f, guessed, err));
    files[(*n)++] = f;
    const mica__str stem = stem_of(base_of(f->path), &part, &n_parts);
    for (unsigned k = 2; k <= n_parts; k++) {
        char path[1300];
        snprintf(path, sizeof path, "%.*s-%05u-of-%05u%s", (int)(stem.p + stem.n - f->path), f->path, k, n_parts,
                 f->path + strlen(f->path) - 5);
        const mica__hub_file *next = mica__listing_find(l, path);
        if (!next)
            return mica__fail(err, MICA_NOT_FOUND, "%s lacks '%s', a part of a GGUF file", id,
                              MICA_QUOTED(path, strlen(path)));
        if (*n == l->n) return mica__fail(err, MICA_DATA, "%s: more parts than files", id);
        files[(*n)++] = next;
    }
    return MICA_OK;
}

/* ---- without a listing --------------------------------------------------------------------------------------------------- */

typedef struct walk {
    mica__listing *out;
    const mica__store *s;
    const char *commit;
} walk;

static mica_status add(walk *w, const char *path, mica_error *err)
{
    bool there;
    if (w->out->n == MICA__MAX_LISTED) return mica__fail(err, MICA_LIMIT, "%s: too many files", w->s->folder);
    MICA_TRY(mica__store_has(w->s, w->commit, path, UINT64_MAX, &there, err));
    if (!there) return MICA_OK;
    if (w->out->n == w->out->cap) {
        const size_t cap = w->out->cap ? w->out->cap * 2 : 16;
        mica__hub_file *files = mica__realloc(w->out->files, cap, sizeof *files);
        if (!files) return mica__fail_memory(err, cap * sizeof *files, "a list of files");
        w->out->files = files;
        w->out->cap = cap;
    }
    const char *kept = mica__arena_strndup(&w->out->arena, path, strlen(path));
    if (!kept) return mica__fail_memory(err, 256, "a path");
    w->out->files[w->out->n++] = (mica__hub_file){.path = kept, .size = UINT64_MAX};
    return MICA_OK;
}

static mica_status look_below(walk *w, const char *folder, const char *prefix, int depth, mica_error *err)
{
    DIR *d = opendir(folder);
    mica_status status = MICA_OK;
    for (struct dirent *e; d && status == MICA_OK && (e = readdir(d));) {
        mica__buf path = {0}, full = {0};
        struct stat st;
        if (e->d_name[0] == '.') continue;
        mica__buf_printf(&path, "%s%s%s", prefix, prefix[0] ? "/" : "", e->d_name);
        mica__buf_printf(&full, "%s/%s", folder, e->d_name);
        if (path.failed || full.failed) {
            status = mica__fail_memory(err, 256, "a path");
        } else if (!mica__hub_path_is_safe(mica__buf_str(&path)) || lstat(full.p, &st) != 0) {
            status = MICA_OK; /* not one of ours */
        } else if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH) {
            status = look_below(w, full.p, path.p, depth + 1, err);
        } else if (!S_ISDIR(st.st_mode) && path.n > 5 && strcasecmp(path.p + path.n - 5, ".gguf") == 0) {
            status = add(w, path.p, err);
        }
        mica__buf_release(&path);
        mica__buf_release(&full);
    }
    if (d) closedir(d);
    return status;
}

mica_status mica__list_local_gguf(mica__listing *out, const mica__store *s, const char *commit, mica_error *err)
{
    char *folder;
    walk w = {out, s, commit};
    MICA_TRY(mica__store_snapshot(s, commit, &folder, err));
    mica_status status = look_below(&w, folder, "", 0, err);
    mica__free(folder);
    if (status == MICA_OK) status = mica__listing_finish(out, err);
    return status;
}
