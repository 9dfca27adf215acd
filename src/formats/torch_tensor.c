/* formats/torch_tensor.c: from the values of a PyTorch pickle to tensor views.
 *
 * A tensor is a call of one of the functions that PyTorch rebuilds tensors with. Which of their arguments are storage, offset, sizes and
 * strides is all that is known about them here. Every view is compared with its storage in checked arithmetic: no element of it lies
 * outside. */
#include "torch_private.h"

enum { MAX_TENSORS = 100000 }; /* as many as the memo has places; one tensor can be named more often */

typedef mica__pickle_value value;

/* ---- names --------------------------------------------------------------------------------------------------------------- */

enum {
    F32,
    F16,
    BF16,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    BOOL,
    C64,
    C128,
    E4M3,
    E5M2,
    E8M0,
    E4M3FNUZ,
    E5M2FNUZ
};

static const mica__torch_dtype dtypes[] = {
    [F32] = {"F32", 4, MICA__STORAGE_PLAIN, MICA_DTYPE_F32},
    [F16] = {"F16", 2, MICA__STORAGE_PLAIN, MICA_DTYPE_F16},
    [BF16] = {"BF16", 2, MICA__STORAGE_PLAIN, MICA_DTYPE_BF16},
    [F64] = {"F64", 8, MICA__STORAGE_PLAIN, MICA_DTYPE_F64},
    [I8] = {"I8", 1, MICA__STORAGE_PLAIN, MICA_DTYPE_I8},
    [I16] = {"I16", 2, MICA__STORAGE_PLAIN, MICA_DTYPE_I16},
    [I32] = {"I32", 4, MICA__STORAGE_PLAIN, MICA_DTYPE_I32},
    [I64] = {"I64", 8, MICA__STORAGE_PLAIN, MICA_DTYPE_I64},
    [U8] = {"U8", 1, MICA__STORAGE_PLAIN, MICA_DTYPE_U8},
    [U16] = {"U16", 2, MICA__STORAGE_PLAIN, MICA_DTYPE_U16},
    [U32] = {"U32", 4, MICA__STORAGE_PLAIN, MICA_DTYPE_U32},
    [U64] = {"U64", 8, MICA__STORAGE_PLAIN, MICA_DTYPE_U64},
    [BOOL] = {"BOOL", 1, MICA__STORAGE_PLAIN, MICA_DTYPE_BOOL},
    [C64] = {"C64", 8, MICA__STORAGE_OTHER, 0},
    [C128] = {"C128", 16, MICA__STORAGE_OTHER, 0},
    [E4M3] = {"F8_E4M3", 1, MICA__STORAGE_OTHER, 0},
    [E5M2] = {"F8_E5M2", 1, MICA__STORAGE_OTHER, 0},
    [E8M0] = {"F8_E8M0", 1, MICA__STORAGE_OTHER, 0},
    [E4M3FNUZ] = {"F8_E4M3FNUZ", 1, MICA__STORAGE_OTHER, 0},
    [E5M2FNUZ] = {"F8_E5M2FNUZ", 1, MICA__STORAGE_OTHER, 0},
};

/* The tags of the names. */
enum {
    ORDERED_DICT,
    BESIDE, /* may occur beside tensors and means nothing here */
    REBUILD_TENSOR,
    REBUILD_TENSOR_V2,
    REBUILD_TENSOR_V3,
    REBUILD_PARAMETER,
    REBUILD_PARAMETER_WITH_STATE,
    REBUILD_FROM_TYPE,
    UNTYPED_STORAGE,
    STORAGE = 32, /* + index in dtypes */
    DTYPE = 64,   /* + index in dtypes */
};

#define CALLABLE(module, name, tag)                                                                                    \
    {                                                                                                                  \
        module, name, MICA__PICKLE_CALLABLE, tag                                                                       \
    }
#define NAME(module, name, tag)                                                                                        \
    {                                                                                                                  \
        module, name, MICA__PICKLE_NAME, tag                                                                           \
    }
