/* models/save_write.h: the tensors of a plan, written. */
#ifndef MICA_MODELS_SAVE_WRITE_H
#define MICA_MODELS_SAVE_WRITE_H

#include "save_plan.h"

typedef struct mica__save_target {
    const char *work; /* the folder that the shards are written to */
    const char *path; /* what it will be called, for messages */
} mica__save_target;

/* Writes all shards and the errors of the kinds. The files are on disk when it returns. */
mica_status mica__save_write(mica__save_plan *plan, const mica__checkpoint *checkpoint, const mica__save_target *target,
                             const mica_save_options *options, mica_error *err);

#endif
