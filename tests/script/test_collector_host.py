"""imap-collector on a host that has a bad day: its disk, descriptors, memory and clock, and a second
collector.

Promised: nothing is lost or altered, nothing is marked that is not on record, what is delivered
twice is no more than what could not be recorded; and with -c it goes on by itself."""
import errno
import os
import pathlib
import re
import resource
import signal
import subprocess
import threading
import time

import pytest

from peers.collector import Run
from peers.fixtures import hpfeeds, imap, live, once, real_memory, run, spam, start  # noqa: F401
from peers.host import Host
from peers.notify import Manager
from peers.process import REPOSITORY, first_free

MANUAL = REPOSITORY / "docs" / "man" / "imap-collector.1"


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path, tmp_path / "collector" / "state")


@pytest.fixture
def manager():
    hears = Manager()
    yield hears
    hears.stop()


def marked(server):
    return {uid for uid, flags in server.inbox.flags().items() if flags}


def all_marked(server):
    server.wait_for(lambda: marked(server) == set(server.inbox.uids()))


# --- the disk under the state -------------------------------------------------------------------


DISKS = {errno.ENOSPC: "no space left", errno.EROFS: "the file system is read-only",
         errno.EIO: "the disk fails"}


@pytest.mark.parametrize("error", DISKS)
def test_a_disk_that_is_bad_at_the_start(imap, hpfeeds, host, tmp_path, error):
    server = imap(spam(3))
    host.fail(error)
    result = Run(tmp_path / "collector", hpfeeds.feed(), [server.mailbox()], env=host.env).wait()
    assert result.code == 1 and DISKS[error] in result.err, result
    assert not server.commands and not hpfeeds.mails  # nobody was bothered


def test_a_disk_that_is_bad_in_a_pass(imap, hpfeeds, host, run, tmp_path):
    """It ends after some attempts; the next one sends again what could not be recorded."""
    mails = spam(30)
    server = imap(mails)

    def publish(link, message):
        host.fail(errno.ENOSPC)
        return False
    hpfeeds.publish = publish
    failed = Run(tmp_path / "collector", hpfeeds.feed(), [server.mailbox()], env=host.env).wait()
    assert failed.code == 1 and "no space left" in failed.row("trap")[3], failed
    assert re.search(r"30 mails were delivered, but could not be put on record", failed.err), failed
    assert marked(server) == set() and failed.recorded() == {}

    hpfeeds.publish = lambda link, message: False
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and marked(server) == set(server.inbox.uids()), result
    assert hpfeeds.bodies() == {body: 2 for body in mails}


@pytest.mark.parametrize("error", DISKS)
def test_a_disk_that_is_bad_for_a_while(imap, hpfeeds, host, live, error):
    """With -c nothing is marked meanwhile, and it goes on when the disk does: none is sent twice."""
    mails = spam(120)
    server = imap(mails[:3])
    run = live(hpfeeds.feed(), [server.mailbox()], env=host.env)
    all_marked(server)
    host.fail(error)
    server.deliver(*mails[3:])
    run.wait_for_log(f"{DISKS[error]}.*nothing is marked until it can be written")
    hpfeeds.wait_for(lambda: len(hpfeeds.mails) == 120)
    assert marked(server) == {1, 2, 3}
    host.well()
    all_marked(server)
    run.stop()
    assert run.code == 0 and len(run.logged("the state is written again")) == 1, run
    assert len(run.logged(DISKS[error])) == 1 and hpfeeds.bodies() == once(mails), run


