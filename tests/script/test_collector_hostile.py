"""imap-collector against IMAP servers that mean harm: to the pass, to other people's mail, to the
memory, to the terminal.

What is asserted: that the pass ends, that other mailboxes get their mail, that nothing is lost,
doubled or removed undelivered, and what the user is told."""
import base64
import json
import threading

import pytest

from peers.fixtures import hpfeeds, imap, once, plain, real_memory, run, spam, start  # noqa: F401
from peers.scripted_imap import DEFAULT, Folder, Mail, format_set, without


def is_body(command):
    return b"BODY" in command.args


def asks_deleted(command):
    return command.args.endswith(b"DELETED")


# --- bodies that nobody asked for ----------------------------------------------------------------


def begin_a_body(s, command):
    """It goes on with the next command: that of the next folder, where this one is through."""
    s.default(command)
    s.send(b"* 1 FETCH (UID 5 BODY[] {100000}\r\n", b"x" * 1000)
    s.read_line()
    s.send(b"y" * 99000, b")\r\n")


@pytest.mark.parametrize("name, count", [
    ("SELECT", 2), ("UID SEARCH", 0), ("UID SEARCH", 2), ("UID STORE", 2)])
def test_a_body_that_nobody_asked_for(imap, hpfeeds, run, name, count):
    server, good = imap(spam(count)), imap(spam(3, who="good"), name="good")
    server.folders["Two"] = Folder(spam(2, who="two"))
    server.on(name, begin_a_body, times=1)
    result = run(hpfeeds.feed(), [server.mailbox(folders=["INBOX", "Two"]), good.mailbox()])
    assert result.code == 1 and "nobody asked for" in result.row("trap")[3], result
    assert result.row("good") == (3, 3, 0, "ok") and server.connections == 1
    server.well()
    result = run(hpfeeds.feed(), [server.mailbox(folders=["INBOX", "Two"])])
    assert result.code == 0, result
    assert hpfeeds.bodies() == once(spam(count) + spam(2, who="two") + spam(3, who="good"))


@pytest.mark.parametrize("name", ["AUTHENTICATE", "LOGOUT"])
def test_a_body_outside_of_all_folders(imap, hpfeeds, run, name):
    server = imap(spam(2))

    def answer(s, command):
        s.send(b"* 1 FETCH (UID 1 BODY[] {6}\r\nforged)\r\n")
        return DEFAULT
    server.on(name, answer)
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert hpfeeds.bodies() in (once([]), once(spam(2))), result
    server.well()
    run(hpfeeds.feed(), [server.mailbox()])
    assert hpfeeds.bodies() == once(spam(2))


# --- UIDs that name nothing ----------------------------------------------------------------------

VALIDITIES = {
    "missing": ("", ""),
    "zero": ("* OK [UIDVALIDITY 0] x\r\n", "* OK [UIDVALIDITY 0] x\r\n"),
    "wide": ("* OK [UIDVALIDITY 4294967297] x\r\n", "* OK [UIDVALIDITY 8589934593] x\r\n"),
    "wider": ("* OK [UIDVALIDITY 18446744073709551617] x\r\n", "* OK [UIDVALIDITY 1] x\r\n"),
    "garbage": ("* OK [UIDVALIDITY 17 x\r\n", "* OK [UIDVALIDITY x] x\r\n"),
    "negative": ("* OK [UIDVALIDITY -1] x\r\n", "* OK [UIDVALIDITY 4294967295] x\r\n"),
    "not sticky": ("* OK [UIDVALIDITY 17] x\r\n* NO [UIDNOTSTICKY] new ones each time\r\n",) * 2,
}


def say_at_opening(server, lines):
    def answer(s, command):
        s.folder = server.inbox
        s.send(f"* {len(server.inbox.mails)} EXISTS\r\n", lines)
        s.ok(command, "[READ-WRITE] done")
    server.on("SELECT", answer)
    server.on("EXAMINE", answer)


