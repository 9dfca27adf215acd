/* hub/card.h: the model card of a repository that would have none: README.md with what the Hub reads off it. */
#ifndef MICA_HUB_CARD_H
#define MICA_HUB_CARD_H

#include "base/str.h"

/* Appends a card for the folder of a model that is to be ORG/NAME: library_name and the tag "mlx" if its weights are in MLX's format, else "transformers".
 * base_model: an id; NULL: what config.json says. False, and nothing appended, if the folder holds no model (config.json). */
bool mica__card_write(mica__buf *out, const char *folder, const char *id, const char *base_model);

#endif
