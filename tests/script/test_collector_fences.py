"""What imap-collector keeps itself from: being root, being read, being more than it was; and what it does
all the same."""
import base64
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import time

import pytest

from peers.fixtures import hpfeeds, imap, live, run, spam, start  # noqa: F401
from peers.intruder import Intruder
from peers.process import BUILD, children, collector, contents, program
from peers.scripted_broker import SECRET
from peers.scripted_imap import CAPABILITIES
from peers.token_endpoint import TokenEndpoint, json_answer

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
def test_it_becomes_another_user(imap, hpfeeds, live, entered):
    """For good: no identity, group or right of root's is left, for reloads neither."""
    nobody = pwd.getpwnam("nobody")
    for path in (entered, entered / "feed.yml", entered / "mailboxes.yml"):
        path == entered or path.touch()
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    server = imap(spam(2))
    run = live(hpfeeds.feed(), [server.mailbox()], "--user", "nobody", name=entered)
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
    assert run.logged("all that listens on Unix sockets stays open"), run.lines
    run.stop()
    assert run.code == 0 and run.row("trap") == (2, 2, 0, "ok"), run


@pytest.mark.parametrize("name, warned", [("state.db", True), ("state/state.db", False)])
def test_a_configuration_that_it_may_write(imap, hpfeeds, run, tmp_path, name, warned):
    """What is written there is run by the clerk, which has no fences."""
    state = tmp_path / "collector" / name
    result = run(hpfeeds.feed(), [imap(spam(1)).mailbox()], "-s", str(state))
    assert result.code == 0 and state.exists(), result
    assert result.err.count("lies in the directory of the state") == (2 if warned else 0), result


def fenced(process):
    """A seccomp filter is in force; Landlock cannot be asked about (but see tests/unit/fence)."""
    return status(process)["Seccomp"] == "2"


def takes_tokens(server, good):
    """The server lets in who has one of the tokens in `good`; each that came is kept in the list
    that is returned."""
    came = []

    def login(s, c):
        answer = c.args.partition(b" ")[2]
        if not answer:
            s.send("+ \r\n")
            answer = s.read_line()
        came.append(re.search(rb"Bearer ([^\1]*)", base64.b64decode(answer))[1].decode())
        if came[-1] in good:
            s.ok(c, "welcome")
        else:
            s.no(c, "[AUTHENTICATIONFAILED] no longer")
    server.on("AUTHENTICATE", login)
    return came


@pytest.fixture
def oauth(imap):
    """A server that takes tokens; its mailbox's entry gets an "oauth2" from the test."""
    server = imap(spam(2), capabilities=CAPABILITIES.replace("AUTH=PLAIN", "AUTH=XOAUTH2"))

    def entry(**oauth2):
        box = server.mailbox(oauth2=oauth2)
        del box["password"]
        return box
    return server, entry


def reconnect(server):
    """The server ends its connection, and the collector comes again."""
    server.wait_for_idle()
    before = server.connections
    server.inbox.add(spam(9)[8])
    for session in server.sessions:
        if session.idling:
            session.socket.shutdown(2)
    with server.changed:
        assert server.changed.wait_for(lambda: server.connections > before, 60)


def test_token_command_within_the_fences(oauth, hpfeeds, live, tmp_path):
    """Also when its token is refused later, and after a reload that added mailboxes before it."""
    server, entry = oauth
    good = {"first"}
    came = takes_tokens(server, good)
    token = tmp_path / "collector" / "token"
    token.parent.mkdir()
    token.write_text("first\n")
    box = entry(token_command=["cat", "token"])
    run = live(hpfeeds.feed(), [box])
    server.wait_for_idle()
    assert fenced(run.process), run.lines
    run.wait_for_log("2 delivered")
    run.reload(mailboxes=[{**box, "name": "another", "folders": ["Junk"],
                           "oauth2": {"token_command": "false"}}, box])
    token.write_text("second\n")
    good.clear()
    good.add("second")
    reconnect(server)
    run.wait_for_log("trap INBOX: 1 delivered")
    assert came[0] == "first" and came[-1] == "second" and set(came) == {"first", "second"}
    assert run.stop().code == 0, run
    assert not run.logged("no fences")


