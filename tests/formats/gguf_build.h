/* tests/formats/gguf_build.h: GGUF files for tests, byte by byte, wrong ones included.
 *
 *     gguf_file f = gguf_begin(3);
 *     gguf_put_string(&f, "general.architecture", "llama");
 *     gguf_put_tensor(&f, "token_embd.weight", 2, (uint64_t[]){64, 8}, 0, 0);     // dims fastest first, type, offset
 *     size_t n;
 *     uint8_t *bytes = gguf_end(&f, 2048, &n);        // header, padding, 2048 bytes of data; free() it
 */
#ifndef MICA_TESTS_GGUF_BUILD_H
#define MICA_TESTS_GGUF_BUILD_H

#include "base/str.h"

#include <stdint.h>
#include <stdlib.h>

typedef struct gguf_file {
    mica__buf keys, tensors;
    uint32_t version;
    uint64_t n_keys, n_tensors, alignment;
} gguf_file;

static inline gguf_file gguf_begin(uint32_t version) { return (gguf_file){.version = version, .alignment = 32}; }

#define GGUF_PUT(buf, type, value) mica__buf_append(buf, &(type){value}, sizeof(type))

static inline void gguf_text(mica__buf *b, const char *text, size_t n)
{
    GGUF_PUT(b, uint64_t, n);
    mica__buf_append(b, text, n);
}

static inline void gguf_key(gguf_file *f, const char *key, uint32_t type)
{
    gguf_text(&f->keys, key, strlen(key));
    GGUF_PUT(&f->keys, uint32_t, type);
    f->n_keys++;
}

static inline void gguf_put_u32(gguf_file *f, const char *key, uint32_t value)
{
    gguf_key(f, key, 4);
    GGUF_PUT(&f->keys, uint32_t, value);
}

static inline void gguf_put_f32(gguf_file *f, const char *key, float value)
{
    gguf_key(f, key, 6);
    GGUF_PUT(&f->keys, float, value);
}

static inline void gguf_put_bool(gguf_file *f, const char *key, bool value)
{
    gguf_key(f, key, 7);
    GGUF_PUT(&f->keys, uint8_t, value);
}

static inline void gguf_put_string(gguf_file *f, const char *key, const char *value)
{
    gguf_key(f, key, 8);
    gguf_text(&f->keys, value, strlen(value));
}

static inline void gguf_array(gguf_file *f, const char *key, uint32_t type, uint64_t count)
{
    gguf_key(f, key, 9);
    GGUF_PUT(&f->keys, uint32_t, type);
    GGUF_PUT(&f->keys, uint64_t, count);
}

static inline void gguf_put_strings(gguf_file *f, const char *key, const char *const *values, size_t n)
{
    gguf_array(f, key, 8, n);
    for (size_t i = 0; i < n; i++) gguf_text(&f->keys, values[i], strlen(values[i]));
}

static inline void gguf_put_ints(gguf_file *f, const char *key, const int32_t *values, size_t n)
{
    gguf_array(f, key, 5, n);
    mica__buf_append(&f->keys, values, 4 * n);
}

static inline void gguf_put_floats(gguf_file *f, const char *key, const float *values, size_t n)
{
    gguf_array(f, key, 6, n);
    mica__buf_append(&f->keys, values, 4 * n);
}

static inline void gguf_put_tensor(gguf_file *f, const char *name, uint32_t n_dims, const uint64_t *dims, uint32_t type,
                                   uint64_t offset)
{
    gguf_text(&f->tensors, name, strlen(name));
    GGUF_PUT(&f->tensors, uint32_t, n_dims);
    mica__buf_append(&f->tensors, dims, 8 * n_dims);
    GGUF_PUT(&f->tensors, uint32_t, type);
    GGUF_PUT(&f->tensors, uint64_t, offset);
    f->n_tensors++;
}

/* The file in a block of exactly its size; the builder is empty afterwards. Data bytes count up. */
static inline uint8_t *gguf_end(gguf_file *f, size_t n_data, size_t *n)
{
    mica__buf b = {0};
    mica__buf_append(&b, "GGUF", 4);
    GGUF_PUT(&b, uint32_t, f->version);
    GGUF_PUT(&b, uint64_t, f->n_tensors);
    GGUF_PUT(&b, uint64_t, f->n_keys);
    mica__buf_append(&b, f->keys.p, f->keys.n);
    mica__buf_append(&b, f->tensors.p, f->tensors.n);
    while (n_data && b.n % f->alignment) mica__buf_append_char(&b, 0);
    for (size_t i = 0; i < n_data; i++) mica__buf_append_char(&b, (char)(i & 0x3f));
    *n = b.n;
    uint8_t *bytes = malloc(b.n);
    memcpy(bytes, b.p, b.n);
    mica__buf_release(&b);
    mica__buf_release(&f->keys);
    mica__buf_release(&f->tensors);
    return bytes;
}

/* What every decoder of architecture a needs. */
static inline gguf_file gguf_begin_model(const char *a)
{
    gguf_file f = gguf_begin(3);
    char key[100];
    gguf_put_string(&f, "general.architecture", a);
    const struct {
        const char *name;
        uint32_t value;
    } dims[] = {{"block_count", 2},          {"context_length", 128},     {"embedding_length", 64},
                {"feed_forward_length", 96}, {"attention.head_count", 4}, {"attention.head_count_kv", 2}};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        snprintf(key, sizeof key, "%s.%s", a, dims[i].name);
        gguf_put_u32(&f, key, dims[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", a);
    gguf_put_f32(&f, key, 1e-5f);
    return f;
}

#endif
