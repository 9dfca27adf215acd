/* Conversations against the reference chats, and what happens to the messages. */
#include <mica/mica.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "failing_allocator.h"
#include "models/reference.h"

static mica_chat *new_chat(mica_model *model, const char *max_new_tokens)
{
    mica_chat *chat;
    mica_error err;
    reference_check(mica_chat_create(&chat, model, NULL, &err), &err, "chat");
    if (max_new_tokens) {
        reference_check(mica_generation_config_set(mica_chat_config(chat), "max_new_tokens", max_new_tokens, &err),
                        &err, "settings");
    }
    return chat;
}

static void text_of(mica__jval object, const char *field, mica__buf *out)
{
    mica__str s = MICA_STR("");
    assert_true(mica__json_string(mica__json_get(object, field), &s));
    mica__buf_clear(out);
    mica__buf_append_str(out, s);
}

static int append(void *context, const char *text, size_t n)
{
    assert_true(n > 0);
    mica__buf_append(context, text, n);
    return 0;
}

/* All messages but the last go in as they are; the last, the user's, is sent. */
static void check_chat(mica_model *model, mica__jval row)
{
    mica__buf role = {0}, content = {0}, streamed = {0};
    char limit[32];
    mica_error err;
    snprintf(limit, sizeof limit, "%zu",
             mica__json_count(mica__json_get(row, "output_ids")) - mica__json_count(mica__json_get(row, "input_ids")));
    mica_chat *chat = new_chat(model, limit);
    mica__jval messages = mica__json_get(row, "messages");
    for (mica__jval m = mica__json_first(messages); m; m = mica__json_next(messages, m)) {
        text_of(m, "role", &role);
        text_of(m, "content", &content);
        if (mica__json_next(messages, m)) {
            reference_check(mica_chat_add(chat, role.p, content.p, &err), &err, "add");
        } else {
            assert_string_equal(role.p, "user");
            reference_check(mica_chat_send(chat, content.p, append, &streamed, &err), &err, "send");
        }
    }
    text_of(row, "text", &content);
    assert_string_equal(mica_chat_last_answer(chat), content.p);
    assert_string_equal(streamed.p, content.p);
    assert_int_equal(mica_chat_last_result(chat)->n_prompt, mica__json_count(mica__json_get(row, "input_ids")));
    mica_chat_free(chat);
    mica__buf_release(&role);
    mica__buf_release(&content);
    mica__buf_release(&streamed);
}

static void test_references(void **state)
{
    (void)state;
    static const char *const names[] = {"llama-chat", "gemma-chat", "qwen3-chat"};
    for (size_t i = 0; i < 3; i++) {
        char path[512];
        reference_file f;
        if (!reference_path(path, "chat-models", names[i])) continue;
        mica_model *model = reference_model(path, 0, 0);
        reference_open_json(&f, path, "reference.json");
        mica__jval rows = mica__json_get(mica__json_root(&f.json), "chat");
        assert_true(mica__json_count(rows) > 0);
        for (mica__jval row = mica__json_first(rows); row; row = mica__json_next(rows, row)) check_chat(model, row);
        reference_close(&f);
        mica_model_free(model);
    }
}

static int refuse(void *context, const char *text, size_t n)
{
    (void)text;
    (void)n;
    return ++*(int *)context >= 2;
}

static int cancel(void *context, const char *text, size_t n)
{
    (void)text;
    (void)n;
    mica_chat_cancel(context);
    return 0;
}

static void expect_messages(const mica_chat *chat, size_t n)
{
    mica_text text = {0};
    mica__json doc;
    assert_int_equal(mica_chat_save(chat, &text, NULL), MICA_OK);
    assert_int_equal(mica__json_parse(&doc, text.data, text.n, NULL, NULL), MICA_OK);
    assert_int_equal(mica__json_count(mica__json_root(&doc)), n);
    mica__json_release(&doc);
    mica_text_release(&text);
}

