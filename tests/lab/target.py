"""A tape target as a process of its own on loopback: start, stop, change cartridges, damage them. Base of `istgt`, `tgt` and `mhvtl`.

Everything lives in one directory: configuration, log, cartridges, `target.json` with the process id and the ports. Any
initiator on 127.0.0.1 may log in. No system service, no shared state. On the command line: `python3 -m tests.lab.istgt -h`.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

MIB = 1 << 20
DEFAULT_MIB = 1024
_STOP_S = 10


def free_ports(count: int) -> list:
    """TCP ports that nothing on 127.0.0.1 listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Target:
    """`directory` holds all of it. `url` is what an initiator logs in to."""

    name = ""
    programs = ()  # what must be installed
    package = ""
    start_s = 10  # after so long without an answer the start has failed
    stop_signals = (signal.SIGTERM, signal.SIGKILL)

    def __init__(self, directory):
        self.directory = Path(directory).resolve()
        self._state = self.directory / "target.json"

    @classmethod
    def missing(cls) -> str:
        """Why this target cannot be started here, or "". Daemons lie in sbin, which is not on everybody's path."""
        lost = [program for program in cls.programs if not Path("/usr/sbin", program).exists()]
        return "%s not installed (Debian package %s)" % (", ".join(lost), cls.package) if lost else ""

    # For the target at hand

    def format(self, path: Path, size_mib: int) -> None:
        """Make an empty cartridge, a file or a folder."""
        raise NotImplementedError

    def blocks(self, path: Path):
        """Yield (address, is_filemark, offset of the data in `data_file`, length) of what is recorded."""
        raise NotImplementedError

    def data_file(self, path: Path) -> Path:
        """Where the contents of the blocks of a cartridge are."""
        return path

    def _command(self, state: dict, cartridge: Path) -> list:
        """Write the configuration; argument list of the daemon in the foreground."""
        raise NotImplementedError

    def _environment(self) -> dict:
        return dict(os.environ)

    def _configure(self, state: dict, cartridge: Path) -> None:
        """After the start."""

    def _url(self, state: dict) -> str:
        raise NotImplementedError

    def eject(self) -> None:
        """Take the cartridge out, by the operator's hand."""
        raise NotImplementedError

    def insert(self, cartridge: str, protected: bool = False) -> None:
        """Put `cartridge` (a name) in; whatever is in the drive comes out."""
        raise NotImplementedError

    # The same for all

    @property
    def state(self) -> dict:
        """{"pid", "ports", "cartridge"}. Raises FileNotFoundError when it was not started."""
        return json.loads(self._state.read_text())

    @property
    def url(self) -> str:
        return self._url(self.state)

    def path(self, cartridge: str) -> Path:
        return self.directory / (cartridge + ".tape")

    def new(self, cartridge: str, size_mib: int = DEFAULT_MIB) -> Path:
        """A formatted, empty cartridge, not yet in the drive."""
        path = self.path(cartridge)
        _remove(path)
        self.format(path, size_mib)
        return path

    def start(self, cartridge: str = "first", size_mib: int = DEFAULT_MIB, ports: list = None) -> str:
        """Start with `cartridge` in the drive, formatted if it does not exist. Gives the URL."""
        if self.missing():
            raise FileNotFoundError(self.missing())
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.path(cartridge).exists():
            self.new(cartridge, size_mib)
        state = {"ports": ports or free_ports(2), "cartridge": cartridge}
        arguments = self._command(state, self.path(cartridge))
        with open(self.directory / "log", "ab") as log:
            process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                env=self._environment(), start_new_session=True,
            )  # fmt: skip
        self._save(dict(state, pid=process.pid))
        self._wait_until_up(process)
        self._configure(state, self.path(cartridge))
        (self.directory / "url").write_text(self.url)
        return self.url

    def restart(self) -> None:
        """As if the drive lost power: the same cartridge, the same address, every session gone."""
        state = self.state
        self.stop()
        self.start(state["cartridge"], ports=state["ports"])

    def _save(self, state: dict) -> None:
        self._state.write_text(json.dumps(state))

    def _now_in_drive(self, cartridge: str) -> None:
        self._save(dict(self.state, cartridge=cartridge))

    def _wait_until_up(self, process) -> None:
        deadline = time.monotonic() + self.start_s
        while process.poll() is None and time.monotonic() < deadline:
            if self._is_up():
                return
            time.sleep(0.02)
        log = (self.directory / "log").read_text(errors="replace")[-2000:]
        self.stop()
        raise RuntimeError("%s did not start in %s:\n%s" % (self.name, self.directory, log))

    def _is_up(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.state["ports"][0])) == 0

    def stop(self) -> None:
        """End the process that `start` began, and wait for it. Harmless when it is gone."""
        if not self._state.exists():
            return
        pid = self.state["pid"]
        self._state.unlink()
        if self.name not in _command_line(pid):
            return  # the number belongs to somebody else by now
        for number in self.stop_signals:
            if _signal_and_wait(pid, number):
                return
        raise RuntimeError("%s: process %d does not end" % (self.name, pid))

    def blank(self, size_mib: int = DEFAULT_MIB) -> str:
        """A new empty cartridge in the drive; the one before is deleted. Gives its name."""
        old = self.state["cartridge"]
        name = "a" if old == "b" else "b"
        self.new(name, size_mib)
        self.insert(name)
        if old != name:
            _remove(self.path(old))
        return name

    def protect(self) -> None:
        """Slide the write protection of the cartridge in the drive."""
        self.insert(self.state["cartridge"], protected=True)

    def damage(self, first: int, count: int) -> None:
        """Invert all bytes of `count` tape blocks of the cartridge in the drive, from address `first`, behind the drive's back."""
        damage(self, self.path(self.state["cartridge"]), first, count)


