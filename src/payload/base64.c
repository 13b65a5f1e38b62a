#include "payload/base64.h"

#include "payload/out.h"

#if (defined __x86_64__ || defined __i386__) && !defined PAYLOAD_PORTABLE
#include <tmmintrin.h>
#define PAYLOAD_BASE64_SSSE3
#endif

enum {
    BASE64_GROUPS = 256 /* encoded at a time */
};

static const char payload_base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void payload_base64_group(char out[4], const uint8_t bytes[3])
{
    uint32_t bits = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
    out[0] = payload_base64_digits[bits >> 18];
    out[1] = payload_base64_digits[bits >> 12 & 63];
    out[2] = payload_base64_digits[bits >> 6 & 63];
    out[3] = payload_base64_digits[bits & 63];
}

#ifdef PAYLOAD_BASE64_SSSE3
/* Four groups at a time, six times as fast (W. Mula, D. Lemire: Faster Base64 Encoding and Decoding
 * using AVX2 Instructions, 2018). Reads 16 bytes for 12. Returns how many groups were done. */
__attribute__((target("ssse3"))) static size_t payload_base64_ssse3(char *out, const uint8_t *data,
                                                                    size_t groups)
{
    /* Each group's bytes 0, 1, 2 as 1, 0, 2, 1: two 16-bit words that hold two digits each. */
    const __m128i order = _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
    /* What is added to the digits 26 … 51, 52, 53, … 61, 62, 63, and 0 … 25. */
    const __m128i shifts =
        _mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                      '0' - 52, '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0);
    size_t done = 0;
    for (; groups - done >= 6; done += 4) {
        __m128i in = _mm_loadu_si128((const __m128i *)(const void *)(data + 3 * done));
        in = _mm_shuffle_epi8(in, order);
        /* Multiplications shift each digit to a byte of its own. */
        __m128i odd = _mm_mulhi_epu16(_mm_and_si128(in, _mm_set1_epi32(0x0FC0FC00)),
                                      _mm_set1_epi32(0x04000040));
        __m128i even = _mm_mullo_epi16(_mm_and_si128(in, _mm_set1_epi32(0x003F03F0)),
                                       _mm_set1_epi32(0x01000010));
        __m128i digits = _mm_or_si128(odd, even);
        __m128i range = _mm_subs_epu8(digits, _mm_set1_epi8(51));
        __m128i upper = _mm_cmpgt_epi8(_mm_set1_epi8(26), digits);
        range = _mm_or_si128(range, _mm_and_si128(upper, _mm_set1_epi8(13)));
        __m128i text = _mm_add_epi8(digits, _mm_shuffle_epi8(shifts, range));
        _mm_storeu_si128((__m128i *)(void *)(out + 4 * done), text);
    }
    return done;
}
#endif

static void payload_base64_encode(char *out, const uint8_t *data, size_t groups)
{
    size_t done = 0;
#ifdef PAYLOAD_BASE64_SSSE3
    if (__builtin_cpu_supports("ssse3"))
        done = payload_base64_ssse3(out, data, groups);
#endif
    for (; done < groups; done++)
        payload_base64_group(out + 4 * done, data + 3 * done);
}

/* Whole groups only. */
static void payload_base64_groups(struct payload_out *out, const uint8_t *data, size_t groups)
{
    while (groups) {
        char text[BASE64_GROUPS * 4];
        size_t now = groups < BASE64_GROUPS ? groups : BASE64_GROUPS;
        payload_base64_encode(text, data, now);
        payload_out_add(out, text, now * 4);
        data += now * 3;
        groups -= now;
    }
}

void payload_base64_add(struct payload_base64 *state, struct payload_out *out, const uint8_t *data,
                        size_t len)
{
    if (!len)
        return; /* `data` may be NULL then */
    if (state->carried && len + state->carried >= 3) {
        size_t taken = 3 - state->carried;
        uint8_t group[3] = {state->carry[0], state->carry[1]};
        memcpy(group + state->carried, data, taken);
        payload_base64_groups(out, group, 1);
        state->carried = 0;
        data += taken;
        len -= taken;
    }
    if (!state->carried) {
        size_t groups = len / 3;
        payload_base64_groups(out, data, groups);
        data += groups * 3;
        len -= groups * 3;
    }
    for (size_t i = 0; i < len; i++)
        state->carry[state->carried++] = data[i];
}

void payload_base64_end(struct payload_base64 *state, struct payload_out *out)
{
    if (!state->carried)
        return;
    uint8_t group[3] = {state->carry[0]};
    if (state->carried == 2)
        group[1] = state->carry[1];
    char text[4];
    payload_base64_group(text, group);
    text[3] = '=';
    if (state->carried == 1)
        text[2] = '=';
    payload_out_add(out, text, sizeof text);
    state->carried = 0;
}

uint64_t payload_base64_size(uint64_t len)
{
    return (len + 2) / 3 * 4;
}
