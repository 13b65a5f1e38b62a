#include "programs/collector_authorize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/http.h"
#include "net/loop.h"
#include "oauth/oauth.h"
#include "programs/collector_tokens.h"
#include "token/store.h"

enum {
    AUTHORIZE_DEADLINE = 20 * 1000
};

struct authorize {
    const struct conf_mailbox *mailbox;
    struct oauth_client client;
    char *file;
    struct net_loop *loop;
    struct net_http *http;
    struct net_timer *timer;
    struct oauth_device device;
    int result;
};

static void authorize_end(struct authorize *authorize, const struct err *err)
{
    if (err)
        fprintf(stderr, "imap-collector: %s\n", err->text);
    authorize->result = err ? EXIT_FAILURE : EX_OK;
    net_loop_stop(authorize->loop);
}

/* Moves the form. */
static void authorize_post(struct authorize *authorize, const char *url, struct buf *form,
                           net_http_done_fn *done)
{
    const struct conf_pem *ca = authorize->mailbox->oauth2->ca_pem;
    net_http_post(authorize->http,
                  &(struct net_http_request){.url = url,
                                             .ca = ca ? ca->text : NULL,
                                             .form = form->data,
                                             .len = form->len,
                                             .reply_most = OAUTH_REPLY_MOST,
                                             .deadline = AUTHORIZE_DEADLINE},
                  done, authorize);
    mem_wipe(form->data, form->cap);
    buf_release(form);
}

static struct oauth_reply authorize_reply(const struct net_http_reply *reply)
{
    return (struct oauth_reply){.status = reply->status,
                                .content_type = reply->content_type,
                                .body = reply->body,
                                .len = reply->len};
}

/* --- the second half: the endpoint is asked until the person has decided ------------------------
 */

/* `why`: what is wrong with the access token beside it; NULL: nothing. */
static void authorize_store(struct authorize *authorize, const struct oauth_token *token,
                            const struct err *why)
{
    struct err err;
    if (!token->refresh) {
        err_set(&err, ERR_GIVE_UP,
                "the provider gave no refresh token: many give one only when scope asks for it "
                "(offline_access)");
        authorize_end(authorize, &err);
    } else if (token_store_write(authorize->file, token->refresh, &err) < 0) {
        authorize_end(authorize, &err);
    } else {
        printf("Authorized. The refresh token is kept in %s,\n"
               "where the collector looks for it at its next login.\n",
               authorize->file);
        authorize_end(authorize, why);
    }
}

static void authorize_wait(struct authorize *authorize, bool slower)
{
    msec_t pause;
    struct err err;
    if (oauth_device_pause(&authorize->device, slower, &pause)) {
        net_timer_start(authorize->timer, pause);
        return;
    }
    err_set(&err, ERR_GIVE_UP, "the code has expired: nobody entered it in time");
    authorize_end(authorize, &err);
}

static void authorize_answered(void *ctx, const struct net_http_reply *reply, const struct err *why)
{
    struct authorize *authorize = ctx;
    struct oauth_token token = {0};
    enum oauth_refusal refusal = OAUTH_FAILED;
    struct err err = {0};
    int result = -1;
    if (reply) {
        const struct oauth_reply read = authorize_reply(reply);
        result = oauth_token_read(&read, &authorize->client, authorize->device.code, &token,
                                  &refusal, &err);
    } else {
        err = *why;
    }
    if (result >= 0)
        authorize_store(authorize, &token, result ? &err : NULL);
    else if (err.action == ERR_GIVE_UP)
        authorize_end(authorize, &err);
    else /* RFC 8628 section 3.5: less often also when it cannot be reached */
        authorize_wait(authorize, refusal != OAUTH_PENDING);
    oauth_token_release(&token);
}

static void authorize_poll(void *ctx)
{
    struct authorize *authorize = ctx;
    struct buf form = {0};
    oauth_ask_device_token(&form, &authorize->client, authorize->device.code);
    authorize_post(authorize, authorize->mailbox->oauth2->token_url, &form, authorize_answered);
}

