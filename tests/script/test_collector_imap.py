"""imap-collector against scripted IMAP servers: answers that are odd, wrong, hostile or missing.

What is asserted: which mails the broker has and how often, what the server was sent, the exit
code, and what the user is told."""
import pytest

from peers.fixtures import hpfeeds, imap, once, run, spam, start  # noqa: F401
from peers.scripted_imap import CAPABILITIES, DEFAULT, PASSWORD, Folder, without


def body_fetches(server):
    return server.sent("UID FETCH", "BODY.PEEK[]")


# --- how a mail comes ---------------------------------------------------------------------------


def quoted(s, mail, seq):
    text = mail.body.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    s.send(f"* {seq} FETCH (UID {mail.uid} BODY[] \"".encode() + text + b'")\r\n')


def literal8(s, mail, seq):
    s.send(f"* {seq} FETCH (UID {mail.uid} BODY[] ~{{{len(mail.body)}}}\r\n", mail.body, ")\r\n")


def uid_behind(s, mail, seq):
    s.send(f"* {seq} FETCH (BODY[] {{{len(mail.body)}}}\r\n", mail.body,
           f" FLAGS (\\Recent) UID {mail.uid})\r\n")


def origin(s, mail, seq):
    s.send(f"* {seq} FETCH (BODY[]<0> {{{len(mail.body)}}}\r\n", mail.body, f" UID {mail.uid})\r\n")


def lower_case(s, mail, seq):
    s.send(f"* {seq} fetch (uid {mail.uid} body[] {{{len(mail.body)}}}\r\n", mail.body, ")\r\n")


def in_drops(s, mail, seq):
    whole = b"* %d FETCH (UID %d BODY[] {%d}\r\n%b)\r\n" % (seq, mail.uid, len(mail.body), mail.body)
    for at in range(0, len(whole), 7):
        s.send(whole[at:at + 7])


def twice(s, mail, seq):
    s.send_body(mail, seq)
    s.send_body(mail, seq)


def flags_first(s, mail, seq):
    """What another client does to the mail is told in between."""
    s.send(f"* {seq} FETCH (FLAGS (\\Seen))\r\n* {seq} FETCH (UID {mail.uid} FLAGS (\\Seen))\r\n")
    s.send_body(mail, seq)


def noise(s, mail, seq):
    s.send("* 99 EXISTS\r\n* 3 RECENT\r\n* 0 EXPUNGE\r\n* 77 EXPUNGE\r\n* OK Still here\r\n"
           "* FLAGS (\\Seen)\r\n* XWHATEVER 17 (a (b c)) {3}\r\n)\"x\r\n* VANISHED 99:100\r\n"
           "* 4294967295 FETCH (FLAGS ())\r\n* 0 FETCH (UID 0 BODY[] {3}\r\nabc)\r\n")
    s.send_body(mail, seq)
    s.send("* 98 EXISTS\r\n")


def not_asked_for(s, mail, seq):
    for uid in (777, 0, 4294967295):
        s.send(f"* 50 FETCH (UID {uid} BODY[] {{6}}\r\nforged)\r\n")
    s.send("* 51 FETCH (BODY[] {6}\r\nforged)\r\n* 52 FETCH (UID 1 BODY[1.2] {6}\r\nforged)\r\n")
    s.send_body(mail, seq)


WAYS = [quoted, literal8, uid_behind, origin, lower_case, in_drops, twice, flags_first, noise,
        not_asked_for]


def test_every_way_a_body_may_come(imap, hpfeeds, run):
    servers = []
    for way in WAYS:
        mails = [mail.replace(b"Buy", b'"B\\uy"') if way is not quoted
                 else b'Subject: "q" \\ %d' % i for i, mail in enumerate(spam(4, who=way.__name__))]
        servers.append(imap(mails, name=way.__name__))
        for mail in servers[-1].inbox.mails:
            mail.answer = way
    result = run(hpfeeds.feed(), [server.mailbox() for server in servers])
    assert result.code == 0, result
    assert hpfeeds.bodies() == once(mail.body for server in servers for mail in server.inbox.mails)
    for server in servers:
        assert result.row(server.name) == (4, 4, 0, "ok"), result
        assert all(mail.flags == {"\\Seen"} for mail in server.inbox.mails)


