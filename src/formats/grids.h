/* formats/grids.h: the vectors that GGUF's IQ1, IQ2 and IQ3 types choose from. */
#ifndef MICA_FORMATS_GRIDS_H
#define MICA_FORMATS_GRIDS_H

#include <stdint.h>

typedef enum mica__grid_name {
    MICA__GRID_IQ2XXS, /* [256, 8] */
    MICA__GRID_IQ2XS,  /* [512, 8] */
    MICA__GRID_IQ2S,   /* [1024, 8] */
    MICA__GRID_IQ1S,   /* [2048, 8] */
    MICA__GRID_IQ3XXS, /* [256, 4] */
    MICA__GRID_IQ3S,   /* [512, 4] */
} mica__grid_name;

/* Its rows, one after the other. Any thread. */
const int8_t *mica__grid(mica__grid_name name);

#endif
