"""Durable subscriptions: what is confirmed is on disk, whatever is killed, and comes in order."""
import collections
import contextlib
import json
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from peers.collector import Run
from peers.fixtures import imap, spam  # noqa: F401
from peers.hpfeeds import ACCOUNTS, ERROR, PUBLISH, Broker, Client, Subscriber, frame, string
from peers.process import program

DURABLE = ["--durable", "reader=spam.mails"]


@pytest.fixture
def start(tmp_path):
    """start(…): a broker on the store of this test; the one before it is gone, or is killed."""
    started = []

    def start_one(*options, port=None, **kwargs):
        if started:
            started[-1].process.stop(signal.SIGKILL)
        started.append(Broker(tmp_path / f"broker{len(started)}", port=port,
                              options=[*DURABLE, "--store", tmp_path / "store", *options],
                              **kwargs))
        return started[-1]

    yield start_one
    for broker in started:
        broker.stop()


def half_close(client):
    """True: a clean end without an ERROR before it."""
    client.socket.shutdown(socket.SHUT_WR)
    try:
        frame = client.frame()
    except ConnectionError:
        return False
    return frame is None


def publish(port, payloads):
    writer = Client(port, "writer", "writersecret")
    for payload in payloads:
        writer.publish("spam.mails", payload)
    assert half_close(writer)
    writer.close()