const mica__pickle_global mica__torch_globals[] = {
    {"collections", "OrderedDict", MICA__PICKLE_MAKES_DICT, ORDERED_DICT},
    CALLABLE("torch._utils", "_rebuild_tensor", REBUILD_TENSOR),
    CALLABLE("torch._utils", "_rebuild_tensor_v2", REBUILD_TENSOR_V2),
    CALLABLE("torch._utils", "_rebuild_tensor_v3", REBUILD_TENSOR_V3),
    CALLABLE("torch._utils", "_rebuild_parameter", REBUILD_PARAMETER),
    CALLABLE("torch._utils", "_rebuild_parameter_with_state", REBUILD_PARAMETER_WITH_STATE),
    CALLABLE("torch._tensor", "_rebuild_from_type_v2", REBUILD_FROM_TYPE),
    CALLABLE("torch", "Size", BESIDE),
    CALLABLE("torch", "device", BESIDE),
    CALLABLE("_codecs", "encode", BESIDE), /* how protocol 2 writes bytes */
    NAME("torch", "Tensor", BESIDE),
    NAME("torch.nn.parameter", "Parameter", BESIDE),
    NAME("torch.storage", "UntypedStorage", UNTYPED_STORAGE),
    NAME("torch.storage", "_UntypedStorage", UNTYPED_STORAGE),
    NAME("torch", "UntypedStorage", UNTYPED_STORAGE),
    NAME("torch", "_UntypedStorage", UNTYPED_STORAGE),
    NAME("torch", "FloatStorage", STORAGE + F32),
    NAME("torch", "HalfStorage", STORAGE + F16),
    NAME("torch", "BFloat16Storage", STORAGE + BF16),
    NAME("torch", "DoubleStorage", STORAGE + F64),
    NAME("torch", "CharStorage", STORAGE + I8),
    NAME("torch", "ShortStorage", STORAGE + I16),
    NAME("torch", "IntStorage", STORAGE + I32),
    NAME("torch", "LongStorage", STORAGE + I64),
    NAME("torch", "ByteStorage", STORAGE + U8),
    NAME("torch", "BoolStorage", STORAGE + BOOL),
    NAME("torch", "ComplexFloatStorage", STORAGE + C64),
    NAME("torch", "ComplexDoubleStorage", STORAGE + C128),
    NAME("torch", "float32", DTYPE + F32),
    NAME("torch", "float16", DTYPE + F16),
    NAME("torch", "bfloat16", DTYPE + BF16),
    NAME("torch", "float64", DTYPE + F64),
    NAME("torch", "int8", DTYPE + I8),
    NAME("torch", "int16", DTYPE + I16),
    NAME("torch", "int32", DTYPE + I32),
    NAME("torch", "int64", DTYPE + I64),
    NAME("torch", "uint8", DTYPE + U8),
    NAME("torch", "uint16", DTYPE + U16),
    NAME("torch", "uint32", DTYPE + U32),
    NAME("torch", "uint64", DTYPE + U64),
    NAME("torch", "bool", DTYPE + BOOL),
    NAME("torch", "complex64", DTYPE + C64),
    NAME("torch", "complex128", DTYPE + C128),
    NAME("torch", "float8_e4m3fn", DTYPE + E4M3),
    NAME("torch", "float8_e5m2", DTYPE + E5M2),
    NAME("torch", "float8_e8m0fnu", DTYPE + E8M0),
    NAME("torch", "float8_e4m3fnuz", DTYPE + E4M3FNUZ),
    NAME("torch", "float8_e5m2fnuz", DTYPE + E5M2FNUZ),
};
#undef CALLABLE
#undef NAME
const size_t mica__torch_n_globals = sizeof mica__torch_globals / sizeof *mica__torch_globals;

static int tag_of(const value *v) { return mica__torch_globals[v->global].tag; }

static bool is_size(const value *v) { return v->type == MICA__PICKLE_INT && v->u.integer >= 0; }

/* ---- storages ------------------------------------------------------------------------------------------------------------ */

/* What a persistent id says: ("storage", type, key, place, number of elements), in the old form with None or a part of it,
 * (key of the part, first element, number of elements), at the end. */
