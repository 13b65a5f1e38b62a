"""hpfeeds-broker as a service: accounts that change, certificates, metrics, sockets, its file, and
what it lets nobody take."""
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from peers.fixtures import start_broker as start  # noqa: F401
from peers.hpfeeds import ACCOUNTS, ERROR, Client, Subscriber
from peers.process import Process, program


class Bare:
    """hpfeeds-broker with nothing but the given arguments, in a folder of its own."""

    def __init__(self, directory, *args, env=None, enter=(), **popen):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.process = Process([*enter, program("hpfeeds-broker"), *args], directory / "broker.log",
                               cwd=directory, env={"PATH": os.environ["PATH"], **(env or {})},
                               **popen)

    def await_log(self, pattern):
        deadline = time.monotonic() + 30
        while not (found := re.search(pattern, self.process.text())):
            assert time.monotonic() < deadline and self.process.popen.poll() is None, \
                self.process.text()
            time.sleep(0.01)
        return found

    @property
    def port(self):
        return int(self.await_log(r"listening on \S+ \S+:(\d+)")[1])


@pytest.fixture
def bare(tmp_path):
    started = []

    def start_one(*args, **kwargs):
        started.append(Bare(tmp_path / f"bare{len(started)}", *args, **kwargs))
        return started[-1]

    yield start_one
    for broker in started:
        broker.process.stop()


def await_log(broker, text):
    deadline = time.monotonic() + 30
    while text not in broker.process.text():
        assert time.monotonic() < deadline, broker.process.text()
        time.sleep(0.01)


def outcome(port, ident, secret):
    """What a login comes to: the ERROR's text, or "welcome"."""
    client = Client(port, ident, secret)
    client.socket.shutdown(socket.SHUT_WR)
    frame = client.frame()
    client.close()
    return "welcome" if frame is None else frame[1].decode()


def test_json_accounts_are_read_again(broker):
    users = broker.directory / "accounts.json"
    kept = Subscriber(broker.port, "reader", "readersecret", ["spam.mails"])
    changed = {**ACCOUNTS, "new": {"owner": "", "secret": "n", "pubchans": ["spam.mails"],
                                   "subchans": []}}
    del changed["reader"]
    replacement = broker.directory / "accounts.new"
    replacement.write_text(json.dumps(changed))
    replacement.rename(users)
    assert outcome(broker.port, "new", "n") == "welcome"
    assert outcome(broker.port, "reader", "readersecret") == "Authentication failed for reader"
    writer = Client(broker.port, "new", "n")
    writer.publish("spam.mails", b"who is there stays")
    assert kept.next() == b"who is there stays"
    users.write_text("{")
    await_log(broker, "the accounts stay as they were")
    assert outcome(broker.port, "new", "n") == "welcome"


class Openings:
    """Counts how often somebody opens a file."""

    IN_OPEN = 0x20

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert libc.inotify_add_watch(self.fd, os.fsencode(path), self.IN_OPEN) >= 0, \
            os.strerror(ctypes.get_errno())

    def take(self):
        """Those since the last call."""
        try:
            return len(os.read(self.fd, 1 << 16)) // 16
        except BlockingIOError:
            return 0

    def close(self):
        os.close(self.fd)


def test_accounts_of_tomorrow(start):
    """A file with a time that is to come is read again for a while, as it may change within one
    tick of its clock; then no login does."""
    broker = start()
    path = broker.directory / "accounts.json"
    os.utime(path, (time.time() + 86400,) * 2)
    openings = Openings(path)
    deadline = time.monotonic() + 60

    def opened():
        assert outcome(broker.port, "reader", "readersecret") == "welcome"
        return openings.take()

    assert opened() == 1
    while opened():
        assert time.monotonic() < deadline
    assert sum(opened() for _ in range(100)) == 0
    openings.close()


