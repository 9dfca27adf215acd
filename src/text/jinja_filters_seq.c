/* text/jinja_filters_seq.c: filters over sequences and mappings.
 *
 * map, select, reject, unique, batch, slice and items are lazy, as in Jinja: they give an iterator that works when it is drawn
 * from, once. */
#include "jinja_filters.h"

#define FILTER(name) static mica__jv name(mica__jin *j, mica__jv v, const mica__jargs *raw, mica__jv *a)
#define UNUSED (void)raw, (void)a, (void)j

static bool given(mica__jv v) { return v.kind != JV_MISSING && v.kind != JV_NONE; }

static mica__jv lazy(mica__jin *j, int (*next)(mica__jin *, mica__jiter *, mica__jv *), mica__jv source, void *state)
{
    mica__jiter *it = mica__jiter_make(j, "generator", next, source, state);
    if (it) it->makes_values = true;
    return mica__jiter_value(it);
}

/* The iterator a lazy filter draws from; made at the first draw, when Jinja would find out that there is none. */
static mica__jiter *source_of(mica__jin *j, mica__jiter *it)
{
    if (!it->inner) it->inner = mica__jiter_new(j, it->source);
    return it->inner;
}

/* ---- attributes by path: "a.b.0", 3 ---- */

static mica__jv get_path(mica__jin *j, mica__jv item, mica__jv path, mica__jv fallback)
{
    if (path.kind == JV_MISSING || path.kind == JV_NONE) return item;
    if (path.kind != JV_STR) {
        item = mica__jv_item(j, item, path);
        return item.kind == JV_UNDEFINED && given(fallback) ? fallback : item;
    }
    mica__str s = mica__jv_text(path);
    for (;;) {
        const char *dot = memchr(s.p, '.', s.n);
        size_t n = dot ? (size_t)(dot - s.p) : s.n;
        bool is_number = n > 0 && n < 18;
        int64_t number = 0;
        for (size_t i = 0; i < n && is_number; i++) {
            is_number = s.p[i] >= '0' && s.p[i] <= '9';
            number = number * 10 + (s.p[i] - '0');
        }
        mica__jv key = is_number ? mica__jv_int(number) : mica__jv_borrow(j, s.p, n);
        item = key.kind == JV_ERROR ? JV_ERR : mica__jv_item(j, item, key);
        JV_TRY(item);
        if (item.kind == JV_UNDEFINED && given(fallback)) item = fallback;
        if (!dot) return item;
        s.n -= n + 1;
        s.p = dot + 1;
    }
}

static mica__jv fold(mica__jin *j, mica__jv v, bool case_sensitive)
{
    return v.kind == JV_STR && !case_sensitive ? mica__jstr_lower(j, v) : v;
}

/* The key that sorting by `attribute` (a path, or several separated by commas) compares: a list, also of one. */
static mica__jv sort_key(mica__jin *j, mica__jv item, mica__jv attribute, bool case_sensitive)
{
    mica__str s = attribute.kind == JV_STR ? mica__jv_text(attribute) : MICA_STR("");
    mica__jitems keys = {0};
    for (bool more = true; more;) {
        const char *comma = s.n ? memchr(s.p, ',', s.n) : NULL;
        size_t n = comma ? (size_t)(comma - s.p) : s.n;
        mica__jv path = attribute.kind == JV_STR ? mica__jv_borrow(j, s.p, n) : attribute;
        mica__jv key = path.kind == JV_ERROR ? path : fold(j, get_path(j, item, path, JV_NO_VALUE), case_sensitive);
        if (key.kind == JV_ERROR || !mica__jitems_add(j, &keys, key)) return JV_ERR;
        more = comma != NULL;
        s.p += n + more, s.n -= n + more;
    }
    return mica__jv_list(j, JV_LIST, keys.items, keys.n);
}

