/* array/ops.h: the operations, and what an instruction of a program looks like to a backend.
 *
 * This is the one interface between array/ and backend/. A backend turns an op on given tensors into a kernel; the program calls
 * the kernel for each share, on whichever member of the thread team comes to it; the kernel does that share and returns. There may be more
 * shares than members. Kernels neither allocate nor wait (they may ask for scratch memory when they are chosen), and a result never
 * depends on the share: partition outputs, not sums. */
#ifndef MICA_ARRAY_OPS_H
#define MICA_ARRAY_OPS_H

#include <mica/array.h>

#define MICA__MAX_INPUTS 4 /* of one instruction */
#define MICA__MAX_PHASES 3

typedef enum mica__op {
    MICA__OP_NONE, /* a source: data, input, view */
#define MICA__OP_ENUM(code, name) MICA__OP_##code,
    MICA_UNARY_MAP(MICA__OP_ENUM)  /* in: x */
    MICA_BINARY_MAP(MICA__OP_ENUM) /* in: a, b, already broadcast to the output's shape by strides of 0 */
    MICA_REDUCE_MAP(MICA__OP_ENUM) /* in: x; attrs.axis is always the last one of in[0] (views put it there) */
#undef MICA__OP_ENUM
    MICA__OP_WHERE,       /* condition bool, a, b: broadcast */
    MICA__OP_ASTYPE,      /* x */
    MICA__OP_COPY,        /* x, strided -> contiguous, same dtype */
    MICA__OP_SOFTCAP,     /* x; value */
    MICA__OP_GATED,       /* gate, up; activation */
    MICA__OP_FULL,        /* -; value */
    MICA__OP_ARANGE,      /* -; value, value2 = start, step */
    MICA__OP_SOFTMAX,     /* x, over the last axis */
    MICA__OP_CUMSUM,      /* x, over the last axis */
    MICA__OP_ARGSORT,     /* x, over the last axis */
    MICA__OP_SORT,        /* x, over the last axis */
    MICA__OP_CONCATENATE, /* one part per instruction: in[0] is copied to the view out[0] of the whole */
    MICA__OP_TAKE,        /* x, indices; axis. x may be quantized (axis 0) */
    MICA__OP_TAKE_ALONG,  /* x, indices; over the last axis */
    MICA__OP_MATMUL,      /* a [..., M, K], b [..., K, N], any strides, batch dims broadcast by strides of 0 */
    MICA__OP_LINEAR,      /* x [M, K], w [N, K] or quantized, bias [N] or none (n_in == 2) -> f32 [M, N] */
    MICA__OP_DEQUANTIZE,  /* w */
    MICA__OP_RMS_NORM,    /* x [M, H], weight [H] or none; value = eps, value2 = weight offset */
    MICA__OP_LAYER_NORM,  /* x [M, H], then weight if axis & 1, then bias if axis & 2; value = eps */
    MICA__OP_ROPE,        /* x [T, h, d], positions i32 [T], inverse frequencies; value = scale, flag = interleaved */
    MICA__OP_ATTENTION,   /* q [T, h, d], k, v [S, hk, d], sinks or none; attention */
    MICA__OP_CACHED_ATTENTION, /* q [T, h, d], k, v [T, hk, d], sinks or none; attention, cache, cache_slot */
    MICA__OP_COUNT
} mica__op;

const char *mica__op_name(mica__op op); /* "rms_norm" */

/* Packed form of a quantized matrix inside a tensor: `data` holds the codes. */
typedef struct mica__affine {
    int bits, group_size;
    mica_dtype scale_dtype; /* f32, f16 or bf16; u8 unless the mode is affine */
    const void *scales;     /* [N, K / group_size], row-major, any alignment */
    const void *biases;     /* likewise; NULL: -2^(bits - 1) times the scales */
    mica_quant_mode mode;   /* MICA_QUANT_AFFINE is 0: kernels of affine groups are not given others */
} mica__affine;

/* A tensor as a kernel sees it. Strides count elements (of the unpacked matrix for quantized ones) and may be 0 or negative.
 * Data may have any alignment. When `rows` is set, shape[0] is the bound and the actual length is run->rows * rows_factor: use
 * mica__rows. (rows_factor is 1 for [rows, ...] and n for [rows, n, ...] flattened to [rows * n, ...].) */
typedef struct mica__tensor {
    void *data;
    mica_dtype dtype;
    int ndim;
    bool rows, quantized;
    int64_t rows_factor; /* if rows */
    int64_t shape[MICA_MAX_DIMS];
    int64_t strides[MICA_MAX_DIMS];
    mica__affine affine; /* if quantized */
} mica__tensor;

