"""OAuth 2.0 against a real IMAP server (Dovecot), which asks a local endpoint about each token."""
import collections
import os
import re
import resource
import signal
import stat
import time

import pytest

from conftest import digest, own_mails
from peers.dovecot import Dovecot
from peers.expect import feed, mailbox, received
from peers.fixtures import live  # noqa: F401
from peers.process import children, first_free
from peers.token_endpoint import Answer, TokenEndpoint, json_answer

# One for each test.
USERS = [f"trap{number}" for number in range(40)]

# What must not be found in anything the program writes.
SECRETS = ("geheim", "client-s3cret")

_OAUTH2 = """
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {path}
}}
"""


@pytest.fixture(scope="module")
def dovecot(tmp_path_factory, certs):
    """Asks `dovecot.endpoint` about tokens, without TLS: what Dovecot trusts is not what is
    tested."""
    directory = tmp_path_factory.mktemp("oauth2")
    endpoint = TokenEndpoint()
    ext = directory / "oauth2.conf"
    ext.write_text(f"introspection_mode = post\nintrospection_url = {endpoint.url}/introspect\n"
                   "username_attribute = username\nactive_attribute = active\n"
                   "active_value = true\n")
    server = Dovecot(directory / "dovecot", certs, dict.fromkeys(USERS, "no password"),
                     mechanisms="plain login xoauth2 oauthbearer",
                     more=_OAUTH2.format(path=ext))
    server.endpoint = endpoint
    server.unused = iter(USERS)
    yield server
    server.stop()
    endpoint.stop()


@pytest.fixture
def endpoint(certs, dovecot):
    started = TokenEndpoint(certs)
    dovecot.endpoint.access = started.access
    yield started
    started.stop()


@pytest.fixture
def trap(dovecot):
    """A user who has three mails."""
    user = next(dovecot.unused)
    dovecot.fill(user, own_mails(3))
    return user


@pytest.fixture
def collected(tmp_path, broker, collect):
    """collected(mailboxes, …): a run, and no secret in what it wrote."""

    def run(mailboxes, *options, **more):
        result = collect(feed(broker), mailboxes, "--log-level", "debug", *options, **more)
        for secret in SECRETS:
            assert secret not in result.out and secret not in result.err, result
        return result

    return run


def account(dovecot, endpoint, user, oauth2=None, **more):
    """A mailbox that logs in with tokens of the endpoint."""
    entry = mailbox(dovecot, user, **more)
    del entry["password"]
    entry["oauth2"] = {"token_url": endpoint.url + "/token", "client_id": "collector",
                       "client_secret": "client-s3cret", "scope": "imap offline_access",
                       "tls_ca": endpoint.ca, **(oauth2 or {})}
    return entry


