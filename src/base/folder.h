/* base/folder.h: a folder that gets its name only when it is complete.
 *
 *     mica__new_folder f;
 *     MICA_TRY(mica__new_folder_open(&f, "models/llama-4bit", false, err));
 *     ... write files into f.work ...
 *     status = mica__new_folder_commit(&f, belongs, err);
 *     mica__new_folder_release(&f);                     // without a commit: nothing is left behind
 *
 * The work folder is ".NAME.mica-partial" in the same parent and is locked while it is in use. A process that was killed leaves one
 * without a lock, which the next one to make NAME uses: it empties it, or asks for files to stay and goes on with them. Another process that
 * makes NAME at the same time gets BUSY. */
#ifndef MICA_BASE_FOLDER_H
#define MICA_BASE_FOLDER_H

#include "file.h"

typedef struct mica__new_folder {
    char *path; /* what it will be called, without trailing slashes */
    char *work; /* what it is called until then; NULL after the commit */
    int lock;   /* descriptor of the work folder; -1: none */
    bool replace;
} mica__new_folder;

/* True for a file that is wanted. */
typedef bool mica__file_chooser(mica__str name);

/* Missing folders above `path` are made. An empty folder of that name is fine; one with content only if `replace` is true (CANNOT_CREATE), and
 * then it may hold no folders but those that replacing it knows ("additional_chat_templates"). INVALID: no name for a folder. Of what a killed process
 * of this user left in the work folder the files for which stays(name) is true are there; NULL: none. */
mica_status mica__new_folder_open(mica__new_folder *out, const char *path, bool replace, mica__file_chooser *stays,
                                  mica_error *err);
/* Removes everything from the work folder. */
mica_status mica__new_folder_empty(mica__new_folder *f, mica_error *err);
/* Everything in the work folder is made durable and the folder gets its name at one stroke. If it takes the place of another one, that one's
 * files for which belongs(name) is false stay; the others are removed. */
mica_status mica__new_folder_commit(mica__new_folder *f, mica__file_chooser *belongs, mica_error *err);
/* Removes the work folder if it was not committed. {.lock = -1} allowed. */
void mica__new_folder_release(mica__new_folder *f);
/* The same, but the work folder stays as if the process had been killed. */
void mica__new_folder_leave(mica__new_folder *f);

/* Bytes that may still be written where `path` is; UINT64_MAX if nobody knows. */
uint64_t mica__free_space(const char *path);

#endif
