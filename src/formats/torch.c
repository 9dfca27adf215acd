/* formats/torch.c: what torch.save writes: where in the file the pickle and the storages are.
 *
 * The data of a storage is found by its key and must have exactly the size that the pickle gives it. Then torch_tensor.c makes views. */
#include "torch_private.h"

#include "safetensors.h"
#include "zip.h"

static const char ADVICE[] = "load it in PyTorch and save its state_dict with safetensors";

static mica_status parse_pickle(mica__pickle *out, const uint8_t *bytes, size_t n, mica_error *err)
{
    return mica__pickle_parse(out, bytes, n, mica__torch_globals, mica__torch_n_globals, err);
}

/* ---- zip form ------------------------------------------------------------------------------------------------------------ */

enum { MAX_RECORD = 300 };

/* The record NAME/what, NAME being what all entries have in front. */
static const mica__zip_entry *find_record(const mica__zip *z, mica__str folder, const char *what, mica__str key)
{
    char name[MAX_RECORD];
    size_t n_what = strlen(what);
    if (folder.n + 1 + n_what + key.n > sizeof name) return NULL;
    memcpy(name, folder.p, folder.n);
    name[folder.n] = '/';
    memcpy(name + folder.n + 1, what, n_what);
    if (key.n) memcpy(name + folder.n + 1 + n_what, key.p, key.n);
    return mica__zip_find(z, (mica__str){name, folder.n + 1 + n_what + key.n});
}

/* The one folder that all entries are in. DATA if there are two, UNSUPPORTED for what TorchScript adds. */
static mica_status check_entries(const mica__zip *z, mica__str *folder, mica_error *err)
{
    if (!z->n_entries) return mica__fail(err, MICA_DATA, "an empty zip archive");
    mica__str first = z->entries[0].name;
    const char *slash = memchr(first.p, '/', first.n);
    *folder = (mica__str){first.p, slash ? (size_t)(slash - first.p) : 0};
    if (!slash) return mica__fail(err, MICA_DATA, "a zip archive, but not one of torch.save");
    for (size_t i = 0; i < z->n_entries; i++) {
        mica__str name = z->entries[i].name;
        if (name.n <= folder->n || memcmp(name.p, folder->p, folder->n) != 0 || name.p[folder->n] != '/')
            return mica__fail(err, MICA_DATA, "zip archive: entry '%s' is not in the folder of the others, '%s'",
                              MICA_QUOTED_STR(name), MICA_QUOTED_STR(*folder));
        mica__str rest = {name.p + folder->n + 1, name.n - folder->n - 1};
        if (mica__str_ends(rest, "/data.pkl"))
            return mica__fail(err, MICA_DATA, "zip archive: '%s' is a second data.pkl", MICA_QUOTED_STR(name));
        if (mica__str_is(rest, "constants.pkl") || mica__str_starts(rest, "code/"))
            return mica__fail(err, MICA_UNSUPPORTED, "is a TorchScript archive, a program; %s", ADVICE);
    }
    return MICA_OK;
}

static mica_status check_byte_order(const mica__zip *z, mica__str folder, mica_error *err)
{
    const mica__zip_entry *e = find_record(z, folder, "byteorder", (mica__str){0});
    if (!e) return MICA_OK; /* before 2.1 always little-endian */
    MICA_TRY(mica__zip_check(z, e, err));
    mica__str order = {(const char *)e->data, e->n_bytes};
    if (mica__str_is(order, "little")) return MICA_OK;
    return mica__fail(err, MICA_UNSUPPORTED, "has byte order '%s', only little is supported; %s",
                      MICA_QUOTED_STR(order), ADVICE);
}

static mica_status find_storages_in_zip(mica__torch_storages *storages, const mica__zip *z, mica__str folder,
                                        mica_error *err)
{
    for (size_t i = 0; i < storages->n; i++) {
        mica__torch_storage *s = &storages->items[i];
        const mica__zip_entry *e = find_record(z, folder, "data/", s->key);
        if (!e) return mica__fail(err, MICA_DATA, "zip archive: storage '%s' has no record", MICA_QUOTED_STR(s->key));
        if (e->n_bytes != s->n_bytes)
            return mica__fail(err, MICA_DATA, "storage '%s' needs %zu bytes, its record in the zip archive has %zu",
                              MICA_QUOTED_STR(s->key), s->n_bytes, e->n_bytes);
        MICA_TRY(mica__zip_check(z, e, err));
        s->data = e->data;
    }
    return MICA_OK;
}

