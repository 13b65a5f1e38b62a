/* imap/response.h: what a server says, from bytes to responses. No I/O.
 *
 * Understands RFC 3501 and RFC 9051 responses and what their extensions add, as far as a
 * collector meets them; what it does not know it skips, whole and within limits. It is as
 * tolerant of known servers' slips as docs/imap.md says, and strict where memory, time or
 * security hang on it. Bodies and search results stream: a response's memory is bounded by
 * `struct imap_limits`, whatever its size. */
#ifndef IMAP_RESPONSE_H
#define IMAP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "imap/uidset.h"

struct imap_limits {
    size_t text_max;      /* bytes kept of a text or a name: longer texts are cut, responses with
                             longer names are skipped (65,536) */
    unsigned depth_max;   /* nesting of parentheses (32) */
    uint64_t body_max;    /* a body literal longer than this is an error (2^32 - 1) */
    uint64_t skip_max;    /* bytes of one response, but for bodies and numbers, before it is an
                             error (16 MiB) */
    uint64_t numbers_max; /* numbers or ranges in one SEARCH or ESEARCH (4,000,000) */
};

extern const struct imap_limits imap_limits_default;

enum imap_status {
    IMAP_OK,
    IMAP_NO,
    IMAP_BAD,
    IMAP_BYE,
    IMAP_PREAUTH,
};

/* Response codes (RFC 9051 section 7.1, RFC 5530 and others) that a collector acts on; the rest
 * is IMAP_CODE_OTHER. */
enum imap_code {
    IMAP_CODE_NONE,
    IMAP_CODE_OTHER,
    IMAP_CODE_ALERT,
    IMAP_CODE_CAPABILITY,     /* caps */
    IMAP_CODE_PERMANENTFLAGS, /* keywords_allowed: "\*" was among them */
    IMAP_CODE_READ_ONLY,
    IMAP_CODE_READ_WRITE,
    IMAP_CODE_TRYCREATE,
    IMAP_CODE_UIDNEXT,     /* number */
    IMAP_CODE_UIDVALIDITY, /* number */
    IMAP_CODE_UNSEEN,      /* number */
    IMAP_CODE_UIDNOTSTICKY,
    IMAP_CODE_HIGHESTMODSEQ, /* number */
    IMAP_CODE_NOMODSEQ,
    IMAP_CODE_AUTHENTICATIONFAILED,
    IMAP_CODE_AUTHORIZATIONFAILED,
    IMAP_CODE_EXPIRED,
    IMAP_CODE_PRIVACYREQUIRED,
    IMAP_CODE_CONTACTADMIN,
    IMAP_CODE_UNAVAILABLE,
    IMAP_CODE_INUSE,
    IMAP_CODE_LIMIT,
    IMAP_CODE_THROTTLED,
    IMAP_CODE_OVERQUOTA,
    IMAP_CODE_NOPERM,
    IMAP_CODE_NONEXISTENT,
    IMAP_CODE_ALREADYEXISTS,
    IMAP_CODE_CANNOT,
    IMAP_CODE_CLOSED,
    IMAP_CODE_SERVERBUG,
    IMAP_CODE_CLIENTBUG,
    IMAP_CODE_EXPUNGEISSUED,
    IMAP_CODE_APPENDUID,
    IMAP_CODE_COPYUID,
    IMAP_CODE_NOTIFICATIONOVERFLOW, /* RFC 5465: NOTIFY is off, by the server */
    IMAP_CODE_MESSAGELIMIT,         /* number, code_uid (RFC 9738) */
};

