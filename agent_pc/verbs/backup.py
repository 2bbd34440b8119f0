"""The command `backup`."""

from agent_pc import backup as backups
from agent_pc import state as states
from agent_pc import terminal
from agent_pc.afm import options as afm
from agent_pc.exits import STATUS
from agent_pc.progress import PROGRESS, Progress
from agent_pc.service import job


def _backup(arguments) -> tuple:
    held = states.load(arguments.state)
    progress = Progress(arguments.progress, "backup")
    options = backups.Options(arguments.label, arguments.one_file_system, arguments.wait)
    options.files = {key: getattr(arguments, key) for key in afm.SET if getattr(arguments, key) is not None}
    try:
        result = job.run(held, arguments.directory, options, progress)
    finally:
        progress.close()
    failed = terminal.failed_rows(result.problems)
    counts = result.counts
    text = (
        f"view {result.view}: {counts.files} files, {counts.bytes} bytes; {counts.new} new, {counts.modified} modified, "
        f"{counts.redundant} redundant, {counts.touched} touched, {counts.unchanged} unchanged, {counts.deleted} deleted, {counts.excluded} left out; {result.bytes_sent} bytes sent"
    )
    notices = terminal.failed_rows(result.notices)
    terminal.complain(failed + notices)
    return STATUS["PARTIAL"] if failed else 0, {**result.as_dict(), "failed": failed, "notices": notices}, [text]


# name, handler, help, arguments
VERBS = (
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
)
