"""One pass against a real IMAP server (Dovecot) and a real broker: the main job."""
import collections
import random

import pytest

from conftest import as_sent, corpus, digest, own_mails
from peers.dovecot import Dovecot
from peers.expect import feed, flags, mailbox, received

USERS = {f"trap{i}": f"pass word {i}" for i in range(20)}


@pytest.fixture
def dovecot(tmp_path, certs):
    server = Dovecot(tmp_path / "dovecot", certs, USERS)
    yield server
    server.stop()


def test_whole_corpus_from_twenty_mailboxes(dovecot, broker, subscriber, collect):
    mails = corpus()
    for number, user in enumerate(USERS):
        dovecot.fill(user, mails[number::20])
    boxes = [mailbox(dovecot, user) for user in USERS]

    result = collect(feed(broker), boxes)
    assert result.code == 0, result
    assert received(subscriber, len(mails)) == collections.Counter(map(digest, mails))
    assert result.row("total")[1] == len(mails)
    for user in USERS:
        assert all(mark == {"\\Seen"} for mark in flags(dovecot, user).values())

    again = collect(feed(broker), boxes)
    assert again.code == 0 and again.row("total")[:3] == (0, 0, 0), again
    with_all = collect(feed(broker), boxes, "-a")
    assert with_all.code == 0 and with_all.row("total")[:3] == (0, 0, 0), with_all
    subscriber.assert_silent()

    repeated = collect(feed(broker), boxes, "-a", "--again")
    assert repeated.code == 0, repeated
    assert received(subscriber, len(mails)) == collections.Counter(map(digest, mails))


@pytest.mark.parametrize("confirm", ["echo", "close", "sent"])
@pytest.mark.parametrize("tls", ["implicit", "starttls", "none"])
def test_every_way_of_tls_and_confirm(tmp_path, certs, broker, subscriber, collect, tls, confirm):
    server = Dovecot(tmp_path / "dovecot", certs, {"trap": "secret"}, no_plaintext="no")
    try:
        mails = own_mails(30)
        server.fill("trap", mails)
        result = collect(feed(broker, confirm=confirm, confirm_grace="50 ms"),
                         [mailbox(server, "trap", tls=tls)])
        assert result.code == 0, result
        assert received(subscriber, 30) == collections.Counter(map(digest, mails))
    finally:
        server.stop()


def test_raw_payload(dovecot, broker, subscriber, collect):
    mails = own_mails(14)
    dovecot.fill("trap0", mails)
    result = collect(feed(broker, payload="raw"), [mailbox(dovecot, "trap0")])
    assert result.code == 0, result
    assert sorted(subscriber.next() for _ in mails) == sorted(map(as_sent, mails))


def test_delete_takes_only_what_was_delivered(dovecot, broker, subscriber, collect):
    dovecot.fill("trap0", own_mails(6))
    client = dovecot.login("trap0")
    client.select("INBOX")
    client.uid("STORE", "2", "+FLAGS", "(\\Seen \\Deleted)")
    client.uid("STORE", "3", "+FLAGS", "(\\Deleted)")
    client.logout()

    result = collect(feed(broker), [mailbox(dovecot, "trap0")], "-d")
    assert result.code == 0, result
    assert result.row("trap0")[1] == 5  # 3 was unseen: delivered, but its flag is another's
    assert set(flags(dovecot, "trap0")) == {2, 3}
    again = collect(feed(broker), [mailbox(dovecot, "trap0")], "-d")
    assert again.row("trap0")[:3] == (0, 0, 0)
    assert set(flags(dovecot, "trap0")) == {2, 3}


@pytest.mark.parametrize("rights", ["lrwsipkxa", "lrwstipkxa"])  # without t, e (RFC 4314)
def test_without_the_right_to_delete_nothing_is_sent_again(tmp_path, certs, broker, subscriber,
                                                           collect, rights):
    """Dovecot answers OK to STORE and UID EXPUNGE, and leaves the mails."""
    server = Dovecot(tmp_path / "dovecot", certs, {"trap": "secret"},
                     more="mail_plugins = acl\nplugin {\n  acl = vfile\n}\n")
    try:
        server.fill("trap", own_mails(3))
        (server.mail / "trap" / "Maildir" / "dovecot-acl").write_text(f"owner {rights}\n")
        server.give_away(server.mail / "trap")
        assert collect(feed(broker), [mailbox(server, "trap")], "-d").row("trap")[1] == 3
        received(subscriber, 3)
        assert set(flags(server, "trap")) == {1, 2, 3}
        assert collect(feed(broker), [mailbox(server, "trap")], "-d").row("trap")[1] == 0
        subscriber.assert_silent()
    finally:
        server.stop()


@pytest.mark.parametrize("after, seen, left", [
    ("none", set(), 3), ("seen", {"\\Seen"}, 3), ({"keyword": "$collected"}, {"$collected"}, 3),
    ({"move": "Fertig & gelöscht"}, None, 0), ({"move": "\\Trash"}, None, 0), ("delete", None, 0)])
def test_after(dovecot, broker, subscriber, collect, after, seen, left):
    dovecot.fill("trap0", own_mails(3))
    boxes = [mailbox(dovecot, "trap0", after=after)]
    result = collect(feed(broker), boxes)
    assert result.code == 0, result
    received(subscriber, 3)
    marks = flags(dovecot, "trap0")
    assert len(marks) == left and all(mark == seen for mark in marks.values())
    if isinstance(after, dict) and "move" in after:
        target = after["move"].removeprefix("\\")
        assert len(flags(dovecot, "trap0", target)) == 3
    assert collect(feed(broker), boxes).row("trap0")[:3] == (0, 0, 0)
    subscriber.assert_silent()


