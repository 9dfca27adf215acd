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
 * A run may hold rows of several sequences, each with a cache of its own; it is done sequence by sequence. With many rows, a member
 * takes tiles of rows (queries and heads that share a key head) through all their blocks. A single row would leave members idle, so
 * there the parts are the shares: phase 1 leaves them in scratch memory and phase 2 merges them. Both ways compute the same. Phase 0 of
 * the cached form writes the new rows into the cache.
 *
 * One stretch of memory read from start to end is half as fast as several at once, so tiles of few rows, for which memory is the limit, go
 * through MICA__WIDTH blocks side by side.
 *
 * The inner loops see keys and values as a cache holds them (array/cache_layout.h). Arrays are brought into that form, block by block;
 * so are quantized caches where only float arithmetic is wanted. */
#include "attention.h"
#include "kernels.h"

#include <math.h>

enum { PARTS_MAX = 64, DIM_MAX = 1024 };

/* ---- one instruction ---------------------------------------------------------------------------------------------------- */

/* Where keys or values are: in a cache, or else in an array. */
typedef struct source {
    const mica__tensor *array;
    const mica_cache *cache;
    mica__cache_layout held;   /* of the cache */
    mica__cache_layout layout; /* that the inner loops see */
    bool unpack;               /* they are not the same */
} source;

typedef struct job {
    const mica__attention_kit *kit;
    const mica__tensor *q, *out, *sinks;
    mica_attention_options options;
    int64_t first_row; /* of the sequence, in q and out */
    int64_t t_rows, n_past, heads, kv_heads, group, head_dim, value_dim;
    int64_t n_keys; /* positions there are */
    source keys, values;
    bool rounds; /* queries are rounded to 16 bits */
} job;

static source source_of(const mica__instr *instr, const mica_cache *cache, bool values)
{
    const mica__tensor *t = &instr->in[values ? 2 : 1];
    const mica_cache_options floats = {(int)t->shape[1], (int)t->shape[2], (int)t->shape[2], 0, MICA_DTYPE_F32, 0, 0};
    source s = {.array = cache ? NULL : t, .cache = cache};
    if (cache) s.held = mica__cache_layout_of(&cache->options, values);
    s.unpack = !cache || (instr->exact && s.held.bits);
    s.layout = s.unpack ? mica__cache_layout_of(&floats, values) : s.held;
    return s;
}

/* A job is about one sequence; s NULL (and first_row 0) if there is no cache. */
static job job_of(const mica__instr *instr, const mica__run *run, const mica_sequence *s, int64_t first_row,
                  const mica__attention_kit *kit)
{
    const mica__tensor *q = &instr->in[0], *k = &instr->in[1], *v = &instr->in[2];
    const mica_cache *cache = s ? s->caches[instr->attrs.cache_slot] : NULL;
    job j = {.kit = kit, .q = q, .out = &instr->out, .options = instr->attrs.attention};
    j.sinks = instr->n_in > 3 ? &instr->in[3] : NULL;
    if (j.options.scale == 0) j.options.scale = 1.0f / sqrtf((float)q->shape[2]);
    j.first_row = first_row;
    j.t_rows = mica__rows_of(q, run, s);
    j.heads = q->shape[1];
    j.kv_heads = k->shape[1];
    j.group = j.heads / j.kv_heads;
    j.head_dim = q->shape[2];
    j.value_dim = v->shape[2];
    j.n_keys = cache ? s->n_past + j.t_rows : mica__rows(k, run);
    j.n_past = j.n_keys - j.t_rows;
    j.keys = source_of(instr, cache, false);
    j.values = source_of(instr, cache, true);
    j.rounds = kit->rounds && j.keys.layout.bits;
    return j;
}

/* The positions that a query sees, and its parts. */
typedef struct span {
    int64_t first, end;
    int shift; /* a part is 2^shift blocks */
} span;

