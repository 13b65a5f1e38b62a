"""The hpfeeds command against the project's broker, and against brokers that misbehave."""
import base64
import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from peers.fixtures import plain
from peers.hpfeeds import ERROR, INFO, PUBLISH, Broker, Client, frame
from peers.process import free_port, program

USAGE, REFUSED, UNREACHABLE = 64, 1, 75


def options(port, ident="writer", channels=("spam.mails",)):
    chosen = ["--host", "127.0.0.1", "-p", str(port), "-i", ident]
    for channel in channels:
        chosen += ["-c", channel]
    return chosen


def environment(secret):
    env = {key: value for key, value in os.environ.items() if key != "HPFEEDS_SECRET"}
    return {**env, "HPFEEDS_SECRET": secret} if secret is not None else env


def hpfeeds(*args, secret="writersecret", stdin=b""):
    return subprocess.run([program("hpfeeds"), *map(str, args)], input=stdin, capture_output=True,
                          timeout=120, env=environment(secret))


class Subscription:
    """`hpfeeds subscribe`, running, and known to be subscribed."""

    def __init__(self, directory, port, *args, channels=("spam.mails",)):
        directory.mkdir(exist_ok=True)
        self.out = directory / "out"
        with open(self.out, "wb") as out, open(directory / "log", "wb") as log:
            self.popen = subprocess.Popen(
                [program("hpfeeds"), "subscribe", *options(port, "reader", channels), "--confirm",
                 *map(str, args)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=environment("readersecret"))
        self.log = directory / "log"
        self.wait_for("subscribed to " + channels[-1])

    def wait_for(self, text, times=1):
        deadline = time.monotonic() + 60
        while self.log.read_text().count(text) < times:
            assert self.popen.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)

    def finish(self):
        """The exit code and the output, when it has ended by itself."""
        code = self.popen.wait(60)
        return code, self.out.read_bytes()


@pytest.fixture
def subscription(tmp_path, broker):
    started = []

    def start(*args, **kwargs):
        started.append(Subscription(tmp_path / f"subscription{len(started)}", broker.port, *args,
                                    **kwargs))
        return started[-1]

    yield start
    for each in started:
        if each.popen.poll() is None:
            each.popen.kill()
        each.popen.wait()


@pytest.mark.parametrize("args, message", [
    ([], "no action"),
    (["listen"], "the action is one of"),
    (["subscribe"], "no ident"),
    (["subscribe", "-i", "a"], "no channel"),
    (["subscribe", "-i", "a", "-c", "b", "more"], "argument too many"),
    (["subscribe", "-i", "a", "-c", ""], "channel is empty"),
    (["subscribe", "-i", "", "-c", "b"], "ident is empty"),
    (["subscribe", "-i", "a", "-c", "b" * 128], "channel has 128 bytes"),
    (["subscribe", "-i", "a", "-c", "b", "-p", "0"], "--port"),
    (["subscribe", "-i", "a", "-c", "b", "-p", "65536"], "--port"),
    (["subscribe", "-i", "a", "-c", "b", "-n", "0"], "--count"),
    (["subscribe", "-i", "a", "-c", "b", "--max-frame", "x"], "--max-frame"),
    (["publish", "-i", "a", "-c", "b"], "nothing to publish"),
    (["sendfile", "-i", "a", "-c", "b"], "nothing to publish"),
    (["publish", "-i", "a", "-c", "b", "--mail", "x"], "are for subscribe"),
    (["publish", "-i", "a", "-c", "b", "--format", "maildir=x", "x"], "are for subscribe"),
    (["publish", "-i", "a", "-c", "b", "--exec", "x", "x"], "are for subscribe"),
    (["publish", "-i", "a", "-c", "b", "--size", "1", "x"], "are for bench"),
    (["publish", "-i", "a", "-c", "b", "--count", "1", "x"], "is for subscribe and bench"),
    (["subscribe", "-i", "a", "-c", "b", "--format", "xml"], "one of raw, json, mail, maildir=DIR"),
    (["subscribe", "-i", "a", "-c", "b", "--format", "raw", "--format", "json"], "two formats"),
    (["subscribe", "-i", "a", "-c", "b", "--retry", "soon"], "--retry"),
    (["bench", "-i", "a", "x"], "an argument too many"),
    (["publish", "-i", "a", "-c", "b", "--unknown", "x"], "--unknown"),
])
def test_usage(args, message):
    result = hpfeeds(*args)
    assert (result.returncode, result.stdout) == (USAGE, b"")
    assert message in result.stderr.decode()


