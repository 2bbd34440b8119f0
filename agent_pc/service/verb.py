"""`bobbin agent run | config | install`. Rows of the table in agent_pc/cli.py."""

import os
import random
import signal

from agent_pc import backup as backups
from agent_pc import state as states
from agent_pc import terminal
from agent_pc.progress import Quiet
from agent_pc.service import install, job, runner, told
from agent_pc.service import policy as policies
from agent_pc.service.clock import Clock
from agent_pc.service.load import Meter

_WAIT_S = 60  # for a slot, or an appliance that went away: after that the scheduler decides


def _agent(arguments) -> tuple:
    return _ACTIONS[arguments.action](arguments)


def _run(arguments) -> tuple:
    held = states.load(arguments.state)
    locked = runner.lock(held.directory)
    before = signal.signal(signal.SIGTERM, _stop)

    def backup(policy) -> dict:
        result = job.run(held, policy.sources, backups.Options(wait_s=_WAIT_S), Quiet())
        for row in terminal.failed_rows(result.problems + result.notices):
            _say(f"{row['path']}: {row['text']}")
        for note in result.notes:
            _say(note)
        return result.as_dict()

    try:
        spread = random.Random(held.client)
        service = runner.Runner(held.directory, backup, Clock(), Meter(), say=_say, random=spread.random)
        return service.run(arguments.once), told.load(held.directory), []
    finally:
        signal.signal(signal.SIGTERM, before)
        locked.close()


def _stop(number, frame):
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(terminal.safe(text), flush=True)


def _config(arguments) -> tuple:
    policy = policies.load(arguments.state)
    rows = [
        {
            "key": key,
            "value": policy.sources if key == "sources" else policy.values[key],
            "origin": policy.origins[key],
            "rule": rule,
            "help": help_,
        }
        for key, _, _, rule, help_ in policies.ROWS
        if key != "exclude"
    ]
    patterns = [{"pattern": text, "origin": origin} for text, origin in policy.patterns]
    document = {
        "file": os.path.join(arguments.state, policies.FILE),
        "values": rows,
        "exclude": patterns,
        "notes": policy.notes,
    }
    lines = [f"{row['key']:<18} {row['value']!s:<14} {row['origin']:<11} {row['help']}" for row in rows]
    lines += [f"exclude            {row['pattern']:<27}{row['origin']}" for row in patterns]
    return 0, document, lines + policy.notes


def _install(arguments) -> tuple:
    user = arguments.user or (os.geteuid() != 0 and not arguments.system)
    mounts = policies.load(arguments.state).values["guard.mounts"]
    document, lines = install.install(arguments.state, arguments.platform, user, arguments.print, mounts)
    return 0, document, lines


_ACTIONS = {"run": _run, "config": _config, "install": _install}


VERBS = (
    (
        "agent",
        _agent,
        "the background service. run: back up by itself; config: what it goes by and where each value comes from (agent.toml in the "
        "state directory, the appliance, built in); install: start it with the system, and the guarded mounts of agent.toml. JSON: values, exclude; or path, text, steps, guards",
        (
            ("action", {"choices": tuple(_ACTIONS), "help": "what to do"}),
            ("--once", {"action": "store_true", "help": "run: look once, back up if it is time, end with its exit status"}),
            ("--print", {"action": "store_true", "help": "install: show the file instead of writing it"}),
            ("--platform", {"choices": tuple(install.PLATFORMS), "default": "linux", "help": "install: for which system"}),
            ("--user", {"action": "store_true", "help": "install: for this user only (default unless root)"}),
            ("--system", {"action": "store_true", "help": "install: for the whole system (default for root)"}),
        ),
    ),
)
