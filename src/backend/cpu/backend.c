/* backend/cpu/backend.c: the selection table of the CPU backend.
 *
 * Each op has one family function, which chooses a kernel for the processor and the tensors at hand. */
#include "base/error.h"
#include "kernels.h"

#include <string.h>

static const mica__chooser choosers[MICA__OP_COUNT] = {
#define UNARY(code, name) [MICA__OP_##code] = mica__cpu_unary,
#define BINARY(code, name) [MICA__OP_##code] = mica__cpu_binary,
#define REDUCE(code, name) [MICA__OP_##code] = mica__cpu_reduce,
    MICA_UNARY_MAP(UNARY) MICA_BINARY_MAP(BINARY) MICA_REDUCE_MAP(REDUCE)[MICA__OP_WHERE] = mica__cpu_where,
    [MICA__OP_ASTYPE] = mica__cpu_copy,
    [MICA__OP_COPY] = mica__cpu_copy,
    [MICA__OP_SOFTCAP] = mica__cpu_softcap,
    [MICA__OP_GATED] = mica__cpu_gated,
    [MICA__OP_FULL] = mica__cpu_fill,
    [MICA__OP_ARANGE] = mica__cpu_fill,
    [MICA__OP_SOFTMAX] = mica__cpu_softmax,
    [MICA__OP_CUMSUM] = mica__cpu_cumsum,
    [MICA__OP_ARGSORT] = mica__cpu_sort,
    [MICA__OP_SORT] = mica__cpu_sort,
    [MICA__OP_CONCATENATE] = mica__cpu_copy,
    [MICA__OP_TAKE] = mica__cpu_take,
    [MICA__OP_TAKE_ALONG] = mica__cpu_take_along,
    [MICA__OP_MATMUL] = mica__cpu_matmul,
    [MICA__OP_LINEAR] = mica__cpu_linear,
    [MICA__OP_DEQUANTIZE] = mica__cpu_dequantize,
    [MICA__OP_RMS_NORM] = mica__cpu_norm,
    [MICA__OP_LAYER_NORM] = mica__cpu_norm,
    [MICA__OP_ROPE] = mica__cpu_rope,
    [MICA__OP_ATTENTION] = mica__cpu_attention,
    [MICA__OP_CACHED_ATTENTION] = mica__cpu_attention,
};

/* What the kernels use, which may be less than what the processor has. */
static const char *isa(void)
{
    if (mica__has_amx()) return "avx512-amx";
    if (mica__has_avx512_vnni()) return "avx512-vnni";
    if (mica__has_avx2()) return "avx2";
    if (!mica__cpu_features()->neon) return "plain";
    return mica__cpu_features()->dotprod ? "neon-dotprod" : "neon";
}

static mica_status prepare_instr(mica__instr *instr, bool force_plain, mica_error *err)
{
    memset(instr->phase, 0, sizeof instr->phase);
    memset(instr->int8_phase, 0, sizeof instr->int8_phase);
    instr->n_phases = 0;
    instr->scratch_bytes = instr->member_scratch_bytes = 0;
    mica__chooser choose = instr->op < MICA__OP_COUNT ? choosers[instr->op] : NULL;
    if (choose && choose(instr, force_plain)) return MICA_OK;
    return mica__fail(err, MICA_UNSUPPORTED, "cpu: no kernel for %s of %s", mica__op_name(instr->op),
                      mica_dtype_name(instr->in[0].dtype));
}

const mica__backend mica__backend_cpu = {"cpu", isa, prepare_instr};