/* Capabilities, as bits. */
enum imap_cap {
    IMAP_CAP_IMAP4REV1 = 1u << 0,
    IMAP_CAP_IMAP4REV2 = 1u << 1,
    IMAP_CAP_STARTTLS = 1u << 2,
    IMAP_CAP_LOGINDISABLED = 1u << 3,
    IMAP_CAP_SASL_IR = 1u << 4,
    IMAP_CAP_LITERAL_PLUS = 1u << 5,
    IMAP_CAP_LITERAL_MINUS = 1u << 6,
    IMAP_CAP_ID = 1u << 7,
    IMAP_CAP_IDLE = 1u << 8,
    IMAP_CAP_UIDPLUS = 1u << 9,
    IMAP_CAP_MOVE = 1u << 10,
    IMAP_CAP_ESEARCH = 1u << 11,
    IMAP_CAP_SPECIAL_USE = 1u << 12,
    IMAP_CAP_XLIST = 1u << 13,
    IMAP_CAP_LIST_EXTENDED = 1u << 14,
    IMAP_CAP_LIST_STATUS = 1u << 15,
    IMAP_CAP_ENABLE = 1u << 16,
    IMAP_CAP_CONDSTORE = 1u << 17,
    IMAP_CAP_QRESYNC = 1u << 18,
    IMAP_CAP_NOTIFY = 1u << 19,
    IMAP_CAP_COMPRESS = 1u << 20,
    IMAP_CAP_PARTIAL = 1u << 21,
    IMAP_CAP_NAMESPACE = 1u << 22,
    IMAP_CAP_AUTH_PLAIN = 1u << 23,
    IMAP_CAP_AUTH_LOGIN = 1u << 24,
    IMAP_CAP_AUTH_SCRAM_SHA_1 = 1u << 25,
    IMAP_CAP_AUTH_SCRAM_SHA_256 = 1u << 26,
    IMAP_CAP_AUTH_XOAUTH2 = 1u << 27,
    IMAP_CAP_AUTH_OAUTHBEARER = 1u << 28,
    IMAP_CAP_AUTH_SCRAM_SHA_1_PLUS = 1u << 29,
    IMAP_CAP_AUTH_SCRAM_SHA_256_PLUS = 1u << 30,
};

/* System flags, of messages and of PERMANENTFLAGS, as bits. */
enum imap_flag {
    IMAP_FLAG_SEEN = 1u << 0,
    IMAP_FLAG_ANSWERED = 1u << 1,
    IMAP_FLAG_FLAGGED = 1u << 2,
    IMAP_FLAG_DELETED = 1u << 3,
    IMAP_FLAG_DRAFT = 1u << 4,
    IMAP_FLAG_RECENT = 1u << 5,
};

/* Attributes of LIST (RFC 9051 section 7.3.1, RFC 6154, and XLIST's own), as bits. */
enum imap_attr {
    IMAP_ATTR_NOSELECT = 1u << 0, /* \Noselect or \NonExistent */
    IMAP_ATTR_ALL = 1u << 1,      /* \All, XLIST's \AllMail */
    IMAP_ATTR_ARCHIVE = 1u << 2,
    IMAP_ATTR_DRAFTS = 1u << 3,
    IMAP_ATTR_FLAGGED = 1u << 4, /* \Flagged, XLIST's \Starred */
    IMAP_ATTR_JUNK = 1u << 5,    /* \Junk, XLIST's \Spam */
    IMAP_ATTR_SENT = 1u << 6,
    IMAP_ATTR_TRASH = 1u << 7,
    IMAP_ATTR_IMPORTANT = 1u << 8,
    IMAP_ATTR_INBOX = 1u << 9, /* XLIST's \Inbox */
};

enum imap_response_type {
    IMAP_RESPONSE_STATUS,         /* OK, NO, BAD, BYE, PREAUTH: tagged or not */
    IMAP_RESPONSE_CONTINUE,       /* "+": text */
    IMAP_RESPONSE_CAPABILITY,     /* caps */
    IMAP_RESPONSE_LIST,           /* LIST, LSUB or XLIST */
    IMAP_RESPONSE_MAILBOX_STATUS, /* STATUS */
    IMAP_RESPONSE_FLAGS,          /* FLAGS of SELECT: flags */
    IMAP_RESPONSE_SEARCH,         /* some numbers of a SEARCH; `last` on the final part */
    IMAP_RESPONSE_ESEARCH,        /* some ranges of an ESEARCH; `last` on the final part */
    IMAP_RESPONSE_EXISTS,         /* number */
    IMAP_RESPONSE_RECENT,         /* number */
    IMAP_RESPONSE_EXPUNGE,        /* number */
    /* Of a FETCH: a body of `number` bytes follows; 0 where that is not known beforehand, as of a
     * quoted string. */
    IMAP_RESPONSE_BODY_BEGIN,
    IMAP_RESPONSE_BODY_DATA, /* data, data_len: a piece, as it stands in the input */
    IMAP_RESPONSE_BODY_END,
    IMAP_RESPONSE_FETCH, /* the end of a FETCH: all it said */
    /* ID, ENABLED, NAMESPACE, VANISHED, QUOTA …, and what makes no sense though it begins as one
     * of the above: `text` is its name in upper case ("" if it has none), up to 31 bytes of it. */
    IMAP_RESPONSE_OTHER,
};

