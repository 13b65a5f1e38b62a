"""What the benchmarks of continuous collection share."""
import fcntl
import json
import math
import os
import pathlib
import resource
import signal
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))


def build(directory, *targets):
    directory = directory.resolve()
    if not (directory / "build.ninja").exists():
        subprocess.run(["meson", "setup", directory, REPOSITORY], check=True,
                       stdout=subprocess.DEVNULL)
    with open(directory / "bench.lock", "w") as lock:  # they may be started side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["ninja", "-C", directory, "--quiet", "imap-collector", "hpfeeds-broker",
                        *targets], check=True)
    os.environ["IMAP_COLLECTOR_BUILD"] = str(directory)


# The usual broker. With a record: the first line of each payload, up to 100 bytes of it, is
# appended there before the payload is forwarded.
_PYTHON_BROKER = """
import asyncio, json, os, sys
package, port, accounts, record = sys.argv[1:]
sys.path.insert(0, package)
from hpfeeds.broker.auth.memory import Authenticator
from hpfeeds.broker.server import Server

class Recording(Server):
    record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if record else None

    def publish(self, source, chan, data):
        if self.record is not None and not chan.startswith("confirm."):
            os.write(self.record, bytes(data[:100]).split(b"\\n")[0] + b"\\n")
        super().publish(source, chan, data)

async def main():
    server = Recording(Authenticator(json.loads(accounts)))
    server.exporter = None  # or it is on all interfaces
    server.add_endpoint_legacy("127.0.0.1:" + port)
    await server.serve_forever()

asyncio.run(main())
"""


def python_broker(package, port, accounts, record=""):
    """The command that runs the usual broker; `package` is the folder that holds its own."""
    return [sys.executable, "-c", _PYTHON_BROKER, str(package), str(port), json.dumps(accounts),
            str(record)]


def raise_descriptors(wanted):
    """So many may be open, here and in what is started; otherwise it ends, and says why."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, hard),) * 2)
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard < wanted:
            raise SystemExit(f"{wanted} descriptors are needed for that many mailboxes, and "
                             f"{hard} is the hard limit, which only root may raise: "
                             f"run `ulimit -Hn {wanted}` first, or as root") from None


class Collector:
    """imap-collector -c on these mailboxes of a server (tests/peers)."""

    def __init__(self, directory, broker, server, users, **defaults):
        from peers.process import Process, collector
        directory.mkdir()
        files = {"feed.yml": {"broker": "127.0.0.1", "port": broker.port, "identity": "writer",
                              "secret": "writersecret"},
                 "mailboxes.yml": {
                     "limits": {"logins_per_second": 10000, "connections_per_host": 0},
                     "defaults": {"protocol": "imap", "host": "localhost",
                                  "port": server.tls_port, "tls_ca": str(server.certs.ca),
                                  **defaults},
                     "mailboxes": [{"username": user, "password": server.users[user]}
                                   for user in users]}}
        for name, content in files.items():
            (directory / name).write_text(json.dumps(content))
            (directory / name).chmod(0o600)
        # The environment is that of the unit file in packaging/.
        self.process = Process([*collector(), "-c", "-f", directory / "feed.yml",
                                "-m", directory / "mailboxes.yml", "-s", directory / "state.db"],
                               directory / "collector.log",
                               env={**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"})
        self._files = pathlib.Path("/proc") / str(self.process.popen.pid)

    def memory(self, what="VmRSS"):
        """Resident bytes; VmHWM: the most there ever were."""
        self.check()
        status = (self._files / "status").read_text()
        return int(status.split(f"{what}:")[1].split()[0]) * 1024

    def cpu(self):
        """Seconds on a CPU so far, of all its threads, to the nanosecond."""
        self.check()
        return sum(int((task / "schedstat").read_text().split()[0])
                   for task in (self._files / "task").iterdir()) / 1e9

    def descriptors(self):
        return len(list((self._files / "fd").iterdir()))

    def check(self):
        """It still runs."""
        if self.process.popen.poll() is not None:
            raise SystemExit(f"the collector ended with {self.process.popen.returncode}:\n"
                             f"{self.process.text()}")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        """Ends it. How it ended matters only where nothing else went wrong; there, its last words
        do."""
        if kind is None:
            self.check()
        code = self.process.stop(signal.SIGTERM)
        if kind is not None:
            print(self.process.text()[-2000:], file=sys.stderr)
        elif code:
            raise SystemExit(f"the collector ended with {code}:\n{self.process.text()}")


def percentile(values, percent):
    """The smallest of the values that so many percent do not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]
