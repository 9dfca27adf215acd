/* formats/checkpoint_private.h: the inside of a checkpoint, for the files that fill one. */
#ifndef MICA_FORMATS_CHECKPOINT_PRIVATE_H
#define MICA_FORMATS_CHECKPOINT_PRIVATE_H

#include "checkpoint.h"
#include "gguf.h"
#include "safetensors.h"
#include "torch.h"

/* One mapped file and what was parsed from it: one of the three, the others are {0}. */
typedef struct mica__checkpoint_file {
    mica__mapping mapping;
    mica__safetensors safetensors;
    mica__torch torch;
    mica__gguf gguf;
} mica__checkpoint_file;

/* A text once it was read or made. Absent ones are kept as well, so that they are looked for only once. */
typedef struct mica__checkpoint_text_slot {
    struct mica__checkpoint_text_slot *next;
    char *name;
    mica__buf text;
    bool absent;
} mica__checkpoint_text_slot;

struct mica__checkpoint {
    char *path;
    const char *format;
    mica_notices notices;
    mica__checkpoint_file *files; /* [n_files] */
    size_t n_files, cap_files;
    mica__tensor_view *tensors; /* [n_tensors] */
    size_t n_tensors, cap_tensors;
    mica__map by_name; /* Hub name -> index in tensors */
    mica__arena names; /* Hub names of GGUF tensors */
    mica__checkpoint_text_slot *texts;
};

/* Maps a file and adds an empty entry for it; its index is n_files - 1. */
mica_status mica__checkpoint_add_file(mica__checkpoint *c, const char *path, mica_error *err);
/* Adds a view, whose name must live as long as c. DATA naming both files if the name is there already. */
mica_status mica__checkpoint_add_tensor(mica__checkpoint *c, const mica__tensor_view *v, mica_error *err);
void mica__checkpoint_notice(const mica__checkpoint *c, const char *fmt, ...) MICA_PRINTF(2, 3);

/* Fill c from c->path. */
mica_status mica__checkpoint_open_folder(mica__checkpoint *c, mica_error *err);
mica_status mica__checkpoint_open_gguf(mica__checkpoint *c, mica_error *err);

/* The text `name` of a GGUF file, appended to *out. NOT_FOUND if such a file has no such text. */
mica_status mica__gguf_text(const mica__gguf *g, const char *name, mica__buf *out, mica_error *err);

#endif
