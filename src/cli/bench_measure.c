/* cli/bench_measure.c: runs of one combination, and processes that are timed from outside.
 *
 * A batch keeps the caches of its rows, and a prompt that begins like the one before costs only its end. So the `depth` tokens are read
 * once, and each run changes the token after them: everything from there is computed again. */
#include "bench_measure.h"
#include "interrupt.h"
#include "report.h"

#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __APPLE__
#include <mach-o/dyld.h>
extern char **environ;
#endif

enum { WARM_UP = 32, MAX_ARGUMENTS = 32 };

double bench_peak_bytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    return (double)usage.ru_maxrss;
#else
    return (double)usage.ru_maxrss * 1024;
#endif
}

double bench_step_bytes(const mica_model *model, const bench_case *c)
{
    const mica_model_info *info = mica_model_get_info(model);
    const double positions = (double)(c->depth + c->n_prompt) + (double)c->n_tokens / 2;
    return (double)info->read_bytes + (double)c->rows * positions * (double)info->cache_bytes_per_token;
}

/* ---- runs ---------------------------------------------------------------------------------------------------------------------- */

/* Transformers' defaults rather than the model's settings: greedy and without end tokens, so exactly n new tokens come. */
static mica_status make_config(mica_generation_config **config, int64_t n, mica_error *err)
{
    char number[24];
    snprintf(number, sizeof number, "%" PRId64, n);
    mica_status status = mica_generation_config_create(config, NULL, err);
    if (status == MICA_OK) status = mica_generation_config_set(*config, "max_new_tokens", number, err);
    return status;
}

/* Arbitrary ids, the same in every process. */
static void fill_prompts(int32_t *ids, size_t n, int64_t vocab)
{
    uint32_t random = 1;
    for (size_t i = 0; i < n; i++) {
        random = random * 1664525u + 1013904223u;
        ids[i] = (int32_t)((random >> 8) % (uint64_t)vocab);
    }
}

/* Reads the tokens before the prompts and a piece of them, and writes a token: the first touch of everything. */
static mica_status warm_up(mica_batch *batch, mica_batch_request q, const bench_case *c, mica_error *err)
{
    mica_generation_config *two = NULL;
    mica_batch_result result;
    size_t *lengths = take_memory(q.n_prompts, sizeof *lengths);
    for (size_t r = 0; r < q.n_prompts; r++)
        lengths[r] = (size_t)(c->depth + (c->n_prompt < WARM_UP ? c->n_prompt : WARM_UP));
    mica_status status = make_config(&two, 2, err);
    if (status == MICA_OK) {
        q.config = two;
        q.lengths = lengths;
        status = mica_batch_generate(batch, &q, &result, err);
        mica_batch_result_release(&result);
    }
    mica_generation_config_free(two);
    free(lengths);
    return status;
}

static mica_status measure_runs(mica_batch *batch, mica_batch_request *q, int32_t *ids, int64_t vocab,
                                const bench_case *c, double *prefill, double *decode, mica_error *err)
{
    mica_status status = warm_up(batch, *q, c, err);
    for (int64_t run = 0; run < c->n_runs && status == MICA_OK; run++) {
        for (int64_t r = 0; r < c->rows; r++) {
            int32_t *changed = &ids[(size_t)r * q->width + (size_t)c->depth];
            *changed = (int32_t)((*changed + 1) % vocab);
        }
        mica_batch_result result;
        status = mica_batch_generate(batch, q, &result, err);
        if (status == MICA_OK) {
            prefill[run] = (double)result.n_prompt / result.prompt_seconds;
            decode[run] = (double)((c->n_tokens - 1) * c->rows) / result.decode_seconds;
        }
        mica_batch_result_release(&result);
    }
    return status;
}

