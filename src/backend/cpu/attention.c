/* backend/cpu/attention.c: scaled dot-product attention, over arrays or over a key-value cache.
 *
 * Scores never exist for the whole context (the softmax is computed online: Milakov and Gimelshein, arXiv 1805.02867; blocked
 * as in FlashAttention, arXiv 2205.14135). To make a row's result independent of the rows beside it and of the threads, the order of
 * every sum follows from the row's position alone:
 *
 *     block   MICA__BLOCK positions that start at a multiple of it; has a maximum, a sum and a weighted sum of values
 *     part    2^s blocks, merged in order; s is the least that gives at most PARTS_MAX parts for the row's position
 *     total   the parts merged in order, after the sink if there is one
 *
 * A run may hold rows of several sequences, each with a cache of its own; it is done sequence by sequence. With many rows, a member takes tiles of rows (queries and heads that share a key head) through all their blocks. A
 * single row would leave members idle, so there the parts are the shares: phase 1 leaves them in scratch memory and phase 2
 * merges them. Both ways compute the same. Phase 0 of the cached form writes the new rows into the cache. */
#include "attention.h"
#include "dot.h"
#include "kernels.h"

#include <math.h>

enum { PARTS_MAX = 64, DIM_MAX = 1024 };

/* ---- plain inner loops ------------------------------------------------------------------------------------------------- */

static void load_kv(float *row, const mica__kv *kv, int64_t i)
{
    const uint8_t *at = kv->base + i * kv->row_bytes;
    int64_t size = (int64_t)mica_dtype_size(kv->dtype);
    for (int64_t e = 0; e < kv->dim; e += MICA__CHUNK) {
        mica__chunk c;
        int64_t count = mica__min(kv->dim - e, MICA__CHUNK);
        mica__load(MICA__CLASS_F32, &c, at + e * kv->step_bytes, kv->dtype, kv->step_bytes / size, count);
        memcpy(row + e, c.f32, (size_t)count * sizeof(float));
    }
}

static void scores_plain(float *scores, const float *q, int64_t rows, const mica__kv *keys, int64_t first, int64_t n,
                         float *buffer)
{
    for (int64_t j = 0; j < n; j++) {
        load_kv(buffer, keys, first + j);
        for (int64_t r = 0; r < rows; r++)
            scores[r * MICA__BLOCK + j] = mica__dot(q + r * keys->dim, buffer, keys->dim);
    }
}

static float weights_plain(float *s, int64_t n, float scale, float softcap, float *max)
{
    float top = -INFINITY, lane[MICA__LANES] = {0};
    for (int64_t j = 0; j < n; j++) {
        s[j] *= scale;
        if (softcap > 0) s[j] = softcap * tanhf(s[j] / softcap);
        if (s[j] > top) top = s[j];
    }
    for (int64_t j = 0; j < n; j++) {
        s[j] = expf(s[j] - top);
        lane[j % MICA__LANES] += s[j];
    }
    *max = top;
    return mica__sum_lanes(lane);
}

static void accumulate_plain(float *o, const float *weights, int64_t rows, const mica__kv *values, int64_t first,
                             int64_t n, float *buffer)
{
    for (int64_t j = 0; j < n; j++) {
        load_kv(buffer, values, first + j);
        for (int64_t r = 0; r < rows; r++) {
            float p = weights[r * MICA__BLOCK + j], *out = o + r * values->dim;
            for (int64_t e = 0; e < values->dim; e++) out[e] += p * buffer[e];
        }
    }
}

static const mica__attention_kit plain_kit = {scores_plain, weights_plain, accumulate_plain};

/* ---- one instruction ---------------------------------------------------------------------------------------------------- */

typedef struct job {
    const mica__instr *instr;
    const mica__attention_kit *kit;
    const mica__tensor *q, *out, *sinks;
    mica_attention_options options;
    int64_t first_row; /* of the sequence, in q and out */
    int64_t t_rows, n_past, heads, kv_heads, group, head_dim, value_dim;
    int64_t n_keys, capacity; /* positions there are; ring size */
    mica__kv keys, values;    /* of key head 0 */
    int64_t key_head_bytes, value_head_bytes;
} job;

