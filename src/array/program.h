/* array/program.h: inside programs; for array/ alone.
 *
 * A program is a list of instructions in stages. Shared instructions of one stage do not depend on each other. A stage runs in steps, one
 * for each phase of its instructions; the team goes from step to step together, so it meets once for each dependency and not for each
 * instruction.
 *
 * Few rows (a token of each of some sequences) have a program of their own, `small`, in which members do not wait for what is
 * quickly done: norms, sums, activations and the rounding of activations are *private*, computed by every member for itself, in
 * the stage that uses them. What is needed in later stages as well is computed as a shared value, too.
 *
 *     arena:  | shared values, placed by the stages in which they live | scratch of the running stage | member 0 | member 1 | ...
 *     of each member:                                                                                  | values | scratch |
 */
#ifndef MICA_ARRAY_PROGRAM_H
#define MICA_ARRAY_PROGRAM_H

#include "array.h"
#include <pthread.h>

enum { MICA__SMALL_ROWS = 4 }; /* rows of the program for few rows */

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

/* Where an instruction finds its scratch memory, and who does what. */
typedef struct mica__placement {
    size_t scratch,
        member_scratch; /* offsets in the scratch area; `scratch` in the member's memory if its first phase is private */
    bool skip_first;    /* the first phase is another's */
    bool is_private;    /* the whole instruction */
    bool private_first; /* the first phase */
} mica__placement;

/* One phase of an instruction in a step. */
typedef struct mica__call {
    int instr;
    uint8_t phase;
    bool is_private;
    uint16_t shares; /* items that each member has of it when nobody is late */
} mica__call;

struct mica_program {
    mica_device *device;
    mica__instr *instrs;         /* [n], by stage */
    mica__placement *placements; /* [n] */
    int n;
    int *stages; /* [n_stages + 1]: index of each stage's first instruction */
    int n_stages;
    mica__call *calls;   /* [steps[n_steps]], private ones first in each step */
    int *steps;          /* [n_steps + 1]: index of each step's first call */
    uint32_t *own_items; /* [n_steps] */
    int n_steps;
    mica__instr *
        *copies; /* [team size]: each member's instructions, with its own memory as operands; NULL: all use `instrs` */
    mica_program *small; /* for up to MICA__SMALL_ROWS rows; NULL: none */
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
    size_t members_offset, member_bytes,
        member_scratch_offset; /* memory of the members: where, of each, and where scratch begins in it */
    pthread_mutex_t turn;      /* instructions are patched in place: one run at a time */
};

/* Places values (with output < 0) so that no two that live in a common stage overlap; returns the bytes needed. MEMORY. */
mica_status mica__plan(mica__value *values, int n, size_t *arena_bytes, mica_error *err);

/* Rounds up to the alignment of values and scratch. */
static inline size_t mica__align64(size_t n) { return (n + 63) & ~(size_t)63; }

#endif
