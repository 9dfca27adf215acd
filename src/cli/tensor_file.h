/* cli/tensor_file.h: one float32 tensor [rows, columns] into a safetensors file, row by row.
 *
 * The number of rows need not be known before the end: the header has a fixed size and is written last, padded with spaces. */
#ifndef MICA_CLI_TENSOR_FILE_H
#define MICA_CLI_TENSOR_FILE_H

#include "files.h"

typedef struct tensor_file {
    new_file file;
    const char *name;
    int64_t rows, columns;
} tensor_file;

/* Exit codes, 0 after success; failures were said. */
int tensor_file_open(tensor_file *t, const char *path, const char *name, int64_t columns);
void tensor_file_add(tensor_file *t, const float *rows, int64_t n); /* [n, columns]; failures show at the end */
int tensor_file_commit(tensor_file *t);
void tensor_file_discard(tensor_file *t); /* {0} and committed allowed */

#endif
