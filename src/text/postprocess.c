/* text/postprocess.c: templates. BertProcessing and RobertaProcessing are templates, too. */
#include "text/postprocess.h"
#include "text/model.h"

enum { MAX_ITEMS = 256 };

typedef struct context {
    mica__postprocess *out;
    mica__arena *arena;
    mica_error *err;
} context;

static mica_status read_id(context *c, const mica__at *at, mica__jval v, int32_t *id)
{
    int64_t value;
    if (!mica__json_int(v, &value) || value < 0 || value >= INT32_MAX)
        return mica__fail_at(c->err, at, "expected a token id, found %s", mica__json_kind(v));
    *id = (int32_t)value;
    if (*id > c->out->highest_id) c->out->highest_id = *id;
    return MICA_OK;
}

/* ---- TemplateProcessing ---- */

static mica_status special_ids(context *c, const mica__at *at, mica__jval special, mica__str name,
                               mica__template_item *item)
{
    mica__jval entry = mica__json_get_str(special, name), list;
    if (!entry) return mica__fail_at(c->err, at, "special token '%s' is not in special_tokens", MICA_QUOTED_STR(name));
    MICA_TRY(mica__need_array(at, entry, "ids", &list, c->err));
    item->n_ids = mica__json_count(list);
    int32_t *ids = mica__arena_alloc(c->arena, item->n_ids, sizeof *ids);
    if (!ids) return mica__fail_memory(c->err, item->n_ids * sizeof *ids, "a template");
    item->ids = ids;
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e)) MICA_TRY(read_id(c, at, e, ids++));
    return MICA_OK;
}

static mica_status parse_item(context *c, const mica__at *at, mica__jval v, mica__jval special,
                              mica__template_item *item)
{
    mica__jval sequence = mica__json_get(v, "Sequence"), token = mica__json_get(v, "SpecialToken");
    mica__jval inner = sequence ? sequence : token;
    mica__str id;
    int64_t type_id = 0;
    if (!inner) return mica__fail_at(c->err, at, "expected a Sequence or a SpecialToken");
    MICA_TRY(mica__need_string(at, inner, "id", &id, c->err));
    MICA_TRY(mica__field_int(at, inner, "type_id", 0, INT32_MAX, &type_id, c->err));
    item->type_id = (int32_t)type_id;
    if (token) {
        item->kind = MICA__ITEM_IDS;
        return special_ids(c, at, special, id, item);
    }
    bool is_a = mica__str_is(id, "A");
    if (!is_a && !mica__str_is(id, "B"))
        return mica__fail_at(c->err, at, "sequence '%s', expected A or B", MICA_QUOTED_STR(id));
    item->kind = is_a ? MICA__ITEM_A : MICA__ITEM_B;
    return MICA_OK;
}

static mica_status parse_items(context *c, const mica__at *at, mica__jval v, const char *key, mica__template *out)
{
    mica__jval list;
    MICA_TRY(mica__need_array(at, v, key, &list, c->err));
    if (mica__json_count(list) > MAX_ITEMS)
        return mica__fail_at(c->err, at, "template of more than %d items", MAX_ITEMS);
    out->items = mica__arena_calloc(c->arena, mica__json_count(list), sizeof *out->items);
    if (!out->items) return mica__fail_memory(c->err, mica__json_count(list) * sizeof *out->items, "a template");
    mica__at array = {at, key, 0}, element = {&array, NULL, 0};
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e), element.index++)
        MICA_TRY(parse_item(c, &element, e, mica__json_get(v, "special_tokens"), &out->items[out->n++]));
    return MICA_OK;
}

static bool uses(const mica__template *t, int kind)
{
    for (size_t i = 0; i < t->n; i++)
        if ((int)t->items[i].kind == kind) return true;
    return false;
}

static mica_status parse_template(context *c, const mica__at *at, mica__jval v)
{
    MICA_TRY(parse_items(c, at, v, "single", &c->out->single));
    MICA_TRY(parse_items(c, at, v, "pair", &c->out->pair));
    if (uses(&c->out->single, MICA__ITEM_B))
        return mica__fail_at(c->err, at, "the template for one text uses sequence B");
    if (!uses(&c->out->pair, MICA__ITEM_A) || !uses(&c->out->pair, MICA__ITEM_B))
        return mica__fail_at(c->err, at, "the template for two texts must use sequences A and B");
    return MICA_OK;
}

/* ---- BertProcessing, RobertaProcessing ---- */

/* ["token", id] */
static mica_status parse_named_id(context *c, const mica__at *at, mica__jval v, const char *key, int32_t *id)
{
    mica__jval pair;
    mica__at here = {at, key, 0};
    MICA_TRY(mica__need_array(at, v, key, &pair, c->err));
    if (mica__json_count(pair) != 2) return mica__fail_at(c->err, &here, "expected [token, id]");
    return read_id(c, &here, mica__json_at(pair, 1), id);
}

