/* Finding tensors: prefixes, ties, missing, misshapen and extra ones, and MLX-quantized ones. Checkpoints are written into a temporary folder. */
#include "models/weights.h"

#include "models/registry.h"
#include <mica/mica.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "models/reference.h"

#define CONFIG                                                                                                         \
    "{\"model_type\": \"llama\", \"hidden_size\": 8, \"intermediate_size\": 4, \"num_hidden_layers\": 1, "             \
    "\"num_attention_heads\": 2,"                                                                                      \
    "\"num_key_value_heads\": 1, \"vocab_size\": 3, \"tie_word_embeddings\": %s}"

typedef struct tensor {
    const char *name;
    int rows, columns; /* columns 0: a vector */
    float value;
} tensor;

static const tensor body[] = {
    {"layers.0.input_layernorm.weight", 8, 0, 1},
    {"layers.0.post_attention_layernorm.weight", 8, 0, 1},
    {"layers.0.self_attn.q_proj.weight", 8, 8, 0.1f},
    {"layers.0.self_attn.k_proj.weight", 4, 8, 0.2f},
    {"layers.0.self_attn.v_proj.weight", 4, 8, 0.3f},
    {"layers.0.self_attn.o_proj.weight", 8, 8, 0.4f},
    {"layers.0.mlp.gate_proj.weight", 4, 8, 0.5f},
    {"layers.0.mlp.up_proj.weight", 4, 8, 0.6f},
    {"layers.0.mlp.down_proj.weight", 8, 4, 0.7f},
    {"norm.weight", 8, 0, 1},
    {"embed_tokens.weight", 3, 8, 2},
};
enum { N_BODY = sizeof body / sizeof *body };

/* A safetensors file of float32 tensors, each full of one value. */
typedef struct writer {
    mica__buf header, data;
    char folder[64];
} writer;

static void add_tensor(writer *w, const char *prefix, const tensor *t)
{
    size_t n = (size_t)t->rows * (size_t)(t->columns ? t->columns : 1), begin = w->data.n;
    for (size_t i = 0; i < n; i++) mica__buf_append(&w->data, &t->value, 4);
    mica__buf_printf(&w->header, "%s\"%s%s\": {\"dtype\": \"F32\", \"shape\": [%d", w->header.n > 1 ? ", " : "", prefix,
                     t->name, t->rows);
    if (t->columns) mica__buf_printf(&w->header, ", %d", t->columns);
    mica__buf_printf(&w->header, "], \"data_offsets\": [%zu, %zu]}", begin, w->data.n);
}

static void begin(writer *w)
{
    *w = (writer){.folder = "/tmp/mica-test-XXXXXX"};
    assert_non_null(mkdtemp(w->folder));
    mica__buf_append_char(&w->header, '{');
}

static void add_body(writer *w, const char *prefix, const char *without)
{
    for (size_t i = 0; i < N_BODY; i++) {
        if (!without || !strstr(body[i].name, without)) add_tensor(w, prefix, &body[i]);
    }
}

static void put(const writer *w, const char *name, const void *bytes, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", w->folder, name);
    assert_int_equal(mica__file_write(path, bytes, n, NULL), MICA_OK);
}

static void finish(writer *w, const char *tied)
{
    mica__buf file = {0};
    char config[512];
    mica__buf_append_char(&w->header, '}');
    const uint64_t n = w->header.n;
    mica__buf_append(&file, &n, 8);
    mica__buf_append(&file, w->header.p, w->header.n);
    mica__buf_append(&file, w->data.p, w->data.n);
    put(w, "model.safetensors", file.p, file.n);
    put(w, "config.json", config, (size_t)snprintf(config, sizeof config, CONFIG, tied));
    mica__buf_release(&file);
}

