/* Parses any bytes as a chat template, and renders what parses with an empty conversation on a small budget. */
#include <mica/chat_template.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    mica_chat_template *t = NULL;
    mica_error err;
    if (mica_chat_template_create(&t, (const char *)data, n, NULL, &err)) return 0;
    static const char input[] = "{\"messages\": []}";
    mica_chat_template_options options = {.now = "2026-01-02T03:04:05", .max_steps = 500, .max_bytes = 1 << 18};
    mica_text out = {0};
    if (mica_chat_template_render(t, input, strlen(input), &options, &out, &err)) {
        if (out.data) __builtin_trap(); /* a failure leaves nothing behind */
    } else if (memchr(out.data, 0, out.n) == NULL && strlen(out.data) != out.n) {
        __builtin_trap();
    }
    mica_text_release(&out);
    mica_chat_template_free(t);
    return 0;
}