enum {
    IMAP_NUMBERS = 256
};

/* What a FETCH said. UID may stand behind the body, so a body is nameless until its FETCH. */
struct imap_fetch {
    uint32_t seq;
    uint32_t uid; /* 0: not said */
    bool has_flags;
    unsigned flags; /* enum imap_flag */
    bool has_size;
    uint64_t size;         /* RFC822.SIZE: a hint, servers lie */
    bool has_body;         /* BODY_BEGIN … BODY_END came before this, whole */
    bool nil_body;         /* BODY[] NIL: the server has no body to give */
    char internaldate[32]; /* as sent, escaped; "" when not said */
};

/* One response, or a part of a streamed one. Pointers are valid until the next call. */
struct imap_response {
    enum imap_response_type type;
    bool tagged; /* STATUS: `tag` tells whose */
    /* Of a tagged response, and the one that an ESEARCH names; cut when longer, which no tag of
     * ours is. */
    char tag[32];
    enum imap_status status;
    enum imap_code code;
    /* STATUS (behind its code), CONTINUE: the words as sent, unescaped, NUL-terminated; NULs
     * among them are left out. Longer than text_max they are cut. */
    const char *text;
    size_t text_len;
    unsigned caps;     /* enum imap_cap; CAPABILITY, and STATUS with that code */
    uint64_t number;   /* see the types and codes */
    uint32_t code_uid; /* MESSAGELIMIT: the lowest UID that was seen to; 0: it does not say */
    bool keywords_allowed;
    unsigned flags;
    /* LIST, STATUS: the mailbox's name as sent (decoded from quoting), NUL-terminated, without NUL
     * in it, but possibly with anything else. */
    const char *name;
    size_t name_len;
    char delimiter;                                              /* LIST: 0 for NIL */
    unsigned attrs;                                              /* LIST: enum imap_attr */
    bool has_messages, has_unseen, has_uidnext, has_uidvalidity; /* STATUS */
    uint32_t messages, unseen, uidnext, uidvalidity;
    const uint32_t *numbers;         /* SEARCH */
    const struct imap_range *ranges; /* ESEARCH's ALL */
    size_t count;
    bool last;
    bool has_count;      /* ESEARCH COUNT: number */
    const uint8_t *data; /* BODY_DATA */
    size_t data_len;
    struct imap_fetch fetch;
};

struct imap_parser;

struct imap_parser *imap_parser_new(const struct imap_limits *limits);
void imap_parser_free(struct imap_parser *parser);
/* Gives it input, which stays valid until imap_parser_next() has returned 0 (all of it is taken
 * then) or imap_parser_rest() was asked for what is left. */
void imap_parser_feed(struct imap_parser *parser, const uint8_t *data, size_t len);
/* 1 and a response, the parser's own and valid until the next call; 0: all input is taken, needs
 * more; -1: the server broke the protocol or a limit (ERR_RETRY_LATER): the connection is of no use
 * any more, and every further call fails. */
int imap_parser_next(struct imap_parser *parser, const struct imap_response **ret_response,
                     struct err *err);
/* How many bytes of the last input are not taken yet. */
size_t imap_parser_rest(const struct imap_parser *parser);
/* Did it return -1 in the midst of a FETCH? *ret_uid is what that had named by then; 0: no mail. */
bool imap_parser_broke_in_fetch(const struct imap_parser *parser, uint32_t *ret_uid);
/* Is it between two responses, with nothing taken of the next? */
bool imap_parser_idle(const struct imap_parser *parser);

/* The bits of one capability's name, 0 if unknown; any case. QRESYNC brings that of CONDSTORE. */
unsigned imap_cap_parse(const char *name, size_t len);
/* All that a server announced, and what comes with it unsaid: IMAP4rev2 without IMAP4rev1 has the
 * extensions that RFC 9051 folded in. */
unsigned imap_caps_complete(unsigned caps);
/* "\Junk" → IMAP_ATTR_JUNK, 0 if it is not a special use; any case. */
unsigned imap_attr_parse(const char *name, size_t len);
const char *imap_status_name(enum imap_status status);
/* "ALERT"; for logs. */
const char *imap_code_name(enum imap_code code);

#endif
