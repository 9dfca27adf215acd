/* fuzz/fuzz_json.c: any bytes as JSON; what is accepted is walked with every accessor, written, and read again. */
#include "base/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Visits everything below v; returns how many values that are. */
static size_t walk(mica__jval v)
{
    size_t count = 1;
    mica__str s;
    int64_t i;
    double d;
    bool b;
    mica__json_string(v, &s);
    mica__json_int(v, &i);
    mica__json_double(v, &d);
    mica__json_bool(v, &b);
    mica__json_number_text(v);
    bool is_object = mica__json_is(v, MICA__JSON_OBJECT);
    size_t n_children = 0;
    for (mica__jval e = mica__json_first(v); e; e = mica__json_next(v, e), n_children++) {
        if (is_object && !mica__json_get_str(v, mica__json_key(e))) abort();
        count += walk(is_object ? mica__json_value(e) : e);
    }
    if (n_children != mica__json_count(v)) abort();
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n == 0) return 0;
    /* The first byte chooses the limits. */
    const mica__json_limits limits = {.max_depth = bytes[0] & 3 ? 0 : 5,
                                      .max_nodes = bytes[0] & 4 ? 0 : 100,
                                      .unique_keys = bytes[0] & 8,
                                      .allow_nonfinite = bytes[0] & 16};
    mica_error err;
    mica__json doc, again;
    if (mica__json_parse(&doc, (const char *)bytes + 1, n - 1, &limits, &err) != MICA_OK) return 0;
    size_t count = walk(mica__json_root(&doc));
    mica__buf text = {0};
    mica__json_write(&text, mica__json_root(&doc));
    if (text.failed || mica__json_parse(&again, text.p, text.n, &limits, &err) != MICA_OK) abort();
    if (walk(mica__json_root(&again)) != count) abort();
    mica__json_release(&again);
    mica__json_release(&doc);
    mica__buf_release(&text);
    return 0;
}
