"""imap-collector killed at a point that is counted, or its power cut there, and run again: what must
hold at its death and at the end, for every way of marking and of confirming.

The points are those of crashpoints.c, the disk after a power cut is that of disk.py, the promise is
docs/reliability.md: missing 0, altered 0, marked and not delivered 0; again is sent what was not on
record when the run died, all of it once, and nothing else."""
import collections
import contextlib
import dataclasses
import hashlib
import os
import pathlib
import random
import shutil
import signal
import socket
import sqlite3
import threading

from conftest import as_sent
from peers import scripted_broker, scripted_imap
from peers.collector import LiveRun, Run
from peers.disk import VARIANTS, Disk, put_back
from peers.ledger import Ledger
from peers.process import BUILD

AFTERS = ("seen", "delete", "move", "copy", "none")  # copy: a move at a server that has no MOVE
CONFIRMS = ("echo", "close", "sent")
CUTS = [variant for variant in VARIANTS if variant != "all"]  # that is a kill
MAX_FRAME = 64 << 10
SHIM = BUILD / "tests" / "peers" / "crashpoints.so"


def environment(directory, log, peers, at=None):
    """What makes a program count its points below a directory, and die at one of them."""
    found = {"LD_PRELOAD": str(SHIM), "CRASH_DIR": str(directory), "CRASH_LOG": str(log),
             "CRASH_PEERS": " ".join(f"{name}={port}" for name, port in peers.items()),
             # The shim is there before libasan is.
             "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
    return {**found, "CRASH_AT": at} if at else found


def some_mails(seed):
    """A few of each kind, (bytes, kind, over the limit?); no two alike."""
    dice = random.Random(seed)
    head = b"From: a@example.org\r\nSubject: offer %d\r\n\r\n"
    return [(head % 1 + b"Buy now!\r\n", "plain", False),
            (b"", "empty", False),
            (head % 2 + bytes(dice.randrange(1, 256) for _ in range(3000)).replace(b"\n", b"\r\n"),
             "bytes", False),
            (head % 3 + dice.randbytes(MAX_FRAME).hex().encode(), "over the limit", True),
            (head % 4 + b")\r\nA1 OK FETCH completed\r\n* BYE\r\n* 1 EXISTS\r\n", "IMAP", False),
            (head % 5 + dice.randbytes(20000).hex().encode(), "large", False)]


def other_mails(directory, seed):
    """Those of some_mails(), and a few of the files there: such as have room in any frame."""
    files = [path for path in sorted(pathlib.Path(directory).rglob("*.eml"))
             if path.stat().st_size <= MAX_FRAME // 7]
    chosen = random.Random(seed).sample(files, min(6, len(files)))
    # A literal has no NUL, and a server sends CRLF.
    bodies = {as_sent(path.read_bytes()).replace(b"\0", b"\x80") for path in chosen}
    return [*some_mails(seed), *((body, "other", False) for body in sorted(bodies - {b""}))]


LATER = [(b"From: b@example.org\r\n\r\nlater %d\r\n" % i, "later", False) for i in range(2)]


@dataclasses.dataclass(frozen=True)
class Point:
    """What befalls the first runs of a program."""
    at: str = ""  # where it dies: KIND:N or KIND:N:half; "": it comes to its end
    again: str = ""  # where the run after that dies; "": there is but one
    power: str = ""  # what is left on the disk, see disk.py, when the last of them has died; "": all
    seed: int = 0

    def options(self):
        """Of bench/crash, to have it again."""
        values = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return " ".join(f"--{name}" if value is True else f"--{name} {value}"
                        for name, value in values if value)

    def deaths(self):
        return [self.at, self.again] if self.again else [self.at]

    def at_point(self, kind, number):
        """What may happen at a point: a kill, one half-way through a write, a power cut, of which
        each variant has its turn."""
        at = f"{kind}:{number}"
        cases = [dataclasses.replace(self, at=at)]
        if not kind.endswith("recv"):
            cases.append(dataclasses.replace(self, at=at + ":half"))
        if kind in self.cuts:
            cases.append(dataclasses.replace(self, at=at, power=CUTS[number % len(CUTS)]))
        return cases


@dataclasses.dataclass(frozen=True)
class Case(Point):
    after: str = "seen"
    confirm: str = "echo"
    live: bool = False  # -c, and two mails that come while it waits

    kinds = ("disk", "imap.send", "imap.recv", "broker.send", "broker.recv")
    cuts = ("disk", "imap.send", "imap.recv")  # where power cuts are of interest

    def try_out(self, directory, mails=None):
        return Crash(self, directory, mails).run()


def rows():
    """A case for each way of marking and of confirming; every third is continuous."""
    return [Case(after=after, confirm=confirm, live=(number + turn) % 3 == 2)
            for number, after in enumerate(AFTERS) for turn, confirm in enumerate(CONFIRMS)]


def digest(body):
    return hashlib.sha256(body).hexdigest()


class Crash:
    """One case, with peers and files of its own in `directory`. After run(): `problems`, `points`
    (the kinds of those that the first run came by) and `died`."""

    def __init__(self, case, directory, mails=None):
        self.case = case
        self.directory = pathlib.Path(directory)
        self.problems = []
        self.died = False
        self.points = []
        self.sent_again = 0
        self._mails = [*(mails or some_mails(case.seed)), *(LATER if case.live else [])]
        self._dice = random.Random(repr(case))
        self._home = self.directory / "home"
        self._home.mkdir(parents=True)
        self._disk = Disk(self._home)
        self._runs = 0
        self._begin_peers(self._mails[:-len(LATER)] if case.live else self._mails)

    def _begin_peers(self, mails):
        capabilities = scripted_imap.CAPABILITIES
        if self.case.after == "copy":
            capabilities = capabilities.replace("MOVE ", "")
        self.server = scripted_imap.Server([mail[0] for mail in mails], capabilities=capabilities)
        self.server.folders["Done"] = scripted_imap.Folder()
        self.broker = scripted_broker.Broker()
        self.feed = self.broker.feed(confirm=self.case.confirm, confirm_grace="10ms",
                                     max_frame=MAX_FRAME)
        after = {"move": "Done"} if self.case.after in ("move", "copy") else self.case.after
        self.mailbox = self.server.mailbox(after=after)

    def run(self):
        with contextlib.closing(self):
            for at in self.case.deaths():
                self._die(at)
            if self.case.power:
                self._cut_power()
            self._finish()
            self._check_end()
        return self

    def close(self):
        self.server.stop()
        self.broker.stop()

    # --- the runs ---

    def _start(self, live, at=None):
        self._runs += 1
        self._log = self.directory / f"log{self._runs}"
        peers = {"imap": self.server.port, "broker": self.broker.port}
        env = environment(self._home, self._log, peers, at)
        kind = LiveRun if live else Run
        return kind(self._home, self.feed, [self.mailbox], env=env)

    def _end(self, run):
        """Until it is dead, and what it sent has arrived."""
        run.wait()
        for peer in (self.server, self.broker):
            # Connections are taken in their order: when this one is greeted, all were.
            with socket.create_connection(("127.0.0.1", peer.port)) as probe:
                probe.recv(1)
            peer.wait_for_end()
        return run

    def _watch(self, run):
        """Until it dies, or has delivered all; then it is told to end."""
        over = threading.Event()

        def await_end():
            run.process.wait()
            over.set()
            for peer in (self.server, self.broker):
                with peer.changed:
                    peer.changed.notify_all()

        threading.Thread(target=await_end, daemon=True).start()
        wanted = {mail[0] for mail in self._mails if not mail[2]}
        try:
            self.server.wait_for(lambda: over.is_set() or any(session.idling for session
                                                              in self.server.sessions))
            self.server.deliver(*(mail[0] for mail in LATER))
            self.broker.wait_for(lambda: over.is_set() or wanted <= set(self.broker.bodies()))
            run.kill(signal.SIGTERM)
        except AssertionError as error:
            self._problem(f"it neither dies nor goes on: {error}")
            run.kill()

    def _die(self, at):
        first = self._runs == 0
        live = self.case.live and first
        known, earlier = self._records(self._home), self.broker.bodies()
        run = self._start(live, at)
        if live:
            self._watch(run)
        self._end(run)
        points = self._disk.follow(self._log)
        died = run.code == -signal.SIGKILL
        if first:
            self.points, self.died = points, died
        if not died and run.code != 0:
            self._problem(f"exit {run.code} before {at}\n{run}")
        self._check_sent(known, earlier, run)
        self._check_death(at)

    def _cut_power(self):
        """Every variant is looked at, that of the case is what the next run finds."""
        for variant in VARIANTS:
            image = self.directory / f"image-{variant}"
            shutil.rmtree(image, ignore_errors=True)
            self._disk.power_cut(variant, self._dice, image)
            self._check_records(f"power cut, {variant}", self._records(image))
        put_back(self._home, self.directory / f"image-{self.case.power}")

    def _finish(self):
        """The run that nothing happens to: what is not on record is sent, once."""
        known, earlier, left = self._records(self._home), self.broker.bodies(), self._left()
        run = self._end(Run(self._home, self.feed, [self.mailbox]))
        if run.code != 0:
            self._problem(f"exit {run.code} in the end\n{run}")
        self._check_sent(known, earlier, run)
        sent = self.broker.bodies() - earlier
        self.sent_again = sum((sent & earlier).values())
        for uid, body in left.items():
            if uid not in known and not self._is_held(body) and not sent[body]:
                self._problem(f"mail {uid} was not on record, and is not sent")

    # --- what must hold ---

    def _problem(self, text):
        self.problems.append(text)

    def _is_held(self, body):
        return any(mail[0] == body and mail[2] for mail in self._mails)

    def _left(self):
        """uid → body of what the next run will find."""
        return {mail.uid: mail.body for mail in self.server.inbox.mails
                if "\\Seen" not in mail.flags}

    def _records(self, directory):
        """uid → note of what is on record as delivered there. Reads a copy: a look can change a
        database."""
        state = pathlib.Path(directory) / "state"
        if not (state / "state.db").exists():
            return {}
        copy = self.directory / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(state, copy)
        database = sqlite3.connect(copy / "state.db")
        try:
            if database.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                self._problem("the state is damaged")
            if not database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                return {}
            return dict(database.execute("SELECT uid, coalesce(note, '') FROM mail WHERE kind = 0"))
        except sqlite3.Error as error:
            self._problem(f"the state cannot be read: {error}")
            return {}
        finally:
            database.close()

    def _check_death(self, at):
        taken = set(self.broker.bodies())
        here = set(self.server.inbox.flags())
        for uid, (body, _, held) in enumerate(self._mails, 1):
            gone = uid < self.server.inbox.uidnext and uid not in here
            if (gone or self._marks(uid)) and body not in taken:
                self._problem(f"mail {uid} was marked at {at}, and not delivered")
        self._check_records(f"killed at {at}", self._records(self._home))

    def _marks(self, uid):
        return self.server.inbox.flags().get(uid, set())

    def _check_records(self, when, records):
        taken = set(self.broker.bodies())
        bodies = dict(enumerate((mail[0] for mail in self._mails), 1))
        for uid in bodies:
            if self._marks(uid) and uid not in records:
                self._problem(f"{when}: mail {uid} is marked, and not on record")
            if uid in records and bodies[uid] not in taken:
                self._problem(f"{when}: mail {uid} is on record, and not delivered")

    def _check_sent(self, known, earlier, run):
        """A run sends each mail once at most, and nothing that was on record before."""
        sent = self.broker.bodies() - earlier
        for uid, (body, _, _) in enumerate(self._mails, 1):
            if sent[body] > (0 if uid in known else 1):
                self._problem(f"mail {uid} was sent {sent[body]} times in a run"
                              + (", and had been on record" if uid in known else "") + f"\n{run}")

    def _check_end(self):
        ledger = Ledger()
        for body, kind, held in self._mails:
            ledger.add("trap", "INBOX", body, kind, held)
        for body, count in self.broker.bodies().items():
            for _ in range(count):
                ledger.received(digest(body))
        moved = collections.Counter(digest(mail.body) for mail in self.server.folders["Done"].mails)
        if max(moved.values(), default=0) > (2 if self.case.after == "copy" else 1):
            self._problem(f"moved more than once: {moved}")
        after = "move" if self.case.after == "copy" else self.case.after
        there = [(digest(mail.body), mail.flags) for mail in self.server.inbox.mails]
        self.problems += [f"missing: {sha}" for sha in ledger.missing()]
        self.problems += [f"altered, or must not be sent: {sha}" for sha in ledger.strangers()]
        self.problems += ledger.wrong_marks({("trap", "INBOX"): (after, there, list(moved))})
