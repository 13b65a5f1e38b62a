#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "hpfeeds/client.h"

#define WIRE(text) text, sizeof text - 1
#define INFO                                                                                       \
    "\0\0\0\x10\x01\x06"                                                                           \
    "broker\x01\x02\x03\x04"
#define AUTH                                                                                       \
    "\0\0\0\x20\x02\x06writer\xbf\x13\xc5\x97\xff\xb2\x88\xba\x1d\x01\x3c\x27\x7c\x6a\x22\x9a\x8e" \
    "\x97\x6b\x5a"
#define MESSAGE "\0\0\0\x17\x03\x01w\x0aspam.mailshello"
#define DENIED "\0\0\0\x0b\0denied"
#define SUBSCRIBE "\0\0\0\x11\x04\x01wspam.mails"

/* What the broker sends, and what comes of it, a word an event. */
struct session_case {
    const char *name;
    const char *wire;
    size_t len;
    const char *events;
    enum hpfeeds_client_state state;
};

static const struct session_case cases[] = {
    {"silence", WIRE(""), "", HPFEEDS_CLIENT_WAITING},
    {"half an INFO",
     WIRE("\0\0\0\x10\x01\x06"
          "brok"),
     "", HPFEEDS_CLIENT_WAITING},
    {"INFO", WIRE(INFO), "ready(broker) ", HPFEEDS_CLIENT_READY},
    {"messages", WIRE(INFO MESSAGE MESSAGE),
     "ready(broker) message(w,spam.mails,hello) "
     "message(w,spam.mails,hello) ",
     HPFEEDS_CLIENT_READY},
    {"refused, connection goes on", WIRE(INFO DENIED MESSAGE),
     "ready(broker) error(denied) message(w,spam.mails,hello) ", HPFEEDS_CLIENT_READY},
    {"refused before INFO", WIRE(DENIED INFO), "error(denied) ready(broker) ",
     HPFEEDS_CLIENT_READY},
    {"put off", WIRE(INFO "\0\0\0\x1f\0full, try again later. x=1"),
     "ready(broker) later(full, try again later. x=1) ", HPFEEDS_CLIENT_READY},
    {"error one byte longer than it says", WIRE(INFO "\0\0\0\x0a\0denied"),
     "ready(broker) error(denie) ", HPFEEDS_CLIENT_READY},
    {"error, then what is no frame", WIRE(INFO DENIED "....."),
     "ready(broker) error(denied) broken ", HPFEEDS_CLIENT_FAILED},
    {"a name and a text to be escaped",
     WIRE("\0\0\0\x0e\x01\x04"
          "a\nb\xff"
          "nonc\0\0\0\x07\0\x1b["),
     "ready(a\\x0ab\\xff) error(\\x1b[) ", HPFEEDS_CLIENT_READY},
    {"message before INFO", WIRE(MESSAGE), "broken ", HPFEEDS_CLIENT_FAILED},
    {"second INFO", WIRE(INFO INFO), "ready(broker) broken ", HPFEEDS_CLIENT_FAILED},
    {"AUTH from the broker", WIRE(INFO AUTH), "ready(broker) broken ", HPFEEDS_CLIENT_FAILED},
    {"SUBSCRIBE from the broker", WIRE(INFO SUBSCRIBE), "ready(broker) broken ",
     HPFEEDS_CLIENT_FAILED},
    {"an HTTP server", WIRE("HTTP/1.1 400 Bad Request\r\n"), "broken ", HPFEEDS_CLIENT_FAILED},
    {"a length of nothing", WIRE("\0\0\0\0"), "broken ", HPFEEDS_CLIENT_FAILED},
};

static void log_event(struct buf *log, const struct hpfeeds_client_event *event)
{
    const struct hpfeeds_frame *frame = &event->frame;
    switch (event->type) {
    case HPFEEDS_CLIENT_READY_EVENT:
        buf_printf(log, "ready(%s) ", event->text);
        break;
    case HPFEEDS_CLIENT_ERROR:
        buf_printf(log, "%s(%s) ", event->later ? "later" : "error", event->text);
        break;
    case HPFEEDS_CLIENT_MESSAGE:
        buf_printf(log, "message(%.*s,%.*s,%.*s) ", (int)frame->ident_len, frame->ident,
                   (int)frame->channel_len, frame->channel, (int)frame->payload_len,
                   (const char *)frame->payload);
        break;
    }
}