static void test_messages(void **state)
{
    (void)state;
    char path[512];
    mica_error err;
    int calls = 0;
    if (!reference_path(path, "chat-models", "llama-chat")) skip();
    mica_model *model = reference_model(path, 0, 0);
    mica_chat *chat = new_chat(model, "12");
    assert_string_equal(mica_chat_last_answer(chat), "");
    reference_check(mica_chat_send(chat, "Tell me about the tower.", refuse, &calls, &err), &err, "send");
    assert_int_equal(calls, 2); /* stopped by us: the answer is kept as far as it came */
    assert_int_equal(mica_chat_last_result(chat)->reason, MICA_STOP_CALLBACK);
    expect_messages(chat, 2);
    assert_int_equal(mica_chat_send(chat, "And?", cancel, chat, &err), MICA_CANCELLED);
    expect_messages(chat, 2);
    assert_int_equal(mica_chat_send(chat, "\xff", NULL, NULL, &err), MICA_INVALID);
    expect_messages(chat, 2);

    mica_text saved = {0};
    reference_check(mica_chat_save(chat, &saved, &err), &err, "save");
    mica_chat_reset(chat);
    expect_messages(chat, 0);
    reference_check(mica_chat_load(chat, saved.data, saved.n, &err), &err, "load");
    expect_messages(chat, 2);
    /* A broken list changes nothing. */
    const char *broken = "[{\"role\": \"user\", \"content\": \"x\"}, {\"content\": \"y\"}]";
    assert_int_equal(mica_chat_load(chat, broken, strlen(broken), &err), MICA_DATA);
    assert_int_equal(mica_chat_load(chat, "{}", 2, &err), MICA_DATA);
    expect_messages(chat, 2);
    reference_check(mica_chat_send(chat, "And?", NULL, NULL, &err), &err, "send");
    expect_messages(chat, 4);
    /* The second turn found the first one in the cache. */
    reference_check(mica_chat_send(chat, "Why?", NULL, NULL, &err), &err, "send");
    assert_true(mica_chat_last_result(chat)->n_prompt < 40);

    reference_check(mica_chat_set_variables(chat, "{\"enable_thinking\": false, \"x\": [1]}", &err), &err, "variables");
    reference_check(mica_chat_send(chat, "So?", NULL, NULL, &err), &err, "send");
    reference_check(mica_chat_set_variables(chat, NULL, &err), &err, "variables");
    reference_check(mica_chat_set_variables(chat, "{}", &err), &err, "variables");
    assert_int_equal(mica_chat_set_variables(chat, "[]", &err), MICA_INVALID);
    mica_text_release(&saved);
    mica_chat_free(chat);
    mica_chat_free(NULL);
    mica_model_free(model);
}

static mica_status attempt(void *context)
{
    mica_chat *chat = NULL;
    mica_text saved = {0};
    mica_status status = mica_chat_create(&chat, context, NULL, NULL);
    if (!status) status = mica_generation_config_set(mica_chat_config(chat), "max_new_tokens", "2", NULL);
    if (!status) status = mica_chat_set_variables(chat, "{\"x\": 1}", NULL);
    if (!status) status = mica_chat_send(chat, "Tell me", NULL, NULL, NULL);
    if (!status) status = mica_chat_save(chat, &saved, NULL);
    if (!status) status = mica_chat_load(chat, saved.data, saved.n, NULL);
    mica_text_release(&saved);
    mica_chat_free(chat);
    return status;
}

static void test_no_memory(void **state)
{
    (void)state;
    char path[512];
    if (!reference_path(path, "chat-models", "llama-chat")) skip();
    mica_model *model = reference_model(path, 1, 0);
    const mica_tokenizer *tokenizer;
    const mica_chat_template *template;
    mica_error err;
    /* What the model keeps is made outside the counting. */
    reference_check(mica_model_tokenizer(model, &tokenizer, &err), &err, "tokenizer");
    reference_check(mica_model_chat_template(model, &template, &err), &err, "template");
    printf("a chat takes %zu allocations\n", failing_allocator_sweep(attempt, model));
    mica_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
