"""imap-collector -c as a service: what its manager hears, reloads, and how it ends.

What is asserted: which connections go on and which are made anew, where mail arrives and how
often, the exit code, what is logged."""
import os
import pty
import signal
import threading

import pytest

from peers.collector import Run
from peers.fixtures import hpfeeds, imap, live, once, spam, start  # noqa: F401
from peers.notify import Manager
from peers.scripted_broker import CHANNEL, Broker
from peers.scripted_imap import DEFAULT


@pytest.fixture
def manager():
    hears = Manager()
    yield hears
    hears.stop()


@pytest.fixture
def second_broker():
    broker = Broker()
    yield broker
    broker.stop()


def delivers(server, broker, *bodies):
    """New mail in an idle mailbox reaches the broker."""
    server.deliver(*bodies)
    broker.wait_for(lambda: set(bodies) <= set(broker.bodies()))


def no_confirmation(link, message):
    """Markers get lost once there is mail."""
    return message.channel != CHANNEL and link.broker.mails


def watched(*servers):
    for server in servers:
        server.wait_for_idle()


# --- the manager --------------------------------------------------------------------------------


def test_what_the_manager_hears(imap, hpfeeds, live, manager):
    server = imap(spam(1))
    run = live(hpfeeds.feed(), [server.mailbox()],
               env={**manager.env, "WATCHDOG_USEC": "200000"})
    manager.wait_for("READY=1")
    watched(server)
    manager.wait_for("WATCHDOG=1", 3)
    run.reload()
    manager.wait_for("READY=1", 2)
    manager.wait_for_status("1 of 1 mailboxes watched, 1 mails")
    run.stop()
    assert run.code == 0, run
    assert manager.states() == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    reloading = next(message for message in manager.heard if message[0] == "RELOADING=1")
    assert reloading[1].startswith("MONOTONIC_USEC=") and reloading[1][15:].isdigit()


def test_a_broker_that_is_away_is_waited_for(imap, hpfeeds, live, manager):
    """It is ready all the same, says what is missing, and delivers when the broker comes."""
    server = imap(spam(3))
    hpfeeds.away()
    run = live(hpfeeds.feed(), [server.mailbox()], env=manager.env)
    manager.wait_for("READY=1")
    manager.wait_for_status("the broker is away")
    assert not any(mail.flags for mail in server.inbox.mails)
    hpfeeds.start()
    hpfeeds.wait_for(lambda: len(hpfeeds.mails) == 3)
    watched(server)
    run.stop()
    assert run.code == 0 and run.row("trap") == (3, 3, 0, "ok"), run
    assert hpfeeds.bodies() == once(spam(3))


def test_check_looks_once(imap, hpfeeds, live):
    server = imap(spam(3))
    result = live(hpfeeds.feed(), [server.mailbox()], "--check").wait()
    assert result.code == 0 and "1 of 1 mailboxes ok" in result.out, result
    assert not hpfeeds.mails


# --- the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_one_ends_at_once(imap, hpfeeds, live, how):
    server = imap(spam(2))
    run = live(hpfeeds.feed(), [server.mailbox()])
    watched(server)
    hpfeeds.wait_for(lambda: len(hpfeeds.mails) == 2)
    run.stop(how)
    assert run.code == 0 and run.row("trap") == (2, 2, 0, "ok"), run
    assert len(run.lines) <= 3, run  # the broker, the mails, the end


def test_the_end_while_mail_is_in_flight(imap, hpfeeds, live, start):
    """What is not confirmed is not marked, and comes with the next run."""
    server = imap(spam(20))
    hpfeeds.publish = no_confirmation
    run = live(hpfeeds.feed(confirm="echo"), [server.mailbox()])
    hpfeeds.wait_for(lambda: len(hpfeeds.mails) == 20)
    run.stop()
    assert run.code == 0, run
    assert all(mail.flags == set() for mail in server.inbox.mails)
    assert run.recorded() == {}
    hpfeeds.publish = lambda link, message: False
    again = start(hpfeeds.feed(confirm="echo"), [server.mailbox()]).wait()
    assert again.code == 0 and again.row("trap") == (20, 20, 0, "ok"), again
    assert all(mail.flags == {"\\Seen"} for mail in server.inbox.mails)


