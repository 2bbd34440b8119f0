"""firmware.console on a whole appliance of simulated parts: login, commands, prompts, JSON, hangup, stop."""

import asyncio
import json

from firmware.appliance import Appliance
from firmware.console import consoles, login, session
from hal.loop import sleep_ms
from hal.sim.cartridge import Cartridge
from hal.sim.disk import SimDisk
from tests.lab.sim_machine import SimMachine

_PROMPT = "bobbin> "


class Lab:
    """An appliance and its serial line."""

    def __init__(self, machine):
        self.machine = machine
        self.appliance = Appliance(machine)
        self.line = None
        self._task = None

    async def start(self, log_in: bool = True):
        await self.appliance.start()
        self._task = asyncio.create_task(self.appliance.run())
        self.line = self.machine.serials[0]
        await self.line.expect("bobbin: ready (version ")
        if log_in:
            await self.log_in()
        return self

    async def log_in(self, password: str = login.FACTORY_PASSWORD) -> None:
        await self.line.expect("login: ")
        self.line.type("admin\r")
        await self.line.expect("Password: ")
        self.line.type(password + "\r")
        await self.line.expect(_PROMPT)

    async def run(self, command: str) -> str:
        """What the command printed."""
        self.line.type(command + "\r")
        await self.line.expect("\r\n")
        return (await self.line.expect(_PROMPT))[: -len(_PROMPT)].replace("\r", "")

    async def json(self, command: str) -> dict:
        lines = (await self.run(command + " --json")).split("\n")
        return json.loads([line for line in lines if line.startswith("{")][0])

    async def stop(self) -> None:
        self.appliance.request_stop(False)
        await self._task


async def _lab(data_disk=None) -> Lab:
    return await Lab(SimMachine(None, data_disk)).start()


async def test_login_warns_of_the_factory_password_and_the_missing_disk():
    lab = await Lab(SimMachine()).start(False)
    await lab.line.expect("login: ")
    lab.line.type("admin\rbobbin\r")
    greeting = await lab.line.expect(_PROMPT)
    assert "factory password" in greeting and "connect a disk" in greeting and "bobbin\r" not in greeting
    await lab.stop()
    assert lab.machine.off == "off"


async def test_wrong_password_is_slowed_down_then_admitted():
    lab = await Lab(SimMachine()).start(False)
    await lab.line.expect("login: ")
    lab.line.type("admin\rwrong\r")
    await lab.line.expect("login incorrect")
    delay = lab.appliance.consoles._brake.delay_ms("sim0")
    assert 0 < delay <= 1000
    await lab.log_in()
    assert "wrong password on sim0" in "".join(lab.appliance.log.lines(50))
    await lab.stop()


async def test_every_show_command_in_text_and_json():
    lab = await _lab()
    for command in ("status", "disk", "config", "log", "log 5", "crash", "version", "network"):
        text = await lab.run("show " + command)
        assert text.strip() and "error" not in text.split("\n")[0], text
        assert all([len(line) <= 79 for line in text.split("\n")]), text
        data = await lab.json("show " + command)
        assert data["ok"] is True, data
    assert (await lab.json("show status"))["name"] == "bobbin"
    assert "password" not in [row["name"] for row in (await lab.json("show config"))["settings"]]
    await lab.stop()


async def test_errors_are_one_line_and_json():
    lab = await _lab()
    assert await lab.run("show clients") == "error: there is no formatted disk: connect a disk and reboot\n"
    assert (await lab.json("client pair x"))["error"] == "NO_DISK"
    assert (await lab.json("nonsense"))["error"] == "Usage"
    assert (await lab.json("set lan.port x"))["error"] == "Invalid"
    assert (await lab.json("disk format"))["error"] == "NO_DISK"
    assert "console.password" in (await lab.run("set console.password x")) + "console.password"
    await lab.stop()