static span span_of(const job *j, int64_t t)
{
    span s = {0};
    mica__attention_span(&j->options, j->n_past + t, j->n_keys, &s.first, &s.end);
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

static void merge(const job *j, softmax *into, const softmax *from)
{
    if (into->max == -INFINITY && into->sum == 0) {
        into->max = from->max;
        into->sum = from->sum;
        memcpy(into->values, from->values, (size_t)j->value_dim * sizeof *into->values);
        return;
    }
    float max = into->max > from->max ? into->max : from->max;
    float a = into->max == max ? 1 : expf(into->max - max), b = from->max == max ? 1 : expf(from->max - max);
    into->max = max;
    into->sum = into->sum * a + from->sum * b;
    j->kit->mix(into->values, a, from->values, b, j->value_dim);
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
    if (j->values.held.rotated) mica__cache_rotate(out, j->value_dim);
}

/* ---- a tile of rows through a block ---------------------------------------------------------------------------------------- */

/* A member's working memory. */
typedef struct tile {
    int64_t kv_head,
        first_row;         /* row r is query (first_row + r) / group, head kv_head * group + (first_row + r) % group */
    int64_t width, stride; /* blocks at once, and scores from row to row */
    mica__queries queries;
    float *scores, *sums, *row; /* [rows, stride], [width, rows, value_dim], [longest dim] */
    float *unpacked[2];         /* [BLOCK, head_dim], [BLOCK, value_dim], if needed */
    softmax part[MICA__TILE], total[MICA__TILE];
} tile;

/* Many rows take one block at a time, which then stays near; so do blocks that are unpacked first. */
enum {
    ROWS_AT_WIDTH = MICA__WIDTH * MICA__FEW > MICA__TILE ? MICA__WIDTH *MICA__FEW : MICA__TILE,
    SCORES = ROWS_AT_WIDTH * MICA__BLOCK + MICA__TILE * MICA__SPARE,
};

static void set_rows(const job *j, tile *t, int64_t rows)
{
    t->queries.rows = rows;
    t->width = rows <= MICA__FEW && !j->keys.unpack ? MICA__WIDTH : 1;
    t->stride = t->width * MICA__BLOCK + MICA__SPARE;
}

/* Blocks of caches are brought into another form only where that may be needed. */
static bool may_unpack(const mica__instr *instr) { return instr->op == MICA__OP_ATTENTION || instr->exact; }

static int64_t rounded_dim(int64_t head_dim) { return (head_dim + 3) / 4 * 4; }
static int64_t max_groups(int64_t head_dim) { return (head_dim + 31) / 32; }

static size_t tile_bytes(const mica__instr *instr)
{
    const int64_t k = instr->in[1].shape[2], v = instr->in[2].shape[2];
    int64_t floats = MICA__TILE * (k + 2 * v + 2 * max_groups(k)) + SCORES + ROWS_AT_WIDTH * v + mica__max(k, v);
    if (may_unpack(instr)) floats += MICA__BLOCK * (k + v);
    return mica__round64((size_t)floats * sizeof(float) + (size_t)(MICA__TILE * rounded_dim(k)) * sizeof(int16_t));
}

static tile tile_of(const job *j, float *memory)
{
    tile t = {.queries = {.q = memory, .dim = j->head_dim, .rounded_dim = rounded_dim(j->head_dim)}};
    t.queries.scales = memory + MICA__TILE * j->head_dim;
    t.queries.sums = t.queries.scales + MICA__TILE * max_groups(j->head_dim);
    t.scores = t.queries.sums + MICA__TILE * max_groups(j->head_dim);
    t.sums = t.scores + SCORES;
    t.row = t.sums + ROWS_AT_WIDTH * j->value_dim;
    float *states = t.row + mica__max(j->head_dim, j->value_dim);
    for (int64_t r = 0; r < MICA__TILE; r++) {
        t.part[r].values = states + 2 * r * j->value_dim;
        t.total[r].values = states + (2 * r + 1) * j->value_dim;
    }
    float *rest = states + 2 * MICA__TILE * j->value_dim;
    if (j->keys.unpack) {
        t.unpacked[0] = rest;
        t.unpacked[1] = rest + MICA__BLOCK * j->head_dim;
        rest += MICA__BLOCK * (j->head_dim + j->value_dim);
    }
    t.queries.rounded = (int16_t *)(void *)rest;
    return t;
}

static int64_t query_of(const job *j, const tile *t, int64_t r) { return (t->first_row + r) / j->group; }
static int64_t head_of(const job *j, const tile *t, int64_t r)
{
    return t->kv_head * j->group + (t->first_row + r) % j->group;
}

/* Row `row` of head `head` of an array, as floats. */
static void load_row(float *to, const mica__tensor *t, int64_t row, int64_t head)
{
    const int64_t size = (int64_t)mica_dtype_size(t->dtype);
    const uint8_t *at = (const uint8_t *)t->data + (row * t->strides[0] + head * t->strides[1]) * size;
    for (int64_t e = 0; e < t->shape[2]; e += MICA__CHUNK) {
        mica__chunk c;
        int64_t count = mica__min(t->shape[2] - e, MICA__CHUNK);
        mica__load(MICA__CLASS_F32, &c, at + e * t->strides[2] * size, t->dtype, t->strides[2], count);
        memcpy(to + e, c.f32, (size_t)count * sizeof(float));
    }
}

static void load_queries(const job *j, tile *t, int64_t rows)
{
    set_rows(j, t, rows);
    for (int64_t r = 0; r < rows; r++) {
        load_row(t->queries.q + r * j->head_dim, j->q, j->first_row + query_of(j, t, r), head_of(j, t, r));
        if (j->keys.held.rotated) mica__cache_rotate(t->queries.q + r * j->head_dim, j->head_dim);
        if (j->rounds) mica__attention_round(&t->queries, r, &j->keys.layout);
    }
}

/* Eight positions from `first` on into `block`, from an array or from a block of a cache; those outside of [low, high) are left as they
 * are. */
static void unpack(const source *s, int64_t head, int64_t first, int64_t low, int64_t high, const uint8_t *from,
                   uint8_t *block, float *row)
{
    for (int64_t p = mica__max(first, low); p < mica__min(first + MICA__CACHE_LANES, high); p++) {
        const int lane = (int)(p % MICA__CACHE_LANES);
        if (s->array) {
            load_row(row, s->array, p, head);
        } else {
            mica__cache_load(&s->held, from, lane, row);
        }
        mica__cache_store(&s->layout, block, lane, row);
    }
}

/* Positions [low, high) of blocks from the one that starts at `start` on. */
static void kv_of(mica__kv *kv, const source *s, int64_t head, int64_t start, int64_t low, int64_t high,
                  float *unpacked, float *row)
{
    const int64_t base = low - low % MICA__CACHE_LANES, capacity = s->cache ? s->cache->options.capacity : 0;
    const uint8_t *ring = s->cache ? mica__cache_block(s->cache, &s->held, head, 0) : NULL;
    int64_t slot = s->cache ? base % capacity / MICA__CACHE_LANES : 0;
    kv->layout = s->layout;
    kv->first = (base - start) / MICA__CACHE_LANES;
    kv->n = (high - start + MICA__CACHE_LANES - 1) / MICA__CACHE_LANES;
    for (int64_t b = kv->first; b < kv->n; b++) {
        const uint8_t *eight = s->cache ? ring + slot * s->held.block_bytes : NULL;
        slot = (slot + 1) * MICA__CACHE_LANES == capacity ? 0 : slot + 1;
        if (s->unpack) {
            uint8_t *to = (uint8_t *)(void *)unpacked + b * s->layout.block_bytes;
            unpack(s, head, start + b * MICA__CACHE_LANES, low, high, eight, to, row);
            eight = to;
        }
        kv->eights[b] = eight;
    }
    for (int64_t b = kv->n; b < kv->n + 8; b++) kv->eights[b] = kv->eights[kv->n - 1];
}

/* What a row sees of [low, high), counted from `start`. */
typedef struct seen {
    int64_t first, end;
} seen;

static seen seen_of(const span *s, int64_t start, int64_t low, int64_t high)
{
    const int64_t first = mica__max(s->first, low), end = mica__min(s->end, high);
    return first < end ? (seen){first - start, end - start} : (seen){low - start, low - start};
}

/* Scores to weights; positions of [low, high) that a row does not see get weight 0. max, sum [MICA__WIDTH, MICA__TILE]. */
static void weigh(const job *j, tile *t, const span *spans, int64_t start, int64_t low, int64_t high,
                  float (*max)[MICA__TILE], float (*sum)[MICA__TILE])
{
    const int64_t base = low - low % MICA__CACHE_LANES - start;
    for (int64_t r = 0; r < t->queries.rows; r++) {
        float *s = t->scores + r * t->stride;
        const seen row = seen_of(&spans[r], start, low, high);
        memset(s + base, 0, (size_t)(row.first - base) * sizeof *s);
        memset(s + row.end, 0, (size_t)(high - start - row.end) * sizeof *s);
        for (int64_t b = 0; b < t->width; b++) {
            const int64_t first = mica__max(row.first, b * MICA__BLOCK),
                          end = mica__min(row.end, (b + 1) * MICA__BLOCK);
            max[b][r] = -INFINITY;
            sum[b][r] = 0;
            if (first < end)
                sum[b][r] = j->kit->weights(s + first, end - first, j->options.scale, j->options.softcap, &max[b][r]);
        }
    }
}

/* Softmax states of t->width blocks from `block` on, but none from `end` on, restricted to what each row sees, into t->sums and max and
 * sum. spans [rows]. Blocks that nobody sees get no state but a sum of 0 and a maximum of -inf. */
static void do_blocks(const job *j, tile *t, int64_t block, int64_t end, const span *spans, float (*max)[MICA__TILE],
                      float (*sum)[MICA__TILE])
{
    const int64_t rows = t->queries.rows, start = block * MICA__BLOCK;
    const int64_t after = mica__min(block + t->width, end) * MICA__BLOCK;
    int64_t low = INT64_MAX, high = 0;
    for (int64_t r = 0; r < rows; r++) {
        low = mica__min(low, mica__max(spans[r].first, start));
        high = mica__max(high, mica__min(spans[r].end, after));
    }
    for (int64_t b = 0; b < t->width && low >= high; b++) {
        for (int64_t r = 0; r < rows; r++) {
            max[b][r] = -INFINITY;
            sum[b][r] = 0;
        }
    }
    if (low >= high) return;
    mica__kv kv;
    kv_of(&kv, &j->keys, t->kv_head, start, low, high, t->unpacked[0], t->row);
    j->kit->scores(t->scores, t->stride, &t->queries, &kv, t->row);
    weigh(j, t, spans, start, low, high, max, sum);
    kv_of(&kv, &j->values, t->kv_head, start, low, high, t->unpacked[1], t->row);
    j->kit->accumulate(t->sums, t->scores, t->stride, rows, &kv, low - start, high - start, t->row);
}

/* Adds the state of block number b of those just done to the rows' parts. */
static void add_block(const job *j, tile *t, int64_t b, float (*max)[MICA__TILE], float (*sum)[MICA__TILE])
{
    for (int64_t r = 0; r < t->queries.rows; r++) {
        if (max[b][r] == -INFINITY && sum[b][r] == 0) continue;
        const softmax s = {max[b][r], sum[b][r], t->sums + (b * t->queries.rows + r) * j->value_dim};
        merge(j, &t->part[r], &s);
    }
}

/* Parts that end with this block go to their totals. */
static void close_parts(const job *j, tile *t, int64_t block, const span *spans)
{
    for (int64_t r = 0; r < t->queries.rows; r++) {
        const int64_t first = block * MICA__BLOCK, next = first + MICA__BLOCK, last = spans[r].end;
        const bool touched = next > spans[r].first && first < last;
        const bool closes = next >= last || part_of(&spans[r], next) != part_of(&spans[r], first);
        if (!touched || !closes) continue;
        merge(j, &t->total[r], &t->part[r]);
        clear(&t->part[r], j->value_dim);
    }
}

/* All blocks of a tile, start to end. */
static void do_tile(const job *j, tile *t)
{
    span spans[MICA__TILE];
    int64_t first = INT64_MAX, end = 0;
    for (int64_t r = 0; r < t->queries.rows; r++) {
        spans[r] = span_of(j, query_of(j, t, r));
        first = mica__min(first, spans[r].first);
        end = mica__max(end, spans[r].end);
        begin_total(j, &t->total[r], head_of(j, t, r));
        clear(&t->part[r], j->value_dim);
    }
    const int64_t end_block = (end + MICA__BLOCK - 1) / MICA__BLOCK;
    float max[MICA__WIDTH][MICA__TILE], sum[MICA__WIDTH][MICA__TILE];
    for (int64_t block = first / MICA__BLOCK; block < end_block; block += t->width) {
        do_blocks(j, t, block, end_block, spans, max, sum);
        for (int64_t b = 0; b < t->width && block + b < end_block; b++) {
            add_block(j, t, b, max, sum);
            close_parts(j, t, block + b, spans);
        }
    }
    for (int64_t r = 0; r < t->queries.rows; r++) write_out(j, &t->total[r], query_of(j, t, r), head_of(j, t, r));
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
        load_queries(j, &t, mica__min(rows - t.first_row, MICA__TILE));
        do_tile(j, &t);
    }
    return tiles * j->kv_heads;
}

