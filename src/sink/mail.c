#include "sink/mail.h"

#include <stdlib.h>

void sink_mail_free(struct sink_mail *mail)
{
    if (!mail)
        return;
    block_unref(mail->block);
    free(mail);
}

void sink_mail_list_add(struct sink_mail_list *list, struct sink_mail *mail)
{
    mail->next = NULL;
    if (list->tail)
        list->tail->next = mail;
    else
        list->head = mail;
    list->tail = mail;
    list->count++;
}

static bool sink_mail_is_more_suspect(const struct sink_mail *mail, const struct sink_mail *than)
{
    return mail->losses != than->losses ? mail->losses > than->losses
                                        : mail->payload_len > than->payload_len;
}

void sink_mail_list_add_by_suspicion(struct sink_mail_list *list, struct sink_mail *mail)
{
    struct sink_mail **link = &list->head;

    if (!list->tail || !sink_mail_is_more_suspect(list->tail, mail)) {
        sink_mail_list_add(list, mail);
        return;
    }
    while (!sink_mail_is_more_suspect(*link, mail))
        link = &(*link)->next;
    mail->next = *link;
    *link = mail;
    list->count++;
}

struct sink_mail *sink_mail_list_pop(struct sink_mail_list *list)
{
    struct sink_mail *mail = list->head;
    if (!mail)
        return NULL;
    list->head = mail->next;
    if (!list->head)
        list->tail = NULL;
    list->count--;
    mail->next = NULL;
    return mail;
}

void sink_mail_list_join(struct sink_mail_list *list, struct sink_mail_list *from)
{
    struct sink_mail *mail;
    while ((mail = sink_mail_list_pop(from)))
        sink_mail_list_add(list, mail);
}

void sink_mail_list_release(struct sink_mail_list *list)
{
    struct sink_mail *mail;
    while ((mail = sink_mail_list_pop(list)))
        sink_mail_free(mail);
}
