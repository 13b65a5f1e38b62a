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
#include "programs/collector_fences.h"
#include "programs/collector_tokens.h"
#include "token/deed.h"

enum {
    AUTHORIZE_DEADLINE = 20 * 1000
};

/* Of the mailbox; copies. */
struct authorize_account {
    char *username, *token_url, *device_url, *ca;
    char *client_id, *client_secret, *scope;
    char *file; /* where the collector looks for the token */
    uint8_t key[TOKEN_KEY];
};

struct authorize {
    struct authorize_account account;
    struct oauth_client client; /* of its strings */
    struct clerk *clerk;
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
    net_http_post(authorize->http,
                  &(struct net_http_request){.url = url,
                                             .ca = authorize->account.ca,
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

/* The fences let no file be written here. */
static int authorize_keep(struct authorize *authorize, const char *token, struct err *err)
{
    const struct token_doer doer = clerk_doer(authorize->clerk);
    const struct token_deed deed = {
        .kind = TOKEN_WRITE, .key = authorize->account.key, .token = token};
    char *nothing;
    return doer.act(doer.ctx, &deed, &nothing, err);
}

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
    } else if (authorize_keep(authorize, token->refresh, &err) < 0) {
        authorize_end(authorize, &err);
    } else {
        printf("Authorized. The refresh token is kept in %s,\n"
               "where the collector looks for it at its next login.\n",
               authorize->account.file);
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
    authorize_post(authorize, authorize->account.token_url, &form, authorize_answered);
}

/* --- the first half: a code for the person ------------------------------------------------------
 */

static void authorize_show(const struct authorize *authorize)
{
    const struct oauth_device *device = &authorize->device;
    printf("To let the collector read the mail of %s, open\n\n    %s\n\nand enter the code\n\n"
           "    %s\n\n",
           authorize->account.username, device->address, device->user_code);
    if (device->address_complete)
        printf("(or open %s)\n", device->address_complete);
    printf("Log in there as %s. The code is good for %llu minutes. Waiting …\n",
           authorize->account.username, (unsigned long long)device->lifetime / 60000);
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

/* Copies what it takes. */
static void authorize_fill(struct authorize_account *account, const struct conf_mailbox *mailbox,
                           const char *directory)
{
    const struct conf_oauth2 *oauth2 = mailbox->oauth2;
    *account = (struct authorize_account){
        .username = mem_strdup(mailbox->username),
        .token_url = mem_strdup(oauth2->token_url),
        .device_url = mem_strdup(oauth2->device_url),
        .ca = mem_strdup(oauth2->ca_pem ? oauth2->ca_pem->text : NULL),
        .client_id = mem_strdup(oauth2->client_id),
        .client_secret = mem_strdup(oauth2->client_secret),
        .scope = mem_strdup(oauth2->scope),
    };
    account->file = tokens_key(mailbox, directory, account->key);
}

static void authorize_release(struct authorize_account *account)
{
    mem_free_secret(account->client_secret);
    free(account->username);
    free(account->token_url);
    free(account->device_url);
    free(account->ca);
    free(account->client_id);
    free(account->scope);
    free(account->file);
}

/* Finds the account and takes what is needed of it. Returns an exit code. */
static int authorize_take(struct authorize_account *account, const struct conf *conf,
                          const char *name, const char *directory)
{
    char shown[200];
    const struct conf_mailbox *mailbox = authorize_find(conf, name);
    text_escape_utf8(shown, sizeof shown, name, strlen(name));
    if (!mailbox) {
        fprintf(stderr, "imap-collector: no mailbox has the name or username \"%s\"\n", shown);
        return EX_USAGE;
    }
    if (mailbox->oauth2 && !mailbox->oauth2->command)
        authorize_fill(account, mailbox, directory);
    const char *problem = authorize_problem(mailbox, account->file);
    if (!problem)
        return EX_OK;
    fprintf(stderr, "%s:%u: \"%s\" cannot be authorized: %s\n", conf->mailbox_path, mailbox->line,
            shown, problem);
    return EX_CONFIG;
}

static void authorize_ask(struct authorize *authorize)
{
    const struct authorize_account *account = &authorize->account;
    struct buf form = {0};
    authorize->client =
        (struct oauth_client){account->client_id, account->client_secret, account->scope};
    oauth_setup();
    authorize->loop = net_loop_new();
    authorize->http = net_http_new(authorize->loop);
    authorize->timer = net_timer_new(authorize->loop, authorize_poll, authorize);
    oauth_ask_device(&form, &authorize->client);
    authorize_post(authorize, account->device_url, &form, authorize_coded);
    net_loop_run(authorize->loop);
    oauth_device_release(&authorize->device);
    net_timer_free(authorize->timer);
    net_http_free(authorize->http);
    net_loop_free(authorize->loop);
}

int authorize_run(const struct collector_options *options, struct clerk *clerk,
                  const struct conf *conf, const char *directory)
{
    struct authorize authorize = {.clerk = clerk, .result = EXIT_FAILURE};
    int result = authorize_take(&authorize.account, conf, options->authorize, directory);
    if (result == EX_OK && !options->no_sandbox)
        collector_fences_up(conf, NULL);
    clerk_forget(clerk);
    if (result == EX_OK) {
        authorize_ask(&authorize);
        result = authorize.result;
    }
    authorize_release(&authorize.account);
    return result;
}
