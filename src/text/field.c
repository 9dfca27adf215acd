/* text/field.c: typed fields of JSON components and the messages for wrong ones. */
#include "text/field.h"

#include <stdarg.h>
#include <stdio.h>

static size_t write_path(const mica__at *at, char *out, size_t room)
{
    size_t n = at->up ? write_path(at->up, out, room) : 0;
    if (n >= room) return n;
    int added = at->key ? snprintf(out + n, room - n, "%s%s", n ? "." : "", at->key)
                        : snprintf(out + n, room - n, "[%zu]", at->index);
    return n + (added > 0 ? (size_t)added : 0);
}

mica_status mica__fail_at(mica_error *err, const mica__at *at, const char *fmt, ...)
{
    char path[200], message[400];
    path[0] = 0;
    write_path(at, path, sizeof path);
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    return mica__fail(err, MICA_DATA, "%s: %s", path, message);
}

const char *mica__json_kind(mica__jval v)
{
    static const char *const names[] = {"null", "false", "true", "a number", "a string", "an array", "an object"};
    return v ? names[v->type] : "nothing";
}

static mica_status wrong(const mica__at *at, const char *key, const char *expected, mica__jval v, mica_error *err)
{
    mica__at here = {at, key, 0};
    return mica__fail_at(err, &here, "expected %s, found %s", expected, mica__json_kind(v));
}

static bool absent(mica__jval v) { return mica__json_type(v) == MICA__JSON_NULL; }

mica_status mica__field_bool(const mica__at *at, mica__jval object, const char *key, bool *out, mica_error *err)
{
    mica__jval v = mica__json_get(object, key);
    if (absent(v) || mica__json_bool(v, out)) return MICA_OK;
    return wrong(at, key, "true or false", v, err);
}

mica_status mica__field_int(const mica__at *at, mica__jval object, const char *key, int64_t low, int64_t high,
                            int64_t *out, mica_error *err)
{
    mica__jval v = mica__json_get(object, key);
    if (absent(v)) return MICA_OK;
    int64_t value;
    if (!mica__json_int(v, &value)) return wrong(at, key, "an integer", v, err);
    if (value < low || value > high) {
        mica__at here = {at, key, 0};
        return mica__fail_at(err, &here, "%lld is not in %lld..%lld", (long long)value, (long long)low,
                             (long long)high);
    }
    *out = value;
    return MICA_OK;
}

mica_status mica__field_string(const mica__at *at, mica__jval object, const char *key, mica__str *out, mica_error *err)
{
    mica__jval v = mica__json_get(object, key);
    if (absent(v) || mica__json_string(v, out)) return MICA_OK;
    return wrong(at, key, "a string", v, err);
}

mica_status mica__need_string(const mica__at *at, mica__jval object, const char *key, mica__str *out, mica_error *err)
{
    mica__jval v = mica__json_get(object, key);
    return mica__json_string(v, out) ? MICA_OK : wrong(at, key, "a string", v, err);
}

mica_status mica__need_char(const mica__at *at, mica__jval object, const char *key, uint32_t *out, mica_error *err)
{
    mica__str s;
    MICA_TRY(mica__need_string(at, object, key, &s, err));
    if (s.n == 0 || (size_t)mica__utf8_decode(s.p, s.n, out) != s.n)
        return wrong(at, key, "one character", mica__json_get(object, key), err);
    return MICA_OK;
}

mica_status mica__need_array(const mica__at *at, mica__jval object, const char *key, mica__jval *out, mica_error *err)
{
    *out = mica__json_get(object, key);
    return mica__json_is(*out, MICA__JSON_ARRAY) ? MICA_OK : wrong(at, key, "an array", *out, err);
}

mica_status mica__need_object(const mica__at *at, mica__jval object, const char *key, mica__jval *out, mica_error *err)
{
    *out = mica__json_get(object, key);
    return mica__json_is(*out, MICA__JSON_OBJECT) ? MICA_OK : wrong(at, key, "an object", *out, err);
}
