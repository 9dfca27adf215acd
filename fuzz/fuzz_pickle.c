/* fuzz/fuzz_pickle.c: any bytes as what follows the header of a PyTorch file in the plain form, which has no checksums: the pickle of the
 * object, the pickle of the storage keys, the storages. What is accepted is read. */
#include "base/memory.h"
#include "formats/torch.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Magic number, version, byte order. */
static const char HEADER[] = "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
                             "\x80\2M\xe9\3."
                             "\x80\2}U\x0dlittle_endian\x88s.";

static void read_tensor(const mica__tensor_view *v)
{
    enum { MOST = 1 << 16 };
    if (v->storage != MICA__STORAGE_PLAIN || v->n_bytes > MOST) return; /* views with strides of 0 can be large */
    size_t n = v->n_bytes / mica_dtype_size(v->dtype);
    float *numbers = mica__alloc(n, sizeof *numbers);
    void *copy = mica__alloc(v->n_bytes, 1);
    if (!numbers || !copy || mica__tensor_read_f32(v, numbers, NULL) != MICA_OK ||
        mica__tensor_read_plain(v, copy, NULL) != MICA_OK)
        abort();
    mica__free(numbers);
    mica__free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    size_t n_header = sizeof HEADER - 1;
    uint8_t *file = mica__alloc(n_header + n, 1); /* exact, for the address sanitizer */
    memcpy(file, HEADER, n_header);
    if (n) memcpy(file + n_header, bytes, n);
    mica__torch t;
    mica_error err;
    if (mica__torch_parse(&t, file, n_header + n, "file", &err) == MICA_OK)
        for (size_t i = 0; i < t.n_tensors; i++) read_tensor(&t.tensors[i]);
    mica__torch_release(&t);
    mica__free(file);
    return 0;
}
