/* fuzz/fuzz_tokenizer_text.c: any text, encoded and decoded by one of a few small tokenizers. Byte 0 picks the tokenizer, byte 1
 * the flags and what is done with the rest: it is a text, or two, or ids.
 *
 * Checked: what is UTF-8 encodes, what is not does not; ids are in range; decoded text is UTF-8; the parts of a stream are, too,
 * and together they are the text that decoding at once gives. */
#include "base/str.h"
#include <mica/tokenizer.h>
#include <stdlib.h>
#include "tokenizer_samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_SAMPLES = sizeof samples / sizeof samples[0] };

static const mica_tokenizer *sample(size_t i)
{
    static mica_tokenizer *made[N_SAMPLES];
    if (!made[i] && mica_tokenizer_create(&made[i], samples[i], strlen(samples[i]), NULL, 0, NULL) != MICA_OK) abort();
    return made[i];
}

static void check_decoding(const mica_tokenizer *t, const int32_t *ids, size_t n, bool skip)
{
    mica_text whole = {0};
    mica_decode_stream *s = NULL;
    const char *part;
    size_t part_n, at = 0;
    if (mica_tokenizer_decode(t, ids, n, skip, &whole, NULL) != MICA_OK) abort();
    if (!mica__utf8_valid(whole.data, whole.n)) abort();
    if (mica_decode_stream_create(&s, t, skip, NULL) != MICA_OK) abort();
    for (size_t i = 0; i <= n; i++) {
        mica_status status = i < n ? mica_decode_stream_push(s, ids[i], &part, &part_n, NULL)
                                   : mica_decode_stream_flush(s, &part, &part_n, NULL);
        if (status != MICA_OK || !mica__utf8_valid(part, part_n)) abort();
        if (part_n > whole.n - at || memcmp(whole.data + at, part, part_n) != 0) abort();
        at += part_n;
    }
    if (at != whole.n) abort();
    mica_decode_stream_free(s);
    mica_text_release(&whole);
}

/* The same ids as without offsets, and all of them stand in the text. */
static void check_offsets(const mica_tokenizer *t, const char *text, size_t n, unsigned flags)
{
    mica_ids plain = {0}, ids = {0}, offsets = {0};
    size_t chars = 0;
    for (size_t i = 0; i < n; i++) chars += ((unsigned char)text[i] & 0xc0) != 0x80;
    flags &= MICA_SPLIT_SPECIAL_TOKENS;
    if (mica_tokenizer_encode(t, text, n, flags, &plain, NULL) != MICA_OK) abort();
    if (mica_tokenizer_encode_offsets(t, text, n, flags, &ids, &offsets, NULL) != MICA_OK) abort();
    if (ids.n != plain.n || offsets.n != 3 * ids.n) abort();
    if (ids.n && memcmp(ids.data, plain.data, ids.n * sizeof *ids.data) != 0) abort();
    for (size_t i = 0; i < offsets.n; i += 3) {
        const int32_t *o = offsets.data + i;
        if (o[0] < 0 || o[1] < o[0] || (size_t)o[1] > chars || o[2] < 0) abort();
    }
    mica_ids_release(&plain);
    mica_ids_release(&ids);
    mica_ids_release(&offsets);
}

static void check_text(const mica_tokenizer *t, const char *text, size_t n, unsigned flags)
{
    mica_ids ids = {0};
    mica_error err;
    mica_status status = mica_tokenizer_encode(t, text, n, flags, &ids, &err);
    if ((status == MICA_OK) != mica__utf8_valid(text, n)) abort();
    for (size_t i = 0; i < ids.n; i++)
        if (ids.data[i] < 0 || ids.data[i] >= mica_tokenizer_size(t)) abort();
    if (status == MICA_OK) check_decoding(t, ids.data, ids.n, flags & 1);
    if (status == MICA_OK) check_offsets(t, text, n, flags);
    mica_ids_release(&ids);
}

static void check_pair(const mica_tokenizer *t, const char *text, size_t n, unsigned flags)
{
    mica_ids ids = {0}, types = {0};
    mica_error err;
    size_t half = n / 2;
    mica_status status = mica_tokenizer_encode_pair(t, text, half, text + half, n - half, flags, &ids, &types, &err);
    if (ids.n != types.n || (status != MICA_OK && ids.n)) abort();
    mica_ids_release(&ids);
    mica_ids_release(&types);
}

/* ids: the bytes, moved up so that half of the inputs reach the tokens behind the byte tokens. */
static void check_ids(const mica_tokenizer *t, const uint8_t *data, size_t size, unsigned flags)
{
    int32_t ids[64];
    size_t n = 0;
    for (; n < size && n < 64; n++) ids[n] = data[n] + (flags & 4 ? 200 : 0);
    check_decoding(t, ids, n, flags & 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    const mica_tokenizer *t = sample(data[0] % N_SAMPLES);
    const char *text = (const char *)data + 2;
    switch (data[1] >> 3 & 3) {
    case 0:
        check_ids(t, data + 2, size - 2, data[1]);
        break;
    case 1:
        check_pair(t, text, size - 2, data[1] & 3);
        break;
    default:
        check_text(t, text, size - 2, data[1] & 3);
        break;
    }
    return 0;
}