static mica_status parse_records(mica__torch *out, const mica__zip *z, mica_error *err)
{
    mica__str folder;
    MICA_TRY(check_entries(z, &folder, err));
    const mica__zip_entry *e = find_record(z, folder, "data.pkl", (mica__str){0});
    if (!e) return mica__fail(err, MICA_DATA, "zip archive: has no %s/data.pkl", MICA_QUOTED_STR(folder));
    MICA_TRY(check_byte_order(z, folder, err));
    MICA_TRY(mica__zip_check(z, e, err));
    mica__pickle p;
    MICA_TRY(parse_pickle(&p, e->data, e->n_bytes, err));
    mica__torch_storages storages = {0};
    mica_status status = MICA_OK;
    if (p.n_bytes != e->n_bytes)
        status = mica__fail(err, MICA_DATA, "pickle: %zu bytes follow its end", e->n_bytes - p.n_bytes);
    if (status == MICA_OK) status = mica__torch_storages_list(&storages, &p, err);
    if (status == MICA_OK) status = find_storages_in_zip(&storages, z, folder, err);
    if (status == MICA_OK) status = mica__torch_read_tensors(out, &p.root, &storages, err);
    mica__torch_storages_release(&storages);
    mica__pickle_release(&p);
    return status;
}

static mica_status parse_zip(mica__torch *out, const uint8_t *bytes, size_t n, mica_error *err)
{
    mica__zip z;
    MICA_TRY(mica__zip_parse(&z, bytes, n, err));
    mica_status status = parse_records(out, &z, err);
    mica__zip_release(&z);
    return status;
}

/* ---- plain form ---------------------------------------------------------------------------------------------------------- */

enum { PLAIN_VERSION = 1001 };

static bool is_magic(const mica__pickle_value *v)
{
    static const uint8_t magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    return v->type == MICA__PICKLE_LONG && v->n == sizeof magic && memcmp(v->u.bytes, magic, sizeof magic) == 0;
}

/* The pickle at offset *at, which is moved behind it. */
static mica_status next_pickle(mica__pickle *out, const uint8_t *bytes, size_t n, size_t *at, mica_error *err)
{
    mica_status status = parse_pickle(out, bytes + *at, n - *at, err);
    if (status != MICA_OK) return *at ? mica__fail_prefix(err, status, "at byte %zu", *at) : status;
    *at += out->n_bytes;
    return MICA_OK;
}

