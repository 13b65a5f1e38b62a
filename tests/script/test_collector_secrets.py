"""Secrets: whatever happens, nothing that imap-collector writes or shows holds one."""
import base64
import json
import os
import pathlib
import subprocess
import time

import pytest

from peers.fixtures import hpfeeds, imap, live, run, spam, start  # noqa: F401
from peers.process import children, contents
from peers.scripted_broker import SECRET
from peers.scripted_imap import CAPABILITIES
from peers.token_endpoint import TokenEndpoint

GOOD = 'right-"p\\ss-7f3a91'
WRONG = "wrong-pass-c01d77"
FROM_FILE = "from-file-51be02"
FROM_COMMAND = "from-command-9d44e8"
FAILED = "of-a-failed-one-2ab6f0"
BROKER = "of-the-broker-66e1c3"
PHRASE = "passphrase-0f81d5"
CLIENT = "of-the-client-83ad27"
LEVELS = ["error", "warning", "info", "debug"]


def forms(secret):
    """As it is, and as servers, mechanisms, logs and shells write it."""
    quoted = secret.replace("\\", "\\\\").replace('"', '\\"')
    yield from (secret, quoted, json.dumps(secret)[1:-1], json.dumps(quoted)[1:-1])
    for text in (secret, "\0trap\0" + secret):
        yield base64.b64encode(text.encode()).decode()


def holds(text, *secrets):
    """Those of the secrets that the text gives away."""
    return [form for secret in secrets for form in forms(secret) if form in text]


def refuses(server, words):
    """Its login is refused in words that repeat the password."""
    for name in ("AUTHENTICATE", "LOGIN"):
        server.on(name, lambda s, c: s.no(c, f"[AUTHENTICATIONFAILED] {words} is wrong"))


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("level", LEVELS)
def test_a_pass(imap, hpfeeds, run, tmp_path, level, form):
    """Logins that go well, go badly and are mocked, with secrets of every origin."""
    hidden = tmp_path / "secret"
    hidden.write_text(FROM_FILE + "\n")
    hidden.chmod(0o600)
    mocked = dict(enumerate((WRONG, *list(forms(WRONG))[-2:])))
    sources = {"good": {"password": GOOD}, **{f"wrong{n}": {"password": WRONG} for n in mocked},
               "file": {"password_file": str(hidden)},
               "command": {"password_command": ["sh", "-c", f"echo {FROM_COMMAND}; echo x >&2"]}}
    mailboxes = []
    for name, source in sources.items():
        server = imap(spam(1, who=name), name=name)
        mailbox = {key: value for key, value in server.mailbox(name=name).items()
                   if key != "password"}
        mailboxes.append({**mailbox, **source})
        if name.startswith("wrong"):
            refuses(server, mocked[int(name[5:])])
        else:
            own = {"good": GOOD, "file": FROM_FILE, "command": FROM_COMMAND}[name]
            server.on("SELECT", lambda s, c, own=own: s.no(c, f"no {own} here"))
    result = run(hpfeeds.feed(), mailboxes, "--log-level", level, "--log-format", form)
    written = result.out + result.err
    for path in result.state.parent.glob("*"):
        written += path.read_bytes().decode("latin-1")
    assert result.code == 1 and result.out.count("its words repeat the password") > 3, result
    assert not holds(written, GOOD, WRONG, FROM_FILE, FROM_COMMAND, SECRET), result


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_broker_that_repeats_the_secret(imap, hpfeeds, run, form):
    server = imap(spam(1))
    for told in (BROKER, base64.b64encode(BROKER.encode()).decode(), "-" * 280 + BROKER):
        hpfeeds.login = lambda link, told=told: link.error(f"no, {told}") or link.close()
        result = run({**hpfeeds.feed(), "secret": BROKER}, [server.mailbox()],
                     "--log-level", "debug", "--log-format", form)
        assert result.code == 75 and "its words repeat the secret" in result.err, result
        assert not holds(result.out + result.err, BROKER, BROKER[:-1]), result


def test_a_server_that_knows_the_password_from_before(imap, hpfeeds, live):
    """It let us in; when we come again it says so before anybody has logged in."""
    server = imap(spam(1))
    greetings = [lambda s: s.send(f"* BYE {GOOD}\r\n") or s.close(),
                 lambda s: s.send(f"* NO {GOOD}\r\n") or s.close(),
                 lambda s: s.send(f"{GOOD}\r\n") or s.close(),
                 server.greeting]
    run = live(hpfeeds.feed(), [server.mailbox(password=GOOD)], "--log-level", "debug")
    server.wait_for_idle()
    server.greeting = lambda s: greetings.pop(0)(s)
    server.sessions[0].socket.shutdown(2)
    server.wait_for(lambda: not greetings)
    server.wait_for_idle()
    assert run.stop().code == 0, run
    assert run.err.count("repeat the password") == 3, run
    assert not holds(run.out + run.err, GOOD), run


def test_a_command_that_fails(imap, hpfeeds, run):
    """What it said of its trouble is shown, without the secret that it had given by then."""
    server = imap(spam(1))
    mailbox = {key: value for key, value in server.mailbox().items() if key != "password"}
    told = f"echo {FAILED}; echo no key for {FAILED} >&2; exit 3"
    result = run(hpfeeds.feed(), [{**mailbox, "password_command": ["sh", "-c", told]}])
    assert result.code == 78 and "exit status 3: no key for" in result.err, result
    assert not holds(result.out + result.err, FAILED), result


