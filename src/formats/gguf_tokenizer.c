/* formats/gguf_tokenizer.c: tokenizer.json and tokenizer_config.json from the metadata of a GGUF file.
 *
 * Two kinds of vocabulary are known. "llama" is SentencePiece's: pieces with scores, where neighbours join in the order of the joined
 * piece's score. The same is said with merges: every split of every piece into two pieces, best score first; of equal ones those with
 * the longer left part, then the longer right part first. "gpt2" is byte-level with the merges stored; its pre-tokenizer is known by
 * name only (gguf_pretokenizers.c). A file may also hold a whole tokenizer.json, which then is the truth. */
#include "gguf_model.h"
#include "gguf_pretokenizers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum token_type { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

#define META "\xe2\x96\x81" /* U+2581, a space in SentencePiece */

typedef struct vocab {
    const mica__gguf *g;
    mica__str *tokens; /* [n], as they go into tokenizer.json */
    const mica__gguf_value *types;
    size_t n;
    mica__map ids;
    mica__arena respelled;
} vocab;

static void vocab_release(vocab *v)
{
    mica__free(v->tokens);
    mica__map_release(&v->ids);
    mica__arena_release(&v->respelled);
}

static enum token_type type_of(const vocab *v, size_t i)
{
    int64_t type = TYPE_NORMAL;
    mica__gguf_int_at(v->types, i, &type);
    return (enum token_type)type;
}

static bool is_spaces(mica__str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != ' ') return false;
    return s.n > 0;
}

/* Empty tokens and such that are not text get a name of their own. SentencePiece's runs of spaces are stored as spaces, though its
 * text never holds any. */
static mica_status respell(vocab *v, size_t i, bool is_pieces, mica_error *err)
{
    mica__str s = v->tokens[i];
    bool bad = s.n == 0 || !mica__utf8_valid(s.p, s.n), spaces = is_pieces && is_spaces(s);
    if (!bad && !spaces) return MICA_OK;
    mica__buf b = {0};
    if (bad) mica__buf_printf(&b, s.n ? "[INVALID_%zu]" : "[EMPTY_%zu]", i);
    for (size_t k = 0; spaces && k < s.n; k++) mica__buf_append_z(&b, META);
    char *kept = b.failed ? NULL : mica__arena_strndup(&v->respelled, b.p, b.n);
    v->tokens[i] = (mica__str){kept, b.n};
    mica__buf_release(&b);
    return kept ? MICA_OK : mica__fail_memory(err, s.n, "a token");
}

static mica_status read_vocab(vocab *v, const mica__gguf *g, bool is_pieces, mica_error *err)
{
    *v = (vocab){.g = g, .n = mica__gguf_n_tokens(g), .types = mica__gguf_get(g, "tokenizer.ggml.token_type")};
    if (v->n == 0) return mica__fail(err, MICA_NOT_FOUND, "has no tokens");
    if (v->types && v->types->count != v->n)
        return mica__fail(err, MICA_DATA, "%zu tokens, but %zu entries in tokenizer.ggml.token_type", v->n,
                          v->types->count);
    v->tokens = mica__alloc(v->n, sizeof *v->tokens);
    if (!v->tokens || !mica__map_reserve(&v->ids, v->n))
        return mica__fail_memory(err, v->n * sizeof *v->tokens, "the tokens");
    const mica__gguf_value *list = mica__gguf_get(g, "tokenizer.ggml.tokens");
    size_t at = 0;
    for (size_t i = 0; i < v->n; i++) {
        if (!mica__gguf_next_string(list, &at, &v->tokens[i]))
            return mica__fail(err, MICA_DATA, "token %zu cannot be read", i);
        MICA_TRY(respell(v, i, is_pieces, err));
        bool existing = false;
        if (!mica__map_add(&v->ids, v->tokens[i], (uint32_t)i, &existing))
            return mica__fail_memory(err, v->n, "the tokens");
        if (existing)
            return mica__fail(err, MICA_DATA, "token '%s' occurs twice (again as %zu)", MICA_QUOTED_STR(v->tokens[i]),
                              i);
    }
    return MICA_OK;
}

/* ---- parts of tokenizer.json --------------------------------------------------------------------------------------------- */

static void put_string(mica__buf *out, mica__str s) { mica__json_write_string(out, s, false); }

