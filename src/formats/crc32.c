/* formats/crc32.c: CRC-32 (reflected polynomial 0xedb88320).
 *
 * Bytes are taken sixteen at a time: table[k][b] is what byte b contributes k bytes later, so that the sixteen look-ups of a step do not
 * wait for each other. The tables are made by the first call.
 *
 * Long runs are first folded. As polynomials over GF(2), a checksum is the message modulo the polynomial, so 128 bits of the message may be
 * replaced by any 128 bits with the same remainder: by their two halves times the remainders of x^(n+32) and x^(n-32), n bits further down,
 * with one carry-less multiplication each. What is left of the message in the end is 16 bytes with the same checksum. */
#include "zip.h"

#include "../base/cpu.h"

#include <pthread.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { STEP = 16 };

static uint32_t table[STEP][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        table[0][b] = crc;
    }
    for (int k = 1; k < STEP; k++)
        for (int b = 0; b < 256; b++) table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 0xff];
}

/* The register behind n bytes. */
static uint32_t by_tables(uint32_t crc, const uint8_t *p, size_t n)
{
    for (; n >= STEP; n -= STEP, p += STEP) {
        uint32_t next = 0;
        for (int i = 0; i < 4; i++) next ^= table[STEP - 1 - i][(p[i] ^ crc >> (8 * i)) & 0xff];
        for (int i = 4; i < STEP; i++) next ^= table[STEP - 1 - i][p[i]];
        crc = next;
    }
    for (; n; n--, p++) crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
    return crc;
}

#if defined(__x86_64__)

enum { LANES = 4, BLOCK = 16 * LANES };

static bool can_fold(void) { return mica__cpu_features()->avx2 && __builtin_cpu_supports("pclmul"); }

/* x, moved down by as many bits as the factors say, added to next. */
__attribute__((target("pclmul,sse4.1"))) static inline __m128i fold(__m128i x, __m128i factors, __m128i next)
{
    __m128i low = _mm_clmulepi64_si128(x, factors, 0x00), high = _mm_clmulepi64_si128(x, factors, 0x11);
    return _mm_xor_si128(next, _mm_xor_si128(low, high));
}

/* The register behind the first n - n % BLOCK bytes; n is at least BLOCK. */
__attribute__((target("pclmul,sse4.1"))) static uint32_t by_folding(uint32_t crc, const uint8_t *p, size_t n)
{
    /* x^(n+32) and x^(n-32) modulo the polynomial, reflected, for n = 512 and n = 128 */
    const __m128i by_block = _mm_set_epi64x(0x1c6e41596, 0x154442bd4),
                  by_lane = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    __m128i x[LANES];
    for (int i = 0; i < LANES; i++) x[i] = _mm_loadu_si128((const __m128i *)p + i);
    x[0] = _mm_xor_si128(x[0], _mm_cvtsi32_si128((int)crc)); /* the register is part of the message */
    for (p += BLOCK, n -= BLOCK; n >= BLOCK; p += BLOCK, n -= BLOCK)
        for (int i = 0; i < LANES; i++) x[i] = fold(x[i], by_block, _mm_loadu_si128((const __m128i *)p + i));
    for (int i = 1; i < LANES; i++) x[0] = fold(x[0], by_lane, x[i]);
    uint8_t rest[16];
    _mm_storeu_si128((__m128i *)rest, x[0]);
    return by_tables(0, rest, sizeof rest);
}

#else

enum { BLOCK = 1 };
static bool can_fold(void) { return false; }
static uint32_t by_folding(uint32_t crc, const uint8_t *p, size_t n) { return by_tables(crc, p, n); }

#endif

uint32_t mica__crc32(uint32_t crc, const uint8_t *p, size_t n)
{
    pthread_once(&once, make_tables);
    crc = ~crc;
    if (n >= BLOCK && can_fold()) {
        crc = by_folding(crc, p, n);
        p += n - n % BLOCK;
        n %= BLOCK;
    }
    return ~by_tables(crc, p, n);
}