def test_another_mail_under_a_uid_that_is_known(imap, hpfeeds, run):
    """Without a UIDVALIDITY it must not be taken for the one that was delivered, and deleted."""
    servers = []
    for name, (first, _) in VALIDITIES.items():
        servers.append(imap(spam(3, who=name), name=name))
        say_at_opening(servers[-1], first)
    result = run(hpfeeds.feed(), [server.mailbox(after="none") for server in servers], "-a")
    assert result.code == 0, result

    for server, (name, (_, second)) in zip(servers, VALIDITIES.items()):
        mails = spam(5, who=name)
        server.inbox.mails = [Mail(1, mails[3]), Mail(2, mails[1]), Mail(3, mails[4])]
        say_at_opening(server, second)
    result = run(hpfeeds.feed(), [server.mailbox(after="delete") for server in servers], "-a")
    assert result.code == 0, result
    assert hpfeeds.bodies() == once(mail for name in VALIDITIES for mail in spam(5, who=name))
    assert not any(server.inbox.mails for server in servers)


def test_uids_that_name_nothing_are_remembered_by_content(imap, hpfeeds, run):
    servers = []
    for name, (first, _) in VALIDITIES.items():
        servers.append(imap(spam(3, who=name), name=name))
        say_at_opening(servers[-1], first)
    for _ in range(3):
        result = run(hpfeeds.feed(), [server.mailbox(after="none") for server in servers], "-a")
        assert result.code == 0, result
    assert hpfeeds.bodies() == once(mail for name in VALIDITIES for mail in spam(3, who=name))


def test_a_search_that_is_cut_makes_nothing_forgotten(imap, hpfeeds, run):
    server = imap(spam(4))
    assert run(hpfeeds.feed(), [server.mailbox(after="none")], "-a").code == 0

    def search(s, command):
        s.send(f'* ESEARCH (TAG "{command.tag}") UID ALL 1:2\r\n')
        s.ok(command, "[MESSAGELIMIT 2] that is all for now")
    server.on("UID SEARCH", search)
    assert run(hpfeeds.feed(), [server.mailbox(after="none")], "-a").code == 0
    server.well()
    result = run(hpfeeds.feed(), [server.mailbox(after="none")], "-a")
    assert result.code == 0 and hpfeeds.bodies() == once(spam(4)), result


SHORT = {
    "nothing": [],
    "an empty result": ["* SEARCH\r\n"],
    "a part": ["* SEARCH 1 3\r\n"],
    "another part": ['* ESEARCH (TAG "{tag}") UID ALL 4\r\n'],
}


@pytest.mark.parametrize("options", [[], ["-a"]])
def test_a_search_that_leaves_mails_out_makes_nothing_forgotten(imap, hpfeeds, run, options):
    """It says OK, and gives less than there is by the server's own account."""
    servers = [imap(spam(4, who=name), name=name) for name in SHORT]
    mailboxes = [server.mailbox(after="none") for server in servers]
    assert run(hpfeeds.feed(), mailboxes, *options).code == 0

    def search(lines):
        def answer(s, command):
            if b"UNSEEN" in command.args:
                return DEFAULT
            for line in lines:
                s.send(line.replace("{tag}", command.tag))
            return s.ok(command)
        return answer
    for server, lines in zip(servers, SHORT.values()):
        server.on("UID SEARCH", search(lines))
    assert run(hpfeeds.feed(), mailboxes, *options).code == 0
    for server in servers:
        server.well()
    result = run(hpfeeds.feed(), mailboxes, *options)
    assert result.code == 0, result
    assert hpfeeds.bodies() == once(mail for name in SHORT for mail in spam(4, who=name))
    # What is gone is forgotten all the same.
    for server in servers:
        server.inbox.mails = []
    assert run(hpfeeds.feed(), mailboxes, *options).recorded() == {}


@pytest.mark.parametrize("options", [[], ["-a"]])
def test_a_folder_whose_size_is_not_told(imap, hpfeeds, run, options):
    """It is opened without EXISTS: an empty search then says nothing of what is gone."""
    server = imap(spam(4))
    assert run(hpfeeds.feed(), [server.mailbox(after="none")], *options).code == 0

    def opening(s, command):
        s.folder = server.inbox
        s.send("* OK [UIDVALIDITY 4711] x\r\n")
        s.ok(command, "[READ-ONLY] done")
    server.on("EXAMINE", opening)
    server.on("UID SEARCH", lambda s, c: s.send("* SEARCH\r\n") or s.ok(c))
    assert run(hpfeeds.feed(), [server.mailbox(after="none")], *options).code == 0
    server.well()
    result = run(hpfeeds.feed(), [server.mailbox(after="none")], *options)
    assert result.code == 0 and hpfeeds.bodies() == once(spam(4)), result


