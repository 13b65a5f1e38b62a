"""hpfeeds-broker killed at a point that is counted, or its power cut there, and started again: what
it confirmed to a publisher comes to the durable subscriber, whole and in order."""
import dataclasses
import pathlib
import random
import signal
import socket
import struct

from peers.crash import Point, environment
from peers.disk import Disk, put_back
from peers.hpfeeds import Broker, Client

CHANNEL = "spam.mails"
GONE = (ConnectionError, OSError, TypeError, AssertionError, struct.error)


@dataclasses.dataclass(frozen=True)
class BrokerCase(Point):
    broker: bool = True
    confirm: str = "echo"  # or close

    kinds = ("disk", "net.send", "net.recv")
    cuts = ("disk", "net.send")

    def try_out(self, directory, _mails=None):
        return BrokerCrash(self, directory).run()


class BrokerCrash:
    """One case, as crash.Crash is one of the collector."""

    sent_again = 0

    def __init__(self, case, directory):
        self.case = case
        self.directory = pathlib.Path(directory)
        self.problems = []
        self.points = []
        self.died = False
        self._dice = random.Random(repr(case))
        self._home = self.directory / "home"
        self._home.mkdir(parents=True)
        self._disk = Disk(self._home)
        self._sent = 0
        self._confirmed = []
        self._received = []

    def run(self):
        for number, at in enumerate(self.case.deaths()):
            self._die(number, at)
        if self.case.power:
            image = self.directory / "image"
            self._disk.power_cut(self.case.power, self._dice, image)
            put_back(self._home, image)
        self._last_life()
        self._check()
        return self

    # --- until it dies ---

    def _start(self, life, env=None):
        # So small a limit that segments of 256 KiB are begun, left behind and deleted.
        return Broker(self.directory / life, env=env,
                      options=["--durable", f"reader={CHANNEL}", "--store", self._home / "store",
                               "--store-limit", "1MiB"])

    def _die(self, number, at):
        log = self.directory / f"log{number}"
        died = self._live(f"life{number}", environment(self._home, log, {}, at))
        points = self._disk.follow(log)
        if number == 0:
            self.died, self.points = died, points

    def _live(self, life, env):
        """True: it was killed."""
        try:
            broker = self._start(life, env)
        except RuntimeError:
            return True  # before it listened; if by itself, so will the last one
        try:
            for count in (3, 12, 1):
                self._publish(broker.port, count)
                self._publish(broker.port, count)
                self._read(broker.port)
            self._publish(broker.port, 2)
        except GONE:
            pass
        code = broker.process.stop()
        if code not in (0, -signal.SIGKILL):
            self.problems.append(f"exit {code}\n{broker.process.text()}")
        return code != 0

    def _payloads(self, count):
        """`count` messages more, of up to 40 KB."""
        for number in range(self._sent, self._sent + count):
            self._sent += 1
            yield b"%06d " % number + bytes([65 + number % 26]) * (number * 7919 % 40000)

    def _publish(self, port, count):
        """Messages that are confirmed together; in vain: it raises."""
        payloads = list(self._payloads(count))
        writer = Client(port, "writer", "writersecret")
        try:
            if self.case.confirm == "echo":
                writer.subscribe("confirm.writer")
            for payload in payloads:
                writer.publish(CHANNEL, payload)
            if self.case.confirm == "echo":
                writer.publish("confirm.writer", b"marker")
                assert writer.message() == ("writer", "confirm.writer", b"marker")
            else:
                writer.socket.shutdown(socket.SHUT_WR)
                assert writer.frame() is None
            self._confirmed += payloads
        finally:
            writer.close()

    def _read(self, port):
        """All that was confirmed, and an end in good order."""
        reader = Client(port, "reader", "readersecret")
        try:
            reader.subscribe(CHANNEL)
            while self._confirmed[-1] not in self._received:
                self._received.append(reader.message()[2])
            reader.socket.shutdown(socket.SHUT_WR)
            while reader.frame() is not None:
                pass
        finally:
            reader.close()

    # --- what is left ---

    def _last_life(self):
        try:
            broker = self._start("last")
        except RuntimeError as error:
            self.problems.append(str(error))
            return
        try:
            self._publish(broker.port, 1)
            self._read(broker.port)
            if "damaged" in broker.process.text():
                self.problems.append(broker.process.text())
        except GONE as error:
            self.problems.append(f"{error!r}\n{broker.process.text()}")
        finally:
            broker.stop()

    def _check(self):
        known = set(self._payloads_until_now())
        self.problems += [f"altered: {payload[:20]!r}" for payload in set(self._received) - known]
        missing = [payload[:6] for payload in self._confirmed if payload not in self._received]
        if missing:
            self.problems.append(f"confirmed and missing: {missing}")
            return
        order = [self._received.index(payload) for payload in self._confirmed]
        if order != sorted(order):
            self.problems.append(f"not in order: {order}")

    def _payloads_until_now(self):
        count, self._sent = self._sent, 0
        return self._payloads(count)
