/* text/jinja_value.c: making values, and asking them what Python would ask: truth, equality, order, hash. */
#include "jinja_value.h"
#include "jinja_eval.h"
#include <math.h>

/* ---- making ---- */

static mica__jv new_str(mica__jin *j, const char *p, size_t n)
{
    mica__jstr *s = mica__jin_alloc(j, 1, sizeof *s);
    if (!s) return JV_ERR;
    *s = (mica__jstr){.p = p, .n = n, .chars = SIZE_MAX};
    return (mica__jv){.kind = JV_STR, .u.str = s};
}

mica__jv mica__jv_borrow(mica__jin *j, const char *p, size_t n) { return new_str(j, p ? p : "", n); }

mica__jv mica__jv_str(mica__jin *j, const char *p, size_t n)
{
    char *copy = mica__jin_alloc(j, n ? n : 1, 1);
    if (!copy) return JV_ERR;
    if (n) memcpy(copy, p, n);
    return new_str(j, copy, n);
}

mica__jv mica__jv_char(mica__jin *j, uint32_t codepoint)
{
    char bytes[4];
    return mica__jv_str(j, bytes, (size_t)mica__utf8_encode(codepoint, bytes));
}

mica__jv mica__jv_markup(mica__jv str, bool is_markup)
{
    if (str.kind == JV_STR) str.sub = is_markup;
    return str;
}

mica__jv mica__jv_list(mica__jin *j, mica__jv_kind kind, mica__jv *items, size_t n)
{
    mica__jlist *l = mica__jin_alloc(j, 1, sizeof *l);
    if (!l) return JV_ERR;
    *l = (mica__jlist){.items = items, .n = n};
    return (mica__jv){.kind = (uint8_t)kind, .u.list = l};
}

mica__jv mica__jv_pair(mica__jin *j, mica__jv a, mica__jv b)
{
    mica__jv *items = mica__jin_alloc(j, 2, sizeof *items);
    if (!items) return JV_ERR;
    items[0] = a;
    items[1] = b;
    return mica__jv_list(j, JV_TUPLE, items, 2);
}

mica__jv mica__jv_dict(mica__jin *j, mica__jdict **d)
{
    *d = mica__jin_alloc(j, 1, sizeof **d);
    if (!*d) return JV_ERR;
    **d = (mica__jdict){0};
    return (mica__jv){.kind = JV_DICT, .u.dict = *d};
}

static mica__jv new_undefined(mica__jin *j, mica__jundefined u)
{
    mica__jundefined *copy = mica__jin_alloc(j, 1, sizeof *copy);
    if (!copy) return JV_ERR;
    *copy = u;
    return (mica__jv){.kind = JV_UNDEFINED, .u.undefined = copy};
}

mica__jv mica__jv_undefined_name(mica__jin *j, mica__jv name)
{
    return new_undefined(j, (mica__jundefined){.object = JV_NO_VALUE, .name = name});
}

mica__jv mica__jv_undefined_attr(mica__jin *j, mica__jv object, mica__jv name)
{
    return new_undefined(j, (mica__jundefined){.object = object, .name = name});
}

mica__jv mica__jv_undefined_hint(mica__jin *j, const char *hint)
{
    return new_undefined(j, (mica__jundefined){.hint = hint, .object = JV_NO_VALUE, .name = JV_NO_VALUE});
}

mica__jv mica__jv_unsafe(mica__jin *j, mica__jv object, mica__jv name)
{
    return new_undefined(j, (mica__jundefined){.object = object, .name = name, .is_security = true});
}

bool mica__jitems_add(mica__jin *j, mica__jitems *b, mica__jv v)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 8;
        mica__jv *grown = mica__jin_grow(j, b->items, b->cap * sizeof v, cap * sizeof v);
        if (!grown) return false;
        b->items = grown;
        b->cap = cap;
    }
    b->items[b->n++] = v;
    return true;
}

/* ---- strings ---- */

size_t mica__jv_chars(mica__jv v)
{
    mica__jstr *s = v.u.str;
    if (s->chars == SIZE_MAX) {
        size_t chars = 0;
        for (size_t i = 0; i < s->n; i++) chars += ((unsigned char)s->p[i] & 0xC0) != 0x80;
        s->chars = chars;
    }
    return s->chars;
}

