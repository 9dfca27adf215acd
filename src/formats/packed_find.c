/* formats/packed_find.c: the sets of tensors of quantized Hugging Face checkpoints.
 *
 * What a tensor is follows from its name, its type and the tensors beside it; config.json's quantization_config is asked only for what these leave
 * open (GPTQ or AWQ, the size of FP8's blocks). Every shape is checked here, so that packed.c can read without looking. */
#include "checkpoint_private.h"
#include "packed.h"

#include <stdio.h>

typedef struct finder {
    mica__checkpoint *c;
    mica__json config;
    mica__jval quantization; /* quantization_config; NULL: none */
    bool *used;              /* [n_tensors]: part of a set */
    mica__tensor_view *made; /* [n_made], at most n_tensors */
    size_t n_made;
    size_t n_expanded; /* without an exact form */
    const char *why;   /* the first of them */
} finder;

/* ---- parts ------------------------------------------------------------------------------------------------------------------ */

/* The tensor called base + suffix; NULL if there is none. */
static const mica__tensor_view *part(const finder *f, mica__str base, const char *suffix)
{
    char name[300];
    int n = snprintf(name, sizeof name, "%.*s%s", (int)(base.n < 200 ? base.n : 200), base.p, suffix);
    return base.n > 200 ? NULL : mica__checkpoint_tensor(f->c, (mica__str){name, (size_t)n});
}

static void use(finder *f, const mica__tensor_view *v)
{
    if (v) f->used[v - f->c->tensors] = true;
}

static bool is_type(const mica__tensor_view *v, const char *type) { return v && strcmp(v->type_name, type) == 0; }

/* The same from PyTorch files, which name types otherwise. */
static bool is_plain(const mica__tensor_view *v, mica_dtype dtype)
{
    return v && v->storage == MICA__STORAGE_PLAIN && v->dtype == dtype && !v->strides;
}

static int64_t elements(const mica__tensor_view *v)
{
    int64_t n = 1;
    for (int i = 0; i < v->ndim; i++) n *= v->shape[i];
    return n;
}

static mica_status fail_part(const mica__tensor_view *v, const char *expected, mica_error *err)
{
    return mica__fail(err, MICA_DATA, "tensor '%s': type or shape do not fit the quantized matrix: expected %s",
                      MICA_QUOTED_STR(v->name), expected);
}

/* A matrix of the type and shape, row-major. */
static bool is_matrix(const mica__tensor_view *v, mica_dtype dtype, int64_t rows, int64_t columns)
{
    return is_plain(v, dtype) && v->ndim == 2 && v->shape[0] == rows && v->shape[1] == columns;
}

static bool is_float(const mica__tensor_view *v)
{
    return is_plain(v, MICA_DTYPE_F32) || is_plain(v, MICA_DTYPE_F16) || is_plain(v, MICA_DTYPE_BF16);
}

static int64_t divide_up(int64_t a, int64_t b) { return a / b + (a % b != 0); }

static mica__str config_text(const finder *f, const char *field)
{
    mica__str text = {0};
    mica__json_string(mica__json_get(f->quantization, field), &text);
    return text;
}

static int64_t config_int(const finder *f, const char *field, int64_t missing)
{
    int64_t n = missing;
    mica__json_int(mica__json_get(f->quantization, field), &n);
    return n;
}

/* ---- the set becomes a view ------------------------------------------------------------------------------------------------- */

typedef struct set {
    mica__str base; /* "model.layers.0.mlp.up_proj" */
    mica__packed packed;
    const char *type_name;
    const mica__tensor_view *first, *parts[8]; /* all parts; the first has the codes */
    int n_parts;
    int ndim;
    int64_t shape[MICA_MAX_DIMS]; /* if ndim is not 2 */
} set;

static void add_part(set *s, const mica__tensor_view *v)
{
    if (v && s->n_parts < 8) s->parts[s->n_parts++] = v;
}

