"""What imap-collector keeps itself from: being root, being read, being more than it was."""
import os
import pathlib
import pwd
import shutil
import subprocess

import pytest

from peers.fixtures import hpfeeds, imap, live, spam  # noqa: F401
from peers.process import BUILD, collector, program

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def status(process):
    """The fields of /proc/PID/status."""
    lines = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@as_root
def test_root_has_to_be_said(tmp_path):
    """Neither is a file read nor is anybody contacted."""
    result = subprocess.run([program("imap-collector"), "-f", tmp_path / "none.yml"],
                            capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert result.returncode == 64 and "--user NAME" in result.stderr, result
    assert "none.yml" not in result.stderr and not list(tmp_path.iterdir())


def test_a_user_that_is_not_there(tmp_path):
    result = subprocess.run([program("imap-collector"), "--user", "no\x1bbody"],
                            capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert result.returncode == 64 and "there is no user no\\x1bbody" in result.stderr, result


@as_root
def test_it_becomes_another_user(imap, hpfeeds, live, tmp_path_factory):
    """For good: no identity, group or right of root's is left, for reloads neither."""
    nobody = pwd.getpwnam("nobody")
    # Nobody may not enter pytest's own directories.
    directory = tmp_path_factory.mktemp("nobody")
    for entered in (directory, directory.parent):
        entered.chmod(0o755)
    for path in (directory, directory / "feed.yml", directory / "mailboxes.yml"):
        path == directory or path.touch()
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    server = imap(spam(2))
    run = live(hpfeeds.feed(), [server.mailbox()], "--user", "nobody", name=directory)
    server.wait_for_idle()
    own = status(run.process)
    assert own["Uid"].split() == [str(nobody.pw_uid)] * 4, own
    assert own["Gid"].split() == [str(nobody.pw_gid)] * 4, own
    assert "0" not in own["Groups"].split(), own
    assert int(own["CapPrm"], 16) == int(own["CapEff"], 16) == 0, own
    run.stop()
    assert run.code == 0 and run.row("trap") == (2, 2, 0, "ok"), run


def test_no_new_privileges(imap, hpfeeds, live):
    server = imap(spam(1))
    run = live(hpfeeds.feed(), [server.mailbox()])
    server.wait_for_idle()
    assert status(run.process)["NoNewPrivs"] == "1"
    # What may not be dumped belongs to root in /proc, whoever runs it.
    assert pathlib.Path(f"/proc/{run.process.pid}/environ").stat().st_uid == 0
    run.stop()
    assert run.code == 0, run


@as_root
def test_names_are_looked_up_with_what_nsswitch_names(imap, hpfeeds, live, tmp_path, monkeypatch):
    """A module of its own, too, though nothing can be loaded behind the fences."""
    switch, modules = tmp_path / "nsswitch.conf", tmp_path / "modules"
    switch.write_text("passwd: files\nhosts: files missing [NOTFOUND=continue] probe # others\n")
    modules.mkdir()
    shutil.copy(BUILD / "tests" / "peers" / "libnss_probe.so.2", modules)
    enter = ["unshare", "-m", "sh", "-c", f'mount --bind {switch} /etc/nsswitch.conf && exec "$@"', "-"]
    if subprocess.run([*enter, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace to be had")
    monkeypatch.setattr("peers.collector.collector", lambda: [*enter, *collector()])
    monkeypatch.setenv("LD_LIBRARY_PATH", str(modules))
    server = imap(spam(2))
    run = live(hpfeeds.feed(), [server.mailbox(host="probe.example")])
    server.wait_for_idle()
    run.stop()
    assert run.code == 0 and run.row("trap") == (2, 2, 0, "ok"), run
