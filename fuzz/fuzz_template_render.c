/* Renders a template with an input, both from the bytes: the template, a zero byte, the JSON object. Without a zero byte the
 * input is a conversation with something of every kind. */
#include <mica/chat_template.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char plenty[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi <b> \\u00e9 \\ud83d\\ude00\"}, "
                             "{\"role\": \"assistant\", \"content\": null, "
                             "\"tool_calls\": [{\"name\": \"f\", \"arguments\": {\"x\": 1, \"y\": [1, 2.5, null, "
                             "true]}}]}], \"tools\": [{\"a\": {\"b\": \"c\"}}], "
                             "\"s\": \"Hello, World\", \"u\": \"\\u00dcn\\u00efc \\u4e2d\", \"n\": 7, \"f\": 2.5, "
                             "\"big\": 123456789012345678901, \"l\": [3, 1, 2], "
                             "\"d\": {\"b\": 1, \"a\": 2}, \"x\": \"\", \"e\": []}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    mica_chat_template *t = NULL;
    mica_error err;
    const uint8_t *end = n ? memchr(data, 0, n) : NULL;
    size_t n_template = end ? (size_t)(end - data) : n;
    if (mica_chat_template_create(&t, (const char *)data, n_template, "{\"bos_token\": \"<s>\"}", &err)) return 0;
    const char *input = end ? (const char *)end + 1 : plenty;
    size_t n_input = end ? n - n_template - 1 : sizeof plenty - 1;
    mica_chat_template_options options = {.now = "2026-01-02T03:04:05", .max_steps = 1000, .max_bytes = 1 << 18};
    mica_text out = {0};
    if (mica_chat_template_render(t, input, n_input, &options, &out, &err) && out.data) __builtin_trap();
    mica_text_release(&out);
    mica_chat_template_free(t);
    return 0;
}
