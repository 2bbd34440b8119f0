"""The meter counts whole process trees, and judges rows by the targets."""

import sys

import pytest

from image.paths import BuildError
from tests.bench import meter, targets

_WORK = """
import os, subprocess, sys
if len(sys.argv) == 1:
    subprocess.run([sys.executable, "work.py", "stored"], check=True)
else:
    kept = bytearray(b"x") * (64 << 20)
    open(sys.argv[1], "wb").write(kept)
    while sum(os.times()[:2]) < 0.5:
        pass
"""


@pytest.fixture
def no_traffic(monkeypatch):
    monkeypatch.setattr(meter.traffic, "counts", lambda: (0, 0))


def test_children_count(tmp_path, no_traffic):
    (tmp_path / "work.py").write_text(_WORK)
    figures = meter.measure([sys.executable, "work.py"], [], tmp_path, tmp_path / "log", cwd=tmp_path)
    assert figures.cpu_agent_s >= 0.5 and figures.cpu_server_s == 0
    assert figures.rss_agent_kb >= 64 << 10
    assert figures.bytes_stored >= 64 << 20


def test_a_failure_is_told(tmp_path, no_traffic):
    with pytest.raises(BuildError, match="exit status 3"):
        meter.measure(["sh", "-c", "exit 3"], [], tmp_path, tmp_path / "log")


def _row(step: str, subject: str, **more) -> dict:
    return {"step": step, "subject": subject, "wall_s": 1.0, "bytes_sent": 0, "rss_server_kb": 1, "rss_agent_kb": 1} | more


def test_targets():
    rows = [
        _row("first", "tar", wall_s=1.0),
        _row("first", "restic", wall_s=4.0),
        _row("first", "borg", wall_s=5.0),
        _row("first", "bobbin", wall_s=2.0),
        _row("pages", "bobbin", bytes_sent=131),
        _row("small", "bobbin", wall_s=0.3, rss_server_kb=50_000),
    ]
    met = {(row["step"], row["figure"]): (row["base"], row["met"]) for row in targets.judge(rows, 100)}
    assert met == {
        ("first", "wall_s"): (4.0, True),  # tar is no peer
        ("pages", "bytes_sent"): (100, False),
        ("small", "wall_s"): (1, False),
        ("", "rss_server_kb"): (1, False),
        ("", "rss_agent_kb"): (1, True),
    }
