/* models/save_write.c: from mapped tensors to the files of a checkpoint, a few rows at a time.
 *
 * A shard's matrices are cut into pieces of about PIECE elements. Threads take one piece after the other, make it in memory of their own, and
 * write it where the plan says it belongs. A piece's bytes depend on its rows alone and the figures are added up in the order of pieces, so
 * neither the files nor the report know how many threads there were. What was read is let go of at once: the peak of memory is a few pieces
 * for each thread. A piece that an earlier process wrote, by the record and by its bytes, is left as it is. */
#include "save_write.h"

#include "base/thread.h"
#include "formats/safetensors.h"
#include "weight_rows.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 2048 * 1024 };

typedef struct piece {
    size_t entry;
    int64_t first, n; /* rows */
    mica__quantization_error error;
} piece;

/* Memory of one thread: [PIECE] elements at least, and a row of any length. */
typedef struct scratch {
    mica__row_scratch rows;
    uint8_t *parts[3]; /* the tensors that are written */
} scratch;

typedef struct job {
    mica__save_plan *plan;
    const mica__checkpoint *checkpoint;
    const mica_save_options *options;
    const mica__save_record *record;
    mica__quantizer quantizer;
    const char *file; /* for messages */
    int fd;
    piece *pieces;             /* [n_pieces] of one shard */
    size_t n_pieces, n_before; /* n_before: in the shards before */
    size_t n_scratch;          /* elements that a thread's memory has room for */
    atomic_size_t next;
    atomic_bool stop;
    atomic_uint_fast64_t done, resumed; /* bytes of the source, over all shards */
    pthread_mutex_t lock;               /* guards the first failure */
    mica_status status;
    mica_error *err;
} job;

/* ---- pieces --------------------------------------------------------------------------------------------------------------- */

static mica_status write_at(const job *j, const void *bytes, size_t n, size_t at, mica_error *err)
{
    const uint8_t *p = bytes;
    while (n) {
        ssize_t put = pwrite(j->fd, p, n, (off_t)at);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
            int why = errno;
            if (why == EFAULT) MICA_TRY(mica__checkpoint_check(j->checkpoint, err));
            return mica__fail_errno(err, why, "write", j->file);
        }
        p += put;
        at += (size_t)put;
        n -= (size_t)put;
    }
    return MICA_OK;
}

/* The disk may begin with it: otherwise all of it waits for the fsync at the end. */
static void start_writing(const job *j, size_t n, size_t at)
{
#ifdef __linux__
    sync_file_range(j->fd, (off_t)at, (off_t)n, SYNC_FILE_RANGE_WRITE);
#else
    (void)j, (void)n, (void)at;
#endif
}

static mica_status check_error(const mica__save_entry *e, const piece *p, mica_error *err)
{
    if (isfinite(p->error.squared_error) && isfinite(p->error.squared_weight)) return MICA_OK;
    return mica__fail(err, MICA_DATA, "tensor '%s': an element of rows %lld to %lld is not finite",
                      MICA_QUOTED_STR(e->wanted->view->name), (long long)p->first, (long long)(p->first + p->n - 1));
}

static mica_status quantize(const job *j, const mica__save_entry *e, piece *p, scratch *s, mica_error *err)
{
    const void *elements;
    MICA_TRY(mica__wanted_rows(e->wanted, p->first, p->n, e->dtype, &s->rows, &elements, err));
    const mica__matrix in = {elements, e->dtype, p->n, e->n_columns};
    mica__quantize_measured(&e->q, j->quantizer, &in, s->parts[0], s->parts[1], s->parts[2], &p->error);
    return check_error(e, p, err);
}