/* `suffix` is what the whole is called beside the base: ".weight". */
static mica_status add_set(finder *f, set *s, const char *suffix, mica_error *err)
{
    mica__packed *p = mica__arena_alloc(&f->c->names, 1, sizeof *p);
    const size_t n = s->base.n + strlen(suffix);
    char *name = mica__arena_alloc(&f->c->names, n + 1, 1);
    if (!p || !name) return mica__fail_memory(err, sizeof *p + n, "a quantized matrix");
    snprintf(name, n + 1, "%.*s%s", (int)s->base.n, s->base.p, suffix);
    MICA_TRY(mica__packed_finish(&s->packed, s->first->name, err));
    *p = s->packed;
    mica__tensor_view *v = &f->made[f->n_made++];
    *v = (mica__tensor_view){.name = {name, n},
                             .file_name = s->first->file_name,
                             .storage = MICA__STORAGE_PACKED,
                             .type_name = s->type_name,
                             .ndim = s->ndim ? s->ndim : 2,
                             .packed = p,
                             .file = s->first->file};
    v->shape[0] = p->n_rows;
    v->shape[1] = p->n_columns;
    if (s->ndim) memcpy(v->shape, s->shape, sizeof v->shape);
    for (int i = 0; i < s->n_parts; i++) {
        use(f, s->parts[i]);
        v->n_bytes += s->parts[i]->n_bytes;
    }
    mica__quantization q;
    if (!p->form_group && !mica__tensor_float_form(v, &q) && !f->n_expanded++) f->why = s->type_name;
    return MICA_OK;
}

/* ---- integers --------------------------------------------------------------------------------------------------------------- */

/* Columns of a group from the number of groups; 0 if they do not fit. */
static int64_t group_size(const finder *f, int64_t n_columns, int64_t n_groups)
{
    const int64_t said = config_int(f, "group_size", 0);
    if (n_groups < 1) return 0;
    if (said > 0 && divide_up(n_columns, said) == n_groups) return said;
    return n_columns % n_groups == 0 ? n_columns / n_groups : 0;
}

/* scales [groups, rows], as in GPTQ and AWQ. */
static mica_status take_scales_by_group(finder *f, set *s, const mica__tensor_view *scales, mica_error *err)
{
    mica__packed *p = &s->packed;
    if (!scales) return mica__fail(err, MICA_DATA, "tensor '%s' has no scales", MICA_QUOTED_STR(s->first->name));
    const bool fits = is_float(scales) && scales->ndim == 2 && scales->shape[1] == p->n_rows && scales->shape[0] > 0;
    p->group = fits ? group_size(f, p->n_columns, scales->shape[0]) : 0;
    if (!p->group) return fail_part(scales, "floats [groups, rows]", err);
    p->n_groups = scales->shape[0];
    p->scales = scales->data;
    p->scale_dtype = p->plain = scales->dtype;
    p->row_block = p->row_stride = 1;
    p->group_stride = p->n_rows;
    add_part(s, scales);
    return MICA_OK;
}

/* The group of each column, if it is not its place that says it (act-order). index NULL: none */
static mica_status take_index(set *s, const mica__tensor_view *index, mica_error *err)
{
    if (!index) return MICA_OK;
    if (!is_plain(index, MICA_DTYPE_I32) || elements(index) != s->packed.n_columns)
        return fail_part(index, "int32 [columns]", err);
    s->packed.index = index->data;
    add_part(s, index);
    return MICA_OK;
}

