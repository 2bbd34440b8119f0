"""Interface of a serial line for the console."""


class Serial:
    name = ""

    async def read(self, limit: int) -> bytes:
        """At least one byte, at most `limit`; waits without bound (a person types). b"" when the line hung up."""
        raise NotImplementedError

    async def write(self, data: bytes) -> None:
        """All of `data` handed to the line. Raises BusError."""
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
