/* Batches: each row is what it would be alone, whatever is beside it, left or right of it; several answers, callbacks, wanted scores,
 * cancelling, and lack of memory. */
#include <mica/mica.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "failing_allocator.h"
#include "models/reference.h"

enum { VOCAB = 512, NEW = 12, WIDTH = 9 };

/* Three prompts of llama-chat, padded on the left with 1. */
static const int32_t padded[3][WIDTH] = {{1, 0, 59, 330, 263, 492, 339, 16, 263},
                                         {1, 1, 1, 1, 1, 0, 59, 330, 263},
                                         {0, 59, 330, 263, 492, 339, 16, 263, 320}};
static const uint8_t mask[3][WIDTH] = {
    {0, 1, 1, 1, 1, 1, 1, 1, 1}, {0, 0, 0, 0, 0, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1}};
static const size_t real_length[3] = {8, 4, 9};

static mica_model *chat_model(void)
{
    char path[512];
    return reference_path(path, "chat-models", "llama-chat") ? reference_model(path, 2, 0) : NULL;
}

static mica_batch *new_batch(mica_model *model)
{
    mica_batch *b;
    mica_error err;
    reference_check(mica_batch_create(&b, model, NULL, &err), &err, "batch");
    return b;
}

static mica_generation_config *new_config(const mica_model *model, const char *json)
{
    mica_generation_config *config;
    mica_error err;
    reference_check(mica_generation_config_create(&config, model, &err), &err, "settings");
    reference_check(mica_generation_config_update(config, json, strlen(json), &err), &err, json);
    return config;
}

static mica_batch_request three(const mica_generation_config *config)
{
    return (mica_batch_request){.ids = padded[0], .mask = mask[0], .n_prompts = 3, .width = WIDTH, .config = config};
}

static mica_batch_result run(mica_batch *b, const mica_batch_request *q)
{
    mica_batch_result r;
    mica_error err;
    reference_check(mica_batch_generate(b, q, &r, &err), &err, "generate");
    return r;
}

/* Prompt `i` without its padding, by mica_generate. */
static void alone(mica_model *model, size_t i, const mica_generation_config *config, int32_t *out)
{
    mica_session *s;
    mica_generate_result r;
    mica_error err;
    reference_check(mica_session_create(&s, model, NULL, &err), &err, "session");
    reference_check(mica_generate(s, padded[i] + WIDTH - real_length[i], real_length[i], config, NULL, NULL, &r, &err),
                    &err, "alone");
    assert_int_equal(r.ids.n, NEW);
    memcpy(out, r.ids.data, NEW * sizeof *out);
    mica_ids_release(&r.ids);
    mica_session_free(s);
}

static void test_rows_as_alone(void **state)
{
    (void)state;
    mica_model *model = chat_model();
    if (!model) skip();
    mica_generation_config *config = new_config(model, "{\"max_new_tokens\": 12, \"eos_token_id\": null}");
    mica_batch *b = new_batch(model);
    mica_batch_request q = three(config);
    for (int round = 0; round < 2; round++) { /* the second finds the prompts in the caches */
        mica_batch_result r = run(b, &q);
        assert_int_equal(r.n_sequences, 3);
        assert_int_equal(r.n_new, NEW);
        if (round) assert_int_equal(r.n_prompt, 3);
        for (size_t i = 0; i < 3; i++) {
            int32_t expected[NEW];
            alone(model, i, config, expected);
            assert_int_equal(r.lengths[i], NEW);
            assert_int_equal(r.reasons[i], MICA_STOP_LENGTH);
            assert_memory_equal(r.ids + i * NEW, expected, sizeof expected);
        }
        mica_batch_result_release(&r);
    }
    /* Prompts of other lengths, without padding. */
    int32_t ragged[3][WIDTH] = {{0}};
    for (size_t i = 0; i < 3; i++)
        memcpy(ragged[i], padded[i] + WIDTH - real_length[i], real_length[i] * sizeof **ragged);
    q.ids = ragged[0], q.mask = NULL, q.lengths = real_length;
    mica_batch_result r = run(b, &q);
    for (size_t i = 0; i < 3; i++) {
        int32_t expected[NEW];
        alone(model, i, config, expected);
        assert_memory_equal(r.ids + i * NEW, expected, sizeof expected);
    }
    mica_batch_result_release(&r);
    mica_batch_free(b);
    mica_generation_config_free(config);
    mica_model_free(model);
}