def test_no_secret():
    result = hpfeeds("subscribe", "-i", "a", "-c", "b", secret=None)
    assert result.returncode == USAGE and b"no secret" in result.stderr


def test_help_and_version():
    assert b"--secret-file" in hpfeeds("--help").stdout
    assert hpfeeds("-V").stdout.startswith(b"hpfeeds ")


def test_lines(broker, subscription):
    """One line a message, whatever is in it."""
    wanted = subscription("-n", "4")
    writer = Client(broker.port, "writer", "writersecret")
    long = "ä€\U0001f600" * 3000
    for payload in (b"plain \\", b"\x00\n\r\x1b[31m\xff", "gr\u00fc\u00dfe\u202e".encode(),
                    long.encode()):
        writer.publish("spam.mails", payload)
    code, out = wanted.finish()
    assert code == 0
    assert out.decode().splitlines() == ["publish to spam.mails by writer: " + text for text in (
        "plain \\\\", "\\x00\\x0a\\x0d\\x1b[31m\\xff", "gr\u00fc\u00dfe\\xe2\\x80\\xae", long)]


@pytest.mark.parametrize("payload", [
    b"", b"a", bytes(range(256)) * 5, os.urandom(3_000_000),
], ids=["empty", "one byte", "all bytes", "large"])
def test_publish_bytes(broker, subscriber, tmp_path, payload):
    path = tmp_path / "payload"
    path.write_bytes(payload)
    assert hpfeeds("publish", *options(broker.port), "-", stdin=payload).returncode == 0
    assert hpfeeds("sendfile", *options(broker.port), path).returncode == 0
    assert [subscriber.next(), subscriber.next()] == [payload, payload]
    subscriber.assert_silent()


def test_publish_arguments(broker, subscriber):
    assert hpfeeds("publish", *options(broker.port), "{\"event\":", "\"ping\"}").returncode == 0
    assert hpfeeds(*options(broker.port), "publish", "--", "-n", "-").returncode == 0
    assert subscriber.next() == b'{"event": "ping"}'
    assert subscriber.next() == b"-n -"


def test_sendfile_many(broker, tmp_path, subscription):
    """Every file on every channel, in order."""
    wanted = subscription("--raw", "-n", "80", channels=("spam.mails", "spam.copy"))
    paths = []
    for i in range(40):
        paths.append(tmp_path / f"file{i}")
        paths[-1].write_bytes(b"<%d>" % i)
    result = hpfeeds("sendfile", *options(broker.port, channels=("spam.mails", "spam.copy")), *paths)
    assert result.returncode == 0
    assert b"80 messages taken" in result.stderr
    assert wanted.finish() == (0, b"".join(b"<%d><%d>" % (i, i) for i in range(40)))


def test_sendfile_unreadable(broker, tmp_path, subscriber):
    result = hpfeeds("sendfile", *options(broker.port), tmp_path / "absent")
    assert result.returncode == REFUSED
    assert b"absent: No such file" in result.stderr
    subscriber.assert_silent()


def test_own_frame_limit(broker, subscriber):
    result = hpfeeds("publish", *options(broker.port), "--max-frame", "1KiB", "x" * 1024)
    assert result.returncode == REFUSED and b"--max-frame" in result.stderr
    subscriber.assert_silent()


def test_brokers_frame_limit(broker, subscriber):
    result = hpfeeds("publish", *options(broker.port), "-", stdin=bytes(11 << 20))
    assert result.returncode in (REFUSED, UNREACHABLE)
    subscriber.assert_silent()


@pytest.mark.parametrize("action", [["publish", "x"], ["subscribe"]])
@pytest.mark.parametrize("ident, secret, channel, message", [
    ("writer", "wrong", "spam.mails", "Authentication failed for writer"),
    ("nobody", "writersecret", "spam.mails", "Authentication failed for nobody"),
    ("writer", "writersecret", "other", "Authkey not allowed to"),
])
def test_refused(broker, action, ident, secret, channel, message):
    result = hpfeeds(*action, *options(broker.port, ident, [channel]), secret=secret)
    assert (result.returncode, result.stdout) == (REFUSED, b"")
    assert message in result.stderr.decode()


