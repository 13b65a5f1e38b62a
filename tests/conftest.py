"""What all tests share: peers are imported as `peers.x`; see docs/testing.md."""
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from peers.certs import Certs  # noqa: E402
from peers.collector import Run  # noqa: E402
from peers.hpfeeds import Broker, Subscriber  # noqa: E402
from peers.process import REPOSITORY, collector, share  # noqa: E402


def pytest_collection_modifyitems(config, items):
    """Real servers, and mails byte by byte, take most of the time: when several builds are tested,
    each such test is for one of them."""
    long = [item for item in items if "live" in item.path.parts or item.path.stem == "test_payload"]
    others = {item.nodeid for item in long} - {item.nodeid for item in share(long)}
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in others])
    items[:] = [item for item in items if item.nodeid not in others]


def pytest_runtest_setup():
    Run.of_this_test.clear()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(call):
    """What fails shows all that its collectors said: pytest cuts what is behind an assertion."""
    report = (yield).get_result()
    if report.failed and call.when == "call":
        report.sections += [(f"imap-collector, {run.directory.name}", repr(run))
                            for run in Run.of_this_test]


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    return Certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def entered():
    """A directory that other users may enter, as they may not pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)
        yield directory


@pytest.fixture
def broker(tmp_path):
    """The project's own broker, with the identities "writer" and "reader"."""
    started = Broker(tmp_path / "broker")
    yield started
    started.stop()


@pytest.fixture
def subscriber(broker):
    """An independent hpfeeds client that is subscribed to spam.mails."""
    client = Subscriber(broker.port, "reader", "readersecret", ["spam.mails"])
    yield client
    client.close()


class Result:
    """What a run of a program did."""

    def __init__(self, completed):
        self.code = completed.returncode
        self.out = completed.stdout
        self.err = completed.stderr

    def row(self, label):
        """The cells of a row of the table at the end: new, delivered, held, bytes, result."""
        for line in self.out.splitlines():
            if line.startswith(label + " "):
                new, delivered, held, size, unit, result = line[len(label):].split(None, 5)
                return int(new), int(delivered), int(held), f"{size} {unit}", result
        raise AssertionError(f"no row {label} in:\n{self.out}\n{self.err}")

    def __repr__(self):
        return f"exit {self.code}\n{self.out}\n{self.err}"


@pytest.fixture
def collect(tmp_path, certs):
    """collect(feed, mailboxes, *options): one run of imap-collector on these configurations, given
    as YAML text or as anything JSON can say (which is YAML too)."""

    def run(feed, mailboxes, *options, state=tmp_path / "state" / "state.db", timeout=120):
        for name, content in (("feed.yml", feed), ("mailboxes.yml", mailboxes)):
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o600)
        return Result(subprocess.run(
            [*collector(), "-f", tmp_path / "feed.yml",
             "-m", tmp_path / "mailboxes.yml", "-s", str(state), *options],
            capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL))

    return run


def corpus():
    """Real spam where it is there, else mails of the project's own; as stored, LF line ends."""
    directory = REPOSITORY.parent / "shared" / "corpus" / "spam"
    mails = [path.read_bytes() for path in sorted(directory.glob("*.eml"))]
    if not mails:
        mails = own_mails(500)
    return [re.sub(rb"\AFrom [^\n]*\n", b"", mail) for mail in mails]


def own_mails(count):
    """Mails as different as spam is: sizes, line lengths, encodings declared and not."""
    bodies = [
        b"plain text\n" * 20,
        "Grüße aus Köln, 日本語, \U0001f600\n".encode() * 10,
        "Grüße aus Köln\n".encode("latin-1") * 10,
        bytes(range(1, 10)) + bytes(range(11, 13)) + bytes(range(14, 256)) + b"\n",
        b"",
        b"\x80\xff\xc3\n\xe2\x82\n\xed\xa0\x80\n\xf4\x90\x80\x80\n",
        b"x" * 60000 + b"\n",
    ]
    return [b"From: spammer%d@example.org\nTo: trap@example.net\nSubject: offer %d\n"
            b"Message-ID: <%d@example.org>\n\n" % (i, i, i) + bodies[i % len(bodies)]
            for i in range(count)]


def as_sent(mail):
    """The bytes an IMAP server sends of a mail stored with LF line ends."""
    return re.sub(rb"\r?\n", b"\r\n", mail)


def digest(mail):
    return hashlib.sha256(as_sent(mail)).hexdigest()
