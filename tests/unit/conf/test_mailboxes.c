#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "scene.h"

struct mailboxes_case {
    const char *text;
    const char *outcome;
};

/* What an entry has when it says nothing. */
#define IMPLICIT " tls=implicit auth=auto folders=INBOX after=seen idle=on poll=60000ms\n"
#define STARTTLS " tls=starttls auth=auto folders=INBOX after=seen idle=on poll=60000ms\n"
/* The three required keys on one line of flow. */
#define U "username: u, password: hunter2, host: h"
#define U_IS "u@h user=u password=hunter2 server=h:993"
#define EXAMPLE                                                                                    \
    ", expected entries such as \"- {username: user@domain, password: secret, host: "              \
    "mail.example}\"\n"
#define AFTER_EXPECTED "expected seen, none, delete, {move: FOLDER} or {keyword: NAME}\n"

static const struct mailboxes_case mailboxes_good[] = {
    {"- username: \"user@domain\"\n  password: \"hunter2\"\n  protocol: \"imap\"\n"
     "  host: \"mail.mailserver.com\"\n  port: 993\n",
     "1: user@domain@mail.mailserver.com user=user@domain password=hunter2 "
     "server=mail.mailserver.com:993" IMPLICIT},
    /* Port and TLS. */
    {"- {" U "}\n", "1: " U_IS IMPLICIT},
    {"- {" U ", port: 143}\n", "1: u@h user=u password=hunter2 server=h:143" STARTTLS},
    {"- {" U ", tls: starttls}\n", "1: u@h user=u password=hunter2 server=h:143" STARTTLS},
    {"- {" U ", port: 1_143}\n", "1: u@h:1143 user=u password=hunter2 server=h:1143" IMPLICIT},
    {"- {" U ", port: 143, tls: implicit}\n",
     "1: u@h user=u password=hunter2 server=h:143" IMPLICIT},
    {"- {" U ", tls: none}\n",
     "1: u@h user=u password=hunter2 server=h:143 tls=none auth=auto folders=INBOX after=seen "
     "idle=on poll=60000ms\n"},
    {"- {" U ", tls: none, port: 993}\n",
     "1: " U_IS " tls=none auth=auto folders=INBOX after=seen idle=on poll=60000ms\n"},
    {"- {" U ", tls_ca: ca.pem, tls_verify: off, tls_fingerprint: "
     "'SHA256:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:aa:bb:"
     "cc:dd:ee:fe'}\n",
     "1: " U_IS " tls=implicit ca=ca.pem unverified fingerprint=00..fe auth=auto folders=INBOX "
     "after=seen idle=on poll=60000ms\n"},
    {"- {" U ", tls_fingerprint: "
     "0f112233445566778899aabbccddeeff00112233445566778899aabbccddeef0}\n",
     "1: " U_IS " tls=implicit fingerprint=0f..f0 auth=auto folders=INBOX after=seen idle=on "
     "poll=60000ms\n"},
    {"- {" U ", tls: none, tls_ca: ca.pem}\n",
     "warning: m.yml:1:56: \"tls_ca\" does nothing with \"tls: none\"\n"
     "1: u@h user=u password=hunter2 server=h:143 tls=none ca=ca.pem auth=auto folders=INBOX "
     "after=seen idle=on poll=60000ms\n"},
    /* Access tokens: a mailbox adds to the defaults, and each way stands in place of the other. */
    {"- {username: u, host: h, oauth2: {token_command: [get, 'a token']}}\n",
     "1: u@h user=u oauth2=get|a token| server=h:993" IMPLICIT},
    {"defaults: {host: h, oauth2: {token_url: 'https://login.example:444/token?x=y', device_url: "
     "'http://[::1]:1/d', client_id: i, client_secret: hunter2, scope: 's t', refresh_token: "
     "hunter2r}}\nmailboxes:\n- {username: u}\n- {username: v, oauth2: {refresh_token_file: "
     "/t/v, client_id: j}}\n- {username: w, password: hunter2}\n",
     "3: u@h user=u oauth2=url:https://login.example:444/token?x=y,device:http://[::1]:1/d,id:i,"
     "secret:hunter2,scope:s t,refresh:hunter2r, server=h:993" IMPLICIT
     "4: v@h user=v oauth2=url:https://login.example:444/token?x=y,device:http://[::1]:1/d,id:j,"
     "secret:hunter2,scope:s t,file:/t/v, server=h:993" IMPLICIT
     "5: w@h user=w password=hunter2 server=h:993" IMPLICIT},
    {"defaults: {host: h, password: hunter2}\nmailboxes:\n- {username: u, oauth2: "
     "{token_command: get}}\n",
     "3: u@h user=u oauth2=get| server=h:993" IMPLICIT},
    /* The rest of the keys. */
    {"- {" U ", auth: Plain, idle: no, poll_interval: 5min, name: trap}\n",
     "1: trap user=u password=hunter2 server=h:993 tls=implicit auth=plain folders=INBOX "
     "after=seen idle=off poll=300000ms\n"},
    {"- {" U
     ", auth: SCRAM-SHA-256}\n- {username: v, password: hunter2, host: h, auth: scram-sha-1}\n",
     "1: " U_IS " tls=implicit auth=scram-sha-256 folders=INBOX after=seen idle=on poll=60000ms\n"
     "2: v@h user=v password=hunter2 server=h:993 tls=implicit auth=scram-sha-1 folders=INBOX "
     "after=seen idle=on poll=60000ms\n"},
    {"- {" U ", auth: login, idle: TRUE, poll_interval: 1, protocol: IMAP}\n",
     "1: " U_IS " tls=implicit auth=login folders=INBOX after=seen idle=on poll=1000ms\n"},
    {"- {" U ", poll_interval: 1d, folders: Junk}\n",
     "1: " U_IS " tls=implicit auth=auto folders=Junk after=seen idle=on poll=86400000ms\n"},
    {"- {" U ", idle_refresh: 29min, max_connections: 1}\n",
     "1: " U_IS " tls=implicit auth=auto folders=INBOX after=seen idle=on poll=60000ms "
     "refresh=1740000ms connections=1\n"},
    {"defaults: {idle_refresh: 10, max_connections: 5, host: h, password: hunter2}\nmailboxes:\n"
     "- {username: u}\n- {username: v, idle_refresh: 1min, max_connections: 100}\n",
     "3: " U_IS " tls=implicit auth=auto folders=INBOX after=seen idle=on poll=60000ms "
     "refresh=10000ms connections=5\n"
     "4: v@h user=v password=hunter2 server=h:993 tls=implicit auth=auto folders=INBOX after=seen "
     "idle=on poll=60000ms refresh=60000ms connections=100\n"},
    /* Folders: any UTF-8, special uses in their spelling, INBOX in capitals. */
    {"- {" U ", folders: [inbox, '\\junk', \"\\\\ALL\", Entw\xC3\xBCrfe, a/b, 2026, yes]}\n",
     "1: " U_IS " tls=implicit auth=auto folders=INBOX,\\Junk,\\All,Entw\xC3\xBCrfe,a/b,2026,yes "
     "after=seen idle=on poll=60000ms\n"},
    {"- {" U ", folders: [\xE5\x8F\xB0\xE5\x8C\x97, \"Caf\\u00e9 & Co\"]}\n",
     "1: " U_IS " tls=implicit auth=auto folders=\xE5\x8F\xB0\xE5\x8C\x97,Caf\xC3\xA9 & Co "
     "after=seen idle=on poll=60000ms\n"},
    /* After. */
    {"- {" U ", after: none}\n",
     "1: " U_IS " tls=implicit auth=auto folders=INBOX after=none idle=on poll=60000ms\n"},
    {"- {" U ", after: Delete}\n",
     "1: " U_IS " tls=implicit auth=auto folders=INBOX after=delete idle=on poll=60000ms\n"},
    {"- {" U ", after: {move: '\\trash'}}\n",
     "1: " U_IS " tls=implicit auth=auto folders=INBOX after=move:\\Trash idle=on poll=60000ms\n"},
    {"- {" U ", after: 'move: Old Mail'}\n",
     "1: " U_IS " tls=implicit auth=auto folders=INBOX after=move:Old Mail idle=on poll=60000ms\n"},
    {"- {" U ", after: move:Old}\n",
     "1: " U_IS " tls=implicit auth=auto folders=INBOX after=move:Old idle=on poll=60000ms\n"},
    {"- username: u\n  password: hunter2\n  host: h\n  after:\n    keyword: $Collected\n",
     "1: " U_IS " tls=implicit auth=auto folders=INBOX after=keyword:$Collected idle=on "
     "poll=60000ms\n"},
    /* Text stays as it was written. */
    {"- {username: 0123, password: 'hunter2 ', host: 10.0.0.1}\n",
     "1: 0123@10.0.0.1 user=0123 password=hunter2  server=10.0.0.1:993" IMPLICIT},
    {"- {username: 'DOM\\user', password: hunter2#\xC3\xA9, host: h}\n",
     "1: DOM\\user@h user=DOM\\user password=hunter2#\xC3\xA9 server=h:993" IMPLICIT},
    /* Passwords from elsewhere. */
    {"- {username: u, password_file: p, host: h}\n",
     "1: u@h user=u password=hunter2 file server=h:993" IMPLICIT},
    {"- {username: u, password_command: cat p, host: h}\n",
     "1: u@h user=u password=hunter2 file server=h:993" IMPLICIT},
    /* Defaults, merge keys, aliases. */
    {"defaults: {host: h, port: 143, folders: [a, b], after: {move: c}}\n"
     "mailboxes:\n- {username: u, password: hunter2}\n"
     "- {username: v, password: hunter2, host: i, port: 993, folders: [c], after: seen}\n",
     "3: u@h user=u password=hunter2 server=h:143 tls=starttls auth=auto folders=a,b after=move:c "
     "idle=on poll=60000ms\n"
     "4: v@i user=v password=hunter2 server=i:993 tls=implicit auth=auto folders=c after=seen "
     "idle=on poll=60000ms\n"},
    {"defaults: {host: h, password: hunter2 d}\nmailboxes:\n- {username: u}\n"
     "- {username: v, password_file: p}\n- {username: w, password_command: echo hunter2 c}\n",
     "3: u@h user=u password=hunter2 d server=h:993" IMPLICIT
     "4: v@h user=v password=hunter2 file server=h:993" IMPLICIT
     "5: w@h user=w password=hunter2 c server=h:993" IMPLICIT},
    {"defaults: {host: h, password_command: [sh, -c, echo >>runs; cat p]}\nmailboxes:\n"
     "- {username: u}\n- {username: v}\n- {username: w, password: hunter2 own}\n",
     "3: u@h user=u password=hunter2 file server=h:993" IMPLICIT
     "4: v@h user=v password=hunter2 file server=h:993" IMPLICIT
     "5: w@h user=w password=hunter2 own server=h:993" IMPLICIT},
    {"defaults:\nmailboxes:\n- {" U "}\n", "3: " U_IS IMPLICIT},
    {"- &a {" U "}\n- {<<: *a, username: v}\n- <<: [{port: 143}, *a]\n  username: w\n",
     "1: " U_IS IMPLICIT "2: v@h user=v password=hunter2 server=h:993" IMPLICIT
     "3: w@h user=w password=hunter2 server=h:143" STARTTLS},
    {"- {username: v, password: &p hunter2 shared, host: h}\n"
     "- {username: w, password: *p, host: h}\n",
     "1: v@h user=v password=hunter2 shared server=h:993" IMPLICIT
     "2: w@h user=w password=hunter2 shared server=h:993" IMPLICIT},
    /* One account in two entries is two things to do, as long as they do not meet. */
    {"- {" U ", folders: [a], name: x}\n- {" U ", folders: [b], name: y}\n",
     "1: x user=u password=hunter2 server=h:993 tls=implicit auth=auto folders=a after=seen "
     "idle=on poll=60000ms\n"
     "2: y user=u password=hunter2 server=h:993 tls=implicit auth=auto folders=b after=seen "
     "idle=on poll=60000ms\n"},
    {"- {" U "}\n- {" U ", port: 1993}\n",
     "1: " U_IS IMPLICIT "2: u@h:1993 user=u password=hunter2 server=h:1993" IMPLICIT},
};

