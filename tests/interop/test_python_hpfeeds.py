"""With the usual broker and its clients (the Python package `hpfeeds`), by hand: docs/hpfeeds.md says
how. The same sequences are sent to both brokers, and both must answer alike."""
import asyncio
import hashlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from peers.fixtures import imap, run, spam, start  # noqa: F401
from peers.hpfeeds import AUTH, PUBLISH, SUBSCRIBE, Client, Subscriber, frame, string
from peers.process import Process, free_port, program, wait_for_port

PACKAGE = os.environ.get("IMAP_COLLECTOR_HPFEEDS")
if PACKAGE:
    sys.path.insert(0, PACKAGE)
pytest.importorskip("hpfeeds.broker.server", reason="IMAP_COLLECTOR_HPFEEDS does not name the "
                    "folder of the Python package hpfeeds")

ACCOUNTS = {
    "writer": {"owner": "w", "secret": "writersecret", "pubchans": ["spam.mails", "both"],
               "subchans": ["both", "confirm.writer"]},
    "reader": {"owner": "r", "secret": "readersecret", "pubchans": [],
               "subchans": ["spam.mails", "both"]},
}
ACCOUNTS["writer"]["pubchans"].append("confirm.writer")

PYTHON_BROKER = """
import asyncio, json, sys
from hpfeeds.broker.auth.json import Authenticator
from hpfeeds.broker.server import Server

async def main():
    auth = Authenticator(sys.argv[2])
    auth.load()
    auth.start = lambda: asyncio.sleep(0)
    server = Server(auth, exporter="127.0.0.1:" + sys.argv[3])
    server.add_endpoint_legacy("127.0.0.1:" + sys.argv[1])
    await server.serve_forever()

asyncio.run(main())
"""


def environment(**more):
    return {**os.environ, "PYTHONPATH": PACKAGE or "", **more}


class Running:
    """A broker of either kind, with the same arguments."""

    def __init__(self, kind, folder, port=None, exporter=None):
        folder.mkdir(exist_ok=True)
        users = folder / "users.json"
        users.write_text(json.dumps(ACCOUNTS))
        users.chmod(0o600)
        self.port, self.exporter = port or free_port(), exporter or free_port()
        argv = [sys.executable, "-c", PYTHON_BROKER, self.port, users, self.exporter]
        if kind == "ours":
            argv = [program("hpfeeds-broker"), "--bind", f"127.0.0.1:{self.port}",
                    "--exporter", f"127.0.0.1:{self.exporter}", "--auth", users]
        self.process = Process(argv, folder / f"{kind}.log", env=environment())
        wait_for_port(self.port, self.process.popen, folder / f"{kind}.log")
        wait_for_port(self.exporter, self.process.popen, folder / f"{kind}.log")

    def metrics(self):
        url = f"http://127.0.0.1:{self.exporter}/metrics"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()

    def await_subscribed(self):
        """Subscriptions have no answer: the broker's own figure tells."""
        wanted = 'hpfeeds_broker_subscriptions{chan="spam.mails",ident="reader"} 1.0'
        deadline = time.monotonic() + 30
        while wanted not in self.metrics():
            assert time.monotonic() < deadline

    def stop(self, how=signal.SIGTERM):
        self.process.stop(how)


@pytest.fixture
def brokers(tmp_path):
    both = {kind: Running(kind, tmp_path / kind) for kind in ("ours", "python")}
    yield both
    for broker in both.values():
        broker.stop(signal.SIGKILL)


@pytest.fixture
def ours(tmp_path):
    broker = Running("ours", tmp_path / "ours")
    yield broker
    broker.stop()


@pytest.fixture
def pythons(tmp_path):
    broker = Running("python", tmp_path / "python")
    yield broker
    broker.stop(signal.SIGKILL)


def auth(ident, secret):
    return lambda nonce: frame(AUTH, string(ident), hashlib.sha1(nonce + secret.encode()).digest())


def publish(ident, channel, payload):
    return lambda nonce: frame(PUBLISH, string(ident), string(channel), payload)


def subscribe(ident, channel, opcode=SUBSCRIBE):
    return lambda nonce: frame(opcode, string(ident), channel.encode())


WRITER, READER = auth("writer", "writersecret"), auth("reader", "readersecret")

