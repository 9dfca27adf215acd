/* hub/hash.c: OpenSSL's digests. */
#include "hash.h"
#include "base/memory.h"
#include "late.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void *mica__hash_create(bool git, uint64_t size)
{
    if (mica__late_load(NULL)) return NULL;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool good = c && EVP_DigestInit_ex(c, git ? EVP_sha1() : EVP_sha256(), NULL) == 1;
    if (good && git) {
        char head[40];
        const int n = snprintf(head, sizeof head, "blob %llu", (unsigned long long)size);
        good = EVP_DigestUpdate(c, head, (size_t)n + 1) == 1;
    }
    if (good) return c;
    EVP_MD_CTX_free(c);
    return NULL;
}

bool mica__hash_add(void *hash, const void *bytes, size_t n) { return EVP_DigestUpdate(hash, bytes, n) == 1; }

void mica__hash_finish(void *hash, char out[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    out[0] = 0;
    if (EVP_DigestFinal_ex(hash, digest, &n) == 1)
        for (unsigned i = 0; i < n && i < 32; i++) snprintf(out + 2 * (size_t)i, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(hash);
}

void mica__hash_free(void *hash)
{
    if (hash) EVP_MD_CTX_free(hash);
}

mica_status mica__hash_file(int fd, uint64_t size, const char *path, char git[65], char sha256[65],
                            bool (*report)(void *context, uint64_t n), void *context, mica_error *err)
{
    enum { BLOCK = 256 * 1024 };
    MICA_TRY(mica__late_load(err));
    mica_status status = MICA_OK;
    char *block = mica__alloc(BLOCK, 1);
    void *a = git ? mica__hash_create(true, size) : NULL, *b = sha256 ? mica__hash_create(false, size) : NULL;
    if (!block || (git && !a) || (sha256 && !b)) status = mica__fail_memory(err, BLOCK, "a hash");
    for (uint64_t at = 0; at < size && status == MICA_OK;) {
        const ssize_t n = pread(fd, block, BLOCK, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            status = mica__fail_errno(err, errno, "read", path);
        else if (n == 0)
            status = mica__fail(err, MICA_IO, "%s: became shorter while it was read", path);
        else if ((a && !mica__hash_add(a, block, (size_t)n)) || (b && !mica__hash_add(b, block, (size_t)n)))
            status = mica__fail(err, MICA_INTERNAL, "%s: cannot be hashed", path);
        else if (report && !report(context, (uint64_t)n))
            status = mica__fail(err, MICA_CANCELLED, "cancelled");
        else
            at += (uint64_t)n;
    }
    if (status == MICA_OK) {
        if (a) mica__hash_finish(a, git);
        if (b) mica__hash_finish(b, sha256);
    } else {
        mica__hash_free(a);
        mica__hash_free(b);
    }
    mica__free(block);
    return status;
}
