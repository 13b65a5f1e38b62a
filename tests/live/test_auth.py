"""Every way to log in, with a real server."""
import collections

import pytest

from conftest import digest, own_mails
from peers.dovecot import Dovecot
from peers.expect import feed, mailbox, received

MECHANISMS = "plain login scram-sha-1 scram-sha-256"


@pytest.fixture
def serve(tmp_path, certs):
    servers = []

    def begin(mechanisms, password="secret"):
        directory = tmp_path / f"dovecot{len(servers)}"
        servers.append(Dovecot(directory, certs, {"trap": password}, mechanisms=mechanisms,
                               no_plaintext="no"))
        return servers[-1]

    yield begin
    for server in servers:
        server.stop()


@pytest.mark.parametrize("auth,way", [
    ("auto", "SCRAM-SHA-256"), ("scram-sha-256", "SCRAM-SHA-256"), ("scram-sha-1", "SCRAM-SHA-1"),
    ("plain", "PLAIN"), ("login", "LOGIN")])
def test_ways(serve, broker, subscriber, collect, auth, way):
    server = serve(MECHANISMS, password="pa,ss=\U0001f600 wörd")
    mails = own_mails(3)
    server.fill("trap", mails)
    result = collect(feed(broker), [mailbox(server, "trap", auth=auth)], "--log-level", "debug")
    assert result.code == 0, result.err
    assert f"logged in by {way}\n" in result.err, result.err
    assert received(subscriber, 3) == collections.Counter(map(digest, mails))


@pytest.mark.parametrize("tls", ["starttls", "none"])
def test_scram_in_the_clear_and_behind_starttls(serve, collect, broker, tls):
    server = serve(MECHANISMS)
    result = collect(feed(broker), [mailbox(server, "trap", tls=tls)], "--log-level", "debug")
    assert result.code == 0, result.err
    assert "logged in by SCRAM-SHA-256\n" in result.err, result.err


def test_wrong_password(serve, collect, broker):
    server = serve(MECHANISMS)
    box = {**mailbox(server, "trap"), "password": "wrong"}
    result = collect(feed(broker), [box])
    assert result.code == 1, result.err
    assert "check username and password" in result.err, result.err
    assert "logged in" not in result.err


def test_no_silent_step_down(serve, broker, collect, tmp_path):
    """Who took SCRAM once gets no password in another way, in a later run neither, until somebody
    writes that it may."""
    server = serve(MECHANISMS)
    state = tmp_path / "state.db"
    box = mailbox(server, "trap", name="trap")
    assert collect(feed(broker), [box], state=state).code == 0

    plain = serve("plain login")
    box = mailbox(plain, "trap", name="trap")
    refused = collect(feed(broker), [box], "--log-level", "debug", state=state)
    assert refused.code == 1, refused
    assert "took SCRAM before and does not offer it any more" in refused.err, refused
    assert "write `auth: plain`" in refused.err and "logged in" not in refused.err, refused
    assert "secret" not in (plain.directory / "dovecot.log").read_text()

    meant = collect(feed(broker), [{**box, "auth": "plain"}], state=state)
    assert meant.code == 0, meant
    again = collect(feed(broker), [box], "--log-level", "debug", state=state)
    assert again.code == 0 and "logged in by PLAIN\n" in again.err, again
