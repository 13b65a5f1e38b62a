"""An IMAP server that does what a test tells it, and otherwise what a good server does.

It has one mailbox and one account, "trap" with the password PASSWORD. A test overrides

* the answer to a command:   server.on("UID STORE", lambda s, c: s.no(c, "[NOPERM] not yours"))
* what is said of a mail:    server.inbox.mails[2].answer = lambda s, mail, seq: s.send(b"...")
* the greeting:              server.greeting = lambda s: s.send(b"* BYE overloaded\\r\\n")

An override runs in the connection's thread. It answers with the session's methods, leaves the
command to the default behaviour with `return DEFAULT`, and ends the connection with s.close(),
s.reset() or s.silence(). All that clients sent is kept: server.commands, server.received."""
import base64
import re
import socket
import ssl
import struct
import threading

PASSWORD = 'pass "word\\'
CAPABILITIES = ("IMAP4rev1 LITERAL+ SASL-IR AUTH=PLAIN ID UIDPLUS MOVE ESEARCH IDLE "
                "LIST-EXTENDED SPECIAL-USE")
DEFAULT = object()
PATIENCE = 60


def without(*capabilities):
    """What a good server announces, but for these."""
    return " ".join(word for word in CAPABILITIES.split() if word not in capabilities)


class Over(Exception):
    """The connection is at its end."""


class Mail:
    def __init__(self, uid, body, flags=()):
        self.uid = uid
        self.body = body
        self.flags = set(flags)
        self.size = len(body)  # what RFC822.SIZE says; None: not said
        self.answer = None  # (session, mail, seq): instead of the FETCH with the body
        self.size_answer = None  # the same for the FETCH with the size


class Folder:
    def __init__(self, bodies=(), uidvalidity=4711):
        self.uidvalidity = uidvalidity
        self.mails = [Mail(uid, body) for uid, body in enumerate(bodies, 1)]
        self.uidnext = len(self.mails) + 1

    def add(self, body, flags=()):
        self.mails.append(Mail(self.uidnext, body, flags))
        self.uidnext += 1

    def mail(self, uid):
        return next(mail for mail in self.mails if mail.uid == uid)

    def uids(self):
        return [mail.uid for mail in self.mails]

    def flags(self):
        return {mail.uid: mail.flags for mail in self.mails}


class Command:
    """What a client sent: `name` is "UID FETCH", "LOGIN"; `args` the bytes behind it."""

    def __init__(self, tag, name, args):
        self.tag = tag
        self.name = name
        self.args = args

    def __repr__(self):
        return f"{self.name} {self.args.decode(errors='replace')}".rstrip()


def parse_set(text, folder):
    """The mails of a folder that a UID set names, with their sequence numbers."""
    wanted = []
    last = folder.mails[-1].uid if folder.mails else 0
    for part in text.split(","):
        ends = [last if end == "*" else int(end) for end in part.split(":")]
        wanted.append((min(ends), max(ends)))
    return [(seq, mail) for seq, mail in enumerate(folder.mails, 1)
            if any(first <= mail.uid <= end for first, end in wanted)]


def format_set(uids):
    return ",".join(map(str, uids))


