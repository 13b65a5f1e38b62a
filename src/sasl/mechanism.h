/* sasl/mechanism.h: what a mechanism is made of. Internal to the room. */
#ifndef SASL_MECHANISM_H
#define SASL_MECHANISM_H

#include "sasl/sasl.h"

struct scram;

struct sasl_client {
    const struct sasl_kind *kind;
    char *user;
    char *password;     /* as credentials have it, "" for none */
    char *access_token; /* the same */
    char *host;         /* the same */
    uint16_t port;
    unsigned steps;      /* answers given so far */
    char *refusal;       /* the server's, or NULL */
    struct scram *scram; /* the rest is empty where there is this */
};

/* A mechanism: a row of sasl.c's table. */
struct sasl_kind {
    const char *name;
    bool first;     /* the client speaks first */
    unsigned steps; /* how many answers it has to give */
    bool scram;     /* scram.h does it all */
    /* Can it carry what the client has? */
    int (*check)(const struct sasl_client *client, struct err *err);
    int (*answer)(struct sasl_client *client, const uint8_t *challenge, size_t len, struct buf *out,
                  struct err *err);
};

/* plain.c */
int sasl_password_check(const struct sasl_client *client, struct err *err);
int sasl_plain_answer(struct sasl_client *client, const uint8_t *challenge, size_t len,
                      struct buf *out, struct err *err);
int sasl_login_answer(struct sasl_client *client, const uint8_t *challenge, size_t len,
                      struct buf *out, struct err *err);

/* oauth.c */
int sasl_token_check(const struct sasl_client *client, struct err *err);
int sasl_xoauth2_answer(struct sasl_client *client, const uint8_t *challenge, size_t len,
                        struct buf *out, struct err *err);
int sasl_oauthbearer_answer(struct sasl_client *client, const uint8_t *challenge, size_t len,
                            struct buf *out, struct err *err);

#endif