static bool text_reserve(mica__jtext *t, size_t n)
{
    size_t need;
    if (t->failed) return false;
    if (mica__add(t->n, n, &need) && need <= t->cap) return true;
    size_t cap = t->cap < SIZE_MAX / 4 ? t->cap * 2 : t->cap;
    if (cap < need) cap = need;
    if (cap < 64) cap = 64;
    char *grown = mica__jin_grow(t->j, t->p, t->cap, cap);
    if (!grown) {
        t->failed = true;
        return false;
    }
    t->p = grown;
    t->cap = cap;
    return true;
}

void mica__jtext_add(mica__jtext *t, const char *p, size_t n)
{
    if (n == 0 || !text_reserve(t, n)) return;
    memcpy(t->p + t->n, p, n);
    t->n += n;
}

void mica__jtext_add_char(mica__jtext *t, uint32_t codepoint)
{
    char bytes[4];
    mica__jtext_add(t, bytes, (size_t)mica__utf8_encode(codepoint, bytes));
}

void mica__jtext_pad(mica__jtext *t, uint32_t codepoint, size_t times)
{
    char bytes[4];
    size_t n = (size_t)mica__utf8_encode(codepoint, bytes), total;
    if (!mica__mul(n, times, &total)) total = SIZE_MAX / 2;
    if (times == 0 || !text_reserve(t, total)) return;
    if (!mica__jin_spend(t->j, total / 64)) {
        t->failed = true;
        return;
    }
    for (size_t i = 0; i < times; i++, t->n += n) memcpy(t->p + t->n, bytes, n);
}

mica__jv mica__jtext_value(mica__jtext *t)
{
    if (t->failed || t->j->status) return JV_ERR;
    if (!mica__jin_spend(t->j, t->n / 64)) return JV_ERR;
    return new_str(t->j, t->p ? t->p : "", t->n);
}

/* The first concatenation makes an exact copy with a room of its own, further ones onto that result double the room, so that
 * `s = s + x` in a loop is linear in the end. */
mica__jv mica__jv_concat(mica__jin *j, mica__jv left, mica__str right)
{
    mica__jstr *a = left.u.str;
    size_t n;
    if (!mica__add(a->n, right.n, &n)) n = SIZE_MAX / 2;
    if (!mica__jin_spend(j, (a->room ? right.n : n) / 64)) return JV_ERR;
    mica__jroom *room = a->room;
    char *p;
    if (room && room->used == a->n && right.n <= room->cap - room->used) {
        p = (char *)(uintptr_t)a->p;
        room->used = n;
    } else {
        size_t cap = room ? 2 * n : n;
        room = mica__jin_alloc(j, 1, sizeof *room);
        p = room ? mica__jin_alloc(j, cap ? cap : 1, 1) : NULL;
        if (!p) return JV_ERR;
        *room = (mica__jroom){n, cap};
        if (a->n) memcpy(p, a->p, a->n);
    }
    if (right.n) memmove(p + a->n, right.p, right.n);
    mica__jv v = new_str(j, p, n);
    if (v.kind == JV_STR) v.u.str->room = room;
    return v;
}

mica__jv mica__jv_list_concat(mica__jin *j, mica__jv left, mica__jv right)
{
    mica__jlist *a = left.u.list, *b = right.u.list;
    size_t n = a->n + b->n;
    mica__jroom *room = a->room;
    if (!mica__jin_spend(j, (room ? b->n : n) / 4)) return JV_ERR;
    mica__jv *items;
    if (room && room->used == a->n && b->n <= room->cap - room->used) {
        items = a->items;
        room->used = n;
    } else {
        size_t cap = room ? 2 * n : n;
        room = mica__jin_alloc(j, 1, sizeof *room);
        items = room ? mica__jin_alloc(j, cap ? cap : 1, sizeof *items) : NULL;
        if (!items) return JV_ERR;
        *room = (mica__jroom){n, cap};
        if (a->n) memcpy(items, a->items, a->n * sizeof *items);
    }
    if (b->n) memmove(items + a->n, b->items, b->n * sizeof *items);
    mica__jv v = mica__jv_list(j, (mica__jv_kind)left.kind, items, n);
    if (v.kind != JV_ERROR) v.u.list->room = room;
    return v;
}