static mica_status read_plain_header(const uint8_t *bytes, size_t n, size_t *at, mica_error *err)
{
    mica__pickle p;
    MICA_TRY(next_pickle(&p, bytes, n, at, err));
    bool known = is_magic(&p.root);
    mica__pickle_release(&p);
    if (!known) return mica__fail(err, MICA_DATA, "is a pickle, but not one of torch.save");
    MICA_TRY(next_pickle(&p, bytes, n, at, err));
    known = p.root.type == MICA__PICKLE_INT && p.root.u.integer == PLAIN_VERSION;
    mica__pickle_release(&p);
    if (!known) return mica__fail(err, MICA_UNSUPPORTED, "plain form of another version than %d", PLAIN_VERSION);
    MICA_TRY(next_pickle(&p, bytes, n, at, err));
    const mica__pickle_value *little = mica__pickle_get(&p.root, MICA_STR("little_endian"));
    known = little && little->type == MICA__PICKLE_BOOL;
    bool is_big = known && !little->u.integer;
    mica__pickle_release(&p);
    if (!known) return mica__fail(err, MICA_DATA, "does not say its byte order");
    return is_big ? mica__fail(err, MICA_UNSUPPORTED, "has big-endian data; %s", ADVICE) : MICA_OK;
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

/* The storages lie from byte `at` on in the order of the keys, and nothing is behind them. */
static mica_status find_storages_in_plain(mica__torch_storages *storages, const mica__pickle_value *keys,
                                          const uint8_t *bytes, size_t n, size_t at, mica_error *err)
{
    if (keys->type != MICA__PICKLE_LIST) return mica__fail(err, MICA_DATA, "has no list of storages");
    for (uint32_t i = 0; i < keys->u.object->n_items; i++) {
        const mica__pickle_value *key = &keys->u.object->items[i];
        mica__torch_storage *s =
            key->type == MICA__PICKLE_TEXT ? mica__torch_storages_find(storages, mica__pickle_str(key)) : NULL;
        if (!s || s->data) return mica__fail(err, MICA_DATA, "storage %u of the list is unknown or there twice", i);
        const char *name = MICA_QUOTED_STR(s->key);
        if (n - at < 8 || n - at - 8 < s->n_bytes)
            return mica__fail(err, MICA_DATA, "storage '%s' needs %zu bytes, but only %zu follow, download incomplete?",
                              name, s->n_bytes, n - at);
        uint64_t n_elements = load64(bytes + at);
        if (n_elements != s->n_elements)
            return mica__fail(err, MICA_DATA, "storage '%s' has %zu elements, its data says %llu", name, s->n_elements,
                              (unsigned long long)n_elements);
        s->data = bytes + at + 8;
        at += 8 + s->n_bytes;
    }
    if (keys->u.object->n_items != storages->n)
        return mica__fail(err, MICA_DATA, "lists %u of %zu storages", keys->u.object->n_items, storages->n);
    return at == n ? MICA_OK : mica__fail(err, MICA_DATA, "%zu bytes follow the last storage", n - at);
}

static mica_status parse_plain(mica__torch *out, const uint8_t *bytes, size_t n, mica_error *err)
{
    size_t at = 0;
    MICA_TRY(read_plain_header(bytes, n, &at, err));
    mica__pickle p, keys = {0};
    mica__torch_storages storages = {0};
    MICA_TRY(next_pickle(&p, bytes, n, &at, err));
    mica_status status = next_pickle(&keys, bytes, n, &at, err);
    if (status == MICA_OK) status = mica__torch_storages_list(&storages, &p, err);
    if (status == MICA_OK) status = find_storages_in_plain(&storages, &keys.root, bytes, n, at, err);
    if (status == MICA_OK) status = mica__torch_read_tensors(out, &p.root, &storages, err);
    mica__torch_storages_release(&storages);
    mica__pickle_release(&keys);
    mica__pickle_release(&p);
    return status;
}

/* ---- which form ---------------------------------------------------------------------------------------------------------- */

static mica_status parse(mica__torch *out, const uint8_t *bytes, size_t n, mica_error *err)
{
    enum { TAR_MAGIC_AT = 257 };
    mica__str all = {(const char *)bytes, n};
    if (mica__str_starts(all, "PK")) return parse_zip(out, bytes, n, err);
    if (n > TAR_MAGIC_AT + 5 && memcmp(bytes + TAR_MAGIC_AT, "ustar", 5) == 0)
        return mica__fail(err, MICA_UNSUPPORTED, "is a tar archive, as PyTorch wrote until 2016; %s", ADVICE);
    const char *kind = mica__file_kind(bytes, n);
    if (kind) return mica__fail(err, MICA_DATA, "is not a PyTorch checkpoint but looks like %s", kind);
    if (n == 0 || bytes[0] != 0x80) return mica__fail(err, MICA_DATA, "is not a PyTorch checkpoint");
    return parse_plain(out, bytes, n, err);
}

mica_status mica__torch_parse(mica__torch *out, const uint8_t *bytes, size_t n, const char *path, mica_error *err)
{
    *out = (mica__torch){0};
    mica_status status = parse(out, bytes, n, err);
    if (status == MICA_OK) return MICA_OK;
    mica__torch_release(out);
    return mica__fail_prefix(err, status, "%s", path);
}

void mica__torch_release(mica__torch *t)
{
    mica__free(t->tensors);
    mica__arena_release(&t->arena);
    *t = (mica__torch){0};
}
