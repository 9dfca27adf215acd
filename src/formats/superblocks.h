/* formats/superblocks.h: GGUF's types that need more than one scale to a block, as numbers. */
#ifndef MICA_FORMATS_SUPERBLOCKS_H
#define MICA_FORMATS_SUPERBLOCKS_H

#include "checkpoint.h"

typedef struct mica__superblock {
    int n_elements, n_bytes; /* of a block */
    /* The elements of one block; false: a scale is not finite. */
    bool (*to_float)(const uint8_t *block, float *out);
    int bits; /* of the codes if there is an affine form with groups of 32, else 0 */
    /* That form: scale and bias of each group of 32 in float32, where they are exact, and the codes one per byte. */
    bool (*to_affine)(const uint8_t *block, uint8_t *codes, float *scales, float *biases);
    /* Not affine: the exact form in that mode, codes one per byte. */
    mica_quant_mode floats;
    bool (*to_floats)(const uint8_t *block, uint8_t *codes, uint8_t *scales);
} mica__superblock;

/* NULL if the storage is none of these. */
const mica__superblock *mica__superblock_of(mica__storage storage);

#endif
