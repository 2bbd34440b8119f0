"""Many agents connected at once: idle, then each asks for the status. Called by run.py."""

import time

from tests.bench import meter
from tests.lab.wire import known

_IDLE_S = 3
_TIMEOUT_S = 120


def measure(address, identities: list, server: int) -> list:
    """Rows (what, figure, unit). `server`: pid of the appliance."""
    began = time.monotonic()
    wires = [known(address, identity) for identity in identities]
    rows = [("agents connected at once", len(wires), ""), ("connecting them", time.monotonic() - began, "s")]
    cpu_s = meter.cpu_s([server])
    time.sleep(_IDLE_S)
    rows.append(("processor time of the appliance while they are idle", 100 * (meter.cpu_s([server]) - cpu_s) / _IDLE_S, "%"))
    waits = _ask(wires)
    for wire in wires:
        wire.close()
    return rows + [("status for all of them", max(waits), "s"), ("status, the median", sorted(waits)[len(waits) // 2], "s")]


def _ask(wires: list) -> list:
    """Everybody asks at once; seconds until each has its answer."""
    began = time.monotonic()
    for wire in wires:
        wire.socket.settimeout(_TIMEOUT_S)
        wire.send("STATUS_GET")
    waits = []
    for wire in wires:
        wire.answer("STATUS")
        waits.append(time.monotonic() - began)
    return waits
