/* GGUF files as checkpoints: Hub names, what conversion did to tensors, fused and extra tensors, split files, and a real model when it is on
 * this machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/checkpoint.h"
#include "failing_allocator.h"
#include "formats_test.h"
#include "gguf_build.h"

#include <math.h>

static char notice[600];
static void keep_notice(void *context, const char *message)
{
    (void)context;
    snprintf(notice, sizeof notice, "%s", message);
}

static mica__checkpoint *open_as(const char *path, mica_status expected, const char *part)
{
    mica_error err;
    mica__checkpoint *c = NULL;
    const mica_notices notices = {keep_notice, NULL};
    notice[0] = 0;
    assert_failure(path, mica__checkpoint_open(&c, path, &notices, &err), expected, &err, part);
    if (expected != MICA_OK) assert_null(c);
    return c;
}

static void write_gguf(const char *dir, const char *name, gguf_file *f, size_t n_data)
{
    size_t n;
    uint8_t *bytes = gguf_end(f, n_data, &n);
    write_file(dir, name, bytes, n);
    free(bytes);
}

/* The builder's file opened as a checkpoint. */
static mica__checkpoint *open_file(const char *dir, gguf_file *f, size_t n_data, mica_status expected, const char *part)
{
    write_gguf(dir, "m.gguf", f, n_data);
    char *path = mica__path_join(dir, "m.gguf");
    mica__checkpoint *c = open_as(path, expected, part);
    mica__free(path);
    return c;
}

/* F32 tensors one after the other, each of 64 x 64 at most. */
static void put(gguf_file *f, const char *name, uint32_t n_dims, uint64_t rows, uint64_t columns)
{
    gguf_put_tensor(f, name, n_dims, n_dims == 1 ? &rows : (uint64_t[]){columns, rows}, 0, f->n_tensors * 32768);
}

enum { ROOM = 32 * 32768 };

static const mica__tensor_view *find(const mica__checkpoint *c, const char *name)
{
    const mica__tensor_view *v = mica__checkpoint_tensor(c, mica__str_from(name));
    if (!v) fail_msg("no tensor %s", name);
    return v;
}

