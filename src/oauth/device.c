#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "oauth/reply.h"

enum {
    DEVICE_SHOWN_MOST = 500,
    DEVICE_INTERVAL = 5000, /* RFC 8628 section 3.2 */
    DEVICE_INTERVAL_LEAST = 1000,
    DEVICE_INTERVAL_MORE = 5000, /* section 3.5 */
    DEVICE_LIFETIME = 15 * 60 * 1000,
};

/* For a terminal. */
static char *device_shown(const json_t *object, const char *name)
{
    char *text = oauth_reply_text(object, name, DEVICE_SHOWN_MOST);
    if (!text)
        return NULL;
    char shown[4 * DEVICE_SHOWN_MOST + 4];
    text_escape_utf8(shown, sizeof shown, text, strlen(text));
    free(text);
    return mem_strdup(shown);
}

int oauth_device_read(const struct oauth_reply *reply, const struct oauth_client *client,
                      struct oauth_device *ret_device, struct err *err)
{
    const struct oauth_secrets secrets = {client, NULL};
    enum oauth_refusal refusal;
    json_t *object = oauth_reply_object(reply, &secrets, &refusal, err);
    if (!object)
        return -1;
    struct oauth_device device = {
        .code = oauth_reply_text(object, "device_code", OAUTH_TOKEN_MOST),
        .user_code = device_shown(object, "user_code"),
        .address = device_shown(object, "verification_uri"),
        .address_complete = device_shown(object, "verification_uri_complete"),
        .interval = DEVICE_INTERVAL,
        .lifetime = DEVICE_LIFETIME,
    };
    if (!device.address) /* as it was called before it became an RFC, and at Google still is */
        device.address = device_shown(object, "verification_url");
    oauth_reply_seconds(object, "interval", &device.interval);
    oauth_reply_seconds(object, "expires_in", &device.lifetime);
    if (device.interval < DEVICE_INTERVAL_LEAST)
        device.interval = DEVICE_INTERVAL_LEAST;
    json_decref(object);
    if (!device.code || !device.user_code || !device.address) {
        oauth_device_release(&device);
        return err_set(err, ERR_GIVE_UP,
                       "its reply has no device_code, user_code or verification_uri (RFC 8628): "
                       "check device_url");
    }
    *ret_device = device;
    return 0;
}

bool oauth_device_pause(struct oauth_device *device, bool slower, msec_t *ret_pause)
{
    if (slower)
        device->interval += DEVICE_INTERVAL_MORE;
    if (device->interval >= device->lifetime)
        return false;
    device->lifetime -= device->interval;
    *ret_pause = device->interval;
    return true;
}

void oauth_device_release(struct oauth_device *device)
{
    mem_free_secret(device->code);
    free(device->user_code);
    free(device->address);
    free(device->address_complete);
    *device = (struct oauth_device){0};
}
