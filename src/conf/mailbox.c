#include "conf/mailbox.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "conf/after.h"
#include "conf/check.h"
#include "conf/file.h"
#include "conf/keys.h"
#include "conf/names.h"
#include "conf/oauth2.h"
#include "conf/pool.h"
#include "conf/secret.h"
#include "conf/yaml.h"

enum {
    MAILBOX_PORT_TLS = 993,
    MAILBOX_PORT_CLEAR = 143,
    MAILBOX_POLL_DEFAULT = 60 * 1000,
    MAILBOX_POLL_LEAST = 1000,
    MAILBOX_POLL_MOST = 24 * 60 * 60 * 1000,
    MAILBOX_REFRESH_DEFAULT = 5 * 60 * 1000,
    MAILBOX_REFRESH_LEAST = 10 * 1000,
    MAILBOX_REFRESH_MOST = 29 * 60 * 1000, /* RFC 2177: servers log out after 30 min */
    MAILBOX_CONNECTIONS_DEFAULT = 2,
    MAILBOX_CONNECTIONS_MOST = 100,
};

enum mailbox_slot {
    MAILBOX_NAME,
    MAILBOX_USERNAME,
    MAILBOX_PASSWORD,
    MAILBOX_PASSWORD_FILE,
    MAILBOX_PASSWORD_COMMAND,
    MAILBOX_AUTH,
    MAILBOX_OAUTH2,
    MAILBOX_PROTOCOL,
    MAILBOX_HOST,
    MAILBOX_PORT,
    MAILBOX_TLS,
    MAILBOX_TLS_CA,
    MAILBOX_TLS_VERIFY,
    MAILBOX_TLS_FINGERPRINT,
    MAILBOX_FOLDERS,
    MAILBOX_AFTER,
    MAILBOX_IDLE,
    MAILBOX_POLL_INTERVAL,
    MAILBOX_IDLE_REFRESH,
    MAILBOX_MAX_CONNECTIONS,
    MAILBOX_LIMITS,
};

static const struct conf_key mailbox_keys[] = {
    {.name = "username", .slot = MAILBOX_USERNAME},
    {.name = "password", .slot = MAILBOX_PASSWORD},
    {.name = "password_file", .slot = MAILBOX_PASSWORD_FILE},
    {.name = "password_command", .slot = MAILBOX_PASSWORD_COMMAND},
    {.name = "protocol", .slot = MAILBOX_PROTOCOL},
    {.name = "host", .slot = MAILBOX_HOST},
    {.name = "port", .slot = MAILBOX_PORT},
    {.name = "tls", .slot = MAILBOX_TLS},
    {.name = "tls_ca", .slot = MAILBOX_TLS_CA},
    {.name = "tls_verify", .slot = MAILBOX_TLS_VERIFY},
    {.name = "tls_fingerprint", .slot = MAILBOX_TLS_FINGERPRINT},
    {.name = "auth", .slot = MAILBOX_AUTH},
    {.name = "folders", .slot = MAILBOX_FOLDERS},
    {.name = "after", .slot = MAILBOX_AFTER},
    {.name = "idle", .slot = MAILBOX_IDLE},
    {.name = "poll_interval", .slot = MAILBOX_POLL_INTERVAL},
    {.name = "idle_refresh", .slot = MAILBOX_IDLE_REFRESH},
    {.name = "max_connections", .slot = MAILBOX_MAX_CONNECTIONS},
    {.name = "name", .slot = MAILBOX_NAME},
    {.name = "oauth2", .slot = MAILBOX_OAUTH2},
    {.name = "limits",
     .slot = MAILBOX_LIMITS,
     .unsupported = "hold for all mailboxes and stand beside \"mailboxes:\""},
    {.name = "user", .instead = "username"},
    {.name = "login", .instead = "username"},
    {.name = "email", .instead = "username"},
    {.name = "pass", .instead = "password"},
    {.name = "server", .instead = "host"},
    {.name = "hostname", .instead = "host"},
    {.name = "ssl", .instead = "tls"},
    {.name = "mailbox", .instead = "folders"},
    {.name = "connections", .instead = "max_connections"},
    {0},
};

/* One map of keys on its way into a draft. */
struct conf_mailbox_reader {
    struct conf_file *file;
    struct conf_keys keys;
    struct conf_mailbox_draft *draft;
};

/* The entry of a slot, or NULL. */
static const struct conf_entry *conf_mailbox_entry(const struct conf_mailbox_reader *reader,
                                                   enum mailbox_slot slot)
{
    const struct conf_entry *entry = &reader->keys.slots[slot];
    return entry->name ? entry : NULL;
}

