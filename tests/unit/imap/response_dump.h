/* Runs the response parser over pieces of input and writes what it gives as lines of text, for
 * the unit tests and the fuzz target alike. What a body's pieces were doesn't show. */
#ifndef RESPONSE_DUMP_H
#define RESPONSE_DUMP_H

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "imap/response.h"

struct dump_bit {
    unsigned bit;
    const char *name;
};

static const struct dump_bit dump_caps[] = {
    {IMAP_CAP_IMAP4REV1, "IMAP4REV1"},
    {IMAP_CAP_IMAP4REV2, "IMAP4REV2"},
    {IMAP_CAP_STARTTLS, "STARTTLS"},
    {IMAP_CAP_LOGINDISABLED, "LOGINDISABLED"},
    {IMAP_CAP_SASL_IR, "SASL-IR"},
    {IMAP_CAP_LITERAL_PLUS, "LITERAL+"},
    {IMAP_CAP_LITERAL_MINUS, "LITERAL-"},
    {IMAP_CAP_ID, "ID"},
    {IMAP_CAP_IDLE, "IDLE"},
    {IMAP_CAP_UIDPLUS, "UIDPLUS"},
    {IMAP_CAP_MOVE, "MOVE"},
    {IMAP_CAP_ESEARCH, "ESEARCH"},
    {IMAP_CAP_SPECIAL_USE, "SPECIAL-USE"},
    {IMAP_CAP_XLIST, "XLIST"},
    {IMAP_CAP_LIST_EXTENDED, "LIST-EXTENDED"},
    {IMAP_CAP_LIST_STATUS, "LIST-STATUS"},
    {IMAP_CAP_ENABLE, "ENABLE"},
    {IMAP_CAP_CONDSTORE, "CONDSTORE"},
    {IMAP_CAP_QRESYNC, "QRESYNC"},
    {IMAP_CAP_NOTIFY, "NOTIFY"},
    {IMAP_CAP_COMPRESS, "COMPRESS"},
    {IMAP_CAP_PARTIAL, "PARTIAL"},
    {IMAP_CAP_NAMESPACE, "NAMESPACE"},
    {IMAP_CAP_AUTH_PLAIN, "AUTH=PLAIN"},
    {IMAP_CAP_AUTH_LOGIN, "AUTH=LOGIN"},
    {IMAP_CAP_AUTH_SCRAM_SHA_1, "AUTH=SCRAM-SHA-1"},
    {IMAP_CAP_AUTH_SCRAM_SHA_256, "AUTH=SCRAM-SHA-256"},
    {IMAP_CAP_AUTH_XOAUTH2, "AUTH=XOAUTH2"},
    {IMAP_CAP_AUTH_OAUTHBEARER, "AUTH=OAUTHBEARER"},
    {0, NULL},
};

static const struct dump_bit dump_flags[] = {
    {IMAP_FLAG_SEEN, "Seen"},
    {IMAP_FLAG_ANSWERED, "Answered"},
    {IMAP_FLAG_FLAGGED, "Flagged"},
    {IMAP_FLAG_DELETED, "Deleted"},
    {IMAP_FLAG_DRAFT, "Draft"},
    {IMAP_FLAG_RECENT, "Recent"},
    {0, NULL},
};

static const struct dump_bit dump_attrs[] = {
    {IMAP_ATTR_NOSELECT, "Noselect"},
    {IMAP_ATTR_ALL, "All"},
    {IMAP_ATTR_ARCHIVE, "Archive"},
    {IMAP_ATTR_DRAFTS, "Drafts"},
    {IMAP_ATTR_FLAGGED, "Flagged"},
    {IMAP_ATTR_JUNK, "Junk"},
    {IMAP_ATTR_SENT, "Sent"},
    {IMAP_ATTR_TRASH, "Trash"},
    {IMAP_ATTR_IMPORTANT, "Important"},
    {IMAP_ATTR_INBOX, "Inbox"},
    {0, NULL},
};

static inline void dump_bits(struct buf *out, const char *label, const struct dump_bit *names,
                             unsigned bits)
{
    buf_printf(out, " %s=", label);
    const char *comma = "";
    for (; names->name; names++)
        if (bits & names->bit) {
            buf_printf(out, "%s%s", comma, names->name);
            comma = ",";
        }
}

static inline void dump_bytes(struct buf *out, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++)
        if (bytes[i] >= 0x20 && bytes[i] < 0x7F)
            buf_add_byte(out, bytes[i]);
        else
            buf_printf(out, "\\x%02x", bytes[i]);
}

static inline void dump_string(struct buf *out, const char *label, const char *text, size_t len)
{
    buf_printf(out, " %s=<", label);
    dump_bytes(out, text, len);
    buf_add_str(out, ">");
    if (text && strlen(text) != len)
        buf_add_str(out, "(NUL)");
}

static inline void dump_status(struct buf *out, const struct imap_response *r)
{
    if (r->tagged)
        dump_string(out, "tag", r->tag, strlen(r->tag));
    buf_printf(out, " %s", imap_status_name(r->status));
    if (r->code)
        buf_printf(out, " [%s]", imap_code_name(r->code));
    if (r->code == IMAP_CODE_CAPABILITY)
        dump_bits(out, "caps", dump_caps, r->caps);
    if (r->code == IMAP_CODE_PERMANENTFLAGS) {
        dump_bits(out, "flags", dump_flags, r->flags);
        buf_add_str(out, r->keywords_allowed ? " keywords" : "");
    }
    if (r->number)
        buf_printf(out, " number=%" PRIu64, r->number);
    if (r->code_uid)
        buf_printf(out, " uid=%" PRIu32, r->code_uid);
    dump_string(out, "text", r->text, r->text_len);
}

