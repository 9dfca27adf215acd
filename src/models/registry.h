/* models/registry.h: the architectures.
 *
 * An architecture is one file that ends in a descriptor; registry.c lists the descriptors. docs/HOWTO-add-a-model.md walks through it. */
#ifndef MICA_MODELS_REGISTRY_H
#define MICA_MODELS_REGISTRY_H

#include "decoder_spec.h"

typedef struct mica__arch {
    const char *const *model_types;   /* names in config.json, the main one first; NULL-terminated */
    const char *const *wrapper_types; /* multimodal wrappers whose text part is this if it does not say; may be NULL */
    /* Fills in the spec; failures latch in c. */
    void (*describe)(mica__config *c, mica__decoder_spec *s);
} mica__arch;

/* The i-th architecture, NULL at the end. */
const mica__arch *mica__arch_at(size_t i);

/* The architecture of a config. DATA if it has no model_type, UNSUPPORTED (with what is known) if nobody knows it. */
mica_status mica__arch_find(const mica__arch **out, const mica__config *c, mica_error *err);

/* Finds the architecture and lets it describe. */
mica_status mica__describe(mica__decoder_spec *s, mica__config *c, mica_error *err);

#endif
