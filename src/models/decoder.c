/* models/decoder.c: from a description and weights to a program. All families go through here. */
#include "decoder.h"

#include "nn/attention.h"
#include "nn/mlp.h"

typedef struct build {
    mica_graph *g;
    const mica__decoder_spec *s;
    const mica__weights *w;
    const mica__decoder_options *o;
    mica_array *positions;                    /* i32 [T] */
    mica_array *frequencies[MICA__MAX_ROPES]; /* f32 [pairs] */
    mica_array *query_scale;                  /* f32 [T, 1, 1], or NULL */
    mica_array **queries;                     /* [n_layers] of an open program; NULL: of another */
} build;

mica_cache_options mica__decoder_cache(const mica__decoder_spec *s, mica_dtype dtype)
{
    return (mica_cache_options){.n_kv_heads = s->n_kv_heads,
                                .head_dim = s->head_dim,
                                .value_dim = s->head_dim,
                                .capacity = s->context,
                                .dtype = dtype};
}

mica_attention_options mica__decoder_attention(const mica__decoder_spec *s, int layer)
{
    return (mica_attention_options){
        .scale = s->attention_scale, .softcap = s->attention_softcap, .window = (int)s->layers[layer].window};
}

static mica_status make_frequencies(build *b, mica_error *err)
{
    int slot = MICA__IN_FREQUENCIES;
    for (int i = 0; i < b->s->n_ropes; i++) {
        const mica__rope *r = &b->s->ropes[i];
        const int64_t pairs = r->dims / 2;
        if (mica__rope_is_dynamic(r)) {
            b->frequencies[i] = mica_input(b->g, slot++, MICA_DTYPE_F32, &pairs, 1, false);
            continue;
        }
        float *f = mica__alloc((size_t)pairs, sizeof *f);
        if (!f) return mica__fail_memory(err, (size_t)pairs * sizeof *f, "rope frequencies");
        mica__rope_frequencies(r, 0, f);
        b->frequencies[i] = mica_from_data(b->g, f, MICA_DTYPE_F32, &pairs, 1);
        mica__free(f);
    }
    return MICA_OK;
}

/* 1 + beta * ln(1 + floor(position / length)), for each row. */
static mica_array *make_query_scale(build *b)
{
    mica_graph *g = b->g;
    if (b->s->temperature == 0) return NULL;
    mica_array *p = mica_astype(g, b->positions, MICA_DTYPE_F32);
    p = mica_floor(g, mica_divide(g, p, mica_scalar(g, (float)b->s->temperature_length)));
    p = mica_multiply(g, mica_log1p(g, p), mica_scalar(g, (float)b->s->temperature));
    p = mica_add(g, p, mica_scalar(g, 1));
    return mica_reshape(g, p, (int64_t[]){-1, 1, 1}, 3);
}

static mica_array *weight(build *b, int layer, mica__layer_weight id)
{
    return mica__weight_array(b->g, &b->w->layers[layer][id]);
}

/* The norm if the layer has it, else x. */
static mica_array *norm(build *b, mica_array *x, int layer, mica__layer_weight id)
{
    if (!b->w->layers[layer][id].ndim) return x;
    return mica_rms_norm(b->g, x, weight(b, layer, id), b->s->norm_eps, b->s->norm_offset);
}

static mica_array *attention(build *b, mica_array *x, int layer)
{
    const mica__decoder_spec *s = b->s;
    const mica__layer_spec *l = &s->layers[layer];
    const mica__attention_weights w = {
        .q = weight(b, layer, MICA__LAYER_Q),
        .k = weight(b, layer, MICA__LAYER_K),
        .v = weight(b, layer, MICA__LAYER_V),
        .o = weight(b, layer, MICA__LAYER_O),
        .q_bias = weight(b, layer, MICA__LAYER_Q_BIAS),
        .k_bias = weight(b, layer, MICA__LAYER_K_BIAS),
        .v_bias = weight(b, layer, MICA__LAYER_V_BIAS),
        .o_bias = weight(b, layer, MICA__LAYER_O_BIAS),
        .q_norm = weight(b, layer, MICA__LAYER_Q_NORM),
        .k_norm = weight(b, layer, MICA__LAYER_K_NORM),
    };
    const mica__rope *rope = l->rope >= 0 ? &s->ropes[l->rope] : NULL;
    const mica__attention_block block = {
        .n_heads = s->n_heads,
        .n_kv_heads = s->n_kv_heads,
        .head_dim = s->head_dim,
        .norm_eps = s->norm_eps,
        .norm_offset = s->norm_offset,
        .positions = b->positions,
        .frequencies = rope ? b->frequencies[l->rope] : NULL,
        .rope_scale = rope ? mica__rope_scale(rope) : 1,
        .interleaved = rope && rope->interleaved,
        .query_scale = b->query_scale,
        .attention = mica__decoder_attention(s, layer),
        .cache_slot = layer,
        .cache = mica__decoder_cache(s, b->o->cache_dtype),
    };
    return mica__attention(b->g, x, &w, &block, b->queries ? &b->queries[layer] : NULL);
}