/* Stable merge sort of items by keys; with `reverse` equal ones keep their order, too. */
static bool sort_by_keys(mica__jin *j, mica__jv *items, mica__jv *keys, size_t n, bool reverse)
{
    mica__jv *from_items = mica__jin_alloc(j, n + 1, sizeof *items),
             *from_keys = mica__jin_alloc(j, n + 1, sizeof *keys);
    if (!from_items || !from_keys) return false;
    for (size_t width = 1; width < n; width *= 2) {
        memcpy(from_items, items, n * sizeof *items);
        memcpy(from_keys, keys, n * sizeof *keys);
        for (size_t lo = 0; lo < n; lo += 2 * width) {
            size_t mid = lo + width < n ? lo + width : n, hi = mid + width < n ? mid + width : n, a = lo, b = mid;
            for (size_t k = lo; k < hi; k++) {
                int right_first = 0;
                if (a < mid && b < hi) {
                    if (!mica__jin_spend(j, 1)) return false;
                    right_first = reverse ? mica__jv_order(j, '<', from_keys[a], from_keys[b])
                                          : mica__jv_order(j, '<', from_keys[b], from_keys[a]);
                    if (right_first < 0) return false;
                }
                size_t pick = a < mid && !(b < hi && right_first) ? a++ : b++;
                items[k] = from_items[pick];
                keys[k] = from_keys[pick];
            }
        }
    }
    return true;
}

FILTER(filter_sort)
{
    UNUSED;
    bool reverse = false, case_sensitive = false;
    mica__jitems items = {0};
    if (!mica__jarg_bool(j, a[0], &reverse) || !mica__jarg_bool(j, a[1], &case_sensitive) ||
        !mica__jv_collect(j, v, &items))
        return JV_ERR;
    mica__jv *keys = mica__jin_alloc(j, items.n + 1, sizeof *keys);
    if (!keys) return JV_ERR;
    for (size_t i = 0; i < items.n; i++) {
        keys[i] = sort_key(j, items.items[i], a[2], case_sensitive);
        JV_TRY(keys[i]);
    }
    if (!sort_by_keys(j, items.items, keys, items.n, reverse)) return JV_ERR;
    return mica__jv_list(j, JV_LIST, items.items, items.n);
}

FILTER(filter_dictsort)
{
    UNUSED;
    bool case_sensitive = false, reverse = false;
    mica__str by = MICA_STR("key");
    if (!mica__jarg_bool(j, a[0], &case_sensitive) || !mica__jarg_text(j, a[1], &by) ||
        !mica__jarg_bool(j, a[2], &reverse))
        return JV_ERR;
    bool by_value = mica__str_is(by, "value");
    if (!by_value && !mica__str_is(by, "key"))
        return mica__jin_raise(j, "You can only sort by either \"key\" or \"value\"");
    if (v.kind == JV_UNDEFINED) return mica__jv_use_undefined(j, v);
    if (v.kind != JV_DICT) return mica__jin_raise(j, "'%s' object has no attribute 'items'", mica__jv_type_name(v));
    size_t n = v.u.dict->n;
    mica__jv *items = mica__jin_alloc(j, n + 1, sizeof *items), *keys = mica__jin_alloc(j, n + 1, sizeof *keys);
    if (!items || !keys) return JV_ERR;
    for (size_t i = 0; i < n; i++) {
        const mica__jentry *e = &v.u.dict->entries[i];
        items[i] = mica__jv_pair(j, e->key, e->value);
        keys[i] = fold(j, by_value ? e->value : e->key, case_sensitive);
        if (items[i].kind == JV_ERROR || keys[i].kind == JV_ERROR) return JV_ERR;
    }
    if (!sort_by_keys(j, items, keys, n, reverse)) return JV_ERR;
    return mica__jv_list(j, JV_LIST, items, n);
}

