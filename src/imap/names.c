#include "imap/parser.h"

#include <string.h>
#include <strings.h>

struct imap_bit_name {
    const char *name;
    unsigned bits;
};

static const char *const imap_status_names[] = {
    [IMAP_OK] = "OK",   [IMAP_NO] = "NO",           [IMAP_BAD] = "BAD",
    [IMAP_BYE] = "BYE", [IMAP_PREAUTH] = "PREAUTH",
};

static const char *const imap_code_names[] = {
    [IMAP_CODE_NONE] = "",
    [IMAP_CODE_OTHER] = "another code",
    [IMAP_CODE_ALERT] = "ALERT",
    [IMAP_CODE_CAPABILITY] = "CAPABILITY",
    [IMAP_CODE_PERMANENTFLAGS] = "PERMANENTFLAGS",
    [IMAP_CODE_READ_ONLY] = "READ-ONLY",
    [IMAP_CODE_READ_WRITE] = "READ-WRITE",
    [IMAP_CODE_TRYCREATE] = "TRYCREATE",
    [IMAP_CODE_UIDNEXT] = "UIDNEXT",
    [IMAP_CODE_UIDVALIDITY] = "UIDVALIDITY",
    [IMAP_CODE_UNSEEN] = "UNSEEN",
    [IMAP_CODE_UIDNOTSTICKY] = "UIDNOTSTICKY",
    [IMAP_CODE_HIGHESTMODSEQ] = "HIGHESTMODSEQ",
    [IMAP_CODE_NOMODSEQ] = "NOMODSEQ",
    [IMAP_CODE_AUTHENTICATIONFAILED] = "AUTHENTICATIONFAILED",
    [IMAP_CODE_AUTHORIZATIONFAILED] = "AUTHORIZATIONFAILED",
    [IMAP_CODE_EXPIRED] = "EXPIRED",
    [IMAP_CODE_PRIVACYREQUIRED] = "PRIVACYREQUIRED",
    [IMAP_CODE_CONTACTADMIN] = "CONTACTADMIN",
    [IMAP_CODE_UNAVAILABLE] = "UNAVAILABLE",
    [IMAP_CODE_INUSE] = "INUSE",
    [IMAP_CODE_LIMIT] = "LIMIT",
    [IMAP_CODE_THROTTLED] = "THROTTLED",
    [IMAP_CODE_OVERQUOTA] = "OVERQUOTA",
    [IMAP_CODE_NOPERM] = "NOPERM",
    [IMAP_CODE_NONEXISTENT] = "NONEXISTENT",
    [IMAP_CODE_ALREADYEXISTS] = "ALREADYEXISTS",
    [IMAP_CODE_CANNOT] = "CANNOT",
    [IMAP_CODE_CLOSED] = "CLOSED",
    [IMAP_CODE_SERVERBUG] = "SERVERBUG",
    [IMAP_CODE_CLIENTBUG] = "CLIENTBUG",
    [IMAP_CODE_EXPUNGEISSUED] = "EXPUNGEISSUED",
    [IMAP_CODE_APPENDUID] = "APPENDUID",
    [IMAP_CODE_COPYUID] = "COPYUID",
    [IMAP_CODE_NOTIFICATIONOVERFLOW] = "NOTIFICATIONOVERFLOW",
    [IMAP_CODE_MESSAGELIMIT] = "MESSAGELIMIT",
};

/* RFC 9051 appendix E: the extensions that IMAP4rev2 includes. */
enum {
    IMAP_CAPS_OF_REV2 = IMAP_CAP_SASL_IR | IMAP_CAP_LITERAL_MINUS | IMAP_CAP_IDLE |
                        IMAP_CAP_UIDPLUS | IMAP_CAP_MOVE | IMAP_CAP_ESEARCH |
                        IMAP_CAP_LIST_EXTENDED | IMAP_CAP_LIST_STATUS | IMAP_CAP_ENABLE |
                        IMAP_CAP_NAMESPACE,
};

