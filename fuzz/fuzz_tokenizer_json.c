/* fuzz/fuzz_tokenizer_json.c: any bytes as a tokenizer.json, and as a tokenizer_config.json after a NUL; what loads must encode
 * and decode a few texts within its own ids. */
#include <mica/tokenizer.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const mica_tokenizer *t)
{
    static const char *const texts[] = {"", "Hello, w\xc3\xb6rld 12!  \n", "a b\xcc\x81 <s> [X] ab\xe2\x96\x81",
                                        "\xf0\x9f\x98\x80\xe4\xbd\xa0'll"};
    mica_error err;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        mica_ids ids = {0};
        mica_text text = {0};
        if (mica_tokenizer_encode(t, texts[i], strlen(texts[i]), (unsigned)i & 3, &ids, &err) == MICA_OK) {
            for (size_t k = 0; k < ids.n; k++)
                if (ids.data[k] < 0 || ids.data[k] >= mica_tokenizer_size(t)) abort();
            if (mica_tokenizer_decode(t, ids.data, ids.n, i & 1, &text, &err) == MICA_OK && !text.data) abort();
        }
        mica_ids_release(&ids);
        mica_text_release(&text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *json = (const char *)data;
    const char *nul = size ? memchr(json, 0, size) : NULL;
    size_t n = nul ? (size_t)(nul - json) : size;
    mica_tokenizer *t = NULL;
    mica_error err;
    err.message[0] = 0;
    mica_status status = mica_tokenizer_create(&t, json, n, nul ? nul + 1 : NULL, nul ? size - n - 1 : 0, &err);
    if ((status == MICA_OK) != (t != NULL)) abort();
    if (status != MICA_OK && (!err.message[0] || strchr(err.message, '\n'))) abort();
    if (t) use(t);
    mica_tokenizer_free(t);
    return 0;
}