static const struct mailboxes_case mailboxes_bad[] = {
    {"", "m.yml: is empty" EXAMPLE},
    {"# nothing\n", "m.yml: is empty" EXAMPLE},
    {"[]\n", "m.yml:1:1: no mailbox" EXAMPLE},
    {"text\n", "m.yml:1:1: the file is text" EXAMPLE},
    {"- hunter2\n- [hunter2]\n-\n",
     "m.yml:1:3: this entry is text" EXAMPLE "m.yml:2:3: this entry is a list" EXAMPLE
     "m.yml:3:1: this entry is nothing" EXAMPLE},
    {"- u@h: hunter2\n",
     "m.yml:1:3: unknown key, expected one of username, password, password_file, "
     "password_command, protocol, host, port, tls, tls_ca, tls_verify, tls_fingerprint, auth, "
     "folders, after, idle, poll_interval, idle_refresh, max_connections, name, oauth2\n"
     "m.yml:1:3: this mailbox has no \"username\", which is required\n"
     "m.yml:1:3: this mailbox has no \"password\", expected it or one of password_file, "
     "password_command, oauth2\n"
     "m.yml:1:3: this mailbox has no \"host\", which is required\n"},
    {"-\n- {" U "}\n-\n- username: v\n  password: hunter2\n  host: h\n-\n- a\n-\n-\n",
     "m.yml:1:1: this entry is nothing" EXAMPLE "m.yml:3:1: this entry is nothing" EXAMPLE
     "m.yml:7:1: this entry is nothing" EXAMPLE "m.yml:8:3: this entry is text" EXAMPLE
     "m.yml:9:1: this entry is nothing" EXAMPLE "m.yml:10:1: this entry is nothing" EXAMPLE},
    {U "\n", "m.yml:1:22: a second \": \" on the same line: put the text in quotes, or write {key: "
             "value}\n"},
    {"username: u\npassword: hunter2\nhost: h\n",
     "m.yml:1:1: a mailbox outside of a list, expected \"- \" before its first key\n"},
    {"defaults: {host: h}\n", "m.yml:1:1: no list \"mailboxes:\"" EXAMPLE},
    {"defaults: [h]\nmailboxes: {a: b}\n",
     "m.yml:1:11: \"defaults\" is a list, expected a map of keys\n"
     "m.yml:2:12: \"mailboxes\" is a map" EXAMPLE},
    {"mailboxes: []\n", "m.yml:1:12: no mailbox" EXAMPLE},
    {"default: {host: h}\nmailboxes:\n- {username: u, password: hunter2}\n",
     "m.yml:1:1: unknown key \"default\": did you mean \"defaults\"?\n"},
    {"defaults: {username: u, name: x, prt: 1}\nmailboxes:\n- {" U "}\n",
     "m.yml:1:12: \"username\" belongs to one mailbox and can't be a default\n"
     "m.yml:1:25: \"name\" belongs to one mailbox and can't be a default\n"
     "m.yml:1:34: unknown key \"prt\": did you mean \"port\"?\n"},
    /* All that is missing, where the entry begins. */
    {"- {port: 1}\n- host: h\n",
     "m.yml:1:3: this mailbox has no \"username\", which is required\n"
     "m.yml:1:3: this mailbox has no \"password\", expected it or one of password_file, "
     "password_command, oauth2\n"
     "m.yml:1:3: this mailbox has no \"host\", which is required\n"
     "m.yml:2:3: this mailbox has no \"username\", which is required\n"
     "m.yml:2:3: this mailbox has no \"password\", expected it or one of password_file, "
     "password_command, oauth2\n"},
    {"- {usrname: u, pass: hunter2, server: h}\n",
     "m.yml:1:4: unknown key \"usrname\": did you mean \"username\"?\n"
     "m.yml:1:16: unknown key \"pass\": did you mean \"password\"?\n"
     "m.yml:1:31: unknown key \"server\": did you mean \"host\"?\n"},
    {"- {" U ", username: v, folders: a, folders: b}\n",
     "m.yml:1:45: \"username\" is given twice, first in line 1\n"
     "m.yml:1:70: \"folders\" is given twice, first in line 1\n"},
    /* Twice. */
    {"- {" U "}\n- {username: v, password: hunter2, host: h}\n- {" U ", port: 143}\n",
     "m.yml:3:3: the mailbox \"u@h\" is given twice, first in line 1\n"},
    {"- {" U ", name: a}\n- {username: v, password: hunter2, host: h, name: a}\n",
     "m.yml:2:3: the mailbox \"a\" is given twice, first in line 1\n"},
    {"- {" U ", name: a}\n- {" U ", name: b}\n",
     "m.yml:2:3: collects \"INBOX\" of the same account as line 1, and each mail would be "
     "delivered "
     "twice\n"},
    {"- {username: U, password: hunter2, host: Mail.Example}\n"
     "- {username: u, password: hunter2, host: mail.example}\n"
     "- {username: u, password: hunter2, host: MAIL.example}\n",
     "m.yml:3:3: collects \"INBOX\" of the same account as line 2, and each mail would be "
     "delivered "
     "twice\n"},
    {"- {" U ", folders: [a, A, inbox, Inbox, '\\junk', '\\Junk']}\n",
     "m.yml:1:68: \"folders\" names \"INBOX\" twice\n"
     "m.yml:1:84: \"folders\" names \"\\\\Junk\" twice\n"},
    {"- &a {" U "}\n- *a\n", "m.yml:1:6: the mailbox \"u@h\" is given twice, first in line 1\n"},
    /* Values. */
    {"- {" U ", protocol: pop3}\n- {username: v, password: hunter2, host: h, protocol: imaps}\n",
     "m.yml:1:55: \"protocol\" is not imap, expected imap, the only one there is\n"
     "m.yml:2:55: \"protocol\" is not imap, expected imap (with \"tls: implicit\", which is the "
     "default)\n"},
    {"- {" U ", tls: false}\n",
     "m.yml:1:50: \"tls\" is none of its values, expected implicit, starttls or none\n"},
    {"- {" U ", tls: }\n",
     "m.yml:1:45: \"tls\" has no value, expected implicit, starttls or none\n"},
    {"- {" U ", auth: xoauth2}\n",
     "m.yml:1:51: \"auth\" xoauth2 takes an access token, which needs \"oauth2\"\n"},
    {"- {" U ", auth: OAuthBearer}\n",
     "m.yml:1:51: \"auth\" oauthbearer takes an access token, which needs \"oauth2\"\n"},
    {"- {" U ", auth: ntlm}\n",
     "m.yml:1:51: \"auth\" is none of its values, expected auto, plain, login, scram-sha-256, "
     "scram-sha-1, xoauth2 or oauthbearer\n"},
    {"- {username: u, host: h, oauth2: hunter2}\n",
     "m.yml:1:34: \"oauth2\" is text, expected a map such as {token_command: …} or {token_url: …, "
     "client_id: …, refresh_token_file: …}\n"},
    {"- {username: u, host: h, oauth2: {}}\n",
     "m.yml:1:3: \"oauth2\" has no \"token_url\", expected it or \"token_command\"\n"},
    {"- {username: u, host: h, oauth2: {token_uri: 'https://h/', clientid: i}}\n",
     "m.yml:1:35: unknown key \"token_uri\": did you mean \"token_url\"?\n"
     "m.yml:1:60: unknown key \"clientid\": did you mean \"client_id\"?\n"},
    {"- {username: u, host: h, oauth2: {token_url: 'https://h/'}}\n",
     "m.yml:1:3: \"oauth2\" has no \"client_id\", which goes with \"token_url\"\n"},
    {"- {username: u, host: h, oauth2: {token_command: a, token_url: 'https://h/'}}\n",
     "m.yml:1:3: \"oauth2\" has both \"token_command\" and \"token_url\", expected one of them\n"},
    {"- {username: u, host: h, oauth2: {token_command: 'a | hunter2'}}\n",
     "m.yml:1:50: \"token_command\" is run without a shell, but has one of | & ; < > $ ` in it: "
     "put "
     "it in single quotes, or write [sh, -c, \"…\"]\n"},
    {"- {" U ", oauth2: {token_command: a}}\n",
     "m.yml:1:45: \"oauth2\" beside a password, expected one of them\n"},
    {"- {username: u, host: h, auth: plain, oauth2: {token_command: a}}\n",
     "m.yml:1:32: \"auth\" asks for a password, and \"oauth2\" gives none, expected auto, xoauth2 "
     "or "
     "oauthbearer\n"},
#define BAD_URL(url) "- {username: u, host: h, oauth2: {client_id: i, token_url: '" url "'}}\n"
#define BAD_URL_TEXT                                                                               \
    "m.yml:1:60: \"token_url\" is no address for secrets, expected https://…, or http:// to "    \
    "localhost\n"
    {BAD_URL("http://login.example/token"), BAD_URL_TEXT},
    {BAD_URL("http://localhost.example/token"), BAD_URL_TEXT},
    {BAD_URL("http://127.0.0.1@evil.example/"), BAD_URL_TEXT},
    {BAD_URL("https://u:hunter2@login.example/"), BAD_URL_TEXT},
    {BAD_URL("https://"), BAD_URL_TEXT},
    {BAD_URL("https:///token"), BAD_URL_TEXT},
    {BAD_URL("https://h/a b"), BAD_URL_TEXT},
    {BAD_URL("ftp://h/"), BAD_URL_TEXT},
    {BAD_URL("login.example/token"), BAD_URL_TEXT},
    {"- {username: u, host: h, oauth2: {token_url: 'https://h/', client_id: i, refresh_token: "
     "hunter2, refresh_token_file: f, client_secret: hunter2, client_secret_file: none}}\n",
     "m.yml:1:98: \"refresh_token_file\" beside \"refresh_token\", expected one of them\n"
     "m.yml:1:145: \"client_secret_file\" beside \"client_secret\", expected one of them\n"
     "m.yml:1:165: \"client_secret_file\" cannot be read: No such file or directory\n"},
    {"- {username: \"u\\r\\nv\", password: \"hunter2\\nx\", host: \"h\\0\"}\n",
     "m.yml:1:14: \"username\" has a line break in it, expected one line of text\n"
     "m.yml:1:34: \"password\" has a line break in it, expected one line of text\n"
     "m.yml:1:54: \"host\" has a NUL in it, expected one line of text\n"},
    {"- {" U ", folders: [\"a\\r\", \"b\\n\", \"c\\0\", \"d\\u0001\", '', ~, {x: y}]}\n",
     "m.yml:1:55: \"folders\" has a line break in it, expected one line of text\n"
     "m.yml:1:62: \"folders\" has a line break in it, expected one line of text\n"
     "m.yml:1:69: \"folders\" has a NUL in it, expected one line of text\n"
     "m.yml:1:76: \"folders\" has a control character in it\n"
     "m.yml:1:87: \"folders\" is empty, expected one line of text\n"
     "m.yml:1:91: \"folders\" has no value, expected text (quote the text \"null\" or \"~\")\n"
     "m.yml:1:94: \"folders\" is a map, expected text\n"},
    {"- {" U ", folders: ['\\Jnk', '\\x']}\n",
     "m.yml:1:55: unknown special use: did you mean \\Junk?\n"
     "m.yml:1:63: unknown special use, expected one of \\All, \\Archive, \\Drafts, \\Flagged, "
     "\\Important, \\Junk, \\Sent, \\Trash\n"},
    {"- {" U ", folders: []}\n", "m.yml:1:54: \"folders\" is empty, expected a list of names\n"},
    {"- {" U ", idle: 2, poll_interval: 0}\n",
     "m.yml:1:51: \"idle\" is not a switch, expected true or false\n"
     "m.yml:1:69: \"poll_interval\" is not a duration from 1 s to 1 day, such as \"500ms\", "
     "\"30s\" or \"5min\"\n"},
    {"- {" U ", poll_interval: 25h}\n",
     "m.yml:1:60: \"poll_interval\" is not a duration from 1 s to 1 day, such as \"500ms\", "
     "\"30s\" or \"5min\"\n"},
    {"- {" U ", idle_refresh: 9999ms}\n- {" U ", name: x, folders: x, idle_refresh: 30min}\n",
     "m.yml:1:59: \"idle_refresh\" is not a duration from 10 s to 29 min, such as \"500ms\", "
     "\"30s\" or \"5min\"\n"
     "m.yml:2:80: \"idle_refresh\" is not a duration from 10 s to 29 min, such as \"500ms\", "
     "\"30s\" or \"5min\"\n"},
    {"- {" U ", max_connections: 0}\n- {" U ", name: x, folders: x, connections: 2}\n",
     "m.yml:1:62: \"max_connections\" is out of range, expected a number from 1 to 100\n"
     "m.yml:2:66: unknown key \"connections\": did you mean \"max_connections\"?\n"},
    {"- {" U ", limits: {}}\n",
     "m.yml:1:45: \"limits\" hold for all mailboxes and stand beside \"mailboxes:\"\n"},
    {"- {" U ", tls_fingerprint: 0011}\n",
     "m.yml:1:62: \"tls_fingerprint\" is no SHA-256 fingerprint, expected 64 hexadecimal digits, "
     "with or without colons\n"},
    {"- {" U ", tls_fingerprint: "
     "'00:112:2:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:aa:bb:"
     "cc:dd:ee:ff'}\n",
     "m.yml:1:62: \"tls_fingerprint\" is no SHA-256 fingerprint, expected 64 hexadecimal digits, "
     "with or without colons\n"},
    {"- {" U ", after: read}\n", "m.yml:1:52: \"after\" is none of its values, " AFTER_EXPECTED},
    {"- {" U ", after: [seen]}\n", "m.yml:1:52: \"after\" is a list, " AFTER_EXPECTED},
    {"- {" U ", after: seenx}\n", "m.yml:1:52: \"after\" is none of its values, " AFTER_EXPECTED},
    {"- {" U ", after: {}}\n", "m.yml:1:52: \"after\" has nothing to do, " AFTER_EXPECTED},
    {"- {" U ", after: {move: a, keyword: b}}\n",
     "m.yml:1:52: \"after\" has two things to do, " AFTER_EXPECTED},
    {"- {" U ", after: {mov: a}}\n", "m.yml:1:53: unknown key \"mov\": did you mean \"move\"?\n"},
    {"- {" U ", after: 'move:'}\n", "m.yml:1:52: \"after\" is empty, expected one line of text\n"},
    {"- {" U ", after: {move: INBOX}}\n",
     "m.yml:1:52: \"after\" moves mail to a folder that is collected itself, expected another "
     "folder\n"},
    {"- {" U ", after: {keyword: a b}}\n- {" U ", name: x, after: {keyword: \"\\\\Seen\"}}\n"
     "- {" U ", name: y, after: {keyword: 'a]'}}\n- {" U
     ", name: z, after: {keyword: caf\xC3\xA9}}",
     "m.yml:1:62: \"keyword\" is no IMAP keyword, expected up to 250 ASCII characters without "
     "blanks and ( ) { % * \" \\ ]\n"
     "m.yml:2:3: collects \"INBOX\" of the same account as line 1, and each mail would be "
     "delivered "
     "twice\n"
     "m.yml:2:71: \"keyword\" is no IMAP keyword, expected up to 250 ASCII characters without "
     "blanks and ( ) { % * \" \\ ]\n"
     "m.yml:3:3: collects \"INBOX\" of the same account as line 1, and each mail would be "
     "delivered "
     "twice\n"
     "m.yml:3:71: \"keyword\" is no IMAP keyword, expected up to 250 ASCII characters without "
     "blanks and ( ) { % * \" \\ ]\n"
     "m.yml:4:3: collects \"INBOX\" of the same account as line 1, and each mail would be "
     "delivered "
     "twice\n"
     "m.yml:4:71: \"keyword\" is no IMAP keyword, expected up to 250 ASCII characters without "
     "blanks and ( ) { % * \" \\ ]\n"},
    /* Passwords. */
    {"- {username: u, host: h, password: hunter2, password_command: echo hunter2}\n",
     "m.yml:1:45: \"password_command\" beside another password, expected one of password, "
     "password_file, password_command\n"},
    {"- {username: u, host: h, password_file: nofile}\n"
     "- {username: v, host: h, password_file: nofile}\n",
     "m.yml:1:41: \"password_file\" cannot be read: No such file or directory\n"},
    {"- {username: u, host: h, password: }\n",
     "m.yml:1:26: \"password\" has no value, expected text\n"},
    /* A value that is wrong for many is one problem. */
    {"defaults: {port: 0, host: h}\nmailboxes:\n- {username: u, password: hunter2}\n"
     "- {username: v, password: hunter2}\n",
     "m.yml:1:18: \"port\" is out of range, expected a number from 1 to 65535\n"},
    {"- {" U ", port: 0}\n- {" U ", port: 0}\n",
     "m.yml:1:51: \"port\" is out of range, expected a number from 1 to 65535\n"
     "m.yml:2:51: \"port\" is out of range, expected a number from 1 to 65535\n"},
    {"- {<<: hunter2, " U "}\n",
     "m.yml:1:8: \"<<\" merges text, expected a map or a list of maps\n"},
};

