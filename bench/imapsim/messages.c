/* Commands on mails that answer without them: search, flags, copies, removal. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "imapsim/command.h"
#include "imapsim/session.h"

static const struct {
    const char *name, *key;
    unsigned flag;
} sim_flags[] = {
    {"\\Answered", "ANSWERED", SIM_FLAG_ANSWERED}, {"\\Flagged", "FLAGGED", SIM_FLAG_FLAGGED},
    {"\\Deleted", "DELETED", SIM_FLAG_DELETED},    {"\\Seen", "SEEN", SIM_FLAG_SEEN},
    {"\\Draft", "DRAFT", SIM_FLAG_DRAFT},
};

enum {
    SIM_FLAGS = sizeof sim_flags / sizeof *sim_flags
};

void sim_flags_add(struct buf *out, unsigned flags)
{
    const char *blank = "";
    buf_add_byte(out, '(');
    for (unsigned i = 0; i < SIM_FLAGS; i++) {
        if (!(flags & sim_flags[i].flag))
            continue;
        buf_printf(out, "%s%s", blank, sim_flags[i].name);
        blank = " ";
    }
    buf_add_byte(out, ')');
}

static unsigned sim_flag_parse(const struct sim_word *word)
{
    for (unsigned i = 0; i < SIM_FLAGS; i++)
        if (sim_word_is(word, sim_flags[i].name))
            return sim_flags[i].flag;
    return 0;
}

void sim_mail_set_flags(struct sim_session *session, struct sim_mail *mail, unsigned flags,
                        bool silent)
{
    if (flags & ~mail->flags & SIM_FLAG_SEEN)
        session->sim->stats.seen++;
    mail->flags = (uint8_t)(flags | (mail->flags & SIM_FLAG_FETCHED));
    sim_folder_note(session->folder, mail->uid, silent ? session : NULL);
}

/* The greatest UID it was told of, for "*". */
static uint32_t sim_session_last(const struct sim_session *session)
{
    const struct sim_folder *folder = session->folder;
    uint32_t index = sim_folder_find(folder, session->told_uidnext);
    return index ? folder->mails[index - 1].uid : 0;
}

static bool sim_take_set(struct sim_session *session, struct sim_words *words,
                         struct sim_set *ret_set)
{
    struct sim_word word;
    return sim_words_next(words, &word) && sim_set_parse(&word, sim_session_last(session), ret_set);
}

/* What a mail must be to be found: all of it. */
struct sim_search {
    struct sim_set uids; /* empty: any */
    unsigned with, without;
    bool nothing; /* a keyword is asked for, and there are none */
    bool extended;
    bool all, count, least, most; /* what RETURN asked for */
};

static bool sim_search_return(struct sim_search *search, struct sim_words *words)
{
    struct sim_word list, item;
    search->extended = true;
    if (!sim_words_take(words, SIM_WORD_LIST, &list))
        return false;
    struct sim_words items = {list.text, list.text + list.len};
    search->all = !list.len;
    while (sim_words_next(&items, &item)) {
        bool all = sim_word_is(&item, "ALL"), count = sim_word_is(&item, "COUNT"),
             least = sim_word_is(&item, "MIN"), most = sim_word_is(&item, "MAX");
        if (!all && !count && !least && !most)
            return false;
        search->all |= all;
        search->count |= count;
        search->least |= least;
        search->most |= most;
    }
    return true;
}

/* SEEN, UNSEEN, NOT SEEN and so on. */
static bool sim_search_flag(struct sim_search *search, const struct sim_word *key, bool negated)
{
    struct sim_word rest = *key;
    bool un = key->len > 2 && strncasecmp(key->text, "UN", 2) == 0;
    if (un) {
        rest.text += 2;
        rest.len -= 2;
    }
    for (unsigned i = 0; i < SIM_FLAGS; i++) {
        if (!sim_word_is(&rest, sim_flags[i].key))
            continue;
        *(un != negated ? &search->without : &search->with) |= sim_flags[i].flag;
        return true;
    }
    return false;
}

static bool sim_search_keyword(struct sim_search *search, struct sim_words *words, bool wanted)
{
    struct sim_word name;
    search->nothing |= wanted;
    return sim_words_next(words, &name);
}

