"""imap-collector against scripted brokers: away, refusing, breaking, silent.

What is asserted: every mail arrives or stays in its mailbox unmarked; what comes twice was in
flight; the exit code; what the user is told."""
import os
import signal
import socket
import tempfile
import threading
import time

import pytest

from peers.collector import Run
from peers.fixtures import hpfeeds, imap, live, once, run, spam, start  # noqa: F401
from peers.scripted_broker import CHANNEL, Broker, Over
from peers.scripted_imap import Server


def untouched(server):
    return all(mail.flags == set() for mail in server.inbox.mails)


def marked(server):
    return all(mail.flags == {"\\Seen"} for mail in server.inbox.mails)


def is_mail(message):
    return message.channel == CHANNEL


@pytest.fixture
def brokers():
    """brokers(n): as many scripted ones."""
    started = []

    def make(count):
        started.extend(Broker() for _ in range(count))
        return started

    yield make
    for broker in started:
        broker.stop()


class Refusal:
    """How a broker refuses a login. A collector that nobody objects to for a second believes that it
    is let in: it is stopped while it is told, so that what it is told to its AUTH is there when it
    sends that, however slow we are."""

    def __init__(self, broker, end):
        """`end` says it, and must not wait for an answer."""
        self._end = end
        self._run = None
        self._set = threading.Event()
        self._one = threading.Lock()
        broker.greet = self

    def set(self, run):
        self._run = run
        self._set.set()
        return run

    def __call__(self, link):
        self._set.wait()
        with self._one:
            self._run.kill(signal.SIGSTOP)
            try:
                os.waitid(os.P_PID, self._run.process.pid, os.WSTOPPED | os.WNOWAIT)
                Broker.take_greeting(link)
                self._end(link)
            except OSError:
                raise Over from None  # it has gone
            finally:
                self._run.kill(signal.SIGCONT)
        link.close()


def end(link):
    link.socket.shutdown(socket.SHUT_WR)


class Reset:
    """Another one: resets the connection when AUTH has come. It cannot be there before, so where we
    were slower than a second the run has shown nothing: `late`."""

    def __init__(self, broker):
        self.late = False
        broker.greet = self

    def __call__(self, link):
        begun = time.monotonic()
        Broker.take_greeting(link)
        link.read_frame()
        link.cut()
        link.socket.close()
        self.late |= time.monotonic() - begun > 0.9
        link.close()


def at_once(greet):
    return lambda broker: setattr(broker, "greet", greet)


def at_login(login):
    return lambda broker: setattr(broker, "login", login)


# In all of these nothing can be delivered: (how the broker refuses a login, or what it does instead,
# the ways of confirmation, a word the user is told). Each takes as long as a pass waits for its
# broker, so they are started with the first test of this file and waited for by the last. `sent`
# believes a broker that never reads: that is what it means.
AWAY = {
    "closes after AUTH without a word":
        (lambda broker: Refusal(broker, end), ("auto", "close", "sent"), "secret"),
    "resets after AUTH": (Reset, ("auto", "sent"), "secret"),
    "never reads": (at_login(lambda link: link.silence()), ("auto", "close"), ""),
    "closes at once": (at_once(lambda link: link.close()), ("auto", "sent"), "closed"),
    "resets at once": (at_once(lambda link: link.reset()), ("close",), "reset"),
    "speaks something else": (at_login(lambda link: (link.send(b"220 mail.example ESMTP\r\n"),
                                                     link.silence())), ("auto", "close"), ""),
}


@pytest.fixture(scope="module", autouse=True)
def away(tmp_path_factory):
    """(a run, its IMAP server, its broker, the word to look for) for each."""
    started = []

    def begin(feed, server, broker, word):
        collector = Run(tmp_path_factory.mktemp("away"), feed, [server.mailbox()])
        started.append((collector, server, broker, word))
        if isinstance(broker.greet, Refusal):
            broker.greet.set(collector)

    for arrange, ways, word in AWAY.values():
        for way in ways:
            broker = Broker()
            arrange(broker)
            begin(broker.feed(confirm=way), Server(spam(3)), broker, word)
    broker = Broker()
    broker.subscribe = lambda link, channel: link.close()
    begin(broker.feed(confirm="echo"), Server(spam(3)), broker, "pubchans")
    nobody = Broker()
    nobody.away()
    begin(nobody.feed(), Server(spam(3)), nobody, "refused")
    yield started
    for collector, server, broker, _ in started:
        if collector.process.poll() is None:
            collector.process.kill()
            collector.process.communicate()
        server.stop()
        broker.stop()


