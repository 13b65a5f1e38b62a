#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "scene.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

static char scene_directory[] = "/tmp/test-conf-XXXXXX";
static char scene_before[4096];

int scene_setup(void **state)
{
    (void)state;
    assert_non_null(getcwd(scene_before, sizeof scene_before));
    assert_non_null(mkdtemp(scene_directory));
    assert_int_equal(chdir(scene_directory), 0);
    return 0;
}

static int scene_unlink(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

int scene_teardown(void **state)
{
    (void)state;
    assert_int_equal(chdir(scene_before), 0);
    return nftw(scene_directory, scene_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

void scene_write(const char *name, const void *content, size_t len, unsigned mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    if (len)
        assert_int_equal(write(fd, content, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

void scene_write_text(const char *name, const char *text)
{
    scene_write(name, text, strlen(text), 0600);
}

void scene_remove(const char *name)
{
    unlink(name);
}

static void scene_add_tls(struct buf *out, const struct conf_tls *tls, bool mailbox)
{
    static const char *const modes[] = {"implicit", "starttls", "none"};
    buf_printf(out, " tls=%s", modes[tls->mode]);
    if (tls->ca)
        buf_printf(out, " ca=%s", tls->ca);
    if (!tls->verify)
        buf_add_str(out, " unverified");
    if (mailbox && tls->has_fingerprint)
        buf_printf(out, " fingerprint=%02x..%02x", tls->fingerprint[0], tls->fingerprint[31]);
    if (tls->cert)
        buf_printf(out, " cert=%s key=%s", tls->cert, tls->key);
}

static void scene_add_feed(struct buf *out, const struct conf_feed *feed)
{
    static const char *const ways[] = {"auto", "echo", "close", "sent"};
    buf_printf(out, "feed %s:%u ident=%s secret=%s channels=", feed->host, feed->port, feed->ident,
               feed->secret);
    for (size_t i = 0; i < feed->channel_count; i++)
        buf_printf(out, "%s%s", i ? "," : "", feed->channels[i]);
    scene_add_tls(out, &feed->tls, false);
    buf_printf(out, " payload=%s confirm=%s/%s/%llums max_frame=%u\n",
               feed->payload_raw ? "raw" : "json", ways[feed->confirm], feed->confirm_channel,
               (unsigned long long)feed->confirm_grace, feed->max_frame);
}

static void scene_add_oauth2(struct buf *out, const struct conf_oauth2 *oauth2)
{
    const struct {
        const char *name, *value;
    } parts[] = {
        {"url", oauth2->token_url},
        {"device", oauth2->device_url},
        {"id", oauth2->client_id},
        {"secret", oauth2->client_secret},
        {"scope", oauth2->scope},
        {"refresh", oauth2->refresh_token},
        {"file", oauth2->refresh_token_file},
    };
    buf_add_str(out, "oauth2=");
    for (size_t i = 0; i < oauth2->command_len; i++)
        buf_printf(out, "%c", oauth2->command[i] ? oauth2->command[i] : '|');
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].value)
            buf_printf(out, "%s:%s,", parts[i].name, parts[i].value);
}

static void scene_add_mailbox(struct buf *out, const struct conf_mailbox *mailbox)
{
    static const char *const ways[] = {"auto",        "plain",   "login",      "scram-sha-256",
                                       "scram-sha-1", "xoauth2", "oauthbearer"};
    static const char *const afters[] = {"seen", "none", "delete", "move", "keyword"};
    buf_printf(out, "%u: %s user=%s ", mailbox->line, mailbox->label, mailbox->username);
    if (mailbox->oauth2)
        scene_add_oauth2(out, mailbox->oauth2);
    else
        buf_printf(out, "password=%s", mailbox->password);
    buf_printf(out, " server=%s:%u", mailbox->host, mailbox->port);
    scene_add_tls(out, &mailbox->tls, true);
    buf_printf(out, " auth=%s folders=", ways[mailbox->auth]);
    for (size_t i = 0; i < mailbox->folder_count; i++)
        buf_printf(out, "%s%s", i ? "," : "", mailbox->folders[i]);
    buf_printf(out, " after=%s", afters[mailbox->after]);
    if (mailbox->after_name)
        buf_printf(out, ":%s", mailbox->after_name);
    buf_printf(out, " idle=%s poll=%llums", mailbox->idle ? "on" : "off",
               (unsigned long long)mailbox->poll_interval);
    if (mailbox->idle_refresh != 300000)
        buf_printf(out, " refresh=%llums", (unsigned long long)mailbox->idle_refresh);
    if (mailbox->max_connections != 2)
        buf_printf(out, " connections=%u", mailbox->max_connections);
    buf_add_str(out, "\n");
}

static void scene_add_problems(struct buf *out, const struct conf_problems *problems)
{
    size_t errors = 0;
    for (size_t i = 0; i < problems->count; i++) {
        const struct conf_problem *problem = &problems->items[i];
        buf_printf(out, "%s%s\n", problem->warning ? "warning: " : "", problem->text);
        errors += !problem->warning;
        assert_null(strstr(problem->text, "hunter2"));
    }
    assert_true(errors <= problems->errors);
    assert_int_equal(!errors, !problems->errors);
}

static char *scene_load_parts(const char *feed, const char *mailboxes, bool delete_after,
                              bool show_feed, bool show_mailboxes)
{
    struct conf *conf = NULL;
    struct conf_problems problems;
    struct buf out = {0};
    int result = conf_load(feed, mailboxes, delete_after, NULL, &conf, &problems);
    scene_add_problems(&out, &problems);
    assert_int_equal(result, problems.errors ? -1 : 0);
    assert_int_equal(!conf, problems.errors != 0);
    if (conf && show_feed)
        scene_add_feed(&out, &conf->feed);
    for (size_t i = 0; conf && show_mailboxes && i < conf->mailbox_count; i++)
        scene_add_mailbox(&out, &conf->mailboxes[i]);
    conf_problems_release(&problems);
    conf_free(conf);
    char *text = mem_strdup(buf_cstr(&out));
    buf_release(&out);
    return text;
}

char *scene_show(const struct conf *conf)
{
    struct buf out = {0};
    scene_add_feed(&out, &conf->feed);
    for (size_t i = 0; i < conf->mailbox_count; i++)
        scene_add_mailbox(&out, &conf->mailboxes[i]);
    char *text = mem_strdup(buf_cstr(&out));
    buf_release(&out);
    return text;
}

char *scene_load(const char *feed, const char *mailboxes, bool delete_after)
{
    return scene_load_parts(feed, mailboxes, delete_after, true, true);
}

char *scene_load_texts(const char *feed, const char *mailboxes)
{
    scene_write_text("f.yml", feed ? feed : "secret: hunter2\n");
    scene_write_text("m.yml",
                     mailboxes ? mailboxes : "- {username: u, password: hunter2, host: h}\n");
    return scene_load_parts("f.yml", "m.yml", false, feed, mailboxes);
}

void scene_expect(const char *what, const char *got, const char *expected)
{
    if (strcmp(got, expected) != 0)
        fail_msg("\n--- of\n%s\n--- got\n%s--- expected\n%s", what, got, expected);
}
