"""A PC of `build.py run` and of the tests: the real agent program with a state directory of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.chain.compare import differences
from tests.chain.report import StepFailed

_ROOT = Path(__file__).resolve().parents[2]


class Pc:
    """`run` starts `bobbin WORDS --json`; progress bars go to this terminal."""

    def __init__(self, name: str, state: Path):
        self.name = name
        self._state = state

    def _start(self, words, **options) -> subprocess.Popen:
        if words[0] == "backup":
            words = (*words, "--write-free", "0")  # what the tests write is complete
        command = [sys.executable, "-B", "-m", "agent_pc.cli", words[0], "--state", str(self._state), "--json", *words[1:]]
        return subprocess.Popen(command, cwd=_ROOT, text=True, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"), **options)

    def start(self, *words: str) -> subprocess.Popen:
        """The command, running; what it prints is dropped."""
        return self._start(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def run(self, *words: str, expect=(0,), errors=None) -> dict:
        """The command's JSON document. Raises StepFailed on any other exit status than `expect`.

        What it says on standard error comes here, or goes to the open file `errors`.
        """
        with self._start(words, stdout=subprocess.PIPE, stderr=errors) as agent:
            try:
                output = agent.communicate()[0]
            except BaseException:
                agent.kill()
                raise
        if agent.returncode not in expect:
            raise StepFailed("bobbin %s on %s: exit status %d" % (" ".join(words), self.name, agent.returncode))
        return json.loads(output.splitlines()[-1]) if output.strip() else {}

    def pair(self, box) -> "Pc":
        """With the appliance `box` (tests.lab.appliance), at whose console somebody is logged in."""
        assert box.json("client add " + self.name)["ok"]
        self.run("pair", box.json("client pair " + self.name)["code"], "--host", "127.0.0.1:%d" % box.port)
        return self

    def restores(self, source: Path, back: Path, view: int, *words: str) -> dict:
        """Restore a view of `source` into a new folder `back`, and assert that it equals `source`."""
        shutil.rmtree(back, ignore_errors=True)
        done = self.run("restore", "--to", str(back), "--view", str(view), *words)
        assert differences(str(source), str(back) + str(source)) == []
        return done
