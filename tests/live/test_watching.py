"""-c against each of three IMAP servers: mail that comes while the collector watches, and what may
happen to a server, its sessions and its folders meanwhile. A mail system delivers, or another
client appends; the truth is what an independent client finds in the folders."""
import collections
import time

import pytest

from conftest import as_sent, corpus, own_mails
from peers.courier import Courier
from peers.cyrus import Cyrus
from peers.dovecot import Dovecot
from peers.expect import check_payload, feed, flags, mailbox, received, stored
from peers.fixtures import live  # noqa: F401

QUICK = {"poll_interval": "1 s"}  # no test waits for a minute


@pytest.fixture(params=[Dovecot, Cyrus, Courier], ids=lambda server: server.name)
def start(request, tmp_path, certs):
    """start(users, …): one of the servers, each user with an INBOX."""
    started = []

    def begin(users, **more):
        started.append(request.param(tmp_path / request.param.name, certs, users, **more))
        for user in users:  # Cyrus makes mailboxes at the first login
            started[-1].login(user).logout()
        return started[-1]

    yield begin
    for server in started:
        server.stop()


@pytest.fixture
def server(start):
    return start({"trap": "secret"})


def mails_of(who, count):
    """Mails that all servers take as they are."""
    return [b"From: a@example.org\nSubject: %s %d\nMessage-ID: <%s.%d@example.org>\n\nBuy now!\n"
            % (who.encode(), number, who.encode(), number) for number in range(count)]


def hashes(subscriber, count):
    return collections.Counter(check_payload(subscriber.next()) for _ in range(count))


def ends_well(run, server, collect, broker, boxes):
    """What was delivered is marked, by the run that ends or the next, and not sent again."""
    run.stop()
    assert run.code == 0, run
    run.mend = collect(feed(broker), boxes, state=run.state)
    assert run.mend.code == 0, run.mend
    for box in boxes:
        for folder in box.get("folders", ["INBOX"]):
            marks = flags(server, box["username"], folder).values()
            assert all("\\Seen" in mark for mark in marks), (box, folder)


def test_mail_comes(server, broker, subscriber, live, collect):
    boxes = [mailbox(server, "trap", **QUICK)]
    server.deliver("trap", mails_of("before", 3))
    run = live(feed(broker), boxes)
    seen = hashes(subscriber, 3)
    for mail in dict.fromkeys([*corpus()[::50], *own_mails(7)]):
        server.deliver("trap", [mail])
        seen += hashes(subscriber, 1)
    server.deliver("trap", mails_of("many", 50))
    seen += hashes(subscriber, 50)
    assert seen == stored(server, "trap") and max(seen.values()) == 1
    ends_well(run, server, collect, broker, boxes)
    subscriber.assert_silent()


def test_the_server_is_restarted(server, broker, subscriber, live, collect):
    boxes = [mailbox(server, "trap", **QUICK)]
    run = live(feed(broker), boxes)
    seen = collections.Counter()
    for number in range(4):
        server.deliver("trap", mails_of(f"up{number}", 2))
        seen += hashes(subscriber, 2)
        server.restart()
        server.deliver("trap", mails_of(f"again{number}", 3))
        seen += hashes(subscriber, 3)
    assert seen == stored(server, "trap") and max(seen.values()) == 1
    ends_well(run, server, collect, broker, boxes)
    subscriber.assert_silent()


def test_sessions_are_kicked(server, broker, subscriber, live, collect):
    boxes = [mailbox(server, "trap", **QUICK)]
    run = live(feed(broker), boxes)
    seen = collections.Counter()
    for number in range(5):
        server.deliver("trap", mails_of(f"kick{number}", 2))
        server.kick()  # while they are announced, fetched, or marked
        seen += hashes(subscriber, 2)
    assert seen == stored(server, "trap")
    ends_well(run, server, collect, broker, boxes)
    subscriber.assert_silent()


