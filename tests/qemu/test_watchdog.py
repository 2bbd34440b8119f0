"""A board that hangs resets itself: the i6300esb of q35, armed and fed by the firmware."""

from tests.lab.box import READY, START_S, QemuAppliance
from tests.lab.gdb import Gdb
from tests.lab.qemu import free_port

_RESET_S = 200  # twice the watchdog's minute, on a busy machine


def test_a_hung_board_is_reset(image, tmp_path):
    """The processor spins with interrupts off, as in a driver that lost its way: nothing but the watchdog can help."""
    with QemuAppliance(tmp_path / "box", image) as box:
        box.log_in()
        box.format_disk()
        uuid = box.json("show disk")["uuid"]
        assert "WATCHDOG" not in box.qemu.qmp.events
        port = free_port()
        box.qemu.qmp.command("human-monitor-command", **{"command-line": "gdbserver tcp:127.0.0.1:%d" % port})
        stub = Gdb(port)
        stub.hang()
        stub.close()
        box.console.expect("BdsDxe: starting", timeout_s=_RESET_S)
        box.qemu.qmp.command("query-status")
        assert "WATCHDOG" in box.qemu.qmp.events, box.qemu.qmp.events
        box.console.expect(READY, timeout_s=START_S)
        box.log_in()
        assert box.json("show disk")["uuid"] == uuid, "what was acknowledged survives"
