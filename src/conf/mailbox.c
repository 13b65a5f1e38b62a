#include "conf/mailbox.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "conf/after.h"
#include "conf/check.h"
#include "conf/file.h"
#include "conf/keys.h"
#include "conf/names.h"
#include "conf/pool.h"
#include "conf/secret.h"
#include "conf/yaml.h"

enum {
    MAILBOX_PORT_TLS = 993,
    MAILBOX_PORT_CLEAR = 143,
    MAILBOX_POLL_DEFAULT = 60 * 1000,
    MAILBOX_POLL_LEAST = 1000,
    MAILBOX_POLL_MOST = 24 * 60 * 60 * 1000,
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
};

#define MAILBOX_SHARED_KEYS                                                                        \
    {.name = "password", .slot = MAILBOX_PASSWORD},                                                \
        {.name = "password_file", .slot = MAILBOX_PASSWORD_FILE},                                  \
        {.name = "password_command", .slot = MAILBOX_PASSWORD_COMMAND},                            \
        {.name = "protocol", .slot = MAILBOX_PROTOCOL}, {.name = "host", .slot = MAILBOX_HOST},    \
        {.name = "port", .slot = MAILBOX_PORT}, {.name = "tls", .slot = MAILBOX_TLS},              \
        {.name = "tls_ca", .slot = MAILBOX_TLS_CA},                                                \
        {.name = "tls_verify", .slot = MAILBOX_TLS_VERIFY},                                        \
        {.name = "tls_fingerprint", .slot = MAILBOX_TLS_FINGERPRINT},                              \
        {.name = "auth", .slot = MAILBOX_AUTH}, {.name = "folders", .slot = MAILBOX_FOLDERS},      \
        {.name = "after", .slot = MAILBOX_AFTER}, {.name = "idle", .slot = MAILBOX_IDLE},          \
        {.name = "poll_interval", .slot = MAILBOX_POLL_INTERVAL},                                  \
        {.name = "oauth2",                                                                         \
         .slot = MAILBOX_OAUTH2,                                                                   \
         .unsupported = "is not supported by this version, expected a password"},                 \
        {.name = "server", .instead = "host"}, {.name = "hostname", .instead = "host"},            \
        {.name = "pass", .instead = "password"}, {.name = "mailbox", .instead = "folders"},        \
        {.name = "ssl", .instead = "tls"}, {.name = "user", .instead = "username"},                \
        {.name = "login", .instead = "username"}, {.name = "email", .instead = "username"},        \
    {                                                                                              \
        0                                                                                          \
    }