@pytest.mark.parametrize("empty", [b"{0}\r\n", b'""', b"~{0}\r\n"])
def test_an_empty_mail_is_a_mail(imap, hpfeeds, run, empty):
    server = imap([b"", *spam(1)])
    server.inbox.mail(1).answer = lambda s, mail, seq: s.send(
        f"* {seq} FETCH (UID 1 BODY[] ".encode() + empty + b")\r\n")
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and hpfeeds.bodies() == once([b"", *spam(1)]), result


@pytest.mark.parametrize("size", [0, 1, 10**6, 2**32 + 5, 2**64, "9.3736e+06", None])
def test_rfc822_size_is_never_believed(imap, hpfeeds, run, size):
    server = imap(spam(5, 3000))
    for mail in server.inbox.mails[1:]:
        mail.size = size
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and hpfeeds.bodies() == once(spam(5, 3000)), result
    assert all(flags == {"\\Seen"} for flags in server.inbox.flags().values())


def test_the_wrong_mail_for_the_right_one(imap, hpfeeds, run):
    """A mail under a UID that was not asked for now is not taken for the one that was."""
    mails = spam(3)
    server = imap(mails)
    server.inbox.mail(2).answer = lambda s, mail, seq: s.send(
        f"* {seq} FETCH (UID 9 BODY[] {{{len(mail.body)}}}\r\n", mail.body, ")\r\n")
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0, result
    assert hpfeeds.bodies() == once([mails[0], mails[2]])
    assert server.inbox.mail(2).flags == set()
    server.well()
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and hpfeeds.bodies() == once(mails), result


# --- a mail that does not come ------------------------------------------------------------------


def refuse_a_set_with(server, uid, words="[CORRUPTION] cannot read it"):
    """FETCH of bodies is answered NO, with nothing, where the set holds the UID."""
    def answer(s, command):
        mails, items, _ = s._mails(command)
        if "BODY" not in items or all(mail.uid != uid for _, mail in mails):
            return DEFAULT
        return s.no(command, words)
    server.on("UID FETCH", answer)


def test_one_mail_of_a_batch_is_refused(imap, hpfeeds, run):
    mails = spam(6)
    server = imap(mails)
    refuse_a_set_with(server, 4)
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and result.row("trap") == (6, 5, 1, "ok"), result
    assert "UID 4" in result.err and "cannot read it" in result.err
    assert "4 (UID BODY.PEEK[])" in body_fetches(server)  # asked alone before it is given up
    assert hpfeeds.bodies() == once(mails[:3] + mails[4:])
    assert server.inbox.mail(4).flags == set() and result.recorded()[4][0] == "held"

    server.well()
    server.forget()
    again = run(hpfeeds.feed(), [server.mailbox()])
    assert again.code == 0 and hpfeeds.bodies() == once(mails), again
    assert body_fetches(server) == ["4 (UID BODY.PEEK[])"]
    assert server.inbox.mail(4).flags == {"\\Seen"}


@pytest.mark.parametrize("answer", [
    b"* 2 FETCH (UID 2 BODY[] NIL)\r\n", b"* 2 FETCH (UID 2)\r\n", b"* 2 FETCH (UID 2 FLAGS ())\r\n"])
def test_ok_without_a_body_holds_the_mail(imap, hpfeeds, run, answer):
    mails = spam(4)
    server = imap(mails)
    server.inbox.mail(2).answer = lambda s, mail, seq: s.send(answer)
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and result.row("trap")[1:3] == (3, 1), result
    assert "UID 2" in result.err and "without a body" in result.err
    assert hpfeeds.bodies() == once([mails[0], *mails[2:]])
    assert server.inbox.mail(2).flags == set()


def expunge_at_fetch(server, uid):
    """Somebody else expunges a mail when we come to its body."""
    def answer(s, command):
        if "BODY" in command.args.decode() and uid in server.inbox.uids():
            at = server.inbox.uids().index(uid)
            del server.inbox.mails[at]
            s.send(f"* {at + 1} EXPUNGE\r\n")
        return DEFAULT
    server.on("UID FETCH", answer)


def test_a_mail_that_is_expunged_meanwhile(imap, hpfeeds, run):
    mails = spam(5)
    server = imap(mails)
    expunge_at_fetch(server, 3)
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and result.row("trap")[1:] == (4, 0, "ok"), result
    assert hpfeeds.bodies() == once(mails[:2] + mails[3:])


