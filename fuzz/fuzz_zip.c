/* fuzz/fuzz_zip.c: any bytes as a zip archive, and as a PyTorch file in one. What is accepted must keep the promises of formats/zip.h. An
 * archive whose checksums are all 0 is not checked for them, so that its records can be changed freely. */
#include "formats/torch.h"
#include "formats/zip.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    mica__zip z;
    mica_error err;
    if (mica__zip_parse(&z, bytes, n, &err) != MICA_OK) return 0;
    size_t sum = 0;
    for (size_t i = 0; i < z.n_entries; i++) {
        const mica__zip_entry *e = &z.entries[i];
        if (mica__zip_find(&z, e->name) != e) abort();
        if (e->data < bytes || e->n_bytes > n || (size_t)(e->data - bytes) > n - e->n_bytes) abort();
        (void)mica__zip_check(&z, e, &err);
        sum += e->n_bytes;
    }
    if (sum > n) abort(); /* entries overlap */
    mica__zip_release(&z);
    mica__torch t;
    (void)mica__torch_parse(&t, bytes, n, "file", &err);
    mica__torch_release(&t);
    return 0;
}
