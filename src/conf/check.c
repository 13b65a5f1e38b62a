#include "conf/check.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "conf/file.h"
#include "conf/pool.h"
#include "conf/yaml.h"

enum {
    CHECK_HOST_MOST = 253,
    CHECK_KEYWORD_MOST = 250,
    CHECK_FEED_NAME_MOST = 127, /* what every broker takes: some read the length as signed */
    CHECK_FINGERPRINT = 32,
};

static const char *const check_special_uses[] = {
    "\\All",  "\\Archive", "\\Drafts",    "\\Flagged", "\\Junk",
    "\\Sent", "\\Trash",   "\\Important", NULL,
};

static int conf_check_hex(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

/* Looks like an IPv6 address (RFC 4291 2.2), perhaps with a zone; whether it is one, the resolver
 * says. What matters here is to tell "host:port" from it. */
static bool conf_check_is_ipv6(const char *text, size_t len)
{
    const char *zone = memchr(text, '%', len);
    size_t size = zone ? (size_t)(zone - text) : len;
    unsigned colons = 0, digits = 0;
    for (size_t i = 0; i < size; i++) {
        bool digit = conf_check_hex(text[i]) >= 0;
        if (!digit && text[i] != ':' && !(text[i] == '.' && colons >= 2))
            return false;
        colons += text[i] == ':';
        digits = digit ? digits + 1 : 0;
        if (digits > 4)
            return false;
    }
    return colons >= 2 && colons <= 7;
}

static const char *conf_check_host_wrong(const char *text, size_t len)
{
    bool bracketed = len > 1 && text[0] == '[' && text[len - 1] == ']';
    if (bracketed || conf_check_is_ipv6(text, len))
        return bracketed && !conf_check_is_ipv6(text + 1, len - 2) ? "has no IPv6 address in it"
                                                                   : NULL;
    if (len > CHECK_HOST_MOST)
        return "is too long";
    if (memchr(text, '/', len))
        return "is a URL or a path";
    if (memchr(text, ':', len))
        return "has a \":\" in it (the port has a key of its own, \"port\")";
    for (size_t i = 0; i < len; i++)
        if (strchr(" @,;[]()<>\"'\\%", text[i]))
            return "has a character in it that hosts do not have";
    return NULL;
}

bool conf_check_host(struct conf_file *file, const struct conf_entry *entry, char **ret_host)
{
    char *host;
    if (!conf_value_label(file, entry, &host))
        return false;
    size_t len = strlen(host);
    const char *wrong = conf_check_host_wrong(host, len);
    if (wrong) {
        conf_file_error(file, entry->value, "\"%s\" %s, expected a host name or an IP address",
                        entry->name, wrong);
        return false;
    }
    *ret_host = host[0] == '[' ? conf_pool_intern(file->pool, host + 1, len - 2) : host;
    return true;
}

/* A name that begins with a backslash is a special use, which servers have few of. */
static const char *conf_check_special_use(struct conf_file *file, const struct conf_entry *entry,
                                          const char *name)
{
    for (size_t i = 0; check_special_uses[i]; i++)
        if (!strcasecmp(name, check_special_uses[i]))
            return check_special_uses[i];
    const char *guess = text_nearest(name, check_special_uses);
    if (guess)
        conf_file_error(file, entry->value, "unknown special use: did you mean %s?", guess);
    else
        conf_file_error(file, entry->value,
                        "unknown special use, expected one of \\All, \\Archive, \\Drafts, "
                        "\\Flagged, \\Important, \\Junk, \\Sent, \\Trash");
    return NULL;
}

bool conf_check_folder(struct conf_file *file, const struct conf_entry *entry, char **ret_name)
{
    char *written;
    if (!conf_value_label(file, entry, &written))
        return false;
    const char *name = written;
    if (written[0] == '\\')
        name = conf_check_special_use(file, entry, written);
    else if (!strcasecmp(written, "INBOX"))
        name = "INBOX"; /* RFC 3501 5.1: in any case */
    if (name)
        *ret_name = conf_pool_intern(file->pool, name, strlen(name));
    return name;
}

bool conf_check_keyword(struct conf_file *file, const struct conf_entry *entry, char **ret_name)
{
    char *name;
    if (!conf_value_label(file, entry, &name))
        return false;
    size_t len = strlen(name);
    bool good = len <= CHECK_KEYWORD_MOST;
    /* RFC 3501, atom-specials; resp-specials is "]". */
    for (size_t i = 0; i < len; i++)
        good = good && name[i] > ' ' && name[i] < 0x7F && !strchr("(){%*\"\\]", name[i]);
    if (!good) {
        conf_file_error(file, entry->value,
                        "\"%s\" is no IMAP keyword, expected up to 250 ASCII characters without "
                        "blanks and ( ) { %% * \" \\ ]",
                        entry->name);
        return false;
    }
    *ret_name = name;
    return true;
}

/* Pairs of digits, colons between all of them or none. */
static bool conf_check_fingerprint_parse(const char *text, uint8_t out[CHECK_FINGERPRINT])
{
    static const char prefix[] = "sha256:";
    if (!strncasecmp(text, prefix, sizeof prefix - 1))
        text += sizeof prefix - 1;
    size_t len = strlen(text);
    bool colons = len == 3 * CHECK_FINGERPRINT - 1;
    if (!colons && len != 2 * CHECK_FINGERPRINT)
        return false;
    for (size_t i = 0; i < CHECK_FINGERPRINT; i++) {
        const char *pair = text + i * (colons ? 3 : 2);
        int high = conf_check_hex(pair[0]), low = conf_check_hex(pair[1]);
        if (high < 0 || low < 0 || (colons && i && pair[-1] != ':'))
            return false;
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

bool conf_check_fingerprint(struct conf_file *file, const struct conf_entry *entry,
                            uint8_t ret_fingerprint[32])
{
    char *text;
    uint8_t parsed[CHECK_FINGERPRINT];
    if (!conf_value_text(file, entry, &text))
        return false;
    if (!conf_check_fingerprint_parse(text, parsed)) {
        conf_file_error(file, entry->value,
                        "\"%s\" is no SHA-256 fingerprint, expected 64 hexadecimal digits, with "
                        "or without colons",
                        entry->name);
        return false;
    }
    memcpy(ret_fingerprint, parsed, sizeof parsed);
    return true;
}

bool conf_check_feed_name(struct conf_file *file, const struct conf_entry *entry, char **ret_name)
{
    char *name;
    if (!conf_value_label(file, entry, &name))
        return false;
    if (strlen(name) > CHECK_FEED_NAME_MOST) {
        conf_file_error(file, entry->value, "\"%s\" is too long, expected at most 127 bytes",
                        entry->name);
        return false;
    }
    *ret_name = name;
    return true;
}