class Session:
    """One connection."""

    def __init__(self, server, sock, number):
        self.server = server
        self.socket = sock
        self.number = number  # 1 for the server's first connection
        self.folder = None
        self.read_only = False
        self.idling = False
        self.over = False
        self._told = 0  # EXISTS, as the client was last told
        self._buffer = b""

    # --- for overrides ---

    def send(self, *parts):
        try:
            self.socket.sendall(b"".join(part if isinstance(part, bytes) else part.encode()
                                         for part in parts))
        except OSError:
            raise Over from None

    def ok(self, command, text="done"):
        self.send(f"{command.tag} OK {text}\r\n")
        with self.server.changed:
            self.server.changed.notify_all()

    def no(self, command, text):
        self.send(f"{command.tag} NO {text}\r\n")

    def bad(self, command, text):
        self.send(f"{command.tag} BAD {text}\r\n")

    def close(self):
        raise Over

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Over

    def silence(self):
        """Says nothing more until the client is gone."""
        while self._more():
            pass
        raise Over

    def start_tls(self):
        try:
            self.socket = self.server.context.wrap_socket(self.socket, server_side=True)
        except (OSError, ssl.SSLError) as error:
            self.server.tls_errors.append(str(error))
            raise Over from None

    def send_body(self, mail, seq):
        self.send(f"* {seq} FETCH (UID {mail.uid} BODY[] {{{len(mail.body)}}}\r\n",
                  mail.body, ")\r\n")

    def default(self, command):
        """The good server's behaviour; an override may do more before and behind it."""
        handler = getattr(self, "_" + command.name.lower().replace(" ", "_"), None)
        if handler:
            handler(command)
        else:
            self.bad(command, "unknown command")

    # --- reading ---

    def _more(self):
        try:
            data = self.socket.recv(1 << 16)
        except OSError:
            return False
        self._buffer += data
        with self.server.changed:
            self.server.received += data
            self.server.changed.notify_all()
        return bool(data)

    def read_line(self):
        while b"\r\n" not in self._buffer:
            if not self._more():
                raise Over
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line

    def _read_command(self):
        line = self.read_line()
        while found := re.search(rb"\{(\d+)(\+?)\}$", line):
            length = int(found[1])
            if not found[2]:
                self.send("+ go on\r\n")
            while len(self._buffer) < length:
                if not self._more():
                    raise Over
            literal, self._buffer = self._buffer[:length], self._buffer[length:]
            line += b"\r\n" + literal + self.read_line()
        words = line.split(b" ", 2)
        name = words[1].decode().upper()
        args = words[2] if len(words) > 2 else b""
        if name == "UID":
            sub, _, args = args.partition(b" ")
            name = f"UID {sub.decode().upper()}"
        return Command(words[0].decode(), name, args)

    def run(self):
        if self.server.tls == "implicit":
            self.start_tls()
        self.server.greeting(self)
        while True:
            command = self._read_command()
            with self.server.changed:
                self.server.commands.append(command)
                self.server.changed.notify_all()
            override = self.server.override(command)
            if override(self, command) is DEFAULT:
                self.default(command)

    # --- the good server ---

    def _capability(self, command):
        self.send(f"* CAPABILITY {self.server.capabilities}\r\n")
        self.ok(command)

    def tell(self):
        """Says how many mails there are in the folder, where the client does not know."""
        with self.server.lock:
            if self.folder and self._told != len(self.folder.mails):
                self._told = len(self.folder.mails)
                self.send(f"* {self._told} EXISTS\r\n")

    def _noop(self, command):
        self.tell()
        self.ok(command)

    def _idle(self, command):
        with self.server.lock:
            self.send("+ idling\r\n")
            self.idling = True
            self.tell()
        with self.server.changed:
            self.server.changed.notify_all()
        try:
            line = self.read_line()
        finally:
            self.idling = False
        assert line.upper() == b"DONE", line
        self.ok(command)

    def _id(self, command):
        self.send("* ID NIL\r\n")
        self.ok(command)

    def _starttls(self, command):
        self.ok(command, "begin")
        self.start_tls()

    def _login(self, command):
        self.ok(command, f"[CAPABILITY {self.server.capabilities}] welcome")

    def _authenticate(self, command):
        if b" " not in command.args:
            self.send("+ \r\n")
            self.read_line()
        self._login(command)

    def _logout(self, command):
        self.send("* BYE see you\r\n")
        self.ok(command)
        raise Over

    def _list(self, command):
        for name in self.server.folders:
            self.send(f'* LIST () "/" "{name}"\r\n')
        self.ok(command)

    def _select(self, command, read_only=False):
        name = command.args.decode().strip('"')
        self.folder = self.server.folders.get(name)
        self.read_only = read_only
        if not self.folder:
            self.no(command, "[NONEXISTENT] no such folder")
            return
        self._told = len(self.folder.mails)
        self.send("* FLAGS (\\Seen \\Deleted)\r\n* OK [PERMANENTFLAGS (\\Seen \\Deleted \\*)] x\r\n",
                  f"* {self._told} EXISTS\r\n* 0 RECENT\r\n",
                  f"* OK [UIDVALIDITY {self.folder.uidvalidity}] x\r\n",
                  f"* OK [UIDNEXT {self.folder.uidnext}] x\r\n")
        self.ok(command, "[READ-ONLY] done" if read_only else "[READ-WRITE] done")

    def _status(self, command):
        name = command.args.decode().split(" (")[0].strip('"')
        folder = self.server.folders.get(name)
        if not folder:
            self.no(command, "[NONEXISTENT] no such folder")
            return
        unseen = sum("\\Seen" not in mail.flags for mail in folder.mails)
        self.send(f'* STATUS "{name}" (MESSAGES {len(folder.mails)} UIDNEXT {folder.uidnext} '
                  f"UIDVALIDITY {folder.uidvalidity} UNSEEN {unseen})\r\n")
        self.ok(command)

    def _examine(self, command):
        self._select(command, read_only=True)

    def _uid_search(self, command):
        if not self.folder:
            self.bad(command, "no folder is selected")
            return
        with self.server.lock:
            uids, partial = self._found(command.args.decode().removeprefix("RETURN (ALL) "))
        if "RETURN" not in command.args.decode():
            self.send("* SEARCH", "".join(f" {uid}" for uid in uids), "\r\n")
        else:
            found = f" ALL {format_set(uids)}" if uids else ""
            self.send(f'* ESEARCH (TAG "{command.tag}") UID{found}\r\n')
        self.ok(command, partial + "done")

    def _within_limit(self, mails):
        """The last ones, where the server has a limit, and the code that says so (RFC 9738)."""
        limit = self.server.limit
        if not limit or len(mails) <= limit:
            return mails, ""
        return mails[-limit:], f"[MESSAGELIMIT {limit} {mails[-limit][1].uid}] "

    def _found(self, criteria):
        mails = list(enumerate(self.folder.mails, 1))
        words = criteria.split()
        if words[0] == "UID":
            mails = parse_set(words[1], self.folder)
            words = words[2:]
        mails, partial = self._within_limit(mails)
        for word in words:
            if word == "UNSEEN":
                mails = [(seq, mail) for seq, mail in mails if "\\Seen" not in mail.flags]
            elif word == "DELETED":
                mails = [(seq, mail) for seq, mail in mails if "\\Deleted" in mail.flags]
            else:
                assert word == "ALL", criteria
        return [mail.uid for _, mail in mails], partial

    def _mails(self, command):
        """The mails of a command about a set, within the server's limit, the rest of its arguments,
        and the code that tells of the limit."""
        text, _, rest = command.args.decode().partition(" ")
        with self.server.lock:
            mails, partial = self._within_limit(parse_set(text, self.folder))
        return mails, rest, partial

    def _uid_fetch(self, command):
        mails, items, partial = self._mails(command)
        for seq, mail in mails:
            if "BODY" in items:
                (mail.answer or Session.send_body)(self, mail, seq)
            elif mail.size_answer:
                mail.size_answer(self, mail, seq)
            else:
                size = "" if mail.size is None else f" RFC822.SIZE {mail.size}"
                self.send(f"* {seq} FETCH (UID {mail.uid} FLAGS ({' '.join(sorted(mail.flags))})"
                          f"{size})\r\n")
        self.ok(command, partial + "done")

    def _uid_store(self, command):
        mails, change, partial = self._mails(command)
        if self.read_only:
            self.no(command, "[READ-ONLY] it is read-only")
            return
        added = re.fullmatch(r"\+FLAGS\.SILENT \((.*)\)", change)
        with self.server.lock:
            for _, mail in mails:
                mail.flags |= set(added[1].split())
        self.ok(command, partial + "done")

    def _remove(self, mails):
        """Takes mails out of the folder, and says so as EXPUNGE does: from the last one on. They
        are all gone before a word is said: a client that dies over it does not stop the server."""
        for _, mail in mails:
            self.folder.mails.remove(mail)
        self._told -= len(mails)
        self.send(*(f"* {seq} EXPUNGE\r\n" for seq, _ in reversed(mails)))

    def _uid_expunge(self, command):
        mails, _, partial = self._mails(command)
        with self.server.lock:
            self._remove([(seq, mail) for seq, mail in mails if "\\Deleted" in mail.flags])
        self.ok(command, partial + "done")

    def _expunge(self, command):
        with self.server.lock:
            self._remove([(seq, mail) for seq, mail in enumerate(self.folder.mails, 1)
                          if "\\Deleted" in mail.flags])
        self.ok(command)

    def _target(self, command, name):
        target = self.server.folders.get(name.strip('"'))
        if not target:
            self.no(command, "[TRYCREATE] no such folder")
        return target

    def _uid_copy(self, command):
        mails, name, partial = self._mails(command)
        target = self._target(command, name)
        if partial:  # all or none
            self.no(command, f"[MESSAGELIMIT {self.server.limit}] too many")
        elif target:
            for _, mail in mails:
                target.add(mail.body, mail.flags)
            self.ok(command)

    def _uid_move(self, command):
        mails, name, partial = self._mails(command)
        target = self._target(command, name)
        if target:
            for _, mail in mails:
                target.add(mail.body, mail.flags)
            with self.server.lock:
                self._remove(mails)
            self.ok(command, partial + "done")

    def _create(self, command):
        self.server.folders[command.args.decode().strip('"')] = Folder()
        self.ok(command)


