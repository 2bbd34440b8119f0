"""The body of the record in a segment that says what a view is. Written by backups, merges and compaction."""

from firmware.formats import disk


def commit_record(client: int, view: int, row) -> bytes:
    """COMMIT_BODY of a catalog.VIEW tuple."""
    given = {"client": client, "view": view}
    return disk.COMMIT_BODY.pack(*[given[name] if name in given else getattr(row, name) for name, _ in disk.COMMIT_BODY.rows])