def test_a_mail_that_is_expunged_before_its_size(imap, hpfeeds, run):
    mails = spam(5)
    server = imap(mails)
    server.on("UID FETCH", lambda s, c: server.inbox.mails.pop(2) and DEFAULT, times=1)
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and result.row("trap")[1:] == (4, 0, "ok"), result
    assert hpfeeds.bodies() == once(mails[:2] + mails[3:])


def test_sizes_are_refused(imap, hpfeeds, run):
    """Without sizes the bodies come all the same."""
    server = imap(spam(4))
    server.on("UID FETCH", lambda s, c: s.bad(c, "no RFC822.SIZE here"),
              when=lambda c: b"RFC822.SIZE" in c.args)
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and hpfeeds.bodies() == once(spam(4)), result


@pytest.mark.parametrize("words", [
    "[THROTTLED] slow down", "[UNAVAILABLE] the store is away",
    "[LIMIT] Suggested Backoff Time: 10 milliseconds"])
def test_a_fetch_that_is_refused_for_the_moment(imap, hpfeeds, run, words):
    """It is about no mail: the connection is made again later, nothing is held."""
    server = imap(spam(6))
    server.on("UID FETCH", lambda s, c: s.no(c, words), times=1, when=lambda c: b"BODY" in c.args)
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and result.row("trap") == (6, 6, 0, "ok"), result
    assert hpfeeds.bodies() == once(spam(6)) and server.connections == 2
    assert words.split("] ")[1] in result.err


# --- searching ----------------------------------------------------------------------------------

SEARCHES = {
    "search instead of esearch": lambda s, c, uids: s.send("* SEARCH ", " ".join(uids), "\r\n"),
    "descending": lambda s, c, uids: s.send("* SEARCH ", " ".join(reversed(uids)), "\r\n"),
    "in pieces": lambda s, c, uids: [s.send(f"* SEARCH {uid}\r\n") for uid in uids],
    "junk": lambda s, c, uids: s.send("* SEARCH 0 -1 x 9.3736e+06 99999999999 ", " ".join(uids),
                                      " ) (MODSEQ -1)  \r\n"),
    "twice": lambda s, c, uids: s.send("* SEARCH ", " ".join(uids + uids), "\r\n"),
    "esearch descending": lambda s, c, uids: s.send(
        f'* ESEARCH (TAG "{c.tag}") UID ALL {uids[-1]}:{uids[0]}\r\n'),
    "esearch without a tag": lambda s, c, uids: s.send(
        f"* ESEARCH UID COUNT {len(uids)} ALL {','.join(reversed(uids))}\r\n"),
    "uids that are not there": lambda s, c, uids: s.send(
        f'* ESEARCH (TAG "{c.tag}") UID ALL 1:100\r\n'),
}


def test_search_results_of_every_kind(imap, hpfeeds, run):
    servers = []
    for number, (name, answer) in enumerate(SEARCHES.items()):
        server = imap(spam(7, who=f"search{number}"), name=f"search{number}")

        def search(s, command, answer=answer, server=server):
            answer(s, command, [str(uid) for uid in server.inbox.uids()])
            s.ok(command)
        server.on("UID SEARCH", search)
        servers.append(server)
    result = run(hpfeeds.feed(), [server.mailbox() for server in servers])
    assert result.code == 0, result
    assert hpfeeds.bodies() == once(mail.body for server in servers for mail in server.inbox.mails)
    for command in (c for server in servers for c in server.commands if c.name == "UID FETCH"):
        text = command.args.split(b" ")[0].decode()
        ends = [int(end) for part in text.split(",") for end in part.split(":")]
        assert ends == sorted(ends), text  # descending sets are answered BAD by some


LIMITED = {
    "seen": ("seen", CAPABILITIES),
    "keyword": ({"keyword": "Done"}, CAPABILITIES),
    "none": ("none", CAPABILITIES),
    "delete": ("delete", CAPABILITIES),
    "sweep": ("delete", without("UIDPLUS")),
    "move": ({"move": "Done"}, CAPABILITIES),
    "copy": ({"move": "Done"}, without("MOVE")),
}


