/* generate/generate.c: one prompt, one answer: a batch of one row over the caller's session. */
#include "base/memory.h"
#include "batch.h"

static mica_status take_result(mica_generate_result *out, mica_batch_result *r, mica_error *err)
{
    *out = (mica_generate_result){
        .n_prompt = r->n_prompt, .prompt_seconds = r->prompt_seconds, .decode_seconds = r->decode_seconds};
    if (!r->n_sequences) return MICA_OK;
    if (r->n_sequences > 1) {
        return mica__fail(err, MICA_INVALID, "num_return_sequences is %zu; mica_batch_generate returns several",
                          r->n_sequences);
    }
    out->reason = r->reasons[0];
    out->ids = (mica_ids){.data = r->ids, .n = r->lengths[0], .capacity = r->n_new};
    r->ids = NULL;
    return MICA_OK;
}

static mica_status generate(mica_session *s, const mica_batch_request *q, mica_generate_result *out, mica_error *err)
{
    mica_batch b;
    mica_batch_result r;
    mica__batch_borrow(&b, s);
    mica_status status = mica_batch_generate(&b, q, &r, err);
    if (out && (status == MICA_OK || status == MICA_CANCELLED)) {
        mica_status given = take_result(out, &r, status ? NULL : err);
        if (!status) status = given;
    }
    mica_batch_result_release(&r);
    mica__batch_release(&b);
    return status;
}

mica_status mica_generate(mica_session *s, const int32_t *ids, size_t n, const mica_generation_config *config,
                          mica_on_token on_token, void *context, mica_generate_result *result, mica_error *err)
{
    if (result) *result = (mica_generate_result){0};
    mica_batch_request q = {.ids = ids, .n_prompts = 1, .width = n, .config = config};
    q.callbacks.token = on_token;
    q.callbacks.token_context = context;
    return generate(s, &q, result, err);
}