static void llama_names(void **state)
{
    (void)state;
    char *dir = temp_dir();
    gguf_file f = gguf_begin_model("llama");
    put(&f, "token_embd.weight", 2, 7, 64);
    put(&f, "output_norm.weight", 1, 64, 0);
    put(&f, "output.weight", 2, 7, 64);
    put(&f, "blk.1.attn_norm.weight", 1, 64, 0);
    put(&f, "blk.1.ffn_norm.weight", 2, 64, 1); /* [64, 1] */
    put(&f, "blk.1.attn_q.weight", 2, 64, 64);
    put(&f, "blk.1.attn_k.weight", 2, 32, 64);
    put(&f, "blk.1.attn_k.bias", 1, 32, 0);
    put(&f, "blk.1.attn_v.weight", 2, 32, 64);
    put(&f, "blk.1.attn_output.weight", 2, 64, 64);
    put(&f, "blk.1.ffn_gate.weight", 2, 96, 64);
    put(&f, "blk.1.ffn_up.weight", 2, 96, 64);
    put(&f, "blk.1.ffn_down.weight", 2, 64, 96);
    put(&f, "blk.0.attn_qkv.weight", 2, 128, 64);
    put(&f, "blk.0.attn_qkv.bias", 1, 128, 0);
    put(&f, "rope_freqs.weight", 1, 8, 0);
    put(&f, "blk.0.attn_rot_embd.weight", 1, 8, 0);
    put(&f, "blk.2.attn_norm.weight", 1, 64, 0); /* there are two layers */
    put(&f, "blk.0.odd.weight", 1, 64, 0);
    mica__checkpoint *c = open_file(dir, &f, ROOM, MICA_OK, "");
    assert_string_equal(mica__checkpoint_format(c), "gguf");
    assert_int_equal(mica__checkpoint_n_tensors(c), 13 + 6);
    assert_non_null(strstr(notice, "2 tensors without a place in the model (blk.2.attn_norm.weight ...)"));
    static const char *const names[] = {"model.embed_tokens.weight",
                                        "model.norm.weight",
                                        "lm_head.weight",
                                        "model.layers.1.input_layernorm.weight",
                                        "model.layers.1.post_attention_layernorm.weight",
                                        "model.layers.1.self_attn.q_proj.weight",
                                        "model.layers.1.self_attn.k_proj.weight",
                                        "model.layers.1.self_attn.k_proj.bias",
                                        "model.layers.1.self_attn.v_proj.weight",
                                        "model.layers.1.self_attn.o_proj.weight",
                                        "model.layers.1.mlp.gate_proj.weight",
                                        "model.layers.1.mlp.up_proj.weight",
                                        "model.layers.1.mlp.down_proj.weight"};
    for (size_t i = 0; i < 13; i++) assert_ptr_equal(find(c, names[i]), mica__checkpoint_tensor_at(c, i));
    assert_int_equal(find(c, names[5])->permuted_heads, 4);
    assert_int_equal(find(c, names[6])->permuted_heads, 2);
    assert_int_equal(find(c, names[7])->permuted_heads, 2);
    assert_int_equal(find(c, names[8])->permuted_heads, 0);
    assert_int_equal(find(c, names[4])->ndim, 1);
    assert_int_equal(find(c, names[4])->shape[0], 64);
    assert_true(find(c, names[1])->add == 0);
    assert_int_equal(find(c, names[12])->shape[0], 64);
    assert_int_equal(find(c, names[12])->shape[1], 96);

    const mica__tensor_view *q = find(c, "model.layers.0.self_attn.q_proj.weight"),
                            *k = find(c, "model.layers.0.self_attn.k_proj.weight"),
                            *v = find(c, "model.layers.0.self_attn.v_proj.weight"),
                            *b = find(c, "model.layers.0.self_attn.v_proj.bias");
    assert_int_equal(q->shape[0], 64);
    assert_int_equal(k->shape[0], 32);
    assert_int_equal(v->shape[0], 32);
    assert_int_equal(q->permuted_heads, 4);
    assert_int_equal(k->permuted_heads, 2);
    assert_int_equal(v->permuted_heads, 0);
    assert_ptr_equal(k->data, q->data + 64 * 64 * 4);
    assert_ptr_equal(v->data, k->data + 32 * 64 * 4);
    assert_int_equal(v->n_bytes, 32 * 64 * 4);
    assert_int_equal(b->ndim, 1);
    assert_int_equal(b->n_bytes, 32 * 4);
    mica__checkpoint_free(c);
    temp_dir_remove(dir);
}