static mica_status find_gptq(finder *f, set *s, mica_error *err)
{
    mica__packed *p = &s->packed;
    const mica__tensor_view *codes = s->first, *zeros = part(f, s->base, ".qzeros"),
                            *index = part(f, s->base, ".g_idx");
    mica__str format = config_text(f, "checkpoint_format");
    p->bits = (int)config_int(f, "bits", 4);
    if (format.n && !mica__str_is(format, "gptq") && !mica__str_is(format, "gptq_v2"))
        return mica__fail(err, MICA_UNSUPPORTED, "GPTQ in the format '%s' is not supported", MICA_QUOTED_STR(format));
    if (p->bits != 2 && p->bits != 3 && p->bits != 4 && p->bits != 8)
        return mica__fail(err, MICA_UNSUPPORTED, "GPTQ with %d bits is not supported", p->bits);
    if (!is_plain(codes, MICA_DTYPE_I32) || codes->ndim != 2 || codes->shape[0] * 32 % p->bits)
        return fail_part(codes, "int32 [columns * bits / 32, rows]", err);
    p->packing = MICA__PACKING_GPTQ;
    p->n_rows = codes->shape[1];
    p->n_columns = codes->shape[0] * 32 / p->bits;
    p->codes = codes->data;
    MICA_TRY(take_scales_by_group(f, s, part(f, s->base, ".scales"), err));
    p->zero = 1 << (p->bits - 1);
    if (zeros) {
        if (p->n_rows * p->bits % 32 || !is_matrix(zeros, MICA_DTYPE_I32, p->n_groups, p->n_rows * p->bits / 32))
            return fail_part(zeros, "int32 [groups, rows * bits / 32]", err);
        p->zeros = zeros->data;
        p->zero_add = !mica__str_is(format, "gptq_v2");
        add_part(s, zeros);
    }
    MICA_TRY(take_index(s, index, err));
    s->type_name = "GPTQ";
    return add_set(f, s, ".weight", err);
}

static mica_status find_awq(finder *f, set *s, mica_error *err)
{
    mica__packed *p = &s->packed;
    const mica__tensor_view *codes = s->first, *zeros = part(f, s->base, ".qzeros");
    mica__str version = config_text(f, "version");
    p->bits = (int)config_int(f, "bits", 4);
    if (p->bits != 4 || (version.n && !mica__str_is(version, "gemm") && !mica__str_is(version, "GEMM")))
        return mica__fail(err, MICA_UNSUPPORTED, "AWQ with %d bits in the layout '%s' is not supported; 4 and gemm are",
                          p->bits, MICA_QUOTED_STR(version));
    if (!is_plain(codes, MICA_DTYPE_I32) || codes->ndim != 2) return fail_part(codes, "int32 [columns, rows / 8]", err);
    p->packing = MICA__PACKING_AWQ;
    p->n_rows = codes->shape[1] * 8;
    p->n_columns = codes->shape[0];
    p->codes = codes->data;
    MICA_TRY(take_scales_by_group(f, s, part(f, s->base, ".scales"), err));
    p->zero = 8;
    if (zeros) {
        if (!is_matrix(zeros, MICA_DTYPE_I32, p->n_groups, p->n_rows / 8))
            return fail_part(zeros, "int32 [groups, rows / 8]", err);
        p->zeros = zeros->data;
        add_part(s, zeros);
    }
    s->type_name = "AWQ";
    return add_set(f, s, ".weight", err);
}

/* Scales of rows by groups: for all, for each row, or [rows, groups]. */
static mica_status take_scales_by_row(set *s, const mica__tensor_view *scales, mica_error *err)
{
    mica__packed *p = &s->packed;
    p->row_block = 1;
    p->n_groups = 1;
    p->group = p->n_columns;
    p->scales = scales->data;
    p->scale_dtype = scales->dtype;
    add_part(s, scales);
    if (elements(scales) == 1) return MICA_OK;
    p->row_stride = elements(scales) / (p->n_rows ? p->n_rows : 1);
    if (scales->ndim < 1 || scales->ndim > 2 || scales->shape[0] != p->n_rows || p->row_stride < 1 ||
        p->n_columns % p->row_stride)
        return fail_part(scales, "one, [rows] or [rows, groups]", err);
    p->n_groups = p->row_stride;
    p->group = p->n_columns / p->n_groups;
    p->group_stride = p->n_groups > 1;
    return MICA_OK;
}