/* A matrix of blocks, or of several tensors, as the groups that it exactly is. */
static mica_status repack(const mica__save_entry *e, const piece *p, scratch *s, mica_error *err)
{
    mica__tensor_view rows = mica__tensor_rows(e->wanted->view, p->first, p->n);
    mica_dtype dtype = mica__tensor_affine_dtype(&rows);
    if (e->q.mode != MICA_QUANT_AFFINE)
        return mica__tensor_read_float_form(&rows, (uint32_t *)s->parts[0], s->parts[1], err);
    MICA_TRY(mica__tensor_read_affine(&rows, (uint32_t *)s->parts[0], s->parts[1], s->parts[2], err));
    size_t n = (size_t)(p->n * e->n_columns / e->q.group_size);
    for (int i = 1; i <= 2 && dtype != e->dtype; i++) {
        mica__floats_load(s->parts[i], n, dtype, s->rows.floats);
        mica__floats_store(s->rows.floats, n, e->dtype, s->parts[i]);
    }
    return MICA_OK;
}

/* Rows of an MLX matrix as they are, but for the type of its scales. */
static void copy_packed(const mica__save_entry *e, const piece *p, scratch *s, const void *out[3])
{
    const mica__wanted *w = e->wanted;
    const mica__tensor_view *views[3] = {w->view, w->scales, w->biases};
    for (int i = 0; i < e->n_tensors; i++) {
        const mica__tensor_view rows = mica__tensor_rows(views[i], p->first, p->n);
        out[i] = rows.data;
        if (i == 0 || rows.dtype == e->tensors[i].dtype) continue;
        size_t n = (size_t)(rows.shape[0] * rows.shape[1]);
        mica__floats_load(rows.data, n, rows.dtype, s->rows.floats);
        mica__floats_store(s->rows.floats, n, e->tensors[i].dtype, s->parts[i]);
        out[i] = s->parts[i];
    }
}

static void forget(const job *j, const mica__wanted *w, const piece *p)
{
    const mica__tensor_view *views[] = {w->view, w->scales, w->biases};
    for (int i = 0; i < 3; i++) {
        if (!views[i]) continue;
        mica__tensor_view rows = mica__tensor_rows(views[i], p->first, p->n);
        mica__checkpoint_forget_tensor(j->checkpoint, &rows);
    }
}

static uint64_t bytes_of_piece(const mica__save_entry *e, const piece *p)
{
    const mica__wanted *w = e->wanted;
    uint64_t n = w->view->n_bytes + (w->scales ? w->scales->n_bytes : 0) + (w->biases ? w->biases->n_bytes : 0);
    return (uint64_t)((double)n * (double)p->n / (double)e->n_rows);
}

/* Where rows of a piece lie in the file. */
static size_t span_of(const mica__save_tensor *t, const piece *p, size_t *at)
{
    *at = t->at + (size_t)p->first * t->row_bytes;
    return (size_t)p->n * t->row_bytes;
}

/* Takes a piece over that an earlier process wrote. */
static bool resume_piece(job *j, piece *p, const scratch *s)
{
    const mica__save_entry *e = &j->plan->entries[p->entry];
    const size_t number = j->n_before + (size_t)(p - j->pieces);
    if (!mica__save_record_has(j->record, number)) return false;
    const mica__save_line *line = &j->record->lines[number];
    mica__fingerprint found = {{0}};
    for (int i = 0; i < e->n_tensors; i++) {
        size_t at, n = span_of(&e->tensors[i], p, &at);
        if (!mica__file_read_at(j->fd, s->parts[i], n, at)) return false;
        found = mica__fingerprint_add(found, s->parts[i], n);
    }
    if (memcmp(&found, &line->bytes, sizeof found) != 0) return false;
    p->error = line->error;
    atomic_fetch_add(&j->resumed, bytes_of_piece(e, p));
    return true;
}

