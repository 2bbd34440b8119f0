"""What the user names, as absolute paths. Called by agent_pc/backup.py and service.job."""

import os

from agent_pc.exits import AgentError


def normal_sources(arguments: list) -> list:
    """Absolute paths (bytes) of the sources, none within another. Raises AgentError(SOURCE) for one that is not there."""
    found = []
    for argument in arguments:
        path = os.path.realpath(os.fsencode(argument))
        try:
            os.lstat(path)
        except OSError as error:
            raise AgentError("SOURCE", f"{os.fsdecode(argument)}: cannot be backed up: {error.strerror}") from None
        found.append(path)
    found = sorted(set(found))
    return [path for path in found if not any(path.startswith(other.rstrip(b"/") + b"/") for other in found if other != path)]
