/* cli/tensor_file.c: a safetensors writer for one float32 tensor.
 *
 *     u64 little-endian: 248 | JSON, padded with spaces to 248 bytes | rows, little-endian float32 */
#include "tensor_file.h"

#include <inttypes.h>
#include <string.h>

enum { HEADER_BYTES = 248 }; /* with the length before it 256: the data stays aligned */

int tensor_file_open(tensor_file *t, const char *path, const char *name, int64_t columns)
{
    *t = (tensor_file){.name = name, .columns = columns};
    const int code = new_file_open(&t->file, path);
    if (code) return code;
    char space[8 + HEADER_BYTES];
    memset(space, ' ', sizeof space);
    fwrite(space, sizeof space, 1, t->file.f);
    return 0;
}

static void put_le(unsigned char *to, uint64_t value, int n)
{
    for (int i = 0; i < n; i++) to[i] = (unsigned char)(value >> 8 * i);
}

void tensor_file_add(tensor_file *t, const float *rows, int64_t n)
{
    t->rows += n;
    const size_t count = (size_t)(n * t->columns);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    fwrite(rows, sizeof *rows, count, t->file.f);
#else
    for (size_t i = 0; i < count; i++) {
        unsigned char bytes[4];
        uint32_t bits;
        memcpy(&bits, &rows[i], 4);
        put_le(bytes, bits, 4);
        fwrite(bytes, 4, 1, t->file.f);
    }
#endif
}

int tensor_file_commit(tensor_file *t)
{
    unsigned char start[8 + HEADER_BYTES + 1];
    put_le(start, HEADER_BYTES, 8);
    const int n =
        snprintf((char *)start + 8, HEADER_BYTES + 1,
                 "{\"%s\":{\"dtype\":\"F32\",\"shape\":[%" PRId64 ",%" PRId64 "],\"data_offsets\":[0,%" PRId64 "]}}",
                 t->name, t->rows, t->columns, t->rows * t->columns * 4);
    memset(start + 8 + n, ' ', (size_t)(HEADER_BYTES - n));
    if (fseek(t->file.f, 0, SEEK_SET) == 0) fwrite(start, 8 + HEADER_BYTES, 1, t->file.f);
    return new_file_commit(&t->file);
}

void tensor_file_discard(tensor_file *t) { new_file_discard(&t->file); }
