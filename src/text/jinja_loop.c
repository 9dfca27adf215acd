/* text/jinja_loop.c: the variable `loop`.
 *
 * It looks ahead only when asked: `last` and `nextitem` draw one item early, `length` of something without a length draws all. */
#include "jinja_eval.h"

mica__jloop *mica__jloop_new(mica__jin *j, mica__jv iterable, mica__jiter *iter, int64_t depth0)
{
    mica__jloop *l = mica__jin_alloc(j, 1, sizeof *l);
    if (!l) return NULL;
    *l = (mica__jloop){.iterable = iterable, .iter = iter, .index0 = -1, .length = -1, .depth0 = depth0};
    l->current = l->before = l->after = l->changed = JV_NO_VALUE;
    return l;
}

int mica__jloop_next(mica__jin *j, mica__jloop *l, mica__jv *out)
{
    int got = 1;
    if (l->after.kind != JV_MISSING) {
        *out = l->after;
        l->after = JV_NO_VALUE;
    } else {
        got = mica__jiter_next(j, l->iter, out);
    }
    if (got <= 0) return got;
    l->index0++;
    l->before = l->current;
    l->current = *out;
    return 1;
}

/* 1: there is a next item, in l->after. */
static int peek(mica__jin *j, mica__jloop *l)
{
    if (l->after.kind != JV_MISSING) return 1;
    mica__jv next;
    if (l->iter->makes_values) j->effects++;
    int got = mica__jiter_next(j, l->iter, &next);
    if (got > 0) l->after = next;
    return got;
}

int64_t mica__jloop_length(mica__jin *j, mica__jloop *l)
{
    if (l->length >= 0) return l->length;
    if (mica__jv_has_length(l->iterable)) return l->length = mica__jv_length(j, l->iterable);
    mica__jitems rest = {0};
    j->effects++;
    for (mica__jv item;;) {
        int got = mica__jiter_next(j, l->iter, &item);
        if (got < 0 || (got && !mica__jitems_add(j, &rest, item))) return -1;
        if (!got) break;
    }
    mica__jv list = mica__jv_list(j, JV_LIST, rest.items, rest.n);
    if (list.kind == JV_ERROR || !(l->iter = mica__jiter_new(j, list))) return -1;
    return l->length = (int64_t)rest.n + l->index0 + 1 + (l->after.kind != JV_MISSING);
}

static mica__jv method_cycle(mica__jin *j, mica__jv self, const mica__jargs *raw, mica__jv *a)
{
    (void)a;
    if (!raw->n_pos) return mica__jin_raise(j, "no items for cycling given");
    int64_t n = (int64_t)raw->n_pos, k = self.u.loop->index0 % n;
    return raw->pos[k < 0 ? k + n : k];
}

static mica__jv method_changed(mica__jin *j, mica__jv self, const mica__jargs *raw, mica__jv *a)
{
    (void)a;
    mica__jloop *l = self.u.loop;
    mica__jv *copy = mica__jin_alloc(j, raw->n_pos ? raw->n_pos : 1, sizeof *copy);
    if (!copy) return JV_ERR;
    if (raw->n_pos) memcpy(copy, raw->pos, raw->n_pos * sizeof *copy);
    mica__jv now = mica__jv_list(j, JV_TUPLE, copy, raw->n_pos);
    JV_TRY(now);
    int same = l->changed.kind == JV_MISSING ? 0 : mica__jv_equal(j, l->changed, now);
    if (same < 0) return JV_ERR;
    if (same) return mica__jv_bool(false);
    l->changed = now;
    j->effects++;
    return mica__jv_bool(true);
}

static const mica__jbuiltin loop_methods[] = {
    {"cycle", "*", method_cycle, false}, {"changed", "*", method_changed, false}, {0}};

mica__jv mica__jloop_attr(mica__jin *j, mica__jloop *l, mica__str name)
{
    mica__jv self = {.kind = JV_LOOP, .u.loop = l};
    if (mica__str_is(name, "index")) return mica__jv_int(l->index0 + 1);
    if (mica__str_is(name, "index0")) return mica__jv_int(l->index0);
    if (mica__str_is(name, "first")) return mica__jv_bool(l->index0 == 0);
    if (mica__str_is(name, "depth")) return mica__jv_int(l->depth0 + 1);
    if (mica__str_is(name, "depth0")) return mica__jv_int(l->depth0);
    if (mica__str_is(name, "last") || mica__str_is(name, "nextitem")) {
        int got = peek(j, l);
        if (got < 0) return JV_ERR;
        if (name.n == 4) return mica__jv_bool(!got);
        return got ? l->after : mica__jv_undefined_hint(j, "there is no next item");
    }
    if (mica__str_is(name, "previtem"))
        return l->index0 == 0 || l->before.kind == JV_MISSING ? mica__jv_undefined_hint(j, "there is no previous item")
                                                              : l->before;
    bool rev = mica__str_is(name, "revindex"), rev0 = mica__str_is(name, "revindex0");
    if (rev || rev0 || mica__str_is(name, "length")) {
        int64_t n = mica__jloop_length(j, l);
        if (n < 0) return JV_ERR;
        return mica__jv_int(rev ? n - l->index0 : rev0 ? n - l->index0 - 1 : n);
    }
    const mica__jbuiltin *method = mica__jbuiltin_in(loop_methods, name);
    return method ? mica__jmethod_bind(j, self, method) : JV_NO_VALUE;
}
