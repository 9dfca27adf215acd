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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_as_alone),
        cmocka_unit_test(test_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
