"""`bobbin guard`: row and handler for agent_pc/cli.py."""

import os

from agent_pc import state
from agent_pc.exits import AgentError
from agent_pc.guard import mount
from agent_pc.service import policy


def guard(arguments) -> tuple:
    """Outcome of the command, after the mount has gone."""
    source, mountpoint = os.path.realpath(arguments.source), os.path.realpath(arguments.mountpoint)
    for path in (source, mountpoint):
        if not os.path.isdir(path):
            raise AgentError("SOURCE", f"{path}: expected a directory")
    state.prepare(arguments.state)
    spool_mib = arguments.spool_mib or policy.load(arguments.state).values["guard.spool_mib"]
    mount.run(source, mountpoint, os.path.abspath(arguments.state), spool_mib << 20)
    return 0, {"source": source, "mountpoint": mountpoint}, [f"{mountpoint}: unmounted"]


ROW = (
    "guard",
    guard,
    "mount SOURCE at MOUNTPOINT for programs to write through: backups see every file as of one moment; runs until it is unmounted",
    (
        ("source", {"metavar": "SOURCE", "help": "a directory"}),
        ("mountpoint", {"metavar": "MOUNTPOINT", "help": "a directory; may be SOURCE itself"}),
        (
            "--spool-mib",
            {
                "type": int,
                "metavar": "N",
                "help": "room for what is overwritten during a backup (default: guard.spool_mib of agent.toml, else 1024)",
            },
        ),
    ),
)

VERBS = (ROW,)
