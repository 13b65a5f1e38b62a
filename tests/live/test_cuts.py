"""bench/cuts, a few bytes of it: whatever byte a connection is cut behind, the pass ends well, and
nothing is missing or altered."""
import os
import subprocess
import sys

import pytest

from peers.process import BUILD, REPOSITORY, share


@pytest.mark.parametrize("first", share([900, 2399]))
def test_cuts(first):
    done = subprocess.run(
        [sys.executable, REPOSITORY / "bench" / "cuts", "--every", "2998", "--from", str(first),
         "--confirm", "echo", "--build", BUILD],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)
    assert done.returncode == 0, done.stdout
    assert " 0 missing, 0 altered" in done.stdout
