/* base/version.c: which library is running. */
#include <mica/version.h>

const char *mica_version(void) { return MICA_VERSION; }