static bool sim_search_key(struct sim_session *session, struct sim_search *search,
                           struct sim_words *words, const struct sim_word *key, bool negated)
{
    struct sim_word next;
    if (sim_word_is(key, "NOT") && !negated)
        return sim_words_next(words, &next) && sim_search_key(session, search, words, &next, true);
    if (sim_word_is(key, "KEYWORD") || sim_word_is(key, "UNKEYWORD"))
        return sim_search_keyword(search, words, (key->len == 7) != negated);
    if (sim_search_flag(search, key, negated))
        return true;
    if (negated)
        return false;
    if (sim_word_is(key, "UID") && !search->uids.count)
        return sim_take_set(session, words, &search->uids);
    if (sim_word_is(key, "RETURN") && session->sim->caps & SIM_CAP_ESEARCH)
        return sim_search_return(search, words);
    if (sim_word_is(key, "CHARSET"))
        return sim_words_next(words, &next);
    return sim_word_is(key, "ALL");
}

static bool sim_search_parse(struct sim_session *session, struct sim_search *search,
                             struct sim_words *words)
{
    struct sim_word key;
    bool any = false;
    while (sim_words_next(words, &key)) {
        if (!sim_search_key(session, search, words, &key, false))
            return false;
        any = true;
    }
    return any && words->at == words->end;
}

static bool sim_search_finds(const struct sim_search *search, const struct sim_mail *mail)
{
    return (mail->flags & search->with) == search->with && !(mail->flags & search->without) &&
           !search->nothing && (!search->uids.count || sim_set_has(&search->uids, mail->uid));
}

static void sim_search_answer(struct sim_session *session, const char *tag,
                              const struct sim_search *search, struct sim_runs *runs,
                              uint32_t count, uint32_t least, uint32_t most)
{
    const char *all = sim_runs_end(runs);
    struct buf answer = {0};
    buf_printf(&answer, "* ESEARCH (TAG \"%s\") UID", tag);
    if (search->least && count)
        buf_printf(&answer, " MIN %u", least);
    if (search->most && count)
        buf_printf(&answer, " MAX %u", most);
    if (search->all && count)
        buf_printf(&answer, " ALL %s", all);
    if (search->count)
        buf_printf(&answer, " COUNT %u", count);
    sim_session_say(session, "%s\r\n", buf_cstr(&answer));
    buf_release(&answer);
}

void sim_command_search(struct sim_session *session, const char *tag, struct sim_words *words)
{
    struct sim_search search = {0};
    struct sim_runs runs = {0};
    struct buf plain = {0};
    const struct sim_folder *folder = session->folder;
    uint32_t count = 0, least = 0, most = 0;
    if (!sim_search_parse(session, &search, words)) {
        sim_session_answer(session, tag, "BAD", "no such search");
        goto out;
    }
    for (uint32_t i = 0; i < folder->count; i++) {
        uint32_t uid = folder->mails[i].uid;
        if (uid >= session->told_uidnext || !sim_search_finds(&search, &folder->mails[i]))
            continue;
        least = count++ ? least : uid;
        most = uid;
        if (search.extended)
            sim_runs_add(&runs, uid);
        else
            buf_printf(&plain, " %u", uid);
    }
    if (search.extended)
        sim_search_answer(session, tag, &search, &runs, count, least, most);
    else
        sim_session_say(session, "* SEARCH%s\r\n", buf_cstr(&plain));
    sim_session_tell(session);
    sim_session_answer(session, tag, "OK", "done");
out:
    sim_set_release(&search.uids);
    sim_runs_release(&runs);
    buf_release(&plain);
}

struct sim_store {
    char sign; /* '+', '-' or ' ' */
    bool silent;
    unsigned flags;
};

static bool sim_store_parse(struct sim_store *store, struct sim_words *words)
{
    struct sim_word item, list, flag;
    if (!sim_words_take(words, SIM_WORD_ATOM, &item) ||
        !sim_words_take(words, SIM_WORD_LIST, &list))
        return false;
    store->sign = *item.text == '+' || *item.text == '-' ? *item.text : ' ';
    if (store->sign != ' ') {
        item.text++;
        item.len--;
    }
    store->silent = sim_word_is(&item, "FLAGS.SILENT");
    struct sim_words flags = {list.text, list.text + list.len};
    while (sim_words_next(&flags, &flag))
        store->flags |= sim_flag_parse(&flag);
    return store->silent || sim_word_is(&item, "FLAGS");
}

static unsigned sim_store_change(const struct sim_store *store, unsigned flags)
{
    if (store->sign == '+')
        return flags | store->flags;
    return store->sign == '-' ? flags & ~store->flags : store->flags;
}