# --- reloads ------------------------------------------------------------------------------------


def test_a_mailbox_is_added(imap, hpfeeds, live):
    first, second = imap(spam(2), name="a"), imap(spam(2, who="b"), name="b")
    run = live(hpfeeds.feed(), [first.mailbox()])
    watched(first)
    line = run.reload(mailboxes=[first.mailbox(), second.mailbox()])
    assert "1 added, 0 removed, 0 changed, 1 as before; the same feed" in line
    watched(second)
    delivers(first, hpfeeds, *spam(1, who="later"))
    run.stop()
    assert hpfeeds.bodies() == once(spam(2) + spam(2, who="b") + spam(1, who="later")), run
    assert first.connections == 1 and second.connections == 1
    assert run.row("a") == (3, 3, 0, "ok") and run.row("b") == (2, 2, 0, "ok")


def test_a_mailbox_is_removed(imap, hpfeeds, live):
    first, second = imap(spam(2), name="a"), imap(spam(3, who="b"), name="b")
    run = live(hpfeeds.feed(), [first.mailbox(), second.mailbox()])
    watched(first, second)
    hpfeeds.wait_for(lambda: len(hpfeeds.mails) == 5)
    line = run.reload(mailboxes=[first.mailbox()])
    assert "0 added, 1 removed, 0 changed, 1 as before; the same feed" in line
    second.wait_for_end()
    second.deliver(*spam(1, who="unwanted"))
    delivers(first, hpfeeds, *spam(1, who="later"))
    run.stop()
    assert hpfeeds.bodies() == once(spam(2) + spam(3, who="b") + spam(1, who="later")), run
    assert first.connections == 1 and second.connections == 1
    assert "\nb " not in run.out
    assert run.row("total") == (6, 6, 0, "1 of 1 mailboxes ok")  # what it had delivered counts


def test_a_mailbox_is_changed(imap, hpfeeds, live):
    first, second = imap(spam(2), name="a"), imap(spam(2, who="b"), name="b")
    run = live(hpfeeds.feed(), [first.mailbox(), second.mailbox()])
    watched(first, second)
    hpfeeds.wait_for(lambda: len(hpfeeds.mails) == 4)
    line = run.reload(mailboxes=[second.mailbox(after={"keyword": "$Got"}), first.mailbox()])
    assert "0 added, 0 removed, 1 changed, 1 as before; the same feed" in line
    second.wait_for(lambda: second.connections == 2)
    watched(second)
    delivers(second, hpfeeds, *spam(1, who="later"))
    second.wait_for(lambda: "$Got" in second.inbox.mail(3).flags)
    run.stop()
    assert hpfeeds.bodies() == once(spam(2) + spam(2, who="b") + spam(1, who="later")), run
    assert first.connections == 1 and second.connections == 2
    assert run.row("b") == (1, 1, 0, "ok") and run.row("total")[1] == 5


def test_other_limits(imap, hpfeeds, live):
    """Who waited for a connection gets one when more are allowed."""
    first, second = imap(spam(1), name="a"), imap(spam(1, who="b"), name="b")
    more = threading.Event()
    first.on("SELECT", lambda s, c: more.wait(60) and DEFAULT)  # until then it keeps its turn

    def limited(connections):
        return {"limits": {"hosts": {"127.0.0.1": {"connections_per_host": connections}}},
                "mailboxes": [first.mailbox(), second.mailbox()]}
    run = live(hpfeeds.feed(), limited(1))
    run.wait_for_log("2 mailboxes at 127.0.0.1 share 1 connections and take turns")
    first.wait_for(lambda: "SELECT" in first.names())
    assert second.connections == 0
    assert "2 as before" in run.reload(mailboxes=limited(2))
    watched(second)
    more.set()
    watched(first, second)
    run.stop()
    assert run.code == 0 and hpfeeds.bodies() == once(spam(1) + spam(1, who="b")), run
    assert first.connections == 1 and second.connections == 1


