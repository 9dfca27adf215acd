/* formats/checkpoint.c: what folders and GGUF files have in common: the tensor table, kept texts, freeing. */
#include "checkpoint_private.h"

#include <stdio.h>

/* tokenizer.json files of 30 MB are usual; nothing real comes near this. */
static const size_t MAX_TEXT = (size_t)256 << 20;

mica_status mica__checkpoint_open(mica__checkpoint **out, const char *path, const mica_notices *notices,
                                  mica_error *err)
{
    *out = NULL;
    mica__checkpoint *c = mica__calloc(1, sizeof *c);
    if (!c) return mica__fail_memory(err, sizeof *c, "a checkpoint");
    if (notices) c->notices = *notices;
    c->path = mica__strndup(path, strlen(path));
    mica_status status = MICA_OK;
    if (!c->path)
        status = mica__fail_memory(err, strlen(path), "a path");
    else if (mica__path_is_dir(path))
        status = mica__checkpoint_open_folder(c, err);
    else
        status = mica__checkpoint_open_gguf(c, err);
    if (status != MICA_OK) {
        mica__checkpoint_free(c);
        return status;
    }
    *out = c;
    return MICA_OK;
}

static void free_text(mica__checkpoint_text_slot *slot)
{
    mica__free(slot->name);
    mica__buf_release(&slot->text);
    mica__free(slot);
}

void mica__checkpoint_free(mica__checkpoint *c)
{
    if (!c) return;
    while (c->texts) {
        mica__checkpoint_text_slot *next = c->texts->next;
        free_text(c->texts);
        c->texts = next;
    }
    for (size_t i = 0; i < c->n_files; i++) {
        mica__safetensors_release(&c->files[i].safetensors);
        mica__torch_release(&c->files[i].torch);
        mica__gguf_release(&c->files[i].gguf);
        mica__mapping_release(&c->files[i].mapping);
    }
    mica__free(c->files);
    mica__free(c->tensors);
    mica__map_release(&c->by_name);
    mica__arena_release(&c->names);
    mica__free(c->path);
    mica__free(c);
}

const char *mica__checkpoint_path(const mica__checkpoint *c) { return c->path; }
const char *mica__checkpoint_format(const mica__checkpoint *c) { return c->format; }

void mica__checkpoint_notice(const mica__checkpoint *c, const char *fmt, ...)
{
    if (!c->notices.notice) return;
    char text[500];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    c->notices.notice(c->notices.context, text);
}

/* ---- files and tensors --------------------------------------------------------------------------------------------------- */

mica_status mica__checkpoint_add_file(mica__checkpoint *c, const char *path, mica_error *err)
{
    if (c->n_files == c->cap_files) {
        size_t cap = c->cap_files ? 2 * c->cap_files : 4;
        mica__checkpoint_file *files = mica__realloc(c->files, cap, sizeof *files);
        if (!files) return mica__fail_memory(err, cap * sizeof *files, "the list of files");
        c->files = files;
        c->cap_files = cap;
    }
    mica__checkpoint_file *f = &c->files[c->n_files];
    *f = (mica__checkpoint_file){0};
    MICA_TRY(mica__mapping_open(&f->mapping, path, err));
    c->n_files++;
    return MICA_OK;
}

mica_status mica__checkpoint_add_tensor(mica__checkpoint *c, const mica__tensor_view *v, mica_error *err)
{
    if (c->n_tensors == c->cap_tensors) {
        size_t cap = c->cap_tensors ? 2 * c->cap_tensors : 256;
        mica__tensor_view *tensors = mica__realloc(c->tensors, cap, sizeof *tensors);
        if (!tensors) return mica__fail_memory(err, cap * sizeof *tensors, "the tensor list");
        c->tensors = tensors;
        c->cap_tensors = cap;
    }
    bool existing = false;
    if (!mica__map_add(&c->by_name, v->name, (uint32_t)c->n_tensors, &existing))
        return mica__fail_memory(err, c->n_tensors, "tensor names");
    if (existing) {
        const mica__tensor_view *first = mica__checkpoint_tensor(c, v->name);
        const char *here = c->files[v->file].mapping.path, *there = c->files[first->file].mapping.path;
        return first->file == v->file
                   ? mica__fail(err, MICA_DATA, "tensor '%s' is twice in %s", MICA_QUOTED_STR(v->name), here)
                   : mica__fail(err, MICA_DATA, "tensor '%s' is both in %s and in %s", MICA_QUOTED_STR(v->name), there,
                                here);
    }
    c->tensors[c->n_tensors++] = *v;
    return MICA_OK;
}