FILTER(filter_groupby)
{
    UNUSED;
    bool case_sensitive = false;
    mica__jitems items = {0}, groups = {0};
    if (!mica__jarg_bool(j, a[2], &case_sensitive) || !mica__jv_collect(j, v, &items)) return JV_ERR;
    mica__jv *keys = mica__jin_alloc(j, items.n + 1, sizeof *keys);
    if (!keys) return JV_ERR;
    for (size_t i = 0; i < items.n; i++) {
        keys[i] = fold(j, get_path(j, items.items[i], a[0], a[1]), case_sensitive);
        JV_TRY(keys[i]);
    }
    if (!sort_by_keys(j, items.items, keys, items.n, false)) return JV_ERR;
    for (size_t i = 0, k; i < items.n; i = k) {
        int same = 1;
        for (k = i + 1; k < items.n && (same = mica__jv_equal(j, keys[i], keys[k])) == 1; k++) {}
        mica__jv list = same < 0 ? JV_ERR : mica__jv_list(j, JV_LIST, items.items + i, k - i);
        mica__jv key = case_sensitive ? keys[i] : get_path(j, items.items[i], a[0], a[1]);
        if (list.kind == JV_ERROR || key.kind == JV_ERROR) return JV_ERR;
        mica__jv group = mica__jv_pair(j, key, list);
        group.sub = group.kind == JV_TUPLE;
        if (group.kind == JV_ERROR || !mica__jitems_add(j, &groups, group)) return JV_ERR;
    }
    return mica__jv_list(j, JV_LIST, groups.items, groups.n);
}

/* ---- picking ---- */

static mica__jv min_or_max(mica__jin *j, mica__jv v, mica__jv *a, char better)
{
    bool case_sensitive = false;
    mica__jv best = JV_NO_VALUE, best_key = JV_NO_VALUE;
    mica__jiter *it = mica__jiter_new(j, v);
    if (!it || !mica__jarg_bool(j, a[0], &case_sensitive)) return JV_ERR;
    for (mica__jv item;;) {
        int got = mica__jiter_next(j, it, &item);
        if (got < 0) return JV_ERR;
        if (!got) break;
        mica__jv key = fold(j, get_path(j, item, a[1], JV_NO_VALUE), case_sensitive);
        JV_TRY(key);
        int take = best.kind == JV_MISSING ? 1 : mica__jv_order(j, better, key, best_key);
        if (take < 0) return JV_ERR;
        if (take) best = item, best_key = key;
    }
    return best.kind == JV_MISSING ? mica__jv_undefined_hint(j, "No aggregated item, sequence was empty.") : best;
}

FILTER(filter_min) { return UNUSED, min_or_max(j, v, a, '<'); }
FILTER(filter_max) { return UNUSED, min_or_max(j, v, a, '>'); }

FILTER(filter_first)
{
    UNUSED;
    mica__jv item = JV_NO_VALUE;
    mica__jiter *it = mica__jiter_new(j, v);
    int got = it ? mica__jiter_next(j, it, &item) : -1;
    if (got < 0) return JV_ERR;
    return got ? item : mica__jv_undefined_hint(j, "No first item, sequence was empty.");
}

static mica__jv last_char(mica__jin *j, mica__jv v)
{
    return v.u.str->n ? mica__jv_item(j, v, mica__jv_int(-1)) : JV_NO_VALUE;
}

FILTER(filter_last)
{
    UNUSED;
    mica__jv item = JV_NO_VALUE;
    if (v.kind == JV_STR || v.kind == JV_BYTES) {
        item = last_char(j, v);
    } else if (v.kind == JV_UNDEFINED) {
        return mica__jv_use_undefined(j, v);
    } else {
        mica__jv backwards = mica__jv_reversed(j, v);
        JV_TRY(backwards);
        if (backwards.kind == JV_MISSING)
            return mica__jin_raise(j, "'%s' object is not reversible", mica__jv_type_name(v));
        if (mica__jiter_next(j, backwards.u.iter, &item) < 0) return JV_ERR;
    }
    return item.kind == JV_MISSING ? mica__jv_undefined_hint(j, "No last item, sequence was empty.") : item;
}

FILTER(filter_random)
{
    UNUSED;
    int64_t n = mica__jv_length(j, v);
    if (n < 0) return JV_ERR;
    if (n == 0) return mica__jv_undefined_hint(j, "No random item, sequence was empty.");
    j->random = j->random * 6364136223846793005u + 1442695040888963407u;
    return mica__jv_item(j, v, mica__jv_int((int64_t)((j->random >> 33) % (uint64_t)n)));
}

