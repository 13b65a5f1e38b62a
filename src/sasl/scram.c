#include "sasl/scram.h"

#include <gsasl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/num.h"

enum scram_state {
    SCRAM_FIRST,    /* nothing said yet */
    SCRAM_ASKED,    /* client-first-message is out */
    SCRAM_DERIVING, /* server-first-message came, the key is being derived */
    SCRAM_ANSWERED, /* client-final-message is out */
    SCRAM_PROVEN,   /* server-final-message came, and holds */
    SCRAM_REFUSED,  /* an error came in its place */
};

struct scram {
    enum scram_state state;
    Gsasl_session *session;
    char *nonce;     /* ours */
    struct buf said; /* server-first-message */
    struct sasl_derivation derivation;
    char refusal[64];
};

/* --- libgsasl ----------------------------------------------------------------------------------
 */

static Gsasl *scram_library;

static void scram_open_library(void)
{
    if (gsasl_init(&scram_library) != GSASL_OK)
        abort(); /* out of memory */
}

/* One for the process: it is never changed, and starting it asks every mechanism it has. */
static Gsasl *scram_gsasl(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, scram_open_library);
    return scram_library;
}

/* Wipes the library's copy of a property; it frees without. */
static void scram_wipe_property(struct scram *scram, Gsasl_property property)
{
    const char *text = gsasl_property_fast(scram->session, property);
    if (text)
        mem_wipe((char *)(uintptr_t)text, strlen(text));
}

static void scram_set_property(struct scram *scram, Gsasl_property property, const char *text)
{
    if (gsasl_property_set(scram->session, property, text) != GSASL_OK)
        abort(); /* out of memory */
}

/* One step of the library; what it has to say is appended to `out`. */
static int scram_pass(struct scram *scram, const struct buf *message, struct buf *out)
{
    char *text = NULL;
    size_t len = 0;
    int rc = gsasl_step(scram->session, (const char *)message->data, message->len, &text, &len);
    if (rc == GSASL_MALLOC_ERROR)
        abort();
    if (rc == GSASL_OK || rc == GSASL_NEEDS_MORE)
        buf_add(out, text, len);
    gsasl_free(text);
    return rc;
}

/* --- what goes in ------------------------------------------------------------------------------
 */

/* libgsasl 2.2 takes its flag the other way round: with it, what Unicode had not assigned when RFC
 * 4013 was written is refused. The library itself prepares the username so; passwords may be newer.
 */
enum {
    SCRAM_OF_OLD = GSASL_ALLOW_UNASSIGNED,
    SCRAM_OF_ANY_AGE = 0,
};

/* RFC 4013. NULL: not UTF-8, with characters that are prohibited, or nothing is left. gsasl_free()
 * it. */
static char *scram_prepare(const char *text, int age)
{
    char *prepared = NULL;
    if (gsasl_saslprep(text, (Gsasl_saslprep_flags)age, &prepared, NULL) != GSASL_OK)
        return NULL;
    if (*prepared)
        return prepared;
    gsasl_free(prepared);
    return NULL;
}

static int scram_check_text(const char *mechanism, const char *what, const char *text, int age,
                            struct err *err)
{
    if (!text || !*text)
        return err_set(err, ERR_GIVE_UP, "%s cannot carry an empty %s", mechanism, what);
    char *prepared = scram_prepare(text, age);
    if (!prepared)
        return err_set(
            err, ERR_GIVE_UP,
            "%s cannot carry this %s: it is not UTF-8, or has characters that are not allowed",
            mechanism, what);
    mem_wipe(prepared, strlen(prepared));
    gsasl_free(prepared);
    return 0;
}

static void scram_bind(struct scram *scram, const struct sasl_binding *binding)
{
    struct buf text = {0};
    base64_encode(&text, binding->data, binding->len);
    scram_set_property(scram, GSASL_CB_TLS_UNIQUE, buf_cstr(&text));
    buf_release(&text);
}

int scram_new(enum sasl_mechanism mechanism, const struct sasl_credentials *credentials,
              const struct sasl_binding *binding, struct scram **ret_scram, struct err *err)
{
    const char *name = sasl_mechanism_name(mechanism);
    if (scram_check_text(name, "username", credentials->user, SCRAM_OF_OLD, err) < 0 ||
        scram_check_text(name, "password", credentials->password, SCRAM_OF_ANY_AGE, err) < 0)
        return -1;
    struct scram *scram = mem_new(struct scram);
    if (gsasl_client_start(scram_gsasl(), name, &scram->session) != GSASL_OK)
        abort(); /* out of memory, or a library without SCRAM */
    bool sha_1 = mechanism == SASL_SCRAM_SHA_1 || mechanism == SASL_SCRAM_SHA_1_PLUS;
    scram->derivation.hash = sha_1 ? SASL_SHA_1 : SASL_SHA_256;
    scram_set_property(scram, GSASL_AUTHID, credentials->user);
    if (binding)
        scram_bind(scram, binding);
    *ret_scram = scram;
    return 0;
}

