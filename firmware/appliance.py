"""The appliance: composes the parts over a `hal.machine.Machine`, starts and stops them. Made by `firmware/main.py`."""

import asyncio
import binascii
import gc
import os
import sys

from firmware.console.consoles import Consoles
from firmware.core.config import Config
from firmware.core.identity import load_or_create
from firmware.core.log import Log, stamp
from firmware.core.logfile import CrashLog, LogFile
from firmware.core.slots import Slots
from firmware.core.tasks import Supervisor
from firmware.formats.config import AREAS
from firmware.formats.refusal import Refusal
from firmware.network import bring_up
from firmware.upkeep import Upkeep
from firmware.version import VERSION
from hal import machine as board
from hal.errors import CorruptData, HalError
from hal.loop import now_ms, sleep_ms

_WATCHDOG_S = 60
_STALL_MS = 2000  # a loop that did not turn for so long is reported: something blocks it
_CONSOLE_LEVELS = ("warning", "error")
_POWER_OFF_DELAY_MS = 300  # for the last console lines to leave the serial port


class Appliance:
    """Attributes: machine, config, log, crash_log, supervisor, identity, store, keeper, scrub, volume, tape, server, pairing, consoles; None until
    started. `mounted` is set by the tape service: None or what offers `.label` and `.reader(client_uuid)`. `upkeep` checks and
    repairs the store; `occupied` says what it or a format does that nothing else may go on beside."""

    def __init__(self, machine):
        self.machine = machine
        self.lan_host = machine.lan_host
        self.log = self.config = self.crash_log = self.supervisor = self.identity = None
        self.store = self.keeper = self.scrub = self.tape = self.server = self.pairing = self.mounted = self.consoles = None
        self.volume_state = board.NONE
        self.problems = []
        self.upkeep = Upkeep(self)
        self.occupied = ""
        self._config_disk = None
        self.volume = None
        self._kv = None
        self._log_file = None
        self._began_ms = now_ms()
        self._stop = asyncio.Event()
        self._reboot = False

    # Starting

    async def start(self) -> None:
        """Bring everything up. A part that fails is in `problems` and in the log; the console comes up in any case."""
        await self.machine.start()
        self.log = Log(self.machine.clock)
        self.log.add_sink(self._print)
        self.supervisor = Supervisor(self.log)
        for text in getattr(self.machine, "warnings", ()):
            self.problem("board", text)
        spent = ["board %d" % (now_ms() - self._began_ms)]
        for name, step in self._steps():
            began_ms = now_ms()
            try:
                await step()
            except (HalError, Refusal) as error:
                self.problem(name, str(error))
            except Exception as error:
                self.log.exception(name, error)
                self.problems.append("%s did not start: %s" % (name, error))
            spent.append("%s %d" % (name, now_ms() - began_ms))
        await self.consoles.announce("bobbin: ready (version %s)" % VERSION)
        self.log.info("appliance", "version %s started in %d ms: %s" % (VERSION, now_ms() - self._began_ms, ", ".join(spent)))

    def _steps(self) -> tuple:
        """The order matters: each step may use what the ones before it made."""
        return (
            ("config", self._start_config),
            ("crash log", self._start_crash_log),
            ("watchdog", self._start_watchdog),
            ("identity", self._start_identity),
            ("network", self._start_network),
            ("disk", self._start_volume),
            ("tape", self._start_tape),
            ("server", self._start_server),
            ("console", self._start_consoles),
        )

    def problem(self, source: str, text: str) -> None:
        """A part that did not come up: for the log and `show status`."""
        self.problems.append("%s: %s" % (source, text))
        self.log.error(source, text)

    async def _start_config(self) -> None:
        self.config = Config(None, self.machine.settings)
        self._config_disk = await self.machine.open_config()
        config = Config(self._slots("settings"), self.machine.settings)
        await config.load()
        self.config = config
        for text in config.ignored:
            self.log.warning("config", "ignored: " + text)
        self._set_log_level()
        config.watch("log.level", self._set_log_level)

    def _set_log_level(self) -> None:
        self.log.level = self.config.get("log.level")

    def _slots(self, area: str):
        return Slots(self._config_disk, AREAS[area]) if self._config_disk else None

    async def _start_crash_log(self) -> None:
        self.crash_log = CrashLog(self._slots("crash"))
        self.log.add_crash_sink(self.crash_log.sink)
        await self.crash_log.load()
        reports = self.machine.crash_logs()
        for name, text in reports:
            self.log.error("kernel", "crash log %s of an earlier run: `show crash` has it" % name)
            self.crash_log.sink("%s:\n%s" % (name, text))
        if reports:
            await self.crash_log.save()
            self.machine.clear_crash_logs()
        self.supervisor.spawn("crash log", self.crash_log.run, restart=True)

    async def _start_watchdog(self) -> None:
        timeout_s = _WATCHDOG_S
        if self.machine.watchdog:
            timeout_s = self.machine.watchdog.start(_WATCHDOG_S)
        self.supervisor.spawn("heartbeat", lambda: self._beat(timeout_s))

    async def _beat(self, timeout_s: int) -> None:
        """Feeds the watchdog. It runs on the loop, so a loop that does not turn feeds nothing; not restarted, so if it dies, the
        board resets."""
        pause_ms = min(1000, 250 * timeout_s)
        while True:
            if self.machine.watchdog:
                self.machine.watchdog.feed()
            began = now_ms()
            await sleep_ms(pause_ms)
            late_ms = now_ms() - began - pause_ms
            if late_ms > _STALL_MS:
                self.log.warning("heartbeat", "the event loop stood still for %d ms" % late_ms)

    async def _start_identity(self) -> None:
        self.identity = await load_or_create(self._slots("identity"), self.machine, self.config.get("appliance.name"))

    async def _start_network(self) -> None:
        await bring_up(self)

    async def _start_volume(self) -> None:
        self.volume_state = await self.machine.probe_volume()
        if self.volume_state == board.OURS:
            try:
                await self._open_volume(False)
            except CorruptData as error:
                raise CorruptData("%s; `disk rebuild` makes the catalog anew from the segments" % error)
        else:
            self.log.warning("disk", self.disk_advice())

    async def _open_volume(self, fresh: bool) -> None:
        """Open the formatted disk; `fresh` prepares an empty store on it first."""
        self.volume = await self.machine.open_volume()
        self._log_file = LogFile(self.volume.directory)
        self.log.add_sink(self._log_file.sink)
        self.supervisor.spawn("log file", self._log_file.run, restart=True)
        await self.open_store(fresh)

    async def open_store(self, fresh: bool = False) -> None:
        """Open the store on the open volume and start what works on it. Raises HalError."""
        from firmware.formats.catalog import DUPLICATES, TABLES
        from firmware.store.keep import Keeper
        from firmware.store.scrub import Scrub
        from firmware.store.store import Store

        disk, processor, clock = self.volume.disk, self.machine.processor, self.machine.clock
        self._kv = self.machine.open_kv(self.volume.directory + "/catalog", TABLES, DUPLICATES)
        if fresh:
            await Store.format(disk, self._kv, processor, os.urandom(16), clock.now_ns())
        self.store = await Store.open(disk, self._kv, processor, clock)
        self.keeper = Keeper(self.store, self.config, clock, self.log)
        self.supervisor.spawn("collector", self.store.collector.run, restart=True)
        self.supervisor.spawn("keeper", self.keeper.run, restart=True)
        self.scrub = Scrub(
            self.store, self.log, lambda: self.config.get("scrub.rate"), lambda: self.config.get("scrub.every_days")
        )
        self.supervisor.spawn("scrub", self.scrub.run, restart=True)

    async def close_store(self) -> None:
        """Stop what works on the store, close it and its catalog; the volume stays."""
        store, kv = self.store, self._kv
        self.store = self._kv = self.keeper = None
        if store:
            await self.supervisor.stop("keeper")
            await self.supervisor.stop("scrub")
            await self.supervisor.stop("collector")
            await store.close()
        elif kv:
            kv.close()

    async def _start_tape(self) -> None:
        from firmware.tape.service import TapeService

        self.tape = TapeService(self)

    async def _start_server(self) -> None:
        from firmware.net.pairing import Pairing
        from firmware.net.server import Server

        self.pairing = Pairing(self)
        self.server = Server(self)
        await self.server.start(self.lan_host)
        self.log.info("lan", "agents connect to port %d" % self.server.address[1])

    async def _start_consoles(self) -> None:
        self.consoles = Consoles(self)
        self.consoles.start()

    # Stopping

    def request_stop(self, reboot: bool) -> None:
        """Make `run` go on to shut down."""
        self._reboot = reboot
        self._stop.set()

    async def run(self) -> None:
        """Wait until somebody requests a stop, then shut down."""
        await self._stop.wait()
        await self.shutdown(self._reboot)

    async def shutdown(self, reboot: bool) -> None:
        """Stop in order: agents, jobs, tape, store, disk; then power off or reboot. Returns only on the host board."""
        self.log.info("appliance", "going down to %s" % ("reboot" if reboot else "power off"))
        for name, step in (
            ("server", self._stop_server),
            ("tape", self._stop_tape),
            ("disk", self.close_volume),
            ("crash log", self._stop_crash_log),
        ):
            try:
                await step()
            except Exception as error:
                self.log.exception(name, error)
        if self.consoles:
            await self.consoles.announce("bobbin: %s" % ("rebooting" if reboot else "off"))
        await sleep_ms(_POWER_OFF_DELAY_MS)
        await self.supervisor.stop()
        if self._config_disk:
            await self._config_disk.close()
        if reboot:
            # The watchdog stays armed: it resets a board that hangs on its way down.
            await self.machine.reboot()
        else:
            if self.machine.watchdog:
                self.machine.watchdog.stop()
            await self.machine.power_off()

    async def _stop_server(self) -> None:
        if self.server:
            await self.server.stop()

    async def _stop_tape(self) -> None:
        if self.tape:
            await self.tape.close()

    async def _stop_crash_log(self) -> None:
        if self.crash_log:
            await self.crash_log.save()

    async def close_volume(self) -> None:
        """Close store, catalog, log file and disk, and unmount."""
        volume, self.volume = self.volume, None
        await self.close_store()
        if self._log_file:
            self.log.remove_sink(self._log_file.sink)
            await self.supervisor.stop("log file")
            self._log_file.flush()
            self._log_file = None
        if volume:
            await volume.disk.close()
            await self.machine.close_volume()

    # Serving the console

    async def format_disk(self) -> None:
        """Erase the data disk and open an empty store on it. The caller has asked the administrator.

        Raises Refusal BUSY while jobs run, HalError.
        """
        busy = self.busy_with()
        if busy:
            raise Refusal("BUSY", "%s: wait until it is done" % busy)
        self.occupied = "the disk is being formatted"
        try:
            await self.end_sessions()
            await self.close_volume()
            self.volume_state = board.FOREIGN  # until it has worked
            await self.machine.format_volume()
            await self._open_volume(True)
            self.volume_state = board.OURS
        finally:
            self.occupied = ""
        self.log.info("disk", "the data disk was formatted")

    async def end_sessions(self) -> None:
        """Agents that restore would read from a store that is gone."""
        if self.server and self.store:
            for client in self.store.clients():
                await self.server.disconnect(client.id)

    def busy_with(self) -> str:
        """What forbids to take the disk away, "" if nothing does."""
        if self.occupied:
            return self.occupied
        backups = self.server.status()["backups"] if self.server else 0
        if backups:
            return "%d backups are running" % backups
        if self.tape and self.tape.job:
            return "tape %s is running" % self.tape.job.name
        return "a tape is mounted" if self.mounted else ""

    def work_directory(self) -> str:
        """Where large temporary files go: the data disk's filesystem, or memory while there is none."""
        return self.volume.directory if self.volume else self.machine.scratch

    def disk_advice(self) -> str:
        """What to do about a disk that is not in use."""
        return {
            board.NONE: "connect a disk and reboot",
            board.BLANK: "the disk is blank: `disk format` prepares it",
            board.FOREIGN: "the disk holds data that is not Bobbin's: `disk format` erases it",
            board.OURS: "the disk could not be opened: `show log` says why",
        }[self.volume_state]

    def warnings(self) -> list:
        """What the administrator should do something about."""
        found = list(self.problems)
        if not self.config.get("console.password"):
            found.append("the factory password is still set: change it with `password`")
        if self.store is None:
            found.append("no store: " + self.disk_advice())
        elif self.scrub.damage.count():
            found.append("%d packs are damaged: `store damage` names the files hit" % self.scrub.damage.count())
        return found

    def status(self) -> dict:
        """The appliance at a glance; also what agents may see."""
        server = self.server.status() if self.server else {}
        return {
            "name": self.config.get("appliance.name"),
            "version": VERSION,
            "board": self.machine.name,
            "time": stamp(self.machine.clock.now_ns()),
            "uptime_s": (now_ms() - self._began_ms) // 1000,
            "network": dict(self.machine.network),
            "lan_port": self._lan_port(),
            "disk": dict(self.store.usage() if self.store else {}, state=self._disk_state()),
            "tape": self._tape_line(),
            "sessions": server.get("sessions", 0),
            "backups": server.get("backups", 0),
            "warnings": self.warnings(),
        }

    async def disk_status(self) -> dict:
        """The disk itself, and the store on it."""
        status = {"state": self._disk_state()}
        if self.volume_state != board.NONE:
            status.update(await self.machine.disk_identity())
        if self.store:
            status.update(self.store.usage())
            status.update(self.scrub.status())
            status["uuid"] = binascii.hexlify(self.store.uuid).decode()
            status.update(await self.keeper.status())
        return status

    def network_status(self) -> dict:
        telnet = self.consoles.telnet.port
        return dict(
            self.machine.network, mode=self.config.get("net.mode"), lan_port=self._lan_port(), telnet_port=telnet or "off"
        )

    def versions(self) -> dict:
        gc.collect()
        memory = {"heap_used_bytes": gc.mem_alloc(), "heap_free_bytes": gc.mem_free()} if hasattr(gc, "mem_alloc") else {}
        interpreter = "%s %s" % (sys.implementation.name, ".".join([str(part) for part in sys.implementation.version[:3]]))
        memory.update(self.machine.memory())
        return dict(memory, board=self.machine.name, interpreter=interpreter, tasks=", ".join(self.supervisor.names()))

    def _lan_port(self) -> int:
        return self.server.address[1] if self.server and self.server.address else 0

    def _disk_state(self) -> str:
        return "in use" if self.store else self.disk_advice()

    def _tape_line(self) -> str:
        if self.tape and self.tape.job:
            return "%s is running" % self.tape.job.name
        return "%s is mounted" % self.mounted.label if self.mounted else "idle"

    def _print(self, level: str, line: str) -> None:
        """Log sink: standard output where somebody keeps it; elsewhere it is a console, for what matters."""
        if self.machine.keeps_stdout:
            print(line)
        elif level in _CONSOLE_LEVELS:
            if self.consoles:
                self.consoles.notice(line)
            else:
                print(line, end="\r\n")  # the line is raw
