"""imap-collector and a broker without TLS, behind HAProxy, which ends it: every way of confirming,
a broker that breaks in mid-batch, and the proxy's idle time-out."""
import pytest

from peers.collector import LiveRun
from peers.expect import check_payload
from peers.fixtures import hpfeeds, imap, once, spam, start  # noqa: F401
from peers.haproxy import HAProxy
from peers.scripted_broker import CHANNEL, Broker
from peers.scripted_imap import Server

IDLE = "15s"  # a connection that was up for 10 s, a second after its login, was a good one


def behind(proxy, certs, **more):
    """The feed of a broker that is behind this proxy."""
    return {"broker": "localhost", "port": proxy.port, "tls": True, "tls_ca": str(certs.ca), **more}


@pytest.fixture(scope="module", autouse=True)
def idle(tmp_path_factory, certs):
    """Collectors that stay, with a proxy that soon has enough of them: (run, server, broker). They
    are started with the first test of this file and looked at by the last."""
    parts = []
    for way in ("echo", "close", "sent"):
        broker, server = Broker(), Server(spam(1))
        proxy = HAProxy(tmp_path_factory.mktemp("idle") / "proxy", certs, broker.port, idle=IDLE)
        feed = broker.feed(**behind(proxy, certs, confirm=way, confirm_grace="50 ms"))
        run = LiveRun(tmp_path_factory.mktemp("idle"), feed, [server.mailbox()])
        parts.append((run, server, broker, proxy))
    yield [part[:3] for part in parts]
    for run, server, broker, proxy in parts:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()
        proxy.stop()
        broker.stop()
        server.stop()


@pytest.fixture
def proxy(tmp_path, certs):
    """proxy(broker): in front of it."""
    started = []

    def begin(broker):
        started.append(HAProxy(tmp_path / f"proxy{len(started)}", certs, broker.port, keep=1 << 13))
        return started[-1]

    yield begin
    for one in started:
        one.stop()


@pytest.mark.parametrize("confirm", ["auto", "echo", "close", "sent"])
def test_every_way_of_confirmation(broker, subscriber, proxy, certs, imap, start, confirm):
    mails = spam(30, 3000)
    server = imap(mails)
    feed = {"identity": "writer", "secret": "writersecret", "channels": [CHANNEL],
            **behind(proxy(broker), certs, confirm=confirm, confirm_grace="50 ms")}
    result = start(feed, [server.mailbox()]).wait()
    assert result.code == 0 and result.row("trap") == (30, 30, 0, "ok"), result
    assert all(mail.flags == {"\\Seen"} for mail in server.inbox.mails)
    assert len({check_payload(subscriber.next()) for _ in mails}) == 30
    subscriber.assert_silent()
    assert f"confirmed by {'echo' if confirm == 'auto' else confirm}" in result.err
    assert ("a TLS proxy in between" in result.err) == (confirm == "close")


def breaks_at(broker, number):
    """Once so many mails have come, it is killed and started again."""
    def publish(link, message):
        if message.channel == CHANNEL and len(broker.mails) == number:
            broker.away()
            broker.start()
            link.reset()
        return False
    broker.publish = publish


@pytest.mark.parametrize("confirm", ["echo", "close"])
def test_killed_in_mid_batch(hpfeeds, proxy, certs, imap, start, confirm):
    """The proxy makes a clean end of it, which is none. It keeps so little that the end of the
    batch cannot have come to it by then."""
    mails = spam(60, 20000)
    server = imap(mails)
    breaks_at(hpfeeds, 30)
    feed = hpfeeds.feed(**behind(proxy(hpfeeds), certs, confirm=confirm, confirm_grace="500 ms"))
    result = start(feed, [server.mailbox()]).wait()
    assert result.code == 0 and all(mail.flags == {"\\Seen"} for mail in server.inbox.mails), result
    assert set(hpfeeds.bodies()) == set(mails)
    assert hpfeeds.doubled() <= hpfeeds.unconfirmed()
    assert "check that" not in result.err


def test_away_behind_the_proxy(hpfeeds, proxy, certs, imap, start):
    """Who answers is the proxy alone."""
    server = imap(spam(3))
    front = proxy(hpfeeds)
    hpfeeds.away()
    result = start(hpfeeds.feed(**behind(front, certs)), [server.mailbox()]).wait()
    assert result.code == 75 and "untouched" in result.err, result
    assert all(mail.flags == set() for mail in server.inbox.mails) and result.recorded() == {}


def test_idle_time_outs(idle):
    """The connection is made again without a word, and the mail that comes next is delivered at
    once. `close` has none while it is idle."""
    cut = []
    for run, server, broker in idle:
        broker.wait_for(lambda: len(broker.mails) == 1)
        cut.append(sum(link.over for link in broker.links))
    for (run, server, broker), before in zip(idle, cut):
        if "confirmed by close" not in run.lines[0]:
            broker.wait_for(lambda: sum(link.over for link in broker.links) > before
                            and not broker.links[-1].over)
        server.deliver(b"Subject: next\r\n\r\n")
    for run, server, broker in idle:
        broker.wait_for(lambda: len(broker.mails) == 2)
        server.wait_for(lambda: all(mail.flags for mail in server.inbox.mails))
        run.stop()
        assert run.code == 0 and run.row("trap") == (2, 2, 0, "ok"), run
        assert broker.bodies() == once([*spam(1), b"Subject: next\r\n\r\n"])
        assert not run.logged("warning") and len(run.logged("delivering to")) == 1, run
