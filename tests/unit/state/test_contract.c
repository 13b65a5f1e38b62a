/* Every promise of state/state.h, kept by every implementation: scripts of changes and what is
 * loaded afterwards, each run with all changes in one commit, with a commit for each, and (on disk)
 * opened anew before each load.
 *
 * F is one of the folders below, H a hash: "a" is 32 times 'a', "A" differs from it in the last
 * byte. "_" is an empty text.
 *   F del UID H NOTE | F rec UID H NOTE | F held UID H NOTE LIMIT | F note UID NOTE | F forget UID
 *   F:V …            the same for the id that F had when it was loaded under UIDVALIDITY V
 *   commit           what was collected since the last one
 *   prune F KEEP
 *   load F V         followed by what is expected of it: UIDdH:NOTE, UIDhH:NOTE:LIMIT, old hashes
 *                    as +H
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "scratch.h"
#include "state/memory.h"
#include "state/sqlite.h"

/* Nine changes of UIDVALIDITY, to 29, with these old hashes all along. */
#define AGE(olds)                                                                                  \
    "load 0 21" olds "\nload 0 22" olds "\nload 0 23" olds "\nload 0 24" olds "\nload 0 25" olds   \
    "\nload 0 26" olds "\nload 0 27" olds "\nload 0 28" olds "\nload 0 29" olds "\n"

static const struct {
    const char *account;
    const char *folder;
} names[] = {
    {"trap@mx.example", "INBOX"},
    {"trap@mx.example", "Junk"},
    {"trap", "@mx.exampleINBOX"},
    {"o'brien\"; DROP TABLE mail; --", "it's \"quoted\" %s"},
    {"tr\xE4p@m\xFC.example", "\xFF\xFE\x80 8-bit"},
    {"tr\xE4p@m\xFC.example", "\xFF\xFE\x81 8-bit"},
    {"", ""},
};

enum {
    FOLDERS = sizeof names / sizeof *names,
    CHANGES_MAX = 32,
    IDS_MAX = 16,
};

