/* XOAUTH2 and OAUTHBEARER: an access token (RFC 6750) instead of a password. */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "sasl/mechanism.h"

enum {
    SASL_STATUS_MAX = 200, /* bytes that are shown of what a server says */
};

/* RFC 6750: b64token; what else is in it could not be told from what follows. */
static bool sasl_token_fits(const char *token)
{
    for (; *token; token++)
        if (*token < '!' || *token > '~')
            return false;
    return true;
}

int sasl_token_check(const struct sasl_client *client, struct err *err)
{
    const char *name = client->kind->name;
    if (!*client->user || !*client->access_token)
        return err_set(err, ERR_GIVE_UP, "%s cannot carry an empty %s", name,
                       *client->user ? "access token" : "username");
    if (strchr(client->user, '\1'))
        return err_set(err, ERR_GIVE_UP, "%s cannot carry a username with control characters",
                       name);
    if (!sasl_token_fits(client->access_token))
        return err_set(err, ERR_GIVE_UP,
                       "%s cannot carry an access token with blanks, control or 8-bit characters",
                       name);
    return 0;
}

/* So much that a token, in base64 too, which begins in what is shown is whole: of a part nobody
 * could tell that it is one. */
static void sasl_keep_refusal(struct sasl_client *client, const char *text, size_t len)
{
    size_t most = SASL_STATUS_MAX + 2 * strlen(client->access_token);
    client->refusal = mem_strndup(text, len < most ? len : most);
}

/* The error challenge is JSON, {"status": "invalid_token", …} (RFC 7628 section 3.2.2; Gmail's and
 * Microsoft's XOAUTH2 the same with a number in the string). */
static void sasl_read_refusal(struct sasl_client *client, const uint8_t *challenge, size_t len)
{
    json_t *json = json_loadb((const char *)challenge, len, JSON_REJECT_DUPLICATES, NULL);
    const char *status = json_string_value(json_object_get(json, "status"));
    if (status)
        sasl_keep_refusal(client, status, strlen(status));
    else if (len)
        sasl_keep_refusal(client, (const char *)challenge, strnlen((const char *)challenge, len));
    json_decref(json);
}

/* The first answer is the token. A second one is asked for only to refuse it, and says nothing: the
 * tagged NO follows it. */
int sasl_xoauth2_answer(struct sasl_client *client, const uint8_t *challenge, size_t len,
                        struct buf *out, struct err *err)
{
    (void)err;
    if (client->steps) {
        sasl_read_refusal(client, challenge, len);
        return 0;
    }
    buf_reserve_exact(out, strlen(client->user) + strlen(client->access_token) + 32);
    buf_add_str(out, "user=");
    buf_add_str(out, client->user);
    buf_add_str(out, "\1auth=Bearer ");
    buf_add_str(out, client->access_token);
    buf_add_str(out, "\1\1");
    return 0;
}

/* RFC 5801: saslname, with "," and "=" written out. */
static void sasl_add_saslname(struct buf *out, const char *name)
{
    for (; *name; name++) {
        if (*name == ',')
            buf_add_str(out, "=2C");
        else if (*name == '=')
            buf_add_str(out, "=3D");
        else
            buf_add_byte(out, (uint8_t)*name);
    }
}

/* RFC 7628 section 3.1: gs2-header kvsep *kvpair kvsep; after an error challenge a lone kvsep
 * (section 3.2.3). */
int sasl_oauthbearer_answer(struct sasl_client *client, const uint8_t *challenge, size_t len,
                            struct buf *out, struct err *err)
{
    (void)err;
    if (client->steps) {
        sasl_read_refusal(client, challenge, len);
        buf_add_byte(out, 1);
        return 0;
    }
    buf_reserve_exact(out, 3 * strlen(client->user) + strlen(client->host) +
                               strlen(client->access_token) + 64);
    buf_add_str(out, "n,a=");
    sasl_add_saslname(out, client->user);
    buf_add_str(out, ",\1");
    if (*client->host)
        buf_printf(out, "host=%s\1port=%u\1", client->host, client->port);
    buf_add_str(out, "auth=Bearer ");
    buf_add_str(out, client->access_token);
    buf_add_str(out, "\1\1");
    return 0;
}
