"""Interface of a random-access disk. Used by the store; a mounted tape offers the same `read`."""


class Disk:
    """A disk addressed in bytes.

    `name`        what the administrator calls it (path, model), for messages
    `size_bytes`  capacity
    `align_bytes` every offset, length and buffer address is a multiple of this (4096)

    Buffers belong to the caller and must not be touched until the call returns. Get them from `hal.native.aligned`.
    Calls may overlap; their order is undefined unless awaited one after the other.
    """

    name = ""
    size_bytes = 0
    align_bytes = 4096

    async def identify(self) -> dict:
        """{"model", "serial", "size_bytes"}; values are strings or numbers, "" where unknown."""
        raise NotImplementedError

    async def read(self, offset: int, buffer) -> None:
        """Fill `buffer` (memoryview) from `offset`. Raises MediumError, BusError, Timeout; never a short read."""
        raise NotImplementedError

    async def write(self, offset: int, buffer) -> None:
        """Write `buffer` at `offset`. On return it is in the device's cache, not durable: see `flush`.

        Raises MediumError, NoSpace, BusError, Timeout; after an error any part may have been written.
        """
        raise NotImplementedError

    async def flush(self) -> None:
        """On return every write that had returned before the call is durable. Raises BusError, MediumError, Timeout."""
        raise NotImplementedError

    async def discard(self, offset: int, length: int) -> None:
        """Tell the device that this range is free; reading it afterwards gives anything. A hint: may do nothing."""
        raise NotImplementedError

    async def close(self) -> None:
        """Release the device. In-flight calls are awaited first."""
        raise NotImplementedError
