#include "sasl/sasl.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sasl/mechanism.h"
#include "sasl/scram.h"

static const struct sasl_kind sasl_kinds[] = {
    [SASL_PLAIN] = {"PLAIN", true, 1, false, sasl_password_check, sasl_plain_answer},
    [SASL_LOGIN] = {"LOGIN", false, 2, false, sasl_password_check, sasl_login_answer},
    [SASL_SCRAM_SHA_1] = {.name = "SCRAM-SHA-1", .first = true, .scram = true},
    [SASL_SCRAM_SHA_1_PLUS] = {.name = "SCRAM-SHA-1-PLUS", .first = true, .scram = true},
    [SASL_SCRAM_SHA_256] = {.name = "SCRAM-SHA-256", .first = true, .scram = true},
    [SASL_SCRAM_SHA_256_PLUS] = {.name = "SCRAM-SHA-256-PLUS", .first = true, .scram = true},
    [SASL_XOAUTH2] = {"XOAUTH2", true, 2, false, sasl_token_check, sasl_xoauth2_answer},
    [SASL_OAUTHBEARER] = {"OAUTHBEARER", true, 2, false, sasl_token_check, sasl_oauthbearer_answer},
};

const char *sasl_mechanism_name(enum sasl_mechanism mechanism)
{
    return sasl_kinds[mechanism].name;
}

static char *sasl_copy(const char *text)
{
    return mem_strdup(text ? text : "");
}

static int sasl_client_fill(struct sasl_client *client, const struct sasl_credentials *credentials,
                            struct err *err)
{
    client->user = sasl_copy(credentials->user);
    client->password = sasl_copy(credentials->password);
    client->access_token = sasl_copy(credentials->access_token);
    client->host = sasl_copy(credentials->host);
    client->port = credentials->port;
    return client->kind->check(client, err);
}

int sasl_client_new(enum sasl_mechanism mechanism, const struct sasl_credentials *credentials,
                    const struct sasl_binding *binding, struct sasl_client **ret_client,
                    struct err *err)
{
    struct sasl_client *client = mem_new(struct sasl_client);
    client->kind = &sasl_kinds[mechanism];
    int result = client->kind->scram
                     ? scram_new(mechanism, credentials, binding, &client->scram, err)
                     : sasl_client_fill(client, credentials, err);
    if (result < 0)
        sasl_client_free(client);
    else
        *ret_client = client;
    return result;
}

void sasl_client_free(struct sasl_client *client)
{
    if (!client)
        return;
    scram_free(client->scram);
    mem_free_secret(client->user);
    mem_free_secret(client->password);
    mem_free_secret(client->access_token);
    free(client->host);
    mem_free_secret(client->refusal); /* it may repeat what was sent */
    free(client);
}

bool sasl_client_first(const struct sasl_client *client)
{
    return client->kind->first;
}

int sasl_client_step(struct sasl_client *client, const uint8_t *challenge, size_t len,
                     struct buf *out, struct err *err)
{
    if (client->scram)
        return scram_step(client->scram, challenge, len, out, err);
    if (client->steps == client->kind->steps)
        return err_set(err, ERR_GIVE_UP, "the server asks for more than %s has to say",
                       client->kind->name);
    if (client->kind->answer(client, challenge, len, out, err) < 0)
        return -1;
    client->steps++;
    return SASL_ANSWERED;
}

const struct sasl_derivation *sasl_client_derivation(const struct sasl_client *client)
{
    return scram_derivation(client->scram);
}

int sasl_client_derived(struct sasl_client *client, const uint8_t *key, struct buf *out,
                        struct err *err)
{
    return scram_derived(client->scram, key, out, err);
}

bool sasl_client_convinced(const struct sasl_client *client)
{
    return !client->scram || scram_proven(client->scram);
}

const char *sasl_client_refusal(const struct sasl_client *client)
{
    if (client->scram)
        return scram_refusal(client->scram);
    return client->refusal ? client->refusal : "";
}