/* --- the first half: a code for the person ------------------------------------------------------
 */

static void authorize_show(const struct authorize *authorize)
{
    const struct oauth_device *device = &authorize->device;
    printf("To let the collector read the mail of %s, open\n\n    %s\n\nand enter the code\n\n"
           "    %s\n\n",
           authorize->mailbox->username, device->address, device->user_code);
    if (device->address_complete)
        printf("(or open %s)\n", device->address_complete);
    printf("Log in there as %s. The code is good for %llu minutes. Waiting …\n",
           authorize->mailbox->username, (unsigned long long)device->lifetime / 60000);
    fflush(stdout);
}

static void authorize_coded(void *ctx, const struct net_http_reply *reply, const struct err *why)
{
    struct authorize *authorize = ctx;
    struct err err = {0};
    int result = -1;
    if (reply) {
        const struct oauth_reply read = authorize_reply(reply);
        result = oauth_device_read(&read, &authorize->client, &authorize->device, &err);
    } else {
        err = *why;
    }
    if (result < 0) {
        err_prefix(&err, "no code");
        authorize_end(authorize, &err);
        return;
    }
    authorize_show(authorize);
    authorize_wait(authorize, false);
}

/* --- the account -------------------------------------------------------------------------------
 */

static const struct conf_mailbox *authorize_find(const struct conf *conf, const char *account)
{
    for (size_t i = 0; i < conf->mailbox_count; i++)
        if (!strcmp(conf->mailboxes[i].label, account))
            return &conf->mailboxes[i];
    for (size_t i = 0; i < conf->mailbox_count; i++)
        if (!strcmp(conf->mailboxes[i].username, account))
            return &conf->mailboxes[i];
    return NULL;
}

/* What stands in the way, or NULL. */
static const char *authorize_problem(const struct conf_mailbox *mailbox, const char *file)
{
    if (!mailbox->oauth2 || mailbox->oauth2->command)
        return "it has no \"oauth2\" with a token_url";
    if (!mailbox->oauth2->device_url)
        return "its \"oauth2\" has no device_url, where a code is to be had";
    return file ? NULL : "there is no place for the refresh token: give refresh_token_file";
}

int authorize_run(const struct conf *conf, const char *account, const char *directory)
{
    char shown[200];
    const struct conf_mailbox *mailbox = authorize_find(conf, account);
    text_escape_utf8(shown, sizeof shown, account, strlen(account));
    if (!mailbox) {
        fprintf(stderr, "imap-collector: no mailbox has the name or username \"%s\"\n", shown);
        return EX_USAGE;
    }
    struct authorize authorize = {.mailbox = mailbox, .result = EXIT_FAILURE};
    if (mailbox->oauth2 && !mailbox->oauth2->command)
        authorize.file = tokens_file(mailbox, directory);
    const char *problem = authorize_problem(mailbox, authorize.file);
    if (problem) {
        fprintf(stderr, "%s:%u: \"%s\" cannot be authorized: %s\n", conf->mailbox_path,
                mailbox->line, shown, problem);
        free(authorize.file);
        return EX_CONFIG;
    }
    struct buf form = {0};
    const struct conf_oauth2 *oauth2 = mailbox->oauth2;
    authorize.client =
        (struct oauth_client){oauth2->client_id, oauth2->client_secret, oauth2->scope};
    oauth_setup();
    authorize.loop = net_loop_new();
    authorize.http = net_http_new(authorize.loop);
    authorize.timer = net_timer_new(authorize.loop, authorize_poll, &authorize);
    oauth_ask_device(&form, &authorize.client);
    authorize_post(&authorize, oauth2->device_url, &form, authorize_coded);
    net_loop_run(authorize.loop);
    oauth_device_release(&authorize.device);
    net_timer_free(authorize.timer);
    net_http_free(authorize.http);
    net_loop_free(authorize.loop);
    free(authorize.file);
    return authorize.result;
}
