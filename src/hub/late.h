/* hub/late.h: libcurl and OpenSSL's libcrypto, loaded when the first request is made or the first byte is hashed.
 *
 * The two bring thirty other libraries with them: 6 MB and 7 ms that a model which is on this machine does not need. Files that include
 * this header call the functions below by their own names; before the first one, mica__late_load has to succeed. */
#ifndef MICA_HUB_LATE_H
#define MICA_HUB_LATE_H

#include <mica/error.h>

#define CURL_DISABLE_TYPECHECK /* its macros take the place of functions */
#include <curl/curl.h>
#include <openssl/evp.h>
#undef curl_easy_setopt

#define MICA__CURL_FUNCTIONS(X)                                                                                        \
    X(curl_easy_cleanup)                                                                                               \
    X(curl_easy_init)                                                                                                  \
    X(curl_easy_perform)                                                                                               \
    X(curl_easy_reset)                                                                                                 \
    X(curl_easy_setopt)                                                                                                \
    X(curl_easy_strerror)                                                                                              \
    X(curl_free)                                                                                                       \
    X(curl_getdate)                                                                                                    \
    X(curl_global_init)                                                                                                \
    X(curl_slist_append)                                                                                               \
    X(curl_slist_free_all)                                                                                             \
    X(curl_url)                                                                                                        \
    X(curl_url_cleanup)                                                                                                \
    X(curl_url_get)                                                                                                    \
    X(curl_url_set)
#define MICA__CRYPTO_FUNCTIONS(X)                                                                                      \
    X(EVP_DigestFinal_ex)                                                                                              \
    X(EVP_DigestInit_ex)                                                                                               \
    X(EVP_DigestUpdate)                                                                                                \
    X(EVP_MD_CTX_free)                                                                                                 \
    X(EVP_MD_CTX_new)                                                                                                  \
    X(EVP_sha1)                                                                                                        \
    X(EVP_sha256)

typedef struct mica__late {
#define MICA__LATE_POINTER(name) __typeof__(name) *name##_;
    MICA__CURL_FUNCTIONS(MICA__LATE_POINTER) MICA__CRYPTO_FUNCTIONS(MICA__LATE_POINTER)
#undef MICA__LATE_POINTER
} mica__late;

extern mica__late mica__late_functions; /* written by mica__late_load only */

/* Loads both, once. UNAVAILABLE if one is not there. Thread-safe. */
mica_status mica__late_load(mica_error *err);

#ifndef MICA__LATE_NAMES
#define curl_easy_cleanup mica__late_functions.curl_easy_cleanup_
#define curl_easy_init mica__late_functions.curl_easy_init_
#define curl_easy_perform mica__late_functions.curl_easy_perform_
#define curl_easy_reset mica__late_functions.curl_easy_reset_
#define curl_easy_setopt mica__late_functions.curl_easy_setopt_
#define curl_easy_strerror mica__late_functions.curl_easy_strerror_
#define curl_free mica__late_functions.curl_free_
#define curl_getdate mica__late_functions.curl_getdate_
#define curl_slist_append mica__late_functions.curl_slist_append_
#define curl_slist_free_all mica__late_functions.curl_slist_free_all_
#define curl_url mica__late_functions.curl_url_
#define curl_url_cleanup mica__late_functions.curl_url_cleanup_
#define curl_url_get mica__late_functions.curl_url_get_
#define curl_url_set mica__late_functions.curl_url_set_
#define EVP_DigestFinal_ex mica__late_functions.EVP_DigestFinal_ex_
#define EVP_DigestInit_ex mica__late_functions.EVP_DigestInit_ex_
#define EVP_DigestUpdate mica__late_functions.EVP_DigestUpdate_
#define EVP_MD_CTX_free mica__late_functions.EVP_MD_CTX_free_
#define EVP_MD_CTX_new mica__late_functions.EVP_MD_CTX_new_
#define EVP_sha1 mica__late_functions.EVP_sha1_
#define EVP_sha256 mica__late_functions.EVP_sha256_
#endif

#endif
