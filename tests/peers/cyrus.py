"""Cyrus IMAP on free loopback ports with data of its own; runs as root or as any user."""
import grp
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

from peers.imap_server import ImapServer, let_others_enter, unpacked, unpacked_environment
from peers.process import ProcessGroup, free_port

_IMAPD = """
cyrus_user: {user}
cyrus_group: {group}
servername: localhost
configdirectory: {short}
partition-default: {directory}/mail
defaultpartition: default
proc_path: {directory}/proc
mboxname_lockpath: {directory}/lock
lmtpsocket: {short}/socket/lmtp
idlesocket: {short}/socket/idle
notifysocket: {short}/socket/notify
altnamespace: yes
unixhierarchysep: yes
autocreate_quota: 0
autocreate_inbox_folders: Spam | Trash
xlist-junk: Spam
xlist-trash: Trash
allowplaintext: no
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {directory}/sasldb
tls_server_cert: {directory}/server.pem
tls_server_key: {directory}/server.key
tls_session_timeout: 0
syslog_prefix: cyrus-test
"""

_MASTER = """
START {{
  recover cmd="{bin}/ctl_cyrusdb -C {imapd} -r"
}}
SERVICES {{
  imap cmd="{bin}/imapd -C {imapd}" listen="127.0.0.1:{port}" proto="tcp4"
  imaps cmd="{bin}/imapd -s -C {imapd}" listen="127.0.0.1:{tls_port}" proto="tcp4"
}}
EVENTS {{
}}
DAEMON {{
  idled cmd="{bin}/idled -d -C {imapd}"
}}
"""


class Cyrus(ImapServer):
    """Upstream's defaults: "/" as hierarchy separator, folders beside INBOX. Debian's are "." and
    folders below INBOX, which Courier has too."""

    name = "cyrus"
    hard_users = ("white space", "par(en)")
    hard_folders = ("par(en)", "\U0001f600", "~x", "#x")

    def __init__(self, directory, certs, users):
        self.directory = pathlib.Path(directory)
        self.certs = certs
        self.users = dict(users)
        self.port, self.tls_port = free_port(), free_port()
        binaries = unpacked("usr/lib/cyrus/bin")
        # The path of a Unix socket has at most 107 bytes, the test's directory may have more.
        self._short = pathlib.Path(tempfile.mkdtemp(prefix="cyrus-"))
        (self._short / "socket").mkdir()
        owner = pwd.getpwnam("mail") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        for part in ("mail", "proc", "lock"):
            (self.directory / part).mkdir(parents=True)
        shutil.copy(certs.cert, self.directory / "server.pem")
        shutil.copy(certs.key, self.directory / "server.key")
        imapd, master = self.directory / "imapd.conf", self.directory / "cyrus.conf"
        imapd.write_text(_IMAPD.format(
            user=owner.pw_name, group=grp.getgrgid(owner.pw_gid).gr_name,
            directory=self.directory, short=self._short))
        master.write_text(_MASTER.format(bin=binaries, imapd=imapd, port=self.port,
                                         tls_port=self.tls_port))
        for user, password in self.users.items():
            self._add(user, password)
        if os.geteuid() == 0:
            let_others_enter(self.directory)
            subprocess.run(["chown", "-R", f"{owner.pw_uid}:{owner.pw_gid}", self.directory,
                            self._short], check=True)
        self._process = ProcessGroup(
            [binaries / "master", "-D", "-C", imapd, "-M", master, "-p", self.directory / "pid"],
            self.directory / "out.log", env=unpacked_environment())
        self.await_port(self.tls_port, self._process)

    def _add(self, user, password):
        subprocess.run([unpacked("usr/sbin/saslpasswd2"), "-p", "-c", "-f",
                        self.directory / "sasldb", "-u", "localhost", user],
                       input=password.encode(), env=unpacked_environment(), check=True)

    def stop(self):
        self._process.stop()
        shutil.rmtree(self._short)
