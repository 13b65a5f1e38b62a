#include "imap/way.h"

#define IMAP_WAYS (sizeof imap_ways / sizeof *imap_ways)

/* The best first. Channel binding is worth more than the better hash; it is not asked for by name,
 * so that there is a way past a server, or a proxy before it, that does it wrong. */
static const struct imap_way imap_ways[] = {
    {IMAP_AUTH_OAUTHBEARER, IMAP_CAP_AUTH_OAUTHBEARER, SASL_OAUTHBEARER, true, IMAP_PROOF_NONE},
    {IMAP_AUTH_XOAUTH2, IMAP_CAP_AUTH_XOAUTH2, SASL_XOAUTH2, true, IMAP_PROOF_NONE},
    {IMAP_AUTH_AUTO, IMAP_CAP_AUTH_SCRAM_SHA_256_PLUS, SASL_SCRAM_SHA_256_PLUS, false,
     IMAP_PROOF_BOUND},
    {IMAP_AUTH_AUTO, IMAP_CAP_AUTH_SCRAM_SHA_1_PLUS, SASL_SCRAM_SHA_1_PLUS, false,
     IMAP_PROOF_BOUND},
    {IMAP_AUTH_SCRAM_SHA_256, IMAP_CAP_AUTH_SCRAM_SHA_256, SASL_SCRAM_SHA_256, false,
     IMAP_PROOF_SCRAM},
    {IMAP_AUTH_SCRAM_SHA_1, IMAP_CAP_AUTH_SCRAM_SHA_1, SASL_SCRAM_SHA_1, false, IMAP_PROOF_SCRAM},
    {IMAP_AUTH_PLAIN, IMAP_CAP_AUTH_PLAIN, SASL_PLAIN, false, IMAP_PROOF_NONE},
    {IMAP_AUTH_LOGIN, IMAP_CAP_AUTH_LOGIN, SASL_LOGIN, false, IMAP_PROOF_NONE},
};

/* What is asked for. A server that moves to a TLS that we do not bind to is not to be told from
 * somebody in between who chose that TLS; but he would need a certificate that we take. Where any
 * is taken, the binding was all there was. */
static enum imap_proof imap_way_required(const struct imap_way_choice *choice)
{
    return choice->before == IMAP_PROOF_BOUND && !choice->binding && choice->verified
               ? IMAP_PROOF_SCRAM
               : choice->before;
}

/* Does it do what the server did before? Only `auth: auto` asks: who writes a way out means it. */
static bool imap_way_holds(const struct imap_way_choice *choice, enum imap_proof proof)
{
    return choice->auth != IMAP_AUTH_AUTO || choice->token || proof >= imap_way_required(choice);
}

static bool imap_way_fits(const struct imap_way_choice *choice, const struct imap_way *way)
{
    if (!(choice->caps & way->cap))
        return false;
    if (choice->auth != IMAP_AUTH_AUTO)
        return way->auth == choice->auth;
    return way->token == choice->token && (way->proof != IMAP_PROOF_BOUND || choice->binding) &&
           imap_way_holds(choice, way->proof);
}

const struct imap_way *imap_way_next(const struct imap_way_choice *choice,
                                     const struct imap_way *after)
{
    for (const struct imap_way *way = after ? after + 1 : imap_ways; way < imap_ways + IMAP_WAYS;
         way++)
        if (imap_way_fits(choice, way))
            return way;
    return NULL;
}

bool imap_way_command(const struct imap_way_choice *choice)
{
    return !(choice->caps & IMAP_CAP_LOGINDISABLED) && imap_way_holds(choice, IMAP_PROOF_NONE) &&
           (choice->auth == IMAP_AUTH_LOGIN || (choice->auth == IMAP_AUTH_AUTO && !choice->token));
}

/* What to write for what is there now. */
static const char *imap_way_advice(const struct imap_way_choice *choice)
{
    if (choice->caps & IMAP_CAP_AUTH_SCRAM_SHA_256)
        return "scram-sha-256";
    if (choice->caps & IMAP_CAP_AUTH_SCRAM_SHA_1)
        return "scram-sha-1";
    return choice->caps & IMAP_CAP_AUTH_PLAIN ? "plain" : "login";
}

/* What was proven before cannot be now. */
static int imap_way_weaker(const struct imap_way_choice *choice, struct err *err)
{
    enum imap_proof required = imap_way_required(choice);
    const char *advice = imap_way_advice(choice);
    if (required == IMAP_PROOF_BOUND && !choice->binding)
        return err_set(err, ERR_GIVE_UP,
                       "logins were bound to the connection before, this one cannot be bound to "
                       "(as with TLS 1.3), and nothing verifies whom it leads to: somebody may be "
                       "in between; give tls_ca or tls_fingerprint, or write `auth: %s` for this "
                       "mailbox",
                       advice);
    return err_set(err, ERR_GIVE_UP,
                   "the server took SCRAM%s before and does not offer it any more: somebody may be "
                   "in between who wants the password; if its operator has changed that, write "
                   "`auth: %s` for this mailbox",
                   required == IMAP_PROOF_BOUND ? " with channel binding" : "", advice);
}

int imap_way_none(const struct imap_way_choice *choice, bool secured, struct err *err)
{
    if (!imap_way_holds(choice, IMAP_PROOF_NONE))
        return imap_way_weaker(choice, err);
    if (choice->auth == IMAP_AUTH_AUTO || choice->auth == IMAP_AUTH_LOGIN)
        return err_set(err, ERR_GIVE_UP, "the server offers no known way to log in%s: neither %s",
                       secured ? "" : " without TLS",
                       choice->token ? "AUTH=OAUTHBEARER nor AUTH=XOAUTH2"
                                     : "SCRAM nor AUTH=PLAIN nor AUTH=LOGIN, and LOGIN is "
                                       "disabled");
    const struct imap_way *way = imap_ways;
    while (way->auth != choice->auth)
        way++;
    return err_set(err, ERR_GIVE_UP, "the server does not offer AUTH=%s, which is asked for",
                   sasl_mechanism_name(way->mechanism));
}