FILTER(filter_length)
{
    UNUSED;
    int64_t n = mica__jv_length(j, v);
    return n < 0 ? JV_ERR : mica__jv_int(n);
}

FILTER(filter_default)
{
    UNUSED;
    bool boolean = false;
    if (!mica__jarg_bool(j, a[1], &boolean)) return JV_ERR;
    mica__jv fallback = a[0].kind == JV_MISSING ? mica__jv_borrow(j, "", 0) : a[0];
    if (v.kind == JV_UNDEFINED) return fallback;
    int truth = boolean ? mica__jv_truth(j, v) : 1;
    return truth < 0 ? JV_ERR : truth ? v : fallback;
}

FILTER(filter_attr)
{
    UNUSED;
    if (a[0].kind != JV_STR)
        return mica__jin_raise(j, "attribute name must be string, not '%s'", mica__jv_type_name(a[0]));
    if (v.kind == JV_DICT) { /* attributes only, never keys */
        mica__jdict nothing = {0};
        mica__jv bare = {.kind = JV_DICT, .u.dict = &nothing}, found = mica__jv_attr(j, bare, a[0]);
        JV_TRY(found);
        if (found.kind == JV_UNDEFINED && !found.u.undefined->is_security) return mica__jv_undefined_attr(j, v, a[0]);
    }
    return mica__jv_attr(j, v, a[0]);
}

/* ---- whole sequences ---- */

FILTER(filter_list)
{
    UNUSED;
    mica__jitems items = {0};
    return mica__jv_collect(j, v, &items) ? mica__jv_list(j, JV_LIST, items.items, items.n) : JV_ERR;
}

FILTER(filter_reverse)
{
    UNUSED;
    if (v.kind == JV_STR) return mica__jv_slice(j, v, JV_NULL, JV_NULL, mica__jv_int(-1));
    if (v.kind == JV_UNDEFINED) v = mica__jv_list(j, JV_LIST, NULL, 0);
    mica__jv backwards = mica__jv_reversed(j, v);
    if (backwards.kind != JV_MISSING) return backwards;
    mica__jitems items = {0};
    if (!mica__jv_is_iterable(v)) return mica__jin_raise(j, "argument must be iterable");
    if (!mica__jv_collect(j, v, &items)) return JV_ERR;
    mica__jv list = mica__jv_list(j, JV_LIST, items.items, items.n);
    return list.kind == JV_ERROR ? list : mica__jv_slice(j, list, JV_NULL, JV_NULL, mica__jv_int(-1));
}

FILTER(filter_join)
{
    UNUSED;
    mica__jv d = a[0].kind == JV_MISSING ? mica__jv_borrow(j, "", 0) : a[0];
    mica__jiter *it = mica__jiter_new(j, v);
    if (d.kind == JV_ERROR || !it) return JV_ERR;
    bool is_markup = false;
    mica__jitems parts = {0};
    for (mica__jv item;;) {
        int got = mica__jiter_next(j, it, &item);
        if (got < 0) return JV_ERR;
        if (!got) break;
        if (given(a[1])) item = get_path(j, item, a[1], JV_NO_VALUE);
        item = mica__jv_soft_str(j, item);
        is_markup |= j->autoescape && mica__jv_is_markup(item);
        if (item.kind == JV_ERROR || !mica__jitems_add(j, &parts, item)) return JV_ERR;
    }
    is_markup |= j->autoescape && mica__jv_is_markup(d);
    d = is_markup ? mica__jv_escape(j, d) : mica__jv_to_str(j, d);
    JV_TRY(d);
    mica__jtext t = {.j = j};
    for (size_t i = 0; i < parts.n && !t.failed; i++) {
        mica__jv part = is_markup ? mica__jv_escape(j, parts.items[i]) : parts.items[i];
        JV_TRY(part);
        if (i) mica__jtext_add_str(&t, mica__jv_text(d));
        mica__jtext_add_str(&t, mica__jv_text(part));
    }
    return mica__jv_markup(mica__jtext_value(&t), is_markup);
}

