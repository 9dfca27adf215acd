/* fuzz/fuzz_hub_listing.c: any bytes as a listing of the Hub, as one of the cache, as what says the commit, and as an index of shards.
 * Names that get through are safe; what the cache's form is written as reads back the same. */
#include "base/memory.h"
#include "hub/listing.h"
#include "hub/names.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(const mica__listing *l)
{
    for (size_t i = 0; i < l->n; i++) {
        const mica__hub_file *f = &l->files[i];
        if (!mica__hub_path_is_safe(mica__str_from(f->path)) || strncmp(f->path, "../", 3) == 0 ||
            strstr(f->path, "/../"))
            abort();
        if (!mica__hub_is_hash(mica__str_from(f->hash)) || strlen(f->git_hash) != 40) abort();
        if (mica__listing_find(l, f->path) != f) abort();
    }
}

static void write_and_read(const mica__listing *l)
{
    mica__buf text = {0};
    mica__listing again = {0};
    mica_error err;
    mica__listing_write(l, &text);
    if (text.failed || mica__listing_read(&again, text.p, text.n, &err) != MICA_OK || again.n != l->n) abort();
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(again.files[i].path, l->files[i].path) != 0 || strcmp(again.files[i].hash, l->files[i].hash) != 0 ||
            again.files[i].size != l->files[i].size)
            abort();
    mica__listing_release(&again);
    mica__buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n == 0) return 0;
    const char *text = (const char *)bytes + 1;
    mica_error err;
    mica__listing l = {0};
    mica__arena arena = {0};
    const char **names;
    size_t n_names;
    char commit[41];
    n--;
    switch (bytes[0] & 3) {
    case 0:
        if (mica__listing_add_page(&l, text, n, &err) == MICA_OK && mica__listing_finish(&l, &err) == MICA_OK) {
            check(&l);
            write_and_read(&l);
        }
        break;
    case 1:
        if (mica__listing_read(&l, text, n, &err) == MICA_OK) {
            check(&l);
            write_and_read(&l);
        }
        break;
    case 2:
        if (mica__listing_commit(commit, text, n, &err) == MICA_OK && !mica__hub_is_commit(mica__str_from(commit)))
            abort();
        break;
    default:
        if (mica__listing_shards(&arena, &names, &n_names, text, n, &err) == MICA_OK)
            for (size_t i = 0; i < n_names; i++)
                if (!mica__hub_path_is_safe(mica__str_from(names[i]))) abort();
    }
    mica__listing_release(&l);
    mica__arena_release(&arena);
    return 0;
}