typedef struct reference {
    mica__torch_storage whole;
    size_t first, n_elements; /* the part */
} reference;

static mica_status read_reference(reference *out, const value *persistent, mica_error *err)
{
    const value *id = &persistent->u.object->items[0];
    const value *field = id->type == MICA__PICKLE_TUPLE ? id->u.object->items : NULL;
    size_t n = field ? id->u.object->n_items : 0;
    if ((n != 5 && n != 6) || field[0].type != MICA__PICKLE_TEXT ||
        !mica__str_is(mica__pickle_str(&field[0]), "storage"))
        return mica__fail(err, MICA_DATA, "a persistent id is no storage");
    if (field[1].type != MICA__PICKLE_GLOBAL || field[2].type != MICA__PICKLE_TEXT || !is_size(&field[4]))
        return mica__fail(err, MICA_DATA, "a storage has no type, key or size");
    int tag = tag_of(&field[1]);
    if (tag != UNTYPED_STORAGE && (tag < STORAGE || tag >= DTYPE))
        return mica__fail(err, MICA_DATA, "storage '%s': its type is no storage type",
                          MICA_QUOTED_STR(mica__pickle_str(&field[2])));
    *out = (reference){.whole = {.key = mica__pickle_str(&field[2]),
                                 .dtype = tag == UNTYPED_STORAGE ? NULL : &dtypes[tag - STORAGE],
                                 .n_elements = (size_t)field[4].u.integer},
                       .n_elements = (size_t)field[4].u.integer};
    const char *key = MICA_QUOTED_STR(out->whole.key);
    if (!mica__mul(out->whole.n_elements, out->whole.dtype ? out->whole.dtype->n_bytes : 1, &out->whole.n_bytes))
        return mica__fail(err, MICA_DATA, "storage '%s': its size overflows", key);
    if (n == 5 || field[5].type == MICA__PICKLE_NONE) return MICA_OK;
    const value *part = field[5].type == MICA__PICKLE_TUPLE ? field[5].u.object->items : NULL;
    size_t end;
    if (!part || field[5].u.object->n_items != 3 || !is_size(&part[1]) || !is_size(&part[2]) ||
        !mica__add((size_t)part[1].u.integer, (size_t)part[2].u.integer, &end) || end > out->whole.n_elements)
        return mica__fail(err, MICA_DATA, "storage '%s': a part of it lies outside", key);
    out->first = (size_t)part[1].u.integer;
    out->n_elements = (size_t)part[2].u.integer;
    return MICA_OK;
}

static mica_status add_storage(mica__torch_storages *s, const mica__torch_storage *storage, mica_error *err)
{
    const mica__torch_storage *known = mica__torch_storages_find(s, storage->key);
    if (known) {
        if (known->dtype == storage->dtype && known->n_elements == storage->n_elements) return MICA_OK;
        return mica__fail(err, MICA_DATA, "storage '%s' is used with two types or sizes",
                          MICA_QUOTED_STR(storage->key));
    }
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 64;
        mica__torch_storage *items = mica__realloc(s->items, cap, sizeof *items);
        if (!items) return mica__fail_memory(err, cap * sizeof *items, "storages");
        s->items = items;
        s->cap = cap;
    }
    if (!mica__map_add(&s->by_key, storage->key, (uint32_t)s->n, NULL))
        return mica__fail_memory(err, s->n, "storage keys");
    s->items[s->n++] = *storage;
    return MICA_OK;
}

mica_status mica__torch_storages_list(mica__torch_storages *out, const mica__pickle *p, mica_error *err)
{
    *out = (mica__torch_storages){0};
    mica_status status = MICA_OK;
    for (size_t i = 0; i < p->n_persistents && status == MICA_OK; i++) {
        reference r;
        status = read_reference(&r, &p->persistents[i], err);
        if (status == MICA_OK) status = add_storage(out, &r.whole, err);
    }
    if (status != MICA_OK) mica__torch_storages_release(out);
    return status;
}

