"""bench/chaos, some half a minute of it with each way of confirming: nothing lost, altered, marked and not delivered, or sent
twice without a cause. A failure prints the seed."""
import os
import subprocess
import sys

import pytest

from peers.process import BUILD, REPOSITORY, share


@pytest.mark.parametrize("seed", share([1, 2]))
def test_chaos(seed, tmp_path):
    done = subprocess.run(
        [sys.executable, REPOSITORY / "bench" / "chaos", "--seed", str(seed), "--minutes", "0.4",
         "--build", BUILD, "--keep", tmp_path / "kept"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)
    assert done.returncode == 0, done.stdout
