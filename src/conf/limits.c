#include "conf/limits.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "conf/check.h"
#include "conf/file.h"
#include "conf/keys.h"
#include "conf/pool.h"
#include "conf/table.h"
#include "conf/yaml.h"

enum {
    LIMITS_MEMORY_LEAST = 4 << 20,
    LIMITS_MEMORY_DEFAULT = 64 << 20,
    /* So many of the largest mails side by side, or one that trickles in would stop all others. */
    LIMITS_FRAMES = 4,
    LIMITS_CONNECTIONS_MOST = 1000000,
    LIMITS_LOGINS_MOST = 10000,
    LIMITS_LOGINS_DEFAULT = 50,
    LIMITS_HOSTS_MOST = 1000, /* they are walked one after the other */
};

static const uint64_t limits_memory_most = UINT64_C(1) << 40;
static const double limits_logins_least = 0.001;

enum limits_slot {
    LIMITS_MEMORY,
    LIMITS_CONNECTIONS,
    LIMITS_LOGINS,
    LIMITS_HOSTS,
};

static const struct conf_key limits_keys[] = {
    {.name = "memory_budget", .slot = LIMITS_MEMORY},
    {.name = "connections_per_host", .slot = LIMITS_CONNECTIONS},
    {.name = "logins_per_second", .slot = LIMITS_LOGINS},
    {.name = "hosts", .slot = LIMITS_HOSTS},
    {.name = "memory", .instead = "memory_budget"},
    {.name = "connections", .instead = "connections_per_host"},
    {.name = "max_connections", .instead = "connections_per_host"},
    {.name = "logins", .instead = "logins_per_second"},
    {0},
};

static const struct conf_key limits_host_keys[] = {
    {.name = "connections_per_host", .slot = LIMITS_CONNECTIONS},
    {.name = "logins_per_second", .slot = LIMITS_LOGINS},
    {.name = "connections", .instead = "connections_per_host"},
    {.name = "max_connections", .instead = "connections_per_host"},
    {.name = "logins", .instead = "logins_per_second"},
    {0},
};

/* Freemail services count logins and connections by address, and lock out who has too many. None
 * of them publishes its numbers: these are what an office behind one address does in the morning.
 */
static const struct conf_host_limits limits_freemail[] = {
    {".gmail.com", 1000, 2},     {".googlemail.com", 1000, 2}, {".outlook.com", 1000, 2},
    {".office365.com", 1000, 2}, {".hotmail.com", 1000, 2},    {".yahoo.com", 1000, 2},
    {".yahoo.co.jp", 200, 1},    {".aol.com", 1000, 2},        {".mail.me.com", 200, 1},
    {".icloud.com", 200, 1},     {".gmx.net", 200, 1},         {".gmx.com", 200, 1},
    {".gmx.de", 200, 1},         {".web.de", 200, 1},          {".mail.com", 200, 1},
    {".t-online.de", 200, 1},    {".freenet.de", 200, 1},      {".laposte.net", 200, 1},
    {".orange.fr", 200, 1},      {".libero.it", 200, 1},       {".wp.pl", 200, 1},
    {".onet.pl", 200, 1},        {".seznam.cz", 200, 1},       {".mail.ru", 200, 1},
    {".yandex.com", 200, 1},     {".yandex.ru", 200, 1},       {".rambler.ru", 200, 1},
    {".163.com", 100, 1},        {".126.com", 100, 1},         {".yeah.net", 100, 1},
    {".qq.com", 100, 1},         {".sina.com", 100, 1},        {".naver.com", 100, 1},
    {".fastmail.com", 200, 1},   {".zoho.com", 200, 1},
};

enum {
    LIMITS_FREEMAIL = sizeof limits_freemail / sizeof *limits_freemail
};

/* One host of the file, until what it leaves open is known. */
struct conf_limits_rule {
    struct conf_host_limits limits;
    bool has_connections;
    bool has_logins;
};

/* While the section is read. */
struct conf_limits_reader {
    struct conf_file *file;
    struct conf_limits_rule *rules; /* of the hosts, then the general one */
    size_t count;
    struct conf_table known; /* hosts that have a rule */
};

