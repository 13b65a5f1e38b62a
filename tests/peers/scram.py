"""SCRAM-SHA-256 (RFC 7677), the server's side of AUTHENTICATE: a good one, and what a test makes of
it."""
import base64
import hashlib
import hmac

from peers.scripted_imap import PASSWORD

SALT = b"sixteen bytes of"
ITERATIONS = 4096


def said(data):
    return b"+ " + base64.b64encode(data) + b"\r\n"


def first_message(nonce, salt=SALT, iterations=ITERATIONS, salt_text=None):
    salt_text = base64.b64encode(salt) if salt_text is None else salt_text
    return b"r=" + nonce + b",s=" + salt_text + b",i=" + str(iterations).encode()


def _hmac(key, text):
    return hmac.new(key, text, "sha256").digest()


class Exchange:
    """What the client has to say, and whether it is right."""

    def __init__(self, s, command):
        name, _, answer = command.args.partition(b" ")
        assert name.startswith(b"SCRAM-SHA-256"), name
        message = base64.b64decode(answer)
        self.session = s
        self.bound = name.endswith(b"-PLUS")
        self.header, self.bare = message.split(b",,", 1)
        self.header += b",,"
        assert self.header == (b"p=tls-unique,," if self.bound else b"n,,"), self.header
        self.client_nonce = self.bare.split(b",r=")[1]
        self.nonce = self.client_nonce + b"more"

    def answer(self):
        """The next message of the client's; None when it has cancelled."""
        line = self.session.read_line()
        return None if line == b"*" else base64.b64decode(line, validate=True)

    def prove(self, first, final):
        """The server's final message to the client's, which has to be right."""
        without_proof, _, proof = final.rpartition(b",p=")
        binding = self.header
        if self.bound:
            binding += self.session.socket.get_channel_binding("tls-unique")
        assert without_proof == b"c=" + base64.b64encode(binding) + b",r=" + self.nonce
        key = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), SALT, ITERATIONS)
        auth = self.bare + b"," + first + b"," + without_proof
        stored = hashlib.sha256(_hmac(key, b"Client Key")).digest()
        client = bytes(a ^ b for a, b in zip(base64.b64decode(proof), _hmac(stored, auth)))
        assert hashlib.sha256(client).digest() == stored
        return b"v=" + base64.b64encode(_hmac(_hmac(key, b"Server Key"), auth))


def good(s, command):
    """Lets in who knows the password, and proves that it knows it, too."""
    exchange = Exchange(s, command)
    first = first_message(exchange.nonce)
    s.send(said(first))
    s.send(said(exchange.prove(first, exchange.answer())))
    assert exchange.answer() == b""
    s.ok(command, f"[CAPABILITY {s.server.capabilities}] welcome")
