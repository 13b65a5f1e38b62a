#include "sasl/sasl.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sasl/mechanism.h"

static const struct sasl_kind sasl_kinds[] = {
    [SASL_PLAIN] = {"PLAIN", true, 1, sasl_password_check, sasl_plain_answer},
    [SASL_LOGIN] = {"LOGIN", false, 2, sasl_password_check, sasl_login_answer},
    [SASL_XOAUTH2] = {"XOAUTH2", true, 2, sasl_token_check, sasl_xoauth2_answer},
    [SASL_OAUTHBEARER] = {"OAUTHBEARER", true, 2, sasl_token_check, sasl_oauthbearer_answer},
};

const char *sasl_mechanism_name(enum sasl_mechanism mechanism)
{
    return sasl_kinds[mechanism].name;
}

static char *sasl_copy(const char *text)
{
    return mem_strdup(text ? text : "");
}

int sasl_client_new(enum sasl_mechanism mechanism, const struct sasl_credentials *credentials,
                    struct sasl_client **ret_client, struct err *err)
{
    struct sasl_client *client = mem_new(struct sasl_client);
    client->kind = &sasl_kinds[mechanism];
    client->user = sasl_copy(credentials->user);
    client->password = sasl_copy(credentials->password);
    client->access_token = sasl_copy(credentials->access_token);
    client->host = sasl_copy(credentials->host);
    client->port = credentials->port;
    if (client->kind->check(client, err) < 0) {
        sasl_client_free(client);
        return -1;
    }
    *ret_client = client;
    return 0;
}

void sasl_client_free(struct sasl_client *client)
{
    if (!client)
        return;
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
    if (client->steps == client->kind->steps)
        return err_set(err, ERR_GIVE_UP, "the server asks for more than %s has to say",
                       client->kind->name);
    if (client->kind->answer(client, challenge, len, out, err) < 0)
        return -1;
    client->steps++;
    return 0;
}

const char *sasl_client_refusal(const struct sasl_client *client)
{
    return client->refusal ? client->refusal : "";
}
