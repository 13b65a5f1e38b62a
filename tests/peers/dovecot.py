"""Dovecot on free loopback ports with data of its own; runs as root or as any user."""
import grp
import os
import shutil

from peers.imap_server import ImapServer

_CONFIG = """
base_dir = {run}
state_dir = {run}
instance_name = test
log_path = {log}
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
disable_plaintext_auth = {no_plaintext}
auth_mechanisms = {mechanisms}
auth_username_chars =
mail_location = maildir:~/Maildir
mail_max_userip_connections = 1000
first_valid_uid = 1
{users}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {passwd}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={mail}/%u
}}
namespace inbox {{
  inbox = yes
  mailbox Spam {{
    special_use = \\Junk
    auto = create
  }}
  mailbox Trash {{
    special_use = \\Trash
    auto = create
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
  client_limit = 20000
  {no_chroot}
}}
service imap {{
  process_limit = 1000
}}
service anvil {{
  client_limit = 20000
  {no_chroot}
}}
service auth {{
  client_limit = 20000
}}
service stats {{
  {no_chroot}
}}
{more}
"""


class Dovecot(ImapServer):
    """Its defaults for Maildir: "." as hierarchy separator, folders beside INBOX."""

    name = "dovecot"
    separator = "."
    hard_users = ("white space", "trä日", "lit{3+}", "par(en)*%")
    hard_folders = ("brace {3+}", 'q"uo\\te\\', "par(en)*%", "\U0001f600", "#x")

    def __init__(self, directory, certs, users, mechanisms="plain login", no_plaintext="yes",
                 more=""):
        super().__init__(directory, certs, users)
        self.mail = self.data / "mail"
        self.mail.mkdir()
        (self.data / "run").mkdir()
        me, group = self.owner.pw_name, grp.getgrgid(self.owner.pw_gid).gr_name
        root = os.geteuid() == 0
        passwd = self.data / "passwd"
        passwd.write_text("".join(f"{user}:{{PLAIN.HEX}}{password.encode().hex()}::::::\n"
                                  for user, password in self.users.items()))
        passwd.chmod(0o644)
        config = self.data / "dovecot.conf"
        config.write_text(_CONFIG.format(
            run=self.data / "run", log=self.directory / "dovecot.log",
            cert=certs.cert, key=certs.key, no_plaintext=no_plaintext, mechanisms=mechanisms,
            passwd=passwd, uid=self.owner.pw_uid, gid=self.owner.pw_gid,
            mail=self.mail, port=self.port, tls_port=self.tls_port, more=more,
            users="" if root else f"default_login_user = {me}\ndefault_internal_user = {me}\n"
                                  f"default_internal_group = {group}\n",
            no_chroot="" if root else "chroot ="))
        self.give_away(self.mail)
        self.start_all()

    def start_all(self):
        process = self.start([self._binary(), "-F", "-c", self.data / "dovecot.conf"])
        self.await_port(self.tls_port, process, self.directory / "dovecot.log")

    @staticmethod
    def _binary():
        return shutil.which("dovecot", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

    def fill(self, user, mails):
        """Puts mails (bytes) into the INBOX, straight into its Maildir: quicker than APPEND;
        nothing is refused."""
        maildir = self.mail / user / "Maildir"
        for part in ("new", "cur", "tmp"):
            (maildir / part).mkdir(parents=True, exist_ok=True)
        for number, mail in enumerate(mails, len(list(maildir.glob("[nc]*/*")))):
            (maildir / "new" / f"{1700000000 + number}.M{number}P1.test").write_bytes(mail)
        self.give_away(self.mail / user)
        return 0

    def deliver(self, user, mails):
        """New mail arrives in the INBOX."""
        maildir = self.mail / user / "Maildir"
        if not (maildir / "new").exists():
            self.fill(user, [])
        self.deliver_to(maildir, mails)