static mica__kv kv_of(const mica__tensor *t)
{
    int64_t size = (int64_t)mica_dtype_size(t->dtype);
    return (mica__kv){t->data, t->dtype, t->strides[0] * size, t->strides[2] * size, t->shape[2]};
}

/* Rows of one sequence (NULL: no cache). A program whose rows are fixed does not say how many there are. */
static int64_t rows_of(const mica__tensor *t, const mica__run *run, const mica_sequence *s)
{
    return s && run->n_sequences > 1 ? s->rows : mica__rows(t, run);
}

/* A job is about one sequence; s NULL (and first_row 0) if there is no cache. */
static job job_of(const mica__instr *instr, const mica__run *run, const mica_sequence *s, int64_t first_row,
                  const mica__attention_kit *kit)
{
    const mica__tensor *q = &instr->in[0], *k = &instr->in[1], *v = &instr->in[2];
    job j = {.instr = instr, .kit = kit, .q = q, .out = &instr->out, .options = instr->attrs.attention};
    j.sinks = instr->n_in > 3 ? &instr->in[3] : NULL;
    if (j.options.scale == 0) j.options.scale = 1.0f / sqrtf((float)q->shape[2]);
    j.first_row = first_row;
    j.t_rows = rows_of(q, run, s);
    j.heads = q->shape[1];
    j.kv_heads = k->shape[1];
    j.group = j.heads / j.kv_heads;
    j.head_dim = q->shape[2];
    j.value_dim = v->shape[2];
    if (instr->op == MICA__OP_ATTENTION) {
        j.n_keys = j.capacity = mica__rows(k, run);
        j.n_past = j.n_keys - j.t_rows;
        j.keys = kv_of(k);
        j.values = kv_of(v);
        j.key_head_bytes = k->strides[1] * (int64_t)mica_dtype_size(k->dtype);
        j.value_head_bytes = v->strides[1] * (int64_t)mica_dtype_size(v->dtype);
        return j;
    }
    const mica_cache *cache = s->caches[instr->attrs.cache_slot];
    int64_t size = (int64_t)mica_dtype_size(cache->options.dtype);
    j.n_past = s->n_past;
    j.n_keys = j.n_past + j.t_rows;
    j.capacity = cache->options.capacity;
    j.keys = (mica__kv){cache->keys, cache->options.dtype, j.head_dim * size, size, j.head_dim};
    j.values = (mica__kv){cache->values, cache->options.dtype, j.value_dim * size, size, j.value_dim};
    j.key_head_bytes = j.capacity * j.keys.row_bytes;
    j.value_head_bytes = j.capacity * j.values.row_bytes;
    return j;
}

/* The positions that a query sees, and its parts. */
typedef struct span {
    int64_t first, end;
    int shift; /* a part is 2^shift blocks */
} span;

static span span_of(const job *j, int64_t t)
{
    int64_t position = j->n_past + t, window = j->options.window;
    span s = {0, j->options.bidirectional ? j->n_keys : position + 1, 0};
    if (window > 0) s.first = mica__max(0, position - window + 1);
    if (window > 0 && j->options.bidirectional) s.end = mica__min(s.end, position + window);
    while (((s.end - 1) / MICA__BLOCK >> s.shift) - (s.first / MICA__BLOCK >> s.shift) >= PARTS_MAX) s.shift++;
    return s;
}

static int64_t part_of(const span *s, int64_t position) { return position / MICA__BLOCK >> s->shift; }
static int64_t parts_in(const span *s) { return part_of(s, s->end - 1) - part_of(s, s->first) + 1; }

/* ---- softmax states ------------------------------------------------------------------------------------------------------ */

/* Sum of exp(score - max) and the sum of values weighted by it. */
typedef struct softmax {
    float max, sum;
    float *values; /* [value_dim] */
} softmax;

static void clear(softmax *s, int64_t dim)
{
    s->max = -INFINITY;
    s->sum = 0;
    memset(s->values, 0, (size_t)dim * sizeof(float));
}

