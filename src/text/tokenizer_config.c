/* text/tokenizer_config.c: what tokenizer_config.json adds to a tokenizer.json: the roles of special tokens, and tokens.
 *
 * As in Transformers: the entries of added_tokens_decoder are added in order of id (one that is there already only gets the
 * flags given here, but what was special stays special), then every token with a role, which is special, then the additional
 * special tokens. */
#include "text/tokenizer_parts.h"

#include <stdlib.h>

enum { MAX_ROLES = 256 };

typedef struct loader {
    mica_tokenizer *t;
    mica__jval config;
    mica_error *err;
} loader;

/* ---- roles ---- */

/* The token of a role: a string, or an object with its content. */
static bool token_text(mica__jval v, mica__str *text)
{
    return mica__json_string(v, text) ||
           (mica__json_is(v, MICA__JSON_OBJECT) && mica__json_string(mica__json_get(v, "content"), text));
}

static mica__role *find_role(const mica_tokenizer *t, mica__str name)
{
    for (size_t i = 0; i < t->n_roles; i++)
        if (mica__str_is(name, t->roles[i].name)) return &t->roles[i];
    return NULL;
}

static mica_status set_role(loader *l, mica__str name, mica__jval v)
{
    mica__str text;
    if (!token_text(v, &text) || text.n == 0 || memchr(name.p, 0, name.n)) return MICA_OK;
    mica__role *role = find_role(l->t, name);
    if (!role) {
        if (l->t->n_roles == MAX_ROLES)
            return mica__fail(l->err, MICA_DATA, "tokenizer_config.json: more than %d special tokens with names",
                              MAX_ROLES);
        role = &l->t->roles[l->t->n_roles];
    }
    char *token = mica__arena_strndup(&l->t->arena, text.p, text.n);
    char *copy = mica__arena_strndup(&l->t->arena, name.p, name.n);
    if (!token || !copy) return mica__fail_memory(l->err, name.n + text.n, "a special token");
    if (role == &l->t->roles[l->t->n_roles]) l->t->n_roles++;
    *role = (mica__role){copy, token, text.n};
    return MICA_OK;
}

/* The seven roles that every tokenizer may have, then every other member *_token of the config, then the members of
 * extra_special_tokens where that is an object. The order decides the ids of new tokens. */
