/* models/save_write.h: the tensors of a plan, written. */
#ifndef MICA_MODELS_SAVE_WRITE_H
#define MICA_MODELS_SAVE_WRITE_H

#include "save_record.h"

typedef struct mica__save_target {
    const char *work; /* the folder that the shards are written to */
    const char *path; /* what it will be called, for messages */
} mica__save_target;

/* How many pieces the work is cut into: what the record has lines for. */
size_t mica__save_n_pieces(const mica__save_plan *plan);
/* Writes all shards, but for the pieces that the record has already and that are there, and the errors of the kinds. *resumed: bytes of the source
 * that those pieces stand for. The files are on disk when it returns. */
mica_status mica__save_write(mica__save_plan *plan, const mica__checkpoint *checkpoint, const mica__save_target *target,
                             const mica__save_record *record, const mica_save_options *options, uint64_t *resumed,
                             mica_error *err);

#endif
