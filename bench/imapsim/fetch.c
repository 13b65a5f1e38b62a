/* FETCH, in portions: a mail is made when the peer has read those before it. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "imapsim/command.h"
#include "imapsim/session.h"
#include "net/conn.h"

enum {
    SIM_FETCH_AHEAD = 256 * 1024, /* bytes that wait for the peer */

    SIM_ITEM_FLAGS = 1,
    SIM_ITEM_SIZE = 2,
    SIM_ITEM_DATE = 4,
    SIM_ITEM_BODY = 8,
    SIM_ITEM_SEEN = 16, /* the body was not just peeked at */
};

struct sim_fetch {
    struct sim_set set;
    unsigned items;
    uint32_t next; /* UID to look at next */
};

static const struct {
    const char *name;
    unsigned items;
} sim_items[] = {
    {"UID", 0},
    {"FLAGS", SIM_ITEM_FLAGS},
    {"RFC822.SIZE", SIM_ITEM_SIZE},
    {"INTERNALDATE", SIM_ITEM_DATE},
    {"BODY.PEEK[]", SIM_ITEM_BODY},
    {"BODY[]", SIM_ITEM_BODY | SIM_ITEM_SEEN},
    {"RFC822", SIM_ITEM_BODY | SIM_ITEM_SEEN},
    {NULL, 0},
};

static bool sim_item_parse(const struct sim_word *word, unsigned *items)
{
    for (unsigned i = 0; sim_items[i].name; i++) {
        if (!sim_word_is(word, sim_items[i].name))
            continue;
        *items |= sim_items[i].items;
        return true;
    }
    return false;
}

static bool sim_items_parse(struct sim_words *words, unsigned *items)
{
    struct sim_word word;
    if (!sim_words_next(words, &word))
        return false;
    if (word.kind != SIM_WORD_LIST)
        return sim_item_parse(&word, items);
    struct sim_words list = {word.text, word.text + word.len};
    while (sim_words_next(&list, &word))
        if (!sim_item_parse(&word, items))
            return false;
    return list.at == list.end;
}

void sim_fetch_free(struct sim_fetch *fetch)
{
    if (!fetch)
        return;
    sim_set_release(&fetch->set);
    free(fetch);
}

void sim_command_fetch(struct sim_session *session, const char *tag, struct sim_words *words)
{
    const struct sim_folder *folder = session->folder;
    uint32_t seen = sim_folder_find(folder, session->told_uidnext);
    struct sim_fetch *fetch = mem_new(struct sim_fetch);
    struct sim_word word;
    if (!sim_words_next(words, &word) ||
        !sim_set_parse(&word, seen ? folder->mails[seen - 1].uid : 0, &fetch->set) ||
        !sim_items_parse(words, &fetch->items)) {
        sim_session_answer(session, tag, "BAD", "not understood");
        sim_fetch_free(fetch);
        return;
    }
    fetch->next = sim_set_least(&fetch->set);
    session->fetch = fetch;
    session->tag = mem_strdup(tag);
}

/* Counts, and with BODY[] marks as seen. */
static void sim_fetch_took_body(struct sim_session *session, struct sim_mail *mail)
{
    bool again = mail->flags & SIM_FLAG_FETCHED;
    *(again ? &session->sim->stats.refetched : &session->sim->stats.fetched) += 1;
    mail->flags |= SIM_FLAG_FETCHED;
    if (session->fetch->items & SIM_ITEM_SEEN && !session->read_only &&
        !(mail->flags & SIM_FLAG_SEEN))
        sim_mail_set_flags(session, mail, mail->flags | SIM_FLAG_SEEN, false);
}

static void sim_fetch_mail(struct sim_session *session, struct sim_mail *mail)
{
    struct sim *sim = session->sim;
    struct buf *line = &sim->line, *body = &sim->body;
    unsigned items = session->fetch->items;
    buf_clear(line);
    buf_clear(body);
    if (items & (SIM_ITEM_BODY | SIM_ITEM_SIZE))
        sim_mail_add(&sim->mails, session->box->number, mail->number, body);
    buf_printf(line, "* %u FETCH (UID %u",
               sim_folder_sequence(session->folder, session->told_count, mail->uid), mail->uid);
    if (items & SIM_ITEM_FLAGS) {
        buf_add_str(line, " FLAGS ");
        sim_flags_add(line, mail->flags);
    }
    if (items & SIM_ITEM_DATE)
        buf_add_str(line, " INTERNALDATE \" 1-Jan-2026 00:00:00 +0000\"");
    if (items & SIM_ITEM_SIZE)
        buf_printf(line, " RFC822.SIZE %zu", body->len);
    if (items & SIM_ITEM_BODY) {
        buf_printf(line, " BODY[] {%zu}\r\n", body->len);
        buf_add(line, body->data, body->len);
        sim_fetch_took_body(session, mail);
    }
    buf_add_str(line, ")\r\n");
    net_conn_write(session->conn, line->data, line->len);
}

bool sim_fetch_go_on(struct sim_session *session)
{
    struct sim_fetch *fetch = session->fetch;
    struct sim_folder *folder = session->folder;
    for (uint32_t i = sim_folder_find(folder, fetch->next);
         i < folder->count && folder->mails[i].uid < session->told_uidnext; i++) {
        if (net_conn_queued(session->conn) > SIM_FETCH_AHEAD)
            return false;
        fetch->next = folder->mails[i].uid + 1;
        if (sim_set_has(&fetch->set, folder->mails[i].uid))
            sim_fetch_mail(session, &folder->mails[i]);
    }
    sim_session_tell(session);
    sim_session_answer(session, session->tag, "OK", "done");
    sim_fetch_free(fetch);
    free(session->tag);
    session->fetch = NULL;
    session->tag = NULL;
    sim_folder_notify(folder);
    sim_counted(session->sim);
    return true;
}
