/* formats/superblocks_private.h: between superblocks.c, which has the table of types, and superblocks_grid.c, which has those with grids. */
#ifndef MICA_FORMATS_SUPERBLOCKS_PRIVATE_H
#define MICA_FORMATS_SUPERBLOCKS_PRIVATE_H

#include "superblocks.h"

/* A half float; false: it is not finite. */
bool mica__load_half(const uint8_t *p, float *out);

/* The 256 elements of a block. */
bool mica__iq1_s_to_float(const uint8_t *block, float *out);
bool mica__iq1_m_to_float(const uint8_t *block, float *out);
bool mica__iq2_xxs_to_float(const uint8_t *block, float *out);
bool mica__iq2_xs_to_float(const uint8_t *block, float *out);
bool mica__iq2_s_to_float(const uint8_t *block, float *out);
bool mica__iq3_xxs_to_float(const uint8_t *block, float *out);
bool mica__iq3_s_to_float(const uint8_t *block, float *out);

#endif
