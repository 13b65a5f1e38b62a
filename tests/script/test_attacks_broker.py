"""The attacks on the hpfeeds side: hostile brokers against imap-collector, and hostile clients
against hpfeeds-broker.

What is asserted: no mail is marked or taken for delivered, the most memory a process had, what the
user is told and that it cannot move a terminal's cursor, and that others are served all along.
tests/script/test_broker.py has the frames that are broken; docs/security.md has the list."""
import select
import socket
import struct
import time

import pytest

from peers.collector import Run
from peers.fixtures import hpfeeds, imap, once, plain, real_memory, spam, start  # noqa: F401
from peers.fixtures import start_broker  # noqa: F401
from peers.hpfeeds import (AUTH, ERROR, INFO, PUBLISH, SUBSCRIBE, Client, Subscriber, frame,
                           string)
from peers.process import memory
from peers.scripted_broker import CHANNEL, IDENT, Broker, Over
from peers.scripted_imap import Server

MEMORY = 64 << 20  # of the whole process, under AddressSanitizer too


def announced(length, opcode=PUBLISH, body=b""):
    """A frame whose length is what it says it is."""
    return struct.pack(">IB", length, opcode) + body


# --- hostile brokers -----------------------------------------------------------------------------

ANSI = b"\x1b[2J\x1b]0;owned\x07\xff\x9b31m\r\n\0"


def say(*data, after=False):
    """In place of INFO and all that follows; or behind a good login."""
    def greet(link):
        if after:
            Broker.take_greeting(link)
            Broker.take_login(link)
        link.send(b"".join(data))
        link.silence()
    return greet


def say_on(data):
    def greet(link):
        while True:
            link.send(data)
    return greet


# Each takes as long as a pass waits for its broker, so all are started with the first test of this
# file and waited for by the last. (What the broker says, what the user is told.)
HOSTILE = {
    "length 0": (say(announced(0, INFO)), "impossible length 0"),
    "length 2^31": (say(announced(2**31, INFO)), "at most 1048576"),
    "length 2^32-1": (say(announced(2**32 - 1, INFO), b"x" * 100), "at most 1048576"),
    "AUTH": (say(frame(AUTH, string("x"), b"d" * 20)), "in place of INFO"),
    "mail before INFO": (say(frame(PUBLISH, string("x"), string(CHANNEL), b"forged")),
                         "in place of INFO"),
    "a name longer than the frame": (say(frame(INFO, b"\xffabc")), "too short for its fields"),
    "no end": (say_on(b"x" * 65536), "at most 1048576"),
    "terminal": (say(frame(ERROR, ANSI)), "owned"),
    "a long ERROR": (say(frame(ERROR, b"no " * 100000)), "no no no"),
    "length 0 after the login": (say(announced(0), after=True), "impossible length 0"),
    "INFO after the login": (say(frame(INFO, string("x"), b"4567"), after=True), "opcode 1"),
    "ERROR after the login": (say(frame(ERROR, ANSI), after=True), "owned"),
}


@pytest.fixture(scope="module", autouse=True)
def hostile(tmp_path_factory):
    """name → (a run, its IMAP server)"""
    started, brokers = {}, []
    for name, (greet, _) in HOSTILE.items():
        broker = Broker()
        broker.greet = greet
        brokers.append(broker)
        server = Server(spam(2))
        started[name] = Run(tmp_path_factory.mktemp("hostile"), broker.feed(), [server.mailbox()]), server
    yield started
    for collector, server in started.values():
        if collector.process.poll() is None:
            collector.process.kill()
            collector.process.communicate()
        server.stop()
    for broker in brokers:
        broker.stop()


def deliver_and(broker, link, message, more):
    """What a subscriber gets with its mail or marker."""
    broker.deliver(message)
    for other in list(broker.links):
        if message.channel in other.channels:
            other.send(more)
    return True


