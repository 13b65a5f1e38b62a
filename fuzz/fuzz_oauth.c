/* A provider's reply through both readers: what they give out is fit for a header, a terminal and a
 * log, and holds no secret. Input: HTTP status / 100, the body. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "oauth/oauth.h"

/* Secrets that do not begin as an escape ends: "\\x0b" before "enutzt" shows nothing. */
static const struct oauth_client fuzz_client = {.id = "id", .secret = "Geheimnis", .scope = "s"};

static void fuzz_check(bool holds)
{
    if (!holds)
        abort();
}

/* Whole, unless it was cut. */
static void fuzz_check_shown(const char *text, bool cut)
{
    size_t len = strlen(text);
    fuzz_check(!strstr(text, "Geheimnis"));
    for (size_t i = 0; i < len;) {
        size_t step = text_shown_length((const uint8_t *)text + i, len - i);
        fuzz_check(step || cut);
        i += step ? step : 1;
    }
}

static void fuzz_token(const struct oauth_reply *reply)
{
    struct oauth_token token;
    enum oauth_refusal refusal;
    struct err err;
    int result = oauth_token_read(reply, &fuzz_client, "genutzt", &token, &refusal, &err);
    if (result != 0) {
        fuzz_check_shown(err.text, strlen(err.text) == sizeof err.text - 1);
        fuzz_check(*err.text && !strstr(err.text, "genutzt"));
    }
    if (result < 0)
        return;
    fuzz_check(result == 0 ? oauth_token_valid(token.access) : !token.access && token.refresh);
    fuzz_check(!token.refresh || oauth_token_valid(token.refresh));
    fuzz_check(!token.has_lifetime || token.lifetime <= (msec_t)366 * 24 * 3600 * 1000);
    oauth_token_release(&token);
}

static void fuzz_device(const struct oauth_reply *reply)
{
    struct oauth_device device;
    struct err err;
    if (oauth_device_read(reply, &fuzz_client, &device, &err) < 0) {
        fuzz_check_shown(err.text, strlen(err.text) == sizeof err.text - 1);
        return;
    }
    fuzz_check(*device.code && *device.user_code && *device.address);
    msec_t pause, all = 0, lifetime = device.lifetime;
    for (unsigned i = 0; oauth_device_pause(&device, i % 3 == 0, &pause); i++) {
        fuzz_check(pause >= 1000);
        all += pause;
    }
    fuzz_check(all <= lifetime);
    oauth_device_release(&device);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static bool ready;
    if (!ready)
        oauth_setup();
    ready = true;
    if (!len)
        return 0;
    struct oauth_reply reply = {
        .status = 100u * (data[0] & 7), .content_type = "a/b", .body = data + 1, .len = len - 1};
    fuzz_token(&reply);
    fuzz_device(&reply);
    return 0;
}