/* compressed-tensors' words along the rows. */
static mica_status find_rows(finder *f, set *s, mica_error *err)
{
    mica__packed *p = &s->packed;
    const mica__tensor_view *codes = s->first, *shape = part(f, s->base, ".weight_shape"),
                            *scales = part(f, s->base, ".weight_scale"),
                            *zeros = part(f, s->base, ".weight_zero_point"), *index = part(f, s->base, ".weight_g_idx");
    int64_t size[2];
    if (!is_plain(codes, MICA_DTYPE_I32) || codes->ndim != 2)
        return fail_part(codes, "int32 [rows, columns * bits / 32]", err);
    if (!is_plain(shape, MICA_DTYPE_I64) || elements(shape) != 2)
        return mica__fail(err, MICA_DATA, "tensor '%s' has no weight_shape", MICA_QUOTED_STR(codes->name));
    memcpy(size, shape->data, sizeof size);
    if (size[0] != codes->shape[0] || size[1] < 1 || size[1] > codes->shape[1] * 16 || codes->shape[1] * 32 % size[1])
        return fail_part(shape, "rows and columns", err);
    p->bits = (int)(codes->shape[1] * 32 / size[1]);
    if (p->bits != 4 && p->bits != 8 && p->bits != 2)
        return mica__fail(err, MICA_UNSUPPORTED, "tensor '%s': %d bits are not supported", MICA_QUOTED_STR(codes->name),
                          p->bits);
    p->packing = MICA__PACKING_ROWS;
    p->n_rows = size[0];
    p->n_columns = size[1];
    p->codes = codes->data;
    p->zero = 1 << (p->bits - 1);
    if (!is_float(scales)) return fail_part(scales ? scales : codes, "a weight_scale of floats", err);
    MICA_TRY(take_scales_by_row(s, scales, err));
    p->plain = scales->dtype;
    add_part(s, shape);
    if (zeros) {
        if (!is_matrix(zeros, MICA_DTYPE_I32, divide_up(p->n_rows * p->bits, 32), p->n_groups) ||
            p->n_rows * p->bits % 32)
            return fail_part(zeros, "int32 [rows * bits / 32, groups]", err);
        p->zeros = zeros->data;
        add_part(s, zeros);
    }
    MICA_TRY(take_index(s, index, err));
    s->type_name = "compressed-tensors";
    return add_set(f, s, ".weight", err);
}

static mica_status find_int8(finder *f, set *s, mica_error *err)
{
    mica__packed *p = &s->packed;
    const mica__tensor_view *codes = s->first, *scales = part(f, s->base, ".weight_scale"),
                            *scb = part(f, s->base, ".SCB"), *zeros = part(f, s->base, ".weight_zero_point");
    if (codes->ndim != 2) return fail_part(codes, "int8 [rows, columns]", err);
    p->packing = MICA__PACKING_INT8;
    p->bits = 8;
    p->zero = 128;
    p->n_rows = codes->shape[0];
    p->n_columns = codes->shape[1];
    p->codes = codes->data;
    s->type_name = scb ? "bitsandbytes 8-bit" : "compressed-tensors";
    if (!is_float(scb ? scb : scales)) return fail_part(codes, "a scale of floats beside it", err);
    MICA_TRY(take_scales_by_row(s, scb ? scb : scales, err));
    p->plain = scb ? MICA_DTYPE_F16 : scales->dtype;
    if (scb) {
        p->factor = 1.0f / 127;
        add_part(s, part(f, s->base, ".weight_format"));
    } else if (zeros && is_plain(zeros, MICA_DTYPE_I8) && elements(zeros) == p->n_rows * p->n_groups) {
        p->zeros = zeros->data;
        add_part(s, zeros);
    } else if (zeros) {
        if (!is_plain(zeros, MICA_DTYPE_I8) || elements(zeros) != 1)
            return fail_part(zeros, "int8 like the scales", err);
        p->zero = *zeros->data ^ 0x80;
        add_part(s, zeros);
    }
    return add_set(f, s, ".weight", err);
}

