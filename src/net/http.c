#include "net/http.h"

#include <assert.h>
#include <curl/curl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/loop_impl.h"
#include "net/tls_impl.h"

enum {
    HTTP_HEADERS_MOST = 32 << 10,
    HTTP_CONNECT_DEADLINE = 15000,
};

struct net_http {
    struct net_loop *loop;
    CURLM *multi;
    struct net_alarm alarm; /* libcurl's own timer */
    struct curl_slist *headers;
    size_t calls;
};

/* A socket of libcurl's, watched. */
struct net_http_socket {
    uv_poll_t uv; /* first: closing frees the whole */
    struct net_http *http;
    curl_socket_t fd;
};

struct net_http_call {
    struct net_http *http;
    CURL *easy;
    struct net_alarm deadline;
    net_http_done_fn *done;
    void *ctx;
    struct buf form;
    struct buf body;
    size_t reply_most;
    size_t headers; /* bytes so far */
    bool too_much;
    char words[CURL_ERROR_SIZE];
};

static void *http_realloc(void *ptr, size_t size)
{
    size_t had = ptr ? malloc_usable_size(ptr) : 0;
    void *moved = mem_alloc(size);
    if (had)
        memcpy(moved, ptr, had < size ? had : size);
    mem_free_wiped(ptr);
    return moved;
}

/* --- ends --------------------------------------------------------------------------------------
 */

static void http_call_free(struct net_http_call *call)
{
    struct net_http *http = call->http;
    net_alarm_clear(http->loop, &call->deadline);
    curl_multi_remove_handle(http->multi, call->easy);
    curl_easy_cleanup(call->easy);
    http->calls--;
    http->loop->outside--;
    mem_wipe(call->form.data, call->form.cap);
    buf_release(&call->form);
    mem_wipe(call->body.data, call->body.cap);
    buf_release(&call->body);
    free(call);
}

static void http_call_fail(struct net_http_call *call, enum err_action action, const char *words)
{
    struct err err;
    char shown[300];
    net_http_done_fn *done = call->done;
    void *ctx = call->ctx;
    text_escape_utf8(shown, sizeof shown, words, strlen(words));
    err_set(&err, action, "%s", shown);
    http_call_free(call);
    done(ctx, NULL, &err);
}

static void http_call_reply(struct net_http_call *call)
{
    long status = 0;
    const char *said = NULL;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &said);
    char *type = mem_strdup(said);
    struct buf body = call->body;
    struct net_http_reply reply = {
        .status = (unsigned)status,
        .content_type = type,
        .body = body.data,
        .len = body.len,
    };
    net_http_done_fn *done = call->done;
    void *ctx = call->ctx;
    call->body = (struct buf){0};
    http_call_free(call);
    done(ctx, &reply, NULL);
    free(type);
    mem_wipe(body.data, body.cap);
    buf_release(&body);
}

static void http_call_ended(struct net_http_call *call, CURLcode code)
{
    const char *words = *call->words ? call->words : curl_easy_strerror(code);
    if (code == CURLE_OK)
        http_call_reply(call);
    else if (call->too_much)
        http_call_fail(call, ERR_RETRY_LATER, "its reply is larger than any token is");
    else if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
        http_call_fail(call, ERR_GIVE_UP, words);
    else
        http_call_fail(call, ERR_RETRY_LATER, words);
}

/* `done` may end other calls, whose messages go with them. */
static void http_collect(struct net_http *http)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(http->multi, &left))) {
        char *call;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        http_call_ended((struct net_http_call *)(void *)call, code);
    }
}

static void http_call_late(void *owner)
{
    http_call_fail(owner, ERR_RETRY_LATER, "no answer in time");
}

/* --- libcurl on the loop -----------------------------------------------------------------------
 */

static void http_act(struct net_http *http, curl_socket_t fd, int what)
{
    int running;
    http->loop->stirred = true;
    curl_multi_socket_action(http->multi, fd, what, &running);
    http_collect(http);
}

static void http_alarmed(void *owner)
{
    http_act(owner, CURL_SOCKET_TIMEOUT, 0);
}

static int http_set_timer(CURLM *multi, long after, void *ctx)
{
    struct net_http *http = ctx;
    (void)multi;
    if (after < 0)
        net_alarm_clear(http->loop, &http->alarm);
    else
        net_alarm_set(http->loop, &http->alarm, (msec_t)after);
    return 0;
}

static void http_polled(uv_poll_t *uv, int status, int events)
{
    const struct net_http_socket *socket = (struct net_http_socket *)uv;
    int what = status < 0 ? CURL_CSELECT_ERR : 0;
    what |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    what |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    http_act(socket->http, socket->fd, what);
}

static void http_socket_closed(uv_handle_t *handle)
{
    free(handle);
}

static struct net_http_socket *http_socket_new(struct net_http *http, curl_socket_t fd)
{
    struct net_http_socket *socket = mem_new(struct net_http_socket);
    socket->http = http;
    socket->fd = fd;
    if (uv_poll_init(&http->loop->uv, &socket->uv, fd))
        abort();
    curl_multi_assign(http->multi, fd, socket);
    return socket;
}

static int http_watch(CURL *easy, curl_socket_t fd, int what, void *ctx, void *watched)
{
    struct net_http *http = ctx;
    struct net_http_socket *socket = watched;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (socket)
            uv_close((uv_handle_t *)&socket->uv, http_socket_closed);
        curl_multi_assign(http->multi, fd, NULL);
        return 0;
    }
    if (!socket)
        socket = http_socket_new(http, fd);
    uv_poll_start(&socket->uv,
                  (what & CURL_POLL_IN ? UV_READABLE : 0) |
                      (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
                  http_polled);
    return 0;
}