def test_secret_file(broker, tmp_path):
    path = tmp_path / "secret"
    path.write_text("writersecret\nmore\n")
    args = ["publish", *options(broker.port), "--secret-file", path, "x"]
    assert hpfeeds(*args, secret=None).returncode == 0
    assert hpfeeds(*args, secret="wrong").returncode == 0
    path.write_text("\n")
    assert hpfeeds(*args).returncode == REFUSED
    path.unlink()
    assert b"No such file" in hpfeeds(*args).stderr


@pytest.mark.parametrize("given", [["-s", "readersecret"], ["-sreadersecret"],
                                   ["--secret=readersecret"]])
def test_secret_not_in_the_process_list(broker, tmp_path, subscription, given):
    started = subscription(*given)
    command_line = pathlib.Path(f"/proc/{started.popen.pid}/cmdline").read_bytes()
    assert b"spam.mails" in command_line
    assert b"readersecret" not in command_line


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_subscribe(broker, subscription, how):
    started = subscription()
    started.popen.send_signal(how)
    assert started.finish() == (0, b"")


def test_unreachable():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert hpfeeds("publish", *options(port), "x").returncode == UNREACHABLE
        assert hpfeeds("subscribe", *options(port)).returncode == UNREACHABLE


@pytest.fixture
def tls_broker(tmp_path, certs):
    started = Broker(tmp_path / "broker", tls=(certs.cert, certs.key))
    yield started
    started.stop()


def test_tls(tls_broker, certs):
    args = options(tls_broker.port)
    assert hpfeeds("publish", *args, "--tlscert", certs.ca, "x").returncode == 0
    assert hpfeeds("publish", *args, "--tls", "x").returncode == REFUSED
    assert hpfeeds("publish", *args, "--tlscert", certs.key, "x").returncode == REFUSED


def test_subscribe_again_after_loss(tmp_path, broker, subscription):
    started = subscription("-n", "2")
    Client(broker.port, "writer", "writersecret").publish("spam.mails", b"one")
    deadline = time.monotonic() + 60
    while not started.out.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    broker.stop()
    started.wait_for("connecting again")
    again = Broker(tmp_path / "again", port=broker.port)
    try:
        started.wait_for("subscribed to", 2)
        Client(again.port, "writer", "writersecret").publish("spam.mails", b"two")
        code, out = started.finish()
    finally:
        again.stop()
    assert code == 0
    assert [line[-3:] for line in out.splitlines()] == [b"one", b"two"]


GREETING = frame(INFO, b"\x04fakenonce")


class Fake:
    """A broker of one connection: sends, reads some, sends, ends."""

    def __init__(self, first, read=None, then=b"", reset=False):
        self.port = free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.script = first, read, then, reset
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        first, read, then, reset = self.script
        conn, _ = self.listener.accept()
        conn.settimeout(60)
        conn.sendall(first)
        try:
            if read == "all":
                while conn.recv(65536):
                    pass
            elif read == "some":
                conn.recv(1)
            conn.sendall(then)
            if reset:
                conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                conn.shutdown(socket.SHUT_WR)
                while conn.recv(65536):  # what is left unread makes a reset of the end
                    pass
        except OSError:
            pass
        conn.close()
        self.listener.close()


