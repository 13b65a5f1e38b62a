#include "conf/broker.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/check.h"
#include "conf/file.h"
#include "conf/keys.h"
#include "conf/names.h"
#include "conf/pool.h"
#include "conf/report.h"
#include "conf/value.h"
#include "conf/yaml.h"

enum broker_slot {
    BROKER_ENDPOINTS,
    BROKER_AUTH,
    BROKER_EXPORTER,
    BROKER_NAME,
    BROKER_MAX_FRAME,
    BROKER_MAX_QUEUE,
    BROKER_MAX_MEMORY,
    BROKER_SLOW,
    BROKER_AUTH_TIMEOUT,
    BROKER_MAX_STRANGERS,
    BROKER_MAX_CONNECTIONS,
    BROKER_PRIVATE,
    BROKER_DURABLE,
    BROKER_STORE,
    BROKER_STORE_LIMIT,
    BROKER_STORE_FULL,
    BROKER_LOG_LEVEL,
    BROKER_LOG_FORMAT,
    BROKER_CERT,
    BROKER_KEY,
    BROKER_USER,
    BROKER_SANDBOX,
};

static const struct conf_key broker_keys[] = {
    {.name = "endpoints", .slot = BROKER_ENDPOINTS},
    {.name = "auth", .slot = BROKER_AUTH},
    {.name = "exporter", .slot = BROKER_EXPORTER},
    {.name = "name", .slot = BROKER_NAME},
    {.name = "max_frame", .slot = BROKER_MAX_FRAME},
    {.name = "max_queue", .slot = BROKER_MAX_QUEUE},
    {.name = "max_memory", .slot = BROKER_MAX_MEMORY},
    {.name = "slow_subscribers", .slot = BROKER_SLOW},
    {.name = "auth_timeout", .slot = BROKER_AUTH_TIMEOUT},
    {.name = "max_unauthenticated_per_address", .slot = BROKER_MAX_STRANGERS},
    {.name = "max_connections_per_address", .slot = BROKER_MAX_CONNECTIONS},
    {.name = "private_channels", .slot = BROKER_PRIVATE},
    {.name = "durable", .slot = BROKER_DURABLE},
    {.name = "store", .slot = BROKER_STORE},
    {.name = "store_limit", .slot = BROKER_STORE_LIMIT},
    {.name = "store_full", .slot = BROKER_STORE_FULL},
    {.name = "log_level", .slot = BROKER_LOG_LEVEL},
    {.name = "log_format", .slot = BROKER_LOG_FORMAT},
    {.name = "cert", .slot = BROKER_CERT},
    {.name = "key", .slot = BROKER_KEY},
    {.name = "user", .slot = BROKER_USER},
    {.name = "sandbox", .slot = BROKER_SANDBOX},
    {0},
};

enum endpoint_slot {
    ENDPOINT_TLS,
    ENDPOINT_INTERFACE,
    ENDPOINT_PORT,
    ENDPOINT_DEVICE,
    ENDPOINT_CERT,
    ENDPOINT_KEY,
};

static const struct conf_key endpoint_keys[] = {
    {.name = "tls", .slot = ENDPOINT_TLS},
    {.name = "interface", .slot = ENDPOINT_INTERFACE},
    {.name = "port", .slot = ENDPOINT_PORT},
    {.name = "device", .slot = ENDPOINT_DEVICE},
    {.name = "cert", .slot = ENDPOINT_CERT},
    {.name = "key", .slot = ENDPOINT_KEY},
    {0},
};

/* What conf_broker_load() gives out: everything in `broker` lies in `pool`. */
struct broker_whole {
    struct conf_broker broker; /* first: conf_broker_free() gets only this */
    struct conf_pool pool;
};

struct broker_reader {
    struct conf_file *file;
    struct conf_keys keys;
    struct conf_broker *broker;
};

static const struct conf_entry *broker_entry(const struct broker_reader *reader,
                                             enum broker_slot slot)
{
    const struct conf_entry *entry = &reader->keys.slots[slot];
    return entry->name ? entry : NULL;
}

static bool broker_check_text(struct conf_file *file, const struct conf_entry *entry,
                              char **ret_text)
{
    return conf_value_label(file, entry, ret_text);
}

static void broker_read_text(const struct broker_reader *reader, enum broker_slot slot,
                             char **ret_text)
{
    const struct conf_entry *entry = broker_entry(reader, slot);
    if (entry)
        conf_value_label(reader->file, entry, ret_text);
}

