/* formats/crc32.c: CRC-32 (reflected polynomial 0xedb88320), sixteen bytes a step.
 *
 * table[k][b] is what byte b contributes k bytes later, so that the sixteen bytes of a step are looked up independently of each other. The
 * tables are made by the first call. */
#include "zip.h"

#include <pthread.h>

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

uint32_t mica__crc32(uint32_t crc, const uint8_t *p, size_t n)
{
    pthread_once(&once, make_tables);
    crc = ~crc;
    for (; n >= STEP; n -= STEP, p += STEP) {
        uint32_t next = 0;
        for (int i = 0; i < 4; i++) next ^= table[STEP - 1 - i][(p[i] ^ crc >> (8 * i)) & 0xff];
        for (int i = 4; i < STEP; i++) next ^= table[STEP - 1 - i][p[i]];
        crc = next;
    }
    for (; n; n--, p++) crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
    return ~crc;
}
