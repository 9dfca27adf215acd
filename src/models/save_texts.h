/* models/save_texts.h: what stands beside the weights of a saved checkpoint: configuration, index, tokenizer, model card. */
#ifndef MICA_MODELS_SAVE_TEXTS_H
#define MICA_MODELS_SAVE_TEXTS_H

#include "save_plan.h"

/* Appends config.json. `architecture`: class name for a text part that stood in a wrapper; `tied`: what the weights say. */
mica_status mica__save_config(mica__buf *out, const mica__config *config, const mica__save_plan *plan,
                              const mica_save_options *options, bool keep_wrapper, bool tied, mica_error *err);
/* Appends model.safetensors.index.json. */
mica_status mica__save_index(mica__buf *out, const mica__save_plan *plan, mica_save_format format, mica_error *err);
/* Appends README.md. `name`: of the target; `source_card`: the README.md of the source, "" if it has none. */
mica_status mica__save_card(mica__buf *out, const char *name, const char *base_model, mica__str source_card,
                            const mica__save_plan *plan, mica_save_format format, mica_error *err);

/* Copies tokenizer files, chat templates, generation settings, licences and the like into the folder `work`. */
mica_status mica__save_copy_texts(mica__checkpoint *source, const char *work, mica_error *err);
/* True for names that a saved checkpoint may hold: those that replacing an old one removes. */
bool mica__save_belongs(mica__str name);

#endif
