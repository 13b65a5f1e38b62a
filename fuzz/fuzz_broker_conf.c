/* The broker's YAML file: what is not valid must be reported, what is valid must be whole. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/broker.h"
#include "libfyaml_leak.h"
#include "memory_file.h"

static void fuzz_check(bool holds)
{
    if (!holds)
        abort();
}

static bool fuzz_is_plain(const char *text)
{
    for (; text && *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            return false;
    return true;
}

static void fuzz_check_broker(const struct conf_broker *broker)
{
    for (size_t i = 0; i < broker->endpoint_count; i++) {
        const struct conf_endpoint *endpoint = &broker->endpoints[i];
        fuzz_check(endpoint->text || endpoint->interface);
        fuzz_check(endpoint->text || endpoint->tls == (endpoint->cert != NULL));
    }
    for (size_t i = 0; i < broker->auth_count; i++)
        fuzz_check(broker->auths[i] && *broker->auths[i]);
    for (size_t i = 0; i < broker->durable_count; i++)
        fuzz_check(broker->durable[i].ident && broker->durable[i].channel);
    fuzz_check(!broker->max_frame || broker->max_frame <= UINT32_MAX);
    fuzz_check(!broker->name || strlen(broker->name) <= 255);
}

static void fuzz_check_problems(const struct conf_problems *problems, bool failed)
{
    size_t errors = 0;
    for (size_t i = 0; i < problems->count; i++) {
        errors += !problems->items[i].warning;
        fuzz_check(fuzz_is_plain(problems->items[i].text));
    }
    fuzz_check(failed == (errors > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf_broker *broker = NULL;
    struct conf_problems problems;
    bool failed = conf_broker_load(memory_file(data, size), &broker, &problems) < 0;
    fuzz_check_problems(&problems, failed);
    fuzz_check(failed == !broker);
    if (broker)
        fuzz_check_broker(broker);
    conf_problems_release(&problems);
    conf_broker_free(broker);
    return 0;
}
