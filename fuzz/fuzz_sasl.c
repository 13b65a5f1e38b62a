/* Challenges to each mechanism, cut out of the input. No login but a token's or a plain password's
 * may be believed without a proof, which no fuzzer can find; nothing is derived beyond the limits.
 * Input: the mechanism, then challenges, each behind its length. "#" in one stands for our nonce.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sasl/sasl.h"

#define FUZZ_TOKEN "token"

enum {
    FUZZ_REFUSAL_MAX = 200 + 2 * (sizeof FUZZ_TOKEN - 1),
};

static void fuzz_check(bool good)
{
    if (!good)
        abort();
}

/* The nonce in what was said first, or "". */
static const char *fuzz_nonce(struct buf *said)
{
    const char *nonce = strstr(buf_cstr(said), ",r=");
    return nonce ? nonce + 3 : "";
}

static void fuzz_challenge(struct buf *challenge, const uint8_t *data, size_t len,
                           const char *nonce)
{
    buf_clear(challenge);
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '#')
            buf_add_str(challenge, nonce);
        else
            buf_add_byte(challenge, data[i]);
    }
}

static int fuzz_derive(struct sasl_client *client, struct buf *out, struct err *err)
{
    const struct sasl_derivation *derivation = sasl_client_derivation(client);
    uint8_t key[SASL_KEY_MAX] = {7};
    fuzz_check(derivation->iterations >= 4096 && derivation->iterations <= 2000000);
    fuzz_check(derivation->salt_len > 0 && derivation->salt_len <= SASL_SALT_MAX);
    return sasl_client_derived(client, key, out, err);
}

static void fuzz_talk(struct sasl_client *client, const uint8_t *data, size_t len)
{
    struct buf said = {0}, first = {0}, challenge = {0};
    struct err err;
    int step = sasl_client_step(client, NULL, 0, &first, &err);
    while (step >= 0 && len) {
        size_t piece = data[0] < len - 1 ? data[0] : len - 1;
        buf_clear(&said);
        fuzz_challenge(&challenge, data + 1, piece, fuzz_nonce(&first));
        step = sasl_client_step(client, challenge.data, challenge.len, &said, &err);
        if (step == SASL_DERIVE)
            step = fuzz_derive(client, &said, &err);
        fuzz_check(strlen(sasl_client_refusal(client)) <= FUZZ_REFUSAL_MAX);
        data += 1 + piece;
        len -= 1 + piece;
    }
    buf_release(&said);
    buf_release(&first);
    buf_release(&challenge);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct sasl_credentials credentials = {.user = "u,s=r",
                                                        .password = "secret",
                                                        .access_token = FUZZ_TOKEN,
                                                        .host = "h",
                                                        .port = 993};
    static const struct sasl_binding binding = {4, {1, 2, 3, 4}};
    struct sasl_client *client = NULL;
    struct err err;
    if (!len)
        return 0;
    enum sasl_mechanism mechanism = (enum sasl_mechanism)(data[0] % (SASL_OAUTHBEARER + 1));
    bool bound = mechanism == SASL_SCRAM_SHA_1_PLUS || mechanism == SASL_SCRAM_SHA_256_PLUS;
    bool scram = mechanism >= SASL_SCRAM_SHA_1 && mechanism <= SASL_SCRAM_SHA_256_PLUS;
    fuzz_check(sasl_client_new(mechanism, &credentials, bound ? &binding : NULL, &client, &err) ==
               0);
    fuzz_talk(client, data + 1, len - 1);
    fuzz_check(sasl_client_convinced(client) == !scram);
    sasl_client_free(client);
    return 0;
}
