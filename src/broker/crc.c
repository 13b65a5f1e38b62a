#include "broker/crc.h"

#include <pthread.h>

enum {
    CRC_SLICES = 8, /* bytes taken at a time */
};

static const uint32_t crc_polynomial = 0x82F63B78; /* reversed */
static uint32_t crc_table[CRC_SLICES][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void crc_fill_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ crc_polynomial : crc >> 1;
        crc_table[0][byte] = crc;
    }
    for (uint32_t byte = 0; byte < 256; byte++)
        for (int slice = 1; slice < CRC_SLICES; slice++)
            crc_table[slice][byte] =
                crc_table[slice - 1][byte] >> 8 ^ crc_table[0][crc_table[slice - 1][byte] & 255];
}

uint32_t broker_crc(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *at = data;
    pthread_once(&crc_once, crc_fill_table);
    crc = ~crc;
    for (; len >= CRC_SLICES; len -= CRC_SLICES, at += CRC_SLICES)
        crc = crc_table[7][(crc ^ at[0]) & 255] ^ crc_table[6][(crc >> 8 ^ at[1]) & 255] ^
              crc_table[5][(crc >> 16 ^ at[2]) & 255] ^ crc_table[4][crc >> 24 ^ at[3]] ^
              crc_table[3][at[4]] ^ crc_table[2][at[5]] ^ crc_table[1][at[6]] ^ crc_table[0][at[7]];
    for (; len; len--, at++)
        crc = crc >> 8 ^ crc_table[0][(crc ^ *at) & 255];
    return ~crc;
}
