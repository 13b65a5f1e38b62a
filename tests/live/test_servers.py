"""What matters most, against each of three IMAP servers that were written apart from each other,
over both ways of TLS. What a server makes of a mail at APPEND is its own affair: the truth is what
an independent client fetches from it."""
import collections

import pytest

from conftest import as_sent, corpus, own_mails
from peers.courier import Courier
from peers.cyrus import Cyrus
from peers.dovecot import Dovecot
from peers.expect import feed, flags, mailbox, received, stored, wire_name

# What not every server takes, but what one that takes it may send.
ODD_MAILS = [b"Subject: NUL\n\na\0b\n", b"Subject: lone CR\n\na\rb\r\n\r\r\n", b"Subject: no end",
             b"Subject: no line end\n\nx", b"\n", b"no header\n", b"\nbody alone\n",
             b"Subject: \xff\xc3\n\xe2\x82: 8-bit name\n\n.\n..\n", b"a" * 70000 + b": long\n\nx\n"]
PASSWORDS = ['white  space ', 'q"uo\\te\\', "brace {3}", "lit{3+}", "Größe 日本 \u20ac", "(*%]#:@"]


@pytest.fixture(params=[Dovecot, Cyrus, Courier], ids=lambda server: server.name)
def start(request, tmp_path, certs):
    """start(users): one of the servers."""
    started = []

    def begin(users):
        started.append(request.param(tmp_path / request.param.name, certs, users))
        return started[-1]

    begin.server = request.param
    yield begin
    for server in started:
        server.stop()


@pytest.fixture
def server(start):
    return start({"trap": "secret"})


@pytest.fixture(params=["implicit", "starttls"])
def tls(request):
    return request.param


def test_every_mail_once(server, tls, broker, subscriber, collect):
    mails = corpus()[::5] + own_mails(7) + ODD_MAILS
    refused = server.fill("trap", mails)
    expected = stored(server, "trap")
    assert expected.total() == len(mails) - refused and refused <= len(ODD_MAILS)
    boxes = [mailbox(server, "trap", tls)]

    result = collect(feed(broker), boxes)
    assert result.code == 0 and result.row("trap")[1] == expected.total(), result
    assert received(subscriber, expected.total()) == expected
    assert all(mark == {"\\Seen"} for mark in flags(server, "trap").values())
    for options in ((), ("-a",)):
        again = collect(feed(broker), boxes, *options)
        assert again.code == 0 and again.row("trap")[:3] == (0, 0, 0), again
        subscriber.assert_silent()

    repeated = collect(feed(broker), boxes, "-a", "--again")
    assert repeated.code == 0, repeated
    assert received(subscriber, expected.total()) == expected


def test_delete_leaves_what_others_deleted(server, tls, broker, subscriber, collect):
    server.fill("trap", own_mails(6))
    client = server.login("trap")
    client.select("INBOX")
    client.uid("STORE", "2", "+FLAGS", "(\\Seen \\Deleted)")
    client.uid("STORE", "3", "+FLAGS", "(\\Deleted)")
    # Before LOGOUT, which must not be taken for CLOSE.
    client.select("INBOX", readonly=True)
    client.logout()
    for delivered in (5, 0):  # 3 was unseen: delivered, but its flag is another's
        result = collect(feed(broker), [mailbox(server, "trap", tls)], "-d")
        assert result.code == 0 and result.row("trap")[1] == delivered, result
        assert {uid: mark & {"\\Deleted"} for uid, mark in flags(server, "trap").items()} == \
            {2: {"\\Deleted"}, 3: {"\\Deleted"}}
    received(subscriber, 5)


@pytest.mark.parametrize("exists", [True, False], ids=["exists", "is made"])
def test_move(server, tls, broker, subscriber, collect, exists):
    target = server.folder("Erledigt & gelöscht")
    if exists:
        client = server.login("trap")
        assert client.create(wire_name(target))[0] == "OK"
        client.logout()
    server.fill("trap", own_mails(5))
    expected = stored(server, "trap")
    boxes = [mailbox(server, "trap", tls, after={"move": target})]
    result = collect(feed(broker), boxes)
    assert result.code == 0, result
    assert received(subscriber, 5) == expected
    assert stored(server, "trap") == {} and stored(server, "trap", target) == expected
    assert collect(feed(broker), boxes).row("trap")[:3] == (0, 0, 0)


def test_keyword(server, tls, broker, subscriber, collect):
    server.fill("trap", own_mails(5))
    boxes = [mailbox(server, "trap", tls, after={"keyword": "$collected"})]
    for delivered in (5, 0):
        result = collect(feed(broker), boxes)
        assert result.code == 0 and result.row("trap")[1] == delivered, result
        assert list(flags(server, "trap").values()) == [{"$collected"}] * 5
    received(subscriber, 5)


def test_folder_names(server, tls, broker, subscriber, collect):
    folders = [server.folder(*parts) for parts in (
        ["Entwürfe"], ["日本"], ["日本", "Größe €"], ["a&b", "&-"], ["white  space"], ["Spam"],
        *([name] for name in server.hard_folders))]
    client = server.login("trap")
    for folder, mail in zip(folders, own_mails(len(folders))):
        client.create(wire_name(folder))
        status, text = client.append(wire_name(folder), None, None, as_sent(mail))
        assert status == "OK", (folder, text)
    client.logout()
    expected = sum((stored(server, "trap", folder) for folder in folders), collections.Counter())
    result = collect(feed(broker), [mailbox(server, "trap", tls, folders=folders)])
    assert result.code == 0, result
    assert received(subscriber, len(folders)) == expected
    for folder in folders:
        assert list(flags(server, "trap", folder).values()) == [{"\\Seen"}]


def test_names_and_passwords(start, tls, broker, subscriber, collect):
    users = dict(zip(start.server.hard_users, PASSWORDS))
    users.update({f"trap{i}": password for i, password in enumerate(PASSWORDS)})
    server = start(users)
    for user, mail in zip(users, own_mails(len(users))):
        server.fill(user, [mail])
    for auth in ("auto", *server.mechanisms):
        boxes = [mailbox(server, user, tls, name=f"box{i}", auth=auth)
                 for i, user in enumerate(users)]
        result = collect(feed(broker), boxes, "-a", "--again")
        assert result.code == 0, (auth, result)
        assert received(subscriber, len(users)).total() == len(users)


def test_check(server, tls, broker, subscriber, collect):
    server.fill("trap", own_mails(3))
    result = collect(feed(broker), [mailbox(server, "trap", tls)], "--check")
    assert result.code == 0, result
    row = next(line for line in result.out.splitlines() if line.startswith("trap"))
    assert "TLSv1.3" in row and row.split()[2:4] == ["3", "3"] and "UIDPLUS" in row, result
    assert all(mark == set() for mark in flags(server, "trap").values())
    subscriber.assert_silent()