mica__torch_storage *mica__torch_storages_find(const mica__torch_storages *s, mica__str key)
{
    uint32_t i;
    return mica__map_get(&s->by_key, key, &i) ? &s->items[i] : NULL;
}

void mica__torch_storages_release(mica__torch_storages *s)
{
    mica__free(s->items);
    mica__map_release(&s->by_key);
    *s = (mica__torch_storages){0};
}

/* ---- one tensor ---------------------------------------------------------------------------------------------------------- */

static bool is_tensor(const value *v)
{
    return v->type == MICA__PICKLE_CALL && tag_of(v) >= REBUILD_TENSOR && tag_of(v) <= REBUILD_FROM_TYPE;
}

/* The call that has a storage, inside those that make a parameter or a subclass of a tensor. */
typedef struct rebuild {
    int tag;
    const value *arguments; /* [n] */
    size_t n;
} rebuild;

static mica_status unwrap(rebuild *out, const value *v, mica_error *err)
{
    *out = (rebuild){tag_of(v), v->u.object->items, v->u.object->n_items};
    for (;;) {
        const value *a = out->arguments;
        switch (out->tag) {
        case REBUILD_PARAMETER: /* tensor, requires_grad, hooks */
        case REBUILD_PARAMETER_WITH_STATE:
            if (out->n < 1 || !is_tensor(a)) return mica__fail(err, MICA_DATA, "a parameter is made of no tensor");
            *out = (rebuild){tag_of(a), a->u.object->items, a->u.object->n_items};
            break;
        case REBUILD_FROM_TYPE: /* function, type, arguments, state */
            if (out->n != 4 || a[0].type != MICA__PICKLE_GLOBAL || a[2].type != MICA__PICKLE_TUPLE)
                return mica__fail(err, MICA_DATA, "a typed tensor is made of no call");
            *out = (rebuild){tag_of(&a[0]), a[2].u.object->items, a[2].u.object->n_items};
            break;
        case REBUILD_TENSOR: /* storage, offset, sizes, strides */
            return out->n == 4 ? MICA_OK : mica__fail(err, MICA_DATA, "rebuilt from %zu arguments", out->n);
        case REBUILD_TENSOR_V2: /* the same, requires_grad, hooks, perhaps metadata */
            return out->n == 6 || out->n == 7 ? MICA_OK
                                              : mica__fail(err, MICA_DATA, "rebuilt from %zu arguments", out->n);
        case REBUILD_TENSOR_V3: /* the same, requires_grad, hooks, dtype, perhaps metadata */
            return out->n == 7 || out->n == 8 ? MICA_OK
                                              : mica__fail(err, MICA_DATA, "rebuilt from %zu arguments", out->n);
        default:
            return mica__fail(err, MICA_DATA, "a tensor is made by no function that makes tensors");
        }
    }
}

/* Metadata are marks of lazily conjugated or negated tensors: {"neg": True}. */
static mica_status check_metadata(const rebuild *r, mica_error *err)
{
    size_t at = r->tag == REBUILD_TENSOR_V2 ? 6 : 7;
    if (r->tag == REBUILD_TENSOR || r->n <= at || r->arguments[at].type == MICA__PICKLE_NONE) return MICA_OK;
    if (r->arguments[at].type == MICA__PICKLE_DICT && r->arguments[at].u.object->n_items == 0) return MICA_OK;
    return mica__fail(err, MICA_UNSUPPORTED, "is negated or conjugated lazily, which is not supported");
}

/* Which elements of its storage a tensor has. */
typedef struct geometry {
    int64_t strides[MICA_MAX_DIMS];
    size_t n_elements;
    size_t first, end; /* of the range that they lie in; both 0 if there are none, wherever the file puts them */
} geometry;