static void end(writer *w)
{
    char path[128];
    snprintf(path, sizeof path, "%s/model.safetensors", w->folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/config.json", w->folder);
    unlink(path);
    rmdir(w->folder);
    mica__buf_release(&w->header);
    mica__buf_release(&w->data);
}

static mica__buf noticed;
static void notice(void *context, const char *message)
{
    (void)context;
    mica__buf_printf(&noticed, "%s\n", message);
}

/* Loads what was written; on success the first values of the embedding and of the head are given. */
static mica_status load(const writer *w, float *embedding, float *head, bool *tied, mica_error *err)
{
    const mica_notices notices = {notice, NULL};
    mica__checkpoint *c = NULL;
    mica__config config = {0};
    mica__decoder_spec s;
    mica__weights weights = {0};
    mica__str text;
    mica__buf_clear(&noticed);
    mica_status status = mica__checkpoint_open(&c, w->folder, &notices, err);
    if (!status) status = mica__checkpoint_text(c, "config.json", &text, err);
    if (!status) status = mica__config_parse(&config, text, &notices, err);
    if (!status) status = mica__describe(&s, &config, err);
    if (!status) status = mica__weights_load(&weights, &s, c, false, NULL, NULL, &notices, err);
    if (!status) {
        memcpy(embedding, weights.embedding.data, 4);
        memcpy(head, weights.head.data, 4);
        *tied = weights.tied;
    }
    mica__weights_release(&weights);
    mica__config_release(&config);
    mica__checkpoint_free(c);
    return status;
}

static const tensor lm_head = {"lm_head.weight", 3, 8, 5}, same_head = {"lm_head.weight", 3, 8, 2};

static void test_ties(void **state)
{
    (void)state;
    static const struct {
        const char *tied, *without; /* of the body */
        const tensor *head;
        mica_status status;
        float embedding, used_head;
        bool is_tied;
    } cases[] = {
        {"true", NULL, NULL, MICA_OK, 2, 2, true},        {"true", NULL, &same_head, MICA_OK, 2, 2, true},
        {"true", NULL, &lm_head, MICA_OK, 2, 5, false},   /* differs: used */
        {"true", "embed", &lm_head, MICA_OK, 5, 5, true}, /* alone: serves as both */
        {"false", NULL, &lm_head, MICA_OK, 2, 5, false},  {"false", NULL, NULL, MICA_DATA, 0, 0, false},
        {"true", "embed", NULL, MICA_DATA, 0, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        writer w;
        float embedding = 0, head = 0;
        bool tied = false;
        mica_error err = {0};
        begin(&w);
        add_body(&w, "model.", cases[i].without);
        if (cases[i].head) add_tensor(&w, "", cases[i].head);
        finish(&w, cases[i].tied);
        mica_status status = load(&w, &embedding, &head, &tied, &err);
        if (status != cases[i].status) fail_msg("case %zu: status %d %s", i, status, err.message);
        assert_true(embedding == cases[i].embedding && head == cases[i].used_head);
        assert_int_equal(tied, cases[i].is_tied);
        if (i == 2) assert_non_null(strstr(noticed.p, "differs"));
        end(&w);
    }
}

static void test_prefixes(void **state)
{
    (void)state;
    static const char *const prefixes[][2] = {{"model.", ""},
                                              {"model.language_model.", ""},
                                              {"language_model.model.", "language_model."},
                                              {"language_model.", ""},
                                              {"", ""}};
    static const tensor vision = {"vision_tower.encoder.weight", 2, 2, 0};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        writer w;
        float embedding, head;
        bool tied;
        mica_error err;
        begin(&w);
        add_body(&w, prefixes[i][0], NULL);
        add_tensor(&w, prefixes[i][1], &lm_head);
        add_tensor(&w, "", &vision);
        finish(&w, "false");
        reference_check(load(&w, &embedding, &head, &tied, &err), &err, prefixes[i][0]);
        assert_true(embedding == 2 && head == 5);
        assert_int_equal(noticed.n, 0); /* the vision part is nobody's business here */
        end(&w);
    }
}

static void expect_failure(writer *w, mica_status expected, const char *part)
{
    float embedding, head;
    bool tied;
    mica_error err;
    finish(w, "true");
    mica_status status = load(w, &embedding, &head, &tied, &err);
    if (status != expected || !strstr(err.message, part))
        fail_msg("status %d: %s", status, status ? err.message : "loaded");
    end(w);
}

static void test_reports(void **state)
{
    (void)state;
    writer w;
    static const tensor transposed = {"model.layers.0.mlp.up_proj.weight", 8, 4, 0},
                        rows = {"model.embed_tokens.weight", 5, 8, 0};
    begin(&w);
    add_body(&w, "model.", "mlp");
    expect_failure(&w, MICA_DATA,
                   "3 tensors are missing: model.layers.0.mlp.gate_proj.weight, model.layers.0.mlp.up_proj.weight, ");
    begin(&w);
    expect_failure(&w, MICA_DATA, "11 tensors are missing");
    begin(&w);
    add_body(&w, "model.", "up_proj");
    add_tensor(&w, "", &transposed);
    expect_failure(&w, MICA_DATA, "model.layers.0.mlp.up_proj.weight is [8, 4], not [4, 8]");
    begin(&w);
    add_body(&w, "model.", "embed");
    add_tensor(&w, "", &rows);
    expect_failure(&w, MICA_DATA, "is [5, 8], not [3, 8] (vocab_size, hidden_size)");
}

static void test_extra(void **state)
{
    (void)state;
    static const tensor extra[] = {
        {"model.layers.0.self_attn.rotary_emb.inv_freq", 2, 0, 0}, /* harmless */
        {"model.layers.1.mlp.up_proj.weight", 4, 8, 0},            /* a layer beyond the last: a prediction head */
        {"model.layers.0.mlp.up_proj.bias", 4, 0, 0},              /* said by no config */
    };
    writer w;
    float embedding, head;
    bool tied;
    mica_error err;
    begin(&w);
    add_body(&w, "model.", NULL);
    for (size_t i = 0; i < 3; i++) add_tensor(&w, "", &extra[i]);
    finish(&w, "true");
    reference_check(load(&w, &embedding, &head, &tied, &err), &err, "extra");
    assert_non_null(strstr(noticed.p, "1 tensors are not used: model.layers.0.mlp.up_proj.bias"));
    end(&w);
    mica__buf_release(&noticed);
}

/* What mlx-lm's convert writes, in every width. */
static void test_mlx(void **state)
{
    (void)state;
    static const char *const names[] = {"llama-affine-2-32",
                                        "llama-affine-3-32",
                                        "llama-affine-4-32",
                                        "llama-affine-4-64",
                                        "llama-affine-5-32",
                                        "llama-affine-6-64",
                                        "llama-affine-8-32",
                                        "llama-mixed_3_6",
                                        "llama-plain",
                                        "qwen2-affine-8-32",
                                        "qwen3-affine-4-32",
                                        "gemma3_text-affine-4-32",
                                        "llama-3.2-tied-rope3-affine-4-32"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        reference_file f;
        size_t n_ids, n_logits;
        mica_error err;
        mica_session *session;
        if (!reference_path(path, "mlx/models", names[i])) continue;
        reference_open_tensors(&f, path, "reference.safetensors");
        const int32_t *ids = reference_tensor(&f, "input_ids", &n_ids);
        const float *expected = reference_tensor(&f, "logits", &n_logits);
        float *logits = mica__alloc(n_logits, sizeof *logits);
        mica_model *model = reference_model(path, 0, 0);
        reference_check(mica_session_create(&session, model, NULL, &err), &err, names[i]);
        reference_check(mica_session_forward(session, ids, n_ids, true, logits, &err), &err, names[i]);
        double worst = reference_difference(logits, expected, n_logits);
        printf("%-34s %-32s logits differ by %.2g\n", names[i], mica_model_get_info(model)->weights, worst);
        assert_true(worst <= 1e-4);
        mica_session_free(session);
        mica_model_free(model);
        mica__free(logits);
        reference_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ties),  cmocka_unit_test(test_prefixes), cmocka_unit_test(test_reports),
        cmocka_unit_test(test_extra), cmocka_unit_test(test_mlx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
