"""Reads the segments of a snapshot in disk order, several reads in flight, for the writer."""

import asyncio

from firmware.formats.tape import ALIGN
from hal.native import Mapping

_PIECE_BYTES = 1 << 20
_FLIGHT = 4


def rounded(used_bytes: int) -> int:
    """Bytes that a segment takes in the image stream."""
    return (used_bytes + ALIGN - 1) // ALIGN * ALIGN


def _pieces(segments: list):
    for number, used_bytes in segments:
        size = rounded(used_bytes)
        for offset in range(0, size, _PIECE_BYTES):
            yield number, offset, min(_PIECE_BYTES, size - offset)


async def copy_segments(snapshot, sink) -> None:
    """Hand every segment's used part to `await sink(view)`, in order. Raises what disk or sink raise, after all reads ended."""
    memory = Mapping(_FLIGHT * _PIECE_BYTES)
    free = memory.blocks(_PIECE_BYTES)
    flight = []
    pieces = _pieces(snapshot.segments)
    try:
        while True:
            _start_reads(snapshot, pieces, free, flight)
            if not flight:
                return
            task, view, buffer = flight[0]
            failure = await task
            flight.pop(0)
            if failure:
                raise failure
            await sink(view)
            free.append(buffer)
    finally:
        await _settle(flight)
        memory.close()


def _start_reads(snapshot, pieces, free: list, flight: list) -> None:
    while free:
        piece = next(pieces, None)
        if piece is None:
            return
        number, offset, length = piece
        buffer = free.pop()
        view = buffer[:length]
        flight.append((asyncio.create_task(_read(snapshot, number, offset, view)), view, buffer))


async def _read(snapshot, number: int, offset: int, view):
    """The exception, or None: MicroPython reports a task that fails before somebody waits for it."""
    try:
        await snapshot.read(number, offset, view)
    except Exception as error:
        return error


async def _settle(flight: list) -> None:
    """The disk may still be filling the buffers: they live until it is done."""
    for task, _, _ in flight:
        await task