# What a client says in one go; then it half-closes and reads to the end.
SEQUENCES = {
    "nothing": [],
    "login": [WRITER],
    "login of another": [READER],
    "wrong secret": [auth("writer", "wrong")],
    "empty secret": [auth("writer", "")],
    "unknown ident": [auth("nobody", "writersecret")],
    "ident in capitals": [auth("WRITER", "writersecret")],
    "umlaut in the ident": [auth("schröder", "x")],
    "publish first": [publish("writer", "spam.mails", b"x")],
    "subscribe first": [subscribe("reader", "spam.mails")],
    "unsubscribe first": [subscribe("reader", "spam.mails", 5)],
    "publish": [WRITER, publish("writer", "spam.mails", b"x")],
    "publish nothing": [WRITER, publish("writer", "spam.mails", b"")],
    "publish all bytes": [WRITER, publish("writer", "spam.mails", bytes(range(256)) * 100)],
    "publish where it may not": [WRITER, publish("writer", "other", b"x")],
    "publish as another": [WRITER, publish("reader", "spam.mails", b"x")],
    "reader publishes": [READER, publish("reader", "spam.mails", b"x")],
    "subscribe": [READER, subscribe("reader", "spam.mails")],
    "subscribe where it may not": [READER, subscribe("reader", "other")],
    "subscribe under another name": [READER, subscribe("writer", "spam.mails")],
    "unsubscribe from nothing": [READER, subscribe("reader", "spam.mails", 5)],
    "own message comes back": [WRITER, subscribe("writer", "both"),
                               publish("writer", "both", b"1"), publish("writer", "both", b"2")],
    "not after unsubscribing": [WRITER, subscribe("writer", "both"),
                                publish("writer", "both", b"1"), subscribe("writer", "both", 5),
                                publish("writer", "both", b"2")],
    "messages before a refusal": [WRITER, subscribe("writer", "both"),
                                  publish("writer", "both", b"1"), publish("writer", "other", b"2"),
                                  publish("writer", "both", b"3")],
}


def exchange(port, sequence):
    """The frames that come back, up to the end."""
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        data = b""
        while len(data) < 4 or len(data) < struct.unpack(">I", data[:4])[0]:
            data += client.recv(1000)
        assert data[4] == 1
        nonce = data[6 + data[5]:]
        client.sendall(b"".join(part(nonce) for part in sequence))
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := client.recv(1 << 16):
            answer += chunk
    frames = []
    while answer:
        length, opcode = struct.unpack(">IB", answer[:5])
        frames.append((opcode, answer[5:length]))
        answer = answer[length:]
    return data[5:6 + data[5]], len(nonce), frames


@pytest.mark.parametrize("name", SEQUENCES)
def test_same_answers(brokers, name):
    answers = {kind: exchange(broker.port, SEQUENCES[name]) for kind, broker in brokers.items()}
    # The usual broker goes on with what it has read behind a refused frame, until it closes.
    if name == "messages before a refusal":
        answers["python"] = (*answers["python"][:2], answers["python"][2][:2])
    assert answers["ours"] == answers["python"]


# Not compared: how much the same bytes are queued as, times, and what the process takes.
UNLIKE = re.compile(r"process_|python_|_created|_fill_|_drain_|buffer_size|authenticated_connections")


def figures(text):
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
            if not line.startswith("#") and not UNLIKE.search(line)}


def test_same_metrics(brokers):
    """After the same sequences the same figures, under the same names."""
    kept, texts = [], {}
    # The usual broker counts subscriptions it refused, and below zero.
    leave_out = {"messages before a refusal", "subscribe where it may not",
                 "unsubscribe from nothing"}
    for kind, broker in brokers.items():
        for name, sequence in SEQUENCES.items():
            if name not in leave_out:
                exchange(broker.port, sequence)
        client = Subscriber(broker.port, "writer", "writersecret", ["both"])
        kept.append(client)
        deadline = time.monotonic() + 30
        while figures(broker.metrics())["hpfeeds_broker_client_connections"] != 1:
            assert time.monotonic() < deadline
        texts[kind] = broker.metrics()
    own = re.compile(r"subscriber_|durable_|queued_bytes")
    mine = {name: value for name, value in figures(texts["ours"]).items() if not own.search(name)}
    theirs = figures(texts["python"])
    # One probe of the tests' own is a connection that says nothing.
    assert {name: (mine.get(name), theirs.get(name)) for name in {*mine, *theirs}
            if mine.get(name, 0) != theirs.get(name, 0)} == {}
    names = {kind: set(re.findall(r"# TYPE (hpfeeds_\S+)", text)) for kind, text in texts.items()}
    assert not {name for name in names["python"] if not name.endswith("_created")} - names["ours"]


def test_asyncio_client(ours):
    from hpfeeds.asyncio import ClientSession

    async def talk():
        async with ClientSession("127.0.0.1", ours.port, "reader", "readersecret") as reader, \
                ClientSession("127.0.0.1", ours.port, "writer", "writersecret") as writer:
            reader.subscribe("spam.mails")
            await asyncio.to_thread(ours.await_subscribed)
            for i in range(100):
                writer.publish("spam.mails", b"%d" % i + bytes(10000))
            for i in range(100):
                ident, channel, payload = await asyncio.wait_for(reader.read(), 30)
                assert (ident, channel) == ("writer", "spam.mails")
                assert payload == b"%d" % i + bytes(10000)

    asyncio.run(talk())