@pytest.mark.parametrize("limit", [1, 3, 10, 29])
@pytest.mark.parametrize("options", [(), ("-a",)])
def test_a_server_that_limits_the_mails_of_a_command(imap, hpfeeds, run, options, limit):
    """RFC 9738, as of Yahoo: of a search the last ones are looked at, of which none need be new, and
    of a mark, a move or an expunge the last ones are done."""
    servers = {name: imap(spam(30, who=name), capabilities=capabilities, name=name)
               for name, (_, capabilities) in LIMITED.items()}
    mailboxes = []
    for name, server in servers.items():
        server.limit = limit
        server.folders["Done"] = Folder()
        for mail in server.inbox.mails[-5:]:
            mail.flags.add("\\Seen")
        mailboxes.append(server.mailbox(after=LIMITED[name][0]))
    result = run(hpfeeds.feed(), mailboxes, *options)
    assert result.code == 0, result
    taken = 30 if options else 25
    expected = once(mail for name in LIMITED for mail in spam(30, who=name)[:taken])
    assert hpfeeds.bodies() == expected
    result = run(hpfeeds.feed(), mailboxes, *options)
    assert result.code == 0 and hpfeeds.bodies() == expected, result
    flags = {name: server.inbox.flags() for name, server in servers.items()}
    done = range(1, taken + 1)
    assert all("\\Seen" in flags["seen"][uid] for uid in done)
    assert all("Done" in flags["keyword"][uid] for uid in done)
    assert not any(flags["none"][uid] for uid in range(1, 26))
    for name in ("delete", "move", "copy"):
        assert list(flags[name]) == list(range(taken + 1, 31))
    for name in ("move", "copy"):
        assert (once(mail.body for mail in servers[name].folders["Done"].mails) ==
                once(spam(30, who=name)[:taken]))
    # A look for others' mails that is cut short says nothing of those: ours stay, \\Deleted.
    assert all("\\Deleted" in flags["sweep"][uid] for uid in done if uid in flags["sweep"])


@pytest.mark.parametrize("exists", [2, 4294967295])
@pytest.mark.parametrize("step", [-1, 0, 1])
def test_a_limit_without_an_end(imap, hpfeeds, run, exists, step):
    """Each search was cut short, the server says, at the next UID."""
    server = imap(spam(2))
    lowest = 4000000000

    def search(s, command):
        nonlocal lowest
        lowest += step
        s.send(f"* SEARCH 1 2\r\n{command.tag} OK [MESSAGELIMIT 1 {lowest}] more to come\r\n")
    server.on("UID SEARCH", search)
    server.on("SELECT", lambda s, c: s.default(c) or s.send(f"* {exists} EXISTS\r\n"))
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and hpfeeds.bodies() == once(spam(2)), result
    assert len(server.sent("UID SEARCH")) <= (1100 if step < 0 else 5)


@pytest.mark.parametrize("answer", ["NO [INUSE] locked", "BAD what?"])
def test_a_folder_that_cannot_be_searched(imap, hpfeeds, run, answer):
    server = imap(spam(2))
    server.on("UID SEARCH", lambda s, c: s.send(f"{c.tag} {answer}\r\n"))
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 1 and answer.split("] ")[-1] in result.row("trap")[3], result
    assert not hpfeeds.mails and not body_fetches(server)


# --- opening a folder ---------------------------------------------------------------------------


def test_a_folder_that_cannot_be_opened(imap, hpfeeds, run):
    mails = spam(2)
    server = imap(mails)
    server.on("SELECT", lambda s, c: s.no(c, "[NOPERM] not yours"), when=lambda c: b"Bad" in c.args)
    result = run(hpfeeds.feed(), [server.mailbox(folders=["Bad", "INBOX"])])
    assert result.code == 1 and "not yours" in result.row("trap")[3], result
    assert hpfeeds.bodies() == once(mails)  # its other folder is collected
    assert server.names()[-1] == "LOGOUT"


def test_read_only_when_it_was_to_be_marked(imap, hpfeeds, run):
    server = imap(spam(3))
    server.on("SELECT", lambda s, c: s._select(c, read_only=True))
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 1 and "read-only" in result.err, result
    assert hpfeeds.bodies() == once(spam(3)) and result.row("trap")[1] == 3
    again = run(hpfeeds.feed(), [server.mailbox()])
    assert again.code == 1 and hpfeeds.bodies() == once(spam(3)), again


