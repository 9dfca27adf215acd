/* formats/gguf_names.c: the Hub names of GGUF tensors, and what conversion to GGUF did to them. */
#include "gguf_model.h"

#include <stdio.h>
#include <string.h>

/* A tensor's place: what its name in the file becomes, what kind of rows it has. */
typedef enum rows_kind { ROWS_PLAIN, ROWS_Q, ROWS_K, ROWS_QKV } rows_kind;

typedef struct name_row {
    const char *gguf, *hub;
    rows_kind rows;
} name_row;

/* Behind "blk.N." and "model.layers.N.". */
static const name_row layer_names[] = {
    {"attn_norm", "input_layernorm", ROWS_PLAIN},
    {"attn_q", "self_attn.q_proj", ROWS_Q},
    {"attn_k", "self_attn.k_proj", ROWS_K},
    {"attn_v", "self_attn.v_proj", ROWS_PLAIN},
    {"attn_qkv", NULL, ROWS_QKV},
    {"attn_output", "self_attn.o_proj", ROWS_PLAIN},
    {"attn_q_norm", "self_attn.q_norm", ROWS_PLAIN},
    {"attn_k_norm", "self_attn.k_norm", ROWS_PLAIN},
    {"ffn_gate", "mlp.gate_proj", ROWS_PLAIN},
    {"ffn_up", "mlp.up_proj", ROWS_PLAIN},
    {"ffn_down", "mlp.down_proj", ROWS_PLAIN},
};
static const name_row two_norms[] = {{"ffn_norm", "post_attention_layernorm", ROWS_PLAIN}};
static const name_row four_norms[] = {
    {"post_attention_norm", "post_attention_layernorm", ROWS_PLAIN},
    {"ffn_norm", "pre_feedforward_layernorm", ROWS_PLAIN},
    {"post_ffw_norm", "post_feedforward_layernorm", ROWS_PLAIN},
};
static const name_row outer_names[] = {
    {"token_embd.weight", "model.embed_tokens.weight", ROWS_PLAIN},
    {"output_norm.weight", "model.norm.weight", ROWS_PLAIN},
    {"output.weight", "lm_head.weight", ROWS_PLAIN},
};
/* Computed by the model from the configuration (rope_freqs: see gguf_config.c), or relics. */
static const char *const known_extra[] = {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"};

static const name_row *find(const name_row *rows, size_t n, mica__str name)
{
    for (size_t i = 0; i < n; i++)
        if (mica__str_is(name, rows[i].gguf)) return &rows[i];
    return NULL;
}
#define FIND(rows, name) find(rows, sizeof(rows) / sizeof *(rows), name)

static bool hub_name(mica__arena *names, mica__tensor_view *v, const char *fmt, ...) MICA_PRINTF(3, 4);
static bool hub_name(mica__arena *names, mica__tensor_view *v, const char *fmt, ...)
{
    char text[128];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    v->name = (mica__str){mica__arena_strndup(names, text, (size_t)n), (size_t)n};
    return v->name.p != NULL;
}

/* Norms and biases are one-dimensional on the Hub; some writers keep dimensions of 1. */
static void flatten(mica__tensor_view *v)
{
    int64_t n = 1;
    int n_long = 0;
    for (int i = 0; i < v->ndim; i++) {
        n *= v->shape[i];
        n_long += v->shape[i] > 1;
    }
    if (n_long > 1) return;
    v->shape[0] = n;
    v->ndim = 1;
}

/* n_heads heads of rows were reordered; they must be whole, of an even number of rows, and not cut a block. */
static mica_status set_permuted(mica__tensor_view *v, int64_t n_heads, mica_error *err)
{
    int64_t n_rows = v->shape[0];
    if (v->ndim > 2 || n_rows % (2 * n_heads) || (v->ndim == 1 && v->storage != MICA__STORAGE_PLAIN))
        return mica__fail(err, MICA_DATA, "tensor '%s' (%s): %lld rows do not make %lld heads",
                          MICA_QUOTED_STR(v->file_name), v->type_name, (long long)n_rows, (long long)n_heads);
    v->permuted_heads = (int)n_heads;
    return MICA_OK;
}

/* Rows [first, first + n) of a tensor whose rows are q, k and v. */
static mica_status add_slice(const mica__tensor_view *fused, int64_t first, int64_t n, int64_t n_heads,
                             mica__tensor_view *v, const mica__gguf_name_sink *sink, mica_error *err)
{
    size_t row_bytes = fused->n_bytes / (size_t)fused->shape[0];
    v->data = fused->data + (size_t)first * row_bytes;
    v->shape[0] = n;
    v->n_bytes = (size_t)n * row_bytes;
    if (n_heads) MICA_TRY(set_permuted(v, n_heads, err));
    return sink->add(sink->context, v, err);
}

static mica_status add_fused(const mica__tensor_view *fused, const mica__gguf_arch *a, const mica__gguf_dims *d,
                             long layer, const char *suffix, mica__arena *names, const mica__gguf_name_sink *sink,
                             mica_error *err)
{
    int64_t n_q = d->n_heads * d->head_dim, n_kv = d->n_kv_heads * d->head_dim;
    if (fused->ndim > 2 || fused->shape[0] != n_q + 2 * n_kv ||
        (fused->ndim == 1 && fused->storage != MICA__STORAGE_PLAIN))
        return mica__fail(err, MICA_DATA, "tensor '%s' (%s): expected %lld rows of q, k and v, found %lld",
                          MICA_QUOTED_STR(fused->file_name), fused->type_name, (long long)(n_q + 2 * n_kv),
                          (long long)fused->shape[0]);
    const struct {
        char letter;
        int64_t first, n, n_heads;
    } parts[] = {
        {'q', 0, n_q, a->permuted ? d->n_heads : 0},
        {'k', n_q, n_kv, a->permuted ? d->n_kv_heads : 0},
        {'v', n_q + n_kv, n_kv, 0},
    };
    for (int i = 0; i < 3; i++) {
        mica__tensor_view v = *fused;
        if (!hub_name(names, &v, "model.layers.%ld.self_attn.%c_proj.%s", layer, parts[i].letter, suffix))
            return mica__fail_memory(err, 64, "a tensor name");
        MICA_TRY(add_slice(fused, parts[i].first, parts[i].n, parts[i].n_heads, &v, sink, err));
    }
    return MICA_OK;
}

/* "blk.12.attn_q.weight" -> 12, "attn_q", "weight". False if it is not of that form. */
static bool split_layer_name(mica__str name, long *layer, mica__str *base, const char **suffix)
{
    if (!mica__str_starts(name, "blk.")) return false;
    size_t i = 4;
    *layer = 0;
    for (; i < name.n && i < 9 && name.p[i] >= '0' && name.p[i] <= '9'; i++) *layer = 10 * *layer + (name.p[i] - '0');
    if (i == 4 || i >= name.n || name.p[i] != '.') return false;
    mica__str rest = {name.p + i + 1, name.n - i - 1};
    *suffix = mica__str_ends(rest, ".weight") ? "weight" : mica__str_ends(rest, ".bias") ? "bias" : NULL;
    if (!*suffix) return false;
    *base = (mica__str){rest.p, rest.n - strlen(*suffix) - 1};
    return true;
}

static bool is_known_extra(mica__str name)
{
    for (size_t i = 0; i < sizeof known_extra / sizeof *known_extra; i++)
        if (mica__str_is(name, known_extra[i])) return true;
    return mica__str_ends(name, ".attn_rot_embd.weight");
}

mica_status mica__gguf_name_tensor(const mica__tensor_view *in, const mica__gguf_arch *a, const mica__gguf_dims *d,
                                   mica__arena *names, const mica__gguf_name_sink *sink, mica_error *err)
{
    mica__tensor_view v = *in;
    mica__str base = {0};
    long layer = 0;
    const char *suffix = NULL;
    const name_row *row = FIND(outer_names, in->name);
    bool in_layer = !row && split_layer_name(in->name, &layer, &base, &suffix);
    if (in_layer) {
        row = FIND(layer_names, base);
        if (!row) row = a->four_norms ? FIND(four_norms, base) : FIND(two_norms, base);
    }
    if (!row || layer >= d->n_layers) {
        if (!is_known_extra(in->name)) sink->extra(sink->context, in);
        return MICA_OK;
    }
    bool is_norm = mica__str_ends(in->name, "norm.weight");
    if (is_norm || (suffix && strcmp(suffix, "bias") == 0)) flatten(&v);
    if (is_norm && a->plus_one) v.add = -1;
    if (row->rows == ROWS_QKV) return add_fused(&v, a, d, layer, suffix, names, sink, err);
    if (a->permuted && row->rows == ROWS_Q) MICA_TRY(set_permuted(&v, d->n_heads, err));
    if (a->permuted && row->rows == ROWS_K) MICA_TRY(set_permuted(&v, d->n_kv_heads, err));
    bool ok = in_layer ? hub_name(names, &v, "model.layers.%ld.%s.%s", layer, row->hub, suffix)
                       : hub_name(names, &v, "%s", row->hub);
    if (!ok) return mica__fail_memory(err, 64, "a tensor name");
    return sink->add(sink->context, &v, err);
}