static const struct {
    const char *name;
    const char *script;
} cases[] = {
    {"nothing is known of a new folder", "load 0 7\n"
                                         "load 0 7\n"
                                         "load 0 8\n"},
    {"delivered, marked, gone", "load 0 7\n"
                                "0 del 5 a _\ncommit\n"
                                "load 0 7 5da:\n"
                                "0 note 5 seen\ncommit\n"
                                "load 0 7 5da:seen\n"
                                "0 forget 5\ncommit\n"
                                "load 0 7\n"},
    {"ascending by uid, the highest and lowest", "load 0 7\n"
                                                 "0 del 9 a seen\n0 del 4294967295 b _\n"
                                                 "0 del 1 a none\n0 held 3 c big max:1\ncommit\n"
                                                 "load 0 7 1da:none 3hc:big:max:1 9da:seen "
                                                 "4294967295db:\n"},
    {"changes are applied in their order", "load 0 7\n"
                                           "0 del 1 a _\n0 note 1 seen\n0 forget 1\n"
                                           "0 del 2 b _\n0 forget 2\n0 del 2 c _\n"
                                           "0 note 3 seen\n0 del 3 d _\ncommit\n"
                                           "load 0 7 2dc: 3dd:\n"},
    {"adding replaces", "load 0 7\n"
                        "0 held 1 a big max:1\n0 held 2 a big max:1\n0 del 3 a seen\n"
                        "0 del 4 a seen\ncommit\n"
                        "0 held 1 b bigger max:2\n0 del 2 b _\n0 del 3 b _\n"
                        "0 held 4 b late _\ncommit\n"
                        "load 0 7 1hb:bigger:max:2 2db: 3db: 4hb:late:\n"},
    {"a note is set back to none", "load 0 7\n"
                                   "0 del 1 a seen\ncommit\n0 note 1 _\ncommit\n"
                                   "load 0 7 1da:\n"},
    {"what is not there is not noted or forgotten", "load 0 7\n"
                                                    "0 note 1 seen\n0 forget 1\ncommit\n"
                                                    "0 del 2 a _\n0 note 1 seen\n0 forget 3\n"
                                                    "commit\n"
                                                    "load 0 7 2da:\n"},
    {"texts of all kinds", "load 0 7\n"
                           "0 del 1 a move:Gel\xC3\xB6scht/\"x\"\n0 held 2 b it's;--'\" json:1\n"
                           "0 held 3 b \xFF\x80 \xFE\ncommit\n"
                           "load 0 7 1da:move:Gel\xC3\xB6scht/\"x\" 2hb:it's;--'\":json:1 "
                           "3hb:\xFF\x80:\xFE\n"},
    {"folders are apart, whatever their names", "load 0 7\nload 1 7\nload 2 7\nload 3 7\nload 4 7\n"
                                                "load 5 7\nload 6 7\n"
                                                "0 del 1 a _\n1 del 1 b _\n2 del 1 c _\n"
                                                "3 del 1 d _\n4 del 1 e _\n5 del 1 f _\n"
                                                "6 del 1 g _\ncommit\n"
                                                "load 6 7 1dg:\nload 5 7 1df:\nload 4 7 1de:\n"
                                                "load 3 7 1dd:\nload 2 7 1dc:\nload 1 7 1db:\n"
                                                "load 0 7 1da:\n"
                                                "load 1 8 +b\nload 0 7 1da:\n"},
    {"a new uidvalidity: delivered become old, held are forgotten",
     "load 0 7\n"
     "0 del 1 b seen\n0 held 2 c big max:1\n0 del 3 a _\n0 del 4 b _\ncommit\n"
     "load 0 8 +a +b +b\n"
     "load 0 8 +a +b +b\n"},
    {"a series of uidvalidities, 0 and an earlier one among them",
     "load 0 7\n0 del 1 a _\ncommit\n"
     "load 0 0 +a\n0 del 1 b _\ncommit\n"
     "load 0 0 1db: +a\n"
     "load 0 7 +a +b\n0 del 1 c _\ncommit\n"
     "load 0 4294967295 +a +b +c\n"
     "load 0 0 +a +b +c\n"
     "load 0 7 +a +b +c\n"},
    {"old hashes are used up one by one",
     "load 0 7\n"
     "0 del 1 a _\n0 del 2 a _\n0 del 3 A _\n0 del 4 b _\n"
     "commit\n"
     "load 0 8 +A +a +a +b\n"
     "0 rec 1 a _\ncommit\n"
     "load 0 8 1da: +A +a +b\n"
     "0 rec 2 a seen\n0 rec 3 A _\ncommit\n"
     "load 0 8 1da: 2da:seen 3dA: +b\n"
     "0 rec 4 a _\ncommit\n" /* none is left: nothing is used */
     "load 0 8 1da: 2da:seen 3dA: 4da: +b\n"
     "load 0 9 +A +a +a +a +b\n"},
    {"a plain delivery uses no old hash", "load 0 7\n0 del 1 a _\ncommit\n"
                                          "load 0 8 +a\n0 del 1 a _\ncommit\n"
                                          "load 0 8 1da: +a\n"},
    {"old hashes are the folder's own", "load 0 7\nload 1 7\n0 del 1 a _\n1 del 1 a _\ncommit\n"
                                        "load 0 8 +a\nload 1 8 +a\n"
                                        "0 rec 1 a _\ncommit\n"
                                        "load 0 8 1da:\nload 1 8 +a\n"},
    {"pruning keeps what the last eight changes made old",
     "load 0 7\n0 del 10 a _\n0 del 11 b _\ncommit\n"
     "load 0 8 +a +b\n0 del 1 c _\n0 rec 2 b _\ncommit\nprune 0 0\n"
     "load 0 9 +a +b +c\n0 rec 1 c _\ncommit\nprune 0 0\n"
     "load 0 10 +a +b +c\nprune 0 0\nload 0 11 +a +b +c\nload 0 12 +a +b +c\n"
     "load 0 13 +a +b +c\nload 0 14 +a +b +c\nload 0 15 +a +b +c\nprune 0 0\n"
     "load 0 15 +a +b +c\nload 0 16 +a +b +c\nprune 0 0\nload 0 16 +b +c\n"
     "load 0 17 +b +c\nprune 0 0\nload 0 17 +c\nload 0 18 +c\nprune 0 0\nload 0 18\n"},
    {"pruning keeps the newest of the others: last uidvalidity, highest uid",
     "load 0 7\n0 del 10 a _\n0 del 11 b _\ncommit\n"
     "load 0 8 +a +b\n0 del 1 c _\n0 del 2 d _\n0 del 3 e _\ncommit\n" AGE(
         " +a +b +c +d +e") "prune 0 9\nload 0 29 +a +b +c +d +e\n"
                            "prune 0 5\nload 0 29 +a +b +c +d +e\n"
                            "prune 0 4\nload 0 29 +b +c +d +e\n"
                            "prune 0 2\nload 0 29 +d +e\n"
                            "0 del 1 f _\ncommit\n"
                            "prune 0 0\nload 0 29 1df:\n"},
    {"pruning counts what is used up as gone",
     "load 0 7\n0 del 1 a _\n0 del 2 b _\n0 del 3 c _\n"
     "commit\n" AGE(" +a +b +c") "0 rec 1 c _\ncommit\nprune 0 2\n"
                                 "load 0 29 1dc: +a +b\n"
                                 "prune 0 1\nload 0 29 1dc: +b\n"},
    {"pruning is the folder's own", "load 0 7\nload 1 7\n0 del 1 a _\n1 del 1 a _\ncommit\n" AGE(
                                        " +a") "load 1 8 +a\nprune 0 0\n"
                                               "load 0 29\nload 1 8 +a\n"},
    {"late changes: a delivery becomes an old hash, the rest is nothing",
     "load 0 7\n0 del 1 a _\n0 del 2 b _\ncommit\n"
     "load 0 8 +a +b\n0 del 1 c _\ncommit\n"
     "0:7 del 3 d _\n0:7 note 1 seen\n0:7 forget 1\n0:7 held 4 e big max:1\ncommit\n"
     "load 0 8 1dc: +a +b +d\n"
     "0:7 rec 4 a _\ncommit\n" /* its own hash takes the place of the used one */
     "load 0 8 1dc: +a +b +d\n"
     "prune 0 2\n"
     "prune 0:7 0\n"
     "load 0 8 1dc: +a +b +d\n"
     "load 0 9 +a +b +c +d\n"},
    {"a late delivery of a folder of which nothing was known",
     "load 0 7\nload 0 8\n0:7 del 3 d _\ncommit\nload 0 8 +d\nload 0 9 +d\n"},
    {"the same late delivery twice is one", "load 0 7\nload 0 8\n0:7 del 3 d _\n0:7 del 3 d _\n"
                                            "commit\nload 0 8 +d\n"},
};

