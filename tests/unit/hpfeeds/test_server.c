#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "hpfeeds/server.h"

#define WIRE(text) text, sizeof text - 1
#define INFO                                                                                       \
    "\0\0\0\x10\x01\x06"                                                                           \
    "broker\x01\x02\x03\x04"
#define DIGEST "\xbf\x13\xc5\x97\xff\xb2\x88\xba\x1d\x01\x3c\x27\x7c\x6a\x22\x9a\x8e\x97\x6b\x5a"
#define AUTH "\0\0\0\x20\x02\x06writer" DIGEST
#define PUBLISH "\0\0\0\x17\x03\x01w\x0aspam.mailshello"
#define SUBSCRIBE "\0\0\0\x11\x04\x01wspam.mails"
#define UNSUBSCRIBE "\0\0\0\x11\x05\x01wspam.mails"

/* What the client sends, and what comes of it, a word an event. The secret of every ident but
 * "nobody" is "secret". */
struct session_case {
    const char *name;
    const char *wire;
    size_t len;
    const char *events;
    const char *ident;
};

static const struct session_case cases[] = {
    {"silence", WIRE(""), "", NULL},
    {"good AUTH", WIRE(AUTH), "good(writer) ", "writer"},
    {"everything", WIRE(AUTH PUBLISH SUBSCRIBE UNSUBSCRIBE PUBLISH),
     "good(writer) publish(w,spam.mails,hello) subscribe(w,spam.mails,) "
     "unsubscribe(w,spam.mails,) publish(w,spam.mails,hello) ",
     "writer"},
    {"wrong digest", WIRE("\0\0\0\x20\x02\x06writer...................."), "bad(writer) ", NULL},
    {"last byte of the digest wrong",
     WIRE("\0\0\0\x20\x02\x06writer\xbf\x13\xc5\x97\xff\xb2\x88"
          "\xba\x1d\x01\x3c\x27\x7c\x6a\x22\x9a\x8e\x97\x6b\x5b"),
     "bad(writer) ", NULL},
    {"digest too short",
     WIRE("\0\0\0\x1f\x02\x06writer\xbf\x13\xc5\x97\xff\xb2\x88\xba\x1d\x01"
          "\x3c\x27\x7c\x6a\x22\x9a\x8e\x97\x6b"),
     "bad(writer) ", NULL},
    {"digest too long", WIRE("\0\0\0\x21\x02\x06writer" DIGEST "\0"), "bad(writer) ", NULL},
    {"no digest", WIRE("\0\0\0\x0c\x02\x06writer"), "bad(writer) ", NULL},
    {"unknown ident", WIRE("\0\0\0\x20\x02\x06nobody" DIGEST), "bad(nobody) ", NULL},
    {"after a wrong AUTH a right one", WIRE("\0\0\0\x0c\x02\x06writer" AUTH), "bad(writer) broken ",
     NULL},
    {"after a wrong AUTH a message", WIRE("\0\0\0\x0c\x02\x06writer" PUBLISH),
     "bad(writer) broken ", NULL},
    {"PUBLISH first", WIRE(PUBLISH), "broken ", NULL},
    {"SUBSCRIBE first", WIRE(SUBSCRIBE AUTH), "broken ", NULL},
    {"INFO from the client", WIRE(INFO), "broken ", NULL},
    {"second AUTH", WIRE(AUTH AUTH), "good(writer) broken ", "writer"},
    {"INFO later", WIRE(AUTH INFO), "good(writer) broken ", "writer"},
    {"ERROR from the client", WIRE(AUTH "\0\0\0\x05\0"), "good(writer) broken ", "writer"},
    {"a length of nothing", WIRE("\0\0\0\0"), "broken ", NULL},
    {"large before AUTH", WIRE("\0\0\x01\x1a\x02"), "broken ", NULL},
    {"over the maximum after AUTH", WIRE(AUTH "\0\0\x03\xe9\x03"), "good(writer) broken ",
     "writer"},
    {"empty ident", WIRE("\0\0\0\x1a\x02\0" DIGEST), "broken ", NULL},
    {"ident not UTF-8", WIRE("\0\0\0\x20\x02\x06wr\xe4ter" DIGEST), "broken ", NULL},
    {"ident with a NUL", WIRE("\0\0\0\x22\x02\x08writer\0x" DIGEST), "broken ", NULL},
    {"PUBLISH with an ident not UTF-8",
     WIRE(AUTH "\0\0\0\x0a\x03\x01\xff\x02"
               "chx"),
     "good(writer) broken ", "writer"},
    {"PUBLISH with a channel not UTF-8", WIRE(AUTH "\0\0\0\x0b\x03\x01w\x02\xed\xa0x"),
     "good(writer) broken ", "writer"},
    {"PUBLISH with an empty channel", WIRE(AUTH "\0\0\0\x09\x03\x01w\0x"), "good(writer) broken ",
     "writer"},
    {"SUBSCRIBE to a channel not UTF-8", WIRE(AUTH "\0\0\0\x09\x04\x01w\xc3\x28"),
     "good(writer) broken ", "writer"},
    {"SUBSCRIBE to a channel with a NUL", WIRE(AUTH "\0\0\0\x0a\x04\x01w\x61\0\x62"),
     "good(writer) broken ", "writer"},
    {"SUBSCRIBE to nothing", WIRE(AUTH "\0\0\0\x07\x04\x01w"), "good(writer) broken ", "writer"},
};

