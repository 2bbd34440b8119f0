"""A guarded mount as its own process, as `bobbin guard` runs it."""

import os
import pathlib
import signal
import subprocess
import sys
import time

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_START_S = 30


class Mount:
    """`source`, `path`: directories; `stop` is clean, `kill` is not."""

    def __init__(self, folder, spool_mib: int = 64):
        self.source, self.path, self.state = folder / "source", folder / "mount", folder / "state"
        for directory in (self.source, self.path, self.state):
            directory.mkdir(exist_ok=True)
        self._spool_mib = spool_mib
        self.process = None
        self.start()

    def start(self) -> None:
        words = ["guard", str(self.source), str(self.path), "--state", str(self.state), "--spool-mib", str(self._spool_mib)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent_pc.cli", *words], cwd=_ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        end = time.monotonic() + _START_S
        while not os.path.ismount(os.path.realpath(self.path)):
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise AssertionError(self.process.communicate()[1].decode())
            time.sleep(0.02)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=30) == 0
        self.process.stderr.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        subprocess.run(["umount", "-l", str(self.path)], check=True)

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop()