static const struct imap_bit_name imap_caps[] = {
    {"IMAP4REV1", IMAP_CAP_IMAP4REV1},
    {"IMAP4REV2", IMAP_CAP_IMAP4REV2},
    {"STARTTLS", IMAP_CAP_STARTTLS},
    {"LOGINDISABLED", IMAP_CAP_LOGINDISABLED},
    {"SASL-IR", IMAP_CAP_SASL_IR},
    {"LITERAL+", IMAP_CAP_LITERAL_PLUS},
    {"LITERAL-", IMAP_CAP_LITERAL_MINUS},
    {"ID", IMAP_CAP_ID},
    {"IDLE", IMAP_CAP_IDLE},
    {"UIDPLUS", IMAP_CAP_UIDPLUS},
    {"MOVE", IMAP_CAP_MOVE},
    {"ESEARCH", IMAP_CAP_ESEARCH},
    {"SPECIAL-USE", IMAP_CAP_SPECIAL_USE},
    {"XLIST", IMAP_CAP_XLIST},
    {"LIST-EXTENDED", IMAP_CAP_LIST_EXTENDED},
    {"LIST-STATUS", IMAP_CAP_LIST_STATUS},
    {"ENABLE", IMAP_CAP_ENABLE},
    {"CONDSTORE", IMAP_CAP_CONDSTORE},
    {"QRESYNC", IMAP_CAP_QRESYNC | IMAP_CAP_CONDSTORE},
    {"NOTIFY", IMAP_CAP_NOTIFY},
    {"COMPRESS=DEFLATE", IMAP_CAP_COMPRESS},
    {"PARTIAL", IMAP_CAP_PARTIAL},
    {"NAMESPACE", IMAP_CAP_NAMESPACE},
    {"AUTH=PLAIN", IMAP_CAP_AUTH_PLAIN},
    {"AUTH=LOGIN", IMAP_CAP_AUTH_LOGIN},
    {"AUTH=SCRAM-SHA-1", IMAP_CAP_AUTH_SCRAM_SHA_1},
    {"AUTH=SCRAM-SHA-256", IMAP_CAP_AUTH_SCRAM_SHA_256},
    {"AUTH=SCRAM-SHA-1-PLUS", IMAP_CAP_AUTH_SCRAM_SHA_1_PLUS},
    {"AUTH=SCRAM-SHA-256-PLUS", IMAP_CAP_AUTH_SCRAM_SHA_256_PLUS},
    {"AUTH=XOAUTH2", IMAP_CAP_AUTH_XOAUTH2},
    {"AUTH=OAUTHBEARER", IMAP_CAP_AUTH_OAUTHBEARER},
};

static const struct imap_bit_name imap_flags[] = {
    {"\\Seen", IMAP_FLAG_SEEN},       {"\\Answered", IMAP_FLAG_ANSWERED},
    {"\\Flagged", IMAP_FLAG_FLAGGED}, {"\\Deleted", IMAP_FLAG_DELETED},
    {"\\Draft", IMAP_FLAG_DRAFT},     {"\\Recent", IMAP_FLAG_RECENT},
};

static const struct imap_bit_name imap_attrs[] = {
    {"\\All", IMAP_ATTR_ALL},
    {"\\AllMail", IMAP_ATTR_ALL},
    {"\\Archive", IMAP_ATTR_ARCHIVE},
    {"\\Drafts", IMAP_ATTR_DRAFTS},
    {"\\Flagged", IMAP_ATTR_FLAGGED},
    {"\\Starred", IMAP_ATTR_FLAGGED},
    {"\\Junk", IMAP_ATTR_JUNK},
    {"\\Spam", IMAP_ATTR_JUNK},
    {"\\Sent", IMAP_ATTR_SENT},
    {"\\Trash", IMAP_ATTR_TRASH},
    {"\\Important", IMAP_ATTR_IMPORTANT},
    {"\\Inbox", IMAP_ATTR_INBOX},
};

static unsigned imap_bits_find(const struct imap_bit_name *names, size_t count, const char *text,
                               size_t len)
{
    for (size_t i = 0; i < count; i++)
        if (imap_name_is(text, len, names[i].name))
            return names[i].bits;
    return 0;
}

bool imap_name_is(const char *text, size_t len, const char *name)
{
    /* Most names differ in their first byte: 0x20 is what tells upper from lower case. */
    if (len && ((*text ^ *name) & ~0x20))
        return false;
    return strlen(name) == len && !strncasecmp(text, name, len);
}

unsigned imap_cap_parse(const char *name, size_t len)
{
    return imap_bits_find(imap_caps, sizeof imap_caps / sizeof *imap_caps, name, len);
}

/* RFC 9051 appendix A: a server that announces both speaks IMAP4rev1 until ENABLE, and names the
 * extensions it has there. */
unsigned imap_caps_complete(unsigned caps)
{
    bool rev2_alone = caps & IMAP_CAP_IMAP4REV2 && !(caps & IMAP_CAP_IMAP4REV1);
    return rev2_alone ? caps | IMAP_CAPS_OF_REV2 : caps;
}

unsigned imap_flag_parse(const char *name, size_t len)
{
    return imap_bits_find(imap_flags, sizeof imap_flags / sizeof *imap_flags, name, len);
}

unsigned imap_attr_parse(const char *name, size_t len)
{
    return imap_bits_find(imap_attrs, sizeof imap_attrs / sizeof *imap_attrs, name, len);
}

bool imap_status_parse(const char *name, size_t len, enum imap_status *ret_status)
{
    for (enum imap_status status = IMAP_OK; status <= IMAP_PREAUTH; status++)
        if (imap_name_is(name, len, imap_status_names[status])) {
            *ret_status = status;
            return true;
        }
    return false;
}

enum imap_code imap_code_parse(const char *name, size_t len)
{
    for (enum imap_code code = IMAP_CODE_ALERT; code <= IMAP_CODE_MESSAGELIMIT; code++)
        if (imap_name_is(name, len, imap_code_names[code]))
            return code;
    return IMAP_CODE_OTHER;
}

const char *imap_status_name(enum imap_status status)
{
    return imap_status_names[status];
}

const char *imap_code_name(enum imap_code code)
{
    return imap_code_names[code];
}
