/* hub/upload.c: a folder into a repository: make it, ask what is new, send the large files, commit once.
 *
 * The order makes it resumable: nothing is visible before the commit, and what was sent before an interruption is found to be there.
 * The commit itself is never repeated by us, since a reply that was lost may have been a success: running the command again finds out. */
#include "upload.h"
#include "base/file.h"
#include "base/memory.h"
#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <unistd.h>

enum { BATCH = 256, SAMPLE = 512 };

mica_status mica__upload_post(mica__upload *u, const char *url, const char *content_type, const mica__buf *body,
                              bool patiently, const int *allowed, mica__reply *reply, mica_error *err)
{
    MICA_TRY(mica__buf_status(body, err, "a request"));
    mica__failure failure;
    const mica__request request = {.method = "POST",
                                   .url = url,
                                   .content_type = content_type,
                                   .accept = strstr(content_type, "lfs") ? content_type : NULL,
                                   .body = {body->p, body->n},
                                   .silence = 3 * u->settings.data_seconds};
    mica__buf_clear(&u->text);
    MICA_TRY(patiently ? mica__http_send_patiently(u->http, &request, reply, &u->text, err)
                       : mica__http_send(u->http, &request, reply, &u->text, &failure, err));
    for (const int *a = allowed; a && *a; a++)
        if (*a == reply->status) return MICA_OK;
    if (reply->status >= 200 && reply->status < 300) return MICA_OK;
    const mica__subject subject = {.id = u->id, .revision = u->revision, .writing = true};
    return mica__hub_explain(&u->net, &subject, reply, &u->text, err);
}

static const char json[] = "application/json";

static void append_text(mica__buf *b, const char *before, const char *z)
{
    mica__buf_append_z(b, before);
    mica__json_write_string(b, mica__str_from(z), true);
}

static void append_base64(mica__buf *out, const unsigned char *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *to = mica__buf_reserve(out, (n + 2) / 3 * 4);
    if (!to) return;
    for (size_t i = 0; i < n; i += 3) {
        const size_t left = n - i;
        const uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0);
        *to++ = digits[v >> 18];
        *to++ = digits[v >> 12 & 63];
        *to++ = left > 1 ? digits[v >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[v & 63] : '=';
    }
    out->n += (n + 2) / 3 * 4;
    out->p[out->n] = 0;
}

/* ---- the repository ---------------------------------------------------------------------------------------------------------- */

/* The answer to the last request as JSON. */
static mica_status parse_answer(const mica__upload *u, mica__json *doc, mica_error *err)
{
    const mica_status status = mica__json_parse(doc, u->text.p, u->text.n, NULL, err);
    if (status == MICA_OK || status == MICA_MEMORY) return status;
    return mica__fail(err, MICA_UNAVAILABLE, "%s: what %s answers is no JSON", u->id, u->settings.endpoint);
}

/* NAME alone is the user's: asks who that is. */
static mica_status find_owner(mica__upload *u, mica_error *err)
{
    if (strchr(u->id, '/')) return MICA_OK;
    const mica__request request = {.method = "GET", .url = "/api/whoami-v2"};
    const mica__subject subject = {.id = u->id, .revision = u->revision, .writing = true};
    mica__reply reply;
    mica__json doc;
    mica__str name = {0};
    MICA_TRY(mica__http_send_patiently(u->http, &request, &reply, &u->text, err));
    if (reply.status != 200) return mica__hub_explain(&u->net, &subject, &reply, &u->text, err);
    MICA_TRY(parse_answer(u, &doc, err));
    mica__json_string(mica__json_get(mica__json_root(&doc), "name"), &name);
    mica__buf id = {0};
    mica__buf_printf(&id, "%.*s/%s", (int)(name.n < 200 ? name.n : 0), name.p ? name.p : "", u->id);
    mica_status status = mica__buf_status(&id, err, "an id");
    if (status == MICA_OK && !mica_hub_is_id(id.p))
        status = mica__fail(err, MICA_UNAVAILABLE, "%s does not say whose token this is", u->settings.endpoint);
    if (status == MICA_OK && !(u->id = mica__arena_strndup(&u->arena, id.p, id.n)))
        status = mica__fail_memory(err, id.n, "an id");
    mica__buf_release(&id);
    mica__json_release(&doc);
    return status;
}