/* ---- a single query: parts are the shares ----------------------------------------------------------------------------------- */

/* Scratch of a head: how many parts were merged already, then for each part max, sum, values [value_dim]; those of the merged ones, with the
 * sink, stand in the place of the first. */
static int64_t head_floats(int64_t value_dim) { return 1 + PARTS_MAX * (value_dim + 2); }

static float *head_memory(const job *j, uint8_t *scratch, int64_t head)
{
    return (float *)(void *)scratch + head * head_floats(j->value_dim);
}

static void store_state(const job *j, uint8_t *scratch, int64_t head, int64_t p, const softmax *s)
{
    float *to = head_memory(j, scratch, head) + 1 + p * (j->value_dim + 2);
    to[0] = s->max;
    to[1] = s->sum;
    memcpy(to + 2, s->values, (size_t)j->value_dim * sizeof(float));
}

/* Part p of the rows is done: it goes to scratch memory, or to the total of a tile that has all parts from the first on. */
static void end_part(const job *j, tile *t, uint8_t *scratch, int64_t p, bool from_first)
{
    for (int64_t r = 0; r < t->queries.rows; r++) {
        if (from_first) {
            merge(j, &t->total[r], &t->part[r]);
        } else {
            store_state(j, scratch, head_of(j, t, r), p, &t->part[r]);
        }
        clear(&t->part[r], j->value_dim);
    }
}

