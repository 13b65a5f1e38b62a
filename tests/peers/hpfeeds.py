"""The project's broker as a process, and an independent hpfeeds client."""
import hashlib
import json
import os
import pathlib
import re
import socket
import ssl
import struct
import time

from peers.process import Process, free_port, program

ERROR, INFO, AUTH, PUBLISH, SUBSCRIBE = range(5)

ACCOUNTS = {
    "writer": {"owner": "test", "secret": "writersecret", "pubchans": ["spam.mails", "spam.copy"],
               "subchans": []},
    "reader": {"owner": "test", "secret": "readersecret", "pubchans": [],
               "subchans": ["spam.mails", "spam.copy"]},
}


def string(text):
    data = text.encode() if isinstance(text, str) else text
    return bytes([len(data)]) + data


def frame(opcode, *parts):
    body = b"".join(parts)
    return struct.pack(">IB", 5 + len(body), opcode) + body


class Broker:
    """hpfeeds-broker on 127.0.0.1:self.port."""

    def __init__(self, directory, accounts=None, options=(), tls=None, port=None, env=None,
                 before=None):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._users = self.directory / "accounts.json"
        self.set_accounts(accounts)
        self.port = port or free_port()
        endpoint = f"tcp:interface=127.0.0.1:port={self.port}"
        if tls:
            endpoint = f"tls:interface=127.0.0.1:port={self.port}:cert={tls[0]}:key={tls[1]}"
        self.process = Process([program("hpfeeds-broker"), "-e", endpoint, "--auth", self._users,
                                *options], self.directory / "broker.log",
                               env={**os.environ, **(env or {})}, preexec_fn=before)
        self._wait_for_start()

    def _wait_for_start(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.popen.poll() is None:
            if re.search(rf"listening on \w+ 127\.0\.0\.1:{self.port}\b", self.process.text()):
                return
            time.sleep(0.01)
        raise RuntimeError(f"the broker did not start:\n{self.process.text()}")

    def set_accounts(self, accounts=None):
        """ACCOUNTS unless told others. A broker that runs sees the change by itself."""
        new = self._users.with_suffix(".new")
        new.write_text(json.dumps(accounts or ACCOUNTS))
        new.chmod(0o600)
        new.rename(self._users)

    def stop(self):
        self.process.stop()


class Client:
    """A blocking hpfeeds client, written from the description of the wire alone."""

    def __init__(self, port, ident, secret, ca=None):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        if ca:
            context = ssl.create_default_context(cafile=str(ca))
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.ident = ident.encode()
        self._buffer = b""
        opcode, body = self.frame()
        assert opcode == INFO, (opcode, body)
        nonce = body[1 + body[0]:]
        self.send(AUTH, string(ident), hashlib.sha1(nonce + secret.encode()).digest())

    def send(self, opcode, *parts):
        self.socket.sendall(frame(opcode, *parts))

    def publish(self, channel, payload):
        self.send(PUBLISH, string(self.ident), string(channel), payload)

    def subscribe(self, channel):
        self.send(SUBSCRIBE, string(self.ident), channel.encode())

    def frame(self):
        """The next (opcode, body); None at the end of the connection."""
        while True:
            if len(self._buffer) >= 5:
                length, opcode = struct.unpack(">IB", self._buffer[:5])
                if len(self._buffer) >= length:
                    body = self._buffer[5:length]
                    self._buffer = self._buffer[length:]
                    return opcode, body
            data = self.socket.recv(1 << 20)
            if not data:
                return None
            self._buffer += data

    def message(self):
        """The next PUBLISH as (ident, channel, payload)."""
        opcode, body = self.frame()
        assert opcode == PUBLISH, (opcode, body)
        ident_end = 1 + body[0]
        channel_end = ident_end + 1 + body[ident_end]
        return (body[1:ident_end].decode(), body[ident_end + 1:channel_end].decode(),
                body[channel_end:])

    def close(self):
        self.socket.close()


class Subscriber(Client):
    """A client that is known to be subscribed when it is made: subscriptions have no answer, but
    a broker handles a connection's frames in order, so a marker of its own behind them has one."""

    def __init__(self, port, ident, secret, channels, ca=None):
        super().__init__(port, ident, secret, ca)
        self._marker = f"confirm.{ident}"
        for channel in [*channels, self._marker]:
            self.subscribe(channel)
        self.settle()

    def settle(self):
        """All that was published before now has arrived; returns it."""
        mark = f"mark {time.monotonic_ns()}".encode()
        self.publish(self._marker, mark)
        before = []
        while True:
            message = self.message()
            if message[1:] == (self._marker, mark):
                return before
            before.append(message)

    def next(self):
        """The next payload."""
        return self.message()[2]

    def assert_silent(self):
        """Nothing more has come."""
        more = self.settle()
        assert not more, f"{len(more)} unexpected messages, the first: {more[0][2][:200]!r}"