static bool exists(mica__upload *u)
{
    mica__buf url = {0}, text = {0};
    mica__reply reply;
    mica__buf_printf(&url, "/api/models/%s", u->id);
    const mica__request request = {.method = "GET", .url = url.p};
    const bool is = !url.failed && mica__http_send_patiently(u->http, &request, &reply, &text, NULL) == MICA_OK &&
                    reply.status == 200;
    mica__buf_release(&url);
    mica__buf_release(&text);
    return is;
}

static mica_status create(mica__upload *u, mica_error *err)
{
    static const int allowed[] = {409, 0};
    mica__buf body = {0};
    mica__reply reply;
    const char *slash = strchr(u->id, '/');
    mica__buf organization = {0};
    mica__buf_append(&organization, u->id, (size_t)(slash - u->id));
    append_text(&body, "{\"name\":", slash + 1);
    append_text(&body, ",\"organization\":", organization.p ? organization.p : "");
    mica__buf_append_z(&body, ",\"type\":\"model\"");
    if (u->o->is_private) mica__buf_append_z(&body, ",\"private\":true,\"visibility\":\"private\"");
    mica__buf_append_z(&body, "}");
    mica_status status;
    for (int attempt = 1;; attempt++) {
        status = mica__upload_post(u, "/api/repos/create", json, &body, true, allowed, &reply, err);
        if (status != MICA_OK || reply.status != 409 || attempt == 4) break;
        mica__quoted words;
        if (!strstr(mica__http_words(&u->net, &reply, &u->text, &words), "conflicting operation")) break;
        status = mica__http_pause(&u->net, attempt, reply.retry_after, err);
        if (status != MICA_OK) break;
    }
    /* A token may be allowed to write to a repository and not to make one. */
    if (status == MICA_ACCESS && reply.status != 401 && exists(u)) status = MICA_OK;
    mica__buf_release(&organization);
    mica__buf_release(&body);
    return status;
}

static mica_status make_branch(mica__upload *u, mica_error *err)
{
    static const int allowed[] = {409, 0};
    mica__buf url = {0}, body = {0};
    mica__reply reply;
    mica__buf_printf(&url, "/api/models/%s/branch/", u->id);
    mica__hub_append_encoded(&url, mica__str_from(u->revision), false);
    mica__buf_append_z(&body, "{}");
    mica_status status = mica__buf_status(&url, err, "an address");
    if (status == MICA_OK) status = mica__upload_post(u, url.p, json, &body, true, allowed, &reply, err);
    mica__buf_release(&url);
    mica__buf_release(&body);
    return status;
}

/* ---- what is new ----------------------------------------------------------------------------------------------------------------- */

static void append_entry(mica__buf *body, const mica__upload_file *f, const unsigned char *sample, size_t n)
{
    append_text(body, "{\"path\":", f->path);
    mica__buf_append_z(body, ",\"sample\":\"");
    append_base64(body, sample, n);
    mica__buf_printf(body, "\",\"size\":%llu}", (unsigned long long)f->size);
}