/* Padding on the left, on the right, in the middle; logits equal those of the row without it to the bit. */
static void test_forward(void **state)
{
    (void)state;
    mica_model *model = chat_model();
    if (!model) skip();
    mica_batch *b = new_batch(model);
    mica_error err;
    static const int32_t ids[3][6] = {{1, 1, 0, 59, 330, 263}, {0, 59, 330, 263, 1, 1}, {0, 1, 59, 330, 1, 263}};
    static const uint8_t seen[3][6] = {{0, 0, 1, 1, 1, 1}, {1, 1, 1, 1, 0, 0}, {1, 0, 1, 1, 0, 1}};
    float *logits = mica__alloc(3 * 6 * VOCAB, sizeof *logits), *expected = mica__alloc(4 * VOCAB, sizeof *expected);
    reference_check(mica_batch_forward(b, ids[1], NULL, 1, 4, expected, &err), &err, "forward");
    reference_check(mica_batch_forward(b, ids[0], seen[0], 3, 6, logits, &err), &err, "forward");
    for (size_t r = 0; r < 3; r++) {
        for (size_t i = 0, k = 0; i < 6; i++) {
            const float *row = logits + (r * 6 + i) * VOCAB;
            if (seen[r][i]) assert_memory_equal(row, expected + k++ * VOCAB, VOCAB * sizeof *row);
            if (!seen[r][i]) assert_true(row[0] == 0 && row[VOCAB - 1] == 0);
        }
    }
    assert_int_equal(mica_batch_forward(b, (int32_t[]){5, VOCAB}, NULL, 1, 2, logits, &err), MICA_INVALID);
    mica__free(logits);
    mica__free(expected);
    mica_batch_free(b);
    mica_model_free(model);
}

/* ---- several answers ----------------------------------------------------------------------------------------------------- */

static void test_answers(void **state)
{
    (void)state;
    mica_model *model = chat_model();
    mica_error err;
    if (!model) skip();
    const char *json =
        "{\"max_new_tokens\": 12, \"do_sample\": true, \"temperature\": 1.5, \"seed\": 5, \"eos_token_id\": null}";
    mica_generation_config *config = new_config(model, json);
    mica_batch *b = new_batch(model);
    mica_batch_request q = {.ids = padded[2], .n_prompts = 1, .width = WIDTH, .config = config};
    int32_t single[NEW];
    alone(model, 2, config, single);
    reference_check(mica_generation_config_set(config, "num_return_sequences", "3", &err), &err, "set");
    mica_batch_result r = run(b, &q), again = run(b, &q);
    assert_int_equal(r.n_sequences, 3);
    assert_memory_equal(r.ids, single, sizeof single); /* the first is what the seed gives alone */
    assert_memory_not_equal(r.ids, r.ids + NEW, sizeof single);
    assert_memory_not_equal(r.ids + NEW, r.ids + 2 * NEW, sizeof single);
    assert_memory_equal(r.ids, again.ids, 3 * sizeof single);
    mica_batch_result_release(&r);
    mica_batch_result_release(&again);

    /* Beams draw, too. */
    reference_check(mica_generation_config_set(config, "num_beams", "3", &err), &err, "set");
    r = run(b, &q), again = run(b, &q);
    assert_memory_equal(r.ids, again.ids, 3 * r.n_new * sizeof *r.ids);
    assert_true(r.sequences_scores[0] >= r.sequences_scores[1] && r.sequences_scores[1] >= r.sequences_scores[2]);
    mica_batch_result_release(&r);
    mica_batch_result_release(&again);

    /* What cannot be. */
    static const char *const wrong[] = {
        "{\"num_beams\": 2}", "{\"num_beams\": 1, \"do_sample\": false}",
        "{\"num_return_sequences\": 1, \"num_beams\": 2, \"prompt_lookup_num_tokens\": 3}",
        "{\"num_beams\": 5000, \"prompt_lookup_num_tokens\": null}"};
    for (size_t i = 0; i < 4; i++) {
        reference_check(mica_generation_config_update(config, wrong[i], strlen(wrong[i]), &err), &err, wrong[i]);
        assert_int_equal(mica_batch_generate(b, &q, &r, &err), i == 3 ? MICA_LIMIT : MICA_INVALID);
        assert_null(r.ids);
    }
    static const char *const refused[] = {"{\"watermarking_config\": {\"ngram_len\": 5}, \"num_beams\": 1}",
                                          "{\"watermarking_config\": {\"context_width\": 0}}",
                                          "{\"watermarking_config\": null, \"num_beam_groups\": 2}"};
    for (size_t i = 0; i < 3; i++) {
        reference_check(mica_generation_config_update(config, refused[i], strlen(refused[i]), &err), &err, refused[i]);
        assert_int_equal(mica_batch_generate(b, &q, &r, &err), i == 1 ? MICA_INVALID : MICA_UNSUPPORTED);
    }
    mica_batch_free(b);
    mica_generation_config_free(config);
    mica_model_free(model);
}