def test_a_broken_file_changes_nothing(imap, hpfeeds, live):
    """All that is wrong in both files is said; what was there goes on; a good file is taken."""
    server, other = imap(spam(1), name="a"), imap(spam(1, who="b"), name="b")
    run = live(hpfeeds.feed(), [server.mailbox()])
    watched(server)
    line = run.reload("prt: 1\n", "- {usrname: u}\n- [\n")
    assert "2 errors in the configuration: it stays as it was before" in line
    assert run.logged(r'error +\S*feed\.yml:1:1: unknown key "prt": did you mean "port"\?')
    assert run.logged(r"error +\S*mailboxes\.yml:2:3: the bracket")
    delivers(server, hpfeeds, *spam(1, who="later"))
    line = run.reload(hpfeeds.feed(), [server.mailbox(), other.mailbox()])
    assert "1 added" in line
    watched(other)
    run.stop()
    assert run.code == 0 and server.connections == 1, run
    assert hpfeeds.bodies() == once(spam(1) + spam(1, who="later") + spam(1, who="b"))


def test_a_file_that_is_no_certificate_changes_nothing(imap, hpfeeds, live, tmp_path):
    server, other = imap(spam(1), name="a"), imap(name="b")
    (tmp_path / "ca.pem").write_text("nothing of the kind\n")
    run = live(hpfeeds.feed(), [server.mailbox()])
    watched(server)
    line = run.reload(mailboxes=[server.mailbox(folders=["Other"]),
                                 other.mailbox(tls="implicit", tls_ca=str(tmp_path / "ca.pem"))])
    assert "mailboxes.yml:1: CA file" in line and "stays as it was before" in line
    delivers(server, hpfeeds, *spam(1, who="later"))
    line = run.reload(hpfeeds.feed(tls=True, tls_ca=str(tmp_path / "ca.pem")), [server.mailbox()])
    assert "feed.yml: CA file" in line and "stays as it was before" in line
    delivers(server, hpfeeds, *spam(1, who="even later"))
    run.stop()
    assert run.code == 0 and server.connections == 1 and other.connections == 0, run


def test_another_feed(imap, hpfeeds, second_broker, live):
    """Mailboxes keep their connections; from the reload on mail goes to the other broker."""
    server = imap(spam(2))
    run = live(hpfeeds.feed(), [server.mailbox()])
    watched(server)
    hpfeeds.wait_for(lambda: len(hpfeeds.mails) == 2)
    assert "1 as before; another feed" in run.reload(second_broker.feed())
    delivers(server, second_broker, *spam(2, who="later"))
    assert "1 as before; another feed" in run.reload(second_broker.feed(payload="raw"))
    server.deliver(*spam(1, who="raw"))
    second_broker.wait_for(lambda: len(second_broker.mails) == 3)
    run.stop()
    assert run.code == 0 and server.connections == 1, run
    assert hpfeeds.bodies() == once(spam(2))
    assert second_broker.mails[2].payload == spam(1, who="raw")[0]
    assert run.row("trap") == (5, 5, 0, "ok")


def test_another_feed_while_mail_is_in_flight(imap, hpfeeds, second_broker, live):
    """What the old broker has not confirmed goes to the new one."""
    server = imap(spam(20))
    hpfeeds.publish = no_confirmation
    run = live(hpfeeds.feed(confirm="echo"), [server.mailbox()])
    hpfeeds.wait_for(lambda: len(hpfeeds.mails) == 20)
    run.reload(second_broker.feed())
    second_broker.wait_for(lambda: len(second_broker.mails) == 20)
    server.wait_for(lambda: all(mail.flags == {"\\Seen"} for mail in server.inbox.mails))
    run.stop()
    assert run.code == 0 and run.row("trap") == (20, 20, 0, "ok"), run
    assert second_broker.bodies() == once(spam(20)) and server.connections == 1


