/* models/model.c: a checkpoint, loaded: its description, weights and programs, and the tokenizer and chat template beside them. */
#include "model.h"

#include "array/cache_layout.h"

#include "base/memory.h"
#include "quantize_load.h"
#include "random_weights.h"
#include "registry.h"
#include <stdio.h>

/* Rows of one run. Products with 8-bit activations are so fast that unpacking the weights for each run of 128 is felt. */
enum { DEFAULT_ROWS = 128, INT8_ROWS = 256, MAX_ROWS = 8192, MAX_ALL_ROWS = 32, CONFIG_BYTES_MAX = 1 << 24 };

void mica__model_notice(const mica_model *m, const char *fmt, ...)
{
    if (!m || !m->notices.notice) return;
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    m->notices.notice(m->notices.context, text);
}

/* ---- options ------------------------------------------------------------------------------------------------------------------- */

/* The cache is 16-bit in the fast mode. Half floats keep three more bits than bfloat16, and keys and values stay far from their range. */
static mica_status cache_dtype(mica_model *m, const char *name, mica_error *err)
{
    static const struct {
        const char *name;
        mica_dtype dtype;
    } known[] = {{"auto", MICA_DTYPE_F16},
                 {"float32", MICA_DTYPE_F32},
                 {"bfloat16", MICA_DTYPE_BF16},
                 {"float16", MICA_DTYPE_F16}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(name ? name : "auto", known[i].name)) continue;
        m->cache_dtype = m->exact ? MICA_DTYPE_F32 : known[i].dtype;
        return MICA_OK;
    }
    return mica__fail(err, MICA_INVALID, "dtype '%s' is not one of auto, float32, bfloat16, float16",
                      MICA_QUOTED(name, strlen(name)));
}

mica_status mica__check_kv(int kv_bits, int kv_group_size, mica_error *err)
{
    if (kv_bits != 0 && kv_bits != 4 && kv_bits != 8)
        return mica__fail(err, MICA_INVALID, "kv_bits is %d, expected 4 or 8", kv_bits);
    if (kv_group_size != 0 && kv_group_size != 32 && kv_group_size != 64 && kv_group_size != 128)
        return mica__fail(err, MICA_INVALID, "kv_group_size is %d, expected 32, 64 or 128", kv_group_size);
    return MICA_OK;
}

mica_cache_options mica__model_cache(const mica_model *m, int kv_bits, int kv_group_size)
{
    mica_cache_options o = mica__decoder_cache(&m->spec, m->cache_dtype);
    o.bits = kv_bits ? kv_bits : m->kv_bits;
    o.group_size = kv_group_size ? kv_group_size : m->kv_group_size ? m->kv_group_size : 64;
    if (o.bits < 0) o.bits = 0;
    return o;
}

static mica_status take_options(mica_model *m, const mica_model_options *o, mica_error *err)
{
    if (o->max_rows < 0 || o->max_rows > MAX_ROWS) {
        return mica__fail(err, MICA_INVALID, "max_rows is %d, the limit is %d", o->max_rows, MAX_ROWS);
    }
    m->notices = o->notices;
    m->exact = o->precision == MICA_PRECISION_EXACT;
    m->int8 = o->precision == MICA_PRECISION_INT8;
    m->max_rows = o->max_rows ? o->max_rows : m->int8 ? INT8_ROWS : DEFAULT_ROWS;
    m->max_all_rows = m->max_rows < MAX_ALL_ROWS ? m->max_rows : MAX_ALL_ROWS;
    MICA_TRY(cache_dtype(m, o->dtype, err));
    MICA_TRY(mica__check_kv(o->kv_bits, o->kv_group_size, err));
    m->kv_bits = o->kv_bits;
    m->kv_group_size = o->kv_group_size;
    m->device = o->device;
    if (o->device || o->n_threads == 0 || o->config_only) return MICA_OK;
    const mica_device_options device = {.name = "cpu", .n_threads = o->n_threads};
    MICA_TRY(mica_device_create(&m->own_device, &device, err));
    m->device = m->own_device;
    return MICA_OK;
}

/* ---- information --------------------------------------------------------------------------------------------------------------------- */

