"""The payload encoder against Python's json, hashlib, base64 and bytes.decode(errors="replace").

Needs build/tests/tools/payload-encode; IMAP_COLLECTOR_BUILD names another build directory.
"""

import base64
import hashlib
import itertools
import json
import os
import pathlib
import random
import struct
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("IMAP_COLLECTOR_BUILD", ROOT / "build"))
TOOL = BUILD / "tests" / "tools" / "payload-encode"
CORPUS = ROOT.parent / "shared" / "corpus" / "spam"
UNLIMITED = 1 << 30
JSON, RAW = 0, 1

# Every byte next to a border of Unicode's Table 3-7, and one of each kind of ASCII.
BORDERS = bytes.fromhex(
    "00 0a 0d 1f 20 22 41 5c 7f 80 8f 90 9f a0 bf c0 c1 c2 df e0 e1 ec ed ee ef f0 f1 f3 f4 f5 f8 ff"
)


def expected_payload(mail, kind=JSON):
    if kind == RAW:
        return mail
    text = mail.decode("utf-8", "replace")
    value = {"sha256": hashlib.sha256(mail).hexdigest(), "msg": text}
    if text.encode() != mail:
        value["msg_base64"] = base64.b64encode(mail).decode()
    return json.dumps(value, ensure_ascii=False).encode()


def is_utf8(mail):
    try:
        mail.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def encode(records):
    """Runs the tool over (mail, kind, limit, headroom) and yields what it says about each."""
    data = b"".join(
        struct.pack("<IIII", kind, limit, headroom, len(mail)) + mail
        for mail, kind, limit, headroom in records
    )
    done = subprocess.run([TOOL, "--records"], input=data, stdout=subprocess.PIPE, check=True)
    out, at = done.stdout, 0
    for _ in records:
        size, too_large, utf8, same, length = struct.unpack_from("<IIIII", out, at)
        sha256 = out[at + 20 : at + 84].decode()
        yield size, bool(too_large), bool(utf8), bool(same), sha256, out[at + 84 : at + 84 + length]
        at += 84 + length
    assert at == len(out)


def check(records):
    records = list(records)
    for record, got in zip(records, encode(records), strict=True):
        mail, kind, limit, _ = record
        size, too_large, utf8, same, sha256, payload = got
        expected = expected_payload(mail, kind)
        assert same, f"splitting changes the outcome: {record}"
        assert size == len(expected), record
        assert too_large == (size > limit), record
        assert payload == (b"" if too_large else expected), record
        assert sha256 == hashlib.sha256(mail).hexdigest(), record
        assert utf8 == (kind == RAW or is_utf8(mail)), record


def check_mails(mails):
    check((mail, JSON, UNLIMITED, 0) for mail in mails)


def strip_mbox(mail):
    return mail.split(b"\n", 1)[1] if mail.startswith(b"From ") else mail


MAILS = {
    "empty": b"",
    "plain": b"From: a@example\r\nSubject: hello\r\n\r\nhello\r\n",
    "escapes": bytes(range(0x21)) + b'"\\/\x7f' + "\u0080\u2028\u2029\ufeff\U0001f4e7".encode(),
    "lone line ends": b"a\rb\nc\n\rd\r\r\n\r",
    "latin-1": "Subject: Grüße aus Köln\r\n\r\n".encode("latin-1"),
    "windows-1251": "Привет, мир\r\n".encode("cp1251") * 20,
    "gb2312": "免费发票，请联系\r\n".encode("gb2312") * 20,
    "utf-16": "Subject: x\r\n".encode("utf-16"),
    "valid until the last byte": b"x" * 5000 + b'\r\n"\\\x01' * 500 + "ü€😀".encode() + b"\xe2\x82",
    "escapes before the first invalid byte": bytes(range(32)) * 300 + b"\xff" + bytes(range(32)),
    "all bytes": bytes(range(256)) * 40,
    "quotes": b'"' * 3000,
    "nul": b"\0" * 3000,
}


@pytest.mark.parametrize("name", MAILS)
def test_own_mails(name):
    check_mails([MAILS[name]])


def test_one_mail_without_records():
    mail = MAILS["latin-1"]
    done = subprocess.run([TOOL], input=mail, stdout=subprocess.PIPE, check=True)
    assert done.stdout == expected_payload(mail)
    value = json.loads(done.stdout)
    assert base64.b64decode(value["msg_base64"], validate=True) == mail
    assert hashlib.sha256(mail).hexdigest() == value["sha256"]


def test_every_single_byte_and_pair():
    check_mails(bytes([a]) for a in range(256))
    check_mails(bytes(pair) for pair in itertools.product(range(0x7F, 256), range(256)))


def test_every_triple_of_borders():
    check_mails(bytes(triple) for triple in itertools.product(BORDERS, repeat=3))


def test_sequences_cut_everywhere_before_everything():
    """Each beginning of a four-byte pattern of borders, followed by something that does not fit."""
    leads = bytes.fromhex("c1 c2 df e0 e1 ed ef f0 f1 f3 f4 f5")
    follows = bytes.fromhex("7f 80 8f 90 9f a0 bf c0")
    tails = [b"", b"A", b"\xc3\xa4", b"\x80", b"\xf0\x9f\x93"]
    quads = itertools.product(leads, follows, follows, follows, tails)
    check_mails(b"a" + bytes([a, b, c, d]) + tail for a, b, c, d, tail in quads)


def test_every_code_point():
    points = [chr(p) for p in range(0x110000) if not 0xD800 <= p < 0xE000]
    check_mails("".join(points[i : i + 4096]).encode() for i in range(0, len(points), 4096))
    check_mails(chr(p).encode("utf-8", "surrogatepass") for p in range(0xD800, 0xE000))


def test_every_value_at_every_alignment():
    """What is copied by whole blocks must stop at the right one of their bytes."""
    check_mails(b"x" * before + bytes([byte]) + b"y" * 9 for before in range(17) for byte in range(256))
    check_mails(b"x" * before + bytes([byte]) + b"y" * 130 for before in range(130) for byte in BORDERS)


def random_mail(dice):
    parts = [
        lambda: bytes(dice.choices(BORDERS, k=dice.randrange(6))),
        lambda: dice.randbytes(dice.randrange(6)),
        lambda: b"plain words " * dice.randrange(4),
        lambda: b"\r\n",
        lambda: chr(dice.choice([0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10FFFF])).encode(),
        lambda: "😀ü€".encode()[: dice.randrange(9)],
    ]
    return b"".join(dice.choice(parts)() for _ in range(dice.randrange(12)))


def test_random_mails():
    dice = random.Random(20030228)
    check_mails(random_mail(dice) for _ in range(40_000))


def test_raw_headroom_and_limits():
    """The size is right, and right at its limit, whatever is announced and left free."""
    dice = random.Random(7)
    records = []
    for _ in range(3000):
        mail, kind = random_mail(dice), dice.choice([JSON, RAW])
        size = len(expected_payload(mail, kind))
        limit = max(0, size + dice.choice([-size, -40, -2, -1, 0, 1, 2, 1000]))
        records.append((mail, kind, limit, dice.choice([0, 1, 40, 257])))
    check(records)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_corpus(line_end):
    if not CORPUS.is_dir():
        pytest.skip("no corpus of real spam here")
    mails = [strip_mbox(path.read_bytes()) for path in sorted(CORPUS.glob("*.eml"))]
    check_mails(mail.replace(b"\n", line_end) for mail in mails)