static mica_status read_roles(loader *l)
{
    mica__jval extra = mica__json_get(l->config, "extra_special_tokens");
    bool named = mica__json_is(extra, MICA__JSON_OBJECT);
    l->t->roles = mica__arena_calloc(&l->t->arena, MAX_ROLES + 1, sizeof *l->t->roles);
    if (!l->t->roles) return mica__fail_memory(l->err, MAX_ROLES * sizeof *l->t->roles, "special tokens");
    static const char *const usual[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        MICA_TRY(set_role(l, mica__str_from(usual[i]), mica__json_get(l->config, usual[i])));
    for (mica__jval m = mica__json_first(l->config); m; m = mica__json_next(l->config, m))
        if (mica__str_ends(mica__json_key(m), "_token")) MICA_TRY(set_role(l, mica__json_key(m), mica__json_value(m)));
    if (!named) return MICA_OK;
    for (mica__jval m = mica__json_first(extra); m; m = mica__json_next(extra, m))
        MICA_TRY(set_role(l, mica__json_key(m), mica__json_value(m)));
    return MICA_OK;
}

static bool has_role(const mica_tokenizer *t, mica__str text)
{
    for (size_t i = 0; i < t->n_roles; i++)
        if (mica__str_eq(text, (mica__str){t->roles[i].token, t->roles[i].n})) return true;
    return false;
}

/* ---- tokens ---- */

static mica_status add(loader *l, const mica__added_token *token)
{
    return mica__added_add(&l->t->added, &l->t->arena, &l->t->model.vocab, token, l->err);
}

typedef struct numbered {
    int64_t id;
    mica__jval member;
} numbered;

static int by_id(const void *x, const void *y)
{
    int64_t a = ((const numbered *)x)->id, b = ((const numbered *)y)->id;
    return a < b ? -1 : a > b;
}

/* The id that a key of added_tokens_decoder is; -1 if it is none. */
static int64_t key_id(mica__str key)
{
    int64_t id = 0;
    if (key.n == 0 || key.n > 10) return -1;
    for (size_t i = 0; i < key.n; i++) {
        if (key.p[i] < '0' || key.p[i] > '9') return -1;
        id = id * 10 + (key.p[i] - '0');
    }
    return id < INT32_MAX ? id : -1;
}

static mica_status add_numbered(loader *l, const mica__at *at, const numbered *entry)
{
    mica__added_token token;
    mica__jval v = mica__json_value(entry->member);
    mica__str key = mica__json_key(entry->member);
    mica__at here = {at, NULL, (size_t)entry->id};
    if (entry->id < 0) return mica__fail_at(l->err, at, "key '%s' is not a token id", MICA_QUOTED_STR(key));
    MICA_TRY(mica__added_token_parse(&here, v, &token, l->err));
    if (!mica__json_get(v, "normalized")) token.normalized = true; /* another default than in tokenizer.json */
    if (token.content.n == 0) return mica__fail_at(l->err, &here, "empty content");
    token.special |= has_role(l->t, token.content);
    return add(l, &token);
}

static mica_status read_decoder(loader *l)
{
    mica__jval object = mica__json_get(l->config, "added_tokens_decoder");
    if (!mica__json_is(object, MICA__JSON_OBJECT)) return MICA_OK;
    mica__at top = {NULL, "tokenizer_config.json", 0}, at = {&top, "added_tokens_decoder", 0};
    size_t n = 0;
    numbered *entries = mica__alloc(mica__json_count(object), sizeof *entries);
    if (!entries) return mica__fail_memory(l->err, mica__json_count(object) * sizeof *entries, "added tokens");
    for (mica__jval m = mica__json_first(object); m; m = mica__json_next(object, m))
        entries[n++] = (numbered){key_id(mica__json_key(m)), m};
    qsort(entries, n, sizeof *entries, by_id);
    mica_status status = MICA_OK;
    for (size_t i = 0; i < n && status == MICA_OK; i++) status = add_numbered(l, &at, &entries[i]);
    mica__free(entries);
    return status;
}

/* A token with a role, or of a list of special tokens, that is not an added token yet. */
static mica_status add_special(loader *l, mica__str text, mica__jval v)
{
    if (text.n == 0 || mica__added_by_content(&l->t->added, text)) return MICA_OK;
    mica__added_token token = {.content = text, .special = true};
    mica__at at = {NULL, "tokenizer_config.json", 0};
    if (mica__json_is(v, MICA__JSON_OBJECT)) MICA_TRY(mica__added_token_parse(&at, v, &token, l->err));
    token.special |= has_role(l->t, text);
    return add(l, &token);
}

static mica_status read_list(loader *l, const char *key)
{
    mica__jval list = mica__json_get(l->config, key);
    mica__str text;
    if (!mica__json_is(list, MICA__JSON_ARRAY)) return MICA_OK;
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e))
        if (token_text(e, &text)) MICA_TRY(add_special(l, text, e));
    return MICA_OK;
}

mica_status mica__tokenizer_read_config(mica_tokenizer *t, mica__jval config, mica_error *err)
{
    if (!mica__json_is(config, MICA__JSON_OBJECT))
        return mica__fail(err, MICA_DATA, "tokenizer_config.json: expected an object, found %s",
                          mica__json_kind(config));
    loader l = {t, config, err};
    MICA_TRY(read_roles(&l));
    MICA_TRY(read_decoder(&l));
    for (size_t i = 0; i < t->n_roles; i++) {
        mica__jval v = mica__json_get(config, t->roles[i].name);
        MICA_TRY(add_special(&l, (mica__str){t->roles[i].token, t->roles[i].n}, v));
    }
    MICA_TRY(read_list(&l, "additional_special_tokens"));
    return read_list(&l, "extra_special_tokens");
}
