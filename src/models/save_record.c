/* models/save_record.c: the record of a conversion, see save_record.h.
 *
 *     MAGIC, plan's fingerprint | line | line | ...        whole lines in the machine's own byte order, in any order
 *
 * A line that was only begun, or that is not what its checksum says, counts for nothing; the last of several for one piece counts. */
#include "save_record.h"

#include <errno.h>
#include <fcntl.h>
#include <mica/version.h>
#include <sys/stat.h>
#include <unistd.h>

/* Other numbers for other layouts of the file, or of pieces. */
static const uint64_t MAGIC = 0x31306365722e636dull; /* "mc.rec01" */
static const size_t MAX_LINES = (size_t)1 << 24;

typedef struct head {
    uint64_t magic;
    mica__fingerprint plan;
} head;

/* ---- fingerprints --------------------------------------------------------------------------------------------------------- */

static uint64_t fold(uint64_t a, uint64_t b)
{
    const unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Odd numbers without a pattern: the fractions of square roots. */
static const uint64_t SALT[4] = {0x6a09e667f3bcc909, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1};

mica__fingerprint mica__fingerprint_add(mica__fingerprint f, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    uint64_t lane[4] = {f.word[0] ^ SALT[0], f.word[1] ^ SALT[1], f.word[0] + SALT[2], f.word[1] + SALT[3]}, word[8];
    const uint64_t total = n;
    for (; n; p += sizeof word) { /* 64 bytes: four products that do not wait for each other */
        const size_t take = n < sizeof word ? n : sizeof word;
        if (take < sizeof word) memset(word, 0, sizeof word);
        memcpy(word, p, take);
        for (int i = 0; i < 4; i++) lane[i] = fold(word[2 * i] ^ SALT[i], word[2 * i + 1] ^ lane[i]) + word[2 * i];
        n -= take;
    }
    return (mica__fingerprint){{fold(lane[0] ^ total, lane[1] ^ SALT[2]) ^ fold(lane[2] ^ SALT[0], lane[3] ^ SALT[1]),
                                fold(lane[2] + total, lane[0] ^ SALT[3]) + fold(lane[3] ^ SALT[2], lane[1] ^ SALT[0])}};
}

static bool same(mica__fingerprint a, mica__fingerprint b) { return a.word[0] == b.word[0] && a.word[1] == b.word[1]; }

static mica__fingerprint add_number(mica__fingerprint f, int64_t n) { return mica__fingerprint_add(f, &n, sizeof n); }

static mica__fingerprint add_text(mica__fingerprint f, const char *p, size_t n)
{
    return mica__fingerprint_add(f, p ? p : "", p ? n : 0);
}

static mica__fingerprint add_entry(mica__fingerprint f, const mica__save_entry *e)
{
    const mica__wanted *w = e->wanted;
    const mica__tensor_view *views[] = {w->view, w->scales, w->biases};
    const int64_t numbers[] = {e->action,    e->dtype,     e->q.mode, e->q.bits, e->q.group_size, e->n_rows,
                               e->n_columns, e->n_tensors, e->shard,  w->q.mode, w->q.bits,       w->q.group_size};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) f = add_number(f, numbers[i]);
    for (int i = 0; i < e->n_tensors; i++) {
        f = add_text(f, e->tensors[i].name, strlen(e->tensors[i].name));
        f = add_number(f, e->tensors[i].dtype);
        f = add_number(f, (int64_t)e->tensors[i].n_bytes);
    }
    for (int i = 0; i < 3; i++) {
        f = add_number(f, views[i] ? (int64_t)views[i]->storage : -1);
        if (views[i]) f = add_text(f, views[i]->name.p, views[i]->name.n);
    }
    return f;
}

mica__fingerprint mica__save_fingerprint(const mica__save_plan *plan, mica__checkpoint *source,
                                         const mica_save_options *options, size_t n_pieces)
{
    static const char *const texts[] = {"config.json", "quantize_config.json", "quant_config.json"};
    const char *quantizer = options->quantizer ? options->quantizer : "mlx";
    mica__fingerprint f = {{0}};
    mica__file_state state;
    f = add_text(f, mica_version(), strlen(mica_version()));
    f = add_text(f, quantizer, strlen(quantizer));
    f = add_number(f, options->format);
    f = add_number(f, (int64_t)n_pieces);
    for (size_t i = 0; mica__checkpoint_file_state(source, i, &state); i++)
        f = mica__fingerprint_add(f, &state, sizeof state);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        mica__str text = {0};
        if (mica__checkpoint_text(source, texts[i], &text, NULL) != MICA_OK) text = (mica__str){0};
        f = add_text(f, text.p, text.n);
    }
    for (size_t i = 0; i < plan->n; i++) f = add_entry(f, &plan->entries[i]);
    return f;
}

