"""An hpfeeds broker that does what a test tells it, and otherwise what a good broker does: it lets
"writer" in, takes what may be published on CHANNEL, and gives subscribers (the publishing
connection too) what is published on the channel they named.

Overrides, each run in the connection's thread:

* broker.greet(link)            instead of sending INFO
* broker.login(link)            instead of taking the AUTH frame
* broker.frame(link, length)     when a frame's length has come, and nothing else of it
* broker.publish(link, message) for every PUBLISH; True: it is dealt with
* broker.subscribe(link, channel)  likewise

A link ends its connection with close(), reset(), error(text) or silence()."""
import base64
import collections
import hashlib
import json
import socket
import struct
import threading

from peers.hpfeeds import AUTH, ERROR, INFO, PUBLISH, SUBSCRIBE, frame, string
from peers.process import free_port

CHANNEL = "spam.mails"
IDENT, SECRET = "writer", "writer secret"
PATIENCE = 60

Message = collections.namedtuple("Message", "link ident channel payload")


class Over(Exception):
    """The connection is at its end."""


class Link:
    """One connection."""

    def __init__(self, broker, sock, number):
        self.broker = broker
        self.socket = sock
        self.number = number
        self.channels = set()
        self.nonce = struct.pack(">I", number)
        self.mails = []  # published on CHANNEL over this connection, and not confirmed
        self.marked = False  # it is one on which a marker confirms, not its end
        self.over = False
        self._buffer = b""
        self._sending = threading.Lock()

    def send(self, data):
        with self._sending:
            try:
                self.socket.sendall(data)
            except OSError:
                raise Over from None

    def error(self, text, short=0):
        """An ERROR frame, then the end; its length field is `short` bytes too low."""
        self.say_error(text, short)
        self.close()

    def say_error(self, text, short=0):
        data = frame(ERROR, text.encode())
        self.send(struct.pack(">I", len(data) - short) + data[4:])

    def drain(self):
        """Half-closes, and reads to the other side's end, so that what was sent arrives."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
            while self.socket.recv(1 << 16):
                pass
        except OSError:
            pass

    def close(self):
        """The clean end, without a word."""
        self.drain()
        raise Over

    def reset(self):
        self.cut()
        raise Over

    def cut(self):
        """Resets the connection, from any thread."""
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.shutdown(socket.SHUT_RD)
        except OSError:
            pass

    def silence(self):
        """Reads nothing and says nothing until the test is over."""
        self.broker.over.wait()
        raise Over

    def skip(self, count):
        """Reads so many bytes."""
        self._read(count)

    def _read(self, count):
        while len(self._buffer) < count:
            try:
                data = self.socket.recv(1 << 18)
            except OSError:
                raise Over from None
            if not data:
                if not self.marked and not self._buffer:
                    self.mails.clear()  # its end is answered by ours, and so confirmed
                raise Over
            self._buffer += data
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def read_frame(self):
        length, opcode = struct.unpack(">IB", self._read(5))
        self.broker.frame(self, length)
        if length > self.broker.frame_max:
            self.reset()
        return opcode, self._read(length - 5)

    def run(self):
        self.broker.greet(self)
        self.broker.login(self)
        while True:
            opcode, body = self.read_frame()
            ident, rest = body[1:1 + body[0]].decode(), body[1 + body[0]:]
            if opcode == SUBSCRIBE:
                self.broker.take_subscribe(self, rest.decode())
            else:
                assert opcode == PUBLISH, opcode
                self.broker.take_publish(Message(self, ident, rest[1:1 + rest[0]].decode(),
                                                 rest[1 + rest[0]:]))


class Broker:
    """Listens on 127.0.0.1:self.port."""

    def __init__(self):
        self.frame_max = 1 << 20
        self.frame = lambda link, length: None
        self.publish = lambda link, message: False
        self.subscribe = lambda link, channel: False
        self.greet = Broker.take_greeting
        self.login = Broker.take_login
        self.mails = []  # Messages on CHANNEL, as they came
        self.markers = []  # the other ones
        self.links = []  # of all times
        self.errors = []
        self.over = threading.Event()
        self.changed = threading.Condition(threading.RLock())
        self.port = free_port()
        self._listener = None
        self.start()

    def start(self):
        """Begins to listen; again after away()."""
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # What is not read stays with the client, but for some KB: one that it ends upon too early
        # cannot have come to its own end, however slow we are. Before anybody can connect: some
        # try again and again.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 13)
        self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            link = Link(self, sock, len(self.links) + 1)
            with self.changed:
                self.links.append(link)
                self.changed.notify_all()
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        try:
            link.run()
        except Over:
            pass
        except Exception as error:  # noqa: BLE001: shown by the test that stops the broker
            self.errors.append(repr(error))
        finally:
            link.channels.clear()
            link.socket.close()
            with self.changed:
                link.over = True
                self.changed.notify_all()

    def _close_listener(self):
        # Closing alone leaves a listener that is being waited on in place.
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is closed
        self._listener.close()

    def away(self):
        """As if it was killed: nothing listens, all connections are reset."""
        self._close_listener()
        for link in self.links:
            link.cut()

    def stop(self):
        self.over.set()
        self._close_listener()
        assert not self.errors, self.errors

    # --- the good broker ---

    @staticmethod
    def take_greeting(link):
        link.send(frame(INFO, string("scripted"), link.nonce))

    @staticmethod
    def take_login(link):
        opcode, body = link.read_frame()
        assert opcode == AUTH, opcode
        good = hashlib.sha1(link.nonce + SECRET.encode()).digest()
        if body != string(IDENT) + good:
            link.error("authfail")

    def take_subscribe(self, link, channel):
        if not self.subscribe(link, channel):
            link.channels.add(channel)

    def take_publish(self, message):
        with self.changed:
            if message.channel == CHANNEL:
                message.link.mails.append(mail_of(message.payload))
                self.mails.append(message)
            else:
                message.link.marked = True
                self.markers.append(message)
            self.changed.notify_all()
        if not self.publish(message.link, message):
            self.deliver(message)

    def deliver(self, message):
        """To all who have subscribed. A marker that gets through confirms what was before it."""
        data = frame(PUBLISH, string(message.ident), string(message.channel), message.payload)
        if message.channel != CHANNEL:
            message.link.mails.clear()
        for link in list(self.links):
            if message.channel in link.channels:
                try:
                    link.send(data)
                except Over:
                    if link is message.link:
                        raise

    # --- for tests ---


    def wait_for(self, condition):
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE), f"{len(self.mails)} mails"

    def wait_for_end(self):
        """Until all connections are over: what was sent has come."""
        self.wait_for(lambda: all(link.over for link in self.links))

    def feed(self, **more):
        """Its feed configuration."""
        return {"broker": "127.0.0.1", "port": self.port, "identity": IDENT, "secret": SECRET,
                "channels": [CHANNEL], **more}

    def bodies(self):
        """body → how often it came, over all mails; each payload keeps its promises."""
        with self.changed:
            return collections.Counter(mail_of(message.payload) for message in self.mails)

    def unconfirmed(self):
        """The mails that came and were not confirmed by an echo."""
        return {body for link in self.links for body in link.mails}

    def doubled(self):
        """The mails that came more than once."""
        return {body for body, count in self.bodies().items() if count > 1}

    def forget(self):
        with self.changed:
            self.mails.clear()
            self.markers.clear()


def mail_of(payload):
    """The mail in a payload, JSON or raw."""
    if not payload.startswith(b"{"):
        return payload
    parsed = json.loads(payload)
    body = parsed["msg"].encode()
    if "msg_base64" in parsed:
        body = base64.b64decode(parsed["msg_base64"], validate=True)
    assert hashlib.sha256(body).hexdigest() == parsed["sha256"]
    return body
