/* base/error.c: the one place that writes into a mica_error. Messages are one line and always terminated;
 * formatting that does not fit is cut. */
#include "error.h"
#include "str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    mica_status status;
    int exit_code;
    const char *name, *text;
} status_table[] = {
#define ROW(name, value, exit_code, text) {MICA_##name, exit_code, #name, text},
    MICA_STATUS_MAP(ROW)
#undef ROW
};

enum { N_STATUSES = sizeof status_table / sizeof status_table[0] };

const char *mica_status_name(mica_status status)
{
    for (int i = 0; i < N_STATUSES; i++)
        if (status_table[i].status == status) return status_table[i].name;
    return "UNKNOWN";
}

const char *mica_status_text(mica_status status)
{
    for (int i = 0; i < N_STATUSES; i++)
        if (status_table[i].status == status) return status_table[i].text;
    return "unknown error";
}

int mica_status_exit_code(mica_status status)
{
    for (int i = 0; i < N_STATUSES; i++)
        if (status_table[i].status == status) return status_table[i].exit_code;
    return 70;
}

/* Whatever was formatted into it (paths are any bytes), a message is one line of valid UTF-8: other bytes become '?', and a
 * character that the end of the text cut in two goes. */
static void tidy(char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        int length = mica__utf8_decode(text + i, n - i, &cp);
        if (length && cp >= 0x20 && cp != 0x7f) {
            i += (size_t)length;
        } else if (!length && i + mica__utf8_invalid_length(text + i, n - i) == n && (unsigned char)text[i] >= 0xc2) {
            text[i] = 0;
            return;
        } else {
            text[i++] = '?';
        }
    }
}

mica_status(mica__fail)(mica_error *err, mica_status status, const char *fmt, ...)
{
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->status = status;
        vsnprintf(err->message, sizeof err->message, fmt, args);
        va_end(args);
        tidy(err->message);
    }
    return status;
}

mica_status(mica__fail_memory)(mica_error *err, size_t n_bytes, const char *what)
{
    return mica__fail(err, MICA_MEMORY, "out of memory (%zu bytes for %s)", n_bytes, what);
}

static mica_status status_of_errno(int e)
{
    switch (e) {
    case ENOENT:
    case ENOTDIR:
        return MICA_NOT_FOUND;
    case EACCES:
    case EPERM:
        return MICA_ACCESS;
    case ENOMEM:
        return MICA_MEMORY;
    case EMFILE:
    case ENFILE:
    case EAGAIN:
        return MICA_SYSTEM;
    case EISDIR:
        return MICA_DATA;
    case EROFS:
    case EEXIST:
        return MICA_CANNOT_CREATE;
    case EBUSY:
        return MICA_BUSY;
    case ENAMETOOLONG:
    case ELOOP:
        return MICA_INVALID;
    default:
        return MICA_IO;
    }
}

mica_status(mica__fail_errno)(mica_error *err, int errno_value, const char *what, const char *path)
{
    char reason[128];
    const char *text = strerror_r(errno_value, reason, sizeof reason);
    return mica__fail(err, status_of_errno(errno_value), "%s: cannot %s: %s", path, what, text);
}

mica_status mica__fail_prefix(mica_error *err, mica_status status, const char *fmt, ...)
{
    if (err) {
        char old[sizeof err->message], prefix[sizeof err->message / 2];
        va_list args;
        va_start(args, fmt);
        vsnprintf(prefix, sizeof prefix, fmt, args);
        va_end(args);
        memcpy(old, err->message, sizeof old);
        old[sizeof old - 1] = 0;
        mica__fail(err, status, "%s: %s", prefix, old);
    }
    return status;
}

/* Appends to a text of at most cap - 1 bytes; false when it does not fit. */
static bool quote_append(char *text, size_t cap, size_t *n, const char *bytes, size_t n_bytes)
{
    if (*n + n_bytes >= cap) return false;
    memcpy(text + *n, bytes, n_bytes);
    *n += n_bytes;
    text[*n] = 0;
    return true;
}

const char *mica__quote(mica__quoted *out, const char *bytes, size_t n)
{
    enum { MAX_SOURCE = 80 };
    const size_t cap = sizeof out->text - 4; /* room for "..." */
    size_t used = 0, i = 0;
    out->text[0] = 0;
    while (i < n && i < MAX_SOURCE) {
        uint32_t cp = 0;
        int length = mica__utf8_decode(bytes + i, n - i, &cp);
        char escaped[8];
        size_t n_escaped;
        /* C1 controls, line separators and bidirectional overrides would let a file's text rearrange our
         * line. */
        bool plain = length && cp >= 0x20 && cp != 0x7f && cp != '\\' && cp != '\'' && !(cp >= 0x80 && cp < 0xa0) &&
                     !(cp >= 0x2028 && cp <= 0x202e) && !(cp >= 0x2066 && cp <= 0x2069);
        if (plain) {
            if (!quote_append(out->text, cap, &used, bytes + i, (size_t)length)) break;
            i += (size_t)length;
            continue;
        }
        unsigned char c = (unsigned char)bytes[i];
        if (c == '\n' || c == '\t' || c == '\r' || c == '\\' || c == '\'')
            n_escaped = (size_t)snprintf(escaped, sizeof escaped, "\\%c",
                                         c == '\n'   ? 'n'
                                         : c == '\t' ? 't'
                                         : c == '\r' ? 'r'
                                                     : c);
        else
            n_escaped = (size_t)snprintf(escaped, sizeof escaped, "\\x%02x", c);
        if (!quote_append(out->text, cap, &used, escaped, n_escaped)) break;
        i++;
    }
    if (i < n) memcpy(out->text + used, "...", 4);
    return out->text;
}
