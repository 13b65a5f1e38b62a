#include "base/num.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

struct num_unit {
    const char *name;
    uint64_t factor;
};

/* Reads the leading digits; returns how many, 0 when there are none or the value is over max. */
static size_t num_digits(const char *text, size_t len, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t i = 0;
    for (; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
        unsigned digit = (unsigned)(text[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return 0;
        value = value * 10 + digit;
    }
    if (!i || value > max)
        return 0;
    *ret_value = value;
    return i;
}

bool num_parse_u64(const char *text, size_t len, uint64_t max, uint64_t *ret_value)
{
    uint64_t value;
    if (!len || num_digits(text, len, max, &value) != len)
        return false;
    *ret_value = value;
    return true;
}

bool num_parse_u32(const char *text, size_t len, uint32_t *ret_value)
{
    uint64_t value;
    if (!num_parse_u64(text, len, UINT32_MAX, &value))
        return false;
    *ret_value = (uint32_t)value;
    return true;
}

static bool num_find_unit(const struct num_unit *units, size_t count, const char *text, size_t len,
                          uint64_t *ret_factor)
{
    if (len > 1 && *text == ' ') {
        text++;
        len--;
    }
    for (size_t i = 0; i < count; i++)
        if (strlen(units[i].name) == len && !strncasecmp(units[i].name, text, len)) {
            *ret_factor = units[i].factor;
            return true;
        }
    return false;
}

bool num_parse_size(const char *text, size_t len, uint64_t max, uint64_t *ret_bytes)
{
    static const struct num_unit units[] = {
        {"", 1},         {"B", 1},          {"K", 1u << 10},    {"KiB", 1u << 10},
        {"KB", 1000},    {"M", 1u << 20},   {"MiB", 1u << 20},  {"MB", 1000000},
        {"G", 1u << 30}, {"GiB", 1u << 30}, {"GB", 1000000000},
    };
    uint64_t value, factor;
    size_t digits = num_digits(text, len, max, &value);
    if (!digits ||
        !num_find_unit(units, sizeof units / sizeof *units, text + digits, len - digits, &factor) ||
        value > max / factor)
        return false;
    *ret_bytes = value * factor;
    return true;
}

bool num_parse_duration(const char *text, size_t len, msec_t max, msec_t *ret_ms)
{
    static const struct num_unit units[] = {
        {"", 1000},   {"s", 1000},    {"sec", 1000},  {"ms", 1},
        {"m", 60000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000},
    };
    uint64_t whole, factor, thousandths = 0;
    size_t used = num_digits(text, len, UINT64_MAX, &whole);
    if (!used)
        return false;
    if (used < len && text[used] == '.') {
        size_t first = ++used;
        for (unsigned scale = 100; used < len && text[used] >= '0' && text[used] <= '9'; used++) {
            thousandths += (uint64_t)(text[used] - '0') * scale;
            scale /= 10;
        }
        if (used == first)
            return false;
    }
    if (!num_find_unit(units, sizeof units / sizeof *units, text + used, len - used, &factor) ||
        whole > max / factor)
        return false;
    uint64_t rest = thousandths * factor / 1000;
    if (rest > max - whole * factor)
        return false;
    *ret_ms = whole * factor + rest;
    return true;
}

char *num_format_bytes(char *out, size_t cap, uint64_t bytes)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    if (bytes < 1000) {
        snprintf(out, cap, "%u B", (unsigned)bytes);
        return out;
    }
    double value = (double)bytes / 1000;
    size_t unit = 0;
    while (value >= 999.95 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000;
        unit++;
    }
    snprintf(out, cap, "%.1f %s", value, units[unit]);
    return out;
}