@pytest.mark.parametrize("confirm", ["auto", "echo", "close", "sent"])
@pytest.mark.parametrize("short", [0, 1])
def test_a_wrong_secret(imap, hpfeeds, start, confirm, short):
    """The broker says so, well-formed or (as one of them does) with a length that is one short."""
    server = imap(spam(3))
    refusal = Refusal(hpfeeds, lambda link: link.say_error("authfail for writer", short))
    result = refusal.set(start(hpfeeds.feed(confirm=confirm), [server.mailbox()])).wait()
    assert result.code == 75 and "authfail for write" in result.err, result
    assert untouched(server) and not hpfeeds.mails
    assert len(hpfeeds.links) <= 3  # told by word: not tried again and again
    assert "writer secret" not in result.err + result.out


@pytest.mark.parametrize("confirm", ["auto", "close"])
def test_a_channel_that_is_refused(imap, hpfeeds, run, confirm):
    server = imap(spam(3))
    hpfeeds.publish = lambda link, message: is_mail(message) and link.error("accessfail")
    result = run(hpfeeds.feed(confirm=confirm, confirm_grace="50 ms"), [server.mailbox()])
    assert result.code == 75 and "accessfail" in result.err and CHANNEL in result.err, result
    assert untouched(server) and result.recorded() == {}


@pytest.mark.parametrize("confirm", ["echo", "close", "sent", "auto"])
def test_every_way_of_confirmation(imap, hpfeeds, run, confirm):
    server = imap(spam(50))
    result = run(hpfeeds.feed(confirm=confirm, confirm_grace="50 ms"), [server.mailbox()])
    hpfeeds.wait_for_end()  # what is sent need not be read yet
    assert result.code == 0 and hpfeeds.bodies() == once(spam(50)), result
    assert marked(server) and result.row("trap") == (50, 50, 0, "ok")
    way = "echo" if confirm == "auto" else confirm
    assert f"confirmed by {way}" in result.err
    assert bool(hpfeeds.markers) == (way == "echo")


def refuse_marker(link, message):
    if is_mail(message):
        return False
    link.error("accessfail: confirm.writer")


def refuse_subscription(link, channel):
    link.error("accessfail: no subscription")


MARKERS = {
    "publish refused": dict(publish=refuse_marker),
    "subscribe refused": dict(subscribe=refuse_subscription),
    "publish ignored": dict(publish=lambda link, message: not is_mail(message)),
    "subscribe ignored": dict(subscribe=lambda link, channel: True),
}


def test_auto_falls_back_and_echo_says_what_is_missing(imap, brokers, start):
    """Brokers that do not let a marker through, each in its way."""
    started = []
    for number, (broker, limits) in enumerate(zip(brokers(len(MARKERS)), MARKERS.values())):
        for name, limit in limits.items():
            setattr(broker, name, limit)
        auto, echo = imap(spam(5, who=f"auto{number}")), imap(spam(5, who=f"echo{number}"))
        started.append((
            broker, auto, echo,
            start(broker.feed(confirm_grace="50 ms"), [auto.mailbox()], name=f"auto{number}"),
            start(broker.feed(confirm="echo", confirm_grace="50 ms"), [echo.mailbox()],
                  name=f"echo{number}")))
    for broker, auto, echo, by_auto, by_echo in started:
        by_auto.wait()
        by_echo.wait()
        assert by_auto.code == 0 and "confirmed by close" in by_auto.err, by_auto
        assert marked(auto) and broker.bodies() == once(mail.body for mail in auto.inbox.mails)
        assert by_echo.code == 75 and "pubchans" in by_echo.err, by_echo
        assert "confirm.writer" in by_echo.err and untouched(echo)


def test_echo_on_the_second_connection_only(imap, hpfeeds, run):
    """As a broker that gives a publisher nothing of its own."""
    def publish(link, message):
        channels, link.channels = link.channels, set()
        hpfeeds.deliver(message)
        link.channels = channels
        return True
    hpfeeds.publish = publish
    server = imap(spam(20))
    result = run(hpfeeds.feed(confirm_grace="50 ms"), [server.mailbox()])
    assert result.code == 0 and "confirmed by echo" in result.err, result
    assert hpfeeds.bodies() == once(spam(20)) and marked(server)


# --- trouble in mid-batch -----------------------------------------------------------------------


def at_mail(broker, number, action):
    """`action(link)` when the mail of this number has come; once."""
    def publish(link, message):
        if is_mail(message) and len(broker.mails) == number:
            action(link)
        return False
    broker.publish = publish


def killed_and_back(broker):
    def action(link):
        broker.away()
        broker.start()
        link.reset()
    return action