# What comes along with every marker; the words that are told of it.
ALONG = {
    "mail that nobody asked for": lambda m: frame(PUBLISH, string("x"), string(CHANNEL), b"y" * 9000),
    "the same marker": lambda m: frame(PUBLISH, string(m.ident), string(m.channel), m.payload) * 50,
    "markers of others": lambda m: frame(PUBLISH, string("x"), string(m.channel), b"z" * 16) * 50,
    "names that are no text": lambda m: frame(PUBLISH, string(b"\xff\x1b"), string(b"\0"), b""),
    "empty": lambda m: frame(PUBLISH, string(""), string(""), b""),
}


def test_what_a_broker_adds_changes_nothing(imap, start):
    started = []
    for name, make in ALONG.items():
        broker = Broker()
        broker.publish = lambda link, message, broker=broker, make=make: \
            message.channel != CHANNEL and deliver_and(broker, link, message, make(message))
        server = imap(spam(20))
        started.append((name, broker, server, start(broker.feed(), [server.mailbox()], name=name)))
    for name, broker, server, collector in started:
        collector.wait()
        assert collector.code == 0 and plain(collector.err), (name, collector)
        assert broker.bodies() == once(spam(20)), name
        assert all(flags == {"\\Seen"} for flags in server.inbox.flags().values()), name
        broker.stop()


def test_an_unasked_flood_takes_no_memory(imap, hpfeeds, start, real_memory):
    """On the connection that waits for markers."""
    server = imap(spam(2))
    flood = frame(PUBLISH, string(IDENT), string(f"confirm.{IDENT}"), b"x" * 100000)
    flooded = []

    def publish(link, message):
        if message.channel == CHANNEL:
            return False
        try:
            for _ in range(500):
                for other in list(hpfeeds.links):
                    if message.channel in other.channels:
                        other.send(flood)
        except Over:  # it may well have had enough
            pass
        flooded.append(collector.memory())
        return False
    hpfeeds.publish = publish
    collector = start(hpfeeds.feed(), [server.mailbox()])
    result = collector.wait()
    assert result.code == 0 and hpfeeds.bodies() == once(spam(2)), result
    assert flooded and max(flooded) < MEMORY, flooded


# --- hostile clients -----------------------------------------------------------------------------


class Stranger:
    """A connection from another address of the loopback, that says what it is told."""

    def __init__(self, port, source="127.0.0.2"):
        self.socket = socket.create_connection(("127.0.0.1", port), 30, (source, 0))

    def send(self, data):
        try:
            self.socket.sendall(data)
        except ConnectionError:
            pass

    def is_over(self):
        """Whether it is ended, after all that was said on it is read."""
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


def assert_served(broker):
    """Somebody else publishes and gets it."""
    client = Subscriber(broker.port, "writer", "writersecret", [])
    reader = Subscriber(broker.port, "reader", "readersecret", ["spam.mails"])
    client.publish("spam.mails", b"good")
    assert reader.next() == b"good"
    client.close()
    reader.close()


# Before the login; then the end comes.
STRANGE = {
    "length 0": announced(0, AUTH),
    "length 4": announced(4, AUTH),
    "length 2^31": announced(2**31, AUTH),
    "length 2^32-1": announced(2**32 - 1, AUTH, b"x" * 1000),
    "length 2^32-1 of another": announced(2**32 - 1, PUBLISH, b"x" * 1000),
    "a large AUTH": frame(AUTH, string("writer"), b"x" * 65536),
    "an ident of 255 bytes": frame(AUTH, string("x" * 255), b"d" * 20),
    "an ident that is no text": frame(AUTH, string(b"\xff\xfe\x80"), b"d" * 20),
    "an ident with escapes": frame(AUTH, string(ANSI), b"d" * 20),
    "an ident longer than the frame": frame(AUTH, b"\xffabc"),
    "no ident": frame(AUTH, string(""), b"d" * 20),
    "subscriptions": frame(SUBSCRIBE, string("writer"), b"spam.mails") * 1000,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 500,
    "noise": bytes(range(256)) * 40,
}