static mica_status append_sample(mica__buf *body, const mica__upload_file *f, mica_error *err)
{
    unsigned char sample[SAMPLE];
    if (f->text) {
        append_entry(body, f, (const unsigned char *)f->text, f->size < SAMPLE ? (size_t)f->size : SAMPLE);
        return MICA_OK;
    }
    const int fd = open(f->full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return mica__fail_errno(err, errno, "open", f->full);
    const ssize_t n = pread(fd, sample, sizeof sample, 0);
    const int why = errno;
    close(fd);
    if (n < 0) return mica__fail_errno(err, why, "read", f->full);
    append_entry(body, f, sample, (size_t)n);
    return MICA_OK;
}

static mica__upload_file *find_file(mica__upload *u, mica__str path)
{
    size_t low = 0, high = u->n;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const char *name = u->files[middle].path;
        const size_t n = strlen(name), shorter = n < path.n ? n : path.n;
        int order = memcmp(name, path.p, shorter);
        if (order == 0) order = n < path.n ? -1 : n > path.n;
        if (order == 0) return &u->files[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static mica_status read_modes(mica__upload *u, mica_error *err)
{
    mica__json doc;
    MICA_TRY(parse_answer(u, &doc, err));
    const mica__jval files = mica__json_get(mica__json_root(&doc), "files");
    for (mica__jval e = mica__json_first(files); e; e = mica__json_next(files, e)) {
        mica__str path = {0}, mode = {0}, oid = {0};
        bool ignore = false;
        mica__json_string(mica__json_get(e, "path"), &path);
        mica__json_string(mica__json_get(e, "uploadMode"), &mode);
        mica__json_bool(mica__json_get(e, "shouldIgnore"), &ignore);
        mica__upload_file *f = path.n ? find_file(u, path) : NULL;
        if (!f) continue;
        f->large = f->size > 0 && !f->text && mica__str_is(mode, "lfs");
        f->skip = ignore;
        f->asked = mica__json_get(e, "oid");
        if (mica__json_string(mica__json_get(e, "oid"), &oid) && mica__hub_is_hash(oid))
            snprintf(f->remote, sizeof f->remote, "%.*s", (int)oid.n, oid.p);
    }
    mica__json_release(&doc);
    return MICA_OK;
}

static mica_status ask_modes(mica__upload *u, size_t first, size_t n, mica_error *err)
{
    static const int allowed[] = {404, 0};
    mica__buf url = {0}, body = {0};
    mica__reply reply;
    mica__buf_printf(&url, "/api/models/%s/preupload/", u->id);
    mica__hub_append_encoded(&url, mica__str_from(u->revision), false);
    if (u->o->pull_request) mica__buf_append_z(&url, "?create_pr=1");
    mica__buf_append_z(&body, "{\"files\":[");
    mica_status status = mica__buf_status(&url, err, "an address");
    for (size_t i = 0; i < n && status == MICA_OK; i++) {
        if (i) mica__buf_append_char(&body, ',');
        status = append_sample(&body, &u->files[first + i], err);
    }
    mica__buf_append_z(&body, "]}");
    if (status == MICA_OK) status = mica__upload_post(u, url.p, json, &body, true, allowed, &reply, err);
    if (status == MICA_OK && reply.status == 404 && strcmp(reply.error_code, "RevisionNotFound") == 0) {
        status = make_branch(u, err);
        if (status == MICA_OK) status = mica__upload_post(u, url.p, json, &body, true, NULL, &reply, err);
    } else if (status == MICA_OK && reply.status == 404) {
        const mica__subject subject = {.id = u->id, .revision = u->revision, .writing = true};
        status = mica__hub_explain(&u->net, &subject, &reply, &u->text, err);
    }
    if (status == MICA_OK) status = read_modes(u, err);
    mica__buf_release(&url);
    mica__buf_release(&body);
    return status;
}

/* Servers that do not say what they have at a path are asked for their listing. */
static mica_status ask_listing(mica__upload *u, mica_error *err)
{
    bool needed = false;
    for (size_t i = 0; i < u->n; i++) needed = needed || !u->files[i].asked;
    if (!needed) return MICA_OK;
    mica__listing listing = {0};
    mica__buf first = {0};
    mica__reply reply;
    mica__buf_printf(&first, "/api/models/%s/tree/", u->id);
    mica__hub_append_encoded(&first, mica__str_from(u->revision), false);
    mica__buf_append_z(&first, "?recursive=true&expand=false");
    char *url = mica__buf_take(&first);
    mica_status status = url ? MICA_OK : mica__fail_memory(err, 256, "an address");
    for (int page = 0; url && status == MICA_OK && page < 1000; page++) {
        const mica__request request = {.method = "GET", .url = url};
        char *next = NULL;
        mica__buf_clear(&u->text);
        status = mica__http_send_patiently(u->http, &request, &reply, &u->text, err);
        if (status == MICA_OK && reply.status == 200)
            status = mica__listing_add_page(&listing, u->text.p, u->text.n, err);
        if (status == MICA_OK && reply.status == 200 && reply.next[0])
            status = mica__url_follow(&next, mica__http_final_url(u->http), reply.next, u->settings.endpoint, err);
        mica__free(url);
        url = next;
    }
    mica__free(url);
    for (size_t i = 0; i < listing.n && status == MICA_OK; i++) {
        mica__upload_file *f = find_file(u, mica__str_from(listing.files[i].path));
        if (f && !f->asked) snprintf(f->remote, sizeof f->remote, "%s", listing.files[i].hash);
    }
    mica__listing_release(&listing);
    return status;
}

static mica_status find_changes(mica__upload *u, size_t *n_changed, mica_error *err)
{
    for (size_t i = 0; i < u->n; i += BATCH) MICA_TRY(ask_modes(u, i, u->n - i < BATCH ? u->n - i : BATCH, err));
    MICA_TRY(ask_listing(u, err));
    MICA_TRY(mica__upload_hash(u, err));
    *n_changed = 0;
    for (size_t i = 0; i < u->n; i++) {
        mica__upload_file *f = &u->files[i];
        f->skip = f->skip || strcmp(f->hash, f->remote) == 0 || (f->text && f->remote[0]); /* theirs stays */
        *n_changed += !f->skip;
    }
    return MICA_OK;
}

/* ---- the commit ------------------------------------------------------------------------------------------------------------------- */

static mica_status append_file(mica__buf *body, const mica__upload_file *f, mica_error *err)
{
    mica__buf content = {0};
    mica_status status = MICA_OK;
    if (f->large) {
        append_text(body, "{\"key\":\"lfsFile\",\"value\":{\"path\":", f->path);
        mica__buf_printf(body, ",\"algo\":\"sha256\",\"oid\":\"%s\",\"size\":%llu}}\n", f->hash,
                         (unsigned long long)f->size);
    } else if (f->text) {
        mica__buf_append(&content, f->text, (size_t)f->size);
    } else {
        status = mica__file_read(&content, f->full, (size_t)256 << 20, err);
    }
    if (status == MICA_OK && !f->large) {
        mica__buf_append_z(body, "{\"key\":\"file\",\"value\":{\"content\":\"");
        append_base64(body, (const unsigned char *)content.p, content.n);
        append_text(body, "\",\"path\":", f->path);
        mica__buf_append_z(body, ",\"encoding\":\"base64\"}}\n");
    }
    mica__buf_release(&content);
    return status;
}

static mica_status read_commit(mica__upload *u, mica_hub_commit *out, mica_error *err)
{
    mica__json doc;
    mica__str url = {0}, oid = {0}, pull = {0};
    MICA_TRY(parse_answer(u, &doc, err));
    const mica__jval root = mica__json_root(&doc);
    mica__json_string(mica__json_get(root, "commitUrl"), &url);
    mica__json_string(mica__json_get(root, "commitOid"), &oid);
    mica_status status = MICA_OK;
    if (!oid.n && !url.n)
        status = mica__fail(err, MICA_UNAVAILABLE, "%s: %s does not say that it made the commit: do it again", u->id,
                            u->settings.endpoint);
    if (mica__hub_is_commit(oid)) memcpy(out->commit, oid.p, oid.n);
    out->url = mica__strndup(url.p ? url.p : "", url.n);
    if (!out->url) status = mica__fail_memory(err, url.n, "an address");
    if (mica__json_string(mica__json_get(root, "pullRequestUrl"), &pull) &&
        !(out->pull_request_url = mica__strndup(pull.p, pull.n)))
        status = mica__fail_memory(err, pull.n, "an address");
    mica__json_release(&doc);
    return status;
}

static mica_status commit(mica__upload *u, mica_hub_commit *out, const char *name, mica_error *err)
{
    mica__buf url = {0}, body = {0}, usual = {0};
    mica__reply reply;
    mica__buf_printf(&usual, "Upload %s with mica", name);
    mica__buf_printf(&url, "/api/models/%s/commit/", u->id);
    mica__hub_append_encoded(&url, mica__str_from(u->revision), false);
    if (u->o->pull_request) mica__buf_append_z(&url, "?create_pr=1");
    append_text(&body, "{\"key\":\"header\",\"value\":{\"summary\":",
                u->o->message ? u->o->message
                : usual.p     ? usual.p
                              : "");
    append_text(&body, ",\"description\":", u->o->description ? u->o->description : "");
    mica__buf_append_z(&body, "}}\n");
    mica_status status = mica__buf_status(&url, err, "an address");
    for (size_t i = 0; i < u->n && status == MICA_OK; i++) {
        if (u->files[i].skip) continue;
        status = append_file(&body, &u->files[i], err);
        out->n_files++;
    }
    if (status == MICA_OK)
        status = mica__upload_post(u, url.p, "application/x-ndjson", &body, false, NULL, &reply, err);
    if (status == MICA_UNAVAILABLE)
        status = mica__fail_prefix(err, status, "the commit may not have arrived, do it again");
    if (status == MICA_OK) status = read_commit(u, out, err);
    mica__buf_release(&usual);
    mica__buf_release(&url);
    mica__buf_release(&body);
    return status;
}

static mica_status nothing_new(const mica__upload *u, mica_hub_commit *out, mica_error *err)
{
    mica__buf url = {0};
    mica__buf_printf(&url, "%s/%s", u->settings.endpoint, u->id);
    out->url = mica__buf_take(&url);
    return out->url ? MICA_OK : mica__fail_memory(err, 256, "an address");
}

/* ---- the whole --------------------------------------------------------------------------------------------------------------------- */

static mica_status upload(mica__upload *u, const char *folder, mica_hub_commit *out, mica_error *err)
{
    size_t n_changed = 0;
    MICA_TRY(mica__upload_collect(u, folder, err));
    MICA_TRY(mica__http_create(&u->http, &u->net, err));
    MICA_TRY(find_owner(u, err));
    MICA_TRY(mica__upload_add_card(u, folder, err));
    MICA_TRY(create(u, err));
    MICA_TRY(find_changes(u, &n_changed, err));
    if (n_changed == 0) return nothing_new(u, out, err);
    MICA_TRY(mica__upload_large(u, err));
    out->sent_bytes = u->sent_bytes;
    return commit(u, out, strchr(u->id, '/') + 1, err);
}

static mica_status check(const mica__upload *u, mica_error *err)
{
    if (!mica_hub_is_id(u->id))
        return mica__fail(err, MICA_INVALID, "'%s' is not an id of the Hub (NAME or ORG/NAME)",
                          MICA_QUOTED(u->id ? u->id : "", u->id ? strlen(u->id) : 0));
    if (!mica__hub_revision_is_safe(u->revision))
        return mica__fail(err, MICA_INVALID, "'%s' is not a revision (a branch)",
                          MICA_QUOTED(u->revision, strlen(u->revision)));
    return MICA_OK;
}

mica_status mica_hub_upload(mica_hub_commit *out, const char *folder, const char *id,
                            const mica_hub_upload_options *options, mica_error *err)
{
    static const mica_hub_upload_options defaults;
    mica_error dropped;
    *out = (mica_hub_commit){0};
    if (!err) err = &dropped;
    mica__upload u = {.o = options ? options : &defaults, .id = id, .text = {.max = (size_t)64 << 20}};
    u.revision = u.o->revision ? u.o->revision : "main";
    MICA_TRY(check(&u, err));
    MICA_TRY(mica__hub_settings_init(&u.settings, "-", u.o->endpoint, u.o->token, true, err));
    u.net = (mica__net){.settings = &u.settings, .progress = &u.o->progress};
    mica_status status = MICA_OK;
    if (u.settings.offline)
        status = mica__fail(err, MICA_UNAVAILABLE, "%s: cannot upload, HF_HUB_OFFLINE is set", id);
    else if (!u.settings.token)
        status = mica__fail(err, MICA_ACCESS,
                            "%s: uploading needs a token that may write: set HF_TOKEN to one from %s/settings/tokens",
                            id, u.settings.endpoint);
    if (status == MICA_OK) status = upload(&u, folder, out, err);
    if (status != MICA_OK) mica_hub_commit_release(out);
    mica__http_free(u.http);
    mica__buf_release(&u.text);
    mica__free(u.files);
    mica__arena_release(&u.arena);
    mica__hub_settings_release(&u.settings);
    return status;
}

void mica_hub_commit_release(mica_hub_commit *c)
{
    mica__free(c->url);
    mica__free(c->pull_request_url);
    *c = (mica_hub_commit){0};
}
