"""The simulated IMAP server (bench/imapsim) as a process: `imapsim --help` has its commands."""
import collections
import imaplib
import pathlib
import ssl
import subprocess

from peers.process import program

Mail = collections.namedtuple("Mail", "box uid written told")


class Simulator:
    """self.tls_port and, with plain=True, self.port; self.users has each user's password."""

    def __init__(self, directory, certs, boxes=10, mails=0, plain=False, options=()):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.certs = certs
        self.users = {f"box{number}": f"secret-box{number}" for number in range(1, boxes + 1)}
        with open(self.directory / "imapsim.log", "ab") as log:
            self.process = subprocess.Popen(
                [program("bench/imapsim"), "--cert", certs.cert, "--key", certs.key,
                 "--boxes", str(boxes), "--mails", str(mails),
                 *(["--plain-port", "0"] if plain else []), *map(str, options)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        ready = self.process.stdout.readline().split()
        if ready[:1] != ["ready"]:
            self.process.wait()
            raise RuntimeError((self.directory / "imapsim.log").read_text(errors="replace"))
        self.host, self.tls_port, self.port = ready[1], int(ready[2]), int(ready[3])

    def say(self, line):
        """Its answer to a command, as it is."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def ask(self, line):
        """The same without the "ok"; raises when it is none."""
        verdict, _, answer = self.say(line).partition(" ")
        if verdict != "ok":
            raise RuntimeError(f"{line}: {verdict} {answer}")
        return answer

    def stat(self, box=""):
        return {name: int(value) for name, value in
                (pair.split("=") for pair in self.ask(f"stat {box}").split())}

    def mail(self, box, count=1):
        name, *numbers = self.ask(f"mail {box} {count}").split()
        return Mail(name, *map(int, numbers))

    def login(self, user):
        """An independent client (Python's imaplib), logged in."""
        context = ssl.create_default_context(cafile=str(self.certs.ca))
        client = imaplib.IMAP4_SSL("localhost", self.tls_port, ssl_context=context, timeout=30)
        client.login(user, self.users[user])
        return client

    def stop(self):
        self.process.stdin.close()
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()
            self.process.stdout.close()

    close = stop
