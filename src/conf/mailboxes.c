#include "conf/mailboxes.h"

#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/file.h"
#include "conf/keys.h"
#include "conf/limits.h"
#include "conf/mailbox.h"
#include "conf/pool.h"
#include "conf/table.h"
#include "conf/yaml.h"

enum {
    MAILBOXES_MOST = 1000000,
    MAILBOXES_SHOWN = 200, /* bytes of a name in a message */
};

#define MAILBOXES_EXAMPLE                                                                          \
    "expected entries such as \"- {username: user@domain, password: secret, host: mail.example}\""

enum mailboxes_slot {
    MAILBOXES_DEFAULTS,
    MAILBOXES_LIST,
    MAILBOXES_LIMITS,
};

static const struct conf_key mailboxes_keys[] = {
    {.name = "defaults", .slot = MAILBOXES_DEFAULTS},
    {.name = "mailboxes", .slot = MAILBOXES_LIST},
    {.name = "limits", .slot = MAILBOXES_LIMITS},
    {0},
};

/* While the entries are read, one after the other. */
struct conf_mailboxes_reader {
    struct conf_file *file;
    struct conf *conf;
    const struct conf_secret **secrets;
    struct conf_mailbox_draft defaults;
    const struct conf_yaml *limits; /* NULL: not written */
    bool delete_after;
    struct conf_pool keys;     /* of the tables */
    struct conf_table labels;  /* to the mailbox that has it */
    struct conf_table folders; /* account and folder, likewise */
};

static const struct conf_yaml *conf_mailboxes_as_map(struct conf_file *file,
                                                     const struct conf_entry *entry)
{
    if (entry->value->kind == CONF_YAML_MAP)
        return entry->value;
    if (!conf_yaml_is_null(entry->value))
        conf_file_error(file, entry->value, "\"%s\" is %s, expected a map of keys", entry->name,
                        conf_yaml_kind_name(entry->value));
    return NULL;
}

/* A map that is one mailbox itself lacks the dash of the list. */
static bool conf_mailboxes_is_entry(const struct conf_yaml *root)
{
    for (const struct conf_yaml_item *item = root->items; item; item = item->next)
        if (conf_yaml_is(item->key, "username") || conf_yaml_is(item->key, "password"))
            return true;
    return false;
}

/* Finds the list of entries, or NULL; takes defaults and limits on the way. */
static const struct conf_yaml *conf_mailboxes_list(struct conf_mailboxes_reader *reader,
                                                   const struct conf_yaml *root)
{
    struct conf_file *file = reader->file;
    struct conf_keys keys;
    if (root->kind == CONF_YAML_LIST)
        return root;
    if (root->kind == CONF_YAML_SCALAR) {
        conf_file_error(file, root, "the file is text, " MAILBOXES_EXAMPLE);
        return NULL;
    }
    if (conf_mailboxes_is_entry(root)) {
        conf_file_error(file, root,
                        "a mailbox outside of a list, expected \"- \" before its first key");
        return NULL;
    }
    conf_keys_read(file, root, mailboxes_keys, &keys);
    const struct conf_entry *entry = &keys.slots[MAILBOXES_DEFAULTS];
    const struct conf_yaml *defaults = entry->name ? conf_mailboxes_as_map(file, entry) : NULL;
    if (defaults)
        conf_mailbox_apply(&reader->defaults, file, defaults, true);
    entry = &keys.slots[MAILBOXES_LIMITS];
    reader->limits = entry->name ? conf_mailboxes_as_map(file, entry) : NULL;
    entry = &keys.slots[MAILBOXES_LIST];
    if (entry->name && entry->value->kind == CONF_YAML_LIST)
        return entry->value;
    if (entry->name)
        conf_file_error(file, entry->value, "\"mailboxes\" is %s, " MAILBOXES_EXAMPLE,
                        conf_yaml_kind_name(entry->value));
    else
        conf_file_error(file, root, "no list \"mailboxes:\", " MAILBOXES_EXAMPLE);
    return NULL;
}

/* Labels name accounts in the state: each is one account's. */
static void conf_mailboxes_check_label(struct conf_mailboxes_reader *reader,
                                       struct conf_mailbox *mailbox, const struct conf_yaml *map)
{
    char shown[MAILBOXES_SHOWN];
    size_t len = strlen(mailbox->label);
    const struct conf_mailbox *first = conf_table_get(&reader->labels, mailbox->label, len);
    if (!first) {
        conf_table_put(&reader->labels, mailbox->label, len, mailbox);
        return;
    }
    conf_file_error(reader->file, map, "the mailbox \"%s\" is given twice, first in line %u",
                    text_escape_utf8(shown, sizeof shown, mailbox->label, len), first->line);
}