static mica_status find_ternary(finder *f, set *s, mica_error *err)
{
    mica__packed *p = &s->packed;
    const mica__tensor_view *codes = s->first, *scales = part(f, s->base, ".weight_scale");
    if (codes->ndim != 2) return fail_part(codes, "uint8 [rows / 4, columns]", err);
    p->packing = MICA__PACKING_TERNARY;
    p->bits = 2;
    p->zero = 1;
    p->n_rows = codes->shape[0] * 4;
    p->n_columns = codes->shape[1];
    p->codes = codes->data;
    if (!is_float(scales) || elements(scales) != 1) return fail_part(scales, "one float", err);
    MICA_TRY(take_scales_by_row(s, scales, err));
    p->plain = MICA_DTYPE_BF16;
    /* The older layer divides its result by the scale. */
    p->inverse = !mica__str_is(config_text(f, "linear_class"), "autobitlinear");
    s->type_name = "BitNet";
    return add_set(f, s, ".weight", err);
}

/* ---- floats ------------------------------------------------------------------------------------------------------------------- */

/* Scales in blocks of rows and columns. False if the shape is none of that. */
static bool take_blocks(const finder *f, set *s, const mica__tensor_view *scales)
{
    mica__packed *p = &s->packed;
    mica__jval said = mica__json_get(f->quantization, "weight_block_size");
    int64_t block[2] = {128, 128};
    if (scales->ndim != 2 || scales->shape[0] < 1 || scales->shape[1] < 1) return false;
    for (size_t i = 0; i < 2; i++) {
        mica__json_int(mica__json_at(said, i), &block[i]);
        const int64_t length = i ? p->n_columns : p->n_rows;
        if (block[i] > 0 && divide_up(length, block[i]) == scales->shape[i]) continue;
        if (length % scales->shape[i]) return false;
        block[i] = length / scales->shape[i];
    }
    p->row_block = block[0];
    p->group = block[1];
    p->row_stride = p->n_groups = scales->shape[1];
    p->group_stride = 1;
    return true;
}

static mica_status find_fp8(finder *f, set *s, mica_error *err)
{
    mica__packed *p = &s->packed;
    const mica__tensor_view *codes = s->first, *scales = part(f, s->base, ".weight_scale_inv");
    if (!scales) scales = part(f, s->base, ".weight_scale");
    if (codes->ndim != 2) return MICA_OK; /* not a matrix: left as it is, to be refused by its type */
    p->packing = MICA__PACKING_FP8;
    p->bits = 8;
    p->n_rows = codes->shape[0];
    p->n_columns = p->group = codes->shape[1];
    p->row_block = p->n_groups = 1;
    p->codes = codes->data;
    p->plain = MICA_DTYPE_BF16;
    s->type_name = "FP8";
    if (scales) {
        const bool e8m0 = is_type(scales, "F8_E8M0") || is_plain(scales, MICA_DTYPE_U8);
        const bool one = elements(scales) == 1, by_row = elements(scales) == p->n_rows && scales->shape[0] == p->n_rows;
        if (!e8m0 && !is_float(scales)) return fail_part(scales, "floats or exponents", err);
        if (one || by_row)
            MICA_TRY(take_scales_by_row(s, scales, err));
        else if (!take_blocks(f, s, scales))
            return fail_part(scales, "one, one for each row, or one for each block", err);
        if (!one && !by_row) add_part(s, scales);
        p->scales = scales->data;
        p->scale_dtype = e8m0 ? MICA_DTYPE_U8 : scales->dtype;
    }
    static const char *const unused[] = {".activation_scale", ".input_scale"};
    for (size_t i = 0; i < 2; i++) add_part(s, part(f, s->base, unused[i]));
    return add_set(f, s, ".weight", err);
}

/* Whether codes are in blocks of 16 bytes, [..., out, in / 32, 16], with a scale for each block, [..., out, in / 32]. */
static bool in_fp4_blocks(const mica__tensor_view *codes, const mica__tensor_view *scales)
{
    if (scales->ndim != codes->ndim - 1 || codes->shape[scales->ndim] != 16) return false;
    for (int i = 0; i < scales->ndim; i++)
        if (scales->shape[i] != codes->shape[i]) return false;
    return true;
}

