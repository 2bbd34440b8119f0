"""The `bobbin` command: one row of COMMANDS for each verb; every error ends as one line on stderr and an exit status.

With --json a command prints exactly one JSON document on stdout, also after an error: {"error": {"name", "status", "text"}}.
"""

import argparse
import json
import os
import sqlite3
import sys
import traceback

from agent_pc import VERSION, console, listing
from agent_pc import backup as backups
from agent_pc import state as states
from agent_pc.afm import options as afm
from agent_pc.exits import STATUS, AgentError, epilog, status_of_refusal
from agent_pc.guard import verb as guard
from agent_pc.mount import verb as mount
from agent_pc.pair import pair
from agent_pc.progress import PROGRESS, Progress
from agent_pc.restore import verb as restore
from agent_pc.service import job
from agent_pc.service import verb as service
from agent_pc.session import Session
from agent_pc.sysinfo import verb as sysinfo
from agent_pc.views import verbs
from firmware.formats.refusal import Refusal

# Outcome of a command: (exit status, JSON document, lines for people)


def _pair(arguments) -> tuple:
    host, port = states.parse_address(arguments.host)
    made = pair(arguments.code, host, port, arguments.state)
    document = {"client": made.name, "uuid": made.client.hex(), "appliance": made.appliance.hex(), "host": host, "port": port}
    return 0, document, [f"paired as {made.name} with the appliance at {host}:{port}"]


def _backup(arguments) -> tuple:
    held = states.load(arguments.state)
    progress = Progress(arguments.progress, "backup")
    options = backups.Options(arguments.label, arguments.one_file_system, arguments.wait)
    options.files = {key: getattr(arguments, key) for key in afm.SET if getattr(arguments, key) is not None}
    try:
        result = job.run(held, arguments.directory, options, progress)
    finally:
        progress.close()
    failed = listing.failed_rows(result.problems)
    counts = result.counts
    text = (
        f"view {result.view}: {counts.files} files, {counts.bytes} bytes; {counts.new} new, {counts.modified} modified, "
        f"{counts.redundant} redundant, {counts.touched} touched, {counts.unchanged} unchanged, {counts.deleted} deleted, {counts.excluded} left out; {result.bytes_sent} bytes sent"
    )
    notices = listing.failed_rows(result.notices)
    listing.complain(failed + notices)
    return STATUS["PARTIAL"] if failed else 0, {**result.as_dict(), "failed": failed, "notices": notices}, [text]


def _status(arguments) -> tuple:
    held = states.load(arguments.state)
    agent, told = service.status(held.directory)
    document: dict = {"host": held.host, "port": held.port, "agent": agent}
    try:
        with Session.open(held) as session:
            appliance = session.status()
            document.update(client=session.name, software=session.welcome.software, appliance=appliance)
    except AgentError as error:
        print(f"bobbin: {listing.safe(str(error))}", file=sys.stderr)
        error_row = {"name": error.name, "status": error.status, "text": str(error)}
        return error.status, {**document, "error": error_row}, told
    lines = [f"client {document['client']} of the appliance at {held.host}:{held.port} ({document['software']})"]
    return 0, document, lines + [f"{key}: {value}" for key, value in appliance.items()] + told


def _console(arguments) -> tuple:
    console.run(arguments.port, arguments.telnet, arguments.baud)
    return 0, {}, []


# name, handler, help, arguments
COMMANDS = (
    (
        "pair",
        _pair,
        "pair this PC with an appliance; JSON: client, uuid, appliance, host, port",
        (
            ("code", {"metavar": "CODE", "help": "16 characters from the appliance's console (client pair NAME)"}),
            ("--host", {"required": True, "metavar": "ADDR[:PORT]", "help": "the appliance"}),
        ),
    ),
    (
        "backup",
        _backup,
        "back up directories as one view; JSON: view, counts of files, bytes_sent, stored_bytes, failed and notices [{path, text}]",
        (
            ("directory", {"nargs": "+", "metavar": "DIR"}),
            ("--label", {"default": "", "metavar": "TEXT", "help": "what to call the view, 64 bytes at most"}),
            ("--one-file-system", {"action": "store_true", "help": "do not enter other mounted filesystems"}),
            (
                "--wait",
                {
                    "type": float,
                    "default": 300,
                    "metavar": "S",
                    "help": "seconds to wait for a slot or for the appliance to return",
                },
            ),
            *afm.ARGUMENTS,
            PROGRESS,
        ),
    ),
    *verbs.VERBS,
    guard.ROW,
    *restore.VERBS,
    *mount.VERBS,
    *service.VERBS,
    *sysinfo.VERBS,
    (
        "status",
        _status,
        "what the appliance says of itself and of this client; JSON: host, port, client, software, appliance, agent",
        (),
    ),
    (
        "console",
        _console,
        "the appliance's console on this terminal; Ctrl-] leaves",
        (
            ("--port", {"required": True, "metavar": "PORT", "help": "/dev/ttyUSB0, socket://HOST:PORT, telnet://HOST:PORT"}),
            ("--telnet", {"action": "store_true", "help": "PORT is HOST:PORT of the telnet console"}),
            ("--baud", {"type": int, "default": 115200}),
        ),
    ),
)


class _Parser(argparse.ArgumentParser):
    """Errors as one line."""

    def error(self, message: str):
        self.exit(STATUS["USAGE"], f"bobbin: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="bobbin",
        description="Backs this PC up to a Bobbin appliance.",
        epilog=epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bobbin {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for name, handler, text, arguments in COMMANDS:
        verb = commands.add_parser(
            name, help=text, description=text, epilog=epilog(), formatter_class=argparse.RawDescriptionHelpFormatter
        )
        verb.add_argument(
            "--state", default=states.default_directory(), metavar="DIR", help="state directory (default: %(default)s)"
        )
        verb.add_argument("--json", action="store_true", help="print one JSON document")
        verb.add_argument("--debug", action="store_true", help="show where an internal error came from")
        for flag, options in arguments:
            verb.add_argument(flag, **options)
        verb.set_defaults(handler=handler)
    return parser


def _run(arguments) -> tuple:
    """(exit status, document, lines, error line or None)."""
    try:
        return *arguments.handler(arguments), None
    except AgentError as error:
        name, status, text = error.name, error.status, str(error)
    except Refusal as refusal:
        name, status, text = refusal.name, status_of_refusal(refusal.code), f"the appliance refused: {refusal.text}"
    except KeyboardInterrupt:
        done = {
            "backup": "nothing was committed; the next backup goes on from here",
            "restore": "files restored so far are complete",
        }
        name, status, text = (
            "INTERRUPTED",
            STATUS["INTERRUPTED"],
            "stopped; " + done.get(arguments.command, "nothing was changed"),
        )
    except (OSError, sqlite3.Error) as error:
        name, status, text = "STATE", STATUS["STATE"], f"{arguments.command}: {error}"
        if arguments.debug:
            traceback.print_exc()
    except Exception as error:  # noqa: BLE001  never a traceback
        name, status, text = (
            "INTERNAL",
            STATUS["INTERNAL"],
            f"{arguments.command}: internal error: {error!r}; --debug shows where",
        )
        if arguments.debug:
            traceback.print_exc()
    return status, {"error": {"name": name, "status": status, "text": text}}, [], text


def main(argv: list | None = None) -> int:
    """Exit status of the command line `argv`."""
    arguments = _parser().parse_args(argv)
    status, document, lines, error = _run(arguments)
    try:
        if arguments.json:
            print(json.dumps(document))
        else:
            for line in lines:
                print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader has seen enough
    if error is not None:
        print(f"bobbin: {listing.safe(error)}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
