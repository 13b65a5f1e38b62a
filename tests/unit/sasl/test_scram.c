/* SCRAM, with a nonce that is known (nonce.c). The SHA-1 exchange is RFC 5802's; the others were
 * computed apart from this code, by a program that gives RFC 5802's and RFC 7677's examples. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sasl/sasl.h"

#define NONCE "fyko+d2lbbFgONRv9qkxdawL"
#define SALT_1 "s=QSXCR+Q6sek8bf92"
#define SALT_256 "s=W22ZaJ0SNY7soEsUEjb6gQ=="
#define FIRST_1 "r=" NONCE "3rfcNHYJY1ZVvWVs7j," SALT_1 ",i=4096"
#define FIRST_256 "r=" NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0," SALT_256 ",i=4096"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct sasl_binding unique = {
    .len = 12,
    .data = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
};

static const struct exchange {
    enum sasl_mechanism mechanism;
    const char *user;
    const struct sasl_binding *binding;
    const char *first, *asked, *final, *proof;
} exchanges[] = {
    {SASL_SCRAM_SHA_1, "user", NULL, "n,,n=user,r=" NONCE, FIRST_1,
     "c=biws,r=" NONCE "3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
     "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
    {SASL_SCRAM_SHA_256, "user", NULL, "n,,n=user,r=" NONCE, FIRST_256,
     "c=biws,r=" NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=2FUSN0pPcS7P8hBhsxBJOiUDbRoW4KVNGZT0LxVn"
     "Sek=",
     "v=zJZjsVp2g+W9jd01vgbsshippfH1sM0tLdBvs+e3DF4="},
    {SASL_SCRAM_SHA_256_PLUS, "user", &unique, "p=tls-unique,,n=user,r=" NONCE, FIRST_256,
     "c=cD10bHMtdW5pcXVlLCwAAQIDBAUGBwgJCgs=,r=" NONCE
     "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=jXF6r3h6hkAGpA5JWNIQ+bRPDVZPZX0b/HtaQj5vgJA=",
     "v=si3S5mt/anjjR0uhZ90dPwd+ycBXAornCSQJmCf133E="},
    {SASL_SCRAM_SHA_1_PLUS, "user", &unique, "p=tls-unique,,n=user,r=" NONCE, FIRST_1,
     "c=cD10bHMtdW5pcXVlLCwAAQIDBAUGBwgJCgs=,r=" NONCE "3rfcNHYJY1ZVvWVs7j,p=ResgVA2w6fEFiwzXkrPS"
     "GTt/RSg=",
     "v=HKBeWjn99U5AvtgAjz6m1d81mhk="},
    /* A name to be escaped, and an extension that may be passed over. */
    {SASL_SCRAM_SHA_256, "a,b=c", NULL, "n,,n=a=2Cb=3Dc,r=" NONCE,
     "r=" NONCE "x," SALT_256 ",i=4096,x=ext",
     "c=biws,r=" NONCE "x,p=/9lexy0/lhRjR0io37yTRGLRtBmMzmBDMmwozdwrYLc=",
     "v=wTbKzUoKhTudAV6miLppCJJIoVFi2aWmb/fqzklCWl8="},
};

static struct sasl_client *test_client(const struct exchange *exchange)
{
    struct sasl_client *client = NULL;
    struct err err;
    struct sasl_credentials credentials = {.user = exchange->user, .password = "pencil"};
    assert_int_equal(
        sasl_client_new(exchange->mechanism, &credentials, exchange->binding, &client, &err), 0);
    assert_true(sasl_client_first(client));
    return client;
}

static int test_say(struct sasl_client *client, const char *text, struct buf *out, struct err *err)
{
    buf_clear(out);
    *err = (struct err){0};
    return sasl_client_step(client, (const uint8_t *)text, strlen(text), out, err);
}

/* As far as the server's first message, and the answer to it. */
static void test_answer(struct sasl_client *client, const struct exchange *exchange,
                        struct buf *out)
{
    struct err err;
    uint8_t key[SASL_KEY_MAX];
    assert_int_equal(test_say(client, "", out, &err), SASL_ANSWERED);
    assert_string_equal(buf_cstr(out), exchange->first);
    assert_int_equal(test_say(client, exchange->asked, out, &err), SASL_DERIVE);
    assert_int_equal(out->len, 0);
    assert_false(sasl_client_convinced(client));
    sasl_derive(sasl_client_derivation(client), "pencil", key);
    assert_int_equal(sasl_client_derived(client, key, out, &err), SASL_ANSWERED);
    assert_string_equal(buf_cstr(out), exchange->final);
    assert_false(sasl_client_convinced(client));
}

