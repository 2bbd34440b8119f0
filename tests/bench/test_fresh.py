"""Each restore of the bench gets a filesystem of its own, and nothing of it stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_WORK = """
import os, sys
from pathlib import Path
from tests.bench import fresh
fresh.enter()
folder = Path(sys.argv[1])
with fresh.filesystem(folder, 1 << 20) as target:
    assert list(target.iterdir()) == [] and target.stat().st_dev != folder.stat().st_dev
    (target / "file").write_bytes(b"x" * (1 << 20))
    if len(sys.argv) > 2:
        raise KeyboardInterrupt
with fresh.filesystem(folder, 1 << 20) as target:
    assert list(target.iterdir()) == []
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed to mount")
@pytest.mark.parametrize("stopped", [[], ["stopped"]])
def test_new_each_time_and_nothing_stays(tmp_path, stopped):
    done = subprocess.run([sys.executable, "-c", _WORK, str(tmp_path), *stopped], capture_output=True, text=True)
    if "no mount namespace" in done.stderr or "loop" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert (done.returncode != 0) == bool(stopped), done.stderr
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
