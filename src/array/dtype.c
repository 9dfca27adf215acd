/* array/dtype.c: element types: sizes, names, and the type that two of them meet in. */
#include "array.h"

size_t mica_dtype_size(mica_dtype dtype)
{
    static const unsigned char sizes[] = {
#define SIZE(name, value, size, text) [value] = size,
        MICA_DTYPE_MAP(SIZE)
#undef SIZE
    };
    return (unsigned)dtype < MICA_DTYPE_COUNT ? sizes[dtype] : 0;
}

const char *mica_dtype_name(mica_dtype dtype)
{
    static const char *const names[] = {
#define NAME(name, value, size, text) [value] = text,
        MICA_DTYPE_MAP(NAME)
#undef NAME
    };
    return (unsigned)dtype < MICA_DTYPE_COUNT ? names[dtype] : "unknown";
}

static bool is_unsigned(mica_dtype t)
{
    return t == MICA_DTYPE_U8 || t == MICA_DTYPE_U16 || t == MICA_DTYPE_U32 || t == MICA_DTYPE_U64;
}

static mica_dtype signed_of_size(size_t size)
{
    return size == 1 ? MICA_DTYPE_I8 : size == 2 ? MICA_DTYPE_I16 : size == 4 ? MICA_DTYPE_I32 : MICA_DTYPE_I64;
}

/* Floats win over integers, integers over bool; the wider wins; f16 with bf16 gives f32; an unsigned with a signed one gives a
 * signed type that holds both (i64 for u64). */
mica_dtype mica__promote(mica_dtype a, mica_dtype b)
{
    if (a == b) return a;
    if (mica__is_float(a) && mica__is_float(b)) {
        if (a == MICA_DTYPE_F64 || b == MICA_DTYPE_F64) return MICA_DTYPE_F64;
        return MICA_DTYPE_F32;
    }
    if (mica__is_float(a)) return a;
    if (mica__is_float(b)) return b;
    if (a == MICA_DTYPE_BOOL) return b;
    if (b == MICA_DTYPE_BOOL) return a;
    size_t size_a = mica_dtype_size(a), size_b = mica_dtype_size(b);
    if (is_unsigned(a) == is_unsigned(b)) return size_a > size_b ? a : b;
    size_t size_unsigned = is_unsigned(a) ? size_a : size_b, size_signed = is_unsigned(a) ? size_b : size_a;
    return signed_of_size(size_signed > size_unsigned ? size_signed : size_unsigned * 2);
}
