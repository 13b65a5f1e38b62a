"""A small hpfeeds client on a blocking socket: an independent peer for the broker's tests."""
import hashlib
import socket
import ssl
import struct

ERROR, INFO, AUTH, PUBLISH, SUBSCRIBE, UNSUBSCRIBE = range(6)
TIMEOUT = 30


def string(text):
    data = text.encode() if isinstance(text, str) else text
    return bytes([len(data)]) + data


def frame(opcode, body):
    return struct.pack("!IB", 5 + len(body), opcode) + body


def publish(ident, channel, payload):
    return frame(PUBLISH, string(ident) + string(channel) + payload)


def subscribe(ident, channel):
    return frame(SUBSCRIBE, string(ident) + channel.encode())


def unsubscribe(ident, channel):
    return frame(UNSUBSCRIBE, string(ident) + channel.encode())


class Closed(Exception):
    """The broker ended the connection."""


class Client:
    def __init__(self, port, ident="writer", secret="w", ca=None, auth=True):
        self.ident = ident
        self.sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        if ca:
            context = ssl.create_default_context(cafile=ca)
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost")
        opcode, body = self.receive()
        assert opcode == INFO
        self.broker, self.nonce = body[1:1 + body[0]], body[1 + body[0]:]
        if auth:
            self.send(self.auth_frame(secret))

    def auth_frame(self, secret):
        digest = hashlib.sha1(self.nonce + secret.encode()).digest()
        return frame(AUTH, string(self.ident) + digest)

    def send(self, data):
        self.sock.sendall(data)

    def read(self, size):
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            if not more:
                raise Closed(data)
            data += more
        return data

    def receive(self):
        """(opcode, body) of the next frame; Closed at a clean end, ConnectionError at a reset."""
        length, opcode = struct.unpack("!IB", self.read(5))
        return opcode, self.read(length - 5)

    def message(self):
        """(ident, channel, payload) of the next PUBLISH."""
        opcode, body = self.receive()
        assert opcode == PUBLISH, (opcode, body)
        ident, rest = body[1:1 + body[0]], body[1 + body[0]:]
        return ident.decode(), rest[1:1 + rest[0]].decode(), rest[1 + rest[0]:]

    def publish(self, channel, payload):
        self.send(publish(self.ident, channel, payload))

    def subscribe(self, *channels):
        """Returns when the broker has all of them: a marker on the private channel says so."""
        private = "confirm." + self.ident
        self.send(b"".join(subscribe(self.ident, each) for each in channels)
                  + subscribe(self.ident, private) + publish(self.ident, private, b"marker")
                  + unsubscribe(self.ident, private))
        assert self.message() == (self.ident, private, b"marker")

    def end(self):
        """Half-close; True when the broker then ends cleanly, else the ERROR's text."""
        self.sock.shutdown(socket.SHUT_WR)
        return self.to_end()

    def to_end(self):
        error = True
        try:
            while True:
                opcode, body = self.receive()
                if opcode == ERROR:
                    error = body.decode()
        except Closed as closed:
            assert closed.args == (b"",)
        return error

    def close(self):
        self.sock.close()