static bool has_file(const mica_model *m, const char *name)
{
    char *path = mica__path_join(mica__checkpoint_path(m->checkpoint), name);
    bool is_file = path && mica__path_is_file(path);
    mica__free(path);
    return is_file;
}

static bool config_has_template(mica_model *m)
{
    mica__str text;
    mica__json doc;
    if (mica__checkpoint_text(m->checkpoint, "tokenizer_config.json", &text, NULL)) return false;
    if (mica__json_parse(&doc, text.p, text.n, NULL, NULL)) return false;
    mica__jval t = mica__json_get(mica__json_root(&doc), "chat_template");
    bool has = t && !mica__json_is(t, MICA__JSON_NULL);
    mica__json_release(&doc);
    return has;
}

/* Looks for files, and reads only small ones. */
static void look_for_texts(mica_model *m)
{
    mica__str text;
    if (!m->checkpoint) return;
    bool is_folder = mica__path_is_dir(mica__checkpoint_path(m->checkpoint));
    m->info.has_tokenizer = is_folder ? has_file(m, "tokenizer.json")
                                      : !mica__checkpoint_text(m->checkpoint, "tokenizer_config.json", &text, NULL);
    if (is_folder) {
        m->info.has_chat_template =
            has_file(m, "chat_template.jinja") || has_file(m, "chat_template.json") || config_has_template(m);
    } else {
        m->info.has_chat_template = !mica__checkpoint_text(m->checkpoint, "chat_template.jinja", &text, NULL);
    }
}

static uint64_t cache_bytes_per_token(const mica_model *m)
{
    const mica_cache_options cache = mica__model_cache(m, 0, 0);
    uint64_t bytes = 0;
    for (int i = 0; i < m->spec.n_layers; i++)
        if (m->spec.layers[i].window == 0) bytes += (uint64_t)mica__cache_position_bytes(&cache);
    return bytes;
}

/* generation_config.json has the last word on end tokens, then config.json. */
static void take_end_tokens(mica_model *m)
{
    mica__json doc;
    if (!m->generation_json.n || mica__json_parse(&doc, m->generation_json.p, m->generation_json.n, NULL, NULL)) return;
    int32_t ids[sizeof m->spec.eos / sizeof *m->spec.eos];
    int n = mica__json_token_ids(mica__json_root(&doc), "eos_token_id", ids, (int)(sizeof ids / sizeof *ids));
    if (n >= 0) {
        memcpy(m->spec.eos, ids, (size_t)n * sizeof *ids);
        m->spec.n_eos = n;
    }
    mica__json_token_ids(mica__json_root(&doc), "bos_token_id", &m->spec.bos, 1);
    mica__json_token_ids(mica__json_root(&doc), "pad_token_id", &m->spec.pad, 1);
    mica__json_release(&doc);
}

static mica_status fill_info(mica_model *m, mica_error *err)
{
    const mica__decoder_spec *s = &m->spec;
    mica__str type = m->config.model_type.n ? m->config.model_type : m->config.wrapper_type;
    m->model_type = mica__strndup(type.p, type.n);
    m->architecture = mica__strndup(m->config.architecture.p, m->config.architecture.n);
    if (!m->model_type || !m->architecture) return mica__fail_memory(err, type.n, "model information");
    take_end_tokens(m);
    m->info = (mica_model_info){
        .model_type = m->model_type,
        .architecture = m->architecture,
        .format = m->checkpoint ? mica__checkpoint_format(m->checkpoint) : "none",
        .weights = m->weights.types,
        .n_parameters = m->weights.n_parameters,
        .weight_bytes = m->weights.held_bytes,
        .file_bytes = m->checkpoint ? mica__checkpoint_tensor_bytes(m->checkpoint) : 0,
        .read_bytes = m->weights.read_bytes,
        .cache_bytes_per_token = cache_bytes_per_token(m),
        .context = s->context,
        .n_layers = s->n_layers,
        .n_heads = s->n_heads,
        .n_kv_heads = s->n_kv_heads,
        .head_dim = s->head_dim,
        .hidden_size = s->hidden,
        .intermediate_size = s->intermediate,
        .vocab_size = s->vocab,
        .tied = m->weights.tied,
        .eos_token_ids = s->eos,
        .n_eos_token_ids = s->n_eos,
        .bos_token_id = s->bos,
        .pad_token_id = s->pad,
    };
    look_for_texts(m);
    return MICA_OK;
}

