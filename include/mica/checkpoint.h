/* mica/checkpoint.h: the texts of a checkpoint, for programs that read them themselves.
 *
 *     mica_text config = {0};
 *     if (mica_checkpoint_text("path/to/model.gguf", "config.json", &config, &err)) ...
 *     puts(config.data);
 *     mica_text_release(&config); */
#ifndef MICA_CHECKPOINT_H
#define MICA_CHECKPOINT_H

#include "tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Appends the text called `name` ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
 * "chat_template.jinja") of the checkpoint at `path`, a folder or a .gguf file, to *out. For GGUF it is made from the
 * metadata, as Transformers would have saved it; in tokenizer_config.json is also what special_tokens_map.json and
 * added_tokens.json of older checkpoints say. NOT_FOUND if the checkpoint has none. */
MICA_API mica_status mica_checkpoint_text(const char *path, const char *name, mica_text *out,
                                          mica_error *err) MICA_NODISCARD;

#ifdef __cplusplus
}
#endif
#endif
