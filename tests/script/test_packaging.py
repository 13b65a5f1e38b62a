"""What is installed, and what systemd says of the units."""
import ctypes
import errno
import pathlib
import re
import shutil
import subprocess

import pytest

from peers.fixtures import hpfeeds, imap, live, spam  # noqa: F401
from peers.process import BUILD, REPOSITORY, program

UNITS = ["imap-collector.service", "imap-collector-pass.service", "imap-collector-pass.timer",
         "hpfeeds-broker.service", "hpfeeds-broker.socket"]


@pytest.fixture
def units(tmp_path):
    """The units, with the programs where they were built."""
    for name in UNITS:
        made = BUILD / "packaging" / name
        text = (made if made.exists() else REPOSITORY / "packaging" / name).read_text()
        (tmp_path / name).write_text(re.sub(r"(?m)^(ExecStart=)\S*/", rf"\1{BUILD}/", text))
    return tmp_path


def analyze(*arguments):
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True,
                          text=True, timeout=60)


def test_units_are_well_formed(units):
    result = analyze("verify", "--man=no", *(units / name for name in UNITS))
    assert result.returncode == 0 and not result.stderr, result


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_units_are_locked_down(units, name):
    result = analyze("security", "--offline=true", "--threshold=12", units / name)
    assert result.returncode == 0, result.stdout


def calls(words):
    """The system calls of some words of SystemCallFilter=."""
    for word in words:
        if not word.startswith("@"):
            yield word
            continue
        listed = analyze("syscall-filter", word).stdout.splitlines()[1:]
        yield from calls(line.strip() for line in listed if line.strip() and "#" not in line)


def calls_allowed(unit):
    """Those that systemd lets a service make."""
    allowed = set(calls(["@default"]))
    for line in re.findall(r"(?m)^SystemCallFilter=(.*)$", unit.read_text()):
        if line.startswith("~"):
            allowed -= set(calls(line[1:].split()))
        else:
            allowed |= set(calls(line.split()))
    return allowed


