#include "conf/feed.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "conf/check.h"
#include "conf/file.h"
#include "conf/keys.h"
#include "conf/names.h"
#include "conf/pool.h"
#include "conf/secret.h"
#include "conf/yaml.h"

enum {
    FEED_NAMES_MOST = 252, /* identity and channel together: see conf_check_feed_name() */
    FEED_NAME_MOST = 127,
    FEED_FRAME_LEAST = 1 << 10, /* must hold the header and both names */
    FEED_FRAME_DEFAULT = 1 << 20,
    FEED_GRACE_DEFAULT = 1000,
    FEED_GRACE_MOST = 60000,
};

enum feed_slot {
    FEED_HOST,
    FEED_PORT,
    FEED_IDENT,
    FEED_SECRET,
    FEED_SECRET_FILE,
    FEED_SECRET_COMMAND,
    FEED_CHANNELS,
    FEED_TLS,
    FEED_TLS_CA,
    FEED_TLS_VERIFY,
    FEED_TLS_CERT,
    FEED_TLS_KEY,
    FEED_PAYLOAD,
    FEED_CONFIRM,
    FEED_CONFIRM_CHANNEL,
    FEED_CONFIRM_GRACE,
    FEED_MAX_FRAME,
    FEED_TYPE, /* of the form with a section */
    FEED_SECTION,
};

static const struct conf_key feed_keys[] = {
    {.name = "broker", .slot = FEED_HOST},
    {.name = "host", .slot = FEED_HOST},
    {.name = "port", .slot = FEED_PORT},
    {.name = "identity", .slot = FEED_IDENT},
    {.name = "ident", .slot = FEED_IDENT},
    {.name = "secret", .slot = FEED_SECRET},
    {.name = "secret_file", .slot = FEED_SECRET_FILE},
    {.name = "secret_command", .slot = FEED_SECRET_COMMAND},
    {.name = "channels", .slot = FEED_CHANNELS},
    {.name = "tls", .slot = FEED_TLS},
    {.name = "tls_ca", .slot = FEED_TLS_CA},
    {.name = "tls_verify", .slot = FEED_TLS_VERIFY},
    {.name = "tls_cert", .slot = FEED_TLS_CERT},
    {.name = "tls_key", .slot = FEED_TLS_KEY},
    {.name = "payload", .slot = FEED_PAYLOAD},
    {.name = "confirm", .slot = FEED_CONFIRM},
    {.name = "confirm_channel", .slot = FEED_CONFIRM_CHANNEL},
    {.name = "confirm_grace", .slot = FEED_CONFIRM_GRACE},
    {.name = "max_frame", .slot = FEED_MAX_FRAME},
    {0},
};

static const struct conf_key feed_outer_keys[] = {
    {.name = "type", .slot = FEED_TYPE},
    {.name = "hpfeeds", .slot = FEED_SECTION},
    {0},
};

enum {
    FEED_KEYS = sizeof feed_keys / sizeof *feed_keys,
    FEED_OUTER_KEYS = sizeof feed_outer_keys / sizeof *feed_outer_keys,
};

/* What is read of one file. */
struct conf_feed_reader {
    struct conf_file *file;
    struct conf_keys keys;
    struct conf_feed *feed;
    const struct conf_secret *secret;
};

/* The entry of a slot, or NULL. */
static const struct conf_entry *conf_feed_entry(const struct conf_feed_reader *reader,
                                                enum feed_slot slot)
{
    const struct conf_entry *entry = &reader->keys.slots[slot];
    return entry->name ? entry : NULL;
}

static void conf_feed_defaults(struct conf_file *file, struct conf_feed *feed)
{
    *feed = (struct conf_feed){
        .host = conf_pool_intern(file->pool, "localhost", 9),
        .port = 10000,
        .ident = conf_pool_intern(file->pool, "writer", 6),
        .secret = conf_pool_intern(file->pool, "secret", 6),
        .channels = conf_pool_alloc(file->pool, sizeof(char *)),
        .channel_count = 1,
        .tls = {.mode = CONF_TLS_NONE, .verify = true},
        .confirm = CONF_CONFIRM_AUTO,
        .confirm_grace = FEED_GRACE_DEFAULT,
        .max_frame = FEED_FRAME_DEFAULT,
    };
    feed->channels[0] = conf_pool_intern(file->pool, "spam.mails", 10);
}

