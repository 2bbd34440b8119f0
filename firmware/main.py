"""Starts the appliance: `main(["--board", NAME, board arguments ...])`. Run by PID 1 of the image, and as a script on the host board."""

import asyncio
import gc
import sys

if __name__ == "__main__":
    # As a script the first entry is this folder; imports start at the one above.
    sys.path[0] = __file__.rpartition("/")[0].rpartition("/")[0] if "/" in __file__.rpartition("/")[0] else ""

from board.select import machine
from firmware.appliance import Appliance
from firmware.core.log import traceback_text
from hal.loop import sleep_ms

# Garbage is collected after so many bytes, not when the heap is full: what lives long then lies close together, so that room for a
# large block is left (a dictionary of some thousand keys needs 100 KiB in a row), and the rest of the heap is never touched.
_GARBAGE_BYTES = 8 << 20
_BEFORE_REBOOT_MS = 5000  # to read the traceback, and no faster than that in a circle


def main(arguments: list) -> None:
    """Run until somebody stops the appliance. `arguments`: --board NAME (default auto), the rest is the board's."""
    name = "auto"
    if "--board" in arguments:
        at = arguments.index("--board")
        name = arguments[at + 1]
        arguments = arguments[:at] + arguments[at + 2 :]
    if hasattr(gc, "threshold"):
        gc.threshold(_GARBAGE_BYTES)
    appliance = Appliance(machine(name, arguments))
    try:
        asyncio.run(_run(appliance))
    except KeyboardInterrupt:
        asyncio.run(appliance.shutdown(False))
    except Exception as error:
        asyncio.run(_last_words(appliance, error))


async def _run(appliance) -> None:
    await appliance.start()
    await appliance.run()


async def _last_words(appliance, error) -> None:
    """Keep the traceback of what nobody caught, then start again."""
    if appliance.log:
        appliance.log.exception("main", error)
    else:
        print(traceback_text(error))
    if appliance.crash_log:
        await appliance.crash_log.save()
    await sleep_ms(_BEFORE_REBOOT_MS)
    await appliance.machine.reboot()


if __name__ == "__main__":
    main(sys.argv[1:])
