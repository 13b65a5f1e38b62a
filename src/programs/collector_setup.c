#include "programs/collector_setup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "collect/pace.h"
#include "sink/hpfeeds.h"
#include "state/memory.h"
#include "state/sqlite.h"

enum payload_format setup_payload(const struct conf *conf)
{
    return conf->feed.payload_raw ? PAYLOAD_RAW : PAYLOAD_JSON;
}

/* The caller frees it. */
static struct pace_rule *setup_rules(const struct conf_limits *limits)
{
    struct pace_rule *rules = mem_realloc_array(NULL, limits->host_count, sizeof *rules);
    for (size_t i = 0; i < limits->host_count; i++)
        rules[i] = (struct pace_rule){
            .host = limits->hosts[i].host,
            .connections = limits->hosts[i].connections,
            .logins_per_second = limits->hosts[i].logins_per_second,
        };
    return rules;
}

void setup_settings_init(const struct conf *conf, struct collector_settings *ret_settings)
{
    collector_settings_init(ret_settings);
    ret_settings->payload = setup_payload(conf);
    ret_settings->memory_budget = conf->limits.memory_budget;
    ret_settings->rules = setup_rules(&conf->limits);
    ret_settings->rule_count = conf->limits.host_count;
}

void setup_settings_release(struct collector_settings *settings)
{
    free((struct pace_rule *)(uintptr_t)settings->rules);
    settings->rules = NULL;
}

void setup_update_limits(const struct conf *conf, struct collector *collector)
{
    struct pace_rule *rules = setup_rules(&conf->limits);
    collector_set_rules(collector, rules, conf->limits.host_count);
    collector_set_memory(collector, conf->limits.memory_budget);
    free(rules);
}

static void setup_account(const struct conf_mailbox *mailbox, struct collect_account *account)
{
    static const enum imap_security securities[] = {
        [CONF_TLS_IMPLICIT] = IMAP_SECURITY_IMPLICIT,
        [CONF_TLS_STARTTLS] = IMAP_SECURITY_STARTTLS,
        [CONF_TLS_NONE] = IMAP_SECURITY_NONE,
    };
    static const enum imap_auth auths[] = {
        [CONF_AUTH_AUTO] = IMAP_AUTH_AUTO,
        [CONF_AUTH_PLAIN] = IMAP_AUTH_PLAIN,
        [CONF_AUTH_LOGIN] = IMAP_AUTH_LOGIN,
        [CONF_AUTH_SCRAM_SHA_256] = IMAP_AUTH_SCRAM_SHA_256,
        [CONF_AUTH_SCRAM_SHA_1] = IMAP_AUTH_SCRAM_SHA_1,
        [CONF_AUTH_XOAUTH2] = IMAP_AUTH_XOAUTH2,
        [CONF_AUTH_OAUTHBEARER] = IMAP_AUTH_OAUTHBEARER,
    };
    static const enum collect_after afters[] = {
        [CONF_AFTER_SEEN] = COLLECT_AFTER_SEEN,       [CONF_AFTER_NONE] = COLLECT_AFTER_NONE,
        [CONF_AFTER_DELETE] = COLLECT_AFTER_DELETE,   [CONF_AFTER_MOVE] = COLLECT_AFTER_MOVE,
        [CONF_AFTER_KEYWORD] = COLLECT_AFTER_KEYWORD,
    };
    *account = (struct collect_account){
        .label = mailbox->label,
        .host = mailbox->host,
        .port = mailbox->port,
        .security = securities[mailbox->tls.mode],
        .auth = auths[mailbox->auth],
        .user = mailbox->username,
        .password = mailbox->password,
        .folders = (const char *const *)mailbox->folders,
        .folder_count = mailbox->folder_count,
        .after = afters[mailbox->after],
        .after_name = mailbox->after_name,
        .idle = mailbox->idle,
        .poll_interval = mailbox->poll_interval,
        .idle_refresh = mailbox->idle_refresh,
        .max_connections = mailbox->max_connections,
    };
}

int setup_accounts_new(const struct conf *conf, struct tls_store *store, struct tokens *tokens,
                       struct collect_account **ret_accounts, struct err *err)
{
    struct collect_account *accounts = mem_zalloc(conf->mailbox_count * sizeof *accounts);
    for (size_t i = 0; i < conf->mailbox_count; i++) {
        setup_account(&conf->mailboxes[i], &accounts[i]);
        if (tls_store_get(store, &conf->mailboxes[i].tls, &accounts[i].tls, err) < 0) {
            setup_accounts_free(accounts, i);
            return err_prefix(err, "%s:%u", conf->mailbox_path, conf->mailboxes[i].line);
        }
        accounts[i].tokens = tokens_get(tokens, &conf->mailboxes[i]);
    }
    *ret_accounts = accounts;
    return 0;
}

void setup_accounts_free(struct collect_account *accounts, size_t count)
{
    for (size_t i = 0; accounts && i < count; i++) {
        net_tls_unref(accounts[i].tls);
        token_keeper_unref(accounts[i].tokens);
    }
    free(accounts);
}