void conf_mailbox_init(struct conf_mailbox_draft *draft, struct conf_file *file)
{
    *draft = (struct conf_mailbox_draft){
        .mailbox =
            {
                .tls = {.mode = CONF_TLS_IMPLICIT, .verify = true},
                .auth = CONF_AUTH_AUTO,
                .folders = conf_pool_alloc(file->pool, sizeof(char *)),
                .folder_count = 1,
                .after = CONF_AFTER_SEEN,
                .idle = true,
                .poll_interval = MAILBOX_POLL_DEFAULT,
                .idle_refresh = MAILBOX_REFRESH_DEFAULT,
                .max_connections = MAILBOX_CONNECTIONS_DEFAULT,
            },
    };
    draft->mailbox.folders[0] = conf_pool_intern(file->pool, "INBOX", 5);
}

static void conf_mailbox_apply_password(struct conf_mailbox_reader *reader)
{
    struct conf_mailbox_draft *draft = reader->draft;
    const struct conf_entry *text = conf_mailbox_entry(reader, MAILBOX_PASSWORD);
    const struct conf_entry *from_file = conf_mailbox_entry(reader, MAILBOX_PASSWORD_FILE);
    const struct conf_entry *from_command = conf_mailbox_entry(reader, MAILBOX_PASSWORD_COMMAND);
    const struct conf_entry *second = from_command ? from_command : from_file;
    int given = (text ? 1 : 0) + (from_file ? 1 : 0) + (from_command ? 1 : 0);
    if (!given)
        return;
    /* An entry's own password, of whatever kind, stands in place of the default one. */
    draft->password_given = true;
    draft->oauth2_given = false;
    draft->mailbox.password = NULL;
    draft->secret = NULL;
    if (text)
        conf_value_secret(reader->file, text, &draft->mailbox.password);
    if (from_file)
        draft->secret = conf_secret_from_file(reader->file, from_file);
    if (from_command)
        draft->secret = conf_secret_from_command(reader->file, from_command);
    if (given > 1)
        conf_file_error(reader->file, second->key,
                        "\"%s\" beside another password, expected one of password, "
                        "password_file, password_command",
                        second->name);
}

static void conf_mailbox_apply_auth(struct conf_mailbox_reader *reader)
{
    static const char *const ways[] = {"auto",        "plain",   "login",       "scram-sha-256",
                                       "scram-sha-1", "xoauth2", "oauthbearer", NULL};
    const struct conf_entry *entry = conf_mailbox_entry(reader, MAILBOX_AUTH);
    unsigned way;
    if (!entry || !conf_value_choice(reader->file, entry, ways, &way))
        return;
    reader->draft->mailbox.auth = (enum conf_auth)way;
    reader->draft->auth_at = entry->value;
}

/* An entry's own `oauth2` stands in place of a default password, and adds to a default `oauth2`. */
static void conf_mailbox_apply_oauth2(struct conf_mailbox_reader *reader)
{
    struct conf_mailbox_draft *draft = reader->draft;
    const struct conf_entry *entry = conf_mailbox_entry(reader, MAILBOX_OAUTH2);
    if (!entry)
        return;
    if (conf_mailbox_entry(reader, MAILBOX_PASSWORD) ||
        conf_mailbox_entry(reader, MAILBOX_PASSWORD_FILE) ||
        conf_mailbox_entry(reader, MAILBOX_PASSWORD_COMMAND))
        conf_file_error(reader->file, entry->key,
                        "\"oauth2\" beside a password, expected one of them");
    draft->password_given = draft->oauth2_given = true;
    draft->mailbox.password = NULL;
    draft->secret = NULL;
    conf_oauth2_apply(reader->file, entry, &draft->oauth2);
}

static void conf_mailbox_apply_account(struct conf_mailbox_reader *reader)
{
    struct conf_mailbox_draft *draft = reader->draft;
    const struct conf_entry *entry = conf_mailbox_entry(reader, MAILBOX_NAME);
    if (entry)
        conf_value_label(reader->file, entry, &draft->mailbox.label);
    entry = conf_mailbox_entry(reader, MAILBOX_USERNAME);
    draft->username_given = draft->username_given || entry;
    if (entry)
        conf_value_label(reader->file, entry, &draft->mailbox.username);
    conf_mailbox_apply_password(reader);
    conf_mailbox_apply_oauth2(reader);
    conf_mailbox_apply_auth(reader);
}

static void conf_mailbox_apply_protocol(struct conf_mailbox_reader *reader)
{
    const struct conf_entry *entry = conf_mailbox_entry(reader, MAILBOX_PROTOCOL);
    if (!entry || !conf_value_scalar(reader->file, entry, "imap"))
        return;
    const struct conf_yaml *value = entry->value;
    if (value->len == 4 && !strncasecmp(value->text, "imap", 4))
        return;
    bool tls = value->len == 5 && !strncasecmp(value->text, "imaps", 5);
    conf_file_error(reader->file, value, "\"protocol\" is not imap, expected imap%s",
                    tls ? " (with \"tls: implicit\", which is the default)"
                        : ", the only one there is");
}

