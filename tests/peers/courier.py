"""Courier IMAP on free loopback ports with data of its own; runs as root or as any user."""
import base64
import hashlib
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import time

from peers.imap_server import ImapServer, let_others_enter, unpacked, unpacked_environment
from peers.process import ProcessGroup, free_port

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
        self.directory = pathlib.Path(directory)
        self.certs = certs
        self.users = dict(users)
        self.port, self.tls_port = free_port(), free_port()
        self.mail = self.directory / "mail"
        self.mail.mkdir(parents=True)
        self._processes = []
        # The path of a Unix socket has at most 107 bytes, the test's directory may have more.
        self._root = pathlib.Path(tempfile.mkdtemp(prefix="courier-"))
        self._owner = pwd.getpwnam("mail") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        (self.directory / "server.pem").write_bytes(certs.key.read_bytes()
                                                    + certs.cert.read_bytes())
        self._environment = self._make_environment()
        self._make_userdb()
        self._make_maildirs()
        if os.geteuid() == 0:
            let_others_enter(self.directory)
            subprocess.run(["chown", "-R", f"{self._owner.pw_uid}:{self._owner.pw_gid}",
                            self.mail, self._root], check=True)
        self._start()

    def _make_environment(self):
        shim = self._root / "reroot.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim,
                        pathlib.Path(__file__).with_name("reroot.c")], check=True)
        return unpacked_environment(
            LD_PRELOAD=str(shim), COURIER_ROOT=str(self._root),
            COURIERTLS=str(unpacked("usr/bin/couriertls")),
            TLS_CERTFILE=str(self.directory / "server.pem"), TLS_VERIFYPEER="NONE",
            TLS_PRIORITY="NORMAL", MAILDIRPATH="Maildir", IMAP_CAPABILITY=_CAPABILITY,
            IMAP_CAPABILITY_TLS=f"{_CAPABILITY} AUTH=PLAIN", IMAP_KEYWORDS="1", IMAP_USELOCKS="1",
            IMAP_IDLE_TIMEOUT="1", IMAP_ENHANCEDIDLE="0", IMAP_TRASHFOLDERNAME="Trash",
            IMAP_CHECK_ALL_FOLDERS="1", IMAP_TLS_REQUIRED="1")

    def _make_userdb(self):
        """What userdb(8) and makeuserdb(8) would write to /etc/courier."""
        etc = self._root / "etc" / "courier"
        etc.mkdir(parents=True)
        (self._root / "run" / "courier" / "authdaemon").mkdir(parents=True)
        (etc / "authdaemonrc").write_text(_AUTHDAEMON)
        users, shadow = "", ""
        for number, (user, password) in enumerate(self.users.items()):
            digest = base64.b64encode(hashlib.sha256(password.encode()).digest()).decode()
            home = self.mail / str(number)
            users += (f"{user}\tuid={self._owner.pw_uid}|gid={self._owner.pw_gid}|home={home}|"
                      f"mail={home}/Maildir|_=\n")
            shadow += f"{user}\timappw={{SHA256}}{digest}\n"
        for name, lines in (("userdb.dat", users), ("userdbshadow.dat", shadow)):
            subprocess.run([unpacked("usr/lib/courier/courier-authlib/makedatprog"), "-",
                            etc / f"{name}.tmp", etc / name], input=f"{lines}.\n".encode(),
                           env=unpacked_environment(), check=True)

    def _make_maildirs(self):
        for number in range(len(self.users)):
            maildir = self.mail / str(number) / "Maildir"
            for folder in ("", ".Spam", ".Trash"):
                for part in ("new", "cur", "tmp"):
                    (maildir / folder / part).mkdir(parents=True)
            for folder in (".Spam", ".Trash"):
                (maildir / folder / "maildirfolder").touch()

    def _start(self):
        self._run("authdaemond", [unpacked("usr/lib/courier/courier-authlib/authdaemond")])
        self._await_authdaemon(self._processes[0])
        imap = [unpacked("usr/lib/courier/courier/imaplogin"), unpacked("usr/bin/imapd"), "Maildir"]
        tcpd = [unpacked("usr/sbin/couriertcpd"), "-address=127.0.0.1", "-nodnslookup",
                "-noidentlookup", "-maxprocs=100", "-maxperip=100"]
        self._run("imapd", [*tcpd, self.port, *imap], IMAP_STARTTLS="YES")
        tls = [unpacked("usr/bin/couriertls"), "-server", "-tcpd"]
        self._run("imapd-ssl", [*tcpd, self.tls_port, *tls, *imap], IMAP_TLS="1")
        for port, process in zip((self.port, self.tls_port), self._processes[1:]):
            self.await_port(port, process)

    def _run(self, name, argv, **environment):
        self._processes.append(ProcessGroup(argv, self.directory / f"{name}.log", cwd=self.directory,
                                       env={**self._environment, **environment}))

    def _await_authdaemon(self, process):
        deadline = time.monotonic() + 30
        while not (self._root / "run/courier/authdaemon/socket").exists():
            if time.monotonic() > deadline or process.popen.poll() is not None:
                self.stop()
                raise RuntimeError(f"authdaemond did not start:\n{process.text()}")
            time.sleep(0.02)

    def stop(self):
        for process in reversed(self._processes):
            process.stop()
        shutil.rmtree(self._root)
