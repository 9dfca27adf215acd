/* text/decode_parse.c: reading decoders into stages. */
#include "text/decode_stages.h"
#include "text/split_steps.h"

enum { MAX_STAGES = 64 }; /* each is a frame on the stack */

typedef struct context {
    mica__decoder *out;
    mica__arena *arena;
    mica_error *err;
} context;

typedef mica__decode_stage stage;

static mica_status add_stage(context *c, const mica__at *at, const mica__stage_kind *kind, stage **added)
{
    mica__decoder *d = c->out;
    if (d->n == MAX_STAGES) return mica__fail_at(c->err, at, "more than %d decoders", MAX_STAGES);
    if (d->n == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 8;
        stage *stages = mica__realloc(d->stages, cap, sizeof *stages);
        if (!stages) return mica__fail_memory(c->err, cap * sizeof *stages, "decoders");
        d->stages = stages;
        d->cap = cap;
    }
    *added = &d->stages[d->n++];
    **added = (stage){.kind = kind};
    return MICA_OK;
}

static mica_status copy_string(context *c, mica__str s, mica__str *out)
{
    char *copy = mica__arena_strndup(c->arena, s.p, s.n);
    if (!copy) return mica__fail_memory(c->err, s.n, "a decoder");
    *out = (mica__str){copy, s.n};
    return MICA_OK;
}

static mica_status parse(context *c, const mica__at *at, mica__jval v);

static mica_status parse_sequence(context *c, const mica__at *at, mica__jval v)
{
    mica__jval list;
    MICA_TRY(mica__need_array(at, v, "decoders", &list, c->err));
    mica__at array = {at, "decoders", 0}, element = {&array, NULL, 0};
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e), element.index++)
        MICA_TRY(parse(c, &element, e));
    return MICA_OK;
}

static mica_status parse_plain(context *c, const mica__at *at, const mica__stage_kind *kind)
{
    stage *s = NULL;
    return add_stage(c, at, kind, &s);
}

static mica_status parse_byte_level(context *c, const mica__at *at, mica__jval v)
{
    (void)v;
    return parse_plain(c, at, &mica__stage_byte_level);
}

static mica_status parse_fuse(context *c, const mica__at *at, mica__jval v)
{
    (void)v;
    return parse_plain(c, at, &mica__stage_fuse);
}

static mica_status parse_byte_fallback(context *c, const mica__at *at, mica__jval v)
{
    (void)v;
    return parse_plain(c, at, &mica__stage_byte_fallback);
}

static mica_status parse_replace(context *c, const mica__at *at, mica__jval v)
{
    stage *s = NULL;
    mica__str content;
    MICA_TRY(add_stage(c, at, &mica__stage_replace, &s));
    MICA_TRY(mica__need_string(at, v, "content", &content, c->err));
    MICA_TRY(copy_string(c, content, &s->text));
    MICA_TRY(mica__pattern_parse(&s->pattern, c->arena, at, v, "pattern", c->err));
    if (!s->pattern.literal.n) s->kind = &mica__stage_replace_regex; /* whole tokens only */
    return MICA_OK;
}

static mica_status parse_strip(context *c, const mica__at *at, mica__jval v)
{
    stage *s = NULL;
    int64_t start = 0, stop = 0;
    MICA_TRY(add_stage(c, at, &mica__stage_strip, &s));
    MICA_TRY(mica__need_char(at, v, "content", &s->character, c->err));
    MICA_TRY(mica__field_int(at, v, "start", 0, INT32_MAX, &start, c->err));
    MICA_TRY(mica__field_int(at, v, "stop", 0, INT32_MAX, &stop, c->err));
    s->start = (size_t)start;
    s->stop = (size_t)stop;
    return MICA_OK;
}

static mica_status parse_metaspace(context *c, const mica__at *at, mica__jval v)
{
    stage *s = NULL;
    mica__prepend scheme;
    MICA_TRY(add_stage(c, at, &mica__stage_metaspace, &s));
    MICA_TRY(mica__need_char(at, v, "replacement", &s->character, c->err));
    MICA_TRY(mica__metaspace_scheme(at, v, &scheme, c->err));
    s->flag = scheme != MICA__PREPEND_NEVER;
    return MICA_OK;
}

static mica_status parse_wordpiece(context *c, const mica__at *at, mica__jval v)
{
    stage *s = NULL;
    mica__str prefix = MICA_STR("##");
    MICA_TRY(add_stage(c, at, &mica__stage_wordpiece, &s));
    s->flag = true;
    MICA_TRY(mica__field_string(at, v, "prefix", &prefix, c->err));
    MICA_TRY(mica__field_bool(at, v, "cleanup", &s->flag, c->err));
    return copy_string(c, prefix, &s->text);
}

static mica_status parse_bpe(context *c, const mica__at *at, mica__jval v)
{
    stage *s = NULL;
    mica__str suffix = MICA_STR("</w>");
    MICA_TRY(add_stage(c, at, &mica__stage_bpe, &s));
    MICA_TRY(mica__field_string(at, v, "suffix", &suffix, c->err));
    return copy_string(c, suffix, &s->text);
}

static mica_status parse_ctc(context *c, const mica__at *at, mica__jval v)
{
    stage *s = NULL;
    mica__str pad = MICA_STR("<pad>"), delimiter = MICA_STR("|");
    MICA_TRY(add_stage(c, at, &mica__stage_ctc, &s));
    s->flag = true;
    MICA_TRY(mica__field_string(at, v, "pad_token", &pad, c->err));
    MICA_TRY(mica__field_string(at, v, "word_delimiter_token", &delimiter, c->err));
    MICA_TRY(mica__field_bool(at, v, "cleanup", &s->flag, c->err));
    MICA_TRY(copy_string(c, pad, &s->text));
    return copy_string(c, delimiter, &s->text2);
}

static const struct {
    const char *type;
    mica_status (*parse)(context *c, const mica__at *at, mica__jval v);
} types[] = {
    {"Sequence", parse_sequence},
    {"ByteLevel", parse_byte_level},
    {"Replace", parse_replace},
    {"Fuse", parse_fuse},
    {"ByteFallback", parse_byte_fallback},
    {"Strip", parse_strip},
    {"Metaspace", parse_metaspace},
    {"WordPiece", parse_wordpiece},
    {"BPEDecoder", parse_bpe},
    {"CTC", parse_ctc},
};

static mica_status parse(context *c, const mica__at *at, mica__jval v)
{
    mica__str type;
    MICA_TRY(mica__need_string(at, v, "type", &type, c->err));
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (mica__str_is(type, types[i].type)) return types[i].parse(c, at, v);
    return mica__fail_at(c->err, at, "unknown decoder type '%s'", MICA_QUOTED_STR(type));
}

mica_status mica__decoder_parse(mica__decoder *out, mica__arena *arena, const mica__at *at, mica__jval v,
                                mica_error *err)
{
    *out = (mica__decoder){0};
    context c = {out, arena, err};
    return mica__json_type(v) == MICA__JSON_NULL ? parse_plain(&c, at, &mica__stage_join) : parse(&c, at, v);
}

void mica__decoder_release(mica__decoder *d)
{
    for (size_t i = 0; i < d->n; i++) mica__pattern_release(&d->stages[i].pattern);
    mica__free(d->stages);
    *d = (mica__decoder){0};
}
