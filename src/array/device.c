/* array/device.c: devices. A CPU device is a backend table and a thread team. */
#include "array.h"

#include <pthread.h>
#include <string.h>

mica_status mica_device_create(mica_device **out, const mica_device_options *options, mica_error *err)
{
    static const mica_device_options defaults;
    *out = NULL;
    if (!options) options = &defaults;
    if (options->name && strcmp(options->name, "cpu") != 0)
        return mica__fail(err, MICA_UNSUPPORTED, "device '%s' is not available here; known: cpu",
                          MICA_QUOTED(options->name, strlen(options->name)));
    mica_device *d = mica__calloc(1, sizeof *d);
    if (!d) return mica__fail_memory(err, sizeof *d, "a device");
    d->backend = &mica__backend_cpu;
    mica_status status = mica__team_create(&d->team, options->n_threads, err);
    if (status != MICA_OK) {
        mica__free(d);
        return status;
    }
    *out = d;
    return MICA_OK;
}

void mica_device_free(mica_device *d)
{
    if (!d) return;
    mica__team_free(d->team);
    mica__free(d);
}

int mica_device_threads(const mica_device *d) { return mica__team_size(d->team); }
const char *mica_device_name(const mica_device *d) { return d->backend->name; }
const char *mica_device_isa(const mica_device *d) { return d->backend->isa(); }

/* ---- the device of the process ---- */

static mica_device *shared;
static mica_error shared_error;
static mica_status shared_status;

static void create_shared(void) { shared_status = mica_device_create(&shared, NULL, &shared_error); }

mica_status mica__device_default(mica_device **out, mica_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, create_shared);
    *out = shared;
    return shared ? MICA_OK : mica__fail(err, shared_status, "%s", shared_error.message);
}
