"""The network-wide policy: what READY tells an agent that has authenticated. Called by entry.py.

JSON object; each key is the setting `policy.KEY`. The agent merges it with its user's settings (agent_pc/service/policy.py).
"""

import json

from firmware.core.settings import SETTINGS

PREFIX = "policy."


def document(config) -> str:
    """The values that are in force, as JSON text."""
    names = [setting.name for setting in SETTINGS if setting.name.startswith(PREFIX)]
    return json.dumps({name[len(PREFIX) :]: config.get(name) for name in names})
