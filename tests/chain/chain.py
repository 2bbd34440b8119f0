"""The ten steps of `build.py run`. Each step compares what came back with what went in, and stops the run if it differs."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from image import image, setup
from image.paths import BUILD, BuildError
from tests.chain import compare, corpus
from tests.chain.pc import Pc
from tests.chain.report import Report, StepFailed
from tests.lab.administrator import ConsoleRefused
from tests.lab.appliance import HostAppliance
from tests.lab.box import QemuAppliance
from tests.lab.console import ConsoleTimeout
from tests.lab.istgt import Istgt

FOLDER = BUILD / "run"
_LOST = FOLDER / "lost.txt"
_CARTRIDGE_MIB = 512
_DISK_BYTES = 2 << 30
_FIRST_DAMAGED = 12  # a block well within the image
_WITHIN = 24  # blocks damaged within what the code must correct ...
_BEYOND = 48  # ... and more, next to them, beyond it
_LOST_STATUS = 13


def run(board: str, source: str, report_path: str, keep: bool) -> int:
    """Exit status: 0 only if every comparison held. `board` is "qemu" or "host"."""
    report = Report()
    chain = Chain(report, board, source)
    failure = ""
    try:
        for name, work in chain.steps():
            report.step(name, work)
    except (
        StepFailed,
        ConsoleRefused,
        corpus.CorpusError,
        ConsoleTimeout,
        BuildError,
        OSError,
        RuntimeError,
        ValueError,
    ) as error:
        failure = "%s: %s" % (type(error).__name__, error)
    finally:
        chain.close(keep)
    print("\n" + report.table())
    if report_path:
        report.save(report_path)
    if failure:
        print(
            "\nbuild.py run: step %d, %s: %s\nthe console's log is in build/run/board"
            % (len(report.steps), report.steps[-1]["name"], failure),
            file=sys.stderr,
        )
        return 1
    return 0


def appliance(board: str, folder: Path, image_path: str, tape_url: str):
    """A new appliance with an empty disk: "qemu" boots the flash image, "host" runs the same firmware as a process."""
    if board == "host":
        return HostAppliance(folder, disk_bytes=_DISK_BYTES, tapes=(tape_url,))
    return QemuAppliance(folder, Path(image_path), disk_bytes=_DISK_BYTES, tape=tape_url)


class Chain:
    """State that steps hand on: trees, the appliance, two PCs, the tape target."""

    def __init__(self, report, board: str, source: str):
        self._report = report
        self._board = board
        self._source = source
        self._built = {}
        self._box = None
        self._target = Istgt(FOLDER / "tape")
        self._tree = FOLDER / "pc1" / "files"
        self._first = FOLDER / "first"
        self._second_pc = FOLDER / "pc2"
        self._views = {}

    def steps(self) -> tuple:
        return (
            ("set-up", self._set_up),
            ("flash image", self._image),
            ("power on", self._power_on),
            ("console", self._console),
            ("first backup", self._first_backup),
            ("second backup", self._second_backup),
            ("restore both views", self._restore),
            ("tape, restore from it", self._tape),
            ("damaged tape", self._damage),
            ("power off, on again", self._again),
        )

    def close(self, keep: bool) -> None:
        if self._box:
            self._box.kill()
        self._target.stop()
        if not keep:
            for name in ("pc1", "pc2", "first", "back", "tape"):
                shutil.rmtree(FOLDER / name, ignore_errors=True)
            for name in ("disk.img", "flash.img"):
                (FOLDER / "board" / name).unlink(missing_ok=True)

    # -- steps

    def _set_up(self, row) -> None:
        setup.ensure(("packages", "venv", "rootfs"))
        row["result"] = "%d Debian packages, build/venv, build/rootfs" % len(setup.wanted())
        if FOLDER.exists():
            shutil.rmtree(FOLDER)
        FOLDER.mkdir(parents=True)

    def _image(self, row) -> None:
        self._built = image.build()
        self._report.image = {"bytes": self._built["bytes"], "sha256": self._built["sha256"]}
        row["bytes_stored"] = self._built["bytes"]
        row["result"] = "SHA-256 %s..." % self._built["sha256"][:16]

    def _power_on(self, row) -> None:
        url = self._target.start(size_mib=_CARTRIDGE_MIB)
        self._box = appliance(self._board, FOLDER / "board", self._built["path"], url)
        self._report.boot_s = self._power()
        row["result"] = "ready after %.1f s" % self._report.boot_s

    def _power(self) -> float:
        """Seconds from power on to ready."""
        began = time.monotonic()
        self._box.start(self._box.port)  # the agents know it by its port
        return round(time.monotonic() - began, 2)

    def _console(self, row) -> None:
        self._box.log_in()
        disk = self._box.format_disk()
        self._one = Pc("pc1", FOLDER / "pc1" / "state").pair(self._box)
        self._two = Pc("pc2", FOLDER / "pc2" / "state").pair(self._box)
        row["result"] = "%s formatted; two PCs paired" % disk

    def _first_backup(self, row) -> None:
        corpus.build(self._tree, self._source)
        done = self._backup(self._one, self._tree, row)
        self._views["first"] = done["view"]
        shutil.rmtree(self._first, ignore_errors=True)
        os.makedirs(self._first)
        _copy(self._tree, self._first / "files")
        row["result"] = "%d files, %d MB" % (done["files"], done["bytes"] // 1000000)

    def _backup(self, pc: Pc, tree: Path, row) -> dict:
        done = pc.run("backup", str(tree), "--progress", "always")
        if done["failed"]:
            raise StepFailed("%d files were not backed up, first %s" % (len(done["failed"]), done["failed"][0]))
        row["bytes_sent"] += done["bytes_sent"]
        row["bytes_stored"] += done["stored_bytes"]
        return done

    def _second_backup(self, row) -> None:
        idle = self._backup(self._one, self._tree, row)
        _expect(idle["bytes_sent"] < 4096, "an unchanged tree sent %d bytes" % idle["bytes_sent"])
        changes = corpus.change(self._tree)
        done = self._backup(self._one, self._tree, row)
        self._views["second"] = done["view"]
        _expect(done["deleted"] >= changes["deleted"], "%d files deleted, %d noticed" % (changes["deleted"], done["deleted"]))
        limit = 2 << 20
        _expect(done["bytes_sent"] < limit, "a changed tree sent %d bytes, expected less than %d" % (done["bytes_sent"], limit))
        corpus.second_pc(self._first / "files", self._second_pc / "files")
        other = self._backup(self._two, self._second_pc / "files", row)
        _expect(
            other["bytes_sent"] < other["bytes"] // 20,
            "the second PC sent %d bytes for %d that the first had sent" % (other["bytes_sent"], other["bytes"]),
        )
        row["result"] = "nothing: %d, changes: %d, second PC with %d MB of the same: %d bytes" % (
            idle["bytes_sent"],
            done["bytes_sent"],
            other["bytes"] // 1000000,
            other["bytes_sent"],
        )

    def _restore(self, row) -> None:
        self._give_back(self._one, self._tree, "first", self._first / "files")
        self._give_back(self._one, self._tree, "second", self._tree)
        self._give_back(self._two, self._second_pc / "files", "", self._second_pc / "files")
        row["result"] = "three views equal in every byte and in metadata"

    def _give_back(self, pc: Pc, place: Path, view: str, expected: Path, *words: str, status: int = 0) -> dict:
        """Restore into an empty folder and compare; with a `status` for lost files these are left out of the comparison."""
        back = FOLDER / "back"
        shutil.rmtree(back, ignore_errors=True)
        chosen = ["--view", str(self._views[view])] if view else []
        with contextlib.ExitStack() as stack:
            # Files that are lost by the thousand are named in a file, not here.
            errors = stack.enter_context(open(_LOST, "w")) if status else None
            done = pc.run(
                "restore", "--to", str(back), "--progress", "always", *chosen, *words, expect=(status,), errors=errors
            )
        lost = {os.path.relpath(item["path"], place) for item in done["failed"]}
        found = compare.differences(str(expected), str(back) + str(place), without=lost)
        if found:
            raise StepFailed("%d differences, first: %s" % (len(found), found[0]))
        shutil.rmtree(back)
        return done

    def _tape(self, row) -> None:
        self._box.ask("tape label weekly-1")
        made = self._box.ask("tape backup")
        self._box.ask("tape verify")
        self._box.ask("tape eject")
        self._insert_and_mount()
        self._give_back(self._one, self._tree, "first", self._first / "files", "--source", "tape")
        row["bytes_stored"] = made.get("bytes", 0)
        row["result"] = "verified, ejected, loaded, mounted; restored from the tape alone"

    def _insert_and_mount(self) -> None:
        self._target.insert(self._target.state["cartridge"])
        self._box.ask("tape load")
        self._box.ask("tape mount")

    def _damage(self, row) -> None:
        self._damage_and_mount(_FIRST_DAMAGED, _WITHIN)
        self._give_back(self._one, self._tree, "second", self._tree, "--source", "tape")
        self._damage_and_mount(_FIRST_DAMAGED + _WITHIN, _BEYOND)
        done = self._give_back(self._one, self._tree, "second", self._tree, "--source", "tape", status=_LOST_STATUS)
        _expect(done["failed"] and done["files"], "%d files lost, %d restored" % (len(done["failed"]), done["files"]))
        lines = [line for line in _LOST.read_text(errors="replace").splitlines() if line.startswith("bobbin: ")]
        print("\n".join(lines[:3] + ["... and %d more, all of them in build/run/lost.txt" % (len(lines) - 3)]))
        row["result"] = "%d blocks: corrected; %d more: %d files lost by name, %d restored" % (
            _WITHIN,
            _BEYOND,
            len(done["failed"]),
            done["files"],
        )

    def _damage_and_mount(self, first: int, count: int) -> None:
        self._box.ask("tape unmount")
        self._box.ask("tape eject")
        self._target.damage(first, count)
        self._insert_and_mount()

    def _again(self, row) -> None:
        self._box.ask("tape unmount")
        self._box.stop()
        seconds = self._power()
        self._box.log_in()
        listed = {view["view"] for view in self._one.run("views")["views"]}
        _expect(set(self._views.values()) <= listed, "views %s, found %s" % (sorted(self._views.values()), sorted(listed)))
        self._give_back(self._one, self._tree, "second", self._tree)
        self._box.stop()
        row["result"] = "ready after %.1f s, every view there" % seconds


def _expect(holds: bool, text: str) -> None:
    if not holds:
        raise StepFailed(text)


def _copy(source: Path, target: Path) -> None:
    """A reference copy with everything that `compare` looks at."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)
