"""A service manager that hears what a service says of itself (sd_notify(3))."""
import pathlib
import shutil
import socket
import tempfile
import threading
import time


class Manager:
    """Listens at a path that is short enough for a socket's; `env` is for the service."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="notify-"))
        self.env = {"NOTIFY_SOCKET": str(self.directory / "socket")}
        self.heard = []  # each message, as its lines
        self._changed = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.env["NOTIFY_SOCKET"])
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while message := self._socket.recv(1 << 16):
            with self._changed:
                self.heard.append(message.decode().splitlines())
                self._changed.notify_all()

    def count(self, line):
        return sum(line in message for message in list(self.heard))

    def wait_for(self, line, count=1, patience=60):
        """Until so many messages had this line."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.count(line) >= count, patience), \
                f"never came: {line}\n{self.heard}"

    def wait_for_status(self, text, patience=60):
        """Until the status line holds `text`."""
        with self._changed:
            assert self._changed.wait_for(lambda: text in self.status(), patience), \
                f"never came: {text}\n{self.heard}"

    def settle(self):
        """All that was said before now has been heard."""
        word = f"X_SETTLED={time.monotonic_ns()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto(word.encode(), self.env["NOTIFY_SOCKET"])
        self.wait_for(word)

    def status(self):
        lines = [line for message in list(self.heard) for line in message
                 if line.startswith("STATUS=")]
        return lines[-1] if lines else ""

    def states(self):
        """What was said in order, but for signs of life and status lines."""
        self.settle()
        return [message[0] for message in self.heard if message[0] != "WATCHDOG=1"
                and not message[0].startswith(("STATUS=", "X_SETTLED="))]

    def stop(self):
        # An empty datagram ends the thread.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self.env["NOTIFY_SOCKET"])
        shutil.rmtree(self.directory)