/* Bytes of two e2m1 codes. scales: U8 (e8m0) or F8_E4M3. */
static mica_status find_fp4(finder *f, set *s, const mica__tensor_view *scales, const char *suffix, mica_error *err)
{
    mica__packed *p = &s->packed;
    const mica__tensor_view *codes = s->first, *whole = part(f, s->base, ".weight_global_scale");
    const bool e4m3 = is_type(scales, "F8_E4M3");
    const int64_t n_scales = scales ? elements(scales) : 0;
    if (!n_scales || (!e4m3 && !is_type(scales, "F8_E8M0") && !is_plain(scales, MICA_DTYPE_U8)) || codes->ndim < 2)
        return fail_part(scales ? scales : codes, "scales of 8 bits", err);
    if (scales->ndim < 1) return fail_part(scales, "one for each group", err);
    if (codes->ndim > 2 && !in_fp4_blocks(codes, scales)) return fail_part(scales, "one for each block of codes", err);
    const int64_t n_columns = codes->ndim == 2 ? codes->shape[1] * 2 : scales->shape[scales->ndim - 1] * 32;
    if (n_columns < 1 || elements(codes) * 2 % n_columns) return fail_part(codes, "pairs of codes", err);
    p->packing = MICA__PACKING_FP4;
    p->bits = 4;
    p->n_columns = n_columns;
    p->n_rows = elements(codes) * 2 / n_columns;
    p->n_groups = n_scales / (p->n_rows ? p->n_rows : 1);
    p->group = p->n_groups ? n_columns / p->n_groups : 0;
    if (p->group != (e4m3 ? 16 : 32) || p->n_rows * p->n_groups != n_scales || p->n_groups * p->group != n_columns)
        return fail_part(scales, e4m3 ? "one for each 16 columns" : "one for each 32 columns", err);
    p->codes = codes->data;
    p->scales = scales->data;
    p->scale_dtype = e4m3 ? MICA_DTYPE_I8 : MICA_DTYPE_U8;
    p->row_block = p->group_stride = 1;
    p->row_stride = p->n_groups;
    p->plain = MICA_DTYPE_BF16;
    if (whole) {
        float global;
        if (!is_plain(whole, MICA_DTYPE_F32) || elements(whole) != 1) return fail_part(whole, "one float32", err);
        memcpy(&global, whole->data, sizeof global);
        p->factor = 1 / global;
        add_part(s, whole);
    }
    add_part(s, scales);
    add_part(s, part(f, s->base, ".input_global_scale"));
    if (codes->ndim > 2) { /* [..., out, in / 32, 16] */
        s->ndim = codes->ndim - 1;
        memcpy(s->shape, codes->shape, sizeof s->shape);
        s->shape[s->ndim - 1] = n_columns;
    }
    s->type_name = e4m3 ? "NVFP4" : "MXFP4";
    return add_set(f, s, suffix, err);
}

/* ---- bitsandbytes, 4 bits --------------------------------------------------------------------------------------------------------- */

/* A copy: the file's numbers have any alignment. */
static mica_status take_table(finder *f, set *s, const char *suffix, int64_t n, const float **out, mica_error *err)
{
    const mica__tensor_view *v = part(f, s->base, suffix);
    if (!is_plain(v, MICA_DTYPE_F32) || elements(v) != n)
        return fail_part(v ? v : s->first, "a table of float32 beside it", err);
    float *copy = mica__arena_alloc(&f->c->names, (size_t)n, sizeof *copy);
    if (!copy) return mica__fail_memory(err, (size_t)n * sizeof *copy, "a table");
    memcpy(copy, v->data, (size_t)n * sizeof *copy);
    *out = copy;
    add_part(s, v);
    return MICA_OK;
}

