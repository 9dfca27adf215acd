/* text/chat_template.h: making a chat template from what a checkpoint holds. */
#ifndef MICA_TEXT_CHAT_TEMPLATE_H
#define MICA_TEXT_CHAT_TEMPLATE_H

#include "base/str.h"
#include <mica/chat_template.h>

typedef struct mica__template_source {
    mica__str name; /* "default", "tool_use", ...; empty: the only one */
    mica__str text;
} mica__template_source;

/* From one or several named templates; special_tokens_json as in mica_chat_template_create (a value may also be an object with
 * "content", as tokenizer_config.json has them; null ones are left out). Nothing is needed afterwards. Of several templates one
 * that cannot be parsed fails when it is rendered; a single one fails here. */
mica_status mica__chat_template_create_named(mica_chat_template **out, const mica__template_source *sources, size_t n,
                                             const char *special_tokens_json, mica_error *err);

#endif
