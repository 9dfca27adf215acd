/* fuzz/fuzz_safetensors.c: any bytes as a safetensors file; what is accepted is read, every byte of it. */
#include "formats/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    mica__safetensors s;
    mica_error err;
    if (mica__safetensors_parse(&s, bytes, n, "f.safetensors", &err) != MICA_OK) return 0;
    size_t n_data = 0;
    for (size_t i = 0; i < s.n_tensors; i++) {
        const mica__tensor_view *v = &s.tensors[i];
        if (v->data != bytes + s.data_start + n_data) abort(); /* the ranges cover the data exactly */
        n_data += v->n_bytes;
        if (v->storage != MICA__STORAGE_PLAIN) continue;
        size_t n_elements = v->n_bytes / mica_dtype_size(v->dtype);
        float *out = malloc(n_elements * sizeof *out + 1);
        if (mica__tensor_read_f32(v, out, &err) != MICA_OK) abort();
        free(out);
    }
    if (s.data_start + n_data != n) abort();
    mica__safetensors_release(&s);
    return 0;
}
