/* payload/specials.h: which bytes of a block are not copied into a JSON string as they are: quote,
 * backslash, control, 8-bit. Internal. */
#ifndef PAYLOAD_SPECIALS_H
#define PAYLOAD_SPECIALS_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    PAYLOAD_BLOCK = 64
};

/* 0x01 in each byte of a word. */
#define PAYLOAD_ONES UINT64_C(0x0101010101010101)

/* One bit for each of eight bytes, the lowest for the first. Sums of seven-bit values set a byte's
 * top bit and never reach the next byte: 0x60 + x when x is no control, 0x7F + x when x is not 0.
 */
static inline uint64_t payload_specials_word(const uint8_t data[8])
{
    uint64_t word;
    memcpy(&word, data, sizeof word);
    word = le64toh(word);
    uint64_t seven = word & PAYLOAD_ONES * 0x7F;
    uint64_t no_control = seven + PAYLOAD_ONES * 0x60;
    uint64_t no_quote = (seven ^ PAYLOAD_ONES * '"') + PAYLOAD_ONES * 0x7F;
    uint64_t no_backslash = (seven ^ PAYLOAD_ONES * '\\') + PAYLOAD_ONES * 0x7F;
    uint64_t tops = (word | ~(no_control & no_quote & no_backslash)) & PAYLOAD_ONES * 0x80;
    /* The multiplication moves the bits 0, 8 … 56 to 56, 57 … 63. */
    return ((tops >> 7) * UINT64_C(0x0102040810204080)) >> 56;
}

static inline uint64_t payload_specials_portable(const uint8_t data[PAYLOAD_BLOCK])
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < PAYLOAD_BLOCK; i += 8)
        bits |= payload_specials_word(data + i) << i;
    return bits;
}

#ifdef __SSE2__
static inline uint64_t payload_specials_sse2(const uint8_t data[PAYLOAD_BLOCK])
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < PAYLOAD_BLOCK; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(data + i));
        /* Signed, an 8-bit byte is less than a blank, too. */
        __m128i special = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
        special = _mm_or_si128(special, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
        special = _mm_or_si128(special, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
        bits |= (uint64_t)(unsigned)_mm_movemask_epi8(special) << i;
    }
    return bits;
}
#endif

/* One bit for each byte, the lowest for the first. */
static inline uint64_t payload_specials(const uint8_t data[PAYLOAD_BLOCK])
{
#if defined __SSE2__ && !defined PAYLOAD_PORTABLE
    return payload_specials_sse2(data);
#else
    return payload_specials_portable(data);
#endif
}

#endif