FILTER(filter_sum)
{
    UNUSED;
    mica__jv sum = a[1].kind == JV_MISSING ? mica__jv_int(0) : a[1];
    mica__jiter *it = mica__jiter_new(j, v);
    if (!it) return JV_ERR;
    if (sum.kind == JV_STR) return mica__jin_raise(j, "sum() can't sum strings [use ''.join(seq) instead]");
    for (mica__jv item;;) {
        int got = mica__jiter_next(j, it, &item);
        if (got < 0) return JV_ERR;
        if (!got) return sum;
        if (given(a[0])) item = get_path(j, item, a[0], JV_NO_VALUE);
        JV_TRY(item);
        sum = mica__jv_binary(j, JO_ADD, sum, item);
        JV_TRY(sum);
    }
}

/* ---- lazy ones ---- */

static int next_item_pair(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    if (it->source.kind == JV_UNDEFINED) return 0;
    if (it->source.kind != JV_DICT) {
        mica__jin_raise(j, "Can only get item pairs from a mapping.");
        return -1;
    }
    const mica__jdict *d = it->source.u.dict;
    if (it->at >= d->n) return 0;
    *out = mica__jv_pair(j, d->entries[it->at].key, d->entries[it->at].value);
    it->at++;
    return out->kind == JV_ERROR ? -1 : 1;
}

FILTER(filter_items) { return UNUSED, lazy(j, next_item_pair, v, NULL); }

typedef struct unique_state {
    mica__jdict *seen;
    mica__jv attribute;
    bool case_sensitive;
} unique_state;

static int next_unique(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    const unique_state *s = it->state;
    mica__jiter *source = source_of(j, it);
    if (!source) return -1;
    for (;;) {
        int got = mica__jiter_next(j, source, out);
        if (got <= 0) return got;
        mica__jv key = fold(j, get_path(j, *out, s->attribute, JV_NO_VALUE), s->case_sensitive);
        int seen = key.kind == JV_ERROR ? -1 : mica__jdict_find(j, s->seen, key, NULL);
        if (seen < 0 || (!seen && !mica__jdict_set(j, s->seen, key, JV_NULL))) return -1;
        if (!seen) return 1;
    }
}

FILTER(filter_unique)
{
    UNUSED;
    unique_state *s = mica__jin_alloc(j, 1, sizeof *s);
    if (!s) return JV_ERR;
    *s = (unique_state){.attribute = a[1]};
    if (!mica__jarg_bool(j, a[0], &s->case_sensitive) || mica__jv_dict(j, &s->seen).kind == JV_ERROR) return JV_ERR;
    return lazy(j, next_unique, v, s);
}

/* map, select, reject and their kin: what is applied to each item. */
typedef struct apply_state {
    mica__jargs args;
    bool is_ready, by_attribute, inverted;
    mica__jv attribute, fallback;
    const mica__jbuiltin *fn; /* filter or test; NULL: the value itself, or its truth */
} apply_state;

static mica__jv new_apply(mica__jin *j, mica__jv v, const mica__jargs *raw,
                          int (*next)(mica__jin *, mica__jiter *, mica__jv *), bool by_attribute, bool inverted)
{
    apply_state *s = mica__jin_alloc(j, 1, sizeof *s);
    if (!s) return JV_ERR;
    *s = (apply_state){.args = *raw, .by_attribute = by_attribute, .inverted = inverted};
    s->attribute = s->fallback = JV_NO_VALUE;
    return lazy(j, next, v, s);
}

static bool unknown_callable(mica__jin *j, mica__jv name, const char *kind)
{
    if (name.kind == JV_UNDEFINED) return mica__jv_use_undefined(j, name), false;
    name = mica__jv_repr(j, name);
    if (name.kind != JV_ERROR) mica__jin_raise(j, "No %s named %s.", kind, MICA_QUOTED_STR(mica__jv_text(name)));
    return false;
}

