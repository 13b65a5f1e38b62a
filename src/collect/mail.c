#include "collect/mail.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "collect/budget.h"
#include "collect/env.h"
#include "collect/folder.h"

void mail_offer(struct collect_env *env, struct folder *folder, uint32_t uid, bool foreign_deleted,
                const struct payload_result *result, struct buf *moved_frame, size_t reserved)
{
    struct mail *mail = mem_new(struct mail);
    *mail = (struct mail){
        .env = env,
        .folder = folder,
        .uid = uid,
        .foreign_deleted = foreign_deleted,
        .size = result->mail_size,
        .reserved = moved_frame->cap,
    };
    memcpy(mail->sha256, result->sha256, sizeof mail->sha256);
    mail->next = env->mails;
    if (mail->next)
        mail->next->previous = mail;
    env->mails = mail;
    budget_adjust(env->budget, reserved, mail->reserved);
    budget_add_waiting(env->budget, mail->reserved);
    sink_offer(env->sink, moved_frame, mail);
}

void mail_sent(struct mail *mail)
{
    budget_release_waiting(mail->env->budget, mail->reserved);
    mail->reserved = 0;
}

static void mail_free(struct mail *mail)
{
    if (mail->previous)
        mail->previous->next = mail->next;
    else
        mail->env->mails = mail->next;
    if (mail->next)
        mail->next->previous = mail->previous;
    free(mail);
}

void mail_settled(struct mail *mail, enum sink_outcome outcome, const struct err *err)
{
    mail_sent(mail);
    /* What is taken and not yet on record would be sent twice after a crash: it stays in flight
     * until its record is durable, see folder_committed(). */
    if (outcome != SINK_TAKEN)
        budget_release_slot(mail->env->budget);
    folder_mail_settled(mail->folder, mail, outcome, err);
    mail_free(mail);
}

void mail_retry_all(struct collect_env *env)
{
    struct err err;
    err_set(&err, ERR_RETRY_NOW, "it goes to another broker");
    while (env->mails)
        mail_settled(env->mails, SINK_RETRY, &err);
}

void mail_drop_all(struct collect_env *env)
{
    while (env->mails) {
        env->mails->folder->in_flight--;
        mail_free(env->mails);
    }
}
