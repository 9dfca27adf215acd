#include "elementwise.h"
#include "kernels.h"
mica__f32_run mica__f32_op_avx2(mica__op op)
{
    (void)op;
    return NULL;
}
