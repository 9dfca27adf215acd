/* text/jinja_filters.h: string work that methods and filters share. */
#ifndef MICA_TEXT_JINJA_FILTERS_H
#define MICA_TEXT_JINJA_FILTERS_H

#include "jinja_eval.h"

mica__jv mica__jstr_lower(mica__jin *j, mica__jv s);
mica__jv mica__jstr_upper(mica__jin *j, mica__jv s);
mica__jv mica__jstr_capitalize(mica__jin *j, mica__jv s);
bool mica__jstr_is_lower(mica__str s);
bool mica__jstr_is_upper(mica__str s);
mica__jv mica__jstr_strip(mica__jin *j, mica__jv self, mica__jv chars, int sides);
mica__jv mica__jstr_replace(mica__jin *j, mica__jv self, mica__str old, mica__str with, int64_t count);
mica__jv mica__jstr_pad(mica__jin *j, mica__jv self, int64_t width, uint32_t fill, int side);
bool mica__jstr_lines(mica__jin *j, mica__jv self, bool keep_ends, mica__jitems *list);
const mica__jbuiltin *mica__jstr_method(mica__jv self, mica__str name);

mica__jv mica__jstr_wrap(mica__jin *j, mica__jv text, int64_t width, bool break_long, bool on_hyphens,
                         mica__str separator);

/* HTML (jinja_html.c) */
mica__jv mica__jstr_unescape(mica__jin *j, mica__jv self);
mica__jv mica__jstr_striptags(mica__jin *j, mica__jv self);
mica__jv mica__jstr_urlize(mica__jin *j, mica__jv text, mica__jv limit, mica__str rel, mica__jv target,
                           mica__jv schemes);

#endif