@pytest.mark.parametrize("fake, code, message", [
    (dict(first=GREETING, read="all"), 0, "1 message taken"),
    (dict(first=GREETING, read="all", then=frame(PUBLISH, b"\x01a\x01bx")), 0, "1 message taken"),
    (dict(first=GREETING, read="all", then=frame(ERROR, b"no")), REFUSED, "refused by the broker: no"),
    (dict(first=GREETING, read="all", then=frame(ERROR, b"\x1b[2J")), REFUSED, "\\x1b[2J"),
    (dict(first=GREETING, read="all", then=frame(ERROR, b"no, writersecret")), REFUSED,
     "its words repeat the secret"),
    # About the broker, not about us: worth another try.
    (dict(first=GREETING, read="all", then=frame(ERROR, b"full, try again later. chan=b")),
     UNREACHABLE, "not confirmed: the broker says: full, try again later. chan=b"),
    (dict(first=frame(ERROR, b"try again later")), UNREACHABLE, "the broker says: try again later"),
    # hpfeeds/broker's ERROR has one byte more than its length says.
    (dict(first=GREETING, read="all", then=frame(ERROR, b"no") + b"!"), REFUSED, "no"),
    (dict(first=GREETING, read="all", then=GREETING), UNREACHABLE, "not confirmed"),
    (dict(first=GREETING, read="all", reset=True), UNREACHABLE, "not confirmed"),
    (dict(first=GREETING, read="some", reset=True), UNREACHABLE, "not confirmed"),
    (dict(first=b""), UNREACHABLE, "ended"),
    (dict(first=b"", read="all", reset=True), UNREACHABLE, ""),
    (dict(first=b"220 mail.example ESMTP\r\n", read="all"), UNREACHABLE, "hpfeeds frame"),
    (dict(first=frame(ERROR, b"go away")), REFUSED, "go away"),
    (dict(first=frame(PUBLISH, b"\x01a\x01bx")), UNREACHABLE, "in place of INFO"),
])
def test_publish_to_a_strange_broker(fake, code, message):
    fake = Fake(**fake) if fake["first"] or not fake.get("reset") else Fake(b"", "none", reset=True)
    result = hpfeeds("publish", *options(fake.port), "x" * 100000)
    assert result.returncode == code, result.stderr
    assert message in result.stderr.decode()
    assert "writersecret" not in result.stderr.decode()


@pytest.mark.parametrize("fake, code, message", [
    (dict(first=GREETING), REFUSED, "may not accept"),
    (dict(first=GREETING, read="some", reset=True), UNREACHABLE, ""),
    (dict(first=GREETING, then=frame(ERROR, b"no")), REFUSED, "refused by the broker: no"),
    (dict(first=GREETING, then=frame(ERROR, b"down, try again later")), UNREACHABLE, "down"),
    (dict(first=GREETING, then=frame(ERROR, b"writersecret, try again later")), UNREACHABLE,
     "its words repeat the secret"),
    (dict(first=b"HTTP/1.0 400 Bad Request\r\n"), UNREACHABLE, "hpfeeds frame"),
])
def test_subscribe_to_a_strange_broker(fake, code, message):
    result = hpfeeds("subscribe", *options(Fake(**fake).port))
    assert result.returncode == code, result.stderr
    assert message in result.stderr.decode()


def as_json(mail, sha256=None, **more):
    return json.dumps({"sha256": sha256 or hashlib.sha256(mail).hexdigest(),
                       "msg": mail.decode("utf-8", "replace"), **more}).encode()


def with_base64(mail):
    return as_json(mail, msg_base64=base64.b64encode(mail).decode())


HEADERS = {
    b"From: Bob <bob@example.org>\r\nSubject: Hello\r\n": ("Bob <bob@example.org>", "Hello"),
    b"Subject: a\r\n b\r\n\tc\r\nX: y\r\nFrom: x\r\n d\r\n": ("x d", "a b c"),
    b"from : x\nSUBJECT:y\n": ("x", "y"),
    b"X: y\r\n": ("(none)", "(none)"),
    b"": ("(none)", "(none)"),
    b"From:\r\nSubject: \r\n": ("", ""),
    b"From: first\r\nFrom: second\r\nSubject: s\r\n": ("first", "s"),
    b"From: \x1b]0;x\x07\r\nSubject: a\\b\r\n": ("\\x1b]0;x\\x07", "a\\\\b"),
    b"From: =?utf-8?q?J=C3=B6rg_M?= <j@x>\r\nSubject: =?UTF-8?B?w6TDtg==?=\r\n":
        ("J\u00f6rg M <j@x>", "\u00e4\u00f6"),
    b"From: x\r\nSubject: =?utf-8?q?a?=\r\n =?iso-8859-1?q?=E4?= b =?us-ascii?q?c?=\r\n":
        ("x", "a\u00e4 b c"),
    b"From: =?windows-1251?B?z/Do4uXy?=\r\nSubject: =?gb2312?B?xOO6ww?=\r\n":
        ("\u041f\u0440\u0438\u0432\u0435\u0442", "\u4f60\u597d"),
    b"From: =?iso-2022-jp?B?GyRCJDMkcxsoQg==?=\r\nSubject: =?utf-8*de?q?x=3D?=\r\n":
        ("\u3053\u3093", "x="),
    b"From: =?x-evil?q?a?=\r\nSubject: =?utf-8?b?####?= =?utf-8?x?a?= =?utf-8?q?a b?=\r\n":
        ("=?x-evil?q?a?=", "=?utf-8?b?####?= =?utf-8?x?a?= =?utf-8?q?a b?="),
    b"From: =?utf-8?q?=FFa=E4?=\r\nSubject: =?utf-8?q?=1B=0A=E2=80=AEx?= =?utf-8?q??=\r\n":
        ("\ufffda\ufffd", "\\x1b\\x0a\\xe2\\x80\\xaex"),
    b"From: =?utf-8?q?=4?=\r\nSubject: =?=?utf-8?q?=zz?\r\n": ("=4", "=?=?utf-8?q?=zz?"),
}