def _remove(cartridge: Path) -> None:
    if cartridge.is_dir():
        shutil.rmtree(cartridge)
    cartridge.unlink(missing_ok=True)


def damage(target, path, first: int, count: int) -> None:
    """Invert the data of tape blocks `first` .. `first + count - 1` in cartridge file `path`. Addresses count filemarks too.

    Raises ValueError if fewer blocks are there.
    """
    left = count
    with open(target.data_file(Path(path)), "r+b", buffering=0) as file:
        for address, is_mark, offset, length in target.blocks(Path(path)):
            if first <= address < first + count:
                left -= 1
                if not is_mark:
                    data = os.pread(file.fileno(), length, offset)
                    os.pwrite(file.fileno(), bytes(255 - byte for byte in data), offset)
    if left:
        raise ValueError("%s: %d of the blocks %d to %d are not recorded" % (path, left, first, first + count - 1))


def _command_line(pid: int) -> str:
    try:
        return Path("/proc/%d/cmdline" % pid).read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _signal_and_wait(pid: int, number: int) -> bool:
    """True once the process is gone. It may be a child of ours or not."""
    deadline = time.monotonic() + _STOP_S
    try:
        os.killpg(pid, number)  # a session of its own: tgtd has a second process, which holds its lock
        while _members(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.waitpid(pid, os.WNOHANG)
    except (ProcessLookupError, ChildProcessError):
        pass
    return not _members(pid)


def _members(group: int) -> list:
    """Living processes of a process group; field 3 of stat is the state, 5 the group. Ref: proc(5)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(path.parent.name)
    return found


# verb: (help, arguments (name, type, default), what it does)
VERBS = {
    "start": ("start, print the URL", (("size_mib", int, DEFAULT_MIB),), lambda t, a: print(t.start(size_mib=a.size_mib))),
    "stop": ("stop", (), lambda t, a: t.stop()),
    "restart": ("stop and start again", (), lambda t, a: t.restart()),
    "url": ("print the URL", (), lambda t, a: print(t.url)),
    "blank": ("put a new cartridge in", (("size_mib", int, DEFAULT_MIB),), lambda t, a: t.blank(a.size_mib)),
    "insert": ("put a cartridge in by name", (("cartridge", str, None),), lambda t, a: t.insert(a.cartridge)),
    "eject": ("take the cartridge out", (), lambda t, a: t.eject()),
    "reload": ("put the same cartridge in again", (), lambda t, a: t.insert(t.state["cartridge"])),
    "protect": ("write-protect the cartridge in the drive", (), lambda t, a: t.protect()),
    "damage": ("corrupt tape blocks", (("first", int, None), ("count", int, None)), lambda t, a: t.damage(a.first, a.count)),
}


def main(kind) -> None:
    """Command line of a Target class."""
    parser = argparse.ArgumentParser(description=kind.__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, (text, arguments, _) in VERBS.items():
        sub = verbs.add_parser(verb, help=text)
        sub.add_argument("directory")
        for name, of, default in arguments:
            sub.add_argument(name, type=of, default=default, nargs=None if default is None else "?")
    given = parser.parse_args()
    try:
        VERBS[given.verb][2](kind(given.directory), given)
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit("%s: %s" % (kind.name, error))
