/* text/postprocess.h: the `post_processor` of tokenizer.json: which special tokens go round the ids of one text or two. */
#ifndef MICA_TEXT_POSTPROCESS_H
#define MICA_TEXT_POSTPROCESS_H

#include "text/field.h"
#include <mica/tokenizer.h>

/* One item of a template: the ids of a text, or fixed ids. */
typedef struct mica__template_item {
    enum { MICA__ITEM_A, MICA__ITEM_B, MICA__ITEM_IDS } kind;
    int32_t type_id;
    const int32_t *ids; /* in the arena */
    size_t n_ids;
} mica__template_item;

typedef struct mica__template {
    mica__template_item *items; /* in the arena */
    size_t n;
} mica__template;

typedef struct mica__postprocess {
    bool present; /* a template is given; else texts are joined as they are */
    mica__template single, pair;
    int32_t highest_id; /* of the fixed ids, -1 */
    bool trims;         /* offsets leave out white space at the ends of tokens, */
    bool prefix_space;  /* but not one that was put before the text */
} mica__postprocess;

mica_status mica__postprocess_parse(mica__postprocess *out, mica__arena *arena, const mica__at *at, mica__jval v,
                                    mica_error *err);

/* Appends a (and b, if it is not NULL) in its template to *out; the type of each id to *types, and where it is from (0: a, 1: b, -1: the
 * template) to *sources, which may be NULL. */
mica_status mica__postprocess_run(const mica__postprocess *p, const mica_ids *a, const mica_ids *b, bool add_special,
                                  mica_ids *out, mica_ids *types, mica_ids *sources, mica_error *err);

#endif
