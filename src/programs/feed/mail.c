#include "programs/feed/mail.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "programs/feed/words.h"

enum {
    MAIL_FIELD_MAX = 2000, /* bytes of a field that are looked at */
};

void feed_sha256_hex(char out[65], const void *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[32];
    if (EVP_Digest(data ? data : "", len, digest, NULL, EVP_sha256(), NULL) != 1) {
        fputs("OpenSSL does not do SHA-256\n", stderr);
        abort();
    }
    for (size_t i = 0; i < sizeof digest; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[64] = '\0';
}

/* Fills in the bytes of a mail in JSON; returns the hash it claims, or NULL when it is none. */
static const char *mail_from_json(struct feed_mail *mail, const json_t *root)
{
    const json_t *sha256 = json_object_get(root, "sha256"), *msg = json_object_get(root, "msg");
    const json_t *base64 = json_object_get(root, "msg_base64");
    if (!json_is_string(sha256) || !json_is_string(msg))
        return NULL;
    /* What is not base64 leaves the bytes empty, and the hash wrong. */
    if (json_is_string(base64))
        base64_decode(&mail->bytes, json_string_value(base64), json_string_length(base64));
    else
        buf_add(&mail->bytes, json_string_value(msg), json_string_length(msg));
    return json_string_value(sha256);
}

void feed_mail_init(struct feed_mail *mail, const uint8_t *payload, size_t len)
{
    *mail = (struct feed_mail){0};
    json_t *root = len && payload[0] == '{'
                       ? json_loadb((const char *)payload, len, JSON_ALLOW_NUL, NULL)
                       : NULL;
    const char *claimed = mail_from_json(mail, root);
    if (!claimed)
        buf_add(&mail->bytes, payload, len);
    feed_sha256_hex(mail->sha256, mail->bytes.data, mail->bytes.len);
    if (claimed)
        mail->hash = strcasecmp(claimed, mail->sha256) ? FEED_MAIL_HASH_WRONG : FEED_MAIL_HASH_OK;
    json_decref(root);
}

void feed_mail_release(struct feed_mail *mail)
{
    buf_release(&mail->bytes);
}

/* The next line without its end; false after the last. */
static bool mail_take_line(const char **at, const char *end, const char **ret_line, size_t *ret_len)
{
    if (*at == end)
        return false;
    const char *line = *at, *newline = memchr(line, '\n', (size_t)(end - line));
    *ret_line = line;
    *ret_len = (size_t)((newline ? newline : end) - line);
    *at = newline ? newline + 1 : end;
    if (*ret_len && line[*ret_len - 1] == '\r')
        --*ret_len;
    return true;
}

static bool mail_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The length of "Name:" at the start of a line, or 0. */
static size_t mail_match_name(const char *line, size_t len, const char *name)
{
    size_t name_len = strlen(name);
    if (len <= name_len || strncasecmp(line, name, name_len) != 0)
        return 0;
    size_t i = name_len;
    while (i < len && mail_is_blank(line[i]))
        i++;
    return i < len && line[i] == ':' ? i + 1 : 0;
}

/* Adds one line of a folded field, its leading blanks as one. */
static void mail_add_part(struct buf *field, const char *part, size_t len)
{
    while (len && mail_is_blank(*part)) {
        part++;
        len--;
    }
    if (field->len)
        buf_add_byte(field, ' ');
    size_t room = field->len < MAIL_FIELD_MAX ? MAIL_FIELD_MAX - field->len : 0;
    buf_add(field, part, len < room ? len : room);
}

bool feed_mail_header(const struct feed_mail *mail, const char *name, struct buf *out)
{
    if (!mail->bytes.len)
        return false;
    const char *at = (const char *)mail->bytes.data, *end = at + mail->bytes.len, *line;
    size_t len;
    struct buf field = {0};
    bool found = false;
    while (mail_take_line(&at, end, &line, &len) && len) {
        size_t body = found ? 0 : mail_match_name(line, len, name);
        if (found && !mail_is_blank(*line))
            break;
        if (found || body)
            mail_add_part(&field, line + body, len - body);
        found = found || body;
    }
    if (field.len)
        feed_words_decode(out, (const char *)field.data, field.len);
    buf_release(&field);
    return found;
}