static inline void dump_list(struct buf *out, const struct imap_response *r)
{
    dump_bits(out, "attrs", dump_attrs, r->attrs);
    dump_string(out, "delimiter", &r->delimiter, r->delimiter ? 1 : 0);
    dump_string(out, "name", r->name, r->name_len);
}

static inline void dump_mailbox_status(struct buf *out, const struct imap_response *r)
{
    dump_string(out, "name", r->name, r->name_len);
    if (r->has_messages)
        buf_printf(out, " messages=%u", r->messages);
    if (r->has_unseen)
        buf_printf(out, " unseen=%u", r->unseen);
    if (r->has_uidnext)
        buf_printf(out, " uidnext=%u", r->uidnext);
    if (r->has_uidvalidity)
        buf_printf(out, " uidvalidity=%u", r->uidvalidity);
}

static inline void dump_numbers(struct buf *out, const struct imap_response *r)
{
    if (r->tag[0])
        dump_string(out, "tag", r->tag, strlen(r->tag));
    if (r->has_count)
        buf_printf(out, " count=%" PRIu64, r->number);
    for (size_t i = 0; i < r->count; i++)
        if (r->type == IMAP_RESPONSE_SEARCH)
            buf_printf(out, " %u", r->numbers[i]);
        else
            buf_printf(out, " %u:%u", r->ranges[i].first, r->ranges[i].last);
    buf_add_str(out, r->last ? "" : " ...");
}

static inline void dump_fetch(struct buf *out, const struct imap_fetch *fetch)
{
    buf_printf(out, " %u", fetch->seq);
    if (fetch->uid)
        buf_printf(out, " uid=%u", fetch->uid);
    if (fetch->has_flags)
        dump_bits(out, "flags", dump_flags, fetch->flags);
    if (fetch->has_size)
        buf_printf(out, " size=%" PRIu64, fetch->size);
    if (fetch->internaldate[0])
        buf_printf(out, " date=<%s>", fetch->internaldate);
    buf_add_str(out, fetch->has_body ? " body" : "");
    buf_add_str(out, fetch->nil_body ? " nil" : "");
}

static inline void dump_response(struct buf *out, const struct imap_response *r)
{
    static const char *const names[] = {
        [IMAP_RESPONSE_STATUS] = "status",
        [IMAP_RESPONSE_CONTINUE] = "continue",
        [IMAP_RESPONSE_CAPABILITY] = "capability",
        [IMAP_RESPONSE_LIST] = "list",
        [IMAP_RESPONSE_MAILBOX_STATUS] = "mailbox",
        [IMAP_RESPONSE_FLAGS] = "flags",
        [IMAP_RESPONSE_SEARCH] = "search",
        [IMAP_RESPONSE_ESEARCH] = "esearch",
        [IMAP_RESPONSE_EXISTS] = "exists",
        [IMAP_RESPONSE_RECENT] = "recent",
        [IMAP_RESPONSE_EXPUNGE] = "expunge",
        [IMAP_RESPONSE_BODY_BEGIN] = "body",
        [IMAP_RESPONSE_FETCH] = "fetch",
        [IMAP_RESPONSE_OTHER] = "other",
    };
    if (r->type == IMAP_RESPONSE_BODY_DATA) {
        dump_bytes(out, r->data, r->data_len);
        return;
    }
    if (r->type == IMAP_RESPONSE_BODY_END) {
        buf_add_str(out, ">\n");
        return;
    }
    buf_add_str(out, names[r->type]);
    switch (r->type) {
    case IMAP_RESPONSE_STATUS:
        dump_status(out, r);
        break;
    case IMAP_RESPONSE_CONTINUE:
    case IMAP_RESPONSE_OTHER:
        dump_string(out, "text", r->text, r->text_len);
        break;
    case IMAP_RESPONSE_CAPABILITY:
        dump_bits(out, "caps", dump_caps, r->caps);
        break;
    case IMAP_RESPONSE_LIST:
        dump_list(out, r);
        break;
    case IMAP_RESPONSE_MAILBOX_STATUS:
        dump_mailbox_status(out, r);
        break;
    case IMAP_RESPONSE_FLAGS:
        dump_bits(out, "flags", dump_flags, r->flags);
        break;
    case IMAP_RESPONSE_SEARCH:
    case IMAP_RESPONSE_ESEARCH:
        dump_numbers(out, r);
        break;
    case IMAP_RESPONSE_BODY_BEGIN:
        buf_printf(out, " %" PRIu64 " <", r->number);
        return;
    case IMAP_RESPONSE_FETCH:
        dump_fetch(out, &r->fetch);
        break;
    default:
        buf_printf(out, " %" PRIu64, r->number);
    }
    buf_add_str(out, "\n");
}

/* Feeds one piece, from memory that is gone afterwards. False on an error, which is written. */
static inline bool dump_feed(struct buf *out, struct imap_parser *parser, const void *data,
                             size_t len)
{
    uint8_t *piece = mem_alloc(len);
    if (len)
        memcpy(piece, data, len);
    imap_parser_feed(parser, piece, len);
    const struct imap_response *response;
    struct err err;
    int result;
    while ((result = imap_parser_next(parser, &response, &err)) > 0)
        dump_response(out, response);
    if (result < 0)
        buf_printf(out, "error: %s\n", err.text);
    free(piece);
    return result == 0;
}

#endif