@pytest.mark.parametrize("validity", [b"* OK [UIDVALIDITY 0] x\r\n", b""])
def test_no_uidvalidity(imap, hpfeeds, run, validity):
    server = imap(spam(3))

    def select(s, command):
        s.folder = server.inbox
        s.send(b"* 3 EXISTS\r\n" + validity)
        s.ok(command)
    server.on("SELECT", select)
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and hpfeeds.bodies() == once(spam(3)), result
    assert all(flags == {"\\Seen"} for flags in server.inbox.flags().values())
    again = run(hpfeeds.feed(), [server.mailbox()], "-a")
    assert again.code == 0 and hpfeeds.bodies() == once(spam(3)), again


LISTED = '* LIST (\\HasNoChildren) "/" INBOX\r\n* LIST (\\Junk \\Marked) "/" "Sp&APY-m"\r\n'


@pytest.mark.parametrize("extended", ["OK", "BAD", "NO"])
def test_a_folder_by_its_special_use(imap, hpfeeds, run, extended):
    """LIST RETURN (SPECIAL-USE) may be refused: then a plain LIST has to do."""
    server = imap()
    server.folders["Sp&APY-m"] = junk = Folder(spam(3))

    def listing(s, command):
        if b"RETURN" in command.args and extended != "OK":
            s.send(f"{command.tag} {extended} what?\r\n")
            return
        s.send(LISTED)
        s.ok(command)
    server.on("LIST", listing)
    result = run(hpfeeds.feed(), [server.mailbox(folders=["\\Junk"])])
    assert result.code == 0 and hpfeeds.bodies() == once(spam(3)), result
    assert all(flags == {"\\Seen"} for flags in junk.flags().values())


def test_a_special_use_that_is_not_there(imap, hpfeeds, run):
    server = imap(spam(2))
    result = run(hpfeeds.feed(), [server.mailbox(folders=["\\Junk", "INBOX"])])
    assert result.code == 1 and "\\Junk" in result.row("trap")[3], result
    assert hpfeeds.bodies() == once(spam(2))


# --- marks --------------------------------------------------------------------------------------


def test_a_refused_mark_is_made_up_for_by_the_next_run(imap, hpfeeds, run):
    mails = spam(5)
    server = imap(mails)
    server.on("UID STORE", lambda s, c: s.no(c, "[NOPERM] no flags for you"))
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 1 and result.row("trap")[1] == 5, result
    assert "no flags for you" in result.row("trap")[3] and "marked" in result.row("trap")[3]
    assert hpfeeds.bodies() == once(mails)
    assert len(server.sent("UID STORE")) == 1  # a refusal is not asked for again and again

    server.well()
    server.forget()
    again = run(hpfeeds.feed(), [server.mailbox()])
    assert again.code == 0 and again.row("trap")[:3] == (0, 0, 0), again
    assert hpfeeds.bodies() == once(mails) and not body_fetches(server)
    assert all(flags == {"\\Seen"} for flags in server.inbox.flags().values())


def test_without_uidplus_all_deleted_are_ours(imap, hpfeeds, run):
    server = imap(spam(4), capabilities=without("UIDPLUS"))
    result = run(hpfeeds.feed(), [server.mailbox()], "-d")
    assert result.code == 0 and hpfeeds.bodies() == once(spam(4)), result
    assert server.inbox.mails == [] and server.names().count("EXPUNGE") == 1
    assert "UID EXPUNGE" not in server.names()


@pytest.mark.parametrize("options, seen", [((), ()), (("-a",), ("\\Seen",))])
def test_without_uidplus_somebody_elses_mail_is_spared(imap, hpfeeds, run, options, seen):
    mails = spam(5)
    server = imap(mails, capabilities=without("UIDPLUS"))
    server.inbox.mail(2).flags = {"\\Deleted", "\\Seen"}
    for uid in (1, 3, 4, 5):
        server.inbox.mail(uid).flags = set(seen)
    result = run(hpfeeds.feed(), [server.mailbox(after="delete")], *options)
    assert result.code == 0 and "\\Deleted" in result.err, result
    assert server.inbox.uids() == [1, 2, 3, 4, 5] and "EXPUNGE" not in server.names()
    assert all("\\Deleted" in flags for flags in server.inbox.flags().values())
    count = sum(hpfeeds.bodies().values())

    # Nobody else's is left: the next run finishes what is ours, whether it is selected or not.
    server.inbox.mails.remove(server.inbox.mail(2))
    server.forget()
    again = run(hpfeeds.feed(), [server.mailbox(after="delete")])
    assert again.code == 0 and server.inbox.mails == [], again
    assert sum(hpfeeds.bodies().values()) == count and not body_fetches(server)