def test_sqlite_is_the_default(bare):
    """As the usual broker: no --auth, and ./sqlite.db is there with its tables."""
    broker = bare("--bind", "127.0.0.1:0")
    port = broker.port
    assert outcome(port, "trap", "s") == "Authentication failed for trap"
    with sqlite3.connect(broker.directory / "sqlite.db") as db:
        db.execute("insert into authkeys (owner, ident, secret, pubchans, subchans)"
                   " values ('me', 'trap', 's', '[\"a\"]', '[\"a\"]')")
    client = Subscriber(port, "trap", "s", ["a"])
    client.publish("a", b"hello")
    assert client.message() == ("trap", "a", b"hello")
    with sqlite3.connect(broker.directory / "sqlite.db") as db:
        assert db.execute("select * from logs, authkeys where 1=0").fetchall() == []
        db.execute("delete from authkeys")
    assert outcome(port, "trap", "s") == "Authentication failed for trap"
    client.publish("a", b"still there")
    assert client.next() == b"still there"
    client.close()


def test_sqlite_that_is_locked(bare):
    """A database that another program holds delays who asks, nobody else."""
    broker = bare("--bind", "127.0.0.1:0", "--auth", "env", "--auth", "sqlite:users.db",
                  env={"HPFEEDS_A_SECRET": "s", "HPFEEDS_A_PUBCHANS": "a",
                       "HPFEEDS_A_SUBCHANS": "a"})
    port = broker.port
    db = sqlite3.connect(broker.directory / "users.db", isolation_level=None)
    db.execute("insert into authkeys (ident, secret, pubchans) values ('slow', 's', '[\"a\"]')")
    subscriber = Subscriber(port, "a", "s", ["a"])
    db.execute("begin exclusive")
    slow = Client(port, "slow", "s")
    slow.publish("a", b"pipelined")
    subscriber.publish("a", b"meanwhile")
    assert subscriber.next() == b"meanwhile"
    subscriber.assert_silent()
    db.execute("commit")
    assert subscriber.next() == b"pipelined"
    db.close()


def fingerprint(port, ca):
    import ssl
    context = ssl.create_default_context(cafile=str(ca))
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 30),
                             server_hostname="localhost") as peer:
        return peer.getpeercert()["serialNumber"]


