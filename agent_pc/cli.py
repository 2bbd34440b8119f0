"""The `bobbin` command: every error ends as one line on stderr and an exit status.

A module holds the rows of its verbs: (name, handler, help, arguments). Only that of the verb that is called is loaded: the others would
cost more time than a small restore takes. With --json a command prints exactly one JSON document on stdout, also after an error:
{"error": {"name", "status", "text"}}.
"""

import argparse
import importlib
import json
import os
import sys

from agent_pc import VERSION
from agent_pc import state as states
from agent_pc.exits import STATUS, AgentError, epilog, status_of_refusal
from agent_pc.terminal import safe
from firmware.formats.refusal import Refusal

# Outcome of a handler: (exit status, JSON document, lines for people)

# module with VERBS, names of its verbs
_MODULES = (
    ("agent_pc.verbs.pair", ("pair",)),
    ("agent_pc.verbs.backup", ("backup",)),
    ("agent_pc.verbs.status", ("status",)),
    ("agent_pc.verbs.console", ("console",)),
    ("agent_pc.views.verbs", ("views", "ls", "find", "diff")),
    ("agent_pc.restore.verb", ("restore",)),
    ("agent_pc.mount.verb", ("mount",)),
    ("agent_pc.guard.verb", ("guard",)),
    ("agent_pc.service.verb", ("agent",)),
    ("agent_pc.sysinfo.verb", ("sysinfo",)),
)


def commands(verb: str = "") -> list:
    """Rows of the module that has `verb`; of all if none has."""
    named = [module for module, verbs in _MODULES if verb in verbs]
    return [row for module in named or [module for module, _ in _MODULES] for row in importlib.import_module(module).VERBS]


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """argparse makes one for every argument there is, and asks a module that takes time to load how wide the terminal is."""

    def __init__(self, prog: str):
        try:
            columns = int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size().columns
        except (OSError, ValueError):
            columns = 80
        super().__init__(prog, width=columns - 2)


class _Parser(argparse.ArgumentParser):
    """Errors as one line."""

    def error(self, message: str):
        self.exit(STATUS["USAGE"], f"bobbin: {message}; see {self.prog} --help\n")


def _parser(rows: list) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="bobbin",
        description="Backs this PC up to a Bobbin appliance.",
        epilog=epilog(),
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action="version", version=f"bobbin {VERSION}")
    verbs = parser.add_subparsers(
        dest="command",
        required=True,
        metavar="COMMAND",
        parser_class=_Parser,
        prog="bobbin",  # else it formats the whole help to know
    )
    for name, handler, text, arguments in rows:
        verb = verbs.add_parser(name, help=text, description=text, epilog=epilog(), formatter_class=_Formatter)
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
            "restore": "files restored so far are complete; the same command goes on",
        }
        name, status, text = (
            "INTERRUPTED",
            STATUS["INTERRUPTED"],
            "stopped; " + done.get(arguments.command, "nothing was changed"),
        )
    except Exception as error:  # noqa: BLE001  never a traceback
        name = "STATE" if isinstance(error, OSError) or type(error).__module__ == "sqlite3" else "INTERNAL"
        status = STATUS[name]
        said = str(error) if name == "STATE" else f"internal error: {error!r}; --debug shows where"
        text = f"{arguments.command}: {said}"
        if arguments.debug:
            import traceback  # only now, as all that is seldom needed: it takes time to load

            traceback.print_exc()
    return status, {"error": {"name": name, "status": status, "text": text}}, [], text


def main(argv: list | None = None) -> int:
    """Exit status of the command line `argv`."""
    words = sys.argv[1:] if argv is None else argv
    arguments = _parser(commands(words[0] if words else "")).parse_args(words)
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
        print(f"bobbin: {safe(error)}", file=sys.stderr)
    return status


def run() -> None:
    """The `bobbin` program. When a command is done nothing is left to tidy up, and taking everything apart takes as long as a small restore."""
    status = main()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    run()
