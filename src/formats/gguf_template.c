/* formats/gguf_template.c: tokenizer_config.json from the metadata of a GGUF file: special tokens by role, and chat templates. */
#include "gguf_model.h"

#include <stdio.h>

static const char NAMED[] = "tokenizer.chat_template.";

static void put_member(mica__buf *out, const char *name)
{
    mica__buf_printf(out, "%s\"%s\": ", out->n && out->p[out->n - 1] == '{' ? "" : ",\n", name);
}

/* The text of token `id`. */
static bool token_text(const mica__gguf *g, int64_t id, mica__str *out)
{
    const mica__gguf_value *tokens = mica__gguf_get(g, "tokenizer.ggml.tokens");
    size_t at = 0;
    for (int64_t i = 0; mica__gguf_next_string(tokens, &at, out); i++)
        if (i == id) return true;
    return false;
}

static mica_status put_roles(mica__buf *out, const mica__gguf *g, mica_error *err)
{
    static const struct {
        const char *key, *role;
    } roles[] = {
        {"bos", "bos_token"},     {"eos", "eos_token"}, {"unknown", "unk_token"}, {"seperator", "sep_token"},
        {"padding", "pad_token"}, {"cls", "cls_token"}, {"mask", "mask_token"},
    };
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        int64_t id;
        mica__str text;
        MICA_TRY(mica__gguf_token_id(g, roles[i].key, &id, err));
        if (id < 0 || !token_text(g, id, &text) || !text.n || !mica__utf8_valid(text.p, text.n)) continue;
        put_member(out, roles[i].role);
        mica__json_write_string(out, text, false);
    }
    return MICA_OK;
}

static void put_named_template(mica__buf *out, mica__str name, mica__str source)
{
    mica__buf_append_z(out, out->p[out->n - 1] == '[' ? "{\"name\": " : ", {\"name\": ");
    mica__json_write_string(out, name, false);
    mica__buf_append_z(out, ", \"template\": ");
    mica__json_write_string(out, source, false);
    mica__buf_append_char(out, '}');
}

/* One template is written as a string, several as a list of names and templates. */
static void put_templates(mica__buf *out, const mica__gguf *g)
{
    mica__str source;
    size_t n_named = 0;
    for (size_t i = 0; i < g->n_values; i++)
        n_named += mica__str_starts(g->values[i].key, NAMED) && mica__gguf_string(&g->values[i], &source);
    bool has_default = mica__gguf_string(mica__gguf_get(g, "tokenizer.chat_template"), &source);
    if (!has_default && !n_named) return;
    put_member(out, "chat_template");
    if (!n_named) {
        mica__json_write_string(out, source, false);
        return;
    }
    mica__buf_append_char(out, '[');
    if (has_default) put_named_template(out, MICA_STR("default"), source);
    for (size_t i = 0; i < g->n_values; i++) {
        mica__str key = g->values[i].key;
        if (!mica__str_starts(key, NAMED) || !mica__gguf_string(&g->values[i], &source)) continue;
        put_named_template(out, (mica__str){key.p + sizeof NAMED - 1, key.n - (sizeof NAMED - 1)}, source);
    }
    mica__buf_append_char(out, ']');
}

mica_status mica__gguf_tokenizer_config(const mica__gguf *g, mica__buf *out, mica_error *err)
{
    if (!mica__gguf_n_tokens(g) && !mica__gguf_get(g, "tokenizer.chat_template"))
        return mica__fail(err, MICA_NOT_FOUND, "has no tokenizer");
    mica__buf_append_char(out, '{');
    MICA_TRY(put_roles(out, g, err));
    put_member(out, "clean_up_tokenization_spaces");
    mica__buf_append_z(out, "false");
    if (!out->failed) put_templates(out, g);
    mica__buf_append_z(out, "}\n");
    return MICA_OK;
}

mica_status mica__gguf_chat_template(const mica__gguf *g, mica__buf *out, mica_error *err)
{
    mica__str source;
    if (!mica__gguf_string(mica__gguf_get(g, "tokenizer.chat_template"), &source))
        return mica__fail(err, MICA_NOT_FOUND, "has no chat template");
    mica__buf_append_str(out, source);
    return MICA_OK;
}