size_t mica__checkpoint_n_tensors(const mica__checkpoint *c) { return c->n_tensors; }

const mica__tensor_view *mica__checkpoint_tensor_at(const mica__checkpoint *c, size_t i)
{
    return i < c->n_tensors ? &c->tensors[i] : NULL;
}

const mica__tensor_view *mica__checkpoint_tensor(const mica__checkpoint *c, mica__str name)
{
    uint32_t i;
    return mica__map_get(&c->by_name, name, &i) ? &c->tensors[i] : NULL;
}

size_t mica__checkpoint_tensor_bytes(const mica__checkpoint *c)
{
    size_t sum = 0;
    for (size_t i = 0; i < c->n_tensors; i++) /* a view can be larger than its file: its strides may be 0 */
        if (!mica__add(sum, c->tensors[i].n_bytes, &sum)) return SIZE_MAX;
    return sum;
}

void mica__checkpoint_forget_tensor(const mica__checkpoint *c, const mica__tensor_view *v)
{
    if (!v->n_bytes || v->strides || !v->data) return;
    const mica__mapping *m = &c->files[v->file].mapping;
    mica__mapping_forget(m, (size_t)(v->data - m->data), v->n_bytes);
}

void mica__checkpoint_forget(const mica__checkpoint *c)
{
    for (size_t i = 0; i < c->n_files; i++) mica__mapping_forget(&c->files[i].mapping, 0, c->files[i].mapping.n);
}

bool mica__checkpoint_file_state(const mica__checkpoint *c, size_t i, mica__file_state *out)
{
    if (i >= c->n_files) return false;
    *out = c->files[i].mapping.state;
    return true;
}

mica_status mica__checkpoint_check(const mica__checkpoint *c, mica_error *err)
{
    if (!c) return MICA_OK;
    for (size_t i = 0; i < c->n_files; i++) MICA_TRY(mica__mapping_check(&c->files[i].mapping, err));
    return MICA_OK;
}

/* ---- texts --------------------------------------------------------------------------------------------------------------- */

static mica_status read_from_folder(const mica__checkpoint *c, const char *name, mica__buf *out, mica_error *err)
{
    char *path = mica__path_join(c->path, name);
    if (!path) return mica__fail_memory(err, strlen(name), "a path");
    mica_status status = mica__file_read(out, path, MAX_TEXT, err);
    mica__free(path);
    return status;
}

static mica__checkpoint_text_slot *new_slot(const char *name)
{
    mica__checkpoint_text_slot *slot = mica__calloc(1, sizeof *slot);
    if (!slot) return NULL;
    slot->name = mica__strndup(name, strlen(name));
    if (slot->name) return slot;
    mica__free(slot);
    return NULL;
}

mica_status mica__checkpoint_text(mica__checkpoint *c, const char *name, mica__str *out, mica_error *err)
{
    *out = (mica__str){0};
    mica__checkpoint_text_slot *slot = c->texts;
    while (slot && strcmp(slot->name, name) != 0) slot = slot->next;
    if (!slot) {
        slot = new_slot(name);
        if (!slot) return mica__fail_memory(err, sizeof *slot, name);
        slot->text.max = MAX_TEXT;
        mica_status status = c->n_files && strcmp(c->format, "gguf") == 0
                                 ? mica__gguf_text(&c->files[0].gguf, name, &slot->text, err)
                                 : read_from_folder(c, name, &slot->text, err);
        slot->absent = status == MICA_NOT_FOUND;
        if (status != MICA_OK && !slot->absent) {
            free_text(slot);
            return status;
        }
        slot->next = c->texts;
        c->texts = slot;
    }
    if (slot->absent) return mica__fail(err, MICA_NOT_FOUND, "%s: has no %s", c->path, name);
    *out = slot->text.n ? mica__buf_str(&slot->text) : MICA_STR("");
    return MICA_OK;
}

void mica__checkpoint_forget_text(mica__checkpoint *c, const char *name)
{
    for (mica__checkpoint_text_slot **p = &c->texts; *p; p = &(*p)->next) {
        if (strcmp((*p)->name, name) != 0) continue;
        mica__checkpoint_text_slot *gone = *p;
        *p = gone->next;
        free_text(gone);
        return;
    }
}