def test_blocking_client(ours):
    import hpfeeds
    got = []
    reader = hpfeeds.new("127.0.0.1", ours.port, "reader", "readersecret")
    reader.subscribe("spam.mails")
    thread = threading.Thread(target=reader.run, daemon=True, args=(
        lambda ident, channel, payload: (got.append(payload), len(got) == 20 and reader.stop()),
        lambda error: reader.stop()))
    thread.start()
    writer = hpfeeds.new("127.0.0.1", ours.port, "writer", "writersecret")
    ours.await_subscribed()
    for i in range(20):
        writer.publish("spam.mails", b"%d" % i)
    assert writer.wait(1) is None
    thread.join(30)
    assert got == [b"%d" % i for i in range(20)]
    writer.publish("other", b"x")
    assert writer.wait(5) == "Authkey not allowed to pub here. ident=writer, chan=other"
    writer.close()


def python_cli(port, ident, secret, *args):
    return [sys.executable, "-c", "from hpfeeds.scripts.cli import main; main()", "--host",
            "127.0.0.1", "-p", str(port), "-i", ident, "-s", secret, *args]


def test_python_cli(ours):
    with subprocess.Popen(python_cli(ours.port, "reader", "readersecret", "-c", "spam.mails",
                                     "subscribe"), stdout=subprocess.PIPE, text=True,
                          env=environment(PYTHONUNBUFFERED="1")) as reader:
        assert "connected to hpfeeds" in reader.stdout.readline()
        ours.await_subscribed()
        done = subprocess.run(python_cli(ours.port, "writer", "writersecret", "-c", "spam.mails",
                                         "publish", "hello"), env=environment(), timeout=60)
        assert done.returncode == 0
        assert "publish to spam.mails by writer: b'hello'" in reader.stdout.readline()
        reader.kill()


def test_our_cli(pythons):
    options = ["--host", "127.0.0.1", "-p", str(pythons.port)]
    with subprocess.Popen([program("hpfeeds"), "subscribe", *options, "-i", "reader", "-c",
                           "spam.mails", "-n", "2", "--raw"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE,
                          env=environment(HPFEEDS_SECRET="readersecret")) as reader:
        while b"subscribed" not in reader.stderr.readline():
            pass
        pythons.await_subscribed()
        for text in ("one", "two"):
            done = subprocess.run([program("hpfeeds"), "publish", *options, "-i", "writer", "-c",
                                   "spam.mails", text], timeout=60,
                                  env=environment(HPFEEDS_SECRET="writersecret"))
            assert done.returncode == 0
        assert reader.stdout.read() == b"onetwo"
        assert reader.wait(60) == 0
    refused = subprocess.run([program("hpfeeds"), "publish", *options, "-i", "writer", "-c",
                              "other", "x"], timeout=60, capture_output=True,
                             env=environment(HPFEEDS_SECRET="writersecret"))
    assert refused.returncode == 1 and b"not allowed to pub here" in refused.stderr


@pytest.mark.parametrize("confirm", ["auto", "echo", "close"])
def test_our_collector(pythons, imap, run, confirm):  # noqa: F811
    mails = spam(30)
    server = imap(mails)
    reader = Subscriber.__new__(Subscriber)
    Client.__init__(reader, pythons.port, "reader", "readersecret")
    reader.subscribe("spam.mails")
    pythons.await_subscribed()
    feed = {"broker": "127.0.0.1", "port": pythons.port, "identity": "writer",
            "secret": "writersecret", "channels": ["spam.mails"], "confirm": confirm}
    result = run(feed, [{"username": "trap", "password": "secret", "protocol": "imap",
                         "host": "127.0.0.1", "port": server.port, "tls": "none"}])
    got = sorted(json.loads(reader.message()[2])["msg"].encode() for _ in mails)
    assert got == sorted(mails), result


def test_replaced_under_its_clients(tmp_path):
    """The usual broker is stopped, ours is started with the same arguments: running publishers and
    subscribers go on."""
    from hpfeeds.asyncio import ClientSession
    first = Running("python", tmp_path / "one")

    async def talk():
        async with ClientSession("127.0.0.1", first.port, "reader", "readersecret") as reader, \
                ClientSession("127.0.0.1", first.port, "writer", "writersecret") as writer:
            reader.subscribe("spam.mails")
            await asyncio.to_thread(first.await_subscribed)
            writer.publish("spam.mails", b"before")
            assert (await asyncio.wait_for(reader.read(), 30))[2] == b"before"
            first.stop(signal.SIGKILL)
            second = Running("ours", tmp_path / "two", first.port, first.exporter)
            try:
                for i in range(300):
                    writer.publish("spam.mails", b"after")
                    try:
                        message = await asyncio.wait_for(reader.read(), 0.2)
                        assert message == ("writer", "spam.mails", b"after")
                        return
                    except asyncio.TimeoutError:
                        pass
                raise AssertionError("nothing arrives any more")
            finally:
                second.stop(signal.SIGKILL)

    try:
        asyncio.run(talk())
    finally:
        first.stop(signal.SIGKILL)
