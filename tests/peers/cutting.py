"""A proxy that cuts, resets, freezes and swallows connections, and is otherwise transparent: what
one side says the other hears, half-closes and resets included. A reset never becomes a clean end,
which would be a lie to a client that takes such an end for an answer."""
import selectors
import socket
import struct
import threading
import time

_ROOM = 1 << 18


class _Side:
    """One socket of a link, what waits to be written to it, and what has ended."""

    def __init__(self, sock):
        self.socket = sock
        self.waiting = bytearray()
        self.read_over = False  # its end was read
        self.write_over = False  # its end was written
        sock.setblocking(False)


class Link:
    """A connection: `client` to the one who connected, `server` to the target."""

    def __init__(self, number, client, server):
        self.number = number
        self.client, self.server = _Side(client), _Side(server)
        self.over = False
        self.client_first = False  # the client's end came before the server's
        self.frozen_until = 0.0  # time.monotonic(); nothing is read or written before
        self.budget = None  # so many bytes more, in either direction, then it is cut
        self.cut_cleanly = False  # by ends, not by resets
        self.swallowing = False  # the server's side is gone, the client is not told

    def other(self, side):
        return self.server if side is self.client else self.client


class CuttingProxy:
    """Listens on 127.0.0.1:self.port and forwards to 127.0.0.1:`target`. `tap`, if there is one,
    is told in the proxy's thread:

    * tap.forwarded(link, to_server, data)  bytes that were handed to the other side's kernel
    * tap.ended(link, clean)                the link's end: clean, or by a reset"""

    def __init__(self, target, tap=None):
        self._target, self._tap = target, tap
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self.forwarded = 0  # bytes, of all links
        self._next = None
        self._links = []
        self._count = 0
        self._todo = []
        self._lock = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # --- for tests, from any thread ---

    def links(self):
        """Those that stand."""
        with self._lock:
            return [link for link in self._links if not link.swallowing]

    def reset(self, link):
        self._later(self._cut, link)

    def end(self, link):
        """Ends both sides cleanly, wherever the conversation is."""
        self._later(self._close, link)

    def cut_after(self, link, count):
        """Resets it when so many bytes more have passed, in the midst of whatever they are."""
        def limit(link):  # in the thread, which counts down what is left
            link.budget = count
        self._later(limit, link)

    def cut_next(self, count, cleanly):
        """The same of the link that is made next."""
        self._next = count, cleanly

    def freeze(self, link, seconds):
        link.frozen_until = time.monotonic() + seconds

    def swallow(self, link):
        """The server's side is reset, the client is never told: a half-open connection."""
        self._later(self._swallow, link)

    def thaw(self):
        """Nothing is frozen any more."""
        for link in self.links():
            link.frozen_until = 0.0

    def stop(self):
        self._stopping = True
        self._thread.join()

    # --- the thread ---

    def _later(self, action, link):
        with self._lock:
            self._todo.append((action, link))

    def _run(self):
        while not self._stopping:
            with self._lock:
                todo, self._todo = self._todo, []
            for action, link in todo:
                if not link.over:
                    action(link)
            self._turn()
        for link in list(self._links):
            self._cut(link)
        self._listener.close()

    def _turn(self):
        now = time.monotonic()
        with selectors.PollSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            for link in self._links:
                self._register(selector, link, now)
            ready = selector.select(0.02)
        for key, mask in ready:
            if key.data is None:
                self._accept()
            elif not key.data[0].over:
                self._serve(*key.data, mask)

    @staticmethod
    def _register(selector, link, now):
        if now < link.frozen_until:
            return
        for side in (link.client, link.server):
            mask = 0
            if side.socket.fileno() >= 0:
                if not side.read_over and len(link.other(side).waiting) < _ROOM:
                    mask |= selectors.EVENT_READ
                if side.waiting:
                    mask |= selectors.EVENT_WRITE
            if mask:
                selector.register(side.socket, mask, (link, side))

    def _accept(self):
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        try:
            server = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            self._abort(client)  # as if nothing listened here either
            return
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._count += 1
        link = Link(self._count, client, server)
        if self._next:
            (link.budget, link.cut_cleanly), self._next = self._next, None
        with self._lock:
            self._links.append(link)
        if link.budget == 0:
            self._cut_planned(link)

    def _serve(self, link, side, mask):
        try:
            if mask & selectors.EVENT_WRITE:
                self._write(link, side)
            if mask & selectors.EVENT_READ and not link.over:
                data = side.socket.recv(_ROOM)
                if link.swallowing:
                    side.read_over = not data
                elif data:
                    link.other(side).waiting += data
                    self._write(link, link.other(side))
                else:
                    side.read_over = True
                    link.client_first |= side is link.client and not link.server.read_over
                    self._pass_end(link, link.other(side))
        except BlockingIOError:
            pass
        except OSError:  # whichever side it was: both are reset
            self._cut(link)
        if link.swallowing and link.client.read_over and not link.over:
            self._cut(link)

    def _write(self, link, side):
        piece = side.waiting
        if link.budget is not None:
            piece = piece[:link.budget]
        if piece:
            count = side.socket.send(piece)
            data = bytes(side.waiting[:count])
            del side.waiting[:count]
            self.forwarded += count
            if self._tap:
                self._tap.forwarded(link, side is link.server, data)
            if link.budget is not None:
                link.budget -= count
        if link.budget == 0:
            self._cut_planned(link)
        elif link.other(side).read_over:
            self._pass_end(link, side)

    def _pass_end(self, link, side):
        """The other side has ended; this one hears of it behind all that was said."""
        if side.waiting or side.write_over:
            return
        side.write_over = True
        side.socket.shutdown(socket.SHUT_WR)
        if link.client.write_over and link.server.write_over:
            self._close(link)

    @staticmethod
    def _abort(sock):
        """A reset. SO_LINGER of 0 makes one of close(2)."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def _cut(self, link):
        for side in (link.client, link.server):
            if side.socket.fileno() >= 0:
                self._abort(side.socket)
        self._over(link, False)

    def _cut_planned(self, link):
        if link.cut_cleanly:
            self._close(link)
        else:
            self._cut(link)

    def _close(self, link):
        for side in (link.client, link.server):
            side.socket.close()
        self._over(link, link.client.write_over and link.server.write_over)

    def _swallow(self, link):
        self._abort(link.server.socket)
        link.client.waiting.clear()
        link.server.waiting.clear()
        link.swallowing = True

    def _over(self, link, clean):
        link.over = True
        with self._lock:
            self._links.remove(link)
        if self._tap:
            self._tap.ended(link, clean)
