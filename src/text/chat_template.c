/* text/chat_template.c: conversations to prompts: which template, which variables, continuing the last message.
 *
 * What apply_chat_template of Transformers does around the template language. A template is parsed once, with the special tokens
 * beside it; a rendering reads its input, runs, and leaves nothing behind. */
#include "chat_template.h"
#include "jinja.h"
#include "jinja_eval.h"
#include "jinja_unicode.h"

/* Put behind the last message and looked for in the prompt, to find where that message ends. */
#define TAG "CONTINUE_FINAL_MESSAGE_TAG "

typedef struct template_entry {
    char *name, *source;
    size_t n_source;
    mica__jinja parsed;
    mica_error error; /* of parsing; status 0: none */
} template_entry;

struct mica_chat_template {
    template_entry *entries;
    size_t n;
    char *defaults_text; /* the special tokens, which `defaults` points into */
    mica__json defaults;
};

/* ---- making ---- */

/* {"bos_token": {"content": "<s>", ...}} becomes {"bos_token": "<s>"}. */
static mica_status take_defaults(mica_chat_template *t, const char *json, mica_error *err)
{
    mica__json raw;
    mica__buf flat = {0};
    MICA_TRY(mica__json_parse(&raw, json, strlen(json), NULL, err));
    mica__jval root = mica__json_root(&raw);
    if (!mica__json_is(root, MICA__JSON_OBJECT)) {
        mica__json_release(&raw);
        return mica__fail(err, MICA_INVALID, "special tokens of a chat template: expected a JSON object");
    }
    mica__buf_append_char(&flat, '{');
    for (mica__jval m = mica__json_first(root); m; m = mica__json_next(root, m)) {
        mica__jval value = mica__json_value(m), content = mica__json_get(value, "content");
        if (mica__json_is(value, MICA__JSON_NULL)) continue;
        if (flat.n > 1) mica__buf_append_char(&flat, ',');
        mica__json_write_string(&flat, mica__json_key(m), false);
        mica__buf_append_char(&flat, ':');
        mica__json_write(&flat, mica__json_is(content, MICA__JSON_STRING) ? content : value);
    }
    mica__buf_append_char(&flat, '}');
    mica__json_release(&raw);
    mica_status status = mica__buf_status(&flat, err, "special tokens");
    size_t n = flat.n;
    t->defaults_text = mica__buf_take(&flat);
    return status ? status : mica__json_parse(&t->defaults, t->defaults_text, n, NULL, err);
}

static mica_status take_template(template_entry *e, const mica__template_source *s, mica_error *err)
{
    e->name = mica__strndup(s->name.n ? s->name.p : "", s->name.n);
    e->source = mica__strndup(s->text.n ? s->text.p : "", s->text.n);
    e->n_source = s->text.n;
    if (!e->name || !e->source) return mica__fail_memory(err, s->text.n, "a chat template");
    mica_status status = mica__jinja_parse(&e->parsed, e->source, e->n_source, &e->error);
    e->error.status = status;
    return status == MICA_MEMORY ? mica__fail_memory(err, s->text.n, "a chat template") : MICA_OK;
}

mica_status mica__chat_template_create_named(mica_chat_template **out, const mica__template_source *sources, size_t n,
                                             const char *special_tokens_json, mica_error *err)
{
    *out = NULL;
    if (!n) return mica__fail(err, MICA_NOT_FOUND, "no chat template");
    mica_chat_template *t = mica__calloc(1, sizeof *t);
    if (!t || !(t->entries = mica__calloc(n, sizeof *t->entries))) {
        mica_chat_template_free(t);
        return mica__fail_memory(err, n * sizeof *t->entries, "a chat template");
    }
    mica_status status = special_tokens_json ? take_defaults(t, special_tokens_json, err) : MICA_OK;
    for (; !status && t->n < n; t->n++) status = take_template(&t->entries[t->n], &sources[t->n], err);
    if (!status && n == 1 && t->entries[0].error.status) {
        if (err) *err = t->entries[0].error;
        status = t->entries[0].error.status;
    }
    if (status) {
        mica_chat_template_free(t);
        return status;
    }
    *out = t;
    return MICA_OK;
}

mica_status mica_chat_template_create(mica_chat_template **out, const char *source, size_t n,
                                      const char *special_tokens_json, mica_error *err)
{
    return mica__chat_template_create_named(out, &(mica__template_source){.text = {source, n}}, 1, special_tokens_json,
                                            err);
}

void mica_chat_template_free(mica_chat_template *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->n; i++) {
        mica__free(t->entries[i].name);
        mica__free(t->entries[i].source);
        mica__jinja_release(&t->entries[i].parsed);
    }
    mica__free(t->entries);
    mica__json_release(&t->defaults);
    mica__free(t->defaults_text);
    mica__free(t);
}

/* ---- choosing ---- */