def end_session(dovecot, user):
    """The one there was, so that it logs in again."""
    log = dovecot.directory / "dovecot.log"  # which a process of its own writes
    deadline = time.monotonic() + 60
    while not (sessions := re.findall(rf"user=<{user}>.* mpid=(\d+)", log.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (session,) = sessions
    os.kill(int(session), signal.SIGTERM)


@pytest.mark.parametrize("auth", ["auto", "xoauth2", "oauthbearer"])
def test_refresh_token(dovecot, trap, endpoint, subscriber, collected, auth):
    token = endpoint.authorize(trap)
    result = collected([account(dovecot, endpoint, trap, oauth2={"refresh_token": token}, auth=auth)])
    assert result.code == 0, result
    assert received(subscriber, 3) == collections.Counter(map(digest, own_mails(3)))
    assert endpoint.questions() == [
        {"grant_type": "refresh_token", "client_id": "collector", "client_secret": "client-s3cret",
         "refresh_token": token, "scope": "imap offline_access"}]


def test_one_token_for_all_mailboxes_of_an_account(dovecot, trap, endpoint, collected):
    token = endpoint.authorize(trap)
    boxes = [account(dovecot, endpoint, trap, oauth2={"refresh_token": token}, name=f"box{i}",
                     folders=[folder])
             for i, folder in enumerate(["INBOX", "Spam", "Trash"])]
    result = collected(boxes)
    assert result.code == 0, result
    assert len(endpoint.questions()) == 1


def test_token_command(tmp_path, dovecot, trap, endpoint, subscriber, collected):
    endpoint.access["from-command-geheim"] = trap
    (tmp_path / "token").write_text("from-command-geheim\nmore\n")
    entry = account(dovecot, endpoint, trap)
    entry["oauth2"] = {"token_command": ["cat", "token"]}
    result = collected([entry])
    assert result.code == 0, result
    assert received(subscriber, 3) == collections.Counter(map(digest, own_mails(3)))


@pytest.mark.parametrize("command, words", [
    ("sh -c 'echo from-command-geheim; echo bad from-command-geheim >&2; exit 3'",
     "token_command failed with exit status 3: bad *******************"),
    ("sh -c 'echo two words'", "the first line of token_command is no access token"),
    ("./not-there", "token_command cannot be started: No such file or directory"),
])
def test_token_command_that_fails(dovecot, trap, endpoint, collected, command, words):
    entry = account(dovecot, endpoint, trap)
    entry["oauth2"] = {"token_command": command}
    result = collected([entry])
    assert result.code == 1 and words in result.err, result


def test_token_command_without_descriptors(dovecot, trap, endpoint, broker, subscriber, live):
    """That passes: it is run again as soon as there are more, not in an hour."""
    endpoint.access["token"] = trap
    run = live(feed(broker), [{**account(dovecot, endpoint, trap),
                               "oauth2": {"token_command": ["echo", "token"]}}])
    assert received(subscriber, 3) == collections.Counter(map(digest, own_mails(3)))
    run.wait_for_log(f"{trap} INBOX: 3 delivered")
    clerk = children(run.process.pid)[0]
    hard = resource.prlimit(clerk, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(clerk, resource.RLIMIT_NOFILE, (first_free(clerk), hard))
    endpoint.revoke()
    end_session(dovecot, trap)
    run.wait_for_log(f"{trap}: .*: too many open files: raise the limit")
    endpoint.access["token"] = trap
    resource.prlimit(clerk, resource.RLIMIT_NOFILE, (hard, hard))
    dovecot.deliver(trap, own_mails(4)[3:])
    received(subscriber, 1)
    run.stop()
    assert run.code == 0, run


@pytest.mark.parametrize("place", ["refresh_token", "refresh_token_file"])
def test_rotated_token(tmp_path, dovecot, trap, endpoint, collected, place):
    """The old one is void at once: who loses the new one is out."""
    endpoint.rotate = True
    token = endpoint.authorize(trap)
    kept = tmp_path / "kept"
    if place == "refresh_token_file":
        kept.write_text(token + "\n")
    entry = account(dovecot, endpoint, trap, oauth2={
        place: token if place == "refresh_token" else "kept"})
    for _ in range(3):
        result = collected([entry])
        assert result.code == 0, result
    if place == "refresh_token":
        (kept,) = (tmp_path / "state").glob("oauth2-*")
    assert kept.read_text().strip() in endpoint.refresh
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [path for path in kept.parent.iterdir() if path.name.startswith(kept.name + ".")] == []
    # Another token in the configuration counts at once.
    if place == "refresh_token":
        entry["oauth2"]["refresh_token"] = endpoint.authorize(trap)
        kept.write_text("refresh-geheim-void\n")
        assert collected([entry]).code == 0


def test_revoked(dovecot, trap, endpoint, collected):
    entry = account(dovecot, endpoint, trap, oauth2={"refresh_token": "refresh-geheim-revoked",
                                               "device_url": endpoint.url + "/device"},
                    name="my trap")
    result = collected([entry])
    assert result.code == 1, result
    assert ("invalid_grant: the refresh token was revoked, has expired, or belongs to another "
            "client_id; the provider says: Token has been expired or revoked.; run: "
            "imap-collector --authorize my trap") in result.err, result


def test_refused_token_is_renewed_once(dovecot, trap, endpoint, broker, live, subscriber):
    """What a server does not take any more is replaced; what it does not take anew is told."""
    entry = account(dovecot, endpoint, trap, oauth2={"refresh_token": endpoint.authorize(trap)})
    run = live(feed(broker), [entry])
    received(subscriber, 3)
    endpoint.revoke()
    end_session(dovecot, trap)
    run.wait_for_log("a new one is asked for")
    dovecot.deliver(trap, own_mails(4)[3:])
    received(subscriber, 1)
    assert len(endpoint.questions()) == 2
    assert run.stop().code == 0
    assert not any(secret in line for line in run.lines for secret in SECRETS)


def test_fresh_token_that_is_refused(dovecot, trap, endpoint, collected):
    """The endpoint's token is another user's: nothing but a person helps."""
    entry = account(dovecot, endpoint, trap, oauth2={"refresh_token": endpoint.authorize("other")})
    result = collected([entry])
    assert result.code == 1, result
    assert f"the server refused the access token of {trap}" in result.err, result
    assert len(endpoint.questions()) == 1


BAD = {
    "busy": (Answer(503, "text/html", "<h1>busy</h1>"), "it does not work for now: HTTP status 503"),
    "redirect": (Answer(307, None, "", {"Location": "/token"}), "redirects (HTTP status 307)"),
    "html": (Answer(200, "text/html", "<html>Welcome</html>"), "is no OAuth 2.0"),
    "huge": (Answer(200, "application/json", "x" * 1000000), "larger than any token"),
    "not found": (Answer(404, "text/html", "no"), "HTTP status 404"),
    "control": (json_answer(400, error="in\x1b[2Jvalid", error_description="a\nb\x07\u202e"),
                "in\\x1b[2Jvalid; the provider says: a b\\x07\\xe2\\x80\\xae"),
    "echo": (json_answer(401, error="invalid_client", error_description="client-s3cret is wrong"),
             "invalid_client: check client_id and client_secret; the provider says: ************* "
             "is wrong"),
}


@pytest.mark.parametrize("what", BAD)
def test_endpoint_in_trouble(dovecot, trap, endpoint, collected, what):
    answer, words = BAD[what]
    endpoint.answers = [answer] * 10
    result = collected([account(dovecot, endpoint, trap, oauth2={
        "refresh_token": endpoint.authorize(trap)})])
    assert result.code == 1 and words in result.err, result
    assert "\x1b" not in result.err
    # What may pass is tried again, what a person has to mend is not.
    assert len(endpoint.questions()) == (3 if what in ("busy", "html", "huge") else 1)


def test_trouble_that_passes(dovecot, trap, endpoint, subscriber, collected):
    endpoint.answers = [BAD["busy"][0]]
    result = collected([account(dovecot, endpoint, trap, oauth2={
        "refresh_token": endpoint.authorize(trap)})])
    assert result.code == 0, result
    received(subscriber, 3)


def test_endpoint_that_is_not_trusted(dovecot, trap, endpoint, collected):
    entry = account(dovecot, endpoint, trap, oauth2={"refresh_token": endpoint.authorize(trap)})
    del entry["oauth2"]["tls_ca"]
    result = collected([entry])
    assert result.code == 1 and "SSL certificate problem" in result.err, result
    assert endpoint.questions() == []


def test_authorize(tmp_path, dovecot, trap, endpoint, collected):
    entry = account(dovecot, endpoint, trap, oauth2={"device_url": endpoint.url + "/device",
                                               "refresh_token_file": "sub/token"}, name="t1")
    before = collected([entry])
    assert before.code == 1, before
    assert ("there is no refresh token yet; run: imap-collector --authorize t1") in before.err
    endpoint.device_user = trap
    endpoint.device_answers = [json_answer(400, error="authorization_pending"),
                               Answer(502, None, "")]
    result = collected([entry], "--authorize", "t1")
    assert result.code == 0, result
    assert "https://provider.example/device" in result.out and "WDJB-MJHT" in result.out
    assert endpoint.questions("/device") == [
        {"client_id": "collector", "scope": "imap offline_access"}]
    assert len(endpoint.questions()) == 3
    assert stat.S_IMODE(os.stat(tmp_path / "sub" / "token").st_mode) == 0o600
    assert collected([entry]).code == 0


def test_authorize_without_access(tmp_path, dovecot, trap, endpoint, collected):
    """The refresh token is what it is about."""
    entry = account(dovecot, endpoint, trap, oauth2={"device_url": endpoint.url + "/device",
                                               "refresh_token_file": "token"})
    refresh = endpoint.authorize(trap)
    endpoint.device_answers = [json_answer(200, token_type="Bearer", refresh_token=refresh)]
    result = collected([entry], "--authorize", trap)
    assert result.code == 1 and "has no access_token that could be used" in result.err, result
    assert collected([entry]).code == 0


@pytest.mark.parametrize("error, words", [
    ("access_denied", "access was denied"), ("expired_token", "the code has expired")])
def test_authorize_refused(tmp_path, dovecot, trap, endpoint, collected, error, words):
    entry = account(dovecot, endpoint, trap, oauth2={"device_url": endpoint.url + "/device"})
    endpoint.device_answers = [json_answer(400, error=error)]
    result = collected([entry], "--authorize", trap)
    assert result.code == 1 and words in result.err, result
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("name, oauth2, code, words", [
    ("nobody", {}, 64, "no mailbox has the name or username \"nobody\""),
    ("a trap", {}, 78, "has no device_url"),
])
def test_authorize_impossible(dovecot, trap, endpoint, collected, name, oauth2, code, words):
    result = collected([account(dovecot, endpoint, trap, oauth2=oauth2, name="a trap")],
                       "--authorize", name)
    assert result.code == code and words in result.err, result