struct variant {
    const char *name;
    bool disk;
    bool single; /* each change is a commit of its own */
    bool reopen; /* before each load */
};

static const struct variant variants[] = {
    {"memory", false, false, false},
    {"memory, single commits", false, true, false},
    {"sqlite", true, false, false},
    {"sqlite, single commits", true, true, false},
    {"sqlite, opened anew", true, false, true},
};

/* One script being run. */
struct run {
    const struct variant *variant;
    const char *name;
    struct scratch scratch;
    struct state *state;
    struct {
        unsigned folder;
        uint32_t uidvalidity;
        int64_t id;
    } ids[IDS_MAX]; /* in the order of loads */
    size_t id_count;
    struct state_change changes[CHANGES_MAX];
    size_t change_count;
};

static void run_open(struct run *run)
{
    struct err err = {0};
    if (!run->variant->disk)
        run->state = state_memory_new();
    else if (state_sqlite_open(run->scratch.path, &run->state, &err) < 0)
        fail_msg("%s", err.text);
}

static char *run_word(char **rest)
{
    char *word = strsep(rest, " ");
    assert_non_null(word);
    return word;
}

static uint32_t run_number(char **rest)
{
    return (uint32_t)strtoul(run_word(rest), NULL, 10);
}

static const char *run_text(char **rest)
{
    const char *word = run_word(rest);
    return strcmp(word, "_") != 0 ? word : NULL;
}