/* Relative paths start where the file is, as everywhere in these files. */
static void broker_resolve(const struct broker_reader *reader, const struct conf_entry *entry,
                           const char *path, char **ret_path)
{
    char *resolved = conf_file_resolve(reader->file, entry->value, path);
    if (resolved)
        *ret_path = conf_pool_intern(reader->file->pool, resolved, strlen(resolved));
    free(resolved);
}

static void broker_read_path(const struct broker_reader *reader, enum broker_slot slot,
                             char **ret_path)
{
    const struct conf_entry *entry = broker_entry(reader, slot);
    char *text;
    if (entry && conf_value_label(reader->file, entry, &text))
        broker_resolve(reader, entry, text, ret_path);
}

static void broker_read_size(const struct broker_reader *reader, enum broker_slot slot,
                             uint64_t least, uint64_t most, const char *range, uint64_t *ret_size)
{
    const struct conf_entry *entry = broker_entry(reader, slot);
    if (entry)
        conf_value_size(reader->file, entry, least, most, range, ret_size);
}

static void broker_read_number(const struct broker_reader *reader, enum broker_slot slot,
                               bool *ret_has, uint64_t *ret_number)
{
    const struct conf_entry *entry = broker_entry(reader, slot);
    *ret_has = entry && conf_value_number(reader->file, entry, 0, UINT32_MAX, ret_number);
}

/* The second of two words. */
static void broker_read_policy(const struct broker_reader *reader, enum broker_slot slot,
                               const char *const *words, bool *ret_second)
{
    const struct conf_entry *entry = broker_entry(reader, slot);
    unsigned index;
    if (entry && conf_value_choice(reader->file, entry, words, &index))
        *ret_second = index == 1;
}

static void broker_read_limits(const struct broker_reader *reader)
{
    static const char *const slow[] = {"disconnect", "drop-oldest", NULL};
    struct conf_broker *broker = reader->broker;
    broker_read_size(reader, BROKER_MAX_FRAME, 1 << 10, 1 << 30, "1KiB to 1GiB",
                     &broker->max_frame);
    broker_read_size(reader, BROKER_MAX_QUEUE, 1, SIZE_MAX, "1 byte or more", &broker->max_queue);
    broker_read_size(reader, BROKER_MAX_MEMORY, 1 << 20, SIZE_MAX, "1MiB or more",
                     &broker->max_memory);
    broker_read_policy(reader, BROKER_SLOW, slow, &broker->drop_oldest);
    broker_read_number(reader, BROKER_MAX_STRANGERS, &broker->has_strangers,
                       &broker->max_unauthenticated);
    broker_read_number(reader, BROKER_MAX_CONNECTIONS, &broker->has_address_max,
                       &broker->max_connections);
    const struct conf_entry *entry = broker_entry(reader, BROKER_AUTH_TIMEOUT);
    if (entry)
        conf_value_duration(reader->file, entry, 100, 3600000, "0.1 s to 1 h",
                            &broker->auth_timeout);
}

static void endpoint_read_path(struct conf_file *file, const struct conf_entry *entry,
                               const char *what, char **ret_path)
{
    if (entry->name)
        conf_value_path(file, entry, what, ret_path);
}

static void endpoint_read_map(struct conf_file *file, const struct conf_yaml *map,
                              struct conf_endpoint *endpoint)
{
    struct conf_keys keys;
    uint64_t port;
    conf_keys_read(file, map, endpoint_keys, &keys);
    const struct conf_entry *slots = keys.slots;
    endpoint->interface = conf_pool_intern(file->pool, "0.0.0.0", 7);
    if (slots[ENDPOINT_TLS].name)
        conf_value_switch(file, &slots[ENDPOINT_TLS], &endpoint->tls);
    if (slots[ENDPOINT_INTERFACE].name)
        conf_check_host(file, &slots[ENDPOINT_INTERFACE], &endpoint->interface);
    if (!slots[ENDPOINT_PORT].name)
        conf_file_error(file, map, "an endpoint without a port");
    else if (conf_value_number(file, &slots[ENDPOINT_PORT], 0, UINT16_MAX, &port))
        endpoint->port = (uint16_t)port;
    if (slots[ENDPOINT_DEVICE].name)
        conf_value_label(file, &slots[ENDPOINT_DEVICE], &endpoint->device);
    endpoint_read_path(file, &slots[ENDPOINT_CERT], "a certificate", &endpoint->cert);
    endpoint_read_path(file, &slots[ENDPOINT_KEY], "a key", &endpoint->key);
    if (endpoint->tls && !slots[ENDPOINT_CERT].name)
        conf_file_error(file, map, "an endpoint with tls, but without a cert");
    if (!endpoint->tls && (slots[ENDPOINT_CERT].name || slots[ENDPOINT_KEY].name))
        conf_file_error(file, map, "an endpoint with a cert or key, but without \"tls: on\"");
}