/* `count` parts of a tile's rows from part p on. */
static void do_parts_of(const job *j, tile *t, const span *s, uint8_t *scratch, int64_t p, int64_t count)
{
    const int64_t first = (part_of(s, s->first) + p) << s->shift, end = first + (count << s->shift);
    float max[MICA__WIDTH][MICA__TILE], sum[MICA__WIDTH][MICA__TILE];
    span spans[MICA__TILE];
    for (int64_t r = 0; r < t->queries.rows; r++) {
        spans[r] = *s;
        begin_total(j, &t->total[r], head_of(j, t, r));
        clear(&t->part[r], j->value_dim);
    }
    for (int64_t block = first; block < end; block += t->width) {
        do_blocks(j, t, block, end, spans, max, sum);
        for (int64_t b = block; b < mica__min(block + t->width, end); b++) {
            add_block(j, t, b - block, max, sum);
            if ((b + 1 - first) % ((int64_t)1 << s->shift) == 0)
                end_part(j, t, scratch, p + ((b - first) >> s->shift), p == 0);
        }
    }
    for (int64_t r = 0; r < t->queries.rows && p == 0; r++) {
        head_memory(j, scratch, head_of(j, t, r))[0] = (float)count;
        store_state(j, scratch, head_of(j, t, r), 0, &t->total[r]);
    }
}