/* ---- loading ------------------------------------------------------------------------------------------------------------------------- */

/* A copy of an option; NULL stays NULL. */
static mica_status keep_text(char **out, const char *text, mica_error *err)
{
    if (!text) return MICA_OK;
    *out = mica__strndup(text, strlen(text));
    return *out ? MICA_OK : mica__fail_memory(err, strlen(text), "an option");
}

/* A model of a config alone. */
static mica_status make_random(mica_model *m, const char *path, const mica_model_options *o, mica_error *err)
{
    m->config_path = mica__path_is_dir(path) ? mica__path_join(path, "config.json") : mica__strndup(path, strlen(path));
    if (!m->config_path) return mica__fail_memory(err, strlen(path), "the path of a config");
    MICA_TRY(mica__file_read(&m->config_text, m->config_path, CONFIG_BYTES_MAX, err));
    MICA_TRY(mica__config_parse(&m->config, (mica__str){m->config_text.p, m->config_text.n}, &m->notices, err));
    MICA_TRY(mica__describe(&m->spec, &m->config, err));
    MICA_TRY(mica__weights_random(&m->weights, &m->spec, o->random_weights, err));
    MICA_TRY(fill_info(m, err));
    mica_program *program;
    return mica__model_program(m, MICA__DECODER_LAST, &program, err);
}

static mica_status load_weights(mica_model *m, const mica_model_options *o, mica_error *err)
{
    if (!o->quantize && (o->quantize_rules || o->quantizer))
        return mica__fail(err, MICA_INVALID, "rules and a quantizer need a quantization");
    MICA_TRY(keep_text(&m->quantize, o->quantize, err));
    MICA_TRY(keep_text(&m->quantize_rules, o->quantize_rules, err));
    MICA_TRY(keep_text(&m->quantizer, o->quantizer, err));
    mica__quantize_load quantize = {.team = NULL};
    const bool blocks = strcmp(mica__checkpoint_format(m->checkpoint), "gguf") == 0 && !m->exact;
    if (o->quantize || blocks) {
        int n_threads = o->config_only ? 1 : m->device ? mica_device_threads(m->device) : 0;
        MICA_TRY(mica__quantize_load_make(&quantize, o, &m->config, m->spec.n_layers, n_threads, err));
    }
    mica_status status = mica__weights_load(&m->weights, &m->spec, m->checkpoint, o->config_only,
                                            o->quantize || blocks ? &quantize : NULL, &o->progress, &m->notices, err);
    mica__quantize_load_release(&quantize);
    return status;
}

static mica_status load(mica_model *m, const char *path, const mica_model_options *o, mica_error *err)
{
    MICA_TRY(take_options(m, o, err));
    if (o->random_weights) return make_random(m, path, o, err);
    MICA_TRY(mica__checkpoint_open(&m->checkpoint, path, &m->notices, err));
    mica__str text;
    MICA_TRY(mica__checkpoint_text(m->checkpoint, "config.json", &text, err));
    MICA_TRY(mica__config_parse(&m->config, text, &m->notices, err));
    MICA_TRY(mica__describe(&m->spec, &m->config, err));
    if (mica__checkpoint_text(m->checkpoint, "generation_config.json", &m->generation_json, NULL)) {
        m->generation_json = (mica__str){NULL, 0};
    }
    if (o->with_tokenizer && !o->config_only) {
        mica_status status = mica_tokenizer_load(&m->tokenizer, path, err);
        if (status && status != MICA_NOT_FOUND)
            return status; /* one that is not there is missed when it is asked for */
    }
    MICA_TRY(load_weights(m, o, err));
    MICA_TRY(fill_info(m, err));
    mica__checkpoint_forget(m->checkpoint);
    mica_program *program;
    return o->config_only ? MICA_OK : mica__model_program(m, MICA__DECODER_LAST, &program, err);
}