static void conf_mailbox_apply_server(struct conf_mailbox_reader *reader)
{
    struct conf_file *file = reader->file;
    struct conf_mailbox_draft *draft = reader->draft;
    const struct conf_entry *entry = conf_mailbox_entry(reader, MAILBOX_HOST);
    draft->host_given = draft->host_given || entry;
    if (entry)
        conf_check_host(file, entry, &draft->mailbox.host);
    entry = conf_mailbox_entry(reader, MAILBOX_PORT);
    draft->port_given = draft->port_given || entry;
    uint64_t port;
    if (entry && conf_value_number(file, entry, 1, UINT16_MAX, &port))
        draft->mailbox.port = (uint16_t)port;
}

/* An entry that asks for no TLS and yet says whom to trust has one of both by mistake. */
static void conf_mailbox_check_trust(struct conf_mailbox_reader *reader)
{
    static const enum mailbox_slot slots[] = {MAILBOX_TLS_CA, MAILBOX_TLS_VERIFY,
                                              MAILBOX_TLS_FINGERPRINT};
    if (reader->draft->mailbox.tls.mode != CONF_TLS_NONE)
        return;
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        const struct conf_entry *entry = conf_mailbox_entry(reader, slots[i]);
        if (entry)
            conf_file_warning(reader->file, entry->key, "\"%s\" does nothing with \"tls: none\"",
                              entry->name);
    }
}

static void conf_mailbox_apply_tls(struct conf_mailbox_reader *reader)
{
    static const char *const modes[] = {"implicit", "starttls", "none", NULL};
    struct conf_file *file = reader->file;
    struct conf_tls *tls = &reader->draft->mailbox.tls;
    const struct conf_entry *entry = conf_mailbox_entry(reader, MAILBOX_TLS);
    reader->draft->tls_given = reader->draft->tls_given || entry;
    unsigned mode;
    if (entry && conf_value_choice(file, entry, modes, &mode))
        tls->mode = (enum conf_tls_mode)mode;
    entry = conf_mailbox_entry(reader, MAILBOX_TLS_CA);
    if (entry)
        conf_value_pem(file, entry, "certificates in PEM", &tls->ca, &tls->ca_pem);
    entry = conf_mailbox_entry(reader, MAILBOX_TLS_VERIFY);
    if (entry)
        conf_value_switch(file, entry, &tls->verify);
    entry = conf_mailbox_entry(reader, MAILBOX_TLS_FINGERPRINT);
    if (entry && conf_check_fingerprint(file, entry, tls->fingerprint))
        tls->has_fingerprint = true;
    conf_mailbox_check_trust(reader);
}

static void conf_mailbox_apply_watch(struct conf_mailbox_reader *reader)
{
    struct conf_file *file = reader->file;
    struct conf_mailbox *mailbox = &reader->draft->mailbox;
    const struct conf_entry *entry = conf_mailbox_entry(reader, MAILBOX_IDLE);
    if (entry)
        conf_value_switch(file, entry, &mailbox->idle);
    entry = conf_mailbox_entry(reader, MAILBOX_POLL_INTERVAL);
    if (entry)
        conf_value_duration(file, entry, MAILBOX_POLL_LEAST, MAILBOX_POLL_MOST, "from 1 s to 1 day",
                            &mailbox->poll_interval);
    entry = conf_mailbox_entry(reader, MAILBOX_IDLE_REFRESH);
    if (entry)
        conf_value_duration(file, entry, MAILBOX_REFRESH_LEAST, MAILBOX_REFRESH_MOST,
                            "from 10 s to 29 min", &mailbox->idle_refresh);
    uint64_t connections;
    entry = conf_mailbox_entry(reader, MAILBOX_MAX_CONNECTIONS);
    if (entry && conf_value_number(file, entry, 1, MAILBOX_CONNECTIONS_MOST, &connections))
        mailbox->max_connections = (unsigned)connections;
}

static void conf_mailbox_apply_work(struct conf_mailbox_reader *reader)
{
    struct conf_file *file = reader->file;
    struct conf_mailbox *mailbox = &reader->draft->mailbox;
    const struct conf_entry *entry = conf_mailbox_entry(reader, MAILBOX_FOLDERS);
    if (entry)
        conf_names_read(file, entry, conf_check_folder, &mailbox->folders, &mailbox->folder_count);
    entry = conf_mailbox_entry(reader, MAILBOX_AFTER);
    if (entry && conf_after_read(file, entry, &mailbox->after, &mailbox->after_name))
        reader->draft->after_at = entry->value;
}

