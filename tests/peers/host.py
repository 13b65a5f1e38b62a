"""A bad day of the host that imap-collector runs on: see host_faults.c."""
import errno
import os
import pathlib
import subprocess


class Host:
    """self.env is for a program's environment; the faults may change while it runs."""

    def __init__(self, directory, path):
        """Faults of the disk hit the files whose path begins with `path`."""
        directory = pathlib.Path(directory)
        library = directory / "host_faults.so"
        source = pathlib.Path(__file__).with_name("host_faults.c")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
        self._control = directory / "host_faults"
        self._control.write_bytes(bytes(256))
        # The library is there before the sanitizers' own, which it does not disturb.
        sanitizer = os.environ.get("ASAN_OPTIONS", "")
        self.env = {"LD_PRELOAD": str(library), "HOST_FAULTS": str(self._control),
                    "HOST_FAULTS_PATH": str(path),
                    "ASAN_OPTIONS": f"{sanitizer}:verify_asan_link_order=0"}

    def _set(self, text):
        with open(self._control, "r+b", buffering=0) as control:
            control.write(text.encode().ljust(256, b"\0"))

    def well(self):
        self._set("")

    def fail(self, error):
        """Writes and syncs fail, for example with errno.ENOSPC."""
        assert error in errno.errorcode
        self._set(f"error={error}")

    def slow(self, milliseconds):
        """Each sync takes so long."""
        self._set(f"slow={milliseconds}")

    def fail_locks(self, error):
        """Files cannot be locked, as on some network file systems."""
        assert error in errno.errorcode
        self._set(f"lock={error}")

    def set_clock(self, seconds):
        """The wall clock is so much ahead of the true time."""
        self._set(f"clock={seconds}")