/* The JSON that stands in a tensor of bytes. */
static mica_status read_state(set *s, const mica__tensor_view *state, mica_error *err)
{
    mica__packed *p = &s->packed;
    mica__json doc;
    if (!is_plain(state, MICA_DTYPE_U8)) return fail_part(state, "bytes", err);
    mica_status status = mica__json_parse(&doc, (const char *)state->data, state->n_bytes, NULL, err);
    if (status) return mica__fail_prefix(err, status, "tensor '%s'", MICA_QUOTED_STR(state->name));
    mica__jval root = mica__json_root(&doc), shape = mica__json_get(root, "shape");
    mica__str dtype = {0};
    double offset = 0;
    const bool ok = mica__json_count(shape) == 2 && mica__json_int(mica__json_at(shape, 0), &p->n_rows) &&
                    mica__json_int(mica__json_at(shape, 1), &p->n_columns) &&
                    mica__json_int(mica__json_get(root, "blocksize"), &p->block);
    mica__json_int(mica__json_get(root, "nested_blocksize"), &p->nested_block);
    mica__json_double(mica__json_get(root, "nested_offset"), &offset);
    mica__json_string(mica__json_get(root, "dtype"), &dtype);
    p->offset = (float)offset;
    p->plain = mica__str_is(dtype, "float16")   ? MICA_DTYPE_F16
               : mica__str_is(dtype, "float32") ? MICA_DTYPE_F32
                                                : MICA_DTYPE_BF16;
    mica__json_release(&doc);
    return ok ? MICA_OK : fail_part(state, "shape and blocksize", err);
}

static mica_status find_bnb4(finder *f, set *s, mica_error *err)
{
    mica__packed *p = &s->packed;
    const mica__tensor_view *state = part(f, s->base, ".weight.quant_state.bitsandbytes__nf4"),
                            *absmax = part(f, s->base, ".weight.absmax"),
                            *nested = part(f, s->base, ".weight.nested_absmax");
    if (!state) state = part(f, s->base, ".weight.quant_state.bitsandbytes__fp4");
    if (!state) return mica__fail(err, MICA_DATA, "tensor '%s' has no quant_state", MICA_QUOTED_STR(s->first->name));
    p->packing = MICA__PACKING_BNB4;
    p->bits = 4;
    p->codes = s->first->data;
    MICA_TRY(read_state(s, state, err));
    const int64_t n_codes = elements(s->first) * 2;
    if (p->n_rows < 1 || p->n_columns < 1 || p->block < 1 || p->n_rows > n_codes ||
        p->n_columns > n_codes / p->n_rows || p->n_rows * p->n_columns + 1 < n_codes)
        return fail_part(s->first, "two codes in a byte", err);
    const int64_t n_blocks = divide_up(p->n_rows * p->n_columns, p->block);
    if (!is_plain(absmax, nested ? MICA_DTYPE_U8 : MICA_DTYPE_F32) || elements(absmax) != n_blocks)
        return fail_part(absmax ? absmax : s->first, "one absmax for each block", err);
    p->absmax = absmax->data;
    add_part(s, state);
    add_part(s, absmax);
    MICA_TRY(take_table(f, s, ".weight.quant_map", 16, &p->table, err));
    if (nested) {
        MICA_TRY(take_table(f, s, ".weight.nested_quant_map", 256, &p->nested_table, err));
        if (p->nested_block < 1 || !is_plain(nested, MICA_DTYPE_F32) ||
            elements(nested) != divide_up(n_blocks, p->nested_block))
            return fail_part(nested, "float32, one for each block of blocks", err);
        p->nested_absmax = nested->data;
        add_part(s, nested);
    }
    s->type_name = "bitsandbytes 4-bit";
    return add_set(f, s, ".weight", err);
}

/* ---- finding ------------------------------------------------------------------------------------------------------------------- */

static mica_status look_at(finder *f, const mica__tensor_view *v, mica_error *err)
{
    static const char *const ends[] = {".qweight", ".weight_packed", ".weight", "_blocks"};
    int end = 0;
    while (end < 4 && !mica__str_ends(v->name, ends[end])) end++;
    if (end == 4 || v->strides) return MICA_OK;
    set s = {.base = {v->name.p, v->name.n - strlen(ends[end])}, .first = v, .packed = {.factor = 1}};
    mica__str method = config_text(f, "quant_method");
    add_part(&s, v);
    if (end == 0) return (mica__str_is(method, "awq") ? find_awq : find_gptq)(f, &s, err);
    if (end == 1 && is_plain(v, MICA_DTYPE_U8))
        return find_fp4(f, &s, part(f, s.base, ".weight_scale"), ".weight", err);
    if (end == 1) return find_rows(f, &s, err);
    if (end == 3) {
        const mica__tensor_view *scales = part(f, s.base, "_scales");
        return scales && is_plain(v, MICA_DTYPE_U8) ? find_fp4(f, &s, scales, "", err) : MICA_OK;
    }
    if (is_type(v, "F8_E4M3")) return find_fp8(f, &s, err);
    if (is_plain(v, MICA_DTYPE_I8)) return find_int8(f, &s, err);
    if (!is_plain(v, MICA_DTYPE_U8)) return MICA_OK;
    if (part(f, s.base, ".weight.absmax")) return find_bnb4(f, &s, err);
    if (part(f, s.base, ".weight_scale")) return find_ternary(f, &s, err);
    return MICA_OK;
}

