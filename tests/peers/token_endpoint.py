"""A provider's OAuth 2.0 endpoints on a loopback port: token (RFC 6749), device code (RFC 8628),
and introspection (RFC 7662), which a Dovecot asks. Answers well, or as a test says."""
import collections
import http.server
import json
import ssl
import threading
import urllib.parse

Answer = collections.namedtuple("Answer", "status type body headers", defaults=({},))


def json_answer(status, **members):
    return Answer(status, "application/json", json.dumps(members))


class TokenEndpoint:
    """`refresh`: the refresh tokens that are good, each with its user. Each grant makes an access
    token, which `revoke()` ends."""

    def __init__(self, certs=None, lifetime=3600, rotate=False):
        self.lifetime = lifetime
        self.rotate = rotate
        self.refresh = {}
        self.access = {}  # token → user
        self.answers = []  # what is said next instead, whatever is asked at /token
        self.device_answers = []  # the same for questions of the device flow
        self.asked = []  # (path, fields)
        self.device_user = None  # who enters the code
        self.open = threading.Event()  # while it is cleared no answer goes out
        self.open.set()
        self.lock = threading.Lock()
        self._made = 0
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                size = int(self.headers.get("Content-Length", 0))
                fields = dict(urllib.parse.parse_qsl(self.rfile.read(size).decode()))
                path = self.path.partition("?")[0]
                with endpoint.lock:
                    endpoint.asked.append((path, fields))
                    answer = endpoint._answer(path, fields)
                endpoint.open.wait(60)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                body = answer.body.encode()
                if answer.type:
                    self.send_header("Content-Type", answer.type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass  # it was too much for the client

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        scheme = "http"
        if certs:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certs.cert, certs.key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.ca = str(certs.ca) if certs else None
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def _new(self, kind):
        self._made += 1
        return f"{kind}-geheim-{self._made}"

    def authorize(self, user):
        """Makes a refresh token."""
        with self.lock:
            token = self._new("refresh")
            self.refresh[token] = user
            return token

    def revoke(self):
        """All access tokens are void."""
        with self.lock:
            self.access.clear()

    def questions(self, path="/token"):
        with self.lock:
            return [fields for at, fields in self.asked if at == path]

    def _grant(self, user, refresh):
        access = self._new("access")
        self.access[access] = user
        more = {"refresh_token": refresh} if refresh else {}
        return json_answer(200, access_token=access, token_type="Bearer",
                           expires_in=self.lifetime, **more)

    def _answer(self, path, fields):
        if path == "/introspect":
            user = self.access.get(fields.get("token"))
            return json_answer(200, active=bool(user), username=user or "nobody")
        if path == "/device":
            return json_answer(200, device_code="device-geheim", user_code="WDJB-MJHT",
                               verification_uri="https://provider.example/device",
                               expires_in=600, interval=1)
        if path != "/token":
            return Answer(404, "text/html", "<h1>no</h1>")
        if self.answers:
            return self.answers.pop(0)
        if "device_code" in fields:
            if self.device_answers:
                return self.device_answers.pop(0)
            refresh = self._new("refresh")
            self.refresh[refresh] = self.device_user
            return self._grant(self.device_user, refresh)
        user = self.refresh.get(fields.get("refresh_token"))
        if not user:
            return json_answer(400, error="invalid_grant",
                               error_description="Token has been expired or revoked.")
        if not self.rotate:
            return self._grant(user, None)
        del self.refresh[fields["refresh_token"]]
        refresh = self._new("refresh")
        self.refresh[refresh] = user
        return self._grant(user, refresh)

    def stop(self):
        self.open.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()
