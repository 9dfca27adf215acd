/* array/program.h: inside programs; for array/ alone.
 *
 * A program is a list of instructions in stages. Instructions of one stage do not depend on each other; the team meets between
 * stages (and between the phases of a stage), so there is one barrier for each dependency and none for each instruction.
 *
 *     arena:  | values, placed by the stages in which they live | scratch of the running stage |
 */
#ifndef MICA_ARRAY_PROGRAM_H
#define MICA_ARRAY_PROGRAM_H

#include "array.h"
#include <pthread.h>

/* The memory of one computed root. */
typedef struct mica__value {
    size_t n_bytes, offset;      /* in the arena */
    int first_stage, last_stage; /* in which it lives, both included */
    int output;                  /* lives in this output instead; -1: in the arena */
} mica__value;

/* A pointer of an instruction that every run sets: operand -1 is `out`. */
typedef struct mica__patch {
    int instr, operand, slot;
    bool is_output; /* slot of an output, else of an input */
    size_t offset;  /* bytes */
} mica__patch;

typedef struct mica__cache_use {
    int slot;
    int64_t window; /* 0: everything */
    mica_cache_options options;
} mica__cache_use;

/* Where an instruction finds its scratch memory, and whether its first phase is another's. */
typedef struct mica__placement {
    size_t scratch, member_scratch; /* offsets in the scratch area */
    bool skip_first;
} mica__placement;

struct mica_program {
    mica_device *device;
    mica__instr *instrs;         /* [n], by stage */
    mica__placement *placements; /* [n] */
    int n;
    int *stages; /* [n_stages + 1]: index of each stage's first instruction */
    int n_stages;
    mica__patch *patches;
    int n_patches;
    mica__cache_use *caches;
    int n_caches;
    mica__buffer **buffers; /* constants, kept alive */
    int n_buffers;
    int n_inputs, n_outputs; /* slots that a run must bind */
    int64_t max_rows;        /* 0: no row counts */
    uint8_t *arena;
    size_t arena_bytes, scratch_offset;
    pthread_mutex_t turn; /* instructions are patched in place: one run at a time */
};

/* Places values (with output < 0) so that no two that live in a common stage overlap; returns the bytes needed. MEMORY. */
mica_status mica__plan(mica__value *values, int n, size_t *arena_bytes, mica_error *err);

/* Rounds up to the alignment of values and scratch. */
static inline size_t mica__align64(size_t n) { return (n + 63) & ~(size_t)63; }

#endif