static const template_entry *find_entry(const mica_chat_template *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->entries[i].name, name) == 0) return &t->entries[i];
    return NULL;
}

static mica_status choose(const mica_chat_template *t, const char *name, bool has_tools, const template_entry **out,
                          mica_error *err)
{
    const template_entry *e = NULL;
    if (name) {
        e = find_entry(t, name);
        if (!e && t->n == 1 && !*t->entries[0].name && strcmp(name, "default") == 0) e = t->entries;
        if (!e) return mica__fail(err, MICA_NOT_FOUND, "no chat template named '%s'", MICA_QUOTED(name, strlen(name)));
    } else if (t->n == 1 && !*t->entries[0].name) {
        e = t->entries;
    } else {
        e = has_tools ? find_entry(t, "tool_use") : NULL;
        if (!e) e = find_entry(t, "default");
        if (!e)
            return mica__fail(err, MICA_INVALID,
                              "the model has several chat templates and none named \"default\"; name one of them");
    }
    *out = e;
    if (!e->error.status) return MICA_OK;
    return mica__fail(err, e->error.status, "%s", e->error.message);
}

/* ---- checking the input ---- */

static mica_status objects_only(mica__jval list, const char *name, mica_error *err)
{
    if (!list || mica__json_is(list, MICA__JSON_NULL)) return MICA_OK;
    if (!mica__json_is(list, MICA__JSON_ARRAY))
        return mica__fail(err, MICA_INVALID, "\"%s\" must be a list of objects", name);
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e))
        if (!mica__json_is(e, MICA__JSON_OBJECT))
            return mica__fail(err, MICA_INVALID, "\"%s\" must be a list of objects", name);
    return MICA_OK;
}

static bool is_truthy(mica__jval v)
{
    mica__str s;
    double d;
    if (mica__json_string(v, &s)) return s.n > 0;
    if (mica__json_double(v, &d)) return d != 0;
    return mica__json_is(v, MICA__JSON_TRUE) || mica__json_count(v) > 0;
}

/* What continue_final_message asks for. */
typedef struct continuation {
    char *field;    /* NULL: nothing is continued */
    mica__str text; /* of the last message, without white space around it */
} continuation;

static mica_status plan_continuation(const template_entry *e, mica__jval input, continuation *c, mica_error *err)
{
    mica__jval asked = mica__json_get(input, "continue_final_message"), messages = mica__json_get(input, "messages");
    if (!is_truthy(asked)) return MICA_OK;
    if (is_truthy(mica__json_get(input, "add_generation_prompt")))
        return mica__fail(err, MICA_INVALID,
                          "continue_final_message and add_generation_prompt cannot be used together");
    mica__str field = MICA_STR("content");
    mica__json_string(asked, &field);
    size_t n = mica__json_count(messages);
    mica__jval last = n ? mica__json_at(messages, n - 1) : NULL, text = mica__json_get_str(last, field);
    if (!text || mica__json_is(text, MICA__JSON_NULL))
        return mica__fail(err, MICA_INVALID,
                          "continue_final_message is set but the final message has no \"%s\" to continue",
                          MICA_QUOTED_STR(field));
    if (!memmem(e->source, e->n_source, field.p, field.n))
        return mica__fail(err, MICA_INVALID,
                          "continue_final_message is set to \"%s\" but the chat template does not use that field",
                          MICA_QUOTED_STR(field));
    if (mica__json_is(text, MICA__JSON_ARRAY)) {
        mica__jval found = NULL;
        for (mica__jval part = mica__json_first(text); part; part = mica__json_next(text, part)) {
            mica__jval t = mica__json_get(part, "text");
            if (t) found = t;
        }
        text = found;
    }
    if (!mica__json_string(text, &c->text))
        return mica__fail(err, MICA_INVALID,
                          "continue_final_message is set but the final message has no text to continue");
    c->text = mica__py_trim_start(mica__py_trim_end(c->text));
    c->field = mica__strndup(field.p, field.n);
    return c->field ? MICA_OK : mica__fail_memory(err, field.n, "a chat template");
}

/* Cuts the prompt where the last message ends. */
static mica_status cut(mica__buf *prompt, const continuation *c, mica_error *err)
{
    size_t n_tag = sizeof TAG - 2, at = prompt->n; /* without its space */
    bool found = false;
    for (size_t i = prompt->n >= n_tag ? prompt->n - n_tag + 1 : 0; i-- > 0 && !found;) {
        found = memcmp(prompt->p + i, TAG, n_tag) == 0;
        if (found) at = i;
    }
    if (!found || (c->text.n && !memmem(prompt->p, prompt->n, c->text.p, c->text.n)))
        return mica__fail(err, MICA_INVALID,
                          "continue_final_message is set but the final message does not appear in the prompt; the chat "
                          "template may drop part of it");
    if (at + n_tag < prompt->n && prompt->p[at + n_tag] == ' ') {
        prompt->n = at;
    } else { /* the template trimmed the message, so its own trailing white space goes, too */
        prompt->n = mica__py_trim_end((mica__str){prompt->p, at}).n;
    }
    return MICA_OK;
}

