/* generate/inside.c: what the model computed inside, row by row, shown to the caller of a generation while it lasts. */
#include "base/memory.h"
#include "pass.h"
#include "search.h"

/* Room for what a part gives. */
static mica_status make_room(const mica__search *d, mica__arena *memory, mica_forward *f, mica_error *err)
{
    const mica__decoder_spec *spec = &d->b->model->spec;
    const size_t layers = (size_t)spec->n_layers, length = (size_t)f->session->length + f->n;
    size_t states = (layers + 1) * (size_t)spec->hidden, weights = layers * (size_t)spec->n_heads;
    if (!mica__mul(states, f->n, &states) || !mica__mul(weights, f->n, &weights) ||
        !mica__mul(weights, length, &weights))
        return mica__fail_memory(err, length, "a look inside");
    if (d->q->want_hidden_states) f->hidden_states = mica__arena_alloc(memory, states, sizeof *f->hidden_states);
    if (d->q->want_attentions) f->attentions = mica__arena_alloc(memory, weights, sizeof *f->attentions);
    if ((d->q->want_hidden_states && !f->hidden_states) || (d->q->want_attentions && !f->attentions))
        return mica__fail_memory(err, (states + weights) * sizeof(float), "a look inside");
    return MICA_OK;
}

static mica_status show(const mica__search *d, const mica_forward *f, size_t row, mica_error *err)
{
    const mica_batch_callbacks *c = &d->q->callbacks;
    const mica_batch_inside inside = {.step = d->step,
                                      .row = row,
                                      .n_rows = d->n_rows,
                                      .n = f->n,
                                      .length = (size_t)f->session->length,
                                      .hidden_states = f->hidden_states,
                                      .attentions = f->attentions};
    return c->inside(c->context, &inside) ? mica__fail_cancelled(err) : MICA_OK;
}

static mica_status pass_and_show(mica__search *d, mica__arena *memory, mica_forward *parts, size_t n, size_t n_looked,
                                 mica_error *err)
{
    const size_t rows = d->n_rows / n_looked; /* of a part */
    for (size_t i = 0; i < n_looked; i++) MICA_TRY(make_room(d, memory, &parts[i], err));
    MICA_TRY(mica__pass(parts, n, err));
    for (size_t r = 0; r < d->n_rows; r++) MICA_TRY(show(d, &parts[r / rows], r, err));
    return MICA_OK;
}

mica_status mica__search_pass(mica__search *d, mica_forward *parts, size_t n, size_t n_looked, mica_error *err)
{
    mica__arena memory = {0};
    if (!d->inside) return mica__pass(parts, n, err);
    mica_status status = pass_and_show(d, &memory, parts, n, n_looked, err);
    mica__arena_release(&memory);
    return status;
}