async def test_set_is_kept_over_a_restart():
    lab = await _lab()
    assert "is now" in await lab.run("set appliance.name attic")
    assert "2030" in await lab.run("set clock 2030-01-02 03:04:05")
    assert (await lab.json("show status"))["time"].startswith("2030-01-02 03:04:0")
    await lab.stop()
    again = await Lab(SimMachine(lab.machine.config_disk)).start()
    status = await again.json("show status")
    assert status["name"] == "attic"
    await again.stop()


async def test_password_change():
    lab = await _lab()
    assert "factory password" in await lab.run("set telnet.enabled on")
    lab.line.type("password\r")
    for answer in ("bobbin", "new password", "new password"):
        await lab.line.expect(": ")
        lab.line.type(answer + "\r")
    assert "password changed" in await lab.line.expect(_PROMPT)
    lab.line.type("exit\r")
    await lab.log_in("new password")
    assert "new password" not in lab.line.seen
    assert not [text for text in (await lab.json("show status"))["warnings"] if "factory" in text]
    await lab.stop()


async def test_exit_end_of_file_and_hangup_bring_the_login_back():
    lab = await _lab()
    for way in ("exit\r", "\x04"):
        lab.line.type(way)
        await lab.log_in()
    lab.line.hang_up()
    await lab.log_in()
    await lab.stop()


async def test_interrupt_gives_a_new_prompt():
    lab = await _lab()
    lab.line.type("show sta\x03")
    await lab.line.expect("^C\r\n\r" + _PROMPT)
    await lab.stop()


async def test_question_mark_and_tab_know_the_appliance():
    lab = await _lab()
    lab.line.type("set telnet.enabled ?")
    shown = await lab.line.expect("\r" + _PROMPT + "set telnet.enabled ")
    lab.line.type("\x15show ver\t\r")
    await lab.line.expect("interpreter")
    await lab.line.expect(_PROMPT)
    await lab.stop()
    assert shown


async def test_reboot_asks():
    lab = await _lab()
    lab.line.type("reboot\r")
    await lab.line.expect("(y/n) ")
    lab.line.type("n\r")
    assert "nothing was done" in await lab.line.expect(_PROMPT)
    lab.line.type("reboot now\r")
    await lab._task
    assert lab.machine.off == "reboot" and "bobbin: rebooting" in lab.line.seen


async def test_log_errors_appear_when_nobody_types_and_the_line_is_kept():
    lab = await _lab()
    lab.line.type("show st")
    await lab.line.expect("show st")
    lab.appliance.log.error("test", "the roof is on fire")
    quiet, consoles._QUIET_MS = consoles._QUIET_MS, 100
    await lab.line.expect("the roof is on fire\r\n\r" + _PROMPT + "show st")
    consoles._QUIET_MS = quiet
    lab.line.type("atus\r")
    await lab.line.expect("appliance")
    await lab.stop()


async def test_log_errors_stand_between_an_answer_and_the_next_prompt():
    lab = await _lab()
    lab.appliance.log.error("test", "the roof is on fire")
    shown = await lab.run("show version")
    assert shown.strip().endswith("the roof is on fire") and shown.startswith("board")
    assert "roof" not in await lab.run("show version")
    for number in range(1000):
        lab.appliance.log.error("test", "entry %d" % number)
    assert (await lab.run("show version")).count("entry") == 200
    await lab.stop()


async def test_failing_handler_is_logged_with_a_traceback_and_the_console_goes_on():
    lab = await _lab()
    lab.appliance.network_status = None
    assert "the appliance failed" in await lab.run("show network")
    assert "Traceback" in await lab.run("show crash")
    await lab.stop()
    again = await Lab(SimMachine(lab.machine.config_disk)).start()
    assert "Traceback" in await again.run("show crash")
    await again.stop()


async def test_idle_console_logs_out():
    minute, session._MINUTE_MS = session._MINUTE_MS, 10
    lab = await _lab()
    await lab.line.expect("nothing was typed for 15 minutes")
    await lab.line.expect("login: ")
    session._MINUTE_MS = minute
    await lab.stop()


