/* text/field.h: reading the fields of a JSON component, with errors that say where in the document.
 *
 *     static mica_status parse_split(const mica__at *at, mica__jval v, ...)
 *     {
 *         bool invert = false;
 *         MICA_TRY(mica__field_bool(at, v, "invert", &invert, err));   // "pre_tokenizer.pretokenizers[1].invert: ..."
 *
 * A mica__at is a place in the document: a linked list on the stack of the functions that walk down. */
#ifndef MICA_TEXT_FIELD_H
#define MICA_TEXT_FIELD_H

#include "base/json.h"

typedef struct mica__at {
    const struct mica__at *up; /* NULL at the top */
    const char *key;           /* member of `up`; NULL: element `index` */
    size_t index;
} mica__at;

/* DATA "path: message". */
mica_status mica__fail_at(mica_error *err, const mica__at *at, const char *fmt, ...) MICA_PRINTF(3, 4);

/* What kind of value v is, for messages: "a string", "nothing", ... */
const char *mica__json_kind(mica__jval v);

/* Optional fields: absent or null leaves *out alone; another type than asked for is an error. */
mica_status mica__field_bool(const mica__at *at, mica__jval object, const char *key, bool *out, mica_error *err);
mica_status mica__field_int(const mica__at *at, mica__jval object, const char *key, int64_t low, int64_t high,
                            int64_t *out, mica_error *err);
mica_status mica__field_string(const mica__at *at, mica__jval object, const char *key, mica__str *out, mica_error *err);
/* Required ones: absent is an error, too. _array and _object also accept an empty one. */
mica_status mica__need_string(const mica__at *at, mica__jval object, const char *key, mica__str *out, mica_error *err);
mica_status mica__need_char(const mica__at *at, mica__jval object, const char *key, uint32_t *out, mica_error *err);
mica_status mica__need_array(const mica__at *at, mica__jval object, const char *key, mica__jval *out, mica_error *err);
mica_status mica__need_object(const mica__at *at, mica__jval object, const char *key, mica__jval *out, mica_error *err);

#endif
