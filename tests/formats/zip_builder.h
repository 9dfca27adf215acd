/* tests/formats/zip_builder.h: zip archives made by hand, right ones and wrong ones.
 *
 *     zip_builder z = {0};
 *     zip_add(&z, (zip_item){.name = "a/data.pkl", .data = bytes, .n = n});
 *     zip_finish(&z);                            // z.bytes is the archive
 *     zip_release(&z);
 *
 * Without options an entry is what torch.save writes: stored, its sizes and checksum behind the data. */
#ifndef MICA_TESTS_ZIP_BUILDER_H
#define MICA_TESTS_ZIP_BUILDER_H

#include "base/str.h"
#include "formats/zip.h"

typedef struct zip_item {
    const char *name;
    const void *data;
    size_t n;
    bool sizes_in_front;    /* no descriptor behind the data */
    bool wide;              /* numbers of 64 bits, as for large files */
    const char *local_name; /* NULL: name */
    unsigned flags;         /* more flags */
    unsigned method;
    uint32_t crc_error; /* the stored checksum is the right one XOR this */
    size_t n_padding;   /* of the local extra field */
    uint32_t attributes;
} zip_item;

typedef struct zip_builder {
    mica__buf bytes, directory;
    size_t n_entries;
    size_t last_local, last_central; /* offsets of the last entry's headers, the second one in the directory */
    bool no_end64;
} zip_builder;

static inline void zip_number(mica__buf *b, uint64_t v, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++) mica__buf_append_char(b, (char)(v >> (8 * i)));
}

static inline void zip_local_(zip_builder *z, const zip_item *e, unsigned flags, uint32_t crc)
{
    const char *name = e->local_name ? e->local_name : e->name;
    size_t n_extra = (e->n_padding ? 4 + e->n_padding : 0) + (e->wide ? 20 : 0);
    bool later = !e->sizes_in_front && e->n;
    mica__buf *b = &z->bytes;
    mica__buf_append(b, "PK\3\4", 4);
    zip_number(b, 0, 2);
    zip_number(b, flags, 2);
    zip_number(b, e->method, 2);
    zip_number(b, 0, 4);
    zip_number(b, later ? 0 : crc, 4);
    zip_number(b, e->wide ? 0xffffffff : later ? 0 : e->n, 4);
    zip_number(b, e->wide ? 0xffffffff : later ? 0 : e->n, 4);
    zip_number(b, strlen(name), 2);
    zip_number(b, n_extra, 2);
    mica__buf_append_z(b, name);
    if (e->wide) {
        zip_number(b, 1, 2);
        zip_number(b, 16, 2);
        zip_number(b, later ? 0 : e->n, 8);
        zip_number(b, later ? 0 : e->n, 8);
    }
    if (e->n_padding) {
        mica__buf_append(b, "FB", 2);
        zip_number(b, e->n_padding, 2);
        for (size_t i = 0; i < e->n_padding; i++) mica__buf_append_char(b, 'Z');
    }
}

static inline void zip_add(zip_builder *z, zip_item e)
{
    bool described = !e.sizes_in_front && e.n;
    unsigned flags = e.flags | 0x800 | (described ? 8 : 0);
    uint32_t crc = mica__crc32(0, e.data, e.n) ^ e.crc_error;
    mica__buf *b = &z->bytes, *d = &z->directory;
    z->last_local = b->n;
    z->last_central = d->n;
    z->n_entries++;
    mica__buf_append(d, "PK\1\2", 4);
    zip_number(d, 0, 2);
    zip_number(d, 0, 2);
    zip_number(d, flags, 2);
    zip_number(d, e.method, 2);
    zip_number(d, 0, 4);
    zip_number(d, crc, 4);
    zip_number(d, e.wide ? 0xffffffff : e.n, 4);
    zip_number(d, e.wide ? 0xffffffff : e.n, 4);
    zip_number(d, strlen(e.name), 2);
    zip_number(d, e.wide ? 28 : 0, 2);
    zip_number(d, 0, 2);
    zip_number(d, 0, 2);
    zip_number(d, 0, 2);
    zip_number(d, e.attributes, 4);
    zip_number(d, e.wide ? 0xffffffff : b->n, 4);
    mica__buf_append_z(d, e.name);
    if (e.wide) {
        zip_number(d, 1, 2);
        zip_number(d, 24, 2);
        zip_number(d, e.n, 8);
        zip_number(d, e.n, 8);
        zip_number(d, b->n, 8);
    }
    zip_local_(z, &e, flags, crc);
    mica__buf_append(b, e.data, e.n);
    if (!described) return;
    mica__buf_append(b, "PK\7\10", 4);
    zip_number(b, crc, 4);
    zip_number(b, e.n, e.wide ? 8 : 4);
    zip_number(b, e.n, e.wide ? 8 : 4);
}

/* Appends the directory and the end. Returns where the directory starts. */
static inline size_t zip_finish(zip_builder *z)
{
    mica__buf *b = &z->bytes;
    size_t start = b->n, n = z->directory.n;
    if (n) mica__buf_append(b, z->directory.p, n);
    if (!z->no_end64) {
        size_t end64 = b->n;
        mica__buf_append(b, "PK\6\6", 4);
        zip_number(b, 44, 8);
        zip_number(b, 0, 4);
        zip_number(b, 0, 8);
        zip_number(b, z->n_entries, 8);
        zip_number(b, z->n_entries, 8);
        zip_number(b, n, 8);
        zip_number(b, start, 8);
        mica__buf_append(b, "PK\6\7", 4);
        zip_number(b, 0, 4);
        zip_number(b, end64, 8);
        zip_number(b, 1, 4);
    }
    mica__buf_append(b, "PK\5\6", 4);
    zip_number(b, 0, 4);
    zip_number(b, z->n_entries < 0xffff ? z->n_entries : 0xffff, 2);
    zip_number(b, z->n_entries < 0xffff ? z->n_entries : 0xffff, 2);
    zip_number(b, n, 4);
    zip_number(b, start, 4);
    zip_number(b, 0, 2);
    return start;
}

static inline void zip_release(zip_builder *z)
{
    mica__buf_release(&z->bytes);
    mica__buf_release(&z->directory);
    *z = (zip_builder){0};
}

#endif
