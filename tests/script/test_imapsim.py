"""The simulated IMAP server does what it is asked, as Python's imaplib sees it."""
import imaplib
import re
import socket
import ssl

import pytest

from conftest import as_sent, own_mails
from peers.collector import Run
from peers.expect import feed, mailbox, received
from peers.imapsim import Simulator


@pytest.fixture
def simulate(tmp_path, certs):
    started = []

    def start(**more):
        started.append(Simulator(tmp_path / f"sim{len(started)}", certs, **more))
        return started[-1]

    yield start
    for simulator in started:
        assert simulator.stop() == 0
        log = (simulator.directory / "imapsim.log").read_text()
        assert not log, log


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


def found(client, *keys):
    return [int(uid) for uid in ok(client.uid("SEARCH", *keys))[-1].split()]


def bodies(client, uids="1:*"):
    """UID → a mail's bytes."""
    answers = [answer for answer in ok(client.uid("FETCH", uids, "(UID BODY.PEEK[])"))
               if isinstance(answer, tuple)]
    return {int(re.search(rb"UID (\d+)", line).group(1)): body for line, body in answers}


class Raw:
    """A client that sees the lines themselves."""

    def __init__(self, simulator, user=None, port=None):
        self.socket = socket.create_connection(("127.0.0.1", port or simulator.tls_port), 30)
        if not port:
            context = ssl.create_default_context(cafile=str(simulator.certs.ca))
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.file = self.socket.makefile("rb")
        self.last = None
        if user:
            assert self.line().startswith("* OK [CAPABILITY ")
            assert self.ask(f"l LOGIN {user} {simulator.users[user]}")[-1].startswith("l OK ")

    def line(self):
        return self.file.readline().decode().rstrip("\r\n")

    def send(self, text):
        self.socket.sendall(text.encode() + b"\r\n")

    def ask(self, text):
        """All lines up to the tagged one."""
        self.send(text)
        lines = [self.line()]
        while not lines[-1].startswith(text.split()[0] + " "):
            assert lines[-1], lines
            lines.append(self.line())
        return lines

    def idle(self, tag="i", folder="INBOX"):
        assert self.ask(f"s SELECT {folder}")[-1].startswith("s OK ")
        self.send(f"{tag} IDLE")
        assert self.line().startswith("+ ")

    def close(self):
        self.socket.close()


def test_mails_are_found_read_marked_and_moved(simulate):
    simulator = simulate(boxes=3, mails=5)
    with simulator.login("box2") as client:
        assert ok(client.select()) == [b"5"]
        mails = bodies(client)
        assert sorted(mails) == [1, 2, 3, 4, 5] and len(set(mails.values())) == 5
        for uid, mail in mails.items():
            assert mail.startswith(b"X-Sim-Mail: box2/%d\r\n" % uid)
            size = ok(client.uid("FETCH", str(uid), "(RFC822.SIZE)"))[0]
            assert f"RFC822.SIZE {len(mail)})".encode() in size
        assert found(client, "UNSEEN") == [1, 2, 3, 4, 5]
        ok(client.uid("STORE", "2,4", "+FLAGS", "(\\Seen)"))
        assert found(client, "UNSEEN") == [1, 3, 5] and found(client, "SEEN") == [2, 4]
        assert found(client, "UID", "3:*", "UNSEEN") == [3, 5]
        assert found(client, "UID", "99:*") == [5]
        assert found(client, "UID", "99:*", "NOT", "DELETED") == [5]
        ok(client.uid("MOVE", "1:2", "Trash"))
        ok(client.uid("COPY", "5", "Junk"))
        ok(client.uid("STORE", "3:4", "+FLAGS.SILENT", "(\\Deleted)"))
        ok(client.uid("EXPUNGE", "4"))
        assert found(client, "ALL") == [3, 5] and found(client, "DELETED") == [3]
        assert ok(client.expunge()) == [b"1", b"1", b"2", b"1"]
        assert list(bodies(client).items()) == [(5, mails[5])]
        status = ok(client.status("Trash", "(MESSAGES UNSEEN UIDNEXT)"))[0]
        assert status == b"Trash (MESSAGES 2 UNSEEN 1 UIDNEXT 3)"
        assert ok(client.list()) == [b'(\\HasNoChildren) "/" INBOX',
                                     b'(\\HasNoChildren \\Junk) "/" Junk',
                                     b'(\\HasNoChildren \\Trash) "/" Trash']
        assert ok(client.select("Junk", readonly=True)) == [b"1"]
        assert client.uid("STORE", "1", "+FLAGS", "(\\Seen)")[0] == "NO"
        assert bodies(client) == {1: mails[5]}
    counted = simulator.stat()
    assert (counted["logins"], counted["fetched"], counted["seen"]) == (1, 5, 2)
    assert simulator.stat("box2") == {"made": 5, "exists": 1, "unseen": 1, "uidnext": 6,
                                      "uidvalidity": 1000}
    assert simulator.stat("box1")["unseen"] == 5