/* --- a call ------------------------------------------------------------------------------------
 */

static size_t http_take_body(char *data, size_t size, size_t len, void *ctx)
{
    struct net_http_call *call = ctx;
    (void)size; /* 1 */
    call->too_much = len > call->reply_most - call->body.len;
    if (call->too_much)
        return 0;
    buf_add(&call->body, data, len);
    return len;
}

static size_t http_take_header(char *data, size_t size, size_t len, void *ctx)
{
    struct net_http_call *call = ctx;
    (void)data;
    (void)size;
    call->headers += len;
    call->too_much = call->headers > HTTP_HEADERS_MOST;
    return call->too_much ? 0 : len;
}

static CURLcode http_set_up_tls(CURL *easy, void *ctx, void *unused)
{
    (void)easy;
    (void)unused;
    net_tls_bound(ctx);
    /* What a provider says is tokens: none of it stays in the buffer it was deciphered in. */
    SSL_CTX_set_options(ctx, SSL_OP_CLEANSE_PLAINTEXT);
    return CURLE_OK;
}

static void http_call_set_up(struct net_http_call *call, const struct net_http_request *request)
{
    CURL *easy = call->easy;
    bool set = true;
#define HTTP_SET(option, value) set = curl_easy_setopt(easy, option, value) == CURLE_OK && set
    HTTP_SET(CURLOPT_PRIVATE, call);
    HTTP_SET(CURLOPT_ERRORBUFFER, call->words);
    HTTP_SET(CURLOPT_URL, request->url);
    HTTP_SET(CURLOPT_PROTOCOLS_STR, "https,http");
    HTTP_SET(CURLOPT_POSTFIELDS, (char *)call->form.data);
    HTTP_SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->form.len);
    HTTP_SET(CURLOPT_HTTPHEADER, call->http->headers);
    HTTP_SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    HTTP_SET(CURLOPT_USERAGENT, "imap-collector/" PROJECT_VERSION);
    HTTP_SET(CURLOPT_WRITEFUNCTION, http_take_body);
    HTTP_SET(CURLOPT_WRITEDATA, call);
    HTTP_SET(CURLOPT_HEADERFUNCTION, http_take_header);
    HTTP_SET(CURLOPT_HEADERDATA, call);
    HTTP_SET(CURLOPT_NOSIGNAL, 1L);
    /* The end does not wait for the thread that looks up the name. */
    HTTP_SET(CURLOPT_QUICK_EXIT, 1L);
    HTTP_SET(CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_DEADLINE);
    /* Whatever stands in the environment: IMAP goes its way without it, too. */
    HTTP_SET(CURLOPT_PROXY, "");
    HTTP_SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    HTTP_SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    HTTP_SET(CURLOPT_SSL_CTX_FUNCTION, http_set_up_tls);
    HTTP_SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
    HTTP_SET(CURLOPT_FRESH_CONNECT, 1L);
    HTTP_SET(CURLOPT_FORBID_REUSE, 1L);
    if (request->ca) { /* these alone */
        struct curl_blob ca = {.data = (void *)(uintptr_t)request->ca,
                               .len = strlen(request->ca),
                               .flags = CURL_BLOB_COPY};
        HTTP_SET(CURLOPT_CAINFO_BLOB, &ca);
        HTTP_SET(CURLOPT_CAPATH, NULL);
    }
#undef HTTP_SET
    if (!set) /* a libcurl that lacks one of them must not go on without it */
        abort();
}

struct net_http_call *net_http_post(struct net_http *http, const struct net_http_request *request,
                                    net_http_done_fn *done, void *ctx)
{
    struct net_http_call *call = mem_new(struct net_http_call);
    call->http = http;
    call->done = done;
    call->ctx = ctx;
    call->reply_most = request->reply_most;
    buf_reserve_exact(&call->form, request->len + 1);
    buf_add(&call->form, request->form, request->len);
    buf_reserve_exact(&call->body, request->reply_most); /* growing would leave copies behind */
    call->easy = curl_easy_init();
    if (!call->easy)
        abort();
    http_call_set_up(call, request);
    http->calls++;
    http->loop->outside++;
    net_alarm_init(&call->deadline, http_call_late, call);
    net_alarm_set(http->loop, &call->deadline, request->deadline);
    curl_multi_add_handle(http->multi, call->easy);
    return call;
}

void net_http_cancel(struct net_http_call *call)
{
    if (call)
        http_call_free(call);
}

/* --- all of them -------------------------------------------------------------------------------
 */

struct net_http *net_http_new(struct net_loop *loop)
{
    struct net_http *http = mem_new(struct net_http);
    http->loop = loop;
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, mem_free_wiped, http_realloc, strdup,
                             calloc))
        abort();
    net_alarm_init(&http->alarm, http_alarmed, http);
    http->multi = curl_multi_init();
    /* No "Expect: 100-continue": what is posted is small. */
    http->headers = curl_slist_append(NULL, "Accept: application/json");
    http->headers = curl_slist_append(http->headers, "Expect:");
    if (!http->multi || !http->headers)
        abort();
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, http_watch);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, http_set_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    return http;
}

void net_http_free(struct net_http *http)
{
    if (!http)
        return;
    assert(!http->calls);
    curl_multi_cleanup(http->multi);
    net_alarm_clear(http->loop, &http->alarm);
    curl_slist_free_all(http->headers);
    curl_global_cleanup();
    free(http);
}
