"""Whoever took a program over: what that can do from inside (intruder.c)."""
import errno
import os
import pathlib
import re
import signal
import time

from peers.process import BUILD, program

# How each deed ends within the fences: those on files by Landlock but for truncate(), the others by
# seccomp.
FENCED = {"read": errno.EACCES, "write": errno.EACCES, "make": errno.EACCES, "empty": errno.EPERM,
          "remove": errno.EACCES, "bind": errno.EPERM, "listen": errno.EPERM,
          "service": errno.EPERM, "netlink": errno.EPERM, "signal": errno.EPERM,
          "trace": errno.EPERM, "run": errno.EPERM}


class Intruder:
    """`env` is for the program's environment, `file` what it must not reach."""

    def __init__(self, directory):
        self.file = pathlib.Path(directory) / "elsewhere" / "file"
        self.file.parent.mkdir()
        self.file.write_text("nobody's business")
        # It is there before the sanitizers' own library, which it does not disturb.
        options = os.environ.get("ASAN_OPTIONS", "")
        self.env = {"LD_PRELOAD": str(BUILD / "tests" / "peers" / "intruder.so"),
                    "INTRUDER": str(self.file),
                    "ASAN_OPTIONS": f"{options}:verify_asan_link_order=0"}

    def act(self, process, said):
        """What came of it, by deed; `said()` is what the program wrote on standard error."""
        process.send_signal(signal.SIGUSR2)
        deadline = time.monotonic() + 60
        while "intruder: over" not in said():
            assert time.monotonic() < deadline and process.poll() is None, said()
            time.sleep(0.01)
        return {what: int(error) for what, error in
                re.findall(r"^intruder: (\w+) (\d+)$", said(), re.MULTILINE)}

    def is_kept_out(self, name, outcomes):
        """Nothing succeeded, and nothing was changed."""
        wanted = dict(FENCED)
        if b"__asan_init" in pathlib.Path(program(name)).read_bytes():
            del wanted["signal"], wanted["trace"]  # which its leak check needs
        met = {what: outcomes[what] for what in wanted}
        assert met == wanted
        assert self.file.read_text() == "nobody's business"
        assert list(self.file.parent.iterdir()) == [self.file]
