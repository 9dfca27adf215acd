/* text/regex.c: compiling with PCRE2 and searching within limits. */
#include "text/regex.h"
#include "base/memory.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct mica__regex {
    pcre2_code *code;
    bool jit;
};

enum {
    STEPS = 400000, /* backtracking steps of one search, plus some for every byte of text */
    STEPS_PER_BYTE = 40,
    HEAP_KIB = 64 * 1024,   /* of the interpreter */
    SMALL_STACK = 64 << 10, /* of the JIT, when the machine stack's 32 KiB do not do */
    LARGE_STACK = 64 << 20,
};

static void *pcre_alloc(size_t n, void *context)
{
    (void)context;
    return mica__alloc(n, 1);
}

static void pcre_free(void *block, void *context)
{
    (void)context;
    mica__free(block);
}

static mica_status compile(mica__regex *re, const mica__buf *text, mica_error *err)
{
    int code = PCRE2_ERROR_NOMEMORY;
    PCRE2_SIZE offset = 0;
    pcre2_general_context *general = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    pcre2_compile_context *context = general ? pcre2_compile_context_create(general) : NULL;
    if (context) {
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        re->code = pcre2_compile((PCRE2_SPTR)(text->p ? text->p : ""), text->n,
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &offset, context);
    }
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
    if (re->code) {
        re->jit = pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE) == 0;
        return MICA_OK;
    }
    if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAP_FAILED)
        return mica__fail_memory(err, text->n, "a regular expression");
    PCRE2_UCHAR message[128] = "";
    pcre2_get_error_message(code, message, sizeof message);
    return mica__fail(err, MICA_DATA, "regular expression: %s", (const char *)message);
}

mica_status mica__regex_create(mica__regex **out, mica__str pattern, mica_error *err)
{
    *out = NULL;
    mica__buf text = {0};
    mica__regex *re = mica__calloc(1, sizeof *re);
    mica_status status =
        re ? mica__regex_translate(&text, pattern, err) : mica__fail_memory(err, sizeof *re, "a regex");
    if (status == MICA_OK) status = compile(re, &text, err);
    mica__buf_release(&text);
    if (status == MICA_OK)
        *out = re;
    else
        mica__regex_free(re);
    return status;
}

void mica__regex_free(mica__regex *re)
{
    if (!re) return;
    pcre2_code_free(re->code);
    mica__free(re);
}

static bool prepare(mica__matcher *m)
{
    if (m->data) return true;
    pcre2_general_context *general = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    if (!general) return false;
    m->data = pcre2_match_data_create(1, general);
    m->context = pcre2_match_context_create(general);
    pcre2_general_context_free(general);
    if (m->data && m->context) {
        pcre2_set_heap_limit(m->context, HEAP_KIB);
        return true;
    }
    mica__matcher_release(m);
    return false;
}

void mica__matcher_release(mica__matcher *m)
{
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    pcre2_jit_stack_free(m->stack);
    *m = (mica__matcher){0};
}

/* A larger stack for the JIT, once. */
static bool grow_stack(mica__matcher *m)
{
    if (m->stack) return false;
    m->stack = pcre2_jit_stack_create(SMALL_STACK, LARGE_STACK, NULL);
    if (!m->stack) return false;
    pcre2_jit_stack_assign(m->context, NULL, m->stack);
    return true;
}

static int search(const mica__regex *re, const mica__matcher *m, mica__str text, size_t from)
{
    PCRE2_SPTR p = (PCRE2_SPTR)(text.p ? text.p : "");
    return re->jit ? pcre2_jit_match(re->code, p, text.n, from, PCRE2_NO_UTF_CHECK, m->data, m->context)
                   : pcre2_match(re->code, p, text.n, from, PCRE2_NO_UTF_CHECK, m->data, m->context);
}

mica_status mica__regex_find(const mica__regex *re, mica__matcher *m, mica__str text, size_t from, size_t *start,
                             size_t *end, mica_error *err)
{
    if (!prepare(m)) return mica__fail_memory(err, 256, "a search");
    size_t steps = STEPS + STEPS_PER_BYTE * (text.n - from);
    pcre2_set_match_limit(m->context, steps > UINT32_MAX ? UINT32_MAX : (uint32_t)steps);
    int n = search(re, m, text, from);
    if (n == PCRE2_ERROR_JIT_STACKLIMIT && grow_stack(m)) n = search(re, m, text, from);
    if (n == PCRE2_ERROR_NOMATCH) {
        *start = *end = SIZE_MAX;
        return MICA_OK;
    }
    if (n >= 0) {
        const PCRE2_SIZE *ovector = pcre2_get_ovector_pointer(m->data);
        *start = ovector[0];
        *end = ovector[1];
        if (*start <= *end && *start >= from && *end <= text.n) return MICA_OK;
        return mica__fail(err, MICA_DATA, "regular expression matched outside of the text");
    }
    if (n == PCRE2_ERROR_NOMEMORY) return mica__fail_memory(err, HEAP_KIB, "a search");
    if (n == PCRE2_ERROR_MATCHLIMIT || n == PCRE2_ERROR_JIT_STACKLIMIT || n == PCRE2_ERROR_HEAPLIMIT ||
        n == PCRE2_ERROR_DEPTHLIMIT)
        return mica__fail(err, MICA_LIMIT, "regular expression needs too many steps at byte %zu of the text", from);
    PCRE2_UCHAR message[128] = "";
    pcre2_get_error_message(n, message, sizeof message);
    return mica__fail(err, MICA_DATA, "regular expression: %s", (const char *)message);
}
