"""Configurations for the peers that tests start, and what is expected of a run with them."""
import base64
import collections
import hashlib
import json
import re

import pytest


def feed(broker, **more):
    return {"broker": "127.0.0.1", "port": broker.port, "identity": "writer",
            "secret": "writersecret", "channels": ["spam.mails"], **more}


def mailbox(server, user, tls="implicit", **more):
    return {"username": user, "password": server.users[user], "protocol": "imap",
            "host": "localhost", "port": server.tls_port if tls == "implicit" else server.port,
            "tls": tls, "tls_ca": str(server.certs.ca), "name": user, **more}


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


def wire_name(folder):
    """A folder's name as a quoted string in modified UTF-7 (RFC 3501, 5.1.3)."""
    def shifted(found):
        coded = base64.b64encode(found.group().encode("utf-16-be")).decode()
        return "&" + coded.rstrip("=").replace("/", ",") + "-"

    coded = re.sub(r"[^\x20-\x7e]+", shifted, folder.replace("&", "&-"))
    return '"' + re.sub(r'(["\\])', r"\\\1", coded) + '"'


def fetched(server, user, item, folder="INBOX"):
    """What an independent client is answered to UID FETCH 1:* of an item of a folder."""
    client = server.login(user)
    status, text = client.select(wire_name(folder), readonly=True)
    assert status == "OK", text
    answers = [answer for answer in client.uid("FETCH", "1:*", item)[1] if answer]
    client.logout()
    return answers


def stored(server, user, folder="INBOX"):
    """The hashes of a folder's mails, as an independent client gets them."""
    answers = fetched(server, user, "BODY.PEEK[]", folder)
    return collections.Counter(hashlib.sha256(answer[1]).hexdigest() for answer in answers
                               if isinstance(answer, tuple))


def flags(server, user, folder="INBOX"):
    """UID → flags of a folder, as an independent client sees them."""
    found = {}
    for line in fetched(server, user, "(FLAGS)", folder):
        uid = re.search(rb"UID (\d+)", line)
        marks = re.search(rb"FLAGS \(([^)]*)\)", line)
        found[int(uid.group(1))] = set(marks.group(1).decode().split()) - {"\\Recent"}
    return found