class Reader(Client):
    """The durable subscriber: it asks for nothing but the channel."""

    def __init__(self, port, ca=None):
        super().__init__(port, "reader", "readersecret", ca)
        self.subscribe("spam.mails")

    def take(self, count):
        return [self.message()[2] for _ in range(count)]

    def close(self):
        """In good order: nothing is left unread."""
        self.socket.shutdown(socket.SHUT_WR)
        rest = []
        while (frame := self.frame()) is not None:
            rest.append(frame)
        self.socket.close()
        return rest

    def die(self):
        """As a process that is killed with unread data."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def numbers(first, last):
    return [b"%06d" % i + b"x" * (i % 5000) for i in range(first, last)]


def test_kept_while_the_subscriber_is_away(start):
    broker = start()
    publish(broker.port, numbers(0, 300))
    reader = Reader(broker.port)
    assert reader.take(300) == numbers(0, 300)
    publish(broker.port, numbers(300, 310))
    assert reader.take(10) == numbers(300, 310)
    assert reader.close() == []
    publish(broker.port, numbers(310, 320))
    reader = Reader(broker.port)
    assert reader.take(10) == numbers(310, 320)
    assert reader.close() == []


def test_confirmed_is_on_disk(start):
    """The broker is killed right behind the confirmation, by close and by echo."""
    broker = start()
    publish(broker.port, numbers(0, 50))
    broker = start()
    writer = Client(broker.port, "writer", "writersecret")
    writer.subscribe("confirm.writer")
    for payload in numbers(50, 100):
        writer.publish("spam.mails", payload)
    writer.publish("confirm.writer", b"marker")
    assert writer.message() == ("writer", "confirm.writer", b"marker")
    broker = start()
    reader = Reader(broker.port)
    assert reader.take(100) == numbers(0, 100)


def test_order_around_a_marker(start):
    """A marker is overtaken by nothing and overtakes nothing, also on other channels."""
    broker = start()
    writer = Client(broker.port, "writer", "writersecret")
    other = Subscriber(broker.port, "reader", "readersecret", ["spam.copy"])
    echoes = Client(broker.port, "writer", "writersecret")
    echoes.subscribe("confirm.writer")
    echoes.publish("confirm.writer", b"first")
    assert echoes.message()[2] == b"first"
    for i in range(100):
        writer.publish("spam.copy", b"a%d" % i)
        writer.publish("spam.mails", b"b%d" % i)
        writer.publish("confirm.writer", b"c%d" % i)
    for i in range(100):
        assert other.next() == b"a%d" % i
        assert echoes.message()[2] == b"c%d" % i
    reader = Reader(broker.port)
    assert reader.take(100) == [b"b%d" % i for i in range(100)]


def test_unacknowledged_is_sent_again(start):
    broker = start()
    publish(broker.port, numbers(0, 2000))
    reader = Reader(broker.port)
    assert reader.take(5) == numbers(0, 5)
    reader.die()
    reader = Reader(broker.port)
    assert reader.take(2000) == numbers(0, 2000)
    assert reader.close() == []
    publish(broker.port, numbers(2000, 2001))
    reader = Reader(broker.port)
    assert reader.take(1) == numbers(2000, 2001)


def test_restart_in_good_order_doubles_nothing(start):
    broker = start()
    publish(broker.port, numbers(0, 100))
    reader = Reader(broker.port)
    assert reader.take(100) == numbers(0, 100)
    broker.process.popen.send_signal(signal.SIGTERM)
    assert reader.close() == []
    broker.process.popen.wait(30)
    broker = start()
    publish(broker.port, [b"next"])
    assert Reader(broker.port).take(1) == [b"next"]


def test_second_connection_of_the_subscriber(start):
    """Two connections of the identity both get what comes; the one that stays gets the rest."""
    broker = start()
    first = Reader(broker.port)
    publish(broker.port, [b"1"])
    assert first.take(1) == [b"1"]
    second = Subscriber(broker.port, "reader", "readersecret", ["spam.mails"])
    publish(broker.port, [b"2"])
    assert first.take(1) == [b"2"]
    assert second.message()[2] == b"2"
    assert first.close() == []
    publish(broker.port, [b"3"])
    assert second.message()[2] == b"3"


@contextlib.contextmanager
def command(port, *args, stdout=subprocess.PIPE):
    """`hpfeeds subscribe` as the durable subscriber."""
    process = subprocess.Popen(
        [program("hpfeeds"), "subscribe", "-p", str(port), "-i", "reader", "-c", "spam.mails", *args],
        stdout=stdout, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "HPFEEDS_SECRET": "readersecret"})
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


SIXES = [b"%06d" % i for i in range(100)]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_command_that_is_ended_at_work(start, how):
    """It has read more than it has worked off: that comes again, nothing is lost. And it goes when it
    is told to, not when all that it has read is worked off."""
    broker = start()
    publish(broker.port, SIXES)
    with command(broker.port, "--exec", "head -c 6; echo; sleep 0.3") as first:
        assert first.stdout.readline() == b"000000\n"
        first.send_signal(how)
        first.wait(10)
    with command(broker.port, "--exec", "head -c 6; echo", "-n", "100") as second:
        assert second.communicate(timeout=60)[0].split() == SIXES
    assert second.returncode == 0
    publish(broker.port, [b"behind"])
    assert Reader(broker.port).take(1) == [b"behind"]


def test_command_that_takes_only_some(start):
    """What it has read beyond --count is not its own."""
    broker = start()
    publish(broker.port, SIXES)
    with command(broker.port, "--exec", "head -c 6; echo", "-n", "10") as some:
        assert some.communicate(timeout=60)[0].split() == SIXES[:10]
    assert Reader(broker.port).take(100) == SIXES


def test_command_that_cannot_write(start):
    broker = start()
    publish(broker.port, SIXES)
    with open("/dev/full", "wb") as full, command(broker.port, stdout=full) as failed:
        assert failed.wait(30) == 1
    assert Reader(broker.port).take(100) == SIXES


def test_unsubscribe_and_back(start):
    broker = start()
    reader = Subscriber(broker.port, "reader", "readersecret", ["spam.mails"])
    publish(broker.port, [b"1"])
    assert reader.next() == b"1"
    reader.send(5, b"\x06reader", b"spam.mails")
    reader.assert_silent()
    publish(broker.port, [b"2"])
    reader.assert_silent()
    reader.subscribe("spam.mails")
    assert reader.next() in (b"1", b"2")


def test_slow_subscriber_takes_no_memory(start):
    """It stops reading: nobody waits for it, it is not cut off, and the disk has the rest."""
    broker = start("--max-queue", "1MiB")
    reader = Reader(broker.port)
    for i in range(40):
        publish(broker.port, [b"%03d" % i + os.urandom(200000) for _ in range(4)])
    status = open(f"/proc/{broker.process.popen.pid}/status").read()
    assert "cut off" not in broker.process.text()
    payloads = reader.take(160)
    assert [int(payload[:3]) for payload in payloads] == [i for i in range(40) for _ in range(4)]
    assert "VmRSS" in status


@pytest.mark.parametrize("policy", ["refuse", "drop-oldest"])
def test_full(start, policy):
    broker = start("--store-limit", "1MiB", "--store-full", policy)
    count = 0
    writer = Client(broker.port, "writer", "writersecret")
    writer.subscribe("confirm.writer")
    error = None
    while count < 40 and not error:
        writer.publish("spam.mails", b"%06d" % count + bytes(50000))
        writer.publish("confirm.writer", b"%d" % count)
        opcode, body = writer.frame()
        if opcode == ERROR:
            error = body.decode()
        else:
            count += 1
    assert "is full" in broker.process.text()
    reader = Reader(broker.port)
    if policy == "refuse":
        assert error == "A durable subscription is full, try again later. chan=spam.mails"
        assert [int(payload[:6]) for payload in reader.take(count)] == list(range(count))
        assert reader.close() == []
        publish(broker.port, [b"there is room again"])
        assert Reader(broker.port).take(1) == [b"there is room again"]
    else:
        assert count == 40
        first = int(reader.message()[2][:6])
        assert 20 <= first < 39
        assert [int(p[:6]) for p in reader.take(39 - first)] == list(range(first + 1, 40))


def test_nothing_goes_behind_a_refusal(start):
    """What stands behind a message that did not fit is not forwarded, whatever its channel."""
    broker = start("--store-limit", "1MiB")
    other = Subscriber(broker.port, "reader", "readersecret", ["spam.copy"])
    full = bytes(50000)
    while True:
        writer = Client(broker.port, "writer", "writersecret")
        writer.publish("spam.mails", full)
        if not half_close(writer):
            break
    writer = Client(broker.port, "writer", "writersecret")
    writer.socket.sendall(b"".join(
        frame(PUBLISH, string("writer"), string(channel), payload)
        for channel, payload in (("spam.mails", full), ("spam.copy", b"behind"))))
    assert writer.frame()[0] == ERROR
    other.assert_silent()


def test_names_of_accounts(start):
    """Written as the environment's are, in any case; one that nobody has is told of."""
    env = {"HPFEEDS_LISTENER_SECRET": "s", "HPFEEDS_LISTENER_SUBCHANS": "spam.mails"}
    broker = start("--auth", "env", "--durable", "LISTENER=spam.mails", "--durable", "nobody=x",
                   "--durable", "reader=other", env=env)
    publish(broker.port, [b"kept"])
    client = Client(broker.port, "LISTENER", "s")
    client.subscribe("spam.mails")
    assert client.message()[2] == b"kept"
    assert "subscription nobody x: there is no account of that name" in broker.process.text()
    assert "subscription reader other: the account may not" in broker.process.text()