static void test_exchanges(void **state)
{
    (void)state;
    struct buf out = {0};
    struct err err;
    for (size_t i = 0; i < COUNT(exchanges); i++) {
        struct sasl_client *client = test_client(&exchanges[i]);
        test_answer(client, &exchanges[i], &out);
        assert_int_equal(test_say(client, exchanges[i].proof, &out, &err), SASL_ANSWERED);
        assert_int_equal(out.len, 0);
        assert_true(sasl_client_convinced(client));
        assert_string_equal(sasl_client_refusal(client), "");
        assert_int_equal(test_say(client, "", &out, &err), -1);
        assert_non_null(strstr(err.text, "more than SCRAM has to say"));
        sasl_client_free(client);
    }
    buf_release(&out);
}

/* Messages that a server, or who sits before it, may send in place of the first: each is refused
 * before anything is computed, let alone sent. */
static void test_hostile_first(void **state)
{
    (void)state;
    static const struct {
        const char *message, *words;
    } cases[] = {
        {"", "is not SCRAM's"},
        {"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", "is not SCRAM's"},
        {SALT_1 ",i=4096", "is not SCRAM's"},
        {"R=" NONCE "x," SALT_1 ",i=4096", "is not SCRAM's"},
        {"r", "is not SCRAM's"},
        {"m=x,r=" NONCE "x," SALT_1 ",i=4096", "an extension of SCRAM that is not known"},
        {"r=" NONCE "," SALT_1 ",i=4096", "does not go on from our nonce"},
        {"r=," SALT_1 ",i=4096", "does not go on from our nonce"},
        {"r=x" NONCE "," SALT_1 ",i=4096", "does not go on from our nonce"},
        {"r=fyko+d2lbbFgONRv9qkxdawl3rfc," SALT_1 ",i=4096", "does not go on from our nonce"},
        {"r=" NONCE "a b," SALT_1 ",i=4096", "does not go on from our nonce"},
        {"r=" NONCE "\xC3\xA4," SALT_1 ",i=4096", "does not go on from our nonce"},
        {"r=" NONCE "x", "has no salt"},
        {"r=" NONCE "x,i=4096", "has no salt"},
        {"r=" NONCE "x,i=4096," SALT_1, "has no salt"},
        {"r=" NONCE "x,s=,i=4096", "salt is none, or too long"},
        {"r=" NONCE "x,s=QSX,i=4096", "salt is none, or too long"},
        {"r=" NONCE "x,s=!!!!,i=4096", "salt is none, or too long"},
        {"r=" NONCE "x," SALT_1, "has no iteration count"},
        {"r=" NONCE "x," SALT_1 ",j=4096", "has no iteration count"},
        {"r=" NONCE "x," SALT_1 ",x=1,i=4096", "has no iteration count"},
        {"r=" NONCE "x," SALT_1 ",i=0", "0 iterations only"},
        {"r=" NONCE "x," SALT_1 ",i=1", "1 iterations only"},
        {"r=" NONCE "x," SALT_1 ",i=4095", "4095 iterations only"},
        {"r=" NONCE "x," SALT_1 ",i=", "more than 2000000 iterations, or for no number"},
        {"r=" NONCE "x," SALT_1 ",i=-1", "more than 2000000 iterations"},
        {"r=" NONCE "x," SALT_1 ",i=4096 ", "more than 2000000 iterations"},
        {"r=" NONCE "x," SALT_1 ",i=0x1000", "more than 2000000 iterations"},
        {"r=" NONCE "x," SALT_1 ",i=2000001", "more than 2000000 iterations"},
        {"r=" NONCE "x," SALT_1 ",i=2147483648", "more than 2000000 iterations"},
        {"r=" NONCE "x," SALT_1 ",i=4294971392", "more than 2000000 iterations"},
        {"r=" NONCE "x," SALT_1 ",i=99999999999999999999", "more than 2000000 iterations"},
    };
    struct buf out = {0};
    struct err err;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sasl_client *client = test_client(&exchanges[0]);
        assert_int_equal(test_say(client, "", &out, &err), SASL_ANSWERED);
        assert_int_equal(test_say(client, cases[i].message, &out, &err), -1);
        assert_int_equal(err.action, ERR_GIVE_UP);
        if (!strstr(err.text, cases[i].words))
            fail_msg("\"%s\": %s", cases[i].message, err.text);
        assert_int_equal(out.len, 0);
        assert_false(sasl_client_convinced(client));
        sasl_client_free(client);
    }
    buf_release(&out);
}