static mica_status convert_piece(job *j, piece *p, scratch *s, mica_error *err)
{
    const mica__save_entry *e = &j->plan->entries[p->entry];
    mica__fingerprint made = {{0}};
    const void *out[3] = {s->parts[0], s->parts[1], s->parts[2]};
    mica_status status = MICA_OK;
    if (e->action == MICA__SAVE_PLAIN)
        status = mica__wanted_rows(e->wanted, p->first, p->n, e->dtype, &s->rows, &out[0], err);
    else if (e->action == MICA__SAVE_QUANTIZE)
        status = quantize(j, e, p, s, err);
    else if (e->action == MICA__SAVE_REPACK)
        status = repack(e, p, s, err);
    else
        copy_packed(e, p, s, out);
    for (int i = 0; i < e->n_tensors && status == MICA_OK; i++) {
        size_t at, n = span_of(&e->tensors[i], p, &at);
        made = mica__fingerprint_add(made, out[i], n);
        status = write_at(j, out[i], n, at, err);
        start_writing(j, n, at);
    }
    if (status == MICA_OK)
        status = mica__save_record_add(j->record, j->n_before + (size_t)(p - j->pieces), made, &p->error, err);
    forget(j, e->wanted, p);
    return status;
}

/* ---- threads -------------------------------------------------------------------------------------------------------------- */

static bool scratch_make(scratch *s, size_t n)
{
    *s = (scratch){.rows = {mica__alloc(n, sizeof(float)), mica__alloc(n, sizeof(float))}};
    for (int i = 0; i < 3; i++) s->parts[i] = mica__alloc(n, i ? 1 : sizeof(float));
    return s->rows.floats && s->rows.elements && s->parts[0] && s->parts[1] && s->parts[2];
}

static void scratch_release(scratch *s)
{
    mica__free(s->rows.floats);
    mica__free(s->rows.elements);
    for (int i = 0; i < 3; i++) mica__free(s->parts[i]);
}

static void fail_job(job *j, mica_status status, const mica_error *err)
{
    pthread_mutex_lock(&j->lock);
    if (j->status == MICA_OK) {
        j->status = status;
        if (j->err) *j->err = *err;
    }
    pthread_mutex_unlock(&j->lock);
    atomic_store(&j->stop, true);
}

/* Only the calling thread, which is member 0, reports. */
static void report(job *j)
{
    const mica_progress *progress = &j->options->progress;
    mica_error err;
    if (!progress->report ||
        progress->report(progress->context, "convert", atomic_load(&j->done), j->plan->source_bytes))
        return;
    fail_job(j, mica__fail(&err, MICA_CANCELLED, "converting was cancelled; the same call goes on from there"), &err);
}

static void work(void *context, int id, int n_members)
{
    job *j = context;
    scratch s;
    mica_error err;
    (void)n_members;
    if (!scratch_make(&s, j->n_scratch))
        fail_job(j, mica__fail_memory(&err, j->n_scratch * sizeof(float), "a piece of a tensor"), &err);
    while (!atomic_load(&j->stop)) {
        size_t i = atomic_fetch_add(&j->next, 1);
        if (i >= j->n_pieces) break;
        piece *p = &j->pieces[i];
        mica_status status = resume_piece(j, p, &s) ? MICA_OK : convert_piece(j, p, &s, &err);
        if (status != MICA_OK) fail_job(j, status, &err);
        atomic_fetch_add(&j->done, bytes_of_piece(&j->plan->entries[p->entry], p));
        if (id == 0) report(j);
    }
    scratch_release(&s);
}

/* ---- shards --------------------------------------------------------------------------------------------------------------- */

static int64_t rows_of_piece(const mica__save_entry *e)
{
    int64_t step = mica__tensor_row_step(e->wanted->view), most = PIECE / (e->n_columns > 0 ? e->n_columns : 1);
    most = most / step * step;
    return most > step ? most : step;
}

static size_t pieces_of(const mica__save_entry *e)
{
    const int64_t rows = rows_of_piece(e);
    return (size_t)((e->n_rows + rows - 1) / rows);
}

size_t mica__save_n_pieces(const mica__save_plan *plan)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n; i++) n += pieces_of(&plan->entries[i]);
    return n;
}

