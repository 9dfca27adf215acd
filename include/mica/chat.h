/* mica/chat.h: a conversation with a model, in a few calls.
 *
 *     mica_model *model = NULL;
 *     mica_chat *chat = NULL;
 *     if (mica_model_load(&model, path, NULL, &err) || mica_chat_create(&chat, model, NULL, &err)) ...
 *     if (mica_chat_send(chat, "Why is the sky blue?", print, NULL, &err)) ...
 *
 * A chat keeps the messages, renders them with the model's template and reuses the cache for what did not change. Used by one thread
 * at a time. */
#ifndef MICA_CHAT_H
#define MICA_CHAT_H

#include "generate.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mica_chat mica_chat;

/* config NULL: the model's settings with sampling as the model advises; it is copied. */
MICA_API mica_status mica_chat_create(mica_chat **out, mica_model *model, const mica_generation_config *config,
                                      mica_error *err) MICA_NODISCARD;
MICA_API void mica_chat_free(mica_chat *chat); /* NULL allowed */

/* Text as it comes; returning non-zero stops the answer, which is kept as far as it came. */
typedef int (*mica_on_text)(void *context, const char *text, size_t n);

/* Adds a user message, generates the answer and adds it. On failure the conversation is as before. */
MICA_API mica_status mica_chat_send(mica_chat *chat, const char *user_text, mica_on_text on_text, void *context,
                                    mica_error *err) MICA_NODISCARD;
/* Adds a message without generating; role "system", "user", "assistant", "tool". */
MICA_API mica_status mica_chat_add(mica_chat *chat, const char *role, const char *text, mica_error *err) MICA_NODISCARD;
MICA_API void mica_chat_reset(mica_chat *chat); /* forgets all messages */
/* Variables for the template beside the messages: an object such as {"enable_thinking": false}; NULL: none. */
MICA_API mica_status mica_chat_set_variables(mica_chat *chat, const char *json, mica_error *err) MICA_NODISCARD;
/* The settings used from now on; the chat's own copy, to be changed in place. */
MICA_API mica_generation_config *mica_chat_config(mica_chat *chat);
/* The messages as a JSON array, appended to *out; and back (replacing all). */
MICA_API mica_status mica_chat_save(const mica_chat *chat, mica_text *out, mica_error *err) MICA_NODISCARD;
MICA_API mica_status mica_chat_load(mica_chat *chat, const char *json, size_t n, mica_error *err) MICA_NODISCARD;
MICA_API const char *mica_chat_last_answer(const mica_chat *chat); /* "" before the first */
/* Figures of the last answer (ids is empty). */
MICA_API const mica_generate_result *mica_chat_last_result(const mica_chat *chat);
/* As mica_session_cancel. */
MICA_API void mica_chat_cancel(mica_chat *chat);

#ifdef __cplusplus
}
#endif
#endif
