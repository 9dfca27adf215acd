/* The least program that needs the library at run time and uses a status, an error and an array. */
#include <mica/mica.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    mica_error err;
    mica_graph *g = NULL;
    if (strcmp(mica_version(), MICA_VERSION) != 0) return 1;
    if (mica_graph_create(&g, NULL, &err) != MICA_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    const float data[2] = {1.5f, 2.5f};
    mica_array *sum = mica_sum(g, mica_from_data(g, data, MICA_DTYPE_F32, (int64_t[]){2}, 1), 0, false);
    if (mica_eval(g, &sum, 1, &err) != MICA_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    const float *value = mica_array_data(sum);
    const int ok = value && *value == 4.0f;
    mica_graph_free(g);
    return ok ? 0 : 1;
}