typedef struct mica__attrs {
    double value, value2;
    int axis;
    bool flag;
    mica_activation activation;
    mica_attention_options attention;
    int cache_slot;
    mica_cache_options cache;
} mica__attrs;

struct mica__run;
struct mica__instr;
/* Does share `id` of `n` of the instruction. */
typedef void (*mica__kernel)(const struct mica__instr *instr, const struct mica__run *run, int id, int n);

typedef struct mica__instr {
    mica__op op;
    int n_in;
    mica__tensor in[MICA__MAX_INPUTS];
    mica__tensor out; /* row-major and dense, except for MICA__OP_CONCATENATE */
    mica__attrs attrs;
    bool exact; /* only float arithmetic */
    bool int8;  /* in runs with int8, activations may be rounded to 8 bits, not only to 16 */
    /* Chosen by the backend: what every member of the team runs, phase after phase, with a barrier between two phases (none
     * after the last). A phase may leave an intermediate in scratch memory that all members need in the next one, such as
     * activations rounded to int8. */
    mica__kernel phase[MICA__MAX_PHASES];
    int n_phases;
    mica__kernel int8_phase[MICA__MAX_PHASES]; /* instead of phase[i] in runs with int8; NULL: the same */
    /* Scratch memory during this instruction: `scratch_bytes` that all members share, and `member_scratch_bytes` for each
     * member of its own. Both are multiples of 64. Set by the backend. */
    size_t scratch_bytes, member_scratch_bytes;
    /* Not 0: two instructions with the same phase[0], the same in[0] and the same key leave the same shared scratch after their
     * first phase; a program then runs only one of the two. Set by the backend. */
    uint64_t first_phase_key;
} mica__instr;

/* What changes from run to run. */
typedef struct mica__run {
    int64_t rows;
    bool int8;                      /* 8-bit activations in instructions that may have them */
    const mica_sequence *sequences; /* [n_sequences], one after another; together they have all rows */
    int n_sequences;
    uint8_t *scratch;        /* [instr->scratch_bytes], 64-byte aligned */
    uint8_t *member_scratch; /* [instr->member_scratch_bytes], of who runs the kernel; NULL: of all, follows scratch */
} mica__run;

/* Phase i in this run. */
static inline mica__kernel mica__phase(const mica__instr *instr, const mica__run *run, int i)
{
    return run->int8 && instr->int8_phase[i] ? instr->int8_phase[i] : instr->phase[i];
}

/* Scratch memory that is not shared, for share `id`: [member_scratch_bytes]. */
static inline uint8_t *mica__member_scratch(const mica__instr *instr, const mica__run *run, int id)
{
    if (run->member_scratch) return run->member_scratch;
    return run->scratch + instr->scratch_bytes + (size_t)id * instr->member_scratch_bytes;
}

/* Actual length of dimension 0. */
static inline int64_t mica__rows(const mica__tensor *t, const mica__run *run)
{
    return t->rows ? run->rows * t->rows_factor : (t->ndim ? t->shape[0] : 1);
}

/* Share `id` of `n` of the range [0, total), in multiples of `unit`. */
static inline void mica__share(int64_t total, int64_t unit, int id, int n, int64_t *begin, int64_t *end)
{
    int64_t units = (total + unit - 1) / unit;
    *begin = units * id / n * unit;
    *end = units * (id + 1) / n * unit;
    if (*begin > total) *begin = total;
    if (*end > total) *end = total;
}

/* The positions [*first, *end) that a query at `position` sees, of n_keys. */
static inline void mica__attention_span(const mica_attention_options *o, int64_t position, int64_t n_keys,
                                        int64_t *first, int64_t *end)
{
    const int64_t window = o->window;
    *first = window > 0 && position >= window ? position - window + 1 : 0;
    *end = o->bidirectional ? n_keys : position + 1;
    if (window > 0 && o->bidirectional && *end > position + window) *end = position + window;
}

/* A backend: chooses kernels. `prepare_instr` fills the phases and the scratch sizes; UNSUPPORTED if it has no kernel for it.
 * `force_plain` chooses the plain reference kernel (for the op table test). */
typedef struct mica__backend {
    const char *name;
    const char *(*isa)(void);
    mica_status (*prepare_instr)(mica__instr *instr, bool force_plain, mica_error *err);
} mica__backend;

extern const mica__backend mica__backend_cpu;

/* A cache, for kernels; cache_layout.h says how its rows lie. */
struct mica_cache {
    mica_cache_options options;    /* the capacity is a multiple of 8 */
    uint8_t *keys, *values;        /* [n_kv_heads, capacity / 8] blocks */
    size_t key_bytes, value_bytes; /* reserved */
    int64_t n_written;             /* highest number of positions ever present, at most capacity */
};

#endif
