"""Exit statuses of every `bobbin` command, in one table; the errors that carry them. Statuses are never used again.

Used by agent_pc/cli.py, which turns any AgentError or Refusal into one line on stderr and its status.
"""

from firmware.formats.refusal import EXIT_STATUS

# name, exit status, meaning
_TABLE = (
    ("OK", 0, "done"),
    ("INTERNAL", 1, "the agent itself failed; --debug shows where"),
    ("USAGE", 2, "wrong command line"),
    ("PROTOCOL", 3, "the appliance answered what the protocol does not allow"),
    ("CERTIFICATE", 4, "the appliance's certificate is not the one that was expected"),
    ("PAIRING", 5, "pairing failed, or this PC is not paired yet"),
    ("AUTH", 6, "the appliance does not know this client"),
    ("PARTIAL", 7, "done, but some files could not be backed up or restored"),
    ("NOT_FOUND", 8, "no such view, path or file"),
    ("BUSY", 9, "the appliance has no backup slot now, or is going down"),
    ("FULL", 10, "the appliance's disk is full"),
    ("NO_DISK", 11, "the appliance has no formatted disk"),
    ("NO_TAPE", 12, "no tape is mounted in the appliance"),
    ("LOST", 13, "stored data failed its check: the files named could not be given back"),
    ("APPLIANCE", 14, "the appliance failed; its log says more"),
    ("SOURCE", 15, "a directory to back up does not exist"),
    ("UNREACHABLE", 16, "the appliance or the console port cannot be reached"),
    ("STATE", 17, "the agent's own state directory cannot be read or written"),
    ("MOUNT", 18, "the views cannot be mounted: no FUSE, or not at that place"),
    ("INTERRUPTED", 130, "stopped by Ctrl-C"),
)

STATUS = {row[0]: row[1] for row in _TABLE}
TABLE = _TABLE


class AgentError(Exception):
    """Ends a command with one line on stderr. `name` is of the table."""

    def __init__(self, name: str, text: str):
        super().__init__(text)
        self.name = name
        self.status = STATUS[name]


class Cut(AgentError):
    """The connection to the appliance is gone: worth connecting again."""

    def __init__(self, text: str):
        super().__init__("UNREACHABLE", text)


def status_of_refusal(code: int) -> int:
    """Exit status for an ERROR frame's code; codes of a newer appliance count as protocol errors."""
    return EXIT_STATUS.get(code, STATUS["PROTOCOL"])


def epilog() -> str:
    """The table as help text."""
    return "exit status:\n" + "\n".join(f"  {status:>3}  {meaning}" for _, status, meaning in _TABLE)
