/* mica/array.h: lazy arrays, graphs and programs.
 *
 *     mica_graph *g = NULL;
 *     mica_error err;
 *     if (mica_graph_create(&g, NULL, &err)) ...
 *     mica_array *x = mica_from_data(g, data, MICA_DTYPE_F32, (int64_t[]){2, 3}, 2);
 *     mica_array *y = mica_softmax(g, mica_multiply(g, x, mica_scalar(g, 2.0f)), -1);
 *     if (mica_eval(g, &y, 1, &err)) fprintf(stderr, "%s\n", err.message);
 *     const float *v = mica_array_data(y);      // [2, 3], row-major
 *     mica_graph_free(g);
 *
 * Building is lazy: a builder function only notes the operation. mica_eval runs what is needed. Builder errors latch in the
 * graph: the first one is kept, later operations give NULL, which every builder accepts as input, and mica_eval or
 * mica_program_compile reports it.
 *
 * Ownership: arrays belong to the graph that built them and live as long as it, unless retained (mica_array_retain); a retained
 * array outlives its graph once it has been evaluated. Views (reshape, transpose, slice, broadcast) share their source's buffer.
 *
 * Threads: a graph and its arrays are used by one thread at a time. Evaluated arrays may be read by many. Programs may be run
 * from several threads; runs of programs on one device wait for each other.
 *
 * Shapes are written outermost first, row-major. Broadcasting follows NumPy. Negative axes count from the end. */
#ifndef MICA_ARRAY_H
#define MICA_ARRAY_H

#include "error.h"
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MICA_MAX_DIMS 8

/* name, value, bytes per element, text */
#define MICA_DTYPE_MAP(X)                                                                                              \
    X(F32, 0, 4, "float32")                                                                                            \
    X(F16, 1, 2, "float16")                                                                                            \
    X(BF16, 2, 2, "bfloat16")                                                                                          \
    X(I8, 3, 1, "int8")                                                                                                \
    X(I16, 4, 2, "int16")                                                                                              \
    X(I32, 5, 4, "int32")                                                                                              \
    X(I64, 6, 8, "int64")                                                                                              \
    X(U8, 7, 1, "uint8")                                                                                               \
    X(U16, 8, 2, "uint16")                                                                                             \
    X(U32, 9, 4, "uint32")                                                                                             \
    X(U64, 10, 8, "uint64")                                                                                            \
    X(BOOL, 11, 1, "bool")                                                                                             \
    X(F64, 12, 8, "float64")

typedef enum mica_dtype {
#define MICA_DTYPE_ENUM(name, value, size, text) MICA_DTYPE_##name = value,
    MICA_DTYPE_MAP(MICA_DTYPE_ENUM)
#undef MICA_DTYPE_ENUM
        MICA_DTYPE_COUNT
} mica_dtype;

MICA_API size_t mica_dtype_size(mica_dtype dtype);      /* bytes */
MICA_API const char *mica_dtype_name(mica_dtype dtype); /* "bfloat16" */

typedef struct mica_array mica_array;
typedef struct mica_graph mica_graph;
typedef struct mica_program mica_program;
typedef struct mica_device mica_device;

/* ---- devices ---------------------------------------------------------------------------------------------------------- */

typedef struct mica_device_options {
    const char *name; /* "cpu"; NULL: the best of this machine */
    int n_threads;    /* CPU: 0 = as many as useful here */
} mica_device_options;

/* A device is shared by everything made on it and must outlive it. The CPU device owns a thread team. */
MICA_API mica_status mica_device_create(mica_device **out, const mica_device_options *options,
                                        mica_error *err) MICA_NODISCARD;
MICA_API void mica_device_free(mica_device *device); /* NULL allowed */
MICA_API int mica_device_threads(const mica_device *device);
MICA_API const char *mica_device_name(const mica_device *device); /* "cpu" */
MICA_API const char *mica_device_isa(
    const mica_device *device); /* instruction set in use: "avx512-vnni", "avx2", "neon-dotprod", "neon", "plain" */

