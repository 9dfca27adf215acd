/* models/save.c: a checkpoint from one folder (or file) into another.
 *
 * In this order: the source is opened and described as for loading; a plan says what every tensor becomes; the target is begun under a
 * name of its own; weights, configuration, index, tokenizer files and model card are written into it; the folder gets its name. Whatever fails
 * before the last step leaves no trace. */
#include "model.h"

#include "base/folder.h"
#include "registry.h"
#include "save_texts.h"
#include "save_write.h"
#include <stdio.h>
#include <time.h>

struct saved_report {
    mica_save_report shown; /* first: what the caller has is this */
    mica__save_plan plan;   /* owns the kinds and their names */
    char *path;
};

/* An opened source. */
typedef struct source {
    mica__checkpoint *checkpoint;
    mica__config config;
    mica__decoder_spec spec;
    mica__weights weights; /* the targets of the list; nothing is loaded */
    mica__weight_list list;
    bool keep_wrapper;
} source;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- the source ----------------------------------------------------------------------------------------------------------- */

static void source_close(source *s)
{
    mica__weight_list_release(&s->list);
    mica__weights_release(&s->weights);
    mica__config_release(&s->config);
    mica__checkpoint_free(s->checkpoint);
}

static mica_status source_open(source *s, const char *path, const mica_save_options *o, mica_error *err)
{
    mica__str text;
    MICA_TRY(mica__checkpoint_open(&s->checkpoint, path, &o->notices, err));
    MICA_TRY(mica__checkpoint_text(s->checkpoint, "config.json", &text, err));
    MICA_TRY(mica__config_parse(&s->config, text, &o->notices, err));
    MICA_TRY(mica__describe(&s->spec, &s->config, err));
    s->weights.layers = mica__calloc((size_t)s->spec.n_layers, sizeof *s->weights.layers);
    if (!s->weights.layers) return mica__fail_memory(err, (size_t)s->spec.n_layers, "table of weights");
    s->keep_wrapper = o->format == MICA_SAVE_MLX && mica__mlx_prefix(&s->config)[0];
    return mica__weight_list_make(&s->list, &s->spec, &s->weights, s->checkpoint, &o->notices, err);
}

/* ---- going on with what another process began ----------------------------------------------------------------------------- */

/* What it is worth to keep of a work folder. The texts are made anew: they cost nothing, and what is beside the source may have changed. */
static bool may_resume(mica__str name)
{
    return mica__str_is(name, MICA__SAVE_RECORD) ||
           (mica__str_starts(name, "model") && mica__str_ends(name, ".safetensors"));
}

static void notice_resumed(const mica__save_record *r, const mica__new_folder *f, const mica_save_options *o)
{
    mica__buf text = {0};
    if (!o->notices.notice || !r->n_found) return;
    mica__buf_printf(&text, "%s: going on where an earlier conversion stopped, %zu of %zu pieces are there", f->path,
                     r->n_found, r->n_pieces);
    if (!text.failed) o->notices.notice(o->notices.context, text.p);
    mica__buf_release(&text);
}

static mica_status open_record(mica__save_record *r, source *s, const mica__save_plan *plan, mica__new_folder *f,
                               const mica_save_options *o, mica_error *err)
{
    const size_t n = mica__save_n_pieces(plan);
    const mica__fingerprint print = mica__save_fingerprint(plan, s->checkpoint, o, n);
    if (mica__save_record_open(r, f->work, print, n)) {
        notice_resumed(r, f, o);
        return MICA_OK;
    }
    MICA_TRY(mica__new_folder_empty(f, err));
    return mica__save_record_create(r, f->work, print, n, err);
}

/* ---- files ---------------------------------------------------------------------------------------------------------------- */

static mica_status write_text(const char *work, const char *name, const mica__buf *text, mica_error *err)
{
    char *path = mica__path_join(work, name);
    mica_status status =
        path ? mica__file_write(path, text->p, text->n, err) : mica__fail_memory(err, strlen(name), "a path");
    mica__free(path);
    return status;
}

/* "org/name" of ".../models--org--name/snapshots/REVISION" */
static char *hub_id(const char *path)
{
    const char *start = NULL, *at = path;
    while ((at = strstr(at, "/models--"))) start = at += 9;
    const char *end = start ? strchr(start, '/') : NULL;
    if (!end || strncmp(end, "/snapshots/", 11) != 0) return NULL;
    mica__buf id = {0};
    bool split = false;
    for (const char *p = start; p < end; p++) {
        bool is_split = !split && p[0] == '-' && p[1] == '-';
        mica__buf_append_char(&id, is_split ? '/' : *p);
        if (is_split) p++, split = true;
    }
    return mica__buf_take(&id);
}

static mica_status write_card(source *s, const mica__save_plan *plan, const mica__new_folder *f,
                              const mica_save_options *o, mica_error *err)
{
    const char *slash = strrchr(f->path, '/'), *from = mica__checkpoint_path(s->checkpoint);
    char *id = o->base_model ? mica__strndup(o->base_model, strlen(o->base_model)) : hub_id(from);
    mica__str old = {0};
    mica__buf card = {0};
    if (mica__path_is_dir(from) && mica__checkpoint_text(s->checkpoint, "README.md", &old, NULL) != MICA_OK)
        old = (mica__str){0};
    mica_status status = mica__save_card(&card, slash ? slash + 1 : f->path, id, old, plan, o->format, err);
    if (status == MICA_OK) status = write_text(f->work, "README.md", &card, err);
    mica__free(id);
    mica__buf_release(&card);
    return status;
}

