"""A real appliance door for the agent's tests: server process, paired agents, trees to back up and to compare."""

import json
import os
import shlex
import stat
import subprocess
import sys

from agent_pc import state
from agent_pc.cli import main
from agent_pc.session import Session

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Appliance:
    """`tests/agent/serve.py` in a folder. BOBBIN_TEST_PYTHON is another command line of an interpreter."""

    def __init__(self, folder, size_mib: int = 2048):
        self.folder = str(folder)
        interpreter = shlex.split(os.environ.get("BOBBIN_TEST_PYTHON", sys.executable))
        environment = {**os.environ, "PYTHONPATH": _ROOT, "MICROPYPATH": _ROOT + ":.frozen"}
        self.process = subprocess.Popen(
            [*interpreter, os.path.join(_ROOT, "tests/agent/serve.py"), str(folder), str(size_mib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=_ROOT,
        )
        word, number = self.process.stdout.readline().split()
        assert word == "port"
        self.port = int(number)

    def ask(self, line: str) -> str:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def usage(self) -> dict:
        return json.loads(self.ask("usage"))

    def agent(self, name: str, folder) -> "Agent":
        """A new client, paired by the command line."""
        made = Agent(os.path.join(folder, name))
        assert made.run("pair", self.ask(f"client {name}"), "--host", f"127.0.0.1:{self.port}") == 0
        return made

    def close(self) -> None:
        try:
            self.process.communicate("quit\n", timeout=20)
        except (subprocess.TimeoutExpired, BrokenPipeError, ValueError):
            self.process.kill()
            self.process.wait()


class Agent:
    """One state directory and the `bobbin` command on it."""

    def __init__(self, directory: str):
        self.directory = directory

    def run(self, command: str, *arguments) -> int:
        if command == "backup" and "--write-free" not in arguments:
            arguments = (*arguments, "--write-free", 0)  # what the tests write is complete
        return main([command, "--state", self.directory, *map(str, arguments)])

    def session(self) -> Session:
        return Session.open(state.load(self.directory))


def told(capsys, agent: Agent, *arguments) -> tuple:
    """(exit status, JSON document) of a command with --json."""
    capsys.readouterr()
    status = agent.run(*arguments, "--json")
    return status, json.loads(capsys.readouterr().out)


def snapshot(root) -> dict:
    """Everything that a restore must bring back, by relative path."""
    root = os.fsencode(root)
    found, numbers = {}, {}
    for folder, directories, files in os.walk(root):
        for name in [b"."] * (folder == root) + directories + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            row = [stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns]
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    row += [file.read(), numbers.setdefault(status.st_ino, len(numbers)) if status.st_nlink > 1 else None]
            elif stat.S_ISLNK(status.st_mode):
                row.append(os.readlink(path))
            elif not stat.S_ISDIR(status.st_mode):
                row.append(status.st_rdev)
            row.append(
                {key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)}
            )
            found[os.path.relpath(path, root)] = row
    return found