/* ---- graphs and arrays ------------------------------------------------------------------------------------------------- */

/* device NULL: a CPU device of the whole process, made on first use. */
MICA_API mica_status mica_graph_create(mica_graph **out, mica_device *device, mica_error *err) MICA_NODISCARD;
MICA_API void mica_graph_free(mica_graph *g); /* NULL allowed; drops the graph's references */
/* Status of the latched error, its detail in *err; MICA_OK if nothing failed. */
MICA_API mica_status mica_graph_status(const mica_graph *g, mica_error *err);
/* Forgets the latched error, so that building can go on. Arrays that were built before it are as they were. */
MICA_API void mica_graph_clear_error(mica_graph *g);

MICA_API mica_array *mica_array_retain(mica_array *a); /* returns a; NULL allowed */
MICA_API void mica_array_drop(mica_array *a);          /* NULL allowed */

MICA_API mica_dtype mica_array_dtype(const mica_array *a);
MICA_API int mica_array_ndim(const mica_array *a);
MICA_API const int64_t *mica_array_shape(const mica_array *a);   /* [ndim] */
MICA_API const int64_t *mica_array_strides(const mica_array *a); /* [ndim], in elements */
MICA_API int64_t mica_array_size(const mica_array *a);           /* elements */
MICA_API bool mica_array_is_quantized(const mica_array *a);
/* First element of an evaluated array; follow the strides. NULL if it is not evaluated. */
MICA_API const void *mica_array_data(const mica_array *a);

/* Computes the arrays (at most n); afterwards mica_array_data gives their values. */
MICA_API mica_status mica_eval(mica_graph *g, mica_array *const *arrays, size_t n, mica_error *err) MICA_NODISCARD;

/* ---- sources ----------------------------------------------------------------------------------------------------------- */

/* Copies row-major data of the given shape. */
MICA_API mica_array *mica_from_data(mica_graph *g, const void *data, mica_dtype dtype, const int64_t *shape, int ndim);
/* Borrows memory in place: no copy; any alignment. `release(context)` (may be NULL) is called when the last array that uses it
 * is gone. */
MICA_API mica_array *mica_from_memory(mica_graph *g, const void *data, mica_dtype dtype, const int64_t *shape, int ndim,
                                      void (*release)(void *context), void *context);
MICA_API mica_array *mica_scalar(mica_graph *g, float value); /* shape [] f32 */
MICA_API mica_array *mica_full(mica_graph *g, const int64_t *shape, int ndim, double value, mica_dtype dtype);
MICA_API mica_array *mica_arange(mica_graph *g, double start, double stop, double step, mica_dtype dtype); /* [n] */

/* How a quantized matrix stores its elements: MLX's modes. */
typedef enum mica_quant_mode {
    MICA_QUANT_AFFINE, /* scale * code + bias */
    MICA_QUANT_MXFP4,  /* 4-bit floats (e2m1), groups of 32 with a power of two */
    MICA_QUANT_MXFP8,  /* 8-bit floats (e4m3), groups of 32 with a power of two */
    MICA_QUANT_NVFP4,  /* 4-bit floats (e2m1), groups of 16 with an 8-bit float */
} mica_quant_mode;

/* A matrix in MLX's affine layout: w[n, k] = scales[n, k/G] * code(n, k) + biases[n, k/G].
 * codes: u32 [N, K * bits / 32], each row a little-endian bit stream; scales, biases: f32, f16 or bf16 [N, K / G].
 * biases NULL: the matrix is symmetric, its biases are -2^(bits - 1) * scales and take no memory.
 * bits 2, 3, 4, 5, 6, 8; group_size 32, 64 or 128. The result has shape [N, K] and the dtype of scales; it is taken by mica_linear,
 * mica_take (rows) and mica_dequantize, and by nothing else. */