void scram_free(struct scram *scram)
{
    if (!scram)
        return;
    scram_wipe_property(scram, GSASL_SCRAM_SALTED_PASSWORD);
    gsasl_finish(scram->session);
    free(scram->nonce);
    buf_release(&scram->said);
    free(scram);
}

/* --- what comes --------------------------------------------------------------------------------
 */

/* RFC 5802 section 7: attr-val = ALPHA "=" value; a value has no "," and no NUL. Takes one and the
 * comma behind it. */
static bool scram_take(const char **at, const char *end, char name, const char **ret_value,
                       size_t *ret_len)
{
    if (end - *at < 2 || (*at)[0] != name || (*at)[1] != '=')
        return false;
    const char *value = *at + 2;
    const char *comma = memchr(value, ',', (size_t)(end - value));
    *ret_value = value;
    *ret_len = (size_t)((comma ? comma : end) - value);
    *at = comma ? comma + 1 : end;
    return true;
}

/* RFC 5802 section 5.1: the nonce begins with ours and goes on; 1*(%x21-2B / %x2D-7E). */
static int scram_check_nonce(const struct scram *scram, const char *nonce, size_t len,
                             struct err *err)
{
    size_t ours = strlen(scram->nonce);
    bool good = len > ours && !memcmp(nonce, scram->nonce, ours);
    for (size_t i = 0; i < len && good; i++)
        good = nonce[i] > ' ' && nonce[i] <= '~';
    return good
               ? 0
               : err_set(err, ERR_GIVE_UP,
                         "the server does not go on from our nonce: an attack, or a broken server");
}

static int scram_read_salt(struct scram *scram, const char *text, size_t len, struct err *err)
{
    struct buf salt = {0};
    bool good = len <= 4 * SASL_SALT_MAX && base64_decode(&salt, text, len) && salt.len &&
                salt.len <= SASL_SALT_MAX;
    if (good) {
        memcpy(scram->derivation.salt, salt.data, salt.len);
        scram->derivation.salt_len = salt.len;
    }
    buf_release(&salt);
    return good ? 0 : err_set(err, ERR_GIVE_UP, "the server's salt is none, or too long");
}

/* Few iterations make the password easy to guess from what we send; too many are an attack on our
 * processor. */
static int scram_read_iterations(struct scram *scram, const char *text, size_t len, struct err *err)
{
    uint64_t count;
    if (!num_parse_u64(text, len, SCRAM_ITERATIONS_MAX, &count))
        return err_set(err, ERR_GIVE_UP,
                       "the server asks for more than %d iterations, or for no number of them: "
                       "refused",
                       SCRAM_ITERATIONS_MAX);
    if (count < SCRAM_ITERATIONS_MIN)
        return err_set(err, ERR_GIVE_UP,
                       "the server asks for %d iterations only, which gives the password away "
                       "easily: refused below %d",
                       (int)count, SCRAM_ITERATIONS_MIN);
    scram->derivation.iterations = (uint32_t)count;
    return 0;
}

/* RFC 5802 section 7: server-first-message = [reserved-mext ","] nonce "," salt ","
 * iteration-count ["," extensions] */
static int scram_read_first(struct scram *scram, const uint8_t *message, size_t len,
                            struct err *err)
{
    const char *at = (const char *)message, *end = at + len, *value;
    size_t value_len;
    if (scram_take(&at, end, 'm', &value, &value_len))
        return err_set(err, ERR_GIVE_UP,
                       "the server demands an extension of SCRAM that is not known");
    if (!scram_take(&at, end, 'r', &value, &value_len))
        return err_set(err, ERR_GIVE_UP, "the server's first message is not SCRAM's");
    if (scram_check_nonce(scram, value, value_len, err) < 0)
        return -1;
    if (!scram_take(&at, end, 's', &value, &value_len))
        return err_set(err, ERR_GIVE_UP, "the server's first message has no salt");
    if (scram_read_salt(scram, value, value_len, err) < 0)
        return -1;
    if (!scram_take(&at, end, 'i', &value, &value_len))
        return err_set(err, ERR_GIVE_UP, "the server's first message has no iteration count");
    return scram_read_iterations(scram, value, value_len, err);
}

/* "e=invalid-proof": an error instead of what was due. */
static bool scram_read_refusal(struct scram *scram, const uint8_t *message, size_t len)
{
    const char *at = (const char *)message, *value;
    size_t value_len;
    if (!scram_take(&at, at + len, 'e', &value, &value_len))
        return false;
    /* Whole or not at all: of a part nobody could tell that it is one of the password. */
    if (value_len < sizeof scram->refusal)
        snprintf(scram->refusal, sizeof scram->refusal, "%.*s", (int)value_len, value);
    scram->state = SCRAM_REFUSED;
    return true;
}