def test_mail_headers(broker, subscription):
    wanted = subscription("--mail", "-n", len(HEADERS))
    writer = Client(broker.port, "writer", "writersecret")
    for header in HEADERS:
        writer.publish("spam.mails", as_json(header + b"\r\nFrom: body\r\nSubject: body\r\n"))
    code, out = wanted.finish()
    assert code == 0
    lines = out.decode().splitlines()
    assert len(lines) == len(HEADERS)
    for line, (header, (sender, subject)) in zip(lines, HEADERS.items()):
        size = len(header) + len(b"\r\nFrom: body\r\nSubject: body\r\n")
        assert line == (f"spam.mails by writer: {size} bytes, hash ok, from {sender}, "
                        f"subject {subject}")


MAIL = b"From: a\r\nSubject: b\r\n\r\nbody\r\n"
BINARY = b"From: a\r\nSubject: b\r\n\r\n\x00\xff\xc3\r\n"
OK = "hash ok"
WRONG = "HASH WRONG"


@pytest.mark.parametrize("payload, mail, verdict", [
    (as_json(MAIL), MAIL, OK),
    (as_json(MAIL + b"\0\r"), MAIL + b"\0\r", OK),
    (as_json(MAIL).replace(b"body", b"bOdy"), MAIL.replace(b"body", b"bOdy"), WRONG),
    (as_json(MAIL, hashlib.sha256(MAIL).hexdigest().upper()), MAIL, OK),
    (as_json(MAIL, "x"), MAIL, WRONG),
    (with_base64(BINARY), BINARY, OK),
    (as_json(BINARY), BINARY.decode("utf-8", "replace").encode(), WRONG),
    (as_json(BINARY, msg_base64="AA=A"), b"", WRONG),
    (MAIL, MAIL, None),
    (BINARY, BINARY, None),
    (b"", b"", None),
    (b"{", b"{", None),
    (b'{"sha256": 1, "msg": "x"}', b'{"sha256": 1, "msg": "x"}', None),
    (b"[" * 100000, b"[" * 100000, None),
    (b'{"a":' * 100000, b'{"a":' * 100000, None),
], ids=["json", "NUL", "altered", "hash in capitals", "no hash", "base64", "replaced", "not base64",
        "raw", "raw and binary", "empty", "not JSON", "other JSON", "deep list", "deep object"])
def test_mail_payloads(broker, subscription, tmp_path, payload, mail, verdict):
    folder = tmp_path / "mails"
    folder.mkdir()
    wanted = subscription("--mail", "-o", folder, "-n", "1")
    Client(broker.port, "writer", "writersecret").publish("spam.mails", payload)
    code, out = wanted.finish()
    assert code == (REFUSED if verdict == WRONG else 0)
    digest = hashlib.sha256(mail).hexdigest()
    verdict = verdict or f"sha256 {digest[:16]}"
    assert out.decode().startswith(f"spam.mails by writer: {len(mail)} bytes, {verdict}, from ")
    files = list(folder.iterdir())
    assert [file.read_bytes() for file in files] == [mail]
    assert re.fullmatch(rf"\d{{8}}T\d{{6}}Z-000000-{digest[:16]}\.eml", files[0].name)
    assert files[0].stat().st_mode & 0o777 == 0o600