static int mailboxes_setup(void **state)
{
    scene_setup(state);
    scene_write_text("ca.pem", "-");
    scene_write_text("p", "hunter2 file\nmore\n");
    return 0;
}

static void mailboxes_run(const struct mailboxes_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *got = scene_load_texts(NULL, cases[i].text);
        scene_expect(cases[i].text, got, cases[i].outcome);
        free(got);
    }
}

static void test_mailboxes_good(void **state)
{
    (void)state;
    mailboxes_run(mailboxes_good, sizeof mailboxes_good / sizeof *mailboxes_good);
}

static void test_mailboxes_bad(void **state)
{
    (void)state;
    mailboxes_run(mailboxes_bad, sizeof mailboxes_bad / sizeof *mailboxes_bad);
}

/* The command that three mailboxes name ran once. */
static void test_mailboxes_command_once(void **state)
{
    (void)state;
    scene_remove("runs");
    free(scene_load_texts(NULL, "defaults: {host: h, password_command: [sh, -c, echo >>runs; cat "
                                "p]}\nmailboxes:\n- {username: u}\n- {username: v}\n"
                                "- {username: w, password_command: [sh, -c, echo >>runs; cat p]}"));
    FILE *runs = fopen("runs", "r");
    assert_non_null(runs);
    assert_int_equal(fgetc(runs), '\n');
    assert_int_equal(fgetc(runs), EOF);
    fclose(runs);
}