static void merge(softmax *into, const softmax *from, int64_t dim)
{
    float max = into->max > from->max ? into->max : from->max;
    float a = into->max == max ? 1 : expf(into->max - max), b = from->max == max ? 1 : expf(from->max - max);
    into->max = max;
    into->sum = into->sum * a + from->sum * b;
    for (int64_t e = 0; e < dim; e++) into->values[e] = into->values[e] * a + from->values[e] * b;
}

static float sink_of(const job *j, int64_t head)
{
    float sink;
    const uint8_t *at = (const uint8_t *)j->sinks->data + head * j->sinks->strides[0] * (int64_t)sizeof sink;
    memcpy(&sink, at, sizeof sink);
    return sink;
}

static void begin_total(const job *j, softmax *total, int64_t head)
{
    clear(total, j->value_dim);
    if (!j->sinks) return;
    total->max = sink_of(j, head);
    total->sum = 1;
}

static void write_out(const job *j, const softmax *total, int64_t t, int64_t head)
{
    float *out = (float *)j->out->data + ((j->first_row + t) * j->heads + head) * j->value_dim;
    for (int64_t e = 0; e < j->value_dim; e++) out[e] = total->values[e] / total->sum;
}

/* ---- a tile of rows through a block ---------------------------------------------------------------------------------------- */

/* A member's working memory. */
typedef struct tile {
    int64_t rows, kv_head,
        first_row; /* row r is query (first_row + r) / group, head kv_head * group + (first_row + r) % group */
    float *q, *scores, *sums,
        *buffer; /* [TILE, head_dim], [TILE, BLOCK], [TILE, value_dim], [ROW_BUFFER, max of dims] */
    softmax part[MICA__TILE], total[MICA__TILE];
} tile;

static size_t tile_bytes(int64_t head_dim, int64_t value_dim)
{
    int64_t longest = mica__max(head_dim, value_dim);
    return mica__round64((size_t)(MICA__TILE * (head_dim + MICA__BLOCK + 3 * value_dim) + MICA__ROW_BUFFER * longest) *
                         sizeof(float));
}

static tile tile_of(const job *j, float *memory)
{
    tile t = {.q = memory};
    t.scores = t.q + MICA__TILE * j->head_dim;
    t.sums = t.scores + MICA__TILE * MICA__BLOCK;
    t.buffer = t.sums + MICA__TILE * j->value_dim;
    float *states = t.buffer + MICA__ROW_BUFFER * mica__max(j->head_dim, j->value_dim);
    for (int64_t r = 0; r < MICA__TILE; r++) {
        t.part[r].values = states + 2 * r * j->value_dim;
        t.total[r].values = states + (2 * r + 1) * j->value_dim;
    }
    return t;
}

static int64_t query_of(const job *j, const tile *t, int64_t r) { return (t->first_row + r) / j->group; }
static int64_t head_of(const job *j, const tile *t, int64_t r)
{
    return t->kv_head * j->group + (t->first_row + r) % j->group;
}

static void load_queries(const job *j, tile *t)
{
    mica__kv q = kv_of(j->q);
    for (int64_t r = 0; r < t->rows; r++) {
        q.base =
            (const uint8_t *)j->q->data + head_of(j, t, r) * j->q->strides[1] * (int64_t)mica_dtype_size(j->q->dtype);
        load_kv(t->q + r * j->head_dim, &q, j->first_row + query_of(j, t, r));
    }
}

/* Calls for positions [first, end) of a ring, which may be two runs; `done` positions come before. */
typedef struct runs {
    int64_t first[2], n[2];
} runs;

static runs runs_of(const job *j, int64_t first, int64_t end)
{
    int64_t slot = first % j->capacity, n = mica__min(end - first, j->capacity - slot);
    return (runs){{slot, 0}, {n, end - first - n}};
}