static void other_names(void **state)
{
    (void)state;
    char *dir = temp_dir();
    gguf_file f = gguf_begin_model("gemma3");
    put(&f, "output_norm.weight", 1, 64, 0);
    put(&f, "blk.0.attn_q.weight", 2, 64, 64);
    put(&f, "blk.0.attn_q_norm.weight", 1, 16, 0);
    put(&f, "blk.0.post_attention_norm.weight", 1, 64, 0);
    put(&f, "blk.0.ffn_norm.weight", 1, 64, 0);
    put(&f, "blk.0.post_ffw_norm.weight", 1, 64, 0);
    mica__checkpoint *c = open_file(dir, &f, ROOM, MICA_OK, "");
    static const char *const norms[] = {
        "model.norm.weight", "model.layers.0.self_attn.q_norm.weight", "model.layers.0.post_attention_layernorm.weight",
        "model.layers.0.pre_feedforward_layernorm.weight", "model.layers.0.post_feedforward_layernorm.weight"};
    for (int i = 0; i < 5; i++) assert_true(find(c, norms[i])->add == -1);
    assert_int_equal(find(c, "model.layers.0.self_attn.q_proj.weight")->permuted_heads, 0);
    assert_true(find(c, "model.layers.0.self_attn.q_proj.weight")->add == 0);
    mica__checkpoint_free(c);
    f = gguf_begin_model("qwen3");
    put(&f, "blk.0.attn_k_norm.weight", 1, 16, 0);
    put(&f, "blk.0.attn_k.weight", 2, 32, 64);
    c = open_file(dir, &f, ROOM, MICA_OK, "");
    assert_true(find(c, "model.layers.0.self_attn.k_norm.weight")->add == 0);
    assert_int_equal(find(c, "model.layers.0.self_attn.k_proj.weight")->permuted_heads, 0);
    mica__checkpoint_free(c);

    f = gguf_begin_model("llama");
    put(&f, "blk.0.attn_q.weight", 2, 36, 64);
    open_file(dir, &f, ROOM, MICA_DATA, "tensor 'blk.0.attn_q.weight' (F32): 36 rows do not make 4 heads");
    f = gguf_begin_model("llama");
    put(&f, "blk.0.attn_qkv.weight", 2, 120, 64);
    open_file(dir, &f, ROOM, MICA_DATA,
              "tensor 'blk.0.attn_qkv.weight' (F32): expected 128 rows of q, k and v, found 120");
    f = gguf_begin_model("llama");
    put(&f, "blk.0.attn_qkv.weight", 2, 128, 64);
    put(&f, "blk.0.attn_v.weight", 2, 32, 64);
    open_file(dir, &f, ROOM, MICA_DATA, "tensor 'model.layers.0.self_attn.v_proj.weight' is twice in");
    f = gguf_begin_model("llama");
    gguf_put_tensor(&f, "blk.0.attn_k.bias", 1, (uint64_t[]){32}, 8, 0);
    open_file(dir, &f, ROOM, MICA_DATA, "'blk.0.attn_k.bias' (Q8_0)");
    temp_dir_remove(dir);
}

/* An architecture that is not known still serves its tokenizer; a file that is no GGUF says so. */
static void unknown(void **state)
{
    (void)state;
    char *dir = temp_dir();
    gguf_file f = gguf_begin_model("rwkv7");
    put(&f, "token_embd.weight", 2, 7, 64);
    gguf_put_string(&f, "tokenizer.ggml.model", "gpt2");
    gguf_put_strings(&f, "tokenizer.ggml.tokens", (const char *[]){"a"}, 1);
    mica__checkpoint *c = open_file(dir, &f, ROOM, MICA_OK, "");
    mica_error err;
    mica__str text;
    assert_int_equal(mica__checkpoint_n_tensors(c), 0);
    assert_failure("config", mica__checkpoint_text(c, "config.json", &text, &err), MICA_UNSUPPORTED, &err,
                   "m.gguf: architecture 'rwkv7'");
    assert_int_equal(mica__checkpoint_text(c, "tokenizer.json", &text, &err), MICA_OK);
    assert_true(text.n > 100);
    assert_failure("text", mica__checkpoint_text(c, "merges.txt", &text, &err), MICA_NOT_FOUND, &err, "merges.txt");
    mica__checkpoint_free(c);
    write_file(dir, "m.bin", "hello", 5);
    write_file(dir, "model.safetensors", "hello", 5);
    char *path = mica__path_join(dir, "m.bin");
    open_as(path, MICA_DATA, "m.bin: is not a GGUF file");
    mica__free(path);
    path = mica__path_join(dir, "model.safetensors");
    open_as(path, MICA_INVALID, "give the folder");
    mica__free(path);
    path = mica__path_join(dir, "absent.gguf");
    open_as(path, MICA_NOT_FOUND, "absent.gguf");
    mica__free(path);
    temp_dir_remove(dir);
}

/* Part `no` (from 0) of n with one tensor in it. */
static void write_part(const char *dir, const char *file, uint32_t no, uint32_t n, const char *tensor, int32_t total)
{
    gguf_file f = no == 0 ? gguf_begin_model("llama") : gguf_begin(3);
    gguf_key(&f, "split.no", 2);
    GGUF_PUT(&f.keys, uint16_t, (uint16_t)no);
    gguf_key(&f, "split.count", 2);
    GGUF_PUT(&f.keys, uint16_t, (uint16_t)n);
    gguf_key(&f, "split.tensors.count", 5);
    GGUF_PUT(&f.keys, int32_t, total);
    put(&f, tensor, 1, 64, 0);
    write_gguf(dir, file, &f, 256);
}

