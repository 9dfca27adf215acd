/* Configs of every family against what Transformers' classes make of them (tests/oracle/make_config_values.py), and hostile ones. */
#include "models/config.h"

#include "base/file.h"
#include "models/registry.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "failing_allocator.h"

/* ---- against the classes ------------------------------------------------------------------------------------------------- */

typedef struct check {
    mica__jval expect;
    const char *config;
    size_t n_wrong;
} check;

static void same(check *c, const char *field, double ours, mica__jval theirs)
{
    double value = NAN;
    bool flag;
    if (mica__json_bool(theirs, &flag)) value = flag;
    mica__json_double(theirs, &value);
    if (fabs(ours - value) <= 1e-7 * fabs(value)) return;
    printf("%s is %g, expected %g: %s\n", field, ours, value, c->config);
    c->n_wrong++;
}

static void same_field(check *c, const char *field, double ours)
{
    same(c, field, ours, mica__json_get(c->expect, field));
}

static void same_ropes(check *c, const mica__decoder_spec *s)
{
    mica__jval list = mica__json_get(c->expect, "ropes");
    assert_int_equal(mica__json_count(list), s->n_ropes);
    for (int i = 0; i < s->n_ropes; i++) {
        mica__jval rope = mica__json_at(list, (size_t)i);
        mica__str type;
        assert_true(mica__json_string(mica__json_get(rope, "rope_type"), &type));
        if (!mica__str_is(type, mica__rope_type_name(s->ropes[i].type))) {
            printf("rope type is %s: %s\n", mica__rope_type_name(s->ropes[i].type), c->config);
            c->n_wrong++;
        }
        same(c, "rope_theta", s->ropes[i].theta, mica__json_get(rope, "rope_theta"));
        mica__jval v = mica__json_get(rope, "factor");
        if (v && s->ropes[i].type != MICA__ROPE_DEFAULT) same(c, "factor", s->ropes[i].factor, v);
        v = mica__json_get(rope, "original_max_position_embeddings");
        bool has = s->ropes[i].type == MICA__ROPE_YARN || s->ropes[i].type == MICA__ROPE_LLAMA3;
        if (v && has) same(c, "original_max_position_embeddings", (double)s->ropes[i].original_length, v);
    }
}

static size_t compare(mica__jval row)
{
    mica__buf text = {0};
    mica__config config;
    mica__decoder_spec s;
    mica_error err;
    mica__json_write(&text, mica__json_get(row, "config"));
    if (mica__config_parse(&config, mica__buf_str(&text), NULL, &err)) fail_msg("%s", err.message);
    if (mica__describe(&s, &config, &err)) fail_msg("%s: %s", err.message, text.p);
    check c = {.expect = mica__json_get(row, "expect"), .config = text.p};
    same_field(&c, "hidden", (double)s.hidden);
    same_field(&c, "intermediate", (double)s.intermediate);
    same_field(&c, "layers", s.n_layers);
    same_field(&c, "heads", s.n_heads);
    same_field(&c, "kv_heads", s.n_kv_heads);
    same_field(&c, "head_dim", s.head_dim);
    same_field(&c, "vocab", (double)s.vocab);
    same_field(&c, "context", (double)s.context);
    same_field(&c, "eps", (double)s.norm_eps);
    same_field(&c, "tied", s.tied);
    same_field(&c, "bos", s.bos);
    same_field(&c, "pad", s.pad);
    mica__jval eos = mica__json_get(c.expect, "eos"), windows = mica__json_get(c.expect, "windows");
    assert_int_equal(mica__json_count(eos), s.n_eos);
    for (int i = 0; i < s.n_eos; i++) same(&c, "eos", s.eos[i], mica__json_at(eos, (size_t)i));
    for (int i = 0; i < s.n_layers; i++)
        same(&c, "window", (double)s.layers[i].window, mica__json_at(windows, (size_t)i));
    same_ropes(&c, &s);
    mica__config_release(&config);
    mica__buf_release(&text);
    return c.n_wrong;
}

static void test_against_classes(void **state)
{
    (void)state;
    mica__buf text = {0};
    mica__json doc;
    assert_int_equal(mica__file_read(&text, MICA_TEST_DATA "/models/configs.json", 1 << 24, NULL), MICA_OK);
    assert_int_equal(mica__json_parse(&doc, text.p, text.n, NULL, NULL), MICA_OK);
    size_t wrong = 0, n = 0;
    for (mica__jval row = mica__json_first(mica__json_root(&doc)); row;
         row = mica__json_next(mica__json_root(&doc), row), n++) {
        wrong += compare(row);
    }
    printf("configs: %zu rows\n", n);
    assert_true(n > 100);
    assert_int_equal(wrong, 0);
    mica__json_release(&doc);
    mica__buf_release(&text);
}

/* ---- by hand --------------------------------------------------------------------------------------------------------------- */

static mica_status describe(const char *json, mica__decoder_spec *s, mica_error *err)
{
    mica__config c;
    MICA_TRY(mica__config_parse(&c, mica__str_from(json), NULL, err));
    mica_status status = mica__describe(s, &c, err);
    mica__config_release(&c);
    s->layers = NULL;
    return status;
}

