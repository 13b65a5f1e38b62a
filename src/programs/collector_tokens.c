#include "programs/collector_tokens.h"

#include <openssl/evp.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http.h"
#include "oauth/oauth.h"
#include "token/source.h"

enum {
    TOKENS_NAME = 16 /* bytes of a digest that name a file */
};

struct tokens_entry {
    uint8_t key[TOKEN_KEY];
    struct token_keeper *keeper;
    unsigned round; /* in which it was last got */
};

struct tokens {
    struct net_loop *loop;
    char *directory;
    struct token_doer doer;
    struct net_http *http; /* NULL until somebody needs it, as … */
    struct token_workers *workers;
    void *tree; /* of entries: tsearch(3) */
    unsigned round;
    struct tokens_entry **stale; /* while it sweeps */
    size_t stale_count;
};

static void tokens_add_text(struct buf *out, const char *text)
{
    buf_printf(out, "%zu:", text ? strlen(text) + 1 : 0);
    buf_add_str(out, text ? text : "");
}

/* Of texts that are wiped. */
static void tokens_digest(struct buf *of, uint8_t digest[TOKEN_KEY])
{
    if (!EVP_Q_digest(NULL, "SHA256", NULL, of->data, of->len, digest, NULL))
        abort();
    mem_wipe(of->data, of->cap);
    buf_release(of);
}

char *tokens_file(const struct conf_mailbox *mailbox, const char *directory)
{
    const struct conf_oauth2 *oauth2 = mailbox->oauth2;
    struct buf of = {0}, path = {0};
    uint8_t digest[TOKEN_KEY];
    if (oauth2->refresh_token_file)
        return mem_strdup(oauth2->refresh_token_file);
    if (!directory)
        return NULL;
    buf_reserve_exact(&of, 64 << 10); /* more than all of it: growing would leave copies */
    tokens_add_text(&of, oauth2->token_url);
    tokens_add_text(&of, oauth2->client_id);
    tokens_add_text(&of, mailbox->username);
    tokens_add_text(&of, oauth2->refresh_token);
    tokens_digest(&of, digest);
    buf_printf(&path, "%s/oauth2-", directory);
    for (size_t i = 0; i < TOKENS_NAME; i++)
        buf_printf(&path, "%02x", digest[i]);
    char *name = mem_strdup(buf_cstr(&path));
    buf_release(&path);
    return name;
}

char *tokens_key(const struct conf_mailbox *mailbox, const char *directory,
                 uint8_t ret_key[TOKEN_KEY])
{
    const struct conf_oauth2 *oauth2 = mailbox->oauth2;
    struct buf of = {0};
    char *file = oauth2->command ? NULL : tokens_file(mailbox, directory);
    buf_reserve_exact(&of, 128 << 10);
    buf_printf(&of, "%zu:", oauth2->command_len);
    buf_add(&of, oauth2->command, oauth2->command_len);
    tokens_add_text(&of, oauth2->directory);
    tokens_add_text(&of, oauth2->token_url);
    tokens_add_text(&of, oauth2->device_url);
    tokens_add_text(&of, oauth2->client_id);
    tokens_add_text(&of, oauth2->client_secret);
    tokens_add_text(&of, oauth2->scope);
    tokens_add_text(&of, oauth2->refresh_token);
    tokens_add_text(&of, oauth2->ca_pem ? oauth2->ca_pem->text : NULL);
    tokens_add_text(&of, file);
    tokens_digest(&of, ret_key);
    return file;
}

static void tokens_troubled(const char *label, const struct err *err)
{
    const struct log_scope scope = {.account = label};
    log_error(&scope, "%s", err->text);
}