/* ---- dictionaries ---- */

static size_t probe(const mica__jdict *d, uint64_t hash)
{
    return (size_t)(hash * 0x9E3779B97F4A7C15u >> 20) & (d->n_index - 1);
}

static bool reindex(mica__jin *j, mica__jdict *d)
{
    size_t n_index = 32;
    while (n_index < 3 * d->cap) n_index *= 2;
    uint32_t *index = mica__jin_alloc(j, n_index, sizeof *index);
    if (!index) return false;
    memset(index, 0, n_index * sizeof *index);
    d->index = index;
    d->n_index = n_index;
    for (size_t i = 0; i < d->n; i++) {
        size_t k = probe(d, d->entries[i].hash);
        while (index[k]) k = (k + 1) & (n_index - 1);
        index[k] = (uint32_t)i + 1;
    }
    return true;
}

/* The entry with this key, or NULL; *bad is set if comparing failed. */
static mica__jentry *lookup(mica__jin *j, const mica__jdict *d, mica__jv key, uint64_t hash, bool *bad)
{
    if (!d->index) {
        for (size_t i = 0; i < d->n; i++) {
            if (d->entries[i].hash != hash) continue;
            int eq = mica__jv_equal(j, d->entries[i].key, key);
            if (eq < 0) *bad = true;
            if (eq) return eq > 0 ? &d->entries[i] : NULL;
        }
        return NULL;
    }
    for (size_t k = probe(d, hash); d->index[k]; k = (k + 1) & (d->n_index - 1)) {
        mica__jentry *e = &d->entries[d->index[k] - 1];
        if (e->hash != hash) continue;
        int eq = mica__jv_equal(j, e->key, key);
        if (eq < 0) *bad = true;
        if (eq) return eq > 0 ? e : NULL;
    }
    return NULL;
}

int mica__jdict_find(mica__jin *j, const mica__jdict *d, mica__jv key, mica__jv *value)
{
    uint64_t hash;
    bool bad = false;
    if (mica__jv_hash(j, key, &hash)) return -1;
    const mica__jentry *e = lookup(j, d, key, hash, &bad);
    if (bad) return -1;
    if (e && value) *value = e->value;
    return e != NULL;
}

const mica__jv *mica__jdict_get(const mica__jdict *d, mica__str key)
{
    uint64_t hash = mica__hash(key.p, key.n) | 1;
    if (d->index) {
        for (size_t k = probe(d, hash); d->index[k]; k = (k + 1) & (d->n_index - 1)) {
            const mica__jentry *e = &d->entries[d->index[k] - 1];
            if (e->hash == hash && e->key.kind == JV_STR && mica__str_eq(mica__jv_text(e->key), key)) return &e->value;
        }
        return NULL;
    }
    for (size_t i = 0; i < d->n; i++) {
        const mica__jentry *e = &d->entries[i];
        if (e->hash == hash && e->key.kind == JV_STR && mica__str_eq(mica__jv_text(e->key), key)) return &e->value;
    }
    return NULL;
}

bool mica__jdict_set(mica__jin *j, mica__jdict *d, mica__jv key, mica__jv value)
{
    uint64_t hash;
    bool bad = false;
    if (mica__jv_hash(j, key, &hash)) return false;
    mica__jentry *e = lookup(j, d, key, hash, &bad);
    if (bad) return false;
    if (e) {
        e->value = value;
        return true;
    }
    if (d->n == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 4;
        if (cap > UINT32_MAX / 4) return mica__jin_fail(j, MICA_LIMIT, "too many keys in a dictionary"), false;
        mica__jentry *grown = mica__jin_grow(j, d->entries, d->cap * sizeof *grown, cap * sizeof *grown);
        if (!grown) return false;
        d->entries = grown;
        d->cap = cap;
        if (cap > 8 && !reindex(j, d)) return false;
    }
    d->entries[d->n] = (mica__jentry){key, value, hash};
    d->n++;
    if (d->index) {
        size_t k = probe(d, hash);
        while (d->index[k]) k = (k + 1) & (d->n_index - 1);
        d->index[k] = (uint32_t)d->n;
    }
    return true;
}

