"""The command `restore`. A row of the table in agent_pc/cli.py."""

import os

from agent_pc import listing
from agent_pc import state as states
from agent_pc.exits import STATUS
from agent_pc.progress import PROGRESS, Progress
from agent_pc.restore import job
from agent_pc.session import Session
from agent_pc.views.verbs import SOURCE, VIEW


def _restore(arguments) -> tuple:
    progress = Progress(arguments.progress, "restore")
    options = job.Options(arguments.overwrite, arguments.source)
    paths = [listing.absolute(path) for path in arguments.path]
    with Session.open(states.load(arguments.state)) as session:
        try:
            result = job.restore(session, paths, arguments.view, os.fsencode(arguments.to), options, progress)
        finally:
            progress.close()
    failed = listing.failed_rows(result.problems)
    listing.complain(failed)
    lines = [
        f"restored {result.files} files, {result.bytes} bytes, {result.directories} directories to {arguments.to}"
        + (f"; {len(failed)} problems, {result.lost} lost" if failed else "")
    ]
    status = STATUS["LOST"] if result.lost else STATUS["PARTIAL"] if failed else 0
    return status, {**result.as_dict(), "failed": failed}, lines


VERBS = (
    (
        "restore",
        _restore,
        "restore paths below a directory, each with its full path; JSON: files, directories, bytes, lost, failed [{path, text}]",
        (
            ("path", {"nargs": "*", "metavar": "PATH", "help": "default: everything in the view"}),
            VIEW,
            (
                "--to",
                {"required": True, "metavar": "DIR", "help": "PATH /a/b comes back as DIR/a/b; --to / puts it in its place"},
            ),
            ("--overwrite", {"action": "store_true", "help": "replace files that exist (default: refuse them)"}),
            SOURCE,
            PROGRESS,
        ),
    ),
)