def test_it_ends_while_the_disk_is_bad(imap, hpfeeds, host, live, run):
    """It ends all the same, and says what that costs."""
    mails = spam(23)
    server = imap(mails[:3])
    first = live(hpfeeds.feed(), [server.mailbox()], env=host.env)
    all_marked(server)
    host.fail(errno.ENOSPC)
    server.deliver(*mails[3:])
    hpfeeds.wait_for(lambda: len(hpfeeds.mails) == 23)
    first.wait_for_log("nothing is marked until it can be written")
    first.stop()
    assert first.code == 0 and "no space left" in first.row("trap")[3], first
    assert first.logged("20 mails were delivered, but could not be put on record"), first
    assert marked(server) == {1, 2, 3} == set(first.recorded())
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and marked(server) == set(server.inbox.uids()), result
    assert hpfeeds.bodies() == {body: 1 if body in mails[:3] else 2 for body in mails}


def test_a_slow_disk_stops_nobody(imap, hpfeeds, host, live, manager):
    """While a commit takes for ever, mailboxes are answered, new ones begun with, mail sent, and the
    watchdog is fed; when it is over all is marked."""
    server, other = imap(spam(1)), imap(spam(5, who="other"), name="other")
    run = live(hpfeeds.feed(), [server.mailbox()],
               env={**host.env, **manager.env, "WATCHDOG_USEC": "200000"})
    all_marked(server)
    host.slow(10000)
    server.deliver(b"Subject: this one hangs\r\n\r\n")
    hpfeeds.wait_for(lambda: len(hpfeeds.mails) == 2)
    run.reload(mailboxes=[server.mailbox(), other.mailbox()])
    server.deliver(b"Subject: and this one waits\r\n\r\n")
    hpfeeds.wait_for(lambda: len(hpfeeds.mails) >= 3)
    manager.wait_for("WATCHDOG=1", manager.count("WATCHDOG=1") + 3)
    assert marked(server) == {1} and marked(other) == set()
    host.well()
    all_marked(server)
    all_marked(other)
    run.stop()
    assert run.code == 0 and max(hpfeeds.bodies().values()) == 1 and len(hpfeeds.mails) == 8, run


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(imap, hpfeeds, host, tmp_path, error):
    server = imap(spam(1))
    host.fail_locks(error)
    result = Run(tmp_path / "collector", hpfeeds.feed(), [server.mailbox()], env=host.env).wait()
    assert result.code == 1 and "cannot lock files" in result.err, result
    assert "choose a place on a local disk for the state" in result.err, result
    assert not server.commands and not hpfeeds.mails


# --- the state's file ---------------------------------------------------------------------------


def test_a_state_that_is_gone_is_missed(imap, hpfeeds, run):
    """Not started over in silence: what it costs is said, and is what the documents say."""
    mails = spam(5)
    server = imap(mails)
    first = run(hpfeeds.feed(), [server.mailbox()])
    assert first.code == 0 and "gone" not in first.err, first
    first.state.unlink()
    server.inbox.mail(2).flags.clear()
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and "the file that was here is gone or empty" in result.err, result
    assert hpfeeds.bodies() == {body: 2 if body == mails[1] else 1 for body in mails}


def test_a_state_that_is_removed_while_it_is_in_use(imap, hpfeeds, live):
    server = imap(spam(2))
    run = live(hpfeeds.feed(), [server.mailbox()])
    all_marked(server)
    run.state.unlink()
    server.deliver(b"Subject: not to be recorded\r\n\r\n")
    run.wait()
    assert run.code == 1 and "was removed, moved or replaced while it was in use" in run.err, run
    assert marked(server) == {1, 2}


def damage(path):
    """Overwrites the last page with nonsense: one of those with mails."""
    with open(path, "r+b") as state:
        state.seek(-4096, os.SEEK_END)
        state.write(b"\xa5" * 4096)