/* Row 46. */
static void splits(void **state)
{
    (void)state;
    char *dir = temp_dir();
    char first[700], second[700];
    snprintf(first, sizeof first, "%s/m-00001-of-00003.gguf", dir);
    snprintf(second, sizeof second, "%s/m-00002-of-00003.gguf", dir);
    write_part(dir, "m-00001-of-00003.gguf", 0, 3, "output_norm.weight", 3);
    open_as(first, MICA_NOT_FOUND, "2 of 3 parts missing: m-00002-of-00003.gguf, m-00003-of-00003.gguf");
    write_part(dir, "m-00002-of-00003.gguf", 1, 3, "blk.0.attn_norm.weight", 3);
    write_part(dir, "m-00003-of-00003.gguf", 2, 3, "blk.1.attn_norm.weight", 3);
    mica__checkpoint *c = open_as(first, MICA_OK, "");
    assert_int_equal(mica__checkpoint_n_tensors(c), 3);
    float values[64];
    mica_error err;
    assert_int_equal(mica__tensor_read_f32(find(c, "model.layers.1.input_layernorm.weight"), values, &err), MICA_OK);
    mica__checkpoint_forget_tensor(c, find(c, "model.layers.1.input_layernorm.weight"));
    mica__checkpoint_free(c);
    open_as(second, MICA_INVALID, "not the first part");
    write_part(dir, "m-00003-of-00003.gguf", 1, 3, "blk.1.attn_norm.weight", 3);
    open_as(first, MICA_DATA, "m-00003-of-00003.gguf: says it is part 2 of 3, expected 3 of 3");
    write_part(dir, "m-00003-of-00003.gguf", 2, 4, "blk.1.attn_norm.weight", 3);
    open_as(first, MICA_DATA, "says it is part 3 of 4, expected 3 of 3");
    write_part(dir, "m-00003-of-00003.gguf", 2, 3, "blk.0.attn_norm.weight", 3);
    open_as(first, MICA_DATA, "m-00003-of-00003.gguf");
    write_part(dir, "m-00003-of-00003.gguf", 2, 3, "blk.1.attn_norm.weight", 3);
    write_part(dir, "m-00001-of-00003.gguf", 0, 3, "output_norm.weight", 5);
    open_as(first, MICA_DATA, "split.tensors.count is 5, the parts hold 3");
    write_part(dir, "m-00001-of-00003.gguf", 0, 65535, "output_norm.weight", 3);
    open_as(first, MICA_DATA, "split.count is 65535");
    write_part(dir, "m-00001-of-00003.gguf", 0, 2, "output_norm.weight", 3);
    open_as(first, MICA_DATA, "does not end in -00001-of-00002.gguf");
    write_part(dir, "m.gguf", 0, 2, "output_norm.weight", 3);
    char *path = mica__path_join(dir, "m.gguf");
    open_as(path, MICA_DATA, "does not end in");
    mica__free(path);
    temp_dir_remove(dir);
}

/* ---- the same model both ways ---------------------------------------------------------------------------------------------- */

/* What conversion does to the rows of q and k: row h*d + s*(d/2) + p becomes row h*d + 2p + s. */
static void permute(const uint8_t *in, uint8_t *out, size_t n_rows, size_t n_heads, size_t row_bytes)
{
    size_t d = n_rows / n_heads;
    for (size_t r = 0; r < n_rows; r++) {
        size_t head = r / d, within = r % d, to = head * d + 2 * (within % (d / 2)) + within / (d / 2);
        memcpy(out + to * row_bytes, in + r * row_bytes, row_bytes);
    }
}

