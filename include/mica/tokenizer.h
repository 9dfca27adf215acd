/* mica/tokenizer.h: text to token ids and back, as tokenizer.json says.
 *
 *     mica_tokenizer *t = NULL;
 *     if (mica_tokenizer_load(&t, "path/to/checkpoint", &err)) ...
 *     mica_ids ids = {0};
 *     if (mica_tokenizer_encode(t, text, strlen(text), MICA_ADD_SPECIAL_TOKENS, &ids, &err)) ...
 *     ... ids.data[0 .. ids.n) ...
 *     mica_ids_release(&ids);
 *     mica_tokenizer_free(t);
 *
 * A loaded tokenizer is immutable and may be used by many threads at once. */
#ifndef MICA_TOKENIZER_H
#define MICA_TOKENIZER_H

#include "error.h"
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mica_tokenizer mica_tokenizer;

/* A growing list of token ids. {0} is empty. */
typedef struct mica_ids {
    int32_t *data;
    size_t n, capacity;
} mica_ids;
MICA_API void mica_ids_release(mica_ids *ids);

/* A string that the library made: `data` is NUL-terminated, `n` bytes without the NUL (it may contain NULs). {0} is empty. */
typedef struct mica_text {
    char *data;
    size_t n, capacity;
} mica_text;
MICA_API void mica_text_release(mica_text *text);

/* path: a folder with tokenizer.json (tokenizer_config.json, special_tokens_map.json and added_tokens.json are read if present),
 * a tokenizer.json file, or a .gguf file. */
MICA_API mica_status mica_tokenizer_load(mica_tokenizer **out, const char *path, mica_error *err) MICA_NODISCARD;
/* From the texts themselves; config_json (tokenizer_config.json) may be NULL. The texts are not needed afterwards. */
MICA_API mica_status mica_tokenizer_create(mica_tokenizer **out, const char *tokenizer_json, size_t n,
                                           const char *config_json, size_t n_config, mica_error *err) MICA_NODISCARD;
MICA_API void mica_tokenizer_free(mica_tokenizer *t); /* NULL allowed */

typedef enum mica_encode_flags {
    MICA_ADD_SPECIAL_TOKENS = 1,   /* what the post-processor adds (<bos> ...) */
    MICA_SPLIT_SPECIAL_TOKENS = 2, /* special tokens in the text are plain text */
} mica_encode_flags;

/* Appends the ids of `text` (UTF-8, may contain NULs; INVALID if not UTF-8) to *out. */
MICA_API mica_status mica_tokenizer_encode(const mica_tokenizer *t, const char *text, size_t n, unsigned flags,
                                           mica_ids *out, mica_error *err) MICA_NODISCARD;
/* Without the post-processor's tokens, and where the ids stand: of each id three numbers in *offsets, the characters (code points) [start, end) of
 * the text that it stands for and the number of the word that it is part of (a piece that the pre-tokenizer made, or an added token). Characters
 * that normalization changed are counted as they were in the text; several ids may stand for parts of one character. */
MICA_API mica_status mica_tokenizer_encode_offsets(const mica_tokenizer *t, const char *text, size_t n, unsigned flags,
                                                   mica_ids *out, mica_ids *offsets, mica_error *err) MICA_NODISCARD;
/* The pair form of the post-processor: "[CLS] a [SEP] b [SEP]". type_ids (0 or 1 for each id) may be NULL. */
MICA_API mica_status mica_tokenizer_encode_pair(const mica_tokenizer *t, const char *a, size_t n_a, const char *b,
                                                size_t n_b, unsigned flags, mica_ids *out, mica_ids *type_ids,
                                                mica_error *err) MICA_NODISCARD;

/* Ids that were encoded without special tokens (and perhaps cut) in the form of the post-processor: appends a, or the pair of a and b where b is
 * not NULL, with its special tokens to *out; to *type_ids 0 or 1 for each, to *sources where it is from: 0 a, 1 b, -1 the
 * post-processor. type_ids and sources may be NULL. */
MICA_API mica_status mica_tokenizer_wrap(const mica_tokenizer *t, const int32_t *a, size_t n_a, const int32_t *b,
                                         size_t n_b, mica_ids *out, mica_ids *type_ids, mica_ids *sources,
                                         mica_error *err) MICA_NODISCARD;

/* Appends the text of ids to *out. Unknown ids are skipped. */
MICA_API mica_status mica_tokenizer_decode(const mica_tokenizer *t, const int32_t *ids, size_t n,
                                           bool skip_special_tokens, mica_text *out, mica_error *err) MICA_NODISCARD;

/* Number of ids: one more than the highest. */
MICA_API int32_t mica_tokenizer_size(const mica_tokenizer *t);
/* Id of a token as it stands in the vocabulary (added tokens first); -1 if there is none. */
MICA_API int32_t mica_tokenizer_id(const mica_tokenizer *t, const char *token, size_t n);
/* The token as it stands in the vocabulary; NULL for an id that has none. *n (may be NULL): bytes. Lives as long as t. */
MICA_API const char *mica_tokenizer_token(const mica_tokenizer *t, int32_t id, size_t *n);
MICA_API bool mica_tokenizer_is_special(const mica_tokenizer *t, int32_t id);
/* Tokens of the model's own vocabulary, without added ones; and its type: "BPE", "Unigram", "WordPiece", "WordLevel". */
MICA_API int32_t mica_tokenizer_vocab_size(const mica_tokenizer *t);
MICA_API const char *mica_tokenizer_model_type(const mica_tokenizer *t);

/* A token that is found in the text before the model sees it. */
typedef struct mica_added_token {
    const char *content; /* `n` bytes, NUL-terminated; lives as long as the tokenizer */
    size_t n;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
} mica_added_token;
/* The i-th added token; false at the end. */
MICA_API bool mica_tokenizer_added_at(const mica_tokenizer *t, size_t i, mica_added_token *out);

/* Special token by role: "bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token", or any other
 * *_token of tokenizer_config.json. Returns its text, NULL if unset; *id (may be NULL) -1 if it is not in the vocabulary. */
MICA_API const char *mica_tokenizer_special(const mica_tokenizer *t, const char *role, int32_t *id);
/* Walks all roles: i = 0, 1, ... until NULL. *token (may be NULL) receives the text. */
MICA_API const char *mica_tokenizer_special_at(const mica_tokenizer *t, size_t i, const char **token);

/* Decodes a stream of ids: text comes out as soon as its characters are complete, never half a character. */
typedef struct mica_decode_stream mica_decode_stream;
MICA_API mica_status mica_decode_stream_create(mica_decode_stream **out, const mica_tokenizer *t,
                                               bool skip_special_tokens, mica_error *err) MICA_NODISCARD;
MICA_API void mica_decode_stream_free(mica_decode_stream *s);
/* Sets *text to the new text (may be ""); it is valid until the next call on s. */
MICA_API mica_status mica_decode_stream_push(mica_decode_stream *s, int32_t id, const char **text, size_t *n,
                                             mica_error *err) MICA_NODISCARD;
/* What is left at the end (an incomplete character gives U+FFFD, as decode does). The stream is then empty and may be reused.
 * The concatenation of everything pushed and flushed equals mica_tokenizer_decode of all ids. */
MICA_API mica_status mica_decode_stream_flush(mica_decode_stream *s, const char **text, size_t *n,
                                              mica_error *err) MICA_NODISCARD;

#ifdef __cplusplus
}
#endif
#endif