/* ---- the file ------------------------------------------------------------------------------------------------------------- */

static mica__fingerprint check_of(const mica__save_record *r, const mica__save_line *line)
{
    return mica__fingerprint_add(r->plan, line, offsetof(mica__save_line, check));
}

static bool write_at_end(int fd, const void *bytes, size_t n)
{
    ssize_t put;
    do put = write(fd, bytes, n);
    while (put < 0 && errno == EINTR);
    if (put >= 0 && put != (ssize_t)n) errno = ENOSPC;
    return put == (ssize_t)n;
}

/* Takes the lines that are whole, and cuts off what was only begun. */
static bool read_lines(mica__save_record *r)
{
    struct stat st;
    if (fstat(r->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(head)) return false;
    const size_t n = ((size_t)st.st_size - sizeof(head)) / sizeof(mica__save_line);
    if (n > MAX_LINES) return false;
    for (size_t i = 0; i < n; i++) {
        mica__save_line line;
        if (!mica__file_read_at(r->fd, &line, sizeof line, sizeof(head) + i * sizeof line)) return false;
        if (line.piece == 0 || line.piece > r->n_pieces || !same(line.check, check_of(r, &line))) continue;
        r->n_found += r->lines[line.piece - 1].piece == 0;
        r->lines[line.piece - 1] = line;
    }
    return ftruncate(r->fd, (off_t)(sizeof(head) + n * sizeof(mica__save_line))) == 0;
}

static int open_file(const char *work, int flags)
{
    char *path = mica__path_join(work, MICA__SAVE_RECORD);
    const int fd = path ? open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0666) : -1;
    const int why = path ? errno : ENOMEM;
    mica__free(path);
    errno = why;
    return fd;
}

bool mica__save_record_open(mica__save_record *out, const char *work, mica__fingerprint plan, size_t n_pieces)
{
    head found;
    *out = (mica__save_record){.fd = open_file(work, 0), .plan = plan, .n_pieces = n_pieces};
    out->lines = mica__calloc(n_pieces + 1, sizeof *out->lines);
    if (out->fd >= 0 && out->lines && mica__file_read_at(out->fd, &found, sizeof found, 0) && found.magic == MAGIC &&
        same(found.plan, plan) && read_lines(out))
        return true;
    mica__save_record_release(out);
    return false;
}

mica_status mica__save_record_create(mica__save_record *out, const char *work, mica__fingerprint plan, size_t n_pieces,
                                     mica_error *err)
{
    const head begin = {MAGIC, plan};
    *out = (mica__save_record){.fd = open_file(work, O_CREAT | O_EXCL), .plan = plan, .n_pieces = n_pieces};
    mica_status status = MICA_OK;
    if (out->fd < 0 || !write_at_end(out->fd, &begin, sizeof begin))
        status = mica__fail_errno(err, errno, "write", work);
    if (status == MICA_OK) out->lines = mica__calloc(n_pieces + 1, sizeof *out->lines);
    if (status == MICA_OK && !out->lines)
        status = mica__fail_memory(err, n_pieces * sizeof *out->lines, "the record of a conversion");
    if (status != MICA_OK) mica__save_record_release(out);
    return status;
}

bool mica__save_record_has(const mica__save_record *r, size_t piece) { return r->lines[piece].piece != 0; }

mica_status mica__save_record_add(const mica__save_record *r, size_t piece, mica__fingerprint bytes,
                                  const mica__quantization_error *error, mica_error *err)
{
    mica__save_line line = {.piece = piece + 1, .bytes = bytes, .error = *error};
    line.check = check_of(r, &line);
    if (write_at_end(r->fd, &line, sizeof line)) return MICA_OK;
    return mica__fail_errno(err, errno, "write", "the record of the conversion");
}

mica_status mica__save_record_finish(mica__save_record *r, const char *work, mica_error *err)
{
    char *path = mica__path_join(work, MICA__SAVE_RECORD);
    mica_status status = path ? MICA_OK : mica__fail_memory(err, strlen(work), "a path");
    mica__save_record_release(r);
    if (path && unlink(path) != 0) status = mica__fail_errno(err, errno, "remove", path);
    mica__free(path);
    return status;
}

void mica__save_record_release(mica__save_record *r)
{
    if (r->fd >= 0) close(r->fd);
    mica__free(r->lines);
    *r = (mica__save_record){.fd = -1};
}