static void do_parts(const job *j, uint8_t *scratch, float *memory, int id, int n)
{
    const span s = span_of(j, 0);
    const int64_t parts = parts_in(&s), tiles = (j->group + MICA__TILE - 1) / MICA__TILE;
    int64_t begin, end;
    tile t = tile_of(j, memory);
    mica__share(j->kv_heads * tiles * parts, 1, id, n, &begin, &end);
    for (int64_t item = begin, count; item < end; item += count) {
        count = mica__min(end - item, parts - item % parts);
        t.kv_head = item / parts / tiles;
        t.first_row = item / parts % tiles * MICA__TILE;
        load_queries(j, &t, mica__min(j->group - t.first_row, MICA__TILE));
        do_parts_of(j, &t, &s, scratch, item % parts, count);
    }
}

static void merge_parts(const job *j, uint8_t *scratch, int id, int n)
{
    const span s = span_of(j, 0);
    int64_t begin, end;
    mica__share(j->heads, 1, id, n, &begin, &end);
    for (int64_t head = begin; head < end; head++) {
        float *memory = head_memory(j, scratch, head), *from = memory + 1;
        softmax total = {from[0], from[1], from + 2};
        for (int64_t p = (int64_t)memory[0]; p < parts_in(&s); p++) {
            from = memory + 1 + p * (j->value_dim + 2);
            merge(j, &total, &(softmax){from[0], from[1], from + 2});
        }
        write_out(j, &total, 0, head);
    }
}