static char *test_repeat(const char *before, size_t count, const char *behind)
{
    char *text = mem_zalloc(strlen(before) + count + strlen(behind) + 1);
    memcpy(text, before, strlen(before));
    memset(text + strlen(before), 'A', count);
    memcpy(text + strlen(text), behind, strlen(behind));
    return text;
}

static void test_long_first(void **state)
{
    (void)state;
    struct buf out = {0};
    struct err err;
    char *messages[] = {
        test_repeat("r=" NONCE, 100000, "," SALT_1 ",i=4096"),
        test_repeat("r=" NONCE "x,s=", 100000, ",i=4096"),
        test_repeat("r=" NONCE "x,s=", 176, ",i=4096"), /* 132 bytes */
        test_repeat("r=" NONCE "x," SALT_1 ",i=4096,x=", 100000, ""),
    };
    for (size_t i = 0; i < COUNT(messages); i++) {
        struct sasl_client *client = test_client(&exchanges[0]);
        assert_int_equal(test_say(client, "", &out, &err), SASL_ANSWERED);
        assert_int_equal(test_say(client, messages[i], &out, &err), -1);
        assert_non_null(strstr(err.text, "too long"));
        sasl_client_free(client);
        free(messages[i]);
    }

    struct sasl_client *client = test_client(&exchanges[0]);
    assert_int_equal(test_say(client, "", &out, &err), SASL_ANSWERED);
    static const uint8_t nul[] = "r=" NONCE "\0x," SALT_1 ",i=4096";
    assert_int_equal(sasl_client_step(client, nul, sizeof nul - 1, &out, &err), -1);
    assert_non_null(strstr(err.text, "has a NUL"));
    sasl_client_free(client);
    buf_release(&out);
}

/* The other end of what is allowed. */
static void test_many_iterations(void **state)
{
    (void)state;
    struct buf out = {0};
    struct err err;
    struct sasl_client *client = test_client(&exchanges[0]);
    assert_int_equal(test_say(client, "", &out, &err), SASL_ANSWERED);
    assert_int_equal(test_say(client, "r=" NONCE "x," SALT_1 ",i=2000000", &out, &err),
                     SASL_DERIVE);
    assert_int_equal(sasl_client_derivation(client)->iterations, 2000000);
    assert_int_equal(sasl_client_derivation(client)->salt_len, 12);
    sasl_client_free(client);
    buf_release(&out);
}

/* Whoever has no proof is not believed. */
static void test_hostile_final(void **state)
{
    (void)state;
    static const char *const messages[] = {
        "",
        "v=",
        "v=AAAA",
        "v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKR=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ",
        "V=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        "x=1,v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        "p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        FIRST_1,
        "ok",
    };
    struct buf out = {0};
    struct err err;
    for (size_t i = 0; i < COUNT(messages); i++) {
        struct sasl_client *client = test_client(&exchanges[0]);
        test_answer(client, &exchanges[0], &out);
        assert_int_equal(test_say(client, messages[i], &out, &err), -1);
        assert_int_equal(err.action, ERR_GIVE_UP);
        assert_non_null(strstr(err.text, "cannot prove that it knows the password"));
        assert_false(sasl_client_convinced(client));
        sasl_client_free(client);
    }
    buf_release(&out);
}

/* An error, in place of either message: it is kept, and answered with nothing. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *message, *refusal;
    } cases[] = {
        {"e=invalid-proof", "invalid-proof"},
        {"e=other-error", "other-error"},
        {"e=unknown-user,x=y", "unknown-user"},
        {"e=", ""},
        {"e=0123456789012345678901234567890123456789012345678901234567890123456789", ""},
    };
    struct buf out = {0};
    struct err err;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int late = 0; late < 2; late++) {
            struct sasl_client *client = test_client(&exchanges[0]);
            if (late)
                test_answer(client, &exchanges[0], &out);
            else
                assert_int_equal(test_say(client, "", &out, &err), SASL_ANSWERED);
            assert_int_equal(test_say(client, cases[i].message, &out, &err), SASL_ANSWERED);
            assert_int_equal(out.len, 0);
            assert_string_equal(sasl_client_refusal(client), cases[i].refusal);
            assert_false(sasl_client_convinced(client));
            assert_int_equal(test_say(client, exchanges[0].proof, &out, &err), -1);
            assert_false(sasl_client_convinced(client));
            sasl_client_free(client);
        }
    buf_release(&out);
}

static void test_cannot_carry(void **state)
{
    (void)state;
    static const struct {
        const char *user, *password, *words;
    } cases[] = {
        {NULL, "p", "an empty username"},
        {"", "p", "an empty username"},
        {"u", NULL, "an empty password"},
        {"u", "", "an empty password"},
        {"tr\xE4p", "p", "this username"},
        {"u", "p\xE4ss", "this password"},
        {"u", "p\r\n", "this password"},
        {"u\n", "p", "this username"},
        {"\xF0\x9F\x98\x80", "p", "this username"}, /* newer than SASLprep */
        {"u", "\xC2\xAD", "this password"},         /* a soft hyphen, which SASLprep takes out */
        {"u", "p\xED\xA0\x80", "this password"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sasl_client *client = NULL;
        struct err err = {0};
        struct sasl_credentials credentials = {.user = cases[i].user,
                                               .password = cases[i].password};
        assert_int_equal(sasl_client_new(SASL_SCRAM_SHA_256, &credentials, NULL, &client, &err),
                         -1);
        assert_null(client);
        assert_int_equal(err.action, ERR_GIVE_UP);
        assert_non_null(strstr(err.text, "SCRAM-SHA-256 cannot carry"));
        assert_non_null(strstr(err.text, cases[i].words));
        if (cases[i].password && *cases[i].password && strlen(cases[i].password) > 1)
            assert_null(strstr(err.text, cases[i].password));
    }
}