def test_a_token_file_is_written_within_the_fences(oauth, hpfeeds, live, tmp_path):
    """Outside the directory of the state, where the collector itself can write nothing."""
    server, entry = oauth
    endpoint = TokenEndpoint(rotate=True)
    try:
        kept = tmp_path / "elsewhere" / "token"
        kept.parent.mkdir()
        first = endpoint.authorize("trap")
        kept.write_text(first + "\n")
        came = takes_tokens(server, endpoint.access)
        run = live(hpfeeds.feed(), [entry(token_url=endpoint.url + "/token", client_id="c",
                                          refresh_token_file=str(kept))])
        server.wait_for_idle()
        assert fenced(run.process), run.lines
        assert list(endpoint.refresh) == [kept.read_text().strip()] != [first]
        assert kept.stat().st_mode & 0o777 == 0o600 and len(list(kept.parent.iterdir())) == 1
        endpoint.revoke()
        reconnect(server)
        run.wait_for_log("trap INBOX: 1 delivered")
        assert list(endpoint.refresh) == [kept.read_text().strip()]
        assert len(endpoint.questions()) == 2 and len(came) >= 3
        assert run.stop().code == 0, run
    finally:
        endpoint.stop()


@pytest.fixture
def silent_endpoint():
    """It has made the old refresh token void, and its answer with the new one is on its way."""
    endpoint = TokenEndpoint(rotate=True)
    endpoint.open.clear()
    yield endpoint
    endpoint.stop()


@pytest.fixture
def asked(oauth, hpfeeds, live, silent_endpoint, tmp_path):
    """(run, the file of the refresh token): it waits for that answer."""
    server, entry = oauth
    kept = tmp_path / "token"
    kept.write_text(silent_endpoint.authorize("trap") + "\n")
    takes_tokens(server, silent_endpoint.access)
    run = live(hpfeeds.feed(), [entry(token_url=silent_endpoint.url + "/token", client_id="c",
                                      refresh_token_file=str(kept))])
    run.wait_for_log("delivering to")
    while not silent_endpoint.questions():
        time.sleep(0.02)
    return run, kept


def test_a_token_that_comes_at_the_end_is_kept(asked, silent_endpoint):
    run, kept = asked
    run.kill(signal.SIGTERM)
    run.wait_for_log("waiting for tokens")
    silent_endpoint.open.set()
    assert run.wait().code == 0, run
    assert list(silent_endpoint.refresh) == [kept.read_text().strip()]


def keeps(endpoint, kept, run):
    """The token that came is kept."""
    until = time.monotonic() + 30
    while list(endpoint.refresh) != [kept.read_text().strip()]:
        assert time.monotonic() < until, run.lines
        time.sleep(0.02)


def test_a_token_that_comes_for_nobody_is_kept(asked, silent_endpoint, imap):
    """Its mailbox is not in the configuration any more."""
    run, kept = asked
    run.reload(mailboxes=[imap(name="other").mailbox()])
    silent_endpoint.open.set()
    keeps(silent_endpoint, kept, run)
    assert run.stop().code == 0, run


@pytest.fixture(params=["good", "broken", "cannot be applied"])
def next_mailboxes(request, imap, tmp_path):
    """What is in the file at the second reload, and whether it comes into use."""
    box = imap(name="next").mailbox()
    (tmp_path / "ca.pem").write_text("no certificate")
    return {"good": ([box], True), "broken": ("no: list", False),
            "cannot be applied": ([{**box, "tls": "implicit", "tls_ca": str(tmp_path / "ca.pem")}],
                                  False)}[request.param]