/* The GGUF name of a Hub name, NULL for none. */
static const char *gguf_name(mica__str hub, bool four_norms, char out[100])
{
    static const char *const names[][2] = {{"input_layernorm", "attn_norm"},
                                           {"self_attn.q_proj", "attn_q"},
                                           {"self_attn.k_proj", "attn_k"},
                                           {"self_attn.v_proj", "attn_v"},
                                           {"self_attn.o_proj", "attn_output"},
                                           {"self_attn.q_norm", "attn_q_norm"},
                                           {"self_attn.k_norm", "attn_k_norm"},
                                           {"mlp.gate_proj", "ffn_gate"},
                                           {"mlp.up_proj", "ffn_up"},
                                           {"mlp.down_proj", "ffn_down"},
                                           {"pre_feedforward_layernorm", "ffn_norm"},
                                           {"post_feedforward_layernorm", "post_ffw_norm"},
                                           {"post_attention_layernorm", "ffn_norm"}};
    if (mica__str_is(hub, "model.embed_tokens.weight")) return "token_embd.weight";
    if (mica__str_is(hub, "model.norm.weight")) return "output_norm.weight";
    if (mica__str_is(hub, "lm_head.weight")) return "output.weight";
    int layer, n = 0;
    char rest[100];
    snprintf(rest, sizeof rest, "%.*s", (int)hub.n, hub.p);
    if (sscanf(rest, "model.layers.%d.%n", &layer, &n) != 1 || !n) return NULL;
    char *suffix = strrchr(rest, '.');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(rest + n, names[i][0], (size_t)(suffix - rest) - (size_t)n) != 0 || names[i][0][suffix - rest - n])
            continue;
        const char *base = i == 12 && four_norms ? "post_attention_norm" : names[i][1];
        snprintf(out, 100, "blk.%d.%s%s", layer, base, suffix);
        return out;
    }
    return NULL;
}

/* A folder of bfloat16 tensors written as GGUF: matrices as they are but for the order of rows, norms in float32. */
static void convert(const mica__checkpoint *from, const char *dir, const char *arch, size_t n_heads, size_t n_kv_heads)
{
    bool gemma = strncmp(arch, "gemma", 5) == 0;
    gguf_file f = gguf_begin_model(arch);
    memcpy(memmem(f.keys.p, f.keys.n, "block_count", 11) + 15, &(uint32_t){16}, 4);
    mica__buf data = {0};
    for (size_t i = 0; i < mica__checkpoint_n_tensors(from); i++) {
        const mica__tensor_view *v = mica__checkpoint_tensor_at(from, i);
        char text[100];
        const char *name = gguf_name(v->name, gemma, text);
        assert_non_null(name);
        uint64_t dims[2] = {(uint64_t)v->shape[v->ndim - 1], (uint64_t)v->shape[0]};
        gguf_put_tensor(&f, name, (uint32_t)v->ndim, dims, v->ndim == 1 ? 0 : 30, data.n);
        bool q = strstr(name, "attn_q.") != NULL, k = strstr(name, "attn_k.") != NULL;
        if (v->ndim == 1) {
            float values[1024];
            assert_int_equal(mica__tensor_read_f32(v, values, NULL), MICA_OK);
            for (int64_t e = 0; gemma && e < v->shape[0]; e++) values[e] += 1;
            mica__buf_append(&data, values, (size_t)v->shape[0] * 4);
        } else {
            uint8_t *out = malloc(v->n_bytes);
            memcpy(out, v->data, v->n_bytes);
            if (!gemma && (q || k)) permute(v->data, out, dims[1], q ? n_heads : n_kv_heads, dims[0] * 2);
            mica__buf_append(&data, out, v->n_bytes);
            free(out);
        }
        while (data.n % 32) mica__buf_append_char(&data, 0);
    }
    size_t n;
    uint8_t *bytes = gguf_end(&f, data.n, &n);
    memcpy(bytes + n - data.n, data.p, data.n);
    write_file(dir, "m.gguf", bytes, n);
    mica__buf_release(&data);
    free(bytes);
}