/* ---- phases ------------------------------------------------------------------------------------------------------------------ */

static void write_plain(const mica__instr *instr, const mica__run *run, int id, int n)
{
    mica__cache_write(instr, run, false, id, n);
}

static void write_fast(const mica__instr *instr, const mica__run *run, int id, int n)
{
    mica__cache_write(instr, run, true, id, n);
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
    attend(instr, run, id, n, &mica__attention_plain);
}

static void attend_fast(const mica__instr *instr, const mica__run *run, int id, int n)
{
    attend(instr, run, id, n, mica__attention_fast(instr->in[0].shape[2], instr->in[2].shape[2]));
}

static void finish(const mica__instr *instr, const mica__run *run, int id, int n, const mica__attention_kit *kit)
{
    if (!is_single_query(instr, run)) return;
    const job j = job_of(instr, run, run->sequences, 0, kit);
    merge_parts(&j, run->scratch, id, n);
}

static void finish_plain(const mica__instr *instr, const mica__run *run, int id, int n)
{
    finish(instr, run, id, n, &mica__attention_plain);
}

static void finish_fast(const mica__instr *instr, const mica__run *run, int id, int n)
{
    finish(instr, run, id, n, mica__attention_fast(instr->in[0].shape[2], instr->in[2].shape[2]));
}

bool mica__cpu_attention(mica__instr *instr, bool plain)
{
    const mica__tensor *q = &instr->in[0], *k = &instr->in[1], *v = &instr->in[2];
    if (q->ndim != 3 || k->ndim != 3 || v->ndim != 3 || q->shape[2] > DIM_MAX || v->shape[2] > DIM_MAX) return false;
    if (instr->out.dtype != MICA_DTYPE_F32 || !mica__floating(q->dtype) || k->shape[1] < 1 || q->shape[1] % k->shape[1])
        return false;
    bool fast = !plain && mica__attention_fast(q->shape[2], v->shape[2]);
    mica__kernel kernel = fast ? attend_fast : attend_plain;
    instr->member_scratch_bytes = tile_bytes(instr);
    if (instr->op == MICA__OP_ATTENTION) return mica__set_kernel(instr, kernel);
    instr->scratch_bytes = mica__round64((size_t)(q->shape[1] * head_floats(v->shape[2])) * sizeof(float));
    instr->phase[0] = !plain && mica__has_vectors() ? write_fast : write_plain;
    instr->phase[1] = kernel;
    instr->phase[2] = fast ? finish_fast : finish_plain;
    instr->n_phases = 3;
    return true;
}
