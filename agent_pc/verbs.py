"""The commands `pair`, `backup`, `status`, `console`. Rows of the table in agent_pc/cli.py."""

import sys

from agent_pc import backup as backups
from agent_pc import console, listing
from agent_pc import state as states
from agent_pc.afm import options as afm
from agent_pc.exits import STATUS, AgentError
from agent_pc.pair import pair
from agent_pc.progress import PROGRESS, Progress
from agent_pc.service import job
from agent_pc.service import verb as service
from agent_pc.session import Session


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
VERBS = (
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
