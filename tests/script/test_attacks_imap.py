"""The attacks that IMAP clients fell to, each by a scripted server against imap-collector.

What is asserted of each: what the server was sent (no credentials where none may leave), what the
user is told, the most memory the process had, that other mailboxes get their mail, and that in a
run after the attack each mail arrives, once. What would take more than linear time takes minutes
with these sizes, which is longer than any test may run. docs/security.md has the list."""
import base64
import itertools
import json
import re
import socket
import ssl
import time

import pytest

from peers import scram
from peers.fixtures import (hpfeeds, imap, live, once, plain, real_memory, run, spam,  # noqa: F401
                            start)
from peers.scripted_imap import DEFAULT, Folder, without

MEGA = 1000000
MEMORY = 64 << 20  # of the whole process, under AddressSanitizer too


def then_well(hpfeeds, run, servers, **more):
    """The servers are good ones now: what they have arrives, once, whatever they did before."""
    for server in servers:
        server.well()
    result = run(hpfeeds.feed(), [server.mailbox(**more) for server in servers])
    assert result.code == 0, result
    assert hpfeeds.bodies() == once(mail.body for server in servers for mail in server.inbox.mails)
    assert all(flags == {"\\Seen"} for server in servers
               for flags in server.inbox.flags().values())


# --- before the login: stripping, injection, PREAUTH --------------------------------------------


def go_on(s, command, more=b"", code=""):
    """OK to STARTTLS, more in the same segment, and TLS."""
    s.send(f"{command.tag} OK {code}begin\r\n", more)
    s.start_tls()


def next_segment(s, command):
    """The bytes come when the client has begun with TLS."""
    s.send(f"{command.tag} OK begin\r\n")
    s.socket.recv(1, socket.MSG_PEEK)
    s.send("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] in the clear\r\n")
    s.start_tls()


def in_the_clear(s, command):
    s.send(f"{command.tag} OK begin\r\n* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] no TLS\r\n")


def greet(text):
    return lambda server: setattr(server, "greeting", lambda s: s.send(text))


def at_starttls(handler):
    return lambda server: server.on("STARTTLS", handler)


def never_offer(server):
    server.capabilities = "IMAP4rev1 AUTH=PLAIN SASL-IR"
    greet("* OK hello\r\n")(server)


OFFER = "* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN SASL-IR] hello\r\n"
# What the server does; what the user is told.
BEFORE_TLS = {
    "not offered": (greet("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\r\n"), "STARTTLS"),
    "not offered when asked": (never_offer, "STARTTLS"),
    "refused": (at_starttls(lambda s, c: s.no(c, "no TLS today")), "no TLS today"),
    "bad": (at_starttls(lambda s, c: s.bad(c, "what?")), "what?"),
    "preauth": (greet("* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] welcome\r\n"), "PREAUTH"),
    "preauth behind the greeting":
        (greet(OFFER + "* PREAUTH [CAPABILITY IMAP4rev1] welcome\r\n"), "PREAUTH"),
    "preauth as an answer":
        (at_starttls(lambda s, c: s.send(f"* PREAUTH in\r\n{c.tag} OK in\r\n")), "PREAUTH"),
    "injected": (at_starttls(lambda s, c: go_on(s, c, "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n")),
                 "follow the answer"),
    "injected tag": (at_starttls(lambda s, c: go_on(s, c, "a1 OK [CAPABILITY X] x\r\n")),
                     "follow the answer"),
    "injected, half a line": (at_starttls(lambda s, c: go_on(s, c, "*")), "follow the answer"),
    "in the next segment": (at_starttls(next_segment), "no TLS spoken there"),
    "in the clear": (at_starttls(in_the_clear), "follow the answer"),
    "garbage greeting": (greet("HTTP/1.1 400 Bad Request\r\n\r\n"), "HTTP/1.1"),
    "answered before": (greet(OFFER + "".join(f"a{i} OK done\r\n" for i in range(10))), ""),
    "bye": (greet("* BYE [REFERRAL imap://evil.example/] go there\r\n"), "go there"),
}


def test_no_password_leaves_without_tls(imap, hpfeeds, run, certs):
    servers = []
    for number, (arrange, _) in enumerate(BEFORE_TLS.values()):
        servers.append(imap(spam(1, who=f"strip{number}"), tls="starttls",
                            cert=(certs.cert, certs.key), name=f"strip{number}"))
        arrange(servers[-1])
    good = imap(spam(2, who="good"), tls="starttls", cert=(certs.cert, certs.key), name="good")
    result = run(hpfeeds.feed(), [server.mailbox(tls_ca=str(certs.ca))
                                  for server in [*servers, good]])
    assert result.code == 1 and result.row("good")[3] == "ok", result
    assert hpfeeds.bodies() == once(spam(2, who="good"))
    for (name, (_, words)), server in zip(BEFORE_TLS.items(), servers):
        assert not server.logins() and not server.saw_secret(), name
        assert words in result.row(server.name)[3] != "ok", (name, result)
    assert good.saw_secret()  # what would be seen, is seen


@pytest.mark.parametrize("code", ["", "[CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] "])
def test_capabilities_from_before_tls_are_forgotten(imap, hpfeeds, run, certs, code):
    """What was said in the clear, LOGINDISABLED or not, says nothing about after."""
    server = imap(spam(1), tls="starttls", cert=(certs.cert, certs.key),
                  capabilities="IMAP4rev1 LOGINDISABLED")
    server.greeting = lambda s: s.send(OFFER)
    server.on("STARTTLS", lambda s, c: go_on(s, c, code=code))
    result = run(hpfeeds.feed(), [server.mailbox(tls_ca=str(certs.ca))])
    assert result.code == 1 and not server.logins(), result
    assert "LOGIN is disabled" in result.row("trap")[3]


# --- certificates --------------------------------------------------------------------------------


def name_in_der(text):
    """A subject alternative name that holds any bytes."""
    data = text.encode("latin-1")
    return f"DER:30:{len(data) + 2:02x}:82:{len(data):02x}:" + data.hex(":")