def test_strangers_leave_descriptors_for_the_disk(start):
    """As many connect as are let: what a publisher who is known sends is kept all the same."""
    broker = start(before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300)))
    writer = Client(broker.port, "writer", "writersecret")
    strangers = [socket.create_connection(("127.0.0.1", broker.port), 30) for _ in range(400)]
    deadline = time.monotonic() + 30
    while len(os.listdir(f"/proc/{broker.process.popen.pid}/fd")) < 236:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    writer.publish("spam.mails", b"kept")
    assert half_close(writer)
    for stranger in strangers:
        stranger.close()
    assert Reader(broker.port).take(1) == [b"kept"]


def test_store_is_for_one_broker(start, tmp_path):
    start()
    with pytest.raises(RuntimeError, match="another broker uses it"):
        Broker(tmp_path / "second", options=[*DURABLE, "--store", tmp_path / "store"])


def test_nothing_confirmed_is_lost_in_any_kill(start):
    """Broker and subscriber are killed again and again, at random moments: every message that was
    confirmed arrives, in the order of its confirmation when doubles are left out."""
    dice = random.Random(os.urandom(8))
    confirmed, received = [], []
    broker = start()
    port, number = broker.port, 0
    for _ in range(12):
        stop = threading.Event()

        def read(to=received):
            try:
                reader = Reader(port)
                while not stop.is_set():
                    to.append(reader.message()[2])
            except (ConnectionError, OSError, AssertionError, TypeError):
                pass

        thread = threading.Thread(target=read)
        thread.start()
        killer = threading.Timer(dice.random() * 0.3,
                                 broker.process.popen.send_signal, [signal.SIGKILL])
        killer.start()
        try:
            while True:
                batch = [b"%d" % (number + i) + b" " * dice.randrange(20000) for i in range(20)]
                number += 20
                writer = Client(port, "writer", "writersecret")
                for payload in batch:
                    writer.publish("spam.mails", payload)
                if not half_close(writer):
                    break
                confirmed += batch
        except (ConnectionError, OSError, TypeError):
            pass
        killer.join()
        stop.set()
        thread.join()
        broker = start(port=port)
    reader = Reader(port)
    publish(port, [b"last"])
    while not received or received[-1] != b"last":
        received.append(reader.message()[2])
    count = collections.Counter(received)
    missing = [payload[:10] for payload in confirmed if payload not in count]
    assert not missing, f"{len(missing)} of {len(confirmed)} are lost: {missing[:5]}"
    first = {}
    for position, payload in enumerate(received):
        first.setdefault(payload, position)
    order = [first[payload] for payload in confirmed]
    assert order == sorted(order)


