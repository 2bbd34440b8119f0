"""The limits, one after the other, on one appliance of the host board that has 128 MiB of memory, page cache included.

store: many clients with many views each; restart: off and on; agents: all connected at once; large: one view of very many files, through the agent.
"""

import json
import multiprocessing
import os
import resource
import shutil
import statistics
import sys
import time
from pathlib import Path

from agent_pc import state
from image import tables
from image.paths import BUILD, ROOT, BuildError
from tests.bench import machine, meter, traffic
from tests.bench.scale import crowd
from tests.bench.scale.cage import Cage
from tests.bench.scale.fill import Plan, fill
from tests.chain.pc import Pc
from tests.lab.appliance import HostAppliance
from tests.lab.wire import Wire, known

FOLDER = BUILD / "bench" / "scale"
MEMORY_BYTES = 128 << 20
_PORT = 7170
_DISK_BYTES = 32 << 30
_FILLERS = 2
_ENDS = 20  # views at either end whose times are compared

# clients, entries in all, views of each client, agents at once, files of the large view
FULL = (50, 10_000_000, 200, 1000, 1_000_000)
QUICK = (5, 100_000, 20, 30, 50_000)

PARTS = ("store", "restart", "agents", "large")


def scaled(scale: float) -> tuple:
    """FULL with so many times the clients and entries, agents and files; as many views of each client."""
    clients, entries, views, agents, large = FULL
    return max(int(clients * scale), 1), int(entries * scale), views, int(agents * scale), int(large * scale)


