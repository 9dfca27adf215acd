/* fuzz/fuzz_packed.c: any bytes as a quantized Hugging Face checkpoint: the text of config.json, a zero byte, a safetensors file. Of what is accepted
 * every tensor is read. */
#include "formats/checkpoint_private.h"
#include "formats/packed.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { MAX_ELEMENTS = 1 << 20 };

static void read_tensor(const mica__tensor_view *v)
{
    size_t n = 1;
    int bits, group;
    mica_error err;
    for (int i = 0; i < v->ndim; i++)
        if (!mica__mul(n, (size_t)v->shape[i], &n) || n > MAX_ELEMENTS) return;
    if (!n || v->storage == MICA__STORAGE_OTHER) return;
    float *out = malloc(n * sizeof *out);
    const mica_status status = mica__tensor_read_f32(v, out, &err);
    free(out);
    if (!mica__tensor_affine_form(v, &bits, &group)) return;
    uint32_t *codes = malloc(n * (size_t)bits / 8);
    const size_t n_scales = n / (size_t)group * mica_dtype_size(mica__tensor_affine_dtype(v));
    void *scales = malloc(n_scales), *biases = malloc(n_scales);
    if (status == MICA_OK && mica__tensor_read_affine(v, codes, scales, biases, &err) != MICA_OK) abort();
    free(codes);
    free(scales);
    free(biases);
}

/* The texts that quantizations are read from; all are there or known to be absent, so no file is looked for. */
static bool add_text(mica__checkpoint *c, const char *name, const uint8_t *p, size_t n)
{
    mica__checkpoint_text_slot *slot = mica__calloc(1, sizeof *slot);
    if (!slot) return false;
    slot->next = c->texts;
    slot->name = mica__strndup(name, strlen(name));
    slot->absent = !p;
    if (p) mica__buf_append(&slot->text, (const char *)p, n);
    c->texts = slot;
    return slot->name != NULL;
}

static void find_and_read(mica__checkpoint *c, const uint8_t *config, size_t n_config, const uint8_t *file, size_t n)
{
    mica_error err;
    if (!add_text(c, "config.json", config, n_config) || !add_text(c, "quantize_config.json", NULL, 0) ||
        !add_text(c, "quant_config.json", NULL, 0))
        return;
    mica__safetensors *s = &c->files[0].safetensors;
    if (mica__safetensors_parse(s, file, n, "f", &err) != MICA_OK) return;
    for (size_t i = 0; i < s->n_tensors; i++)
        if (mica__checkpoint_add_tensor(c, &s->tensors[i], &err) != MICA_OK) return;
    if (mica__checkpoint_find_packed(c, &err) != MICA_OK) return;
    for (size_t i = 0; i < c->n_tensors; i++) read_tensor(&c->tensors[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const uint8_t *end = n ? memchr(bytes, 0, n) : NULL;
    if (!end) return 0;
    mica__checkpoint *c = mica__calloc(1, sizeof *c);
    if (!c) return 0;
    c->path = mica__strndup("f", 1);
    c->format = "safetensors";
    c->files = mica__calloc(1, sizeof *c->files);
    if (c->path && c->files) {
        c->n_files = c->cap_files = 1;
        c->files[0].mapping.slot = -1;
        const size_t n_config = (size_t)(end - bytes);
        find_and_read(c, bytes, n_config, end + 1, n - n_config - 1);
    }
    mica__checkpoint_free(c);
    return 0;
}
