/* generate/chat.c: messages, their rendering, and the answers.
 *
 * A message is kept as the JSON text of its object, so that fields we do not know (tool calls, names) reach the template unchanged. The
 * session keeps what the new prompt has in common with the last one, so a turn costs its own tokens only. */
#include "base/json.h"
#include "base/memory.h"
#include "generation_config.h"
#include "models/model.h"
#include <mica/chat.h>
#include <stdio.h>

struct mica_chat {
    mica_model *model;
    mica_session *session;
    mica_generation_config *config;
    const mica_tokenizer *tokenizer;
    const mica_chat_template *template;
    char **messages; /* [n] JSON objects */
    size_t n, cap;
    char *variables; /* members of an object, without its braces; NULL: none */
    mica__buf answer;
    mica_generate_result result;
};

/* ---- making --------------------------------------------------------------------------------------------------------------------------------- */

/* Without a word on length an answer ends where the model ends it. */
static mica_status default_length(mica_chat *c, mica_error *err)
{
    if (c->config->values[MICA__SET_max_new_tokens] || c->config->values[MICA__SET_max_length]) return MICA_OK;
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)c->model->info.context);
    return mica_generation_config_set(c->config, "max_length", text, err);
}

static mica_status make(mica_chat *c, const mica_generation_config *config, mica_error *err)
{
    MICA_TRY(mica_model_tokenizer(c->model, &c->tokenizer, err));
    MICA_TRY(mica_model_chat_template(c->model, &c->template, err));
    if (config) {
        MICA_TRY(mica__generation_config_copy(&c->config, config, err));
    } else {
        MICA_TRY(mica_generation_config_create(&c->config, c->model, err));
    }
    MICA_TRY(default_length(c, err));
    return mica_session_create(&c->session, c->model, NULL, err);
}

mica_status mica_chat_create(mica_chat **out, mica_model *model, const mica_generation_config *config, mica_error *err)
{
    *out = NULL;
    mica_chat *c = mica__calloc(1, sizeof *c);
    if (!c) return mica__fail_memory(err, sizeof *c, "chat");
    c->model = model;
    mica_status status = make(c, config, err);
    if (status) {
        mica_chat_free(c);
    } else {
        *out = c;
    }
    return status;
}

static void drop_messages(mica_chat *c, size_t from)
{
    while (c->n > from) mica__free(c->messages[--c->n]);
}

void mica_chat_free(mica_chat *c)
{
    if (!c) return;
    drop_messages(c, 0);
    mica__free(c->messages);
    mica__free(c->variables);
    mica__buf_release(&c->answer);
    mica_ids_release(&c->result.ids);
    mica_session_free(c->session);
    mica_generation_config_free(c->config);
    mica__free(c);
}

/* ---- messages ---------------------------------------------------------------------------------------------------------------------------------- */

static mica_status push(mica_chat *c, char *message_take, mica_error *err)
{
    if (!message_take) return mica__fail_memory(err, 64, "message");
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 16;
        char **more = mica__realloc(c->messages, cap, sizeof *more);
        if (!more) {
            mica__free(message_take);
            return mica__fail_memory(err, cap * sizeof *more, "messages");
        }
        c->messages = more;
        c->cap = cap;
    }
    c->messages[c->n++] = message_take;
    return MICA_OK;
}

static mica_status add(mica_chat *c, const char *role, mica__str text, mica_error *err)
{
    if (!mica__utf8_valid(text.p, text.n)) return mica__fail(err, MICA_INVALID, "the message is not valid UTF-8");
    mica__buf json = {0};
    mica__buf_append_z(&json, "{\"role\": ");
    mica__json_write_string(&json, mica__str_from(role), false);
    mica__buf_append_z(&json, ", \"content\": ");
    mica__json_write_string(&json, text, false);
    mica__buf_append_z(&json, "}");
    return push(c, mica__buf_take(&json), err);
}

mica_status mica_chat_add(mica_chat *c, const char *role, const char *text, mica_error *err)
{
    return add(c, role, mica__str_from(text), err);
}

void mica_chat_reset(mica_chat *c)
{
    drop_messages(c, 0);
    mica__buf_clear(&c->answer);
}

/* The members of an object as text, without its braces; NULL for an empty one. */
static mica_status members_of(char **out, mica__jval object, mica_error *err)
{
    mica__buf text = {0};
    *out = NULL;
    if (!mica__json_is(object, MICA__JSON_OBJECT))
        return mica__fail(err, MICA_INVALID, "expected an object of template variables");
    if (!mica__json_count(object)) return MICA_OK;
    mica__json_write(&text, object);
    if (!text.failed) *out = mica__strndup(text.p + 1, text.n - 2);
    mica__buf_release(&text);
    return *out ? MICA_OK : mica__fail_memory(err, 64, "template variables");
}

mica_status mica_chat_set_variables(mica_chat *c, const char *json, mica_error *err)
{
    char *members = NULL;
    if (json) {
        mica__json doc;
        MICA_TRY(mica__json_parse(&doc, json, strlen(json), NULL, err));
        mica_status status = members_of(&members, mica__json_root(&doc), err);
        mica__json_release(&doc);
        MICA_TRY(status);
    }
    mica__free(c->variables);
    c->variables = members;
    return MICA_OK;
}

