/* formats/zip.c: reading the directory of a zip archive.
 *
 *     [ local header | name | extra | data | descriptor ]...  [ central directory ]  [ zip64 end, locator ]  [ end ]
 *
 * The end record says where the directory is, the directory where the entries are, and each entry's local header repeats what the
 * directory says. All of it must agree and lie without gaps: an archive that another reader could understand differently is not read.
 * Lengths are compared with the file before anything is allocated. */
#include "zip.h"

#include <stdlib.h>

enum {
    LOCAL_BYTES = 30,
    CENTRAL_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    MAX_ENTRIES = 100000,
    MAX_NAME = 1024,
    NEWEST_VERSION = 45, /* needed to extract: zip64 */
    FLAG_DESCRIPTOR = 8, /* sizes and checksum follow the data */
    FLAG_UTF8 = 0x800,
    EXTRA_ZIP64 = 1,
};
static const uint32_t SATURATED = 0xffffffff;

static uint32_t load(const uint8_t *p, int n)
{
    uint32_t v = 0;
    for (int i = n - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}
static uint32_t load16(const uint8_t *p) { return load(p, 2); }
static uint32_t load32(const uint8_t *p) { return load(p, 4); }
static uint64_t load64(const uint8_t *p) { return load32(p) | (uint64_t)load32(p + 4) << 32; }

static bool has_signature(const uint8_t *p, const char *two)
{
    return memcmp(p, "PK", 2) == 0 && !memcmp(p + 2, two, 2);
}

/* ---- the end ------------------------------------------------------------------------------------------------------------- */

typedef struct directory {
    uint64_t n_entries, start, n_bytes;
} directory;

/* A field of the end record holds either the number of the zip64 record or all ones. */
static bool agrees(uint64_t field, uint64_t saturated, uint64_t wide) { return field == wide || field == saturated; }

/* end64 .. end .. is the tail of the file; NULL if there is no zip64 record. */
static mica_status read_end64(directory *d, const uint8_t *end64, const uint8_t *end, mica_error *err)
{
    const uint8_t *locator = end64 + END64_BYTES;
    if (!has_signature(end64, "\6\6") || load64(end64 + 4) != END64_BYTES - 12 || load32(locator + 4) != 0 ||
        load32(locator + 16) != 1 || load32(end64 + 16) != 0 || load32(end64 + 20) != 0 ||
        load64(end64 + 24) != load64(end64 + 32))
        return mica__fail(err, MICA_DATA, "zip archive: damaged zip64 end record");
    directory wide = {load64(end64 + 32), load64(end64 + 48), load64(end64 + 40)};
    if (!agrees(load16(end + 8), 0xffff, wide.n_entries) || !agrees(load16(end + 10), 0xffff, wide.n_entries) ||
        !agrees(load32(end + 12), SATURATED, wide.n_bytes) || !agrees(load32(end + 16), SATURATED, wide.start))
        return mica__fail(err, MICA_DATA, "zip archive: the two end records differ");
    *d = wide;
    return MICA_OK;
}

/* The end record must be the last thing in the file: with a comment, there could be a second one inside it. */
static mica_status find_directory(directory *d, const uint8_t *bytes, size_t n, mica_error *err)
{
    const uint8_t *end = n < END_BYTES ? NULL : bytes + (n - END_BYTES);
    if (!end || !has_signature(end, "\5\6") || load16(end + 20) != 0)
        return mica__fail(err, MICA_DATA, "zip archive: does not end with an end record, download incomplete?");
    if (load16(end + 4) != 0 || load16(end + 6) != 0)
        return mica__fail(err, MICA_UNSUPPORTED, "zip archive: is one part of several");
    size_t directory_end = n - END_BYTES;
    const size_t tail64 = END64_BYTES + LOCATOR_BYTES;
    if (directory_end >= tail64 && has_signature(end - LOCATOR_BYTES, "\6\7")) {
        directory_end -= tail64;
        MICA_TRY(read_end64(d, bytes + directory_end, end, err));
        if (load64(end - LOCATOR_BYTES + 8) != directory_end)
            return mica__fail(err, MICA_DATA, "zip archive: damaged zip64 end record");
    } else {
        if (load16(end + 8) != load16(end + 10)) return mica__fail(err, MICA_DATA, "zip archive: damaged end record");
        *d = (directory){load16(end + 10), load32(end + 16), load32(end + 12)};
    }
    if (d->n_bytes > directory_end || d->start != directory_end - d->n_bytes)
        return mica__fail(err, MICA_DATA, "zip archive: its directory of %llu bytes does not end at byte %zu",
                          (unsigned long long)d->n_bytes, directory_end);
    if (d->n_entries > MAX_ENTRIES)
        return mica__fail(err, MICA_LIMIT, "zip archive: has %llu entries, limit is %d",
                          (unsigned long long)d->n_entries, MAX_ENTRIES);
    if (d->n_entries > d->n_bytes / CENTRAL_BYTES)
        return mica__fail(err, MICA_DATA, "zip archive: %llu entries do not fit a directory of %llu bytes",
                          (unsigned long long)d->n_entries, (unsigned long long)d->n_bytes);
    return MICA_OK;
}

/* ---- entries ------------------------------------------------------------------------------------------------------------- */

/* What both headers of an entry say. */
typedef struct header {
    uint32_t version, flags, method, crc;
    uint64_t n_packed, n_bytes, header_at;
    mica__str name;
    bool has_zip64;
} header;

/* Names become record names, never paths; still, one that could be a path out of a folder is no PyTorch record. */
static bool is_safe_name(mica__str name)
{
    if (name.n == 0 || name.n > MAX_NAME || !mica__utf8_valid(name.p, name.n)) return false;
    size_t start = 0;
    for (size_t i = 0; i <= name.n; i++) {
        unsigned char ch = i < name.n ? (unsigned char)name.p[i] : '/';
        if (ch < 0x20 || ch == 0x7f || ch == '\\') return false;
        if (ch != '/') continue;
        mica__str part = {name.p + start, i - start};
        if (part.n == 0 || mica__str_is(part, ".") || mica__str_is(part, "..")) return false;
        start = i + 1;
    }
    return true;
}

/* The zip64 extra field holds, in this order, only those numbers that are saturated in the header. */
static bool read_extra(header *h, const uint8_t *p, size_t n)
{
    while (n >= 4) {
        uint32_t id = load16(p);
        size_t size = load16(p + 2);
        p += 4;
        n -= 4;
        if (size > n) return false;
        if (id == EXTRA_ZIP64) {
            if (h->has_zip64) return false;
            h->has_zip64 = true;
            uint64_t *fields[] = {&h->n_bytes, &h->n_packed, &h->header_at};
            size_t used = 0;
            for (int i = 0; i < 3; i++) {
                if (*fields[i] != SATURATED) continue;
                if (used + 8 > size) return false;
                *fields[i] = load64(p + used);
                used += 8;
            }
        }
        p += size;
        n -= size;
    }
    return n == 0;
}

static mica_status check_kind(const header *h, mica_error *err)
{
    const char *name = MICA_QUOTED_STR(h->name);
    if (!is_safe_name(h->name)) return mica__fail(err, MICA_DATA, "zip archive: unsafe entry name '%s'", name);
    if (h->flags & 1) return mica__fail(err, MICA_UNSUPPORTED, "zip archive: entry '%s' is encrypted", name);
    if (h->flags & ~(uint32_t)(FLAG_DESCRIPTOR | FLAG_UTF8))
        return mica__fail(err, MICA_UNSUPPORTED, "zip archive: entry '%s' has flags 0x%x", name, h->flags);
    if (h->method != 0)
        return mica__fail(err, MICA_UNSUPPORTED, "zip archive: entry '%s' is compressed (method %u)", name, h->method);
    if (h->version > NEWEST_VERSION)
        return mica__fail(err, MICA_UNSUPPORTED, "zip archive: entry '%s' needs version %u", name, h->version);
    if (h->n_packed != h->n_bytes)
        return mica__fail(err, MICA_DATA, "zip archive: entry '%s' is stored, but with two sizes, %llu and %llu", name,
                          (unsigned long long)h->n_packed, (unsigned long long)h->n_bytes);
    return MICA_OK;
}

/* One entry of the directory at p[0..n); *used is its length. */
static mica_status read_central(header *h, const uint8_t *p, size_t n, size_t *used, mica_error *err)
{
    if (n < CENTRAL_BYTES || !has_signature(p, "\1\2"))
        return mica__fail(err, MICA_DATA, "zip archive: damaged directory");
    size_t n_name = load16(p + 28), n_extra = load16(p + 30), n_comment = load16(p + 32);
    *used = CENTRAL_BYTES + n_name + n_extra + n_comment;
    if (*used > n) return mica__fail(err, MICA_DATA, "zip archive: damaged directory");
    *h = (header){load16(p + 6),  load16(p + 8),  load16(p + 10), load32(p + 16),
                  load32(p + 20), load32(p + 24), load32(p + 42), {(const char *)p + CENTRAL_BYTES, n_name},
                  false};
    const char *name = MICA_QUOTED_STR(h->name);
    if (!read_extra(h, p + CENTRAL_BYTES + n_name, n_extra))
        return mica__fail(err, MICA_DATA, "zip archive: entry '%s' has a damaged extra field", name);
    if (n_comment || load16(p + 34) != 0)
        return mica__fail(err, MICA_UNSUPPORTED, "zip archive: entry '%s' has a comment or lies in another part", name);
    if ((load32(p + 38) >> 28) == 0xa) /* the mode of Unix in the upper half */
        return mica__fail(err, MICA_DATA, "zip archive: entry '%s' is a symbolic link", name);
    return check_kind(h, err);
}

/* What follows the data: the signature, the checksum and both sizes, as 4 or as 8 bytes. */
static bool descriptor_agrees(const uint8_t *p, size_t n, const mica__zip_entry *e)
{
    if (n != 16 && n != 24) return false;
    if (!has_signature(p, "\7\10") || load32(p + 4) != e->crc) return false;
    if (n == 16) return load32(p + 8) == e->n_bytes && load32(p + 12) == e->n_bytes;
    return load64(p + 8) == e->n_bytes && load64(p + 16) == e->n_bytes;
}

/* Compares the local header with what the directory says and finds the data. The entry ends where the next one begins. */
static mica_status read_local(mica__zip_entry *e, const uint8_t *bytes, uint64_t next, uint32_t flags, mica_error *err)
{
    const char *name = MICA_QUOTED_STR(e->name);
    if (next < e->header_at || next - e->header_at < LOCAL_BYTES)
        return mica__fail(err, MICA_DATA, "zip archive: entry '%s' overlaps another", name);
    const uint8_t *p = bytes + e->header_at;
    size_t room = (size_t)(next - e->header_at) - LOCAL_BYTES;
    if (!has_signature(p, "\3\4")) return mica__fail(err, MICA_DATA, "zip archive: entry '%s' has no header", name);
    header h = {load16(p + 4),
                load16(p + 6),
                load16(p + 8),
                load32(p + 14),
                load32(p + 18),
                load32(p + 22),
                0,
                {(const char *)p + LOCAL_BYTES, load16(p + 26)},
                false};
    size_t n_extra = load16(p + 28);
    if (h.name.n + n_extra > room || !read_extra(&h, p + LOCAL_BYTES + h.name.n, n_extra))
        return mica__fail(err, MICA_DATA, "zip archive: entry '%s' has a damaged header", name);
    room -= h.name.n + n_extra;
    bool described = flags & FLAG_DESCRIPTOR;
    bool deferred = described && h.crc == 0 && h.n_packed == 0 && h.n_bytes == 0;
    if (!mica__str_eq(h.name, e->name) || h.flags != flags || h.method != 0 || h.version > NEWEST_VERSION ||
        (!deferred && (h.crc != e->crc || h.n_packed != e->n_bytes || h.n_bytes != e->n_bytes)))
        return mica__fail(err, MICA_DATA, "zip archive: entry '%s' differs between its header and the directory", name);
    if (e->n_bytes > room) return mica__fail(err, MICA_DATA, "zip archive: entry '%s' overlaps another", name);
    e->data = p + LOCAL_BYTES + h.name.n + n_extra;
    room -= e->n_bytes;
    if (described ? !descriptor_agrees(e->data + e->n_bytes, room, e) : room != 0)
        return mica__fail(err, MICA_DATA,
                          "zip archive: entry '%s': its %zu bytes are followed by %zu that do not belong to it", name,
                          e->n_bytes, room);
    return MICA_OK;
}

/* ---- all together -------------------------------------------------------------------------------------------------------- */

/* Where an entry begins, to visit them in the order of the file. */
typedef struct place {
    uint64_t at;
    uint32_t entry, flags;
} place;

static int by_place(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return x->entry < y->entry ? -1 : x->entry > y->entry;
}

static mica_status read_directory(mica__zip *out, place *places, const uint8_t *p, const directory *d, mica_error *err)
{
    size_t left = (size_t)d->n_bytes;
    out->no_checksums = true;
    for (; out->n_entries < d->n_entries; out->n_entries++) {
        header h;
        size_t used;
        MICA_TRY(read_central(&h, p, left, &used, err));
        p += used;
        left -= used;
        bool existing = false;
        if (!mica__map_add(&out->by_name, h.name, (uint32_t)out->n_entries, &existing))
            return mica__fail_memory(err, out->n_entries, "entry names");
        if (existing)
            return mica__fail(err, MICA_DATA, "zip archive: entry '%s' is there twice", MICA_QUOTED_STR(h.name));
        out->entries[out->n_entries] =
            (mica__zip_entry){.name = h.name, .n_bytes = (size_t)h.n_bytes, .crc = h.crc, .header_at = h.header_at};
        places[out->n_entries] = (place){h.header_at, (uint32_t)out->n_entries, h.flags};
        if (h.crc) out->no_checksums = false;
    }
    if (left) return mica__fail(err, MICA_DATA, "zip archive: %zu bytes follow the last entry of the directory", left);
    return MICA_OK;
}

static mica_status read_entries(mica__zip *out, place *places, const uint8_t *bytes, const directory *d,
                                mica_error *err)
{
    MICA_TRY(read_directory(out, places, bytes + d->start, d, err));
    qsort(places, out->n_entries, sizeof *places, by_place);
    if ((out->n_entries ? places[0].at : d->start) != 0)
        return mica__fail(err, MICA_DATA, "zip archive: the first entry is not at the start of the file");
    for (size_t i = 0; i < out->n_entries; i++) {
        uint64_t next = i + 1 < out->n_entries ? places[i + 1].at : d->start;
        if (next > d->start) next = d->start;
        MICA_TRY(read_local(&out->entries[places[i].entry], bytes, next, places[i].flags, err));
    }
    return MICA_OK;
}

mica_status mica__zip_parse(mica__zip *out, const uint8_t *bytes, size_t n, mica_error *err)
{
    *out = (mica__zip){0};
    directory d = {0};
    MICA_TRY(find_directory(&d, bytes, n, err));
    out->entries = mica__alloc((size_t)d.n_entries, sizeof *out->entries);
    place *places = mica__alloc((size_t)d.n_entries, sizeof *places);
    mica_status status = out->entries && places
                             ? read_entries(out, places, bytes, &d, err)
                             : mica__fail_memory(err, (size_t)d.n_entries * sizeof *out->entries, "zip entries");
    mica__free(places);
    if (status != MICA_OK) mica__zip_release(out);
    return status;
}

void mica__zip_release(mica__zip *z)
{
    mica__free(z->entries);
    mica__map_release(&z->by_name);
    *z = (mica__zip){0};
}

const mica__zip_entry *mica__zip_find(const mica__zip *z, mica__str name)
{
    uint32_t i;
    return mica__map_get(&z->by_name, name, &i) ? &z->entries[i] : NULL;
}

mica_status mica__zip_check(const mica__zip *z, const mica__zip_entry *e, mica_error *err)
{
    if (z->no_checksums) return MICA_OK;
    uint32_t crc = mica__crc32(0, e->data, e->n_bytes);
    if (crc == e->crc) return MICA_OK;
    return mica__fail(err, MICA_DATA, "zip archive: entry '%s' is damaged: its checksum is %08x, should be %08x",
                      MICA_QUOTED_STR(e->name), crc, e->crc);
}