def test_strangers_get_nowhere(start_broker, real_memory):
    broker = start_broker()
    for name, data in STRANGE.items():
        stranger = Stranger(broker.port)
        stranger.send(data)
        assert stranger.is_over(), name
    assert_served(broker)
    assert memory(broker.process.popen.pid) < MEMORY
    assert plain(broker.process.text())


def drip(client, data):
    """Sends byte by byte, a little while between two; returns how many went before the end."""
    for sent in range(len(data)):
        if select.select([client.socket], [], [], 0.1)[0] and client.is_over():
            return sent
        try:
            client.socket.sendall(data[sent:sent + 1])
        except ConnectionError:
            return sent
    return len(data)


def test_who_says_who_he_is_too_slowly_is_put_out(start_broker):
    """Bytes that come in time are no reason to wait for more of them."""
    broker = start_broker(options=["--auth-timeout", "300 ms"])
    slow = Stranger(broker.port)
    assert slow.socket.recv(100)
    data = frame(AUTH, string("x" * 255), b"d" * 20)
    assert drip(slow, data) < len(data)
    assert_served(broker)


def test_frames_that_are_begun_take_no_memory(start_broker, real_memory):
    """Two hundred connections, each in the midst of a frame of 10 MiB."""
    broker = start_broker(options=["--max-per-address", "0"])
    clients = []
    for _ in range(200):
        clients.append(Client(broker.port, "writer", "writersecret"))
        clients[-1].socket.sendall(announced(10 << 20, PUBLISH, string("writer")))
    assert_served(broker)
    assert memory(broker.process.popen.pid) < MEMORY
    for client in clients:
        client.close()


ALL = {"all": {"owner": "", "secret": "s", "pubchans": ["a", "b"], "subchans": ["a", "b"]}}


def begin(port, size):
    """Somebody in the midst of a frame, so much of which has come."""
    client = Client(port, "all", "s")
    client.socket.sendall(announced(10 << 20, PUBLISH, string("all") + string("a") + bytes(size)))
    return client


def is_open(client):
    return not select.select([client.socket], [], [], 0)[0]


def await_closed(clients, count):
    deadline = time.monotonic() + 60
    while sum(not is_open(client) for client in clients) < count:
        assert time.monotonic() < deadline, [is_open(client) for client in clients]
        time.sleep(0.05)


def test_frames_that_are_begun_are_bounded_in_all(start_broker, real_memory):
    """Also while nobody publishes anything whole."""
    broker = start_broker(accounts=ALL, options=["--max-memory", "20MiB"])
    clients = [begin(broker.port, 3 << 20) for _ in range(40)]
    await_closed(clients, 34)
    assert memory(broker.process.popen.pid) < MEMORY + (24 << 20)
    for client in clients:
        client.close()


def test_only_who_holds_most_gives_way(start_broker):
    """And no more of them than memory asks for."""
    broker = start_broker(accounts=ALL, options=["--max-memory", "20MiB"])
    clients = [begin(broker.port, size << 20) for size in (9, 6, 4, 3)]
    await_closed(clients, 1)
    reader = Subscriber(broker.port, "all", "s", ["b"])
    reader.publish("b", b"good")
    assert reader.next() == b"good"
    assert [is_open(client) for client in clients] == [False, True, True, True]
    for client in [*clients, reader]:
        client.close()


def test_who_half_closes_unread_is_bounded(start_broker, real_memory):
    """What is queued for subscribers that have ended their side, and read nothing of it, counts."""
    broker = start_broker(accounts=ALL, options=["--max-memory", "32MiB", "--max-queue", "24MiB"])
    writer = Client(broker.port, "all", "s")
    clients = []
    for _ in range(10):
        clients.append(Subscriber(broker.port, "all", "s", ["a"]))
        for _ in range(200):
            writer.publish("a", bytes(100000))
        Subscriber(broker.port, "all", "s", []).close()
        try:
            clients[-1].socket.shutdown(socket.SHUT_WR)
        except OSError:  # it has given way already
            assert len(clients) > 1
    assert memory(broker.process.popen.pid) < MEMORY + (48 << 20)
    for client in [*clients, writer]:
        client.close()