/* --- the exchange ------------------------------------------------------------------------------
 */

/* client-first-message ends in ",r=" and the nonce. */
static int scram_begin(struct scram *scram, struct buf *out, struct err *err)
{
    struct buf nothing = {0};
    size_t from = out->len;
    if (scram_pass(scram, &nothing, out) != GSASL_NEEDS_MORE)
        return err_set(err, ERR_GIVE_UP, "SCRAM cannot begin");
    const char *first = buf_cstr(out) + from, *nonce = strstr(first, ",r=");
    if (!nonce)
        return err_set(err, ERR_GIVE_UP, "SCRAM cannot begin without a nonce");
    scram->nonce = mem_strdup(nonce + 3);
    scram->state = SCRAM_ASKED;
    return SASL_ANSWERED;
}

static int scram_asked(struct scram *scram, const uint8_t *message, size_t len, struct err *err)
{
    if (scram_read_first(scram, message, len, err) < 0)
        return -1;
    buf_add(&scram->said, message, len);
    scram->state = SCRAM_DERIVING;
    return SASL_DERIVE;
}

static int scram_answered(struct scram *scram, const uint8_t *message, size_t len, struct buf *out,
                          struct err *err)
{
    struct buf last = {0};
    buf_add(&last, message, len);
    int rc = scram_pass(scram, &last, out);
    buf_release(&last);
    if (rc != GSASL_OK)
        return err_set(err, ERR_GIVE_UP,
                       "the server cannot prove that it knows the password: somebody in between, "
                       "or a broken server");
    scram->state = SCRAM_PROVEN;
    return SASL_ANSWERED;
}

int scram_step(struct scram *scram, const uint8_t *message, size_t len, struct buf *out,
               struct err *err)
{
    if (scram->state == SCRAM_FIRST)
        return scram_begin(scram, out, err);
    if (!len)
        message = (const uint8_t *)""; /* instead of the NULL that an empty one may be */
    if (len > SCRAM_MESSAGE_MAX || memchr(message, 0, len))
        return err_set(err, ERR_GIVE_UP,
                       "the server's message is too long for SCRAM, or has a NUL");
    if (scram->state != SCRAM_ASKED && scram->state != SCRAM_ANSWERED)
        return err_set(err, ERR_GIVE_UP, "the server asks for more than SCRAM has to say");
    if (scram_read_refusal(scram, message, len))
        return SASL_ANSWERED;
    return scram->state == SCRAM_ASKED ? scram_asked(scram, message, len, err)
                                       : scram_answered(scram, message, len, out, err);
}

const struct sasl_derivation *scram_derivation(const struct scram *scram)
{
    return &scram->derivation;
}

int scram_derived(struct scram *scram, const uint8_t *key, struct buf *out, struct err *err)
{
    char hex[2 * SASL_KEY_MAX + 1];
    for (size_t i = 0; i < sasl_key_size(scram->derivation.hash); i++)
        snprintf(hex + 2 * i, 3, "%02x", key[i]);
    scram_set_property(scram, GSASL_SCRAM_SALTED_PASSWORD, hex);
    mem_wipe(hex, sizeof hex);
    int rc = scram_pass(scram, &scram->said, out);
    scram_wipe_property(scram, GSASL_SCRAM_SALTED_PASSWORD);
    if (rc != GSASL_NEEDS_MORE)
        return err_set(err, ERR_GIVE_UP, "the server's first message is not SCRAM's");
    scram->state = SCRAM_ANSWERED;
    return SASL_ANSWERED;
}

bool scram_proven(const struct scram *scram)
{
    return scram->state == SCRAM_PROVEN;
}

const char *scram_refusal(const struct scram *scram)
{
    return scram->refusal;
}

/* --- the slow part -----------------------------------------------------------------------------
 */

size_t sasl_key_size(enum sasl_hash hash)
{
    return hash == SASL_SHA_1 ? 20 : 32;
}

void sasl_derive(const struct sasl_derivation *derivation, const char *password,
                 uint8_t ret_key[SASL_KEY_MAX])
{
    char *prepared = scram_prepare(password, SCRAM_OF_ANY_AGE);
    if (!prepared || !PKCS5_PBKDF2_HMAC(prepared, (int)strlen(prepared), derivation->salt,
                                        (int)derivation->salt_len, (int)derivation->iterations,
                                        derivation->hash == SASL_SHA_1 ? EVP_sha1() : EVP_sha256(),
                                        (int)sasl_key_size(derivation->hash), ret_key))
        abort(); /* the password was looked at before; else out of memory */
    mem_wipe(prepared, strlen(prepared));
    gsasl_free(prepared);
}

bool sasl_derivation_equal(const struct sasl_derivation *a, const struct sasl_derivation *b)
{
    return a->hash == b->hash && a->iterations == b->iterations && a->salt_len == b->salt_len &&
           !memcmp(a->salt, b->salt, a->salt_len);
}
