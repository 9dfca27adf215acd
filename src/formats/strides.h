/* formats/strides.h: elements of a tensor that does not lie row-major in its file. */
#ifndef MICA_FORMATS_STRIDES_H
#define MICA_FORMATS_STRIDES_H

#include "checkpoint.h"

/* Copies the elements first .. first + n - 1, counted in row-major order, of a plain view with strides, in their own type. */
void mica__tensor_gather(const mica__tensor_view *v, size_t first, size_t n, void *out);

#endif
