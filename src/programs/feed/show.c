#include "programs/feed/show.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "programs/feed/feed.h"
#include "programs/feed/mail.h"

enum {
    SHOW_PIECE = 4096, /* bytes of a payload escaped at once */
    SHOW_FIELD = 240,  /* bytes of a header field's escaped text */
};

int feed_show_init(struct feed_show *show, const struct feed_options *options, struct err *err)
{
    *show = (struct feed_show){.mail = options->mail, .raw = options->raw, .folder = -1};
    if (!options->output)
        return 0;
    show->folder = open(options->output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (show->folder < 0)
        return err_set(err, ERR_GIVE_UP, "%s: %s", options->output, strerror(errno));
    return 0;
}

void feed_show_release(struct feed_show *show)
{
    if (show->folder >= 0)
        close(show->folder);
}

static int show_write_all(int fd, const uint8_t *data, size_t len)
{
    while (len) {
        ssize_t put = write(fd, data, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        data += put;
        len -= (size_t)put;
    }
    return 0;
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
        result = show_write_all(fd, data, len);
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

static int show_as_mail(struct feed_show *show, const struct hpfeeds_frame *frame, struct err *err)
{
    struct feed_mail mail;
    int result = 0;
    feed_mail_init(&mail, frame->payload, frame->payload_len);
    if (mail.hash == FEED_MAIL_HASH_WRONG)
        show->wrong++;
    if (show->raw)
        fwrite(mail.bytes.data, 1, mail.bytes.len, stdout);
    else
        show_mail(frame, &mail);
    if (show->folder >= 0)
        result = show_store(show, mail.bytes.data, mail.bytes.len, mail.sha256, err);
    feed_mail_release(&mail);
    return result;
}

int feed_show_message(struct feed_show *show, const struct hpfeeds_frame *frame, struct err *err)
{
    if (show->mail)
        return show_as_mail(show, frame, err);
    if (show->raw)
        fwrite(frame->payload, 1, frame->payload_len, stdout);
    else
        show_line(frame);
    if (show->folder < 0)
        return 0;
    char sha256[65];
    feed_sha256_hex(sha256, frame->payload, frame->payload_len);
    return show_store(show, frame->payload, frame->payload_len, sha256, err);
}

int feed_show_flush(struct err *err)
{
    if (fflush(stdout) || ferror(stdout))
        return err_set(err, ERR_GIVE_UP, "standard output: %s", strerror(errno));
    return 0;
}