/* Returns false when the session broke. */
static bool feed(struct hpfeeds_client *client, struct buf *log, const char *data, size_t len)
{
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, data, len);
    hpfeeds_client_feed(client, (const uint8_t *)copy, len);
    struct hpfeeds_client_event event;
    struct err err;
    int got;
    while ((got = hpfeeds_client_next(client, &event, &err)) > 0)
        log_event(log, &event);
    if (got < 0) {
        assert_int_equal(err.action, ERR_RETRY_LATER);
        assert_int_equal(hpfeeds_client_next(client, &event, NULL), -1);
        buf_add_str(log, "broken ");
    }
    free(copy);
    return got == 0;
}

static void expect(struct hpfeeds_client *client, struct buf *log, const struct session_case *c)
{
    assert_string_equal(buf_cstr(log), c->events);
    assert_int_equal(hpfeeds_client_state(client), c->state);
    struct buf *output = hpfeeds_client_output(client);
    bool answered = strstr(c->events, "ready(broker)");
    if (!answered && !strstr(c->events, "ready"))
        assert_int_equal(output->len, 0);
    if (answered) {
        assert_int_equal(output->len, sizeof AUTH - 1);
        assert_memory_equal(output->data, AUTH, sizeof AUTH - 1);
    }
    buf_release(log);
    hpfeeds_client_free(client);
}

static void test_sessions_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct session_case *c = &cases[i];
        print_message("  %s\n", c->name);
        for (size_t split = 0; split <= c->len; split++) {
            struct hpfeeds_client *client = hpfeeds_client_new("writer", "secret", 1000);
            struct buf log = {0};
            if (feed(client, &log, c->wire, split))
                feed(client, &log, c->wire + split, c->len - split);
            expect(client, &log, c);
        }
    }
}

/* What was fed and not looked at is known, and may be given again. */
static void test_take_back(void **state)
{
    (void)state;
    static const uint8_t wire[] = INFO MESSAGE MESSAGE;
    const size_t message = sizeof MESSAGE - 1, len = sizeof wire - 1;
    struct hpfeeds_client *client = hpfeeds_client_new("writer", "secret", 1000);
    struct hpfeeds_client_event event;
    struct buf log = {0};
    struct err err;
    hpfeeds_client_feed(client, wire, len);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hpfeeds_client_next(client, &event, &err), 1);
        log_event(&log, &event);
    }
    assert_int_equal(hpfeeds_client_take_back(client), message);
    assert_int_equal(hpfeeds_client_take_back(client), 0);
    assert_int_equal(hpfeeds_client_next(client, &event, &err), 0);
    hpfeeds_client_feed(client, wire + len - message, message);
    assert_int_equal(hpfeeds_client_next(client, &event, &err), 1);
    log_event(&log, &event);
    assert_string_equal(buf_cstr(&log), "ready(broker) message(w,spam.mails,hello) "
                                        "message(w,spam.mails,hello) ");
    buf_release(&log);
    hpfeeds_client_free(client);
}

static void test_sessions_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct session_case *c = &cases[i];
        struct hpfeeds_client *client = hpfeeds_client_new("writer", "secret", 1000);
        struct buf log = {0};
        bool alive = true;
        for (size_t j = 0; j < c->len && alive; j++)
            alive = feed(client, &log, c->wire + j, 1);
        expect(client, &log, c);
    }
}

/* The nonce is whatever is left of INFO. */
static void test_nonce_lengths(void **state)
{
    (void)state;
    uint8_t nonce[300];
    memset(nonce, 0xA5, sizeof nonce);
    for (size_t len = 0; len <= sizeof nonce; len += 50) {
        struct hpfeeds_client *client = hpfeeds_client_new("writer", "secret", 1000);
        struct buf wire = {0}, auth = {0}, log = {0};
        hpfeeds_add_info(&wire, "b", nonce, len);
        hpfeeds_add_auth(&auth, "writer", nonce, len, "secret");
        assert_true(feed(client, &log, (const char *)wire.data, wire.len));
        assert_int_equal(hpfeeds_client_output(client)->len, auth.len);
        assert_memory_equal(hpfeeds_client_output(client)->data, auth.data, auth.len);
        buf_release(&wire);
        buf_release(&auth);
        buf_release(&log);
        hpfeeds_client_free(client);
    }
}

static void test_frame_max(void **state)
{
    (void)state;
    struct hpfeeds_client *client = hpfeeds_client_new("writer", "secret", 16);
    struct buf log = {0};
    assert_false(feed(client, &log, INFO MESSAGE, sizeof INFO MESSAGE - 1));
    assert_string_equal(buf_cstr(&log), "ready(broker) broken ");
    buf_release(&log);
    hpfeeds_client_free(client);
    hpfeeds_client_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions_at_every_split),
        cmocka_unit_test(test_sessions_byte_by_byte),
        cmocka_unit_test(test_take_back),
        cmocka_unit_test(test_nonce_lengths),
        cmocka_unit_test(test_frame_max),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