/* Rows that are done get padding, here a token of its own; beams are filled as well. */
static void test_ends(void **state)
{
    (void)state;
    mica_model *model = chat_model();
    if (!model) skip();
    mica_generation_config *config =
        new_config(model, "{\"max_new_tokens\": 12, \"eos_token_id\": 402, \"pad_token_id\": 7}");
    mica_batch *b = new_batch(model);
    mica_batch_request q = three(config);
    mica_batch_result r = run(b, &q), all;
    q.want_logits = true; /* now finished rows go on, and nothing of the result changes */
    all = run(b, &q);
    bool padding = false;
    for (size_t i = 0; i < 3; i++) {
        const int32_t *ids = r.ids + i * r.n_new;
        bool ended = r.lengths[i] < r.n_new;
        assert_int_equal(r.reasons[i], ids[r.lengths[i] - 1] == 402 ? MICA_STOP_EOS : MICA_STOP_LENGTH);
        for (size_t k = r.lengths[i]; k < r.n_new; k++) assert_int_equal(ids[k], 7);
        padding = padding || ended;
    }
    assert_true(padding);
    assert_int_equal(all.n_new, r.n_new);
    assert_int_equal(all.n_steps, r.n_new);
    assert_memory_equal(all.ids, r.ids, 3 * r.n_new * sizeof *r.ids);
    mica_batch_result_release(&r);
    mica_batch_result_release(&all);
    mica_batch_free(b);
    mica_generation_config_free(config);
    mica_model_free(model);
}

/* ---- callbacks ------------------------------------------------------------------------------------------------------------- */

typedef struct seen {
    size_t n_process, n_stop, n_tokens, n_rows;
    int32_t tokens[3 * NEW], ban, allowed[2];
    size_t fail_at; /* process fails at this call, from 1 */
    mica_batch *cancel;
} seen;

static int process(void *context, const mica_batch_step *step)
{
    seen *s = context;
    assert_int_equal(step->step, s->n_process);
    assert_int_equal(step->vocab, VOCAB);
    for (size_t r = 0; r < step->n_rows; r++) {
        if (s->ban >= 0) step->scores[r * step->vocab + (size_t)s->ban] = -INFINITY;
        if (step->lengths[r] == WIDTH && step->n_rows == 3) /* padding is as it was given */
            assert_memory_equal(step->ids + r * step->stride, padded[r], sizeof padded[r]);
    }
    s->n_rows = step->n_rows;
    return ++s->n_process == s->fail_at;
}

static int stop_fourth(void *context, const mica_batch_step *step, bool *done)
{
    seen *s = context;
    s->n_stop++;
    for (size_t r = 0; r < step->n_rows; r++) done[r] = step->lengths[r] == WIDTH + 4;
    return 0;
}

static int allow_two(void *context, size_t prompt, const int32_t *ids, size_t n, const int32_t **allowed,
                     size_t *n_allowed)
{
    seen *s = context;
    assert_true(prompt < 3);
    assert_memory_equal(ids, padded[prompt], WIDTH * sizeof *ids);
    *allowed = s->allowed;
    *n_allowed = n == WIDTH + 2 ? 0 : 2;
    return 0;
}

static int take_tokens(void *context, const int32_t *ids, size_t n_rows)
{
    seen *s = context;
    assert_int_equal(n_rows, 3);
    for (size_t r = 0; r < 3; r++) s->tokens[r * NEW + s->n_tokens] = ids[r];
    s->n_tokens++;
    if (s->cancel && s->n_tokens == 3) mica_batch_cancel(s->cancel);
    return 0;
}