# --- other people's mail -------------------------------------------------------------------------

DELETED = {
    "nothing": (None, ""),
    "an empty line": ([], ""),
    "cut": ([1, 2, 3], "[MESSAGELIMIT 3] "),
    "ours in part": ([1, 2], ""),
    "ours and another": ([1, 2, 3, 4], ""),
    "as many as ours": ([1, 2, 4], ""),
    "others alone": ([4, 5], ""),
}


def say_of_deleted(server, uids, code):
    def search(s, command):
        if uids is not None:
            s.send("* SEARCH", "".join(f" {uid}" for uid in uids), "\r\n")
        s.ok(command, f"{code}done")
    server.on("UID SEARCH", search, when=asks_deleted)


@pytest.mark.parametrize("after", ["delete", {"move": "Done"}])
def test_a_plain_expunge_spares_other_peoples_mail(imap, hpfeeds, run, after):
    """It removes all that is \\Deleted: what the server says of that has to be just our own."""
    servers = []
    for name, (uids, code) in DELETED.items():
        servers.append(imap(spam(5, who=name), capabilities=without("UIDPLUS", "MOVE", "ESEARCH"),
                            name=name))
        servers[-1].folders["Done"] = Folder()
        for uid in (4, 5):
            servers[-1].inbox.mail(uid).flags |= {"\\Deleted", "\\Seen"}
        say_of_deleted(servers[-1], uids, code)
    ours = once(mail for name in DELETED for mail in spam(5, who=name)[:3])
    result = run(hpfeeds.feed(), [server.mailbox(after=after) for server in servers])
    assert result.code == 0 and hpfeeds.bodies() == ours, result
    assert result.err.count("stay flagged \\Deleted") == len(servers), result
    for server in servers:
        assert server.inbox.uids() == [1, 2, 3, 4, 5], server.name
        assert "EXPUNGE" not in server.names(), server.name
        # When others' are gone, and it can be seen, the next run finishes.
        server.well()
        del server.inbox.mails[3:]
    result = run(hpfeeds.feed(), [server.mailbox(after=after) for server in servers])
    assert result.code == 0 and hpfeeds.bodies() == ours, result
    for server in servers:
        assert server.inbox.mails == [], server.name
        assert len(server.folders["Done"].mails) == (0 if after == "delete" else 3)


# --- what the user is shown ----------------------------------------------------------------------

