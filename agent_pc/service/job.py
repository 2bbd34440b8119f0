"""One backup with everything around it: lock, cache, sessions, policy, system information. For `bobbin backup` and the service."""

import os

from agent_pc import backup as backups
from agent_pc.cache import Cache
from agent_pc.fda import clones
from agent_pc.fda.accelerator import Accelerator
from agent_pc.fdm.exclude import literal
from agent_pc.service import policy as policies
from agent_pc.session import Session
from agent_pc.sysinfo import keep


def run(held, directories: list, options: backups.Options, progress) -> backups.Result:
    """Back up `directories` under the merged policy of the state `held`. Raises as backup.backup, and AgentError(BUSY)."""
    lock = held.lock()
    cache = Cache(held.cache_path)
    sessions: list = []

    def connect() -> Session:
        sessions.append(Session.open(held))
        return sessions[-1]

    try:
        backups.normal_sources(directories)  # before anything else: the source may not exist
        user = policies.load_user(held.directory)
        session = connect()
        policies.keep_network(held.directory, session.policy)
        policy = policies.Policy(user, session.policy)
        own = [f"{literal(held.directory)}/{name}" for name in ("cache-*", "fda/", "guard/")]
        options.exclusions = policy.exclusions(*own, os.fsdecode(clones.DIRECTORY) + "/")
        options.one_filesystem = options.one_filesystem or policy.one_filesystem
        options.grafts = keep.refresh(held.directory)
        options.afm = policy.files().but(options.files)
        options.fda = options.fda or Accelerator(held.directory, rule=policy.rule())
        result = backups.backup(session, directories, cache, options, progress, connect)
        result.notes = policy.notes
        return result
    finally:
        for session in sessions:
            session.close()
        cache.close()
        lock.close()
