/* models/save_record.h: which pieces of a conversion are written, for the next process if this one is killed.
 *
 * The record is a file in the work folder, beside the shards. It begins with a fingerprint of everything that the bytes of the shards
 * depend on: the plan, the options, the state of the source's files, this program. A line is added for each piece once its bytes are written. It holds
 * a checksum of them, so nothing depends on what the system wrote to the disk first: a piece is taken over only if its bytes
 * are still those that the line says. A record of something else, or none, means beginning again. */
#ifndef MICA_MODELS_SAVE_RECORD_H
#define MICA_MODELS_SAVE_RECORD_H

#include "save_plan.h"

#define MICA__SAVE_RECORD ".mica-record"

/* Not cryptographic: against accidents. */
typedef struct mica__fingerprint {
    uint64_t word[2];
} mica__fingerprint;
/* Of n bytes after others; {0} at the start. */
mica__fingerprint mica__fingerprint_add(mica__fingerprint f, const void *bytes, size_t n);

/* One piece, as it is in the file. */
typedef struct mica__save_line {
    uint64_t piece; /* over all shards, from 1; 0: not written */
    mica__fingerprint bytes;
    mica__quantization_error error;
    mica__fingerprint check; /* of the fields above and of the plan */
} mica__save_line;

typedef struct mica__save_record {
    int fd; /* -1: none */
    mica__fingerprint plan;
    mica__save_line *lines; /* [n_pieces], what an earlier process wrote */
    size_t n_pieces, n_found;
} mica__save_record;

/* The fingerprint of a conversion in n_pieces. */
mica__fingerprint mica__save_fingerprint(const mica__save_plan *plan, mica__checkpoint *source,
                                         const mica_save_options *options, size_t n_pieces);

/* Reads the record in the work folder. False, and nothing is open, if there is none of this conversion. */
bool mica__save_record_open(mica__save_record *out, const char *work, mica__fingerprint plan, size_t n_pieces);
/* Begins one, in a work folder that has none. */
mica_status mica__save_record_create(mica__save_record *out, const char *work, mica__fingerprint plan, size_t n_pieces,
                                     mica_error *err);
/* Whether an earlier process wrote the piece; then its line is lines[piece]. */
bool mica__save_record_has(const mica__save_record *r, size_t piece);
/* Adds a line; from any thread. */
mica_status mica__save_record_add(const mica__save_record *r, size_t piece, mica__fingerprint bytes,
                                  const mica__quantization_error *error, mica_error *err);
/* Closes and removes the file: the conversion is complete. */
mica_status mica__save_record_finish(mica__save_record *r, const char *work, mica_error *err);
void mica__save_record_release(mica__save_record *r); /* {.fd = -1} allowed */

#endif