def allow(names):
    """Nothing but these, from now on, as systemd does it."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    filter = ctypes.c_void_p(library.seccomp_init(0x00050000 | errno.EPERM))
    for name in names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number != -1:
            library.seccomp_rule_add(filter, 0x7FFF0000, number, 0)
    assert library.seccomp_load(filter) == 0


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_units_let_fences_be_put_up(units, name):
    """By their own names: in systemd 252 these calls are in none of the groups."""
    words = re.findall(r"(?m)^SystemCallFilter=([^~].*)$", (units / name).read_text())
    assert {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
            "seccomp"} <= set(" ".join(words).split()), words


def test_fences_stand_within_the_unit(units, imap, hpfeeds, live):
    """What systemd lets it do is enough for it to give up more."""
    if b"__asan_init" in pathlib.Path(program("imap-collector")).read_bytes():
        pytest.skip("sanitizers need more")
    names = calls_allowed(units / "imap-collector.service")
    server = imap(spam(1))
    run = live(hpfeeds.feed(), [server.mailbox()], before=lambda: allow(names))
    server.wait_for_idle()
    run.wait_for_log("1 delivered")
    status = pathlib.Path(f"/proc/{run.process.pid}/status").read_text()
    assert "Seccomp_filters:\t2\n" in status, status
    assert run.stop().code == 0 and "stay open to the process" not in run.err, run


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_units_give_options_that_there_are(units, name):
    line = re.search(r"(?m)^ExecStart=(.*)$", (units / name).read_text())[1].split()
    assert line[0] == program("hpfeeds-broker" if "broker" in name else "imap-collector")
    text = subprocess.run([line[0], "--help"], capture_output=True, text=True, check=True).stdout
    for word in line[1:]:
        assert not word.startswith("-") or re.search(rf"  {word}[ ,]", text), word


@pytest.mark.parametrize("name", ["imap-collector", "hpfeeds-broker", "hpfeeds"])
def test_programs_are_hardened(name):
    def read(*command):
        return subprocess.run([*command, program(name)], capture_output=True, text=True,
                              check=True).stdout
    headers = read("readelf", "-Whld")
    assert re.search(r"Type: +DYN", headers) and "GNU_RELRO" in headers, headers
    assert re.search(r"\(FLAGS_1\).*\bNOW\b.*\bPIE\b", headers), headers
    assert re.search(r"GNU_STACK .* RW +0x", headers), headers
    assert not re.search(r"LOAD .* (RWE|WE) ", headers), headers
    symbols = read("readelf", "-Ws")
    assert "__stack_chk_fail" in symbols
    if "__asan_init" not in symbols:
        assert re.search(r"__\w+_chk@", symbols.replace("__stack_chk", "")), symbols
    if "X86-64" in headers:
        assert "endbr64" in read("objdump", "-d", "--no-show-raw-insn", "--disassemble=main")


def test_installation(tmp_path):
    """Programs, man pages, units where a system looks for them."""
    if not shutil.which("meson"):
        pytest.skip("there is no meson")
    subprocess.run(["meson", "install", "-C", str(BUILD), "--no-rebuild", "--quiet",
                    "--destdir", str(tmp_path)], check=True, capture_output=True, timeout=120)
    files = {str(path.relative_to(tmp_path / "usr/local")) for path in tmp_path.rglob("*")
             if path.is_file()}
    assert files >= {"bin/imap-collector", "bin/hpfeeds-broker", "bin/hpfeeds",
                     "share/man/man1/imap-collector.1", "share/man/man1/hpfeeds.1",
                     "share/man/man1/hpfeeds-broker.1", "lib/sysusers.d/imap-collector.conf",
                     "lib/sysusers.d/hpfeeds-broker.conf",
                     "share/doc/imap-collector/docs/configuration.md",
                     *(f"share/bash-completion/completions/{name}" for name in PROGRAMS),
                     *(f"share/zsh/site-functions/_{name}" for name in PROGRAMS),
                     "share/doc/imap-collector/examples/feed_config.yml",
                     *(f"lib/systemd/system/{name}" for name in UNITS)}
    service = (tmp_path / "usr/local/lib/systemd/system/imap-collector.service").read_text()
    assert "ExecStart=/usr/local/bin/imap-collector -c -f /usr/local/etc/imap-collector/" in service
    broker = (tmp_path / "usr/local/lib/systemd/system/hpfeeds-broker.service").read_text()
    assert "ExecStart=/usr/local/bin/hpfeeds-broker --config /usr/local/etc/hpfeeds-broker/" in broker
    assert "User=hpfeeds-broker" in broker and "imap-collector" not in broker
    assert "@hardening@" not in service and "@bindir@" not in service


PROGRAMS = ["hpfeeds", "hpfeeds-broker", "imap-collector"]
COMPLETIONS = REPOSITORY / "packaging" / "completions"


@pytest.mark.parametrize("script", [form.format(name) for name in PROGRAMS
                                    for form in ("{}.bash", "_{}")])
def test_completions_are_complete(script):
    """Every long option that the help has can be completed, and no other."""
    text = (COMPLETIONS / script).read_text()
    help_text = subprocess.run([program(script.removeprefix("_").removesuffix(".bash")), "--help"],
                               capture_output=True, text=True, check=True).stdout
    options = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", help_text, re.M))
    options |= set(re.findall(r"\(also (--[a-z-]+)\)", help_text))
    assert len(options) > 10
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*\b(?!-?\*)", text)) == options


@pytest.mark.parametrize("name, completed", [
    ("hpfeeds", ["--chan"]), ("hpfeeds-broker", ["--config"]),
    ("imap-collector", ["--continuous-fetch", "--check"])])
def test_completion_in_bash(name, completed):
    if not shutil.which("bash"):
        pytest.skip("there is no bash")
    words = subprocess.run(
        ["bash", "-c", f'source "$0"; COMP_WORDS=({name} --c); COMP_CWORD=1; '
         f'_{name.replace("-", "_")}; echo "${{COMPREPLY[@]}}"', COMPLETIONS / f"{name}.bash"],
        capture_output=True, text=True, check=True).stdout.split()
    assert words == completed


def test_completion_in_zsh():
    """That zsh can read them."""
    if not shutil.which("zsh"):
        pytest.skip("there is no zsh")
    for name in PROGRAMS:
        subprocess.run(["zsh", "-n", COMPLETIONS / f"_{name}"], check=True)