/* Is every host of `narrow` one of `wide`? Both as in struct conf_host_limits. */
static bool conf_limits_covers(const char *wide, const char *narrow)
{
    if (!wide || !strcasecmp(wide, narrow))
        return true;
    if (wide[0] != '.')
        return false;
    size_t len = strlen(wide), size = strlen(narrow);
    return !strcasecmp(wide + 1, narrow) ||
           (size > len && !strcasecmp(narrow + (size - len), wide));
}

const struct conf_host_limits *conf_limits_of_host(const struct conf_limits *limits,
                                                   const char *host)
{
    const struct conf_host_limits *rule = limits->hosts;
    while (!conf_limits_covers(rule->host, host))
        rule++;
    return rule;
}

/* What a map says of connections and logins. */
static void conf_limits_read_rule(struct conf_file *file, const struct conf_keys *keys,
                                  struct conf_limits_rule *rule)
{
    const struct conf_entry *entry = &keys->slots[LIMITS_CONNECTIONS];
    uint64_t connections;
    if (entry->name && conf_value_number(file, entry, 0, LIMITS_CONNECTIONS_MOST, &connections)) {
        rule->limits.connections = (unsigned)connections;
        rule->has_connections = true;
    }
    entry = &keys->slots[LIMITS_LOGINS];
    if (entry->name)
        rule->has_logins = conf_value_rate(file, entry, limits_logins_least, LIMITS_LOGINS_MOST,
                                           "from 0.001 to 10000", &rule->limits.logins_per_second);
}