static void log_frame(struct buf *log, const char *what, const struct hpfeeds_frame *frame)
{
    buf_printf(log, "%s(%.*s,%.*s,%.*s) ", what, (int)frame->ident_len, frame->ident,
               (int)frame->channel_len, frame->channel, (int)frame->payload_len,
               frame->payload ? (const char *)frame->payload : "");
}

static void handle(struct hpfeeds_server *server, struct buf *log,
                   const struct hpfeeds_server_event *event)
{
    const struct hpfeeds_frame *frame = &event->frame;
    bool nobody = frame->ident_len == 6 && !memcmp(frame->ident, "nobody", 6);
    switch (event->type) {
    case HPFEEDS_SERVER_AUTH:
        buf_add_str(log, hpfeeds_server_check(server, nobody ? NULL : "secret") ? "good(" : "bad(");
        buf_printf(log, "%.*s) ", (int)frame->ident_len, frame->ident);
        break;
    case HPFEEDS_SERVER_PUBLISH:
        log_frame(log, "publish", frame);
        break;
    case HPFEEDS_SERVER_SUBSCRIBE:
        log_frame(log, "subscribe", frame);
        break;
    case HPFEEDS_SERVER_UNSUBSCRIBE:
        log_frame(log, "unsubscribe", frame);
        break;
    }
}

/* Returns false when the session broke. */
static bool feed(struct hpfeeds_server *server, struct buf *log, const void *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, data, len);
    hpfeeds_server_feed(server, copy, len);
    struct hpfeeds_server_event event;
    struct err err = {.text = ""};
    int got;
    while ((got = hpfeeds_server_next(server, &event, &err)) > 0)
        handle(server, log, &event);
    if (got < 0) {
        assert_true(strlen(err.text) > 0);
        assert_int_equal(hpfeeds_server_next(server, &event, NULL), -1);
        buf_add_str(log, "broken ");
    }
    free(copy);
    return got == 0;
}

static struct hpfeeds_server *new_server(void)
{
    return hpfeeds_server_new("broker", (const uint8_t *)"\x01\x02\x03\x04", 4, 1000);
}

static void expect(struct hpfeeds_server *server, struct buf *log, const struct session_case *c)
{
    assert_string_equal(buf_cstr(log), c->events);
    const char *ident = hpfeeds_server_ident(server);
    assert_int_equal(!ident, !c->ident);
    if (ident)
        assert_string_equal(ident, c->ident);
    struct buf *output = hpfeeds_server_output(server);
    assert_int_equal(output->len, sizeof INFO - 1);
    assert_memory_equal(output->data, INFO, sizeof INFO - 1);
    buf_release(log);
    hpfeeds_server_free(server);
}

static void test_sessions_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct session_case *c = &cases[i];
        print_message("  %s\n", c->name);
        for (size_t split = 0; split <= c->len; split++) {
            struct hpfeeds_server *server = new_server();
            struct buf log = {0};
            if (feed(server, &log, c->wire, split))
                feed(server, &log, c->wire + split, c->len - split);
            expect(server, &log, c);
        }
    }
}

