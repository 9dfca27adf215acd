/* cli/resolve.h: from what a person calls a model to where it is.
 *
 * A name is, in this order: a folder or file; an id of the Hugging Face Hub (org/name) that is already in its cache on this machine;
 * or nothing at all, which means the default model, SmolLM2-135M-Instruct. */
#ifndef MICA_CLI_RESOLVE_H
#define MICA_CLI_RESOLVE_H

/* *path in fresh memory. The exit code: 0, or 66 with a message that says how to get the model. name may be NULL. */
int resolve_model(const char *name, char **path);

#endif