MICA_API mica_array *mica_quantized(mica_graph *g, mica_array *codes, mica_array *scales, mica_array *biases,
                                    int group_size, int bits);
/* A matrix in one of the other modes, which fix bits and group size: codes as above, scales u8 [N, K / G]. Its dtype is bf16, which holds
 * every product of an element and a scale. */
MICA_API mica_array *mica_quantized_float(mica_graph *g, mica_quant_mode mode, mica_array *codes, mica_array *scales);

/* ---- elementwise ------------------------------------------------------------------------------------------------------- */
/* Floating results keep the wider floating dtype of their inputs (f16 with bf16 gives f32); integers with floats give the float dtype.
 * f16 and bf16 are computed in f32 and rounded once. */

/* op code, builder, what */
#define MICA_UNARY_MAP(X)                                                                                              \
    X(NEGATIVE, negative)                                                                                              \
    X(ABS, abs)                                                                                                        \
    X(SIGN, sign)                                                                                                      \
    X(SQUARE, square)                                                                                                  \
    X(SQRT, sqrt)                                                                                                      \
    X(RSQRT, rsqrt)                                                                                                    \
    X(RECIPROCAL, reciprocal)                                                                                          \
    X(EXP, exp)                                                                                                        \
    X(EXPM1, expm1)                                                                                                    \
    X(LOG, log)                                                                                                        \
    X(LOG1P, log1p)                                                                                                    \
    X(SIN, sin)                                                                                                        \
    X(COS, cos)                                                                                                        \
    X(TANH, tanh)                                                                                                      \
    X(ERF, erf)                                                                                                        \
    X(SIGMOID, sigmoid)                                                                                                \
    X(SILU, silu)           /* x * sigmoid(x) */                                                                       \
    X(GELU, gelu)           /* exact: x * Phi(x) */                                                                    \
    X(GELU_TANH, gelu_tanh) /* Transformers' gelu_pytorch_tanh, gelu_new */                                            \
    X(RELU, relu)                                                                                                      \
    X(SOFTPLUS, softplus)                                                                                              \
    X(FLOOR, floor)                                                                                                    \
    X(CEIL, ceil)                                                                                                      \
    X(ROUND, round) /* half to even */                                                                                 \
    X(LOGICAL_NOT, logical_not)

#define MICA_BINARY_MAP(X)                                                                                             \
    X(ADD, add)                                                                                                        \
    X(SUBTRACT, subtract)                                                                                              \
    X(MULTIPLY, multiply)                                                                                              \
    X(DIVIDE, divide) /* integers give f32 */                                                                          \
    X(REMAINDER, remainder)                                                                                            \
    X(POWER, power)                                                                                                    \
    X(MAXIMUM, maximum)                                                                                                \
    X(MINIMUM, minimum)                                                                                                \
    X(EQUAL, equal) /* comparisons and logic give bool */                                                              \
    X(NOT_EQUAL, not_equal)                                                                                            \
    X(LESS, less)                                                                                                      \
    X(LESS_EQUAL, less_equal)                                                                                          \
    X(GREATER, greater)                                                                                                \
    X(GREATER_EQUAL, greater_equal)                                                                                    \
    X(LOGICAL_AND, logical_and)                                                                                        \
    X(LOGICAL_OR, logical_or)

#define MICA_DECLARE_UNARY(code, name) MICA_API mica_array *mica_##name(mica_graph *g, mica_array *x);
MICA_UNARY_MAP(MICA_DECLARE_UNARY)
#undef MICA_DECLARE_UNARY
#define MICA_DECLARE_BINARY(code, name) MICA_API mica_array *mica_##name(mica_graph *g, mica_array *a, mica_array *b);
MICA_BINARY_MAP(MICA_DECLARE_BINARY)
#undef MICA_DECLARE_BINARY

