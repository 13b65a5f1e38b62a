"""A proxy that makes loopback as slow as a long line: everything arrives half a round trip later,
in order, however much of it there is; a new connection first costs the round trip of TCP's own
handshake."""
import asyncio
import threading


class DelayProxy:
    """Listens on self.port and forwards to 127.0.0.1:`target`."""

    def __init__(self, target, round_trip):
        self._target = target
        self._half = round_trip / 2
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait()

    def _run(self, started):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self._loop.run_forever()

    async def _accept(self, reader, writer):
        await asyncio.sleep(2 * self._half)
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._forward(reader, other_writer),
                             self._forward(other_reader, writer))

    async def _forward(self, reader, writer):
        """Each piece is written when its time has come; nothing waits for another's delay."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = await reader.read(1 << 18)
            except ConnectionError:
                data = b""
            loop.call_later(self._half, self._deliver, writer, data)
            if not data:
                return

    @staticmethod
    def _deliver(writer, data):
        if data:
            writer.write(data)
        else:
            writer.close()

    def stop(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