def test_each_run_has_the_same_mails(simulate):
    def first(**more):
        with simulate(mails=2, **more).login("box1") as client:
            client.select()
            return bodies(client)

    assert first() == first() != first(options=["--size", 100])


def test_mails_of_a_directory(simulate, tmp_path):
    (tmp_path / "mails").mkdir()
    for number, mail in enumerate(own_mails(4)):
        (tmp_path / "mails" / f"{number}.eml").write_bytes(b"From x\n" + mail)
    wanted = {as_sent(mail) for mail in own_mails(4)}
    with simulate(mails=40, options=["--mail-dir", tmp_path / "mails"]).login("box1") as client:
        client.select()
        texts = {mail.split(b"\r\n", 1)[1] for mail in bodies(client).values()}
    assert texts == wanted


def test_logins(simulate):
    simulator = simulate(plain=True)
    with imaplib.IMAP4("localhost", simulator.port, timeout=30) as client:
        with pytest.raises(client.error, match="AUTHENTICATIONFAILED"):
            client.login("box1", "secret-box2")
        with pytest.raises(client.error, match="AUTHENTICATIONFAILED"):
            client.login("box11", "secret-box11")
        ok(client.authenticate("PLAIN", lambda _: b"\0box1\0secret-box1"))
    raw = Raw(simulator, port=simulator.port)
    assert raw.line().startswith("* OK ")
    raw.send("a LOGIN {4}")
    assert raw.line().startswith("+ ")
    raw.send("box3 {11+}\r\nsecret-box3")
    assert raw.line().startswith("a OK ")
    assert raw.ask("b ID NIL")[0].startswith("* ID (")
    simulator.ask("refuse [UNAVAILABLE] come back later")
    with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
        simulator.login("box1")
    simulator.ask("accept")
    simulator.login("box1").logout()
    assert simulator.stat()["refused"] == 3
    raw.close()


def test_esearch_and_what_is_not_announced(simulate):
    with simulate(mails=9).login("box1") as client:
        client.select()
        client.uid("STORE", "4", "+FLAGS.SILENT", "(\\Seen)")
        client.uid("SEARCH", "RETURN", "(ALL COUNT)", "UNSEEN")
        answer = client.response("ESEARCH")[1][0]
        assert answer.endswith(b"UID ALL 1:3,5:9 COUNT 8")
    plain = simulate(mails=1, options=["--capability", "IMAP4rev1 AUTH=PLAIN"])
    raw = Raw(plain, "box1")
    raw.ask("s SELECT INBOX")
    for command in ("IDLE", "UID SEARCH RETURN () ALL", "UID MOVE 1 Junk", "UID EXPUNGE 1",
                    "ID NIL", "NONSENSE", "UID FETCH 1 (ENVELOPE)", "UID FETCH 0 (FLAGS)"):
        assert raw.ask(f"x {command}")[-1].startswith("x BAD "), command
    raw.close()