class Scale:
    """The appliance and what was found out about it: `rows` of (part, what, figure, unit)."""

    def __init__(self, sizes: tuple):
        self._clients, self._entries, self._views, self._agents, self._large = sizes
        self.rows: list = []
        self.cage = Cage(MEMORY_BYTES)
        heap_bytes = int(tables.HEAP.rstrip("m")) << 20
        prefix = self.cage.prefix()
        self.box = HostAppliance(FOLDER / "appliance", disk_bytes=_DISK_BYTES, heap_bytes=heap_bytes, prefix=prefix)
        self._identities: list = []

    def start(self) -> None:
        self.box.start(_PORT)
        self.box.log_in()
        self.box.format_disk()

    def close(self) -> None:
        self.box.kill()
        self.cage.close()

    def part(self, name: str) -> None:
        pid = self.box.process.pid
        meter.forget_peak(pid)
        began, cpu_s = time.monotonic(), meter.cpu_s([pid])
        for what, figure, unit in getattr(self, name)():
            self._row(name, what, figure, unit)
        same = self.box.process.pid == pid
        pid = self.box.process.pid
        self._row(name, "memory of the appliance at peak, mapped files included", meter.peak_kb(pid) / 1000, "MB")
        if self.cage.limited:
            self._row(name, "charged to it at peak so far, page cache included", self.cage.peak_bytes() / 1e6, "MB")
        self._row(name, "processor time of the appliance", meter.cpu_s([pid]) - cpu_s * same, "s")
        self._row(name, "this part", time.monotonic() - began, "s")

    def _row(self, *row) -> None:
        self.rows.append(row)
        print("%-8s %-60s %14.3f %s" % row, flush=True)

    # -- many clients with many views

    def store(self) -> list:
        identities = self._pair(self._clients)
        plan = Plan(self._entries // self._clients, self._views)
        began = time.monotonic()
        seconds = self._fill(identities, plan)
        rows = [("entries in first views", plan.entries * self._clients, ""), ("filling", time.monotonic() - began, "s")]
        first = [value for number, value in seconds if number == 0]
        early = [value for number, value in seconds if 0 < number <= _ENDS]
        late = [value for number, value in seconds if number > self._views - _ENDS]
        rows += [("a first view of %d entries, median" % plan.entries, statistics.median(first), "s")]
        rows += [("a further view, median of each client's first %d" % _ENDS, statistics.median(early), "s")]
        rows += [("a further view, median of each client's last %d" % _ENDS, statistics.median(late), "s")]
        return rows + self._listed(identities)

    def _fill(self, identities: list, plan: Plan) -> list:
        told = multiprocessing.get_context("spawn").Queue()
        fillers = [
            multiprocessing.get_context("spawn").Process(target=fill, args=(_ADDRESS, identities[at::_FILLERS], plan, told))
            for at in range(min(_FILLERS, len(identities)))
        ]
        for filler in fillers:
            filler.start()
        seconds: list = []
        left = len(fillers)
        while left:
            item = told.get()
            if isinstance(item, str):
                raise BuildError("filling: %s" % item)
            left -= item is None
            seconds += [item] if item else []
        for filler in fillers:
            filler.join()
        return seconds

    def _listed(self, identities: list) -> list:
        began, count = time.monotonic(), 0
        for identity in identities:
            with known(_ADDRESS, identity) as wire:
                count += len(wire.ask("VIEWS_GET", 0, 0, expect="VIEWS").views)
        return [("views listed", count, ""), ("listing them, each client once", time.monotonic() - began, "s")]

    # -- off and on

    def restart(self) -> list:
        bytes_ = sum(path.stat().st_blocks * 512 for path in (FOLDER / "appliance" / "volume").rglob("*"))
        self.box.stop()
        began = time.monotonic()
        self.box.start(_PORT)
        ready_s = time.monotonic() - began
        self.box.log_in()
        return [("catalog", bytes_ / 1e6, "MB"), ("from start to ready", ready_s, "s")]

    # -- all agents connected at once

    def agents(self) -> list:
        return crowd.measure(_ADDRESS, self._pair(max(self._agents - len(self._identities), 0)), self.box.process.pid)

    def _pair(self, count: int) -> list:
        """Identities of so many new clients; those paired before come first."""
        for _ in range(count):
            name = "pc%04d" % len(self._identities)
            self.box.ask("client add " + name)
            with Wire(_ADDRESS) as wire:
                wire.hello()
                self._identities.append(wire.pair(self.box.ask("client pair " + name)["code"]))
        return list(self._identities)

    # -- one view of very many files, through the real agent

    def large(self) -> list:
        folder = FOLDER / "large"
        Pc("large", folder).pair(self.box)
        held = state.load(str(folder))
        began = time.monotonic()
        self._fill([(held.client, held.token)], Plan(self._large, 1))
        rows = [("files in one view", self._large, ""), ("sending its tree", time.monotonic() - began, "s")]
        for what, words in (
            ("views", ("views",)),
            ("list one folder", ("ls", "/scale/0000/0000")),
            ("list all", ("ls", "--recursive", "/")),
            ("find in all", ("find", "file-000007.txt")),
            ("restore a folder of 8,000 files", ("restore", "/scale/0001", "--to", str(FOLDER / "back"))),
        ):
            rows += self._agent(folder, what, words)
        return rows

    def _agent(self, folder: Path, what: str, words: tuple) -> list:
        (FOLDER / "back").mkdir(exist_ok=True)
        command = [sys.executable, "-m", "agent_pc.cli", words[0], "--state", str(folder), *words[1:]]
        environment = dict(os.environ, PYTHONPATH=str(ROOT), PYTHONPYCACHEPREFIX=str(BUILD / "bench" / "pycache"))
        log = FOLDER / "agent.log"
        log.unlink(missing_ok=True)
        figures = meter.measure(command, [self.box.process.pid], self.box.folder, log, env=environment)
        return [(what, figures.wall_s, "s"), (what + ": memory of the agent", figures.rss_agent_kb / 1000, "MB")]


_ADDRESS = ("127.0.0.1", _PORT)


def run(sizes: tuple, parts: list, report: str) -> int:
    traffic.enter()
    _allow_files()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    load = machine.Load()
    scale = Scale(sizes)
    if not scale.cage.limited:
        print("no memory cgroup to be had: the appliance runs without a limit")
    try:
        scale.start()
        for name in parts:
            scale.part(name)
        document = {"machine": machine.describe() | load.describe(), "memory_limit_bytes": MEMORY_BYTES * scale.cage.limited}
    finally:
        scale.close()
    keys = ("part", "what", "figure", "unit")
    document["rows"] = [dict(zip(keys, row)) for row in scale.rows]
    print("\n" + table(document))
    if report:
        Path(report).write_text(json.dumps(document, indent=1) + "\n")
    shutil.rmtree(FOLDER)
    return 0


def table(document: dict) -> str:
    """Markdown."""
    lines = ["| part | what | figure |  |", "| --- | --- | --- | --- |"]
    lines += ["| %s | %s | %s | %s |" % (row["part"], row["what"], _figure(row), row["unit"]) for row in document["rows"]]
    busy = 100 * document["machine"]["busy_with_others"]
    return "Others used %.0f %% of a core: %s.\n\n" % (busy, document["machine"]["state"]) + "\n".join(lines)


def _figure(row: dict) -> str:
    return "{:,.3f}".format(row["figure"]) if row["unit"] else "{:,}".format(row["figure"])


def _allow_files() -> None:
    """A socket for each agent, here and in the appliance."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
