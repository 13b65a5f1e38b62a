#include "programs/feed/show.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "programs/feed/archive.h"
#include "programs/feed/exec.h"
#include "programs/feed/feed.h"
#include "programs/feed/file.h"
#include "programs/feed/mail.h"

enum {
    SHOW_PIECE = 4096, /* bytes of a payload escaped at once */
    SHOW_FIELD = 240,  /* bytes of a header field's escaped text */
};

int feed_show_init(struct feed_show *show, const struct feed_options *options, struct err *err)
{
    *show = (struct feed_show){
        .mail = options->mail || options->maildir,
        .raw = options->raw,
        .json = options->json,
        .command = options->command,
        .folder = -1,
    };
    if (options->maildir && feed_archive_open(options->maildir, &show->archive, err))
        return -1;
    if (!options->output)
        return 0;
    show->folder = open(options->output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (show->folder < 0)
        return err_set(err, ERR_GIVE_UP, "%s: %s", options->output, strerror(errno));
    return 0;
}

void feed_show_release(struct feed_show *show)
{
    feed_archive_free(show->archive);
    if (show->folder >= 0)
        close(show->folder);
}

/* Links the finished file to the first name that is free: nothing is ever written over. */
static int show_link(struct feed_show *show, const char *from, const char *data_name,
                     const char *ending)
{
    char stamp[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc))
        strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &utc);
    int result;
    do {
        char *name = mem_printf("%s-%06u-%.16s%s", stamp, show->sequence++, data_name, ending);
        result = linkat(show->folder, from, show->folder, name, 0);
        free(name);
    } while (result && errno == EEXIST);
    return result;
}

/* A file appears whole or not at all. */
static int show_store(struct feed_show *show, const uint8_t *data, size_t len, const char *sha256,
                      struct err *err)
{
    char *draft = mem_printf(".%ld-%u.part", (long)getpid(), show->sequence);
    int result = -1, error;
    int fd = openat(show->folder, draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
        result = feed_file_write(fd, data, len);
        error = errno;
        if (close(fd) && !result) {
            result = -1;
            error = errno;
        }
        errno = error;
        if (!result)
            result = show_link(show, draft, sha256, show->mail ? ".eml" : ".payload");
        error = errno;
        unlinkat(show->folder, draft, 0);
        errno = error;
    }
    if (result)
        err_set(err, ERR_GIVE_UP, "--output: cannot write: %s", strerror(errno));
    free(draft);
    return result;
}

/* The length of the next piece: not in the middle of a character, if it can be helped. */
static size_t show_piece(const uint8_t *data, size_t len)
{
    if (len <= SHOW_PIECE)
        return len;
    size_t piece = SHOW_PIECE;
    while (piece > SHOW_PIECE - 4 && (data[piece] & 0xC0) == 0x80)
        piece--;
    return piece;
}

static void show_escaped(const void *text, size_t len)
{
    char out[4 * SHOW_PIECE + 4];
    for (const uint8_t *at = text; len;) {
        size_t piece = show_piece(at, len);
        fputs(text_escape_utf8(out, sizeof out, at, piece), stdout);
        at += piece;
        len -= piece;
    }
}

static void show_line(const struct hpfeeds_frame *frame)
{
    fputs("publish to ", stdout);
    show_escaped(frame->channel, frame->channel_len);
    fputs(" by ", stdout);
    show_escaped(frame->ident, frame->ident_len);
    fputs(": ", stdout);
    show_escaped(frame->payload, frame->payload_len);
    putchar('\n');
}

static void show_field(const struct feed_mail *mail, const char *label, const char *name)
{
    struct buf value = {0};
    char safe[SHOW_FIELD];
    bool there = feed_mail_header(mail, name, &value);
    printf(", %s %s", label,
           there ? text_escape_utf8(safe, sizeof safe, value.data, value.len) : "(none)");
    buf_release(&value);
}

