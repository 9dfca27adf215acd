/* generate/process.c: the processors alone, for programs that choose tokens themselves. */
#include "processors.h"

#include <mica/generate.h>

static mica_status apply(const mica__settings *s, const int32_t *ids, size_t n_rows, size_t width, size_t vocab,
                         float *scores, mica_error *err)
{
    mica__processors p;
    MICA_TRY(mica__processors_create(&p, s, vocab, err));
    for (size_t r = 0; r < n_rows; r++) {
        const int32_t *row = ids + r * width;
        p.prompt = (mica__id_list){row, (size_t)s->n_prompt};
        mica__processors_apply(&p, row, width, scores + r * vocab);
    }
    mica__processors_release(&p);
    return MICA_OK;
}

mica_status mica_process_scores(const mica_generation_config *config, const int32_t *ids, size_t n_rows, size_t width,
                                size_t n_prompt, size_t vocab, float *scores, mica_error *err)
{
    mica__settings s;
    if (n_prompt > width)
        return mica__fail(err, MICA_INVALID, "a prompt of %zu ids in sequences of %zu", n_prompt, width);
    if (vocab > INT32_MAX || width > INT32_MAX)
        return mica__fail(err, MICA_INVALID, "%zu scores for sequences of %zu ids", vocab, width);
    for (size_t i = 0; i < n_rows * width; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= vocab)
            return mica__fail(err, MICA_INVALID, "token id %d, there are scores of %zu tokens", (int)ids[i], vocab);
    MICA_TRY(mica__settings_resolve(&s, config, (int64_t)n_prompt, INT32_MAX, (int64_t)vocab, err));
    mica_status status = apply(&s, ids, n_rows, width, vocab, scores, err);
    mica__settings_release(&s);
    return status;
}