static void conf_feed_read_server(struct conf_feed_reader *reader)
{
    struct conf_file *file = reader->file;
    const struct conf_entry *entry = conf_feed_entry(reader, FEED_HOST);
    uint64_t port;
    if (entry)
        conf_check_host(file, entry, &reader->feed->host);
    entry = conf_feed_entry(reader, FEED_PORT);
    if (entry && conf_value_number(file, entry, 1, UINT16_MAX, &port))
        reader->feed->port = (uint16_t)port;
}

static void conf_feed_read_secret(struct conf_feed_reader *reader)
{
    struct conf_file *file = reader->file;
    const struct conf_entry *text = conf_feed_entry(reader, FEED_SECRET);
    const struct conf_entry *from_file = conf_feed_entry(reader, FEED_SECRET_FILE);
    const struct conf_entry *from_command = conf_feed_entry(reader, FEED_SECRET_COMMAND);
    const struct conf_entry *second = from_command ? from_command : from_file;
    if (text)
        conf_value_secret(file, text, &reader->feed->secret);
    if (from_file)
        reader->secret = conf_secret_from_file(file, from_file);
    if (from_command)
        reader->secret = conf_secret_from_command(file, from_command);
    if ((text ? 1 : 0) + (from_file ? 1 : 0) + (from_command ? 1 : 0) > 1)
        conf_file_error(file, second->key,
                        "\"%s\" beside another secret, expected one of secret, secret_file, "
                        "secret_command",
                        second->name);
}

/* Without tls: true these do nothing, and whoever wrote them thinks they protect. */
static void conf_feed_check_tls_unused(struct conf_feed_reader *reader)
{
    static const enum feed_slot slots[] = {FEED_TLS_CA, FEED_TLS_VERIFY, FEED_TLS_CERT,
                                           FEED_TLS_KEY};
    bool said_off = conf_feed_entry(reader, FEED_TLS);
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        const struct conf_entry *entry = conf_feed_entry(reader, slots[i]);
        if (entry && said_off)
            conf_file_warning(reader->file, entry->key, "\"%s\" does nothing while tls is off",
                              entry->name);
        else if (entry)
            conf_file_error(reader->file, entry->key,
                            "\"%s\" does nothing while tls is off, expected tls: true as well",
                            entry->name);
    }
}

/* Whoever can read the key can be us. */
static void conf_feed_check_key_mode(struct conf_feed_reader *reader,
                                     const struct conf_entry *entry)
{
    struct stat info;
    if (stat(reader->feed->tls.key, &info) == 0 && info.st_mode & S_IROTH)
        conf_file_warning(reader->file, entry->value,
                          "everyone can read the file of \"%s\" (mode %04o): chmod 600 it",
                          entry->name, (unsigned)info.st_mode & 07777);
}

static void conf_feed_read_certificate(struct conf_feed_reader *reader)
{
    struct conf_file *file = reader->file;
    struct conf_tls *tls = &reader->feed->tls;
    const struct conf_entry *cert = conf_feed_entry(reader, FEED_TLS_CERT);
    const struct conf_entry *key = conf_feed_entry(reader, FEED_TLS_KEY);
    if (cert)
        conf_value_pem(file, cert, "a certificate in PEM", &tls->cert, &tls->cert_pem);
    if (key && conf_value_pem(file, key, "a private key in PEM", &tls->key, &tls->key_pem))
        conf_feed_check_key_mode(reader, key);
    if (!cert != !key) {
        const struct conf_entry *alone = cert ? cert : key;
        conf_file_error(file, alone->key, "\"%s\" alone, expected \"%s\" as well", alone->name,
                        cert ? "tls_key" : "tls_cert");
    }
}

static void conf_feed_read_tls(struct conf_feed_reader *reader)
{
    struct conf_file *file = reader->file;
    struct conf_tls *tls = &reader->feed->tls;
    const struct conf_entry *entry = conf_feed_entry(reader, FEED_TLS);
    bool on = false;
    bool known = !entry || conf_value_switch(file, entry, &on);
    tls->mode = on ? CONF_TLS_IMPLICIT : CONF_TLS_NONE;
    entry = conf_feed_entry(reader, FEED_TLS_CA);
    if (entry)
        conf_value_pem(file, entry, "certificates in PEM", &tls->ca, &tls->ca_pem);
    entry = conf_feed_entry(reader, FEED_TLS_VERIFY);
    if (entry)
        conf_value_switch(file, entry, &tls->verify);
    conf_feed_read_certificate(reader);
    if (known && !on)
        conf_feed_check_tls_unused(reader);
}

