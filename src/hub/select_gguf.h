/* hub/select_gguf.h: repositories of GGUF files: which of them a caller means.
 *
 * They hold the same model many times, quantized in different ways: "Q4_K_M" is the usual name for one of them, or its path. Without either the only
 * one is taken, else the one that is Q4_K_M, as llama.cpp and Ollama do; else the error names them. A split file is all of its parts. */
#ifndef MICA_HUB_SELECT_GGUF_H
#define MICA_HUB_SELECT_GGUF_H

#include "listing.h"
#include "store.h"
#include <mica/hub.h>

/* Is a GGUF file what is asked for? Yes if it is named, or if the repository has nothing else that would do. */
bool mica__wants_gguf(const mica__listing *l, const mica_hub_options *o);
/* Appends the file, or its parts in order, to files[*n]. *guessed: it was chosen among several. NOT_FOUND: none, or none like that; INVALID: several. */
mica_status mica__select_gguf(const mica__listing *l, const mica_hub_options *o, const char *id,
                              const mica__hub_file **files, size_t *n, bool *guessed, mica_error *err);
/* The GGUF files that a snapshot has, as far as listings go: paths and sizes. */
mica_status mica__list_local_gguf(mica__listing *out, const mica__store *s, const char *commit, mica_error *err);

#endif
