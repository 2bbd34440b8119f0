"""Interface of a SCSI transport: one logical unit, one command at a time or several. Used by `hal.ssc`."""


class ScsiResult:
    """Outcome of one command. `status` is the SAM status byte, `sense` the raw sense bytes (b"" if none),
    `residual` the number of bytes of the buffer that were not transferred."""

    def __init__(self, status: int, sense: bytes, residual: int):
        self.status = status
        self.sense = sense
        self.residual = residual


class ScsiTransport:
    """`name` names the unit for messages, `max_transfer_bytes` bounds one command's data."""

    name = ""
    max_transfer_bytes = 1 << 20

    async def execute(self, cdb: bytes, data_out=None, data_in=None, timeout_ms: int = 30000) -> ScsiResult:
        """Send `cdb` with at most one of `data_out` (sent whole) or `data_in` (filled from the start).

        A CHECK CONDITION is a result, not an error. Buffers belong to the caller until the call returns.
        Raises Timeout (command aborted, unit state unknown), BusError (host or connection failure), NotReady (no such unit).
        """
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