static void run_hash(char letter, uint8_t *ret_sha256)
{
    memset(ret_sha256, tolower(letter), STATE_SHA256);
    ret_sha256[STATE_SHA256 - 1] = (uint8_t)letter;
}

/* "0", the id of the last load of folder 0, or "0:7", of the last under that uidvalidity. */
static int64_t run_id(const struct run *run, const char *word)
{
    unsigned folder;
    uint32_t uidvalidity = 0;
    int parts = sscanf(word, "%u:%u", &folder, &uidvalidity);
    for (size_t i = run->id_count; i > 0; i--)
        if (run->ids[i - 1].folder == folder &&
            (parts == 1 || run->ids[i - 1].uidvalidity == uidvalidity))
            return run->ids[i - 1].id;
    fail_msg("%s: no such load: %s", run->name, word);
    return 0;
}

static void run_commit(struct run *run)
{
    struct err err = {0};
    size_t step = run->variant->single ? 1 : run->change_count;
    for (size_t i = 0; i < run->change_count; i += step)
        if (state_commit(run->state, run->changes + i, step, &err) < 0)
            fail_msg("%s: %s", run->name, err.text);
    run->change_count = 0;
}

static void run_change(struct run *run, const char *id, char *rest)
{
    static const char *const verbs[] = {
        [STATE_ADD_DELIVERED] = "del", [STATE_ADD_RECOGNISED] = "rec", [STATE_ADD_HELD] = "held",
        [STATE_SET_NOTE] = "note",     [STATE_FORGET] = "forget",
    };
    struct state_change *change = &run->changes[run->change_count++];
    *change = (struct state_change){.folder = run_id(run, id)};
    const char *verb = run_word(&rest);
    while (strcmp(verb, verbs[change->type]) != 0)
        change->type++;
    change->uid = run_number(&rest);
    if (change->type <= STATE_ADD_HELD)
        run_hash(*run_word(&rest), change->sha256);
    if (change->type != STATE_FORGET)
        change->note = run_text(&rest);
    if (change->type == STATE_ADD_HELD)
        change->limit = run_text(&rest);
}

static void run_prune(struct run *run, char *rest)
{
    struct err err = {0};
    int64_t id = run_id(run, run_word(&rest));
    assert_int_equal(state_prune_old(run->state, id, run_number(&rest), &err), 0);
}

static char run_letter(const uint8_t *sha256)
{
    uint8_t expected[STATE_SHA256];
    run_hash((char)sha256[STATE_SHA256 - 1], expected);
    assert_memory_equal(sha256, expected, STATE_SHA256);
    return (char)sha256[STATE_SHA256 - 1];
}

static void run_describe(const struct state_folder *folder, struct buf *out)
{
    for (size_t i = 0; i < folder->count; i++) {
        const struct state_mail *mail = &folder->mails[i];
        assert_ptr_equal(state_folder_find(folder, mail->uid), mail);
        if (i)
            assert_true(mail->uid > mail[-1].uid);
        if (out->len)
            buf_add_byte(out, ' ');
        char letter = run_letter(mail->sha256);
        if (mail->kind == STATE_HELD)
            buf_printf(out, "%uh%c:%s:%s", mail->uid, letter, mail->note, mail->limit);
        else
            buf_printf(out, "%ud%c:%s%s", mail->uid, letter, mail->note, mail->limit);
    }
    for (size_t i = 0; i < folder->old_count; i++)
        buf_printf(out, "%s+%c", out->len ? " " : "", run_letter(folder->old_hashes[i]));
}

