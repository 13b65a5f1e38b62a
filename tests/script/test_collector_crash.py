"""imap-collector killed at points that its scripted peers choose, then run again.

Promised: each mail is delivered; twice only what was not on record when it died; marked is only
what is on record; what is on record and not marked is only marked by the next run."""
import random
import signal
import threading

import pytest

from peers.fixtures import hpfeeds, imap, run, spam, start  # noqa: F401
from peers.scripted_broker import CHANNEL
from peers.scripted_imap import CAPABILITIES, DEFAULT, Folder, Over, without

COUNT = 400
LAST = 2 * COUNT - 1


def sparse(imap):
    """A server with COUNT mails under the odd UIDs: their sets are long, so it takes several
    commands for all."""
    server = imap(spam(COUNT, 500))
    for mail in server.inbox.mails:
        mail.uid = 2 * mail.uid - 1
    return server


class Trap:
    """Called by a peer: signals the run it was set for, once, and for SIGKILL waits until it is
    dead, so that nothing the peer says afterwards is heard."""

    def __init__(self, how=signal.SIGKILL):
        self.how = how
        self.run = None
        self.sprung = False
        self._set = threading.Event()

    def set(self, run):
        self.run = run
        self._set.set()
        return run

    def __call__(self):
        if self.sprung:
            return
        self._set.wait()
        self.sprung = True
        self.run.kill(self.how)
        if self.how == signal.SIGKILL:
            self.run.process.wait()


def at_command(name, number=1, done=False):
    """When the IMAP server got that command for the n-th time (`done`: and has obeyed)."""
    def arm(server, broker, trap):
        count = [0]

        def answer(s, command):
            count[0] += 1
            if count[0] != number:
                return DEFAULT
            if done:
                try:
                    s.default(command)
                except Over:
                    pass
            trap()
            return None if done else DEFAULT if trap.how != signal.SIGKILL else s.close()
        server.on(name, answer)
    return arm


def at_body(uid):
    """In the midst of a mail's literal."""
    def arm(server, broker, trap):
        def answer(s, mail, seq):
            s.send(f"* {seq} FETCH (UID {mail.uid} BODY[] {{{len(mail.body)}}}\r\n", mail.body[:9])
            trap()
            s.send(mail.body[9:], ")\r\n")
        server.inbox.mail(uid).answer = answer
    return arm


def at_frame(number):
    """When the broker got that many mails."""
    def arm(server, broker, trap):
        def publish(link, message):
            if message.channel == CHANNEL and len(broker.mails) == number:
                trap()
            return False
        broker.publish = publish
    return arm


def at_marker(number, echoed=False):
    """When the broker got that many markers behind mails; before or after it sent it back."""
    def arm(server, broker, trap):
        count = [0]

        def publish(link, message):
            if message.channel == CHANNEL or not broker.mails:
                return False
            count[0] += 1
            if count[0] != number:
                return False
            if echoed:
                broker.deliver(message)
            trap()
            return echoed
        broker.publish = publish
    return arm


DICE = random.Random(4711)
POINTS = {
    "login": at_command("AUTHENTICATE"),
    "search": at_command("UID SEARCH"),
    "sizes": at_command("UID FETCH"),
    "bodies": at_command("UID FETCH", 2),
    "mail 1": at_body(1),
    "mail 301": at_body(301),
    "frame 1": at_frame(1),
    "frame last": at_frame(COUNT),
    "marker 1": at_marker(1),
    "marker 1 echoed": at_marker(1, echoed=True),
    "first mark": at_command("UID STORE"),
    "first mark done": at_command("UID STORE", done=True),
    "second mark": at_command("UID STORE", 2),
    "second mark done": at_command("UID STORE", 2, done=True),
    "logout": at_command("LOGOUT"),
    **{f"frame {number}": at_frame(number) for number in DICE.sample(range(2, COUNT), 4)},
    **{f"body of {uid}": at_body(uid) for uid in DICE.sample(range(3, LAST, 2), 2)},
}


def delivered(collector):
    return {uid for uid, (kind, _) in collector.recorded().items() if kind == "delivered"}


def asked_bodies(server):
    """The UIDs of all bodies that were asked for."""
    uids = set()
    for args in server.sent("UID FETCH", "BODY.PEEK[]"):
        for part in args.split(" ")[0].split(","):
            ends = [int(end) for end in part.split(":")]
            uids |= set(range(ends[0], ends[-1] + 1))
    return uids


def check_at_death(server, broker, collector):
    """What must hold at any moment: marked → recorded → taken by the broker."""
    recorded = delivered(collector)
    marked = {uid for uid, flags in server.inbox.flags().items() if flags}
    assert marked <= recorded
    assert {server.inbox.mail(uid).body for uid in recorded} <= set(broker.bodies())
    return recorded


def check_next_run(server, broker, recorded, result):
    mails = {mail.uid: mail.body for mail in server.inbox.mails}
    assert result.code == 0, result
    assert set(broker.bodies()) == set(mails.values())  # nothing is lost
    assert not asked_bodies(server) & recorded  # what was on record is not even asked for
    assert broker.doubled() <= {body for uid, body in mails.items() if uid not in recorded}
    assert max(broker.bodies().values()) <= 2
    assert all(flags == {"\\Seen"} for flags in server.inbox.flags().values())


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_run_again(imap, hpfeeds, start, run, point):
    server = sparse(imap)
    trap = Trap()
    POINTS[point](server, hpfeeds, trap)
    killed = trap.set(start(hpfeeds.feed(), [server.mailbox()])).wait()
    assert trap.sprung and killed.code == -signal.SIGKILL, killed
    recorded = check_at_death(server, hpfeeds, killed)

    server.well()
    server.forget()
    hpfeeds.publish = lambda link, message: False
    check_next_run(server, hpfeeds, recorded, run(hpfeeds.feed(), [server.mailbox()]))


