#include "payload/base64.h"

#include "payload/out.h"

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

/* Whole groups only. */
static void payload_base64_groups(struct payload_out *out, const uint8_t *data, size_t groups)
{
    while (groups) {
        char text[BASE64_GROUPS * 4];
        size_t now = groups < BASE64_GROUPS ? groups : BASE64_GROUPS;
        for (size_t i = 0; i < now; i++)
            payload_base64_group(text + 4 * i, data + 3 * i);
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
