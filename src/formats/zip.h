/* formats/zip.h: the directory of a zip archive whose entries are stored, not compressed.
 *
 * A PyTorch checkpoint is such an archive: its records can be used as they lie in the mapped file. There is one way to read an archive
 * here: the central directory and each entry's local header must say the same, and the entries must fill the file from its first byte
 * to the directory, without holes or overlaps. Whatever could be read in two ways (comments, prefixes, data between entries, flags,
 * compression, encryption) is refused. Nothing is ever written to disk. */
#ifndef MICA_FORMATS_ZIP_H
#define MICA_FORMATS_ZIP_H

#include "../base/memory.h"
#include "../base/str.h"

typedef struct mica__zip_entry {
    mica__str name;      /* in the bytes that were parsed; valid UTF-8, relative, no "..", no "\\" */
    const uint8_t *data; /* in the bytes that were parsed; any alignment */
    size_t n_bytes;
    uint32_t crc;
    uint64_t header_at; /* private: offset of the local header */
} mica__zip_entry;

typedef struct mica__zip {
    mica__zip_entry *entries; /* [n_entries], in the order of the directory */
    size_t n_entries;
    mica__map by_name;
    bool no_checksums; /* every checksum of the archive is 0: its writer left them out */
} mica__zip;

/* Reads the directory of an archive that lies at bytes[0..n), which must outlive *out. DATA, UNSUPPORTED, LIMIT, MEMORY. */
mica_status mica__zip_parse(mica__zip *out, const uint8_t *bytes, size_t n, mica_error *err);
void mica__zip_release(mica__zip *z); /* {0} allowed */

const mica__zip_entry *mica__zip_find(const mica__zip *z, mica__str name); /* NULL: none */
/* Reads all of the entry's data and compares its CRC-32; DATA if it differs. */
mica_status mica__zip_check(const mica__zip *z, const mica__zip_entry *e, mica_error *err);

/* CRC-32 as zip uses it, of bytes that follow others with checksum `crc` (0 at the start). */
uint32_t mica__crc32(uint32_t crc, const uint8_t *bytes, size_t n);

#endif