static void conf_feed_read_confirm(struct conf_feed_reader *reader)
{
    static const char *const ways[] = {"auto", "echo", "close", "sent", NULL};
    struct conf_file *file = reader->file;
    const struct conf_entry *entry = conf_feed_entry(reader, FEED_CONFIRM);
    unsigned way;
    if (entry && conf_value_choice(file, entry, ways, &way))
        reader->feed->confirm = (enum conf_confirm)way;
    entry = conf_feed_entry(reader, FEED_CONFIRM_CHANNEL);
    if (entry)
        conf_check_feed_name(file, entry, &reader->feed->confirm_channel);
    entry = conf_feed_entry(reader, FEED_CONFIRM_GRACE);
    if (entry)
        conf_value_duration(file, entry, 0, FEED_GRACE_MOST, "from 0 to 60 s",
                            &reader->feed->confirm_grace);
}

static void conf_feed_read_frames(struct conf_feed_reader *reader)
{
    static const char *const payloads[] = {"json", "raw", NULL};
    struct conf_file *file = reader->file;
    const struct conf_entry *entry = conf_feed_entry(reader, FEED_PAYLOAD);
    unsigned payload;
    if (entry && conf_value_choice(file, entry, payloads, &payload))
        reader->feed->payload_raw = payload == 1;
    uint64_t size;
    entry = conf_feed_entry(reader, FEED_MAX_FRAME);
    if (entry && conf_value_size(file, entry, FEED_FRAME_LEAST, INT32_MAX,
                                 "from 1 KiB to 2147483647 bytes", &size))
        reader->feed->max_frame = (uint32_t)size;
}

static void conf_feed_read_names(struct conf_feed_reader *reader)
{
    const struct conf_entry *entry = conf_feed_entry(reader, FEED_IDENT);
    if (entry)
        conf_check_feed_name(reader->file, entry, &reader->feed->ident);
    entry = conf_feed_entry(reader, FEED_CHANNELS);
    if (entry)
        conf_names_read(reader->file, entry, conf_check_feed_name, &reader->feed->channels,
                        &reader->feed->channel_count);
}

/* Where a channel was named, for messages. */
static const struct conf_yaml *conf_feed_channel_node(const struct conf_feed_reader *reader,
                                                      size_t index)
{
    const struct conf_entry *entry = conf_feed_entry(reader, FEED_CHANNELS);
    if (!entry)
        return conf_feed_entry(reader, FEED_IDENT)->value;
    const struct conf_yaml_item *item =
        entry->value->kind == CONF_YAML_LIST ? entry->value->items : NULL;
    for (; item && index; index--)
        item = item->next;
    return item ? item->value : entry->value;
}

/* The names are sound one by one; together they have to fit, and the marks of confirmations must
 * not be taken for mail. */
static void conf_feed_check_names(struct conf_feed_reader *reader)
{
    const struct conf_feed *feed = reader->feed;
    const struct conf_entry *confirm = conf_feed_entry(reader, FEED_CONFIRM_CHANNEL);
    for (size_t i = 0; i < feed->channel_count; i++) {
        if (strlen(feed->ident) + strlen(feed->channels[i]) > FEED_NAMES_MOST)
            conf_file_error(reader->file, conf_feed_channel_node(reader, i),
                            "identity and channel are too long, expected at most 252 bytes "
                            "together");
        if (feed->confirm_channel && !strcmp(feed->channels[i], feed->confirm_channel))
            conf_file_error(reader->file,
                            confirm ? confirm->value : conf_feed_channel_node(reader, i),
                            "mail and confirmations in one channel, expected a confirm_channel "
                            "of its own");
    }
    if (confirm && feed->confirm_channel &&
        strlen(feed->ident) + strlen(feed->confirm_channel) > FEED_NAMES_MOST)
        conf_file_error(reader->file, confirm->value,
                        "identity and confirm_channel are too long, expected at most 252 bytes "
                        "together");
}