/* What tells mailboxes apart can't be the same for all. */
static void conf_mailbox_refuse(struct conf_mailbox_reader *reader, enum mailbox_slot slot)
{
    struct conf_entry *entry = &reader->keys.slots[slot];
    if (entry->name)
        conf_file_error(reader->file, entry->key,
                        "\"%s\" belongs to one mailbox and can't be a default", entry->name);
    *entry = (struct conf_entry){0};
}

void conf_mailbox_apply(struct conf_mailbox_draft *draft, struct conf_file *file,
                        const struct conf_yaml *map, bool defaults)
{
    struct conf_mailbox_reader reader = {.file = file, .draft = draft};
    conf_keys_read(file, map, mailbox_keys, &reader.keys);
    if (defaults) {
        conf_mailbox_refuse(&reader, MAILBOX_NAME);
        conf_mailbox_refuse(&reader, MAILBOX_USERNAME);
    }
    conf_mailbox_apply_account(&reader);
    conf_mailbox_apply_protocol(&reader);
    conf_mailbox_apply_server(&reader);
    conf_mailbox_apply_tls(&reader);
    conf_mailbox_apply_work(&reader);
    conf_mailbox_apply_watch(&reader);
}

/* Each of port and TLS mode gives the other where only one is written. */
static void conf_mailbox_finish_port(struct conf_mailbox_draft *draft)
{
    struct conf_mailbox *mailbox = &draft->mailbox;
    if (!draft->tls_given && draft->port_given && mailbox->port == MAILBOX_PORT_CLEAR)
        mailbox->tls.mode = CONF_TLS_STARTTLS;
    if (!draft->port_given)
        mailbox->port =
            mailbox->tls.mode == CONF_TLS_IMPLICIT ? MAILBOX_PORT_TLS : MAILBOX_PORT_CLEAR;
}

static void conf_mailbox_finish_label(struct conf_mailbox *mailbox, struct conf_file *file)
{
    if (mailbox->label || !mailbox->username || !mailbox->host || !mailbox->port)
        return;
    struct buf label = {0};
    buf_printf(&label, "%s@%s", mailbox->username, mailbox->host);
    if (mailbox->port != MAILBOX_PORT_TLS && mailbox->port != MAILBOX_PORT_CLEAR)
        buf_printf(&label, ":%u", mailbox->port);
    mailbox->label = conf_pool_strndup(file->pool, (const char *)label.data, label.len);
    buf_release(&label);
}

/* A mail that is moved to where it is found would be found for ever. */
static void conf_mailbox_check_move(const struct conf_mailbox_draft *draft,
                                    const struct conf_file *file)
{
    const struct conf_mailbox *mailbox = &draft->mailbox;
    if (mailbox->after != CONF_AFTER_MOVE)
        return;
    for (size_t i = 0; i < mailbox->folder_count; i++)
        if (!strcmp(mailbox->folders[i], mailbox->after_name))
            conf_file_error(file, draft->after_at,
                            "\"after\" moves mail to a folder that is collected itself, expected "
                            "another folder");
}

/* A token has to come from somewhere, and a password is none. */
static void conf_mailbox_check_auth(const struct conf_mailbox_draft *draft,
                                    const struct conf_file *file)
{
    enum conf_auth auth = draft->mailbox.auth;
    bool token = auth == CONF_AUTH_XOAUTH2 || auth == CONF_AUTH_OAUTHBEARER;
    if (token && !draft->oauth2_given)
        conf_file_error(file, draft->auth_at,
                        "\"auth\" %s takes an access token, which needs \"oauth2\"",
                        auth == CONF_AUTH_XOAUTH2 ? "xoauth2" : "oauthbearer");
    if (!token && auth != CONF_AUTH_AUTO && draft->oauth2_given)
        conf_file_error(file, draft->auth_at,
                        "\"auth\" asks for a password, and \"oauth2\" gives none, expected auto, "
                        "xoauth2 or oauthbearer");
}

void conf_mailbox_finish(struct conf_mailbox_draft *draft, struct conf_file *file,
                         const struct conf_yaml *map, bool *ret_whole)
{
    if (!draft->username_given)
        conf_file_error(file, map, "this mailbox has no \"username\", which is required");
    if (!draft->password_given)
        conf_file_error(file, map,
                        "this mailbox has no \"password\", expected it or one of password_file, "
                        "password_command, oauth2");
    if (!draft->host_given)
        conf_file_error(file, map, "this mailbox has no \"host\", which is required");
    conf_mailbox_finish_port(draft);
    conf_mailbox_finish_label(&draft->mailbox, file);
    conf_mailbox_check_move(draft, file);
    conf_mailbox_check_auth(draft, file);
    if (draft->oauth2_given)
        conf_oauth2_finish(file, map, &draft->oauth2, &draft->mailbox.oauth2);
    draft->mailbox.line = map->line;
    *ret_whole = draft->mailbox.label && draft->mailbox.username && draft->mailbox.host &&
                 draft->mailbox.port;
}
