"""What the IMAP servers that tests start have in common."""
import imaplib
import os
import pathlib
import re
import ssl
import tempfile
import unittest

from peers.process import REPOSITORY, wait_for_port

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


def let_others_enter(directory):
    """The servers' processes run as users of their own, and must get to what root's tests made; of
    directories that were there before the tests, nothing is changed."""
    temporary = pathlib.Path(tempfile.gettempdir()).resolve()
    for path in [directory, *directory.parents]:
        if path.stat().st_mode & 0o005 == 0o005 or path.stat().st_uid != 0:
            continue
        if temporary not in path.resolve().parents:
            raise RuntimeError(f"servers run as users of their own, who may not enter {path}: "
                               "set TMPDIR to a directory that all may enter")
        path.chmod(path.stat().st_mode | 0o055)


class ImapServer:
    """self.port speaks IMAP with STARTTLS, self.tls_port IMAP over TLS; self.users has each
    user's password. Of the class: its name, its hierarchy separator, whether all folders are below
    INBOX, the mechanisms it offers, and names that users and folders may have there which are
    hard to transport."""

    separator = "/"
    below_inbox = False
    mechanisms = ("plain", "login")
    hard_users = ()
    hard_folders = ()

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
