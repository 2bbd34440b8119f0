"""The command `restore`. A row of the table in agent_pc/cli.py."""

import os

from agent_pc import state as states
from agent_pc import terminal
from agent_pc.exits import STATUS
from agent_pc.progress import PROGRESS, Progress
from agent_pc.restore import existing, job
from agent_pc.session import Session
from agent_pc.views.arguments import SOURCE, VIEW


def _restore(arguments) -> tuple:
    progress = Progress(arguments.progress, "restore")
    policy = existing.OVERWRITE if arguments.overwrite else arguments.existing
    options = job.Options(policy, arguments.source, arguments.verify, arguments.wait)
    paths = [terminal.absolute(path) for path in arguments.path]
    held = states.load(arguments.state)
    sessions: list = []

    def connect() -> Session:
        sessions.append(Session.open(held, pumped=True))
        return sessions[-1]

    try:
        result = job.restore(connect(), paths, arguments.view, os.fsencode(arguments.to), options, progress, connect)
    finally:
        progress.close()
        for session in sessions:
            session.close()
    failed = terminal.failed_rows(result.problems)
    terminal.complain(failed)
    status = STATUS["LOST"] if result.lost else STATUS["PARTIAL"] if failed else 0
    return status, {**result.as_dict(), "failed": failed}, [_line(result, arguments.to)]


def _line(result: job.Result, to: str) -> str:
    parts = [
        f"restored view {result.view} to {to}: {result.files} files, {result.bytes} bytes, {result.directories} directories"
    ]
    counted = (
        (result.present, "were there already"),
        (result.skipped, "left as they are"),
        (len(result.problems), "problems"),
        (result.lost, "lost"),
    )
    return "; ".join(parts + [f"{count} {what}" for count, what in counted if count])


_POLICY = (
    "--existing",
    {
        "choices": existing.POLICIES,
        "default": existing.REFUSE,
        "help": "where another file exists: refuse: name it, status 7 (default); skip: leave it; keep-both: restore beside it as "
        "'NAME (view N)'; older: replace it if it is older; overwrite: replace it. What is there already and right is never fetched again, "
        "so a restore that was stopped goes on",
    },
)

VERBS = (
    (
        "restore",
        _restore,
        "restore paths below a directory, each with its full path; JSON: view, files, present, skipped, directories, bytes, lost, "
        "failed [{path, text}]",
        (
            ("path", {"nargs": "*", "metavar": "PATH", "help": "default: everything in the view"}),
            VIEW,
            (
                "--to",
                {"required": True, "metavar": "DIR", "help": "PATH /a/b comes back as DIR/a/b; --to / puts it in its place"},
            ),
            _POLICY,
            ("--overwrite", {"action": "store_true", "help": "the same as --existing overwrite"}),
            (
                "--verify",
                {
                    "action": "store_true",
                    "help": "read every file back from the disk and compare it with its signature; without it, what comes from the "
                    "appliance is compared with it",
                },
            ),
            (
                "--wait",
                {
                    "type": float,
                    "default": 300,
                    "metavar": "S",
                    "help": "seconds to wait for the appliance to return (default: 300)",
                },
            ),
            SOURCE,
            PROGRESS,
        ),
    ),
)