static void test_callbacks(void **state)
{
    (void)state;
    mica_model *model = chat_model();
    mica_error err;
    if (!model) skip();
    mica_generation_config *config = new_config(model, "{\"max_new_tokens\": 12, \"eos_token_id\": null}");
    mica_batch *b = new_batch(model);
    mica_batch_request q = three(config);
    mica_batch_result plain = run(b, &q), r;

    seen s = {.ban = plain.ids[0]};
    q.callbacks = (mica_batch_callbacks){.context = &s, .process = process, .stop = stop_fourth, .tokens = take_tokens};
    q.want_scores = true;
    r = run(b, &q);
    assert_int_equal(r.n_new, 4);
    assert_int_equal(s.n_process, 4);
    assert_int_equal(s.n_stop, 4);
    assert_int_equal(s.n_tokens, 4);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(r.reasons[i], MICA_STOP_CALLBACK);
        for (size_t k = 0; k < 4; k++) {
            const float *scores = r.scores + (k * 3 + i) * VOCAB;
            int32_t id = r.ids[i * 4 + k];
            assert_int_equal(id, s.tokens[i * NEW + k]);
            assert_true(scores[s.ban] == -INFINITY);
            for (size_t v = 0; v < VOCAB; v++) assert_true(scores[v] <= scores[id]);
        }
    }
    mica_batch_result_release(&r);

    /* Only two tokens are allowed, and in the third step none. */
    s = (seen){.allowed = {17, 18}};
    q.callbacks = (mica_batch_callbacks){.context = &s, .allow = allow_two};
    assert_int_equal(mica_batch_generate(b, &q, &r, &err), MICA_INVALID);
    reference_check(mica_generation_config_set(config, "max_new_tokens", "2", &err), &err, "set");
    r = run(b, &q);
    for (size_t i = 0; i < 6; i++) assert_true(r.ids[i] == 17 || r.ids[i] == 18);
    mica_batch_result_release(&r);
    reference_check(mica_generation_config_set(config, "max_new_tokens", "12", &err), &err, "set");

    /* A failing callback and a cancellation end the call; what came before is there. */
    s = (seen){.ban = -1, .fail_at = 3};
    q.callbacks = (mica_batch_callbacks){.context = &s, .process = process};
    assert_int_equal(mica_batch_generate(b, &q, &r, &err), MICA_CANCELLED);
    assert_int_equal(r.n_new, 2);
    for (size_t i = 0; i < 3; i++) assert_memory_equal(r.ids + i * 2, plain.ids + i * NEW, 2 * sizeof *r.ids);
    mica_batch_result_release(&r);
    s = (seen){.cancel = b};
    q.callbacks = (mica_batch_callbacks){.context = &s, .tokens = take_tokens};
    assert_int_equal(mica_batch_generate(b, &q, &r, &err), MICA_CANCELLED);
    assert_int_equal(r.n_new, 3);
    mica_batch_result_release(&r);
    q.callbacks = (mica_batch_callbacks){.context = NULL};
    r = run(b, &q); /* and the batch goes on working */
    assert_memory_equal(r.ids, plain.ids, 3 * NEW * sizeof *r.ids);
    mica_batch_result_release(&r);

    /* In a beam search the criteria see candidates, and there is nothing to stream. */
    reference_check(mica_generation_config_set(config, "num_beams", "3", &err), &err, "set");
    s = (seen){.ban = -1};
    q.callbacks = (mica_batch_callbacks){.context = &s, .process = process, .stop = stop_fourth};
    r = run(b, &q);
    assert_int_equal(r.n_new, 4);
    assert_int_equal(s.n_rows, 9);
    assert_int_equal(r.reasons[0], MICA_STOP_CALLBACK);
    mica_batch_result_release(&r);
    q.callbacks = (mica_batch_callbacks){.context = &s, .tokens = take_tokens};
    assert_int_equal(mica_batch_generate(b, &q, &r, &err), MICA_INVALID);
    mica_batch_result_release(&plain);
    mica_batch_free(b);
    mica_generation_config_free(config);
    mica_model_free(model);
}

/* ---- guesses ----------------------------------------------------------------------------------------------------------------- */