static void show_mail(const struct hpfeeds_frame *frame, const struct feed_mail *mail)
{
    show_escaped(frame->channel, frame->channel_len);
    fputs(" by ", stdout);
    show_escaped(frame->ident, frame->ident_len);
    printf(": %zu bytes, ", mail->bytes.len);
    switch (mail->hash) {
    case FEED_MAIL_HASH_OK:
        fputs("hash ok", stdout);
        break;
    case FEED_MAIL_HASH_WRONG:
        fputs("HASH WRONG", stdout);
        break;
    case FEED_MAIL_HASH_NONE:
        printf("sha256 %.16s", mail->sha256);
        break;
    }
    show_field(mail, "from", "From");
    show_field(mail, "subject", "Subject");
    putchar('\n');
}

/* A payload that is not UTF-8 is base64. */
static void show_json(const struct hpfeeds_frame *frame)
{
    bool text = text_is_utf8(frame->payload, frame->payload_len);
    struct buf base64 = {0};
    if (!text)
        base64_encode(&base64, frame->payload, frame->payload_len);
    const char *payload = text ? (const char *)frame->payload : buf_cstr(&base64);
    json_t *line =
        json_pack("{s:s%, s:s%, s:s%}", "ident", frame->ident, frame->ident_len, "channel",
                  frame->channel, frame->channel_len, text ? "payload" : "payload_base64", payload,
                  text ? frame->payload_len : base64.len);
    if (line) /* names that are not UTF-8 come from no sound broker */
        json_dumpf(line, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII);
    putchar('\n');
    json_decref(line);
    buf_release(&base64);
}

static int show_archive(struct feed_show *show, const struct feed_mail *mail, struct err *err)
{
    int added =
        feed_archive_add(show->archive, mail->bytes.data, mail->bytes.len, mail->sha256, err);
    if (added > 0 && mail->hash == FEED_MAIL_HASH_WRONG)
        log_warning(NULL, "the hash of %s was another one on its way", mail->sha256);
    return added < 0 ? -1 : 0;
}

static int show_run(struct feed_show *show, const struct hpfeeds_frame *frame, const uint8_t *data,
                    size_t len, const char *sha256, struct err *err)
{
    if (!show->command)
        return 0;
    int result = feed_exec(show->command, frame, data, len, sha256, err);
    if (result > 0) {
        show->failed++;
        log_error(NULL, "%s", err->text);
    }
    return result < 0 ? -1 : 0;
}

static int show_as_mail(struct feed_show *show, const struct hpfeeds_frame *frame, struct err *err)
{
    struct feed_mail mail;
    int result = 0;
    feed_mail_init(&mail, frame->payload, frame->payload_len);
    if (mail.hash == FEED_MAIL_HASH_WRONG)
        show->wrong++;
    if (show->archive)
        result = show_archive(show, &mail, err);
    else if (show->raw)
        fwrite(mail.bytes.data, 1, mail.bytes.len, stdout);
    else if (show->json)
        show_json(frame);
    else if (!show->command)
        show_mail(frame, &mail);
    if (!result && show->folder >= 0)
        result = show_store(show, mail.bytes.data, mail.bytes.len, mail.sha256, err);
    if (!result)
        result = show_run(show, frame, mail.bytes.data, mail.bytes.len, mail.sha256, err);
    feed_mail_release(&mail);
    return result;
}

static void show_payload(const struct feed_show *show, const struct hpfeeds_frame *frame)
{
    if (show->raw)
        fwrite(frame->payload, 1, frame->payload_len, stdout);
    else if (show->json)
        show_json(frame);
    else if (!show->command)
        show_line(frame);
}

int feed_show_message(struct feed_show *show, const struct hpfeeds_frame *frame, struct err *err)
{
    char sha256[65];
    if (show->mail)
        return show_as_mail(show, frame, err);
    show_payload(show, frame);
    if (show->folder >= 0) {
        feed_sha256_hex(sha256, frame->payload, frame->payload_len);
        if (show_store(show, frame->payload, frame->payload_len, sha256, err))
            return -1;
    }
    return show_run(show, frame, frame->payload, frame->payload_len, NULL, err);
}

int feed_show_flush(struct err *err)
{
    if (fflush(stdout) || ferror(stdout))
        return err_set(err, ERR_GIVE_UP, "standard output: %s", strerror(errno));
    return 0;
}
