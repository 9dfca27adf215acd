/* formats/gguf_vocab.c: the token list of a GGUF file and the ids with a role in it. */
#include "gguf_model.h"

#include <stdio.h>

size_t mica__gguf_n_tokens(const mica__gguf *g)
{
    const mica__gguf_value *v = mica__gguf_get(g, "tokenizer.ggml.tokens");
    return v && v->is_array && v->type == MICA__GGUF_STRING ? v->count : 0;
}

/* What a SentencePiece vocabulary has where the file does not say. */
static int64_t default_id(const mica__gguf *g, const char *name)
{
    mica__str model;
    if (!mica__gguf_string(mica__gguf_get(g, "tokenizer.ggml.model"), &model) || !mica__str_is(model, "llama"))
        return -1;
    return strcmp(name, "unknown") == 0 ? 0 : strcmp(name, "bos") == 0 ? 1 : strcmp(name, "eos") == 0 ? 2 : -1;
}

mica_status mica__gguf_token_id(const mica__gguf *g, const char *name, int64_t *id, mica_error *err)
{
    char key[64];
    snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", name);
    const mica__gguf_value *v = mica__gguf_get(g, key);
    size_t n = mica__gguf_n_tokens(g);
    *id = -1;
    if (!v) {
        int64_t usual = default_id(g, name);
        if (usual < (int64_t)n) *id = usual;
        return MICA_OK;
    }
    int64_t value;
    if (!mica__gguf_int(v, &value)) return mica__fail(err, MICA_DATA, "key %s is not a whole number", key);
    if (value < 0 || value > INT32_MAX || (n && value >= (int64_t)n))
        return mica__fail(err, MICA_DATA, "key %s is %lld, but there are %zu tokens", key, (long long)value, n);
    *id = value;
    return MICA_OK;
}