/* One account under two labels is fine as long as no folder is collected twice. */
static void conf_mailboxes_check_folder(struct conf_mailboxes_reader *reader,
                                        struct conf_mailbox *mailbox, const char *folder,
                                        const struct conf_yaml *map)
{
    struct buf key = {0};
    unsigned port = mailbox->port == 143 ? 993 : mailbox->port;
    buf_printf(&key, "%u\n%s\n%s\n%s", port, mailbox->host, mailbox->username, folder);
    for (size_t i = 0, line = 0; line < 2 && i < key.len; i++) {
        key.data[i] = line == 1 ? (uint8_t)tolower(key.data[i]) : key.data[i]; /* the host */
        line += key.data[i] == '\n';
    }
    const char *text = (const char *)key.data;
    const struct conf_mailbox *first = conf_table_get(&reader->folders, text, key.len);
    char shown[MAILBOXES_SHOWN];
    if (!first)
        conf_table_put(&reader->folders, conf_pool_strndup(&reader->keys, text, key.len), key.len,
                       mailbox);
    else if (strcmp(first->label, mailbox->label) != 0)
        conf_file_error(reader->file, map,
                        "collects \"%s\" of the same account as line %u, and each mail would be "
                        "delivered twice",
                        text_escape_utf8(shown, sizeof shown, folder, strlen(folder)), first->line);
    buf_release(&key);
}

static void conf_mailboxes_check_twice(struct conf_mailboxes_reader *reader,
                                       struct conf_mailbox *mailbox, const struct conf_yaml *map)
{
    conf_mailboxes_check_label(reader, mailbox, map);
    for (size_t i = 0; i < mailbox->folder_count; i++)
        conf_mailboxes_check_folder(reader, mailbox, mailbox->folders[i], map);
}

static void conf_mailboxes_read_entry(struct conf_mailboxes_reader *reader,
                                      const struct conf_yaml *map)
{
    if (map->kind != CONF_YAML_MAP) {
        conf_file_error(reader->file, map, "this entry is %s, " MAILBOXES_EXAMPLE,
                        conf_yaml_kind_name(map));
        return;
    }
    struct conf_mailbox_draft draft = reader->defaults;
    bool whole;
    conf_mailbox_apply(&draft, reader->file, map, false);
    conf_mailbox_finish(&draft, reader->file, map, &whole);
    if (reader->delete_after) {
        draft.mailbox.after = CONF_AFTER_DELETE;
        draft.mailbox.after_name = NULL;
    }
    size_t index = reader->conf->mailbox_count++;
    reader->conf->mailboxes[index] = draft.mailbox;
    reader->secrets[index] = draft.secret;
    if (whole)
        conf_mailboxes_check_twice(reader, &reader->conf->mailboxes[index], map);
}

static void conf_mailboxes_read_list(struct conf_mailboxes_reader *reader,
                                     const struct conf_yaml *list)
{
    if (!list->len) {
        conf_file_error(reader->file, list, "no mailbox, " MAILBOXES_EXAMPLE);
        return;
    }
    if (list->len > MAILBOXES_MOST) {
        conf_file_error(reader->file, list, "more than %u mailboxes", MAILBOXES_MOST);
        return;
    }
    reader->conf->mailboxes =
        conf_pool_alloc(reader->file->pool, list->len * sizeof *reader->conf->mailboxes);
    reader->secrets = mem_realloc_array(NULL, list->len, sizeof *reader->secrets);
    for (const struct conf_yaml_item *item = list->items; item; item = item->next)
        conf_mailboxes_read_entry(reader, item->value);
}

void conf_mailboxes_read(struct conf_file *file, const struct conf_yaml *root, bool delete_after,
                         struct conf *conf, const struct conf_secret ***ret_secrets)
{
    struct conf_mailboxes_reader reader = {
        .file = file, .conf = conf, .delete_after = delete_after};
    conf_mailbox_init(&reader.defaults, file);
    if (!root)
        conf_file_error(file, NULL, "is empty, " MAILBOXES_EXAMPLE);
    const struct conf_yaml *list = root ? conf_mailboxes_list(&reader, root) : NULL;
    conf_limits_read(file, reader.limits, &conf->feed, &conf->limits);
    if (list)
        conf_mailboxes_read_list(&reader, list);
    conf_table_release(&reader.labels);
    conf_table_release(&reader.folders);
    conf_pool_release(&reader.keys);
    *ret_secrets = reader.secrets;
}
