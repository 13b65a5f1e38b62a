"""What the IMAP servers that tests start have in common."""
import imaplib
import os
import pathlib
import ssl

import pytest

from peers.process import REPOSITORY

# Debian's packages of IMAP servers exclude each other: all but Dovecot are unpacked, not installed.
_UNPACKED = pathlib.Path(os.environ.get("IMAP_COLLECTOR_SERVERS",
                                        REPOSITORY / "build-check" / "servers")).resolve()



def unpacked(path):
    """The path of a file of the packages unpacked by scripts/unpack-servers."""
    found = _UNPACKED / path
    if not found.exists():
        if "IMAP_COLLECTOR_SERVERS" in os.environ:
            raise RuntimeError(f"{found} is not there")
        pytest.skip(f"{found} is not there: run scripts/unpack-servers {_UNPACKED}")
    return found


def unpacked_environment(**more):
    """An environment in which the unpacked programs find their libraries."""
    directories = ["usr/lib", "usr/lib/courier-authlib",
                   *(path.relative_to(_UNPACKED) for path in _UNPACKED.glob("usr/lib/*-linux-gnu"))]
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8",
            "LD_LIBRARY_PATH": ":".join(str(_UNPACKED / path) for path in directories), **more}


def let_others_enter(directory):
    """The servers' processes run as users of their own, and must get to what root's tests made."""
    for path in [directory, *directory.parents]:
        if path.stat().st_mode & 0o005 != 0o005 and path.stat().st_uid == 0:
            path.chmod(path.stat().st_mode | 0o055)


class ImapServer:
    """self.port speaks IMAP with STARTTLS, self.tls_port IMAP over TLS; self.users has each
    user's password."""

    def login(self, user):
        """An independent client (Python's imaplib), logged in."""
        return self.authenticated(user, self.users[user])

    def authenticated(self, user, password):
        context = ssl.create_default_context(cafile=str(self.certs.ca))
        client = imaplib.IMAP4_SSL("localhost", self.tls_port, ssl_context=context)
        client.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
        return client

    def fill(self, user, mails):
        """Appends mails (bytes, LF or CRLF line ends) to the INBOX."""
        self.append(user, "INBOX", mails)

    def append(self, user, folder, mails):
        """Appends mails to a folder whose name is as on the wire."""
        client = self.login(user)
        for mail in mails:
            status, text = client.append(folder, None, None, mail)
            assert status == "OK", text
        client.logout()