def test_a_damaged_state_is_recovered_as_the_manual_says(imap, hpfeeds, run):
    """Told, left as it is, and what can be saved of it is not sent again."""
    mails = spam(400)
    server = imap(mails)
    mailboxes = [server.mailbox(after="none")]
    first = run(hpfeeds.feed(), mailboxes, "-a")
    assert first.code == 0 and len(first.recorded()) == 400, first
    damage(first.state)
    before = first.state.read_bytes()
    refused = run(hpfeeds.feed(), mailboxes, "-a")
    assert refused.code == 1 and "damaged" in refused.out + refused.err, refused
    assert len(hpfeeds.mails) == 400 and first.state.read_bytes() == before

    directory = first.state.parent
    commands = re.findall(r"^\.D1 +(sqlite3.*)$", MANUAL.read_text(), re.MULTILINE)
    assert len(commands) == 2
    subprocess.run("mv state.db damaged.db && " + " && ".join(commands).replace("\\&", ""),
                   shell=True, cwd=directory, check=True)
    saved = set(first.recorded())
    result = run(hpfeeds.feed(), mailboxes, "-a")
    assert result.code == 0 and set(result.recorded()) == set(range(1, 401)), result
    lost = {server.inbox.mail(uid).body for uid in set(range(1, 401)) - saved}
    assert saved and hpfeeds.doubled() <= lost and max(hpfeeds.bodies().values()) <= 2


# --- two collectors -----------------------------------------------------------------------------


@pytest.mark.parametrize("through_link", [False, True])
def test_two_collectors_on_one_state(imap, hpfeeds, live, start, tmp_path, through_link):
    """The second is refused, says by whom, and touches nothing; a kill leaves no obstacle."""
    server, other = imap(spam(2)), imap(spam(3, who="other"), name="other")
    first = live(hpfeeds.feed(), [server.mailbox()])
    all_marked(server)
    state = first.state
    if through_link:
        state = tmp_path / "link"
        state.symlink_to(first.state.parent)
        state = state / "state.db"
    second = start(hpfeeds.feed(), [other.mailbox()], "-s", str(state), name="second").wait()
    assert second.code == 1 and not other.commands, second
    assert f"another collector, process {first.process.pid}, is using it: stop that one, or" \
        in second.err, second
    server.deliver(b"Subject: the first goes on\r\n\r\n")
    all_marked(server)
    first.kill()
    first.process.wait()
    third = start(hpfeeds.feed(), [other.mailbox()], "-s", str(state), name="second").wait()
    assert third.code == 0 and marked(other) == {1, 2, 3}, third


# --- descriptors --------------------------------------------------------------------------------


def descriptors(run):
    return len(os.listdir(f"/proc/{run.process.pid}/fd"))


def allow(run, count):
    hard = resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (count or hard, hard))


def by_command(entry, key):
    """The entry, with this secret of it from a command."""
    return {**{name: entry[name] for name in entry if name != key},
            f"{key}_command": ["echo", entry[key]]}


def test_descriptors_run_out(imap, hpfeeds, live, tmp_path):
    """Those that are connected go on, the others say what is missing, and come when there is more."""
    servers = [imap(spam(3, who=f"trap{i}"), name=f"trap{i}") for i in range(12)]
    run = live(hpfeeds.feed(), [server.mailbox() for server in servers[:2]])
    for server in servers[:2]:
        all_marked(server)
        server.wait_for_idle()
    allow(run, descriptors(run) + 3)
    run.reload(mailboxes=[server.mailbox() for server in servers])
    run.wait_for_log("trap.*too many open files: raise the limit of this process")
    servers[0].deliver(b"Subject: meanwhile\r\n\r\n")
    all_marked(servers[0])
    allow(run, None)
    for server in servers:
        all_marked(server)
    run.stop()
    assert run.code == 0 and max(hpfeeds.bodies().values()) == 1, run
    assert len(hpfeeds.mails) == 12 * 3 + 1


def test_too_few_descriptors_at_the_start(imap, hpfeeds, tmp_path):
    """However few they are, also for the commands that give secrets, it says so."""
    server = imap(spam(1))
    for count in (4, 6, 8, 16, 24):
        result = Run(tmp_path / f"with{count}", by_command(hpfeeds.feed(), "secret"),
                     [by_command(server.mailbox(), "password")],
                     before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count)))
        result.wait()
        assert result.code == 0 or "too many open files" in result.err.lower(), (count, result)
        assert result.code in (0, 1, 75, 78), (count, result)
    assert result.code == 0 and marked(server) == {1}, result


