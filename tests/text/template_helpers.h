/* tests/text/template_helpers.h: rendering and reference files for the tests of templates. Include after cmocka.h. */
#ifndef MICA_TESTS_TEMPLATE_HELPERS_H
#define MICA_TESTS_TEMPLATE_HELPERS_H

#include "text/chat_template.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW "2026-01-02T03:04:05"

static const mica_chat_template_options fixed_clock = {.now = NOW};

static inline mica_chat_template *make(const char *source, const char *special)
{
    mica_chat_template *t = NULL;
    mica_error err = {0};
    if (mica_chat_template_create(&t, source, strlen(source), special, &err)) fail_msg("%s: %s", source, err.message);
    return t;
}

static inline mica_status render(const mica_chat_template *t, const char *input, const mica_chat_template_options *o,
                                 mica_text *out, mica_error *err)
{
    return mica_chat_template_render(t, input, strlen(input), o ? o : &fixed_clock, out, err);
}

static inline void check_text(const char *source, const char *input, const char *expected)
{
    mica_chat_template *t = make(source, NULL);
    mica_text out = {0};
    mica_error err = {0};
    if (render(t, input, NULL, &out, &err)) fail_msg("%s: %s", source, err.message);
    assert_string_equal(out.data, expected);
    mica_text_release(&out);
    mica_chat_template_free(t);
}

/* Parses or renders `source` to a failure with this status, and a message that contains `part`. */
static inline void check_error(const char *source, const char *input, mica_status status, const char *part)
{
    mica_chat_template *t = NULL;
    mica_text out = {0};
    mica_error err = {0};
    mica_status got = mica_chat_template_create(&t, source, strlen(source), NULL, &err);
    if (!got) got = render(t, input, NULL, &out, &err);
    if (got != status || !strstr(err.message, part))
        fail_msg("%.80s: %s '%s', expected %s '%s'", source, mica_status_name(got), err.message,
                 mica_status_name(status), part);
    assert_null(out.data);
    mica_chat_template_free(t);
}

typedef struct document {
    mica__buf text;
    mica__json json;
} document;

static inline bool read_document(document *d, const char *path)
{
    mica_error err = {0};
    *d = (document){0};
    if (!mica__path_is_file(path)) return false;
    if (mica__file_read(&d->text, path, 256u << 20, &err) ||
        mica__json_parse(&d->json, d->text.p, d->text.n, NULL, &err))
        fail_msg("%s: %s", path, err.message);
    return true;
}

static inline void release_document(document *d)
{
    mica__json_release(&d->json);
    mica__buf_release(&d->text);
}

static inline char *to_json(mica__jval v)
{
    mica__buf b = {0};
    mica__json_write(&b, v);
    return mica__buf_take(&b);
}

#endif
