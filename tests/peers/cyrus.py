"""Cyrus IMAP on free loopback ports with data of its own; runs as root or as any user."""
import grp
import re
import shutil
import smtplib
import subprocess

from peers.imap_server import ImapServer, unpacked, unpacked_environment

_IMAPD = """
cyrus_user: {user}
cyrus_group: {group}
servername: localhost
configdirectory: {directory}/lib
partition-default: {directory}/mail
defaultpartition: default
proc_path: {directory}/proc
mboxname_lockpath: {directory}/lock
lmtpsocket: {directory}/lib/socket/lmtp
idlesocket: {directory}/lib/socket/idle
notifysocket: {directory}/lib/socket/notify
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
  lmtp cmd="{bin}/lmtpd -a -C {imapd}" listen="{directory}/lib/socket/lmtp"
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
        binaries = unpacked("usr/lib/cyrus/bin")
        super().__init__(directory, certs, users)
        for part in ("lib/socket", "mail", "proc", "lock"):
            (self.data / part).mkdir(parents=True)
        shutil.copy(certs.cert, self.data / "server.pem")
        shutil.copy(certs.key, self.data / "server.key")
        self._binaries = binaries
        imapd, master = self.data / "imapd.conf", self.data / "cyrus.conf"
        imapd.write_text(_IMAPD.format(
            user=self.owner.pw_name, group=grp.getgrgid(self.owner.pw_gid).gr_name,
            directory=self.data))
        master.write_text(_MASTER.format(bin=binaries, imapd=imapd, port=self.port,
                                         tls_port=self.tls_port, directory=self.data))
        for user, password in self.users.items():
            self._add(user, password)
        self.give_away(self.data)
        self.start_all()

    def start_all(self):
        process = self.start([self._binaries / "master", "-D", "-C", self.data / "imapd.conf",
                              "-M", self.data / "cyrus.conf", "-p", self.data / "pid"],
                             env=unpacked_environment())
        self.await_port(self.tls_port, process)

    def _add(self, user, password):
        subprocess.run([unpacked("usr/sbin/saslpasswd2"), "-p", "-c", "-f",
                        self.data / "sasldb", "-u", "localhost", user],
                       input=password.encode(), env=unpacked_environment(), check=True)

    def deliver(self, user, mails):
        """New mail arrives in the INBOX, by LMTP."""
        with smtplib.LMTP(str(self.data / "lib/socket/lmtp")) as client:
            for mail in mails:
                client.sendmail("", [f"{user}@localhost"], re.sub(rb"\r?\n", b"\r\n", mail))