/* -d wins over whatever stands in the file, which is checked all the same. */
static void test_mailboxes_delete(void **state)
{
    (void)state;
    scene_write_text("f.yml", "secret: hunter2\n");
    scene_write_text("m.yml", "- {" U ", after: {move: a}}\n- {" U ", folders: b, name: x}\n");
    char *got = scene_load("f.yml", "m.yml", true);
    scene_expect("-d", got,
                 "feed localhost:10000 ident=writer secret=hunter2 channels=spam.mails tls=none "
                 "payload=json confirm=auto/confirm.writer/1000ms max_frame=1048576\n"
                 "1: " U_IS " tls=implicit auth=auto folders=INBOX after=delete idle=on "
                 "poll=60000ms\n"
                 "2: x user=u password=hunter2 server=h:993 tls=implicit auth=auto folders=b "
                 "after=delete idle=on poll=60000ms\n");
    free(got);
}

static void test_mailboxes_many(void **state)
{
    (void)state;
    struct buf text = {0};
    for (int i = 0; i < 20000; i++)
        buf_printf(&text, "- {username: u%d, password: hunter2, host: h, folders: [a, b]}\n", i);
    buf_add_str(&text, "- {username: u77, password: hunter2, host: h}\n");
    char *got = scene_load_texts(NULL, buf_cstr(&text));
    assert_string_equal(got,
                        "m.yml:20001:3: the mailbox \"u77@h\" is given twice, first in line 78\n");
    free(got);
    buf_release(&text);
}

/* As many problems as anybody reads, and how many more there are. */
static void test_mailboxes_many_problems(void **state)
{
    (void)state;
    struct buf text = {0};
    for (int i = 0; i < 2000; i++)
        buf_printf(&text, "- {username: u%d, password: hunter2, host: h, port: 0}\n", i);
    char *got = scene_load_texts(NULL, buf_cstr(&text));
    size_t lines = 0;
    for (const char *at = got; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, 1001);
    assert_non_null(strstr(got, "\n1000 more problems are not listed\n"));
    free(got);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mailboxes_good),
        cmocka_unit_test(test_mailboxes_bad),
        cmocka_unit_test(test_mailboxes_command_once),
        cmocka_unit_test(test_mailboxes_delete),
        cmocka_unit_test(test_mailboxes_many),
        cmocka_unit_test(test_mailboxes_many_problems),
    };
    return cmocka_run_group_tests(tests, mailboxes_setup, scene_teardown);
}
