/* A server that falls silent, at each step of a session: the mailbox is given up by its deadline,
 * tried again, and reported; a mail that was on its way is not taken for delivered. All of them are
 * accounts of one collector, beside one whose server is well. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "collect/collector.h"
#include "net/conn.h"
#include "net/loop.h"
#include "state/memory.h"

/* What the server answers last is what comes before this in a session. */
enum step {
    SILENT_GREETING,
    SILENT_LOGIN,
    SILENT_SELECT,
    SILENT_SEARCH,
    SILENT_SIZES,
    SILENT_IN_BODY,
    SILENT_STORE,
    SILENT_NEVER,
    STEPS,
};

struct server {
    enum step silent_at;
    struct net_listener *listener;
    unsigned connections;
};

struct client {
    struct server *server;
    struct net_conn *conn;
    struct buf line;
    bool silent;
    struct client *next;
};

struct fixture {
    struct sink sink; /* first: takes everything at once */
    struct net_loop *loop;
    struct server servers[STEPS];
    struct client *clients;
    struct net_deferred *tell;
    bool told_up;
    void *tokens[STEPS];
    size_t offered;
    size_t told;
    bool finished;
    enum collector_outcome outcome;
};

static struct fixture fixture;

static const struct {
    const char *verb;
    enum step step;
    const char *answer; /* before the tagged OK */
} answers[] = {
    {"LOGIN", SILENT_LOGIN, ""},
    {"SELECT", SILENT_SELECT, "* 1 EXISTS\r\n* OK [UIDVALIDITY 3] ok\r\n"},
    {"SEARCH", SILENT_SEARCH, "* SEARCH 7\r\n"},
    {"RFC822.SIZE", SILENT_SIZES, "* 1 FETCH (UID 7 FLAGS () RFC822.SIZE 5)\r\n"},
    {"BODY.PEEK", SILENT_IN_BODY, "* 1 FETCH (UID 7 BODY[] {5}\r\nhello)\r\n"},
    {"STORE", SILENT_STORE, ""},
    {"CAPABILITY", STEPS, "* CAPABILITY IMAP4rev1 UIDPLUS\r\n"},
    {"LOGOUT", STEPS, "* BYE bye\r\n"},
};

static void client_answer(struct client *client, const char *line)
{
    char tag[32], text[200];
    size_t tag_len = strcspn(line, " ");
    snprintf(tag, sizeof tag, "%.*s", (int)tag_len, line);
    for (size_t i = 0; i < sizeof answers / sizeof *answers && !client->silent; i++) {
        if (!strstr(line, answers[i].verb))
            continue;
        client->silent = answers[i].step == client->server->silent_at;
        if (client->silent && answers[i].step != SILENT_IN_BODY)
            return;
        snprintf(text, sizeof text, "%s%s OK done\r\n", answers[i].answer, tag);
        if (client->silent)
            *(strstr(text, "llo")) = '\0';
        net_conn_write(client->conn, text, strlen(text));
        return;
    }
}

static size_t client_data(void *ctx, const uint8_t *data, size_t len)
{
    struct client *client = ctx;
    for (size_t i = 0; i < len; i++) {
        if (data[i] != '\n') {
            buf_add_byte(&client->line, data[i]);
            continue;
        }
        client_answer(client, buf_cstr(&client->line));
        buf_clear(&client->line);
    }
    return len;
}

static void client_failed(void *ctx, const struct err *err)
{
    struct client *client = ctx;
    (void)err;
    net_conn_close(client->conn);
    client->conn = NULL;
}

static const struct net_conn_events client_events = {.data = client_data, .failed = client_failed};

static void server_accepted(void *ctx, struct net_conn *conn)
{
    static const char greeting[] = "* OK [CAPABILITY IMAP4rev1 UIDPLUS] hi\r\n";
    struct server *server = ctx;
    struct client *client = mem_new(struct client);
    *client = (struct client){.server = server, .conn = conn, .next = fixture.clients};
    fixture.clients = client;
    server->connections++;
    net_conn_set_events(conn, &client_events, client);
    if (server->silent_at != SILENT_GREETING)
        net_conn_write(conn, greeting, sizeof greeting - 1);
}

static const struct net_listener_events server_events = {.accepted = server_accepted};