static bool prepare_map(mica__jin *j, apply_state *s)
{
    if (!s->args.n_pos) {
        bool has_attribute = false;
        for (size_t i = 0; i < s->args.n_named; i++) {
            if (mica__jv_is_text(s->args.names[i], "attribute")) s->attribute = s->args.named[i], has_attribute = true;
        }
        if (!has_attribute) return mica__jin_raise(j, "map requires a filter argument"), false;
        for (size_t i = 0; i < s->args.n_named; i++) {
            if (mica__jv_is_text(s->args.names[i], "default")) {
                s->fallback = s->args.named[i];
            } else if (!mica__jv_is_text(s->args.names[i], "attribute")) {
                return mica__jin_raise(j, "Unexpected keyword argument '%s'",
                                       MICA_QUOTED_STR(mica__jv_text(s->args.names[i]))),
                       false;
            }
        }
        return true;
    }
    mica__jv name = s->args.pos[0];
    s->fn = name.kind == JV_STR ? mica__jfilter_find(mica__jv_text(name)) : NULL;
    s->args.pos++, s->args.n_pos--;
    return s->fn || unknown_callable(j, name, "filter");
}

static int next_mapped(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    apply_state *s = it->state;
    if (!s->is_ready) {
        int truth = mica__jv_truth(j, it->source);
        if (truth <= 0) return truth;
        if (!prepare_map(j, s)) return -1;
        s->is_ready = true;
    }
    mica__jiter *source = source_of(j, it);
    if (!source) return -1;
    int got = mica__jiter_next(j, source, out);
    if (got <= 0) return got;
    *out = s->fn ? mica__jbuiltin_call(j, s->fn, *out, &s->args) : get_path(j, *out, s->attribute, s->fallback);
    return out->kind == JV_ERROR ? -1 : 1;
}

static bool prepare_select(mica__jin *j, apply_state *s)
{
    if (s->by_attribute) {
        if (!s->args.n_pos) return mica__jin_raise(j, "Missing parameter for attribute name"), false;
        s->attribute = s->args.pos[0];
        s->args.pos++, s->args.n_pos--;
    }
    if (!s->args.n_pos) return true;
    mica__jv name = s->args.pos[0];
    s->fn = name.kind == JV_STR ? mica__jtest_find(mica__jv_text(name)) : NULL;
    s->args.pos++, s->args.n_pos--;
    return s->fn || unknown_callable(j, name, "test");
}

static int next_selected(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    apply_state *s = it->state;
    if (!s->is_ready) {
        int truth = mica__jv_truth(j, it->source);
        if (truth <= 0) return truth;
        if (!prepare_select(j, s)) return -1;
        s->is_ready = true;
    }
    mica__jiter *source = source_of(j, it);
    if (!source) return -1;
    for (;;) {
        int got = mica__jiter_next(j, source, out);
        if (got <= 0) return got;
        mica__jv v = get_path(j, *out, s->attribute, JV_NO_VALUE);
        if (s->fn && v.kind != JV_ERROR) v = mica__jbuiltin_call(j, s->fn, v, &s->args);
        int truth = mica__jv_truth(j, v);
        if (truth < 0) return -1;
        if (truth != s->inverted) return 1;
    }
}

FILTER(filter_map) { return (void)a, new_apply(j, v, raw, next_mapped, false, false); }
FILTER(filter_select) { return (void)a, new_apply(j, v, raw, next_selected, false, false); }
FILTER(filter_reject) { return (void)a, new_apply(j, v, raw, next_selected, false, true); }
FILTER(filter_selectattr) { return (void)a, new_apply(j, v, raw, next_selected, true, false); }
FILTER(filter_rejectattr) { return (void)a, new_apply(j, v, raw, next_selected, true, true); }

typedef struct chunk_state {
    int64_t count; /* items of a batch; number of slices */
    mica__jv fill, all;
    int64_t offset;
} chunk_state;

