"""hpfeeds-broker from the outside: its options, its answers to good and to broken frames."""
import hashlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import time

import pytest

from peers.fixtures import start_broker as start  # noqa: F401
from peers.hpfeeds import (AUTH, ERROR, INFO, PUBLISH, SUBSCRIBE, Client, Subscriber, frame,
                           string)
from peers.process import memory, program

UNSUBSCRIBE = 5


def run(*args, env=None):
    return subprocess.run([program("hpfeeds-broker"), *map(str, args)], capture_output=True,
                          text=True, timeout=60, stdin=subprocess.DEVNULL,
                          env={"PATH": os.environ["PATH"], **(env or {})})


def publish(ident, channel, payload):
    return frame(PUBLISH, string(ident), string(channel), payload)


class Stranger(Client):
    """A client that has read INFO and says what it is told to say."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self._buffer = b""
        opcode, body = self.frame()
        assert opcode == INFO
        self.broker = body[1:1 + body[0]]
        self.nonce = body[1 + body[0]:]

    def auth(self, ident, secret):
        return frame(AUTH, string(ident), hashlib.sha1(self.nonce + secret.encode()).digest())


def to_end(client):
    """Reads to the clean end; returns the text of the ERROR that came, or None."""
    error = None
    while True:
        received = client.frame()
        if received is None:
            assert client._buffer == b""
            return error
        if received[0] == ERROR:
            error = received[1].decode()


def half_close(client):
    client.socket.shutdown(socket.SHUT_WR)
    return to_end(client)


@pytest.mark.parametrize("args, message", [
    (["--auth", "mongodb://127.0.0.1/hpfeeds"], "only SQLite"),
    (["--auth", "database+mysql://127.0.0.1/x"], "only SQLite"),
    (["--auth", "env", "--exporter", "9431"], "--exporter: \"9431\" is not host:port"),
    (["--auth", "env", "--max-memory", "1"], "--max-memory"),
    (["--auth", "env", "--slow-subscribers", "wait"], "one of disconnect, drop-oldest"),
    (["--auth", "env", "--store-full", "wait"], "one of refuse, drop-oldest"),
    (["--auth", "env", "--auth-timeout", "0"], "--auth-timeout"),
    (["--auth", "env", "--max-per-address", "x"], "--max-per-address"),
    (["--auth", "env", "--durable", "reader"], "IDENT=CHANNEL"),
    (["--auth", "env", "--durable", "reader=mails"], "give --store"),
    (["--auth", "env", "--bind", "20000"], "not host:port"),
    (["--auth", "env", "-e", "tcp:port=x"], "not a port"),
    (["--auth", "env", "-e", "unix:path=x"], "neither tcp: nor tls:"),
    (["--auth", "env", "--tlscert", "x"], "--tlscert and --tlskey go together"),
    (["--auth", "env", "--tlskey", "x"], "--tlscert and --tlskey go together"),
    (["--auth", "env", "--max-frame", "1"], "--max-frame"),
    (["--auth", "env", "--max-frame", "2GiB"], "--max-frame"),
    (["--auth", "env", "--max-queue", "many"], "--max-queue"),
    (["--auth", "env", "--name", "x" * 256], "--name"),
    (["--auth", "env", "--log-level", "loud"], "--log-level"),
    (["--auth", "env", "--log-format", "xml"], "--log-format"),
    (["--auth", "env", "more"], "argument too many"),
    (["--auth", "env", "--unknown"], "--unknown"),
])
def test_usage(args, message):
    result = run(*args)
    assert (result.returncode, result.stdout) == (64, "")
    assert message in result.stderr


def test_help_and_version():
    assert "--max-frame" in run("--help").stdout
    assert run("-V").stdout.startswith("hpfeeds-broker ")


@pytest.mark.parametrize("text, message", [
    (None, "No such file"),
    ("{", ":1:1:"),
    ('{"a": {}}', 'account "a": "owner" is missing'),
])
def test_bad_accounts(tmp_path, text, message):
    path = tmp_path / "users.json"
    if text is not None:
        path.write_text(text)
    result = run("--bind", "127.0.0.1:0", "--auth", path)
    assert result.returncode == 78
    assert str(path) in result.stderr and message in result.stderr


def test_bad_certificate(tmp_path):
    result = run("-e", f"tls:interface=127.0.0.1:port=0:cert={tmp_path}/absent.pem",
                 "--auth", "env", env={"HPFEEDS_A_SECRET": "s"})
    assert result.returncode == 78
    assert "absent.pem" in result.stderr


def test_port_taken(broker):
    result = run("--bind", f"127.0.0.1:{broker.port}", "--auth", "env")
    assert result.returncode == 1
    assert str(broker.port) in result.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it(start, how):
    broker = start()
    subscriber = Subscriber(broker.port, "reader", "readersecret", ["spam.mails"])
    writer = Client(broker.port, "writer", "writersecret")
    writer.publish("spam.mails", b"x")
    assert subscriber.next() == b"x"
    broker.process.popen.send_signal(how)
    # A clean end alone would confirm whatever the writer has just sent.
    assert to_end(writer) == "Broker is shutting down, try again later"
    to_end(subscriber)
    writer.close()
    subscriber.close()
    assert broker.process.popen.wait(30) == 0


def test_second_signal_ends_it_at_once(start):
    """It waits for no client then, not even for one that never hangs up."""
    broker = start()
    writer = Client(broker.port, "writer", "writersecret")
    broker.process.popen.send_signal(signal.SIGTERM)
    assert to_end(writer) == "Broker is shutting down, try again later"
    broker.process.popen.send_signal(signal.SIGINT)
    assert broker.process.popen.wait(30) == 0


def test_readable_secrets_are_warned_of(broker):
    """Told before the port is found taken, which ends it."""
    users = broker.directory / "accounts.json"
    for mode, warned in ((0o600, False), (0o644, True)):
        users.chmod(mode)
        result = run("--bind", f"127.0.0.1:{broker.port}", "--auth", users)
        assert ("can be read by everyone" in result.stderr) == warned


def test_env_accounts_and_bind(start, monkeypatch):
    monkeypatch.setenv("HPFEEDS_TRAP_SECRET", "s")
    monkeypatch.setenv("HPFEEDS_TRAP_PUBCHANS", "a,b")
    monkeypatch.setenv("HPFEEDS_TRAP_SUBCHANS", "b")
    broker = start(options=["--auth", "env", "--name", "mine"])
    for ident in ("trap", "TRAP", "Trap"):
        client = Subscriber(broker.port, ident, "s", ["b"])
        client.publish("b", b"hello")
        assert client.message() == (ident, "b", b"hello")
        client.close()
    assert Stranger(broker.port).broker == b"mine"


def test_tls(start, certs):
    broker = start(tls=(certs.cert, certs.key))
    subscriber = Subscriber(broker.port, "reader", "readersecret", ["spam.mails"], ca=certs.ca)
    writer = Client(broker.port, "writer", "writersecret", ca=certs.ca)
    payload = os.urandom(300000)
    writer.publish("spam.mails", payload)
    assert subscriber.next() == payload
    writer.close()
    subscriber.close()


def test_tls_on_bind(start, certs):
    """--bind with --tlscert and --tlskey, beside a plain endpoint."""
    broker = start(options=["--bind", "127.0.0.1:0", "--tlscert", certs.cert,
                                       "--tlskey", certs.key])
    deadline = time.monotonic() + 30
    while not (found := re.search(r"listening on tls 127\.0\.0\.1:(\d+)", broker.process.text())):
        assert time.monotonic() < deadline, broker.process.text()
        time.sleep(0.01)
    Subscriber(int(found[1]), "reader", "readersecret", ["spam.mails"], ca=certs.ca).close()


@pytest.mark.parametrize("ident, secret", [
    ("writer", "wrong"), ("writer", ""), ("nobody", "writersecret"), ("Writer", "writersecret"),
])
def test_wrong_secret(broker, ident, secret):
    client = Client(broker.port, ident, secret)
    assert to_end(client) == f"Authentication failed for {ident}"


GOOD = publish("writer", "spam.mails", b"good")

BROKEN = {
    "length 0": struct.pack(">IB", 0, PUBLISH),
    "length 4": struct.pack(">IB", 4, PUBLISH),
    "length too large": struct.pack(">IB", (10 << 20) + 1, PUBLISH),
    "length with the sign bit": struct.pack(">IB", 0x80000005, PUBLISH),
    "unknown opcode": frame(6, b"x"),
    "ERROR": frame(ERROR, b"x"),
    "INFO": frame(INFO, string("x"), b"nonce"),
    "no body": frame(PUBLISH),
    "ident longer than the body": frame(PUBLISH, b"\xffabc"),
    "channel longer than the body": frame(PUBLISH, string("writer"), b"\x20abc"),
    "ident not UTF-8": frame(PUBLISH, string(b"\xff"), string("spam.mails"), b"x"),
    "channel not UTF-8": frame(SUBSCRIBE, string("writer"), b"\xff"),
    "NUL in the channel": frame(PUBLISH, string("writer"), string("spam.mails\0"), b"x"),
    "second AUTH": frame(AUTH, string("writer"), b"d" * 20),
}


@pytest.mark.parametrize("piecewise", [False, True])
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_broken_frame(broker, subscriber, broken, piecewise):
    """ERROR and the end; what came before is forwarded, what comes behind is not."""
    client = Client(broker.port, "writer", "writersecret")
    data = GOOD + broken + GOOD
    if piecewise:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for i in range(len(data)):
                client.socket.sendall(data[i:i + 1])
        except ConnectionError:
            pass
    else:
        client.socket.sendall(data)
    assert to_end(client)
    assert subscriber.next() == b"good"
    subscriber.assert_silent()


@pytest.mark.parametrize("first", [
    publish("writer", "spam.mails", b"x"), frame(SUBSCRIBE, string("writer"), b"spam.mails"),
    frame(UNSUBSCRIBE, string("writer"), b"spam.mails"), frame(INFO, string("a"), b"nonce"),
    frame(AUTH, string("writer"), b"short"), frame(AUTH, string("writer"), b"d" * 21),
    frame(AUTH, string("writer"), b""), frame(AUTH, string(b"writer\0"), b"d" * 20),
    struct.pack(">IB", 100000, PUBLISH), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
], ids=["PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", "INFO", "short digest", "long digest", "no digest",
        "NUL in the ident", "large", "HTTP"])
def test_broken_first_frame(broker, subscriber, first):
    client = Stranger(broker.port)
    client.socket.sendall(first + GOOD)
    assert to_end(client)
    subscriber.assert_silent()


def test_pipelined(broker, subscriber):
    """AUTH, frames and the half-close in one piece: a clean end says that all were taken."""
    client = Stranger(broker.port)
    frames = b"".join(publish("writer", "spam.mails", b"%d" % i * 1000) for i in range(500))
    client.socket.sendall(client.auth("writer", "writersecret") + frames)
    assert half_close(client) is None
    for i in range(500):
        assert subscriber.next() == b"%d" % i * 1000


def test_frame_limit(start):
    broker = start(options=["--max-frame", "100KiB"])
    subscriber = Subscriber(broker.port, "reader", "readersecret", ["spam.mails"])
    payload = bytes(102400 - len(publish("writer", "spam.mails", b"")))
    good = Client(broker.port, "writer", "writersecret")
    good.publish("spam.mails", payload)
    assert half_close(good) is None
    assert subscriber.next() == payload
    large = Client(broker.port, "writer", "writersecret")
    large.publish("spam.mails", payload + b"x")
    assert "102401" in to_end(large)
    subscriber.assert_silent()
    for client in (good, large, subscriber):
        client.close()


def test_default_frame_limit(broker, subscriber):
    payload = os.urandom((10 << 20) - len(publish("writer", "spam.mails", b"")))
    writer = Client(broker.port, "writer", "writersecret")
    writer.publish("spam.mails", payload)
    assert half_close(writer) is None
    assert subscriber.next() == payload


def mails(subscriber, count):
    """The next payloads on spam.mails, without the marks of others of the same ident."""
    messages = []
    while len(messages) < count:
        _, channel, payload = subscriber.message()
        if channel == "spam.mails":
            messages.append(payload)
    return messages


def test_many_subscribers(broker):
    subscribers = [Subscriber(broker.port, "reader", "readersecret", ["spam.mails"])
                   for _ in range(60)]
    subscribers[7].close()
    subscribers[8].socket.shutdown(socket.SHUT_WR)
    assert to_end(subscribers[8]) is None
    writer = Client(broker.port, "writer", "writersecret")
    for i in range(50):
        writer.publish("spam.mails", b"%d" % i)
    for number, subscriber in enumerate(subscribers):
        if number not in (7, 8):
            assert mails(subscriber, 50) == [b"%d" % i for i in range(50)]
            subscriber.close()


def test_small_frames_take_little_more_than_they_are(start, monkeypatch):
    """What --max-queue bounds is memory, whatever the size of the frames."""
    options = os.environ.get("ASAN_OPTIONS", "")
    monkeypatch.setenv("ASAN_OPTIONS", f"{options}:quarantine_size_mb=1".lstrip(":"))
    broker = start(options=["--max-queue", "32MiB"])
    subscriber = Subscriber(broker.port, "reader", "readersecret", ["spam.mails", "spam.copy"])
    writer = Client(broker.port, "writer", "writersecret")

    before = memory(broker.process.popen.pid)
    # In turn, so that no two of them go on together, as one piece.
    frames = 100 * (publish("writer", "spam.mails", b"x") + publish("writer", "spam.copy", b"y"))
    for _ in range(3000):
        writer.socket.sendall(frames)
    assert half_close(writer) is None  # all of it is taken, and none is read
    assert memory(broker.process.popen.pid) - before < 40 << 20
    with subscriber.socket.makefile("rb") as stream:
        assert all(stream.read(len(frames)) == frames for _ in range(3000))
    subscriber.close()


def test_hostile_names_in_the_log(broker):
    client = Client(broker.port, "\x1b[31m\nforged\u202e", "x")
    assert "Authentication failed" in to_end(client)
    log = broker.process.text()
    assert "\\x1b[31m\\x0aforged" in log
    assert "\x1b" not in log and "\u202e" not in log


def test_no_private_channels(start):
    broker = start(options=["--no-private-channels"])
    client = Client(broker.port, "writer", "writersecret")
    client.publish("confirm.writer", b"x")
    assert to_end(client) == \
        "Authkey not allowed to pub here. ident=writer, chan=confirm.writer"
    client.close()


def test_json_log(start):
    broker = start(options=["--log-format", "json", "--debug"])
    Client(broker.port, "writer", "x")
    broker.stop()
    lines = [json.loads(line) for line in broker.process.text().splitlines()]
    assert {line["level"] for line in lines} >= {"info"}
