/* The broker's accounts as JSON: all of the file or nothing of it, and each account can stand on
 * the wire. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "broker/source.h"
#include "memory_file.h"

static void fuzz_check(bool holds)
{
    if (!holds)
        abort();
}

static void fuzz_check_name(const char *name)
{
    size_t len = strlen(name);
    fuzz_check(len > 0 && len <= 255 && text_is_utf8(name, len));
}

static void fuzz_check_lists(const struct broker_account *account)
{
    for (char *const *at = account->pubchans; *at; at++) {
        fuzz_check_name(*at);
        fuzz_check(broker_account_may_publish(account, *at, strlen(*at)));
    }
    for (char *const *at = account->subchans; *at; at++) {
        fuzz_check_name(*at);
        fuzz_check(broker_account_may_subscribe(account, *at, strlen(*at)));
    }
}

/* Whoever is asked for by a name that stands in the file, as far as it is looked at, is found by
 * that name. */
static void fuzz_find(struct broker_source *source, const uint8_t *data, size_t size)
{
    for (size_t from = 0; from < size && from < 64; from++) {
        for (size_t len = 1; len < 16 && from + len <= size; len++) {
            struct err err = {0};
            const char *name = (const char *)data + from;
            struct broker_account *account = source->kind->find(source, name, len, &err);
            if (!account)
                continue;
            fuzz_check(strlen(account->ident) == len && !memcmp(account->ident, name, len));
            fuzz_check_name(account->ident);
            fuzz_check(*account->secret);
            fuzz_check_lists(account);
            broker_account_unref(account);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct broker_source *source = NULL;
    struct err err = {0};
    if (broker_source_json_new(memory_file(data, size), &source, &err) < 0) {
        fuzz_check(!source && *err.text);
        return 0;
    }
    fuzz_find(source, data, size);
    source->kind->free(source);
    return 0;
}