def below_a_leaf(certs):
    leaf = certs.issue("leaf", "DNS:localhost")
    cert, key = certs.issue("below", "DNS:localhost", signer=leaf)
    chain = certs.directory / "chain.pem"
    chain.write_bytes(cert.read_bytes() + leaf[0].read_bytes())
    return chain, key


# How it is made; what the user is told.
CERTIFICATES = {
    "expired": (lambda c: c.issue("old", "DNS:localhost", days=-1), "expired on"),
    "elsewhere": (lambda c: c.issue("elsewhere", "DNS:elsewhere.example"),
                  "is for elsewhere.example, not for localhost"),
    "the host's name as a CN beside": (lambda c: c.issue("localhost", "DNS:elsewhere.example"),
                                       "is for elsewhere.example, not for localhost"),
    "the host's name and more": (lambda c: c.issue("suffix", "DNS:localhost.evil.example"),
                                 "is for localhost.evil.example, not for localhost"),
    "NUL": (lambda c: c.issue("nul", name_in_der("localhost\0.evil.example")),
            "is for localhost\\x00.evil.example, not for localhost"),
    "ANSI": (lambda c: c.issue("ansi", name_in_der("\x1b[31mlocalhost\x07\x9b")),
             "is for \\x1b[31mlocalhost\\x07\\x9b, not for localhost"),
    "wildcard": (lambda c: c.issue("wild", "DNS:*"), "is for *, not for localhost"),
    "address": (lambda c: c.issue("address", "IP:127.0.0.1"), "is for 127.0.0.1, not for localhost"),
    "for clients": (lambda c: c.issue("client", "DNS:localhost", "extendedKeyUsage=clientAuth"),
                    "unsuitable certificate purpose"),
    "unknown and critical": (lambda c: c.issue("critical", "DNS:localhost",
                                               "1.2.3.4.5=critical,DER:05:00"),
                             "unhandled critical extension"),
    "signed by no CA": (below_a_leaf, "invalid CA certificate"),
    "a CA's": (lambda c: (c.ca, c.ca_key), "not for localhost"),
    "short key": (lambda c: c.issue("short", "DNS:localhost", key="rsa:1024"), "key too weak"),
    "SHA-1": (lambda c: c.issue("sha1", "DNS:localhost", digest="sha1"), "digest algorithm too weak"),
}
OLD_TLS = {
    "TLS 1.0": (ssl.TLSVersion.TLSv1, "ALL:@SECLEVEL=0"),
    "TLS 1.1": (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
    "no cipher, nobody's": (ssl.TLSVersion.TLSv1_2, "NULL:aNULL:@SECLEVEL=0"),
}


def weak_context(version=ssl.TLSVersion.TLSv1_3, ciphers="ALL:@SECLEVEL=0"):
    """What Python refuses to be by itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(ciphers)
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
        return context


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_no_password_goes_to_whom_it_should_not(imap, hpfeeds, run, certs, tmp_path, tls):
    """Certificates that are not good, in every way, and TLS that is none any more."""
    stranger = type(certs)(tmp_path / "stranger")
    rows = [("stranger", (stranger.cert, stranger.key), "not trusted", {})]
    rows += [(name, make(certs), words, {}) for name, (make, words) in CERTIFICATES.items()]
    rows += [(name, (certs.cert, certs.key), "TLS", {"version": version, "ciphers": ciphers})
             for name, (version, ciphers) in OLD_TLS.items()]
    servers = []
    for number, (name, cert, _, weak) in enumerate(rows):
        server = imap(spam(1), tls=tls, name=f"bad{number}")
        server.context = weak_context(**weak)
        server.context.load_cert_chain(*cert)
        servers.append(server)
    pinned = imap(spam(1), tls=tls, cert=(certs.cert, certs.key), name="pinned")
    good = imap(spam(1, who="good"), tls=tls, cert=(certs.cert, certs.key), name="good")
    result = run(hpfeeds.feed(), [
        *(server.mailbox(tls_ca=str(certs.ca)) for server in [*servers, good]),
        pinned.mailbox(tls_fingerprint="0a:" * 31 + "0a")])
    assert result.code == 1 and hpfeeds.bodies() == once(spam(1, who="good")), result
    assert "not the pinned one" in result.row("pinned")[3]
    for (name, _, words, _), server in zip(rows, servers):
        assert words in result.row(server.name)[3], (name, result)
    for server in [*servers, pinned]:
        assert set(server.names()) <= {"STARTTLS"} and not server.saw_secret()
        assert server.connections == 1  # a matter for a person: not tried again
    assert plain(result.out) and plain(result.err)


@pytest.mark.parametrize("content, words", [
    (None, "No such file"), (b"", "CA file"), (b"no certificate\n", "CA file"),
], ids=["missing", "empty", "garbage"])
def test_no_password_without_the_ca(imap, hpfeeds, run, certs, tmp_path, content, words):
    """A CA file that is not there or holds none: not the system's in its place."""
    ca = tmp_path / "ca.pem"
    if content is not None:
        ca.write_bytes(content)
    server = imap(spam(1), tls="implicit", cert=(certs.cert, certs.key))
    result = run(hpfeeds.feed(), [server.mailbox(tls_ca=str(ca))])
    assert result.code == 78 and words in result.err and server.connections == 0, result


# --- SCRAM ---------------------------------------------------------------------------------------


SCRAM = without("AUTH=PLAIN") + " AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN"


def at_first(make):
    """A first message that the client should not answer, of the nonce that it has sent."""
    def handler(s, command):
        exchange = scram.Exchange(s, command)
        s.send(scram.said(make(exchange.client_nonce)))
        assert exchange.answer() is None, "it was answered"
        s.bad(command, "cancelled")
    return handler


def iterations(count):
    return at_first(lambda nonce: scram.first_message(nonce + b"x", iterations=count))


def salt(text):
    return at_first(lambda nonce: scram.first_message(nonce + b"x", salt_text=text))


def nonce(make):
    return at_first(lambda ours: scram.first_message(make(ours)))


def at_final(answer):
    """answer(s, command, exchange) in place of the proof, when the client has sent its own."""
    def handler(s, command):
        exchange = scram.Exchange(s, command)
        first = scram.first_message(exchange.nonce)
        s.send(scram.said(first))
        exchange.prove(first, exchange.answer())
        answer(s, command, exchange)
    return handler


def instead_of_a_proof(message):
    def answer(s, command, exchange):
        s.send(scram.said(message))
        assert exchange.answer() is None
        s.ok(command, "welcome all the same")
    return at_final(answer)


def ask_on(s, command, exchange=None):
    while True:
        s.send("+ \r\n")


def slow(s, command, answered=None):
    """As many iterations as are allowed, and then no proof."""
    exchange = scram.Exchange(s, command)
    s.send(scram.said(scram.first_message(exchange.nonce, iterations=2000000)))
    assert exchange.answer()
    if answered is not None:
        answered.append(s.server.name)
    s.send(scram.said(b"v=" + b"A" * 43 + b"="))
    assert exchange.answer() is None
    s.bad(command, "cancelled")


NO_PROOF = "cannot prove that it knows the password"
LET_IN = "lets us in without a proof that it knows the password"
TOO_LONG = "too long for SCRAM, or has a NUL"
# What the server does at AUTHENTICATE; what the user is told.
SCRAM_BOMBS = {f"{count} iterations": (iterations(count), "more than 2000000 iterations")
               for count in (2000001, 5000000, 2**31 - 1, 2**31, 2**32 - 1, 2**32 + 4096, 2**64,
                             10**400, -1, "4096x", "")}
SCRAM_BOMBS |= {
    "no iterations": (iterations(0), "asks for 0 iterations only"),
    "few iterations": (iterations(4095), "asks for 4095 iterations only"),
    "no salt": (salt(b""), "salt is none, or too long"),
    "a salt that is none": (salt(b"!!!!"), "salt is none, or too long"),
    "a long salt": (salt(base64.b64encode(b"s" * 129)), "salt is none, or too long"),
    "a huge salt": (salt(b"A" * MEGA), TOO_LONG),
    "another nonce": (nonce(lambda ours: b"x" * 40), "does not go on from our nonce"),
    "our nonce behind another": (nonce(lambda ours: b"x" + ours), "does not go on from our nonce"),
    "half of our nonce": (nonce(lambda ours: ours[:12] + b"x" * 20),
                          "does not go on from our nonce"),
    "our nonce alone": (nonce(lambda ours: ours), "does not go on from our nonce"),
    "a huge nonce": (nonce(lambda ours: ours + b"x" * MEGA), TOO_LONG),
    "NUL": (nonce(lambda ours: ours + b"\0"), TOO_LONG),
    "an extension": (at_first(lambda ours: b"m=x," + scram.first_message(ours + b"x")),
                     "demands an extension"),
    "nothing": (at_first(lambda ours: b""), "is not SCRAM's"),
    "wrong proof": (instead_of_a_proof(b"v=" + b"A" * 43 + b"="), NO_PROOF),
    "empty proof": (instead_of_a_proof(b"v="), NO_PROOF),
    "no proof": (at_final(lambda s, c, _: s.ok(c, "welcome")), LET_IN),
    "at once": (lambda s, c: s.ok(c, "welcome"), LET_IN),
    "no end before": (ask_on, "asks on"),
    "no end after": (at_final(ask_on), "asks on"),
    "as slow as is allowed": (slow, NO_PROOF),
}


def test_scram_bombs(imap, hpfeeds, start, run, real_memory):
    """Nothing is derived, nor told, for a server that asks for too much; who cannot prove that it
    knows the password is given neither trust nor, in another way, the password."""
    servers = []
    for number, (handler, _) in enumerate(SCRAM_BOMBS.values()):
        servers.append(imap(spam(1, who=f"bomb{number}"), name=f"bomb{number}", capabilities=SCRAM))
        servers[-1].on("AUTHENTICATE", handler)
    good = imap(spam(3, who="good"), name="good", capabilities=SCRAM)
    good.on("AUTHENTICATE", scram.good)
    most = []

    def all_are_through(s, command):
        for server in servers:
            server.wait_for(lambda: any(session.over for session in server.sessions))
        most.append(collector.memory())
        return DEFAULT
    good.on("LOGOUT", all_are_through)
    collector = start(hpfeeds.feed(), [server.mailbox() for server in [*servers, good]])
    result = collector.wait()
    assert result.code == 1 and result.row("good") == (3, 3, 0, "ok"), result
    assert hpfeeds.bodies() == once(spam(3, who="good"))
    assert most[0] < MEMORY, most
    for (name, (_, words)), server in zip(SCRAM_BOMBS.items(), servers):
        assert words in result.row(server.name)[3], (name, result)
        assert 1 <= server.connections <= 3 and not server.saw_secret(), name
        assert set(server.names()) == {"AUTHENTICATE"}, (name, server.commands)
        assert all(args.startswith("SCRAM-SHA-256 ") for args in server.sent("AUTHENTICATE")), name
    assert plain(result.out) and plain(result.err)
    for server in servers:  # what they offer was never taken: they are held to nothing
        server.capabilities = without()
    good.well()
    good.on("AUTHENTICATE", scram.good)
    for server in servers:
        server.well()
    result = run(hpfeeds.feed(), [server.mailbox() for server in [*servers, good]])
    assert result.code == 0, result
    assert hpfeeds.bodies() == once(mail.body for server in [*servers, good]
                                    for mail in server.inbox.mails)


def test_the_slow_ones_stop_nobody(imap, hpfeeds, start):
    """While servers have us derive keys for as long as they may, others get their mail: seconds of
    all processors, in the midst of which a whole mailbox is collected."""
    slow_ones = [imap(spam(1, who=f"slow{number}"), name=f"slow{number}", capabilities=SCRAM)
                 for number in range(4)]
    good = imap(spam(3, who="good"), name="good")
    answered, by_then = [], []
    for server in slow_ones:
        server.on("AUTHENTICATE", lambda s, c: slow(s, c, answered))

    def when_all_have_asked(s, command):
        for server in slow_ones:
            server.wait_for(lambda: server.names())
        return DEFAULT
    good.on("AUTHENTICATE", when_all_have_asked)
    good.on("LOGOUT", lambda s, c: by_then.extend(answered) or DEFAULT)
    result = start(hpfeeds.feed(), [server.mailbox() for server in [*slow_ones, good]]).wait()
    assert result.code == 1 and result.row("good") == (3, 3, 0, "ok"), result
    assert hpfeeds.bodies() == once(spam(3, who="good"))
    assert len(by_then) < len(answered) == len(slow_ones), (by_then, answered)


def test_binding_that_the_server_has_lost(imap, hpfeeds, run, certs):
    """Who was bound to under TLS 1.2 may move to TLS 1.3, where nothing is bound; it may not do
    without while it stays, not even after that, nor where anybody's certificate is taken."""
    server = imap(spam(1), tls="implicit", cert=(certs.cert, certs.key))
    server.on("AUTHENTICATE", scram.good)
    bound = SCRAM + " AUTH=SCRAM-SHA-256-PLUS"
    # TLS, what is offered, whether certificates are looked at; the way in, or why there is none.
    steps = [("TLSv1_2", bound, True, "logged in by SCRAM-SHA-256-PLUS\n", True),
             ("TLSv1_3", bound, True, "logged in by SCRAM-SHA-256\n", True),
             ("TLSv1_3", SCRAM, True, "logged in by SCRAM-SHA-256\n", True),
             ("TLSv1_3", without(), True, "the server took SCRAM before", False),
             ("TLSv1_2", SCRAM, True, "the server took SCRAM with channel binding before", False),
             ("TLSv1_3", bound, False, "nothing verifies whom it leads to", False),
             ("TLSv1_2", bound, False, "logged in by SCRAM-SHA-256-PLUS\n", True)]
    for version, offered, verified, words, well in steps:
        server.capabilities = offered
        server.context.minimum_version = server.context.maximum_version = ssl.TLSVersion[version]
        trust = {"tls_ca": str(certs.ca)} if verified else {"tls_verify": False}
        if not well:  # --check is as careful
            server.forget()
            result = run(hpfeeds.feed(), [server.mailbox(**trust)], "--check")
            assert result.code == 1 and words in result.err + result.out, result
            assert not server.logins() and not server.saw_secret(), (version, offered)
        server.forget()
        result = run(hpfeeds.feed(), [server.mailbox(**trust)], "--log-level", "debug")
        assert words in result.err and result.code == (0 if well else 1), (version, offered, result)
        assert well == bool(server.logins()) and not server.saw_secret(), (version, offered)
    assert hpfeeds.bodies() == once(spam(1))


# --- one host, several accounts ------------------------------------------------------------------


def test_accounts_of_one_host_share_nothing(imap, hpfeeds, run, certs):
    """Each has its own connection, password and trust: one that trusts anybody, and was there
    first, lets no other in where it would not have gone."""
    server = imap(spam(2), tls="implicit", cert=(certs.cert, certs.key))
    users = {"one": "first secret", "two": "second secret", "one again": "third secret"}
    resumed = []

    def login(s, command):
        _, user, password = base64.b64decode(command.args.split()[1]).decode().split("\0")
        resumed.append(s.socket.session_reused)
        if users.get(user) != password:
            s.no(command, "[AUTHENTICATIONFAILED] no")
            return None
        s.user = user
        return DEFAULT
    server.on("AUTHENTICATE", login)
    mailboxes = [server.mailbox(username=user, password=password, name=user, tls_verify=False,
                                after="none")
                 for user, password in users.items()]
    strict = server.mailbox(username="three", password="fourth secret", name="strict")
    wrong = server.mailbox(username="two", password="fourth secret", name="wrong", tls_verify=False,
                           host="127.0.0.1")
    result = run(hpfeeds.feed(), [*mailboxes, strict, wrong], "-a")
    assert result.code == 1, result
    assert "not trusted" in result.row("strict")[3] and "[AUTH" not in result.row("one")[3], result
    assert all(result.row(user)[3] == "ok" for user in users) and result.row("wrong")[3] != "ok"
    assert len(resumed) == len(users) + 1 and not any(resumed), resumed
    assert sorted(s.user for s in server.sessions if hasattr(s, "user")) == sorted(users)
    assert b"fourth" not in server.received


# --- too much, too large, too deep ---------------------------------------------------------------


def literals():
    """No literal but a body may be larger than a response, which is 16 MiB at most."""
    for form in (b'LIST () "/" {%b}', b'ID ("a" {%b}', b"1 FETCH (X {%b}", b"SEARCH {%b}",
                 b"STATUS {%b}", b"CAPABILITY {%b}", b"X {%b}"):
        for size in (b"16777217", b"2147483648", b"4294967295", b"4294967296",
                     b"18446744073709551616", b"-1", b"1e3", b"7" * 100000):
            yield form % size


def said(data, at="SELECT"):
    return lambda server: server.on(at, lambda s, c: s.send(data) or DEFAULT)


def guess_the_next_tag(server):
    """Answers the command that comes next before it comes."""
    def answer(s, command):
        letters, number = re.fullmatch(r"([a-z]+)(\d+)", command.tag).groups()
        s.send(f"{letters}{int(number) + 1} OK done\r\n")
        return DEFAULT
    server.on("SELECT", answer)


def without_an_end(data, at="SELECT"):
    def answer(s, command):
        while True:
            s.send(data)
    return lambda server: server.on(at, answer)


# What the server does; the words of the result: "ok" where it is tolerated, and mail arrives.
FLOODS = {
    "zero literals": (said(b'* LIST () "/" {0}\r\n\r\n* ID ("a" {0}\r\n)\r\n* 1 FETCH (X {0}\r\n)\r\n'
                           b"* SEARCH {0}\r\n\r\n"), "ok"),
    "numbers": (said(b"* 4294967296 EXISTS\r\n* 18446744073709551617 EXPUNGE\r\n* -1 EXISTS\r\n"
                     b"* 99999999999999999999999 FETCH (UID 1 FLAGS ())\r\n* 1e9 RECENT\r\n"), "ok"),
    "numbers in codes": (said(b"* OK [UIDNEXT 18446744073709551616] x\r\n* OK [UNSEEN -7] x\r\n"
                              b"* OK [HIGHESTMODSEQ 99999999999999999999999999999] x\r\n"), "ok"),
    "digits": (said(b"* " + b"7" * MEGA + b" EXISTS\r\n"), "ok"),
    "digits in a code": (said(b"* OK [UIDNEXT " + b"7" * MEGA + b"] x\r\n"), "ok"),
    "digits of a SEARCH": (said(b"* SEARCH " + b"7" * MEGA + b"\r\n", "UID SEARCH"), "ok"),
    "digits of a UID": (said(b"* 1 FETCH (UID " + b"7" * MEGA + b" FLAGS ())\r\n"), "ok"),
    "sets in codes": (said(b"* OK [COPYUID 1 1:99999999 1:99999999] x\r\n"
                           b"* OK [APPENDUID 1 1:4294967295] x\r\n"
                           b"* OK [MODIFIED 1:4294967295] x\r\n"
                           b"* VANISHED (EARLIER) 1:4294967295\r\n"), "ok"),
    "a set of nothing": (said(b'* ESEARCH (TAG "x") UID ALL 1:4294967295\r\n', "UID SEARCH"),
                         "more mails than it says"),
    "a set of everything else":
        (said(b'* ESEARCH (TAG "x") UID ALL ' + b",".join(b"%d" % i for i in range(1, MEGA, 2))
              + b"\r\n", "UID SEARCH"), "more mails than it says"),
    "tiny literals": (said(b"* ID (" + b"{1}\r\n(" * 100000 + b")\r\n"), "ok"),
    "empty literals": (said(b"* 1 FETCH (" + b"X {0}\r\n " * 100000 + b")\r\n"), "ok"),
    "parentheses": (said(b"* X " + b"(" * 100000 + b")" * 100000 + b"\r\n"), "nested parentheses"),
    "parentheses of a FETCH": (said(b"* 1 FETCH " + b"(" * 100000 + b"\r\n", "UID FETCH"),
                               "nested parentheses"),
    "brackets": (said(b"* OK " + b"[" * 100000 + b"\r\n"), "ok"),
    "escapes": (said(b'* LIST () "/" "' + b'\\"' * 100000 + b'"\r\n'), "ok"),
    "flags": (said(b"* FLAGS (" + b"\\x " * 300000 + b")\r\n"), "ok"),
    "capabilities": (said(b"* CAPABILITY" + b" IMAP4rev1" * 100000 + b"\r\n"), "ok"),
    "replies": (said(b"* OK x\r\n" * 300000), "ok"),
    "counts": (said(b"* 1 EXISTS\r\n* 2 EXISTS\r\n" * 100000), "ok"),
    "expunges": (said(b"* 1 EXPUNGE\r\n" * 100000), "ok"),
    "empty lines": (said(b"\r\n" * 300000), "ok"),
    "NULs": (said(b"\0" * 100000 + b"* OK x\r\n"), "ok"),
    "a line without an end": (without_an_end(b"* OK " + b"x" * 65536), "16777216"),
    "a response without an end": (without_an_end(b"* X" + b" {3}\r\nabc" * 5000, "UID SEARCH"),
                                  "16777216"),
    "a tag without an end": (without_an_end(b"a" * 65536), "broke the IMAP protocol"),
    "8 bit": (said(bytes(range(128, 256)) * 1000 + b"\r\n"), "broke the IMAP protocol"),
    "a continuation": (said(b"+ go on\r\n"), "where nothing waits for it"),
    "the next tag": (guess_the_next_tag, "a command that was not sent"),
}
FLOODS |= {f"literal {number}": (said(b"* " + data + b"\r\n"), "a literal")
           for number, data in enumerate(literals())}


def test_floods(imap, hpfeeds, start, run, real_memory):
    servers = []
    for number, (arrange, _) in enumerate(FLOODS.values()):
        servers.append(imap(spam(2, who=f"flood{number}"), name=f"flood{number}"))
        arrange(servers[-1])
    good = imap(spam(3, who="good"), name="good")
    most = []

    def all_are_through(s, command):
        for server in servers:
            server.wait_for(lambda: any(session.over for session in server.sessions))
        return DEFAULT
    good.on("UID SEARCH", all_are_through)
    good.on("LOGOUT", lambda s, c: most.append(collector.memory()) or DEFAULT)
    collector = start(hpfeeds.feed(), [server.mailbox() for server in [*servers, good]])
    result = collector.wait()
    assert result.code == 1 and result.row("good") == (3, 3, 0, "ok"), result
    assert most[0] < MEMORY, most
    delivered = spam(3, who="good")
    for (name, (_, words)), server in zip(FLOODS.items(), servers):
        row = result.row(server.name)
        if words == "ok":
            assert row == (2, 2, 0, "ok") and server.connections == 1, (name, row)
            delivered += [mail.body for mail in server.inbox.mails]
        else:
            assert words in row[3] and row[1] == 0 and server.connections <= 3, (name, row)
            assert set().union(*server.inbox.flags().values()) == set(), name
    assert hpfeeds.bodies() == once(delivered)
    then_well(hpfeeds, run, [*servers, good])
def test_what_is_announced_takes_no_memory(imap, hpfeeds, start, run, real_memory):
    """Forty literals of up to 4 GiB are announced, and do not come."""
    servers, waiting = [], []
    good = imap(spam(3, who="good"), name="good")
    most = []

    def announced(data):
        def answer(s, command):
            s.send(data)
            waiting.append(s)
            good.wait_for(lambda: most)
            s.close()
        return answer

    for number in range(40):
        servers.append(imap(spam(1, who=f"large{number}"), name=f"large{number}"))
        data, at = [(b"* 1 FETCH (UID 1 BODY[] {4294967295}\r\nx", "UID FETCH"),
                    (b"* 1 FETCH (UID 1 BODY[] {2147483648}\r\n", "UID FETCH"),
                    (b'* LIST () "/" {16000000}\r\n', "SELECT"),
                    (b"* SEARCH {16000000}\r\n", "UID SEARCH")][number % 4]
        servers[-1].on(at, announced(data), times=1, when=lambda c: c.name != "UID FETCH" or
                       b"BODY" in c.args)

    def all_wait(s, command):
        for server in servers:
            server.wait_for(lambda: any(session.server is server for session in waiting))
        most.append(collector.memory())
        with good.changed:
            good.changed.notify_all()
        return DEFAULT
    good.on("LOGOUT", all_wait)
    collector = start(hpfeeds.feed(), [server.mailbox() for server in [*servers, good]])
    result = collector.wait()
    assert result.code == 0 and most[0] < MEMORY, (most, result)
    assert hpfeeds.bodies() == once(mail.body for server in [*servers, good]
                                    for mail in server.inbox.mails)


def test_a_mail_of_four_gibibytes(imap, hpfeeds, start):
    """Announced and begun: it is hashed as it comes, and takes no memory."""
    server, good = imap(spam(2)), imap(spam(2, who="good"), name="good")
    collector = []
    grown = []

    def endless(s, mail, seq):
        s.send(f"* {seq} FETCH (UID {mail.uid} BODY[] {{4294967295}}\r\n", b"x" * 65536)
        before = collector[0].memory()
        for _ in range(1024):
            s.send(b"y" * 65536)
        grown.append(collector[0].memory() - before)
        server.well()
        s.close()
    server.inbox.mail(1).answer = endless
    good.wait_for(lambda: True)
    collector.append(start(hpfeeds.feed(), [server.mailbox(), good.mailbox()]))
    result = collector[0].wait()
    assert result.code == 0, result
    assert hpfeeds.bodies() == once(spam(2) + spam(2, who="good"))
    assert len(grown) == 1 and grown[0] < 16 << 20, grown


def announce(text, behind=False):
    """A body that cannot be, of a mail that is named before it, or would be behind it."""
    def answer(s, mail, seq):
        name = "" if behind else f"UID {mail.uid} "
        s.send(f"* {seq} FETCH ({name}BODY[] {text}\r\n")
        s.silence()
    return answer


HUGE = ["{4294967296}", "{18446744073709551616}", "{-1}", "{99999999999999999999999}", "{}"]


def test_literals_that_cannot_be(imap, hpfeeds, run):
    """Their mails are held, and nothing waits for what never comes; others go on."""
    servers = []
    for behind in (False, True):
        for number, text in enumerate(HUGE):
            name = f"huge{number}{behind}"
            server = imap(spam(3, who=name), name=name)
            server.inbox.mail(2).answer = announce(text, behind)
            servers.append(server)
    good = imap(spam(1, who="good"), name="good")  # UID 2 is held everywhere
    mailboxes = [server.mailbox() for server in [*servers, good]]
    result = run(hpfeeds.feed(), mailboxes)
    assert result.code == 0 and result.row("good") == (1, 1, 0, "ok"), result
    expected = spam(1, who="good")
    for server in servers:
        assert result.row(server.name) == (3, 2, 1, "ok"), result
        assert server.connections == (3 if server.name.endswith("True") else 2)
        assert server.inbox.flags() == {1: {"\\Seen"}, 2: set(), 3: {"\\Seen"}}
        expected += [mail.body for mail in server.inbox.mails if mail.uid != 2]
    assert hpfeeds.bodies() == once(expected)
    assert "a body of 4294967296 bytes" in result.err
    assert {kind for kind, _ in result.recorded().values()} == {"delivered", "held"}

    # They are tried again: when all others are through, and new mail is not held up.
    for server in servers:
        server.inbox.add(b"new in " + server.name.encode())
    result = run(hpfeeds.feed(), mailboxes)
    assert result.code == 0, result
    for server in servers:
        assert result.row(server.name) == (2, 1, 1, "ok"), result
        expected.append(b"new in " + server.name.encode())
        server.inbox.mail(2).answer = None
        expected.append(server.inbox.mail(2).body)
    result = run(hpfeeds.feed(), mailboxes)
    assert result.code == 0 and hpfeeds.bodies() == once(expected), result
    assert all(server.inbox.mail(2).flags == {"\\Seen"} for server in servers)


def test_many_literals_that_cannot_be(imap, hpfeeds, run):
    """Each costs a connection once; later runs try but one of them."""
    mails = spam(30)
    server = imap(mails)
    bad = (3, 4, 11, 20, 29)
    for uid in bad:
        server.inbox.mail(uid).answer = announce("{4294967296}")
    server.inbox.mail(bad[1]).size_answer = announce("{-1}")
    result = run(hpfeeds.feed(), [server.mailbox()])
    assert result.code == 0 and result.row("trap") == (30, 25, 5, "ok"), result
    assert server.connections == 1 + len(bad)
    expected = [mail.body for mail in server.inbox.mails if mail.uid not in bad]
    assert hpfeeds.bodies() == once(expected)
    for number in range(3):
        server.inbox.add(b"new %d" % number)
        server.connections = 0
        result = run(hpfeeds.feed(), [server.mailbox()])
        assert result.code == 0 and result.row("trap") == (2, 1, 1, "ok"), result
        assert server.connections == 2
        expected.append(b"new %d" % number)
        assert hpfeeds.bodies() == once(expected)


# --- codes that mean something elsewhere ---------------------------------------------------------

CODES = """
ALERT; ALREADYEXISTS; APPENDUID 1 1; AUTHENTICATIONFAILED; AUTHORIZATIONFAILED; BADCHARSET (X);
BADEVENT (X); BADURL "x"; CANNOT; CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED; CAPABILITY; CLIENTBUG;
CLOSED; COMPRESSIONACTIVE; CONTACTADMIN; COPYUID 1 1:99999999 1:99999999; COPYUID 0 * 1; CORRUPTION;
EXPIRED; EXPUNGEISSUED; HASCHILDREN; HIGHESTMODSEQ 99999999999999999999; INUSE; LIMIT; MAILBOXID (x);
METADATA MAXSIZE -1; MODIFIED 1:*; NEWNAME a b; NOMODSEQ; NONEXISTENT; NOPERM; NOTIFICATIONOVERFLOW;
NOTSAVED; NOUPDATE "x"; OVERQUOTA; PARSE; PERMANENTFLAGS (; PRIVACYREQUIRED;
REFERRAL imap://127.0.0.1:@/INBOX; SERVERBUG; TEMPFAIL; THROTTLED; TOOBIG; TRYCREATE; UIDNEXT 0;
UIDNEXT x; UNAVAILABLE; UNKNOWN-CTE; UNSEEN 4294967296; URLMECH INTERNAL; USEATTR; WEBALERT x;
X{}; ; (; "; \\; %s%s%n; \x1b[31m; \x80\xff
"""


def test_every_code_on_every_command(imap, hpfeeds, run):
    """On the OK of each command, and untagged before it: the commands are done all the same, no
    mail is lost or doubled, and no referral is followed."""
    elsewhere = socket.create_server(("127.0.0.1", 0))
    servers = []
    for number, code in enumerate(CODES.split(";")):
        code = code.strip().replace("@", str(elsewhere.getsockname()[1]))
        server = imap(spam(3, who=f"code{number}"), name=f"code{number}")
        server.folders["Done"] = Folder()
        server.code = code.encode("latin-1")

        def answer(s, command):
            s.send(b"* OK [", s.server.code, b"] and\r\n* NO [", s.server.code, b"] and\r\n")
            s.ok = lambda command, text="": s.send(
                f"{command.tag} OK [".encode(), s.server.code, b"] " + text.encode(), b"\r\n")
            return DEFAULT
        for name in ("AUTHENTICATE", "ID", "SELECT", "UID SEARCH", "UID FETCH", "UID MOVE", "NOOP",
                     "LOGOUT", "CAPABILITY"):
            server.on(name, answer)
        servers.append(server)
    result = run(hpfeeds.feed(), [server.mailbox(after={"move": "Done"}) for server in servers])
    assert result.code == 0 and plain(result.out) and plain(result.err), result
    assert hpfeeds.bodies() == once(mail.body for server in servers
                                    for mail in server.folders["Done"].mails)
    for server in servers:
        assert not server.inbox.mails and len(server.folders["Done"].mails) == 3, server.code
    elsewhere.settimeout(0)
    with pytest.raises(BlockingIOError):
        elsewhere.accept()


# --- what is told, and is not so -----------------------------------------------------------------


def test_a_pass_looks_at_each_folder_once(imap, hpfeeds, run):
    """Whatever is told of the other one with each that is opened: else it would go on for as long
    as the server likes."""
    server = imap()
    server.folders["Other"] = Folder()
    number = itertools.count(100)

    def select(s, command):
        other = "INBOX" if "Other" in command.args.decode() else "Other"
        s.send(f'* STATUS "{other}" (UIDNEXT {next(number)})\r\n')
        return DEFAULT
    server.on("SELECT", select)
    result = run(hpfeeds.feed(), [server.mailbox(folders=["INBOX", "Other"])])
    assert result.code == 0 and server.names().count("SELECT") == 2, (result, server.names())


def test_mails_that_are_not_given_out_fill_nothing(imap, hpfeeds, live, run):
    """Each is held, on record and in the log: as many as come, and some, and so many lines. They
    come when they are given out."""
    server = imap(spam(600))
    for mail in server.inbox.mails:
        mail.size = 1 << 20  # so it says, and is asked for one at a time

    def refuse(s, command):
        mails, items, _ = s._mails(command)
        if "BODY" not in items:
            return DEFAULT
        given = [(seq, mail) for seq, mail in mails if mail.uid % 10 == 0]
        for seq, mail in given:
            s.send_body(mail, seq)
        (s.ok if given else s.no)(command, "not that one: " + "x" * 200)
    server.on("UID FETCH", refuse)
    collector = live(hpfeeds.feed(), [server.mailbox()])
    server.wait_for(lambda: len(server.logins()) > 1)  # the first had enough
    recorded = collector.recorded()
    held = sum(kind == "held" for kind, _ in recorded.values())
    given = len(recorded) - held
    assert 100 < held <= given + 120 * len(server.logins()), (held, given, server.logins())
    assert collector.stop().code == 0 and len(collector.lines) < 110, len(collector.lines)
    assert re.search("[0-9]+ more lines about it were left out", collector.err), collector.lines[-5:]
    then_well(hpfeeds, run, [server])


# --- names ---------------------------------------------------------------------------------------

NAMES = ["../../../x", "/etc/passwd", "C:\\x", "a\0b", "a\r\nzz99 LOGOUT\r\n", "x" * 65536, "\x80\xff",
         "%2e%2e/x", "&AC4ALg-/x", '"', "\\", "{3}", "*", "%", "", " "]


def test_folder_names_go_back_as_they_came(imap, hpfeeds, start, tmp_path):
    """The server names its own junk folder. No file is touched, and no command is made of it."""
    servers = []
    for number, name in enumerate(NAMES):
        data = name.encode("latin-1")
        server = imap(name=f"name{number}")
        server.listed = b'* LIST (\\Junk) "/" {%d}\r\n%b\r\n' % (len(data), data)
        server.on("LIST", lambda s, c: s.send(s.server.listed) or s.ok(c))
        for command in ("SELECT", "STATUS"):
            server.on(command, lambda s, c: s.no(c, "[NONEXISTENT] no such folder"))
        servers.append(server)
    result = start(hpfeeds.feed(), [server.mailbox(folders=["\\Junk"]) for server in servers]).wait()
    assert result.code == 1 and plain(result.out) and plain(result.err), result
    known = {"AUTHENTICATE", "ID", "LIST", "SELECT", "UID SEARCH", "LOGOUT"}
    for server, name in zip(servers, NAMES):
        assert set(server.names()) <= known, (name, server.names())
        assert server.connections <= 3, name
        for selected in server.sent("SELECT"):
            text = selected.partition("\r\n")[2] if selected.startswith("{") else \
                re.sub(r"\\(.)", r"\1", selected[1:-1] if selected[0] == '"' else selected)
            assert text == name or not text.isascii(), (name, selected)
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert all(re.fullmatch(r"feed\.yml|mailboxes\.yml|state\.db.*", name) for name in files), files


@pytest.mark.parametrize("size", [MEGA, 65000, 2000])
def test_a_name_of_a_megabyte(imap, hpfeeds, run, size):
    """It would stand in each line of the log, and in the state, under another name each time."""
    server, good = imap(), imap(spam(1), name="good")
    server.on("LIST", lambda s, c: s.send(b'* LIST (\\Junk) "/" "' + b"x" * size + b'"\r\n')
              or s.ok(c))
    result = run(hpfeeds.feed(), [server.mailbox(folders=["\\Junk"]), good.mailbox()],
                 "--log-level", "debug")
    assert result.code == 1 and "\\Junk" in result.row("trap")[3], result
    assert max(map(len, result.err.splitlines())) < 1000
    assert result.row("good")[3] == "ok" and "SELECT" not in server.names()


# --- CR, LF and NUL in the configuration ---------------------------------------------------------

INJECTED = "a\r\nzz99 LOGOUT\r\nb"
CONFIGURED = {
    "username": {"username": INJECTED},
    "username, NUL": {"username": "a\0b"},
    "password": {"password": INJECTED},
    "password, LF alone": {"password": "a\nb"},
    "password, CR alone": {"password": "a\rb"},
    "folder": {"folders": [INJECTED]},
    "folder, NUL": {"folders": ["a\0b"]},
    "move": {"after": {"move": INJECTED}},
    "keyword": {"after": {"keyword": INJECTED}},
    "keyword, two": {"after": {"keyword": "a b"}},
    "name": {"name": INJECTED},
    "host": {"host": INJECTED},
}
COMMANDS = {"CR": "a\\rzz99 LOGOUT\\r", "NUL": "a\\0b"}


def test_nothing_of_the_configuration_becomes_a_command(imap, hpfeeds, run):
    server = imap(spam(1))

    def reported(entries):
        text = "".join(f"- {json.dumps(entry)}\n" for entry in entries)
        result = run(hpfeeds.feed(), text)
        assert result.code == 78 and plain(result.err) and "same account" not in result.err, result
        return [f"mailboxes.yml:{line}:" in result.err for line in range(1, len(entries) + 1)]
    entries = [server.mailbox(**{"name": name, "username": name, **change})
               for name, change in CONFIGURED.items()]
    assert all(reported(entries)), dict(zip(CONFIGURED, reported(entries)))
    entries = [server.mailbox(name=name, username=name, password_command=["printf", words])
               for name, words in COMMANDS.items()]
    for entry in entries:
        del entry["password"]
    assert all(reported(entries)), dict(zip(COMMANDS, reported(entries)))
    for channel in (INJECTED, "a\0b"):
        result = run(hpfeeds.feed(channels=[channel]), [server.mailbox()])
        assert result.code == 78 and "feed.yml:1:" in result.err, result
    assert server.connections == 0 and not hpfeeds.links


# --- what is shown -------------------------------------------------------------------------------

SHOWN = b"\x1b[2J\x1b]0;owned\x07\r\x08\x9b31m\xff\xc3\xe2\x80\xae\x00 " + b"x" * 3000
PLACES = {
    "greeting": lambda s, text: setattr(
        s, "greeting", lambda s: s.send(b"* BYE " + text + b"\r\n") or s.close()),
    "no greeting": lambda s, text: setattr(s, "greeting", lambda s: s.send(text + b"\r\n")),
    **{name: lambda s, text, name=name: s.on(name, lambda s, c: s.send(
        f"{c.tag} NO ".encode() + text + b"\r\n"))
       for name in ("AUTHENTICATE", "ID", "SELECT", "UID SEARCH", "UID FETCH", "UID STORE",
                    "LOGOUT")},
    "bad": lambda s, text: s.on("SELECT", lambda s, c: s.send(
        f"{c.tag} BAD [X".encode() + text + b"] " + text + b"\r\n")),
    "bye": lambda s, text: s.on("UID SEARCH", lambda s, c: s.send(b"* BYE " + text + b"\r\n")
                                or s.close()),
    "alert": lambda s, text: s.on("SELECT", lambda s, c: s.send(
        b"* OK [ALERT] " + text + b"\r\n") or DEFAULT),
    "unknown": lambda s, text: s.on("SELECT", lambda s, c: s.send(text + b"\r\n") or DEFAULT),
    "id": lambda s, text: s.on("ID", lambda s, c: s.send(
        b'* ID ("name" {%d}\r\n%b "version" NIL)\r\n' % (len(text), text)) or s.ok(c)),
}


@pytest.mark.parametrize("form", ["text", "json"])
def test_servers_do_not_write_on_the_terminal(imap, hpfeeds, run, form):
    servers = []
    for name, arrange in PLACES.items():
        servers.append(imap(spam(1), name=name.replace(" ", "-")))
        arrange(servers[-1], SHOWN.replace(b"\r", b""))
    result = run(hpfeeds.feed(), [server.mailbox() for server in servers], "--log-level", "debug",
                 "--log-format", form)
    assert result.code == 1 and plain(result.out) and plain(result.err), result
    assert "owned" in result.err and max(map(len, result.err.splitlines())) < 2000
    if form == "json":
        assert all(json.loads(line) for line in result.err.splitlines())