/* The same tokens and scores with guesses as without, from the text, from the model itself and from another model. */
static void test_guesses(void **state)
{
    (void)state;
    char path[512];
    mica_error err;
    static const char *const targets[] = {"llama-chat", "gemma-chat"};
    static const char *const settings[] = {
        "{\"max_new_tokens\": 60, \"eos_token_id\": null}",
        "{\"max_new_tokens\": 60, \"do_sample\": true, \"temperature\": 1.2, \"seed\": 9, \"repetition_penalty\": 1.1}",
        "{\"max_new_tokens\": 60, \"no_repeat_ngram_size\": 3, \"min_new_tokens\": 50}"};
    for (size_t t = 0; t < 2; t++) {
        if (!reference_path(path, "chat-models", targets[t])) continue;
        mica_model *model = reference_model(path, 2, 0), *other = chat_model();
        mica_batch *b = new_batch(model);
        for (size_t i = 0; i < 3; i++) {
            mica_generation_config *config = new_config(model, settings[i]);
            mica_batch_request q = {
                .ids = padded[2], .n_prompts = 1, .width = WIDTH, .config = config, .want_scores = true};
            mica_batch_result plain = run(b, &q), r;
            for (int how = 0; how < 4; how++) {
                const char *lookup = how ? "null" : "4";
                q.assistant = how == 1 ? model : how >= 2 ? other : NULL;
                reference_check(mica_generation_config_set(config, "prompt_lookup_num_tokens", lookup, &err), &err,
                                "set");
                if (how == 3) {
                    const char *more =
                        "{\"num_assistant_tokens\": 2, \"num_assistant_tokens_schedule\": \"heuristic\", "
                        "\"assistant_confidence_threshold\": 0.0}";
                    reference_check(mica_generation_config_update(config, more, strlen(more), &err), &err, more);
                }
                r = run(b, &q);
                assert_int_equal(r.n_new, plain.n_new);
                assert_memory_equal(r.ids, plain.ids, r.n_new * sizeof *r.ids);
                assert_memory_equal(r.scores, plain.scores, r.n_steps * r.vocab * sizeof *r.scores);
                printf("%s, settings %zu, guesses %d: %lld of %lld right\n", targets[t], i, how,
                       (long long)r.n_accepted, (long long)r.n_guessed);
                if (how == 1) assert_true(r.n_accepted > 20 && r.n_accepted == r.n_guessed);
                mica_batch_result_release(&r);
            }
            mica_batch_result_release(&plain);
            mica_generation_config_free(config);
        }
        mica_batch_free(b);
        mica_model_free(model);
        mica_model_free(other);
    }
}

/* ---- lack of memory ------------------------------------------------------------------------------------------------------------ */

typedef struct attempt {
    mica_model *model;
    const mica_generation_config *config;
    mica_model *assistant;
} attempt;

static mica_status generate_once(void *context)
{
    const attempt *a = context;
    mica_batch *b;
    mica_batch_result r;
    MICA_TRY(mica_batch_create(&b, a->model, NULL, NULL));
    mica_batch_request q = three(a->config);
    q.assistant = a->assistant;
    if (a->assistant) q.n_prompts = 1;
    q.want_scores = true;
    mica_status status = mica_batch_generate(b, &q, &r, NULL);
    mica_batch_result_release(&r);
    mica_batch_free(b);
    return status;
}

static void test_memory(void **state)
{
    (void)state;
    char path[512];
    if (!reference_path(path, "chat-models", "llama-chat")) skip();
    mica_model *model = reference_model(path, 1, 0);
    static const char *const settings[] = {
        "{\"max_new_tokens\": 2, \"stop_strings\": \"zzz\"}",
        "{\"max_new_tokens\": 2, \"num_beams\": 2, \"do_sample\": true, \"stop_strings\": \"zzz\"}",
        "{\"max_new_tokens\": 2, \"guidance_scale\": 1.5}", "{\"max_new_tokens\": 4}"};
    for (size_t i = 0; i < 4; i++) {
        mica_generation_config *config = new_config(model, settings[i]);
        attempt a = {model, config, i == 3 ? model : NULL};
        assert_int_equal(generate_once(&a), MICA_OK); /* programs and tokenizer are made once, outside the sweep */
        printf("%zu allocations\n", failing_allocator_sweep(generate_once, &a));
        mica_generation_config_free(config);
    }
    mica_model_free(model);
}

/* ---- a look inside ------------------------------------------------------------------------------------------------------- */

typedef struct look {
    size_t calls, positions[3], layers, width, heads;
    float last[3]; /* a hidden state of the newest position */
    bool sums;     /* attention adds up to one */
} look;

static int take_inside(void *context, const mica_batch_inside *inside)
{
    look *l = context;
    const size_t row = inside->row;
    l->calls++;
    l->positions[row] += inside->n;
    l->sums = l->sums && l->positions[row] == inside->length;
    l->last[row] = inside->hidden_states[(l->layers * inside->n + inside->n - 1) * l->width];
    for (size_t r = 0; r < l->layers * l->heads * inside->n; r++) {
        double sum = 0;
        for (size_t k = 0; k < inside->length; k++) sum += (double)inside->attentions[r * inside->length + k];
        l->sums = l->sums && sum > 1 - 1e-5 && sum < 1 + 1e-5;
    }
    return 0;
}