static void broker_read_endpoint(const struct broker_reader *reader, const struct conf_entry *entry,
                                 const struct conf_yaml *value)
{
    struct conf_endpoint *endpoint = &reader->broker->endpoints[reader->broker->endpoint_count++];
    struct conf_entry one = {.name = entry->name, .key = entry->key, .value = value};
    if (value->kind == CONF_YAML_MAP)
        endpoint_read_map(reader->file, value, endpoint);
    else
        conf_value_label(reader->file, &one, &endpoint->text);
}

static void broker_read_endpoints(const struct broker_reader *reader)
{
    const struct conf_entry *entry = broker_entry(reader, BROKER_ENDPOINTS);
    if (!entry)
        return;
    bool list = entry->value->kind == CONF_YAML_LIST;
    reader->broker->endpoints = conf_pool_alloc(
        reader->file->pool, (list ? entry->value->len : 1) * sizeof *reader->broker->endpoints);
    if (!list) {
        broker_read_endpoint(reader, entry, entry->value);
        return;
    }
    for (const struct conf_yaml_item *item = entry->value->items; item; item = item->next)
        broker_read_endpoint(reader, entry, item->value);
}

/* Where the path begins in a source of accounts that has one; else its end. */
static const char *broker_find_path(const char *auth)
{
    static const char *const before[] = {"sqlite:", "database+sqlite:///"};
    size_t len = strlen(auth);
    if (len > 5 && !strcmp(auth + len - 5, ".json"))
        return auth;
    for (size_t i = 0; i < sizeof before / sizeof *before; i++)
        if (!strncmp(auth, before[i], strlen(before[i])))
            return auth + strlen(before[i]);
    return auth + len;
}

/* A file beside this one is named relative to it. */
static void broker_resolve_auth(const struct broker_reader *reader, const struct conf_entry *entry,
                                char **auth)
{
    const char *path = broker_find_path(*auth);
    char *resolved = NULL;
    if (*path)
        broker_resolve(reader, entry, path, &resolved);
    if (!resolved)
        return;
    char *whole = mem_printf("%.*s%s", (int)(path - *auth), *auth, resolved);
    *auth = conf_pool_intern(reader->file->pool, whole, strlen(whole));
    free(whole);
}

static void broker_read_auth(const struct broker_reader *reader)
{
    const struct conf_entry *entry = broker_entry(reader, BROKER_AUTH);
    struct conf_broker *broker = reader->broker;
    if (!entry || !conf_names_read(reader->file, entry, broker_check_text, &broker->auths,
                                   &broker->auth_count))
        return;
    for (size_t i = 0; i < broker->auth_count; i++)
        broker_resolve_auth(reader, entry, &broker->auths[i]);
}

static void broker_add_durable(struct conf_broker *broker, char *ident, char **channels,
                               size_t count)
{
    for (size_t i = 0; i < count; i++)
        broker->durable[broker->durable_count++] =
            (struct conf_durable){.ident = ident, .channel = channels[i]};
}

/* How many there can be. */
static size_t broker_count_durable(const struct conf_yaml *map)
{
    size_t count = 0;
    for (const struct conf_yaml_item *item = map->items; item; item = item->next)
        count += item->value->kind == CONF_YAML_LIST ? item->value->len : 1;
    return count;
}

/* {reader: [spam.mails]} */
static void broker_read_durable(const struct broker_reader *reader)
{
    const struct conf_entry *entry = broker_entry(reader, BROKER_DURABLE);
    if (!entry)
        return;
    if (entry->value->kind != CONF_YAML_MAP) {
        conf_file_error(reader->file, entry->value,
                        "\"durable\" is %s, expected identities and their channels, as in "
                        "{reader: [spam.mails]}",
                        conf_yaml_kind_name(entry->value));
        return;
    }
    reader->broker->durable = conf_pool_alloc(
        reader->file->pool, broker_count_durable(entry->value) * sizeof *reader->broker->durable);
    for (const struct conf_yaml_item *item = entry->value->items; item; item = item->next) {
        struct conf_entry name = {.name = "durable", .key = item->key, .value = item->key};
        struct conf_entry list = {.name = "durable", .key = item->key, .value = item->value};
        char *ident, **channels;
        size_t count;
        if (conf_check_feed_name(reader->file, &name, &ident) &&
            conf_names_read(reader->file, &list, conf_check_feed_name, &channels, &count))
            broker_add_durable(reader->broker, ident, channels, count);
    }
}

