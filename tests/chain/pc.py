"""A PC of `build.py run`: the real agent program with a state directory of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.chain.report import StepFailed

_ROOT = Path(__file__).resolve().parents[2]


class Pc:
    """`run` starts `bobbin WORDS --json`; progress bars go to this terminal."""

    def __init__(self, name: str, state: Path):
        self.name = name
        self._state = state

    def run(self, *words: str, expect=(0,)) -> dict:
        """The command's JSON document. Raises StepFailed with its error line on any other exit status than `expect`."""
        command = [sys.executable, "-B", "-m", "agent_pc.cli", words[0], "--state", str(self._state), "--json", *words[1:]]
        done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
        if done.returncode not in expect:
            raise StepFailed("bobbin %s on %s: exit status %d" % (" ".join(words), self.name, done.returncode))
        return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}
