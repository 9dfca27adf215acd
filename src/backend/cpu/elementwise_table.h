/* backend/cpu/elementwise_table.h: which of a file's loops an op takes. For the end of a file that defines them all, for one instruction set. */
mica__f32_run mica__f32_op_fast(mica__op op)
{
    switch (op) {
    case MICA__OP_SQUARE:
        return square_run;
    case MICA__OP_SQRT:
        return sqrt_run;
    case MICA__OP_RSQRT:
        return rsqrt_run;
    case MICA__OP_RECIPROCAL:
        return reciprocal_run;
    case MICA__OP_EXP:
        return exp_run;
    case MICA__OP_TANH:
        return tanh_run;
    case MICA__OP_SIGMOID:
        return sigmoid_run;
    case MICA__OP_SILU:
        return silu_run;
    case MICA__OP_GELU_TANH:
        return gelu_tanh_run;
    case MICA__OP_RELU:
        return relu_run;
    case MICA__OP_ADD:
        return add_run;
    case MICA__OP_SUBTRACT:
        return subtract_run;
    case MICA__OP_MULTIPLY:
        return multiply_run;
    case MICA__OP_DIVIDE:
        return divide_run;
    case MICA__OP_MAXIMUM:
        return maximum_run;
    case MICA__OP_MINIMUM:
        return minimum_run;
    default:
        return NULL;
    }
}