/* The client is told the reason; people look these words up. */
static void test_words(void **state)
{
    (void)state;
    struct hpfeeds_server *server = new_server();
    struct hpfeeds_server_event event;
    struct err err;
    hpfeeds_server_feed(server, (const uint8_t *)SUBSCRIBE, sizeof SUBSCRIBE - 1);
    assert_int_equal(hpfeeds_server_next(server, &event, &err), -1);
    assert_string_equal(err.text, "First message was not AUTH");
    hpfeeds_server_free(server);
}

static void test_sessions_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct session_case *c = &cases[i];
        struct hpfeeds_server *server = new_server();
        struct buf log = {0};
        bool alive = true;
        for (size_t j = 0; j < c->len && alive; j++)
            alive = feed(server, &log, c->wire + j, 1);
        expect(server, &log, c);
    }
}

/* AUTH and a frame larger than any AUTH in one piece of input: the frame is not judged by the
 * limit for strangers. */
static void test_pipelined_large_frame(void **state)
{
    (void)state;
    char payload[901];
    memset(payload, 'p', 900);
    payload[900] = '\0';
    struct buf wire = {0}, log = {0}, expected = {0};
    buf_add(&wire, AUTH, sizeof AUTH - 1);
    hpfeeds_add_publish(&wire, "writer", "c", payload, 900);
    buf_printf(&expected, "good(writer) publish(writer,c,%s) ", payload);
    struct hpfeeds_server *server = new_server();
    assert_true(feed(server, &log, wire.data, wire.len));
    assert_string_equal(buf_cstr(&log), buf_cstr(&expected));
    hpfeeds_server_free(server);
    buf_release(&wire);
    buf_release(&log);
    buf_release(&expected);
}

static void test_channel_too_long_to_publish_to(void **state)
{
    (void)state;
    struct buf wire = {0}, log = {0};
    buf_add(&wire, AUTH "\0\0\x01\x07\x04\x01w", sizeof AUTH + 6);
    for (int i = 0; i < 256; i++)
        buf_add_byte(&wire, 'c');
    struct hpfeeds_server *server = new_server();
    assert_false(feed(server, &log, wire.data, wire.len));
    assert_string_equal(buf_cstr(&log), "good(writer) broken ");
    hpfeeds_server_free(server);
    buf_release(&wire);
    buf_release(&log);
}

static void test_check_without_auth_is_false(void **state)
{
    (void)state;
    struct hpfeeds_server *server = new_server();
    assert_false(hpfeeds_server_check(server, "secret"));
    assert_null(hpfeeds_server_ident(server));
    hpfeeds_server_free(server);
    hpfeeds_server_free(NULL);
}

/* The answer may come when the frame's memory is gone: what was fed behind AUTH is taken back and
 * given again. */
static void test_check_later(void **state)
{
    (void)state;
    struct hpfeeds_server *server = new_server();
    struct hpfeeds_server_event event;
    struct buf log = {0}, wire = {0};
    buf_add(&wire, AUTH PUBLISH, sizeof AUTH PUBLISH - 1);
    hpfeeds_server_feed(server, wire.data, wire.len);
    assert_null(hpfeeds_server_claimed(server));
    assert_int_equal(hpfeeds_server_next(server, &event, NULL), 1);
    assert_int_equal(hpfeeds_server_take_back(server), sizeof PUBLISH - 1);
    assert_int_equal(hpfeeds_server_take_back(server), 0);
    memset(wire.data, 'x', wire.len);
    buf_release(&wire);
    assert_string_equal(hpfeeds_server_claimed(server), "writer");
    assert_null(hpfeeds_server_ident(server));
    assert_true(hpfeeds_server_check(server, "secret"));
    assert_string_equal(hpfeeds_server_ident(server), "writer");
    assert_true(feed(server, &log, PUBLISH, sizeof PUBLISH - 1));
    assert_string_equal(buf_cstr(&log), "publish(w,spam.mails,hello) ");
    assert_int_equal(hpfeeds_server_held(server), 0);
    assert_true(feed(server, &log, PUBLISH, 10));
    assert_int_equal(hpfeeds_server_held(server), 10);
    hpfeeds_server_forget(server);
    assert_int_equal(hpfeeds_server_held(server), 0);
    buf_release(&log);
    hpfeeds_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_sessions_at_every_split),
        cmocka_unit_test(test_sessions_byte_by_byte),
        cmocka_unit_test(test_pipelined_large_frame),
        cmocka_unit_test(test_channel_too_long_to_publish_to),
        cmocka_unit_test(test_check_without_auth_is_false),
        cmocka_unit_test(test_check_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