NAMES = [b'"J\x1b]0;owned\x07\x1b[2J&AAo-line2"', b'"J&AJs-31m&IC4-gnp"', b"{7}\r\nJ\x1b[2J\rX"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("options", [["--check"], ["--log-level", "debug"]])
def test_a_folders_name_does_not_reach_the_terminal(imap, hpfeeds, start, name, options):
    server = imap()

    def listing(s, command):
        s.send(b'* LIST (\\Junk) "/" ', name, b"\r\n")
        s.ok(command)
    server.on("LIST", listing)
    server.on("STATUS", lambda s, c: s.no(c, "no \x1b[31msuch\x9b folder"))
    server.on("SELECT", lambda s, c: s.no(c, "no \x1b[31msuch\x9b folder"))
    result = start(hpfeeds.feed(), [server.mailbox(folders=["\\Junk"])], *options).wait()
    assert result.code == 1 and "folder" in result.out, result
    assert plain(result.out) and plain(result.err), (result.out, result.err)


def test_alerts_are_shown_and_soon_no_more(imap, hpfeeds, run):
    server = imap(spam(2))

    def alert(s, command):
        s.send(b"* NO [ALERT] \x1b[31mpay\x07 now\r\n" * 10)
        return DEFAULT
    for name in ("AUTHENTICATE", "SELECT", "UID STORE"):
        server.on(name, alert)
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and hpfeeds.bodies() == once(spam(2)), result
    assert result.err.count("alert") == 3 and "\\x1b[31mpay" in result.err, result
    assert plain(result.err)


SECRET = "hunter2-of-the-trap"
ECHOES = {
    "select": lambda server, words: server.on("SELECT", lambda s, c: s.no(c, words)),
    "search": lambda server, words: server.on("UID SEARCH", lambda s, c: s.no(c, words)),
    "fetch": lambda server, words: server.on(
        "UID FETCH", lambda s, c: s.no(c, words), when=is_body),
    "busy": lambda server, words: server.on("UID FETCH", lambda s, c: s.no(c, "[INUSE] " + words)),
    "store": lambda server, words: server.on("UID STORE", lambda s, c: s.no(c, words)),
    "alert": lambda server, words: server.on(
        "SELECT", lambda s, c: s.send(f"* OK [ALERT] {words}\r\n") or DEFAULT),
    "bye": lambda server, words: server.on(
        "UID FETCH", lambda s, c: s.send(f"* BYE {words}\r\n") or s.close()),
    "bad": lambda server, words: server.on("ID", lambda s, c: s.bad(c, words)),
}


@pytest.mark.parametrize("options", [["--log-level", "debug"],
                                     ["--log-level", "debug", "--log-format", "json"]])
def test_a_password_that_is_repeated_is_not_shown(imap, hpfeeds, run, options):
    forms = [SECRET, base64.b64encode(SECRET.encode()).decode(),
             base64.b64encode(b"\0trap\0" + SECRET.encode()).decode()]
    servers = []
    for place, arrange in ECHOES.items():
        for number, form in enumerate(forms):
            servers.append(imap(spam(2, who=f"{place}{number}"), name=f"{place}{number}"))
            arrange(servers[-1], f"{form} is no password for this")
    result = run(hpfeeds.feed(), [server.mailbox(password=SECRET) for server in servers], *options)
    assert result.code == 1 and "repeat the password" in result.err, result
    notes = " ".join(note for _, note in result.recorded().values())
    for form in forms:
        assert form not in result.out + result.err + notes, result


# Where a line that breaks the protocol is quoted, in part.
BREAKS = {
    "tag": lambda form: f"{form} hello\r\n",
    "word": lambda form: f"* {form} {'(' * 40}\r\n",
    "size": lambda form: f"* 1 FETCH (BODY[] {{{form}}}\r\n",
}


@pytest.mark.parametrize("secret", [SECRET, 'p"ss\\w\x7frd', "0815", SECRET * 3])
def test_a_password_in_a_line_that_is_none_is_not_shown(imap, hpfeeds, run, secret):
    """Nor in capitals, nor its beginning; nor where it is a folder's name."""
    forms = [secret, base64.b64encode(b"\0trap\0" + secret.encode()).decode()]
    servers = []
    for place, line in BREAKS.items():
        for number, form in enumerate(forms):
            server = imap(spam(1), name=f"{place}-{number}")
            server.on("SELECT", lambda s, c, line=line(form): s.send(line))
            servers.append(server)
    # A name that could be any word is taken.
    name = secret if len(secret) > 7 else "Spam"
    named = imap(spam(1), name="named")
    named.on("LIST", lambda s, c: s.send('* LIST (\\Junk) "/" {%d}\r\n%s\r\n' % (len(name), name))
             or s.ok(c))
    result = run(hpfeeds.feed(), [*(server.mailbox(password=secret) for server in servers),
                                  named.mailbox(password=secret, folders=["\\Junk"])],
                 "--log-level", "debug")
    assert result.code == 1 and result.err.count("repeat the password") >= 5, result
    written = (result.out + result.err + result.state.read_bytes().decode("latin-1")).lower()
    for form in (*forms, json.dumps(secret)[1:-1], secret.replace("\x7f", "\\x7f")):
        assert form.lower()[:14] not in written, (form, result)


# --- no end --------------------------------------------------------------------------------------


def claim(server, count):
    """A folder with so many mails, by its own account."""
    def opening(s, command):
        s.folder = server.inbox
        s.send(f"* {count} EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n")
        s.ok(command)

    def search(s, command):
        s.send(f'* ESEARCH (TAG "{command.tag}") UID ALL 1:{count}\r\n')
        s.ok(command)
    server.on("SELECT", opening)
    server.on("UID SEARCH", search)


def finds_more_than_there_is(server):
    claim(server, 2**32 - 1)
    server.on("SELECT", lambda s, c: DEFAULT)
    server.on("UID FETCH", lambda s, c: s.ok(c))


def refuses_all(server):
    claim(server, 3000)
    server.on("UID FETCH", lambda s, c: s.no(c, "x" * 200))


def sizes(s, command):
    for part in command.args.split(b" ")[0].decode().split(","):
        first, _, last = part.partition(":")
        s.send("".join(f"* {uid} FETCH (UID {uid} FLAGS () RFC822.SIZE 9)\r\n"
                       for uid in range(int(first), int(last or first) + 1)))
    s.ok(command)


def refuses_bodies(server):
    claim(server, 3000)
    server.on("UID FETCH", lambda s, c: s.no(c, "[CORRUPTION] it is broken"), when=is_body)
    server.on("UID FETCH", sizes, when=lambda c: not is_body(c))


def gives_no_sizes(server):
    claim(server, 6000)
    server.on("UID FETCH", lambda s, c: s.ok(c))


def gives_no_bodies(server):
    claim(server, 6000)
    server.on("UID FETCH", lambda s, c: s.ok(c), when=is_body)
    server.on("UID FETCH", sizes, when=lambda c: not is_body(c))


def sends_strays(server):
    def strays(s, mail, seq):
        while True:
            s.send(b"* 1 FETCH (UID 99 BODY[] {4096}\r\n", b"x" * 4096, b")\r\n")
    server.inbox.mail(1).answer = strays


def sends_strays_without_a_name(server):
    def strays(s, mail, seq):
        while True:
            s.send(b"* 1 FETCH (BODY[] {4}\r\nabcd)\r\n")
    server.inbox.mail(1).answer = strays


def gives_one_mail_a_connection(server):
    def fetch(s, command):
        s.default(command)
        server.inbox.add(b"From: more\r\n\r\nnumber %d\r\n" % s.number)
        s.read_line()
        s.close()
    server.on("UID FETCH", fetch, when=is_body)


ENDLESS = {
    finds_more_than_there_is: "more mails than it says",
    refuses_all: "does not give it out",
    refuses_bodies: "it is broken",
    gives_no_sizes: "gives out none",
    gives_no_bodies: "gives out none",
    sends_strays: "nobody asked for",
    sends_strays_without_a_name: "nobody asked for",
    gives_one_mail_a_connection: "ended the connection",
}


def test_servers_without_an_end(imap, hpfeeds, run):
    """Each fails its own mailbox, and what is recorded about it stays small."""
    servers = {}
    for arrange in ENDLESS:
        name = arrange.__name__
        servers[name] = imap(spam(1, who=name), name=name)
        arrange(servers[name])
    good = imap(spam(20, who="good"), name="good")
    result = run(hpfeeds.feed(), [server.mailbox() for server in [*servers.values(), good]])
    assert result.code == 1 and result.row("good") == (20, 20, 0, "ok"), result
    for arrange, words in ENDLESS.items():
        server = servers[arrange.__name__]
        assert words in result.row(server.name)[3], result
        assert server.connections <= (20 if arrange is gives_one_mail_a_connection else 3)
    for name in ("refuses_all", "refuses_bodies"):
        assert 0 < result.row(name)[2] <= 110, result

    assert not hpfeeds.doubled()
    many = servers["gives_one_mail_a_connection"]
    assert many.connections > 3 and len(hpfeeds.bodies()) == many.connections + 20
    assert len(result.recorded()) <= 110 and result.state.stat().st_size < 1 << 20


# --- limits that are meant well, and such that are not -------------------------------------------


@pytest.mark.parametrize("status", ["OK", "NO"])
def test_a_limit_of_messages(imap, hpfeeds, run, status):
    """Each FETCH gives the first two of its mails (RFC 9738)."""
    server = imap(spam(9))

    def fetch(s, command):
        mails, items, _ = s._mails(command)
        command.args = f"{format_set([mail.uid for _, mail in mails[:2]])} {items}".encode()
        tag, command.tag = command.tag, "*"
        s.default(command)
        limited = "[MESSAGELIMIT 2] " if len(mails) > 2 else ""
        s.send(f"{tag} {status if limited else 'OK'} {limited}done\r\n")
    server.on("UID FETCH", fetch)
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and result.row("trap") == (9, 9, 0, "ok"), result
    assert hpfeeds.bodies() == once(spam(9))
    assert all(flags == {"\\Seen"} for flags in server.inbox.flags().values())


def test_a_limit_of_messages_that_lets_none_through(imap, hpfeeds, run):
    server = imap(spam(3))
    server.on("UID FETCH", lambda s, c: s.ok(c, "[MESSAGELIMIT 1] no more"))
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.row("trap")[1:3] == (0, 3) and not hpfeeds.mails, result
    assert all(flags == set() for flags in server.inbox.flags().values())
    server.well()
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and hpfeeds.bodies() == once(spam(3)), result


def test_a_folder_that_is_in_use_for_a_moment(imap, hpfeeds, run):
    server = imap(spam(3))
    server.folders["Two"] = Folder(spam(3, who="two"))
    server.on("SELECT", lambda s, c: s.no(c, "[INUSE] locked"), times=1)
    result = run(hpfeeds.feed(), [server.mailbox(folders=["INBOX", "Two"])])
    assert result.code == 0 and result.row("trap") == (6, 6, 0, "ok"), result
    assert hpfeeds.bodies() == once(spam(3) + spam(3, who="two")) and server.connections == 2
    assert "locked" in result.err


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("opening", ["{4294967295}\r\n", "{9000000}\r\n", '"'])
def test_a_body_that_trickles_stops_nobody_else(imap, hpfeeds, run, opening):
    """Others' mail, large and small, comes while three bodies have begun and do not go on."""
    hpfeeds.frame_max = 64 << 20
    begun = threading.Semaphore(0)
    mails = spam(20, who="good") + spam(1, 3000000, who="large")
    good = imap(mails, name="good")

    def trickle(s, mail, seq):
        s.send(f"* {seq} FETCH (UID {mail.uid} BODY[] {opening}".encode(), b"z" * 4096)
        begun.release()
        good.wait_for(lambda: "LOGOUT" in good.names())
        s.server.well()
        s.close()

    bad = [imap(spam(1, who=f"bad{number}"), name=f"bad{number}") for number in range(3)]
    for server in bad:
        server.inbox.mail(1).answer = trickle
    good.on("UID SEARCH", lambda s, c: [begun.acquire(timeout=60) for _ in bad] and DEFAULT)
    result = run(hpfeeds.feed(max_frame=10 << 20),
                 [server.mailbox() for server in [*bad, good]])
    assert result.code == 0, result
    assert hpfeeds.bodies() == once(mails + [spam(1, who=server.name)[0] for server in bad])


def quote(length, begun):
    """The beginning of a body, whose length is not known before: its end never comes."""
    def answer(s, mail, seq):
        begun.release()
        s.send(f'* {seq} FETCH (UID {mail.uid} BODY[] "', b"\xff" * length)
        s.silence()
    return answer


@pytest.mark.parametrize("length", [4000, 2000000])
def test_bodies_in_quotes_take_bounded_memory(imap, hpfeeds, start, real_memory, length):
    """Each byte of them may become four of a frame."""
    hpfeeds.frame_max = 64 << 20
    begun = threading.Semaphore(0)
    left = threading.Event()
    memory = []
    bad = [imap([b"x"], name=f"quotes{number}") for number in range(50 if length < 5000 else 100)]
    good = imap(spam(5, who="good"), name="good")
    for server in bad:
        server.inbox.mail(1).answer = quote(length, begun)
    good.on("UID SEARCH", lambda s, c: [begun.acquire(timeout=60) for _ in range(50)] and DEFAULT)
    good.on("LOGOUT", lambda s, c: memory.append(collector.memory()) or left.set() or DEFAULT)
    collector = start(hpfeeds.feed(max_frame=10 << 20),
                      [server.mailbox() for server in [good, *bad]])
    assert left.wait(60) and hpfeeds.bodies() == once(spam(5, who="good"))
    assert memory[0] < 128 << 20, memory
    collector.kill()


def test_a_body_in_quotes_without_an_end(imap, hpfeeds, run):
    server, good = imap(spam(1)), imap(spam(3, who="good"), name="good")
    server.inbox.mail(1).answer = quote(200000, threading.Semaphore(0))
    result = run(hpfeeds.feed(), [server.mailbox(), good.mailbox()])
    assert result.code == 1 and "in quotes" in result.row("trap")[3], result
    assert result.row("good") == (3, 3, 0, "ok") and server.connections == 1
    server.well()
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and hpfeeds.bodies() == once(spam(1) + spam(3, who="good")), result