/* Adds block `block`, restricted to what each row sees, to the rows' parts. spans [rows]. */
static void add_block(const job *j, tile *t, int64_t block, const span *spans)
{
    int64_t low = INT64_MAX, high = 0, block_first = block * MICA__BLOCK, block_end = block_first + MICA__BLOCK;
    for (int64_t r = 0; r < t->rows; r++) {
        low = mica__min(low, mica__max(spans[r].first, block_first));
        high = mica__max(high, mica__min(spans[r].end, block_end));
    }
    if (low >= high) return;
    mica__kv keys = j->keys, values = j->values;
    keys.base += t->kv_head * j->key_head_bytes;
    values.base += t->kv_head * j->value_head_bytes;
    runs ring = runs_of(j, low, high);
    float max[MICA__TILE], sum[MICA__TILE];
    for (int i = 0, done = 0; i < 2 && ring.n[i]; done += (int)ring.n[i++])
        j->kit->scores(t->scores + done, t->q, t->rows, &keys, ring.first[i], ring.n[i], t->buffer);
    for (int64_t r = 0; r < t->rows; r++) {
        /* Positions the row does not see get weight 0. */
        float *s = t->scores + r * MICA__BLOCK;
        int64_t first = mica__max(spans[r].first, low), end = mica__min(spans[r].end, high);
        if (first >= end) first = end = low;
        memset(s, 0, (size_t)(first - low) * sizeof *s);
        memset(s + (end - low), 0, (size_t)(high - end) * sizeof *s);
        max[r] = -INFINITY;
        sum[r] = 0;
        if (first < end)
            sum[r] = j->kit->weights(s + (first - low), end - first, j->options.scale, j->options.softcap, &max[r]);
    }
    memset(t->sums, 0, (size_t)(t->rows * j->value_dim) * sizeof(float));
    for (int i = 0, done = 0; i < 2 && ring.n[i]; done += (int)ring.n[i++])
        j->kit->accumulate(t->sums, t->scores + done, t->rows, &values, ring.first[i], ring.n[i], t->buffer);
    for (int64_t r = 0; r < t->rows; r++) {
        if (max[r] == -INFINITY && sum[r] == 0) continue;
        const softmax s = {max[r], sum[r], t->sums + r * j->value_dim};
        merge(&t->part[r], &s, j->value_dim);
    }
}

/* All blocks of a tile, start to end. */
static void do_tile(const job *j, tile *t)
{
    span spans[MICA__TILE];
    int64_t first = INT64_MAX, end = 0;
    load_queries(j, t);
    for (int64_t r = 0; r < t->rows; r++) {
        spans[r] = span_of(j, query_of(j, t, r));
        first = mica__min(first, spans[r].first);
        end = mica__max(end, spans[r].end);
        begin_total(j, &t->total[r], head_of(j, t, r));
        clear(&t->part[r], j->value_dim);
    }
    for (int64_t block = first / MICA__BLOCK; block * MICA__BLOCK < end; block++) {
        add_block(j, t, block, spans);
        for (int64_t r = 0; r < t->rows; r++) {
            int64_t next = (block + 1) * MICA__BLOCK, last = spans[r].end;
            bool seen = next > spans[r].first && block * MICA__BLOCK < last;
            bool closes = next >= last || part_of(&spans[r], next) != part_of(&spans[r], block * MICA__BLOCK);
            if (!seen || !closes) continue;
            merge(&t->total[r], &t->part[r], j->value_dim);
            clear(&t->part[r], j->value_dim);
        }
    }
    for (int64_t r = 0; r < t->rows; r++) write_out(j, &t->total[r], query_of(j, t, r), head_of(j, t, r));
}

/* Member `id` does the first item and every n-th after it; returns the items there are. */
static int64_t do_tiles(const job *j, float *memory, int id, int n)
{
    int64_t rows = j->t_rows * j->group, tiles = (rows + MICA__TILE - 1) / MICA__TILE;
    tile t = tile_of(j, memory);
    /* Later tiles see more keys: they are dealt out in turn. */
    for (int64_t item = id; item < tiles * j->kv_heads; item += n) {
        t.kv_head = item % j->kv_heads;
        t.first_row = item / j->kv_heads * MICA__TILE;
        t.rows = mica__min(rows - t.first_row, MICA__TILE);
        do_tile(j, &t);
    }
    return tiles * j->kv_heads;
}

/* ---- a single query: parts are the shares ----------------------------------------------------------------------------------- */