static mica_status cut(job *j, size_t first, size_t end, mica_error *err)
{
    size_t n = 0;
    j->n_scratch = 1;
    for (size_t i = first; i < end; i++) {
        const mica__save_entry *e = &j->plan->entries[i];
        int64_t rows = rows_of_piece(e);
        if (rows > e->n_rows) rows = e->n_rows;
        size_t elements = (size_t)(rows * e->n_columns);
        if (elements > j->n_scratch) j->n_scratch = elements;
        n += pieces_of(e);
    }
    j->pieces = mica__calloc(n, sizeof *j->pieces);
    if (!j->pieces) return mica__fail_memory(err, n * sizeof *j->pieces, "the pieces of a shard");
    j->n_pieces = 0;
    for (size_t i = first; i < end; i++) {
        const mica__save_entry *e = &j->plan->entries[i];
        int64_t rows = rows_of_piece(e);
        for (int64_t at = 0; at < e->n_rows; at += rows)
            j->pieces[j->n_pieces++] =
                (piece){.entry = i, .first = at, .n = e->n_rows - at < rows ? e->n_rows - at : rows};
    }
    return MICA_OK;
}

static void add_errors(const job *j, mica__quantization_error *sums)
{
    for (size_t i = 0; i < j->n_pieces; i++) {
        const mica__save_entry *e = &j->plan->entries[j->pieces[i].entry];
        const mica__quantization_error *error = &j->pieces[i].error;
        if (e->kind < 0) continue;
        mica__quantization_error *sum = &sums[e->kind];
        sum->n += error->n;
        sum->squared_error += error->squared_error;
        sum->squared_weight += error->squared_weight;
        if (error->largest > sum->largest) sum->largest = error->largest;
    }
}

/* Lays the tensors of the shard out; their places go into the plan. */
static mica_status lay_out(mica__save_plan *plan, size_t first, size_t end, const char *format,
                           mica__safetensors_layout *layout, mica_error *err)
{
    size_t n = 0;
    mica__safetensors_item *items = mica__alloc((end - first) * 3, sizeof *items);
    if (!items) return mica__fail_memory(err, (end - first) * 3 * sizeof *items, "the tensors of a shard");
    for (size_t i = first; i < end; i++) {
        for (int k = 0; k < plan->entries[i].n_tensors; k++) {
            const mica__save_tensor *t = &plan->entries[i].tensors[k];
            items[n++] =
                (mica__safetensors_item){.name = t->name, .dtype = t->dtype, .ndim = t->ndim, .shape = t->shape};
        }
    }
    mica_status status = mica__safetensors_lay_out(layout, items, n, format, err);
    n = 0;
    for (size_t i = first; i < end && status == MICA_OK; i++)
        for (int k = 0; k < plan->entries[i].n_tensors; k++) plan->entries[i].tensors[k].at = layout->at[n++];
    mica__free(items);
    return status;
}

/* Room for the whole file, and for no more, so that a full disk shows before the work is done. */
static mica_status make_room(const job *j, size_t n, mica_error *err)
{
    struct stat st;
    if (fstat(j->fd, &st) != 0) return mica__fail_errno(err, errno, "write", j->file);
    if (!S_ISREG(st.st_mode)) return mica__fail(err, MICA_CANNOT_CREATE, "%s: is not a regular file", j->file);
    if (st.st_size > (off_t)n && ftruncate(j->fd, (off_t)n) != 0) return mica__fail_errno(err, errno, "write", j->file);
#ifdef __linux__
    if (fallocate(j->fd, 0, 0, (off_t)n) == 0) return MICA_OK;
    if (errno == ENOSPC || errno == EFBIG || errno == EDQUOT) return mica__fail_errno(err, errno, "write", j->file);
#endif
    return ftruncate(j->fd, (off_t)n) == 0 ? MICA_OK : mica__fail_errno(err, errno, "write", j->file);
}

