"""`bobbin sysinfo [VIEW]`: what a view says of the PC it came from. A row of the table in agent_pc/cli.py."""

import json
import os
import tempfile

from agent_pc import state as states
from agent_pc import terminal
from agent_pc.exits import AgentError
from agent_pc.progress import Quiet
from agent_pc.restore import job
from agent_pc.session import Session
from agent_pc.sysinfo import collect
from agent_pc.sysinfo.place import FILE, NAME
from agent_pc.views import choose
from agent_pc.views.arguments import SOURCE

_PATH = b"/" + NAME + b"/" + os.fsencode(FILE)


def _sysinfo(arguments) -> tuple:
    document = collect.collect() if arguments.now else _stored(arguments)
    lines = []
    for part in document["parts"]:
        lines += [
            f"== {part['name']} ({part['from']})",
            *part.get("text", f"({part.get('missing')})").rstrip("\n").split("\n"),
            "",
        ]
    return 0, document, [terminal.safe(line) for line in lines]


def _stored(arguments) -> dict:
    """system.json of a view."""
    with Session.open(states.load(arguments.state)) as session, tempfile.TemporaryDirectory() as folder:
        options = job.Options(source=arguments.source)
        result = job.restore(session, [_PATH], arguments.view, os.fsencode(folder), options, Quiet())
        if result.problems:
            raise AgentError("LOST", f"system information: {result.problems[0][1]}")
        try:
            with open(os.fsencode(folder) + _PATH, encoding="utf-8") as file:
                document = json.load(file)
            known = all(type(part["name"]) is str and type(part["from"]) is str for part in document["parts"])
        except (OSError, ValueError, KeyError, TypeError):
            known = False
    if not known:
        raise AgentError("LOST", "system information: expected what a backup puts there, got something else")
    return document


VERBS = (
    (
        "sysinfo",
        _sysinfo,
        "what a view says of the PC: partitions, file systems, LVM, RAID, boot, packages; JSON: version, parts [{name, from, text or "
        "missing}]. It is the file /.bobbin/system.json of the view",
        (
            (
                "view",
                {
                    "nargs": "?",
                    "type": choose.argument,
                    "metavar": "VIEW",
                    "help": "a view's number, or a time; default: the last",
                },
            ),
            ("--now", {"action": "store_true", "help": "of this PC, as it is now"}),
            SOURCE,
        ),
    ),
)