static mica_array *mlp(build *b, mica_array *x, int layer)
{
    const mica__mlp_weights w = {
        .gate = weight(b, layer, MICA__LAYER_GATE),
        .up = weight(b, layer, MICA__LAYER_UP),
        .down = weight(b, layer, MICA__LAYER_DOWN),
        .gate_bias = weight(b, layer, MICA__LAYER_GATE_BIAS),
        .up_bias = weight(b, layer, MICA__LAYER_UP_BIAS),
        .down_bias = weight(b, layer, MICA__LAYER_DOWN_BIAS),
    };
    return mica__mlp(b->g, x, &w, b->s->activation);
}

static mica_array *embed(build *b, mica_array *ids)
{
    mica_array *h = mica_take(b->g, mica__weight_array(b->g, &b->w->embedding), ids, 0);
    h = mica_astype(b->g, h, MICA_DTYPE_F32);
    if (b->s->embedding_scale != 1) h = mica_multiply(b->g, h, mica_scalar(b->g, b->s->embedding_scale));
    return h;
}

static mica_array *final_norm(build *b, mica_array *h)
{
    mica_graph *g = b->g;
    if (b->o->part == MICA__DECODER_LAST)
        h = mica_take(g, h, mica_input(g, MICA__IN_LAST, MICA_DTYPE_I32, (int64_t[]){1}, 1, false), 0);
    return mica_rms_norm(g, h, mica__weight_array(g, &b->w->final_norm), b->s->norm_eps, b->s->norm_offset);
}

static mica_array *logits(build *b, mica_array *h)
{
    mica_graph *g = b->g;
    mica_array *scores = mica_linear_precise(g, h, mica__weight_array(g, &b->w->head), NULL);
    return b->s->logits_softcap > 0 ? mica_softcap(g, scores, b->s->logits_softcap) : scores;
}

/* The input that rows come by: ids, or vectors. */
static mica_array *rows_input(build *b, bool vectors)
{
    const int64_t shape[] = {b->o->max_rows, b->s->hidden};
    return mica_input(b->g, MICA__IN_ROWS, vectors ? MICA_DTYPE_F32 : MICA_DTYPE_I32, shape, vectors ? 2 : 1, true);
}

/* From embeddings through all layers. left [n_layers - 1]: what each but the last leaves. */
static mica_array *layers(build *b, mica_array *h, mica_array **left)
{
    for (int i = 0; i < b->s->n_layers; i++) {
        mica_array *a = attention(b, norm(b, h, i, MICA__LAYER_NORM_BEFORE_ATTENTION), i);
        h = mica_add(b->g, h, norm(b, a, i, MICA__LAYER_NORM_AFTER_ATTENTION));
        mica_array *m = mlp(b, norm(b, h, i, MICA__LAYER_NORM_BEFORE_MLP), i);
        h = mica_add(b->g, h, norm(b, m, i, MICA__LAYER_NORM_AFTER_MLP));
        if (i + 1 < b->s->n_layers) left[i] = h;
    }
    return final_norm(b, h);
}

/* outputs: room for 2 * n_layers. */
static mica_status make(build *b, mica_array **outputs, mica_program **out, mica_error *err)
{
    const mica__decoder_part part = b->o->part;
    const int64_t rows = b->o->max_rows;
    const mica_program_options options = {.exact = b->o->exact, .int8 = b->o->int8};
    mica_array *in = rows_input(b, part >= MICA__DECODER_BODY);
    if (part == MICA__DECODER_HEAD) {
        outputs[0] = logits(b, in);
        return mica_program_compile(out, b->g, outputs, 1, &options, err);
    }
    b->positions = mica_input(b->g, MICA__IN_POSITIONS, MICA_DTYPE_I32, &rows, 1, true);
    MICA_TRY(make_frequencies(b, err));
    b->query_scale = make_query_scale(b);
    if (part == MICA__DECODER_OPEN) b->queries = outputs + b->s->n_layers;
    mica_array *h = layers(b, part >= MICA__DECODER_BODY ? in : embed(b, in), outputs + 1);
    outputs[0] = part >= MICA__DECODER_BODY ? h : logits(b, h);
    return mica_program_compile(out, b->g, outputs, part == MICA__DECODER_OPEN ? 2 * b->s->n_layers : 1, &options, err);
}

mica_status mica__decoder_compile(mica_program **out, const mica__decoder_spec *s, const mica__weights *w,
                                  const mica__decoder_options *options, mica_error *err)
{
    build b = {.s = s, .w = w, .o = options};
    const size_t n_outputs = 2 * (size_t)s->n_layers;
    mica_array **outputs = mica__calloc(n_outputs, sizeof *outputs);
    if (!outputs) return mica__fail_memory(err, n_outputs * sizeof *outputs, "a decoder's outputs");
    mica_status status = mica_graph_create(&b.g, options->device, err);
    if (!status) {
        status = make(&b, outputs, out, err);
        mica_graph_free(b.g);
    }
    mica__free(outputs);
    return status;
}

mica_status mica__decoder_embed(const mica__decoder_spec *s, const mica__weights *w, mica_device *device,
                                const int32_t *ids, size_t n, float *out, mica_error *err)
{
    build b = {.s = s, .w = w};
    MICA_TRY(mica_graph_create(&b.g, device, err));
    const int64_t rows = (int64_t)n;
    mica_array *h = embed(&b, mica_from_data(b.g, ids, MICA_DTYPE_I32, &rows, 1));
    mica_status status = mica_eval(b.g, &h, 1, err);
    if (!status) memcpy(out, mica_array_data(h), n * (size_t)s->hidden * sizeof *out);
    mica_graph_free(b.g);
    return status;
}
