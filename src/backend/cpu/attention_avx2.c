#include "attention.h"
#include "kernels.h"
const mica__attention_kit *mica__attention_fast(int64_t head_dim, int64_t value_dim)
{
    (void)head_dim;
    (void)value_dim;
    return NULL;
}