/* The name of a host, in lower case, perhaps with a dot before it; or NULL, reported. */
static char *conf_limits_host_name(struct conf_file *file, const struct conf_yaml *key)
{
    struct conf_yaml bare = *key; /* in the same place */
    struct conf_entry entry = {.name = "hosts", .key = &bare, .value = &bare};
    bool below = key->kind == CONF_YAML_SCALAR && key->len > 1 && key->text[0] == '.';
    if (below) {
        bare.text++;
        bare.len--;
    }
    char *host;
    if (!conf_check_host(file, &entry, &host))
        return NULL;
    char *lower = mem_printf("%s%s", below ? "." : "", host);
    for (char *at = lower; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    host = conf_pool_intern(file->pool, lower, strlen(lower));
    free(lower);
    return host;
}

/* `merged`: the item comes by a merge key, which changes nothing that stands there already. */
static void conf_limits_read_host(struct conf_limits_reader *reader,
                                  const struct conf_yaml_item *item, bool merged)
{
    struct conf_file *file = reader->file;
    char *host = conf_limits_host_name(file, item->key);
    if (!host)
        return;
    if (conf_table_get(&reader->known, host, strlen(host))) {
        if (!merged)
            conf_file_error(file, item->key, "this host is given twice");
        return;
    }
    conf_table_put(&reader->known, host, strlen(host), reader);
    if (item->value->kind != CONF_YAML_MAP) {
        conf_file_error(file, item->value,
                        "the limits of a host are %s, expected a map such as "
                        "{connections_per_host: 10, logins_per_second: 0.5}",
                        conf_yaml_kind_name(item->value));
        return;
    }
    if (reader->count == LIMITS_HOSTS_MOST) {
        conf_file_error(file, item->key, "more than %u hosts", LIMITS_HOSTS_MOST);
        return;
    }
    struct conf_keys keys;
    struct conf_limits_rule rule = {.limits = {.host = host}};
    conf_keys_read(file, item->value, limits_host_keys, &keys);
    conf_limits_read_rule(file, &keys, &rule);
    reader->rules[reader->count++] = rule;
}

static void conf_limits_read_hosts(struct conf_limits_reader *reader, const struct conf_yaml *map,
                                   bool merged)
{
    if (map->kind != CONF_YAML_MAP) {
        if (merged || !conf_yaml_is_null(map))
            conf_file_error(reader->file, map, "\"%s\" is %s, expected a map of host names",
                            merged ? "<<" : "hosts", conf_yaml_kind_name(map));
        return;
    }
    for (const struct conf_yaml_item *item = map->items; item; item = item->next)
        if (!conf_keys_is_merge(item))
            conf_limits_read_host(reader, item, merged);
    for (const struct conf_yaml_item *item = map->items; item; item = item->next) {
        if (!conf_keys_is_merge(item))
            continue;
        if (item->value->kind != CONF_YAML_LIST)
            conf_limits_read_hosts(reader, item->value, true);
        else
            for (const struct conf_yaml_item *one = item->value->items; one; one = one->next)
                conf_limits_read_hosts(reader, one->value, true);
    }
}

static void conf_limits_read_memory(struct conf_file *file, const struct conf_entry *entry,
                                    const struct conf_feed *feed, struct conf_limits *limits)
{
    uint64_t frames = (uint64_t)LIMITS_FRAMES * feed->max_frame;
    uint64_t budget = LIMITS_MEMORY_DEFAULT > frames ? LIMITS_MEMORY_DEFAULT : frames;
    if (entry->name &&
        conf_value_size(file, entry, LIMITS_MEMORY_LEAST, limits_memory_most,
                        "from 4 MiB to 1024 GiB", &budget) &&
        budget < frames)
        conf_file_error(file, entry->value,
                        "\"%s\" has no room for four of the largest frames (\"max_frame\" of the "
                        "feed is %lu), expected at least %llu",
                        entry->name, (unsigned long)feed->max_frame, (unsigned long long)frames);
    limits->memory_budget = (size_t)budget;
}

/* Hosts before domains, a domain before the one it lies in. */
static int conf_limits_compare(const void *a_rule, const void *b_rule)
{
    const struct conf_limits_rule *rule = a_rule, *other = b_rule;
    const char *a = rule->limits.host, *b = other->limits.host;
    size_t a_len = strlen(a), b_len = strlen(b);
    if ((a[0] == '.') != (b[0] == '.'))
        return a[0] == '.' ? 1 : -1;
    if (a_len != b_len)
        return a_len > b_len ? -1 : 1;
    return strcmp(a, b);
}

/* The file's hosts, the built-in ones, the general limits. What a host of the file leaves open is
 * what would hold without it, so the list is made from its end. */
static void conf_limits_build(struct conf_limits_reader *reader,
                              const struct conf_host_limits *general, struct conf_limits *limits)
{
    size_t count = reader->count + LIMITS_FREEMAIL + 1;
    struct conf_host_limits *hosts =
        conf_pool_alloc(reader->file->pool, count * sizeof *limits->hosts);
    hosts[count - 1] = *general;
    memcpy(hosts + reader->count, limits_freemail, sizeof limits_freemail);
    if (reader->count)
        qsort(reader->rules, reader->count, sizeof *reader->rules, conf_limits_compare);
    for (size_t i = reader->count; i-- > 0;) {
        const struct conf_limits_rule *rule = &reader->rules[i];
        struct conf_limits behind = {.hosts = hosts + i + 1};
        const struct conf_host_limits *otherwise = conf_limits_of_host(&behind, rule->limits.host);
        hosts[i] = rule->limits;
        if (!rule->has_connections)
            hosts[i].connections = otherwise->connections;
        if (!rule->has_logins)
            hosts[i].logins_per_second = otherwise->logins_per_second;
    }
    limits->hosts = hosts;
    limits->host_count = count;
}

void conf_limits_read(struct conf_file *file, const struct conf_yaml *map,
                      const struct conf_feed *feed, struct conf_limits *limits)
{
    struct conf_limits_reader reader = {.file = file};
    struct conf_limits_rule general = {.limits = {.logins_per_second = LIMITS_LOGINS_DEFAULT}};
    struct conf_keys keys = {0};
    reader.rules = mem_realloc_array(NULL, LIMITS_HOSTS_MOST, sizeof *reader.rules);
    if (map)
        conf_keys_read(file, map, limits_keys, &keys);
    conf_limits_read_memory(file, &keys.slots[LIMITS_MEMORY], feed, limits);
    conf_limits_read_rule(file, &keys, &general);
    if (keys.slots[LIMITS_HOSTS].name)
        conf_limits_read_hosts(&reader, keys.slots[LIMITS_HOSTS].value, false);
    conf_limits_build(&reader, &general.limits, limits);
    conf_table_release(&reader.known);
    free(reader.rules);
}