/* Tokens that are found in the text as it stands. */
static void put_added_tokens(mica__buf *out, const vocab *v)
{
    const char *between = "";
    mica__buf_append_z(out, "\"added_tokens\": [");
    for (size_t i = 0; i < v->n; i++) {
        enum token_type type = type_of(v, i);
        if (type != TYPE_UNKNOWN && type != TYPE_CONTROL && type != TYPE_USER_DEFINED) continue;
        mica__buf_printf(out, "%s\n{\"id\": %zu, \"content\": ", between, i);
        put_string(out, v->tokens[i]);
        mica__buf_printf(
            out,
            ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": %s}",
            type == TYPE_USER_DEFINED ? "false" : "true");
        between = ",";
    }
    mica__buf_append_z(out, "],\n");
}

static void put_vocab(mica__buf *out, const vocab *v)
{
    mica__buf_append_z(out, "\"vocab\": {");
    for (size_t i = 0; i < v->n; i++) {
        if (i) mica__buf_append_char(out, ',');
        put_string(out, v->tokens[i]);
        mica__buf_printf(out, ":%zu", i);
    }
    mica__buf_append_z(out, "},\n");
}

/* Bytes can stand in for what has no token if all of them are tokens. */
static bool has_byte_tokens(const vocab *v)
{
    char name[8];
    uint32_t id;
    for (int b = 0; b < 256; b++) {
        snprintf(name, sizeof name, "<0x%02X>", b);
        if (!mica__map_get(&v->ids, mica__str_from(name), &id)) return false;
    }
    return true;
}

static void put_merge(mica__buf *out, mica__str left, mica__str right)
{
    if (out->n && out->p[out->n - 1] != '[') mica__buf_append_char(out, ',');
    mica__buf_append_char(out, '[');
    put_string(out, left);
    mica__buf_append_char(out, ',');
    put_string(out, right);
    mica__buf_append_char(out, ']');
}

/* The tokens around a text; ids of -1 are absent. */
static void put_template(mica__buf *out, const vocab *v, const char *form, int64_t first, int64_t last)
{
    mica__buf_printf(out, "\"%s\": [", form);
    int n_sequences = strcmp(form, "pair") == 0 ? 2 : 1;
    for (int s = 0; s < n_sequences; s++) {
        mica__str ends[2] = {first >= 0 ? v->tokens[first] : (mica__str){0},
                             last >= 0 ? v->tokens[last] : (mica__str){0}};
        if (s) mica__buf_append_z(out, ", ");
        for (int end = 0; end < 2; end++) {
            if (end) mica__buf_printf(out, "{\"Sequence\": {\"id\": \"%c\", \"type_id\": %d}}", 'A' + s, s);
            if (!ends[end].n) continue;
            if (end) mica__buf_append_z(out, ", ");
            mica__buf_append_z(out, "{\"SpecialToken\": {\"id\": ");
            put_string(out, ends[end]);
            mica__buf_printf(out, ", \"type_id\": %d}}%s", s, end ? "" : ", ");
        }
    }
    mica__buf_append_z(out, "], ");
}

static void put_post_processor(mica__buf *out, const vocab *v, int64_t first, int64_t last)
{
    mica__buf_append_z(out, "\"post_processor\": ");
    if (first < 0 && last < 0) {
        mica__buf_append_z(out, "null,\n");
        return;
    }
    mica__buf_append_z(out, "{\"type\": \"TemplateProcessing\", ");
    put_template(out, v, "single", first, last);
    put_template(out, v, "pair", first, last);
    mica__buf_append_z(out, "\"special_tokens\": {");
    const int64_t ids[2] = {first, last == first ? -1 : last};
    for (int i = 0; i < 2; i++) {
        if (ids[i] < 0) continue;
        if (i && ids[0] >= 0) mica__buf_append_z(out, ", ");
        put_string(out, v->tokens[ids[i]]);
        mica__buf_append_z(out, ": {\"id\": ");
        put_string(out, v->tokens[ids[i]]);
        mica__buf_printf(out, ", \"ids\": [%lld], \"tokens\": [", (long long)ids[i]);
        put_string(out, v->tokens[ids[i]]);
        mica__buf_append_z(out, "]}");
    }
    mica__buf_append_z(out, "}},\n");
}