/* Refuses what must not change the folder. */
static bool sim_may_write(struct sim_session *session, const char *tag)
{
    if (session->read_only)
        sim_session_answer(session, tag, "NO", "opened read-only");
    return !session->read_only;
}

void sim_command_store(struct sim_session *session, const char *tag, struct sim_words *words)
{
    struct sim_store store = {0};
    struct sim_set set = {0};
    struct sim_folder *folder = session->folder;
    if (!sim_take_set(session, words, &set) || !sim_store_parse(&store, words)) {
        sim_session_answer(session, tag, "BAD", "not understood");
    } else if (sim_may_write(session, tag)) {
        for (uint32_t i = sim_folder_find(folder, sim_set_least(&set)); i < folder->count; i++) {
            struct sim_mail *mail = &folder->mails[i];
            if (mail->uid < session->told_uidnext && sim_set_has(&set, mail->uid))
                sim_mail_set_flags(session, mail, sim_store_change(&store, mail->flags),
                                   store.silent);
        }
        sim_session_tell(session);
        sim_session_answer(session, tag, "OK", "done");
    }
    sim_set_release(&set);
}

void sim_command_expunge(struct sim_session *session, const char *tag, const struct sim_set *set)
{
    struct sim_folder *folder = session->folder;
    uint32_t before = folder->count;
    if (!sim_may_write(session, tag))
        return;
    sim_folder_expunge(folder, set, session->told_uidnext, SIM_FLAG_DELETED);
    session->sim->stats.expunged += before - folder->count;
    sim_session_tell(session);
    sim_session_answer(session, tag, "OK", "done");
}

/* COPYUID says which became which (RFC 4315 section 3). */
static void sim_transfer(struct sim_session *session, struct sim_folder *to,
                         const struct sim_set *set, char *out_code, size_t cap)
{
    struct sim_folder *from = session->folder;
    struct sim_runs old = {0}, new = {0};
    uint32_t count = from->count, copied = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct sim_mail mail = from->mails[i];
        if (mail.uid >= session->told_uidnext || !sim_set_has(set, mail.uid))
            continue;
        sim_runs_add(&old, mail.uid);
        sim_runs_add(&new, sim_folder_add(to, mail.number, mail.flags));
        copied++;
    }
    char *code =
        mem_printf("[COPYUID %u %s %s] ", to->uidvalidity, sim_runs_end(&old), sim_runs_end(&new));
    bool said = copied && session->sim->caps & SIM_CAP_UIDPLUS && strlen(code) < cap;
    memcpy(out_code, said ? code : "", said ? strlen(code) + 1 : 1);
    free(code);
    sim_runs_release(&old);
    sim_runs_release(&new);
}

/* Parses "set folder" and copies; answers, and returns false, when that is not to be done. */
static bool sim_copy(struct sim_session *session, const char *tag, struct sim_words *words,
                     struct sim_set *ret_set, char *out_code, size_t cap)
{
    struct sim_word name;
    struct sim_folder *to = NULL;
    if (sim_take_set(session, words, ret_set) && sim_words_next(words, &name))
        to = sim_box_folder(session->box, &name);
    if (!to)
        sim_session_answer(session, tag, "NO", "[TRYCREATE] no such folder");
    else
        sim_transfer(session, to, ret_set, out_code, cap);
    if (to)
        sim_folder_notify(to);
    return to;
}

enum {
    SIM_CODE = 8192
};

void sim_command_copy(struct sim_session *session, const char *tag, struct sim_words *words)
{
    struct sim_set set = {0};
    char code[SIM_CODE];
    if (sim_copy(session, tag, words, &set, code, sizeof code)) {
        sim_session_tell(session);
        sim_session_say(session, "%s OK %sdone\r\n", tag, code);
    }
    sim_set_release(&set);
}

/* RFC 6851 section 4.3: COPYUID ahead, in an untagged OK. */
void sim_command_move(struct sim_session *session, const char *tag, struct sim_words *words)
{
    struct sim_set set = {0};
    char code[SIM_CODE];
    if (sim_may_write(session, tag) && sim_copy(session, tag, words, &set, code, sizeof code)) {
        sim_session_say(session, "* OK %smoved\r\n", code);
        sim_folder_expunge(session->folder, &set, session->told_uidnext, 0);
        sim_session_tell(session);
        sim_session_answer(session, tag, "OK", "done");
    }
    sim_set_release(&set);
}
