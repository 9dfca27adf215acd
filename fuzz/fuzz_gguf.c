/* fuzz/fuzz_gguf.c: any bytes as a GGUF file; of what is accepted all texts are made, and the tensors named and read. */
#include "formats/checkpoint_private.h"
#include "formats/gguf_model.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* The elements fit in memory: every type takes more than a bit for each, so a file of n bytes has fewer than 8 n of them. */
static mica_status read_tensor(void *context, const mica__tensor_view *v, mica_error *err)
{
    (void)context;
    size_t n = 1;
    int bits, group;
    for (int i = 0; i < v->ndim; i++) n *= (size_t)v->shape[i];
    float *out = malloc(n * sizeof *out);
    mica_status status = mica__tensor_read_f32(v, out, err);
    free(out);
    if (mica__tensor_affine_form(v, &bits, &group)) {
        uint32_t *codes = malloc(n * (size_t)bits / 8);
        size_t n_scales = n / (size_t)group * mica_dtype_size(mica__tensor_affine_dtype(v));
        void *scales = malloc(n_scales), *biases = malloc(n_scales);
        mica_status affine = mica__tensor_read_affine(v, codes, scales, biases, err);
        if (status == MICA_OK && affine != MICA_OK) abort();
        free(codes);
        free(scales);
        free(biases);
    }
    return MICA_OK;
}

static void ignore(void *context, const mica__tensor_view *v)
{
    (void)context;
    (void)v;
}

static void read_tensors(const mica__gguf *g)
{
    const mica__gguf_arch *arch;
    mica__gguf_dims dims;
    mica_error err;
    mica__arena names = {0};
    const mica__gguf_name_sink sink = {read_tensor, ignore, NULL};
    if (mica__gguf_arch_of(g, &arch, &err) != MICA_OK || mica__gguf_dims_of(g, arch, &dims, &err) != MICA_OK) {
        for (size_t i = 0; i < g->n_tensors; i++) read_tensor(NULL, &g->tensors[i], &err);
        return;
    }
    for (size_t i = 0; i < g->n_tensors; i++)
        if (mica__gguf_name_tensor(&g->tensors[i], arch, &dims, &names, &sink, &err) != MICA_OK) break;
    mica__arena_release(&names);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char *const texts[] = {"config.json", "generation_config.json", "tokenizer.json",
                                        "tokenizer_config.json"};
    mica__gguf g;
    mica_error err;
    if (mica__gguf_parse(&g, bytes, n, "f.gguf", &err) != MICA_OK) return 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        mica__buf text = {.max = (size_t)64 << 20};
        mica__json doc;
        if (mica__gguf_text(&g, texts[i], &text, &err) == MICA_OK) { /* must be JSON without a key twice */
            if (mica__json_parse(&doc, text.p, text.n, &(mica__json_limits){.unique_keys = true}, &err) != MICA_OK)
                abort();
            mica__json_release(&doc);
        }
        mica__buf_release(&text);
    }
    mica__buf source = {0};
    (void)!mica__gguf_text(&g, "chat_template.jinja", &source, &err);
    mica__buf_release(&source);
    read_tensors(&g);
    mica__gguf_release(&g);
    return 0;
}
