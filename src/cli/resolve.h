/* cli/resolve.h: from what a person calls a model to where it is.
 *
 * A name is, in this order: a folder or file; an id of the Hugging Face Hub (org/name, or org/name:Q4_K_M for one of its GGUF files),
 * which is fetched if it is not in its cache on this machine; or nothing at all, which means the default model, SmolLM2-135M-Instruct. */
#ifndef MICA_CLI_RESOLVE_H
#define MICA_CLI_RESOLVE_H

#include <mica/hub.h>

/* *path in fresh memory. revision: of an id; NULL: main. gguf: a GGUF file in the repository or folder; NULL: as the name says. files: what of an
 * id's files is needed. The exit code: 0, or what stands in the way, which was said. name may be NULL. */
int resolve_model(const char *name, const char *revision, const char *gguf, mica_hub_files files, char **path);

/* Splits "org/name:Q4_K_M": the id in fresh memory, and where in `name` the rest is; NULL if it is not of this form. */
char *resolve_split(const char *name, const char **gguf);

#endif