/* Which tokens go around a text: those that the file asks for, else the usual ones of this kind of vocabulary. */
static mica_status put_ends(mica__buf *out, const vocab *v, bool usual_bos, bool usual_separator, mica_error *err)
{
    bool add_bos = usual_bos, add_eos = false, add_separator = usual_separator;
    mica__gguf_bool(mica__gguf_get(v->g, "tokenizer.ggml.add_bos_token"), &add_bos);
    mica__gguf_bool(mica__gguf_get(v->g, "tokenizer.ggml.add_eos_token"), &add_eos);
    mica__gguf_bool(mica__gguf_get(v->g, "tokenizer.ggml.add_sep_token"), &add_separator);
    int64_t bos, eos, separator;
    MICA_TRY(mica__gguf_token_id(v->g, "bos", &bos, err));
    MICA_TRY(mica__gguf_token_id(v->g, "eos", &eos, err));
    MICA_TRY(mica__gguf_token_id(v->g, "seperator", &separator, err)); /* spelled like that in the format */
    put_post_processor(out, v, add_bos ? bos : -1, add_eos ? eos : add_separator ? separator : -1);
    return MICA_OK;
}

static void put_replace(mica__buf *out, const char *from, const char *to)
{
    mica__buf_printf(out, "{\"type\": \"Replace\", \"pattern\": {\"String\": \"%s\"}, \"content\": \"%s\"}", from, to);
}

/* ---- SentencePiece ------------------------------------------------------------------------------------------------------- */

typedef struct merge {
    uint32_t joined;
    uint32_t left_bytes, left_chars, right_chars;
    uint32_t left_id;
} merge;

/* Only these are joined, and made by joining. */
static bool is_piece(const vocab *v, size_t i)
{
    enum token_type type = type_of(v, i);
    return type == TYPE_NORMAL || type == TYPE_USER_DEFINED;
}

static bool find_piece(const vocab *v, mica__str s, uint32_t *id)
{
    return mica__map_get(&v->ids, s, id) && is_piece(v, *id);
}

static int by_length(const void *a, const void *b)
{
    const merge *x = a, *y = b;
    if (x->left_chars != y->left_chars) return x->left_chars > y->left_chars ? -1 : 1;
    if (x->right_chars != y->right_chars) return x->right_chars > y->right_chars ? -1 : 1;
    if (x->joined != y->joined) return x->joined < y->joined ? -1 : 1;
    return x->left_id < y->left_id ? -1 : x->left_id > y->left_id;
}

typedef struct merge_list {
    merge *items;
    size_t n, cap;
} merge_list;

/* Every split of piece `id` into two pieces. */
static bool add_splits(merge_list *list, const vocab *v, uint32_t id)
{
    mica__str whole = v->tokens[id];
    uint32_t n_chars = 0, at_char = 0, left_id, right_id;
    for (size_t i = 0; i < whole.n; i++) n_chars += (whole.p[i] & 0xc0) != 0x80;
    for (size_t i = 1; i < whole.n; i++) {
        if ((whole.p[i] & 0xc0) == 0x80) continue;
        at_char++;
        if (!find_piece(v, (mica__str){whole.p, i}, &left_id) ||
            !find_piece(v, (mica__str){whole.p + i, whole.n - i}, &right_id))
            continue;
        if (list->n == list->cap) {
            size_t cap = list->cap ? 2 * list->cap : 64;
            merge *items = mica__realloc(list->items, cap, sizeof *items);
            if (!items) return false;
            list->items = items;
            list->cap = cap;
        }
        list->items[list->n++] = (merge){id, (uint32_t)i, at_char, n_chars - at_char, left_id};
    }
    return true;
}

typedef struct scored {
    float score;
    uint32_t id;
} scored;

