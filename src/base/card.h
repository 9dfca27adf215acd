/* base/card.h: the lines of a model card (README.md) that every checkpoint of ours has: those that the Hub reads, between two "---", and how the model is
 * used. Uploads and saved checkpoints put their own lines in between. */
#ifndef MICA_BASE_CARD_H
#define MICA_BASE_CARD_H

#include "str.h"

/* The first "---", library_name (mlx or transformers), pipeline_tag, and the base model if there is one: YAML as it shall stand. */
void mica__card_open(mica__buf *out, bool mlx, mica__str base_model, bool quantized);
/* The tag that makes it an MLX model, the second "---" and the title. */
void mica__card_title(mica__buf *out, bool mlx, const char *name);
/* The commands that run `name`, an id or a folder. */
void mica__card_usage(mica__buf *out, bool mlx, const char *name);

#endif
