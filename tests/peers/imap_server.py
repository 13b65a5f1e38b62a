"""What the IMAP servers that tests start have in common."""
import imaplib
import itertools
import os
import pathlib
import pwd
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import unittest

from peers.process import REPOSITORY, ProcessGroup, free_port, wait_for_port

# Debian's packages of IMAP servers exclude each other: all but Dovecot are unpacked, not installed.
_UNPACKED = pathlib.Path(os.environ.get("IMAP_COLLECTOR_SERVERS",
                                        REPOSITORY / "build-check" / "servers")).resolve()


def unpacked(path):
    """The path of a file of the packages unpacked by scripts/unpack-servers."""
    found = _UNPACKED / path
    if not found.exists():
        if "IMAP_COLLECTOR_SERVERS" in os.environ:
            raise RuntimeError(f"{found} is not there")
        raise unittest.SkipTest(f"{found} is not there: run scripts/unpack-servers {_UNPACKED}")
    return found


def unpacked_environment(**more):
    """An environment in which the unpacked programs find their libraries."""
    directories = ["usr/lib", "usr/lib/courier-authlib",
                   *(path.relative_to(_UNPACKED) for path in _UNPACKED.glob("usr/lib/*-linux-gnu"))]
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8",
            "LD_LIBRARY_PATH": ":".join(str(_UNPACKED / path) for path in directories), **more}


def _data_directory(name):
    """A directory that all may enter. It is not below a test's own, which pytest closes to other
    users, and whose path may be too long for Unix sockets (107 bytes)."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-")).resolve()
    directory.chmod(0o755)
    closed = [path for path in directory.parents if path.stat().st_mode & 0o001 == 0]
    if closed and os.geteuid() == 0:
        directory.rmdir()
        raise RuntimeError(f"servers run as users of their own, who may not enter {closed[0]}: "
                           "set TMPDIR to a directory that all may enter")
    return directory


class ImapServer:
    """self.port speaks IMAP with STARTTLS, self.tls_port IMAP over TLS; self.users has each
    user's password; logs are in self.directory, all else in self.data. Of the class: its name, its
    hierarchy separator, whether all folders are below INBOX, the mechanisms it offers, and names
    that users and folders may have there which are hard to transport."""

    separator = "/"
    below_inbox = False
    mechanisms = ("plain", "login")
    hard_users = ()
    hard_folders = ()

    def __init__(self, directory, certs, users):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        self.certs = certs
        self.users = dict(users)
        self.port, self.tls_port = free_port(), free_port()
        # Mail is handled by this user: servers refuse to do so as root.
        self.owner = pwd.getpwnam("mail") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self.data = _data_directory(self.name)
        self._processes = []
        self._delivered = itertools.count()

    def start(self, argv, name="out", **popen):
        """Starts one of the server's processes."""
        self._processes.append(ProcessGroup(argv, self.directory / f"{name}.log", **popen))
        return self._processes[-1]

    def halt(self):
        """Ends its processes; its data stay."""
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()

    def restart(self):
        self.halt()
        self.start_all()

    def stop(self):
        self.halt()
        shutil.rmtree(self.data)

    def kick(self):
        """Ends all sessions, without a word to their clients."""
        groups = {process.popen.pid for process in self._processes}
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = stat.read_text().split("(", 1)[1].rpartition(")")
                if name in ("imap", "imapd") and int(rest.split()[2]) in groups:
                    os.kill(int(stat.parent.name), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                pass

    def deliver_to(self, maildir, mails):
        """As mail systems do: a mail is there whole, or not at all."""
        written = []
        for mail in mails:
            written.append(maildir / "tmp" / f"{1700000000}.M{next(self._delivered)}P2.test")
            written[-1].write_bytes(mail)
        self.give_away(*written)
        for path in written:
            path.rename(maildir / "new" / path.name)

    def give_away(self, *paths):
        """Hands files and folders over to self.owner, where that is another user."""
        if paths and os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{self.owner.pw_uid}:{self.owner.pw_gid}", *paths],
                           check=True)

    def folder(self, *parts):
        """The name of a folder of the user's own."""
        return self.separator.join(["INBOX", *parts] if self.below_inbox else parts)

    def await_port(self, port, process, log=None):
        """Returns when the port is open; otherwise nothing is left running, and it raises."""
        try:
            wait_for_port(port, process.popen, log or process.log)
        except RuntimeError:
            self.stop()
            raise

    def login(self, user):
        """An independent client (Python's imaplib), logged in."""
        context = ssl.create_default_context(cafile=str(self.certs.ca))
        client = imaplib.IMAP4_SSL("localhost", self.tls_port, ssl_context=context)
        client.authenticate("PLAIN", lambda _: f"\0{user}\0{self.users[user]}".encode())
        return client

    def fill(self, user, mails):
        """Puts mails (bytes, LF line ends) into the INBOX, those that the server takes; returns
        how many it refused: some take no NUL, and want headers to be headers."""
        client = self.login(user)
        refused = 0
        for mail in mails:
            # Not client.append(), which makes line ends of lone CRs.
            client.literal = re.sub(rb"\r?\n", b"\r\n", mail)
            refused += client._simple_command("APPEND", "INBOX")[0] == "NO"
        client.logout()
        return refused