static mica_status read_geometry(geometry *g, mica__tensor_view *v, const rebuild *r, mica_error *err)
{
    const value *offset = &r->arguments[1], *sizes = &r->arguments[2], *strides = &r->arguments[3];
    if (sizes->type != MICA__PICKLE_TUPLE || strides->type != MICA__PICKLE_TUPLE ||
        sizes->u.object->n_items != strides->u.object->n_items)
        return mica__fail(err, MICA_DATA, "sizes and strides are not two tuples of one length");
    if (sizes->u.object->n_items > MICA_MAX_DIMS)
        return mica__fail(err, MICA_DATA, "shape has %u dimensions, limit is %d", sizes->u.object->n_items,
                          MICA_MAX_DIMS);
    if (!is_size(offset)) return mica__fail(err, MICA_DATA, "offset is not a whole number of at least 0");
    *g = (geometry){.n_elements = 1};
    v->ndim = (int)sizes->u.object->n_items;
    bool fits = true, fits_reach = true;
    size_t reach = 0, span;
    for (int i = 0; i < v->ndim; i++) {
        const value *size = &sizes->u.object->items[i], *stride = &strides->u.object->items[i];
        if (!is_size(size) || !is_size(stride))
            return mica__fail(err, MICA_DATA, "size or stride %d is not a whole number of at least 0", i);
        v->shape[i] = size->u.integer;
        g->strides[i] = stride->u.integer;
        if (!mica__mul(g->n_elements, (size_t)v->shape[i], &g->n_elements)) fits = false;
        if (v->shape[i] &&
            (!mica__mul((size_t)v->shape[i] - 1, (size_t)g->strides[i], &span) || !mica__add(reach, span, &reach)))
            fits_reach = false;
    }
    if (!fits || g->n_elements > INT64_MAX / 16) return mica__fail(err, MICA_DATA, "shape overflows");
    if (g->n_elements == 0) return MICA_OK;
    g->first = (size_t)offset->u.integer;
    if (!fits_reach || !mica__add(g->first, reach, &g->end) || !mica__add(g->end, 1, &g->end))
        return mica__fail(err, MICA_DATA, "shape overflows");
    return MICA_OK;
}

/* Row-major: each stride is the product of the sizes behind it. Where the size is 1 the stride means nothing. */
static bool is_dense(const mica__tensor_view *v, const int64_t *strides)
{
    int64_t expected = 1;
    for (int i = v->ndim - 1; i >= 0; i--) {
        if (v->shape[i] != 1 && strides[i] != expected) return false;
        expected *= v->shape[i];
    }
    return true;
}

/* The type of the elements, which a storage of bytes takes from its first tensor. */
static mica_status choose_dtype(mica__torch_storage *s, const reference *ref, const rebuild *r, mica_error *err)
{
    const mica__torch_dtype *dtype = ref->whole.dtype ? ref->whole.dtype : &dtypes[U8];
    if (r->tag == REBUILD_TENSOR_V3) {
        const value *named = &r->arguments[6];
        if (named->type != MICA__PICKLE_GLOBAL || tag_of(named) < DTYPE)
            return mica__fail(err, MICA_DATA, "its type is no element type");
        dtype = &dtypes[tag_of(named) - DTYPE];
    }
    if (s->dtype && s->dtype != dtype)
        return mica__fail(err, MICA_DATA, "storage '%s' is used with two types, %s and %s", MICA_QUOTED_STR(s->key),
                          s->dtype->type_name, dtype->type_name);
    if (!s->dtype) {
        s->dtype = dtype;
        s->n_elements /= dtype->n_bytes;
    }
    return MICA_OK;
}

