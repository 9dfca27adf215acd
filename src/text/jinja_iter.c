/* text/jinja_iter.c: iterating values, as Python's iter() and next() do. */
#include "jinja_eval.h"
#include "jinja_unicode.h"

mica__jiter *mica__jiter_make(mica__jin *j, const char *type_name, int (*next)(mica__jin *, mica__jiter *, mica__jv *),
                              mica__jv source, void *state)
{
    mica__jiter *it = mica__jin_alloc(j, 1, sizeof *it);
    if (!it) return NULL;
    *it = (mica__jiter){.next = next, .type_name = type_name, .source = source, .state = state};
    return it;
}

mica__jv mica__jiter_value(mica__jiter *it) { return it ? (mica__jv){.kind = JV_ITER, .u.iter = it} : JV_ERR; }
const char *mica__jiter_type_name(const mica__jiter *it) { return it->type_name; }

int mica__jiter_next(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    if (it->is_done) return 0;
    if (!mica__jin_spend(j, 1) || !mica__jin_enter(j)) return -1;
    if (it->makes_values) j->effects++;
    int got = it->next(j, it, out);
    mica__jin_leave(j);
    if (got <= 0) it->is_done = true;
    return got;
}

static int next_in_list(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    (void)j;
    const mica__jlist *l = it->source.u.list;
    if (it->at >= l->n) return 0;
    *out = l->items[it->at++];
    return 1;
}

static int next_in_list_reversed(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    (void)j;
    const mica__jlist *l = it->source.u.list;
    if (it->at >= l->n) return 0;
    *out = l->items[l->n - ++it->at];
    return 1;
}

static int next_in_str(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    mica__str rest = mica__jv_text(it->source);
    rest.p += it->at;
    rest.n -= it->at;
    const char *from = rest.p;
    uint32_t c;
    if (!mica__py_next(&rest, &c)) return 0;
    *out = mica__jv_borrow(j, from, (size_t)(rest.p - from)); /* a plain str, also from Markup */
    it->at += (size_t)(rest.p - from);
    return out->kind == JV_ERROR ? -1 : 1;
}

static int next_in_bytes(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    (void)j;
    if (it->at >= it->source.u.str->n) return 0;
    *out = mica__jv_int((unsigned char)it->source.u.str->p[it->at++]);
    return 1;
}

static int next_in_range(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    (void)j;
    const mica__jrange *r = it->source.u.range;
    if ((int64_t)it->at >= r->n) return 0;
    *out = mica__jv_int(r->start + (int64_t)it->at++ * r->step);
    return 1;
}

static int entry_as(mica__jin *j, const mica__jentry *e, mica__jv_view view, mica__jv *out)
{
    *out = view == JV_KEYS ? e->key : view == JV_VALUES ? e->value : mica__jv_pair(j, e->key, e->value);
    return out->kind == JV_ERROR ? -1 : 1;
}

static int next_in_dict(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    const mica__jdict *d = it->source.u.dict;
    if (it->at >= d->n) return 0;
    return entry_as(j, &d->entries[it->at++], it->source.kind == JV_VIEW ? (mica__jv_view)it->source.sub : JV_KEYS,
                    out);
}

static int next_in_dict_reversed(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    const mica__jdict *d = it->source.u.dict;
    if (it->at >= d->n) return 0;
    return entry_as(j, &d->entries[d->n - ++it->at],
                    it->source.kind == JV_VIEW ? (mica__jv_view)it->source.sub : JV_KEYS, out);
}

static int next_in_nothing(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    (void)j, (void)it, (void)out;
    return 0;
}

/* A loop variable used as an iterable: what is left, each with the loop itself. */
static int next_in_loop(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    mica__jv item;
    int got = mica__jloop_next(j, it->source.u.loop, &item);
    if (got <= 0) return got;
    *out = mica__jv_pair(j, item, it->source);
    return out->kind == JV_ERROR ? -1 : 1;
}