static void run_load_as(struct run *run, unsigned number, uint32_t uidvalidity,
                        struct state_folder *ret_folder)
{
    struct err err = {0};
    if (state_load(run->state, names[number].account, names[number].folder, uidvalidity, 1,
                   ret_folder, &err) < 0)
        fail_msg("%s: %s", run->name, err.text);
}

/* Everything that was loaded gets the id it has now. */
static void run_reopen(struct run *run)
{
    uint32_t last[FOLDERS] = {0};
    bool loaded[FOLDERS] = {false};
    for (size_t i = 0; i < run->id_count; i++) {
        last[run->ids[i].folder] = run->ids[i].uidvalidity;
        loaded[run->ids[i].folder] = true;
    }
    state_free(run->state);
    run_open(run);
    run->id_count = 0;
    for (unsigned i = 0; i < FOLDERS; i++) {
        if (!loaded[i])
            continue;
        struct state_folder folder;
        run_load_as(run, i, last[i], &folder);
        run->ids[run->id_count].folder = i;
        run->ids[run->id_count].uidvalidity = last[i];
        run->ids[run->id_count++].id = folder.id;
        state_folder_release(&folder);
    }
}

static void run_load(struct run *run, char *rest)
{
    if (run->variant->reopen)
        run_reopen(run);
    unsigned number = run_number(&rest);
    uint32_t uidvalidity = run_number(&rest);
    struct state_folder folder;
    run_load_as(run, number, uidvalidity, &folder);
    struct buf text = {0};
    run_describe(&folder, &text);
    if (strcmp(buf_cstr(&text), rest ? rest : "") != 0)
        fail_msg("%s (%s): loaded \"%s\", not \"%s\"", run->name, run->variant->name,
                 buf_cstr(&text), rest ? rest : "");
    buf_release(&text);
    run->ids[run->id_count].folder = number;
    run->ids[run->id_count].uidvalidity = uidvalidity;
    run->ids[run->id_count++].id = folder.id;
    state_folder_release(&folder);
}

static void run_script(struct run *run, const char *script)
{
    char *copy = mem_strdup(script), *lines = copy;
    for (char *line; (line = strsep(&lines, "\n")) && *line;) {
        char *first = run_word(&line);
        if (!strcmp(first, "load"))
            run_load(run, line);
        else if (!strcmp(first, "prune"))
            run_prune(run, line);
        else if (!strcmp(first, "commit"))
            run_commit(run);
        else
            run_change(run, first, line);
    }
    free(copy);
}

static void test_scripts(void **state)
{
    const struct variant *variant = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* An id does not outlive the state it is from. */
        if (variant->reopen && strchr(cases[i].script, ':') && strstr(cases[i].script, "0:7"))
            continue;
        struct run run = {.variant = variant, .name = cases[i].name};
        scratch_make(&run.scratch);
        run_open(&run);
        run_script(&run, cases[i].script);
        state_free(run.state);
        scratch_remove(&run.scratch);
    }
}

/* A change of a folder that was never loaded: an error, and none of the others is applied, be it
 * the first thing ever written of its folder. */
static void test_all_or_nothing(void **state)
{
    struct run run = {.variant = *state, .name = "all or nothing"};
    scratch_make(&run.scratch);
    run_open(&run);
    struct state_folder folder;
    run_load_as(&run, 0, 7, &folder);
    struct state_change changes[2] = {{.folder = folder.id, .uid = 1}, {.folder = 0, .uid = 2}};
    state_folder_release(&folder);
    static const int64_t unknown[] = {0, 1, 7, -1, (int64_t)2 << 32 | 7, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        struct err err = {0};
        changes[1].folder = unknown[i];
        assert_int_equal(state_commit(run.state, changes, 2, &err), -1);
        assert_int_equal(err.action, ERR_GIVE_UP);
        assert_true(err.text[0]);
        assert_int_equal(state_prune_old(run.state, unknown[i], 0, &err), -1);
        run_load_as(&run, 0, 7, &folder);
        assert_int_equal(folder.count, 0);
        assert_null(state_folder_find(&folder, 1));
        state_folder_release(&folder);
    }
    assert_int_equal(state_commit(run.state, changes, 1, NULL), 0);
    assert_int_equal(state_commit(run.state, NULL, 0, NULL), 0);
    if (run.variant->disk)
        run_reopen(&run);
    run_load_as(&run, 0, 7, &folder);
    assert_int_equal(folder.count, 1);
    assert_non_null(state_folder_find(&folder, 1));
    assert_null(state_folder_find(&folder, 2));
    state_folder_release(&folder);
    state_free(run.state);
    scratch_remove(&run.scratch);
}