/* RFC 6070, and RFC 7677 section 3's password and salt. */
static void test_keys(void **state)
{
    (void)state;
    static const struct {
        struct sasl_derivation of;
        const char *password;
        const char *key;
    } cases[] = {
        {{SASL_SHA_1, 4096, 4, "salt"},
         "password",
         "\x4b\x00\x79\x01\xb7\x65\x48\x9a\xbe\xad\x49\xd9\x26\xf7\x21\xd0\x65\xa4\x29\xc1"},
        {{SASL_SHA_256, 4096, 16,
          "\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81"},
         "pencil",
         "\xc4\xa4\x95\x10\x32\x3a\xb4\xf9\x52\xca\xc1\xfa\x99\x44\x19\x39"
         "\xe7\x8e\xa7\x4d\x6b\xe8\x1d\xdf\x70\x96\xe8\x75\x13\xdc\x61\x5d"},
        /* RFC 4013 section 3: a soft hyphen is mapped to nothing. */
        {{SASL_SHA_256, 4096, 16,
          "\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81"},
         "pen\xC2\xAD"
         "cil",
         "\xc4\xa4\x95\x10\x32\x3a\xb4\xf9\x52\xca\xc1\xfa\x99\x44\x19\x39"
         "\xe7\x8e\xa7\x4d\x6b\xe8\x1d\xdf\x70\x96\xe8\x75\x13\xdc\x61\x5d"},
        {{SASL_SHA_256, 4096, 4, "salt"},
         "\xF0\x9F\x98\x80", /* newer than SASLprep: as it is */
         "\xeb\xdd\x64\xbe\x06\x00\x00\xa4\xdd\xac\x27\xa2\x31\x32\x47\x68\x65\x90\x32\xa0\x95\x45"
         "\x2c\x4d\xb2\xbe\x3c\x6d\x18\xce\x90\xe5"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t key[SASL_KEY_MAX];
        sasl_derive(&cases[i].of, cases[i].password, key);
        assert_memory_equal(key, cases[i].key, sasl_key_size(cases[i].of.hash));
    }

    struct sasl_derivation other = cases[1].of;
    assert_true(sasl_derivation_equal(&cases[1].of, &other));
    other.salt[15]++;
    assert_false(sasl_derivation_equal(&cases[1].of, &other));
    other = cases[1].of;
    other.iterations++;
    assert_false(sasl_derivation_equal(&cases[1].of, &other));
    other = cases[1].of;
    other.hash = SASL_SHA_1;
    assert_false(sasl_derivation_equal(&cases[1].of, &other));
    other = cases[1].of;
    other.salt_len--;
    assert_false(sasl_derivation_equal(&cases[1].of, &other));
}

/* Channel binding without a binding is none. */
static void test_unbound(void **state)
{
    (void)state;
    struct exchange exchange = exchanges[2];
    struct buf out = {0};
    struct err err;
    exchange.binding = NULL;
    struct sasl_client *client = test_client(&exchange);
    assert_int_equal(test_say(client, "", &out, &err), -1);
    assert_int_equal(out.len, 0);
    sasl_client_free(client);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchanges),     cmocka_unit_test(test_hostile_first),
        cmocka_unit_test(test_long_first),    cmocka_unit_test(test_many_iterations),
        cmocka_unit_test(test_hostile_final), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cannot_carry),  cmocka_unit_test(test_keys),
        cmocka_unit_test(test_unbound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
