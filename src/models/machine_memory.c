/* models/machine_memory.c: physical memory and the limit of the control group. */
#include "machine_memory.h"

#include "base/file.h"
#include "base/memory.h"
#include <stdlib.h>
#include <unistd.h>

/* The number in a one-line file; 0 if there is none ("max"). */
static uint64_t read_limit(const char *path)
{
    mica__buf text = {.max = 4096};
    uint64_t value = 0;
    if (mica__file_read(&text, path, 64, NULL) == MICA_OK && text.n) value = strtoull(text.p, NULL, 10);
    mica__buf_release(&text);
    return value;
}

uint64_t mica__machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
    static const char *const limits[] = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        uint64_t limit = read_limit(limits[i]);
        if (limit && (!bytes || limit < bytes)) bytes = limit;
    }
    return bytes;
}
