"""What the steps of a rebuild share: the table of what is needed only meanwhile, and deleting rows in small transactions."""

from hal.loop import sleep_ms

WORK = "work"  # (client, view) -> sequence number of its COMMIT; client -> of its CLIENT, and place
SLICE = 1024  # rows in one transaction


async def prune(kv, table: str, unwanted) -> None:
    """Delete the rows for which `unwanted(txn, key, value)`, in small transactions."""
    start = b""
    while start is not None:
        txn = kv.begin(write=True)
        keys, start = _slice(txn, table, start, unwanted)
        for key in keys:
            txn.delete(table, key)
        txn.commit()
        await sleep_ms(0)


def _slice(txn, table: str, start: bytes, unwanted):
    """(unwanted keys among the next rows, key to go on from or None)."""
    keys = []
    seen = 0
    scan = txn.scan(table, start)
    for key, value in scan:
        seen += 1
        if unwanted(txn, key, value):
            keys.append(key)
        if seen == SLICE:
            scan.close()
            return keys, key + b"\0"
    return keys, None