bool mica__jv_is_iterable(mica__jv v)
{
    switch ((mica__jv_kind)v.kind) {
    case JV_UNDEFINED:
    case JV_STR:
    case JV_BYTES:
    case JV_LIST:
    case JV_TUPLE:
    case JV_DICT:
    case JV_VIEW:
    case JV_RANGE:
    case JV_ITER:
    case JV_LOOP:
        return true;
    default:
        return false;
    }
}

mica__jiter *mica__jiter_new(mica__jin *j, mica__jv v)
{
    mica__jiter *it = NULL;
    switch ((mica__jv_kind)v.kind) {
    case JV_ITER:
        return v.u.iter;
    case JV_LIST:
        return mica__jiter_make(j, "list_iterator", next_in_list, v, NULL);
    case JV_TUPLE:
        return mica__jiter_make(j, "tuple_iterator", next_in_list, v, NULL);
    case JV_RANGE:
        return mica__jiter_make(j, "range_iterator", next_in_range, v, NULL);
    case JV_BYTES:
        return mica__jiter_make(j, "bytes_iterator", next_in_bytes, v, NULL);
    case JV_UNDEFINED:
        return mica__jiter_make(j, "generator", next_in_nothing, v, NULL);
    case JV_STR:
        it = mica__jiter_make(j, "str_iterator", next_in_str, v, NULL);
        break;
    case JV_DICT:
        it = mica__jiter_make(j, "dict_keyiterator", next_in_dict, v, NULL);
        break;
    case JV_VIEW:
        it = mica__jiter_make(j, "dict_itemiterator", next_in_dict, v, NULL);
        break;
    case JV_LOOP:
        it = mica__jiter_make(j, "LoopContext", next_in_loop, v, NULL);
        break;
    default:
        mica__jin_raise(j, "'%s' object is not iterable", mica__jv_type_name(v));
        return NULL;
    }
    if (it) it->makes_values = v.kind != JV_DICT;
    return it;
}

mica__jv mica__jv_reversed(mica__jin *j, mica__jv v)
{
    mica__jiter *it;
    if (mica__jv_is_seq(v)) {
        it = mica__jiter_make(j, "list_reverseiterator", next_in_list_reversed, v, NULL);
    } else if (v.kind == JV_DICT || v.kind == JV_VIEW) {
        it = mica__jiter_make(j, "dict_reversekeyiterator", next_in_dict_reversed, v, NULL);
        if (it) it->makes_values = v.kind == JV_VIEW;
    } else if (v.kind == JV_RANGE) {
        mica__jrange *r = mica__jin_alloc(j, 1, sizeof *r);
        if (!r) return JV_ERR;
        *r = *v.u.range;
        r->start += (r->n - 1) * r->step;
        r->step = -r->step;
        it = mica__jiter_make(j, "range_iterator", next_in_range, (mica__jv){.kind = JV_RANGE, .u.range = r}, NULL);
    } else {
        return JV_NO_VALUE;
    }
    return mica__jiter_value(it);
}

bool mica__jv_collect(mica__jin *j, mica__jv v, mica__jitems *out)
{
    if (mica__jv_is_seq(v) && !out->n) {
        if (!mica__jin_spend(j, v.u.list->n / 4)) return false;
        out->items = mica__jin_alloc(j, v.u.list->n ? v.u.list->n : 1, sizeof *out->items);
        if (!out->items) return false;
        if (v.u.list->n) memcpy(out->items, v.u.list->items, v.u.list->n * sizeof *out->items);
        out->n = out->cap = v.u.list->n;
        if (!out->cap) out->cap = 1;
        return true;
    }
    mica__jiter *it = mica__jiter_new(j, v);
    if (!it) return false;
    for (mica__jv item;;) {
        int got = mica__jiter_next(j, it, &item);
        if (got <= 0) return got == 0;
        if (!mica__jitems_add(j, out, item)) return false;
    }
}