MICA_API mica_array *mica_where(mica_graph *g, mica_array *condition, mica_array *a, mica_array *b);
MICA_API mica_array *mica_astype(mica_graph *g, mica_array *x, mica_dtype dtype);
MICA_API mica_array *mica_softcap(mica_graph *g, mica_array *x, float cap); /* cap * tanh(x / cap) */

typedef enum mica_activation {
    MICA_ACTIVATION_SILU,
    MICA_ACTIVATION_GELU,
    MICA_ACTIVATION_GELU_TANH,
    MICA_ACTIVATION_RELU,
} mica_activation;
/* activation(gate) * up, one pass; shapes equal. */
MICA_API mica_array *mica_gated(mica_graph *g, mica_array *gate, mica_array *up, mica_activation activation);

/* ---- reductions and orders ---------------------------------------------------------------------------------------------- */
/* Over one axis; keep_dims leaves it with length 1. Sums accumulate in f32 (floats) or i64 (integers) in a fixed order. */
#define MICA_REDUCE_MAP(X)                                                                                             \
    X(SUM, sum)                                                                                                        \
    X(MEAN, mean)                                                                                                      \
    X(MAX, max)                                                                                                        \
    X(MIN, min)                                                                                                        \
    X(PROD, prod)                                                                                                      \
    X(ALL, all)                                                                                                        \
    X(ANY, any)                                                                                                        \
    X(LOGSUMEXP, logsumexp)                                                                                            \
    X(ARGMAX, argmax) /* i32; the first of equals */                                                                   \
    X(ARGMIN, argmin)
#define MICA_DECLARE_REDUCE(code, name)                                                                                \
    MICA_API mica_array *mica_##name(mica_graph *g, mica_array *x, int axis, bool keep_dims);
MICA_REDUCE_MAP(MICA_DECLARE_REDUCE)
#undef MICA_DECLARE_REDUCE

MICA_API mica_array *mica_softmax(mica_graph *g, mica_array *x, int axis);
MICA_API mica_array *mica_cumsum(mica_graph *g, mica_array *x, int axis);
MICA_API mica_array *mica_argsort(mica_graph *g, mica_array *x, int axis); /* i32, ascending, stable */
MICA_API mica_array *mica_sort(mica_graph *g, mica_array *x, int axis);

/* ---- shape ---------------------------------------------------------------------------------------------------------------- */

MICA_API mica_array *mica_reshape(mica_graph *g, mica_array *x, const int64_t *shape, int ndim); /* one -1 allowed */
MICA_API mica_array *mica_transpose(mica_graph *g, mica_array *x, const int *axes); /* [ndim]; NULL: reversed */
MICA_API mica_array *mica_slice(mica_graph *g, mica_array *x, int axis, int64_t start, int64_t stop, int64_t step);
MICA_API mica_array *mica_broadcast_to(mica_graph *g, mica_array *x, const int64_t *shape, int ndim);
MICA_API mica_array *mica_concatenate(mica_graph *g, mica_array *const *xs, int n, int axis);
MICA_API mica_array *mica_contiguous(mica_graph *g, mica_array *x);
/* x[..., indices, ...] along axis; indices i32 or i64 of any shape, which replaces that axis. Out of range: clamped.
 * Rows of a quantized x are dequantized to f32. */
MICA_API mica_array *mica_take(mica_graph *g, mica_array *x, mica_array *indices, int axis);
MICA_API mica_array *mica_take_along_axis(mica_graph *g, mica_array *x, mica_array *indices, int axis);

/* ---- matrices -------------------------------------------------------------------------------------------------------------- */

/* [..., M, K] x [..., K, N] -> [..., M, N], f32 result unless both are f16 or both bf16. */
MICA_API mica_array *mica_matmul(mica_graph *g, mica_array *a, mica_array *b);
/* x [..., K], w [N, K] (any float dtype, or quantized), bias [N] or NULL -> f32 [..., N].
 * A row's result does not depend on how many rows there are or on the number of threads. */
