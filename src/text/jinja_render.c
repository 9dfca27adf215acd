/* text/jinja_render.c: one rendering: variables from JSON, the run, its text. */
#include "jinja_eval.h"
#include <stdlib.h>

static mica__jv from_json(mica__jin *j, mica__jval v, unsigned depth)
{
    mica__str s = {0};
    int64_t i;
    double f = 0;
    if (depth > 256) return mica__jin_fail(j, MICA_LIMIT, "input is nested too deeply");
    switch (mica__json_type(v)) {
    case MICA__JSON_NULL:
        return JV_NULL;
    case MICA__JSON_FALSE:
    case MICA__JSON_TRUE:
        return mica__jv_bool(mica__json_type(v) == MICA__JSON_TRUE);
    case MICA__JSON_STRING:
        mica__json_string(v, &s);
        return mica__jv_borrow(j, s.p, s.n);
    case MICA__JSON_NUMBER:
        if (mica__json_int(v, &i)) return mica__jv_int(i);
        if (mica__json_is_int(v)) {
            mica__str digits = mica__json_number_text(v);
            mica__jv big = mica__jv_borrow(j, digits.p, digits.n);
            if (big.kind == JV_STR) big.kind = JV_BIG;
            return big;
        }
        mica__json_double(v, &f);
        return mica__jv_float(f);
    case MICA__JSON_ARRAY: {
        mica__jv *items = mica__jin_alloc(j, mica__json_count(v) + 1, sizeof *items);
        if (!items) return JV_ERR;
        size_t n = 0;
        for (mica__jval e = mica__json_first(v); e; e = mica__json_next(v, e)) {
            items[n] = from_json(j, e, depth + 1);
            JV_TRY(items[n]);
            n++;
        }
        return mica__jv_list(j, JV_LIST, items, n);
    }
    case MICA__JSON_OBJECT:
        break;
    }
    mica__jdict *d;
    mica__jv out = mica__jv_dict(j, &d);
    JV_TRY(out);
    for (mica__jval m = mica__json_first(v); m; m = mica__json_next(v, m)) {
        mica__str key = mica__json_key(m);
        mica__jv k = mica__jv_borrow(j, key.p, key.n), value = from_json(j, mica__json_value(m), depth + 1);
        if (k.kind == JV_ERROR || value.kind == JV_ERROR || !mica__jdict_set(j, d, k, value)) return JV_ERR;
    }
    return out;
}

/* Puts text behind a field of the last message: behind a string, or behind the last "text" of a list of parts. */
static bool append_to_last(mica__jin *j, mica__jv messages, const char *field, const char *text)
{
    mica__jv last = messages.u.list->items[messages.u.list->n - 1];
    const mica__jv *value = mica__jdict_get(last.u.dict, mica__str_from(field));
    mica__jdict *owner = last.u.dict;
    mica__str key = mica__str_from(field);
    if (mica__jv_is_seq(*value)) {
        for (size_t i = value->u.list->n; i-- > 0;) {
            mica__jv part = value->u.list->items[i];
            if (part.kind != JV_DICT || !mica__jdict_get(part.u.dict, MICA_STR("text"))) continue;
            owner = part.u.dict;
            key = MICA_STR("text");
            value = mica__jdict_get(owner, key);
            break;
        }
    }
    mica__jv joined = mica__jv_concat(j, *value, mica__str_from(text)), k = mica__jv_borrow(j, key.p, key.n);
    return joined.kind != JV_ERROR && k.kind != JV_ERROR && mica__jdict_set(j, owner, k, joined);
}

static bool make_variables(mica__jin *j, const mica__jinja_job *job)
{
    mica__jdict *vars;
    if (mica__jv_dict(j, &vars).kind == JV_ERROR) return false;
    for (int i = 0; i < 2; i++) {
        mica__jval object = job->variables[i];
        for (mica__jval m = mica__json_first(object); m; m = mica__json_next(object, m)) {
            mica__str name = mica__json_key(m);
            if (job->skip_name && mica__str_is(name, job->skip_name)) continue;
            mica__jv k = mica__jv_borrow(j, name.p, name.n), value = from_json(j, mica__json_value(m), 0);
            if (k.kind == JV_ERROR || value.kind == JV_ERROR || !mica__jdict_set(j, vars, k, value)) return false;
        }
    }
    for (int i = 0; i < 3 && job->null_names[i]; i++)
        if (!mica__jdict_get(vars, mica__str_from(job->null_names[i])) &&
            !mica__jdict_set_z(j, vars, job->null_names[i], JV_NULL))
            return false;
    if (job->false_name && !mica__jdict_get(vars, mica__str_from(job->false_name)) &&
        !mica__jdict_set_z(j, vars, job->false_name, mica__jv_bool(false)))
        return false;
    if (job->append_to_last) {
        const mica__jv *messages = mica__jdict_get(vars, MICA_STR("messages"));
        if (!append_to_last(j, *messages, job->append_field, job->append_to_last)) return false;
    }
    j->vars = vars;
    return true;
}

mica_status mica__jinja_render(const mica__jinja *t, const mica__jinja_job *job, mica__buf *out, mica_error *err)
{
    mica__jin j = {.max_steps = job->max_steps,
                   .steps_left = UINT64_MAX,
                   .now = job->now,
                   .generated = job->generated,
                   .err = err,
                   .line = 1};
    j.random = (uint64_t)(uintptr_t)&j;
    j.heap.max = SIZE_MAX / 2;
    if (make_variables(&j, job)) {
        /* the input's own values do not count against the budgets */
        j.steps_left = job->max_steps;
        if (!mica__add(j.heap.used, job->max_bytes, &j.heap.max)) j.heap.max = SIZE_MAX / 2;
        mica__jact *act = mica__jact_new(&j, NULL, t->n_slots);
        if (act) {
            mica__jin_enter_scope(&j, act, &t->scope);
            mica__jin_exec(&j, act, t->body);
        }
    }
    if (!j.status) {
        mica__buf_append(out, j.out.p ? j.out.p : "", j.out.n);
        j.status = mica__buf_status(out, err, "a chat template's text");
    }
    mica__buf_release(&j.out);
    mica__jheap_release(&j.heap);
    return j.status;
}