static struct token_keeper *tokens_make(struct tokens *tokens, const struct conf_mailbox *mailbox,
                                        const uint8_t key[TOKEN_KEY], bool has_file)
{
    const struct conf_oauth2 *oauth2 = mailbox->oauth2;
    if (!tokens->workers)
        tokens->workers = token_workers_new(tokens->loop, &tokens->doer);
    if (oauth2->command)
        return token_command_new(tokens->workers, tokens->loop, key);
    if (!tokens->http) {
        oauth_setup();
        tokens->http = net_http_new(tokens->loop);
    }
    return token_endpoint_new(tokens->loop, tokens->http, tokens->workers,
                              &(struct token_endpoint_settings){
                                  .label = mailbox->label,
                                  .token_url = oauth2->token_url,
                                  .ca = oauth2->ca_pem ? oauth2->ca_pem->text : NULL,
                                  .client_id = oauth2->client_id,
                                  .client_secret = oauth2->client_secret,
                                  .scope = oauth2->scope,
                                  .refresh_token = oauth2->refresh_token,
                                  .can_authorize = oauth2->device_url,
                                  .key = has_file ? key : NULL,
                              },
                              tokens_troubled);
}

static int tokens_compare(const void *a, const void *b)
{
    return memcmp(((const struct tokens_entry *)a)->key, ((const struct tokens_entry *)b)->key,
                  TOKEN_KEY);
}

struct token_keeper *tokens_get(struct tokens *tokens, const struct conf_mailbox *mailbox)
{
    struct tokens_entry wanted;
    if (!mailbox->oauth2)
        return NULL;
    char *file = tokens_key(mailbox, tokens->directory, wanted.key);
    struct tokens_entry **found = tfind(&wanted, &tokens->tree, tokens_compare);
    struct tokens_entry *entry = found ? *found : NULL;
    if (!entry) {
        entry = mem_new(struct tokens_entry);
        memcpy(entry->key, wanted.key, sizeof entry->key);
        entry->keeper = tokens_make(tokens, mailbox, entry->key, file);
        if (!tsearch(entry, &tokens->tree, tokens_compare))
            abort();
    }
    free(file);
    entry->round = tokens->round;
    token_keeper_hurry(entry->keeper);
    return token_keeper_ref(entry->keeper);
}

static void tokens_free_entry(void *node)
{
    struct tokens_entry *entry = node;
    token_keeper_unref(entry->keeper);
    free(entry);
}

static void tokens_look(const void *node, VISIT visit, void *ctx)
{
    struct tokens *tokens = ctx;
    struct tokens_entry *const *entry = node;
    if ((visit != postorder && visit != leaf) || (*entry)->round == tokens->round ||
        token_keeper_spends((*entry)->keeper))
        return;
    tokens->stale = mem_realloc_array(tokens->stale, tokens->stale_count + 1, sizeof(void *));
    tokens->stale[tokens->stale_count++] = *entry;
}

void tokens_sweep(struct tokens *tokens)
{
    twalk_r(tokens->tree, tokens_look, tokens);
    for (size_t i = 0; i < tokens->stale_count; i++) {
        tdelete(tokens->stale[i], &tokens->tree, tokens_compare);
        tokens_free_entry(tokens->stale[i]);
    }
    free(tokens->stale);
    tokens->stale = NULL;
    tokens->stale_count = 0;
    tokens->round++;
}

static void tokens_look_busy(const void *node, VISIT visit, void *ctx)
{
    struct tokens_entry *const *entry = node;
    bool *busy = ctx;
    if (visit == postorder || visit == leaf)
        *busy = *busy || token_keeper_spends((*entry)->keeper);
}

bool tokens_busy(struct tokens *tokens)
{
    bool busy = false;
    twalk_r(tokens->tree, tokens_look_busy, &busy);
    return busy;
}

struct tokens *tokens_new(struct net_loop *loop, const char *directory,
                          const struct token_doer *doer)
{
    struct tokens *tokens = mem_new(struct tokens);
    tokens->loop = loop;
    tokens->directory = mem_strdup(directory);
    tokens->doer = *doer;
    return tokens;
}

void tokens_free(struct tokens *tokens)
{
    if (!tokens)
        return;
    tdestroy(tokens->tree, tokens_free_entry);
    net_http_free(tokens->http);
    token_workers_free(tokens->workers);
    free(tokens->directory);
    free(tokens);
}