/* ---- rendering ---- */

static mica_status append_prompt(mica_text *out, mica__str prompt, mica_error *err)
{
    size_t need;
    if (!mica__add(out->n, prompt.n, &need) || !mica__add(need, 1, &need))
        return mica__fail_memory(err, SIZE_MAX, "a prompt");
    if (need > out->capacity || !out->data) {
        char *grown = mica__realloc(out->data, need, 1);
        if (!grown) return mica__fail_memory(err, need, "a prompt");
        out->data = grown;
        out->capacity = need;
    }
    if (prompt.n) memcpy(out->data + out->n, prompt.p, prompt.n);
    out->n += prompt.n;
    out->data[out->n] = 0;
    return MICA_OK;
}

static mica_status set_clock(const mica_chat_template_options *o, mica__jclock *now, mica_error *err)
{
    if (!o->now) return mica__jclock_now(now) ? MICA_OK : mica__fail(err, MICA_SYSTEM, "cannot read the clock");
    if (mica__jclock_parse(o->now, now)) return MICA_OK;
    return mica__fail(err, MICA_INVALID, "time '%s' is not of the form 2026-01-02T03:04:05",
                      MICA_QUOTED(o->now, strlen(o->now)));
}

/* Pairs of (byte where it begins, characters) become characters [start, end). */
static void to_characters(mica_ids *spans, size_t from, mica__str prompt)
{
    size_t byte = 0;
    int32_t start = 0;
    for (size_t i = from; i + 1 < spans->n; i += 2) { /* they never go back */
        for (; byte < (size_t)spans->data[i] && byte < prompt.n; byte++)
            start += ((unsigned char)prompt.p[byte] & 0xc0) != 0x80;
        spans->data[i] = start;
        spans->data[i + 1] += start;
    }
}

static mica_status render(const mica_chat_template *t, mica__jval input, size_t n_input,
                          const mica_chat_template_options *o, mica_text *out, mica_error *err)
{
    if (!mica__json_is(input, MICA__JSON_OBJECT))
        return mica__fail(err, MICA_INVALID, "input of a chat template: expected a JSON object");
    mica__jval tools = mica__json_get(input, "tools");
    MICA_TRY(objects_only(tools, "tools", err));
    MICA_TRY(objects_only(mica__json_get(input, "documents"), "documents", err));
    if (!mica__json_is(mica__json_get(input, "messages"), MICA__JSON_ARRAY))
        return mica__fail(err, MICA_INVALID, "input of a chat template: \"messages\" must be a list");
    const template_entry *e = NULL;
    MICA_TRY(choose(t, o->name, tools && !mica__json_is(tools, MICA__JSON_NULL), &e, err));
    mica__jinja_job job = {
        .variables = {mica__json_root(&t->defaults), input},
        .null_names = {"tools", "documents"},
        .false_name = "add_generation_prompt",
        .skip_name = "continue_final_message",
        .generated = o->generated,
        .max_steps = o->max_steps ? o->max_steps : 10000000,
        .max_bytes = o->max_bytes ? o->max_bytes : (16u << 20) + 8 * n_input,
    };
    MICA_TRY(set_clock(o, &job.now, err));
    continuation c = {0};
    MICA_TRY(plan_continuation(e, input, &c, err));
    if (c.field && job.generated) {
        mica__free(c.field);
        return mica__fail(err, MICA_INVALID, "what was generated cannot be told with continue_final_message");
    }
    if (c.field) {
        job.append_to_last = TAG;
        job.append_field = c.field;
    }
    mica__buf prompt = {0};
    const size_t before = o->generated ? o->generated->n : 0;
    mica_status status = mica__jinja_render(&e->parsed, &job, &prompt, err);
    if (!status && c.field) status = cut(&prompt, &c, err);
    if (o->generated) to_characters(o->generated, before, mica__buf_str(&prompt));
    if (status && o->generated) o->generated->n = before;
    if (!status) status = append_prompt(out, mica__buf_str(&prompt), err);
    mica__free(c.field);
    mica__buf_release(&prompt);
    return status;
}

mica_status mica_chat_template_render(const mica_chat_template *t, const char *input_json, size_t n,
                                      const mica_chat_template_options *options, mica_text *out, mica_error *err)
{
    static const mica_chat_template_options defaults = {0};
    mica__json input;
    MICA_TRY(mica__json_parse(&input, input_json, n, &(mica__json_limits){.allow_nonfinite = true}, err));
    mica_status status = render(t, mica__json_root(&input), n, options ? options : &defaults, out, err);
    mica__json_release(&input);
    return status;
}
