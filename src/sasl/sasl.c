#include "sasl/sasl.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct sasl_client {
    const struct sasl_kind *kind;
    char *user;
    char *password;
    unsigned steps; /* answers given so far */
};

/* A mechanism: a row of sasl_kinds. */
struct sasl_kind {
    const char *name;
    bool first;     /* the client speaks first */
    unsigned steps; /* how many answers it has to give */
    void (*answer)(const struct sasl_client *client, struct buf *out);
};

/* RFC 4616: message = [authzid] UTF8NUL authcid UTF8NUL passwd, without an authzid. */
static void sasl_plain_answer(const struct sasl_client *client, struct buf *out)
{
    size_t user_len = strlen(client->user), password_len = strlen(client->password);
    buf_reserve_exact(out, user_len + password_len + 2); /* growing would leave copies behind */
    buf_add_byte(out, '\0');
    buf_add(out, client->user, user_len);
    buf_add_byte(out, '\0');
    buf_add(out, client->password, password_len);
}

/* draft-murchison-sasl-login: the challenges' words differ from server to server ("User Name",
 * "Username:"), so their order alone counts. */
static void sasl_login_answer(const struct sasl_client *client, struct buf *out)
{
    const char *text = client->steps ? client->password : client->user;
    size_t len = strlen(text);
    buf_reserve_exact(out, len);
    buf_add(out, text, len);
}

static const struct sasl_kind sasl_kinds[] = {
    [SASL_PLAIN] = {"PLAIN", true, 1, sasl_plain_answer},
    [SASL_LOGIN] = {"LOGIN", false, 2, sasl_login_answer},
};

const char *sasl_mechanism_name(enum sasl_mechanism mechanism)
{
    return sasl_kinds[mechanism].name;
}

int sasl_client_new(enum sasl_mechanism mechanism, const char *user, const char *password,
                    struct sasl_client **ret_client, struct err *err)
{
    const struct sasl_kind *kind = &sasl_kinds[mechanism];
    if (!user || !*user || !password || !*password)
        return err_set(err, ERR_GIVE_UP, "%s cannot carry an empty %s", kind->name,
                       user && *user ? "password" : "username");
    struct sasl_client *client = mem_new(struct sasl_client);
    client->kind = kind;
    client->user = mem_strdup(user);
    client->password = mem_strdup(password);
    *ret_client = client;
    return 0;
}

void sasl_client_free(struct sasl_client *client)
{
    if (!client)
        return;
    mem_free_secret(client->user);
    mem_free_secret(client->password);
    free(client);
}

bool sasl_client_first(const struct sasl_client *client)
{
    return client->kind->first;
}

int sasl_client_step(struct sasl_client *client, const uint8_t *challenge, size_t len,
                     struct buf *out, struct err *err)
{
    (void)challenge; /* neither mechanism's answer depends on it */
    (void)len;
    if (client->steps == client->kind->steps)
        return err_set(err, ERR_GIVE_UP, "the server asks for more than %s has to say",
                       client->kind->name);
    client->kind->answer(client, out);
    client->steps++;
    return 0;
}
