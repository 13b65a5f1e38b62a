#include "sink/outbox.h"

enum {
    /* So many mails without suspicion may go out while a suspect waits. */
    OUTBOX_WARY_TURN = 512,
};

void outbox_release(struct outbox *outbox)
{
    sink_mail_list_release(&outbox->queue);
    sink_mail_list_release(&outbox->wary);
    suspects_release(&outbox->suspects);
}

void outbox_add(struct outbox *outbox, struct sink_mail *mail, const uint8_t *payload)
{
    mail->print = suspects_print(payload, mail->payload_len);
    mail->limit = suspects_limit(&outbox->suspects, mail->print);
    mail->losses = suspects_losses(&outbox->suspects, mail->print);
    if (mail->losses)
        sink_mail_list_add_by_suspicion(&outbox->wary, mail);
    else
        sink_mail_list_add(&outbox->queue, mail);
}

void outbox_empty(struct outbox *outbox, struct sink_mail_list *to)
{
    sink_mail_list_join(to, &outbox->queue);
    sink_mail_list_join(to, &outbox->wary);
}

bool outbox_is_alone(const struct sink_mail *mail)
{
    return mail->limit == SUSPECTS_ALONE;
}

/* Mails without suspicion go first, so that none waits behind one that breaks every connection;
 * but suspects have their turn among many, and on the fresh connection that was made for one,
 * unless others still have to show that it works. */
static struct sink_mail *outbox_first(const struct outbox *outbox, bool fresh)
{
    struct sink_mail *suspect = outbox->wary.head;

    if (!suspect || !outbox->queue.head)
        return suspect ? suspect : outbox->queue.head;
    if (outbox->since_wary >= OUTBOX_WARY_TURN || (fresh && outbox_takes_others(outbox, suspect)))
        return suspect;
    return outbox->queue.head;
}

struct sink_mail *outbox_next(const struct outbox *outbox, bool fresh)
{
    struct sink_mail *mail = outbox_first(outbox, fresh);

    if (!mail || outbox->in_flight >= mail->limit)
        return NULL;
    return outbox->limited && outbox->in_flight >= outbox->limit ? NULL : mail;
}

struct sink_mail *outbox_launch(struct outbox *outbox, struct sink_mail *mail)
{
    bool wary = mail == outbox->wary.head;

    sink_mail_list_pop(wary ? &outbox->wary : &outbox->queue);
    outbox->since_wary = wary ? 0 : outbox->since_wary + 1;
    outbox->in_flight++;
    if (mail->limit != SIZE_MAX) {
        if (!outbox->limited++ || mail->limit < outbox->limit)
            outbox->limit = mail->limit;
    }
    return mail;
}

static void outbox_landed(struct outbox *outbox, const struct sink_mail *mail)
{
    outbox->in_flight--;
    if (mail->limit != SIZE_MAX)
        outbox->limited--;
}

void outbox_taken(struct outbox *outbox, const struct sink_mail *mail)
{
    outbox_landed(outbox, mail);
    outbox->taken++;
    outbox->blamed = 0;
    suspects_cleared(&outbox->suspects, mail->print);
}

/* Could the broker have seen any of it? Frames leave in order, so beyond the first that is not
 * wholly with the kernel nothing went out. */
static bool outbox_is_suspect(const struct sink_mail *mail, bool *first_unsent)
{
    if (mail->sent)
        return true;
    bool suspect = mail->written && *first_unsent;
    *first_unsent = false;
    return suspect;
}

size_t outbox_lost(struct outbox *outbox, const struct sink_mail_list *mails)
{
    size_t group = 0;
    bool first_unsent = true;

    for (const struct sink_mail *mail = mails->head; mail; mail = mail->next) {
        outbox_landed(outbox, mail);
        group += outbox_is_suspect(mail, &first_unsent);
    }
    first_unsent = true;
    for (const struct sink_mail *mail = mails->head; mail; mail = mail->next) {
        if (outbox_is_suspect(mail, &first_unsent))
            suspects_lost(&outbox->suspects, mail->print, group, outbox->taken);
    }
    return group;
}

void outbox_put_back(struct outbox *outbox, const struct sink_mail_list *mails)
{
    for (const struct sink_mail *mail = mails->head; mail; mail = mail->next) {
        struct suspect *suspect = suspects_find(&outbox->suspects, mail->print);
        if (suspect)
            suspect->taken = outbox->taken;
    }
}

bool outbox_has_others(const struct outbox *outbox, const struct sink_mail *mail)
{
    return outbox->queue.head ||
           outbox->suspects.count > (suspects_find(&outbox->suspects, mail->print) ? 1U : 0U);
}

bool outbox_takes_others(const struct outbox *outbox, const struct sink_mail *mail)
{
    const struct suspect *suspect = suspects_find(&outbox->suspects, mail->print);
    return suspect && suspect->taken != outbox->taken;
}

/* The last strike is not counted: the same mail from another mailbox needs but that one. */
bool outbox_strike(struct outbox *outbox, const struct sink_mail *mail, bool certain)
{
    struct suspect *suspect = suspects_find(&outbox->suspects, mail->print);

    if (!suspect)
        return false;
    if (suspect->strikes + 1 >= OUTBOX_STRIKES && outbox_takes_others(outbox, mail))
        return true;
    /* Should it be the channel after all, no more than one good mail is held for it. */
    if (certain && suspect->certain + 1 >= OUTBOX_STRIKES &&
        (!outbox->blamed || outbox->blamed == mail->print)) {
        outbox->blamed = mail->print;
        return true;
    }
    if (suspect->strikes + 1 < OUTBOX_STRIKES)
        suspect->strikes++;
    if (certain && suspect->certain + 1 < OUTBOX_STRIKES)
        suspect->certain++;
    return false;
}