def test_the_loop_goes_on_while_a_command_is_waited_for(imap, hpfeeds, live, tmp_path):
    server, other = imap(name="a"), imap(name="b")
    run = live(hpfeeds.feed(), [server.mailbox()])
    watched(server)
    slow = other.mailbox(password_command=["cat", str(tmp_path / "fifo")])
    os.mkfifo(tmp_path / "fifo")
    password = slow.pop("password")
    run.configure(mailboxes=[server.mailbox(), slow])
    run.kill(signal.SIGHUP)
    with open(tmp_path / "fifo", "w") as fifo:  # the command is waiting there
        delivers(server, hpfeeds, *spam(3))
        assert not run.logged(run.RELOADED)
        fifo.write(password)
    run.wait_for_log(run.RELOADED)
    watched(other)
    run.stop()
    assert run.code == 0 and server.connections == 1, run


def test_the_end_in_the_middle_of_a_reload(imap, hpfeeds, live, tmp_path):
    """A command that would take its time is not waited for, nor left behind."""
    server = imap()
    run = live(hpfeeds.feed(), [server.mailbox()])
    watched(server)
    os.mkfifo(tmp_path / "fifo")
    endless = server.mailbox(
        password_command=["sh", "-c", f"echo $$ >{tmp_path}/fifo; exec sleep 1000"])
    del endless["password"]
    run.configure(mailboxes=[endless])
    run.kill(signal.SIGHUP)
    with open(tmp_path / "fifo") as fifo:
        command = int(fifo.read())
    run.stop()
    assert run.code == 0, run
    with pytest.raises(ProcessLookupError):
        os.kill(command, 0)


def test_a_reload_that_is_asked_for_too_early(imap, hpfeeds, live, tmp_path):
    """It comes when the start is through, and does not end it."""
    server = imap(spam(1))
    slow = server.mailbox(password_command=["cat", str(tmp_path / "fifo")])
    os.mkfifo(tmp_path / "fifo")
    password = slow.pop("password")
    run = live(hpfeeds.feed(), [slow])
    with open(tmp_path / "fifo", "w") as fifo:
        run.kill(signal.SIGHUP)
        (tmp_path / "file").write_text(password)
        (tmp_path / "file").rename(tmp_path / "fifo")  # the reload's command waits for nobody
        fifo.write(password)
    run.wait_for_log("0 changed, 1 as before")
    watched(server)
    run.stop()
    assert run.code == 0 and hpfeeds.bodies() == once(spam(1)), run


def test_reloads_under_load(imap, hpfeeds, live):
    """Mailboxes come and go while mail pours in: of those that stay, each mail comes once."""
    steady = [imap(spam(50, who=f"steady{i}"), name=f"steady{i}") for i in range(4)]
    coming = [imap(spam(50, who=f"coming{i}"), name=f"coming{i}") for i in range(4)]
    run = live(hpfeeds.feed(), [server.mailbox() for server in steady])
    run.wait_for_log("delivering to")
    for turn in range(8):
        for server in steady:
            server.deliver(*spam(10, who=f"{server.name} turn {turn}"))
        there = coming[:turn % 5]
        run.reload(mailboxes=[server.mailbox() for server in steady + there])
    run.reload(mailboxes=[server.mailbox() for server in steady + coming])
    for server in steady + coming:
        server.wait_for(lambda: all("\\Seen" in mail.flags for mail in server.inbox.mails))
    run.stop()
    assert run.code == 0, run
    bodies = hpfeeds.bodies()
    for server in steady:
        assert all(bodies[mail.body] == 1 for mail in server.inbox.mails), run
        assert server.connections == 1
    for server in coming:
        assert all(bodies[mail.body] >= 1 for mail in server.inbox.mails), run


# --- a terminal ---------------------------------------------------------------------------------


def test_a_terminal_that_goes_away_ends_it(imap, hpfeeds, tmp_path):
    """A line of progress while it is there; then nobody could see or stop it any more."""
    server = imap(spam(2))
    ours, theirs = pty.openpty()
    run = Run(tmp_path, hpfeeds.feed(), [server.mailbox()], "-c", stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"1 of 1 mailboxes watched, 2 mails" not in shown:
        shown += os.read(ours, 4096)
    os.close(ours)
    run.kill(signal.SIGHUP)
    run.process.wait(60)
    assert run.process.returncode == 0