def test_only_our_own_mails_are_expunged(imap, hpfeeds, run):
    """A mail that somebody else flags while we work stays."""
    server = imap(spam(4))

    def store(s, command):
        server.inbox.add(b"new and flagged at once", ["\\Deleted", "\\Seen"])
        return DEFAULT
    server.on("UID STORE", store, times=1)
    result = run(hpfeeds.feed(), [server.mailbox()], "-d")
    assert result.code == 0 and server.inbox.uids() == [5], result
    assert hpfeeds.bodies() == once(spam(4))


@pytest.mark.parametrize("capabilities", [CAPABILITIES, without("MOVE"), without("MOVE", "UIDPLUS")])
@pytest.mark.parametrize("target_exists", [True, False])
def test_move(imap, hpfeeds, run, capabilities, target_exists):
    mails = spam(4)
    server = imap(mails, capabilities=capabilities)
    if target_exists:
        server.folders["Done"] = Folder()
    result = run(hpfeeds.feed(), [server.mailbox(after={"move": "Done"})])
    assert result.code == 0 and hpfeeds.bodies() == once(mails), result
    assert server.inbox.mails == []
    assert [mail.body for mail in server.folders["Done"].mails] == mails
    assert server.names().count("CREATE") == (0 if target_exists else 1)


def test_a_target_that_cannot_be_made(imap, hpfeeds, run):
    server = imap(spam(2))
    server.on("CREATE", lambda s, c: s.no(c, "[OVERQUOTA] no more folders"))
    result = run(hpfeeds.feed(), [server.mailbox(after={"move": "Done"})])
    assert result.code == 1 and "no more folders" in result.row("trap")[3], result
    assert hpfeeds.bodies() == once(spam(2)) and server.inbox.uids() == [1, 2]
    server.well()
    again = run(hpfeeds.feed(), [server.mailbox(after={"move": "Done"})])
    assert again.code == 0 and server.inbox.mails == [], again
    assert hpfeeds.bodies() == once(spam(2)) and len(server.folders["Done"].mails) == 2


def test_a_copy_is_not_made_twice(imap, hpfeeds, run):
    """COPY worked, the deletion did not: the next run only deletes."""
    server = imap(spam(3), capabilities=without("MOVE"))
    server.folders["Done"] = Folder()
    server.on("UID STORE", lambda s, c: s.no(c, "[SERVERBUG] not now"))
    first = run(hpfeeds.feed(), [server.mailbox(after={"move": "Done"})])
    assert first.code == 1 and len(server.folders["Done"].mails) == 3, first
    server.well()
    again = run(hpfeeds.feed(), [server.mailbox(after={"move": "Done"})])
    assert again.code == 0 and server.inbox.mails == [], again
    assert len(server.folders["Done"].mails) == 3 and hpfeeds.bodies() == once(spam(3))


# --- logging in ---------------------------------------------------------------------------------


def refuse_login(server, words, status="NO"):
    for name in ("LOGIN", "AUTHENTICATE"):
        server.on(name, lambda s, c: s.send(f"{c.tag} {status} {words}\r\n"))


PASSING = ["[UNAVAILABLE] Temporary authentication failure", "[THROTTLED] slow down",
           "[LIMIT] enough", "[INUSE] somebody is in", "[ALERT] Too many simultaneous connections"]