bool mica__jdict_set_z(mica__jin *j, mica__jdict *d, const char *key, mica__jv value)
{
    mica__jv k = mica__jv_borrow(j, key, strlen(key));
    return k.kind != JV_ERROR && mica__jdict_set(j, d, k, value);
}

/* ---- asking ---- */

const char *mica__jv_type_name(mica__jv v)
{
    static const char *const views[] = {"dict_keys", "dict_values", "dict_items"};
    switch ((mica__jv_kind)v.kind) {
    case JV_ERROR:
    case JV_MISSING:
    case JV_UNDEFINED:
        return "Undefined";
    case JV_NONE:
        return "NoneType";
    case JV_BOOL:
        return "bool";
    case JV_INT:
    case JV_BIG:
        return "int";
    case JV_FLOAT:
        return "float";
    case JV_STR:
        return v.sub ? "Markup" : "str";
    case JV_BYTES:
        return "bytes";
    case JV_LIST:
        return "list";
    case JV_TUPLE:
        return v.sub ? "_GroupTuple" : "tuple";
    case JV_DICT:
        return "dict";
    case JV_VIEW:
        return views[v.sub];
    case JV_RANGE:
        return "range";
    case JV_NAMESPACE:
        return "Namespace";
    case JV_ITER:
        return mica__jiter_type_name(v.u.iter);
    case JV_MACRO:
        return "Macro";
    case JV_LOOP:
        return "LoopContext";
    case JV_CYCLER:
        return "Cycler";
    case JV_JOINER:
        return "Joiner";
    case JV_BUILTIN:
        return v.u.builtin->is_class ? "type" : "function";
    case JV_METHOD:
        return "builtin_function_or_method";
    }
    return "object";
}

int mica__jv_truth(mica__jin *j, mica__jv v)
{
    switch ((mica__jv_kind)v.kind) {
    case JV_ERROR:
        return -1;
    case JV_MISSING:
    case JV_UNDEFINED:
    case JV_NONE:
        return 0;
    case JV_BOOL:
    case JV_INT:
        return v.u.i != 0;
    case JV_FLOAT:
        return v.u.f != 0;
    case JV_STR:
    case JV_BYTES:
        return v.u.str->n != 0;
    case JV_LIST:
    case JV_TUPLE:
        return v.u.list->n != 0;
    case JV_DICT:
    case JV_VIEW:
        return v.u.dict->n != 0;
    case JV_RANGE:
        return v.u.range->n != 0;
    case JV_LOOP: {
        int64_t n = mica__jloop_length(j, v.u.loop);
        return n < 0 ? -1 : n != 0;
    }
    default:
        return 1;
    }
}

/* Exact comparison of an integer with a double: -1, 0, 1, or 2 when the double is no number. */
static int compare_int_float(int64_t i, double f)
{
    if (isnan(f)) return 2;
    if (f >= 9223372036854775808.0) return -1;
    if (f < -9223372036854775808.0) return 1;
    double whole = trunc(f);
    int64_t w = (int64_t)whole;
    if (i != w) return i < w ? -1 : 1;
    return f > whole ? -1 : f < whole ? 1 : 0;
}

static int compare_numbers(mica__jv a, mica__jv b)
{
    if (a.kind == JV_FLOAT && b.kind == JV_FLOAT)
        return isnan(a.u.f) || isnan(b.u.f) ? 2 : a.u.f < b.u.f ? -1 : a.u.f > b.u.f;
    if (a.kind == JV_FLOAT) {
        int c = compare_int_float(b.u.i, a.u.f);
        return c == 2 ? 2 : -c;
    }
    if (b.kind == JV_FLOAT) return compare_int_float(a.u.i, b.u.f);
    return a.u.i < b.u.i ? -1 : a.u.i > b.u.i;
}

/* Order of two integers of which at least one is beyond 64 bits. */
static int compare_big(mica__jv a, mica__jv b)
{
    bool neg_a = a.kind == JV_BIG ? a.u.str->p[0] == '-' : a.u.i < 0,
         neg_b = b.kind == JV_BIG ? b.u.str->p[0] == '-' : b.u.i < 0;
    if (neg_a != neg_b) return neg_a ? -1 : 1;
    int c;
    if (a.kind != JV_BIG) {
        c = -1;
    } else if (b.kind != JV_BIG) {
        c = 1;
    } else if (a.u.str->n != b.u.str->n) {
        c = a.u.str->n < b.u.str->n ? -1 : 1;
    } else {
        c = memcmp(a.u.str->p, b.u.str->p, a.u.str->n);
    }
    return neg_a ? -c : c;
}

