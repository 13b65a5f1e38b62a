"""Courier IMAP on free loopback ports with data of its own; runs as root or as any user."""
import base64
import hashlib
import pathlib
import subprocess
import time

from peers.imap_server import ImapServer, unpacked, unpacked_environment

_AUTHDAEMON = """
authmodulelist="authuserdb"
daemons=2
"""

_CAPABILITY = ("IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT "
               "QUOTA IDLE")


class Courier(ImapServer):
    """Debian's defaults: "." as hierarchy separator, all folders below INBOX."""

    name = "courier"
    separator = "."
    below_inbox = True
    hard_users = ("white space", 'q"uo\\te', "trä日", "lit{3+}", "par(en)*%")
    hard_folders = ("brace {3+}", 'q"uo\\te\\', "par(en)*%", "~x", "#x")

    def __init__(self, directory, certs, users):
        unpacked("usr/sbin/couriertcpd")
        super().__init__(directory, certs, users)
        (self.data / "server.pem").write_bytes(certs.key.read_bytes() + certs.cert.read_bytes())
        self._environment = self._make_environment()
        self._make_userdb()
        self._make_maildirs()
        self.give_away(self.data)
        self.start_all()

    def _make_environment(self):
        shim = self.data / "reroot.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim,
                        pathlib.Path(__file__).with_name("reroot.c")], check=True)
        # No locks: a session that waits for one is told by a daemon (gamin) of its own, which stays
        # on after the test, and fails now and then.
        return unpacked_environment(
            LD_PRELOAD=str(shim), COURIER_ROOT=str(self.data),
            COURIERTLS=str(unpacked("usr/bin/couriertls")),
            TLS_CERTFILE=str(self.data / "server.pem"), TLS_VERIFYPEER="NONE",
            TLS_PRIORITY="NORMAL", MAILDIRPATH="Maildir", IMAP_CAPABILITY=_CAPABILITY,
            IMAP_CAPABILITY_TLS=f"{_CAPABILITY} AUTH=PLAIN", IMAP_KEYWORDS="1", IMAP_USELOCKS="0",
            IMAP_IDLE_TIMEOUT="1", IMAP_ENHANCEDIDLE="0", IMAP_TRASHFOLDERNAME="Trash",
            IMAP_CHECK_ALL_FOLDERS="1", IMAP_TLS_REQUIRED="1")

    def _make_userdb(self):
        """What userdb(8) and makeuserdb(8) would write to /etc/courier."""
        etc = self.data / "etc" / "courier"
        etc.mkdir(parents=True)
        (self.data / "run" / "courier" / "authdaemon").mkdir(parents=True)
        (etc / "authdaemonrc").write_text(_AUTHDAEMON)
        users, shadow = "", ""
        for number, (user, password) in enumerate(self.users.items()):
            digest = base64.b64encode(hashlib.sha256(password.encode()).digest()).decode()
            home = self.data / "mail" / str(number)
            users += (f"{user}\tuid={self.owner.pw_uid}|gid={self.owner.pw_gid}|home={home}|"
                      f"mail={home}/Maildir|_=\n")
            shadow += f"{user}\timappw={{SHA256}}{digest}\n"
        for name, lines in (("userdb.dat", users), ("userdbshadow.dat", shadow)):
            subprocess.run([unpacked("usr/lib/courier/courier-authlib/makedatprog"), "-",
                            etc / f"{name}.tmp", etc / name], input=f"{lines}.\n".encode(),
                           env=unpacked_environment(), check=True)

    def _make_maildirs(self):
        for number in range(len(self.users)):
            maildir = self.data / "mail" / str(number) / "Maildir"
            for folder in ("", ".Spam", ".Trash"):
                for part in ("new", "cur", "tmp"):
                    (maildir / folder / part).mkdir(parents=True)
            for folder in (".Spam", ".Trash"):
                (maildir / folder / "maildirfolder").touch()

    def start_all(self):
        authdaemond = self.start([unpacked("usr/lib/courier/courier-authlib/authdaemond")],
                                 "authdaemond", env=self._environment)
        self._await_authdaemon(authdaemond)
        imap = [unpacked("usr/lib/courier/courier/imaplogin"), unpacked("usr/bin/imapd"), "Maildir"]
        tcpd = [unpacked("usr/sbin/couriertcpd"), "-address=127.0.0.1", "-nodnslookup",
                "-noidentlookup", "-maxprocs=100", "-maxperip=100"]
        tls = [self._environment["COURIERTLS"], "-server", "-tcpd"]
        plain = self.start([*tcpd, self.port, *imap], "imapd",
                           env={**self._environment, "IMAP_STARTTLS": "YES"})
        implicit = self.start([*tcpd, self.tls_port, *tls, *imap], "imapd-ssl",
                              env={**self._environment, "IMAP_TLS": "1"})
        self.await_port(self.port, plain)
        self.await_port(self.tls_port, implicit)

    def _await_authdaemon(self, process):
        deadline = time.monotonic() + 30
        while not (self.data / "run/courier/authdaemon/socket").exists():
            if time.monotonic() > deadline or process.popen.poll() is not None:
                self.stop()
                raise RuntimeError(f"authdaemond did not start:\n{process.text()}")
            time.sleep(0.02)

    def deliver(self, user, mails):
        """New mail arrives in the INBOX."""
        number = list(self.users).index(user)
        self.deliver_to(self.data / "mail" / str(number) / "Maildir", mails)
