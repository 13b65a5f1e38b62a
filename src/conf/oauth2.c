#include "conf/oauth2.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "conf/file.h"
#include "conf/keys.h"
#include "conf/pool.h"
#include "conf/secret.h"
#include "conf/yaml.h"

enum oauth2_slot {
    OAUTH2_TOKEN_URL,
    OAUTH2_DEVICE_URL,
    OAUTH2_CLIENT_ID,
    OAUTH2_CLIENT_SECRET,
    OAUTH2_CLIENT_SECRET_FILE,
    OAUTH2_SCOPE,
    OAUTH2_REFRESH_TOKEN,
    OAUTH2_REFRESH_TOKEN_FILE,
    OAUTH2_TLS_CA,
    OAUTH2_TOKEN_COMMAND,
};

static const struct conf_key oauth2_keys[] = {
    {.name = "token_url", .slot = OAUTH2_TOKEN_URL},
    {.name = "device_url", .slot = OAUTH2_DEVICE_URL},
    {.name = "client_id", .slot = OAUTH2_CLIENT_ID},
    {.name = "client_secret", .slot = OAUTH2_CLIENT_SECRET},
    {.name = "client_secret_file", .slot = OAUTH2_CLIENT_SECRET_FILE},
    {.name = "scope", .slot = OAUTH2_SCOPE},
    {.name = "refresh_token", .slot = OAUTH2_REFRESH_TOKEN},
    {.name = "refresh_token_file", .slot = OAUTH2_REFRESH_TOKEN_FILE},
    {.name = "tls_ca", .slot = OAUTH2_TLS_CA},
    {.name = "token_command", .slot = OAUTH2_TOKEN_COMMAND},
    {.name = "token_endpoint", .instead = "token_url"},
    {.name = "token_uri", .instead = "token_url"},
    {.name = "device_authorization_endpoint", .instead = "device_url"},
    {.name = "scopes", .instead = "scope"},
    {.name = "secret", .instead = "client_secret"},
    {.name = "command", .instead = "token_command"},
    {0},
};

/* One map of keys on its way in. */
struct conf_oauth2_reader {
    struct conf_file *file;
    struct conf_keys keys;
    struct conf_oauth2 *oauth2;
};

static const struct conf_entry *conf_oauth2_entry(const struct conf_oauth2_reader *reader,
                                                  enum oauth2_slot slot)
{
    const struct conf_entry *entry = &reader->keys.slots[slot];
    return entry->name ? entry : NULL;
}

/* Secrets go through it in the clear only where nobody is in between. */
static bool conf_oauth2_loopback(const char *host)
{
    static const char *const names[] = {"127.0.0.1", "[::1]", "localhost"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t len = strlen(names[i]);
        if (!strncasecmp(host, names[i], len) && (!host[len] || strchr(":/", host[len])))
            return true;
    }
    return false;
}

static bool conf_oauth2_good_url(const char *url)
{
    bool tls = !strncasecmp(url, "https://", 8);
    if (!tls && (strncasecmp(url, "http://", 7) != 0 || !conf_oauth2_loopback(url + 7)))
        return false;
    const char *host = url + (tls ? 8 : 7);
    if (!*host || strchr("/:?", *host))
        return false;
    for (const char *at = url; *at; at++)
        if (*at <= ' ' || *at > '~' || strchr("@#\"<>\\^`{|}", *at))
            return false;
    return true;
}

static void conf_oauth2_url(struct conf_oauth2_reader *reader, enum oauth2_slot slot, char **ret)
{
    const struct conf_entry *entry = conf_oauth2_entry(reader, slot);
    char *url;
    if (!entry || !conf_value_label(reader->file, entry, &url))
        return;
    *ret = url; /* also one that is wrong: it is not missing */
    if (!conf_oauth2_good_url(url))
        conf_file_error(reader->file, entry->value,
                        "\"%s\" is no address for secrets, expected https://…, or http:// to "
                        "localhost",
                        entry->name);
}

static void conf_oauth2_client(struct conf_oauth2_reader *reader)
{
    struct conf_oauth2 *oauth2 = reader->oauth2;
    const struct conf_entry *entry = conf_oauth2_entry(reader, OAUTH2_CLIENT_ID);
    if (entry)
        conf_value_label(reader->file, entry, &oauth2->client_id);
    entry = conf_oauth2_entry(reader, OAUTH2_SCOPE);
    if (entry)
        conf_value_label(reader->file, entry, &oauth2->scope);
    const struct conf_entry *text = conf_oauth2_entry(reader, OAUTH2_CLIENT_SECRET);
    if (text)
        conf_value_secret(reader->file, text, &oauth2->client_secret);
    entry = conf_oauth2_entry(reader, OAUTH2_CLIENT_SECRET_FILE);
    const struct conf_secret *secret = entry ? conf_secret_from_file(reader->file, entry) : NULL;
    if (secret)
        oauth2->client_secret = secret->value;
    if (entry && text)
        conf_file_error(reader->file, entry->key,
                        "\"client_secret_file\" beside \"client_secret\", expected one of them");
}

