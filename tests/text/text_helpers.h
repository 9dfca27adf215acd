/* tests/text/text_helpers.h: files and tokenizers for the tests of src/text. */
#ifndef MICA_TESTS_TEXT_HELPERS_H
#define MICA_TESTS_TEXT_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <mica/tokenizer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"

/* The folder of shared references; NULL, and a line that says so, if it is not there. */
static inline const char *shared_folder(void)
{
    const char *folder = getenv("MICA_SHARED");
    if (!folder) folder = MICA_TEST_DATA "/../../../shared";
    char path[4096];
    snprintf(path, sizeof path, "%s/reference/tokenizers/texts.json", folder);
    FILE *f = fopen(path, "rb");
    if (f) {
        fclose(f);
        return folder;
    }
    printf("skipped: no shared references in %s\n", folder);
    return NULL;
}

static inline char *read_stream(FILE *f, size_t *n)
{
    size_t cap = 1 << 16;
    char *p = malloc(cap + 1);
    for (*n = 0;;) {
        size_t got = fread(p + *n, 1, cap - *n, f);
        *n += got;
        if (!got) break;
        if (*n == cap) p = realloc(p, (cap *= 2) + 1);
    }
    p[*n] = 0;
    return p;
}

/* The content of a file (malloc), unpacked if its name ends in .xz. The test fails if it is not there. */
static inline char *read_file(const char *path, size_t *n)
{
    size_t length = strlen(path);
    bool packed = length > 3 && strcmp(path + length - 3, ".xz") == 0;
    char command[4200];
    snprintf(command, sizeof command, "xz -dc '%s'", path);
    FILE *f = packed ? popen(command, "r") : fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    char *p = read_stream(f, n);
    if (packed)
        pclose(f);
    else
        fclose(f);
    if (!*n) fail_msg("%s is empty", path);
    return p;
}

static inline char *read_filef(size_t *n, const char *fmt, const char *a, const char *b)
{
    char path[4096];
    snprintf(path, sizeof path, fmt, a, b);
    return read_file(path, n);
}

static inline mica_tokenizer *make_tokenizer(const char *json, size_t n, const char *config, size_t n_config)
{
    mica_tokenizer *t = NULL;
    mica_error err;
    if (mica_tokenizer_create(&t, json, n, config, n_config, &err) != MICA_OK) fail_msg("%s", err.message);
    return t;
}

static inline mica__json parse_json(const char *text, size_t n)
{
    mica__json doc;
    mica_error err;
    if (mica__json_parse(&doc, text, n, NULL, &err) != MICA_OK) fail_msg("%s", err.message);
    return doc;
}

/* A JSON array of integers. */
static inline mica_ids json_ids(mica__jval v)
{
    mica_ids ids = {malloc((mica__json_count(v) + 1) * sizeof(int32_t)), 0, 0};
    for (mica__jval e = mica__json_first(v); e; e = mica__json_next(v, e)) {
        int64_t id = -1;
        mica__json_int(e, &id);
        ids.data[ids.n++] = (int32_t)id;
    }
    return ids;
}

static inline void print_ids(const char *name, const int32_t *ids, size_t n)
{
    fprintf(stderr, "  %s:", name);
    for (size_t i = 0; i < n && i < 60; i++) fprintf(stderr, " %d", (int)ids[i]);
    fprintf(stderr, "%s\n", n > 60 ? " ..." : "");
}

static inline bool same_ids(const mica_ids *a, const mica_ids *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->data, b->data, a->n * sizeof *a->data) == 0);
}

/* Decodes at once and as a stream; the test fails where the two differ or a part is not UTF-8. free() the result. */
static inline char *decode_both(const mica_tokenizer *t, const int32_t *ids, size_t n, bool skip, size_t *n_out)
{
    mica_text whole = {0};
    mica_error err;
    mica_decode_stream *s = NULL;
    if (mica_tokenizer_decode(t, ids, n, skip, &whole, &err) != MICA_OK) fail_msg("%s", err.message);
    if (mica_decode_stream_create(&s, t, skip, &err) != MICA_OK) fail_msg("%s", err.message);
    char *joined = malloc(whole.n + 1);
    size_t at = 0, part_n;
    const char *part;
    for (size_t i = 0; i <= n; i++) {
        mica_status status = i < n ? mica_decode_stream_push(s, ids[i], &part, &part_n, &err)
                                   : mica_decode_stream_flush(s, &part, &part_n, &err);
        if (status != MICA_OK) fail_msg("%s", err.message);
        if (!mica__utf8_valid(part, part_n)) fail_msg("stream part %zu is not UTF-8", i);
        if (at + part_n > whole.n) fail_msg("the stream is longer than the text '%s'", whole.data);
        memcpy(joined + at, part, part_n);
        at += part_n;
    }
    mica_decode_stream_free(s);
    if (at != whole.n || memcmp(joined, whole.data, at) != 0)
        fail_msg("stream '%.*s' differs from text '%s'", (int)at, joined, whole.data);
    joined[at] = 0;
    *n_out = at;
    mica_text_release(&whole);
    return joined;
}

/* The tokenizer.json of an entry of zoo.json; its model may be a name for the shared one. */
static inline mica__buf zoo_spec(mica__jval entry, mica__jval glass)
{
    mica__buf out = {0};
    mica__jval spec = mica__json_get(entry, "tokenizer");
    for (mica__jval m = mica__json_first(spec); m; m = mica__json_next(spec, m)) {
        mica__jval v = mica__json_value(m);
        bool shared = mica__str_is(mica__json_key(m), "model") && mica__json_is(v, MICA__JSON_STRING);
        mica__buf_append_z(&out, out.n ? "," : "{");
        mica__json_write_string(&out, mica__json_key(m), false);
        mica__buf_append_z(&out, ":");
        mica__json_write(&out, shared ? glass : v);
    }
    mica__buf_append_z(&out, "}");
    return out;
}

/* The tokenizer.json of that name in zoo.json, with another shared model if glass is not NULL. */
static inline mica__buf zoo_find_with(const char *name, mica__jval glass)
{
    size_t n;
    mica__buf found = {0};
    char *text = read_file(MICA_TEST_DATA "/tokenizers/zoo.json", &n);
    mica__json doc = parse_json(text, n);
    mica__jval list = mica__json_get(mica__json_root(&doc), "tokenizers");
    if (!glass) glass = mica__json_get(mica__json_root(&doc), "glass");
    for (mica__jval e = mica__json_first(list); e && !found.n; e = mica__json_next(list, e)) {
        mica__str title = {NULL, 0};
        mica__json_string(mica__json_get(e, "name"), &title);
        if (mica__str_is(title, name)) found = zoo_spec(e, glass);
    }
    mica__json_release(&doc);
    free(text);
    if (!found.n) fail_msg("no tokenizer '%s' in zoo.json", name);
    return found;
}

static inline mica__buf zoo_find(const char *name) { return zoo_find_with(name, NULL); }

#endif