def test_descriptors_run_out_for_name_lookups(imap, hpfeeds, live):
    """It is not the name that is blamed; who is connected goes on, and it is looked up again."""
    here, named = imap(spam(2)), imap(spam(2, who="named"), name="named")
    run = live(hpfeeds.feed(), [here.mailbox()])
    all_marked(here)
    here.wait_for_idle()
    allow(run, descriptors(run))
    run.reload(mailboxes=[here.mailbox(), {**named.mailbox(), "host": "localhost"}])
    run.wait_for_log("named: the host name localhost cannot be looked up: too many open files: raise "
                     "the limit of this process")
    here.deliver(b"Subject: meanwhile\r\n\r\n")
    all_marked(here)
    allow(run, None)
    all_marked(named)
    run.stop()
    assert run.code == 0 and len(hpfeeds.mails) == 5 and not run.logged("spelled right"), run


def clerk(run):
    """The process that reads the configuration."""
    pid = run.process.pid
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next(int(child) for child in children
                if pathlib.Path(f"/proc/{child}/comm").read_text() == "collector-clerk\n")


def test_descriptors_run_out_for_the_configuration(imap, hpfeeds, live):
    """However few there are to read it and to run the commands that give secrets: a reload that
    cannot be done says so and changes nothing, and succeeds as soon as there are enough."""
    server, more = imap(spam(2)), imap(spam(2, who="more"), name="more")
    run = live(hpfeeds.feed(), [server.mailbox()])
    all_marked(server)
    pid = clerk(run)
    few, hard = first_free(pid), resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    for count in range(few, few + 40):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, hard))
        seen = len(run.lines)
        if "is reloaded" in run.reload(by_command(hpfeeds.feed(), "secret"),
                                       [server.mailbox(), by_command(more.mailbox(), "password")]):
            break
        assert any("too many open files: raise the limit" in line for line in run.lines[seen:]), run
    for trouble in ("no process to read the configuration", '"secret_command" cannot be started',
                    '"password_command" cannot be started'):
        assert run.logged(trouble + ": too many open files"), run.lines
    server.deliver(b"Subject: meanwhile\r\n\r\n")
    all_marked(server)
    all_marked(more)
    run.stop()
    assert run.code == 0 and server.connections == 1 and len(hpfeeds.mails) == 5, run


# --- memory -------------------------------------------------------------------------------------


def test_memory_stays_in_its_budget(imap, hpfeeds, start, real_memory):
    """Twelve servers with four mails of 700 kB each, twice as many that announce a gigabyte and begin
    with it, and a broker that reads nothing for a while: 34 MB and 24 GB want to come, 8 MiB may."""
    reading = threading.Event()
    begun = threading.Semaphore(0)

    def endless(s, mail, seq):
        s.send(f"* {seq} FETCH (UID {mail.uid} BODY[] {{1000000000}}\r\n", b"x" * 500000)
        begun.release()
        s.silence()

    def publish(link, message):
        reading.wait(60)
        return False
    hpfeeds.publish = lambda link, message: bool(hpfeeds.mails) and publish(link, message)
    good = [imap(spam(4, 700000, f"good{number}"), name=f"good{number}") for number in range(12)]
    bad = [imap([b"x"], name=f"bad{number}") for number in range(24)]
    for server in bad:
        server.inbox.mail(1).answer = endless
        server.inbox.mail(1).size = 1000
    collector = start(hpfeeds.feed(max_frame="1MiB"),
                      {"limits": {"memory_budget": "8MiB"},
                       "mailboxes": [server.mailbox() for server in [*bad, *good]]},
                      "-c")
    for _ in bad:
        assert begun.acquire(timeout=60)
    hpfeeds.wait_for(lambda: hpfeeds.mails)
    reading.set()
    for server in good:
        all_marked(server)
    assert collector.memory() < 56 << 20, collector.memory()
    collector.kill(signal.SIGTERM)
    collector.wait()
    assert collector.code == 0 and len(hpfeeds.mails) == 48, collector
    assert max(hpfeeds.bodies().values()) == 1


