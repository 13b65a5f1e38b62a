/* programs/collector_setup.h: what the rooms are to be told, made out of the configuration. */
#ifndef PROGRAMS_COLLECTOR_SETUP_H
#define PROGRAMS_COLLECTOR_SETUP_H

#include "base/buf.h"
#include "base/err.h"
#include "collect/collector.h"
#include "conf/conf.h"
#include "programs/collector_options.h"
#include "programs/collector_tls.h"
#include "programs/collector_tokens.h"
#include "sink/sink.h"
#include "state/state.h"

struct net_loop;

/* Settings for the collector but for its switches. What they point to is to be freed after
 * collector_new() with setup_settings_release(). */
void setup_settings_init(const struct conf *conf, struct collector_settings *ret_settings);
void setup_settings_release(struct collector_settings *settings);
/* Gives a running collector the limits of `conf`. */
void setup_update_limits(const struct conf *conf, struct collector *collector);
enum payload_format setup_payload(const struct conf *conf);

/* An account for each mailbox, in their order. Their strings are those of `conf`. Fails when a file
 * that a mailbox trusts cannot be used. */
int setup_accounts_new(const struct conf *conf, struct tls_store *store, struct tokens *tokens,
                       struct collect_account **ret_accounts, struct err *err);
/* NULL does nothing. */
void setup_accounts_free(struct collect_account *accounts, size_t count);

int setup_sink_new(const struct conf *conf, struct net_loop *loop, struct tls_store *store,
                   struct sink **ret_sink, struct err *err);
/* Appends a text that is equal for feeds that one sink can serve. It holds the secret. */
void setup_feed_key(const struct conf_feed *feed, struct buf *out);

/* The memory of what was delivered, where the options or the environment say it is; for --check one
 * without a file, that knows how accounts logged in. *ret_path is
 * its file, which the caller frees; NULL: it has none. */
int setup_state_open(const struct collector_options *options, struct state **ret_state,
                     char **ret_path, struct err *err);

/* Where refresh tokens are kept: the directory of the state. NULL: nowhere. The caller frees it. */
char *setup_token_directory(const struct collector_options *options);

#endif
