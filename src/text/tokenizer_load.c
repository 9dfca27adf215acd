/* text/tokenizer_load.c: building a tokenizer from the text of its tokenizer.json.
 *
 * `truncation` and `padding` are left to the caller, as Transformers does: they belong to a call, not to the tokenizer. */
#include "text/tokenizer_parts.h"

enum { MAX_FILE_BYTES = 500 << 20 };

mica_status mica__added_token_parse(const mica__at *at, mica__jval v, mica__added_token *out, mica_error *err)
{
    *out = (mica__added_token){0};
    MICA_TRY(mica__need_string(at, v, "content", &out->content, err));
    MICA_TRY(mica__field_bool(at, v, "special", &out->special, err));
    out->normalized = !out->special;
    MICA_TRY(mica__field_bool(at, v, "single_word", &out->single_word, err));
    MICA_TRY(mica__field_bool(at, v, "lstrip", &out->lstrip, err));
    MICA_TRY(mica__field_bool(at, v, "rstrip", &out->rstrip, err));
    MICA_TRY(mica__field_bool(at, v, "normalized", &out->normalized, err));
    return MICA_OK;
}

static mica_status read_added(mica_tokenizer *t, const mica__at *top, mica__jval root, mica_error *err)
{
    mica__jval list = mica__json_get(root, "added_tokens");
    if (mica__json_type(list) == MICA__JSON_NULL) return MICA_OK;
    MICA_TRY(mica__need_array(top, root, "added_tokens", &list, err));
    mica__at array = {top, "added_tokens", 0}, element = {&array, NULL, 0};
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e), element.index++) {
        mica__added_token token;
        int64_t id = -1;
        MICA_TRY(mica__added_token_parse(&element, e, &token, err));
        MICA_TRY(mica__field_int(&element, e, "id", 0, INT32_MAX - 1, &id, err));
        if (token.content.n == 0) return mica__fail_at(err, &element, "empty content");
        MICA_TRY(mica__added_add(&t->added, &t->arena, &t->model.vocab, &token, err));
    }
    return MICA_OK;
}

/* A model may name an unknown token that only the added tokens have: then it fails when it needs it, not here. */
static mica_status check_unk(const mica_tokenizer *t, mica_error *err)
{
    const mica__model *m = &t->model;
    if (!m->unk_token || m->unk_id != MICA__NO_ID) return MICA_OK;
    mica__str unk = mica__str_from(m->unk_token);
    if (mica__added_by_content(&t->added, unk)) return MICA_OK;
    return mica__fail(err, MICA_DATA, "model.unk_token: '%s' is not in the vocabulary", MICA_QUOTED_STR(unk));
}

static mica_status normalize_token(void *context, mica__str in, mica__str *out, mica_error *err)
{
    mica_tokenizer *t = context;
    mica__work w = {0};
    mica__rewrite r = mica__rewrite_start(in, NULL, w.normalized, true);
    mica_status status = mica__normalizer_run(&t->normalizer, &r, &w.matcher, err);
    if (status == MICA_OK) {
        char *copy = mica__arena_strndup(&t->arena, r.text.p, r.text.n);
        if (copy)
            *out = (mica__str){copy, r.text.n};
        else
            status = mica__fail_memory(err, r.text.n, "an added token");
    }
    mica__work_release(&w);
    return status;
}

static mica_status read_parts(mica_tokenizer *t, mica__jval root, mica_error *err)
{
    mica__jval model;
    mica__str version = {0};
    mica__at top = {NULL, "tokenizer.json", 0}, at_normalizer = {NULL, "normalizer", 0},
             at_splitter = {NULL, "pre_tokenizer", 0}, at_model = {NULL, "model", 0},
             at_post = {NULL, "post_processor", 0}, at_decoder = {NULL, "decoder", 0};
    if (!mica__json_is(root, MICA__JSON_OBJECT))
        return mica__fail_at(err, &top, "expected an object, found %s", mica__json_kind(root));
    MICA_TRY(mica__field_string(&top, root, "version", &version, err));
    if (version.p && !mica__str_is(version, "1.0"))
        return mica__fail_at(err, &top, "version '%s', expected 1.0", MICA_QUOTED_STR(version));
    MICA_TRY(
        mica__normalizer_parse(&t->normalizer, &t->arena, &at_normalizer, mica__json_get(root, "normalizer"), err));
    MICA_TRY(mica__splitter_parse(&t->splitter, &t->arena, &at_splitter, mica__json_get(root, "pre_tokenizer"), err));
    MICA_TRY(mica__postprocess_parse(&t->post, &t->arena, &at_post, mica__json_get(root, "post_processor"), err));
    MICA_TRY(mica__decoder_parse(&t->decoder, &t->arena, &at_decoder, mica__json_get(root, "decoder"), err));
    MICA_TRY(mica__need_object(&top, root, "model", &model, err));
    MICA_TRY(mica__model_parse(&t->model, &at_model, model, err));
    MICA_TRY(read_added(t, &top, root, err));
    return check_unk(t, err);
}

static void count_ids(mica_tokenizer *t)
{
    t->n_ids = t->model.vocab.n_ids;
    if (t->added.n_ids > t->n_ids) t->n_ids = t->added.n_ids;
    if (t->post.highest_id >= t->n_ids) t->n_ids = t->post.highest_id + 1;
}

static mica_status parse_json(mica__json *doc, const char *name, const char *text, size_t n, mica_error *err)
{
    if (n > MAX_FILE_BYTES)
        return mica__fail(err, MICA_DATA, "%s: %zu bytes, limit is %d", name, n, (int)MAX_FILE_BYTES);
    mica_status status = mica__json_parse(doc, text, n, NULL, err);
    return status == MICA_OK ? status : mica__fail_prefix(err, status, "%s", name);
}

static mica_status build(mica_tokenizer *t, const char *tokenizer_json, size_t n, const char *config_json,
                         size_t n_config, mica_error *err)
{
    mica__json doc = {0};
    MICA_TRY(parse_json(&doc, "tokenizer.json", tokenizer_json, n, err));
    mica_status status = read_parts(t, mica__json_root(&doc), err);
    mica__json_release(&doc);
    MICA_TRY(status);
    if (config_json) {
        MICA_TRY(parse_json(&doc, "tokenizer_config.json", config_json, n_config, err));
        status = mica__tokenizer_read_config(t, mica__json_root(&doc), err);
        mica__json_release(&doc);
        MICA_TRY(status);
    }
    MICA_TRY(mica__added_finish(&t->added, t->normalizer.n ? normalize_token : NULL, t, err));
    count_ids(t);
    return MICA_OK;
}

mica_status mica_tokenizer_create(mica_tokenizer **out, const char *tokenizer_json, size_t n, const char *config_json,
                                  size_t n_config, mica_error *err)
{
    *out = NULL;
    mica_tokenizer *t = mica__calloc(1, sizeof *t);
    if (!t) return mica__fail_memory(err, sizeof *t, "a tokenizer");
    mica_status status = build(t, tokenizer_json, n, config_json, n_config, err);
    if (status == MICA_OK)
        *out = t;
    else
        mica_tokenizer_free(t);
    return status;
}

void mica_tokenizer_free(mica_tokenizer *t)
{
    if (!t) return;
    mica__normalizer_release(&t->normalizer);
    mica__splitter_release(&t->splitter);
    mica__model_release(&t->model);
    mica__added_release(&t->added);
    mica__decoder_release(&t->decoder);
    mica__arena_release(&t->arena);
    mica__free(t);
}