mica_status bench_measure(mica_model *model, bench_case *c, mica_error *err)
{
    mica_batch *batch = NULL;
    mica_generation_config *config = NULL;
    const int64_t vocab = mica_model_get_info(model)->vocab_size;
    const size_t width = (size_t)(c->depth + c->n_prompt);
    int32_t *ids = take_memory(width * (size_t)c->rows, sizeof *ids);
    double *prefill = take_memory((size_t)c->n_runs, sizeof *prefill);
    double *decode = take_memory((size_t)c->n_runs, sizeof *decode);
    fill_prompts(ids, width * (size_t)c->rows, vocab);
    const mica_session_options options = {.max_context = (int64_t)width + c->n_tokens};
    mica_status status = make_config(&config, c->n_tokens, err);
    if (status == MICA_OK) status = mica_batch_create(&batch, model, &options, err);
    if (status == MICA_OK) {
        mica_batch_request q = {.ids = ids, .n_prompts = (size_t)c->rows, .width = width, .config = config};
        interrupt_watch_batch(batch);
        status = measure_runs(batch, &q, ids, vocab, c, prefill, decode, err);
        interrupt_watch_batch(NULL);
    }
    if (status == MICA_OK) {
        c->prefill = spread_of(prefill, (size_t)c->n_runs);
        c->decode = spread_of(decode, (size_t)c->n_runs);
    }
    mica_batch_free(batch);
    mica_generation_config_free(config);
    free(ids);
    free(prefill);
    free(decode);
    return status;
}

/* ---- starts -------------------------------------------------------------------------------------------------------------------- */

static bool own_path(char *path, size_t size)
{
#ifdef __APPLE__
    uint32_t n = (uint32_t)size;
    return _NSGetExecutablePath(path, &n) == 0;
#else
    const ssize_t n = readlink("/proc/self/exe", path, size - 1);
    if (n <= 0) return false;
    path[n] = 0;
    return true;
#endif
}

static void add_argument(char **arguments, size_t *n, const char *name, const char *value)
{
    if (!value || *n + 3 > MAX_ARGUMENTS) return;
    if (name) arguments[(*n)++] = (char *)(uintptr_t)name;
    arguments[(*n)++] = (char *)(uintptr_t)value;
}

/* Seconds until the process has written its first byte or ended; negative: it failed. */
static double time_process(const char *path, char *const *arguments)
{
    int ends[2], code = 1;
    if (pipe(ends) != 0) return -1;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    pid_t child;
    const double start = seconds_now();
    const bool started = posix_spawn(&child, path, &actions, NULL, arguments, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    double seconds = -1;
    if (started) {
        char bytes[256];
        ssize_t n = read(ends[0], bytes, sizeof bytes);
        seconds = seconds_now() - start;
        while (n > 0) n = read(ends[0], bytes, sizeof bytes);
        if (waitpid(child, &code, 0) < 0) code = 1;
    }
    close(ends[0]);
    return code == 0 ? seconds : -1;
}

bool bench_start(const model_choice *choice, int n_threads, bool with_text, int64_t n_runs, spread *seconds)
{
    char path[4096], threads[16], *arguments[MAX_ARGUMENTS] = {path};
    size_t n = 1;
    if (!own_path(path, sizeof path)) return false;
    snprintf(threads, sizeof threads, "%d", n_threads);
    add_argument(arguments, &n, NULL, "generate");
    add_argument(arguments, &n, "--model", choice->name);
    add_argument(arguments, &n, "--revision", choice->revision);
    add_argument(arguments, &n, "--quantize", choice->quantize);
    add_argument(arguments, &n, "--quantizer", choice->quantizer);
    add_argument(arguments, &n, "--quantize-rules", choice->rules);
    add_argument(arguments, &n, "--device", choice->device);
    add_argument(arguments, &n, "--dtype", choice->dtype);
    add_argument(arguments, &n, "--precision", choice->precision);
    add_argument(arguments, &n, "--threads", n_threads ? threads : NULL);
    add_argument(arguments, &n, "--max-new-tokens", "1");
    add_argument(arguments, &n, with_text ? "--prompt" : "--ids", with_text ? "Hello" : "1");
    arguments[n] = NULL;
    double *values = take_memory((size_t)n_runs, sizeof *values);
    bool good = true;
    for (int64_t i = -1; i < n_runs && good && !interrupt_pending(); i++) { /* the first one fills the page cache */
        const double value = time_process(path, arguments);
        good = value >= 0;
        if (i >= 0) values[i] = value;
    }
    if (good && !interrupt_pending()) *seconds = spread_of(values, (size_t)n_runs);
    free(values);
    return good && !interrupt_pending();
}