static mica_status fill_shard(job *j, size_t first, size_t end, mica__team *team, mica__quantization_error *sums,
                              mica_error *err)
{
    mica__safetensors_layout layout = {0};
    const char *format = j->options->format == MICA_SAVE_MLX ? "mlx" : "pt";
    mica_status status = lay_out(j->plan, first, end, format, &layout, err);
    if (status == MICA_OK) status = make_room(j, layout.n_file, err);
    if (status == MICA_OK) status = write_at(j, layout.header.p, layout.header.n, 0, err);
    if (status == MICA_OK) status = cut(j, first, end, err);
    if (status == MICA_OK) {
        atomic_store(&j->next, 0);
        j->err = err;
        mica__team_run(team, work, j);
        status = j->status;
    }
    if (status == MICA_OK) add_errors(j, sums);
    if (status == MICA_OK && fsync(j->fd) != 0) status = mica__fail_errno(err, errno, "write", j->file);
    mica__safetensors_layout_release(&layout);
    mica__free(j->pieces);
    j->pieces = NULL;
    j->n_before += j->n_pieces;
    return status;
}

static mica_status write_shard(job *j, int shard, size_t first, size_t end, const mica__save_target *target,
                               mica__team *team, mica__quantization_error *sums, mica_error *err)
{
    char name[48];
    mica__save_shard_name(j->plan, shard, name);
    char *path = mica__path_join(target->work, name), *shown = mica__path_join(target->path, name);
    mica_status status = path && shown ? MICA_OK : mica__fail_memory(err, strlen(target->work), "a path");
    if (status == MICA_OK) {
        j->file = shown;
        j->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
        if (j->fd < 0) status = mica__fail_errno(err, errno, "create", shown);
    }
    if (status == MICA_OK) {
        status = fill_shard(j, first, end, team, sums, err);
        if (close(j->fd) != 0 && status == MICA_OK) status = mica__fail_errno(err, errno, "write", shown);
    }
    mica__free(path);
    mica__free(shown);
    return status;
}

static void note_errors(mica__save_plan *plan, const mica__quantization_error *sums)
{
    for (int k = 0; k < plan->n_kinds; k++) {
        mica_save_kind *kind = &plan->kinds[k];
        const mica__quantization_error *sum = &sums[k];
        kind->largest_error = sum->largest;
        kind->mean_error = sum->n ? sqrt(sum->squared_error / (double)sum->n) : 0;
        kind->relative_error = sum->squared_weight > 0 ? sqrt(sum->squared_error / sum->squared_weight) : 0;
    }
}

mica_status mica__save_write(mica__save_plan *plan, const mica__checkpoint *checkpoint, const mica__save_target *target,
                             const mica__save_record *record, const mica_save_options *options, uint64_t *resumed,
                             mica_error *err)
{
    const char *quantizer = options->quantizer;
    job j = {.plan = plan,
             .checkpoint = checkpoint,
             .options = options,
             .record = record,
             .quantizer = quantizer && !strcmp(quantizer, "search") ? MICA__QUANTIZER_SEARCH : MICA__QUANTIZER_MLX,
             .lock = PTHREAD_MUTEX_INITIALIZER};
    mica__team *team = NULL;
    mica__quantization_error *sums = mica__calloc((size_t)plan->n_kinds + 1, sizeof *sums);
    mica_status status = sums ? MICA_OK : mica__fail_memory(err, sizeof *sums, "figures");
    if (status == MICA_OK) status = mica__team_create(&team, options->n_threads, err);
    for (size_t first = 0, end; first < plan->n && status == MICA_OK; first = end) {
        int shard = plan->entries[first].shard;
        for (end = first; end < plan->n && plan->entries[end].shard == shard;) end++;
        status = write_shard(&j, shard, first, end, target, team, sums, err);
    }
    if (status == MICA_OK) status = mica__checkpoint_check(checkpoint, err);
    if (status == MICA_OK) note_errors(plan, sums);
    *resumed = atomic_load(&j.resumed);
    mica__team_free(team);
    mica__free(sums);
    pthread_mutex_destroy(&j.lock);
    return status;
}
