/* mica/chat_template.h: conversations to prompts, with the model's own Jinja template.
 *
 *     mica_chat_template *t = NULL;
 *     mica_text prompt = {0};
 *     const char *input = "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"add_generation_prompt\": true}";
 *     if (mica_chat_template_load(&t, "path/to/checkpoint", &err)) ...
 *     if (mica_chat_template_render(t, input, strlen(input), NULL, &prompt, &err)) ...
 *
 * The language is Jinja as Transformers sets it up. A template is an untrusted program: it sees only its input, and steps, depth,
 * memory and output are bounded. A parsed template is immutable and may be rendered by many threads at once. */
#ifndef MICA_CHAT_TEMPLATE_H
#define MICA_CHAT_TEMPLATE_H

#include "tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mica_chat_template mica_chat_template;

/* path: a checkpoint folder (chat_template.jinja, additional_chat_templates/, else chat_template in tokenizer_config.json, else
 * chat_template.json) or a .gguf file. NOT_FOUND if the model has no template. The special tokens of tokenizer_config.json become
 * the default values of variables (bos_token ...). */
MICA_API mica_status mica_chat_template_load(mica_chat_template **out, const char *path,
                                             mica_error *err) MICA_NODISCARD;
/* From template source. special_tokens_json: an object of default variables such as {"bos_token": "<s>"}, or NULL. */
MICA_API mica_status mica_chat_template_create(mica_chat_template **out, const char *source, size_t n,
                                               const char *special_tokens_json, mica_error *err) MICA_NODISCARD;
MICA_API void mica_chat_template_free(mica_chat_template *t); /* NULL allowed */

/* Zero means the default. */
typedef struct mica_chat_template_options {
    /* Of several templates: "tool_use", ...; NULL: "tool_use" if tools are given and it exists, else "default". */
    const char *name;
    const char *now;    /* "2026-01-02T03:04:05": the clock of strftime_now; NULL: local time */
    uint64_t max_steps; /* 10 million */
    size_t max_bytes;   /* output and working memory: 16 MiB plus eight times the input */
    /* Receives the characters [start, end) of the prompt that stand between {% generation %} and {% endgeneration %}, in order: what an
     * assistant said. NULL: not wanted. Not together with continue_final_message. */
    mica_ids *generated;
} mica_chat_template_options;

/* input_json: an object with "messages" (required), and any of "tools", "documents", "add_generation_prompt",
 * "continue_final_message", and other variables. Appends the prompt to *out. INVALID with the template's own message if it called
 * raise_exception; LIMIT if a budget ran out; DATA for errors of the template (with its line). */
MICA_API mica_status mica_chat_template_render(const mica_chat_template *t, const char *input_json, size_t n,
                                               const mica_chat_template_options *options, mica_text *out,
                                               mica_error *err) MICA_NODISCARD;

#ifdef __cplusplus
}
#endif
#endif
