/* hub/late.c: loading libcurl and libcrypto, of the versions whose headers this was compiled with. */
#define MICA__LATE_NAMES /* the functions' own names, to find them */
#include "late.h"
#include "base/error.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#if defined(__APPLE__)
#define CURL_FILE "libcurl.4.dylib"
#define CRYPTO_FILE "libcrypto." TEXT(OPENSSL_VERSION_MAJOR) ".dylib"
#else
#define CURL_FILE "libcurl.so.4"
#define CRYPTO_FILE "libcrypto.so." TEXT(OPENSSL_VERSION_MAJOR)
#endif

mica__late mica__late_functions;
static const char *missing; /* the library or function that is not there */

/* dlsym gives a data pointer; its bits are copied, since C has no conversion to a function pointer. */
static void find(void *library, const char *name, void *function)
{
    void *at = library ? dlsym(library, name) : NULL;
    if (!at && !missing) missing = name;
    memcpy(function, &at, sizeof at);
}

static void load(void)
{
    mica__late *f = &mica__late_functions;
    /* Never closed: libcurl leaves threads and handlers of its own behind. */
    void *curl = dlopen(CURL_FILE, RTLD_NOW | RTLD_LOCAL), *crypto = dlopen(CRYPTO_FILE, RTLD_NOW | RTLD_LOCAL);
    if (!curl) missing = CURL_FILE;
    if (!crypto && !missing) missing = CRYPTO_FILE;
#define FIND_CURL(name) find(curl, #name, &f->name##_);
#define FIND_CRYPTO(name) find(crypto, #name, &f->name##_);
    MICA__CURL_FUNCTIONS(FIND_CURL)
    MICA__CRYPTO_FUNCTIONS(FIND_CRYPTO)
    if (!missing) f->curl_global_init_(CURL_GLOBAL_DEFAULT);
}

mica_status mica__late_load(mica_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    if (!missing) return MICA_OK;
    return mica__fail(err, MICA_UNAVAILABLE,
                      "%s is not on this machine: it is needed to reach the Hub (Debian: apt install libcurl4 libssl3)",
                      missing);
}
