/* broker/crc.h: CRC-32C (Castagnoli), which tells a batch on disk from what a crash left of one. */
#ifndef BROKER_CRC_H
#define BROKER_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from `crc`, 0 at first. */
uint32_t broker_crc(uint32_t crc, const void *data, size_t len);

#endif
