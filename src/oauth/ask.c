/* What is posted. */
#include <string.h>

#include "oauth/form.h"
#include "oauth/oauth.h"

void oauth_form_encode(struct buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        bool plain = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
                     (byte >= 'a' && byte <= 'z') || strchr("*-._", byte);
        if (byte == ' ')
            buf_add_byte(out, '+');
        else if (plain)
            buf_add_byte(out, byte);
        else
            buf_printf(out, "%%%02X", byte);
    }
}

static size_t oauth_form_size(const char *text)
{
    return text ? 3 * strlen(text) + 64 : 0;
}

/* `value` NULL: the field is left out. */
static void oauth_form_add(struct buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    buf_printf(out, "%s%s=", out->len ? "&" : "", name);
    oauth_form_encode(out, value);
}

/* Room for all of it at once: growing would leave copies of secrets behind. */
static void oauth_form_begin(struct buf *out, const struct oauth_client *client, const char *code)
{
    buf_reserve_exact(out, 256 + oauth_form_size(client->id) + oauth_form_size(client->secret) +
                               oauth_form_size(client->scope) + oauth_form_size(code));
}

void oauth_ask_refresh(struct buf *out, const struct oauth_client *client,
                       const char *refresh_token)
{
    oauth_form_begin(out, client, refresh_token);
    oauth_form_add(out, "grant_type", "refresh_token");
    oauth_form_add(out, "client_id", client->id);
    oauth_form_add(out, "client_secret", client->secret);
    oauth_form_add(out, "refresh_token", refresh_token);
    oauth_form_add(out, "scope", client->scope);
}

void oauth_ask_device(struct buf *out, const struct oauth_client *client)
{
    oauth_form_begin(out, client, NULL);
    oauth_form_add(out, "client_id", client->id);
    oauth_form_add(out, "scope", client->scope);
}

void oauth_ask_device_token(struct buf *out, const struct oauth_client *client,
                            const char *device_code)
{
    oauth_form_begin(out, client, device_code);
    oauth_form_add(out, "grant_type", "urn:ietf:params:oauth:grant-type:device_code");
    oauth_form_add(out, "client_id", client->id);
    oauth_form_add(out, "client_secret", client->secret);
    oauth_form_add(out, "device_code", device_code);
}