ENDS = {
    "killed": killed_and_back,
    "reset": lambda broker: lambda link: link.reset(),
    "end": lambda broker: lambda link: link.close(),
    "error": lambda broker: lambda link: link.error("overloaded"),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_connection_ends_in_mid_batch(imap, brokers, start, end):
    mails = spam(120, 2000)
    started = []
    for broker, number in zip(brokers(3), (1, 40, 120)):
        server = imap(mails)
        at_mail(broker, number, ENDS[end](broker))
        started.append((broker, server,
                        start(broker.feed(), [server.mailbox()], name=f"at{number}")))
    for number, (broker, server, collector) in enumerate(started):
        collector.wait()
        if collector.code == 75:
            # An ERROR before anything was taken is a refusal.
            assert end == "error" and "overloaded" in collector.err, collector
            assert untouched(server) and collector.recorded() == {}
            collector = start(broker.feed(), [server.mailbox()], name=f"again{number}").wait()
        assert collector.code == 0 and marked(server), collector
        assert set(broker.bodies()) == set(mails)
        assert broker.doubled() <= broker.unconfirmed()
        assert max(broker.bodies().values()) <= 2


# --- one bad day after another, while it stays connected ----------------------------------------


def at_third(action):
    """`action` makes what is to happen to a connection, of a broker; it does with the third mail
    from now on."""
    return lambda broker: at_mail(broker, len(broker.mails) + 3, action(broker))


def killed_in_mid_frame(broker):
    """With the second half of a mail unread."""
    number = len(broker.mails) + 3

    def frame(link, length):
        if len(broker.mails) == number and length > 10000:
            broker.frame = lambda link, length: None
            link.skip(length // 2)
            killed_and_back(broker)(link)
    broker.frame = frame


def restarted_while_idle(broker):
    broker.away()
    broker.start()


def no_frame(link):
    link.send(b"\0\0\0\4\0")
    link.close()


GOES_DOWN = "Broker is shutting down, try again later"
# (what it does, can `sent` know?)
BAD_DAYS = {
    "restarted while idle": (restarted_while_idle, True),
    "killed in mid-frame": (killed_in_mid_frame, False),
    "killed": (at_third(killed_and_back), False),
    "goes down": (at_third(lambda broker: lambda link: link.error(GOES_DOWN)), False),
    "closes silently": (at_third(lambda broker: lambda link: link.close()), False),
    "refuses one": (at_third(lambda broker: lambda link: link.error("overloaded")), False),
    "an error shorter than it is": (at_third(lambda broker: lambda link: link.error("odd", 1)),
                                    False),
    "an error that is no frame": (at_third(lambda broker: no_frame), False),
    "restarted once more": (restarted_while_idle, True),
}


def test_bad_days_one_after_another(imap, brokers, live):
    """Each way of confirmation. `sent` is spared what a broker drops that its kernel took."""
    parts = []
    for way, broker in zip(("echo", "close", "sent"), brokers(3)):
        server = imap(spam(2))
        broker.away()
        run = live(broker.feed(confirm=way, confirm_grace="50 ms"), [server.mailbox()], name=way)
        parts.append((way, broker, server, run))
    for _, broker, server, run in parts:
        run.wait_for_log("refused.*; mail stays in its mailboxes until the broker takes it")
        assert untouched(server)
        broker.start()
        server.wait_for(lambda server=server: marked(server))
    for number, (day, spared) in enumerate(BAD_DAYS.values()):
        mails = spam(5, 20000, who=f"day{number}")
        those = [part for part in parts if spared or part[0] != "sent"]
        for _, broker, server, _ in those:
            day(broker)
            server.deliver(*mails)
        for _, broker, server, run in those:
            broker.wait_for(lambda broker=broker: set(mails) <= set(broker.bodies()))
            server.wait_for(lambda server=server: marked(server))
    for way, broker, server, run in parts:
        run.stop()
        count = len(server.inbox.mails)
        assert run.code == 0 and run.row("trap") == (count, count, 0, "ok"), run
        assert set(broker.bodies()) == {mail.body for mail in server.inbox.mails}
        assert broker.doubled() <= broker.unconfirmed() and max(broker.bodies().values()) <= 2
        # Nobody is sent to look for a right that is there.
        assert not run.logged("check that"), run
        assert bool(run.logged(f"the broker says: {GOES_DOWN}")) == (way != "sent"), run


def test_the_broker_breaks_again_and_again(imap, hpfeeds, run):
    """It takes forty mails, then breaks, and so on: what it confirmed is not sent again."""
    mails = spam(120)
    server = imap(mails)
    breaks = []

    def publish(link, message):
        if is_mail(message) and len(hpfeeds.mails) % 60 == 40 and len(breaks) < 3:
            breaks.append(len(hpfeeds.mails))
            link.reset()
        return False
    hpfeeds.publish = publish
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and marked(server), result
    assert set(hpfeeds.bodies()) == set(mails) and hpfeeds.doubled() <= hpfeeds.unconfirmed()


@pytest.mark.parametrize("confirm", ["echo", "close"])
def test_a_batch_of_which_half_is_taken_is_not_taken(imap, hpfeeds, run, confirm):
    """The first half arrives, then the end comes as if all was well, only too early: the other half
    is more than the broker's kernel takes, so we cannot have come to our end by then."""
    mails = spam(60, 20000)
    server = imap(mails)
    at_mail(hpfeeds, 30, lambda link: link.close())
    result = run(hpfeeds.feed(confirm=confirm, confirm_grace="50 ms"), [server.mailbox()])
    assert result.code == 0 and marked(server), result
    assert set(hpfeeds.bodies()) == set(mails)


def test_a_mail_the_broker_breaks_over_is_held(imap, hpfeeds, run):
    """Its own limit is below ours. The others arrive, and each but once or twice."""
    mails = spam(12)
    mails[5] = spam(1, 90000, "big")[0]
    server = imap(mails)
    hpfeeds.frame_max = 50000
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and result.row("trap")[1:3] == (11, 1), result
    assert "UID 6" in result.err and "broker" in result.err
    assert set(hpfeeds.bodies()) == set(mails) - {mails[5]}
    assert server.inbox.mail(6).flags == set()
    assert all(mail.flags == {"\\Seen"} for mail in server.inbox.mails if mail.uid != 6)

    links = len(hpfeeds.links)
    quiet = run(hpfeeds.feed(), [server.mailbox()])
    assert quiet.code == 0 and "UID 6" not in quiet.err and len(hpfeeds.links) <= links + 2, quiet
    hpfeeds.frame_max = 1 << 20
    raised = run(hpfeeds.feed(max_frame="1000000"), [server.mailbox()])
    assert raised.code == 0 and hpfeeds.bodies()[mails[5]] == 1, raised
    assert marked(server)


def test_the_only_mail_the_broker_breaks_over_is_held(imap, brokers, start):
    """Without another mail to tell by, the marker's way there and back has to do; where there is
    none, nothing is held, and the pass ends."""
    mails = spam(1, 90000, "big")
    echo, close = imap(mails), imap(mails)
    by_echo, by_close = brokers(2)
    by_echo.frame_max = by_close.frame_max = 50000
    held = start(by_echo.feed(), [echo.mailbox()], name="echo")
    ended = start(by_close.feed(confirm="close", confirm_grace="50 ms"), [close.mailbox()],
                  name="close")
    held.wait()
    assert held.code == 0 and held.row("trap") == (1, 0, 1, "ok"), held
    assert "UID 1" in held.err and "each of 3 times" in held.err, held
    assert [kind for kind, _ in held.recorded().values()] == ["held"]
    ended.wait()
    assert ended.code == 75 and "max_frame" in ended.err, ended
    assert ended.recorded() == {}
    assert untouched(echo) and untouched(close)

    # What came of it is remembered, and another mail is not held up.
    echo.inbox.add(spam(1)[0])
    close.inbox.add(spam(1)[0])
    links = len(by_echo.links)
    held = start(by_echo.feed(), [echo.mailbox()], name="echo").wait()
    assert held.code == 0 and by_echo.bodies() == once(spam(1)), held
    assert len(by_echo.links) <= links + 2
    ended = start(by_close.feed(confirm="close", confirm_grace="50 ms"), [close.mailbox()],
                  name="close").wait()
    assert ended.code == 0 and ended.row("trap") == (2, 1, 1, "ok"), ended


def test_a_frame_of_ours_that_is_too_large_is_never_sent(imap, hpfeeds, run):
    mails = [*spam(3), spam(1, 90000, "big")[0]]
    server = imap(mails)
    result = run(hpfeeds.feed(max_frame="50000"), [server.mailbox()])
    assert result.code == 0 and result.row("trap")[1:3] == (3, 1), result
    assert "max_frame" in result.err and hpfeeds.bodies() == once(mails[:3])
    assert len(hpfeeds.links) <= 2 and server.inbox.mail(4).flags == set()


def test_no_broker_no_mail_touched(away, imap, tmp_path):
    for collector, server, broker, word in away:
        collector.wait()
        while isinstance(broker.greet, Reset) and broker.greet.late:
            Reset(broker)
            server, feed = imap(spam(3)), (collector.directory / "feed.yml").read_text()
            broker.forget()
            collector = Run(tempfile.mkdtemp(dir=tmp_path), feed, [server.mailbox()]).wait()
        assert collector.code == 75 and word in collector.err, collector
        assert "broker" in collector.err and "untouched" in collector.err, collector
        assert untouched(server) and collector.recorded() == {}, collector
        assert collector.row("trap")[1] == 0 and not broker.mails