def test_delivered_but_not_marked_is_only_marked(imap, hpfeeds, start, run):
    """Killed when all is on record, and the first mark has not happened."""
    mails = spam(30)
    server = imap(mails)
    trap = Trap()
    at_command("UID STORE")(server, hpfeeds, trap)
    killed = trap.set(start(hpfeeds.feed(), [server.mailbox()])).wait()
    assert killed.code == -signal.SIGKILL
    assert delivered(killed) == set(range(1, 31))
    assert all(flags == set() for flags in server.inbox.flags().values())

    server.well()
    server.forget()
    hpfeeds.forget()
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and result.row("trap")[:3] == (0, 0, 0), result
    assert not server.sent("UID FETCH") and not hpfeeds.mails
    assert server.sent("UID STORE") == ["1:30 +FLAGS.SILENT (\\Seen)"]
    assert all(flags == {"\\Seen"} for flags in server.inbox.flags().values())


LEAVING = [
    ("delete", CAPABILITIES, "UID STORE"), ("delete", CAPABILITIES, "UID EXPUNGE"),
    ("delete", without("UIDPLUS"), "UID STORE"), ("delete", without("UIDPLUS"), "EXPUNGE"),
    ({"move": "Done"}, CAPABILITIES, "UID MOVE"), ({"move": "Done"}, without("MOVE"), "UID STORE"),
    ({"move": "Done"}, without("MOVE"), "UID EXPUNGE"),
    ({"move": "Done"}, without("MOVE", "UIDPLUS"), "EXPUNGE"),
]


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("after, capabilities, command", LEAVING)
def test_killed_while_mail_leaves(imap, hpfeeds, start, run, after, capabilities, command, done):
    """No mail is sent again, none is copied twice, all are gone in the end."""
    mails = spam(20)
    server = imap(mails, capabilities=capabilities)
    server.folders["Done"] = Folder()
    trap = Trap()
    at_command(command, done=done)(server, hpfeeds, trap)
    killed = trap.set(start(hpfeeds.feed(), [server.mailbox(after=after)])).wait()
    assert killed.code == -signal.SIGKILL

    server.well()
    result = run(hpfeeds.feed(), [server.mailbox(after=after)])
    assert result.code == 0 and server.inbox.mails == [], result
    assert sorted(hpfeeds.bodies().elements()) == sorted(mails)
    moved = [mail.body for mail in server.folders["Done"].mails]
    assert moved == ([] if after == "delete" else mails)
    # And the state holds nothing of what is gone.
    run(hpfeeds.feed(), [server.mailbox(after=after)])
    assert result.recorded() == {}


@pytest.mark.parametrize("done", [False, True])
def test_killed_in_mid_copy(imap, hpfeeds, start, run, done):
    """The COPY was done, its answer is not heard: nobody knows, so it is done again, and that is
    the copies of one command. None is missing, and none is sent again."""
    mails = spam(400)
    server = imap(mails, capabilities=without("MOVE"))
    server.folders["Done"] = Folder()
    run(hpfeeds.feed(), [server.mailbox(after="none")], "-a")
    trap = Trap()
    at_command("UID COPY", number=2, done=done)(server, hpfeeds, trap)
    killed = trap.set(start(hpfeeds.feed(), [server.mailbox(after={"move": "Done"})], "-a")).wait()
    assert killed.code == -signal.SIGKILL

    server.well()
    result = run(hpfeeds.feed(), [server.mailbox(after={"move": "Done"})], "-a")
    assert result.code == 0 and server.inbox.mails == [], result
    assert sorted(hpfeeds.bodies().elements()) == sorted(mails)
    moved = [mail.body for mail in server.folders["Done"].mails]
    assert set(moved) == set(mails) and max(map(moved.count, mails)) <= 2
    assert len(moved) == len(mails) + (81 if done else 0)


STOPS = ["search", "bodies", "mail 301", "frame 1", "frame last", "marker 1 echoed", "first mark",
         "second mark", "logout"]


@pytest.mark.parametrize("point", STOPS)
def test_stopped_and_run_again(imap, hpfeeds, start, run, point):
    """SIGTERM: exit 0, nothing unconfirmed is marked, the next run does the rest."""
    server = sparse(imap)
    trap = Trap(signal.SIGTERM)
    POINTS[point](server, hpfeeds, trap)
    stopped = trap.set(start(hpfeeds.feed(), [server.mailbox()])).wait()
    assert trap.sprung and stopped.code == 0, stopped
    recorded = check_at_death(server, hpfeeds, stopped)
    assert stopped.row("trap")[1] == len(recorded), stopped

    server.well()
    server.forget()
    hpfeeds.publish = lambda link, message: False
    check_next_run(server, hpfeeds, recorded, run(hpfeeds.feed(), [server.mailbox()]))


def test_stopped_while_the_broker_says_nothing(imap, hpfeeds, start, run):
    """What was sent and not confirmed stays unmarked, and is sent by the next run."""
    mails = spam(50)
    server = imap(mails)
    trap = Trap(signal.SIGTERM)

    def publish(link, message):
        if len(hpfeeds.mails) == 50:
            trap()
        return bool(hpfeeds.mails)
    hpfeeds.publish = publish
    stopped = trap.set(start(hpfeeds.feed(), [server.mailbox()])).wait()
    assert stopped.code == 0 and stopped.recorded() == {}, stopped
    assert all(flags == set() for flags in server.inbox.flags().values())
    assert "stopped" in stopped.row("trap")[3]

    hpfeeds.publish = lambda link, message: False
    hpfeeds.forget()
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and hpfeeds.bodies() == dict.fromkeys(mails, 1), result