/* Numbers that make every array grow, against a model that is too simple to be wrong. */
static void test_many(void **state)
{
    enum {
        MANY = 5000
    };
    struct run run = {.variant = *state, .name = "many"};
    scratch_make(&run.scratch);
    run_open(&run);
    struct state_folder folder;
    run_load_as(&run, 0, 1, &folder);
    struct state_change *changes = mem_realloc_array(NULL, MANY, sizeof *changes);
    for (uint32_t i = 0; i < MANY; i++) {
        /* 7 and 5000 have no common factor: each uid from 1 to 5000 once, not in order. */
        changes[i] = (struct state_change){.folder = folder.id, .uid = i * 7 % MANY + 1};
        memcpy(changes[i].sha256, &changes[i].uid, sizeof changes[i].uid);
        changes[i].note = i % 3 ? "seen" : NULL;
    }
    state_folder_release(&folder);
    assert_int_equal(state_commit(run.state, changes, MANY, NULL), 0);
    run_load_as(&run, 0, 1, &folder);
    assert_int_equal(folder.count, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        const struct state_mail *mail = state_folder_find(&folder, changes[i].uid);
        assert_int_equal(mail->uid, changes[i].uid);
        assert_memory_equal(mail->sha256, changes[i].sha256, STATE_SHA256);
        assert_string_equal(mail->note, changes[i].note ? changes[i].note : "");
    }
    state_folder_release(&folder);
    run_load_as(&run, 0, 2, &folder);
    assert_int_equal(folder.old_count, MANY);
    for (uint32_t i = 0; i < MANY; i++)
        changes[i] =
            (struct state_change){.type = STATE_ADD_RECOGNISED, .folder = folder.id, .uid = i + 1};
    for (uint32_t i = 0; i < MANY; i++)
        memcpy(changes[i].sha256, folder.old_hashes[i], STATE_SHA256);
    state_folder_release(&folder);
    assert_int_equal(state_commit(run.state, changes, MANY - 1, NULL), 0);
    run_load_as(&run, 0, 2, &folder);
    assert_int_equal(folder.count, MANY - 1);
    assert_int_equal(folder.old_count, 1);
    assert_memory_equal(folder.old_hashes[0], changes[MANY - 1].sha256, STATE_SHA256);
    state_folder_release(&folder);
    free(changes);
    state_free(run.state);
    scratch_remove(&run.scratch);
}

static void test_many_folders(void **state)
{
    enum {
        MANY = 1000
    };
    struct run run = {.variant = *state, .name = "many folders"};
    scratch_make(&run.scratch);
    run_open(&run);
    struct state_change changes[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        char account[32];
        snprintf(account, sizeof account, "trap%u", i * 7 % MANY);
        struct state_folder folder;
        assert_int_equal(state_load(run.state, account, "INBOX", i, 1, &folder, NULL), 0);
        assert_int_equal(folder.count, 0);
        changes[i] = (struct state_change){.folder = folder.id, .uid = i + 1};
        state_folder_release(&folder);
    }
    assert_int_equal(state_commit(run.state, changes, MANY, NULL), 0);
    for (uint32_t i = 0; i < MANY; i++) {
        char account[32];
        snprintf(account, sizeof account, "trap%u", i * 7 % MANY);
        struct state_folder folder;
        assert_int_equal(state_load(run.state, account, "INBOX", i, 1, &folder, NULL), 0);
        assert_int_equal(folder.count, 1);
        assert_int_equal(folder.mails[0].uid, i + 1);
        state_folder_release(&folder);
    }
    state_free(run.state);
    scratch_remove(&run.scratch);
}