static mica_status write_texts(source *s, const mica__save_plan *plan, const mica__new_folder *f,
                               const mica_save_options *o, mica_error *err)
{
    mica__buf config = {0}, index = {0};
    mica_status status = mica__save_config(&config, &s->config, plan, o, s->keep_wrapper, s->weights.tied, err);
    if (status == MICA_OK) status = write_text(f->work, "config.json", &config, err);
    if (status == MICA_OK && (o->format == MICA_SAVE_MLX || plan->n_shards > 1)) {
        status = mica__save_index(&index, plan, o->format, err);
        if (status == MICA_OK) status = write_text(f->work, "model.safetensors.index.json", &index, err);
    }
    if (status == MICA_OK) status = mica__save_copy_texts(s->checkpoint, f->work, err);
    if (status == MICA_OK && !o->no_model_card) status = write_card(s, plan, f, o, err);
    mica__buf_release(&config);
    mica__buf_release(&index);
    return status;
}

static mica_status check_space(const mica__save_plan *plan, const mica__new_folder *f, mica_error *err)
{
    uint64_t have = mica__free_space(f->work);
    if (plan->n_bytes <= have) return MICA_OK;
    return mica__fail(err, MICA_IO, "%s: cannot write: %llu MB are needed, %llu MB are free on that disk", f->path,
                      (unsigned long long)(plan->n_bytes / 1000000), (unsigned long long)(have / 1000000));
}

static mica_status write_all(source *s, mica__save_plan *plan, mica__new_folder *f, const mica_save_options *o,
                             uint64_t *resumed, mica_error *err)
{
    const mica__save_target target = {f->work, f->path};
    mica__save_record record = {.fd = -1};
    mica_status status = open_record(&record, s, plan, f, o, err);
    /* What was begun has its room already. */
    if (status == MICA_OK && !record.n_found) status = check_space(plan, f, err);
    if (status == MICA_OK) status = mica__save_write(plan, s->checkpoint, &target, &record, o, resumed, err);
    if (status == MICA_OK) status = write_texts(s, plan, f, o, err);
    if (status == MICA_OK) status = mica__save_record_finish(&record, f->work, err);
    mica__save_record_release(&record);
    if (status == MICA_OK) status = mica__new_folder_commit(f, mica__save_belongs, err);
    return status;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------ */

static mica_status make_report(mica_save_report **out, mica__save_plan *plan, const char *path, uint64_t resumed,
                               double seconds, mica_error *err)
{
    struct saved_report *r = mica__calloc(1, sizeof *r);
    char *kept = mica__strndup(path, strlen(path));
    if (!r || !kept) {
        mica__free(r);
        mica__free(kept);
        return mica__fail_memory(err, sizeof *r, "a report");
    }
    r->path = kept;
    r->plan = *plan;
    *plan = (mica__save_plan){0};
    r->shown = (mica_save_report){
        .path = kept,
        .n_shards = r->plan.n_shards,
        .n_parameters = r->plan.n_parameters,
        .source_bytes = r->plan.source_bytes,
        .tensor_bytes = r->plan.n_bytes,
        .resumed_bytes = resumed,
        .bits_per_weight = (double)r->plan.n_bytes * 8 / (double)r->plan.n_parameters,
        .seconds = seconds,
        .kinds = r->plan.kinds,
        .n_kinds = r->plan.n_kinds,
    };
    *out = &r->shown;
    return MICA_OK;
}

void mica_save_report_free(mica_save_report *report)
{
    struct saved_report *r = (struct saved_report *)report;
    if (!r) return;
    mica__save_plan_release(&r->plan);
    mica__free(r->path);
    mica__free(r);
}

mica_status mica_convert(const char *from, const char *folder, const mica_save_options *options,
                         mica_save_report **report, mica_error *err)
{
    const mica_save_options none = {0};
    const double start = now();
    uint64_t resumed = 0;
    if (!options) options = &none;
    if (report) *report = NULL;
    source s = {0};
    mica__save_plan plan = {0};
    mica__new_folder f = {.lock = -1};
    mica_status status = source_open(&s, from, options, err);
    const mica__save_source what = {
        .checkpoint = s.checkpoint,
        .config = &s.config,
        .list = &s.list,
        .n_layers = s.spec.n_layers,
        .prefix = s.keep_wrapper ? "language_model.model." : "model.",
        .head = s.keep_wrapper ? "language_model." : "",
    };
    if (status == MICA_OK) status = mica__save_plan_make(&plan, &what, options, err);
    if (status == MICA_OK) status = mica__new_folder_open(&f, folder, options->overwrite, may_resume, err);
    if (status == MICA_OK) status = write_all(&s, &plan, &f, options, &resumed, err);
    if (status == MICA_OK && report) status = make_report(report, &plan, f.path, resumed, now() - start, err);
    if (status == MICA_CANCELLED) mica__new_folder_leave(&f);
    mica__new_folder_release(&f);
    mica__save_plan_release(&plan);
    source_close(&s);
    return status;
}

mica_status mica_save_pretrained(const mica_model *model, const char *folder, const mica_save_options *options,
                                 mica_save_report **report, mica_error *err)
{
    mica_save_options o = options ? *options : (mica_save_options){0};
    if (model->quantize && !o.quantize && !o.dequantize && o.format == MICA_SAVE_MLX) {
        o.quantize = model->quantize;
        if (!o.rules) o.rules = model->quantize_rules;
        if (!o.quantizer) o.quantizer = model->quantizer;
    }
    return mica_convert(mica_model_path(model), folder, &o, report, err);
}
