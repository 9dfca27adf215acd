/* text/form_changes.h: which character of a normal form comes from which of the text. */
#ifndef MICA_TEXT_FORM_CHANGES_H
#define MICA_TEXT_FORM_CHANGES_H

#include "text/unicode.h"
#include "text/work.h"

/* Notes how mica__to_form makes its characters of those of s. Linear but for long runs of combining marks. */
void mica__form_changes(mica__str s, mica__form form, mica__changes *changes);

#endif