static void same_as_folder(const char *model, const char *arch)
{
    char path[600], *dir = temp_dir();
    snprintf(path, sizeof path, MICA_TEST_DATA "/models/%s", model);
    mica__checkpoint *folder = open_as(path, MICA_OK, "");
    convert(folder, dir, arch, 4, 2);
    snprintf(path, sizeof path, "%s/m.gguf", dir);
    mica__checkpoint *file = open_as(path, MICA_OK, "");
    assert_string_equal(notice, "");
    assert_int_equal(mica__checkpoint_n_tensors(file), mica__checkpoint_n_tensors(folder));
    for (size_t i = 0; i < mica__checkpoint_n_tensors(folder); i++) {
        const mica__tensor_view *a = mica__checkpoint_tensor_at(folder, i), *b = mica__checkpoint_tensor(file, a->name);
        assert_non_null(b);
        assert_int_equal(a->ndim, b->ndim);
        assert_memory_equal(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape);
        size_t n = a->n_bytes / 2;
        float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
        assert_int_equal(mica__tensor_read_f32(a, x, NULL), MICA_OK);
        assert_int_equal(mica__tensor_read_f32(b, y, NULL), MICA_OK);
        float allowed = b->add == 0 ? 0 : 1e-7f;
        for (size_t k = 0; k < n; k++)
            if (!(fabsf(x[k] - y[k]) <= allowed))
                fail_msg("%.*s[%zu]: %g, %g", (int)a->name.n, a->name.p, k, (double)x[k], (double)y[k]);
        free(x);
        free(y);
    }
    mica__checkpoint_free(folder);
    mica__checkpoint_free(file);
    temp_dir_remove(dir);
}

static void converted_models(void **state)
{
    (void)state;
    same_as_folder("llama", "llama");
    same_as_folder("gemma3_text", "gemma3");
}

static mica_status attempt(void *context)
{
    mica__checkpoint *c;
    mica__str text;
    MICA_TRY(mica__checkpoint_open(&c, context, NULL, NULL));
    mica_status status = mica__checkpoint_text(c, "config.json", &text, NULL);
    mica__checkpoint_free(c);
    return status;
}

static void short_of_memory(void **state)
{
    (void)state;
    char *dir = temp_dir();
    char first[700];
    snprintf(first, sizeof first, "%s/m-00001-of-00002.gguf", dir);
    write_part(dir, "m-00001-of-00002.gguf", 0, 2, "output_norm.weight", 2);
    write_part(dir, "m-00002-of-00002.gguf", 1, 2, "blk.0.attn_norm.weight", 2);
    assert_true(failing_allocator_sweep(attempt, first) > 10);
    temp_dir_remove(dir);
}

/* The model of `make demo`, where it has been fetched. */
static void real_model(void **state)
{
    (void)state;
    char path[600];
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    snprintf(path, sizeof path, "%s%s/mica/models/SmolLM2-135M-Instruct.Q4_1.gguf",
             cache && *cache ? cache
             : home          ? home
                             : "",
             cache && *cache ? "" : "/.cache");
    if (!mica__path_is_file(path)) {
        printf("skipped: no %s\n", path);
        skip();
    }
    mica__checkpoint *c = open_as(path, MICA_OK, "");
    assert_int_equal(mica__checkpoint_n_tensors(c), 272);
    assert_string_equal(notice, "");
    const mica__tensor_view *v = find(c, "model.layers.29.self_attn.k_proj.weight");
    assert_string_equal(v->type_name, "Q4_1");
    assert_int_equal(v->permuted_heads, 3);
    float *values = malloc(192 * 576 * sizeof *values);
    mica_error err;
    assert_int_equal(mica__tensor_read_f32(v, values, &err), MICA_OK);
    double sum = 0;
    for (int i = 0; i < 192 * 576; i++) sum += fabs((double)values[i]);
    assert_true(sum / (192 * 576) > 0.01 && sum / (192 * 576) < 1);
    int bits = 0, group = 0;
    assert_true(mica__tensor_affine_form(find(c, "model.embed_tokens.weight"), &bits, &group));
    assert_int_equal(bits, 8);
    free(values);
    mica__checkpoint_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_names),      cmocka_unit_test(other_names),     cmocka_unit_test(unknown),
        cmocka_unit_test(splits),           cmocka_unit_test(short_of_memory), cmocka_unit_test(real_model),
        cmocka_unit_test(converted_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
