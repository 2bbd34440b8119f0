"""Opens every frame on the wire between agent and appliance (inside TLS 1.3)."""

from firmware.formats.record import Record

PROTOCOL = 2
PORT = 7170

FRAME = Record(
    "wire.FRAME",
    (("length", "I"), ("type", "B"), ("flags", "B"), ("request", "H")),
    "`length` bytes of body follow. A reply repeats the request number; flags are 0.",
)