static int equal_lists(mica__jin *j, const mica__jlist *a, const mica__jlist *b)
{
    if (a->n != b->n) return 0;
    int eq = 1;
    if (!mica__jin_spend(j, a->n) || !mica__jin_enter(j)) return -1;
    for (size_t i = 0; i < a->n && eq == 1; i++) {
        if (!mica__jv_same(a->items[i], b->items[i])) eq = mica__jv_equal(j, a->items[i], b->items[i]);
    }
    mica__jin_leave(j);
    return eq;
}

static int equal_dicts(mica__jin *j, const mica__jdict *a, const mica__jdict *b, bool values)
{
    if (a->n != b->n) return 0;
    int eq = 1;
    if (!mica__jin_spend(j, a->n) || !mica__jin_enter(j)) return -1;
    for (size_t i = 0; i < a->n && eq == 1; i++) {
        mica__jv other;
        eq = mica__jdict_find(j, b, a->entries[i].key, &other);
        if (eq == 1 && values && !mica__jv_same(a->entries[i].value, other))
            eq = mica__jv_equal(j, a->entries[i].value, other);
    }
    mica__jin_leave(j);
    return eq;
}

bool mica__jv_same(mica__jv a, mica__jv b)
{
    if (a.kind != b.kind) return false;
    switch ((mica__jv_kind)a.kind) {
    case JV_NONE:
        return true;
    case JV_BOOL:
        return a.u.i == b.u.i;
    case JV_INT:
        return a.u.i == b.u.i && a.u.i >= -5 && a.u.i <= 256; /* CPython shares these */
    case JV_FLOAT:
        return false;
    default:
        return a.u.str == b.u.str && a.sub == b.sub;
    }
}

int mica__jv_equal(mica__jin *j, mica__jv a, mica__jv b)
{
    if (mica__jv_is_number(a) && mica__jv_is_number(b)) return compare_numbers(a, b) == 0;
    if (a.kind != b.kind) return 0;
    switch ((mica__jv_kind)a.kind) {
    case JV_ERROR:
        return -1;
    case JV_UNDEFINED:
    case JV_NONE:
        return 1;
    case JV_BIG:
    case JV_BYTES:
    case JV_STR:
        if (!mica__jin_spend(j, a.u.str->n / 256)) return -1;
        return mica__str_eq(mica__jv_text(a), mica__jv_text(b));
    case JV_LIST:
    case JV_TUPLE:
        return equal_lists(j, a.u.list, b.u.list);
    case JV_DICT:
        return equal_dicts(j, a.u.dict, b.u.dict, true);
    case JV_VIEW:
        if (a.sub == JV_VALUES || b.sub == JV_VALUES || a.sub != b.sub) return a.u.dict == b.u.dict && a.sub == b.sub;
        return equal_dicts(j, a.u.dict, b.u.dict, a.sub == JV_ITEMS);
    case JV_RANGE: {
        const mica__jrange *r = a.u.range, *s = b.u.range;
        return r->n == s->n && (r->n == 0 || (r->start == s->start && (r->n == 1 || r->step == s->step)));
    }
    default:
        return a.u.str == b.u.str;
    }
}

static int ordered(char op, int c)
{
    if (c == 2) return 0;
    return op == '<' ? c < 0 : op == 'l' ? c <= 0 : op == '>' ? c > 0 : c >= 0;
}

static int order_lists(mica__jin *j, char op, const mica__jlist *a, const mica__jlist *b)
{
    size_t n = a->n < b->n ? a->n : b->n, i = 0;
    int result = -1;
    if (!mica__jin_spend(j, n) || !mica__jin_enter(j)) return -1;
    int eq = 1;
    while (i < n) {
        eq = mica__jv_same(a->items[i], b->items[i]) ? 1 : mica__jv_equal(j, a->items[i], b->items[i]);
        if (eq != 1) break;
        i++;
    }
    if (eq >= 0)
        result = i < n ? mica__jv_order(j, op, a->items[i], b->items[i]) : ordered(op, a->n < b->n ? -1 : a->n > b->n);
    mica__jin_leave(j);
    return result;
}