async def test_disk_format_names_the_disk_and_needs_the_word():
    lab = await _lab(SimDisk(256 << 20))
    lab.line.type("disk format\r")
    assert "simulated, serial SIM0001, 268.4 MB" in await lab.line.expect("Type ERASE to format it: ")
    lab.line.type("yes\r")
    assert "nothing was done" in await lab.line.expect(_PROMPT)
    assert (await lab.json("show disk"))["state"].startswith("the disk is blank")
    await lab.stop()


async def test_formatted_disk_takes_clients_and_is_found_again():
    lab = await _lab(SimDisk(256 << 20))
    lab.line.type("disk format\r")
    await lab.line.expect("Type ERASE to format it: ")
    lab.line.type("ERASE\r")
    assert "ready for backups" in await lab.line.expect(_PROMPT, 60000)
    assert (await lab.json("client add anna"))["name"] == "anna"
    assert (await lab.json("client add anna"))["error"] == "LIMIT"
    assert (await lab.json("client pair bert"))["error"] == "NOT_FOUND"
    assert len((await lab.json("client pair anna"))["code"]) == 19
    assert "anna" in await lab.run("show clients") and "no views" in await lab.run("show views anna")
    disk = await lab.json("show disk")
    assert disk["state"] == "in use" and disk["clients"] == 1
    lab.line.type("disk format\r")
    assert "0 views of 1 clients" in await lab.line.expect("format it: ")
    lab.line.type("\x03")
    await lab.line.expect(_PROMPT)
    await lab.stop()
    machine = lab.machine
    again = await Lab(SimMachine(machine.config_disk, machine.data_disk, machine.storage)).start()
    assert [row["name"] for row in (await again.json("show clients"))["clients"]] == ["anna"]
    again.line.type("client remove anna\r")
    await again.line.expect("(y/n) ")
    again.line.type("y\r")
    assert "client anna removed" in await again.line.expect(_PROMPT)
    assert (await again.json("backup list"))["views"] == []
    await again.stop()


async def _formatted(cartridge) -> Lab:
    lab = await _lab(SimDisk(256 << 20))
    lab.machine.cartridge = cartridge
    lab.line.type("disk format\rERASE\r")
    await lab.line.expect("ready for backups")
    await lab.line.expect(_PROMPT)
    return lab


async def test_tape_commands():
    lab = await _formatted(Cartridge())
    assert (await lab.json("tape label T-1"))["ok"] and "labelled T-1" in await lab.run("tape label T-1 force")
    assert "T-1" in await lab.run("show tape")
    assert "complete" in await lab.run("tape backup") and "sound" in await lab.run("tape verify")
    assert (await lab.json("tape unmount"))["error"] == "NO_TAPE"
    assert "is mounted" in await lab.run("tape mount") and "T-1" in (await lab.json("show status"))["tape"]
    assert (await lab.json("tape backup"))["error"] == "BUSY"
    lab.line.type("disk format\r")
    assert "a tape is mounted" in await lab.line.expect(_PROMPT)
    assert "unmounted" in await lab.run("tape unmount") and "ejected" in await lab.run("tape eject")
    assert "no tape in the drive" in await lab.run("tape verify")
    assert "loaded" in await lab.run("tape load")
    await lab.stop()


async def test_no_drive():
    lab = await _formatted(None)
    assert "no tape drive" in await lab.run("tape backup") and "no tape drive" in await lab.run("show tape")
    await lab.stop()


async def test_interrupt_leaves_the_tape_job_running():
    lab = await _formatted(Cartridge())
    await lab.run("tape label T-1")
    lab.machine.drive.pause_ms = 150
    lab.line.type("tape backup\r")
    await lab.line.expect("backup: ")
    lab.line.type("show ver\x03")
    await lab.line.expect("backup goes on; `show tape` shows it\r\n\r" + _PROMPT)
    assert "backup" in await lab.run("show tape")
    lab.line.type("disk format\r")
    assert "tape backup is running" in await lab.line.expect(_PROMPT)
    lab.machine.drive.pause_ms = 0
    while lab.appliance.tape.job:
        await sleep_ms(10)
    assert "is complete" in "".join(lab.appliance.log.lines(20))
    assert "sound" in await lab.run("tape verify")
    await lab.stop()