def test_a_passing_refusal_is_not_a_wrong_password(imap, hpfeeds, run):
    servers = []
    for number, words in enumerate(PASSING):
        servers.append(imap(spam(1), name=f"passing{number}"))
        refuse_login(servers[-1], words)
    once_refused = imap(spam(2), name="once")
    once_refused.on("AUTHENTICATE", lambda s, c: s.no(c, "[UNAVAILABLE] try again"), times=1)
    servers.append(once_refused)

    result = run(hpfeeds.feed(), [server.mailbox() for server in servers])
    assert result.code == 1 and "check username and password" not in result.out, result
    for server, words in zip(servers, PASSING):
        assert words.split("] ")[1] in result.row(server.name)[3]
        assert len(server.logins()) == 3  # bounded
    assert hpfeeds.bodies() == once(spam(2)) and result.row("once")[3] == "ok"


@pytest.mark.parametrize("status", ["NO", "BAD"])
def test_a_server_that_asks_to_wait_is_left_alone(imap, hpfeeds, run, status):
    """Five minutes are more than a pass waits: the next one comes later anyway."""
    server = imap(spam(1))
    refuse_login(server, "Request is throttled. Suggested Backoff Time: 299961 milliseconds", status)
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 1 and "throttled" in result.row("trap")[3], result
    assert "password" not in result.row("trap")[3]
    assert len(server.logins()) == 1


@pytest.mark.parametrize("words", [
    "[AUTHENTICATIONFAILED] Invalid credentials", "[EXPIRED] change your password",
    "[CONTACTADMIN] locked", "wrong"])
def test_a_wrong_password_is_tried_once(imap, hpfeeds, run, words):
    """Accounts get locked by more."""
    server, good = imap(spam(2)), imap(spam(3, who="good"), name="good")
    refuse_login(server, words)
    result = run(hpfeeds.feed(), [server.mailbox(), good.mailbox()])
    assert result.code == 1 and "password" in result.row("trap")[3], result
    assert words.split("] ")[-1] in result.row("trap")[3]
    assert len(server.logins()) == 1 and server.connections == 1
    assert result.row("good")[3] == "ok" and hpfeeds.bodies() == once(spam(3, who="good"))


def test_a_server_that_repeats_the_password(imap, hpfeeds, run):
    server = imap(spam(1), capabilities=without("AUTH=PLAIN"))
    server.on("LOGIN", lambda s, c: s.bad(c, f"LOGIN trap {PASSWORD} is not understood"))
    result = run(hpfeeds.feed(), [server.mailbox()], "--log-level", "debug")
    assert result.code == 1 and "repeat the password" in result.err, result
    for secret in ("pass \"", '"word', "pass \\"):
        assert secret not in result.out + result.err, result


# --- the end at every step ----------------------------------------------------------------------

STEPS = ["AUTHENTICATE", "ID", "SELECT", "UID SEARCH", "UID FETCH", "UID STORE", "LOGOUT"]
ENDS = {
    "bye": lambda s, c: (s.send("* BYE [UNAVAILABLE] shutting down\r\n"), s.close()),
    "bye and silence": lambda s, c: (s.send("* BYE idle for too long\r\n"), s.silence()),
    "end": lambda s, c: s.close(),
    "reset": lambda s, c: s.reset(),
    "garbage": lambda s, c: (s.send(b"\0\xff\x80 {99999999999999999999}\r\n"), s.silence()),
    "not ours": lambda s, c: (s.send("zzzzz99 OK done\r\n"), s.silence()),
}


def test_a_connection_that_ends_at_any_step_is_made_again(imap, hpfeeds, run):
    """Once at every step, in every way: nothing is lost, nothing doubled."""
    servers = []
    for step in STEPS:
        for number, end in enumerate(ENDS.values()):
            name = f"{step.replace(' ', '-')}-{number}"
            server = imap(spam(3, who=name), name=name)
            server.on(step, end, times=1)
            servers.append(server)
    result = run(hpfeeds.feed(), [server.mailbox() for server in servers])
    assert result.code == 0, result
    assert hpfeeds.bodies() == once(mail.body for server in servers for mail in server.inbox.mails)
    for server in servers:
        assert result.row(server.name)[1:] == (3, 0, "ok"), result
        assert all(flags == {"\\Seen"} for flags in server.inbox.flags().values()), server.name
        assert server.connections == (1 if server.name.startswith("LOGOUT") else 2), server.name