static void write_messages(const mica_chat *c, mica__buf *out)
{
    mica__buf_append_char(out, '[');
    for (size_t i = 0; i < c->n; i++) {
        if (i) mica__buf_append_z(out, ", ");
        mica__buf_append_z(out, c->messages[i]);
    }
    mica__buf_append_char(out, ']');
}

mica_status mica_chat_save(const mica_chat *c, mica_text *out, mica_error *err)
{
    mica__buf text = {0};
    mica__buf_append(&text, out->data, out->n);
    write_messages(c, &text);
    size_t n = text.n;
    char *data = mica__buf_take(&text);
    if (!data) return mica__fail_memory(err, n, "messages");
    mica_text_release(out);
    *out = (mica_text){.data = data, .n = n, .capacity = n + 1};
    return MICA_OK;
}

mica_status mica_chat_load(mica_chat *c, const char *json, size_t n, mica_error *err)
{
    mica__json doc;
    MICA_TRY(mica__json_parse(&doc, json, n, NULL, err));
    mica__jval list = mica__json_root(&doc);
    mica_status status = MICA_OK;
    const size_t before = c->n;
    if (!mica__json_is(list, MICA__JSON_ARRAY)) status = mica__fail(err, MICA_DATA, "expected a list of messages");
    for (mica__jval m = mica__json_first(list); m && !status; m = mica__json_next(list, m)) {
        mica__str role;
        if (!mica__json_string(mica__json_get(m, "role"), &role)) {
            status = mica__fail(err, MICA_DATA, "message %zu has no role", c->n - before);
            break;
        }
        mica__buf text = {0};
        mica__json_write(&text, m);
        status = push(c, mica__buf_take(&text), err);
    }
    mica__json_release(&doc);
    if (status) {
        drop_messages(c, before);
        return status;
    }
    /* The new ones stand behind the old ones. */
    for (size_t i = 0; i < before; i++) mica__free(c->messages[i]);
    if (c->n > before) memmove(c->messages, c->messages + before, (c->n - before) * sizeof *c->messages);
    c->n -= before;
    mica__buf_clear(&c->answer);
    return MICA_OK;
}

/* ---- answering ------------------------------------------------------------------------------------------------------------------------------------ */

typedef struct turn {
    mica_chat *chat;
    mica_on_text on_text;
    void *context;
} turn;

static int on_token(void *context, int32_t id, const char *text, size_t n, const float *scores)
{
    turn *t = context;
    (void)id;
    (void)scores;
    mica__buf_append(&t->chat->answer, text, n);
    return n && t->on_text ? t->on_text(t->context, text, n) : 0;
}

/* The prompt's ids, appended to *ids. */
static mica_status render(mica_chat *c, mica_ids *ids, mica_error *err)
{
    mica__buf input = {0};
    mica_text prompt = {0};
    mica__buf_append_z(&input, "{\"messages\": ");
    write_messages(c, &input);
    mica__buf_append_z(&input, ", \"add_generation_prompt\": true");
    if (c->variables) mica__buf_printf(&input, ", %s", c->variables);
    mica__buf_append_char(&input, '}');
    mica_status status = mica__buf_status(&input, err, "messages");
    if (!status) status = mica_chat_template_render(c->template, input.p, input.n, NULL, &prompt, err);
    /* The template has written the special tokens itself. */
    if (!status) status = mica_tokenizer_encode(c->tokenizer, prompt.data, prompt.n, 0, ids, err);
    mica__buf_release(&input);
    mica_text_release(&prompt);
    return status;
}

static mica_status answer(mica_chat *c, turn *t, mica_error *err)
{
    mica_ids ids = {0};
    mica_generate_result result = {0};
    mica__buf_clear(&c->answer);
    mica_status status = render(c, &ids, err);
    if (!status) status = mica_generate(c->session, ids.data, ids.n, c->config, on_token, t, &result, err);
    mica_ids_release(&ids);
    mica_ids_release(&result.ids);
    if (status) return status;
    c->result = result;
    c->result.ids = (mica_ids){0};
    MICA_TRY(mica__buf_status(&c->answer, err, "answer"));
    return add(c, "assistant", mica__buf_str(&c->answer), err);
}

mica_status mica_chat_send(mica_chat *c, const char *user_text, mica_on_text on_text, void *context, mica_error *err)
{
    const size_t before = c->n;
    turn t = {c, on_text, context};
    MICA_TRY(mica_chat_add(c, "user", user_text, err));
    mica_status status = answer(c, &t, err);
    if (status) drop_messages(c, before);
    return status;
}

mica_generation_config *mica_chat_config(mica_chat *c) { return c->config; }
const char *mica_chat_last_answer(const mica_chat *c) { return c->answer.n ? c->answer.p : ""; }
const mica_generate_result *mica_chat_last_result(const mica_chat *c) { return &c->result; }
void mica_chat_cancel(mica_chat *c) { mica_session_cancel(c->session); }
