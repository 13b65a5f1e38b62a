"""Fixtures of the tests with scripted peers; test modules import them by name."""
import collections
import os

import pytest

from peers import scripted_broker, scripted_imap
from peers.collector import LiveRun, Run
from peers.hpfeeds import Broker


def spam(count, size=0, who="trap"):
    """Mails as a server sends them, no two alike."""
    return [b"From: spammer%d@example.org\r\nTo: %s@example.net\r\nSubject: offer %d\r\n\r\n"
            % (i, who.encode(), i) + b"Buy now!\r\n" * (1 + size // 10) for i in range(count)]


def once(bodies):
    """Every body once, to be compared with Broker.bodies()."""
    return collections.Counter({body: 1 for body in bodies})


def plain(text):
    """Nothing in it moves a terminal's cursor, or what is shown behind it."""
    return all(char.isprintable() or char == "\n" for char in text)


@pytest.fixture
def hpfeeds():
    """A scripted broker."""
    broker = scripted_broker.Broker()
    yield broker
    broker.stop()


@pytest.fixture
def start_broker(tmp_path):
    """start_broker(options=…, tls=…, accounts=…): the project's broker, gone after the test, however
    that ends."""
    started = []

    def start_one(**kwargs):
        started.append(Broker(tmp_path / f"broker{len(started)}", **kwargs))
        return started[-1]

    yield start_one
    for broker in started:
        broker.stop()


@pytest.fixture
def imap():
    """imap(bodies, …): a scripted server with these mails in its INBOX."""
    servers = []

    def start(bodies=(), **more):
        servers.append(scripted_imap.Server(bodies, **more))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def start(tmp_path):
    """start(feed, mailboxes, *options, name=…): a run of imap-collector. Runs of one name share
    their state."""
    runs = []

    def begin(feed, mailboxes, *options, name="collector"):
        runs.append(Run(tmp_path / name, feed, mailboxes, *options))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.communicate()


@pytest.fixture
def live(tmp_path):
    """live(feed, mailboxes, *options, name=…, env=…): a run with -c."""
    runs = []

    def begin(feed, mailboxes, *options, name="collector", **more):
        runs.append(LiveRun(tmp_path / name, feed, mailboxes, *options, **more))
        return runs[-1]

    yield begin
    for started in runs:
        if started.process.poll() is None:
            started.process.kill()
            started.process.wait()


@pytest.fixture
def run(start):
    """The same, to its end."""
    return lambda *args, **more: start(*args, **more).wait()


@pytest.fixture
def real_memory(monkeypatch):
    """What is freed is given back under AddressSanitizer, too, and can be told from a leak."""
    options = os.environ.get("ASAN_OPTIONS", "")
    monkeypatch.setenv("ASAN_OPTIONS", f"{options}:quarantine_size_mb=1".lstrip(":"))