def test_folders_by_name_and_special_use(dovecot, broker, subscriber, collect):
    mails = own_mails(6)
    client = dovecot.login("trap0")
    client.create("Entw&APw-rfe")
    for folder, mail in zip(["INBOX", "INBOX", "Spam", "Spam", "Entw&APw-rfe", "Entw&APw-rfe"],
                            mails):
        client.append(folder, None, None, as_sent(mail))
    client.logout()
    result = collect(feed(broker), [mailbox(
        dovecot, "trap0", folders=["INBOX", "\\Junk", "Spam", "Entwürfe"])])
    assert result.code == 0, result
    assert received(subscriber, 6) == collections.Counter(map(digest, mails))


def test_one_mailbox_in_trouble_leaves_the_others_alone(dovecot, broker, subscriber, collect):
    mails = own_mails(8)
    dovecot.fill("trap0", mails[:4])
    dovecot.fill("trap1", mails[4:])
    result = collect(feed(broker), [
        mailbox(dovecot, "trap0"),
        mailbox(dovecot, "trap2", password="wrong"),
        {key: value for key, value in mailbox(dovecot, "trap3", name="untrusted").items()
         if key != "tls_ca"},
        mailbox(dovecot, "trap4", folders=["No such folder"]),
        mailbox(dovecot, "trap1"),
    ])
    assert result.code == 1, result
    assert received(subscriber, 8) == collections.Counter(map(digest, mails))
    assert result.row("trap0")[4] == "ok" and result.row("trap1")[4] == "ok"
    assert "password" in result.row("trap2")[4]
    assert "tls_ca" in result.row("untrusted")[4]
    assert "No such folder" in result.row("trap4")[4] or "exist" in result.row("trap4")[4]
    assert "wrong" not in result.err.replace("wrong password", "")


def test_a_mail_that_does_not_fit_is_held(dovecot, broker, subscriber, collect):
    mails = own_mails(4)
    large = b"Subject: large\n\n" + b"0123456789abcdef\n" * 90000
    dovecot.fill("trap0", mails[:2] + [large] + mails[2:])
    boxes = [mailbox(dovecot, "trap0")]
    result = collect(feed(broker), boxes)
    assert result.code == 0 and result.row("trap0")[1:3] == (4, 1), result
    assert received(subscriber, 4) == collections.Counter(map(digest, mails))
    assert flags(dovecot, "trap0")[3] == set()
    assert "UID 3" in result.err and "max_frame" in result.err

    quiet = collect(feed(broker), boxes)
    assert quiet.code == 0 and quiet.row("trap0")[:2] == (0, 0) and "UID 3" not in quiet.err, quiet
    raised = collect(feed(broker, max_frame="4MiB"), boxes)
    assert raised.code == 0 and raised.row("trap0")[1] == 1, raised
    assert received(subscriber, 1) == {digest(large): 1}
    assert flags(dovecot, "trap0")[3] == {"\\Seen"}


def test_broker_away_leaves_mail_untouched(dovecot, broker, collect):
    dovecot.fill("trap0", own_mails(3))
    broker.stop()
    result = collect(feed(broker), [mailbox(dovecot, "trap0")])
    assert result.code == 75 and "broker" in result.err, result
    assert all(mark == set() for mark in flags(dovecot, "trap0").values())


@pytest.mark.parametrize("change, word", [({"secret": "wrong"}, "Authentication failed"),
                                          ({"identity": "nobody"}, "Authentication failed"),
                                          ({"channels": ["forbidden"]}, "forbidden")])
def test_broker_refuses(dovecot, broker, subscriber, collect, change, word):
    dovecot.fill("trap0", own_mails(3))
    result = collect(feed(broker, **change), [mailbox(dovecot, "trap0")])
    assert result.code == 75 and word in result.err, result
    assert all(mark == set() for mark in flags(dovecot, "trap0").values())
    subscriber.assert_silent()


def test_check_changes_nothing(dovecot, broker, subscriber, collect):
    dovecot.fill("trap0", own_mails(3))
    result = collect(feed(broker), [mailbox(dovecot, "trap0"),
                                    mailbox(dovecot, "trap1", password="wrong")], "--check")
    assert result.code == 1, result
    row = next(line for line in result.out.splitlines() if line.startswith("trap0"))
    assert "TLSv1.3" in row and row.split()[2:4] == ["3", "3"] and "UIDPLUS" in row
    assert "broker: hpfeeds 127.0.0.1" in result.out and result.out.rstrip().endswith("ok")
    assert all(mark == set() for mark in flags(dovecot, "trap0").values())
    subscriber.assert_silent()


def test_uidvalidity_change_is_recognised(dovecot, broker, subscriber, collect):
    mails = own_mails(5)
    dovecot.fill("trap0", mails[:4])
    boxes = [mailbox(dovecot, "trap0")]
    assert collect(feed(broker), boxes).code == 0
    received(subscriber, 4)
    # The folder is made anew with the same mails and one more: other UIDVALIDITY, all unseen.
    client = dovecot.login("trap0")
    client.create("Store")
    client.select("INBOX")
    client.uid("COPY", "1:*", "Store")
    client.logout()
    boxes = [mailbox(dovecot, "trap0", folders=["Store"])]
    assert collect(feed(broker), boxes, "-a").code == 0
    received(subscriber, 4)
    client = dovecot.login("trap0")
    client.delete("Store")
    client.create("Store")
    order = mails[:4]
    random.Random(1).shuffle(order)
    for mail in order + mails[4:]:
        client.append("Store", None, None, as_sent(mail))
    client.logout()
    result = collect(feed(broker), boxes)
    assert result.code == 0, result
    assert received(subscriber, 1) == {digest(mails[4]): 1}
    assert all(mark == {"\\Seen"} for mark in flags(dovecot, "trap0", "Store").values())