/* The same tokens as without a look; rows, steps and positions are all told of; and hidden states are those of the row alone. */
static void test_inside(void **state)
{
    (void)state;
    mica_model *model = chat_model();
    if (!model) skip();
    mica_error err;
    const mica_model_info *info = mica_model_get_info(model);
    mica_generation_config *config = new_config(model, "{\"max_new_tokens\": 5, \"eos_token_id\": null}");
    mica_batch *b = new_batch(model);
    mica_batch_request q = three(config);
    mica_batch_result plain = run(b, &q), r;
    look l = {.layers = (size_t)info->n_layers, .width = (size_t)info->hidden_size, .heads = (size_t)info->n_heads};
    l.sums = true;
    q.want_hidden_states = q.want_attentions = true;
    assert_int_equal(mica_batch_generate(b, &q, &r, &err), MICA_INVALID);
    q.callbacks = (mica_batch_callbacks){.context = &l, .inside = take_inside};
    r = run(b, &q);
    assert_memory_equal(r.ids, plain.ids, 3 * 5 * sizeof *r.ids);
    assert_int_equal(l.calls, 15);
    assert_true(l.sums);
    for (size_t i = 0; i < 3; i++) {
        mica_session *s;
        int32_t ids[WIDTH + 4];
        float hidden[64 * 1024];
        const size_t n = real_length[i] + 4;
        memcpy(ids, padded[i] + WIDTH - real_length[i], real_length[i] * sizeof *ids);
        memcpy(ids + real_length[i], r.ids + i * 5, 4 * sizeof *ids);
        assert_true((l.layers + 1) * n * l.width <= sizeof hidden / sizeof *hidden);
        reference_check(mica_session_create(&s, model, NULL, &err), &err, "session");
        const mica_forward part = {s, .ids = ids, .n = n, .hidden_states = hidden};
        reference_check(mica_sessions_forward(&part, 1, &err), &err, "alone");
        assert_int_equal(l.positions[i], n);
        assert_memory_equal(&l.last[i], &hidden[(l.layers * n + n - 1) * l.width], sizeof *hidden);
        mica_session_free(s);
    }
    mica_batch_result_release(&plain);
    mica_batch_result_release(&r);
    mica_batch_free(b);
    mica_generation_config_free(config);
    mica_model_free(model);
}

/* From embeddings come the tokens that come from the ids, with ids beside them or none. */
static void test_embeddings(void **state)
{
    (void)state;
    mica_model *model = chat_model();
    if (!model) skip();
    mica_error err;
    const size_t width = (size_t)mica_model_get_info(model)->hidden_size;
    mica_generation_config *config = new_config(model, "{\"max_new_tokens\": 5, \"eos_token_id\": null}");
    mica_generation_config *guided = new_config(model, "{\"max_new_tokens\": 5, \"guidance_scale\": 1.5}");
    mica_batch *b = new_batch(model);
    mica_batch_request q = three(config);
    mica_batch_result plain = run(b, &q);
    float *in = test_malloc(3 * WIDTH * width * sizeof *in);
    reference_check(mica_model_embed(model, padded[0], 3 * WIDTH, in, &err), &err, "embed");
    q.embeddings = in, q.embeddings_width = WIDTH;
    for (size_t round = 0; round < 2; round++) {
        if (round) q.ids = NULL, q.width = 0;
        mica_batch_result r = run(b, &q);
        assert_int_equal(r.n_prompt, 21);
        assert_int_equal(r.n_new, 5);
        assert_memory_equal(r.ids, plain.ids, 3 * 5 * sizeof *r.ids);
        mica_batch_result_release(&r);
    }
    mica_batch_result r;
    q.config = guided;
    assert_int_equal(mica_batch_generate(b, &q, &r, &err), MICA_INVALID);
    q.config = config, q.embeddings_width = 0;
    assert_int_equal(mica_batch_generate(b, &q, &r, &err), MICA_INVALID);
    test_free(in);
    mica_batch_result_release(&plain);
    mica_batch_free(b);
    mica_generation_config_free(config);
    mica_generation_config_free(guided);
    mica_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_as_alone), cmocka_unit_test(test_forward),   cmocka_unit_test(test_answers),
        cmocka_unit_test(test_ends),          cmocka_unit_test(test_callbacks), cmocka_unit_test(test_guesses),
        cmocka_unit_test(test_memory),        cmocka_unit_test(test_inside),    cmocka_unit_test(test_embeddings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
