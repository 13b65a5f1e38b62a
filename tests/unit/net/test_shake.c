/* A peer whose first bytes come in the middle of a call: the client has looked for them and found
 * none, its hello is out, and OpenSSL would read on by itself. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket.h"
#include "net/tls_impl.h"
#include "peer.h"
#include "pki.h"

/* The server, played by hand between the client's own steps. */
static struct {
    struct stage stage;
    struct net_tls *tls; /* the client's */
    int listener;
    int fd;            /* -1: the client has not come */
    SSL *ssl;          /* reads and writes memory */
    size_t first_len;  /* of its first record; 0: not sent */
    const char *words; /* what it says instead; NULL: it speaks TLS */
    const SSL *client;
    struct net_deferred *rest;
} race;

static void race_accept(void)
{
    if (race.fd < 0)
        race.fd = accept(race.listener, NULL, NULL);
    assert_true(race.fd >= 0);
}

/* Sends `len` bytes of what the server has to say. */
static void race_send(size_t len)
{
    uint8_t bytes[16384 + 5];
    assert_true(len <= sizeof bytes);
    assert_int_equal(BIO_read(SSL_get_wbio(race.ssl), bytes, (int)len), len);
    assert_int_equal(send(race.fd, bytes, len, 0), len);
}

/* The length of the record that is next (RFC 8446 section 5.1). */
static size_t race_record_len(void)
{
    char *said;
    assert_true(BIO_get_mem_data(SSL_get_wbio(race.ssl), &said) > 5);
    return 5 + ((size_t)(uint8_t)said[3] << 8) + (uint8_t)said[4];
}

/* OpenSSL tells of each step of the client. Behind its hello comes the read. */
static void race_client_steps(const SSL *client, int where, int unused)
{
    (void)unused;
    if (where != SSL_CB_CONNECT_LOOP || SSL_get_state(client) != TLS_ST_CW_CLNT_HELLO ||
        race.first_len)
        return;
    race_accept();
    uint8_t hello[8192];
    ssize_t len = recv(race.fd, hello, sizeof hello, 0);
    assert_true(len > 0);
    assert_int_equal(BIO_write(SSL_get_rbio(race.ssl), hello, (int)len), len);
    assert_int_equal(SSL_get_error(race.ssl, SSL_do_handshake(race.ssl)), SSL_ERROR_WANT_READ);
    race.client = client;
    if (race.words) {
        race.first_len = strlen(race.words);
        assert_int_equal(send(race.fd, race.words, race.first_len, 0), race.first_len);
    } else {
        race.first_len = race_record_len();
        race_send(race.first_len);
    }
    struct pollfd arrival = {.fd = SSL_get_fd(client), .events = POLLIN};
    assert_int_equal(poll(&arrival, 1, -1), 1);
    net_deferred_schedule(race.rest);
}

/* The client's turn is over: it has left the first bytes for the next one. */
static void race_send_rest(void *unused)
{
    (void)unused;
    assert_int_equal(BIO_number_read(SSL_get_rbio(race.client)), 0);
    if (!race.words)
        race_send((size_t)BIO_pending(SSL_get_wbio(race.ssl)));
}

static uint16_t race_listen(void)
{
    union net_address address = {.v4 = {.sin_family = AF_INET}};
    socklen_t size = sizeof address;
    race.listener = socket(AF_INET, SOCK_STREAM, 0);
    address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(race.listener, &address.any, net_address_size(&address)), 0);
    assert_int_equal(listen(race.listener, 5), 0);
    assert_int_equal(getsockname(race.listener, &address.any, &size), 0);
    return ntohs(address.v4.sin_port);
}

static bool client_decided(struct stage *stage)
{
    return peer_saw(&stage->client, 'R') || peer_saw(&stage->client, 'F');
}

static void race_init(struct pki *pki)
{
    struct err err;
    struct net_tls *server;
    const struct net_tls_settings trust = {.ca_file = pki_path(pki, "ca.pem")};
    pki_make(pki,
             &(struct pki_spec){.file = "h.pem", .cn = "h", .san = "DNS:localhost", .to_day = 5});
    assert_int_equal(net_tls_client_new(&trust, &race.tls, &err), 0);
    assert_int_equal(net_tls_server_new(pki_path(pki, "h.pem"), NULL, &server, &err), 0);
    SSL_CTX_set_info_callback(race.tls->ctx, race_client_steps);
    race.ssl = SSL_new(server->ctx);
    SSL_set_accept_state(race.ssl);
    SSL_set_bio(race.ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    net_tls_unref(server);
    race.fd = -1;
    race.words = NULL;
    race.first_len = 0;
    stage_init(&race.stage, NULL);
    race.rest = net_deferred_new(race.stage.loop, race_send_rest, NULL);
}

static void race_release(void)
{
    net_deferred_free(race.rest);
    stage_release(&race.stage);
    SSL_free(race.ssl);
    net_tls_unref(race.tls);
    close(race.fd);
    close(race.listener);
}

static void check_race_went_well(void)
{
    stage_run(&race.stage, client_decided);
    assert_true(race.first_len > 0);
    assert_string_equal(race.stage.client.err.text, "");
    assert_string_equal(race.stage.client.log, "R");
}

static void test_first_record_comes_behind_the_look(void **state)
{
    race_init(*state);
    stage_connect_to(&race.stage, &(struct net_conn_target){
                                      .host = "localhost", .port = race_listen(), .tls = race.tls});
    check_race_went_well();
    race_release();
}

static void test_first_record_comes_behind_the_look_of_starttls(void **state)
{
    race_init(*state);
    struct peer *client = &race.stage.client;
    stage_connect_to(&race.stage,
                     &(struct net_conn_target){.host = "127.0.0.1", .port = race_listen()});
    stage_run(&race.stage, client_decided);
    race_accept();
    memset(client->log, 0, sizeof client->log);
    net_conn_start_tls(client->conn, race.tls, "localhost", 0);
    check_race_went_well();
    race_release();
}

static void test_words_come_behind_the_look(void **state)
{
    race_init(*state);
    race.words = "* BYE no TLS here\r\n";
    stage_connect_to(&race.stage, &(struct net_conn_target){
                                      .host = "localhost", .port = race_listen(), .tls = race.tls});
    stage_run(&race.stage, client_decided);
    assert_string_equal(race.stage.client.log, "F");
    assert_non_null(
        strstr(race.stage.client.err.text, "no TLS spoken there: it says \"* BYE no TLS here\""));
    race_release();
}

static int setup(void **state)
{
    *state = pki_new();
    return 0;
}

static int teardown(void **state)
{
    pki_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_record_comes_behind_the_look),
        cmocka_unit_test(test_first_record_comes_behind_the_look_of_starttls),
        cmocka_unit_test(test_words_come_behind_the_look),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