/* The file may not be there yet: --authorize makes it. It is read when it is needed, as it is also
 * written. */
static void conf_oauth2_token_file(struct conf_oauth2_reader *reader,
                                   const struct conf_entry *entry)
{
    char *written;
    if (!conf_value_text(reader->file, entry, &written))
        return;
    char *path = conf_file_resolve(reader->file, entry->value, written);
    if (path)
        reader->oauth2->refresh_token_file =
            conf_pool_intern(reader->file->pool, path, strlen(path));
    free(path);
}

static void conf_oauth2_refresh_token(struct conf_oauth2_reader *reader)
{
    struct conf_oauth2 *oauth2 = reader->oauth2;
    const struct conf_entry *text = conf_oauth2_entry(reader, OAUTH2_REFRESH_TOKEN);
    const struct conf_entry *file = conf_oauth2_entry(reader, OAUTH2_REFRESH_TOKEN_FILE);
    if (text || file)
        oauth2->refresh_token = oauth2->refresh_token_file = NULL;
    if (text)
        conf_value_secret(reader->file, text, &oauth2->refresh_token);
    if (file)
        conf_oauth2_token_file(reader, file);
    if (text && file)
        conf_file_error(reader->file, file->key,
                        "\"refresh_token_file\" beside \"refresh_token\", expected one of them");
}

static void conf_oauth2_command(struct conf_oauth2_reader *reader)
{
    const struct conf_entry *entry = conf_oauth2_entry(reader, OAUTH2_TOKEN_COMMAND);
    struct buf words = {0};
    if (!entry)
        return;
    reader->oauth2->command_given = true;
    if (conf_secret_words(reader->file, entry, &words)) {
        struct conf_file *file = reader->file;
        reader->oauth2->command =
            conf_pool_strndup(file->pool, (const char *)words.data, words.len);
        reader->oauth2->command_len = words.len;
        reader->oauth2->directory =
            conf_pool_intern(file->pool, file->directory, strlen(file->directory));
    }
    if (words.data)
        mem_wipe(words.data, words.cap); /* may hold a secret as an argument */
    buf_release(&words);
}

void conf_oauth2_apply(struct conf_file *file, const struct conf_entry *entry,
                       struct conf_oauth2 *oauth2)
{
    struct conf_oauth2_reader reader = {.file = file, .oauth2 = oauth2};
    if (entry->value->kind != CONF_YAML_MAP) {
        conf_file_error(file, entry->value,
                        "\"oauth2\" is %s, expected a map such as {token_command: …} or "
                        "{token_url: …, client_id: …, refresh_token_file: …}",
                        conf_yaml_kind_name(entry->value));
        oauth2->wrong = true;
        return;
    }
    conf_keys_read(file, entry->value, oauth2_keys, &reader.keys);
    conf_oauth2_url(&reader, OAUTH2_TOKEN_URL, &oauth2->token_url);
    conf_oauth2_url(&reader, OAUTH2_DEVICE_URL, &oauth2->device_url);
    conf_oauth2_client(&reader);
    conf_oauth2_refresh_token(&reader);
    entry = conf_oauth2_entry(&reader, OAUTH2_TLS_CA);
    if (entry)
        conf_value_pem(file, entry, "certificates in PEM", &oauth2->ca, &oauth2->ca_pem);
    conf_oauth2_command(&reader);
}

void conf_oauth2_finish(struct conf_file *file, const struct conf_yaml *map,
                        const struct conf_oauth2 *oauth2, struct conf_oauth2 **ret_oauth2)
{
    if (!oauth2->wrong && oauth2->command_given && oauth2->token_url)
        conf_file_error(file, map,
                        "\"oauth2\" has both \"token_command\" and \"token_url\", expected one of "
                        "them");
    else if (!oauth2->wrong && !oauth2->command_given && !oauth2->token_url)
        conf_file_error(file, map,
                        "\"oauth2\" has no \"token_url\", expected it or \"token_command\"");
    else if (!oauth2->wrong && oauth2->token_url && !oauth2->client_id)
        conf_file_error(file, map,
                        "\"oauth2\" has no \"client_id\", which goes with \"token_url\"");
    *ret_oauth2 = conf_pool_alloc(file->pool, sizeof **ret_oauth2);
    **ret_oauth2 = *oauth2;
}