int setup_sink_new(const struct conf *conf, struct net_loop *loop, struct tls_store *store,
                   struct sink **ret_sink, struct err *err)
{
    static const enum sink_confirm confirms[] = {
        [CONF_CONFIRM_AUTO] = SINK_CONFIRM_AUTO,
        [CONF_CONFIRM_ECHO] = SINK_CONFIRM_ECHO,
        [CONF_CONFIRM_CLOSE] = SINK_CONFIRM_CLOSE,
        [CONF_CONFIRM_SENT] = SINK_CONFIRM_SENT,
    };
    const struct conf_feed *feed = &conf->feed;
    struct net_tls *tls;
    if (tls_store_get(store, &feed->tls, &tls, err) < 0)
        return err_prefix(err, "%s", conf->feed_path);
    *ret_sink = sink_hpfeeds_new(loop, &(struct sink_hpfeeds_settings){
                                           .host = feed->host,
                                           .port = feed->port,
                                           .tls = tls,
                                           .ident = feed->ident,
                                           .secret = feed->secret,
                                           .channels = (const char *const *)feed->channels,
                                           .channel_count = feed->channel_count,
                                           .confirm = confirms[feed->confirm],
                                           .confirm_channel = feed->confirm_channel,
                                           .confirm_grace = feed->confirm_grace,
                                           .max_frame = feed->max_frame,
                                       });
    net_tls_unref(tls);
    return 0;
}

void setup_feed_key(const struct conf_feed *feed, struct buf *out)
{
    buf_printf(out, "%s\n%u\n%s\n", feed->host, feed->port, feed->ident);
    for (size_t i = 0; i < feed->channel_count; i++)
        buf_printf(out, "%s\n", feed->channels[i]);
    buf_printf(out, "%d %d\n%s\n%" PRIu64 " %" PRIu32 "\n", feed->payload_raw, (int)feed->confirm,
               feed->confirm_channel, feed->confirm_grace, feed->max_frame);
    tls_store_key(&feed->tls, out);
    /* Last: growing would leave a copy. */
    buf_reserve_exact(out, strlen(feed->secret) + 1);
    buf_add(out, feed->secret, strlen(feed->secret));
}

/* Where the state is, unless --state says so. The caller frees it; NULL: no home. */
static char *setup_state_path(void)
{
    const char *directory = getenv("STATE_DIRECTORY");
    if (directory && *directory) /* systemd may name several, separated by colons */
        return mem_printf("%.*s/state.db", (int)strcspn(directory, ":"), directory);
    const char *xdg = getenv("XDG_STATE_HOME");
    if (xdg && *xdg == '/')
        return mem_printf("%s/imap-collector/state.db", xdg);
    const char *home = getenv("HOME");
    if (home && *home)
        return mem_printf("%s/.local/state/imap-collector/state.db", home);
    return NULL;
}

/* --check remembers nothing, but gives no password to a server that does without it. */
static int setup_state_check(const char *path, struct state **ret_state, struct err *err)
{
    struct state_proofs proofs;
    if (state_sqlite_read_proofs(path, &proofs, err) < 0)
        return -1;
    struct state *state = state_memory_new();
    for (size_t i = 0; i < proofs.count; i++)
        state_commit(state,
                     &(struct state_change){.type = STATE_SET_PROOF,
                                            .account = proofs.items[i].account,
                                            .proof = proofs.items[i].proof},
                     1, NULL);
    state_proofs_release(&proofs);
    *ret_state = state;
    return 0;
}

int setup_state_open(const struct collector_options *options, struct state **ret_state,
                     char **ret_path, struct err *err)
{
    if (options->state && !strcmp(options->state, "none")) {
        *ret_state = state_memory_new();
        *ret_path = NULL;
        return 0;
    }
    char *path = options->state ? mem_strdup(options->state) : setup_state_path();
    if (!path && !options->check)
        return err_set(err, ERR_GIVE_UP,
                       "no place for the state: $HOME is not set; give one with --state");
    if (options->check) {
        int result = setup_state_check(path ? path : "", ret_state, err);
        free(path);
        if (result == 0)
            *ret_path = NULL;
        return result;
    }
    if (state_sqlite_open(path, ret_state, err) < 0) {
        free(path);
        return -1;
    }
    if (state_sqlite_lost(*ret_state))
        log_warning(NULL,
                    "state %s: the file that was here is gone or empty: a new one is begun, and "
                    "what was delivered before and is still selected in the mailboxes is delivered "
                    "once more",
                    path);
    *ret_path = path;
    return 0;
}

char *setup_token_directory(const struct collector_options *options)
{
    if (options->state && !strcmp(options->state, "none"))
        return NULL;
    char *path = options->state ? mem_strdup(options->state) : setup_state_path();
    if (!path)
        return NULL;
    char *slash = strrchr(path, '/');
    char *directory = slash ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup(".");
    free(path);
    return directory;
}