def test_a_key_with_a_passphrase(imap, hpfeeds, run, certs, tmp_path):
    """Nobody is asked for it, on no terminal."""
    server = imap(spam(1))
    key = tmp_path / "locked.key"
    subprocess.run(["openssl", "pkey", "-in", certs.key, "-aes256", "-passout", f"pass:{PHRASE}",
                    "-out", key], check=True, capture_output=True)
    key.chmod(0o600)
    result = run({**hpfeeds.feed(), "tls": True, "tls_cert": str(certs.cert), "tls_key": str(key)},
                 [server.mailbox()], "--log-level", "debug")
    assert result.code == 78 and "locked.key" in result.err, result
    assert not holds(result.out + result.err, PHRASE)


def processes(pid):
    """It and its children."""
    return [pid] + [child for word in
                    pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                    for child in processes(int(word))]


def lasting(run):
    """Those that go on: itself and its clerk. Who read the configuration for the clerk ends when that
    is in use already."""
    deadline = time.monotonic() + 60
    names = []
    while names != ["imap-collector", "collector-clerk"]:
        assert time.monotonic() < deadline, names
        try:
            pids = processes(run.process.pid)
            names = [pathlib.Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids]
        except (FileNotFoundError, ProcessLookupError):
            continue
        time.sleep(0.01)
    return pids


def test_what_the_system_shows(imap, hpfeeds, live, tmp_path):
    """The processes that go on have secrets neither in their arguments nor in their environment."""
    server = imap(spam(1))
    run = live(hpfeeds.feed(), [server.mailbox(password=GOOD)])
    server.wait_for_idle()
    for pid in lasting(run):
        for name in ("cmdline", "environ"):
            try:
                shown = pathlib.Path(f"/proc/{pid}/{name}").read_bytes().decode("latin-1")
            except PermissionError:
                continue
            assert not holds(shown, GOOD, SECRET)
    run.stop()
    assert run.code == 0, run


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into what is not dumpable")
def test_what_is_in_memory_after_the_login(imap, hpfeeds, live):
    """What the next login needs, once, and no other copy: not of parsers, buffers or mechanisms."""
    server = imap(spam(1))
    run = live(hpfeeds.feed(), [server.mailbox(password=GOOD)])
    server.wait_for_idle()
    own, clerk = (b"\n".join(contents(pid)) for pid in lasting(run))
    assert own.count(GOOD.encode()) == 1
    assert not [form for form in list(forms(GOOD))[1:] if form.encode() in own]
    assert own.count(SECRET.encode()) <= 2  # for connections; to know whether a reload has another
    assert GOOD.encode() not in clerk and SECRET.encode() not in clerk
    run.stop()
    assert run.code == 0, run


@pytest.fixture
def endpoint(certs):
    """It gives another refresh token with each access token."""
    endpoint = TokenEndpoint(certs=certs, rotate=True)
    yield endpoint
    endpoint.stop()


@pytest.fixture
def token_mailbox(imap, endpoint, tmp_path):
    """(server, its mailbox's entry, the file of its refresh token)"""
    server = imap(spam(1), capabilities=CAPABILITIES.replace("AUTH=PLAIN", "AUTH=XOAUTH2"))
    kept = tmp_path / "token"
    kept.write_text(endpoint.authorize("trap") + "\n")
    kept.chmod(0o600)
    box = server.mailbox(oauth2={
        "token_url": endpoint.url + "/token", "client_id": "c", "client_secret": CLIENT,
        "refresh_token_file": str(kept), "tls_ca": endpoint.ca})
    del box["password"]
    return server, box, kept


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into what is not dumpable")
def test_which_tokens_are_in_memory_after_the_login(token_mailbox, endpoint, hpfeeds, live):
    """The access token, for the next login. Refresh tokens are in their file: neither the one that
    is void nor what took its place is left, in a buffer of TLS, say."""
    server, box, kept = token_mailbox
    first = kept.read_text().strip()
    run = live(hpfeeds.feed(), [box])
    server.wait_for_idle()
    (access,), (refresh,) = endpoint.access, endpoint.refresh
    assert kept.read_text().strip() == refresh != first
    own, clerk = (b"\n".join(contents(pid)) for pid in lasting(run))
    assert own.count(access.encode()) == own.count(CLIENT.encode()) == 1
    assert [text for text in (first, refresh) if text.encode() in own] == []
    assert [text for text in (access, first, refresh, CLIENT) if text.encode() in clerk] == []
    assert run.stop().code == 0, run


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into what is not dumpable")
def test_what_of_token_commands_is_in_memory(imap, hpfeeds, live):
    """Their words, once, in the clerk; and of those that a reload has replaced nothing."""
    server = imap(spam(1), capabilities=CAPABILITIES.replace("AUTH=PLAIN", "AUTH=XOAUTH2"))

    def boxes(word):
        for number in range(100):
            box = server.mailbox(username=f"trap{number}", name=f"trap{number}", oauth2={
                "token_command": ["sh", "-c", "echo token", f"{word}{number}"]})
            del box["password"]
            yield box

    words = [list(boxes(word)) for word in ("of-a-command-5e10d2-", "another-one-b7713c-")]
    run = live(hpfeeds.feed(), words[0])
    server.wait_for_idle(100)
    run.reload(mailboxes=words[1])
    (pid,) = children(run.process.pid)

    def found():
        clerk = b"\n".join(contents(pid))
        return [clerk.count(box["oauth2"]["token_command"][3].encode() + b"\0")
                for box in words[0] + words[1]]

    until = time.monotonic() + 30
    while found() != [0] * 100 + [1] * 100:  # as soon as it has heard that they are in use
        assert time.monotonic() < until, found()
        time.sleep(0.1)
    assert run.stop().code == 0, run