static void conf_feed_default_channel(struct conf_feed_reader *reader)
{
    struct conf_feed *feed = reader->feed;
    char name[sizeof "confirm." + FEED_NAME_MOST];
    if (feed->confirm_channel || conf_feed_entry(reader, FEED_CONFIRM_CHANNEL))
        return;
    int len = snprintf(name, sizeof name, "confirm.%s", feed->ident);
    bool used = feed->confirm == CONF_CONFIRM_AUTO || feed->confirm == CONF_CONFIRM_ECHO;
    if (len > FEED_NAME_MOST && used)
        conf_file_error(reader->file, conf_feed_entry(reader, FEED_IDENT)->value,
                        "confirm.<identity> is too long for a channel, expected a "
                        "confirm_channel as well");
    feed->confirm_channel = conf_pool_intern(reader->file->pool, name, (size_t)len);
}

/* All keys of one map. */
static void conf_feed_read_map(struct conf_feed_reader *reader, const struct conf_yaml *map)
{
    conf_keys_read(reader->file, map, feed_keys, &reader->keys);
    conf_feed_read_server(reader);
    conf_feed_read_secret(reader);
    conf_feed_read_names(reader);
    conf_feed_read_tls(reader);
    conf_feed_read_frames(reader);
    conf_feed_read_confirm(reader);
    conf_feed_default_channel(reader);
    conf_feed_check_names(reader);
}

/* The form with a section knows the flat form's keys too, to say where they belong. */
static void conf_feed_read_outer(struct conf_file *file, const struct conf_yaml *root,
                                 struct conf_keys *ret_outer)
{
    struct conf_key known[FEED_KEYS + FEED_OUTER_KEYS];
    memcpy(known, feed_outer_keys, sizeof feed_outer_keys);
    struct conf_key *inner = known + FEED_OUTER_KEYS - 1; /* over the end mark */
    memcpy(inner, feed_keys, sizeof feed_keys);
    for (; inner->name; inner++)
        inner->unsupported = "belongs into the section \"hpfeeds:\" when there is one";
    conf_keys_read(file, root, known, ret_outer);
}

static bool conf_feed_has_section(const struct conf_yaml *root)
{
    for (const struct conf_yaml_item *item = root->items; item; item = item->next)
        if (conf_yaml_is(item->key, "type") || conf_yaml_is(item->key, "hpfeeds"))
            return true;
    return false;
}

/* The map that holds the keys, or NULL when it is missing or wrong, which is reported. */
static const struct conf_yaml *conf_feed_section(struct conf_file *file,
                                                 const struct conf_yaml *root)
{
    static const char *const types[] = {"hpfeeds", NULL};
    struct conf_keys outer;
    unsigned type;
    conf_feed_read_outer(file, root, &outer);
    const struct conf_entry *entry = &outer.slots[FEED_TYPE];
    if (entry->name)
        conf_value_choice(file, entry, types, &type);
    entry = &outer.slots[FEED_SECTION];
    if (!entry->name) {
        conf_file_error(file, root, "no section \"hpfeeds:\", expected {broker: …, port: …} in it");
        return NULL;
    }
    if (entry->value->kind == CONF_YAML_MAP)
        return entry->value;
    if (!conf_yaml_is_null(entry->value))
        conf_file_error(file, entry->value, "\"hpfeeds\" is %s, expected {broker: …, port: …}",
                        conf_yaml_kind_name(entry->value));
    return NULL;
}

void conf_feed_read(struct conf_file *file, const struct conf_yaml *root, struct conf_feed *feed,
                    const struct conf_secret **ret_secret)
{
    static const struct conf_yaml nothing = {.kind = CONF_YAML_MAP};
    struct conf_feed_reader reader = {.file = file, .feed = feed};
    const struct conf_yaml *map = root;
    conf_feed_defaults(file, feed);
    if (!root) {
        conf_file_warning(file, NULL,
                          "is empty: the defaults stand (localhost, port 10000, identity writer, "
                          "channel spam.mails)");
    } else if (root->kind != CONF_YAML_MAP) {
        conf_file_error(file, root, "the file is %s, expected keys such as \"broker: localhost\"",
                        conf_yaml_kind_name(root));
        map = NULL;
    } else if (conf_feed_has_section(root)) {
        map = conf_feed_section(file, root);
    }
    conf_feed_read_map(&reader, map ? map : &nothing);
    *ret_secret = reader.secret;
}