static int next_batch(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    const chunk_state *s = it->state;
    mica__jiter *source = source_of(j, it);
    mica__jitems items = {0};
    if (!source) return -1;
    while (s->count < 1 || (int64_t)items.n < s->count) {
        mica__jv item;
        int got = mica__jiter_next(j, source, &item);
        if (got < 0 || (got && !mica__jitems_add(j, &items, item))) return -1;
        if (!got) break;
    }
    if (!items.n) return 0;
    while (given(s->fill) && (int64_t)items.n < s->count)
        if (!mica__jin_spend(j, 1) || !mica__jitems_add(j, &items, s->fill)) return -1;
    *out = mica__jv_list(j, JV_LIST, items.items, items.n);
    return out->kind == JV_ERROR ? -1 : 1;
}

static int next_slice(mica__jin *j, mica__jiter *it, mica__jv *out)
{
    chunk_state *s = it->state;
    if (s->all.kind == JV_MISSING) {
        mica__jitems items = {0};
        if (!mica__jv_collect(j, it->source, &items)) return -1;
        s->all = mica__jv_list(j, JV_LIST, items.items, items.n);
        if (s->all.kind == JV_ERROR) return -1;
        if (s->count == 0) return mica__jin_raise(j, "integer division or modulo by zero"), -1;
    }
    int64_t number = (int64_t)it->at, n = (int64_t)s->all.u.list->n;
    if (number >= s->count) return 0;
    it->at++;
    int64_t per_slice = n / s->count, extra = n % s->count, start = s->offset + number * per_slice;
    if (number < extra) s->offset++;
    int64_t end = s->offset + (number + 1) * per_slice;
    mica__jitems items = {0};
    for (int64_t i = start; i < end && i < n; i++)
        if (!mica__jitems_add(j, &items, s->all.u.list->items[i])) return -1;
    if (given(s->fill) && number >= extra && !mica__jitems_add(j, &items, s->fill)) return -1;
    *out = mica__jv_list(j, JV_LIST, items.items, items.n);
    return out->kind == JV_ERROR ? -1 : 1;
}

static mica__jv chunks(mica__jin *j, mica__jv v, mica__jv *a, int (*next)(mica__jin *, mica__jiter *, mica__jv *))
{
    chunk_state *s = mica__jin_alloc(j, 1, sizeof *s);
    if (!s) return JV_ERR;
    *s = (chunk_state){.fill = a[1]};
    s->all = JV_NO_VALUE;
    return mica__jarg_int(j, a[0], &s->count) ? lazy(j, next, v, s) : JV_ERR;
}

FILTER(filter_batch) { return UNUSED, chunks(j, v, a, next_batch); }
FILTER(filter_slice) { return UNUSED, chunks(j, v, a, next_slice); }

const mica__jbuiltin mica__jfilters_seq[] = {
    {"attr", "name", filter_attr, false},
    {"batch", "linecount,fill_with=", filter_batch, false},
    {"count", "/", filter_length, false},
    {"d", "default_value=,boolean=", filter_default, false},
    {"default", "default_value=,boolean=", filter_default, false},
    {"dictsort", "case_sensitive=,by=,reverse=", filter_dictsort, false},
    {"first", "", filter_first, false},
    {"groupby", "attribute,default=,case_sensitive=", filter_groupby, false},
    {"items", "", filter_items, false},
    {"join", "d=,attribute=", filter_join, false},
    {"last", "", filter_last, false},
    {"length", "/", filter_length, false},
    {"list", "", filter_list, false},
    {"map", "*", filter_map, false},
    {"max", "case_sensitive=,attribute=", filter_max, false},
    {"min", "case_sensitive=,attribute=", filter_min, false},
    {"random", "", filter_random, false},
    {"reject", "*", filter_reject, false},
    {"rejectattr", "*", filter_rejectattr, false},
    {"reverse", "", filter_reverse, false},
    {"select", "*", filter_select, false},
    {"selectattr", "*", filter_selectattr, false},
    {"slice", "slices,fill_with=", filter_slice, false},
    {"sort", "reverse=,case_sensitive=,attribute=", filter_sort, false},
    {"sum", "attribute=,start=", filter_sum, false},
    {"unique", "case_sensitive=,attribute=", filter_unique, false},
    {0},
};