static int by_score(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* The pieces with their scores, best first. User-defined ones have the best score of all in SentencePiece, but not in GGUF. */
static mica_status sort_pieces(const vocab *v, scored *pieces, size_t *n, mica_error *err)
{
    const mica__gguf_value *scores = mica__gguf_get(v->g, "tokenizer.ggml.scores");
    if (!scores || !scores->is_array || scores->count != v->n)
        return mica__fail(err, MICA_DATA, "%zu tokens, but %zu scores", v->n,
                          scores && scores->is_array ? scores->count : 0);
    *n = 0;
    for (size_t i = 0; i < v->n; i++) {
        double score;
        if (!mica__gguf_double_at(scores, i, &score) || isnan(score))
            return mica__fail(err, MICA_DATA, "score of token %zu is not a number", i);
        if (!is_piece(v, i)) continue;
        pieces[(*n)++] = (scored){type_of(v, i) == TYPE_USER_DEFINED ? INFINITY : (float)score, (uint32_t)i};
    }
    qsort(pieces, *n, sizeof *pieces, by_score);
    return MICA_OK;
}

/* Pieces of one score are taken together; nearly always that is one piece. */
static bool put_derived_merges(mica__buf *out, const vocab *v, const scored *pieces, size_t n)
{
    merge_list list = {0};
    bool ok = true;
    for (size_t i = 0; i < n && ok;) {
        list.n = 0;
        size_t first = i;
        for (; ok && i < n && pieces[i].score == pieces[first].score; i++) ok = add_splits(&list, v, pieces[i].id);
        if (list.n > 1) qsort(list.items, list.n, sizeof *list.items, by_length);
        for (size_t k = 0; ok && k < list.n; k++) {
            mica__str whole = v->tokens[list.items[k].joined];
            size_t cut = list.items[k].left_bytes;
            put_merge(out, (mica__str){whole.p, cut}, (mica__str){whole.p + cut, whole.n - cut});
        }
    }
    mica__free(list.items);
    return ok;
}

static mica_status put_piece_model(mica__buf *out, const vocab *v, mica_error *err)
{
    int64_t unknown;
    MICA_TRY(mica__gguf_token_id(v->g, "unknown", &unknown, err));
    mica__buf_append_z(out, "\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": ");
    if (unknown >= 0)
        put_string(out, v->tokens[unknown]);
    else
        mica__buf_append_z(out, "null");
    mica__buf_printf(out,
                     ", \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": true, "
                     "\"byte_fallback\": %s, \"ignore_merges\": false,\n",
                     has_byte_tokens(v) ? "true" : "false");
    put_vocab(out, v);
    scored *pieces = mica__alloc(v->n, sizeof *pieces);
    if (!pieces) return mica__fail_memory(err, v->n * sizeof *pieces, "scores");
    size_t n = 0;
    mica_status status = sort_pieces(v, pieces, &n, err);
    mica__buf_append_z(out, "\"merges\": [");
    if (status == MICA_OK && !put_derived_merges(out, v, pieces, n)) status = mica__fail_memory(err, n, "merges");
    mica__buf_append_z(out, "]}}\n");
    mica__free(pieces);
    return status;
}

static mica_status put_pieces(mica__buf *out, const vocab *v, mica_error *err)
{
    bool prefix = true;
    mica__gguf_bool(mica__gguf_get(v->g, "tokenizer.ggml.add_space_prefix"), &prefix);
    mica__buf_append_z(out, "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n");
    put_added_tokens(out, v);
    mica__buf_append_z(out, "\"normalizer\": ");
    if (prefix)
        mica__buf_append_z(
            out, "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": \"" META "\"}, ");
    put_replace(out, " ", META);
    mica__buf_append_z(out, prefix ? "]},\n" : ",\n");
    mica__buf_append_z(out, "\"pre_tokenizer\": null,\n");
    MICA_TRY(put_ends(out, v, true, false, err));
    mica__buf_append_z(out, "\"decoder\": {\"type\": \"Sequence\", \"decoders\": [");
    put_replace(out, META, " ");
    mica__buf_append_z(out, ", {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}");
    if (prefix) mica__buf_append_z(out, ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}");
    mica__buf_append_z(out, "]},\n");
    return put_piece_model(out, v, err);
}

/* ---- byte-level BPE ------------------------------------------------------------------------------------------------------ */

static mica_status put_stored_merges(mica__buf *out, const mica__gguf *g, mica_error *err)
{
    const mica__gguf_value *merges = mica__gguf_get(g, "tokenizer.ggml.merges");
    mica__buf_append_z(out, "\"merges\": [");
    size_t at = 0, i = 0;
    mica__str line;
    for (; mica__gguf_next_string(merges, &at, &line); i++) {
        /* A part may begin with a space in old files; it never is one. */
        const char *space = line.n > 1 ? memchr(line.p + 1, ' ', line.n - 1) : NULL;
        if (!space) return mica__fail(err, MICA_DATA, "merge %zu ('%s') has no space", i, MICA_QUOTED_STR(line));
        size_t n_left = (size_t)(space - line.p);
        put_merge(out, (mica__str){line.p, n_left}, (mica__str){space + 1, line.n - n_left - 1});
    }
    mica__buf_append_z(out, "]}}\n");
    return MICA_OK;
}

static void put_splits(mica__buf *out, const mica__pretokenizer *pre)
{
    mica__buf_append_z(out, "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [");
    for (int i = 0; pre->splits[i]; i++) {
        mica__buf_printf(out, "%s{\"type\": \"Split\", \"pattern\": {\"Regex\": ", i ? ", " : "");
        put_string(out, mica__str_from(pre->splits[i]));
        mica__buf_append_z(out, "}, \"behavior\": \"Isolated\", \"invert\": false}");
    }
    if (!(pre->flags & MICA__PRE_RAW))
        mica__buf_append_z(
            out,
            ", {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": false}");
    mica__buf_append_z(out, "]},\n");
}

static mica_status find_recipe(const mica__gguf *g, const char *missing, const mica__pretokenizer **out,
                               mica_error *err)
{
    mica__str name = mica__str_from(missing);
    mica__gguf_string(mica__gguf_get(g, "tokenizer.ggml.pre"), &name);
    *out = mica__pretokenizer_find(name);
    return *out ? MICA_OK : mica__fail(err, MICA_UNSUPPORTED, "pre-tokenizer '%s' is not known", MICA_QUOTED_STR(name));
}

static mica_status put_bytes(mica__buf *out, const vocab *v, const mica__pretokenizer *pre, bool usual_bos,
                             mica_error *err)
{
    bool raw = pre->flags & MICA__PRE_RAW, respaced = raw && !(pre->flags & MICA__PRE_SPACES_KEPT);
    mica__buf_append_z(out, "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n");
    put_added_tokens(out, v);
    mica__buf_append_z(out, "\"normalizer\": ");
    if (respaced)
        put_replace(out, " ", META);
    else
        mica__buf_append_z(out, pre->flags & MICA__PRE_COMPOSED ? "{\"type\": \"NFC\"}" : "null");
    mica__buf_append_z(out, ",\n");
    put_splits(out, pre);
    MICA_TRY(put_ends(out, v, usual_bos || (pre->flags & MICA__PRE_BOS), (pre->flags & MICA__PRE_SEPARATOR) != 0, err));
    mica__buf_append_z(out, "\"decoder\": ");
    if (raw) {
        mica__buf_append_z(out, "{\"type\": \"Sequence\", \"decoders\": [");
        if (respaced) {
            put_replace(out, META, " ");
            mica__buf_append_z(out, ", ");
        }
        mica__buf_append_z(out, "{\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}]},\n");
    } else {
        mica__buf_append_z(
            out,
            "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true},\n");
    }
    mica__buf_printf(
        out,
        "\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": null, "
        "\"end_of_word_suffix\": null, \"fuse_unk\": false, \"byte_fallback\": %s, \"ignore_merges\": %s,\n",
        raw && has_byte_tokens(v) ? "true" : "false", pre->flags & MICA__PRE_IGNORE_MERGES ? "true" : "false");
    put_vocab(out, v);
    return put_stored_merges(out, v->g, err);
}

/* ---- tokenizer.json ------------------------------------------------------------------------------------------------------ */

/* True if the file carries a whole tokenizer.json that can be read. */
static bool embedded(const mica__gguf *g, mica__str *text)
{
    mica__json doc;
    if (!mica__gguf_string(mica__gguf_get(g, "tokenizer.huggingface.json"), text)) return false;
    if (mica__json_parse(&doc, text->p, text->n, NULL, NULL) != MICA_OK) return false;
    bool ok = mica__json_is(mica__json_get(mica__json_root(&doc), "model"), MICA__JSON_OBJECT);
    mica__json_release(&doc);
    return ok;
}

mica_status mica__gguf_tokenizer(const mica__gguf *g, mica__buf *out, mica_error *err)
{
    mica__str whole, model;
    if (embedded(g, &whole)) {
        mica__buf_append_str(out, whole);
        return MICA_OK;
    }
    if (!mica__gguf_string(mica__gguf_get(g, "tokenizer.ggml.model"), &model) || mica__str_is(model, "none") ||
        mica__str_is(model, "no_vocab"))
        return mica__fail(err, MICA_NOT_FOUND, "has no tokenizer");
    bool is_pieces = mica__str_is(model, "llama"), is_gemma4 = mica__str_is(model, "gemma4");
    if (!is_pieces && !is_gemma4 && !mica__str_is(model, "gpt2"))
        return mica__fail(err, MICA_UNSUPPORTED, "tokenizer model '%s' is not supported", MICA_QUOTED_STR(model));
    const mica__pretokenizer *pre = NULL;
    if (!is_pieces) MICA_TRY(find_recipe(g, is_gemma4 ? "gemma4" : "default", &pre, err));
    vocab v;
    mica_status status = read_vocab(&v, g, is_pieces, err);
    if (status == MICA_OK) status = is_pieces ? put_pieces(out, &v, err) : put_bytes(out, &v, pre, is_gemma4, err);
    vocab_release(&v);
    return status;
}
