#include "broker/endpoint.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"

void broker_endpoint_release(struct broker_endpoint *endpoint)
{
    free(endpoint->host);
    free(endpoint->device);
    free(endpoint->cert);
    free(endpoint->key);
    *endpoint = (struct broker_endpoint){0};
}

/* The length of the part at the start of `text`, up to a colon without a backslash before it. */
static size_t endpoint_part_length(const char *text)
{
    size_t len = 0;
    while (text[len] && text[len] != ':')
        len += text[len] == '\\' && text[len + 1] == ':' ? 2 : 1;
    return len;
}

/* A copy of a value with each "\:" made ":". */
static char *endpoint_unescape(const char *text, size_t len)
{
    char *value = mem_strndup(text, len), *out = value;
    for (const char *at = value; *at; at++)
        if (at[0] != '\\' || at[1] != ':')
            *out++ = *at;
    *out = '\0';
    return value;
}

static int endpoint_parse_port(const char *text, size_t len, uint16_t *ret_port, struct err *err)
{
    uint64_t port;
    char safe[40];
    if (!num_parse_u64(text, len, UINT16_MAX, &port))
        return err_set(err, ERR_GIVE_UP, "\"%s\" is not a port",
                       text_escape_utf8(safe, sizeof safe, text, len));
    *ret_port = (uint16_t)port;
    return 0;
}

static int endpoint_set(struct broker_endpoint *endpoint, const char *key, const char *value,
                        bool *has_port, struct err *err)
{
    char **field = NULL;
    if (!strcmp(key, "port")) {
        *has_port = true;
        return endpoint_parse_port(value, strlen(value), &endpoint->port, err);
    }
    if (!strcmp(key, "interface"))
        field = &endpoint->host;
    else if (!strcmp(key, "device"))
        field = &endpoint->device;
    else if (!strcmp(key, "cert") && endpoint->tls)
        field = &endpoint->cert;
    else if (!strcmp(key, "key") && endpoint->tls)
        field = &endpoint->key;
    if (!field) {
        char safe[80];
        log_warning(NULL, "endpoint: \"%s\" is not one of interface, port, device%s: it is ignored",
                    text_escape_utf8(safe, sizeof safe, key, strlen(key)),
                    endpoint->tls ? ", cert, key" : "");
        return 0;
    }
    free(*field);
    *field = mem_strdup(value);
    return 0;
}

static int endpoint_set_part(struct broker_endpoint *endpoint, const char *part, size_t len,
                             bool *has_port, struct err *err)
{
    const char *equals = memchr(part, '=', len);
    if (!equals)
        return err_set(err, ERR_GIVE_UP, "\"%.*s\" is not key=value", (int)len, part);
    char *key = mem_strndup(part, (size_t)(equals - part));
    char *value = endpoint_unescape(equals + 1, len - (size_t)(equals + 1 - part));
    int result = endpoint_set(endpoint, key, value, has_port, err);
    free(value);
    free(key);
    return result;
}

static void endpoint_set_default(char **field, const char *value)
{
    if (!*field)
        *field = mem_strdup(value);
}

int broker_endpoint_parse(const char *text, struct broker_endpoint *ret_endpoint, struct err *err)
{
    struct broker_endpoint endpoint = {0};
    bool has_port = false;
    size_t len = endpoint_part_length(text);
    endpoint.tls = len == 3 && !memcmp(text, "tls", 3);
    if (!endpoint.tls && (len != 3 || memcmp(text, "tcp", 3) != 0))
        return err_set(err, ERR_GIVE_UP,
                       "endpoint \"%s\": begins with neither tcp: nor tls:", text);

    for (const char *at = text + len; *at; at += len) {
        len = endpoint_part_length(++at);
        if (endpoint_set_part(&endpoint, at, len, &has_port, err))
            goto failed;
    }
    if (!has_port) {
        err_set(err, ERR_GIVE_UP, "port= is missing");
        goto failed;
    }
    endpoint_set_default(&endpoint.host, "0.0.0.0");
    if (endpoint.tls) {
        endpoint_set_default(&endpoint.cert, "cert.pem");
        endpoint_set_default(&endpoint.key, "key.pem");
    }
    *ret_endpoint = endpoint;
    return 0;

failed:
    broker_endpoint_release(&endpoint);
    return err_prefix(err, "endpoint \"%s\"", text);
}

int broker_endpoint_parse_bind(const char *text, struct broker_endpoint *ret_endpoint,
                               struct err *err)
{
    const char *colon = strrchr(text, ':');
    if (!colon)
        return err_set(err, ERR_GIVE_UP, "\"%s\" is not host:port", text);
    uint16_t port = 0;
    if (endpoint_parse_port(colon + 1, strlen(colon + 1), &port, err))
        return err_prefix(err, "\"%s\"", text);

    size_t len = (size_t)(colon - text);
    bool bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    if (!bracketed && memchr(text, ':', len))
        return err_set(err, ERR_GIVE_UP, "\"%s\": write an IPv6 address in brackets", text);
    *ret_endpoint = (struct broker_endpoint){
        .host = bracketed ? mem_strndup(text + 1, len - 2) : mem_strndup(text, len),
        .port = port,
    };
    return 0;
}