def test_a_token_that_comes_after_two_reloads_is_kept(asked, silent_endpoint, imap, next_mailboxes):
    """Its mailbox went with the first; the second one waits for it."""
    run, kept = asked
    mailboxes, good = next_mailboxes
    run.reload(mailboxes=[imap(name="other").mailbox()])
    run.configure(mailboxes=mailboxes)
    run.kill(signal.SIGHUP)
    run.wait_for_log("reloading the configuration", 2)
    silent_endpoint.open.set()
    run.wait_for_log(run.RELOADED, 2)
    keeps(silent_endpoint, kept, run)
    assert len(run.logged("configuration is reloaded")) == 1 + good, run
    assert not run.logged("cannot be kept"), run
    assert run.stop().code == 0, run


def test_a_token_that_comes_after_a_reload_in_vain_is_kept(asked, silent_endpoint, next_mailboxes):
    """Its mailbox stays, as nothing comes of the reload, or goes."""
    run, kept = asked
    mailboxes, _ = next_mailboxes
    run.reload(mailboxes=mailboxes)
    silent_endpoint.open.set()
    keeps(silent_endpoint, kept, run)
    assert run.stop().code == 0, run


def test_a_token_that_does_not_come_is_waited_for_in_vain(asked):
    """Until somebody asks for the end again."""
    run, _ = asked
    run.kill(signal.SIGTERM)
    run.wait_for_log("waiting for tokens")
    assert run.stop().code == 0, run


def test_authorize_within_the_fences(oauth, hpfeeds, start, imap, tmp_path):
    """Who waits for a person's decision has nothing in memory but that account, and may write
    nothing: the clerk does."""
    server, entry = oauth
    endpoint = TokenEndpoint()
    try:
        kept = tmp_path / "elsewhere" / "token"
        kept.parent.mkdir()
        endpoint.device_user = "trap"
        endpoint.device_answers = [json_answer(400, error="authorization_pending")] * 600
        box = {**entry(token_url=endpoint.url + "/token", device_url=endpoint.url + "/device",
                       client_id="c", refresh_token_file=str(kept)), "name": "one"}
        other = imap(name="other").mailbox(password="of-another-mailbox-c40b1d")
        run = start(hpfeeds.feed(), [other, box], "--authorize", "one")
        while "Waiting" not in run.process.stdout.readline():
            assert run.process.poll() is None
        assert fenced(run.process)
        if os.geteuid() == 0:
            own = b"\n".join(contents(run.process.pid))
            assert b"of-another-mailbox-c40b1d" not in own and SECRET.encode() not in own
        with endpoint.lock:
            endpoint.device_answers.clear()
        assert run.wait().code == 0 and str(kept) in run.out, run
        assert list(endpoint.refresh) == [kept.read_text().strip()]
        assert kept.stat().st_mode & 0o777 == 0o600 and list(kept.parent.iterdir()) == [kept]
    finally:
        endpoint.stop()


def test_without_its_clerk(oauth, hpfeeds, live):
    """It is told at once; mails are collected on; what needs the clerk says so."""
    server, entry = oauth
    good = {"token"}
    takes_tokens(server, good)
    run = live(hpfeeds.feed(), [entry(token_command="echo token")])
    server.wait_for_idle()
    run.wait_for_log("2 delivered")
    (clerk,) = children(run.process.pid)
    os.kill(clerk, signal.SIGKILL)
    run.wait_for_log("collector-clerk. is gone: collecting goes on; restart")
    reconnect(server)  # the token that it has is good for more
    run.wait_for_log("trap INBOX: 1 delivered")
    run.reload()
    assert run.logged("is gone: restart to change it"), run.lines
    good.clear()
    reconnect(server)
    run.wait_for_log("trap: the process that runs token_command .* is gone: restart")
    assert run.stop().code == 0, run


def test_from_inside(imap, hpfeeds, live, tmp_path):
    """Who took over the collector that runs is kept out of the rest of the machine, and the collector
    goes on."""
    intruder = Intruder(tmp_path)
    server = imap(spam(1))
    run = live(hpfeeds.feed(), [server.mailbox()], env=intruder.env)
    server.wait_for_idle()
    run.wait_for_log("1 delivered")
    intruder.is_kept_out("imap-collector",
                         intruder.act(run.process, lambda: "".join(list(run.lines))))
    reconnect(server)
    run.wait_for_log("1 delivered", 2)
    assert run.stop().code == 0, run
