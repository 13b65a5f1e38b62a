"""HAProxy before a broker that has no TLS of its own."""
import socket

from peers.process import Process

# As it is set up for brokers: TCP, TLS ended here, and the time-outs that its manual asks for.
CONFIGURATION = """
{buffers}
defaults
    mode tcp
    timeout connect 5s
    timeout client {idle}
    timeout server {idle}
    timeout client-fin {fin}
    timeout server-fin {fin}
frontend hpfeeds
    bind fd@{listener} ssl crt {pem}
    default_backend broker
backend broker
    server broker 127.0.0.1:{target}
"""


class HAProxy:
    """Listens on 127.0.0.1:self.port with the certificate of `certs` and forwards to `target`. It
    ends a connection on which neither side says anything for `idle`, and one that has ended on one
    side, and is silent on the other, after `fin`. `keep`: no more than some of so many bytes are
    with the kernel on either side."""

    def __init__(self, directory, certs, target, idle="180s", fin="90s", keep=None):
        directory.mkdir()
        pem = directory / "proxy.pem"
        pem.write_bytes(certs.cert.read_bytes() + certs.key.read_bytes())
        pem.chmod(0o600)
        # It inherits a listener: nobody else takes the port, and who connects too soon waits.
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            self.port = listener.getsockname()[1]
            if keep:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, keep)
            configuration = directory / "haproxy.cfg"
            configuration.write_text(CONFIGURATION.format(
                buffers=f"global\n    tune.sndbuf.server {keep}" if keep else "",
                idle=idle, fin=fin, listener=listener.fileno(), pem=pem, target=target))
            self.process = Process(["haproxy", "-db", "-f", configuration],
                                   directory / "haproxy.log", pass_fds=[listener.fileno()])

    def stop(self):
        self.process.stop()