mica_status mica_model_load(mica_model **out, const char *path, const mica_model_options *options, mica_error *err)
{
    *out = NULL;
    mica_model *m = mica__calloc(1, sizeof *m);
    if (!m) return mica__fail_memory(err, sizeof *m, "model");
    pthread_mutex_init(&m->lock, NULL);
    mica_status status = load(m, path, options ? options : &(mica_model_options){0}, err);
    if (status) {
        mica_model_free(m);
    } else {
        *out = m;
    }
    return status;
}

void mica_model_free(mica_model *m)
{
    if (!m) return;
    for (int i = 0; i < MICA__DECODER_PARTS; i++) mica_program_free(m->programs[i]);
    mica_tokenizer_free(m->tokenizer);
    mica_chat_template_free(m->chat_template);
    mica__weights_release(&m->weights);
    mica__config_release(&m->config);
    mica__checkpoint_free(m->checkpoint);
    mica__buf_release(&m->config_text);
    mica__free(m->config_path);
    mica_device_free(m->own_device);
    mica__free(m->model_type);
    mica__free(m->architecture);
    mica__free(m->quantize);
    mica__free(m->quantize_rules);
    mica__free(m->quantizer);
    pthread_mutex_destroy(&m->lock);
    mica__free(m);
}

const mica_model_info *mica_model_get_info(const mica_model *m) { return &m->info; }
int64_t mica_model_window(const mica_model *m, int layer)
{
    return layer < 0 || layer >= m->spec.n_layers ? 0 : m->spec.layers[layer].window;
}

const char *mica_model_path(const mica_model *m)
{
    return m->checkpoint ? mica__checkpoint_path(m->checkpoint) : m->config_path;
}

/* ---- made on first use ------------------------------------------------------------------------------------------------------------------- */

int mica__model_rows(const mica_model *m, mica__decoder_part part)
{
    return part == MICA__DECODER_LAST || part == MICA__DECODER_BODY ? m->max_rows : m->max_all_rows;
}

mica_status mica__model_program(mica_model *m, mica__decoder_part part, mica_program **out, mica_error *err)
{
    const mica__decoder_options options = {
        .device = m->device,
        .cache_dtype = m->cache_dtype,
        .part = part,
        .max_rows = mica__model_rows(m, part),
        .exact = m->exact,
        .int8 = m->int8,
    };
    mica_status status = MICA_OK;
    pthread_mutex_lock(&m->lock);
    mica_program **slot = &m->programs[part];
    if (!*slot && !m->weights.embedding.ndim) {
        status = mica__fail(err, MICA_INVALID, "the model was loaded without its weights");
    } else if (!*slot) {
        status = mica__decoder_compile(slot, &m->spec, &m->weights, &options, err);
    }
    *out = *slot;
    pthread_mutex_unlock(&m->lock);
    return status;
}

mica_status mica_model_embed(mica_model *m, const int32_t *ids, size_t n, float *out, mica_error *err)
{
    if (!m->weights.embedding.ndim) return mica__fail(err, MICA_INVALID, "the model was loaded without its weights");
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= m->spec.vocab)
            return mica__fail(err, MICA_INVALID, "token id %d is not in the vocabulary of %lld", (int)ids[i],
                              (long long)m->spec.vocab);
    return n ? mica__decoder_embed(&m->spec, &m->weights, m->device, ids, n, out, err) : MICA_OK;
}

mica_status mica_model_tokenizer(mica_model *m, const mica_tokenizer **out, mica_error *err)
{
    mica_status status = MICA_OK;
    pthread_mutex_lock(&m->lock);
    if (!m->tokenizer) status = mica_tokenizer_load(&m->tokenizer, mica_model_path(m), err);
    *out = m->tokenizer;
    pthread_mutex_unlock(&m->lock);
    return status;
}

mica_status mica_model_chat_template(mica_model *m, const mica_chat_template **out, mica_error *err)
{
    mica_status status = MICA_OK;
    pthread_mutex_lock(&m->lock);
    if (!m->chat_template) status = mica_chat_template_load(&m->chat_template, mica_model_path(m), err);
    *out = m->chat_template;
    pthread_mutex_unlock(&m->lock);
    return status;
}
