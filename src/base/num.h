/* base/num.h: numbers, sizes and durations from text, checked. Nothing here accepts a sign,
 * leading or trailing blanks, or a value beyond the given maximum. */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A moment on the monotonic clock, or a span of it, in milliseconds. */
typedef uint64_t msec_t;

/* Decimal digits only, 0 <= value <= max. */
bool num_parse_u64(const char *text, size_t len, uint64_t max, uint64_t *ret_value);
bool num_parse_u32(const char *text, size_t len, uint32_t *ret_value);

/* A size in bytes: digits, then optionally one of B, K, KB, KiB, M, MB, MiB, G, GB, GiB in any
 * case, a blank allowed before it. KB, MB, GB are powers of 1000; K, M, G and KiB, MiB, GiB of
 * 1024. */
bool num_parse_size(const char *text, size_t len, uint64_t max, uint64_t *ret_bytes);

/* A duration: digits, optionally with a decimal fraction, then optionally a unit out of ms, s,
 * sec, min, m, h, d, a blank allowed before it; without a unit it is seconds. */
bool num_parse_duration(const char *text, size_t len, msec_t max, msec_t *ret_ms);

/* "950 B", "4.1 kB", "72.3 MB": for people, powers of 1000. Returns `out`, of >= 16 bytes. */
char *num_format_bytes(char *out, size_t cap, uint64_t bytes);

#endif