def test_who_waits_for_memory_keeps_little(imap, hpfeeds, start, real_memory):
    """A hundred mails are begun beyond what memory there is for: how much of each is here already
    makes no difference."""
    def memory_with(sent):
        begun = threading.Semaphore(0)

        def begin(s, mail, seq):
            s.send(f"* {seq} FETCH (UID {mail.uid} BODY[] {{900000}}\r\n", b"x" * sent)
            begun.release()
            s.silence()
        servers = [imap([b"x"], name=f"waits{number}-{sent}") for number in range(100)]
        for server in servers:
            server.inbox.mail(1).answer = begin
            server.inbox.mail(1).size = 1000
        good = imap(spam(1), name=f"good{sent}")
        collector = start(hpfeeds.feed(max_frame="1MiB"),
                          {"limits": {"memory_budget": "4MiB"},
                           "mailboxes": [*(server.mailbox() for server in servers),
                                         good.mailbox(host="localhost")]}, "-c")
        for _ in servers:
            assert begun.acquire(timeout=60)
        all_marked(good)
        good.deliver(b"another")
        all_marked(good)
        memory = collector.memory()
        collector.kill(signal.SIGTERM)
        collector.wait()
        return memory
    alone = memory_with(0)
    assert memory_with(65000) - alone < 100 * 25000


# --- clocks and pauses --------------------------------------------------------------------------


def test_the_clock_is_set(imap, hpfeeds, host, live):
    """A day back and ten years forward: nothing is waited for that long, nothing ends."""
    server = imap(spam(1))
    run = live(hpfeeds.feed(), [server.mailbox()], env=host.env)
    all_marked(server)
    for seconds in (-86400, 10 * 365 * 86400, 0):
        host.set_clock(seconds)
        server.deliver(b"Subject: at %d\r\n\r\n" % seconds)
        all_marked(server)
        days = [time.strftime("%Y-%m-%d", time.gmtime(time.time() + seconds))]
        line = run.reload()
        days.append(time.strftime("%Y-%m-%d", time.gmtime(time.time() + seconds)))
        assert days[0] <= line[:10] <= days[1], run  # the clock did jump
    server.wait_for_idle()
    run.stop()
    assert run.code == 0 and server.connections == 1 and len(hpfeeds.mails) == 4, run


def test_stopped_while_connections_end(imap, hpfeeds, live, manager):
    """SIGSTOP, all that it was connected to goes, SIGCONT: it notices, and goes on. The watchdog
    hears nothing while it stands."""
    mails = spam(6)
    server = imap(mails[:3])
    run = live(hpfeeds.feed(), [server.mailbox()],
               env={**manager.env, "WATCHDOG_USEC": "200000"})
    all_marked(server)
    server.wait_for_idle()
    run.kill(signal.SIGSTOP)
    os.waitid(os.P_PID, run.process.pid, os.WSTOPPED | os.WNOWAIT)
    server.deliver(*mails[3:])
    for session in server.sessions:
        session.socket.shutdown(2)
    hpfeeds.away()
    hpfeeds.start()
    manager.settle()
    heard = manager.count("WATCHDOG=1")
    server.wait_for_end()
    manager.settle()
    assert manager.count("WATCHDOG=1") == heard
    run.kill(signal.SIGCONT)
    all_marked(server)
    manager.wait_for("WATCHDOG=1", heard + 3)
    run.stop()
    assert run.code == 0 and hpfeeds.bodies() == once(mails), run