def test_a_connection_that_always_ends_is_given_up(imap, hpfeeds, run):
    """Bounded, with the server's words; and what was delivered is not sent again."""
    servers = []
    for step in STEPS[:-1]:
        name = step.replace(" ", "-")
        servers.append(imap(spam(2, who=name), name=name))
        servers[-1].on(step, ENDS["bye"])
    greeting = imap(spam(2, who="greeting"), name="greeting")
    greeting.greeting = lambda s: (s.send("* BYE too busy\r\n"), s.close())
    result = run(hpfeeds.feed(), [server.mailbox() for server in [*servers, greeting]])
    assert result.code == 1 and "too busy" in result.row("greeting")[3], result
    assert greeting.connections == 3
    for server in servers:
        assert "shutting down" in result.row(server.name)[3], result
        assert server.connections <= 4, server.name
    stored = servers[-1]
    assert hpfeeds.bodies() == once(mail.body for mail in stored.inbox.mails)
    assert all(mail.flags == set() for server in servers for mail in server.inbox.mails)


@pytest.mark.parametrize("cut", [lambda s: s.close(), lambda s: s.reset()])
def test_cut_in_the_midst_of_a_mail(imap, hpfeeds, run, cut):
    mails = spam(6, 20000)
    server = imap(mails)
    calls = []

    def half(s, mail, seq):
        calls.append(seq)
        if len(calls) > 1:
            s.send_body(mail, seq)
            return
        s.send(f"* {seq} FETCH (UID {mail.uid} BODY[] {{{len(mail.body)}}}\r\n", mail.body[:9999])
        cut(s)
    server.inbox.mail(4).answer = half
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and hpfeeds.bodies() == once(mails), result
    assert all(flags == {"\\Seen"} for flags in server.inbox.flags().values())
    assert not [sets for sets in body_fetches(server)[1:] if sets.startswith("1:")]


# --- many ---------------------------------------------------------------------------------------


def forever(line):
    """A server that talks on without an end, until the client has had enough."""
    def answer(s, command):
        while True:
            s.send(line * 1000)
    return answer


TROUBLES = [
    lambda server: refuse_login(server, "[AUTHENTICATIONFAILED] no"),
    lambda server: refuse_login(server, "[UNAVAILABLE] later"),
    lambda server: server.on("SELECT", lambda s, c: s.no(c, "no")),
    lambda server: server.on("UID SEARCH", ENDS["reset"]),
    lambda server: server.on("UID FETCH", ENDS["bye"]),
    lambda server: server.on("UID FETCH", ENDS["garbage"]),
    lambda server: server.on("UID STORE", lambda s, c: s.no(c, "no")),
    lambda server: server.on("UID SEARCH", forever(b'* SEARCH "no end of a string ')),
    lambda server: server.on("SELECT", forever(b"no line end ")),
    lambda server: server.on("AUTHENTICATE", forever(b"* OK in a moment\r\n")),
]


def test_a_search_without_an_end(imap, hpfeeds, run):
    server, good = imap(spam(1)), imap(spam(2, who="good"), name="good")

    def search(s, command):
        for first in range(1, 2**32, 20000):
            s.send("* SEARCH ", " ".join(map(str, range(first, first + 20000, 2))), "\r\n")
    server.on("UID SEARCH", search)
    result = run(hpfeeds.feed(), [server.mailbox(), good.mailbox()])
    assert result.code == 1 and "more mails than" in result.row("trap")[3], result
    assert server.connections == 1 and hpfeeds.bodies() == once(spam(2, who="good"))


def test_a_hundred_mailboxes_half_of_them_in_trouble(imap, hpfeeds, run):
    good, bad = [], []
    for number in range(50):
        good.append(imap(spam(4, who=f"good{number}"), name=f"good{number}"))
        bad.append(imap(spam(4, who=f"bad{number}"), name=f"bad{number}"))
        TROUBLES[number % len(TROUBLES)](bad[-1])
    result = run(hpfeeds.feed(), [server.mailbox() for pair in zip(good, bad) for server in pair])
    assert result.code == 1, result
    bodies = hpfeeds.bodies()
    for server in good:
        assert result.row(server.name) == (4, 4, 0, "ok")
        assert all(bodies[mail.body] == 1 for mail in server.inbox.mails)
    for server in bad:
        assert result.row(server.name)[3] != "ok", server.name
    assert max(bodies.values()) == 1
    assert "50 of 100 mailboxes ok" in result.out
