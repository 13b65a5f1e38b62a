"""What became of every mail: the ledger of a run with faults.

Each mail is known by the hash of the bytes that its server sends. What went over the wire to the
broker is watched by Wire, in a proxy before it; what a subscriber got is counted by the ledger.
At the end both, and what stands in the mailboxes, must tell one story."""
import collections
import dataclasses
import re
import struct

from conftest import digest

ERROR, PUBLISH = 0, 3
CHANNEL = b"spam.mails"


@dataclasses.dataclass
class Mail:
    number: int
    box: str
    folder: str
    raw: bytes  # as stored
    sha: str
    kind: str
    held: bool = False  # too large: must stay where it is
    withdrawn: str = ""  # what another client did to it: it may be missing, or marked
    unread: bool = False  # another client took its mark away, which is left so


@dataclasses.dataclass
class Send:
    """One PUBLISH of a mail that left for the broker whole."""
    sha: str
    link: int
    at: float  # time.monotonic()
    run: int  # which process sent it
    confirmed: float = 0.0  # when the confirmation was handed to that process's kernel
    ended: float = 0.0  # when the connection was at its end
    refused: bool = False  # by an ERROR: what comes after it confirms nothing


class Wire:
    """Watches a CuttingProxy before the broker (its `tap`). `now()` is a clock, `run()` says which
    run of the collector it is. A connection with markers is confirmed by their echoes, one without
    by a clean end that answers the collector's; an ERROR leaves what came before it unconfirmed."""

    def __init__(self, now, run):
        self._now, self._run = now, run
        self._parts = collections.defaultdict(bytearray)
        self._pending = collections.defaultdict(list)  # link → sends not confirmed
        self._markers = {}  # content → sends before it
        self._unclosed = set()  # links whose end confirms nothing
        self._runs = {}  # link → the run that made it
        self.sends = collections.defaultdict(list)  # sha → Sends in their order

    def forwarded(self, link, to_server, data):
        self._runs.setdefault(link.number, self._run())
        buffer = self._parts[link.number, to_server]
        buffer += data
        while len(buffer) >= 5:
            length, opcode = struct.unpack(">IB", buffer[:5])
            if len(buffer) < length:
                return
            body = bytes(buffer[5:length])
            del buffer[:length]
            if opcode == ERROR and not to_server:
                self._refused(link)
            if opcode == PUBLISH:
                ident = 1 + body[0]
                channel = body[ident + 1:ident + 1 + body[ident]]
                self._published(link, to_server, channel, body[ident + 1 + body[ident]:])

    def _published(self, link, to_server, channel, payload):
        if channel == CHANNEL and to_server:
            sha = re.match(rb'\{"sha256": ?"([0-9a-f]{64})"', payload).group(1).decode()
            send = Send(sha, link.number, self._now(), self._runs[link.number])
            self.sends[sha].append(send)
            self._pending[link.number].append(send)
        elif channel != CHANNEL and to_server:
            self._unclosed.add(link.number)
            self._markers[payload] = self._pending[link.number][:]
        elif channel != CHANNEL:
            self._confirm(self._markers.pop(payload, []))

    def _refused(self, link):
        self._unclosed.add(link.number)
        for send in self._pending.pop(link.number, []):
            send.refused = True
            send.ended = self._now()

    def _confirm(self, sends):
        for send in sends:
            if not send.refused:
                send.confirmed = send.confirmed or self._now()

    def ended(self, link, clean):
        pending = self._pending.pop(link.number, [])
        if clean and link.client_first and link.number not in self._unclosed:
            self._confirm(pending)
        else:
            for send in pending:
                send.ended = self._now()


class Ledger:
    def __init__(self):
        self.mails = []
        self.by_sha = collections.defaultdict(list)
        self.got = collections.Counter()  # by the subscriber
        self.altered = []

    def add(self, box, folder, raw, kind, held=False):
        """Before it is put anywhere."""
        # Dovecot sends 0x80 for a NUL, which IMAP does not allow in a literal.
        sha = digest(raw.replace(b"\0", b"\x80"))
        mail = Mail(len(self.mails), box, folder, raw, sha, kind, held)
        self.mails.append(mail)
        self.by_sha[sha].append(mail)
        return mail

    def received(self, sha):
        self.got[sha] += 1

    def expected(self):
        """hash → how often it must arrive at least."""
        return collections.Counter(mail.sha for mail in self.mails
                                   if not mail.held and not mail.withdrawn)

    def missing(self):
        return [sha for sha, count in self.expected().items() if self.got[sha] < count]

    def strangers(self):
        """What arrived and never was a mail, or must not have been sent."""
        return [sha for sha in self.got
                if not self.by_sha[sha] or all(mail.held for mail in self.by_sha[sha])]

    def sent_again(self, wire, excuses):
        """(mail's send, its reason) for each that was sent more often than there are mails of it;
        reason is "" when nothing documented explains it. excuses(earlier, later) names what
        happened between the two."""
        found = []
        for sha, sends in wire.sends.items():
            for index in range(len(self.by_sha[sha]), len(sends)):
                found.append((sends[index], excuses(sends[:index], sends[index])))
        return found

    def wrong_marks(self, boxes, overtaken=lambda mail: False):
        """Compares what stands in the mailboxes with what arrived. `boxes`: (box, folder) →
        (after, [(sha, flags)], [shas in the folder they are moved to]). `overtaken`: may the server
        still have been moving it when it was asked to once more? Then it may be there twice."""
        wrong = []
        for (box, folder), (after, there, moved) in boxes.items():
            present = collections.defaultdict(list)
            for sha, flags in there:
                present[sha].append(flags)
            mine = [mail for mail in self.mails if (mail.box, mail.folder) == (box, folder)]
            for mail in mine:
                times = moved.count(mail.sha)
                if times == len(self._alike(mail)) + 1 and overtaken(mail):
                    times -= 1
                fault = self._fault(mail, after, present[mail.sha], times)
                if fault:
                    wrong.append(f"mail {mail.number} ({mail.kind}) in {box}/{folder}, {after}: "
                                 f"{fault}; arrived {self.got[mail.sha]} times")
        return wrong

    def _fault(self, mail, after, flags, moved):
        if mail.withdrawn:
            return ""
        leaves = after in ("delete", "move")
        if mail.held or not leaves:
            if len(flags) != len(self._alike(mail)):
                return f"it is there {len(flags)} times"
        elif flags:
            return "it is still there"
        if after == "move" and not mail.held and moved != len(self._alike(mail)):
            return f"it was moved {moved} times"
        want = {"seen": "\\Seen", "keyword": "$Collected"}.get(after)
        for marks in flags:
            marked = marks & {"\\Seen", "$Collected"}
            if marked != (set() if mail.held or not want else {want}) and not mail.unread:
                return f"it has the flags {' '.join(sorted(marks)) or '(none)'}"
        return ""

    def _alike(self, mail):
        return [other for other in self.by_sha[mail.sha]
                if (other.box, other.folder) == (mail.box, mail.folder) and not other.withdrawn]