def test_who_reads_to_the_end_gets_all(start_broker):
    """Half-closed with much that is queued: it comes, in order, and then the end."""
    broker = start_broker(accounts=ALL)
    reader = Subscriber(broker.port, "all", "s", ["a"])
    writer = Client(broker.port, "all", "s")
    for number in range(300):
        writer.publish("a", b"%06d" % number + bytes(100000))
    writer.socket.shutdown(socket.SHUT_WR)
    assert writer.frame() is None
    reader.socket.shutdown(socket.SHUT_WR)
    assert [reader.next()[:6] for _ in range(300)] == [b"%06d" % number for number in range(300)]
    assert reader.frame() is None
    reader.close()
    writer.close()


def test_thousands_of_connections(start_broker, real_memory):
    """Those of one address do not keep others out, known or not."""
    broker = start_broker()
    strangers = []
    for _ in range(3000):
        strangers.append(Stranger(broker.port))
    assert_served(broker)
    assert memory(broker.process.popen.pid) < MEMORY
    for stranger in strangers:
        stranger.socket.close()
    assert_served(broker)


def test_a_flood_for_whom_does_not_read(start_broker, real_memory):
    """A hundred megabytes, from two publishers, for one who reads and one who does not."""
    broker = start_broker(options=["--max-queue", "16MiB", "--max-memory", "32MiB"])
    deaf = Subscriber(broker.port, "reader", "readersecret", ["spam.mails"])
    reader = Subscriber(broker.port, "reader", "readersecret", ["spam.mails"])
    writers = [Client(broker.port, "writer", "writersecret") for _ in range(2)]
    for number in range(500):
        for writer in writers:
            writer.publish("spam.mails", b"%06d" % number + bytes(100000))
        assert [reader.next()[:6] for _ in writers] == [b"%06d" % number] * 2
    assert memory(broker.process.popen.pid) < MEMORY + (32 << 20)
    assert "reader" in broker.process.text()
    assert_served(broker)
    for client in [deaf, reader, *writers]:
        client.close()


def test_subscribing_again_and_again_takes_no_memory(start_broker, real_memory):
    broker = start_broker()
    client = Subscriber(broker.port, "reader", "readersecret", [])
    before = memory(broker.process.popen.pid)
    both = frame(SUBSCRIBE, string("reader"), b"spam.mails") * 3 + \
        frame(5, string("reader"), b"spam.mails")
    for _ in range(100):
        client.socket.sendall(both * 500)
    client.assert_silent()
    assert memory(broker.process.popen.pid) - before < 4 << 20
    client.close()


def test_half_a_handshake(start_broker, certs):
    """TLS that is begun, and not gone on with, is given up; so is what is no TLS."""
    broker = start_broker(tls=(certs.cert, certs.key), options=["--auth-timeout", "300 ms"])
    begun = [Stranger(broker.port) for _ in range(20)]
    for stranger in begun:
        stranger.socket.settimeout(20)  # less than a handshake has by itself
    for number, stranger in enumerate(begun):
        if number % 2:
            stranger.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * number)
    stranger = Stranger(broker.port)
    stranger.send(frame(AUTH, string("writer"), b"d" * 20))
    assert stranger.is_over() and all(stranger.is_over() for stranger in begun)
    client = Client(broker.port, "reader", "readersecret", certs.ca)
    client.subscribe("confirm.reader")
    client.publish("confirm.reader", b"good")
    assert client.message()[2] == b"good"


# --- the hostile brokers, again ------------------------------------------------------------------


def test_no_mail_goes_to_a_broker_that_cannot_be_one(hostile):
    for name, (_, words) in HOSTILE.items():
        collector, server = hostile[name]
        collector.wait()
        assert collector.code == 75 and words in collector.err, (name, collector)
        assert plain(collector.err) and plain(collector.out), name
        assert all(mail.flags == set() for mail in server.inbox.mails), name
        assert collector.recorded() == {} and max(map(len, collector.err.splitlines())) < 2000, name
