"""bench/confirm, some kills of it: where a confirmation must never lie, it does not."""
import os
import subprocess
import sys

from peers.process import BUILD, REPOSITORY

WAYS = (["--confirm", "echo"], ["--confirm", "echo", "--proxy"],
        ["--confirm", "close", "--grace", "0.05"])


def test_no_false_confirmations():
    runs = [subprocess.Popen(
        [sys.executable, REPOSITORY / "bench" / "confirm", "--seed", str(seed), "--kills", "3",
         "--hang", "0.2", "--build", BUILD, *way],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)
        for seed, way in enumerate(WAYS)]
    for run in runs:
        out, _ = run.communicate()
        assert run.returncode == 0 and "mails falsely confirmed 0\n" in out, out