MICA_API mica_array *mica_linear(mica_graph *g, mica_array *x, mica_array *w, mica_array *bias);
/* The same, but x is not rounded to 8 bits in any run. */
MICA_API mica_array *mica_linear_precise(mica_graph *g, mica_array *x, mica_array *w, mica_array *bias);
MICA_API mica_array *mica_dequantize(mica_graph *g, mica_array *w); /* -> [N, K] in the dtype of the scales */

/* ---- transformer blocks ------------------------------------------------------------------------------------------------------ */

/* x / sqrt(mean(x^2) + eps) * (weight + weight_offset) over the last axis. weight [H] or NULL. f32 result. */
MICA_API mica_array *mica_rms_norm(mica_graph *g, mica_array *x, mica_array *weight, float eps, float weight_offset);
/* (x - mean) / sqrt(var + eps) * weight + bias; weight, bias [H] or NULL. f32 result. */
MICA_API mica_array *mica_layer_norm(mica_graph *g, mica_array *x, mica_array *weight, mica_array *bias, float eps);

/* Rotary embedding of the first `2 * size(inverse_frequencies)` elements of each head.
 * x f32 [T, n_heads, head_dim]; positions i32 [T]; inverse_frequencies f32 [rotary_dim / 2].
 * cos and sin are multiplied by `scale`. interleaved: pairs are (2i, 2i+1), else (i, i + rotary_dim / 2). */
MICA_API mica_array *mica_rope(mica_graph *g, mica_array *x, mica_array *positions, mica_array *inverse_frequencies,
                               float scale, bool interleaved);

typedef struct mica_attention_options {
    float scale;        /* multiplies q.k; 0: 1/sqrt(head_dim) */
    float softcap;      /* c*tanh(s/c) on scaled scores; 0: none */
    int window;         /* query i sees keys j with 0 <= i - j < window; 0: all before it */
    bool bidirectional; /* no causal mask */
} mica_attention_options;
/* q [T, n_heads, head_dim], k, v [S, n_kv_heads, head_dim or value_dim], T <= S: the queries are the last T positions.
 * sinks: f32 [n_heads] (a logit that only joins the denominator) or NULL. -> f32 [T, n_heads, value_dim]. */
MICA_API mica_array *mica_attention(mica_graph *g, mica_array *q, mica_array *k, mica_array *v, mica_array *sinks,
                                    const mica_attention_options *options);

/* ---- programs ------------------------------------------------------------------------------------------------------------------ */
/* A program is a graph traced once and replayed: a fixed list of instructions over one planned arena. Running it does not allocate.
 *
 * What changes from run to run is bound by slot: inputs (mica_input), outputs, key-value caches (mica_cache_input), and the row
 * count. An input made with `rows` true has a first dimension that is only an upper bound: each run says how many rows there are.
 * Arrays computed row by row from it keep that property. */

MICA_API mica_array *mica_input(mica_graph *g, int slot, mica_dtype dtype, const int64_t *shape, int ndim, bool rows);

typedef struct mica_cache mica_cache; /* one layer's keys and values of one sequence */
typedef struct mica_cache_options {
    int n_kv_heads, head_dim, value_dim;
    int64_t capacity; /* positions kept; a sliding-window layer needs window + rows - 1, others the whole context */
    mica_dtype dtype; /* f32, f16 or bf16; of no meaning if quantized */
    /* 4 or 8: quantized as MLX's affine groups, each row of a head by itself: code * scale + bias, with scale and bias in f16 for every
     * `group_size` elements of the row after an orthogonal transform (32, 64 or 128; 0: 64; the last group of a row may be shorter). 0: not quantized. */
    int bits, group_size;
} mica_cache_options;
/* Memory is reserved at once and committed as positions are written. The capacity is rounded up to a multiple of 8 (see get_options). */
MICA_API mica_status mica_cache_create(mica_cache **out, const mica_cache_options *options,
                                       mica_error *err) MICA_NODISCARD;