def test_output_overwrites_nothing(broker, subscription, tmp_path):
    folder = tmp_path / "payloads"
    folder.mkdir()
    payloads = [b"same"] * 5 + [b"", as_json(BINARY)]
    for _ in range(2):
        wanted = subscription("--raw", "--output", folder, "-n", len(payloads))
        writer = Client(broker.port, "writer", "writersecret")
        for payload in payloads:
            writer.publish("spam.mails", payload)
        assert wanted.finish() == (0, b"".join(payloads))
    stored = sorted(path.read_bytes() for path in folder.iterdir())
    assert stored == sorted(payloads * 2)


def test_output_folder_missing(broker, tmp_path):
    result = hpfeeds("subscribe", *options(broker.port), "-o", tmp_path / "absent")
    assert result.returncode == REFUSED
    assert b"absent: No such file" in result.stderr


def test_raw_mail(broker, subscription):
    wanted = subscription("--mail", "--raw", "-n", "1")
    Client(broker.port, "writer", "writersecret").publish("spam.mails", with_base64(BINARY))
    assert wanted.finish() == (0, BINARY)


def test_others_on_the_private_channel(broker, subscription):
    """What others of the same ident confirm is not shown, unless it is asked for."""
    wanted = subscription("-n", "1")
    other = Client(broker.port, "reader", "readersecret")
    other.publish("confirm.reader", b"not for show")
    other.subscribe("confirm.reader")
    other.publish("confirm.reader", b"mark")
    while other.message()[2] != b"mark":
        pass
    Client(broker.port, "writer", "writersecret").publish("spam.mails", b"x")
    assert wanted.finish() == (0, b"publish to spam.mails by writer: x\n")


def mail_json(mail):
    return json.dumps({"sha256": hashlib.sha256(mail).hexdigest(), "msg": mail.decode()}).encode()


def test_format_json(broker, subscription):
    wanted = subscription("--format", "json", "-n", "2")
    assert hpfeeds("publish", *options(broker.port), "-",
                   stdin="Grüße\x1b\x9b\u202e\n".encode()).returncode == 0
    assert hpfeeds("publish", *options(broker.port), "-", stdin=b"\xff\0").returncode == 0
    assert wanted.finish()[0] == 0
    assert plain(wanted.out.read_text())
    lines = [json.loads(line) for line in wanted.out.read_text().splitlines()]
    assert lines == [
        {"ident": "writer", "channel": "spam.mails", "payload": "Grüße\x1b\x9b\u202e\n"},
        {"ident": "writer", "channel": "spam.mails",
         "payload_base64": base64.b64encode(b"\xff\0").decode()}]


def kept(maildir):
    """Hash → bytes of a Maildir's mails."""
    files = [path for part in ("new", "cur") for path in (maildir / part).iterdir()]
    assert not list((maildir / "tmp").iterdir())
    mails = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in files}
    assert len(mails) == len(files)
    for digest, path in mails.items():
        assert digest in path.name
    return mails


def test_format_maildir(broker, subscription, tmp_path):
    """Each mail once, also what an earlier run had, in either form; a wrong hash is told."""
    archive = tmp_path / "archive"
    mails = [b"Subject: %d\r\n\r\nbody" % i for i in range(5)]
    wanted = subscription("--format", f"maildir={archive}", "-n", "6")
    for payload in [*map(mail_json, mails[:3]), mails[2], mails[0], mails[3]]:
        assert hpfeeds("publish", *options(broker.port), "-", stdin=payload).returncode == 0
    assert wanted.finish()[0] == 0
    assert "4 mails archived, 2 doubles" in wanted.log.read_text()
    names = kept(archive)
    assert set(names) == {hashlib.sha256(mail).hexdigest() for mail in mails[:4]}
    seen = names[hashlib.sha256(mails[0]).hexdigest()]
    seen.rename(archive / "cur" / (seen.name + ":2,S"))

    again = subscription("--format", f"maildir={archive}", "-n", "3")
    wrong = json.dumps({"sha256": "0" * 64, "msg": mails[4].decode()}).encode()
    for payload in (mails[0], mails[1], wrong):
        assert hpfeeds("publish", *options(broker.port), "-", stdin=payload).returncode == 0
    assert again.finish()[0] == REFUSED
    assert "1 mails archived, 2 doubles" in again.log.read_text()
    assert len(kept(archive)) == 5