class Server:
    """Listens on 127.0.0.1:self.port. `tls` is none, starttls or implicit; `cert` a pair of paths,
    needed for the latter two."""

    def __init__(self, bodies=(), tls="none", cert=None, capabilities=CAPABILITIES, name="trap"):
        self.name = name
        self.inbox = Folder(bodies)
        self.folders = {"INBOX": self.inbox}
        self.tls = tls
        self.capabilities = capabilities + (" STARTTLS" if tls == "starttls" else "")
        self.greeting = lambda s: s.send(f"* OK [CAPABILITY {self.capabilities}] hello\r\n")
        self.commands = []
        self.received = b""
        self.tls_errors = []
        self.limit = None  # how many mails a command may be about (RFC 9738)
        self.errors = []  # of overrides: they must not fail
        self.connections = 0
        self.sessions = []  # of all connections
        self.lock = threading.RLock()
        self.changed = threading.Condition()
        self._overrides = []
        self.context = None
        if cert:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*cert)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            session = Session(self, sock, self.connections)
            self.sessions.append(session)
            threading.Thread(target=self._serve, args=(session,), daemon=True).start()

    def _serve(self, session):
        try:
            session.run()
        except Over:
            pass
        except Exception as error:  # noqa: BLE001: shown by the test that stops the server
            self.errors.append(repr(error))
        finally:
            session.socket.close()
            with self.changed:
                session.over = True
                self.changed.notify_all()

    def stop(self):
        # Closing alone leaves the thread that waits on it, and with it the port.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        assert not self.errors, self.errors

    # --- for tests ---

    def on(self, name, handler, times=None, when=None):
        """Overrides the answers to a command: the first `times` of them (None: all) that `when`
        (a function of the Command) is true of. The latest override that applies wins."""
        self._overrides.insert(0, [name, handler, times, when])

    def override(self, command):
        with self.lock:
            for entry in self._overrides:
                name, handler, times, when = entry
                if name == command.name and times != 0 and (not when or when(command)):
                    if times is not None:
                        entry[2] -= 1
                    return handler
        return lambda session, command: DEFAULT

    def well(self):
        """From now on it is a good server."""
        with self.lock:
            self._overrides.clear()
        for folder in self.folders.values():
            for mail in folder.mails:
                mail.answer = mail.size_answer = None

    def deliver(self, *bodies):
        """New mail in the INBOX, of which clients in IDLE are told at once."""
        with self.lock:
            for body in bodies:
                self.inbox.add(body)
            for session in self.sessions:
                try:
                    if session.idling:
                        session.tell()
                except Over:
                    pass  # its thread will find out

    def wait_for_end(self):
        """Until all connections are over."""
        self.wait_for(lambda: all(session.over for session in self.sessions))

    def wait_for_idle(self, count=1):
        """Until so many connections are in IDLE."""
        self.wait_for(lambda: sum(session.idling for session in self.sessions) >= count)

    def sent(self, name, text=""):
        """The arguments of all commands of a name that hold `text`."""
        return [command.args.decode(errors="replace") for command in self.commands
                if command.name == name and text.encode() in command.args]

    def names(self):
        return [command.name for command in self.commands]

    def logins(self):
        """The commands that would log in."""
        return [name for name in self.names() if name in ("LOGIN", "AUTHENTICATE")]

    def forget(self):
        """Forgets what clients sent until now."""
        self.commands.clear()
        self.received = b""

    def wait_for(self, condition):
        """Until `condition`, a function, is true of what clients have sent."""
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE), f"never came: {self.commands}"

    def saw_secret(self):
        """Did the password, in any of its forms, reach us in what is kept (in the clear, that is,
        as long as no TLS stood)?"""
        forms = [PASSWORD.encode(), PASSWORD.replace("\\", "\\\\").replace('"', '\\"').encode(),
                 base64.b64encode(PASSWORD.encode()),
                 base64.b64encode(b"\0trap\0" + PASSWORD.encode())]
        return any(form in self.received for form in forms)

    def mailbox(self, **more):
        """Its entry in a mailbox configuration."""
        return {"username": "trap", "password": PASSWORD, "protocol": "imap",
                "host": "localhost" if self.tls != "none" else "127.0.0.1", "port": self.port,
                "tls": self.tls, "name": self.name, **more}