def test_a_folder_is_made_again(server, broker, subscriber, live, collect):
    """Another UIDVALIDITY; and mail that was delivered before comes back into it."""
    work = server.folder("Work")
    client = server.login("trap")
    client.create(work)
    old, new = [as_sent(mail) for mail in mails_of("old", 3)], mails_of("new", 2)
    for mail in old:
        client.append(work, None, None, mail)
    boxes = [mailbox(server, "trap", folders=[work], **QUICK)]
    run = live(feed(broker), boxes)
    seen = hashes(subscriber, 3)
    client.delete(work)
    client.create(work)
    for mail in [*old, *map(as_sent, new)]:
        client.append(work, None, None, mail)
    client.logout()
    seen += hashes(subscriber, 2)
    assert seen == stored(server, "trap", work) and max(seen.values()) == 1
    ends_well(run, server, collect, broker, boxes)
    subscriber.assert_silent()


@pytest.mark.parametrize("connections", [1, 2, 4])
def test_several_folders(server, broker, subscriber, live, collect, connections):
    """By NOTIFY, by connections of their own, by STATUS; one of them appears later."""
    folders = [server.folder(name) for name in ("One", "Two", "Later")]
    client = server.login("trap")
    for folder in folders[:2]:
        client.create(folder)
    boxes = [mailbox(server, "trap", folders=["INBOX", *folders], max_connections=connections,
                     **QUICK)]
    run = live(feed(broker), boxes)
    seen, expected = collections.Counter(), collections.Counter()
    for number in range(3):
        server.deliver("trap", mails_of(f"inbox{number}", 1))
        for folder in folders[:2]:
            client.append(folder, None, None, as_sent(mails_of(f"{folder}{number}", 1)[0]))
        seen += hashes(subscriber, 3)
    client.create(folders[2])
    client.append(folders[2], None, None, as_sent(mails_of("later", 1)[0]))
    client.logout()
    seen += hashes(subscriber, 1)
    for folder in ["INBOX", *folders]:
        expected += stored(server, "trap", folder)
    assert seen == expected and max(seen.values()) == 1
    ends_well(run, server, collect, broker, boxes)
    subscriber.assert_silent()


def test_many_mails_in_many_mailboxes(start, broker, subscriber, live, collect):
    users = {f"trap{number}": f"secret{number}" for number in range(12)}
    server = start(users)
    boxes = [mailbox(server, user, **QUICK) for user in users]
    run = live(feed(broker), boxes)
    for user in users:
        server.deliver(user, mails_of(user, 1))
    seen = hashes(subscriber, len(users))
    for user in users:
        server.deliver(user, mails_of(f"burst.{user}", 25))
    seen += hashes(subscriber, 25 * len(users))
    assert seen == sum((stored(server, user) for user in users), collections.Counter())
    assert max(seen.values()) == 1
    ends_well(run, server, collect, broker, boxes)
    subscriber.assert_silent()


def test_reloads_while_mail_comes(start, broker, subscriber, live, collect):
    users = {f"trap{number}": f"secret{number}" for number in range(6)}
    server = start(users)
    boxes = [mailbox(server, user, **QUICK) for user in users]
    run = live(feed(broker), boxes[:3])
    run.wait_for_log("delivering to")  # what is not a collector yet is ended by SIGHUP
    for number in range(6):
        for user in users:
            server.deliver(user, mails_of(f"{user}.{number}", 4))
        if number % 2:
            run.reload(mailboxes=boxes[number % 3:])
        else:
            run.reload(mailboxes=[{**box, "name": f"{box['name']}"} for box in boxes[:4]])
    run.reload(mailboxes=boxes)
    seen = hashes(subscriber, 6 * 4 * len(users))
    assert seen == sum((stored(server, user) for user in users), collections.Counter())
    ends_well(run, server, collect, broker, boxes)
    subscriber.assert_silent()


def test_no_more_connections_than_the_server_allows(tmp_path, certs, broker, subscriber, live):
    server = Dovecot(tmp_path / "dovecot", certs, {"trap": "secret"},
                     more="mail_max_userip_connections = 1")
    try:
        other = server.login("trap")
        run = live(feed(broker), [mailbox(server, "trap", folders=["INBOX", "Spam", "Trash"],
                                          max_connections=3, **QUICK)])
        run.wait_for_log("Maximum number of connections")
        other.logout()
        server.deliver("trap", mails_of("trap", 3))
        # Who made room need not wait until it is tried again; the server's own count may lag.
        deadline = time.monotonic() + 30
        while not run.logged("delivered"):
            assert time.monotonic() < deadline, run.lines
            run.reload()
            time.sleep(0.1)
        hashes(subscriber, 3)
        run.stop()
        assert run.code == 0, run
    finally:
        server.stop()
