#include "sink/confirm.h"

#include <stdlib.h>

#include "base/mem.h"

void confirm_progress_start(struct confirm_progress *progress, uint64_t value, msec_t now)
{
    *progress = (struct confirm_progress){.value = value, .since = now};
}

bool confirm_progress_stalled(struct confirm_progress *progress, uint64_t value, msec_t now,
                              msec_t limit)
{
    if (value == progress->value)
        return now - progress->since >= limit;
    confirm_progress_start(progress, value, now);
    return false;
}

struct err *confirm_stall_error(const struct confirm_setup *setup, struct err *err)
{
    err_set(err, ERR_RETRY_LATER, "the broker took nothing for %llu s",
            (unsigned long long)(setup->tuning.stall / 1000));
    return err;
}

/* Some brokers refuse a login by closing without a word: then this is the only hint there is. */
struct err *confirm_login_error(const struct confirm_setup *setup, enum publisher_end how,
                                struct err *err)
{
    const char *ident = setup->publisher.ident;

    if (how == PUBLISHER_REFUSED)
        err_prefix(err, "login as %s", ident);
    else if (how != PUBLISHER_PUT_OFF)
        err_set(
            err, err->action,
            "%s right after the login as %s: is the broker going down, or are identity and secret "
            "wrong?",
            err->text, ident);
    return err;
}

static void confirm_copy_channels(struct publisher_settings *publisher,
                                  const struct sink_hpfeeds_settings *settings)
{
    publisher->channel_count = settings->channel_count;
    publisher->channels = mem_realloc_array(NULL, settings->channel_count, sizeof(char *));
    for (size_t i = 0; i < settings->channel_count; i++) {
        size_t prefix = hpfeeds_publish_prefix(settings->ident, settings->channels[i]);
        publisher->channels[i] = mem_strdup(settings->channels[i]);
        if (publisher->headroom < prefix)
            publisher->headroom = prefix;
    }
}

void confirm_setup_init(struct confirm_setup *setup, struct net_loop *loop,
                        const struct sink_hpfeeds_settings *settings,
                        const struct sink_hpfeeds_tuning *tuning)
{
    struct publisher_settings *publisher = &setup->publisher;

    setup->loop = loop;
    setup->tuning = *tuning;
    publisher->host = mem_strdup(settings->host);
    publisher->port = settings->port;
    publisher->tls = settings->tls ? net_tls_ref(settings->tls) : NULL;
    publisher->ident = mem_strdup(settings->ident);
    publisher->secret = mem_strdup(settings->secret);
    publisher->frame_max = HPFEEDS_FRAME_MAX_DEFAULT;
    publisher->connect_deadline = tuning->connect_deadline;
    publisher->info_deadline = tuning->info_deadline;
    confirm_copy_channels(publisher, settings);
    setup->channel = settings->confirm_channel ? mem_strdup(settings->confirm_channel)
                                               : mem_printf("confirm.%s", settings->ident);
    setup->grace = settings->confirm_grace;
}

void confirm_setup_release(struct confirm_setup *setup)
{
    struct publisher_settings *publisher = &setup->publisher;

    for (size_t i = 0; i < publisher->channel_count; i++)
        free(publisher->channels[i]);
    free(publisher->channels);
    free(publisher->host);
    free(publisher->ident);
    mem_free_secret(publisher->secret);
    net_tls_unref(publisher->tls);
    free(setup->channel);
}