MICA_API void mica_cache_free(mica_cache *cache);
MICA_API int64_t mica_cache_bytes(const mica_cache *cache); /* written so far, not reserved */
MICA_API const mica_cache_options *mica_cache_get_options(const mica_cache *cache);
/* Row p (0 <= p < capacity) of a head of keys (or of values): [head_dim] (or [value_dim]) floats, rounded or quantized as the cache does.
 * False if there is no such row. */
MICA_API bool mica_cache_get_row(const mica_cache *cache, bool values, int head, int64_t p, float *row);
MICA_API bool mica_cache_set_row(mica_cache *cache, bool values, int head, int64_t p, const float *row);
/* Copies positions [first, end) of a sequence, where `position % capacity` has them in each; those that do not fit any more are left
 * out. INVALID if the caches differ in anything but their capacity. */
MICA_API mica_status mica_cache_copy(mica_cache *to, mica_cache *from, int64_t first, int64_t end,
                                     mica_error *err) MICA_NODISCARD;

/* Attention of T rows at positions [n_past, n_past + T) of one sequence, over the bound cache: writes the rows' k and v at
 * `position % capacity` first, then attends. q f32 [T, n_heads, d], k, v f32 [T, n_kv_heads, d]. The number n_past is given at each run.
 * Heads and dimensions of the options must match the bound cache's; its type and capacity are looked at in each run. */
MICA_API mica_array *mica_cached_attention(mica_graph *g, int cache_slot, const mica_cache_options *cache,
                                           mica_array *q, mica_array *k, mica_array *v, mica_array *sinks,
                                           const mica_attention_options *options);

typedef struct mica_program_options {
    /* Products with quantized weights. Neither: activations rounded to 16-bit integers per group, an error near that of float. */
    bool exact; /* only float arithmetic */
    bool
        int8; /* in runs with int8, activations may be rounded to 8-bit integers: faster with many rows, seen in the results */
} mica_program_options;
/* Output i of the program is outputs[i], which must be contiguous-able; it is written in row-major order. */
MICA_API mica_status mica_program_compile(mica_program **out, mica_graph *g, mica_array *const *outputs, int n_outputs,
                                          const mica_program_options *options, mica_error *err) MICA_NODISCARD;
/* The program keeps the constants it needs (weights); the graph may be freed. */
MICA_API void mica_program_free(mica_program *program);
MICA_API size_t mica_program_arena_bytes(const mica_program *program);
MICA_API int mica_program_size(const mica_program *program); /* instructions */

/* Rows of one sequence in a run over several: its caches, and how many positions they hold already. */
typedef struct mica_sequence {
    mica_cache *const *caches; /* [cache slot] */
    int64_t rows, n_past;
} mica_sequence;

typedef struct mica_bindings {
    const void *const *inputs; /* [slot] row-major data in the input's dtype */
    void *const *outputs;      /* [i] memory for output i */
    mica_cache *const *caches; /* [cache slot] */
    int n_inputs, n_outputs, n_caches;
    int64_t rows;   /* actual rows of `rows` inputs */
    int64_t n_past; /* positions already in the caches */
    /* NULL: the rows are one sequence, over `caches` from n_past on. Else the first sequences[0].rows rows belong to the first
     * sequence, and so on: rows in all. Each row's results are those of a run over its own sequence alone, to the bit. */
    const mica_sequence *sequences; /* [n_sequences], each with n_caches caches */
    int n_sequences;
    bool int8; /* activations may be rounded to 8 bits where the program was compiled with int8 */
} mica_bindings;
MICA_API mica_status mica_program_run(mica_program *program, const mica_bindings *bindings,
                                      mica_error *err) MICA_NODISCARD;

#ifdef __cplusplus
}
#endif
#endif
