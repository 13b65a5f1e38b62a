"""Processes and ports of test peers."""
import ctypes
import itertools
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("IMAP_COLLECTOR_BUILD", REPOSITORY / "build")).resolve()


def program(name):
    """The path of one of the project's programs, as it was built."""
    path = BUILD / name
    if not path.exists():
        raise RuntimeError(f"{path} is not there: build first, or set IMAP_COLLECTOR_BUILD")
    return str(path)


def collector():
    """The beginning of a command line of imap-collector, which root has to say a word for."""
    return [program("imap-collector"), *(["--user", "root"] if os.geteuid() == 0 else [])]


def share(cases):
    """Those of a sample that are this run's: all, or every Mth from the Nth on, when M runs of the
    tests take them in turns (IMAP_COLLECTOR_SHARE=N/M)."""
    number, of = map(int, os.environ.get("IMAP_COLLECTOR_SHARE", "1/1").split("/"))
    return cases[number - 1::of]


def _ports():
    """Ports below those the kernel gives out by itself, which another socket could take while the
    server is not there: before its start, or between two. Each process has a hundred of its own:
    who has the first, has them all."""
    for number in itertools.count(os.getpid()):
        first = 10240 + number % 200 * 100
        claim = socket.socket()
        try:
            claim.bind(("127.0.0.1", first))
            break
        except OSError:
            claim.close()
    while claim:
        yield from range(first + 1, first + 100)


_port = _ports()
_port_lock = threading.Lock()


def free_port():
    """For who has to say which port it is before it listens there, or comes back to it."""
    with _port_lock:
        return next(filter(_is_free, _port))


def _is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def children(pid):
    """The processes that it started and that are there."""
    return [int(child) for child in
            pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def first_free(pid):
    """The descriptor that a process would get next: with it as the limit, it gets none."""
    taken = set(map(int, os.listdir(f"/proc/{pid}/fd")))
    return min(set(range(len(taken) + 1)) - taken)


def memory(pid):
    """The most memory that a process ever had, in bytes."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def contents(pid):
    """All that a process has in memory, range by range, but for what sanitizers reserve; for root."""
    with open(f"/proc/{pid}/mem", "rb") as content, open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            bounds, rights = line.split()[:2]
            first, end = (int(bound, 16) for bound in bounds.split("-"))
            if rights.startswith("rw") and end - first < 1 << 24:
                content.seek(first)
                try:
                    yield content.read(end - first)
                except OSError:
                    continue


def wait_for_port(port, process=None, log=None, seconds=30):
    """Returns when something accepts connections there; raises when `process` ended first."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    text = pathlib.Path(log).read_text(errors="replace") if log and pathlib.Path(log).exists() else ""
    raise RuntimeError(f"nothing listens on port {port}\n{text}")


class Process:
    """A child whose output goes to a file, and that is gone when the test is over."""

    def __init__(self, argv, log, **popen):
        self.log = pathlib.Path(log)
        with open(self.log, "ab") as out:
            self._said_before = out.tell()
            self.popen = subprocess.Popen([str(arg) for arg in argv], stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=out, **popen)

    def text(self):
        """What it has said; not what others said before it in the same file."""
        return self.log.read_bytes()[self._said_before:].decode(errors="replace")

    def stop(self, how=signal.SIGTERM):
        if self.popen.poll() is None:
            self.popen.send_signal(how)
        try:
            return self.popen.wait(30)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise


class ProcessGroup(Process):
    """A server whose processes may outlive the parents they were started by: all are gone, and
    their zombies too, when the test is over, whatever process 1 is here."""

    def __init__(self, argv, log, **popen):
        # Orphans come to this process, not to process 1 (prctl(2), PR_SET_CHILD_SUBREAPER).
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
        super().__init__(argv, log, start_new_session=True, **popen)

    def stop(self, how=signal.SIGTERM):
        code = super().stop(how)
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
            while True:
                os.waitpid(-self.popen.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            return code