/* Scratch of part p of a head: max, sum, values [value_dim]. */
static float *part_memory(const job *j, uint8_t *scratch, int64_t head, int64_t p)
{
    return (float *)(void *)scratch + (head * PARTS_MAX + p) * (j->value_dim + 2);
}

static void do_parts(const job *j, uint8_t *scratch, float *memory, int id, int n)
{
    const span s = span_of(j, 0);
    int64_t parts = parts_in(&s), tiles = (j->group + MICA__TILE - 1) / MICA__TILE, begin, end;
    tile t = tile_of(j, memory);
    mica__share(j->kv_heads * tiles * parts, 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        int64_t p = item % parts, first_block = (part_of(&s, s.first) + p) << s.shift;
        t.kv_head = item / parts / tiles;
        t.first_row = item / parts % tiles * MICA__TILE;
        t.rows = mica__min(j->group - t.first_row, MICA__TILE);
        load_queries(j, &t);
        span spans[MICA__TILE];
        for (int64_t r = 0; r < t.rows; r++) {
            spans[r] = s;
            clear(&t.part[r], j->value_dim);
        }
        for (int64_t b = first_block; b < first_block + ((int64_t)1 << s.shift); b++) add_block(j, &t, b, spans);
        for (int64_t r = 0; r < t.rows; r++) {
            float *to = part_memory(j, scratch, head_of(j, &t, r), p);
            to[0] = t.part[r].max;
            to[1] = t.part[r].sum;
            memcpy(to + 2, t.part[r].values, (size_t)j->value_dim * sizeof(float));
        }
    }
}

static void merge_parts(const job *j, uint8_t *scratch, float *memory, int id, int n)
{
    const span s = span_of(j, 0);
    int64_t begin, end;
    softmax total = {.values = memory};
    mica__share(j->heads, 1, id, n, &begin, &end);
    for (int64_t head = begin; head < end; head++) {
        begin_total(j, &total, head);
        for (int64_t p = 0; p < parts_in(&s); p++) {
            float *from = part_memory(j, scratch, head, p);
            const softmax part = {from[0], from[1], from + 2};
            merge(&total, &part, j->value_dim);
        }
        write_out(j, &total, 0, head);
    }
}

/* ---- phases ------------------------------------------------------------------------------------------------------------------ */

static void write_rows(const mica__tensor *t, uint8_t *cache, const mica_cache_options *o, int64_t dim,
                       int64_t first_row, int64_t rows, int64_t n_past, bool fast, int id, int n)
{
    int64_t size = (int64_t)mica_dtype_size(o->dtype), begin, end;
    mica__share(rows * o->n_kv_heads, 1, id, n, &begin, &end);
    for (int64_t item = begin; item < end; item++) {
        int64_t head = item % o->n_kv_heads, row = item / o->n_kv_heads, slot = (n_past + row) % o->capacity;
        const uint8_t *from = (const uint8_t *)t->data;
        from += ((first_row + row) * t->strides[0] + head * t->strides[1]) * (int64_t)mica_dtype_size(t->dtype);
        uint8_t *to = cache + (head * o->capacity + slot) * dim * size;
        for (int64_t e = 0; e < dim; e += MICA__CHUNK) {
            mica__chunk c;
            int64_t count = mica__min(dim - e, MICA__CHUNK);
            mica__load(MICA__CLASS_F32, &c, from + e * t->strides[2] * (int64_t)mica_dtype_size(t->dtype), t->dtype,
                       t->strides[2], count);
#if MICA__X86
            if (fast) {
                mica__store_f32_avx2(c.f32, to + e * size, o->dtype, count);
                continue;
            }
#endif
            (void)fast;
            mica__store(MICA__CLASS_F32, &c, to + e * size, o->dtype, 1, count);
        }
    }
}

