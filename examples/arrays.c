/* Arithmetic with arrays: a small attention, once lazily evaluated, once as a program that is compiled and run twice. */
#include <mica/mica.h>
#include <stdio.h>

/* softmax(q k^T) v for q, k, v [T, 4] */
static mica_array *attend(mica_graph *g, mica_array *q, mica_array *k, mica_array *v)
{
    mica_array *scores = mica_matmul(g, q, mica_transpose(g, k, NULL));
    return mica_matmul(g, mica_softmax(g, scores, -1), v);
}

static void print(const char *title, const float *x, int rows, int columns)
{
    printf("%s\n", title);
    for (int i = 0; i < rows * columns; i++) printf("%8.4f%s", (double)x[i], (i + 1) % columns ? " " : "\n");
}

static mica_status run(mica_graph *g, mica_error *err)
{
    float data[12], out[12];
    const int64_t shape[] = {3, 4};
    for (int i = 0; i < 12; i++) data[i] = (float)(i % 5) * 0.25f;

    /* Nothing is computed until mica_eval asks for it. */
    mica_array *x = mica_from_data(g, data, MICA_DTYPE_F32, shape, 2);
    mica_array *y = attend(g, x, x, x);
    mica_status status = mica_eval(g, &y, 1, err);
    if (status) return status;
    print("evaluated", mica_array_data(y), 3, 4);

    /* The same graph over an input becomes a fixed list of instructions: running it allocates nothing. */
    mica_program *program = NULL;
    mica_array *in = mica_input(g, 0, MICA_DTYPE_F32, shape, 2, false);
    mica_array *result = attend(g, in, in, in);
    if ((status = mica_program_compile(&program, g, &result, 1, NULL, err))) return status;
    for (int round = 0; round < 2 && !status; round++) {
        const void *inputs[] = {data};
        void *outputs[] = {out};
        const mica_bindings bindings = {.inputs = inputs, .outputs = outputs, .n_inputs = 1, .n_outputs = 1};
        if (!(status = mica_program_run(program, &bindings, err)))
            print(round ? "program, other data" : "program", out, 3, 4);
        for (int i = 0; i < 12; i++) data[i] = -data[i];
    }
    mica_program_free(program);
    return status;
}

int main(void)
{
    mica_graph *g = NULL;
    mica_error err = {0};
    mica_status status = mica_graph_create(&g, NULL, &err);
    if (!status) status = run(g, &err);
    if (status) fprintf(stderr, "%s\n", err.message);
    mica_graph_free(g);
    return mica_status_exit_code(status);
}
