"""Configurations for the peers that tests start, and what is expected of a run with them."""
import base64
import collections
import hashlib
import json

import pytest


def feed(broker, **more):
    return {"broker": "127.0.0.1", "port": broker.port, "identity": "writer",
            "secret": "writersecret", "channels": ["spam.mails"], **more}


def mailbox(server, user, **more):
    return {"username": user, "password": server.users[user], "protocol": "imap",
            "host": "localhost", "port": server.tls_port, "tls_ca": str(server.certs.ca),
            "name": user, **more}


def check_payload(payload, ident="writer"):
    """A JSON payload keeps its promises; returns the hash."""
    parsed = json.loads(payload)
    raw = parsed["msg"].encode()
    if "msg_base64" in parsed:
        raw = base64.b64decode(parsed["msg_base64"], validate=True)
        with pytest.raises(UnicodeDecodeError):
            raw.decode()
        assert parsed["msg"] == raw.decode("utf-8", "replace")
    assert hashlib.sha256(raw).hexdigest() == parsed["sha256"]
    return parsed["sha256"]


def received(subscriber, count):
    """The hashes of the next `count` mails, how often each came, and that no more came."""
    hashes = collections.Counter(check_payload(subscriber.next()) for _ in range(count))
    subscriber.assert_silent()
    return hashes


def flags(server, user, folder="INBOX"):
    """UID → flags of a folder, as an independent client sees them."""
    client = server.login(user)
    client.select(folder, readonly=True)
    found = {}
    for line in client.uid("FETCH", "1:*", "(FLAGS)")[1]:
        if line:
            text = line.decode()
            found[int(text.split("UID ")[1].split()[0].rstrip(")"))] = \
                set(text.split("FLAGS (")[1].split(")")[0].split()) - {"\\Recent"}
    client.logout()
    return found
