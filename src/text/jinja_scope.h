/* text/jinja_scope.h: gives every name of a parsed template its slot. */
#ifndef MICA_TEXT_JINJA_SCOPE_H
#define MICA_TEXT_JINJA_SCOPE_H

#include "jinja_ast.h"

/* DATA for what the language forbids (assigning to `loop`, unknown filters outside of conditions), LIMIT, MEMORY. */
mica_status mica__jscope_resolve(mica__jinja *t, mica_error *err);

#endif