/* cls A sep, and cls A sep [sep] B sep; the second text and its separator have type `second`. */
static mica_status parse_framed(context *c, const mica__at *at, mica__jval v, bool doubled, int32_t second)
{
    int32_t *ids = mica__arena_alloc(c->arena, 3, sizeof *ids);
    mica__template_item *items = mica__arena_calloc(c->arena, 8, sizeof *items);
    if (!ids || !items) return mica__fail_memory(c->err, 8 * sizeof *items, "a template");
    MICA_TRY(parse_named_id(c, at, v, "cls", &ids[0]));
    MICA_TRY(parse_named_id(c, at, v, "sep", &ids[1]));
    ids[2] = ids[1];
    items[0] = (mica__template_item){MICA__ITEM_IDS, 0, &ids[0], 1};
    items[1] = (mica__template_item){MICA__ITEM_A, 0, NULL, 0};
    items[2] = (mica__template_item){MICA__ITEM_IDS, 0, &ids[1], 1};
    items[3] = items[0];
    items[4] = items[1];
    items[5] = (mica__template_item){MICA__ITEM_IDS, 0, &ids[1], doubled ? 2 : 1};
    items[6] = (mica__template_item){MICA__ITEM_B, second, NULL, 0};
    items[7] = (mica__template_item){MICA__ITEM_IDS, second, &ids[1], 1};
    c->out->single = (mica__template){items, 3};
    c->out->pair = (mica__template){items + 3, 5};
    return MICA_OK;
}

/* ---- all ---- */

static mica_status parse(context *c, const mica__at *at, mica__jval v);

static mica_status parse_sequence(context *c, const mica__at *at, mica__jval v)
{
    mica__jval list;
    MICA_TRY(mica__need_array(at, v, "processors", &list, c->err));
    mica__at array = {at, "processors", 0}, element = {&array, NULL, 0};
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e), element.index++)
        MICA_TRY(parse(c, &element, e));
    return MICA_OK;
}

static mica_status parse_trim(context *c, const mica__at *at, mica__jval v)
{
    bool trims = true, prefix = true;
    MICA_TRY(mica__field_bool(at, v, "trim_offsets", &trims, c->err));
    MICA_TRY(mica__field_bool(at, v, "add_prefix_space", &prefix, c->err));
    if (trims) c->out->prefix_space = prefix;
    c->out->trims |= trims;
    return MICA_OK;
}

static mica_status parse(context *c, const mica__at *at, mica__jval v)
{
    mica__str type;
    MICA_TRY(mica__need_string(at, v, "type", &type, c->err));
    if (mica__str_is(type, "ByteLevel")) return parse_trim(c, at, v); /* changes offsets only */
    if (mica__str_is(type, "Sequence")) return parse_sequence(c, at, v);
    bool is_template = mica__str_is(type, "TemplateProcessing"), bert = mica__str_is(type, "BertProcessing");
    if (!is_template && !bert && !mica__str_is(type, "RobertaProcessing"))
        return mica__fail_at(c->err, at, "unknown post-processor type '%s'", MICA_QUOTED_STR(type));
    if (c->out->present) return mica__fail_at(c->err, at, "a second template after the first is not supported");
    c->out->present = true;
    if (!is_template && !bert) MICA_TRY(parse_trim(c, at, v));
    return is_template ? parse_template(c, at, v) : parse_framed(c, at, v, !bert, bert ? 1 : 0);
}

mica_status mica__postprocess_parse(mica__postprocess *out, mica__arena *arena, const mica__at *at, mica__jval v,
                                    mica_error *err)
{
    *out = (mica__postprocess){.highest_id = -1};
    context c = {out, arena, err};
    return mica__json_type(v) == MICA__JSON_NULL ? MICA_OK : parse(&c, at, v);
}

static mica_status append(mica_ids *out, const int32_t *ids, size_t n, mica_error *err)
{
    if (out->capacity - out->n < n) MICA_TRY(mica__ids_grow(out, n, err));
    if (n) memcpy(out->data + out->n, ids, n * sizeof *ids);
    out->n += n;
    return MICA_OK;
}

static mica_status repeat(mica_ids *out, int32_t value, size_t n, mica_error *err)
{
    if (!out) return MICA_OK;
    if (out->capacity - out->n < n) MICA_TRY(mica__ids_grow(out, n, err));
    for (size_t i = 0; i < n; i++) out->data[out->n++] = value;
    return MICA_OK;
}

mica_status mica__postprocess_run(const mica__postprocess *p, const mica_ids *a, const mica_ids *b, bool add_special,
                                  mica_ids *out, mica_ids *types, mica_ids *sources, mica_error *err)
{
    static const mica__template_item plain[] = {{MICA__ITEM_A, 0, NULL, 0}, {MICA__ITEM_B, 1, NULL, 0}};
    const mica__template *t = b ? &p->pair : &p->single;
    const mica__template_item *items = p->present ? t->items : plain;
    size_t n = p->present ? t->n : b ? 2 : 1;
    for (size_t i = 0; i < n; i++) {
        const mica__template_item *item = &items[i];
        const bool fixed = item->kind == MICA__ITEM_IDS;
        const mica_ids *text = item->kind == MICA__ITEM_A ? a : b;
        const int32_t *ids = fixed ? item->ids : text->data;
        const size_t n_ids = fixed ? item->n_ids : text->n;
        if (fixed && !add_special) continue;
        MICA_TRY(append(out, ids, n_ids, err));
        MICA_TRY(repeat(types, item->type_id, n_ids, err));
        MICA_TRY(repeat(sources, fixed ? -1 : item->kind == MICA__ITEM_B, n_ids, err));
    }
    return MICA_OK;
}