static void broker_read_store(const struct broker_reader *reader)
{
    static const char *const full[] = {"refuse", "drop-oldest", NULL};
    struct conf_broker *broker = reader->broker;
    broker_read_durable(reader);
    broker_read_path(reader, BROKER_STORE, &broker->store);
    broker_read_size(reader, BROKER_STORE_LIMIT, 1 << 20, INT64_MAX, "1MiB or more",
                     &broker->store_limit);
    broker_read_policy(reader, BROKER_STORE_FULL, full, &broker->store_drop_oldest);
}

static void broker_read_log(const struct broker_reader *reader)
{
    static const char *const levels[] = {"error", "warning", "info", "debug", NULL};
    static const char *const formats[] = {"text", "json", NULL};
    const struct conf_entry *level = broker_entry(reader, BROKER_LOG_LEVEL);
    const struct conf_entry *format = broker_entry(reader, BROKER_LOG_FORMAT);
    struct conf_pool *pool = reader->file->pool;
    unsigned i;
    if (level && conf_value_choice(reader->file, level, levels, &i))
        reader->broker->log_level = conf_pool_intern(pool, levels[i], strlen(levels[i]));
    if (format && conf_value_choice(reader->file, format, formats, &i))
        reader->broker->log_format = conf_pool_intern(pool, formats[i], strlen(formats[i]));
}

/* What is on unless it is taken away. */
static bool broker_is_off(const struct broker_reader *reader, enum broker_slot slot)
{
    bool on = true;
    const struct conf_entry *entry = broker_entry(reader, slot);
    if (entry)
        conf_value_switch(reader->file, entry, &on);
    return !on;
}

static void broker_read_cert(const struct broker_reader *reader)
{
    struct conf_broker *broker = reader->broker;
    const struct conf_entry *key = broker_entry(reader, BROKER_KEY);
    endpoint_read_path(reader->file, &reader->keys.slots[BROKER_CERT], "a certificate",
                       &broker->cert);
    endpoint_read_path(reader->file, &reader->keys.slots[BROKER_KEY], "a key", &broker->key);
    if (key && !broker_entry(reader, BROKER_CERT))
        conf_file_error(reader->file, key->key, "a key without a cert");
    if (!broker->key)
        broker->key = broker->cert;
}

static void broker_read(struct conf_file *file, const struct conf_yaml *root,
                        struct conf_broker *broker)
{
    struct broker_reader reader = {.file = file, .broker = broker};
    if (!root)
        return;
    if (root->kind != CONF_YAML_MAP) {
        conf_file_error(file, root, "the file is %s, expected keys such as \"endpoints: […]\"",
                        conf_yaml_kind_name(root));
        return;
    }
    conf_keys_read(file, root, broker_keys, &reader.keys);
    broker_read_endpoints(&reader);
    broker_read_auth(&reader);
    broker_read_text(&reader, BROKER_EXPORTER, &broker->exporter);
    broker_read_text(&reader, BROKER_NAME, &broker->name);
    broker_read_limits(&reader);
    broker->no_private_channels = broker_is_off(&reader, BROKER_PRIVATE);
    broker->no_sandbox = broker_is_off(&reader, BROKER_SANDBOX);
    broker_read_text(&reader, BROKER_USER, &broker->user);
    broker_read_cert(&reader);
    broker_read_store(&reader);
    broker_read_log(&reader);
}

int conf_broker_load(const char *path, struct conf_broker **ret_broker,
                     struct conf_problems *ret_problems)
{
    struct broker_whole *whole = mem_new(struct broker_whole);
    struct conf_report report = {0};
    struct conf_pool nodes = {0};
    struct conf_file file;
    const struct conf_yaml *root;
    conf_file_init(&file, path, 0);
    file.report = &report;
    file.pool = &whole->pool;
    if (!conf_file_read(&file) && !conf_yaml_load(&file, &nodes, &root))
        broker_read(&file, root, &whole->broker);
    conf_file_release(&file);
    conf_pool_release(&nodes);
    conf_pool_seal(&whole->pool);
    bool failed = report.errors;
    conf_report_finish(&report, ret_problems);
    if (failed) {
        conf_broker_free(&whole->broker);
        return -1;
    }
    *ret_broker = &whole->broker;
    return 0;
}

void conf_broker_free(struct conf_broker *broker)
{
    struct broker_whole *whole = (struct broker_whole *)broker;
    if (!whole)
        return;
    conf_pool_release(&whole->pool);
    free(whole);
}