int mica__jv_order(mica__jin *j, char op, mica__jv a, mica__jv b)
{
    if (mica__jv_is_number(a) && mica__jv_is_number(b)) return ordered(op, compare_numbers(a, b));
    if ((a.kind == JV_BIG || mica__jv_is_int(a)) && (b.kind == JV_BIG || mica__jv_is_int(b)))
        return ordered(op, compare_big(a, b));
    if ((a.kind == JV_STR && b.kind == JV_STR) || (a.kind == JV_BYTES && b.kind == JV_BYTES)) {
        mica__str s = mica__jv_text(a), t = mica__jv_text(b);
        size_t n = s.n < t.n ? s.n : t.n;
        if (!mica__jin_spend(j, n / 256)) return -1;
        int c = n ? memcmp(s.p, t.p, n) : 0;
        return ordered(op, c ? c : s.n < t.n ? -1 : s.n > t.n);
    }
    if (mica__jv_is_seq(a) && a.kind == b.kind) return order_lists(j, op, a.u.list, b.u.list);
    if (a.kind == JV_ERROR || b.kind == JV_ERROR) return -1;
    if (a.kind == JV_UNDEFINED || b.kind == JV_UNDEFINED) {
        mica__jv_use_undefined(j, a.kind == JV_UNDEFINED ? a : b);
        return -1;
    }
    const char *sign = op == '<' ? "<" : op == 'l' ? "<=" : op == '>' ? ">" : ">=";
    mica__jin_raise(j, "'%s' not supported between instances of '%s' and '%s'", sign, mica__jv_type_name(a),
                    mica__jv_type_name(b));
    return -1;
}

static uint64_t mix(uint64_t h, uint64_t v) { return (h ^ v) * 0x9E3779B97F4A7C15u + (h << 6) + (h >> 3); }

int mica__jv_hash(mica__jin *j, mica__jv v, uint64_t *hash)
{
    switch ((mica__jv_kind)v.kind) {
    case JV_ERROR:
        return -1;
    case JV_STR:
        if (!v.u.str->hash) {
            if (!mica__jin_spend(j, v.u.str->n / 256)) return -1;
            v.u.str->hash = mica__hash(v.u.str->p, v.u.str->n) | 1;
        }
        *hash = v.u.str->hash;
        return 0;
    case JV_BIG:
    case JV_BYTES:
        *hash = mica__hash(v.u.str->p, v.u.str->n);
        return 0;
    case JV_BOOL:
    case JV_INT:
        *hash = (uint64_t)v.u.i;
        return 0;
    case JV_FLOAT:
        if (v.u.f >= -9223372036854775808.0 && v.u.f < 9223372036854775808.0 && v.u.f == trunc(v.u.f)) {
            *hash = (uint64_t)(int64_t)v.u.f;
        } else {
            *hash = mica__hash(&v.u.f, sizeof v.u.f);
        }
        return 0;
    case JV_NONE:
    case JV_MISSING:
    case JV_UNDEFINED:
        *hash = v.kind;
        return 0;
    case JV_TUPLE: {
        uint64_t h = 7, part;
        if (!mica__jin_spend(j, v.u.list->n) || !mica__jin_enter(j)) return -1;
        int bad = 0;
        for (size_t i = 0; i < v.u.list->n && !bad; i++) {
            bad = mica__jv_hash(j, v.u.list->items[i], &part);
            if (!bad) h = mix(h, part);
        }
        mica__jin_leave(j);
        *hash = h;
        return bad;
    }
    case JV_RANGE:
        *hash = mix((uint64_t)v.u.range->n, (uint64_t)v.u.range->start);
        return 0;
    case JV_LIST:
    case JV_DICT:
    case JV_VIEW:
        mica__jin_raise(j, "unhashable type: '%s'", mica__jv_type_name(v));
        return -1;
    default:
        *hash = (uint64_t)(uintptr_t)v.u.str;
        return 0;
    }
}
