"""imap-collector as a process that a test can watch and kill."""
import collections
import json
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import threading

from peers.process import collector, memory


class Run:
    """One run, that goes on while the test does."""

    of_this_test = collections.deque(maxlen=20)

    def __init__(self, directory, feed, mailboxes, *options, env=None, stderr=subprocess.PIPE,
                 before=None):
        """`before` is called in its process before the program is."""
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.configure(feed, mailboxes)
        self.state = self.directory / "state" / "state.db"
        self.process = subprocess.Popen(
            [*collector(), "-f", str(self.directory / "feed.yml"),
             "-m", str(self.directory / "mailboxes.yml"), "-s", str(self.state), *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True,
            env={**os.environ, **(env or {})}, preexec_fn=before)
        self.code = self.out = self.err = None
        Run.of_this_test.append(self)

    def configure(self, feed=None, mailboxes=None):
        """Writes the files, each as text or as anything JSON can say (which is YAML too)."""
        for name, content in (("feed.yml", feed), ("mailboxes.yml", mailboxes)):
            if content is not None:
                text = content if isinstance(content, str) else json.dumps(content)
                new = self.directory / f"{name}.new"
                new.write_text(text)
                new.chmod(0o600)
                file = self.directory / name
                if file.exists():
                    os.chown(new, file.stat().st_uid, file.stat().st_gid)
                new.rename(file)  # a reload under way must not read half of it

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
        return memory(self.process.pid)

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


class LiveRun(Run):
    """A run with -c, whose log a test follows."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, "-c", **more)
        self.lines = []
        self._over = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()

    def __repr__(self):
        return f"exit {self.code}\n{self.out}\n{''.join(self.lines)}"

    def _follow(self):
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _read_table(self):
        self.out = self.process.stdout.read()

    def logged(self, pattern):
        return [line for line in list(self.lines) if re.search(pattern, line)]

    def wait_for_log(self, pattern, count=1, patience=60):
        """Until so many lines match."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.logged(pattern)) >= count or self._over,
                                   patience)
            assert len(self.logged(pattern)) >= count, \
                f"never came: {pattern}\n{''.join(self.lines)}"

    def reload(self, feed=None, mailboxes=None):
        """With these files; returns when it is through."""
        before = len(self.logged(self.RELOADED))
        self.configure(feed, mailboxes)
        self.kill(signal.SIGHUP)
        self.wait_for_log(self.RELOADED, before + 1)
        return self.logged(self.RELOADED)[before]

    RELOADED = "configuration is reloaded|stays as it was before"

    def stop(self, how=signal.SIGTERM):
        self.kill(how)
        return self.wait()

    def wait(self, timeout=100):
        # A table that is larger than a pipe must be read for it to end.
        table = threading.Thread(target=self._read_table, daemon=True)
        table.start()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"does not end:\n{''.join(self.lines)}") from None
        table.join()
        self._reader.join()
        self.err = "".join(self.lines)
        self.code = self.process.returncode
        assert "Sanitizer" not in self.err and "runtime error" not in self.err, self.err
        return self