static mica_status read_tensor(mica__torch *out, mica__tensor_view *v, const value *call,
                               mica__torch_storages *storages, mica_error *err)
{
    rebuild r;
    reference ref;
    MICA_TRY(unwrap(&r, call, err));
    if (r.arguments[0].type != MICA__PICKLE_PERSISTENT) return mica__fail(err, MICA_DATA, "has no storage");
    MICA_TRY(read_reference(&ref, &r.arguments[0], err));
    MICA_TRY(check_metadata(&r, err));
    mica__torch_storage *s = mica__torch_storages_find(storages, ref.whole.key);
    if (!s || !s->data) return mica__fail(err, MICA_DATA, "has no storage");
    MICA_TRY(choose_dtype(s, &ref, &r, err));
    if (!ref.whole.dtype) {
        ref.first /= s->dtype->n_bytes;
        ref.n_elements /= s->dtype->n_bytes;
    }

    geometry g;
    MICA_TRY(read_geometry(&g, v, &r, err));
    if (g.end > ref.n_elements)
        return mica__fail(err, MICA_DATA, "reaches outside storage '%s' of %zu elements", MICA_QUOTED_STR(s->key),
                          ref.n_elements);
    v->storage = s->dtype->storage;
    v->dtype = s->dtype->dtype;
    v->type_name = s->dtype->type_name;
    v->n_bytes = g.n_elements * s->dtype->n_bytes;
    v->data = s->data + (ref.first + g.first) * s->dtype->n_bytes;
    if (g.n_elements == 0 || is_dense(v, g.strides)) return MICA_OK;
    if (v->storage != MICA__STORAGE_PLAIN)
        return mica__fail(err, MICA_UNSUPPORTED, "a strided view of type %s is not supported", v->type_name);
    int64_t *kept = mica__arena_alloc(&out->arena, (size_t)v->ndim, sizeof *kept);
    if (!kept) return mica__fail_memory(err, (size_t)v->ndim * sizeof *kept, "strides");
    memcpy(kept, g.strides, (size_t)v->ndim * sizeof *kept);
    v->strides = kept;
    return MICA_OK;
}

/* ---- the dictionary of tensors ------------------------------------------------------------------------------------------- */

static size_t count_tensors(const value *dict)
{
    size_t n = 0;
    for (uint32_t i = 1; i < dict->u.object->n_items; i += 2) n += is_tensor(&dict->u.object->items[i]);
    return n;
}

/* Training programs save their state around it, {"state_dict": {...}, "epoch": 3}, some of them twice. */
static mica_status find_state(const value **out, const value *root, mica_error *err)
{
    enum { MOST_LEVELS = 4 };
    static const char *const wrappers[] = {"state_dict", "model_state_dict", "model", "module"};
    if (root->type != MICA__PICKLE_DICT)
        return mica__fail(err, MICA_DATA, "holds %s, not a dictionary of tensors", mica__pickle_kind(root));
    const value *dict = root;
    for (int level = 0; level < MOST_LEVELS; level++) {
        const value *inner = NULL;
        for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers && !inner; i++) {
            inner = mica__pickle_get(dict, mica__str_from(wrappers[i]));
            if (inner && inner->type != MICA__PICKLE_DICT) inner = NULL;
        }
        if (!inner) break;
        dict = inner;
    }
    *out = dict;
    return MICA_OK;
}

mica_status mica__torch_read_tensors(mica__torch *out, const mica__pickle_value *root, mica__torch_storages *storages,
                                     mica_error *err)
{
    const value *dict;
    MICA_TRY(find_state(&dict, root, err));
    size_t n = count_tensors(dict);
    if (n == 0) return mica__fail(err, MICA_DATA, "holds no tensors under names");
    if (n > MAX_TENSORS) return mica__fail(err, MICA_LIMIT, "holds %zu tensors, limit is %d", n, MAX_TENSORS);
    out->tensors = mica__alloc(n, sizeof *out->tensors);
    if (!out->tensors) return mica__fail_memory(err, n * sizeof *out->tensors, "the tensor list");
    for (uint32_t i = 0; i + 1 < dict->u.object->n_items; i += 2) {
        const value *key = &dict->u.object->items[i];
        if (!is_tensor(key + 1)) continue;
        if (key->type != MICA__PICKLE_TEXT)
            return mica__fail(err, MICA_DATA, "the name of a tensor is %s", mica__pickle_kind(key));
        mica__tensor_view *v = &out->tensors[out->n_tensors++];
        *v = (mica__tensor_view){.name = mica__pickle_str(key), .file_name = mica__pickle_str(key)};
        mica_status status = read_tensor(out, v, key + 1, storages, err);
        if (status != MICA_OK) return mica__fail_prefix(err, status, "tensor '%s'", MICA_QUOTED_STR(v->name));
    }
    return MICA_OK;
}
