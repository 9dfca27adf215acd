/* mica/version.h: the library's version, as macros and at run time. */
#ifndef MICA_VERSION_H
#define MICA_VERSION_H

#include "error.h"

#define MICA_VERSION_MAJOR 0
#define MICA_VERSION_MINOR 1
#define MICA_VERSION_PATCH 0
#define MICA_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif
MICA_API const char *mica_version(void); /* of the library that is running */
#ifdef __cplusplus
}
#endif
#endif