static void sink_tell(void *ctx)
{
    (void)ctx;
    if (!fixture.told_up) {
        fixture.told_up = true;
        fixture.sink.events->up(fixture.sink.ctx);
    }
    while (fixture.told < fixture.offered) {
        void *token = fixture.tokens[fixture.told++];
        fixture.sink.events->sent(fixture.sink.ctx, token);
        fixture.sink.events->settled(fixture.sink.ctx, token, SINK_TAKEN, NULL);
    }
}

static void fake_start(struct sink *sink)
{
    (void)sink;
    net_deferred_schedule(fixture.tell);
}

static void fake_offer(struct sink *sink, struct buf *frame, void *token)
{
    (void)sink;
    buf_release(frame);
    assert_true(fixture.offered < STEPS);
    fixture.tokens[fixture.offered++] = token;
    net_deferred_schedule(fixture.tell);
}

static const char *fake_describe(const struct sink *sink)
{
    (void)sink;
    return "a test";
}

static const struct sink_ops fake_ops = {
    .start = fake_start, .offer = fake_offer, .describe = fake_describe};

static void on_finished(void *ctx, enum collector_outcome outcome, const struct err *err)
{
    (void)ctx;
    (void)err;
    fixture.finished = true;
    fixture.outcome = outcome;
    net_loop_stop(fixture.loop);
}

static void set_up_servers(struct collect_account *accounts)
{
    static const char *const folders[] = {"INBOX"};
    static const char *const labels[STEPS] = {"greeting", "login", "select", "search",
                                              "sizes",    "body",  "store",  "well"};
    struct err err;
    for (int i = 0; i < STEPS; i++) {
        fixture.servers[i].silent_at = (enum step)i;
        assert_int_equal(net_listener_new(fixture.loop, "127.0.0.1", 0, NULL, &server_events,
                                          &fixture.servers[i], &fixture.servers[i].listener, &err),
                         0);
        accounts[i] = (struct collect_account){
            .label = labels[i],
            .host = "127.0.0.1",
            .port = net_listener_port(fixture.servers[i].listener),
            .security = IMAP_SECURITY_NONE,
            .user = "user",
            .password = "password",
            .folders = folders,
            .folder_count = 1,
        };
    }
}

static void tear_down_servers(void)
{
    for (int i = 0; i < STEPS; i++)
        net_listener_free(fixture.servers[i].listener);
    while (fixture.clients) {
        struct client *client = fixture.clients;
        fixture.clients = client->next;
        net_conn_close(client->conn);
        buf_release(&client->line);
        free(client);
    }
}

static void assert_reports(const struct collector *collector)
{
    for (int i = 0; i < STEPS; i++) {
        const struct collect_report *report = collector_report(collector, (size_t)i);
        bool delivered = i >= SILENT_STORE;
        assert_int_equal(report->delivered, delivered ? 1 : 0);
        if (i == SILENT_NEVER) {
            assert_int_equal(report->phase, COLLECT_DONE);
            continue;
        }
        assert_int_equal(report->phase, COLLECT_FAILED);
        assert_non_null(strstr(report->err.text, "no answer for"));
        assert_true(fixture.servers[i].connections >= 3);
    }
    /* The mail that could not be marked was not sent again by the attempts that followed. */
    assert_int_equal(fixture.offered, 2);
}

static void test_silence_at_each_step(void **state)
{
    (void)state;
    struct collect_account accounts[STEPS];
    struct collector_settings settings;
    fixture = (struct fixture){.sink = {.ops = &fake_ops, .max_payload = 1 << 20}};
    fixture.loop = net_loop_new();
    fixture.tell = net_deferred_new(fixture.loop, sink_tell, NULL);
    set_up_servers(accounts);
    collector_settings_init(&settings);
    settings.accounts = accounts;
    settings.account_count = STEPS;
    settings.step_deadline = 1000;
    struct state *memory = state_memory_new();
    struct collector *collector =
        collector_new(fixture.loop, &settings, &fixture.sink, memory, on_finished, NULL);
    collector_start(collector);
    net_loop_run(fixture.loop);

    assert_true(fixture.finished);
    assert_int_equal(fixture.outcome, COLLECTOR_SOME_FAILED);
    assert_reports(collector);
    collector_free(collector);
    state_free(memory);
    tear_down_servers();
    net_deferred_free(fixture.tell);
    net_loop_free(fixture.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence_at_each_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