def test_idle_is_told_at_once_and_nothing_twice(simulate):
    simulator = simulate(mails=2)
    raw, other = Raw(simulator, "box1"), simulator.login("box1")
    raw.idle()
    assert simulator.ask("wait idling 1") == "1"
    mail = simulator.mail("box1")
    assert mail[:2] == ("box1", 3) and mail.told == 1
    assert raw.line() == "* 3 EXISTS"
    assert simulator.mail("box2").told == 0
    other.select()
    ok(other.uid("STORE", "1,3", "+FLAGS", "(\\Deleted)"))
    other.expunge()
    lines = [raw.line() for _ in range(4)]
    assert lines[2:] == ["* 1 EXPUNGE", "* 2 EXPUNGE"], lines
    raw.send("DONE")
    assert raw.line().startswith("i OK ")
    # Between two commands nothing is said; what came meanwhile, with the next answer or IDLE.
    simulator.mail("box1", 2)
    assert raw.ask("f UID SEARCH ALL")[:2] == ["* SEARCH 2", "* 3 EXISTS"]
    simulator.mail("box1")
    raw.send("j IDLE")
    assert [raw.line() for _ in range(2)] == ["+ idling", "* 4 EXISTS"]
    raw.close()
    other.shutdown()


def test_a_backlog_is_made_as_it_is_read(simulate):
    simulator = simulate(boxes=1, mails=3000)
    with simulator.login("box1") as client:
        client.select()
        assert len(bodies(client)) == 3000
    status = open(f"/proc/{simulator.process.pid}/status").read()
    assert "VmHWM" in status and simulator.stat()["fetched"] == 3000


def test_faults(simulate):
    simulator = simulate(boxes=5, plain=True)
    plain = Raw(simulator, "box1", simulator.port)  # TLS would hide the reset from us
    raws = [Raw(simulator, f"box{number}") for number in range(1, 6)]
    for raw in raws:
        raw.idle()
    simulator.ask("wait idling 5")

    simulator.ask("mute box1")
    assert simulator.mail("box1").told == 0
    simulator.ask("freeze box2")
    assert simulator.mail("box2").told == 0
    raws[1].send("DONE\r\na NOOP")
    simulator.ask("thaw all")
    assert [raws[1].line() for _ in range(3)] == ["* 1 EXISTS", "i OK done", "a OK done"]
    raws[0].send("DONE")
    assert [raws[0].line() for _ in range(2)] == ["* 1 EXISTS", "i OK done"]

    assert simulator.ask("bye box3 [UNAVAILABLE] going down") == "1"
    assert raws[2].line() == "* BYE [UNAVAILABLE] going down" and not raws[2].line()
    before = simulator.stat("box4")["uidvalidity"]
    simulator.mail("box4")
    assert int(simulator.ask("uidvalidity box4")) != before
    assert raws[3].line() == "* 1 EXISTS" and raws[3].line().startswith("* BYE ")
    assert simulator.ask("drop box5 fin") == "1"
    assert not raws[4].line()
    simulator.ask("slow all 1")
    assert raws[0].ask("n NOOP") == ["n OK done"]
    simulator.ask("slow all 0")
    simulator.ask("restart 1")
    with pytest.raises(ConnectionResetError):
        plain.line()
    simulator.ask("wait listening 1")
    simulator.login("box1").logout()
    for raw in (plain, *raws):
        raw.close()
    assert simulator.ask("wait connected -0") == "0"


def test_frozen_server_says_no_word(simulate):
    simulator = simulate(plain=True)
    simulator.ask("freeze all")
    raw = Raw(simulator, port=simulator.port)
    raw.send("a NOOP")
    simulator.ask("wait connected 1")
    simulator.ask("thaw all")
    assert raw.line() == "a OK done"  # the greeting it never said
    raw.close()


def test_mails_at_a_rate_all_of_them(simulate):
    simulator = simulate(boxes=7)
    simulator.ask("rate 1000 50")
    simulator.ask("wait delivered 50")
    assert sum(simulator.stat(user)["exists"] for user in simulator.users) == 50
    assert simulator.say("wait delivered 51 1") == "no 50"


def test_collector_empties_it(simulate, broker, subscriber, tmp_path):
    simulator = simulate(boxes=20, mails=25)
    boxes = [mailbox(simulator, user) for user in simulator.users]
    done = Run(tmp_path / "collector", feed(broker), boxes).wait()
    assert done.code == 0, done
    assert len(received(subscriber, 500)) == 500
    counted = simulator.stat()
    assert (counted["fetched"], counted["refetched"], counted["seen"]) == (500, 0, 500)