def test_exec(broker, subscription, tmp_path):
    script = tmp_path / "script"
    script.write_text('#!/bin/sh\n'
                      'printf "%s %s [%s] " "$HPFEEDS_CHANNEL" "$HPFEEDS_IDENT" "$HPFEEDS_SHA256"\n'
                      'cat\necho\n')
    script.chmod(0o700)
    wanted = subscription("--mail", "--exec", script, "-n", "2")
    for payload in (b"one", b"two"):
        assert hpfeeds("publish", *options(broker.port), "-", stdin=payload).returncode == 0
    assert wanted.finish()[0] == 0
    assert wanted.out.read_text().splitlines() == [
        f"spam.mails writer [{hashlib.sha256(mail).hexdigest()}] {mail.decode()}"
        for mail in (b"one", b"two")]


def test_exec_that_fails(broker, subscription):
    """It is told, the next message comes, and the exit status says so."""
    wanted = subscription("--exec", "exit 3", "-n", "2")
    for payload in (b"x" * 300000, b"two"):
        assert hpfeeds("publish", *options(broker.port), "-", stdin=payload).returncode == 0
    assert wanted.finish()[0] == REFUSED
    assert wanted.log.read_text().count("the command ended with 3") == 2


def test_sendfile_of_a_maildir(broker, subscription, tmp_path):
    maildir = tmp_path / "maildir"
    for part in ("new", "cur", "tmp"):
        (maildir / part).mkdir(parents=True)
    (maildir / "new" / "1.a").write_bytes(b"first")
    (maildir / "cur" / "2.b:2,S").write_bytes(b"second \xff")
    (maildir / "new" / "3.c").write_bytes(b"third")
    (maildir / "tmp" / "4.d").write_bytes(b"not delivered")
    wanted = subscription("--format", "json", "-n", "3")
    assert hpfeeds("sendfile", *options(broker.port), "--format", "json",
                   maildir).returncode == 0
    assert wanted.finish()[0] == 0
    payloads = [json.loads(json.loads(line)["payload"])
                for line in wanted.out.read_text().splitlines()]
    assert [payload["sha256"] for payload in payloads] == [
        hashlib.sha256(mail).hexdigest() for mail in (b"first", b"second \xff", b"third")]
    assert payloads[1]["msg_base64"] == base64.b64encode(b"second \xff").decode()
    assert hpfeeds("sendfile", *options(broker.port), tmp_path).returncode == REFUSED


@pytest.mark.parametrize("put_off", [False, True])
def test_retry(tmp_path, broker, put_off):
    """The broker is away, or asks to be tried again, and comes back while that is done."""
    port = broker.port
    broker.stop()
    if put_off:
        fake = Fake(GREETING, "all", frame(ERROR, b"full, try again later"))
        port = fake.port
    with subprocess.Popen([program("hpfeeds"), "publish", *options(port), "--retry", "1min", "late"],
                          stderr=subprocess.PIPE, text=True,
                          env=environment("writersecret")) as process:
        while "trying again" not in (line := process.stderr.readline()):
            assert line
        if put_off:
            fake.thread.join(60)
        again = Broker(tmp_path / "again", port=port)
        try:
            assert process.wait(60) == 0
        finally:
            again.stop()


def test_bench(broker):
    accounts = {"b": {"owner": "", "secret": "s", "pubchans": ["x"], "subchans": ["x"]}}
    (broker.directory / "accounts.json").write_text(json.dumps(accounts))
    for channel, more in (([], []), (["x"], ["--subscribers", "3"])):
        result = hpfeeds("bench", *options(broker.port, "b", channel), "-n", "500", "--size", "1000",
                         *more, secret="s")
        assert result.returncode == 0, result.stderr
        assert re.fullmatch(
            rb"500 messages of 1000 bytes to [13] subscribers?: \d+ messages/s, \d+ deliveries/s, "
            rb"[\d.]+ MB/s delivered, latency p50 \d+ us, p99 \d+ us\n", result.stdout)
    assert hpfeeds("bench", *options(broker.port, "b", []), secret="x").returncode == REFUSED