static void test_wrapper(void **state)
{
    (void)state;
    mica__decoder_spec s;
    mica_error err;
    const char *json =
        "{\"model_type\": \"gemma3\", \"tie_word_embeddings\": false, \"vision_config\": {\"hidden_size\": 9},"
        "\"text_config\": {\"hidden_size\": 640, \"num_attention_heads\": 4}}";
    assert_int_equal(describe(json, &s, &err), MICA_OK);
    assert_int_equal(s.hidden, 640);
    assert_int_equal(s.vocab, 262208);
    assert_false(s.tied); /* the outer word counts */
    json = "{\"model_type\": \"mistral3\", \"text_config\": {\"model_type\": \"ministral3\", \"rope_parameters\": "
           "{\"rope_type\": \"yarn\","
           "\"factor\": 16, \"original_max_position_embeddings\": 100, \"rope_theta\": 1e6, \"llama_4_scaling_beta\": "
           "0.25}}}";
    assert_int_equal(describe(json, &s, &err), MICA_OK);
    assert_true(s.temperature == 0.25);
    assert_int_equal(s.temperature_length, 100);
}

static void test_hostile(void **state)
{
    (void)state;
    static const struct {
        const char *fields, *named;
        mica_status status;
    } cases[] = {
        {"\"num_attention_heads\": 0", "num_attention_heads", MICA_DATA},
        {"\"hidden_size\": 0", "hidden_size", MICA_DATA},
        {"\"hidden_size\": -64", "hidden_size", MICA_DATA},
        {"\"hidden_size\": 64.5", "hidden_size", MICA_DATA},
        {"\"hidden_size\": \"big\"", "hidden_size", MICA_DATA},
        {"\"hidden_size\": 1, \"num_attention_heads\": 4", "num_attention_heads", MICA_DATA},
        {"\"num_key_value_heads\": 3", "num_key_value_heads", MICA_DATA},
        {"\"num_key_value_heads\": 8", "num_key_value_heads", MICA_DATA},
        {"\"num_hidden_layers\": 2147483648", "num_hidden_layers", MICA_DATA},
        {"\"vocab_size\": 0", "vocab_size", MICA_DATA},
        {"\"vocab_size\": 9223372036854775808", "vocab_size", MICA_DATA},
        {"\"rope_theta\": 0", "rope_theta", MICA_DATA},
        {"\"rope_theta\": -1.0", "rope_theta", MICA_DATA},
        {"\"rope_theta\": NaN", "rope_theta", MICA_DATA},
        {"\"rope_theta\": 1e999", "rope_theta", MICA_DATA},
        {"\"rms_norm_eps\": 0", "rms_norm_eps", MICA_DATA},
        {"\"head_dim\": 15", "rope_parameters", MICA_DATA},
        {"\"rope_scaling\": {\"rope_type\": \"linear\"}", "rope_scaling", MICA_DATA},
        {"\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 0}", "factor", MICA_DATA},
        {"\"rope_scaling\": {\"rope_type\": \"spiral\"}", "rope_scaling", MICA_UNSUPPORTED},
        {"\"rope_scaling\": {\"rope_type\": \"longrope\", \"short_factor\": [1, 1], \"long_factor\": [1]}",
         "short_factor", MICA_DATA},
        {"\"hidden_act\": \"mish\"", "hidden_act", MICA_UNSUPPORTED},
        {"\"layer_types\": [\"full_attention\"]", "layer_types", MICA_DATA},
        {"\"layer_types\": 7", "layer_types", MICA_DATA},
        {"\"model_type\": \"no\\u0000such\"", "model_type", MICA_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mica__buf json = {0};
        mica__decoder_spec s;
        mica_error err;
        mica__buf_printf(&json, "{\"model_type\": \"llama\", \"hidden_size\": 64, \"num_attention_heads\": 4, %s}",
                         cases[i].fields);
        mica_status status = describe(json.p, &s, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].named)) {
            fail_msg("%s: status %d, %s", cases[i].fields, status, status ? err.message : "accepted");
        }
        mica__buf_release(&json);
    }
    mica_error err;
    mica__decoder_spec s;
    assert_int_equal(describe("[]", &s, &err), MICA_DATA);
    assert_int_equal(describe("{}", &s, &err), MICA_DATA);
    assert_non_null(strstr(err.message, "model_type"));
    assert_int_equal(describe("{", &s, &err), MICA_DATA);
}

static size_t n_notices;
static void count_notice(void *context, const char *message)
{
    (void)message;
    (void)context;
    n_notices++;
}

static void test_notices(void **state)
{
    (void)state;
    const mica_notices notices = {count_notice, NULL};
    const char *json =
        "{\"model_type\": \"llama\", \"max_position_embeddings\": 2147483648, \"auto_map\": {\"AutoModel\": \"x.Y\"},"
        "\"trust_remote_code\": true}";
    mica__config c;
    mica__decoder_spec s;
    assert_int_equal(mica__config_parse(&c, mica__str_from(json), &notices, NULL), MICA_OK);
    assert_int_equal(n_notices, 1); /* code is asked for twice, said once */
    assert_int_equal(mica__describe(&s, &c, NULL), MICA_OK);
    assert_int_equal(n_notices, 2);
    assert_int_equal(s.context, MICA__MAX_CONTEXT);
    mica__config_release(&c);
}

static mica_status attempt(void *context)
{
    mica__decoder_spec s;
    return describe(context, &s, NULL);
}

static void test_no_memory(void **state)
{
    (void)state;
    failing_allocator_sweep(
        attempt, "{\"model_type\": \"gemma3_text\", \"num_hidden_layers\": 3, \"rope_scaling\": {\"rope_type\":"
                 "\"longrope\", \"short_factor\": [1, 1, 1, 1], \"long_factor\": [2, 2, 2, 2]}, \"head_dim\": 8,"
                 "\"hidden_size\": 16, \"num_attention_heads\": 2, \"num_key_value_heads\": 1}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_classes), cmocka_unit_test(test_wrapper),   cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_notices),         cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
