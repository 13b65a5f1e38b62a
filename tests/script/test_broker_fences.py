"""What hpfeeds-broker keeps itself from, and what it does all the same."""
import errno
import getpass
import json
import os
import pathlib
import pwd
import sqlite3
import subprocess
import time
import urllib.request

import pytest

from peers.fixtures import start_broker as start  # noqa: F401
from peers.hpfeeds import ACCOUNTS, Client, Subscriber
from peers.intruder import Intruder
from peers.process import Process, free_port, program

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def status(process):
    """The fields of /proc/PID/status."""
    lines = pathlib.Path(f"/proc/{process.popen.pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def said(broker, text):
    deadline = time.monotonic() + 30
    while text not in broker.process.text():
        assert time.monotonic() < deadline, broker.process.text()
        time.sleep(0.01)


def passes(broker, payload, reader="reader", secret="readersecret"):
    """A message gets through."""
    subscriber = Subscriber(broker.port, reader, secret, ["spam.mails"])
    writer = Client(broker.port, "writer", "writersecret")
    writer.publish("spam.mails", payload)
    assert subscriber.message() == ("writer", "spam.mails", payload)
    writer.close()
    subscriber.close()


def test_from_inside(start, tmp_path):
    """Who took it over is kept out of the rest of the machine, and it serves on."""
    intruder = Intruder(tmp_path)
    broker = start(env=intruder.env)
    passes(broker, b"there")  # before it serves, the fences stand
    assert status(broker.process)["Seccomp"] == "2" and status(broker.process)["NoNewPrivs"] == "1"
    outcomes = intruder.act(broker.process.popen, broker.process.text)
    intruder.is_kept_out("hpfeeds-broker", outcomes)
    if os.path.exists("/etc/shadow"):
        assert outcomes["shadow"] == errno.EACCES
    passes(broker, b"still there")


@pytest.mark.parametrize("in_file", [False, True])
def test_without_the_sandbox(start, tmp_path, in_file):
    (tmp_path / "broker.yml").write_text(f"sandbox: off\nuser: {getpass.getuser()}\n")
    broker = start(options=["--config", tmp_path / "broker.yml"] if in_file else ["--no-sandbox"])
    assert ("it runs as root" in broker.process.text()) == (os.geteuid() == 0 and not in_file)
    assert status(broker.process)["Seccomp"] == "0"
    passes(broker, b"there")


def test_accounts_and_metrics_within_the_fences(start):
    """A file that is replaced is read again; the process tells of itself."""
    port = free_port()
    broker = start(options=["--exporter", f"127.0.0.1:{port}"])
    broker.set_accounts({**ACCOUNTS, "late": {"owner": "", "secret": "late", "pubchans": [],
                                              "subchans": ["spam.mails"]}})
    said(broker, "read again, 3 accounts")
    passes(broker, b"late", "late", "late")
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
    values = dict(line.split() for line in metrics.splitlines() if line.startswith("process_"))
    assert float(values["process_open_fds"]) > 3, values
    assert float(values["process_resident_memory_bytes"]) > 1 << 20, values


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_databases_within_the_fences(start, tmp_path, mode):
    """Whichever files SQLite has beside the database; what another program writes counts at once."""
    path = tmp_path / "accounts" / "sqlite.db"
    path.parent.mkdir()
    broker = start(options=["--auth", f"sqlite:{path}"])
    other = sqlite3.connect(path)
    assert other.execute(f"pragma journal_mode={mode}").fetchone() == (mode,)
    for ident in ("first", "second"):
        other.execute("insert into authkeys (owner, ident, secret, pubchans, subchans) "
                      "values ('', ?, 's', '[]', '[\"spam.mails\"]')", (ident,))
        other.commit()
        passes(broker, ident.encode(), ident, "s")
        other.close()
        other = sqlite3.connect(path)
    other.close()


def test_a_store_within_the_fences(start, tmp_path):
    """One that is made now, and what a restart finds in it."""
    store = tmp_path / "new"
    options = ["--durable", "reader=spam.mails", "--store", store]
    broker = start(options=options)
    writer = Client(broker.port, "writer", "writersecret")
    writer.publish("spam.mails", b"kept")
    writer.subscribe("confirm.writer")
    writer.publish("confirm.writer", b"stored")
    assert writer.message()[2] == b"stored"
    writer.close()
    broker.stop()
    again = start(options=options)
    reader = Client(again.port, "reader", "readersecret")
    reader.subscribe("spam.mails")
    assert reader.message() == ("writer", "spam.mails", b"kept")
    reader.close()


def test_a_user_that_is_not_there(tmp_path):
    result = subprocess.run([program("hpfeeds-broker"), "--user", "no\x1bbody"],
                            capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert result.returncode == 64 and "there is no user no\\x1bbody" in result.stderr, result
    assert not list(tmp_path.iterdir())


@as_root
def test_root_is_warned(start):
    """The usual broker's command line starts it; the log says what that means."""
    assert "it runs as root, who could be taken over: say --user NAME" in start().process.text()
    assert "as root" not in start(options=["--user", "root"]).process.text()


@as_root
def test_it_becomes_another_user(entered):
    """For good: no identity, group or right of root's is left; accounts are read as that user."""
    nobody = pwd.getpwnam("nobody")
    accounts = entered / "accounts.json"
    accounts.write_text(json.dumps(ACCOUNTS))
    accounts.chmod(0o600)
    os.chown(accounts, nobody.pw_uid, nobody.pw_gid)
    process = Process([program("hpfeeds-broker"), "--user", "nobody", "-e",
                       "tcp:interface=127.0.0.1:port=0", "--auth", accounts],
                      entered / "broker.log", cwd=entered)
    try:
        deadline = time.monotonic() + 30
        while "listening on" not in process.text():
            assert time.monotonic() < deadline and process.popen.poll() is None, process.text()
            time.sleep(0.01)
        own = status(process)
        assert own["Uid"].split() == [str(nobody.pw_uid)] * 4, own
        assert own["Gid"].split() == [str(nobody.pw_gid)] * 4, own
        assert "0" not in own["Groups"].split(), own
        assert int(own["CapPrm"], 16) == int(own["CapEff"], 16) == 0, own
    finally:
        process.stop()