static void write_cache(const mica__instr *instr, const mica__run *run, bool fast, int id, int n)
{
    int64_t first_row = 0;
    for (int i = 0; i < run->n_sequences; first_row += run->sequences[i++].rows) {
        const mica_sequence *s = &run->sequences[i];
        mica_cache *cache = s->caches[instr->attrs.cache_slot];
        const mica_cache_options *o = &cache->options;
        const int64_t rows = rows_of(&instr->in[1], run, s);
        write_rows(&instr->in[1], cache->keys, o, o->head_dim, first_row, rows, s->n_past, fast, id, n);
        write_rows(&instr->in[2], cache->values, o, o->value_dim, first_row, rows, s->n_past, fast, id, n);
    }
}

static void write_plain(const mica__instr *instr, const mica__run *run, int id, int n)
{
    write_cache(instr, run, false, id, n);
}

static void write_fast(const mica__instr *instr, const mica__run *run, int id, int n)
{
    write_cache(instr, run, true, id, n);
}

static float *own_memory(const mica__instr *instr, const mica__run *run, int id)
{
    return (float *)(void *)mica__member_scratch(instr, run, id);
}

static bool is_single_query(const mica__instr *instr, const mica__run *run)
{
    return run->n_sequences == 1 && mica__rows(&instr->in[0], run) == 1;
}

static void attend(const mica__instr *instr, const mica__run *run, int id, int n, const mica__attention_kit *kit)
{
    float *memory = own_memory(instr, run, id);
    if (instr->op == MICA__OP_ATTENTION) {
        const job j = job_of(instr, run, NULL, 0, kit);
        do_tiles(&j, memory, id, n);
        return;
    }
    if (is_single_query(instr, run)) {
        const job j = job_of(instr, run, run->sequences, 0, kit);
        do_parts(&j, run->scratch, memory, id, n);
        return;
    }
    int64_t first_row = 0, items = 0; /* items of all sequences are dealt out as if they were one's */
    for (int i = 0; i < run->n_sequences; first_row += run->sequences[i++].rows) {
        const job j = job_of(instr, run, &run->sequences[i], first_row, kit);
        items += do_tiles(&j, memory, (int)((id + n - items % n) % n), n);
    }
}

static void attend_plain(const mica__instr *instr, const mica__run *run, int id, int n)
{
    attend(instr, run, id, n, &plain_kit);
}

static void attend_fast(const mica__instr *instr, const mica__run *run, int id, int n)
{
    attend(instr, run, id, n, mica__attention_fast(instr->in[0].shape[2], instr->in[2].shape[2]));
}

static void finish(const mica__instr *instr, const mica__run *run, int id, int n)
{
    if (!is_single_query(instr, run)) return;
    const job j = job_of(instr, run, run->sequences, 0, &plain_kit);
    merge_parts(&j, run->scratch, own_memory(instr, run, id), id, n);
}

/* Rows that the fast loops can read where they are. */
static bool fast_rows(const mica__tensor *t) { return t->strides[2] == 1 && t->dtype != MICA_DTYPE_F64; }

bool mica__cpu_attention(mica__instr *instr, bool plain)
{
    const mica__tensor *q = &instr->in[0], *k = &instr->in[1], *v = &instr->in[2];
    if (q->ndim != 3 || k->ndim != 3 || v->ndim != 3 || q->shape[2] > DIM_MAX || v->shape[2] > DIM_MAX) return false;
    if (instr->out.dtype != MICA_DTYPE_F32 || !mica__floating(q->dtype) || k->shape[1] < 1 || q->shape[1] % k->shape[1])
        return false;
    bool fast = !plain && mica__attention_fast(q->shape[2], v->shape[2]);
    if (instr->op == MICA__OP_ATTENTION && (!fast_rows(k) || !fast_rows(v))) fast = false;
    mica__kernel kernel = fast ? attend_fast : attend_plain;
    instr->member_scratch_bytes = tile_bytes(q->shape[2], v->shape[2]);
    if (instr->op == MICA__OP_ATTENTION) return mica__set_kernel(instr, kernel);
    instr->scratch_bytes = mica__round64((size_t)q->shape[1] * PARTS_MAX * (size_t)(v->shape[2] + 2) * sizeof(float));
    instr->phase[0] = !plain && mica__has_avx2() ? write_fast : write_plain;
    instr->phase[1] = kernel;
    instr->phase[2] = finish;
    instr->n_phases = 3;
    return true;
}
