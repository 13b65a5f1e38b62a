/* PLAIN and LOGIN: the password as it is. */
#include <string.h>

#include "sasl/mechanism.h"

int sasl_password_check(const struct sasl_client *client, struct err *err)
{
    if (!*client->user || !*client->password)
        return err_set(err, ERR_GIVE_UP, "%s cannot carry an empty %s", client->kind->name,
                       *client->user ? "password" : "username");
    return 0;
}

/* RFC 4616: message = [authzid] UTF8NUL authcid UTF8NUL passwd, without an authzid. */
int sasl_plain_answer(struct sasl_client *client, const uint8_t *challenge, size_t len,
                      struct buf *out, struct err *err)
{
    (void)challenge;
    (void)len;
    (void)err;
    size_t user_len = strlen(client->user), password_len = strlen(client->password);
    buf_reserve_exact(out, user_len + password_len + 2); /* growing would leave copies behind */
    buf_add_byte(out, '\0');
    buf_add(out, client->user, user_len);
    buf_add_byte(out, '\0');
    buf_add(out, client->password, password_len);
    return 0;
}

/* draft-murchison-sasl-login: the challenges' words differ from server to server ("User Name",
 * "Username:"), so their order alone counts. */
int sasl_login_answer(struct sasl_client *client, const uint8_t *challenge, size_t len,
                      struct buf *out, struct err *err)
{
    (void)challenge;
    (void)len;
    (void)err;
    const char *text = client->steps ? client->password : client->user;
    size_t text_len = strlen(text);
    buf_reserve_exact(out, text_len);
    buf_add(out, text, text_len);
    return 0;
}