def test_disk_that_is_full(start, tmp_path):
    """What cannot be written is refused, not confirmed; what was, is there."""
    broker = start()
    publish(broker.port, [b"kept"])
    pid = broker.process.popen.pid
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1000, unlimited[1]))
    writer = Client(broker.port, "writer", "writersecret")
    writer.publish("spam.mails", bytes(5000))
    writer.socket.shutdown(socket.SHUT_WR)
    opcode, body = writer.frame()
    assert (opcode, body) == (ERROR, b"A message could not be stored, try again later")
    assert writer.frame() is None
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
    publish(broker.port, [b"kept, too"])
    broker = start()
    assert Reader(broker.port).take(2) == [b"kept", b"kept, too"]
    assert ACCOUNTS["reader"]["pubchans"] == []


def test_tls(start, certs):
    """What is acknowledged is known through TLS, too: an end in good order doubles nothing, a reset
    loses nothing."""
    tls = (certs.cert, certs.key)
    broker = start(tls=tls)

    def publish_tls(payloads):
        writer = Client(broker.port, "writer", "writersecret", certs.ca)
        writer.subscribe("confirm.writer")
        for payload in payloads:
            writer.publish("spam.mails", payload)
        writer.publish("confirm.writer", b"marker")
        assert writer.message()[2] == b"marker"

    publish_tls(numbers(0, 1000))
    reader = Reader(broker.port, certs.ca)
    assert reader.take(10) == numbers(0, 10)
    reader.die()
    reader = Reader(broker.port, certs.ca)
    assert reader.take(1000) == numbers(0, 1000)
    reader.socket.unwrap().close()
    publish_tls([b"next"])
    assert Reader(broker.port, certs.ca).take(1) == [b"next"]


def test_all_are_killed_and_every_mail_arrives(start, imap, tmp_path):  # noqa: F811
    """The backend is away; broker and collector are killed at any moment, again and again, and
    started again; the backend comes back: it gets every mail. `echo` is found by itself."""
    dice = random.Random(os.urandom(8))
    mails = spam(400, 20000)
    server = imap(mails)
    broker = start()
    port = broker.port
    feed = {"broker": "127.0.0.1", "port": port, "identity": "writer", "secret": "writersecret",
            "channels": ["spam.mails"]}
    trap = {"username": "trap", "password": "secret", "protocol": "imap", "host": "127.0.0.1",
            "port": server.port, "tls": "none"}
    for _ in range(6):
        collector = Run(tmp_path / "collector", feed, [trap])
        victims = [collector.kill, lambda: broker.process.popen.send_signal(signal.SIGKILL)]
        dice.shuffle(victims)
        killers = [threading.Timer(0.1 + dice.random() * 0.7, victim) for victim in victims]
        for killer in killers:
            killer.start()
        for killer in killers:
            killer.join()
        collector.process.communicate()
        broker = start(port=port)
    result = Run(tmp_path / "collector", feed, [trap]).wait()
    assert result.code == 0, result.err
    assert "echo" in result.err
    broker = start(port=port)
    wanted, got = set(mails), set()
    reader = Reader(port)
    while wanted - got:
        got.add(json.loads(reader.message()[2])["msg"].encode())
    assert got == wanted