/* Many distinct texts: sharing must not mix them up. */
static void test_many_texts(void **state)
{
    enum {
        MANY = 100
    };
    struct run run = {.variant = *state, .name = "many texts"};
    scratch_make(&run.scratch);
    run_open(&run);
    struct state_folder folder;
    run_load_as(&run, 0, 1, &folder);
    int64_t id = folder.id;
    state_folder_release(&folder);
    for (unsigned i = 0; i < MANY; i++) {
        char note[32], limit[32];
        snprintf(note, sizeof note, "reason %u", i % 37);
        snprintf(limit, sizeof limit, "limit %u", i % 5);
        struct state_change change = {
            .type = STATE_ADD_HELD, .folder = id, .uid = i + 1, .note = note, .limit = limit};
        assert_int_equal(state_commit(run.state, &change, 1, NULL), 0);
    }
    run_load_as(&run, 0, 1, &folder);
    for (unsigned i = 0; i < MANY; i++) {
        char note[32], limit[32];
        snprintf(note, sizeof note, "reason %u", i % 37);
        snprintf(limit, sizeof limit, "limit %u", i % 5);
        assert_string_equal(folder.mails[i].note, note);
        assert_string_equal(folder.mails[i].limit, limit);
    }
    state_folder_release(&folder);
    state_free(run.state);
    scratch_remove(&run.scratch);
}

/* Stands from commit to commit, beside changes of folders; the last one counts. */
static void test_proofs(void **state)
{
    struct run run = {.variant = *state, .name = "proofs"};
    struct state_proofs proofs;
    struct state_folder folder;
    scratch_make(&run.scratch);
    run_open(&run);
    assert_int_equal(state_load_proofs(run.state, &proofs, NULL), 0);
    assert_int_equal(proofs.count, 0);
    assert_int_equal(state_proofs_get(&proofs, "trap"), 0);
    run_load_as(&run, 0, 7, &folder);
    const struct state_change changes[] = {
        {.type = STATE_SET_PROOF, .account = "trap", .proof = 2},
        {.folder = folder.id, .uid = 1},
        {.type = STATE_SET_PROOF, .account = "m\xC3\xA4x@h", .proof = 1},
        {.type = STATE_SET_PROOF, .account = "trap", .proof = 1},
        {.type = STATE_SET_PROOF, .account = "a", .proof = 2},
    };
    state_folder_release(&folder);
    assert_int_equal(state_commit(run.state, changes, sizeof changes / sizeof *changes, NULL), 0);
    if (run.variant->disk)
        run_reopen(&run);
    assert_int_equal(state_load_proofs(run.state, &proofs, NULL), 0);
    assert_int_equal(proofs.count, 3);
    assert_int_equal(state_proofs_get(&proofs, "a"), 2);
    assert_int_equal(state_proofs_get(&proofs, "m\xC3\xA4x@h"), 1);
    assert_int_equal(state_proofs_get(&proofs, "trap"), 1);
    assert_int_equal(state_proofs_get(&proofs, "Trap"), 0);
    state_proofs_release(&proofs);
    run_load_as(&run, 0, 7, &folder);
    assert_int_equal(folder.count, 1);
    state_folder_release(&folder);
    state_free(run.state);
    scratch_remove(&run.scratch);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),    cmocka_unit_test(test_all_or_nothing),
        cmocka_unit_test(test_many),       cmocka_unit_test(test_many_folders),
        cmocka_unit_test(test_many_texts), cmocka_unit_test(test_proofs),
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        struct CMUnitTest with_variant[sizeof tests / sizeof *tests];
        memcpy(with_variant, tests, sizeof tests);
        for (size_t j = 0; j < sizeof tests / sizeof *tests; j++)
            with_variant[j].initial_state = (void *)(uintptr_t)&variants[i];
        printf("%s\n", variants[i].name);
        failed += cmocka_run_group_tests(with_variant, NULL, NULL);
    }
    return failed;
}
