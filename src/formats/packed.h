/* formats/packed.h: matrices of quantized Hugging Face checkpoints.
 *
 * One matrix is several tensors there: packed codes, scales, perhaps zero points and an index of groups. A checkpoint that finds such a set
 * (packed_find.c) shows it as one tensor NAME.weight [out, in] of storage PACKED; this header is what stands behind that view.
 *
 *     GPTQ          qweight i32 [in * bits / 32, out], a stream of bits down each column; qzeros i32 [groups, out * bits / 32];
 *                   scales [groups, out]; g_idx i32 [in], the group of each column (in any order: act-order)
 *     AWQ           qweight i32 [in, out / 8], nibbles in the order 0 4 1 5 2 6 3 7; qzeros likewise [groups, out / 8]; scales [groups, out]
 *     ROWS          codes along each row: compressed-tensors' weight_packed i32 [out, in * bits / 32], its zero points i32
 *                   [out * bits / 32, groups], down the columns; weight_scale [out, groups]
 *     INT8          weight i8 [out, in]; weight_scale [out, groups], or bitsandbytes' SCB [out] / 127
 *     TERNARY       BitNet's u8 [out / 4, in]: two bits for each of rows r, r + out/4, r + 2 out/4, r + 3 out/4; one scale
 *     FP8           e4m3 [out, in]; weight_scale_inv for each block, or weight_scale for each row or all
 *     FP4           pairs of e2m1, the low one first, u8 [..., out, in / 2]; scales of e8m0 or e4m3 [..., out, groups], perhaps one for all
 *     BNB4          nibbles of all elements in a row, high one first, into a table of 16; absmax for each block, itself perhaps of 8 bits
 *
 * Integers stand for scale * (code - zero): affine groups, exactly, wherever a run of 32 columns has one scale. */
#ifndef MICA_FORMATS_PACKED_H
#define MICA_FORMATS_PACKED_H

#include "checkpoint.h"

typedef enum mica__packing {
    MICA__PACKING_GPTQ,
    MICA__PACKING_AWQ,
    MICA__PACKING_ROWS,
    MICA__PACKING_INT8,
    MICA__PACKING_TERNARY,
    MICA__PACKING_FP8,
    MICA__PACKING_FP4,
    MICA__PACKING_BNB4,
} mica__packing;

typedef struct mica__packed {
    mica__packing packing;
    int bits;
    int64_t n_rows, n_columns;
    int64_t group;                /* columns of one scale */
    const uint8_t *codes, *zeros; /* zeros NULL: all are `zero` */
    int zero;
    int zero_add;         /* to stored zeros: 1 for the first version of GPTQ */
    const uint8_t *index; /* i32 [columns], the group of each; NULL: in order */
    int64_t n_groups;

    const uint8_t *
        scales; /* of scale_dtype (U8: e8m0, I8: e4m3); NULL: 1. Element (row / row_block) * row_stride + group * group_stride */
    mica_dtype scale_dtype;
    int64_t row_block, row_stride, group_stride;
    float factor; /* of every scale */
    bool inverse; /* divide by the scale instead */

    const float *table, *nested_table;     /* BNB4: [16]; [256] if absmax is of 8 bits */
    const uint8_t *absmax, *nested_absmax; /* f32, or u8 with f32 [blocks / nested_block] */
    int64_t block, nested_block;
    float offset;

    mica_dtype plain; /* what its elements are expanded to if there is no exact quantized form */
    int form_group;   /* columns of a group of the affine form; 0: there is none */
    bool symmetric;   /* every zero is the middle of the codes */
} mica__packed;

/* Decides about the exact form; all else is filled. DATA if an index of groups leads out of range. */
mica_status mica__packed_finish(mica__packed *p, mica__str name, mica_error *err);

/* What mica/formats/checkpoint.h promises, for views of storage PACKED. */
mica_status mica__packed_read_f32(const mica__tensor_view *v, float *out, mica_error *err);
mica_status mica__packed_read_affine(const mica__tensor_view *v, uint32_t *codes, void *scales, void *biases,
                                     mica_error *err);
mica_status mica__packed_read_floats(const mica__tensor_view *v, uint32_t *codes, uint8_t *scales, mica_error *err);

/* Finds the sets of tensors in a folder's checkpoint and puts one view for each in their place. DATA, UNSUPPORTED naming the tensor. */
mica_status mica__checkpoint_find_packed(mica__checkpoint *c, mica_error *err);

#endif