def test_certificate_is_loaded_again(start, certs, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(certs.cert, cert)
    shutil.copy(certs.key, key)
    broker = start(tls=(cert, key))
    before = fingerprint(broker.port, certs.ca)
    kept = Subscriber(broker.port, "reader", "readersecret", ["spam.mails"], ca=certs.ca)
    cert.write_text("broken")
    broker.process.popen.send_signal(signal.SIGHUP)
    await_log(broker, "the certificate stays as it was")
    assert fingerprint(broker.port, certs.ca) == before
    new_cert, new_key = certs.issue("second", "DNS:localhost,IP:127.0.0.1")
    shutil.copy(new_key, key)
    shutil.copy(new_cert, cert)
    await_log(broker, "loaded again")
    assert fingerprint(broker.port, certs.ca) != before
    writer = Client(broker.port, "writer", "writersecret", ca=certs.ca)
    writer.publish("spam.mails", b"x")
    assert kept.next() == b"x"


def test_ipv6(start, bare):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    broker = bare("--bind", "[::1]:0", "--auth", "env", "-e", "tcp:interface=\\:\\:1:port=0",
                  env={"HPFEEDS_A_SECRET": "s"})
    broker.await_log(r"(?s)listening on tcp \[::1\]:\d+.*listening on tcp \[::1\]:\d+")
    with socket.create_connection(("::1", broker.port), 30) as client:
        assert client.recv(5)[4] == 1


def test_a_name_of_both_families(bare, tmp_path):
    """As localhost mostly is: those who know of IPv4 alone find it, as at the usual broker."""
    hosts = tmp_path / "hosts"
    hosts.write_text("::1 both.example\n127.0.0.1 both.example\n")
    enter = ["unshare", "-m", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "-"]
    if subprocess.run([*enter, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace to be had")
    broker = bare("--bind", "both.example:0", "--auth", "env", env={"HPFEEDS_A_SECRET": "s"},
                  enter=enter)
    broker.await_log(r"listening on tcp 127\.0\.0\.1:\d+")
    assert outcome(broker.port, "a", "s") == "welcome"


def test_device(bare):
    broker = bare("-e", "tcp:interface=127.0.0.1:port=0:device=lo", "--auth", "env",
                  env={"HPFEEDS_A_SECRET": "s"})
    broker.await_log("of lo")
    assert outcome(broker.port, "a", "s") == "welcome"
    absent = subprocess.run([program("hpfeeds-broker"), "-e", "tcp:port=0:device=absent0", "--auth",
                             "env"], capture_output=True, text=True, timeout=60)
    assert absent.returncode == 1
    assert "No such device" in absent.stderr


def test_socket_activation_and_notify(tmp_path):
    """A socket as systemd passes it, and a word when it is ready and when it ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(tmp_path / "notify"))
    notify.settimeout(30)
    # LISTEN_PID is the child's own: who becomes the broker knows it.
    become = ("import os, sys; os.dup2(int(sys.argv[1]), 3); "
              "os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[2], sys.argv[2:])")
    process = Process([sys.executable, "-c", become, listener.fileno(), program("hpfeeds-broker"),
                       "--auth", "env"], tmp_path / "log",
                      env={"PATH": os.environ["PATH"], "LISTEN_FDS": "1", "HPFEEDS_A_SECRET": "s",
                           "NOTIFY_SOCKET": str(tmp_path / "notify")},
                      pass_fds=[listener.fileno()])
    try:
        assert b"READY=1" in notify.recv(1000)
        assert outcome(listener.getsockname()[1], "a", "s") == "welcome"
        assert "0.0.0.0:20000" not in process.text()
    finally:
        process.stop()
    assert b"STOPPING=1" in notify.recv(1000)
    listener.close()


def get(port, path, method="GET"):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def metrics(port):
    status, content_type, text = get(port, "/metrics")
    assert (status, content_type) == (200, "text/plain; charset=utf-8")
    values = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in values
            values[name] = float(value)
    return values


def test_metrics(start):
    broker = start(options=["--exporter", "127.0.0.1:0"])
    await_log(broker, "metrics on port")
    port = int(re.search(r"metrics on port (\d+)", broker.process.text())[1])
    assert get(port, "/healthz") == (200, "application/json; charset=utf-8", "{}")
    assert get(port, "/")[0] == 404
    assert get(port, "/metrics", "POST")[0] == 405
    prefix = "hpfeeds_broker_"
    before = metrics(port)
    assert before[prefix + "client_connections"] == 0
    subscriber = Subscriber(broker.port, "reader", "readersecret", ["spam.mails"])
    writer = Client(broker.port, "writer", "writersecret")
    for size in (10, 2000, 2000):
        writer.publish("spam.mails", b"x" * size)
    for size in (10, 2000, 2000):
        assert len(subscriber.next()) == size
    assert outcome(broker.port, "writer", "wrong") != "welcome"
    assert outcome(broker.port, 'no"body\\', "wrong") != "welcome"
    refused = Client(broker.port, "writer", "writersecret")
    refused.publish("other", b"x")
    assert refused.frame()[0] == ERROR
    now = metrics(port)
    on_channel = '{chan="spam.mails",ident="writer"}'
    for name, value in {
            "client_connections": 3,
            "connection_made_total": 5,
            'connection_ready_total{ident="writer"}': 2,
            'connection_error_total{category="invalid-secret",ident="writer"}': 1,
            'connection_error_total{category="invalid-ident",ident="no\\"body\\\\"}': 1,
            'connection_error_total{category="no-pub-permission",ident="writer"}': 1,
            'connection_lost_total{ident="None"}': 2,
            'subscriptions{chan="spam.mails",ident="reader"}': 1,
            "receive_publish_count_total" + on_channel: 3,
            "receive_publish_size_sum" + on_channel: 4010,
            "receive_publish_size_count" + on_channel: 3,
            'receive_publish_size_bucket{chan="spam.mails",ident="writer",le="1024.0"}': 1,
            'receive_publish_size_bucket{chan="spam.mails",ident="writer",le="2048.0"}': 3,
            'receive_publish_size_bucket{chan="spam.mails",ident="writer",le="+Inf"}': 3,
            'connection_send_buffer_size{ident="reader"}': 0,
    }.items():
        assert now[prefix + name] == value, name
    assert now['hpfeeds_client_authenticated_connections{ident="reader",owner="test"}'] == 1
    assert now[prefix + 'connection_send_buffer_fill_total{ident="reader"}'] >= 4010
    assert now[prefix + 'connection_send_buffer_drain_total{ident="reader"}'] >= 4010
    assert now["process_open_fds"] > 0 and now["process_resident_memory_bytes"] > 0
    subscriber.close()
    while metrics(port)[prefix + 'subscriptions{chan="spam.mails",ident="reader"}']:
        pass
    assert metrics(port)[prefix + 'connection_lost_total{ident="reader"}'] == 1


def test_metrics_of_a_thousand_names(start):
    """Whoever claims ever new names does not fill the memory with them."""
    broker = start(options=["--exporter", "127.0.0.1:0"])
    await_log(broker, "metrics on port")
    port = int(re.search(r"metrics on port (\d+)", broker.process.text())[1])
    for i in range(1010):
        assert outcome(broker.port, f"nobody{i}", "x") == f"Authentication failed for nobody{i}"
    errors = {name: value for name, value in metrics(port).items() if "error_total" in name}
    assert sum(errors.values()) == 1010
    assert len(errors) <= 1001
    assert broker.process.text().count("refused") < 200


CONFIG = """\
endpoints:
  - tcp:interface=127.0.0.1:port=0
  - {interface: 127.0.0.1, port: 0, tls: on, cert: %(cert)s, key: %(key)s}
  - tls:interface=127.0.0.1:port=0:cert=mine.pem:key=mine.key
exporter: 127.0.0.1:0
name: from the file
auth: [users.json, "sqlite:more.db"]
max_frame: 2KiB
slow_subscribers: drop-oldest
private_channels: off
durable: {reader: [spam.mails]}
store: durable
"""


def test_config(bare, certs, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "users.json").write_text(json.dumps(ACCOUNTS))
    shutil.copy(certs.cert, folder / "mine.pem")
    shutil.copy(certs.key, folder / "mine.key")
    (folder / "broker.yml").write_text(CONFIG % {"cert": certs.cert, "key": certs.key})
    broker = bare("--config", folder / "broker.yml", "--name", "from the command line")
    broker.await_log("(?s)listening on tcp .*listening on tls .*listening on tls .*metrics on port")
    assert "durable subscription reader spam.mails: 0 messages wait" in broker.process.text()
    assert (folder / "durable").is_dir()
    assert (folder / "more.db").exists()
    client = socket.create_connection(("127.0.0.1", broker.port), 30)
    assert b"from the command line" in client.recv(100)
    writer = Client(broker.port, "writer", "writersecret")
    writer.publish("spam.mails", bytes(2049))
    assert "at most 2048" in writer.frame()[1].decode()
    writer = Client(broker.port, "writer", "writersecret")
    writer.publish("confirm.writer", b"x")
    assert "not allowed" in writer.frame()[1].decode()


@pytest.mark.parametrize("text, messages", [
    ("endpoint: x", ['1:1: unknown key "endpoint"', '"endpoints"']),
    ("max_frame: 1\nmax_queue: x", [":1:12: ", ":2:12: "]),
    ("endpoints: [{interface: 127.0.0.1}]", ["an endpoint without a port"]),
    ("endpoints: [{port: 1, tls: on}]", ["without a cert"]),
    ("durable: [spam.mails]", ['"durable" is a list']),
    ("store_full: wait", ["refuse"]),
    ("- x", ["the file is a list"]),
    ("endpoints: ['udp:port=1']", ["neither tcp: nor tls:"]),
])
def test_config_that_is_wrong(tmp_path, text, messages):
    path = tmp_path / "broker.yml"
    path.write_text(text)
    result = subprocess.run([program("hpfeeds-broker"), "--config", path], capture_output=True,
                            text=True, timeout=60)
    assert result.returncode == 78
    for message in messages:
        assert message in result.stderr


def connect(port):
    return socket.create_connection(("127.0.0.1", port), 30)


def is_refused(client):
    try:
        return client.recv(100) == b""
    except ConnectionError:
        return True


def test_too_many_strangers(start):
    broker = start(options=["--max-unauthenticated", "3"])
    known = [Client(broker.port, "writer", "writersecret") for _ in range(6)]
    for client in known:
        client.publish("confirm.writer", b"x")
        client.subscribe("confirm.writer")
        client.publish("confirm.writer", b"y")
        assert client.message()[2] == b"y"
    strangers = [connect(broker.port) for _ in range(3)]
    assert all(stranger.recv(100) for stranger in strangers)
    assert is_refused(connect(broker.port))
    strangers.pop().close()
    while is_refused(client := connect(broker.port)):
        pass
    assert is_refused(connect(broker.port))


def test_too_many_from_one_address(start):
    broker = start(options=["--max-per-address", "2"])
    clients = [Client(broker.port, "writer", "writersecret") for _ in range(2)]
    assert is_refused(connect(broker.port))
    clients.pop().close()
    while is_refused(connect(broker.port)):
        pass


def test_stranger_that_is_silent(start):
    broker = start(options=["--auth-timeout", "200 ms"])
    client = connect(broker.port)
    assert client.recv(100)
    assert is_refused(client)


def test_slow_subscriber_loses_the_oldest(start):
    """drop-oldest: it is kept, and gets whole frames, in order, the newest among them."""
    broker = start(options=["--slow-subscribers", "drop-oldest", "--max-queue", "1MiB"])
    slow = Subscriber(broker.port, "reader", "readersecret", ["spam.mails"])
    quick = Subscriber(broker.port, "reader", "readersecret", ["spam.mails"])
    writer = Client(broker.port, "writer", "writersecret")
    count = 400
    for i in range(count):
        writer.publish("spam.mails", b"%06d" % i + bytes(100000))
        assert quick.next()[:6] == b"%06d" % i
    received = []
    while not received or received[-1] != count - 1:
        ident, channel, payload = slow.message()
        if channel == "spam.mails":
            assert len(payload) == 100006
            received.append(int(payload[:6]))
    assert received == sorted(set(received))
    assert len(received) < count
    assert "the oldest messages for it are dropped" in broker.process.text()


def test_memory_is_bounded_in_all(start):
    """Many slow subscribers of different channels: whoever holds most gives way."""
    channels = [f"c{i}" for i in range(8)]
    accounts = {"all": {"owner": "", "secret": "s", "pubchans": channels, "subchans": channels}}
    broker = start(accounts=accounts, options=["--max-memory", "8MiB", "--max-queue", "1GiB"])
    slow = [Subscriber(broker.port, "all", "s", [channel]) for channel in channels]
    writer = Subscriber(broker.port, "all", "s", [])
    for _ in range(150):
        for channel in channels:
            writer.publish(channel, bytes(100000))
    writer.assert_silent()
    log = broker.process.text()
    assert "memory is short" in log
    for client in slow:
        client.close()
