"""imap-collector as a process that a test can watch and kill."""
import json
import pathlib
import signal
import sqlite3
import subprocess

from peers.process import program


class Run:
    """One run, that goes on while the test does."""

    def __init__(self, directory, feed, mailboxes, *options):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        for name, content in (("feed.yml", feed), ("mailboxes.yml", mailboxes)):
            (self.directory / name).write_text(json.dumps(content))
            (self.directory / name).chmod(0o600)
        self.state = self.directory / "state" / "state.db"
        self.process = subprocess.Popen(
            [program("imap-collector"), "-f", str(self.directory / "feed.yml"),
             "-m", str(self.directory / "mailboxes.yml"), "-s", str(self.state), *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.code = self.out = self.err = None

    def wait(self, timeout=100):
        """Until it has ended by itself."""
        try:
            self.out, self.err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.out, self.err = self.process.communicate()
            raise AssertionError(f"does not end:\n{self.out}\n{self.err}") from None
        self.code = self.process.returncode
        # What the sanitizers say comes with another code, but must not be taken for a crash.
        assert "Sanitizer" not in self.err and "runtime error" not in self.err, self.err
        return self

    def kill(self, how=signal.SIGKILL):
        self.process.send_signal(how)

    def memory(self):
        """The most memory it ever had, in bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def row(self, label):
        """The cells of a row of the table at the end: new, delivered, held, result."""
        for line in self.out.splitlines():
            if line.startswith(label + " "):
                new, delivered, held, _, _, result = line[len(label):].split(None, 5)
                return int(new), int(delivered), int(held), result
        raise AssertionError(f"no row {label} in:\n{self}")

    def recorded(self):
        """uid → (kind, note) of all that the state has; kind is "delivered" or "held"."""
        if not self.state.exists():
            return {}
        database = sqlite3.connect(self.state)
        try:
            return {uid: (("delivered", "held")[kind], note or "") for uid, kind, note in
                    database.execute("SELECT uid, kind, note FROM mail")}
        finally:
            database.close()

    def __repr__(self):
        return f"exit {self.code}\n{self.out}\n{self.err}"