/* quantization_config of the whole or of the text part; of older checkpoints in a file of its own. What cannot be read is reported by
 * those who need it. */
static mica_status read_config(finder *f, mica_error *err)
{
    static const char *const files[] = {"config.json", "quantize_config.json", "quant_config.json"};
    for (size_t i = 0; i < 3 && !f->quantization; i++) {
        mica__str text;
        mica__json_release(&f->config);
        mica_status status = mica__checkpoint_text(f->c, files[i], &text, err);
        if (status == MICA_OK) status = mica__json_parse(&f->config, text.p, text.n, NULL, err);
        if (status == MICA_MEMORY) return status;
        if (status != MICA_OK) continue;
        mica__jval root = mica__json_root(&f->config);
        f->quantization = i ? root : mica__json_get(root, "quantization_config");
        if (!f->quantization)
            f->quantization = mica__json_get(mica__json_get(root, "text_config"), "quantization_config");
    }
    return MICA_OK;
}

/* The tensors that are no parts, and the sets. */
static mica_status put_in_place(finder *f, mica_error *err)
{
    mica__checkpoint *c = f->c;
    mica__tensor_view *old = c->tensors;
    const size_t n = c->n_tensors;
    c->tensors = NULL;
    c->n_tensors = c->cap_tensors = 0;
    mica__map_release(&c->by_name);
    mica_status status = MICA_OK;
    for (size_t i = 0; i < n && !status; i++)
        if (!f->used[i]) status = mica__checkpoint_add_tensor(c, &old[i], err);
    for (size_t i = 0; i < f->n_made && !status; i++) status = mica__checkpoint_add_tensor(c, &f->made[i], err);
    mica__free(old);
    return status;
}

/* Whatever is missing later on, this is likely to be why. */
static void notice_unknown(const finder *f)
{
    static const char *const known[] = {"gptq", "awq", "compressed-tensors", "fp8", "mxfp4", "bitnet", "bitsandbytes"};
    const mica__str method = config_text(f, "quant_method");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (mica__str_is(method, known[i])) return;
    if (method.n && !f->n_made)
        mica__checkpoint_notice(f->c, "%s: quantization '%s' is not supported", f->c->path, MICA_QUOTED_STR(method));
}

mica_status mica__checkpoint_find_packed(mica__checkpoint *c, mica_error *err)
{
    finder f = {.c = c};
    if (!c->n_tensors) return MICA_OK;
    f.used = mica__calloc(c->n_tensors, sizeof *f.used);
    f.made = mica__alloc(c->n_tensors, sizeof *f.made);
    mica_status status =
        f.used && f.made ? MICA_OK : mica__fail_memory(err, c->n_tensors * sizeof *f.made, "quantized tensors");
    if (!status) status = read_config(&f, err);
    for (size_t i = 0; i < c->n_tensors && !status; i++)
        if (!f.used[i]) status = look_at(&f, &c->tensors[i], err);
    if (!status) notice_unknown(&f);
    if (!status && f.n_made) status = put_in_place(&f, err);
    if (!status && f.n_expanded)
        mica__checkpoint_notice(c,
                                "%s: %zu of %zu quantized matrices (%s) have no exact form in groups of columns; their "
                                "elements are expanded",
                                c->path, f.n_expanded, f.n_made, f.why);
    mica__json_release(&f.config);
    mica__free(f.used);
    mica__free(f.made);
    return status;
}
